"""The values that facts are made of: what they hold, exactly, and what they refuse."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain import text
from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.currency import CURRENCIES
from matchgraph.domain.decimals import plain
from matchgraph.domain.errors import (
    BadNumber,
    BadSlug,
    BadText,
    FutureObservation,
    PriceContradiction,
    PriceSentinel,
    Refusal,
    UnknownCurrency,
)
from matchgraph.domain.price import Pricing, Unit, canonical, per_million
from matchgraph.domain.provenance import CLOCK_TOLERANCE, EARLIEST, check_observed
from matchgraph.domain.signal import CHECKLIST, SignalName
from tests.eventstore.histories import SEEN, capability, price, provenance, signal

NOW = SEEN + timedelta(days=30)
BARE: dict[str, Any] = {"amount": None, "currency": None, "per": None}


# Slugs and texts


@pytest.mark.parametrize("slug", ["a", "0", "a-b_c.d", "gpt-4o", "a" * 120, "3d"])
def test_a_slug_can_be_addressed(slug: str) -> None:
    assert text.slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    ["", " ", "A", "a b", "-a", "a-", ".a", "a_", "a/b", "ä", "a\n", "a\0", "\ud800", "a" * 121],
)
def test_what_cannot_be_addressed_is_no_slug(slug: str) -> None:
    with pytest.raises(BadSlug) as refused:
        text.slug(slug)
    refused.value.message.encode()  # can be shown whatever it was
    assert len(refused.value.slug) <= 200


@pytest.mark.parametrize("said", ["", " ", "\n\t", "\u2003"])
def test_a_blank_text_says_nothing(said: str) -> None:
    with pytest.raises(BadText):
        text.words("name", said)


@pytest.mark.parametrize("said", ["a\0", "a\x07b", "\ud800", "a\udfffb", "\x7f"])
def test_a_text_that_cannot_be_stored_is_refused(said: str) -> None:
    with pytest.raises(BadText):
        text.words("name", said)


def test_a_text_is_kept_without_blanks_around_it_and_with_everything_within() -> None:
    assert text.words("name", "  zwei\n\tZeilen ✓ 𝔸  ") == "zwei\n\tZeilen ✓ 𝔸"
    assert text.words("name", "x" * 200) == "x" * 200
    with pytest.raises(BadText):
        text.words("name", "x" * 201)
    assert text.optional("name", None) is None


def test_repeated_texts_are_kept_once_in_their_order() -> None:
    assert text.several("tags", ["b", " a", "b ", "a"]) == ("b", "a")
    assert len(text.several("tags", map(str, range(50)))) == 50
    with pytest.raises(BadText):
        text.several("tags", map(str, range(51)))
    with pytest.raises(BadText):
        text.several("tags", ["a", ""])


# When and who


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW + CLOCK_TOLERANCE, None),
        (NOW + CLOCK_TOLERANCE + timedelta(seconds=1), FutureObservation),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))), FutureObservation),
        (EARLIEST, None),
        (EARLIEST - timedelta(seconds=1), BadText),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), BadText),
        (datetime(2026, 1, 1), BadText),
    ],
)
def test_an_observation_was_made_at_a_moment_that_can_be(
    at: datetime, reason: type[Refusal] | None
) -> None:
    if reason is None:
        check_observed("price", at, NOW)
    else:
        with pytest.raises(reason):
            check_observed("price", at, NOW)


def test_a_claim_needs_a_source() -> None:
    assert replace(provenance(), source=" s ").checked(NOW) == replace(provenance(), source="s")
    for source in ("", "x" * 501, "\0"):
        with pytest.raises(BadText):
            replace(provenance(), source=source).checked(NOW)


# Prices


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0E-30", "0"),
        ("10.00", "10"),
        ("1E+3", "1000"),
        ("1e-18", "0.000000000000000001"),
        ("0.00000025", "0.00000025"),
        ("2.5E-7", "0.00000025"),
        ("999999999.999999999999999999", "999999999.999999999999999999"),
        ("1.00000000000000000000000000000000000000000000", "1"),
    ],
)
def test_an_amount_is_kept_exactly_and_written_in_one_way(said: str, kept: str) -> None:
    amount = canonical(Decimal(said))
    assert str(amount) in (kept, str(Decimal(kept)))
    assert format(amount, "f") == kept
    assert canonical(amount) == amount


@pytest.mark.parametrize(
    "said",
    [
        "-1",
        "-0.000001",
        "NaN",
        "sNaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "1e9",
        "1000000000",
        "1E+999999",
        "0.1234567890123456789",
        "1e-19",
        "1e-999999",
        "1.0000000000000000000000000000001",
        "999999999.9999999999999999999999999",
        "1." + "0" * 80 + "1",
    ],
)
def test_a_number_that_stands_for_something_else_is_no_amount(said: str) -> None:
    with pytest.raises(PriceSentinel):
        canonical(Decimal(said))


@pytest.mark.parametrize(
    ("said", "written"),
    [("1E+3", "1000"), ("2.50", "2.5"), ("3.000", "3"), ("100", "100"), ("2E-7", "0.0000002")],
)
def test_a_number_is_written_without_exponent_or_trailing_zeros(said: str, written: str) -> None:
    assert plain(Decimal(said)) == written


@for_all(st.decimals(min_value=0, max_value="999999999", places=18))
def test_no_amount_is_ever_rounded(amount: Decimal) -> None:
    assert canonical(amount) == amount
    assert per_million(canonical(amount)) == amount.scaleb(6)
    assert "E" not in format(canonical(amount), "f")


@pytest.mark.parametrize(
    "said",
    [
        {"pricing": Pricing.PAID},
        {"pricing": Pricing.FREEMIUM},
        {"pricing": Pricing.FREEMIUM, **BARE},
        {"pricing": Pricing.FREE, **BARE},
        {"pricing": Pricing.OPEN_SOURCE, **BARE},
        {"pricing": Pricing.UNKNOWN, **BARE},
        {"amount": Decimal(0)},
    ],
)
def test_a_price_that_makes_sense_is_kept(said: dict[str, Any]) -> None:
    assert price(**said).checked(NOW) == price(**said)


@pytest.mark.parametrize(
    "said",
    [
        {"pricing": Pricing.PAID, **BARE},
        {"pricing": Pricing.FREE},
        {"pricing": Pricing.FREE, "amount": Decimal(0)},
        {"pricing": Pricing.OPEN_SOURCE, "amount": Decimal(0)},
        {"pricing": Pricing.UNKNOWN},
        {"pricing": Pricing.FREE, "amount": None, "currency": None},
        {"pricing": Pricing.FREE, "amount": None, "per": None},
        {"currency": None},
        {"per": None},
        {"pricing": Pricing.FREEMIUM, "currency": None},
        {"pricing": Pricing.FREEMIUM, "amount": None},
    ],
)
def test_a_price_that_contradicts_itself_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(PriceContradiction):
        replace(price(), **said).checked(NOW)


@pytest.mark.parametrize("currency", ["", "usd", "US", "XAU", "XXX", "BTC", "US\0", "\ud800" * 99])
def test_a_currency_is_one_of_iso_4217(currency: str) -> None:
    with pytest.raises(UnknownCurrency) as refused:
        price(currency=currency).checked(NOW)
    refused.value.message.encode()
    assert {"USD", "EUR", "JPY"} <= CURRENCIES


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"provider": "Acme Inc"}, BadSlug),
        ({"source": " "}, BadText),
        ({"tier": ""}, BadText),
        ({"tier": "x" * 201}, BadText),
    ],
)
def test_a_price_says_who_asks_it_where(said: dict[str, Any], reason: type[Refusal]) -> None:
    with pytest.raises(reason):
        price(**said).checked(NOW)


def test_two_observations_are_of_one_price_when_provider_unit_tier_and_source_agree() -> None:
    assert price("1").line == price("2", on=3, currency="EUR").line
    different = [
        price(),
        price(provider="bolt"),
        price(per=Unit.OUTPUT_TOKEN),
        price(tier="batch"),
        price(source="elsewhere"),
    ]
    assert len({one.line for one in different}) == len(different)
    assert price("1").asks_the_same_as(price("1", on=3))
    assert not price("1").asks_the_same_as(price("2"))


def test_prices_for_tokens_and_no_others_are_read_per_million() -> None:
    assert {unit for unit in Unit if unit.is_token} == {
        Unit.INPUT_TOKEN,
        Unit.OUTPUT_TOKEN,
        Unit.CACHED_INPUT_TOKEN,
        Unit.CACHE_WRITE_TOKEN,
        Unit.REASONING_TOKEN,
        Unit.INPUT_AUDIO_TOKEN,
        Unit.OUTPUT_AUDIO_TOKEN,
        Unit.CACHED_INPUT_AUDIO_TOKEN,
    }


# Signals


@pytest.mark.parametrize(
    ("said", "kept"),
    [("0", "0"), ("-0", "0"), ("7.50", "7.5"), ("1E+6", "1000000"), ("999999999999999", None)],
)
def test_a_signal_is_kept_exactly(said: str, kept: str | None) -> None:
    assert str(signal(said).checked(NOW).value) == (kept or said)


@pytest.mark.parametrize(
    "said", ["-1", "NaN", "Infinity", "1e15", "1e-19", "1e-99999", "1." + "0" * 30 + "1"]
)
def test_a_number_beyond_counting_is_no_signal(said: str) -> None:
    with pytest.raises(BadNumber):
        signal(said).checked(NOW)


@pytest.mark.parametrize("name", SignalName)
def test_a_checklist_item_holds_or_does_not(name: SignalName) -> None:
    assert name.is_checklist_item == (name in CHECKLIST)

    def taken(value: str) -> bool:
        try:
            return bool(signal(value, name=name).checked(NOW))
        except BadNumber:
            return False

    assert [taken(value) for value in ("0", "1", "1.0")] == [True] * 3
    assert [taken(value) for value in ("2", "0.5")] == [not name.is_checklist_item] * 2


# Capabilities


def test_a_capability_is_kept_with_its_texts_trimmed_and_its_lists_without_repeats() -> None:
    said = capability(
        name=" n ",
        unique=" u ",
        versus_alternatives=" v ",
        intents=(" a", "a", "b"),
        input_types=(DataType.TEXT, DataType.TEXT),
    )
    assert said.checked(NOW) == capability(
        name="n",
        unique="u",
        versus_alternatives="v",
        intents=("a", "b"),
        input_types=(DataType.TEXT,),
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"key": "Parse Tables"}, BadSlug),
        ({"name": ""}, BadText),
        ({"name": "x" * 201}, BadText),
        ({"description": ""}, BadText),
        ({"description": "x" * 10_001}, BadText),
        ({"unique": " "}, BadText),
        ({"versus_alternatives": "\0"}, BadText),
        ({"intents": ("",)}, BadText),
        ({"best_for": ("x" * 201,)}, BadText),
        ({"limitations": ("\ud800",)}, BadText),
        ({"requires": tuple(map(str, range(51)))}, BadText),
        ({"tags": (" ",)}, BadText),
        ({"provenance": replace(provenance(), source="")}, BadText),
        ({"provenance": provenance(on=400)}, FutureObservation),
    ],
)
def test_a_capability_nobody_could_read_is_refused(
    said: dict[str, Any], reason: type[Refusal]
) -> None:
    with pytest.raises(reason):
        capability(**{"key": "k", **said}).checked(NOW)


def test_whatever_has_a_closed_list_of_names_has_each_once() -> None:
    for names in (Kind, Pricing, Unit, SignalName, DataType):
        values = [name.value for name in names]
        assert len(set(values)) == len(values)


def test_every_refusal_says_what_would_be_accepted() -> None:
    refusals: list[Refusal] = []
    for refused in (lambda: text.slug("A"), lambda: price("-1").checked(NOW)):
        with pytest.raises(Refusal) as caught:
            refused()
        refusals.append(caught.value)
    assert "use 1 to 120" in str(refusals[0])
    assert "finite decimal from 0 to below 10^9" in str(refusals[1])
