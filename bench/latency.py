"""From the commit of an event to the subscriber who hears what it changed.

The writer, the projector (which publishes), the API and the subscriber are processes of their own.
"""

import json
from contextlib import AsyncExitStack
from functools import partial

from bench.fanout import line, process
from bench.frame import Bench, Round, Table

WITH = "matchgraph"
WITHOUT = "matchgraph while Redis is away"
RATES = (100, 1_000)
MOST_MS = 25.0
NOWHERE = "unix:///nowhere/redis"


async def run(bench: Bench) -> None:
    """Measures the table."""
    seconds = 3 if bench.quick else 8
    table = Table(
        "latency",
        f"Commit to subscriber, for {seconds} s",
        "changes/s",
        base=WITH,
    )
    said: dict[str, list[str]] = {}

    async def measured(row: str, rate: int) -> Round:
        redis_url = bench.servers.redis_url if row == WITH else NOWHERE
        async with bench.database() as url:
            found = await _round(url, redis_url, rate, seconds)
        verdict = "met" if found.quantile(0.99) < MOST_MS else "**missed**"
        said.setdefault(f"{row}, {rate}/s", []).append(
            f"p99 {found.quantile(0.99):.1f} ms, {verdict}"
        )
        table.notes[:] = [
            f"Goal: a p99 below {MOST_MS:g} ms. Each change came once and in order. "
            + "; ".join(f"{cell}: {', '.join(rounds)}" for cell, rounds in sorted(said.items()))
            + "."
        ]
        return found

    for rate in RATES:
        for row in (WITH, WITHOUT):
            table.add(row, f"{rate}/s", partial(measured, row, rate))
    await bench.measure(table)


async def _round(url: str, redis_url: str, rate: int, seconds: int) -> Round:
    role = partial(process, "bench.latency_process")
    async with AsyncExitStack() as stack:
        projector = await stack.enter_async_context(role("projector", url, redis_url))
        assert await line(projector) == "ready"
        api = await stack.enter_async_context(role("api", url, redis_url))
        port = await line(api)
        writer = await stack.enter_async_context(role("writer", url, str(rate), str(seconds)))
        begin, count = json.loads(await line(writer))
        subscriber = await stack.enter_async_context(
            role("subscriber", port, str(begin), str(count))
        )
        assert await line(subscriber) == "subscribed"
        assert writer.stdin is not None, "it is piped"
        writer.stdin.write(b"go\n")
        committed = dict(json.loads(await line(writer)))
        heard = json.loads(await line(subscriber))
    positions = [position for position, _ in heard]
    assert positions == sorted(committed), "each change comes once and in order"
    delays = [max(0.0, moment - committed[position]) for position, moment in heard]
    return Round(len(delays), seconds, delays)
