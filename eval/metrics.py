"""How good a ranking is, against grades; and how sure a difference of two is."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

DEPTH = 10


def ndcg(found: Sequence[str], grades: Mapping[str, int], depth: int = DEPTH) -> float:
    """The discounted gain of the first results, as a share of the best there could be.

    Units: a grade is its own gain; place p counts 1 / log2(p + 1).
    """
    best = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain([grades.get(slug, 0) for slug in found[:depth]]) / best if best else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades))


def recall(found: Sequence[str], grades: Mapping[str, int], depth: int = DEPTH) -> float:
    """How many of the relevant there are among the first results, of as many as have room there."""
    room = min(depth, len(grades))
    return len(grades.keys() & set(found[:depth])) / room if room else 0.0


def reciprocal_rank(found: Sequence[str], grades: Mapping[str, int], depth: int = DEPTH) -> float:
    """One divided by the place of the first relevant result; 0 when there is none."""
    places = (place for place, slug in enumerate(found[:depth], 1) if slug in grades)
    return 1 / next(places, math.inf)


def forbidden(
    found: Sequence[str], unwanted: Collection[str], depth: int = DEPTH
) -> tuple[int, int]:
    """How many of the first results may not be shown, and of how many."""
    shown = found[:depth]
    return sum(slug in unwanted for slug in shown), len(shown)


def interval(
    ours: Sequence[float], theirs: Sequence[float], draws: int = 10_000, seed: int = 20_261_123
) -> tuple[float, float]:
    """Where the mean difference lies in 95 of 100 draws of as many needs, with replacement; the
    same numbers give the same interval."""
    differences = np.asarray(ours) - np.asarray(theirs)
    random = np.random.default_rng(seed)
    picked = random.integers(0, len(differences), (draws, len(differences)))
    low, high = np.percentile(differences[picked].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
