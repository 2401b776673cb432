"""Verification of a whole log: by one process and by several, while others write, and of what the
chain by itself cannot show."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
import pytest

from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.store import Store
from matchgraph.ledger import verify
from matchgraph.ledger.chain import LINK_0, START
from matchgraph.ledger.head import BadHead, Signer, new_key, signers
from matchgraph.ledger.store import keep_head, keep_keys
from matchgraph.ledger.verify import verify_chain, verify_log, verify_range
from tests.eventstore.histories import artifact, until
from tests.ledger.logs import filled, leaves, rechained, tampering
from tests.projections.tables import BY


async def test_a_log_that_nobody_touched_is_whole(url: str, store: Store) -> None:
    empty = await verify_chain(url)
    assert (empty.events, empty.position, empty.digest, empty.problem) == (0, 0, LINK_0, None)
    end = await filled(store)
    heard: list[tuple[int, int]] = []
    found = await verify_chain(url, on_progress=lambda *said: heard.append(said))
    assert (found.events, found.position, found.problem) == (end, end, None)
    assert heard[-1] == (end, end)
    async with tampering(url) as db:
        digest = await db.fetchval("SELECT digest FROM event WHERE position = $1", end)
        size = await db.fetchval(
            "SELECT sum(1 + 8 + 8 + 16 + 8 + 16 + octet_length(topic) + octet_length(actor)"
            " + octet_length(request_id) + coalesce(octet_length(idempotency_key), 0)"
            " + octet_length(state)) FROM event"
        )
        assert (found.digest, found.size) == (digest, size)
        heard_leaves: list[bytes] = []
        await verify_range(db, START, end, leaves=heard_leaves.append)
        assert heard_leaves == await leaves(db)


@pytest.mark.parametrize("processes", [2, 3])
async def test_several_processes_find_the_same(url: str, store: Store, processes: int) -> None:
    end = await filled(store)
    one = await verify_chain(url, processes=1)
    heard: list[tuple[int, int]] = []
    several = await verify_chain(
        url, processes=processes, on_progress=lambda *said: heard.append(said)
    )
    assert several == one
    assert heard[-1] == (end, end)
    for position in (1, end // 3, end // 2, end):
        for statement in (
            "UPDATE event SET actor = 'x' WHERE position = $1",
            "DELETE FROM event WHERE position = $1",
        ):
            async with tampering(url) as db:
                before = await db.fetchrow("SELECT * FROM event WHERE position = $1", position)
                await db.execute(statement, position)
                if position < end or "UPDATE" in statement:
                    found = await verify_chain(url, processes=processes)
                    assert found.problem is not None
                    assert found.problem == (await verify_chain(url, processes=1)).problem
                    assert found.problem.position == position
                await db.execute("DELETE FROM event WHERE position = $1", position)
                await db.execute(
                    "INSERT INTO event VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    *(before or ()),
                )


async def test_a_process_that_loses_the_database_says_so() -> None:
    nowhere = "postgresql://me@127.0.0.1:1/catalog"
    task = verify.Task(url=nowhere, snapshot="1", after=0, upto=1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "matchgraph.ledger.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(msgspec.json.encode(task) + b"\n")
    assert msgspec.json.decode(said, type=verify.Answer).lost


async def test_it_goes_on_while_others_write(url: str, store: Store) -> None:
    stop = asyncio.Event()
    last = 0

    async def write() -> None:
        nonlocal last
        while not stop.is_set():
            last = await store.append([artifact(f"meanwhile-{last}")], BY)

    writer = asyncio.ensure_future(write())
    lengths = []
    for processes in (1, 2, 1, 2):

        async def more(seen: int = last) -> bool:
            return last > seen

        await until(more)
        found = await verify_chain(url, processes=processes)
        assert found.problem is None
        assert found.events == found.position
        lengths.append(found.events)
    stop.set()
    await writer
    assert lengths == sorted(set(lengths))


async def test_a_hole_in_an_aggregates_history_is_found_in_a_right_chain(
    url: str, store: Store
) -> None:
    end = await filled(store)
    async with tampering(url) as db:
        position = await db.fetchval(
            "UPDATE event SET originator_version = originator_version + 50 WHERE position ="
            " (SELECT max(position) FROM event WHERE originator_version = 3) RETURNING position"
        )
        await rechained(db, position)
        found = await verify_log(db)
        assert found.position == end
        assert found.problem is not None
        assert found.problem.position == position
        assert "version 5" in found.problem.what
        among = await verify.gap_among(db, position - 1, end)
        assert among is not None
        assert among.position == position


async def test_an_order_of_versions_that_is_not_that_of_positions_is_found(
    url: str, store: Store
) -> None:
    end = await filled(store)
    async with tampering(url) as db:
        first, second = [
            row["position"]
            for row in await db.fetch(
                "SELECT position FROM event WHERE originator_id ="
                " (SELECT originator_id FROM event WHERE originator_version = 3 LIMIT 1)"
                " AND originator_version IN (2, 3) ORDER BY originator_version"
            )
        ]
        await db.execute(
            "UPDATE event SET originator_version = -originator_version WHERE position IN ($1, $2)",
            first,
            second,
        )
        await db.execute(
            "UPDATE event SET originator_version = originator_version + 5"
            " WHERE originator_version < 0"
        )
        found = await verify.gap_among(db, 0, end)
        assert found is not None
        assert found.position == first


async def test_columns_that_say_something_else_than_the_state_are_found(
    url: str, store: Store
) -> None:
    await filled(store)
    for statement in (
        "UPDATE event SET topic = 'artifact.retired' WHERE position = 20",
        "UPDATE event SET originator_id = gen_random_uuid(), originator_version = 1"
        " WHERE position = 20",
        "UPDATE event SET state = '[]' WHERE position = 20",
        "UPDATE event SET state = '\\xff' WHERE position = 20",
        """UPDATE event SET state = '{"type":"x","id":"y"}' WHERE position = 20""",
    ):
        async with tampering(url) as db, _undone(db):
            await db.execute(statement)
            await rechained(db, 20)
            found = await verify_log(db)
            assert found.problem is not None
            assert found.problem.position == 20
            assert "says another topic or aggregate" in found.problem.what
    async with tampering(url) as db, _undone(db):
        # However it is written, if it says the same.
        await db.execute(
            "UPDATE event SET state = convert_to(replace(convert_from(state, 'UTF8'),"
            """ '{"type":', '{ "type" : '), 'UTF8') WHERE position = 20"""
        )
        await rechained(db, 20)
        assert (await verify_log(db)).problem is None


async def test_events_before_the_first_and_without_a_value_are_found(
    url: str, store: Store
) -> None:
    await filled(store, 1)
    async with tampering(url) as db, _undone(db):
        await db.execute(
            "INSERT INTO event SELECT 0, $1, 1, topic, state, e.recorded_at, actor, request_id,"
            " NULL, digest FROM event e WHERE position = 1",
            UUID(int=7),
        )
        found = await verify_log(db)
        assert found.problem is not None
        assert (found.problem.position, "before the first" in found.problem.what) == (0, True)
    for column in ("topic", "state", "actor", "digest", "recorded_at", "originator_id"):
        async with tampering(url) as db, _undone(db):
            await db.execute(
                "ALTER TABLE event DROP CONSTRAINT event_originator_id_originator_version_key"
            )
            await db.execute(f"ALTER TABLE event ALTER {column} DROP NOT NULL")
            await db.execute(f"UPDATE event SET {column} = NULL WHERE position = 5")
            found = await verify_log(db)
            assert found.problem is not None
            assert found.problem.position == 5, column


async def test_heads_name_between_which_events_history_was_written_anew(
    url: str, store: Store, signer: Signer
) -> None:
    end = await filled(store)
    async with tampering(url) as db:
        await keep_keys(db, [(signer.id, signer.public_key)])
        for position in (10, 50, 90, end):
            await _signed(db, signer, position)
        assert (await verify_log(db)).heads == 4
        await db.execute("UPDATE event SET actor = 'x' WHERE position = 70")
        await rechained(db, 70)
        found = await verify_log(db)
        assert found.problem is not None
        assert found.problem.position == 51
        assert "one of the events 51 to 90" in found.problem.what
        assert found.heads == 2


async def test_a_tail_that_was_cut_off_is_missed_by_the_heads_that_are_kept_here(
    url: str, store: Store, signer: Signer
) -> None:
    end = await filled(store)
    async with tampering(url) as db:
        await keep_keys(db, [(signer.id, signer.public_key)])
        await _signed(db, signer, end)
        await db.execute("DELETE FROM event WHERE position > $1", end - 3)
        found = await verify_log(db)
        assert found.problem is not None
        assert found.problem.position == end - 2
        assert f"events {end - 2} to {end} are missing" in found.problem.what


async def test_a_head_that_nobody_of_ours_signed_is_refused(
    url: str, store: Store, signer: Signer
) -> None:
    end = await filled(store, 1)
    async with tampering(url) as db:
        (other,) = signers([new_key()])
        await keep_keys(db, [(signer.id, signer.public_key)])
        row = await db.fetchrow("SELECT digest, recorded_at FROM event WHERE position = $1", end)
        assert row is not None
        forged = other.sign(end, row["digest"], bytes(32), row["recorded_at"])
        with pytest.raises(BadHead, match="none of those that are trusted"):
            await verify_log(db, head=forged)
        # One that somebody put into the table.
        await keep_keys(db, [(other.id, signer.public_key)])
        await keep_head(db, forged)
        found = await verify_log(db)
        assert found.problem is not None
        assert "signature" in found.problem.what


async def test_every_head_has_to_be_signed_and_not_the_newest_alone(
    url: str, store: Store, signer: Signer
) -> None:
    end = await filled(store, 1)
    async with tampering(url) as db:
        await keep_keys(db, [(signer.id, signer.public_key)])
        for position in (2, 4, end):
            await _signed(db, signer, position)
        assert (await verify_log(db)).problem is None
        await db.execute("UPDATE ledger_head SET root = $1 WHERE position = 4", bytes(31) + b"x")
        found = await verify_log(db)
        assert found.problem is not None
        assert found.problem.position == 4
        assert "somebody changed the head" in found.problem.what


async def _signed(db: Connection, signer: Signer, position: int) -> None:
    row = await db.fetchrow("SELECT digest, recorded_at FROM event WHERE position = $1", position)
    assert row is not None
    # The chain is compared with the digest alone.
    await keep_head(db, signer.sign(position, row["digest"], bytes(32), row["recorded_at"]))


@asynccontextmanager
async def _undone(db: Connection) -> AsyncIterator[None]:
    """What is done in the block is undone behind it."""
    change = db.transaction()
    await change.start()
    try:
        yield
    finally:
        await change.rollback()
