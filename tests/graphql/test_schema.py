"""The schema is checked in, documented throughout, and grows without breaking."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_introspection_type,
    is_specified_directive,
    is_specified_scalar_type,
)
from strawberry.utils.str_converters import to_camel_case

from matchgraph.domain import errors
from matchgraph.graphql.refusals import SHOWN
from matchgraph.graphql.schema import build, sdl

CHECKED_IN = Path(__file__).parents[2] / "schema.graphql"


def test_the_schema_that_is_checked_in_is_the_one_that_is_served() -> None:
    assert CHECKED_IN.read_text() == sdl(), (
        "schema.graphql is stale; refresh it with: make schema"
        " (or: matchgraph schema > schema.graphql)"
    )


def test_the_schema_that_is_checked_in_is_one() -> None:
    served = build_schema(CHECKED_IN.read_text())
    assert served.query_type
    assert served.mutation_type


def undocumented(schema: GraphQLSchema) -> Iterator[str]:
    for name, kind in schema.type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            yield name
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in kind.fields.items():
                if not field.description:
                    yield f"{name}.{field_name}"
                for argument_name, argument in field.args.items():
                    if not argument.description:
                        yield f"{name}.{field_name}({argument_name})"
        elif isinstance(kind, GraphQLInputObjectType):
            for field_name, input_field in kind.fields.items():
                if not input_field.description:
                    yield f"{name}.{field_name}"
    for directive in schema.directives:
        if is_specified_directive(directive):
            continue
        if not directive.description:
            yield f"@{directive.name}"
        for argument_name, argument in directive.args.items():
            if not argument.description:
                yield f"@{directive.name}({argument_name})"


def test_everything_in_the_schema_says_what_it_is() -> None:
    assert list(undocumented(build()._schema)) == []


def test_the_search_for_what_is_undocumented_finds_it() -> None:
    bare = build_schema(
        "directive @d(a: Int) on FIELD enum E { A } input I { f: E }"
        " type Query { f(a: I): Int } scalar S"
    )
    assert set(undocumented(bare)) == {
        *("E", "I", "I.f", "Query", "Query.f", "Query.f(a)", "S", "@d", "@d(a)"),
    }


def test_every_refusal_of_the_domain_has_a_type_with_its_facts() -> None:
    refusals = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.Refusal) and one is not errors.Refusal
    }
    assert set(SHOWN) == refusals
    schema = build()._schema
    for refusal, shown in SHOWN.items():
        kind = schema.type_map[refusal.__name__]
        assert isinstance(kind, GraphQLObjectType)
        assert shown.__name__ == refusal.__name__
        facts = [field.name for field in fields(refusal)]  # type: ignore[arg-type]
        assert set(kind.fields) == {"message", *map(to_camel_case, facts)}


def test_every_mutation_answers_with_one_success_or_refusals() -> None:
    schema = build()._schema
    assert schema.mutation_type
    for name, field in schema.mutation_type.fields.items():
        union = getattr(field.type, "of_type", field.type)
        assert isinstance(union, GraphQLUnionType), name
        kinds = ["Refusal" in [one.name for one in member.interfaces] for member in union.types]
        assert kinds.count(False) == 1, name
        assert "idempotencyKey" in field.args, name


def test_enums_have_the_names_of_the_domains_values() -> None:
    schema = build()._schema
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLEnumType) and not is_introspection_type(kind):
            assert all(value == value.upper() for value in kind.values)
