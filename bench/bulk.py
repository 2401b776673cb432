"""Importing many events at once."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import asyncpg
from eventsourcing.persistence import StoredEvent

from bench import library
from bench.frame import Bench, Round, Table, timed
from bench.history import Supply
from matchgraph.eventstore.store import Request, open_store

OURS, LIBRARY, RAW = "matchgraph append_batch", "eventsourcing insert_events", "raw COPY"


async def run(bench: Bench) -> None:
    """Measures the table."""
    count = 20_000 if bench.quick else 100_000
    supply = Supply()
    table = Table(
        "bulk",
        f"Bulk append of {count:,} events",
        "events/s",
        base=LIBRARY,
        notes=[
            "Ours: COPY of 20,000 events a batch, digest chain on. raw COPY: the same rows, with"
            " position and digest made before, into a table with the same indexes, 20,000 a"
            " transaction. eventsourcing: 1,000 events a call."
        ],
        flushes=True,
    )
    table.add(OURS, "events", lambda: _ours(bench, supply, count))
    table.add(RAW, "events", lambda: _raw(bench, supply, count))
    table.add(LIBRARY, "events", lambda: _library(bench, supply, count))
    await bench.measure(table)


def _in_parts(events: Sequence[StoredEvent], size: int) -> Iterator[Sequence[StoredEvent]]:
    for start in range(0, len(events), size):
        yield events[start : start + size]


async def _ours(bench: Bench, supply: Supply, count: int) -> Round:
    request = Request(actor="bench", request_id="bench")
    events = list(supply(count))
    async with bench.database() as url, open_store(url) as store:
        await store.append_batch(list(supply(100)), request)
        async with timed(count) as rounds:
            for part in _in_parts(events, 20_000):
                await store.append_batch(part, request)
    return rounds[0]


async def _raw(bench: Bench, supply: Supply, count: int) -> Round:
    now = datetime.now(UTC)
    rows = [
        (
            *(n, event.originator_id, event.originator_version, event.topic, event.state),
            *(now, "bench", "bench", None, bytes(32)),
        )
        for n, event in enumerate(supply(count), start=1)
    ]
    async with bench.database() as url:
        db = await asyncpg.connect(url)
        await db.execute("CREATE TABLE plain (LIKE event INCLUDING ALL)")
        async with timed(count) as rounds:
            for start in range(0, count, 20_000):
                await db.copy_records_to_table("plain", records=rows[start : start + 20_000])
        await db.close()
    return rounds[0]


async def _library(bench: Bench, supply: Supply, count: int) -> Round:
    events = list(supply(count))
    async with bench.database() as url:
        with library.catalog(url) as application:

            def insert(events: Sequence[StoredEvent]) -> None:
                for part in _in_parts(events, 1_000):
                    application.recorder.insert_events(part)

            await asyncio.to_thread(insert, list(supply(1_000)))
            async with timed(count) as rounds:
                await asyncio.to_thread(insert, events)
    return rounds[0]
