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
        self.weights = np.array([one.weights for one in self.of]).T
        self.scales = np.array(
            [[np.nan if scale is None else scale for scale in one.scales] for one in self.of]
        ).T


def ranked(columns: Columns, measures: Measures) -> dict[str, Ints]:
    """The NUMBERS of each, by the formula that is in force for its kind."""
    now: dict[str, Ints] = {}
    for version in np.unique(measures.versions).tolist():
        found = FORMULAS[version](columns, measures)
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
    found = (
        _counts(PartName.ADOPTION, ADOPTION, columns, measures),
        _shrunk(columns.held, columns.checked, PartName.QUALITY),
        _counts(PartName.ECOSYSTEM, ECOSYSTEM, columns, measures),
        _matches(columns, measures),
        _ages(columns, measures),
    )
    return [value for value, _ in found], [share for _, share in found]


def _counts(
    part: PartName,
    weights: Mapping[Any, float],
    columns: Columns,
    measures: Measures,
) -> tuple[Floats, Floats]:
    summed = np.zeros(len(columns))
    weighed = np.zeros(len(columns))
    for name, weight in weights.items():
        number = COUNTS.index(name)
        share = columns.counts[number] / measures.scales[number][columns.kind]
        present = ~np.isnan(share)
        summed += np.where(present, weight * np.minimum(1.0, share), 0.0)
        weighed += np.where(present, weight, 0.0)
    return _shrunk(summed, weighed, part)


def _shrunk(summed: Floats, weighed: Floats, part: PartName) -> tuple[Floats, Floats]:
    prior = PRIORS[part]
    whole = weighed + prior.weight
    return (summed + prior.weight * prior.mean) / whole, prior.weight / whole


def _matches(columns: Columns, measures: Measures) -> tuple[Floats, Floats]:
    value = np.full(len(columns), PRIORS[PartName.MATCH_GRAPH].mean)
    share = np.ones(len(columns))
    matched = np.flatnonzero(columns.exposure)
    # One artifact at many moments is counted once for as long as nothing is new.
    said = columns.exposure[matched], columns.utility[matched], columns.kind[matched]
    new = np.append(True, np.logical_or.reduce([np.diff(one) != 0 for one in said]))[: len(matched)]
    # Logarithms and powers are those of the one formula: numpy's own may differ in the last bit.
    found = [
        of_matches(exposure, utility, measures.of[kind].match_mean)
        for exposure, utility, kind in zip(*(one[new].tolist() for one in said), strict=True)
    ]
    if found:
        value[matched], share[matched] = np.array(found)[np.cumsum(new) - 1].T
    return value, share


def _ages(columns: Columns, measures: Measures) -> tuple[Floats, Floats]:
    value = np.empty(len(columns))
    share = np.empty(len(columns))
    for number in np.unique(columns.kind).tolist():
        of_kind = np.flatnonzero(columns.kind == number)
        days, which = np.unique(columns.released[of_kind], return_inverse=True)
        found = [_age(int(day), measures.of[number]) for day in days]
        value[of_kind] = np.array([v for v, _ in found])[which]
        share[of_kind] = np.array([s for _, s in found])[which]
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
    now: dict[str, Ints] = {}
    variance = np.zeros(len(kind))
    assumed = np.zeros(len(kind))
    score = np.zeros(len(kind), np.int32)
    for number, part in enumerate(PARTS):
        weight = measures.weights[number][kind]
        now[part] = np.rint(values[number] * weight * POINTS).astype(np.int32)
        score += now[part]
        wide = weight * SPREADS[number]
        variance += wide * wide * shares[number]
        assumed += weight * shares[number]
    deviation = np.sqrt(variance) * POINTS
    margin = np.rint(Z * deviation).astype(np.int32)
    now["score"] = score
    now["low"] = np.maximum(0, score - margin)
    now["high"] = np.minimum(POINTS, score + margin)
    now["coverage"] = np.rint((1.0 - assumed) * MILLION).astype(np.int32)
    now["standing"] = score - np.rint(0.5 * deviation).astype(np.int32)
    return now
