"""The tables of `rank_board` on what searchers made of artifacts: cells, and what they come to.

What was only served adds up here and moves no rank. A reported outcome takes in what has come
together for its artifact, a calibration does so for all of them, and weighs each cell anew.
"""

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
from matchgraph.projections.projection import insert

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Key = tuple[str, str]  # a searcher, and the id of an artifact
TABLES = ("rank_match", "rank_match_total", "rank_matched")


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
            "SELECT m.* FROM unnest($1::text[], $2::uuid[]) AS asked (searcher, artifact_id)"
            " JOIN rank_match m USING (searcher, artifact_id)",
            [searcher for searcher, _ in wanted],
            [artifact for _, artifact in wanted],
        )
        for searcher, artifact, *said in rows:
            day, exposure, utility, chosen, cap, trust = said
            self._cells[searcher, str(artifact)] = Cell(day, exposure, utility, chosen, cap, trust)
        rows = await db.fetch(
            "SELECT * FROM rank_match_total WHERE artifact_id = ANY ($1::uuid[])",
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
        await insert(
            db,
            "rank_match",
            (
                (*key, c.day, c.exposure, c.utility, c.chosen, c.cap, c.trust)
                for key, c in self._cells.items()
            ),
            then="ON CONFLICT (searcher, artifact_id) DO UPDATE SET day = excluded.day,"
            " exposure = excluded.exposure, utility = excluded.utility, chosen = excluded.chosen",
        )
        await insert(
            db,
            "rank_match_total",
            ((artifact, *count) for artifact, count in self._counts.items()),
            then="ON CONFLICT (artifact_id) DO UPDATE SET exposure = excluded.exposure,"
            " utility = excluded.utility, searchers = excluded.searchers,"
            " discounted = excluded.discounted",
        )
        await insert(db, "rank_matched", self._matched)


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
    """`matching.weigh` on columns: the same steps in the same order, which give the same bits."""
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

    What has faded away is forgotten.
    """
    row = await db.fetchrow(
        "SELECT array_agg(artifact_id) AS artifacts, array_agg(searcher) AS searchers,"
        " string_agg(int4send(artifact_number::int), '') AS artifact,"
        " string_agg(int4send(searcher_number::int), '') AS searcher,"
        " string_agg(int4send(day - date '0001-01-01'), '') AS day,"
        " string_agg(float8send(exposure), '') AS exposure,"
        " string_agg(float8send(utility), '') AS utility,"
        " string_agg(boolsend(chosen), '') AS chosen,"
        " string_agg(float8send(cap), '') AS cap, string_agg(float8send(trust), '') AS trust,"
        " EXISTS (SELECT FROM rank_match_total) AS counted"
        " FROM (SELECT *, dense_rank() OVER (ORDER BY searcher) - 1 AS searcher_number,"
        " dense_rank() OVER (ORDER BY artifact_id) - 1 AS artifact_number"
        " FROM rank_match ORDER BY artifact_id, searcher) AS everything"
    )
    assert row is not None, "an aggregate without GROUP BY has one row"
    if not row["counted"]:
        return

    def column(name: str, dtype: str) -> Any:
        return np.frombuffer(row[name] or b"", dtype).astype(dtype.replace(">", "="))

    days = column("day", ">i4") + date.min.toordinal()
    left = _left(days, scales.day)
    exposure, utility = column("exposure", ">f8") * left, column("utility", ">f8") * left
    kept = (exposure >= FORGOTTEN) | (utility >= FORGOTTEN)
    ids = row["artifacts"] or []
    searchers = row["searchers"] or []
    await _forget(db, searchers, ids, np.flatnonzero(~kept))
    artifact = column("artifact", ">i4")
    known: dict[int, UUID] = dict(zip(artifact.tolist(), ids, strict=True))
    assumed = await _assumed(db, list(known.values()), scales)
    cells = Cells(
        searcher=column("searcher", ">i4")[kept],
        artifact=artifact[kept],
        exposure=exposure[kept],
        utility=utility[kept],
        chosen=column("chosen", "?")[kept],
        assumed=np.array([assumed[id] for id in known.values()]),
    )
    weights = weigh(cells)
    moved = (weights.cap != column("cap", ">f8")[kept]) | (
        weights.trust != column("trust", ">f8")[kept]
    )
    where = np.flatnonzero(kept)[moved]
    await db.execute(
        "UPDATE rank_match m SET cap = new.cap, trust = new.trust"
        " FROM unnest($1::text[], $2::uuid[], $3::float8[], $4::float8[])"
        " AS new (searcher, artifact_id, cap, trust)"
        " WHERE m.searcher = new.searcher AND m.artifact_id = new.artifact_id",
        [searchers[number] for number in where],
        [ids[number] for number in where],
        weights.cap[moved].tolist(),
        weights.trust[moved].tolist(),
    )
    counts = zip(known.values(), count(cells, weights), strict=True)
    await _put_in_force(db, position, {id: one for id, one in counts if one.searchers})


def _left(days: Numbers, day: date) -> Floats:
    """What is left on that day of what was there on each of the others."""
    ages, which = np.unique(day.toordinal() - days, return_inverse=True)
    return np.array([decay(int(one)) for one in ages], np.float64)[which]


async def _forget(
    db: Connection, searchers: Sequence[str], ids: Sequence[UUID], which: Numbers
) -> None:
    if len(which):
        await db.execute(
            "DELETE FROM rank_match m USING unnest($1::text[], $2::uuid[]) AS f (searcher, id)"
            " WHERE m.searcher = f.searcher AND m.artifact_id = f.id",
            [searchers[number] for number in which],
            [ids[number] for number in which],
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
