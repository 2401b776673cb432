"""What searchers made of artifacts, and what the next search learns of it."""

from datetime import timedelta
from uuid import UUID

import pytest

from matchgraph.domain.artifact import id_of
from matchgraph.domain.calibration import MATCH_MEAN
from matchgraph.domain.search import Intent, Outcome
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.eventstore.store import Store
from matchgraph.projections.match_graph import MATCH_GRAPH
from matchgraph.queries import match_graph
from matchgraph.queries.match_graph import FEWEST_SEARCHERS, PRIOR, HeadToHead
from matchgraph.queries.page import BadCursor
from tests.conftest import project
from tests.eventstore.histories import INTENTS, served
from tests.projections.searches import BEGIN, Log

ONLY = (MATCH_GRAPH,)
TABLES, OTHER = INTENTS
TODAY = BEGIN.date()
CLICKED, CHOSEN, SUCCEEDED, FAILED, DISMISSED = Outcome
A, B, C = map(id_of, "abc")


@pytest.fixture
def keys(pool: Pool) -> SearcherKeys:
    return SearcherKeys(pool, ["a master key that tests wrap with"])


@pytest.fixture
def log(store: Store, keys: SearcherKeys) -> Log:
    return Log(store, keys)


def exactly(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


async def test_head_to_head_is_told_from_either_side(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a", "b"]), b=CHOSEN)
    await log.search(served(["b", "a"]), a=CLICKED)
    await log.search(served(["a", "b"]), b=CLICKED, a=CLICKED)
    await log.search(served(["a", "b"]), b=CHOSEN, a=CLICKED)
    await project(url, store, ONLY)
    assert await match_graph.head_to_head(pool, [A, B]) == [HeadToHead(A, B, 4, 1, 2, 1)]
    assert await match_graph.head_to_head(pool, [B, A]) == [HeadToHead(B, A, 4, 2, 1, 1)]
    three = await match_graph.head_to_head(pool, [A, B, C])
    assert [(one.left, one.right, one.together) for one in three] == [
        (A, B, 4),
        (A, C, 0),
        (B, C, 0),
    ]
    assert await match_graph.head_to_head(pool, [A]) == []


async def test_times_matched_counts_every_time_it_was_served(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await log.search(served(["a", "b"], ["k"]), b=SUCCEEDED)
    await log.search(served(["a", "b"], ["l", "k"]), b=CLICKED)
    await project(url, store, ONLY)
    assert await match_graph.times_matched(pool, [B, C, A]) == [2, 0, 2]
    asked = [(A, "l"), (A, "x"), (B, "k")]
    assert await match_graph.times_matched_by(pool, asked) == [(1, 0), (0, 0), (2, 1)]


async def test_edges_come_most_shown_first_a_page_at_a_time(
    url: str, store: Store, pool: Pool, log: Log, keys: SearcherKeys
) -> None:
    for _ in range(3):
        await log.search(served(["a"], ["k"]), a=CLICKED)
    await log.search(served(["a", "b"]), intent=OTHER)
    await log.search(served(["a"], ["l"]))
    await project(url, store, ONLY)
    whole, none = await match_graph.edges_of(pool, keys, [(A, 10, None), (C, 10, None)])
    shown = [(one.intent, one.capability, one.shown, one.clicked) for _, one in whole.items]
    assert shown == [
        (TABLES.label, "k", 3, 3),
        (TABLES.label, "l", 1, 0),
        (None, None, 1, 0),  # nobody need know what a single search was for
    ]
    assert not none.items
    after, paged = None, []
    for _ in range(3):
        (page,) = await match_graph.edges_of(pool, keys, [(A, 1, after)])
        ((after, one),) = page.items
        paged.append(one)
    assert paged == [one for _, one in whole.items]
    assert not page.more
    for cursor in ("x", after[:-4] if after else ""):
        with pytest.raises(BadCursor):
            await match_graph.edges_of(pool, keys, [(A, 1, cursor)])


# What a search learns


async def crowd(
    log: Log, searchers: int, *, intent: Intent = TABLES, day: int = 0, first: int = 0
) -> None:
    """Different searchers who all choose the second of two, with success."""
    for number in range(first, first + searchers):
        await log.search(
            served(["a", "b"], ["k"]), searcher=f"s{number}", intent=intent, day=day, b=SUCCEEDED
        )


async def learned(pool: Pool, *clusters: tuple[UUID, float], days: int = 0) -> dict[UUID, float]:
    near = clusters or ((TABLES.cluster, 1.0),)
    return await match_graph.learned(pool, near, TODAY + timedelta(days=days))


def rate(exposure: float, utility: float) -> object:
    return exactly((utility + PRIOR * MATCH_MEAN) / (exposure + PRIOR) - MATCH_MEAN)


async def test_what_served_well_where_it_was_seen_is_lifted(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await crowd(log, 4)
    await project(url, store, ONLY)
    assert await learned(pool) == {B: rate(4 * 2**-0.8, 4.0)}
    assert await learned(pool, (OTHER.cluster, 1.0)) == {}
    assert await match_graph.learned(pool, [], TODAY) == {}


async def test_two_searchers_lift_nothing_however_often_they_choose(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    for _ in range(10):
        await crowd(log, FEWEST_SEARCHERS - 1)
    await project(url, store, ONLY)
    assert await learned(pool) == {}
    await crowd(log, 1, first=FEWEST_SEARCHERS)
    await project(url, store, ONLY)
    assert (await learned(pool)).keys() == {B}


async def test_the_same_two_in_two_clusters_are_still_two(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    both = ((TABLES.cluster, 0.9), (OTHER.cluster, 0.9))
    await crowd(log, 2)
    await crowd(log, 2, intent=OTHER)
    await project(url, store, ONLY)
    assert await learned(pool, *both) == {}
    await crowd(log, 1, intent=OTHER, first=7)
    await project(url, store, ONLY)
    assert (await learned(pool, *both)).keys() == {B}


async def test_what_is_nearer_weighs_more_and_what_is_older_less(
    url: str, store: Store, pool: Pool, log: Log
) -> None:
    await crowd(log, 4)
    await crowd(log, 4, intent=OTHER)
    await project(url, store, ONLY)
    near = await learned(pool, (TABLES.cluster, 0.8), (OTHER.cluster, 0.5))
    weight = 0.8**3 + 0.5**3
    assert near == {B: rate(weight * 4 * 2**-0.8, weight * 4)}
    later = await learned(pool, (TABLES.cluster, 0.8), (OTHER.cluster, 0.5), days=60)
    assert later == {B: rate(weight * 2**-0.8, weight)}
    assert await learned(pool, (TABLES.cluster, -0.9)) == {}


async def test_it_is_never_more_than_one(url: str, store: Store, pool: Pool, log: Log) -> None:
    for number in range(60):
        await log.search(served(["b"], first=100), searcher=f"s{number}", b=SUCCEEDED)
    await project(url, store, ONLY)
    (lifted,) = (await learned(pool)).values()
    assert lifted == 1.0


async def test_clusters_are_found_by_meaning(pool: Pool) -> None:
    for intent, (x, y) in ((TABLES, (1.0, 0.0)), (OTHER, (0.6, 0.8))):
        await pool.execute(
            "INSERT INTO intent_vector (model, cluster, vector)"
            " VALUES ('m', $1, $2::text::halfvec)",
            intent.cluster,
            str([x, y, *[0.0] * 382]),
        )
    across = str([0.0, 1.0, *[0.0] * 382])
    along = str([1.0, 0.0, *[0.0] * 382])
    nearest = await match_graph.nearest_clusters(pool, "m", along)
    assert [id for id, _ in nearest] == [TABLES.cluster, OTHER.cluster]
    assert [cosine for _, cosine in nearest] == pytest.approx([1.0, 0.6], abs=1e-3)
    assert [id for id, _ in await match_graph.nearest_clusters(pool, "m", across)] == [
        OTHER.cluster
    ]
    assert len(await match_graph.nearest_clusters(pool, "m", along, most=1)) == 1
    assert await match_graph.nearest_clusters(pool, "n", along) == []
