"""What `rank_board` has to hold, computed from the whole of a history, event by event."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from matchgraph.domain.artifact import Artifact, Facts, Kind, id_of
from matchgraph.domain.calibration import Calibration, Scale, Scales
from matchgraph.domain.errors import Refusal
from matchgraph.domain.matching import NEVER_SERVED
from matchgraph.domain.policy import DEFAULTS, KindPolicy, Policy
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import COUNTS, Evidence, Numbers, Observed, measure, rank
from matchgraph.domain.search import Discarded, Outcome, Search
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore import codec
from matchgraph.projections.announcement import Announced, announce, begin, written
from tests.eventstore.histories import (
    INTENTS,
    day,
    provenance,
    sealed,
    served,
    signal,
    stored_events,
)
from tests.projections.matches import Counted, at

Row = tuple[Any, ...]
NEVER = Numbers(points=(0, 0, 0, 0, 0), score=0, low=0, high=0, coverage=0, standing=0)


@dataclass
class Standing:
    """One artifact."""

    kind: Kind
    listed: bool = True
    days: dict[str, date] = field(default_factory=dict)
    signals: dict[SignalName, dict[str, Observed]] = field(default_factory=dict)
    numbers: Numbers = NEVER
    position: int = 0
    place: int = 0
    band: int = 0
    announced: Announced = field(default_factory=lambda: begin(0))

    @property
    def observed(self) -> list[Observed]:
        return [one for sources in self.signals.values() for one in sources.values()]


class Ranking:
    """The ranks of a history, and every change of one."""

    def __init__(self) -> None:
        self.artifacts: dict[UUID, Standing] = {}
        self.history: list[Row] = []
        self._policies: dict[Kind, KindPolicy] = dict(DEFAULTS)
        self._scales: Scales | None = None
        self._counted = Counted()

    def take(self, position: int, stored: StoredEvent) -> None:
        """Ranks what the event moves."""
        assert isinstance(stored.originator_id, UUID)
        id = stored.originator_id
        event = codec.decode(stored.topic, id, stored.originator_version, stored.state)
        self._counted.take(stored)
        on = event.timestamp.date()
        match event:
            case Artifact.Registered():
                self.artifacts[id] = one = Standing(event.kind, listed=False)
                self._release(one, event.facts)
                self._move(position, on, id, listed=True)
            case Artifact.Described():
                self._release(self.artifacts[id], event.facts)
                self._move(position, on, id)
            case Artifact.Retired() | Artifact.Merged():
                self._move(position, on, id, listed=False)
            case Artifact.Reinstated() | Artifact.Unmerged():
                self._move(position, on, id, listed=True)
            case Artifact.SignalObserved():
                self._observe(self.artifacts[id], event.signal, position)
                self._move(position, on, id)
            case Search.OutcomeReported() if event.served.artifact_id in self.artifacts:
                self._move(position, on, event.served.artifact_id)
            case Policy.Adopted():
                self._policies.update({one.kind: one for one in event.kinds})
                self._move_all(position, on)
            case Calibration.Calibrated():
                self._scales = event.scales
                self._move_all(position, on)

    def _release(self, one: Standing, facts: Facts) -> None:
        named = {"released": facts.released, "last_release": facts.last_release}
        one.days |= {name: day for name, day in named.items() if day is not None}

    def _observe(self, one: Standing, signal: Signal, position: int) -> None:
        one.signals.setdefault(signal.name, {})[signal.source] = Observed(signal, position)

    def _now(self, id: UUID) -> Numbers:
        one, matched = self.artifacts[id], self._counted.in_force.get(id, NEVER_SERVED)
        evidence = Evidence(
            kind=one.kind,
            signals=one.observed,
            released=max(one.days.values(), default=None),
            exposure=matched.exposure,
            utility=matched.utility,
        )
        return rank(evidence, measure(one.kind, self._policies, self._scales)).numbers

    def _stands(self, id: UUID) -> tuple[int, int]:
        """Place and band among those of its kind that are on offer."""
        one = self.artifacts[id]
        if not one.listed:
            return 0, 0
        others = [
            (-other.numbers.standing, name, other.numbers.low)
            for name, other in self.artifacts.items()
            if other.listed and other.kind is one.kind
        ]
        own = -one.numbers.standing, id
        return (
            1 + sum((standing, name) < own for standing, name, _ in others),
            1 + sum(low > one.numbers.high for _, _, low in others),
        )

    def _move(self, position: int, on: date, id: UUID, *, listed: bool | None = None) -> None:
        one = self.artifacts[id]
        listed = one.listed if listed is None else listed
        was, was_listed, before = one.numbers, one.listed, self._stands(id)
        one.numbers, one.listed = self._now(id), listed
        if one.numbers == was and was_listed == listed:
            return
        mask, one.announced = announce(
            one.announced, was.score, one.numbers.score, _day(on), whole=was_listed != listed
        )
        self._tell(position, id, was, before, self._stands(id), mask)

    def _move_all(self, position: int, on: date) -> None:
        was = {id: (one.numbers, self._stands(id)) for id, one in self.artifacts.items()}
        for id, one in self.artifacts.items():
            one.numbers = self._now(id)
        for id, (numbers, before) in was.items():
            one = self.artifacts[id]
            if one.numbers == numbers:
                continue
            mask = 0
            if one.listed:
                mask, one.announced = announce(
                    one.announced, numbers.score, one.numbers.score, _day(on)
                )
            self._tell(position, id, numbers, before, self._stands(id), mask)

    def _tell(
        self,
        position: int,
        id: UUID,
        was: Numbers,
        before: tuple[int, int],
        after: tuple[int, int],
        mask: int,
    ) -> None:
        one = self.artifacts[id]
        one.position, (one.place, one.band) = position, after
        now = one.numbers
        self.history.append(
            (
                *(position, id, now.score, now.low, now.high, now.coverage, *after),
                *(was.score, *before, *now.points, *was.points, mask, now.standing),
            )
        )

    def board(self) -> list[Row]:
        """The rows of rank_board, by id."""
        return [
            (
                *(one.position, id, one.kind, one.numbers.score, one.numbers.low),
                *(one.numbers.high, one.numbers.coverage, one.numbers.standing),
                *(*one.numbers.points, one.place, one.band, written(one.announced)),
            )
            for id, one in sorted(self.artifacts.items())
        ]

    def evidence(self) -> list[Row]:
        """Of the rows of rank_evidence, by id, what the events say by themselves."""
        return [
            (
                *(id, one.listed, one.days.get("released"), one.days.get("last_release")),
                msgspec.json.encode(one.observed),
            )
            for id, one in sorted(self.artifacts.items())
        ]


def _day(on: date) -> int:
    return (on - date(1970, 1, 1)).days


def ranking(events: Iterable[StoredEvent]) -> Ranking:
    """The ranks after all of these events."""
    found = Ranking()
    for position, one in enumerate(events, start=1):
        found.take(position, one)
    return found


def crowd(random: Random, artifacts: int, steps: int) -> list[StoredEvent]:
    """A history in which many artifacts move many times, some of them to the same rank."""
    kinds = (Kind.MODEL, Kind.CLI, Kind.PROMPT)
    made: dict[str, Artifact] = {}
    searches: list[tuple[Search, list[str]]] = []
    policy: Policy | None = None
    calibration: Calibration | None = None
    moment, events = day(0), list[StoredEvent]()

    def signals(one: Artifact, count: int) -> None:
        name = random.choice(list(SignalName))
        value = random.choice(["0", "1"] if name.is_checklist_item else ["0", "7", "900", "0.5"])
        method, source = random.choice(list(Method)), random.choice("stu")
        one.observe_signal(signal(value, name=name, source=source, method=method, on=count // 99))

    for step in range(steps):
        moment += timedelta(hours=random.randrange(9))
        slug = f"t{random.randrange(artifacts)}"
        choice = random.random()
        touched: Any = made.get(slug)
        try:
            if touched is None:
                days = [None, date(2025, 9, 1), date(2026, 1, 1)]
                facts = Facts(name=slug, released=random.choice(days))
                touched = Artifact.register(slug, random.choice(kinds), facts, provenance())
                made[slug] = touched
            elif choice < 0.7:
                signals(touched, step)
            elif choice < 0.74:
                release = date(2026, 1, 1) + timedelta(days=random.randrange(60))
                facts = Facts(name=slug, last_release=release)
                touched.describe(facts, provenance(Method.VERIFIED, on=step // 99))
            elif choice < 0.78:
                touched.reinstate() if random.random() < 0.5 else touched.retire("gone")
            elif choice < 0.88:
                shown = [f"t{random.randrange(artifacts + 2)}" for _ in range(3)]
                touched = Search.answer(
                    *(UUID(int=step + 1), sealed(), INTENTS[0].cluster),
                    *(random.choice(["ann", "bob", "cleo"]), served(list(dict.fromkeys(shown)))),
                )
                searches.append((touched, shown))
            elif choice < 0.98 and searches:
                touched, shown = random.choice(searches[-30:])
                touched.report(id_of(random.choice(shown)), random.choice(list(Outcome)))
            elif choice < 0.995:
                kind = random.choice(kinds)
                known = (DEFAULTS if policy is None else policy.kinds)[kind]
                moved = replace(known, half_life=random.randrange(5, 400))
                touched = policy = Policy.adopt(policy, [moved])
            else:
                scales = tuple(
                    Scale(signal=name, p99=Decimal(random.randrange(5, 999)), observed=40)
                    for name in COUNTS
                    if random.random() < 0.8
                )
                touched = calibration = Calibration.calibrate(
                    calibration, Scales(day=moment.date(), up_to=step, scales=scales)
                )
        except (Refusal, Discarded):
            continue
        events += [at(one, moment) for one in stored_events(touched)]
    return events
