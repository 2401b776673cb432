"""What read models hold, byte for byte, and how tests bring them there."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from matchgraph.eventstore.connection import Connection, connect
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.projection import Projection
from matchgraph.projections.rebuild import rebuild
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World

BY = Request(actor="tester", request_id="test")
Contents = dict[str, list[str]]


async def contents(url: str, projections: Iterable[Projection] = PROJECTIONS) -> Contents:
    """Every row of every table, as PostgreSQL writes it."""
    db = await connect(url, "test")
    found = {
        table: [row[0] for row in await db.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")]
        for projection in projections
        for table in projection.tables
    }
    await db.close()
    return found


async def rebuilt(url: str) -> Contents:
    """What the read models hold after each was computed anew."""
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    return await contents(url)


async def start_over(url: str, projections: Iterable[Projection] = PROJECTIONS) -> None:
    """Empties the read models, as if they had just been created."""
    db = await connect(url, "test")
    for projection in projections:
        for table in projection.tables:
            await db.execute(f"DELETE FROM {table}")
        await db.execute(
            "UPDATE projection_checkpoint SET position = 0, recorded_at = NULL, stuck_at = NULL,"
            " stuck_because = NULL WHERE name = $1",
            projection.name,
        )
    await db.close()


async def checkpoints(url: str) -> dict[str, int]:
    """How far each read model has come."""
    db = await connect(url, "test")
    rows = await db.fetch("SELECT name, position FROM projection_checkpoint ORDER BY name")
    await db.close()
    return {row["name"]: row["position"] for row in rows}


@asynccontextmanager
async def projected(clones: Clones, world: World) -> AsyncIterator[Connection]:
    """A database of its own in which every read model has seen that history."""
    async with clones() as url, open_store(url) as store:
        await store.append_batch(world.events, BY)
        await project(url, store)
        db = await connect(url, "test")
        assert await db.fetch("SELECT FROM projection_checkpoint WHERE stuck_at IS NOT NULL") == []
        yield db
        await db.close()


async def append(store: Store, commands: Sequence[Sequence[Any]]) -> int:
    """Appends commands one after another and returns the position reached."""
    position = 0
    for events in commands:
        position = await store.append_stored(events, BY)
    return position


def values(row: asyncpg.Record, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
