"""From the log to ranks: a replay, and a rebuild to the point where its tables are in use."""

import asyncio
from contextlib import aclosing
from functools import partial
from urllib.parse import urlsplit

import asyncpg

from bench import history, library
from bench.frame import Bench, Goal, Round, Table, timed
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED, Request, open_store, stored
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rank_cache import RankCache, forget
from matchgraph.projections.rebuild import PAGE, rebuild
from matchgraph.projections.redis_client import open_client
from matchgraph.projections.replay import replaying
from matchgraph.projections.runner import pages

REBUILD = "rebuild: tables switched, boards in Redis refilled"
REPLAY = "replay: digests of all tables"
BARE = "bare replay: the same rows decoded into memory"
LIBRARY = "eventsourcing view, one event a transaction"
ONE_BY_ONE = 2_000
BY = Request(actor="bench", request_id="bench")


async def run(bench: Bench) -> None:
    """Measures the table."""
    artifacts = 2_000 if bench.quick else 10_000
    registrations, observed = history.registered_and_observed(artifacts, observations=20)
    rows = history.rows(registrations) + [stored(e) for e in history.calibration()]
    rows += history.rows(observed)
    few = observed[:ONE_BY_ONE]
    async with bench.database() as url:
        async with open_store(url) as store:
            for start in range(0, len(rows), 20_000):
                await store.append_batch(rows[start : start + 20_000], BY)
        await rebuild(url, RANK_BOARD)
        admin = await asyncpg.connect(url)
        await admin.execute("VACUUM ANALYZE")
        moved = await admin.fetchval("SELECT count(*) FROM rank_history")
        await admin.close()
        filled = urlsplit(url).path[1:]
        table = Table(
            "rebuild",
            f"Ranks of {artifacts:,} artifacts from {len(rows):,} events",
            "events/s",
            base=LIBRARY,
            goals=(Goal(REBUILD, "events", LIBRARY, 500), Goal(REBUILD, "events", BARE, 0.5)),
            flushes=True,
            notes=[
                f"{moved:,} of the events moved a rank: each has a row of history with its place,"
                f" its band and its parts. Pages of {PAGE:,}. The library's loop keeps the newest"
                f" price and signal of each artifact instead, which is less; its first {len(few):,}"
                " events only."
            ],
        )

        async def rebuilt() -> Round:
            async with bench.database(filled) as copy:
                return await _rebuild(copy, bench.servers.redis_url, len(rows))

        async def replayed() -> Round:
            async with timed(len(rows)) as rounds, replaying(url, (RANK_BOARD,)) as replay:
                await replay.advance({RANK_BOARD.name: len(rows)})
                async for model in replay.digests():
                    assert model.position == len(rows)
            return rounds[0]

        async def peer() -> Round:
            async with bench.database() as empty:
                with library.catalog(empty) as application, library.view(empty) as view:
                    library.fill(application, few)
                    return await asyncio.to_thread(library.follow, application, view, len(few))

        table.add(REBUILD, "events", rebuilt)
        table.add(REPLAY, "events", replayed)
        table.add(BARE, "events", partial(_bare, url, len(rows)))
        table.add(LIBRARY, "events", peer)
        await bench.measure(table)


async def _rebuild(url: str, redis_url: str, count: int) -> Round:
    client = open_client(redis_url, patience=10)
    connection = await connect(url, "boards")
    async with Listener(url, (PROJECTED,)) as listener, timed(count) as rounds:
        assert await rebuild(url, RANK_BOARD) == count
        await forget(connection, client)
        cache = RankCache(url, listener, client)
        while not await cache.advance(connection):
            pass
    await forget(connection, client)
    await connection.close()
    await client.aclose()
    return rounds[0]


async def _bare(url: str, count: int) -> Round:
    """The newest event of each artifact and topic, which is what a fold into memory is about."""
    db = await connect(url, "bare")
    newest: dict[tuple[type, str], object] = {}
    async with timed(count) as rounds, aclosing(pages(db)) as history_read:
        async for page in history_read:
            for _, event in RANK_BOARD.batch(page):
                newest[type(event), event.id] = event
    assert newest, "something was heard"
    await db.close()
    return rounds[0]
