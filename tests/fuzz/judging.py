"""What every answer must be, whatever was asked."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

# What only a database, an interpreter or a file of ours says.
OURS = re.compile(
    r"Traceback|asyncpg|postgres|psycopg|strawberry|graphql-core|site-packages|\.py\b|/src/|"
    r"relation \\*\"|invalid input syntax|violates|duplicate key|out of range for type|"
    r"syntax error at|"
    r"SQLSTATE|could not (?:serialize|determine)|invalid byte sequence|codec can't|Unicode\w+Error|"
    r"\b(?:Key|Type|Value|Attribute|Index|Overflow|Recursion|Lookup)Error\b|object at 0x|NoneType",
    re.IGNORECASE,
)


class Wrong(AssertionError):
    """An answer that nobody may get."""


class Judge:
    """Judges answers, and counts which fields were resolved."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.resolved: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def response(self, status: int, body: bytes, document: str | None) -> Any:
        """What was answered over HTTP. Raises: Wrong."""
        if status >= 500:
            raise Wrong(f"{status}: {body[:500]!r}")
        self.text(body.decode())
        try:
            answer = json.loads(body)
        except ValueError:
            if status < 400 or not body:
                raise Wrong(f"{status} without JSON: {body[:200]!r}") from None
            # Before GraphQL: in plain words.
            return None
        self.answer(answer, document)
        return answer

    def answer(self, answer: Any, document: str | None) -> None:
        """One answer of GraphQL. Raises: Wrong."""
        if not isinstance(answer, dict) or not answer.keys() & {"data", "errors"}:
            raise Wrong(f"no answer of GraphQL: {answer}")
        self.errors(answer.get("errors", []))
        if document is not None and answer.get("data") is not None:
            self._conforms(document, answer)

    def errors(self, errors: Any) -> None:
        """Errors, each with a code. Raises: Wrong."""
        for error in errors:
            code = error.get("extensions", {}).get("code")
            if not isinstance(code, str) or not code or not error.get("message"):
                raise Wrong(f"an error without a code: {error}")
            self.codes[code] += 1
            if code == "INTERNAL":
                raise Wrong(f"a bug: {error}")

    def text(self, said: str) -> None:
        """Nothing of what is behind the door. Raises: Wrong."""
        if found := OURS.search(said):
            near = said[max(0, found.start() - 200) : found.end() + 200]
            raise Wrong(f"{found[0]!r} is nobody's business: {near}")

    def _conforms(self, document: str, answer: Any) -> None:
        """Whether the data is what the schema says of what was asked."""
        (operation,) = parse(document).definitions
        assert isinstance(operation, OperationDefinitionNode)
        root = self._schema.get_root_type(operation.operation)
        failed = {tuple(error.get("path", ())) for error in answer.get("errors", [])}
        self._fits(root, [operation.selection_set], answer["data"], (), failed)

    def _fits(
        self,
        kind: Any,
        asked: list[SelectionSetNode],
        value: Any,
        path: tuple[str | int, ...],
        failed: set[tuple[str | int, ...]],
    ) -> None:
        if isinstance(kind, GraphQLNonNull):
            if value is None:
                raise Wrong(f"{path}: nothing where {kind} is promised")
            kind = kind.of_type
        if value is None:
            return
        if isinstance(kind, GraphQLList):
            if not isinstance(value, list):
                raise Wrong(f"{path}: {value!r} is no list")
            for number, one in enumerate(value):
                self._fits(kind.of_type, asked, one, (*path, number), failed)
        elif isinstance(kind, GraphQLEnumType):
            if value not in kind.values:
                raise Wrong(f"{path}: {value!r} is no {kind}")
        elif isinstance(kind, GraphQLScalarType):
            if not FORMS[kind.name](value):
                raise Wrong(f"{path}: {value!r} is no {kind}")
        else:
            self._object(kind, asked, value, path, failed)

    def _object(
        self,
        kind: Any,
        asked: list[SelectionSetNode],
        value: Any,
        path: tuple[str | int, ...],
        failed: set[tuple[str | int, ...]],
    ) -> None:
        if not isinstance(value, dict):
            raise Wrong(f"{path}: {value!r} is no {kind}")
        concrete = self._schema.type_map.get(value.get("__typename", kind.name))
        assert isinstance(concrete, GraphQLObjectType)
        if concrete is not kind and not self._schema.is_sub_type(kind, concrete):
            raise Wrong(f"{path}: {concrete} is no {kind}")
        fields: dict[str, list[SelectionSetNode]] = {}
        for one in asked:
            self._collect(concrete, one, fields)
        if value.keys() != fields.keys():
            raise Wrong(f"{path}: {sorted(value)} for {sorted(fields)}")
        for name, below in fields.items():
            if name == "__typename":
                continue
            here = (*path, name)
            self._fits(concrete.fields[name].type, below, value[name], here, failed)
            if value[name] is not None or here not in failed:
                self.resolved[f"{concrete.name}.{name}"] += 1

    def _collect(
        self,
        concrete: GraphQLObjectType,
        asked: SelectionSetNode,
        fields: dict[str, list[SelectionSetNode]],
    ) -> None:
        for node in asked.selections:
            if isinstance(node, FieldNode):
                below = fields.setdefault(node.name.value, [])
                below += [node.selection_set] if node.selection_set else []
            elif isinstance(node, InlineFragmentNode) and node.type_condition is not None:
                meant: Any = self._schema.type_map[node.type_condition.name.value]
                if meant is concrete or (
                    not isinstance(meant, GraphQLObjectType)
                    and self._schema.is_sub_type(meant, concrete)
                ):
                    self._collect(concrete, node.selection_set, fields)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _reads(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


FORMS: dict[str, Callable[[Any], bool]] = {
    "Int": lambda value: type(value) is int and abs(value) < 2**31,
    "Long": lambda value: type(value) is int and abs(value) < 2**63,
    "Float": _is(int, float),
    "Boolean": _is(bool),
    "String": _is(str),
    "ID": _is(str),
    "JSON": lambda value: True,
    "Position": _reads(r"[0-9]{1,19}"),
    "Decimal": _reads(r"-?[0-9]+(\.[0-9]+)?"),
    "Date": _reads(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "DateTime": _reads(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})"),
}
