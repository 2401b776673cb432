"""Which artifact is the better one, if that can be said: worked cases, and what holds for any."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.alignment import Likeness, Pair
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.comparison import Score
from matchgraph.domain.price import Price, Unit
from matchgraph.domain.ranking import MILLION
from matchgraph.domain.verdict import (
    Decision,
    Duel,
    Fact,
    FactName,
    Side,
    confidence,
    judge,
    purpose,
    wilson,
)
from tests.domain.test_alignment import IMAGE, TEXT, can
from tests.domain.test_pricing import FREE, UNKNOWN
from tests.eventstore.histories import price

WRITES = can("text-generation", "Text generation", input_types=(TEXT,), output_types=(TEXT,))
READS = can("reading", "Reading", input_types=(TEXT, IMAGE), output_types=(TEXT,))
PAINTS = can("painting", "Text-to-image generation", input_types=(TEXT,), output_types=(IMAGE,))
SAME = {(0, 1): (Pair(0, 0, 0.9, Likeness.SHARED),)}


def points(score: float, reach: float = 3, coverage: float = 0.8) -> Score:
    whole, half = round(score * MILLION), round(reach * MILLION)
    low, high = max(0, whole - half), min(100 * MILLION, whole + half)
    return Score(whole, low, high, round(coverage * MILLION), round(half / 1.2816))


def side(
    name: str, rank: Score | None, *prices: Price, kind: Kind = Kind.MODEL, **said: Any
) -> Side:
    return Side(
        name=name,
        kind=kind,
        facts=Facts(**said.pop("facts", {})),
        offered=said.pop("offered", True),
        rank=rank,
        prices=prices,
        capabilities=said.pop("capabilities", (WRITES,)),
    )


def fact(facts: tuple[Fact, ...], name: FactName) -> Fact:
    (found,) = (one for one in facts if one.name is name)
    return found


def test_a_large_gap_within_one_kind_has_a_clear_winner() -> None:
    found = judge([side("Ada", points(71.25)), side("Bob", points(40.14))], SAME)
    assert (found.outcome, found.winner) == (Decision.CLEAR_WINNER, 0)
    assert found.margin == 31_110_000
    assert found.confidence is not None
    assert found.confidence > 0.9
    assert [one.favours for one in found.facts[:2]] == [0, 0]
    assert found.sentence == (
        "Ada is the clear winner: of 100 points Ada 71.3 and Bob 40.1, 31.2 apart;"
        " the 80 % interval of Ada lies wholly above; no price of Ada and Bob is known."
    )


def test_one_point_with_overlapping_intervals_makes_no_winner() -> None:
    found = judge([side("Ada", points(51)), side("Bob", points(50))], SAME)
    assert (found.outcome, found.winner) == (Decision.NO_CLEAR_WINNER, None)
    assert found.margin == MILLION
    assert found.confidence == pytest.approx(0.619, abs=0.001)
    assert {one.favours for one in found.facts} == {None}


def test_the_confidence_is_at_least_nine_tenths_where_intervals_do_not_meet() -> None:
    assert confidence(points(56.1), points(50)) > 0.9
    assert confidence(points(50), points(50)) == 0.5
    assert confidence(points(50, 0), points(50, 0)) == 0.5
    assert confidence(points(50, 0), points(49, 0)) == 1.0


def test_what_makes_text_and_what_makes_pictures_do_not_compare() -> None:
    sides = [
        side("Sees", points(80), capabilities=(READS,)),
        side("Paints", points(20), capabilities=(PAINTS,)),
    ]
    found = judge(sides, {(0, 1): ()})
    assert (found.outcome, found.winner, found.margin) == (Decision.NOT_COMPARABLE, None, None)
    assert [one.name for one in found.facts] == [FactName.PURPOSE] * 2
    assert found.sentence == (
        "Sees and Paints do not compare: Sees is a model for reading;"
        " Paints is a model for text-to-image generation."
    )


def test_facts_alone_tell_that_outputs_differ() -> None:
    sides = [
        side("Sees", points(80), capabilities=(), facts={"output_types": (TEXT,)}),
        side("Paints", points(20), capabilities=(), facts={"output_types": (IMAGE,)}),
    ]
    found = judge(sides, {})
    assert found.outcome is Decision.NOT_COMPARABLE
    assert "Sees is a model that puts out text" in found.sentence


def test_kinds_compare_where_some_capability_is_alike() -> None:
    sides = [side("Ada", points(80), kind=Kind.CLI), side("Bob", points(20), kind=Kind.APP)]
    assert judge(sides, {(0, 1): ()}).outcome is Decision.NOT_COMPARABLE
    near = {(0, 1): (Pair(0, 0, 0.5, Likeness.SIMILAR),)}
    found = judge(sides, near)
    assert found.outcome is Decision.CLEAR_WINNER
    assert "each among its own kind" in found.sentence
    same_kind = [side("Ada", points(80)), side("Bob", points(20))]
    assert judge(same_kind, {}).outcome is Decision.CLEAR_WINNER


def test_nothing_known_of_either_is_not_enough() -> None:
    unknown = points(24, 11, coverage=0.0)
    found = judge([side("Ada", unknown, capabilities=()), side("Bob", None, capabilities=())], {})
    assert (found.outcome, found.winner) == (Decision.INSUFFICIENT_EVIDENCE, None)
    assert (found.margin, found.confidence) == (None, None)
    assert [(one.name, one.favours) for one in found.facts] == [
        (FactName.RANK, None),
        (FactName.FREE_TIER, None),
    ]
    assert found.facts[0].values == ("0 % known", None)
    assert found.facts[1].values == (None, None)
    assert found.sentence == (
        "There is not enough evidence to choose: less than 10 % of what makes a rank is known of"
        " Ada and Bob; no price of Ada and Bob is known."
    )


def test_too_little_known_of_one_is_not_enough_however_far_apart() -> None:
    found = judge([side("Ada", points(90)), side("Bob", points(10, coverage=0.099))], SAME)
    assert found.outcome is Decision.INSUFFICIENT_EVIDENCE
    assert "known of Bob" in found.sentence


def test_a_retired_artifact_never_wins() -> None:
    gone, here = side("Ada", points(90), offered=False), side("Bob", points(40))
    found = judge([gone, here], SAME)
    assert (found.outcome, found.winner) == (Decision.NO_CLEAR_WINNER, None)
    assert found.facts[0] == Fact(FactName.STATUS, ("retired", "active"), "Ada is retired", 1)
    assert found.sentence.startswith("There is no clear winner: Ada is retired;")
    lesser = judge([replace(gone, rank=points(10)), here], SAME)
    assert (lesser.outcome, lesser.winner) == (Decision.CLEAR_WINNER, 1)
    assert "Ada is retired" in lesser.sentence
    both = judge([gone, replace(here, offered=False)], SAME)
    assert both.winner is None
    assert both.facts[0].favours is None


def test_an_unknown_price_is_said_to_be_unknown_and_nothing_else() -> None:
    found = judge([side("Ada", points(51), FREE), side("Bob", points(50), UNKNOWN)], SAME)
    free = fact(found.facts, FactName.FREE_TIER)
    assert free.values == ("free", "unknown")
    assert free.favours is None
    assert free.sentence == "Ada can be had for free, and no price of Bob is known"
    paid = judge([side("Ada", points(51), price("1")), side("Bob", points(50))], SAME)
    free = fact(paid.facts, FactName.FREE_TIER)
    assert (free.values, free.favours) == (("paid", None), None)
    assert free.sentence == "no price of Bob is known"
    assert FactName.PRICE not in [one.name for one in paid.facts]


def test_what_can_be_had_for_free_favours_whoever_offers_it_alone() -> None:
    found = judge([side("Ada", points(51), price("1")), side("Bob", points(50), FREE)], SAME)
    free = fact(found.facts, FactName.FREE_TIER)
    assert (free.favours, free.sentence) == (
        1,
        "Bob can be had for free, nobody is known to offer Ada so",
    )


def test_prices_are_compared_for_the_same_unit_from_the_cheapest_provider() -> None:
    ada = [
        price("0.000002"),
        price("0.000004", per=Unit.OUTPUT_TOKEN),
        price("0.000001", provider="b"),
        price("0.000003", provider="b", per=Unit.OUTPUT_TOKEN),
    ]
    bob = [
        price("0.000003"),
        price("0.000003", per=Unit.OUTPUT_TOKEN),
        price("0.04", per=Unit.IMAGE),
    ]
    found = judge([side("Ada", points(51), *ada), side("Bob", points(50), *bob)], SAME)
    asked = fact(found.facts, FactName.PRICE)
    assert asked.values == (
        "USD 1 per 1M input tokens and USD 3 per 1M output tokens from b, seen 2026-01-01",
        "USD 3 per 1M input tokens and USD 3 per 1M output tokens from acme, seen 2026-01-01",
    )
    assert asked.favours == 0
    assert asked.sentence == (
        "input tokens cost 3 times as much with Bob as with Ada and output tokens cost the same"
    )


def test_a_shared_capability_is_won_by_whoever_takes_in_more() -> None:
    wide, narrow = READS, replace(READS, input_types=(TEXT,))
    sides = [
        side("Ada", points(50), capabilities=(narrow,)),
        side("Bob", points(50), capabilities=(wide,)),
    ]
    won = fact(judge(sides, SAME).facts, FactName.CAPABILITIES)
    assert (won.favours, won.values) == (1, ("0 of 1", "1 of 1"))
    assert won.sentence == "of 1 shared capability Bob goes further in 1"
    longer = [
        side("Ada", points(50), facts={"context_tokens": 200_000}),
        side("Bob", points(50), facts={"context_tokens": 100_000}),
    ]
    assert fact(judge(longer, SAME).facts, FactName.CAPABILITIES).favours == 0
    same = judge([side("Ada", points(50)), side("Bob", points(50))], SAME)
    assert FactName.CAPABILITIES not in [one.name for one in same.facts]


def test_head_to_head_is_evidence_only_where_something_was_decided() -> None:
    sides = [side("Ada", points(51)), side("Bob", points(50))]
    none = judge(sides, SAME, [Duel(0, 1, 0, 0)])
    assert FactName.HEAD_TO_HEAD not in [one.name for one in none.facts]
    found = fact(judge(sides, SAME, [Duel(0, 1, 63, 37)]).facts, FactName.HEAD_TO_HEAD)
    assert found.values == ("63% (57% to 69%) of 100", "37% (31% to 43%) of 100")
    assert found.favours == 0
    even = fact(judge(sides, SAME, [Duel(0, 1, 1, 0)]).facts, FactName.HEAD_TO_HEAD)
    assert even.favours is None


def test_who_is_beaten_head_to_head_is_no_clear_winner() -> None:
    sides = [side("Ada", points(80)), side("Bob", points(20))]
    assert judge(sides, SAME, [Duel(0, 1, 10, 90)]).outcome is Decision.NO_CLEAR_WINNER
    assert judge(sides, SAME, [Duel(0, 1, 90, 10)]).winner == 0


@pytest.mark.parametrize(
    ("better", "decided", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 5, 0.0, 0.247), (5, 10, 0.313, 0.687), (63, 100, 0.567, 0.689)],
)
def test_an_interval_of_a_share(better: int, decided: int, low: float, high: float) -> None:
    assert list(wilson(better, decided)) == pytest.approx([low, high], abs=0.001)


def test_a_purpose_reads_as_a_person_would_say_it() -> None:
    assert purpose(side("x", None, kind=Kind.AGENT)) == "is an agent for text generation"
    named = replace(WRITES, name="JSON output")
    assert purpose(side("x", None, capabilities=(named,))) == "is a model for JSON output"
    assert purpose(side("x", None, capabilities=(), kind=Kind.MCP)) == "is an mcp"


scores = st.builds(
    points, st.integers(0, 100), st.sampled_from([1, 5, 20]), st.sampled_from([0.0, 0.5, 0.9])
)
asked = st.lists(
    st.sampled_from([FREE, UNKNOWN, price("1"), price("2"), price("3", per=Unit.IMAGE)]), max_size=2
)


@st.composite
def drawn_sides(draw: st.DrawFn) -> list[Side]:
    return [
        side(
            name,
            draw(st.none() | scores),
            *draw(asked),
            kind=draw(st.sampled_from([Kind.MODEL, Kind.CLI])),
            offered=draw(st.booleans()),
            capabilities=draw(st.sampled_from([(), (WRITES,), (READS,), (PAINTS,)])),
            facts={"context_tokens": draw(st.sampled_from([None, 10, 20]))},
        )
        for name in ("Ada", "Bob")
    ]


duels = st.tuples(st.integers(0, 50), st.integers(0, 50))


@given(drawn_sides(), st.booleans(), duels)
def test_turned_around_it_says_the_same_of_the_same(
    sides: list[Side], alike: bool, fared: tuple[int, int]
) -> None:
    alike = alike and all(one.capabilities for one in sides)
    pairs = SAME if alike else {(0, 1): ()}
    there = judge(sides, pairs, [Duel(0, 1, *fared)])
    back = judge(sides[::-1], pairs, [Duel(0, 1, *fared[::-1])])
    assert there.outcome is back.outcome
    assert there.margin == back.margin
    assert back.winner == (None if there.winner is None else 1 - there.winner)
    if sides[0].rank and sides[1].rank and sides[0].rank.score != sides[1].rank.score:
        assert there.confidence == back.confidence
    named = [(one.name, one.favours) for one in there.facts if one.name is not FactName.PURPOSE]
    assert named == [
        (one.name, None if one.favours is None else 1 - one.favours)
        for one in back.facts
        if one.name is not FactName.PURPOSE
    ]


@given(drawn_sides(), duels)
def test_a_sentence_holds_only_its_facts_and_a_winner_has_one_for_it(
    sides: list[Side], fared: tuple[int, int]
) -> None:
    pairs = SAME if all(one.capabilities for one in sides) else {(0, 1): ()}
    found = judge(sides, pairs, [Duel(0, 1, *fared)])
    assert found.facts
    lead, _, told = found.sentence.removesuffix(".").partition(": ")
    assert told == "; ".join(one.sentence for one in found.facts[: len(re.findall("; ", told)) + 1])
    assert all(len(one.values) == 2 for one in found.facts)
    if found.outcome is Decision.CLEAR_WINNER:
        assert found.winner is not None
        assert sides[found.winner].offered
        assert sides[found.winner].name in lead
        assert found.winner in [one.favours for one in found.facts]
        assert found.confidence is not None
        assert found.confidence >= 0.9
    else:
        assert found.winner is None
    priced = [one for one in found.facts if one.name is FactName.FREE_TIER]
    for one in priced:
        for place, value in enumerate(one.values):
            known = any(asks is not UNKNOWN for asks in sides[place].prices)
            assert known == (value not in (None, "unknown"))
