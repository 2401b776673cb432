"""Artifact, capability, price and signal: their types and the queries that lead to them."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar
from uuid import UUID

import strawberry
from strawberry import relay

from matchgraph.domain import comparison, pricing
from matchgraph.domain.capability import Capability as CapabilityValue
from matchgraph.domain.price import Price as PriceValue
from matchgraph.domain.price import per_million
from matchgraph.domain.provenance import Provenance as ProvenanceValue
from matchgraph.domain.signal import Signal as SignalValue
from matchgraph.graphql.as_of import Then
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import (
    DataType,
    Every,
    Kind,
    Method,
    Order,
    Pricing,
    SignalName,
    Status,
    Unit,
)
from matchgraph.graphql.rank import Rank, rank_of
from matchgraph.graphql.scalars import Amount, BadInput, Count, Position, several, text
from matchgraph.projections.changes import RankChange as RankChangeValue
from matchgraph.queries import artifact as queries
from matchgraph.queries.artifact import Filter, Listing
from matchgraph.queries.board import Placed
from matchgraph.queries.capability import Offered
from matchgraph.queries.match_graph import Match as MatchValue
from matchgraph.queries.page import MOST, Page
from matchgraph.queries.price import Observation
from matchgraph.queries.rank import Asked
from matchgraph.queries.touched import CATALOG

if TYPE_CHECKING:
    from matchgraph.graphql.history import EventConnection, PriceSeries, RankSeries
    from matchgraph.graphql.search import Alternative, NeedConditions
    from matchgraph.graphql.subscription import RankChange

First = Annotated[int, strawberry.argument(description=f"How many at most, 1 to {MOST}.")]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
SeriesFrom = Annotated[
    datetime | None,
    strawberry.argument(
        name="from", description="From then on, with what held then as its first point."
    ),
]
SeriesTo = Annotated[datetime | None, strawberry.argument(description="Up to and including then.")]
SeriesEvery = Annotated[
    Every,
    strawberry.argument(
        description="A point for each of these at most; longer ones where that is more than 1,000."
    ),
]
N = TypeVar("N")
V = TypeVar("V")


@strawberry.type(description="One entry of a page.")
class Edge(Generic[N]):
    cursor: str = strawberry.field(description="Where this entry is, for `after`.")
    node: N = strawberry.field(description="The entry itself.")


@strawberry.type(description="A page of a list, by cursor; any depth costs the same.")
class Connection(Generic[N]):
    edges: list[Edge[N]] = strawberry.field(description="The entries with their cursors.")
    page_info: relay.PageInfo = strawberry.field(description="Whether and where it goes on.")

    @strawberry.field(description="The entries without their cursors.")
    def nodes(self) -> list[N]:
        return [edge.node for edge in self.edges]


def page_info(page: Page[V], after: str | None) -> relay.PageInfo:
    """Where the page stands in its list."""
    return relay.PageInfo(
        has_next_page=page.more,
        has_previous_page=after is not None,
        start_cursor=page.items[0][0] if page.items else None,
        end_cursor=page.items[-1][0] if page.items else None,
    )


def edges(page: Page[V], shown: Callable[[V], N]) -> list[Edge[N]]:
    """The entries of the page as the schema has them."""
    return [Edge(cursor=cursor, node=shown(entry)) for cursor, entry in page.items]


@strawberry.type(description="Where a claim comes from.")
class Provenance:
    method: Method = strawberry.field(description="How it came to be.")
    source: str = strawberry.field(description="Who says so, or where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")

    @classmethod
    def of(cls, value: ProvenanceValue) -> "Provenance":
        """The value as the schema has it."""
        return cls(method=value.method, source=value.source, observed_at=value.observed_at)


@strawberry.type(description="One thing that an artifact can do, as somebody claims it.")
class Capability(relay.Node):
    id: relay.NodeID[str]
    key: str = strawberry.field(
        description="Stable within the artifact; the same for the same thing elsewhere, if it can."
    )
    name: str = strawberry.field(description="A short name for a person.")
    description: str = strawberry.field(description="What it does.")
    unique: str | None = strawberry.field(description="What sets it apart here.")
    versus_alternatives: str | None = strawberry.field(
        description="How it stands against alternatives."
    )
    intents: list[str] = strawberry.field(description="What people want when they look for it.")
    best_for: list[str] = strawberry.field(description="Where it is at its best.")
    limitations: list[str] = strawberry.field(description="What it cannot do, or not well.")
    requires: list[str] = strawberry.field(description="What it needs to work.")
    input_types: list[DataType] = strawberry.field(description="What goes in; empty: not said.")
    output_types: list[DataType] = strawberry.field(description="What comes out; empty: not said.")
    tags: list[str] = strawberry.field(description="Free keywords.")
    provenance: Provenance = strawberry.field(description="Who claims it.")

    @strawberry.field(description="How often a search served its artifact by it.")
    async def times_matched(self, info: Info) -> Count:
        artifact_id, _, key = self.id.partition("/")
        served, _ = await info.context.view(info).loaders.times_matched_by.load(
            (UUID(artifact_id), key)
        )
        return Count(served)

    @classmethod
    def of(cls, offered: Offered) -> "Capability":
        """The value as the schema has it."""
        value: CapabilityValue = offered.capability
        return cls(
            id=f"{offered.artifact_id}/{value.key}",
            key=value.key,
            name=value.name,
            description=value.description,
            unique=value.unique,
            versus_alternatives=value.versus_alternatives,
            intents=list(value.intents),
            best_for=list(value.best_for),
            limitations=list(value.limitations),
            requires=list(value.requires),
            input_types=list(value.input_types),
            output_types=list(value.output_types),
            tags=list(value.tags),
            provenance=Provenance.of(value.provenance),
        )

    @classmethod
    async def by_node_ids(cls, info: Info, node_ids: Sequence[str]) -> "list[Capability | None]":
        """The capabilities by `artifact id/key`; None where there is none."""
        asked = [_capability_key(node_id) for node_id in node_ids]
        found = await asyncio.gather(*map(info.context.view(info).loaders.capability.load, asked))
        return [None if one is None else cls.of(one) for one in found]


def _capability_key(node_id: str) -> tuple[UUID, str]:
    id, slash, key = node_id.partition("/")
    if not slash:
        raise BadInput("`id` is not the id of a capability.")
    return _uuid(id), text("id", key, limit=200)


def _uuid(said: str) -> UUID:
    try:
        return UUID(said)
    except ValueError:
        raise BadInput("`id` is not an id that this schema gave out.") from None


@strawberry.type(description="What one provider asks for one unit, as one source showed it.")
class Price:
    provider: str = strawberry.field(description="Who asks it.")
    pricing: Pricing = strawberry.field(description="How the provider charges.")
    amount: Amount | None = strawberry.field(description="The exact amount for one unit, if any.")
    currency: str | None = strawberry.field(description="ISO 4217 code of the amount.")
    per: Unit | None = strawberry.field(description="The unit that the amount is for.")
    tier: str | None = strawberry.field(description="The plan or condition it is for, if any.")
    source: str = strawberry.field(description="Where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")

    @strawberry.field(description="The amount for a million, where the unit is a token.")
    def per_million(self) -> Amount | None:
        if self.amount is None or self.per is None or not self.per.is_token:
            return None
        return Amount(per_million(self.amount))

    @strawberry.field(description="The price as one phrase for a person.")
    def display(self) -> str:
        return comparison.describe(
            PriceValue(
                provider=self.provider,
                pricing=self.pricing,
                source=self.source,
                observed_at=self.observed_at,
                amount=self.amount,
                currency=self.currency,
                per=self.per,
                tier=self.tier,
            )
        )

    @classmethod
    def of(cls, value: PriceValue) -> "Price":
        """The value as the schema has it."""
        return cls(
            provider=value.provider,
            pricing=value.pricing,
            amount=None if value.amount is None else Amount(value.amount),
            currency=value.currency,
            per=value.per,
            tier=value.tier,
            source=value.source,
            observed_at=value.observed_at,
        )


@strawberry.type(description="A price as it was seen at one moment, or seen to be gone.")
class PriceObservation:
    provider: str = strawberry.field(description="Who asks it.")
    per: Unit | None = strawberry.field(description="The unit that the amount is for.")
    tier: str | None = strawberry.field(description="The plan or condition it is for, if any.")
    source: str = strawberry.field(description="Where it was seen.")
    observed_at: datetime = strawberry.field(description="When it was so.")
    price: Price | None = strawberry.field(description="The price; null once it was withdrawn.")
    position: Position = strawberry.field(description="The event that recorded it.")

    @classmethod
    def of(cls, value: Observation) -> "PriceObservation":
        """The value as the schema has it."""
        return cls(
            provider=value.line.provider,
            per=value.line.per,
            tier=value.line.tier,
            source=value.line.source,
            observed_at=value.observed_at,
            price=None if value.price is None else Price.of(value.price),
            position=Position(value.position),
        )


@strawberry.type(description="An observed number about an artifact.")
class Signal:
    name: SignalName = strawberry.field(description="What was counted or checked.")
    value: Amount = strawberry.field(description="The number.")
    source: str = strawberry.field(description="Where it was seen.")
    method: Method = strawberry.field(description="How it came to be.")
    observed_at: datetime = strawberry.field(description="When it was so.")

    @classmethod
    def of(cls, value: SignalValue) -> "Signal":
        """The value as the schema has it."""
        return cls(
            name=value.name,
            value=Amount(value.value),
            source=value.source,
            method=value.method,
            observed_at=value.observed_at,
        )


@strawberry.type(
    description=(
        "An intent that an artifact was served for, with the capability that matched, and the "
        "evidence of how searchers fared."
    )
)
class Match:
    intent: str | None = strawberry.field(
        description=(
            "The need in the words of one who searched for it; null: fewer than 3 searches had "
            "it, or those in whose words it was are forgotten."
        )
    )
    capability_key: str | None = strawberry.field(
        description="The key of the capability that matched; null: the artifact as a whole did."
    )
    shown: Count = strawberry.field(description="How often it was served so.")
    clicked: Count = strawberry.field(description="How many of these were clicked, and no more.")
    chosen: Count = strawberry.field(description="How many were chosen, and no more is known.")
    succeeded: Count = strawberry.field(description="How many were chosen and did what was needed.")
    failed: Count = strawberry.field(description="How many were chosen and did not.")
    dismissed: Count = strawberry.field(description="How many were dismissed.")
    searchers: Count = strawberry.field(
        description="How many different searchers reported any of that."
    )
    exposure: float = strawberry.field(
        description=(
            "How many examined views the evidence is worth, as of `day`: less the further down it "
            "stood, one at most for each searcher, and halved every 30 days."
        )
    )
    utility: float = strawberry.field(
        description="How many of these views served the searcher, by what they reported."
    )
    day: date = strawberry.field(description="The day of the newest evidence.")
    position: Position = strawberry.field(description="The newest event of it.")
    artifact_id: strawberry.Private[UUID]

    @strawberry.field(description="The capability, if the artifact has it still.")
    async def capability(self, info: Info) -> Capability | None:
        if self.capability_key is None:
            return None
        key = (self.artifact_id, self.capability_key)
        found = await info.context.view(info).loaders.capability.load(key)
        return None if found is None else Capability.of(found)

    @classmethod
    def of(cls, value: MatchValue) -> "Match":
        """The value as the schema has it."""
        return cls(
            intent=value.intent,
            capability_key=value.capability,
            shown=Count(value.shown),
            clicked=Count(value.clicked),
            chosen=Count(value.chosen),
            succeeded=Count(value.succeeded),
            failed=Count(value.failed),
            dismissed=Count(value.dismissed),
            searchers=Count(value.searchers),
            exposure=value.exposure,
            utility=value.utility,
            day=value.day,
            position=Position(value.position),
            artifact_id=value.artifact_id,
        )


@strawberry.type(description="One thing in the catalog.")
class Artifact(relay.Node):
    id: relay.NodeID[UUID]
    slug: str = strawberry.field(description="Its address in the catalog.")
    kind: Kind = strawberry.field(description="What sort of thing it is.")
    status: Status = strawberry.field(description="Whether it is on offer.")
    name: str = strawberry.field(description="Its name for a person.")
    description: str | None = strawberry.field(description="What it is.")
    vendor: str | None = strawberry.field(description="Who makes it.")
    family: str | None = strawberry.field(description="The line of artifacts it belongs to.")
    licence: str | None = strawberry.field(
        description="SPDX identifier of its licence where one exists, or `proprietary`."
    )
    open_weights: bool | None = strawberry.field(
        description="Whether its weights can be downloaded; null: nobody said."
    )
    self_hostable: bool | None = strawberry.field(
        description="Whether one can run it oneself; null: nobody said."
    )
    homepage: str | None = strawberry.field(description="Its own page.")
    released: date | None = strawberry.field(description="The day it was first released.")
    last_release: date | None = strawberry.field(
        description="The day of its newest substantive release; null: nobody said."
    )
    knowledge_cutoff: date | None = strawberry.field(
        description="The day up to which it was trained."
    )
    context_tokens: Count | None = strawberry.field(
        description="How many tokens it can take in at once."
    )
    output_tokens: Count | None = strawberry.field(
        description="How many tokens it can put out at once."
    )
    input_types: list[DataType] | None = strawberry.field(description="What it takes in.")
    output_types: list[DataType] | None = strawberry.field(description="What it puts out.")
    provenance: Provenance = strawberry.field(description="Where its newest facts come from.")
    registered_at: datetime = strawberry.field(description="When it entered the catalog.")
    changed_at: datetime = strawberry.field(description="When its facts last changed.")
    position: Position = strawberry.field(description="The event that last changed its facts.")
    artifact_id: strawberry.Private[UUID]
    placed: strawberry.Private[Placed | None] = None

    @strawberry.field(description="Other slugs that lead to it.")
    async def aliases(self, info: Info) -> list[str]:
        return await info.context.view(info).loaders.aliases.load(self.artifact_id)

    @strawberry.field(description="What it can do, in the order in which it was claimed.")
    async def capabilities(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Capability]:
        page = await info.context.view(info).loaders.capabilities.load(
            (self.artifact_id, first, after)
        )
        return Connection(edges=edges(page, Capability.of), page_info=page_info(page, after))

    @strawberry.field(description="How many capabilities it has.")
    async def capability_count(self, info: Info) -> int:
        return await info.context.view(info).loaders.capability_count.load(self.artifact_id)

    @strawberry.field(description="Every price that is asked for it now.")
    async def prices(self, info: Info) -> list[Price]:
        return [
            Price.of(p) for p in await info.context.view(info).loaders.prices.load(self.artifact_id)
        ]

    @strawberry.field(
        description="The most generous pricing model among its prices; null: nobody said."
    )
    async def pricing(self, info: Info) -> Pricing | None:
        return pricing.pricing_of(
            await info.context.view(info).loaders.prices.load(self.artifact_id)
        )

    @strawberry.field(
        description=(
            "The price one can begin with: a free one if there is any, else the lowest amount "
            "for the unit that people ask for first."
        )
    )
    async def starting_price(self, info: Info) -> Price | None:
        found = pricing.starting_price(
            await info.context.view(info).loaders.prices.load(self.artifact_id)
        )
        return None if found is None else Price.of(found)

    @strawberry.field(description="Every price that was ever seen, oldest observation first.")
    async def price_history(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[PriceObservation]:
        page = await info.context.view(info).loaders.price_history.load(
            (self.artifact_id, first, after)
        )
        return Connection(edges=edges(page, PriceObservation.of), page_info=page_info(page, after))

    @strawberry.field(description="Every number known of it, as each source last showed it.")
    async def signals(self, info: Info) -> list[Signal]:
        return [
            Signal.of(s)
            for s in await info.context.view(info).loaders.signals.load(self.artifact_id)
        ]

    @strawberry.field(description="How it ranks among its kind, and why.")
    async def rank(self, info: Info) -> Rank | None:
        return await rank_of(info, self.artifact_id, self.placed)

    @strawberry.field(
        description="Every change of its rank, oldest first, with the event that caused it."
    )
    async def rank_history(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Annotated["RankChange", strawberry.lazy("matchgraph.graphql.subscription")]]:
        asked = Asked(self.artifact_id, first, after)
        return shown_changes(await info.context.view(info).loaders.rank_history.load(asked), after)

    @strawberry.field(
        description=(
            "Everything that happened to it and its aliases: what changed, when, by which source, "
            "before and after. Newest first, unless asked for otherwise."
        )
    )
    async def history(
        self,
        info: Info,
        topics: Annotated[
            list[str] | None, strawberry.argument(description="Any of these; all if left out.")
        ] = None,
        oldest_first: Annotated[
            bool, strawberry.argument(description="From its registration on.")
        ] = False,
        first: First = 20,
        after: After = None,
    ) -> Annotated["EventConnection", strawberry.lazy("matchgraph.graphql.history")]:
        from matchgraph.graphql.history import history_of

        return await history_of(info, self.artifact_id, topics, oldest_first, first, after)

    @strawberry.field(
        description=(
            "What was asked for it over time, for charts: a series for each provider, unit, tier, "
            "source and currency, 20 at most. What is free or unknown has no amount and no series."
        )
    )
    async def price_series(
        self,
        info: Info,
        provider: Annotated[str | None, strawberry.argument(description="Of this one.")] = None,
        per: Annotated[Unit | None, strawberry.argument(description="For this unit.")] = None,
        tier: Annotated[
            str | None, strawberry.argument(description='In this tier; "": in none.')
        ] = None,
        currency: Annotated[str | None, strawberry.argument(description="In this one.")] = None,
        source: Annotated[str | None, strawberry.argument(description="Seen there.")] = None,
        from_: SeriesFrom = None,
        to: SeriesTo = None,
        every: SeriesEvery = Every.DAY,
    ) -> list[Annotated["PriceSeries", strawberry.lazy("matchgraph.graphql.history")]]:
        from matchgraph.graphql.history import price_series_of

        names = {"provider": provider, "tier": tier, "currency": currency, "source": source}
        return await price_series_of(info, self.artifact_id, names, per, from_, to, every)

    @strawberry.field(description="How it ranked over time, for charts.")
    async def rank_series(
        self,
        info: Info,
        from_: SeriesFrom = None,
        to: SeriesTo = None,
        every: SeriesEvery = Every.DAY,
    ) -> Annotated["RankSeries", strawberry.lazy("matchgraph.graphql.history")]:
        from matchgraph.graphql.history import rank_series_of

        return await rank_series_of(info, self.artifact_id, from_, to, every)

    @strawberry.field(description="How often a search served it.")
    async def times_matched(self, info: Info) -> Count:
        return Count(await info.context.view(info).loaders.times_matched.load(self.artifact_id))

    @strawberry.field(
        description="What it was served for, by which capability, and what came of it; most first."
    )
    async def match_edges(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Match]:
        page = await info.context.view(info).loaders.match_edges.load(
            (self.artifact_id, first, after)
        )
        return Connection(edges=edges(page, Match.of), page_info=page_info(page, after))

    @strawberry.field(
        description=(
            "Others that serve the same intents, best first, as `search` finds them for `like`; "
            "with conditions on what has to be different. Nothing of it is recorded."
        )
    )
    async def alternatives(
        self,
        info: Info,
        first: First = 10,
        different: Annotated[
            Annotated["NeedConditions", strawberry.lazy("matchgraph.graphql.search")] | None,
            strawberry.argument(description="What they must be like."),
        ] = None,
    ) -> list[Annotated["Alternative", strawberry.lazy("matchgraph.graphql.search")]]:
        from matchgraph.graphql.search import alternatives_to

        return await alternatives_to(info, self.slug, self.artifact_id, first, different)

    @classmethod
    def of(cls, listing: Listing, placed: Placed | None = None) -> "Artifact":
        """The listing as the schema has it; `placed` where a board says how it ranks."""
        facts = listing.facts
        return cls(
            id=listing.id,
            artifact_id=listing.id,
            slug=listing.slug,
            kind=listing.kind,
            status=listing.status,
            name=facts.name or listing.slug,
            description=facts.description,
            vendor=facts.vendor,
            family=facts.family,
            licence=facts.licence,
            open_weights=facts.open_weights,
            self_hostable=facts.self_hostable,
            homepage=facts.homepage,
            released=facts.released,
            last_release=facts.last_release,
            knowledge_cutoff=facts.knowledge_cutoff,
            context_tokens=None if facts.context_tokens is None else Count(facts.context_tokens),
            output_tokens=None if facts.output_tokens is None else Count(facts.output_tokens),
            input_types=None if facts.input_types is None else list(facts.input_types),
            output_types=None if facts.output_types is None else list(facts.output_types),
            provenance=Provenance.of(listing.provenance),
            registered_at=listing.registered_at,
            changed_at=listing.changed_at,
            position=Position(listing.position),
            placed=placed,
        )

    @classmethod
    async def by_node_ids(cls, info: Info, node_ids: Sequence[str]) -> "list[Artifact | None]":
        """The artifacts by id; None where there is none."""
        ids = [_uuid(str(node_id)) for node_id in node_ids]
        found = await asyncio.gather(*map(info.context.view(info).loaders.by_id.load, ids))
        return [None if listing is None else cls.of(listing) for listing in found]


def shown_changes(page: Page[RankChangeValue], after: str | None) -> "Connection[RankChange]":
    """A page of an artifact's changes of rank as the schema has it."""
    from matchgraph.graphql.subscription import RankChange  # which shows artifacts

    return Connection(edges=edges(page, RankChange.of), page_info=page_info(page, after))


@strawberry.type(description="A page of artifacts.")
class ArtifactConnection(Connection[Artifact]):
    meant: strawberry.Private[Filter]

    @strawberry.field(description="How many artifacts the filter lets through in all.")
    async def total_count(self, info: Info) -> int:
        snapshot = info.context.view(info).snapshot
        with snapshot.notes.of(CATALOG):
            return await queries.count(snapshot, self.meant)


@strawberry.input(description="Which artifacts are meant; what is left out does not matter.")
class ArtifactFilter:
    kinds: list[Kind] | None = strawberry.field(default=None, description="Of any of these.")
    statuses: list[Status] | None = strawberry.field(
        default=None, description="In any of these; ACTIVE alone if left out."
    )
    vendors: list[str] | None = strawberry.field(default=None, description="Made by any of these.")
    families: list[str] | None = strawberry.field(default=None, description="Of any of these.")
    licences: list[str] | None = strawberry.field(default=None, description="Under any of these.")
    open_weights: bool | None = strawberry.field(
        default=None, description="Known to have open weights, or known not to."
    )
    self_hostable: bool | None = strawberry.field(
        default=None, description="Known to be self-hostable, or known not to."
    )
    pricing: list[Pricing] | None = strawberry.field(
        default=None, description="With a price of any of these models."
    )
    providers: list[str] | None = strawberry.field(
        default=None, description="With a price by any of these providers."
    )
    capabilities: list[str] | None = strawberry.field(
        default=None, description="With every one of these capabilities, by key."
    )
    input_types: list[DataType] | None = strawberry.field(
        default=None, description="Taking in every one of these."
    )
    output_types: list[DataType] | None = strawberry.field(
        default=None, description="Putting out every one of these."
    )
    min_context_tokens: Count | None = strawberry.field(
        default=None, description="Taking in at least so many tokens."
    )
    released_since: date | None = strawberry.field(
        default=None, description="First released on that day or later."
    )
    name_contains: str | None = strawberry.field(
        default=None, description="With this in the name, in any case."
    )

    def to_query(self) -> Filter:
        """Raises: BadInput."""
        return Filter(
            kinds=self.kinds,
            statuses=tuple(self.statuses) if self.statuses is not None else (Status.ACTIVE,),
            vendors=_texts("filter.vendors", self.vendors),
            families=_texts("filter.families", self.families),
            licences=_texts("filter.licences", self.licences),
            open_weights=self.open_weights,
            self_hostable=self.self_hostable,
            pricing=self.pricing,
            providers=_texts("filter.providers", self.providers),
            capabilities=_texts("filter.capabilities", self.capabilities, most=20),
            input_types=self.input_types,
            output_types=self.output_types,
            min_context_tokens=self.min_context_tokens,
            released_since=self.released_since,
            name_contains=(
                None
                if self.name_contains is None
                else text("filter.nameContains", self.name_contains, limit=200)
            ),
        )


def _texts(field: str, values: list[str] | None, most: int = 250) -> list[str] | None:
    return None if values is None else several(field, values, most=most)


@strawberry.type
class ArtifactQuery:
    """What can be asked of single artifacts and lists of them."""

    @strawberry.field(
        description="The artifact that the slug leads to, over aliases and merges; null: none."
    )
    async def artifact(
        self,
        info: Info,
        slug: Annotated[str, strawberry.argument(description="Its slug or an alias of it.")],
        as_of: Then = None,
    ) -> Artifact | None:
        asked = text("slug", slug, limit=500)
        view = await info.context.look(info, as_of)
        found = await view.loaders.by_slug.load(asked)
        return None if found is None else Artifact.of(found)

    @strawberry.field(description="The artifacts that the filter means, a page at a time.")
    async def artifacts(
        self,
        info: Info,
        filter: Annotated[
            ArtifactFilter | None, strawberry.argument(description="Active ones if left out.")
        ] = None,
        order_by: Annotated[
            Order, strawberry.argument(description="The order they come in.")
        ] = Order.SLUG,
        first: First = 20,
        after: After = None,
        as_of: Then = None,
    ) -> ArtifactConnection:
        meant = filter.to_query() if filter is not None else Filter()
        view = await info.context.look(info, as_of)
        with view.snapshot.notes.of(CATALOG):
            page = await queries.listed(view.snapshot, meant, order_by, first, after)
        return ArtifactConnection(
            edges=edges(page, Artifact.of),
            page_info=page_info(page, after),
            meant=meant,
        )
