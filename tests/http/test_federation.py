"""The schema as a subgraph: a gateway composes it, and finds what others know by a key."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.graphql.federation import MOST_ENTITIES
from matchgraph.graphql.schema import build, sdl
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, CAPABILITY, call
from tests.http.node import run
from tests.projections.tables import BY

ENTITIES = """query ($them: [_Any!]!) { _entities(representations: $them) { __typename
  ... on Artifact { id slug } ... on Capability { id key } } position { head } }"""
SERVICE = "{ _service { sdl } }"


@pytest.fixture
async def gateway(url: str, servers: Servers) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url, federation=True) as api:
        await call(api, "registerArtifact", **ARTIFACT)
        await call(api, "addAlias", slug="parser", alias="reader")
        await call(api, "addCapability", slug="parser", capability=CAPABILITY)
        await api.ask('query @atLeast(position: "3") { position { head } }')
        yield api


async def test_it_composes_with_a_subgraph_that_knows_artifacts_by_a_key(tmp_path: Path) -> None:
    schema = tmp_path / "subgraph.graphql"
    schema.write_text(sdl(federation=True))
    code, out, err = await run("compose.mjs", str(schema))
    assert code == 0, err
    composed = json.loads(out)
    assert composed["entities"] == ["[_Entity]!", "[_Entity]!"]
    # Directives of operations are a gateway's own affair.
    (hint,) = composed["hints"]
    assert "@atLeast" in hint
    supergraph = composed["supergraph"]
    artifact = re.search(r"\ntype Artifact implements Node.*?\n}", supergraph, re.DOTALL)
    assert artifact
    for key in ("id", "slug"):
        assert f'@join__type(graph: MATCHGRAPH, key: "{key}")' in artifact[0]
    assert "reviews: [Review!]! @join__field(graph: REVIEWS)" in artifact[0]
    assert "mutation: Mutation" in supergraph


async def test_it_does_not_compose_with_one_that_says_otherwise(tmp_path: Path) -> None:
    schema = tmp_path / "subgraph.graphql"
    schema.write_text(sdl(federation=True))
    other = "type Query { rankBoard: Int } type Artifact { slug: Int }"
    code, _, err = await run("compose.mjs", str(schema), other)
    assert code == 1
    assert "Artifact.slug" in err


def test_by_default_the_schema_is_no_subgraph() -> None:
    query = build()._schema.query_type
    assert query is not None
    assert not {name for name in query.fields if name.startswith("_")}
    assert "@key" not in sdl()
    assert "_Entity" not in sdl()


def test_a_gateway_reads_all_that_is_served_and_nothing_of_what_it_adds() -> None:
    federated = sdl(federation=True)
    assert not re.search(r"\b_(Any|Entity|Service|service|entities)\b", federated)

    def definitions(schema: str) -> list[str]:
        return re.findall(r"^(?:type|input|enum|union|scalar|interface) \w+", schema, re.MULTILINE)

    assert definitions(federated) == definitions(sdl())


async def test_the_service_tells_what_a_gateway_reads(gateway: Api) -> None:
    assert (await gateway.ask(SERVICE))["_service"]["sdl"] + "\n" == sdl(federation=True)


def test_the_command_prints_what_a_gateway_reads() -> None:
    command = [sys.executable, "-m", "matchgraph", "schema", "--federation"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert printed.stdout == sdl(federation=True)


async def test_the_schema_is_told_to_whom_it_is_shown(url: str, servers: Servers) -> None:
    async with serving(url, servers.redis_url, development=False, federation=True) as api:
        assert await api.code(SERVICE) == "UNAUTHENTICATED"
        key = await issue(api.store, BY, "gateway", Role.CONTRIBUTOR)
        api.http.headers["authorization"] = f"Bearer {key.key}"
        assert "@key" in (await api.ask(SERVICE))["_service"]["sdl"]


async def test_entities_are_found_by_each_of_their_keys_in_the_order_asked(gateway: Api) -> None:
    by_slug = {"__typename": "Artifact", "slug": "parser"}
    (artifact,) = (await gateway.ask(ENTITIES, them=[by_slug]))["_entities"]
    fields = '{ artifact(slug: "parser") { capabilities { nodes { id } } } }'
    (capability,) = (await gateway.ask(fields))["artifact"]["capabilities"]["nodes"]
    them = [
        {"__typename": "Capability", "id": capability["id"]},
        {"__typename": "Artifact", "slug": "nothing"},
        {"__typename": "Artifact", "id": artifact["id"]},
        {"__typename": "Artifact", "slug": "reader"},
        by_slug,
    ]
    assert (await gateway.ask(ENTITIES, them=them))["_entities"] == [
        {"__typename": "Capability", "id": capability["id"], "key": "parse-tables"},
        None,
        *[{"__typename": "Artifact", "id": artifact["id"], "slug": "parser"}] * 3,
    ]


MISTAKEN: list[dict[str, Any]] = [
    {"__typename": "Artifact"},
    {"__typename": "Artifact", "slug": 5},
    {"__typename": "Artifact", "slug": "x" * 501},
    {"__typename": "Artifact", "id": "nonsense"},
    {"__typename": "Capability", "slug": "parser"},
    {"__typename": "Price", "id": "x"},
    {"__typename": "Query"},
]


async def test_a_mistaken_key_takes_no_others_answer_away(gateway: Api) -> None:
    by_slug = {"__typename": "Artifact", "slug": "parser"}
    id = (await gateway.ask(ENTITIES, them=[by_slug]))["_entities"][0]["id"]
    for wrong in (*MISTAKEN, {"__typename": "Capability", "id": id}):
        answer = await gateway.answer(ENTITIES, them=[by_slug, wrong, by_slug])
        first, nothing, last = answer["data"]["_entities"]
        assert (first["slug"], nothing, last["slug"]) == ("parser", None, "parser")
        (error,) = answer["errors"]
        assert error["path"] == ["_entities", 1]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_representations_are_objects_and_not_without_end(gateway: Api) -> None:
    nonsense: list[Any] = [[5], [[]], [{}], [{"__typename": 5}], ["x"], [None], None]
    for them in nonsense:
        assert await gateway.code(ENTITIES, them=them) == "BAD_USER_INPUT"
    many = [{"__typename": "Artifact", "slug": f"a{number}"} for number in range(MOST_ENTITIES)]
    assert (await gateway.ask(ENTITIES, them=many))["_entities"] == [None] * MOST_ENTITIES
    assert await gateway.code(ENTITIES, them=[*many, many[0]]) == "BAD_USER_INPUT"
