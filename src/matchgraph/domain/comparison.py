"""Two to five artifacts side by side: the header table, row by row, as a function.

Every row says whom it favours, or why it favours nobody; what nobody said stays unknown and is
never counted against an artifact.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, TypeVar

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.decimals import plain
from matchgraph.domain.price import Price, Pricing, Unit, per_million
from matchgraph.domain.pricing import GENEROSITY, STANDS_FOR, pricing_of, starting_price
from matchgraph.domain.ranking import MILLION

FEWEST, MOST = 2, 5
# Below this share of evidence a rank says more of what is assumed than of the artifact.
LEAST_COVERAGE = MILLION // 10
# One can begin with these without paying.
FREE = frozenset({Pricing.FREE, Pricing.OPEN_SOURCE, Pricing.FREEMIUM})
T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """What a comparison needs of a rank. Units: millionths of a point, `deviation` too;
    `coverage` in millionths."""

    score: int
    low: int
    high: int
    coverage: int
    deviation: int

    @property
    def tells(self) -> bool:
        """Whether there is enough evidence behind it to say anything."""
        return self.coverage >= LEAST_COVERAGE

    @property
    def interval(self) -> str:
        """Where it lies with 80 % probability, in points."""
        return f"{tenths(self.low)} to {tenths(self.high)}"

    def __str__(self) -> str:
        return f"{tenths(self.score)} ({self.interval})"


def tenths(millionths: int) -> Decimal:
    """Points with one decimal place, as they are shown."""
    return Decimal((millionths + 50_000) // 100_000).scaleb(-1)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What the header table needs to know of an artifact.

    `matched` is how often a search served it, `updated` when what is said of it last changed; None
    where nobody asked.
    """

    kind: Kind
    facts: Facts
    prices: tuple[Price, ...]
    capability_count: int
    rank: Score | None = None
    matched: int | None = None
    updated: date | None = None


class Favour(StrEnum):
    """Whom a row speaks for."""

    ARTIFACT = "artifact"
    NEITHER = "neither"
    UNKNOWN = "unknown"
    NOT_COMPARABLE = "not_comparable"


class RowName(StrEnum):
    """What a row is about."""

    KIND = "kind"
    RANK = "rank"
    PRICING = "pricing"
    STARTING_PRICE = "starting_price"
    PRICE_PER_UNIT = "price_per_unit"
    CAPABILITY_COUNT = "capability_count"
    TIMES_MATCHED = "times_matched"
    CONTEXT_TOKENS = "context_tokens"
    OUTPUT_TOKENS = "output_tokens"
    OPEN_WEIGHTS = "open_weights"
    SELF_HOSTABLE = "self_hostable"
    LICENCE = "licence"
    RELEASED = "released"
    LAST_RELEASE = "last_release"
    FRESHNESS = "freshness"
    UPDATED = "updated"


@dataclass(frozen=True)
class Row:
    """One line of the table: a value for each artifact, None where nobody said. `winner` is the
    index of the artifact that it favours, if it favours one."""

    name: RowName
    values: tuple[str | None, ...]
    favour: Favour
    winner: int | None = None


def rows(contenders: Sequence[Contender]) -> tuple[Row, ...]:
    """The header table. Shape: one value per contender in each row, in their order."""
    return (
        _plain(RowName.KIND, [contender.kind for contender in contenders]),
        _ranks([contender.rank for contender in contenders]),
        _best(
            RowName.PRICING,
            [pricing_of(contender.prices) for contender in contenders],
            _generosity,
        ),
        _prices([starting_price(contender.prices) for contender in contenders]),
        _prices_per_unit([contender.prices for contender in contenders]),
        _best(
            RowName.CAPABILITY_COUNT,
            [contender.capability_count or None for contender in contenders],
            float,
        ),
        _best(RowName.TIMES_MATCHED, [contender.matched for contender in contenders], float),
        _limits(RowName.CONTEXT_TOKENS, contenders, [c.facts.context_tokens for c in contenders]),
        _limits(RowName.OUTPUT_TOKENS, contenders, [c.facts.output_tokens for c in contenders]),
        _best(RowName.OPEN_WEIGHTS, [c.facts.open_weights for c in contenders], float),
        _best(RowName.SELF_HOSTABLE, [c.facts.self_hostable for c in contenders], float),
        _plain(RowName.LICENCE, [c.facts.licence for c in contenders]),
        _best(RowName.RELEASED, [c.facts.released for c in contenders], date.toordinal),
        _best(RowName.LAST_RELEASE, [c.facts.last_release for c in contenders], date.toordinal),
        _best(RowName.FRESHNESS, [_newest(c.facts) for c in contenders], date.toordinal),
        # That an entry was edited makes no artifact better.
        _plain(RowName.UPDATED, [_day(contender.updated) for contender in contenders]),
    )


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _newest(facts: Facts) -> date | None:
    """The last release that is known of, which freshness counts from."""
    return max(filter(None, (facts.released, facts.last_release)), default=None)


def _ranks(ranks: Sequence[Score | None]) -> Row:
    """A rank wins if its interval lies wholly above all others."""
    shown = tuple(None if rank is None else str(rank) for rank in ranks)
    known = [rank for rank in ranks if rank is not None and rank.tells]
    if len(known) < len(ranks):
        return Row(RowName.RANK, shown, Favour.UNKNOWN)
    best = leading(known)
    if best is None:
        return Row(RowName.RANK, shown, Favour.NEITHER)
    return Row(RowName.RANK, shown, Favour.ARTIFACT, best)


def leading(ranks: Sequence[Score]) -> int | None:
    """The place of the one whose interval lies wholly above all others, if there is one."""
    best = max(range(len(ranks)), key=lambda place: ranks[place].score)
    others = (rank for place, rank in enumerate(ranks) if place != best)
    return best if all(ranks[best].low > other.high for other in others) else None


def _generosity(pricing: Pricing) -> float | None:
    """Most generous highest; nothing to pay is nothing to pay, and of unknown nothing follows."""
    if pricing is Pricing.UNKNOWN:
        return None
    return -float(GENEROSITY.index(max(pricing, Pricing.OPEN_SOURCE, key=GENEROSITY.index)))


def _limits(name: RowName, contenders: Sequence[Contender], tokens: Sequence[int | None]) -> Row:
    """Token limits; those of artifacts that put out different things do not compare."""
    outputs = [set(c.facts.output_types) for c in contenders if c.facts.output_types]
    row = _best(name, tokens, float)
    if any(one.isdisjoint(other) for one in outputs for other in outputs):
        return Row(name, row.values, Favour.NOT_COMPARABLE)
    return row


def _plain(name: RowName, values: Sequence[str | None]) -> Row:
    """A row that tells and does not judge."""
    unknown = any(value is None for value in values)
    return Row(name, tuple(values), Favour.UNKNOWN if unknown else Favour.NEITHER)


def _best(name: RowName, values: Sequence[T | None], merit: Callable[[T], float | None]) -> Row:
    """A row in which the highest merit wins, if it is one artifact's alone."""
    merits = [None if value is None else merit(value) for value in values]
    shown = tuple(None if value is None else _shown(value) for value in values)
    return _judged(name, shown, merits)


def _prices(prices: Sequence[Price | None]) -> Row:
    """Free is below any price; amounts compare only per the same unit in the same currency."""
    shown = tuple(None if price is None else describe(price) for price in prices)
    asked = {(p.per, p.currency) for p in prices if p is not None and p.amount is not None}
    free = [p is not None and p.amount is None for p in prices]
    if len(asked) > 1 and not any(free):
        return Row(RowName.STARTING_PRICE, shown, Favour.NOT_COMPARABLE)
    merits = [None if p is None else -(p.amount or Decimal(0)) for p in prices]
    return _judged(RowName.STARTING_PRICE, shown, merits)


@dataclass(frozen=True)
class PerUnit:
    """What is asked for the same, the cheapest of each artifact.

    Shape: `amounts` of each unit and `shown` have an entry for each artifact. `cheapest` is the
        place of the one that asks no more than any other for every unit, and less for some.
    Units: amounts for one unit, in one currency.
    """

    amounts: Mapping[Unit, tuple[Decimal, ...]]
    shown: tuple[str, ...]
    cheapest: int | None


def per_unit(artifacts: Sequence[Collection[Price]]) -> PerUnit | None:
    """Like for like: the same units, in the same currency, in the same tier, from whichever
    provider asks least; None where there is nothing alike.

    Tokens that go in and tokens that come out count together where every artifact has a provider
    that names both; otherwise the unit that people ask for first among those they all have.
    """
    offers = [
        (prices if isinstance(prices, PriceList) else PriceList(prices)).offers
        for prices in artifacts
    ]
    first, *others = offers or [{}]
    common = [terms for terms in first if all(terms in own for own in others)]
    if not common:
        return None
    chosen = min(common, key=_first_asked)
    cheapest = [min(own[chosen], key=_cost) for own in offers]
    amounts = {
        unit: tuple(lines[place].amount or Decimal(0) for lines in cheapest)
        for place, unit in enumerate(chosen.units)
    }
    return PerUnit(amounts, tuple(map(_described, cheapest)), _cheapest(list(amounts.values())))


class _Terms(NamedTuple):
    units: tuple[Unit, ...]
    currency: str
    tier: str | None


class PriceList(tuple[Price, ...]):
    """The prices of one artifact, of which is seen only once what they have in common with those of
    others."""

    @cached_property
    def offers(self) -> Mapping[_Terms, Sequence["_Lines"]]:
        """Whatever somebody asks an amount for, by the terms."""
        found: dict[_Terms, list[_Lines]] = {}
        for terms, lines in _offers(self):
            found.setdefault(terms, []).append(lines)
        return found


_Lines = tuple[Price, ...]
_BOTH = (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN)


def _offers(prices: Collection[Price]) -> Iterator[tuple[_Terms, _Lines]]:
    """Every unit that somebody asks an amount for, and both sorts of tokens by one provider."""
    asked = [price for price in prices if price.amount is not None and price.per and price.currency]
    # Zero beside amounts for the same is a trial or a mistake, and no price to begin with.
    charged = {(price.per, price.currency, price.tier) for price in asked if price.amount}
    asked = [
        price
        for price in asked
        if price.amount or (price.per, price.currency, price.tier) not in charged
    ]
    lines: dict[tuple[str, str, str, str | None], dict[Unit, Price]] = {}
    for price in asked:
        assert price.per is not None, "asked for above"
        assert price.currency is not None, "asked for above"
        yield _Terms((price.per,), price.currency, price.tier), (price,)
        line = (price.provider, price.source, price.currency, price.tier)
        lines.setdefault(line, {})[price.per] = price
    for (_, _, currency, tier), units in lines.items():
        if all(unit in units for unit in _BOTH):
            yield _Terms(_BOTH, currency, tier), tuple(units[unit] for unit in _BOTH)


def _first_asked(terms: _Terms) -> tuple[object, ...]:
    return (
        -len(terms.units),
        STANDS_FOR[terms.units[0]],
        terms.currency != "USD",
        terms.currency,
        terms.tier is not None,
        terms.tier or "",
    )


def _cost(lines: _Lines) -> tuple[object, ...]:
    """As many tokens in as out; of equal ones the newest observation."""
    seen = max(price.observed_at for price in lines).timestamp()
    total = sum(price.amount or Decimal(0) for price in lines)
    return total, -seen, lines[0].provider, lines[0].source


def _cheapest(amounts: Sequence[tuple[Decimal, ...]]) -> int | None:
    for place in range(len(amounts[0])):
        others = [other for other in range(len(amounts[0])) if other != place]
        if all(
            all(unit[place] <= unit[other] for unit in amounts)
            and any(unit[place] < unit[other] for unit in amounts)
            for other in others
        ):
            return place
    return None


def _described(lines: _Lines) -> str:
    """As `describe`, with the amounts of both units before who asks them."""
    asked = [_asked(price) for price in lines]
    return f"{' and '.join(asked)} {_seen(min(lines, key=lambda price: price.observed_at))}"


def _prices_per_unit(artifacts: Sequence[tuple[Price, ...]]) -> Row:
    found = per_unit(artifacts)
    if found is None:
        starting = [starting_price(prices) for prices in artifacts]
        shown = tuple(None if price is None else describe(price) for price in starting)
        favour = Favour.UNKNOWN if None in shown else Favour.NOT_COMPARABLE
        return Row(RowName.PRICE_PER_UNIT, shown, favour)
    favour = Favour.NEITHER if found.cheapest is None else Favour.ARTIFACT
    return Row(RowName.PRICE_PER_UNIT, found.shown, favour, found.cheapest)


def _judged(
    name: RowName, shown: tuple[str | None, ...], merits: Sequence[float | Decimal | None]
) -> Row:
    known = [merit for merit in merits if merit is not None]
    if len(known) < len(merits):
        return Row(name, shown, Favour.UNKNOWN)
    best = max(known)
    if known.count(best) > 1:
        return Row(name, shown, Favour.NEITHER)
    return Row(name, shown, Favour.ARTIFACT, known.index(best))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def describe(price: Price) -> str:
    """The price for a person, per million where tokens are meant:
    `USD 0.25 per 1M input tokens from alibaba, seen 2026-05-21`."""
    if price.amount is None or price.per is None:
        return f"{price.pricing.replace('_', ' ')} {_seen(price)}"
    return f"{_asked(price)} {_seen(price)}"


def _seen(price: Price) -> str:
    tier = f" ({price.tier})" if price.tier else ""
    return f"from {price.provider}{tier}, seen {price.observed_at.date().isoformat()}"


def _asked(price: Price) -> str:
    assert price.per is not None, "somebody asks for something"
    return f"{price.currency} {plain(shown_amount(price))} per {price.per.spoken}"


def shown_amount(price: Price) -> Decimal:
    """The amount as people read it: for tokens that of a million."""
    amount = price.amount or Decimal(0)
    return per_million(amount) if price.per and price.per.is_token else amount
