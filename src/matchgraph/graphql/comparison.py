"""A or B: two to five artifacts side by side, what they share, and which is the better one."""

import math
from collections import Counter
from collections.abc import Awaitable, Sequence
from functools import cached_property
from itertools import combinations
from typing import Annotated

import strawberry

from matchgraph.domain import alignment, comparison, verdict
from matchgraph.domain.alignment import Basis, Likeness, Pair
from matchgraph.domain.artifact import Status
from matchgraph.domain.comparison import Contender, Score
from matchgraph.domain.verdict import Decision, Duel, FactName, Side, wilson
from matchgraph.eventstore.eager import shared, shortly
from matchgraph.graphql.artifact import Artifact, Capability
from matchgraph.graphql.as_of import Then
from matchgraph.graphql.context import Info, View
from matchgraph.graphql.enums import Favour, RowName
from matchgraph.graphql.rank import points
from matchgraph.graphql.scalars import Amount, BadInput, Count, Position, several
from matchgraph.projections.ranked import Ranked
from matchgraph.queries import match_graph, meaning
from matchgraph.queries.artifact import Listing
from matchgraph.queries.capability import Offered
from matchgraph.queries.match_graph import HeadToHead as HeadToHeadValue
from matchgraph.queries.meaning import Described, Profile
from matchgraph.queries.page import MOST
from matchgraph.queries.touched import matches

strawberry.enum(
    Decision,
    name="VerdictOutcome",
    description=(
        "What a comparison comes to: one artifact is better (CLEAR_WINNER), none clearly is "
        "(NO_CLEAR_WINNER), they serve nothing in common (NOT_COMPARABLE), or too little is known "
        "(INSUFFICIENT_EVIDENCE)."
    ),
)
strawberry.enum(
    FactName,
    name="VerdictFactName",
    description="What a fact is about, in the order in which facts decide.",
)
strawberry.enum(
    Basis,
    name="AlignmentBasis",
    description=(
        "What likeness was measured by: the MEANING of texts, or their WORDS alone while not all "
        "of them are embedded yet."
    ),
)


@strawberry.type(description="Whom a row of a comparison speaks for.")
class RowFavour:
    outcome: Favour = strawberry.field(description="Whether it favours anybody.")
    slug: str | None = strawberry.field(description="The slug of the artifact it favours, if any.")


@strawberry.type(description="One line of the header table.")
class ComparisonRow:
    name: RowName = strawberry.field(description="What it is about.")
    values: list[str | None] = strawberry.field(
        description="A value for each artifact, in their order; null: nobody said."
    )
    favours: RowFavour = strawberry.field(description="Whom it speaks for.")


@strawberry.type(description="Where a slug led that was asked for.")
class AskedSlug:
    slug: str = strawberry.field(description="As it was asked for.")
    leads_to: str = strawberry.field(description="The slug of the artifact that is compared.")
    redirected: bool = strawberry.field(
        description="Whether that is another one: it is an alias, or that of a merged artifact."
    )


@strawberry.type(description="Two capabilities of two artifacts that are alike.")
class AlignedCapabilities:
    left: Capability = strawberry.field(description="That of the artifact named first.")
    right: Capability = strawberry.field(description="That of the artifact named later.")
    left_artifact: Artifact = strawberry.field(description="Whose the left one is.")
    right_artifact: Artifact = strawberry.field(description="Whose the right one is.")
    similarity: float = strawberry.field(description="How alike they are, 0 to 1.")


@strawberry.type(description="A capability, and whose it is.")
class CapabilityOf:
    artifact: Artifact = strawberry.field(description="Who can do it.")
    capability: Capability = strawberry.field(description="What it can do.")


@strawberry.type(description="What several of the compared artifacts can do alike.")
class SharedCapability:
    name: str = strawberry.field(description="What the first of them calls it.")
    members: list[CapabilityOf] = strawberry.field(
        description="The capability of each that has it, in the order of the artifacts."
    )


@strawberry.type(description="What one artifact can do and none of the others.")
class OnlyIn:
    artifact: Artifact = strawberry.field(description="The artifact.")
    capabilities: list[Capability] = strawberry.field(
        description="Its capabilities that are aligned with none of the others'."
    )


@strawberry.type(description="How two artifacts fared in searches whose searchers examined both.")
class HeadToHead:
    left: Artifact = strawberry.field(description="The artifact named first.")
    right: Artifact = strawberry.field(description="The artifact named later.")
    together: Count = strawberry.field(description="In how many searches both were examined.")
    left_better: Count = strawberry.field(description="In how many of them the left one did more.")
    right_better: Count = strawberry.field(description="In how many the right one did more.")
    neither: Count = strawberry.field(description="In how many neither did more than the other.")
    left_share: float | None = strawberry.field(
        description="The left one's share of those that decided; null: none did."
    )
    low: float | None = strawberry.field(
        description="Where the 80 % interval of that share begins (Wilson); null: none decided."
    )
    high: float | None = strawberry.field(
        description="Where the 80 % interval of that share ends; null: none decided."
    )


@strawberry.type(description="One thing that a verdict rests on.")
class VerdictFact:
    name: FactName = strawberry.field(description="What it is about.")
    favours: str | None = strawberry.field(
        description="The slug of the artifact it speaks for; null: for none."
    )
    values: list[str | None] = strawberry.field(
        description="A value for each artifact, in their order; null: nothing is known."
    )
    sentence: str = strawberry.field(description="The fact as a clause for a person.")


@strawberry.type(description="What a comparison comes to.")
class Verdict:
    outcome: Decision = strawberry.field(description="Whether there is a winner, or why not.")
    winner: str | None = strawberry.field(
        description="The slug of the winner, with CLEAR_WINNER alone."
    )
    margin: Amount | None = strawberry.field(
        description="By how many points the best rank leads the next; null: ranks say nothing."
    )
    confidence: float | None = strawberry.field(
        description=(
            "How likely it is that the artifact with the best rank is really better than the "
            "next, 0 to 1; null: ranks say nothing."
        )
    )
    facts: list[VerdictFact] = strawberry.field(
        description="What it rests on, what decides most first."
    )
    sentence: str = strawberry.field(description="The verdict and its first facts for a person.")


# The like capabilities of each two artifacts, by their places.
Aligned = dict[tuple[int, int], tuple[Pair, ...]]


class _Compared:
    """The artifacts of one comparison. What several fields need is worked out once, and only if
    one of them is asked for."""

    def __init__(self, view: View, listings: Sequence[Listing]) -> None:
        self.view = view
        self.listings = listings
        self.ids = [listing.id for listing in listings]
        self.artifacts = [Artifact.of(listing) for listing in listings]

    @cached_property
    def capabilities(self) -> Awaitable[list[list[Offered]]]:
        """What each can do, as much as one page holds."""
        return shared(self._capabilities())

    @cached_property
    def aligned(self) -> Awaitable[tuple[Basis, Aligned]]:
        """The like capabilities of each two of them."""
        return shared(self._aligned())

    @cached_property
    def duels(self) -> Awaitable[list[HeadToHeadValue]]:
        """How each two of them fared where both were examined."""
        return shared(self._duels())

    async def _duels(self) -> list[HeadToHeadValue]:
        ids = list(map(str, self.ids))
        if self.view.reading is not None:
            found = await self.view.reading.head_to_head(self.ids)
            if found is not None:
                self.view.snapshot.notes.add((*ids, *map(matches, ids)))
                return found
        with self.view.snapshot.notes.of(*ids, *map(matches, ids)):
            return await match_graph.head_to_head(self.view.snapshot, self.ids)

    async def _capabilities(self) -> list[list[Offered]]:
        asked = [(id, MOST, None) for id in self.ids]
        pages = await self.view.loaders.capabilities.load_many(asked)
        return [[offered for _, offered in page.items] for page in pages]

    async def _aligned(self) -> tuple[Basis, Aligned]:
        profiles = await self._profiles()
        found = await shortly(
            math.prod(len(profile.read) for profile in profiles), meaning.aligned, profiles
        )
        if found[0] is Basis.WORDS:
            # No event says when the last of the texts is embedded.
            self.view.snapshot.notes.pass_by()
        return found

    async def _profiles(self) -> list[Profile]:
        notes, ids = self.view.snapshot.notes, list(map(str, self.ids))
        if self.view.reading is not None:
            notes.add(ids)
            return await self.view.reading.profiles(self.ids)
        offered = await self.capabilities
        described = [
            Described(listing.id, listing.facts.name or "", tuple(one.capability for one in own))
            for listing, own in zip(self.listings, offered, strict=True)
        ]
        with notes.of(*ids):
            return await meaning.profiles(self.view.snapshot, described)

    async def pairs(self, likeness: Likeness) -> list[AlignedCapabilities]:
        """Those of that likeness, by artifacts."""
        offered = await self.capabilities
        _, found = await self.aligned
        return [
            AlignedCapabilities(
                left=Capability.of(offered[one][pair.left]),
                right=Capability.of(offered[other][pair.right]),
                left_artifact=self.artifacts[one],
                right_artifact=self.artifacts[other],
                similarity=pair.similarity,
            )
            for (one, other), own in found.items()
            for pair in own
            if pair.likeness is likeness
        ]

    async def sides(self) -> list[Side]:
        """What the verdict needs to know of each."""
        loaders = self.view.loaders
        prices = await loaders.prices.load_many(self.ids)
        ranks = await loaders.ranked.load_many(self.ids)
        offered = await self.capabilities
        names = [listing.facts.name or listing.slug for listing in self.listings]
        often = Counter(names)
        return [
            Side(
                name=f"{name} ({listing.slug})" if often[name] > 1 else name,
                kind=listing.kind,
                facts=listing.facts,
                offered=listing.status is Status.ACTIVE,
                rank=score_of(rank),
                prices=asked,
                capabilities=tuple(one.capability for one in own),
            )
            for listing, name, own, asked, rank in zip(
                self.listings, names, offered, prices, ranks, strict=True
            )
        ]


def score_of(ranked: Ranked | None) -> Score | None:
    """What a comparison needs of the rank."""
    if ranked is None:
        return None
    # Boards are ordered by the score less half a deviation; an interval may end at 0 or at 100.
    deviation = 2 * (ranked.score - ranked.standing)
    return Score(ranked.score, ranked.low, ranked.high, ranked.coverage, deviation)


@strawberry.type(description="Artifacts side by side.")
class Comparison:
    artifacts: list[Artifact] = strawberry.field(description="The artifacts, in the order asked.")
    asked: list[AskedSlug] = strawberry.field(
        description="Where each slug led, in the order asked."
    )
    position: Position = strawberry.field(
        description="The position that everything in this answer is up to."
    )
    compared: strawberry.Private[_Compared]

    @strawberry.field(description="The header table.")
    async def rows(self) -> list[ComparisonRow]:
        return await _rows(self.compared.view, self.compared.listings)

    @strawberry.field(
        description=(
            "Capabilities that mean the same, one to one for each two artifacts; of each artifact "
            f"its first {MOST} are compared."
        )
    )
    async def aligned(self) -> list[AlignedCapabilities]:
        return await self.compared.pairs(Likeness.SHARED)

    @strawberry.field(
        description="Capabilities near each other that are aligned with nothing, one to one."
    )
    async def similar(self) -> list[AlignedCapabilities]:
        return await self.compared.pairs(Likeness.SIMILAR)

    @strawberry.field(description="What `aligned` and `similar` were measured by.")
    async def aligned_by(self) -> Basis:
        basis, _ = await self.compared.aligned
        return basis

    @strawberry.field(
        description="`aligned` put together over all artifacts: what two or more of them can do."
    )
    async def shared(self) -> list[SharedCapability]:
        offered = await self.compared.capabilities
        _, found = await self.compared.aligned
        return [
            SharedCapability(
                name=offered[group[0][0]][group[0][1]].capability.name,
                members=[
                    CapabilityOf(
                        artifact=self.artifacts[artifact],
                        capability=Capability.of(offered[artifact][place]),
                    )
                    for artifact, place in group
                ],
            )
            for group in alignment.groups(found)
        ]

    @strawberry.field(
        description="What each can do that is aligned with nothing of the others, in their order."
    )
    async def only_in(self) -> list[OnlyIn]:
        offered = await self.compared.capabilities
        _, found = await self.compared.aligned
        alike = alignment.shared_places(found)
        return [
            OnlyIn(
                artifact=artifact,
                capabilities=[
                    Capability.of(one) for at, one in enumerate(own) if (place, at) not in alike
                ],
            )
            for place, (artifact, own) in enumerate(zip(self.artifacts, offered, strict=True))
        ]

    @strawberry.field(description="How each two of them fared in searches, in their order.")
    async def head_to_head(self) -> list[HeadToHead]:
        artifacts = dict(zip(self.compared.ids, self.artifacts, strict=True))
        return [
            _shown_duel(duel, artifacts[duel.left], artifacts[duel.right])
            for duel in await self.compared.duels
        ]

    @strawberry.field(description="Which is the better one, if that can be said, and why.")
    async def verdict(self) -> Verdict:
        sides = await self.compared.sides()
        _, pairs = await self.compared.aligned
        duels = await self.compared.duels
        place = {id: place for place, id in enumerate(self.compared.ids)}
        found = await shortly(
            math.prod(len(side.capabilities) for side in sides),
            verdict.judge,
            sides,
            pairs,
            [
                Duel(place[duel.left], place[duel.right], duel.left_better, duel.right_better)
                for duel in duels
            ],
        )
        return _shown_verdict(found, [artifact.slug for artifact in self.artifacts])


def _shown_duel(duel: HeadToHeadValue, left: Artifact, right: Artifact) -> HeadToHead:
    decided = duel.left_better + duel.right_better
    low, high = wilson(duel.left_better, decided)
    return HeadToHead(
        left=left,
        right=right,
        together=Count(duel.together),
        left_better=Count(duel.left_better),
        right_better=Count(duel.right_better),
        neither=Count(duel.neither),
        left_share=duel.left_better / decided if decided else None,
        low=low if decided else None,
        high=high if decided else None,
    )


def _shown_verdict(found: verdict.Verdict, slugs: Sequence[str]) -> Verdict:
    return Verdict(
        outcome=found.outcome,
        winner=None if found.winner is None else slugs[found.winner],
        margin=None if found.margin is None else points(found.margin),
        confidence=found.confidence,
        facts=[
            VerdictFact(
                name=fact.name,
                favours=None if fact.favours is None else slugs[fact.favours],
                values=list(fact.values),
                sentence=fact.sentence,
            )
            for fact in found.facts
        ],
        sentence=found.sentence,
    )


@strawberry.type
class ComparisonQuery:
    """What can be asked of several artifacts at once."""

    @strawberry.field(
        description=(
            "Two to five artifacts side by side. An unknown slug, and one artifact named twice, "
            "under whatever slugs, is an error that says so."
        )
    )
    async def compare(
        self,
        info: Info,
        slugs: Annotated[
            list[str], strawberry.argument(description="Two to five slugs or aliases.")
        ],
        as_of: Then = None,
    ) -> Comparison:
        if not comparison.FEWEST <= len(slugs) <= comparison.MOST:
            raise BadInput(
                f"`slugs` names {len(slugs)} artifacts; compare {comparison.FEWEST} to"
                f" {comparison.MOST}."
            )
        several("slugs", slugs)
        view = await info.context.look(info, as_of)
        found = await view.loaders.by_slug.load_many(slugs)
        listings = [listing for listing in found if listing is not None]
        if len(listings) < len(found):
            unknown = [slug for slug, listing in zip(slugs, found, strict=True) if listing is None]
            raise BadInput(
                f"`slugs`: there is no artifact {', '.join(map(repr, unknown))}.",
                "UNKNOWN_ARTIFACT",
                slugs=unknown,
            )
        _check_different(slugs, listings)
        return await side_by_side(view, slugs, listings)


async def side_by_side(view: View, slugs: Sequence[str], listings: Sequence[Listing]) -> Comparison:
    """The comparison of different artifacts, which those slugs led to."""
    compared = _Compared(view, listings)
    return Comparison(
        artifacts=compared.artifacts,
        asked=[
            AskedSlug(slug=slug, leads_to=listing.slug, redirected=slug != listing.slug)
            for slug, listing in zip(slugs, listings, strict=True)
        ],
        position=Position(await view.position()),
        compared=compared,
    )


def _check_different(slugs: Sequence[str], listings: Sequence[Listing]) -> None:
    """Raises: BadInput, which names both slugs and where they lead."""
    for (one, first), (other, second) in combinations(zip(slugs, listings, strict=True), 2):
        if first.id == second.id:
            raise BadInput(
                f"`slugs` names one artifact twice: {one!r} and {other!r} both lead to"
                f" {first.slug!r}; compare different ones.",
                slugs=[one, other],
                leadsTo=first.slug,
            )


async def _rows(view: View, listings: Sequence[Listing]) -> list[ComparisonRow]:
    loaders, ids = view.loaders, [listing.id for listing in listings]
    prices = await loaders.prices.load_many(ids)
    counts = await loaders.capability_count.load_many(ids)
    ranks = await loaders.ranked.load_many(ids)
    matched = await loaders.times_matched.load_many(ids)
    rows = comparison.rows(
        [
            Contender(
                kind=listing.kind,
                facts=listing.facts,
                prices=asked,
                capability_count=count,
                rank=score_of(rank),
                matched=served,
                updated=listing.changed_at.date(),
            )
            for listing, asked, count, rank, served in zip(
                listings, prices, counts, ranks, matched, strict=True
            )
        ]
    )
    return [
        ComparisonRow(
            name=row.name,
            values=list(row.values),
            favours=RowFavour(
                outcome=row.favour,
                slug=None if row.winner is None else listings[row.winner].slug,
            ),
        )
        for row in rows
    ]
