"""What searchers made of an artifact, and how much each one's word counts."""

from collections.abc import Sequence
from datetime import date, timedelta
from math import log
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.matching import (
    FREE,
    NEVER_SERVED,
    NOISE,
    SHRUNK,
    TOLERATED,
    Cell,
    Count,
    decay,
    gained,
    share,
    theta,
    within,
)
from matchgraph.domain.search import Outcome
from tests.domain.weighing import Said, Weight, weigh

DAY = date(2026, 3, 1)
RATE = 0.1
_days = st.dates(date(2020, 1, 1), date(2030, 1, 1))


def thing(number: int) -> UUID:
    return UUID(int=number)


def said(searcher: str, number: int, exposure: float, utility: float, chosen: bool = True) -> Said:
    return Said(searcher, thing(number), exposure, utility, chosen)


def weighed(cells: Sequence[Said]) -> list[Weight]:
    return weigh(cells, dict.fromkeys((one.artifact for one in cells), RATE))


def crowd(number: int, searchers: int = 30) -> list[Said]:
    """Of thirty searchers who looked once, every third clicked."""
    return [
        said(f"somebody-{who}", number, 1.0, 0.3 if who % 3 == 0 else 0.0, False)
        for who in range(searchers)
    ]


def test_a_worked_example() -> None:
    # Shown second, and ten days later first and tried.
    cell = Cell(DAY).served(2, DAY)
    later = DAY + timedelta(days=10)
    cell = cell.served(1, later).reported(Outcome.CLICKED, None, later)
    cell = cell.reported(Outcome.SUCCEEDED, Outcome.CLICKED, later)
    assert cell.exposure == pytest.approx(2**-0.8 * 0.5 ** (10 / 30) + 1)  # 0.4559 + 1
    assert cell.utility == pytest.approx(1.0)
    assert cell.chosen
    # A stranger may say one examined view: so 1 / 1.4559 of both counts.
    assert cell.counted(None) == pytest.approx(Count(1.0, 0.686878, 1, 1), abs=1e-6)
    # Thirty days after, half is left, and that is within the cap.
    assert cell.counted(later + timedelta(days=30)) == pytest.approx(
        Count(0.727931, 0.5, 1, 0), abs=1e-6
    )


def test_evidence_is_halved_every_thirty_days_and_whole_until_its_day() -> None:
    assert [decay(days) for days in (-5, 0, 30, 60)] == [1.0, 1.0, 0.5, 0.25]


def test_half_as_many_look_at_the_second_or_third_result() -> None:
    assert [round(theta(at), 3) for at in (1, 2, 3, 10)] == [1.0, 0.574, 0.415, 0.158]
    assert theta(4, 0.5) == 0.5


def test_an_outcome_adds_only_what_it_goes_beyond_the_one_before() -> None:
    assert gained(Outcome.CLICKED, None) == 0.3
    assert gained(Outcome.SUCCEEDED, Outcome.CLICKED) == 0.7
    assert gained(Outcome.FAILED, Outcome.CHOSEN) == -0.5


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.none() | st.sampled_from(Outcome), _days), max_size=20
    ),
    st.none() | _days,
)
def test_no_cell_says_more_than_its_cap(
    steps: list[tuple[int, Outcome | None, date]], day: date | None
) -> None:
    cell = Cell(date(2020, 1, 1))
    for position, outcome, on in steps:
        cell = cell.served(position, on)
        if outcome is not None:
            cell = cell.reported(outcome, None, on)
    counted = cell.counted(day)
    assert 0 <= counted.exposure <= cell.cap + 1e-9
    assert 0 <= counted.utility <= cell.cap + 1e-9


def test_an_earlier_day_makes_nothing_younger() -> None:
    cell = Cell(DAY).served(1, DAY)
    assert cell.served(1, DAY - timedelta(days=9)) == Cell(DAY, 2.0)


def test_the_cap_grows_with_the_logarithm_of_what_else_was_chosen() -> None:
    others = [said("ann", number, 0.1, 0.1) for number in range(1, 10)]
    weights = weighed([said("ann", 0, 50.0, 10.0), *others, said("bob", 0, 50.0, 10.0)])
    assert weights[0].cap == pytest.approx(1 + log(1 + 9))
    assert weights[-1].cap == 1.0


def test_whoever_chooses_everything_says_little_more_than_whoever_chooses_thirty_percent() -> None:
    caps = []
    for chosen in (120, 400):
        cells = [said("ann", number, 0.1, 0.1) for number in range(chosen)]
        caps.append(weighed(cells)[0].cap)
    assert caps == pytest.approx([1 + log(120), 1 + log(400)])
    assert caps[1] < 1.21 * caps[0]


def test_a_view_only_looked_at_is_no_choice() -> None:
    cells = [said("ann", number, 1.0, 0.3, False) for number in range(9)]
    assert {one.cap for one in weighed(cells)} == {1.0}


def test_clicking_a_thousand_times_counts_as_much_as_the_cap() -> None:
    assert within(2.0, 1_000.0, 300.0) * 1_000.0 == pytest.approx(2.0)
    # What is chosen far down the list is bounded, too.
    assert within(2.0, 40.0, 1_000.0) * 1_000.0 == pytest.approx(2.0)
    assert within(2.0, 1.9, 1.9) == 1.0


def test_beyond_what_is_free_only_the_logarithm_of_what_is_said_counts() -> None:
    assert share(FREE) == 1.0
    assert share(8 * FREE) * 8 * FREE == pytest.approx(FREE * (1 + log(8)))


def test_who_agrees_with_everybody_else_is_trusted() -> None:
    assert {one.trust for one in weighed(crowd(0))} == {1.0}


def test_one_deep_success_makes_nobody_suspect() -> None:
    assert weighed([*crowd(0), said("ann", 0, theta(10), 1.0)])[-1].trust == 1.0


def test_a_cell_far_from_everybody_else_weighs_less() -> None:
    """The formula by hand, for a searcher whose other cells are as expected."""
    cells = [*crowd(0), said("eve", 0, 2.0, 2.0, False)]
    ann, eve = weighed(cells)[0], weighed(cells)[-1]
    assert ann.trust == 1.0
    rate = (10 * 0.3 + SHRUNK * RATE) / (30 + SHRUNK)
    missed, expected = (2.0 - 2.0 * rate) ** 2, 2.0 * rate
    by_cell = min(1.0, TOLERATED**2 * (expected + NOISE) / missed)
    by_searcher = min(1.0, 1.25 * (expected + 4.0) / (missed + 4.0))
    assert by_cell == pytest.approx(0.868, abs=1e-3)
    assert eve.trust == pytest.approx(by_cell * by_searcher**2)
    assert eve.trust < 0.8


def test_whoever_praises_a_dozen_alone_is_believed_in_none_of_them() -> None:
    cells = [one for number in range(12) for one in crowd(number)]
    lies = [said("eve", number, 3.0, 3.0) for number in range(12)]
    trust = [one.trust for one in weighed([*cells, *lies])[-12:]]
    assert max(trust) < 0.12
    # And what the others say of them stays as it was.
    assert weighed([*cells, *lies])[: len(cells)] == weighed(cells)


@given(
    st.lists(
        st.builds(
            said,
            st.sampled_from(["ann", "bob", "cleo"]),
            st.integers(0, 5),
            st.floats(0, 100),
            st.floats(0, 100),
            st.booleans(),
        ),
        unique_by=lambda one: (one.searcher, one.artifact),
    )
)
def test_a_weight_is_a_share_and_a_cap_a_view_at_least(cells: list[Said]) -> None:
    for weight in weighed(cells):
        assert weight.cap >= 1.0
        assert 0.0 <= weight.trust <= 1.0


def test_a_count_after_a_cell_has_changed_is_that_of_all_cells() -> None:
    one, other = Cell(DAY).served(1, DAY), Cell(DAY).served(2, DAY)
    count = NEVER_SERVED.moved(NEVER_SERVED, one.counted(DAY))
    count = count.moved(NEVER_SERVED, other.counted(DAY))
    now = other.reported(Outcome.CLICKED, None, DAY)
    assert count.moved(other.counted(DAY), now.counted(DAY)) == Count(1.0 + theta(2), 0.3, 2, 0)
