"""Queries as plans: what graphql-core works out for each field of each answer, once for all.

A plan knows of each selection which attributes to read and which resolvers to call; collecting
fields, coercing arguments and leaves, and the resolvers themselves are graphql-core's and
Strawberry's own. It gives an answer only where nothing goes wrong. Whatever does (an error, a null
where none may be, a value of another form), and whatever nobody thought of here, is left to
graphql-core, which begins anew: so only what reads and changes nothing may be carried out by plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import CoroutineType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableNode,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    visit,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.pyutils import Path
from msgspec import Raw
from strawberry.execution.is_awaitable import optimized_is_awaitable as is_awaitable
from strawberry.schema.schema import _OperationContextAwareGraphQLResolveInfo as ResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from matchgraph.domain.role import Role
from matchgraph.eventstore.eager import Ended, begin
from matchgraph.graphql.fragments import within
from matchgraph.queries.notes import Notes

# So many plans of one document are kept: there is one for each combination of what @skip and
# @include say.
MOST_PLANS = 8
# The top-level fields whose answers only read.
REPEATABLE = frozenset(
    {
        "__typename",
        "artifact",
        "artifacts",
        "compare",
        "rankBoard",
        "rankCalibration",
        "rankPolicies",
    }
)
# Of which objects is kept what an operation answers of each.
FRAGMENTED = frozenset({"Artifact"})
# The top-level fields that are given slugs alone, and answer nothing but fragments.
SPLICED = frozenset({"artifact", "compare"})
# Whether something is of a type never depends on who asks.
NOBODY: Any = None
# What the leaves of these types are as a rule, and are answered as they are.
PLAIN: Mapping[str, type] = {"String": str, "Boolean": bool}


class Uncompiled(Exception):
    """That is left to graphql-core."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan."""

    variables: VariableValues
    context: Any
    # What was made on the way that can be kept: what it is known by, its JSON and its marks.
    made: list[tuple[Hashable, Raw, frozenset[str]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answered:
    """The data of an answer, in which fragments may stand as JSON already, and those of them that
    were made for it."""

    data: dict[str, Any]
    made: Sequence[tuple[Hashable, Raw, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Splice:
    """An operation of one variable whose answer is nothing but what it says of artifacts: those
    that the slugs lead to which stand in the variable, or, unless it takes `several`, the slug."""

    variable: str
    several: bool
    before: bytes
    after: bytes
    fragment: "_Fragment"

    def key(self, artifact_id: UUID, role: Role) -> Hashable:
        """What the fragment of that artifact is known by."""
        return self.fragment.key(artifact_id, None, role)

    def said(self, fragments: Sequence[bytes]) -> bytes:
        """The answer of these fragments."""
        return b"%b%b%b" % (self.before, b",".join(fragments), self.after)


class _Plan(NamedTuple):
    resolve: "Resolve"
    splice: Splice | None


# Gives a value as it is answered, or something to await that does.
Complete = Callable[[Any, Run, Path], Any]
# Gives what a field answers of its parent, likewise.
Resolve = Callable[[Any, Run, Path | None], Any]


class Plans:
    """The plans of one document, which must not change."""

    def __init__(self, document: DocumentNode) -> None:
        self._document = document
        self._wanted = False
        self._plans: dict[tuple[object, ...], _Plan] = {}
        self._operations: dict[str | None, OperationDefinitionNode] = {}
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        conditions = _Conditions()
        visit(document, conditions)
        self._conditions = sorted(conditions.names)

    async def execute(
        self,
        schema: GraphQLSchema,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Any,
    ) -> "Answered | None":
        """The data of the answer; None where graphql-core has to say what it is."""
        if not self._wanted:
            # Compiling takes longer than executing: whatever is asked only once is not worth it.
            self._wanted = True
            return None
        try:
            operation = self._operation(operation_name)
            values = get_variable_values(
                schema, operation.variable_definitions or (), dict(variables or {})
            )
            if not isinstance(values, VariableValues):
                return None
            run = Run(values, context)
            found = self._plan(schema, operation, values).resolve(None, run, None)
            data: dict[str, Any] = await found if is_awaitable(found) else found
        except Exception:
            # Whatever it is, graphql-core says it as it has to be said.
            return None
        return Answered(data, run.made)

    def splice(self, name: str | None) -> Splice | None:
        """How the answer of that operation is put together, where that is all there is to it and
        the operation has been compiled. Raises: Uncompiled."""
        plan = self._plans.get((id(self._operation(name)),))
        return None if plan is None else plan.splice

    def may_repeat(self, name: str | None) -> bool:
        """Whether there is one operation of that name, and it may be begun again."""
        try:
            self._operation(name)
        except Uncompiled:
            return False
        return True

    def is_plain(self, name: str | None) -> bool:
        """Whether there is one operation of that name, it may be begun again, and nothing but its
        fields says what it is to do."""
        return self.may_repeat(name) and not self._operation(name).directives

    def name(self, name: str | None) -> str | None:
        """What the operation is called that is meant by that name, or by none. Raises:
        Uncompiled."""
        called = self._operation(name).name
        return None if called is None else called.value

    def _operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation meant. Raises: Uncompiled."""
        known = self._operations.get(name)
        if known is not None:
            return known
        found = [
            one
            for one in self._document.definitions
            if isinstance(one, OperationDefinitionNode)
            and (name is None or (one.name is not None and one.name.value == name))
        ]
        if len(found) != 1 or not is_repeatable(found[0]):
            raise Uncompiled
        self._operations[name] = found[0]
        return found[0]

    def _plan(
        self, schema: GraphQLSchema, operation: OperationDefinitionNode, values: VariableValues
    ) -> _Plan:
        """The plan of the operation for what its conditions say. Raises: Uncompiled."""
        key = (id(operation), *(values.coerced.get(name) for name in self._conditions))
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) == MOST_PLANS:
                self._plans.clear()
            compiler = _Compiler(schema, self._fragments, operation, values)
            plan = self._plans[key] = compiler.whole()
        return plan


def is_repeatable(operation: OperationDefinitionNode) -> bool:
    """Whether it may be begun again: it asks for nothing but what only reads, and does not wait for
    a moment to come, for then it would wait twice."""
    return operation.operation is OperationType.QUERY and all(
        isinstance(field, FieldNode)
        and field.name.value in REPEATABLE
        and all(argument.name.value != "asOf" for argument in field.arguments or ())
        for field in operation.selection_set.selections
    )


class _Conditions(Visitor):
    """Finds the variables that say which fields there are."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        """Of @skip and @include."""
        if node.name.value in ("skip", "include"):
            self.names.update(
                one.value.name.value
                for one in node.arguments or ()
                if isinstance(one.value, VariableNode)
            )


class _Compiler:
    """Compiles one operation."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: dict[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        values: VariableValues,
    ) -> None:
        self._schema = schema
        self._definitions = fragments
        self._fragments = {name: FragmentDetails(one) for name, one in fragments.items()}
        self._operation = operation
        self._values = values
        # Of what an answer is put together, if it is: the first node that asks for it.
        self._spliced: FieldNode | None = None
        self._fragment: _Fragment | None = None

    def whole(self) -> _Plan:
        """The plan of all of it. Raises: Uncompiled."""
        root = self._schema.query_type
        assert root is not None, "something can be asked"
        collected = collect_fields(
            self._schema, self._fragments, self._values, root, self._operation
        )
        around = self._around_artifacts(root, collected)
        resolve = self._selection(root, collected)
        if around is None or self._fragment is None or self._fragment.names:
            return _Plan(resolve, None)
        return _Plan(resolve, Splice(*around, self._fragment))

    def _around_artifacts(
        self, root: GraphQLObjectType, collected: CollectedFields
    ) -> tuple[str, bool, bytes, bytes] | None:
        """All of a splice but the fragment, where the answer may be one."""
        definitions = self._operation.variable_definitions or ()
        around = _around(root, collected, SPLICED)
        if around is None or len(definitions) != 1 or definitions[0].default_value is not None:
            return None
        before, details, after = around
        node = details[0].node
        field = self._schema.get_field(root, node.name.value)
        match node.arguments:
            case [ArgumentNode(value=VariableNode(name=variable))] if field is not None:
                pass
            case _:
                return None
        if several := node.name.value == "compare":
            type_: Any = get_named_type(field.type)
            collected = collect_subfields(
                self._schema, self._fragments, self._values, self._operation, type_, details
            )
            inner = _around(type_, collected, {"artifacts"})
            if inner is None:
                return None
            before, details, after = before + inner[0] + b"[", inner[1], b"]" + inner[2] + after
        self._spliced = details[0].node
        return variable.value, several, b'{"data":' + before, after

    def _selection(self, parent: GraphQLObjectType, collected: CollectedFields) -> Resolve:
        if collected.new_defer_usages:
            raise Uncompiled
        fields = [
            (key, self._field(parent, key, details))
            for key, details in collected.grouped_field_set.items()
        ]

        def complete(source: Any, run: Run, path: Path | None) -> Any:
            answer: dict[str, Any] = {}
            waiting: list[str] = []
            try:
                for key, resolve in fields:
                    answer[key] = value = resolve(source, run, path)
                    if is_awaitable(value):
                        waiting.append(key)
            except Exception as reason:
                if not waiting:
                    raise
                return _filled(answer, waiting, reason)
            return _filled(answer, waiting) if waiting else answer

        return complete

    def _field(self, parent: GraphQLObjectType, key: str, details: list[FieldDetails]) -> Resolve:
        node = details[0].node
        if node.name.value == "__typename":
            name = parent.name
            return lambda *_: name
        field = self._schema.get_field(parent, node.name.value)
        if field is None or field.resolve is None:
            raise Uncompiled
        complete = self._value(field.type, details)
        definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if isinstance(definition, StrawberryField) and (
            definition.is_basic_field and definition.default_resolver is getattr
        ):
            if is_leaf_type(get_nullable_type(field.type)):
                return _plain(definition.python_name, complete)
            return _attribute(key, parent.name, definition.python_name, complete)
        return self._resolver(parent, key, field, details, complete)

    def _resolver(
        self,
        parent: GraphQLObjectType,
        key: str,
        field: GraphQLField,
        details: list[FieldDetails],
        complete: Complete,
    ) -> Resolve:
        function = field.resolve
        assert function is not None, "it was asked for before"
        nodes = [one.node for one in details]
        node, schema, operation = nodes[0], self._schema, self._operation
        definitions, name = self._definitions, node.name.value

        def resolve(source: Any, run: Run, path: Path | None) -> Any:
            own = Path(path, key, parent.name)
            info = ResolveInfo(
                name,
                nodes,
                field.type,
                parent,
                own,
                schema,
                definitions,
                None,
                operation,
                run.variables.coerced,
                run.context,
                is_awaitable,
                None,
                None,
                {},
            )
            said = get_argument_values(field, node, run.variables) if field.args else {}
            value = function(source, info, **said)
            if isinstance(value, CoroutineType):
                value = begin(value)
                if isinstance(value, Ended):
                    return complete(value.value, run, own)
            return (
                _later(value, complete, run, own)
                if is_awaitable(value)
                else complete(value, run, own)
            )

        return resolve

    def _value(self, type_: GraphQLOutputType, details: list[FieldDetails]) -> Complete:
        """Completes values of the type."""
        if is_non_null_type(type_):
            return _never_null(self._value(type_.of_type, details))
        if is_list_type(type_):
            return _each(self._value(type_.of_type, details))
        if is_leaf_type(type_):
            return _leaf(type_)
        if is_object_type(type_):
            return self._object(type_, details)
        raise Uncompiled

    def _object(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> Complete:
        selection = self._selection(
            type_,
            collect_subfields(
                self._schema, self._fragments, self._values, self._operation, type_, details
            ),
        )
        is_one = type_.is_type_of

        def complete(value: Any, run: Run, path: Path) -> Any:
            if value is None:
                return None
            if isinstance(value, Exception) or (
                is_one is not None and is_one(value, NOBODY) is not True
            ):
                raise Uncompiled
            return selection(value, run, path)

        is_spliced = details[0].node is self._spliced
        if type_.name in FRAGMENTED and (is_spliced or any(map(_has_fields, details))):
            fragment = _Fragment(complete, self._used(details))
            if is_spliced:
                self._fragment = fragment
            return fragment
        return complete

    def _used(self, details: list[FieldDetails]) -> list[str]:
        """The variables that have a say in the selection. (What the field itself is given decides
        what it is made of.)"""
        names = _Variables(self._definitions)
        for one in details:
            if one.node.selection_set is not None:
                visit(one.node.selection_set, names)
        return sorted(names.found)


def _has_fields(details: FieldDetails) -> bool:
    """Whether something below is looked up, so that keeping it pays."""
    selections = details.node.selection_set
    return selections is not None and any(
        not isinstance(one, FieldNode) or one.selection_set is not None
        for one in selections.selections
    )


class _Variables(Visitor):
    """Finds the variables in a selection and in the fragments that it spreads."""

    def __init__(self, definitions: Mapping[str, FragmentDefinitionNode]) -> None:
        super().__init__()
        self._definitions = definitions
        self._seen: set[str] = set()
        self.found: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        """That is one."""
        self.found.add(node.name.value)

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        """Looks into the fragment, once."""
        name = node.name.value
        if name not in self._seen:
            self._seen.add(name)
            visit(self._definitions[name], self)


def _around(
    parent: GraphQLObjectType, collected: CollectedFields, names: Container[str]
) -> tuple[bytes, list[FieldDetails], bytes] | None:
    """The JSON before and after the one field of one of these names, beside which nothing is
    selected but __typename."""
    own = [
        (key, details)
        for key, details in collected.grouped_field_set.items()
        if details[0].node.name.value != "__typename"
    ]
    if len(own) != 1 or own[0][1][0].node.name.value not in names or collected.new_defer_usages:
        return None
    [(asked, details)] = own
    parts = dict.fromkeys(collected.grouped_field_set, parent.name)
    before, _, after = msgspec.json.encode({**parts, asked: Raw(b"\0")}).partition(b"\0")
    return before, details, after


class _Fragment:
    """Gives what was kept of the artifact as JSON, where that is still right; else it is made, and
    kept if the answer turns out to be of one moment. `names` are the variables that have a say."""

    def __init__(self, complete: Complete, names: Sequence[str]) -> None:
        self.names = names
        self._complete = complete
        # Not the fragment itself, which would be there for as long as what was made of it.
        self._selection = object()

    def key(self, artifact_id: UUID, placed: object, role: Role, *said: str) -> Hashable:
        """What it is known by, of that artifact and what `names` say."""
        return (self._selection, artifact_id, placed, role, *said)

    def __call__(self, value: Any, run: Run, path: Path) -> Any:
        """As Complete has it."""
        fragments, reading = run.context.fragments, run.context.reading
        if value is None or fragments is None or reading is None:
            return self._complete(value, run, path)
        coerced = run.variables.coerced
        said = (repr(coerced.get(name, Undefined)) for name in self.names)
        key = self.key(value.artifact_id, value.placed, run.context.role, *said)
        kept = fragments.get(key, reading)
        if kept is not None:
            run.context.notes.add(kept.marks)
            return Raw(kept.said)
        notes = Notes()
        # What the artifact says of itself is looked up by nobody.
        notes.add((str(value.artifact_id),))
        found = self._complete(
            value, Run(run.variables, within(run.context, notes), run.made), path
        )
        if is_awaitable(found):
            return _made_later(found, run, key, notes)
        return _made(found, run, key, notes)


async def _made_later(found: Awaitable[Any], run: Run, key: Hashable, notes: Notes) -> Any:
    return _made(await found, run, key, notes)


def _made(found: Any, run: Run, key: Hashable, notes: Notes) -> Any:
    run.context.notes.add(notes.marks)
    if not notes.lasting:
        run.context.notes.pass_by()
    if not notes.keepable:
        return found
    said = Raw(msgspec.json.encode(found))
    run.made.append((key, said, frozenset(notes.marks)))
    return said


def _plain(name: str, complete: Complete) -> Resolve:
    """A leaf, which has no use for its path."""
    nowhere = Path(None, "", None)
    return lambda source, run, _: complete(getattr(source, name), run, nowhere)


def _attribute(key: str, parent: str, name: str, complete: Complete) -> Resolve:
    def resolve(source: Any, run: Run, path: Path | None) -> Any:
        return complete(getattr(source, name), run, Path(path, key, parent))

    return resolve


def _never_null(complete: Complete) -> Complete:
    def checked(value: Any, run: Run, path: Path) -> Any:
        if value is None:
            raise Uncompiled
        return complete(value, run, path)

    return checked


def _each(complete: Complete) -> Complete:
    def completed(values: Any, run: Run, path: Path) -> Any:
        if values is None:
            return None
        if type(values) is not list and type(values) is not tuple:
            raise Uncompiled
        answer: list[Any] = []
        waiting: list[int] = []
        try:
            for place, value in enumerate(values):
                found = complete(value, run, Path(path, place, None))
                answer.append(found)
                if is_awaitable(found):
                    waiting.append(place)
        except Exception as reason:
            if not waiting:
                raise
            return _filled(answer, waiting, reason)
        return _filled(answer, waiting) if waiting else answer

    return completed


def _leaf(type_: GraphQLLeafType) -> Complete:
    coerce = type_.coerce_output_value
    # What these types are given as a rule, and answer as it is.
    plain = PLAIN.get(type_.name)
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)

    def complete(value: Any, run: Run, path: Path) -> Any:
        if value is None or type(value) is plain:
            return value
        if isinstance(value, Exception):
            raise Uncompiled
        found = coerce(value)
        if found is None or found is Undefined:
            raise Uncompiled
        return found

    return complete


def _enum(type_: GraphQLEnumType) -> Complete:
    names: dict[Any, Any] = {}

    def complete(value: Any, run: Run, path: Path) -> Any:
        if value is None:
            return None
        if not isinstance(value, Enum):
            raise Uncompiled
        found = names.get(value)
        if found is None:
            found = names[value] = type_.coerce_output_value(value)
        return found

    return complete


async def _later(value: Awaitable[Any], complete: Complete, run: Run, path: Path) -> Any:
    found = complete(await value, run, path)
    return await found if is_awaitable(found) else found


async def _filled(answer: Any, places: Sequence[Any], reason: Exception | None = None) -> Any:
    """The dictionary or list with what is awaited at these places. All of it is awaited, whatever
    fails: others may wait for the same."""
    found = await asyncio.gather(*(answer[place] for place in places), return_exceptions=True)
    for place, value in zip(places, found, strict=True):
        if isinstance(value, BaseException):
            raise value
        answer[place] = value
    if reason is not None:
        raise reason
    return answer
