"""A Valkey that forgets, answers late or comes back with what was once so."""

import time

import redis.asyncio as redis

from faults.frame import Broken, fault
from faults.system import Run


@fault("flush-valkey")
async def flush_valkey(run: Run) -> None:
    """FLUSHALL under load"""
    async with run.catalog() as catalog, catalog.valkey() as client:
        for _ in run.injections():
            await catalog.load.more(10, 10)
            await client.flushall()
            with run.seen.recovery(goal=60):
                await catalog.boards_are_back()


@fault("rebuild-valkey", times=3, artifacts=100_000)
async def rebuild_valkey(run: Run) -> None:
    """FLUSHALL with many artifacts on the boards"""
    async with run.catalog(callers=1) as catalog, catalog.valkey() as client:
        # Boards that somebody changes meanwhile are never equal: to compare takes seconds.
        await catalog.load.more(1)
        await catalog.load.settle()
        await catalog.caught_up()
        await catalog.boards_are_back()
        for _ in run.injections():
            await client.flushall()
            with run.seen.recovery(goal=60):
                await catalog.boards_are_back()
    run.note(f"{run.artifacts:,} artifacts, equal to the byte")


@fault("evict-valkey")
async def evict_valkey(run: Run) -> None:
    """Valkey too small for what it holds, so that it evicts boards"""
    evicted = 0
    async with run.catalog() as catalog, catalog.valkey() as client:
        most = (await client.config_get("maxmemory"))["maxmemory"] or 0
        for _ in run.injections():
            await catalog.load.more(10, 10)
            before = (await client.info("stats"))["evicted_keys"]
            used = (await client.info("memory"))["used_memory"]
            await client.config_set("maxmemory", int(used * run.choices.uniform(0.3, 0.9)))
            await catalog.load.more(10, 20)
            evicted += (await client.info("stats"))["evicted_keys"] - before
            await client.config_set("maxmemory", most)
            with run.seen.recovery(goal=60):
                await catalog.boards_are_back()
    run.note(f"{evicted} keys evicted")
    if not evicted:
        raise Broken("nothing was evicted, so nothing was shown")


@fault("pause-valkey")
async def pause_valkey(run: Run) -> None:
    """Valkey answers after 5 s (CLIENT PAUSE)"""
    slowest = 0.0
    async with run.catalog() as catalog, catalog.valkey() as client:
        account = catalog.load.account
        for _ in run.injections():
            await catalog.load.more(10, 10)
            before, account.slowest_read = account.slowest_read, 0.0
            await client.client_pause(5_000)
            end = time.monotonic() + 4.5
            while time.monotonic() < end:
                await catalog.load.more(1, 5)
            slowest = max(slowest, account.slowest_read)
            account.slowest_read = max(before, slowest)
            await client.ping()  # which is answered when it is over
            asked = await _scripts(client)
            with run.seen.recovery(goal=10):
                # The circuit closes by itself: requests go to Valkey again.
                while await _scripts(client) < asked + 5:
                    await catalog.load.more(1, 5)
    run.note(f"while it lasted, no question took more than {slowest:.1f} s")


async def _scripts(client: "redis.Redis") -> int:
    """How often boards were asked for."""
    said = (await client.info("commandstats")).get("cmdstat_evalsha", {})
    return int(said.get("calls", 0))


@fault("restore-valkey")
async def restore_valkey(run: Run) -> None:
    """Valkey comes back with an older snapshot"""
    server = run.system.valkey
    async with run.catalog() as catalog:
        for _ in run.injections():
            async with catalog.valkey() as client:
                await catalog.load.more(10, 10)
                await client.save()
            await catalog.load.more(20)
            server.kill()
            server.start()
            with run.seen.recovery(goal=60):
                await catalog.boards_are_back()
    async with catalog.valkey() as client:
        await client.flushall()
        await client.save()
