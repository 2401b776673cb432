"""The formula of domain/ranking.py on columns: many artifacts, or one at many moments, at once.

Each step is the one that the formula takes for a single artifact, in the same order, so both give
the same bits (a test compares them on random catalogs).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.artifact import Kind
from matchgraph.domain.ranking import (
    ADOPTION,
    COUNTS,
    ECOSYSTEM,
    MILLION,
    PARTS,
    POINTS,
    PRIORS,
    SPREADS,
    Measure,
    PartName,
    Z,
    age,
    of_age,
    of_matches,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
KINDS = tuple(Kind)
# What a rank consists of, in this order.
NUMBERS = ("score", "low", "high", "coverage", "standing", *PARTS)
UNKNOWN_DAY = -(2**31)
EPOCH = date(1970, 1, 1).toordinal()


@dataclass
class Columns:
    """The numbers of the evidence that the formula reads, one entry for each rank.

    Units: `kind` as its number in KINDS; `released` in days since 1970, or UNKNOWN_DAY.
    """

    kind: NDArray[np.int16]
    released: Ints
    counts: Floats  # NaN where nothing was observed; one row for each of COUNTS
    checked: Floats
    held: Floats
    exposure: Floats
    utility: Floats

    def __len__(self) -> int:
        return len(self.kind)


class Measures:
    """What each kind is measured by, in columns: a value for each of KINDS, NaN where there is no
    scale."""

    def __init__(self, of: Mapping[Kind, Measure]) -> None:
        self.of = tuple(of[kind] for kind in KINDS)
        self.versions = np.array([one.policy.formula for one in self.of])
        self.in_force = sorted(set(self.versions.tolist()))
        self.weights = np.array([one.weights for one in self.of]).T
        self.scales = np.array(
            [[np.nan if scale is None else scale for scale in one.scales] for one in self.of]
        ).T


def ranked(columns: Columns, measures: Measures) -> dict[str, Ints]:
    """The NUMBERS of each, by the formula that is in force for its kind."""
    now: dict[str, Ints] = {}
    for version in measures.in_force:
        found = FORMULAS[version](columns, measures)
        if len(measures.in_force) == 1:
            return found
        by_this = (measures.versions == version)[columns.kind]
        now = {
            name: np.where(by_this, column, now[name]) if now else column
            for name, column in found.items()
        }
    return now


def answered(trusted: Floats, said: Floats) -> tuple[Floats, Floats]:
    """The weight of the checklist's answers, and of those that say yes, from a row for each item:
    what its answer weighs, and the answer."""
    checked, held = np.zeros(trusted.shape[1]), np.zeros(trusted.shape[1])
    for weight, answer in zip(trusted, said, strict=True):
        checked += weight
        held += weight * answer
    return checked, held


def _first(columns: Columns, measures: Measures) -> dict[str, Ints]:
    return _combine(*_parts(columns, measures), columns.kind, measures)


# The versions of the formula, as domain/ranking.py has them.
FORMULAS = {1: _first}


def _parts(columns: Columns, measures: Measures) -> tuple[list[Floats], list[Floats]]:
    """The value of each part and the share of it that is assumed."""
    share = columns.counts / measures.scales[:, columns.kind]
    present = ~np.isnan(share)
    share = np.where(present, np.minimum(1.0, share), 0.0)
    found = (
        _counts(PartName.ADOPTION, ADOPTION, share, present),
        _shrunk(columns.held, columns.checked, PartName.QUALITY),
        _counts(PartName.ECOSYSTEM, ECOSYSTEM, share, present),
        _matches(columns, measures),
        _ages(columns, measures),
    )
    return [value for value, _ in found], [share for _, share in found]


def _counts(
    part: PartName, weights: Mapping[Any, float], share: Floats, present: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    summed, weighed = np.zeros(share.shape[1]), np.zeros(share.shape[1])
    for name, weight in weights.items():
        number = COUNTS.index(name)
        summed += weight * share[number]
        weighed += weight * present[number]
    return _shrunk(summed, weighed, part)


def _shrunk(summed: Floats, weighed: Floats, part: PartName) -> tuple[Floats, Floats]:
    prior = PRIORS[part]
    whole = weighed + prior.weight
    return (summed + prior.weight * prior.mean) / whole, prior.weight / whole


def _matches(columns: Columns, measures: Measures) -> tuple[Floats, Floats]:
    value = np.full(len(columns), PRIORS[PartName.MATCH_GRAPH].mean)
    share = np.ones(len(columns))
    matched = np.flatnonzero(columns.exposure)
    if not len(matched):
        return value, share
    # One artifact at many moments is counted once for as long as nothing is new.
    said = columns.exposure[matched], columns.utility[matched], columns.kind[matched]
    new = np.append(True, np.logical_or.reduce([np.diff(one) != 0 for one in said]))
    # Logarithms and powers are those of the one formula: numpy's own may differ in the last bit.
    found = [
        of_matches(exposure, utility, measures.of[kind].match_mean)
        for exposure, utility, kind in zip(*(one[new].tolist() for one in said), strict=True)
    ]
    value[matched], share[matched] = np.array(found)[np.cumsum(new) - 1].T
    return value, share


def _ages(columns: Columns, measures: Measures) -> tuple[Floats, Floats]:
    # A kind and a day in one number.
    keys = (columns.kind.astype(np.int64) << 32) + (columns.released.astype(np.int64) - UNKNOWN_DAY)
    found, which = np.unique(keys, return_inverse=True)
    ages = [
        _age((key & (1 << 32) - 1) + UNKNOWN_DAY, measures.of[key >> 32]) for key in found.tolist()
    ]
    value, share = np.array(ages).reshape(-1, 2)[which].T
    return value, share


def _age(released: int, by: Measure) -> tuple[float, float]:
    day = None if released == UNKNOWN_DAY else date.fromordinal(released + EPOCH)
    return of_age(age(day, by.day), by.policy.half_life)


def _combine(
    values: list[Floats],
    shares: list[Floats],
    kind: NDArray[np.int16],
    measures: Measures,
) -> dict[str, Ints]:
    weights = measures.weights[:, kind]
    points = np.rint(np.stack(values) * weights * POINTS).astype(np.int32)
    score = points.sum(axis=0, dtype=np.int32)
    now = dict(zip(PARTS, points, strict=True))
    wide = weights * _SPREADS
    wide *= wide
    variance, assumed = np.zeros(len(kind)), np.zeros(len(kind))
    # In this order, which is that of the one formula.
    for weight, square, share in zip(weights, wide, shares, strict=True):
        variance += square * share
        assumed += weight * share
    deviation = np.sqrt(variance) * POINTS
    margin = np.rint(Z * deviation).astype(np.int32)
    now["score"] = score
    now["low"] = np.maximum(0, score - margin)
    now["high"] = np.minimum(POINTS, score + margin)
    now["coverage"] = np.rint((1.0 - assumed) * MILLION).astype(np.int32)
    now["standing"] = score - np.rint(0.5 * deviation).astype(np.int32)
    return now


_SPREADS = np.array([[spread] for spread in SPREADS])
