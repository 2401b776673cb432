"""What must hold after every fault: what was acknowledged is in the log once, the log is what was
recorded, and the read models are what a fresh replay of it gives."""

from contextlib import aclosing
from itertools import takewhile

import asyncpg
import redis.asyncio as redis

from faults.boards import agree
from faults.frame import Broken, until
from faults.load import Account, Follower
from matchgraph.eventstore.connection import connect
from matchgraph.ledger.verify import verify_chain
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.changes import CatalogTopic
from matchgraph.projections.redis_client import open_client
from matchgraph.projections.replay import verify

# What those who follow from a position on have to have heard, in order.
CATALOG = f"""SELECT position FROM event WHERE position > $1
  AND topic IN ({", ".join(f"'{topic}'" for topic in CatalogTopic)}) ORDER BY position"""
RANKS = """SELECT position FROM rank_history
  WHERE position > $1 ORDER BY position, artifact_id"""


async def acknowledged(url: str, account: Account) -> None:
    """What was acknowledged is in the log once and where it was said to be; what was refused is
    not. Raises: Broken."""
    db = await asyncpg.connect(url)
    try:
        rows = await db.fetch(
            "SELECT idempotency_key AS name, count(*) AS events, max(position) AS position"
            " FROM event WHERE idempotency_key IS NOT NULL GROUP BY 1"
        )
        searches = {
            str(row[0])
            for row in await db.fetch(
                "SELECT originator_id FROM event WHERE topic = 'search.answered'"
            )
        }
    finally:
        await db.close()
    last = {row["name"]: row["position"] for row in rows}
    for name, position in account.acknowledged.items():
        if last.get(name) != position:
            raise Broken(f"{name} was acknowledged at {position} and is at {last.get(name)}")
    if doubled := [row["name"] for row in rows if row["events"] != 1]:
        raise Broken(f"doubled: {doubled}")
    if false := {name: account.refused[name] for name in account.refused.keys() & last.keys()}:
        raise Broken(f"said to have failed, and in the log: {false}")
    if unheard := set(last) - set(account.acknowledged):
        raise Broken(f"in the log, and nobody was told: {sorted(unheard)}")
    if lost := account.searches - searches:
        raise Broken(f"searches said to be recorded, which are not: {sorted(lost)}")


async def whole(url: str) -> None:
    """The log is what was recorded, without a gap. Raises: Broken."""
    found = await verify_chain(url)
    if found.problem is not None or found.events != found.position:
        raise Broken(f"the log does not verify: {found.problem or found}")


async def replayed(url: str) -> None:
    """The read models are what a fresh replay gives. Raises: Broken."""
    async with aclosing(verify(url, PROJECTIONS)) as models:
        async for model in models:
            if not model.agrees:
                raise Broken(f"{model.held.name} differs from a replay: {model.differences[:3]}")


async def boards(url: str, redis_url: str) -> None:
    """The boards in Redis are those in PostgreSQL, to the byte, soon. Raises: Broken."""
    db = await connect(url, "faults")
    try:
        async with open_client(redis_url, patience=5) as client:

            async def there() -> bool:
                try:
                    return await agree(db, client)
                except (redis.RedisError, OSError, KeyError):
                    return False

            await until(there, "the boards in Redis to be those in PostgreSQL")
    finally:
        await db.close()


async def heard(url: str, follower: Follower, query: str) -> int:
    """Who followed what changes has heard of each change once, in order; returns of how many.
    Raises: Broken."""
    db = await connect(url, "faults")
    try:
        expected = [row[0] for row in await db.fetch(query, follower.after)]
    finally:
        await db.close()

    async def all_there() -> bool:
        return len(follower.heard) >= len(expected) or bool(follower.wrong)

    await until(all_there, f"{len(expected)} changes, of which {len(follower.heard)} were heard")
    if follower.wrong:
        raise Broken(follower.wrong[0])
    positions = [position for position, _ in follower.heard]
    if positions != expected:
        pairs = zip(positions, expected, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        raise Broken(
            f"behind {same} changes a follower heard {positions[same : same + 3]} in place of"
            f" {expected[same : same + 3]}"
        )
    return len(expected)
