"""What can happen to an artifact, and what is refused without a trace."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from matchgraph.domain.artifact import MOST_TOKENS, Artifact, Facts, Kind, Status, id_of
from matchgraph.domain.capability import DataType
from matchgraph.domain.errors import (
    BadMergeTarget,
    BadNumber,
    BadSlug,
    BadText,
    CapabilityExists,
    FutureObservation,
    MergedArtifact,
    NotMerged,
    NotRetired,
    PriceContradiction,
    PriceSentinel,
    Refusal,
    RetiredArtifact,
    SameArtifact,
    StaleObservation,
    UnknownCapability,
    UnknownPrice,
)
from matchgraph.domain.price import PriceLine, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import SignalName
from tests.domain.given import fact, given, happened
from tests.eventstore.histories import artifact, capability, day, price, provenance, signal

TOMORROW = timedelta(days=1, hours=1)


def retired() -> Artifact:
    gone = artifact("gone")
    gone.retire("superseded")
    return given(gone)


def merged() -> Artifact:
    twin = artifact("twin")
    twin.merge(artifact("parser"))
    return given(twin)


# Registered


def test_an_artifact_is_registered_with_what_is_said_of_it() -> None:
    made = Artifact.register(
        "parser", Kind.CLI, Facts(name=" Parser ", vendor="acme"), provenance()
    )
    assert happened(made) == [
        fact(
            Artifact.Registered,
            slug="parser",
            kind=Kind.CLI,
            facts=Facts(name="Parser", vendor="acme"),
            provenance=provenance(),
        )
    ]
    assert (made.slug, made.kind, made.status) == ("parser", Kind.CLI, Status.ACTIVE)
    assert made.facts == Facts(name="Parser", vendor="acme")


def test_the_id_follows_from_the_slug() -> None:
    assert artifact("parser").id == artifact("parser").id == id_of("parser")
    assert artifact("parser").id != artifact("parser2").id


@pytest.mark.parametrize(
    ("slug", "facts", "reason"),
    [
        ("Parser", Facts(name="n"), BadSlug),
        ("parser", Facts(), BadText),
        ("parser", Facts(name="  "), BadText),
        ("parser", Facts(name="n", vendor=""), BadText),
        ("parser", Facts(name="n", context_tokens=0), BadNumber),
        ("parser", Facts(name="n", context_tokens=-1), BadNumber),
        ("parser", Facts(name="n", output_tokens=MOST_TOKENS), BadNumber),
        ("parser", Facts(name="n", description="x" * 10_001), BadText),
        ("parser", Facts(name="n", homepage="h" * 501), BadText),
        ("parser", Facts(name="n\0"), BadText),
        ("parser", Facts(name="n", licence="\ud800"), BadText),
        (
            "parser",
            Facts(name="n", released=date(2026, 1, 2), last_release=date(2026, 1, 1)),
            BadText,
        ),
    ],
)
def test_what_nobody_could_read_or_mean_is_not_registered(
    slug: str, facts: Facts, reason: type[Refusal]
) -> None:
    with pytest.raises(reason):
        Artifact.register(slug, Kind.MODEL, facts, provenance())


def test_every_fact_that_is_checked_is_kept_as_it_was_said() -> None:
    facts = Facts(
        name="n",
        description="d" * 10_000,
        vendor="v",
        family="f",
        licence="l",
        open_weights=False,
        self_hostable=True,
        homepage="https://h",
        released=date(2026, 1, 1),
        last_release=date(2026, 1, 1),
        knowledge_cutoff=date(2025, 1, 1),
        context_tokens=MOST_TOKENS - 1,
        output_tokens=1,
        input_types=(DataType.TEXT,),
        output_types=(),
    )
    assert Artifact.register("parser", Kind.MODEL, facts, provenance()).facts == facts


def test_nobody_registers_from_the_future() -> None:
    with pytest.raises(FutureObservation):
        Artifact.register(
            "parser",
            Kind.MODEL,
            Facts(name="n"),
            Provenance(
                method=Method.DECLARED, source="s", observed_at=datetime.now(UTC) + TOMORROW
            ),
        )


# Described


def test_only_what_is_new_of_a_description_happens() -> None:
    parser = given(artifact("parser", vendor="acme"))
    parser.describe(Facts(vendor="acme", licence="MIT"), provenance(on=1))
    assert happened(parser) == [
        fact(Artifact.Described, facts=Facts(licence="MIT"), provenance=provenance(on=1))
    ]
    assert parser.facts == Facts(name="parser", vendor="acme", licence="MIT")


def test_a_description_without_news_is_no_event() -> None:
    parser = given(artifact("parser", open_weights=False))
    parser.describe(Facts(name="parser", open_weights=False), provenance(on=1))
    parser.describe(Facts(), provenance(on=1))
    assert happened(parser) == []


@pytest.mark.parametrize("known", Method)
@pytest.mark.parametrize("claimed", Method)
def test_a_weaker_claim_never_replaces_a_stronger_one(known: Method, claimed: Method) -> None:
    parser = Artifact.register("parser", Kind.MODEL, Facts(name="old"), provenance(known))
    given(parser).describe(Facts(name="new"), provenance(claimed))
    stronger = list(Method).index(claimed) >= list(Method).index(known)
    assert parser.facts.name == ("new" if stronger else "old")
    assert bool(happened(parser)) == stronger


def test_the_same_said_with_more_weight_is_news() -> None:
    parser = given(
        Artifact.register("parser", Kind.MODEL, Facts(name="n"), provenance(Method.INFERRED))
    )
    parser.describe(Facts(name="n"), provenance(Method.DECLARED))
    assert happened(parser) == [
        fact(Artifact.Described, facts=Facts(name="n"), provenance=provenance(Method.DECLARED))
    ]
    given(parser).describe(Facts(name="other"), provenance(Method.OBSERVED))
    assert happened(parser) == []


def test_each_fact_has_a_strength_of_its_own() -> None:
    parser = given(
        Artifact.register("parser", Kind.MODEL, Facts(name="n"), provenance(Method.DECLARED))
    )
    parser.describe(Facts(name="guess", vendor="guess"), provenance(Method.INFERRED))
    assert parser.facts == Facts(name="n", vendor="guess")


# Retired, reinstated


def test_a_retired_artifact_is_reinstated_as_it_was() -> None:
    parser = artifact("parser")
    parser.add_capability(capability())
    given(parser).retire(" superseded ")
    assert happened(parser) == [fact(Artifact.Retired, reason="superseded")]
    assert given(parser).status is Status.RETIRED
    parser.reinstate()
    assert happened(parser) == [fact(Artifact.Reinstated)]
    assert parser.status is Status.ACTIVE
    assert list(parser.capabilities) == ["parse-tables"]


@pytest.mark.parametrize("reason", ["", " \n ", "x" * 10_001, "\0"])
def test_a_retirement_needs_a_reason(reason: str) -> None:
    parser = given(artifact())
    with pytest.raises(BadText):
        parser.retire(reason)
    assert happened(parser) == []


@pytest.mark.parametrize("state", [artifact, merged])
def test_only_a_retired_artifact_is_reinstated(state: Callable[[], Artifact]) -> None:
    one = given(state())
    with pytest.raises(NotRetired):
        one.reinstate()
    assert happened(one) == []


# Merged, unmerged


def test_a_merged_artifact_leads_to_another_and_back() -> None:
    twin, parser = given(artifact("twin")), given(artifact("parser"))
    twin.merge(parser)
    assert happened(twin) == [fact(Artifact.Merged, into=parser.id)]
    assert happened(parser) == [fact(Artifact.Absorbed, other=twin.id)]
    assert (given(twin).status, twin.into) == (Status.MERGED, parser.id)
    assert (given(parser).status, parser.absorbed) == (Status.ACTIVE, {twin.id})
    twin.unmerge(parser)
    assert happened(twin) == [fact(Artifact.Unmerged)]
    assert happened(parser) == [fact(Artifact.Parted, other=twin.id)]
    assert (twin.status, twin.into, parser.absorbed) == (Status.ACTIVE, None, set())


def test_a_merge_of_which_the_target_recorded_nothing_is_undone_all_the_same() -> None:
    twin, parser = artifact("twin"), artifact("parser")
    twin.merge(given(artifact("parser")))
    given(twin).unmerge(given(parser))
    assert happened(twin) == [fact(Artifact.Unmerged)]
    assert happened(parser) == []


def test_what_took_others_in_can_be_merged_on() -> None:
    one, two, three = artifact("one"), artifact("two"), artifact("three")
    one.merge(two)
    two.merge(three)
    assert (one.into, two.into, three.status) == (two.id, three.id, Status.ACTIVE)
    with pytest.raises(BadMergeTarget):
        given(three).merge(one)
    given(two)
    one.unmerge(two)
    assert (one.status, two.status) == (Status.ACTIVE, Status.MERGED)
    assert happened(two) == [fact(Artifact.Parted, other=one.id)]


def test_an_artifact_is_unmerged_from_the_one_that_it_leads_to() -> None:
    twin, parser = artifact("twin"), artifact("parser")
    twin.merge(parser)
    with pytest.raises(NotMerged):
        given(twin).unmerge(artifact("other"))
    assert happened(twin) == []


# Told apart


def test_two_are_told_apart_once_from_either_side() -> None:
    one, other = given(artifact("one")), given(artifact("other"))
    one.tell_apart(other)
    assert happened(one) == [fact(Artifact.ToldApart, other=other.id)]
    given(one).tell_apart(other)
    other.tell_apart(one)
    assert happened(one) == happened(other) == []


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        (lambda: artifact("parser"), SameArtifact),
        (retired, RetiredArtifact),
        (merged, MergedArtifact),
    ],
)
def test_only_two_active_artifacts_are_told_apart(
    other: Callable[[], Artifact], refusal: type[Refusal]
) -> None:
    parser = given(artifact("parser"))
    with pytest.raises(refusal):
        parser.tell_apart(other())
    assert happened(parser) == []


def test_who_told_two_apart_may_merge_them_later() -> None:
    one, other = artifact("one"), artifact("other")
    one.tell_apart(other)
    one.merge(other)
    assert one.into == other.id


@pytest.mark.parametrize("into", [lambda: artifact("parser"), retired, merged])
def test_nothing_is_merged_into_itself_or_into_what_is_not_active(
    into: Callable[[], Artifact],
) -> None:
    parser = given(artifact("parser"))
    with pytest.raises(BadMergeTarget):
        parser.merge(into())
    assert happened(parser) == []


@pytest.mark.parametrize("state", [artifact, retired])
def test_only_a_merged_artifact_is_unmerged(state: Callable[[], Artifact]) -> None:
    one = given(state())
    with pytest.raises(NotMerged):
        one.unmerge(artifact("other"))
    assert happened(one) == []


CHANGES: dict[str, Callable[[Artifact], None]] = {
    "describe": lambda one: one.describe(Facts(name="n"), provenance()),
    "retire": lambda one: one.retire("again"),
    "merge": lambda one: one.merge(artifact("other")),
    "tell_apart": lambda one: one.tell_apart(artifact("other")),
    "add_capability": lambda one: one.add_capability(capability()),
    "revise_capability": lambda one: one.revise_capability(capability()),
    "claim_capability": lambda one: one.claim_capability(capability()),
    "retire_capability": lambda one: one.retire_capability("parse-tables"),
    "observe_price": lambda one: one.observe_price(price()),
    "withdraw_price": lambda one: one.withdraw_price(price().line, day(1)),
    "observe_signal": lambda one: one.observe_signal(signal()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_retired_artifact_takes_nothing_in(change: str) -> None:
    one = retired()
    with pytest.raises(RetiredArtifact):
        CHANGES[change](one)
    assert happened(one) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_merged_artifact_takes_nothing_in(change: str) -> None:
    one = merged()
    with pytest.raises(MergedArtifact):
        CHANGES[change](one)
    assert happened(one) == []


# Capabilities


def test_a_capability_is_added_once() -> None:
    parser = given(artifact())
    parser.add_capability(capability(name=" Tables "))
    assert happened(parser) == [
        fact(Artifact.CapabilityAdded, capability=capability(name="Tables"))
    ]
    given(parser)
    with pytest.raises(CapabilityExists):
        parser.add_capability(capability(name="Other"))
    assert happened(parser) == []


def test_a_retired_capability_is_not_added_again_but_revised() -> None:
    parser = artifact()
    parser.add_capability(capability())
    given(parser).retire_capability("parse-tables")
    assert happened(parser) == [fact(Artifact.CapabilityRetired, key="parse-tables")]
    assert given(parser).capabilities == {}
    with pytest.raises(CapabilityExists):
        parser.add_capability(capability())
    parser.revise_capability(capability())
    assert happened(parser) == [fact(Artifact.CapabilityRevised, capability=capability())]
    assert list(parser.capabilities) == ["parse-tables"]


def test_a_revision_that_says_the_same_is_no_event() -> None:
    parser = artifact()
    parser.add_capability(capability())
    given(parser).revise_capability(capability(provenance=provenance(on=1)))
    assert happened(parser) == []
    parser.revise_capability(capability(description="Reads forms."))
    assert happened(parser) == [
        fact(Artifact.CapabilityRevised, capability=capability(description="Reads forms."))
    ]


def test_the_same_revision_with_more_weight_is_an_event() -> None:
    parser = artifact()
    parser.add_capability(capability(provenance=provenance(Method.INFERRED)))
    given(parser).revise_capability(capability())
    assert happened(parser) == [fact(Artifact.CapabilityRevised, capability=capability())]


@pytest.mark.parametrize("retire_first", [True, False])
def test_an_unknown_capability_is_neither_revised_nor_retired(retire_first: bool) -> None:
    parser = artifact()
    if retire_first:
        parser.add_capability(capability("other"))
        parser.retire_capability("other")
    given(parser)
    with pytest.raises(UnknownCapability):
        parser.revise_capability(capability())
    with pytest.raises(UnknownCapability):
        parser.retire_capability("parse-tables")
    with pytest.raises(UnknownCapability):
        parser.retire_capability("other")
    assert happened(parser) == []


@pytest.mark.parametrize("known", Method)
@pytest.mark.parametrize("claimed", Method)
def test_a_claim_replaces_only_one_that_is_not_stronger(known: Method, claimed: Method) -> None:
    parser = artifact()
    parser.add_capability(capability(provenance=provenance(known)))
    given(parser).claim_capability(capability(name="New", provenance=provenance(claimed)))
    assert bool(happened(parser)) == (claimed.strength >= known.strength)


def test_a_claim_to_something_new_adds_it() -> None:
    parser = given(artifact())
    parser.claim_capability(capability(provenance=provenance(Method.INFERRED)))
    assert [event for event, _ in happened(parser)] == [Artifact.CapabilityAdded]


@pytest.mark.parametrize("claimed", Method)
def test_no_claim_brings_back_what_a_curator_retired(claimed: Method) -> None:
    parser = artifact()
    parser.add_capability(capability())
    parser.retire_capability("parse-tables")
    given(parser).claim_capability(capability(provenance=provenance(claimed)))
    assert happened(parser) == []


# Prices


def test_a_price_is_observed_and_seen_again_at_another_moment() -> None:
    parser = given(artifact())
    parser.observe_price(price("10.00"))
    parser.observe_price(price("10"))
    parser.observe_price(price("10", on=1))
    assert happened(parser) == [
        fact(Artifact.PriceObserved, price=price("10")),
        fact(Artifact.PriceObserved, price=price("10", on=1)),
    ]
    assert parser.prices == {price().line: price("10", on=1)}


def test_an_older_price_is_refused_and_leaves_no_trace() -> None:
    parser = artifact()
    parser.observe_price(price("10", on=2))
    given(parser)
    with pytest.raises(StaleObservation):
        parser.observe_price(price("9", on=1))
    assert happened(parser) == []


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "bolt"},
        {"per": Unit.OUTPUT_TOKEN},
        {"tier": "batch"},
        {"source": "elsewhere"},
    ],
)
def test_an_older_price_of_another_line_is_taken(other: dict[str, Any]) -> None:
    parser = artifact()
    parser.observe_price(price("10", on=2))
    given(parser).observe_price(price("9", on=1, **other))
    assert happened(parser) == [fact(Artifact.PriceObserved, price=price("9", on=1, **other))]
    assert len(parser.prices) == 2


def test_a_withdrawn_price_comes_back_only_with_news() -> None:
    parser = artifact()
    parser.observe_price(price())
    given(parser).withdraw_price(price().line, day(2))
    assert happened(parser) == [
        fact(Artifact.PriceWithdrawn, line=price().line, observed_at=day(2))
    ]
    assert given(parser).prices == {}
    with pytest.raises(StaleObservation):
        parser.observe_price(price(on=1))
    with pytest.raises(UnknownPrice):
        parser.withdraw_price(price().line, day(3))
    assert happened(parser) == []
    parser.observe_price(price(on=3))
    assert happened(parser) == [fact(Artifact.PriceObserved, price=price(on=3))]


@pytest.mark.parametrize(
    ("line", "on", "reason"),
    [
        (price().line, 0, StaleObservation),
        (PriceLine("acme", None, None, "https://acme.example/prices"), 2, UnknownPrice),
        (PriceLine("a\ud800", Unit.IMAGE, None, "s"), 2, UnknownPrice),
        (price().line, 365 * 100, FutureObservation),
        (price().line, -365 * 150, BadText),
    ],
)
def test_a_withdrawal_needs_a_price_and_a_later_moment(
    line: PriceLine, on: int, reason: type[Refusal]
) -> None:
    parser = artifact()
    parser.observe_price(price(on=1))
    given(parser)
    with pytest.raises(reason):
        parser.withdraw_price(line, day(on))
    assert happened(parser) == []


def test_absent_unknown_free_and_zero_are_four_facts() -> None:
    parser = given(artifact())
    assert parser.prices == {}
    bare: dict[str, Any] = {"amount": None, "currency": None, "per": None}
    parser.observe_price(price(pricing=Pricing.UNKNOWN, provider="a", **bare))
    parser.observe_price(price(pricing=Pricing.FREE, provider="b", **bare))
    parser.observe_price(price("0", provider="c"))
    kept = [(said["price"].pricing, said["price"].amount) for _, said in happened(parser)]
    assert kept == [(Pricing.UNKNOWN, None), (Pricing.FREE, None), (Pricing.PAID, 0)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"amount": price("-1").amount}, PriceSentinel),
        ({"amount": None}, PriceContradiction),
        ({"observed_at": datetime(2026, 1, 1)}, BadText),
        ({"observed_at": datetime.now(UTC) + TOMORROW}, FutureObservation),
    ],
)
def test_a_price_that_is_none_leaves_no_trace(said: dict[str, Any], reason: type[Refusal]) -> None:
    parser = given(artifact())
    with pytest.raises(reason):
        parser.observe_price(price(**said))
    assert happened(parser) == []


# Signals


def test_a_signal_is_observed_once_per_moment_and_source() -> None:
    parser = given(artifact())
    parser.observe_signal(signal("7"))
    parser.observe_signal(signal("7.0"))
    parser.observe_signal(signal("6", source="npm"))
    parser.observe_signal(signal("8", on=1))
    assert happened(parser) == [
        fact(Artifact.SignalObserved, signal=signal("7")),
        fact(Artifact.SignalObserved, signal=signal("6", source="npm")),
        fact(Artifact.SignalObserved, signal=signal("8", on=1)),
    ]


def test_an_older_signal_of_the_same_source_is_refused() -> None:
    parser = artifact()
    parser.observe_signal(signal("7", on=2))
    given(parser)
    with pytest.raises(StaleObservation):
        parser.observe_signal(signal("9", on=1))
    assert happened(parser) == []
    parser.observe_signal(signal("9", on=1, name=SignalName.DEPENDENTS))
    assert len(happened(parser)) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"value": signal("-1").value}, BadNumber),
        ({"source": ""}, BadText),
        ({"observed_at": datetime.now(UTC) + TOMORROW}, FutureObservation),
    ],
)
def test_a_number_that_means_nothing_leaves_no_trace(
    said: dict[str, Any], reason: type[Refusal]
) -> None:
    parser = given(artifact())
    with pytest.raises(reason):
        parser.observe_signal(signal(**said))
    assert happened(parser) == []


# What is older


def test_an_older_word_of_the_same_source_replaces_nothing() -> None:
    parser = given(artifact())
    parser.describe(Facts(vendor="New"), provenance(on=2))
    parser = given(parser)
    with pytest.raises(StaleObservation):
        parser.describe(Facts(vendor="Old"), provenance(on=1))
    parser.describe(Facts(vendor="New"), provenance(on=1))
    assert happened(parser) == []


@pytest.mark.parametrize("homepage", ["javascript:alert(1)", "not a url", "https://", "ftp://a"])
def test_a_homepage_is_an_address_on_the_web(homepage: str) -> None:
    with pytest.raises(BadText):
        given(artifact()).describe(Facts(homepage=homepage), provenance())
