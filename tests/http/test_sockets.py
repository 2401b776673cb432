"""How many connections each may keep open, and what may be said on them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request
from matchgraph.http.budget import Allowance
from matchgraph.servers import Servers
from tests.graphql.client import JSON
from tests.graphql.subscribers import PROTOCOL, Served, served

FOLLOW = "subscription { rankChanged { slug } }"
STREAM = {**JSON, "accept": "text/event-stream"}


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server in production that lets little be open."""
    allowance = Allowance(sockets_per_key=2, sockets_per_address=4)
    async with served(
        url, servers.redis_url, project=False, development=False, allowance=allowance
    ) as live:
        yield live


async def key(live: Served) -> str:
    by = Request(actor="test", request_id="test")
    return f"Bearer {(await issue(live.store, by, 'somebody', Role.CURATOR)).key}"


async def closed(live: Served, said: dict[str, str] | None = None) -> tuple[int, str]:
    """The code and the reason that a WebSocket is closed with."""
    async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
        with pytest.raises(ConnectionClosed) as reason:
            await begin(connection, said)
    assert reason.value.rcvd is not None
    return reason.value.rcvd.code, reason.value.rcvd.reason


async def begin(connection: ClientConnection, said: dict[str, str] | None) -> None:
    await connection.send(json.dumps({"type": "connection_init", "payload": said}))
    async for _ in connection:
        pass
    await connection.recv()


async def test_a_key_has_so_many_sockets_and_no_more(live: Served) -> None:
    one, other = {"authorization": await key(live)}, {"authorization": await key(live)}
    async with live.socket(one), AsyncExitStack() as stack:
        await stack.enter_async_context(live.socket(one))
        code, reason = await closed(live, one)
        assert code == 1013
        assert reason.startswith("2 connections are open by this key already")
        async with live.socket(other):
            pass
        await stack.aclose()
        # Where one was closed there is room for another.
        async with live.socket(one):
            pass


async def test_an_address_has_so_many_sockets_and_no_more(live: Served) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(live.socket())
        code, reason = await closed(live)
        assert (code, "this address" in reason) == (1013, True)
        said = json.dumps({"query": FOLLOW})
        response = await live.http.post("/graphql", content=said, headers=STREAM)
        assert response.status_code == 429
        assert response.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        # What does not stay open is answered.
        assert (await live.ask("{ position { head } }"))["position"]["head"] == "0"
    async with live.socket():
        pass


async def test_event_streams_take_room_as_sockets_do(live: Served) -> None:
    headers = {**STREAM, "authorization": await key(live)}
    said = json.dumps({"query": FOLLOW})
    async with AsyncExitStack() as stack:
        for _ in range(2):
            stream = live.http.stream("POST", "/graphql", content=said, headers=headers)
            assert (await stack.enter_async_context(stream)).status_code == 200
        response = await live.http.post("/graphql", content=said, headers=headers)
        assert response.status_code == 429
        code, _ = await closed(live, {"authorization": headers["authorization"]})
        assert code == 1013


async def test_sockets_that_never_begin_take_room_until_they_are_closed(live: Served) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(connect(live.address, subprotocols=[PROTOCOL]))
        assert (await closed(live))[0] == 1013
    async with live.socket():
        pass


async def test_a_socket_has_a_hundred_operations_and_no_more(live: Served) -> None:
    async with live.socket() as socket:
        for i in range(100):
            # Some that share their execution, and some that do not.
            again = "a: " * (i % 2) + "rankChanged { slug }"
            await socket.subscribe(f"subscription {{ {again} }}", id=f"s{i}")
        for query in (FOLLOW, "{ position { head } }"):
            await socket.subscribe(query, id="late")
            error = await socket.error("late")
            assert error["extensions"] == {"code": "TOO_MANY_SUBSCRIPTIONS"}
        await socket.say(type="complete", id="s7")
        await socket.subscribe("{ position { head } }", id="late")
        assert (await socket.next("late"))["type"] == "next"


async def test_a_message_of_more_than_a_megabyte_closes_the_socket(live: Served) -> None:
    async with live.socket() as socket:
        large = {"query": "{ position { head } }", "variables": {"x": "x" * 1_000_000}}
        await socket.say(type="subscribe", id="1", payload=large)
        with pytest.raises(ConnectionClosed) as reason:
            await socket.hear()
        assert reason.value.rcvd is not None
        assert reason.value.rcvd.code == 1009


async def test_a_refused_document_leaves_the_socket_open(live: Served) -> None:
    async with live.socket() as socket:
        for query, code in (
            ("{a" * 100 + "}" * 100, "TOO_DEEP"),
            ("{" + "__typename " * 1_990 + "}", "TOO_MANY_ALIASES"),
            ("subscription { rankChanged { " + "slug " * 50 + "} }", "TOO_MANY_ALIASES"),
            ("{" + "position { head } " * 700 + "}", "TOO_MANY_TOKENS"),
        ):
            await socket.subscribe(query)
            assert (await socket.error())["extensions"]["code"] == code
        await socket.subscribe("{ position { head } }")
        assert (await socket.next())["type"] == "next"
