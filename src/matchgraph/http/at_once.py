"""Answers in the very callback in which a request has come whole.

A task, a scope and messages back and forth cost more than all else where an answer is known
(http/front.py). So requests that may be answered at once are kept from the application until they
are there; those that are not are begun then, and nobody can tell the difference.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from matchgraph.http.deadlines import Deadlines, HastyHttp

# Gives head and body of the answer to a POST with these headers and that body, if it can.
AtOnce = Callable[[Sequence[tuple[bytes, bytes]], bytes], tuple[bytes, bytes] | None]
PATH = b"/graphql"
# Units: bytes. A document and its variables take a few thousand.
LONGEST = 100_000
# What is left to the application, whatever else is said.
OTHERWISE = frozenset({b"transfer-encoding", b"upgrade", b"expect"})

log = logging.getLogger(__name__)


class QuickHttp(HastyHttp):
    """HTTP that asks for an answer first. See `quick` for how one is made."""

    at_once: AtOnce

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # What has come of a request that is not begun.
        self._held: list[bytes] | None = None

    def on_headers_complete(self) -> None:
        """Begins the request, unless it may be answered at once."""
        if self._may_be_known():
            self._held = []
            self.await_body()
        else:
            super().on_headers_complete()

    def _may_be_known(self) -> bool:
        if (
            self.url != PATH
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
            or self.flow.write_paused
            or self.transport.is_closing()
            # An earlier one is not answered yet.
            or self.pipeline
            or (self.cycle is not None and not self.cycle.response_complete)
        ):
            return False
        length = -1
        for name, value in self.headers:
            if name == b"content-length" and value.isdigit():
                length = int(value)
            elif name in OTHERWISE:
                return False
        return 0 <= length <= LONGEST

    def on_body(self, body: bytes) -> None:
        """Takes what comes."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Answers at once, or begins what was held back."""
        if self._held is not None:
            answer = self._answer(b"".join(self._held))
            if answer is not None:
                self._held = None
                self._send(*answer)
                return
            self._begin()
        super().on_message_complete()

    def _answer(self, body: bytes) -> tuple[bytes, bytes] | None:
        try:
            return type(self).at_once(self.headers, body)
        except Exception:
            # The application comes to the same and says it, or knows better.
            log.exception("an answer that was to be given at once failed")
            return None

    def _send(self, head: bytes, body: bytes) -> None:
        lines = [STATUS_LINE[200]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (head, b"\r\n", body)
        self.is_whole()
        self.transport.write(b"".join(lines))
        self.on_response_complete()

    def _begin(self) -> None:
        """Begins the request that was held back."""
        held, self._held = self._held, None
        if held is not None:
            super().on_headers_complete()
            for part in held:
                super().on_body(part)

    def shutdown(self) -> None:
        """Ends, once a request that has begun to come is answered."""
        self._begin()
        super().shutdown()


def quick(deadlines: Deadlines, at_once: AtOnce) -> type[QuickHttp]:
    """HTTP with these deadlines that asks there first."""
    return type(
        "QuickHttp", (QuickHttp,), {"deadlines": deadlines, "at_once": staticmethod(at_once)}
    )
