"""A projector in a process of its own, to be killed; run as a program by test_runner.py."""

import asyncio
import sys

from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import APPENDED
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner


async def main(url: str, page: int) -> None:
    async with Listener(url, (APPENDED,)) as listener:
        await Runner(url, listener, PROJECTIONS, page=page).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
