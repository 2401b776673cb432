"""Tells what observes this process of each operation: its type, its name, and how it ended."""

from collections.abc import Iterator
from typing import Any

from graphql import GraphQLObjectType, OperationDefinitionNode
from strawberry.extensions import SchemaExtension
from strawberry.schema import BaseSchema
from strawberry.types import ExecutionResult as StreamedResult
from strawberry.types import StreamExecutionResult
from strawberry.types.field import StrawberryField

from matchgraph.graphql.context import Context
from matchgraph.observe import span
from matchgraph.observe.metrics import CANCELLED
from matchgraph.observe.operation import CURRENT, SUBSCRIPTION, UNKNOWN, Operation

HTTP, SSE, WEBSOCKET, SHARED = "http", "sse", "websocket", "shared"


class Observed(SchemaExtension):
    """Notes what an operation is and how it ended. Over HTTP, what answers the request has begun it
    and ends it (http/observe.py); else that is done here."""

    def on_operation(self) -> Iterator[None]:
        """Around the whole operation."""
        context: Context = self.execution_context.context
        observer = context.observer
        if observer is None:
            yield
            return
        operation = CURRENT.get()
        own = operation is None or context.transport in (WEBSOCKET, SHARED)
        if own or operation is None:
            operation = observer.begin(context.transport, context.request_id)
            # What is shared is nobody's operation: those who share it are counted where they come
            # and go.
            operation.is_open = context.transport != SHARED
            # It has a task of its own, so nothing has to be put back.
            CURRENT.set(operation)
        operation.transport = context.transport
        operation.actor = context.actor
        if context.transport == WEBSOCKET and observer.traces is not None:
            operation.spans = observer.traces
        try:
            if operation.spans is None or context.transport == SSE:
                yield
            else:
                with operation.spans.within("GraphQL", {}) as traced:
                    yield
                    self._describe(operation)
                    _name(traced, operation)
        except BaseException as reason:
            if not isinstance(reason, Exception | GeneratorExit):
                operation.outcome = CANCELLED
            raise
        finally:
            self._describe(operation)
            if own:
                observer.end(operation)

    def _describe(self, operation: Operation) -> None:
        execution = self.execution_context
        definition = _definition(execution.graphql_document, execution._provided_operation_name)
        operation.kind = UNKNOWN if definition is None else definition.operation.value
        if definition is not None and definition.name is not None:
            operation.name = definition.name.value
        result = execution.result
        if operation.kind != SUBSCRIPTION and result is not None and result.errors:
            operation.codes = [_code(error) for error in result.errors]

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        """Counts the errors of one result of many, and notes the last ones."""
        yield
        if isinstance(result, StreamedResult) and result.errors:
            operation = CURRENT.get()
            if operation is not None:
                operation.codes = [_code(error) for error in result.errors]


def _code(error: Any) -> str:
    return str((error.extensions or {}).get("code", "INTERNAL"))


def _definition(document: Any, name: str | None) -> OperationDefinitionNode | None:
    """The operation that is carried out; its name is one of GraphQL, whatever a client said."""
    for one in getattr(document, "definitions", ()):
        if isinstance(one, OperationDefinitionNode) and (
            not name or (one.name is not None and one.name.value == name)
        ):
            return one
    return None


def _name(traced: Any, operation: Operation) -> None:
    traced.update_name(f"{operation.kind} {operation.name or ''}".rstrip())
    traced.set_attribute("graphql.operation.type", operation.kind)
    if operation.name is not None:
        traced.set_attribute("graphql.operation.name", operation.name[:100])
    if operation.codes:
        traced.set_attribute("matchgraph.codes", tuple(sorted(set(operation.codes))))
    if operation.cost is not None:
        traced.set_attribute("matchgraph.cost", operation.cost)


def trace_fields(schema: BaseSchema) -> None:
    """Has a span made of each top-level field that loads something. (What is loaded for fields
    below them is loaded in batches, each with a span of its own: loaders.py.)"""
    for kind in ("Query", "Mutation"):
        found = schema._schema.get_type(kind)  # type: ignore[attr-defined]
        assert isinstance(found, GraphQLObjectType), "the schema has both"
        for name, field in found.fields.items():
            definition = field.extensions.get("strawberry-definition")
            if isinstance(definition, StrawberryField) and definition.is_async:
                field.resolve = _traced(field.resolve, f"{kind}.{name}")


def _traced(resolve: Any, name: str) -> Any:
    async def traced(*arguments: Any, **named: Any) -> Any:
        with span(name):
            return await resolve(*arguments, **named)

    return traced
