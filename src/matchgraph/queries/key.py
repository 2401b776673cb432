"""Keys that were issued, and what was revoked lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from matchgraph.domain.role import Role
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

ORDER = "keys"


class KeyStatus(StrEnum):
    """Whether a key lets anybody in."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Listed:
    """A key, without anything of its secret."""

    id: str
    name: str
    role: Role
    status: KeyStatus
    issued_at: datetime
    issued_by: str
    expires: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    position: int


async def listed(snapshot: Snapshot, first: int, after: str | None = None) -> Page[Listed]:
    """A page of the keys, the newest first. Raises: BadPageSize, BadCursor, Unavailable."""
    (before,) = (2**63 - 1,) if after is None else pages.decode(ORDER, after, int)
    rows = await snapshot.fetch(
        "SELECT k.id, k.name, k.role, CASE WHEN k.revoked IS NOT NULL THEN 'revoked'"
        " WHEN k.expires <= clock_timestamp() THEN 'expired' ELSE 'active' END AS status,"
        " i.recorded_at AS issued_at, i.actor AS issued_by, k.expires,"
        " r.recorded_at AS revoked_at, r.actor AS revoked_by, k.issued AS position"
        " FROM api_key k JOIN event i ON i.position = k.issued"
        " LEFT JOIN event r ON r.position = k.revoked"
        " WHERE k.issued < $1 ORDER BY k.issued DESC LIMIT $2",
        before,
        pages.size(first) + 1,
    )
    found = [
        Listed(**{**dict(row), "role": Role(row["role"]), "status": KeyStatus(row["status"])})
        for row in rows
    ]
    return pages.page(found, first, lambda one: pages.encode(ORDER, [one.position]))


async def revoked_after(snapshot: Snapshot, position: int) -> Sequence[tuple[str, int]]:
    """Keys that were revoked behind that position, each with its own. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "SELECT id, revoked FROM api_key WHERE revoked > $1 ORDER BY revoked", position
    )
    return [(row["id"], row["revoked"]) for row in rows]
