"""The distributions that ranks are measured by: taken anew, never taken back."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from matchgraph.domain import calibration
from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import MATCH_MEAN, Calibration, MatchMean, Scale, Scales
from matchgraph.domain.errors import StaleCalibration
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore import codec
from tests.domain.given import fact, given, happened
from tests.eventstore.histories import stored_events

TODAY = date(2026, 3, 1)
SCALES = Scales(
    day=TODAY,
    up_to=100,
    scales=(
        Scale(signal=SignalName.STARS, p99=Decimal("120000.5"), observed=321),
        Scale(signal=SignalName.HOSTS, p99=Decimal("22"), observed=25, kind=Kind.MODEL),
    ),
    match_means=(MatchMean(kind=Kind.MODEL, mean=Decimal("0.31")),),
)


def test_the_first_calibration_begins_it() -> None:
    made = Calibration.calibrate(None, SCALES)
    assert happened(made) == [fact(Calibration.Calibrated, scales=SCALES)]
    assert (made.id, made.version, made.scales) == (calibration.ID, 1, SCALES)


@pytest.mark.parametrize(
    "later",
    [
        replace(SCALES, up_to=101),
        replace(SCALES, day=TODAY + timedelta(days=1)),
        replace(SCALES, day=TODAY + timedelta(days=1), up_to=101, scales=(), match_means=()),
    ],
    ids=["same day, later position", "later day, same position", "both, and nothing observed"],
)
def test_a_later_one_takes_its_place_whole(later: Scales) -> None:
    made = given(Calibration.calibrate(None, SCALES))
    assert Calibration.calibrate(made, later) is made
    assert happened(made) == [fact(Calibration.Calibrated, scales=later)]
    assert (made.version, made.scales) == (2, later)


def test_one_of_the_same_day_and_position_is_taken_again() -> None:
    """Whoever asks decides whether one is due; what is measured alike is an event nonetheless."""
    made = given(Calibration.calibrate(None, SCALES))
    Calibration.calibrate(made, SCALES)
    assert happened(made) == [fact(Calibration.Calibrated, scales=SCALES)]


@pytest.mark.parametrize(
    "stale",
    [
        replace(SCALES, day=TODAY - timedelta(days=1)),
        replace(SCALES, up_to=99),
        replace(SCALES, day=TODAY - timedelta(days=1), up_to=101),
        replace(SCALES, day=TODAY + timedelta(days=1), up_to=99),
    ],
    ids=["earlier day", "earlier position", "earlier day alone", "earlier position alone"],
)
def test_one_that_goes_back_is_refused_and_leaves_no_trace(stale: Scales) -> None:
    made = given(Calibration.calibrate(None, SCALES))
    before = vars(made).copy()
    with pytest.raises(StaleCalibration) as refused:
        Calibration.calibrate(made, stale)
    assert happened(made) == []
    assert vars(made) == before
    reason = refused.value
    assert (reason.day, reason.up_to) == (stale.day, stale.up_to)
    assert (reason.known_day, reason.known_up_to) == (TODAY, 100)
    assert "2026-03-01" in reason.message


# What it measures by


def test_a_kind_has_its_mean_and_others_the_one_assumed() -> None:
    assert SCALES.match_mean(Kind.MODEL) == 0.31
    assert SCALES.match_mean(Kind.CLI) == MATCH_MEAN


def test_what_nobody_observed_anywhere_has_no_scale() -> None:
    assert SCALES.scale(Kind.CLI, SignalName.DEPENDENTS) is None
    # Of models alone hosts were observed, and those say nothing of command lines.
    assert SCALES.scale(Kind.CLI, SignalName.HOSTS) is None
    assert SCALES.scale(Kind.MODEL, SignalName.HOSTS) is not None
    assert SCALES.scale(Kind.CLI, SignalName.STARS) == SCALES.scale(Kind.MODEL, SignalName.STARS)


# What its history says

_scales = st.builds(
    Scales,
    day=st.dates(date(2026, 1, 1), date(2026, 1, 9)),
    up_to=st.integers(0, 9) | st.just(2**63 - 1),
    scales=st.lists(
        st.builds(
            Scale,
            signal=st.sampled_from(SignalName),
            p99=st.decimals(0, 10**15 - 1, places=18) | st.sampled_from(["0", "10"]).map(Decimal),
            observed=st.integers(0, 10**9),
            kind=st.none() | st.sampled_from(Kind),
        ),
        max_size=4,
    ).map(tuple),
    match_means=st.lists(
        st.builds(MatchMean, kind=st.sampled_from(Kind), mean=st.decimals(0, 1, places=9)),
        max_size=3,
    ).map(tuple),
)


@for_all(st.lists(_scales, min_size=1, max_size=8))
def test_a_calibration_is_what_its_history_says(steps: list[Scales]) -> None:
    made: Calibration | None = None
    in_force: Scales | None = None
    for step in steps:
        goes_back = in_force is not None and (
            step.day < in_force.day or step.up_to < in_force.up_to
        )
        try:
            made = Calibration.calibrate(made, step)
            in_force = step
            assert not goes_back
        except StaleCalibration:
            assert goes_back
    assert made is not None
    assert made.scales == in_force
    again: Any = None
    for stored in stored_events(made):
        again = codec.decode(
            stored.topic, calibration.ID, stored.originator_version, stored.state
        ).mutate(again)
    assert vars(again) == vars(made)
    assert type(again) is Calibration
    # Decimals come back with the digits they had.
    assert str(again.scales) == str(made.scales)
