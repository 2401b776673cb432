"""What happened: events, an artifact's history, series for charts, what changed in between."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import relay
from strawberry.scalars import JSON

from matchgraph.domain import history as domain
from matchgraph.domain.history import Names, Standing
from matchgraph.domain.ranking import MILLION, PARTS
from matchgraph.domain.role import Role
from matchgraph.domain.series import Point as PointValue
from matchgraph.eventstore import codec
from matchgraph.graphql.access import require
from matchgraph.graphql.artifact import After, Artifact, Connection, Edge, First
from matchgraph.graphql.as_of import AsOf
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import About, Every, Method, Unit
from matchgraph.graphql.inputs import moment
from matchgraph.graphql.rank import points
from matchgraph.graphql.scalars import Amount, BadInput, Position, several, text
from matchgraph.graphql.subscription import BAND, RankPartChange
from matchgraph.projections.changes import RankChange
from matchgraph.queries import history as queries
from matchgraph.queries import series
from matchgraph.queries.artifact import by_ids
from matchgraph.queries.history import NEWEST_POSITION, Asked, Entry, Found
from matchgraph.queries.position import reach
from matchgraph.queries.snapshot import Snapshot, viewing


@strawberry.enum(description="How something differs.")
class DifferenceKind(StrEnum):
    """How something differs."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@strawberry.type(
    description=(
        "What is said of one thing since an event, and was before. A price that is seen again and "
        "a fact that is confirmed do not differ."
    )
)
class Difference:
    about: About = strawberry.field(description="What sort of thing it is.")
    name: str = strawberry.field(
        description=(
            "Which one: the fact, the key of the capability, the provider of the price, the signal "
            "in lower case, the slug of the alias or of the other artifact; or `status`."
        )
    )
    field: str | None = strawberry.field(
        description="Which field of a capability that was and is there; null: all of it."
    )
    per: Unit | None = strawberry.field(description="Of a price: the unit it is for.")
    tier: str | None = strawberry.field(description="Of a price: the plan or condition it is for.")
    source: str | None = strawberry.field(description="Of a price or a signal: where it was seen.")
    kind: DifferenceKind = strawberry.field(description="Whether it is new, different, or gone.")
    before: JSON | None = strawberry.field(
        description=(
            "What was said: a text, a number, a list, or an object as in the payload of events, "
            "amounts as exact decimals for ONE unit; null: nothing."
        )
    )
    after: JSON | None = strawberry.field(description="What is said now; null: nothing any more.")
    position: Position = strawberry.field(description="The newest event that says so.")
    sentence: str = strawberry.field(description="The difference in words, made from the data.")

    @classmethod
    def of(cls, slug: str, value: domain.Difference, position: int, names: Names) -> "Difference":
        """The value as the schema has it."""
        about, key = value.thing
        before, after = _json(value.before, names), _json(value.after, names)
        return cls(
            about=about,
            name=_name(value, names),
            field=value.field,
            per=Unit(key[1]) if about is About.PRICE and key[1] else None,
            tier=key[2] if about is About.PRICE else None,
            source=key[-1] if about in (About.PRICE, About.SIGNAL) else None,
            kind=_kind(before, after),
            before=before,
            after=after,
            position=Position(position),
            sentence=domain.sentence(slug, value, names),
        )


def _name(value: domain.Difference, names: Names) -> str:
    about, key = value.thing
    if about in (About.ALIAS, About.ABSORBED, About.TOLD_APART):
        return names[UUID(key[0])]
    return str(key[0]) if key else about.value


def _json(value: object, names: Names) -> Any:
    match value:
        case UUID():
            return names[value]
        case Standing(into=UUID() as into):
            return {**codec.json_of(value), "into": names[into]}
    return codec.json_of(value)


def _kind(before: Any, after: Any) -> DifferenceKind:
    if before is None:
        return DifferenceKind.ADDED
    return DifferenceKind.REMOVED if after is None else DifferenceKind.CHANGED


@strawberry.type(
    description=(
        "One entry of the log: what happened, in words and as data. Who did it, and what searchers "
        "looked for, is told to auditors alone."
    )
)
class Event:
    position: Position = strawberry.field(description="Its place in the one order.")
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    topic: str = strawberry.field(description="What it is, such as `price.observed`.")
    version: int = strawberry.field(
        description="The version of its shape that it was recorded in; it is shown in the newest."
    )
    summary: str = strawberry.field(
        description="What happened, in one sentence made from the data; without a searcher's words."
    )
    changes: list[Difference] = strawberry.field(
        description="What it changed, thing by thing; empty where it only confirms what was known."
    )
    source: str | None = strawberry.field(
        description="Where what it says comes from; null: it is a decision made here."
    )
    method: Method | None = strawberry.field(description="How the source knows, if that is said.")
    observed_at: datetime | None = strawberry.field(description="When it was so, by the source.")
    payload: JSON | None = strawberry.field(
        description=(
            "All that it says, in the newest shape, amounts as exact decimals for ONE unit. Null "
            "where it may be about a person, as with searches and outcomes, unless an auditor asks."
        )
    )
    actor: str | None = strawberry.field(description="Who did it; null, unless an auditor asks.")
    request_id: str | None = strawberry.field(
        description="The request that did it; null, unless an auditor asks."
    )
    artifact_id: strawberry.Private[UUID | None]

    @strawberry.field(
        description=(
            "The artifact that it is about, as it is now; null: it is about none, or as a search, "
            "about several."
        )
    )
    async def artifact(self, info: Info) -> Artifact | None:
        if self.artifact_id is None:
            return None
        found = await info.context.view(info).loaders.by_id.load(self.artifact_id)
        return None if found is None else Artifact.of(found)

    @classmethod
    def of(cls, entry: Entry, role: Role) -> "Event":
        """The entry as somebody in that role may see it."""
        audits = role >= Role.AUDITOR
        source = entry.source
        return cls(
            position=Position(entry.position),
            recorded_at=entry.recorded_at,
            topic=entry.topic,
            version=entry.version,
            summary=entry.summary,
            changes=[
                Difference.of(entry.slug or "", one, entry.position, entry.names)
                for one in entry.changes
            ],
            source=None if source is None else source.source,
            method=None if source is None else source.method,
            observed_at=None if source is None else source.observed_at,
            payload=JSON(entry.payload) if audits or entry.public else None,
            actor=entry.actor if audits else None,
            request_id=entry.request_id if audits else None,
            artifact_id=entry.artifact_id,
        )


@strawberry.type(
    description=(
        "A page of events. It may hold fewer than `first`, or none, and yet go on: where no index "
        "knows which events are meant, a page looks through 10,000 of them. Go by `pageInfo`."
    )
)
class EventConnection(Connection[Event]):
    position: Position = strawberry.field(
        description="What the read models include; the log is shown up to there."
    )


@strawberry.input(description="Which events are meant; all of what is given must hold.")
class EventFilter:
    artifact: str | None = strawberry.field(
        default=None,
        description=(
            "About this artifact and its aliases, by the slug it was registered with, also if it "
            "was merged since, or by an alias. Searches that served it are not among them."
        ),
    )
    topics: list[str] | None = strawberry.field(
        default=None, description="Any of these, such as `price.observed`."
    )
    actor: str | None = strawberry.field(
        default=None, description="Done by this one; for auditors alone."
    )
    from_: AsOf | None = strawberry.field(
        name="from", default=None, description="At this position or time, or later."
    )
    to: AsOf | None = strawberry.field(
        default=None, description="At this position or time, or earlier."
    )


def _topics(topics: list[str] | None) -> tuple[str, ...] | None:
    if topics is None:
        return None
    if not topics:
        raise BadInput("`topics` is empty, so nothing would ever come; leave it out for all.")
    for topic in several("topics", topics):
        if topic not in codec.EVENTS:
            known = ", ".join(sorted(codec.EVENTS))
            raise BadInput(f"`topics` names {topic[:60]!r}; there are: {known}.")
    return tuple(dict.fromkeys(topics))


def _actor(info: Info, actor: str | None) -> str | None:
    if actor is None:
        return None
    # Who did what is told to nobody else.
    require(info.context, "filter.actor", Role.AUDITOR)
    return text("filter.actor", actor, limit=500)


async def _known(snapshot: Snapshot, field: str, slug: str) -> UUID:
    """Raises: BadInput."""
    found = await queries.artifact_by(snapshot, text(field, slug, limit=500))
    if found is None:
        raise BadInput(
            f"`{field}`: there is no artifact {slug!r}.", "UNKNOWN_ARTIFACT", slugs=[slug]
        )
    return found


async def _span(snapshot: Snapshot, filter: EventFilter) -> tuple[int, int]:
    """Behind which position and up to which. Raises: BadInput, Unavailable."""
    low = None if filter.from_ is None else filter.from_.value("filter.from")
    high = None if filter.to is None else filter.to.value("filter.to")
    _in_order("filter.", low, high)
    since, until = 0, NEWEST_POSITION
    if isinstance(low, datetime):
        since = await queries.position_at(snapshot, low, before=True)
    elif low is not None:
        since = max(low - 1, 0)
    if isinstance(high, datetime):
        until = await queries.position_at(snapshot, high)
    elif high is not None:
        until = high
    return since, until


def _in_order(prefix: str, low: int | datetime | None, high: int | datetime | None) -> None:
    """Raises: BadInput if the one certainly lies behind the other."""
    for kind in (int, datetime):
        if isinstance(low, kind) and isinstance(high, kind) and low > high:  # type: ignore[operator]
            raise BadInput(
                f"`{prefix}from` is {low}, which comes after `{prefix}to`, {high}; swap them."
            )


def _shown(found: Found, role: Role, after: str | None) -> EventConnection:
    items = found.page.items
    return EventConnection(
        edges=[Edge(cursor=cursor, node=Event.of(entry, role)) for cursor, entry in items],
        page_info=relay.PageInfo(
            has_next_page=found.page.more,
            has_previous_page=after is not None,
            start_cursor=items[0][0] if items else None,
            end_cursor=found.end,
        ),
        position=Position(found.position),
    )


async def history_of(
    info: Info,
    artifact_id: UUID,
    topics: list[str] | None,
    oldest_first: bool,
    first: int,
    after: str | None,
) -> EventConnection:
    """The events of one artifact and its aliases, as of then no later ones. Raises: BadInput,
    BadCursor, Unavailable."""
    snapshot = info.context.view(info).snapshot
    asked = Asked(
        artifact_id=artifact_id,
        topics=_topics(topics),
        until=snapshot.as_of or NEWEST_POSITION,
        newest_first=not oldest_first,
        first=first,
        after=after,
    )
    found = await queries.events(snapshot, asked)
    return _shown(found, info.context.role, after)


# Series.


@strawberry.type(
    description=(
        "The value from `at` until the next point. A series is a step function: what is between "
        "two points is as the earlier one says."
    )
)
class SeriesPoint:
    start: datetime = strawberry.field(
        description="Where the stretch begins that is one point: the day, the week, the month."
    )
    at: datetime = strawberry.field(
        description="When `value` was observed (a price) or recorded (a rank)."
    )
    value: Amount | None = strawberry.field(
        description="The last value in the stretch; null: none from here on, or not known."
    )
    low: Amount | None = strawberry.field(
        description="The lowest that held in the stretch, also at its beginning."
    )
    high: Amount | None = strawberry.field(description="The highest that did.")
    observations: int = strawberry.field(
        description="How many events are in it; 0: the value was there before `from`."
    )
    position: Position = strawberry.field(description="The event that says `value`.")


def _amount(value: Any) -> Amount | None:
    if value is None:
        return None
    return points(value) if isinstance(value, int) else Amount(value)


def _point(value: PointValue[Any]) -> dict[str, Any]:
    return {
        "start": value.start,
        "at": value.at,
        "value": _amount(value.value),
        "low": _amount(value.low),
        "high": _amount(value.high),
        "observations": value.observations,
        "position": Position(value.position),
    }


@strawberry.type(
    description=(
        "What one provider asked for one unit in one currency, by one source, as a chart needs it. "
        "Where it was withdrawn, or asked in another currency, it has a gap."
    )
)
class PriceSeries:
    provider: str = strawberry.field(description="Who asks it.")
    per: Unit = strawberry.field(description="The unit that it is asked for.")
    tier: str | None = strawberry.field(description="The plan or condition it is for, if any.")
    source: str = strawberry.field(description="Where it was seen.")
    currency: str = strawberry.field(description="ISO 4217 code of all values.")
    unit: str = strawberry.field(
        description="What the values are for, as an axis says it: `1M input tokens`, `image`."
    )
    every: Every = strawberry.field(
        description="How long its stretches are: longer than asked for if they were too many."
    )
    points: list[SeriesPoint] = strawberry.field(description="Oldest first, at most 1,000.")

    @classmethod
    def of(cls, value: series.PriceSeries) -> "PriceSeries":
        """The value as the schema has it."""
        return cls(
            provider=value.provider,
            per=value.per,
            tier=value.tier,
            source=value.source,
            currency=value.currency,
            unit=value.per.spoken,
            every=value.every,
            points=[SeriesPoint(**_point(one)) for one in value.points],
        )


@strawberry.type(description="A score from `at` until the next point.")
class RankSeriesPoint(SeriesPoint):
    place: int | None = strawberry.field(
        description="Its place among its kind when the score last moved; null: off the board."
    )
    band: int | None = strawberry.field(description=BAND)


@strawberry.type(
    description="How an artifact ranked, as a chart needs it; a gap while it was not on the board."
)
class RankSeries:
    every: Every = strawberry.field(
        description="How long its stretches are: longer than asked for if they were too many."
    )
    points: list[RankSeriesPoint] = strawberry.field(description="Oldest first, at most 1,000.")

    @classmethod
    def of(cls, value: series.RankSeries) -> "RankSeries":
        """The value as the schema has it."""
        return cls(
            every=value.every,
            points=[
                RankSeriesPoint(**_point(one.point), place=one.place or None, band=one.band or None)
                for one in value.points
            ],
        )


async def price_series_of(
    info: Info,
    artifact_id: UUID,
    names: dict[str, str | None],
    per: Unit | None,
    since: datetime | None,
    until: datetime | None,
    every: Every,
) -> list[PriceSeries]:
    """The series of one artifact. Raises: BadInput, TooManySeries, Unavailable."""
    low, high = _between(since, until)
    meant = series.Prices(
        artifact_id=artifact_id,
        **{
            name: None if value is None else text(name, value, limit=500)
            for name, value in names.items()
        },
        per=per,
        since=low,
        until=high,
        every=every,
    )
    return [
        PriceSeries.of(one) for one in await series.prices(info.context.view(info).snapshot, meant)
    ]


async def rank_series_of(
    info: Info, artifact_id: UUID, since: datetime | None, until: datetime | None, every: Every
) -> RankSeries:
    """The series of one artifact. Raises: BadInput, Unavailable."""
    low, high = _between(since, until)
    found = await series.ranks(info.context.view(info).snapshot, artifact_id, low, high, every)
    return RankSeries.of(found)


def _between(
    since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Returns the moments if there is something between them. Raises: BadInput."""
    low = None if since is None else moment("from", since)
    high = None if until is None else moment("to", until)
    _in_order("", low, high)
    return low, high


# What changed.


@strawberry.type(description="How an artifact ranked when its rank last moved.")
class RankStanding:
    position: Position = strawberry.field(description="The event that moved it.")
    score: Amount = strawberry.field(description="0 to 100.")
    low: Amount = strawberry.field(description="Where the 80 % interval begins.")
    high: Amount = strawberry.field(description="Where the 80 % interval ends.")
    coverage: float = strawberry.field(
        description="The share of the score that evidence speaks for, 0 to 1."
    )
    place: int = strawberry.field(description="Its place among its kind, counted at that event.")
    band: int = strawberry.field(description=BAND)

    @classmethod
    def of(cls, value: RankChange | None) -> "RankStanding | None":
        """The value as the schema has it; None where it was not on the board."""
        if value is None or not value.place:
            return None
        return cls(
            position=Position(value.position),
            score=points(value.score),
            low=points(value.low),
            high=points(value.high),
            coverage=value.coverage / MILLION,
            place=value.place,
            band=value.band,
        )


@strawberry.type(description="What a rank was at one moment and at another.")
class RankDifference:
    before: RankStanding | None = strawberry.field(description="Null: it was not on the board.")
    after: RankStanding | None = strawberry.field(description="Null: it is not on the board.")
    moved: Amount | None = strawberry.field(
        description="By how many points the score moved; null unless it is and was on the board."
    )
    parts: list[RankPartChange] = strawberry.field(
        description="What the score is made of; empty while it is not on the board."
    )
    sentence: str = strawberry.field(description="The same in words.")

    @classmethod
    def of(cls, slug: str, was: RankChange | None, now: RankChange | None) -> "RankDifference":
        """The values as the schema has them."""
        before, after = RankStanding.of(was), RankStanding.of(now)
        both = was is not None and now is not None and before and after
        return cls(
            before=before,
            after=after,
            moved=points(now.score - was.score) if both and was and now else None,
            parts=[
                RankPartChange(
                    name=name,
                    points=points(now.points[place]),
                    before=points(was.points[place]) if was is not None and before else None,
                )
                for place, name in enumerate(PARTS)
                if now is not None and after
            ],
            sentence=domain.rank_sentence(slug, _placed(was), _placed(now)),
        )


def _placed(value: RankChange | None) -> domain.Placed | None:
    return domain.Placed(value.score, value.place) if value and value.place else None


@strawberry.type(
    description="What of an artifact differs between two moments, computed from the history alone."
)
class WhatChanged:
    artifact: Artifact = strawberry.field(description="The artifact, as it is now.")
    from_: Position = strawberry.field(
        name="from", description="It is compared as it was after this event."
    )
    to: Position = strawberry.field(description="And as it was after this one.")
    changes: list[Difference] = strawberry.field(
        description=(
            "Status, facts, capabilities, prices, signals, and aliases; what changed and changed "
            "back is not among them, nor is what was only seen again."
        )
    )
    rank: RankDifference = strawberry.field(description="How it ranked.")


@strawberry.type
class HistoryQuery:
    """What can be asked of the past."""

    @strawberry.field(
        description="Everything that happened, a page at a time; any depth costs the same."
    )
    async def events(
        self,
        info: Info,
        filter: Annotated[
            EventFilter | None, strawberry.argument(description="All of them if left out.")
        ] = None,
        oldest_first: Annotated[
            bool, strawberry.argument(description="From position 1 on; the newest first otherwise.")
        ] = False,
        first: First = 20,
        after: After = None,
    ) -> EventConnection:
        snapshot, role = info.context.view(info).snapshot, info.context.role
        filter = filter or EventFilter()
        topics, actor = _topics(filter.topics), _actor(info, filter.actor)
        since, until = await _span(snapshot, filter)
        asked = Asked(
            artifact_id=(
                None
                if filter.artifact is None
                else await _known(snapshot, "filter.artifact", filter.artifact)
            ),
            topics=topics,
            actor=actor,
            since=since,
            until=until,
            newest_first=not oldest_first,
            first=first,
            after=after,
        )
        return _shown(await queries.events(snapshot, asked), role, after)

    @strawberry.field(
        description=(
            "What of an artifact differs between two moments: how it was after the event at "
            "`from`, and after the event at `to`; so what `from` itself changed is left out, and "
            "what `to` changed is in."
        )
    )
    async def what_changed(
        self,
        info: Info,
        slug: Annotated[
            str,
            strawberry.argument(
                description="The slug it was registered with, also if merged since, or an alias."
            ),
        ],
        from_: Annotated[
            AsOf, strawberry.argument(name="from", description="Compare how it was then.")
        ],
        to: Annotated[
            AsOf | None, strawberry.argument(description="With how it was then; now if left out.")
        ] = None,
    ) -> WhatChanged:
        context = info.context
        low, high = from_.value("from"), None if to is None else to.value("to")
        _in_order("", low, high)
        async with viewing(context.pool) as snapshot:
            since = await queries.as_of(snapshot, low)
            until = None if high is None else await queries.as_of(snapshot, high)
        await reach(context.pool, context.store.listener, max(since, until or 0))
        # A view of its own: the fields beside this one may have begun to read an older one.
        async with viewing(context.pool) as snapshot:
            end = await snapshot.position() if until is None else until
            if since > end:
                raise BadInput(f"`from` is position {since}, which comes after `to`, {end}.")
            id = await _known(snapshot, "slug", slug)
            found = await queries.what_changed(snapshot, id, since, end)
            (listing,) = await by_ids(snapshot, [id])
        assert listing is not None, "an artifact that has a slug is listed"
        return WhatChanged(
            artifact=Artifact.of(listing),
            from_=Position(since),
            to=Position(end),
            changes=[
                Difference.of(listing.slug, one.difference, one.position, found.names)
                for one in found.changes
            ],
            rank=RankDifference.of(listing.slug, found.rank_before, found.rank_after),
        )
