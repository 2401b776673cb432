"""One consistent view of the read models, for as long as one request needs it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import asyncpg

from matchgraph.eventstore.connection import FULL, LOST, Connection, Pool
from matchgraph.eventstore.errors import Unavailable

# Units: seconds that a request waits for a connection.
PATIENCE = 5


class Snapshot:
    """Everything read through it was so at one moment, so an answer never mixes old and new.

    Takes a connection with the first statement and gives it back in `close`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._ended = False
        self.statements = 0

    async def fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Raises: Unavailable."""
        async with self._turn:
            if self._ended:
                # Whoever is late must not take a connection that nobody would give back.
                raise Unavailable("this view of the read models has ended")
            try:
                if self._connection is None:
                    # A full pool means overload; waiting longer would only make it worse.
                    self._connection = await self._pool.acquire(timeout=PATIENCE)  # type: ignore[assignment]
                    await self._begin()
                self.statements += 1
                return await self._connection.fetch(query, *arguments)  # type: ignore[union-attr]
            except (*LOST, *FULL) as reason:
                raise Unavailable(f"the database cannot answer now: {reason}") from reason

    def another(self) -> "Snapshot":
        """A view of its own over the same connections, of the moment when it is first read."""
        return Snapshot(self._pool)

    async def _begin(self) -> None:
        assert self._connection is not None, "acquired before"
        await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    async def position(self) -> int:
        """The position that everything in this view is up to: that of the read model furthest
        behind. Raises: Unavailable."""
        rows = await self.fetch("SELECT coalesce(min(position), 0) FROM projection_checkpoint")
        return int(rows[0][0])

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


@asynccontextmanager
async def viewing(pool: Pool) -> AsyncIterator[Snapshot]:
    """A view for as long as the block runs."""
    snapshot = Snapshot(pool)
    try:
        yield snapshot
    finally:
        await snapshot.close()
