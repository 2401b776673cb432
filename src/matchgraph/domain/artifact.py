"""Artifact: one thing in the catalog, its facts, capabilities, prices and signals.

Alias: another slug that leads to an artifact. Both take their id from their slug, so the event
store's own uniqueness (id, version 1) makes slugs unique among both.
"""

from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5

from matchgraph.domain import text
from matchgraph.domain.aggregate import Aggregate, AggregateCreated, AggregateEvent, event
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.errors import (
    BadMergeTarget,
    BadNumber,
    BadText,
    CapabilityExists,
    MergedArtifact,
    NotMerged,
    NotRetired,
    RetiredArtifact,
    SameArtifact,
    StaleObservation,
    UnknownAlias,
    UnknownCapability,
    UnknownPrice,
)
from matchgraph.domain.price import Price, PriceLine
from matchgraph.domain.provenance import Provenance, check_observed
from matchgraph.domain.signal import Signal, SignalName

SLUGS = uuid5(NAMESPACE_URL, "urn:matchgraph:slug")
MOST_TOKENS = 10**12


def id_of(slug: str) -> UUID:
    """The id of whatever has that slug, artifact or alias."""
    return uuid5(SLUGS, slug)


class Kind(StrEnum):
    """What sort of thing an artifact is."""

    AGENT = "agent"
    API = "api"
    APP = "app"
    BENCHMARK = "benchmark"
    CLI = "cli"
    DATASET = "dataset"
    EXTENSION = "extension"
    FINETUNE = "finetune"
    FRAMEWORK = "framework"
    MCP = "mcp"
    MODEL = "model"
    PLATFORM = "platform"
    PRODUCT = "product"
    PROMPT = "prompt"
    REPO = "repo"
    SKILL = "skill"
    TEMPLATE = "template"
    WEBAPP = "webapp"
    WORKFLOW = "workflow"


class Status(StrEnum):
    """Whether an artifact is on offer."""

    ACTIVE = "active"
    RETIRED = "retired"
    MERGED = "merged"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of an artifact as a whole; whatever is None was not said.

    `last_release` is the day of its newest substantive release; re-observing a number is none.
    """

    name: str | None = None
    description: str | None = None
    vendor: str | None = None
    family: str | None = None
    licence: str | None = None
    open_weights: bool | None = None
    self_hostable: bool | None = None
    homepage: str | None = None
    released: date | None = None
    last_release: date | None = None
    knowledge_cutoff: date | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None
    input_types: tuple[DataType, ...] | None = None
    output_types: tuple[DataType, ...] | None = None

    def checked(self) -> "Facts":
        """Returns the facts with their texts trimmed. Raises: BadText, BadNumber."""
        for name in ("context_tokens", "output_tokens"):
            tokens = getattr(self, name)
            if tokens is not None and not 0 < tokens < MOST_TOKENS:
                raise BadNumber(name, str(tokens)[:40], "it must be from 1 to below 10^12")
        if self.released and self.last_release and self.last_release < self.released:
            reason = f"{self.last_release} lies before the first release on {self.released}"
            raise BadText("last_release", reason)
        return replace(
            self,
            name=text.optional("name", self.name),
            description=text.optional("description", self.description, limit=text.LONG),
            vendor=text.optional("vendor", self.vendor),
            family=text.optional("family", self.family),
            licence=text.optional("licence", self.licence),
            homepage=text.link("homepage", self.homepage),
        )

    def said(self) -> dict[str, object]:
        """The facts that are not None, by name."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


class Artifact(Aggregate):
    """One thing in the catalog. Methods without an underscore decide and may refuse."""

    TOPIC = "artifact"

    class Registered(AggregateCreated):
        TOPIC = "artifact.registered"
        slug: str
        kind: Kind
        facts: Facts
        provenance: Provenance

    class Described(AggregateEvent):
        TOPIC = "artifact.described"
        facts: Facts
        provenance: Provenance

    class Retired(AggregateEvent):
        TOPIC = "artifact.retired"
        reason: str

    class Reinstated(AggregateEvent):
        TOPIC = "artifact.reinstated"

    class Merged(AggregateEvent):
        TOPIC = "artifact.merged"
        into: UUID

    class Unmerged(AggregateEvent):
        TOPIC = "artifact.unmerged"

    class Absorbed(AggregateEvent):
        TOPIC = "artifact.absorbed"
        other: UUID

    class Parted(AggregateEvent):
        TOPIC = "artifact.parted"
        other: UUID

    class ToldApart(AggregateEvent):
        TOPIC = "artifact.told_apart"
        other: UUID

    class CapabilityAdded(AggregateEvent):
        TOPIC = "capability.added"
        capability: Capability

    class CapabilityRevised(AggregateEvent):
        TOPIC = "capability.revised"
        capability: Capability

    class CapabilityRetired(AggregateEvent):
        TOPIC = "capability.retired"
        key: str

    class PriceObserved(AggregateEvent):
        TOPIC = "price.observed"
        price: Price

    class PriceWithdrawn(AggregateEvent):
        TOPIC = "price.withdrawn"
        line: PriceLine
        observed_at: datetime

    class SignalObserved(AggregateEvent):
        TOPIC = "signal.observed"
        signal: Signal

    @staticmethod
    def create_id(slug: str) -> UUID:
        """The id derives from the first slug."""
        return id_of(slug)

    @classmethod
    def register(cls, slug: str, kind: Kind, facts: Facts, provenance: Provenance) -> "Artifact":
        """A new artifact. Raises: BadSlug, BadText, BadNumber, FutureObservation.

        Whether the slug is free is decided when it is saved.
        """
        text.slug(slug)
        facts = facts.checked()
        provenance = provenance.checked(AggregateEvent.create_timestamp())
        text.words("name", facts.name or "")
        return cls(slug=slug, kind=kind, facts=facts, provenance=provenance)

    @event(Registered)
    def __init__(self, slug: str, kind: Kind, facts: Facts, provenance: Provenance) -> None:
        self.slug = slug
        self.kind = kind
        self.facts = Facts()
        self.status = Status.ACTIVE
        self.into: UUID | None = None
        self.absorbed: set[UUID] = set()
        self.told_apart: set[UUID] = set()
        self.capabilities: dict[str, Capability] = {}
        self.retired_capabilities: dict[str, Capability] = {}
        self.prices: dict[PriceLine, Price] = {}
        self.withdrawn: dict[PriceLine, datetime] = {}
        self.signals: dict[tuple[SignalName, str], Signal] = {}
        self._said_by: dict[str, Provenance] = {}
        self._adopt(facts, provenance)

    # What it is

    def describe(self, facts: Facts, provenance: Provenance) -> None:
        """Says what is new in the facts; a weaker claim never overwrites a stronger one.

        Raises: RetiredArtifact, MergedArtifact, BadText, BadNumber, StaleObservation,
            FutureObservation.
        """
        self._must_be_active()
        facts = facts.checked()
        provenance = provenance.checked(self.now)
        news = {
            name: value
            for name, value in facts.said().items()
            if self._is_news(name, value, provenance)
        }
        if news:
            self._described(Facts(**news), provenance)  # type: ignore[arg-type]

    @event(Described)
    def _described(self, facts: Facts, provenance: Provenance) -> None:
        self._adopt(facts, provenance)

    def retire(self, reason: str) -> None:
        """Takes it off the catalog; its history stays. Raises: RetiredArtifact, MergedArtifact,
        BadText."""
        self._must_be_active()
        self._retired(text.words("reason", reason, limit=text.LONG))

    @event(Retired)
    def _retired(self, reason: str) -> None:
        self.status = Status.RETIRED

    def reinstate(self) -> None:
        """Puts it back on the catalog. Raises: NotRetired."""
        if self.status is not Status.RETIRED:
            raise NotRetired(self.slug)
        self._reinstated()

    @event(Reinstated)
    def _reinstated(self) -> None:
        self.status = Status.ACTIVE

    def merge(self, into: "Artifact") -> None:
        """Makes it lead to another artifact; both keep their histories.

        The other one records that it took this one in. So a merge changes both, and of two merges
        at once that have an artifact in common, the second is decided again: none of them can lead
        in a circle, or to what was retired meanwhile.

        Raises: RetiredArtifact, MergedArtifact, BadMergeTarget.
        """
        self._must_be_active()
        if into.id == self.id or into.status is not Status.ACTIVE:
            raise BadMergeTarget(self.slug, into.slug)
        self._merged(into.id)
        into._absorbed(self.id)

    @event(Merged)
    def _merged(self, into: UUID) -> None:
        self.status, self.into = Status.MERGED, into

    @event(Absorbed)
    def _absorbed(self, other: UUID) -> None:
        self.absorbed.add(other)

    def unmerge(self, target: "Artifact") -> None:
        """Makes it stand alone again, as it was; `target` is the artifact that it leads to.

        Raises: NotMerged.
        """
        if self.status is not Status.MERGED or self.into != target.id:
            raise NotMerged(self.slug)
        self._unmerged()
        # In older histories, a target did not record what it took in.
        if self.id in target.absorbed:
            target._parted(self.id)

    @event(Unmerged)
    def _unmerged(self) -> None:
        self.status, self.into = Status.ACTIVE, None

    @event(Parted)
    def _parted(self, other: UUID) -> None:
        self.absorbed.discard(other)

    def tell_apart(self, other: "Artifact") -> None:
        """Says that the two are not the same, however alike they look; a merge still is possible.

        Raises: RetiredArtifact, MergedArtifact, SameArtifact.
        """
        if other.id == self.id:
            raise SameArtifact(self.slug)
        self._must_be_active()
        other._must_be_active()
        if other.id not in self.told_apart and self.id not in other.told_apart:
            self._told_apart(other.id)

    @event(ToldApart)
    def _told_apart(self, other: UUID) -> None:
        self.told_apart.add(other)

    # What it can do

    def add_capability(self, capability: Capability) -> None:
        """Raises: RetiredArtifact, MergedArtifact, CapabilityExists, BadSlug, BadText,
        FutureObservation."""
        self._must_be_active()
        capability = capability.checked(self.now)
        if capability.key in self.capabilities or capability.key in self.retired_capabilities:
            raise CapabilityExists(self.slug, capability.key)
        self._capability_added(capability)

    @event(CapabilityAdded)
    def _capability_added(self, capability: Capability) -> None:
        self.capabilities[capability.key] = capability

    def revise_capability(self, capability: Capability) -> None:
        """Replaces what is said of a capability; a retired one comes back.

        Raises: RetiredArtifact, MergedArtifact, UnknownCapability, BadSlug, BadText,
            StaleObservation, FutureObservation.
        """
        self._must_be_active()
        capability = capability.checked(self.now)
        known = self.capabilities.get(capability.key)
        if known is None and capability.key not in self.retired_capabilities:
            raise UnknownCapability(self.slug, capability.key)
        if known is None or not _confirms(capability, known):
            if known is not None:
                _must_not_be_older(
                    f"capability {capability.key}", capability.provenance, known.provenance
                )
            self._capability_revised(capability)

    @event(CapabilityRevised)
    def _capability_revised(self, capability: Capability) -> None:
        self.retired_capabilities.pop(capability.key, None)
        self.capabilities[capability.key] = capability

    def claim_capability(self, capability: Capability) -> None:
        """Adds or revises, as importers do: a weaker claim changes nothing, nor does any claim of
        what was retired, for importers go on finding what a curator took away.

        Raises: RetiredArtifact, MergedArtifact, BadSlug, BadText, StaleObservation,
            FutureObservation.
        """
        self._must_be_active()
        capability = capability.checked(self.now)
        if capability.key in self.retired_capabilities:
            return
        known = self.capabilities.get(capability.key)
        if known is None:
            self.add_capability(capability)
        elif capability.provenance.method.strength >= known.provenance.method.strength:
            self.revise_capability(capability)

    def retire_capability(self, key: str) -> None:
        """Raises: RetiredArtifact, MergedArtifact, UnknownCapability."""
        self._must_be_active()
        if key not in self.capabilities:
            raise UnknownCapability(self.slug, text.printable(key)[: text.SHORT])
        self._capability_retired(key)

    @event(CapabilityRetired)
    def _capability_retired(self, key: str) -> None:
        self.retired_capabilities[key] = self.capabilities.pop(key)

    # What it costs

    def observe_price(self, price: Price) -> None:
        """Raises: RetiredArtifact, MergedArtifact, StaleObservation, PriceSentinel,
        PriceContradiction, UnknownCurrency, BadSlug, BadText, FutureObservation."""
        self._must_be_active()
        price = price.checked(self.now)
        self._must_be_newer(f"price by {price.provider}", price.line, price.observed_at)
        if price != self.prices.get(price.line):
            self._price_observed(price)

    @event(PriceObserved)
    def _price_observed(self, price: Price) -> None:
        self.withdrawn.pop(price.line, None)
        self.prices[price.line] = price

    def withdraw_price(self, line: PriceLine, observed_at: datetime) -> None:
        """Records that the price is no longer asked. Raises: RetiredArtifact, MergedArtifact,
        UnknownPrice, StaleObservation, BadText, FutureObservation."""
        self._must_be_active()
        check_observed("price", observed_at, self.now)
        if line not in self.prices:
            raise UnknownPrice(self.slug, text.printable(line.provider)[: text.SHORT])
        self._must_be_newer(f"price by {line.provider}", line, observed_at)
        self._price_withdrawn(line, observed_at)

    @event(PriceWithdrawn)
    def _price_withdrawn(self, line: PriceLine, observed_at: datetime) -> None:
        del self.prices[line]
        self.withdrawn[line] = observed_at

    # What was counted

    def observe_signal(self, signal: Signal) -> None:
        """Raises: RetiredArtifact, MergedArtifact, StaleObservation, BadNumber, BadText,
        FutureObservation."""
        self._must_be_active()
        signal = signal.checked(self.now)
        known = self.signals.get((signal.name, signal.source))
        if known and signal.observed_at < known.observed_at:
            raise StaleObservation(signal.name, signal.observed_at, known.observed_at)
        if signal != known:
            self._signal_observed(signal)

    @event(SignalObserved)
    def _signal_observed(self, signal: Signal) -> None:
        self.signals[signal.name, signal.source] = signal

    # How the rules are put

    def _adopt(self, facts: Facts, provenance: Provenance) -> None:
        said = facts.said()
        self.facts = replace(self.facts, **said)  # type: ignore[arg-type]
        self._said_by.update(dict.fromkeys(said, provenance))

    def _is_news(self, name: str, value: object, provenance: Provenance) -> bool:
        known = self._said_by.get(name)
        if known is None or provenance.method.strength > known.method.strength:
            return True
        if provenance.method.strength < known.method.strength or value == getattr(self.facts, name):
            return False
        _must_not_be_older(name, provenance, known)
        return True

    def _must_be_active(self) -> None:
        if self.status is Status.RETIRED:
            raise RetiredArtifact(self.slug)
        if self.status is Status.MERGED:
            raise MergedArtifact(self.slug)

    def _must_be_newer(self, what: str, line: PriceLine, observed_at: datetime) -> None:
        price = self.prices.get(line)
        known = price.observed_at if price else self.withdrawn.get(line)
        if known and observed_at < known:
            raise StaleObservation(what, observed_at, known)


class Alias(Aggregate):
    """Another slug that leads to an artifact."""

    TOPIC = "alias"

    class Aliased(AggregateCreated):
        TOPIC = "artifact.aliased"
        slug: str
        artifact_id: UUID

    class Realiased(AggregateEvent):
        TOPIC = "artifact.realiased"
        artifact_id: UUID

    class Unaliased(AggregateEvent):
        TOPIC = "artifact.unaliased"

    @staticmethod
    def create_id(slug: str) -> UUID:
        """The same as an artifact by that slug would have, so that only one of them can exist."""
        return id_of(slug)

    @classmethod
    def of(cls, slug: str, artifact_id: UUID) -> "Alias":
        """A new alias. Raises: BadSlug. Whether the slug is free is decided when it is saved."""
        return cls(slug=text.slug(slug), artifact_id=artifact_id)

    @event(Aliased)
    def __init__(self, slug: str, artifact_id: UUID) -> None:
        self.slug = slug
        self.artifact_id: UUID | None = artifact_id

    def lead_to(self, artifact_id: UUID) -> None:
        """Gives a removed alias an artifact again, or does nothing if it leads there already."""
        if self.artifact_id != artifact_id:
            self._realiased(artifact_id)

    @event(Realiased)
    def _realiased(self, artifact_id: UUID) -> None:
        self.artifact_id = artifact_id

    def remove(self) -> None:
        """Makes the alias lead nowhere; its slug stays reserved. Raises: UnknownAlias."""
        if self.artifact_id is None:
            raise UnknownAlias(self.slug)
        self._unaliased()

    @event(Unaliased)
    def _unaliased(self) -> None:
        self.artifact_id = None


def _must_not_be_older(what: str, said: Provenance, known: Provenance) -> None:
    if said.source == known.source and said.observed_at < known.observed_at:
        raise StaleObservation(what, said.observed_at, known.observed_at)


def _confirms(capability: Capability, known: Capability) -> bool:
    return (
        capability.says_the_same_as(known)
        and capability.provenance.method.strength <= known.provenance.method.strength
    )
