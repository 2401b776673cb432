"""What changed, in order: two feeds out of PostgreSQL, and the task that puts them into Redis.

The feed of ranks is `rank_history`; the feed of the catalog is the log itself, as far as the read
models have come. Read by queries/feed.py, which hands each change to those who subscribed to it.
docs/subscriptions.md says what subscribers may rely on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import redis.asyncio as aioredis
from redis.exceptions import RedisError, ResponseError

from matchgraph.domain.aggregate import AggregateEvent
from matchgraph.domain.artifact import Alias, Artifact, Kind
from matchgraph.domain.price import Price, PriceLine
from matchgraph.eventstore import codec
from matchgraph.eventstore.connection import Connection, Pool, advisory_lock, connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.projections.redis_client import history, open_client
from matchgraph.projections.runner import AWAY

log = logging.getLogger(__name__)

PUBLISHING = 7233147820520
# So many changes are read at a time, and so many positions are looked through for them.
MOST_IN_STRETCH = 1_000
SPAN = 2_000
# Of more changes than this at once, the stream says only that they are in PostgreSQL.
MOST_PUBLISHED = 500
# About so many entries are kept in a stream.
STREAM_LENGTH = 10_000
# Units: seconds after which a statement or a command is given up.
PATIENCE = 10.0
REDIS_PATIENCE = 2.0

_LAST = UUID(int=2**128 - 1)
_HIGHEST = 2**63 - 1


class Mark(NamedTuple):
    """How far along a feed: behind the change of that artifact at that position."""

    position: int
    artifact_id: UUID

    @staticmethod
    def behind(position: int) -> "Mark":
        """Behind everything at that position."""
        return Mark(position, _LAST)

    @property
    def entry(self) -> str:
        """The id of the change's entry in a Redis stream; ids are in the order of the marks."""
        return f"{self.position}-{self.artifact_id.int >> 64}"


class Change(Protocol):
    """What the changes of every feed have in common."""

    @property
    def position(self) -> int:
        """The event that it came with."""

    @property
    def artifact_id(self) -> UUID:
        """The artifact that changed."""

    @property
    def concerned(self) -> tuple[UUID, ...]:
        """The artifacts whose followers want to hear of it."""


def mark_of(change: Change) -> Mark:
    """How far along the feed the change is."""
    return Mark(change.position, change.artifact_id)


@dataclass(frozen=True, slots=True)
class RankChange:
    """How an artifact ranks since the event at `position`, and how it did before.

    Shape: `points` and `was_points` in the order of domain.ranking.PARTS. Place and band are 0
        when it is not, or was not, on the board. Bit n of `announce` is set when the change is
        worth announcing at the n-th of domain.ranking.THRESHOLDS.
    Units: millionths of a point; coverage in millionths.
    """

    position: int
    artifact_id: UUID
    slug: str
    kind: Kind
    topic: str
    recorded_at: datetime
    score: int
    low: int
    high: int
    coverage: int
    place: int
    band: int
    was_score: int
    was_place: int
    was_band: int
    points: tuple[int, ...]
    was_points: tuple[int, ...]
    announce: int

    @property
    def concerned(self) -> tuple[UUID, ...]:
        """The artifact alone."""
        return (self.artifact_id,)


class CatalogTopic(StrEnum):
    """What an event can do to an artifact."""

    ARTIFACT_REGISTERED = "artifact.registered"
    ARTIFACT_DESCRIBED = "artifact.described"
    ARTIFACT_RETIRED = "artifact.retired"
    ARTIFACT_REINSTATED = "artifact.reinstated"
    ARTIFACT_MERGED = "artifact.merged"
    ARTIFACT_UNMERGED = "artifact.unmerged"
    ARTIFACT_ALIASED = "artifact.aliased"
    ARTIFACT_REALIASED = "artifact.realiased"
    ARTIFACT_UNALIASED = "artifact.unaliased"
    CAPABILITY_ADDED = "capability.added"
    CAPABILITY_REVISED = "capability.revised"
    CAPABILITY_RETIRED = "capability.retired"
    PRICE_OBSERVED = "price.observed"
    PRICE_WITHDRAWN = "price.withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogChange:
    """What an event did to an artifact. What does not go with its topic is None: `alias` is the
    slug that leads to the artifact, or no longer does; `into` and `into_id` are the artifact that
    it was merged into; `capability` is a key; `line` is the price that was withdrawn, as was seen
    at `observed_at`."""

    position: int
    artifact_id: UUID
    slug: str
    kind: Kind
    topic: CatalogTopic
    recorded_at: datetime
    alias: str | None = None
    into: str | None = None
    into_id: UUID | None = None
    capability: str | None = None
    price: Price | None = None
    line: PriceLine | None = None
    observed_at: datetime | None = None

    @property
    def concerned(self) -> tuple[UUID, ...]:
        """The artifact, and the one that it was merged into."""
        return (self.artifact_id,) if self.into_id is None else (self.artifact_id, self.into_id)


C = TypeVar("C", bound=Change)
Database = Pool | Connection


@dataclass(frozen=True, slots=True)
class Stretch(Generic[C]):
    """Some of a feed, in order. It holds all that there is up to `upto`; the feed as a whole goes
    up to `end` at present."""

    changes: tuple[C, ...]
    upto: Mark
    end: Mark


@dataclass(frozen=True)
class Feed(Generic[C]):
    """An endless sequence of changes.

    `read` gives the next stretch behind a mark, at most `limit` changes; what else it takes leaves
    changes out. It and `end`, how far the feed goes, raise one of LOST.
    """

    name: str
    kind: type[C]
    read: Callable[..., Awaitable[Stretch[C]]]
    end: Callable[[Database], Awaitable[Mark]]


# Ranks.

# Of a row of rank_history h, its artifact's rank_evidence r, and the event e that it came with.
RANK_COLUMNS = """
h.position, h.artifact_id, r.slug, r.kind, e.topic, e.recorded_at, h.score, h.low, h.high,
h.coverage, h.place, h.band, h.was_score, h.was_place, h.was_band, h.adoption, h.quality,
h.ecosystem, h.match_graph, h.freshness, h.was_adoption, h.was_quality, h.was_ecosystem,
h.was_match_graph, h.was_freshness, h.announce
"""
_RANKS = f"""
SELECT reached.position AS reached, c.*
FROM (SELECT position FROM projection_checkpoint WHERE name = 'rank_board') AS reached
LEFT JOIN LATERAL (
  SELECT {RANK_COLUMNS}
  FROM rank_history h
  JOIN rank_evidence r ON r.artifact_id = h.artifact_id
  JOIN event e ON e.position = h.position
  WHERE (h.position, h.artifact_id) > ($1, $2) AND h.position <= $3
    AND ($5::uuid[] IS NULL OR h.artifact_id = ANY ($5)) AND ($6 = 0 OR h.announce & $6 <> 0)
  ORDER BY h.position, h.artifact_id LIMIT $4
) AS c ON true ORDER BY c.position, c.artifact_id
"""


async def _ranks(
    db: Database,
    after: Mark,
    *,
    limit: int = MOST_IN_STRETCH,
    ids: Sequence[UUID] | None = None,
    announce: int = 0,
) -> Stretch[RankChange]:
    """Only those of `ids` and with a bit of `announce`, unless that is None or 0."""
    rows = await db.fetch(_RANKS, *after, _beyond(after), limit, ids, announce, timeout=PATIENCE)
    # The table and its checkpoint move together, so what is there is all there is up to it.
    reached = int(rows[0]["reached"])
    changes = [rank_change(row) for row in rows if row["position"] is not None]
    return _stretch(after, reached, limit, changes)


def rank_change(row: asyncpg.Record) -> RankChange:
    """The change in a row whose first column is something else and then RANK_COLUMNS."""
    _, position, artifact_id, slug, kind, *rest = row
    values: list[Any] = [position, artifact_id, slug, Kind(kind), *rest[:11]]
    values += [tuple(rest[11:16]), tuple(rest[16:21]), rest[21]]
    return RankChange(*values)


async def _end_of_ranks(db: Database) -> Mark:
    return Mark.behind(
        await db.fetchval(
            "SELECT position FROM projection_checkpoint WHERE name = 'rank_board'",
            timeout=PATIENCE,
        )
    )


# The catalog.

# What a change is told with, and what whoever hears of it will look at.
_REACHED = """
SELECT min(position) FROM projection_checkpoint
WHERE name IN ('artifact_listing', 'capability_listing', 'price_history')
"""
_EVENTS = f"""
SELECT reached.position AS reached, e.*
FROM ({_REACHED}) AS reached (position)
LEFT JOIN LATERAL (
  SELECT position, originator_id, originator_version, topic, state, recorded_at FROM event
  WHERE position > $1 AND position <= least($2, reached.position) AND topic = ANY ($4)
  ORDER BY position LIMIT $3
) AS e ON true ORDER BY e.position
"""
_NAMES = """
SELECT id, slug, kind FROM artifact_listing WHERE id = ANY ($1)
UNION ALL SELECT id, slug, NULL FROM artifact_alias WHERE id = ANY ($1)
"""
# An alias that is taken away was given before: the event before that one says to what.
_GIVEN_BEFORE = """
SELECT e.originator_id, e.originator_version, e.topic, e.state
FROM unnest($1::uuid[], $2::bigint[]) AS u (id, version)
JOIN event e ON e.originator_id = u.id AND e.originator_version = u.version - 1
"""


async def _catalog(
    db: Database,
    after: Mark,
    *,
    limit: int = MOST_IN_STRETCH,
    topics: Sequence[CatalogTopic] = tuple(CatalogTopic),
) -> Stretch[CatalogChange]:
    """Only those of `topics`."""
    # An event is one change, so a mark within a position is behind all of it.
    rows = await db.fetch(_EVENTS, after.position, _beyond(after), limit, topics, timeout=PATIENCE)
    reached = int(rows[0]["reached"])
    found = [
        (row, codec.decode(row["topic"], row["originator_id"], row[3], row["state"]))
        for row in rows
        if row["position"] is not None
    ]
    names = await _named(db, found)
    return _stretch(after, reached, limit, [_change(row, event, names) for row, event in found])


@dataclass(frozen=True)
class _Names:
    """What the events of a stretch name by id: artifacts and aliases, and what each alias that is
    taken away led to."""

    slugs: dict[UUID, str]
    kinds: dict[UUID, str]
    led_to: dict[tuple[UUID, int], UUID]


async def _named(db: Database, events: Sequence[tuple[asyncpg.Record, AggregateEvent]]) -> _Names:
    gone = [event for _, event in events if isinstance(event, Alias.Unaliased)]
    led_to = await _given_before(db, gone) if gone else {}
    ids = {row["originator_id"] for row, _ in events} | set(led_to.values())
    ids |= {event.into for _, event in events if isinstance(event, Artifact.Merged)}
    ids |= {
        event.artifact_id
        for _, event in events
        if isinstance(event, (Alias.Aliased, Alias.Realiased))
    }
    rows = await db.fetch(_NAMES, list(ids), timeout=PATIENCE) if ids else []
    return _Names(
        slugs={row["id"]: row["slug"] for row in rows},
        kinds={row["id"]: row["kind"] for row in rows if row["kind"] is not None},
        led_to=led_to,
    )


async def _given_before(
    db: Database, gone: Iterable[AggregateEvent]
) -> dict[tuple[UUID, int], UUID]:
    keys = [(event.originator_id, event.originator_version) for event in gone]
    rows = await db.fetch(
        _GIVEN_BEFORE, [id for id, _ in keys], [version for _, version in keys], timeout=PATIENCE
    )
    found = {}
    for id, version, topic, state in rows:
        event: Any = codec.decode(topic, id, version, state)
        found[id, version + 1] = event.artifact_id
    return found


def _change(row: asyncpg.Record, event: AggregateEvent, names: _Names) -> CatalogChange:
    artifact_id: UUID = row["originator_id"]
    facts: dict[str, Any] = {}
    match event:
        case Alias.Aliased() | Alias.Realiased():
            facts = {"alias": names.slugs[artifact_id]}
            artifact_id = event.artifact_id
        case Alias.Unaliased():
            facts = {"alias": names.slugs[artifact_id]}
            artifact_id = names.led_to[artifact_id, event.originator_version]
        case Artifact.Merged():
            facts = {"into": names.slugs[event.into], "into_id": event.into}
        case Artifact.CapabilityAdded() | Artifact.CapabilityRevised():
            facts = {"capability": event.capability.key}
        case Artifact.CapabilityRetired():
            facts = {"capability": event.key}
        case Artifact.PriceObserved():
            facts = {"price": event.price}
        case Artifact.PriceWithdrawn():
            facts = {"line": event.line, "observed_at": event.observed_at}
    return CatalogChange(
        position=row["position"],
        artifact_id=artifact_id,
        slug=names.slugs[artifact_id],
        kind=Kind(names.kinds[artifact_id]),
        topic=CatalogTopic(row["topic"]),
        recorded_at=row["recorded_at"],
        **facts,
    )


async def _end_of_catalog(db: Database) -> Mark:
    return Mark.behind(await db.fetchval(_REACHED, timeout=PATIENCE))


def _beyond(after: Mark) -> int:
    """The last position to look through at once."""
    return min(after.position + SPAN, _HIGHEST)


def _stretch(after: Mark, reached: int, limit: int, changes: list[C]) -> Stretch[C]:
    end = Mark.behind(reached)
    full = len(changes) >= limit
    upto = mark_of(changes[-1]) if full else min(end, Mark.behind(_beyond(after)))
    # Whoever is ahead of the read models stays there.
    return Stretch(tuple(changes), max(after, upto), max(after, end))


RANKS: Feed[RankChange] = Feed("rank", RankChange, _ranks, _end_of_ranks)
CATALOG: Feed[CatalogChange] = Feed("catalog", CatalogChange, _catalog, _end_of_catalog)


# In Redis.


def stream_of(feed: Feed[Any], history: str) -> str:
    """The key of the feed's stream; the part in braces puts it in one slot of a Redis Cluster."""
    return f"matchgraph:{history}:{{feed:{feed.name}}}"


class Entry(NamedTuple, Generic[C]):
    """An entry of a stream: between `after` and `upto` there is this change and nothing else, or
    without a change, whatever PostgreSQL has."""

    after: Mark
    upto: Mark
    change: C | None

    def fields(self) -> dict[str, bytes]:
        """As `entries_of` reads them. One field, because each costs both sides as much as all that
        is in it."""
        return {"entry": _encode(self)}


def entries_of(feed: Feed[C]) -> Callable[[dict[bytes, bytes]], Entry[C]]:
    """What reads the entries of that feed's stream; it raises KeyError or msgspec.MsgspecError for
    what is none."""
    decoder: Any = msgspec.json.Decoder(tuple[Mark, Mark, feed.kind | None])  # type: ignore[name-defined]
    return lambda fields: Entry(*decoder.decode(fields[b"entry"]))


_encode = msgspec.json.Encoder().encode


class Publisher:
    """Puts each change into its feed's stream. Several may run, one of them works; that two work
    at the same time does no harm, as entries have the ids of their changes."""

    def __init__(
        self, url: str, listener: Listener, redis_url: str, feeds: Sequence[Feed[Any]] = ()
    ) -> None:
        self._url = url
        self._listener = listener
        self._redis_url = redis_url
        self._feeds = feeds or (RANKS, CATALOG)
        self._works = True

    async def run(self) -> None:
        """Works as soon as nobody else does, then follows the feeds without end."""
        while True:
            try:
                await self._lead()
            except (*AWAY, RedisError) as reason:
                if self._works:
                    log.warning("cannot publish changes, trying again: %s", reason)
                self._works = False
            except Exception:
                log.exception("publishing changes failed and goes on")
            await asyncio.sleep(0.5)

    async def _lead(self) -> None:
        connection = await connect(self._url, "publisher")
        client = open_client(self._redis_url, patience=REDIS_PATIENCE)
        try:
            await advisory_lock(connection, PUBLISHING)
            async with self._listener.wakes(PROJECTED) as wakes:
                while (said := await history(connection)) is None:
                    await wakes.wait()
                streams = [_Stream(feed, stream_of(feed, said), client) for feed in self._feeds]
                for stream in streams:
                    await stream.open(connection)
                while True:
                    self._works = True
                    if not any([await stream.advance(connection) for stream in streams]):
                        await wakes.wait()
        finally:
            connection.terminate()
            with suppress(RedisError):
                await client.aclose()


class _Stream(Generic[C]):
    """One feed's stream, as the publisher sees it."""

    def __init__(self, feed: Feed[C], key: str, client: "aioredis.Redis") -> None:
        self._feed = feed
        self._key = key
        self._client = client
        self._read = entries_of(feed)
        # How far it has been read, and behind which change the next one comes: readers know the
        # latter, and what they know of the former is not in the stream.
        self._at = self._last = Mark.behind(0)

    async def open(self, db: Connection) -> None:
        """Goes on behind the last entry; without any, from now on."""
        end = await self._feed.end(db)
        self._at = end
        newest: Any = await self._client.xrevrange(self._key, count=1)
        if newest:
            ((_, fields),) = newest
            try:
                upto = self._read(fields).upto
            except (KeyError, msgspec.MsgspecError):
                # Another release wrote it.
                upto = None
            if upto is None or upto > end:
                # Or it comes from a future that this database, restored to an earlier moment,
                # will not have.
                await self._client.delete(self._key)
            else:
                self._at = upto
        self._last = self._at

    async def advance(self, db: Connection) -> bool:
        """Adds what comes next, and says whether there may be more."""
        stretch = await self._feed.read(db, self._at, limit=MOST_PUBLISHED + 1)
        if len(stretch.changes) > MOST_PUBLISHED:
            await self._add([Entry(self._last, stretch.end, None)])
            self._at = self._last = stretch.end
            return True
        entries = []
        for change in stretch.changes:
            entries.append(Entry(self._last, mark_of(change), change))
            self._last = entries[-1].upto
        if entries:
            await self._add(entries)
        self._at = stretch.upto
        return stretch.upto < stretch.end

    async def _add(self, entries: Sequence[Entry[C]]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.xadd(
                    self._key,
                    entry.fields(),  # type: ignore[arg-type]
                    id=entry.upto.entry,
                    maxlen=STREAM_LENGTH,
                    approximate=True,
                )
            for answer in await pipeline.execute(raise_on_error=False):
                # Somebody has added it before; whoever reads finds out by what it is behind.
                if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
                    continue
                if isinstance(answer, Exception):
                    raise answer
