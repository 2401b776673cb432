"""GraphQL over HTTP as its specification has it: every audit of the package graphql-http."""

import json
import subprocess
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.servers import Servers
from tests.conftest import cloned
from tests.graphql.subscribers import served
from tests.http.node import CLIENTS, node, run
from tests.projections.tables import BY

AUDITS: list[dict[str, str]] = [
    json.loads(line)
    for line in subprocess.run(
        [node(), "audit.mjs"], cwd=CLIENTS, check=True, capture_output=True, text=True
    ).stdout.splitlines()
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(servers: Servers, template: str) -> AsyncIterator[dict[str, dict[str, str]]]:
    """What came of each audit, all of them of one server in production."""
    async with (
        cloned(servers, template) as url,
        served(url, servers.redis_url, project=False, development=False) as live,
    ):
        # Some audits look around in the schema, which is closed to nobody in particular.
        key = await issue(live.store, BY, "auditor", Role.CONTRIBUTOR)
        address = f"http://127.0.0.1:{live.port}/graphql"
        code, out, err = await run("audit.mjs", address, f"Bearer {key.key}")
        assert code == 0, err
        yield {one["id"]: one for one in map(json.loads, out.splitlines())}


def test_there_are_as_many_audits_as_ever() -> None:
    assert len({one["id"] for one in AUDITS}) == 61


@pytest.mark.parametrize("audit", AUDITS, ids=[one["id"] for one in AUDITS])
def test_an_audit_passes(found: dict[str, dict[str, str]], audit: dict[str, str]) -> None:
    assert found[audit["id"]]["status"] == "ok", found[audit["id"]]
