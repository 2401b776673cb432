"""Read model `api_key`: which keys were issued, and which of them were revoked.

Read by queries/key.py, for lists and to hear of what is revoked. Who is let in is decided by the
log itself (http/access.py), so that no key works longer because a read model is behind.
"""

from datetime import datetime

from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.store import REVOKED
from matchgraph.projections.projection import Batch, Heard, Projection, insert


class Issued(Heard, tag="key.issued", frozen=True):
    key: str
    name: str
    role: str
    expires: datetime | None = None


class Revoked(Heard, tag="key.revoked", frozen=True):
    pass


async def apply(db: Connection, batch: Batch) -> None:
    """Keeps every key, and has those who let people in look when one is revoked."""
    issued: list[tuple[object, ...]] = []
    revoked: dict[str, int] = {}
    for position, event in batch:
        match event:
            case Issued():
                issued.append(
                    (event.key, event.name, event.role, event.expires, position, None, event.id)
                )
            case Revoked():
                revoked[event.id] = position
    await insert(db, "api_key", issued)
    if revoked:
        await db.execute(
            "UPDATE api_key SET revoked = u.position"
            " FROM unnest($1::uuid[], $2::bigint[]) AS u (id, position)"
            " WHERE api_key.aggregate_id = u.id",
            list(revoked),
            list(revoked.values()),
        )
        await db.execute(f"NOTIFY {REVOKED}")


API_KEY = Projection(name="api_key", tables=("api_key",), hears=(Issued, Revoked), apply=apply)
