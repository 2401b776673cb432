"""Rank: its types, and what explains how it moved."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import strawberry
from strawberry.types.nodes import Selection

from matchgraph.domain import ranking
from matchgraph.domain.policy import KindPolicy as KindPolicyValue
from matchgraph.domain.ranking import MILLION
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import Kind, Method, PartName, SignalName
from matchgraph.graphql.scalars import Amount, Position
from matchgraph.projections.ranked import Ranked
from matchgraph.queries.board import Placed
from matchgraph.queries.rank import InForce
from matchgraph.queries.rank import RankAt as RankAtValue


def points(millionths: int) -> Amount:
    """Points out of millionths of a point, exactly and with six places."""
    return Amount(Decimal(millionths).scaleb(-6))


@strawberry.type(description="One piece of evidence in a part of a rank.")
class RankInput:
    name: str = strawberry.field(
        description="The signal, by its name in lower case; or `released`, `exposure`, `utility`."
    )
    value: str = strawberry.field(description="As it was observed.")
    normalised: float | None = strawberry.field(
        description="What the formula makes of it, 0 to 1; null: there is nothing to measure it by."
    )
    weight: float = strawberry.field(description="How much it weighs within the part.")
    source: str | None = strawberry.field(description="Where it was seen; null: in its facts.")
    method: Method | None = strawberry.field(description="How it came to be.")
    observed_at: datetime | None = strawberry.field(description="When it was so.")
    position: Position | None = strawberry.field(description="The event that recorded it.")

    @classmethod
    def of(cls, value: ranking.Input) -> "RankInput":
        """The value as the schema has it."""
        observed = value.observed
        signal = None if observed is None else observed.signal
        return cls(
            name=value.name,
            value=value.value,
            normalised=value.normalised,
            weight=value.weight,
            source=None if signal is None else signal.source,
            method=None if signal is None else signal.method,
            # In the one form that all moments have, however the source wrote it.
            observed_at=None if signal is None else signal.observed_at.astimezone(UTC),
            position=None if observed is None else Position(observed.position),
        )


@strawberry.type(description="One of the five parts of a score.")
class RankPart:
    name: PartName = strawberry.field(description="Which part.")
    value: float = strawberry.field(description="How good it is, 0 to 1.")
    weight: float = strawberry.field(description="How much it weighs for this kind; all sum to 1.")
    points: Amount = strawberry.field(
        description="What it adds to the score: 100 times value times weight; all sum to the score."
    )
    evidence: float = strawberry.field(
        description="The share of the value that was observed, 0 to 1; the rest is assumed."
    )
    inputs: list[RankInput] = strawberry.field(description="What it was computed from.")

    @classmethod
    def of(cls, value: ranking.Part) -> "RankPart":
        """The value as the schema has it."""
        return cls(
            name=value.name,
            value=value.value,
            weight=value.weight,
            points=points(value.points),
            evidence=value.evidence,
            inputs=[RankInput.of(one) for one in value.inputs],
        )


@strawberry.type(
    description=(
        "How an artifact ranks among its kind, 0 to 100, with what it is made of. Two artifacts "
        "whose intervals overlap have no clear winner."
    )
)
class Rank:
    score: Amount = strawberry.field(description="0 to 100.")
    low: Amount = strawberry.field(description="Where the 80 % interval begins.")
    high: Amount = strawberry.field(description="Where the 80 % interval ends.")
    coverage: float = strawberry.field(
        description="The share of the score that evidence speaks for, 0 to 1."
    )
    position: Position = strawberry.field(description="The event that last moved it.")
    artifact_id: strawberry.Private[UUID]
    placed: strawberry.Private[Placed | None]

    @strawberry.field(
        description="Its place on the board of its kind, from 1; null while it is not on offer."
    )
    async def place(self, info: Info) -> int | None:
        if self.placed is not None:
            return self.placed.place
        return (await info.context.view(info).loaders.standing.load(self.artifact_id)).place or None

    @strawberry.field(
        description=(
            "1 where none of its kind is clearly better, else 1 more than how many are; null "
            "while it is not on offer."
        )
    )
    async def band(self, info: Info) -> int | None:
        if self.placed is not None:
            return self.placed.band
        return (await info.context.view(info).loaders.standing.load(self.artifact_id)).band or None

    @strawberry.field(description="The five parts; their points add up to the score exactly.")
    async def parts(self, info: Info) -> list[RankPart]:
        explained = await info.context.view(info).loaders.explained.load(self.artifact_id)
        return [] if explained is None else [RankPart.of(part) for part in explained.parts]

    @classmethod
    def of(cls, ranked: Ranked, placed: Placed | None = None) -> "Rank":
        """The rank as the schema has it; `placed` where its place is known already."""
        return cls(
            score=points(ranked.score),
            low=points(ranked.low),
            high=points(ranked.high),
            coverage=ranked.coverage / MILLION,
            position=Position(ranked.position),
            artifact_id=ranked.artifact_id,
            placed=placed,
        )


async def rank_of(info: Info, artifact_id: UUID, placed: Placed | None) -> Rank | None:
    """The rank of an artifact; as the board has it where that is known, unless its parts are asked
    for, which have to be of the same moment (as everything is in a reading)."""
    reading = info.context.view(info).reading
    if placed is not None and (
        reading is not None or "parts" not in set(_names(info.selected_fields[0].selections))
    ):
        return Rank.of(placed.ranked, placed)
    ranked = await info.context.view(info).loaders.ranked.load(artifact_id)
    return None if ranked is None else Rank.of(ranked)


def _names(selections: Iterable[Selection]) -> Iterable[str]:
    for selection in selections:
        yield getattr(selection, "name", "")
        if not hasattr(selection, "arguments"):  # a fragment, whose fields are meant
            yield from _names(selection.selections)


@strawberry.type(description="An artifact's rank as of a position.")
class RankAt:
    position: Position = strawberry.field(description="The position.")
    listed: bool = strawberry.field(description="Whether it was on offer, and so on the board.")
    score: Amount = strawberry.field(description="0 to 100.")
    low: Amount = strawberry.field(description="Where the 80 % interval begins.")
    high: Amount = strawberry.field(description="Where the 80 % interval ends.")
    coverage: float = strawberry.field(
        description="The share of the score that evidence speaks for, 0 to 1."
    )
    policy: Position | None = strawberry.field(
        description="The event that put the policy of its kind in force; null: the default holds."
    )
    calibration: Position | None = strawberry.field(
        description="The calibration that it is measured by; null: there was none yet."
    )

    @classmethod
    def of(cls, value: RankAtValue) -> "RankAt | None":
        """The value as the schema has it; None before the artifact was registered."""
        if value.rank is None:
            return None
        numbers = value.rank.numbers
        return cls(
            position=Position(value.position),
            listed=value.listed,
            score=points(numbers.score),
            low=points(numbers.low),
            high=points(numbers.high),
            coverage=numbers.coverage / MILLION,
            policy=None if value.policy is None else Position(value.policy),
            calibration=None if value.calibration is None else Position(value.calibration),
        )


@strawberry.type(description="A piece of evidence before and after.")
class RankInputMove:
    name: str = strawberry.field(description="As in RankInput.")
    before: RankInput | None = strawberry.field(description="Null: it was not there.")
    after: RankInput | None = strawberry.field(description="Null: it is not there any more.")


@strawberry.type(description="What one part did to a score.")
class RankPartMove:
    name: PartName = strawberry.field(description="Which part.")
    moved: Amount = strawberry.field(
        description="By how many points it moved the score; all sum to the whole move."
    )
    before: RankPart | None = strawberry.field(description="Null: not in the catalog yet.")
    after: RankPart | None = strawberry.field(description="Null: not in the catalog yet.")
    inputs: list[RankInputMove] = strawberry.field(
        description="The evidence that differs, in itself or in what it is measured by."
    )

    @classmethod
    def between(
        cls, name: PartName, before: ranking.Part | None, after: ranking.Part | None
    ) -> "RankPartMove":
        """What the part did from one moment to the other."""
        was = {one.name: one for one in (before.inputs if before else ())}
        now = {one.name: one for one in (after.inputs if after else ())}
        return cls(
            name=name,
            moved=points((after.points if after else 0) - (before.points if before else 0)),
            before=None if before is None else RankPart.of(before),
            after=None if after is None else RankPart.of(after),
            inputs=[
                RankInputMove(
                    name=one,
                    before=RankInput.of(was[one]) if one in was else None,
                    after=RankInput.of(now[one]) if one in now else None,
                )
                for one in dict.fromkeys((*was, *now))
                if was.get(one) != now.get(one)
            ],
        )


@strawberry.type(description="How much each part of a rank weighs, for one kind.")
class RankPolicy:
    kind: Kind = strawberry.field(description="For artifacts of this kind.")
    adoption: Amount = strawberry.field(description="The weight of ADOPTION.")
    quality: Amount = strawberry.field(description="The weight of QUALITY.")
    ecosystem: Amount = strawberry.field(description="The weight of ECOSYSTEM.")
    match_graph: Amount = strawberry.field(description="The weight of MATCH_GRAPH.")
    freshness: Amount = strawberry.field(description="The weight of FRESHNESS.")
    half_life: int = strawberry.field(description="Days in which freshness is halved.")
    formula: int = strawberry.field(description="The version of the formula.")

    @classmethod
    def of(cls, value: KindPolicyValue) -> "RankPolicy":
        """The value as the schema has it."""
        return cls(
            kind=value.kind,
            adoption=Amount(value.adoption),
            quality=Amount(value.quality),
            ecosystem=Amount(value.ecosystem),
            match_graph=Amount(value.match_graph),
            freshness=Amount(value.freshness),
            half_life=value.half_life,
            formula=value.formula,
        )


@strawberry.type(description="What a signal is measured against.")
class RankScale:
    kind: Kind | None = strawberry.field(description="Among artifacts of this kind; null: of any.")
    signal: SignalName = strawberry.field(description="The signal.")
    p99: Amount = strawberry.field(description="99 of 100 artifacts have no more.")
    observed: int = strawberry.field(description="Of how many artifacts it is known.")


@strawberry.type(description="The frozen distributions that ranks are measured by.")
class RankCalibration:
    position: Position = strawberry.field(description="The event that put it in force.")
    day: date = strawberry.field(description="The day that ages are counted from.")
    up_to: Position = strawberry.field(description="What it was measured on: everything up to it.")
    calibrated_at: datetime = strawberry.field(description="When it was put in force.")
    scales: list[RankScale] = strawberry.field(
        description="A kind's own scale counts where at least 20 of it are observed."
    )

    @classmethod
    def of(cls, value: InForce) -> "RankCalibration":
        """The value as the schema has it."""
        return cls(
            position=Position(value.position),
            day=value.scales.day,
            up_to=Position(value.scales.up_to),
            calibrated_at=value.calibrated_at,
            scales=[
                RankScale(
                    kind=one.kind, signal=one.signal, p99=Amount(one.p99), observed=one.observed
                )
                for one in value.scales.scales
            ],
        )
