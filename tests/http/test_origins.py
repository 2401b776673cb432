"""Pages of other origins: which may ask, and how a browser is told."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from matchgraph.http.origins import LOCAL, Origins
from matchgraph.servers import Servers
from tests.graphql.client import JSON
from tests.graphql.subscribers import PROTOCOL, Served, served

APP, EVIL, NEAR = "https://app.example", "https://evil.example", "http://localhost:3000"
HEAD = json.dumps({"query": "{ __typename }"})


@asynccontextmanager
async def open_to(url: str, servers: Servers, *origins: str) -> AsyncIterator[Served]:
    async with served(
        url, servers.redis_url, project=False, development=False, origins=origins
    ) as live:
        yield live


async def may_ask(live: Served, origin: str) -> tuple[bool, bool, bool]:
    """Whether a browser would send a request of a page there, show it the answer, and open a
    WebSocket for it."""
    wanted = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-searcher",
    }
    preflight = await live.http.options("/graphql", headers=wanted)
    sent = preflight.status_code == 200
    assert (preflight.headers.get("access-control-allow-origin") == origin) is sent
    response = await live.http.post("/graphql", content=HEAD, headers={**JSON, "origin": origin})
    assert response.status_code == 200, "the server itself refuses nobody by origin"
    assert "access-control-allow-credentials" not in response.headers
    shown = response.headers.get("access-control-allow-origin") == origin
    assert shown or "access-control-allow-origin" not in response.headers
    try:
        async with connect(live.address, subprotocols=[PROTOCOL], origin=origin):  # type: ignore[arg-type]
            opened = True
    except InvalidStatus as refused:
        opened = refused.response.status_code != 403
    return sent, shown, opened


async def test_in_production_no_origin_is_let_in_unless_it_is_named(
    url: str, servers: Servers
) -> None:
    async with open_to(url, servers) as live:
        for origin in (APP, EVIL, NEAR, "null"):
            assert await may_ask(live, origin) == (False, False, False), origin
        own = f"http://127.0.0.1:{live.port}"
        async with connect(live.address, subprotocols=[PROTOCOL], origin=own):  # type: ignore[arg-type]
            pass


async def test_an_origin_that_is_named_may_ask(url: str, servers: Servers) -> None:
    async with open_to(url, servers, APP) as live:
        assert await may_ask(live, APP) == (True, True, True)
        for origin in (EVIL, NEAR, f"{APP}.evil.example", "http://app.example"):
            assert await may_ask(live, origin) == (False, False, False), origin
        refused = await live.http.post(
            "/graphql",
            content=HEAD,
            headers={**JSON, "origin": APP, "authorization": "Bearer wrong"},
        )
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == APP, "so that a page can read it"


async def test_any_origin_may_ask_where_that_is_said(url: str, servers: Servers) -> None:
    async with open_to(url, servers, "*") as live:
        assert await may_ask(live, EVIL) == (True, True, True)


@pytest.mark.parametrize("origin", [NEAR, "http://127.0.0.1:5173", "https://[::1]:1"])
def test_in_development_pages_of_this_machine_may_ask(origin: str) -> None:
    assert Origins((LOCAL,)).allow(origin)
    assert not Origins().allow(origin)


@pytest.mark.parametrize("origin", ["", "null", "https://[", EVIL, "http://localhost.evil.example"])
def test_what_is_no_origin_of_this_machine_may_not(origin: str) -> None:
    assert not Origins((LOCAL, APP)).allow(origin)
