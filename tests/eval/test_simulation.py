"""The simulated learner is the one that ranks are computed by."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from eventsourcing.persistence import StoredEvent

from eval.simulation import (
    OUTCOMES,
    SETTINGS,
    Day,
    Learned,
    Liars,
    Setting,
    on_top,
    simulate,
    tau,
)
from matchgraph.domain.artifact import id_of
from matchgraph.domain.calibration import Calibration, Scales
from matchgraph.domain.ranking import MILLION, PARTS, PartName
from matchgraph.domain.search import Search
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rank_match import count, weigh
from tests.conftest import project
from tests.eventstore.histories import INTENTS, artifact, sealed, served, stored_events
from tests.projections.matches import at
from tests.projections.tables import BY

SMALL = Setting(
    "small",
    Liars.CAMOUFLAGED,
    artifacts=30,
    clients=40,
    searches=20,
    days=8,
    newcomers=4,
    intents=5,
    candidates=15,
    targets=2,
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def told(day: Day, number: int) -> list[StoredEvent]:
    """The events of a day's searches."""
    found: list[StoredEvent] = []
    for row, (who, shown, outcomes) in enumerate(
        zip(day.searcher, day.shown, day.outcome, strict=True)
    ):
        slugs = [f"a{which}" for which in shown]
        made = Search.answer(
            UUID(int=number * 10_000 + row + 1),
            sealed(),
            INTENTS[0].cluster,
            f"client-{who}",
            served(slugs),
        )
        for slug, which in zip(slugs, outcomes, strict=True):
            if (outcome := OUTCOMES[which]) is not None:
                made.report(id_of(slug), outcome)
        found += stored_events(made)
    return [at(one, START + timedelta(days=number)) for one in found]


def calibrated(number: int, known: Calibration | None) -> tuple[Calibration, list[StoredEvent]]:
    now = START + timedelta(days=number)
    made = Calibration.calibrate(known, Scales(day=now.date(), up_to=1))
    return made, [at(one, now) for one in stored_events(made)]


async def test_the_real_learner_learns_the_same_from_the_same_searches(
    url: str, store: Store, pool: Pool
) -> None:
    _, learned = simulate(SMALL, 7)
    artifacts = [artifact(f"a{number}") for number in range(SMALL.artifacts)]
    await store.append_batch([at(one, START) for one in stored_events(*artifacts)], BY)
    calibration: Calibration | None = None
    for number, day in enumerate(learned.kept):
        await store.append_batch(told(day, number), BY)
        if number in (3, SMALL.days - 1):
            calibration, events = calibrated(number, calibration)
            await store.append_batch(events, BY)
    await project(url, store, (RANK_BOARD,), page=777)
    rows = {
        row["slug"]: row
        for row in await pool.fetch(
            "SELECT e.slug, e.exposure, e.utility, e.searchers, e.discounted, b.match_graph"
            " FROM rank_evidence e JOIN rank_board b USING (artifact_id)"
        )
    }
    cells = learned.cells()
    counts, parts = count(cells, weigh(cells)), learned.ours()
    assert sum(one.discounted for one in counts) > 0
    assert sum(one.searchers for one in counts) > 500
    for number, (expected, part) in enumerate(zip(counts, parts, strict=True)):
        row = rows[f"a{number}"]
        assert row["exposure"] == pytest.approx(expected.exposure, rel=1e-9)
        assert row["utility"] == pytest.approx(expected.utility, rel=1e-9, abs=1e-12)
        assert (row["searchers"], row["discounted"]) == (expected.searchers, expected.discounted)
        assert row[PARTS[3]] == pytest.approx(part * 0.25 * 100 * MILLION, abs=1)
    assert PARTS[3] is PartName.MATCH_GRAPH


def test_the_same_seed_gives_the_same_figures() -> None:
    (_, one), (_, other), (_, third) = simulate(SMALL, 7), simulate(SMALL, 7), simulate(SMALL, 8)
    assert one.ours().tolist() == other.ours().tolist()
    assert one.ours().tolist() != third.ours().tolist()


def test_what_was_learned_is_nearer_to_the_truth_than_clicks_are_and_lies_help_little() -> None:
    of = replace(SETTINGS[0], liars=Liars.CAMOUFLAGED, days=20, clients=500)
    catalog, learned = simulate(of, 7)
    ours = learned.ours()
    assert tau(ours, catalog.quality) > tau(learned.clicks, catalog.quality) + 0.2
    assert tau(ours, catalog.quality) > tau(learned.rate(), catalog.quality) + 0.2
    assert on_top(catalog, ours) < on_top(catalog, learned.unbounded())


def test_tau_is_one_for_the_same_order_and_takes_ties_for_no_order() -> None:
    order = np.array([1.0, 2.0, 3.0, 4.0])
    assert tau(order, order * 2) == 1.0
    assert tau(order, -order) == -1.0
    # Five pairs of six are told apart, and rightly so: 5 / √(5 · 6).
    assert tau(np.array([1.0, 1.0, 2.0, 3.0]), order) == pytest.approx(5 / 30**0.5)


def test_nothing_was_learned_of_what_was_never_shown() -> None:
    assert set(Learned.nothing(SMALL).ours().tolist()) == {0.3}
