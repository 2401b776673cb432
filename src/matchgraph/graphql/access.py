"""What each role may do: declared once, at the field, and shown in its description."""

from typing import Any

from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver, SyncExtensionResolver
from strawberry.types.field import StrawberryField

from matchgraph.commands.change import artifact
from matchgraph.domain.role import Role
from matchgraph.graphql.context import ANONYMOUS, Context, Info


class NotAllowed(GraphQLError):
    """Whoever asks may not do that; says which role it needs."""

    def __init__(self, context: Context, what: str, role: Role) -> None:
        nobody = context.actor == ANONYMOUS
        has = (
            "send a key that has it, as `Authorization: Bearer` and the key"
            if nobody
            else f"yours is {context.role.name}"
        )
        super().__init__(
            f"{what} needs the role {role.name}; {has}.",
            extensions={"code": "UNAUTHENTICATED" if nobody else "FORBIDDEN", "needs": role.name},
        )


def require(context: Context, what: str, role: Role) -> None:
    """Returns if that may be done by whoever asks. Raises: NotAllowed."""
    if context.role < role:
        raise NotAllowed(context, what, role)


async def require_own(context: Context, what: str, slug: str, role: Role) -> None:
    """Returns if the artifact was registered by whoever asks, or their role is at least that.

    Raises: NotAllowed, UnknownArtifact, Unavailable.
    """
    if context.role >= role:
        return
    found = await artifact(context.store, slug)
    if await context.store.began(found.id) != context.actor:
        raise NotAllowed(context, f"{what} of what somebody else registered", role)


class Needs(FieldExtension):
    """The role that a field needs; `but` says in its description what depends on more."""

    def __init__(self, role: Role, but: str = "") -> None:
        self.role = role
        self._but = but

    def apply(self, field: StrawberryField) -> None:
        """Shows it to clients."""
        said = (
            "Anybody may." if self.role is Role.ANONYMOUS else f"Needs {self.role.name}{self._but}."
        )
        if not (field.description or "").endswith(said):  # by an earlier schema of this process
            field.description = f"{field.description} {said}"

    def resolve(
        self, next_: SyncExtensionResolver, source: Any, info: Info, **arguments: Any
    ) -> Any:
        """The field, for those who may."""
        require(info.context, info.field_name, self.role)
        return next_(source, info, **arguments)

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: Info, **arguments: Any
    ) -> Any:
        """The field, for those who may."""
        require(info.context, info.field_name, self.role)
        return await next_(source, info, **arguments)
