"""What goes wrong between the log and the read models, and with the log itself."""

import asyncio
import os
import signal
import time
from functools import partial
from uuid import uuid4

import asyncpg
from eventsourcing.persistence import StoredEvent

from bench.history import registered_and_observed, rows
from faults import checks
from faults.frame import Broken, fault, until
from faults.system import BY, Catalog, Program, Run
from matchgraph.eventstore.store import open_store
from matchgraph.ledger.verify import verify_chain


@fault("catch-up", times=5)
async def catch_up(run: Run) -> None:
    """Projector away while tens of thousands of events come"""
    artifacts, rounds = (200, 10) if run.small else (2_000, 10)
    _, known = registered_and_observed(artifacts, 2)
    _, observed = registered_and_observed(artifacts, 2 + rounds * run.times)
    rest = rows(observed[len(known) :])
    share = len(rest) // run.times
    slowest = 1e9
    async with run.catalog(artifacts=artifacts, callers=1) as catalog:
        await catalog.caught_up()
        for number in run.injections():
            await catalog.projector.kill()
            before = await catalog.reached()
            async with open_store(catalog.url) as store:
                await store.append_batch(rest[number * share : (number + 1) * share], BY)
            with run.seen.recovery():
                await catalog.projector.start()

                async def begun(before: int = before) -> bool:
                    return await catalog.reached() > before

                await until(begun, "the projector to go on")
                first, since = await catalog.reached(), time.monotonic()
                await catalog.caught_up()
            rate = (await catalog.reached() - first) / (time.monotonic() - since)
            slowest = min(slowest, rate)
    run.note(f"{share:,} events, at {slowest:,.0f} events/s or more (goal 5,000)")


@fault("steal-lock")
async def steal_lock(run: Run) -> None:
    """Two projectors; the lock of the one that leads is taken away while it stands still"""
    async with run.catalog() as catalog:
        first = catalog.projector
        second = Program(run.folder, "second", ["project"], catalog.common)
        await second.start()
        try:
            for _ in run.injections():
                await catalog.load.more(10)
                os.kill(first.pid, signal.SIGSTOP)
                stolen = await _steal(catalog)
                # The other one leads, and the first finds out as it tries to write.
                await catalog.load.more(10)
                await catalog.caught_up()
                os.kill(first.pid, signal.SIGCONT)
                await catalog.load.more(10)
                if not stolen:
                    raise Broken("nobody held the lock")
                first, second = second, first
        finally:
            for one in (first, second):
                os.kill(one.pid, signal.SIGCONT)
            await (second if second is not catalog.projector else first).kill()


async def _steal(catalog: Catalog) -> int:
    """Ends the sessions that lead, of whoever stands still."""
    async with catalog.database() as db:
        found = await db.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
            " current_database() AND application_name IN ('matchgraph projector',"
            " 'matchgraph rank cache', 'matchgraph publisher') AND wait_event IS DISTINCT FROM"
            " 'advisory'"
        )
    return len(found)


@fault("poison", times=5)
async def poison(run: Run) -> None:
    """An event that one read model cannot take in"""
    async with run.catalog() as catalog:
        for number in run.injections():
            await catalog.caught_up()
            limit = f"poison_{number}"
            async with catalog.database() as db:
                at = await catalog.head()
                refuses = "CHECK (value <> 4711) NOT VALID"
                await db.execute(f"ALTER TABLE signal_board ADD CONSTRAINT {limit} {refuses}")
                await catalog.observe("4711")

                async def stuck() -> bool:
                    problems = (await catalog.ready())["problems"]
                    return "signal_board is stuck" in str(problems)

                await until(stuck, "the read model to be said to be stuck")
                said = await catalog.metrics()
                if said['matchgraph_projection_stuck{read_model="signal_board"}'] != 1:
                    raise Broken("the metrics do not say that it is stuck")
                # The others go on.
                more = await catalog.head()

                async def others(more: int = more) -> bool:
                    return bool(
                        await db.fetchval(
                            "SELECT bool_and(position >= $1) FROM projection_checkpoint"
                            " WHERE name <> 'signal_board'",
                            more,
                        )
                    )

                await until(others, "the other read models to go on")
                await db.execute(f"ALTER TABLE signal_board DROP CONSTRAINT {limit}")
            assert at < more, "the event is among them"
            with run.seen.recovery():
                await catalog.projector.end()
                await catalog.projector.start()
                await catalog.caught_up()


@fault("unknown-event", times=5)
async def unknown_event(run: Run) -> None:
    """An event of a release to come"""
    for _ in run.injections():
        async with run.system.database() as url, open_store(url) as store:
            registered, observed = registered_and_observed(50, 2)
            end = await store.append_batch(rows([*registered, *observed]), BY)
            id = uuid4()
            state = b'{"type":"artifact.levitated","id":"%s"}' % str(id).encode()
            await store.append_stored([StoredEvent(id, 1, "artifact.levitated", state)], BY)
            environment = {"DATABASE_URL": url, "REDIS_URL": run.system.valkey.url}
            environment |= {"MATCHGRAPH_DATA": str(run.folder / "data")}
            projector = Program(run.folder, "projector", ["project"], environment)
            await projector.start()
            db = await asyncpg.connect(url)
            try:
                await until(partial(_stuck, db, end + 1), "every read model to stop there")
            finally:
                await db.close()
                await projector.kill()
            rebuild = Program(run.folder, "rebuild", ["rebuild", "signal_board"], environment)
            await rebuild.start()
            await rebuild.over()
            if rebuild.ended == 0 or "artifact.levitated" not in rebuild.said():
                raise Broken(f"a rebuild passed over it: {rebuild.said()[-300:]}")
            # What it stopped at is in the log all the same, and everything before it in the models.
            await checks.whole(url)
            await checks.replayed(url)
    run.seen.checked = ["chain", "read models"]


async def _stuck(db: "asyncpg.Connection[asyncpg.Record]", at: int) -> bool:
    found = await db.fetchval("SELECT bool_and(stuck_at = $1) FROM projection_checkpoint", at)
    return bool(found)


@fault("tamper", times=100, few=5)
async def tamper(run: Run) -> None:
    """One byte of one event changed in SQL"""
    async with run.system.database() as url, open_store(url) as store:
        registered, observed = registered_and_observed(100, 4)
        end = await store.append_batch(rows([*registered, *observed]), BY)
        await checks.whole(url)
        db = await asyncpg.connect(url)
        try:
            await db.execute("SET session_replication_role = replica")
            for number in run.injections():
                at = run.choices.randint(1, end)
                byte = run.choices.randrange(
                    await db.fetchval("SELECT length(state) FROM event WHERE position = $1", at)
                )
                change = (
                    "UPDATE event SET state = set_byte(state, $2, get_byte(state, $2) # 1)"
                    " WHERE position = $1"
                )
                await db.execute(change, at, byte)
                found = await verify_chain(url)
                if found.problem is None or found.problem.position != at:
                    raise Broken(f"byte {byte} of event {at} changed, and found: {found.problem}")
                if number == 0:
                    await _said_by_program(run, url, at)
                await db.execute(change, at, byte)
        finally:
            await db.close()
        await checks.whole(url)
    run.seen.checked = ["chain"]


async def _said_by_program(run: Run, url: str, at: int) -> None:
    environment = {"DATABASE_URL": url, "REDIS_URL": run.system.valkey.url}
    environment |= {"MATCHGRAPH_DATA": str(run.folder / "data")}
    verify = Program(run.folder, "verify", ["verify"], environment)
    await verify.start()
    await verify.over()
    if verify.ended != 1 or f"position {at}" not in " ".join(verify.said().split()):
        raise Broken(f"`matchgraph verify` does not name {at}: {verify.said()[-300:]}")


@fault("rebuild")
async def rebuild(run: Run) -> None:
    """Every read model rebuilt while events arrive, and the rebuild killed half-way"""
    async with run.catalog(artifacts=500) as catalog:
        program = Program(run.folder, "rebuild", ["rebuild", "--all"], catalog.common)
        for _ in run.injections():
            await catalog.load.more(5, 5)
            await program.start()
            await asyncio.sleep(run.choices.uniform(1, 4))
            await program.kill()
            with run.seen.recovery():
                await program.start()
                while program.ended is None:
                    await catalog.load.more(2, 4)
            if program.ended != 0:
                raise Broken(f"a rebuild failed: {program.said()[-300:]}")
