"""Prices and ranks over time, ready for a chart: the same step function, with fewer points."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import asyncpg

from matchgraph.domain.price import Unit, per_million
from matchgraph.domain.series import Every, N, Point, Seen, points
from matchgraph.queries.history import plan_each_time, position_at
from matchgraph.queries.snapshot import Snapshot

# Of more points, days are taken together to weeks, and weeks to months.
MOST_POINTS = 1_000
MOST_SERIES = 20
S = TypeVar("S")


class TooManySeries(Exception):
    """More prices are meant than one chart can show."""

    def __init__(self) -> None:
        super().__init__(
            f"More than {MOST_SERIES} series are meant; name the `provider`, `per`, `tier`,"
            " `source` or `currency`."
        )


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Which prices of an artifact are meant, from when to when, both included; what is None does
    not matter. A `tier` of "" means the plain one."""

    artifact_id: UUID
    provider: str | None = None
    per: Unit | None = None
    tier: str | None = None
    source: str | None = None
    currency: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    every: Every = Every.DAY


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """What one provider asked for one unit in one currency, by one source.

    Units: for a million where the unit is a token, else for one.
    """

    provider: str
    per: Unit
    tier: str | None
    source: str
    currency: str
    every: Every
    points: tuple[Point[Decimal], ...]


@dataclass(frozen=True, slots=True)
class RankPoint:
    """A score over time, in millionths of a point, with the place and the band of its last change;
    0 where it was not on the board."""

    point: Point[int]
    place: int
    band: int


@dataclass(frozen=True, slots=True)
class RankSeries:
    """How an artifact ranked."""

    every: Every
    points: tuple[RankPoint, ...]


async def prices(snapshot: Snapshot, meant: Prices) -> list[PriceSeries]:
    """A series for each provider, unit, tier, source and currency, in that order; what has no
    amount (free, unknown) has no series. Raises: TooManySeries, Unavailable."""

    async def by(every: Every) -> list[PriceSeries]:
        return _price_series(await _prices(snapshot, meant, every), every, meant.since)

    await plan_each_time(snapshot)
    return await _bounded(
        by, meant.every, lambda found: max((len(s.points) for s in found), default=0)
    )


async def ranks(
    snapshot: Snapshot,
    artifact_id: UUID,
    since: datetime | None,
    until: datetime | None,
    every: Every,
) -> RankSeries:
    """The score over time; gaps while it was not on the board. Raises: Unavailable."""
    await plan_each_time(snapshot)
    low = 0 if since is None else await position_at(snapshot, since, before=True)
    high = 2**63 - 1 if until is None else await position_at(snapshot, until)

    async def by(every: Every) -> RankSeries:
        rows = await snapshot.fetch(_RANKS, artifact_id, low, high, every)
        places = {row["position"]: row for row in rows}
        return RankSeries(
            every,
            tuple(
                RankPoint(point, places[point.position]["place"], places[point.position]["band"])
                for point in points(map(_seen, rows), since)
            ),
        )

    return await _bounded(by, every, lambda found: len(found.points))


async def _bounded(
    by: Callable[[Every], Awaitable[S]], every: Every, count: Callable[[S], int]
) -> S:
    """By as short stretches as are asked for, and longer ones where that is too many points."""
    stretches = list(Every)
    for step in stretches[stretches.index(every) :]:
        found = await by(step)
        if count(found) <= MOST_POINTS:
            break
    return found


# Within a line, positions follow the moments of observation. What lies before the beginning is one
# stretch, without a start. Each currency has a series, in which another one is a gap.
_PRICES = """
WITH seen AS (
  SELECT * FROM price_history h WHERE artifact_id = $1 AND per IS NOT NULL
    AND ($2::text IS NULL OR provider = $2) AND ($3::text IS NULL OR per = $3)
    AND ($4::text IS NULL OR coalesce(tier, '') = $4) AND ($5::text IS NULL OR source = $5)
    AND ($8::timestamptz IS NULL OR observed_at <= $8)
), series AS (
  SELECT DISTINCT provider, per, tier, source, currency FROM seen
  WHERE currency IS NOT NULL AND ($6::text IS NULL OR currency = $6)
  ORDER BY provider, per, tier NULLS FIRST, source, currency LIMIT $10
)
SELECT provider, per, tier, source, series.currency, start, min(observed_at) AS first,
  max(observed_at) AS at, max(position) AS position, count(*) AS observations,
  (array_agg(amount ORDER BY position DESC))[1] AS value, min(amount) AS low, max(amount) AS high
FROM (
  SELECT series.*, h.observed_at, h.position,
    CASE WHEN h.currency = series.currency THEN h.amount END AS amount,
    CASE WHEN $7::timestamptz IS NULL OR h.observed_at >= $7
      THEN date_trunc($9, h.observed_at, 'UTC') END AS start
  FROM series JOIN seen h ON h.provider = series.provider AND h.per = series.per
    AND coalesce(h.tier, '') = coalesce(series.tier, '') AND h.source = series.source
) AS series
GROUP BY provider, per, tier, source, series.currency, start
ORDER BY provider, per, tier NULLS FIRST, source, series.currency, start NULLS FIRST
"""
_RANKS = """
SELECT s.start, s.first, s.at, s.position, s.observations, s.low, s.high, h.place, h.band,
  CASE WHEN h.place > 0 THEN h.score END AS value
FROM (
  SELECT date_trunc($4, recorded_at, 'UTC') AS start, min(recorded_at) AS first,
    max(recorded_at) AS at, max(position) AS position, count(*) AS observations,
    min(score) FILTER (WHERE place > 0) AS low, max(score) FILTER (WHERE place > 0) AS high
  FROM rank_history JOIN event USING (position)
  WHERE artifact_id = $1 AND position > $2 AND position <= $3
  GROUP BY 1
  UNION ALL
  (SELECT NULL, recorded_at, recorded_at, position, 1, NULL, NULL
  FROM rank_history JOIN event USING (position)
  WHERE artifact_id = $1 AND position <= $2 ORDER BY position DESC LIMIT 1)
) AS s JOIN rank_history h ON h.artifact_id = $1 AND h.position = s.position
ORDER BY s.position
"""


async def _prices(snapshot: Snapshot, meant: Prices, every: Every) -> Sequence[asyncpg.Record]:
    return await snapshot.fetch(
        _PRICES,
        meant.artifact_id,
        meant.provider,
        meant.per,
        meant.tier,
        meant.source,
        meant.currency,
        meant.since,
        meant.until,
        every,
        MOST_SERIES + 1,
    )


def _price_series(
    rows: Sequence[asyncpg.Record], every: Every, since: datetime | None
) -> list[PriceSeries]:
    found: dict[tuple[str, ...], list[Seen[Decimal]]] = defaultdict(list)
    for row in rows:
        found[tuple(row)[:5]].append(_seen(row))
    if len(found) > MOST_SERIES:
        raise TooManySeries
    return [
        PriceSeries(
            provider=provider,
            per=Unit(per),
            tier=tier,
            source=source,
            currency=currency,
            every=every,
            points=tuple(_for_people(point, Unit(per)) for point in points(seen, since)),
        )
        for (provider, per, tier, source, currency), seen in found.items()
    ]


def _seen(row: asyncpg.Record) -> Seen[N]:
    return Seen(
        start=row["start"] or row["first"],
        first=row["first"],
        at=row["at"],
        position=row["position"],
        value=row["value"],
        low=row["low"],
        high=row["high"],
        observations=row["observations"],
    )


def _for_people(point: Point[Decimal], per: Unit) -> Point[Decimal]:
    def shown(amount: Decimal | None) -> Decimal | None:
        return per_million(amount) if amount is not None and per.is_token else amount

    return Point(
        point.start,
        point.at,
        point.position,
        shown(point.value),
        shown(point.low),
        shown(point.high),
        point.observations,
    )
