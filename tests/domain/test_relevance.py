"""Who comes before whom: words and meaning decide, what is known besides never by more than its
bound, and now and then somebody is seen who hardly was."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain.relevance import (
    EXPLORED_PLACES,
    EXPLORED_SHARE,
    LEAST_ALIKE,
    LEAST_EXPLORED,
    MILLION,
    MOST_LEARNED,
    MOST_RANK,
    Candidate,
    Document,
    ReasonKind,
    Scored,
    by_rank,
    explored,
    scored,
)

POSSIBLE = 10.0
PAGE = 10


def candidate(
    number: int, *, words: float = 0.0, alike: float | None = None, **known: object
) -> Candidate:
    """One with a capability that matches so well."""
    documents = (Document(""), Document("k", words=words, alike=alike))
    return Candidate(UUID(int=number), documents, covered=words, **known)  # type: ignore[arg-type]


def ids(found: list[Scored]) -> list[int]:
    return [one.candidate.artifact_id.int for one in found]


def test_who_fits_better_by_words_and_by_meaning_comes_first() -> None:
    found = scored(
        [
            candidate(1, words=5.0, alike=0.5),
            candidate(2, words=9.0, alike=0.9),
            candidate(3, words=9.0, alike=0.5),
            candidate(4, words=5.0, alike=0.9),
        ],
        POSSIBLE,
    )
    assert (ids(found)[0], ids(found)[-1]) == (2, 1)
    assert found[0].shares.keys() == {ReasonKind.WORDS, ReasonKind.MEANING}


def test_whoever_has_to_do_with_neither_the_words_nor_the_meaning_is_no_result() -> None:
    assert scored([], POSSIBLE) == []
    assert scored([], 0.0) == []
    nobody = [
        candidate(1, words=0.01, alike=LEAST_ALIKE - 0.01),
        candidate(2, alike=-1.0),
        candidate(3, rank=1.0, learned=1.0, same_kind=True),
    ]
    assert scored(nobody, POSSIBLE) == []
    for somebody in (
        candidate(4, words=2 * POSSIBLE),
        candidate(4, alike=LEAST_ALIKE + 0.01),
        candidate(4, named=True),
    ):
        assert ids(scored([*nobody, somebody], POSSIBLE)) == [4]


def test_of_two_that_fit_as_well_the_one_with_the_name_that_was_written_comes_first() -> None:
    known = candidate(1, words=10.0, alike=0.9, rank=1.0, learned=1.0)
    first, second = scored([known, candidate(2, words=10.0, alike=0.9, named=True)], POSSIBLE)
    assert first.candidate.named
    assert ReasonKind.NAME in first.shares
    assert ReasonKind.NAME not in second.shares


def test_without_any_vector_words_alone_decide_and_the_other_way_round() -> None:
    by_words = scored([candidate(1, words=4.0), candidate(2, words=8.0)], POSSIBLE)
    assert ids(by_words) == [2, 1]
    by_meaning = scored([candidate(1, alike=0.5), candidate(2, alike=0.9)], 0.0)
    assert ids(by_meaning) == [2, 1]


def test_the_capability_that_matches_best_is_named() -> None:
    documents = (
        Document("", words=9.0, alike=0.9),
        Document("b", words=2.0, alike=0.8),
        Document("a", words=1.0, alike=0.4),
    )
    (one,) = scored([Candidate(UUID(int=1), documents, covered=9.0)], POSSIBLE)
    assert one.capability == "b"
    (one,) = scored([Candidate(UUID(int=1), documents[:1], covered=9.0)], POSSIBLE)
    assert one.capability is None


def test_conditions_alone_are_placed_by_rank() -> None:
    one = by_rank(UUID(int=1), 0.5)
    assert (one.score, one.capability, sum(one.shares.values())) == (500_000, None, 500_000)


# Whoever they are

_share = st.floats(0, 1)
_document = st.builds(
    Document,
    key=st.sampled_from(["", "a", "b"]),
    words=st.floats(0, 12),
    alike=st.none() | st.floats(-1, 1),
    against=st.floats(0, 1),
)


@st.composite
def _candidates(draw: st.DrawFn, *, least: int = 0) -> list[Candidate]:
    found = []
    for number in range(draw(st.integers(least, 8))):
        documents = draw(st.lists(_document, min_size=1, max_size=3, unique_by=lambda one: one.key))
        most = max(one.words for one in documents)
        found.append(
            Candidate(
                UUID(int=number + 1),
                tuple(documents),
                covered=draw(st.floats(most, most + 3)),
                rank=draw(_share),
                learned=draw(_share),
                exposure=draw(st.floats(0, 100)),
                named=draw(st.booleans()),
                same_kind=draw(st.booleans()),
            )
        )
    return found


_possible = st.floats(0, 15)


@for_all(_candidates(), _possible)
def test_shares_add_up_to_the_score_exactly(candidates: list[Candidate], possible: float) -> None:
    for one in scored(candidates, possible):
        assert sum(one.shares.values()) == one.score
        assert all(share >= 0 for share in one.shares.values())
        assert one.capability in {None, *(d.key for d in one.candidate.documents if d.key)}


@for_all(_candidates(), _possible, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_they_came_in(
    candidates: list[Candidate], possible: float, random: object
) -> None:
    found = scored(candidates, possible)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert scored(shuffled, possible) == found
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(set(ids(found))) == len(found)


def _known(one: Candidate, **known: float) -> Candidate:
    return replace(one, **known)  # type: ignore[arg-type]


@for_all(
    _candidates(least=2),
    _possible,
    st.lists(st.tuples(_share, _share), min_size=8, max_size=8),
)
def test_what_is_known_besides_lifts_nobody_over_whoever_is_better_by_more_than_its_bound(
    candidates: list[Candidate], possible: float, known: list[tuple[float, float]]
) -> None:
    plain = {
        one.candidate.artifact_id: one.score
        for one in scored([_known(one, learned=0.0, rank=0.0) for one in candidates], possible)
    }
    for learned_counts, rank_counts in ((True, True), (True, False), (False, True)):
        informed = [
            _known(
                one,
                learned=learned if learned_counts else 0.0,
                rank=rank if rank_counts else 0.0,
            )
            for one, (learned, rank) in zip(candidates, known, strict=False)
        ]
        bound = MILLION * (MOST_LEARNED * learned_counts + MOST_RANK * rank_counts)
        found = scored(informed, possible)
        assert {one.candidate.artifact_id for one in found} == plain.keys(), "it lets nobody in"
        for place, above in enumerate(found):
            for below in found[place + 1 :]:
                ahead = plain[below.candidate.artifact_id] - plain[above.candidate.artifact_id]
                # Each share is rounded by itself.
                assert ahead <= bound + 2


@for_all(_candidates(least=1), _possible, st.integers(0, 7), st.floats(0.01, 5))
def test_more_of_the_words_never_harms(
    candidates: list[Candidate], possible: float, which: int, more: float
) -> None:
    chosen = candidates[which % len(candidates)]
    better = replace(chosen, covered=chosen.covered + more)
    others = [one for one in candidates if one is not chosen]

    def place(one: Candidate) -> int:
        order = ids(scored([*others, one], possible))
        return order.index(one.artifact_id.int) if one.artifact_id.int in order else len(order)

    assert place(better) <= place(chosen)


# Exploration


def ranking(count: int, *, step: int = 1_000) -> list[Scored]:
    """So many results, each with its exposure: the last ones were seen least."""
    return [
        Scored(
            candidate(number, exposure=float(100 - number)),
            MILLION - step * number,
            "k",
            {ReasonKind.WORDS: MILLION - step * number},
        )
        for number in range(1, count + 1)
    ]


SEARCHES = [UUID(int=number) for number in range(4_000)]


def test_about_one_search_in_four_shows_somebody_who_was_hardly_seen() -> None:
    ranked = ranking(20)
    shown = [
        [one for one in explored(ranked, search, PAGE)[:PAGE] if one.explored]
        for search in SEARCHES
    ]
    assert {len(some) for some in shown} == {0, 1}
    share = sum(map(len, shown)) / len(SEARCHES)
    assert share == pytest.approx(EXPLORED_SHARE, abs=0.03)
    assert {one.candidate.artifact_id.int for some in shown for one in some} == {20}


def test_it_stands_in_the_middle_of_the_first_page() -> None:
    ranked = ranking(20)
    places = {
        place
        for search in SEARCHES
        for place, one in enumerate(explored(ranked, search, PAGE), start=1)
        if one.explored
    }
    assert places == set(EXPLORED_PLACES)
    assert not any(one.explored for search in SEARCHES for one in explored(ranked, search, 3)), (
        "on a short page it would stand out"
    )


def test_only_who_is_about_as_good_is_shown_so() -> None:
    far = [*ranking(PAGE), *(replace(one, score=1) for one in ranking(30)[PAGE:])]
    near = replace(far[-5], score=round(LEAST_EXPLORED * far[PAGE - 1].score) + 1)
    for search in SEARCHES[:200]:
        assert explored(far, search, PAGE) == far
        order = explored([*far[:-5], near, *far[-4:]], search, PAGE)
        assert {one.candidate for one in order if one.explored} <= {near.candidate}


def test_of_those_seen_as_little_each_has_its_turn() -> None:
    ranked = [replace(one, candidate=replace(one.candidate, exposure=0.0)) for one in ranking(14)]
    shown = {
        one.candidate.artifact_id.int
        for search in SEARCHES
        for one in explored(ranked, search, PAGE)
        if one.explored
    }
    assert shown == {11, 12, 13, 14}


@for_all(st.integers(0, 30), st.integers(1, 20), st.uuids(), st.integers(1, 60_000))
def test_everybody_is_there_once_and_the_others_keep_their_order(
    count: int, page: int, search: UUID, step: int
) -> None:
    ranked = ranking(count, step=min(step, 30_000))
    order = explored(ranked, search, page)
    assert order == explored(ranked, search, page), "the same search shows the same"
    assert sorted(ids(order)) == sorted(ids(ranked))
    lifted = {one.candidate.artifact_id for one in order if one.explored}
    assert len(lifted) <= 1
    rest = [one for one in order if not one.explored]
    assert rest == [one for one in ranked if one.candidate.artifact_id not in lifted]
    if count <= page:
        assert not lifted, "on one page everybody is seen"
    for one in order:
        assert sum(one.shares.values()) == one.score
