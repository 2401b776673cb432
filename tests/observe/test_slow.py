"""Slow operations, as the log tells of them."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from matchgraph.observe.observer import Observer
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import until
from tests.graphql.client import JSON, Api, serving
from tests.graphql.mutations import ARTIFACT, call

WORDS = "a private thought about kittens"


@pytest.fixture
async def slow(url: str, servers: Servers) -> AsyncIterator[Api]:
    """An application to which every operation is a slow one."""
    observer = Observer(threshold=0)
    async with serving(url, servers.redis_url, project=False, observer=observer) as api:
        yield api


async def told(caplog: pytest.LogCaptureFixture, count: int = 1) -> list[dict[str, Any]]:
    """What the log says of slow operations, once there are so many."""

    async def there() -> bool:
        return len(fields()) >= count

    def fields() -> list[dict[str, Any]]:
        return [one.fields for one in caplog.records if one.message == "slow operation"]  # type: ignore[attr-defined]

    await until(there, patience=60)
    return fields()


async def test_a_slow_operation_is_told_with_its_statements_and_the_plan_of_the_slowest(
    slow: Api, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"query": '{ artifact(slug: "parser") { slug } }'})
    body = body.replace("{ artifact", "query Mine { artifact", 1)
    await slow.http.post("/graphql", content=body, headers={**JSON, "x-request-id": "r-1"})
    (found,) = await told(caplog)
    assert (found["operation"], found["type"], found["request_id"]) == ("Mine", "query", "r-1")
    assert found["actor"] == "anonymous"
    assert found["ms"] > 0
    assert found["waited_ms"]["postgresql"] > 0
    systems = [step["system"] for step in found["steps"]]
    assert {"postgresql", "pool"} <= set(systems)
    assert found["steps"] == sorted(found["steps"], key=lambda step: -step["ms"])
    assert any("artifact_listing" in step["text"] for step in found["steps"])


async def test_the_plan_is_of_the_statement_and_has_no_parameter_in_it(
    slow: Api, caplog: pytest.LogCaptureFixture
) -> None:
    words = json.dumps(WORDS)
    for query in (
        f"{{ search(need: {{text: {words}}}) {{ searchId nodes {{ lacks }} }} }}",
        f"{{ artifacts(filter: {{vendors: [{words}]}}) {{ nodes {{ slug }} }} }}",
        '{ artifact(slug: "kitten-parser") { name } }',
    ):
        await slow.answer(query)
    found = await told(caplog, 3)
    plans = [one["plan"] for one in found if one.get("plan")]
    assert len(plans) == 3
    assert any("cost=" in plan for plan in plans)
    assert any("$1" in plan for plan in plans)
    assert not any("unknown" in plan for plan in plans), plans
    whole = json.dumps(found)
    assert "kitten" not in whole
    assert "private" not in whole


async def test_plans_of_views_as_of_then_are_those_of_their_own_connections(
    slow: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await call(slow, "registerArtifact", **ARTIFACT)
    await project(slow.store._appender._url, slow.store)
    await slow.ask(
        '{ artifact(slug: "parser", asOf: {position: "1"}) { name prices { provider } } }'
    )
    *_, then = await told(caplog, 2)
    assert then["type"] == "query"
    assert "cost=" in then["plan"]


async def test_what_is_planned_once_is_not_planned_again(
    slow: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        await slow.ask("{ position { head } }")
    found = await told(caplog, 20)
    assert len({one["plan"] for one in found}) == 1
    statements = await slow.pool.fetch("SELECT name FROM pg_prepared_statements WHERE from_sql")
    assert statements == [], "and nothing is left of it"


async def test_mutations_and_failures_are_told_as_well(
    slow: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await call(slow, "registerArtifact", **ARTIFACT)
    await slow.code("{ compare(slugs: []) { position } }")
    mutation, query = sorted(await told(caplog, 2), key=lambda one: one["type"])
    assert mutation["type"] == "mutation"
    assert "append" in mutation["waited_ms"]
    assert (query["outcome"], "plan" in query) == ("client_error", False)


async def test_what_is_quick_enough_is_not_told(
    url: str, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(threshold=30)
    async with serving(url, servers.redis_url, project=False, observer=observer) as api:
        await api.ask("{ position { head } }")
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
