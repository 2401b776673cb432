"""The task that embeds texts in a process of its own, to be killed; run as a program by
test_text_vectors.py."""

import asyncio
import sys

from matchgraph.embedding import load
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.projections.text_vectors import TextVectors


async def main(url: str) -> None:
    async with Listener(url, (PROJECTED,)) as listener:
        await TextVectors(url, listener, load()).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
