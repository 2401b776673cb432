"""The same databases as the event store's tests have, and Redis."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from faults.servers import Valkey
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.eventstore.conftest import clones
from tests.eventstore.histories import until
from tests.projections.ranks import answers

__all__ = ["clones"]


@pytest.fixture
async def db(url: str) -> AsyncIterator[Connection]:
    db = await connect(url, "test")
    yield db
    await db.close()


@pytest.fixture
async def client(servers: Servers) -> AsyncIterator["redis.Redis"]:
    """To the Valkey of all tests, which none may harm."""
    async with open_client(servers.redis_url, patience=2) as client:
        yield client


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """One of this test's own. (The path of a socket is short, that of `tmp_path` is not.)"""
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        valkey = Valkey(Path(folder))
        yield valkey
        valkey.kill()


@pytest.fixture
async def own(valkey: Valkey) -> AsyncIterator["redis.Redis"]:
    """To the Valkey of this test's own."""
    async with open_client(valkey.url, patience=2) as client:
        await until(lambda: answers(client))
        yield client
