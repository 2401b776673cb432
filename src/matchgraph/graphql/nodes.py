"""What has a global id, and how it is found by it."""

from strawberry import relay

from matchgraph.graphql.artifact import Artifact, Capability
from matchgraph.graphql.context import Info
from matchgraph.graphql.scalars import BadInput, text

NODES: dict[str, type[Artifact] | type[Capability]] = {
    "Artifact": Artifact,
    "Capability": Capability,
}


async def find(info: Info, id: str) -> Artifact | Capability | None:
    """What has that id; None: nothing has. Raises: BadInput for what is none."""
    try:
        found = relay.GlobalID.from_id(text("id", id, limit=500))
        kind = NODES[found.type_name]
    except (relay.GlobalIDValueError, KeyError, ValueError):
        raise BadInput("`id` is not an id that this schema gave out.") from None
    (node,) = await kind.by_node_ids(info, [found.node_id])
    return node
