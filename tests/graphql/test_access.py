"""Each role may do what is declared at the field, and nobody more."""

from typing import Any

import pytest

from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request
from matchgraph.graphql.access import Needs
from matchgraph.graphql.schema import build
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, CALLS, MUTATIONS, document, furnish

BY = Request(actor="tester", request_id="test")
ANYBODY = {"reportOutcome"}
CURATORS = {"mergeArtifact", "unmergeArtifact", "tellApart", "addAlias", "removeAlias"}
OPERATORS = {"adoptPolicy", "calibrateRanks", "issueKey", "revokeKey"}
NAMES = {role.name for role in Role}


def declared(field: Any) -> list[Role]:
    extensions = field.extensions["strawberry-definition"].extensions
    return [one.role for one in extensions if isinstance(one, Needs)]


def test_every_mutation_declares_one_role_and_shows_it() -> None:
    for _ in range(2):  # another schema of the same process says it no more often
        mutation = build()._schema.mutation_type
        assert mutation is not None
        for name, field in mutation.fields.items():
            (role,) = declared(field)
            wanted = (
                Role.ANONYMOUS
                if name in ANYBODY
                else Role.CURATOR
                if name in CURATORS
                else Role.OPERATOR
                if name in OPERATORS
                else Role.CONTRIBUTOR
            )
            assert role is wanted, name
            said = "Anybody may." if role is Role.ANONYMOUS else f"Needs {role.name}"
            assert (field.description or "").count(said) == 1, name


def test_queries_that_not_everybody_may_ask_are_known() -> None:
    query = build()._schema.query_type
    assert query is not None
    found = {
        name: roles[0]
        for name, field in query.fields.items()
        if "strawberry-definition" in field.extensions and (roles := declared(field))
    }
    assert found["keys"] is Role.OPERATOR
    assert found["likelyDuplicates"] is Role.CURATOR
    assert not {"artifact", "artifacts", "compare", "rankBoard", "search"} & set(found)


@pytest.fixture
async def production(url: str, servers: Servers) -> Any:
    async with serving(url, servers.redis_url, development=False) as api:
        yield api


async def enter(api: Api, role: Role | None) -> str:
    """From now on the client has a key of that role, whose id is returned."""
    if role is None:
        api.http.headers.pop("authorization", None)
        return ""
    issued = await issue(api.store, BY, role.value, role)
    api.http.headers["authorization"] = f"Bearer {issued.key}"
    return issued.id


@pytest.mark.parametrize("role", [None, *Role])
async def test_whoever_lacks_the_role_is_told_which_one_it_needs_and_changes_nothing(
    production: Api, role: Role | None
) -> None:
    await enter(production, Role.OPERATOR)
    await furnish(production)
    await enter(production, role)
    for name in sorted(CALLS, key=["retireArtifact", "removeAlias"].count):
        (needed,) = declared(MUTATIONS[name])
        before = await production.store.head()
        answer = await production.answer(document(name), **CALLS[name])
        if needed <= (role or Role.ANONYMOUS) and name not in (
            "retireArtifact",
            "reinstateArtifact",
        ):
            assert "errors" not in answer, (name, answer)
            continue
        if name in ("retireArtifact", "reinstateArtifact"):
            # Others registered what is called for here.
            if role is not None and role >= Role.CURATOR:
                assert "errors" not in answer, (name, answer)
                continue
            needed = Role.CURATOR if role is Role.CONTRIBUTOR else needed
        (error,) = answer["errors"]
        assert error["path"] == [name]
        code = "UNAUTHENTICATED" if role is None else "FORBIDDEN"
        assert error["extensions"] == {"code": code, "needs": needed.name}
        assert needed.name in error["message"]
        assert answer["data"] is None
        assert await production.store.head() == before


async def test_one_may_retire_what_one_has_registered_and_nothing_else(production: Api) -> None:
    retire, reinstate = document("retireArtifact"), document("reinstateArtifact")
    id = await enter(production, Role.CONTRIBUTOR)
    await production.ask(document("registerArtifact"), **ARTIFACT)
    own = production.http.headers["authorization"]
    await enter(production, Role.CONTRIBUTOR)
    said = {"slug": "parser", "reason": "superseded"}
    assert await production.code(retire, **said) == "FORBIDDEN"
    production.http.headers["authorization"] = own
    assert (await production.ask(retire, **said))["retireArtifact"]["position"]
    assert (await production.ask(reinstate, slug="parser"))["reinstateArtifact"]["position"]
    unknown = await production.ask(retire, slug="nothing", reason="r")
    assert unknown["retireArtifact"]["__typename"] == "UnknownArtifact"
    events = await production.store.read(0)
    assert [e.actor for e in events if e.actor != "tester"] == [f"key:{id}"] * 3


async def test_what_is_asked_of_many_at_once_is_refused_one_by_one(production: Api) -> None:
    await enter(production, Role.CURATOR)
    await production.ask(document("registerArtifact"), **ARTIFACT)
    answer = await production.answer(
        '{ artifact(slug: "parser") { slug } keys { nodes { id } } likelyDuplicates { nodes {'
        " confidence } } }"
    )
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["keys"], "FORBIDDEN")


async def test_an_operator_issues_keys_lists_and_revokes_them(production: Api) -> None:
    operator = await enter(production, Role.OPERATOR)
    issued = (
        await production.ask(
            """mutation { issueKey(name: "Ann", role: CURATOR, expires: "2030-01-01T00:00:00Z",
               idempotencyKey: "ann") { ... on KeyIssued { id key position } } }"""
        )
    )["issueKey"]
    assert issued["key"].startswith(f"mg_{issued['id']}_")
    again = await production.ask(
        """mutation { issueKey(name: "Ann", role: CURATOR, expires: "2030-01-01T00:00:00Z",
           idempotencyKey: "ann") { ... on KeyIssued { id key position } } }"""
    )
    assert again["issueKey"] == {**issued, "key": None}
    revoked = await production.ask(
        "mutation ($id: String!) { revokeKey(id: $id) { ... on KeyRevoked { position } } }",
        id=issued["id"],
    )
    listing = await production.ask(
        f"""query @atLeast(position: "{revoked["revokeKey"]["position"]}") {{ keys(first: 1) {{
          pageInfo {{ hasNextPage }}
          nodes {{ id name role status issuedBy revokedBy expires }} }} }}"""
    )
    assert listing["keys"]["pageInfo"] == {"hasNextPage": True}
    assert listing["keys"]["nodes"] == [
        {
            "id": issued["id"],
            "name": "Ann",
            "role": "CURATOR",
            "status": "REVOKED",
            "issuedBy": f"key:{operator}",
            "revokedBy": f"key:{operator}",
            "expires": "2030-01-01T00:00:00+00:00",
        }
    ]


LOOKING = "{ __schema { types { name } } }"
TYPOS = [
    "{ artifcat { slug } }",
    '{ artifact(slugg: "a") { slug } }',
    "{ artifacts(filter: {kindz: MODEL}) { totalCount } }",
    "{ artifacts(orderBy: SLUGG) { totalCount } }",
    "fragment F on Artifcat { slug } { __typename }",
    "query ($v: Artifct) { __typename }",
]


@pytest.mark.parametrize("role", [None, Role.ANONYMOUS])
async def test_in_production_the_schema_is_not_shown_to_anybody(
    production: Api, role: Role | None
) -> None:
    await enter(production, role)
    for query in (LOOKING, '{ __type(name: "Artifact") { name } }', *TYPOS):
        answer = await production.answer(query)
        assert "data" not in answer
        for error in answer["errors"]:
            assert "Did you mean" not in error["message"], query
    said = await production.answer(
        "query ($f: ArtifactFilter) { artifacts(filter: $f) { totalCount } }", f={"kindz": "MODEL"}
    )
    assert "Did you mean" not in str(said["errors"])
    assert await production.ask("{ __typename }") == {"__typename": "Query"}


async def test_the_schema_is_shown_to_those_who_are_known_and_in_development(
    production: Api, api: Api
) -> None:
    await enter(production, Role.CONTRIBUTOR)
    for shown in (production, api):
        assert (await shown.ask(LOOKING))["__schema"]["types"]
        for query in TYPOS:
            answer = await shown.answer(query)
            assert any("Did you mean" in error["message"] for error in answer["errors"]), query


async def test_in_development_whoever_gives_nothing_may_do_everything(api: Api) -> None:
    assert (await api.ask("{ keys { nodes { id } } }"))["keys"]["nodes"] == []
    await enter(api, Role.CONTRIBUTOR)
    assert await api.code("{ keys { nodes { id } } }") == "FORBIDDEN", "with a key, what it says"
