"""Forgotten keys, and what becomes of the words that they sealed."""

from typing import Any
from uuid import UUID

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.searcher import Searcher
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.forgotten_key import FORGOTTEN_KEY
from matchgraph.projections.match_graph import MATCH_GRAPH, MOST_WORDS
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import INTENTS, World, key_of, worlds
from tests.projections.searches import Log
from tests.projections.tables import BY, contents, start_over

BOTH = (MATCH_GRAPH, FORGOTTEN_KEY)
TABLES, OTHER = INTENTS


async def words(pool: Pool) -> list[tuple[UUID, int, UUID]]:
    rows: list[asyncpg.Record] = await pool.fetch(
        "SELECT cluster, position, key FROM match_words ORDER BY cluster, position"
    )
    return [tuple(row) for row in rows]


async def forget(store: Store, *searchers: str) -> int:
    return await store.append(
        [Searcher.forget(None, searcher, key_of(searcher)) for searcher in searchers], BY
    )


async def test_an_intent_is_kept_in_the_words_of_a_few_searchers(
    url: str, store: Store, pool: Pool
) -> None:
    log = Log(store)
    for searcher in ("ann", "ann", "bob", "cleo", "dan"):
        await log.search((), searcher=searcher)
    await project(url, store, BOTH)
    assert await words(pool) == [
        (TABLES.cluster, 1, key_of("ann")),
        (TABLES.cluster, 3, key_of("bob")),
        (TABLES.cluster, 4, key_of("cleo")),
    ]
    assert MOST_WORDS == 3


async def test_who_is_forgotten_makes_place_for_the_words_of_who_comes_next(
    url: str, store: Store, pool: Pool
) -> None:
    log = Log(store)
    for searcher in ("ann", "bob", "cleo"):
        await log.search((), searcher=searcher)
    await log.search((), searcher="ann", intent=OTHER)
    await project(url, store, BOTH)
    end = await forget(store, "ann", "zoe")
    await project(url, store, BOTH)
    known = [(TABLES.cluster, 2, key_of("bob")), (TABLES.cluster, 3, key_of("cleo"))]
    assert await words(pool) == known
    await log.search((), searcher="dan")
    await log.search((), searcher="eve")
    await project(url, store, BOTH)
    assert await words(pool) == [*known, (TABLES.cluster, end + 1, key_of("dan"))]
    rows = await pool.fetch("SELECT * FROM forgotten_key ORDER BY position")
    assert [tuple(row) for row in rows] == [
        (key_of("ann"), "ann", end - 1),
        (key_of("zoe"), "zoe", end),
    ]


@settings(max_examples=15, deadline=None)
@given(
    # Mostly searches, and somebody forgotten now and then.
    world=st.lists(
        st.one_of(
            *[
                st.tuples(
                    st.just("search"),
                    st.tuples(st.sampled_from(INTENTS), st.sampled_from("abcde"), st.just(())),
                )
            ]
            * 3,
            st.tuples(st.just("forget"), st.tuples(st.sampled_from("abcde"))),
        ),
        min_size=5,
        max_size=50,
    ).map(lambda steps: World().take(steps))
    | worlds(),
    page=st.sampled_from([1, 2, 3, 7]),
)
async def test_the_words_left_are_the_same_bytes_in_any_pages(
    clones: Clones, world: World, page: int
) -> None:
    async with clones() as url, open_store(url) as store:
        for events in world.commands:
            await store.append_stored(events, BY)
            await project(url, store, BOTH)
        live: dict[str, Any] = await contents(url, BOTH)
        for size in (page, 2_000):
            await start_over(url, BOTH)
            await project(url, store, BOTH, page=size)
            assert await contents(url, BOTH) == live
