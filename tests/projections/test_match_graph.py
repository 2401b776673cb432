"""The match graph: which artifact served which intent, by which capability, and how well."""

from collections import Counter, defaultdict
from contextlib import suppress
from datetime import date, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import id_of
from matchgraph.domain.matching import HALF_LIFE, decay, theta
from matchgraph.domain.search import UTILITY, Discarded, Intent, Outcome, Search, is_choice
from matchgraph.eventstore.connection import Pool, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.match_graph import (
    KEPT_SEARCH,
    KEPT_SEARCHER,
    MATCH_GRAPH,
)
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.runner import Runner
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import INTENTS, World, key_of, sealed, served, worlds
from tests.projections.searches import BEGIN, Log, on
from tests.projections.tables import BY, contents, projected, start_over, values

ONLY = (MATCH_GRAPH,)
TABLES, OTHER = INTENTS
TODAY = BEGIN.date()
CLICKED, CHOSEN, SUCCEEDED, FAILED, DISMISSED = Outcome


def exactly(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


# What time and place do to evidence


def test_evidence_halves_every_thirty_days_and_never_grows() -> None:
    assert [decay(days) for days in (0, 30, 60, 300)] == [1.0, 0.5, 0.25, 2**-10]
    assert decay(-3) == 1.0
    assert decay(45) == exactly(2**-1.5)
    lefts = [decay(days) for days in range(400)]
    assert lefts == sorted(lefts, reverse=True)


def test_the_further_down_the_less_it_is_examined() -> None:
    assert theta(1) == 1.0
    assert theta(10) == exactly(10**-0.8)
    thetas = [theta(position) for position in range(1, 1_000)]
    assert thetas == sorted(thetas, reverse=True)


# By example


async def test_a_search_begins_a_cluster_and_counts_what_it_served(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a", "b"], ["k", None]))
    renamed = Intent(cluster=TABLES.cluster, label="tables, please")
    await log.search(served(["a"], ["l"]), intent=renamed, searcher="bob")
    await log.search((), intent=OTHER)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT * FROM match_cluster ORDER BY position")
    assert [tuple(row) for row in rows] == [(TABLES.cluster, 2, 1), (OTHER.cluster, 1, 3)]
    rows = await pool.fetch("SELECT * FROM match_words ORDER BY position")
    assert [values(row, "cluster", "position", "key", "label") for row in rows] == [
        (TABLES.cluster, 1, key_of("ann"), sealed(TABLES).label),
        (TABLES.cluster, 2, key_of("bob"), sealed(renamed).label),
        (OTHER.cluster, 3, key_of("ann"), sealed(OTHER).label),
    ]
    rows = await pool.fetch("SELECT * FROM match_count ORDER BY artifact_id, capability")
    assert {tuple(row) for row in rows} == {
        (id_of("a"), "k", 1, 0),
        (id_of("a"), "l", 1, 0),
        (id_of("b"), "", 1, 0),
    }


async def test_exposure_and_utility_are_what_was_examined_and_what_came_of_it(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a", "b"], ["k"]), b=CHOSEN)
    await project(url, store, ONLY)
    rows = {row["artifact_id"]: row for row in await pool.fetch("SELECT * FROM match_edge")}
    a, b = rows[id_of("a")], rows[id_of("b")]
    assert values(a, "exposure", "utility", "searchers", "shown") == (1.0, 0.0, 0, 1)
    assert values(b, "exposure", "utility", "searchers") == (
        exactly(2**-0.8),
        exactly(0.6),
        1,
    )
    assert values(b, "shown", "clicked", "chosen", "position", "day") == (1, 0, 1, 2, TODAY)


async def test_what_a_searcher_says_halves_in_thirty_days(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a"], ["k"], first=4), a=CLICKED)
    await log.search(served(["a"], ["k"], first=4), day=HALF_LIFE, searcher="bob")
    await project(url, store, ONLY)
    (edge,) = await pool.fetch("SELECT * FROM match_edge")
    seen = 4**-0.8
    assert values(edge, "exposure", "utility") == (exactly(1.5 * seen), exactly(0.15))
    assert values(edge, "searchers", "day") == (1, TODAY + timedelta(days=HALF_LIFE))


async def test_one_searcher_has_the_say_of_one_examined_view(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    for _ in range(50):
        await log.search(served(["a", "b"], ["k"]), searcher="spammer", b=SUCCEEDED)
    for searcher in ("ann", "bob"):
        await log.search(served(["a", "b"], ["k"]), searcher=searcher, a=SUCCEEDED)
    await project(url, store, ONLY)
    rows = {row["artifact_id"]: row for row in await pool.fetch("SELECT * FROM match_edge")}
    a, b = rows[id_of("a")], rows[id_of("b")]
    assert values(a, "exposure", "utility", "searchers") == (exactly(3.0), exactly(2.0), 2)
    assert b["utility"] == exactly(1.0)
    assert b["exposure"] <= 1 + 2 * 2**-0.8
    assert values(b, "shown", "succeeded", "searchers") == (52, 50, 1)


async def test_a_later_outcome_takes_the_place_of_the_one_before(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    made = await log.search(served(["a"], ["k"]), a=CHOSEN)
    await log.report(made, "a", FAILED, day=15)
    await project(url, store, ONLY)
    (edge,) = await pool.fetch("SELECT * FROM match_edge")
    assert values(edge, "chosen", "failed", "searchers") == (0, 1, 1)
    assert edge["utility"] == exactly(0.1), "what is left of the choice is taken away whole"
    assert edge["exposure"] == exactly(0.5**0.5)
    (count,) = await pool.fetch("SELECT * FROM match_count")
    assert values(count, "served", "chosen") == (1, 1)


async def test_a_searchers_say_counts_for_the_capability_that_matched_last(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a"], ["k"]), a=SUCCEEDED)
    await log.search(served(["a"], ["l"]))
    await project(url, store, ONLY)
    rows = {row["capability"]: row for row in await pool.fetch("SELECT * FROM match_edge")}
    columns = ("exposure", "utility", "searchers", "shown", "succeeded", "position")
    assert values(rows["k"], *columns) == (0.0, 0.0, 0, 1, 1, 3)
    assert values(rows["l"], *columns) == (1.0, 0.5, 1, 1, 0, 3)


async def test_a_later_page_is_served_too(url: str, store: Store, pool: Pool, log: Log) -> None:
    made = await log.search(served(["a"], ["k"]))
    made.continue_(served(["b"], ["k"], first=2))
    await log.append(0, made)
    await log.report(made, "b", CLICKED)
    await project(url, store, ONLY)
    (row,) = await pool.fetch("SELECT * FROM match_edge WHERE artifact_id = $1", id_of("b"))
    assert values(row, "exposure", "utility") == (exactly(2**-0.8), exactly(0.3))
    (pair,) = await pool.fetch("SELECT * FROM match_pair")
    assert pair["together"] == 1


async def fared(pool: Pool) -> dict[tuple[str, str], tuple[int, ...]]:
    """Pairs by slug: together, left better, right better, whichever way they are kept."""
    slugs = {id_of(slug): slug for slug in "abcdef"}
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for left, right, together, better, worse in await pool.fetch("SELECT * FROM match_pair"):
        assert left < right
        names = (slugs[left], slugs[right])
        found[min(names), max(names)] = (
            together,
            *((better, worse) if names[0] < names[1] else (worse, better)),
        )
    return found


async def test_compared_is_what_was_examined(url: str, store: Store, pool: Pool, log: Log) -> None:
    made = await log.search(served(list("abcdef")))
    await project(url, store, ONLY)
    assert await fared(pool) == {}, "nobody can tell how far down the searcher looked"
    await log.report(made, "b", CHOSEN)
    await project(url, store, ONLY)
    assert await fared(pool) == {
        ("a", "b"): (1, 0, 1),
        ("a", "c"): (1, 0, 0),
        ("b", "c"): (1, 1, 0),
    }
    await log.report(made, "c", SUCCEEDED)
    await project(url, store, ONLY)
    assert await fared(pool) == {
        ("a", "b"): (1, 0, 1),
        ("a", "c"): (1, 0, 1),
        ("a", "d"): (1, 0, 0),
        ("b", "c"): (1, 0, 1),
        ("b", "d"): (1, 1, 0),
        ("c", "d"): (1, 1, 0),
    }
    await log.search(served(["b", "a"]), a=CLICKED)
    await project(url, store, ONLY)
    assert (await fared(pool))["a", "b"] == (2, 1, 1)


async def test_a_later_page_below_an_outcome_is_compared_with_it_once(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    made = await log.search(served(["a"]), a=CLICKED)
    made.continue_(served(["b", "c"], first=2))
    await log.append(0, made)
    await project(url, store, ONLY)
    assert await fared(pool) == {("a", "b"): (1, 1, 0)}
    await log.report(made, "b", SUCCEEDED)
    await project(url, store, ONLY)
    assert await fared(pool) == {
        ("a", "b"): (1, 0, 1),
        ("a", "c"): (1, 1, 0),
        ("b", "c"): (1, 1, 0),
    }


async def test_only_the_first_results_are_compared(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    made = await log.search(served([f"s{number}" for number in range(40)]), s30=CHOSEN)
    await project(url, store, ONLY)
    assert await pool.fetchval("SELECT count(*) FROM match_pair") == 0
    await log.report(made, "s19", CLICKED)
    await project(url, store, ONLY)
    assert await pool.fetchval("SELECT count(*) FROM match_pair") == 20 * 19 / 2
    assert await pool.fetchval("SELECT sum(left_better + right_better) FROM match_pair") == 19
    assert await pool.fetchval("SELECT cardinality(artifacts) FROM match_search") == 20


async def test_reports_are_counted_by_searcher_and_day(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a", "b"]), a=CLICKED, b=CHOSEN)
    made = await log.search(served(["a"]), searcher="bob", a=CHOSEN)
    await log.report(made, "a", SUCCEEDED, day=1)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT * FROM match_searcher")
    assert {tuple(row) for row in rows} == {
        (TODAY, "ann", 2),
        (TODAY, "bob", 1),
        (TODAY + timedelta(days=1), "bob", 1),
    }


async def test_what_nobody_can_report_on_any_more_is_forgotten_step_by_step(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    for number in range(5):
        await log.search(served(["a"]), searcher=f"s{number}", a=CLICKED)
    edge = KEPT_SEARCH
    kept = []
    for day in (edge, edge + 1, edge + 1, edge + 2):
        await log.search(served(["a"]), day=day, searcher="late", a=CLICKED)
        await project(url, store, ONLY)
        kept.append(
            (
                await pool.fetchval("SELECT count(*) FROM match_search WHERE day = $1", TODAY),
                await pool.fetchval("SELECT count(*) FROM match_searcher WHERE day = $1", TODAY),
            )
        )
    assert KEPT_SEARCHER < KEPT_SEARCH
    assert kept == [(5, 3), (3, 1), (1, 0), (0, 0)]
    live = await contents(url, ONLY)
    await rebuild(url, MATCH_GRAPH)
    assert await contents(url, ONLY) == live


async def test_a_clock_that_was_put_back_makes_nothing_younger(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a"], ["k"]), day=30, a=CHOSEN)
    await log.search(served(["a"], ["l"]), day=0)
    await log.search(served(["a"], ["l"]), day=0, searcher="bob")
    await project(url, store, ONLY)
    rows = {row["capability"]: row for row in await pool.fetch("SELECT * FROM match_edge")}
    assert values(rows["k"], "exposure", "utility", "searchers") == (0.0, 0.0, 0)
    assert values(rows["l"], "exposure", "utility", "day") == (
        exactly(1 + 0.5),
        exactly(0.3),
        TODAY + timedelta(days=30),
    )


# By property

_days = st.lists(st.sampled_from([0, 0, 0, 1, 7, 20, 41, -1]), min_size=40, max_size=40)
_moves = st.lists(
    st.tuples(
        st.sampled_from(["search", "search", "continue", "report", "report"]),
        st.sampled_from(["ann", "bob", "cleo"]),
        st.lists(st.sampled_from("abcde"), max_size=4, unique=True),
        st.sampled_from([("k",), ("k", "l"), (None, "l")]),
        st.sampled_from(Outcome),
        st.sampled_from(INTENTS),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=40,
)


def _end(search: Search) -> int:
    return max((one.position for one in search.served.values()), default=0)


@settings(max_examples=12, deadline=None)
@given(moves=_moves, days=_days, cut=st.integers(1, 30), page=st.sampled_from([2, 3, 7]))
async def test_months_of_searches_give_the_same_bytes_in_any_pages(
    clones: Clones, moves: list[Any], days: list[int], cut: int, page: int
) -> None:
    searches: list[Search] = []
    events = []
    day = 0
    for number, (move, searcher, slugs, capabilities, outcome, intent, back) in enumerate(moves):
        day += days[number]
        if move == "search" or len(searches) < back:
            made = Search.answer(
                UUID(int=number + 1),
                sealed(intent, searcher),
                intent.cluster,
                searcher,
                served(slugs, capabilities),
            )
            searches.append(made)
        else:
            made = searches[-back]
            if move == "continue":
                made.continue_(served(slugs, capabilities, first=_end(made) + 1))
            elif made.chosen < 3 and (left := made.served.keys() - made.outcomes.keys()):
                made.report(min(left), outcome)
        events += on(day, made)
    async with clones() as url, open_store(url) as store:
        await store.append_batch(events[:cut], BY)
        await project(url, store, ONLY, page=1)
        if events[cut:]:
            await store.append_batch(events[cut:], BY)
        await project(url, store, ONLY, page=1)
        live = await contents(url, ONLY)
        for size in (page, 2_000):
            await start_over(url, ONLY)
            await project(url, store, ONLY, page=size)
            assert await contents(url, ONLY) == live


# Of one search: what each further page adds, and which result ends how.
_steps = st.lists(
    st.one_of(
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=2, unique=True),
        st.tuples(st.integers(0, 5), st.sampled_from(Outcome)),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=15, deadline=None)
@given(
    several=st.lists(
        st.tuples(st.lists(st.sampled_from("abcdef"), max_size=3, unique=True), _steps),
        min_size=2,
        max_size=8,
    )
)
async def test_pairs_count_each_search_once_whenever_its_pages_and_outcomes_came(
    clones: Clones, several: list[Any]
) -> None:
    events: list[StoredEvent] = []
    together: Counter[tuple[UUID, UUID]] = Counter()
    for number, (slugs, steps) in enumerate(several):
        search = Search.answer(UUID(int=number + 1), sealed(), TABLES.cluster, "ann", served(slugs))
        for step in steps:
            if isinstance(step, list):
                search.continue_(served(step, first=_end(search) + 1))
            elif search.served:
                which, outcome = step
                with suppress(Discarded):
                    search.report(list(search.served)[which % len(search.served)], outcome)
        events += on(0, search)
        if search.outcomes:
            lowest = max(search.served[id].position for id in search.outcomes)
            examined = [id for id, one in search.served.items() if one.position <= lowest + 1]
            together.update(combinations(sorted(examined), 2))
    async with clones() as url, open_store(url) as store:
        await store.append_batch(events, BY)
        db = await connect(url, "test")
        runner = Runner(url, store.listener, ONLY, page=1)
        try:
            while await runner.advance(db):
                for pair in await db.fetch("SELECT * FROM match_pair"):
                    assert min(values(pair, "together", "left_better", "right_better")) >= 0
                    assert pair["together"] >= pair["left_better"] + pair["right_better"]
            pairs = await db.fetch("SELECT * FROM match_pair WHERE together > 0")
            assert {(p["left_id"], p["right_id"]): p["together"] for p in pairs} == together
        finally:
            await db.close()


@settings(max_examples=10, deadline=None)
@given(worlds(most=60))
async def test_the_graph_says_what_the_searches_themselves_say(
    clones: Clones, world: World
) -> None:
    seen: dict[tuple[UUID, UUID, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    counted: Counter[tuple[object, ...]] = Counter()
    chosen: Counter[UUID] = Counter()
    together: Counter[tuple[UUID, UUID]] = Counter()
    acted: set[tuple[UUID, UUID, str]] = set()
    for search in world.searches:
        cluster = search.cluster
        for one in search.served.values():
            outcome = search.outcomes.get(one.artifact_id)
            key = (cluster, one.artifact_id, search.searcher)
            seen[key][0] += theta(one.position)
            seen[key][1] += UTILITY[outcome] if outcome else 0.0
            counted[cluster, one.artifact_id, one.capability or "", "shown"] += 1
            if outcome is not None:
                counted[cluster, one.artifact_id, one.capability or "", outcome.value] += 1
                acted.add(key)
            chosen[one.artifact_id] += is_choice(outcome)
        if search.outcomes:
            lowest = max(search.served[id].position for id in search.outcomes)
            examined = [id for id, one in search.served.items() if one.position <= lowest + 1]
            together.update(combinations(sorted(examined), 2))
    said: dict[tuple[UUID, UUID], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for (cluster, id, searcher), (exposure, utility) in seen.items():
        weight = 1 / max(1, exposure, utility)
        said[cluster, id][0] += exposure * weight
        said[cluster, id][1] += utility * weight
        said[cluster, id][2] += (cluster, id, searcher) in acted
    async with projected(clones, world) as db:
        edges = await db.fetch("SELECT * FROM match_edge")
        found: dict[tuple[UUID, UUID], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for edge in edges:
            for number, column in enumerate(("exposure", "utility", "searchers")):
                found[edge["cluster"], edge["artifact_id"]][number] += edge[column]
        assert found.keys() == said.keys()
        for edge_key, sums in said.items():
            assert found[edge_key] == [exactly(value) for value in sums]
        assert counted == {
            (edge["cluster"], edge["artifact_id"], edge["capability"], name): edge[name]
            for edge in edges
            for name in ("shown", *(outcome.value for outcome in Outcome))
            if edge[name]
        }
        rows = await db.fetch("SELECT artifact_id, sum(chosen) FROM match_count GROUP BY 1")
        assert {id: count for id, count in rows if count} == {
            id: count for id, count in chosen.items() if count
        }
        pairs = await db.fetch("SELECT left_id, right_id, together FROM match_pair")
        assert {(left, right): count for left, right, count in pairs} == together


def test_days_of_the_examples_are_days() -> None:
    (event,) = on(3, Search.answer(uuid4(), sealed(), TABLES.cluster, "ann", ()))
    assert b"2026-01-04T12:00:00Z" in event.state
    assert date(2026, 1, 1) == TODAY
