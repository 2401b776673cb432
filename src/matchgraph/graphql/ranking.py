"""Boards, what moved a rank, and what ranks are measured by: queries and mutations."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from matchgraph.commands import ranking as commands
from matchgraph.domain.policy import FORMULAS, KindPolicy
from matchgraph.domain.ranking import PARTS
from matchgraph.domain.role import Role
from matchgraph.graphql import refusals as r
from matchgraph.graphql.access import Needs
from matchgraph.graphql.artifact import (
    After,
    Artifact,
    Connection,
    Edge,
    First,
    page_info,
    shown_changes,
)
from matchgraph.graphql.as_of import Then
from matchgraph.graphql.changes import Key, by
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import Kind
from matchgraph.graphql.rank import (
    RankAt,
    RankCalibration,
    RankPartMove,
    RankPolicy,
    points,
)
from matchgraph.graphql.scalars import Amount, BadInput, Position, text
from matchgraph.queries import rank as queries
from matchgraph.queries.position import reach
from matchgraph.queries.snapshot import viewing
from matchgraph.queries.touched import board

if TYPE_CHECKING:
    from matchgraph.graphql.subscription import RankChange


@strawberry.type(description="A page of a board, best first.")
class RankBoardConnection(Connection[Artifact]):
    position: Position = strawberry.field(description="The position that the board is as of.")


@strawberry.type(description="What moved a rank from one position to another.")
class RankChangeExplanation:
    artifact: Artifact = strawberry.field(description="The artifact, as it is now.")
    before: RankAt | None = strawberry.field(
        description="Its rank as of `from`; null: it was not in the catalog yet."
    )
    after: RankAt | None = strawberry.field(description="Its rank as of `to`.")
    moved: Amount = strawberry.field(description="By how many points the score moved.")
    parts: list[RankPartMove] = strawberry.field(
        description="What each part did to it; the moves add up exactly."
    )
    artifact_id: strawberry.Private[UUID]
    since: strawberry.Private[int]
    until: strawberry.Private[int]

    @strawberry.field(
        description=(
            "Each change on the way, with its event; their moves add up as well. One by which it "
            "left the board has no score, and moves none."
        )
    )
    async def changes(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Annotated["RankChange", strawberry.lazy("matchgraph.graphql.subscription")]]:
        asked = queries.Asked(self.artifact_id, first, after, self.since, self.until)
        async with viewing(info.context.pool) as snapshot:
            (page,) = await queries.history(snapshot, [asked])
        return shown_changes(page, after)


@strawberry.type
class RankQuery:
    """What can be asked of ranks."""

    @strawberry.field(
        description=(
            "The artifacts of a kind, or of all kinds, best first: by score less half a standard "
            "deviation, then by id. `Rank.place` is among the artifact's kind on either board."
        )
    )
    async def rank_board(
        self,
        info: Info,
        kind: Annotated[
            Kind | None, strawberry.argument(description="Of all kinds if left out.")
        ] = None,
        first: First = 20,
        after: After = None,
        as_of: Then = None,
    ) -> RankBoardConnection:
        context = info.context
        view = await context.look(info, as_of)
        with view.snapshot.notes.of(board(kind)):
            found = await context.boards.page(
                view.snapshot, kind, first, after, at_least=context.seen
            )
        if view.reading is None:
            view.snapshot.notes.read_at(found.position)
        else:
            await view.reading.joins(found.position, board(kind))
        ids = [own.ranked.artifact_id for _, own in found.page.items]
        listings = await view.loaders.by_id.load_many(ids)
        return RankBoardConnection(
            edges=[
                # One that is on the board and not listed yet is left to the next look.
                Edge(cursor=cursor, node=Artifact.of(listing, own if kind is not None else None))
                for (cursor, own), listing in zip(found.page.items, listings, strict=True)
                if listing is not None
            ],
            page_info=page_info(found.page, after),
            position=Position(found.position),
        )

    @strawberry.field(
        description=(
            "Which part and which input moved an artifact's rank from one position to another, "
            "computed from the history alone; null: no such artifact."
        )
    )
    async def explain_rank_change(
        self,
        info: Info,
        slug: Annotated[str, strawberry.argument(description="Its slug or an alias of it.")],
        from_: Annotated[
            Position, strawberry.argument(name="from", description="As of this position.")
        ],
        to: Annotated[
            Position | None,
            strawberry.argument(description="And as of this one; now, if left out."),
        ] = None,
    ) -> RankChangeExplanation | None:
        context = info.context
        await reach(context.pool, context.store.listener, from_ if to is None else max(from_, to))
        listing = await context.view(info).loaders.by_slug.load(text("slug", slug, limit=500))
        # A view of its own: the fields beside this one may have begun to read an older one.
        async with viewing(context.pool) as snapshot:
            end = Position(await snapshot.position()) if to is None else to
            if from_ > end:
                raise BadInput(f"`from` is {from_}, which comes after `to`, {end}; swap them.")
            if listing is None:
                return None
            before = await queries.at(snapshot, listing.id, from_)
            after = await queries.at(snapshot, listing.id, end)
        was = before.rank.parts if before.rank else (None,) * len(PARTS)
        now = after.rank.parts if after.rank else (None,) * len(PARTS)
        moved = (after.rank.numbers.score if after.rank else 0) - (
            before.rank.numbers.score if before.rank else 0
        )
        return RankChangeExplanation(
            artifact=Artifact.of(listing),
            before=RankAt.of(before),
            after=RankAt.of(after),
            moved=points(moved),
            parts=[
                RankPartMove.between(name, one, other)
                for name, one, other in zip(PARTS, was, now, strict=True)
            ],
            artifact_id=listing.id,
            since=from_,
            until=end,
        )

    @strawberry.field(description="How much each part weighs, for every kind.")
    async def rank_policies(self, info: Info, as_of: Then = None) -> list[RankPolicy]:
        view = await info.context.look(info, as_of)
        with view.snapshot.notes.of():
            return [RankPolicy.of(one) for one in await queries.policies(view.snapshot)]

    @strawberry.field(description="What ranks are measured by; null before the first calibration.")
    async def rank_calibration(self, info: Info, as_of: Then = None) -> RankCalibration | None:
        view = await info.context.look(info, as_of)
        with view.snapshot.notes.of():
            found = await queries.calibration(view.snapshot)
        return None if found is None else RankCalibration.of(found)


@strawberry.input(description="How much each part of a rank is to weigh, for one kind.")
class RankPolicyInput:
    kind: Kind = strawberry.field(description="For artifacts of this kind.")
    adoption: Amount = strawberry.field(description="From 0 to 1; the five sum to exactly 1.")
    quality: Amount = strawberry.field(description="From 0 to 1.")
    ecosystem: Amount = strawberry.field(description="From 0 to 1.")
    match_graph: Amount = strawberry.field(description="From 0 to 1.")
    freshness: Amount = strawberry.field(description="From 0 to 1.")
    half_life: int = strawberry.field(description="Days in which freshness is halved.")
    formula: int = strawberry.field(
        default=max(FORMULAS), description="The version of the formula; the newest unless told."
    )

    def to_domain(self) -> KindPolicy:
        """The value that the domain checks."""
        return KindPolicy(
            kind=self.kind,
            adoption=self.adoption,
            quality=self.quality,
            ecosystem=self.ecosystem,
            match_graph=self.match_graph,
            freshness=self.freshness,
            half_life=self.half_life,
            formula=self.formula,
        )


@strawberry.type(description="Ranks are measured by the policy from now on.")
class PolicyAdopted:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see the ranks."
    )


@strawberry.type(description="Ranks are measured by the distributions of now.")
class RanksCalibrated:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see the ranks."
    )


AdoptPolicyResult = Annotated[
    PolicyAdopted
    | r.BadNumber
    | r.WeightsDoNotAddUp
    | r.KindTwice
    | r.UnknownFormula
    | r.IdempotencyKeyReused,
    strawberry.union("AdoptPolicyResult", description="What came of it."),
]
CalibrateRanksResult = Annotated[
    RanksCalibrated | r.StaleCalibration | r.IdempotencyKeyReused,
    strawberry.union("CalibrateRanksResult", description="What came of it."),
]


@strawberry.type
class RankMutation:
    """What ranks are measured by."""

    @strawberry.mutation(
        description="Rank artifacts of some kinds by other weights; all of them are ranked anew.",
        extensions=[Needs(Role.OPERATOR)],
    )
    async def adopt_policy(
        self,
        info: Info,
        kinds: Annotated[
            list[RankPolicyInput],
            strawberry.argument(description="Kinds that are left out keep what they have."),
        ],
        idempotency_key: Key = None,
    ) -> AdoptPolicyResult:
        if not kinds:
            raise BadInput("`kinds` is empty; name at least one kind.")
        position = await commands.adopt_policy(
            *by(info, idempotency_key), [one.to_domain() for one in kinds]
        )
        return PolicyAdopted(position=Position(position))

    @strawberry.mutation(
        description=(
            "Measure what was observed by the distributions of now, and count ages from today; "
            "all artifacts are ranked anew. It happens once a day by itself."
        ),
        extensions=[Needs(Role.OPERATOR)],
    )
    async def calibrate_ranks(
        self, info: Info, idempotency_key: Key = None
    ) -> CalibrateRanksResult:
        position = await commands.calibrate(
            *by(info, idempotency_key),
            lambda: queries.distributions(info.context.view(info).snapshot),
        )
        return RanksCalibrated(position=Position(position))
