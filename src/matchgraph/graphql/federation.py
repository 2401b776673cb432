"""The schema as a subgraph of Apollo Federation 2, for those who put several behind one gateway.

Off by default, see docs/clients.md. A gateway asks `_service` for the schema with its directives,
and `_entities` for what other subgraphs know by a key alone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, NewType

import strawberry
from graphql import (
    REMOVE,
    DefinitionNode,
    FieldDefinitionNode,
    ObjectTypeDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)
from strawberry.types.scalar import ScalarDefinition

from matchgraph.domain.role import Role
from matchgraph.graphql.access import NotAllowed
from matchgraph.graphql.artifact import Artifact, Capability
from matchgraph.graphql.context import Info
from matchgraph.graphql.nodes import find
from matchgraph.graphql.scalars import BadInput, text

LINK = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3",'
    ' import: ["@key", "@shareable"])\n\n'
)
# What stands behind the name of a type.
DIRECTIVES = {
    "Artifact": '@key(fields: "id") @key(fields: "slug")',
    "Capability": '@key(fields: "id")',
    # Every subgraph with Relay's connections has this one.
    "PageInfo": "@shareable",
}
MOST_ENTITIES = 250

Representation = NewType("Representation", dict)  # type: ignore[type-arg]


def _read_representation(value: object) -> Representation:
    if not isinstance(value, dict) or not isinstance(value.get("__typename"), str):
        raise BadInput("A representation is an object with a `__typename` and a key.")
    return Representation(value)


REPRESENTATIONS: dict[object, ScalarDefinition] = {
    Representation: strawberry.scalar(
        name="_Any",
        description="An entity as a gateway knows it: its type and one of its keys.",
        parse_value=_read_representation,
    )
}

Entity = Annotated[
    Artifact | Capability, strawberry.union("_Entity", description="What a key leads to.")
]


@strawberry.type(name="_Service", description="What a gateway has to know of this subgraph.")
class Service:
    sdl: str = strawberry.field(description="The schema with the directives of Federation.")


@strawberry.type
class FederationQuery:
    """What a gateway asks."""

    @strawberry.field(
        name="_service",
        description="The schema for a gateway; for whoever the schema is shown to.",
    )
    def service(self, info: Info) -> Service:
        if not info.context.shows_schema:
            raise NotAllowed(info.context, "_service", Role.CONTRIBUTOR)
        return Service(sdl=info.schema.as_str())

    @strawberry.field(
        name="_entities",
        description="What the keys lead to, in the order asked; null: nothing, or an error.",
    )
    async def entities(
        self,
        info: Info,
        representations: Annotated[
            list[Representation],
            strawberry.argument(description=f"Types and keys; {MOST_ENTITIES} at most."),
        ],
    ) -> list[Entity | None]:
        if len(representations) > MOST_ENTITIES:
            raise BadInput(
                f"`representations` has {len(representations)} entries; at most {MOST_ENTITIES}"
                " are taken."
            )
        # A mistake in one of them, which goes to its place, must not take the others away.
        found: Any = await asyncio.gather(
            *(_entity(info, one) for one in representations), return_exceptions=True
        )
        return list(found)


async def _entity(info: Info, said: Mapping[str, Any]) -> Artifact | Capability | None:
    """What the key leads to. Raises: BadInput."""
    kind, id, slug = (said.get(name) for name in ("__typename", "id", "slug"))
    if kind in ("Artifact", "Capability") and isinstance(id, str):
        found = await find(info, id)
        if found is not None and type(found).__name__ != kind:
            raise BadInput(f"That is the id of no {kind}.")
        return found
    if kind == "Artifact" and isinstance(slug, str):
        view = info.context.view(info)
        listing = await view.loaders.by_slug.load(text("slug", slug, limit=500))
        return None if listing is None else Artifact.of(listing)
    raise BadInput("An entity is an Artifact by its `id` or `slug`, or a Capability by its `id`.")


def federated(sdl: str) -> str:
    """The schema as a gateway reads it: with the directives, and without what it adds by itself."""
    return LINK + print_ast(visit(parse(sdl), _ForGateways()))


class _ForGateways(Visitor):
    def leave(self, node: object, *_: object) -> object:
        if not isinstance(node, DefinitionNode | FieldDefinitionNode):
            return None
        name = getattr(getattr(node, "name", None), "value", "")
        if name.startswith("_"):
            return REMOVE
        if isinstance(node, ObjectTypeDefinitionNode) and name in DIRECTIVES:
            (bearer,) = parse(f"type Bearer {DIRECTIVES[name]}").definitions
            assert isinstance(bearer, ObjectTypeDefinitionNode), "it is written so"
            return replace(node, directives=bearer.directives)
        return None


class Federated:
    """A schema that prints itself as a gateway reads it."""

    def as_str(self) -> str:
        """The schema in its own language."""
        return self._federated

    @cached_property
    def _federated(self) -> str:
        return federated(super().as_str())  # type: ignore[misc]
