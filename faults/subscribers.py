"""Those who follow what changes, and do not keep up or go away."""

import asyncio
import json
import socket
import time

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from faults.frame import Broken, fault, until
from faults.load import CATALOG, Follower
from faults.system import Catalog, Run

# Each brings every change to the one who does not read, so that they are soon too many.
OPERATIONS = 50
# Units: bytes that the API may take on for one who does not read.
MOST_MEMORY = 50_000_000


@fault("deaf-subscriber", times=5)
async def deaf_subscriber(run: Run) -> None:
    """A subscriber that never reads"""
    grown, latest = 0, 0.0
    async with run.catalog() as catalog:
        api = psutil.Process(catalog.api.pid)
        for _ in run.injections():
            before = api.memory_info().rss
            deaf = await _deaf(catalog)
            begun = time.monotonic()
            while not await _ended(catalog, deaf):
                end = await catalog.take_in(500)
                since = time.monotonic()
                await _heard(catalog, end)
                latest = max(latest, time.monotonic() - since)
                grown = max(grown, api.memory_info().rss - before)
                if time.monotonic() - begun > 120:
                    raise Broken("who never reads is not ended")
            deaf.transport.abort()
    if grown > MOST_MEMORY:
        raise Broken(f"the API took {grown / 1e6:.0f} MB for who does not read")
    run.note(
        f"ended; 500 changes reached the others within {latest:.1f} s; the API grew by"
        f" {grown / 1e6:.0f} MB at most"
    )


async def _deaf(catalog: Catalog) -> ClientConnection:
    """A client that subscribes and takes nothing more."""
    line = socket.create_connection(("127.0.0.1", catalog.port))
    line.setblocking(False)
    client = await connect(
        catalog.address.replace("http", "ws", 1) + "/graphql",
        sock=line,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        compression=None,
        max_queue=None,
    )
    payload = {"authorization": f"Bearer {catalog.keys[0]}"}
    await client.send(json.dumps({"type": "connection_init", "payload": payload}))
    await client.recv()
    for number in range(OPERATIONS):
        operation = {"query": CATALOG, "variables": {}}
        await client.send(
            json.dumps({"type": "subscribe", "id": str(number), "payload": operation})
        )
    await asyncio.sleep(0.5)
    client.transport.pause_reading()
    return client


async def _ended(catalog: Catalog, client: ClientConnection) -> bool:
    """Whether the API has given up on that client."""
    port = client.transport.get_extra_info("sockname")[1]
    return not any(
        line.status == psutil.CONN_ESTABLISHED and line.raddr and line.raddr.port == port
        for line in psutil.Process(catalog.api.pid).net_connections("tcp")
    )


async def _heard(catalog: Catalog, end: int) -> None:
    """Returns when the others have heard of that event."""
    follower = catalog.followers[0]

    async def there() -> bool:
        return bool(follower.heard) and follower.heard[-1][0] >= end

    await until(there, "the other subscribers to hear of everything")


@fault("absent-subscriber")
async def absent_subscriber(run: Run) -> None:
    """A subscriber away for as many changes as five minutes bring, who resumes from its cursor"""
    async with run.catalog() as catalog:
        follower = Follower(catalog.address, CATALOG, catalog.keys[0], after=catalog.start)
        for _ in run.injections():
            async with follower.following():
                await catalog.load.more(10)
                await _so_far(follower, 1)
            await catalog.load.more(100 if run.small else 500)
        async with follower.following():
            run.note(f"{await catalog.all_heard(follower)} changes, each heard once, in order")


async def _so_far(follower: Follower, more: int) -> None:
    enough = len(follower.heard) + more

    async def there() -> bool:
        return len(follower.heard) >= enough

    await until(there, "a subscriber to hear anything")
