"""One consistent view of the read models, of now or as of a position, for as long as one request
needs it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg

from matchgraph.eventstore.connection import FULL, LOST, Connection, Pool, open_pool
from matchgraph.eventstore.eager import owned
from matchgraph.eventstore.errors import Unavailable
from matchgraph.observe.operation import POOL, step
from matchgraph.projections.projection import READING
from matchgraph.queries import first_time
from matchgraph.queries.notes import Notes
from matchgraph.queries.position import Behind
from matchgraph.queries.touched import STANDS

# Units: seconds that a request waits for a connection.
PATIENCE = 5
GO_TO = """
SELECT position AS reached, kept_since AS since, set_config('matchgraph.position', $1, true)
FROM public.common_position
"""
# Says in its status line, which comes at no cost, how many were applied. None is while a view is
# open, as it takes the lock of READING first.
MIGRATIONS = "SELECT FROM public._pogo_migration"


class NotKept(Exception):
    """What the read models said as of that position is not known any more."""

    def __init__(self, asked: int, since: int) -> None:
        super().__init__(
            f"What was there as of position {asked} is not kept: the read models know their past "
            f"since {since}. `matchgraph rebuild` makes it known from the first event on."
        )
        self.asked = asked
        self.since = since


class Snapshot:
    """Everything read through it was so at one moment, so an answer never mixes old and new.

    Takes a connection with the first statement and gives it back in `close`. `as_of` is the
    position that it is of, None where it is of now.
    """

    as_of: int | None = None

    def __init__(self, pool: Pool, notes: Notes | None = None) -> None:
        self._pool = pool
        self.notes = notes or Notes(complete=False)
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._asking: asyncio.Task[object] | None = None
        self._ended = False
        self._stands_at: int | None = None
        self._young: first_time.Positions = {}
        self._refused: str | None = None
        self.statements = 0

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Raises: Unavailable."""
        self.notes.read()
        return await owned(self._fetch(None, query, *arguments))

    async def _fetch(
        self, as_of: int | None, query: str, *arguments: object
    ) -> Sequence[asyncpg.Record]:
        async with self._turn:
            if self._ended:
                # Whoever is late must not take a connection that nobody would give back.
                raise Unavailable("this view of the read models has ended")
            if self._refused is not None:
                # Each field of an answer would wait as long for the same connection.
                raise Unavailable(self._refused)
            self._asking = asyncio.current_task()
            try:
                if self._connection is None:
                    # A full pool means overload; waiting longer would only make it worse.
                    with step(POOL, "wait for a connection"):
                        self._connection = await self._pool.acquire(timeout=PATIENCE)  # type: ignore[assignment]
                    await self._begin()
                if as_of is not None and as_of != self._stands_at:
                    await self._go_to(as_of)
                if self._young:
                    first_time.check(self._young, query, as_of)
                self.statements += 1
                return await self._connection.fetch(query, *arguments)  # type: ignore[union-attr]
            except (*LOST, *FULL) as reason:
                said = f"the database cannot answer now: {reason}"
                if self._connection is None:
                    self._refused = said
                raise Unavailable(said) from reason
            finally:
                self._asking = None

    def abandon(self) -> None:
        """Answers nothing more, and cancels the statement that runs, also in PostgreSQL: whoever
        waited for it may be gone, and a batch goes on without them."""
        self._ended = True
        if self._asking is not None:
            self._asking.cancel()

    def another(self) -> "Snapshot":
        """A view of its own over the same connections, of the moment when it is first read."""
        return Snapshot(self._pool)

    async def _begin(self) -> None:
        assert self._connection is not None, "acquired before"
        schema = await self._connection.execute(
            f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {READING}; {MIGRATIONS}"
        )
        migrated: bool = self._connection.sees_other(schema)  # type: ignore[attr-defined]
        if migrated:
            # Statements that were prepared before may answer with other columns now.
            await self._connection.reload_schema_state()
        kept: dict[type, first_time.Young] = self._connection.kept  # type: ignore[attr-defined]
        young = kept.setdefault(first_time.Young, first_time.Young())
        self._young = await young.look(self._connection, migrated=migrated)

    async def _go_to(self, position: int) -> None:
        """Makes the views of the schema `as_of` say what was there then."""
        assert self._connection is not None, "acquired before"
        self._stands_at = None
        row = await self._connection.fetchrow(GO_TO, str(position))
        if row is not None and row["reached"] < position:
            # It began before the read models had come that far. The past is the same in another.
            await self._connection.execute("ROLLBACK")
            await self._begin()
            row = await self._connection.fetchrow(GO_TO, str(position))
        assert row is not None, "an aggregate without GROUP BY has one row"
        if row["reached"] < position:
            raise Behind(position, row["reached"])
        if row["since"] > position:
            raise NotKept(position, row["since"])
        self._stands_at = position

    async def position(self) -> int:
        """The position that everything in this view is up to: that of the read model furthest
        behind. Raises: Unavailable."""
        with self.notes.of():
            rows = await self.fetch("SELECT position FROM common_position")
        return int(rows[0][0])

    async def note_position(self) -> None:
        """Notes where the read models stand in this view, if all stand at the same position, and if
        anything was read of them. Raises: Unavailable."""
        stands = await self.stands()
        if stands is None:
            return
        low, high, era = stands
        if low == high and era is not None:
            self.notes.stood(low, era)

    async def stands(self) -> tuple[int, int, str | None] | None:
        """Where the read models stand in this view, the one furthest behind and the one furthest
        ahead, and the era of the tables; None where nothing was read of them. Raises:
        Unavailable."""
        if self._connection is None:
            return None
        with self.notes.of():
            ((low, high, era),) = await self.fetch(STANDS)
        return low, high, era

    async def close(self) -> None:
        """Ends the view for good."""
        async with self._turn:
            self._ended = True
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                await connection.execute("ROLLBACK")
            except (*LOST, asyncpg.PostgresError):
                with suppress(asyncpg.InterfaceError):  # which says that it is gone already
                    connection.terminate()
            finally:
                await self._pool.release(connection)  # type: ignore[arg-type]


class Past:
    """Views as of any number of positions, over one connection of `pool` (see `open_past`)."""

    def __init__(self, pool: Pool, notes: Notes | None = None) -> None:
        self._line = Snapshot(pool, notes)

    def at(self, position: int) -> Snapshot:
        """The view as of that position; it ends with all others."""
        return _Then(self._line, position)

    def abandon(self) -> None:
        """Answers nothing more, and cancels the statement that runs."""
        self._line.abandon()

    async def close(self) -> None:
        """Ends every view for good."""
        await self._line.close()


class _Then(Snapshot):
    """What was there then, out of the schema `as_of`, whose views are named as what they show."""

    def __init__(self, line: Snapshot, position: int) -> None:
        super().__init__(line._pool, line.notes)
        self._line = line
        self.as_of = position

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Raises: Behind, NotKept, Unavailable."""
        self.notes.read()
        return await self._line._fetch(self.as_of, query, *arguments)

    def another(self) -> Snapshot:
        raise AssertionError("searches alone take another view, and they are of now")


async def open_past(url: str, *, size: int) -> Pool:
    """Connections that look for the read models in the schema `as_of` first. They always do: a
    search path that changes would have every statement planned anew.

    Rows of then are found by key, one after the other. The planner thinks more of them than there
    are, and might rather read the whole catalog for a few.
    """
    return await open_pool(
        url,
        "queries as of",
        size=size,
        search_path="as_of, public",
        enable_hashjoin="off",
        enable_mergejoin="off",
    )


@asynccontextmanager
async def viewing(pool: Pool) -> AsyncIterator[Snapshot]:
    """A view for as long as the block runs."""
    snapshot = Snapshot(pool)
    try:
        yield snapshot
    finally:
        await snapshot.close()
