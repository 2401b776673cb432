"""How many connections each may keep open, WebSockets and event streams alike, in one process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from matchgraph.graphql.context import ANONYMOUS
from matchgraph.http.access import Caller
from matchgraph.http.budget import Allowance, address


class TooManySockets(Exception):
    """Whoever opens a connection has as many already as they may."""

    def __init__(self, whose: str, most: int) -> None:
        super().__init__(f"{most} connections are open by {whose} already")


class Seats:
    """The connections that are open, by who opened them."""

    def __init__(self, allowance: Allowance) -> None:
        self._per_key = allowance.sockets_per_key
        self._per_address = allowance.sockets_per_address
        self._taken: Counter[str] = Counter()

    @contextmanager
    def by_address(self, scope: Scope) -> Iterator[None]:
        """One more from that address, while the block runs. Raises: TooManySockets."""
        with self._seat(f"address:{address(scope)}", "this address", self._per_address):
            yield

    @contextmanager
    def by_key(self, caller: Caller) -> Iterator[None]:
        """One more with that key or token, if there is one, likewise. Raises: TooManySockets."""
        most = None if caller.actor == ANONYMOUS else self._per_key
        with self._seat(caller.actor, "this key", most):
            yield

    @contextmanager
    def _seat(self, who: str, whose: str, most: int | None) -> Iterator[None]:
        if most is not None and self._taken[who] >= most:
            raise TooManySockets(whose, most)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
