"""One of the processes of latency.py: projector URL REDIS_URL | api URL REDIS_URL |
writer URL RATE SECONDS | subscriber PORT BEGIN COUNT."""

import asyncio
import json
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import uvloop
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore.store import Request, open_store
from matchgraph.http.app import app
from matchgraph.http.server import Server, configured, settle
from matchgraph.http.upkeep import projecting

BY = Request(actor="bench", request_id="bench")
SEEN = datetime(2026, 1, 1, tzinfo=UTC)
ARTIFACTS = 1_000
QUERY = (
    "subscription ($after: Position) { rankChanged(after: $after)"
    " { position cursor slug score place before { score place } } }"
)
# Units: seconds.
GRACE = 20


async def projector(url: str, redis_url: str) -> None:
    """Keeps the read models and publishes."""
    async with open_store(url) as store, projecting(url, store, redis_url):
        settle()
        print("ready", flush=True)
        await asyncio.Event().wait()


async def api(url: str, redis_url: str) -> None:
    """Answers subscribers."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    made = app(url, redis_url, project=False)

    def told() -> None:
        settle()
        print(port, flush=True)

    await Server(configured(made, "127.0.0.1", port), told).serve([listening])


def _artifact(number: int) -> Artifact:
    provenance = Provenance(method=Method.DECLARED, source="bench", observed_at=SEEN)
    name = f"thing-{number}"
    return Artifact.register(name, Kind.MODEL, Facts(name=name), provenance)


def _move(artifact: Artifact, times: int) -> None:
    """Changes its rank: it has a licence, and then it has none."""
    artifact.observe_signal(
        Signal(
            name=SignalName.LICENCE,
            value=Decimal(times % 2),
            source="bench",
            method=Method.OBSERVED,
            observed_at=SEEN + timedelta(seconds=times),
        )
    )


async def writer(url: str, rate: str, seconds: str) -> None:
    """Changes a rank so many times a second; says when each was committed."""
    count = int(rate) * int(seconds)
    made = [_artifact(number) for number in range(ARTIFACTS)]
    async with open_store(url) as store:
        begin = await store.append(made, BY)
        print(json.dumps([begin, count]), flush=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.readline)
        committed: list[tuple[int, float]] = []

        async def command(number: int) -> None:
            artifact = made[number % ARTIFACTS]
            _move(artifact, 1 + number // ARTIFACTS)
            committed.append((await store.append([artifact], BY), time.monotonic()))

        start = time.monotonic() + 1
        tasks = []
        for number in range(count):
            due = start + number / int(rate)
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            tasks.append(asyncio.create_task(command(number)))
        await asyncio.gather(*tasks)
    print(json.dumps(committed), flush=True)


async def subscriber(port: str, begin: str, count: str) -> None:
    """Follows from there on; says when each change came."""
    async with connect(
        f"ws://127.0.0.1:{port}/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        compression=None,
        max_queue=None,
    ) as connection:
        await connection.send('{"type":"connection_init"}')
        await connection.recv()
        payload = {"query": QUERY, "variables": {"after": begin}}
        await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        print("subscribed", flush=True)
        heard: list[tuple[bytes, float]] = []
        while len(heard) < int(count):
            said = await connection.recv(decode=False)
            heard.append((said, time.monotonic()))
    print(
        json.dumps(
            [
                (int(json.loads(said)["payload"]["data"]["rankChanged"]["position"]), moment)
                for said, moment in heard
            ]
        ),
        flush=True,
    )


ROLES = {"projector": projector, "api": api, "writer": writer, "subscriber": subscriber}

if __name__ == "__main__":
    role: Any = ROLES[sys.argv[1]]
    uvloop.run(role(*sys.argv[2:]))
