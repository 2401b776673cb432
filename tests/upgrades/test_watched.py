"""Migrations since the rules were made stand in nobody's way; what breaks a rule is found."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pogo_core.util import migrate as pogo

from matchgraph import migrate
from matchgraph.eventstore.connection import Connection
from matchgraph.servers import Servers
from tests.conftest import url_of
from tests.upgrades.watched import objections

# The last migration of before the rules: they hold from where others go on.
BASELINE = "0020"
FILES = sorted(migrate.folder().glob("*.sql"))


@pytest.fixture
async def db(url: str) -> AsyncIterator[Connection]:
    """A connection to a migrated database, as who migrates has it."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def written(folder: Path, statements: str, *, transaction: bool = True) -> Path:
    """A migration of these statements."""
    file = folder / f"9000_{uuid4().hex[:8]}.sql"
    said = "" if transaction else "-- transaction: false\n"
    file.write_text(
        f"-- Is it in the way?\n-- depends: 0001_event\n{said}\n-- migrate: apply\n\n"
        f"{statements}\n\n-- migrate: rollback\n"
    )
    return file


async def test_every_migration_since_the_rules_were_made_keeps_them(
    servers: Servers, tmp_path: Path
) -> None:
    name = f"rules_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    db = await asyncpg.connect(url_of(servers.database_url, name))
    try:
        for file in FILES:
            if file.stem[:4] <= BASELINE:
                (tmp_path / file.name).write_text(file.read_text())
        await pogo.apply(db, tmp_path, schema_name="public", logger=logging.getLogger(__name__))
        found = {
            file.stem: await objections(db, file, keep=True)
            for file in FILES
            if file.stem[:4] > BASELINE
        }
    finally:
        await db.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
    assert found
    assert not any(found.values()), found


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ("CREATE INDEX ON event (topic);", ["event", "CONCURRENTLY"]),
        ("CREATE UNIQUE INDEX ON search_text (text);", ["search_text", "CONCURRENTLY"]),
        (
            "ALTER TABLE price_history ALTER COLUMN position TYPE numeric;",
            ["price_history", "written anew"],
        ),
        (
            "ALTER TABLE signal_board ADD COLUMN seen timestamptz DEFAULT clock_timestamp();",
            ["signal_board", "written anew"],
        ),
        (
            "ALTER TABLE price_history ALTER COLUMN tier SET NOT NULL;",
            ["price_history", "NOT VALID"],
        ),
        ("ALTER TABLE event ADD CHECK (topic <> '');", ["event", "NOT VALID"]),
        (
            "ALTER TABLE match_words ADD FOREIGN KEY (key) REFERENCES searcher_key;",
            ["match_words", "NOT VALID"],
        ),
        ("UPDATE rank_board SET score = 0;", ["rank_board", "rebuilt"]),
        ("DELETE FROM text_vector;", ["text_vector", "rebuilt"]),
        ("DROP TABLE told_apart;", ["table told_apart", "release_floor"]),
        ("ALTER TABLE api_key DROP COLUMN name;", ["column api_key.name", "release_floor"]),
        ("ALTER TABLE api_key RENAME COLUMN name TO owner;", ["column api_key.name"]),
        ("DROP FUNCTION event_append_batch;", ["function event_append_batch(uuid)"]),
        ("ALTER TABLE reading ADD COLUMN who text NOT NULL;", ["reading: rows without who"]),
    ],
)
async def test_what_stands_in_the_way_is_found(
    db: Connection, tmp_path: Path, statements: str, words: list[str]
) -> None:
    # A view stands on what is dropped.
    statements = "DROP SCHEMA as_of CASCADE;\n" + statements
    found = await objections(db, written(tmp_path, statements))
    assert [one for one in found if all(word in one for word in words)], found


@pytest.mark.parametrize(
    "statements",
    [
        "ALTER TABLE event ADD COLUMN note text;",
        "ALTER TABLE rank_board ADD COLUMN seen bigint NOT NULL DEFAULT 0;",
        "ALTER TABLE event ADD CHECK (topic <> '') NOT VALID;",
        "ALTER TABLE match_words ADD FOREIGN KEY (key) REFERENCES searcher_key NOT VALID;",
        "CREATE TABLE fresh (id int PRIMARY KEY); CREATE INDEX ON fresh (id);"
        " INSERT INTO fresh SELECT 1; UPDATE fresh SET id = 2;",
        "INSERT INTO projection_checkpoint (name) VALUES ('fresh');",
        "INSERT INTO release_floor VALUES ('9000_gone', '9.0.0'); DROP TABLE told_apart CASCADE;",
    ],
)
async def test_what_stands_in_nobodys_way_passes(
    db: Connection, tmp_path: Path, statements: str
) -> None:
    assert await objections(db, written(tmp_path, statements)) == []


async def test_a_checked_column_becomes_not_null_without_a_scan(
    db: Connection, tmp_path: Path
) -> None:
    await db.execute(
        "ALTER TABLE api_key ADD CONSTRAINT has_role CHECK (expires IS NOT NULL) NOT VALID;"
        "ALTER TABLE api_key VALIDATE CONSTRAINT has_role"
    )
    said = "INSERT INTO release_floor VALUES ('9000_role', '9.0.0');\n"
    said += "ALTER TABLE api_key ALTER COLUMN expires SET NOT NULL;"
    assert await objections(db, written(tmp_path, said)) == []


@pytest.mark.parametrize(
    ("statements", "ok"),
    [
        (
            "-- For one topic.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON event (topic);",
            True,
        ),
        ("DROP INDEX CONCURRENTLY IF EXISTS api_key_issued;", True),
        ("ALTER TABLE event VALIDATE CONSTRAINT c;", True),
        ("CREATE INDEX CONCURRENTLY i ON event (topic);", False),
        ("CREATE INDEX IF NOT EXISTS i ON event (topic);", False),
        ("UPDATE event SET topic = 'x';", False),
        ("DROP INDEX CONCURRENTLY IF EXISTS i; DROP INDEX CONCURRENTLY IF EXISTS j;", False),
    ],
)
async def test_without_a_transaction_only_what_can_be_done_again_passes(
    db: Connection, tmp_path: Path, statements: str, ok: bool
) -> None:
    found = await objections(db, written(tmp_path, statements, transaction=False))
    assert (found == []) is ok
