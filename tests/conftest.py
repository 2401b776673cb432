"""Real servers for every test that needs one, and nothing else.

One PostgreSQL and one Valkey run for the whole session (or those that DATABASE_URL and REDIS_URL
name). One template database is migrated; each test gets a clone of it.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from matchgraph import migrate
from matchgraph.eventstore.connection import Pool, open_pool
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.servers import Servers, running


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this run, never those of `make serve`."""
    given = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if given[0] and given[1]:
        yield Servers(database_url=given[0], redis_url=given[1])
        return
    with (
        tempfile.TemporaryDirectory(prefix="mg-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), durable=False) as own,
    ):
        yield Servers(
            database_url=given[0] or own.database_url, redis_url=given[1] or own.redis_url
        )


def url_of(server: str, database: str) -> str:
    """The connection string of another database of the same server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    name = f"template_{uuid4().hex[:12]}"
    # Not an asynchronous fixture: each test has a loop of its own, and this outlives them.
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate.apply(url_of(servers.database_url, name)))
    yield name
    asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        await admin.execute(statement)
    finally:
        await admin.close()


@asynccontextmanager
async def cloned(servers: Servers, template: str) -> AsyncIterator[str]:
    """The connection string of a database of one's own."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield url_of(servers.database_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def url(servers: Servers, template: str) -> AsyncIterator[str]:
    """The connection string of a database of this test's own."""
    async with cloned(servers, template) as url:
        yield url


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    """Connections with the application's rights."""
    pool = await open_pool(url, "test", size=4)
    yield pool
    await pool.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An event store of this test's own."""
    async with open_store(url) as store:
        yield store


@pytest.fixture
def request_by() -> Request:
    """Somebody who asks for a change."""
    return Request(actor="tester", request_id="test")


async def project(
    url: str, store: Store, projections: object = PROJECTIONS, page: int = 2_000
) -> None:
    """Takes every projection to the end of the log."""
    from matchgraph.eventstore.connection import connect

    runner = Runner(url, store.listener, projections, page=page)  # type: ignore[arg-type]
    connection = await connect(url, "test projector")
    try:
        while await runner.advance(connection):
            pass
    finally:
        await connection.close()
