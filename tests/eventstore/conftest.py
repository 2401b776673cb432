"""Clones of the migrated database for tests that need several."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from matchgraph.servers import Servers
from tests.conftest import url_of

Clones = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def clones(servers: Servers, template: str) -> Clones:
    """Makes databases, one for each example of a property."""

    @asynccontextmanager
    async def clone() -> AsyncIterator[str]:
        name = f"example_{uuid4().hex[:12]}"
        admin = await asyncpg.connect(servers.database_url)
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield url_of(servers.database_url, name)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.close()

    return clone
