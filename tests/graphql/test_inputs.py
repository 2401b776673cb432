"""Whatever is given for whichever argument of a query or a subscription: an answer or plain words.

The arguments come from the schema, so a new one is tried, too. test_mutations.py does this for
mutations.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from matchgraph.graphql.extensions import CODES
from matchgraph.graphql.limits import CODES as REFUSED
from matchgraph.servers import Servers
from tests.graphql.arguments import Given, arguments, variants
from tests.graphql.client import JSON
from tests.graphql.mutations import furnish
from tests.graphql.subscribers import Served, served

# What nothing can be done with: it must be refused, and by the client's fault.
WRONG: dict[str, list[Any]] = {
    "String": ["a\0b", "\ud800", "x" * 10_001],
    "ID": ["a\0b", "\ud800", "x" * 10_001],
    "Int": [2**31, -(2**31) - 1, 10**30, 1.5, "1"],
    "Float": ["x", "1"],
    "Boolean": ["true", 1],
    "Position": ["-1", str(2**63), "9" * 5_000, 1, "", "1.5", "٣"],
    "Long": [2**63, -(2**63) - 1, 10**30, "5", 1.5, True],
    "Decimal": ["1e9999", "1" * 61, "x", 0.1, True],
    "Date": ["2026-02-30", "x", 5, "10000-01-01"],
    "DateTime": ["2026-13-01T00:00:00Z", "x", 5],
}
# What somebody might mean: it may be answered or refused, as long as it is not a bug.
ODD: dict[str, list[Any]] = {
    "String": [
        "",
        " ",
        "'; DROP TABLE event; --",
        "%_\\",
        "🦜",
        "../../etc/passwd",
        "{}",
    ],
    "ID": ["", "QXJ0aWZhY3Q6eA==", "Og==", "////", "QXJ0aWZhY3Q6MA=="],
    "Int": [2**31 - 1, -(2**31), 0, -1, 101],
    "Float": [1e308, -1e308, 5e-324, -0.0, 2**63],
    "Boolean": [False],
    "Position": ["0", str(2**63 - 1), str(2**31), "007"],
    "Long": [0, -1, 2**63 - 1, -(2**63), 2**31],
    "Decimal": ["NaN", "Infinity", "-1", "1e999", "1e-999", "9" * 40, "0"],
    "Date": ["0001-01-01", "9999-12-31"],
    "DateTime": ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"],
}
KNOWN = {
    *CODES.values(),
    *REFUSED,
    "BAD_USER_INPUT",
    "GRAPHQL_VALIDATION_FAILED",
    "UNKNOWN_ARTIFACT",
}
TELLTALE = re.compile(r"Traceback|asyncpg|SELECT|relation |psycopg|Decimal\(|\.py\b")
QUERIES = list(arguments("query"))
SUBSCRIPTIONS = list(arguments("subscription"))


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    async with served(url, servers.redis_url) as live:
        await furnish(live)
        yield live


def test_the_arguments_of_the_schema_are_all_found() -> None:
    found = {given.path for given in QUERIES}
    assert {
        "artifact.slug",
        "search.need",
        "ledger.proof.position",
        "artifact.history.topics",
    } <= found
    assert len(QUERIES) > 50
    assert {given.path for given in SUBSCRIPTIONS} >= {
        "rankChanged.filter",
        "catalogChanged.cursor",
    }


async def said(live: Served, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The answer, which is none of a server that has failed."""
    content = json.dumps({"query": query, "variables": variables})
    response = await live.http.post("/graphql", content=content, headers=JSON)
    assert response.status_code in (200, 400), (query, response.text)
    answer: dict[str, Any] = response.json()
    return answer


def complaints(given: Given, where: str, errors: list[dict[str, Any]]) -> set[str]:
    """The codes of the errors, each of which says something that a client can do about it."""
    for error in errors:
        what = (given.path, where, error)
        assert error["extensions"]["code"] in KNOWN, what
        assert not TELLTALE.search(error["message"]), what
        assert len(error["message"]) < 15_000, what
    return {error["extensions"]["code"] for error in errors}


async def test_what_nothing_can_be_done_with_is_refused(live: Served) -> None:
    for given in QUERIES:
        for where, _, value in variants(given.argument.type, WRONG):
            answer = await said(live, *given.request(value))
            codes = complaints(given, where, answer.get("errors", []))
            assert "BAD_USER_INPUT" in codes, (given.path, where, answer)
    assert (await live.ask("{ position { head } }"))["position"]["head"]


async def test_what_somebody_might_mean_is_answered_or_refused(live: Served) -> None:
    for given in QUERIES:
        for where, _, value in variants(given.argument.type, ODD):
            answer = await said(live, *given.request(value))
            complaints(given, where, answer.get("errors", []))


async def test_subscriptions_refuse_it_likewise(live: Served) -> None:
    async with live.socket() as socket:
        count = 0
        for given in SUBSCRIPTIONS:
            for where, _, value in variants(given.argument.type, WRONG):
                count += 1
                query, variables = given.request(value)
                async with asyncio.timeout(10):
                    await socket.subscribe(query, id=str(count), **variables)
                    message = await socket.next(str(count))
                assert message["type"] == "error", (given.path, where, message)
                assert "BAD_USER_INPUT" in complaints(given, where, message["payload"])
