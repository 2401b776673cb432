"""How one artifact ranks, as boards show it; the cache and the queries both speak of it."""

from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from matchgraph.domain.artifact import Kind


@dataclass(frozen=True, slots=True)
class Ranked:
    """The rank of one artifact since the event at `position`.

    Units: score, interval, standing and the five parts in millionths of a point, of which the
        parts add up to the score; coverage in millionths.
    """

    artifact_id: UUID
    kind: Kind
    slug: str
    score: int
    low: int
    high: int
    coverage: int
    # What boards are ordered by; below zero where little is known of what scores low.
    standing: int
    adoption: int
    quality: int
    ecosystem: int
    match_graph: int
    freshness: int
    position: int


# A Ranked's fields in their order, and where they are.
COLUMNS = (
    "b.artifact_id, b.kind, e.slug, b.score, b.low, b.high, b.coverage, b.standing, b.adoption,"
    " b.quality, b.ecosystem, b.match_graph, b.freshness, b.position"
)
TABLES = "rank_board b JOIN rank_evidence e USING (artifact_id)"


def ranked_in_board(board: Any, slug: str) -> Ranked:
    """The rank in a whole row of rank_board, of the artifact with that slug."""
    return Ranked(
        board["artifact_id"],
        Kind(board["kind"]),
        slug,
        *(board[field.name] for field in fields(Ranked)[3:]),
    )


def ranked_of(row: Any) -> Ranked:
    """The rank in a row that begins with COLUMNS."""
    artifact_id, kind, *rest = row[:14]
    return Ranked(artifact_id, Kind(kind), *rest)
