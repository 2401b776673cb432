"""Tries a migration on a real database, and says what in it would stand in others' way."""

import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import sqlparse
from pogo_core.migration import Migration, read_sql_migration

from matchgraph.eventstore import releases
from matchgraph.eventstore.connection import Connection

# Tables of a few rows each, whatever the catalog holds.
SMALL = {
    *("event_release", "ledger_key", "ledger_watch", "projection_checkpoint", "projection_rebuild"),
    *("rank_calibration", "rank_policy", "reading", "release_floor", "search_in_plain"),
}
# What PostgreSQL does beside the work of others, and what can be done again after a crash.
ALONE = re.compile(
    r"(CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS|DROP INDEX CONCURRENTLY IF EXISTS"
    r"|ALTER TABLE \S+ VALIDATE CONSTRAINT) ",
    re.IGNORECASE,
)
LOCKS = """SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE l.pid = pg_backend_pid() AND l.granted AND c.oid = ANY ($1)"""
SCANS = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relid = ANY ($1)"
TABLES = """SELECT oid, relname, relfilenode FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
  AND relname NOT LIKE '\\_pogo%'"""
COLUMNS = """SELECT c.relname, a.attname, a.atttypid, a.atttypmod, a.attnotnull AND NOT a.atthasdef
  AND a.attidentity = '' AS must_be_given
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.oid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped"""
FUNCTIONS = """SELECT oid::regprocedure::text FROM pg_proc
  WHERE pronamespace = 'public'::regnamespace AND prokind <> 'a'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')"""
FOREIGN = """SELECT conrelid::regclass::text AS name FROM pg_constraint
  WHERE contype = 'f' AND convalidated AND conrelid = ANY ($1)"""


@dataclass(frozen=True)
class _Seen:
    """What was there at one moment of a transaction."""

    tables: dict[str, tuple[int, int]]  # oid and file, by name
    columns: dict[tuple[str, str], tuple[int, int, bool]]
    functions: set[str]
    scans: dict[str, int]
    foreign: list[str]
    floor: object


async def _look(db: Connection, oids: list[int]) -> _Seen:
    return _Seen(
        {r["relname"]: (r["oid"], r["relfilenode"]) for r in await db.fetch(TABLES)},
        {
            (r["relname"], r["attname"]): (r["atttypid"], r["atttypmod"], r["must_be_given"])
            for r in await db.fetch(COLUMNS, oids)
        },
        {r[0] for r in await db.fetch(FUNCTIONS)},
        {r["relname"]: r["seq_scan"] for r in await db.fetch(SCANS, oids)},
        sorted(r["name"] for r in await db.fetch(FOREIGN, oids)),
        await releases.floor(db),
    )


async def objections(db: Connection, file: Path, *, keep: bool = False) -> list[str]:
    """What is wrong with the migration, for who writes it; with `keep` it stays applied."""
    migration = Migration(file.stem, file, None)
    migration.load()
    if not migration.use_transaction:
        found = _alone(file)
        if keep and not found:
            await migration.apply(db)
        return found
    transaction = db.transaction()
    await transaction.start()
    try:
        # So that look-ups in tables that are empty here are not taken for scans.
        await db.execute("SET LOCAL enable_seqscan = off")
        oids = [row["oid"] for row in await db.fetch(TABLES)]
        before = await _look(db, oids)
        await migration.apply(db)
        held = await db.fetch(LOCKS, oids)
        return _compared(before, await _look(db, oids), held)
    finally:
        await (transaction.commit() if keep else transaction.rollback())


def _alone(file: Path) -> list[str]:
    *_, statements, _ = read_sql_migration(file)
    bare = [sqlparse.format(one, strip_comments=True).strip() for one in statements]
    if len(bare) != 1:
        return ["without a transaction there is one statement, so that a crash leaves no half"]
    if not ALONE.match(re.sub(r"\s+", " ", bare[0])):
        return [
            f"{bare[0]}: needs a transaction, or IF [NOT] EXISTS to be done again after a crash"
        ]
    return []


def _compared(before: _Seen, after: _Seen, held: list[asyncpg.Record]) -> list[str]:
    found = []
    large = before.tables.keys() - SMALL
    locks: dict[str, set[str]] = {}
    for row in held:
        locks.setdefault(row["mode"], set()).add(row["relname"])
    found += [
        f"{name}: an index is built while nobody can write; build it CONCURRENTLY, in a file of its"
        " own with `-- transaction: false`"
        for name in sorted(locks.get("ShareLock", set()) & large)
    ]
    rewritten = {
        name
        for name in large & after.tables.keys()
        if before.tables[name][1] != after.tables[name][1]
    }
    found += [
        f"{name}: is written anew while nobody can read it; add a column beside the old one"
        for name in sorted(rewritten)
    ]
    scanned = {
        name for name in large - rewritten if after.scans.get(name, 0) > before.scans.get(name, 0)
    }
    if alone := locks.get("AccessExclusiveLock", set()):
        found += [
            f"{name}: is read from end to end while nobody can read {', '.join(sorted(alone))}; add"
            " the constraint NOT VALID and validate it in a migration of its own"
            for name in sorted(scanned)
        ]
    found += [
        f"{name}: a foreign key is checked row by row while nobody can write; add it NOT VALID"
        for name in sorted(set(after.foreign) - set(before.foreign))
    ]
    found += [
        f"{name}: rows are written in the migration; read models are rebuilt, others are moved in"
        " portions by the release"
        for name in sorted(locks.get("RowExclusiveLock", set()) & large)
    ]
    if after.floor == before.floor:
        gone = before.tables.keys() - after.tables.keys()
        lost = [f"table {name}" for name in sorted(gone)]
        lost += [
            f"column {name}.{column}"
            for (name, column), kind in sorted(before.columns.items())
            if name not in gone and after.columns.get((name, column), (0, 0))[:2] != kind[:2]
        ]
        lost += [f"function {one}" for one in sorted(before.functions - after.functions)]
        lost += [
            f"{name}: rows without {column}"
            for (name, column), kind in sorted(after.columns.items())
            if kind[2] and not before.columns.get((name, column), (0, 0, False))[2]
        ]
        found += [
            f"{one}: the release before works with it; say in release_floor which one does not"
            for one in lost
        ]
    return found
