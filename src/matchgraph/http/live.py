"""Subscriptions as they go out: over WebSocket (graphql-transport-ws) and SSE (graphql-sse).

Most messages are finished bytes that many clients get alike, so each is written to a client's
connection at once, without a task or a queue of its own. Only what a client does not take waits for
it, up to a limit.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
from cross_web import AsyncHTTPRequestAdapter
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.http import GraphQLRequestData
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.streaming import SSETransport
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from matchgraph.domain.role import Role
from matchgraph.domain.text import UNPRINTABLE
from matchgraph.eventstore.errors import Unavailable
from matchgraph.graphql.context import Context, Course
from matchgraph.graphql.limits import RATE_LIMITED, Limited, pay_alone
from matchgraph.graphql.observe import SSE
from matchgraph.graphql.schema import CatalogSchema
from matchgraph.graphql.sharing import (
    INTERNAL,
    WENT_WRONG,
    Asked,
    Failed,
    Form,
    Member,
    Plan,
    Sharing,
    plan,
    written,
)
from matchgraph.graphql.subscription import slow_subscriber
from matchgraph.http.access import CALLER, NOBODY, Caller, Unauthenticated, given, said_at_init
from matchgraph.http.budget import Budgets, refused
from matchgraph.http.clients import FORBIDDEN, TRY_AGAIN_LATER, Clients
from matchgraph.http.documents import Documents
from matchgraph.http.observe import request_id_of
from matchgraph.http.request import EVENTS, BadRequest, NotRun, preferred, read_payload
from matchgraph.http.sockets import Seats, TooManySockets
from matchgraph.http.view import HttpView, is_request_error
from matchgraph.observe.metrics import SILENT, SLOW, Metrics
from matchgraph.observe.observer import Observer
from matchgraph.observe.operation import CURRENT, SUBSCRIPTION
from matchgraph.observe.operation import Operation as Observed
from matchgraph.projections.changes import Mark

# So many changes wait for one client at most.
MOST_WAITING = 1_000
# Units: bytes that the operating system has not taken yet; from there on uvicorn holds back, too.
MOST_BUFFERED = 65_536
# Units: seconds in which a client takes something, and in which it takes that it is cut off.
PATIENCE = 30.0
LAST_PATIENCE = 5.0
# Units: seconds between signs of life where nothing changes.
HEARTBEAT = 12.0
# Units: bytes of reason that a close frame holds.
LONGEST_REASON = 123
# So many operations one client on a WebSocket has at a time.
MOST_OPERATIONS = 100
FULL = GraphQLError(
    f"{MOST_OPERATIONS} operations run on this WebSocket already; complete some.",
    extensions={"code": "TOO_MANY_SUBSCRIPTIONS"},
)
# Where the application leaves what the server gave it, before anything is wrapped around that.
SEND = "matchgraph.send"

Errors = Sequence[Mapping[str, Any]]


def _codes(errors: Errors) -> list[str]:
    return [str(error.get("extensions", {}).get("code")) for error in errors]


# What goes to one client.


class _Line:
    """What goes to one client on a WebSocket, in order; by way of ASGI, so that no message goes
    out at once."""

    def __init__(self, socket: WebSocket, operations: "Operations") -> None:
        self._socket = socket
        self._operations = operations
        self._metrics: Metrics = socket.app.state.observer.metrics
        # Not a deque, which has room for 64 from the start: most lines never have anything here.
        self._waiting: list[tuple[Member, Mark | None, bytes]] = []
        self._pump: asyncio.Task[None] | None = None
        self._deadline: asyncio.Timeout | None = None

    def form(self, id: str) -> Form:
        """How messages of the operation with that id are written."""
        return Form(_next, msgspec.json.encode(id))

    def _last(self, member: Member, kind: str, payload: bytes | None) -> bytes:
        """The message that ends a member: `error` with its errors, or `complete`."""
        return _message(member.form.id, kind, payload)

    def _write(self, message: bytes) -> bool:
        """Sends it now and says so, or does nothing."""
        return False

    async def _put(self, message: bytes) -> None:
        """Sends it as soon as the client takes it, or not at all when the client is gone."""
        with suppress(OSError, RuntimeError):  # which say that it is gone
            await self._socket.send_text(message.decode())

    def abort(self) -> None:
        """Ends the connection at once, if that can be; else the server's own pings will."""

    def hang_up(self) -> None:
        """Ends the connection if its client does not take what it is sent, so that nobody waits
        for it; the server says good-bye to all others."""
        if self._pump is not None:
            self.abort()

    def send(self, member: Member, mark: Mark, message: bytes) -> None:
        """Sends a change, now or as soon as the client takes it; a member is cut off when too
        much waits already."""
        if self._pump is None and self._write(message):
            member.at = mark
        elif len(self._waiting) < MOST_WAITING:
            self._wait(member, mark, message)
        else:
            self._cut_off(member)

    async def deliver(self, member: Member, mark: Mark, message: bytes) -> None:
        """Sends a change once the client has taken what came before. Raises: TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while self._pump is not None:
                await asyncio.wait([self._pump])
            await self._put(message)
        member.at = mark
        # Nothing above waits as long as the client takes everything.
        await asyncio.sleep(0)

    def fail(self, member: Member, errors: Errors) -> None:
        """Ends the member with these errors, behind all that was sent before."""
        self._end(member, self._last(member, "error", written(errors)), errors)

    def complete(self, member: Member) -> None:
        """Ends the member, behind all that was sent before."""
        self._end(member, self._last(member, "complete", None))

    def close(self) -> None:
        """Sends nothing more."""
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()

    def _end(self, member: Member, message: bytes, errors: Errors = ()) -> None:
        id: str = msgspec.json.decode(member.form.id)
        operation = self._operations.get(id)
        if isinstance(operation, _Followed) and operation.member is member:
            del self._operations[id]
            operation.end(errors)
        if self._pump is not None or not self._write(message):
            self._wait(member, None, message)

    def _cut_off(self, member: Member) -> None:
        member.leave()
        self._metrics.drop("websocket", SLOW)
        self._waiting = [one for one in self._waiting if one[0] is not member]
        self.fail(member, [slow_subscriber(member.feed, member.at, MOST_WAITING)])
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + LAST_PATIENCE)

    def _wait(self, member: Member, mark: Mark | None, message: bytes) -> None:
        self._waiting.append((member, mark, message))
        if self._pump is None:
            self._pump = asyncio.create_task(self._drain(), name="slow client")

    async def _drain(self) -> None:
        try:
            while self._waiting:
                message = self._taken()
                async with asyncio.timeout(PATIENCE) as self._deadline:
                    await self._put(message)
        except TimeoutError:
            self._metrics.drop("websocket", SILENT)
            self._waiting.clear()
            self.abort()
        finally:
            self._pump = self._deadline = None

    def _taken(self) -> bytes:
        """The next message; from here on it counts as sent, as nothing can come before it."""
        member, mark, message = self._waiting.pop(0)
        if mark is not None:
            member.at = mark
        return message


def _message(id: bytes, kind: str, payload: bytes | None) -> bytes:
    start = b'{"id":' + id + b',"type":"' + kind.encode() + b'"'
    return start + (b"}" if payload is None else b',"payload":' + payload + b"}")


def _next(id: bytes, payload: bytes) -> bytes:
    return _message(id, "next", payload)


def _framed(message: bytes) -> bytes:
    """The message as one WebSocket frame of a server (RFC 6455, 5.2): final, text, unmasked."""
    size = len(message)
    if size < 126:
        return bytes((0x81, size)) + message
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2) + message
    return b"\x81\x7f" + size.to_bytes(8) + message


def _framed_next(id: bytes, payload: bytes) -> bytes:
    return _framed(_next(id, payload))


class _FrameLine(_Line):
    """To a client on a WebSocket of uvicorn's, straight to its transport: a finished frame is
    written for a third of what a message through ASGI costs."""

    def __init__(
        self,
        socket: WebSocket,
        operations: "Operations",
        protocol: WebSocketsSansIOProtocol,
    ) -> None:
        super().__init__(socket, operations)
        self._protocol = protocol
        self._transport = protocol.transport

    def form(self, id: str) -> Form:
        return Form(_framed_next, msgspec.json.encode(id))

    def _last(self, member: Member, kind: str, payload: bytes | None) -> bytes:
        return _framed(super()._last(member, kind, payload))

    def send(self, member: Member, mark: Mark, message: bytes) -> None:
        """Sends a change, as above; this is done for every client and change, so it takes no
        step more than it must."""
        transport = self._transport
        if (
            self._pump is None
            and transport.get_write_buffer_size() <= MOST_BUFFERED
            and not self._protocol.close_sent
        ):
            transport.write(message)
            member.at = mark
        else:
            super().send(member, mark, message)

    def _write(self, message: bytes) -> bool:
        if self._transport.get_write_buffer_size() > MOST_BUFFERED or not self._open():
            return False
        self._transport.write(message)
        return True

    async def _put(self, message: bytes) -> None:
        await self._protocol.writable.wait()
        if self._open():
            self._transport.write(message)

    def abort(self) -> None:
        self._transport.abort()

    def _open(self) -> bool:
        return self._protocol.conn.state is State.OPEN and not self._transport.is_closing()


def _line_to(socket: WebSocket, operations: "Operations") -> _Line:
    # Neither is a public interface, so whatever looks different is left to ASGI.
    protocol = getattr(socket.scope.get(SEND), "__self__", None)
    if isinstance(protocol, WebSocketsSansIOProtocol) and not protocol.conn.extensions:
        return _FrameLine(socket, operations, protocol)
    return _Line(socket, operations)


# WebSocket.


Operations = dict[str, Operation[Context, None]]


class _Followed(Operation[Context, None]):
    """A subscription that may share its execution with others."""

    __slots__ = ("_observed", "_observer", "member")

    def __init__(self, handler: "SocketHandler", id: str, member: Member, name: str | None) -> None:
        super().__init__(handler, id, "", None, None)
        self.member = member
        self._observer, self._observed = handler.begin(name)

    def end(self, errors: Errors = ()) -> None:
        """It has ended, with these errors."""
        self._observed.codes = _codes(errors)
        self._observer.end(self._observed)


class SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """A client on a WebSocket: Strawberry's own handler, but that subscriptions are shared, each
    operation has a context of its own, and what is malformed is answered as the protocol says."""

    transport = "websocket"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._socket: WebSocket = self.websocket.ws  # type: ignore[attr-defined]
        self._sharing: Sharing = self._socket.app.state.sharing
        self._documents: Documents = self._socket.app.state.documents
        self._line = _line_to(self._socket, self.operations)
        self._caller = NOBODY
        self._leaving: asyncio.Task[None] | None = None
        self._seats = ExitStack()

    async def handle_message(self, message: Any) -> None:
        """Closes the socket over what is no message of the protocol."""
        if (reason := _malformed(message)) is not None:
            await self.handle_invalid_message(reason)
            return
        if message.get("payload", ...) is None:
            del message["payload"]
        await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        """Acknowledges the connection, or closes it over what lets nobody in."""
        if not self.connection_init_received and not await self._enter(message.get("payload")):
            return
        await self._sharing.start()
        await super().handle_connection_init(message)
        if self.connection_acknowledged:
            self.connection_init_timeout_task = None

    async def _enter(self, payload: object) -> bool:
        """Finds out who it is by what was given now, else by what came with the handshake; closes
        the socket if that lets nobody in."""
        state = self._socket.app.state
        try:
            said = said_at_init(payload)
            if said is None:
                said = given(self._socket.scope)
            self._caller = await state.doors.admit(said)
            self._seats.enter_context(state.seats.by_key(self._caller))
        except Unauthenticated as reason:
            await self.websocket.close(FORBIDDEN, _cut(str(reason)))
            return False
        except (Unavailable, TooManySockets) as reason:
            await self.websocket.close(TRY_AGAIN_LATER, _cut(f"{reason}; come back later."))
            return False
        self._socket.scope[CALLER] = self._caller
        state.clients.is_by(self, self._caller)
        return True

    async def handle_invalid_message(self, error_message: str) -> None:
        """Closes the socket with 4400."""
        await super().handle_invalid_message(_cut(error_message))

    async def handle_subscribe(self, message: Any) -> None:
        """Starts an operation; a subscription without a task of its own, where that will do."""
        payload, id = message["payload"], message["id"]
        if not self._can_begin(id):
            # This says why.
            await super().handle_subscribe(message)
            return
        sent = read_payload(payload)
        try:
            query = await self._documents.find(sent)
        except NotRun as reason:
            refused: Any = {"id": id, "type": "error", "payload": reason.errors}
            await self.send_message(refused)
            return
        asked = Asked(query, sent.operation_name, sent.variables or {}, self._caller.role)
        planned = plan(asked)
        if self._is_full(id):
            await self.send_message({"id": id, "type": "error", "payload": [FULL.formatted]})
            return
        if planned is None or not self._can_begin(id):
            payload.update(query=query, operationName=sent.operation_name)
            await super().handle_subscribe(message)
            return
        try:
            await charge_subscriber(self._socket, self.schema, asked)
        except Limited as reason:
            await self.send_message({"id": id, "type": "error", "payload": [reason.formatted]})
            return
        if not self.connection_acknowledged:  # it was expelled meanwhile
            return
        member = Member(self._line, self._line.form(id), planned.feed)
        self.operations[id] = operation = _Followed(self, id, member, planned.name)
        if not planned.resumes(asked):
            self._sharing.join(asked, planned, member)
        elif not self._sharing.rejoin(asked, planned, member):
            operation.task = asyncio.create_task(self._resume(operation, asked, planned))
            operation.task.add_done_callback(self._task_done)

    def begin(self, name: str | None) -> tuple[Observer, Observed]:
        """A subscription of this client begins; who is to be told when it ends."""
        observer: Observer = self._socket.app.state.observer
        said = self._socket.headers.get("x-request-id", "")
        operation = observer.begin(self.transport, request_id_of(said.encode("latin-1")))
        operation.kind, operation.name, operation.actor = SUBSCRIPTION, name, self._caller.actor
        return observer, operation

    def _can_begin(self, id: str) -> bool:
        return self.connection_acknowledged and id not in self.operations

    def _is_full(self, id: str) -> bool:
        return self._can_begin(id) and len(self.operations) >= MOST_OPERATIONS

    async def _resume(self, operation: _Followed, asked: Asked, planned: Plan) -> None:
        """Sends what comes before the others' changes, as fast as the client takes it."""
        member, line = operation.member, self._line
        try:
            async with aclosing(self._sharing.follow(asked, planned, member)) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, Failed):
                        line.fail(member, outcome.errors)
                        return
                    message = member.form.message(outcome.payload)
                    await line.deliver(member, outcome.mark, message)
        except TimeoutError:
            self._socket.app.state.observer.metrics.drop(self.transport, SILENT)
            line.abort()
            return
        except Exception as reason:
            await self.handle_task_exception(reason)
            line.fail(member, INTERNAL.errors)
            return
        operation.task = None
        if member.broadcast is None and self.operations.get(operation.id) is operation:
            line.complete(member)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """Carries out whatever is not shared."""
        context = await self.view.get_context(self._socket, self._socket)
        stream = await self.schema.stream(
            operation.query,
            variable_values=operation.variables,
            context_value=context,
            operation_name=operation.operation_name,
        )
        try:
            async with aclosing(stream) as results:
                await self._send_result_stream(operation, results)
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except WebSocketDisconnected:
            return
        except Exception as reason:
            await self.handle_task_exception(reason)
            await operation.send_initial_errors([WENT_WRONG])

    async def _send_result_stream(
        self, operation: Operation[Context, None], result_source: Any
    ) -> None:
        """Sends the results, or the errors for which there are none."""
        async for result in result_source:
            if is_request_error(result):
                await operation.send_initial_errors(result.errors)
                return
            await operation.send_next(result)

    async def cleanup_operation(self, operation_id: str) -> None:
        """Ends an operation that the client wants no more of."""
        operation = self.operations.pop(operation_id, None)
        if isinstance(operation, _Followed):
            operation.member.leave()
            operation.end()
        if operation is not None and operation.task is not None:
            operation.task.cancel()

    async def handle(self) -> None:
        """Answers the client until it is gone."""
        state = self._socket.app.state
        with self._seats, state.clients.connected(self):
            try:
                self._seats.enter_context(state.seats.by_address(self._socket.scope))
            except TooManySockets as reason:
                await self.websocket.close(TRY_AGAIN_LATER, _cut(f"{reason}; come back later."))
                return
            await super().handle()

    def hang_up(self) -> None:
        """Has the client come back elsewhere, as this process ends."""
        self._line.hang_up()

    def expel(self, close_code: int, code: str, message: str) -> None:
        """Ends all operations and the connection."""
        self._socket.app.state.observer.metrics.drop(self.transport, code.lower())
        self.connection_acknowledged = False
        self._leaving = asyncio.create_task(self._expel(close_code, message), name="expelled")

    async def _expel(self, close_code: int, reason: str) -> None:
        for id in tuple(self.operations):
            await self.cleanup_operation(id)
        self._line.close()
        try:
            async with asyncio.timeout(LAST_PATIENCE):
                await self.websocket.close(close_code, _cut(reason))
        except (TimeoutError, OSError, RuntimeError, WebSocketDisconnect):
            # It reads nothing, or is gone.
            self._line.abort()

    async def shutdown(self) -> None:
        """Ends everything, as the client is gone."""
        await super().shutdown()
        self._line.close()

    @staticmethod
    def _get_pre_execution_close_reason(error: object) -> None:
        """The socket is not closed over one operation that makes no sense."""


async def charge_subscriber(
    connection: Request | WebSocket, schema: BaseSchema, asked: Asked
) -> None:
    """Has whoever subscribes pay, also if others do the execution. Raises: Limited."""
    budgets: Budgets = connection.app.state.budgets
    purse = budgets.purse(connection.scope, connection.scope.get(CALLER, NOBODY))
    if purse is not None:
        assert isinstance(schema, CatalogSchema), "as the application makes it"
        await pay_alone(
            *(purse, schema._schema, schema.documents),
            *(asked.query, asked.operation_name, asked.variables),
        )


def _cut(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")


def _malformed(message: object) -> str | None:
    """What is wrong with the shape of the message; None: nothing."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message is an object with a `type`."
    payload = message.get("payload")
    if message["type"] in ("subscribe", "complete"):
        id = message.get("id")
        if not isinstance(id, str) or not id or UNPRINTABLE.search(id):
            return "`id` must be a text that is not empty."
    if message["type"] != "subscribe":
        return None if isinstance(payload, dict | None) else "`payload` must be an object."
    try:
        read_payload(payload)
    except BadRequest as reason:
        return f"`payload`: {reason}"
    return None


# SSE.


class EventStreams(SSETransport):
    """Server-sent events as graphql-sse asks for them. (Strawberry ends lines with CR LF, which
    some clients of GraphQL do not read.)"""

    def __init__(self, heartbeat_interval: float = HEARTBEAT) -> None:
        super().__init__(heartbeat_interval)

    def encode_event(self, event: str, data: str | None = None) -> str:
        """One event."""
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        """A sign of life."""
        return super().encode_comment(comment).replace("\r\n", "\n")


def _event(id: bytes, payload: bytes) -> bytes:
    return b"event: next\ndata: " + payload + b"\n\n"


def _failure(errors: Errors) -> bytes:
    return _event(b"", written({"errors": errors})) + COMPLETE


COMPLETE = b"event: complete\ndata: \n\n"
ALIVE = b": ping\n\n"


class _EventStream:
    """To a client that reads an event stream: the response takes what waits here."""

    transport = "sse"

    def __init__(self, scope: Scope) -> None:
        self._metrics: Metrics = scope["app"].state.observer.metrics
        self._operation = CURRENT.get()
        self._transport = getattr(getattr(scope.get(SEND), "__self__", None), "transport", None)
        self._waiting: deque[tuple[Mark | None, bytes]] = deque()
        self._news = asyncio.Event()
        self.ended = False
        self.deadline: asyncio.Timeout | None = None
        self.member: Member | None = None

    def send(self, member: Member, mark: Mark, message: bytes) -> None:
        """Sends a change as soon as the client takes it; the member is cut off when too much
        waits already."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((mark, message))
            self._news.set()
            return
        member.leave()
        self._metrics.drop(self.transport, SLOW)
        self._waiting.clear()
        self.fail(member, [slow_subscriber(member.feed, member.at, MOST_WAITING)])
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + LAST_PATIENCE)

    def fail(self, member: Member, errors: Errors) -> None:
        """Ends it with these errors, behind all that was sent before."""
        self.failed(errors)
        self._waiting.append((None, _failure(errors)))
        self.hang_up()

    def failed(self, errors: Errors) -> None:
        """Notes what it ends with."""
        if self._operation is not None:
            self._operation.codes = _codes(errors)

    def begins(self, name: str | None) -> None:
        """Notes what the operation is."""
        if self._operation is not None:
            self._operation.kind, self._operation.name = SUBSCRIPTION, name
            self._operation.transport = self.transport

    def complete(self, member: Member) -> None:
        """Ends it, behind all that was sent before."""
        self._waiting.append((None, COMPLETE))
        self.hang_up()

    def hang_up(self) -> None:
        """Ends it without a word, which clients take for a reason to come back."""
        self.ended = True
        self._news.set()

    def expel(self, close_code: int, code: str, message: str) -> None:
        """Ends it with that error, and without what waits."""
        assert self.member is not None, "whoever is connected follows something"
        self.member.leave()
        self._metrics.drop(self.transport, code.lower())
        self._waiting.clear()
        self.fail(self.member, [{"message": message, "extensions": {"code": code}}])

    def silent(self) -> None:
        """Ends the connection at once, as its client takes nothing."""
        self._metrics.drop(self.transport, SILENT)
        if self._transport is not None:
            self._transport.abort()

    async def messages(self, member: Member) -> AsyncGenerator[bytes, None]:
        """What is sent, as it comes."""
        while True:
            while self._waiting:
                mark, message = self._waiting.popleft()
                if mark is not None:
                    member.at = mark
                yield message
            if self.ended:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._news.wait()
            except TimeoutError:
                yield ALIVE


class EventResponse(StreamingResponse):
    """A subscription that may share its execution with others, as an event stream."""

    def __init__(self, scope: Scope, asked: Asked, planned: Plan) -> None:
        state = scope["app"].state
        self._sharing: Sharing = state.sharing
        self._clients: Clients = state.clients
        self._caller: Caller = scope[CALLER]
        self._stream = _EventStream(scope)
        self._stream.begins(planned.name)
        self._stream.member = member = Member(self._stream, Form(_event, b""), planned.feed)
        self._body = self._messages(asked, planned, member)
        super().__init__(self._body, headers=EventStreams.headers)

    async def stream_response(self, send: Send) -> None:
        """Sends it until either side ends it."""
        stream = self._stream
        with self._clients.connected(stream, self._caller):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._body) as messages:
                async for message in messages:
                    try:
                        async with asyncio.timeout(PATIENCE) as stream.deadline:
                            await _send(send, message, more=True)
                    except TimeoutError:
                        stream.silent()
                        # Whoever reads the request sees that its client is gone, and ends this.
                        await asyncio.sleep(LAST_PATIENCE)
                        return
            await _send(send, b"", more=False)

    async def _messages(
        self, asked: Asked, planned: Plan, member: Member
    ) -> AsyncGenerator[bytes, None]:
        stream = self._stream
        await self._sharing.start()
        try:
            if not planned.resumes(asked):
                self._sharing.join(asked, planned, member)
            elif not self._sharing.rejoin(asked, planned, member):
                async with aclosing(self._sharing.follow(asked, planned, member)) as outcomes:
                    async for outcome in outcomes:
                        if isinstance(outcome, Failed):
                            stream.failed(outcome.errors)
                            yield _failure(outcome.errors)
                            return
                        member.at = outcome.mark
                        await asyncio.sleep(0)
                        yield member.form.message(outcome.payload)
                        if stream.ended:
                            break
            async with aclosing(stream.messages(member)) as messages:
                async for message in messages:
                    yield message
        finally:
            member.leave()


class OwnStream(StreamingResponse):
    """An event stream that is shared with nobody."""

    transport = "sse"

    def __init__(
        self, scope: Scope, stream: AsyncIterator[str], headers: Mapping[str, str]
    ) -> None:
        super().__init__(stream, headers=headers)
        self._clients: Clients = scope["app"].state.clients
        self._caller: Caller = scope[CALLER]
        self._metrics: Metrics = scope["app"].state.observer.metrics
        self._deadline = asyncio.timeout(None)
        self._last = b""

    async def stream_response(self, send: Send) -> None:
        """Sends it until either side ends it."""
        with self._clients.connected(self, self._caller):
            try:
                async with self._deadline:
                    await super().stream_response(send)
            except TimeoutError:
                await _send(send, self._last, more=False)

    def hang_up(self) -> None:
        """Ends it without a word, which clients take for a reason to come back."""
        self._deadline.reschedule(asyncio.get_running_loop().time())

    def expel(self, close_code: int, code: str, message: str) -> None:
        """Ends it with that error."""
        self._metrics.drop(self.transport, code.lower())
        self._last = _failure([{"message": message, "extensions": {"code": code}}])
        self.hang_up()


class _Seated(Response):
    """A response that stays open, unless whoever asked has too many of them already."""

    def __init__(self, scope: Scope, response: Response) -> None:
        super().__init__()
        self._seats: Seats = scope["app"].state.seats
        self._caller: Caller = scope[CALLER]
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, or why not."""
        with ExitStack() as seats:
            response = self._response
            try:
                seats.enter_context(self._seats.by_address(scope))
                seats.enter_context(self._seats.by_key(self._caller))
            except TooManySockets as reason:
                response = refused(Limited(RATE_LIMITED, f"{reason}; close some."))
            await response(scope, receive, send)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


# Both, as parts of the view.


@dataclass(frozen=True)
class _Shared:
    """A subscription whose results come from elsewhere; to the view it is like a stream."""

    response: Response

    def __aiter__(self) -> "_Shared":
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


class LiveView(HttpView):
    """Strawberry's view of GraphQL, with subscriptions as they are sent here."""

    graphql_transport_ws_handler_class = SocketHandler
    stream_transport_classes_by_protocol = MappingProxyType({GRAPHQL_SSE_PROTOCOL: EventStreams})

    def not_run(self, scope: Scope, reason: NotRun) -> Response:
        """The answer to a request whose operation is not carried out, as events where these are
        rather wanted."""
        if preferred(Headers(scope=scope).get("accept", ""))[:1] != [EVENTS]:
            return super().not_run(scope, reason)
        return Response(_failure(reason.errors), headers=EventStreams.headers)

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Context,
        root_value: None,
        sub_response: Response,
    ) -> Any:
        """The result or, for an event stream, the results."""
        if not isinstance(request_data, list) and request_data.protocol == "sse":
            context.course = Course()
            context.transport = SSE
            asked = _asked(request_data, context.role)
            planned = plan(asked)
            if planned is not None:
                try:
                    await charge_subscriber(request, self.schema, asked)
                except Limited as reason:
                    return _Shared(refused(reason))
                return _Shared(EventResponse(request.scope, asked, planned))
        return await super().execute_operation(
            request, request_adapter, request_data, context, root_value, sub_response
        )

    async def _create_streaming_response(
        self, request: Request, result: Any, protocol: Any, sub_response: Response
    ) -> Response:
        if isinstance(result, _Shared):
            return _Seated(request.scope, result.response)
        return await super()._create_streaming_response(request, result, protocol, sub_response)

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        """The response that sends these events."""
        return _Seated(request.scope, OwnStream(request.scope, stream(), headers))


def _asked(data: GraphQLRequestData, role: Role) -> Asked:
    return Asked(data.query or "", data.operation_name, data.variables or {}, role)
