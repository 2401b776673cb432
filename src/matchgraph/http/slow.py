"""Slow operations in the log, with the plan of the statement that took longest."""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from secrets import token_hex
from typing import Any

import asyncpg

from matchgraph.eventstore.connection import FULL, LOST, Pool
from matchgraph.observe.operation import POSTGRESQL, Done, Operation

log = logging.getLogger(__name__)

# Units: seconds. So long a plan holds for, and so long a statement may be planned.
PLAN_EVERY = 60.0
PATIENCE = 2.0
MOST_SHOWN = 10
MOST_PLANS = 500
# Units: characters.
LONGEST_SQL, LONGEST_PLAN = 2_000, 8_000
PARAMETER = re.compile(r"\$(\d+)")


class SlowOperations:
    """Logs an operation that took long: what it was, what it waited for, and how PostgreSQL goes
    about the statement that took longest.

    The plan is the one for any parameters, made afterwards: it has no parameters in it, which may
    be what somebody searches for. Each statement is planned once a minute at most, one at a time,
    so that a database which is slow is not asked more for it.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        """The pools by what their connections are for, as `Done.purpose` has it."""
        self._pools = pools
        self._plans: dict[tuple[str, str], tuple[float, str | None]] = {}
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, operation: Operation, seconds: float) -> None:
        """Has it logged soon; nobody waits for that."""
        task = asyncio.create_task(self._log(operation, seconds), name="slow operation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Logs what is left, for a moment."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        for task in self._tasks:
            task.cancel()

    async def _log(self, operation: Operation, seconds: float) -> None:
        steps = sorted(operation.steps, key=lambda done: -done.seconds)
        slowest = next((done for done in steps if _is_read(done)), None)
        fields: dict[str, Any] = {
            "request_id": operation.request_id,
            "type": operation.kind,
            "operation": operation.name,
            "actor": operation.actor,
            "trace_id": operation.trace_id,
            "ms": round(seconds * 1000, 3),
            "cost": operation.cost,
            "outcome": operation.outcome,
            "waited_ms": {
                system: round(waited * 1000, 3) for system, waited in operation.waited.items()
            },
            "steps": [
                {
                    "system": done.system,
                    "ms": round(done.seconds * 1000, 3),
                    "text": _in_one_line(done.text),
                }
                for done in steps[:MOST_SHOWN]
            ],
        }
        if slowest is not None:
            fields["plan"] = await self._plan(slowest)
        log.warning("slow operation", extra={"fields": fields})

    async def _plan(self, done: Done) -> str | None:
        """How the statement is carried out, or why nobody knows."""
        pool = self._pools.get(done.purpose)
        key = done.purpose, done.text
        async with self._turn:
            at, plan = self._plans.get(key, (0.0, None))
            if pool is not None and (plan is None or time.monotonic() - at > PLAN_EVERY):
                try:
                    async with asyncio.timeout(PATIENCE):
                        plan = await _planned(pool, done.text)
                except (asyncpg.PostgresError, *LOST, *FULL) as reason:
                    plan = f"unknown: {type(reason).__name__}"
                if len(self._plans) >= MOST_PLANS:
                    self._plans.clear()
                self._plans[key] = time.monotonic(), plan
        return plan


def _is_read(done: Done) -> bool:
    """Whether that was a statement which has a plan worth looking at."""
    return done.system == POSTGRESQL and done.text.lstrip("( \n").startswith(("SELECT", "WITH"))


async def _planned(pool: Pool, statement: str) -> str:
    """The plan of a statement for any parameters."""
    count = max(map(int, PARAMETER.findall(statement)), default=0)
    nulls = f"({', '.join(['NULL'] * count)})" if count else ""
    name = f"slow_{token_hex(8)}"
    async with pool.acquire() as db:
        try:
            async with db.transaction(readonly=True):
                # Views as of a position are planned with one.
                await db.execute(
                    "SET LOCAL plan_cache_mode = force_generic_plan;"
                    " SET LOCAL matchgraph.position = '1'"
                )
                await db.execute(f"PREPARE {name} AS {statement}")
                rows = await db.fetch(f"EXPLAIN EXECUTE {name}{nulls}")
        finally:
            with suppress(asyncpg.PostgresError):  # which says that there is none
                await db.execute(f"DEALLOCATE {name}")
    return "\n".join(row[0] for row in rows)[:LONGEST_PLAN]


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_SQL]
