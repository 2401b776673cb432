"""Which spellings are one model, rule by rule, and the pairs that were judged by hand."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain import text
from matchgraph.imports import identity, models_dev
from matchgraph.imports.identity import Identity, NotAModel, identify

JUDGED = tuple(
    csv.DictReader((Path(__file__).parent / "identity_judged.csv").read_text().splitlines())
)

EXAMPLES = (
    ("address", "fireworks-ai", "accounts/fireworks/models/deepseek-v3p2", "deepseek-v3.2"),
    ("address", "synthetic", "hf:zai-org/GLM-4.7", "glm-4.7"),
    ("address", "cloudflare-ai-gateway", "workers-ai/@cf/baai/bge-m3", "bge-m3"),
    ("address", "amazon-bedrock", "us.anthropic.claude-opus-4-7", "claude-opus-4.7"),
    ("address", "amazon-bedrock", "amazon.titan-embed-text-v2:0", "titan-embed-text-v2"),
    ("address", "gitlab", "duo-chat-haiku-4-5", "claude-haiku-4.5"),
    ("address", "aihubmix", "coding-minimax-m2.7", "minimax-m2.7"),
    ("address", "poe", "cerebras/llama-3.3-70b-cs", "llama-3.3-70b-instruct"),
    ("address", "google-vertex", "claude-opus-4-6@default", "claude-opus-4.6"),
    ("spelling", "venice", "qwen3-5-35b-a3b", "qwen3.5-35b-a3b"),
    ("spelling", "fireworks-ai", "accounts/fireworks/models/glm-5p1", "glm-5.1"),
    ("spelling", "venice", "openai-gpt-52-codex", "gpt-5.2-codex"),
    ("spelling", "poe", "anthropic/claude-sonnet-3.7", "claude-3.7-sonnet"),
    ("spelling", "sap-ai-core", "anthropic--claude-4.6-opus", "claude-opus-4.6"),
    ("spelling", "nvidia", "nvidia/llama-3_3-nemotron-super-49b-v1_5",
     "llama-3.3-nemotron-super-49b-v1.5"),
    ("spelling", "kimi-for-coding", "k2p6", "kimi-k2.6"),
    ("date", "anthropic", "claude-opus-4-5-20251101", "claude-opus-4.5"),
    ("date", "anthropic", "claude-3-5-sonnet-20241022", "claude-3.5-sonnet"),
    ("date", "helicone", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
    ("date", "openrouter", "google/gemini-2.0-flash-001", "gemini-2.0-flash"),
    ("date", "302ai", "grok-4.20-beta-0309-reasoning", "grok-4.20"),
    ("date", "nano-gpt", "x-ai/grok-4-07-09", "grok-4"),
    ("free", "openrouter", "z-ai/glm-4.5-air:free", "glm-4.5-air"),
    ("free", "opencode", "kimi-k2.5-free", "kimi-k2.5"),
    ("hosting", "chutes", "deepseek-ai/DeepSeek-R1-0528-TEE", "deepseek-r1-0528"),
    ("hosting", "google-vertex", "zai-org/glm-5-maas", "glm-5"),
    ("thinking switched on or off", "nano-gpt", "claude-opus-4-thinking:32768", "claude-opus-4"),
    ("thinking switched on or off", "nano-gpt", "gemini-2.5-flash-nothinking", "gemini-2.5-flash"),
    ("thinking switched on or off", "xai", "grok-4-fast-non-reasoning", "grok-4-fast"),
    ("thinking switched on or off", "openrouter", "openai/o3-mini-high", "o3-mini"),
    ("speed", "openrouter", "anthropic/claude-opus-4.6-fast", "claude-opus-4.6"),
    ("speed", "minimax", "MiniMax-M2.5-highspeed", "minimax-m2.5"),
    ("speed", "groq", "llama-3.1-8b-instant", "llama-3.1-8b-instruct"),
    ("quantisation", "wandb", "zai-org/GLM-5-FP8", "glm-5"),
    ("quantisation", "atomic-chat", "Qwen3_5-9B-Q4_K_M", "qwen3.5-9b"),
    ("quantisation", "cloudflare-workers-ai", "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
     "llama-3.3-70b-instruct"),
    ("form", "ollama-cloud", "gemma3:27b", "gemma-3-27b-it"),
    ("form", "vercel", "meta/llama-3.2-90b", "llama-3.2-90b-vision-instruct"),
    ("form", "openrouter", "qwen/qwen3-coder", "qwen3-coder-480b-a35b-instruct"),
    ("name", "mistral", "mistral-large-2512", "mistral-large-3"),
    ("name", "moonshotai", "kimi-k2-0711-preview", "kimi-k2"),
    ("name", "poe", "openai/gpt-5.3-instant", "gpt-5.3-chat"),
    ("pointer", "mistral", "mistral-medium-latest", "mistral-medium-3.5"),
    ("pointer", "poe", "google/gemini-3-pro", "gemini-3-pro-preview"),
    ("exception", "vercel", "deepseek/deepseek-v3", "deepseek-v3-0324"),
)  # fmt: skip


def known(provider: str, offer: str) -> Identity:
    found = identify(provider, offer)
    assert isinstance(found, Identity)
    return found


@pytest.mark.parametrize(("rule", "provider", "offer", "slug"), EXAMPLES)
def test_a_rule_finds_the_model_behind_a_spelling(
    rule: str, provider: str, offer: str, slug: str
) -> None:
    found = known(provider, offer)
    assert found.slug == slug
    assert rule in found.rules


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, *_ in EXAMPLES} == {*identity.RULES, "exception"}


APART = (
    ("sizes", "qwen3-8b", "qwen3-14b"),
    ("mini", "gpt-5", "gpt-5-mini"),
    ("vision", "qwen2.5-72b-instruct", "qwen2.5-vl-72b-instruct"),
    ("code", "qwen3-30b-a3b-instruct-2507", "qwen3-coder-30b-a3b-instruct"),
    ("thinking as weights of its own", "kimi-k2", "kimi-k2-thinking"),
    (
        "thinking as weights of its own",
        "qwen3-30b-a3b-instruct-2507",
        "qwen3-30b-a3b-thinking-2507",
    ),
    ("thinking as weights of its own", "ernie-4.5-21b-a3b", "ernie-4.5-21b-a3b-thinking"),
    ("a date that is the version", "gpt-4o-2024-05-13", "gpt-4o-2024-11-20"),
    ("a date that is the version", "gpt-4o", "gpt-4o-2024-05-13"),
    ("a date that is the version", "deepseek-r1", "deepseek-r1-0528"),
    ("a date that is the version", "claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
    ("turbo as a product", "glm-5", "glm-5-turbo"),
    ("fast as a product", "grok-4", "grok-4-fast"),
    ("fast as a product", "veo-3", "veo-3-fast"),
    ("preview and release", "gemini-3.1-flash-lite", "gemini-3.1-flash-lite-preview"),
    ("a tuning", "gemma-3-27b-it", "gemma-3-27b-it-abliterated"),
    ("the old and the new small one", "ministral-3b", "ministral-3b-2512"),
    ("a distillation", "deepseek-r1", "deepseek-r1-distill-llama-70b"),
)


@pytest.mark.parametrize(("difference", "one", "other"), APART)
def test_what_differs_stays_apart(difference: str, one: str, other: str) -> None:
    assert known("any", one).slug != known("any", other).slug, difference


def test_how_a_model_is_served_is_kept_as_variants() -> None:
    assert known("any", "@cf/meta/llama-3.3-70b-instruct-fp8-fast").variants == ("fp8", "fast")
    assert known("any", "us.anthropic.claude-opus-4-7").variants == ("us",)
    assert known("kilo", "x-ai/grok-code-fast-1:optimized:free").variants == ("optimized", "free")
    assert known("any", "TEE/glm-5.1").variants == ("tee",)


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        ("openrouter/auto", "picks a model by itself (router)"),
        ("kilo-auto/frontier", "picks a model by itself (router)"),
        ("model-router", "picks a model by itself (router)"),
        ("custom", "a placeholder for the user's own model"),
        ("exa-research-pro", "a service around a model"),
        ("claude-3-7-sonnet-reasoner", "a service around a model"),
        ("///", "an id that makes no slug"),
    ],
)
def test_what_is_no_model_is_named(offer: str, reason: str) -> None:
    assert identify("any", offer) == NotAModel(reason)


@pytest.mark.parametrize("offer", ["deepseek-reasoner", "deepseek/deepseek-reasoner", "auto-glm"])
def test_a_model_is_not_taken_for_a_service(offer: str) -> None:
    known("any", offer)


def test_a_pointer_says_that_it_will_lead_elsewhere() -> None:
    assert known("mistral", "mistral-large-latest").pointer
    assert not known("mistral", "mistral-large-2512").pointer


@pytest.mark.parametrize(
    ("offer", "vendor"),
    [
        ("qwen/qwen3-8b", "Alibaba"),
        ("Qwen/Qwen3-8B", "Alibaba"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "Meta"),
        ("TheDrummer 2/Cydonia-24B-v4", "TheDrummer"),
        ("unsloth/Llama-3.2-1B-Instruct", None),
        ("venice-uncensored", None),
    ],
)
def test_the_maker_comes_from_the_prefix_and_a_host_is_none(offer: str, vendor: str | None) -> None:
    assert known("any", offer).vendor == vendor


def test_the_family_of_the_name_goes_before_what_prefixes_say() -> None:
    assert identity.vendor_of("kimi-k2.5", ("NVIDIA", "Moonshot AI")) == "Moonshot AI"
    assert identity.vendor_of("l3.1-euryale-70b", ("Sao10K", None)) == "Sao10K"
    assert identity.vendor_of("big-pickle", (None,)) is None
    assert identity.vendor_of("aurora", ("One", "Two")) is None


def test_a_tuning_is_nobodys_family() -> None:
    assert identity.vendor_of("gemma-3-27b-it-abliterated", ("mlabonne",)) == "mlabonne"
    assert identity.is_tuned("gemma-3-27b-it-abliterated", None)
    assert identity.is_tuned("cydonia-24b-v4", "TheDrummer")
    assert not identity.is_tuned("gemma-3-27b-it", "Google")
    assert not identity.is_tuned("llama-3.3-70b-instruct", "Meta")


def test_a_slug_is_its_own_identity() -> None:
    for model in models_dev.read().models:
        assert known("any", model.slug).slug == model.slug


@given(st.text(max_size=200))
def test_any_text_is_a_slug_or_no_model(offer: str) -> None:
    found = identify("any", offer)
    assert isinstance(found, NotAModel) or text.SLUG.fullmatch(found.slug)


@given(st.sampled_from([offer for _, _, offer, _ in EXAMPLES]), st.booleans())
def test_letter_case_and_blanks_around_say_nothing(offer: str, upper: bool) -> None:
    spelled = f" {offer.upper() if upper else offer.lower()} "
    assert known("any", spelled).slug == known("any", offer).slug


# Judged the same, and apart all the same: nothing in the data tells that they are.
KNOWN_SPLITS = {
    ("qwen3-max", "qwen3-max-2025-09-23"),
    ("MiniMax-M1", "minimaxai/minimax-m1-80k"),
    ("venice-uncensored", "cognitivecomputations/dolphin-mistral-24b-venice-edition:free"),
}


def test_the_code_agrees_with_the_hand() -> None:
    merged = {
        (row["offer"], row["other_offer"]): known(row["provider"], row["offer"]).slug
        == known(row["other_provider"], row["other_offer"]).slug
        for row in JUDGED
    }
    judged = {(row["offer"], row["other_offer"]): row["judged"] for row in JUDGED}
    assert [pair for pair, said in judged.items() if said == "different" and merged[pair]] == []
    assert {
        pair for pair, said in judged.items() if said == "same" and not merged[pair]
    } == KNOWN_SPLITS


def test_the_document_gives_the_size_of_the_judged_sample() -> None:
    document = (Path(__file__).parents[2] / "docs" / "identity.md").read_text("utf-8")
    judged = Counter(row["judged"] for row in JUDGED)
    assert f"{judged['same']} the same, {judged['different']} different" in document
    assert f"{judged['unsure']} were left unsure" in document


def test_exceptions_name_offers_of_the_installed_package() -> None:
    offers = {(o.provider, " ".join(o.id.lower().split()))
              for model in models_dev.read().models for o in model.offers}  # fmt: skip
    assert set(identity.EXCEPTIONS) <= offers
