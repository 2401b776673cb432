"""Which numbers are known of artifacts: many artifacts' signals in one statement."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from matchgraph.domain.provenance import Method
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.queries.snapshot import Snapshot


async def of_artifacts(snapshot: Snapshot, ids: Sequence[UUID]) -> list[tuple[Signal, ...]]:
    """Every signal of each artifact as its sources last showed it, by name and source."""
    rows = await snapshot.fetch(
        "SELECT * FROM signal_board WHERE artifact_id = ANY ($1) ORDER BY name, source", list(ids)
    )
    found: dict[UUID, list[Signal]] = defaultdict(list)
    for row in rows:
        found[row["artifact_id"]].append(signal_of(row))
    return [tuple(found[id]) for id in ids]


def signal_of(row: asyncpg.Record) -> Signal:
    """The signal in a row of signal_board."""
    return Signal(
        name=SignalName(row["name"]),
        value=row["value"],
        source=row["source"],
        observed_at=row["observed_at"],
        method=Method(row["method"]),
    )
