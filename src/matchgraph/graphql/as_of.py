"""As of when something is asked: the argument that queries of the past take."""

from datetime import datetime
from typing import Annotated

import strawberry

from matchgraph.eventstore.connection import Pool
from matchgraph.graphql.context import Info
from matchgraph.graphql.inputs import moment
from matchgraph.graphql.scalars import BadInput, Position
from matchgraph.queries.as_of import position_of


@strawberry.input(
    description="A moment in the past: a position, or the last one that was recorded by a time.",
    one_of=True,
)
class AsOf:
    position: Position | None = strawberry.field(
        default=strawberry.UNSET, description="As of the event with that position."
    )
    time: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="As of the last event that was recorded by then."
    )

    def value(self, field: str) -> int | datetime:
        """The position, or the time. Raises: BadInput."""
        if isinstance(self.time, datetime):
            return moment(f"{field}.time", self.time)
        if isinstance(self.position, int):
            return self.position
        raise BadInput(f"`{field}` needs a position or a time.")

    async def found(self, pool: Pool) -> int:
        """The position that is meant. Raises: BadInput, BeforeHistory, TimeInFuture,
        Unavailable."""
        meant = self.value("asOf")
        return meant if isinstance(meant, int) else await position_of(pool, meant)


Then = Annotated[
    AsOf | None,
    strawberry.argument(
        description="Answer what was answered then, with everything below; now, if left out."
    ),
]


def check_now(info: Info, field: str) -> None:
    """Raises: BadInput below a field that is answered as of then."""
    if info.context.view(info).snapshot.as_of is not None:
        raise BadInput(
            f"`{field}` is answered as of now alone; leave it out, or leave out `asOf`.",
            code="NOT_AS_OF",
        )
