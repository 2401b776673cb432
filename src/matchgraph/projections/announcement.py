"""Which changes of a score are worth announcing, at each of several thresholds.

The answer depends on the artifact's own history alone, so that whoever resumes hears the same as
whoever stayed. A score that drifts is announced once it has drifted far enough. One that goes back
and forth between the same two values is announced twice at most in its way back; after that it is
held until it has been quiet for a week, and history keeps all of it.
"""

from collections.abc import Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.ranking import THRESHOLDS

# Units: days.
QUIET = 7
MOST_RETURNS = 2

# For each threshold: the score last announced, the one announced before that, how often it has gone
# back to the latter lately, and the day on which it last did, in days since 1970.
Announced = tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]
STATES = 4
_written = Struct(f">{STATES * len(THRESHOLDS)}i")
_NEVER = -(2**31) + 1


def begin(score: int) -> Announced:
    """The state in which that score has been announced at every threshold."""
    size = len(THRESHOLDS)
    return [score] * size, [_NEVER] * size, [0] * size, [0] * size


def written(state: Announced) -> bytes:
    """The state as the column `announced` holds it."""
    last, before, returns, returned_on = state
    return _written.pack(*last, *before, *returns, *returned_on)


def read(written: bytes) -> Announced:
    """The state in the column `announced`."""
    size = len(THRESHOLDS)
    numbers = _written.unpack(written)
    return numbers[:size], numbers[size : 2 * size], numbers[2 * size : -size], numbers[-size:]


def announce(
    known: Announced, was: int, now: int, day: int, *, whole: bool = False
) -> tuple[int, Announced]:
    """A mask whose bit n is set when the change is worth announcing at threshold n, and the state
    after it. With `whole` it came or went altogether, which always is."""
    if whole:
        return (1 << len(THRESHOLDS)) - 1, begin(now)
    last, before, returns, returned_on = map(list, known)
    mask = 1
    changed = False
    for number, threshold in enumerate(THRESHOLDS[1:], start=1):
        if abs(now - last[number]) < threshold:
            continue
        changed = True
        back = abs(now - before[number]) < threshold
        if day - returned_on[number] >= QUIET:
            returns[number] = 0
        if back and abs(now - was) >= threshold:
            returns[number] += 1
            returned_on[number] = day
        if back and returns[number] > MOST_RETURNS:
            continue
        mask |= 1 << number
        before[number], last[number] = last[number], now
    return mask, (last, before, returns, returned_on) if changed else known


def announce_all(
    known: NDArray[np.int32],
    was: NDArray[np.int32],
    now: NDArray[np.int32],
    day: NDArray[np.int32],
    whole: NDArray[np.bool_],
) -> NDArray[np.int16]:
    """The same for the changes of many artifacts at once. Changes the states, each STATES rows of
    as many numbers as there are thresholds, in place."""
    mask = np.ones(len(now), np.int16)
    last, before, returns, returned_on = np.moveaxis(known, 1, 0)
    for number, threshold in enumerate(THRESHOLDS[1:], start=1):
        due = np.abs(now - last[:, number]) >= threshold
        # The first score ever announced has none before it: far away, and not to be subtracted
        # from in 32 bits.
        back = due & (np.abs(now.astype(np.int64) - before[:, number]) < threshold)
        returns[due & (day - returned_on[:, number] >= QUIET), number] = 0
        crossed = back & (np.abs(now - was) >= threshold)
        returns[crossed, number] += 1
        returned_on[crossed, number] = day[crossed]
        news = due & ~(back & (returns[:, number] > MOST_RETURNS))
        mask[news] |= 1 << number
        before[news, number] = last[news, number]
        last[news, number] = now[news]
    mask[whole] = (1 << len(THRESHOLDS)) - 1
    last[whole] = now[whole, np.newaxis]
    before[whole], returns[whole], returned_on[whole] = _NEVER, 0, 0
    return mask
