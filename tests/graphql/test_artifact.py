"""What the catalog answers of single artifacts, their prices, capabilities and numbers."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from matchgraph.queries.position import reach
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, CAPABILITY, LATER, LINE, PRICE, SIGNAL, call, furnish

FACTS = {
    "name": "Parser",
    "description": "Reads documents.",
    "vendor": "acme",
    "family": "readers",
    "licence": "MIT",
    "openWeights": False,
    "selfHostable": True,
    "homepage": "https://acme.example",
    "released": "2026-01-01",
    "lastRelease": "2026-02-01",
    "knowledgeCutoff": "2025-06-30",
    "contextTokens": 10**12 - 1,
    "outputTokens": 2**31,
    "inputTypes": ["TEXT", "PDF"],
    "outputTypes": [],
}


async def fresh(api: Api, query: str, **variables: Any) -> Any:
    """The data of an answer that includes everything so far."""
    head = await api.store.head()
    assert query.startswith("{")
    return await api.ask(f'query @atLeast(position: "{head}") {query}', **variables)


async def test_an_artifact_is_answered_as_it_was_registered(api: Api) -> None:
    await call(api, "registerArtifact", **{**ARTIFACT, "facts": FACTS})
    names = " ".join(FACTS)
    data = await fresh(
        api,
        f'{{ artifact(slug: "parser") {{ slug kind status {names} position registeredAt changedAt'
        " provenance { method source observedAt } aliases capabilityCount prices { amount }"
        " pricing startingPrice { amount } signals { value }"
        " capabilities { nodes { key }"
        " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }",
    )
    found = data["artifact"]
    assert {name: found[name] for name in FACTS} == FACTS
    assert (found["slug"], found["kind"], found["status"]) == ("parser", "MODEL", "ACTIVE")
    assert found["position"] == "1"
    assert found["provenance"] == {
        "method": "DECLARED",
        "source": "https://example.org",
        "observedAt": "2026-01-01T00:00:00+00:00",
    }
    assert (found["aliases"], found["prices"], found["signals"]) == ([], [], [])
    assert (found["capabilityCount"], found["pricing"], found["startingPrice"]) == (0, None, None)
    assert found["registeredAt"] == found["changedAt"]
    page = found["capabilities"]
    assert page["nodes"] == []
    assert page["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


async def test_what_nobody_said_is_null(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    names = " ".join(FACTS)
    data = await fresh(api, f'{{ artifact(slug: "parser") {{ {names} }} }}')
    assert data["artifact"] == {**dict.fromkeys(FACTS), "name": "Parser"}


async def test_aliases_and_merged_slugs_lead_to_their_artifact(api: Api) -> None:
    await furnish(api)
    await call(api, "addAlias", slug="other", alias="another")
    await call(api, "mergeArtifact", slug="other", into="parser")
    data = await fresh(
        api,
        """{ parser: artifact(slug: "parser") { slug aliases }
             tables: artifact(slug: "tables") { slug } twin: artifact(slug: "twin") { slug }
             another: artifact(slug: "another") { slug } gone: artifact(slug: "gone") { status }
             removed: artifact(slug: "removed") { slug }
             nothing: artifact(slug: "no thing") { slug } }""",
    )
    assert data["parser"] == {"slug": "parser", "aliases": ["tables"]}
    for slug in ("tables", "twin", "another"):
        assert data[slug] == {"slug": "parser"}
    assert data["gone"] == {"status": "RETIRED"}
    assert data["removed"] is data["nothing"] is None


async def test_merged_in_a_circle_is_no_artifact_and_no_hang(api: Api) -> None:
    await reach(api.pool, api.store.listener, await furnish(api))
    async with api.pool.acquire() as db, db.transaction():
        # What two merges at the same moment can come to.
        b = await db.fetchval("SELECT id FROM artifact_listing WHERE slug = 'parser'")
        a = await db.fetchval("SELECT id FROM artifact_listing WHERE slug = 'other'")
        await db.execute("UPDATE artifact_listing SET leads_to = $1 WHERE id = $2", a, b)
        await db.execute("UPDATE artifact_listing SET leads_to = $1 WHERE id = $2", b, a)
    assert await api.ask('{ artifact(slug: "parser") { slug } }') == {"artifact": None}


async def test_amounts_are_exact_and_without_exponent(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    amounts = {
        "a": "0.00000025",
        "b": "1e-18",
        "c": "999999999.999999999999999999",
        "d": "10.50",
        "e": "0",
        "f": "1E+3",
    }
    for provider, amount in amounts.items():
        answer = await call(
            api,
            "observePrice",
            slug="parser",
            price={**PRICE, "provider": provider, "amount": amount},
        )
        assert answer["__typename"] == "PriceObserved"
    data = await fresh(
        api, '{ artifact(slug: "parser") { prices { provider amount perMillion display } } }'
    )
    found = {price["provider"]: price for price in data["artifact"]["prices"]}
    assert {provider: price["amount"] for provider, price in found.items()} == {
        "a": "0.00000025",
        "b": "0.000000000000000001",
        "c": "999999999.999999999999999999",
        "d": "10.5",
        "e": "0",
        "f": "1000",
    }
    assert {provider: price["perMillion"] for provider, price in found.items()} == {
        "a": "0.25",
        "b": "0.000000000001",
        "c": "999999999999999.999999999999",
        "d": "10500000",
        "e": "0",
        "f": "1000000000",
    }
    assert found["a"]["display"] == "USD 0.25 per 1M input tokens from a, seen 2026-01-01"


async def test_absent_unknown_free_and_zero_are_answered_apart(api: Api) -> None:
    bare = {"amount": None, "currency": None, "per": None}
    prices: dict[str, list[dict[str, Any]]] = {
        "absent": [],
        "unknown": [{**PRICE, **bare, "pricing": "UNKNOWN"}],
        "free": [{**PRICE, **bare, "pricing": "FREE"}],
        "zero": [{**PRICE, "amount": "0"}],
    }
    await call(
        api,
        "importArtifacts",
        artifacts=[{**ARTIFACT, "slug": slug, "prices": said} for slug, said in prices.items()],
    )
    data = await fresh(
        api,
        "{ artifacts { nodes { slug pricing prices { amount }"
        " startingPrice { pricing amount } } } }",
    )
    found = {one["slug"]: one for one in data["artifacts"]["nodes"]}
    assert [found[slug]["pricing"] for slug in prices] == [None, "UNKNOWN", "FREE", "PAID"]
    assert [found[slug]["prices"] for slug in prices] == [
        [],
        [{"amount": None}],
        [{"amount": None}],
        [{"amount": "0"}],
    ]
    assert [found[slug]["startingPrice"] for slug in prices] == [
        None,
        None,
        {"pricing": "FREE", "amount": None},
        None,
    ]


async def test_every_price_ever_seen_is_in_the_history_oldest_first(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    for amount, at in (("3", "2026-03-01"), ("2", "2026-04-01")):
        price = {**PRICE, "amount": amount, "observedAt": f"{at}T00:00:00Z"}
        await call(api, "observePrice", slug="parser", price=price)
    older = {**PRICE, "tier": "batch", "observedAt": "2026-02-01T00:00:00Z"}
    await call(api, "observePrice", slug="parser", price=older)
    await call(api, "withdrawPrice", slug="parser", price=LINE, observedAt="2026-05-01T00:00:00Z")
    head = await api.store.head()
    found, after = [], None
    while True:
        query = f"""query ($after: String) @atLeast(position: "{head}") {{
          artifact(slug: "parser") {{ priceHistory(first: 2, after: $after) {{
            nodes {{ observedAt tier position price {{ amount }} }}
            pageInfo {{ hasNextPage endCursor }} }} }} }}"""
        page = (await api.ask(query, after=after))["artifact"]["priceHistory"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [(one["observedAt"][:10], one["price"]) for one in found] == [
        ("2026-02-01", {"amount": "0.00000025"}),
        ("2026-03-01", {"amount": "3"}),
        ("2026-04-01", {"amount": "2"}),
        ("2026-05-01", None),
    ]
    assert [one["position"] for one in found] == ["4", "2", "3", "5"]
    current = await api.ask('{ artifact(slug: "parser") { prices { tier } } }')
    assert current["artifact"]["prices"] == [{"tier": "batch"}]


async def test_every_signal_is_shown_as_its_source_last_did(api: Api) -> None:
    await furnish(api)
    big = {**SIGNAL, "value": "999999999999999", "source": "npm"}
    await call(api, "observeSignal", slug="parser", signal=big)
    data = await fresh(
        api, '{ artifact(slug: "parser") { signals { name value source method observedAt } } }'
    )
    assert data["artifact"]["signals"] == [
        {
            "name": "STARS",
            "value": value,
            "source": source,
            "method": "OBSERVED",
            "observedAt": at.replace("Z", "+00:00"),
        }
        for value, source, at in (
            ("7", "github", LATER),
            ("999999999999999", "npm", SIGNAL["observedAt"]),
        )
    ]


async def test_a_capability_says_all_that_is_claimed_of_it(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    said: dict[str, Any] = {
        **{name: name for name in ("key", "name", "description", "unique")},
        "versusAlternatives": "v",
        **{name: [name, "b"] for name in ("intents", "bestFor", "limitations", "requires", "tags")},
        "inputTypes": ["THREE_D"],
        "outputTypes": ["TEXT", "TABLE"],
    }
    await call(
        api,
        "addCapability",
        slug="parser",
        capability={**said, "provenance": CAPABILITY["provenance"]},
    )
    names = " ".join(said)
    data = await fresh(
        api,
        f"""{{ artifact(slug: "parser") {{
          capabilities {{ nodes {{ {names} provenance {{ method }} }} }} }} }}""",
    )
    assert data["artifact"]["capabilities"]["nodes"] == [
        {**said, "provenance": {"method": "DECLARED"}}
    ]


async def test_a_retired_capability_is_gone_and_comes_back_in_its_place(api: Api) -> None:
    await furnish(api)
    await call(api, "addCapability", slug="parser", capability={**CAPABILITY, "key": "second"})
    await call(api, "retireCapability", slug="parser", key="parse-tables")
    shown = '{ artifact(slug: "parser") { capabilityCount capabilities { nodes { key } } } }'
    data = await fresh(api, shown)
    assert data["artifact"] == {
        "capabilityCount": 1,
        "capabilities": {"nodes": [{"key": "second"}]},
    }
    await call(api, "reviseCapability", slug="parser", capability=CAPABILITY)
    data = await fresh(api, shown)
    keys = [one["key"] for one in data["artifact"]["capabilities"]["nodes"]]
    assert keys == ["parse-tables", "second"]


# By global id


def global_id(said: str) -> str:
    return base64.b64encode(said.encode()).decode()


@pytest.fixture
async def furnished(url: str, servers: Servers) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url) as api:
        await furnish(api)
        yield api


async def test_every_node_is_found_by_its_global_id(furnished: Api) -> None:
    data = await fresh(
        furnished, '{ artifact(slug: "parser") { id capabilities { nodes { id } } } }'
    )
    artifact = data["artifact"]["id"]
    capability = data["artifact"]["capabilities"]["nodes"][0]["id"]
    query = """query ($id: ID!) { node(id: $id) {
      __typename id ... on Artifact { slug } ... on Capability { key } } }"""
    assert (await furnished.ask(query, id=artifact))["node"] == {
        "__typename": "Artifact",
        "id": artifact,
        "slug": "parser",
    }
    assert (await furnished.ask(query, id=capability))["node"] == {
        "__typename": "Capability",
        "id": capability,
        "key": "parse-tables",
    }


async def test_an_id_of_nothing_is_null_and_leaves_its_neighbours_alone(furnished: Api) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    data = await furnished.ask(
        "query ($a: ID!, $b: ID!) { a: node(id: $a) { id } b: node(id: $b) { id }"
        ' c: artifact(slug: "nothing") { slug } position { head } }',
        a=global_id(f"Artifact:{nobody}"),
        b=global_id(f"Capability:{nobody}/parse-tables"),
    )
    assert data == {"a": None, "b": None, "c": None, "position": {"head": "15"}}


NO_IDS: list[str] = [
    "",
    "x",
    "garbage!",
    "ä",
    "\ud800",
    "\0",
    "a" * 501,
    global_id("Artifact:nonsense"),
    global_id("Artifact:"),
    global_id("Artifact"),
    global_id("Price:00000000-0000-0000-0000-000000000000"),
    global_id("Query:1"),
    global_id("Capability:00000000-0000-0000-0000-000000000000"),
    global_id("Capability:x/y"),
    global_id("Capability:00000000-0000-0000-0000-000000000000/\0"),
    base64.b64encode(b"\xff\xfe:\xff").decode(),
]


async def test_what_this_schema_gave_nobody_is_no_id(furnished: Api) -> None:
    for id in NO_IDS:
        assert await furnished.code("query ($id: ID!) { node(id: $id) { id } }", id=id) == (
            "BAD_USER_INPUT"
        )


# Pages


def cursor(*key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


ORDERS = ("SLUG", "NEWEST_RELEASE", "NEWEST_REGISTRATION")
PAGE = """query ($order: ArtifactOrder!, $first: Int!, $after: String, $filter: ArtifactFilter) {
  artifacts(orderBy: $order, first: $first, after: $after, filter: $filter) {
    totalCount edges { cursor node { slug } } nodes { slug }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture
async def many(url: str, servers: Servers) -> AsyncIterator[Api]:
    """25 artifacts, of which some were released on one day and some on none that is known."""
    days = [None, "2026-01-01", "2026-01-02", "2026-01-01", None]
    artifacts = [
        {
            **ARTIFACT,
            "slug": f"{(n * 7) % 25:02}-parser",
            "facts": {"name": f"n{n}", "released": days[n % 5]},
        }
        for n in range(25)
    ]
    async with serving(url, servers.redis_url) as api:
        await call(api, "importArtifacts", artifacts=artifacts)
        await api.ask('query @atLeast(position: "25") { position { head } }')
        yield api


async def test_all_pages_of_every_order_are_the_whole_list(many: Api) -> None:
    lists = []
    for order in ORDERS:
        whole = await many.ask(PAGE, order=order, first=100)
        slugs = [edge["node"]["slug"] for edge in whole["artifacts"]["edges"]]
        assert len(set(slugs)) == 25
        lists.append(slugs)
        for first in (1, 4, 24, 25):
            found: list[str] = []
            after = None
            while True:
                page = (await many.ask(PAGE, order=order, first=first, after=after))["artifacts"]
                found += [edge["node"]["slug"] for edge in page["edges"]]
                assert [edge["node"] for edge in page["edges"]] == page["nodes"]
                info = page["pageInfo"]
                assert info["startCursor"] == page["edges"][0]["cursor"]
                assert info["hasPreviousPage"] == (after is not None)
                assert page["totalCount"] == 25
                after = info["endCursor"]
                if not info["hasNextPage"]:
                    break
            assert found == slugs, (order, first)
        past = await many.ask(PAGE, order=order, first=5, after=after)
        assert past["artifacts"]["nodes"] == []
    assert lists[0] == sorted(lists[0])
    assert lists[0] != lists[1] != lists[2] != lists[0]


NO_SIZES: list[int] = [0, -1, 101, 2**31 - 1]


async def test_a_page_holds_1_to_100(many: Api) -> None:
    for first in NO_SIZES:
        for query in (
            PAGE,
            *(
                f'query ($first: Int!) {{ artifact(slug: "00-parser") {{ {field} }} }}'
                for field in (
                    "capabilities(first: $first) { nodes { key } }",
                    "priceHistory(first: $first) { nodes { tier } }",
                )
            ),
        ):
            variables = {"order": "SLUG"} if query is PAGE else {}
            error = await many.error(query, first=first, **variables)
            assert error["extensions"]["code"] == "BAD_USER_INPUT"
            assert "1 to 100" in error["message"]


async def test_a_cursor_is_good_for_its_own_list_only(many: Api) -> None:
    cursors = {}
    for order in ORDERS:
        page = await many.ask(PAGE, order=order, first=3)
        cursors[order] = page["artifacts"]["pageInfo"]["endCursor"]
    for order in ORDERS:
        for other in ORDERS:
            if order != other:
                error = await many.error(PAGE, order=order, first=3, after=cursors[other])
                assert error["extensions"]["code"] == "BAD_USER_INPUT"
                assert "`orderBy`" in error["message"]


GARBAGE = [
    "",
    "x",
    "====",
    "ä",
    "\0",
    "\ud800",
    "x" * 10_000,
    cursor(),
    cursor("slug"),
    cursor("slug", 5),
    cursor("slug", "a\0"),
    cursor("slug", "\ud800"),
    cursor("slug", "a", "b"),
    cursor({"a": 1}),
    cursor("newest_release", "2026-13-01", "a"),
    cursor("newest_release", None, "\0"),
    cursor("newest_registration", -1),
    cursor("newest_registration", 2**63),
    cursor([[]]),
    cursor("newest_registration", True),
    cursor("newest_registration", 10**40),
    cursor("capability", 2**63),
    cursor("capability", -1),
    cursor("capability", "1"),
    cursor("price_history", "0001-01-01T00:00:00+14:00", 1),
    cursor("price_history", "2026-01-01T00:00:00", 1),
    cursor("price_history", "9999-12-31T23:59:59-14:00", 1),
    cursor("price_history", "2026-01-01T00:00:00Z", 2**63),
    base64.urlsafe_b64encode(b"[" * 50_000).decode(),
]


async def test_garbage_is_no_cursor(many: Api) -> None:
    for garbage in GARBAGE:
        for order in ORDERS:
            assert await many.code(PAGE, order=order, first=3, after=garbage) == "BAD_USER_INPUT", (
                garbage
            )
        for field in (
            "capabilities(after: $after) { nodes { key } }",
            "priceHistory(after: $after) { nodes { tier } }",
        ):
            query = f'query ($after: String) {{ artifact(slug: "00-parser") {{ {field} }} }}'
            assert await many.code(query, after=garbage) == "BAD_USER_INPUT", (garbage, field)


async def test_capabilities_have_pages_of_their_own(api: Api) -> None:
    can = [{**CAPABILITY, "key": f"can-{n:02}", "provenance": None} for n in reversed(range(23))]
    await call(api, "importArtifacts", artifacts=[{**ARTIFACT, "capabilities": can}])
    found: list[str] = []
    after = None
    head = await api.store.head()
    while True:
        page = await api.ask(
            f'query ($after: String) @atLeast(position: "{head}") {{ artifact(slug: "parser") {{'
            " capabilities(first: 10, after: $after) { nodes { key } edges { cursor }"
            " pageInfo { hasNextPage endCursor } } } }",
            after=after,
        )
        connection = page["artifact"]["capabilities"]
        found += [node["key"] for node in connection["nodes"]]
        after = connection["pageInfo"]["endCursor"]
        if not connection["pageInfo"]["hasNextPage"]:
            break
    assert found == [one["key"] for one in can], "in the order in which they were claimed"


# Filters


async def test_a_filter_means_what_it_says(api: Api) -> None:
    bare = {"amount": None, "currency": None, "per": None}
    said: list[dict[str, Any]] = [
        {"slug": "a", "kind": "MODEL", "facts": {**FACTS, "name": "Alpha"}},
        {
            "slug": "b",
            "kind": "CLI",
            "facts": {"name": "Beta", "openWeights": True, "vendor": "bolt"},
        },
        {
            "slug": "c",
            "kind": "MODEL",
            "facts": {"name": "ALPHABET", "contextTokens": 10},
            "prices": [PRICE],
            "capabilities": [CAPABILITY],
        },
        {
            "slug": "d",
            "kind": "CLI",
            "facts": {"name": "Delta", "released": "2026-02-01"},
            "prices": [{**PRICE, **bare, "pricing": "FREE", "provider": "bolt"}],
            "capabilities": [CAPABILITY, {**CAPABILITY, "key": "second"}],
        },
        {"slug": "e", "kind": "MODEL", "facts": {"name": "Gone"}},
    ]
    await call(api, "importArtifacts", artifacts=[{**ARTIFACT, **one} for one in said])
    await call(api, "retireArtifact", slug="e", reason="superseded")
    head = await api.store.head()
    await api.ask(f'query @atLeast(position: "{head}") {{ position {{ head }} }}')
    for meant, slugs in [
        ({}, "abcd"),
        ({"kinds": ["MODEL"]}, "ac"),
        ({"kinds": []}, ""),
        ({"kinds": ["MODEL", "CLI"], "vendors": ["acme"]}, "a"),
        ({"statuses": ["RETIRED"]}, "e"),
        ({"statuses": ["RETIRED", "ACTIVE"]}, "abcde"),
        ({"statuses": []}, ""),
        ({"families": ["readers"]}, "a"),
        ({"licences": ["MIT", "x"]}, "a"),
        ({"openWeights": True}, "b"),
        ({"openWeights": False}, "a"),
        ({"selfHostable": True}, "a"),
        ({"pricing": ["FREE"]}, "d"),
        ({"pricing": ["FREE", "PAID"]}, "cd"),
        ({"providers": ["bolt"]}, "d"),
        ({"capabilities": ["parse-tables"]}, "cd"),
        ({"capabilities": ["parse-tables", "second"]}, "d"),
        ({"inputTypes": ["PDF"]}, "a"),
        ({"inputTypes": ["PDF", "IMAGE"]}, ""),
        ({"outputTypes": []}, "a"),
        ({"minContextTokens": 11}, "a"),
        ({"minContextTokens": 10}, "ac"),
        ({"minContextTokens": 2**63 - 1}, ""),
        ({"releasedSince": "2026-01-01"}, "ad"),
        ({"releasedSince": "2026-01-02"}, "d"),
        ({"nameContains": "alpha"}, "ac"),
        ({"nameContains": "%"}, ""),
        ({"nameContains": ""}, "abcd"),
        ({"vendors": ["'; DROP TABLE event; --"]}, ""),
    ]:
        found = (await api.ask(PAGE, order="SLUG", first=100, filter=meant))["artifacts"]
        assert "".join(node["slug"] for node in found["nodes"]) == slugs, meant
        assert found["totalCount"] == len(slugs), meant


NO_FILTERS: list[dict[str, Any]] = [
    {"vendors": ["\0"]},
    {"nameContains": "\ud800"},
    {"nameContains": "x" * 201},
    {"vendors": ["x"] * 251},
    {"capabilities": ["x"] * 21},
    {"licences": ["x" * 10_001]},
    {"minContextTokens": 2**63},
    {"minContextTokens": "5"},
    {"releasedSince": "yesterday"},
]


async def test_a_filter_that_makes_no_sense_says_so(still: Api) -> None:
    for meant in NO_FILTERS:
        assert await still.code(PAGE, order="SLUG", first=1, filter=meant) == "BAD_USER_INPUT"
