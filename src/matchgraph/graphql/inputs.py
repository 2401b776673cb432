"""What mutations take in, and how it becomes the domain's own values."""

from datetime import UTC, date, datetime

import strawberry

from matchgraph.domain.artifact import Facts
from matchgraph.domain.capability import Capability
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import Price, PriceLine
from matchgraph.domain.provenance import Provenance
from matchgraph.domain.signal import Signal
from matchgraph.graphql.enums import DataType, Kind, Method, Pricing, SignalName, Unit
from matchgraph.graphql.scalars import Amount, BadInput, Count


def moment(field: str, value: datetime) -> datetime:
    """Returns a moment that the database can compare with. Raises: BadInput."""
    if value.tzinfo is None:
        raise BadInput(f"{field} needs a time zone, such as 2026-11-01T00:00:00Z.")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise BadInput(f"{field} is no moment of this calendar in UTC.") from None


@strawberry.input(description="Where a claim comes from.")
class ProvenanceInput:
    source: str = strawberry.field(description="Who says so, or where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")
    method: Method = strawberry.field(
        default=Method.DECLARED, description="How the claim came to be."
    )

    def to_domain(self) -> Provenance:
        """Raises: BadInput."""
        return Provenance(
            method=self.method,
            source=self.source,
            observed_at=moment("observedAt", self.observed_at),
        )


@strawberry.input(description="What is said of an artifact as a whole; leave out what is not.")
class FactsInput:
    name: str | None = strawberry.field(default=None, description="Its name for a person.")
    description: str | None = strawberry.field(default=None, description="What it is.")
    vendor: str | None = strawberry.field(default=None, description="Who makes it.")
    family: str | None = strawberry.field(default=None, description="The line it belongs to.")
    licence: str | None = strawberry.field(
        default=None, description="SPDX identifier where one exists, or `proprietary`."
    )
    open_weights: bool | None = strawberry.field(
        default=None, description="Whether its weights can be downloaded."
    )
    self_hostable: bool | None = strawberry.field(
        default=None, description="Whether one can run it oneself."
    )
    homepage: str | None = strawberry.field(default=None, description="Its own page.")
    released: date | None = strawberry.field(default=None, description="Its first release.")
    last_release: date | None = strawberry.field(
        default=None,
        description="Its newest substantive release; never before `released`.",
    )
    knowledge_cutoff: date | None = strawberry.field(
        default=None, description="The day up to which it was trained."
    )
    context_tokens: Count | None = strawberry.field(
        default=None, description="How many tokens it can take in at once."
    )
    output_tokens: Count | None = strawberry.field(
        default=None, description="How many tokens it can put out at once."
    )
    input_types: list[DataType] | None = strawberry.field(
        default=None, description="What it takes in."
    )
    output_types: list[DataType] | None = strawberry.field(
        default=None, description="What it puts out."
    )

    def to_domain(self) -> Facts:
        """The facts that were said."""
        return Facts(
            name=self.name,
            description=self.description,
            vendor=self.vendor,
            family=self.family,
            licence=self.licence,
            open_weights=self.open_weights,
            self_hostable=self.self_hostable,
            homepage=self.homepage,
            released=self.released,
            last_release=self.last_release,
            knowledge_cutoff=self.knowledge_cutoff,
            context_tokens=self.context_tokens,
            output_tokens=self.output_tokens,
            input_types=None if self.input_types is None else tuple(self.input_types),
            output_types=None if self.output_types is None else tuple(self.output_types),
        )


@strawberry.input(description="One thing that an artifact can do.")
class CapabilityInput:
    key: str = strawberry.field(description="Stable within the artifact, spelled like a slug.")
    name: str = strawberry.field(description="A short name for a person.")
    description: str = strawberry.field(description="What it does.")
    unique: str | None = strawberry.field(default=None, description="What sets it apart here.")
    versus_alternatives: str | None = strawberry.field(
        default=None, description="How it stands against alternatives."
    )
    intents: list[str] = strawberry.field(
        default_factory=list, description="What people want when they look for it."
    )
    best_for: list[str] = strawberry.field(
        default_factory=list, description="Where it is at its best."
    )
    limitations: list[str] = strawberry.field(
        default_factory=list, description="What it cannot do, or not well."
    )
    requires: list[str] = strawberry.field(
        default_factory=list, description="What it needs to work."
    )
    input_types: list[DataType] = strawberry.field(
        default_factory=list, description="What goes in."
    )
    output_types: list[DataType] = strawberry.field(
        default_factory=list, description="What comes out."
    )
    tags: list[str] = strawberry.field(default_factory=list, description="Free keywords.")
    provenance: ProvenanceInput | None = strawberry.field(
        default=None,
        description="Who claims it; only in an import, that of the artifact if left out.",
    )

    def to_domain(self, otherwise: Provenance | None = None) -> Capability:
        """Raises: BadInput without any provenance."""
        provenance = self.provenance.to_domain() if self.provenance else otherwise
        if provenance is None:
            raise BadInput("`provenance` of the capability is missing: say who claims it.")
        return Capability(
            key=self.key,
            name=self.name,
            description=self.description,
            provenance=provenance,
            unique=self.unique,
            versus_alternatives=self.versus_alternatives,
            intents=tuple(self.intents),
            best_for=tuple(self.best_for),
            limitations=tuple(self.limitations),
            requires=tuple(self.requires),
            input_types=tuple(self.input_types),
            output_types=tuple(self.output_types),
            tags=tuple(self.tags),
        )


@strawberry.input(description="What one provider asks for one unit, as one source showed it.")
class PriceInput:
    provider: str = strawberry.field(description="Who asks it, spelled like a slug.")
    pricing: Pricing = strawberry.field(description="How the provider charges.")
    source: str = strawberry.field(description="Where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")
    amount: Amount | None = strawberry.field(
        default=None, description="For one unit; with PAID always, with FREEMIUM where known."
    )
    currency: str | None = strawberry.field(default=None, description="ISO 4217 code.")
    per: Unit | None = strawberry.field(default=None, description="The unit.")
    tier: str | None = strawberry.field(default=None, description="The plan or condition.")

    def to_domain(self) -> Price:
        """Raises: BadInput."""
        return Price(
            provider=self.provider,
            pricing=self.pricing,
            source=self.source,
            observed_at=moment("observedAt", self.observed_at),
            amount=self.amount,
            currency=self.currency,
            per=self.per,
            tier=self.tier,
        )


@strawberry.input(description="Which price is meant.")
class PriceLineInput:
    provider: str = strawberry.field(description="Who asked it.")
    source: str = strawberry.field(description="Where it was seen.")
    per: Unit | None = strawberry.field(default=None, description="The unit.")
    tier: str | None = strawberry.field(default=None, description="The plan or condition.")

    def to_domain(self) -> PriceLine:
        """The price that is meant."""
        return PriceLine(self.provider, self.per, self.tier, self.source)


@strawberry.input(description="An observed number about an artifact.")
class SignalInput:
    name: SignalName = strawberry.field(description="What was counted or checked.")
    value: Amount = strawberry.field(description="The number.")
    source: str = strawberry.field(description="Where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")
    method: Method = strawberry.field(default=Method.OBSERVED, description="How it came to be.")

    def to_domain(self) -> Signal:
        """Raises: BadInput."""
        return Signal(
            name=self.name,
            value=self.value,
            source=self.source,
            observed_at=moment("observedAt", self.observed_at),
            method=self.method,
        )


@strawberry.input(
    description=(
        "Everything that one source says of one artifact. What is new is taken in, all of it or "
        "nothing; what is known already changes nothing."
    )
)
class ArtifactInput:
    slug: str = strawberry.field(description="Its address in the catalog.")
    kind: Kind = strawberry.field(description="What sort of thing it is.")
    facts: FactsInput = strawberry.field(description="What is said of it as a whole.")
    provenance: ProvenanceInput = strawberry.field(description="Who says all this.")
    aliases: list[str] = strawberry.field(
        default_factory=list, description="Other slugs that lead to it."
    )
    capabilities: list[CapabilityInput] = strawberry.field(
        default_factory=list, description="What it can do."
    )
    prices: list[PriceInput] = strawberry.field(default_factory=list, description="What it costs.")
    signals: list[SignalInput] = strawberry.field(
        default_factory=list, description="What was counted."
    )

    def to_domain(self) -> Draft:
        """Raises: BadInput."""
        provenance = self.provenance.to_domain()
        return Draft(
            slug=self.slug,
            kind=self.kind,
            facts=self.facts.to_domain(),
            provenance=provenance,
            aliases=tuple(self.aliases),
            capabilities=tuple(c.to_domain(provenance) for c in self.capabilities),
            prices=tuple(p.to_domain() for p in self.prices),
            signals=tuple(s.to_domain() for s in self.signals),
        )
