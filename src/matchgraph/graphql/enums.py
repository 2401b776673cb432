"""The domain's enums as the schema names and describes them."""

import strawberry

from matchgraph.commands.catalog import Taken
from matchgraph.domain.artifact import Kind, Status
from matchgraph.domain.capability import DataType
from matchgraph.domain.comparison import Favour, RowName
from matchgraph.domain.history import About
from matchgraph.domain.price import Pricing, Unit
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import PartName
from matchgraph.domain.relevance import ReasonKind
from matchgraph.domain.search import Discard, Outcome
from matchgraph.domain.series import Every
from matchgraph.domain.signal import SignalName
from matchgraph.projections.changes import CatalogTopic
from matchgraph.queries.artifact import Order

strawberry.enum(Kind, name="ArtifactKind", description="What sort of thing an artifact is.")
strawberry.enum(Status, name="ArtifactStatus", description="Whether an artifact is on offer.")
strawberry.enum(DataType, description="What goes into a capability or comes out of it.")
strawberry.enum(
    Pricing,
    name="PricingModel",
    description=(
        "How a provider charges. FREE, UNKNOWN and a PAID amount of 0 are three different "
        "things; an artifact without any price is a fourth: nobody said."
    ),
)
strawberry.enum(
    Unit, name="PriceUnit", description="What an amount is asked for, always one of it."
)
strawberry.enum(
    Method,
    name="ProvenanceMethod",
    description=(
        "How a claim came to be, weakest first: inferred from others, observed in data, declared "
        "by its maker or a curator, or verified by somebody independent. A weaker claim never "
        "replaces a stronger one."
    ),
)
strawberry.enum(
    SignalName,
    description="What was counted, or (from LICENCE on) checked: 1 it holds, 0 it does not.",
)
strawberry.enum(
    Order, name="ArtifactOrder", description="How a list of artifacts is ordered; ties by slug."
)
strawberry.enum(
    RowName, name="ComparisonRowName", description="What a row of a comparison is about."
)
strawberry.enum(
    Favour,
    name="FavourOutcome",
    description=(
        "Whom a row speaks for: one ARTIFACT, NEITHER, or nobody because a value is UNKNOWN or "
        "the values are NOT_COMPARABLE."
    ),
)
strawberry.enum(
    PartName, name="RankPartName", description="What a score is made of, in the order of its sum."
)
strawberry.enum(
    Taken, name="ImportOutcome", description="What became of one artifact of an import."
)
strawberry.enum(
    Outcome,
    name="OutcomeKind",
    description=(
        "What became of a result of a search: looked at, chosen, and how that went; or dismissed, "
        "which is not the same as passed over."
    ),
)
strawberry.enum(
    Discard,
    name="OutcomeDiscardReason",
    description=(
        "Why a report counts nowhere: the token is FORGED or EXPIRED (after 30 days), the outcome "
        "is a DUPLICATE of what is known or no further, the searcher is OVER_CAP, or the search is "
        "an UNKNOWN_SEARCH, answered while it could not be recorded."
    ),
)
strawberry.enum(
    ReasonKind,
    name="SearchReasonKind",
    description=(
        "Why an artifact is among the results: its NAME was written, its WORDS or their MEANING "
        "match, it has LIKENESS with an example, it meets a CONDITION, EVIDENCE of past searches "
        "speaks for it, its RANK, or EXPLORATION, so that it is seen at all."
    ),
)
strawberry.enum(CatalogTopic, description="What an event did to an artifact.")
strawberry.enum(
    About,
    name="DifferenceAbout",
    description=(
        "What differs: the STATUS of an artifact, one FACT, CAPABILITY, PRICE or SIGNAL of it, an "
        "ALIAS that leads to it, an artifact that was ABSORBED into it by a merge, or one that it "
        "was TOLD_APART from."
    ),
)
strawberry.enum(
    Every,
    name="SeriesStep",
    description="How long the stretches are that are one point each, by the calendar of UTC.",
)

__all__ = [
    "About",
    "CatalogTopic",
    "DataType",
    "Discard",
    "Every",
    "Favour",
    "Kind",
    "Method",
    "Order",
    "Outcome",
    "PartName",
    "Pricing",
    "ReasonKind",
    "RowName",
    "SignalName",
    "Status",
    "Taken",
    "Unit",
]
