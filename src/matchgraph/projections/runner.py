"""Follows the log and keeps every read model and its checkpoint, for one leader at a time.

Projections that have come equally far advance together, in one transaction a page, so a reader's
snapshot sees all of them at one position. One that fails is left behind alone, loudly. One that is
far behind, such as one that a new release brings, catches up beside the others: each takes turns of
a page. Until it has come as far as they are for once, it counts for no position (`first_time`). One
whose tables are about to be replaced is left alone until that is done.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncpg

from matchgraph.eventstore import releases
from matchgraph.eventstore.codec import UnknownTopic
from matchgraph.eventstore.connection import FULL, LOST, Connection, Pool, advisory_lock, connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import APPENDED, MOST_IN_PAGE, PROJECTED, Packed
from matchgraph.projections.projection import Projection, forget_columns

log = logging.getLogger(__name__)

LEADER = 7233147820518
# No event is to blame for these: what failed is tried again for as long as it takes.
AWAY = (*LOST, *FULL)
# The first half of the two-part advisory locks, one for each projection's name.
REBUILDING = 723314782
# Units: pages. Who is further behind than that does not keep the others waiting.
FAR = 2


@dataclass(frozen=True)
class Progress:
    """How far one read model has come.

    Units: `behind` in events; `delay` in seconds since the oldest event that is missing was
    recorded, 0 when none is.
    """

    name: str
    position: int
    behind: int
    delay: float
    stuck_at: int | None
    stuck_because: str | None
    first_time: bool


class Runner:
    """Keeps the projections up to date; any number of processes may run one, one of them works."""

    def __init__(
        self,
        url: str,
        listener: Listener,
        projections: Sequence[Projection],
        *,
        page: int = MOST_IN_PAGE,
    ) -> None:
        self._url = url
        self._listener = listener
        self._projections = {projection.name: projection for projection in projections}
        self._page = page
        # Those far behind take turns with the others.
        self._far_next = False
        # How often the tables of each had been replaced when this connection last worked on them.
        self._known: WeakKeyDictionary[Connection, dict[str, int]] = WeakKeyDictionary()
        # Whether the last page ended where the log did, and nobody was left behind.
        self._at_end = False
        self.leads = False

    async def run(self) -> None:
        """Leads as soon as nobody else does, then follows the log without end."""
        while True:
            try:
                await self._lead()
            except AWAY as reason:
                log.warning("projector lost the database, trying again: %s", reason)
                await asyncio.sleep(0.2)
            except Exception:
                # Without this task read models would stand still, and nobody would see why.
                log.exception("projector failed, trying again")
                await asyncio.sleep(1)
            finally:
                self.leads = False

    async def _lead(self) -> None:
        # A crash may cost the last pages of a read model and its checkpoint together, never one
        # without the other, so nothing is gained by waiting for the disk.
        connection = await connect(self._url, "projector", synchronous_commit="off")
        try:
            # Waits in line: when the leader's session ends, the next one leads. The
            # lock goes with the connection that also writes, so a leader that lost it is mute.
            await advisory_lock(connection, LEADER)
            self.leads = True
            await self._start_over(connection)
            async with self._listener.wakes(APPENDED) as wakes:
                while True:
                    # What has come since the last page was read has also woken it.
                    if not await self.advance(connection) or self._at_end:
                        await wakes.wait()
        finally:
            connection.terminate()

    async def _start_over(self, connection: Connection) -> None:
        """Gives stuck projections another chance."""
        await connection.execute(
            "UPDATE projection_checkpoint SET stuck_at = NULL, stuck_because = NULL"
            " WHERE stuck_at IS NOT NULL AND name = ANY ($1)",
            list(self._projections),
        )

    async def advance(self, connection: Connection) -> bool:
        """Takes the projections that are furthest behind one page on, or in turn those that are far
        ahead of them; says whether there was one.

        Raises: one of AWAY.
        """
        tried: list[Projection] = []
        self._at_end = False
        try:
            async with connection.transaction():
                return await self._advance(connection, self._page, list(self._projections), tried)
        except AWAY:
            raise
        except Exception as reason:
            if not tried:
                raise
            # A migration may have added columns since; if so, it goes through this time.
            await self._forget_all(connection)
            if len(tried) == 1:
                await self._find_poison(connection, tried[0], reason)
            else:
                await self._apart(connection, tried)
            return True

    async def _apart(self, connection: Connection, projections: Sequence[Projection]) -> None:
        """One of them fails on this page: takes each over it alone, so that the others go on."""
        for projection in projections:
            try:
                async with connection.transaction():
                    await self._advance(connection, self._page, [projection.name], [])
            except AWAY:
                raise
            except Exception as reason:
                await self._find_poison(connection, projection, reason)

    async def _find_poison(
        self, connection: Connection, projection: Projection, reason: Exception
    ) -> None:
        """Goes on event by event up to the one that fails, and stops the projection there."""
        try:
            for _ in range(self._page):
                async with connection.transaction():
                    if not await self._advance(connection, 1, [projection.name], []):
                        return
            # The page went through after all, so none of its events is to blame.
            return
        except AWAY:
            raise
        except Exception as found:
            reason = found
        if isinstance(reason, UnknownTopic):
            reason = await releases.named(connection, reason)
        position = await connection.fetchval(
            "UPDATE projection_checkpoint SET stuck_at = position + 1, stuck_because = $2"
            " WHERE name = $1 RETURNING stuck_at",
            projection.name,
            f"{type(reason).__name__}: {reason}"[:2000],
        )
        log.error(
            "projection %s is stuck at event %s and stays there until it is restarted: %s",
            projection.name,
            position,
            reason,
            exc_info=reason if not isinstance(reason, UnknownTopic) else None,
        )

    async def _advance(
        self, db: Connection, limit: int, names: list[str], tried: list[Projection]
    ) -> bool:
        checkpoints = await db.fetch(
            "SELECT name, position, rebuilds, first_time FROM projection_checkpoint"
            " WHERE name = ANY ($1) AND stuck_at IS NULL"
            " AND pg_try_advisory_xact_lock($2, hashtext(name))"
            " ORDER BY position, name FOR UPDATE",
            names,
            REBUILDING,
        )
        if not checkpoints:
            return False
        await self._forget_replaced(db, checkpoints)
        near = checkpoints[-1]["position"] - FAR * self._page
        far, close = (
            [c for c in checkpoints if (c["position"] < near) is is_far] for is_far in (True, False)
        )
        self._far_next = bool(far) and not self._far_next
        moved = False
        for turn in (far, close) if self._far_next else (close, far):
            if turn and (moved := await self._take(db, limit, turn, tried)):
                break
        if young := [c["name"] for c in checkpoints if c["first_time"]]:
            await self._let_in(db, young)
        return moved

    async def _let_in(self, db: Connection, names: list[str]) -> None:
        """Has those of them count for the position of answers that have come as far as the others,
        so that it never goes back by them."""
        await db.execute(
            "WITH there AS (UPDATE projection_checkpoint SET first_time = false"
            " WHERE first_time AND name = ANY ($1)"
            " AND position >= (SELECT furthest FROM common_position) RETURNING name)"
            " SELECT pg_notify($2, '') FROM there",
            names,
            PROJECTED,
        )

    async def _take(
        self,
        db: Connection,
        limit: int,
        checkpoints: Sequence[asyncpg.Record],
        tried: list[Projection],
    ) -> bool:
        """Takes those of them that are furthest behind one page on; says whether there was one."""
        after = checkpoints[0]["position"]
        together = [c["name"] for c in checkpoints if c["position"] == after]
        if ahead := [c["position"] for c in checkpoints if c["position"] > after]:
            limit = min(limit, ahead[0] - after)
        page = await read_page(db, after, limit)
        if page is None:
            return False
        tried.extend(self._projections[name] for name in together)
        for projection in tuple(tried) or [self._projections[name] for name in together]:
            await projection.take(db, page)
        await db.execute(
            "WITH moved AS (UPDATE projection_checkpoint SET position = $2, recorded_at = $3"
            " WHERE name = ANY ($1)) SELECT pg_notify($4, '')",
            together,
            page.last,
            page.recorded_at,
            PROJECTED,
        )
        self._at_end = len(together) == len(checkpoints) and page.last < after + limit
        return True

    async def _forget_all(self, db: Connection) -> None:
        """Forgets what is known of any table."""
        await db.reload_schema_state()
        forget_columns(db)
        for projection in self._projections.values():
            projection.forget(db)

    async def _forget_replaced(self, db: Connection, checkpoints: Sequence[asyncpg.Record]) -> None:
        """Forgets what belongs to tables that others have taken the place of since."""
        found = {c["name"]: c["rebuilds"] for c in checkpoints}
        known = self._known.setdefault(db, {})
        replaced = [name for name, times in found.items() if known.get(name, times) != times]
        if replaced:
            # Statements that insert rows name the types of the tables that they were prepared for.
            await db.reload_schema_state()
            forget_columns(db)
            for name in replaced:
                self._projections[name].forget(db)
        known.update(found)


async def read_page(db: Connection, after: int, limit: int) -> Packed | None:
    """The next events as one JSON array, or None at the end of the log."""
    row = await db.fetchrow(
        "SELECT max(position) AS last, max(recorded_at) AS recorded_at,"
        " string_agg(state, ',' ORDER BY position) AS states"
        " FROM event WHERE position > $1 AND position <= $2",
        after,
        after + limit,
    )
    if row is None or row["last"] is None:
        return None
    return Packed(after + 1, row["last"], row["recorded_at"], b"[" + row["states"] + b"]")


async def pages(
    db: Connection, after: int = 0, limit: int = MOST_IN_PAGE, until: int = 2**63 - 1
) -> AsyncGenerator[Packed, None]:
    """History after a position, up to another one, page by page: each is read while the one before
    is worked on. The connection belongs to it until it is closed. Raises: one of LOST."""

    def ask(after: int) -> "asyncio.Future[Packed | None]":
        return asyncio.ensure_future(read_page(db, after, max(0, min(limit, until - after))))

    coming = ask(after)
    try:
        while page := await coming:
            coming = ask(page.last)
            # Lets the request go out before the caller keeps this thread busy.
            await asyncio.sleep(0)
            yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def progress(pool: Pool) -> list[Progress]:
    """How far every read model has come. Raises: one of LOST."""
    rows = await pool.fetch(
        "SELECT c.name, c.position, c.stuck_at, c.stuck_because, c.first_time,"
        " head.position - c.position AS behind,"
        " coalesce(extract(epoch FROM clock_timestamp() - next.recorded_at), 0) AS delay"
        " FROM projection_checkpoint c"
        " CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM event) AS head"
        " LEFT JOIN event AS next ON next.position = c.position + 1 ORDER BY c.name"
    )
    return [
        Progress(
            name=row["name"],
            position=row["position"],
            behind=row["behind"],
            delay=float(row["delay"]),
            stuck_at=row["stuck_at"],
            stuck_because=row["stuck_because"],
            first_time=row["first_time"],
        )
        for row in rows
    ]
