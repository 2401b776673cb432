"""What artifacts cost, now and before: many artifacts' prices in one statement."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from matchgraph.domain.price import Price, PriceLine, Pricing, Unit
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

ORDER = "price_history"


@dataclass(frozen=True, slots=True)
class Observation:
    """A price as it was seen, or (with `price` None) seen to be gone."""

    line: PriceLine
    price: Price | None
    observed_at: datetime
    position: int


async def current(snapshot: Snapshot, ids: Sequence[UUID]) -> list[tuple[Price, ...]]:
    """Every price asked for each artifact now, by provider, unit, tier and source."""
    rows = await snapshot.fetch(
        "SELECT * FROM price_current WHERE artifact_id = ANY ($1)"
        " ORDER BY provider, per NULLS FIRST, tier NULLS FIRST, source",
        list(ids),
    )
    found: dict[UUID, list[Price]] = defaultdict(list)
    for row in rows:
        found[row["artifact_id"]].append(price_of(row))
    return [tuple(found[id]) for id in ids]


async def history(
    snapshot: Snapshot, asked: Sequence[tuple[UUID, int, str | None]]
) -> list[Page[Observation]]:
    """A page of each artifact's price observations, oldest first by the moment they were made;
    what is asked is (artifact id, first, after). Raises: BadPageSize, BadCursor, Unavailable."""
    keys = [
        (EARLIEST, 0) if after is None else pages.decode(ORDER, after, datetime, int)
        for _, _, after in asked
    ]
    rows = await snapshot.fetch(
        "SELECT asked.number, h.* FROM unnest($1::uuid[], $2::int[], $3::timestamptz[],"
        " $4::bigint[]) WITH ORDINALITY AS asked (id, first, moment, position, number)"
        " CROSS JOIN LATERAL (SELECT * FROM price_history h WHERE h.artifact_id = asked.id"
        " AND (h.observed_at, h.position) > (asked.moment, asked.position)"
        " ORDER BY h.observed_at, h.position LIMIT asked.first + 1) AS h"
        " ORDER BY asked.number, h.observed_at, h.position",
        [id for id, _, _ in asked],
        [pages.size(first) for _, first, _ in asked],
        [moment for moment, _ in keys],
        [position for _, position in keys],
    )
    found: dict[int, list[Observation]] = defaultdict(list)
    for row in rows:
        found[row["number"]].append(_observation(row))
    return [
        pages.page(found[number], first, lambda o: pages.encode(ORDER, [o.observed_at, o.position]))
        for number, (_, first, _) in enumerate(asked, start=1)
    ]


EARLIEST = datetime.fromisoformat("0001-01-02T00:00:00+00:00")


def _observation(row: asyncpg.Record) -> Observation:
    per = None if row["per"] is None else Unit(row["per"])
    return Observation(
        line=PriceLine(row["provider"], per, row["tier"], row["source"]),
        price=None if row["pricing"] is None else price_of(row),
        observed_at=row["observed_at"],
        position=row["position"],
    )


def price_of(row: asyncpg.Record) -> Price:
    """The price in a row of price_current, or of price_history where one was asked."""
    return Price(
        provider=row["provider"],
        pricing=Pricing(row["pricing"]),
        source=row["source"],
        observed_at=row["observed_at"],
        amount=row["amount"],
        currency=row["currency"],
        per=None if row["per"] is None else Unit(row["per"]),
        tier=row["tier"],
    )
