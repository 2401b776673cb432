"""One migrated database to clone, and clones for tests that need several."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from matchgraph import migrate
from matchgraph.servers import Servers
from tests.conftest import url_of

Clones = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    name = f"template_{uuid4().hex[:12]}"
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate.apply(url_of(servers.database_url, name)))
    yield name
    asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def clones(servers: Servers, template: str) -> Clones:
    """Makes databases, one for each example of a property."""

    @asynccontextmanager
    async def clone() -> AsyncIterator[str]:
        name = f"example_{uuid4().hex[:12]}"
        await _execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield url_of(servers.database_url, name)
        finally:
            await _execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")

    return clone


async def _execute(url: str, statement: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()
