"""Read model `capability_listing`: what each artifact can do, and who says so, now and before.

Read by queries/capability.py.
"""

from typing import Any

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
    """Folds the batch into one row per capability, then writes each once; what was replaced on the
    way goes to the past."""
    rows = await _known(db, batch)
    past: list[tuple[Any, ...]] = []
    for position, event in batch:
        key = _key(event)
        known = rows.get(key)
        if known is not None:
            past.append((*known.values(), position))
        match event:
            case Added(capability=capability):
                rows[key] = _row(event.id, capability, position, position)
            case Revised(capability=capability):
                # It keeps its place.
                rows[key] = _row(event.id, capability, rows[key]["added_position"], position)
            case Retired():
                rows[key] = {**rows[key], "retired": True, "position": position}
    await insert(
        db,
        "capability_listing",
        [tuple(row.values()) for row in rows.values()],
        then="ON CONFLICT (artifact_id, key) DO UPDATE SET ("
        + (columns := ", ".join(REVISED))
        + f") = ROW (excluded.{columns.replace(', ', ', excluded.')})",
    )
    await insert(db, "capability_listing_past", past)


def _key(event: Any) -> tuple[str, str]:
    return event.id, event.key if isinstance(event, Retired) else event.capability.key


async def _known(db: Connection, batch: Batch) -> dict[tuple[str, str], dict[str, Any]]:
    """What there is of the capabilities that change; those that come with the batch are new."""
    first = {_key(event): event for _, event in reversed(batch)}
    asked = [key for key, event in first.items() if not isinstance(event, Added)]
    if not asked:
        return {}
    rows = await db.fetch(
        f"SELECT {', '.join(COLUMNS)}"
        " FROM unnest($1::uuid[], $2::text[]) AS asked (artifact_id, key)"
        " JOIN capability_listing c USING (artifact_id, key)",
        [id for id, _ in asked],
        [key for _, key in asked],
    )
    return {(str(row["artifact_id"]), row["key"]): dict(row) for row in rows}


def _row(id: str, c: Capability, added_position: int, position: int) -> dict[str, Any]:
    """The columns of the table, in their order."""
    return {
        "artifact_id": id,
        "key": c.key,
        "name": c.name,
        "description": c.description,
        "unique_claim": c.unique,
        "versus_alternatives": c.versus_alternatives,
        "intents": c.intents,
        "best_for": c.best_for,
        "limitations": c.limitations,
        "requires": c.requires,
        "input_types": c.input_types,
        "output_types": c.output_types,
        "tags": c.tags,
        "method": c.provenance.method,
        "source": c.provenance.source,
        "observed_at": c.provenance.observed_at,
        "retired": False,
        "added_position": added_position,
        "position": position,
    }


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
# Of this release; a later one may add others.
COLUMNS = ("artifact_id", "key", *REVISED[:-1], "added_position", "position")

CAPABILITY_LISTING = Projection(
    name="capability_listing",
    tables=("capability_listing", "capability_listing_past"),
    hears=(Added, Revised, Retired),
    apply=apply,
)
