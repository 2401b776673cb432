"""Read model `capability_listing`: what each artifact can do, and who says so.

Read by queries/capability.py.
"""

from matchgraph.domain.capability import Capability
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, insert


class Added(Heard, tag="capability.added", frozen=True):
    capability: Capability


class Revised(Heard, tag="capability.revised", frozen=True):
    capability: Capability


class Retired(Heard, tag="capability.retired", frozen=True):
    key: str


async def apply(db: Connection, batch: Batch) -> None:
    """Writes what is newest of each capability, then marks those that are retired."""
    said: dict[tuple[str, str], tuple[int, Capability]] = {}
    added: dict[tuple[str, str], int] = {}
    retired: dict[tuple[str, str], int] = {}
    for position, event in batch:
        match event:
            case Added(id=id, capability=capability):
                said[id, capability.key] = (position, capability)
                added[id, capability.key] = position
            case Revised(id=id, capability=capability):
                said[id, capability.key] = (position, capability)
                retired.pop((id, capability.key), None)
            case Retired(id=id, key=key):
                retired[id, key] = position
    await insert(
        db,
        "capability_listing",
        [
            (
                id,
                key,
                c.name,
                c.description,
                c.unique,
                c.versus_alternatives,
                c.intents,
                c.best_for,
                c.limitations,
                c.requires,
                c.input_types,
                c.output_types,
                c.tags,
                c.provenance.method,
                c.provenance.source,
                c.provenance.observed_at,
                False,
                # A revised one is there already and keeps its place.
                added.get((id, key), 0),
                position,
            )
            for (id, key), (position, c) in said.items()
        ],
        then="ON CONFLICT (artifact_id, key) DO UPDATE SET ("
        + (columns := ", ".join(REVISED))
        + f") = ROW (excluded.{columns.replace(', ', ', excluded.')})",
    )
    if retired:
        await db.execute(
            "UPDATE capability_listing c SET retired = true, position = u.position"
            " FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS u (id, key, position)"
            " WHERE c.artifact_id = u.id AND c.key = u.key",
            [id for id, _ in retired],
            [key for _, key in retired],
            list(retired.values()),
        )


REVISED = (
    "name",
    "description",
    "unique_claim",
    "versus_alternatives",
    "intents",
    "best_for",
    "limitations",
    "requires",
    "input_types",
    "output_types",
    "tags",
    "method",
    "source",
    "observed_at",
    "retired",
    "position",
)

CAPABILITY_LISTING = Projection(
    name="capability_listing",
    tables=("capability_listing",),
    hears=(Added, Revised, Retired),
    apply=apply,
)
