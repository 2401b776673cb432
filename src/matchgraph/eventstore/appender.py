"""Group commit: concurrent appends of this process share one transaction.

One task owns one connection and sends whatever is waiting, so the cost of a commit is divided by
the number of callers. The function `event_append` in the database does the rest under its lock.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import asyncpg
from eventsourcing.persistence import StoredEvent

from matchgraph.eventstore.connection import FULL, LOST, Connection, Statement, connect
from matchgraph.eventstore.errors import Conflict, OutcomeUnknown, Unavailable
from matchgraph.eventstore.tasks import stop
from matchgraph.observe.metrics import APPEND_FAILURES, Metrics
from matchgraph.observe.operation import APPEND as APPENDING
from matchgraph.observe.operation import step

APPEND = "SELECT base, refused FROM event_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
log = logging.getLogger(__name__)

REASONS = dict(zip((Conflict, Unavailable, OutcomeUnknown), APPEND_FAILURES, strict=True))
# More in one transaction gains nothing and makes the first caller wait for the last.
MOST_IN_GROUP = 2_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who asks for a change: recorded with each event of it."""

    actor: str
    request_id: str
    idempotency_key: str | None = None


class _Append:
    """One command on its way into the log. `claims` is what no two commands can both have."""

    __slots__ = ("claims", "events", "give_up_at", "payload", "position", "request")

    def __init__(
        self,
        events: Sequence[StoredEvent],
        request: Request,
        payload: bytes,
        give_up_at: float,
        position: asyncio.Future[int],
    ) -> None:
        self.events = events
        self.request = request
        self.payload = payload
        self.give_up_at = give_up_at
        self.position = position
        self.claims: set[object] = {
            (event.originator_id, event.originator_version) for event in events
        }
        if len(self.claims) < len(events):
            raise Conflict("one command holds a version of an aggregate twice")
        if request.idempotency_key is not None:
            self.claims.add((request.actor, request.idempotency_key))


class Appender:
    """Appends commands, many at a time. Use as an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        *,
        patience: float = 10,
        most_waiting: int = 10_000,
        metrics: Metrics | None = None,
    ) -> None:
        """Units: `patience`, the seconds that an append waits for a database that is away."""
        self._url = url
        self._patience = patience
        self._most_waiting = most_waiting
        self._waiting: deque[_Append] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._connection: Connection | None = None
        self._session: tuple[int, object] | None = None
        self._statement: Statement | None = None
        self._task: asyncio.Task[None] | None = None
        self._metrics = Metrics() if metrics is None else metrics

    @property
    def waiting(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    async def __aenter__(self) -> "Appender":
        self._idle.set()
        self._task = asyncio.create_task(self._run(), name="appender")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Appends what is waiting, then ends."""
        assert self._task is not None, "entered before it is left"
        if not self._task.done():
            await self._idle.wait()
        await stop(self._task)
        if self._connection is not None:
            await self._connection.close(timeout=5)

    async def append(
        self, events: Sequence[StoredEvent], request: Request, payload: bytes = b""
    ) -> int:
        """Appends all of the events or none, each as the version it names.

        Returns the position of the last one (of a command without events, the end of the log).
        Raises: Conflict when another event has one of the versions or another command the
            idempotency key; Unavailable; OutcomeUnknown.
        """
        if self._task is None or self._task.done():
            raise Unavailable("the appender has ended")
        if len(self._waiting) >= self._most_waiting:
            raise Unavailable("too many appends are waiting; try again in a moment")
        append = _Append(
            events,
            request,
            payload,
            time.monotonic() + self._patience,
            asyncio.get_running_loop().create_future(),
        )
        self._waiting.append(append)
        self._idle.clear()
        self._arrived.set()
        with step(APPENDING, "append"):
            return await self._observed(append)

    async def _observed(self, append: _Append) -> int:
        """Its position, and how long that took. Raises: as `append`."""
        began = time.perf_counter()
        try:
            position = await append.position
        except (Conflict, Unavailable, OutcomeUnknown) as reason:
            self._metrics.append_failures.labels(REASONS[type(reason)]).inc()
            raise
        self._metrics.append_seconds.observe(time.perf_counter() - began)
        self._metrics.appended.inc(len(append.events))
        return position

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            group = self._next_group()
            if group:
                self._metrics.append_group.observe(len(group))
                await self._append_group(group)
            if not self._waiting:
                self._arrived.clear()
                self._idle.set()

    def _next_group(self) -> list[_Append]:
        """Takes what can share a transaction: appends that claim the same version or key would
        make each other fail, so the later one waits for the next group."""
        group: list[_Append] = []
        claimed: set[object] = set()
        later: list[_Append] = []
        size = 0
        while self._waiting and size < MOST_IN_GROUP:
            append = self._waiting.popleft()
            if append.position.done():
                continue
            if claimed.isdisjoint(append.claims):
                group.append(append)
                size += len(append.events)
            else:
                later.append(append)
            claimed |= append.claims
        self._waiting.extendleft(reversed(later))
        return group

    async def _append_group(self, group: list[_Append]) -> None:
        sent = False
        try:
            statement = await self._connected(group)
            sent = True
            base, refused = await statement.fetchrow(*_arguments(group))  # type: ignore[misc]
        except LOST as reason:
            await self._settle(group, reason, sent)
        except FULL as reason:
            _fail(group, Unavailable(f"the database cannot take it in: {reason}"))
        except asyncpg.PostgresError as reason:
            if not sent:
                _fail(group, Unavailable(f"the database cannot be used: {reason}"))
            elif len(group) == 1:
                _fail(group, reason)
            else:
                # One of them holds what the database will not have; its neighbours can go on.
                for append in group:
                    await self._append_group([append])
        except Exception as reason:
            # A mistake of ours: the database may have taken the group in or not. The next group
            # goes over a new session, which first makes sure that this one commits nothing more.
            log.exception("an append failed in a way that nobody foresaw")
            self._drop_connection()
            _fail(group, OutcomeUnknown(f"the append failed: {reason!r}"))
        except BaseException as reason:
            _fail(group, OutcomeUnknown(f"the appender was stopped: {reason!r}"))
            raise
        else:
            _succeed(group, base, frozenset(refused))

    async def _connected(self, group: list[_Append]) -> Statement:
        """The prepared append. Raises: one of LOST when the database stays away for longer than
        the most patient of the group waits."""
        if self._statement is not None and self._connection and not self._connection.is_closed():
            return self._statement
        deadline = max(append.give_up_at for append in group)
        for attempt in count():
            try:
                if self._connection is not None:
                    # One that came only half of this way.
                    self._connection.terminate()
                self._connection = await connect(
                    self._url, "appender", synchronous_commit="on", statement_timeout="30000"
                )
                # Only as whoever logged in may a session see when a session began, and end one.
                await self._connection.execute("SET ROLE NONE")
                await self._fence()
                row = await self._connection.fetchrow(
                    "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
                )
                assert row is not None, "a session sees itself"
                self._session = (row["pid"], row["backend_start"])
                await self._connection.execute("SET ROLE matchgraph_app")
                self._statement = await self._connection.prepare(APPEND)
                return self._statement
            except LOST:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(min(0.05 * 2**attempt, 0.5))
        raise AssertionError("count() does not end")

    def _drop_connection(self) -> None:
        connection, self._connection, self._statement = self._connection, None, None
        if connection is not None:
            connection.terminate()

    async def _fence(self) -> None:
        """Makes sure that the session before this one can commit nothing any more: it may still
        wait for the lock, unaware that nobody listens."""
        if self._session is None:
            return
        assert self._connection is not None, "called while connected"
        while await self._connection.fetchval(  # noqa: ASYNC110
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = $1 AND backend_start = $2",
            *self._session,
        ):
            await asyncio.sleep(0.02)
        self._session = None

    async def _settle(self, group: list[_Append], reason: BaseException, sent: bool) -> None:
        """After a lost connection: finds out what became of the group, and appends it again if
        nothing did. The group was one transaction, so all of it is there or nothing."""
        deadline = max(append.give_up_at for append in group)
        while True:
            self._drop_connection()
            try:
                await self._connected(group)
                assert self._connection is not None, "connected"
                positions = [await _position_of(self._connection, append) for append in group]
                break
            except (*LOST, asyncpg.PostgresError):
                if time.monotonic() >= deadline:
                    kind = OutcomeUnknown if sent else Unavailable
                    _fail(group, kind(f"the database is away: {reason}"))
                    return
                await asyncio.sleep(0.05)
        again = []
        for append, position in zip(group, positions, strict=True):
            if append.position.done():
                continue
            if position is not None:
                append.position.set_result(position)
            elif time.monotonic() < append.give_up_at:
                again.append(append)
            else:
                _fail([append], Unavailable(f"the database was away for too long: {reason}"))
        self._waiting.extendleft(reversed(again))


def _arguments(group: list[_Append]) -> tuple[list[object], ...]:
    """The arrays that `event_append` takes."""
    ids: list[object] = []
    versions: list[object] = []
    topics: list[object] = []
    states: list[object] = []
    actors: list[object] = []
    request_ids: list[object] = []
    keys: list[object] = []
    commands: list[object] = []
    keyed: list[tuple[object, ...]] = []
    for command, append in enumerate(group, start=1):
        request = append.request
        for event in append.events:
            ids.append(event.originator_id)
            versions.append(event.originator_version)
            topics.append(event.topic)
            states.append(event.state)
            actors.append(request.actor)
            request_ids.append(request.request_id)
            keys.append(request.idempotency_key)
            commands.append(command)
        if request.idempotency_key is not None:
            keyed.append((command, request.actor, request.idempotency_key, append.payload))
    columns = [list(column) for column in zip(*keyed, strict=True)] or [[], [], [], []]
    if not keyed:
        keys = []
        if len(ids) == len(group) and all(append.events for append in group):
            commands = []
    return (ids, versions, topics, states, actors, request_ids, keys, commands, *columns)


def _succeed(group: list[_Append], base: int, refused: frozenset[int]) -> None:
    position = base
    for command, append in enumerate(group, start=1):
        if command in refused:
            _fail([append], Conflict("another event has that version, or another command that key"))
            continue
        position += len(append.events)
        if not append.position.done():
            append.position.set_result(position)


def _fail(group: list[_Append], reason: Exception) -> None:
    for append in group:
        if not append.position.done():
            append.position.set_exception(reason)


async def _position_of(connection: Connection, append: _Append) -> int | None:
    """Where the command ended up, or None if it is not in the log."""
    if not append.events:
        # Without events only a key was to be remembered; doing that again harms nothing.
        return None
    last = append.events[-1]
    assert isinstance(last.originator_id, UUID), "this history's aggregates have UUIDs"
    position: int | None = await connection.fetchval(
        "SELECT position FROM event WHERE originator_id = $1 AND originator_version = $2"
        " AND topic = $3 AND state = $4 AND actor = $5 AND request_id = $6",
        last.originator_id,
        last.originator_version,
        last.topic,
        last.state,
        append.request.actor,
        append.request.request_id,
    )
    return position
