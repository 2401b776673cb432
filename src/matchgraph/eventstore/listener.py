"""Wake-ups: one connection a process that listens, and any number of tasks that wait.

A notification carries nothing but "look again", so a lost one costs no more than the safety poll.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from matchgraph.eventstore import releases
from matchgraph.eventstore.connection import LOST, connect
from matchgraph.eventstore.tasks import stop


class Listener:
    """Tells waiting tasks that something happened on a channel. Reconnects by itself."""

    def __init__(self, url: str, channels: tuple[str, ...], *, poll: float = 2) -> None:
        """Units: `poll`, the seconds after which a waiting task looks again unasked."""
        self._url = url
        self._channels = channels
        self._poll = poll
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._changed = asyncio.Event()  # who waits for what, or whether we are connected
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Listener":
        self._task = asyncio.create_task(self._run(), name="listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None, "entered before it is left"
        await stop(self._task)

    @asynccontextmanager
    async def wakes(self, channel: str) -> AsyncIterator["Wakes"]:
        """Wake-ups from now on: look first, then wait, and nothing in between is missed."""
        event = asyncio.Event()
        self._waiting[channel].add(event)
        self._changed.set()
        try:
            yield Wakes(event, self._poll)
        finally:
            self._waiting[channel].discard(event)

    def _wake(self, channel: str) -> None:
        for event in self._waiting[channel]:
            event.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (*LOST, asyncpg.PostgresError):
                await asyncio.sleep(0.2)

    async def _listen(self) -> None:
        connection = await connect(self._url, "listener")
        try:
            await releases.say_running(connection)
            connection.add_termination_listener(lambda _: self._changed.set())
            # Only what somebody has waited for: hearing of each append costs a tenth of it.
            heard: set[str] = set()
            while not connection.is_closed():
                self._changed.clear()
                for channel in [c for c in self._channels if self._waiting[c] and c not in heard]:
                    heard.add(channel)
                    await connection.add_listener(channel, lambda *said: self._wake(str(said[2])))
                    # Whatever happened while nobody listened.
                    self._wake(channel)
                try:
                    async with asyncio.timeout(10):
                        await self._changed.wait()
                except TimeoutError:
                    # A peer that vanished without a word is only found by asking.
                    await connection.execute("SELECT", timeout=5)
        finally:
            connection.terminate()


class Wakes:
    """One task's view of a channel."""

    def __init__(self, event: asyncio.Event, poll: float) -> None:
        self._event = event
        self._poll = poll

    async def wait(self, timeout: float | None = None) -> None:
        """Returns after the next wake-up since the last wait, or after the safety poll."""
        seconds = self._poll if timeout is None else min(timeout, self._poll)
        # Not wait_for(): before Python 3.12 it may swallow a cancellation that meets a wake-up.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
