"""What a rank weighs, kind by kind, and who may change it how."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain import policy
from matchgraph.domain.artifact import Kind
from matchgraph.domain.errors import (
    BadNumber,
    KindTwice,
    Refusal,
    UnknownFormula,
    WeightsDoNotAddUp,
)
from matchgraph.domain.policy import DEFAULTS, LONGEST_HALF_LIFE, KindPolicy, Policy
from matchgraph.eventstore import codec
from tests.domain.given import fact, given, happened
from tests.eventstore.histories import stored_events

MODEL = DEFAULTS[Kind.MODEL]
CLI = DEFAULTS[Kind.CLI]
FASTER = replace(MODEL, half_life=90)


def weighing(*weights: str, kind: Kind = Kind.MODEL) -> KindPolicy:
    adoption, quality, ecosystem, match_graph, freshness = map(Decimal, weights)
    return replace(
        DEFAULTS[kind],
        adoption=adoption,
        quality=quality,
        ecosystem=ecosystem,
        match_graph=match_graph,
        freshness=freshness,
    )


def adopted(*kinds: KindPolicy, known: Policy | None = None) -> Policy:
    found = Policy.adopt(known, kinds)
    assert found is not None, "it is news"
    return found


# What is adopted


def test_the_first_policy_begins_it_and_the_defaults_hold_for_the_rest() -> None:
    made = adopted(FASTER)
    assert happened(made) == [fact(Policy.Adopted, kinds=(FASTER,))]
    assert (made.id, made.version) == (policy.ID, 1)
    assert made.kinds == {**DEFAULTS, Kind.MODEL: FASTER}


def test_a_second_policy_keeps_what_the_first_said_of_other_kinds() -> None:
    other = replace(CLI, half_life=30)
    made = given(adopted(FASTER))
    assert adopted(other, known=made) is made
    assert happened(made) == [fact(Policy.Adopted, kinds=(other,))]
    assert made.version == 2
    assert made.kinds == {**DEFAULTS, Kind.MODEL: FASTER, Kind.CLI: other}


def test_a_policy_that_says_what_is_in_force_is_no_event() -> None:
    assert Policy.adopt(None, [MODEL, CLI]) is None
    assert Policy.adopt(None, list(DEFAULTS.values())) is None
    made = given(adopted(FASTER))
    assert adopted(FASTER, CLI, known=made) is made
    assert happened(made) == []
    assert made.version == 1


def test_only_what_changes_becomes_part_of_the_event() -> None:
    assert happened(adopted(CLI, FASTER)) == [fact(Policy.Adopted, kinds=(FASTER,))]


def test_equal_weights_written_otherwise_are_no_news() -> None:
    assert Policy.adopt(None, [weighing("0.250000", "0.25", "0.1", "0.25", "0.15000")]) is None


def test_a_policy_for_no_kind_says_nothing() -> None:
    assert Policy.adopt(None, []) is None
    made = given(adopted(FASTER))
    assert Policy.adopt(made, []) is made
    assert happened(made) == []


def test_a_policy_can_go_back_to_the_default() -> None:
    made = given(adopted(FASTER))
    adopted(MODEL, known=made)
    assert happened(made) == [fact(Policy.Adopted, kinds=(MODEL,))]
    assert made.kinds == DEFAULTS


@pytest.mark.parametrize(
    "good",
    [
        weighing("1", "0", "0", "0", "0"),
        weighing("0.999996", "0.000001", "0.000001", "0.000001", "0.000001"),
        weighing("0.2000000000", "0.2", "0.2", "0.2", "0.2"),
        replace(MODEL, half_life=1),
        replace(MODEL, half_life=LONGEST_HALF_LIFE),
    ],
)
def test_weights_from_nothing_to_all_and_half_lives_to_a_century_are_taken(
    good: KindPolicy,
) -> None:
    assert adopted(good).kinds[Kind.MODEL] == good


# What is refused

UNSOUND = [
    (weighing("0.249999", "0.25", "0.10", "0.25", "0.15"), WeightsDoNotAddUp),  # 0.999999
    (weighing("0.250001", "0.25", "0.10", "0.25", "0.15"), WeightsDoNotAddUp),  # 1.000001
    (weighing("0", "0", "0", "0", "0"), WeightsDoNotAddUp),
    (weighing("1", "1", "1", "1", "1"), WeightsDoNotAddUp),
    (weighing("-0.25", "0.75", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("1.000001", "-0.000001", "0", "0", "0"), BadNumber),
    (weighing("NaN", "0.25", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("sNaN", "0.25", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("0.25", "0.25", "0.10", "0.25", "Infinity"), BadNumber),
    (weighing("-Infinity", "0.25", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("0.2500001", "0.2499999", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("1E-30", "0.5", "0.10", "0.25", "0.15"), BadNumber),
    (weighing("1E+999999", "0.25", "0.10", "0.25", "0.15"), BadNumber),
    (replace(MODEL, half_life=0), BadNumber),
    (replace(MODEL, half_life=-270), BadNumber),
    (replace(MODEL, half_life=LONGEST_HALF_LIFE + 1), BadNumber),
    (replace(MODEL, half_life=10**4000), BadNumber),
    (replace(MODEL, formula=0), UnknownFormula),
    (replace(MODEL, formula=2), UnknownFormula),
]


@pytest.mark.parametrize(("unsound", "reason"), UNSOUND)
def test_an_unsound_policy_is_refused_and_leaves_no_trace(
    unsound: KindPolicy, reason: type[Refusal]
) -> None:
    with pytest.raises(reason) as refused:
        Policy.adopt(None, [unsound])
    assert len(refused.value.message) < 300
    made = given(adopted(FASTER))
    before = vars(made).copy()
    # A sound one beside it does not get in, either.
    with pytest.raises(reason):
        Policy.adopt(made, [replace(CLI, half_life=30), unsound])
    assert happened(made) == []
    assert vars(made) == before


@pytest.mark.parametrize("second", [MODEL, FASTER])
def test_a_kind_named_twice_is_refused_and_leaves_no_trace(second: KindPolicy) -> None:
    made = given(adopted(FASTER))
    before = vars(made).copy()
    for known in (None, made):
        with pytest.raises(KindTwice) as refused:
            Policy.adopt(known, [MODEL, CLI, second])
        assert refused.value.kind == "model"
    assert happened(made) == []
    assert vars(made) == before


def test_a_sum_is_told_as_it_is() -> None:
    with pytest.raises(WeightsDoNotAddUp) as refused:
        Policy.adopt(None, [weighing("0.000001", "0", "0", "0", "0")])
    assert "0.000001" in refused.value.message


# What its history says

_kinds = st.builds(
    lambda kind, cuts, half_life: (
        weighing(
            *(
                str(Decimal(high - low) / 10**6)
                for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 10**6], strict=True)
            ),
            kind=kind,
        )
        if half_life is None
        else replace(DEFAULTS[kind], half_life=half_life)
    ),
    kind=st.sampled_from(Kind),
    cuts=st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    half_life=st.none() | st.integers(1, LONGEST_HALF_LIFE),
)


@for_all(st.lists(st.lists(_kinds, max_size=4, unique_by=lambda one: one.kind), max_size=6))
def test_a_policy_is_what_its_history_says(steps: list[list[KindPolicy]]) -> None:
    made: Policy | None = None
    said: dict[Kind, KindPolicy] = dict(DEFAULTS)
    for step in steps:
        made = Policy.adopt(made, step)
        said.update((one.kind, one) for one in step)
    if made is None:
        assert said == DEFAULTS
        return
    assert made.kinds == said
    again: Any = None
    for stored in stored_events(made):
        assert stored.originator_id == policy.ID
        again = codec.decode(
            stored.topic, policy.ID, stored.originator_version, stored.state
        ).mutate(again)
    assert vars(again) == vars(made)
    assert type(again) is Policy
    # Decimals come back with the digits they had.
    assert str(again.kinds) == str(made.kinds)
