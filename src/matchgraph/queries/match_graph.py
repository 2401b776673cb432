"""What searchers made of artifacts: counts, head to head, and what a search can learn of it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from uuid import UUID

import asyncpg

from matchgraph.domain.calibration import MATCH_MEAN
from matchgraph.eventstore.connection import Fetches
from matchgraph.eventstore.searcher_keys import SealedText, SearcherKeys, label_of
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page

ORDER = "match"
# How much evidence, in examined views, the expectation is worth.
PRIOR = 5.0
# Fewer searchers than that may all be one.
FEWEST_SEARCHERS = 3
# The words of a need that fewer searches had are nobody else's business.
FEWEST_SEARCHES = 3
# What is left of a sum on a later day; the read model itself rounds it at the last digits.
LEFT = "power(0.5, greatest($2::date - day, 0) / 30.0::float8)"


@dataclass(frozen=True, slots=True)
class HeadToHead:
    """Searches in which two artifacts were both examined, and which of them fared better."""

    left: UUID
    right: UUID
    together: int
    left_better: int
    right_better: int
    neither: int


@dataclass(frozen=True, slots=True)
class Match:
    """An artifact that was served for an intent by a capability (None: as a whole), and what
    became of it. `exposure` and `utility` are as of `day`; what they halve in is 30 days."""

    artifact_id: UUID
    cluster: UUID
    intent: str | None
    capability: str | None
    exposure: float
    utility: float
    day: date
    searchers: int
    shown: int
    clicked: int
    chosen: int
    succeeded: int
    failed: int
    dismissed: int
    position: int


async def head_to_head(snapshot: Fetches, ids: Sequence[UUID]) -> list[HeadToHead]:
    """Each two of the artifacts, in the order given; all zero where nobody examined both. Raises:
    Unavailable."""
    wanted = list(combinations(ids, 2))
    rows = await snapshot.fetch(
        "SELECT p.* FROM unnest($1::uuid[], $2::uuid[]) AS u (l, r)"
        " JOIN match_pair p ON p.left_id = u.l AND p.right_id = u.r",
        [min(pair) for pair in wanted],
        [max(pair) for pair in wanted],
    )
    found = {(row["left_id"], row["right_id"]): row for row in rows}
    return [
        fared(left, right, found.get((min(left, right), max(left, right))))
        for left, right in wanted
    ]


def fared(left: UUID, right: UUID, row: asyncpg.Record | None) -> HeadToHead:
    """The two artifacts in that order, of a row of match_pair; None: nobody examined both."""
    together, better, worse = (
        (0, 0, 0) if row is None else (row["together"], row["left_better"], row["right_better"])
    )
    if left > right:
        better, worse = worse, better
    return HeadToHead(left, right, together, better, worse, together - better - worse)


async def times_matched(snapshot: Fetches, ids: Sequence[UUID]) -> list[int]:
    """How often each artifact was served by a search. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT artifact_id, sum(served)::bigint AS served FROM match_count"
        " WHERE artifact_id = ANY ($1) GROUP BY artifact_id",
        list(ids),
    )
    found = {row["artifact_id"]: row["served"] for row in rows}
    return [found.get(id, 0) for id in ids]


async def times_matched_by(
    snapshot: Fetches, asked: Sequence[tuple[UUID, str]]
) -> list[tuple[int, int]]:
    """How often each artifact was served by that capability, and how many of these were chosen.
    Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT c.* FROM unnest($1::uuid[], $2::text[]) AS u (id, capability)"
        " JOIN match_count c ON c.artifact_id = u.id AND c.capability = u.capability",
        [id for id, _ in asked],
        [capability for _, capability in asked],
    )
    found = {(row["artifact_id"], row["capability"]): row for row in rows}
    return [
        (0, 0) if (row := found.get(one)) is None else (row["served"], row["chosen"])
        for one in asked
    ]


async def learned(
    snapshot: Fetches, clusters: Sequence[tuple[UUID, float]], now_day: date
) -> dict[UUID, float]:
    """How much better than expected searchers with needs like this one were served by artifacts.

    Shape: by artifact, from 0 to 1; one of which too few searchers said anything is absent, and so
        is one that is no better than expected.
    Units: clusters come with the cosine of their meaning and the need's; its cube is the weight.
    Raises: Unavailable.
    """
    weights = {cluster: cosine**3 for cluster, cosine in clusters if cosine > 0}
    rows = await snapshot.fetch(
        f"SELECT artifact_id, cluster, sum(exposure * {LEFT}) AS exposure,"
        f" sum(utility * {LEFT}) AS utility, sum(searchers)::bigint AS searchers"
        " FROM match_edge WHERE cluster = ANY ($1) GROUP BY artifact_id, cluster"
        " ORDER BY artifact_id, cluster",
        list(weights),
        now_day,
    )
    exposure: dict[UUID, float] = defaultdict(float)
    utility: dict[UUID, float] = defaultdict(float)
    searchers: dict[UUID, list[int]] = defaultdict(list)
    for row in rows:
        id, weight = row["artifact_id"], weights[row["cluster"]]
        exposure[id] += weight * row["exposure"]
        utility[id] += weight * row["utility"]
        searchers[id].append(row["searchers"])
    enough = await _said_by_enough(snapshot, list(weights), searchers)
    rates = {
        id: (utility[id] + PRIOR * MATCH_MEAN) / (exposure[id] + PRIOR) - MATCH_MEAN
        for id in searchers
        if id in enough
    }
    return {id: min(rate, 1.0) for id, rate in rates.items() if rate > 0}


async def _said_by_enough(
    snapshot: Fetches, clusters: Sequence[UUID], searchers: dict[UUID, list[int]]
) -> set[UUID]:
    """The artifacts of which enough different searchers reported an outcome. Within a cluster each
    is counted once already; over several, few are left to look at."""
    enough = {id for id, counts in searchers.items() if max(counts) >= FEWEST_SEARCHERS}
    unsure = [
        id
        for id, counts in searchers.items()
        if id not in enough and sum(counts) >= FEWEST_SEARCHERS
    ]
    if unsure:
        rows = await snapshot.fetch(
            "SELECT artifact_id FROM match_cell WHERE acted AND artifact_id = ANY ($1)"
            " AND cluster = ANY ($2) GROUP BY artifact_id HAVING count(DISTINCT searcher) >= $3",
            unsure,
            list(clusters),
            FEWEST_SEARCHERS,
        )
        enough |= {row["artifact_id"] for row in rows}
    return enough


async def nearest_clusters(
    snapshot: Fetches, model: str, vector: str, *, most: int = 8, least: float = 0.25
) -> list[tuple[UUID, float]]:
    """The clusters that mean most nearly what the unit vector does (as PostgreSQL writes one),
    each with the cosine, best first. Raises: Unavailable."""
    rows = await snapshot.fetch(
        # Read once, and not for each row that it is compared with.
        "WITH aim AS MATERIALIZED (SELECT $2::text::halfvec AS vector)"
        " SELECT cluster, -(vector <#> (SELECT vector FROM aim)) AS cosine FROM intent_vector"
        " WHERE model = $1 ORDER BY vector <#> (SELECT vector FROM aim) LIMIT $3",
        model,
        vector,
        most,
    )
    return [(row["cluster"], row["cosine"]) for row in rows if row["cosine"] >= least]


async def edges_of(
    snapshot: Fetches, keys: SearcherKeys, asked: Sequence[tuple[UUID, int, str | None]]
) -> list[Page[Match]]:
    """A page of what each artifact was served for, most often first; what is asked is
    (artifact id, first, after). The keys open in whose words that is told. Raises: BadPageSize,
    BadCursor, Unavailable."""
    beyond = [
        (2**62, UUID(int=0), "") if after is None else pages.decode(ORDER, after, int, UUID, str)
        for _, _, after in asked
    ]
    rows = await snapshot.fetch(
        "SELECT asked.number, e.*, c.searches"
        " FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::uuid[], $5::text[])"
        " WITH ORDINALITY AS asked (id, first, shown, cluster, capability, number)"
        " CROSS JOIN LATERAL ("
        " SELECT * FROM match_edge e WHERE e.artifact_id = asked.id AND (e.shown < asked.shown"
        " OR e.shown = asked.shown AND (e.cluster, e.capability) >"
        ' (asked.cluster, asked.capability COLLATE "C"))'
        " ORDER BY e.shown DESC, e.cluster, e.capability LIMIT asked.first + 1"
        ") AS e JOIN match_cluster c ON c.cluster = e.cluster"
        " ORDER BY asked.number, e.shown DESC, e.cluster, e.capability",
        [id for id, _, _ in asked],
        [pages.size(first) for _, first, _ in asked],
        *([key[column] for key in beyond] for column in range(3)),
    )
    labels = await _labels(
        snapshot, keys, {row["cluster"] for row in rows if row["searches"] >= FEWEST_SEARCHES}
    )
    found: dict[int, list[Match]] = defaultdict(list)
    for row in rows:
        found[row["number"]].append(
            Match(
                artifact_id=row["artifact_id"],
                cluster=row["cluster"],
                intent=labels.get(row["cluster"]),
                capability=row["capability"] or None,
                **{name: row[name] for name in NUMBERS},
            )
        )
    return [
        pages.page(found[number], first, lambda m: pages.encode(ORDER, _key(m)))
        for number, (_, first, _) in enumerate(asked, start=1)
    ]


async def _labels(
    snapshot: Fetches, keys: SearcherKeys, clusters: Collection[UUID]
) -> dict[UUID, str]:
    """What the intents are in words: in those of the first searcher of each who is not forgotten;
    absent where there is none. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT cluster, key, search_id, label FROM match_words WHERE cluster = ANY ($1)"
        " ORDER BY cluster, position",
        list(clusters),
    )
    opened = await keys.opened(
        [SealedText(row["key"], row["label"], label_of(row["search_id"])) for row in rows]
    )
    found: dict[UUID, str] = {}
    for row, label in zip(rows, opened, strict=True):
        if label is not None:
            found.setdefault(row["cluster"], label.decode())
    return found


NUMBERS = (
    "exposure",
    "utility",
    "day",
    "searchers",
    "shown",
    "clicked",
    "chosen",
    "succeeded",
    "failed",
    "dismissed",
    "position",
)


def _key(match: Match) -> tuple[int, UUID, str]:
    return match.shown, match.cluster, match.capability or ""


async def reports_on(snapshot: Fetches, searcher: str, day: date) -> int:
    """How many reports of the searcher counted on that day. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT reports FROM match_searcher WHERE day = $1 AND searcher = $2", day, searcher
    )
    return rows[0]["reports"] if rows else 0
