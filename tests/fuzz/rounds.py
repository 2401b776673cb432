"""Rounds of requests: each sends so many of one sort, and stops at the first wrong answer."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes

from tests.fuzz.judging import Wrong
from tests.fuzz.operations import Asked, operations
from tests.fuzz.target import Target
from tests.fuzz.values import HOSTILE

T = TypeVar("T")
TYPES = (
    *("application/json", "application/json; charset=utf-8", "application/json; charset=utf-16"),
    *("application/graphql", "application/graphql-response+json", "text/plain", "", "*/*"),
    *("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/event-stream"),
    *("application/jsonp", "image/png", "application/json, text/html", "\x00", "é"),
)
STREAMS = (
    *("text/event-stream", "TEXT/EVENT-STREAM;q=0.9", "text/event-stream, application/json"),
    *("application/json, text/event-stream", "text/event-stream;q=x", "text/event-stream;"),
)


def sent(
    strategy: st.SearchStrategy[T], send: Callable[[T], None], count: int, number: int | None = None
) -> None:
    """Sends so many of them, the same each time unless there is a seed. Raises: Wrong."""

    @settings(
        max_examples=count,
        derandomize=number is None,
        deadline=None,
        database=None,
        # What is changed by one request is found by the next, so none can be tried again.
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(one: T) -> None:
        try:
            send(one)
        except Wrong as reason:
            raise Wrong(f"{reason}\nasked: {repr(one)[:5000]}") from reason

    (each if number is None else seed(number)(each))()


def everything(target: Target, count: int, number: int | None = None) -> None:
    """Every query and mutation over HTTP, `count` of each. Raises: Wrong."""
    schema = target.schema
    for kind, top in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert top is not None
        for name in top.fields:
            sent(operations(schema, target.known, kind, name), target.ask, count, number)


def by_the_grammar(target: Target, count: int, number: int | None = None) -> None:
    """Documents of any number of fields with any values, as hypothesis-graphql writes them."""
    scalars: Any = {
        name: st.sampled_from(HOSTILE).map(_text)
        for name in ("Date", "DateTime", "Decimal", "Position", "JSON")
    }
    scalars["Long"] = st.integers().map(lambda value: _int(value))
    written = from_schema(target.schema, custom_scalars=scalars, allow_x00=True)
    sent(written.map(lambda one: Asked("query", one, {})), target.ask, count, number)


def over_websocket(target: Target, count: int, number: int | None = None) -> None:
    """Every field of all three sorts over WebSocket. Raises: Wrong."""
    subscriptions, others = _by_sort(target)
    for one in subscriptions:
        sent(one, target.follow, count, number)
    sent(st.one_of(others), target.follow, count, number)


def _by_sort(
    target: Target,
) -> tuple[list[st.SearchStrategy[Asked]], list[st.SearchStrategy[Asked]]]:
    """Operations with each subscription, and with each field of the other two sorts."""
    schema = target.schema
    top = schema.query_type, schema.mutation_type, schema.subscription_type
    queries, mutations, subscriptions = (
        [operations(schema, target.known, kind, name) for name in (one.fields if one else ())]
        for kind, one in zip(("query", "mutation", "subscription"), top, strict=True)
    )
    return subscriptions, queries + mutations


def over_event_streams(target: Target, count: int, number: int | None = None) -> None:
    """Every field of all three sorts as an event stream of its own (graphql-sse in the mode of
    distinct connections), by POST and by GET, and bodies of any shape. Raises: Wrong."""
    headers = st.fixed_dictionaries(
        {"accept": st.sampled_from(STREAMS)},
        optional={
            "last-event-id": st.sampled_from([one for one in HOSTILE if one.isprintable()])
            | st.integers().map(str),
            # Of the other mode, which is not served.
            "x-graphql-event-stream-token": st.sampled_from(["", "x", "x" * 9_000, "\x00"]),
            "cache-control": st.sampled_from(["no-store", "x"]),
            "connection": st.sampled_from(["close", "upgrade", "x"]),
        },
    )
    subscriptions, others = _by_sort(target)
    for one in (*subscriptions, st.one_of(others)):
        asked = st.tuples(one, headers, st.booleans())
        sent(asked, lambda one: target.stream(*one[:2], by_get=one[2]), count, number)
    query = "subscription ($after: String) { rankChanged(cursor: $after) { slug position } }"
    shaped = st.fixed_dictionaries(
        {"query": st.just(query) | _json},
        optional={"variables": _json, "operationName": _json, "extensions": _json},
    )
    good = json.dumps({"query": query, "variables": {"after": None}}).encode()
    bodies = shaped.map(lambda value: json.dumps(value).encode()) | _mutilated(good)
    sent(st.tuples(bodies, headers), lambda one: target.stream_of(*one), count, number)


def bytes_over_http(target: Target, count: int, number: int | None = None) -> None:
    """Bodies, content types, headers and whole requests of any bytes. Raises: Wrong."""
    good = b'{"query": "{ position { head } }"}'
    bodies = st.one_of(
        st.binary(max_size=300),
        _json.map(lambda value: json.dumps(value).encode()),
        _mutilated(good),
        st.sampled_from(
            [
                *(b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5_000, b"NaN", b"null", b'""', b"\xff"),
                *(good.decode().encode("utf-16"), b"\xef\xbb\xbf" + good, good + good, b"[" + good),
                b'{"query": "{ position { head } }", "variables": {"a": 1e999}}',
                b'{"query": "{ position { head } }", "operationName": 7}',
                b'{"query": "{ position { head } }", "variables": [], "extensions": 1}',
                b'{"query": 7}',
            ]
        ),
    )
    headers = st.fixed_dictionaries(
        {"content-type": st.sampled_from(TYPES)},
        optional={
            "accept": st.sampled_from(TYPES),
            "content-encoding": st.sampled_from(["gzip", "br", "identity", "x"]),
            "authorization": st.sampled_from(
                ["Bearer x", "Bearer", "Basic eDp4", "\x01", "x" * 9000]
            ),
            "x-request-id": st.sampled_from(HOSTILE[:12]),
            "x-searcher": st.sampled_from(["ann", "é", "x" * 9000, "\x00"]),
            "origin": st.sampled_from(["null", "https://evil.example", "x"]),
        },
    )
    sent(st.tuples(bodies, headers), lambda one: target.raw(_request(*one)), count, number)
    request = _request(good, {"content-type": "application/json"})
    whole = (
        _mutilated(request)
        | st.binary(max_size=200)
        | st.sampled_from(
            [
                request.replace(b"POST", b"GET"),
                request.replace(b"POST", b"QUERY"),
                b"GET /graphql?query={position{head}} HTTP/1.1\r\nhost: x\r\n\r\n",
                b"GET /graphql?query=%00%ff&variables=[ HTTP/1.1\r\nhost: x\r\n\r\n",
                b"GET /graphql?variables=7&query={position{head}} HTTP/1.1\r\nhost: x\r\n\r\n",
                b"POST /graphql HTTP/1.1\r\nhost: \x00\r\ncontent-length: -1\r\n\r\n",
                b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
                b"DELETE /%2e%2e/%00 HTTP/1.1\r\nhost: x\r\n\r\n",
            ]
        )
    )
    sent(whole, target.raw, count, number)


def messages_over_websocket(target: Target, count: int, number: int | None = None) -> None:
    """Messages of any shape. Raises: Wrong."""
    query = "{ position { head } }"
    good = {"id": "1", "type": "subscribe", "payload": {"query": query}}
    shaped = st.fixed_dictionaries(
        {"type": st.sampled_from(["subscribe", "complete", "ping", "connection_init", "next", 7])},
        optional={
            "id": st.text(max_size=5) | _json,
            "payload": _json
            | st.fixed_dictionaries(
                {"query": st.just(query) | _json},
                optional={"variables": _json, "operationName": _json, "extensions": _json},
            ),
        },
    )
    message = st.one_of(
        shaped.map(json.dumps),
        _json.map(json.dumps),
        st.text(max_size=30),
        st.binary(max_size=30),
        _mutilated(json.dumps(good).encode()).map(lambda some: some.decode(errors="replace")),
        st.sampled_from(["[" * 50_000, '{"a":' * 20_000, "9" * 5_000, "NaN", json.dumps(good)]),
    )
    sent(st.lists(message, min_size=1, max_size=3), target.messages, count, number)


_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(HOSTILE),
    lambda some: (
        st.lists(some, max_size=3)
        | st.dictionaries(
            st.sampled_from(["query", "variables", "operationName", "extensions", "id", "type"]),
            some,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@st.composite
def _mutilated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The same with some bytes left out, changed or repeated."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(whole)))
        until = min(len(whole), at + draw(st.integers(0, 4)))
        whole = whole[:at] + draw(st.binary(max_size=4)) + whole[until:]
    return whole


def _request(body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{name}: {value}".encode("utf-8", "replace") for name, value in headers.items()]
    head = [b"POST /graphql HTTP/1.1", b"host: x", b"connection: close", *lines]
    return b"\r\n".join([*head, b"content-length: %d" % len(body), b"", body])


def _text(value: str) -> Any:
    return nodes.String(value.encode("utf-8", "ignore").decode())


def _int(value: int) -> Any:
    return nodes.Int(value)
