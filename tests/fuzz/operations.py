"""Operations, grown from the schema itself."""

import json
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)
from hypothesis import strategies as st

from tests.fuzz.values import Known, inputs, literal

# Answers are made of few things, so that none of them costs much.
DEEPEST, WIDEST = 4, 5


@dataclass(frozen=True)
class Asked:
    """An operation: its kind, its document, its variables."""

    kind: str
    document: str
    variables: dict[str, Any]

    def body(self) -> bytes:
        """As it is sent."""
        return json.dumps({"query": self.document, "variables": self.variables}).encode()


@st.composite
def operations(draw: st.DrawFn, schema: GraphQLSchema, known: Known, kind: str, root: str) -> Asked:
    """An operation with that field of Query, Mutation or Subscription; half of them make sense."""
    top = {
        "query": schema.query_type,
        "mutation": schema.mutation_type,
        "subscription": schema.subscription_type,
    }[kind]
    assert top is not None
    sane = draw(st.booleans())
    given: dict[str, tuple[str, Any]] = {}
    said = _field(draw, schema, known, top, root, given, sane=sane, depth=0)
    head = ", ".join(f"${name}: {kind}" for name, (kind, _) in given.items())
    document = f"{kind}{f' Asked({head})' if head else ''} {{ {said} }}"
    return Asked(kind, document, {name: value for name, (_, value) in given.items()})


def _field(
    draw: st.DrawFn,
    schema: GraphQLSchema,
    known: Known,
    owner: GraphQLObjectType | GraphQLInterfaceType,
    name: str,
    given: dict[str, tuple[str, Any]],
    *,
    sane: bool,
    depth: int,
) -> str:
    found: GraphQLField = owner.fields[name]
    said = []
    for argument, value in draw(inputs(known, found.args, sane=sane)).items():
        # As variables alone can the worst of texts be sent.
        if draw(st.booleans()):
            variable = f"v{len(given)}"
            given[variable] = (str(found.args[argument].type), value)
            said.append(f"{argument}: ${variable}")
        else:
            said.append(f"{argument}: {literal(value)}")
    arguments = f"({', '.join(said)})" if said else ""
    below = _selection(
        draw, schema, known, get_named_type(found.type), given, sane=sane, depth=depth + 1
    )
    return f"{name}{arguments}{below}"


def _selection(
    draw: st.DrawFn,
    schema: GraphQLSchema,
    known: Known,
    kind: GraphQLNamedType,
    given: dict[str, tuple[str, Any]],
    *,
    sane: bool,
    depth: int,
) -> str:
    if isinstance(kind, GraphQLUnionType):
        members = draw(st.lists(st.sampled_from(kind.types), min_size=1, max_size=3, unique=True))
        # The success comes first, and says more than that it is none.
        members = [kind.types[0], *(one for one in members if one is not kind.types[0])]
        parts = [
            f"... on {one.name}"
            + _selection(draw, schema, known, one, {}, sane=True, depth=max(depth, DEEPEST - 1))
            for one in members[:2]
        ]
        return " { __typename " + " ".join(parts) + " }"
    if not isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        return ""
    names = [
        name
        for name, one in kind.fields.items()
        if depth < DEEPEST or not _is_composite(get_named_type(one.type))
    ]
    chosen = (
        draw(st.lists(st.sampled_from(names), min_size=1, max_size=WIDEST, unique=True))
        if names
        else []
    )
    parts = [
        _field(draw, schema, known, kind, name, given, sane=sane, depth=depth) for name in chosen
    ]
    if isinstance(kind, GraphQLInterfaceType):
        one = draw(st.sampled_from(schema.get_possible_types(kind)))
        parts = (
            [
                f"... on {one.name}"
                + _selection(draw, schema, known, one, given, sane=sane, depth=depth + 1)
            ]
            if depth < DEEPEST
            else []
        )
    return " { __typename " + " ".join(parts) + " }"


def _is_composite(kind: GraphQLNamedType) -> bool:
    return isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)
