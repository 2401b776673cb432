"""Releases as processes: this one, and copies with another number and other migrations."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VERSION = '__version__ = "0.1.0"'


def release(
    folder: Path, version: str, added: Mapping[str, str], *, without: str | None = None
) -> dict[str, str]:
    """The environment that makes `python -m matchgraph` that release: this code, without one
    migration and with others."""
    package = folder / version / "src" / "matchgraph"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "matchgraph", package, ignore=ignored)
    said = (package / "__init__.py").read_text()
    assert VERSION in said
    (package / "__init__.py").write_text(said.replace(VERSION, f'__version__ = "{version}"'))
    migrations = folder / version / "migrations"
    shutil.copytree(ROOT / "migrations", migrations)
    if without is not None:
        (migrations / f"{without}.sql").unlink()
    for name, text in added.items():
        (migrations / f"{name}.sql").write_text(text)
    return environment(package.parent)


def environment(source: Path = ROOT / "src", **said: str) -> dict[str, str]:
    """The environment of a release whose code is there, with nothing of ours but what is said."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if "MATCHGRAPH" not in name and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return {**kept, "PYTHONPATH": str(source), "COLUMNS": "80", **said}


def migration(statements: str, depends: str, *, transaction: bool = True) -> str:
    """The file of a migration."""
    said = "" if transaction else "-- transaction: false\n"
    return (
        f"-- What is new?\n-- depends: {depends}\n{said}\n-- migrate: apply\n\n{statements}\n\n"
        "-- migrate: rollback\n"
    )


def run(
    environment: dict[str, str], *arguments: str, timeout: float = 90
) -> "subprocess.CompletedProcess[str]":
    """Runs the program of a release to its end."""
    try:
        return subprocess.run(
            [sys.executable, "-m", "matchgraph", *arguments],
            env=environment,
            cwd=environment["PYTHONPATH"],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as reason:
        raise AssertionError(f"{arguments} does not end: {reason.stderr!r}") from None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Process:
    """A process of a release that goes on until it is ended."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "matchgraph", *arguments],
            env={**environment, "MATCHGRAPH_PORT": str(self.port)},
            cwd=environment["PYTHONPATH"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.said.extend(self._process.stdout)

    def get(self, path: str, body: object = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def answer(self, query: str, **variables: Any) -> Any:
        return self.get("/graphql", {"query": query, "variables": variables})

    def data(self, query: str, **variables: Any) -> Any:
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def head(self) -> int:
        """The last position."""
        return int(self.data("{ position { head } }")["position"]["head"])

    def wait(self) -> "Process":
        deadline, missing = time.monotonic() + 60, ""
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.get("/readyz")
                return self
            except urllib.error.HTTPError as reason:
                missing = reason.read().decode()
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{missing}\n{''.join(self.said)}")

    def end(self, number: int = signal.SIGINT) -> None:
        self._process.send_signal(number)
        self._process.wait(timeout=30)
        self._reading.join(timeout=10)


@contextmanager
def started(environment: dict[str, str], *arguments: str) -> Iterator[Process]:
    process = Process(environment, *arguments)
    try:
        yield process
    finally:
        process.end()
