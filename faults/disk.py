"""Disks that are full."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg

from faults.frame import NotHere, fault, until
from faults.servers import Postgres
from faults.system import Catalog, Run, System
from matchgraph.eventstore.connection import LOST

FULL = Path("/dev/full")
# Answered from the table `told_apart`, and nothing that callers ask for is.
FAILING = "{ likelyDuplicates(first: 1) { nodes { confidence } } }"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size. Raises: NotHere."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise NotHere("needs the right to mount a small disk, which root has")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=False)


def fill(disk: Path) -> Path:
    """Takes all that is left of the disk; returns the file to remove."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    # What is less than that, too.
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 10))
    return ballast


async def _refused(catalog: Catalog, more: int) -> None:
    """Returns when so many more commands were refused."""
    codes = catalog.load.account.codes
    enough = codes["UNAVAILABLE"] + more

    async def there() -> bool:
        catalog.load.check()
        return codes["UNAVAILABLE"] >= enough

    await until(there, "commands to be refused while the disk is full")


@fault("full-tables")
async def full_tables(run: Run) -> None:
    """The disk with the tables of the database full"""
    with small_disk(run.folder, 100) as disk:
        tables = disk / "tables"
        tables.mkdir(mode=0o700)
        owner = (run.system.folder / "servers" / "postgres").stat()
        os.chown(tables, owner.st_uid, owner.st_gid)
        async with _tablespace(run.system, tables), run.catalog(clauses="TABLESPACE small") as c:
            for _ in run.injections():
                await c.load.more(20, 10)
                ballast = fill(disk)
                await _refused(c, 10)
                # Reads go on.
                await c.load.more(0, 20)
                ballast.unlink()
                with run.seen.recovery(goal=10):
                    await c.load.more(1, 1)
            run.note(f"{c.load.account.codes['UNAVAILABLE']} answers UNAVAILABLE")


@asynccontextmanager
async def _tablespace(system: System, folder: Path) -> AsyncIterator[None]:
    await system.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
    try:
        yield
    finally:
        await system.run("DROP TABLESPACE small")


@fault("full-log", times=5)
async def full_log(run: Run) -> None:
    """The disk of PostgreSQL full, its write-ahead log included: it ends, and is started again when
    there is space"""
    with small_disk(run.folder, 400) as disk:
        postgres = Postgres(disk / "servers")
        await postgres.start()
        try:
            system = await System.over(run.folder, postgres, run.system.valkey)
            small = Run(system, run.fault, run.folder, run.times, run.seed, run.small, run.seen)
            async with small.catalog() as catalog:
                for _ in run.injections():
                    await catalog.load.more(20, 10)
                    # Now: there is no room to let anybody in later.
                    db = await asyncpg.connect(postgres.url)
                    ballast = fill(disk)
                    await _until_it_ends(postgres, db)
                    ballast.unlink()
                    await postgres.stop()
                    await postgres.start()
                    with run.seen.recovery(goal=10):
                        await catalog.load.more(1, 1)
        finally:
            await postgres.stop()


async def _until_it_ends(postgres: Postgres, db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Has PostgreSQL ask for ever more of its disk, until it gives up."""

    async def ended() -> bool:
        with suppress(asyncpg.PostgresError, *LOST):
            await db.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1 << 20))")
            await db.execute("SELECT pg_switch_wal()")
        return not postgres.runs

    await until(ended, "PostgreSQL to end for want of space")


@fault("full-logs")
async def full_logs(run: Run) -> None:
    """The disk with the API's own logs full"""
    async with run.catalog() as catalog, catalog.database() as db:
        for _ in run.injections():
            await catalog.load.more(10, 10)
            await catalog.api.end()
            await catalog.api.start(output=FULL)
            await catalog.serving()
            # Something to be logged: each of these requests fails.
            await db.execute("ALTER TABLE told_apart RENAME TO away")
            for _ in range(10):
                assert await catalog.fails(FAILING)
            await db.execute("ALTER TABLE away RENAME TO told_apart")
            with run.seen.recovery(goal=5):
                await catalog.load.more(5, 5)
