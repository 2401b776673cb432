"""How artifacts rank, why, and what moved them: many artifacts in one statement."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import ENOUGH_VIEWS, FEWEST, MatchMean, Scale, Scales
from matchgraph.domain.policy import KindPolicy
from matchgraph.domain.ranking import COUNTS, TRUST, Evidence, Rank, measure, rank
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Fetches
from matchgraph.projections.changes import RANK_COLUMNS, RankChange, rank_change
from matchgraph.projections.rank_board import RANK_BOARD, evidence_of, read_evidence
from matchgraph.projections.rank_match import matched
from matchgraph.projections.rank_recompute import in_force
from matchgraph.projections.ranked import COLUMNS, TABLES, Ranked, ranked_of
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

ORDER = "rank_history"


@dataclass(frozen=True, slots=True)
class RankAt:
    """An artifact's rank as of a position, explained, with the events that it is measured by.

    `rank` is None before the artifact was registered; `policy` is None while the default holds.
    """

    position: int
    rank: Rank | None
    listed: bool
    policy: int | None
    calibration: int | None


async def ranked(snapshot: Fetches, ids: Sequence[UUID]) -> list[Ranked | None]:
    """The rank of each artifact, in the order asked; None where there is no such artifact."""
    rows = await snapshot.fetch(
        f"SELECT {COLUMNS} FROM {TABLES} WHERE b.artifact_id = ANY ($1)", list(ids)
    )
    found = {row["artifact_id"]: ranked_of(row) for row in rows}
    return [found.get(id) for id in ids]


async def explained(snapshot: Fetches, ids: Sequence[UUID]) -> list[Rank | None]:
    """The rank of each artifact with its parts and their inputs, in the order asked."""
    rows = await snapshot.fetch(
        "SELECT artifact_id, kind, released, last_release, evidence,"
        " exposure, utility, searchers, discounted FROM rank_evidence WHERE artifact_id = ANY ($1)",
        list(ids),
    )
    policies, scales = await in_force(snapshot)
    found = {row["artifact_id"]: explained_of(row, policies, scales) for row in rows}
    return [found.get(id) for id in ids]


def explained_of(
    row: asyncpg.Record, policies: Mapping[Kind, KindPolicy], scales: Scales | None
) -> Rank:
    """The rank that the evidence in a row of rank_evidence gives."""
    kind = Kind(row["kind"])
    days = [day for day in (row["released"], row["last_release"]) if day is not None]
    evidence = Evidence(
        kind=kind,
        signals=read_evidence(row["evidence"]),
        released=max(days, default=None),
        exposure=row["exposure"],
        utility=row["utility"],
        searchers=row["searchers"],
        discounted=row["discounted"],
    )
    return rank(evidence, measure(kind, policies, scales))


async def at(snapshot: Fetches, artifact_id: UUID, position: int) -> RankAt:
    """The artifact's rank as of that position. Raises: Unavailable.

    Source: the artifact's own history; and with the position since when each holds, policies,
    calibrations and what searchers had made of it, for which all of history would have to be read.
    """
    rows = await snapshot.fetch(
        "SELECT position, state FROM event WHERE originator_id = $1 AND position <= $2"
        " ORDER BY originator_version",
        artifact_id,
        position,
    )
    policies, scales = await in_force(snapshot, position)
    since = await snapshot.fetch(
        "SELECT (SELECT max(position) FROM rank_calibration WHERE position <= $1) AS calibration,"
        " (SELECT max(p.position) FROM rank_policy p JOIN rank_evidence e USING (kind)"
        " WHERE e.artifact_id = $2 AND p.position <= $1) AS policy",
        position,
        artifact_id,
    )
    found: Rank | None = None
    listed = False
    if rows:
        events = RANK_BOARD.decoded(b"[" + b",".join(row["state"] for row in rows) + b"]")
        evidence, listed = evidence_of(
            ((row["position"], event) for row, event in zip(rows, events, strict=True)),
            await matched(snapshot, artifact_id, position),
        )
        found = rank(evidence, measure(evidence.kind, policies, scales))
    return RankAt(position, found, listed, since[0]["policy"], since[0]["calibration"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A page of an artifact's changes of rank, of those behind `since` and up to `until`."""

    artifact_id: UUID
    first: int
    after: str | None
    since: int = 0
    until: int = 2**63 - 1

    @property
    def behind(self) -> int:
        """The position that the page begins behind. Raises: BadCursor."""
        if self.after is None:
            return self.since
        (position,) = pages.decode(ORDER, self.after, int)
        return max(self.since, int(position))


async def history(snapshot: Snapshot, asked: Sequence[Asked]) -> list[Page[RankChange]]:
    """A page of each artifact's changes of rank, oldest first. Raises: BadPageSize, BadCursor,
    Unavailable."""
    rows = await snapshot.fetch(
        f"SELECT asked.number, {RANK_COLUMNS}"
        " FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[])"
        " WITH ORDINALITY AS asked (id, first, behind, until, number)"
        " CROSS JOIN LATERAL (SELECT * FROM rank_history h WHERE h.artifact_id = asked.id"
        " AND h.position > asked.behind AND h.position <= asked.until"
        " ORDER BY h.position LIMIT asked.first + 1) AS h"
        " JOIN rank_evidence r ON r.artifact_id = h.artifact_id"
        " JOIN event e ON e.position = h.position ORDER BY asked.number, h.position",
        [one.artifact_id for one in asked],
        [pages.size(one.first) for one in asked],
        [one.behind for one in asked],
        [one.until for one in asked],
    )
    found: dict[int, list[RankChange]] = defaultdict(list)
    for row in rows:
        found[row["number"]].append(rank_change(row))
    return [
        pages.page(found[number], one.first, lambda change: pages.encode(ORDER, [change.position]))
        for number, one in enumerate(asked, start=1)
    ]


async def policies(snapshot: Snapshot) -> list[KindPolicy]:
    """The policy of every kind, by name of the kind."""
    found, _ = await in_force(snapshot)
    return [found[kind] for kind in sorted(found)]


@dataclass(frozen=True, slots=True)
class InForce:
    """The calibration that ranks are measured by, and the event that put it in force."""

    scales: Scales
    position: int
    calibrated_at: datetime


async def calibration(snapshot: Snapshot) -> InForce | None:
    """The calibration in force; None before the first."""
    _, scales = await in_force(snapshot)
    rows = await snapshot.fetch(
        "SELECT position, calibrated_at FROM rank_calibration ORDER BY position DESC LIMIT 1"
    )
    if scales is None:
        return None
    return InForce(scales, rows[0]["position"], rows[0]["calibrated_at"])


async def distributions(snapshot: Snapshot) -> Scales:
    """The 99th percentile of each count, of each kind and of all kinds, among what is on offer
    now, and how well each kind serves searchers; the day is today's. Raises: Unavailable."""
    trust = "array_position($2::text[], s.method)"
    rows = await snapshot.fetch(
        "WITH counted AS ("
        " SELECT DISTINCT ON (s.artifact_id, s.name) l.kind, s.name, s.value"
        " FROM signal_board s JOIN artifact_listing l ON l.id = s.artifact_id"
        " WHERE s.name = ANY ($1) AND l.status = 'active'"
        " ORDER BY s.artifact_id, s.name, ($3::float8[])[" + trust + "] DESC,"
        ' s.observed_at DESC, s.source COLLATE "C")'
        " SELECT kind, name, percentile_disc(0.99) WITHIN GROUP (ORDER BY value) AS p99,"
        " count(*) AS observed FROM counted GROUP BY GROUPING SETS ((kind, name), (name))"
        ' ORDER BY name COLLATE "C", kind COLLATE "C" NULLS FIRST',
        list(COUNTS),
        list(TRUST),
        list(TRUST.values()),
    )
    return Scales(
        day=datetime.now(UTC).date(),
        up_to=await snapshot.position(),
        scales=tuple(
            Scale(
                signal=SignalName(row["name"]),
                p99=row["p99"],
                observed=row["observed"],
                kind=None if row["kind"] is None else Kind(row["kind"]),
            )
            for row in rows
        ),
        match_means=await _match_means(snapshot),
    )


async def _match_means(snapshot: Snapshot) -> tuple[MatchMean, ...]:
    """What came of an examined view, for each kind: its own mean where enough artifacts of it were
    looked at, else that of all kinds together, else none at all."""
    rows = await snapshot.fetch(
        "SELECT e.kind, sum(t.utility) / sum(t.exposure) AS mean, count(*) AS artifacts"
        " FROM rank_match_total t JOIN rank_evidence e USING (artifact_id)"
        " WHERE e.listed AND t.exposure >= $1 GROUP BY GROUPING SETS ((e.kind), ())"
        " HAVING count(*) >= $2",
        ENOUGH_VIEWS,
        FEWEST,
    )
    means = {row["kind"]: row["mean"] for row in rows}
    if None not in means:
        return ()
    # A rate beyond one comes of what was chosen far down the list.
    return tuple(
        MatchMean(
            kind=kind, mean=Decimal(min(means.get(kind.value, means[None]), 1.0)).quantize(MICRO)
        )
        for kind in sorted(Kind)
    )


MICRO = Decimal("0.000001")
