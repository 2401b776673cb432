"""A or B: two to five artifacts side by side, in a few statements however much they can do."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from matchgraph.eventstore.connection import Pool
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, CAPABILITY, PRICE, SIGNAL, call, furnish

COMPARE = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  position artifacts { slug } rows { name values favours { outcome slug } } } }"""
# Everything that can be asked of the artifacts beside the table.
ALL = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  position rows { name values favours { outcome slug } }
  artifacts { slug aliases capabilityCount pricing startingPrice { amount } prices { amount }
    signals { value } capabilities(first: 100) { nodes { key tags provenance { source } } }
    priceHistory { nodes { price { amount } } } } } }"""


@pytest.fixture
async def furnished(url: str, servers: Servers) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url) as api:
        await furnish(api)
        extra = [
            {
                **ARTIFACT,
                "slug": f"big-{n}",
                "facts": {"name": f"Big {n}", "contextTokens": 1_000 * (n + 1)},
                "aliases": [f"alias-{n}"],
                "signals": [SIGNAL],
                "prices": [{**PRICE, "amount": f"0.{n + 1:02}"}],
                "capabilities": [
                    {**CAPABILITY, "key": f"can-{number}", "tags": ["t"]}
                    for number in range(50 if n < 5 else 3)
                ],
            }
            for n in range(10)
        ]
        answer = await call(api, "importArtifacts", artifacts=extra)
        await api.ask(f'query @atLeast(position: "{answer["position"]}") {{ position {{ head }} }}')
        yield api


async def test_two_artifacts_are_compared_row_by_row(furnished: Api) -> None:
    found = (await furnished.ask(COMPARE, slugs=["big-0", "big-9"]))["compare"]
    assert [one["slug"] for one in found["artifacts"]] == ["big-0", "big-9"]
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["KIND"] == {
        "name": "KIND",
        "values": ["model", "model"],
        "favours": {"outcome": "NEITHER", "slug": None},
    }
    assert rows["CONTEXT_TOKENS"]["values"] == ["1,000", "10,000"]
    assert rows["CONTEXT_TOKENS"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-9"}
    assert rows["CAPABILITY_COUNT"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-0"}
    assert rows["STARTING_PRICE"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-0"}
    assert rows["STARTING_PRICE"]["values"][0] == (
        "USD 10000 per 1M input tokens from acme, seen 2026-01-01"
    )
    assert rows["RELEASED"]["favours"] == {"outcome": "UNKNOWN", "slug": None}
    assert int(found["position"]) == await furnished.store.head()


async def test_as_many_as_five_are_compared_under_any_of_their_slugs(furnished: Api) -> None:
    slugs = ["tables", "big-1", "alias-2", "gone", "other"]
    found = (await furnished.ask(COMPARE, slugs=slugs))["compare"]
    assert [one["slug"] for one in found["artifacts"]] == [
        *("parser", "big-1", "big-2", "gone", "other"),
    ]
    assert all(len(row["values"]) == 5 for row in found["rows"])


NOT_COMPARED: list[tuple[list[str], str]] = [
    ([], "names 0 artifacts"),
    (["parser"], "names 1 artifacts"),
    (["big-0", "big-1", "big-2", "big-3", "big-4", "big-5"], "compare 2 to 5"),
    (["parser", "parser"], "twice"),
    (["parser", "tables"], "twice"),
    (["twin", "parser"], "twice"),
    (["parser", "\0"], "cannot be stored"),
    (["parser", "x" * 10_001], "at most"),
]


async def test_what_cannot_be_compared_says_why(furnished: Api) -> None:
    for slugs, words in NOT_COMPARED:
        error = await furnished.error(COMPARE, slugs=slugs)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert words in error["message"]


async def test_an_unknown_slug_is_named(furnished: Api) -> None:
    error = await furnished.error(COMPARE, slugs=["parser", "nothing", "removed"])
    assert error["extensions"] == {"code": "UNKNOWN_ARTIFACT", "slugs": ["nothing", "removed"]}
    assert "'nothing'" in error["message"]


async def statements(api: Api, query: str, **variables: Any) -> list[str]:
    """What the application asked the database for one answer."""
    asked: list[str] = []

    def log(record: Any) -> None:
        asked.append(record.query)

    pool: Pool = api.pool
    await pool.expire_connections()
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    for connection in connections:
        connection.add_query_logger(log)
        await pool.release(connection)
    await api.ask(query, **variables)
    # Beside these there are BEGIN and ROLLBACK, and what asyncpg wants to know once a connection.
    return [
        query
        for query in asked
        if re.search(r"FROM \w*(_listing|_board|price_|_alias|_checkpoint)", query)
        or "led" in query
    ]


@pytest.mark.parametrize("query", [COMPARE, ALL])
async def test_a_comparison_takes_as_many_statements_whatever_is_compared(
    furnished: Api, query: str
) -> None:
    few = await statements(furnished, query, slugs=["big-5", "big-6"])
    assert 4 <= len(few) <= 8, few
    assert len(set(few)) == len(few), "each relation once"
    for slugs in (
        ["big-0", "big-1"],
        ["big-0", "big-1", "big-2", "big-3", "big-4"],
        ["big-5", "big-6", "big-7", "big-8", "big-9"],
    ):
        assert len(await statements(furnished, query, slugs=slugs)) == len(few)


async def test_a_list_takes_as_many_statements_however_long_it_is(furnished: Api) -> None:
    query = """query ($first: Int!) { artifacts(first: $first) { totalCount nodes { slug aliases
      capabilityCount startingPrice { amount } signals { value }
      capabilities(first: 2) { nodes { key } } } } }"""
    few = await statements(furnished, query, first=1)
    assert len(await statements(furnished, query, first=14)) == len(few) <= 7
