"""Every argument of every query and subscription, found in the schema itself, and a request that
gives it whatever one likes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_composite_type,
    is_required_argument,
    is_required_input_field,
)

from tests.graphql.mutations import AT, SCHEMA

# What can be given where something must be.
PLAIN: dict[str, Any] = {
    **{"String": "parser", "ID": "parser", "Int": 1, "Float": 0.5, "Boolean": True},
    **{"Position": "1", "Decimal": "1", "Long": 1, "Date": "2026-01-01", "DateTime": AT},
}
KNOWN: dict[str, Any] = {"slugs": ["parser", "other"], "need": {"text": "parser"}}


@dataclass(frozen=True)
class Step:
    """A field on the way from the root, with what it must be given."""

    name: str
    field: GraphQLField

    def required(self) -> dict[str, Any]:
        return {
            name: KNOWN.get(name, plain(argument.type))
            for name, argument in self.field.args.items()
            if is_required_argument(argument) or name in KNOWN
        }


@dataclass(frozen=True)
class Given:
    """An argument of the last of these fields."""

    root: str
    way: tuple[Step, ...]
    name: str
    argument: GraphQLArgument

    @property
    def path(self) -> str:
        return ".".join([*(step.name for step in self.way), self.name])

    def request(self, value: object) -> tuple[str, dict[str, Any]]:
        """A document, and the variables in which the argument has that value."""
        variables: dict[str, Any] = {}
        types: dict[str, str] = {}
        opened = ""
        for i, step in enumerate(self.way):
            said = step.required()
            if i == len(self.way) - 1:
                said[self.name] = value
            for name, one in said.items():
                variables[f"{name}{i}"] = one
                types[f"{name}{i}"] = str(step.field.args[name].type)
            arguments = ", ".join(f"{name}: ${name}{i}" for name in said)
            opened += f" {{ {step.name}" + (f"({arguments})" if arguments else "")
        if is_composite_type(get_named_type(self.way[-1].field.type)):
            opened += " { __typename }"
        declared = ", ".join(f"${name}: {kind}" for name, kind in types.items())
        return f"{self.root} ({declared}){opened}" + " }" * len(self.way), variables


def plain(kind: Any) -> Any:
    """Something in order for that type."""
    if isinstance(kind, GraphQLNonNull):
        return plain(kind.of_type)
    if isinstance(kind, GraphQLList):
        return [plain(kind.of_type)]
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        fields = list(kind.fields.items())
        wanted = [one for one in fields if is_required_input_field(one[1])]
        return {name: plain(field.type) for name, field in (fields[:1] if one_of(kind) else wanted)}
    return PLAIN[kind.name]


def one_of(kind: GraphQLInputObjectType) -> bool:
    """Whether exactly one of its fields is given."""
    return bool(kind.extensions["strawberry-definition"].is_one_of)


def arguments(root: str) -> Iterator[Given]:
    """Every argument that can be reached from that root, each once, by the shortest way."""
    kind = {"query": SCHEMA.query_type, "subscription": SCHEMA.subscription_type}[root]
    waiting: list[tuple[Any, tuple[Step, ...]]] = [(kind, ())]
    seen = {kind}
    while waiting:
        kind, way = waiting.pop(0)
        assert isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
        for name, field in kind.fields.items():
            there = (*way, Step(name, field))
            for argument_name, argument in field.args.items():
                yield Given(root, there, argument_name, argument)
            inner = get_named_type(field.type)
            if isinstance(inner, GraphQLObjectType) and inner not in seen:
                seen.add(inner)
                waiting.append((inner, there))


def variants(kind: Any, hostile: dict[str, list[Any]]) -> Iterator[tuple[str, str, Any]]:
    """Values of that type, each with one thing in it that is hostile: where, of which type."""
    if isinstance(kind, GraphQLNonNull):
        yield from variants(kind.of_type, hostile)
    elif isinstance(kind, GraphQLList):
        yield "[251]", "list", [plain(kind.of_type)] * 251
        for where, scalar, value in variants(kind.of_type, hostile):
            yield f"[0]{where}", scalar, [value]
    elif isinstance(kind, GraphQLInputObjectType):
        base = {} if one_of(kind) else plain(kind)
        for name, field in kind.fields.items():
            for where, scalar, value in variants(field.type, hostile):
                yield f".{name}{where}", scalar, {**base, name: value}
    elif not isinstance(kind, GraphQLEnumType):
        for value in hostile[kind.name]:
            yield f"={str(value)[:30]!r}", kind.name, value
