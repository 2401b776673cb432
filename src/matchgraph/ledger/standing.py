"""History as it stands, whether it is what was recorded or not: what is acknowledged, and whether
that is still how it was then.

For verify.py, watch.py and bundle.py, and for acknowledge.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import asyncpg

from matchgraph.eventstore.connection import Connection, Fetches
from matchgraph.ledger import acknowledgement, chain, merkle, store
from matchgraph.ledger.acknowledgement import Acknowledgement, BadAcknowledgement
from matchgraph.ledger.chain import LINK_0, START, Place, Problem
from matchgraph.ledger.head import Head

# Who acknowledges holds it alone, who grows the tree and signs shares it.
ACKNOWLEDGING = 7233147820523
# Units: events that are read at once.
PAGE = 5_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Known:
    """What is acknowledged, where history goes on from it, and what has changed of it since."""

    all: tuple[Acknowledgement, ...] = ()
    place: Place = START
    problem: Problem | None = None

    @property
    def digest(self) -> bytes | None:
        """What the heads name that are signed now."""
        return self.all[-1].digest if self.all else None


async def known(db: Connection, on_progress: Progress = lambda *_: None) -> Known:
    """What is acknowledged, and whether everything that it is about is still as it was then.
    Raises: one of LOST."""
    found = tuple(await store.acknowledgements(db))
    if not found:
        return Known()
    last = found[-1]
    if (problem := await forged(db, found)) is not None:
        return Known(found, problem=problem)
    tree = merkle.Frontier()
    changed: int | None = None
    for after in range(0, last.upto, PAGE):
        upto = min(after + PAGE, last.upto)
        completed = tree.add(await leaves(db, after, upto))
        expected = {node: hashed for node, hashed in completed if node[0] == store.STEP}
        kept = await store.nodes(db, list(expected))
        for (_, index), hashed in expected.items():
            if changed is None and kept.get((store.STEP, index)) != hashed:
                changed = (index << store.STEP) + 1
        on_progress(upto, last.upto)
    place = await place_of(db, last.upto)
    if (tree.root(), place.digest) != (last.root, last.link):
        first = changed or (last.upto >> store.STEP << store.STEP) + 1
        return Known(found, problem=since(last, first))
    if await heads(db, last.digest) != last.heads:
        what = "the heads that were signed before the last acknowledgement are not what they were"
        return Known(found, problem=Problem(last.position, what))
    return Known(found, place)


async def forged(db: Fetches, found: tuple[Acknowledgement, ...]) -> Problem | None:
    """What is wrong with the acknowledgements themselves."""
    try:
        acknowledgement.check(found, await store.keys(db))
    except BadAcknowledgement as reason:
        return Problem(found[-1].position, str(reason))
    return None


def since(last: Acknowledgement, first: int) -> Problem:
    """That what is acknowledged was changed once more, somewhere from that position on."""
    return Problem(
        first,
        f"one of the events {first} to {last.upto} is not what it was when the break at position"
        f" {last.position} was acknowledged",
    )


async def place_of(db: Fetches, position: int) -> Place:
    """What stands at a position, from where history may go on."""
    rows = await db.fetch("SELECT digest, recorded_at FROM event WHERE position = $1", position)
    if not rows:
        return Place(position, LINK_0 if position == 0 else b"")
    digest, recorded_at = rows[0]
    return Place(position, digest or b"", recorded_at and chain.microseconds(recorded_at))


async def leaves(db: Fetches, after: int, upto: int) -> list[bytes]:
    """The leaf of each position as it stands, also of those at which there is no event."""
    rows = await db.fetch(
        f"SELECT {chain.COLUMNS} FROM event WHERE position > $1 AND position <= $2", after, upto
    )
    there = {row["position"]: row for row in rows if is_whole(row)}
    return [
        store.leaf(there[position]) if position in there else chain.gone(position)
        for position in range(after + 1, upto + 1)
    ]


def is_whole(row: asyncpg.Record) -> bool:
    """Whether every value that an event has is there."""
    return all(value is not None for name, value in row.items() if name != "idempotency_key")


async def heads(db: Connection, newest: bytes | None) -> bytes:
    """The hash of every head that does not name that acknowledgement."""
    found = sha256()
    async for head in store.every(db):
        if head.acknowledged != newest or newest is None:
            found.update(_said(head))
    return found.digest()


def _said(head: Head) -> bytes:
    return head.said() + chain.text(head.key_id) + head.signature
