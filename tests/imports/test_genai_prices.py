"""What becomes of the dated prices in genai-prices: of made-up ones, and of the real ones."""

from collections import defaultdict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from matchgraph.domain.artifact import Facts
from matchgraph.domain.price import PriceLine, Pricing
from matchgraph.imports import genai_prices, models_dev
from matchgraph.imports.genai_prices import Read

PUBLISHED = date(2026, 11, 10)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")


def mtok(amount: str) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(amount))


def since(day: date | None, prices: ModelPrice) -> ConditionalPrice:
    return ConditionalPrice(StartDateConstraint(day) if day else None, prices=prices)


def read(
    prices: Any, *, provider: str = "acme", model: str = "glm-9", variants: Any = None
) -> Read:
    sold = ModelInfo(id=model, match=ClauseEquals(model), prices=prices, price_variants=variants)
    return genai_prices.dated(
        [Provider(id=provider, name=provider, api_pattern="", models=[sold])],
        {"glm-9", "claude-9", "minimax-m9"},
        PUBLISHED,
    )


def seen(read: Read) -> list[tuple[str | None, str | None, Any, date]]:
    """Unit, tier, amount per million and day of every price."""
    return [
        (
            price.per and price.per.value,
            price.tier,
            price.amount and price.amount * 1_000_000,
            price.observed_at.date(),
        )
        for draft in read.drafts
        for price in draft.prices
    ]


def test_a_price_without_a_date_was_seen_when_the_package_was_published() -> None:
    assert seen(read(mtok("2"))) == [("input_token", None, 2, PUBLISHED)]


def test_a_change_has_its_day_and_the_price_before_the_eve_of_it() -> None:
    prices = [since(None, mtok("2")), since(date(2026, 3, 13), mtok("1"))]
    assert seen(read(prices)) == [
        ("input_token", None, 2, date(2026, 3, 12)),
        ("input_token", None, 1, date(2026, 3, 13)),
    ]


def test_changes_come_in_the_order_of_time_whatever_the_order_of_the_list() -> None:
    prices = [since(date(2026, 5, 1), mtok("3")), since(date(2026, 2, 1), mtok("2"))]
    assert [day for *_, day in seen(read(prices))] == [date(2026, 2, 1), date(2026, 5, 1)]


def test_a_price_that_starts_after_the_package_is_left_out_and_counted() -> None:
    prices = [since(None, mtok("2")), since(date(2027, 1, 1), mtok("4"))]
    of = read(prices)
    assert seen(of) == [("input_token", None, 2, PUBLISHED)]
    assert of.left_out["prices that were still to come"] == 1


def test_a_period_that_changes_nothing_is_no_change() -> None:
    prices = [since(None, mtok("2")), since(date(2026, 3, 13), mtok("2"))]
    assert seen(read(prices)) == [("input_token", None, 2, date(2026, 3, 12))]


def test_a_line_that_ended_is_left_out_because_nobody_asks_it_now() -> None:
    tiered = ModelPrice(input_mtok=TieredPrices(base=Decimal(2), tiers=[Tier(200_000, Decimal(4))]))
    of = read([since(None, tiered), since(date(2026, 3, 13), mtok("2"))])
    assert seen(of) == [("input_token", None, 2, date(2026, 3, 12))]
    assert of.left_out["prices of a line that ended"] == 1


def test_context_steps_hours_and_ways_of_processing_are_tiers() -> None:
    tiered = ModelPrice(
        input_mtok=TieredPrices(
            base=Decimal(2), tiers=[Tier(200_000, Decimal(4)), Tier(499_999, Decimal(8))]
        )
    )
    hours = TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, 30, tzinfo=UTC))
    of = read(
        [since(None, tiered), ConditionalPrice(hours, prices=mtok("9"))],
        variants=[
            PriceVariant(
                {"processing": "batch"}, mtok("1"), StartDateConstraint(date(2026, 10, 14))
            ),
            PriceVariant({"service_tier": "default"}, ModelPrice()),
        ],
    )
    assert seen(of) == [
        ("input_token", "batch", 1, date(2026, 10, 14)),
        ("input_token", None, 2, PUBLISHED),
        ("input_token", "01:00-04:30 UTC", 9, PUBLISHED),
        ("input_token", ">200k context", 4, PUBLISHED),
        ("input_token", "from 500k context", 8, PUBLISHED),
    ]


@pytest.mark.parametrize(
    ("field", "unit", "tier", "many"),
    [(field, per.unit.value, per.tier, per.many) for field, per in genai_prices.PER.items()],
)
def test_every_field_keeps_its_unit(field: str, unit: str, tier: str | None, many: int) -> None:
    (draft,) = read(ModelPrice(**{field: Decimal(3) * many / 1000})).drafts
    (price,) = draft.prices
    assert (price.per, price.tier, price.amount) == (unit, tier, Decimal("0.003"))


def test_what_has_no_unit_or_does_not_divide_is_left_out_and_counted() -> None:
    of = read(ModelPrice(output_image_mtok=Decimal(30), audio_hours=Decimal("0.04")))
    assert of.drafts == ()
    assert of.left_out == {
        "prices per what the catalog has no unit for (output_image_mtok)": 1,
        "prices that do not divide exactly": 1,
    }


def test_a_sentinel_is_left_out_and_counted() -> None:
    of = read(mtok("-1"))
    assert of.drafts == ()
    assert of.left_out == {"prices negative or a sentinel": 1}


def test_absent_unknown_free_and_zero_are_four_things() -> None:
    def priced(prices: ModelPrice, model: str = "glm-9") -> list[tuple[Pricing, str | None, Any]]:
        return [
            (price.pricing, price.tier, price.amount)
            for draft in read(prices, model=model).drafts
            for price in draft.prices
        ]

    assert priced(ModelPrice()) == []
    assert priced(mtok("0")) == [(Pricing.UNKNOWN, None, None)]
    assert priced(ModelPrice(), "glm-9:free") == [(Pricing.FREE, "free", None)]
    zero = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(0))
    assert (Pricing.PAID, None, 0) in priced(zero)


@pytest.mark.parametrize(
    ("provider", "model", "known_as", "tier"),
    [
        ("x-ai", "glm-9", "xai", None),
        ("aws", "global.zai.glm-9-v1:0", "amazon-bedrock", "global"),
        ("together", "zai-org/GLM-9-FP8", "togetherai", "fp8"),
        ("huggingface_novita", "zai-org/GLM-9", "huggingface", "via novita"),
        ("google", "claude-9", "google-vertex", None),
        ("google", "glm-9", "google", None),
        ("minimax", "MiniMax-M9-highspeed", "minimax", "highspeed"),
    ],
)
def test_the_same_company_has_the_same_slug_as_in_models_dev(
    provider: str, model: str, known_as: str, tier: str | None
) -> None:
    (draft,) = read(mtok("1"), provider=provider, model=model).drafts
    assert [(price.provider, price.tier) for price in draft.prices] == [(known_as, tier)]


def test_provider_slugs_are_those_of_models_dev() -> None:
    known = {offer.provider for model in models_dev.read().models for offer in model.offers}
    assert set(genai_prices.PROVIDERS.values()) | {"huggingface", "google-vertex"} <= known


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("glm-10", "models that are not in the catalog"),
        ("openrouter/auto", "models that are none (router or service)"),
        ("mistral-large-latest", "models under a name that moves on"),
    ],
)
def test_what_has_no_artifact_is_left_out_and_counted(model: str, reason: str) -> None:
    of = read(mtok("1"), model=model)
    assert of.drafts == ()
    assert of.left_out == {reason: 1}


def test_two_listings_of_one_model_at_two_prices_stay_apart() -> None:
    of = genai_prices.dated(
        [
            Provider(
                id="acme",
                name="Acme",
                api_pattern="",
                models=[
                    ModelInfo(id="glm-9", match=ClauseEquals("glm-9"), prices=mtok("1")),
                    ModelInfo(id="z-ai/glm-9", match=ClauseEquals("z-ai/glm-9"), prices=mtok("2")),
                ],
            )
        ],
        {"glm-9"},
        PUBLISHED,
    )
    assert seen(of) == [
        ("input_token", None, 2, PUBLISHED),
        ("input_token", "glm-9", 1, PUBLISHED),
    ]


# The installed package


def test_the_drafts_only_add_prices_to_what_is_known() -> None:
    slugs = {model.slug for model in models_dev.read().models}
    drafts = list(genai_prices.drafts())
    assert [draft.slug for draft in drafts] == sorted({draft.slug for draft in drafts})
    for draft in drafts:
        assert draft.slug in slugs
        assert draft.only_known
        assert draft.whole_price_list
        assert draft.facts == Facts()
        assert draft.capabilities == ()
        assert draft.prices


def test_every_price_holds_in_the_domain_and_each_line_goes_forward() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    for draft in genai_prices.drafts():
        last: defaultdict[PriceLine, datetime] = defaultdict(
            lambda: datetime.min.replace(tzinfo=UTC)
        )
        for price in draft.prices:
            assert price.checked(now) == price
            assert price.source == draft.provenance.source == "genai-prices"
            assert last[price.line] < price.observed_at <= draft.provenance.observed_at
            last[price.line] = price.observed_at


def test_a_real_change_is_found() -> None:
    (draft,) = (draft for draft in genai_prices.drafts() if draft.slug == "deepseek-v4-flash")
    asked = [
        (price.observed_at.date(), price.amount and price.amount * 1_000_000)
        for price in draft.prices
        if price.line == PriceLine("deepseek", draft.prices[1].per, None, "genai-prices")
    ]
    assert asked == [
        (date(2026, 8, 16), Decimal("0.14")),
        (date(2026, 8, 17), Decimal("0.22")),
        (date(2026, 9, 10), Decimal("0.15")),
    ]


def test_the_document_quotes_the_figures() -> None:
    assert f"```text\n{genai_prices.report()}\n```" in DOCUMENT
