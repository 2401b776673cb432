"""Computes a read model anew beside the one that is in use, and puts it in its place at once.

The new tables are in a schema of their own until they have come as far as the old ones. Each page
is a transaction that also says how far they are, so whoever goes on after a crash goes on there.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from functools import cache
from hashlib import sha256
from itertools import chain, repeat
from pathlib import Path

import asyncpg

import matchgraph
from matchgraph.eventstore import releases
from matchgraph.eventstore.codec import UnknownTopic
from matchgraph.eventstore.connection import Connection, advisory_lock, connect
from matchgraph.eventstore.store import APPENDED, MOST_IN_PAGE, PROJECTED
from matchgraph.projections import tables
from matchgraph.projections.projection import Batch, Projection
from matchgraph.projections.runner import LEADER, REBUILDING, pages

SHADOW, REPLACED = "rebuilding", "replaced"
# The first half of the two-part advisory locks of those who rebuild, one for each name. Who holds
# REBUILDING keeps the runner off; a rebuild does that for its last pages only.
AT_IT = 723314784
# Units: events that are taken in at once, by one transaction. More than the runner's: nobody waits
# for them, and what moves many times is written once.
PAGE = 250_000
# As many of them as are read at once, and the bytes after which no more are waited for.
READ = 20_000
MOST_BYTES = 96 << 20
# Units: events. Rows that are written again and again, and what planners know of them, are tidied
# up after so many.
TIDY = 100_000
# Units: seconds. So long readers may have to wait, in the turns of one try, for those before them.
STALLS = (0.2, 0.4, 0.8)
# Units: seconds between tries, from the first to all later ones.
PAUSES = (0.5, 1.0, 2.0, 5.0)
# Units: seconds that the vacuum of a table is waited for, which gives way after one.
VACUUM = "10s"

Progress = Callable[[int, int], None]


class RebuildRuns(Exception):
    """Somebody is rebuilding that read model already."""

    def __init__(self, name: str, worker: str | None, since: datetime | None) -> None:
        who = "" if worker is None else f" by {worker}"
        when = "" if since is None else f" since {since:%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(f"{name} is being rebuilt already{who}{when}; wait for that to end.")


class TablesChanged(Exception):
    """The tables are not any more what they were when the rebuild began."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The tables of {name} were altered while it was rebuilt; run the rebuild again, which "
            "then begins anew."
        )


async def rebuild(
    url: str,
    projection: Projection,
    on_progress: Progress = lambda *_: None,
    *,
    page: int = PAGE,
    on_waiting: Callable[[str], None] = lambda _: None,
) -> int:
    """Computes one read model anew from position 1, or goes on where the last try ended.

    Readers see the old rows until the new ones have caught up, and the projector goes on. The
    boards in Redis are not touched. `on_progress` hears how many events of how many are done,
    `on_waiting` for whom the switch waits. Returns the position reached.
    Raises: one of LOST, RebuildRuns, TablesChanged, and whatever the projection raises: then what
        is done stays done for the next try.
    """
    connection = await connect(
        url, "rebuild", synchronous_commit="off", search_path=f"{SHADOW}, public"
    )
    reader = await connect(url, "rebuild reader")
    try:
        work = _Rebuild(connection, reader, projection, page, on_progress, on_waiting)
        await work.begin()
        return await work.finish()
    except UnknownTopic as reason:
        raise await releases.named(reader, reason) from None
    finally:
        connection.terminate()
        reader.terminate()


class _Rebuild:
    """One read model on its way, by two connections: one that writes, one that reads history."""

    def __init__(
        self,
        db: Connection,
        reader: Connection,
        projection: Projection,
        page: int,
        on_progress: Progress,
        on_waiting: Callable[[str], None],
    ) -> None:
        self._db = db
        self._reader = reader
        self._projection = projection
        self._name = projection.name
        self._tables = projection.tables
        self._page = page
        self._on_progress = on_progress
        self._on_waiting = on_waiting
        self._found: list[tables.Definition] = []
        self._position = 0
        self._tidied = 0

    async def begin(self) -> None:
        """Has tables to go on with. Raises: RebuildRuns."""
        db = self._db
        if not await db.fetchval(
            "SELECT pg_try_advisory_lock($1, hashtext($2))", AT_IT, self._name
        ):
            row = await db.fetchrow(
                "SELECT worker, since FROM projection_rebuild WHERE name = $1", self._name
            )
            raise RebuildRuns(self._name, *(row or (None, None)))
        self._found = await tables.definitions(db, self._tables)
        made_by = f"{_code()} {tables.digest(self._found)}"
        # What the last one could not drop any more.
        await tables.drop(db, self._tables, REPLACED)
        async with db.transaction():
            left = await db.fetchrow(
                "SELECT position, made_by FROM projection_rebuild WHERE name = $1", self._name
            )
            if left is not None and left["made_by"] == made_by:
                self._position = left["position"]
            else:
                await tables.drop(db, self._tables, SHADOW)
                await tables.create(
                    db, self._found, SHADOW, indexes=not self._projection.finds_by_key
                )
            await db.execute(
                "INSERT INTO projection_rebuild VALUES ($1, $2, NULL, $3, $4, now())"
                " ON CONFLICT (name) DO UPDATE SET worker = excluded.worker,"
                " since = excluded.since, position = excluded.position,"
                " made_by = excluded.made_by",
                self._name,
                self._position,
                made_by,
                f"process {os.getpid()} on {socket.gethostname()}",
            )

    async def finish(self) -> int:
        """Takes the history in and puts the tables in place. Returns the position reached."""
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            # As far as the others are, and then what came meanwhile, until that is little.
            while (goal := await self._goal()) - self._position > min(self._page, MOST_IN_PAGE):
                await self._take(goal)
            await tables.index(self._db, self._found, SHADOW)
            await self._tidy()
            if await self._switch():
                break
            await asyncio.sleep(pause)
        await tables.drop(self._db, self._tables, REPLACED)
        return self._position

    async def _goal(self, *, still: bool = False) -> int:
        """How far the others are, or where history ends while nobody leads them on; when the old
        tables stand still, rather how far those are."""
        row = await self._reader.fetchrow(
            "SELECT own.position AS own, own.stuck_at IS NULL AS well, head.position AS head,"
            " (SELECT max(position) FROM projection_checkpoint) AS furthest, EXISTS ("
            "   SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            "   AND classid::bigint << 32 | objid::bigint = $2) AS led"
            " FROM projection_checkpoint own,"
            " (SELECT coalesce(max(position), 0) AS position FROM event) AS head"
            " WHERE own.name = $1",
            self._name,
            LEADER,
        )
        assert row is not None, "every read model has a checkpoint"
        if not row["led"]:
            return int(row["head"])
        # Then the new tables hold what the old ones do, whichever of them a reader finds.
        same = still and row["well"] and row["own"] >= self._position
        return int(row["own"] if same else row["furthest"])

    async def _take(self, until: int) -> None:
        """Takes in what was recorded up to there, page by page."""
        history = pages(self._reader, self._position, min(self._page, READ), until)
        async with aclosing(history):
            batches: list[Batch] = []
            size = 0
            async for page in history:
                batches.append(self._projection.batch(page))
                size += len(page.json)
                more = min(until, self._position + self._page) - page.last
                if more <= 0 or size >= MOST_BYTES:
                    await self._take_in(Batch.joined(batches), page.recorded_at)
                    self._on_progress(page.last, max(until, page.last))
                    batches, size = [], 0

    async def _take_in(self, batch: Batch, recorded_at: datetime) -> None:
        # Ever less often, so that it does not cost more than it gives.
        if self._position - self._tidied >= max(TIDY, self._tidied // 4):
            await self._tidy()
        async with self._db.transaction():
            await self._projection.take_in(self._db, batch)
            await self._db.execute(
                "UPDATE projection_rebuild SET position = $2, recorded_at = $3 WHERE name = $1",
                self._name,
                batch.last,
                recorded_at,
            )
        self._position = batch.last

    async def _tidy(self) -> None:
        """Frees what the rows of before take up, and counts what planners go by."""
        if self._position > self._tidied:
            await self._db.execute(f"VACUUM (ANALYZE) {self._in(SHADOW)}")
            self._tidied = self._position

    async def _switch(self) -> bool:
        """Goes on to where the old tables are, while they stand still, and takes their place.

        Says whether it could: it cannot while somebody reads the old ones without end.
        """
        key = (REBUILDING, self._name)
        # The runner holds it for a page at a time.
        await advisory_lock(self._db, *key)
        try:
            # In transactions before the one that switches: a statement that finds the new tables
            # by a snapshot from before the switch finds them complete.
            await self._take(await self._goal(still=True))
            if self._tidied == 0:
                await self._tidy()
            if await tables.definitions(self._db, self._tables) != self._found:
                raise TablesChanged(self._name)
            for stall in STALLS:
                try:
                    await self._replace(stall)
                except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError):
                    continue
                return True
            self._on_waiting(await self._readers())
            return False
        finally:
            # The runner went without it, and may have come to the end of the log.
            await self._db.execute(
                "SELECT pg_advisory_unlock($1, hashtext($2)), pg_notify($3, '')", *key, APPENDED
            )

    async def _replace(self, stall: float) -> None:
        """Puts the new tables in place. Raises: asyncpg.LockNotAvailableError, or
        asyncpg.QueryCanceledError, when readers do not end in time."""
        db = self._db
        async with db.transaction():
            # First what only keeps a vacuum away, as nobody has to wait for that.
            await db.execute(f"SET LOCAL lock_timeout = '{VACUUM}'")
            await db.execute(
                f"LOCK TABLE {self._in('public')}, {self._in(SHADOW)}"
                " IN SHARE UPDATE EXCLUSIVE MODE"
            )
            # From here on whoever comes waits behind this, until it gives up.
            await db.execute(f"SET LOCAL statement_timeout = {int(stall * 1000)}")
            await db.execute(
                f"LOCK TABLE public.reading, {self._in('public')} IN ACCESS EXCLUSIVE MODE"
            )
            await db.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            for table in self._tables:
                await tables.grant(db, table, SHADOW)
            await db.execute("SET LOCAL search_path = public")
            await db.execute("SELECT projection_switch($1)", list(self._tables))
            # Views follow a table wherever it goes, so those over the old ones are made anew.
            await db.execute("SELECT as_of.create_views()")
            await db.execute(
                "UPDATE projection_checkpoint c SET position = r.position,"
                " recorded_at = r.recorded_at, stuck_at = NULL, stuck_because = NULL,"
                " kept_since = 0, rebuilds = c.rebuilds + 1 FROM projection_rebuild r"
                " WHERE c.name = $1 AND r.name = $1",
                self._name,
            )
            await db.execute("DELETE FROM projection_rebuild WHERE name = $1", self._name)
            await db.execute(f"NOTIFY {PROJECTED}")

    async def _readers(self) -> str:
        """Who has the old tables locked."""
        rows = await self._reader.fetch(
            "SELECT DISTINCT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE relation = ANY ($1::text[]::regclass[]) AND granted AND pid <> $2 ORDER BY pid",
            ["public.reading", *(f'public."{table}"' for table in self._tables)],
            self._db.get_server_pid(),
        )
        return ", ".join(f"{row['application_name']} (pid {row['pid']})" for row in rows)

    def _in(self, schema: str) -> str:
        return ", ".join(f'{schema}."{table}"' for table in self._tables)


@cache
def _code() -> str:
    """What is the same only as long as the code is that computes read models."""
    here = Path(matchgraph.__file__).parent
    files = sorted(
        file
        for folder in ("domain", "eventstore", "projections")
        for file in here.glob(f"{folder}/*.py")
    )
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
