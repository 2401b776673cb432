"""What happened: the log, page by page and in words, and what differs between two moments.

A page is found by key, and what was said of a thing before by read model `trail`, so neither costs
more the longer the log or an artifact's history is. docs/history.md says what clients may rely on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from matchgraph.domain import history
from matchgraph.domain.aggregate import Aggregate, AggregateEvent
from matchgraph.domain.artifact import Alias, Artifact
from matchgraph.domain.calibration import Calibration
from matchgraph.domain.history import (
    About,
    Difference,
    Names,
    Source,
    Thing,
    differences,
    said,
)
from matchgraph.domain.policy import Policy
from matchgraph.domain.search import DiscardedReport, Search
from matchgraph.eventstore import codec
from matchgraph.projections.changes import RANK_COLUMNS, RankChange, rank_change
from matchgraph.projections.trail import STRETCH, subject
from matchgraph.queries import page as pages
from matchgraph.queries.as_of import BeforeHistory, TimeInFuture
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

MOST_LOOKED_THROUGH = 10_000
ANONYMOUS = "anonymous"
NEWEST, OLDEST = "newest_event", "oldest_event"
# Whatever comes: no position is behind it.
NEWEST_POSITION = 2**63 - 1


def _events_of(*aggregates: type[Aggregate]) -> frozenset[type[AggregateEvent]]:
    return frozenset(
        event
        for event in codec.EVENTS.values()
        if any(event in vars(aggregate).values() for aggregate in aggregates)
    )


OF_ARTIFACTS = _events_of(Artifact)
# What anybody may read in full. All else may say who somebody is, or what they looked for.
PUBLIC = frozenset(map(codec.topic_of, _events_of(Artifact, Alias, Policy, Calibration)))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A page of events behind position `since` and up to `until`; what is None does not matter.

    `artifact_id` means an artifact's own events and those of its aliases. `look_through` is how
    many events are looked at for the page, where no index knows which ones are meant.
    """

    artifact_id: UUID | None = None
    topics: tuple[str, ...] | None = None
    actor: str | None = None
    since: int = 0
    until: int = NEWEST_POSITION
    newest_first: bool = True
    first: int = 20
    after: str | None = None
    look_through: int = MOST_LOOKED_THROUGH

    @property
    def order(self) -> str:
        """What its cursors are marked with."""
        return NEWEST if self.newest_first else OLDEST

    @property
    def span(self) -> tuple[int, int]:
        """The positions that are left behind the cursor: behind the one, up to the other. Raises:
        BadCursor."""
        if self.after is None:
            return self.since, self.until
        (at,) = pages.decode(self.order, self.after, int)
        if self.newest_first:
            return self.since, min(self.until, at - 1)
        return max(self.since, at), self.until


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, readable. `version` is that of its shape as it was recorded; `payload` is what it
    says, in the newest shape."""

    position: int
    recorded_at: datetime
    topic: str
    version: int
    actor: str
    request_id: str
    artifact_id: UUID | None
    payload: Mapping[str, Any]
    source: Source | None
    changes: tuple[Difference, ...]
    slug: str | None
    summary: str
    names: Names

    @property
    def public(self) -> bool:
        """Whether anybody may read its payload."""
        return self.topic in PUBLIC


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events as of a position. It may hold fewer than were asked for and yet have more
    behind; `end` is where it goes on."""

    page: Page[Entry]
    end: str | None
    position: int


async def events(snapshot: Snapshot, asked: Asked) -> Found:
    """One page of what happened. Raises: BadPageSize, BadCursor, Unavailable.

    The log is shown as far as the read models have come, as everything else is.
    """
    first = pages.size(asked.first)
    low, high = asked.span
    await plan_each_time(snapshot)
    reached = await snapshot.position()
    look = _Look(snapshot, asked, low, min(high, reached), first + 1)
    found = _Rows([], None)
    if look.low < look.high:
        if asked.artifact_id is not None:
            found = await look.at_artifact(asked.artifact_id)
        elif asked.actor not in (None, ANONYMOUS):
            found = await look.at_actor()
        elif asked.topics is not None:
            found = await look.at_topics(asked.topics)
        else:
            found = await look.at_all()
    entries = await _entries(snapshot, found.rows[:first], asked.artifact_id)
    items = tuple((pages.encode(asked.order, [one.position]), one) for one in entries)
    end = items[-1][0] if items else None
    if len(found.rows) <= first and found.border is not None:
        end = pages.encode(asked.order, [found.border])
    more = len(found.rows) > first or found.border is not None
    return Found(Page(items, more), end, reached)


COLUMNS = (
    "e.position, e.originator_id, e.originator_version, e.topic, e.state, e.recorded_at, e.actor,"
    " e.request_id"
)


class _Look:
    """Looks for events behind `low` and up to `high`, at most `limit` of them."""

    def __init__(self, snapshot: Snapshot, asked: Asked, low: int, high: int, limit: int) -> None:
        self._snapshot = snapshot
        self.low = low
        self.high = high
        self._limit = limit
        self._filter = (None if asked.topics is None else list(asked.topics), asked.actor)
        self._newest = asked.newest_first
        self._look_through = asked.look_through
        self._direction = "DESC" if asked.newest_first else "ASC"

    async def at_all(self) -> "_Rows":
        return await self._at(
            "e.position > $1 AND e.position <= $2", [self.low, self.high], ["position"]
        )

    async def at_actor(self) -> "_Rows":
        # As rows, and with what the index leaves out spelled out: no other index than that of
        # actors has this order, and none else must be taken where an actor did little.
        return await self._at(
            "(e.actor, e.position) > ($1, $2) AND (e.actor, e.position) <= ($1, $3)"
            f" AND e.actor <> '{ANONYMOUS}'",
            [self._filter[1], self.low, self.high],
            ["actor", "position"],
        )

    async def at_artifact(self, id: UUID) -> "_Rows":
        low, high = [await _version(self._snapshot, id, at) for at in (self.low, self.high)]
        own = await self._at(
            "e.originator_id = $1 AND e.originator_version > $2 AND e.originator_version <= $3",
            [id, low, high],
            ["originator_version"],
        )
        low, high = self.low, self.high
        if own.border is not None:
            low, high = (own.border - 1, high) if self._newest else (low, own.border)
        aliases = await self._snapshot.fetch(
            f"SELECT {COLUMNS} FROM trail_alias t JOIN event e USING (position)"
            " WHERE t.artifact_id = $1 AND t.position > $2 AND t.position <= $3"
            f" AND {_meant(3)} ORDER BY t.position {self._direction} LIMIT {self._limit}",
            id,
            low,
            high,
            *self._filter,
        )
        rows = sorted((*own.rows, *aliases), key=_position, reverse=self._newest)
        return _Rows(rows[: self._limit], own.border)

    async def at_topics(self, topics: Sequence[str]) -> "_Rows":
        """Each stretch has an event of one of the topics at least, so as many of them as events are
        wanted will do; the first few, where the topic is everywhere."""
        found = await self._snapshot.fetch(
            "SELECT DISTINCT s.stretch FROM unnest($1::text[]) AS topic CROSS JOIN LATERAL ("
            " SELECT t.stretch FROM trail_topic t WHERE t.topic = topic.topic"
            " AND t.stretch >= $2 AND t.stretch <= $3"
            f" ORDER BY t.stretch {self._direction} LIMIT $4) AS s"
            f" ORDER BY s.stretch {self._direction} LIMIT $4",
            list(topics),
            (self.low + 1) // STRETCH,
            self.high // STRETCH,
            # The outermost one may have its events beyond the bounds.
            most := self._limit + 1,
        )
        stretches = [int(row["stretch"]) for row in found]
        rows: list[asyncpg.Record] = []
        for some in (stretches[:FIRST_STRETCHES], stretches[FIRST_STRETCHES:]):
            if some and len(rows) < self._limit:
                rows += await self._snapshot.fetch(
                    f"SELECT {COLUMNS} FROM unnest($1::bigint[]) AS stretch CROSS JOIN LATERAL ("
                    f" SELECT * FROM event e WHERE e.position >= stretch * {STRETCH}"
                    f" AND e.position < (stretch + 1) * {STRETCH}"
                    f" AND e.position > $2 AND e.position <= $3 AND {_meant(3)}"
                    f" ORDER BY e.position {self._direction} LIMIT {self._limit}) AS e"
                    f" ORDER BY e.position {self._direction} LIMIT {self._limit}",
                    some,
                    self.low,
                    self.high,
                    *self._filter,
                )
        if len(rows) >= self._limit or len(stretches) < most:
            return _Rows(rows[: self._limit], None)
        last = stretches[-1]
        return _Rows(rows, last * STRETCH if self._newest else (last + 1) * STRETCH - 1)

    async def _at(self, where: str, arguments: Sequence[object], keys: Sequence[str]) -> "_Rows":
        order = "ORDER BY " + ", ".join(f"e.{key} {self._direction}" for key in keys)
        rows = await self._snapshot.fetch(
            f"SELECT {COLUMNS} FROM"
            f" (SELECT * FROM event e WHERE {where} {order} LIMIT {self._look_through}) AS e"
            f" WHERE {_meant(len(arguments))} {order} LIMIT {self._limit}",
            *arguments,
            *self._filter,
        )
        if len(rows) == self._limit or self._filter == (None, None):
            return _Rows(list(rows), None)
        last = await self._snapshot.fetch(
            f"SELECT e.position FROM event e WHERE {where} {order}"
            f" OFFSET {self._look_through - 1} LIMIT 1",
            *arguments,
        )
        return _Rows(list(rows), last[0]["position"] if last else None)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Events in order, and the position up to which they were looked for, if that is not all that
    there is: then whoever wants more has to ask for what lies beyond it."""

    rows: list[asyncpg.Record]
    border: int | None


def _meant(behind: int) -> str:
    """Whether an event is of the topics and by the actor that the arguments behind these name."""
    topics, actor = f"${behind + 1}", f"${behind + 2}"
    return (
        f"({topics}::text[] IS NULL OR e.topic = ANY ({topics}))"
        f" AND ({actor}::text IS NULL OR e.actor = {actor})"
    )


# For a topic that is everywhere, so many stretches hold a page.
FIRST_STRETCHES = 4


def _position(row: asyncpg.Record) -> int:
    return int(row["position"])


async def _version(snapshot: Snapshot, id: UUID, position: int) -> int:
    """How many events the aggregate had at that position. Their positions rise with their versions,
    so twenty looks find one among a million."""
    rows = await snapshot.fetch(
        "WITH RECURSIVE seek (low, high) AS ("
        " SELECT 0::bigint, (SELECT coalesce(max(originator_version), 0) FROM event"
        "  WHERE originator_id = $1)"
        " UNION ALL"
        " SELECT CASE WHEN e.position <= $2 THEN middle ELSE low END,"
        "  CASE WHEN e.position <= $2 THEN high ELSE middle - 1 END"
        " FROM seek CROSS JOIN LATERAL (SELECT (low + high + 1) / 2) AS half (middle)"
        " JOIN event e ON e.originator_id = $1 AND e.originator_version = middle"
        " WHERE low < high"
        ") SELECT low FROM seek WHERE low = high",
        id,
        position,
    )
    return int(rows[0]["low"])


async def position_at(snapshot: Snapshot, moment: datetime, *, before: bool = False) -> int:
    """The last position that was recorded by that moment, or before it; 0: none was. Raises:
    Unavailable."""
    step = "- interval '1 microsecond'" if before else ""
    rows = await snapshot.fetch(
        f"SELECT coalesce(event_by($1::timestamptz {step}), max(position), 0) AS last FROM event",
        moment,
    )
    return int(rows[0]["last"])


async def as_of(snapshot: Snapshot, moment: int | datetime) -> int:
    """The position that the moment means. Raises: BeforeHistory, TimeInFuture, Unavailable.

    A position that no event has yet is left to whoever waits for it.
    """
    position: int | None
    if isinstance(moment, int):
        position = moment
    else:
        rows = await snapshot.fetch("SELECT event_by($1) AS last", moment)
        position = rows[0]["last"]
    if position is None:
        assert isinstance(moment, datetime), "a position is one"
        raise TimeInFuture(moment)
    if position < 1:
        raise BeforeHistory(moment)
    return position


async def artifact_by(snapshot: Snapshot, slug: str) -> UUID | None:
    """The artifact that was registered by that slug, also one that was merged since, or that an
    alias leads to now; None where there is none. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT id FROM artifact_listing WHERE slug = $1"
        " UNION ALL SELECT artifact_id FROM artifact_alias WHERE slug = $1",
        slug,
    )
    return rows[0]["id"] if rows else None


async def plan_each_time(snapshot: Snapshot) -> None:
    """Plans the statements that follow by the values they are executed with. A plan for any bounds
    takes a stretch of the log for a small part of it, and sorts what an index has in order."""
    await snapshot.fetch("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")


# From rows to what can be read.


async def _entries(
    snapshot: Snapshot, rows: Sequence[asyncpg.Record], artifact_id: UUID | None
) -> list[Entry]:
    """The events in their order; those of aliases as that artifact sees them, if one is given."""
    events = [_decoded(row) for row in rows]
    about = await _about(snapshot, rows, events, artifact_id)
    now = [{} if id is None else said(event, id) for event, id in zip(events, about, strict=True)]
    before = await _said_before(
        snapshot,
        [
            (id, thing, row["position"])
            for row, id, things in zip(rows, about, now, strict=True)
            for thing in things
            if id is not None
        ],
    )
    changes = [
        differences(
            {
                thing: _before(before, row["position"], thing, value)
                for thing, value in things.items()
            },
            things,
        )
        for row, things in zip(rows, now, strict=True)
    ]
    names = await _names(snapshot, events, about)
    return [
        Entry(
            position=row["position"],
            recorded_at=row["recorded_at"],
            topic=row["topic"],
            version=codec.recorded_version(row["state"]),
            actor=row["actor"],
            request_id=row["request_id"],
            artifact_id=id,
            payload=codec.payload(row["state"]),
            source=history.source_of(event),
            changes=differing,
            slug=None if id is None else names[id],
            summary=history.summary(event, None if id is None else names[id], differing, names),
            names=names,
        )
        for row, event, id, differing in zip(rows, events, about, changes, strict=True)
    ]


def _decoded(row: asyncpg.Record) -> AggregateEvent:
    return codec.decode(row["topic"], row["originator_id"], row["originator_version"], row["state"])


async def _about(
    snapshot: Snapshot,
    rows: Sequence[asyncpg.Record],
    events: Sequence[AggregateEvent],
    artifact_id: UUID | None,
) -> list[UUID | None]:
    """The artifact that each event is about: none for what is about all of them, or about several.
    An alias that is taken away is about the artifact that it led to."""
    gone = [row["position"] for row, event in zip(rows, events, strict=True) if _is_gone(event)]
    led_to = {}
    if gone and artifact_id is None:
        found = await snapshot.fetch(
            "SELECT t.position, t.artifact_id FROM event e JOIN trail_alias t"
            " ON t.alias_id = e.originator_id AND t.position = e.position"
            " WHERE e.position = ANY ($1)",
            gone,
        )
        led_to = {row["position"]: row["artifact_id"] for row in found}
    return [
        _artifact(event, artifact_id or led_to.get(row["position"]))
        for row, event in zip(rows, events, strict=True)
    ]


def _is_gone(event: AggregateEvent) -> bool:
    return isinstance(event, Alias.Unaliased)


def _artifact(event: AggregateEvent, by_alias: UUID | None) -> UUID | None:
    match event:
        case Alias.Aliased() | Alias.Realiased():
            return by_alias or event.artifact_id
        case Alias.Unaliased():
            return by_alias
        case Search.OutcomeReported():
            return event.served.artifact_id
        case DiscardedReport.Recorded():
            return event.artifact_id
    return event.originator_id if type(event) in OF_ARTIFACTS else None


def _before(
    said_before: Mapping[tuple[int, Thing], object], position: int, thing: Thing, now: object
) -> object:
    if thing.about is About.ALIAS:
        # Whoever is given an alias did not have it, and whoever loses it had it.
        return UUID(thing.key[0]) if now is None else None
    return said_before.get((position, thing))


async def _said_before(
    snapshot: Snapshot, asked: Sequence[tuple[UUID, Thing, int]]
) -> dict[tuple[int, Thing], object]:
    """What was last said of each thing of an artifact before a position."""
    if not asked:
        return {}
    rows = await snapshot.fetch(
        "SELECT number, t.position FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])"
        " WITH ORDINALITY AS asked (id, subject, position, number)"
        " CROSS JOIN LATERAL (SELECT position FROM trail t WHERE t.artifact_id = asked.id"
        " AND t.subject = asked.subject AND t.position < asked.position"
        " ORDER BY t.position DESC LIMIT 1) AS t",
        [id for id, _, _ in asked],
        [_subject(thing) for _, thing, _ in asked],
        [position for _, _, position in asked],
    )
    events = await _at_positions(snapshot, {row["position"] for row in rows})
    found = {}
    for row in rows:
        id, thing, position = asked[row["number"] - 1]
        found[position, thing] = said(events[row["position"]], id).get(thing)
    return found


def _subject(thing: Thing) -> UUID:
    return subject((thing.about, *thing.key))


async def _at_positions(snapshot: Snapshot, positions: set[int]) -> dict[int, AggregateEvent]:
    rows = await snapshot.fetch(
        "SELECT position, originator_id, originator_version, topic, state FROM event"
        " WHERE position = ANY ($1)",
        sorted(positions),
    )
    return {row["position"]: _decoded(row) for row in rows}


async def _names(
    snapshot: Snapshot, events: Sequence[AggregateEvent], about: Sequence[UUID | None]
) -> Names:
    ids = {id for id in about if id is not None}
    ids |= {id for event in events for id in history.mentioned(event)}
    return await _named(snapshot, ids)


async def _named(snapshot: Snapshot, ids: set[UUID]) -> Names:
    """The slugs of artifacts and aliases."""
    rows = await snapshot.fetch(
        "SELECT id, slug FROM artifact_listing WHERE id = ANY ($1)"
        " UNION ALL SELECT id, slug FROM artifact_alias WHERE id = ANY ($1)",
        list(ids),
    )
    return Names({row["id"]: row["slug"] for row in rows})


# What differs between two moments.


@dataclass(frozen=True, slots=True)
class Changed:
    """A thing that differs, and the newest event that says so."""

    difference: Difference
    position: int


@dataclass(frozen=True, slots=True)
class WhatChanged:
    """What of an artifact differs between two positions. The ranks are None before it was
    registered; their places were counted when they last moved."""

    changes: tuple[Changed, ...]
    rank_before: RankChange | None
    rank_after: RankChange | None
    names: Names


async def what_changed(snapshot: Snapshot, id: UUID, since: int, until: int) -> WhatChanged:
    """What of an artifact is other after `until` than it was after `since`. Raises: Unavailable.

    Source: for each thing, the last event about it up to either position; nothing in between.
    """
    await plan_each_time(snapshot)
    was, now = await _said_by(snapshot, id, since, until)
    events = await _at_positions(snapshot, {p for p in (*was.values(), *now.values()) if p})
    things: dict[UUID, Thing] = {}
    values: dict[tuple[int, UUID], object] = {}
    for position in sorted(events):
        for thing, value in said(events[position], id).items():
            key = _subject(thing)
            things[key] = thing
            values[position, key] = value
    found = [
        Changed(differing, position)
        for key, position in sorted(now.items(), key=lambda item: _in_order(things[item[0]]))
        for differing in differences(
            {things[key]: values.get((was[key], key))}, {things[key]: values[position, key]}
        )
    ]
    found += await _aliases(snapshot, id, since, until)
    ids = {id for one in found for id in history.ids_in(one.difference)}
    rank_before, rank_after = await _ranks(snapshot, id, since, until)
    return WhatChanged(tuple(found), rank_before, rank_after, await _named(snapshot, ids))


def _in_order(thing: Thing) -> tuple[int, tuple[str, ...]]:
    return list(About).index(thing.about), tuple(part or "" for part in thing.key)


async def _said_by(
    snapshot: Snapshot, id: UUID, since: int, until: int
) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """By its subject, where each thing that was said anew in between had been said last by either
    position; 0: not yet."""
    rows = await snapshot.fetch(
        "WITH RECURSIVE things (subject) AS ("
        " (SELECT subject FROM trail WHERE artifact_id = $1 ORDER BY subject LIMIT 1)"
        " UNION ALL"
        " SELECT (SELECT t.subject FROM trail t WHERE t.artifact_id = $1"
        "  AND t.subject > things.subject ORDER BY t.subject LIMIT 1)"
        " FROM things WHERE things.subject IS NOT NULL"
        ") SELECT subject, coalesce(was.position, 0) AS was, now.position AS now FROM things"
        " CROSS JOIN LATERAL (SELECT max(position) AS position FROM trail t"
        "  WHERE t.artifact_id = $1 AND t.subject = things.subject AND t.position <= $2) AS was"
        " CROSS JOIN LATERAL (SELECT max(position) AS position FROM trail t"
        "  WHERE t.artifact_id = $1 AND t.subject = things.subject AND t.position <= $3) AS now"
        " WHERE now.position > $2",
        id,
        since,
        until,
    )
    return (
        {row["subject"]: row["was"] for row in rows},
        {row["subject"]: row["now"] for row in rows},
    )


async def _aliases(snapshot: Snapshot, id: UUID, since: int, until: int) -> list[Changed]:
    """The aliases that lead to it after the one position and not after the other."""
    rows = await snapshot.fetch(
        "SELECT alias_id, max(position) AS position,"
        " coalesce((array_agg(leads ORDER BY position DESC) FILTER (WHERE position <= $2))[1],"
        "  false) AS was,"
        " (array_agg(leads ORDER BY position DESC))[1] AS now"
        " FROM trail_alias WHERE artifact_id = $1 AND position <= $3"
        " GROUP BY alias_id ORDER BY 2",
        id,
        since,
        until,
    )
    return [
        Changed(
            Difference(
                Thing(About.ALIAS, (str(row["alias_id"]),)),
                None,
                row["alias_id"] if row["was"] else None,
                row["alias_id"] if row["now"] else None,
            ),
            row["position"],
        )
        for row in rows
        if row["was"] != row["now"]
    ]


async def _ranks(
    snapshot: Snapshot, id: UUID, since: int, until: int
) -> tuple[RankChange | None, RankChange | None]:
    rows = await snapshot.fetch(
        f"SELECT asked.number, {RANK_COLUMNS}"
        " FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (position, number)"
        " CROSS JOIN LATERAL (SELECT * FROM rank_history h WHERE h.artifact_id = $1"
        " AND h.position <= asked.position ORDER BY h.position DESC LIMIT 1) AS h"
        " JOIN rank_evidence r ON r.artifact_id = h.artifact_id"
        " JOIN event e ON e.position = h.position",
        id,
        [since, until],
    )
    found = {row["number"]: rank_change(row) for row in rows}
    return found.get(1), found.get(2)
