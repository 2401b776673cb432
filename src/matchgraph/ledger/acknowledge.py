"""Acknowledges a break of history: an operator says that they know of it and why, and signing goes
on from how history stands. The break stays on record, in everything that is signed since.
"""

from collections.abc import Callable
from datetime import datetime

from matchgraph.eventstore.connection import Connection, connect
from matchgraph.ledger import merkle, standing, store
from matchgraph.ledger.acknowledgement import FIRST, Acknowledgement, signed
from matchgraph.ledger.chain import LINK_0, Problem
from matchgraph.ledger.head import Signer
from matchgraph.ledger.verify import verify_log
from matchgraph.ledger.watch import watched

Progress = Callable[[int, int], None]


class NoSuchBreak(Exception):
    """History is not broken at that position."""

    def __init__(self, asked: int, found: list[Problem]) -> None:
        what = "; ".join(f"it is broken at position {one.position}: {one.what}" for one in found)
        super().__init__(
            f"There is no break at position {asked} to acknowledge: "
            f"{what or 'history is what was recorded, or acknowledged already'}."
        )


class NeverMendable(Exception):
    """An event stands where none can be, and no acknowledgement covers it."""


async def acknowledge(
    url: str,
    signer: Signer,
    position: int,
    *,
    actor: str,
    reason: str,
    on_progress: Progress = lambda *_: None,
) -> Acknowledgement:
    """Acknowledges the break that `verify`, or the watch, finds at that position. Others append
    meanwhile; nothing is signed until it is done.

    Raises: NoSuchBreak, NeverMendable, one of LOST.
    """
    db = await connect(url, "ledger acknowledge")
    try:
        await db.execute("SELECT pg_advisory_lock($1)", standing.ACKNOWLEDGING)
        await store.keep_keys(db, [(signer.id, signer.public_key)])
        async with db.transaction(isolation="repeatable_read"):
            # By the watch alone is found what was done to the tree.
            seen = await watched(db)
            found = [one for one in [(await verify_log(db)).problem] if one is not None]
            if seen.broken_at is not None and seen.broken_because is not None:
                found.append(Problem(seen.broken_at, seen.broken_because))
            problem = next((one for one in found if one.position == position), None)
            if problem is None:
                raise NoSuchBreak(position, found)
            if position < 1:
                raise NeverMendable(
                    f"{problem.what}: take it out of the log, which begins with event 1."
                )
            return await _go_on(db, signer, problem, actor, reason, on_progress)
    finally:
        db.terminate()


async def _go_on(
    db: Connection,
    signer: Signer,
    problem: Problem,
    actor: str,
    reason: str,
    on_progress: Progress,
) -> Acknowledgement:
    end: int = await db.fetchval("SELECT greatest(max(position), 0) FROM event")
    before = await store.acknowledgements(db)
    tree = merkle.Frontier()
    await db.execute("DELETE FROM ledger_node")
    for after in range(0, end, standing.PAGE):
        upto = min(after + standing.PAGE, end)
        await store.keep_nodes(db, tree.add(await standing.leaves(db, after, upto)))
        on_progress(upto, end)
    rows = await db.fetch("SELECT digest, recorded_at FROM event WHERE position = $1", end)
    link, recorded_at = rows[0] if rows else (LINK_0, None)
    now: datetime = await db.fetchval("SELECT clock_timestamp()")
    said = signed(
        Acknowledgement(
            number=len(before) + 1,
            position=problem.position,
            what=problem.what,
            actor=actor,
            reason=reason,
            time=now,
            upto=end,
            root=tree.root(),
            link=link,
            heads=await standing.heads(db, None),
            before=before[-1].digest if before else FIRST,
        ),
        signer,
    )
    await store.keep_acknowledgement(db, said)
    # What is new is verified from there on, and all of it again.
    await db.execute(
        "UPDATE ledger_watch SET position = $1, digest = $2, recorded_at = $3, peaks = $4,"
        " broken_at = NULL, broken_because = NULL WHERE name = 'new'",
        end,
        link,
        recorded_at,
        b"".join(tree.peaks),
    )
    await db.execute(
        "UPDATE ledger_watch SET position = 0, digest = $1, recorded_at = NULL, peaks = '',"
        " broken_at = NULL, broken_because = NULL WHERE name = 'again'",
        LINK_0,
    )
    return said
