"""Rounds and tables: every suite measures and shows its numbers in the same way.

All variants of one table are measured in one run on one server. Each round runs every one of them
once, in a new random order, so that a slow minute of a shared machine hits them all; what is shown
is the median of the rounds. Only ratios inside one table mean anything.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from bench import machine
from matchgraph import migrate
from matchgraph.servers import Servers


@dataclass(frozen=True)
class Round:
    """What one variant did in one round. Units: seconds, also the latencies."""

    done: int
    seconds: float
    latencies: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Done per second."""
        return self.done / self.seconds

    def quantile(self, share: float) -> float:
        """The latency that this share of all stays within, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


@dataclass(frozen=True)
class Cell:
    """One number to measure: a variant, and the circumstances in which it runs."""

    row: str
    column: str
    run: Callable[[], Awaitable[Round]]


@dataclass(frozen=True)
class Goal:
    """How many times better one row has to be than another, in one column."""

    row: str
    column: str
    versus: str
    least: float
    what: Literal["rate", "p50", "p99"] = "rate"


@dataclass
class Table:
    """What is measured and against what."""

    name: str
    title: str
    unit: str
    base: str
    cells: list[Cell] = field(default_factory=list)
    goals: Sequence[Goal] = ()
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    flushes: bool = False

    def add(self, row: str, column: str, run: Callable[[], Awaitable[Round]]) -> None:
        """Adds a number to measure."""
        self.cells.append(Cell(row, column, run))


@dataclass
class Bench:
    """What a suite is given."""

    servers: Servers
    folder: Path
    template: str
    preload: dict[str, str]
    quick: bool
    rounds: int
    show: Callable[[str, str], None]
    say: Callable[[str], None]

    @asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """The connection string of a new database, migrated, or a copy of another one."""
        name = f"bench_{uuid4().hex[:12]}"
        admin = await asyncpg.connect(self.servers.database_url)
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template or self.template}")
            try:
                yield url_of(self.servers.database_url, name)
            finally:
                await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()

    async def measure(self, table: Table) -> None:
        """Measures the table and shows it."""
        found: dict[tuple[str, str], list[Round]] = {(c.row, c.column): [] for c in table.cells}
        flushes: list[float] = []
        order = random.Random(7)
        for number in range(1, self.rounds + 1):
            shuffled = list(table.cells)
            order.shuffle(shuffled)
            for cell in shuffled:
                if table.flushes:
                    flushes.append(machine.flush_ms(self.folder, self.preload))
                gc.collect()
                gc.freeze()
                one = await cell.run()
                found[cell.row, cell.column].append(one)
                flush = f", a flush {flushes[-1]:.2f} ms" if table.flushes else ""
                self.say(
                    f"{table.name} {number}/{self.rounds}: {cell.row}, {cell.column}:"
                    f" {one.rate:,.0f}/s{flush}"
                )
        self.show(table.name, rendered(table, found, flushes))


def url_of(server: str, database: str) -> str:
    """The connection string of another database of the same server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


async def new_template(server: str) -> str:
    """The name of a migrated database that nobody is connected to."""
    name = f"template_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    await migrate.apply(url_of(server, name))
    return name


# How load is made: so many callers, each with one command at a time.


async def tasks(callers: int, seconds: float, command: Callable[[], Awaitable[object]]) -> Round:
    """The command, over and over, by so many tasks."""
    took: list[float] = []
    clock = time.perf_counter
    begun = clock()

    async def caller() -> None:
        while (start := clock()) < begun + seconds:
            await command()
            took.append(clock() - start)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Round(len(took), clock() - begun, took)


async def threads(callers: int, seconds: float, command: Callable[[], object]) -> Round:
    """The command, over and over, by so many threads."""
    took: list[float] = []
    clock = time.perf_counter

    def caller() -> None:
        while (start := clock()) < begun + seconds:
            command()
            took.append(clock() - start)

    with ThreadPoolExecutor(callers) as pool:
        loop = asyncio.get_running_loop()
        begun = clock()
        await asyncio.gather(*(loop.run_in_executor(pool, caller) for _ in range(callers)))
    return Round(len(took), clock() - begun, took)


@asynccontextmanager
async def timed(done: int) -> AsyncIterator[list[Round]]:
    """Measures what the block does; the Round is in the list afterwards."""
    found: list[Round] = []
    start = time.perf_counter()
    yield found
    found.append(Round(done, time.perf_counter() - start))


# How numbers are shown.


def rendered(
    table: Table, found: dict[tuple[str, str], list[Round]], flushes: Sequence[float]
) -> str:
    """The table as markdown."""
    rows = list(dict.fromkeys(row for row, _ in found))
    columns = list(dict.fromkeys(column for _, column in found))

    def rate(row: str, column: str) -> float | None:
        rounds = found.get((row, column))
        return median(one.rate for one in rounds) if rounds else None

    def quantile(row: str, column: str, share: float) -> float | None:
        rounds = [one for one in found.get((row, column), ()) if one.latencies]
        return median(one.quantile(share) for one in rounds) if rounds else None

    def rate_cell(row: str, column: str) -> str:
        own, base = rate(row, column), rate(table.base, column)
        if own is None:
            return "-"
        return number(own) + (f" ({ratio(own / base)})" if base else "")

    def latency_cell(row: str, column: str) -> str:
        half, most = quantile(row, column, 0.5), quantile(row, column, 0.99)
        return "-" if half is None or most is None else f"{half:.2f} / {most:.2f}"

    lines = [f"**{table.title}**: {table.unit} (ratio to {table.base})", ""]
    lines += grid(["variant", *columns], ([r, *(rate_cell(r, c) for c in columns)] for r in rows))
    lines += [f"| {row} | {' | '.join('not available' for _ in columns)} |" for row in table.absent]
    if any(one.latencies for rounds in found.values() for one in rounds):
        lines += ["", "Latency, p50 / p99 in ms:", ""]
        lines += grid(
            ["variant", *columns], ([r, *(latency_cell(r, c) for c in columns)] for r in rows)
        )
    said = []
    for goal in table.goals:
        if goal.what == "rate":
            own, other = rate(goal.row, goal.column), rate(goal.versus, goal.column)
        else:
            share = float(goal.what.replace("p", "0."))
            other = quantile(goal.row, goal.column, share)
            own = quantile(goal.versus, goal.column, share)
        if own is None or not other:
            continue
        reached = own / other
        verdict = "met" if reached >= goal.least else "**missed**"
        what = "times as fast" if goal.what == "rate" else f"times its {goal.what}"
        said.append(
            f"- {goal.row}, {goal.column}: {what} against {goal.versus}, goal {goal.least:g}:"
            f" {ratio(reached)}, {verdict}"
        )
    if said:
        lines += ["", *said]
    if flushes:
        lines += [
            "",
            f"One flush took {median(flushes):.2f} ms ({min(flushes):.2f} to {max(flushes):.2f})"
            " before the rounds.",
        ]
    if spread := _spread(found):
        lines += ["", spread]
    for note in [*(f"{row}: {why}." for row, why in table.absent.items()), *table.notes]:
        lines += ["", note]
    return "\n".join(lines)


def _spread(found: dict[tuple[str, str], list[Round]]) -> str | None:
    """How far the rounds of one cell lie apart: what a ratio may be off by."""
    spreads = [
        max(one.rate for one in rounds) / min(one.rate for one in rounds)
        for rounds in found.values()
        if len(rounds) > 1 and all(one.done for one in rounds)
    ]
    if not spreads:
        return None
    return (
        f"Fastest over slowest round of a cell: {median(spreads):.2f} (median),"
        f" {max(spreads):.2f} (worst)."
    )


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in markdown, line by line."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def number(value: float) -> str:
    """With three significant digits and thousands set apart."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(value: float) -> str:
    """How many times, as precisely as it is worth."""
    if value < 0.1:
        return f"{value:.3f}x"
    return f"{value:.2f}x" if value < 10 else f"{value:.1f}x" if value < 100 else f"{value:.0f}x"
