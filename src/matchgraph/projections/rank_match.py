"""The tables of `rank_board` on what searchers made of artifacts: cells, and what they come to.

What was only served adds up here and moves no rank. A reported outcome takes in what has come
together for its artifact, a calibration does so for all of them, and weighs each cell anew. It
reads and writes in slices, because all cells may be more than one row or one statement holds.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import log1p
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import MATCH_MEAN, Scales
from matchgraph.domain.matching import (
    FORGOTTEN,
    FREE,
    LEAST_CAP,
    NEVER_SERVED,
    NOISE,
    ROUNDS,
    SHRUNK,
    SUSPECT,
    TOLERATED,
    UNSUSPECTED,
    Cell,
    Count,
    decay,
    share,
)
from matchgraph.domain.ranking import assumed_rate
from matchgraph.eventstore.connection import Connection, Fetches
from matchgraph.projections.projection import insert, insert_all

Floats = NDArray[np.float64]
Numbers = NDArray[np.int32] | NDArray[np.int64]
Key = tuple[str, str]  # a searcher, and the id of an artifact
TABLES = ("rank_match", "rank_match_total", "rank_matched")
# As many cells as are read or written in one go: the event loop waits for some milliseconds.
SLICE = 10_000


class Matches:
    """The cells and the counts that some events are about, loaded once and written once."""

    def __init__(self, day: date | None) -> None:
        self.day = day
        self._cells: dict[Key, Cell] = {}
        self._counts: dict[str, Count] = {}
        self._matched: list[tuple[Any, ...]] = []

    async def load(self, db: Connection, keys: Iterable[Key]) -> None:
        """Has what there is of these cells, and of their artifacts."""
        wanted = sorted(set(keys))
        if not wanted:
            return
        rows = await db.fetch(
            "SELECT searcher, artifact_id, day, exposure, utility, chosen, cap, trust"
            " FROM unnest($1::text[], $2::uuid[]) AS asked (searcher, artifact_id)"
            " JOIN rank_match m USING (searcher, artifact_id)",
            [searcher for searcher, _ in wanted],
            [artifact for _, artifact in wanted],
        )
        for searcher, artifact, *said in rows:
            day, exposure, utility, chosen, cap, trust = said
            self._cells[searcher, str(artifact)] = Cell(day, exposure, utility, chosen, cap, trust)
        rows = await db.fetch(
            "SELECT artifact_id, exposure, utility, searchers, discounted FROM rank_match_total"
            " WHERE artifact_id = ANY ($1::uuid[])",
            sorted({artifact for _, artifact in wanted}),
        )
        self._counts.update((str(artifact), Count(*counted)) for artifact, *counted in rows)

    def cell(self, key: Key, on: date) -> Cell:
        """The cell as it is, or a new one of that day."""
        return self._cells.get(key) or Cell(on)

    def put(self, key: Key, cell: Cell) -> None:
        """Keeps what became of the cell, and moves its artifact's count with it."""
        known = self._cells.get(key)
        was = NEVER_SERVED if known is None else known.counted(self.day)
        self._cells[key] = cell
        count = self._counts.get(key[1], NEVER_SERVED)
        self._counts[key[1]] = count.moved(was, cell.counted(self.day))

    def take_in(self, position: int, artifact: str, known: Count) -> Count:
        """What has come together for the artifact, which it is ranked by from that event on."""
        count = self._counts.get(artifact, NEVER_SERVED)
        if count != known:
            self._matched.append((position, artifact, *count))
        return count

    async def write(self, db: Connection) -> None:
        """Writes what the events have changed."""
        await insert_all(
            db,
            (
                "rank_match",
                (
                    (*key, c.day, c.exposure, c.utility, c.chosen, c.cap, c.trust)
                    for key, c in self._cells.items()
                ),
                "ON CONFLICT (searcher, artifact_id) DO UPDATE SET day = excluded.day,"
                " exposure = excluded.exposure, utility = excluded.utility,"
                " chosen = excluded.chosen",
            ),
            (
                "rank_match_total",
                ((artifact, *count) for artifact, count in self._counts.items()),
                "ON CONFLICT (artifact_id) DO UPDATE SET exposure = excluded.exposure,"
                " utility = excluded.utility, searchers = excluded.searchers,"
                " discounted = excluded.discounted",
            ),
            ("rank_matched", self._matched, ""),
        )


async def matched(db: Fetches, artifact_id: UUID, position: int) -> Count:
    """What the artifact was ranked by as of that position."""
    rows = await db.fetch(
        "SELECT exposure, utility, searchers, discounted FROM rank_matched"
        " WHERE artifact_id = $1 AND position <= $2 ORDER BY position DESC LIMIT 1",
        artifact_id,
        position,
    )
    return Count(*rows[0]) if rows else NEVER_SERVED


@dataclass
class Cells:
    """All cells, in the order in which sums run. Searchers and artifacts are numbers from 0 on.

    Units: `exposure` and `utility` as of the day that weights are computed for; `assumed` is the
        rate of each artifact while nobody has looked at it.
    """

    searcher: Numbers
    artifact: Numbers
    exposure: Floats
    utility: Floats
    chosen: NDArray[np.bool_]
    assumed: Floats

    def __len__(self) -> int:
        return len(self.searcher)


class Weights(NamedTuple):
    """How much each cell counts. Units: `cap` in examined views, `trust` in [0, 1]."""

    cap: Floats
    trust: Floats


def weigh(cells: Cells) -> Weights:
    """How much each cell counts, beside all others.

    Shape: one weight for each cell.
    Source: docs/ranking.md. tests/domain/weighing.py takes the same steps in the same order cell by
        cell, which gives the same bits.
    """
    searchers = int(cells.searcher.max(initial=-1)) + 1
    choices = np.bincount(cells.searcher[cells.chosen], minlength=searchers)
    # Logarithms are those of the one formula: numpy's own may differ in the last bit.
    caps = np.array([LEAST_CAP + log1p(n) for n in range(int(choices.max(initial=0)) + 1)])
    cap = caps[choices[cells.searcher] - cells.chosen]
    say = np.maximum(cells.exposure, cells.utility)
    inside = _within(cap, say)
    said = _sums(cells.searcher, inside * say, searchers)
    shares = np.ones(searchers)
    for number in np.flatnonzero(said > FREE):
        shares[number] = share(float(said[number]))
    part = shares[cells.searcher]
    trust = np.ones(len(cells))
    for _ in range(ROUNDS):
        trust = _trusted(cells, inside * part * trust, searchers)
    return Weights(cap, part * trust)


def _trusted(cells: Cells, weights: Floats, searchers: int) -> Floats:
    artifacts = len(cells.assumed)
    exposure = _sums(cells.artifact, weights * cells.exposure, artifacts)[cells.artifact]
    utility = _sums(cells.artifact, weights * cells.utility, artifacts)[cells.artifact]
    assumed = cells.assumed[cells.artifact]
    others = exposure - weights * cells.exposure + SHRUNK
    rate = (utility - weights * cells.utility + SHRUNK * assumed) / others
    miss = cells.utility - rate * cells.exposure
    expected = rate * cells.exposure
    missed = miss * miss
    agreement = _at_most_one(
        SUSPECT * (_sums(cells.searcher, expected, searchers) + UNSUSPECTED),
        _sums(cells.searcher, missed, searchers) + UNSUSPECTED,
    )
    trust: Floats = _at_most_one(TOLERATED * TOLERATED * (expected + NOISE), missed)
    return trust * (agreement * agreement)[cells.searcher]


def _sums(of: Numbers, what: Floats, size: int) -> Floats:
    # Adds in the order of the rows, as a loop would.
    summed: Floats = np.bincount(of, what, size).astype(np.float64, copy=False)
    return summed


def _within(cap: Floats, say: Floats) -> Floats:
    return np.divide(cap, say, out=np.ones(len(cap)), where=say > cap)


def _at_most_one(tolerated: Floats, shown: Floats) -> Floats:
    return np.divide(tolerated, shown, out=np.ones(len(shown)), where=shown > tolerated)


def count(cells: Cells, weights: Weights) -> list[Count]:
    """What the cells of each artifact come to."""
    weight = _within(weights.cap, np.maximum(cells.exposure, cells.utility)) * weights.trust
    size = len(cells.assumed)
    return [
        Count(float(exposure), float(utility), int(searchers), int(discounted))
        for exposure, utility, searchers, discounted in zip(
            np.bincount(cells.artifact, weight * cells.exposure, size),
            np.bincount(cells.artifact, weight * cells.utility, size),
            np.bincount(cells.artifact, minlength=size),
            np.bincount(cells.artifact, weight < 1.0, size),
            strict=True,
        )
    ]


async def calibrate(db: Connection, position: int, scales: Scales) -> None:
    """Weighs every cell as of the calibration's day and puts what they come to in force.

    What has faded away is forgotten. Runs in a transaction beside which nobody changes cells.
    """
    if not await db.fetchval("SELECT EXISTS (SELECT FROM rank_match_total)"):
        return
    # Cells are looked up by their key. For a slice of them the planner might rather read the whole
    # table, and again for the next.
    await db.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
    found = await _read(db, scales)
    weights, counts, moved = await asyncio.to_thread(_weighed, found)
    await _write(db, found, weights, moved)
    await db.execute("SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT")
    by_id = zip(found.artifacts, counts, strict=True)
    await _put_in_force(db, position, {id: one for id, one in by_id if one.searchers})


class _Found(NamedTuple):
    """Every cell that is not forgotten, and whom and what its numbers stand for."""

    cells: Cells
    searchers: Sequence[str]
    artifacts: Sequence[UUID]
    before: Weights  # as the cells have them from the calibration before


def _weighed(found: _Found) -> tuple[Weights, list[Count], Numbers]:
    """What all cells weigh and come to, and which of them do not weigh what they did."""
    cells, before = found.cells, found.before
    weights = weigh(cells)
    moved = np.flatnonzero((weights.cap != before.cap) | (weights.trust != before.trust))
    # In the order of their key: those that are written together are next to each other.
    by_name = np.empty(len(found.searchers), np.int32)
    by_name[sorted(range(len(by_name)), key=found.searchers.__getitem__)] = np.arange(len(by_name))
    order = np.lexsort((cells.artifact[moved], by_name[cells.searcher[moved]]))
    return weights, count(cells, weights), moved[order]


async def _read(db: Connection, scales: Scales) -> _Found:
    """Reads all cells in order of artifact and searcher, and deletes what has faded away."""
    size: int = await db.fetchval("SELECT count(*) FROM rank_match")
    searcher, artifact = np.empty(size, np.int32), np.empty(size, np.int32)
    exposure, utility = np.empty(size), np.empty(size)
    chosen = np.empty(size, np.bool_)
    cap, trust = np.empty(size), np.empty(size)
    # Each searcher and artifact is kept once, whatever the number of its cells.
    searchers: dict[str, int] = {}
    artifacts: dict[UUID, int] = {}
    # Closed below, as asyncpg's own would only be at the end of the transaction: until then each
    # keeps a sorted copy of the table.
    await db.execute(
        "DECLARE cells CURSOR FOR SELECT searcher, artifact_id, day - date '0001-01-01', exposure,"
        " utility, chosen, cap, trust FROM rank_match ORDER BY artifact_id, searcher"
    )
    read = 0
    while rows := await db.fetch(f"FETCH {SLICE} FROM cells"):
        names, ids, days, *said, chose, caps, trusts = zip(*rows, strict=True)
        left = _left(np.array(days) + date.min.toordinal(), scales.day)
        exposures, utilities = (np.array(one) * left for one in said)
        kept = (exposures >= FORGOTTEN) | (utilities >= FORGOTTEN)
        here = slice(read, read + int(kept.sum()))
        searcher[here] = _numbers(names, searchers)[kept]
        artifact[here] = _numbers(ids, artifacts)[kept]
        exposure[here], utility[here] = exposures[kept], utilities[kept]
        chosen[here] = np.array(chose)[kept]
        cap[here], trust[here] = np.array(caps)[kept], np.array(trusts)[kept]
        read = here.stop
        gone = np.flatnonzero(~kept).tolist()
        await _forget(db, [names[number] for number in gone], [ids[number] for number in gone])
    await db.execute("CLOSE cells")
    assumed = await _assumed(db, list(artifacts), scales)
    return _Found(
        Cells(
            searcher=searcher[:read],
            artifact=artifact[:read],
            exposure=exposure[:read],
            utility=utility[:read],
            chosen=chosen[:read],
            assumed=np.array([assumed[id] for id in artifacts]),
        ),
        list(searchers),
        list(artifacts),
        Weights(cap[:read], trust[:read]),
    )


def _numbers(values: Iterable[Any], known: dict[Any, int]) -> NDArray[np.int32]:
    """The number of each; whoever is new gets the next one."""
    return np.array([known.setdefault(one, len(known)) for one in values], np.int32)


def _left(days: Numbers, day: date) -> Floats:
    """What is left on that day of what was there on each of the others."""
    ages, which = np.unique(day.toordinal() - days, return_inverse=True)
    return np.array([decay(int(one)) for one in ages], np.float64)[which]


async def _forget(db: Connection, searchers: Sequence[str], ids: Sequence[UUID]) -> None:
    if ids:
        await db.execute(
            "DELETE FROM rank_match m USING unnest($1::text[], $2::uuid[]) AS f (searcher, id)"
            " WHERE m.searcher = f.searcher AND m.artifact_id = f.id",
            searchers,
            ids,
        )


async def _write(db: Connection, found: _Found, weights: Weights, moved: Numbers) -> None:
    """Writes the weights of the cells that moved."""
    cells = found.cells
    for start in range(0, len(moved), SLICE):
        which = moved[start : start + SLICE]
        await db.execute(
            "UPDATE rank_match m SET cap = new.cap, trust = new.trust"
            " FROM unnest($1::text[], $2::uuid[], $3::float8[], $4::float8[])"
            " AS new (searcher, artifact_id, cap, trust)"
            " WHERE m.searcher = new.searcher AND m.artifact_id = new.artifact_id",
            [found.searchers[number] for number in cells.searcher[which].tolist()],
            [found.artifacts[number] for number in cells.artifact[which].tolist()],
            weights.cap[which].tolist(),
            weights.trust[which].tolist(),
        )


async def _assumed(db: Connection, ids: Sequence[UUID], scales: Scales) -> Mapping[UUID, float]:
    """The rate of each artifact while nobody has looked at it: that of its kind."""
    of_kind = {kind: assumed_rate(scales.match_mean(kind)) for kind in Kind}
    rows = await db.fetch(
        "SELECT artifact_id, kind FROM rank_evidence WHERE artifact_id = ANY ($1)", ids
    )
    # What was served and never registered has no kind, and no rank either.
    return dict.fromkeys(ids, assumed_rate(MATCH_MEAN)) | {
        row["artifact_id"]: of_kind[Kind(row["kind"])] for row in rows
    }


async def _put_in_force(db: Connection, position: int, counts: Mapping[UUID, Count]) -> None:
    await db.execute("DELETE FROM rank_match_total")
    await insert(db, "rank_match_total", ((id, *one) for id, one in counts.items()))
    await db.execute(
        "INSERT INTO rank_matched SELECT $1, e.artifact_id, coalesce(t.exposure, 0),"
        " coalesce(t.utility, 0), coalesce(t.searchers, 0), coalesce(t.discounted, 0)"
        " FROM rank_evidence e LEFT JOIN rank_match_total t USING (artifact_id)"
        " WHERE (e.exposure, e.utility, e.searchers, e.discounted) IS DISTINCT FROM"
        " (coalesce(t.exposure, 0), coalesce(t.utility, 0), coalesce(t.searchers, 0),"
        " coalesce(t.discounted, 0))",
        position,
    )
    await db.execute(
        "UPDATE rank_evidence e SET exposure = m.exposure, utility = m.utility,"
        " searchers = m.searchers, discounted = m.discounted FROM rank_matched m"
        " WHERE m.position = $1 AND m.artifact_id = e.artifact_id",
        position,
    )
