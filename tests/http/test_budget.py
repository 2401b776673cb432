"""How much each may ask for in a minute: counted in Redis, and without it all the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from matchgraph.commands.key import Issued, issue
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request
from matchgraph.graphql.limits import RateLimited
from matchgraph.http.budget import MINUTE, Allowance, Budgets, Window, address
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.graphql.client import JSON, Api
from tests.graphql.subscribers import Served, served

HEAD = "{ position { head } }"
# 2 points.
ASKED = "{ artifacts(first: 9) { nodes { slug } } }"
STREAM = {**JSON, "accept": "text/event-stream"}
FOLLOW = "subscription { rankChanged { slug } }"


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server in production, where an address has 20 points a minute and a key 100."""
    allowance = Allowance(points_per_key=100, points_per_address=20)
    async with (
        fresh(servers.redis_url),
        served(
            url, servers.redis_url, project=False, development=False, allowance=allowance
        ) as live,
    ):
        yield live


class fresh:  # noqa: N801 (it reads as a verb)
    """Nobody has used anything: all tests come from one address."""

    def __init__(self, redis_url: str) -> None:
        self._client = open_client(redis_url, patience=2)

    async def __aenter__(self) -> None:
        async for key in self._client.scan_iter("matchgraph:{budget:*"):
            await self._client.unlink(key)

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


async def post(api: Api, query: str = ASKED, **headers: str) -> httpx.Response:
    content = json.dumps({"query": query})
    return await api.http.post("/graphql", content=content, headers={**JSON, **headers})


async def test_an_answer_says_what_is_left(live: Served) -> None:
    first, second = await post(live), await post(live)
    assert first.status_code == second.status_code == 200
    said = second.json()["extensions"]["cost"]
    assert (said["requested"], said["limit"], said["budget"]) == (2, 20, 20)
    assert said["remaining"] == 16
    head = second.headers
    seconds = int(head["ratelimit"].rpartition("=")[2])
    assert 60 <= seconds <= 120
    until_reset = datetime.fromisoformat(said["resetAt"]) - datetime.now(UTC)
    assert abs(until_reset.total_seconds() - seconds) < 10
    assert head["ratelimit-policy"] == '"points";q=20;w=60'
    assert head["ratelimit"].startswith('"points";r=16;t=')
    assert (head["x-ratelimit-limit"], head["x-ratelimit-remaining"]) == ("20", "16")
    assert int(head["x-ratelimit-reset"]) > 1_700_000_000
    assert "retry-after" not in head


async def test_what_is_used_up_is_refused_until_there_is_more(live: Served) -> None:
    for _ in range(10):
        assert (await post(live)).status_code == 200
    response = await post(live)
    assert response.status_code == 429
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert not response.json().get("data")
    assert 1 <= int(response.headers["retry-after"]) <= 120
    assert error["extensions"]["retryAfter"] == int(response.headers["retry-after"])
    assert response.headers["x-ratelimit-remaining"] == "0"
    # Also over GET.
    assert (await live.http.get("/graphql", params={"query": ASKED})).status_code == 429
    # And not what is none of the catalog's.
    assert (await live.http.get("/healthz")).status_code == 200


async def test_what_is_refused_or_no_graphql_is_charged_too(live: Served) -> None:
    deep = "{a" * 100 + "}" * 100
    assert (await post(live, "{")).status_code in (200, 400)
    assert (await post(live, deep)).json()["errors"][0]["extensions"]["code"] == "TOO_DEEP"
    for query in (deep, "{", ASKED):
        assert (await post(live, query)).status_code == 429, query


async def test_more_than_a_whole_budget_is_refused_for_good(live: Served) -> None:
    response = await post(live, "{ artifacts(first: 100) { nodes { slug rank { score } } } }")
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "TOO_COSTLY", "requested": 22, "limit": 20}
    assert response.json()["extensions"]["cost"]["requested"] == 22


async def test_names_that_are_made_up_share_the_budget_of_their_address(live: Served) -> None:
    codes = [(await post(live, **{"x-searcher": f"somebody {i}"})).status_code for i in range(12)]
    assert codes == [200] * 10 + [429] * 2


async def test_forged_tokens_record_no_more_than_the_budget_allows(live: Served) -> None:
    forged = 'mutation { reportOutcome(token: "%d", outcome: CHOSEN) { __typename } }'
    answers = [await post(live, forged % i) for i in range(10)]
    recorded = [one for one in answers if one.status_code == 200]
    assert len(recorded) == 2, "7 points each"
    assert await live.store.head() == 2


async def test_a_key_has_a_budget_of_its_own(live: Served) -> None:
    one, other = [await let_in(live, name) for name in ("one", "other")]
    for _ in range(11):
        await post(live)
    assert (await post(live)).status_code == 429
    for key in (one, other):
        response = await post(live, authorization=f"Bearer {key.key}")
        assert response.headers["x-ratelimit-remaining"] == "98"


async def let_in(live: Served, name: str) -> Issued:
    return await issue(live.store, Request(actor="t", request_id="t"), name, Role.CURATOR)


async def test_on_a_websocket_each_operation_is_charged_and_refused_by_itself(live: Served) -> None:
    async with live.socket() as socket:
        await socket.subscribe(FOLLOW, id="follow")
        for i in range(4):
            await socket.subscribe(ASKED, id=f"q{i}")
            assert (await socket.next(f"q{i}"))["type"] == "next"
        await socket.subscribe(ASKED, id="late")
        assert (await socket.error("late"))["extensions"]["code"] == "RATE_LIMITED"
        # One that shares its execution pays, too.
        await socket.subscribe(FOLLOW, id="another")
        assert (await socket.error("another"))["extensions"]["code"] == "RATE_LIMITED"
        await socket.say(type="ping")
        while (await socket.hear())["type"] != "pong":
            pass


async def test_an_event_stream_is_charged_before_it_begins(live: Served) -> None:
    said = json.dumps({"query": FOLLOW})
    async with live.http.stream("POST", "/graphql", content=said, headers=STREAM) as stream:
        assert stream.status_code == 200
    response = await live.http.post("/graphql", content=said, headers=STREAM)
    assert response.status_code == 429
    assert response.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert int(response.headers["retry-after"]) >= 1


async def test_in_development_nobody_counts(url: str, servers: Servers) -> None:
    async with served(url, servers.redis_url, project=False) as live:
        response = await post(live)
    assert "x-ratelimit-limit" not in response.headers
    assert set(response.json()["extensions"]["cost"]) == {"requested", "limit"}


@pytest.mark.parametrize("gone", [True, False])
async def test_without_redis_each_process_counts_for_itself(
    url: str, servers: Servers, tmp_path: Path, gone: bool
) -> None:
    allowance = Allowance(points_per_address=20)
    redis_url = f"unix://{tmp_path}/nothing" if gone else servers.redis_url
    async with (
        fresh(servers.redis_url),
        served(url, redis_url, project=False, development=False, allowance=allowance) as one,
        served(url, redis_url, project=False, development=False, allowance=allowance) as other,
    ):
        codes = [(await post(one)).status_code for _ in range(11)]
        codes += [(await post(other)).status_code for _ in range(11)]
    there = [200] * 10 + [429]
    assert codes == (there + there if gone else there + [429] * 11)


async def test_what_others_left_under_the_key_locks_nobody_out(servers: Servers) -> None:
    client = open_client(servers.redis_url, patience=2)
    try:
        async with fresh(servers.redis_url):
            budgets = Budgets(client, Allowance(), patience=5)
            assert (await budgets.charge("somebody", 10, 4)).remaining == 6
            (key,) = [key async for key in client.scan_iter("matchgraph:{budget:*")]
            assert 0 < await client.pttl(key) <= 120_000
            for other in (client.set(key, "x"), client.hset(key, "here", "x")):
                await client.unlink(key)
                await other
                assert (await budgets.charge("somebody", 10, 4)).remaining == 6
    finally:
        await client.aclose()


async def test_many_at_once_get_no_more_than_there_is(servers: Servers) -> None:
    client = open_client(servers.redis_url, patience=2)
    try:
        async with fresh(servers.redis_url):
            budgets = [Budgets(client, Allowance(), patience=5) for _ in range(4)]
            charges = [budgets[i % 4].charge("somebody", 100, 3) for i in range(60)]
            done = await asyncio.gather(*charges, return_exceptions=True)
    finally:
        await client.aclose()
    assert sum(not isinstance(one, RateLimited) for one in done) == 33


async def test_any_number_of_callers_are_counted_in_bounded_room(tmp_path: Path) -> None:
    client = open_client(f"unix://{tmp_path}/nothing")
    budgets = Budgets(client, Allowance())
    for i in range(50_000):
        budgets._charge_here(f"address:{i}", 500, 1)
    assert len(budgets._counted) <= 16_384
    await client.aclose()


def test_a_minute_slides() -> None:
    assert Window(before=60, here=10, since=0).used() == 70
    assert Window(before=60, here=10, since=30).used() == 40
    assert Window(before=60, here=10, since=59).used() == 11


@pytest.mark.parametrize(
    "window", [Window(90, 5, 10), Window(0, 95, 30), Window(100, 100, 1), Window(50, 50, 59)]
)
def test_after_the_wait_it_fits_and_just_before_it_does_not(window: Window) -> None:
    def later(seconds: float) -> Window:
        at = window.since + seconds
        if at < MINUTE:
            return Window(window.before, window.here, at)
        return Window(window.here, 0, at - MINUTE)

    for room in (0, 10, 50):
        wait = window.wait(room)
        assert later(wait).used() <= room + 1e-6
        assert wait == 0 or later(wait - 0.1).used() > room


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("a made-up name", ""),
    ],
)
def test_an_address_is_what_nobody_can_choose_freely(host: str, shown: str) -> None:
    assert address({"type": "http", "client": (host, 1)}) == shown


def test_without_a_peer_there_is_one_budget() -> None:
    assert address({"type": "http", "client": None}) == ""


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_proxy_that_is_trusted_says_where_a_request_comes_from(
    url: str, servers: Servers, trusted: bool
) -> None:
    proxies: dict[str, Any] = {"proxies": ("127.0.0.0/8", "10.0.0.0/8")} if trusted else {}
    allowance = Allowance(points_per_address=20)
    async with (
        fresh(servers.redis_url),
        served(
            url,
            servers.redis_url,
            project=False,
            development=False,
            allowance=allowance,
            configuration=proxies,
        ) as live,
    ):
        left = []
        for forwarded in ("192.0.2.1", "evil, 192.0.2.1, 10.1.1.1", "192.0.2.2"):
            response = await post(live, **{"x-forwarded-for": forwarded})
            left.append(response.headers["x-ratelimit-remaining"])
    assert left == (["18", "16", "18"] if trusted else ["18", "16", "14"])


async def test_a_socket_is_charged_to_whom_the_proxy_names(url: str, servers: Servers) -> None:
    allowance = Allowance(points_per_address=20)
    async with (
        fresh(servers.redis_url),
        served(
            url,
            servers.redis_url,
            project=False,
            development=False,
            allowance=allowance,
            configuration={"proxies": ("127.0.0.1",)},
        ) as live,
    ):
        for i in range(3):
            headers = {"x-forwarded-for": f"192.0.2.{i}"}
            async with live.socket(additional_headers=headers) as socket:
                await socket.subscribe(FOLLOW)
                await socket.subscribe(ASKED, id="2")
                assert (await socket.next("2"))["type"] == "next"
