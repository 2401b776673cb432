"""Read model `price_history`: what each provider asks now, and what it asked before.

Read by queries/price.py.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from matchgraph.domain.price import Price, PriceLine, Pricing
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, insert


class Observed(Heard, tag="price.observed", frozen=True):
    price: Price


class Withdrawn(Heard, tag="price.withdrawn", frozen=True):
    line: PriceLine
    observed_at: datetime


async def apply(db: Connection, batch: Batch) -> None:
    """Keeps every observation, and of each price the newest one unless it was withdrawn."""
    history: list[tuple[Any, ...]] = []
    newest: dict[tuple[UUID, PriceLine], tuple[Any, ...]] = {}
    charge: tuple[Pricing | None, Decimal | None, str | None]
    for position, event in batch:
        match event:
            case Observed(id=id, price=price):
                line, charge = price.line, (price.pricing, price.amount, price.currency)
                observed_at = price.observed_at
            case Withdrawn(id=id, line=line, observed_at=observed_at):
                charge = (None, None, None)
        row = (position, id, line.provider, line.per, line.tier, line.source, observed_at, *charge)
        history.append(row)
        newest[id, line] = row
    await insert(db, "price_history", history)
    withdrawn = [row for row in newest.values() if row[7] is None]
    if withdrawn:
        await db.execute(
            "DELETE FROM price_current c USING unnest($1::price_history[]) AS u"
            " WHERE c.artifact_id = u.artifact_id AND c.provider = u.provider"
            " AND c.source = u.source AND c.per IS NOT DISTINCT FROM u.per"
            " AND c.tier IS NOT DISTINCT FROM u.tier",
            withdrawn,
        )
    await insert(
        db,
        "price_current",
        [row for row in newest.values() if row[7] is not None],
        then="ON CONFLICT (artifact_id, provider, per, tier, source) DO UPDATE SET"
        " position = excluded.position, observed_at = excluded.observed_at,"
        " pricing = excluded.pricing, amount = excluded.amount, currency = excluded.currency",
    )


PRICE_HISTORY = Projection(
    name="price_history",
    tables=("price_history", "price_current"),
    hears=(Observed, Withdrawn),
    apply=apply,
)
