"""Whatever has an id is found again by it, and nothing else is."""

from base64 import b64decode, b64encode
from typing import Any

from graphql import GraphQLInterfaceType, GraphQLObjectType

from matchgraph.graphql.nodes import NODES
from matchgraph.graphql.schema import build
from tests.graphql.client import Api
from tests.graphql.mutations import ARTIFACT, CAPABILITY, call

NODE = "query ($id: ID!) { node(id: $id) { __typename id } position { head } }"


def id_of(said: str | bytes) -> str:
    return b64encode(said.encode() if isinstance(said, str) else said).decode()


async def known(api: Api) -> dict[str, str]:
    """The id of one of each type."""
    await call(api, "registerArtifact", **ARTIFACT)
    await call(api, "addCapability", slug="parser", capability=CAPABILITY)
    query = f'query @atLeast(position: "{await api.store.head()}")'
    fields = '{ artifact(slug: "parser") { id capabilities { nodes { id } } } }'
    found = (await api.ask(query + fields))["artifact"]
    return {"Artifact": found["id"], "Capability": found["capabilities"]["nodes"][0]["id"]}


async def test_every_node_is_found_by_its_id(api: Api) -> None:
    schema = build()._schema
    node = schema.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    types = {one.name for one in schema.get_possible_types(node)}
    ids = await known(api)
    assert set(ids) == types == set(NODES)
    for name, id in ids.items():
        found = await api.ask(NODE, id=id)
        assert found["node"] == {"__typename": name, "id": id}


def test_whatever_has_a_global_id_is_a_node() -> None:
    for name, kind in build()._schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and "id" in kind.fields:
            is_global = str(kind.fields["id"].type) == "ID!"
            assert is_global is ("Node" in [one.name for one in kind.interfaces]), name


NOBODYS = [
    "Artifact:00000000-0000-0000-0000-000000000000",
    "Capability:00000000-0000-0000-0000-000000000000/parse-tables",
]
MALFORMED: list[str] = [
    "",
    "x",
    "====",
    "é",
    "\0",
    "\ud800",
    "A" * 501,
    "A" * 500_000,
    id_of("nothing"),
    id_of(":"),
    id_of("Artifact"),
    id_of("Artifact:"),
    id_of("Artifact:5"),
    id_of("Artifact:parser"),
    id_of("Artifact:\0"),
    id_of(b"Artifact:\xff"),
    id_of("Price:00000000-0000-0000-0000-000000000000"),
    id_of("Query:00000000-0000-0000-0000-000000000000"),
    id_of("artifact:00000000-0000-0000-0000-000000000000"),
    id_of("Capability:00000000-0000-0000-0000-000000000000"),
    id_of("Capability:00000000-0000-0000-0000-000000000000/" + "x" * 201),
    id_of("Capability:x/parse-tables"),
]


async def node(api: Api, id: str) -> tuple[Any, str | None]:
    """What is found, and the code of the error; all else that was asked is answered."""
    answer = await api.answer(NODE, id=id)
    if "data" not in answer:  # what no argument may be is refused before anything is executed
        return None, answer["errors"][0]["extensions"]["code"]
    assert answer["data"]["position"]["head"].isdigit()
    code = answer["errors"][0]["extensions"]["code"] if "errors" in answer else None
    return answer["data"]["node"], code


async def test_an_id_of_nothing_is_null(api: Api) -> None:
    ids = await known(api)
    assert await node(api, ids["Artifact"]) != (None, None)
    for id in NOBODYS:
        assert await node(api, id_of(id)) == (None, None)


async def test_an_id_that_nobody_gave_out_is_told_so_beside_the_rest(api: Api) -> None:
    for id in MALFORMED:
        assert await node(api, id) == (None, "BAD_USER_INPUT"), id[:60]


async def test_an_id_is_of_the_type_it_says(api: Api) -> None:
    ids = await known(api)
    artifact = b64decode(ids["Artifact"]).decode().partition(":")[2]
    capability = b64decode(ids["Capability"]).decode().partition(":")[2]
    assert await node(api, id_of(f"Artifact:{capability}")) == (None, "BAD_USER_INPUT")
    assert await node(api, id_of(f"Capability:{artifact}")) == (None, "BAD_USER_INPUT")
