"""A value: what one provider asks for an artifact, per what, seen where and when."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from matchgraph.domain import text
from matchgraph.domain.currency import CURRENCIES
from matchgraph.domain.decimals import exact
from matchgraph.domain.errors import PriceContradiction, PriceSentinel, UnknownCurrency
from matchgraph.domain.provenance import check_observed

SENTINEL = Decimal(10) ** 9
MOST_PLACES = 18


class Pricing(StrEnum):
    """How the provider charges. Free, unknown and an amount of zero are different facts, and an
    artifact without any price is a fourth one: nobody said."""

    FREE = "free"
    FREEMIUM = "freemium"
    PAID = "paid"
    OPEN_SOURCE = "open_source"
    UNKNOWN = "unknown"


class Unit(StrEnum):
    """What the amount is asked for, always one of it."""

    INPUT_TOKEN = "input_token"
    OUTPUT_TOKEN = "output_token"
    CACHED_INPUT_TOKEN = "cached_input_token"
    CACHE_WRITE_TOKEN = "cache_write_token"
    REASONING_TOKEN = "reasoning_token"
    INPUT_AUDIO_TOKEN = "input_audio_token"
    OUTPUT_AUDIO_TOKEN = "output_audio_token"
    CACHED_INPUT_AUDIO_TOKEN = "cached_input_audio_token"
    IMAGE = "image"
    AUDIO_MINUTE = "audio_minute"
    VIDEO_SECOND = "video_second"
    CHARACTER = "character"
    REQUEST = "request"
    SEARCH = "search"
    CREDIT = "credit"
    HOUR = "hour"
    MONTH = "month"
    SEAT_MONTH = "seat_month"
    GB_MONTH = "gb_month"

    @property
    def is_token(self) -> bool:
        """Whether people read this price per million."""
        return self.value.endswith("_token")

    @property
    def spoken(self) -> str:
        """As people read what a price is for: `1M input tokens`, `image`."""
        unit = self.value.replace("_", " ")
        return f"1M {unit}s" if self.is_token else unit


class PriceLine(NamedTuple):
    """What makes two observations the same price at two moments."""

    provider: str
    per: Unit | None
    tier: str | None
    source: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """One provider's price for one unit in one tier, as one source showed it at one moment."""

    provider: str
    pricing: Pricing
    source: str
    observed_at: datetime
    amount: Decimal | None = None
    currency: str | None = None
    per: Unit | None = None
    tier: str | None = None

    @property
    def line(self) -> PriceLine:
        """The price that this is an observation of."""
        return PriceLine(self.provider, self.per, self.tier, self.source)

    def checked(self, now: datetime) -> "Price":
        """Returns the price with its amount in canonical form.

        Raises: PriceSentinel, PriceContradiction, UnknownCurrency, BadSlug, BadText,
            FutureObservation.
        """
        check_observed("price", self.observed_at, now)
        charges = self.pricing in (Pricing.PAID, Pricing.FREEMIUM)
        if self.amount is None:
            if self.pricing is Pricing.PAID:
                raise PriceContradiction(self.pricing, "needs an amount, a currency and a unit")
            if self.currency is not None or self.per is not None:
                raise PriceContradiction(self.pricing, "has a currency or a unit but no amount")
        elif not charges:
            raise PriceContradiction(self.pricing, "has no amount; zero is a paid price of 0")
        elif self.currency is None or self.per is None:
            raise PriceContradiction(self.pricing, "needs a currency and a unit with its amount")
        elif self.currency not in CURRENCIES:
            raise UnknownCurrency(text.printable(self.currency)[:20])
        return replace(
            self,
            provider=text.slug(self.provider),
            source=text.words("source", self.source, limit=500),
            tier=text.optional("tier", self.tier),
            amount=None if self.amount is None else canonical(self.amount),
        )

    def asks_the_same_as(self, other: "Price") -> bool:
        """Whether only the moment of observation differs, if anything does."""
        return self == replace(other, observed_at=self.observed_at)


def per_million(amount: Decimal) -> Decimal:
    """A canonical amount for a million of its units, canonical as well."""
    plain = exact(amount * 1_000_000, MOST_PLACES)
    assert plain is not None, "it has fewer decimal places than the amount"
    return plain


def canonical(amount: Decimal) -> Decimal:
    """Returns the amount without an exponent or trailing zeros. Raises: PriceSentinel."""
    plain = None
    if amount.is_finite() and 0 <= amount < SENTINEL:
        plain = exact(amount, MOST_PLACES)
    if plain is None:
        raise PriceSentinel(str(amount)[:40])
    return plain
