"""The application over a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.projections.conftest import valkey

__all__ = ["valkey"]


@pytest.fixture
async def api(url: str, servers: Servers) -> AsyncIterator[Api]:
    """The application with its projector."""
    async with serving(url, servers.redis_url) as api:
        yield api


@pytest.fixture
async def still(url: str, servers: Servers) -> AsyncIterator[Api]:
    """The application while no projector runs."""
    async with serving(url, servers.redis_url, project=False) as api:
        yield api
