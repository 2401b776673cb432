"""How a Redis is away, as the program's own event loop says it."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest
import redis.asyncio as redis
import uvloop

from matchgraph.projections.rank_cache import CacheAway, send
from matchgraph.projections.redis_client import open_client


@contextmanager
def slamming() -> Iterator[int]:
    """The port of something that takes connections and resets each at once, as whatever stands
    before a Redis does when that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def slam() -> None:
            with suppress(OSError):  # that it listens no more
                while True:
                    line, _ = listening.accept()
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    line.close()

        thread = Thread(target=slam)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


async def ending(client: "redis.Redis") -> str:
    """What a question ended with."""
    with pytest.raises(CacheAway) as away:
        await send(client, [("PING",)])
    return str(away.value).partition(":")[0]


def test_a_line_that_is_closed_while_it_is_being_opened_is_a_redis_that_is_away() -> None:
    async def main(port: int) -> None:
        seen: set[str] = set()
        # When exactly it is closed is luck; uvloop's own word for it comes once in ten times.
        async with asyncio.timeout(60), open_client(f"redis://127.0.0.1:{port}") as client:
            while "RuntimeError" not in seen:
                seen.update(await asyncio.gather(*(ending(client) for _ in range(8))))

    with slamming() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(port))
