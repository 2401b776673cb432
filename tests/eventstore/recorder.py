"""The event store as the `eventsourcing` library's recorder, so that the library's own test cases
can be held against it. Synchronous: an event loop in a thread of its own does the work."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from threading import Thread
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    OperationalError,
    StoredEvent,
    Subscription,
)

from matchgraph.eventstore.connection import Pool, open_pool
from matchgraph.eventstore.errors import Conflict, Unavailable
from matchgraph.eventstore.store import APPENDED, Request, Store, open_store

BY = Request(actor="library", request_id="library")
T = TypeVar("T")


class OurAggregateRecorder(AggregateRecorder):
    """Records the histories of aggregates."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self.store, self.pool = self.wait(self._open(url))

    async def _open(self, url: str) -> tuple[Store, Pool]:
        store = await self._stack.enter_async_context(open_store(url))
        pool = await open_pool(url, "recorder", size=8)
        self._stack.push_async_callback(pool.close)
        return store, pool

    def close(self) -> None:
        self.wait(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits in this thread for what the loop does in its own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self._append(stored_events)
        return None

    def _append(self, stored_events: Sequence[StoredEvent]) -> Sequence[int]:
        try:
            last = self.wait(self.store.append_stored(stored_events, BY))
        except Conflict as reason:
            raise IntegrityError(reason) from reason
        except Unavailable as reason:
            raise OperationalError(reason) from reason
        return range(last - len(stored_events) + 1, last + 1)

    def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async def fetch() -> list[asyncpg.Record]:
            return await self.pool.fetch(query, *arguments)

        return self.wait(fetch())

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        rows = self._fetch(
            "SELECT originator_id, originator_version, topic, state FROM stored_events"
            " WHERE originator_id = $1 AND ($2::bigint IS NULL OR originator_version > $2)"
            " AND ($3::bigint IS NULL OR originator_version <= $3)"
            f" ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT $4",
            originator_id,
            gt,
            lte,
            limit,
        )
        return [StoredEvent(*row) for row in rows]


class OurApplicationRecorder(OurAggregateRecorder, ApplicationRecorder):
    """Records the histories of aggregates in one order."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        return list(self._append(stored_events))

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        first = (start or 0) if inclusive_of_start else (start or 0) + 1
        rows = self._fetch(
            "SELECT originator_id, originator_version, topic, state, notification_id"
            " FROM stored_events WHERE notification_id >= $1"
            " AND ($2::bigint IS NULL OR notification_id <= $2)"
            " AND (cardinality($3::text[]) = 0 OR topic = ANY ($3))"
            " ORDER BY notification_id LIMIT $4",
            first,
            stop,
            list(topics),
            limit,
        )
        return [Notification(*row) for row in rows]

    def max_notification_id(self) -> int | None:
        return self.wait(self.store.head()) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> "Subscription[ApplicationRecorder]":
        return OurSubscription(self, gt, topics)


class OurSubscription(Subscription[OurApplicationRecorder]):
    """Reads on, woken by the store's listener."""

    def __init__(
        self, recorder: OurApplicationRecorder, gt: int | None, topics: Sequence[str]
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._read: list[Notification] = []

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if not self._read:
                self._recorder.wait(self._pull())
                continue
            return self._read.pop(0)
        raise StopIteration

    async def _pull(self) -> None:
        recorder = self._recorder
        async with recorder.store.listener.wakes(APPENDED) as wakes:
            while not self._has_been_stopped and not self._read:
                rows = await recorder.pool.fetch(
                    "SELECT originator_id, originator_version, topic, state, notification_id"
                    " FROM stored_events WHERE notification_id > $1 ORDER BY 5 LIMIT 500",
                    self._last_notification_id or 0,
                )
                if not rows:
                    await wakes.wait(0.5)
                    continue
                self._last_notification_id = rows[-1]["notification_id"]
                self._read = [
                    Notification(*row)
                    for row in rows
                    if not self._topics or row["topic"] in self._topics
                ]
