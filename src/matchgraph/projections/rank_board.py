"""Read model `rank_board`: how each artifact ranks, by which evidence, and what moved it.

Read by queries/rank.py, queries/board.py and the feed of rank changes. An event about an artifact
moves that artifact alone; a calibration or a policy moves all, in `rank_recompute`. What was served
moves none until an outcome is reported or ranks are calibrated; see `rank_match`.

The events of a page are computed together, column by column: what is known of each artifact after
each of its events, the rank that this gives, and at last the places in the order of the events.

Beside its tables it keeps artifacts and the order of each kind in memory. That copy belongs to one
connection and knows how far it has come: whenever a page does not follow it, it is read from the
tables again.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import Scales
from matchgraph.domain.matching import NEVER_SERVED, Count
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import (
    CHECKLIST,
    COUNTS,
    TRUST,
    Evidence,
    Observed,
    logarithm,
    measure,
    preferred,
)
from matchgraph.domain.search import Outcome
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Connection
from matchgraph.projections import rank_match, rank_recompute, rank_tables
from matchgraph.projections.announcement import announce, announce_all
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert
from matchgraph.projections.rank_formula import (
    EPOCH,
    KINDS,
    NUMBERS,
    UNKNOWN_DAY,
    Columns,
    Ints,
    Measures,
    answered,
    ranked,
)
from matchgraph.projections.rank_match import Matches
from matchgraph.projections.rank_order import Order, Stood
from matchgraph.projections.rank_tables import RANK, Changes, Found, Ranks

# So many artifacts are kept in memory; beyond that they are read again when they are touched.
MOST_KEPT = 200_000
# As many artifacts as are read in one go.
SLICE = 10_000
# From so many changes on, each of another artifact, it is faster to announce them together.
WORTH_COLUMNS = 32


class Facts(Said, frozen=True):
    released: date | None = None
    last_release: date | None = None


class Registered(Heard, tag="artifact.registered", frozen=True):
    timestamp: str
    slug: str
    kind: Kind
    facts: Facts


class Described(Heard, tag="artifact.described", frozen=True):
    timestamp: str
    facts: Facts


class Retired(Heard, tag="artifact.retired", frozen=True):
    timestamp: str


class Reinstated(Heard, tag="artifact.reinstated", frozen=True):
    timestamp: str


class Merged(Heard, tag="artifact.merged", frozen=True):
    timestamp: str


class Unmerged(Heard, tag="artifact.unmerged", frozen=True):
    timestamp: str


class Seen(Said, frozen=True):
    name: SignalName
    value: str
    source: str
    observed_at: datetime
    method: Method = Method.OBSERVED


class SignalObserved(Heard, tag="signal.observed", frozen=True):
    timestamp: str
    signal: Seen


class Adopted(Heard, tag="policy.adopted@2", frozen=True):
    timestamp: datetime
    kinds: tuple[KindPolicy, ...]


class Shown(Said, frozen=True):
    artifact_id: str
    position: int


class Answered(Heard, tag="search.answered@2", frozen=True):
    timestamp: str
    searcher: str
    served: tuple[Shown, ...]


class Continued(Heard, tag="search.continued@2", frozen=True):
    timestamp: str
    searcher: str
    served: tuple[Shown, ...]


class OutcomeReported(Heard, tag="outcome.reported@2", frozen=True):
    timestamp: str
    searcher: str
    served: Shown
    outcome: Outcome
    before: Outcome | None = None


class Calibrated(Heard, tag="ranks.calibrated", frozen=True):
    timestamp: datetime
    scales: Scales


class Noted(msgspec.Struct, frozen=True, gc=False):
    """An observation as the column `evidence` holds it: as `Observed`, and read faster."""

    signal: Seen
    position: int


# Of each signal the newest observation of each source, both in the order of their first coming,
# which reading them again keeps.
Signals = dict[SignalName, dict[str, Noted]]


def _note(signals: Signals, signal: Seen, position: int) -> Seen:
    """Takes in an observation, which replaces that of the same source. Returns that which counts of
    the signal."""
    if "." in signal.value:
        # As everybody writes it who reads it as a decimal.
        signal = msgspec.structs.replace(signal, value=str(Decimal(signal.value)))
    sources = signals.setdefault(signal.name, {})
    sources[signal.source] = Noted(signal, position)
    return signal if len(sources) == 1 else preferred(sources.values())[signal.name].signal


_encoder = msgspec.json.Encoder()
_noted = msgspec.json.Decoder(list[Noted])
_observed = msgspec.json.Decoder(list[Observed])


def read_evidence(written: bytes) -> list[Observed]:
    """The observations in the column `evidence`."""
    return _observed.decode(written)


def _written(signals: Signals) -> bytes:
    return _encoder.encode([one for sources in signals.values() for one in sources.values()])


def _read(written: bytes) -> Signals:
    signals: Signals = {}
    for one in _noted.decode(written):
        signals.setdefault(one.signal.name, {})[one.signal.source] = one
    return signals


def evidence_of(
    history: Iterable[tuple[int, Any]], matched: Count = NEVER_SERVED
) -> tuple[Evidence, bool]:
    """What the events of one artifact, with their positions, make known of it beside what searchers
    made of it, and whether it is on offer after them."""
    signals: Signals = {}
    days: dict[str, date] = {}
    kind, listed = None, True
    for position, event in history:
        said = type(event)
        if said is SignalObserved:
            _note(signals, event.signal, position)
        elif said is Registered or said is Described:
            days |= {name: day for name, day in _days(event.facts) if day is not None}
            kind = kind or event.kind
        else:
            listed = said in LISTING
    assert kind is not None, "an artifact's history begins with its registration"
    evidence = Evidence(
        kind=kind,
        signals=read_evidence(_written(signals)),
        released=max(days.values(), default=None),
        exposure=matched.exposure,
        utility=matched.utility,
        searchers=matched.searchers,
        discounted=matched.discounted,
    )
    return evidence, listed


def _days(facts: Facts) -> Sequence[tuple[str, date | None]]:
    return ("released", facts.released), ("last_release", facts.last_release)


LISTING = {Registered, Reinstated, Unmerged}


class _Board:
    """What one connection has in memory. `reached` is the event that it is up to.

    Each artifact has a slot: its number in `ranks` and in the lists beside it.
    """

    def __init__(self) -> None:
        self.reached = -1
        self.slots: dict[str, int] = {}
        self.names: list[str] = []
        self.slugs: list[str] = []
        self.signals: list[Signals] = []
        self.ranks: Ranks = np.zeros(0, RANK)
        self._order: Order | None = None
        self.policies: dict[Kind, KindPolicy] = dict(DEFAULTS)
        self.scales: Scales | None = None
        self._measures: Measures | None = None

    async def open(self, db: Connection, after: int) -> None:
        """Makes it what the tables say as of that event."""
        if self.reached == after:
            return
        self._forget()
        self._order = None
        self.policies, self.scales = await rank_recompute.in_force(db)
        self.remeasured()

    def _forget(self) -> None:
        self.slots.clear()
        self.names.clear()
        self.slugs.clear()
        self.signals.clear()
        self.ranks = self.ranks[:0]

    def remeasured(self) -> None:
        """Policies or scales are others."""
        self._measures = None

    def all_moved(self, ranks: Ranks) -> None:
        """Every rank is another one; they come by id."""
        self._order = None
        mine = self.ranks[: len(self.slots)]
        found = ranks[np.searchsorted(_sortable(ranks), _sortable(mine))]
        # These two are in no table.
        for name in ANSWER:
            found[name] = mine[name]
        self.ranks[: len(mine)] = found

    def measures(self) -> Measures:
        """What each kind is measured by."""
        if self._measures is None:
            self._measures = Measures(
                {kind: measure(kind, self.policies, self.scales) for kind in Kind}
            )
        return self._measures

    async def order(self, db: Connection) -> Order:
        """The order of all artifacts that are on offer."""
        if self._order is None:
            self._order = await rank_tables.read_order(db)
        return self._order

    async def take(self, db: Connection, ids: set[str]) -> None:
        """Has these artifacts in memory, those that exist."""
        if len(self.slots) > MOST_KEPT:
            self._forget()
        slots = self.slots
        missing = [id for id in ids if id not in slots]
        for start in range(0, len(missing), SLICE):
            found = await rank_tables.read(db, missing[start : start + SLICE])
            here: list[int] = []
            for name, slug, written in zip(found.names, found.slugs, found.observed, strict=True):
                signals = _read(written)
                for number, answer in _answers(signals):
                    for field, value in zip(ANSWER, answer, strict=True):
                        found.ranks[field][len(here), number] = value
                here.append(self.add(name, slug, signals))
            self.put(np.array(here, np.int64), found.ranks)

    def add(self, id: str, slug: str, signals: Signals) -> int:
        """Gives an artifact the next slot."""
        self.names.append(id)
        self.slugs.append(slug)
        self.signals.append(signals)
        slot = self.slots[id] = len(self.slots)
        return slot

    def grow(self) -> None:
        """Has room for every slot."""
        if len(self.ranks) < len(self.slots):
            size = max(len(self.slots), 2 * len(self.ranks))
            # Zeros in between, which is what nobody knows anything of.
            self.ranks = np.append(self.ranks, np.zeros(size - len(self.ranks), RANK))

    def put(self, slots: NDArray[np.int64], ranks: Ranks) -> None:
        """Keeps what the tables say of these."""
        self.grow()
        self.ranks[slots] = ranks


def _sortable(ranks: Ranks) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(ranks["id"]).view("S16")


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
    await _each(db, board, batch[start:] if start else batch)
    board.reached = batch.last


MEASURES = {Adopted, Calibrated}


async def _each(db: Connection, board: _Board, events: Sequence[tuple[int, Any]]) -> None:
    """Moves artifacts as event after event says."""
    if not events:
        return
    ids, searches = set[str](), []
    for _, event in events:
        if type(event) in SEARCHES:
            searches.append(event)
        else:
            ids.add(event.id)
    ids.update(one.served.artifact_id for one in searches if type(one) is OutcomeReported)
    await board.take(db, ids)
    matches = Matches(None if board.scales is None else board.scales.day)
    await matches.load(db, (key for event in searches for key in _keys(event)))
    said = _heard(board, matches, events)
    await matches.write(db)
    if said.slot:
        await _move(db, board, said)


SEARCHES = {Answered, Continued, OutcomeReported}


def _keys(event: Any) -> list[rank_match.Key]:
    """The cells that the event is about."""
    shown = (event.served,) if type(event) is OutcomeReported else event.served
    return [(event.searcher, one.artifact_id) for one in shown]


class _Heard:
    """What the events of a page say of artifacts. Each that can move one is a moment; by their
    numbers others name what a moment has made known."""

    def __init__(self) -> None:
        self.slot: list[int] = []
        self.position: list[int] = []
        self.day: list[int] = []
        self.new: list[tuple[int, str, int]] = []
        # Of each signal the observations that count since then.
        self.observed: dict[SignalName, tuple[list[int], list[Seen]]] = {
            name: ([], []) for name in SignalName
        }
        self.listed: list[tuple[int, bool]] = []
        self.days: dict[str, list[tuple[int, int]]] = {"released": [], "last_release": []}
        self.matched: list[tuple[int, Count]] = []
        # Those that say what was known.
        self.idle: list[int] = []


def _heard(board: _Board, matches: Matches, events: Iterable[tuple[int, Any]]) -> _Heard:
    """What the events say, one after the other."""
    said = _Heard()
    slots, counts = board.slots, dict[int, Count]()
    for position, event in events:
        moment, kind = len(said.slot), type(event)
        if kind is SignalObserved:
            slot = slots[event.id]
            moments, seen = said.observed[event.signal.name]
            moments.append(moment)
            seen.append(_note(board.signals[slot], event.signal, position))
        elif kind in SEARCHES:
            _match(matches, event)
            found = slots.get(event.served.artifact_id) if kind is OutcomeReported else None
            if found is None:
                continue
            slot = found
            known = counts.get(slot) or _count(board.ranks, slot)
            counts[slot] = count = matches.take_in(position, event.served.artifact_id, known)
            if count == known:
                said.idle.append(moment)
            else:
                said.matched.append((moment, count))
        elif kind is Registered or kind is Described:
            if kind is Registered:
                slot = board.add(event.id, event.slug, {})
                said.new.append((slot, event.id, KINDS.index(event.kind)))
                said.listed.append((moment, True))
            else:
                slot = slots[event.id]
            for name, day in _days(event.facts):
                if day is not None:
                    said.days[name].append((moment, day.toordinal() - EPOCH))
        else:
            slot = slots[event.id]
            said.listed.append((moment, kind in LISTING))
        said.slot.append(slot)
        said.position.append(position)
        said.day.append(_on(event.timestamp[:10]).toordinal() - EPOCH)
    return said


@cache
def _on(day: str) -> date:
    return date.fromisoformat(day)


def _count(ranks: Ranks, slot: int) -> Count:
    if slot >= len(ranks):
        return NEVER_SERVED
    row = ranks[slot]
    return Count(*(row[name].item() for name in MATCHED))


MATCHED = ("exposure", "utility", "searchers", "discounted")


def _match(matches: Matches, event: Any) -> None:
    """Counts what was served, or what became of it."""
    on = _on(event.timestamp[:10])
    if type(event) is OutcomeReported:
        key = event.searcher, event.served.artifact_id
        cell = matches.cell(key, on)
        matches.put(key, cell.reported(event.outcome, event.before, on))
    else:
        for one in event.served:
            key = event.searcher, one.artifact_id
            matches.put(key, matches.cell(key, on).served(one.position, on))


class _Grid:
    """The moments of each artifact as rows one below the other, in their order, below a row for how
    it was before."""

    def __init__(self, slots: NDArray[np.int64]) -> None:
        order = np.argsort(slots, kind="stable")
        by_slot = slots[order]
        begins = np.ones(len(slots), np.bool_)
        begins[1:] = by_slot[1:] != by_slot[:-1]
        first = np.flatnonzero(begins)
        # The slots that there are, and their rows before all moments and after them.
        self.slots = by_slot[first]
        self.before = first + np.arange(len(first))
        self.after = np.empty_like(first)
        self.after[:-1], self.after[-1] = self.before[1:] - 1, len(slots) + len(first) - 1
        # Of each row the number of its slot, and of each moment its row.
        self.which = np.repeat(np.arange(len(first)), self.after - self.before + 1)
        self.row = np.empty(len(slots), np.int64)
        self.row[order] = np.arange(len(slots)) + np.cumsum(begins)

    def filled(self, before: NDArray[Any], moments: Sequence[int], news: Any) -> NDArray[Any]:
        """A value in each row: what the last moment has made known that did."""
        if not len(moments):
            return before[self.which]
        rows = self.row[np.asarray(moments)]
        column, known = np.empty(len(self.which), before.dtype), np.zeros(len(self.which), np.int64)
        column[self.before], column[rows] = before, news
        known[self.before], known[rows] = self.before, rows
        filled: NDArray[Any] = column[np.maximum.accumulate(known)]
        return filled


async def _move(db: Connection, board: _Board, said: _Heard) -> None:
    """Ranks the artifacts after each moment, and writes what has changed."""
    board.grow()
    if said.new:
        slots, names, kinds = zip(*said.new, strict=True)
        new = np.zeros(len(slots), RANK)
        new["id"] = np.frombuffer(bytes.fromhex("".join(names).replace("-", "")), "V16")
        new["kind"] = kinds
        new["released"] = new["last_release"] = UNKNOWN_DAY
        new["counts"] = np.nan
        board.put(np.array(slots), new)
    grid = _Grid(np.array(said.slot))
    before = board.ranks[grid.slots]
    after = before.copy()
    evidence = _evidence(grid, before, said)
    for name, column in evidence.items():
        after[name] = column[..., grid.after].T
    positions = np.array(said.position)
    noted = np.delete(np.arange(len(positions)), said.idle)
    after["evidence_position"][grid.which[grid.row[noted]]] = positions[noted]
    columns = Columns(
        kind=before["kind"][grid.which],
        released=np.maximum(evidence["released"], evidence["last_release"]),
        **{name: evidence[name] for name in ("counts", "checked", "held", "exposure", "utility")},
    )
    numbers = ranked(columns, board.measures())
    for name in NUMBERS:
        numbers[name][grid.before] = before[name]
        after[name] = numbers[name][grid.after]
    listed = evidence["listed"]
    whole = listed[grid.row] != listed[grid.row - 1]
    every = np.stack([numbers[name] for name in NUMBERS])
    change = np.flatnonzero(whole | (every[:, grid.row] != every[:, grid.row - 1]).any(axis=0))
    row, day, whole = grid.row[change], np.array(said.day, np.int32)[change], whole[change]
    which = grid.which[row]
    was, now = (dict(zip(NUMBERS, every[:, rows], strict=True)) for rows in (row - 1, row))
    ids = before["id"][which]
    order = await board.order(db)
    was["place"], was["band"], now["place"], now["band"] = order.move(
        before["kind"][which],
        ids,
        which,
        *(
            Stood(listed[rows], one["standing"], one["low"], one["high"])
            for rows, one in ((row - 1, was), (row, now))
        ),
    )
    mask = _announced(after["announced"], which, was["score"], now["score"], day, whole)
    # Of several changes the last one counts.
    after["position"][which] = positions[change]
    after["place"][which], after["band"][which] = now["place"], now["band"]
    board.put(grid.slots, after)
    slots = grid.slots.tolist()
    moved = np.zeros(len(slots), np.bool_)
    moved[which] = True
    await rank_tables.write(
        db,
        Found(
            after,
            [board.names[slot] for slot in slots],
            [board.slugs[slot] for slot in slots],
            [_written(board.signals[slot]) for slot in slots],
        ),
        before["position"] > 0,
        moved,
        Changes(positions[change], ids, was, now, mask),
    )


def _evidence(grid: _Grid, before: Ranks, said: _Heard) -> dict[str, NDArray[Any]]:
    """What is known in each row, by the fields of RANK."""
    moments, values = _split(said.listed)
    found = {"listed": grid.filled(before["listed"], moments, values)}
    for name, days in said.days.items():
        moments, values = _split(days)
        found[name] = grid.filled(before[name], moments, values)
    moments, counts = _split(said.matched)
    for number, name in enumerate(MATCHED):
        found[name] = grid.filled(before[name], moments, [count[number] for count in counts])
    found["counts"] = observed = before["counts"][grid.which].T.copy()
    for number, name in enumerate(COUNTS):
        moments, seen = said.observed[name]
        if moments:
            logarithms = [logarithm(one.value) for one in seen]
            observed[number] = grid.filled(before["counts"][:, number], moments, logarithms)
    if not any(said.observed[name][0] for name in CHECKLIST):
        return found | {name: before[name][grid.which] for name in ("checked", "held")}
    for name in ANSWER:
        found[name] = before[name][grid.which].T.copy()
    for number, item in enumerate(CHECKLIST):
        moments, seen = said.observed[item]
        if moments:
            answers = zip(*(_answer(one) for one in seen), strict=True)
            for name, given in zip(ANSWER, answers, strict=True):
                found[name][number] = grid.filled(before[name][:, number], moments, given)
    found["checked"], found["held"] = answered(found["trusted"], found["said"])
    return found


ANSWER = ("trusted", "said")


def _answer(seen: Seen) -> tuple[float, float]:
    """What the answer to a question of the checklist weighs, and the answer."""
    return CHECKLIST[seen.name] * TRUST[seen.method], float(seen.value)


def _answers(signals: Signals) -> Iterator[tuple[int, tuple[float, float]]]:
    """The answers that count, by their number on the checklist."""
    for number, name in enumerate(CHECKLIST):
        if sources := signals.get(name):
            yield number, _answer(preferred(sources.values())[name].signal)


def _split(pairs: Sequence[tuple[int, Any]]) -> tuple[Sequence[int], Sequence[Any]]:
    moments, values = zip(*pairs, strict=True) if pairs else ((), ())
    return moments, values


def _announced(
    states: NDArray[np.int32],
    which: NDArray[np.int64],
    was: Ints,
    now: Ints,
    day: Ints,
    whole: NDArray[np.bool_],
) -> NDArray[np.int16]:
    """Announces changes one after the other, each of the artifact whose state has that number.
    Changes the states in place."""
    mask = np.empty(len(which), np.int16)
    left = list(range(len(which)))
    if len(which) >= WORTH_COLUMNS:
        order = np.argsort(which, kind="stable")
        first = np.flatnonzero(np.diff(which[order], prepend=-1))
        # The first change of each artifact, then the second of each that has one, and so on.
        nth = np.empty(len(which), np.int64)
        nth[order] = np.arange(len(which)) - np.repeat(first, np.diff(first, append=len(which)))
        turns = np.argsort(nth, kind="stable")
        sizes = np.bincount(nth)
        start = 0
        for size in sizes[sizes >= WORTH_COLUMNS].tolist():
            turn = turns[start : start + size]
            known = states[which[turn]]
            mask[turn] = announce_all(known, was[turn], now[turn], day[turn], whole[turn])
            states[which[turn]] = known
            start += size
        left = turns[start:].tolist()
    for change in left:
        state = states[which[change]].tolist()
        mask[change], states[which[change]] = announce(
            state,
            was[change].item(),
            now[change].item(),
            day[change].item(),
            whole=whole[change].item(),
        )
    return mask


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
    board.remeasured()
    day = event.timestamp.toordinal() - EPOCH
    board.all_moved(await rank_recompute.recompute(db, position, day, board.measures()))


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
    finds_by_key=True,
    forget=forget,
)
