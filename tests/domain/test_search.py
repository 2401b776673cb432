"""Searches: what was served, once each, and what became of it, further and further."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain.artifact import id_of
from matchgraph.domain.search import (
    MOST_CHOSEN,
    UTILITY,
    Discard,
    Discarded,
    DiscardedReport,
    Outcome,
    Search,
    Served,
    is_choice,
)
from tests.domain.given import fact, given, happened
from tests.eventstore.histories import INTENTS, sealed, served

ID = UUID(int=1)
WORDS, CLUSTER = sealed(), INTENTS[0].cluster
PARSER = id_of("parser")
LADDER = (Outcome.DISMISSED, Outcome.CLICKED, Outcome.CHOSEN)


def search(*slugs: str) -> Search:
    return Search.answer(ID, WORDS, CLUSTER, "ann", served(slugs or ("parser", "other"), ["k"]))


def reported(outcome: Outcome, before: Outcome | None = None) -> tuple[type, dict[str, object]]:
    (one,) = served(["parser"], ["k"])
    return fact(
        Search.OutcomeReported,
        cluster=CLUSTER,
        searcher="ann",
        served=one,
        outcome=outcome,
        before=before,
    )


def discarded(search: Search, slug: str, outcome: Outcome) -> Discard:
    before = dict(search.outcomes)
    with pytest.raises(Discarded) as found:
        search.report(id_of(slug), outcome)
    assert happened(search) == []
    assert search.outcomes == before
    return found.value.reason


def test_a_search_carries_what_was_served_and_has_the_id_that_it_was_given() -> None:
    made = search()
    page = served(["parser", "other"], ["k"])
    assert made.id == ID
    assert happened(made) == [
        fact(
            Search.Answered,
            words=WORDS,
            cluster=CLUSTER,
            searcher="ann",
            served=page,
            in_plain=None,
        )
    ]
    assert list(made.served.values()) == list(page)


def test_a_search_that_found_nothing_is_one() -> None:
    made = Search.answer(ID, WORDS, CLUSTER, "ann", ())
    assert [said["served"] for _, said in happened(made)] == [()]


def test_what_is_served_twice_stands_where_it_was_first() -> None:
    made = Search.answer(ID, WORDS, CLUSTER, "ann", served(["a", "b", "a"]))
    assert [(one.artifact_id, one.position) for one in made.served.values()] == [
        (id_of("a"), 1),
        (id_of("b"), 2),
    ]


def test_a_later_page_goes_on_and_repeats_nothing() -> None:
    made = given(search("a", "b"))
    made.continue_(served(["b", "c", "d"], first=3))
    _, c, d = served(["b", "c", "d"], first=3)
    assert happened(made) == [
        fact(Search.Continued, searcher="ann", cluster=CLUSTER, served=(c, d))
    ]
    given(made).continue_(served(["a", "c"], first=7))
    assert happened(made) == []
    assert made.served[id_of("c")].position == 4


@pytest.mark.parametrize("outcome", Outcome)
def test_any_outcome_can_be_the_first(outcome: Outcome) -> None:
    made = given(search())
    made.report(PARSER, outcome)
    assert happened(made) == [reported(outcome)]


@pytest.mark.parametrize("end", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_outcomes_lead_from_one_to_the_next(end: Outcome) -> None:
    made = given(search())
    for outcome in (*LADDER, end):
        made.report(PARSER, outcome)
    steps = (None, *LADDER, end)
    assert happened(made) == [
        reported(outcome, before) for before, outcome in pairwise(steps) if outcome is not None
    ]


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        *((one, one) for one in Outcome),
        (Outcome.CLICKED, Outcome.DISMISSED),
        (Outcome.CHOSEN, Outcome.CLICKED),
        (Outcome.SUCCEEDED, Outcome.FAILED),
        (Outcome.FAILED, Outcome.SUCCEEDED),
        (Outcome.FAILED, Outcome.CHOSEN),
        (Outcome.SUCCEEDED, Outcome.DISMISSED),
    ],
)
def test_an_outcome_that_leads_no_further_is_a_duplicate(known: Outcome, outcome: Outcome) -> None:
    made = search()
    made.report(PARSER, known)
    assert discarded(given(made), "parser", outcome) is Discard.DUPLICATE


def test_only_what_was_served_has_an_outcome() -> None:
    assert discarded(given(search()), "stranger", Outcome.CLICKED) is Discard.UNKNOWN_SEARCH


def test_more_than_a_few_choices_in_one_search_do_not_count() -> None:
    slugs = [f"s{number}" for number in range(MOST_CHOSEN + 1)]
    made = search(*slugs)
    for slug in slugs[:-1]:
        made.report(id_of(slug), Outcome.CHOSEN)
    last = slugs[-1]
    given(made).report(id_of(last), Outcome.CLICKED)
    assert [said["outcome"] for _, said in happened(made)] == [Outcome.CLICKED]
    assert discarded(given(made), last, Outcome.CHOSEN) is Discard.OVER_CAP
    assert discarded(made, last, Outcome.FAILED) is Discard.OVER_CAP
    made.report(id_of(slugs[0]), Outcome.SUCCEEDED)
    assert [said["outcome"] for _, said in happened(made)] == [Outcome.SUCCEEDED]


@for_all(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(Outcome)), max_size=20))
def test_whatever_is_reported_a_result_never_goes_back(reports: list[tuple[str, Outcome]]) -> None:
    made = given(search(*"abcd"))
    last: dict[object, Outcome] = {}
    for slug, outcome in reports:
        try:
            made.report(id_of(slug), outcome)
        except Discarded:
            continue
        last[id_of(slug)] = outcome
    assert made.outcomes == last
    assert sum(map(is_choice, last.values())) == made.chosen <= MOST_CHOSEN


def test_to_be_served_is_better_the_further_it_went() -> None:
    ordered = sorted(UTILITY, key=UTILITY.__getitem__)
    assert ordered == [
        Outcome.DISMISSED,
        Outcome.FAILED,
        Outcome.CLICKED,
        Outcome.CHOSEN,
        Outcome.SUCCEEDED,
    ]
    assert (min(UTILITY.values()), max(UTILITY.values())) == (0.0, 1.0)


def test_a_discarded_report_is_one_event() -> None:
    made = DiscardedReport.of(ID, Discard.FORGED, "bob", Outcome.CHOSEN, "0123")
    assert made.id == ID
    assert happened(made) == [
        fact(
            DiscardedReport.Recorded,
            reason=Discard.FORGED,
            searcher="bob",
            outcome=Outcome.CHOSEN,
            report="0123",
            search_id=None,
            artifact_id=None,
        )
    ]


def test_a_result_says_by_what_it_matched_or_that_it_did_as_a_whole() -> None:
    whole = Served(artifact_id=PARSER, position=1, score=5)
    assert (whole.capability, whole.explored) == (None, False)
