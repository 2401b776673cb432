"""What speaks for two artifacts being one, and what against."""

import csv
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.duplicate import (
    POINTS,
    START,
    Profile,
    Sign,
    homepage,
    likeness,
    squashed,
    trigram_similarity,
)
from matchgraph.imports import models_dev
from matchgraph.queries.duplicates import LIKELY

JUDGED = Path(__file__).parents[1] / "imports" / "identity_judged.csv"


def profile(name: str, slug: str | None = None, **said: Any) -> Profile:
    """An artifact of that name, with a slug made of it unless it is said."""
    others: dict[str, Any] = {
        key: said.pop(key) for key in ("aliases", "capabilities") if key in said
    }
    return Profile(
        slug=slug or name.lower().replace(" ", "-"),
        kind=said.pop("kind", Kind.MODEL),
        facts=Facts(name=name, **said),
        **others,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (profile("Claude 3.5 Sonnet"), profile("claude-3-5-sonnet")),
        (profile("Claude 3.5 Sonnet", vendor="Acme"), profile("Claude Sonnet 3.5", vendor="Acme")),
        (profile("all-MiniLM-L6-v2"), profile("All MiniLM L6 v2", "all-mini-lm-l6-v2")),
        (
            profile("Acme Parser", vendor="Acme", homepage="https://acme.example/parser"),
            profile("Parser", vendor="Acme", homepage="http://www.acme.example/parser/"),
        ),
        (
            profile("DeepSeek: DeepSeek V3", vendor="DeepSeek", released=date(2026, 1, 1)),
            profile("DeepSeek V3.0", vendor="DeepSeek", released=date(2026, 1, 1)),
        ),
    ],
)
def test_two_spellings_of_one_name_are_likely_one(one: Profile, other: Profile) -> None:
    assert likeness(one, other).confidence >= LIKELY


@pytest.mark.parametrize(
    ("one", "other", "against"),
    [
        ("GPT-4o", "GPT-4o mini", Sign.DIFFERENT_VARIANTS),
        ("Claude 3.5 Sonnet", "Claude 3.7 Sonnet", Sign.DIFFERENT_NUMBERS),
        ("Qwen3 14B", "Qwen3 32B", Sign.DIFFERENT_NUMBERS),
        ("Claude 4 Opus", "Claude 4 Sonnet", Sign.DIFFERENT_VARIANTS),
        ("Llama 3.1 8B", "Llama 3.1 8B Instruct", Sign.DIFFERENT_VARIANTS),
        ("GLM 4.5", "GLM 4.5V", Sign.DIFFERENT_WORDS),
        ("GPT-4o", "GPT-4o 2024-05-13", Sign.NUMBERS_OF_ONE),
        ("Gemini Preview 05-06", "Gemini Preview 06-05", Sign.DIFFERENT_NUMBERS),
        ("Parser", "Painter", Sign.DIFFERENT_WORDS),
    ],
)
def test_members_of_one_series_are_not(one: str, other: str, against: Sign) -> None:
    shared: Any = {"vendor": "Acme", "family": "f", "released": date(2026, 1, 1)}
    weighed = likeness(profile(one, **shared), profile(other, **shared))
    assert weighed.confidence < 0.5
    assert against in {reason.sign for reason in weighed.reasons}


SAME = profile("Parser", vendor="Acme", released=date(2026, 1, 1))


@pytest.mark.parametrize(
    ("sign", "one", "other"),
    [
        (Sign.DIFFERENT_KINDS, {}, {"kind": Kind.CLI}),
        (Sign.DIFFERENT_VENDORS, {}, {"vendor": "Bolt"}),
        (Sign.DIFFERENT_RELEASES, {}, {"released": date(2026, 4, 1)}),
        (Sign.DIFFERENT_WEIGHTS, {"open_weights": True}, {"open_weights": False}),
        (Sign.DIFFERENT_CONTEXTS, {"context_tokens": 8_000}, {"context_tokens": 128_000}),
        (Sign.DIFFERENT_HOMEPAGES, {"homepage": "https://a.b"}, {"homepage": "https://c.d"}),
        (
            Sign.DIFFERENT_TYPES,
            {"input_types": (DataType.TEXT,)},
            {"input_types": (DataType.TEXT, DataType.IMAGE)},
        ),
        (
            Sign.DIFFERENT_TYPES,
            {"output_types": (DataType.TEXT,)},
            {"output_types": (DataType.IMAGE,)},
        ),
    ],
)
def test_facts_that_contradict_each_other_count_against_it(
    sign: Sign, one: dict[str, Any], other: dict[str, Any]
) -> None:
    said: Any = {"vendor": "Acme", "released": date(2026, 1, 1)}
    agreeing = likeness(profile("Parser", **{**said, **one}), SAME)
    weighed = likeness(profile("Parser", **{**said, **one}), profile("Parser", **{**said, **other}))
    assert {reason.sign: reason.points for reason in weighed.reasons}[sign] == POINTS[sign] < 0
    assert weighed.confidence < agreeing.confidence


def test_what_is_unknown_of_either_speaks_neither_way() -> None:
    bare = likeness(profile("Parser"), profile("Parser"))
    assert {reason.sign for reason in bare.reasons} == {Sign.SAME_NAME, Sign.SLUG_OF_THE_OTHER}
    known = profile(
        "Parser",
        vendor="Acme",
        homepage="https://a.b",
        released=date(2026, 1, 1),
        open_weights=True,
        context_tokens=1,
        input_types=(DataType.TEXT,),
        capabilities=frozenset("k"),
    )
    assert likeness(known, profile("Parser")) == bare


def test_an_alias_that_is_the_slug_of_the_other_speaks_for_it() -> None:
    one = profile("Parser Ultimate", "parser-u", aliases=frozenset({"p.u."}))
    (found,) = (
        reason
        for reason in likeness(one, profile("PU", "pu")).reasons
        if reason.sign is Sign.SLUG_OF_THE_OTHER
    )
    assert (found.left, found.right, found.points) == ("pu", "pu", 4.0)


def test_the_confidence_is_what_the_reasons_add_up_to() -> None:
    weighed = likeness(profile("Parser", vendor="Acme"), profile("Parser", vendor="Bolt"))
    assert [(reason.sign, reason.left, reason.right) for reason in weighed.reasons] == [
        (Sign.SAME_NAME, "Parser", "Parser"),
        (Sign.SLUG_OF_THE_OTHER, "parser", "parser"),
        (Sign.DIFFERENT_VENDORS, "acme", "bolt"),
    ]
    odds = START + sum(reason.points for reason in weighed.reasons)
    assert odds == 3
    assert weighed.confidence == 0.952574  # 1 / (1 + e^-3)


_names = st.text("aAbv1.2- é文", min_size=1, max_size=12)
_profiles = st.builds(
    profile,
    _names,
    st.sampled_from(["a", "a-1", "b-2"]),
    vendor=st.none() | st.sampled_from(["A", "B b"]),
    released=st.none() | st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    context_tokens=st.none() | st.sampled_from([1, 100]),
)


@given(_profiles, _profiles)
def test_the_order_of_the_two_does_not_matter(one: Profile, other: Profile) -> None:
    there, back = likeness(one, other), likeness(other, one)
    assert there.confidence == back.confidence
    assert {(r.sign, r.points, r.left, r.right) for r in there.reasons} == {
        (r.sign, r.points, r.right, r.left) for r in back.reasons
    }
    assert 0 <= there.confidence <= 1


@given(_profiles)
def test_nothing_speaks_against_an_artifact_being_itself(one: Profile) -> None:
    assert all(reason.points > 0 for reason in likeness(one, replace(one)).reasons)


def test_trigrams_are_counted_as_postgresql_does() -> None:
    # SELECT similarity('word', 'two words'), similarity('claude', 'claudia')
    assert trigram_similarity("word", "two words") == pytest.approx(0.36363637)
    assert trigram_similarity("claude", "claudia") == pytest.approx(0.5)
    assert trigram_similarity("", "word") == 0


def test_a_homepage_is_known_by_where_it_leads() -> None:
    assert homepage("HTTPS://www.Acme.example/Parser/") == homepage("http://acme.example/parser")
    assert homepage("https://acme.example/?id=1") != homepage("https://acme.example/?id=2")
    assert squashed("All-MiniLM_L6.v2") == "allminilml6v2"


def test_no_offers_judged_to_be_different_models_are_likely_one() -> None:
    offers = {
        (offer.provider, offer.id): Profile(
            slug=offer.id.lower(),
            kind=Kind.MODEL,
            facts=Facts(
                name=offer.name,
                vendor=offer.identity.vendor or model.vendor,
                family=offer.family,
                context_tokens=offer.context or None,
                input_types=tuple(sorted(offer.inputs)),
                output_types=tuple(sorted(offer.outputs)),
            ),
        )
        for model in models_dev.read().models
        for offer in model.offers
    }
    with JUDGED.open(newline="") as file:
        judged = [
            (
                row["judged"],
                likeness(
                    offers[row["provider"], row["offer"]],
                    offers[row["other_provider"], row["other_offer"]],
                ).confidence,
            )
            for row in csv.DictReader(file)
        ]
    likely = [said for said, confidence in judged if confidence >= LIKELY]
    assert likely.count("different") == likely.count("unsure") == 0
    assert likely.count("same") >= 20
