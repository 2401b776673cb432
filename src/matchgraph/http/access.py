"""Who comes in: from what a request says of itself to who it is and what that may do.

A key is looked up in the log itself and remembered for a moment, so that no request waits for the
database, and one that was revoked is forgotten as soon as the read model `api_key` tells of it.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from starlette.responses import Response
from starlette.types import Scope

from matchgraph.commands.key import PREFIX, read
from matchgraph.domain.key import Key, id_of
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.store import Store
from matchgraph.graphql.context import ANONYMOUS
from matchgraph.http.answer import STATUS, refused
from matchgraph.http.tokens import BadToken, Tokens
from matchgraph.queries.key import revoked_after
from matchgraph.queries.snapshot import viewing

# Units: seconds for which what is known of a key holds without being looked up again.
LATELY = 30.0
# Units: seconds that a look-up may take.
PATIENCE = 5.0
MOST_KNOWN = 10_000
LONGEST = 10_000
# Where the application leaves who a request is by.
CALLER = "matchgraph.caller"
NOT_KNOWN = "There is no such key; check that it was copied whole."


class Unauthenticated(Exception):
    """What was given lets nobody in; says why."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and what they may do. Units: `until`, the end of that by `time.monotonic`."""

    actor: str
    role: Role
    key: str | None = None
    until: float = inf

    @property
    def lasts(self) -> bool:
        """Whether nothing can end it."""
        return self.key is None and self.until == inf


NOBODY = Caller(ANONYMOUS, Role.ANONYMOUS)


@dataclass(frozen=True)
class _Known:
    """What the log said of a key, and when. Units: as `Caller.until`."""

    key: Key
    looked_up: float
    until: float


class Doors:
    """Lets people in, by key or by token."""

    def __init__(
        self,
        store: Store,
        pool: Pool,
        *,
        development: bool,
        tokens: Tokens | None = None,
        lately: float = LATELY,
    ) -> None:
        """In development, whoever gives nothing may do everything."""
        self._store = store
        self._pool = pool
        self._tokens = tokens
        self._lately = lately
        self._nobody = Caller(ANONYMOUS, Role.OPERATOR) if development else NOBODY
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        # How far revocations have been heard of.
        self._heard = -1
        self._times_heard = 0

    async def admit(self, said: str | None) -> Caller:
        """Who that is, from what stands in `Authorization`; None: nothing does.

        Raises: Unauthenticated; Unavailable when nobody can tell now.
        """
        if said is None:
            return self._nobody
        scheme, _, credential = said.strip().partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential or len(said) > LONGEST:
            raise Unauthenticated("Authorization must be `Bearer`, a blank, and a key or a token.")
        if credential.startswith(PREFIX):
            return await self._by_key(credential)
        if self._tokens is None:
            raise Unauthenticated(f"That is no key of this catalog, which begin with `{PREFIX}`.")
        try:
            token = await self._tokens.read(credential)
        except BadToken as reason:
            raise Unauthenticated(str(reason)) from None
        return Caller(f"jwt:{token.subject}", token.role, until=token.until)

    def at_hand(self, said: str | None) -> Caller | None:
        """Whom `admit` would let in, if that can be told at once."""
        if said is None:
            return self._nobody
        scheme, _, credential = said.partition(" ")
        found = read(credential) if scheme.lower() == "bearer" else None
        if found is None or len(said) > LONGEST or not self._is_fresh(found[0]):
            return None
        id, secret = found
        known = self._known.get(id)
        if known is None or not known.key.admits(secret):
            return None
        try:
            return self._caller(known)
        except Unauthenticated:
            return None

    async def _by_key(self, written: str) -> Caller:
        found = read(written)
        if found is None:
            raise Unauthenticated(NOT_KNOWN)
        id, secret = found
        if not self._is_fresh(id):
            await self._look_up(id)
        known = self._known.get(id)
        if known is None or not known.key.admits(secret):
            raise Unauthenticated(NOT_KNOWN)
        return self._caller(known)

    def _caller(self, known: _Known) -> Caller:
        if known.key.revoked:
            raise Unauthenticated("The key was revoked.")
        if time.monotonic() >= known.until:
            raise Unauthenticated("The key has expired.")
        return Caller(f"key:{known.key.key}", known.key.role, known.key.key, known.until)

    def _is_fresh(self, id: str, share: float = 1) -> bool:
        known = self._known.get(id)
        return known is not None and time.monotonic() - known.looked_up < share * self._lately

    async def _look_up(self, id: str) -> None:
        """Looks a key up once for all who ask at the same time. Raises: Unavailable."""
        task = self._asking.get(id)
        if task is None:
            task = self._asking[id] = asyncio.create_task(self._read([id]), name="key")
            task.add_done_callback(lambda _: self._asking.pop(id))
        # Whoever goes away does not end it for the others.
        await asyncio.wait([task])
        task.result()

    async def _read(self, ids: list[str]) -> None:
        while True:
            heard, looked_up = self._times_heard, time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    found = await self._store.load_many([id_of(id) for id in ids])
                    now = await self._store.now()
            except TimeoutError:
                raise Unavailable("the database does not answer in time") from None
            if heard == self._times_heard:
                break
            # What was revoked meanwhile may have been read before it was.
        for key in found.values():
            assert isinstance(key, Key), "their ids are their own"
            left = inf if key.expires is None else (key.expires - now).total_seconds()
            self._known.pop(key.key, None)
            self._known[key.key] = _Known(key, looked_up, looked_up + left)
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    # For those who stay.

    async def listen(self) -> None:
        """Forgets the keys that were revoked since it was last called. Raises: Unavailable."""
        async with viewing(self._pool) as snapshot:
            revoked = await revoked_after(snapshot, self._heard)
        for id, position in revoked:
            self._known.pop(id, None)
            self._heard = position
            self._times_heard += 1

    async def renew(self, callers: Iterable[Caller]) -> None:
        """Looks the keys of these up again, all in one, if that is due. Raises: Unavailable."""
        due = {one.key for one in callers if one.key and not self._is_fresh(one.key, share=0.5)}
        if due:
            await self._read(list(due))

    def check(self, caller: Caller) -> None:
        """Returns if that caller is still let in. Raises: Unauthenticated; Unavailable when it has
        been too long since anybody could tell."""
        if caller.key is not None:
            known = self._known.get(caller.key)
            if known is None or not self._is_fresh(caller.key):
                raise Unavailable("nobody can tell whether the key is good")
            self._caller(known)
        elif time.monotonic() >= caller.until:
            raise Unauthenticated("The token has expired.")


def given(scope: Scope) -> str | None:
    """What stands in the header `Authorization`. Raises: Unauthenticated for several of them."""
    said = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(said) > 1:
        raise Unauthenticated("There is more than one Authorization; send one.")
    return said[0].decode("latin-1") if said else None


def refusal(scope: Scope, reason: Unauthenticated | Unavailable) -> Response:
    """The answer to a request that is not let in, in the form of GraphQL's own answers."""
    unknown = isinstance(reason, Unauthenticated)
    code = "UNAUTHENTICATED" if unknown else "UNAVAILABLE"
    return refused(
        scope,
        [{"message": str(reason), "extensions": {"code": code}}],
        status=STATUS[code],
        headers={"www-authenticate": 'Bearer error="invalid_token"'} if unknown else None,
    )


def said_at_init(payload: object) -> str | None:
    """What a client on a WebSocket gives as `authorization` when it begins; browsers cannot set
    headers there. Raises: Unauthenticated for what is no text."""
    if not isinstance(payload, dict):
        return None
    for name, said in payload.items():
        if name.lower() == "authorization" and said is not None:
            if not isinstance(said, str):
                raise Unauthenticated("`authorization` must be a text.")
            return said
    return None
