"""Whatever clients ask, whoever follows and what a search leaves behind: no statement reads a table
from end to end that grows with the catalog or the log, but where docs/growth.md says why.

PostgreSQL itself says how it carried out each statement, with the rows that it read: auto_explain
writes that into its log, which nothing else can slip past.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from bench import growing
from bench.growth_asked import QUESTIONS, Question, Subjects, subjects
from matchgraph.domain.artifact import Kind
from matchgraph.embedding import load
from matchgraph.eventstore.connection import connect
from matchgraph.http.upkeep import projecting
from matchgraph.projections.changes import CATALOG, RANKS, Mark
from matchgraph.queries.snapshot import viewing
from matchgraph.queries.touched import Touched
from matchgraph.servers import Servers
from tests.conftest import url_of
from tests.eventstore.histories import until
from tests.graphql.client import Api, serving

ROOT = Path(__file__).parents[2]
# The catalogs that come with matchgraph, so many times.
TIMES = 12
# Of more texts than queries.search.MOST_COMPARED an index finds those that are nearest.
VECTORS = 5_500
# Reading a smaller table whole is the best plan.
FEWEST_ROWS = 4_000
# Nor is so much to be read by an index: that is two of three artifacts.
MOST_READ = 8_000
# A plan for any arguments is made with the sixth execution.
ASKED = 7
SETTINGS = {
    # As if everything were in memory: then a table is read whole where no index would do, and not
    # because a few hundred look-ups of a table of this size would take as long.
    "random_page_cost": "1.1",
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
}
PROJECTOR = "string_agg(uuid_send(artifact_id), '') AS id"
# A part of the statement, and why it may. docs/growth.md says the same of each.
ALLOWED = {
    "SELECT 'vendor' AS what, vendor AS name": "the names of the catalog",
    "SELECT l.slug, l.name, array(SELECT a.slug FROM artifact_alias": "the names of the catalog",
    "AS coming CROSS JOIN generate_series": "why nothing fits",
    "WITH board AS MATERIALIZED": "a board as of then",
    PROJECTOR: "the order in the projector",
}


@dataclass(frozen=True)
class Reading:
    """How a statement read a table, and how many of its rows."""

    statement: str
    table: str
    how: str
    rows: float
    whole: bool

    def __str__(self) -> str:
        return f"{self.how} of {self.table}, {self.rows:,.0f} rows: {self.statement}"

    @property
    def is_too_much(self) -> bool:
        return self.whole or self.rows > MOST_READ


@dataclass(frozen=True)
class Tables:
    """How many rows each table has; and of each index, the table, the column that it is sorted by
    first, if it is a column, and how many pages it has."""

    rows: Mapping[str, int]
    indexes: Mapping[str, tuple[str, str | None, int]]

    def reading(self, statement: str, node: Any) -> Reading | None:
        """How that node of the statement's plan read a table that grows."""
        index = node.get("Index Name")
        table, first, size = self.indexes.get(index, (node.get("Relation Name"), None, 0))
        if self.rows.get(table, 0) < FEWEST_ROWS:
            return None
        turned_down = sum(rows for name, rows in node.items() if name.startswith("Rows Removed"))
        rows = node["Actual Loops"] * (node["Actual Rows"] + turned_down)
        # What is looked for by a later column alone is looked for again under each value of those
        # before it, which is quick where these are few, or else in the whole index.
        condition = node.get("Index Cond")
        skips = (
            condition is not None
            and first is not None
            and not re.search(rf"\b{first}\b", condition)
        )
        pages = (node["Shared Hit Blocks"] + node["Shared Read Blocks"]) / max(
            node["Actual Loops"], 1
        )
        whole = skips and pages >= 0.9 * size
        how = " by ".join(filter(None, (node["Node Type"], index)))
        return Reading(statement, table, how, rows, whole or "Seq Scan" in how)


async def tables(db: "asyncpg.Connection[asyncpg.Record]") -> Tables:
    rows = await db.fetch(
        "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace"
    )
    indexes = await db.fetch(
        "SELECT c.relname, i.indrelid::regclass::text, a.attname, c.relpages"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE c.relnamespace = 'public'::regnamespace"
    )
    return Tables(
        {table: int(count) for table, count in rows},
        {index: tuple(rest) for index, *rest in indexes},
    )


class Log:
    """What PostgreSQL wrote down of the statements on one database."""

    def __init__(self, admin: "asyncpg.Connection[asyncpg.Record]", tables: Tables) -> None:
        self._admin = admin
        self._tables = tables
        self._at = 0

    async def read(self) -> list[Reading]:
        """How tables were read since it was read last."""
        folder = await self._admin.fetchval("SHOW data_directory")
        said: bytes = await self._admin.fetchval(
            "SELECT pg_read_binary_file($1, $2, 1 << 29)", f"{folder}/../postgres.log", self._at
        )
        self._at += len(said)
        plans = re.findall(r"  plan:\n((?:\t.*\n)+)", said.decode())
        return [reading for plan in plans for reading in self._readings(json.loads(plan))]

    def _readings(self, said: Any) -> Iterator[Reading]:
        statement = " ".join(said["Query Text"].split())
        nodes = [said["Plan"]]
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", ())
            if reading := self._tables.reading(statement, node):
                yield reading


def too_much(readings: Iterable[Reading]) -> list[str]:
    """What read too much and may not, each once."""
    return sorted(
        {
            str(one)
            for one in readings
            if one.is_too_much and not any(part in one.statement for part in ALLOWED)
        }
    )


@pytest.fixture(scope="module")
def large(servers: Servers, template: str) -> Iterator[str]:
    name = f"large_{uuid4().hex[:12]}"
    url = url_of(servers.database_url, name)
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    asyncio.run(_fill(url, servers.redis_url))
    for setting, value in SETTINGS.items():
        asyncio.run(_execute(url, f"ALTER DATABASE {name} SET {setting} = '{value}'"))
    yield url
    asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _fill(url: str, redis_url: str) -> None:
    await growing.furnish(url, redis_url)
    admin = await asyncpg.connect(url)
    await growing.repeat(admin, TIMES)
    # Made at once, it takes a fraction of the time.
    index = await admin.fetchval("SELECT pg_get_indexdef('text_vector_by_meaning'::regclass)")
    await admin.execute("DROP INDEX text_vector_by_meaning")
    await admin.execute(
        "INSERT INTO text_vector SELECT $1, hash,"
        " (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384) WHERE hash IS NOT NULL)"
        f" ::halfvec FROM (SELECT DISTINCT hash FROM search_text LIMIT {VECTORS}) AS texts",
        load("minilm").model,
    )
    await admin.execute(index)
    await admin.execute("VACUUM ANALYZE")
    await admin.close()


async def _execute(url: str, statement: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute(statement)
    await admin.close()


@dataclass
class Asking:
    """The application over the large catalog, and what PostgreSQL says of it."""

    url: str
    api: Api
    log: Log
    about: Subjects
    admin: "asyncpg.Connection[asyncpg.Record]"

    async def ask(self, question: Question, times: int = ASKED) -> None:
        """Asks it, of something else each time."""
        chance = Random(7)
        for _ in range(times):
            await self.api.ask(question.document, **question.variables(self.about, chance))

    async def is_at_work(self) -> bool:
        """Whether boards come from Redis, and what is searched for is embedded."""
        async with viewing(self.api.pool) as snapshot:
            board = await self.api.app.state.boards.page(snapshot, Kind.MODEL, 20)
        return board.from_cache and self.api.app.state.searching.embedder is not None


@pytest.fixture
async def asking(large: str, servers: Servers) -> AsyncIterator[Asking]:
    async with _asking(large, servers) as asking:
        yield asking


@asynccontextmanager
async def _asking(url: str, servers: Servers) -> AsyncIterator[Asking]:
    admin = await asyncpg.connect(url)
    await admin.execute("SET auto_explain.log_min_duration = -1")
    known = await tables(admin)
    about = await subjects(admin)
    async with (
        serving(url, servers.redis_url, project=False, model="minilm") as api,
        # Which embeds nothing: most texts have no vector.
        projecting(url, api.store, servers.redis_url),
    ):
        asking = Asking(url, api, Log(admin, known), about, admin)
        await until(asking.is_at_work, patience=30)
        await asking.log.read()
        yield asking
    await admin.close()


async def test_no_question_reads_a_table_that_grows_from_end_to_end(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    found = {}
    used: set[str] = set()
    for question in QUESTIONS:
        # While Redis is away, boards are counted in PostgreSQL; a busy machine keeps it from
        # answering in time, too.
        for _ in range(5):
            await until(asking.is_at_work, patience=30)
            await asking.log.read()
            caplog.clear()
            await asking.ask(question)
            if "Redis is away" not in caplog.text:
                break
        readings = await asking.log.read()
        assert readings, question.name
        read = [one.statement for one in readings if one.is_too_much]
        used |= {part for part in ALLOWED if any(part in statement for statement in read)}
        if complaints := too_much(readings):
            found[question.name] = complaints
    assert found == {}
    assert used == set(ALLOWED) - {PROJECTOR}, "what nothing needs any more is not allowed"


async def test_whatever_may_read_it_is_explained() -> None:
    page = (ROOT / "docs" / "growth.md").read_text()
    reasons = {*ALLOWED.values(), *(question.name for question in QUESTIONS if question.why)}
    assert [reason for reason in sorted(reasons) if reason not in page] == []


async def test_nothing_that_follows_the_log_reads_it_from_the_beginning(asking: Asking) -> None:
    api = asking.api
    touched = Touched(asking.url, api.store.listener)
    db = await connect(asking.url, "test")
    await touched.look(db)
    head = asking.about.head
    ids = await asking.admin.fetch("SELECT artifact_id FROM rank_board LIMIT 3")
    for behind in range(head - ASKED * 500, head, 500):
        at = Mark.behind(behind)
        await RANKS.read(api.pool, at)
        await RANKS.read(api.pool, at, ids=[row[0] for row in ids], announce=1)
        await CATALOG.read(api.pool, at)
    for _ in range(ASKED):
        found = await api.ask(growing.SEARCH, text="transcribe recorded meetings")
        token = found["search"]["edges"][0]["node"]["outcomeToken"]
        said = await api.ask(growing.REPORT, token=token, outcome="CHOSEN")
        assert said["reportOutcome"] == {"__typename": "OutcomeReported"}
    end = await api.store.head()
    assert end > head
    await api.ask("query ($at: Position!) @atLeast(position: $at) { __typename }", at=str(end))
    await touched.look(db)
    assert touched.at == end
    await db.close()
    readings = await asking.log.read()
    assert {"rank_history", "event", "match_cell"} <= {one.table for one in readings}
    assert too_much(readings) == []


async def test_a_missing_index_is_noticed(asking: Asking) -> None:
    by_release = next(one for one in QUESTIONS if one.name == "list by release, first page")
    index = "artifact_listing_by_release"
    made = await asking.admin.fetchval("SELECT pg_get_indexdef($1::regclass)", index)
    await asking.admin.execute(f"DROP INDEX {index}")
    try:
        await asking.ask(by_release, times=1)
    finally:
        await asking.admin.execute(made)
    (complaint,) = too_much(await asking.log.read())
    assert complaint.startswith("Seq Scan of artifact_listing, 11,796 rows: SELECT l.id, l.slug")
