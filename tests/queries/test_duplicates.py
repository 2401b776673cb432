"""Which pairs of the catalog are likely one, and what merging and telling apart does to them."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings

from matchgraph.commands import artifact as commands
from matchgraph.domain.artifact import Alias, Artifact, Status
from matchgraph.domain.duplicate import Sign
from matchgraph.eventstore.connection import Pool, open_pool
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.queries.duplicates import LARGEST_BLOCK, LikelyDuplicate, all_likely, likely
from matchgraph.queries.page import BadCursor, BadPageSize
from matchgraph.queries.snapshot import viewing
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, worlds
from tests.projections.tables import BY

# What a read model says of the last event that it heard of an artifact, not of the artifact.
WHEN = ("changed_at", "position")


async def found(pool: Pool, min_confidence: float = 0.8) -> list[LikelyDuplicate]:
    async with viewing(pool) as snapshot:
        return await all_likely(snapshot, min_confidence)


def slugs(pairs: Sequence[LikelyDuplicate]) -> list[tuple[str, str]]:
    return [(pair.left.slug, pair.right.slug) for pair in pairs]


async def taken_in(url: str, store: Store, *made: Artifact | Alias) -> None:
    await store.append(made, BY)
    await project(url, store)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(url, "test", size=2)
    yield pool
    await pool.close()


async def test_one_thing_under_two_slugs_is_found_with_the_reasons(
    url: str, store: Store, pool: Pool
) -> None:
    await taken_in(
        url,
        store,
        artifact("all-minilm-l6-v2", name="all-MiniLM-L6-v2", vendor="Acme"),
        artifact("all-mini-lm-l6-v2", name="All-MiniLM-L6-v2"),
        artifact("all-minilm-l12-v2", name="all-MiniLM-L12-v2", vendor="Acme"),
        artifact("parser"),
    )
    (pair,) = await found(pool)
    assert slugs([pair]) == [("all-minilm-l6-v2", "all-mini-lm-l6-v2")]
    assert [reason.sign for reason in pair.likeness.reasons] == [
        Sign.SAME_NAME,
        Sign.SLUG_OF_THE_OTHER,
    ]


async def test_each_kind_of_key_brings_a_pair_together(url: str, store: Store, pool: Pool) -> None:
    acme = {"vendor": "Acme", "family": "f", "released": date(2026, 1, 1)}
    made = [
        # The words in another order, one word more, a word misspelled.
        artifact("words-1", name="Alpha 3 Omega", **acme),
        artifact("words-2", name="Omega Alpha 3", **acme),
        artifact("more-1", name="Zeta Reader"),
        artifact("more-2", name="Acme Zeta Reader"),
        artifact("typo-1", name="Kappa Sumarizer"),
        artifact("typo-2", name="Kappa Summarizer"),
        # An alias, a dated slug, a homepage.
        artifact("alias-1", name="Theta"),
        artifact("the-ta", name="Something else"),
        artifact("dated-one", name="Iota One"),
        artifact("dated-one-2026-01-31", name="Iota First"),
        artifact("home-1", name="Lambda", homepage="https://www.lambda.example/"),
        artifact("home-2", name="Mu", homepage="http://lambda.example"),
    ]
    await taken_in(url, store, *made, Alias.of("t-he-ta", made[6].id))
    pairs = set(slugs(await found(pool, 0)))
    for prefix in ("words", "more", "typo", "home"):
        assert (f"{prefix}-1", f"{prefix}-2") in pairs
    assert ("dated-one", "dated-one-2026-01-31") in pairs
    assert ("alias-1", "the-ta") in pairs
    assert ("words-1", "home-1") not in pairs


async def test_a_key_that_many_share_brings_nobody_together(
    url: str, store: Store, pool: Pool
) -> None:
    made = [
        artifact(f"thing-{n}", name=f"Thing {n}", homepage="https://hub.example")
        for n in range(LARGEST_BLOCK + 1)
    ]
    await taken_in(url, store, *made)
    assert await found(pool, 0) == []


async def test_pages_follow_each_other_without_gap_or_repetition(
    url: str, store: Store, pool: Pool
) -> None:
    made = [
        artifact(f"{prefix}thing{n}", name=f"Thing {n}", **said)
        for n in range(5)
        for prefix, said in (("", {}), ("a-", {"context_tokens": 1}), ("b-", {"context_tokens": 9}))
    ]
    await taken_in(url, store, *made)
    whole = await found(pool, 0)
    assert len(whole) == 15
    assert [pair.likeness.confidence for pair in whole] == sorted(
        (pair.likeness.confidence for pair in whole), reverse=True
    )
    paged: list[LikelyDuplicate] = []
    after = None
    while True:
        async with viewing(pool) as snapshot:
            page = await likely(snapshot, 4, after, 0)
        paged += [pair for _, pair in page.items]
        after = page.items[-1][0]
        if not page.more:
            break
    assert paged == whole


async def test_a_bad_page_is_refused(pool: Pool) -> None:
    async with viewing(pool) as snapshot:
        for first in (0, 101):
            with pytest.raises(BadPageSize):
                await likely(snapshot, first, None)
        with pytest.raises(BadCursor):
            await likely(snapshot, 1, "nonsense")


async def test_what_is_merged_or_retired_or_told_apart_is_no_duplicate(
    url: str, store: Store, pool: Pool
) -> None:
    await taken_in(
        url, store, *(artifact(slug, name="Parser") for slug in ("parser", "pars-er", "parse-r"))
    )
    assert len(await found(pool)) == 3
    await commands.tell_apart(store, BY, "parser", "pars-er")
    await project(url, store)
    assert slugs(await found(pool)) == [("pars-er", "parse-r"), ("parser", "parse-r")]
    await commands.merge(store, BY, "parse-r", "parser")
    await project(url, store)
    assert await found(pool) == []
    await commands.unmerge(store, BY, "parse-r")
    await project(url, store)
    assert len(await found(pool)) == 2
    await commands.retire(store, BY, "parse-r", "gone")
    await project(url, store)
    assert await found(pool) == []


@settings(max_examples=6, deadline=None)
@given(worlds())
async def test_a_merge_and_its_undoing_leave_both_as_they_were(
    clones: Clones, world: World
) -> None:
    active = [one for one in world.artifacts.values() if one.status is Status.ACTIVE]
    assume(len(active) >= 2)
    merged, target = active[:2]
    async with clones() as url, open_store(url) as store:
        await store.append_batch(world.events, BY)
        await project(url, store)
        before = await said(url)
        as_it_was = (vars(merged).copy(), vars(target).copy())
        await commands.merge(store, BY, merged.slug, target.slug)
        await project(url, store)
        during = await said(url)
        assert during != before
        await commands.unmerge(store, BY, merged.slug)
        await project(url, store)
        assert await said(url) == before
        for one, was in zip((merged, target), as_it_was, strict=True):
            again = await store.load(one.id)
            assert again is not None
            for name, value in was.items():
                if name not in ("_version", "_modified_on", "_pending_events", "absorbed"):
                    assert vars(again)[name] == value, name


PAST = ("_past", "_history")


async def said(url: str) -> dict[str, list[Any]]:
    """What the read models say of artifacts, without when they last heard of them."""
    pool = await open_pool(url, "test", size=1)
    tables = [table for projection in PROJECTIONS for table in projection.tables]
    kept: dict[str, list[Any]] = {}
    for table in tables:
        # Nor what they said before, which is more after each event.
        if table.startswith(("rank_", "search_term", "trail")) or table.endswith(PAST):
            continue
        rows = await pool.fetch(f"SELECT t.* FROM {table} t ORDER BY t::text")
        kept[table] = sorted(
            tuple((k, str(v)) for k, v in row.items() if k not in WHEN) for row in rows
        )
    # Its place is the one of its last change; that of now is counted when it is asked for.
    standing = await pool.fetch(
        "SELECT artifact_id, score, low, high, coverage, standing FROM rank_board ORDER BY 1"
    )
    kept["rank_board"] = [tuple(row.items()) for row in standing]
    await pool.close()
    return kept
