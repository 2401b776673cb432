"""Calibration: the distributions that observed numbers are measured against, frozen on a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from math import log1p
from types import MappingProxyType
from uuid import NAMESPACE_URL, UUID, uuid5

from matchgraph.domain.aggregate import Aggregate, Recurring
from matchgraph.domain.artifact import Kind
from matchgraph.domain.errors import StaleCalibration
from matchgraph.domain.signal import SignalName

ID = uuid5(NAMESPACE_URL, "urn:matchgraph:calibration")
# Fewer artifacts of a kind say nothing of its distribution: all kinds together do.
FEWEST = 20
# What a leader is taken to have, while fewer than that say what leaders have.
LEAST_P99: Mapping[SignalName, float] = MappingProxyType(
    {
        SignalName.DOWNLOADS_30D: 1_000_000.0,
        SignalName.DEPENDENTS: 1_000.0,
        SignalName.STARS: 10_000.0,
        SignalName.CHOOSERS: 100.0,
        SignalName.EXTENSIONS: 100.0,
        SignalName.INTEGRATIONS: 100.0,
        SignalName.HOSTS: 20.0,
        SignalName.PROTOCOLS: 4.0,
    }
)
# The mean rate at which searchers were served, while no kind has evidence of its own.
MATCH_MEAN = 0.22
LEAST_MEAN = 0.01
# Of how many examined views an artifact's rate says something of its kind.
ENOUGH_VIEWS = 8.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The 99th percentile of a signal among `observed` artifacts of a kind, or of all kinds."""

    signal: SignalName
    p99: Decimal
    observed: int
    kind: Kind | None = None


@dataclass(frozen=True, kw_only=True)
class MatchMean:
    """The mean rate at which searchers were served by artifacts of a kind."""

    kind: Kind
    mean: Decimal


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What is frozen: the distributions as of an event, and the day that ages are counted from."""

    day: date
    up_to: int
    scales: tuple[Scale, ...] = ()
    match_means: tuple[MatchMean, ...] = ()

    def scale(self, kind: Kind, signal: SignalName) -> float | None:
        """ln(1 + p99) of the kind where enough of it was observed, else of all kinds; None when
        nobody observed it anywhere. Where few did anywhere, the best of them may be far from good:
        then it is LEAST_P99 at least."""
        found = self._by_kind.get((kind, signal)) or self._by_kind.get((None, signal))
        if found is None:
            return None
        least = 1.0 if found.observed >= FEWEST else LEAST_P99[signal]
        return log1p(max(least, float(found.p99)))

    def match_mean(self, kind: Kind) -> float:
        """The kind's mean."""
        mean = self._means.get(kind, MATCH_MEAN)
        # Against a mean of nothing a single view would be infinitely good, or bad.
        return min(max(mean, LEAST_MEAN), 1 - LEAST_MEAN)

    @cached_property
    def _by_kind(self) -> Mapping[tuple[Kind | None, SignalName], Scale]:
        return {
            (one.kind, one.signal): one
            for one in self.scales
            if one.kind is None or one.observed >= FEWEST
        }

    @cached_property
    def _means(self) -> Mapping[Kind, float]:
        return {one.kind: float(one.mean) for one in self.match_means}


class Calibration(Aggregate):
    """The calibration of the catalog; there is one, taken anew from time to time."""

    TOPIC = "calibration"

    class Calibrated(Recurring):
        TOPIC = "ranks.calibrated"
        scales: Scales

        def apply(self, aggregate: "Calibration") -> None:
            """The newest one is in force."""
            aggregate.scales = self.scales

    def __init__(self, scales: Scales) -> None:
        self.scales = scales

    @staticmethod
    def create_id() -> UUID:
        """There is one calibration."""
        return ID

    @classmethod
    def calibrate(cls, known: "Calibration | None", scales: Scales) -> "Calibration":
        """The calibration taken anew. Raises: StaleCalibration when one of a later day, or of more
        of the history, is in force."""
        if known is not None and (
            scales.up_to < known.scales.up_to or scales.day < known.scales.day
        ):
            raise StaleCalibration(
                day=scales.day,
                up_to=scales.up_to,
                known_day=known.scales.day,
                known_up_to=known.scales.up_to,
            )
        return cls.Calibrated.happens(cls, known, scales=scales)
