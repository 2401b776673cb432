"""The bundled catalog as the judges see it: each artifact with what is said of it, no database.

The domain's own rules put the catalogs together, as an import does; of a price, the newest
observation counts. Read by judging.py and baselines.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import Price, PriceLine
from matchgraph.imports import genai_prices, manifest, models_dev

CATALOG = Path(__file__).parents[1] / "catalog" / "catalog.yaml"


@dataclass(frozen=True)
class Entry:
    """One artifact as it stands in the catalog."""

    slug: str
    kind: Kind
    facts: Facts
    capabilities: Mapping[str, Capability]
    prices: tuple[Price, ...]

    @property
    def input_types(self) -> frozenset[DataType]:
        """What goes into it, as far as anybody said."""
        claimed = {kind for one in self.capabilities.values() for kind in one.input_types}
        return frozenset(claimed | set(self.facts.input_types or ()))

    @property
    def output_types(self) -> frozenset[DataType]:
        """What comes out of it, as far as anybody said."""
        claimed = {kind for one in self.capabilities.values() for kind in one.output_types}
        return frozenset(claimed | set(self.facts.output_types or ()))

    @property
    def own_text(self) -> str:
        """What says what it is as a whole."""
        facts = self.facts
        kind = self.kind.value
        return ". ".join(filter(None, (facts.name, kind, facts.vendor, facts.description)))

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that speaks for it: itself as a whole, then each capability."""
        return (self.own_text, *map(text_of, self.capabilities.values()))


def text_of(capability: Capability) -> str:
    """What speaks for a capability: what limits it, and how it stands against others, do not."""
    said = (
        capability.name,
        capability.description,
        capability.unique,
        *capability.intents,
        *capability.best_for,
        " ".join(capability.tags),
    )
    return ". ".join(text.rstrip(".") for text in said if text)


def drafts() -> Iterator[list[Draft]]:
    """The catalogs that come with matchgraph, in the order in which they are imported."""
    yield list(manifest.read(CATALOG).drafts)
    yield list(models_dev.drafts())
    yield list(genai_prices.drafts())


@cache
def entries() -> Mapping[str, Entry]:
    """The bundled catalog by slug."""
    return joined(draft for catalog in drafts() for draft in catalog)


def joined(drafts: Iterable[Draft]) -> Mapping[str, Entry]:
    """What the drafts say of each artifact together."""
    artifacts: dict[str, Artifact] = {}
    prices: dict[str, dict[PriceLine, Price]] = {}
    aliases: dict[str, str] = {}
    for draft in drafts:
        slug = aliases.get(draft.slug, draft.slug)
        artifact = artifacts.get(slug)
        if artifact is None:
            if draft.only_known:
                continue
            artifact = Artifact.register(slug, draft.kind, draft.facts, draft.provenance)
            artifacts[slug], prices[slug] = artifact, {}
        else:
            artifact.describe(draft.facts, draft.provenance)
        for alias in draft.aliases:
            aliases.setdefault(alias, slug)
        for capability in draft.capabilities:
            artifact.claim_capability(capability)
        for price in draft.prices:
            known = prices[slug].get(price.line)
            if known is None or known.observed_at <= price.observed_at:
                prices[slug][price.line] = price
    return {
        slug: Entry(
            slug,
            artifact.kind,
            artifact.facts,
            dict(artifact.capabilities),
            tuple(prices[slug].values()),
        )
        for slug, artifact in artifacts.items()
    }
