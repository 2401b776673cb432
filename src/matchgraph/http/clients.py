"""The connections that stay open: ended when this process ends, and when their callers are not let
in any more."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import REVOKED
from matchgraph.http.access import NOBODY, Caller, Doors, Unauthenticated

# Close codes of WebSockets: graphql-transport-ws has the first, RFC 6455's registry the second.
FORBIDDEN, TRY_AGAIN_LATER = 4403, 1013

log = logging.getLogger(__name__)


class Client(Protocol):
    """A connection that stays open. Nothing here waits."""

    transport: str

    def hang_up(self) -> None:
        """Ends it as this process ends."""

    def expel(self, close_code: int, code: str, message: str) -> None:
        """Ends it at once, and says why."""


class Clients:
    """The connections that stay open, each with its caller."""

    def __init__(self) -> None:
        self._clients: dict[Client, Caller] = {}

    @contextmanager
    def connected(self, client: Client, caller: Caller = NOBODY) -> Iterator[None]:
        """One of them, while the block runs."""
        self._clients[client] = caller
        try:
            yield
        finally:
            self._clients.pop(client, None)

    def is_by(self, client: Client, caller: Caller) -> None:
        """From now on that client's caller is known."""
        self._clients[client] = caller

    def by_transport(self) -> dict[str, int]:
        """How many there are."""
        found = {"websocket": 0, "sse": 0}
        for client in self._clients:
            found[client.transport] += 1
        return found

    def hang_up(self) -> None:
        """Has them come back elsewhere; this process is about to end."""
        for client in tuple(self._clients):
            client.hang_up()

    async def guard(self, doors: Doors, listener: Listener) -> None:
        """Ends, without end, the connections of those who are not let in any more: at once when a
        key is revoked, and in any case within `access.LATELY`."""
        async with listener.wakes(REVOKED) as wakes:
            while True:
                try:
                    await self._guard(doors)
                except Exception:
                    # Whatever it is, it must not leave the doors open.
                    log.exception("the guard stumbled and goes on")
                await wakes.wait()

    async def _guard(self, doors: Doors) -> None:
        with suppress(Unavailable):
            await doors.listen()
        bounded = {caller for caller in self._clients.values() if not caller.lasts}
        with suppress(Unavailable):
            await doors.renew(bounded)
        for caller in bounded:
            try:
                doors.check(caller)
            except Unauthenticated as reason:
                self._expel(caller, FORBIDDEN, "UNAUTHENTICATED", str(reason))
            except Unavailable as reason:
                self._expel(caller, TRY_AGAIN_LATER, "UNAVAILABLE", f"{reason}; come back later.")

    def _expel(self, caller: Caller, close_code: int, code: str, message: str) -> None:
        for client in [one for one, by in self._clients.items() if by == caller]:
            self._clients[client] = NOBODY
            client.expel(close_code, code, message)
