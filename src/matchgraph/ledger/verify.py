"""Goes over the log and says where, if anywhere, it is not what was recorded.

For the command `verify`, for the watch beside the projector, and for tests. All of it is read at
one moment, so that others may append meanwhile. A long log is split among processes, because Python
hashes small texts one at a time: each goes over a range of its own on a connection of its own.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from matchgraph.eventstore.connection import Connection, connect
from matchgraph.ledger import standing, store
from matchgraph.ledger.acknowledgement import Acknowledgement
from matchgraph.ledger.chain import COLUMNS, START, Check, Place, Problem, microseconds, missing
from matchgraph.ledger.head import BadHead, Head

# Units: events. Read with one COPY; after each, whoever waits hears how far it has come.
PAGE = 20_000
# Units: events. Below that, processes take longer to start than they save.
WORTH_PROCESSES = 500_000
MOST_PROCESSES = 16

Progress = Callable[[int, int], None]

# Versions of one aggregate run from 1 without gaps; they are unique, so counting them is enough.
_GAPS = """
SELECT originator_id FROM event GROUP BY originator_id
HAVING count(*) <> max(originator_version) OR min(originator_version) <> 1 LIMIT 1
"""
_GAP = """
SELECT position, originator_version FROM (
  SELECT position, originator_version,
    row_number() OVER (PARTITION BY originator_id ORDER BY originator_version) AS n
  FROM event WHERE originator_id IN (
    SELECT originator_id FROM event GROUP BY originator_id
    HAVING count(*) <> max(originator_version) OR min(originator_version) <> 1
  )
) AS numbered WHERE originator_version <> n ORDER BY position LIMIT 1
"""
# The same for the events of a range, each looked up in the index: also in the order of positions.
_GAP_AMONG = """
SELECT e.position, e.originator_version FROM event e
WHERE e.position > $1 AND e.position <= $2 AND e.originator_version <> 1 AND NOT EXISTS (
  SELECT FROM event b WHERE b.originator_id = e.originator_id
  AND b.originator_version = e.originator_version - 1 AND b.position < e.position
) ORDER BY e.position LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a verification.

    Units: `size` in bytes that were hashed. `position` and `digest` are how far the chain holds in
        itself; `heads` counts the signed heads that agree with it. Where breaks are `acknowledged`,
        that is since the last of them, and all before is as it stood then.
    """

    events: int
    size: int
    position: int
    digest: bytes
    heads: int = 0
    problem: Problem | None = None
    acknowledged: tuple[Acknowledgement, ...] = ()


async def verify_chain(
    url: str,
    *,
    head: Head | None = None,
    processes: int | None = None,
    on_progress: Progress = lambda *_: None,
) -> Verified:
    """Goes over the whole log, as it is at one moment.

    Without `processes`, as many work as there are processors, where there is enough to do. `head`
    is one that was kept elsewhere: it finds what the log itself cannot show, that its tail was cut
    off or that all of it was written anew. `on_progress` hears how many events of how many are
    done. Raises: BadHead, one of LOST.
    """
    db = await connect(url, "verify")
    try:
        async with db.transaction(isolation="repeatable_read", readonly=True):
            end = await db.fetchval("SELECT coalesce(max(position), 0) FROM event")
            count = processes or (min(_cpus(), MOST_PROCESSES) if end >= WORTH_PROCESSES else 1)
            known = await standing.known(db)
            after = known.place.position
            if count == 1 or end == after or known.problem is not None:
                return await _verified(db, known, end, head, on_progress)
            snapshot = await db.fetchval("SELECT pg_export_snapshot()")
            found = await _split(url, snapshot, after, end, count, on_progress)
            return await _compared(db, known, end, found, head)
    finally:
        await db.close()


async def verify_log(
    db: Connection, *, head: Head | None = None, on_progress: Progress = lambda *_: None
) -> Verified:
    """The same on one connection, in the transaction that it is in. Raises: BadHead, one of
    LOST."""
    end = await db.fetchval("SELECT coalesce(max(position), 0) FROM event")
    return await _verified(db, await standing.known(db), end, head, on_progress)


async def _verified(
    db: Connection, known: standing.Known, end: int, head: Head | None, on_progress: Progress
) -> Verified:
    if known.problem is None:
        found = await verify_range(db, known.place, end, on_progress)
    else:
        found = Verified(0, 0, 0, START.digest, problem=known.problem)
    return await _compared(db, known, end, found, head)


async def verify_range(
    db: Connection,
    after: Place,
    upto: int,
    on_progress: Progress = lambda *_: None,
    leaves: Callable[[bytes], object] | None = None,
) -> Verified:
    """Goes over the chain alone, from a place that is known to be right. Raises: one of LOST."""
    check = Check(after, leaves)

    async def feed(chunk: bytes) -> None:
        check.feed(chunk)

    for first in range(after.position, upto, PAGE):
        last = min(first + PAGE, upto)
        await db.copy_from_query(
            f"SELECT {COLUMNS} FROM event WHERE position > {first:d} AND position <= {last:d}"
            " ORDER BY position",
            output=feed,
            format="binary",
        )
        check.end(last)
        if check.problem is not None:
            break
        on_progress(last - after.position, upto - after.position)
    place = check.place
    return Verified(check.events, check.size, place.position, place.digest, problem=check.problem)


async def gap_among(db: Connection, after: int, upto: int) -> Problem | None:
    """The first event of a range before which its aggregate's history has a hole."""
    row = await db.fetchrow(_GAP_AMONG, after, upto)
    return None if row is None else _hole(row["position"], row["originator_version"])


def _hole(position: int, version: int) -> Problem:
    return Problem(
        position,
        f"event {position} has version {version} of its aggregate, and the version before it does"
        " not come before",
    )


async def _compared(
    db: Connection, known: standing.Known, end: int, found: Verified, head: Head | None
) -> Verified:
    """What was found, and whether it is also what was signed; the chain alone cannot tell."""
    found = replace(found, acknowledged=known.all)
    if head is not None:
        head.check(await store.keys(db))
    if found.problem is not None:
        return found
    first = await db.fetchval("SELECT min(position) FROM event")
    if first is not None and first < 1:
        problem: Problem | None = Problem(first, f"event {first} stands before the first one")
        return replace(found, problem=problem)
    heads, problem = await _heads(db, known, end, head)
    if problem is None and known.all:
        problem = await gap_among(db, known.place.position, end)
    elif problem is None and await db.fetchval(_GAPS) is not None:
        row = await db.fetchrow(_GAP)
        assert row is not None, "there is a gap in the same snapshot"
        problem = _hole(row["position"], row["originator_version"])
    return replace(found, heads=heads, problem=problem)


async def _heads(
    db: Connection, known: standing.Known, end: int, outside: Head | None
) -> tuple[int, Problem | None]:
    """How many signed heads agree with the log, and the first thing that none of them allows."""
    keys = await store.keys(db)
    furthest = outside.position if outside is not None else 0
    names = {None, *(one.digest for one in known.all)}
    async for head in store.every(db):
        if head.acknowledged not in names:
            what = f"the head of position {head.position} names an acknowledgement that is gone"
            return 0, Problem(head.position, what)
        if head.acknowledged != known.digest:
            # Of before the last acknowledgement, and as they were then.
            continue
        try:
            head.check(keys)
        except BadHead as reason:
            return 0, Problem(head.position, str(reason))
        furthest = max(furthest, head.position)
    rows = await db.fetch(
        "SELECT count(*) FILTER (WHERE h.digest = e.digest) AS agree,"
        " min(h.position) FILTER (WHERE h.digest <> e.digest) AS broken"
        " FROM ledger_head_in_force h JOIN event e USING (position)"
    )
    agree, broken = rows[0]["agree"], rows[0]["broken"]
    if outside is not None and outside.position <= end:
        digest = await db.fetchval("SELECT digest FROM event WHERE position = $1", outside.position)
        if digest == outside.digest:
            agree += 1
        else:
            broken = min(outside.position, broken or outside.position)
    if broken is not None:
        before = await db.fetchval(
            "SELECT coalesce(max(h.position), $2) FROM ledger_head_in_force h"
            " JOIN event e USING (position) WHERE h.position < $1 AND h.digest = e.digest",
            broken,
            # Of what is acknowledged an older head may say something else again.
            min(known.place.position, broken - 1),
        )
        which = (
            f"event {broken} is"
            if before + 1 == broken
            else f"one of the events {before + 1} to {broken} is"
        )
        return agree, Problem(
            before + 1,
            f"{which} not what was signed: the head of position {broken} has another digest, so"
            " somebody computed the chain anew",
        )
    if furthest > end:
        gone = missing(end + 1, furthest)
        return agree, Problem(
            end + 1,
            f"{gone}: the log ends at event {end}, and a head of position {furthest} was signed",
        )
    return agree, None


# Processes.


class Task(msgspec.Struct):
    """One range for a process to go over."""

    url: str
    snapshot: str
    after: int
    upto: int


class Answer(msgspec.Struct):
    """How far a process has come in its range, and what it found in the end."""

    done: int
    found: Verified | None = None
    lost: str | None = None


async def verify_task(task: Task, on_progress: Progress) -> Verified:
    """Goes over a range in a snapshot that another connection holds. Raises: one of LOST."""
    db = await connect(task.url, "verify range")
    try:
        async with db.transaction(isolation="repeatable_read", readonly=True):
            # A statement that takes no parameters.
            await db.execute(f"SET TRANSACTION SNAPSHOT {task.snapshot!r}")
            after = await _place(db, task.after)
            if after is None:
                # The range before ends with it and says so.
                return Verified(0, 0, task.after, b"")
            return await verify_range(db, after, task.upto, on_progress)
    finally:
        await db.close()


async def _place(db: Connection, position: int) -> Place | None:
    """What the log says of a position; whether that is right, who comes up to it finds."""
    if position == 0:
        return START
    row = await db.fetchrow("SELECT digest, recorded_at FROM event WHERE position = $1", position)
    if row is None:
        return None
    return Place(position, row["digest"], microseconds(row["recorded_at"]))


async def _split(
    url: str, snapshot: str, after: int, end: int, count: int, on_progress: Progress
) -> Verified:
    """Goes over the chain in several processes. Raises: one of LOST."""
    size = -(-(end - after) // (count * 4))
    waiting = deque((first, min(first + size, end)) for first in range(after, end, size))
    found: dict[int, Verified] = {}
    under_way: dict[int, int] = {}

    async def work() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "matchgraph.ledger.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        try:
            # What comes after a range with a problem nobody needs to know.
            while waiting and not any(one.problem for one in found.values()):
                first, last = waiting.popleft()
                task = Task(url=url, snapshot=snapshot, after=first, upto=last)
                process.stdin.write(msgspec.json.encode(task) + b"\n")
                while first not in found:
                    line = await process.stdout.readline()
                    if not line:
                        raise ConnectionError("a process that verifies has died")
                    answer = msgspec.json.decode(line, type=Answer)
                    if answer.lost is not None:
                        raise ConnectionError(answer.lost)
                    under_way[first] = answer.done
                    on_progress(sum(under_way.values()), end - after)
                    if answer.found is not None:
                        found[first] = answer.found
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(count, len(waiting))):
                group.create_task(work())
    except BaseExceptionGroup as reasons:
        raise reasons.exceptions[0] from None
    return _joined([found[first] for first in sorted(found)])


def _joined(ranges: Sequence[Verified]) -> Verified:
    """What ranges that follow each other say together: they are taken in order, so each but the
    last is whole."""
    events = size = 0
    for one in ranges:
        events, size = events + one.events, size + one.size
        if one.problem is not None:
            break
    return replace(one, events=events, size=size)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
