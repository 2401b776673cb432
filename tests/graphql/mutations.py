"""Calls of mutations, spelled from the schema itself."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLUnionType,
    get_named_type,
)

from matchgraph.commands.outcome_token import sign
from matchgraph.commands.search import answered
from matchgraph.domain.key import Key, digest_of
from matchgraph.domain.role import Role
from matchgraph.eventstore.store import Request
from matchgraph.graphql.schema import build
from tests.eventstore.histories import INTENTS, sealed, served
from tests.graphql.client import SECRETS, Api

SCHEMA = build()._schema
assert SCHEMA.mutation_type is not None
MUTATIONS = SCHEMA.mutation_type.fields
AT = "2026-01-01T00:00:00Z"
LATER = "2026-02-01T00:00:00Z"
LATEST = "2026-03-01T00:00:00Z"
PROVENANCE: dict[str, Any] = {"source": "https://example.org", "observedAt": AT}
CAPABILITY: dict[str, Any] = {
    "key": "parse-tables",
    "name": "Tables",
    "description": "Reads tables.",
    "provenance": PROVENANCE,
}
PRICE: dict[str, Any] = {
    "provider": "acme",
    "pricing": "PAID",
    "amount": "0.00000025",
    "currency": "USD",
    "per": "INPUT_TOKEN",
    "source": "https://acme.example",
    "observedAt": AT,
}
LINE: dict[str, Any] = {"provider": "acme", "per": "INPUT_TOKEN", "source": "https://acme.example"}
SIGNAL: dict[str, Any] = {"name": "STARS", "value": "7", "source": "github", "observedAt": AT}
ARTIFACT: dict[str, Any] = {
    "slug": "parser",
    "kind": "MODEL",
    "facts": {"name": "Parser"},
    "provenance": PROVENANCE,
}
POLICY: dict[str, Any] = {
    "kind": "MODEL",
    "adoption": "0.25",
    "quality": "0.25",
    "ecosystem": "0.10",
    "matchGraph": "0.25",
    "freshness": "0.15",
    "halfLife": 90,
}
# A search that served the parser.
SEARCH = UUID(int=0x5EA4C4)
SERVED = served(["parser", "other"], ["parse-tables", None])
TOKEN = sign(SECRETS, SEARCH, SERVED[0])
# A key that somebody has.
KEY = "aaaabbbbcccc"
# What each mutation can be called with, on a catalog in which there is a parser.
CALLS: dict[str, dict[str, Any]] = {
    "registerArtifact": {**ARTIFACT, "slug": "new"},
    "describeArtifact": {
        "slug": "parser",
        "facts": {"vendor": "acme"},
        "provenance": PROVENANCE,
    },
    "retireArtifact": {"slug": "parser", "reason": "superseded"},
    "reinstateArtifact": {"slug": "gone"},
    "tellApart": {"slug": "parser", "from": "other"},
    "mergeArtifact": {"slug": "other", "into": "parser"},
    "unmergeArtifact": {"slug": "twin"},
    "addAlias": {"slug": "parser", "alias": "fresh"},
    "removeAlias": {"alias": "tables"},
    "addCapability": {"slug": "parser", "capability": {**CAPABILITY, "key": "new"}},
    "reviseCapability": {"slug": "parser", "capability": {**CAPABILITY, "name": "New"}},
    "retireCapability": {"slug": "parser", "key": "parse-tables"},
    "observePrice": {"slug": "parser", "price": {**PRICE, "observedAt": LATEST}},
    "withdrawPrice": {"slug": "parser", "price": LINE, "observedAt": LATEST},
    "observeSignal": {"slug": "parser", "signal": {**SIGNAL, "observedAt": LATEST}},
    "importArtifacts": {"artifacts": [{**ARTIFACT, "slug": "imported"}]},
    "adoptPolicy": {"kinds": [POLICY]},
    "calibrateRanks": {},
    "issueKey": {"name": "Ann", "role": "CURATOR"},
    "revokeKey": {"id": KEY},
    "reportOutcome": {"token": TOKEN, "outcome": "CHOSEN"},
}


def document(mutation: str, *, fields: str = "") -> str:
    """A document that calls the mutation with each of its arguments as a variable."""
    arguments = MUTATIONS[mutation].args
    variables = ", ".join(f"${name}: {argument.type}" for name, argument in arguments.items())
    passed = ", ".join(f"{name}: ${name}" for name in arguments)
    done = success(mutation)
    shown = "artifacts { slug outcome events refusal { __typename message } }"
    return (
        f"mutation ({variables}) {{ {mutation}({passed}) {{ __typename"
        f" ... on {done} {{ position {shown if done == 'ArtifactsImported' else ''} }}"
        f" ... on Refusal {{ message }} {fields if _shows_its_artifact(done) else ''} }} }}"
    )


def _shows_its_artifact(done: str) -> bool:
    return "artifact" in SCHEMA.type_map[done].fields  # type: ignore[attr-defined]


async def call(api: Api, mutation: str, *, fields: str = "", **said: Any) -> Any:
    """What came of the mutation."""
    return (await api.ask(document(mutation, fields=fields), **said))[mutation]


def members(mutation: str) -> set[str]:
    """The names of all that the mutation can answer."""
    union = get_named_type(MUTATIONS[mutation].type)
    assert isinstance(union, GraphQLUnionType)
    return {member.name for member in union.types}


def success(mutation: str) -> str:
    """The name of what the mutation answers when nothing is in its way."""
    (name,) = (
        name
        for name in members(mutation)
        if "Refusal" not in [i.name for i in SCHEMA.type_map[name].interfaces]  # type: ignore[attr-defined]
    )
    return name


def leaves(kind: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every scalar that can be given for a type, with the way to it."""
    while isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
    if isinstance(kind, GraphQLList):
        yield from leaves(kind.of_type, (*path, 0))
    elif isinstance(kind, GraphQLInputObjectType):
        for name, field in kind.fields.items():
            yield from leaves(field.type, (*path, name))
    elif not isinstance(kind, GraphQLEnumType):
        yield path, kind.name


def changed(value: Any, path: tuple[Any, ...], leaf: Any) -> Any:
    """The value with another one at the end of the path; what is missing on the way is made."""
    if not path:
        return leaf
    step, *rest = path
    if step == 0:
        return [changed(value[0] if value else None, tuple(rest), leaf)]
    blank: dict[str, Any] = {"provenance": PROVENANCE}.get(str(step), {})
    return {**(value or {}), step: changed((value or {}).get(step, blank), tuple(rest), leaf)}


async def furnish(api: Api) -> int:
    """A catalog in which everything can be refused; returns its position."""
    calls: list[tuple[str, dict[str, Any]]] = [
        *(
            ("registerArtifact", {**ARTIFACT, "slug": s})
            for s in ("parser", "gone", "twin", "other")
        ),
        ("addAlias", {"slug": "parser", "alias": "tables"}),
        ("addAlias", {"slug": "parser", "alias": "removed"}),
        ("removeAlias", {"alias": "removed"}),
        ("addCapability", {"slug": "parser", "capability": CAPABILITY}),
        ("observePrice", {"slug": "parser", "price": {**PRICE, "observedAt": LATER}}),
        ("observeSignal", {"slug": "parser", "signal": {**SIGNAL, "observedAt": LATER}}),
        ("retireArtifact", {"slug": "gone", "reason": "superseded"}),
        ("mergeArtifact", {"slug": "twin", "into": "parser"}),
    ]
    for mutation, said in calls:
        answer = await call(api, mutation, **said)
        assert answer["__typename"] == success(mutation), answer
    by = Request(actor="anonymous", request_id="furnish")
    await api.store.append([Key.issue(KEY, "Bob", Role.CONTRIBUTOR, digest_of("secret"))], by)
    return await answered(api.store, by, SEARCH, sealed(), INTENTS[0].cluster, "ann", SERVED)
