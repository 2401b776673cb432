"""The watch goes over what is new and over what is old, signs, and says when history is broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.store import Request, Store
from matchgraph.eventstore.tasks import stop
from matchgraph.ledger import merkle
from matchgraph.ledger import store as tables
from matchgraph.ledger.head import Signer
from matchgraph.ledger.watch import AGAIN, NEW, Watch, Watched, course, watched
from tests.eventstore.histories import artifact, until
from tests.ledger.logs import filled, leaves, rechained, tampering
from tests.projections.tables import BY

FAST = {"sign_every": 0.05, "slower": 0.1, "rest_when_broken": 0.05, "rest_after_round": 0.05}


@asynccontextmanager
async def watching(url: str, store: Store, *signers: Signer) -> AsyncIterator[Watch]:
    watch = Watch(url, store.listener, signers, **FAST)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        await stop(task)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, "test")
    yield connection
    await connection.close()


async def signed(pool: Pool, position: int) -> None:
    async def there() -> bool:
        return (await watched(pool)).signed >= position

    await until(there)


async def broken(pool: Pool) -> Watched:
    async def there() -> bool:
        return (await watched(pool)).broken_at is not None

    await until(there)
    return await watched(pool)


async def test_what_is_appended_is_verified_signed_and_gone_over_again(
    url: str, store: Store, pool: Pool, signer: Signer
) -> None:
    async with watching(url, store, signer):
        end = await filled(store)
        await signed(pool, end)
        last = await store.append([artifact("one-more")], BY)
        await signed(pool, last)
        rounds = (await watched(pool)).rounds

        async def again() -> bool:
            return (await watched(pool)).rounds > rounds + 1

        await until(again)
    found = await watched(pool)
    assert (found.verified, found.signed, found.broken_at) == (last, last, None)
    head = await tables.newest(pool)
    assert head is not None
    assert await tables.keys(pool) == {signer.id: signer.public_key}
    head.check(await tables.keys(pool))
    tree = merkle.Frontier()
    tree.add(await leaves(pool))
    assert head.root == tree.root()
    assert head.digest == await pool.fetchval("SELECT digest FROM event WHERE position = $1", last)
    assert datetime.now(UTC) - head.time < timedelta(minutes=1)
    first = await tables.covering(pool, 1)
    assert first is not None
    assert first.position < last
    assert await tables.covering(pool, last) == head
    assert await tables.covering(pool, last + 1) is None


async def test_without_a_key_it_verifies_and_signs_nothing(
    url: str, store: Store, pool: Pool
) -> None:
    end = await filled(store, 1)
    async with watching(url, store):

        async def verified() -> bool:
            return (await watched(pool)).verified == end

        await until(verified)
    assert await tables.newest(pool) is None


async def test_of_two_one_works_and_the_other_takes_over(
    url: str, store: Store, pool: Pool, signer: Signer
) -> None:
    async with watching(url, store, signer) as other:
        async with watching(url, store, signer) as watch:
            await signed(pool, await filled(store, 1))
            assert watch.leads + other.leads == 1
        await signed(pool, await store.append([artifact("later")], BY))
    heads = await pool.fetch("SELECT position FROM ledger_head")
    assert len({row["position"] for row in heads}) == len(heads)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1500])
async def test_the_tree_is_the_same_whatever_the_pages(
    url: str, store: Store, db: Connection, size: int
) -> None:
    watch = Watch(url, store.listener)
    new = await course(db, NEW)
    for number in range(0, size, 100):
        made = [artifact(f"a-{number + n}") for n in range(min(100, size - number))]
        await store.append(made, BY)
        if number % 300 == 0:
            while await watch.follow(db, new):
                pass
    while await watch.follow(db, new):
        pass
    kept = await course(db, NEW)
    assert (kept.place, kept.tree.peaks) == (new.place, new.tree.peaks)
    tree = merkle.Frontier()
    completed = dict(tree.add(await leaves(db)))
    assert kept.tree.root() == tree.root()
    rows = await db.fetch("SELECT * FROM ledger_node")
    assert {(row["level"], row["index"]): row["hash"] for row in rows} == {
        node: found for node, found in completed.items() if node[0] in (8, 16)
    }
    assert len(rows) == size // 256
    # And every proof comes out as from all of the leaves.
    for spans in (
        [(0, size)],
        merkle.inclusion(size // 3, size),
        merkle.consistency(size // 2 + 1, size),
    ):
        expected = [merkle.Frontier() for _ in spans]
        for one, (first, end) in zip(expected, spans, strict=True):
            one.add((await leaves(db))[first:end])
        assert await tables.roots(db, spans) == [one.root() for one in expected]


async def test_a_break_among_what_is_new_is_loud_and_nothing_is_signed(
    url: str, store: Store, pool: Pool, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    before = await filled(store, 1)
    async with watching(url, store, signer):
        await signed(pool, before)
    last = await store.append([artifact("a"), artifact("b")], BY)
    async with tampering(url) as admin:
        kept = await admin.fetchval("SELECT actor FROM event WHERE position = $1", last)
        await admin.execute("UPDATE event SET actor = 'nobody' WHERE position = $1", last)
        async with watching(url, store, signer):
            found = await broken(pool)
            assert found.broken_at == last
            assert f"event {last} is not what was recorded" in (found.broken_because or "")
            assert "HISTORY IS BROKEN at position" in caplog.text
            await store.append([artifact("c")], BY)
            await asyncio.sleep(0.3)
            assert (await watched(pool)).signed == before
            # Put right, it goes on by itself.
            await admin.execute("UPDATE event SET actor = $2 WHERE position = $1", last, kept)
            await signed(pool, last + 1)
            assert (await watched(pool)).broken_at is None
    assert "history is whole again" in caplog.text


OLD: dict[str, tuple[str, int, str]] = {
    "edited": ("UPDATE event SET actor = 'x' WHERE position = 7", 7, "not what was recorded"),
    "deleted": ("DELETE FROM event WHERE position = 9", 9, "event 9 is missing"),
    # Either course may come upon it first, and each says it in its own words.
    "cut off": ("DELETE FROM event WHERE position > 20", 21, "events 21 to"),
    "another root": (
        "UPDATE ledger_head SET root = sha256('')"
        " WHERE position = (SELECT min(position) FROM ledger_head)",
        0,
        "another digest or root",
    ),
    "another time": (
        "UPDATE ledger_head SET signed_at = signed_at - interval '1 day'"
        " WHERE position = (SELECT min(position) FROM ledger_head)",
        0,
        "signature",
    ),
    "another tree": ("UPDATE ledger_node SET hash = sha256('') WHERE index = 0", 1, "Merkle tree"),
    "a node gone": ("DELETE FROM ledger_node WHERE index = 0", 1, "Merkle tree"),
}


@pytest.mark.parametrize("how", OLD)
async def test_a_break_in_old_history_is_found_on_the_next_round(
    url: str, store: Store, pool: Pool, signer: Signer, how: str
) -> None:
    statement, position, words = OLD[how]
    async with watching(url, store, signer):
        await signed(pool, await filled(store, 10))
        async with tampering(url) as admin:
            await admin.execute(statement)
        found = await broken(pool)
        first = await pool.fetchval("SELECT min(position) FROM ledger_head")
    assert found.broken_at == (position or first)
    assert words in (found.broken_because or "")


async def test_history_written_anew_up_to_the_end_is_found_by_the_heads(
    url: str, store: Store, db: Connection, signer: Signer
) -> None:
    watch = Watch(url, store.listener, [signer])
    await tables.keep_keys(db, [(signer.id, signer.public_key)])
    new, again = await course(db, NEW), await course(db, AGAIN)
    ends = []
    for number in range(3):
        ends.append(await store.append([artifact(f"{number}-{n}") for n in range(5)], BY))
        await watch.follow(db, new)
        assert await watch.sign(db, new)
        assert not await watch.sign(db, new)
    async with tampering(url) as admin:
        await admin.execute("UPDATE event SET actor = 'x' WHERE position = 8")
        await rechained(admin, 8)
    await watch.go_over(db, again, new.place)
    assert again.problem is not None
    assert again.problem.position == ends[1]
    assert "signed head" in again.problem.what
    assert not await watch.follow(db, new)
    assert new.problem is not None, "the newest event has another digest, too"


async def test_heads_and_keys_cannot_be_changed(
    url: str, store: Store, pool: Pool, signer: Signer
) -> None:
    async with watching(url, store, signer):
        await signed(pool, await filled(store, 1))
    admin = await asyncpg.connect(url)
    for table in ("ledger_head", "ledger_key"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
                await admin.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
    await admin.close()


async def test_heads_do_not_run_backwards_when_the_clock_does(
    url: str, store: Store, db: Connection, signer: Signer
) -> None:
    watch = Watch(url, store.listener, [signer])
    await tables.keep_keys(db, [(signer.id, signer.public_key)])
    new = await course(db, NEW)
    await store.append([artifact("a")], BY)
    await watch.follow(db, new)
    late = datetime.now(UTC) + timedelta(days=1)
    await tables.keep_head(db, signer.sign(1, new.place.digest, new.tree.root(), late))
    await store.append([artifact("b")], Request(actor="x", request_id="y"))
    await watch.follow(db, new)
    assert await watch.sign(db, new)
    head = await tables.newest(db)
    assert head is not None
    assert (head.position, head.time) == (2, late)
