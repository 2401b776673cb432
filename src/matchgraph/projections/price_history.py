"""Read model `price_history`: what each provider asks now, and what it asked before.

Read by queries/price.py.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert


class Price(Said, frozen=True):
    provider: str
    pricing: str
    source: str
    observed_at: datetime
    amount: Decimal | None = None
    currency: str | None = None
    per: str | None = None
    tier: str | None = None


# What a price that is asked has of its observation: all of it.
LINES = "position, artifact_id, provider, per, tier, source, observed_at, pricing, amount, currency"


class Line(NamedTuple):
    """As the domain's PriceLine, with the unit as it is written."""

    provider: str
    per: str | None
    tier: str | None
    source: str


class Observed(Heard, tag="price.observed", frozen=True):
    price: Price


class Withdrawn(Heard, tag="price.withdrawn", frozen=True):
    line: Line
    observed_at: datetime


async def apply(db: Connection, batch: Batch) -> None:
    """Keeps every observation, and of each price the newest one unless it was withdrawn. Also where
    it came back, it is remembered that it was gone: so every price that there ever was is known."""
    history: list[tuple[Any, ...]] = []
    newest: dict[tuple[str, Line], int] = {}
    gone: dict[tuple[str, Line], None] = {}
    row: tuple[Any, ...]
    for position, event in batch:
        match event:
            case Observed(id=id, price=p):
                line = Line(p.provider, p.per, p.tier, p.source)
                row = (position, id, *line, p.observed_at, p.pricing, p.amount, p.currency)
            case Withdrawn(id=id, line=line, observed_at=observed_at):
                row = (position, id, *line, observed_at, None, None, None)
                gone[id, line] = None
        history.append(row)
        newest[id, line] = position
    await insert(db, "price_history", history)
    positions = list(newest.values())
    if gone:
        await db.execute(
            "DELETE FROM price_current c USING price_history h"
            " WHERE h.position = ANY ($1) AND h.pricing IS NULL"
            " AND c.artifact_id = h.artifact_id AND c.provider = h.provider"
            " AND c.source = h.source AND c.per IS NOT DISTINCT FROM h.per"
            " AND c.tier IS NOT DISTINCT FROM h.tier",
            positions,
        )
        await insert(
            db,
            "price_withdrawn",
            [(id, *line) for id, line in gone],
            then="ON CONFLICT DO NOTHING",
        )
    await db.execute(
        f"INSERT INTO price_current ({LINES}) SELECT {LINES} FROM price_history"
        " WHERE position = ANY ($1) AND pricing IS NOT NULL"
        " ON CONFLICT (artifact_id, provider, per, tier, source) DO UPDATE SET"
        " position = excluded.position, observed_at = excluded.observed_at,"
        " pricing = excluded.pricing, amount = excluded.amount, currency = excluded.currency",
        positions,
    )


PRICE_HISTORY = Projection(
    name="price_history",
    tables=("price_history", "price_current", "price_withdrawn"),
    hears=(Observed, Withdrawn),
    apply=apply,
)
