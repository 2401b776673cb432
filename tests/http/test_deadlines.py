"""A client that is slow, silent or endless is let go of, and nobody else notices."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from graphql import get_introspection_query

from matchgraph.http.deadlines import Deadlines
from matchgraph.servers import Servers
from tests.graphql.subscribers import Served, served, small_buffers

HURRY = Deadlines(headers=0.4, body=0.6, idle=1, last=0.5)
POST = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
BODY = json.dumps({"query": "{ position { head } }"}).encode()
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server that is in a hurry."""
    options: dict[str, Any] = {"deadlines": HURRY}
    async with served(url, servers.redis_url, project=False, configuration=options) as live:
        yield live


class Line:
    """A connection of bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def stop_reading(self) -> None:
        """Takes nothing more that comes."""
        self.reader._transport.pause_reading()  # type: ignore[attr-defined]

    def read_again(self) -> None:
        self.reader._transport.resume_reading()  # type: ignore[attr-defined]

    async def say(self, *pieces: bytes, pause: float = 0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def heard(self) -> bytes:
        """All that comes until the server ends the connection."""
        async with asyncio.timeout(15):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self) -> bytes:
        """The status line of the next answer, which is read whole."""
        async with asyncio.timeout(15):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return head.split(b"\r\n")[0]


@asynccontextmanager
async def line(live: Served) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def is_well(live: Served) -> bool:
    async with asyncio.timeout(5):
        return (await live.http.get("/healthz")).status_code == 200


async def test_a_connection_on_which_nothing_is_sent_is_closed(live: Served) -> None:
    async with line(live) as silent:
        assert await silent.heard() == b""


async def test_headers_that_never_end_are_answered_with_408(live: Served) -> None:
    async with line(live) as slow:
        await slow.say(POST)
        assert (await slow.heard()).startswith(b"HTTP/1.1 408 ")


async def test_headers_that_drip_have_no_more_time(live: Served) -> None:
    async with line(live) as slow:
        dripping = asyncio.create_task(slow.say(*[b"x-a: b\r\n"] * 100, pause=0.05))
        await slow.say(POST)
        assert (await slow.heard()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def test_a_body_that_never_ends_is_answered_with_408(
    live: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for length in (
        b"content-length: 100\r\n\r\n{",
        b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ):
        async with line(live) as slow:
            await slow.say(POST + length)
            assert (await slow.heard()).startswith(b"HTTP/1.1 408 ")
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
    assert await is_well(live)


async def test_a_later_request_has_as_much_time_as_the_first(live: Served) -> None:
    async with line(live) as client:
        for _ in range(2):
            await client.say(ALIVE)
            assert (await client.answer()).endswith(b"200 OK")
            await asyncio.sleep(0.7)  # longer than headers may take
        await client.say(ALIVE[:20])
        assert (await client.heard()).startswith(b"HTTP/1.1 408 ")


async def test_between_requests_a_connection_is_kept_for_a_while_only(live: Served) -> None:
    async with line(live) as client:
        await client.say(ALIVE)
        assert (await client.answer()).endswith(b"200 OK")
        assert await client.heard() == b""


async def test_who_is_slow_within_bounds_is_answered(live: Served) -> None:
    async with line(live) as slow:
        await slow.say(POST, pause=0.2)
        await slow.say(b"content-length: %d\r\n\r\n" % len(BODY), BODY[:5], pause=0.2)
        await slow.say(BODY[5:])
        assert (await slow.answer()).endswith(b"200 OK")


async def test_requests_that_wait_behind_each_other_are_all_answered(live: Served) -> None:
    whole = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    async with line(live) as client:
        await client.say((whole + ALIVE) * 50)
        for _ in range(100):
            assert (await client.answer()).endswith(b"200 OK")


@pytest.mark.parametrize("piece", [b"x-a: b\r\n", b"x-a: ", b"a" * 100])
async def test_headers_without_end_are_refused_long_before_they_fill_memory(
    live: Served, piece: bytes
) -> None:
    async with line(live) as hostile:
        sent = await flood(hostile, POST, piece * 100)
        assert sent < 8_000_000
        assert not (await hostile.heard()).startswith(b"HTTP/1.1 2")
    assert await is_well(live)


async def test_trailers_without_end_are_refused_too(live: Served) -> None:
    begun = POST + b"transfer-encoding: chunked\r\n\r\n0\r\n"
    async with line(live) as hostile:
        assert await flood(hostile, begun, b"x-a: b\r\n" * 1_000) < 20_000_000
    assert await is_well(live)


async def flood(hostile: Line, start: bytes, piece: bytes) -> int:
    """Sends that without end; says how many bytes the server's system took before it was over."""
    sent = 0
    async with asyncio.timeout(30):
        try:
            await hostile.say(start)
            while True:
                hostile.writer.write(piece)
                await hostile.writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
        except ConnectionError:
            return sent


DECLARED, CHUNKED = b"content-length: 100000000\r\n", b"transfer-encoding: chunked\r\n"


@pytest.mark.parametrize("length", [DECLARED, CHUNKED])
@pytest.mark.parametrize("accept", [b"application/json", b"application/graphql-response+json"])
async def test_a_body_of_100_megabytes_is_refused_early_and_the_refusal_arrives(
    live: Served, length: bytes, accept: bytes
) -> None:
    piece = b"x" * 65_536
    sent = 0
    async with line(live) as hostile:
        await hostile.say(POST + b"accept: " + accept + b"\r\n" + length + b"\r\n")
        answer = asyncio.create_task(hostile.heard())
        async with asyncio.timeout(30):
            while not answer.done() and sent < 100_000_000:
                try:
                    hostile.writer.write(
                        piece if length is DECLARED else b"10000\r\n" + piece + b"\r\n"
                    )
                    await hostile.writer.drain()
                except ConnectionError:
                    break
                sent += len(piece)
                await asyncio.sleep(0)
            head, _, body = (await answer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"content-type: " + accept in head
    (error,) = json.loads(body)["errors"]
    assert error["extensions"] == {"code": "CONTENT_TOO_LARGE"}
    assert "1000000 bytes" in error["message"]
    assert sent < 8_000_000
    assert await is_well(live)


async def test_a_body_of_two_lengths_is_never_read_as_either(live: Served) -> None:
    async with line(live) as hostile:
        await hostile.say(POST + b"content-length: 9\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + ALIVE)
        assert (await hostile.heard()).startswith(b"HTTP/1.1 400 ")
    assert await is_well(live)


async def test_an_answer_that_nobody_reads_is_not_kept_for_ever(url: str, servers: Servers) -> None:
    options: dict[str, Any] = {"deadlines": HURRY}
    query = json.dumps({"query": get_introspection_query()})
    asked = POST + b"content-length: %d\r\n\r\n" % len(query) + query.encode()
    async with (
        served(url, servers.redis_url, project=False, small=True, configuration=options) as live,
        line(live) as idle,
    ):
        small_buffers(idle.writer.get_extra_info("socket"))
        idle.stop_reading()
        await idle.say(asked)
        await asyncio.sleep(HURRY.idle + HURRY.last + 1)
        idle.read_again()
        head, _, body = (await idle.heard()).partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(body) < length, "the rest was thrown away"


async def test_a_websocket_is_not_hurried_once_it_is_there(live: Served) -> None:
    async with live.socket() as socket:
        await asyncio.sleep(1)
        await socket.subscribe("{ position { head } }")
        assert (await socket.next())["type"] == "next"


async def test_a_websocket_that_pings_and_never_reads_is_closed(url: str, servers: Servers) -> None:
    async with served(url, servers.redis_url, project=False, small=True) as live, line(live) as one:
        small_buffers(one.writer.get_extra_info("socket"))
        await one.say(UPGRADE)
        await one.reader.readuntil(b"\r\n\r\n")
        one.stop_reading()
        ping = b"\x89\xfd" + b"\0" * 4 + b"x" * 125
        assert await flood(one, b"", ping * 100) < 50_000_000


async def test_a_thousand_slow_connections_leave_others_alone(live: Served) -> None:
    started = time.monotonic()
    lines = await asyncio.gather(*(opened(live) for _ in range(1_000)))
    try:
        for i, one in enumerate(lines):
            # Silent, in the headers, in the body.
            one.writer.write([b"", POST, POST + b"content-length: 9\r\n\r\n{"][i % 3])
        for _ in range(5):
            assert await is_well(live)
        answers = await asyncio.gather(*(one.heard() for one in lines))
    finally:
        for one in lines:
            one.writer.transport.abort()
    assert {answer[:13] for answer in answers} == {b"", b"HTTP/1.1 408 "}
    assert time.monotonic() - started < 30
    assert await is_well(live)


async def opened(live: Served) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", live.port))
