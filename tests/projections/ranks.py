"""Ranks written into the tables by hand, a Valkey to be killed, and what boards hold."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
import redis.asyncio as redis
from hypothesis import strategies as st

from faults.boards import agree
from matchgraph.domain.artifact import Kind, id_of
from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.store import PROJECTED, Store
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.rank_cache import RankCache
from matchgraph.projections.ranked import Ranked
from tests.eventstore.histories import plain, until
from tests.projections.tables import BY

# An artifact's number, its standing and interval from now on, and whether it is on offer.
Move = tuple[int, int, int, bool]


def ranked(
    number: int,
    position: int,
    *,
    kind: Kind = Kind.MODEL,
    standing: int = 50_000_000,
    spread: int = 5_000_000,
) -> Ranked:
    """An artifact of that number as it ranks since that position."""
    slug = f"thing-{number}"
    return Ranked(
        id_of(slug),
        kind,
        slug,
        standing + 1_000_000,
        standing - spread,
        standing + spread,
        *(500_000, standing, 1, 2, 3, 4, 5, position),
    )


async def grow(store: Store, events: int) -> int:
    """Makes the log longer; returns its end."""
    return await store.append_batch([plain() for _ in range(events)], BY)


async def record(
    db: Connection, position: int, rows: Iterable[Ranked], gone: Iterable[Ranked] = ()
) -> None:
    """What the projection does with an event: rows and checkpoint at once, and then a nudge.
    `gone` are no longer on offer."""
    there, gone = list(rows), list(gone)
    rows = [*there, *gone]
    async with db.transaction():
        await db.executemany(
            "INSERT INTO rank_evidence (artifact_id, kind, slug, listed, evidence, checked, held,"
            " exposure, utility, position) VALUES ($1, $2, $3, true, '[]', 0, 0, 0, 0, $4)"
            " ON CONFLICT DO NOTHING",
            [(row.artifact_id, row.kind, row.slug, row.position) for row in rows],
        )
        await db.execute(
            "DELETE FROM rank_board WHERE artifact_id = ANY ($1)", [r.artifact_id for r in rows]
        )
        await db.executemany(
            "INSERT INTO rank_board VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
            " $14, $14, '')",
            [
                (
                    *(row.position, row.artifact_id, row.kind, row.score, row.low, row.high),
                    *(row.coverage, row.standing, row.adoption, row.quality, row.ecosystem),
                    *(row.match_graph, row.freshness, int(number < len(there))),
                )
                for number, row in enumerate(rows)
            ],
        )
        await reach(db, position)


async def reach(db: Connection, position: int) -> None:
    """The projection has come that far."""
    await db.execute(
        "UPDATE projection_checkpoint SET position = $1 WHERE name = 'rank_board'", position
    )
    await db.execute(f"NOTIFY {PROJECTED}")


async def fill(db: Connection, artifacts: int, position: int) -> None:
    """So many artifacts of every kind, all moved by one event."""
    async with db.transaction():
        await db.execute("DELETE FROM rank_board")
        await db.execute(
            "INSERT INTO rank_evidence (artifact_id, kind, slug, listed, evidence, checked, held,"
            " exposure, utility, position) SELECT md5(n::text)::uuid, ($1::text[])[1 + n % 19],"
            " 'thing-' || n, true, '[]', 0, 0, 0, 0, 1 FROM generate_series(1, $2) n"
            " ON CONFLICT DO NOTHING",
            list(Kind),
            artifacts,
        )
        await db.execute(
            "INSERT INTO rank_board SELECT $1::bigint, artifact_id, kind, at, at - 5000000,"
            " at + 5000000, 500000, at, 1, 2, 3, 4, 5, 1, 1, '' FROM (SELECT *,"
            " (('x' || left(md5(slug || $1::bigint), 6))::bit(24)::int) * 5 AS at"
            " FROM rank_evidence) e",
            position,
        )
        await reach(db, position)
    await db.execute("ANALYZE rank_board, rank_evidence")


async def cut_off(url: str) -> None:
    """Ends the sessions that keep boards or wait for that."""
    admin = await asyncpg.connect(url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'matchgraph rank cache' AND datname = current_database()"
    )
    await admin.close()


async def answers(client: "redis.Redis") -> bool:
    """Whether Redis is there."""
    try:
        return bool(await client.ping())
    except redis.RedisError:
        return False


@asynccontextmanager
async def keeping(url: str, store: Store, client: "redis.Redis") -> AsyncIterator[RankCache]:
    """The task at work."""
    cache = RankCache(url, store.listener, client, audit=0.2)
    task = asyncio.create_task(cache.run())
    try:
        yield cache
    finally:
        assert not task.done(), "this task never ends"
        await stop(task)


async def kept(db: Connection, client: "redis.Redis", *, patience: float = 20) -> None:
    """Waits until Redis has all of it."""

    async def there() -> bool:
        try:
            return await agree(db, client)
        except (redis.RedisError, OSError):
            return False

    await until(there, patience=patience)


numbers = st.integers(0, 12)
standings = st.integers(-20_000_000, 100_000_000) | st.sampled_from([0, 50_000_000])
spreads = st.sampled_from([0, 1, 5_000_000, 30_000_000])
kinds = (Kind.MODEL, Kind.CLI)
# For each event the artifacts that it moves.
moves = st.lists(
    st.lists(
        st.tuples(numbers, standings, spreads, st.sampled_from([True, True, True, False])),
        max_size=6,
        unique_by=lambda move: move[0],
    ),
    min_size=1,
    max_size=8,
)


async def replay(db: Connection, position: int, moved: Iterable[Move]) -> None:
    """One event of `moves`."""
    rows: dict[bool, list[Ranked]] = {True: [], False: []}
    for number, standing, spread, listed in moved:
        kind = kinds[number % 2]
        rows[listed].append(ranked(number, position, kind=kind, standing=standing, spread=spread))
    await record(db, position, rows[True], rows[False])
