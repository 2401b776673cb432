"""What searchers made of an artifact, and how much the word of each is worth. Pure functions.

All that one searcher did with one artifact is a cell: the views in which the searcher really
looked, and what came of them. Cells fade; what a searcher may say of one artifact depends on how
many others the searcher chose; and who agrees badly with everybody else weighs less. The formulas
are in docs/ranking.md. All cells are weighed at once, in columns, by projections/rank_match.py.
"""

from datetime import date
from functools import cache
from math import ldexp, log
from typing import NamedTuple

from matchgraph.domain.search import UTILITY, Outcome, is_choice

# How fast examination falls with the position: an assumption until exploration has measured it.
EXPONENT = 0.8
# Days after which evidence counts half.
HALF_LIFE = 30
# What a searcher may say of an artifact, having chosen no other, in examined views.
LEAST_CAP = 1.0
# What a searcher may say of everything before more of it counts ever less, in examined views.
FREE = 20.0
# A cell so many standard deviations from everybody else's rate begins to weigh less.
TOLERATED = 2.5
# A searcher whose squared deviations are so many times those expected begins to weigh less.
SUSPECT = 1.25
# What a single outcome adds to a cell's variance, however small the part of a view it came of.
NOISE = 0.25
# The variance that a searcher is taken to have shown beside, just as expected.
UNSUSPECTED = 4.0
# The views that everybody else's rate is taken to rest on beside their own.
SHRUNK = 8.0
# How often weights and rates are computed from each other.
ROUNDS = 3
# A cell with less of both than this is forgotten at the next calibration.
FORGOTTEN = 0.01


@cache
def theta(position: int, exponent: float = EXPONENT) -> float:
    """The share of searchers who look at the result in that position, counted from 1."""
    return round(float(position**-exponent), 12)


# Powers are rounded, because their last bit differs between machines; a half is exact.
_DECAY = tuple(round(0.5 ** (day / HALF_LIFE), 12) for day in range(HALF_LIFE))


def decay(days: int) -> float:
    """What is left of evidence after so many days; all of it, before its day has come."""
    whole, rest = divmod(max(days, 0), HALF_LIFE)
    return ldexp(_DECAY[rest], -whole)


def gained(outcome: Outcome, before: Outcome | None) -> float:
    """By how much the outcome changes what came of a result that had another one before."""
    return UTILITY[outcome] - (0.0 if before is None else UTILITY[before])


class Cell(NamedTuple):
    """What one searcher made of one artifact, and how much that counts.

    Units: `exposure` in examined views and `utility` in successes, as of `day`, that of the last
        event; `cap` in examined views and `trust` in [0, 1], as of the last calibration. Whoever
        comes to an artifact after it has the least cap and is trusted.
    """

    day: date
    exposure: float = 0.0
    utility: float = 0.0
    chosen: bool = False
    cap: float = LEAST_CAP
    trust: float = 1.0

    def served(self, position: int, day: date, exponent: float = EXPONENT) -> "Cell":
        """The cell after the artifact was shown in that position."""
        return self._moved(day, theta(position, exponent), 0.0, self.chosen)

    def reported(self, outcome: Outcome, before: Outcome | None, day: date) -> "Cell":
        """The cell after the searcher reported what became of a result."""
        return self._moved(day, 0.0, gained(outcome, before), self.chosen or is_choice(outcome))

    def _moved(self, day: date, exposure: float, utility: float, chosen: bool) -> "Cell":
        # A clock behind that of the event before makes nothing younger.
        day = max(self.day, day)
        left = decay((day - self.day).days)
        return Cell(
            day,
            self.exposure * left + exposure,
            self.utility * left + utility,
            chosen,
            self.cap,
            self.trust,
        )

    def counted(self, day: date | None) -> "Count":
        """What the cell adds to its artifact as of that day, or as of its own where that is
        later or there is no other."""
        left = 1.0 if day is None else decay((day - self.day).days)
        exposure, utility = self.exposure * left, self.utility * left
        weight = within(self.cap, exposure, utility) * self.trust
        return Count(weight * exposure, weight * utility, 1, int(weight < 1.0))


class Count(NamedTuple):
    """What searchers made of one artifact.

    Units: `exposure` in examined views, `utility` in successes; `searchers` is how many there were,
        `discounted` how many of them do not count in full.
    """

    exposure: float = 0.0
    utility: float = 0.0
    searchers: int = 0
    discounted: int = 0

    def moved(self, was: "Count", now: "Count") -> "Count":
        """The count after one cell's share of it has changed."""
        return Count(
            self.exposure + (now.exposure - was.exposure),
            self.utility + (now.utility - was.utility),
            self.searchers + (now.searchers - was.searchers),
            self.discounted + (now.discounted - was.discounted),
        )


NEVER_SERVED = Count()


def within(cap: float, exposure: float, utility: float) -> float:
    """The weight that keeps both at the cap at most."""
    say = max(exposure, utility)
    return cap / say if say > cap else 1.0


def share(said: float) -> float:
    """The weight of somebody who says so much of everything: beyond what is free the logarithm of
    it counts."""
    return FREE * (1.0 + log(said / FREE)) / said if said > FREE else 1.0
