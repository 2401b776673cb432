"""Subscriptions: what changed, each change once and in order, from any point on.

How many subscribers share one execution is http/live.py's; here is what one execution does.
"""

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry
from strawberry import relay

from matchgraph.domain.ranking import MILLION, PARTS, THRESHOLDS
from matchgraph.graphql.artifact import Artifact, PriceObservation
from matchgraph.graphql.context import Context, Info
from matchgraph.graphql.enums import CatalogTopic, Kind, PartName
from matchgraph.graphql.rank import points
from matchgraph.graphql.scalars import Amount, BadInput, Position, several, text
from matchgraph.projections import changes
from matchgraph.projections.changes import Change, Mark, mark_of
from matchgraph.queries import page as pages
from matchgraph.queries.feed import Catalog, Hub, Ranks, Wanted, meant
from matchgraph.queries.page import BadCursor
from matchgraph.queries.position import InFuture, positions
from matchgraph.queries.price import Observation

MOST_TOP = 1_000
MOST_DELTA = THRESHOLDS[-1] // MILLION
C = TypeVar("C", bound=Change)
Shown = TypeVar("Shown")

After = Annotated[
    Position | None,
    strawberry.argument(
        description=(
            "Every change at a later position, from history first and then live; what is new "
            "from now on if left out."
        )
    ),
]
Cursor = Annotated[
    str | None,
    strawberry.argument(
        description=(
            "Every change behind the one that has this `cursor`; in place of `after`, and exact "
            "where many artifacts changed at one position."
        )
    ),
]
CURSOR = strawberry.field(description="Where this change is, for `cursor`.")
SLUG = strawberry.field(description="The address of the artifact that changed.")
KIND = strawberry.field(description="What sort of thing it is.")
BAND = "1 and how many of its kind clearly beat it: their intervals lie above its own."
# Not `id`: what has one is cached under it by clients, and this is another thing's.
ID = strawberry.field(
    name="artifactId", description="The id of the artifact, as `Artifact.id` has it."
)


def cursor_of(feed: str, mark: Mark) -> str:
    """Where a change is in the feed, for `cursor`."""
    return pages.encode(feed, [mark.position, mark.artifact_id])


def read_cursor(feed: str, cursor: str) -> Mark:
    """Raises: BadInput."""
    try:
        return Mark(*pages.decode(feed, text("cursor", cursor, limit=200), int, UUID))
    except BadCursor:
        raise BadInput("`cursor` is not one that a change of this subscription had.") from None


def slow_subscriber(feed: str, at: Mark, waiting: int) -> dict[str, object]:
    """The error for who does not read what it is sent, as it is written."""
    return {
        "message": (
            f"{waiting} changes wait that were not read, so this ends here. Subscribe again with "
            "the `cursor` of the last change that came."
        ),
        "extensions": {
            "code": "SLOW_SUBSCRIBER",
            "cursor": cursor_of(feed, at),
            "position": str(at.position),
        },
    }


@strawberry.type(description="How an artifact stood before a change.")
class RankBefore:
    score: Amount = strawberry.field(description="The score, 0 to 100.")
    place: int = strawberry.field(description="The place among its kind, from 1.")
    band: int = strawberry.field(description=BAND)


@strawberry.type(description="What a part contributes to a score.")
class RankPartChange:
    name: PartName = strawberry.field(description="Which part.")
    points: Amount = strawberry.field(description="Points of the score since the change.")
    before: Amount | None = strawberry.field(
        description="Points before the change; null when it was not on the board."
    )


@strawberry.type(description="The event that a change came with.")
class Cause:
    position: Position = strawberry.field(description="Its position.")
    topic: str = strawberry.field(
        description="What it says, such as `signal.observed` or `ranks.calibrated`."
    )
    recorded_at: datetime = strawberry.field(description="When it was recorded.")


async def _artifact(info: Info, id: UUID) -> Artifact | None:
    found = await info.context.view(info).loaders.by_id.load(id)
    return None if found is None else Artifact.of(found)


ARTIFACT = (
    "The artifact as it is when this is sent, which may be later than the change; null: it is not "
    "listed yet."
)


@strawberry.type(
    description=(
        "An artifact ranks differently since the event at `position`. Once it has left the board "
        "(retired or merged), `listed` is false and its rank null."
    )
)
class RankChange:
    position: Position = strawberry.field(description="The event that changed it.")
    cursor: str = CURSOR
    slug: str = SLUG
    kind: Kind = KIND
    global_id: relay.GlobalID = ID
    listed: bool = strawberry.field(description="Whether it is on the board since the change.")
    score: Amount | None = strawberry.field(description="The score, 0 to 100.")
    low: Amount | None = strawberry.field(description="Lower end of the score's 80 % interval.")
    high: Amount | None = strawberry.field(description="Upper end of the score's 80 % interval.")
    coverage: float | None = strawberry.field(
        description="The share of the score that evidence speaks for, 0 to 1."
    )
    place: int | None = strawberry.field(description="The place among its kind, from 1.")
    band: int | None = strawberry.field(description=BAND)
    before: RankBefore | None = strawberry.field(
        description="How it stood before; null when it was not on the board."
    )
    parts: list[RankPartChange] = strawberry.field(
        description="What the score is made of; they add up to it. Empty once off the board."
    )
    cause: Cause = strawberry.field(description="The event that changed it.")
    artifact_id: strawberry.Private[UUID]

    @strawberry.field(description=ARTIFACT)
    async def artifact(self, info: Info) -> Artifact | None:
        return await _artifact(info, self.artifact_id)

    @classmethod
    def of(cls, value: changes.RankChange) -> "RankChange":
        """The value as the schema has it."""
        listed, was_listed = value.place > 0, value.was_place > 0
        return cls(
            position=Position(value.position),
            cursor=cursor_of(changes.RANKS.name, mark_of(value)),
            slug=value.slug,
            kind=value.kind,
            global_id=relay.GlobalID("Artifact", str(value.artifact_id)),
            listed=listed,
            score=points(value.score) if listed else None,
            low=points(value.low) if listed else None,
            high=points(value.high) if listed else None,
            coverage=value.coverage / MILLION if listed else None,
            place=value.place if listed else None,
            band=value.band if listed else None,
            before=_before(value) if was_listed else None,
            parts=[
                RankPartChange(
                    name=name,
                    points=points(now),
                    before=points(was) if was_listed else None,
                )
                for name, now, was in zip(PARTS, value.points, value.was_points, strict=True)
                if listed
            ],
            cause=Cause(
                position=Position(value.position), topic=value.topic, recorded_at=value.recorded_at
            ),
            artifact_id=value.artifact_id,
        )


def _before(value: changes.RankChange) -> RankBefore:
    return RankBefore(score=points(value.was_score), place=value.was_place, band=value.was_band)


@strawberry.type(description="What an event did to an artifact, its aliases and its prices.")
class CatalogChange:
    position: Position = strawberry.field(description="The event.")
    cursor: str = CURSOR
    topic: CatalogTopic = strawberry.field(description="What it did.")
    recorded_at: datetime = strawberry.field(description="When it was recorded.")
    slug: str = SLUG
    kind: Kind = KIND
    global_id: relay.GlobalID = ID
    tombstone: bool = strawberry.field(
        description=(
            "Whether it took something away: the artifact itself (ARTIFACT_RETIRED, "
            "ARTIFACT_MERGED), an alias, a capability or a price."
        )
    )
    alias: str | None = strawberry.field(
        description="The slug that leads to the artifact, or no longer does."
    )
    into: str | None = strawberry.field(
        description="The slug of the artifact that it was merged into."
    )
    capability: str | None = strawberry.field(description="The key of the capability.")
    price: PriceObservation | None = strawberry.field(
        description="The price that was seen, or seen to be gone."
    )
    artifact_id: strawberry.Private[UUID]

    @strawberry.field(description=ARTIFACT)
    async def artifact(self, info: Info) -> Artifact | None:
        return await _artifact(info, self.artifact_id)

    @classmethod
    def of(cls, value: changes.CatalogChange) -> "CatalogChange":
        """The value as the schema has it."""
        return cls(
            position=Position(value.position),
            cursor=cursor_of(changes.CATALOG.name, mark_of(value)),
            topic=value.topic,
            recorded_at=value.recorded_at,
            slug=value.slug,
            kind=value.kind,
            global_id=relay.GlobalID("Artifact", str(value.artifact_id)),
            tombstone=value.topic in TAKEN_AWAY,
            alias=value.alias,
            into=value.into,
            capability=value.capability,
            price=_price(value),
            artifact_id=value.artifact_id,
        )


TAKEN_AWAY = (
    CatalogTopic.ARTIFACT_RETIRED,
    CatalogTopic.ARTIFACT_MERGED,
    CatalogTopic.ARTIFACT_UNALIASED,
    CatalogTopic.CAPABILITY_RETIRED,
    CatalogTopic.PRICE_WITHDRAWN,
)


def _price(value: changes.CatalogChange) -> PriceObservation | None:
    price = value.price
    if price is not None:
        seen = Observation(price.line, price, price.observed_at, value.position)
    elif value.line is not None and value.observed_at is not None:
        seen = Observation(value.line, None, value.observed_at, value.position)
    else:
        return None
    return PriceObservation.of(seen)


@strawberry.input(description="Which changes are meant; all of what is given must hold.")
class RankChangeFilter:
    slugs: list[str] | None = strawberry.field(
        default=None,
        description=(
            "Of any of these artifacts, by slug or alias; one that is merged when the subscription "
            "begins stands for the artifact it leads to as well."
        ),
    )
    kinds: list[Kind] | None = strawberry.field(default=None, description="Of any of these kinds.")
    top: int | None = strawberry.field(
        default=None,
        description=(
            f"With a place, old or new, from 1 to this; 1 to {MOST_TOP}. Those whom another pushes "
            "down have no change of their own."
        ),
    )

    async def to_query(self, info: Info, announce: int) -> Ranks:
        """Raises: BadInput, Unavailable."""
        if self.top is not None and not 1 <= self.top <= MOST_TOP:
            raise BadInput(f"`filter.top` is {self.top}; it is 1 to {MOST_TOP}.")
        kinds = _given("filter.kinds", self.kinds)
        return Ranks(
            ids=await _ids(info, self.slugs),
            kinds=None if kinds is None else frozenset(kinds),
            top=self.top,
            announce=announce,
        )


@strawberry.input(description="Which changes are meant; all of what is given must hold.")
class CatalogChangeFilter:
    slugs: list[str] | None = strawberry.field(
        default=None,
        description=(
            "Of any of these artifacts, by slug or alias, or merged into one; one that is merged "
            "when the subscription begins stands for the artifact it leads to as well."
        ),
    )
    kinds: list[Kind] | None = strawberry.field(default=None, description="Of any of these kinds.")
    topics: list[CatalogTopic] | None = strawberry.field(default=None, description="Any of these.")

    async def to_query(self, info: Info) -> Catalog:
        """Raises: BadInput, Unavailable."""
        kinds = _given("filter.kinds", self.kinds)
        topics = _given("filter.topics", self.topics)
        return Catalog(
            ids=await _ids(info, self.slugs),
            kinds=None if kinds is None else frozenset(kinds),
            topics=None if topics is None else frozenset(topics),
        )


def _given(field: str, values: Sequence[Shown] | None) -> Sequence[Shown] | None:
    """Raises: BadInput for a list that lets nothing through."""
    if values is not None and not values:
        raise BadInput(f"`{field}` is empty, so nothing would ever come; leave it out for all.")
    return values


async def _ids(info: Info, slugs: list[str] | None) -> frozenset[UUID] | None:
    """The artifacts that the slugs lead to now. Raises: BadInput, Unavailable."""
    if slugs is None:
        return None
    asked = several("filter.slugs", list(_given("filter.slugs", slugs) or ()))
    found = await meant(info.context.view(info).snapshot, asked)
    # It may be long until the first change, and a view holds a connection.
    await info.context.look_again()
    unknown = [slug for slug in asked if slug not in found]
    if unknown:
        raise BadInput(f"`filter.slugs` names {unknown[0]!r}, which is not in the catalog.")
    return frozenset().union(*found.values())


def _threshold(min_delta: float) -> int:
    """The bit of the lowest threshold that is no lower. Raises: BadInput."""
    if not math.isfinite(min_delta) or not 0 <= min_delta <= MOST_DELTA:
        raise BadInput(
            f"`minDelta` is {min_delta:g} points; changes are announced from 0 to {MOST_DELTA}."
        )
    asked = round(min_delta * MILLION)
    return next(1 << bit for bit, points in enumerate(THRESHOLDS) if points >= asked)


async def _start(
    context: Context, hub: Hub[C], feed: str, after: Position | None, cursor: str | None
) -> Mark | None:
    """Where to begin; None: with what is new. Raises: BadInput, InFuture, Unavailable."""
    reached = await hub.start()
    assert context.course is not None, "an extension refuses subscriptions where there is none"
    if context.course.start is not None:
        return context.course.start
    if after is not None and cursor is not None:
        raise BadInput("`after` and `cursor` both say where to begin: give one of them.")
    if cursor is not None:
        mark = read_cursor(feed, cursor)
    elif after is not None:
        mark = Mark.behind(after)
    else:
        return None
    if mark.position > reached.position:
        _, head = await positions(context.pool)
        if mark.position > head:
            raise InFuture(mark.position, head)
    return mark


async def _following(
    context: Context,
    hub: Hub[C],
    start: Mark | None,
    wanted: Wanted[C],
    shown: Callable[[C], Shown],
) -> AsyncGenerator[Shown, None]:
    course = context.course
    assert course is not None, "as above"
    async with aclosing(hub.follow(start, wanted, course.on_live)) as following:
        async for change in following:
            course.at = mark_of(change)
            yield shown(change)


@strawberry.type(description="What can be followed, each change once and in order.")
class Subscription:
    @strawberry.subscription(
        description=(
            "Changes of ranks. An ordinary event changes one artifact's; a calibration or a new "
            "policy changes many at one position."
        )
    )
    async def rank_changed(
        self,
        info: Info,
        filter: Annotated[
            RankChangeFilter | None, strawberry.argument(description="All if left out.")
        ] = None,
        min_delta: Annotated[
            float,
            strawberry.argument(
                description=(
                    "Only when the score has moved by so many points since it was last announced, "
                    "raised to the next of "
                    + ", ".join(f"{points / MILLION:g}" for points in THRESHOLDS[1:])
                    + "; 0: any change. One that flips back and forth is held until it is quiet."
                )
            ),
        ] = 0.0,
        after: After = None,
        cursor: Cursor = None,
    ) -> AsyncGenerator[RankChange, None]:
        context = info.context
        wanted = await (filter or RankChangeFilter()).to_query(info, _threshold(min_delta))
        hub = context.feeds.ranks
        start = await _start(context, hub, changes.RANKS.name, after, cursor)
        return _following(context, hub, start, wanted, RankChange.of)

    @strawberry.subscription(
        description=(
            "Changes of artifacts, their aliases, capabilities and prices: what a mirror of the "
            "catalog needs."
        )
    )
    async def catalog_changed(
        self,
        info: Info,
        filter: Annotated[
            CatalogChangeFilter | None, strawberry.argument(description="All if left out.")
        ] = None,
        after: After = None,
        cursor: Cursor = None,
    ) -> AsyncGenerator[CatalogChange, None]:
        context = info.context
        wanted = await (filter or CatalogChangeFilter()).to_query(info)
        hub = context.feeds.catalog
        start = await _start(context, hub, changes.CATALOG.name, after, cursor)
        return _following(context, hub, start, wanted, CatalogChange.of)
