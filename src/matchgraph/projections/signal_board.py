"""Read model `signal_board`: the newest number of each signal from each source, and
every one before it.

Read by queries/signal.py.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert_all


class Signal(Said, frozen=True):
    name: str
    value: Decimal
    source: str
    method: str
    observed_at: datetime


class Observed(Heard, tag="signal.observed", frozen=True):
    signal: Signal


async def apply(db: Connection, batch: Batch) -> None:
    """Writes every observation, and the newest of each signal."""
    history: list[tuple[Any, ...]] = []
    newest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for position, event in batch:
        signal = event.signal
        key = (event.id, signal.name, signal.source)
        newest[key] = (*key, signal.value, signal.method, signal.observed_at, position)
        history.append(newest[key])
    await insert_all(
        db,
        ("signal_history", history, ""),
        (
            "signal_board",
            newest.values(),
            "ON CONFLICT (artifact_id, name, source) DO UPDATE SET value = excluded.value,"
            " method = excluded.method, observed_at = excluded.observed_at,"
            " position = excluded.position",
        ),
    )


SIGNAL_BOARD = Projection(
    name="signal_board",
    tables=("signal_board", "signal_history"),
    hears=(Observed,),
    apply=apply,
)
