"""Read your own writes: waits until the read models have come as far as the caller has seen."""

import time

from matchgraph.eventstore.connection import FULL, LOST, Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED


class Behind(Exception):
    """The read models have not come that far in time."""

    def __init__(self, asked: int, reached: int) -> None:
        super().__init__(
            f"The read models are at position {reached} and have not reached {asked} in time; "
            "ask again in a moment, or for an earlier position."
        )
        self.asked = asked
        self.reached = reached


class InFuture(Exception):
    """No event has that position yet."""

    def __init__(self, asked: int, head: int) -> None:
        super().__init__(f"There is no position {asked} yet; the newest event has {head}.")
        self.asked = asked
        self.head = head


async def reach(pool: Pool, listener: Listener, position: int, *, patience: float = 5) -> int:
    """Returns the position that the read models have reached, once it is at least that asked for.

    Units: `patience` in seconds. Raises: InFuture, Behind, Unavailable.
    """
    deadline = time.monotonic() + patience
    async with listener.wakes(PROJECTED) as wakes:
        while True:
            reached, head = await positions(pool)
            if reached >= position:
                return reached
            if head < position:
                raise InFuture(position, head)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Behind(position, reached)
            await wakes.wait(left)


async def positions(pool: Pool) -> tuple[int, int]:
    """How far the read model furthest behind has come, but for those that are computed for the
    first time, and the newest event. Raises: Unavailable."""
    try:
        row = await pool.fetchrow(
            "SELECT (SELECT position FROM common_position) AS reached,"
            " (SELECT coalesce(max(position), 0) FROM event) AS head"
        )
    except (*LOST, *FULL) as reason:
        raise Unavailable(f"the database cannot answer now: {reason}") from reason
    assert row is not None, "a query without FROM has one row"
    return int(row["reached"]), int(row["head"])
