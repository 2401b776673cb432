"""What is refused before it is executed, by which code, and what everything costs."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.eventstore.connection import connect
from matchgraph.graphql.cost import (
    AS_OF,
    CHANGE,
    FROM_THE_PAST,
    OBJECTS_PER_POINT,
    SIZES,
    SUBSCRIPTION,
    SURCHARGES,
)
from matchgraph.graphql.limits import (
    CODES,
    MOST_ERRORS,
    MOST_POINTS,
    MOST_PRICES,
    Limited,
    Prices,
    check,
)
from matchgraph.graphql.scalars import BadInput
from matchgraph.graphql.schema import build
from matchgraph.servers import Servers
from tests.graphql.client import JSON, Api
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import served

SCHEMA = build()._schema
DOCS = Path(__file__).parents[2] / "docs"
LIMITS = (DOCS / "limits.md").read_text()
INTROSPECTION = get_introspection_query(
    descriptions=True,
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)


def cost(query: str, name: str | None = None, **variables: Any) -> int:
    return check(SCHEMA, parse(query), name, variables)


def repeated(text: str, times: int) -> str:
    """The text so many times, with a number wherever it has `#`."""
    return " ".join(text.replace("#", str(i)) for i in range(times))


def chain(times: int, each: str, last: str, on: str = "Query") -> str:
    """Fragments F0, F1 and so on, of which each has the next one in it wherever it says `>`."""
    return " ".join(
        f"fragment F{i} on {on} {{ {each.replace('>', f'...F{i + 1}')} }}" for i in range(times)
    ) + (f" fragment F{times} on {on} {{ {last} }}")


def nested(depth: int, start: str = "artifact(slug: 'a')") -> str:
    inside = "slug"
    for _ in range((depth - 2) // 2):
        inside = f"alternatives(first: 1) {{ artifact {{ {inside} }} }}"
    return f"{{ {start} {{ {inside} }} }}".replace("'", '"')


# Documents that one wants refused, and by which code.
REFUSED: list[tuple[str, str, str]] = [
    ("deep", nested(17), "TOO_DEEP"),
    ("deeper than the parser goes", "{a" * 900 + "}" * 900, "TOO_DEEP"),
    ("deep in unknown fields", "{a" * 100 + "}" * 100, "TOO_DEEP"),
    ("deep in inline fragments", "{" + "...{" * 150 + "__typename" + "}" * 151, "TOO_DEEP"),
    ("deep in fragments", "{ ...F0 }" + chain(150, ">", "__typename"), "TOO_DEEP"),
    ("deep in lists", "{ artifact(slug: " + "[" * 150 + "]" * 150 + ") { slug } }", "TOO_DEEP"),
    ("deep in types", "query ($a: " + "[" * 100 + "Int" + "]" * 100 + ") { node }", "TOO_DEEP"),
    ("aliases", "{" + repeated("a#: __typename", 31) + "}", "TOO_MANY_ALIASES"),
    (
        "aliases in a fragment",
        "{ "
        + repeated('a#: artifact(slug: "a") { ...F0 }', 6)
        + "}"
        + f" fragment F0 on Artifact {{ {repeated('b#: slug', 6)} }}",
        "TOO_MANY_ALIASES",
    ),
    ("a field again and again", "{" + repeated("position { head }", 400) + "}", "TOO_MANY_ALIASES"),
    (
        "the same in inline fragments",
        "{" + repeated("... { __typename }", 400) + "}",
        "TOO_MANY_ALIASES",
    ),
    ("a field 1,990 times", "{" + repeated("__typename", 1_990) + "}", "TOO_MANY_ALIASES"),
    (
        "directives",
        "{ __typename " + repeated("@include(if: true)", 51) + "}",
        "TOO_MANY_DIRECTIVES",
    ),
    ("operations", repeated("query Q# { __typename }", 11), "TOO_MANY_OPERATIONS"),
    ("tokens", "{" + repeated("position { head }", 600) + "}", "TOO_MANY_TOKENS"),
    ("characters", "{ " + " " * 100_000 + "__typename }", "TOO_MANY_TOKENS"),
    ("one long name", "{" + "a" * 900_000 + "}", "TOO_MANY_TOKENS"),
    ("comments", "#\n" * 300_000 + "{ __typename }", "TOO_MANY_TOKENS"),
    ("fragments that double", "{ ...F0 }" + chain(25, "> >", "__typename"), "TOO_MANY_NODES"),
    ("the same, more of them", "{ ...F0 }" + chain(50, "> >", "__typename"), "TOO_MANY_NODES"),
    (
        "fragments that all name each other",
        "{ ...F0 }"
        + " ".join(f"fragment F{i} on Query {{ {repeated('...F#', 28)} }}" for i in range(28)),
        "TOO_MANY_NODES",
    ),
    (
        "fields that double",
        '{ artifact(slug: "a") { ...F0 } }'
        + chain(5, "a: startingPrice { amount } ... { > } ... { > }", "slug", on="Artifact")
        + "",
        "TOO_MANY_ALIASES",
    ),
    (
        "pages within pages",
        "{ artifacts(first: 100) { nodes { history(first: 100) { nodes { artifact { id } } } } } }",
        "TOO_MANY_NODES",
    ),
    (
        "pages within pages, by variables",
        "query ($n: Int! = 100) { artifacts(first: $n) { nodes { capabilities(first: $n) { edges {"
        " node { provenance { source } } } } } } }",
        "TOO_MANY_NODES",
    ),
    (
        "searches within a page",
        "{ artifacts(first: 100) { nodes { alternatives(first: 1) { comparison { verdict {"
        " outcome } } } a: alternatives(first: 1) { score } b: alternatives(first: 1) { score }"
        " c: alternatives(first: 1) { score } d: alternatives(first: 1) { score } } } }",
        "TOO_COSTLY",
    ),
]


async def asked(api: Api, query: str) -> httpx.Response:
    async with asyncio.timeout(10):
        return await api.http.post("/graphql", content=json.dumps({"query": query}), headers=JSON)


async def test_what_asks_for_too_much_is_refused_by_its_code(still: Api) -> None:
    for name, query, code in REFUSED:
        response = await asked(still, query)
        assert response.status_code == 400, (name, response.text[:1_000])
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == code, (name, error)
        assert len(error["message"]) < 500, name
        assert not response.json().get("data")
        assert response.json()["extensions"]["cost"]["limit"] == MOST_POINTS


def test_every_limit_on_documents_is_tried() -> None:
    assert {code for _, _, code in REFUSED} == set(CODES)


@pytest.mark.parametrize(
    "query",
    [
        nested(15),
        "{" + repeated("a#: __typename", 30) + "}",
        "{ __typename " + repeated("@include(if: true)", 50) + "}",
        repeated("query Q# { __typename }", 10),
        "{ artifacts(first: 100) { nodes { capabilities(first: 49) { nodes { key } } } } }",
        INTROSPECTION,
    ],
)
def test_what_is_just_within_the_limits_is_answered(query: str) -> None:
    assert cost(query) <= MOST_POINTS


HEAVY = [
    "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "{" + repeated("artifac#", 1_900) + "}",
    repeated("fragment F# on Artifac# { a }", 240) + "{ a }",
    "query (" + repeated("$v#: Int", 480) + ") { __typename }",
    "{ artifacts(filter: { kinds: [" + repeated("MODE#", 250) + "] }) { __typename } }",
    repeated('fragment F# on Query { artifact(slug: "#") { rank { score } } }', 80)
    + "{"
    + repeated("...F#", 80)
    + "}",
]


async def test_hostile_documents_within_the_limits_fail_validation_soon(still: Api) -> None:
    for query in HEAVY:
        errors = (await asked(still, query)).json()["errors"]
        codes = {one["extensions"]["code"] for one in errors}
        assert codes <= {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}, errors[0]
        assert len(errors) <= MOST_ERRORS


# What it costs.


def test_an_operation_costs_at_least_a_point() -> None:
    assert cost("{ __typename }") == 1
    assert cost("mutation { __typename }") == 1


def test_a_page_costs_by_its_size_and_what_is_in_it() -> None:
    assert cost("{ artifacts(first: 9) { nodes { slug } } }") == 1 + 1
    assert cost("{ artifacts(first: 100) { nodes { slug } } }") == 1 + 11
    assert cost("{ artifacts { nodes { slug } } }") == 1 + 3, "20 is the default"
    assert cost("{ artifacts(first: 99) { nodes { slug rank { score } } } }") == 1 + 20
    assert cost("query ($n: Int!) { artifacts(first: $n) { nodes { slug } } }", n=49) == 1 + 5
    assert cost("query ($n: Int! = 49) { artifacts(first: $n) { nodes { slug } } }") == 1 + 5


@pytest.mark.parametrize("first", [-1, 0, 10**9, None, "x"])
def test_a_page_of_a_size_that_there_is_none_of_has_a_cost_all_the_same(first: object) -> None:
    query = "query ($n: Int!) { artifacts(first: $n) { nodes { slug } } }"
    assert 1 < cost(query, n=first) <= 12


def test_fragments_cost_what_they_stand_for() -> None:
    plain = "{ artifacts(first: 49) { nodes { slug rank { score } } } }"
    spread = (
        "{ artifacts(first: 49) { ...Page } } fragment Page on ArtifactConnection { nodes {"
        " ...Card } } fragment Card on Artifact { slug ... on Artifact { rank { score } } }"
    )
    assert cost(spread) == cost(plain) == 1 + 10


def test_a_list_that_is_given_counts_by_its_length() -> None:
    query = "query ($s: [String!]!) { compare(slugs: $s) { artifacts { rank { score } } } }"
    two, five = (cost(query, s=["a"] * count) for count in (2, 5))
    assert (two, five) == (1 + 11, 1 + 12)
    taken = "mutation ($a: [ArtifactInput!]!) { importArtifacts(artifacts: $a) { __typename } }"
    assert cost(taken, a=[{}] * 250) - cost(taken, a=[{}]) == 249


def test_what_is_as_of_then_costs_twice() -> None:
    now = cost("{ artifacts(first: 99) { nodes { slug } } }")
    then = cost('{ artifacts(first: 99, asOf: { position: "1" }) { nodes { slug } } }')
    assert then - 1 == AS_OF * (now - 1)


def test_a_subscription_costs_a_change_and_more_from_the_past() -> None:
    live = cost("subscription { rankChanged { slug } }")
    assert live == 1 + SUBSCRIPTION + 1
    assert cost('subscription { rankChanged(after: "1") { slug } }') == live + FROM_THE_PAST


def test_every_surcharge_and_size_is_of_a_field_that_there_is() -> None:
    for coordinate in (*SURCHARGES, *SIZES):
        kind, field = coordinate.split(".")
        found = SCHEMA.get_type(kind)
        assert found is not None, coordinate
        assert field in found.fields, coordinate  # type: ignore[attr-defined]


def test_the_documentation_has_every_figure() -> None:
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([\d.]+) \|", LIMITS, re.MULTILINE))
    shown = {name: float(figure) for name, figure in rows.items()}
    sizes = {name: size for name, size in SIZES.items() if not name.startswith("__")}
    assert shown == {
        **{f"{name}": float(n) for name, n in sizes.items()},
        **{name: float(n) for name, n in SURCHARGES.items() if name not in sizes},
    }
    for figure in (CHANGE, SUBSCRIPTION, FROM_THE_PAST, OBJECTS_PER_POINT):
        assert re.search(rf"\b{figure}\b", LIMITS)


def test_what_a_frontend_asks_for_costs_what_the_documentation_says() -> None:
    examples = re.findall(r"```graphql\n# (\d+) points?: .*?\n(.*?)```", LIMITS, re.DOTALL)
    assert len(examples) >= 4
    for points, query in examples:
        assert cost(query) == int(points), query


def test_every_document_that_we_show_is_well_within_the_limits() -> None:
    shown = [
        (file.name, query)
        for file in (DOCS.parent / "README.md", *DOCS.glob("*.md"))
        for query in re.findall(r"```graphql\n(.*?)```", file.read_text(), re.DOTALL)
    ]
    assert len(shown) >= 7
    for name, query in shown:
        for one in parse(query).definitions:
            assert isinstance(one, OperationDefinitionNode)
            asked = one.loc.source.body[one.loc.start : one.loc.end] if one.loc else ""
            assert cost(asked) <= 100, name


async def test_an_answer_says_what_it_cost(still: Api) -> None:
    answer = await still.answer("{ artifacts(first: 9) { nodes { slug } } }")
    assert answer["extensions"]["cost"] == {"requested": 2, "limit": MOST_POINTS}


# Inputs, errors, time.


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("query ($s: String!) { artifact(slug: $s) { slug } }", {"s": "x" * 10_001}),
        ("query ($s: [String!]!) { compare(slugs: $s) { position } }", {"s": ["a"] * 251}),
        ("query ($n: Need!) { search(need: $n) { found } }", {"n": {"text": "a\0"}}),
        ("query ($n: Need!) { search(need: $n) { found } }", {"n": {"like": ["a"] * 251}}),
        ('{ artifact(slug: "a\\u0000") { slug } }', {}),
        ("{ compare(slugs: [" + '"a" ' * 251 + "]) { position } }", {}),
        (
            "mutation ($a: [ArtifactInput!]!) { importArtifacts(artifacts: $a) { __typename } }",
            {"a": [{}] * 251},
        ),
    ],
)
def test_no_input_is_beyond_measure(query: str, said: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        cost(query, **said)


def test_input_that_is_nested_without_end_is_refused() -> None:
    said: Any = "a"
    for _ in range(100):
        said = [said]
    with pytest.raises(Limited) as refused:
        cost("query ($s: [String!]!) { compare(slugs: $s) { position } }", s=said)
    assert refused.value.code == "TOO_DEEP"


async def test_an_answer_has_a_hundred_errors_at_most(api: Api, url: str) -> None:
    many = [{**ARTIFACT, "slug": f"one-{i}"} for i in range(60)]
    position = (await call(api, "importArtifacts", artifacts=many))["position"]
    await api.ask(f'query @atLeast(position: "{position}") {{ position {{ head }} }}')
    db = await connect(url, "test")
    await db.execute("DROP TABLE rank_board CASCADE")
    await db.close()
    page = "artifacts(first: 60) { nodes { rank { score } } }"
    answer = await api.answer(f"{{ a: {page} b: {page} }}")
    assert len(answer["errors"]) == MOST_ERRORS
    assert {one["extensions"]["code"] for one in answer["errors"]} == {"INTERNAL"}
    assert len(answer["data"]["b"]["nodes"]) == 60, "what could be answered is"


RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'matchgraph queries' AND wait_event_type = 'Lock'"
)
LOCKED = '{ artifact(slug: "parser") { slug signals { value } } }'


async def test_an_execution_ends_when_its_time_is_up_and_so_does_its_statement(
    url: str, servers: Servers
) -> None:
    async with served(url, servers.redis_url, project=False, patience=0.5) as live:
        await call(live, "registerArtifact", **ARTIFACT)
        db = await connect(url, "test")
        async with db.transaction():
            await db.execute("LOCK TABLE artifact_listing IN ACCESS EXCLUSIVE MODE")
            said = json.dumps({"query": LOCKED})
            # Long before PostgreSQL would give the statement up by itself.
            async with asyncio.timeout(4):
                response = await live.http.post("/graphql", content=said, headers=JSON)
            assert response.status_code == 503
            (error,) = response.json()["errors"]
            assert error["extensions"]["code"] == "TIMEOUT"
            assert await db.fetchval(RUNNING) == 0
            async with live.socket() as socket, asyncio.timeout(4):
                await socket.subscribe(LOCKED)
                assert (await socket.error())["extensions"]["code"] == "TIMEOUT"
            assert await db.fetchval(RUNNING) == 0
        assert (await live.answer(LOCKED))["data"] == {"artifact": None}, "and all is well again"
        await db.close()


async def test_no_statement_of_a_query_takes_longer_than_five_seconds(still: Api) -> None:
    for pool in (still.pool, still.app.state.past):
        assert await pool.fetchval("SHOW statement_timeout") == "5s"


async def test_introspection_is_refused_to_anonymous_callers_in_production(
    url: str, servers: Servers
) -> None:
    async with served(url, servers.redis_url, project=False, development=False) as live:
        said = json.dumps({"query": INTROSPECTION})
        stream = {**JSON, "accept": "text/event-stream"}
        answers = [
            (await live.http.post("/graphql", content=said, headers=JSON)).text,
            (await live.http.get("/graphql", params={"query": INTROSPECTION})).text,
            (await live.http.post("/graphql", content=said, headers=stream)).text,
        ]
        async with live.socket() as socket:
            await socket.subscribe(INTROSPECTION)
            answers.append(json.dumps(await socket.next()))
    for answer in answers:
        assert "GRAPHQL_VALIDATION_FAILED" in answer
        assert "queryType" not in answer.replace("'queryType'", "") or "introspection" in answer
        assert "ArtifactKind" not in answer


SIZED = """query One($first: Int, $slugs: [String!], $asOf: AsOf, $at: Boolean!) {
  artifacts(first: $first, asOf: $asOf) { nodes { capabilities(first: $first) { nodes { key } } } }
  compare(slugs: $slugs) { rows { name } } ...more @include(if: $at)
}
query Two($first: Int = 7) { ...more }
fragment more on Query { rankBoard(first: $first) { nodes { slug } } }"""
VALUES = st.one_of(
    st.none(),
    st.integers(-2, 300),
    st.booleans(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.lists(st.text(max_size=2), max_size=5),
    st.dictionaries(st.sampled_from(["position", "time"]), st.text(max_size=2)),
)


@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["One", "Two", None]),
            st.dictionaries(st.sampled_from(["first", "slugs", "asOf", "at", "other"]), VALUES),
        ),
        min_size=2,
        max_size=100,
    )
)
def test_what_is_remembered_of_prices_is_what_would_be_found_again(
    asked: list[tuple[str | None, dict[str, Any]]],
) -> None:
    document = parse(SIZED)
    prices: Prices = {}

    def found(name: str | None, variables: dict[str, Any], *known: Prices) -> int | str:
        try:
            return check(SCHEMA, document, name, variables, *known)
        except (Limited, BadInput) as reason:
            return str(reason)

    for name, variables in asked:
        assert found(name, variables, prices) == found(name, variables)
    assert len(prices) <= MOST_PRICES
