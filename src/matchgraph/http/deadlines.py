"""uvicorn's protocols, which wait no longer than this for what a client sends or takes, and keep no
more of it.

As of 0.54, uvicorn gives a client all the time in the world for its request, and memory for headers
and answers to pings without end.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Units: bytes, of a request's line and headers, and of all of it, chunks and trailers included.
LARGEST_HEAD, LARGEST_REQUEST = 65_536, 8_000_000
# Units: bytes that are thrown away of what a client sends behind its answer, so that it gets to
# read that, and seconds for which this goes on.
MOST_THROWN_AWAY, LINGERING = 1_000_000, 2.0
# Units: bytes of answers to pings that a client has not taken.
MOST_UNREAD = 65_536


@dataclass(frozen=True)
class Deadlines:
    """Units: seconds for a request's headers, also for the first to begin; for its body; between
    two requests; and for a client to take the rest of an answer."""

    headers: float = 10.0
    body: float = 30.0
    idle: int = 5
    last: float = 30.0


class HastyHttp(HttpToolsProtocol):
    """HTTP with deadlines."""

    deadlines = Deadlines()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._clock: TimerHandle | None = None
        self._received = 0
        self._in_head = self._is_whole = True
        self._lingers = self._reads = False
        # For what is to be waited when all that has come is read.
        self._due: tuple[float, Callable[[float], None]] | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Waits for the first request."""
        super().connection_made(transport)
        self._wait(self.deadlines.headers, self._headers_are_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, within bounds."""
        self._received += len(data)
        if self._lingers:
            if self._received > MOST_THROWN_AWAY:
                self.transport.abort()
            return
        self._reads = True
        super().data_received(data)
        self._reads = False
        if self._due is not None:
            self._wait(*self._due)
        if self._in_head and self._received > LARGEST_HEAD:
            self._refuse(431)
        elif not self._is_whole and self._received > LARGEST_REQUEST:
            self._refuse(413)

    def handle_websocket_upgrade(self) -> None:
        """Leaves the connection to the protocol of WebSockets."""
        self._stop_waiting()
        self._in_head, self._is_whole = False, True
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._is_whole, self._received = True, False, 0
        if self._clock is None and self._due is None:
            self._wait(self.deadlines.headers, self._headers_are_late)

    def on_headers_complete(self) -> None:
        """From here on its body is awaited."""
        self.await_body()
        super().on_headers_complete()

    def await_body(self) -> None:
        """Waits for the rest of a request."""
        self._in_head = False
        self._wait(self.deadlines.body, self._body_is_late)

    def on_message_complete(self) -> None:
        """A request is there."""
        self.is_whole()
        super().on_message_complete()

    def is_whole(self) -> None:
        """Waits for nothing more of a request."""
        self._is_whole = True
        self._stop_waiting()

    def on_response_complete(self) -> None:
        """An answer was sent; the client gets some time to take it, and not to send the rest of
        what was refused."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later(self.deadlines.last)
        elif self.cycle is not None and self.cycle.response_complete and self.cycle.more_body:
            # To close at once would make the client's system throw the answer away.
            self._lingers, self._received = True, 0
            self._stop_waiting()
            self._unset_keepalive_if_required()
            self.transport.write_eof()
            self._abort_later(LINGERING)

    def timeout_keep_alive_handler(self) -> None:
        """Ends the connection, also if the last answer was never read."""
        super().timeout_keep_alive_handler()
        self._abort_later(self.deadlines.last)

    def _abort_later(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.transport.abort)

    def _wait(self, seconds: float, late: Callable[[float], None]) -> None:
        self._stop_waiting()
        if self._reads:
            # Most requests are whole at once, and a clock costs as much as reading one.
            self._due = seconds, late
            return
        self._clock = self.loop.call_later(seconds, self._is_late, seconds, late)

    def _stop_waiting(self) -> None:
        self._due = None
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _is_late(self, seconds: float, late: Callable[[float], None]) -> None:
        self._clock = None
        if self.flow.read_paused:
            # It is we who do not read, as an earlier request is not answered yet.
            self._wait(seconds, late)
        elif not self.transport.is_closing():
            late(seconds)

    def _headers_are_late(self, seconds: float) -> None:
        if self._is_whole:  # nothing has begun
            self.transport.close()
        else:
            self._refuse(408)

    def _body_is_late(self, seconds: float) -> None:
        if self.cycle is not None and not self.cycle.response_started:
            # Whoever waits for the rest is told that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answers in place of the application, and ends the connection."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and self.cycle.response_started
        if not answering or self.cycle.response_complete:
            head = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head)
        self.transport.close()
        self._abort_later(LINGERING)


class HastyWebSocket(WebSocketsSansIOProtocol):
    """WebSockets that do not answer pings of clients that read no answers."""

    def handle_ping(self) -> None:
        """Answers, or ends the connection."""
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()
        else:
            super().handle_ping()
