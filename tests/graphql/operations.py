"""Operations of any form over the schema: what tests ask in two ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_object_type,
)
from hypothesis import strategies as st

# What arguments may say, by field and argument; those that stand here under no field hold for all.
Arguments = Mapping[str, Sequence[str]]
DEEPEST = 4


@dataclass
class Operation:
    """An operation and what its variables are."""

    text: str
    variables: dict[str, bool] = field(default_factory=dict)


@st.composite
def operations(
    draw: st.DrawFn, schema: GraphQLSchema, roots: Sequence[str], arguments: Arguments
) -> Operation:
    """Queries of these top-level fields: aliases, fragments of either kind, fields asked for twice,
    conditions with and without variables."""
    maker = _Maker(draw, schema, arguments)
    assert schema.query_type is not None
    fields = [
        maker.one(schema.query_type, draw(st.sampled_from(roots)), f"r{number}: ", 0)
        for number in range(draw(st.integers(1, 3)))
    ]
    variables = {name: draw(st.booleans()) for name in sorted(maker.variables)}
    declared = ", ".join(f"${name}: Boolean!" for name in variables)
    text = " ".join(
        [
            f"query {f'({declared})' if declared else ''} {{ {' '.join(fields)} }}",
            *maker.fragments,
        ]
    )
    return Operation(text, variables)


class _Maker:
    def __init__(self, draw: st.DrawFn, schema: GraphQLSchema, arguments: Arguments) -> None:
        self._draw = draw
        self._schema = schema
        self._arguments = arguments
        self.variables: set[str] = set()
        self.fragments: list[str] = []

    def one(self, parent: GraphQLObjectType, name: str, alias: str, depth: int) -> str:
        """One field with what it asks for below it."""
        found = parent.fields[name]
        said = self._said(parent, name, found)
        below = get_named_type(found.type)
        rest = ""
        if is_object_type(below):
            rest = self._selection(below, depth + 1)
        return f"{alias}{name}{said}{self._condition()} {rest}"

    def _selection(self, parent: GraphQLObjectType, depth: int) -> str:
        names = [name for name, found in parent.fields.items() if self._fits(found, depth)]
        chosen = self._draw(
            st.lists(st.sampled_from([*names, "__typename"]), min_size=1, max_size=6)
        )
        parts = []
        for number, name in enumerate(chosen):
            if name == "__typename":
                parts.append(name)
                continue
            # Each has a name of its own, for the same field may be asked for in different ways.
            part = self.one(parent, name, f"f{depth}_{number}: ", depth)
            match self._draw(st.integers(0, 9)):
                case 0:
                    part = f"... on {parent.name}{self._condition()} {{ {part} }}"
                case 1:
                    self.fragments.append(
                        f"fragment p{len(self.fragments)} on {parent.name} {{ {part} }}"
                    )
                    part = f"...p{len(self.fragments) - 1}{self._condition()}"
                case 2:
                    part = f"{part} {part}"
            parts.append(part)
        return f"{{ {' '.join(parts)} }}"

    def _fits(self, found: GraphQLField, depth: int) -> bool:
        below = get_named_type(found.type)
        return is_leaf_type(below) or (is_object_type(below) and depth < DEEPEST)

    def _said(self, parent: GraphQLObjectType, name: str, found: GraphQLField) -> str:
        said = []
        for argument in found.args:
            own = self._arguments.get(f"{parent.name}.{name}.{argument}")
            values = own or self._arguments.get(argument, ())
            # What is required here is always known.
            if values and (own or self._draw(st.booleans())):
                said.append(f"{argument}: {self._draw(st.sampled_from(values))}")
        return f"({', '.join(said)})" if said else ""

    def _condition(self) -> str:
        match self._draw(st.integers(0, 19)):
            case 0:
                return " @include(if: true)"
            case 1:
                return " @skip(if: true)"
            case 2:
                self.variables.add("yes")
                return " @include(if: $yes)"
            case 3:
                self.variables.add("no")
                return " @skip(if: $no)"
        return ""
