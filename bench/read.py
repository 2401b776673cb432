"""Reading the whole history and decoding it."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import fields
from typing import Any, get_type_hints

import msgspec
from eventsourcing.projection import ApplicationSubscription

from bench import history, library
from bench.frame import Bench, Goal, Round, Table, timed
from matchgraph.eventstore import codec
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.eventstore.store import MOST_IN_PAGE, Request, Store, open_store
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.projection import Batch, Heard, Projection
from matchgraph.projections.runner import pages

LEAN = "matchgraph: packed page, one projection's lean types"
FULL = "matchgraph: packed page, every event in full"
ROWS = "matchgraph: Store.read, domain events"
PACKED = "packed pages, not decoded"
FETCH = "asyncpg fetch of 5 columns, not decoded"
LIBRARY = "eventsourcing ApplicationSubscription"


async def run(bench: Bench) -> None:
    """Measures the table."""
    registrations, observed = history.registered_and_observed(
        2_000 if bench.quick else 10_000, observations=9
    )
    events = registrations + observed
    rows = history.rows(events)
    count = len(rows)
    size = sum(len(row.state) for row in rows) // count
    async with (
        bench.database() as url,
        open_store(url) as store,
        bench.database() as library_url,
    ):
        for start in range(0, count, 20_000):
            await store.append_batch(
                rows[start : start + 20_000], Request(actor="bench", request_id="bench")
            )
        with library.catalog(library_url) as application:
            library_size = library.fill(application, events) // count
            del rows, events, registrations, observed
            db = await connect(url, "bench")
            await db.execute("SET ROLE NONE")
            await db.execute("VACUUM ANALYZE event")
            table = Table(
                "read",
                f"Read and decode {count:,} events",
                "events/s",
                base=LIBRARY,
                goals=(
                    Goal(LEAN, "events", LIBRARY, 15),
                    Goal(LEAN, "events", FETCH, 0.7),
                    Goal(FULL, "events", FETCH, 0.7),
                ),
                notes=[
                    f"States of {size} bytes on average, in the library's own encoding"
                    f" {library_size}; pages of {MOST_IN_PAGE:,} events, the library's of 500."
                ],
            )
            every_event = _projection_of_everything()
            table.add(LIBRARY, "events", lambda: asyncio.to_thread(_library, application, count))
            table.add(FETCH, "events", lambda: _fetch(db, count))
            table.add(PACKED, "events", lambda: _packed(db, count, None))
            table.add(LEAN, "events", lambda: _packed(db, count, PRICE_HISTORY))
            table.add(FULL, "events", lambda: _packed(db, count, every_event))
            table.add(ROWS, "events", lambda: _rows(store, count))
            await bench.measure(table)
            await db.close()


def _projection_of_everything() -> Projection:
    """Hears every event of the domain, with all that it says."""
    heard: list[type[Heard]] = []
    for topic, event in codec.EVENTS.items():
        hints = get_type_hints(event)
        shape = [(f.name, hints[f.name]) for f in fields(event) if f.name not in codec.HEADER]
        tag = codec.tag_of(topic, codec.version_of(event))
        name = event.__name__
        made: Any = msgspec.defstruct(name, shape, bases=(Heard,), tag=tag, frozen=True)
        heard.append(made)

    async def apply(db: Connection, batch: Batch) -> None:
        pass

    return Projection(name="everything", tables=(), hears=tuple(heard), apply=apply)


async def _packed(db: Connection, count: int, projection: Projection | None) -> Round:
    after, heard = 0, 0
    async with timed(count) as rounds, aclosing(pages(db)) as history_read:
        async for page in history_read:
            if projection is not None:
                heard += len(projection.batch(page))
            after = page.last
    assert after == count, "all of it was read"
    assert projection is None or heard > 0, "and something was heard"
    return rounds[0]


async def _fetch(db: Connection, count: int) -> Round:
    after = 0
    async with timed(count) as rounds:
        while page := await db.fetch(
            "SELECT position, originator_id, originator_version, topic, state FROM event"
            " WHERE position > $1 AND position <= $2 ORDER BY position",
            after,
            after + MOST_IN_PAGE,
        ):
            after = page[-1]["position"]
    assert after == count, "all of it was read"
    return rounds[0]


async def _rows(store: Store, count: int) -> Round:
    after = 0
    async with timed(count) as rounds:
        while page := await store.read(after, MOST_IN_PAGE):
            after = page[-1].position
    assert after == count, "all of it was read"
    return rounds[0]


def _library(application: library.Catalog, count: int) -> Round:
    start = time.perf_counter()
    with ApplicationSubscription(application, gt=0) as subscription:
        for _, tracking in subscription:
            if tracking.notification_id == count:
                break
    return Round(count, time.perf_counter() - start)
