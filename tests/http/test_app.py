"""What the server says over HTTP beside its answers: alive, ready, how far, and no."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from matchgraph.eventstore.connection import connect
from matchgraph.servers import Servers
from tests.graphql.client import JSON, Api, serving
from tests.graphql.line import Line
from tests.graphql.mutations import ARTIFACT, call, document

READ_MODELS = {"artifact_listing", "capability_listing", "price_history", "signal_board"}
HEAD = "{ position { head } }"


async def caught_up(api: Api) -> None:
    head = await api.store.head()
    await api.ask(f'query @atLeast(position: "{head}") {HEAD}')


async def test_it_is_ready_when_every_read_model_is_up_to_date(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    await caught_up(api)
    assert (await api.http.get("/healthz")).json() == {"status": "alive"}
    response = await api.http.get("/readyz")
    assert response.status_code == 200
    said = response.json()
    assert (said["status"], said["problems"], said["redis"]) == ("ready", [], "reachable")
    assert {model["name"] for model in said["readModels"]} >= READ_MODELS
    for model in said["readModels"]:
        assert (model["position"], model["behindEvents"], model["stuckAt"]) == ("1", 0, None)


async def test_it_is_not_ready_while_a_read_model_is_stuck(api: Api, url: str) -> None:
    db = await connect(url, "test")
    await db.execute("DROP TABLE signal_board CASCADE")
    await db.close()
    answer = await call(api, "registerArtifact", **ARTIFACT)
    signal = {"name": "STARS", "value": "7", "source": "s", "observedAt": "2026-01-01T00:00:00Z"}
    answer = await call(api, "observeSignal", slug="parser", signal=signal)
    for _ in range(100):
        response = await api.http.get("/readyz")
        if response.status_code == 503:
            break
        await asyncio.sleep(0.05)
    said = response.json()
    assert said["status"] == "not ready"
    (problem,) = said["problems"]
    assert problem.startswith(f"signal_board is stuck at event {answer['position']}")
    stuck = {model["name"]: model["stuckAt"] for model in said["readModels"]}
    assert stuck["signal_board"] == answer["position"]
    assert stuck["artifact_listing"] is None
    metrics = (await api.http.get("/metrics")).text
    assert 'matchgraph_projection_stuck{read_model="signal_board"} 1.0' in metrics
    assert 'matchgraph_projection_stuck{read_model="artifact_listing"} 0.0' in metrics
    # The others go on, and so do answers from them.
    assert (await api.ask('{ artifact(slug: "parser") { slug } }'))["artifact"]["slug"] == "parser"


async def test_the_metrics_have_the_lag_of_every_read_model(still: Api) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    await call(still, "registerArtifact", **{**ARTIFACT, "slug": "other"})
    response = await still.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in response.text.splitlines()
        if not line.startswith("#")
    }
    for name in READ_MODELS:
        label = f'{{read_model="{name}"}}'
        assert values[f"matchgraph_projection_position{label}"] == 0
        assert values[f"matchgraph_projection_behind_events{label}"] == 2
        assert 0 < values[f"matchgraph_projection_behind_seconds{label}"] < 60
        assert values[f"matchgraph_projection_stuck{label}"] == 0
    assert values["matchgraph_database_up"] == values["matchgraph_redis_up"] == 1
    # Nothing is wrong yet: a moment behind is not late.
    assert (await still.http.get("/readyz")).status_code == 200


async def test_without_the_database_it_lives_and_is_not_ready(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    async with serving(line.url, servers.redis_url) as api:
        assert (await api.http.get("/readyz")).status_code == 200
        await line.cut()
        began = time.monotonic()
        response = await api.http.get("/readyz")
        assert response.status_code == 503
        assert response.json()["problems"] == ["the database is away"]
        assert (await api.http.get("/healthz")).status_code == 200
        metrics = await api.http.get("/metrics")
        assert metrics.status_code == 200
        assert "matchgraph_database_up 0.0" in metrics.text
        assert time.monotonic() - began < 10
        await line.mend()
        assert (await api.http.get("/readyz")).status_code == 200
    await line.cut()


async def test_it_is_not_ready_while_a_migration_is_missing(url: str, servers: Servers) -> None:
    db = await asyncpg.connect(url)
    newest = await db.fetchval("SELECT max(migration_id) FROM _pogo_migration")
    row = "FROM _pogo_migration WHERE migration_id = $1"
    await db.execute(f"CREATE TABLE kept AS SELECT * {row.replace('$1', repr(newest))}")
    await db.execute(f"DELETE {row}", newest)
    async with serving(url, servers.redis_url, project=False) as api:
        response = await api.http.get("/readyz")
        assert response.status_code == 503
        (problem,) = response.json()["problems"]
        assert newest in problem
        assert "matchgraph migrate" in problem
        assert (await api.http.get("/healthz")).status_code == 200
        await db.execute("INSERT INTO _pogo_migration SELECT * FROM kept")
        assert (await api.http.get("/readyz")).json()["problems"] == []
        # Nobody takes a migration back, so it is not looked at again.
        await db.execute(f"DELETE {row}", newest)
        assert (await api.http.get("/readyz")).status_code == 200
    await db.close()


async def test_without_redis_it_is_ready_all_the_same(url: str, tmp_path: Path) -> None:
    async with serving(url, f"unix://{tmp_path}/nothing") as api:
        response = await api.http.get("/readyz")
        assert response.status_code == 200
        assert response.json()["redis"] == "away"
        assert "matchgraph_redis_up 0.0" in (await api.http.get("/metrics")).text
        assert (await call(api, "registerArtifact", **ARTIFACT))["position"] == "1"


@pytest.fixture
async def production(url: str, servers: Servers) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url, project=False, development=False) as api:
        yield api


async def test_a_browser_gets_an_editor_in_development_only(still: Api, production: Api) -> None:
    page = {"accept": "text/html"}
    shown = await still.http.get("/graphql", headers=page)
    assert shown.status_code == 200
    assert "graphiql" in shown.text.lower()
    hidden = await production.http.get("/graphql", headers=page)
    assert hidden.status_code in (400, 404, 405)
    assert "graphiql" not in hidden.text.lower()
    assert (await production.ask(HEAD))["position"]["head"] == "0"
    assert (await still.http.get("/")).headers["location"] == "/graphql"


@pytest.mark.parametrize(
    ("said", "recorded"),
    [("req-1:a/b+c=.", True), ("x" * 100, True), ("x" * 101, False), ("a b", False), ("", False)],
)
async def test_the_request_id_is_recorded_with_the_event(
    still: Api, said: str, recorded: bool
) -> None:
    body = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
    await still.http.post("/graphql", content=body, headers={**JSON, "x-request-id": said})
    (event,) = await still.store.read(0)
    assert (event.request_id == said) is recorded
    assert event.request_id
    assert event.actor == "anonymous"


async def test_a_body_of_more_than_a_megabyte_is_refused(still: Api) -> None:
    large = json.dumps({"query": HEAD, "variables": {"x": "x" * 1_000_000}})

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536].encode()

    for body in (large, chunks()):
        response = await still.http.post("/graphql", content=body, headers=JSON)
        assert response.status_code == 413
        (error,) = response.json()["errors"]
        assert error["extensions"] == {"code": "CONTENT_TOO_LARGE"}
    fits = json.dumps({"query": HEAD, "variables": {"x": "x" * 900_000}})
    assert (await still.http.post("/graphql", content=fits, headers=JSON)).status_code == 200


async def test_what_is_not_there_is_not_found(still: Api) -> None:
    assert (await still.http.get("/nothing")).status_code == 404
    assert (await still.http.delete("/healthz")).status_code == 405


async def test_of_several_operations_one_has_to_be_named(still: Api) -> None:
    both = "query A { position { head } } query B { position { reached } }"
    unnamed = (await still.http.post("/graphql", json={"query": both})).json()
    assert "data" not in unnamed
    assert unnamed["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    named = await still.http.post("/graphql", json={"query": both, "operationName": "B"})
    assert named.json()["data"]["position"]["reached"] == "0"


async def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_bug(still: Api) -> None:
    said: list[object] = []
    told: list[dict[str, object]] = [
        {"type": "http.request", "body": b'{"query": ', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, object]:
        return told.pop(0)

    async def send(message: object) -> None:
        said.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"},
        **{"scheme": "http", "path": "/graphql", "raw_path": b"/graphql", "query_string": b""},
        **{"headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1)},
        **{"server": ("matchgraph", 80), "root_path": ""},
    }
    await still.app(scope, receive, send)
    assert (told, said) == ([], []), "nobody is there to be answered"
    assert (await still.ask(HEAD))["position"]["head"] == "0"
