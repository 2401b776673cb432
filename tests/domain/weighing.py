"""How much each cell counts, one by one: what `rank_match.weigh` does to all of them in columns.

Both take the same steps in the same order, so tests ask both for the same bits.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import log1p
from typing import NamedTuple
from uuid import UUID

from matchgraph.domain.matching import (
    LEAST_CAP,
    NOISE,
    ROUNDS,
    SHRUNK,
    SUSPECT,
    TOLERATED,
    UNSUSPECTED,
    share,
    within,
)


class Said(NamedTuple):
    """A cell as a calibration weighs it: whose it is, of what, and what there is of it that day."""

    searcher: str
    artifact: UUID
    exposure: float
    utility: float
    chosen: bool


class Weight(NamedTuple):
    """How much a cell counts. Units: `cap` in examined views, `trust` in [0, 1]."""

    cap: float
    trust: float


def weigh(cells: Sequence[Said], assumed: Mapping[UUID, float]) -> list[Weight]:
    """How much each cell counts, beside all others.

    Shape: `cells` in the order in which sums run; one weight for each. `assumed` is the rate of an
        artifact that nobody looked at.
    Source: docs/ranking.md.
    """
    choices = Counter(cell.searcher for cell in cells if cell.chosen)
    caps = [LEAST_CAP + log1p(choices[one.searcher] - one.chosen) for one in cells]
    inside = [within(cap, one.exposure, one.utility) for one, cap in zip(cells, caps, strict=True)]
    said: defaultdict[str, float] = defaultdict(float)
    for one, weight in zip(cells, inside, strict=True):
        said[one.searcher] += weight * max(one.exposure, one.utility)
    shares = [share(said[one.searcher]) for one in cells]
    trust = [1.0] * len(cells)
    for _ in range(ROUNDS):
        weights = [a * b * c for a, b, c in zip(inside, shares, trust, strict=True)]
        trust = _trusted(cells, weights, assumed)
    return [
        Weight(cap, part * trusted) for cap, part, trusted in zip(caps, shares, trust, strict=True)
    ]


def _trusted(
    cells: Sequence[Said], weights: Sequence[float], assumed: Mapping[UUID, float]
) -> list[float]:
    """How well each cell, and its searcher, agrees with everybody else."""
    exposure: defaultdict[UUID, float] = defaultdict(float)
    utility: defaultdict[UUID, float] = defaultdict(float)
    for one, weight in zip(cells, weights, strict=True):
        exposure[one.artifact] += weight * one.exposure
        utility[one.artifact] += weight * one.utility
    expected: list[float] = []
    missed: list[float] = []
    all_expected: defaultdict[str, float] = defaultdict(float)
    all_missed: defaultdict[str, float] = defaultdict(float)
    for one, weight in zip(cells, weights, strict=True):
        id = one.artifact
        others = exposure[id] - weight * one.exposure + SHRUNK
        rate = (utility[id] - weight * one.utility + SHRUNK * assumed[id]) / others
        miss = one.utility - rate * one.exposure
        expected.append(rate * one.exposure)
        missed.append(miss * miss)
        all_expected[one.searcher] += expected[-1]
        all_missed[one.searcher] += missed[-1]
    return [
        at_most_one(TOLERATED * TOLERATED * (e + NOISE), m)
        * squared(
            at_most_one(
                SUSPECT * (all_expected[one.searcher] + UNSUSPECTED),
                all_missed[one.searcher] + UNSUSPECTED,
            )
        )
        for one, e, m in zip(cells, expected, missed, strict=True)
    ]


def at_most_one(tolerated: float, shown: float) -> float:
    """The share of what was shown that is tolerated."""
    return tolerated / shown if shown > tolerated else 1.0


def squared(number: float) -> float:
    """The number times itself."""
    return number * number
