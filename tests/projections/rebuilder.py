"""A rebuild of every read model in a process of its own, to be killed; run as a program by
test_rebuild.py."""

import asyncio
import sys

from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.rebuild import rebuild


async def main(url: str, page: int) -> None:
    for projection in PROJECTIONS:
        print(projection.name, await rebuild(url, projection, page=page), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
