"""Issue and revoke keys.

Both can be repeated with their idempotency key. Beside the refusals named, each raises KeyReused,
Unavailable and OutcomeUnknown (see `change`).
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from matchgraph.commands.change import change, done_at
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.errors import UnknownKey
from matchgraph.domain.key import Key, digest_of, id_of
from matchgraph.domain.role import Role
from matchgraph.domain.text import printable
from matchgraph.eventstore.store import Request, Store

PREFIX = "mg_"
# Units: characters; 60 bits, in letters that a person does not confuse.
LENGTH = 12
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
# Units: bytes.
SECRET = 32
WRITTEN = re.compile(rf"{PREFIX}([a-z2-7]{{{LENGTH}}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True)
class Issued:
    """A key that was issued; `key` is the whole of it, and None when the command was repeated:
    nobody knows it any more."""

    position: int
    id: str
    key: str | None = field(repr=False)


def read(key: str) -> tuple[str, str] | None:
    """The id and the secret of a key as it is written; None for what cannot be one."""
    found = WRITTEN.fullmatch(key)
    return None if found is None else (found[1], found[2])


async def issue(
    store: Store, request: Request, name: str, role: Role, expires: datetime | None = None
) -> Issued:
    """Issues a key to whoever `name` says. Raises: BadText, BadExpiry."""
    made: dict[str, str] = {}

    async def decide() -> Sequence[Aggregate]:
        id = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        made[id] = secret = secrets.token_urlsafe(SECRET)
        return [Key.issue(id, name, role, digest_of(secret), expires)]

    position = await change(store, request, "issue_key", (name, role, expires), decide)
    # With an idempotency key, that may be where an earlier call arrived.
    with done_at(position):
        (recorded,) = await store.read(position - 1, limit=1)
    assert isinstance(recorded.event, Key.Issued), "that is what the command records"
    id = recorded.event.key
    return Issued(position, id, f"{PREFIX}{id}_{made[id]}" if id in made else None)


async def revoke(store: Store, request: Request, id: str) -> int:
    """Lets nobody in with that key any more; returns the position reached. Raises: UnknownKey."""

    async def decide() -> Sequence[Aggregate]:
        key = await store.load(id_of(printable(id)))
        if not isinstance(key, Key):
            # Short, lest it be a whole key that somebody gave by mistake.
            raise UnknownKey(printable(id)[:LENGTH])
        key.revoke()
        return [key]

    return await change(store, request, "revoke_key", (id,), decide)
