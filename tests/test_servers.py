"""The servers are started, stopped, killed and taken over for real."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from matchgraph import servers
from matchgraph.servers import FolderInUse, ServerFailed, ServersError, WrongVersion, running

SOURCE = Path(servers.__file__).parents[1]
HOLDER = """
import sys, time
from pathlib import Path
from matchgraph.servers import running
with running(Path(sys.argv[1]), durable=False, on_status=lambda said: print(said, flush=True)) as s:
    print("holding", s.database_url, flush=True)
    time.sleep(60)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("servers") / "folder"
    with running(folder, durable=False):
        pass
    return folder


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    assert processes_in(tmp_path_factory.getbasetemp()) == []


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every server process: each works in its data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _default() -> None:
    """A child ignores what this process does, as under nohup or in the background of a script."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def holder(folder: Path, *prefix: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_default,
    )


def wait_for(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(process.stderr and process.stderr.read())


def sql(url: str, *statements: str) -> list[object]:
    async def fetch() -> list[object]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def shown(url: str, *names: str) -> list[object]:
    return sql(url, *(f"SHOW {name}" for name in names))


def test_both_answer_on_sockets_alone(folder: Path) -> None:
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, "SELECT current_database()") == ["matchgraph"]
        assert redis.Redis.from_url(ours.redis_url).ping()
        found = processes_in(folder)
        assert {process.name() for process in found} >= {"postgres", "valkey-server"}
        assert [c for process in found for c in process.net_connections("inet")] == []
        for url in (ours.database_url.split("host=")[1].split("&")[0], ours.redis_url[7:-5]):
            assert Path(url).parent.stat().st_mode & 0o77 == 0
    assert processes_in(folder) == []


def test_durable_servers_keep_postgresqls_promises(folder: Path) -> None:
    names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
    with running(folder) as ours:
        assert shown(ours.database_url, *names) == ["on", "on", "on", "on"]
        assert shown(ours.database_url, "max_connections", "max_wal_size") == ["200", "2GB"]
    with running(folder, durable=False) as ours:
        assert shown(ours.database_url, *names) == ["off", "off", "on", "on"]


def test_text_is_utf8_and_sorts_the_same_everywhere(folder: Path) -> None:
    query = (
        "SELECT concat_ws(' ', datlocprovider, datlocale, pg_encoding_to_char(encoding))"
        " FROM pg_database WHERE datname = current_database()"
    )
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, query) == ["b C.UTF-8 UTF8"]


def test_valkey_is_a_cache(folder: Path) -> None:
    with running(folder, durable=False) as ours:
        config = redis.Redis.from_url(ours.redis_url, decode_responses=True).config_get("*")
    assert config["save"] == ""
    assert config["appendonly"] == "no"
    assert config["port"] == "0"
    assert config["maxmemory"] == str(512 << 20)
    assert config["maxmemory-policy"] == "allkeys-lru"


def test_what_was_written_is_there_next_time_and_a_dropped_database_comes_back(
    folder: Path,
) -> None:
    with running(folder, durable=False) as ours:
        sql(ours.database_url, "CREATE TABLE kept AS SELECT 1 AS one")
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, "SELECT one FROM kept") == [1]
        other = ours.database_url.replace("/matchgraph?", "/template1?")
        sql(other, "DROP DATABASE matchgraph")
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, "SELECT to_regclass('kept')") == [None]


def test_the_environment_does_not_redirect_postgresql(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    with running(folder, durable=False) as ours:
        monkeypatch.delenv("PGOPTIONS")
        assert shown(ours.database_url, "port") == ["5432"]


def test_a_folder_in_use_is_refused_at_once(folder: Path) -> None:
    with (
        running(folder, durable=False) as ours,
        pytest.raises(FolderInUse, match="in use"),
        running(folder, durable=False),
    ):
        pass
    with running(folder, durable=False) as again:
        assert again == ours


def test_a_thread_may_hold_the_servers(folder: Path) -> None:
    answers: list[object] = []

    def hold() -> None:
        with running(folder, durable=False) as ours:
            answers.extend(sql(ours.database_url, "SELECT 1"))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert answers == [1]


def test_a_killed_run_is_taken_over(folder: Path) -> None:
    killed = holder(folder)
    wait_for(killed, "holding")
    killed.kill()
    killed.communicate()
    left = {process.pid for process in processes_in(folder)}
    assert len(left) > 2
    said: list[str] = []
    with running(folder, durable=False, on_status=said.append) as ours:
        assert sql(ours.database_url, "SELECT 1") == [1]
        assert not left & {process.pid for process in processes_in(folder)}
    assert len([line for line in said if "left behind" in line]) == 2
    assert "was shut down" in (folder / "postgres.log").read_text()  # no recovery was needed


def test_a_killed_postgresql_recovers(folder: Path) -> None:
    killed = holder(folder)
    wait_for(killed, "holding")
    killed.kill()
    killed.communicate()
    for process in processes_in(folder):
        process.kill()
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, "SELECT 1") == [1]
    assert "automatic recovery" in (folder / "postgres.log").read_text()


def test_a_pid_that_is_somebody_elses_now_is_left_alone(folder: Path) -> None:
    owner = (folder / "postgres").stat().st_uid
    other = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    data = folder / "postgres"
    try:
        for lock in (data / "postmaster.pid", folder / "run" / "pg" / ".s.PGSQL.5432.lock"):
            lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.write_text(f"{other.pid}\n{data}\n1700000000\n5432\n/tmp\n\n  1 1\nready   \n")
            os.chown(lock, owner, -1)
        (folder / "run").chmod(0o700)
        (folder / "valkey.pid").write_text(f"{other.pid}")
        with running(folder, durable=False) as ours:
            assert sql(ours.database_url, "SELECT 1") == [1]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_pid_file_cut_short_does_not_stop_the_start(folder: Path) -> None:
    (folder / "postgres" / "postmaster.pid").write_text("")
    (folder / "valkey.pid").write_text("")
    with running(folder, durable=False) as ours:
        assert sql(ours.database_url, "SELECT 1") == [1]


def test_a_half_made_database_is_made_again(tmp_path: Path) -> None:
    killed = holder(tmp_path)
    while not list(tmp_path.glob("new-*/base")):
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "postgres").exists()
    with running(tmp_path, durable=False) as ours:
        assert sql(ours.database_url, "SELECT 1") == [1]
    assert not list(tmp_path.glob("new-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["Starting", "holding"])
@pytest.mark.parametrize("delay", [0, 0.003, 0.01, 0.05])
def test_a_signal_leaves_nothing_behind(
    folder: Path, number: signal.Signals, moment: str, delay: float
) -> None:
    process = holder(folder)
    wait_for(process, moment)
    time.sleep(delay)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == (-number if number == signal.SIGINT else 128 + number)
    assert processes_in(folder) == []


@pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.2])
def test_a_signal_while_the_database_is_made_leaves_no_half(tmp_path: Path, delay: float) -> None:
    process = holder(tmp_path)
    wait_for(process, "Creating")
    time.sleep(delay)
    process.terminate()
    process.communicate(timeout=20)
    assert {path.name for path in tmp_path.iterdir()} <= {"initdb.log", "lock"}


def test_an_error_in_the_block_stops_the_servers(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), running(folder, durable=False):
        raise ZeroDivisionError
    assert processes_in(folder) == []


def test_a_server_that_dies_says_why(folder: Path) -> None:
    settings = folder / "postgres" / "postgresql.conf"
    before = settings.read_text()
    settings.write_text(before + "\nnonsense = 1\n")
    try:
        with pytest.raises(ServerFailed, match='parameter "nonsense"'), running(folder):
            pass
    finally:
        settings.write_text(before)
    assert processes_in(folder) == []


def test_a_silent_server_is_not_waited_for_forever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "START_PATIENCE", 0.0)
    with pytest.raises(ServerFailed, match="silent"), running(folder, durable=False):
        pass
    assert processes_in(folder) == []


def test_logs_do_not_grow_from_run_to_run(folder: Path) -> None:
    for _ in range(3):
        with running(folder, durable=False):
            pass
    logs = {"postgres.log", "postgres.log.old", "valkey.log", "valkey.log.old"}
    assert {path.name for path in folder.glob("*.log*")} == {"initdb.log", *logs}
    assert (folder / "postgres.log").read_text().count("starting PostgreSQL") == 1


def test_data_of_another_version_is_refused(folder: Path) -> None:
    version = folder / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    try:
        with pytest.raises(WrongVersion, match=r"PostgreSQL 17, and this is PostgreSQL 18"):
            running(folder).__enter__()
    finally:
        version.write_text("18\n")


def test_a_long_or_odd_folder_gets_a_short_private_socket(tmp_path: Path) -> None:
    odd = tmp_path / ("long, odd & ünusual? %20 " * 5)
    with running(odd, durable=False) as ours:
        socket = Path(ours.redis_url.removeprefix("unix://").removesuffix("?db=0"))
        assert socket.parent.parent == Path("/tmp")
        assert socket.parent.stat().st_mode & 0o77 == 0
        assert sql(ours.database_url, "SELECT 1") == [1]
    assert not socket.parent.exists()
    socket.parent.mkdir()
    socket.parent.chmod(0o755)  # as another user might have planted it
    try:
        with pytest.raises(ServersError, match="only you can enter"), running(odd):
            pass
    finally:
        socket.parent.rmdir()


@as_root
def test_root_steps_down_and_opens_no_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with running(closed / "folder", durable=False):
        # Of its children some end at any moment.
        (written,) = closed.glob("folder/postgres/**/postmaster.pid")
        postmaster = psutil.Process(int(written.read_text().split()[0]))
        assert 0 not in {*postmaster.uids(), *postmaster.gids()}
        status = Path(f"/proc/{postmaster.pid}/status").read_text()
    assert "CapEff:\t0000000000000004" in status  # CAP_DAC_READ_SEARCH, and nothing else
    assert closed.stat().st_mode & 0o777 == 0o700
    assert (closed / "folder" / "postgres").stat().st_mode & 0o777 == 0o700


@as_root
def test_root_in_a_container_that_withholds_reading_steps_down_too(tmp_path: Path) -> None:
    process = holder(tmp_path, "setpriv", "--bounding-set=-dac_read_search")
    wait_for(process, "holding")
    process.terminate()
    process.communicate(timeout=20)
    assert processes_in(tmp_path) == []


@as_root
def test_root_without_setpriv_is_told_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServersError, match="ordinary user, or provide setpriv"), running(folder):
        pass


@as_root
def test_data_of_an_unknown_account_is_refused(folder: Path) -> None:
    data = folder / "postgres"
    owner = data.stat().st_uid
    os.chown(data, 4242, -1)
    try:
        with pytest.raises(ServersError, match="belongs to user 4242"), running(folder):
            pass
    finally:
        os.chown(data, owner, -1)


@as_root
def test_an_ordinary_user_needs_none_of_that() -> None:
    nobody = ("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups")
    command = [*nobody, sys.executable, "-c", "import matchgraph.servers"]
    seen = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, cwd="/", capture_output=True)
    if seen.returncode != 0:
        pytest.skip(f"nobody cannot reach {sys.executable} or {SOURCE}: {seen.stderr.decode()}")
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    shutil.chown(home, "nobody")
    try:
        process = holder(home / "folder", *nobody)
        wait_for(process, "holding")
        assert {p.username() for p in processes_in(home)} == {"nobody"}
        process.terminate()
        process.communicate(timeout=20)
        assert processes_in(home) == []
    finally:
        shutil.rmtree(home)
