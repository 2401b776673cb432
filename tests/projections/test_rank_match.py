"""What searchers made of artifacts: counted once, in order, and taken in where it should be."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Artifact, id_of
from matchgraph.domain.calibration import Calibration, Scales
from matchgraph.domain.matching import LEAST_CAP, Cell, Count, decay, theta
from matchgraph.domain.ranking import MILLION, PARTS, PartName, of_matches
from matchgraph.domain.search import (
    Discard,
    DiscardedReport,
    Outcome,
    Search,
)
from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rank_match import SLICE, Cells, count, weigh
from matchgraph.queries import rank
from tests.conftest import project
from tests.domain import weighing
from tests.domain.weighing import Said
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import (
    INTENTS,
    World,
    artifact,
    sealed,
    served,
    stored_events,
    worlds,
)
from tests.projections.matches import at, counted, on_days
from tests.projections.tables import BY, append, contents

ONLY = (RANK_BOARD,)
START = datetime(2026, 1, 1, tzinfo=UTC)
MATCH_GRAPH = PARTS.index(PartName.MATCH_GRAPH)


def search(number: int, searcher: str, slugs: Sequence[str]) -> Search:
    made = UUID(int=number)
    return Search.answer(made, sealed(), INTENTS[0].cluster, searcher, served(slugs))


def on(day: int, *made: Search | Artifact | Calibration) -> list[StoredEvent]:
    return [at(one, START + timedelta(days=day)) for one in stored_events(*made)]


def calibration(day: int, known: Calibration | None = None) -> Calibration:
    return Calibration.calibrate(known, Scales(day=(START + timedelta(days=day)).date(), up_to=1))


async def counts(db: Connection | Pool, slug: str) -> Count:
    row = await db.fetchrow(
        "SELECT exposure, utility, searchers, discounted FROM rank_evidence WHERE slug = $1", slug
    )
    assert row is not None
    return Count(*row)


async def match_points(db: Connection | Pool, slug: str) -> int:
    points: int = await db.fetchval(
        "SELECT match_graph FROM rank_board WHERE artifact_id = $1", id_of(slug)
    )
    return points


async def test_what_was_served_moves_no_rank_until_an_outcome_of_it_is_reported(
    url: str, store: Store, pool: Pool
) -> None:
    shown = search(1, "ann", ["a", "b"])
    await append(store, [on(0, artifact("a"), artifact("b")), on(1, shown)])
    await project(url, store, ONLY)
    assert await pool.fetchval("SELECT count(*) FROM rank_history") == 2
    assert await counts(pool, "a") == Count()
    shown.report(id_of("b"), Outcome.SUCCEEDED)
    last = await append(store, [on(2, shown)])
    await project(url, store, ONLY)
    assert await counts(pool, "a") == Count()
    assert await counts(pool, "b") == Count(theta(2) * decay(1), 1.0, 1, 0)
    moved = await pool.fetch("SELECT artifact_id, match_graph FROM rank_history WHERE position > 3")
    value, _ = of_matches(theta(2) * decay(1), 1.0, 0.22)
    assert [tuple(row) for row in moved] == [(id_of("b"), round(value * 0.25 * 100 * MILLION))]
    assert last == 4


async def test_the_explanation_names_the_views_the_successes_and_the_searchers(
    url: str, store: Store, pool: Pool
) -> None:
    made = [search(number, name, ["a"]) for number, name in enumerate(["ann", "bob"], start=1)]
    for one in made:
        one.report(id_of("a"), Outcome.CHOSEN)
    await append(store, [on(0, artifact("a")), on(0, *made)])
    await project(url, store, ONLY)
    (why,) = await rank.explained(pool, [id_of("a")])
    assert why is not None
    part = why.parts[MATCH_GRAPH]
    assert {one.name: one.value for one in part.inputs} == {
        "exposure": "2.0",
        "utility": "1.2",
        "searchers": "2",
        "discounted": "0",
    }
    assert part.points == await match_points(pool, "a")


async def test_an_outcome_that_leaves_everything_as_it_is_moves_nothing(
    url: str, store: Store, pool: Pool
) -> None:
    shown = search(1, "ann", ["a"])
    shown.report(id_of("a"), Outcome.DISMISSED)
    await append(store, [on(0, artifact("a")), on(0, shown)])
    await project(url, store, ONLY)
    assert await counts(pool, "a") == Count(1.0, 0.0, 1, 0)
    # Searchers who say nothing new of a result that nothing was pending for.
    again = search(2, "ann", ["b"])
    again.report(id_of("b"), Outcome.DISMISSED)
    before = await pool.fetchval("SELECT count(*) FROM rank_matched")
    await append(store, [on(0, again)])
    await project(url, store, ONLY)
    assert await pool.fetchval("SELECT count(*) FROM rank_matched") == before == 1


async def test_a_searcher_who_clicks_a_thousand_times_moves_as_much_as_the_cap_allows(
    url: str, store: Store, pool: Pool
) -> None:
    commands = [on(0, artifact("a"), artifact("b"))]
    for number in range(1, 1_001):
        shown = search(number, "ann", ["a"])
        shown.report(id_of("a"), Outcome.SUCCEEDED)
        commands.append(on(0, shown))
    await append(store, commands)
    await project(url, store, ONLY)
    assert await counts(pool, "a") == pytest.approx(Count(1.0, 1.0, 1, 1))
    await append(store, [on(0, calibration(0))])
    await project(url, store, ONLY)
    # Nobody else says anything like that, so it is not trusted either.
    found = await counts(pool, "a")
    assert found.exposure < 0.1
    assert found.discounted == 1


async def test_evidence_fades_by_half_in_thirty_days_with_the_calibrations(
    url: str, store: Store, pool: Pool
) -> None:
    shown = search(1, "ann", ["a"])
    shown.report(id_of("a"), Outcome.CHOSEN)
    await append(store, [on(0, artifact("a")), on(0, shown)])
    first = calibration(0)
    await append(store, [on(0, first)])
    await project(url, store, ONLY)
    at_first = await counts(pool, "a")
    assert at_first == pytest.approx(Count(1.0, 0.6, 1, 0))
    await append(store, [on(30, calibration(30, first))])
    await project(url, store, ONLY)
    assert await counts(pool, "a") == pytest.approx(Count(0.5, 0.3, 1, 0))


async def test_what_has_faded_away_is_forgotten(url: str, store: Store, pool: Pool) -> None:
    shown = search(1, "ann", ["a"])
    shown.report(id_of("a"), Outcome.CHOSEN)
    await append(store, [on(0, artifact("a")), on(0, shown), on(300, calibration(300))])
    await project(url, store, ONLY)
    assert await counts(pool, "a") == Count()
    assert await pool.fetchval("SELECT count(*) FROM rank_match") == 0
    found = await rank.at(pool, id_of("a"), 3)
    assert found.rank is not None
    assert found.rank.parts[MATCH_GRAPH].inputs != ()
    gone = await rank.at(pool, id_of("a"), 4)
    assert gone.rank is not None
    assert gone.rank.parts[MATCH_GRAPH].inputs == ()


async def test_a_report_that_was_discarded_changes_nothing(
    url: str, store: Store, pool: Pool
) -> None:
    shown = search(1, "ann", ["a"])
    await append(store, [on(0, artifact("a")), on(0, shown)])
    await project(url, store, ONLY)
    before = await contents(url, ONLY)
    forged = [
        DiscardedReport.of(
            UUID(int=number + 100), reason, "eve", Outcome.SUCCEEDED, "0123", shown.id, id_of("a")
        )
        for number, reason in enumerate(Discard)
    ]
    await append(store, [stored_events(*forged)])
    await project(url, store, ONLY)
    assert await contents(url, ONLY) == before


async def test_a_merged_artifact_keeps_what_was_made_of_it(
    url: str, store: Store, pool: Pool
) -> None:
    one, other = artifact("a"), artifact("b")
    shown = search(1, "ann", ["a"])
    shown.report(id_of("a"), Outcome.CHOSEN)
    await append(store, [on(0, one, other), on(0, shown)])
    one.merge(other)
    await append(store, [on(0, one, other)])
    await project(url, store, ONLY)
    assert await counts(pool, "a") == Count(1.0, 0.6, 1, 0)
    assert await counts(pool, "b") == Count()


_days = st.lists(st.sampled_from([0, 0, 1, 29, 200]), min_size=1, max_size=20)


@settings(max_examples=25, deadline=None)
@given(worlds(), _days)
async def test_what_is_counted_is_what_the_whole_history_says(
    clones: Clones, world: World, days: list[int]
) -> None:
    commands = on_days(world.commands, days)
    events = [one for command in commands for one in command]
    async with clones() as url, open_store(url) as store:
        await append(store, commands)
        await project(url, store, ONLY)
        db = await connect(url, "test")
        found = {
            row["artifact_id"]: Count(
                row["exposure"], row["utility"], row["searchers"], row["discounted"]
            )
            for row in await db.fetch("SELECT * FROM rank_evidence")
        }
        expected = counted(events)
        in_force = {id: one for id, one in expected.in_force.items() if one != Count()}
        assert {id: one for id, one in found.items() if one != Count()} == in_force
        pending = {
            row["artifact_id"]: Count(*list(row)[1:])
            for row in await db.fetch("SELECT * FROM rank_match_total")
        }
        assert pending == expected.pending
        for position in {1, len(events) // 2, len(events) - 1, len(events)}:
            then = counted(events[:position]).in_force
            for id in found:
                part = await rank.at(db, id, position)
                inputs = () if part.rank is None else part.rank.parts[MATCH_GRAPH].inputs
                known = then.get(id, Count())
                given = {one.name: one.value for one in inputs}
                assert given.get("exposure", "0.0") == repr(known.exposure)
                assert given.get("searchers", "0") == str(known.searchers if given else 0)
        await db.close()


@settings(max_examples=15, deadline=None)
@given(worlds(), _days, st.sampled_from([1, 2, 3, 7]))
async def test_pages_and_restarts_make_no_difference(
    clones: Clones, world: World, days: list[int], page: int
) -> None:
    commands = on_days(world.commands, days)
    cut = len(commands) // 2
    async with clones() as url, open_store(url) as store:
        await append(store, commands)
        await project(url, store, ONLY)
        in_one_go = await contents(url, ONLY)
    async with clones() as url, open_store(url) as store:
        await append(store, commands[:cut])
        await project(url, store, ONLY, page=page)
        await append(store, commands[cut:])
        await project(url, store, ONLY, page=page)
        assert await contents(url, ONLY) == in_one_go


_said = st.lists(
    st.builds(
        Said,
        searcher=st.sampled_from(["ann", "bob", "cleo", "dan"]),
        artifact=st.integers(0, 9).map(lambda number: UUID(int=number)),
        exposure=st.floats(0, 50),
        utility=st.floats(0, 50),
        chosen=st.booleans(),
    ),
    max_size=40,
    unique_by=lambda one: (one.searcher, one.artifact),
)


@settings(max_examples=300)
@given(_said, st.floats(0.01, 0.9))
def test_all_cells_at_once_weigh_what_each_does(said: list[Said], rate: float) -> None:
    artifacts = sorted({one.artifact for one in said})
    searchers = sorted({one.searcher for one in said})
    columns = Cells(
        searcher=np.array([searchers.index(one.searcher) for one in said], np.int64),
        artifact=np.array([artifacts.index(one.artifact) for one in said], np.int64),
        exposure=np.array([one.exposure for one in said], np.float64),
        utility=np.array([one.utility for one in said], np.float64),
        chosen=np.array([one.chosen for one in said], bool),
        assumed=np.full(len(artifacts), rate),
    )
    one_by_one = weighing.weigh(said, dict.fromkeys(artifacts, rate))
    at_once = weigh(columns)
    assert [one.cap for one in one_by_one] == at_once.cap.tolist()
    assert [one.trust for one in one_by_one] == at_once.trust.tolist()
    totals = dict.fromkeys(artifacts, Count())
    for one, weight in zip(said, one_by_one, strict=True):
        cell = Cell(date.min, one.exposure, one.utility, one.chosen, weight.cap, weight.trust)
        totals[one.artifact] = totals[one.artifact].moved(Count(), cell.counted(None))
    assert count(columns, at_once) == list(totals.values())


async def test_more_cells_than_a_slice_weigh_what_they_do_beside_all_others(
    url: str, store: Store, pool: Pool
) -> None:
    slugs = [f"a{number}" for number in range(100)]
    events = on(0, *map(artifact, slugs))
    for number in range(2_000):
        seen = [slugs[(number * 7 + n) % 100] for n in range(10)]
        shown = search(number + 1, f"somebody-{number % 499}", seen)
        # One of them praises what is far down the list, too.
        for slug in seen[-3:] if number % 499 == 0 else seen[:1]:
            shown.report(id_of(slug), Outcome.SUCCEEDED)
        # What only the first of them saw has faded away when ranks are calibrated.
        events += on(0 if number < 500 else 190, shown)
    await store.append_batch(events, BY)
    await project(url, store, ONLY)
    before = await pool.fetchval("SELECT count(*) FROM rank_match")
    events += on(200, calibration(200))
    await store.append_batch(events[-1:], BY)
    await project(url, store, ONLY)
    expected = counted(events)
    assert SLICE < len(expected.cells) < before
    found = await pool.fetch("SELECT * FROM rank_match")
    assert {(row[0], row[1]): Cell(*list(row)[2:]) for row in found} == expected.cells
    assert sum(row["cap"] > LEAST_CAP for row in found) > SLICE
    assert any(row["trust"] < 1.0 for row in found)
    totals = await pool.fetch("SELECT * FROM rank_match_total")
    assert {row[0]: Count(*list(row)[1:]) for row in totals} == expected.pending


async def test_a_page_of_two_thousand_searches_is_counted_without_delay(
    url: str, store: Store, pool: Pool
) -> None:
    slugs = [f"a{number}" for number in range(100)]
    await append(store, [on(0, *map(artifact, slugs))])
    found = [
        search(
            number + 1,
            f"somebody-{number % 499}",
            [slugs[(number * 7 + n) % 100] for n in range(10)],
        )
        for number in range(2_000)
    ]
    await store.append_batch(on(1, *found), BY)
    started = time.perf_counter()
    await project(url, store, ONLY)
    took = time.perf_counter() - started
    assert await pool.fetchval("SELECT sum(searchers) FROM rank_match_total") > 5_000
    # A bound that a slow machine keeps; on a quiet one it is well below a second.
    assert took < 5, took
    print(f"took {took:.3f} s")
