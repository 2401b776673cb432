"""How an artifact ranks: evidence in, a score that explains itself out. Pure functions.

Counts enter as natural logarithms and are measured against those of a calibration, so what follows
is addition, multiplication, division and square roots, which IEEE 754 rounds the same everywhere:
one artifact at a time or all at once, the same evidence gives the same bits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from math import exp, log, log1p, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import MATCH_MEAN, Scales
from matchgraph.domain.errors import UnknownFormula
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.provenance import Method
from matchgraph.domain.signal import Signal, SignalName

# A score is counted in millionths of a point, a share in millionths, so that parts add up exactly.
MILLION = 1_000_000
POINTS = 100 * MILLION
# From so many millionths on a change of the score is worth announcing, by choice of who listens;
# the first one means any change at all.
THRESHOLDS = (0, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
# The quantile of the normal distribution that leaves 10 % above.
Z = 1.2816


class PartName(StrEnum):
    """What a score is made of, in the order in which it is summed."""

    ADOPTION = "adoption"
    QUALITY = "quality"
    ECOSYSTEM = "ecosystem"
    MATCH_GRAPH = "match_graph"
    FRESHNESS = "freshness"


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a part without any evidence: mean, standard deviation and weight."""

    mean: float
    spread: float
    weight: float = 0.0


PRIORS: Mapping[PartName, Prior] = MappingProxyType(
    {
        PartName.ADOPTION: Prior(0.15, 0.22, 0.15),
        PartName.QUALITY: Prior(0.35, 0.20, 2.0),
        PartName.ECOSYSTEM: Prior(0.15, 0.20, 0.15),
        PartName.MATCH_GRAPH: Prior(0.30, 0.18, 8.0),
        PartName.FRESHNESS: Prior(0.25, 0.15),
    }
)
PARTS = tuple(PartName)
SPREADS = tuple(PRIORS[part].spread for part in PARTS)

ADOPTION: Mapping[SignalName, float] = MappingProxyType(
    {
        SignalName.DOWNLOADS_30D: 0.40,
        SignalName.DEPENDENTS: 0.25,
        SignalName.STARS: 0.20,
        SignalName.CHOOSERS: 0.15,
    }
)
ECOSYSTEM: Mapping[SignalName, float] = MappingProxyType(
    {
        SignalName.EXTENSIONS: 0.35,
        SignalName.INTEGRATIONS: 0.30,
        SignalName.HOSTS: 0.20,
        SignalName.PROTOCOLS: 0.15,
    }
)
COUNTS = (*ADOPTION, *ECOSYSTEM)
CHECKLIST: Mapping[SignalName, float] = MappingProxyType(
    {
        SignalName.LICENCE: 1.0,
        SignalName.DOCS: 1.0,
        SignalName.VERSIONED_RELEASE: 1.0,
        SignalName.TYPED_SCHEMA: 1.0,
        SignalName.TESTS: 1.2,
        SignalName.EXAMPLES: 1.0,
        SignalName.CHANGELOG: 1.0,
        SignalName.SECURITY_POLICY: 1.0,
        SignalName.SIGNED_PROVENANCE: 1.0,
        SignalName.CLAIMS_VERIFIED: 1.5,
    }
)
# How much an answer on the checklist weighs by who gives it.
TRUST: Mapping[Method, float] = MappingProxyType(
    {Method.INFERRED: 0.4, Method.DECLARED: 0.4, Method.OBSERVED: 0.8, Method.VERIFIED: 1.0}
)
STEEPNESS = 0.8
STALE = 0.05
# A rate of one would be infinitely good.
ALMOST = 1e-6


@dataclass(frozen=True, slots=True)
class Observed:
    """A signal with the position of the event that recorded it."""

    signal: Signal
    position: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of one artifact.

    Units: `exposure` in views that really looked, `utility` in successes, both as of the
    calibration's day; of so many searchers, of whom `discounted` do not count in full.
    """

    kind: Kind
    signals: Sequence[Observed] = ()
    released: date | None = None
    exposure: float = 0.0
    utility: float = 0.0
    searchers: int = 0
    discounted: int = 0


class Summary(NamedTuple):
    """The numbers of the evidence that the formula reads.

    Shape: `counts` has one entry for each of COUNTS, None where nothing was observed.
    Units: `counts` are ln(1 + v); `checked` is the weight of the checklist's answers and `held`
        that of those that say yes.
    """

    counts: tuple[float | None, ...]
    checked: float
    held: float


class Numbers(NamedTuple):
    """A rank as boards keep it. Units: millionths of a point; `coverage` in millionths."""

    points: tuple[int, ...]
    score: int
    low: int
    high: int
    coverage: int
    standing: int


@dataclass(frozen=True, slots=True)
class Input:
    """One piece of evidence in a part: as it was observed, and what the formula made of it.

    `normalised` is in [0, 1], or None for what the calibration has no scale for; `weight` is its
    weight within the part.
    """

    name: str
    value: str
    normalised: float | None
    weight: float
    observed: Observed | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score. Units: `value` and `evidence` (the share that is not assumed) in
    [0, 1], `points` in millionths."""

    name: PartName
    value: float
    weight: float
    points: int
    evidence: float
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Rank:
    """A score with its interval, its parts, and what they were computed from."""

    numbers: Numbers
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Measure:
    """What evidence is measured by: the policy and the calibration in force, for one kind.

    Without a calibration no count can be judged and no age be told.
    Raises: UnknownFormula when a newer release made that policy.
    """

    policy: KindPolicy
    scales: tuple[float | None, ...] = (None,) * len(COUNTS)
    match_mean: float = MATCH_MEAN
    day: date | None = None
    weights: tuple[float, ...] = field(init=False)
    formula: "Formula" = field(init=False)

    def __post_init__(self) -> None:
        # Once, and not for each artifact.
        object.__setattr__(self, "weights", tuple(map(float, self.policy.weights)))
        if (version := self.policy.formula) not in FORMULAS:
            raise UnknownFormula(version, tuple(FORMULAS))
        object.__setattr__(self, "formula", FORMULAS[version])


@dataclass(frozen=True)
class Formula:
    """One version of the formula: the value of a part, the numbers that the parts make, and both
    explained. A released version is never changed: old ranks are computed by it for good."""

    value_of: "Callable[[PartName, Summary, date | None, float, float, Measure], Value]"
    combine: "Callable[[Sequence[Value], Sequence[float]], Numbers]"
    explain: "Callable[[Evidence, Measure], Rank]"


def measure(kind: Kind, policies: Mapping[Kind, KindPolicy], calibration: Scales | None) -> Measure:
    """What artifacts of that kind are measured by."""
    policy = policies.get(kind, DEFAULTS[kind])
    if calibration is None:
        return Measure(policy)
    return Measure(
        policy,
        tuple(calibration.scale(kind, name) for name in COUNTS),
        calibration.match_mean(kind),
        calibration.day,
    )


def rank(evidence: Evidence, by: Measure) -> Rank:
    """The rank that the evidence gives, explained.

    Shape: five parts, in the order of PARTS; their points add up to the score exactly.
    Source: docs/ranking.md.
    """
    return by.formula.explain(evidence, by)


def _explain(evidence: Evidence, by: Measure) -> Rank:
    chosen = preferred(evidence.signals)
    summary = summarise(chosen)
    values = parts_of(summary, evidence.released, evidence.exposure, evidence.utility, by)
    numbers = combine(values, by.weights)
    inputs = (
        _counts(ADOPTION, chosen, by),
        _answers(chosen),
        _counts(ECOSYSTEM, chosen, by),
        _views(evidence),
        _release(evidence, by),
    )
    return Rank(
        numbers,
        tuple(
            Part(name, value, weight, points, 1.0 - share, given)
            for name, (value, share), weight, points, given in zip(
                PARTS, values, by.weights, numbers.points, inputs, strict=True
            )
        ),
    )


class Seen(Protocol):
    """What makes one observation of a signal count before another."""

    @property
    def name(self) -> SignalName:
        """The signal."""

    @property
    def source(self) -> str:
        """Who showed it."""

    @property
    def observed_at(self) -> datetime:
        """When."""

    @property
    def method(self) -> Method:
        """How it is known."""


class Noted(Protocol):
    """An observation that was recorded."""

    @property
    def signal(self) -> Any:
        """It, a Seen."""


N = TypeVar("N", bound=Noted)


def preferred(signals: Iterable[N]) -> dict[SignalName, N]:
    """Of each signal the observation that counts: the most trusted, of those the newest, of those
    the source that comes first by name."""
    chosen: dict[SignalName, N] = {}
    for one in signals:
        known = chosen.get(one.signal.name)
        if known is None or _counts_before(one.signal, known.signal):
            chosen[one.signal.name] = one
    return chosen


def _counts_before(one: Seen, other: Seen) -> bool:
    trust, known = TRUST[one.method], TRUST[other.method]
    if trust != known:
        return trust > known
    if one.observed_at != other.observed_at:
        return one.observed_at > other.observed_at
    return one.source < other.source


def summarise(chosen: Mapping[SignalName, Observed]) -> Summary:
    """The numbers of the observations that count."""
    return Summary(
        tuple(logarithm(chosen[name].signal.value) if name in chosen else None for name in COUNTS),
        *answers(chosen),
    )


def logarithm(value: Decimal | str) -> float:
    """The count as the formula reads it."""
    return log1p(float(value))


def answers(chosen: Mapping[SignalName, Observed]) -> tuple[float, float]:
    """The weight of the checklist's answers, and of those that say yes."""
    checked = held = 0.0
    for name, weight in CHECKLIST.items():
        if name in chosen:
            signal = chosen[name].signal
            trusted = weight * TRUST[signal.method]
            checked += trusted
            held += trusted * float(signal.value)
    return checked, held


Value = tuple[float, float]


def value_of(
    part: PartName,
    summary: Summary,
    released: date | None,
    exposure: float,
    utility: float,
    by: Measure,
) -> Value:
    """The value of the part and the share of it that is assumed, both in [0, 1]."""
    half = len(ADOPTION)
    match part:
        case PartName.ADOPTION:
            return of_counts(part, ADOPTION.values(), summary.counts[:half], by.scales[:half])
        case PartName.QUALITY:
            return of_checklist(summary.checked, summary.held)
        case PartName.ECOSYSTEM:
            return of_counts(part, ECOSYSTEM.values(), summary.counts[half:], by.scales[half:])
        case PartName.MATCH_GRAPH:
            return of_matches(exposure, utility, by.match_mean)
        case PartName.FRESHNESS:
            return of_age(age(released, by.day), by.policy.half_life)


def parts_of(
    summary: Summary, released: date | None, exposure: float, utility: float, by: Measure
) -> list[Value]:
    """The value of each part, in the order of PARTS."""
    return [value_of(part, summary, released, exposure, utility, by) for part in PARTS]


def of_counts(
    part: PartName,
    weights: Iterable[float],
    counts: Sequence[float | None],
    scales: Sequence[float | None],
) -> Value:
    """Adoption or ecosystem: the weighted mean of the counts present, shrunk to the prior."""
    prior = PRIORS[part]
    weighed = summed = 0.0
    for weight, count, scale in zip(weights, counts, scales, strict=True):
        if count is not None and scale is not None:
            summed += weight * min(1.0, count / scale)
            weighed += weight
    return _shrunk(summed, weighed, prior)


def of_checklist(checked: float, held: float) -> Value:
    """Quality: the share of the checklist's answers that say yes, shrunk to the prior."""
    return _shrunk(held, checked, PRIORS[PartName.QUALITY])


def _shrunk(summed: float, weighed: float, prior: Prior) -> Value:
    whole = weighed + prior.weight
    return (summed + prior.weight * prior.mean) / whole, prior.weight / whole


def of_matches(exposure: float, utility: float, mean: float) -> Value:
    """Match graph: how well searchers were served who really looked, against the kind's mean."""
    prior = PRIORS[PartName.MATCH_GRAPH]
    if exposure == 0.0:
        return prior.mean, 1.0
    rate = (utility + prior.weight * assumed_rate(mean)) / (exposure + prior.weight)
    value = _sigmoid((_logit(rate) - _logit(mean)) / STEEPNESS)
    return value, prior.weight / (exposure + prior.weight)


def assumed_rate(mean: float) -> float:
    """The rate that is assumed without views: the one whose value is the prior's mean."""
    return _sigmoid(_logit(mean) + STEEPNESS * _logit(PRIORS[PartName.MATCH_GRAPH].mean))


def _logit(rate: float) -> float:
    rate = min(max(rate, ALMOST), 1.0 - ALMOST)
    return log(rate / (1.0 - rate))


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


def age(released: date | None, day: date | None) -> int | None:
    """Whole days since the release as of that day, or None when either is not known."""
    if released is None or day is None:
        return None
    # What came out after the calibration is new.
    return max(0, (day - released).days)


def of_age(days: int | None, half_life: int) -> Value:
    """Freshness: halved with every half-life since the last release."""
    if days is None:
        return PRIORS[PartName.FRESHNESS].mean, 1.0
    return max(STALE, 0.5 ** (days / half_life)), 0.0


def combine(values: Sequence[Value], weights: Sequence[float]) -> Numbers:
    """The score of the parts, with its 80 % interval."""
    points: list[int] = []
    variance = assumed = 0.0
    for (value, share), weight, spread in zip(values, weights, SPREADS, strict=True):
        points.append(round(value * weight * POINTS))
        variance += weight * spread * (weight * spread) * share
        assumed += weight * share
    deviation = sqrt(variance) * POINTS
    score = sum(points)
    margin = round(Z * deviation)
    return Numbers(
        points=tuple(points),
        score=score,
        low=max(0, score - margin),
        high=min(POINTS, score + margin),
        coverage=round((1.0 - assumed) * MILLION),
        standing=score - round(0.5 * deviation),
    )


def _counts(
    weights: Mapping[SignalName, float], chosen: Mapping[SignalName, Observed], by: Measure
) -> tuple[Input, ...]:
    found = []
    for name, weight in weights.items():
        if (observed := chosen.get(name)) is not None:
            scale = by.scales[COUNTS.index(name)]
            value = observed.signal.value
            normalised = None if scale is None else min(1.0, logarithm(value) / scale)
            found.append(Input(name, format(value, "f"), normalised, weight, observed))
    return tuple(found)


def _answers(chosen: Mapping[SignalName, Observed]) -> tuple[Input, ...]:
    return tuple(
        Input(
            name,
            format(observed.signal.value, "f"),
            float(observed.signal.value),
            weight * TRUST[observed.signal.method],
            observed,
        )
        for name, weight in CHECKLIST.items()
        if (observed := chosen.get(name)) is not None
    )


def _views(evidence: Evidence) -> tuple[Input, ...]:
    if evidence.exposure == 0.0:
        return ()
    return (
        Input("exposure", repr(evidence.exposure), None, evidence.exposure),
        Input("utility", repr(evidence.utility), None, evidence.utility),
        # How many they come from, of whom some count in part: nothing more is added by these.
        Input("searchers", str(evidence.searchers), None, 0.0),
        Input("discounted", str(evidence.discounted), None, 0.0),
    )


def _release(evidence: Evidence, by: Measure) -> tuple[Input, ...]:
    if evidence.released is None:
        return ()
    days = age(evidence.released, by.day)
    value = None if days is None else of_age(days, by.policy.half_life)[0]
    return (Input("released", evidence.released.isoformat(), value, 1.0),)


FORMULAS: Mapping[int, Formula] = MappingProxyType({1: Formula(value_of, combine, _explain)})
