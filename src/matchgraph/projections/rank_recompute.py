"""Every rank at once, after a calibration or a policy, and what is in force since then."""

from datetime import datetime

import asyncpg
import msgspec
import numpy as np

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import MatchMean, Scale, Scales
from matchgraph.domain.policy import DEFAULTS, KindPolicy
from matchgraph.domain.ranking import PARTS
from matchgraph.eventstore.connection import Connection, Fetches
from matchgraph.projections import rank_tables
from matchgraph.projections.announcement import announce_all
from matchgraph.projections.rank_formula import KINDS, NUMBERS, Ints, Measures, ranked


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


async def recompute(
    db: Connection, position: int, day: int, measures: Measures
) -> rank_tables.Ranks:
    """Ranks every artifact by these measures, as the event at that position demands. Returns their
    ranks, by id.

    Units: `day`, of the event, in days since 1970.
    """
    was = await rank_tables.read_all(db)
    now = was.copy()
    for name, column in ranked(rank_tables.columns(was), measures).items():
        now[name] = column
    moved = np.logical_or.reduce([now[name] != was[name] for name in NUMBERS])
    # A place that others made higher or lower is no change of the artifact's own.
    for name, column in _places(now).items():
        now[name] = np.where(moved, column, was[name])
    now["position"][moved] = position
    announce = np.zeros(len(now), np.int16)
    told = np.flatnonzero(moved & now["listed"])
    states = now["announced"][told]
    announce[told] = announce_all(
        states,
        was["score"][told],
        now["score"][told],
        np.full(len(told), day, np.int32),
        np.zeros(len(told), np.bool_),
    )
    now["announced"][told] = states
    # Replaced whole, which is faster than updating each row.
    await db.execute("DELETE FROM rank_board")
    await rank_tables.write_board(db, now)
    # Where it stood a moment ago, which is not where it stood when it last moved.
    for name, column in _places(was).items():
        was[name] = column
    await rank_tables.write_history(
        db,
        rank_tables.Changes(
            np.full(int(moved.sum()), position),
            now["id"][moved],
            was[moved],
            now[moved],
            announce[moved],
        ),
    )
    return now


def _places(ranks: rank_tables.Ranks) -> dict[str, Ints]:
    place = np.zeros(len(ranks), np.int32)
    band = np.zeros(len(ranks), np.int32)
    for number in range(len(KINDS)):
        listed = np.flatnonzero((ranks["kind"] == number) & ranks["listed"])
        # They are by id already, and a stable sort keeps equal standings so.
        order = listed[np.argsort(-ranks["standing"][listed], kind="stable")]
        place[order] = np.arange(1, len(order) + 1, dtype=np.int32)
        lows = np.sort(ranks["low"][listed])
        above = np.searchsorted(lows, ranks["high"][listed], side="right")
        band[listed] = 1 + len(lows) - above
    return {"place": place, "band": band}
