"""Bundles: a part of the log in a file that proves itself, for who has neither database nor trust.

docs/proof.md defines the format. Writing and checking take the same memory for any number of
events.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol
from uuid import UUID

import asyncpg
import msgspec

from matchgraph.eventstore.connection import Connection
from matchgraph.ledger import acknowledgement, chain, merkle, standing, store
from matchgraph.ledger.acknowledgement import Acknowledgement, BadAcknowledgement
from matchgraph.ledger.chain import Problem
from matchgraph.ledger.head import KEY_BYTES, BadHead, Head, as_data, id_of, of_data
from matchgraph.ledger.proof import NotSigned
from matchgraph.ledger.store import NoProof

# The second one goes on from a break that is acknowledged; what has none is in the first.
FORMAT, SINCE = 1, 2
# Units: events. Read at once, and until whoever waits hears how far it has come.
PAGE = 2_000
# Units: bytes. No line of ours comes near to it; a file of another kind may be one single line.
LONGEST_LINE = 64 << 20

Progress = Callable[[int, int], None]


class Writes(Protocol):
    """A file to write to."""

    def write(self, data: bytes, /) -> object:
        """Writes all of it."""


class Broken(Exception):
    """The log is not what was recorded, so nothing of it is given out."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"Nothing is exported, because history is broken: {problem.what}.")
        self.problem = problem


class BadRange(Exception):
    """There are no such events to export."""


class BadBundle(Exception):
    """The file is not a bundle that was exported, or not any more; says where and what."""

    def __init__(self, line: int, what: str, position: int | None = None) -> None:
        event = "" if position is None else f", event {position}"
        super().__init__(f"Line {line}{event}: {what}")
        self.line = line
        self.position = position


class _Key(msgspec.Struct, rename="camel"):
    id: str
    public_key: str


class _Consistency(msgspec.Struct):
    """That the tree of `from` events is the beginning of that of the newest of the heads."""

    from_: int = msgspec.field(name="from")
    path: list[str]


class _Manifest(msgspec.Struct, omit_defaults=True):
    """The first line. `left` and `right` are the hashes of the complete subtrees before and behind
    the events, in the tree of the newest of the heads."""

    matchgraph: str
    format: int
    from_: int = msgspec.field(name="from")
    to: int
    before: str
    keys: list[_Key]
    heads: list[dict[str, str]]
    left: list[str]
    right: list[str]
    consistency: _Consistency | None = None
    # Every break that somebody said they know of: up to there, events are as they stood then.
    acknowledgements: list[dict[str, Any]] = []


class _Event(msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One line for each event. Units: `recorded_at` in microseconds since 1970."""

    position: int
    recorded_at: int
    originator_id: UUID
    originator_version: int
    topic: str
    actor: str
    request_id: str
    digest: str
    idempotency_key: str | None = None
    # The text of the state; in base64 where it is none.
    state: str | None = None
    state_base64: str | None = None


class _Ended(msgspec.Struct):
    events: int
    digest: str


class _End(msgspec.Struct):
    """The last line, without which the file is only a part."""

    end: _Ended


_encoder = msgspec.json.Encoder()
# What decoding a line may raise: of bytes that are no UTF-8, msgspec complains in Python's words.
_UNREADABLE = (ValueError, RecursionError)
_as_event = msgspec.json.Decoder(_Event)
_as_end = msgspec.json.Decoder(_End)


async def export(
    db: Connection,
    out: Writes,
    first: int = 1,
    last: int | None = None,
    *,
    head: Head | None = None,
    on_progress: Progress = lambda *_: None,
) -> int:
    """Writes the events from `first` to `last`, else all that are signed; returns the last.

    `head` is one that whoever checks has kept: the bundle ties the events to it. Raises: BadRange,
    NotSigned, BadHead, NoProof where that head is not of this log, Broken, one of LOST.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        newest = await store.newest(db)
        last = (newest.position if newest else 1) if last is None else last
        if not 0 < first <= last:
            raise BadRange(f"There are no events from {first} to {last}; the first one is 1.")
        if newest is None or newest.position < last:
            raise NotSigned(last, newest)
        said = await store.acknowledgements(db)
        manifest = await _manifest(db, first, last, newest, head, said)
        out.write(_encoder.encode(manifest) + b"\n")
        stood = min(last, max(first - 1, said[-1].upto)) if said else first - 1
        count, digest = await _as_it_stands(db, out, first - 1, stood, manifest)
        for start in range(stood, last, PAGE):
            upto = min(start + PAGE, last)
            rows = await db.fetch(
                f"SELECT {chain.COLUMNS} FROM event WHERE position > $1 AND position <= $2"
                " ORDER BY position",
                start,
                upto,
            )
            lines = []
            for position, row in enumerate(rows, start=start + 1):
                digest = chain.link(digest, store.leaf(row))
                if (row["position"], row["digest"]) != (position, digest):
                    raise Broken(_at(position))
                lines.append(_encoder.encode(_event(row)))
            if len(rows) < upto - start:
                raise Broken(_at(start + len(rows) + 1))
            out.write(b"\n".join(lines) + b"\n")
            on_progress(upto - first + 1, last - first + 1)
        ended = _End(_Ended(events=count + last - stood, digest=digest.hex()))
        out.write(_encoder.encode(ended) + b"\n")
    return last


async def _as_it_stands(
    db: Connection, out: Writes, after: int, upto: int, manifest: _Manifest
) -> tuple[int, bytes]:
    """Writes the events of which a break is acknowledged; returns how many are there, and the
    digest of the last. Raises: Broken where the last is gone."""
    count, digest = 0, bytes.fromhex(manifest.before)
    for start in range(after, upto, PAGE):
        rows = await db.fetch(
            f"SELECT {chain.COLUMNS} FROM event WHERE position > $1 AND position <= $2"
            " ORDER BY position",
            start,
            min(start + PAGE, upto),
        )
        whole = [row for row in rows if standing.is_whole(row)]
        out.write(b"".join(_encoder.encode(_event(row)) + b"\n" for row in whole))
        count += len(whole)
    if upto > after:
        if not whole or whole[-1]["position"] != upto:
            raise Broken(_at(upto))
        digest = whole[-1]["digest"]
    return count, digest


def _at(position: int) -> Problem:
    return Problem(position, f"event {position} is not what was recorded there")


async def _manifest(
    db: Connection,
    first: int,
    last: int,
    newest: Head,
    kept: Head | None,
    said: list[Acknowledgement],
) -> _Manifest:
    keys = await store.keys(db)
    if kept is not None:
        kept.check(keys)
        await _known(db, kept, newest)
    # The tree that the events are tied to.
    tied = newest
    if kept is not None and kept.position >= last and kept.acknowledged == newest.acknowledged:
        tied = kept
    within = await store.newest(db, upto=last)
    heads = (
        [tied] if within is None or within.position < first or within == tied else [within, tied]
    )
    consistency = None
    if kept is not None and kept.position != tied.position and not first <= kept.position <= last:
        spans = merkle.consistency(kept.position, tied.position)
        consistency = _Consistency(kept.position, _hexed(await store.roots(db, spans)))
    before = chain.LINK_0
    if first > 1:
        found = await db.fetchval("SELECT digest FROM event WHERE position = $1", first - 1)
        if found is None:
            raise Broken(_at(first - 1))
        before = found
    return _Manifest(
        matchgraph="bundle",
        format=SINCE if said else FORMAT,
        from_=first,
        to=last,
        before=before.hex(),
        keys=[
            _Key(one, b64encode(keys[one]).decode())
            for one in dict.fromkeys([h.key_id for h in heads] + [one.key_id for one in said])
        ],
        heads=[as_data(one) for one in heads],
        left=_hexed(await _around(db, (0, first - 1))),
        right=_hexed(await _around(db, (last, tied.position))),
        consistency=consistency,
        acknowledgements=[acknowledgement.as_data(one) for one in said],
    )


async def _known(db: Connection, kept: Head, newest: Head) -> None:
    """Raises: NotSigned, NoProof."""
    if kept.position > newest.position:
        raise NotSigned(kept.position, newest)
    (root,) = await store.roots(db, [(0, kept.position)])
    if root != kept.root:
        raise NoProof(
            f"The head of position {kept.position} is not of this log: its tree has another root."
        )


async def _around(db: Connection, span: merkle.Span) -> list[bytes]:
    """The hashes of the complete subtrees of a span."""
    nodes = merkle.complete(span)
    return await store.roots(db, [(n << level, (n + 1) << level) for level, n in nodes])


def _event(row: asyncpg.Record) -> _Event:
    position, recorded_at, originator_id, version, topic, actor, request_id, key, state, digest = (
        row
    )
    event = _Event(
        position=position,
        recorded_at=chain.microseconds(recorded_at),
        originator_id=originator_id,
        originator_version=version,
        topic=topic,
        actor=actor,
        request_id=request_id,
        digest=digest.hex(),
        idempotency_key=key,
    )
    try:
        event.state = state.decode()
    except UnicodeDecodeError:
        event.state_base64 = b64encode(state).decode()
    return event


def _hexed(hashes: list[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


# Checking.


@dataclass(frozen=True)
class Checked:
    """What a bundle proves.

    `trusted` says whether the keys were given and not taken from the bundle itself; `kept` how it
    was tied to the head that was given, if any. At the positions in `broken` there is nothing, or
    something else than what was recorded there; somebody `acknowledged` that.
    """

    first: int
    last: int
    digest: bytes
    head: Head
    trusted: bool
    kept: bool
    acknowledged: tuple[Acknowledgement, ...] = ()
    broken: tuple[int, ...] = ()


def check(
    file: BinaryIO,
    *,
    keys: Mapping[str, bytes] | None = None,
    head: Head | None = None,
    on_progress: Progress = lambda *_: None,
) -> Checked:
    """Checks a bundle by itself, without any database.

    `keys` are public keys that are known from elsewhere; without them, those of the bundle are
    taken. `head` is one that was kept. Raises: BadBundle, BadHead.
    """
    lines = _lines(file)
    manifest, heads, said = _opened(next(lines, (1, b"")), keys)
    # Up to there the events are as they stood, whatever was recorded.
    stood = said[-1].upto if said else 0
    broken: list[int] = []
    if head is not None:
        head.check(keys if keys is not None else _keys(manifest))
    first, last, tied = manifest.from_, manifest.to, heads[-1]
    tree = merkle.Frontier()
    _add(tree, (0, first - 1), manifest.left, "left")
    digest = _hash(manifest.before, "before")
    if first == 1 and digest != chain.LINK_0:
        raise BadBundle(1, "`before` is not what the chain begins with.")
    # Heads that lie among the events, or right before them, can be compared on the way.
    compared: dict[int, list[Head]] = {}
    for one in (*heads, *([head] if head else ())):
        compared.setdefault(one.position, []).append(one)
    for one in compared.get(first - 1, ()):
        _compare(1, one, digest, tree)
    position, line, time, events = first - 1, 1, None, 0
    while position < last:
        line, text = _next(lines, line, position)
        event = _read(line, text, position + 1, last, min(stood, last))
        gone = range(position + 1, event.position)
        if head is not None and head.position in gone:
            raise BadBundle(line, "the event that the kept head ends with is gone.", head.position)
        tree.add(map(chain.gone, gone))
        broken += gone
        position, events = event.position, events + 1
        leaf = _leaf(line, event)
        digest = chain.link(digest, leaf)
        if event.digest != digest.hex() and position <= stood:
            broken.append(position)
            digest = _hash(event.digest, "digest")
        elif event.digest != digest.hex():
            raise BadBundle(
                line,
                "it is not what was recorded: its digest does not follow from its content and the"
                " digest before it.",
                position,
            )
        if time is not None and event.recorded_at < time and position > stood:
            raise BadBundle(line, "it was recorded before the event before it.", position)
        time = event.recorded_at
        tree.add((leaf,))
        for one in compared.get(position, ()):
            _compare(line, one, digest, tree)
        if not (position - first + 1) % PAGE:
            on_progress(position - first + 1, last - first + 1)
    _end(lines, line, manifest, digest, events)
    on_progress(last - first + 1, last - first + 1)
    _add(tree, (last, tied.position), manifest.right, "right")
    if tree.root() != tied.root:
        raise BadBundle(
            1,
            f"the events {first} to {last} are not those that were signed: with them, the tree of"
            f" the head of position {tied.position} has another root.",
        )
    if head is not None and not first - 1 <= head.position <= last:
        _tied(manifest, tied, head)
    return Checked(
        first,
        last,
        digest,
        tied,
        trusted=keys is not None,
        kept=head is not None,
        acknowledged=said,
        broken=tuple(broken),
    )


def _opened(
    opening: tuple[int, bytes], keys: Mapping[str, bytes] | None
) -> tuple[_Manifest, list[Head], tuple[Acknowledgement, ...]]:
    """The first line, with its heads and acknowledgements, whose signatures are right. Raises:
    BadBundle, BadHead."""
    _, text = opening
    try:
        found: Any = msgspec.json.decode(text)
    except _UNREADABLE:
        found = None
    if not isinstance(found, dict) or found.get("matchgraph") != "bundle":
        what = "the file is empty." if not text else "this is no bundle of matchgraph."
        raise BadBundle(1, what)
    if found.get("format") not in (FORMAT, SINCE):
        raise BadBundle(
            1,
            f"the bundle has the format {found.get('format')!r}, and this release knows {FORMAT} to"
            f" {SINCE}: check it with the release that wrote it, or a newer one.",
        )
    try:
        manifest = msgspec.convert(found, _Manifest)
        heads = [of_data(one) for one in manifest.heads]
        said = tuple(acknowledgement.of_data(one) for one in manifest.acknowledgements)
    except (msgspec.ValidationError, BadHead, BadAcknowledgement) as reason:
        raise BadBundle(1, f"the bundle's first line is damaged: {reason}") from None
    if not heads or not 0 < manifest.from_ <= manifest.to <= heads[-1].position:
        raise BadBundle(1, "the bundle's first line is damaged: no signed head covers its events.")
    trusted = _keys(manifest) if keys is None else keys
    try:
        for one in heads:
            one.check(trusted)
        acknowledgement.check(said, trusted)
    except (BadHead, BadAcknowledgement) as reason:
        raise BadBundle(1, str(reason)) from None
    newest = said[-1].digest if said else None
    if manifest.format != (SINCE if said else FORMAT):
        raise BadBundle(1, "the bundle's first line is damaged: it has the format of another.")
    if any(one.acknowledged != newest for one in heads):
        raise BadBundle(1, "its heads were not signed under the acknowledgements that it names.")
    return manifest, heads, said


def _keys(manifest: _Manifest) -> dict[str, bytes]:
    found = {}
    for key in manifest.keys:
        try:
            raw = b64decode(key.public_key, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != KEY_BYTES or id_of(raw) != key.id:
            raise BadBundle(1, f"the public key {key.id!r} does not have that id.")
        found[key.id] = raw
    return found


def _add(tree: merkle.Frontier, span: merkle.Span, hashes: list[str], name: str) -> None:
    """Puts the subtrees of a span at the end of the tree. Raises: BadBundle."""
    nodes = merkle.complete(span)
    if len(nodes) != len(hashes):
        raise BadBundle(1, f"`{name}` has {len(hashes)} hashes, and {len(nodes)} are needed.")
    for (level, _), text in zip(nodes, hashes, strict=True):
        tree.add((_hash(text, name),), level)


def _hash(text: str, name: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != len(chain.LINK_0):
        raise BadBundle(1, f"`{name}` holds what is no hash.")
    return found


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers. Raises: BadBundle."""
    number = 0
    while text := file.readline(LONGEST_LINE):
        number += 1
        if len(text) == LONGEST_LINE:
            raise BadBundle(number, "the line is longer than any of a bundle.")
        yield number, text


def _next(lines: Iterator[tuple[int, bytes]], line: int, position: int) -> tuple[int, bytes]:
    """The next line, which has to be there and whole. Raises: BadBundle."""
    number, text = next(lines, (line, b""))
    if not text.endswith(b"\n"):
        raise BadBundle(
            number, "the file ends here: it was not written or copied to its end.", position or None
        )
    return number, text


def _read(line: int, text: bytes, position: int, last: int, stood: int) -> _Event:
    """The event of that position; up to `stood`, it may be one behind those that are gone. Raises:
    BadBundle."""
    try:
        event = _as_event.decode(text)
    except _UNREADABLE as reason:
        if text.startswith(b'{"end"'):
            raise BadBundle(
                line, f"the end comes before the events {position} to {last}.", position
            ) from None
        raise BadBundle(line, f"this is no event: {reason}", position) from None
    if event.position != position and not position < event.position <= stood:
        raise BadBundle(line, f"event {event.position} stands where it belongs.", position)
    return event


def _leaf(line: int, event: _Event) -> bytes:
    try:
        if event.state is not None:
            state = event.state.encode()
        else:
            state = b64decode(event.state_base64 or "", validate=True)
        said = chain.said(
            event.position,
            event.recorded_at,
            event.originator_id,
            event.originator_version,
            event.topic,
            event.actor,
            event.request_id,
            event.idempotency_key,
            state,
        )
    except (ValueError, struct.error) as reason:
        raise BadBundle(line, f"this is no event: {reason}", event.position) from None
    return chain.leaf(said)


def _compare(line: int, head: Head, digest: bytes, tree: merkle.Frontier) -> None:
    """Raises: BadBundle where the head says something else of its position."""
    if (head.digest, head.root) != (digest, tree.root()):
        raise BadBundle(
            line,
            "history up to here is not what was signed: the head of this position has another"
            " digest or root.",
            head.position,
        )


def _end(
    lines: Iterator[tuple[int, bytes]], line: int, manifest: _Manifest, digest: bytes, events: int
) -> None:
    """Raises: BadBundle unless the end comes next, and nothing behind it."""
    number, text = _next(lines, line, manifest.to)
    try:
        end = _as_end.decode(text).end
    except _UNREADABLE:
        raise BadBundle(number, f"the end belongs here, after event {manifest.to}.") from None
    if (end.events, end.digest) != (events, digest.hex()):
        raise BadBundle(number, "the end does not go with the events before it.")
    for number, _ in lines:
        raise BadBundle(number, "there is something behind the end.")


def _tied(manifest: _Manifest, tied: Head, kept: Head) -> None:
    """Raises: BadBundle unless the kept head and that of the bundle are of one log."""
    if kept.position == tied.position:
        if (kept.root, kept.digest) != (tied.root, tied.digest):
            raise BadBundle(
                1, f"its head of position {kept.position} is not the one that was kept."
            )
        return
    found = manifest.consistency
    if found is None or found.from_ != kept.position:
        raise BadBundle(
            1,
            f"the bundle says nothing about the head of position {kept.position}; export it again"
            " with --head and that file.",
        )
    path = [_hash(text, "consistency") for text in found.path]
    if not merkle.extends(kept.position, tied.position, kept.root, tied.root, path):
        raise BadBundle(
            1, f"the head of position {kept.position} is not of the same log as the bundle."
        )
