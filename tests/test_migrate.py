"""Migrations bring any database up to date, whoever starts them and however often."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from pogo_core.util import migrate as pogo

from matchgraph import migrate
from matchgraph.eventstore.connection import advisory_lock, connect
from matchgraph.eventstore.store import open_store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.servers import Servers
from tests.conftest import project, url_of
from tests.eventstore.histories import until
from tests.projections.tables import contents, rebuilt

ROOT = Path(__file__).parents[1]
NAMES = sorted(file.stem for file in migrate.folder().glob("*.sql"))
SCHEMA = """SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
  WHERE table_schema = 'public' ORDER BY 1, 2"""


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[str]:
    """The connection string of a database without anything in it."""
    name = f"empty_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    yield url_of(servers.database_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


APPLIED = "SELECT migration_id FROM _pogo_migration ORDER BY 1"


async def test_an_empty_database_is_brought_up_to_date_and_stays_so(empty: str) -> None:
    await migrate.apply(empty)
    assert [name for (name,) in await fetch(empty, APPLIED)] == NAMES
    before = await fetch(empty, SCHEMA)
    await migrate.apply(empty)
    assert await fetch(empty, SCHEMA) == before
    assert [name for (name,) in await fetch(empty, APPLIED)] == NAMES
    checkpoints = await fetch(empty, "SELECT name, position FROM projection_checkpoint ORDER BY 1")
    assert checkpoints == sorted((projection.name, 0) for projection in PROJECTIONS)


async def test_processes_that_migrate_at_once_all_end_well(empty: str) -> None:
    program = (
        "import asyncio, sys; from matchgraph import migrate;"
        " asyncio.run(migrate.apply(sys.argv[1]))"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, empty),
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, said
    assert [name for (name,) in await fetch(empty, APPLIED)] == NAMES


async def test_a_process_that_is_killed_while_migrating_is_in_nobodys_way(empty: str) -> None:
    holder = await asyncpg.connect(empty)
    await holder.execute("SELECT pg_advisory_lock($1)", migrate.LOCK)
    waiting = asyncio.ensure_future(migrate.apply(empty))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    holder.terminate()
    await asyncio.wait_for(waiting, 20)
    assert [name for (name,) in await fetch(empty, APPLIED)] == NAMES


def test_migrations_are_numbered_without_gaps_and_open_with_their_question() -> None:
    assert [name[:4] for name in NAMES] == [f"{n:04}" for n in range(1, len(NAMES) + 1)]
    for file in migrate.folder().glob("*.sql"):
        assert file.read_text().splitlines()[0].rstrip().endswith("?"), file


async def test_a_database_that_is_away_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await migrate.apply(f"postgresql://postgres@/x?host={tmp_path}")


async def test_the_past_of_what_was_there_before_it_was_kept_begins_with_the_migration(
    empty: str, tmp_path: Path
) -> None:
    before = tmp_path / "migrations"
    before.mkdir()
    for file in migrate.folder().glob("*.sql"):
        if file.stem < "0013":
            (before / file.name).write_text(file.read_text())
    db = await asyncpg.connect(empty)
    await pogo.apply(db, before, schema_name="public", logger=logging.getLogger(__name__))
    moved = await db.fetch("UPDATE projection_checkpoint SET position = 9 RETURNING name")
    there_then = {row["name"] for row in moved}
    await db.execute(
        "INSERT INTO signal_board"
        " VALUES (gen_random_uuid(), 'stars', 's', 7, 'observed', now(), 4);"
        "INSERT INTO match_count VALUES (gen_random_uuid(), 'k', 5, 2);"
        "INSERT INTO match_pair VALUES (gen_random_uuid(), gen_random_uuid(), 3, 1, 1);"
        "INSERT INTO match_cluster VALUES (gen_random_uuid(), 'read tables', 6, 2);"
        "INSERT INTO search_document VALUES (1, 1, 'k', '{}'), (1, 0, '', '{}');"
        "INSERT INTO search_text VALUES (1, 1, 0, gen_random_uuid(), 'x'),"
        " (1, 1, 1, gen_random_uuid(), 'y')"
    )
    await migrate.apply(empty)
    await db.execute("SET search_path = as_of, public")
    for position, there in ((8, False), (9, True), (20, True)):
        await db.execute(f"SET matchgraph.position = {position}")
        assert await db.fetchval("SELECT value FROM signal_board") == 7
        counts = [
            await db.fetchval("SELECT served FROM match_count"),
            await db.fetchval("SELECT together FROM match_pair"),
            await db.fetchval("SELECT searches FROM match_cluster"),
            await db.fetchval("SELECT count(*) FROM search_text"),
        ]
        assert counts == ([5, 3, 6, 2] if there else [None, None, None, 0])
    rows = await db.fetch("SELECT name, kept_since FROM public.projection_checkpoint")
    # Those that came later begin with the first event.
    since = {row["name"]: row["kept_since"] for row in rows if row["name"] in there_then}
    assert since.pop("price_history") == 0
    assert set(since.values()) == {9}
    await db.close()


# Words that were recorded in plain

IN_PLAIN = b"""{"type":"search.answered","id":"00000000-0000-0000-0000-000000000007",\
"timestamp":"2026-01-01T00:00:00Z","originator_topic":"search","need":{"text":"tables","like":[],\
"unlike":[],"where":{}},"intent":{"cluster":"00000000-0000-0000-0000-000000000009","label":"tables"},\
"searcher":"ann","served":[]}"""


async def test_words_in_plain_leave_the_read_models_and_a_rebuild_gives_the_same(
    empty: str, tmp_path: Path
) -> None:
    for file in migrate.folder().glob("*.sql"):
        if file.stem < "0013":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    admin = await asyncpg.connect(empty)
    await pogo.apply(admin, tmp_path, schema_name="public", logger=migrate.log)
    await admin.execute(
        "SELECT base FROM event_append(ARRAY [$1::uuid], '{1}', '{search.answered}',"
        " ARRAY [$2::bytea], '{tester}', '{test}', '{}', '{}', '{}', '{}', '{}', '{}')",
        UUID(int=7),
        IN_PLAIN,
    )
    # As the release of then left it.
    await admin.execute("INSERT INTO match_cluster VALUES ($1, 'tables', 1, 1)", UUID(int=9))
    await admin.execute(
        "INSERT INTO match_search VALUES ($1, '2026-01-01', 1, '{}', '{}', '{}', '{}')", UUID(int=7)
    )
    await admin.execute("UPDATE projection_checkpoint SET position = 1")
    await migrate.apply(empty)
    assert await admin.fetchval("SELECT position FROM search_in_plain") == 1
    assert await admin.fetchval("SELECT searches FROM match_cluster") == 1
    await admin.close()
    async with open_store(empty) as store:
        # What came with later migrations begins with the first event.
        await project(empty, store)
    live = await contents(empty)
    assert "tables" not in str(live.values())
    assert await rebuilt(empty) == live


# While others work


def chained(folder: Path, *added: tuple[str, str, bool]) -> None:
    """A folder of migrations: ours, and then these."""
    for file in migrate.folder().glob("*.sql"):
        (folder / file.name).write_text(file.read_text())
    before = NAMES[-1]
    for name, statements, transaction in added:
        said = "" if transaction else "-- transaction: false\n"
        (folder / f"{name}.sql").write_text(
            f"-- What?\n-- depends: {before}\n{said}\n-- migrate: apply\n\n{statements}\n\n"
            "-- migrate: rollback\n"
        )
        before = name


INDEX = "CREATE INDEX CONCURRENTLY IF NOT EXISTS event_by_topic ON event (topic);"


async def test_a_migration_gives_way_to_who_reads_and_keeps_nobody_waiting_behind_it(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chained(tmp_path, ("9001_note", "ALTER TABLE api_key ADD COLUMN note text;", True))
    long, other = await asyncpg.connect(url), await asyncpg.connect(url)
    reading = long.transaction()
    await reading.start()
    await long.fetch("SELECT * FROM api_key")
    moving = asyncio.create_task(migrate.apply(url, source=tmp_path))
    # While the long one goes on, and the migration waits for it, others read.
    while "9001_note waits for locks" not in caplog.text:
        await other.fetch("SELECT * FROM api_key", timeout=20)
        assert not moving.done()
    for _ in range(20):
        await other.fetch("SELECT count(*) FROM api_key", timeout=20)
        assert not moving.done()
    await reading.rollback()
    await asyncio.wait_for(moving, 60)
    assert "note" in {name for _, name, *_ in await fetch(url, SCHEMA)}
    await long.close()
    await other.close()


async def test_a_migration_that_never_gets_its_locks_says_who_has_them(
    url: str, tmp_path: Path
) -> None:
    chained(
        tmp_path,
        ("9001_fine", "CREATE TABLE fine ();", True),
        ("9002_note", "ALTER TABLE api_key ADD COLUMN note text;", True),
    )
    settings = {"application_name": "the long one"}
    long = await asyncpg.connect(url, server_settings=settings)
    async with long.transaction():
        await long.fetch("SELECT * FROM api_key")
        with pytest.raises(migrate.Blocked, match=r"9002_note.*the long one") as found:
            await migrate.apply(url, source=tmp_path, patience=0.5)
        assert str(long.get_server_pid()) in str(found.value)
    applied = {name for (name,) in await fetch(url, APPLIED)}
    assert {"9001_fine"} == applied & {"9001_fine", "9002_note"}
    await long.close()


async def test_an_index_is_built_beside_the_work_of_leaders_and_those_who_stand_by(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chained(tmp_path, ("9001_index", INDEX, False))
    leader, standby = await connect(url, "leader"), await connect(url, "stands by")
    await advisory_lock(leader, 4711)
    waits = asyncio.Event()
    standing_by = asyncio.create_task(advisory_lock(standby, 4711, on_waiting=waits.set))
    await waits.wait()
    # Two at once: the second one waits beside it, too.
    both = [asyncio.create_task(migrate.apply(url, source=tmp_path)) for _ in range(2)]
    for one in both:
        await asyncio.wait_for(one, 60)
    assert "Another process migrates this database" in caplog.text
    assert caplog.text.count("Applying 9001_index") == 1
    assert await fetch(url, VALID) == [(True,)]
    assert not standing_by.done()
    await leader.close()
    await asyncio.wait_for(standing_by, 20)
    await standby.close()


VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('event_by_topic')"
AT_WORK = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
    " AND query"
)
MIGRATE = (
    "import asyncio, sys; from pathlib import Path; from matchgraph import migrate;"
    " asyncio.run(migrate.apply(sys.argv[1], source=Path(sys.argv[2])))"
)


async def test_a_migrator_that_is_killed_is_followed_by_one_that_ends_what_it_began(
    url: str, tmp_path: Path
) -> None:
    chained(
        tmp_path,
        ("9001_note", "ALTER TABLE api_key ADD COLUMN note text; SELECT pg_sleep(1);", True),
        ("9002_index", INDEX, False),
        ("9003_last", "CREATE TABLE last ();", True),
    )
    # An index that is built beside the work waits for who reads already.
    long = await asyncpg.connect(url)
    reading = long.transaction()
    await reading.start()
    await long.fetch("SELECT count(*) FROM event")
    for at in ("SELECT pg_sleep", "CREATE INDEX CONCURRENTLY"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MIGRATE, url, str(tmp_path)),
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        working = f"{AT_WORK} LIKE '{at}%'"
        await until(partial(fetch, url, working), patience=60)
        (pid,) = (await fetch(url, working))[0]
        process.kill()
        await process.wait()
        if "INDEX" in at:
            # The server's side of it, too: what is left is an index that nobody may use.
            await fetch(url, f"SELECT pg_terminate_backend({pid}, 60000)")
            assert await fetch(url, VALID) == [(False,)]
    await reading.rollback()
    await long.close()
    await asyncio.wait_for(migrate.apply(url, source=tmp_path), 60)
    assert await fetch(url, VALID) == [(True,)]
    applied = [name for (name,) in await fetch(url, APPLIED)]
    assert applied == [*NAMES, "9001_note", "9002_index", "9003_last"]


async def test_a_migration_that_fails_is_named_and_undone(url: str, tmp_path: Path) -> None:
    chained(tmp_path, ("9001_bad", "CREATE TABLE half (); INSERT INTO nothing VALUES (1);", True))
    with pytest.raises(migrate.Unfinished, match=r'9001_bad.*"nothing" does not exist'):
        await migrate.apply(url, source=tmp_path)
    assert await fetch(url, "SELECT to_regclass('half')") == [(None,)]
