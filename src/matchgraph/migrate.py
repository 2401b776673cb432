"""Applies migrations/ in order; any number of processes may start at once."""

import logging
from importlib import resources
from pathlib import Path

import asyncpg
from pogo_core.util import migrate

from matchgraph.eventstore import releases

log = logging.getLogger("matchgraph.migrate")

LOCK = 7233147820516


def folder() -> Path:
    """Where the migrations are: beside the code in a wheel, at the top of the repository."""
    packaged = Path(str(resources.files("matchgraph"))) / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


async def apply(url: str) -> None:
    """Brings the database up to date, each migration in a transaction of its own.

    Raises: OSError or asyncpg.PostgresError when the database is away; pogo_core's
        BadMigrationError when a migration fails, after which the ones before it stand.
    """
    connection = await asyncpg.connect(url, timeout=5)
    try:
        # The second process waits here and finds everything done; a lock of the session cannot
        # be left behind by one that is killed.
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await migrate.apply(connection, folder(), schema_name="public", logger=log)
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
