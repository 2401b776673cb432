"""Key: what a program shows to be let in, and as what.

A key is written `mg_<id>_<secret>`. Its id is no secret: it says which key is meant, in lists and
as the actor of events. Of the secret, history holds a digest alone.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from matchgraph.domain import text
from matchgraph.domain.aggregate import Aggregate, AggregateCreated, AggregateEvent, event
from matchgraph.domain.errors import BadExpiry
from matchgraph.domain.role import Role

KEYS = uuid5(NAMESPACE_URL, "urn:matchgraph:key")
LONGEST = timedelta(days=3_660)


def id_of(key: str) -> UUID:
    """The aggregate's id of the key with that id."""
    return uuid5(KEYS, key)


def digest_of(secret: str) -> str:
    """What is kept of a secret. SHA-256 is enough: a slow hash makes up for secrets that people
    think of, and nobody guesses 256 random bits however fast they try."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Key(Aggregate):
    """A key, from the day it was issued."""

    TOPIC = "key"

    class Issued(AggregateCreated):
        TOPIC = "key.issued"
        key: str
        name: str
        role: Role
        digest: str
        expires: datetime | None

    class Revoked(AggregateEvent):
        TOPIC = "key.revoked"

    @staticmethod
    def create_id(key: str) -> UUID:
        """The same for the same id, so that no id is given out twice."""
        return id_of(key)

    @classmethod
    def issue(
        cls, key: str, name: str, role: Role, digest: str, expires: datetime | None = None
    ) -> "Key":
        """A new key; `name` says for a person who has it. Raises: BadText, BadExpiry."""
        if expires is not None:
            _check_expiry(expires, AggregateEvent.create_timestamp())
        return cls(
            key=key, name=text.words("name", name), role=role, digest=digest, expires=expires
        )

    @event(Issued)
    def __init__(
        self, key: str, name: str, role: Role, digest: str, expires: datetime | None
    ) -> None:
        self.key = key
        self.name = name
        self.role = role
        self.digest = digest
        self.expires = expires
        self.revoked = False

    def admits(self, secret: str) -> bool:
        """Whether that is the key's secret; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(self.digest, digest_of(secret))

    def revoke(self) -> None:
        """Lets nobody in with it any more, or does nothing if that is so already."""
        if not self.revoked:
            self._revoked()

    @event(Revoked)
    def _revoked(self) -> None:
        self.revoked = True


def _check_expiry(expires: datetime, now: datetime) -> None:
    if expires.tzinfo is None:
        raise BadExpiry(expires, "it needs a time zone")
    if expires <= now:
        raise BadExpiry(expires, "it has passed")
    if expires > now + LONGEST:
        raise BadExpiry(expires, "it is more than ten years away; leave it out for never")
