"""Proofs for others: that an event is in the tree of the newest signed head, and that a tree is the
beginning of another. Each is checked before it is given out."""

import logging
from dataclasses import dataclass

from matchgraph.eventstore.connection import Fetches
from matchgraph.ledger import merkle, store
from matchgraph.ledger.head import Head
from matchgraph.ledger.store import NoProof

log = logging.getLogger(__name__)


class NotSigned(Exception):
    """No head covers that position yet."""

    def __init__(self, position: int, head: Head | None) -> None:
        known = "none was signed" if head is None else f"the newest covers 1 to {head.position}"
        super().__init__(
            f"No signed head covers position {position} yet; {known}. Ask again in a few seconds."
        )


@dataclass(frozen=True)
class Inclusion:
    """That the tree with the head's root has the leaf at `position` - 1."""

    position: int
    leaf: bytes
    path: tuple[bytes, ...]
    head: Head


@dataclass(frozen=True)
class Consistency:
    """That the tree of the first `old` events is the beginning of that of the first `new` ones."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    path: tuple[bytes, ...]


async def inclusion(db: Fetches, position: int) -> Inclusion:
    """Proves an event, by the newest signed head. Raises: NotSigned, NoProof, Unavailable."""
    head = await store.newest(db)
    if head is None or head.position < position:
        raise NotSigned(position, head)
    own = (position - 1, position)
    leaf, *path = await store.roots(db, [own, *merkle.inclusion(position - 1, head.position)])
    if not merkle.includes(position - 1, head.position, leaf, path, head.root):
        raise _changed(f"event {position} is not in the tree of the head of {head.position}")
    return Inclusion(position, leaf, tuple(path), head)


async def consistency(db: Fetches, old: int, new: int) -> Consistency:
    """Proves that nothing of the first `old` events was changed. Raises: NotSigned, NoProof,
    Unavailable."""
    head = await store.newest(db)
    if head is None or head.position < new:
        raise NotSigned(new, head)
    spans = [(0, old), (0, new), *merkle.consistency(old, new)]
    old_root, new_root, *path = await store.roots(db, spans)
    if new == head.position and new_root != head.root:
        raise _changed(f"the tree of {new} events is not that of their head")
    return Consistency(old, new, old_root, new_root, tuple(path))


def _changed(what: str) -> NoProof:
    log.error("HISTORY IS BROKEN: %s", what)
    return NoProof(what)
