"""Subscriptions over the protocols themselves, by the clients that people use and by bad ones."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from matchgraph.eventstore.store import open_store
from matchgraph.http.request import EVENTS, preferred
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import until
from tests.graphql.client import JSON
from tests.graphql.moving import CATALOG, RANKS, Movers, history, move_all, projected
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import PROTOCOL, Served, served
from tests.http.node import examples, following, program

STREAM = {**JSON, "accept": "text/event-stream"}
HEAD = "{ position { head } }"


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server with its projector."""
    async with served(url, servers.redis_url) as live:
        yield live


# Real clients


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_client_follows_from_history_into_what_is_new(live: Served, transport: str) -> None:
    movers = Movers(live.store, 3)
    await projected(live.pool, await movers.register())
    async with following(transport, live.port, RANKS, count=23, after="0") as client:
        found = await client.changes(3)
        for number in range(20):
            await movers.move(number)
        found += await client.changes(20)
        assert [(one["position"], one["slug"]) for one in found] == await history(live.pool)
        assert await client.line() == {"complete": True}


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_client_goes_on_by_itself_after_the_server_was_away(
    url: str, servers: Servers, transport: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with AsyncExitStack() as stack:
        client = None
        found: list[Any] = []
        for number in range(3):
            async with served(url, servers.redis_url, port=port) as live:
                movers = Movers(live.store, 2, prefix=f"thing-{number}")
                await movers.register()
                if client is None:
                    client = await stack.enter_async_context(
                        following(transport, port, RANKS, after="0")
                    )
                for one in range(30):
                    await movers.move(one)
                # Some of it is left for the next server.
                found += await client.changes(25)
        async with served(url, servers.redis_url, port=port) as live:
            await projected(live.pool, await live.store.head())
            everything = await history(live.pool)
            assert client is not None
            found += await client.changes(len(everything) - len(found))
            assert [(one["position"], one["slug"]) for one in found] == everything


@pytest.mark.parametrize("transport", ["ws", "sse"])
@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        (RANKS, {"after": "7"}, "POSITION_IN_FUTURE"),
        (RANKS, {"filter": {"slugs": ["nothing"]}}, "BAD_USER_INPUT"),
        ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", {}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_client_hears_what_was_wrong(
    live: Served, transport: str, query: str, variables: dict[str, Any], code: str
) -> None:
    async with following(transport, live.port, query, **variables) as client:
        while "connected" in (line := await client.line()):
            pass
        (error,) = line["error"] if transport == "ws" else line["errors"]
        assert error["extensions"]["code"] == code
        if transport == "sse":
            assert await client.line() == {"complete": True}


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_many_changes_at_one_position_all_arrive(live: Served, transport: str) -> None:
    movers = Movers(live.store, 900)
    registered = await movers.register()
    await projected(live.pool, registered)
    async with following(transport, live.port, RANKS, after=str(registered - 1)) as client:
        await client.changes(1)
        await move_all(live.store)
        found = await client.changes(900)
        assert [(one["position"], one["slug"]) for one in found] == (await history(live.pool))[
            registered:
        ]


# Server-sent events


async def streamed(live: Served, query: str, **variables: Any) -> str:
    """The whole stream of an operation that ends."""
    body = json.dumps({"query": query, "variables": variables})
    response = await live.http.post("/graphql", content=body, headers=STREAM)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.text


async def test_an_operation_that_ends_is_one_event_and_the_end(live: Served) -> None:
    for query, beginning in (
        (HEAD, '{"data":{"position":{"head":"0"}}'),
        ("{ nothing }", '{"errors":[{"message":"Cannot query'),
        ('subscription { rankChanged(after: "9") { slug } }', '{"errors":[{"message":"There is'),
        ("subscription Ranks {", '{"errors":[{"message":"Syntax'),
    ):
        said = await streamed(live, query)
        first, second, rest = said.split("\n\n")
        event, data = first.split("\n")
        assert event == "event: next"
        assert data.startswith("data: ")
        assert data.removeprefix("data: ").startswith(beginning), said
        assert (second, rest) == ("event: complete\ndata: ", "")
        assert "\r" not in said


async def test_changes_come_as_events_whoever_asks_and_however_he_accepts(live: Served) -> None:
    movers = Movers(live.store, 2)
    await projected(live.pool, await movers.register())
    asked = {"query": RANKS, "variables": {"after": "0"}}
    # As urql does it, with JSON first.
    for accept in ("text/event-stream", "application/json, text/event-stream, multipart/mixed"):
        async with live.http.stream(
            "POST", "/graphql", json=asked, headers={"accept": accept}
        ) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            found: list[str] = []
            async for line in response.aiter_lines():
                found.append(line)
                if len(found) == 6:
                    break
        assert found[0::3] == ["event: next"] * 2
        assert found[2::3] == ["", ""]
        slugs = {
            json.loads(line.removeprefix("data: "))["data"]["rankChanged"]["slug"]
            for line in found[1::3]
        }
        assert slugs == {"thing-0", "thing-1"}
    params = {"query": RANKS, "variables": json.dumps({"after": "1"})}
    async with live.http.stream(
        "GET", "/graphql", params=params, headers={"accept": "text/event-stream"}
    ) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                assert "thing-" in line
                break

    async def nobody_follows() -> bool:
        return not live.app.state.sharing._broadcasts

    await until(nobody_follows)


@pytest.mark.parametrize(
    ("accept", "first"),
    [
        ("text/event-stream", True),
        ("TEXT/EVENT-STREAM;q=0.9", True),
        ("text/event-stream, application/json", True),
        ("application/json;q=0.8, text/event-stream", True),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0.5, */*", False),
        ("text/event-stream;q=x, application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
async def test_what_is_no_subscription_is_json_for_all_who_rather_have_that(
    live: Served, accept: str, first: bool
) -> None:
    assert (preferred(accept)[:1] == [EVENTS]) is first
    response = await live.http.post("/graphql", json={"query": HEAD}, headers={"accept": accept})
    kind = "text/event-stream" if first else "application/json"
    assert response.headers["content-type"].startswith(kind)


async def test_a_subscription_where_one_answer_is_given_says_how_to_subscribe(
    live: Served,
) -> None:
    for query in (RANKS, CATALOG):
        error = await live.error(query)
        assert error["extensions"]["code"] == "NEEDS_STREAM"
        assert "graphql-transport-ws" in error["message"]
        assert "text/event-stream" in error["message"]


# Bad clients


MALFORMED: list[Any] = [
    [],
    5,
    None,
    "text",
    {},
    {"type": 5},
    {"type": "nonsense" * 50},
    {"type": "connection_init", "payload": 5},
    {"type": "connection_init", "payload": []},
    {"type": "ping", "payload": "x"},
    {"type": "subscribe"},
    {"type": "subscribe", "id": 5, "payload": {"query": HEAD}},
    {"type": "subscribe", "id": "", "payload": {"query": HEAD}},
    {"type": "subscribe", "id": "\ud800", "payload": {"query": HEAD}},
    {"type": "subscribe", "id": "1", "payload": None},
    {"type": "subscribe", "id": "1", "payload": [HEAD]},
    {"type": "subscribe", "id": "1", "payload": {}},
    {"type": "subscribe", "id": "1", "payload": {"query": 5}},
    {"type": "subscribe", "id": "1", "payload": {"query": ""}},
    {"type": "subscribe", "id": "1", "payload": {"documentId": 5}},
    {"type": "subscribe", "id": "1", "payload": {"extensions": {"persistedQuery": []}}},
    {"type": "subscribe", "id": "1", "payload": {"query": HEAD, "variables": []}},
    {"type": "subscribe", "id": "1", "payload": {"query": HEAD, "operationName": 5}},
    {"type": "subscribe", "id": "1", "payload": {"query": HEAD, "extensions": "x"}},
    {"type": "complete"},
    {"type": "complete", "id": []},
]


@pytest.mark.parametrize("acknowledged", [True, False])
async def test_what_is_no_message_closes_the_socket_with_a_reason(
    live: Served, acknowledged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    raw: list[str | bytes] = [
        "nonsense",
        "{",
        b"\x00",
        "[" * 50_000,
        '{"type": "ping", "payload": {"a": NaN}}',
    ]
    for said in [*map(json.dumps, MALFORMED), *raw]:
        async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
            if acknowledged:
                await connection.send('{"type": "connection_init"}')
                await connection.recv()
            await connection.send(said)
            with suppress(ConnectionClosed):
                async with asyncio.timeout(5):
                    while True:
                        await connection.recv()
            assert connection.close_code == 4400, said
            assert connection.close_reason
    assert "Traceback" not in caplog.text


async def test_the_protocol_is_kept(live: Served) -> None:
    async def closed(*said: dict[str, Any], wait: float = 5) -> int | None:
        async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
            for message in said:
                await connection.send(json.dumps(message))
            with suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(wait):
                    while True:
                        await connection.recv()
            return connection.close_code

    init = {"type": "connection_init"}
    ask = {"type": "subscribe", "id": "1", "payload": {"query": RANKS}}
    assert await closed(ask) == 4401
    assert await closed(init, init) == 4429
    assert await closed(init, ask, ask) == 4409
    assert await closed({**init, "payload": None}, ask, wait=0.3) is None
    assert await closed({**init, "payload": {"key": 1}}, ask, wait=0.3) is None
    async with connect(live.address) as connection:
        with suppress(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 4406
    async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
        began = time.monotonic()
        with suppress(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 4408
        assert 8 < time.monotonic() - began < 12


async def test_an_operation_that_is_not_carried_out_ends_with_an_error_and_not_the_socket(
    live: Served,
) -> None:
    for query, code in (
        ("{", "GRAPHQL_VALIDATION_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($s: String!) { artifact(slug: $s) { slug } }", "BAD_USER_INPUT"),
        ('query @atLeast(position: "9") { position { head } }', "POSITION_IN_FUTURE"),
        (RANKS.replace("position cursor", "nothing"), "GRAPHQL_VALIDATION_FAILED"),
    ):
        async with live.socket() as socket:
            await socket.subscribe(query)
            assert (await socket.error())["extensions"]["code"] == code, query
            # With nothing behind it, and the id free again.
            await socket.subscribe(HEAD)
            assert (await socket.next())["payload"]["data"] == {"position": {"head": "0"}}
            assert await socket.next() == {"id": "1", "type": "complete"}
    async with live.socket() as socket:
        payload = {"query": HEAD, "operationName": "Nobody"}
        await socket.say(type="subscribe", id="1", payload=payload)
        assert (await socket.error())["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_an_operation_that_the_client_ends_is_over_and_its_id_free(live: Served) -> None:
    movers = Movers(live.store, 1)
    await movers.register()
    async with live.socket() as socket:
        for number in range(5):
            # With history and without, which are carried out in different ways.
            await socket.subscribe(RANKS, after="0")
            assert (await socket.change())["position"] == "1"
            await movers.move(number)
            assert (await socket.changes(number + 1))[-1]["position"] == str(number + 2)
            await socket.say(type="complete", id="1")
            await socket.subscribe(RANKS)
            await socket.say(type="complete", id="1")
        await socket.say(type="complete", id="nobody")
        await socket.subscribe(HEAD)
        assert (await socket.next())["payload"]["data"]["position"]["head"] == "6"
    assert not live.app.state.sharing._broadcasts


async def test_a_socket_has_at_most_a_hundred_operations(live: Served) -> None:
    async with live.socket() as socket:
        for number in range(100):
            await socket.subscribe(RANKS, id=f"{number}")
        await socket.subscribe(RANKS, id="one too many")
        error = await socket.error("one too many")
        assert error["extensions"] == {"code": "TOO_MANY_SUBSCRIPTIONS"}
        await socket.say(type="complete", id="7")
        await call(live, "registerArtifact", **ARTIFACT)
        for number in range(100):
            if number != 7:
                assert (await socket.change(f"{number}"))["slug"] == "parser"


# The end


async def test_a_server_that_is_told_to_end_does_so_soon_and_its_clients_may_come_back(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "matchgraph", "serve", "--no-catalogs"),
        env={
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": servers.redis_url,
            "MATCHGRAPH_PORT": str(port),
            "MATCHGRAPH_DATA": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        },
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def ready() -> bool:
                with suppress(httpx.HTTPError):
                    return (await http.get("/readyz")).status_code == 200
                return False

            await until(ready, patience=30)
            async with AsyncExitStack() as stack:
                live = Served(None, http, port, None)  # type: ignore[arg-type]
                sockets = [await stack.enter_async_context(live.socket()) for _ in range(20)]
                for one in sockets:
                    await one.subscribe(RANKS, after="0")
                stream = await stack.enter_async_context(
                    http.stream("POST", "/graphql", json={"query": RANKS}, headers=STREAM)
                )
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                for one in sockets:
                    with suppress(ConnectionClosed):
                        await one.hear()
                    assert one.connection.close_code in (1001, 1012)
                # Without an event that would tell the client that this is all.
                assert "".join([part async for part in stream.aiter_text()]) == ""
                async with asyncio.timeout(10):
                    await process.wait()
                assert time.monotonic() - began < 10
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_projector_of_its_own_brings_changes_to_a_server_without_one(
    url: str, servers: Servers
) -> None:
    async with (
        served(url, servers.redis_url, project=False) as live,
        open_store(url) as elsewhere,
        live.socket() as one,
    ):
        await one.subscribe(RANKS, after="0")
        movers = Movers(elsewhere, 2)
        await movers.register()
        await project(url, elsewhere)
        assert len(await one.changes(2)) == 2


EXAMPLES = examples("subscriptions.md")


@pytest.mark.parametrize("example", EXAMPLES, ids=["graphql-ws", "graphql-sse"])
async def test_what_the_documentation_shows_works(live: Served, example: str) -> None:
    movers = Movers(live.store, 1)
    await projected(live.pool, await movers.register())
    async with program(example, live.port) as lines:
        assert json.loads(await anext(lines))["slug"] == "thing-0"
