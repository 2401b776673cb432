"""Mutations: one for every command of an artifact, one by one and in bulk.

Each answers with what happened, named like the event, or with a typed refusal.
"""

from datetime import datetime
from typing import Annotated

import strawberry

from matchgraph.commands import artifact as commands
from matchgraph.commands import catalog
from matchgraph.domain.errors import Refusal as DomainRefusal
from matchgraph.domain.price import Price as PriceValue
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request, Store
from matchgraph.graphql import refusals as r
from matchgraph.graphql.access import Needs, require_own
from matchgraph.graphql.artifact import Artifact
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import Kind, Taken
from matchgraph.graphql.inputs import (
    ArtifactInput,
    CapabilityInput,
    FactsInput,
    PriceInput,
    PriceLineInput,
    ProvenanceInput,
    SignalInput,
)
from matchgraph.graphql.refusals import Refusal, show
from matchgraph.graphql.scalars import BadInput, Position, text
from matchgraph.queries.artifact import by_slugs

MOST_IN_IMPORT = 250
# One may take back what one has put there oneself.
OWN = Needs(Role.CONTRIBUTOR, ", and CURATOR for what somebody else registered")


Slug = Annotated[str, strawberry.argument(description="Its slug or an alias of it.")]
Key = Annotated[
    str | None,
    strawberry.argument(
        description=(
            "A name for this call, at most 200 characters: repeated with it, the call changes "
            "nothing more and answers with the first one's position."
        )
    ),
]


@strawberry.interface(description="A change that was made, or had been made before.")
class Change:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see the change."
    )
    slug: strawberry.Private[str]

    # May be null, so that the position of a change that was made is never lost to an error here.
    @strawberry.field(
        description=(
            "The artifact as it is after the change; null, with an error that says why, while the "
            "read models do not include it."
        )
    )
    async def artifact(self, info: Info) -> Artifact | None:
        await info.context.see(self.position)
        (listing,) = await by_slugs(info.context.view(info).snapshot, [self.slug])
        return None if listing is None else Artifact.of(listing)


@strawberry.type(description="The artifact is in the catalog.")
class ArtifactRegistered(Change):
    pass


@strawberry.type(description="What is new of the facts is in the catalog.")
class ArtifactDescribed(Change):
    pass


@strawberry.type(description="The artifact is off the catalog; its history stays.")
class ArtifactRetired(Change):
    pass


@strawberry.type(description="The artifact is back on the catalog.")
class ArtifactReinstated(Change):
    pass


@strawberry.type(description="The artifact leads to another one; both keep their histories.")
class ArtifactMerged(Change):
    pass


@strawberry.type(description="The artifact stands alone again, as it was.")
class ArtifactUnmerged(Change):
    pass


@strawberry.type(description="The alias leads to the artifact.")
class ArtifactAliased(Change):
    pass


@strawberry.type(description="The alias leads nowhere; its slug stays reserved.")
class ArtifactUnaliased:
    position: Position = strawberry.field(description="What the log has reached.")


@strawberry.type(description="The artifact has the capability.")
class CapabilityAdded(Change):
    pass


@strawberry.type(description="What is said of the capability is replaced.")
class CapabilityRevised(Change):
    pass


@strawberry.type(description="The artifact has the capability no longer.")
class CapabilityRetired(Change):
    pass


@strawberry.type(description="The price is in the catalog.")
class PriceObserved(Change):
    pass


@strawberry.type(description="The price is asked no longer; its history stays.")
class PriceWithdrawn(Change):
    pass


@strawberry.type(description="The signal is in the catalog.")
class SignalObserved(Change):
    pass


@strawberry.type(description="What became of one artifact of an import.")
class ImportedArtifact:
    slug: str = strawberry.field(description="The slug that was given.")
    outcome: Taken = strawberry.field(description="What became of it.")
    events: int = strawberry.field(description="How many events were recorded.")
    refusal: Refusal | None = strawberry.field(
        description="Why nothing of it was taken in, if it was refused."
    )


@strawberry.type(description="What became of the artifacts, one by one.")
class ArtifactsImported:
    position: Position = strawberry.field(description="What the log has reached.")
    artifacts: list[ImportedArtifact] = strawberry.field(
        description="One for each artifact given, in their order."
    )


RegisterArtifactResult = Annotated[
    ArtifactRegistered
    | r.SlugTaken
    | r.BadSlug
    | r.BadText
    | r.BadNumber
    | r.FutureObservation
    | r.IdempotencyKeyReused,
    strawberry.union("RegisterArtifactResult", description="What came of it."),
]
DescribeArtifactResult = Annotated[
    ArtifactDescribed
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.BadText
    | r.BadNumber
    | r.StaleObservation
    | r.FutureObservation
    | r.IdempotencyKeyReused,
    strawberry.union("DescribeArtifactResult", description="What came of it."),
]
RetireArtifactResult = Annotated[
    ArtifactRetired
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.BadText
    | r.IdempotencyKeyReused,
    strawberry.union("RetireArtifactResult", description="What came of it."),
]
ReinstateArtifactResult = Annotated[
    ArtifactReinstated | r.UnknownArtifact | r.NotRetired | r.IdempotencyKeyReused,
    strawberry.union("ReinstateArtifactResult", description="What came of it."),
]
MergeArtifactResult = Annotated[
    ArtifactMerged
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.BadMergeTarget
    | r.IdempotencyKeyReused,
    strawberry.union("MergeArtifactResult", description="What came of it."),
]
UnmergeArtifactResult = Annotated[
    ArtifactUnmerged | r.UnknownArtifact | r.NotMerged | r.IdempotencyKeyReused,
    strawberry.union("UnmergeArtifactResult", description="What came of it."),
]
AddAliasResult = Annotated[
    ArtifactAliased
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.SlugTaken
    | r.BadSlug
    | r.IdempotencyKeyReused,
    strawberry.union("AddAliasResult", description="What came of it."),
]
RemoveAliasResult = Annotated[
    ArtifactUnaliased | r.UnknownAlias | r.IdempotencyKeyReused,
    strawberry.union("RemoveAliasResult", description="What came of it."),
]
AddCapabilityResult = Annotated[
    CapabilityAdded
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.CapabilityExists
    | r.BadSlug
    | r.BadText
    | r.FutureObservation
    | r.IdempotencyKeyReused,
    strawberry.union("AddCapabilityResult", description="What came of it."),
]
ReviseCapabilityResult = Annotated[
    CapabilityRevised
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.UnknownCapability
    | r.BadSlug
    | r.BadText
    | r.StaleObservation
    | r.FutureObservation
    | r.IdempotencyKeyReused,
    strawberry.union("ReviseCapabilityResult", description="What came of it."),
]
RetireCapabilityResult = Annotated[
    CapabilityRetired
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.UnknownCapability
    | r.IdempotencyKeyReused,
    strawberry.union("RetireCapabilityResult", description="What came of it."),
]
ObservePriceResult = Annotated[
    PriceObserved
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.PriceSentinel
    | r.PriceContradiction
    | r.UnknownCurrency
    | r.StaleObservation
    | r.FutureObservation
    | r.BadSlug
    | r.BadText
    | r.IdempotencyKeyReused,
    strawberry.union("ObservePriceResult", description="What came of it."),
]
WithdrawPriceResult = Annotated[
    PriceWithdrawn
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.UnknownPrice
    | r.StaleObservation
    | r.FutureObservation
    | r.BadText
    | r.IdempotencyKeyReused,
    strawberry.union("WithdrawPriceResult", description="What came of it."),
]
ObserveSignalResult = Annotated[
    SignalObserved
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.BadNumber
    | r.BadText
    | r.StaleObservation
    | r.FutureObservation
    | r.IdempotencyKeyReused,
    strawberry.union("ObserveSignalResult", description="What came of it."),
]
ImportArtifactsResult = Annotated[
    ArtifactsImported | r.IdempotencyKeyReused,
    strawberry.union("ImportArtifactsResult", description="What came of it."),
]


@strawberry.type
class ArtifactMutation:
    """What can be done to artifacts."""

    @strawberry.mutation(
        description="Put a new artifact into the catalog.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def register_artifact(
        self,
        info: Info,
        slug: Annotated[str, strawberry.argument(description="Its address, for ever.")],
        kind: Annotated[Kind, strawberry.argument(description="What it is.")],
        facts: Annotated[FactsInput, strawberry.argument(description="`name` at least.")],
        provenance: Annotated[ProvenanceInput, strawberry.argument(description="Who says so.")],
        idempotency_key: Key = None,
    ) -> RegisterArtifactResult:
        position = await commands.register(
            *by(info, idempotency_key), slug, kind, facts.to_domain(), provenance.to_domain()
        )
        return ArtifactRegistered(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Say what is new of an artifact; a weaker claim never replaces a stronger one.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def describe_artifact(
        self,
        info: Info,
        slug: Slug,
        facts: Annotated[FactsInput, strawberry.argument(description="What is said.")],
        provenance: Annotated[ProvenanceInput, strawberry.argument(description="Who says so.")],
        idempotency_key: Key = None,
    ) -> DescribeArtifactResult:
        position = await commands.describe(
            *by(info, idempotency_key), _slug(slug), facts.to_domain(), provenance.to_domain()
        )
        return ArtifactDescribed(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Take an artifact off the catalog; its history stays.",
        extensions=[OWN],
    )
    async def retire_artifact(
        self,
        info: Info,
        slug: Slug,
        reason: Annotated[str, strawberry.argument(description="Why, for those who come later.")],
        idempotency_key: Key = None,
    ) -> RetireArtifactResult:
        await require_own(info.context, "retireArtifact", _slug(slug), Role.CURATOR)
        position = await commands.retire(*by(info, idempotency_key), _slug(slug), reason)
        return ArtifactRetired(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Put a retired artifact back on the catalog.",
        extensions=[OWN],
    )
    async def reinstate_artifact(
        self, info: Info, slug: Slug, idempotency_key: Key = None
    ) -> ReinstateArtifactResult:
        await require_own(info.context, "reinstateArtifact", _slug(slug), Role.CURATOR)
        position = await commands.reinstate(*by(info, idempotency_key), _slug(slug))
        return ArtifactReinstated(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Make an artifact lead to another one, of which it is a duplicate.",
        extensions=[Needs(Role.CURATOR)],
    )
    async def merge_artifact(
        self,
        info: Info,
        slug: Slug,
        into: Annotated[str, strawberry.argument(description="The slug of the one that stays.")],
        idempotency_key: Key = None,
    ) -> MergeArtifactResult:
        position = await commands.merge(*by(info, idempotency_key), _slug(slug), _slug(into))
        return ArtifactMerged(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Make a merged artifact stand alone again.",
        extensions=[Needs(Role.CURATOR)],
    )
    async def unmerge_artifact(
        self, info: Info, slug: Slug, idempotency_key: Key = None
    ) -> UnmergeArtifactResult:
        position = await commands.unmerge(*by(info, idempotency_key), _slug(slug))
        return ArtifactUnmerged(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Make another slug lead to an artifact.",
        extensions=[Needs(Role.CURATOR)],
    )
    async def add_alias(
        self,
        info: Info,
        slug: Slug,
        alias: Annotated[str, strawberry.argument(description="The other slug.")],
        idempotency_key: Key = None,
    ) -> AddAliasResult:
        position = await commands.add_alias(*by(info, idempotency_key), _slug(slug), alias)
        return ArtifactAliased(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Make an alias lead nowhere; its slug stays reserved.",
        extensions=[Needs(Role.CURATOR)],
    )
    async def remove_alias(
        self,
        info: Info,
        alias: Annotated[str, strawberry.argument(description="The alias.")],
        idempotency_key: Key = None,
    ) -> RemoveAliasResult:
        position = await commands.remove_alias(*by(info, idempotency_key), _slug(alias))
        return ArtifactUnaliased(position=Position(position))

    @strawberry.mutation(
        description="Say that an artifact can do something.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def add_capability(
        self,
        info: Info,
        slug: Slug,
        capability: Annotated[CapabilityInput, strawberry.argument(description="What.")],
        idempotency_key: Key = None,
    ) -> AddCapabilityResult:
        position = await commands.add_capability(
            *by(info, idempotency_key), _slug(slug), capability.to_domain()
        )
        return CapabilityAdded(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Replace what is said of a capability; a retired one comes back.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def revise_capability(
        self,
        info: Info,
        slug: Slug,
        capability: Annotated[CapabilityInput, strawberry.argument(description="What.")],
        idempotency_key: Key = None,
    ) -> ReviseCapabilityResult:
        position = await commands.revise_capability(
            *by(info, idempotency_key), _slug(slug), capability.to_domain()
        )
        return CapabilityRevised(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Say that an artifact can do something no longer.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def retire_capability(
        self,
        info: Info,
        slug: Slug,
        key: Annotated[str, strawberry.argument(description="The capability's key.")],
        idempotency_key: Key = None,
    ) -> RetireCapabilityResult:
        position = await commands.retire_capability(
            *by(info, idempotency_key), _slug(slug), text("key", key, limit=500)
        )
        return CapabilityRetired(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Record a price. Refused if the same source is known to have a later one.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def observe_price(
        self,
        info: Info,
        slug: Slug,
        price: Annotated[PriceInput, strawberry.argument(description="What was seen.")],
        idempotency_key: Key = None,
    ) -> ObservePriceResult:
        seen: PriceValue = price.to_domain()
        position = await commands.observe_price(*by(info, idempotency_key), _slug(slug), seen)
        return PriceObserved(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Record that a price is asked no longer.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def withdraw_price(
        self,
        info: Info,
        slug: Slug,
        price: Annotated[PriceLineInput, strawberry.argument(description="Which price.")],
        observed_at: Annotated[datetime, strawberry.argument(description="When it was gone.")],
        idempotency_key: Key = None,
    ) -> WithdrawPriceResult:
        position = await commands.withdraw_price(
            *by(info, idempotency_key), _slug(slug), price.to_domain(), observed_at
        )
        return PriceWithdrawn(position=Position(position), slug=slug)

    @strawberry.mutation(
        description="Record a number. Refused if the same source is known to have a later one.",
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def observe_signal(
        self,
        info: Info,
        slug: Slug,
        signal: Annotated[SignalInput, strawberry.argument(description="What was seen.")],
        idempotency_key: Key = None,
    ) -> ObserveSignalResult:
        position = await commands.observe_signal(
            *by(info, idempotency_key), _slug(slug), signal.to_domain()
        )
        return SignalObserved(position=Position(position), slug=slug)

    @strawberry.mutation(
        description=(
            f"Take in up to {MOST_IN_IMPORT} artifacts, each all or nothing; what is known "
            "already changes nothing, so an import can be repeated."
        ),
        extensions=[Needs(Role.CONTRIBUTOR)],
    )
    async def import_artifacts(
        self,
        info: Info,
        artifacts: Annotated[
            list[ArtifactInput], strawberry.argument(description="What one source says.")
        ],
        idempotency_key: Key = None,
    ) -> ImportArtifactsResult:
        if len(artifacts) > MOST_IN_IMPORT:
            raise BadInput(
                f"`artifacts` has {len(artifacts)} entries; send at most {MOST_IN_IMPORT} a call."
            )
        outcomes = await catalog.take_in(
            *by(info, idempotency_key), [artifact.to_domain() for artifact in artifacts]
        )
        return ArtifactsImported(
            position=Position(
                max([outcome.position for outcome in outcomes] or [await info.context.store.head()])
            ),
            artifacts=[
                ImportedArtifact(
                    slug=outcome.slug,
                    outcome=outcome.taken,
                    events=outcome.events,
                    refusal=_shown(outcome.refusal),
                )
                for outcome in outcomes
            ],
        )


def _shown(refusal: DomainRefusal | None) -> Refusal | None:
    return None if refusal is None else show(refusal)


def by(info: Info, idempotency_key: str | None) -> tuple[Store, Request]:
    """Who asks, in the order in which commands take it."""
    if idempotency_key is not None:
        text("idempotencyKey", idempotency_key, limit=200)
        if not idempotency_key.strip():
            raise BadInput("`idempotencyKey` is blank; leave it out or give the call a name.")
    return info.context.store, info.context.by(idempotency_key)


def _slug(slug: str) -> str:
    return text("slug", slug, limit=500)
