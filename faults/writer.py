"""One process of many that write, run as a program by writers.py: so many events, each a command of
its own, by many callers."""

import asyncio
import sys

from bench.history import Supply
from matchgraph.eventstore.store import Request, open_store

CALLERS = 16


async def main(url: str, count: int) -> None:
    """Appends so many events."""
    events = Supply(artifacts=50, observations=4)(count)
    by = Request(actor="faults", request_id="writer")

    async def call() -> None:
        # Each takes what is next; of one aggregate that may be two at once, in order.
        for event in events:
            await store.append_stored([event], by)

    async with open_store(url) as store:
        await asyncio.gather(*(call() for _ in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
