"""Whether the boards in Redis are those in PostgreSQL, to the byte."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import redis.asyncio as redis

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.rank_cache import ALL, GROUPS, card, keys, member
from matchgraph.projections.ranked import COLUMNS, TABLES, Ranked, ranked_of

Boards = dict[str, dict[UUID, Ranked]]


async def history_of(db: Connection) -> str:
    """What the keys of this history begin with."""
    digest: str = await db.fetchval("SELECT encode(digest, 'hex') FROM event WHERE position = 1")
    return digest[:12]


async def in_postgres(db: Connection) -> Boards:
    """What each board has to hold."""
    boards: Boards = {group: {} for group in GROUPS}
    for row in await db.fetch(f"SELECT {COLUMNS} FROM {TABLES} WHERE b.place > 0"):
        one = ranked_of(row)
        boards[ALL][one.artifact_id] = boards[one.kind][one.artifact_id] = one
    return boards


async def agree(db: Connection, client: "redis.Redis") -> bool:
    """Whether all that is in Redis is exactly what PostgreSQL has, at its position."""
    try:
        return await _agree(db, client)
    except redis.ResponseError:  # a key is not of its type
        return False


async def _agree(db: Connection, client: "redis.Redis") -> bool:
    history, wanted = await history_of(db), await in_postgres(db)
    events: dict[Any, bytes] = {
        str(position).encode(): digest.encode()
        for position, digest in await db.fetch("SELECT position, encode(digest, 'hex') FROM event")
    }
    reached = await db.fetchval(
        "SELECT position FROM projection_checkpoint WHERE name = 'rank_board'"
    )
    confirmed = await client.hgetall(f"matchgraph:{history}:position")
    if confirmed.get(b"position") != str(reached).encode():
        return False
    for group, rows in wanted.items():
        board, lows, cards, meta = keys(history, group)
        said = await client.hgetall(meta)
        if not said or confirmed.get(group.encode()) != said[b"position"]:
            return False
        if said[b"digest"] != events[said[b"position"]]:
            return False
        held = (
            await client.zrange(board, 0, -1),
            await client.zrange(lows, 0, -1),
            await client.hgetall(cards),
            said[b"count"],
        )
        if held != _as_held(rows.values()):
            return False
    left = [key async for key in client.scan_iter(f"matchgraph:{history}:*", count=1000)]
    return len(left) <= 1 + 4 * len(GROUPS)


def _as_held(rows: Iterable[Ranked]) -> tuple[Any, ...]:
    rows = list(rows)
    return (
        sorted(member(row.standing, row.artifact_id).encode() for row in rows),
        sorted(member(row.low, row.artifact_id).encode() for row in rows),
        {row.artifact_id.hex.encode(): card_of(row) for row in rows},
        str(len(rows)).encode(),
    )


def card_of(row: Ranked) -> bytes:
    """An artifact's card."""
    return card([getattr(row, name) for name in Ranked.__slots__[1:]])
