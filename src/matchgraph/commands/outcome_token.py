"""Outcome tokens: handed out with each served result, and asked for with each report.

A token is signed and says which result of which search it stands for; nobody can make one, and
there is nothing in it to hide. Secrets are given newest first: the newest signs, all verify, so
that a secret can be replaced while the tokens of the one before are still out.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from itsdangerous import BadData, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from matchgraph.domain.search import Served

LIFE = timedelta(days=30)
# Of what this release signs; another shape of tokens gets another one.
SALT = "matchgraph.outcome.1"
# Units: characters. Ours have some 200; more than that nobody signed.
LONGEST = 1_000
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{43}")


class Forged(Exception):
    """No secret of ours signed that."""


@dataclass(frozen=True)
class Token:
    """Which result a report is about."""

    search_id: UUID
    artifact_id: UUID
    position: int


@dataclass
class Expired(Exception):
    """A token of ours that is older than LIFE."""

    token: Token


def sign(secrets: Sequence[str], search_id: UUID, served: Served) -> str:
    """The token for a served result."""
    signed = _serializer(secrets).dumps([search_id.hex, served.artifact_id.hex, served.position])
    assert isinstance(signed, str), "the serializer is one of text"
    return signed


def read(secrets: Sequence[str], token: str, now: datetime) -> Token:
    """What the token says. Raises: Forged, Expired."""
    signature = token.rpartition(".")[2]
    # Base64 has two bits to spare here, and decoders pass over what is not of the alphabet.
    if not _SIGNATURE.fullmatch(signature) or base64_encode(base64_decode(signature)) != (
        signature.encode()
    ):
        raise Forged
    try:
        said, signed_at = _serializer(secrets).loads(token, return_timestamp=True)
        search, artifact, position = said
        found = Token(UUID(search), UUID(artifact), position)
    except (BadData, ValueError, TypeError, AttributeError):
        raise Forged from None
    if now - signed_at > LIFE:
        raise Expired(found)
    return found


def digest(token: str) -> str:
    """Tells the same token again, and gives nothing of it away."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def pseudonym(secrets: Sequence[str], said: str) -> str:
    """Who searches, as it is recorded: the same for the same, and nobody can tell for whom."""
    key = hashlib.sha256(b"matchgraph.searcher.1:" + secrets[0].encode()).digest()
    return hmac.digest(key, said.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()


def _serializer(secrets: Sequence[str]) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        # The library's own order is oldest first.
        secrets[::-1],
        salt=SALT,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )
