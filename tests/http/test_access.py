"""Who is let in over HTTP, WebSocket and event streams, as what, and for how long."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from matchgraph.commands.key import Issued, issue, revoke
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import JSON, Api
from tests.graphql.line import Line
from tests.graphql.moving import CATALOG
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import PROTOCOL, Served, Socket, served, small_buffers
from tests.http.node import following

BY = Request(actor="tester", request_id="test")
HEAD = "{ position { head } }"
STREAM = {**JSON, "accept": "text/event-stream"}
WRONG = f"mg_aaaabbbbcccc_{'x' * 43}"


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server in production, with its projector."""
    async with served(url, servers.redis_url, development=False) as live:
        yield live


async def let_in(api: Api, role: Role = Role.CONTRIBUTOR, **said: Any) -> Issued:
    return await issue(api.store, BY, role.value, role, **said)


def bearer(key: Issued) -> dict[str, str]:
    return {"authorization": f"Bearer {key.key}"}


async def asked(api: Api, query: str = HEAD, **headers: str) -> httpx.Response:
    said = {**JSON, **headers}
    return await api.http.post("/graphql", content=json.dumps({"query": query}), headers=said)


async def is_refused(api: Api, **headers: str) -> bool:
    return (await asked(api, **headers)).status_code == 401


# HTTP


SENSELESS = [
    "",
    "Bearer",
    f"Bearer {WRONG}",
    f"bearer {WRONG}",
    f"Bearer {WRONG} {WRONG}",
    f"Basic {WRONG}",
    WRONG,
    "Bearer mg_",
    "Bearer mg_a_b",
    "Bearer mg_aaaabbbbcccc_",
    "Bearer " + "x" * 20_000,
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
]


@pytest.mark.parametrize("development", [True, False])
async def test_what_lets_nobody_in_is_never_taken_for_nothing(
    url: str, servers: Servers, development: bool
) -> None:
    async with served(url, servers.redis_url, development=development) as live:
        good = await let_in(live)
        assert good.key is not None
        cut, swapped = good.key[:-1], good.key[:-1] + ("A" if good.key[-1] != "A" else "B")
        for said in (*SENSELESS, f"Bearer {cut}", f"Bearer {swapped}", f"Bearer {good.key}="):
            response = await asked(live, authorization=said)
            assert response.status_code == 401, said
            assert response.headers["www-authenticate"].startswith("Bearer")
            (error,) = response.json()["errors"]
            assert error["extensions"] == {"code": "UNAUTHENTICATED"}
            assert "data" not in response.json()
            assert "x" * 20 not in error["message"]
        for method, headers in (("GET", JSON), ("POST", STREAM)):
            wrong = {**headers, "authorization": f"Bearer {WRONG}"}
            body = {"params": {"query": HEAD}} if method == "GET" else {"json": {"query": HEAD}}
            found = await live.http.request(method, "/graphql", headers=wrong, **body)  # type: ignore[arg-type]
            assert found.status_code == 401
        both = [("authorization", f"Bearer {good.key}"), ("authorization", f"Bearer {WRONG}")]
        response = await live.http.post("/graphql", json={"query": HEAD}, headers=both)
        assert response.status_code == 401
        assert (await asked(live, **bearer(good))).status_code == 200


async def test_a_refusal_has_the_media_type_that_is_asked_for(live: Served) -> None:
    wrong = f"Bearer {WRONG}"
    plain = await asked(live, authorization=wrong)
    assert plain.headers["content-type"] == "application/json"
    accept = "application/graphql-response+json, application/json;q=0.9"
    asked_for = await asked(live, authorization=wrong, accept=accept)
    assert asked_for.headers["content-type"] == "application/graphql-response+json"


async def test_each_event_has_its_actor(live: Served) -> None:
    key = await let_in(live)
    said = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
    response = await live.http.post("/graphql", content=said, headers={**JSON, **bearer(key)})
    assert response.json()["data"]["registerArtifact"]["__typename"] == "ArtifactRegistered"
    assert [one.actor for one in await live.store.read(0)] == ["tester", f"key:{key.id}"]


async def test_a_key_that_was_just_issued_is_good_and_a_revoked_one_is_not(
    live: Served,
) -> None:
    key = await let_in(live)
    assert not await is_refused(live, **bearer(key))
    await revoke(live.store, BY, key.id)

    async def ended() -> bool:
        return await is_refused(live, **bearer(key))

    await until(ended)
    assert "revoked" in (await asked(live, **bearer(key))).json()["errors"][0]["message"]


async def test_a_revoked_key_ends_also_where_no_read_model_tells_of_it(
    url: str, servers: Servers
) -> None:
    async with served(url, servers.redis_url, development=False, project=False, lately=0.5) as live:
        key = await let_in(live)
        assert not await is_refused(live, **bearer(key))
        await revoke(live.store, BY, key.id)

        async def ended() -> bool:
            return await is_refused(live, **bearer(key))

        await until(ended)


async def test_a_key_expires_while_it_is_known(live: Served) -> None:
    key = await let_in(live, expires=datetime.now(UTC) + timedelta(seconds=1.5))
    assert not await is_refused(live, **bearer(key))

    async def ended() -> bool:
        return await is_refused(live, **bearer(key))

    await until(ended)
    assert "expired" in (await asked(live, **bearer(key))).json()["errors"][0]["message"]


async def test_a_key_is_looked_up_once_for_many_who_use_it_at_once(live: Served, url: str) -> None:
    key = await let_in(live)
    responses = await asyncio.gather(*(asked(live, **bearer(key)) for _ in range(40)))
    assert {one.status_code for one in responses} == {200}
    doors = live.app.state.doors
    assert list(doors._known) == [key.id]
    assert not doors._asking


async def test_without_the_database_a_key_is_good_for_as_long_as_it_is_known(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    async with served(line.url, servers.redis_url, development=False, lately=3) as live:
        key = await let_in(live)
        other = await let_in(live)
        assert (await asked(live, "{ __typename }", **bearer(key))).status_code == 200
        await line.cut()
        response = await asked(live, "{ __typename }", **bearer(key))
        assert response.json()["data"] == {"__typename": "Query"}

        async def unavailable() -> bool:
            return (await asked(live, "{ __typename }", **bearer(key))).status_code == 503

        unknown = await asked(live, "{ __typename }", **bearer(other))
        assert unknown.status_code == 503
        assert unknown.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        assert (await asked(live, "{ __typename }")).status_code == 200, "nobody is looked up"
        await until(unavailable)
        await line.mend()

        async def back() -> bool:
            return (await asked(live, "{ __typename }", **bearer(other))).status_code == 200

        await until(back)
        assert (await asked(live, "{ __typename }", **bearer(key))).status_code == 200
    await line.cut()


# WebSocket


async def close_of(connection: Any) -> tuple[int, str]:
    """How the server ends it."""
    async with asyncio.timeout(20):
        with suppress(ConnectionClosed):
            while True:
                await connection.recv()
    return connection.close_code, connection.close_reason


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
async def test_a_socket_is_let_in_by_what_it_says_when_it_begins(live: Served, name: str) -> None:
    key = await let_in(live)
    async with live.socket({name: f"Bearer {key.key}"}) as socket:
        await socket.say(
            type="subscribe",
            id="1",
            payload={"query": document("registerArtifact"), "variables": ARTIFACT},
        )
        message = await socket.next()
        assert message["payload"]["data"]["registerArtifact"]["position"] == "2"
    assert (await live.store.read(1))[0].actor == f"key:{key.id}"


async def test_a_socket_is_let_in_by_the_header_of_its_handshake(live: Served) -> None:
    key = await let_in(live, Role.OPERATOR)
    async with live.socket(additional_headers=bearer(key)) as socket:
        await socket.subscribe("{ keys { nodes { id } } }")
        assert "errors" not in (await socket.next())["payload"]
    # What is said last counts.
    async with live.socket({"authorization": None}, additional_headers=bearer(key)) as socket:
        await socket.subscribe("{ keys { nodes { id } } }")
        assert "errors" not in (await socket.next())["payload"]


@pytest.mark.parametrize(
    ("init", "headers"),
    [
        ({"authorization": f"Bearer {WRONG}"}, {}),
        ({"authorization": 5}, {}),
        ({"authorization": ""}, {}),
        (None, {"authorization": f"Bearer {WRONG}"}),
        ({}, {"authorization": "Basic x"}),
    ],
)
async def test_a_socket_that_gives_what_lets_nobody_in_is_closed(
    live: Served, init: Any, headers: dict[str, str]
) -> None:
    async with connect(
        live.address, subprotocols=[PROTOCOL], additional_headers=headers
    ) as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": init}))
        code, reason = await close_of(connection)
        assert code == 4403
        assert reason
        assert WRONG not in reason


async def test_over_a_socket_a_role_is_needed_as_elsewhere(live: Served) -> None:
    query = "{ keys { nodes { id } } }"
    key = await let_in(live, Role.AUDITOR)
    for init, code in (
        (None, "UNAUTHENTICATED"),
        ({"authorization": f"Bearer {key.key}"}, "FORBIDDEN"),
    ):
        async with live.socket(init) as socket:
            await socket.subscribe(query)
            (error,) = (await socket.next())["payload"]["errors"]
            assert error["extensions"] == {"code": code, "needs": "OPERATOR"}
            await socket.subscribe("{ __schema { types { name } } }", id="2")
            if init is None:
                assert (await socket.next("2"))["type"] == "error"
            else:
                assert (await socket.next("2"))["type"] == "next"


# What is open when a key ends


OPEN = "subscription { catalogChanged { slug } }"
# Too unusual to be shared.
ALONE = "subscription { ...On } fragment On on Subscription { catalogChanged { slug } }"


@asynccontextmanager
async def streamed(live: Served, query: str, **headers: str) -> AsyncIterator[httpx.Response]:
    said = {"query": query}
    async with live.http.stream(
        "POST", "/graphql", json=said, headers={**STREAM, **headers}
    ) as response:
        assert response.status_code == 200
        yield response


async def connected(live: Served, count: int) -> None:
    async def there() -> bool:
        return len(live.app.state.clients._clients) == count

    await until(there)


@pytest.mark.parametrize("query", [OPEN, ALONE])
async def test_a_key_that_is_revoked_ends_its_sockets_and_no_others(
    live: Served, query: str
) -> None:
    key, other = await let_in(live), await let_in(live)
    async with (
        live.socket({"authorization": f"Bearer {key.key}"}) as ended,
        live.socket({"authorization": f"Bearer {key.key}"}) as idle,
        live.socket({"authorization": f"Bearer {other.key}"}) as stays,
        live.socket() as nobody,
    ):
        for socket in (ended, stays, nobody):
            await socket.subscribe(query)
        await revoke(live.store, BY, key.id)
        for socket in (ended, idle):
            code, reason = await close_of(socket.connection)
            assert (code, reason) == (4403, "The key was revoked.")
        await register(live)
        for socket in (stays, nobody):
            assert (await socket.next())["type"] == "next"
        await connected(live, 2)


async def register(live: Served) -> None:
    operator = await let_in(live)
    said = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
    response = await live.http.post("/graphql", content=said, headers={**JSON, **bearer(operator)})
    assert "errors" not in response.json()


@pytest.mark.parametrize("query", [OPEN, ALONE, CATALOG])
async def test_a_key_that_is_revoked_ends_its_event_streams_and_says_why(
    live: Served, query: str
) -> None:
    key = await let_in(live)
    async with streamed(live, query, **bearer(key)) as response:
        await connected(live, 1)
        await revoke(live.store, BY, key.id)
        async with asyncio.timeout(20):
            said = "".join([text async for text in response.aiter_text()])
    events = re.findall(r"event: (\w+)\ndata: (.*)", said)
    assert [name for name, _ in events] == ["next", "complete"]
    (error,) = json.loads(events[0][1])["errors"]
    assert error == {
        "message": "The key was revoked.",
        "extensions": {"code": "UNAUTHENTICATED"},
    }
    await connected(live, 0)


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_the_clients_that_people_use_give_a_key_and_hear_why_it_ended(
    live: Served, transport: str
) -> None:
    key = await let_in(live)
    said = f"Bearer {key.key}"
    async with following(transport, live.port, CATALOG, authorization=said, after="0") as client:
        await register(live)
        assert (await client.change())["slug"] == "parser"
        await revoke(live.store, BY, key.id)
        line = await client.line()
        if transport == "ws":
            assert line == {"error": "4403 The key was revoked."}
        else:
            assert line["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    async with following(transport, live.port, CATALOG, authorization=said) as client:
        found = (await client.line())["error"]
        assert found.startswith("4403" if transport == "ws" else "NetworkError")


async def test_a_key_that_expires_ends_what_is_open(live: Served) -> None:
    key = await let_in(live, expires=datetime.now(UTC) + timedelta(seconds=2))
    async with (
        live.socket({"authorization": f"Bearer {key.key}"}) as socket,
        streamed(live, OPEN, **bearer(key)) as response,
    ):
        assert await close_of(socket.connection) == (4403, "The key has expired.")
        async with asyncio.timeout(20):
            said = "".join([text async for text in response.aiter_text()])
        assert "The key has expired." in said


async def test_a_client_that_reads_nothing_is_cut_off_all_the_same(
    url: str, servers: Servers
) -> None:
    async with served(url, servers.redis_url, development=False, small=True) as live:
        key = await let_in(live)
        async with live.socket({"authorization": f"Bearer {key.key}"}) as socket:
            small_buffers(socket.connection.transport.get_extra_info("socket"))
            socket.stop_reading()
            await fill(socket)
            await revoke(live.store, BY, key.id)
            await connected(live, 0)
            socket.read_again()


async def fill(socket: Socket) -> None:
    """Asks for more than the connection holds, and takes none of it."""
    for number in range(90):
        query = "{ __schema { types { name description fields { name description } } } }"
        await socket.subscribe(query, id=str(number))


async def test_sockets_end_when_nobody_can_tell_whether_their_keys_are_good(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    async with served(line.url, servers.redis_url, development=False, lately=3) as live:
        key = await let_in(live)
        async with (
            live.socket({"authorization": f"Bearer {key.key}"}) as socket,
            live.socket() as nobody,
        ):
            await line.cut()
            code, reason = await close_of(socket.connection)
            assert code == 1013
            assert "come back later" in reason
            await nobody.say(type="ping")
            assert (await nobody.hear())["type"] == "pong"
        async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
            said = {"authorization": f"Bearer {key.key}"}
            await connection.send(json.dumps({"type": "connection_init", "payload": said}))
            assert (await close_of(connection))[0] == 1013
        await line.mend()
    await line.cut()


async def test_subscriptions_are_shared_by_those_who_may_see_the_same(live: Served) -> None:
    roles = [Role.CONTRIBUTOR, Role.CONTRIBUTOR, Role.AUDITOR, None]
    async with AsyncExitStack() as stack:
        sockets = []
        for role in roles:
            init = (
                None
                if role is None
                else {"authorization": f"Bearer {(await let_in(live, role)).key}"}
            )
            sockets.append(await stack.enter_async_context(live.socket(init)))
        for socket in sockets:
            await socket.subscribe(OPEN)
            await socket.subscribe("{ __typename }", id="begun")
            assert (await socket.next("begun"))["type"] == "next"
        assert len(live.app.state.sharing._broadcasts) == 3
        await register(live)
        for socket in sockets:
            assert (await socket.next())["payload"]["data"]["catalogChanged"]["slug"] == "parser"


# Beside GraphQL


async def test_in_production_only_its_token_shows_how_it_is_doing(
    url: str, servers: Servers, live: Served
) -> None:
    operator = await let_in(live, Role.OPERATOR)
    for headers in ({}, bearer(operator), {"authorization": "Bearer None"}):
        assert (await live.http.get("/metrics", headers=headers)).status_code == 401
        assert (await live.http.get("/readyz", headers=headers)).json() == {"status": "ready"}
    assert (await live.http.get("/healthz")).json() == {"status": "alive"}
    token = "a token of the scraper's"
    async with served(
        url, servers.redis_url, development=False, project=False, metrics_token=token
    ) as other:
        headers = {"authorization": f"Bearer {token}"}
        assert (
            "matchgraph_database_up 1.0" in (await other.http.get("/metrics", headers=headers)).text
        )
        assert (await other.http.get("/readyz", headers=headers)).json()["readModels"]
        for wrong in ({}, {"authorization": f"Bearer {token}."}, {"authorization": token}):
            assert (await other.http.get("/metrics", headers=wrong)).status_code == 401
            assert "readModels" not in (await other.http.get("/readyz", headers=wrong)).json()


# Logs


async def test_no_secret_is_in_any_log(
    url: str, servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    caplog.set_level(logging.DEBUG)
    async with served(line.url, servers.redis_url, development=False, lately=0.1) as live:
        key, revoked = await let_in(live, Role.OPERATOR), await let_in(live)
        shown = await asked(
            live,
            'mutation { issueKey(name: "Ann", role: CURATOR) { ... on KeyIssued { key } } }',
            **bearer(key),
        )
        third = shown.json()["data"]["issueKey"]["key"]
        # Long messages are cut in the middle where they are logged.
        secrets = [
            part
            for one in (key.key, revoked.key, third, WRONG)
            if one is not None
            for part in (one.split("_", 2)[2][:9], one[-9:])
        ]
        await revoke(live.store, BY, revoked.id)
        for said in (key.key, revoked.key, WRONG, third):
            await asked(live, authorization=f"Bearer {said}")
            await asked(live, "{", authorization=f"Bearer {said}")
            await asked(live, f'{{ node(id: "{said}") {{ id }} }}', authorization=f"Basic {said}")
            init = {"authorization": f"Bearer {said}"}
            async with connect(live.address, subprotocols=[PROTOCOL]) as connection:
                await connection.send(json.dumps({"type": "connection_init", "payload": init}))
                await asyncio.wait_for(asyncio.gather(connection.recv(), return_exceptions=True), 9)
        await line.cut()
        assert (await asked(live, **bearer(key))).status_code in (200, 503)
        await line.mend()
    await line.cut()
    # What these clients themselves log is not ours.
    own = [
        one
        for one in caplog.records
        if not one.name.startswith(("websockets.client", "httpcore", "httpx"))
    ]
    assert len(own) > 3
    for record in own:
        said = logging.Formatter().format(record)
        for secret in secrets:
            assert secret not in said, (record.name, said[:300])
