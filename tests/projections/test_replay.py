"""Replay and verification: the log alone says what read models hold; nothing live is written."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.eventstore.connection import Pool, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections import canonical
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.replay import (
    NoSuchMoment,
    Verified,
    position_at,
    replaying,
    verify,
)
from matchgraph.projections.signal_board import SIGNAL_BOARD
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, rich, until, worlds
from tests.graphql.moving import Movers
from tests.projections.tables import BY, append, checkpoints, contents
from tests.projections.test_runner import leading, reached, terminate

EVERYWHERE = [projection.name for projection in PROJECTIONS]


async def in_use(url: str) -> dict[str, str]:
    """The digest of each read model as it is."""
    db = await connect(url, "test", **canonical.SETTINGS)
    found = {
        projection.name: (await canonical.of_model(db, projection, 0)).digest
        for projection in PROJECTIONS
    }
    await db.close()
    return found


async def replayed(url: str, position: int, page: int = 2_000) -> dict[str, str]:
    """The digest of each read model as the log has it at that position."""
    async with replaying(url, PROJECTIONS, page=page) as replay:
        await replay.advance(dict.fromkeys(EVERYWHERE, position))
        return {one.name: one.digest async for one in replay.digests()}


async def verified(url: str, most: int = 20) -> dict[str, Verified]:
    return {one.held.name: one async for one in verify(url, PROJECTIONS, most=most)}


# Then is then


@settings(max_examples=15, deadline=None)
@given(
    world=worlds(most=60),
    cut=st.integers(0, 60),
    page=st.sampled_from([1, 3, 2_000]),
)
async def test_a_replay_until_then_gives_what_there_was_then(
    clones: Clones, world: World, cut: int, page: int
) -> None:
    async with clones() as url, open_store(url) as store:
        if before := world.events[:cut]:
            await store.append_batch(before, BY)
        await project(url, store)
        then = await in_use(url)
        await store.append_batch(world.events[cut:], BY)
        await project(url, store)
        assert await replayed(url, len(before), page) == then
        assert await replayed(url, len(world.events), page) == await in_use(url)


async def test_a_replay_writes_nothing_that_is_in_use_and_leaves_nothing_behind(
    url: str, store: Store, pool: Pool
) -> None:
    end = await append(store, rich(2))
    await project(url, store)
    before = await contents(url), await checkpoints(url)
    async with replaying(url, PROJECTIONS) as replay:
        await replay.advance(dict.fromkeys(EVERYWHERE, end - 3))
        for statement in (
            "DELETE FROM public.rank_board",
            "UPDATE projection_checkpoint SET position = 0",
            "CREATE TABLE rebuilding.another ()",
        ):
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await replay.db.execute(statement)
        assert await replay.db.fetchval("SELECT count(*) FROM rank_history") > 0
        temporary = "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
        assert await pool.fetchval(temporary) == sum(len(p.tables) for p in PROJECTIONS)
        # As a kill ends it.
        await terminate(url, replay.db.get_server_pid())

    async def gone() -> bool:
        return bool(await pool.fetchval(temporary) == 0)

    await until(gone)
    assert (await contents(url), await checkpoints(url)) == before


async def test_a_digest_is_that_of_the_bytes_that_psql_would_copy(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(2))
    await project(url, store)
    db = await connect(url, "test", **canonical.SETTINGS)
    found: list[bytes] = []
    told = await canonical.read(db, "signal_board", found.append)
    rows = await db.fetch(
        "SELECT artifact_id, name, source, value, method, observed_at, position FROM signal_board"
        ' ORDER BY artifact_id, name COLLATE "C", source COLLATE "C"'
    )
    written = "".join(
        "\t".join(
            [*map(str, row[:5]), f"{row['observed_at']:%Y-%m-%d %H:%M:%S}+00", str(row["position"])]
        )
        + "\n"
        for row in rows
    )
    assert b"".join(found).decode() == written
    assert told == canonical.TableDigest(
        "signal_board", len(rows), hashlib.sha256(written.encode()).hexdigest()
    )
    await db.close()


# Moments


async def test_moments_that_are_none_are_refused_for_what_they_are(url: str, store: Store) -> None:
    db = await connect(url, "test")
    with pytest.raises(NoSuchMoment, match="empty"):
        await position_at(db, datetime(2026, 1, 1, tzinfo=UTC))
    assert await position_at(db, None) == 0
    for number in range(7):
        await store.append([artifact(f"a-{number}")], BY)
    times: list[datetime] = [
        row[0] for row in await db.fetch("SELECT recorded_at FROM event ORDER BY position")
    ]
    with pytest.raises(NoSuchMoment, match=r"Position 8 is in the future: the log ends at .* 7"):
        await position_at(db, 8)
    with pytest.raises(NoSuchMoment, match="in the future: it is"):
        await position_at(db, times[-1] + timedelta(days=1))
    with pytest.raises(NoSuchMoment, match="before the first event"):
        await position_at(db, times[0] - timedelta(microseconds=1))
    for number, at in enumerate(times, start=1):
        assert await position_at(db, at) == number
        if number > 1:
            assert await position_at(db, at - timedelta(microseconds=1)) == number - 1
    assert await position_at(db, 0) == 0
    assert await position_at(db, None) == 7
    await db.close()


# Verification


async def test_what_nobody_touched_agrees_with_the_log(url: str, store: Store, pool: Pool) -> None:
    end = await append(store, rich(3))
    await project(url, store)
    # Not all of them stand at the same event.
    await append(store, rich(1, prefix="later", measured=False))
    await project(url, store, (PRICE_HISTORY, RANK_BOARD))
    found = await verified(url)
    assert all(one.agrees and not one.differences for one in found.values())
    assert found["signal_board"].held.position == end
    assert found["rank_board"].held.position == await store.head()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE artifact_listing SET name = 'wrong' WHERE slug = 'thing-1'",
            ["artifact_listing (id '", "name is 'wrong', should be 'thing-1'"],
        ),
        (
            "UPDATE artifact_listing SET vendor = NULL WHERE slug = 'thing-1'",
            ["artifact_listing (id '", "vendor is NULL, should be 'acme'"],
        ),
        ("DELETE FROM rank_history WHERE position = 1", ["rank_history (position '1'", "missing"]),
        (
            "INSERT INTO price_current SELECT position, artifact_id, 'nobody', per, NULL, source,"
            " observed_at, pricing, amount, currency FROM price_current LIMIT 1",
            ["price_current (", "provider 'nobody'", "tier NULL", "should not be there"],
        ),
        (
            "UPDATE rank_board SET score = score + 1 WHERE place = 1",
            ["rank_board (artifact_id '", "score is '"],
        ),
        (
            "UPDATE match_edge SET utility = utility * (1 + 1e-15) WHERE utility > 0",
            ["match_edge (cluster '", "utility is '"],
        ),
        ("UPDATE search_posting SET weight = 0 WHERE term = 1", ["search_posting (term '1'"]),
    ],
)
async def test_whatever_was_changed_is_named_by_table_key_and_column_with_both_values(
    url: str, store: Store, pool: Pool, statement: str, words: list[str]
) -> None:
    await append(store, rich(3))
    await project(url, store)
    await pool.execute(statement)
    table = words[0].split(" ")[0]
    for name, one in (await verified(url)).items():
        (owner,) = [p.name for p in PROJECTIONS if table in p.tables]
        assert one.agrees == (name != owner)
        assert bool(one.differences) == (name == owner)
        for difference in one.differences[:1]:
            assert all(word in str(difference) for word in words), str(difference)


async def test_of_many_differences_a_few_are_named(url: str, store: Store, pool: Pool) -> None:
    await append(store, rich(20))
    await project(url, store)
    await pool.execute("UPDATE signal_board SET value = value + 1, method = 'inferred'")
    await pool.execute("DELETE FROM price_current")
    found = await verified(url, most=7)
    assert [len(one.differences) for one in found.values() if not one.agrees] == [7, 7]


async def test_verification_while_writing_and_rebuilding_go_on_finds_nothing(
    url: str, store: Store
) -> None:
    await store.append_batch([event for events in rich(60) for event in events], BY)
    movers = Movers(store, 4, prefix="mover")
    ended = asyncio.Event()
    moves = 0

    async def move() -> None:
        nonlocal moves
        while not ended.is_set():
            await movers.move(moves)
            moves += 1
            await asyncio.sleep(0.002)

    async with leading(url, store, page=50):
        await reached(url, await movers.register(), patience=60)
        moving = asyncio.create_task(move())
        rebuilding = asyncio.create_task(rebuild(url, SIGNAL_BOARD))
        for _ in range(3):
            before = moves
            found = await verified(url)
            assert [str(d) for one in found.values() for d in one.differences] == []
            assert all(one.agrees for one in found.values())
            assert moves > before, "somebody wrote meanwhile"
        assert await rebuilding > 0
        ended.set()
        await moving
