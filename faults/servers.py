"""A PostgreSQL and a Valkey to be killed."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import psutil

from bench.machine import inherited
from matchgraph import servers
from matchgraph.servers import Servers, running


@asynccontextmanager
async def mortal(folder: Path) -> AsyncIterator["Postgres"]:
    """A PostgreSQL while the block runs, but for when it is dead."""
    server = Postgres(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Postgres:
    """A PostgreSQL that keeps what it acknowledges. It answers at the same address every time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.servers: Servers | None = None

    @property
    def url(self) -> str:
        """Where its database is."""
        assert self.servers is not None, "started"
        return self.servers.database_url

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Returns when it is ready. What the environment says is for it alone."""
        with inherited(dict(environment or {})):
            self.servers = await asyncio.to_thread(
                self._stack.enter_context, running(self._folder, durable=True)
            )

    async def stop(self) -> None:
        """Returns when it has ended, which it may have done already."""
        await asyncio.to_thread(self._stack.close)

    def postmaster(self) -> psutil.Process:
        """Its first process."""
        pid = int((self._folder / "postgres" / "postmaster.pid").read_text().split("\n")[0])
        return psutil.Process(pid)

    @property
    def runs(self) -> bool:
        """Whether its first process is there."""
        try:
            return self.postmaster().status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, FileNotFoundError, ValueError):
            return False

    def kill(self) -> None:
        """As a power cut would, but for the disk."""
        postmaster = self.postmaster()
        for process in (postmaster, *postmaster.children(recursive=True)):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def stop_immediately(self) -> None:
        """As `pg_ctl stop -m immediate` does."""
        os.kill(self.postmaster().pid, signal.SIGQUIT)


class Valkey:
    """A Valkey that keeps nothing unless it is told to SAVE."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._socket = folder / "valkey"
        self.url = f"unix://{self._socket}?db=0"
        command = [str(servers._valkey_server()), "--dir", str(folder), *servers.VALKEY]
        self._command = [*command, "--unixsocket", str(self._socket), *options]
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends it without a word."""
        self._process.kill()
        self._process.wait()
