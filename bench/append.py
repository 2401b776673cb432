"""Commands of one event, by 1, 16 and 64 callers at once."""

import asyncio
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg

from bench import library
from bench.frame import Bench, Goal, Round, Table, tasks, threads
from bench.history import Supply
from bench.machine import inherited
from matchgraph.eventstore.store import Request, open_store
from matchgraph.servers import postgres_bin

if TYPE_CHECKING:
    import umadb

OURS, LIBRARY, UMADB, PGBENCH = "matchgraph", "eventsourcing", "UmaDB", "pgbench INSERT"
WARM = 0.3


async def run(bench: Bench) -> None:
    """Measures the table."""
    supply = Supply()
    seconds = 0.5 if bench.quick else 2.0
    table = Table(
        "append",
        "Append, one event per command, durable",
        "commands/s",
        base=LIBRARY,
        goals=(
            Goal(OURS, "1 caller", LIBRARY, 1.4),
            Goal(OURS, "16 callers", LIBRARY, 16),
            Goal(OURS, "64 callers", LIBRARY, 50),
            Goal(OURS, "64 callers", LIBRARY, 20, "p99"),
            Goal(OURS, "64 callers", UMADB, 3),
        ),
        flushes=True,
        notes=[
            f"States of {supply.bytes} bytes on average. Ours: `Store.append_stored`, digest chain"
            " on, one process, one event loop. eventsourcing: its `PostgresApplicationRecorder."
            "insert_events`, as many threads and connections as callers. UmaDB: one client, as many"
            " threads as callers, refusing a version that is taken. pgbench: the same row, neither"
            " chained nor gap-free, from C."
        ],
    )
    for callers in (1, 16, 64):
        column = "1 caller" if callers == 1 else f"{callers} callers"
        table.add(OURS, column, partial(_ours, bench, supply, callers, seconds))
        table.add(LIBRARY, column, partial(_library, bench, supply, callers, seconds))
        if find_spec("umadb") is not None:
            table.add(UMADB, column, partial(_umadb, bench, supply, callers, seconds))
        table.add(PGBENCH, column, partial(_pgbench, bench, supply, callers, seconds))
    if find_spec("umadb") is None:
        table.absent[UMADB] = "the package `umadb` (client and server) is not installed"
    await bench.measure(table)


async def _ours(bench: Bench, supply: Supply, callers: int, seconds: float) -> Round:
    request = Request(actor="bench", request_id="bench")
    async with bench.database() as url, open_store(url) as store:
        events = supply(int(5_000 + 70_000 * (seconds + WARM) * min(callers, 20) / 20))
        await tasks(callers, WARM, lambda: store.append_stored([next(events)], request))
        return await tasks(callers, seconds, lambda: store.append_stored([next(events)], request))


async def _library(bench: Bench, supply: Supply, callers: int, seconds: float) -> Round:
    async with bench.database() as url:
        events = supply(int(15_000 * (seconds + WARM)))
        with library.catalog(url, connections=callers) as application:
            recorder = application.recorder
            await threads(callers, WARM, lambda: recorder.insert_events([next(events)]))
            return await threads(callers, seconds, lambda: recorder.insert_events([next(events)]))


async def _umadb(bench: Bench, supply: Supply, callers: int, seconds: float) -> Round:
    from umadb import AppendCondition, Event, Query, QueryItem

    events = supply(int(30_000 * (seconds + WARM)))
    with _umadb_server(bench) as client:

        def append() -> None:
            event = next(events)
            tags = [f"{event.originator_id}:{event.originator_version}"]
            client.append(
                [Event(event.topic, event.state, tags)],
                AppendCondition(Query([QueryItem(tags=tags)])),
            )

        await threads(callers, WARM, append)
        return await threads(callers, seconds, append)


@contextmanager
def _umadb_server(bench: Bench) -> "Iterator[umadb.Client]":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tempfile.mkdtemp(prefix="umadb-", dir=bench.folder)
    start = "import sys, umadb; umadb.run_server_from_args(['umadb', *sys.argv[1:]])"
    command = [sys.executable, "-c", start, "--listen", address, "--db-path", folder]
    with inherited(bench.preload):
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _connected(f"http://{address}")
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder)


def _connected(url: str) -> "umadb.Client":
    import umadb

    for _ in range(200):
        with suppress(umadb.TransportError):
            client = umadb.Client(url)
            client.head()
            return client
        time.sleep(0.05)
    raise TimeoutError("UmaDB does not answer")


async def _pgbench(bench: Bench, supply: Supply, callers: int, seconds: float) -> Round:
    event = next(supply(1))
    async with bench.database() as url:
        admin = await asyncpg.connect(url)
        await admin.execute("CREATE TABLE plain (LIKE event INCLUDING ALL)")
        await admin.execute("CREATE SEQUENCE plain_position")
        await admin.close()
        sql = (
            "INSERT INTO plain VALUES (nextval('plain_position'), gen_random_uuid(), 1,"
            f" '{event.topic}', '\\x{event.state.hex()}', clock_timestamp(), 'bench', 'bench',"
            f" NULL, '\\x{bytes(32).hex()}');\n"
        )
        return await asyncio.to_thread(_pgbench_runs, bench, url, sql, callers, seconds)


def _pgbench_runs(bench: Bench, url: str, sql: str, callers: int, seconds: float) -> Round:
    with tempfile.TemporaryDirectory(prefix="pgbench-", dir=bench.folder) as folder:
        script = Path(folder, "insert.sql")
        script.write_text(sql)
        parts = urlsplit(url)
        command = [str(postgres_bin("pgbench")), "-n", "-M", "prepared", "-f", str(script)]
        command += ["-c", str(callers), "-j", str(min(callers, 2)), "-U", "postgres"]
        command += ["-h", parts.hostname or parse_qs(parts.query)["host"][0]]
        command += ["-l", "-T", str(math.ceil(seconds)), parts.path[1:]]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        # client, transaction, microseconds, script, its end in seconds and microseconds
        lines = [
            [int(word) for word in line.split()]
            for log in Path(folder).glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        ]
    ends = [line[4] + line[5] / 1e6 for line in lines]
    took = [line[2] / 1e6 for line in lines]
    return Round(len(lines), max(ends) - min(ends) + median(took), took)
