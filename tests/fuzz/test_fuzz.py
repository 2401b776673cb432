"""Whatever is asked, however, comes back as an answer of the schema or as an error with a code."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest

from matchgraph.servers import Servers
from tests.conftest import url_of
from tests.fuzz import rounds
from tests.fuzz.target import Target, serving


async def _execute(url: str, statement: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute(statement)
    await admin.close()


@pytest.fixture(scope="module")
def target(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """A server for all of these, as what one request changes the next one finds."""
    name = f"fuzz_{uuid4().hex[:12]}"
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    url = url_of(servers.database_url, name)
    with serving(url, servers.redis_url, tmp_path_factory.mktemp("fuzz")) as target:
        yield target
    asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


def test_every_query_and_mutation_is_answered_whatever_its_values(target: Target) -> None:
    rounds.everything(target, 25)
    resolved = target.judge.resolved
    assert target.schema.query_type is not None
    asked = {f"Query.{name}" for name in target.schema.query_type.fields}
    assert asked - resolved.keys() == set(), "each makes sense once at least"
    # And many fields have been reached behind them.
    assert len(resolved) > 200, sorted(resolved)
    target.is_whole()


def test_whatever_the_grammar_lets_one_write_is_answered(target: Target) -> None:
    rounds.by_the_grammar(target, 60)
    target.is_whole()


def test_operations_over_a_websocket_are_answered_like_those_over_http(target: Target) -> None:
    rounds.over_websocket(target, 40)
    assert {
        "Subscription.rankChanged",
        "Subscription.catalogChanged",
    } & target.judge.resolved.keys()
    target.is_whole()


def test_operations_as_event_streams_are_answered_likewise(target: Target) -> None:
    def changes() -> int:
        return sum(
            times
            for field, times in target.judge.resolved.items()
            if field.startswith("Subscription.")
        )

    before = changes()
    rounds.over_event_streams(target, 40)
    assert changes() > before, "some have told of changes"
    target.is_whole()


def test_no_bytes_over_http_break_anything(target: Target) -> None:
    rounds.bytes_over_http(target, 100)
    target.is_whole()


def test_no_messages_over_a_websocket_break_anything(target: Target) -> None:
    rounds.messages_over_websocket(target, 80)
    target.is_whole()
