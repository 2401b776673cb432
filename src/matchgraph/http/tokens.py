"""JSON Web Tokens of an identity provider, for those who have one, in place of keys.

Signatures are asymmetric and by the keys that the provider publishes (RFC 7517), which are read in
the background; a token tells who it is for, by whom, until when, and in one claim the role.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import HTTPRedirectHandler, build_opener

import jwt

from matchgraph.domain.role import Role
from matchgraph.domain.text import UNPRINTABLE
from matchgraph.eventstore.errors import Unavailable

log = logging.getLogger(__name__)

ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
# Units: seconds by which clocks may differ.
LEEWAY = 30
# Units: seconds between two readings, after one that failed, and after a key that is not known.
REFRESH, RETRY, AT_MOST_EVERY = 600.0, 10.0, 30.0
# Units: seconds after which keys that nobody could read again count for nothing.
OLDEST = 86_400.0
PATIENCE = 5
MOST_BYTES = 1_000_000
LONGEST_SUBJECT = 200
# Units: seconds since 1970.
FAR = 2**33
# Hostile tokens nest deeply and have numbers without end, which the library does not expect.
MALFORMED = (jwt.PyJWTError, ValueError, ArithmeticError, RecursionError)


class BadToken(Exception):
    """A token that lets nobody in; says why."""


@dataclass(frozen=True)
class TokenSettings:
    """Whose tokens are taken, and for whom they must be. `jwks` is where the provider's keys are,
    an address or a file, and `role_claim` names the claim that has the role."""

    issuer: str
    audience: str
    jwks: str
    role_claim: str


@dataclass(frozen=True)
class Token:
    """What a token says. Units: `until`, its end by `time.monotonic`."""

    subject: str
    role: Role
    until: float


class Tokens:
    """Reads tokens. `run` keeps the provider's keys."""

    def __init__(
        self,
        settings: TokenSettings,
        *,
        at_most_every: float = AT_MOST_EVERY,
        refresh: float = REFRESH,
        retry: float = RETRY,
    ) -> None:
        self._settings = settings
        self._at_most_every = at_most_every
        self._refresh = refresh
        self._retry = retry
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = -OLDEST
        self._tried_at = -OLDEST
        self._failed = False
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Reads the keys now and then, without end."""
        while True:
            await self._read_keys(if_tried_before=time.monotonic())
            await asyncio.sleep(self._retry if self._failed else self._refresh)

    async def read(self, token: str) -> Token:
        """What a token says. Raises: BadToken; Unavailable while the provider's keys are not to be
        had."""
        try:
            header = jwt.get_unverified_header(token)
        except MALFORMED:
            raise BadToken("That is neither a key of this catalog nor a JSON Web Token.") from None
        key = await self._key(header.get("kid"))
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                key,
                # What the key is for, whatever the token says of itself.
                algorithms=[key.algorithm_name],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            left = min(int(claims["exp"]), FAR) + LEEWAY - time.time()
        except MALFORMED as reason:
            raise BadToken(f"The token is not taken: {_plain(reason)}.") from None
        subject = claims["sub"]
        if not subject or len(subject) > LONGEST_SUBJECT or UNPRINTABLE.search(subject):
            raise BadToken("The token is not taken: its subject cannot be kept.")
        return Token(subject, role_in(claims, settings.role_claim), time.monotonic() + left)

    async def _key(self, kid: object) -> jwt.PyJWK:
        if not isinstance(kid, str | None):
            raise BadToken("The token is not taken: its `kid` is no text.")
        if (found := self._kept(kid)) is not None:
            return found
        await self._read_keys(if_tried_before=time.monotonic() - self._at_most_every)
        if (found := self._kept(kid)) is not None:
            return found
        if self._failed or not self._keys:
            raise Unavailable("the keys that tokens are signed with cannot be read now")
        raise BadToken("The token is not taken: nobody here knows the key it is signed with.")

    def _kept(self, kid: str | None) -> jwt.PyJWK | None:
        if time.monotonic() - self._read_at >= OLDEST:
            return None
        if kid is None and len(self._keys) == 1:
            # A provider with one key need not name it.
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _read_keys(self, *, if_tried_before: float) -> None:
        async with self._turn:
            # Of many who wait, the first one did it for all.
            if self._tried_at >= if_tried_before:
                return
            self._tried_at = time.monotonic()
            try:
                keys = await asyncio.to_thread(_read, self._settings.jwks)
            except (OSError, HTTPException, *MALFORMED) as reason:
                self._failed = True
                log.warning("the keys of tokens cannot be read, trying again: %s", reason)
                return
            self._keys, self._failed, self._read_at = keys, False, time.monotonic()


class _StayHere(HTTPRedirectHandler):
    """Follows nowhere: the provider's keys are where the operator said."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """There is none."""


_opener = build_opener(_StayHere)


def _read(place: str) -> dict[str | None, jwt.PyJWK]:
    """The provider's keys by their ids. Raises: OSError, HTTPException, those of MALFORMED."""
    if place.startswith(("https://", "http://")):
        with _opener.open(place, timeout=PATIENCE) as response:
            said = response.read(MOST_BYTES)
    else:
        said = Path(place).read_bytes()
    found = json.loads(said)
    if not isinstance(found, dict):
        raise ValueError("that is no set of keys")
    return {
        key.key_id: key
        for key in jwt.PyJWKSet.from_dict(found)
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
    }


def role_in(claims: Mapping[str, Any], claim: str) -> Role:
    """The highest role that the claim names, which is a text or a list of texts; a dot in its name
    leads into an object. Whoever has none may do what anybody may."""
    said: Any = claims.get(claim)
    if said is None and "." in claim:
        said = claims
        for step in claim.split("."):
            said = said.get(step) if isinstance(said, Mapping) else None
    names = said if isinstance(said, list) else [said]
    known = {role.value: role for role in Role}
    found = [known[name] for name in names if isinstance(name, str) and name in known]
    return max(found, default=Role.ANONYMOUS)


def _plain(reason: Exception) -> str:
    """What is wrong, in words that have nothing of the token in them."""
    match reason:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.ImmatureSignatureError():
            return "its time has not come"
        case jwt.InvalidAudienceError():
            return "it is for somebody else (`aud`)"
        case jwt.InvalidIssuerError():
            return "it is by somebody else (`iss`)"
        case jwt.MissingRequiredClaimError():
            return f"it has no `{reason.claim}`"
        case jwt.InvalidAlgorithmError():
            return "its algorithm is not that of its key"
        case jwt.InvalidSignatureError():
            return "its signature is not by its key"
    return "it is malformed"
