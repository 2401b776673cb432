"""Connections to Redis, as every part of matchgraph opens them, and what all keys there begin with.

What does not answer in time is away, and whoever asked knows what to do without it.
"""

import asyncio

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from matchgraph.eventstore.connection import Fetches

# How a client says that Redis is away. uvloop calls a line that the other end closed while it was
# being opened a RuntimeError.
REDIS_AWAY = (RedisError, OSError, RuntimeError)
# Units: seconds.
PATIENCE = 10.0
# What tells one log from others in the same Redis; no row while it is empty.
HISTORY = "SELECT left(encode(digest, 'hex'), 12) AS history FROM event WHERE position = 1"


def open_client(url: str, *, patience: float = 0.2, connections: int = 32) -> "redis.Redis":
    """A client that tries everything once. Units: `patience` in seconds, for connecting and for
    each reply."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=patience,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


async def history(db: Fetches) -> str | None:
    """What tells this log from others in one Redis; None while it is empty. Raises: one of LOST."""
    async with asyncio.timeout(PATIENCE):  # a peer that vanished says nothing
        rows = await db.fetch(HISTORY)
    return rows[0]["history"] if rows else None
