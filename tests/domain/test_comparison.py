"""Worked cases: two to five artifacts side by side, row by row."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.comparison import (
    Contender,
    Favour,
    Row,
    RowName,
    Score,
    describe,
    per_unit,
    rows,
)
from matchgraph.domain.price import Price, Unit
from matchgraph.domain.ranking import MILLION
from tests.domain.test_pricing import FREE, FREEMIUM, OPEN, UNKNOWN
from tests.eventstore.histories import price

A, B, N, U, X = (
    (Favour.ARTIFACT, 0),
    (Favour.ARTIFACT, 1),
    (Favour.NEITHER, None),
    (Favour.UNKNOWN, None),
    (Favour.NOT_COMPARABLE, None),
)


def points(score: float, coverage: float = 0.8) -> Score:
    whole, half = round(score * MILLION), 5 * MILLION
    return Score(whole, whole - half, whole + half, round(coverage * MILLION), half)


def one(*prices: Price, kind: Kind = Kind.MODEL, can: int = 1, **said: Any) -> Contender:
    beside = {name: said.pop(name) for name in ("rank", "matched", "updated") if name in said}
    return Contender(kind=kind, facts=Facts(**said), prices=prices, capability_count=can, **beside)


def row(name: RowName, contenders: Sequence[Contender]) -> Row:
    (found,) = (row for row in rows(contenders) if row.name is name)
    return found


def test_the_table_has_every_row_once_and_a_value_for_each_artifact() -> None:
    table = rows([one(), one(), one()])
    assert [row.name for row in table] == list(RowName)
    assert all(len(row.values) == 3 for row in table)


FACTS: list[tuple[RowName, list[dict[str, Any]], list[str | None], tuple[Favour, int | None]]] = [
    (
        RowName.CONTEXT_TOKENS,
        [{"context_tokens": 2_000_000}, {"context_tokens": 128_000}],
        ["2,000,000", "128,000"],
        A,
    ),
    (RowName.CONTEXT_TOKENS, [{"context_tokens": 5}, {"context_tokens": 5}], ["5", "5"], N),
    (RowName.CONTEXT_TOKENS, [{"context_tokens": 5}, {}], ["5", None], U),
    (RowName.OUTPUT_TOKENS, [{"output_tokens": 4}, {"output_tokens": 5}], ["4", "5"], B),
    (RowName.OPEN_WEIGHTS, [{"open_weights": True}, {"open_weights": False}], ["yes", "no"], A),
    (RowName.OPEN_WEIGHTS, [{"open_weights": False}, {"open_weights": False}], ["no", "no"], N),
    (RowName.OPEN_WEIGHTS, [{"open_weights": True}, {}], ["yes", None], U),
    (RowName.SELF_HOSTABLE, [{"self_hostable": False}, {"self_hostable": True}], ["no", "yes"], B),
    (RowName.LICENCE, [{"licence": "MIT"}, {"licence": "proprietary"}], ["MIT", "proprietary"], N),
    (RowName.LICENCE, [{"licence": "MIT"}, {}], ["MIT", None], U),
    (
        RowName.RELEASED,
        [{"released": date(2026, 1, 1)}, {"released": date(2026, 1, 2)}],
        ["2026-01-01", "2026-01-02"],
        B,
    ),
    (RowName.RELEASED, [{}, {}], [None, None], U),
    (
        RowName.LAST_RELEASE,
        [{"last_release": date(2026, 2, 2)}, {"last_release": date(2026, 2, 1)}],
        ["2026-02-02", "2026-02-01"],
        A,
    ),
    (RowName.CAPABILITY_COUNT, [{"can": 3}, {"can": 1}], ["3", "1"], A),
    (RowName.CAPABILITY_COUNT, [{"can": 3}, {"can": 0}], ["3", None], U),
    (RowName.KIND, [{"kind": Kind.MODEL}, {"kind": Kind.CLI}], ["model", "cli"], N),
    (RowName.TIMES_MATCHED, [{"matched": 1_200}, {"matched": 0}], ["1,200", "0"], A),
    (RowName.TIMES_MATCHED, [{"matched": 0}, {"matched": 0}], ["0", "0"], N),
    (RowName.TIMES_MATCHED, [{"matched": 0}, {}], ["0", None], U),
    (
        RowName.FRESHNESS,
        [
            {"released": date(2026, 1, 1)},
            {"released": date(2025, 1, 1), "last_release": date(2026, 1, 2)},
        ],
        ["2026-01-01", "2026-01-02"],
        B,
    ),
    (RowName.FRESHNESS, [{"released": date(2026, 1, 1)}, {}], ["2026-01-01", None], U),
    (
        RowName.UPDATED,
        [{"updated": date(2026, 1, 1)}, {"updated": date(2026, 1, 2)}],
        ["2026-01-01", "2026-01-02"],
        N,
    ),
    (
        RowName.RANK,
        [{"rank": points(71.25)}, {"rank": points(40)}],
        ["71.3 (66.3 to 76.3)", "40.0 (35.0 to 45.0)"],
        A,
    ),
    (
        RowName.RANK,
        [{"rank": points(51)}, {"rank": points(50)}],
        ["51.0 (46.0 to 56.0)", "50.0 (45.0 to 55.0)"],
        N,
    ),
    (
        RowName.RANK,
        [{"rank": points(90)}, {"rank": points(20, coverage=0.05)}],
        ["90.0 (85.0 to 95.0)", "20.0 (15.0 to 25.0)"],
        U,
    ),
    (RowName.RANK, [{"rank": points(90)}, {}], ["90.0 (85.0 to 95.0)", None], U),
]


@pytest.mark.parametrize(("name", "sides", "values", "favoured"), FACTS)
def test_a_row_of_facts(
    name: RowName,
    sides: list[dict[str, Any]],
    values: list[str | None],
    favoured: tuple[Favour, int | None],
) -> None:
    assert row(name, [one(**side) for side in sides]) == Row(name, tuple(values), *favoured)


PRICES: list[tuple[str, list[Price], list[Price], tuple[Favour, int | None]]] = [
    ("the lower amount", [price("1")], [price("2")], A),
    ("the same amount", [price("1")], [price("1", provider="b")], N),
    ("nobody said of one", [price("1")], [], U),
    ("an unknown model has no price", [price("1")], [UNKNOWN], U),
    ("free against an amount", [price("0.01")], [FREE], B),
    ("free against open source", [FREE], [OPEN], N),
    ("free against nothing said", [FREE], [], U),
    ("another unit", [price("1")], [price("2", per=Unit.IMAGE)], X),
    ("another currency", [price("1")], [price("2", currency="EUR")], X),
    ("freemium without an amount", [price("1")], [FREEMIUM], U),
    (
        "a difference in the last place",
        [price("123456789.000000000000000002")],
        [price("123456789.000000000000000001")],
        B,
    ),
]


@pytest.mark.parametrize(
    ("left", "right", "favoured"), [case[1:] for case in PRICES], ids=[case[0] for case in PRICES]
)
def test_the_row_of_starting_prices(
    left: list[Price], right: list[Price], favoured: tuple[Favour, int | None]
) -> None:
    favour, winner = favoured
    found = row(RowName.STARTING_PRICE, [one(*left), one(*right)])
    assert (found.favour, found.winner) == favoured
    turned = row(RowName.STARTING_PRICE, [one(*right), one(*left)])
    assert (turned.favour, turned.winner) == (favour, None if winner is None else 1 - winner)


MODELS: list[tuple[list[Price], list[Price], tuple[Favour, int | None]]] = [
    ([FREE], [price()], A),
    ([OPEN], [FREE], N),
    ([OPEN], [FREEMIUM], A),
    ([FREEMIUM], [price()], A),
    ([price()], [price("1")], N),
    ([price()], [UNKNOWN], U),
    ([price()], [], U),
]


@pytest.mark.parametrize(("left", "right", "favoured"), MODELS)
def test_the_row_of_pricing_models(
    left: list[Price], right: list[Price], favoured: tuple[Favour, int | None]
) -> None:
    found = row(RowName.PRICING, [one(*left), one(*right)])
    assert (found.favour, found.winner) == favoured


def test_one_of_several_wins_only_alone() -> None:
    many = [one(context_tokens=tokens) for tokens in (1, 9, 9, 3)]
    assert row(RowName.CONTEXT_TOKENS, many).favour is Favour.NEITHER
    many[2] = one(context_tokens=10)
    assert row(RowName.CONTEXT_TOKENS, many).winner == 2
    many.append(one())
    assert row(RowName.CONTEXT_TOKENS, many).favour is Favour.UNKNOWN


SHOWN = [
    (price("0.00000025"), "USD 0.25 per 1M input tokens from acme, seen 2026-01-01"),
    (price("1E+3", per=Unit.MONTH), "USD 1000 per month from acme, seen 2026-01-01"),
    (price("1e-18"), "USD 0.000000000001 per 1M input tokens from acme, seen 2026-01-01"),
    (price("0"), "USD 0 per 1M input tokens from acme, seen 2026-01-01"),
    (
        price("20.50", per=Unit.SEAT_MONTH, currency="EUR"),
        "EUR 20.5 per seat month from acme, seen 2026-01-01",
    ),
    (FREE, "free from acme, seen 2026-01-01"),
    (OPEN, "open source from acme, seen 2026-01-01"),
    (UNKNOWN, "unknown from acme, seen 2026-01-01"),
]


@pytest.mark.parametrize(("said", "shown"), SHOWN)
def test_a_price_is_read_as_people_say_it(said: Price, shown: str) -> None:
    assert describe(said) == shown


def test_token_limits_of_artifacts_with_other_outputs_do_not_compare() -> None:
    writes = one(context_tokens=8_000, output_types=(DataType.TEXT,))
    paints = one(context_tokens=256, output_types=(DataType.IMAGE,))
    both = one(context_tokens=9_000, output_types=(DataType.TEXT, DataType.IMAGE))
    assert row(RowName.CONTEXT_TOKENS, [writes, paints]).favour is Favour.NOT_COMPARABLE
    assert row(RowName.CONTEXT_TOKENS, [writes, both]).winner == 1
    assert row(RowName.CONTEXT_TOKENS, [writes, one(context_tokens=1)]).winner == 0


def test_a_price_for_a_person_names_its_tier() -> None:
    assert "(batch)" in describe(price("2.00", tier="batch"))


OUT = Unit.OUTPUT_TOKEN
LIKE_FOR_LIKE: list[tuple[str, list[Price], list[Price], list[str | None], tuple[Any, Any]]] = [
    (
        "the cheapest provider of each, for tokens in and out together",
        [
            price("0.000002"),
            price("0.000002", per=OUT),
            # Cheaper to put in, but dearer in all.
            price("0.000001", provider="b"),
            price("0.000009", per=OUT, provider="b"),
        ],
        [price("0.000002", provider="c"), price("0.000003", per=OUT, provider="c")],
        [
            "USD 2 per 1M input tokens and USD 2 per 1M output tokens from acme, seen 2026-01-01",
            "USD 2 per 1M input tokens and USD 3 per 1M output tokens from c, seen 2026-01-01",
        ],
        A,
    ),
    (
        "cheaper one way and dearer the other way is neither",
        [price("0.000001"), price("0.000003", per=OUT)],
        [price("0.000002"), price("0.000002", per=OUT)],
        [
            "USD 1 per 1M input tokens and USD 3 per 1M output tokens from acme, seen 2026-01-01",
            "USD 2 per 1M input tokens and USD 2 per 1M output tokens from acme, seen 2026-01-01",
        ],
        N,
    ),
    (
        "the unit that both have",
        [price("0.01", per=Unit.IMAGE), price("20", per=Unit.MONTH)],
        [price("10", per=Unit.MONTH), price("0.000001")],
        [
            "USD 20 per month from acme, seen 2026-01-01",
            "USD 10 per month from acme, seen 2026-01-01",
        ],
        B,
    ),
    (
        "the same tier",
        [price("1", per=Unit.IMAGE), price("9", per=Unit.IMAGE, tier="pro")],
        [price("8", per=Unit.IMAGE, tier="pro")],
        [
            "USD 9 per image from acme (pro), seen 2026-01-01",
            "USD 8 per image from acme (pro), seen 2026-01-01",
        ],
        B,
    ),
    (
        "zero beside an amount is no price",
        [price("0", per=Unit.IMAGE, provider="b"), price("2", per=Unit.IMAGE)],
        [price("1", per=Unit.IMAGE)],
        [
            "USD 2 per image from acme, seen 2026-01-01",
            "USD 1 per image from acme, seen 2026-01-01",
        ],
        B,
    ),
    (
        "another unit",
        [price("1", per=Unit.IMAGE)],
        [price("1", per=Unit.MONTH)],
        [
            "USD 1 per image from acme, seen 2026-01-01",
            "USD 1 per month from acme, seen 2026-01-01",
        ],
        X,
    ),
    (
        "another currency",
        [price("1", per=Unit.IMAGE)],
        [price("1", per=Unit.IMAGE, currency="EUR")],
        [
            "USD 1 per image from acme, seen 2026-01-01",
            "EUR 1 per image from acme, seen 2026-01-01",
        ],
        X,
    ),
    (
        "nobody said of one",
        [price("1", per=Unit.IMAGE)],
        [UNKNOWN],
        ["USD 1 per image from acme, seen 2026-01-01", None],
        U,
    ),
]


@pytest.mark.parametrize(
    ("left", "right", "values", "favoured"),
    [case[1:] for case in LIKE_FOR_LIKE],
    ids=[case[0] for case in LIKE_FOR_LIKE],
)
def test_the_row_of_prices_like_for_like(
    left: list[Price], right: list[Price], values: list[str | None], favoured: tuple[Any, Any]
) -> None:
    found = row(RowName.PRICE_PER_UNIT, [one(*left), one(*right)])
    assert found == Row(RowName.PRICE_PER_UNIT, tuple(values), *favoured)


def test_nothing_is_alike_where_nobody_asks_an_amount() -> None:
    assert per_unit([(FREE,), (UNKNOWN,)]) is None
    assert per_unit([(), ()]) is None
