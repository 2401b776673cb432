"""What an operation asks for: how deep, how much of what, and how many points that is.

Computed from the document and its variables alone, before anything is executed. docs/limits.md has
the rule for clients.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    ValueNode,
    get_named_type,
    is_composite_type,
    is_non_null_type,
    value_from_ast_untyped,
)

MOST_ON_A_PAGE, MOST_IN_A_LIST = 100, 250
# How many entries a list is taken to have that has no page size; those that are not named: 10.
ENTRIES = 10
SIZES: Mapping[str, float] = {
    "Artifact.priceSeries": 5,
    "Comparison.aligned": 20,
    "Comparison.rows": 16,
    "Comparison.shared": 20,
    "Comparison.similar": 20,
    "Event.changes": 2,
    "Ledger.keys": 3,
    "OnlyIn.capabilities": 20,
    "PriceSeries.points": 50,
    "Query.rankPolicies": 19,
    "Rank.parts": 5,
    "RankCalibration.scales": 100,
    "RankChange.parts": 5,
    "RankChangeExplanation.parts": 5,
    "RankDifference.parts": 5,
    "RankPart.inputs": 5,
    "RankPartMove.inputs": 5,
    "RankSeries.points": 50,
    "SearchResult.reasons": 5,
    # Of the schema itself: measured on it, with room to grow.
    "__Schema.types": 250,
    "__Schema.directives": 8,
    "__Type.fields": 3.5,
    "__Type.inputFields": 0.6,
    "__Type.enumValues": 1.2,
    "__Type.possibleTypes": 1,
    "__Type.interfaces": 0.3,
    "__Type.ofType": 0.5,
    "__Field.args": 0.3,
    "__Directive.args": 1,
}
# What a field costs beside the objects that it answers with, each time that it is answered.
SURCHARGES: Mapping[str, int] = {
    "Artifact.alternatives": 10,
    "Artifact.priceSeries": 1,
    "Artifact.rankSeries": 1,
    "Alternative.comparison": 5,
    "ArtifactConnection.totalCount": 5,
    "Ledger.consistency": 5,
    "Ledger.headAt": 2,
    "Ledger.proof": 5,
    "Query.compare": 10,
    "Query.events": 2,
    "Query.explainRankChange": 10,
    "Query.likelyDuplicates": 5,
    "Query.search": 10,
    "Query.whatChanged": 10,
    "Mutation.adoptPolicy": 100,
    "Mutation.calibrateRanks": 100,
}
# Every change asked for costs that much, and one for each entry of a list that it takes in.
CHANGE = 5
# A subscription costs that much beside one change of it, and more if it begins in the past.
SUBSCRIPTION, FROM_THE_PAST = 10, 20
# What is as of then costs so many times what it costs now.
AS_OF = 2
OBJECTS_PER_POINT, WORDS_PER_POINT = 10, 100
# Fields, fragments and values within each other, beyond which a document is not looked into.
MOST_NESTED = 60


class TooDeep(Exception):
    """Fragments, or values, lie within each other deeper than anybody writes them."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a part of a document asks for, with its fragments written out.

    Units: `aliases` counts a field that is named again beside itself as well; `objects` is how many
    the answer can hold, and `points` what they cost beside that.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    selections: int = 0
    objects: float = 0
    points: float = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.selections + other.selections,
            self.objects + other.objects,
            self.points + other.points,
        )


NOTHING = Tally()


def points(tally: Tally, words: int) -> int:
    """What an operation costs, of so many words to read."""
    asked = tally.objects / OBJECTS_PER_POINT + tally.points
    # Nobody tells what is more than that apart.
    return ceil(words / WORDS_PER_POINT) + ceil(min(asked, 1_000_000_000))


class Count:
    """Goes through a document once: each fragment is counted once for each size of page that it
    stands in, however often it is named."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        # None while it is being counted: whoever meets it again has found a cycle.
        self._counted: dict[tuple[str, float], Tally | None] = {}
        # How much there is to read in what was counted.
        self.words = 0

    def of(self, operation: OperationDefinitionNode) -> Tally:
        """What the operation asks for. Raises: TooDeep."""
        kind = self._schema.get_root_type(operation.operation)
        defaults = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        }
        self._variables = {**defaults, **self._variables}
        for one in operation.variable_definitions or ():
            self._values(one.default_value, 0)
        tally = self._selections(operation.selection_set, kind, ENTRIES, 0, set())
        return tally + self._directives(operation.directives)

    def _selections(
        self,
        found: SelectionSetNode,
        kind: GraphQLNamedType | None,
        page: float,
        level: int,
        named: set[str],
    ) -> Tally:
        """`page` is how many entries lists right here have that do not say so themselves; `named`
        has the fields that were named beside these."""
        if level > MOST_NESTED:
            raise TooDeep
        total = NOTHING
        for one in found.selections:
            self.words += 1
            total += Tally(selections=1) + self._directives(one.directives)
            match one:
                case FieldNode():
                    again = one.alias is not None or one.name.value in named
                    named.add(one.name.value)
                    total += Tally(aliases=int(again)) + self._field(one, kind, page, level + 1)
                case FragmentSpreadNode():
                    total += self._fragment(one.name.value, page, level + 1)
                case InlineFragmentNode():
                    inner = kind
                    if one.type_condition is not None:
                        inner = self._schema.get_type(one.type_condition.name.value)
                    total += self._selections(one.selection_set, inner, page, level + 1, named)
        return total

    def _fragment(self, name: str, page: float, level: int) -> Tally:
        fragment = self._fragments.get(name)
        if fragment is None:
            return NOTHING
        if (name, page) not in self._counted:
            self._counted[name, page] = None
            kind = self._schema.get_type(fragment.type_condition.name.value)
            self._counted[name, page] = self._selections(
                fragment.selection_set, kind, page, level, set()
            ) + self._directives(fragment.directives)
        # In a cycle, which validation complains of, nothing is counted twice.
        return self._counted[name, page] or NOTHING

    def _field(
        self, node: FieldNode, parent: GraphQLNamedType | None, page: float, level: int
    ) -> Tally:
        for argument in node.arguments or ():
            self.words += 1
            self._values(argument.value, level)
        definition = self._definition(parent, node.name.value)
        if definition is None or parent is None:
            # Validation complains of the field; its depth counts all the same.
            inner = self._below(node, None, ENTRIES, level)
            return Tally(inner.depth + 1, inner.aliases, inner.directives, inner.selections)
        coordinate = f"{parent.name}.{node.name.value}"
        said = self._arguments(definition, node)
        kind = get_named_type(definition.type)
        times = _entries(coordinate, definition, said, page)
        inner = self._below(node, kind, _page(definition, said), level)
        objects = times * (inner.objects + 1) if is_composite_type(kind) else 0
        points = times * inner.points + _surcharge(self._schema, coordinate, parent, said)
        then = AS_OF if said.get("asOf") is not None else 1
        return Tally(
            inner.depth + 1,
            inner.aliases,
            inner.directives,
            inner.selections,
            then * objects,
            then * points,
        )

    def _below(
        self, node: FieldNode, kind: GraphQLNamedType | None, page: float, level: int
    ) -> Tally:
        if node.selection_set is None:
            return NOTHING
        return self._selections(node.selection_set, kind, page, level, set())

    def _definition(self, parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return None
        return self._schema.get_field(parent, name)

    def _arguments(self, definition: GraphQLField, node: FieldNode) -> dict[str, Any]:
        """What the field's arguments say, by default or by the request."""
        said = {
            name: argument.default_value
            for name, argument in definition.args.items()
            if argument.default_value is not Undefined
        }
        for argument in node.arguments or ():
            value = value_from_ast_untyped(argument.value, dict(self._variables))
            if value is not Undefined:
                said[argument.name.value] = value
        return said

    def _directives(self, nodes: tuple[DirectiveNode, ...] | None) -> Tally:
        for node in nodes or ():
            self.words += 1
            for argument in node.arguments or ():
                self.words += 1
                self._values(argument.value, 0)
        return Tally(directives=len(nodes or ()))

    def _values(self, value: ValueNode | None, level: int) -> None:
        if level > MOST_NESTED:
            raise TooDeep
        match value:
            case ListValueNode():
                inner: Iterator[ValueNode] = iter(value.values)
            case ObjectValueNode():
                inner = (field.value for field in value.fields)
            case _:
                return
        for one in inner:
            self.words += 1
            self._values(one, level + 1)


def _size(value: object) -> float:
    """A page size as far as it can be one; what cannot is refused when the field is answered."""
    return min(max(value, 1), MOST_ON_A_PAGE) if isinstance(value, int) else MOST_ON_A_PAGE


def _page(definition: GraphQLField, said: Mapping[str, Any]) -> float:
    """How many entries the lists right below the field have."""
    if "first" in definition.args:
        return _size(said.get("first"))
    lists = [len(value) for value in said.values() if isinstance(value, list)]
    return min(max(lists, default=ENTRIES), MOST_IN_A_LIST)


def _entries(
    coordinate: str, definition: GraphQLField, said: Mapping[str, Any], page: float
) -> float:
    """How many entries the field is taken to have; 1 for what is no list."""
    if coordinate in SIZES:
        return SIZES[coordinate]
    kind = definition.type.of_type if is_non_null_type(definition.type) else definition.type
    if not isinstance(kind, GraphQLList):
        return 1
    return _size(said.get("first")) if "first" in definition.args else page


def _surcharge(
    schema: GraphQLSchema, coordinate: str, parent: GraphQLNamedType, said: Mapping[str, Any]
) -> float:
    points = SURCHARGES.get(coordinate, 0)
    if coordinate.endswith(".__typename"):
        return 0
    if parent is schema.mutation_type:
        lists = [len(value) for value in said.values() if isinstance(value, list)]
        return points + CHANGE + sum(lists)
    if parent is schema.subscription_type:
        past = any(said.get(name) is not None for name in ("after", "cursor"))
        return points + SUBSCRIPTION + (FROM_THE_PAST if past else 0)
    return points
