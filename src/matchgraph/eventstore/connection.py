"""Connections to PostgreSQL, as every part of matchgraph opens them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from matchgraph.eventstore.errors import Unavailable
from matchgraph.observe.operation import POSTGRESQL, step

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Statement = asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]
else:  # generic for the type checker only
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Statement = asyncpg.prepared_stmt.PreparedStatement


class Observed(Connection):
    """A connection of a pool, which says what the operation at work waits for."""

    def __init__(self, protocol: Any, transport: Any, loop: Any, addr: Any, *rest: Any) -> None:
        super().__init__(protocol, transport, loop, addr, *rest)
        settings: dict[str, str] = rest[-1].server_settings or {}
        self._purpose = settings.get("application_name", "").removeprefix(NAMED)

    async def fetch(self, query: str, *args: Any, **named: Any) -> Any:
        """As asyncpg's."""
        with step(POSTGRESQL, query, self._purpose):
            return await super().fetch(query, *args, **named)

    async def fetchrow(self, query: str, *args: Any, **named: Any) -> Any:
        """As asyncpg's."""
        with step(POSTGRESQL, query, self._purpose):
            return await super().fetchrow(query, *args, **named)

    async def fetchval(self, query: str, *args: Any, **named: Any) -> Any:
        """As asyncpg's."""
        with step(POSTGRESQL, query, self._purpose):
            return await super().fetchval(query, *args, **named)

    async def execute(self, query: str, *args: Any, **named: Any) -> str:
        """As asyncpg's."""
        with step(POSTGRESQL, query, self._purpose):
            return await super().execute(query, *args, **named)


class Fetches(Protocol):
    """A connection, a pool, or a view of the read models."""

    async def fetch(self, query: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        """The rows."""


NAMED = "matchgraph "

# A connection that was lost says so in one of these ways. 57P01 to 57P05 are PostgreSQL's own
# words for a session that it ends: shutdown, crash, database dropped, idle for too long. A session
# that hears them while it is idle is asyncpg's InternalClientError until the line is closed.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    ConnectionError,
    OSError,
    asyncio.TimeoutError,
)
# What the database says when it is there and cannot take anything in.
FULL = (asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError)


async def fetch(pool: Pool, query: str, *arguments: object) -> list[asyncpg.Record]:
    """The rows. Raises: Unavailable."""
    try:
        return await pool.fetch(query, *arguments)
    except LOST as reason:
        raise Unavailable(f"the database is away: {reason}") from reason
    except FULL as reason:
        raise Unavailable(f"the database cannot answer: {reason}") from reason


# Units: seconds. How long a lock may be free before the next one in line has it.
LOOKS = 0.2


async def advisory_lock(
    db: Connection, *key: int | str, on_waiting: Callable[[], None] = lambda: None
) -> None:
    """Takes a lock for the session, as soon as nobody has it; of a text, its hash is the key.

    Asks again and again: a statement that waits in the database has a snapshot all the while, and
    an index that is built beside the work (CREATE INDEX CONCURRENTLY) would wait for it in vain.
    """
    numbered = [
        f"hashtext(${number})" if isinstance(part, str) else f"${number}"
        for number, part in enumerate(key, start=1)
    ]
    ask = f"SELECT pg_try_advisory_lock({', '.join(numbered)})"
    waiting = False
    while not await db.fetchval(ask, *key):
        if not waiting:
            waiting = True
            on_waiting()
        await asyncio.sleep(LOOKS)


def _settings(purpose: str, extra: dict[str, str]) -> dict[str, str]:
    return {
        # Whoever logs in works with the application's rights, so that not even a superuser's
        # connection string opens the log to anything but its functions.
        "role": "matchgraph_app",
        "application_name": f"{NAMED}{purpose}",
        "timezone": "UTC",
        "jit": "off",
        **extra,
    }


async def connect(url: str, purpose: str, *, timeout: float = 5, **settings: str) -> Connection:
    """One connection with the application's rights. Raises: one of LOST, asyncpg.PostgresError."""
    return await asyncpg.connect(url, timeout=timeout, server_settings=_settings(purpose, settings))


class Pooled(Observed):
    """A connection of a pool, which knows what it last saw of the schema, and keeps whatever those
    who borrow it found out by it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._seen: str | None = None
        self.kept: dict[type, Any] = {}

    def sees_other(self, schema: str) -> bool:
        """Whether that is something else than what it saw before."""
        seen, self._seen = self._seen, schema
        return seen not in (None, schema)


async def open_pool(
    url: str, purpose: str, *, size: int, statement_timeout: float = 5, **settings: str
) -> Pool:
    """A pool of connections with the application's rights.

    Units: `statement_timeout` in seconds, after which PostgreSQL gives a statement up.
    """
    settings["statement_timeout"] = str(int(statement_timeout * 1000))
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=5,
        connection_class=Pooled,
        command_timeout=statement_timeout + 5,
        max_inactive_connection_lifetime=60,
        server_settings=_settings(purpose, settings),
        # Every borrower ends its own transaction, so the pool's reset query would only cost a
        # round trip each time.
        reset=_leave_as_it_is,
    )
    assert pool is not None, "asyncpg returns None only for a pool that it has not opened yet"
    return pool


async def _leave_as_it_is(connection: Any) -> None:
    pass
