"""Search: an answered need with what was served, and what became of each served result.

DiscardedReport: a report of an outcome that is counted nowhere, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from matchgraph.domain.aggregate import Aggregate, AggregateCreated, AggregateEvent, event
from matchgraph.domain.need import Need


class Outcome(StrEnum):
    """What became of one served result."""

    CLICKED = "clicked"
    CHOSEN = "chosen"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISMISSED = "dismissed"


# How well the searcher was served; whoever did nothing was not.
UTILITY: Mapping[Outcome, float] = MappingProxyType(
    {
        Outcome.DISMISSED: 0.0,
        Outcome.FAILED: 0.1,
        Outcome.CLICKED: 0.3,
        Outcome.CHOSEN: 0.6,
        Outcome.SUCCEEDED: 1.0,
    }
)


# How far a served result has come; a report counts only if it leads further. Whoever dismissed a
# result may still return to it, and whoever did more has not dismissed it.
_STAGE: Mapping[Outcome, int] = MappingProxyType(
    {
        Outcome.DISMISSED: 0,
        Outcome.CLICKED: 1,
        Outcome.CHOSEN: 2,
        Outcome.SUCCEEDED: 3,
        Outcome.FAILED: 3,
    }
)
# Whoever looks for one thing chooses few; more in one search are a program's doing.
MOST_CHOSEN = 3


def is_choice(outcome: Outcome | None) -> bool:
    """Whether the result was chosen, however it went on."""
    return outcome is not None and _STAGE[outcome] >= _STAGE[Outcome.CHOSEN]


class Discard(StrEnum):
    """Why a report of an outcome counts nowhere."""

    FORGED = "forged"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    OVER_CAP = "over_cap"
    UNKNOWN_SEARCH = "unknown_search"


@dataclass
class Discarded(Exception):
    """A report that counts nowhere; unlike a refusal, it is recorded."""

    reason: Discard


@dataclass(frozen=True, kw_only=True)
class Served:
    """One result as it was shown. `position` counts from 1; `score` is in millionths; `explored`
    tells that it stands there to be seen at all, and not by its score."""

    artifact_id: UUID
    capability: str | None = None
    position: int
    score: int
    explored: bool = False


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What was meant: needs that mean the same share a cluster. `label` is the need in the words
    of whoever searches."""

    cluster: UUID
    label: str


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What somebody wrote, sealed with a key of the searcher's own: the need, as JSON, and the
    label of its intent, in UTF-8. `key` names the key; once it is destroyed, nobody can tell what
    this was."""

    key: UUID
    need: bytes
    label: bytes


@dataclass(frozen=True, kw_only=True)
class InPlain:
    """What somebody wrote, as it was recorded before it was sealed."""

    need: Need
    label: str


def _without_label(state: dict[str, Any]) -> None:
    """v1 held the label of the intent, in plain."""
    state["cluster"] = state.pop("intent")["cluster"]


class Search(Aggregate):
    """One answered need."""

    TOPIC = "search"

    class Answered(AggregateCreated):
        """Either `words` or, of the first version, `in_plain`."""

        TOPIC = "search.answered"
        class_version = 2
        words: Sealed | None
        cluster: UUID
        searcher: str
        served: tuple[Served, ...]
        in_plain: InPlain | None

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """v1 held what was searched for in plain."""
            intent = state.pop("intent")
            state["cluster"] = intent["cluster"]
            state["in_plain"] = {"need": state.pop("need"), "label": intent["label"]}

    class Continued(AggregateEvent):
        TOPIC = "search.continued"
        class_version = 2
        searcher: str
        cluster: UUID
        served: tuple[Served, ...]

        upcast_v1_v2 = staticmethod(_without_label)

    class OutcomeReported(AggregateEvent):
        """Carries what it is about, so that who counts needs no memory of every search."""

        TOPIC = "outcome.reported"
        class_version = 2
        cluster: UUID
        searcher: str
        served: Served
        outcome: Outcome
        before: Outcome | None

        upcast_v1_v2 = staticmethod(_without_label)

    @classmethod
    def answer(
        cls, id: UUID, words: Sealed, cluster: UUID, searcher: str, served: Sequence[Served]
    ) -> "Search":
        """The search by that id, with its first page. What is served twice counts where it stands
        first."""
        return cls._create(
            cls.Answered,
            id=id,
            words=words,
            cluster=cluster,
            searcher=searcher,
            served=_new(served, {}),
            in_plain=None,
        )

    @event(Answered)
    def __init__(
        self,
        words: Sealed | None,
        cluster: UUID,
        searcher: str,
        served: tuple[Served, ...],
        in_plain: InPlain | None,
    ) -> None:
        self.words = words
        self.in_plain = in_plain
        self.cluster = cluster
        self.searcher = searcher
        self.served: dict[UUID, Served] = {}
        self.outcomes: dict[UUID, Outcome] = {}
        self._show(served)

    def continue_(self, served: Sequence[Served]) -> None:
        """Adds what a later page shows; does nothing if all of that was shown before."""
        if new := _new(served, self.served):
            self._continued(self.searcher, self.cluster, new)

    @event(Continued)
    def _continued(self, searcher: str, cluster: UUID, served: tuple[Served, ...]) -> None:
        self._show(served)

    def _show(self, served: Sequence[Served]) -> None:
        self.served |= {one.artifact_id: one for one in served}

    def report(self, artifact_id: UUID, outcome: Outcome) -> None:
        """Says what became of a result that was served.

        Raises: Discarded for a result that is not known to have been served, an outcome that does
            not go beyond the one known, and more than MOST_CHOSEN chosen results.
        """
        if artifact_id not in self.served:
            raise Discarded(Discard.UNKNOWN_SEARCH)
        before = self.outcomes.get(artifact_id)
        if before is not None and _STAGE[outcome] <= _STAGE[before]:
            raise Discarded(Discard.DUPLICATE)
        if is_choice(outcome) and not is_choice(before) and self.chosen >= MOST_CHOSEN:
            raise Discarded(Discard.OVER_CAP)
        self._reported(self.cluster, self.searcher, self.served[artifact_id], outcome, before)

    @event(OutcomeReported)
    def _reported(
        self,
        cluster: UUID,
        searcher: str,
        served: Served,
        outcome: Outcome,
        before: Outcome | None,
    ) -> None:
        self.outcomes[served.artifact_id] = outcome

    @property
    def chosen(self) -> int:
        """How many of its results were chosen."""
        return sum(map(is_choice, self.outcomes.values()))


def _new(served: Sequence[Served], known: Mapping[UUID, Served]) -> tuple[Served, ...]:
    """Those that are not known, each artifact once."""
    new: dict[UUID, Served] = {}
    for one in served:
        if one.artifact_id not in known:
            new.setdefault(one.artifact_id, one)
    return tuple(new.values())


class DiscardedReport(Aggregate):
    """A report that counts nowhere. There is one event of each."""

    TOPIC = "discarded_report"

    class Recorded(AggregateCreated):
        """`searcher` is whoever reported; `report` tells the token again and gives nothing of it
        away. What the token says is known only if it was ours."""

        TOPIC = "outcome.discarded"
        reason: Discard
        searcher: str
        outcome: Outcome
        report: str
        search_id: UUID | None
        artifact_id: UUID | None

    @classmethod
    def of(
        cls,
        id: UUID,
        reason: Discard,
        searcher: str,
        outcome: Outcome,
        report: str,
        search_id: UUID | None = None,
        artifact_id: UUID | None = None,
    ) -> "DiscardedReport":
        """The record of a discarded report, by an id that the caller makes."""
        return cls._create(
            cls.Recorded,
            id=id,
            reason=reason,
            searcher=searcher,
            outcome=outcome,
            report=report,
            search_id=search_id,
            artifact_id=artifact_id,
        )

    @event(Recorded)
    def __init__(
        self,
        reason: Discard,
        searcher: str,
        outcome: Outcome,
        report: str,
        search_id: UUID | None,
        artifact_id: UUID | None,
    ) -> None:
        self.reason = reason
