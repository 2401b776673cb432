"""Many who write the same, at once and later."""

import asyncio
import sys

import httpx

from bench.history import Supply
from faults.frame import Broken, fault, until
from faults.load import REGISTER, Account, Api
from faults.system import BY, SOURCES, Run
from matchgraph.eventstore.errors import Conflict
from matchgraph.eventstore.store import open_store


@fault("same-command", times=50)
async def same_command(run: Run) -> None:
    """The same command sent five times at once, to two APIs, and again after both began anew"""
    sent: dict[str, int] = {}
    account = Account()
    async with run.catalog() as catalog, httpx.AsyncClient(timeout=40) as http:
        async with catalog.another() as other:
            apis = [
                Api(http, catalog.keys[0], account, address=one) for one in (catalog.address, other)
            ]

            async def send(name: str, api: Api) -> int:
                data, code = await api.ask(REGISTER, slug=name, kind="MODEL", key=name)
                if data is None or "position" not in data["done"]:
                    raise Broken(f"{name} sent again: {code or data}")
                return int(data["done"]["position"])

            for number in run.injections():
                name = f"same-{number}"
                positions = await asyncio.gather(*(send(name, apis[n % 2]) for n in range(5)))
                if len(set(positions)) > 1:
                    raise Broken(f"{name} is said to be at {sorted(set(positions))}")
                sent[name] = positions[0]
        await catalog.api.end()
        await catalog.api.start()
        await catalog.serving()
        for name, position in sent.items():
            if await send(name, apis[0]) != position:
                raise Broken(f"{name} has another position when it is sent later")
        catalog.load.account.acknowledged.update(sent)


@fault("same-version", times=200, few=20)
async def same_version(run: Run) -> None:
    """Two processes append to the same version of one aggregate"""
    async with run.system.database() as url, open_store(url) as one, open_store(url) as other:
        supply = Supply(artifacts=1, observations=2)
        for _ in run.injections():
            (event,) = supply(1)
            found = await asyncio.gather(
                one.append_stored([event], BY),
                other.append_stored([event], BY),
                return_exceptions=True,
            )
            won = [reached for reached in found if isinstance(reached, int)]
            lost = [reason for reason in found if isinstance(reason, Conflict)]
            if len(won) != 1 or len(lost) != 1:
                raise Broken(f"two writers were told {found}")
            run.seen.acknowledged += 1
            if await one.head() != run.seen.acknowledged:
                raise Broken("the log has a fork or a gap")
    run.seen.checked = ["log"]


@fault("tail", times=1)
async def tail(run: Run) -> None:
    """8 processes write, one reads behind them"""
    processes, each = 8, 500 if run.small else 12_500
    async with run.system.database() as url, open_store(url) as store:
        heard: list[int] = []

        async def follow() -> None:
            async for page in store.follow(0):
                heard.extend(recorded.position for recorded in page)

        following = asyncio.create_task(follow())
        writers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "faults.writer", url, str(each)),
                env={"PYTHONPATH": SOURCES},
            )
            for _ in range(processes)
        ]
        for writer in writers:
            if await writer.wait() != 0:
                raise Broken("a writer failed")
        run.seen.injected = 1
        run.seen.acknowledged = processes * each

        async def all_there() -> bool:
            return len(heard) >= processes * each

        await until(all_there, "the reader to have read everything")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if heard != list(range(1, processes * each + 1)):
            raise Broken("the reader skipped an event, or read one twice or out of order")
    run.note(f"{processes * each:,} events, each read once and in order")
    run.seen.checked = ["log"]
