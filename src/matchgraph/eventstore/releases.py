"""Which release knows which event, which are running, and which is the oldest that may.

Each release says which events it knows when it migrates, before it can write any: an older one that
meets an event which it does not know names the release to upgrade to. A migration that takes away
what older releases need says so in `release_floor`.
"""

import asyncpg

from matchgraph import __version__
from matchgraph.eventstore.codec import CURRENT_TAGS, UnknownTopic
from matchgraph.eventstore.connection import Connection


async def say(db: Connection) -> None:
    """Says that this release knows its events, for those that no release before it did."""
    await db.execute(
        "INSERT INTO event_release SELECT tag, $2 FROM unnest($1::text[]) AS tag"
        " ON CONFLICT DO NOTHING",
        sorted(CURRENT_TAGS),
        __version__,
    )


async def named(db: Connection, reason: UnknownTopic) -> UnknownTopic:
    """The same, with the release that knows the event, if one has said so here."""
    try:
        release = await db.fetchval("SELECT release FROM event_release WHERE tag = $1", reason.tag)
    except asyncpg.UndefinedTableError:
        return reason
    return UnknownTopic(reason.tag, release)


# The first half of the two-part advisory locks that each process shares as long as it runs; the
# second half is the number of its release.
RUNNING = 723314789


def number(release: str) -> int:
    """Releases in their order, as one number of at most 31 bits."""
    major, minor, patch = (int(part) for part in release.split("."))
    return (major * 1_000 + minor) * 1_000 + patch


async def floor(db: Connection) -> tuple[str, str] | None:
    """The oldest release that works with this database, and the migration since which that is so;
    None: every one."""
    if await db.fetchval("SELECT to_regclass('public.release_floor') IS NULL"):
        return None
    rows = await db.fetch("SELECT release, migration FROM public.release_floor")
    if not rows:
        return None
    newest = max(rows, key=lambda row: (number(row["release"]), row["migration"]))
    return newest["release"], newest["migration"]


async def say_running(db: Connection) -> None:
    """Says that a process of this release runs, for as long as this connection lives."""
    await db.execute("SELECT pg_advisory_lock_shared($1, $2)", RUNNING, number(__version__))


async def running(db: Connection, *, below: str) -> list[str]:
    """The releases before that one of which processes run here, oldest first."""
    rows = await db.fetch(
        "SELECT DISTINCT objid::bigint AS number FROM pg_locks WHERE locktype = 'advisory'"
        " AND objsubid = 2 AND classid = $1 AND objid::bigint < $2 AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
        RUNNING,
        number(below),
    )
    return [
        f"{row['number'] // 1_000_000}.{row['number'] // 1_000 % 1_000}.{row['number'] % 1_000}"
        for row in rows
    ]
