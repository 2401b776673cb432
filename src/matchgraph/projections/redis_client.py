"""Connections to Redis, as every part of matchgraph opens them: what does not answer in time is
away, and whoever asked knows what to do without it."""

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


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
