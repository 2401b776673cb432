"""In which order the artifacts of each kind are: which place and which band each comes to as event
after event moves them.

A page of moves is counted all at once, in columns; nothing is moved one by one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.ranking import POINTS

Ints = NDArray[np.int32]
# The order of all boards: by kind, of each kind the best first, of those by id.
KEY = "S21"
# So many values that came or went are kept apart from those in order before they are put there.
APART = 1_000
# Blocks of so many are compared each with each.
SMALL = 32
# Of two of them by their numbers, whether the second one came earlier.
EARLIER = np.tri(SMALL, k=-1, dtype=np.bool_)


@dataclass(frozen=True)
class Stood:
    """Where artifacts stood before or after each of some moves. `there` says which of them had a
    place at all."""

    there: NDArray[np.bool_]
    standing: Ints
    low: Ints
    high: Ints


class Order:
    """Who is on offer, in order, as of an event.

    Kinds are numbers from 0 on, an id is 16 bytes.
    """

    def __init__(
        self, kinds: NDArray[Any], ids: NDArray[np.void], standings: Ints, lows: Ints
    ) -> None:
        self._keys = _Ordered(_keys(kinds, ids, standings))
        # From the highest to the lowest: those above a value come before it.
        self._lows = _Ordered(_down(kinds, lows))

    def move(
        self,
        kinds: NDArray[Any],
        ids: NDArray[np.void],
        slots: NDArray[Any],
        was: Stood,
        now: Stood,
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Moves artifacts one after the other, each known by its slot.

        Returns for each move the place and the band that the artifact had by then, and those that
        it came to; 0 where it was not there.
        """
        moves = np.argsort(kinds, kind="stable")
        # Each move is two steps: the artifact leaves and enters, where it is there.
        there = _alternating(was.there[moves], now.there[moves])
        steps = np.flatnonzero(there)
        entered = (steps & 1).astype(bool)
        move = moves[steps >> 1]
        kind = kinds[move]
        standing, low, high = (
            np.where(entered, after[move], before[move])
            for before, after in (
                (was.standing, now.standing),
                (was.low, now.low),
                (was.high, now.high),
            )
        )
        weight = np.where(entered, 1, -1).astype(np.int32)
        key, low, high = _keys(kind, ids[move], standing), _down(kind, low), _down(kind, high)
        every = np.arange(int(kind.max(initial=0)) + 1)
        # What other kinds come to before it is the same for all steps of a kind, as those of one
        # kind are next to each other.
        others = np.append(0, np.cumsum(np.bincount(kind, weight).astype(np.int32)))[kind]

        found = np.zeros((2, len(there)), np.int32)
        before = self._keys.below(_starts(every))[kind]
        found[0, steps] = 1 + self._keys.below(key) - before + tally(key, weight) - others
        # Whoever leaves looks at the others before its low is taken away, and whoever enters does
        # so after it was put there: two entries for each step.
        values, weights = np.empty(2 * len(low), low.dtype), np.zeros(2 * len(low), np.int32)
        values[0::2], values[1::2] = np.where(entered, low, high), np.where(entered, high, low)
        weights[0::2][entered], weights[1::2][~entered] = 1, -1
        better = tally(values, weights)
        better = np.where(entered, better[1::2], better[0::2]) - others
        before = self._lows.below(every << 32)[kind]
        found[1, steps] = 1 + self._lows.below(high) - before + better
        self._change(key, low, slots[move], entered)
        told = np.empty((4, len(moves)), np.int32)
        told[:, moves] = found[:, 0::2][0], found[:, 0::2][1], found[:, 1::2][0], found[:, 1::2][1]
        return told[0], told[1], told[2], told[3]

    def _change(
        self,
        key: NDArray[np.bytes_],
        low: NDArray[np.int64],
        slots: NDArray[Any],
        entered: NDArray[np.bool_],
    ) -> None:
        """Keeps what has changed from before all steps to after them."""
        order = np.argsort(slots, kind="stable")
        ends = np.ones(len(order) + 1, np.bool_)
        ends[1:-1] = (by_slot := slots[order])[1:] != by_slot[:-1]
        first, last = order[ends[:-1]], order[ends[1:]]
        first, last = first[~entered[first]], last[entered[last]]
        self._keys.change(key[first], key[last])
        self._lows.change(low[first], low[last])


def _keys(kinds: NDArray[Any], ids: NDArray[np.void], standings: Ints) -> NDArray[np.bytes_]:
    made = np.empty((len(ids), 21), np.uint8)
    made[:, 0] = kinds
    # A standing is never below minus the largest interval.
    made[:, 1:5] = (2 * POINTS - standings).astype(">u4").view(np.uint8).reshape(-1, 4)
    made[:, 5:] = np.ascontiguousarray(ids).view(np.uint8).reshape(-1, 16)
    return made.view(KEY).ravel()


def _starts(kinds: NDArray[Any]) -> NDArray[np.bytes_]:
    """What comes before all keys of each kind."""
    made = np.zeros((len(kinds), 21), np.uint8)
    made[:, 0] = kinds
    return made.view(KEY).ravel()


def _down(kinds: NDArray[Any], scores: Ints) -> NDArray[np.int64]:
    return (kinds.astype(np.int64) << 32) + (2 * POINTS - scores)


def tally(values: NDArray[Any], weights: Ints) -> Ints:
    """For each value the sum of the weights of those that came earlier and are smaller.

    All of them are put in order, then taken apart into an earlier and a later half, those again,
    and so on: whoever is in a later half counts whom of the earlier one it finds before itself.
    """
    if (few := len(values)) <= SMALL:
        smaller: NDArray[np.bool_] = values < values[:, np.newaxis]
        return (smaller & EARLIER[:few, :few]) @ weights
    size = 1 << max(0, len(values) - 1).bit_length()
    times = np.arange(size, dtype=np.int32)
    # Equal ones with the later one first, so that they do not count each other.
    times[: len(values)] = len(values) - 1 - np.argsort(values[::-1], kind="stable")
    weighed, found = np.zeros(size, np.int32), np.zeros(size, np.int32)
    weighed[: len(values)] = weights
    half = size // 2
    while half >= SMALL:
        # Each block holds the times of a range of its own, and of both halves as many.
        late = (times & half).astype(bool)
        before = np.where(late, 0, weighed[times]).reshape(-1, 2 * half)
        later = times[late]
        found[later] += before.cumsum(axis=1, dtype=np.int32).ravel()[late]
        halves = times[~late].reshape(-1, half), later.reshape(-1, half)
        times = np.concatenate(halves, axis=1).ravel()
        half //= 2
    found[times] += _small(times, weighed[times])
    return found[: len(values)]


def _small(times: Ints, weighed: Ints) -> Ints:
    """The same within each block of SMALL values in order."""
    time = np.ascontiguousarray((times & (SMALL - 1)).astype(np.int8).reshape(-1, SMALL).T)
    weight = np.ascontiguousarray(weighed.astype(np.int8).reshape(-1, SMALL).T)
    found = np.zeros_like(weight)
    for one in range(SMALL - 1):
        found[one + 1 :] += (time[one] < time[one + 1 :]) * weight[one]
    return found.T.astype(np.int32).ravel()


class _Ordered:
    """Values in order. What came and went lately is kept apart, as it is little: putting it where
    it belongs moves all that is behind it."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = np.sort(values)
        self._came = self._went = self._values[:0]

    def below(self, asked: NDArray[Any]) -> NDArray[np.intp]:
        """How many are smaller than each of those."""
        found = self._values.searchsorted(asked)
        if len(self._came) or len(self._went):
            found = found + self._came.searchsorted(asked) - self._went.searchsorted(asked)
        return found

    def change(self, went: NDArray[Any], came: NDArray[Any]) -> None:
        """Takes some away, and puts others there."""
        self._went = _with(self._went, np.sort(went))
        self._came = _with(self._came, np.sort(came))
        if len(self._went) + len(self._came) > APART + len(self._values) // 512:
            self._values = _without(_with(self._values, self._came), self._went)
            self._came = self._went = self._values[:0]


def _with(values: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    if not len(others):
        return values
    # As numpy's own insert does, which takes three times as long for a few.
    places = values.searchsorted(others) + np.arange(len(others))
    both = np.empty(len(values) + len(others), values.dtype)
    old = np.ones(len(both), np.bool_)
    old[places] = False
    both[places], both[old] = others, values
    return both


def _without(values: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    # Of equal ones each takes another one away.
    nth = np.arange(len(others)) - others.searchsorted(others)
    return np.delete(values, values.searchsorted(others) + nth)


def _alternating(was: NDArray[Any], now: NDArray[Any]) -> NDArray[Any]:
    both = np.empty(2 * len(was), was.dtype)
    both[0::2], both[1::2] = was, now
    return both
