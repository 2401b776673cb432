"""Boards say the same from Redis and from PostgreSQL, and say it whatever happens to Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis.asyncio as redis
from hypothesis import given, settings

from faults.boards import agree, card_of, history_of
from faults.servers import Valkey
from matchgraph.domain.artifact import Artifact, Facts, Kind, id_of
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Connection, Pool, connect, open_pool
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.rank_cache import (
    PAGE,
    PLACES,
    RankCache,
    keys,
    member,
    position_key,
)
from matchgraph.projections.redis_client import open_client
from matchgraph.queries.board import BoardPage, Boards, Standing
from matchgraph.queries.page import BadCursor, BadPageSize, encode
from matchgraph.queries.snapshot import Snapshot
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import provenance, signal, until
from tests.projections.ranks import (
    Move,
    fill,
    grow,
    keeping,
    kept,
    moves,
    ranked,
    reach,
    record,
    replay,
)
from tests.projections.tables import BY


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Connection, Pool]]:
    db, pool = await connect(url, "test"), await open_pool(url, "test", size=2)
    try:
        yield db, pool
    finally:
        await pool.close()
        await db.close()


@pytest.fixture
async def nowhere() -> AsyncIterator["redis.Redis"]:
    """A Redis that is not there."""
    async with open_client("unix:///nowhere/valkey") as client:
        yield client


async def page(
    boards: Boards,
    pool: Pool,
    kind: Kind | None = Kind.MODEL,
    first: int = 10,
    after: str | None = None,
    *,
    at_least: int = 0,
) -> BoardPage:
    snapshot = Snapshot(pool)
    try:
        return await boards.page(snapshot, kind, first, after, at_least=at_least)
    finally:
        await snapshot.close()


async def walk(boards: Boards, pool: Pool, kind: Kind | None, first: int) -> list[BoardPage]:
    """Every page of a board."""
    pages = [await page(boards, pool, kind, first)]
    while pages[-1].page.more:
        after = pages[-1].page.items[-1][0]
        pages.append(await page(boards, pool, kind, first, after))
    return pages


async def standings(boards: Boards, pool: Pool, ids: list[UUID]) -> list[Standing]:
    snapshot = Snapshot(pool)
    try:
        return await boards.standings(snapshot, ids)
    finally:
        await snapshot.close()


async def cached(boards: Boards, pool: Pool, *, at_least: int = 0) -> None:
    """Waits until pages come from Redis."""

    async def there() -> bool:
        return (await page(boards, pool, at_least=at_least)).from_cache

    await until(there)


def naive(rows: list[Any]) -> list[tuple[UUID, int, int]]:
    """Ids in order, each with place and band, as spelled out in the design."""
    rows = sorted(rows, key=lambda row: (-row.standing, row.artifact_id))
    return [
        (row.artifact_id, place, 1 + sum(other.low > row.high for other in rows))
        for place, row in enumerate(rows, start=1)
    ]


@settings(max_examples=8, deadline=None)
@given(moves)
async def test_pages_and_places_are_the_same_from_both(
    servers: Servers, clones: Clones, history: list[list[Move]]
) -> None:
    async with (
        clones() as url,
        open_store(url) as store,
        open_client(servers.redis_url, patience=2) as client,
        open_client("unix:///nowhere/valkey") as nowhere,
        opened(url) as (db, pool),
    ):
        await grow(store, len(history))
        rows: dict[int, Any] = {}
        for position, moved in enumerate(history, start=1):
            await replay(db, position, moved)
            for number, standing, spread, listed in moved:
                kind = (Kind.MODEL, Kind.CLI)[number % 2]
                row = ranked(number, position, kind=kind, standing=standing, spread=spread)
                rows[number] = row if listed else None
        assert await RankCache(url, store.listener, client).advance(db)
        listed_rows = [row for row in rows.values() if row]
        fast, slow = Boards(client), Boards(nowhere)
        every: list[Kind | None] = [None, Kind.MODEL, Kind.CLI, Kind.APP]
        for board in every:
            on_board = [row for row in listed_rows if board in (None, row.kind)]
            for first in (1, 4):
                found = await walk(fast, pool, board, first)
                assert {p.from_cache for p in found} == {True}
                assert {p.position for p in found} == {len(history)}
                assert [
                    (one.ranked.artifact_id, one.place, one.band)
                    for p in found
                    for _, one in p.page.items
                ] == naive(on_board)
                counted = await walk(slow, pool, board, first)
                assert found == [replace(p, from_cache=True) for p in counted]
        ids = [ranked(number, 1).artifact_id for number in range(14)]
        over_all = {id: at for id, *at in naive(listed_rows)}
        of_kind = {
            id: at
            for kind in (Kind.MODEL, Kind.CLI)
            for id, *at in naive([row for row in listed_rows if row.kind == kind])
        }
        wanted = [
            Standing(*of_kind[id], *over_all[id]) if id in over_all else Standing() for id in ids
        ]
        assert await standings(fast, pool, ids) == wanted
        assert await standings(slow, pool, ids) == wanted
        assert not fast.circuit.is_open
        assert slow.circuit.is_open


async def test_a_cursor_leads_on_when_what_it_names_has_left(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis", nowhere: Any
) -> None:
    await grow(store, 10)
    rows = [ranked(n, 1, standing=100 - n) for n in range(6)]
    await record(db, 1, rows)
    cache, fast, slow = RankCache(url, store.listener, client), Boards(client), Boards(nowhere)
    await cache.advance(db)
    before = await page(fast, pool, first=3)
    await record(db, 2, [], gone=[replace(rows[2], position=2)])
    await cache.advance(db)
    for boards in (fast, slow):
        after = await page(boards, pool, first=3, after=before.page.items[-1][0])
        assert [one.ranked for _, one in after.page.items] == rows[3:]
        assert [one.place for _, one in after.page.items] == [3, 4, 5]


async def test_what_is_no_cursor_of_this_board_is_refused(
    store: Store, pool: Pool, client: "redis.Redis"
) -> None:
    boards, id = Boards(client), uuid4()
    bad = [
        "",
        "nonsense",
        encode("rank_board/cli", (5, id)),
        encode("rank_board/model", (-1, id)),
        encode("rank_board/model", (2**32, id)),
        encode("rank_board/model", (5, "no id")),
        encode("rank_board/model", (5,)),
    ]
    for cursor in bad:
        with pytest.raises(BadCursor):
            await page(boards, pool, after=cursor)
    for first in (0, 101, -1):
        with pytest.raises(BadPageSize):
            await page(boards, pool, first=first)


async def test_without_any_event_boards_are_empty(pool: Pool, client: "redis.Redis") -> None:
    boards = Boards(client)
    found = await page(boards, pool)
    assert found.page.items == ()
    assert found.position == 0
    assert not found.from_cache
    assert await standings(boards, pool, [uuid4()]) == [Standing()]


async def test_a_page_is_never_older_than_asked_for(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    rows = [ranked(n, 5, standing=n) for n in range(10)]
    await record(db, 5, rows)
    await RankCache(url, store.listener, client).advance(db)
    boards = Boards(client)
    newer = replace(rows[0], standing=50, position=6)
    await record(db, 6, [newer])
    assert (await page(boards, pool, at_least=5)).from_cache
    found = await page(boards, pool, at_least=6)
    assert not found.from_cache
    assert found.position == 6
    assert found.page.items[0][1].ranked == newer


async def test_a_board_that_no_event_touched_is_as_new_as_the_others(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(1, 5), ranked(2, 5, kind=Kind.CLI)])
    cache, boards = RankCache(url, store.listener, client), Boards(client)
    await cache.advance(db)
    await record(db, 9, [ranked(2, 9, kind=Kind.CLI, standing=1)])
    assert await cache.advance(db)
    found = await page(boards, pool, at_least=9)
    assert found.from_cache
    assert found.position == 9
    await record(db, 10, [ranked(1, 10, standing=2)])
    assert await cache.advance(db)
    assert (await page(boards, pool, at_least=10)).from_cache


async def test_a_board_that_went_back_says_how_far(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    """Its server failed over to one that lacks the last change, the others did not."""
    await grow(store, 20)
    rows = [ranked(n, 5, standing=9 - n) for n in range(3)]
    await record(db, 5, rows)
    cache, boards = RankCache(url, store.listener, client, audit=0), Boards(client)
    await cache.advance(db)
    names = keys(await history_of(db), Kind.MODEL)
    for name in names:
        await client.copy(name, f"{name}:replica")
    await record(db, 9, [replace(rows[2], standing=50, position=9)])
    assert await cache.advance(db)
    for name in names:
        await client.rename(f"{name}:replica", name)
    ids = [row.artifact_id for row in rows]
    found = await page(boards, pool)
    assert found.from_cache
    assert found.position == 5
    assert [one.ranked for _, one in found.page.items] == rows
    assert not (await page(boards, pool, at_least=9)).from_cache
    assert [one.place for one in await standings(boards, pool, ids)] == [2, 3, 1]
    assert await cache.advance(db)
    assert (await page(boards, pool, at_least=9)).from_cache


async def test_a_board_that_has_to_wait_for_its_refill_says_how_far_it_is(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    """More has changed over all than goes into one script, in no kind is it so much."""
    await grow(store, 10)
    await fill(db, 3_000, 5)
    cache, boards = RankCache(url, store.listener, client), Boards(client)
    assert await cache.advance(db)
    async with db.transaction():
        await db.execute(
            "UPDATE rank_board SET position = 6, standing = standing + 1 WHERE artifact_id = ANY"
            " (ARRAY(SELECT artifact_id FROM rank_board ORDER BY artifact_id LIMIT 400))"
        )
        await reach(db, 6)
    assert not await cache.advance(db)
    of_kind = await page(boards, pool, Kind.MODEL, at_least=6)
    assert of_kind.from_cache
    over_all = await page(boards, pool, None)
    assert over_all.from_cache
    assert over_all.position == 5
    assert not (await page(boards, pool, None, at_least=6)).from_cache

    async def there() -> bool:
        return await cache.advance(db)

    await until(there)
    assert await agree(db, client)
    assert (await page(boards, pool, None, at_least=6)).from_cache


async def test_places_are_those_of_the_snapshot(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    """Whether Redis is behind what the snapshot sees, or ahead of it."""
    await grow(store, 20)
    rows = [ranked(n, 5, standing=10 - n) for n in range(3)]
    ids = [row.artifact_id for row in rows]
    await record(db, 5, rows)
    cache, boards = RankCache(url, store.listener, client), Boards(client)
    await cache.advance(db)
    old = Snapshot(pool)
    try:
        first = await boards.standings(old, ids)
        assert [one.place for one in first] == [1, 2, 3]
        await record(db, 6, [replace(rows[0], standing=0, position=6)])
        for _ in range(2):
            assert [one.place for one in await standings(boards, pool, ids)] == [3, 1, 2]
            # Also of those that have not moved themselves.
            assert [one.place for one in await standings(boards, pool, ids[1:])] == [1, 2]
            assert await boards.standings(old, ids) == first
            assert await boards.standings(old, ids[1:]) == first[1:]
            await cache.advance(db)
    finally:
        await old.close()
    # Confirmed to be unchanged since.
    await reach(db, 9)
    await cache.advance(db)
    assert [one.place for one in await standings(boards, pool, ids)] == [3, 1, 2]


async def test_a_confirmation_that_nobody_renews_is_not_relied_on(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(1, 5)])
    await RankCache(url, store.listener, client, lease=0.2).advance(db)
    boards = Boards(client)
    assert (await page(boards, pool)).from_cache

    async def expired() -> bool:
        return not (await page(boards, pool)).from_cache

    await until(expired)
    await RankCache(url, store.listener, client).advance(db)
    assert (await page(boards, pool)).from_cache


async def test_whatever_lies_in_redis_answers_are_right(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    rows = [ranked(n, 5, standing=9 - n) for n in range(5)]
    ids = [row.artifact_id for row in rows]
    await record(db, 5, rows)
    cache, boards = RankCache(url, store.listener, client), Boards(client)
    assert await cache.advance(db)
    wanted = replace(await page(boards, pool), from_cache=False)
    places = await standings(boards, pool, ids)
    history = await history_of(db)
    board, lows, cards, meta = names = keys(history, Kind.MODEL)
    id = ids[2].hex
    card = card_of(rows[2])
    damages: list[Any] = [
        *(lambda key=key: client.delete(key) for key in names),
        *(lambda key=key: client.set(key, "text") for key in names),
        lambda: client.set(position_key(history), "text"),
        lambda: client.delete(position_key(history)),
        lambda: client.hset(position_key(history), "position", "x"),
        lambda: client.hset(cards, id, "garbage"),
        lambda: client.hset(cards, id, card[:24] + b"[1]"),
        lambda: client.hset(cards, id, card[:24] + b"\n" + card[24:]),
        lambda: client.hset(cards, id, card_of(rows[1])),
        lambda: client.hset(cards, id, b"f" * 24 + card[24:]),
        lambda: client.hset(meta, "count", 4),
        lambda: client.hset(meta, "position", "x"),
        lambda: client.hdel(meta, "position"),
        lambda: client.zadd(board, {"garbage": 0}),
        lambda: client.zrem(lows, member(rows[0].low, rows[0].artifact_id)),
    ]
    for damage in damages:
        await damage()
        assert await page(boards, pool) == wanted
        assert await standings(boards, pool, ids) == places
        assert not boards.circuit.is_open
        cache = RankCache(url, store.listener, client)
        await client.delete(*names)
        await cache.advance(db)
        assert (await page(boards, pool)).from_cache


async def test_a_redis_that_is_down_costs_nothing_and_is_found_again(
    url: str, store: Store, db: Connection, pool: Pool, own: "redis.Redis", valkey: Valkey
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with open_client(valkey.url) as hasty, keeping(url, store, own):
        boards = Boards(hasty)
        await cached(boards, pool)
        wanted = (await page(boards, pool)).page
        valkey.kill()
        for _ in range(30):
            found = await page(boards, pool)
            assert found.page == wanted
            assert not found.from_cache
        assert boards.circuit.is_open
        valkey.start()
        await cached(boards, pool)
        assert not boards.circuit.is_open


async def test_a_redis_that_pauses_delays_one_request_a_second(
    url: str, store: Store, db: Connection, pool: Pool, own: "redis.Redis", valkey: Valkey
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with open_client(valkey.url) as hasty, keeping(url, store, own):
        boards = Boards(hasty)
        await cached(boards, pool)
        await own.client_pause(2_500)
        started = time.monotonic()
        took: list[float] = []
        while time.monotonic() < started + 2:
            begun = time.monotonic()
            found = await page(boards, pool)
            took.append(time.monotonic() - begun)
            assert not found.from_cache
            assert len(found.page.items) == 10
        assert max(took) < 0.5
        assert sum(one > 0.15 for one in took) <= 3
        await cached(boards, pool)


async def test_while_one_request_tries_again_the_others_do_not_wait(
    url: str, store: Store, db: Connection, pool: Pool, own: "redis.Redis", valkey: Valkey
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    await RankCache(url, store.listener, own).advance(db)
    async with open_client(valkey.url) as hasty:
        boards = Boards(hasty, rest=0.3)
        assert (await page(boards, pool)).from_cache
        await own.client_pause(1_500)
        assert not (await page(boards, pool)).from_cache

        async def timed() -> float:
            begun = time.monotonic()
            await page(boards, pool)
            return time.monotonic() - begun

        async def tried_again() -> bool:
            took = sorted(await asyncio.gather(*(timed() for _ in range(4))))
            assert took[2] < 0.15
            return took[3] > 0.15

        await until(tried_again)


async def test_scripts_that_redis_forgot_are_sent_again(
    url: str, store: Store, db: Connection, pool: Pool, own: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    await RankCache(url, store.listener, own).advance(db)
    boards = Boards(own)
    for _ in range(3):
        await own.script_flush()
        assert (await page(boards, pool)).from_cache
        assert await standings(boards, pool, [ranked(0, 5).artifact_id])
    assert {PAGE.call([], 1)[0], PLACES.call([], 1)[0]} == {"EVALSHA"}


async def test_an_emptied_redis_is_answered_for_while_it_fills(
    url: str, store: Store, db: Connection, pool: Pool, own: "redis.Redis"
) -> None:
    await grow(store, 100)
    await fill(db, 4_000, 1)
    async with keeping(url, store, own):
        await kept(db, own)
        boards = Boards(own)
        for position in range(2, 40):
            await record(db, position, [ranked(position, position, standing=10**8 - position)])
            if position % 10 == 0:
                await own.flushall()
            found = await page(boards, pool, None, 5, at_least=position)
            assert found.position >= position
            assert found.page.items[0][1].ranked.standing == 10**8 - 2
            assert [one.place for _, one in found.page.items] == [1, 2, 3, 4, 5]
            assert [one.ranked.standing for _, one in found.page.items[: position - 1]] == [
                10**8 - n for n in range(2, position + 1)
            ][:5]
        await cached(boards, pool)


async def test_real_events_come_out_ranked(
    url: str, store: Store, db: Connection, pool: Pool, client: "redis.Redis", nowhere: Any
) -> None:
    fast, slow = Boards(client), Boards(nowhere)
    cache = RankCache(url, store.listener, client)
    made = [
        Artifact.register(slug, Kind.MODEL, Facts(name=slug), provenance())
        for slug in ("good", "fair", "poor")
    ]
    for one, downloads in zip(made, ("1000000", "1000", "1"), strict=True):
        one.observe_signal(signal(downloads, name=SignalName.DOWNLOADS_30D))
    made.append(Artifact.register("other", Kind.CLI, Facts(name="other"), provenance()))
    head = await store.append(made, BY)
    await project(url, store)
    assert await cache.advance(db)
    for kind in (None, Kind.MODEL, Kind.CLI):
        found = await page(fast, pool, kind, at_least=head)
        assert found.from_cache
        assert replace(found, from_cache=False) == await page(slow, pool, kind)
    slugs = [one.ranked.slug for _, one in (await page(fast, pool, Kind.MODEL)).page.items]
    assert set(slugs) == {"good", "fair", "poor"}
    gone = made[0]
    gone.retire("superseded")
    head = await store.append([gone], BY)
    await project(url, store)
    assert await cache.advance(db)
    found = await page(fast, pool, Kind.MODEL, at_least=head)
    assert found.from_cache
    assert {one.ranked.slug for _, one in found.page.items} == {"fair", "poor"}
    ids = [id_of(slug) for slug in ("good", "fair", "poor", "other", "nobody")]
    assert await standings(fast, pool, ids) == await standings(slow, pool, ids)
    assert (await standings(fast, pool, ids))[0] == Standing()
