"""Keys: who has one, and issuing and revoking them, for operators."""

from datetime import datetime
from typing import Annotated

import strawberry

from matchgraph.commands import key as commands
from matchgraph.domain.role import Role
from matchgraph.graphql import refusals as r
from matchgraph.graphql.access import Needs
from matchgraph.graphql.artifact import After, Connection, First, edges, page_info
from matchgraph.graphql.changes import Key, by
from matchgraph.graphql.context import Info
from matchgraph.graphql.scalars import Position, text
from matchgraph.queries import key as queries
from matchgraph.queries.key import KeyStatus, Listed

strawberry.enum(Role, description="What somebody may do: each may do all that those before it may.")
strawberry.enum(KeyStatus, description="Whether a key lets anybody in.")


@strawberry.type(description="A key that was issued, without anything of its secret.")
class ApiKey:
    id: str = strawberry.field(
        description="What stands between `mg_` and the next `_` of the key; no secret."
    )
    name: str = strawberry.field(description="Who has it.")
    role: Role = strawberry.field(description="What it lets them do.")
    status: KeyStatus = strawberry.field(description="Whether it lets anybody in now.")
    issued_at: datetime = strawberry.field(description="When it was issued.")
    issued_by: str = strawberry.field(description="Who issued it, as the actor of that event.")
    expires: datetime | None = strawberry.field(
        description="From when on it lets nobody in; null: it does not expire."
    )
    revoked_at: datetime | None = strawberry.field(description="When it was revoked, if it was.")
    revoked_by: str | None = strawberry.field(description="Who revoked it.")
    position: Position = strawberry.field(description="The event that issued it.")

    @classmethod
    def of(cls, value: Listed) -> "ApiKey":
        """The value as the schema has it."""
        return cls(
            id=value.id,
            name=value.name,
            role=value.role,
            status=value.status,
            issued_at=value.issued_at,
            issued_by=value.issued_by,
            expires=value.expires,
            revoked_at=value.revoked_at,
            revoked_by=value.revoked_by,
            position=Position(value.position),
        )


@strawberry.type
class KeyQuery:
    """What can be asked about keys."""

    @strawberry.field(
        description="The keys that were issued, the newest first.",
        extensions=[Needs(Role.OPERATOR)],
    )
    async def keys(self, info: Info, first: First = 20, after: After = None) -> Connection[ApiKey]:
        page = await queries.listed(info.context.view(info).snapshot, first, after)
        return Connection(edges=edges(page, ApiKey.of), page_info=page_info(page, after))


@strawberry.type(description="The key lets its owner in from now on.")
class KeyIssued:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see it listed."
    )
    id: str = strawberry.field(description="Its id, to revoke it by.")
    key: str | None = strawberry.field(
        description=(
            "The key. It is shown now and never again; null where the call was repeated: revoke it "
            "then, and issue another one, if it was lost."
        )
    )


@strawberry.type(description="The key lets nobody in any more, and open connections end.")
class KeyRevoked:
    position: Position = strawberry.field(
        description="What the log has reached; ask a query for at least that to see it listed."
    )


IssueKeyResult = Annotated[
    KeyIssued | r.BadText | r.BadExpiry | r.IdempotencyKeyReused,
    strawberry.union("IssueKeyResult", description="What came of it."),
]
RevokeKeyResult = Annotated[
    KeyRevoked | r.UnknownKey | r.IdempotencyKeyReused,
    strawberry.union("RevokeKeyResult", description="What came of it."),
]


@strawberry.type
class KeyMutation:
    """Issuing and revoking keys."""

    @strawberry.mutation(
        description="Let somebody in, as a role.", extensions=[Needs(Role.OPERATOR)]
    )
    async def issue_key(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="Who has it, for a person.")],
        role: Annotated[Role, strawberry.argument(description="What it lets them do.")],
        expires: Annotated[
            datetime | None,
            strawberry.argument(
                description="From when on it lets nobody in; within ten years, or never."
            ),
        ] = None,
        idempotency_key: Key = None,
    ) -> IssueKeyResult:
        issued = await commands.issue(*by(info, idempotency_key), name, role, expires)
        return KeyIssued(position=Position(issued.position), id=issued.id, key=issued.key)

    @strawberry.mutation(
        description="Let nobody in with a key any more; its open connections end within a minute.",
        extensions=[Needs(Role.OPERATOR)],
    )
    async def revoke_key(
        self,
        info: Info,
        id: Annotated[str, strawberry.argument(description="The id of the key.")],
        idempotency_key: Key = None,
    ) -> RevokeKeyResult:
        position = await commands.revoke(*by(info, idempotency_key), text("id", id, limit=500))
        return KeyRevoked(position=Position(position))
