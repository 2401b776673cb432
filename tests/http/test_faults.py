"""Whatever is killed, and whenever: nothing is lost, nothing is doubled, nothing stays stuck."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import matchgraph
from faults.servers import Valkey
from matchgraph.commands.ranking import adopt_policy
from matchgraph.domain.artifact import Kind
from matchgraph.domain.policy import DEFAULTS
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.redis_client import open_client
from tests.eventstore.histories import until
from tests.graphql.moving import RANKS, Movers, history, projected
from tests.graphql.subscribers import Served, served
from tests.projections.ranks import kept
from tests.projections.tables import BY, checkpoints, contents, rebuilt

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def keeper(*urls: str) -> AsyncIterator[None]:
    """One that is killed when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.http.keeper",
        *urls,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(matchgraph.__file__).parents[1])},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
        assert process.returncode is None, "it was at work until it was killed"
    finally:
        process.kill()
        await process.wait()


async def follow(live: Served, into: list[Any]) -> None:
    """Every change of a rank, from the first on."""
    async with live.socket() as socket:
        await socket.subscribe(RANKS, after="0")
        while True:
            into.append(await socket.change())


async def rank_all_anew(live: Served, number: int) -> None:
    """A policy that moves every artifact at one position; each number's is another one."""
    weights, shift = DEFAULTS[Kind.MODEL], Decimal(number + 1) / 1000
    moved = replace(weights, adoption=weights.adoption + shift, quality=weights.quality - shift)
    await adopt_policy(live.store, BY, [moved])


async def test_killed_again_and_again_whoever_keeps_ranks_leaves_nothing_out(
    url: str, valkey: Valkey
) -> None:
    choices = random.Random(11)
    async with served(url, valkey.url, project=False) as live:
        movers = Movers(live.store, 5)
        await movers.register()
        found: list[Any] = []
        following = asyncio.create_task(follow(live, found))
        before = at_work = 0
        for number in range(20):
            async with keeper(url, valkey.url):
                for _ in range(30):
                    await movers.move(choices.randrange(1_000))
                if number % 3 == 0:
                    await rank_all_anew(live, number)
                if number % 5 == 2:
                    await live.app.state.redis.flushall()

                async def gone_on(since: int = before) -> bool:
                    return min((await checkpoints(url)).values()) > since

                await until(gone_on)
                loading = asyncio.create_task(move_on(movers, 150))
                await asyncio.sleep(choices.random() / 10)
            await loading
            before = min((await checkpoints(url)).values())
            at_work += before < await live.store.head()
        assert at_work > 10, "most of them were killed while they were at work"
        # Two at once, one of which stands by.
        async with keeper(url, valkey.url), keeper(url, valkey.url):
            await projected(live.pool, await live.store.head())
            everything = await history(live.pool)

            async def all_there() -> bool:
                assert not following.done(), following.exception()
                return len(found) >= len(everything)

            await until(all_there)
            await stop(following)
            assert [(one["position"], one["slug"]) for one in found] == everything
            db = await connect(url, "test")
            async with open_client(valkey.url, patience=2) as client:
                await kept(db, client)
            await db.close()
    held = await contents(url)
    assert await rebuilt(url) == held


async def move_on(movers: Movers, times: int) -> None:
    for number in range(times):
        await movers.move(number)
