"""Read model `artifact_listing`: what is in the catalog, and under which slugs, now and before.

Read by queries/artifact.py.
"""

from dataclasses import fields
from datetime import datetime
from typing import Any

from matchgraph.domain.artifact import Facts, Kind, Status
from matchgraph.domain.provenance import Provenance
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, insert

FACTS = tuple(field.name for field in fields(Facts))
# What later migrations added is last in the table, wherever it stands among the facts.
ADDED = ("last_release",)


class Registered(Heard, tag="artifact.registered", frozen=True):
    timestamp: datetime
    slug: str
    kind: Kind
    facts: Facts
    provenance: Provenance


class Described(Heard, tag="artifact.described", frozen=True):
    timestamp: datetime
    facts: Facts
    provenance: Provenance


class Retired(Heard, tag="artifact.retired", frozen=True):
    timestamp: datetime


class Reinstated(Heard, tag="artifact.reinstated", frozen=True):
    timestamp: datetime


class Merged(Heard, tag="artifact.merged", frozen=True):
    timestamp: datetime
    into: str


class Unmerged(Heard, tag="artifact.unmerged", frozen=True):
    timestamp: datetime


class Aliased(Heard, tag="artifact.aliased", frozen=True):
    slug: str
    artifact_id: str


class Realiased(Heard, tag="artifact.realiased", frozen=True):
    artifact_id: str


class Unaliased(Heard, tag="artifact.unaliased", frozen=True):
    pass


async def apply(db: Connection, batch: Batch) -> None:
    """Folds the batch into one row per artifact and per alias, then writes each once; what was
    replaced on the way goes to the past."""
    listed = await _known(db, "artifact_listing", {event.id for _, event in batch})
    aliases = await _known(db, "artifact_alias", {event.id for _, event in batch})
    past: list[tuple[Any, ...]] = []
    past_aliases: list[tuple[Any, ...]] = []
    for position, event in batch:
        if event.id in listed:
            past.append((*_values(listed[event.id], COLUMNS), position))
        if event.id in aliases:
            past_aliases.append((*_values(aliases[event.id], ALIAS), position))
        match event:
            case Registered():
                row = listed[event.id] = {
                    "id": event.id,
                    "slug": event.slug,
                    "kind": event.kind,
                    **dict.fromkeys(FACTS),
                    "registered_at": event.timestamp,
                    "registered_position": position,
                    "leads_to": None,
                    "status": Status.ACTIVE,
                }
                _describe(row, event.facts, event.provenance)
            case Described():
                _describe(listed[event.id], event.facts, event.provenance)
            case Retired():
                listed[event.id]["status"] = Status.RETIRED
            case Reinstated():
                listed[event.id]["status"] = Status.ACTIVE
            case Merged():
                listed[event.id].update(status=Status.MERGED, leads_to=event.into)
            case Unmerged():
                listed[event.id].update(status=Status.ACTIVE, leads_to=None)
            case Aliased():
                aliases[event.id] = {
                    "slug": event.slug,
                    "id": event.id,
                    "artifact_id": event.artifact_id,
                    "position": position,
                }
                continue
            case Realiased():
                aliases[event.id].update(artifact_id=event.artifact_id, position=position)
                continue
            case Unaliased():
                aliases[event.id].update(artifact_id=None, position=position)
                continue
        listed[event.id].update(changed_at=event.timestamp, position=position)
    await _replace(db, "artifact_listing", COLUMNS, listed)
    await _replace(db, "artifact_alias", ALIAS, aliases)
    await insert(db, "artifact_listing_past", past)
    await insert(db, "artifact_alias_past", past_aliases)


COLUMNS = (
    "id",
    "slug",
    "kind",
    *(name for name in FACTS if name not in ADDED),
    "status",
    "leads_to",
    "method",
    "source",
    "observed_at",
    "registered_at",
    "changed_at",
    "registered_position",
    "position",
    *ADDED,
)
ALIAS = ("slug", "id", "artifact_id", "position")


def _describe(row: dict[str, Any], facts: Facts, provenance: Provenance) -> None:
    row.update(facts.said())
    row.update(
        method=provenance.method, source=provenance.source, observed_at=provenance.observed_at
    )


async def _known(db: Connection, table: str, ids: set[str]) -> dict[str, dict[str, Any]]:
    rows = await db.fetch(f"SELECT * FROM {table} WHERE id = ANY ($1)", list(ids))
    return {str(row["id"]): dict(row) for row in rows}


async def _replace(
    db: Connection, table: str, columns: tuple[str, ...], rows: dict[str, dict[str, Any]]
) -> None:
    await insert(
        db,
        table,
        [_values(row, columns) for row in rows.values()],
        then="ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in columns if column != "id"),
    )


def _values(row: dict[str, Any], columns: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


ARTIFACT_LISTING = Projection(
    name="artifact_listing",
    tables=("artifact_listing", "artifact_alias", "artifact_listing_past", "artifact_alias_past"),
    hears=(
        Registered,
        Described,
        Retired,
        Reinstated,
        Merged,
        Unmerged,
        Aliased,
        Realiased,
        Unaliased,
    ),
    apply=apply,
)
