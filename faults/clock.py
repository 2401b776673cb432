"""Clocks that jump."""

import struct
from datetime import timedelta
from pathlib import Path

import asyncpg

from bench.machine import NoLibrary, preloadable
from faults.frame import Broken, NotHere, fault
from faults.system import BY, Run
from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import open_store

HOUR = 3600


class Clock:
    """A clock that processes started with `environment` go by."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.environment = {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(file)}

    def jump(self, seconds: int) -> None:
        """From now on it is off by so many seconds."""
        # Not truncated: whoever goes by it has it in memory.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))


@fault("clock")
async def jump(run: Run) -> None:
    """The clocks of the database, the API and the projector jump by an hour, ahead and back,
    together and apart"""
    try:
        library = preloadable(Path(__file__).with_name("clock.c"), run.folder)
    except NoLibrary as reason:
        raise NotHere(str(reason)) from None
    theirs, ours = (Clock(library, run.folder / name) for name in ("theirs", "ours"))
    postgres = run.system.postgres
    await postgres.stop()
    await postgres.start(theirs.environment)
    try:
        async with run.catalog(environment=ours.environment) as catalog:
            for _ in run.injections():
                for one, other in ((HOUR, 0), (HOUR, HOUR), (0, HOUR), (-HOUR, -HOUR), (0, 0)):
                    theirs.jump(one)
                    ours.jump(other)
                    await catalog.load.more(10, 10)
            await _times_follow_the_order(catalog.url)
            theirs.jump(0)
            ours.jump(0)
            async with open_store(catalog.url) as store:
                now = await store.now()
                expires = now.replace(microsecond=0) + timedelta(minutes=30)
                issued = await issue(store, BY, "somebody for half an hour", Role.AUDITOR, expires)
            # By the database's clock it ends, whatever the API's says.
            for one, other, lets_in in ((0, HOUR, True), (HOUR, 0, False), (0, 0, True)):
                theirs.jump(one)
                ours.jump(other)
                await catalog.api.end()
                await catalog.api.start()
                await catalog.serving()
                if await catalog.lets_in(issued.key) is not lets_in:
                    raise Broken(f"a key {'is refused' if lets_in else 'lets in'} by a wrong clock")
            theirs.jump(0)
            ours.jump(0)
    finally:
        await postgres.stop()
        await postgres.start()


async def _times_follow_the_order(url: str) -> None:
    db = await asyncpg.connect(url)
    try:
        back = await db.fetchval(
            "SELECT count(*) FROM event e JOIN event b ON b.position = e.position - 1"
            " WHERE e.recorded_at < b.recorded_at"
        )
        ahead = await db.fetchval(
            "SELECT extract(epoch FROM max(recorded_at) - clock_timestamp()) FROM event"
        )
    finally:
        await db.close()
    if back:
        raise Broken(f"time goes back at {back} positions")
    if ahead < HOUR / 2:
        raise Broken("the database's clock did not jump, so nothing was shown")
