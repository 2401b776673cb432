"""Search: over the real catalog and noisy copies of it, against an exact scan and full text; over
HTTP with its event and without; and how fast texts are embedded.

As a process of its own, the server that is asked over HTTP: DATABASE_URL REDIS_URL recorded|not.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from random import Random
from statistics import fmean
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import uvloop

from bench import copies
from bench.fanout import line, process
from bench.frame import Bench, Round, Table, tasks
from eval import catalog
from eval.judging import needs
from matchgraph import embedding
from matchgraph.commands.catalog import take_in
from matchgraph.domain.artifact import Kind
from matchgraph.domain.need import Where
from matchgraph.domain.relevance import LEAST_ALIKE
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import Pool, connect, open_pool
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import Request, open_store
from matchgraph.graphql import search as answering
from matchgraph.http.app import app
from matchgraph.http.server import Server, configured, settle
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.projections.text_vectors import fill
from matchgraph.projections.words import terms
from matchgraph.queries import search
from matchgraph.queries.conditions import Condition, conditions
from matchgraph.queries.search import Asked, Vector, find, terms_of, written
from matchgraph.queries.snapshot import Snapshot

OURS = "matchgraph"
BROAD = "matchgraph, a condition that most meet"
SELECTIVE = "matchgraph, a condition that one in a thousand meets"
EXACT = "every vector compared"
FULL_TEXT = "PostgreSQL's full text, any word"
WITHIN: dict[str, tuple[Condition, ...]] = {
    OURS: (),
    BROAD: conditions(Where(kinds=(Kind.MODEL,))),
    SELECTIVE: conditions(Where(kinds=(Kind.SKILL,))),
}
# Units: milliseconds that 99 of 100 searches stay within, inside the database.
MOST_MS = {"real catalog": 8.0, "100,000": 12.0, "1,000,000": 25.0}
LEAST_RECALL = 0.97
# The licence of one artifact in ten thousand.
RARE = "hardly-any"
PAGE = 10
RECORDED = "recorded"
NOT_RECORDED = "not recorded"
QUERY = """query ($text: String!) { search(need: {text: $text}) { searchId recorded edges { node {
  place score artifact { slug name } capability { key name } reasons { kind sentence }
  outcomeToken } } } }"""

Need = tuple[str, Vector]


async def run(bench: Bench) -> None:
    """Measures the tables, of up to 100,000 capabilities."""
    await _embedding(bench)
    embedder = embedding.load()
    async with _real(bench, embedder) as real:
        asked = await _needs(real, embedder, 60 if bench.quick else 240)
        await _over_http(bench, real, [text for text, _ in asked])
        columns = {"real catalog": real}
        if bench.quick:
            await _inside(bench, "search", columns, asked, embedder.model)
            return
        async with _copied(bench, real, 100_000, embedder.model) as large:
            columns["100,000"] = large
            await _inside(bench, "search", columns, asked, embedder.model)


async def run_million(bench: Bench) -> None:
    """Measures the table of 1,000,000 capabilities, which takes a quarter of an hour to make."""
    embedder = embedding.load()
    async with _real(bench, embedder) as real:
        asked = await _needs(real, embedder, 60 if bench.quick else 240)
        async with _copied(bench, real, 1_000_000, embedder.model) as large:
            columns = {"1,000,000": large}
            await _inside(bench, "search_million", columns, asked, embedder.model)


# What is searched, and for what


@asynccontextmanager
async def _real(bench: Bench, embedder: Embedder) -> AsyncIterator[str]:
    """A database with the catalogs that come with matchgraph, every text embedded."""
    async with bench.database() as url:
        async with open_store(url) as store:
            for drafts in catalog.drafts():
                await take_in(store, Request(actor="bench", request_id=uuid4().hex), drafts)
        runner = Runner(url, Listener(url, ()), PROJECTIONS)
        connection = await connect(url, "projector", synchronous_commit="off")
        while await runner.advance(connection):
            pass
        await fill(connection, embedder)
        await connection.close()
        admin = await asyncpg.connect(url)
        await _write_full_text(admin)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        yield url


@asynccontextmanager
async def _copied(bench: Bench, real: str, capabilities: int, model: str) -> AsyncIterator[str]:
    """A database with so many capabilities: the real ones, and noisy copies of them."""
    async with bench.database(real.partition("?")[0].rpartition("/")[2]) as url:
        admin = await asyncpg.connect(url)
        await copies.multiply(admin, capabilities, model, bench.say)
        await _write_full_text(admin)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        yield url


async def _write_full_text(db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The terms of each document once more, as PostgreSQL's full text has them."""
    await db.execute(
        "DROP TABLE IF EXISTS full_text; CREATE TABLE full_text AS"
        " SELECT artifact, document, to_tsvector('simple', string_agg(stem, ' ')) AS said"
        " FROM search_posting JOIN search_term USING (term) GROUP BY artifact, document;"
        "CREATE INDEX ON full_text USING gin (said); GRANT SELECT ON full_text TO matchgraph_app"
    )


async def _needs(url: str, embedder: Embedder, count: int) -> list[Need]:
    """Needs as people put them: the judged ones, and intents that the catalog speaks of."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT DISTINCT text FROM search_text WHERE part > 0 ORDER BY 1")
    await connection.close()
    intents = [row["text"] for row in rows]
    Random(7).shuffle(intents)
    judged = [one.need.text for one in needs() if one.need.text and terms_of(one.need.text)]
    texts = list(dict.fromkeys([*judged, *intents]))
    Random(7).shuffle(texts)
    texts = texts[:count]
    return list(zip(texts, embedder.embed(texts), strict=True))


# Inside the database


class Timed(Snapshot):
    """Knows how long its statements took, the way to the database and back included."""

    took = 0.0

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        start = time.perf_counter()
        try:
            return await super().fetch(query, *arguments)
        finally:
            self.took += time.perf_counter() - start


Search = Callable[[Snapshot, Need], Awaitable[object]]


async def _inside(
    bench: Bench, name: str, databases: dict[str, str], asked: Sequence[Need], model: str
) -> None:
    table = Table(
        name,
        f"{len(asked)} searches inside the database, one after the other",
        "searches/s",
        base=FULL_TEXT,
    )
    p99s: dict[str, list[float]] = {}

    async def measured(pool: Pool, row: str, column: str) -> Round:
        search = _search(row, model)
        some = asked if row != FULL_TEXT and row != EXACT else asked[: len(asked) // 4]
        for need in some[:10]:
            await _timed(pool, search, need)
        took = [await _timed(pool, search, need) for need in some]
        found = Round(len(took), sum(took), took)
        if row == OURS:
            p99s.setdefault(column, []).append(found.quantile(0.99))
            table.notes[0] = _verdicts(p99s)
        return found

    pools: list[Pool] = []
    try:
        table.notes = ["", *await _described(databases, asked, model)]
        for column, url in databases.items():
            pools.append(await open_pool(url, "bench", size=1, statement_timeout=60))
            for row in (*WITHIN, EXACT, FULL_TEXT):
                table.add(row, column, partial(measured, pools[-1], row, column))
        await bench.measure(table)
    finally:
        for pool in pools:
            await pool.close()


async def _timed(pool: Pool, search: Search, need: Need) -> float:
    """How long its statements took. Units: seconds."""
    snapshot = Timed(pool)
    try:
        await snapshot.fetch("SELECT 1")
        snapshot.took = 0.0
        await search(snapshot, need)
        return snapshot.took
    finally:
        await snapshot.close()


def _search(row: str, model: str) -> Search:
    async def ours(snapshot: Snapshot, need: Need) -> object:
        text, vector = need
        asked = Asked(terms=terms_of(text), vector=vector, conditions=WITHIN[row])
        return await find(snapshot, asked, model)

    if row == EXACT:
        return partial(_nearest, model=model, exact=True)
    return _by_full_text if row == FULL_TEXT else ours


async def _nearest(snapshot: Snapshot, need: Need, *, model: str, exact: bool) -> list[float]:
    """The similarities of the nearest texts, best first."""
    await snapshot.fetch(
        "SELECT set_config('hnsw.ef_search', $1, true),"
        " set_config('max_parallel_workers_per_gather', '0', true)",
        str(search.BREADTH),
    )
    rows = await snapshot.fetch(
        "SELECT -(vector <#> $1::text::halfvec) AS alike FROM text_vector WHERE model = $2"
        # What is calculated with no index can find.
        f" ORDER BY (vector <#> $1::text::halfvec) {'+ 0' if exact else ''} LIMIT {PAGE}",
        *(written(need[1]), model),
    )
    return [row["alike"] for row in rows]


async def _by_full_text(snapshot: Snapshot, need: Need) -> object:
    words = " | ".join(f"'{term}'" for term in dict.fromkeys(terms(need[0])) if "'" not in term)
    return await snapshot.fetch(
        "SELECT artifact, document FROM full_text, to_tsquery('simple', $1) AS asked"
        f" WHERE said @@ asked ORDER BY ts_rank_cd(said, asked) DESC LIMIT {PAGE}",
        words,
    )


def _verdicts(p99s: dict[str, list[float]]) -> str:
    said = [
        f"{column}: goal {MOST_MS[column]:g} ms, "
        + ", ".join(f"{p99:.1f} ms {_met(p99 <= MOST_MS[column])}" for p99 in rounds)
        for column, rounds in sorted(p99s.items())
    ]
    return f"p99 of {OURS} by round. " + "; ".join(said) + "."


def _met(reached: bool) -> str:
    return "met" if reached else "**missed**"


async def _described(databases: dict[str, str], asked: Sequence[Need], model: str) -> list[str]:
    """What the tables hold, how well the index finds what is nearest, and whether any page is
    shorter than it would be if every text were compared."""
    said = []
    for column, url in databases.items():
        pool = await open_pool(url, "bench", size=1, statement_timeout=60)
        try:
            (row,) = await pool.fetch(
                "SELECT (SELECT count(*) FROM search_artifact) AS artifacts, (SELECT count(*) FROM"
                " capability_listing) AS capabilities, (SELECT count(*) FROM search_text) AS texts,"
                " (SELECT count(*) FROM text_vector) AS vectors,"
                " (SELECT count(*) FROM search_posting) AS postings"
            )
            recall = await _recall(pool, asked[:60], model)
            short, meet = await _short_pages(pool, asked[:30], model)
        finally:
            await pool.close()
        said.append(
            f"{column}: {row['artifacts']:,} artifacts with {row['capabilities']:,} capabilities,"
            f" {row['texts']:,} texts of which {row['vectors']:,} are different,"
            f" {row['postings']:,} postings. Of the {PAGE} nearest texts the index finds"
            f" {recall:.3f}, goal {LEAST_RECALL}, {_met(recall >= LEAST_RECALL)}. Under conditions"
            f" that {', '.join(f'{number:,}' for number in meet)} artifacts meet, {short} pages of"
            f" {PAGE} are shorter than with every text compared, {_met(short == 0)}."
        )
    said.append(
        "Ours: the statements of a whole search, from terms and a vector to scored candidates."
        f" {EXACT}: the {PAGE} nearest texts, no more. {FULL_TEXT}: the {PAGE} best documents of"
        " the same terms by `ts_rank_cd`, with a GIN index."
    )
    return said


async def _recall(pool: Pool, asked: Sequence[Need], model: str) -> float:
    """Which share of the nearest texts the index finds; others as near are as good."""
    shares = []
    for need in asked:
        snapshot = Snapshot(pool)
        exact = await _nearest(snapshot, need, model=model, exact=True)
        found = await _nearest(snapshot, need, model=model, exact=False)
        await snapshot.close()
        shares.append(sum(alike >= exact[-1] - 1e-6 for alike in found) / len(exact))
    return fmean(shares)


async def _short_pages(pool: Pool, asked: Sequence[Need], model: str) -> tuple[int, list[int]]:
    """How many pages have fewer results than there are artifacts that meet the condition and are
    alike enough, by comparing every text; and how many artifacts meet each condition."""
    await pool.execute(
        "UPDATE artifact_listing SET licence = $1 WHERE id IN (SELECT id FROM artifact_listing"
        " WHERE status = 'active' ORDER BY sha256(id::text::bytea)"
        " LIMIT (SELECT 1 + count(*) / 10000 FROM artifact_listing))",
        RARE,
    )
    within = {
        "l.kind = 'model'": WITHIN[BROAD],
        "l.kind = 'skill'": WITHIN[SELECTIVE],
        "l.kind IN ('framework', 'mcp')": conditions(Where(kinds=(Kind.FRAMEWORK, Kind.MCP))),
        f"l.licence = '{RARE}'": conditions(Where(licences=(RARE,))),
    }
    short, meet = 0, []
    for sql, one in within.items():
        met = f"FROM artifact_listing l WHERE l.status = 'active' AND {sql}"
        meet.append(await pool.fetchval(f"SELECT count(*) {met}"))
        for text, vector in asked:
            # One after the other until a page is full: of 1,000,000, all would take half a minute.
            alike = await pool.fetchval(
                "WITH aim AS MATERIALIZED (SELECT $1::text::halfvec AS vector)"
                " SELECT count(*) FROM (SELECT FROM search_artifact s"
                f" WHERE s.artifact_id IN (SELECT l.id {met}) AND EXISTS (SELECT FROM search_text t"
                " JOIN text_vector v USING (hash) WHERE t.artifact = s.artifact AND v.model = $2"
                " AND -(v.vector <#> (SELECT vector FROM aim)) >= $3 OFFSET 0)"
                f" LIMIT {PAGE}) AS page",
                written(vector),
                model,
                LEAST_ALIKE,
            )
            snapshot = Snapshot(pool)
            need = Asked(terms=terms_of(text), vector=vector, conditions=one)
            found = await find(snapshot, need, model)
            await snapshot.close()
            short += len(found.results[:PAGE]) < alike
    return short, meet


# Over HTTP


async def _over_http(bench: Bench, url: str, texts: Sequence[str]) -> None:
    seconds = 3 if bench.quick else 8
    table = Table(
        "search_http",
        "Searches of the real catalog over GraphQL, spelling and embedding included",
        "searches/s",
        base=NOT_RECORDED,
        flushes=True,
        notes=[
            f"{RECORDED}: as it is, the answer waits until its event is in the log."
            f" {NOT_RECORDED}: the same without, so the difference is what recording takes."
        ],
    )

    async def measured(row: str, callers: int) -> Round:
        how = "recorded" if row == RECORDED else "not"
        async with process("bench.search", url, bench.servers.redis_url, how) as server:
            address = f"http://127.0.0.1:{await line(server)}/graphql"
            rest = cycle(texts)
            async with httpx.AsyncClient(timeout=30) as client:

                async def ask() -> None:
                    said = {"query": QUERY, "variables": {"text": next(rest)}}
                    answer = (await client.post(address, json=said)).json()
                    assert "errors" not in answer, answer["errors"]
                    assert answer["data"]["search"]["recorded"] is (row == RECORDED)

                await tasks(1, 2, ask)
                return await tasks(callers, seconds, ask)

    for callers in (1, 8):
        for row in (RECORDED, NOT_RECORDED):
            column = f"{callers} caller{'s' if callers > 1 else ''}"
            table.add(row, column, partial(measured, row, callers))
    await bench.measure(table)


async def serve(url: str, redis_url: str, how: str) -> None:
    """The application; says on which port it is when its model is loaded."""
    if how == "not":

        async def nothing(*_: object, **__: object) -> bool:
            return False

        setattr(answering, "_record", nothing)  # noqa: B010
    made = app(
        url,
        redis_url,
        project=False,
        model=embedding.DEFAULT,
        search_keys=("what the benchmark wraps with",),
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(configured(made, "127.0.0.1", 0), lambda: None)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started or made.state.searching.embedder is None:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    settle()
    print(listening.getsockname()[1], flush=True)
    await serving


# Embedding


async def _embedding(bench: Bench) -> None:
    """What an import waits for until its texts are found by their meaning."""
    table = Table("embedding", "Embed texts, one thread", "texts/s", base="minilm")
    words = [word for entry in catalog.entries().values() for word in entry.own_text.split()]
    for name in embedding.available():
        embedder = await asyncio.to_thread(embedding.load, name)
        for length in (12, 60):
            count = (64 if bench.quick else 256) * (1 if name == embedding.DEFAULT else 20)
            chance = Random(7)
            starts = [chance.randrange(len(words) - length) for _ in range(count)]
            texts = [" ".join(words[start : start + length]) for start in starts]
            table.add(name, f"{length} words", partial(_embed, embedder, texts))
    await bench.measure(table)


async def _embed(embedder: Embedder, texts: Sequence[str]) -> Round:
    start = time.perf_counter()
    for some in range(0, len(texts), 32):
        await asyncio.to_thread(embedder.embed, texts[some : some + 32])
    return Round(len(texts), time.perf_counter() - start)


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    uvloop.run(serve(*arguments))
