"""A read model that a new release brings holds nobody up until it has caught up."""

import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pogo_core.util import migrate as pogo

from matchgraph import migrate
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.runner import Runner
from matchgraph.projections.signal_board import SIGNAL_BOARD
from matchgraph.queries.snapshot import viewing
from matchgraph.servers import Servers
from tests.conftest import project, url_of
from tests.eventstore.histories import rich, until
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, call
from tests.projections.tables import append, checkpoints, contents
from tests.projections.test_runner import leading

HEAD = "{ position { head reached } }"
NEW = '{ artifact(slug: "parser") { signals { value } } }'
OLD = '{ artifact(slug: "parser") { slug vendor capabilityCount rank { score } } }'
AT_LEAST = 'query ($p: Position!) @atLeast(position: $p) { artifact(slug: "parser") { slug } }'
STARS = {"name": "STARS", "value": "7", "source": "s", "observedAt": "2026-01-01T00:00:00Z"}


async def brought(url: str, folder: Path, name: str = "signal_board") -> None:
    """A migration adds that read model, as if the release before had not known it."""
    (projection,) = (one for one in PROJECTIONS if one.name == name)
    source = folder / uuid4().hex
    shutil.copytree(migrate.folder(), source)
    last = max(file.stem for file in source.glob("*.sql"))
    (source / f"9001_{name}.sql").write_text(
        f"-- What is new?\n-- depends: {last}\n\n-- migrate: apply\n\n"
        f"TRUNCATE {', '.join(projection.tables)};\n"
        f"DELETE FROM projection_checkpoint WHERE name = '{name}';\n"
        f"INSERT INTO projection_checkpoint (name) VALUES ('{name}');\n\n-- migrate: rollback\n"
    )
    await migrate.apply(url, source=source)


async def first_time(url: str) -> set[str]:
    """The read models that are computed for the first time."""
    db = await connect(url, "test")
    rows = await db.fetch("SELECT name FROM projection_checkpoint WHERE first_time")
    await db.close()
    return {row["name"] for row in rows}


@asynccontextmanager
async def projector(url: str, api: Api, *, page: int) -> AsyncIterator[tuple[Runner, Connection]]:
    """One that goes page by page, when it is told to."""
    db = await connect(url, "test projector")
    try:
        yield Runner(url, api.store.listener, PROJECTIONS, page=page), db
    finally:
        db.terminate()


async def reached(api: Api) -> int:
    return int((await api.ask(HEAD))["position"]["reached"])


async def test_everything_but_what_needs_it_is_answered_as_before(
    still: Api, url: str, tmp_path: Path
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await call(still, "observeSignal", slug="parser", signal=STARS)
    head = await append(still.store, rich(3))
    await project(url, still.store)
    before = await still.ask(OLD)
    whole = await still.ask(NEW)
    assert whole["artifact"]["signals"] == [{"value": "7"}]

    await brought(url, tmp_path)
    assert await first_time(url) == {"signal_board"}
    assert await reached(still) == head
    assert await still.ask(OLD) == before
    assert (await still.ask(AT_LEAST, p=str(head)))["artifact"]["slug"] == "parser"
    error = await still.error(NEW)
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert "signal_board is computed for the first time" in error["message"]
    response = await still.http.get("/readyz")
    assert (response.status_code, response.json()["problems"]) == (200, [])
    told = {one["name"]: one["firstTime"] for one in response.json()["readModels"]}
    assert [name for name, first in told.items() if first] == ["signal_board"]
    metrics = (await still.http.get("/metrics")).text
    assert 'matchgraph_projection_first_time{read_model="signal_board"} 1.0' in metrics
    assert 'matchgraph_projection_first_time{read_model="rank_board"} 0.0' in metrics

    await project(url, still.store, page=5)
    assert await first_time(url) == set()
    assert await still.ask(NEW) == whole


async def test_positions_of_answers_never_go_back_while_it_catches_up(
    still: Api, url: str, tmp_path: Path
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await append(still.store, rich(6))
    await project(url, still.store)
    await brought(url, tmp_path)
    seen = [await reached(still)]
    refused = whole = 0
    async with projector(url, still, page=20) as (runner, db):
        for number in range(40):
            # Whoever writes is read at once, whatever is still being computed.
            position = await call(still, "observeSignal", slug="parser", signal=later(number))
            while await reached(still) < int(position["position"]):
                assert await runner.advance(db)
                seen.append(await reached(still))
                async with viewing(still.pool) as snapshot:
                    assert await snapshot.position() == seen[-1]
            answer = await still.answer(NEW)
            if await first_time(url):
                refused += 1
                assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
            else:
                whole += 1
                assert answer["data"]["artifact"]["signals"] == [{"value": str(number)}]
    assert seen == sorted(seen)
    assert refused
    assert whole
    held = await contents(url)
    await rebuild(url, SIGNAL_BOARD)
    assert await contents(url) == held


def later(number: int) -> dict[str, Any]:
    return {**STARS, "value": str(number), "observedAt": f"2026-01-02T00:00:{number:02}Z"}


async def test_it_counts_once_it_is_as_far_as_the_others_also_without_another_event(
    still: Api, url: str, tmp_path: Path
) -> None:
    """With a page that ends where the log does, nothing comes after it that might tell."""
    end = await append(still.store, rich(2))
    await project(url, still.store)
    await brought(url, tmp_path)
    async with projector(url, still, page=2_000) as (runner, db):
        assert await runner.advance(db)
    assert (await checkpoints(url))["signal_board"] == end
    assert await first_time(url) == set()


async def test_one_that_is_brought_to_an_empty_log_is_there_at_once(
    still: Api, url: str, tmp_path: Path
) -> None:
    assert await first_time(url) == set()
    await brought(url, tmp_path)
    assert await first_time(url) == {"signal_board"}
    await project(url, still.store)
    assert await first_time(url) == set()
    assert await reached(still) == 0


async def test_another_process_goes_on_with_it(still: Api, url: str, tmp_path: Path) -> None:
    end = await append(still.store, rich(6))
    await project(url, still.store)
    await brought(url, tmp_path)
    async with projector(url, still, page=3) as (runner, db):
        for _ in range(4):
            assert await runner.advance(db)
    assert 0 < (await checkpoints(url))["signal_board"] < end
    assert await first_time(url) == {"signal_board"}
    assert await reached(still) == end
    async with leading(url, still.store, page=7):

        async def there() -> bool:
            return await first_time(url) == set()

        await until(there, patience=20)
    assert (await checkpoints(url))["signal_board"] == end


async def test_one_that_is_rebuilt_meanwhile_counts_from_then_on(
    still: Api, url: str, tmp_path: Path
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await call(still, "observeSignal", slug="parser", signal=STARS)
    end = await append(still.store, rich(3))
    await project(url, still.store)
    await brought(url, tmp_path)
    async with projector(url, still, page=3) as (runner, db):
        assert await runner.advance(db)
        assert await rebuild(url, SIGNAL_BOARD) == end
        # Who rebuilds leaves it to the projector to say so, as to whom everything else is left.
        assert await first_time(url) == {"signal_board"}
        assert not await runner.advance(db)
    assert await first_time(url) == set()
    assert await reached(still) == end
    assert (await still.ask(NEW))["artifact"]["signals"] == [{"value": "7"}]


async def test_one_that_cannot_be_computed_keeps_nobody_from_the_others(
    still: Api, url: str, tmp_path: Path
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await call(still, "observeSignal", slug="parser", signal=STARS)
    await project(url, still.store)
    await brought(url, tmp_path)
    admin = await asyncpg.connect(url)
    await admin.execute("ALTER TABLE signal_board ADD CHECK (value < 5)")
    await admin.close()
    await call(still, "registerArtifact", **{**ARTIFACT, "slug": "other"})
    await project(url, still.store)
    assert (await checkpoints(url))["signal_board"] == 1
    assert await reached(still) == 3
    assert (await still.ask(OLD.replace("parser", "other")))["artifact"]["slug"] == "other"
    then = '{ artifact(slug: "parser", asOf: {position: "3"}) { slug vendor } }'
    assert (await still.ask(then))["artifact"]["slug"] == "parser"
    response = await still.http.get("/readyz")
    assert response.status_code == 200
    stuck = {one["name"]: one["stuckAt"] for one in response.json()["readModels"]}
    assert stuck["signal_board"] == "2"
    assert await still.code(NEW) == "UNAVAILABLE"


async def test_the_past_is_told_as_far_as_it_has_come(still: Api, url: str, tmp_path: Path) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await call(still, "observeSignal", slug="parser", signal=later(1))
    await call(still, "observeSignal", slug="parser", signal=later(2))
    await project(url, still.store)
    await brought(url, tmp_path)
    then = 'query ($p: AsOf) { artifact(slug: "parser", asOf: $p) { signals { value } } }'
    async with projector(url, still, page=1) as (runner, db):
        for _ in range(2):
            assert await runner.advance(db)
    assert (await checkpoints(url))["signal_board"] == 2
    assert (await still.ask(then, p={"position": "2"}))["artifact"]["signals"] == [{"value": "1"}]
    assert await still.code(then, p={"position": "3"}) == "UNAVAILABLE"
    old = then.replace("signals { value }", "slug vendor")
    assert (await still.ask(old, p={"position": "3"}))["artifact"]["slug"] == "parser"


async def test_kept_answers_are_given_while_another_read_model_is_computed(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    async with serving(url, servers.redis_url, project=False, kept_answers=1 << 20) as api:
        await call(api, "registerArtifact", **ARTIFACT)
        await project(url, api.store)
        await brought(url, tmp_path)
        touched = api.app.state.answers._touched

        async def steady() -> bool:
            return bool(touched.at == 1)

        await until(steady, patience=20)


@pytest.mark.parametrize(("position", "expected"), [(9, {"api_key", "trail"}), (0, set())])
async def test_what_a_database_of_long_ago_had_counts_and_what_came_since_does_not(
    servers: Servers, tmp_path: Path, position: int, expected: set[str]
) -> None:
    name = f"long_ago_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    url = url_of(servers.database_url, name)
    try:
        before = tmp_path / "before"
        before.mkdir()
        for file in migrate.folder().glob("*.sql"):
            if file.stem < "0017":
                (before / file.name).write_text(file.read_text())
        db = await asyncpg.connect(url)
        await pogo.apply(db, before, schema_name="public", logger=logging.getLogger(__name__))
        await db.execute("UPDATE projection_checkpoint SET position = $1", position)
        await db.close()
        await migrate.apply(url)
        assert await first_time(url) == expected
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
