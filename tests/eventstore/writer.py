"""One process of many that write the same aggregates; run as a program by test_append.py.

Says as JSON what it was promised: [position, aggregate, version, request id] for each append
acknowledged, and how many conflicts it met.
"""

import asyncio
import json
import random
import sys
from uuid import UUID

from matchgraph.eventstore.connection import open_pool
from matchgraph.eventstore.errors import AlreadyDone, Conflict
from matchgraph.eventstore.store import Request, fingerprint, open_store
from tests.eventstore.histories import artifact, plain


async def contend(url: str, name: str, tasks: int, appends: int, ids: list[UUID]) -> None:
    """Every task appends to whatever aggregate comes up, and starts over after a conflict."""
    acknowledged: list[tuple[int, str, int, str]] = []
    conflicts = 0
    pool = await open_pool(url, "writer", size=4)

    async def write(task: int) -> None:
        nonlocal conflicts
        choices = random.Random(f"{name} {task}")
        for number in range(appends):
            request = Request(actor=name, request_id=f"{name}-{task}-{number}")
            while True:
                id = choices.choice(ids)
                version = 1 + await pool.fetchval(
                    "SELECT coalesce(max(originator_version), 0) FROM event"
                    " WHERE originator_id = $1",
                    id,
                )
                try:
                    position = await store.append_stored([plain(id, version)], request)
                except Conflict:
                    conflicts += 1
                else:
                    acknowledged.append((position, str(id), version, request.request_id))
                    break

    async with open_store(url) as store:
        await asyncio.gather(*(write(task) for task in range(tasks)))
    await pool.close()
    print(json.dumps({"acknowledged": acknowledged, "conflicts": conflicts}))


async def repeat(url: str, name: str, keys: int) -> None:
    """Sends the commands that every other process sends, with the same keys."""
    results: dict[str, list[object]] = {}

    async def send(number: int) -> None:
        request = Request(actor="client", request_id=name, idempotency_key=f"key-{number}")
        payload = fingerprint("register", number)
        try:
            position = await store.append([artifact(f"{name}-{number}")], request, payload)
            results[f"key-{number}"] = ["did", position]
        except AlreadyDone:
            results[f"key-{number}"] = ["done before", await store.recall(request, payload)]

    async with open_store(url) as store:
        await asyncio.gather(*(send(number) for number in range(keys)))
    print(json.dumps(results))


if __name__ == "__main__":
    what, url, name, *rest = sys.argv[1:]
    if what == "contend":
        asyncio.run(contend(url, name, int(rest[0]), int(rest[1]), [UUID(id) for id in rest[2:]]))
    else:
        asyncio.run(repeat(url, name, int(rest[0])))
