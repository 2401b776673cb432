"""The tables of `rank_board` in columns: evidence and ranks read and written, many at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isnan
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.ranking import CHECKLIST, COUNTS, PARTS, THRESHOLDS
from matchgraph.eventstore.connection import Connection
from matchgraph.projections import binary
from matchgraph.projections.announcement import STATES
from matchgraph.projections.projection import WORTH_A_COPY, insert_all
from matchgraph.projections.rank_formula import EPOCH, KINDS, NUMBERS, UNKNOWN_DAY, Columns
from matchgraph.projections.rank_order import Order

# An artifact's evidence and its rank as of some event. Days are counted from 1970, or UNKNOWN_DAY;
# counts are NaN where nothing was observed. For each item of the checklist `trusted` is what its
# answer weighs, 0 while there is none, and `said` is that answer: these two are in no table.
RANK = np.dtype(
    [
        ("id", "V16"),
        ("kind", np.int16),
        ("listed", np.bool_),
        ("released", np.int32),
        ("last_release", np.int32),
        ("counts", np.float64, len(COUNTS)),
        ("checked", np.float64),
        ("held", np.float64),
        ("exposure", np.float64),
        ("utility", np.float64),
        ("evidence_position", np.int64),
        ("searchers", np.int32),
        ("discounted", np.int32),
        ("position", np.int64),
        *((name, np.int32) for name in (*NUMBERS, "place", "band")),
        ("announced", np.int32, (STATES, len(THRESHOLDS))),
        ("trusted", np.float64, len(CHECKLIST)),
        ("said", np.float64, len(CHECKLIST)),
    ]
)
Ranks = NDArray[Any]
KIND_NAMES = [kind.value.encode() for kind in KINDS]
_DAY = f"coalesce(%s - date '1970-01-01', {UNKNOWN_DAY})"
# What each field is in SQL, and in the bytes that PostgreSQL sends.
_FIELDS = {
    "kind": ("int2send(array_position($1, e.kind)::int2 - 1::int2)", ">i2"),
    "listed": ("boolsend(listed)", "?"),
    "released": (f"int4send({_DAY % 'released'})", ">i4"),
    "last_release": (f"int4send({_DAY % 'last_release'})", ">i4"),
    **{
        name: (f"float8send(coalesce({name}, 'NaN'))", ">f8")
        for name in (*COUNTS, "checked", "held", "exposure", "utility")
    },
    "evidence_position": ("int8send(e.position)", ">i8"),
    "position": ("int8send(b.position)", ">i8"),
    **{
        name: (f"int4send({name})", ">i4")
        for name in ("searchers", "discounted", *NUMBERS, "place", "band")
    },
    "announced": ("announced", ">i4"),
}
_READ = (
    "SELECT string_agg(uuid_send(artifact_id), '' ORDER BY artifact_id) AS id, "
    + ", ".join(
        f"string_agg({sql}, '' ORDER BY artifact_id) AS {name}"
        for name, (sql, _) in _FIELDS.items()
    )
    + "%s FROM rank_evidence e JOIN rank_board b USING (artifact_id)%s"
)
_EVERYTHING = _READ % ("", "")
_SOME = _READ % (
    ", array_agg(artifact_id::text ORDER BY artifact_id) AS names,"
    " array_agg(slug ORDER BY artifact_id) AS slugs,"
    " array_agg(evidence ORDER BY artifact_id) AS observed",
    " WHERE artifact_id = ANY ($2::uuid[])",
)


@dataclass(frozen=True)
class Found:
    """Some artifacts, by id. `names` are their ids as text, `observed` the column `evidence`."""

    ranks: Ranks
    names: Sequence[str]
    slugs: Sequence[str]
    observed: Sequence[bytes]


async def read_all(db: Connection) -> Ranks:
    """All of them, by id."""
    return _ranks(await db.fetchrow(_EVERYTHING, [kind.value for kind in KINDS]))


async def read(db: Connection, ids: Sequence[str]) -> Found:
    """Those of them that there are."""
    row = await db.fetchrow(_SOME, [kind.value for kind in KINDS], ids)
    assert row is not None, "an aggregate without GROUP BY has one row"
    return Found(_ranks(row), row["names"] or (), row["slugs"] or (), row["observed"] or ())


def _ranks(row: Any) -> Ranks:
    ids = np.frombuffer(row["id"] or b"", "V16")
    ranks = np.zeros(len(ids), RANK)
    ranks["id"] = ids
    for name, (_, dtype) in _FIELDS.items():
        column = np.frombuffer(row[name] or b"", dtype)
        if name in COUNTS:
            ranks["counts"][:, COUNTS.index(name)] = column
        else:
            ranks[name] = column.reshape(ranks[name].shape)
    return ranks


def columns(ranks: Ranks) -> Columns:
    """What the formula reads of them."""
    return Columns(
        kind=ranks["kind"],
        released=np.maximum(ranks["released"], ranks["last_release"]),
        counts=ranks["counts"].T,
        checked=ranks["checked"],
        held=ranks["held"],
        exposure=ranks["exposure"],
        utility=ranks["utility"],
    )


async def read_order(db: Connection) -> Order:
    """The order of all that is on offer."""
    row = await db.fetchrow(
        "SELECT string_agg(int2send(array_position($1, kind)::int2 - 1::int2), '') AS kind,"
        " string_agg(uuid_send(artifact_id), '') AS id,"
        " string_agg(int4send(standing), '') AS standing, string_agg(int4send(low), '') AS low"
        " FROM rank_board WHERE place > 0",
        [kind.value for kind in KINDS],
    )
    assert row is not None, "an aggregate without GROUP BY has one row"
    kind, id, standing, low = (
        np.frombuffer(row[name] or b"", dtype)
        for name, dtype in (("kind", ">i2"), ("id", "V16"), ("standing", ">i4"), ("low", ">i4"))
    )
    return Order(kind, id, standing.astype(np.int32), low.astype(np.int32))


# The columns of the tables, between those whose values have lengths of their own.
_EVIDENCE = (
    binary.Columns({"id": "V16"}, of=14 + len(COUNTS)),
    binary.Columns({"listed": "?", "released": ">i4", "last_release": ">i4"}),
    binary.Columns(
        {
            **dict.fromkeys((*COUNTS, "checked", "held", "exposure", "utility"), ">f8"),
            "evidence_position": ">i8",
            "searchers": ">i4",
            "discounted": ">i4",
        }
    ),
)
_BOARD = (
    binary.Columns({"position": ">i8", "id": "V16"}, of=6 + len(NUMBERS)),
    binary.Columns(
        {
            **dict.fromkeys((*NUMBERS, "place", "band"), ">i4"),
            "announced": f"V{4 * STATES * len(THRESHOLDS)}",
        }
    ),
)
_WAS = ("score", "place", "band")
_HISTORY = binary.Columns(
    {
        "position": ">i8",
        "id": "V16",
        **dict.fromkeys(("score", "low", "high", "coverage", "place", "band"), ">i4"),
        **dict.fromkeys((f"was_{name}" for name in _WAS), ">i4"),
        **dict.fromkeys((*PARTS, *(f"was_{part}" for part in PARTS)), ">i4"),
        "announce": ">i2",
        "standing": ">i4",
    },
    of=23,
)


@dataclass(frozen=True)
class Changes:
    """Changes of ranks: at which positions, of whom, from what and to what."""

    position: NDArray[np.int64]
    ids: NDArray[np.void]
    was: Ranks | Mapping[str, NDArray[Any]]
    now: Ranks | Mapping[str, NDArray[Any]]
    announce: NDArray[np.int16]

    def values(self) -> dict[str, Any]:
        """The columns of rank_history, in their order."""
        now, was = self.now, self.was
        return {
            "position": self.position,
            "id": self.ids,
            **{name: now[name] for name in ("score", "low", "high", "coverage", "place", "band")},
            **{f"was_{name}": was[name] for name in _WAS},
            **{part: now[part] for part in PARTS},
            **{f"was_{part}": was[part] for part in PARTS},
            "announce": self.announce,
            "standing": now["standing"],
        }


async def write(
    db: Connection, found: Found, known: NDArray[np.bool_], moved: NDArray[np.bool_], by: Changes
) -> None:
    """Writes what became of some artifacts, of which some were `known` before and some `moved`."""
    if len(found.ranks) + len(by.position) < WORTH_A_COPY:
        await insert_all(
            db,
            ("rank_evidence", _evidence_rows(found), _REPLACE_EVIDENCE),
            ("rank_board", _board_rows(found, moved), _REPLACE_BOARD),
            ("rank_history", _history_rows(by), ""),
        )
        return
    for table, which in (("rank_evidence", known), ("rank_board", known & moved)):
        gone = [found.names[number] for number in np.flatnonzero(which).tolist()]
        if gone:
            await db.execute(f"DELETE FROM {table} WHERE artifact_id = ANY ($1)", gone)
    await _copy_evidence(db, found)
    await write_board(db, found.ranks[moved])
    await write_history(db, by)


def _replacing(columns: Iterable[str]) -> str:
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return f"ON CONFLICT (artifact_id) DO UPDATE SET {changed}"


_EVIDENCE_NUMBERS = (*COUNTS, "checked", "held", "exposure", "utility")
_REPLACE_EVIDENCE = _replacing(
    (
        *("listed", "released", "last_release", "evidence", *_EVIDENCE_NUMBERS),
        *("position", "searchers", "discounted"),
    )
)
_REPLACE_BOARD = _replacing(("position", *NUMBERS, "place", "band", "announced"))


def _evidence_rows(found: Found) -> list[tuple[Any, ...]]:
    ranks = found.ranks
    first = ranks[["kind", "listed", "released", "last_release"]].tolist()
    sums = ranks[["checked", "held", "exposure", "utility"]].tolist()
    rest = ranks[["evidence_position", "searchers", "discounted"]].tolist()
    return [
        (
            *(name, KINDS[kind].value, slug, listed, *map(_day, days), observed),
            *(None if isnan(count) else count for count in counts),
            *sums[number],
            *rest[number],
        )
        for number, (name, slug, observed, counts, (kind, listed, *days)) in enumerate(
            zip(
                *(found.names, found.slugs, found.observed, ranks["counts"].tolist(), first),
                strict=True,
            )
        )
    ]


def _day(day: int) -> date | None:
    return None if day == UNKNOWN_DAY else date.fromordinal(day + EPOCH)


def _board_rows(found: Found, moved: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    ranks = found.ranks[moved]
    return [
        (position, found.names[number], KINDS[kind].value, *rest, states.tobytes())
        for number, (position, kind, *rest), states in zip(
            np.flatnonzero(moved).tolist(),
            ranks[["position", "kind", *NUMBERS, "place", "band"]].tolist(),
            ranks["announced"].astype(">i4"),
            strict=True,
        )
    ]


def _history_rows(by: Changes) -> list[tuple[Any, ...]]:
    columns = by.values() | {"id": [UUID(bytes=id) for id in by.ids.tolist()]}
    return list(
        zip(
            *(c if isinstance(c, list) else c.tolist() for c in columns.values()),
            strict=True,
        )
    )


async def _copy_evidence(db: Connection, found: Found) -> None:
    ranks, slugs, observed = found.ranks, found.slugs, found.observed
    counts = dict(zip(COUNTS, ranks["counts"].T, strict=True))
    values = {name: ranks[name] for name in RANK.fields or ()} | counts
    # PostgreSQL counts days from 2000.
    days = {name: ranks[name] - DAYS_TO_2000 for name in ("released", "last_release")}
    first, second, third = _EVIDENCE
    size = len(ranks)
    rows = binary.joined(
        first.split(first.filled(size, values), {}),
        _kinds(ranks),
        binary.texts([slug.encode() for slug in slugs]),
        second.split(
            second.filled(size, values | days), {name: ranks[name] == UNKNOWN_DAY for name in days}
        ),
        binary.texts(observed),
        third.split(
            third.filled(size, values), {name: np.isnan(count) for name, count in counts.items()}
        ),
    )
    await binary.copy(db, "rank_evidence", rows)


DAYS_TO_2000 = 10957


async def write_board(db: Connection, ranks: Ranks) -> None:
    """Adds rows to rank_board."""
    first, second = _BOARD
    states = ranks["announced"].astype(">i4").reshape(len(ranks), STATES * len(THRESHOLDS))
    values = {name: ranks[name] for name in (*NUMBERS, "place", "band")}
    values["announced"] = states.view(second.dtype["announced"]).ravel()
    rows = binary.joined(
        first.split(first.filled(len(ranks), ranks), {}),
        _kinds(ranks),
        second.split(second.filled(len(ranks), values), {}),
    )
    await binary.copy(db, "rank_board", rows)


def _kinds(ranks: Ranks) -> list[bytes]:
    names = binary.texts(KIND_NAMES)
    return [names[kind] for kind in ranks["kind"].tolist()]


async def write_history(db: Connection, by: Changes) -> None:
    """Adds rows to rank_history."""
    rows = _HISTORY.filled(len(by.position), by.values())
    await binary.copy(db, "rank_history", rows.tobytes())
