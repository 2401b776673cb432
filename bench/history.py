"""Realistic events, made by the domain itself: artifacts, their prices and their signals."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

from eventsourcing.persistence import StoredEvent

from matchgraph.domain.aggregate import AggregateEvent
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.calibration import Calibration, Scale, Scales
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore.store import stored

PROVIDERS = ("anthropic", "azure", "bedrock", "deepinfra", "google", "groq", "mistral", "openai")
UNITS = (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN)
COUNTS = (SignalName.DOWNLOADS_30D, SignalName.STARS, SignalName.DEPENDENTS)
BEGINNING = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)


def registered_and_observed(
    artifacts: int, observations: int
) -> tuple[list[AggregateEvent], list[AggregateEvent]]:
    """So many artifacts registered, and then so many prices and signals observed of each.

    The observations go round: the first of each artifact, the second of each, and so on.
    """
    chance = Random(11)
    catalog = [_artifact(n, chance) for n in range(artifacts)]
    registrations: list[Any] = [e for artifact in catalog for e in artifact.collect_events()]
    observed: list[Any] = []
    for n in range(observations):
        for artifact in catalog:
            _observe(artifact, n, chance)
            observed += artifact.collect_events()
    return registrations, observed


def _artifact(n: int, chance: Random) -> Artifact:
    return Artifact.register(
        f"artifact-{n}",
        chance.choice((Kind.MODEL, Kind.WORKFLOW, Kind.SKILL)),
        Facts(name=f"Artifact {n}", vendor=chance.choice(PROVIDERS), context_tokens=200_000),
        Provenance(method=Method.OBSERVED, source="models.dev", observed_at=BEGINNING),
    )


def _observe(artifact: Artifact, n: int, chance: Random) -> None:
    observed_at = BEGINNING + timedelta(hours=n, seconds=chance.randrange(3600))
    if n % 2:
        artifact.observe_signal(
            Signal(
                name=chance.choice(COUNTS),
                value=Decimal(chance.randrange(1, 5_000_000)),
                source="pypi",
                observed_at=observed_at,
            )
        )
    else:
        artifact.observe_price(
            Price(
                provider=artifact.facts.vendor or "",
                pricing=Pricing.PAID,
                amount=Decimal(chance.randrange(1, 2000)) / 10**8,
                currency="USD",
                per=chance.choice(UNITS),
                source="models.dev",
                observed_at=observed_at,
            )
        )


def rows(events: Sequence[AggregateEvent]) -> list[StoredEvent]:
    """The events as they go into the log."""
    return [stored(event) for event in events]


class Supply:
    """Any number of encoded events that no log holds yet: the same ones under ever new ids."""

    def __init__(self, artifacts: int = 500, observations: int = 10) -> None:
        observed = registered_and_observed(artifacts, observations)[1]
        self._patterns: list[tuple[int, str, bytes, bytes]] = []
        for row in rows(observed):
            before, _, after = row.state.partition(str(row.originator_id).encode())
            self._patterns.append((row.originator_version, row.topic, before, after))
        self._artifacts = artifacts
        self.bytes = sum(len(a) + 36 + len(b) for _, _, a, b in self._patterns) // len(observed)

    def __call__(self, count: int) -> Iterator[StoredEvent]:
        """So many new events, all of them made already, so that making them costs no round."""
        made: list[StoredEvent] = []
        while len(made) < count:
            ids = [uuid4() for _ in range(self._artifacts)]
            texts = [str(id).encode() for id in ids]
            for n, (version, topic, before, after) in enumerate(self._patterns):
                k = n % self._artifacts
                made.append(StoredEvent(ids[k], version, topic, before + texts[k] + after))
        return iter(made[:count])


def calibration() -> Sequence[AggregateEvent]:
    """What ranks are measured by: every count against one distribution."""
    scales = tuple(Scale(signal=name, p99=Decimal(4_000_000), observed=100) for name in COUNTS)
    made = Calibration.calibrate(None, Scales(day=BEGINNING.date(), up_to=0, scales=scales))
    return made.collect_events()  # type: ignore[return-value]
