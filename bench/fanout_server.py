"""A server for fanout.py, in a process of its own: MODE DATABASE_URL REDIS_URL CHANGES.

Says on which port it is; told to go, says when the first change is due, and has one due every tenth
of a second from then on.
"""

import asyncio
import base64
import hashlib
import socket
import sys
import time
from datetime import UTC, datetime
from typing import ClassVar, cast
from uuid import UUID

import uvloop
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)

from bench.fanout import RATE, many_files
from matchgraph.domain.artifact import Kind
from matchgraph.http.app import Api, app
from matchgraph.http.server import Server, configured, settle
from matchgraph.projections.changes import RankChange

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# As the others send it: the same query, answered.
ANSWER = (
    b'{"id":"1","type":"next","payload":{"data":{"rankChanged":{"position":"%d","cursor":"'
    b'WyJyYW5rIiwxMDAwMDAwLCIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDEiXQ","slug":"thing",'
    b'"score":"63.000000","place":1,"before":{"score":"62.000000","place":2},"parts":['
    b'{"name":"ADOPTION","points":"12.600000"},{"name":"QUALITY","points":"12.600000"},'
    b'{"name":"ECOSYSTEM","points":"12.600000"},{"name":"MATCH_GRAPH","points":"12.600000"},'
    b'{"name":"FRESHNESS","points":"12.600000"}]}}}}'
)
# Beyond whatever the database has.
FIRST = 1_000_000


def change(number: int) -> RankChange:
    """One that is like any other."""
    return RankChange(
        *(FIRST + number, UUID(int=1), "thing", Kind.MODEL, "signal.observed"),
        datetime(2026, 1, 1, tzinfo=UTC),
        *(63_000_000, 60_000_000, 66_000_000, 500_000, 1, 1, 62_000_000, 2, 1),
        points=(12_600_000,) * 5,
        was_points=(12_400_000,) * 5,
        announce=1,
    )


async def due(changes: int) -> asyncio.Queue[int]:
    """Says when it goes off, and then brings each number in its time."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    begin = time.monotonic() + 1
    print(begin, flush=True)
    numbers: asyncio.Queue[int] = asyncio.Queue()
    for number in range(changes):
        loop.call_later(begin + number / RATE - time.monotonic(), numbers.put_nowait, number)
    return numbers


async def serve(mode: str, url: str, redis_url: str, changes: int) -> None:
    """The application, subscriptions as they are or as Strawberry has them."""
    if mode == "plain":
        setattr(Api, "graphql_transport_ws_handler_class", BaseGraphQLTransportWSHandler)  # noqa: B010
    made = app(url, redis_url, project=False)
    listening = _listening()
    server = Server(configured(made, "127.0.0.1", 0), lambda: _tell(listening))
    serving = asyncio.create_task(server.serve([listening]))
    numbers = await due(changes)
    hub = made.state.feeds.ranks
    while not serving.done():
        hub._hand_out(change(await numbers.get()))


class Connection(asyncio.Protocol):
    """A client of the bare server: no more of the protocols than it needs to be one."""

    connections: ClassVar[list[asyncio.Transport]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            key = data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: graphql-transport-ws\r\nSec-WebSocket-Accept: "
                + accept
                + b"\r\n\r\n"
            )
            self.connections.append(self.transport)
        elif len(data) < 60:  # it says hello
            self.transport.write(_framed(b'{"type":"connection_ack"}'))


async def serve_bare(changes: int) -> None:
    """As little as there can be."""
    listening = _listening()
    await asyncio.get_running_loop().create_server(Connection, sock=listening)
    _tell(listening)
    numbers = await due(changes)
    while True:
        frame = _framed(ANSWER % (FIRST + await numbers.get()))
        for transport in Connection.connections:
            transport.write(frame)


def _framed(message: bytes) -> bytes:
    size = len(message)
    if size < 126:
        return bytes((0x81, size)) + message
    return b"\x81\x7e" + size.to_bytes(2) + message


def _listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=10_000)


def _tell(listening: socket.socket) -> None:
    settle()
    print(listening.getsockname()[1], flush=True)


if __name__ == "__main__":
    many_files()
    _, mode, url, redis_url, changes = sys.argv
    if mode == "bare":
        uvloop.run(serve_bare(int(changes)))
    else:
        uvloop.run(serve(mode, url, redis_url, int(changes)))
