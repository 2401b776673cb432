"""The digest chain computed a second time, from its description alone.

Link n is SHA-256 of link n-1 followed by leaf n; link 0 is SHA-256 of "matchgraph". A leaf is
SHA-256 of: a zero byte; position and microseconds since 1970, 8 bytes each, big-endian; the
aggregate's id, 16 bytes; its version, 8 bytes; topic, actor, request id and idempotency key, each
in UTF-8 after its length in 4 bytes (a key that is absent has the length -1); the state as it is.
"""

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import asyncpg

from matchgraph.eventstore.connection import Connection, Pool

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def leaf(row: asyncpg.Record) -> bytes:
    microseconds = (row["recorded_at"] - EPOCH) // timedelta(microseconds=1)
    said = b"\0" + struct.pack(">qq", row["position"], microseconds)
    said += row["originator_id"].bytes + struct.pack(">q", row["originator_version"])
    for name in ("topic", "actor", "request_id", "idempotency_key"):
        if row[name] is None:
            said += struct.pack(">i", -1)
        else:
            encoded = row[name].encode()
            said += struct.pack(">i", len(encoded)) + encoded
    return hashlib.sha256(said + row["state"]).digest()


async def verified(db: Connection | Pool) -> int:
    """The length of the log, after checking that its positions have no gap, that time follows
    them and that every digest is what it must be."""
    link = hashlib.sha256(b"matchgraph").digest()
    length, before = 0, EPOCH
    for row in await db.fetch("SELECT * FROM event ORDER BY position"):
        length += 1
        assert row["position"] == length, f"a gap at {length}"
        assert row["recorded_at"] >= before, f"time goes back at {length}"
        before = row["recorded_at"]
        link = hashlib.sha256(link + leaf(row)).digest()
        assert row["digest"] == link, f"the chain breaks at {length}"
    return length
