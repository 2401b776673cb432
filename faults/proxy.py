"""A proxy between the store and PostgreSQL that cuts the line around an append, when told to."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# What a client asks before it says who it is: SSLRequest and GSSENCRequest.
CIPHERS = (80877103, 80877104)


class Cut(Enum):
    """Where the line is cut while an append goes over it."""

    BEFORE = auto()
    """The append never arrives."""
    WITHIN = auto()
    """Half of it arrives."""
    AFTER = auto()
    """All of it arrives, and PostgreSQL sees at once that nobody waits for the answer."""
    UNAWARE = auto()
    """All of it arrives, and PostgreSQL does not see that nobody waits."""
    ANSWER = auto()
    """It is committed, and the answer is lost on its way."""


class Proxy:
    """Forwards everything. Before each append, or whatever holds one of the words `at`, it asks
    `decide` whether to cut, and how. It listens on a socket in `folder`, or with `tcp` on a port of
    this machine, where a line that is cut is reset."""

    def __init__(
        self,
        url: str,
        folder: Path,
        decide: Callable[[], Cut | None],
        at: tuple[bytes, ...] = (b"event_append(",),
        *,
        tcp: bool = False,
    ) -> None:
        server = urlsplit(url)
        asked = parse_qs(server.query)
        self._host = asked["host"][0] if "host" in asked else server.hostname or "localhost"
        self._port = int(asked["port"][0] if "port" in asked else server.port or 5432)
        self._socket = f"{folder}/.s.PGSQL.5432"
        self._tcp = tcp
        self._decide = decide
        self._at = at
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[asyncio.StreamWriter] = []
        self._clients: list[asyncio.StreamWriter] = []
        # Those whose next answer is the last thing that happens on them.
        self._unanswered: set[asyncio.StreamWriter] = set()
        self._who = f"postgresql://{server.netloc.rpartition('@')[0]}@"
        self._database = server.path
        self.url = f"{self._who}{self._database}?host={folder}&port=5432"
        self.cuts = 0

    async def __aenter__(self) -> "Proxy":
        if self._tcp:
            self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = self._listening.sockets[0].getsockname()[1]
            self.url = f"{self._who}127.0.0.1:{port}{self._database}"
        else:
            self._listening = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._open:
            writer.transport.abort()

    def cut_all(self) -> int:
        """Cuts every line there is, whatever goes over it; says how many."""
        cut = 0
        for writer in self._clients:
            if not writer.is_closing():
                _reset(writer)
                cut += 1
        self._clients.clear()
        return cut

    def announce_the_end(self) -> None:
        """Says what PostgreSQL says to idle sessions as it shuts down, but not that the line is
        closed: that comes a moment later, and much can be asked in between."""
        fields = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to a test\0\0"
        for writer in self._clients:
            writer.write(b"E" + (4 + len(fields)).to_bytes(4) + fields)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self._host.startswith("/"):
                path = f"{self._host}/.s.PGSQL.{self._port}"
                from_server, to_server = await asyncio.open_unix_connection(path)
            else:
                from_server, to_server = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._open += [writer, to_server]
        self._clients.append(writer)
        back = asyncio.create_task(self._answer(from_server, writer))
        self._tasks.add(back)
        back.add_done_callback(self._tasks.discard)
        cut = None
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            cut = await self._forward(reader, to_server, writer)
        if cut is Cut.ANSWER:
            await asyncio.wait([back])
        back.cancel()
        _reset(writer)
        if cut is not Cut.UNAWARE:
            to_server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while (said := await reader.read(65536)) and writer not in self._unanswered:
                writer.write(said)
                await writer.drain()
        _reset(writer)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> Cut:
        """Forwards messages until one is cut off. Raises: IncompleteReadError at the end."""
        asks_for_cipher = True
        while asks_for_cipher:
            size = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(size) - 4)
            to_server.write(size + body)
            asks_for_cipher = int.from_bytes(body[:4]) in CIPHERS
        appends: set[bytes] = set()
        held, appending = b"", False
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            held += head + body
            kind = head[:1]
            if kind == b"P":
                name, query, _ = body.split(b"\0", 2)
                if any(words in query for words in self._at):
                    appends.add(name)
            elif kind == b"B":
                appending = body.split(b"\0", 2)[1] in appends
            elif kind == b"Q":  # whole in one message
                appending = any(words in body for words in self._at)
            if appending and kind in (b"S", b"Q"):
                appending = False
                if cut := self._decide():
                    self.cuts += 1
                    if cut is Cut.ANSWER:
                        self._unanswered.add(client)
                    part = {Cut.BEFORE: 0, Cut.WITHIN: len(held) // 2}.get(cut, len(held))
                    to_server.write(held[:part])
                    await to_server.drain()
                    return cut
            if not appending:
                to_server.write(held)
                await to_server.drain()
                held = b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a line at once, as a peer that has vanished does."""
    line: socket.socket | None = writer.get_extra_info("socket")
    if line is not None and line.family == socket.AF_INET and not writer.is_closing():
        with suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
