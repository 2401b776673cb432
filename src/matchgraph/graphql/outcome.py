"""What became of served results: the mutation that reports it, and what was made of it."""

from typing import Annotated

import strawberry

from matchgraph.commands import search as commands
from matchgraph.commands.outcome_token import LONGEST
from matchgraph.domain.role import Role
from matchgraph.graphql import refusals as r
from matchgraph.graphql.access import Needs
from matchgraph.graphql.changes import Key, by
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import Discard, Outcome
from matchgraph.graphql.refusals import Refusal
from matchgraph.graphql.scalars import Position, text
from matchgraph.queries import match_graph as queries


@strawberry.type(description="The report counts from now on.")
class OutcomeReported:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see its effect."
    )
    outcome: Outcome = strawberry.field(description="What was reported.")


@strawberry.type(description="The report counts nowhere; that it was sent, and why, is recorded.")
class OutcomeDiscarded(Refusal):
    reason: Discard = strawberry.field(description="Why it does not count.")
    position: Position = strawberry.field(description="The event that recorded it.")


ReportOutcomeResult = Annotated[
    OutcomeReported | OutcomeDiscarded | r.IdempotencyKeyReused,
    strawberry.union("ReportOutcomeResult", description="What came of it."),
]


@strawberry.type
class OutcomeMutation:
    """What became of served results."""

    @strawberry.mutation(
        description=(
            "Say what became of a result of a search. A later report on the same result counts if "
            "it goes further: from DISMISSED or CLICKED to CHOSEN, from there to SUCCEEDED or "
            "FAILED. Send the header `X-Searcher` with a name for whoever searches, any opaque "
            "text; without it, all who come from one address are one searcher, and share its say."
        ),
        extensions=[Needs(Role.ANONYMOUS)],
    )
    async def report_outcome(
        self,
        info: Info,
        token: Annotated[
            str, strawberry.argument(description="The `outcomeToken` that came with the result.")
        ],
        outcome: Annotated[Outcome, strawberry.argument(description="What became of it.")],
        idempotency_key: Key = None,
    ) -> ReportOutcomeResult:
        context = info.context
        report = commands.Report(text("token", token, limit=LONGEST), outcome, context.searcher)
        result = await commands.report_outcome(
            *by(info, idempotency_key),
            report,
            secrets=context.secrets,
            reports_on=lambda who, day: queries.reports_on(context.view(info).snapshot, who, day),
            recent=context.recent,
        )
        if isinstance(result, commands.OutcomeDiscarded):
            return OutcomeDiscarded(
                message=result.message, reason=result.reason, position=Position(result.position)
            )
        return OutcomeReported(position=Position(result.position), outcome=result.outcome)
