"""The runner: each event counts once, whatever is killed; what fails stops alone and loudly."""

import asyncio
import logging
import os
import random
import re
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

import matchgraph
from matchgraph import __version__
from matchgraph.domain import calibration
from matchgraph.domain.artifact import Artifact, id_of
from matchgraph.domain.calibration import Calibration
from matchgraph.eventstore import codec
from matchgraph.eventstore.codec import Undecodable, UnknownTopic
from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.store import PROJECTED, Packed, Store, open_store
from matchgraph.projections.artifact_listing import ARTIFACT_LISTING
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.projection import Batch, Heard, Projection
from matchgraph.projections.rebuild import RebuildRuns, rebuild
from matchgraph.projections.runner import (
    LEADER,
    Runner,
    progress,
)
from matchgraph.projections.signal_board import SIGNAL_BOARD
from matchgraph.projections.trail import TRAIL
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import (
    World,
    artifact,
    plain,
    price,
    rich,
    signal,
    stored_events,
    until,
    worlds,
)
from tests.projections.tables import BY, append, checkpoints, contents, rebuilt, start_over

ROOT = Path(__file__).parents[2]
NAMES = [projection.name for projection in PROJECTIONS]


@asynccontextmanager
async def leading(
    url: str, store: Store, *, page: int = 2_000, projections: tuple[Projection, ...] = PROJECTIONS
) -> AsyncIterator[Runner]:
    """A runner at work."""
    runner = Runner(url, store.listener, projections, page=page)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reached(url: str, position: int, *names: str, patience: float = 20) -> None:
    """Waits until the read models, all of them unless named, have come that far."""

    async def there() -> bool:
        found = await checkpoints(url)
        return all(found[name] >= position for name in names or NAMES)

    await until(there, patience=patience)


async def stuck(pool: Pool) -> dict[str, tuple[int, str]]:
    rows = await pool.fetch("SELECT * FROM projection_checkpoint WHERE stuck_at IS NOT NULL")
    return {row["name"]: (row["stuck_at"], row["stuck_because"]) for row in rows}


# Same history, same bytes


@settings(max_examples=15, deadline=None)
@given(
    world=worlds(most=60),
    cut=st.integers(0, 60),
    pages=st.lists(st.sampled_from([1, 2, 3, 7, 2_000]), min_size=2, max_size=5),
)
async def test_any_pages_and_any_restarts_give_the_same_bytes(
    clones: Clones, world: World, cut: int, pages: list[int]
) -> None:
    async with clones() as url, open_store(url) as store:
        # Stopped after the first events, and then after one page of each size.
        if world.events[:cut]:
            await store.append_batch(world.events[:cut], BY)
        await project(url, store, page=pages[0])
        await store.append_batch(world.events[cut:], BY)
        db = await connect(url, "test projector")
        for page in pages[1:]:
            await Runner(url, store.listener, PROJECTIONS, page=page).advance(db)
        await db.close()
        await project(url, store, page=pages[-1])
        resumed = await contents(url)
        assert set((await checkpoints(url)).values()) == {len(world.events)}

        for page in (1, 2, 7, 2_000):
            await start_over(url)
            await project(url, store, page=page)
            assert await contents(url) == resumed
        assert await rebuilt(url) == resumed
        assert set((await checkpoints(url)).values()) == {len(world.events)}


async def test_a_projection_left_behind_catches_up_and_then_goes_with_the_others(
    url: str, store: Store, pool: Pool
) -> None:
    end = await append(store, rich(2))
    await project(url, store, (PRICE_HISTORY,), page=5)
    await project(url, store, (SIGNAL_BOARD, ARTIFACT_LISTING), page=3)
    ahead = ("artifact_listing", "price_history", "signal_board")
    assert await checkpoints(url) == {**dict.fromkeys(NAMES, 0), **dict.fromkeys(ahead, end)}
    end = await append(store, rich(1, prefix="later", measured=False))
    await project(url, store, page=7)
    assert set((await checkpoints(url)).values()) == {end}
    held = await contents(url)
    assert await rebuilt(url) == held


async def test_readers_see_all_read_models_at_one_position(
    url: str, store: Store, pool: Pool
) -> None:
    seen: set[int] = set()

    async def look() -> None:
        while True:
            rows = await pool.fetch("SELECT DISTINCT position FROM projection_checkpoint")
            assert len(rows) == 1
            seen.add(rows[0][0])
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    async with leading(url, store, page=3):
        await reached(url, await append(store, rich(4)))
    assert not looking.done()
    looking.cancel()
    assert len(seen) > 3


async def test_a_runner_follows_what_is_appended_and_says_when_it_is_there(
    url: str, store: Store
) -> None:
    async with leading(url, store), store.listener.wakes(PROJECTED) as wakes:
        for number in range(5):
            position = await store.append([artifact(f"a-{number}")], BY)
            while (await checkpoints(url))["artifact_listing"] < position:
                await asyncio.wait_for(wakes.wait(600), 3)


async def test_progress_says_how_far_each_read_model_is_behind(
    url: str, store: Store, pool: Pool
) -> None:
    assert [(p.name, p.position, p.behind, p.delay) for p in await progress(pool)] == [
        (name, 0, 0, 0.0) for name in sorted(NAMES)
    ]
    await append(store, rich(1))
    await project(url, store, (PRICE_HISTORY,))
    await asyncio.sleep(0.05)
    end = await store.head()
    said = {p.name: p for p in await progress(pool)}
    assert (said["price_history"].behind, said["price_history"].delay) == (0, 0.0)
    assert said["signal_board"].behind == end
    assert 0.05 <= said["signal_board"].delay < 60
    assert {p.stuck_at for p in said.values()} == {None}


# What fails


def poison(topic: str) -> StoredEvent:
    """An event that says too little to be read."""
    id = uuid4()
    return StoredEvent(
        id, 1, topic, b'{"type":"%s","id":"%s"}' % (topic.encode(), str(id).encode())
    )


@pytest.mark.parametrize("page", [1, 3, 4, 2_000])
async def test_a_poison_event_stops_its_projection_there_and_alone(
    url: str, store: Store, pool: Pool, page: int, caplog: pytest.LogCaptureFixture
) -> None:
    made = artifact()
    made.observe_price(price("7"))
    made.observe_signal(signal("10"))
    made.observe_price(price("8", on=1))
    before = await store.append([made], BY)
    await store.append_stored([poison("price.observed")], BY)
    made.observe_price(price("9", on=2))
    made.observe_signal(signal("11", on=2))
    end = await store.append([made], BY)

    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(project(url, store, page=page), 20)
    there = dict.fromkeys(("price_history", "trail"), before)
    assert await checkpoints(url) == {**dict.fromkeys(NAMES, end), **there}
    found = await stuck(pool)
    assert set(found) == set(there)
    assert found["price_history"][0] == before + 1
    assert "Undecodable" in found["price_history"][1]
    assert f"price_history is stuck at event {before + 1}" in caplog.text
    assert [p.stuck_at for p in await progress(pool) if p.stuck_at] == [before + 1] * 2
    assert await pool.fetchval("SELECT amount FROM price_current") == Decimal(8)
    assert await pool.fetchval("SELECT value FROM signal_board") == Decimal(11)

    # Nobody tries again until there is a restart.
    more = await store.append([artifact("more")], BY)
    await project(url, store, page=page)
    assert await checkpoints(url) == {**dict.fromkeys(NAMES, more), **there}


async def test_events_that_some_projections_cannot_take_stop_each_of_those_at_its_own(
    url: str, store: Store, pool: Pool
) -> None:
    await store.append([artifact()], BY)
    await store.append_stored([poison("price.observed")], BY)
    await store.append_stored([plain(uuid4())], BY)  # retires what nobody registered
    await store.append_stored([poison("signal.observed")], BY)
    end = await store.append([artifact("last")], BY)
    await project(url, store)
    found = await stuck(pool)
    assert {name: at for name, (at, _) in found.items()} == {
        "price_history": 2,
        "artifact_listing": 3,
        "rank_board": 3,
        "search_index": 3,
        "signal_board": 4,
        "trail": 2,
    }
    assert "KeyError" in found["artifact_listing"][1]
    assert (await checkpoints(url))["capability_listing"] == end


async def test_a_restart_tries_a_stuck_projection_again_and_goes_on_when_it_can(
    url: str, store: Store, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.execute("ALTER TABLE signal_board ADD CONSTRAINT no_eight CHECK (value <> 8)")
    made = artifact()
    for value in ("7", "8", "9"):
        made.observe_signal(signal(value, source=f"source {value}"))
    end = await store.append([made], BY)
    for attempt in (1, 2):
        async with leading(url, store, page=2):
            await reached(url, end, "artifact_listing", "price_history", "capability_listing")

            async def is_stuck(times: int = attempt) -> bool:
                return caplog.text.count("signal_board is stuck at event 3") == times

            await until(is_stuck)
        found = await stuck(pool)
        assert found["signal_board"][0] == 3
        assert "no_eight" in found["signal_board"][1]
    await pool.execute("ALTER TABLE signal_board DROP CONSTRAINT no_eight")
    async with leading(url, store, page=2):
        await reached(url, end)
    assert await stuck(pool) == {}
    held = await contents(url)
    assert await rebuilt(url) == held


async def test_a_topic_of_a_newer_release_is_named_with_the_release_that_knows_it(
    url: str, store: Store, pool: Pool
) -> None:
    own = await pool.fetch("SELECT tag FROM event_release WHERE release = $1", __version__)
    assert {row["tag"] for row in own} == codec.CURRENT_TAGS
    # As the newer release did before it wrote the event.
    await pool.execute("INSERT INTO event_release VALUES ('artifact.levitated', '9.1.0')")
    await store.append_stored([poison("artifact.levitated")], BY)
    await project(url, store)
    wanted = f"{__version__}, does not know the event 'artifact.levitated'.*upgrade to 9.1.0"
    assert all(re.search(wanted, why) for _, why in (await stuck(pool)).values())
    assert len(await stuck(pool)) == len(NAMES)
    with pytest.raises(UnknownTopic, match="upgrade to 9"):
        await rebuild(url, SIGNAL_BOARD)


def test_the_release_is_the_one_that_is_published() -> None:
    assert f'\nversion = "{__version__}"\n' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("topic", ["artifact.levitated", "price.observed@2"])
async def test_an_event_of_a_newer_release_stops_every_projection_loudly(
    url: str, store: Store, pool: Pool, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    await store.append([artifact()], BY)
    await store.append_stored([poison(topic)], BY)
    await store.append([artifact("later")], BY)
    with caplog.at_level(logging.ERROR):
        await project(url, store)
    found = await stuck(pool)
    assert {name: at for name, (at, _) in found.items()} == dict.fromkeys(NAMES, 2)
    assert all("UnknownTopic" in why and topic in why for _, why in found.values())
    assert all(f"{name} is stuck at event 2" in caplog.text for name in NAMES)
    for projection in PROJECTIONS:
        with pytest.raises(UnknownTopic, match=topic):
            await rebuild(url, projection)
    assert await pool.fetchval("SELECT count(*) FROM artifact_listing") == 1


@pytest.mark.parametrize(
    "state",
    [
        b"garbage",
        b"[1]",
        b"null",
        b'{"id":5}',
        b"\xff",
        b'{"type":"',
        b'{"type":"artifact.retired","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        plain().state + b"," + plain().state,
        b"",
    ],
    ids=lambda state: state[:20].decode("latin-1"),
)
async def test_a_state_that_is_no_event_at_all_stops_every_projection_there(
    url: str, store: Store, pool: Pool, state: bytes
) -> None:
    await store.append([artifact()], BY)
    await store.append_stored([replace(plain(), state=state)], BY)
    await store.append([artifact("later")], BY)
    await project(url, store)
    found = await stuck(pool)
    assert {name: at for name, (at, _) in found.items()} == dict.fromkeys(NAMES, 2)
    assert all("Undecodable" in why for _, why in found.values())


def test_a_page_with_something_older_or_newer_is_refused_for_what_it_is() -> None:
    (good,) = stored_events(artifact())
    for broken, refusal in [
        (b'{"type":"price.observed@2","id":"%s"}' % str(uuid4()).encode(), UnknownTopic),
        (b'{"type":"price.dreamt","id":"%s"}' % str(uuid4()).encode(), UnknownTopic),
        (b'{"type":"price.observed","id":"%s"}' % str(uuid4()).encode(), Undecodable),
    ]:
        page = Packed(5, 6, artifact().created_on, b"[" + good.state + b"," + broken + b"]")
        with pytest.raises(refusal):
            PRICE_HISTORY.batch(page)


async def test_a_database_that_cannot_answer_is_no_poison(
    url: str, store: Store, pool: Pool
) -> None:
    """As when a disk is full or an operator cancels: the same pages are tried again."""
    made = artifact()
    made.observe_signal(signal())
    end = await store.append([made], BY)
    admin = await asyncpg.connect(url)
    blocked = admin.transaction()
    await blocked.start()
    await admin.execute("LOCK TABLE signal_board")
    # What a transaction sees of others' activity stays as it was.
    watching = await asyncpg.connect(url)
    async with leading(url, store):
        for _ in range(4):

            async def cancelled() -> bool:
                return bool(
                    await watching.fetchval(
                        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                        " AND application_name = 'matchgraph projector' AND query ~ 'signal_board'"
                    )
                )

            await until(cancelled)
            await asyncio.sleep(0.05)
        await blocked.rollback()
        await reached(url, end)
    await admin.close()
    await watching.close()
    assert await stuck(pool) == {}
    assert await pool.fetchval("SELECT count(*) FROM signal_board") == 1


class Retired(Heard, tag="artifact.retired", frozen=True):
    reason: str


async def only_one_at_a_time(db: Connection, batch: Batch) -> None:
    if len(batch) > 1:
        raise ValueError("too many at once")
    await db.execute("INSERT INTO picky VALUES ($1, $2)", batch[0][0], batch[0][1].reason)


PICKY = Projection(name="picky", tables=("picky",), hears=(Retired,), apply=only_one_at_a_time)


@pytest.mark.parametrize("company", [(), (SIGNAL_BOARD,)], ids=["alone", "in company"])
async def test_a_page_that_fails_only_as_a_whole_is_taken_event_by_event(
    url: str, store: Store, pool: Pool, company: tuple[Projection, ...]
) -> None:
    await pool.execute("SET ROLE matchgraph_app")
    admin = await asyncpg.connect(url)
    await admin.execute("CREATE TABLE picky (position bigint PRIMARY KEY, reason text)")
    await admin.execute("ALTER TABLE picky OWNER TO matchgraph_app")
    await admin.execute("INSERT INTO projection_checkpoint (name) VALUES ('picky')")
    await admin.close()
    end = await store.append_stored([plain() for _ in range(21)], BY)
    await project(url, store, (PICKY, *company), page=5)
    assert await stuck(pool) == {}
    assert (await checkpoints(url))["picky"] == end
    assert await pool.fetchval("SELECT count(*) FROM picky") == end


async def test_a_database_without_read_models_ends_the_runner_instead_of_its_patience(
    url: str, store: Store
) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("DROP TABLE projection_checkpoint CASCADE")
    await admin.close()
    db = await connect(url, "test projector")
    with pytest.raises(asyncpg.UndefinedTableError):
        await Runner(url, store.listener, PROJECTIONS).advance(db)
    await db.close()


# One leader


async def leaders(url: str) -> list[int]:
    admin = await asyncpg.connect(url)
    rows = await admin.fetch(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint << 32 | objid::bigint = $1",
        LEADER,
    )
    await admin.close()
    return [row[0] for row in rows]


async def test_a_standby_takes_over_when_the_leader_is_cut_off_and_nothing_counts_twice(
    url: str, store: Store, pool: Pool
) -> None:
    commands = rich(40)
    async with (
        open_store(url) as other,
        leading(url, store, page=7) as one,
        leading(url, other, page=3) as two,
    ):

        async def somebody_leads() -> bool:
            return one.leads or two.leads

        await until(somebody_leads)
        assert [one.leads, two.leads].count(True) == 1
        assert len(await leaders(url)) == 1
        took_over = 0
        for number, events in enumerate(commands):
            await store.append_stored(events, BY)
            if number % 20 == 10:
                (leader,) = await leaders(url)
                await terminate(url, leader)

                async def another_leads(before: int = leader) -> bool:
                    return [pid for pid in await leaders(url) if pid != before] != []

                await until(another_leads)
                took_over += 1
        end = await store.head()
        await reached(url, end)
        assert took_over == 10
    assert await pool.fetchval("SELECT count(*) FROM price_history") == sum(
        event.topic.startswith("price.") for events in commands for event in events
    )
    held = await contents(url)
    assert await rebuilt(url) == held


async def test_the_standby_waits_for_the_leader_and_leads_when_it_ends(
    url: str, store: Store
) -> None:
    async with leading(url, store) as one:

        async def one_leads() -> bool:
            return one.leads

        await until(one_leads)
        second = leading(url, store)
        two = await second.__aenter__()
        await asyncio.sleep(0.2)
        assert not two.leads
    assert not one.leads

    async def two_leads() -> bool:
        return two.leads

    await until(two_leads)
    await second.__aexit__(None, None, None)
    assert not two.leads


async def terminate(url: str, pid: int) -> None:
    admin = await asyncpg.connect(url)
    await admin.fetchval("SELECT pg_terminate_backend($1)", pid)
    await admin.close()


def recalibrations(times: int) -> list[list[StoredEvent]]:
    """So many calibrations after the one that a rich history has, each of another day."""
    (first,) = [e for e in rich(0)[-1] if e.topic == "ranks.calibrated"]
    event = codec.decode(first.topic, calibration.ID, 1, first.state)
    known = event.mutate(None)
    assert isinstance(known, Calibration)
    found = []
    for _ in range(times):
        scales = known.scales
        known = Calibration.calibrate(known, replace(scales, day=scales.day + timedelta(days=9)))
        found.append(stored_events(known))
    return found


async def test_a_projector_killed_again_and_again_in_the_middle_loses_and_doubles_nothing(
    url: str, store: Store, pool: Pool
) -> None:
    choices = random.Random(9)
    backlog = [event for events in rich(400) for event in events]
    await store.append_batch(backlog, BY)
    live = rich(60, prefix="live", measured=False)
    # Each of them moves every rank there is.
    for number, events in enumerate(recalibrations(40)):
        live.insert(6 * number, events)
    appending = asyncio.create_task(append(store, live))

    async def projector() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.projections.projector",
            url,
            "20",
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(Path(matchgraph.__file__).parents[1])},
        )

    killed_at: list[int] = []
    for _ in range(20):
        process = await projector()
        await reached(url, 1 + (killed_at[-1] if killed_at else 0))
        await asyncio.sleep(choices.random() / 20)
        process.kill()
        await process.wait()
        found = set((await checkpoints(url)).values())
        assert len(found) == 1
        killed_at.append(found.pop())
    assert killed_at[0] < len(backlog), "it was killed while it was at work"
    process = await projector()
    end = await appending
    await reached(url, end)
    process.kill()
    await process.wait()
    assert await stuck(pool) == {}
    assert await pool.fetchval("SELECT count(*) FROM price_history") == 460 * 4
    held = await contents(url)
    assert await rebuilt(url) == held


# Rebuilding


async def test_readers_see_whole_read_models_while_they_are_rebuilt_and_events_arrive(
    url: str, store: Store, pool: Pool
) -> None:
    await store.append_batch([event for events in rich(300) for event in events], BY)
    looks = 0

    async def look() -> None:
        nonlocal looks
        while True:
            listed, registered, prices, priced = await pool.fetchrow(  # type: ignore[misc]
                "SELECT (SELECT count(*) FROM artifact_listing),"
                " (SELECT count(*) FROM event, projection_checkpoint c WHERE c.name ="
                "   'artifact_listing' AND event.position <= c.position"
                "   AND topic = 'artifact.registered'),"
                " (SELECT count(*) FROM price_history),"
                " (SELECT count(*) FROM event, projection_checkpoint c WHERE c.name ="
                "   'price_history' AND event.position <= c.position AND topic ~ '^price')"
            )
            assert (listed, prices) == (registered, priced)
            looks += 1
            await asyncio.sleep(0)

    async with leading(url, store):
        await reached(url, await store.head(), patience=30)
        looking = asyncio.create_task(look())
        appending = asyncio.create_task(append(store, rich(60, prefix="live", measured=False)))
        for _ in range(2):
            await asyncio.gather(
                rebuild(url, ARTIFACT_LISTING), rebuild(url, PRICE_HISTORY), asyncio.sleep(0)
            )
        await reached(url, await appending)
    assert not looking.done(), looking.exception()
    looking.cancel()
    assert looks > 10
    held = await contents(url)
    assert await rebuilt(url) == held


async def test_a_rebuild_replaces_rows_that_should_never_have_been_there(
    url: str, store: Store, pool: Pool
) -> None:
    end = await append(store, rich(1))
    await project(url, store)
    right = await contents(url)
    await pool.execute("UPDATE artifact_listing SET name = 'wrong'")
    await pool.execute("DELETE FROM price_current")
    told: list[tuple[int, int]] = []
    assert await rebuild(url, ARTIFACT_LISTING, lambda *how_far: told.append(how_far)) == end
    assert await rebuild(url, PRICE_HISTORY) == end
    assert await contents(url) == right
    assert told == [(end, end)]


async def test_a_rebuild_that_fails_leaves_the_old_rows_and_the_others_at_work(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(1))
    await project(url, store)
    right = await contents(url)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(url, SIGNAL_BOARD, stop)
    assert await contents(url) == right
    end = await append(store, rich(1, prefix="later", measured=False))
    await project(url, store)
    assert set((await checkpoints(url)).values()) == {end}


async def test_a_rebuild_frees_a_projection_that_was_stuck(
    url: str, store: Store, pool: Pool
) -> None:
    await pool.execute("ALTER TABLE signal_board ADD CONSTRAINT no_eight CHECK (value <> 8)")
    made = artifact()
    made.observe_signal(signal("8"))
    end = await store.append([made], BY)
    await project(url, store)
    assert list(await stuck(pool)) == ["signal_board"]
    with pytest.raises(asyncpg.CheckViolationError):
        await rebuild(url, SIGNAL_BOARD)
    assert list(await stuck(pool)) == ["signal_board"]
    await pool.execute("ALTER TABLE signal_board DROP CONSTRAINT no_eight")
    assert await rebuild(url, SIGNAL_BOARD) == end
    assert await stuck(pool) == {}
    assert await pool.fetchval("SELECT value FROM signal_board") == 8


async def test_one_read_model_is_rebuilt_by_one_at_a_time_and_meanwhile_the_others_go_on(
    url: str, store: Store
) -> None:
    await append(store, rich(1))
    await project(url, store)
    under_way, go_on = threading.Event(), threading.Event()

    def pause(*_: int) -> None:
        under_way.set()
        go_on.wait(30)

    first = asyncio.create_task(
        asyncio.to_thread(lambda: asyncio.run(rebuild(url, SIGNAL_BOARD, pause)))
    )
    old = await contents(url)
    await asyncio.to_thread(under_way.wait, 10)
    assert await asyncio.wait_for(contents(url), 5) == old, "readers neither wait nor see less"
    before = (await checkpoints(url))["signal_board"]
    made = await store.load(id_of("thing-0"))
    assert isinstance(made, Artifact)
    made.observe_signal(signal("99", on=9))
    end = await store.append([made], BY)
    await project(url, store)
    assert await checkpoints(url) == {**dict.fromkeys(NAMES, end), "signal_board": before}
    with pytest.raises(RebuildRuns, match="signal_board"):
        await rebuild(url, SIGNAL_BOARD)
    assert await rebuild(url, PRICE_HISTORY) == end
    go_on.set()
    await first
    await project(url, store)
    assert set((await checkpoints(url)).values()) == {end}
    held = await contents(url)
    assert await rebuilt(url) == held


# A discarded report counts nowhere, by design; and what an artifact absorbed, or parted from, is
# said by the other one too.
HEARD_BY_NOBODY = {"outcome.discarded", "artifact.absorbed", "artifact.parted"}


def test_every_projection_hears_what_is_said_and_every_event_is_heard_by_somebody() -> None:
    heard = {
        projection.name: {str(one.__struct_config__.tag) for one in projection.hears}
        for projection in PROJECTIONS
    }
    # Of some it keeps no more than where their topics are.
    assert heard.pop(TRAIL.name) == codec.CURRENT_TAGS
    assert set().union(*heard.values()) == codec.CURRENT_TAGS - HEARD_BY_NOBODY
