"""The event store: append and load for the commands, read and follow for everybody else."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
from eventsourcing.persistence import StoredEvent

from matchgraph.domain.aggregate import Aggregate, AggregateEvent
from matchgraph.eventstore import codec
from matchgraph.eventstore.appender import Appender, Request
from matchgraph.eventstore.connection import FULL, LOST, Pool, fetch, open_pool
from matchgraph.eventstore.errors import (
    AlreadyDone,
    Conflict,
    KeyReused,
    OutcomeUnknown,
    Unavailable,
)
from matchgraph.eventstore.listener import Listener
from matchgraph.observe.metrics import Metrics

__all__ = ["Packed", "Recorded", "Request", "Store", "fingerprint", "open_store"]

APPENDED = "event"
PROJECTED = "projected"
REVOKED = "key_revoked"
MOST_IN_PAGE = 2_000
# The columns of a batch, to which a later release may add others.
INBOX = (
    *("batch", "ordinal", "originator_id", "originator_version", "topic", "state"),
    *("actor", "request_id", "idempotency_key"),
)
A = TypeVar("A", bound=Aggregate)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event, with its place in the one order and how it got there."""

    position: int
    event: AggregateEvent
    recorded_at: datetime
    actor: str
    request_id: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Packed:
    """A page of history for those who compute: events `first` to `last` as one JSON array."""

    first: int
    last: int
    recorded_at: datetime
    json: bytes


class Store:
    """The one history. Opened by `open_store`."""

    def __init__(self, pool: Pool, appender: Appender, listener: Listener) -> None:
        self._pool = pool
        self._appender = appender
        self.listener = listener

    @property
    def pool(self) -> Pool:
        """Its connections, for who looks at how many are in use."""
        return self._pool

    @property
    def waiting(self) -> int:
        """How many commands wait to be appended."""
        return self._appender.waiting

    async def append(
        self, aggregates: Iterable[Aggregate], request: Request, payload: bytes = b""
    ) -> int:
        """Appends the pending events of the aggregates, all or none.

        Returns the position of the last one. Without any event and without an idempotency key,
        nothing is written and the end of the log is returned.
        Raises: Conflict, AlreadyDone, Unavailable, OutcomeUnknown.
        """
        events = [event for aggregate in aggregates for event in aggregate.collect_events()]
        if not events and request.idempotency_key is None:
            return await self.head()
        try:
            return await self._appender.append([stored(e) for e in events], request, payload)  # type: ignore[arg-type]
        except Conflict:
            if request.idempotency_key is not None and await self._remembered(request):
                raise AlreadyDone(request.idempotency_key) from None
            raise

    async def append_stored(self, events: Sequence[StoredEvent], request: Request) -> int:
        """Appends events that are encoded already, all or none; returns the last position.

        Raises: Conflict, Unavailable, OutcomeUnknown.
        """
        return await self._appender.append(events, request)

    async def append_batch(self, events: Sequence[StoredEvent], request: Request) -> int:
        """Appends many events by COPY, all or none; returns the position of the last one.

        No idempotency key is remembered for a batch: importers decide on what is there.

        Raises: Conflict, Unavailable; OutcomeUnknown when the connection is lost: whoever imports
            loads again before deciding.
        """
        if not events:
            return await self.head()
        batch = uuid4()
        rows = [
            (
                batch,
                ordinal,
                event.originator_id,
                event.originator_version,
                event.topic,
                event.state,
                request.actor,
                request.request_id,
                None,
            )
            for ordinal, event in enumerate(events, start=1)
        ]
        try:
            async with self._pool.acquire() as db, db.transaction():
                await db.copy_records_to_table(
                    "event_inbox", records=rows, columns=INBOX, timeout=60
                )
                base: int = await db.fetchval("SELECT event_append_batch($1)", batch, timeout=60)
        except asyncpg.UniqueViolationError:
            raise Conflict("an event of the batch has a version that is taken") from None
        except LOST as reason:
            raise OutcomeUnknown(f"the database is away: {reason}") from reason
        except FULL as reason:
            raise Unavailable(f"the database cannot take it in: {reason}") from reason
        return base + len(rows)

    async def recall(self, request: Request, payload: bytes) -> int | None:
        """The position that the command with this key reached, or None if there was none.

        Raises: KeyReused when that was another command; Unavailable.
        """
        if request.idempotency_key is None:
            return None
        row = await self._remembered(request)
        if row is None:
            return None
        if row["payload"] != payload:
            raise KeyReused(request.idempotency_key)
        return int(row["position"])

    async def _remembered(self, request: Request) -> asyncpg.Record | None:
        rows = await fetch(
            self._pool,
            "SELECT payload, position FROM command WHERE actor = $1 AND idempotency_key = $2",
            request.actor,
            request.idempotency_key,
        )
        return rows[0] if rows else None

    async def load(self, originator_id: UUID) -> Aggregate | None:
        """The aggregate as it stands now, or None. Raises: Unavailable, UnknownTopic,
        Undecodable."""
        return (await self.load_many([originator_id])).get(originator_id)

    async def load_many(self, ids: Sequence[UUID]) -> dict[UUID, Aggregate]:
        """Those of the aggregates that exist, by id. Raises: as `load`."""
        rows = await fetch(
            self._pool,
            "SELECT originator_id, originator_version, topic, state FROM event"
            " WHERE originator_id = ANY ($1) ORDER BY originator_id, originator_version",
            list(ids),
        )
        found: dict[UUID, Any] = {}
        for originator_id, version, topic, state in rows:
            event = codec.decode(topic, originator_id, version, state)
            found[originator_id] = event.mutate(found.get(originator_id))
        return found

    async def head(self) -> int:
        """The position of the newest event, 0 while there is none. Raises: Unavailable."""
        rows = await fetch(self._pool, "SELECT coalesce(max(position), 0) FROM event")
        return int(rows[0][0])

    async def now(self) -> datetime:
        """The moment by the database's clock, which all processes share. Raises: Unavailable."""
        rows = await fetch(self._pool, "SELECT clock_timestamp()")
        moment: datetime = rows[0][0]
        return moment

    async def began(self, originator_id: UUID) -> str | None:
        """The actor of an aggregate's first event; None while there is none. Raises:
        Unavailable."""
        rows = await fetch(
            self._pool,
            "SELECT actor FROM event WHERE originator_id = $1 AND originator_version = 1",
            originator_id,
        )
        return str(rows[0][0]) if rows else None

    async def read(self, after: int, limit: int = MOST_IN_PAGE) -> list[Recorded]:
        """The next events, in order. Raises: Unavailable, UnknownTopic, Undecodable."""
        # Positions have no gaps, so a page is a range.
        rows = await fetch(
            self._pool,
            "SELECT position, originator_id, originator_version, topic, state, recorded_at,"
            " actor, request_id, idempotency_key FROM event"
            " WHERE position > $1 AND position <= $2 ORDER BY position",
            after,
            after + limit,
        )
        return [
            Recorded(
                position, codec.decode(topic, originator_id, version, state), at, actor, by, key
            )
            for position, originator_id, version, topic, state, at, actor, by, key in rows
        ]

    async def follow(self, after: int, limit: int = MOST_IN_PAGE) -> AsyncIterator[list[Recorded]]:
        """Every event after a position, in order and without end, a page at a time, as soon as
        it is appended. Waits by itself for a database that is away.

        Raises: UnknownTopic, Undecodable.
        """
        async with self.listener.wakes(APPENDED) as wakes:
            while True:
                try:
                    page = await self.read(after, limit)
                except Unavailable:
                    await wakes.wait(0.5)
                    continue
                if page:
                    yield page
                    after = page[-1].position
                else:
                    await wakes.wait()


def stored(event: AggregateEvent) -> StoredEvent:
    """The event as it goes into the log."""
    return StoredEvent(
        event.originator_id,
        event.originator_version,
        codec.topic_of(type(event)),
        codec.encode(event),
    )


def fingerprint(command: str, *arguments: object) -> bytes:
    """What makes two commands with one idempotency key the same command: SHA-256, 32 bytes."""
    return hashlib.sha256(
        msgspec.json.encode([command, *arguments], order="deterministic")
    ).digest()


@asynccontextmanager
async def open_store(
    url: str, *, pool_size: int = 10, patience: float = 10, metrics: Metrics | None = None
) -> AsyncIterator[Store]:
    """The event store of that database. Raises: one of `connection.LOST` when it is away."""
    pool = await open_pool(url, "store", size=pool_size, statement_timeout=60)
    try:
        async with (
            Appender(url, patience=patience, metrics=metrics) as appender,
            Listener(url, (APPENDED, PROJECTED, REVOKED)) as listener,
        ):
            yield Store(pool, appender, listener)
    finally:
        await pool.close()
