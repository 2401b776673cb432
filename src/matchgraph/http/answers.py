"""Finished answers, kept for who asks the same again: in this process, and in Redis for all.

An answer is kept with the marks of what it was made of (queries/notes.py) and the position that it
is as of, and given again as long as none of its marks was touched since (queries/touched.py): it is
then the answer that would be made now, to the byte but for a `position` in it, which says when it
was made. Nothing has to be found and thrown away when something changes, here or in Redis.

http/front.py gives them, without parsing, validating, executing or reading anything.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec
import redis.asyncio as redis

from matchgraph import __version__
from matchgraph.graphql.limits import Bill
from matchgraph.observe.metrics import Metrics
from matchgraph.projections.rank_cache import Circuit
from matchgraph.queries.notes import Notes
from matchgraph.queries.touched import Touched

# Units: bytes, of answers and of what they are known by.
MOST_KEPT = 64_000_000
LARGEST = 1_000_000
# Units: bytes; what an entry takes besides what it holds, about.
OVERHEAD = 800
# Units: seconds that an answer stays in Redis after it was made.
SHARED_FOR = 600


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answer up to what it cost, the position that it is as of and of which era, and the marks
    of what it rests on; of the operation what is observed of it; and a `tag` that no other answer
    has. Units: `points` as in `extensions.cost`."""

    said: bytes
    media_type: str
    points: int
    position: int
    era: str
    marks: tuple[str, ...]
    kind: str
    name: str | None
    document: str | None
    tag: str


@dataclass
class Pending:
    """A request whose answer may be kept: what it is known by, what the answer rests on and costs,
    as far as it is made, and whether others wait for it; or the answer that was `found` instead of
    being made."""

    key: bytes
    notes: Notes = field(default_factory=Notes)
    bill: Bill | None = None
    is_claimed: bool = False
    found: Kept | None = None


class Found(Exception):
    """The answer need not be made."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


def tag_of(said: bytes) -> str:
    """What tells an answer from any other."""
    return blake2b(said, digest_size=16).hexdigest()


class Answers:
    """The answers that a process keeps, those asked for least recently given up first."""

    def __init__(
        self,
        touched: Touched,
        client: "redis.Redis | None" = None,
        *,
        metrics: Metrics | None = None,
        most: int = MOST_KEPT,
    ) -> None:
        """Units: `most` in bytes. Without a `client`, other processes have answers of their own."""
        self._touched = touched
        self._circuit = (
            None if client is None else Circuit(client, otherwise="each process makes its answers")
        )
        self._metrics = Metrics() if metrics is None else metrics
        self._most = most
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._size = 0
        self._making: dict[bytes, asyncio.Event] = {}
        self._sharing: set[asyncio.Task[None]] = set()

    def get(self, key: bytes) -> Kept | None:
        """The answer as it was made, if it still is the answer."""
        kept = self._kept.get(key)
        if kept is None or self._touched.at is None:
            return None
        if not self._holds(kept):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def _holds(self, kept: Kept) -> bool:
        touched = self._touched
        return kept.era == touched.era and not touched.since(kept.position, kept.marks)

    def hit(self) -> None:
        """Counts an answer that was given again."""
        self._metrics.found("answer", hit=True)

    def miss(self) -> None:
        """Counts an answer that was made and is not kept."""
        self._metrics.found("answer", hit=False)

    def put(self, key: bytes, kept: Kept, *, shared: bool = True) -> None:
        """Keeps the answer, here and, if it is to be `shared`, for the others."""
        self._metrics.found("answer", hit=False)
        if self._keep(key, kept) and shared and self._circuit is not None:
            task = asyncio.create_task(self._share(key, kept), name="share an answer")
            self._sharing.add(task)
            task.add_done_callback(self._sharing.discard)

    async def claim(self, pending: Pending, *, elsewhere: bool = True) -> None:
        """Returns if the answer has to be made; whoever asks for the same in this process waits
        until it is released. Raises: Found, if somebody made the same meanwhile, here or, if that
        is to be looked for, `elsewhere`."""
        other = None if pending.is_claimed else self._making.get(pending.key)
        if other is not None:
            await other.wait()
            # If that came to nothing, all who waited make their own: nobody knows whether the next
            # one would be kept.
            pending.found = self.get(pending.key)
        else:
            self._making.setdefault(pending.key, asyncio.Event())
            pending.is_claimed = True
            if elsewhere:
                pending.found = await self._fetch(pending.key)
        if pending.found is not None:
            raise Found

    def release(self, pending: Pending) -> None:
        """The answer is made, or will not be."""
        if pending.is_claimed:
            pending.is_claimed = False
            self._making.pop(pending.key).set()

    async def _fetch(self, key: bytes) -> Kept | None:
        """The answer that another process made, if it still is the answer."""
        if self._circuit is None or self._touched.at is None:
            return None
        replies = await self._circuit.send([("GET", self._named(key))])
        if not replies or not isinstance(replies[0], bytes):
            return None
        try:
            kept = _decode(replies[0])
        except msgspec.DecodeError:
            return None
        # Redis is not trusted to have kept what was put there.
        if tag_of(kept.said) != kept.tag or not self._holds(kept):
            return None
        self._keep(key, kept)
        return kept

    async def _share(self, key: bytes, kept: Kept) -> None:
        assert self._circuit is not None, "asked before"
        await self._circuit.send([("SET", self._named(key), _encode(kept), "EX", SHARED_FOR)])

    def _named(self, key: bytes) -> str:
        """What Redis has it under. Another release answers otherwise."""
        return f"matchgraph:answer:{__version__}:{self._touched.era}:{key.hex()}"

    def _keep(self, key: bytes, kept: Kept) -> bool:
        if len(kept.said) > LARGEST:
            return False
        self._drop(key)
        self._kept[key] = kept
        self._size += _size(key, kept)
        while self._size > self._most:
            self._drop(next(iter(self._kept)))
        return True

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= _size(key, kept)


def _size(key: bytes, kept: Kept) -> int:
    return OVERHEAD + len(key) + len(kept.said) + 100 * len(kept.marks)
