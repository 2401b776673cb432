"""Traces, as a receiver of them gets them."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from matchgraph.observe.observer import Observer
from matchgraph.observe.traces import Traces, tracing
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import JSON, Api, serving
from tests.graphql.moving import CATALOG
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import served
from tests.observe.receiver import Receiver, Span, receiving

HEAD = "{ position { head } }"
SECRET = "a private thought about kittens"
KEY = f"mg_aaaabbbbcccc_{'k' * 43}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def traces(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    # The SDK reads them from the environment itself.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    found = tracing("1.2.3")
    assert found is not None
    yield found
    found.close()


@pytest.fixture
async def traced(url: str, servers: Servers, traces: Traces) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url, observer=Observer(traces=traces)) as api:
        yield api


async def asked(api: Api, query: str, **headers: str) -> None:
    said = json.dumps({"query": query})
    response = await api.http.post("/graphql", content=said, headers={**JSON, **headers})
    assert response.status_code in (200, 401), response.text


async def root_of(receiver: Receiver, trace: str) -> Span:
    """The span of the request, once it has arrived; those below it came before."""

    async def arrived() -> bool:
        return any(span.name == "POST /graphql" for span in receiver.of(trace))

    await until(arrived, patience=60)
    (root,) = [span for span in receiver.of(trace) if span.name == "POST /graphql"]
    return root


def tree(receiver: Receiver, span: Span) -> list[Span]:
    """The span and all below it."""
    return [span, *(one for child in receiver.below(span) for one in tree(receiver, child))]


async def test_a_query_is_one_tree_from_http_to_sql_and_redis(
    traced: Api, receiver: Receiver
) -> None:
    await call(traced, "registerArtifact", **ARTIFACT)
    query = """query Board { rankBoard(first: 3) { nodes { slug rank { place } capabilityCount
      prices { provider } } } }"""

    async def asked_redis() -> bool:
        nodes = (await traced.ask(query))["rankBoard"]["nodes"]
        systems = {span.attributes.get("db.system.name") for span in receiver.spans}
        return nodes and "redis" in systems

    await until(asked_redis, patience=60)
    trace = uuid4().hex
    await asked(traced, query, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    root = await root_of(receiver, trace)
    assert root.parent == "00f067aa0ba902b7", "it goes on the trace that it was sent"
    assert root.attributes["http.response.status_code"] == "200"
    assert {span.id for span in tree(receiver, root)} == {span.id for span in receiver.of(trace)}, (
        "all of it is one tree"
    )
    (operation,) = receiver.below(root)
    assert operation.name == "query Board"
    assert operation.attributes["graphql.operation.type"] == "query"
    fields = {span.name: span for span in receiver.below(operation)}
    assert "Query.rankBoard" in fields
    board = tree(receiver, fields["Query.rankBoard"])
    assert "redis" in {span.attributes.get("db.system.name") for span in board}
    loads = [span for span in receiver.below(operation) if span.name.startswith("load ")]
    assert any(
        span.attributes.get("db.query.text", "").startswith("SELECT")
        for load in loads
        for span in receiver.below(load)
    )
    assert "service.name=matchgraph" in receiver.resources
    assert "service.version=1.2.3" in receiver.resources


async def test_a_mutation_has_a_span_of_its_append(traced: Api, receiver: Receiver) -> None:
    await call(traced, "registerArtifact", **ARTIFACT)

    async def arrived() -> bool:
        return any(span.name == "POST /graphql" for span in receiver.spans)

    await until(arrived, patience=60)
    (root,) = [span for span in receiver.spans if span.name == "POST /graphql"]
    found = tree(receiver, root)
    assert {"Mutation.registerArtifact", "append"} <= {span.name for span in found}
    assert {span.trace for span in receiver.spans} == {root.trace}, "nothing else was traced"


async def test_a_trace_that_was_not_sampled_is_not_gone_on_with(
    traced: Api, receiver: Receiver
) -> None:
    left_out, kept = uuid4().hex, uuid4().hex
    await asked(traced, HEAD, traceparent=f"00-{left_out}-00f067aa0ba902b7-00")
    await asked(traced, HEAD, traceparent=f"00-{kept}-00f067aa0ba902b7-01")
    await root_of(receiver, kept)
    assert receiver.of(left_out) == []


async def test_no_span_has_what_a_client_sent(traced: Api, receiver: Receiver) -> None:
    literal = json.dumps(SECRET)
    for query in (
        f"{{ search(need: {{text: {literal}}}) {{ nodes {{ lacks }} }} }}",
        f"{{ artifact(slug: {literal}) {{ slug }} }}",
        f"{{ compare(slugs: [{literal}, {literal}]) {{ position }} }}",
        f"{{ events(filter: {{actor: {literal}}}) {{ nodes {{ position }} }} }}",
        f"{{ nothing(a: {literal}) }}",
    ):
        await asked(traced, query, **{"x-searcher": "kitten-person"})
    last = uuid4().hex
    await asked(
        traced,
        HEAD,
        traceparent=f"00-{last}-00f067aa0ba902b7-01",
        authorization=f"Bearer {KEY}",
    )
    await root_of(receiver, last)
    whole = "".join(span.whole for span in receiver.spans).lower()
    assert len(receiver.spans) > 10
    for words in ("kitten", "private thought", KEY[:20].lower(), "kkkk"):
        assert words not in whole


async def test_operations_over_a_websocket_are_traced_and_what_is_shared_is_not(
    url: str, servers: Servers, traces: Traces, receiver: Receiver
) -> None:
    async with (
        served(url, servers.redis_url, observer=Observer(traces=traces)) as live,
        live.socket() as client,
    ):
        await client.subscribe(CATALOG, id="changes")
        await client.subscribe(f"query Far {HEAD}", id="1")
        await client.next("1")
        await client.next("1")

        async def arrived() -> bool:
            return any(span.name == "query Far" for span in receiver.spans)

        await until(arrived, patience=60)
        await call(live, "registerArtifact", **ARTIFACT)
        await client.change("changes")
    assert {span.name for span in receiver.spans if not span.parent} <= {
        "query Far",
        "POST /graphql",
    }


async def test_what_failed_for_reasons_of_ours_is_marked(
    traced: Api, receiver: Receiver, url: str
) -> None:
    from matchgraph.eventstore.connection import connect

    db = await connect(url, "test")
    await db.execute("DROP TABLE rank_board CASCADE")
    await db.close()
    trace = uuid4().hex
    await asked(
        traced,
        "{ rankBoard(first: 3) { nodes { slug } } }",
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
    )
    root = await root_of(receiver, trace)
    found = receiver.of(trace)
    assert any(span.failed for span in found), [span.whole for span in found]
    assert root.trace == trace


# Not asked for


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_there_are_no_traces_unless_somebody_asks(said: dict[str, str]) -> None:
    assert tracing("1", said) is None


def test_without_the_extra_it_says_what_is_missing_and_goes_on(tmp_path: Path) -> None:
    """In a process that cannot import the extra, as if it were not installed."""
    program = """
import logging, sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Absent())
logging.basicConfig()
from matchgraph.http.app import app
from matchgraph.observe.traces import tracing
said = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
assert tracing("1", said) is None
app("postgresql://nowhere", "redis://nowhere")
print("it goes on")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found
    assert "matchgraph[traces]" in found.stderr
    assert "it goes on" in found.stdout
