"""Following a feed of changes: each once, in order, from any point on, by many at a time.

One hub per feed and process hears of changes from Redis and makes up for whatever Redis does not
bring from PostgreSQL, which has the last word. Read by graphql/subscription.py.
"""

import asyncio
import contextvars
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from matchgraph.domain.artifact import Kind
from matchgraph.eventstore.connection import FULL, LOST, Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.changes import (
    CATALOG,
    RANKS,
    CatalogChange,
    CatalogTopic,
    Change,
    Feed,
    Mark,
    RankChange,
    Stretch,
    entries_of,
    mark_of,
    stream_of,
)
from matchgraph.projections.redis_client import history, open_client
from matchgraph.queries.artifact import LED_TO
from matchgraph.queries.snapshot import Snapshot

log = logging.getLogger(__name__)

# So many changes wait for one follower; beyond, it reads them from PostgreSQL when it gets there.
MOST_WAITING = 1_000
# Units: seconds. Redis is asked to wait so long for news, and given so much longer to answer.
BLOCK = 1.0
SLACK = 0.2
# Units: seconds. After PostgreSQL said that there is news, Redis has so long to bring it.
GRACE = 0.1
# Units: seconds. At least so often PostgreSQL is asked, whatever Redis says.
SAFETY = 1.0
# Units: seconds between two attempts while something is away.
PAUSE = 0.5

C = TypeVar("C", bound=Change)
Other = TypeVar("Other", bound=Change, contravariant=True)


class Wanted(Protocol[Other]):
    """Which changes somebody follows. `ids` None means of any artifact; what `narrowed` gives is
    handed to the feed's `read`, to leave out there what would not be taken here."""

    @property
    def ids(self) -> frozenset[UUID] | None:
        """The artifacts meant."""

    @property
    def narrowed(self) -> dict[str, Any]:
        """What to read from PostgreSQL."""

    def takes(self, change: Other) -> bool:
        """Whether that change is meant, apart from its artifact."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Changes of ranks; what is None does not matter. `top` means a place, old or new, from 1 to
    there; `announce` has the bit of the threshold set from which on a change is worth telling."""

    ids: frozenset[UUID] | None = None
    kinds: frozenset[Kind] | None = None
    top: int | None = None
    announce: int = 1

    @property
    def narrowed(self) -> dict[str, Any]:
        """Artifacts and threshold."""
        return {"ids": None if self.ids is None else list(self.ids), "announce": self.announce}

    def takes(self, change: RankChange) -> bool:
        """Whether kind, threshold and place are those meant."""
        return (
            bool(change.announce & self.announce)
            and (self.kinds is None or change.kind in self.kinds)
            and (
                self.top is None or 0 < change.place <= self.top or 0 < change.was_place <= self.top
            )
        )


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Changes of the catalog; what is None does not matter."""

    ids: frozenset[UUID] | None = None
    kinds: frozenset[Kind] | None = None
    topics: frozenset[CatalogTopic] | None = None

    @property
    def narrowed(self) -> dict[str, Any]:
        """Topics."""
        return {} if self.topics is None else {"topics": sorted(self.topics)}

    def takes(self, change: CatalogChange) -> bool:
        """Whether kind and topic are those meant."""
        return (self.kinds is None or change.kind in self.kinds) and (
            self.topics is None or change.topic in self.topics
        )


async def meant(snapshot: Snapshot, slugs: Sequence[str]) -> dict[str, set[UUID]]:
    """The artifacts that each slug means, those that are in the catalog: over aliases and merges,
    every one on the way, so that whoever follows a slug hears of the merge as well, also when he
    was away meanwhile. Raises: Unavailable."""
    rows = await snapshot.fetch(
        f"{LED_TO} SELECT asked, id FROM led WHERE id IS NOT NULL", list(slugs)
    )
    found: dict[str, set[UUID]] = defaultdict(set)
    for asked, id in rows:
        found[asked].add(id)
    return found


@dataclass(eq=False, slots=True)
class _Ear(Generic[C]):
    """A follower that is up to date: what it has not taken yet waits here."""

    wanted: Wanted[C]
    at: Mark
    waiting: deque[C] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    overrun: bool = False

    def hear(self, change: C) -> None:
        """Puts the change behind those that wait, or notes that there are too many."""
        if self.overrun or mark_of(change) <= self.at or not self.wanted.takes(change):
            return
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append(change)
        else:
            self.overrun = True
        self.news.set()


class Hub(Generic[C]):
    """Hands each change of a feed to those who follow it in this process."""

    def __init__(self, feed: Feed[C], pool: Pool, listener: Listener, redis_url: str) -> None:
        self._feed = feed
        self._pool = pool
        self._listener = listener
        self._redis_url = redis_url
        self._entry = entries_of(feed)
        self._tasks: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()
        self._all: set[_Ear[C]] = set()
        self._by_id: dict[UUID, set[_Ear[C]]] = defaultdict(set)
        self._at = Mark.behind(0)
        # Whether Redis answers, and when it last brought something.
        self._redis_answers = False
        self._heard_at = 0.0

    @property
    def at(self) -> Mark | None:
        """Everything up to here has been handed out; None while nobody follows."""
        return self._at if self._tasks else None

    async def start(self) -> Mark:
        """Returns `at` when it is at work, which it is from the first call on.

        Raises: Unavailable.
        """
        async with self._starting:
            if self._tasks:
                return self._at
            try:
                self._at = await self._feed.end(self._pool)
            except (*LOST, *FULL) as reason:
                raise Unavailable(f"the database cannot answer now: {reason}") from reason
            self._tasks = [
                # It works for everybody, not for the operation that happens to come first.
                contextvars.Context().run(
                    asyncio.create_task, self._forever(work), name=f"{self._feed.name} feed"
                )
                for work in (self._hear_redis, self._watch_database)
            ]
            return self._at

    async def close(self) -> None:
        """Hands out nothing more."""
        for task in self._tasks:
            await stop(task)

    async def follow(
        self,
        after: Mark | None,
        wanted: Wanted[C],
        on_live: Callable[[Mark], bool] = lambda _: False,
    ) -> AsyncGenerator[C, None]:
        """The changes behind that mark, or behind the last one handed out, without end.

        Each time nothing is left to read, and before it waits, it says to `on_live` how far it
        has come; when that answers yes, somebody else goes on from there and this ends.
        """
        at = self._at if after is None else after
        while True:
            while at < self._at:
                stretch = await self._read(at, wanted)
                for change in stretch.changes:
                    if _meant(wanted, change):
                        yield change
                at = stretch.upto
            # From here to where it listens nothing is awaited, so there is no seam.
            if on_live(at):
                return
            with self._listening(_Ear(wanted, at)) as ear:
                while True:
                    while ear.waiting:
                        change = ear.waiting.popleft()
                        at = mark_of(change)
                        yield change
                    if ear.overrun:
                        break
                    await ear.news.wait()
                    ear.news.clear()

    async def _read(self, at: Mark, wanted: Wanted[C]) -> Stretch[C]:
        """The next stretch from PostgreSQL, as soon as it is there."""
        while True:
            try:
                return await self._feed.read(self._pool, at, **wanted.narrowed)
            except (*LOST, *FULL):
                await asyncio.sleep(PAUSE)

    @contextmanager
    def _listening(self, ear: _Ear[C]) -> Iterator[_Ear[C]]:
        ids = ear.wanted.ids
        places = [self._all] if ids is None else [self._by_id[id] for id in ids]
        for place in places:
            place.add(ear)
        try:
            yield ear
        finally:
            for place in places:
                place.discard(ear)
            for id in ids or ():
                if not self._by_id.get(id, True):
                    del self._by_id[id]

    def _hand_out(self, change: C) -> None:
        self._at = mark_of(change)
        ears = set(self._all)
        for id in change.concerned:
            ears |= self._by_id.get(id, set())
        for ear in ears:
            ear.hear(change)

    async def _forever(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                await work()
            except (*LOST, *FULL, RedisError) as reason:
                log.debug("the %s feed lost a server: %s", self._feed.name, reason)
            except Exception:
                # Whoever follows would wait for ever.
                log.exception("the %s feed failed and goes on", self._feed.name)
            await asyncio.sleep(PAUSE)

    async def _hear_redis(self) -> None:
        """Hands out what the stream brings, as long as Redis answers."""
        said = await history(self._pool)
        if said is None:
            return
        stream = stream_of(self._feed, said)
        client = open_client(self._redis_url, patience=BLOCK + SLACK)
        try:
            seen = self._at.entry
            while True:
                reply: Any = await client.xread(
                    {stream: seen}, count=MOST_WAITING, block=int(BLOCK * 1000)
                )
                self._redis_answers = True
                for id, fields in _entries(reply):
                    self._heard_at = time.monotonic()
                    await self._take(fields)
                    seen = id
        finally:
            self._redis_answers = False
            with suppress(RedisError):
                await client.aclose()

    async def _take(self, fields: dict[bytes, bytes]) -> None:
        try:
            entry = self._entry(fields)
        except (KeyError, msgspec.MsgspecError):
            # Another release wrote it, or somebody else.
            await self._catch_up()
            return
        if entry.upto <= self._at:
            return
        if entry.change is not None and entry.after <= self._at:
            self._hand_out(entry.change)
        else:
            # There is more in between than Redis says.
            await self._catch_up()

    async def _watch_database(self) -> None:
        """Hands out what Redis does not bring in time."""
        async with self._listener.wakes(PROJECTED) as wakes:
            while True:
                await self._catch_up()
                asked = time.monotonic()
                while True:
                    await wakes.wait(SAFETY)
                    if not self._redis_answers or time.monotonic() - asked > SAFETY:
                        break
                    await asyncio.sleep(GRACE)
                    if time.monotonic() - self._heard_at > 2 * GRACE:
                        break

    async def _catch_up(self) -> None:
        while True:
            stretch = await self._feed.read(self._pool, self._at)
            for change in stretch.changes:
                # Redis may have brought some of them meanwhile.
                if mark_of(change) > self._at:
                    self._hand_out(change)
            self._at = max(self._at, stretch.upto)
            if stretch.upto >= stretch.end:
                return


def _meant(wanted: Wanted[C], change: C) -> bool:
    return (wanted.ids is None or not wanted.ids.isdisjoint(change.concerned)) and wanted.takes(
        change
    )


def _entries(reply: Any) -> Any:
    """The entries of the only stream that was asked for, in either version of the protocol."""
    if not reply:
        return []
    ((_, entries),) = reply.items() if isinstance(reply, dict) else reply
    return entries


@dataclass(frozen=True)
class Feeds:
    """The hubs of a process."""

    ranks: Hub[RankChange]
    catalog: Hub[CatalogChange]


@asynccontextmanager
async def open_feeds(pool: Pool, listener: Listener, redis_url: str) -> AsyncIterator[Feeds]:
    """The hubs, at work from their first follower on until the block ends."""
    feeds = Feeds(Hub(RANKS, pool, listener, redis_url), Hub(CATALOG, pool, listener, redis_url))
    try:
        yield feeds
    finally:
        await feeds.ranks.close()
        await feeds.catalog.close()
