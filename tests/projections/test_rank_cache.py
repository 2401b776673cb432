"""Redis holds the boards exactly as PostgreSQL does, whatever is done to either of them."""

import asyncio
import random
import time
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio as redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from faults.boards import agree, card_of, history_of
from faults.servers import Valkey
from matchgraph.domain.artifact import Kind
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.rank_cache import (
    ALL,
    APPLY,
    FILL,
    GROUPS,
    SAMPLE,
    SWAP,
    CacheAway,
    RankCache,
    forget,
    keys,
    member,
    position_key,
    ranked_in,
    send,
)
from matchgraph.projections.ranked import Ranked
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import until
from tests.projections.ranks import (
    Move,
    cut_off,
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


async def test_what_changes_is_in_redis_soon_after(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 50)
    async with keeping(url, store, client):
        await record(db, 10, [ranked(n, 10) for n in range(30)])
        await kept(db, client)
        await record(db, 11, [ranked(3, 11, standing=-20_000_000), ranked(99, 11, kind=Kind.CLI)])
        await kept(db, client)
        await record(db, 12, [], gone=[ranked(4, 12)])
        await kept(db, client)
        await reach(db, 20)
        await kept(db, client)
        await record(db, 21, [ranked(4, 21)])
        await kept(db, client)


async def test_an_event_that_moves_no_board_is_confirmed_without_touching_one(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(1, 5)])
    async with keeping(url, store, client):
        await kept(db, client)
        await reach(db, 20)
        await kept(db, client)
    history = await history_of(db)
    assert await client.hget(keys(history, ALL)[3], "position") == b"5"
    assert await client.hget(position_key(history), "position") == b"20"


async def test_an_empty_log_has_no_boards_and_the_first_event_brings_them(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    async with keeping(url, store, client):
        await grow(store, 1)
        await record(db, 1, [ranked(1, 1)])
        await kept(db, client)


@settings(max_examples=10, deadline=None)
@given(moves)
async def test_every_history_ends_the_same_in_both(
    servers: Servers, clones: Clones, history: list[list[Move]]
) -> None:
    async with (
        clones() as url,
        open_store(url) as store,
        open_client(servers.redis_url, patience=2) as client,
        keeping(url, store, client),
    ):
        db = await connect(url, "test")
        await grow(store, len(history))
        for position, moved in enumerate(history, start=1):
            await replay(db, position, moved)
        await kept(db, client)
        await db.close()


@settings(max_examples=25, deadline=None)
@given(moves, st.randoms(use_true_random=False))
async def test_changes_in_any_order_and_more_than_once_never_take_a_board_back(
    servers: Servers, history: list[list[Move]], chance: random.Random
) -> None:
    """What has changed since each position is applied at random, as several writers would."""
    states: list[dict[str, bytes]] = [{}]
    for position, moved in enumerate(history, start=1):
        states.append(dict(states[-1]))
        for number, standing, spread, listed in moved:
            row = ranked(number, position, standing=standing, spread=spread)
            states[-1][row.artifact_id.hex] = card_of(row) if listed else b""
    group = keys(uuid4().hex, ALL)
    async with open_client(servers.redis_url, patience=2) as client:
        await client.hset(group[3], mapping={"position": 0, "digest": "d0", "count": 0})
        pairs = [(a, b) for b in range(len(states)) for a in range(b)]
        at = 0
        for start, end in chance.choices(pairs, k=20) + [(i - 1, i) for _, i in pairs if i]:
            # Also what has come back to what it was, as rows have it.
            since = {ranked(move[0], 1).artifact_id.hex for m in history[start:end] for move in m}
            changed = {id: states[end][id] for id in since}
            words = [word for pair in changed.items() for word in pair]
            (reached,) = await send(client, [APPLY.call(group, start, end, f"d{end}", *words)])
            assert reached == (end if start <= at < end else at)
            at = reached
            wanted = {id.encode(): said for id, said in states[at].items() if said}
            assert await client.hgetall(group[2]) == wanted
            assert await client.zrange(group[0], 0, -1) == sorted(
                said[:8] + id for id, said in wanted.items()
            )
            assert await client.hget(group[3], "count") == str(len(wanted)).encode()
        assert at == len(history)
        await client.delete(*group)


async def test_a_board_that_was_built_from_an_older_view_does_not_replace_a_newer_one(
    client: "redis.Redis",
) -> None:
    group, token = keys(uuid4().hex, ALL), uuid4().hex
    unfinished = [f"{key}:{token}" for key in group[:3]]

    async def build(position: int, *rows: Ranked, count: int | None = None) -> int:
        words = [word for row in rows for word in (row.artifact_id.hex, card_of(row))]
        counted = len(rows) if count is None else count
        _, reached = await send(
            client,
            [
                FILL.call(unfinished, 60_000, *words),
                SWAP.call((*group, *unfinished), position, f"d{position}", counted),
            ],
        )
        assert await client.exists(*unfinished) == 0
        return int(reached)

    old, new = ranked(1, 3), ranked(1, 5, standing=7)
    assert await build(5, new) == 5
    assert await build(3, old) == 5
    assert await client.hvals(group[2]) == [card_of(new)]
    # What was built has lost something meanwhile.
    assert await build(6, old, ranked(2, 6), count=3) == -1
    assert await client.hvals(group[2]) == [card_of(new)]
    # What is there has.
    await client.delete(group[1])
    assert await build(3, old) == 3
    assert await client.hvals(group[2]) == [card_of(old)]
    assert {await client.ttl(key) for key in group} == {-1}
    assert await build(4) == 4
    assert await client.hgetall(group[3]) == {b"position": b"4", b"digest": b"d4", b"count": b"0"}
    await client.delete(*group)


async def test_who_takes_over_goes_on_with_what_is_there(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 30)
    await record(db, 5, [ranked(1, 5), ranked(2, 5, kind=Kind.CLI)])
    assert await RankCache(url, store.listener, client).advance(db)
    await reach(db, 9)
    assert await RankCache(url, store.listener, client).advance(db)
    metas = [keys(await history_of(db), group)[3] for group in GROUPS]
    for meta in metas:
        await client.hset(meta, "mark", "left as it was")
    await record(db, 12, [ranked(1, 12)])
    assert await RankCache(url, store.listener, client).advance(db)
    assert await agree(db, client)
    marked = [await client.hexists(meta, "mark") for meta in metas]
    assert marked == [group not in (ALL, Kind.MODEL) for group in GROUPS]


async def test_a_calibration_moves_everything_at_once_and_no_half_of_it_is_seen(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    await fill(db, 3_000, 5)
    async with keeping(url, store, client):
        await kept(db, client)
        group = keys(await history_of(db), ALL)
        seen = set()

        async def counts() -> None:
            while True:
                async with client.pipeline(transaction=True) as pipeline:
                    for command, key in zip(("ZCARD", "ZCARD", "HLEN"), group[:3], strict=True):
                        pipeline.execute_command(command, key)
                    seen.add(tuple(await pipeline.execute()))

        watching = asyncio.create_task(counts())
        for position in range(6, 10):
            await fill(db, 3_000, position)
            await kept(db, client)
        await stop(watching)
        assert seen == {(3_000, 3_000, 3_000)}


async def test_a_hundred_thousand_are_there_within_a_minute(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 10)
    await fill(db, 100_000, 5)
    history = await history_of(db)

    async def complete() -> bool:
        return await client.hget(position_key(history), ALL) is not None

    started = time.monotonic()
    async with keeping(url, store, client):
        await until(complete, patience=60)
        took = time.monotonic() - started
        assert await agree(db, client)
        # One more is no new refill.
        await record(db, 6, [ranked(1, 6)])
        await kept(db, client)
    assert took < 60
    await client.unlink(*[key async for key in client.scan_iter(f"matchgraph:{history}:*")])


async def test_a_refill_that_was_broken_off_is_done_again_and_leaves_nothing(
    url: str, store: Store, db: Connection, own: "redis.Redis"
) -> None:
    await grow(store, 10)
    await fill(db, 20_000, 5)

    async def begun() -> bool:
        return await own.dbsize() > 0

    broken_off = 0
    while broken_off < 3:
        await own.flushall()
        cache = asyncio.create_task(RankCache(url, store.listener, own).run())
        await until(begun)
        await stop(cache)
        # A cancellation may get lost in a library, and then it was done before the next one.
        if not await own.exists(position_key(await history_of(db))):
            broken_off += 1
            left = [key async for key in own.scan_iter("*")]
            assert all([await own.pttl(key) > 0 for key in left])
    await own.flushall()
    async with keeping(url, store, own):
        await kept(db, own)


async def test_an_emptied_redis_is_filled_again_while_events_go_on(
    url: str, store: Store, db: Connection, own: "redis.Redis"
) -> None:
    await grow(store, 200)
    await fill(db, 2_000, 1)
    async with keeping(url, store, own):
        for position in range(2, 200):
            await record(db, position, [ranked(position % 40, position, standing=position)])
            if position % 25 == 0:
                await own.flushall()
        await kept(db, own)


@pytest.mark.parametrize("how", ["flushall", "script_flush"])
async def test_what_redis_forgets_comes_back_by_itself(
    url: str, store: Store, db: Connection, own: "redis.Redis", how: str
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, own):
        await kept(db, own)
        await getattr(own, how)()
        await kept(db, own)
        await own.script_flush()
        await record(db, 6, [ranked(3, 6, standing=1)])
        await kept(db, own)


async def test_an_emptied_redis_is_noticed_by_the_next_event_not_by_the_next_audit(
    url: str, store: Store, db: Connection, own: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    cache = RankCache(url, store.listener, own, audit=3600)
    assert await cache.advance(db)
    await own.flushall()
    await reach(db, 6)
    assert not await cache.advance(db)

    async def there() -> bool:
        return await cache.advance(db)

    await until(there)
    assert await agree(db, own)


async def test_a_killed_redis_is_filled_again(
    url: str, store: Store, db: Connection, own: "redis.Redis", valkey: Valkey
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, own):
        await kept(db, own)
        valkey.kill()
        await record(db, 6, [ranked(3, 6, standing=1)])
        valkey.start()
        await kept(db, own)


async def test_a_redis_that_pauses_is_waited_for(
    url: str, store: Store, db: Connection, own: "redis.Redis", valkey: Valkey
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with open_client(valkey.url) as hasty, keeping(url, store, hasty):
        await kept(db, own)
        await own.client_pause(1_500)
        await record(db, 6, [ranked(3, 6, standing=1)])
        await kept(db, own)


@pytest.mark.parametrize("group", [ALL, Kind.MODEL])
@pytest.mark.parametrize("number", range(4))
async def test_a_key_that_was_evicted_comes_back(
    url: str, store: Store, db: Connection, client: "redis.Redis", group: str, number: int
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, client):
        await kept(db, client)
        await client.delete(keys(await history_of(db), group)[number])
        await record(db, 6, [ranked(3, 6, standing=1)])
        await kept(db, client)
        await client.delete(position_key(await history_of(db)))
        await kept(db, client)


async def test_damage_is_found_and_repaired(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    rows = [ranked(n, 5, standing=n) for n in range(3)]
    await record(db, 5, rows)
    board, lows, cards, meta = keys(await history_of(db), ALL)
    id = rows[0].artifact_id.hex
    damages: list[Any] = [
        lambda: client.zadd(board, {"nonsense": 0}),
        lambda: client.zrem(lows, member(rows[0].low, rows[0].artifact_id)),
        lambda: client.hset(cards, id, "garbage"),
        lambda: client.hset(cards, id, card_of(ranked(0, 5, standing=77))),
        lambda: client.hset(cards, id, card_of(ranked(0, 4, standing=0, spread=5_000_000))),
        lambda: client.hset(meta, "position", "nonsense"),
        lambda: client.hset(meta, "position", "inf"),
        lambda: client.hset(meta, "position", "9" * 30),
        lambda: client.hset(meta, "digest", b"\xff"),
        lambda: client.hset(meta, "count", "nonsense"),
        *(lambda key=key: client.set(key, "text") for key in (board, lows, cards, meta)),
        lambda: client.set(position_key(meta.split(":")[1]), "text"),
        *(
            lambda said=said: client.hset(position_key(meta.split(":")[1]), "position", said)
            for said in ("nonsense", "inf", "9" * 30)
        ),
    ]
    cache = RankCache(url, store.listener, client, audit=0)

    async def repaired() -> bool:
        await cache.advance(db)
        return await agree(db, client)

    await until(repaired)
    for damage in damages:
        await damage()
        assert not await agree(db, client)
        await until(repaired)


async def test_boards_of_another_future_are_thrown_away(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    """PostgreSQL was restored from a backup; what Redis holds never happened."""
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, client):
        await kept(db, client)
    history = await history_of(db)
    for position in (15, 500):
        for group in GROUPS:
            meta = keys(history, group)[3]
            await client.hset(meta, mapping={"position": position, "digest": "another"})
        told: dict[Any, Any] = {"position": position, "digest": "another", ALL: position}
        await client.hset(position_key(history), mapping=told)
        async with keeping(url, store, client):
            await kept(db, client)


async def test_boards_that_are_ahead_of_a_checkpoint_that_was_lost_stay(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    """The projector commits asynchronously: after a crash it may do its last pages again."""
    await grow(store, 20)
    # So few that an audit looks at all of them.
    await record(db, 5, [ranked(n, 5) for n in range(SAMPLE - 1)])
    await record(db, 15, [ranked(2, 15, standing=7)])
    cache = RankCache(url, store.listener, client, audit=0)
    assert await cache.advance(db)
    cards = keys(await history_of(db), ALL)[2]
    now = await client.hgetall(cards)
    await record(db, 5, [ranked(2, 5)])
    for _ in range(3):
        await cache.advance(db)
        assert await client.hgetall(cards) == now
        # What was confirmed stays so, too.
        assert await client.hget(position_key(cards.split(":")[1]), "position") == b"15"
    await record(db, 15, [ranked(2, 15, standing=7)])
    assert await cache.advance(db)
    assert await agree(db, client)


async def test_rows_that_were_computed_anew_are_found_or_said(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 20)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, client):
        await kept(db, client)
        await record(db, 5, [ranked(n, 5, standing=1) for n in range(10)])
        await kept(db, client)
        await record(db, 5, [ranked(3, 5, standing=2)])
        await forget(db, client)
        await kept(db, client)


async def test_of_two_one_works_and_the_other_takes_over(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 30)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, client) as second:
        async with keeping(url, store, client) as first:
            await kept(db, client)
            assert [first.leads, second.leads].count(True) == 1
            for position in range(6, 12):
                await cut_off(url)
                await record(db, position, [ranked(1, position, standing=position)])
                await kept(db, client)
        await record(db, 12, [ranked(1, 12, standing=12)])
        await kept(db, client)
        assert second.leads


async def test_two_that_both_work_do_no_harm(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    """A leader that lost its connection and does not know yet, and the one that took over."""
    await grow(store, 100)
    await fill(db, 1_000, 1)
    connections = [await connect(url, "test") for _ in range(2)]
    caches = [RankCache(url, store.listener, client, audit=0.05) for _ in connections]
    chance = random.Random(1)

    async def work(cache: RankCache, connection: Connection) -> None:
        while True:
            await cache.advance(connection)
            await asyncio.sleep(chance.random() / 50)

    tasks = [asyncio.create_task(work(*pair)) for pair in zip(caches, connections, strict=True)]
    for position in range(2, 100):
        if position % 30:
            await record(db, position, [ranked(position % 7, position, standing=position)])
        else:
            await fill(db, 1_000, position)
    await kept(db, client)
    assert not any(task.done() for task in tasks)
    for task, connection in zip(tasks, connections, strict=True):
        await stop(task)
        connection.terminate()


async def test_a_database_that_went_away_is_waited_for(
    url: str, store: Store, db: Connection, client: "redis.Redis"
) -> None:
    await grow(store, 30)
    await record(db, 5, [ranked(n, 5) for n in range(10)])
    async with keeping(url, store, client):
        await kept(db, client)
        for position in (6, 7):
            await cut_off(url)
            await record(db, position, [ranked(1, position, standing=position)])
            await kept(db, client)


async def test_a_redis_that_is_full_is_waited_for(
    url: str, store: Store, db: Connection, own: "redis.Redis"
) -> None:
    await grow(store, 30)
    await fill(db, 1_000, 5)
    await own.config_set("maxmemory-policy", "noeviction")
    await own.config_set("maxmemory", "1mb")
    cache = RankCache(url, store.listener, own)
    with pytest.raises(CacheAway):
        await cache.advance(db)
    async with keeping(url, store, own):
        await own.config_set("maxmemory", "100mb")
        await kept(db, own)


def test_all_keys_of_a_group_are_in_one_slot() -> None:
    for group in GROUPS:
        assert len({key_slot(key.encode()) for key in keys("0123456789ab", group)}) == 1


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=2))
def test_members_sort_as_boards_do(numbers: list[int]) -> None:
    one, other = (member(n, ranked(i, 1).artifact_id) for i, n in enumerate(numbers))
    ids = [ranked(i, 1).artifact_id for i in range(2)]
    assert (one < other) == ((-numbers[0], ids[0]) < (-numbers[1], ids[1]))


def test_a_line_that_is_none_is_refused() -> None:
    row = ranked(1, 5)
    line = member(row.standing, row.artifact_id).encode() + card_of(row)
    assert ranked_in(line) == row
    other = card_of(ranked(1, 5, standing=3))
    for bad in (line[:-1], line[1:], b"", line[:40] + other, line[:64] + other[24:], b"\xff" * 99):
        with pytest.raises(ValueError):  # noqa: PT011
            ranked_in(bad)
