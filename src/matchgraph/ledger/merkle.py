"""The Merkle tree of RFC 6962 over the leaves of the log: hashes, spans and proofs; no I/O.

Leaves are numbered from 0, so the event at position p is leaf p - 1. A tree of n leaves is made of
complete subtrees, named by their level and their index in it: the subtree (level, index) has the
2^level leaves from index * 2^level on.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

# The leaves from the first up to, and without, the second.
Span = tuple[int, int]
# A complete subtree: its level, and its index among those of that level.
Node = tuple[int, int]

EMPTY = sha256().digest()


def join(left: bytes, right: bytes) -> bytes:
    """The hash of a node from those of its two children."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees that a growing tree is made of, largest first: all that it takes to add
    leaves and to know the root."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks")
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> "Frontier":
        """The same, to go on by itself."""
        return Frontier(self.size, self.peaks)

    def add(self, hashes: Iterable[bytes], level: int = 0) -> list[tuple[Node, bytes]]:
        """Puts complete subtrees of that level at the end; returns the larger ones they complete.

        Raises: ValueError where no subtree of that level begins.
        """
        if self.size % (1 << level):
            raise ValueError(f"no subtree of level {level} begins at leaf {self.size}")
        completed: list[tuple[Node, bytes]] = []
        index = self.size >> level
        for node in hashes:
            carried, at, behind = node, level, index
            while behind & 1:
                carried = join(self.peaks.pop(), carried)
                at, behind = at + 1, behind >> 1
                completed.append(((at, behind), carried))
            self.peaks.append(carried)
            index += 1
        self.size = index << level
        return completed

    def root(self) -> bytes:
        """The hash of the tree."""
        return folded(self.peaks)


def folded(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, the largest first."""
    if not peaks:
        return EMPTY
    root = peaks[-1]
    for peak in peaks[-2::-1]:
        root = join(peak, root)
    return root


def complete(span: Span) -> list[Node]:
    """The fewest complete subtrees that the span is made of, from left to right."""
    first, end = span
    found = []
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        found.append((level, first >> level))
        first += 1 << level
    return found


def inclusion(index: int, size: int) -> list[Span]:
    """The spans whose roots prove that the tree of that size has the leaf, from the leaf upward
    (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    first, end = 0, size
    found = []
    while end - first > 1:
        middle = first + _left(end - first)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def consistency(old: int, new: int) -> list[Span]:
    """The spans whose roots prove that the tree of the old size is the beginning of that of the new
    one (RFC 6962, 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {new} leaves has no beginning of {old}")
    first, end = 0, new
    found = []
    while old != end:
        middle = first + _left(end - first)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first = middle
    if first:
        found.append((first, end))
    return found[::-1]


def roots(spans: Iterable[Span], of: Callable[[Node], bytes]) -> list[bytes]:
    """The root of each span, from the hashes of its complete subtrees."""
    return [folded([of(node) for node in complete(span)]) for span in spans]


def includes(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path proves that the tree with that root has the leaf (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last = index, size - 1
    found = leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = join(step, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = join(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def extends(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path proves that the tree with the old root is the beginning of the one with the
    new root (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not path and old_root == new_root
    if not 0 < old < new:
        return False
    steps = [old_root, *path] if old.bit_count() == 1 else list(path)
    if not steps:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = now = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            was, now = join(step, was), join(step, now)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            now = join(now, step)
        at, last = at >> 1, last >> 1
    return last == 0 and (was, now) == (old_root, new_root)


def _left(size: int) -> int:
    """The largest power of two that is less than the size."""
    return 1 << ((size - 1).bit_length() - 1)
