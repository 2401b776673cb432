"""Growth: every sort of question over HTTP, of catalogs of 10,000 artifacts and more with all that
happened to them; the memory of the server, and the disk that artifacts and events take.

As a process of its own, the server that is asked: DATABASE_URL REDIS_URL.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import log
from random import Random
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import redis.asyncio as redis
import uvloop

from bench import growing
from bench.fanout import line, process
from bench.frame import Bench, Round, grid, number, ratio
from bench.growth_asked import QUESTIONS, Question, Subjects, subjects
from matchgraph.domain.artifact import Kind
from matchgraph.http.app import app
from matchgraph.http.server import Server, configured, settle
from matchgraph.queries.snapshot import viewing

SIZES = (10_000, 100_000)
LARGEST = 1_000_000
# The log of the largest, and what is left out of it, as the table says.
MOST_EVENTS = 10_000_000
# What a p50 may be off by: of a question that takes some milliseconds, on a shared machine.
NOISE = 1.5
# Units: seconds that Redis may take to have all boards.
PATIENCE = 150.0


@dataclass(frozen=True)
class Size:
    """What was measured of one catalog. Units: bytes; of `disk`, by table."""

    artifacts: int
    events: int
    rounds: dict[str, Round]
    server: int
    cache: int
    boards: bool
    disk: dict[str, int]
    searched: bool


async def run(bench: Bench) -> None:
    """Measures catalogs of up to 100,000 artifacts."""
    await _run(bench, SIZES[:1] if bench.quick else SIZES)


async def run_million(bench: Bench) -> None:
    """Measures one of 1,000,000 with 10,000,000 events besides, which takes half an hour and
    20 GB."""
    await _run(bench, (*SIZES, LARGEST))


async def _run(bench: Bench, sizes: Sequence[int]) -> None:
    found: list[Size] = []
    async with bench.database() as own:
        await growing.furnish(own, bench.servers.redis_url)
        for size in sizes:
            async with bench.database(urlsplit(own).path[1:]) as url:
                found.append(await _measured(bench, url, size))
            bench.show("growth", _rendered(found))


async def _measured(bench: Bench, url: str, size: int) -> Size:
    largest = size == LARGEST
    admin = await asyncpg.connect(url)
    own = await admin.fetchval("SELECT count(*) FROM artifact_listing")
    await growing.repeat(
        admin,
        -(-size // own),
        bench.say,
        growing.SEARCHED if largest else (),
        MOST_EVENTS if largest else 2**31,
    )
    about = await subjects(admin)
    cache = redis.from_url(bench.servers.redis_url)
    await cache.flushall()
    rounds: dict[str, Round] = {}
    async with (
        process("bench.growth", url, bench.servers.redis_url) as server,
        httpx.AsyncClient(timeout=60) as client,
        aclosing(cache),
    ):
        port, boards = (await line(server)).split()
        for question in QUESTIONS:
            if not (largest and question.searches):
                address = f"http://127.0.0.1:{port}/graphql"
                took = await _asked(client, address, question, about, 20 if bench.quick else 60)
                rounds[question.name] = Round(len(took), sum(took), took)
                bench.say(f"{size:,}: {question.name}: {rounds[question.name].quantile(0.5):.1f}")
        memory = psutil.Process(server.pid).memory_info().rss
        used = (await cache.info("memory"))["used_memory"]
    rows = await admin.fetch(
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace"
    )
    artifacts = await admin.fetchval("SELECT count(*) FROM artifact_listing")
    events = await admin.fetchval("SELECT count(*) FROM event")
    await admin.close()
    return Size(
        *(artifacts, events, rounds, memory, used, boards == "True"),
        disk={table: int(bytes) for table, bytes in rows},
        searched=not largest,
    )


async def _asked(
    client: httpx.AsyncClient, address: str, question: Question, about: Subjects, times: int
) -> list[float]:
    chance = Random(7)
    took = []
    for turn in range(10 + times):
        said = {"query": question.document, "variables": question.variables(about, chance)}
        start = time.perf_counter()
        answer = await client.post(address, json=said)
        took.append(time.perf_counter() - start)
        found = answer.json()
        # Of the largest, what takes longer than an answer may is shown by how long it took.
        assert "errors" not in found or question.why, (question.name, turn, found["errors"])
    return took[10:]


def _rendered(sizes: Sequence[Size]) -> str:
    first, last = sizes[0], sizes[-1]
    columns = [f"{size.artifacts:,}" for size in sizes]
    allowed = [log(size.artifacts) / log(first.artifacts) for size in sizes]
    asked = [question for question in QUESTIONS if question.name in first.rounds]

    def cell(size: Size, question: Question) -> str:
        found = size.rounds.get(question.name)
        return "-" if found is None else f"{found.quantile(0.5):.1f} / {found.quantile(0.99):.1f}"

    def grown(size: Size, question: Question) -> float | None:
        own, other = size.rounds.get(question.name), first.rounds[question.name]
        return None if own is None else own.quantile(0.5) / other.quantile(0.5)

    def verdict(question: Question) -> str:
        if question.why:
            return question.why
        grew = [grown(size, question) for size in sizes]
        met = all(g is None or g <= a * NOISE for g, a in zip(grew, allowed, strict=True))
        return "met" if met else "**missed**"

    lines = [
        "**Growth**: milliseconds of an answer over HTTP, nothing kept, p50 / p99 (and the p50 as a"
        f" ratio to that of {columns[0]} artifacts)",
        "",
        *grid(
            ["question", *(f"{column} artifacts" for column in columns), "goal"],
            (
                [
                    question.name,
                    cell(first, question),
                    *(
                        cell(size, question) + (f" ({ratio(g)})" if g is not None else "")
                        for size in sizes[1:]
                        for g in [grown(size, question)]
                    ),
                    verdict(question),
                ]
                for question in asked
            ),
        ),
        "",
        f"Goal: a p50 that grows by no more than the logarithm of the catalog"
        f" ({', '.join(ratio(a) for a in allowed[1:])}), times {NOISE:g} for noise. Median of all"
        " goals: "
        + ", ".join(
            ratio(median(g for q in asked if not q.why and (g := grown(size, q)) is not None))
            for size in sizes[1:]
        )
        + ".",
        "",
        *grid(
            ["", *columns],
            [
                ["events", *(f"{size.events:,}" for size in sizes)],
                ["memory of the server, MB", *(number(s.server / 1e6) for s in sizes)],
                ["memory of Redis, MB", *(number(s.cache / 1e6) for s in sizes)],
                ["boards whole in Redis", *("yes" if s.boards else "no" for s in sizes)],
                ["disk in all, GB", *(f"{sum(s.disk.values()) / 1e9:.2f}" for s in sizes)],
                [
                    "of the log, bytes an event",
                    *(number(s.disk["event"] / s.events) for s in sizes),
                ],
                *(
                    [
                        f"of {what}, bytes an artifact",
                        *(
                            number(sum(s.disk[table] for table in tables(s)) / s.artifacts)
                            for s in sizes
                        ),
                    ]
                    for what, tables in PARTS.items()
                ),
            ],
        ),
        "",
        "One client, one question at a time, of others each time; the server also projects. No text"
        " has a vector here, so searches go by words: [search](search.md) has tables of its own,"
        " with vectors.",
    ]
    if not last.searched:
        lines += [
            "",
            f"{columns[-1]}: without what needs are found by; the history is that of the first"
            " artifacts, which are those that are asked about.",
        ]
    return "\n".join(lines)


def _of(*tables: str) -> Any:
    return lambda size: [table for table in tables if table in size.disk]


PARTS = {
    "listings, capabilities and prices": _of(
        "artifact_listing",
        "artifact_alias",
        "capability_listing",
        "price_current",
        "price_history",
        "signal_board",
        "signal_history",
    ),
    "ranks": _of("rank_board", "rank_evidence", "rank_history"),
    "what needs are found by": lambda size: growing.SEARCHED if size.searched else (),
    "trails": _of("trail", "trail_alias", "trail_topic"),
}


async def serve(url: str, redis_url: str) -> None:
    """The application; says on which port it is, and whether Redis has the boards, when it has or
    has not in time."""
    made = app(
        url,
        redis_url,
        secrets=growing.SECRETS,
        search_keys=growing.SEARCH_KEYS,
        kept_answers=0,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(configured(made, "127.0.0.1", 0), lambda: None)
    serving = asyncio.create_task(server.serve([listening]))
    deadline = time.monotonic() + PATIENCE
    cached = False
    while not cached and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        if server.started:
            async with viewing(made.state.pool) as snapshot:
                cached = (await made.state.boards.page(snapshot, Kind.MODEL, 20)).from_cache
    settle()
    print(listening.getsockname()[1], cached, flush=True)
    await serving


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    uvloop.run(serve(*arguments))
