"""What an artifact costs, from all of its prices: the model and the starting price."""

from collections.abc import Collection

from matchgraph.domain.price import Price, Pricing, Unit

# How open-handed a model is: an artifact is as cheap to begin with as its most generous price.
GENEROSITY = (
    Pricing.FREE,
    Pricing.OPEN_SOURCE,
    Pricing.FREEMIUM,
    Pricing.PAID,
    Pricing.UNKNOWN,
)
# What people ask first: the unit that stands for the artifact when it has several.
STANDS_FOR = {
    unit: place
    for place, unit in enumerate(
        (
            Unit.INPUT_TOKEN,
            Unit.IMAGE,
            Unit.VIDEO_SECOND,
            Unit.AUDIO_MINUTE,
            Unit.CHARACTER,
            Unit.REQUEST,
            Unit.SEARCH,
            Unit.CREDIT,
            Unit.HOUR,
            Unit.MONTH,
            Unit.SEAT_MONTH,
            Unit.GB_MONTH,
            Unit.OUTPUT_TOKEN,
            Unit.INPUT_AUDIO_TOKEN,
            Unit.OUTPUT_AUDIO_TOKEN,
            Unit.REASONING_TOKEN,
            Unit.CACHED_INPUT_TOKEN,
            Unit.CACHED_INPUT_AUDIO_TOKEN,
            Unit.CACHE_WRITE_TOKEN,
        )
    )
}


def pricing_of(prices: Collection[Price]) -> Pricing | None:
    """The most generous pricing model among the prices; None when nobody said anything."""
    return min((price.pricing for price in prices), key=GENEROSITY.index, default=None)


def starting_price(prices: Collection[Price]) -> Price | None:
    """The price one can begin with: a free one if there is any, else the lowest amount.

    Only amounts for the same unit in the same currency can be compared: the unit is the one that
    people ask for first among those present, in US dollars where there are any, in the plain tier
    where there is one. Zero beside other amounts (a cache that costs nothing, say) is no price to
    begin with. None when there is no price, or none with an amount.
    """
    given = [price for price in prices if price.pricing in (Pricing.FREE, Pricing.OPEN_SOURCE)]
    if given:
        return min(given, key=lambda price: (GENEROSITY.index(price.pricing), _order(price)))
    asked = [price for price in prices if price.amount and price.per and price.currency]
    return min(
        asked,
        key=lambda price: (
            STANDS_FOR[price.per] if price.per else len(STANDS_FOR),
            price.currency != "USD",
            price.currency,
            price.tier is not None,
            price.amount,
            _order(price),
        ),
        default=None,
    )


def _order(price: Price) -> tuple[str, str, str, float]:
    """Ties go by who asks, and the newest observation first, so that the answer is always one."""
    return (price.provider, price.source, price.tier or "", -price.observed_at.timestamp())
