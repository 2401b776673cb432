"""Domain refusals as schema types: one table, so that no resolver has a `try`."""

from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime
from typing import Any

import strawberry

from matchgraph.domain import errors
from matchgraph.eventstore.errors import KeyReused
from matchgraph.graphql.enums import Kind
from matchgraph.graphql.scalars import Position


@strawberry.interface(description="A rule said no: nothing was changed, and this is why.")
class Refusal:
    message: str = strawberry.field(
        description="One sentence: what was refused, and what would be accepted."
    )


SLUG = strawberry.field(description="The slug that was given.")


@strawberry.type(description="The slug is not one that the catalog can address.")
class BadSlug(Refusal):
    slug: str = SLUG


@strawberry.type(description="An artifact or an alias has that slug, now or in the past.")
class SlugTaken(Refusal):
    slug: str = SLUG


@strawberry.type(description="Nothing in the catalog is addressed by that slug.")
class UnknownArtifact(Refusal):
    slug: str = SLUG


@strawberry.type(description="A retired artifact takes no new facts.")
class RetiredArtifact(Refusal):
    slug: str = SLUG


@strawberry.type(description="A merged artifact takes no new facts; the one it leads to does.")
class MergedArtifact(Refusal):
    slug: str = SLUG


@strawberry.type(description="Only a retired artifact can be reinstated.")
class NotRetired(Refusal):
    slug: str = SLUG


@strawberry.type(description="Only a merged artifact can be unmerged.")
class NotMerged(Refusal):
    slug: str = SLUG


@strawberry.type(description="An artifact can be merged only into another one that is active.")
class BadMergeTarget(Refusal):
    slug: str = SLUG
    into: str = strawberry.field(description="The slug of what it was to be merged into.")


@strawberry.type(description="Nothing can be told apart from itself.")
class SameArtifact(Refusal):
    slug: str = SLUG


@strawberry.type(description="That slug is no alias, or none any more.")
class UnknownAlias(Refusal):
    slug: str = SLUG


@strawberry.type(description="The artifact has, or had, a capability by that key.")
class CapabilityExists(Refusal):
    slug: str = SLUG
    key: str = strawberry.field(description="The capability's key.")


@strawberry.type(description="The artifact has no capability by that key.")
class UnknownCapability(Refusal):
    slug: str = SLUG
    key: str = strawberry.field(description="The capability's key.")


@strawberry.type(description="A text that the catalog cannot keep or nobody could read.")
class BadText(Refusal):
    field: str = strawberry.field(description="Which field it was given for.")
    reason: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="A number outside what its field can mean.")
class BadNumber(Refusal):
    field: str = strawberry.field(description="Which field it was given for.")
    value: str = strawberry.field(description="The number.")
    reason: str = strawberry.field(description="What it must be.")


@strawberry.type(
    description="A number that stands in for another fact, such as -1 or 10^9, is not a price."
)
class PriceSentinel(Refusal):
    amount: str = strawberry.field(description="The amount that was given.")


@strawberry.type(description="Pricing model, amount, currency and unit do not fit together.")
class PriceContradiction(Refusal):
    pricing: str = strawberry.field(description="The pricing model that was given.")
    reason: str = strawberry.field(description="What does not fit it.")


@strawberry.type(description="Not an ISO 4217 currency code.")
class UnknownCurrency(Refusal):
    currency: str = strawberry.field(description="The code that was given.")


@strawberry.type(description="Nobody asks such a price, so it cannot be withdrawn.")
class UnknownPrice(Refusal):
    slug: str = SLUG
    provider: str = strawberry.field(description="The provider that was given.")


@strawberry.type(description="Something newer is already known from the same source.")
class StaleObservation(Refusal):
    what: str = strawberry.field(description="What was observed.")
    observed: datetime = strawberry.field(description="The moment that was given.")
    known: datetime = strawberry.field(description="The newer moment that is known.")


@strawberry.type(description="Nobody can have observed that yet.")
class FutureObservation(Refusal):
    what: str = strawberry.field(description="What was observed.")
    observed: datetime = strawberry.field(description="The moment that was given.")


@strawberry.type(description="The weights of a policy must sum to exactly 1.")
class WeightsDoNotAddUp(Refusal):
    kind: Kind = strawberry.field(description="The kind whose weights they are.")
    total: str = strawberry.field(description="What they sum to.")


@strawberry.type(description="A policy can say only one thing of a kind.")
class KindTwice(Refusal):
    kind: Kind = strawberry.field(description="The kind that was named twice.")


@strawberry.type(description="This release has no such version of the formula.")
class UnknownFormula(Refusal):
    version: int = strawberry.field(description="The version that was named.")
    known: list[int] = strawberry.field(description="The versions that there are.")


@strawberry.type(description="A newer calibration is in force.")
class StaleCalibration(Refusal):
    day: date = strawberry.field(description="The day of the one refused.")
    up_to: Position = strawberry.field(description="What it was measured on.")
    known_day: date = strawberry.field(description="The day of the one in force.")
    known_up_to: Position = strawberry.field(description="What that was measured on.")


@strawberry.type(description="A key cannot expire then.")
class BadExpiry(Refusal):
    expires: datetime = strawberry.field(description="The moment that was given.")
    reason: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="No key has that id.")
class UnknownKey(Refusal):
    id: str = strawberry.field(description="The id that was given, or how it begins.")


@strawberry.type(description="The idempotency key belongs to another command.")
class IdempotencyKeyReused(Refusal):
    key: str = strawberry.field(description="The idempotency key that was given.")


def _translated(
    refusal: type[Exception], shown: type[Refusal], translate: Callable[[Any], Refusal]
) -> Any:
    class Translated(strawberry.ExceptionHandler):  # type: ignore[type-arg]
        exception_type = refusal
        error_type = shown

        def handle(self, exception: Any, *, field: Any, info: Any) -> Refusal:
            return translate(exception)

    return Translated()


def show(refusal: errors.Refusal) -> Refusal:
    """The refusal as the schema has it, its facts under the same names."""
    facts = {field.name: getattr(refusal, field.name) for field in fields(refusal)}  # type: ignore[arg-type]
    return SHOWN[type(refusal)](message=refusal.message, **facts)


SHOWN: dict[type[errors.Refusal], type[Refusal]] = {
    errors.BadSlug: BadSlug,
    errors.SlugTaken: SlugTaken,
    errors.UnknownArtifact: UnknownArtifact,
    errors.RetiredArtifact: RetiredArtifact,
    errors.MergedArtifact: MergedArtifact,
    errors.NotRetired: NotRetired,
    errors.NotMerged: NotMerged,
    errors.BadMergeTarget: BadMergeTarget,
    errors.SameArtifact: SameArtifact,
    errors.UnknownAlias: UnknownAlias,
    errors.CapabilityExists: CapabilityExists,
    errors.UnknownCapability: UnknownCapability,
    errors.BadText: BadText,
    errors.BadNumber: BadNumber,
    errors.PriceSentinel: PriceSentinel,
    errors.PriceContradiction: PriceContradiction,
    errors.UnknownCurrency: UnknownCurrency,
    errors.UnknownPrice: UnknownPrice,
    errors.StaleObservation: StaleObservation,
    errors.FutureObservation: FutureObservation,
    errors.WeightsDoNotAddUp: WeightsDoNotAddUp,
    errors.KindTwice: KindTwice,
    errors.UnknownFormula: UnknownFormula,
    errors.StaleCalibration: StaleCalibration,
    errors.BadExpiry: BadExpiry,
    errors.UnknownKey: UnknownKey,
}

HANDLERS = [
    *(_translated(refusal, shown, show) for refusal, shown in SHOWN.items()),
    _translated(
        KeyReused,
        IdempotencyKeyReused,
        lambda reused: IdempotencyKeyReused(message=str(reused), key=reused.key),
    ),
]
