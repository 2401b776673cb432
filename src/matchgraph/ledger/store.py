"""The tables of the ledger: signed heads, public keys, and the nodes of the Merkle tree."""

from collections.abc import AsyncIterator, Iterable, Sequence

import asyncpg

from matchgraph.eventstore.connection import Connection, Fetches
from matchgraph.ledger import chain, merkle
from matchgraph.ledger.acknowledgement import Acknowledgement
from matchgraph.ledger.head import Head

# Every so many levels, the complete subtrees are kept in `ledger_node`: 256, 65,536, … leaves.
STEP = 8
# So many heads are read at a time.
PAGE = 1_000

_COLUMNS = "position, digest, root, signed_at, key_id, signature, acknowledged"
_HEADS = f"SELECT {_COLUMNS} FROM ledger_head_in_force"
_SAID = (
    "number, position, what, actor, reason, acknowledged_at, upto, root, link, heads, before,"
    " key_id, signature"
)


class NoProof(Exception):
    """What a proof takes is not there: the tree has not come that far, or history was changed."""


async def newest(db: Fetches, upto: int = (1 << 63) - 1) -> Head | None:
    """The newest signed head, of those up to that position."""
    return _head(
        await db.fetch(f"{_HEADS} WHERE position <= $1 ORDER BY position DESC LIMIT 1", upto)
    )


async def every(db: Fetches) -> AsyncIterator[Head]:
    """Every signed head, whether history is held to it or not: those of before any acknowledgement,
    then those since one or the other, each in the order of positions."""
    behind = 0
    while rows := await db.fetch(
        f"SELECT {_COLUMNS.replace('acknowledged', 'NULL')} FROM ledger_head"
        f" WHERE position > $1 ORDER BY position LIMIT {PAGE}",
        behind,
    ):
        for row in rows:
            yield Head(*row)
        behind = rows[-1]["position"]
    last = (b"", 0)
    while rows := await db.fetch(
        f"SELECT {_COLUMNS} FROM ledger_head_since WHERE (acknowledged, position) > ($1, $2)"
        f" ORDER BY acknowledged, position LIMIT {PAGE}",
        *last,
    ):
        for row in rows:
            yield Head(*row)
        last = rows[-1]["acknowledged"], rows[-1]["position"]


async def covering(db: Fetches, position: int) -> Head | None:
    """The first signed head that includes the event at that position."""
    return _head(
        await db.fetch(f"{_HEADS} WHERE position >= $1 ORDER BY position LIMIT 1", position)
    )


async def among(db: Fetches, first: int, last: int) -> list[tuple[Head, bytes]]:
    """The signed heads of these positions, in order, each with the digest that the log has
    there."""
    rows = await db.fetch(
        "SELECT h.position, h.digest, root, signed_at, key_id, signature, acknowledged,"
        " e.digest AS own FROM ledger_head_in_force h JOIN event e ON e.position = h.position"
        " WHERE h.position >= $1 AND h.position <= $2 ORDER BY h.position",
        first,
        last,
    )
    return [(Head(*columns), own) for *columns, own in rows]


def _head(rows: Sequence[asyncpg.Record]) -> Head | None:
    return Head(*rows[0]) if rows else None


async def keys(db: Fetches) -> dict[str, bytes]:
    """Every public key that heads were signed with, by its id, the newest first."""
    rows = await db.fetch("SELECT id, public_key FROM ledger_key ORDER BY since DESC, id")
    return {row["id"]: row["public_key"] for row in rows}


async def keep_keys(db: Connection, public: Iterable[tuple[str, bytes]]) -> None:
    """Has the public keys there, for those who check."""
    await db.executemany(
        "INSERT INTO ledger_key (id, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        list(public),
    )


async def keep_head(db: Connection, head: Head) -> None:
    """Keeps a head for ever; the first of a position stays."""
    table = "ledger_head" if head.acknowledged is None else "ledger_head_since"
    values = [head.position, head.digest, head.root, head.time, head.key_id, head.signature]
    columns = "position, digest, root, signed_at, key_id, signature"
    if head.acknowledged is not None:
        values, columns = [*values, head.acknowledged], f"{columns}, acknowledged"
    given = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await db.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({given}) ON CONFLICT DO NOTHING", *values
    )


async def acknowledgements(db: Fetches) -> list[Acknowledgement]:
    """Every acknowledgement of a break, the first one first."""
    rows = await db.fetch(f"SELECT {_SAID} FROM ledger_acknowledgement ORDER BY number")
    return [Acknowledgement(*row) for row in rows]


async def keep_acknowledgement(db: Connection, said: Acknowledgement) -> None:
    """Keeps it for ever."""
    await db.execute(
        f"INSERT INTO ledger_acknowledgement ({_SAID}, digest)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        *(getattr(said, name) for name in Acknowledgement.__dataclass_fields__),
        said.digest,
    )


async def keep_nodes(db: Connection, completed: Iterable[tuple[merkle.Node, bytes]]) -> None:
    """Keeps those of the complete subtrees that others are computed from."""
    await db.executemany(
        "INSERT INTO ledger_node (level, index, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [(level, index, found) for (level, index), found in completed if level % STEP == 0],
    )


async def nodes(db: Fetches, wanted: Sequence[merkle.Node]) -> dict[merkle.Node, bytes]:
    """Those of the nodes that are kept."""
    rows = await db.fetch(
        "SELECT level, index, hash FROM ledger_node JOIN unnest($1::int[], $2::bigint[])"
        " AS w (level, index) USING (level, index)",
        [level for level, _ in wanted],
        [index for _, index in wanted],
    )
    return {(row["level"], row["index"]): row["hash"] for row in rows}


async def roots(db: Fetches, spans: Sequence[merkle.Span]) -> list[bytes]:
    """The root of each span, from kept nodes and the leaves that no kept node covers: at most 256
    of a level for each subtree. Raises: NoProof, Unavailable as `db` does."""
    wanted = {node for span in spans for node in merkle.complete(span)}
    found = await _subtrees(db, wanted)
    return merkle.roots(spans, found.__getitem__)


async def _subtrees(db: Fetches, wanted: Iterable[merkle.Node]) -> dict[merkle.Node, bytes]:
    """The hash of each of the complete subtrees."""
    # For each, the nodes of the nearest kept level below it.
    below = {(level, index): level - level % STEP for level, index in wanted}
    levels, firsts, ends = [], [], []
    for (level, index), kept in below.items():
        levels.append(kept)
        firsts.append(index << (level - kept))
        ends.append((index + 1) << (level - kept))
    rows = await db.fetch(
        "SELECT DISTINCT n.level, n.index, n.hash"
        " FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS s (level, first, until)"
        " JOIN ledger_node n ON n.level = s.level AND n.index >= s.first AND n.index < s.until",
        levels,
        firsts,
        ends,
    )
    known = {(row["level"], row["index"]): row["hash"] for row in rows}
    rows = await db.fetch(
        f"SELECT DISTINCT {', '.join('e.' + name for name in chain.COLUMNS.split(', '))}"
        " FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS s (level, first, until)"
        " JOIN event e ON s.level = 0 AND e.position > s.first AND e.position <= s.until",
        levels,
        firsts,
        ends,
    )
    for row in rows:
        known[0, row["position"] - 1] = leaf(row)
    found = {}
    for (level, index), kept in below.items():
        tree = merkle.Frontier()
        try:
            span = range(index << (level - kept), (index + 1) << (level - kept))
            tree.add(
                # What is not there any more has a leaf only where that is acknowledged, else no
                # root comes out that was signed.
                known[kept, n] if kept or (kept, n) in known else chain.gone(n + 1)
                for n in span
            )
        except KeyError as missing:
            raise NoProof(f"the Merkle tree lacks the node {missing}") from None
        found[level, index] = tree.root()
    return found


def leaf(row: asyncpg.Record) -> bytes:
    """The leaf of an event that was read with its COLUMNS."""
    position, recorded_at, *content, _ = row
    return chain.leaf(chain.said(position, chain.microseconds(recorded_at), *content))
