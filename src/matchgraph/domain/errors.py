"""Every refusal: a rule of the domain said no, and these are the facts of it.

The commands let them through, `graphql/refusals.py` turns each into a member of the mutation's
union. A refusal leaves no trace in the history.
"""

from dataclasses import dataclass
from datetime import date, datetime


class Refusal(Exception):
    """A rule said no; nothing was changed. Subclasses carry the facts as attributes."""

    @property
    def message(self) -> str:
        """One sentence for a person: what was refused, and what would be accepted."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class BadSlug(Refusal):
    """The slug is not one that the catalog can address."""

    slug: str

    @property
    def message(self) -> str:
        return (
            f"{self.slug!r} is not a slug: use 1 to 120 of a-z, 0-9, '.', '_' and '-', "
            "beginning and ending with a letter or digit."
        )


@dataclass(eq=False)
class SlugTaken(Refusal):
    """An artifact or an alias has that slug, now or in the past."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is taken: a slug belongs to one artifact or alias for ever."


@dataclass(eq=False)
class UnknownArtifact(Refusal):
    """Nothing in the catalog is addressed by that slug."""

    slug: str

    @property
    def message(self) -> str:
        return f"There is no artifact {self.slug!r}; register it first or check the spelling."


@dataclass(eq=False)
class RetiredArtifact(Refusal):
    """A retired artifact keeps its history and takes no new facts."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is retired; reinstate it before adding to it."


@dataclass(eq=False)
class MergedArtifact(Refusal):
    """A merged artifact takes no new facts: they belong to the artifact it leads to."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is merged into another artifact; change that one, or unmerge first."


@dataclass(eq=False)
class NotRetired(Refusal):
    """Only a retired artifact can be reinstated."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is not retired, so there is nothing to reinstate."


@dataclass(eq=False)
class NotMerged(Refusal):
    """Only a merged artifact can be unmerged."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is not merged into anything, so there is nothing to undo."


@dataclass(eq=False)
class BadMergeTarget(Refusal):
    """An artifact can be merged only into another one that is active."""

    slug: str
    into: str

    @property
    def message(self) -> str:
        return (
            f"{self.slug!r} cannot be merged into {self.into!r}: name another, active artifact "
            "by its own slug."
        )


@dataclass(eq=False)
class SameArtifact(Refusal):
    """Nothing can be told apart from itself."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} cannot be told apart from itself: name two artifacts."


@dataclass(eq=False)
class UnknownAlias(Refusal):
    """That slug is no alias, or none any more."""

    slug: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} is not an alias of anything."


@dataclass(eq=False)
class CapabilityExists(Refusal):
    """The artifact has a capability by that key, or had one that is retired."""

    slug: str
    key: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} already has a capability {self.key!r}; revise that one."


@dataclass(eq=False)
class UnknownCapability(Refusal):
    """The artifact has no capability by that key."""

    slug: str
    key: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} has no capability {self.key!r}; add it first."


@dataclass(eq=False)
class BadText(Refusal):
    """A text that the catalog cannot keep or nobody could read."""

    field: str
    reason: str

    @property
    def message(self) -> str:
        return f"{self.field}: {self.reason}."


@dataclass(eq=False)
class BadNumber(Refusal):
    """A number outside what its field can mean."""

    field: str
    value: str
    reason: str

    @property
    def message(self) -> str:
        return f"{self.field}: {self.value} is refused, {self.reason}."


@dataclass(eq=False)
class PriceSentinel(Refusal):
    """A number that stands in for another fact: -1, NaN, 10^9 and the like are not prices."""

    amount: str

    @property
    def message(self) -> str:
        return (
            f"{self.amount} is no price: an amount is a finite decimal from 0 to below 10^9 with "
            "at most 18 decimal places. Say `unknown`, `free` or nothing where that is meant."
        )


@dataclass(eq=False)
class PriceContradiction(Refusal):
    """Pricing model, amount, currency and unit do not fit together."""

    pricing: str
    reason: str

    @property
    def message(self) -> str:
        return f"A price that is {self.pricing} {self.reason}."


@dataclass(eq=False)
class UnknownCurrency(Refusal):
    """Not an ISO 4217 code."""

    currency: str

    @property
    def message(self) -> str:
        return f"{self.currency!r} is not an ISO 4217 currency code such as USD, EUR or JPY."


@dataclass(eq=False)
class UnknownPrice(Refusal):
    """Nobody asks such a price, so it cannot be withdrawn."""

    slug: str
    provider: str

    @property
    def message(self) -> str:
        return f"{self.slug!r} has no such price by {self.provider!r} from that source."


@dataclass(eq=False)
class StaleObservation(Refusal):
    """Something newer is already known from the same source."""

    what: str
    observed: datetime
    known: datetime

    @property
    def message(self) -> str:
        return (
            f"{self.what}: observed at {self.observed.isoformat()}, but the same source is known "
            f"as of {self.known.isoformat()}."
        )


@dataclass(eq=False)
class FutureObservation(Refusal):
    """Nobody can have observed that yet."""

    what: str
    observed: datetime

    @property
    def message(self) -> str:
        return f"{self.what}: {self.observed.isoformat()} lies in the future."


@dataclass(eq=False)
class WeightsDoNotAddUp(Refusal):
    """The weights of a policy must sum to 1."""

    kind: str
    total: str

    @property
    def message(self) -> str:
        return f"The weights for {self.kind} sum to {self.total}; they must sum to exactly 1."


@dataclass(eq=False)
class KindTwice(Refusal):
    """A policy can say only one thing of a kind."""

    kind: str

    @property
    def message(self) -> str:
        return f"The policy names {self.kind} twice; send each kind once."


@dataclass(eq=False)
class UnknownFormula(Refusal):
    """This release has no such version of the formula that ranks are computed by."""

    version: int
    known: tuple[int, ...]

    @property
    def message(self) -> str:
        known = ", ".join(map(str, self.known))
        return (
            f"There is no version {self.version} of the formula in this release, which knows "
            f"{known}; a newer release may."
        )


@dataclass(eq=False)
class StaleCalibration(Refusal):
    """A newer calibration is in force."""

    day: date
    up_to: int
    known_day: date
    known_up_to: int

    @property
    def message(self) -> str:
        return (
            f"A calibration of {self.known_day} up to position {self.known_up_to} is in force; "
            f"one of {self.day} up to {self.up_to} would go back. Calibrate again from now."
        )


@dataclass(eq=False)
class BadExpiry(Refusal):
    """A key cannot expire then."""

    expires: datetime
    reason: str

    @property
    def message(self) -> str:
        return f"A key cannot expire at {self.expires.isoformat()}: {self.reason}."


@dataclass(eq=False)
class UnknownKey(Refusal):
    """No key has that id."""

    id: str

    @property
    def message(self) -> str:
        return f"There is no key {self.id!r}; the id is what stands between `mg_` and the next `_`."
