"""What searchers made of each artifact, counted from the whole of a history, event by event."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from matchgraph.domain.artifact import Artifact, Kind
from matchgraph.domain.calibration import MATCH_MEAN, Calibration
from matchgraph.domain.matching import FORGOTTEN, NEVER_SERVED, Cell, Count, decay
from matchgraph.domain.ranking import assumed_rate
from matchgraph.domain.search import Search
from matchgraph.eventstore import codec
from tests.domain.weighing import Said, weigh


class Counted:
    """A history as it is counted: `pending` is what has come together, `in_force` what ranks are
    computed from."""

    def __init__(self) -> None:
        self.day: date | None = None
        self.kinds: dict[UUID, Kind] = {}
        self.cells: dict[tuple[str, UUID], Cell] = {}
        self.pending: dict[UUID, Count] = {}
        self.in_force: dict[UUID, Count] = {}

    def take(self, stored: StoredEvent) -> None:
        """Counts one event."""
        assert isinstance(stored.originator_id, UUID)
        event = codec.decode(
            stored.topic, stored.originator_id, stored.originator_version, stored.state
        )
        on = event.timestamp.date()
        match event:
            case Artifact.Registered():
                self.kinds[stored.originator_id] = event.kind
            case Search.Answered() | Search.Continued():
                for one in event.served:
                    cell = self._cell(event.searcher, one.artifact_id, on)
                    self._put(event.searcher, one.artifact_id, cell.served(one.position, on))
            case Search.OutcomeReported():
                id = event.served.artifact_id
                cell = self._cell(event.searcher, id, on)
                self._put(event.searcher, id, cell.reported(event.outcome, event.before, on))
                if id in self.kinds:
                    self.in_force[id] = self.pending[id]
            case Calibration.Calibrated():
                self._calibrate(event)

    def _cell(self, searcher: str, id: UUID, on: date) -> Cell:
        return self.cells.get((searcher, id), Cell(on))

    def _put(self, searcher: str, id: UUID, cell: Cell) -> None:
        known = self.cells.get((searcher, id))
        was = NEVER_SERVED if known is None else known.counted(self.day)
        self.cells[searcher, id] = cell
        self.pending[id] = self.pending.get(id, NEVER_SERVED).moved(was, cell.counted(self.day))

    def _calibrate(self, event: Calibration.Calibrated) -> None:
        self.day = event.scales.day
        said: list[Said] = []
        cells: dict[tuple[str, UUID], Cell] = {}
        for key in sorted(self.cells, key=lambda key: (key[1], key[0].encode())):
            cell = self.cells[key]
            left = decay((self.day - cell.day).days)
            exposure, utility = cell.exposure * left, cell.utility * left
            if exposure >= FORGOTTEN or utility >= FORGOTTEN:
                cells[key] = cell
                said.append(Said(*key, exposure, utility, cell.chosen))
        assumed = {
            id: assumed_rate(
                event.scales.match_mean(self.kinds[id]) if id in self.kinds else MATCH_MEAN
            )
            for _, id in cells
        }
        self.pending = {}
        for (key, cell), weight in zip(cells.items(), weigh(said, assumed), strict=True):
            cells[key] = cell._replace(cap=weight.cap, trust=weight.trust)
            known = self.pending.get(key[1], NEVER_SERVED)
            self.pending[key[1]] = known.moved(NEVER_SERVED, cells[key].counted(self.day))
        self.cells = cells
        self.in_force = {id: one for id, one in self.pending.items() if id in self.kinds}


def counted(events: Iterable[StoredEvent]) -> Counted:
    """The history after all of these events."""
    counts = Counted()
    for one in events:
        counts.take(one)
    return counts


def at(stored: StoredEvent, moment: datetime) -> StoredEvent:
    """The same event, recorded at another moment."""
    state = json.loads(stored.state)
    state["timestamp"] = moment.isoformat()
    return replace(stored, state=json.dumps(state, separators=(",", ":")).encode())


def on_days(commands: Sequence[list[StoredEvent]], days: Sequence[int]) -> list[list[StoredEvent]]:
    """The commands with so many days between them; the last of `days` goes on for ever."""
    moment = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    found = []
    for number, events in enumerate(commands):
        moment += timedelta(days=days[min(number, len(days) - 1)])
        found.append([at(one, moment) for one in events])
    return found
