"""Read model `rank_board`: how each artifact ranks, by which evidence, and what moved it.

Read by queries/rank.py, queries/board.py and the feed of rank changes. An event about an artifact
moves that artifact alone; a calibration or a policy moves all, in `rank_recompute`. What was served
moves none until an outcome is reported or ranks are calibrated; see `rank_match`.

Beside its tables it keeps the order of each kind in memory, to say at which place an artifact is
without counting those before it. That copy belongs to one connection and knows how far it has come:
whenever a page does not follow it, it is read from the tables again.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec
from sortedcontainers import SortedList

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import Scales
from matchgraph.domain.matching import NEVER_SERVED, Count
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.ranking import (
    ADOPTION,
    CHECKLIST,
    COUNTS,
    ECOSYSTEM,
    PARTS,
    POINTS,
    Evidence,
    Measure,
    Numbers,
    Observed,
    PartName,
    Summary,
    Value,
    answers,
    logarithm,
    measure,
    preferred,
    summarise,
)
from matchgraph.domain.search import Outcome
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore.connection import Connection
from matchgraph.projections import rank_match, rank_recompute
from matchgraph.projections.announcement import Announced, announce, begin, read, written
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert
from matchgraph.projections.rank_match import Matches

# So many artifacts are kept in memory; beyond that they are read again when they are touched.
MOST_KEPT = 200_000


class Facts(Said, frozen=True):
    released: date | None = None
    last_release: date | None = None


class Registered(Heard, tag="artifact.registered", frozen=True):
    timestamp: datetime
    slug: str
    kind: Kind
    facts: Facts


class Described(Heard, tag="artifact.described", frozen=True):
    timestamp: datetime
    facts: Facts


class Retired(Heard, tag="artifact.retired", frozen=True):
    timestamp: datetime


class Reinstated(Heard, tag="artifact.reinstated", frozen=True):
    timestamp: datetime


class Merged(Heard, tag="artifact.merged", frozen=True):
    timestamp: datetime


class Unmerged(Heard, tag="artifact.unmerged", frozen=True):
    timestamp: datetime


class SignalObserved(Heard, tag="signal.observed", frozen=True):
    timestamp: datetime
    signal: Signal


class Adopted(Heard, tag="policy.adopted@2", frozen=True):
    timestamp: datetime
    kinds: tuple[KindPolicy, ...]


class Shown(Said, frozen=True):
    artifact_id: str
    position: int


class Answered(Heard, tag="search.answered@2", frozen=True):
    timestamp: datetime
    searcher: str
    served: tuple[Shown, ...]


class Continued(Heard, tag="search.continued@2", frozen=True):
    timestamp: datetime
    searcher: str
    served: tuple[Shown, ...]


class OutcomeReported(Heard, tag="outcome.reported@2", frozen=True):
    timestamp: datetime
    searcher: str
    served: Shown
    outcome: Outcome
    before: Outcome | None = None


class Calibrated(Heard, tag="ranks.calibrated", frozen=True):
    timestamp: datetime
    scales: Scales


class _Row:
    """One artifact: its evidence, and its rank as it is after the event worked on."""

    __slots__ = (
        "announced",
        "band",
        "chosen",
        "evidence_position",
        "id",
        "kind",
        "last_release",
        "listed",
        "matched",
        "numbers",
        "place",
        "position",
        "released",
        "signals",
        "slug",
        "summary",
        "values",
    )

    def __init__(self, id: str, kind: Kind, slug: str) -> None:
        self.id = UUID(id)
        self.kind = kind
        self.slug = slug
        self.listed = True
        self.released: date | None = None
        self.last_release: date | None = None
        self.signals: dict[SignalName, dict[str, Observed]] = {}
        self.chosen: dict[SignalName, Observed] = {}
        self.summary = NOTHING
        # The value of each part, None where it has to be computed.
        self.values: list[Value | None] = [None] * len(PARTS)
        self.matched = NEVER_SERVED
        self.evidence_position = 0
        self.position = 0
        self.numbers: Numbers | None = None
        self.place = 0
        self.band = 0
        self.announced: Announced = begin(0)

    def take(self, position: int, event: Any) -> None:
        """Takes in what the event says of the artifact."""
        said = type(event)
        if said is SignalObserved:
            self._observe(event.signal, position)
        elif said is Registered or said is Described:
            self._release(event.facts)
        else:
            self.listed = said in LISTING
        self.evidence_position = position

    def take_in(self, position: int, matched: Count) -> None:
        """Takes in what searchers have made of it by then."""
        if matched != self.matched:
            self.matched = matched
            self.values[MATCH_GRAPH] = None
            self.evidence_position = position

    def _release(self, facts: Facts) -> None:
        """Takes in the days that the facts name."""
        if facts.released is not None:
            self.released = facts.released
        if facts.last_release is not None:
            self.last_release = facts.last_release
        self.values[FRESHNESS] = None

    @property
    def newest_release(self) -> date | None:
        """The day that its age is counted from."""
        days = [day for day in (self.released, self.last_release) if day is not None]
        return max(days, default=None)

    def _observe(self, signal: Signal, position: int) -> None:
        """Takes in an observation, which replaces that of the same source."""
        name = signal.name
        sources = self.signals.setdefault(name, {})
        sources[signal.source] = Observed(signal, position)
        counts = preferred(sources.values())[name] if len(sources) > 1 else sources[signal.source]
        self.chosen[name] = counts
        self.values[PART_OF[name]] = None
        if name in CHECKLIST:
            self.summary = Summary(self.summary.counts, *answers(self.chosen))
        else:
            logarithms = list(self.summary.counts)
            logarithms[COUNTS.index(name)] = logarithm(counts.signal)
            self.summary = self.summary._replace(counts=tuple(logarithms))

    def rank(self, by: Measure) -> Numbers:
        """The rank that the evidence gives. What no event touched is not computed again."""
        values = [
            known
            if known is not None
            else by.formula.value_of(
                part,
                self.summary,
                self.newest_release,
                self.matched.exposure,
                self.matched.utility,
                by,
            )
            for part, known in zip(PARTS, self.values, strict=True)
        ]
        self.values = [*values]
        return by.formula.combine(values, by.weights)

    def evidence(self) -> tuple[Any, ...]:
        """The row of rank_evidence."""
        # In the order of their first coming, which reading them again keeps.
        observed = [one for sources in self.signals.values() for one in sources.values()]
        return (
            self.id,
            self.kind,
            self.slug,
            self.listed,
            self.released,
            self.last_release,
            _encoder.encode(observed),
            *self.summary.counts,
            self.summary.checked,
            self.summary.held,
            self.matched.exposure,
            self.matched.utility,
            self.evidence_position,
            self.matched.searchers,
            self.matched.discounted,
        )

    def board(self) -> tuple[Any, ...]:
        """The row of rank_board."""
        numbers = self.numbers
        assert numbers is not None, "ranked when it was registered"
        return (
            self.position,
            self.id,
            self.kind,
            numbers.score,
            numbers.low,
            numbers.high,
            numbers.coverage,
            numbers.standing,
            *numbers.points,
            self.place,
            self.band,
            written(self.announced),
        )


LISTING = {Reinstated, Unmerged}
NOTHING = summarise({})
FRESHNESS = PARTS.index(PartName.FRESHNESS)
MATCH_GRAPH = PARTS.index(PartName.MATCH_GRAPH)
PART_OF = {
    **dict.fromkeys(ADOPTION, PARTS.index(PartName.ADOPTION)),
    **dict.fromkeys(CHECKLIST, PARTS.index(PartName.QUALITY)),
    **dict.fromkeys(ECOSYSTEM, PARTS.index(PartName.ECOSYSTEM)),
}
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Observed])
ROW = (
    "SELECT e.artifact_id, e.kind, e.slug, e.listed, e.released, e.last_release, e.evidence,"
    " e.exposure, e.utility, e.searchers, e.discounted, e.position AS evidence_position,"
    " b.position, b.score, b.low, b.high, b.coverage, b.standing, b.adoption, b.quality,"
    " b.ecosystem, b.match_graph, b.freshness, b.place, b.band, b.announced"
    " FROM rank_evidence e JOIN rank_board b USING (artifact_id) WHERE e.artifact_id = ANY ($1)"
)


def _row(record: Any) -> _Row:
    row = _Row(str(record["artifact_id"]), Kind(record["kind"]), record["slug"])
    row.listed = record["listed"]
    row.released, row.last_release = record["released"], record["last_release"]
    for one in read_evidence(record["evidence"]):
        row.signals.setdefault(one.signal.name, {})[one.signal.source] = one
    row.chosen = preferred(one for sources in row.signals.values() for one in sources.values())
    row.summary = summarise(row.chosen)
    row.matched = Count(
        record["exposure"], record["utility"], record["searchers"], record["discounted"]
    )
    row.evidence_position = record["evidence_position"]
    row.position = record["position"]
    row.numbers = Numbers(
        points=tuple(
            record[part]
            for part in ("adoption", "quality", "ecosystem", "match_graph", "freshness")
        ),
        score=record["score"],
        low=record["low"],
        high=record["high"],
        coverage=record["coverage"],
        standing=record["standing"],
    )
    row.place, row.band = record["place"], record["band"]
    row.announced = read(record["announced"])
    return row


def read_evidence(written: bytes) -> list[Observed]:
    """The observations in the column `evidence`."""
    return _decoder.decode(written)


def evidence_of(
    history: Iterable[tuple[int, Any]], matched: Count = NEVER_SERVED
) -> tuple[Evidence, bool]:
    """What the events of one artifact, with their positions, make known of it beside what searchers
    made of it, and whether it is on offer after them."""
    events = iter(history)
    position, registered = next(events)
    row = _Row(registered.id, registered.kind, registered.slug)
    row.take(position, registered)
    for position, event in events:
        row.take(position, event)
    evidence = Evidence(
        kind=row.kind,
        signals=[one for sources in row.signals.values() for one in sources.values()],
        released=row.newest_release,
        exposure=matched.exposure,
        utility=matched.utility,
        searchers=matched.searchers,
        discounted=matched.discounted,
    )
    return evidence, row.listed


class _Order:
    """The places of one kind."""

    def __init__(self, entries: Iterable[tuple[int, int, UUID]] = ()) -> None:
        entries = list(entries)
        self._keys = SortedList(_key(standing, id) for standing, _, id in entries)
        self._lows = SortedList(low for _, low, _ in entries)

    def leave(self, id: UUID, was: Numbers) -> tuple[int, int]:
        """Takes the artifact away; the place and the band that it had by then."""
        place = self._keys.index(key := _key(was.standing, id)) + 1
        band = self._band(was)
        self._keys.remove(key)
        self._lows.remove(was.low)
        return place, band

    def enter(self, id: UUID, now: Numbers) -> tuple[int, int]:
        """Puts the artifact where it belongs; its place and its band there."""
        key = _key(now.standing, id)
        self._keys.add(key)
        self._lows.add(now.low)
        return self._keys.index(key) + 1, self._band(now)

    def _band(self, numbers: Numbers) -> int:
        return 1 + len(self._lows) - self._lows.bisect_right(numbers.high)


def _key(standing: int, id: UUID) -> bytes:
    # Best first, then by id; a standing is never below minus the largest interval.
    return (2 * POINTS - standing).to_bytes(4, "big") + id.bytes


class _Board:
    """What one connection has in memory. `reached` is the event that it is up to."""

    def __init__(self) -> None:
        self.reached = -1
        self.rows: dict[str, _Row] = {}
        self.orders: dict[Kind, _Order] | None = None
        self.policies: dict[Kind, KindPolicy] = dict(DEFAULTS)
        self.scales: Scales | None = None
        self.measures: dict[Kind, Measure] = {}

    async def open(self, db: Connection, after: int) -> None:
        """Makes it what the tables say as of that event."""
        if self.reached == after:
            return
        self.rows.clear()
        self.orders = None
        self.policies, self.scales = await rank_recompute.in_force(db)
        self.measures.clear()

    def measured(self, kind: Kind) -> Measure:
        """What that kind is measured by."""
        if (found := self.measures.get(kind)) is None:
            found = self.measures[kind] = measure(kind, self.policies, self.scales)
        return found

    async def take(self, db: Connection, ids: set[str]) -> None:
        """Has the rows of these artifacts in memory, those that exist."""
        if len(self.rows) > MOST_KEPT:
            self.rows.clear()
        missing = [id for id in ids if id not in self.rows]
        if missing:
            for record in await db.fetch(ROW, missing):
                self.rows[str(record["artifact_id"])] = _row(record)

    async def places(self, db: Connection) -> dict[Kind, _Order]:
        """The order of each kind."""
        if self.orders is None:
            entries: dict[Kind, list[tuple[int, int, UUID]]] = defaultdict(list)
            for record in await db.fetch(
                "SELECT kind, standing, low, artifact_id FROM rank_board WHERE place > 0"
            ):
                entries[Kind(record["kind"])].append(
                    (record["standing"], record["low"], record["artifact_id"])
                )
            self.orders = {kind: _Order(found) for kind, found in entries.items()}
        return self.orders


_boards: "WeakKeyDictionary[Connection, _Board]" = WeakKeyDictionary()


def forget(db: Connection) -> None:
    """Has everything read from the tables again that this connection has in memory."""
    _boards.pop(db, None)


async def apply(db: Connection, batch: Batch) -> None:
    """Moves the artifacts that the events are about, and all of them where an event says so."""
    board = _boards.setdefault(db, _Board())
    await board.open(db, batch.after)
    # Until all of it has been written, what is in memory agrees with no table.
    board.reached = -1
    start = 0
    for number, (position, event) in enumerate(batch):
        if type(event) in MEASURES:
            await _each(db, board, batch[start:number])
            await _all(db, board, position, event)
            start = number + 1
    await _each(db, board, batch[start:])
    board.reached = batch.last


MEASURES = {Adopted, Calibrated}


async def _each(db: Connection, board: _Board, events: Any) -> None:
    """Moves artifacts one event at a time."""
    if not events:
        return
    touched = {id for _, event in events if (id := _moved_by(event)) is not None}
    await board.take(db, touched)
    orders = await board.places(db)
    matches = Matches(None if board.scales is None else board.scales.day)
    await matches.load(db, (key for _, event in events for key in _keys(event)))
    history: list[tuple[Any, ...]] = []
    for position, event in events:
        if type(event) in SEARCHES:
            _match(matches, event)
            if type(event) is not OutcomeReported or event.served.artifact_id not in board.rows:
                continue
            row = board.rows[event.served.artifact_id]
            was_listed = row.listed
            row.take_in(position, matches.take_in(position, str(row.id), row.matched))
        elif type(event) is Registered:
            row = board.rows[event.id] = _Row(event.id, event.kind, event.slug)
            was_listed = False
            row.take(position, event)
        else:
            row = board.rows[event.id]
            was_listed = row.listed
            row.take(position, event)
        by = board.measured(row.kind)
        was, now = row.numbers, row.rank(by)
        if now == was and row.listed == was_listed:
            continue
        order = orders.get(row.kind)
        if order is None:
            order = orders[row.kind] = _Order()
        # Others may have moved since this one last did.
        was_place, was_band = (
            order.leave(row.id, was) if was is not None and was_listed else NOWHERE
        )
        row.place, row.band = order.enter(row.id, now) if row.listed else NOWHERE
        row.numbers, row.position = now, position
        before = was or NEVER
        mask, row.announced = announce(
            row.announced,
            before.score,
            now.score,
            event.timestamp.toordinal() - EPOCH,
            whole=row.listed != was_listed,
        )
        history.append(
            (
                position,
                row.id,
                now.score,
                now.low,
                now.high,
                now.coverage,
                row.place,
                row.band,
                before.score,
                was_place,
                was_band,
                *now.points,
                *before.points,
                mask,
                now.standing,
            )
        )
    rows = [board.rows[id] for id in touched if id in board.rows]
    await matches.write(db)
    await insert(db, "rank_evidence", (row.evidence() for row in rows), then=EVIDENCE)
    await insert(db, "rank_board", (row.board() for row in rows), then=BOARD)
    await insert(db, "rank_history", history)


SEARCHES = {Answered, Continued, OutcomeReported}


def _moved_by(event: Any) -> str | None:
    """The artifact that the event can move."""
    if type(event) is OutcomeReported:
        return str(event.served.artifact_id)
    return None if type(event) in SEARCHES else str(event.id)


def _keys(event: Any) -> list[rank_match.Key]:
    """The cells that the event is about."""
    if type(event) not in SEARCHES:
        return []
    shown = (event.served,) if type(event) is OutcomeReported else event.served
    return [(event.searcher, one.artifact_id) for one in shown]


def _match(matches: Matches, event: Any) -> None:
    """Counts what was served, or what became of it."""
    on = event.timestamp.date()
    if type(event) is OutcomeReported:
        key = event.searcher, event.served.artifact_id
        cell = matches.cell(key, on)
        matches.put(key, cell.reported(event.outcome, event.before, on))
    else:
        for one in event.served:
            key = event.searcher, one.artifact_id
            matches.put(key, matches.cell(key, on).served(one.position, on))


EPOCH = date(1970, 1, 1).toordinal()
NOWHERE = (0, 0)
NEVER = Numbers(points=(0, 0, 0, 0, 0), score=0, low=0, high=0, coverage=0, standing=0)


async def _all(db: Connection, board: _Board, position: int, event: Adopted | Calibrated) -> None:
    """Measures every artifact anew."""
    if isinstance(event, Adopted):
        await insert(
            db,
            "rank_policy",
            [(position, one.kind, *one.weights, one.half_life, one.formula) for one in event.kinds],
        )
        board.policies.update({one.kind: one for one in event.kinds})
    else:
        board.scales = event.scales
        await rank_recompute.remember(db, position, event.timestamp, event.scales)
        await rank_match.calibrate(db, position, event.scales)
    board.measures.clear()
    await rank_recompute.recompute(
        db,
        position,
        event.timestamp.toordinal() - EPOCH,
        {kind: board.measured(kind) for kind in Kind},
    )
    board.rows.clear()
    board.orders = None


def _replacing(*columns: str) -> str:
    return "ON CONFLICT (artifact_id) DO UPDATE SET " + ", ".join(
        f"{column} = excluded.{column}" for column in columns
    )


EVIDENCE = _replacing(
    "listed",
    "released",
    "last_release",
    "evidence",
    *COUNTS,
    "checked",
    "held",
    "exposure",
    "utility",
    "position",
    "searchers",
    "discounted",
)
BOARD = _replacing(
    "position",
    "score",
    "low",
    "high",
    "coverage",
    "standing",
    "adoption",
    "quality",
    "ecosystem",
    "match_graph",
    "freshness",
    "place",
    "band",
    "announced",
)

RANK_BOARD = Projection(
    name="rank_board",
    tables=(
        "rank_policy",
        "rank_calibration",
        "rank_evidence",
        "rank_board",
        "rank_history",
        *rank_match.TABLES,
    ),
    hears=(
        Registered,
        Described,
        Retired,
        Reinstated,
        Merged,
        Unmerged,
        SignalObserved,
        Answered,
        Continued,
        OutcomeReported,
        Adopted,
        Calibrated,
    ),
    apply=apply,
    hears_of_every_page=True,
    forget=forget,
)
