"""The digest chain computed a second time, over rows as PostgreSQL sends them; no I/O.

docs/ledger.md defines leaf and link. The rows come by COPY in its binary format, because a leaf has
the texts exactly as they stand there, and the events of a page need not become objects: of the ways
that were measured, letting PostgreSQL hash included, this one is the fastest (docs/proof.md).
"""

import struct
from binascii import hexlify
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

import msgspec

COLUMNS = (
    "position, recorded_at, originator_id, originator_version, topic, actor, request_id,"
    " idempotency_key, state, digest"
)
LINK_0 = sha256(b"matchgraph").digest()
UNIX = datetime(1970, 1, 1, tzinfo=UTC)
# Units: microseconds from 1970, which the leaf counts from, to 2000, which PostgreSQL does.
SINCE_2000 = 946_684_800_000_000

# What a COPY begins with, and a row: the number of its fields, then each after its length.
_OPENING = 19
_ROW = struct.Struct(">hiqiqi16siqi")
_CLOSING = b"\xff\xff"
_LENGTH = struct.Struct(">i")
# With the byte that RFC 6962 puts before a leaf.
_HEADER = struct.Struct(">xqq16sq")
_TEXTS_FROM = _ROW.size - _LENGTH.size


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the chain: everything up to that position, 0 for the beginning.

    Units: `recorded_at` in microseconds since 1970.
    """

    position: int = 0
    digest: bytes = LINK_0
    recorded_at: int | None = None


START = Place()


@dataclass(frozen=True, slots=True)
class Problem:
    """The first position at which history is not what was recorded, and what is wrong there."""

    position: int
    what: str


def said(
    position: int,
    recorded_at: int,
    originator_id: UUID,
    originator_version: int,
    topic: str,
    actor: str,
    request_id: str,
    idempotency_key: str | None,
    state: bytes,
) -> bytes:
    """The bytes of one event that are hashed. Units: `recorded_at` in microseconds since 1970."""
    header = _HEADER.pack(position, recorded_at, originator_id.bytes, originator_version)
    return header + b"".join(map(text, (topic, actor, request_id, idempotency_key))) + state


def leaf(said: bytes) -> bytes:
    """What one event adds to the chain and to the tree."""
    return sha256(said).digest()


def gone(position: int) -> bytes:
    """What stands in the tree for an event that is not there, where that is acknowledged."""
    return leaf(b"\0matchgraph.gone\n" + struct.pack(">q", position))


def missing(first: int, last: int) -> str:
    """Says that these events are not there."""
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def link(before: bytes, leaf: bytes) -> bytes:
    """The digest of an event from that of the one before it."""
    return sha256(before + leaf).digest()


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - UNIX) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The moment that is so many microseconds after 1970 began."""
    return UNIX + timedelta(microseconds=microseconds)


def text(said: str | None) -> bytes:
    """A text after its length in bytes; None has the length -1."""
    if said is None:
        return _LENGTH.pack(-1)
    encoded = said.encode()
    return _LENGTH.pack(len(encoded)) + encoded


class Check:
    """Goes over rows of COLUMNS in the order of their positions, as they arrive.

    `place` is what they were right up to, `problem` the first thing that is wrong, after which
    nothing more is looked at; `leaves` hears each leaf, if given.
    """

    def __init__(self, after: Place, leaves: Callable[[bytes], object] | None = None) -> None:
        self.place = after
        self.problem: Problem | None = None
        self.events = 0
        # Units: bytes that were hashed into leaves.
        self.size = 0
        self._leaves = leaves
        self._rest = b""
        self._opened = False

    def feed(self, chunk: bytes) -> None:
        """Looks at the rows that are complete with this chunk of what COPY sends."""
        if self.problem is not None:
            return
        # asyncpg hands out bytearrays, whose slices are slow to make.
        data = b"".join((self._rest, chunk))
        at = 0
        if not self._opened:
            if len(data) < _OPENING:
                self._rest = data
                return
            at, self._opened = _OPENING, True
        self._rest = data[self._rows(data, at) :]

    def end(self, upto: int) -> None:
        """To be called when all rows up to that position have arrived; more may follow."""
        last = self.place.position
        if self.problem is None and self._rest != _CLOSING:
            self._stop(f"event {last + 1} cannot be read: one of its values is gone")
        elif self.problem is None and last < upto:
            self._stop(missing(last + 1, upto))
        self._rest, self._opened = b"", False

    def _rows(self, data: bytes, at: int) -> int:
        """Looks at the complete rows from there on, and returns where the incomplete one begins."""
        # Every name that the loop looks up is a local one, and nothing is called that need not be:
        # it is most of a verification's time.
        row, length, header, hashed = _ROW.unpack_from, _LENGTH.unpack_from, _HEADER.pack, sha256
        hexed, leaves, size, end = hexlify, self._leaves, _ROW.size, len(data)
        last, digest, time = self.place.position, self.place.digest, self.place.recorded_at or 0
        begun, bytes_hashed = last, 0
        try:
            while at + size <= end:
                _, _, position, _, recorded, _, originator, _, version, topic = row(data, at)
                texts = at + _TEXTS_FROM
                upto = texts + 4 + topic
                name = data[texts + 4 : upto]
                upto += 4 + length(data, upto)[0]
                upto += 4 + length(data, upto)[0]
                (key,) = length(data, upto)
                upto += 4 + key if key > 0 else 4
                state = upto + 4
                stop = state + length(data, upto)[0]
                if stop + 36 > end:
                    break
                recorded += SINCE_2000
                said = (
                    header(position, recorded, originator, version)
                    + data[texts:upto]
                    + data[state:stop]
                )
                found = hashed(said).digest()
                link = hashed(digest + found).digest()
                follows = link == data[stop + 4 : stop + 36]
                # As the codec writes a state, but for shapes that have moved on: its topic, then
                # its aggregate.
                named = state + 17 + topic
                if (
                    not follows
                    or position != last + 1
                    or recorded < time
                    or not (
                        (
                            data.startswith(_opening(name), state)
                            and data[named : named + 37].replace(b"-", b"")
                            == hexed(originator) + b'"'
                        )
                        or _agrees(data[state:stop], name, originator)
                    )
                ):
                    self.place = Place(last, digest, time or None)
                    self._complain(position, follows, recorded)
                    break
                last, digest, time = position, link, recorded
                bytes_hashed += len(said)
                if leaves is not None:
                    leaves(found)
                at = stop + 36
        except struct.error:
            # A length lies beyond what has arrived.
            pass
        self.events += last - begun
        self.size += bytes_hashed
        if last > begun:
            self.place = Place(last, digest, time)
        return at

    def _complain(self, position: int, follows: bool, recorded: int) -> None:
        """Says why a row is not the next one."""
        last = self.place.position
        if position > last + 1:
            self._stop(missing(last + 1, position - 1))
        elif position != last + 1:
            self._stop(f"event {position} stands where event {last + 1} belongs")
        elif not follows:
            self._stop(
                f"event {position} is not what was recorded there: its digest does not follow from"
                " its content and the digest before it"
            )
        elif self.place.recorded_at is not None and recorded < self.place.recorded_at:
            self._stop(
                f"event {position} was recorded at {moment(recorded).isoformat()}, before event"
                f" {last}, which was at {moment(self.place.recorded_at).isoformat()}"
            )
        else:
            self._stop(f"event {position} says another topic or aggregate than its columns do")

    def _stop(self, what: str) -> None:
        self.problem = Problem(self.place.position + 1, what)
        self._rest = b""


@lru_cache(1_000)
def _opening(topic: bytes) -> bytes:
    return b'{"type":"%b","id":"' % topic


def _agrees(state: bytes, topic: bytes, originator: bytes) -> bool:
    """Whether a state names the topic and the aggregate that the columns do."""
    try:
        said = _decoder.decode(state)
        return said.type.partition("@")[0].encode() == topic and UUID(said.id).bytes == originator
    except (ValueError, RecursionError):
        return False


class _Named(msgspec.Struct):
    """What every state names."""

    type: str
    id: str


_decoder = msgspec.json.Decoder(_Named)
