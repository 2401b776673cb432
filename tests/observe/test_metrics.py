"""What the metrics say of traffic, errors, subscribers and the process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from matchgraph.commands.ranking import adopt_policy
from matchgraph.domain.artifact import Kind
from matchgraph.domain.policy import DEFAULTS
from matchgraph.eventstore.connection import connect
from matchgraph.observe.metrics import MOST_CODES, Metrics, outcome_of
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import until
from tests.graphql.client import JSON, Api, serving
from tests.graphql.moving import CATALOG, RANKS, Movers, move_all, projected
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import Served, served, small_buffers
from tests.observe.seen import of, read, samples
from tests.projections.tables import BY

HEAD = "{ position { head } }"
STREAM = {**JSON, "accept": "text/event-stream"}


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server with its projector."""
    async with served(url, servers.redis_url) as live:
        yield live


async def test_operations_are_counted_by_transport_type_and_outcome(still: Api) -> None:
    before = await samples(still)
    for _ in range(3):
        await still.ask(f"query Mine {HEAD}")
    await call(still, "registerArtifact", **ARTIFACT)
    await still.code("{ compare(slugs: []) { position } }")
    await still.code("{ nothing }")
    assert (await still.http.post("/graphql", content="{", headers=JSON)).status_code == 400
    after = await samples(still)

    def grew(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    http = {"transport": "http"}
    assert grew("operations_total", **http, operation="query", outcome="ok") == 3
    assert grew("operations_total", **http, operation="query", outcome="client_error") == 2
    assert grew("operations_total", **http, operation="mutation", outcome="ok") == 1
    assert grew("operations_total", **http, operation="none", outcome="client_error") == 1
    assert grew("operation_seconds_count", **http, operation="query") == 5
    assert grew("operation_seconds_count", **http, operation="mutation") == 1
    assert grew("errors_total", code="BAD_USER_INPUT") == 1
    assert grew("errors_total", code="GRAPHQL_VALIDATION_FAILED") == 1
    assert grew("http_responses_total", status="200") == 6
    assert grew("http_responses_total", status="400") == 1
    assert grew("steps_total", system="postgresql") >= 3
    assert grew("step_seconds_total", system="postgresql") > 0
    assert grew("steps_total", system="append") == 1
    assert grew("events_appended_total") == grew("append_seconds_count") == 1
    assert grew("append_group_commands_count") == 1


async def test_no_label_comes_from_a_client(still: Api) -> None:
    known = set()
    for number in range(20):
        if number == 1:
            known = set(await samples(still))
        await still.answer(f"query Name{number} {HEAD}")
        await still.answer(f"{{ field{number} }}")
        said = json.dumps({"query": HEAD, "operationName": f"nobody-{number}"})
        await still.http.post("/graphql", content=said, headers=JSON)
        await still.http.request(f"METHOD{number}", "/graphql")
        await still.http.get(f"/path{number}")
    assert set(await samples(still)) == known


def test_the_codes_of_errors_stay_few_whatever_comes() -> None:
    metrics = Metrics()
    for number in range(MOST_CODES + 50):
        metrics.error(f"CODE_{number}")
    found = read(metrics.text().decode())
    assert of(found, "errors_total", code="CODE_1") == 1
    assert of(found, "errors_total", code="OTHER") == 50
    assert len([name for name, _ in found if name == "matchgraph_errors_total"]) == MOST_CODES + 1


@pytest.mark.parametrize(
    ("codes", "status", "outcome"),
    [
        ([], 0, "ok"),
        ([], 200, "ok"),
        (["BAD_USER_INPUT"], 200, "client_error"),
        (["BAD_USER_INPUT", "INTERNAL"], 200, "server_error"),
        (["UNAVAILABLE"], 0, "server_error"),
        ([], 413, "client_error"),
        ([], 503, "server_error"),
    ],
)
def test_an_operation_ends_as_its_worst_error(codes: list[str], status: int, outcome: str) -> None:
    assert outcome_of(codes, status) == outcome


async def test_boards_and_cards_that_redis_has_are_told_from_those_it_lacks(
    api: Api, url: str
) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    board = "{ rankBoard(first: 1) { nodes { slug rank { place } } } }"

    async def came_from_redis() -> bool:
        await api.ask(board)
        found = await samples(api)
        return of(found, "cache_lookups_total", cache="board", found="hit") > 0

    await until(came_from_redis, patience=60)
    found = await samples(api)
    assert of(found, "cache_lookups_total", cache="card", found="hit") + of(
        found, "cache_lookups_total", cache="card", found="miss"
    )
    assert of(found, "circuit_open", circuit="boards") == 0
    assert of(found, "steps_total", system="redis") > 0


async def test_without_redis_the_circuit_is_seen_to_be_open(url: str, tmp_path: Path) -> None:
    async with serving(url, f"unix://{tmp_path}/nothing") as api:
        await call(api, "registerArtifact", **ARTIFACT)

        async def asked_in_vain() -> bool:
            await api.ask("{ rankBoard(first: 1) { nodes { slug } } }")
            found = await samples(api)
            return of(found, "circuit_open", circuit="boards") == 1

        await until(asked_in_vain, patience=60)
        found = await samples(api)
        assert of(found, "cache_lookups_total", cache="board", found="miss") > 0
        assert of(found, "redis_up") == 0


async def test_subscribers_are_counted_while_they_follow_and_when_they_end(live: Served) -> None:
    async with live.socket() as client:
        for id in ("1", "2"):
            await client.subscribe(CATALOG, id=id)
        async with live.http.stream(
            "POST", "/graphql", json={"query": CATALOG}, headers=STREAM
        ) as response:
            assert response.status_code == 200

            async def all_there() -> bool:
                found = await samples(live)
                return of(found, "subscribers", feed="catalog") == 3

            await until(all_there, patience=60)
            found = await samples(live)
            assert of(found, "connections", transport="websocket") == 1
            assert of(found, "connections", transport="sse") == 1
        await client.say(type="complete", id="1")

    async def all_gone() -> bool:
        found = await samples(live)
        return of(found, "subscribers", feed="catalog") == 0

    await until(all_gone, patience=60)
    found = await samples(live)
    ended = {"operation": "subscription", "outcome": "ok"}
    assert of(found, "operations_total", transport="websocket", **ended) == 2
    assert of(found, "operations_total", transport="sse", **ended) == 1
    # How long somebody follows is not how long an answer takes.
    assert not [
        labels
        for name, labels in found
        if name == "matchgraph_operation_seconds_count" and ("operation", "subscription") in labels
    ]


async def test_operations_over_a_websocket_are_counted_once_each(live: Served) -> None:
    async with live.socket() as client:
        for number in range(3):
            await client.subscribe(HEAD, id=str(number))
            assert (await client.next(str(number)))["type"] == "next"
            assert (await client.next(str(number)))["type"] == "complete"
        await client.subscribe("{ nothing }", id="x")
        assert (await client.next("x"))["type"] == "error"
    found = await samples(live)
    query = {"transport": "websocket", "operation": "query"}
    assert of(found, "operations_total", **query, outcome="ok") == 3
    assert of(found, "operations_total", **query, outcome="client_error") == 1
    assert of(found, "operation_seconds_count", **query) == 4


async def test_who_is_cut_off_is_counted_with_the_reason(url: str, servers: Servers) -> None:
    async with served(url, servers.redis_url, small=True) as live:
        await projected(live.pool, await Movers(live.store, 300).register())
        async with live.socket() as client:
            await client.subscribe(RANKS)
            small_buffers(client.connection.transport.get_extra_info("socket"))
            client.stop_reading()

            async def cut_off() -> bool:
                await move_all(live.store)
                await adopt_policy(live.store, BY, [DEFAULTS[Kind.MODEL]])
                found = await samples(live)
                why = {"transport": "websocket", "reason": "slow"}
                return of(found, "subscribers_dropped_total", **why) == 1

            await until(cut_off, patience=60)
            found = await samples(live)
            ended = {"operation": "subscription", "outcome": "client_error"}
            assert of(found, "operations_total", transport="websocket", **ended) == 1
            assert of(found, "errors_total", code="SLOW_SUBSCRIBER") == 1
            client.read_again()


async def test_pools_the_event_loop_and_the_process_are_seen(live: Served) -> None:
    async def looked() -> bool:
        found = await samples(live)
        return of(found, "event_loop_lag_seconds_count") >= 1

    await until(looked, patience=60)
    found = await samples(live)
    for pool in ("queries", "queries as of", "store", "dossiers"):
        open_ = sum(
            of(found, "pool_connections", pool=pool, state=state) for state in ("used", "idle")
        )
        assert 1 <= open_ <= of(found, "pool_connections_max", pool=pool)
    assert found["process_resident_memory_bytes", frozenset()] > 10_000_000
    assert found["process_open_fds", frozenset()] > 5
    ((_, version),) = next(iter({labels for name, labels in found if name.endswith("build_info")}))
    assert version


async def test_two_applications_of_one_process_count_for_themselves(
    url: str, servers: Servers
) -> None:
    async with (
        serving(url, servers.redis_url, project=False) as one,
        serving(url, servers.redis_url, project=False) as other,
    ):
        await one.ask(HEAD)
        query = {"transport": "http", "operation": "query", "outcome": "ok"}
        assert of(await samples(one), "operations_total", **query) == 1
        assert of(await samples(other), "operations_total", **query) == 0


async def test_however_many_look_the_database_is_asked_once_at_a_time(live: Served) -> None:
    async def statements() -> int:
        db = await connect(url_of(live), "test")
        await db.execute("SELECT pg_stat_force_next_flush()")
        found: int = await db.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        await db.close()
        return found

    def url_of(live: Served) -> str:
        url: str = live.store._appender._url
        return url

    before = await statements()
    await asyncio.gather(*(live.http.get("/readyz") for _ in range(200)))
    await asyncio.gather(*(live.http.get("/metrics") for _ in range(100)))
    await asyncio.sleep(1.5)  # until sessions have said what they did
    assert await statements() - before < 200


# Several processes


def test_processes_that_share_a_port_share_their_figures(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    """Two processes over one folder; either gives what both have counted."""
    said = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ports = [_free_port(), _free_port()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.observe.worker", url, servers.redis_url, str(port)],
            env=said,
        )
        for port in ports
    ]
    try:
        for port, times in zip(ports, (3, 4), strict=True):
            _until_it_answers(port)
            for _ in range(times):
                httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": HEAD})
        query = {"transport": "http", "operation": "query", "outcome": "ok"}
        for port in ports:
            deadline = time.monotonic() + 40
            counted = 0.0
            # What the other one counted is there within half a second.
            while counted != 7:
                assert time.monotonic() < deadline, counted
                found = read(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text)
                counted = of(found, "operations_total", **query)
            assert of(found, "operation_seconds_count", transport="http", operation="query") == 7
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=30) for process in processes] == [0, 0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


async def test_everything_there_is_documented(still: Api) -> None:
    await project(still.store._appender._url, still.store)
    text = (await still.http.get("/metrics")).text
    documented = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    names = {
        family.name
        for family in text_string_to_metric_families(text)
        if family.name.startswith("matchgraph_") and not family.name.endswith("_created")
    }
    assert len(names) > 25
    assert {name for name in names if f"`{name}" not in documented} == set()
