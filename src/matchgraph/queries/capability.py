"""What artifacts can do: many artifacts' capabilities in one statement."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

COLUMNS = (
    "c.artifact_id, c.key, c.name, c.description, c.unique_claim, c.versus_alternatives,"
    " c.intents, c.best_for, c.limitations, c.requires, c.input_types, c.output_types, c.tags,"
    " c.method, c.source, c.observed_at, c.added_position"
)
ORDER = "capability"


@dataclass(frozen=True, slots=True)
class Offered:
    """A capability of one artifact."""

    artifact_id: UUID
    capability: Capability
    added_position: int


async def of_artifacts(
    snapshot: Snapshot, asked: Sequence[tuple[UUID, int, str | None]]
) -> list[Page[Offered]]:
    """A page of each artifact's capabilities, in the order of their coming; what is asked is
    (artifact id, first, after). Raises: BadPageSize, BadCursor, Unavailable."""
    rows = await snapshot.fetch(
        f"SELECT asked.number, {COLUMNS}"
        " FROM unnest($1::uuid[], $2::int[], $3::bigint[]) WITH ORDINALITY"
        " AS asked (id, first, after, number) CROSS JOIN LATERAL ("
        " SELECT * FROM capability_listing c WHERE c.artifact_id = asked.id AND NOT c.retired"
        " AND c.added_position > asked.after ORDER BY c.added_position LIMIT asked.first + 1"
        ") AS c ORDER BY asked.number, c.added_position",
        [id for id, _, _ in asked],
        [pages.size(first) for _, first, _ in asked],
        [0 if after is None else pages.decode(ORDER, after, int)[0] for _, _, after in asked],
    )
    found: dict[int, list[Offered]] = defaultdict(list)
    for row in rows:
        found[row["number"]].append(offered(row))
    return [page_of(found[number], first) for number, (_, first, _) in enumerate(asked, start=1)]


def page_of(rows: Sequence[Offered], first: int) -> Page[Offered]:
    """A page of capabilities in the order of their coming, of which there is one more than `first`
    where there are more."""
    return pages.page(rows, first, lambda o: pages.encode(ORDER, [o.added_position]))


async def by_keys(snapshot: Snapshot, asked: Sequence[tuple[UUID, str]]) -> list[Offered | None]:
    """The capabilities by artifact and key, retired ones not; None where there is none."""
    rows = await snapshot.fetch(
        f"SELECT {COLUMNS} FROM unnest($1::uuid[], $2::text[]) AS asked (id, key)"
        " JOIN capability_listing c ON c.artifact_id = asked.id AND c.key = asked.key"
        " WHERE NOT c.retired",
        [id for id, _ in asked],
        [key for _, key in asked],
    )
    found = {(row["artifact_id"], row["key"]): offered(row) for row in rows}
    return [found.get(one) for one in asked]


async def counts(snapshot: Snapshot, ids: Sequence[UUID]) -> list[int]:
    """How many capabilities each artifact has. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT artifact_id, count(*) AS count FROM capability_listing"
        " WHERE artifact_id = ANY ($1) AND NOT retired GROUP BY artifact_id",
        list(ids),
    )
    found = {row["artifact_id"]: row["count"] for row in rows}
    return [found.get(id, 0) for id in ids]


def offered(row: asyncpg.Record) -> Offered:
    """The capability in a row of capability_listing."""
    return Offered(
        artifact_id=row["artifact_id"],
        capability=Capability(
            key=row["key"],
            name=row["name"],
            description=row["description"],
            unique=row["unique_claim"],
            versus_alternatives=row["versus_alternatives"],
            intents=tuple(row["intents"]),
            best_for=tuple(row["best_for"]),
            limitations=tuple(row["limitations"]),
            requires=tuple(row["requires"]),
            input_types=tuple(DataType(t) for t in row["input_types"]),
            output_types=tuple(DataType(t) for t in row["output_types"]),
            tags=tuple(row["tags"]),
            provenance=Provenance(
                method=Method(row["method"]),
                source=row["source"],
                observed_at=row["observed_at"],
            ),
        ),
        added_position=row["added_position"],
    )
