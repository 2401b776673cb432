"""Applies migrations/ in order while releases serve, and says which of them go with a database.

Any number of processes may start at once. docs/upgrades.md tells how a migration is written.
"""

import asyncio
import logging
import re
import time
from importlib import resources
from pathlib import Path

import asyncpg
from pogo_core.migration import Migration, topological_sort
from pogo_core.util import sql

from matchgraph import __version__
from matchgraph.eventstore import releases
from matchgraph.eventstore.connection import LOST, Connection, advisory_lock
from matchgraph.projections.runner import REBUILDING

log = logging.getLogger("matchgraph.migrate")

LOCK = 7233147820516
# Units: milliseconds. Whoever waits for a lock makes all wait who come after: so long in the first
# try, then twice that and so on, up to the last.
STALL, LONGEST_STALL = 100, 800
# Units: seconds. How long a migration is tried, and the longest pause between two tries.
PATIENCE, PAUSE = 600.0, 5.0
IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.]+)",
    re.IGNORECASE,
)


class Unfit(Exception):
    """This release does not go with the database; the message says what to do."""


class NotMigrated(Unfit):
    """The database is too old for this release."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(
            f"The database is not up to date: release {__version__} needs {_listed(missing)}, which"
            " it does not have; run `matchgraph migrate` first."
        )


class TooOld(Unfit):
    """This release is too old for the database."""

    def __init__(self, floor: str, migration: str) -> None:
        super().__init__(
            f"Release {__version__} is too old for this database, which works with {floor} and"
            f" later since {migration}; start such a release. Nothing was changed."
        )


class Unfinished(Exception):
    """A migration could not be applied; those before it stand."""


class Blocked(Unfinished):
    """It did not get its locks."""


class StillRunning(Unfinished):
    """It would take away what processes that run still need."""


def folder() -> Path:
    """Where the migrations are: beside the code in a wheel, at the top of the repository."""
    packaged = Path(str(resources.files("matchgraph"))) / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


async def check(url: str) -> None:
    """Makes sure that this release goes with the database.

    Raises: TooOld, NotMigrated; OSError or asyncpg.PostgresError when the database is away.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await _check(connection)
        if missing := _known() - await _applied(connection):
            raise NotMigrated(sorted(missing))
    finally:
        await connection.close(timeout=5)


async def apply(url: str, *, source: Path | None = None, patience: float = PATIENCE) -> None:
    """Brings the database up to date: each migration in a transaction of its own, or, where its
    file says so, one statement without. What is there already stays, also of a newer release.

    Raises: TooOld; Unfinished when a migration fails, Blocked when it does not get its locks within
        `patience`, StillRunning; OSError or asyncpg.PostgresError when the database is away.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        # The second process waits here and finds everything done; a lock of the session cannot
        # be left behind by one that is killed.
        await advisory_lock(connection, LOCK, on_waiting=_wait_for_the_other)
        await _check(connection)
        await sql.ensure_pogo_sync(connection)
        found = await sql.read_migrations(source or folder(), connection, schema_name="public")
        for migration in topological_sort([one.load() for one in found]):
            if not migration.applied:
                log.warning("Applying %s", migration.id)
                await _apply(connection, migration, patience)
        await releases.say(connection)
    finally:
        await connection.close(timeout=5)


async def missing(url: str) -> list[str]:
    """The migrations of this release that the database has not seen, the first ones first.

    Raises: one of LOST when the database is away.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        rows = await connection.fetch("SELECT migration_id FROM public._pogo_migration", timeout=5)
    except asyncpg.UndefinedTableError:
        rows = []
    finally:
        await connection.close(timeout=5)
    applied = {row["migration_id"] for row in rows}
    return sorted({file.stem for file in folder().glob("*.sql")} - applied)


def _wait_for_the_other() -> None:
    log.warning("Another process migrates this database; waiting for it to end.")


async def _apply(db: Connection, migration: Migration, patience: float) -> None:
    started, pause, stall, said = time.monotonic(), 0.1, STALL, False
    while True:
        try:
            if migration.use_transaction:
                await _in_transaction(db, migration, stall)
            else:
                await _alone(db, migration)
            return
        except IN_THE_WAY as reason:
            if time.monotonic() - started > patience:
                raise Blocked(
                    f"{migration.id} did not get its locks within {patience:g} s. The longest"
                    f" transactions are those of {await _longest(db)}; end them or wait for them,"
                    " and migrate again. The migrations before it stand."
                ) from reason
            if not said:
                said = True
                log.warning(
                    "%s waits for locks that others hold, and tries again for %g s; the longest"
                    " transactions are those of %s",
                    migration.id,
                    patience,
                    await _longest(db),
                )
            await asyncio.sleep(pause)
            pause, stall = min(pause * 2, PAUSE), min(stall * 2, LONGEST_STALL)
        except LOST:
            raise
        except asyncpg.PostgresError as reason:
            raise Unfinished(
                f"{migration.id} could not be applied: {reason}. The migrations before it stand."
            ) from reason


async def _in_transaction(db: Connection, migration: Migration, stall: int) -> None:
    async with db.transaction():
        await db.execute(f"SET LOCAL lock_timeout = {stall}")
        await _stand_first(db)
        before = await releases.floor(db)
        await migration.apply(db)
        await _done(db, migration)
        after = await releases.floor(db)
        if after is not None and after != before:
            older = await releases.running(db, below=after[0])
            if older:
                raise StillRunning(
                    f"{migration.id} takes away what releases before {after[0]} need, and processes"
                    f" of {_listed(older)} run; end them first, and migrate again."
                )


async def _stand_first(db: Connection) -> None:
    """Waits until those who use many tables in one transaction are done, and keeps others like them
    from beginning. One by one, each table would be had only while they wait for another.

    Raises: one of IN_THE_WAY.
    """
    if await db.fetchval("SELECT to_regclass('public.reading') IS NULL"):
        return
    # Those who project skip what is locked, so nobody waits for this.
    await db.execute(
        "SELECT pg_advisory_xact_lock($1, hashtext(name)) FROM public.projection_checkpoint",
        REBUILDING,
    )
    await db.execute("LOCK TABLE public.reading IN ACCESS EXCLUSIVE MODE")


async def _alone(db: Connection, migration: Migration) -> None:
    """Applies one that has to do without a transaction: an index that is built while others write.

    It waits for transactions, and nobody for it, so it may take its time. Interrupted, it leaves an
    index behind that nobody may use.
    """
    names = INDEX.findall(migration.path.read_text())
    try:
        await _remove_unfinished(db, names)
        await migration.apply(db)
    except BaseException:
        if not db.is_closed():
            await _remove_unfinished(db, names)
        raise
    await _done(db, migration)


async def _remove_unfinished(db: Connection, names: list[str]) -> None:
    for name in names:
        if await db.fetchval(
            "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
        ):
            await db.execute(f"DROP INDEX CONCURRENTLY {name}")


async def _done(db: Connection, migration: Migration) -> None:
    await sql.migration_applied(db, migration.id, migration.hash, schema_name="public")


async def _longest(db: Connection) -> str:
    """Who has been in a transaction for the longest time here, for a person."""
    rows = await db.fetch(
        "SELECT pid, application_name, round(extract(epoch FROM now() - xact_start)) AS seconds"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 3"
    )
    told = [
        f"{r['application_name'] or 'somebody'} (pid {r['pid']}, {r['seconds']} s)" for r in rows
    ]
    return _listed(told) if told else "nobody any more"


async def _check(db: Connection) -> None:
    found = await releases.floor(db)
    if found is not None and releases.number(__version__) < releases.number(found[0]):
        raise TooOld(*found)


def _known() -> set[str]:
    return {file.stem for file in folder().glob("*.sql")}


async def _applied(db: Connection) -> set[str]:
    if await db.fetchval("SELECT to_regclass('public._pogo_migration') IS NULL"):
        return set()
    return await sql.get_applied_migrations(db, schema_name="public")


def _listed(names: list[str]) -> str:
    *some, last = names
    return f"{', '.join(some)} and {last}" if some else last
