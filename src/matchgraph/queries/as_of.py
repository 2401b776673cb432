"""Which position is meant by an "as of", and whether it can be answered as of then.

docs/as-of.md says how the answers come about.
"""

from datetime import datetime

from matchgraph.eventstore.connection import FULL, LOST, Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.queries.position import reach


class BeforeHistory(Exception):
    """Nothing had happened by then."""

    def __init__(self, asked: int | datetime) -> None:
        said = f"position {asked}" if isinstance(asked, int) else asked.isoformat()
        super().__init__(f"Nothing had happened by {said}; the first event has position 1.")
        self.asked = asked


class TimeInFuture(Exception):
    """That moment is yet to come, so what will be there then is open."""

    def __init__(self, asked: datetime) -> None:
        super().__init__(f"{asked.isoformat()} is yet to come; ask for a moment that is over.")
        self.asked = asked


class Stuck(Exception):
    """A read model cannot take in an event up to there."""

    def __init__(self, asked: int, name: str, stuck_at: int) -> None:
        super().__init__(
            f"The read model {name} is stuck at event {stuck_at} and cannot say what was there as "
            f"of {asked}; ask for an earlier position, or once the projector was restarted."
        )
        self.asked = asked
        self.stuck_at = stuck_at


async def position_of(pool: Pool, moment: datetime) -> int:
    """The position of the last event that was recorded by that moment.

    Raises: BeforeHistory, TimeInFuture, Unavailable.
    """
    try:
        found: int | None = await pool.fetchval("SELECT event_by($1)", moment)
    except (*LOST, *FULL) as reason:
        raise Unavailable(f"the database cannot answer now: {reason}") from reason
    if found is None:
        raise TimeInFuture(moment)
    if found == 0:
        raise BeforeHistory(moment)
    return found


async def answerable(pool: Pool, listener: Listener, position: int) -> None:
    """Returns as soon as what was there as of that position can be told.

    Raises: BeforeHistory, InFuture, Stuck, Behind, Unavailable.
    """
    if position == 0:
        raise BeforeHistory(position)
    try:
        stuck = await pool.fetchrow(
            "SELECT name, stuck_at FROM projection_checkpoint WHERE stuck_at <= $1"
            " AND NOT first_time"
            " ORDER BY stuck_at, name LIMIT 1",
            position,
        )
    except (*LOST, *FULL) as reason:
        raise Unavailable(f"the database cannot answer now: {reason}") from reason
    if stuck is not None:
        raise Stuck(position, *stuck)
    await reach(pool, listener, position)
