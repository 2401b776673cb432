"""Requests that want to hurt, against the program as it is run in production: each is refused in
plain words, takes little memory, and leaves others alone."""

import asyncio
import gzip
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query
from websockets.asyncio.client import connect

from matchgraph.ledger.head import new_key
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import JSON
from tests.graphql.subscribers import PROTOCOL, Socket
from tests.graphql.test_limits import HEAVY, REFUSED

MOST_MEMORY = 50_000_000
HEAD = "{ position { head } }"
STREAM = {**JSON, "accept": "text/event-stream"}
INTROSPECTION = get_introspection_query()


@dataclass
class Program:
    """`matchgraph serve` in a process of its own."""

    pid: int
    port: int
    http: httpx.AsyncClient

    async def post(self, content: Any, **headers: str) -> httpx.Response:
        return await self.http.post("/graphql", content=content, headers={**JSON, **headers})

    async def ask(self, query: str) -> httpx.Response:
        return await self.post(json.dumps({"query": query}))

    def memory(self, name: str) -> int:
        """Units: bytes; VmRSS is what it has now, VmHWM the most it had since `forget`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(name)

    def forget(self) -> int:
        """Has the system forget the most that it had; says what it has now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory("VmRSS")


@pytest.fixture
async def program(url: str, servers: Servers, tmp_path: Path) -> AsyncIterator[Program]:
    """The program in production. Budgets are off: what they do is tried elsewhere, and here they
    would be used up after a few requests."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "MATCHGRAPH_MODE": "production",
        "MATCHGRAPH_PORT": str(port),
        "MATCHGRAPH_DATA": str(tmp_path),
        "MATCHGRAPH_EMBEDDING": "off",
        "MATCHGRAPH_SECRET": "what the tests sign with",
        "MATCHGRAPH_SEARCH_KEYS": "a master key that the tests wrap with",
        "MATCHGRAPH_LEDGER_KEY": new_key(),
        "MATCHGRAPH_POINTS_PER_ADDRESS": "off",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "matchgraph", "serve", "--no-catalogs", "--no-projector"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            await until(lambda: answers(http), patience=60)
            program = Program(process.pid, port, http)
            # What it makes once is there before anything is measured.
            await program.ask(HEAD)
            yield program
    finally:
        process.terminate()
        await process.wait()


async def answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 65_536


BODIES: dict[str, tuple[Callable[[], Any], dict[str, str], set[int]]] = {
    "100 MB, declared": (lambda: b" " * 100_000_000, {}, {413}),
    "100 MB, in pieces": (lambda: pieces(1_600), {}, {413}),
    "a gzip bomb": (
        lambda: gzip.compress(json.dumps({"query": HEAD + " " * 500_000_000}).encode(), 9),
        {"content-encoding": "gzip"},
        {400, 413, 415},
    ),
    "a batch": (lambda: json.dumps([{"query": HEAD}] * 1_000), {}, {400}),
    "brackets": (lambda: "[" * 900_000, {}, {400}),
    "brackets in variables": (
        lambda: '{"query": "{ a }", "variables": {"a": ' + "[" * 400_000 + "]" * 400_000 + "}}",
        {},
        {400},
    ),
    "digits": (lambda: '{"query": "{ a }", "variables": {"a": ' + "9" * 900_000 + "}}", {}, {400}),
    "half a character": (lambda: b'{"query": "{ a }\xff"}', {}, {400}),
    "no object": (lambda: "null", {}, {400}),
}


async def test_hostile_bodies_are_refused_and_take_little_memory(program: Program) -> None:
    for name, (make, headers, expected) in BODIES.items():
        body, before = make(), program.forget()
        try:
            status = (await program.post(body, **headers)).status_code
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            # It was told no and went on all the same; test_deadlines.py sees that it was told.
            status = 413
        assert status in expected, name
        assert program.memory("VmHWM") - before < MOST_MEMORY, name
        assert (await program.ask(HEAD)).status_code == 200, name


async def test_hostile_documents_are_refused_and_take_little_memory(program: Program) -> None:
    for query in [*(one[1] for one in REFUSED), *HEAVY]:
        before = program.forget()
        response = await program.ask(query)
        assert response.status_code in (200, 400), response.text
        assert response.json()["errors"][0]["extensions"]["code"] != "INTERNAL", query[:100]
        assert program.memory("VmHWM") - before < MOST_MEMORY, query[:100]
        assert (await program.ask(HEAD)).status_code == 200


async def test_others_are_answered_while_somebody_sends_nothing_else(program: Program) -> None:
    async def attack() -> None:
        while True:
            await asyncio.gather(*(program.ask(one[1]) for one in REFUSED))

    attacking = asyncio.create_task(attack())
    try:
        for _ in range(20):
            async with asyncio.timeout(10):
                assert (await program.ask(HEAD)).status_code == 200
    finally:
        attacking.cancel()


async def test_the_schema_is_closed_to_strangers_in_every_way(program: Program) -> None:
    said = json.dumps({"query": INTROSPECTION})
    answered = [
        (await program.post(said)).text,
        (await program.http.get("/graphql", params={"query": INTROSPECTION})).text,
        (await program.post(said, accept="text/event-stream")).text,
        (await program.ask("{ artifac }")).text,
        (await program.ask('{ artifact(slu: "a") { slug } }')).text,
        (await program.http.get("/graphql", headers={"accept": "text/html"})).text,
    ]
    address = f"ws://127.0.0.1:{program.port}/graphql"
    async with connect(address, subprotocols=[PROTOCOL]) as connection:
        client = Socket(connection)
        await client.say(type="connection_init")
        await client.hear()
        await client.subscribe(INTROSPECTION)
        answered.append(json.dumps(await client.next()))
    for answer in answered:
        assert "ArtifactKind" not in answer
        assert "Did you mean" not in answer
        assert "graphiql" not in answer.lower()
        assert "Traceback" not in answer
