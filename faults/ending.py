"""The end of a process that is told to, errors without number, and releases that do not fit."""

import asyncio

import httpx

from faults.frame import Broken, fault
from faults.system import Program, Run
from matchgraph.eventstore.connection import connect

# Units: seconds, bytes.
LONGEST_END = 10.0
MOST_LOGGED = 1_000_000
QUERY = "{ artifacts(first: 1) { nodes { startingPrice { amount } } } }"

STORM = """query Storm($text: String!) { search(need: {text: $text}) { found }
  likelyDuplicates(first: 1) { nodes { confidence } } }"""


@fault("terminate")
async def terminate(run: Run) -> None:
    """SIGTERM with open sockets and a running query"""
    longest = 0.0
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(10, 10)
            told = sum(catalog.followers[0].closed.values())
            blocking = await connect(catalog.url, "blocker")
            async with httpx.AsyncClient(base_url=catalog.address, timeout=60) as http:
                await blocking.execute("BEGIN; LOCK TABLE price_current IN ACCESS EXCLUSIVE MODE")
                running = asyncio.create_task(http.post("/graphql", json={"query": QUERY}))
                await asyncio.sleep(0.3)
                took = await catalog.api.end(patience=30)
                await asyncio.gather(running, return_exceptions=True)
            await blocking.close()
            longest = max(longest, took)
            if took > LONGEST_END:
                raise Broken(f"it took {took:.1f} s to end")
            with run.seen.recovery(goal=5):
                await catalog.api.start()
                await catalog.load.more(1, 1)
            closed = catalog.followers[0].closed
            if sum(closed.values()) == told or set(closed) - {1001, 1012}:
                raise Broken(f"sockets were closed with {dict(closed)}")
    run.note(f"over within {longest:.1f} s (goal 10 s), sockets closed with 1012 or 1001")


@fault("error-storm", times=3)
async def error_storm(run: Run) -> None:
    """Every request fails, a thousand of them"""
    requests = 200 if run.small else 1_000
    secret = "the private words of somebody"
    async with run.catalog() as catalog:
        for _ in run.injections():
            await catalog.load.more(5, 5)
            before = len(catalog.api.said())
            async with catalog.database() as db:
                await db.execute("ALTER TABLE told_apart RENAME TO away")
                try:
                    failed = await asyncio.gather(
                        *(
                            catalog.fails(STORM, text=secret, times=requests // 10)
                            for _ in range(10)
                        )
                    )
                finally:
                    await db.execute("ALTER TABLE away RENAME TO told_apart")
            said = catalog.api.said()[before:]
            if not all(failed):
                raise Broken("a request did not fail, so nothing was shown")
            if secret in said or any(key in said for key in catalog.keys):
                raise Broken("the log has a key, or what somebody wrote")
            if not said or len(said) > MOST_LOGGED:
                raise Broken(f"the log grew by {len(said):,} characters")
            run.note(f"{requests:,} requests, {len(said) // 1000:,} kB of log")
            with run.seen.recovery(goal=5):
                await catalog.load.more(1, 1)


@fault("unmigrated", times=3)
async def unmigrated(run: Run) -> None:
    """A projector on a database that nobody migrated"""
    for _ in run.injections():
        async with run.system.database(template="template0") as url:
            environment = {"DATABASE_URL": url, "REDIS_URL": run.system.valkey.url}
            environment |= {"MATCHGRAPH_DATA": str(run.folder / "data")}
            projector = Program(run.folder, "projector", ["project"], environment)
            await projector.start()
            await projector.over()
            if projector.ended == 0 or "matchgraph migrate" not in projector.said():
                raise Broken(f"it did not refuse to start: {projector.said()[-300:]}")
    run.note("refuses to start, and says what to do")
