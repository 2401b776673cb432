"""How the program ends when it is told to, with everything open, as a process of its own."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from graphql import get_introspection_query
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.protocol import State

from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import JSON
from tests.graphql.moving import CATALOG
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import PROTOCOL, small_buffers
from tests.graphql.subscribers import served as serving
from tests.test_cli import environment, free_port

HEAD = "{ position { head } }"
STREAM = {**JSON, "accept": "text/event-stream"}


@contextmanager
def program(folder: Path, url: str, redis_url: str, *arguments: str) -> Iterator[Any]:
    """The program over given servers, with the port that it listens on."""
    port = free_port()
    said = {"MATCHGRAPH_PORT": str(port), "DATABASE_URL": url, "REDIS_URL": redis_url}
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "matchgraph", *arguments],
        env=environment(folder, MATCHGRAPH_EMBEDDING="off", **said),
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
async def served(url: str, servers: Servers, tmp_path: Path) -> AsyncIterator[Any]:
    with program(tmp_path, url, servers.redis_url, "serve", "--no-catalogs") as (process, port):
        await answering(port)
        yield process, port


async def answering(port: int) -> None:
    async def answers() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                found = await http.get(f"http://127.0.0.1:{port}/readyz")
        except httpx.TransportError:
            return False
        return found.status_code == 200

    await until(answers, patience=60)


async def ended(process: "subprocess.Popen[bytes]", patience: float = 10) -> int:
    """How it ended, which it did in time."""

    async def is_over() -> bool:
        return process.poll() is not None

    await until(is_over, patience=patience)
    assert process.returncode is not None
    return process.returncode


async def test_told_to_end_with_everything_open_it_ends_well_within_ten_seconds(
    served: Any, url: str
) -> None:
    process, port = served
    address = f"http://127.0.0.1:{port}/graphql"
    db = await asyncpg.connect(url)
    async with httpx.AsyncClient(timeout=30) as http:
        body = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
        await http.post(address, content=body, headers=JSON)
        async with (
            connect(address.replace("http", "ws"), subprotocols=[PROTOCOL]) as following,
            http.stream("POST", address, json={"query": CATALOG}, headers=STREAM) as stream,
        ):
            await following.send(json.dumps({"type": "connection_init"}))
            await following.recv()
            said = {"type": "subscribe", "id": "1", "payload": {"query": CATALOG}}
            await following.send(json.dumps(said))
            # A query that is held up for three seconds and is answered all the same.
            await db.execute("BEGIN; LOCK TABLE artifact_listing IN ACCESS EXCLUSIVE MODE")
            slug = '{ artifact(slug: "parser") { slug } }'
            running = asyncio.create_task(http.post(address, json={"query": slug}))
            await until(lambda: held_up(db), patience=60)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                await following.wait_closed()
            assert following.close_code in (1001, 1012)
            # It ends as an answer that is whole, so that nobody takes it for a failure.
            async with asyncio.timeout(5):
                async for _ in stream.aiter_lines():
                    pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            assert process.poll() is None, "it waits for the query"
            await asyncio.sleep(max(0.0, began + 3 - time.monotonic()))
            await db.execute("COMMIT")
            answer = await running
            assert answer.json()["data"] == {"artifact": {"slug": "parser"}}
        assert await ended(process) == 0
        assert time.monotonic() - began < 10
    await db.close()


async def held_up(db: "asyncpg.Connection[asyncpg.Record]") -> bool:
    found = await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    return bool(found)


async def test_a_query_that_takes_too_long_does_not_keep_it(served: Any, url: str) -> None:
    process, port = served
    db = await asyncpg.connect(url)
    await db.execute("BEGIN; LOCK TABLE artifact_listing IN ACCESS EXCLUSIVE MODE")
    async with httpx.AsyncClient(timeout=30) as http:
        queries = [
            asyncio.create_task(
                http.post(
                    f"http://127.0.0.1:{port}/graphql",
                    json={"query": '{ artifact(slug: "parser") { slug } }'},
                )
            )
            for _ in range(5)
        ]
        await until(lambda: held_up(db), patience=60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        assert time.monotonic() - began < 10
        await asyncio.gather(*queries, return_exceptions=True)
    await db.close()


async def test_a_client_that_is_going_already_keeps_no_server_from_ending(
    url: str, servers: Servers
) -> None:
    long = json.dumps({"query": get_introspection_query()})
    async with (
        serving(url, servers.redis_url, project=False, small=True) as live,
        live.socket(ping_interval=None, close_timeout=None) as client,
    ):
        small_buffers(client.connection.transport.get_extra_info("socket"))
        client.stop_reading()
        for number in range(5):
            await client.say(type="subscribe", id=str(number), payload=json.loads(long))
        (connection,) = (
            one
            for one in live.server.server_state.connections
            if isinstance(one, WebSocketsSansIOProtocol)
        )

        async def waits_for_its_reader() -> bool:
            return connection.transport.get_write_buffer_size() > 0

        async def is_told() -> bool:
            return connection.conn.state is not State.OPEN

        async def is_gone() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", live.port)
            except ConnectionError:
                return True
            writer.transport.abort()
            return False

        await until(waits_for_its_reader)
        # It says good-bye, and the answer to that waits behind all that it does not read.
        going = asyncio.create_task(client.connection.close())
        await until(is_told)
        live.server.should_exit = True
        await until(is_gone)
        client.connection.transport.abort()
        await going


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_projector_ends_well_when_it_is_told_to(
    url: str, servers: Servers, tmp_path: Path, number: int
) -> None:
    with program(tmp_path, url, servers.redis_url, "project") as (process, _):
        db = await asyncpg.connect(url)

        async def leads() -> bool:
            return bool(
                await db.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            )

        await until(leads, patience=60)
        process.send_signal(number)
        assert await ended(process) == 0
        await db.close()
    assert "Traceback" not in (tmp_path / "log").read_text()
