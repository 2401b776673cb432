"""Two to five artifacts side by side: the header table, row by row, as a function.

Every row says whom it favours, or why it favours nobody; what nobody said stays unknown and is
never counted against an artifact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.price import Price, Pricing, per_million
from matchgraph.domain.pricing import GENEROSITY, pricing_of, starting_price

FEWEST, MOST = 2, 5
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What the header table needs to know of an artifact."""

    kind: Kind
    facts: Facts
    prices: tuple[Price, ...]
    capability_count: int


class Favour(StrEnum):
    """Whom a row speaks for."""

    ARTIFACT = "artifact"
    NEITHER = "neither"
    UNKNOWN = "unknown"
    NOT_COMPARABLE = "not_comparable"


class RowName(StrEnum):
    """What a row is about."""

    KIND = "kind"
    PRICING = "pricing"
    STARTING_PRICE = "starting_price"
    CAPABILITY_COUNT = "capability_count"
    CONTEXT_TOKENS = "context_tokens"
    OUTPUT_TOKENS = "output_tokens"
    OPEN_WEIGHTS = "open_weights"
    SELF_HOSTABLE = "self_hostable"
    LICENCE = "licence"
    RELEASED = "released"
    LAST_RELEASE = "last_release"


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
        _best(
            RowName.PRICING,
            [pricing_of(contender.prices) for contender in contenders],
            _generosity,
        ),
        _prices([starting_price(contender.prices) for contender in contenders]),
        _best(
            RowName.CAPABILITY_COUNT,
            [contender.capability_count or None for contender in contenders],
            float,
        ),
        _limits(RowName.CONTEXT_TOKENS, contenders, [c.facts.context_tokens for c in contenders]),
        _limits(RowName.OUTPUT_TOKENS, contenders, [c.facts.output_tokens for c in contenders]),
        _best(RowName.OPEN_WEIGHTS, [c.facts.open_weights for c in contenders], float),
        _best(RowName.SELF_HOSTABLE, [c.facts.self_hostable for c in contenders], float),
        _plain(RowName.LICENCE, [c.facts.licence for c in contenders]),
        _best(RowName.RELEASED, [c.facts.released for c in contenders], date.toordinal),
        _best(RowName.LAST_RELEASE, [c.facts.last_release for c in contenders], date.toordinal),
    )


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
    tier = f" ({price.tier})" if price.tier else ""
    seen = f"from {price.provider}{tier}, seen {price.observed_at.date().isoformat()}"
    if price.amount is None or price.per is None:
        return f"{price.pricing.replace('_', ' ')} {seen}"
    unit = price.per.replace("_", " ")
    per = f"1M {unit}s" if price.per.is_token else unit
    return f"{price.currency} {plain(shown_amount(price))} per {per} {seen}"


def shown_amount(price: Price) -> Decimal:
    """The amount as people read it: for tokens that of a million."""
    amount = price.amount or Decimal(0)
    return per_million(amount) if price.per and price.per.is_token else amount


def plain(amount: Decimal) -> str:
    """The decimal without exponent or trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
