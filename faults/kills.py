"""Processes that die at once."""

import asyncio
from functools import partial
from urllib.parse import urlsplit

import psutil

from faults.frame import fault, until
from faults.system import Run


@fault("kill-api", times=100)
async def kill_api(run: Run) -> None:
    """`kill -9` of the API under load"""
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(20)
            await asyncio.sleep(run.choices.random() / 5)
            await catalog.api.kill()
            with run.seen.recovery(goal=5):
                await catalog.api.start()
                await catalog.load.more(1, 1)


@fault("kill-projector", times=100)
async def kill_projector(run: Run) -> None:
    """`kill -9` of the projector in the middle of a batch"""
    behind = 0
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(20)
            await catalog.take_in(1_000)
            await asyncio.sleep(run.choices.random() / 5)
            await catalog.projector.kill()
            behind = max(behind, await catalog.head() - await catalog.reached())
            with run.seen.recovery():
                await catalog.projector.start()
                await catalog.caught_up()
    run.note(f"at most {behind} events to catch up on")


@fault("kill-postgres", times=100)
async def kill_postgres(run: Run) -> None:
    """`kill -9` of PostgreSQL, with all that it runs, under load"""
    postgres = run.system.postgres
    async with run.catalog() as catalog:
        for number in run.injections():
            await catalog.load.more(20, 10)
            await asyncio.sleep(run.choices.random() / 5)
            if number % 4 == 3:
                postgres.stop_immediately()
            else:
                postgres.kill()
            # Now and then for longer than anybody waits.
            await asyncio.sleep(7 if number % 10 == 0 else run.choices.random())
            await postgres.stop()
            await postgres.start()
            with run.seen.recovery(goal=10):
                await catalog.load.more(1, 2)


@fault("kill-postmaster")
async def kill_postmaster(run: Run) -> None:
    """`kill -9` of PostgreSQL's first process alone, or of one session's"""
    postgres = run.system.postgres
    async with run.catalog() as catalog:
        for number in run.injections():
            await catalog.load.more(20, 10)
            postmaster = postgres.postmaster()
            if number % 2:
                # All other sessions end with it, and PostgreSQL comes back by itself.
                sessions = _sessions(postmaster, catalog.url)
                run.choices.choice(sessions).kill()
                await until(partial(_gone, sessions), "all sessions to end with one")
                with run.seen.recovery(goal=10):
                    await catalog.load.more(1, 2)
            else:
                postmaster.kill()
                await postgres.stop()
                await postgres.start()
                with run.seen.recovery(goal=10):
                    await catalog.load.more(1, 2)


def _sessions(postmaster: psutil.Process, url: str) -> list[psutil.Process]:
    """The processes that serve connections to that database."""
    database = urlsplit(url).path[1:]
    return [one for one in postmaster.children() if database in " ".join(one.cmdline())]


async def _gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


@fault("kill-valkey", times=100)
async def kill_valkey(run: Run) -> None:
    """`kill -9` of Valkey under load"""
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(20, 10)
            run.system.valkey.kill()
            # Writes and reads go on without it.
            await catalog.load.more(10, 20)
            run.system.valkey.start()
            with run.seen.recovery(goal=60):
                await catalog.boards_are_back()
