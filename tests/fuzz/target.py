"""The program as it is served, over a catalog of its own, and what is sent to it."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from graphql import GraphQLSchema, build_schema
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket
from websockets.typing import Subprotocol

from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import open_store
from tests.conftest import project
from tests.eventstore.histories import rich
from tests.fuzz.judging import Judge, Wrong
from tests.fuzz.operations import Asked
from tests.fuzz.values import Known
from tests.projections.tables import append
from tests.upgrades.trees import ROOT, Process, environment, started

JSON = {"content-type": "application/json"}
# Units: seconds. Whoever waits longer than that takes it for hung.
DEADLINE = 20.0
# Where nothing changes, a subscription has nothing to tell.
SOON = 0.5
# Units: characters; what is longer is sent as a body.
LONGEST_ADDRESS = 10_000
PROTOCOL = Subprotocol("graphql-transport-ws")


class Target:
    """A server that is asked, and all that was learned of it."""

    def __init__(self, served: Process, slugs: list[str]) -> None:
        self.schema: GraphQLSchema = build_schema((ROOT / "schema.graphql").read_text())
        self.known = Known(slugs)
        self.judge = Judge(self.schema)
        self.port = served.port
        self._served = served
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{served.port}", timeout=DEADLINE, headers=JSON
        )
        self.known.head = served.head()

    def ask(self, asked: Asked) -> None:
        """Sends the operation and judges the answer. Raises: Wrong."""
        answer = self.judge.response(*self._post(asked.body()), asked.document)
        self.known.learn(answer)

    def post(self, body: bytes, headers: dict[str, str]) -> None:
        """Sends what may be anything. Raises: Wrong."""
        self.judge.response(*self._post(body, headers), None)

    def _post(self, body: bytes, headers: dict[str, str] = JSON) -> tuple[int, bytes]:
        try:
            found = self._http.post("/graphql", content=body, headers=headers)
        except httpx.TimeoutException as reason:
            raise Wrong(f"no answer within {DEADLINE:g} s") from reason
        return found.status_code, found.content

    def raw(self, sent: bytes) -> None:
        """Sends bytes over a connection of their own, and judges what comes back before they can
        be over. Raises: Wrong."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as line:
            said = b""
            try:
                line.sendall(sent)
                line.shutdown(socket.SHUT_WR)
                while some := line.recv(65536):
                    said += some
            except TimeoutError as reason:
                raise Wrong(f"no end within {DEADLINE:g} s") from reason
            except OSError:
                # Sent away while it was still talking.
                pass
        self.judge.text(said.decode(errors="replace"))
        if said.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")):
            raise Wrong(f"{said[:500]!r}")

    def follow(self, asked: Asked) -> None:
        """Sends the operation over a WebSocket; judges what comes back first, if it comes soon."""
        said = {"id": "1", "type": "subscribe", "payload": json.loads(asked.body())}
        with self._line() as line, self._sent_away(asked):
            line.send(json.dumps(said))
            line.send('{"type": "ping"}')
            heard = list(self._until_pong(line))
            if not heard:
                with suppress(TimeoutError):
                    heard.append(json.loads(line.recv(timeout=SOON)))
            for message in heard:
                self.judge.text(json.dumps(message))
                if message["type"] == "next":
                    self.judge.answer(message["payload"], asked.document)
                    self.known.learn(message["payload"])
                elif message["type"] == "error":
                    self.judge.errors(message["payload"])

    def stream(self, asked: Asked, headers: dict[str, str], *, by_get: bool = False) -> None:
        """Sends the operation and takes events for an answer, over a connection of its own. Raises:
        Wrong."""
        if by_get and len(asked.document) < LONGEST_ADDRESS:
            said = {"query": asked.document, "variables": json.dumps(asked.variables)}
            self._stream("GET", f"/graphql?{urlencode(said)}", b"", headers, asked)
        else:
            self._stream("POST", "/graphql", asked.body(), headers, asked)

    def stream_of(self, body: bytes, headers: dict[str, str]) -> None:
        """The same with a body that may be anything. Raises: Wrong."""
        self._stream("POST", "/graphql", body, headers, None)

    def _stream(
        self, method: str, path: str, body: bytes, headers: dict[str, str], asked: Asked | None
    ) -> None:
        said = {name: value.encode("utf-8", "replace") for name, value in headers.items()}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as line:
            try:
                line.request(method, path, body, {**JSON, **said})
                connection, answer = line.sock, line.getresponse()
                if not answer.getheader("content-type", "").startswith("text/event-stream"):
                    document = None if asked is None else asked.document
                    self.judge.response(answer.status, answer.read(), document)
                    return
            except TimeoutError as reason:
                raise Wrong(f"no answer within {DEADLINE:g} s") from reason
            if answer.status >= 500:
                raise Wrong(f"{answer.status} as an event stream")
            # Where nothing changes, a subscription goes on without a word; all else ends.
            ends = asked is not None and asked.kind != "subscription"
            connection.settimeout(DEADLINE if ends else SOON)
            events, over = b"", False
            try:
                while some := answer.read1(65_536):
                    events += some
                over = True
            except TimeoutError as reason:
                if ends:
                    raise Wrong(
                        f"no end within {DEADLINE:g} s, after {events[-500:]!r}"
                    ) from reason
        self._events(events.decode(), None if asked is None else asked.document, over=over)

    def _events(self, said: str, document: str | None, *, over: bool) -> None:
        self.judge.text(said)
        *blocks, rest = said.split("\n\n")
        completed = False
        for block in blocks:
            if block.startswith(":"):  # a sign of life
                continue
            event, _, data = block.partition("\n")
            if completed or event not in ("event: next", "event: complete"):
                raise Wrong(f"no event of graphql-sse: {block[:500]!r}")
            completed = event == "event: complete"
            if not completed:
                answer = json.loads(data.removeprefix("data: "))
                self.judge.answer(answer, document)
                self.known.learn(answer)
        if over and (rest or not completed):
            raise Wrong(f"it ended in the middle: {said[-500:]!r}")

    def messages(self, sent: list[str | bytes]) -> None:
        """Sends what may be anything as messages; who says nonsense may be sent away, by a code."""
        with self._line() as line, self._sent_away(sent):
            for one in sent:
                line.send(one)
            line.send('{"type": "ping"}')
            for message in self._until_pong(line):
                self.judge.text(json.dumps(message, ensure_ascii=False))

    @contextmanager
    def _sent_away(self, sent: object) -> Iterator[None]:
        """Lets the server end the socket for nonsense, such as a number that JSON does not have, in
        plain words. Raises: Wrong."""
        try:
            yield
        except ConnectionClosed as reason:
            code = reason.rcvd.code if reason.rcvd else None
            if code is None or code == 1011:
                raise Wrong(f"the socket ended with {code} after {sent}") from reason
            self.judge.text(reason.rcvd.reason if reason.rcvd else "")

    def _until_pong(self, line: Any) -> Iterator[Any]:
        while True:
            try:
                message = json.loads(line.recv(timeout=DEADLINE))
            except TimeoutError as reason:
                raise Wrong(f"no pong within {DEADLINE:g} s") from reason
            if message["type"] == "pong":
                return
            yield message

    @contextmanager
    def _line(self) -> Iterator[Any]:
        address = f"ws://127.0.0.1:{self.port}/graphql"
        with websocket(address, subprotocols=[PROTOCOL], open_timeout=DEADLINE) as line:
            line.send('{"type": "connection_init"}')
            assert json.loads(line.recv(timeout=DEADLINE)) == {"type": "connection_ack"}
            yield line

    def is_whole(self) -> None:
        """Still serves, and has said nothing of a bug in its log. Raises: Wrong."""
        found = self._served.get("/readyz")
        said = "".join(self._served.said)
        if found["problems"] or "Traceback" in said:
            # What went before it may be what it is about.
            begins = max(0, said.find("Traceback") - 1_000)
            raise Wrong(f"{found['problems']}\n{said[begins:][:8_000]}")


@contextmanager
def serving(url: str, redis_url: str, folder: Path) -> Iterator[Target]:
    """A server over a catalog in which most can be asked for."""
    slugs = asyncio.run(_furnish(url))
    said = environment(
        DATABASE_URL=url,
        REDIS_URL=redis_url,
        MATCHGRAPH_DATA=str(folder),
        MATCHGRAPH_EMBEDDING="off",
    )
    with started(said, "serve", "--no-catalogs") as served:
        yield Target(served.wait(), slugs)


async def _furnish(url: str) -> list[str]:
    async with open_store(url) as store:
        await append(store, rich(30))
        await project(url, store)
    db = await connect(url, "test")
    rows = await db.fetch("SELECT slug FROM artifact_listing ORDER BY slug LIMIT 30")
    await db.close()
    return [row["slug"] for row in rows]
