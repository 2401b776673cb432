"""A database moves on while a release serves, and no release works on one that it does not fit."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from matchgraph import migrate
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import Store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import rich
from tests.projections.tables import append
from tests.upgrades.trees import Process, migration, release, run, started

LAST = max(file.stem for file in migrate.folder().glob("*.sql"))
TABLES = sorted(table for one in PROJECTIONS for table in one.tables)
# What the release after this one brings, while this one serves: a column for every table of every
# read model and for those beside them, a table, and an index that is built beside the work.
WIDER = {
    "9001_wider": migration(
        "\n".join(
            f"ALTER TABLE {table} ADD COLUMN note_{kind.split()[0]} {kind};"
            for table in (*TABLES, "searcher_key", "projection_checkpoint", "ledger_watch", "event")
            # Copied from price_history, which is wider than it then.
            if table != "price_current"
            for kind in ("text", "bigint NOT NULL DEFAULT 7")
        )
        + "\nCREATE TABLE fresh (id int PRIMARY KEY);",
        LAST,
    ),
    "9002_by_topic": migration(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS event_by_topic ON event (topic);",
        "9001_wider",
        transaction=False,
    ),
}
# And what the one after that takes away.
NARROWER = {
    **WIDER,
    "9003_narrower": migration(
        "INSERT INTO release_floor VALUES ('9003_narrower', '0.2.0');\nDROP TABLE fresh;",
        "9002_by_topic",
    ),
}
READ = """{ artifacts(first: 20) { totalCount nodes { slug startingPrice { amount }
    capabilities(first: 5) { nodes { name } } rank { score place } } }
  rankBoard { nodes { slug } } events(first: 5) { nodes { position } }
  search(need: {text: "reads tables"}) { edges { node { artifact { slug } } } }
  ledger { head { position } } position { head } }"""
PAST = '{ artifacts(first: 20, asOf: {position: "20"}) { nodes { slug rank { score } } } }'
WRITE = """mutation ($slug: String!) {
  registerArtifact(slug: $slug, kind: CLI, facts: {name: "Parser"}, provenance: {
    source: "s", observedAt: "2026-01-01T00:00:00Z"}) { __typename ... on Change { position } }
  observePrice(slug: $slug, price: {provider: "acme", pricing: PAID, amount: "1", currency: "USD",
    per: REQUEST, source: "s", observedAt: "2026-01-01T00:00:00Z"}) { __typename }
  addCapability(slug: $slug, capability: {key: "tables", name: "T", description: "Reads tables.",
    provenance: {source: "s", observedAt: "2026-01-01T00:00:00Z"}}) { __typename } }"""


@contextmanager
def load(served: Process) -> Iterator[list[Any]]:
    """Readers and a writer at work; whatever was not answered as it should be."""
    failed: list[Any] = []
    stop = threading.Event()

    def read(query: str) -> None:
        while not stop.is_set():
            judge(lambda: served.answer(query))

    def write() -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            judge(lambda slug=f"under-load-{number}": served.answer(WRITE, slug=slug))

    def judge(ask: Any) -> None:
        try:
            answer = ask()
        except OSError as reason:
            failed.append(reason)
            return
        names = json.dumps(answer)
        if "errors" in answer or "Refusal" in names or not answer["data"]:
            failed.append(answer)

    threads = [threading.Thread(target=read, args=(query,)) for query in (READ, PAST)]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)


@pytest.fixture
def where(url: str, servers: Servers) -> dict[str, str]:
    return {"DATABASE_URL": url, "REDIS_URL": servers.redis_url, "MATCHGRAPH_EMBEDDING": "off"}


async def test_a_database_moves_on_under_load_and_no_request_fails(
    url: str, store: Store, where: dict[str, str], tmp_path: Path
) -> None:
    await append(store, rich(40))
    await project(url, store)
    data = {"MATCHGRAPH_DATA": str(tmp_path / "data")}
    now = {**release(tmp_path, "0.1.0", {}), **where, **data}
    after = {**release(tmp_path, "0.2.0", WIDER), **where, **data}
    with (
        started(now, "serve", "--no-catalogs") as served,
        # Stands by, as on every other machine.
        started(now, "project"),
    ):
        served.wait()
        with load(served) as failed:
            await asyncio.sleep(1)
            before = served.head()
            moved = run(after, "migrate")
            assert moved.returncode == 0, moved.stderr
            began = served.head()
            deadline = time.monotonic() + 60
            # Goes on for a while, with statements that were prepared before.
            while served.head() < began + 60:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        assert failed == [], "".join(served.said)
        assert before < began
        with started(after, "serve", "--no-catalogs") as newer:
            newer.wait()
            assert newer.head() >= began
            assert served.head() >= began
        deadline = time.monotonic() + 60
        while True:
            found = served.get("/readyz")
            if all(model["behindEvents"] == 0 for model in found["readModels"]):
                break
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)
        assert found["problems"] == []
    db = await connect(url, "test")
    assert await db.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'event_by_topic'::regclass"
    )
    # What was written since has what the new release will find.
    assert await db.fetchval("SELECT count(*) > 60 FROM artifact_listing WHERE note_bigint = 7")
    await db.close()
    said = run(after, "verify")
    assert said.returncode == 0, said.stderr + said.stdout


async def test_a_release_that_is_too_old_is_not_started_and_says_what_to_start(
    url: str, store: Store, where: dict[str, str], tmp_path: Path
) -> None:
    data = {"MATCHGRAPH_DATA": str(tmp_path / "data")}
    now = {**release(tmp_path, "0.1.0", {}), **where, **data}
    narrower = {**release(tmp_path, "0.3.0", NARROWER), **where, **data}
    with started(now, "serve", "--no-catalogs") as served:
        served.wait()
        refused = run(narrower, "migrate")
        assert refused.returncode == 1
        for word in ("9003_narrower", "0.2.0", "0.1.0", "end them first"):
            assert word in refused.stderr
        assert "Traceback" not in refused.stderr
        # What came before stands, and goes with the release that serves.
        assert served.head() >= 0
        assert run(now, "keys", "list").returncode == 0
    # This process, too, has said which release it is.
    await store.listener.__aexit__()
    assert run(narrower, "migrate").returncode == 0
    for command in (
        ["serve", "--no-catalogs"],
        ["project"],
        ["verify"],
        ["keys", "list"],
    ):
        found = run(now, *command)
        assert found.returncode == 1, found
        for word in ("0.1.0 is too old", "0.2.0 and later", "9003_narrower"):
            assert word in found.stderr, found
        assert "Traceback" not in found.stderr
    assert run(narrower, "verify").returncode == 0


async def test_a_release_that_is_too_new_is_not_started_before_the_database_is_migrated(
    where: dict[str, str], tmp_path: Path
) -> None:
    after = {
        **release(tmp_path, "0.2.0", WIDER),
        **where,
        "MATCHGRAPH_DATA": str(tmp_path / "data"),
    }
    for command in (["project"], ["ledger", "head"]):
        found = run(after, *command)
        assert found.returncode == 1, found
        for word in ("9001_wider and 9002_by_topic", "0.2.0", "run `matchgraph migrate` first"):
            assert word in found.stderr, found
        assert "Traceback" not in found.stderr
    with started(after, "serve", "--no-catalogs") as served:
        # On one machine, starting it is enough.
        assert served.wait().head() == 0
    assert run(after, "verify").returncode == 0
