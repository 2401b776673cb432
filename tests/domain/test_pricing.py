"""Worked cases: what an artifact costs, from all of its prices."""

from itertools import permutations
from typing import Any

import pytest

from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.pricing import GENEROSITY, STANDS_FOR, pricing_of, starting_price
from tests.eventstore.histories import price


def of(pricing: Pricing, provider: str = "acme", on: int = 0) -> Price:
    """A price without an amount."""
    return price(pricing=pricing, provider=provider, on=on, amount=None, currency=None, per=None)


def per(unit: Unit, amount: str = "10", **said: Any) -> Price:
    return price(amount, per=unit, **said)


FREE, OPEN, FREEMIUM, UNKNOWN = (
    of(pricing)
    for pricing in (Pricing.FREE, Pricing.OPEN_SOURCE, Pricing.FREEMIUM, Pricing.UNKNOWN)
)

CASES: list[tuple[str, list[Price], Pricing | None, int | None]] = [
    # What is asked; the model that follows; which of them one begins with.
    ("nobody said anything", [], None, None),
    ("only that it is unknown", [UNKNOWN], Pricing.UNKNOWN, None),
    ("free", [FREE], Pricing.FREE, 0),
    ("open source", [OPEN], Pricing.OPEN_SOURCE, 0),
    ("freemium without an amount", [FREEMIUM], Pricing.FREEMIUM, None),
    ("freemium with one", [per(Unit.MONTH, pricing=Pricing.FREEMIUM)], Pricing.FREEMIUM, 0),
    ("paid", [price()], Pricing.PAID, 0),
    ("free beats any amount", [price("0.01"), FREE], Pricing.FREE, 1),
    ("free beats open source", [OPEN, FREE], Pricing.FREE, 1),
    ("unknown says nothing beside paid", [UNKNOWN, price()], Pricing.PAID, 1),
    ("freemium is more open than paid", [FREEMIUM, price()], Pricing.FREEMIUM, 1),
    ("the lowest amount", [price("2"), price("1", provider="b")], Pricing.PAID, 1),
    ("input before output", [per(Unit.OUTPUT_TOKEN, "1"), price("9")], Pricing.PAID, 1),
    (
        "a cache for nothing is no start",
        [per(Unit.CACHED_INPUT_TOKEN, "0"), price()],
        Pricing.PAID,
        1,
    ),
    ("zero for everything is no start", [price("0")], Pricing.PAID, None),
    ("dollars before others", [price("1", currency="EUR"), price("9")], Pricing.PAID, 1),
    (
        "no dollars, then by code",
        [price("1", currency="JPY"), price("9", currency="EUR")],
        Pricing.PAID,
        1,
    ),
    ("the plain tier first", [price("1", tier="batch"), price("9")], Pricing.PAID, 1),
    ("a month before a seat", [per(Unit.SEAT_MONTH, "1"), per(Unit.MONTH, "9")], Pricing.PAID, 1),
]


@pytest.mark.parametrize(
    ("prices", "model", "start"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_artifact_costs(prices: list[Price], model: Pricing | None, start: int | None) -> None:
    for order in permutations(prices):
        assert pricing_of(order) == model
        assert starting_price(order) == (None if start is None else prices[start])


def test_equal_prices_are_told_apart_the_same_way_in_any_order() -> None:
    equal = [
        price("1", provider="b"),
        price("1", provider="a", source="z"),
        price("1", provider="a", source="y"),
        price("1", provider="a", source="y", on=1),
    ]
    for order in permutations(equal):
        assert starting_price(order) == equal[3]
    free = [of(Pricing.FREE, "b"), of(Pricing.FREE, "a"), of(Pricing.FREE, "a", on=1)]
    for order in permutations(free):
        assert starting_price(order) == free[2]


def test_every_model_and_every_unit_has_its_place() -> None:
    assert set(GENEROSITY) == set(Pricing)
    assert set(STANDS_FOR) == set(Unit)
