"""Subscribers of a server that runs as `matchgraph serve` runs it, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from types import MappingProxyType
from typing import Any

import httpx
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from matchgraph.http.app import app
from matchgraph.http.server import Server, configured
from tests.eventstore.histories import until
from tests.graphql.client import Api

PROTOCOL = Subprotocol("graphql-transport-ws")


@dataclass
class Served(Api):
    """A server that listens on a port of its own."""

    app: Starlette
    http: httpx.AsyncClient
    port: int
    server: Server

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    @asynccontextmanager
    async def socket(
        self, init: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator["Socket"]:
        """A client whose connection is acknowledged; `init` is what it says of itself."""
        # With a limit it would stop reading, and so not see the answer to its own good-bye.
        options = {"max_queue": None, "subprotocols": [PROTOCOL], "compression": None, **options}
        async with connect(self.address, **options) as connection:
            client = Socket(connection)
            await client.say(type="connection_init", payload=init)
            assert (await client.hear())["type"] == "connection_ack"
            yield client


@dataclass
class Socket:
    """A client on a WebSocket."""

    connection: ClientConnection
    unread: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def stop_reading(self) -> None:
        """Takes nothing more that comes."""
        self.connection.transport.pause_reading()

    def read_again(self) -> None:
        self.connection.transport.resume_reading()

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def subscribe(self, query: str, *, id: str = "1", **variables: Any) -> None:
        await self.say(
            type="subscribe", id=id, payload={"query": query, "variables": variables or None}
        )

    async def next(self, id: str = "1") -> dict[str, Any]:
        """The next message of that operation."""
        while not self.unread.get(id):
            message = await self.hear()
            self.unread.setdefault(message["id"], []).append(message)
        return self.unread[id].pop(0)

    async def change(self, id: str = "1") -> Any:
        """What the next change of the subscription brings."""
        message = await self.next(id)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        ((_, changed),) = message["payload"]["data"].items()
        return changed

    async def changes(self, count: int, id: str = "1") -> list[Any]:
        return [await self.change(id) for _ in range(count)]

    async def error(self, id: str = "1") -> dict[str, Any]:
        """The only error that ends the operation."""
        message = await self.next(id)
        assert message["type"] == "error", message
        (error,) = message["payload"]
        assert isinstance(error, dict)
        return error


def small_buffers(socket: socket.socket) -> None:
    """Has the operating system take little, so that who does not read is found out soon."""
    socket.setsockopt(SOL_SOCKET, SO_SNDBUF, 8_192)
    socket.setsockopt(SOL_SOCKET, SO_RCVBUF, 8_192)


@asynccontextmanager
async def served(
    database_url: str,
    redis_url: str,
    *,
    port: int = 0,
    small: bool = False,
    configuration: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> AsyncIterator[Served]:
    """A server in this process, which ends as one that is told to. It keeps no answers, unless told
    how much of them."""
    made = app(database_url, redis_url, **{"kept_answers": 0, **options})
    listening = socket.create_server(("127.0.0.1", port))
    if small:
        small_buffers(listening)
    port = listening.getsockname()[1]
    server = Server(configured(made, "127.0.0.1", port, **configuration))
    task = asyncio.create_task(server._serve([listening]))

    async def started() -> bool:
        assert not task.done(), task.exception()
        return server.started

    await until(started)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            yield Served(made, http, port, server)
    finally:
        server.should_exit = True
        await task
