"""Prices and signals into the read models, each event once."""

import asyncio
from functools import partial
from urllib.parse import urlsplit

import asyncpg

from bench import history, library
from bench.frame import Bench, Goal, Round, Table, timed
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import MOST_IN_PAGE, Request, open_store
from matchgraph.projections import catalog
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.runner import Runner

PAGES = f"matchgraph Runner, pages of {MOST_IN_PAGE:,}"
DURABLE = "the same, synchronous_commit=on"
ONE = "matchgraph Runner, one event a transaction"
LIBRARY = "eventsourcing view, one event a transaction"
ONE_BY_ONE = 2_000
# Ranks have a suite of their own.
PROJECTIONS = tuple(one for one in catalog.PROJECTIONS if one is not RANK_BOARD)


async def run(bench: Bench) -> None:
    """Measures the table."""
    artifacts = 2_000 if bench.quick else 10_000
    registrations, observed = history.registered_and_observed(artifacts, observations=10)
    rows = history.rows([*registrations, *observed])
    async with bench.database() as url:
        async with open_store(url) as store:
            for start in range(0, len(rows), 20_000):
                await store.append_batch(
                    rows[start : start + 20_000], Request(actor="bench", request_id="bench")
                )
        # The listing holds the artifacts already; what is measured are prices and signals.
        await _advance(url, artifacts, page=artifacts)
        admin = await asyncpg.connect(url)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        filled = urlsplit(url).path[1:]
        few = observed[: min(ONE_BY_ONE, len(observed))]

        table = Table(
            "project",
            f"Project {len(observed):,} prices and signals of {artifacts:,} artifacts",
            "events/s",
            base=LIBRARY,
            goals=(Goal(PAGES, "events", LIBRARY, 150),),
            flushes=True,
            notes=[
                "All rows write the same tables with the checkpoint in the same transaction; the"
                " runner commits asynchronously, as in production, and advances the"
                f" {len(PROJECTIONS)} projections of the catalog together."
                f" One event a transaction: the first {len(few):,} events only."
            ],
        )

        async def ours(most: int, page: int, durable: bool = False) -> Round:
            async with bench.database(filled) as copy:
                return await _advance(copy, most, page=page, durable=durable)

        table.add(PAGES, "events", partial(ours, len(observed), MOST_IN_PAGE))
        table.add(DURABLE, "events", partial(ours, len(observed), MOST_IN_PAGE, True))
        table.add(ONE, "events", partial(ours, len(few), 1))

        async def peer() -> Round:
            async with bench.database(filled) as copy:
                with library.catalog(copy) as application, library.view(copy) as view:
                    library.fill(application, few)
                    return await asyncio.to_thread(library.follow, application, view, len(few))

        table.add(LIBRARY, "events", peer)
        await bench.measure(table)


async def _advance(url: str, most: int, *, page: int, durable: bool = False) -> Round:
    """Takes every projection on by so many events."""
    runner = Runner(url, Listener(url, ()), PROJECTIONS, page=page)
    commit = "on" if durable else "off"
    connection = await connect(url, "projector", synchronous_commit=commit)
    async with timed(most) as rounds:
        for _ in range(most // page):
            assert await runner.advance(connection), "there is more to project"
    stuck = await connection.fetchval(
        "SELECT count(*) FROM projection_checkpoint WHERE stuck_at IS NOT NULL"
    )
    assert stuck == 0, "no projection is stuck"
    await connection.close()
    return rounds[0]
