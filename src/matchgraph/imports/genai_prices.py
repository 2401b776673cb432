"""Dated prices of models from genai-prices: what a provider asked until when, and asks since.

Read by `import` on the command line, after models_dev.py has registered the models: whatever is
not in the catalog is left out. `python -m matchgraph.imports.genai_prices` prints the figures.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import MOST_PLACES, SENTINEL, Price, Pricing, Unit, canonical
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.imports import models_dev
from matchgraph.imports.identity import Identity, NotAModel, identify

# The package is an extra and takes a second to import, so only what reads it does.
if TYPE_CHECKING:
    from genai_prices.types import (
        ModelInfo,
        ModelPrice,
        Provider,
        StartDateConstraint,
        TieredPrices,
        TimeOfDateConstraint,
    )

Constraint: TypeAlias = "StartDateConstraint | TimeOfDateConstraint | None"

SOURCE = "genai-prices"

# When a version was uploaded. The package does not say so itself, and without it nobody knows
# which of its start dates were still to come. An unlisted version counts as the newest one here.
PUBLISHED = {"0.2.3": date(2026, 11, 10)}

# The same company under the id that models.dev uses for it.
PROVIDERS = {
    "aws": "amazon-bedrock",
    "cloudflare": "cloudflare-workers-ai",
    "fireworks": "fireworks-ai",
    "novita": "novita-ai",
    "together": "togetherai",
    "x-ai": "xai",
}
ROUTED = "huggingface_"


class Per(NamedTuple):
    """How many of which unit a field of the package prices, and the tier it means."""

    unit: Unit
    many: int
    tier: str | None = None


PER = {
    "input_mtok": Per(Unit.INPUT_TOKEN, 1_000_000),
    "output_mtok": Per(Unit.OUTPUT_TOKEN, 1_000_000),
    "cache_read_mtok": Per(Unit.CACHED_INPUT_TOKEN, 1_000_000),
    "cache_write_mtok": Per(Unit.CACHE_WRITE_TOKEN, 1_000_000),
    "cache_write_1h_mtok": Per(Unit.CACHE_WRITE_TOKEN, 1_000_000, "kept 1 hour"),
    "output_reasoning_mtok": Per(Unit.REASONING_TOKEN, 1_000_000),
    "input_audio_mtok": Per(Unit.INPUT_AUDIO_TOKEN, 1_000_000),
    "output_audio_mtok": Per(Unit.OUTPUT_AUDIO_TOKEN, 1_000_000),
    "cache_audio_read_mtok": Per(Unit.CACHED_INPUT_AUDIO_TOKEN, 1_000_000),
    "input_mchars": Per(Unit.CHARACTER, 1_000_000),
    "requests_kcount": Per(Unit.REQUEST, 1_000),
    "web_searches_kcount": Per(Unit.SEARCH, 1_000),
    "audio_hours": Per(Unit.AUDIO_MINUTE, 60),
    "input_audio_hours": Per(Unit.AUDIO_MINUTE, 60),
}


class Line(NamedTuple):
    """What makes two prices of one provider the same price at two moments."""

    per: Unit | None
    tier: str | None


class Period(NamedTuple):
    """The prices of one tier from a day on; without a day, since before the package began."""

    start: date | None
    prices: "ModelPrice"


class Offer(NamedTuple):
    """One model of one provider, as the package lists it."""

    provider: str
    model: "ModelInfo"
    identity: Identity
    route: str | None


@dataclass(frozen=True)
class Read:
    """The drafts of the installed package, and what was left out of them."""

    drafts: tuple[Draft, ...]
    figures: Mapping[str, int]
    left_out: Mapping[str, int]


def drafts() -> Iterator[Draft]:
    """The price history of every model that the catalog of models.dev has, by slug."""
    yield from read().drafts


@cache
def read() -> Read:
    """The drafts of the installed package."""
    from genai_prices.data import providers

    return dated(
        providers,
        {model.slug for model in models_dev.read().models},
        PUBLISHED.get(version(SOURCE), max(PUBLISHED.values())),
    )


def dated(providers: Sequence["Provider"], slugs: Collection[str], published: date) -> Read:
    """The drafts of these providers' models that are among `slugs`, as known when published."""
    left: Counter[str] = Counter()
    offers = _offers(providers, slugs, left)
    made = (_draft(slug, sold, published, left) for slug, sold in sorted(offers.items()))
    kept = tuple(draft for draft in made if draft.prices)
    series = [Counter(price.line for price in draft.prices) for draft in kept]
    priced = Counter(price.pricing for draft in kept for price in draft.prices)
    return Read(
        drafts=kept,
        figures={
            "providers": len(providers),
            "models in": sum(len(provider.models) for provider in providers),
            "models found in the catalog": sum(map(len, offers.values())),
            "artifacts with prices": len(kept),
            "price lines": sum(map(len, series)),
            "price lines with a change": sum(
                times > 1 for lines in series for times in lines.values()
            ),
            "prices out": priced.total(),
            **{f"  {pricing.value}": times for pricing, times in sorted(priced.items())},
        },
        left_out=left,
    )


def _offers(
    providers: Sequence["Provider"], slugs: Collection[str], left: Counter[str]
) -> Mapping[str, Sequence[Offer]]:
    """What is sold of each model in the catalog. Pointers lead elsewhere than in models.dev by
    now, so they are nobody's prices here."""
    found: defaultdict[str, list[Offer]] = defaultdict(list)
    for listed in providers:
        route = listed.id.removeprefix(ROUTED) if listed.id.startswith(ROUTED) else None
        for model in listed.models:
            provider = "huggingface" if route else PROVIDERS.get(listed.id, listed.id)
            known = identify(provider, model.id)
            if isinstance(known, NotAModel):
                left["models that are none (router or service)"] += 1
            elif known.pointer and "exception" not in known.rules:
                left["models under a name that moves on"] += 1
            elif known.slug not in slugs:
                left["models that are not in the catalog"] += 1
            else:
                # Google sells Anthropic's models on Vertex, which models.dev lists by itself.
                vertex = provider == "google" and known.slug.startswith("claude-")
                found[known.slug].append(
                    Offer("google-vertex" if vertex else provider, model, known, route)
                )
    return found


def _draft(slug: str, sold: Sequence[Offer], published: date, left: Counter[str]) -> Draft:
    by_provider: defaultdict[str, dict[Line, list[Price]]] = defaultdict(dict)
    for offer in sorted(sold, key=_plainest_first):
        taken = by_provider[offer.provider]
        for line, series in _named(offer, _series(offer, published, left), taken).items():
            taken[line] = series
    prices = [
        price for lines in by_provider.values() for series in lines.values() for price in series
    ]
    return Draft(
        slug=slug,
        kind=Kind.MODEL,
        facts=Facts(),
        provenance=Provenance(
            method=Method.OBSERVED, source=SOURCE, observed_at=_midnight(published)
        ),
        prices=tuple(
            sorted(
                prices,
                key=lambda price: (
                    price.observed_at,
                    price.provider,
                    price.tier or "",
                    price.per or "",
                ),
            )
        ),
        whole_price_list=True,
        only_known=True,
    )


def _plainest_first(offer: Offer) -> tuple[str, int, bool, int, str]:
    # OpenRouter's ids without a maker are what it called its models before.
    return (
        offer.provider,
        len(offer.identity.variants),
        "/" not in offer.model.id,
        len(offer.model.id),
        offer.model.id,
    )


def _named(
    offer: Offer,
    series: Mapping[Line, list[Price]],
    taken: Mapping[Line, list[Price]],
) -> Mapping[Line, list[Price]]:
    """The series under tiers that do not clash with those of the provider's other offers."""
    labels = [variant for variant in offer.identity.variants if variant != "free"]
    labels += [f"via {offer.route}"] if offer.route else []
    plain = ", ".join(labels)
    for label in (plain, offer.model.id, f"{plain}, {offer.model.id}"):
        named = {
            line._replace(tier=tier): [_tiered(price, tier) for price in prices]
            for line, prices in series.items()
            for tier in [", ".join(filter(None, (label, line.tier))) or None]
        }
        if all(taken.get(line, prices) == prices for line, prices in named.items()):
            return named
    raise AssertionError(f"two offers of {offer.provider} by one id: {offer.model.id}")


def _tiered(price: Price, tier: str | None) -> Price:
    return Price(
        provider=price.provider,
        pricing=price.pricing,
        source=price.source,
        observed_at=price.observed_at,
        amount=price.amount,
        currency=price.currency,
        per=price.per,
        tier=tier,
    )


def _series(offer: Offer, published: date, left: Counter[str]) -> dict[Line, list[Price]]:
    """Every price that is in force when the package was published, with what it was before.

    A line that ended before is left out: a draft can only say that it is asked no more by not
    naming it.
    """
    found: dict[Line, list[Price]] = {}
    for tier, periods in _periods(offer.model, published, left).items():
        asked = [_amounts(offer, period.prices, left) for period in periods]
        if not asked:
            continue
        for amounts in asked[:-1]:
            left["prices of a line that ended"] += len(amounts.keys() - asked[-1].keys())
        for line in asked[-1]:
            series = [
                Price(
                    provider=offer.provider,
                    pricing=_pricing(offer, asked[-1], line),
                    source=SOURCE,
                    observed_at=_observed(periods, at, published),
                    amount=amounts[line],
                    currency="USD" if amounts[line] is not None else None,
                    per=line.per,
                )
                for at, amounts in enumerate(asked)
                if line in amounts
            ]
            joined = ", ".join(filter(None, (tier, line.tier))) or None
            found[Line(line.per, joined)] = _changes(series)
    return found


def _changes(series: Sequence[Price]) -> list[Price]:
    """The series without prices that repeat the one before."""
    return [
        price
        for before, price in zip((None, *series), series, strict=False)
        if before is None or not price.asks_the_same_as(before)
    ]


def _pricing(offer: Offer, amounts: Mapping[Line, Decimal | None], line: Line) -> Pricing:
    if amounts[line] is not None:
        return Pricing.PAID
    return Pricing.FREE if "free" in offer.identity.variants else Pricing.UNKNOWN


def _periods(
    model: "ModelInfo", published: date, left: Counter[str]
) -> Mapping[str | None, list[Period]]:
    """The periods of the standard price and of every tier beside it, in order of time."""
    from genai_prices.types import ModelPrice, StartDateConstraint, TimeOfDateConstraint

    standard = model.prices
    listed: list[tuple[str | None, Constraint, ModelPrice]] = (
        [(None, None, standard)]
        if isinstance(standard, ModelPrice)
        else [(None, price.constraint, price.prices) for price in standard]
    )
    listed += [
        (", ".join(variant.when.values()), variant.constraint, variant.prices)
        for variant in model.price_variants or ()
    ]
    found: defaultdict[str | None, list[Period]] = defaultdict(list)
    for tier, constraint, prices in listed:
        match constraint:
            case StartDateConstraint(start_date=start) if start > published:
                left["prices that were still to come"] += len(_fields(prices))
            case StartDateConstraint(start_date=start):
                found[tier].append(Period(start, prices))
            case TimeOfDateConstraint():
                hours = f"{_utc(constraint.start_time)}-{_utc(constraint.end_time)} UTC"
                found[", ".join(filter(None, (tier, hours)))].append(Period(None, prices))
            case None:
                found[tier].append(Period(None, prices))
    return {
        tier: sorted(periods, key=lambda period: period.start or date.min)
        for tier, periods in found.items()
    }


def _utc(moment: time) -> str:
    aware = datetime.combine(date(2000, 1, 1), moment, moment.tzinfo or UTC)
    return f"{aware.astimezone(UTC):%H:%M}"


def _observed(periods: Sequence[Period], at: int, published: date) -> datetime:
    """The day it began; without one, the last day that it is known to have been asked."""
    start = periods[at].start
    if start is not None:
        return _midnight(start)
    following = periods[at + 1].start if at + 1 < len(periods) else None
    return _midnight(following - timedelta(days=1) if following else published)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _fields(prices: "ModelPrice") -> dict[str, "Decimal | TieredPrices"]:
    return {name: asked for name, asked in vars(prices).items() if asked is not None}


def _amounts(offer: Offer, prices: "ModelPrice", left: Counter[str]) -> dict[Line, Decimal | None]:
    """Dollars per one unit; a single line without an amount where nothing costs anything."""
    from genai_prices.types import TieredPrices

    fields = _fields(prices)
    bases = [asked.base if isinstance(asked, TieredPrices) else asked for asked in fields.values()]
    if any(not 0 <= base < SENTINEL for base in bases):
        left["prices negative or a sentinel"] += len(bases)
        return {}
    if not any(bases):
        # Nothing named and not called free is no price; all zeros and not called free could mean
        # anything.
        free = "free" in offer.identity.variants
        return {Line(None, "free" if free else None): None} if free or bases else {}
    found: dict[Line, Decimal | None] = {}
    for name, asked in fields.items():
        per = PER.get(name)
        if per is None:
            left[f"prices per what the catalog has no unit for ({name})"] += 1
            continue
        steps: list[tuple[str | None, Decimal]] = (
            [(None, asked.base), *((_over(step.start), step.price) for step in asked.tiers)]
            if isinstance(asked, TieredPrices)
            else [(None, asked)]
        )
        for over, amount in steps:
            each = amount / per.many
            if each * per.many != amount or -_exponent(each) > MOST_PLACES:
                left["prices that do not divide exactly"] += 1
                continue
            found[Line(per.unit, ", ".join(filter(None, (per.tier, over))) or None)] = canonical(
                each
            )
    return found


def _over(start: int) -> str:
    # Some lists begin a tier at 199,999, meaning from 200,000 tokens on.
    said, size = ("from ", start + 1) if start % 1000 == 999 else (">", start)
    return f"{said}{size // 1000}k context" if size % 1000 == 0 else f"{said}{size} context"


def _exponent(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite decimal has a whole exponent"
    return exponent


def report() -> str:
    """What became of the prices, one figure a line; docs/identity.md quotes it."""
    known = read()
    return "\n".join(
        [f"{name}: {count}" for name, count in known.figures.items()]
        + ["left out"]
        + [f"  {reason}: {count}" for reason, count in sorted(known.left_out.items())]
    )


if __name__ == "__main__":
    print(report())
