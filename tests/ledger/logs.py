"""Logs to verify and to tamper with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from matchgraph.eventstore.connection import Fetches
from matchgraph.eventstore.store import Request, Store
from tests.eventstore.histories import rich

KEYED = "key-"
# The private key of RFC 8032, 7.1, test 1, in base64.
KEY = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="


async def filled(store: Store, artifacts: int = 8) -> int:
    """Commands of every sort in the log, every other one with an idempotency key; returns the
    last position."""
    last = 0
    for number, command in enumerate(rich(artifacts)):
        key = f"{KEYED}{number}" if number % 2 else None
        last = await store.append_stored(
            command,
            Request(actor=f"Änn {number % 3}", request_id=f"r{number}", idempotency_key=key),
        )
    return last


@asynccontextmanager
async def tampering(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser who has put everything out of the way that guards the log."""
    db = await asyncpg.connect(url)
    try:
        # No triggers, and no constraint that would only come too early or too late.
        await db.execute("SET session_replication_role = replica")
        yield db
    finally:
        await db.close()


async def rechained(db: asyncpg.Connection, first: int) -> None:
    """Computes every digest anew from that position on, as somebody would who knows how."""
    await db.execute(
        """
        WITH RECURSIVE chain AS (
          SELECT $1::bigint - 1 AS position, coalesce(
            (SELECT digest FROM event WHERE position = $1 - 1), sha256('matchgraph')) AS digest
          UNION ALL
          SELECT e.position, sha256(c.digest || event_leaf(
            e.position, (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.originator_id,
            e.originator_version, e.topic, e.actor, e.request_id, e.idempotency_key, e.state))
          FROM chain c JOIN event e ON e.position = c.position + 1
        )
        UPDATE event e SET digest = c.digest FROM chain c
        WHERE e.position = c.position AND e.position >= $1
        """,
        first,
    )


async def leaves(db: Fetches) -> list[bytes]:
    """The leaf of every event, as the database's own function computes it."""
    rows = await db.fetch(
        "SELECT event_leaf(position, (extract(epoch FROM recorded_at) * 1000000)::bigint,"
        " originator_id, originator_version, topic, actor, request_id, idempotency_key, state)"
        " AS leaf FROM event ORDER BY position"
    )
    return [row["leaf"] for row in rows]
