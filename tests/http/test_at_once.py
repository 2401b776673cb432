"""Requests are answered in the callback in which they have come, or as any other; nobody can tell
the difference."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from matchgraph.commands.key import issue, revoke
from matchgraph.domain.artifact import Artifact
from matchgraph.domain.role import Role
from matchgraph.http.app import Application
from matchgraph.http.at_once import LONGEST, QuickHttp
from matchgraph.http.budget import Allowance
from matchgraph.servers import Servers
from tests.eventstore.histories import id_of, price, rich, until
from tests.graphql.client import JSON
from tests.graphql.subscribers import Served, served
from tests.http.test_deadlines import Line, line
from tests.projections.tables import BY, append

BOTH = """query Both($slugs: [String!]!) { __typename both: compare(slugs: $slugs) {
  of: artifacts { slug name prices { amount } __typename } __typename } }"""
ONE = "query One($slug: String!) { artifact(slug: $slug) { slug name prices { amount } } }"
BOARD = "{ rankBoard(first: 3) { nodes { slug } } }"
# What no kept answer is given for, and has to be waited for.
SLOW = "{ position { head } }"
PAIR = {"slugs": ["thing-0", "thing-1"]}
OWN = {"date", "x-request-id"}
SAID = [(b"accept", b"*/*"), (b"content-type", b"application/json")]


@asynccontextmanager
async def keeping(url: str, servers: Servers, **options: Any) -> AsyncIterator[Served]:
    """A server that keeps answers, of three artifacts."""
    options = {"kept_answers": 1_000_000, **options}
    async with served(url, servers.redis_url, **options) as live:
        await append(live.store, rich(3))
        await caught_up(live)
        yield live


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    async with keeping(url, servers) as live:
        yield live


async def caught_up(live: Served) -> None:
    head = await live.store.head()

    async def is_certain() -> bool:
        return bool(live.app.state.answers._touched.at == head)

    await until(is_certain, patience=30)


def body(query: str, variables: Mapping[str, Any]) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def request(query: str, variables: Mapping[str, Any], *headers: bytes) -> bytes:
    """A request as it goes over the line."""
    said = body(query, variables)
    lines = [
        b"POST /graphql HTTP/1.1\r\nhost: x",
        *(b"%b: %b" % one for one in SAID),
        *headers,
        b"content-length: %d\r\n\r\n" % len(said),
    ]
    return b"\r\n".join(lines) + said


async def heard(client: Line) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers of the next answer, which is 200, and what it says."""
    async with asyncio.timeout(15):
        head = await client.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        assert first == "HTTP/1.1 200 OK"
        headers = dict(one.lower().split(": ", 1) for one in lines)
        said = await client.reader.readexactly(int(headers["content-length"]))
    return headers, json.loads(said)


def application(live: Served) -> Application:
    assert isinstance(live.app, Application)
    return live.app


def is_known(
    live: Served, query: str, variables: Mapping[str, Any], *more: tuple[bytes, bytes]
) -> bool:
    """Whether it would be answered at once."""
    headers = [*SAID, *more]
    return application(live).at_once(headers, body(query, variables)) is not None


async def post(live: Served, query: str, variables: Mapping[str, Any], **headers: str) -> Any:
    said = {"content-type": "application/json", **headers}
    return await live.http.post("/graphql", content=body(query, variables), headers=said)


async def known(live: Served, query: str, variables: Mapping[str, Any], **headers: str) -> None:
    """Asks for it until it is answered at once."""
    more = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def is_answered() -> bool:
        assert "errors" not in (await post(live, query, variables, **headers)).json()
        return is_known(live, query, variables, *more)

    await until(is_answered)


def counted(live: Served, name: str, **labels: str) -> float:
    metrics = live.app.state.observer.metrics
    metrics.settle()
    found: float | None = metrics.registry.get_sample_value(f"matchgraph_{name}", labels)
    return found or 0


@pytest.mark.parametrize(
    ("query", "variables"), [(BOTH, PAIR), (ONE, {"slug": "thing-0"}), (BOARD, {})]
)
async def test_it_is_the_answer_that_would_be_made_anew(
    live: Served, query: str, variables: Mapping[str, Any]
) -> None:
    await known(live, query, variables)
    at_once = await post(live, query, variables)
    anew = await post(live, query, variables, **{"cache-control": "no-cache"})
    assert at_once.content == anew.content
    assert {k: v for k, v in at_once.headers.items() if k not in OWN} == {
        k: v for k, v in anew.headers.items() if k not in OWN
    }
    assert set(at_once.headers) == set(anew.headers)


async def test_any_two_artifacts_are_put_side_by_side_of_what_is_known_of_each(
    live: Served,
) -> None:
    await known(live, BOTH, PAIR)
    for one, other in (("1", "2"), ("2", "1"), ("1", "0")):
        await post(live, BOTH, {"slugs": [f"thing-{one}", f"thing-{other}"]})
    never = {"slugs": ["thing-2", "thing-0"]}
    assert is_known(live, BOTH, never)
    anew = await post(live, BOTH, never, **{"cache-control": "no-cache"})
    assert (await post(live, BOTH, never)).content == anew.content
    # Whatever is wrong with them is for the application to say.
    for slugs in (["thing-0"], ["thing-0"] * 2, ["thing-0", "x"], ["thing-0", 1], "thing-0", None):
        assert not is_known(live, BOTH, {"slugs": slugs})
    assert not is_known(live, BOTH, {})


async def test_what_has_changed_is_not_said_as_it_was(live: Served) -> None:
    await known(live, ONE, {"slug": "thing-0"})
    thing = await live.store.load(id_of("thing-0"))
    assert isinstance(thing, Artifact)
    thing.observe_price(price("7.25", on=30))
    await live.store.append([thing], BY)
    await caught_up(live)
    assert not is_known(live, ONE, {"slug": "thing-0"})
    assert "7.25" in (await post(live, ONE, {"slug": "thing-0"})).text
    await known(live, ONE, {"slug": "thing-0"})
    assert "7.25" in (await post(live, ONE, {"slug": "thing-0"})).text


async def test_requests_in_pieces_are_answered_as_whole_ones(live: Served) -> None:
    await known(live, BOTH, PAIR)
    whole = request(BOTH, PAIR)
    _, right = await _alone(live, whole)
    for cuts in ([1], [60], [len(whole) - 1], [30, 90, 150], list(range(0, len(whole), 7))):
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        async with line(live) as client:
            await client.say(*pieces, pause=0.001)
            assert (await heard(client))[1] == right


async def _alone(live: Served, whole: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    async with line(live) as client:
        await client.say(whole)
        return await heard(client)


async def test_requests_behind_each_other_are_answered_in_their_order(live: Served) -> None:
    await known(live, BOTH, PAIR)
    asked = [(SLOW, {}), (BOTH, PAIR), (BOTH, PAIR), (SLOW, {}), (BOTH, PAIR)] * 5
    sent = [request(*one, b"x-request-id: number-%d" % number) for number, one in enumerate(asked)]
    async with line(live) as client:
        await client.say(b"".join(sent))
        for number, (query, _) in enumerate(asked):
            headers, said = await heard(client)
            assert headers["x-request-id"] == f"number-{number}"
            assert ("position" in said["data"]) == (query is SLOW)


async def test_who_reads_nothing_is_not_answered_without_end(live: Served) -> None:
    await known(live, BOTH, PAIR)
    whole = request(BOTH, PAIR)
    async with line(live) as client:
        client.stop_reading()
        client.writer.write(whole * 20_000)
        own = client.writer.get_extra_info("sockname")
        (connection,) = (
            one
            for one in live.server.server_state.connections
            if isinstance(one, QuickHttp) and one.client == own
        )

        async def is_full() -> bool:
            return bool(connection.transport.get_write_buffer_size() > 60_000)

        await until(is_full, patience=30)
        for _ in range(20):
            await asyncio.sleep(0.02)
            assert connection.transport.get_write_buffer_size() < 300_000
    assert is_known(live, BOTH, PAIR)


@pytest.mark.parametrize(
    "header",
    [
        b"connection: close",
        b"origin: https://example.org",
        b"expect: 100-continue",
        b"cache-control: no-store",
        b"accept: text/event-stream",
        b"content-encoding: gzip",
        b"transfer-encoding: chunked",
        b"authorization: Bearer mg_abcdefghijkl_" + b"a" * 43,
    ],
)
async def test_whatever_is_special_is_left_to_the_application(live: Served, header: bytes) -> None:
    await known(live, BOTH, PAIR)
    before = counted(live, "cache_lookups_total", cache="answer", found="hit")
    async with line(live) as client:
        if header.startswith(b"transfer"):
            said = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body(BOTH, PAIR)), body(BOTH, PAIR))
            begun = request(BOTH, PAIR).split(b"content-length")[0]
            await client.say(begun + header + b"\r\n\r\n" + said)
        else:
            await client.say(request(BOTH, PAIR, header))
        async with asyncio.timeout(15):
            first = await client.reader.readuntil(b"\r\n\r\n")
    if b"authorization" in header:
        assert first.startswith(b"HTTP/1.1 401 ")
    elif b"encoding: gzip" in header:
        assert first.startswith(b"HTTP/1.1 415 ")
    elif b"expect" in header:
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    else:
        assert first.startswith(b"HTTP/1.1 200 ")
    if header.startswith(b"connection"):
        assert b"connection: close" in first
    if header.startswith((b"cache", b"authorization", b"content", b"accept")):
        assert counted(live, "cache_lookups_total", cache="answer", found="hit") == before


async def test_a_body_that_is_long_is_left_to_the_application(live: Served) -> None:
    await known(live, BOTH, PAIR)
    for length in (LONGEST, LONGEST + 1, 2_000_000):
        blanks = b" " * (length - len(body(BOTH, PAIR)))
        head = request(BOTH, PAIR).split(b"content-length")[0]
        async with line(live) as client:
            said = b"content-length: %d\r\n\r\n" % length
            await client.say(head + said + body(BOTH, PAIR) + blanks)
            assert (await client.answer())[9:12] == (b"200" if length < 2_000_000 else b"413")


async def test_it_is_observed_as_any_other(live: Served) -> None:
    await known(live, BOTH, PAIR)
    names: dict[str, dict[str, str]] = {
        "operations_total": {"transport": "http", "operation": "query", "outcome": "ok"},
        "http_responses_total": {"status": "200"},
        "operation_cost_points_count": {},
    }
    before = {name: counted(live, name, **labels) for name, labels in names.items()}
    assert all(before.values()), before
    for _ in range(10):
        await post(live, BOTH, PAIR)
    assert {name: counted(live, name, **labels) for name, labels in names.items()} == {
        name: count + 10 for name, count in before.items()
    }
    answer = await post(live, BOTH, PAIR, **{"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"


async def test_it_is_for_those_who_are_let_in_and_need_not_pay(url: str, servers: Servers) -> None:
    async with keeping(url, servers, development=False, lately=2.0) as live:
        issued = await issue(live.store, BY, "key", Role.CURATOR)
        key = {"authorization": f"Bearer {issued.key}"}
        await known(live, BOTH, PAIR, **key)
        assert not is_known(live, BOTH, PAIR, *[(b"authorization", b"Bearer nobody")] * 2)
        await revoke(live.store, BY, issued.id)

        async def is_shut_out() -> bool:
            return bool((await post(live, BOTH, PAIR, **key)).status_code == 401)

        await until(is_shut_out, patience=30)
    paying = Allowance(points_per_address=100)
    async with served(url, servers.redis_url, kept_answers=1_000_000, allowance=paying) as live:
        await caught_up(live)
        for _ in range(3):
            answer = await post(live, BOTH, PAIR)
            assert "x-ratelimit-remaining" in answer.headers
        assert not is_known(live, BOTH, PAIR)


async def test_of_trusted_documents_no_other_is_answered(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"both": BOTH}))
    async with keeping(url, servers, trusted=[manifest]) as live:
        await known(live, BOTH, PAIR)
        named = json.dumps({"documentId": "both", "variables": PAIR}).encode()

        async def is_answered() -> bool:
            await live.http.post("/graphql", content=named, headers=JSON)
            return application(live).at_once(SAID, named) is not None

        await until(is_answered)
        assert "errors" in (await post(live, ONE, {"slug": "thing-0"})).json()
        assert not is_known(live, ONE, {"slug": "thing-0"})


async def test_a_request_that_has_begun_to_come_is_answered_when_the_server_ends(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as live:
        await known(live, BOTH, PAIR)
        whole = request(BOTH, PAIR)
        async with line(live) as client:
            await client.say(whole[:-10])

            async def has_come() -> bool:
                held = [getattr(one, "_held", None) for one in live.server.server_state.connections]
                return any(held)

            await until(has_come)
            live.server.should_exit = True
            await asyncio.sleep(0.5)
            await client.say(whole[-10:])
            headers, said = await heard(client)
            assert headers["connection"] == "close"
            assert said["data"]["both"]["of"][0]["slug"] == "thing-0"


async def test_who_goes_away_in_the_middle_leaves_nothing(
    live: Served, caplog: pytest.LogCaptureFixture
) -> None:
    await known(live, BOTH, PAIR)
    whole = request(BOTH, PAIR)
    for cut in (20, len(whole) - 10, len(whole)):
        async with line(live) as client:
            await client.say(whole[:cut])

    async def is_alone() -> bool:
        own = [c for c in live.server.server_state.connections if c.transport is not None]
        return len(own) <= 1

    await until(is_alone)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []
