"""What watches the log beside the projector, without end: it goes over what is appended, grows the
Merkle tree and signs heads; and it goes slowly over the whole history, again and again.

Any number of processes may run one; one of them works. A break is logged and kept in
`ledger_watch`, from where /readyz and /metrics have it; nothing is signed while there is one. It is
looked at again every minute, in case somebody has put history right. Where somebody acknowledged it
instead, all goes on from how history stood then.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from matchgraph.eventstore.connection import FULL, LOST, Connection, Fetches, advisory_lock, connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import APPENDED
from matchgraph.ledger import chain, merkle, standing, store
from matchgraph.ledger.acknowledgement import Acknowledgement
from matchgraph.ledger.chain import Place, Problem
from matchgraph.ledger.head import BadHead, Signer
from matchgraph.ledger.verify import gap_among, verify_range

log = logging.getLogger(__name__)

WATCHING = 7233147820521
NEW, AGAIN = "new", "again"
HASH = 32
# Units: events. What one transaction goes over: whole subtrees of the lowest level that is kept, so
# that those can be compared with what the leaves give.
PAGE = 4 << store.STEP
# Units: seconds.
SIGN_EVERY = 5.0
REST_WHEN_BROKEN = 60.0
REST_AFTER_ROUND = 60.0
# Going over history again rests so many times as long as it worked: 2 % of one core, at which a
# million events take some three minutes.
SLOWER = 50.0


@dataclass
class Course:
    """How far one of the two has come, and whether it stopped at something."""

    name: str
    place: Place
    tree: merkle.Frontier
    rounds: int
    problem: Problem | None
    told: float = field(default=0.0, repr=False)


@dataclass(frozen=True)
class Watched:
    """How far the log is verified and signed, for health and metrics.

    Units: positions; `rounds` counts how often the whole history was gone over since the first,
        `acknowledged` the breaks that somebody knows of.
    """

    verified: int
    signed: int
    again: int
    rounds: int
    broken_at: int | None
    broken_because: str | None
    acknowledged: int


async def watched(db: Fetches) -> Watched:
    """What the watch has found so far. Raises: as `db` does."""
    rows = await db.fetch(
        "SELECT n.position AS verified, a.position AS again, a.rounds,"
        " (SELECT coalesce(max(position), 0) FROM ledger_head_in_force) AS signed,"
        " (SELECT count(*) FROM ledger_acknowledgement) AS acknowledged,"
        " CASE WHEN a.broken_at < n.broken_at OR n.broken_at IS NULL"
        " THEN a.broken_at ELSE n.broken_at END AS broken_at,"
        " CASE WHEN a.broken_at < n.broken_at OR n.broken_at IS NULL"
        " THEN a.broken_because ELSE n.broken_because END AS broken_because"
        " FROM ledger_watch n, ledger_watch a WHERE n.name = 'new' AND a.name = 'again'"
    )
    return Watched(**rows[0])


class Watch:
    """Watches the log. Without a signer it signs nothing."""

    def __init__(
        self,
        url: str,
        listener: Listener,
        signers: Sequence[Signer] = (),
        *,
        sign_every: float = SIGN_EVERY,
        slower: float = SLOWER,
        rest_when_broken: float = REST_WHEN_BROKEN,
        rest_after_round: float = REST_AFTER_ROUND,
    ) -> None:
        """Units: seconds, but `slower`, which is in times the work."""
        self._url = url
        self._listener = listener
        self._signers = signers
        self._sign_every = sign_every
        self._slower = slower
        self._rest_when_broken = rest_when_broken
        self._rest_after_round = rest_after_round
        self.leads = False

    async def run(self) -> None:
        """Works as soon as nobody else does, without end; waits for a database that is away."""
        while True:
            pause = 0.2
            try:
                await self._lead()
            except (*LOST, *FULL) as reason:
                log.warning("the watch over the log lost the database, trying again: %s", reason)
            except Exception:
                # Without this task nobody would notice a break, nor why.
                log.exception("the watch over the log failed, trying again")
                pause = 5.0
            finally:
                self.leads = False
            await asyncio.sleep(pause)

    async def _lead(self) -> None:
        # What a crash takes is gone over again. A page is a range of an index and look-ups in
        # others; a plan made while the log was small would read all of it for every page.
        db = await connect(
            self._url,
            "ledger watch",
            synchronous_commit="off",
            enable_seqscan="off",
            enable_hashjoin="off",
            enable_mergejoin="off",
        )
        try:
            # Waits in line; goes with the connection, without which nothing can be written.
            await advisory_lock(db, WATCHING)
            self.leads = True
            # The oldest first, so that the newest is the latest one.
            await store.keep_keys(db, [(o.id, o.public_key) for o in reversed(self._signers)])
            await self._watch(db)
        finally:
            db.terminate()

    async def _watch(self, db: Connection) -> None:
        acknowledged, signed = -1, 0
        async with self._listener.wakes(APPENDED) as wakes:
            while True:
                more = False
                # Whoever acknowledges a break has both courses begin anew.
                await db.execute("SELECT pg_advisory_lock_shared($1)", standing.ACKNOWLEDGING)
                found = await store.acknowledgements(db)
                if len(found) != acknowledged:
                    for one in found:
                        log.warning("It is known that %s", one)
                    new, again = await course(db, NEW), await course(db, AGAIN)
                    follow_at = sign_at = again_at = time.monotonic()
                    acknowledged, signed = len(found), 0
                if time.monotonic() >= follow_at:
                    more = await self.follow(db, new)
                    rest = self._rest_when_broken if new.problem else 0
                    follow_at = time.monotonic() + rest
                broken = new.problem or again.problem
                if new.place.position > signed and not broken and time.monotonic() >= sign_at:
                    await self.sign(db, new)
                    signed, sign_at = new.place.position, time.monotonic() + self._sign_every
                if (began := time.monotonic()) >= again_at:
                    rounds = again.rounds
                    await self.go_over(db, again, new.place)
                    rest = (time.monotonic() - began) * self._slower
                    if again.problem:
                        rest = self._rest_when_broken
                    elif again.rounds > rounds:
                        rest = max(rest, self._rest_after_round)
                    again_at = time.monotonic() + rest
                await db.execute("SELECT pg_advisory_unlock_shared($1)", standing.ACKNOWLEDGING)
                if more:
                    # Requests may be waiting in this process.
                    await asyncio.sleep(0)
                else:
                    due = min(again_at, sign_at) if new.place.position > signed else again_at
                    await wakes.wait(max(due - time.monotonic(), 0.01))

    async def follow(self, db: Connection, new: Course) -> bool:
        """Goes over the next new events and grows the tree; says whether there were any."""
        async with db.transaction(isolation="repeatable_read"):
            end = await db.fetchval("SELECT coalesce(max(position), 0) FROM event")
            if end < new.place.position:
                await self._broken(db, new, _cut_off(end, new.place.position))
                return False
            upto = min(end, new.place.position + PAGE)
            if upto == new.place.position:
                await self._whole(db, new)
                return False
            found = await _page(db, new, upto)
            if isinstance(found, Problem):
                await self._broken(db, new, found)
                return False
            place, leaves = found
            tree = new.tree.copy()
            await store.keep_nodes(db, tree.add(leaves))
            await _keep(db, new, place, tree)
            return True

    async def sign(self, db: Connection, new: Course) -> bool:
        """Signs what has been gone over, unless it is signed; says whether it did."""
        if not self._signers or new.place.position == 0:
            return False
        async with db.transaction():
            # What is given out must not be taken back by a crash.
            await db.execute("SET LOCAL synchronous_commit = on")
            last = await store.newest(db)
            if last is not None and last.position >= new.place.position:
                return False
            now: datetime = await db.fetchval("SELECT clock_timestamp()")
            times = [now, chain.moment(new.place.recorded_at or 0)]
            if last is not None:
                # A clock that jumps back must not make heads run backwards.
                times.append(last.time)
            known = await store.acknowledgements(db)
            head = self._signers[0].sign(
                new.place.position,
                new.place.digest,
                new.tree.root(),
                max(times),
                known[-1].digest if known else None,
            )
            await store.keep_head(db, head)
        return True

    async def go_over(self, db: Connection, again: Course, known: Place) -> None:
        """Goes over some more of the history up to what is known; after the end, from the
        beginning."""
        if known.position == 0:
            return
        async with db.transaction(isolation="repeatable_read"):
            said = tuple(await store.acknowledgements(db))
            stood = said[-1] if said else None
            if (forged := await standing.forged(db, said)) is not None:
                await self._broken(db, again, forged)
                return
            upto = min(known.position, again.place.position + PAGE)
            found: Problem | tuple[Place, list[bytes]]
            if stood is not None and again.place.position < stood.upto:
                upto = min(upto, stood.upto)
                found = await _as_it_stands(db, again, upto)
            else:
                found = await _page(db, again, upto)
            if isinstance(found, Problem):
                await self._broken(db, again, found)
                return
            place, leaves = found
            tree = again.tree.copy()
            problem = await _unlike(db, tree, leaves, known)
            if problem is None and stood is not None and place.position == stood.upto:
                problem = _changed(stood, place, tree)
            if problem is not None:
                await self._broken(db, again, problem)
                return
            if place.position < known.position:
                await _keep(db, again, place, tree)
            else:
                again.rounds += 1
                await _keep(db, again, chain.START, merkle.Frontier())

    async def _whole(self, db: Connection, course: Course) -> None:
        """There is nothing new; the newest event must still be the one that was."""
        digest = await db.fetchval(
            "SELECT digest FROM event WHERE position = $1", course.place.position
        )
        if course.place.position and digest != course.place.digest:
            await self._broken(
                db,
                course,
                Problem(
                    course.place.position,
                    f"event {course.place.position} had another digest when it was verified",
                ),
            )
        elif course.problem is not None:
            await _keep(db, course, course.place, course.tree)

    async def _broken(self, db: Connection, course: Course, problem: Problem) -> None:
        """Says so, at once and then once a minute."""
        now = time.monotonic()
        if problem != course.problem or now - course.told > REST_WHEN_BROKEN:
            log.error("HISTORY IS BROKEN at position %s: %s", problem.position, problem.what)
            course.told = now
        course.problem = problem
        await db.execute(
            "UPDATE ledger_watch SET broken_at = $2, broken_because = $3 WHERE name = $1",
            course.name,
            problem.position,
            problem.what,
        )


async def course(db: Connection, name: str) -> Course:
    """How far it has come."""
    row = await db.fetchrow("SELECT * FROM ledger_watch WHERE name = $1", name)
    assert row is not None, "the migration put it there"
    at, peaks, broken_at = row["recorded_at"], row["peaks"], row["broken_at"]
    return Course(
        name=name,
        place=Place(row["position"], row["digest"], at and chain.microseconds(at)),
        tree=merkle.Frontier(
            row["position"], [peaks[n : n + HASH] for n in range(0, len(peaks), HASH)]
        ),
        rounds=row["rounds"],
        problem=None if broken_at is None else Problem(broken_at, row["broken_because"]),
    )


async def _keep(db: Connection, course: Course, place: Place, tree: merkle.Frontier) -> None:
    """Keeps how far it has come, in the database and then here; a break is healed."""
    if course.problem is not None:
        log.warning("history is whole again: %s does not hold any more", course.problem.what)
    await db.execute(
        "UPDATE ledger_watch SET position = $2, digest = $3, recorded_at = $4, peaks = $5,"
        " rounds = $6, broken_at = NULL, broken_because = NULL WHERE name = $1",
        course.name,
        place.position,
        place.digest,
        None if place.recorded_at is None else chain.moment(place.recorded_at),
        b"".join(tree.peaks),
        course.rounds,
    )
    course.place, course.tree, course.problem = place, tree, None


async def _page(db: Connection, course: Course, upto: int) -> Problem | tuple[Place, list[bytes]]:
    """Goes over the events up to a position: the first thing that is wrong, or where that leads
    and the leaves."""
    leaves: list[bytes] = []
    found = await verify_range(db, course.place, upto, leaves=leaves.append)
    problem = found.problem or await gap_among(db, course.place.position, upto)
    if problem is not None:
        return problem
    recorded_at = await db.fetchval("SELECT recorded_at FROM event WHERE position = $1", upto)
    return Place(upto, found.digest, chain.microseconds(recorded_at)), leaves


async def _as_it_stands(db: Connection, course: Course, upto: int) -> tuple[Place, list[bytes]]:
    """Goes over events before an acknowledgement: where that leads, and the leaves."""
    found = await standing.leaves(db, course.place.position, upto)
    return await standing.place_of(db, upto), found


def _changed(stood: Acknowledgement, place: Place, tree: merkle.Frontier) -> Problem | None:
    """What is acknowledged is to be as it was then. Where it is not, the kept nodes have said so of
    all but what comes behind the last of them."""
    if (tree.root(), place.digest) == (stood.root, stood.link):
        return None
    return standing.since(stood, (stood.upto >> store.STEP << store.STEP) + 1)


async def _unlike(
    db: Connection, tree: merkle.Frontier, leaves: Sequence[bytes], known: Place
) -> Problem | None:
    """Puts the leaves of events into the tree; says what else was kept of these events and says
    something else: signed heads, nodes of the tree, and what was verified when they were new."""
    keys = await store.keys(db)
    first, last = tree.size + 1, tree.size + len(leaves)
    completed: list[tuple[merkle.Node, bytes]] = []
    for head, digest in await store.among(db, first, last):
        completed += tree.add(leaves[tree.size + 1 - first : head.position + 1 - first])
        if (head.digest, head.root) != (digest, tree.root()):
            return Problem(
                head.position,
                f"the signed head of position {head.position} has another digest or root",
            )
        try:
            head.check(keys)
        except BadHead as reason:
            return Problem(head.position, str(reason))
    completed += tree.add(leaves[tree.size + 1 - first :])
    if last == known.position:
        digest = await db.fetchval("SELECT digest FROM event WHERE position = $1", last)
        if digest != known.digest:
            return Problem(last, f"event {last} had another digest when it was verified")
    expected = {node: found for node, found in completed if node[0] % store.STEP == 0}
    kept = await store.nodes(db, list(expected))
    for (level, index), found in expected.items():
        if kept.get((level, index)) != found:
            first = (index << level) + 1
            return Problem(
                first, f"the Merkle tree has another hash over the {1 << level} events from {first}"
            )
    return None


def _cut_off(end: int, known: int) -> Problem:
    gone = chain.missing(end + 1, known)
    return Problem(end + 1, f"{gone}: they were verified, and the log ends at event {end}")
