"""Every rank at once, after a calibration or a policy: the formula of domain/ranking.py on columns.

Each step is the one that the formula takes for a single artifact, in the same order, so both give
the same bits (a test compares them on random catalogs).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from typing import Any

import asyncpg
import msgspec
import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import MatchMean, Scale, Scales
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.ranking import (
    ADOPTION,
    COUNTS,
    ECOSYSTEM,
    MILLION,
    PARTS,
    POINTS,
    PRIORS,
    SPREADS,
    THRESHOLDS,
    Measure,
    PartName,
    Z,
    age,
    of_age,
    of_matches,
)
from matchgraph.eventstore.connection import Connection, Fetches
from matchgraph.projections.announcement import MOST_RETURNS, QUIET, STATES
from matchgraph.projections.projection import columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
KINDS = tuple(Kind)
NUMBERS = ("score", "low", "high", "coverage", "standing", *PARTS)


async def in_force(
    db: Fetches, at: int = 2**63 - 1
) -> tuple[dict[Kind, KindPolicy], Scales | None]:
    """The policy of each kind and the calibration as of a position."""
    policies = dict(DEFAULTS)
    for row in await db.fetch(
        "SELECT DISTINCT ON (kind) * FROM rank_policy WHERE position <= $1"
        " ORDER BY kind, position DESC",
        at,
    ):
        policies[Kind(row["kind"])] = policy(row)
    found = await db.fetch(
        "SELECT * FROM rank_calibration WHERE position <= $1 ORDER BY position DESC LIMIT 1", at
    )
    return policies, scales(found[0]) if found else None


def policy(row: asyncpg.Record) -> KindPolicy:
    """The policy in a row of rank_policy."""
    return KindPolicy(
        kind=Kind(row["kind"]),
        **{part.value: row[part] for part in PARTS},
        half_life=row["half_life"],
        formula=row["formula"],
    )


def scales(row: asyncpg.Record) -> Scales:
    """The distributions in a row of rank_calibration."""
    return Scales(
        day=row["day"],
        up_to=row["up_to"],
        scales=_scales.decode(row["scales"]),
        match_means=_means.decode(row["match_means"]),
    )


_scales = msgspec.json.Decoder(tuple[Scale, ...])
_means = msgspec.json.Decoder(tuple[MatchMean, ...])


async def remember(db: Connection, position: int, at: datetime, scales: Scales) -> None:
    """Puts the calibration in force."""
    await db.execute(
        "INSERT INTO rank_calibration VALUES ($1, $2, $3, $4, $5, $6)",
        position,
        scales.day,
        scales.up_to,
        at,
        msgspec.json.encode(scales.scales).decode(),
        msgspec.json.encode(scales.match_means).decode(),
    )


@dataclass
class Columns:
    """All of the evidence and the ranks as they were, one entry for each artifact, by id."""

    ids: NDArray[np.void]
    kind: NDArray[np.int16]
    listed: NDArray[np.bool_]
    released: NDArray[np.int32]
    counts: Floats  # NaN where nothing was observed; one row for each of COUNTS
    checked: Floats
    held: Floats
    exposure: Floats
    utility: Floats
    was: dict[str, Ints]
    announced: Ints  # for each artifact the states of each threshold, see announcement.py

    def __len__(self) -> int:
        return len(self.ids)


UNKNOWN_DAY = -(2**31)


async def recompute(
    db: Connection, position: int, day: int, measures: Mapping[Kind, Measure]
) -> None:
    """Ranks every artifact by these measures, as the event at that position demands.

    Units: `day`, of the event, in days since 1970.
    """
    columns = await _read(db)
    if not len(columns):
        return
    now = _ranked(columns, measures)
    # A place that others made higher or lower is no change of the artifact's own.
    moved = np.zeros(len(columns), bool)
    for name, column in now.items():
        moved |= column != columns.was[name]
    for name, column in _places(columns, now).items():
        now[name] = np.where(moved, column, columns.was[name])
    # Where it stood a moment ago, which is not where it stood when it last moved.
    columns.was |= _places(columns, columns.was)
    mask = _announce(columns, now["score"], moved, day)
    await _write(db, position, columns, now, moved, mask)


async def _read(db: Connection) -> Columns:
    floats = (*COUNTS, "checked", "held", "exposure", "utility")
    ints = (*NUMBERS, "place", "band", "position")
    row = await db.fetchrow(
        "SELECT string_agg(uuid_send(artifact_id), '') AS ids,"
        " string_agg(int2send(array_position($1, kind)::int2), '') AS kind,"
        " string_agg(boolsend(listed), '') AS listed,"
        " string_agg(int4send(coalesce("
        f"greatest(released, last_release) - date '1970-01-01', {UNKNOWN_DAY})), '') AS released,"
        + ",".join(
            f" string_agg(float8send(coalesce({name}, 'NaN')), '') AS {name}" for name in floats
        )
        + ","
        + ",".join(f" string_agg(int4send({name}), '') AS was_{name}" for name in ints[:-1])
        + ", string_agg(int8send(board_position), '') AS was_position,"
        " string_agg(announced, '') AS announced"
        + " FROM (SELECT e.*, b.score, b.low, b.high, b.coverage, b.standing, b.adoption,"
        " b.quality, b.ecosystem, b.match_graph, b.freshness, b.place, b.band, b.announced,"
        " b.position AS board_position FROM rank_evidence e"
        " JOIN rank_board b USING (artifact_id) ORDER BY e.artifact_id) AS everything",
        [kind.value for kind in KINDS],
    )
    assert row is not None, "an aggregate without GROUP BY has one row"

    def column(name: str, dtype: str) -> Any:
        return np.frombuffer(row[name] or b"", dtype).astype(dtype.replace(">", "="))

    return Columns(
        ids=np.frombuffer(row["ids"] or b"", "V16"),
        kind=column("kind", ">i2") - 1,
        listed=column("listed", "?"),
        released=column("released", ">i4"),
        counts=np.stack([column(name, ">f8") for name in COUNTS]),
        checked=column("checked", ">f8"),
        held=column("held", ">f8"),
        exposure=column("exposure", ">f8"),
        utility=column("utility", ">f8"),
        was={
            **{name: column(f"was_{name}", ">i4") for name in ints[:-1]},
            "position": column("was_position", ">i8"),
        },
        announced=column("announced", ">i4").reshape(-1, STATES, len(THRESHOLDS)),
    )


def _ranked(columns: Columns, measures: Mapping[Kind, Measure]) -> dict[str, Ints]:
    """The numbers of each artifact, by the formula that is in force for its kind."""
    versions = np.array([measures[kind].policy.formula for kind in KINDS])
    now: dict[str, Ints] = {}
    for version in np.unique(versions).tolist():
        found = FORMULAS[version](columns, measures)
        by_this = (versions == version)[columns.kind]
        now = {
            name: np.where(by_this, column, now[name]) if now else column
            for name, column in found.items()
        }
    return now


def _first(columns: Columns, measures: Mapping[Kind, Measure]) -> dict[str, Ints]:
    return _combine(*_parts(columns, measures), columns.kind, measures)


# The versions of the formula, as domain/ranking.py has them.
FORMULAS = {1: _first}


def _parts(columns: Columns, measures: Mapping[Kind, Measure]) -> tuple[list[Floats], list[Floats]]:
    """The value of each part and the share of it that is assumed."""
    found = (
        _counts(PartName.ADOPTION, ADOPTION, columns, measures),
        _shrunk(columns.held, columns.checked, PartName.QUALITY),
        _counts(PartName.ECOSYSTEM, ECOSYSTEM, columns, measures),
        _matches(columns, measures),
        _ages(columns, measures),
    )
    return [value for value, _ in found], [share for _, share in found]


def _counts(
    part: PartName,
    weights: Mapping[Any, float],
    columns: Columns,
    measures: Mapping[Kind, Measure],
) -> tuple[Floats, Floats]:
    summed = np.zeros(len(columns))
    weighed = np.zeros(len(columns))
    for name, weight in weights.items():
        number = COUNTS.index(name)
        scale = np.array(
            [np.nan if (s := measures[kind].scales[number]) is None else s for kind in KINDS]
        )[columns.kind]
        share = columns.counts[number] / scale
        present = ~np.isnan(share)
        summed += np.where(present, weight * np.minimum(1.0, share), 0.0)
        weighed += np.where(present, weight, 0.0)
    return _shrunk(summed, weighed, part)


def _shrunk(summed: Floats, weighed: Floats, part: PartName) -> tuple[Floats, Floats]:
    prior = PRIORS[part]
    whole = weighed + prior.weight
    return (summed + prior.weight * prior.mean) / whole, prior.weight / whole


def _matches(columns: Columns, measures: Mapping[Kind, Measure]) -> tuple[Floats, Floats]:
    value = np.full(len(columns), PRIORS[PartName.MATCH_GRAPH].mean)
    share = np.ones(len(columns))
    # Logarithms and powers are those of the one formula: numpy's own may differ in the last bit.
    for row in np.flatnonzero(columns.exposure):
        value[row], share[row] = of_matches(
            float(columns.exposure[row]),
            float(columns.utility[row]),
            measures[KINDS[columns.kind[row]]].match_mean,
        )
    return value, share


def _ages(columns: Columns, measures: Mapping[Kind, Measure]) -> tuple[Floats, Floats]:
    value = np.empty(len(columns))
    share = np.empty(len(columns))
    for number, kind in enumerate(KINDS):
        of_kind = np.flatnonzero(columns.kind == number)
        days, which = np.unique(columns.released[of_kind], return_inverse=True)
        found = [_age(int(day), measures[kind]) for day in days]
        value[of_kind] = np.array([v for v, _ in found])[which] if found else 0.0
        share[of_kind] = np.array([s for _, s in found])[which] if found else 0.0
    return value, share


def _age(released: int, by: Measure) -> tuple[float, float]:
    day = None if released == UNKNOWN_DAY else date.fromordinal(released + EPOCH)
    return of_age(age(day, by.day), by.policy.half_life)


EPOCH = date(1970, 1, 1).toordinal()


def _combine(
    values: list[Floats],
    shares: list[Floats],
    kind: NDArray[np.int16],
    measures: Mapping[Kind, Measure],
) -> dict[str, Ints]:
    now: dict[str, Ints] = {}
    variance = np.zeros(len(kind))
    assumed = np.zeros(len(kind))
    score = np.zeros(len(kind), np.int32)
    for number, part in enumerate(PARTS):
        weight = np.array([measures[kind].weights[number] for kind in KINDS])[kind]
        now[part] = np.rint(values[number] * weight * POINTS).astype(np.int32)
        score += now[part]
        wide = weight * SPREADS[number]
        variance += wide * wide * shares[number]
        assumed += weight * shares[number]
    deviation = np.sqrt(variance) * POINTS
    margin = np.rint(Z * deviation).astype(np.int32)
    now["score"] = score
    now["low"] = np.maximum(0, score - margin)
    now["high"] = np.minimum(POINTS, score + margin)
    now["coverage"] = np.rint((1.0 - assumed) * MILLION).astype(np.int32)
    now["standing"] = score - np.rint(0.5 * deviation).astype(np.int32)
    return now


def _places(columns: Columns, now: dict[str, Ints]) -> dict[str, Ints]:
    place = np.zeros(len(columns), np.int32)
    band = np.zeros(len(columns), np.int32)
    for number in range(len(KINDS)):
        listed = np.flatnonzero((columns.kind == number) & columns.listed)
        # Columns are by id already, and a stable sort keeps equal standings so.
        order = listed[np.argsort(-now["standing"][listed], kind="stable")]
        place[order] = np.arange(1, len(order) + 1, dtype=np.int32)
        lows = np.sort(now["low"][listed])
        band[listed] = 1 + len(lows) - np.searchsorted(lows, now["high"][listed], side="right")
    return {"place": place, "band": band}


def _announce(columns: Columns, now: Ints, moved: NDArray[np.bool_], day: int) -> NDArray[np.int16]:
    """As `announce` does it for one artifact; changes the state in place."""
    told = moved & columns.listed
    mask = told.astype(np.int16)
    last, before, returns, returned_on = np.moveaxis(columns.announced, 1, 0)
    for number, threshold in enumerate(THRESHOLDS[1:], start=1):
        due = told & (np.abs(now - last[:, number]) >= threshold)
        # The first score ever announced has none before it: far away, and not to be subtracted
        # from in 32 bits.
        back = due & (np.abs(now.astype(np.int64) - before[:, number]) < threshold)
        returns[due & (day - returned_on[:, number] >= QUIET), number] = 0
        crossed = back & (np.abs(now - columns.was["score"]) >= threshold)
        returns[crossed, number] += 1
        returned_on[crossed, number] = day
        news = due & ~(back & (returns[:, number] > MOST_RETURNS))
        mask[news] |= 1 << number
        before[news, number] = last[news, number]
        last[news, number] = now[news]
    return mask


async def _write(
    db: Connection,
    position: int,
    columns: Columns,
    now: dict[str, Ints],
    moved: NDArray[np.bool_],
    mask: NDArray[np.int16],
) -> None:
    """Replaces the board whole, which is faster than updating each row, and adds the history."""
    size = len(columns)
    positions = np.where(moved, position, columns.was["position"])
    kinds = [kind.value.encode() for kind in KINDS]
    board = _Rows(size)
    board.add(positions, ">i8")
    board.add_bytes(columns.ids)
    board.add_texts(kinds, columns.kind)
    for name in (*NUMBERS, "place", "band"):
        board.add(now[name], ">i4")
    width = STATES * len(THRESHOLDS) * 4
    board.add_bytes(columns.announced.reshape(size, -1).astype(">i4").view(f"V{width}"))
    await db.execute("DELETE FROM rank_board")
    await board.copy(db, "rank_board")
    history = _Rows(int(moved.sum()))
    history.add(np.full(history.size, position), ">i8")
    history.add_bytes(columns.ids[moved])
    for name in ("score", "low", "high", "coverage", "place", "band"):
        history.add(now[name][moved], ">i4")
    for name in ("score", "place", "band"):
        history.add(columns.was[name][moved], ">i4")
    for part in PARTS:
        history.add(now[part][moved], ">i4")
    for part in PARTS:
        history.add(columns.was[part][moved], ">i4")
    history.add(mask[moved], ">i2")
    history.add(now["standing"][moved], ">i4")
    await history.copy(db, "rank_history")


class _Rows:
    """Rows of PostgreSQL's binary COPY, put together column by column."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._columns: list[NDArray[np.uint8]] = []
        self._texts: tuple[int, list[bytes], NDArray[np.int16]] | None = None

    def add(self, values: NDArray[Any], dtype: str) -> None:
        """A column of numbers."""
        self.add_bytes(values.astype(dtype))

    def add_bytes(self, values: NDArray[Any]) -> None:
        """A column that is in PostgreSQL's own form already."""
        width = values.dtype.itemsize
        field = np.empty((self.size, 4 + width), np.uint8)
        field[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
        field[:, 4:] = np.ascontiguousarray(values).view(np.uint8).reshape(self.size, width)
        self._columns.append(field)

    def add_texts(self, texts: list[bytes], which: NDArray[np.int16]) -> None:
        """A column of one of a few texts; there can be one such column."""
        self._texts = (len(self._columns), texts, which)

    async def copy(self, db: Connection, table: str) -> None:
        """Appends the rows to the table."""
        count = len(self._columns) + (self._texts is not None)
        head = np.broadcast_to(np.frombuffer(count.to_bytes(2, "big"), np.uint8), (self.size, 2))
        if self._texts is None:
            body = np.concatenate([head, *self._columns], axis=1).tobytes()
        else:
            number, texts, which = self._texts
            before = np.concatenate([head, *self._columns[:number]], axis=1)
            after = np.concatenate(self._columns[number:], axis=1)
            body = _with_texts(before, texts, which, after)
        known, _ = await columns(db, table, count)
        await db.copy_to_table(
            table, source=BytesIO(SIGNATURE + body + END), columns=known, format="binary"
        )


SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"


def _with_texts(
    before: NDArray[np.uint8],
    texts: list[bytes],
    which: NDArray[np.int16],
    after: NDArray[np.uint8],
) -> bytes:
    """Rows with a text of its own length in the middle: those of one text are built together.

    The order of the rows does not matter to a table.
    """
    bodies = []
    for number, text in enumerate(texts):
        rows = which == number
        if size := int(rows.sum()):
            field = np.frombuffer(len(text).to_bytes(4, "big") + text, np.uint8)
            bodies.append(
                np.concatenate(
                    [before[rows], np.broadcast_to(field, (size, len(field))), after[rows]], axis=1
                ).tobytes()
            )
    return b"".join(bodies)
