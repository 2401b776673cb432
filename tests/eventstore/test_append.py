"""Appending: one order, one winner, safe retries, and a past that nobody edits."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

import matchgraph
from matchgraph.domain.artifact import Alias, Artifact, id_of
from matchgraph.eventstore.connection import Pool, connect
from matchgraph.eventstore.errors import AlreadyDone, Conflict, KeyReused, Unavailable
from matchgraph.eventstore.store import Recorded, Request, Store, fingerprint, open_store, stored
from tests.eventstore.chain import verified
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import (
    World,
    artifact,
    capability,
    plain,
    price,
    until,
    worlds,
)

ROOT = Path(__file__).parents[2]
LOCK = 7233147820517


def keyed(key: str, *, actor: str = "tester", request_id: str = "test") -> Request:
    return Request(actor=actor, request_id=request_id, idempotency_key=key)


async def outcomes(*appends: Any) -> list[Any]:
    """What became of appends made at the same moment: a position or an exception each."""
    return await asyncio.gather(*appends, return_exceptions=True)


async def positions(pool: Pool) -> list[int]:
    return [row[0] for row in await pool.fetch("SELECT position FROM event ORDER BY position")]


# One order


async def test_an_empty_log_ends_at_zero(store: Store) -> None:
    assert await store.head() == 0


async def test_commands_are_appended_in_order_and_without_gaps(
    store: Store, pool: Pool, request_by: Request
) -> None:
    one = artifact("one")
    one.add_capability(capability())
    one.observe_price(price())
    assert await store.append([one], request_by) == 3
    two = artifact("two")
    assert await store.append([two, Alias.of("too", two.id)], request_by) == 5

    read = await store.read(0)
    assert [recorded.position for recorded in read] == [1, 2, 3, 4, 5]
    assert [recorded.event.originator_version for recorded in read] == [1, 2, 3, 1, 1]
    assert {(recorded.actor, recorded.request_id) for recorded in read} == {("tester", "test")}
    assert await verified(pool) == 5


async def test_a_command_that_decides_nothing_answers_the_end_of_the_log(
    store: Store, request_by: Request
) -> None:
    await store.append([artifact()], request_by)
    known = await store.load(id_of("parser"))
    assert known is not None
    assert await store.append([known], request_by) == 1
    assert await store.append([], request_by) == 1


async def test_commands_sent_at_once_share_a_transaction_and_keep_their_order(
    store: Store, pool: Pool, request_by: Request
) -> None:
    commands = [
        [plain(id, version) for version in (1, 2, 3)] for id in (uuid4() for _ in range(64))
    ]
    answered = await outcomes(*(store.append_stored(events, request_by) for events in commands))
    assert answered == [3 * number for number in range(1, 65)]
    rows = await pool.fetch("SELECT originator_id, originator_version FROM event ORDER BY position")
    assert [tuple(row) for row in rows] == [
        (event.originator_id, event.originator_version) for events in commands for event in events
    ]
    # As one transaction has one moment, they say how many there were.
    assert await pool.fetchval("SELECT count(DISTINCT recorded_at) FROM event") < 10


async def test_what_waits_when_the_store_is_closed_is_appended_first(
    url: str, pool: Pool, request_by: Request
) -> None:
    async with open_store(url) as store:
        appends = [
            asyncio.create_task(store.append_stored([plain()], request_by)) for _ in range(50)
        ]
        await asyncio.sleep(0)
    assert sorted(await asyncio.gather(*appends)) == list(range(1, 51))
    assert await verified(pool) == 50


async def test_a_store_that_is_closed_refuses_at_once(url: str, request_by: Request) -> None:
    async with open_store(url) as store:
        pass
    with pytest.raises(Unavailable):
        await asyncio.wait_for(store.append_stored([plain()], request_by), 3)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(store.head(), 3)


# One winner


async def test_of_two_changes_to_one_version_the_second_is_refused_and_decided_again(
    store: Store, request_by: Request
) -> None:
    await store.append([artifact()], request_by)
    mine, yours = await store.load(id_of("parser")), await store.load(id_of("parser"))
    assert isinstance(mine, Artifact)
    assert isinstance(yours, Artifact)
    mine.observe_price(price("10"))
    yours.observe_price(price("9"))
    assert await store.append([mine], request_by) == 2
    with pytest.raises(Conflict):
        await store.append([yours], request_by)
    again = await store.load(id_of("parser"))
    assert isinstance(again, Artifact)
    assert again == mine
    again.observe_price(price("9", on=1))
    assert await store.append([again], request_by) == 3


async def test_two_who_take_one_slug_at_once_meet_as_artifact_and_alias(
    store: Store, request_by: Request
) -> None:
    taken = artifact("other")
    answered = await outcomes(
        store.append([artifact("parser")], request_by),
        store.append([taken, Alias.of("parser", taken.id)], request_by),
    )
    assert answered[0] == 1
    assert isinstance(answered[1], Conflict)
    assert await store.load(id_of("other")) is None


async def test_a_command_over_several_aggregates_is_all_or_nothing(
    store: Store, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    await store.append_stored([plain(id)], request_by)
    with pytest.raises(Conflict):
        await store.append_stored([plain(), plain(), plain(id), plain()], request_by)
    assert await positions(pool) == [1]
    assert await store.append_stored([plain(), plain()], request_by) == 3


async def test_a_command_cannot_hold_one_version_twice(
    store: Store, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    with pytest.raises(Conflict):
        await store.append_stored([plain(id), plain(id)], request_by)
    assert await positions(pool) == []


async def test_a_conflict_costs_only_the_loser_its_place_in_the_group(
    store: Store, pool: Pool, request_by: Request
) -> None:
    taken = [uuid4() for _ in range(8)]
    await store.append_stored([plain(id) for id in taken], request_by)
    losers = [[plain(), plain(id)] for id in taken]
    winners = [[plain(), plain()] for _ in range(16)]
    mixed = [
        events for pair in zip(winners[::2], losers, winners[1::2], strict=True) for events in pair
    ]
    answered = await outcomes(*(store.append_stored(events, request_by) for events in mixed))
    expected = 8
    for events, answer in zip(mixed, answered, strict=True):
        if events in losers:
            assert isinstance(answer, Conflict)
        else:
            expected += 2
            assert answer == expected
    assert await verified(pool) == expected == 40


async def test_commands_for_one_version_sent_at_once_have_one_winner_the_first(
    store: Store, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    answered = await outcomes(*(store.append_stored([plain(id)], request_by) for _ in range(32)))
    assert answered[0] == 1
    assert [type(answer) for answer in answered[1:]] == [Conflict] * 31
    assert await positions(pool) == [1]


async def test_commands_for_following_versions_sent_at_once_all_win(
    store: Store, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    appends = (store.append_stored([plain(id, version)], request_by) for version in range(1, 33))
    assert await outcomes(*appends) == list(range(1, 33))
    assert await verified(pool) == 32


async def test_who_had_to_wait_for_a_turn_keeps_it_when_the_group_is_full(
    store: Store, request_by: Request
) -> None:
    taken, wanted = uuid4(), uuid4()
    await store.append_stored([plain(taken)], request_by)
    loser, first, *others, second = await outcomes(
        store.append_stored([plain(taken), plain(wanted)], request_by),
        store.append_stored([plain(wanted)], request_by),
        *(store.append_stored([plain()], request_by) for _ in range(2_100)),
        store.append_stored([plain(wanted)], request_by),
    )
    assert [type(answer) for answer in (loser, first, second)] == [Conflict, int, Conflict]
    assert sorted([first, *others]) == list(range(2, 2_103))


async def test_stores_side_by_side_have_one_winner_for_each_version(
    url: str, pool: Pool, request_by: Request
) -> None:
    ids = [uuid4() for _ in range(20)]
    async with open_store(url) as one, open_store(url) as two, open_store(url) as three:
        answered = await outcomes(
            *(s.append_stored([plain(id)], request_by) for id in ids for s in (one, two, three))
        )
    won = [answer for answer in answered if not isinstance(answer, Conflict)]
    assert sorted(won) == list(range(1, 21))
    assert await verified(pool) == 20


async def test_a_refused_append_burns_no_position(
    store: Store, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    await store.append_stored([plain(id)], request_by)
    for _ in range(5):
        with pytest.raises(Conflict):
            await store.append_stored([plain(), plain(id)], request_by)
        await store.append_stored([plain()], request_by)
    assert await positions(pool) == [1, 2, 3, 4, 5, 6]
    assert await verified(pool) == 6


async def test_many_processes_and_tasks_write_one_order_that_readers_see_as_it_is(
    url: str, store: Store, pool: Pool
) -> None:
    processes, tasks, appends = 4, 16, 12
    total = processes * tasks * appends
    ids = [str(uuid4()) for _ in range(6)]

    async def tail() -> list[tuple[int, UUID, int]]:
        seen: list[tuple[int, UUID, int]] = []
        async for page in store.follow(0, limit=50):
            seen += [(r.position, r.event.originator_id, r.event.originator_version) for r in page]
            if len(seen) >= total:
                return seen
        raise AssertionError("a follower does not end")

    readers = [asyncio.create_task(tail()) for _ in range(2)]
    said = await asyncio.gather(
        *(
            writer("contend", url, f"process-{n}", str(tasks), str(appends), *ids)
            for n in range(processes)
        )
    )
    acknowledged = [tuple(ack) for one in said for ack in one["acknowledged"]]
    assert len(acknowledged) == total
    assert sum(one["conflicts"] for one in said) > total / 4

    rows = await pool.fetch(
        "SELECT position, originator_id::text, originator_version, request_id FROM event"
    )
    assert sorted(acknowledged) == sorted(map(tuple, rows))
    for versions in versions_by_aggregate(rows).values():
        assert versions == list(range(1, len(versions) + 1))
    assert await verified(pool) == total

    in_order = [
        tuple(row)
        for row in await pool.fetch(
            "SELECT position, originator_id, originator_version FROM event ORDER BY position"
        )
    ]
    for reader in readers:
        assert await asyncio.wait_for(reader, 10) == in_order


def versions_by_aggregate(rows: Sequence[asyncpg.Record]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: row["position"]):
        found.setdefault(row["originator_id"], []).append(row["originator_version"])
    return found


async def writer(*arguments: str) -> Any:
    """Runs writer.py in a process of its own and returns what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.eventstore.writer",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(matchgraph.__file__).parents[1])},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)


# Retry is safe


async def test_a_command_repeated_with_its_key_changes_nothing_and_finds_the_first_result(
    store: Store, pool: Pool
) -> None:
    request, payload = keyed("k"), fingerprint("register", "parser")
    assert await store.recall(request, payload) is None
    await store.append_stored([plain()], keyed("another"))
    assert await store.append([artifact()], request, payload) == 2
    await store.append_stored([plain()], keyed("a third"))
    with pytest.raises(AlreadyDone):
        await store.append([artifact("something-else")], request, payload)
    with pytest.raises(AlreadyDone):
        await store.append([artifact()], request, payload)
    assert await store.recall(request, payload) == 2
    assert await positions(pool) == [1, 2, 3]


async def test_a_key_with_another_payload_is_refused(store: Store) -> None:
    await store.append([artifact()], keyed("k"), fingerprint("register", "parser"))
    with pytest.raises(KeyReused) as refused:
        await store.recall(keyed("k"), fingerprint("register", "lexer"))
    assert refused.value.key == "k"


async def test_a_key_belongs_to_the_actor_who_used_it(store: Store) -> None:
    assert await store.append([artifact("one")], keyed("k", actor="a")) == 1
    assert await store.append([artifact("two")], keyed("k", actor="b")) == 2
    assert await store.recall(keyed("k", actor="c"), b"") is None


async def test_a_command_without_a_key_recalls_nothing(store: Store, request_by: Request) -> None:
    await store.append([artifact()], request_by)
    assert await store.recall(request_by, b"") is None


async def test_a_key_is_remembered_for_a_command_that_decided_nothing(
    store: Store, pool: Pool, request_by: Request
) -> None:
    await store.append([artifact()], request_by)
    assert await store.append([], keyed("k"), b"payload") == 1
    await store.append([artifact("another")], request_by)
    assert await store.recall(keyed("k"), b"payload") == 1
    with pytest.raises(AlreadyDone):
        await store.append([], keyed("k"), b"payload")
    assert await positions(pool) == [1, 2]


async def test_a_repeated_command_is_told_the_position_that_the_first_was_told(
    store: Store,
) -> None:
    requests = [keyed(f"key-{number}") for number in range(30)]
    appends = (
        store.append([] if number % 3 else [artifact(f"a-{number}")], request)
        for number, request in enumerate(requests)
    )
    told = await outcomes(*appends)
    assert [await store.recall(request, b"") for request in requests] == told
    assert told == [number // 3 + 1 for number in range(30)]


async def test_of_commands_with_one_key_sent_at_once_one_is_done(store: Store, pool: Pool) -> None:
    answered = await outcomes(
        *(store.append([artifact(f"a-{n}")], keyed("k"), b"payload") for n in range(16))
    )
    assert answered[0] == 1
    assert [type(answer) for answer in answered[1:]] == [AlreadyDone] * 15
    assert await positions(pool) == [1]


async def test_a_used_key_fails_its_command_and_not_the_group(store: Store, pool: Pool) -> None:
    await store.append([artifact()], keyed("used"))
    keys = ["new-1", "used", "new-2", "new-3"]
    answered = await outcomes(
        *(store.append([artifact(f"a-{key}")], keyed(key)) for key in keys),
        store.append([], keyed("used")),
        store.append([], keyed("new-4")),
    )
    assert [type(answer) for answer in answered] == [int, AlreadyDone, int, int, AlreadyDone, int]
    assert await verified(pool) == 4
    remembered = await pool.fetch("SELECT idempotency_key, position FROM command")
    assert sorted(map(tuple, remembered)) == [
        ("new-1", 2),
        ("new-2", 3),
        ("new-3", 4),
        ("new-4", 4),
        ("used", 1),
    ]


async def test_a_refused_command_leaves_its_key_free(store: Store, request_by: Request) -> None:
    await store.append([artifact()], request_by)
    with pytest.raises(Conflict):
        await store.append([artifact()], keyed("k"))
    assert await store.recall(keyed("k"), b"") is None
    assert await store.append([artifact("another")], keyed("k")) == 2


async def test_processes_that_send_the_same_commands_do_each_once(url: str, pool: Pool) -> None:
    said = await asyncio.gather(*(writer("repeat", url, f"p-{n}", "25") for n in range(3)))
    for number in range(25):
        results = [one[f"key-{number}"] for one in said]
        assert Counter(how for how, _ in results) == {"did": 1, "done before": 2}
        assert len({position for _, position in results}) == 1
    assert await verified(pool) == 25


# What the database will not have


@pytest.mark.parametrize(
    "bad",
    [
        replace(plain(), topic="a\0b"),
        replace(plain(), topic="a\ud800b"),
        replace(plain(), originator_version=2**63),
        replace(plain(), originator_id="not an id"),
    ],
    ids=["NUL", "half a character", "a version beyond 64 bits", "no id"],
)
async def test_bad_data_fails_its_command_and_not_its_neighbours(
    store: Store, pool: Pool, request_by: Request, bad: StoredEvent
) -> None:
    commands = [[plain()], [plain(), bad], [plain()], [plain(), plain()]]
    answered = await asyncio.wait_for(
        outcomes(*(store.append_stored(events, request_by) for events in commands)), 5
    )
    assert isinstance(answered.pop(1), asyncpg.PostgresError)
    assert answered == [1, 2, 4]
    assert await store.append_stored([plain()], request_by) == 5
    assert await verified(pool) == 5


async def test_a_database_that_does_not_answer_in_time_is_unavailable_and_nothing_is_appended(
    store: Store, url: str, pool: Pool, request_by: Request
) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    append = asyncio.create_task(store.append_stored([plain()], request_by))
    bulk = asyncio.create_task(store.append_batch([plain()], request_by))
    # As statement_timeout would, without the wait for it.
    for purpose in ("appender", "store"):
        await until(
            lambda purpose=purpose: admin.fetchval(  # type: ignore[misc]
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = $1"
                " AND wait_event = 'advisory'",
                f"matchgraph {purpose}",
            )
        )
    with pytest.raises(Unavailable):
        await append
    with pytest.raises(Unavailable):
        await bulk
    await admin.execute("SELECT pg_advisory_unlock($1)", LOCK)
    await admin.close()
    assert await store.append_stored([plain()], request_by) == 1
    assert await positions(pool) == [1]


async def test_more_waiting_appends_than_memory_should_hold_are_refused_at_once(
    store: Store, request_by: Request
) -> None:
    answered = await outcomes(*(store.append_stored([plain()], request_by) for _ in range(10_500)))
    refused = [answer for answer in answered if isinstance(answer, Unavailable)]
    assert len(refused) == 500
    assert await store.head() == 10_000


async def test_an_append_that_nobody_waits_for_any_more_is_not_begun(
    store: Store, url: str, request_by: Request
) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    under_way = asyncio.create_task(store.append_stored([plain()], request_by))
    await until(
        lambda: admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event = 'advisory'"
        )
    )
    given_up = asyncio.create_task(store.append_stored([plain()], request_by))
    waiting = asyncio.create_task(store.append_stored([plain()], request_by))
    await asyncio.sleep(0)
    given_up.cancel()
    await admin.close()
    assert await outcomes(under_way, waiting) == [1, 2]
    assert given_up.cancelled()
    assert await store.head() == 2


async def test_a_database_that_is_not_migrated_is_unavailable_and_is_not_worn_out(
    store: Store, url: str, request_by: Request
) -> None:
    admin = await asyncpg.connect(url)
    rename = "ALTER FUNCTION {} RENAME TO {}"
    await admin.execute(rename.format("event_append", "event_append_of_old"))
    for _ in range(8):
        with pytest.raises(Unavailable, match="event_append"):
            await store.append_stored([plain()], request_by)

    async def one_connection() -> bool:
        connected = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'matchgraph appender'"
        )
        return connected <= 1  # type: ignore[no-any-return]

    await until(one_connection, patience=3)
    await admin.execute(rename.format("event_append_of_old", "event_append"))
    await admin.close()
    assert await store.append_stored([plain()], request_by) == 1


async def test_one_call_with_one_version_twice_is_refused_and_does_not_spin(pool: Pool) -> None:
    id = uuid4()
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.fetchrow(
            "SELECT * FROM event_append($1, '{1,1}', '{t,t}', '{x,x}', '{a,a}', '{r,r}',"
            " '{NULL,NULL}', '{1,2}', '{}', '{}', '{}', '{}')",
            [id, id],
            timeout=3,
        )
    assert await positions(pool) == []


# Nobody edits the past

CHANGES = [
    "INSERT INTO {} SELECT * FROM {}",
    "UPDATE {} SET actor = 'somebody else'",
    "UPDATE {} SET actor = actor WHERE false",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "MERGE INTO {} AS t USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE",
]


@pytest.mark.parametrize("table", ["event", "command"])
async def test_the_application_may_not_change_history(store: Store, pool: Pool, table: str) -> None:
    await store.append([artifact()], keyed("k"))
    before = await pool.fetch(f"SELECT * FROM {table}")
    for change in CHANGES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await pool.execute(change.replace("{}", table))
    assert await pool.fetch(f"SELECT * FROM {table}") == before


@pytest.mark.parametrize("table", ["event", "command"])
async def test_even_a_superuser_is_stopped_by_the_guard(store: Store, url: str, table: str) -> None:
    await store.append([artifact()], keyed("k"))
    admin = await asyncpg.connect(url)
    before = await admin.fetch(f"SELECT * FROM {table}")
    for change in CHANGES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="history is"):
            await admin.execute(change.replace("{}", table))
    assert await admin.fetch(f"SELECT * FROM {table}") == before
    await admin.close()


async def test_the_application_cannot_take_the_door_off_its_hinges(pool: Pool) -> None:
    for attempt in (
        "ALTER TABLE event DISABLE TRIGGER event_guard",
        "DROP TABLE event",
        "DROP TRIGGER event_guard ON event",
        "CREATE OR REPLACE FUNCTION event_guard() RETURNS trigger LANGUAGE plpgsql"
        " AS $$BEGIN RETURN NULL; END$$",
        "CREATE TRIGGER mine BEFORE INSERT ON event EXECUTE FUNCTION event_guard()",
        "SELECT event_conflicts('{}', '{}', '{}', '{}', '{}', '{}')",
        "SELECT * FROM event_inbox",
        "DELETE FROM event_inbox",
        "INSERT INTO stored_events SELECT gen_random_uuid(), 1, 't', 'x', 1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(attempt)


async def test_a_transaction_with_an_old_snapshot_may_not_append(url: str) -> None:
    db = await connect(url, "test")
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        for call in (
            "event_append('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
            "event_append_batch(gen_random_uuid())",
        ):
            with pytest.raises(asyncpg.InvalidTransactionStateError, match="read committed"):
                await db.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT {call}")
            await db.execute("ROLLBACK")
    await db.close()


async def test_time_never_goes_backwards_even_when_the_clock_does(
    store: Store, url: str, pool: Pool, request_by: Request
) -> None:
    await store.append_stored([plain()], request_by)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ledger = await asyncpg.connect(url)
    await ledger.execute("SET ROLE matchgraph_ledger")
    await ledger.execute(
        "INSERT INTO event SELECT position + 1, gen_random_uuid(), 1, topic, state, $1, actor,"
        " request_id, NULL, sha256('as if the clock had been set back since') FROM event",
        tomorrow,
    )
    await ledger.close()
    assert await store.append_stored([plain()], request_by) == 3
    assert await store.append_batch([plain(), plain()], request_by) == 5
    times = [row[0] for row in await pool.fetch("SELECT recorded_at FROM event ORDER BY position")]
    assert times == sorted(times)
    assert times[2:] == [tomorrow] * 3


# In bulk


async def test_a_batch_is_appended_in_its_order_behind_what_is_there(
    store: Store, pool: Pool, request_by: Request
) -> None:
    before, batch = [plain()], [plain() for _ in range(500)]
    await store.append_stored(before, request_by)
    assert await store.append_batch(batch, request_by) == 501
    assert await store.append_stored([plain()], request_by) == 502
    rows = await pool.fetch("SELECT originator_id FROM event ORDER BY position LIMIT 501")
    assert [row[0] for row in rows] == [event.originator_id for event in before + batch]
    assert await verified(pool) == 502


async def test_an_empty_batch_answers_the_end_of_the_log(store: Store, request_by: Request) -> None:
    await store.append_stored([plain()], request_by)
    assert await store.append_batch([], request_by) == 1


async def test_a_conflict_anywhere_refuses_the_whole_batch_and_nobody_else(
    store: Store, url: str, pool: Pool, request_by: Request
) -> None:
    id = uuid4()
    await store.append_stored([plain(id)], request_by)
    batch = [plain() for _ in range(100)]
    with pytest.raises(Conflict):
        await store.append_batch([*batch, plain(id)], request_by)
    with pytest.raises(Conflict):
        await store.append_batch([*batch, batch[0]], request_by)
    assert await positions(pool) == [1]
    answered = await outcomes(
        store.append_batch([*batch, plain(id)], request_by),
        *(store.append_stored([plain()], request_by) for _ in range(5)),
        store.append_batch(batch, request_by),
    )
    assert [type(answer) for answer in answered] == [Conflict, *[int] * 6]
    assert await verified(pool) == 106
    admin = await asyncpg.connect(url)
    assert await admin.fetchval("SELECT count(*) FROM event_inbox") == 0
    await admin.close()


@pytest.mark.parametrize("ordinals", [(1, 3), (2, 3), (1, 2, 4), (0, 1), (0, 2), (-1, 0, 3), ()])
async def test_a_batch_whose_ordinals_have_a_gap_is_refused(
    pool: Pool, ordinals: tuple[int, ...]
) -> None:
    batch = uuid4()
    rows = [(batch, o, uuid4(), 1, "t", b"{}", "a", "r", None) for o in ordinals]

    async def append_them() -> None:
        if rows:
            await pool.copy_records_to_table("event_inbox", records=rows)
        await pool.execute("SELECT event_append_batch($1)", batch)

    with pytest.raises((asyncpg.InvalidParameterValueError, asyncpg.CheckViolationError)):
        await append_them()
    assert await positions(pool) == []


# The chain


async def test_the_chain_holds_over_every_way_into_the_log(
    store: Store, url: str, pool: Pool
) -> None:
    unicode = Request(actor="Ünï 文", request_id="r 🦊", idempotency_key="ключ")
    id, other = uuid4(), uuid4()
    await store.append_stored([plain(id)], unicode)
    await store.append_batch([plain() for _ in range(20)], replace(unicode, idempotency_key=""))
    await outcomes(
        *(
            store.append_stored([plain(), plain(id if n % 3 else None)], keyed(f"{n}"))
            for n in range(30)
        ),
        store.append_batch([plain(other, version) for version in range(40)], keyed("in bulk")),
        *(store.append_stored([plain(id, 2)], keyed("one key")) for n in range(5)),
    )
    await store.append_stored([replace(plain(), state=bytes(range(256)) * 300)], keyed("bytes"))
    assert await verified(pool) == await store.head() > 70


@settings(max_examples=10, deadline=None)
@given(worlds(most=30), st.data())
async def test_whatever_the_domain_decides_is_in_the_log_and_comes_back(
    clones: Clones, world: World, data: st.DataObject
) -> None:
    """By groups and in bulk, as it comes."""
    request = Request(actor="a", request_id="r")
    async with clones() as url, open_store(url) as store:
        waiting = list(world.commands)
        while waiting:
            size = data.draw(st.integers(1, 10))
            some, waiting = waiting[:size], waiting[size:]
            if data.draw(st.booleans()):
                await asyncio.gather(*(store.append_stored(events, request) for events in some))
            else:
                await store.append_batch([event for events in some for event in events], request)
        assert stored_again(await store.read(0)) == world.events
        made = [*world.artifacts.values(), *world.aliases.values()]
        assert await store.load_many([one.id for one in made]) == {one.id: one for one in made}
        db = await connect(url, "test")
        assert await verified(db) == len(world.events)
        await db.close()


def stored_again(page: Sequence[Recorded]) -> list[StoredEvent]:
    return [stored(recorded.event) for recorded in page]


STREAMS = [UUID(int=number) for number in range(1, 4)]
touches = st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 4)), max_size=3, unique=True)
sent = st.lists(
    st.tuples(touches, st.none() | st.sampled_from(["k", "l", "m"])), min_size=1, max_size=12
)


@settings(max_examples=25, deadline=None)
@given(st.lists(sent, min_size=1, max_size=4))
async def test_whoever_comes_first_to_a_version_or_a_key_wins_and_nobody_else_suffers(
    clones: Clones, groups: list[list[tuple[list[tuple[UUID, int]], str | None]]]
) -> None:
    taken: set[object] = set()
    acknowledged: list[tuple[int, list[StoredEvent]]] = []
    async with clones() as url, open_store(url) as store:
        for group in groups:
            commands = [([plain(*version) for version in versions], key) for versions, key in group]
            answered = await outcomes(
                *(
                    store.append_stored(
                        events, Request(actor="a", request_id="r", idempotency_key=k)
                    )
                    for events, k in commands
                )
            )
            for (versions, key), (events, _), answer in zip(group, commands, answered, strict=True):
                claims = {*versions, *([key] if key else [])}
                if taken & claims:
                    assert isinstance(answer, Conflict)
                else:
                    taken |= claims
                    if events:
                        acknowledged.append((answer, events))
        db = await connect(url, "test")
        assert await verified(db) == sum(len(events) for _, events in acknowledged)
        rows = await db.fetch(
            "SELECT position, originator_id, originator_version, topic, state FROM event"
        )
        log = {row[0]: StoredEvent(*tuple(row)[1:]) for row in rows}
        for last, events in acknowledged:
            assert [log[p] for p in range(last - len(events) + 1, last + 1)] == events
        await db.close()
