"""All that keeps read models, boards and streams, in a process of its own, to be killed; run as a
program by test_faults.py."""

import asyncio
import sys

from matchgraph.eventstore.store import open_store
from matchgraph.http.upkeep import projecting


async def main(database_url: str, redis_url: str) -> None:
    async with open_store(database_url) as store, projecting(database_url, store, redis_url):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
