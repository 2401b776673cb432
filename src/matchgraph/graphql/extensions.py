"""What surrounds the execution of every operation."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated
from uuid import uuid4

import strawberry
from graphql import (
    DirectiveNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableDefinitionNode,
    value_from_ast_untyped,
)
from graphql.validation import NoSchemaIntrospectionCustomRule
from strawberry.directive import DirectiveLocation
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult as StreamedResult
from strawberry.types import StreamExecutionResult

from matchgraph.eventstore.errors import Conflict, KeyReused, OutcomeUnknown, Unavailable
from matchgraph.graphql.compiled import is_repeatable
from matchgraph.graphql.context import Context
from matchgraph.graphql.limits import MOST_ERRORS
from matchgraph.graphql.scalars import BadInput, Position, _read_position
from matchgraph.ledger.proof import NotSigned
from matchgraph.ledger.store import NoProof
from matchgraph.observe.operation import observed_error
from matchgraph.queries.as_of import BeforeHistory, Stuck, TimeInFuture
from matchgraph.queries.need import Contradiction, EmptyNeed, UnknownExample
from matchgraph.queries.page import BadCursor, BadPageSize
from matchgraph.queries.position import Behind, InFuture
from matchgraph.queries.series import TooManySeries
from matchgraph.queries.snapshot import NotKept

log = logging.getLogger(__name__)

# What graphql-core adds to an error where something else was probably meant.
SUGGESTION = re.compile(r" Did you mean .*", re.DOTALL)

# What a client can do something about, with the code that its program can tell it by.
CODES: dict[type[BaseException], str] = {
    BadCursor: "BAD_USER_INPUT",
    BadPageSize: "BAD_USER_INPUT",
    Contradiction: "CONTRADICTORY_NEED",
    EmptyNeed: "EMPTY_NEED",
    UnknownExample: "UNKNOWN_ARTIFACT",
    KeyReused: "IDEMPOTENCY_KEY_REUSED",
    Conflict: "CONFLICT",
    InFuture: "POSITION_IN_FUTURE",
    TooManySeries: "BAD_USER_INPUT",
    Behind: "BEHIND",
    BeforeHistory: "BEFORE_HISTORY",
    TimeInFuture: "TIME_IN_FUTURE",
    NotKept: "PAST_NOT_KEPT",
    Stuck: "READ_MODEL_STUCK",
    NotSigned: "NOT_SIGNED_YET",
    NoProof: "LEDGER_BROKEN",
    OutcomeUnknown: "OUTCOME_UNKNOWN",
    Unavailable: "UNAVAILABLE",
}

# How Strawberry says that there is nothing to execute.
NO_OPERATION = (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError)


@strawberry.directive(
    locations=[DirectiveLocation.QUERY, DirectiveLocation.SUBSCRIPTION],
    name="atLeast",
    description=(
        "Answer from read models that include this position, waiting a few seconds for them: the "
        "position that a mutation returned makes its effect seen."
    ),
)
def at_least(
    position: Annotated[
        Position, strawberry.argument(description="The position that the answer must include.")
    ],
) -> None:
    """Carried out by `ReadYourWrites`; a directive on an operation has no value to change."""


class ReadYourWrites(SchemaExtension):
    """Waits for the position that the operation asks for with @atLeast, and refuses what cannot
    be carried out: an operation that nobody named, or a stream where one answer is given."""

    async def on_execute(self) -> AsyncIterator[None]:
        """Waits, or answers with the error that says why not."""
        execution = self.execution_context
        error = self._ambiguous() or self._unstreamed() or await self._behind()
        if error is not None:
            if execution.context.course is not None:
                # A result that is there already stops a query, but not a subscription.
                raise error
            execution.result = ExecutionResult(data=None, errors=[error])
        yield

    def _ambiguous(self) -> GraphQLError | None:
        execution = self.execution_context
        if (
            execution._provided_operation_name is None
            and _operations(execution.graphql_document) > 1
        ):
            # Which one was meant nobody can know, and one of them may change something. (The
            # public `operation_name` falls back on the first one, so it cannot tell.)
            return GraphQLError("The document has several operations: name one of them.")
        return None

    def _unstreamed(self) -> GraphQLError | None:
        execution = self.execution_context
        operation = _operation(execution.graphql_document, execution.operation_name)
        if (
            execution.context.course is None
            and operation is not None
            and operation.operation is OperationType.SUBSCRIPTION
        ):
            return BadInput(
                "A subscription needs a stream: a WebSocket with the subprotocol "
                "graphql-transport-ws, or a request that accepts text/event-stream.",
                code="NEEDS_STREAM",
            )
        return None

    async def _behind(self) -> GraphQLError | None:
        execution = self.execution_context
        operation = _operation(execution.graphql_document, execution.operation_name)
        directive = _at_least(operation)
        if operation is None or directive is None:
            return None
        context: Context = execution.context
        try:
            value = value_from_ast_untyped(
                (directive.arguments or ())[0].value,
                {**_defaults(operation), **(execution.variables or {})},
            )
            if value is not Undefined:  # which the execution itself complains of
                await context.see(_read_position(value))
        except (BadInput, Behind, InFuture, Unavailable) as reason:
            if isinstance(reason, GraphQLError):
                return reason
            return GraphQLError(str(reason), nodes=[directive], original_error=reason)
        return None


def _operations(document: object) -> int:
    definitions = getattr(document, "definitions", ())
    return sum(isinstance(one, OperationDefinitionNode) for one in definitions)


def _operation(document: object, name: str | None) -> OperationDefinitionNode | None:
    for operation in getattr(document, "definitions", ()):
        if isinstance(operation, OperationDefinitionNode) and (
            name is None or (operation.name is not None and operation.name.value == name)
        ):
            return operation
    return None


def _at_least(operation: OperationDefinitionNode | None) -> DirectiveNode | None:
    directives = (operation and operation.directives) or ()
    return next((found for found in directives if found.name.value == "atLeast"), None)


def _defaults(operation: OperationDefinitionNode) -> dict[str, object]:
    return {
        variable.variable.name.value: value_from_ast_untyped(variable.default_value)
        for variable in operation.variable_definitions or ()
        if variable.default_value is not None
    }


class ClosedSchema(SchemaExtension):
    """Keeps the schema from those who may not look around in it."""

    def on_operation(self) -> Iterator[None]:
        """Refuses introspection; suggestions are left out by `ErrorCodes`."""
        execution = self.execution_context
        if not execution.context.shows_schema:
            execution.validation_rules = (
                *execution.validation_rules,
                NoSchemaIntrospectionCustomRule,
            )
        yield


class OneView(SchemaExtension):
    """Ends the operation's view of the read models when it has been answered."""

    async def on_operation(self) -> AsyncIterator[None]:
        """Gives the connection back whatever happens."""
        try:
            yield
            await self._finish()
        finally:
            await self.execution_context.context.close()

    async def _finish(self) -> None:
        """Notes what the answer is as of, if it may be given again."""
        execution = self.execution_context
        context: Context = execution.context
        operation = _operation(execution.graphql_document, execution.operation_name)
        result = execution.result
        if result is None or result.errors or not context.notes.keepable or operation is None:
            return
        if is_repeatable(operation) and _at_least(operation) is None:
            with suppress(Unavailable):
                await context.note_position()

    async def on_stream_result(self, result: StreamExecutionResult) -> AsyncIterator[None]:
        """The next change of a subscription is answered from a view of its own."""
        await self.execution_context.context.look_again()
        yield


class ErrorCodes(SchemaExtension):
    """Every error has a code; one that is not the client's to mend shows an id and no more."""

    def on_operation(self):  # type: ignore[no-untyped-def]
        """Replaces the errors of the result."""
        yield
        result = self.execution_context.result
        if result is not None and result.errors:
            result.errors = [self.presentable(error) for error in result.errors[:MOST_ERRORS]]

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        """Replaces the errors of one result of many."""
        if isinstance(result, StreamedResult) and result.errors:
            result.errors = [self.presentable(error) for error in result.errors[:MOST_ERRORS]]
        yield

    def presentable(self, error: GraphQLError) -> GraphQLError:
        """The error as a client may see it."""
        cause = error.original_error
        while isinstance(cause, GraphQLError) and cause.original_error is not None:
            cause = cause.original_error
        if cause is None or isinstance(cause, (GraphQLError, *NO_OPERATION)):
            # A document that makes no sense, or values that do not go with it.
            of_values = error.path is not None or any(
                isinstance(node, VariableDefinitionNode) for node in error.nodes or ()
            )
            code = (error.extensions or {}).get("code") or (
                getattr(cause, "extensions", None) or {}
            ).get("code", "BAD_USER_INPUT" if of_values else "GRAPHQL_VALIDATION_FAILED")
            error.extensions = {**(error.extensions or {}), "code": code}
            if not self.execution_context.context.shows_schema:
                error.message = SUGGESTION.sub("", error.message)
            return error
        for known, code in CODES.items():
            if isinstance(cause, known):
                return _shown(error, str(cause), {"code": code})
        error_id = uuid4().hex
        observed_error(error_id)
        log.error("error %s at %s", error_id, error.path, exc_info=cause)
        return _shown(
            error,
            f"Something went wrong here; the log has it under {error_id}.",
            {"code": "INTERNAL", "id": error_id},
        )


def _shown(error: GraphQLError, message: str, extensions: dict[str, object]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions=extensions)
