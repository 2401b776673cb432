"""The keys that seal what searchers write, one for each searcher: envelope encryption.

What is sealed is read only as long as its key is there: once that is destroyed, nobody can tell
what it was, wherever the sealed bytes have got to. The keys lie in a table of their own, wrapped
with a master key that the database does not hold. docs/forgetting.md has the formats.
"""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from matchgraph.eventstore.connection import Pool, fetch

log = logging.getLogger(__name__)

# Units: seconds that a process goes on using a key without looking whether it is still there.
LIFE = 30.0
# Units: bytes.
KEY, NONCE = 32, 12
# A key is wrapped again in portions of so many, each a transaction of its own.
PORTION = 1_000


class UnusableKey(Exception):
    """A searcher's key that is there cannot be used."""


class DamagedKey(UnusableKey):
    """It is not what was wrapped for that searcher."""

    def __init__(self, searcher: str) -> None:
        super().__init__(
            f"The key of {searcher} is damaged: take the row of searcher_key out of a backup, or"
            f" without one run `matchgraph forget {searcher}`."
        )


class UnknownMaster(UnusableKey):
    """Keys of searchers are wrapped with a master key that is not given."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"MATCHGRAPH_SEARCH_KEYS does not hold the key {name}, which keys of searchers are"
            " wrapped with: put it back, behind the others, or without it run `matchgraph"
            " rotate-search-keys --give-up`, which forgets those searchers."
        )
        self.name = name


class Master:
    """A key that keys of searchers are wrapped with; `name` tells it from others and says nothing
    of it."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(_derived(secret, b"wrap", KEY))
        self.name = _derived(secret, b"name", 8).hex()

    def wrap(self, searcher: str, key: bytes) -> bytes:
        """The key as the database holds it, of use for that searcher alone."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, key, searcher.encode())

    def unwrap(self, searcher: str, wrapped: bytes) -> bytes:
        """The key. Raises: DamagedKey."""
        try:
            return self._cipher.decrypt(wrapped[:NONCE], wrapped[NONCE:], searcher.encode())
        except (InvalidTag, ValueError):
            raise DamagedKey(searcher) from None


def _derived(secret: str, purpose: bytes, length: int) -> bytes:
    info = b"matchgraph.search_keys.1:" + purpose
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret.encode())


@dataclass(frozen=True, slots=True)
class Key:
    """A searcher's key, ready for use. `bound_to` says what a sealed text is for, so that it opens
    in its own place alone."""

    id: UUID
    cipher: AESGCM

    def seal(self, text: bytes, bound_to: str) -> bytes:
        """The text, sealed."""
        nonce = os.urandom(NONCE)
        return nonce + self.cipher.encrypt(nonce, text, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """The text. Raises: InvalidTag; ValueError for what is too short."""
        return self.cipher.decrypt(sealed[:NONCE], sealed[NONCE:], bound_to.encode())


@dataclass(frozen=True, slots=True)
class SealedText:
    """A text that the key by that id sealed, and what it is bound to."""

    key: UUID
    text: bytes
    bound_to: str


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is there, and whose it is."""

    id: UUID
    searcher: str


class SearcherKeys:
    """The keys of searchers, as many of them in memory as are in use, and none for longer than
    LIFE: so that a searcher who is forgotten is forgotten in every process."""

    def __init__(
        self,
        pool: Pool,
        masters: Sequence[str],
        *,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The master keys are given newest first: the first one wraps, all of them unwrap."""
        self._pool = pool
        self._masters = {master.name: master for master in map(Master, masters)}
        self._newest = next(iter(self._masters.values()))
        self._most = most
        self._clock = clock
        # By searcher, and by id: when it was looked up, and what was found.
        self._known: OrderedDict[str | UUID, tuple[float, Key]] = OrderedDict()

    async def of(self, searcher: str) -> Key:
        """The key of the searcher; whoever has none gets one.

        Raises: UnusableKey, Unavailable.
        """
        known = self._recall(searcher)
        if known is not None:
            return known
        id, key = uuid4(), AESGCM.generate_key(KEY * 8)
        rows = await fetch(
            self._pool,
            "SELECT id, searcher, master, wrapped FROM searcher_key_for($1, $2, $3, $4)",
            id,
            searcher,
            self._newest.name,
            self._newest.wrap(searcher, key),
        )
        return self._remember(searcher, rows[0])

    async def opened(self, texts: Sequence[SealedText]) -> list[bytes | None]:
        """The texts; None for each whose key is destroyed, or cannot be had.

        Shape: as given. One statement finds all keys that are not in memory. Raises: Unavailable.
        """
        keys = {one.key: self._recall(one.key) for one in texts}
        if missing := [id for id, key in keys.items() if key is None]:
            for row in await fetch(
                self._pool,
                "SELECT id, searcher, master, wrapped FROM searcher_key WHERE id = ANY ($1)",
                missing,
            ):
                try:
                    keys[row["id"]] = self._remember(row["id"], row)
                except UnusableKey as reason:
                    log.error("words of a searcher cannot be read: %s", reason)
        return [_opened(keys[one.key], one) for one in texts]

    async def held(self, searchers: Iterable[str]) -> list[Held]:
        """The keys that these searchers have. Raises: Unavailable."""
        rows = await fetch(
            self._pool,
            "SELECT id, searcher FROM searcher_key WHERE searcher = ANY ($1) ORDER BY searcher",
            list(searchers),
        )
        return [Held(row["id"], row["searcher"]) for row in rows]

    async def held_by_id(self, ids: Iterable[UUID]) -> list[Held]:
        """Those of the keys that are there. Raises: Unavailable."""
        rows = await fetch(
            self._pool,
            "SELECT id, searcher FROM searcher_key WHERE id = ANY ($1) ORDER BY searcher",
            list(ids),
        )
        return [Held(row["id"], row["searcher"]) for row in rows]

    async def check(self) -> None:
        """Raises: UnknownMaster when no master key given unwraps one of the keys; Unavailable."""
        rows = await fetch(
            self._pool,
            "SELECT master FROM searcher_key WHERE master <> ALL ($1) LIMIT 1",
            list(self._masters),
        )
        if rows:
            raise UnknownMaster(rows[0]["master"])

    async def lost(self) -> list[Held]:
        """The keys that no master key given unwraps. Raises: Unavailable."""
        rows = await fetch(
            self._pool,
            "SELECT id, searcher FROM searcher_key WHERE master <> ALL ($1) ORDER BY searcher",
            list(self._masters),
        )
        return [Held(row["id"], row["searcher"]) for row in rows]

    async def rotate(self, progress: Callable[[int, int], None] = lambda *_: None) -> int:
        """Wraps every key with the newest master key; what is sealed stays as it is.

        Interrupted, it goes on where it was. Returns how many were wrapped anew; `progress` hears
        how many of how many. Those that no master key given unwraps stay as they are: see `lost`.
        Raises: DamagedKey, Unavailable.
        """
        older = [name for name in self._masters if name != self._newest.name]
        (count,) = await fetch(
            self._pool, "SELECT count(*) AS keys FROM searcher_key WHERE master = ANY ($1)", older
        )
        done = 0
        while rows := await fetch(
            self._pool,
            "SELECT id, searcher, master, wrapped FROM searcher_key WHERE master = ANY ($1)"
            " LIMIT $2",
            older,
            PORTION,
        ):
            wrapped = [self._newest.wrap(row["searcher"], self._unwrapped(row)) for row in rows]
            # A key that is destroyed meanwhile stays so.
            await fetch(
                self._pool,
                "UPDATE searcher_key k SET master = $1, wrapped = u.wrapped"
                " FROM unnest($2::uuid[], $3::bytea[]) AS u (id, wrapped) WHERE k.id = u.id",
                self._newest.name,
                [row["id"] for row in rows],
                wrapped,
            )
            done += len(rows)
            progress(done, max(done, count["keys"]))
        return done

    def _recall(self, name: str | UUID) -> Key | None:
        found = self._known.get(name)
        if found is None or self._clock() - found[0] >= LIFE:
            return None
        self._known.move_to_end(name)
        return found[1]

    def _remember(self, name: str | UUID, row: asyncpg.Record) -> Key:
        """Raises: UnusableKey."""
        key = Key(row["id"], AESGCM(self._unwrapped(row)))
        self._known[name] = (self._clock(), key)
        self._known.move_to_end(name)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return key

    def _unwrapped(self, row: asyncpg.Record) -> bytes:
        """Raises: UnusableKey."""
        master = self._masters.get(row["master"])
        if master is None:
            raise UnknownMaster(row["master"])
        return master.unwrap(row["searcher"], row["wrapped"])


def label_of(search_id: UUID) -> str:
    """What the sealed label of that search is bound to."""
    return f"{search_id}:label"


def need_of(search_id: UUID) -> str:
    """What the sealed need of that search is bound to."""
    return f"{search_id}:need"


def _opened(key: Key | None, sealed: SealedText) -> bytes | None:
    if key is None:
        return None
    try:
        return key.open(sealed.text, sealed.bound_to)
    except (InvalidTag, ValueError):
        # Not what that key sealed for that place: verification of the chain says which event it is.
        log.error("words that the key %s sealed for %s are damaged", sealed.key, sealed.bound_to)
        return None
