"""Puts the nouns together."""

import logging
from collections.abc import Callable
from typing import Annotated, Any

import strawberry
from graphql import DocumentNode, ExecutionResult, Executor, GraphQLError
from strawberry import relay
from strawberry.extensions import SchemaExtension
from strawberry.extensions.directives import DirectivesExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.execution import ExecutionContext
from strawberry.utils.await_maybe import await_maybe

from matchgraph.graphql.artifact import Artifact, ArtifactQuery, Capability
from matchgraph.graphql.changes import ArtifactMutation
from matchgraph.graphql.comparison import ComparisonQuery
from matchgraph.graphql.context import Info
from matchgraph.graphql.documents import Documents, Remembered
from matchgraph.graphql.extensions import (
    ClosedSchema,
    ErrorCodes,
    OneView,
    ReadYourWrites,
    at_least,
)
from matchgraph.graphql.federation import REPRESENTATIONS, Federated, FederationQuery
from matchgraph.graphql.history import HistoryQuery
from matchgraph.graphql.identity import IdentityMutation, IdentityQuery
from matchgraph.graphql.key import KeyMutation, KeyQuery
from matchgraph.graphql.ledger import LedgerQuery
from matchgraph.graphql.limits import Bounded
from matchgraph.graphql.nodes import find
from matchgraph.graphql.observe import Observed
from matchgraph.graphql.outcome import OutcomeMutation
from matchgraph.graphql.ranking import RankMutation, RankQuery
from matchgraph.graphql.refusals import HANDLERS
from matchgraph.graphql.scalars import SCALARS, Position
from matchgraph.graphql.search import SearchQuery
from matchgraph.graphql.subscription import Subscription
from matchgraph.queries.position import positions


@strawberry.type(description="How far the log and the read models have come.")
class Positions:
    head: Position = strawberry.field(description='The newest event, "0" while there is none.')
    reached: Position = strawberry.field(
        description="What every read model includes; queries answer as of this or later."
    )


@strawberry.type(description="What can be asked.")
class Query(
    ArtifactQuery,
    ComparisonQuery,
    HistoryQuery,
    IdentityQuery,
    KeyQuery,
    LedgerQuery,
    RankQuery,
    SearchQuery,
):
    @strawberry.field(description="Whatever has that global id; null: nothing.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="A global id.")],
    ) -> relay.Node | None:
        return await find(info, str(id))

    @strawberry.field(description="How far the log and the read models have come.")
    async def position(self, info: Info) -> Positions:
        reached, head = await positions(info.context.pool)
        return Positions(head=Position(head), reached=Position(reached))


@strawberry.type(description="What can be changed.")
class Mutation(ArtifactMutation, IdentityMutation, KeyMutation, OutcomeMutation, RankMutation):
    pass


class EventExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's, which forgets after each change of a subscription what it looked up for it.

    As of 3.3.2 the executors of all changes share these two tables, and each change adds entries
    that no other can use: about three kilobytes, for as long as the subscription lasts.
    """

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        """The executor of one change."""
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}
        executor._stream_usages = type(executor._stream_usages)()
        return executor


class CatalogSchema(strawberry.Schema):
    """The schema; errors are logged by `ErrorCodes`, which knows which ones are ours."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.documents = Documents()

    def _get_execute_function(self) -> Callable[..., Any]:
        """Queries that only read are carried out by plan; all others, and whatever goes wrong, by
        graphql-core."""
        by_core = super()._get_execute_function()

        async def execute(schema: Any, document: DocumentNode, **said: Any) -> Any:
            known = self.documents.of(document)
            if known is not None:
                answered = await known.plans.execute(
                    schema, said["variable_values"], said["operation_name"], said["context_value"]
                )
                if answered is not None:
                    return ExecutionResult(answered.data, None)
            return await await_maybe(by_core(schema, document, **said))

        return execute

    def get_extensions(self, sync: bool = False) -> list[SchemaExtension]:
        """All but Strawberry's own for directives: ours stand on operations, and looking for one on
        every field takes as long as all the rest of an execution."""
        return [
            extension
            for extension in super().get_extensions(sync)
            if not isinstance(extension, DirectivesExtension)
        ]

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Leaves the client's own mistakes out of the log."""
        logging.getLogger(__name__).debug("%s errors answered", len(errors))


@strawberry.type(name="Query", description="What can be asked.")
class FederatedQuery(Query, FederationQuery):
    pass


class FederatedSchema(Federated, CatalogSchema):
    """The schema as a subgraph."""


def build(*, federation: bool = False) -> CatalogSchema:
    """The schema as it is served; with `federation`, as a subgraph."""
    return (FederatedSchema if federation else CatalogSchema)(
        query=FederatedQuery if federation else Query,
        mutation=Mutation,
        subscription=Subscription,
        directives=[at_least],
        types=[Artifact, Capability],
        extensions=[
            Observed,
            ErrorCodes,
            OneView,
            ReadYourWrites,
            ClosedSchema,
            Remembered,
            Bounded,
        ],
        exception_handlers=HANDLERS,
        execution_context_class=EventExecutor,
        config=StrawberryConfig(scalar_map={**SCALARS, **(REPRESENTATIONS if federation else {})}),
    )


def sdl(*, federation: bool = False) -> str:
    """The schema in its own language, as `schema.graphql` holds it, or as a gateway reads it."""
    return build(federation=federation).as_str() + "\n"
