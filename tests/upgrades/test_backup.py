"""What was backed up as docs/backup.md says comes back, and shows what it lacks."""

import asyncio
import os
import shutil
import signal
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import redis

from matchgraph.servers import Servers, postgres_bin, running, running_beside
from tests.eventstore.histories import until
from tests.upgrades.trees import Process, environment, run, started

REGISTER = """mutation ($slug: String!) {
  registerArtifact(slug: $slug, kind: CLI, facts: {name: "Parser"}, provenance: {
    source: "s", observedAt: "2026-01-01T00:00:00Z"}) { __typename }
  observeSignal(slug: $slug, signal: {name: STARS, value: "7", source: "github",
    observedAt: "2026-01-01T00:00:00Z"}) { __typename } }"""
ARTIFACT = "query ($slug: String!) { artifact(slug: $slug) { slug } }"
SEARCH = '{ search(need: {text: "parse tables"}) { recorded } }'
BOARD = """{ rankBoard(kind: CLI, first: 100) { position nodes { slug rank { score place } } } }"""
THEN = """query ($at: Position!) { rankBoard(kind: CLI, first: 100, asOf: {position: $at}) {
  nodes { slug rank { score place } } } }"""


def settings_of(folder: Path, redis_url: str) -> dict[str, str]:
    return environment(MATCHGRAPH_DATA=str(folder), REDIS_URL=redis_url, MATCHGRAPH_EMBEDDING="off")


def archiving(folder: Path, archive: Path) -> None:
    """A database whose write-ahead log is archived, as the page sets it up."""
    archive.mkdir()
    with running(folder):
        owner = (folder / "postgres").stat()
        os.chown(archive, owner.st_uid, owner.st_gid)
        settings = folder / "postgres" / "postgresql.auto.conf"
        with settings.open("a") as file:
            file.write(
                "archive_mode = on\n"
                f"archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f.part"
                f" && mv {archive}/%f.part {archive}/%f'\n"
            )


def base_backup(folder: Path, to: Path) -> None:
    tool: list[str | Path] = [
        postgres_bin("pg_basebackup"),
        "-d",
        running_beside(folder).database_url,
    ]
    tool += ["-D", to, "-c", "fast"]
    subprocess.run(tool, check=True, capture_output=True, timeout=120)
    subprocess.run(
        [postgres_bin("pg_verifybackup"), to], check=True, capture_output=True, timeout=120
    )


def restore(
    backup: Path, archive: Path, folder: Path, settings_from: Path, until: datetime
) -> None:
    """The database as of then in a new folder, with the secrets that were kept elsewhere."""
    folder.mkdir(mode=0o700)
    for name in ("secret", "search_key", "ledger-key"):
        shutil.copy2(settings_from / name, folder / name)
    owner = archive.stat()
    shutil.copytree(backup, folder / "postgres")
    (folder / "postgres" / "recovery.signal").touch()
    with (folder / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write(
            f"restore_command = 'cp {archive}/%f %p'\n"
            f"recovery_target_time = '{until.isoformat()}'\n"
            "recovery_target_action = promote\n"
            # Nobody reads or writes before it is there.
            "hot_standby = off\n"
            # Only what was restored for good goes into the archive again.
            "archive_mode = off\n"
        )
    for path in [folder / "postgres", *(folder / "postgres").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


class Writing:
    """Somebody who registers artifacts all the while."""

    def __init__(self, served: Process) -> None:
        self._served = served
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.acknowledged: list[str] = []

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            slug = f"written-{number}"
            self._served.data(REGISTER, slug=slug)
            self.acknowledged.append(slug)
            number += 1

    def __enter__(self) -> "Writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)


async def signed(served: Process, position: int) -> None:
    async def covers() -> object:
        head: Any = served.data("{ ledger { head { position } } }")["ledger"]["head"]
        return bool(head) and int(head["position"]) >= position

    await until(covers, patience=60)


async def archived(url: str, archive: Path) -> None:
    """Waits until everything that was written is in the archive."""
    db = await asyncpg.connect(url)
    name = await db.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    await db.close()

    async def there() -> object:
        return (archive / name).exists()

    await until(there, patience=60)


async def test_a_destroyed_database_comes_back_as_of_a_moment_and_shows_what_it_lacks(
    tmp_path: Path, servers: Servers
) -> None:
    lost, found, archive = tmp_path / "lost", tmp_path / "found", tmp_path / "archive"
    archiving(lost, archive)
    ours = settings_of(lost, servers.redis_url)
    served = Process(ours, "serve", "--no-catalogs").wait()
    # Somebody searched, and is forgotten after the moment that is restored.
    assert served.get("/graphql", {"query": SEARCH}, **{"x-searcher": "ann"})["data"]["search"] == {
        "recorded": True
    }
    with Writing(served) as writing:
        await asyncio.to_thread(base_backup, lost, tmp_path / "base")
        end = served.head() + 40

        async def written() -> bool:
            return served.head() >= end

        await until(written, patience=60)
    await signed(served, served.head())
    head = run(ours, "ledger", "head").stdout
    (tmp_path / "head.json").write_text(head)
    before = served.data(BOARD)
    end = served.head()
    await asyncio.sleep(0.1)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.1)
    # All of this will be gone.
    later = [f"later-{number}" for number in range(20)]
    for slug in later:
        served.data(REGISTER, slug=slug)
    forgotten = run(ours, "forget", "ann")
    assert forgotten.returncode == 0, forgotten
    (tmp_path / "keys").write_text(run(ours, "forget", "--list").stdout)
    await signed(served, served.head())
    (tmp_path / "newer.json").write_text(run(ours, "ledger", "head").stdout)
    assert served.data(BOARD) != before
    with redis.Redis.from_url(servers.redis_url) as cache:
        assert cache.dbsize() > 0
    await archived(running_beside(lost).database_url, archive)
    # The worst end there is.
    served.end(signal.SIGKILL)
    with running(lost):
        pass
    shutil.rmtree(lost / "postgres")

    restore(tmp_path / "base", archive, found, lost, moment)
    again = settings_of(found, servers.redis_url)
    whole = run(again, "verify", "--head", str(tmp_path / "head.json"))
    assert whole.returncode == 0, whole
    assert f"{end} events are what was recorded" in whole.stdout
    assert "rank_board agrees with the log" in whole.stdout
    cut = run(again, "verify", "--head", str(tmp_path / "newer.json"))
    assert cut.returncode == 1
    assert "are missing: the log ends at event" in cut.stderr, cut
    # Before anything is served: whom the outside knows to be forgotten.
    destroyed = run(again, "forget", "--keys", str(tmp_path / "keys"))
    assert "1 keys were there and are destroyed" in destroyed.stdout, destroyed

    with started(again, "serve", "--no-catalogs") as restored:
        restored.wait()
        # Redis was not destroyed, and has seen what is gone.
        assert _slugs(restored.data(BOARD)) == _slugs(before)
        for slug in ("new-1", "new-2"):
            restored.data(REGISTER, slug=slug)
        now = restored.head()
        then = restored.data(THEN, at=str(now))

        async def agrees() -> bool:
            board = restored.data(BOARD)["rankBoard"]
            return (board["position"], board["nodes"]) == (str(now), then["rankBoard"]["nodes"])

        await until(agrees, patience=60)
        for slug in writing.acknowledged:
            assert restored.data(ARTIFACT, slug=slug)["artifact"] == {"slug": slug}
        for slug in later:
            assert restored.data(ARTIFACT, slug=slug)["artifact"] is None
        assert restored.get("/readyz")["problems"] == []
    assert run(again, "verify").returncode == 0


def _slugs(board: Any) -> set[str]:
    return {node["slug"] for node in board["rankBoard"]["nodes"]}
