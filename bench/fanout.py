"""One process that tells many WebSocket subscribers of each change.

Delays are from the moment a change is due in the API process to the moment a subscriber has read
it. Every server is a process of its own, and so are all subscribers together.
"""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.frame import Bench, Goal, Round, Table

SHARED = "matchgraph"
PLAIN = "Strawberry as documented: each subscriber's own execution"
BARE = "bare asyncio: the same bytes to every connection"
MODES = {SHARED: "shared", PLAIN: "plain", BARE: "bare"}
RATE = 10
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    """What became of one round. Units: `arrived` a share, `kib` for each subscriber."""

    arrived: float
    kib: float


async def run(bench: Bench) -> None:
    """Measures the table."""
    seconds = 3 if bench.quick else 6
    columns = (1_000,) if bench.quick else (1_000, 5_000, 10_000)
    table = Table(
        "fanout",
        f"Tell every subscriber of {RATE} changes a second, for {seconds} s",
        "messages/s",
        base=BARE,
        goals=(
            Goal(SHARED, "1,000", PLAIN, 40, "p99"),
            *(Goal(SHARED, f"{column:,}", BARE, 0.5, "p99") for column in columns),
        ),
    )
    outcomes: dict[tuple[str, str], Outcome] = {}
    async with bench.database() as url:

        async def measured(row: str, subscribers: int) -> Round:
            found, outcome = await _round(
                MODES[row], url, bench.servers.redis_url, subscribers, seconds
            )
            outcomes[row, f"{subscribers:,}"] = outcome
            table.notes[:] = [_note(outcomes)]
            return found

        for column in columns:
            for row in (SHARED, PLAIN, BARE):
                # One that cannot keep up with a thousand has nothing to say to more.
                if row != PLAIN or column == columns[0]:
                    table.add(row, f"{column:,}", partial(measured, row, column))
        await bench.measure(table)


def _note(outcomes: dict[tuple[str, str], Outcome]) -> str:
    said = [
        f"{row}, {column}: {100 * one.arrived:.0f} %, {one.kib:.1f} KiB"
        for (row, column), one in sorted(outcomes.items())
    ]
    return "Arrived in time, and the server's memory for each subscriber: " + "; ".join(said) + "."


async def _round(
    mode: str, url: str, redis_url: str, subscribers: int, seconds: int
) -> tuple[Round, Outcome]:
    async with (
        process("bench.fanout_server", mode, url, redis_url, str(seconds * RATE)) as server,
    ):
        port = int(await line(server))
        memory = psutil.Process(server.pid).memory_info().rss
        async with process(
            "bench.fanout_clients", str(port), str(subscribers), str(seconds * RATE)
        ) as clients:
            assert await line(clients) == "subscribed"
            kib = (psutil.Process(server.pid).memory_info().rss - memory) / 1024 / subscribers
            assert server.stdin is not None, "it is piped"
            server.stdin.write(b"go\n")
            begun = await line(server)
            assert clients.stdin is not None, "it is piped"
            clients.stdin.write(f"{begun}\n".encode())
            said = json.loads(await line(clients))
    delays = said["delays"]
    expected = subscribers * seconds * RATE
    return Round(len(delays), seconds, delays), Outcome(said["received"] / expected, kib)


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module as a process of its own, which ends with the block."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**28,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):  # it has ended
            started.kill()
        await started.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    """What the process says next."""
    assert process.stdout is not None, "it is piped"
    async with asyncio.timeout(180):
        said = await process.stdout.readline()
    assert said, "it has more to say"
    return said.decode().strip()


def many_files() -> None:
    """Lets this process have as many connections as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
