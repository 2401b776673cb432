"""Appending while connections are cut and PostgreSQL is killed: what was acknowledged is there
once, what was refused is not there, and the store works again without being opened again."""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from faults.proxy import Cut, Proxy
from faults.servers import mortal
from matchgraph import migrate
from matchgraph.eventstore.errors import AlreadyDone, OutcomeUnknown, Unavailable
from matchgraph.eventstore.store import Recorded, Request, Store, open_store
from tests.eventstore.chain import verified
from tests.eventstore.histories import plain, until

LOCK = 7233147820517


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="mg-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


async def log_of(url: str) -> list[asyncpg.Record]:
    """The whole log, verified."""
    db = await asyncpg.connect(url)
    rows = await db.fetch("SELECT * FROM event ORDER BY position")
    assert await verified(db) == len(rows)
    await db.close()
    return rows


# The line is cut


async def test_a_line_cut_around_an_append_loses_nothing_doubles_nothing_and_fails_nobody(
    url: str, folder: Path
) -> None:
    choices = random.Random(20_261_123)
    cuts = 30
    plan = [choices.choice(list(Cut)) for _ in range(cuts)]

    def decide() -> Cut | None:
        return plan.pop() if plan and choices.random() < 0.5 else None

    positions: dict[str, int] = {}

    async def write(store: Store, task: int) -> None:
        number = 0
        while plan or number < 5:
            number += 1
            id = f"{task}-{number}"
            request = Request(actor="a", request_id=id, idempotency_key=id if number % 2 else None)
            events = [plain() for _ in range(1 + number % 3)]
            positions[id] = await store.append_stored(events, request)

    async with Proxy(url, folder, decide) as proxy, open_store(proxy.url, patience=30) as store:
        await asyncio.gather(*(write(store, task) for task in range(8)))
        assert proxy.cuts == cuts

    rows = await log_of(url)
    last = {row["request_id"]: row["position"] for row in rows}
    assert last == positions
    counted = Counter(row["request_id"] for row in rows)
    assert counted == {id: 1 + int(id.split("-")[1]) % 3 for id in positions}


@pytest.mark.parametrize("cut", Cut)
async def test_a_keyed_command_without_events_is_remembered_over_a_cut(
    url: str, folder: Path, cut: Cut
) -> None:
    plan = [cut]
    request = Request(actor="a", request_id="r", idempotency_key="k")

    async with (
        Proxy(url, folder, lambda: plan.pop() if plan else None) as proxy,
        open_store(proxy.url) as store,
    ):
        try:
            assert await store.append([], request, b"payload") == 0
        except AlreadyDone:
            # By itself, the first time; its caller finds the result as after any repetition.
            assert cut in (Cut.AFTER, Cut.UNAWARE, Cut.ANSWER)
        assert await store.recall(request, b"payload") == 0


async def test_an_append_cut_off_while_it_waits_for_its_turn_is_appended_once_and_succeeds(
    url: str, folder: Path
) -> None:
    """The session that was cut off does not know, and would commit after it was looked for."""
    plan: list[Cut] = []
    admin = await asyncpg.connect(url)

    async def waiting() -> set[int]:
        rows = await admin.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'matchgraph appender' AND wait_event = 'advisory'"
        )
        return {row[0] for row in rows}

    async with (
        Proxy(url, folder, lambda: plan.pop() if plan else None) as proxy,
        open_store(proxy.url) as store,
    ):
        by = Request(actor="a", request_id="r")
        assert await store.append_stored([plain()], by) == 1
        first = await admin.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'matchgraph appender'"
        )
        await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
        plan.append(Cut.UNAWARE)
        append = asyncio.create_task(store.append_stored([plain()], by))

        async def another_waits() -> bool:
            return bool(await waiting() - {first})

        await until(another_waits)
        await admin.execute("SELECT pg_advisory_unlock($1)", LOCK)
        assert await append == 2
        assert await store.append_stored([plain()], by) == 3
    await admin.close()
    assert len(await log_of(url)) == 3


@pytest.mark.parametrize("cut", Cut)
async def test_an_append_is_asked_after_for_as_long_as_there_is_patience(
    url: str, folder: Path, cut: Cut
) -> None:
    plan = [Cut.AFTER, cut, cut, cut, cut]
    at = (b"event_append(", b"SELECT position FROM event WHERE originator_id")
    by = Request(actor="a", request_id="r")
    async with (
        Proxy(url, folder, lambda: plan.pop() if plan else None, at) as proxy,
        open_store(proxy.url) as store,
    ):
        assert await store.append_stored([plain()], by) == 1
        assert proxy.cuts == 5
        assert await store.append_stored([plain()], by) == 2
    assert len(await log_of(url)) == 2


async def test_a_session_that_has_heard_of_its_end_and_is_not_yet_closed_counts_as_lost(
    url: str, folder: Path
) -> None:
    by = Request(actor="a", request_id="r")
    async with (
        Proxy(url, folder, lambda: None) as proxy,
        open_store(proxy.url, pool_size=1) as store,
    ):
        assert await store.append_stored([plain()], by) == 1
        assert await store.head() == 1
        proxy.announce_the_end()
        await asyncio.sleep(0.05)
        assert await store.append_stored([plain()], by) == 2
        with pytest.raises(Unavailable):
            await store.head()
        assert await store.head() == 2


async def test_a_database_that_stays_away_is_unavailable_in_time(url: str, folder: Path) -> None:
    proxy = Proxy(url, folder, lambda: None)
    async with proxy, open_store(proxy.url, patience=0.5) as store:
        by = Request(actor="a", request_id="r")
        await store.append_stored([plain()], by)
        await proxy.__aexit__()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(store.append_stored([plain()], by), 3)
        with pytest.raises(Unavailable) as refused:
            await asyncio.wait_for(store.append_stored([plain()], by), 3)
        assert not isinstance(refused.value, OutcomeUnknown), "it cannot have been sent"
        with pytest.raises(Unavailable):
            await store.head()
        with pytest.raises(Unavailable):
            await store.append_batch([plain()], by)
        async with Proxy(url, folder, lambda: None):
            assert await store.append_stored([plain()], by) == 2
            assert await store.head() == 2


async def test_an_append_whose_fate_cannot_be_asked_for_says_so(url: str, folder: Path) -> None:
    appending = asyncio.Event()

    def decide() -> Cut:
        appending.set()
        return Cut.AFTER

    proxy = Proxy(url, folder, decide)
    async with proxy, open_store(proxy.url, patience=0.5) as store:
        by = Request(actor="a", request_id="r")
        append = asyncio.create_task(store.append_stored([plain()], by))
        await appending.wait()
        await proxy.__aexit__()
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(append, 3)


# PostgreSQL dies


@dataclass
class Told:
    """What the callers were told, by request."""

    positions: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


async def test_what_was_acknowledged_outlives_every_death_of_the_database(folder: Path) -> None:
    choices = random.Random(5)
    told, batches = Told(), Told()
    stopping = False
    following: list[Recorded] = []

    async def write(store: Store, name: str) -> None:
        number = 0
        while not stopping:
            number += 1
            id = f"{name}-{number}"
            try:
                position = await store.append_stored(
                    [plain(), plain()], Request(actor="a", request_id=id)
                )
            except OutcomeUnknown as reason:
                told.unknown[id] = str(reason)
            except Unavailable as reason:
                told.failed[id] = str(reason)
                await asyncio.sleep(0.05)
            else:
                told.positions[id] = position
                # Leaves some of the time to the others: all share two cores.
                await asyncio.sleep(0.002)

    async def write_batches(store: Store) -> None:
        number = 0
        while not stopping:
            number += 1
            id = f"batch-{number}"
            try:
                batches.positions[id] = await store.append_batch(
                    [plain() for _ in range(50)], Request(actor="a", request_id=id)
                )
            except Unavailable as reason:
                batches.unknown[id] = str(reason)
            await asyncio.sleep(0.1)

    async def follow(store: Store) -> None:
        async for page in store.follow(0):
            following.extend(page)

    async def more(acknowledged: int) -> None:
        enough = len(told.positions) + acknowledged

        async def reached() -> bool:
            return len(told.positions) >= enough

        await until(reached, patience=20)

    async with mortal(folder) as server:
        await migrate.apply(server.url)
        async with (
            open_store(server.url, patience=0.3) as hasty,
            open_store(server.url, patience=20) as patient,
            asyncio.TaskGroup() as tasks,
        ):
            writers = [tasks.create_task(write_batches(hasty))]
            for n in range(16):
                writers.append(tasks.create_task(write(hasty, f"hasty-{n}")))
                writers.append(tasks.create_task(write(patient, f"patient-{n}")))
            follower = tasks.create_task(follow(patient))
            for death in range(5):
                await more(150)
                await asyncio.sleep(choices.random() / 10)
                if death % 2:
                    server.stop_immediately()
                else:
                    server.kill()
                await asyncio.sleep(choices.random())
                await server.stop()
                await server.start()
            await more(150)
            stopping = True
            await asyncio.wait(writers)
            assert await hasty.append_stored([plain()], Request(actor="a", request_id="last"))
            end = await patient.head()

            async def caught_up() -> bool:
                return len(following) >= end

            await until(caught_up, patience=20)
            follower.cancel()
        rows = await log_of(server.url)

    assert [recorded.position for recorded in following] == list(range(1, end + 1))
    assert [(r.position, r.event.originator_id, r.request_id) for r in following] == [
        (row["position"], row["originator_id"], row["request_id"]) for row in rows
    ]
    counted = Counter(row["request_id"] for row in rows)
    last = {row["request_id"]: row["position"] for row in rows}
    assert {id: last.get(id) for id in told.positions} == told.positions
    assert {id: last.get(id) for id in batches.positions} == batches.positions
    assert counted.keys().isdisjoint(told.failed)
    assert {counted[id] for id in told.positions} == {2}
    assert {counted[id] for id in told.unknown} <= {0, 2}
    assert {counted[id] for id in (*batches.positions, *batches.unknown)} <= {0, 50}
    # Otherwise it has shown nothing.
    assert told.failed
    impatient = {
        id: why for id, why in (told.failed | told.unknown).items() if id.startswith("patient")
    }
    assert impatient == {}
