"""Keys of searchers: what they seal opens with them alone, in its own place, and as long as they
are there."""

import asyncio
import logging
from uuid import UUID, uuid4

import pytest

from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.searcher_keys import (
    LIFE,
    PORTION,
    DamagedKey,
    Key,
    SealedText,
    SearcherKeys,
    UnknownMaster,
    label_of,
    need_of,
)

MASTER, NEWER = "a master key that tests wrap with", "a newer master key to wrap with"
TEXT = "Zebulon, 文".encode()


@pytest.fixture
def keys(pool: Pool) -> SearcherKeys:
    return SearcherKeys(pool, [MASTER])


def fresh(pool: Pool, *masters: str) -> SearcherKeys:
    """The keys as another process has them."""
    return SearcherKeys(pool, masters or [MASTER])


def sealed(key: Key, bound_to: str = "here", text: bytes = TEXT) -> SealedText:
    return SealedText(key.id, key.seal(text, bound_to), bound_to)


async def test_what_is_sealed_opens_in_every_process_that_has_the_master_key(
    pool: Pool, keys: SearcherKeys
) -> None:
    one = sealed(await keys.of("ann"))
    assert TEXT not in one.text
    assert await keys.opened([one]) == await fresh(pool).opened([one]) == [TEXT]
    assert (await fresh(pool).of("ann")).id == one.key
    row = await pool.fetchrow("SELECT * FROM searcher_key")
    assert row is not None
    assert len(row["wrapped"]) == 12 + 32 + 16


async def test_the_same_text_is_never_sealed_the_same_way_twice(keys: SearcherKeys) -> None:
    key = await keys.of("ann")
    assert len({key.seal(TEXT, "here") for _ in range(100)}) == 100


async def test_a_sealed_text_opens_in_its_own_place_alone(
    keys: SearcherKeys, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = await keys.of("ann"), await keys.of("bob")
    one = sealed(ann)
    turned = bytes([one.text[-1] ^ 1])
    for wrong in (
        SealedText(one.key, one.text, "there"),
        SealedText(bob.id, one.text, "here"),
        SealedText(one.key, one.text[:-1] + turned, "here"),
        SealedText(one.key, one.text[:5], "here"),
        SealedText(one.key, b"", "here"),
    ):
        with caplog.at_level(logging.ERROR):
            assert await keys.opened([wrong]) == [None]
        assert "damaged" in caplog.text
        caplog.clear()
    id = uuid4()
    assert len({need_of(id), label_of(id), need_of(UUID(int=1))}) == 3


async def test_a_wrapped_key_is_of_use_for_its_searcher_alone(
    pool: Pool, keys: SearcherKeys
) -> None:
    await keys.of("ann")
    await pool.execute("UPDATE searcher_key SET searcher = 'mallory'")
    with pytest.raises(DamagedKey, match="forget mallory"):
        await fresh(pool).of("mallory")
    with pytest.raises(DamagedKey):
        await fresh(pool, NEWER, MASTER).rotate()
    await pool.execute("UPDATE searcher_key SET wrapped = ''")
    with pytest.raises(DamagedKey):
        await fresh(pool).of("mallory")


async def test_all_who_come_at_once_get_one_key(pool: Pool) -> None:
    processes = [fresh(pool) for _ in range(8)]
    found = await asyncio.gather(*(one.of("ann") for one in processes * 5))
    assert len({key.id for key in found}) == 1
    assert await pool.fetchval("SELECT count(*) FROM searcher_key") == 1


async def test_a_destroyed_key_opens_nothing_once_processes_have_looked_again(pool: Pool) -> None:
    now = [0.0]
    keys = SearcherKeys(pool, [MASTER], clock=lambda: now[0])
    one = sealed(await keys.of("ann"))
    assert await keys.opened([one]) == [TEXT]
    now[0] = LIFE / 2
    await pool.execute("DELETE FROM searcher_key")
    assert await fresh(pool).opened([one]) == [None]
    assert await keys.opened([one]) == [TEXT], "using it does not make it last"
    now[0] = LIFE
    assert (await keys.of("ann")).id != one.key
    now[0] = LIFE * 1.5
    assert await keys.opened([one]) == [None]


async def test_keys_in_use_take_no_statement_and_many_others_take_one(pool: Pool) -> None:
    keys = SearcherKeys(pool, [MASTER])
    texts = [sealed(await keys.of(f"s{number}")) for number in range(50)]
    other = fresh(pool)
    async with pool.acquire() as db:
        asked: list[str] = []
        db.add_query_logger(lambda said: asked.append(said.query))
        one = SearcherKeys(db, [MASTER])  # type: ignore[arg-type]
        assert await one.opened(texts * 2) == await other.opened(texts * 2) == [TEXT] * 100
        assert await one.opened(texts) == [TEXT] * 50
        assert sum("searcher_key" in query for query in asked) == 1
        await one.of("s1")
        await one.of("s1")
        await asyncio.sleep(0)  # in which the query logger is called
        assert sum("searcher_key" in query for query in asked) == 2


async def test_so_many_keys_are_in_memory_and_no_more(pool: Pool) -> None:
    keys = SearcherKeys(pool, [MASTER], most=3)
    for number in range(10):
        await keys.of(f"s{number}")
    assert len(keys._known) == 3


async def test_without_the_master_key_nothing_opens_and_the_refusal_says_which(
    pool: Pool, keys: SearcherKeys, caplog: pytest.LogCaptureFixture
) -> None:
    one = sealed(await keys.of("ann"))
    await keys.check()
    stranger = fresh(pool, NEWER)
    with pytest.raises(UnknownMaster, match="MATCHGRAPH_SEARCH_KEYS") as refused:
        await stranger.check()
    assert refused.value.name in str(refused.value)
    assert MASTER not in str(refused.value)
    with pytest.raises(UnknownMaster):
        await stranger.of("ann")
    assert await stranger.opened([one]) == [None]
    assert refused.value.name in caplog.text
    assert [held.searcher for held in await stranger.lost()] == ["ann"]


async def test_a_master_key_is_replaced_and_what_is_sealed_stays(
    pool: Pool, keys: SearcherKeys
) -> None:
    texts = [sealed(await keys.of(f"s{number}")) for number in range(5)]
    both = fresh(pool, NEWER, MASTER)
    told: list[tuple[int, int]] = []
    assert await both.rotate(lambda done, total: told.append((done, total))) == 5
    assert told == [(5, 5)]
    assert await both.rotate() == 0
    only = fresh(pool, NEWER)
    await only.check()
    assert await only.opened(texts) == [TEXT] * 5
    with pytest.raises(UnknownMaster):
        await fresh(pool, MASTER).check()


async def test_a_rotation_goes_on_where_it_was_interrupted(pool: Pool, keys: SearcherKeys) -> None:
    count = PORTION + 5
    await pool.executemany(
        "SELECT searcher_key_for($1, $2, $3, $4)",
        [
            (uuid4(), f"s{number}", keys._newest.name, keys._newest.wrap(f"s{number}", b"k" * 32))
            for number in range(count)
        ],
    )

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    both = fresh(pool, NEWER, MASTER)
    with pytest.raises(InterruptedError):
        await both.rotate(stop)
    assert await both.rotate() == 5
    await fresh(pool, NEWER).check()


async def test_a_database_that_is_away_is_unavailable(pool: Pool, keys: SearcherKeys) -> None:
    await pool.close()
    with pytest.raises(Unavailable):
        await keys.of("ann")
