"""Computes read models from the log alone, as of any position, beside everything that is in use.

The tables are temporary: a schema that belongs to one session, and goes with it also when that is
killed. The session may write nothing else, and PostgreSQL holds it to that.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from matchgraph.eventstore import releases
from matchgraph.eventstore.codec import UnknownTopic
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.projections import canonical, tables
from matchgraph.projections.canonical import Difference, ModelDigest
from matchgraph.projections.projection import READING, Projection
from matchgraph.projections.runner import pages

# Units: events. Larger than the runner's: nobody waits for a page, and what moves many times within
# one is written once.
PAGE = 20_000
# Units: events. Rows that are written again and again, and what planners know of them, are tidied
# up after so many: nobody else does that for temporary tables.
TIDY = 100_000
# What is read again and again is kept in memory.
BUFFERS = "256MB"

Progress = Callable[[int, int], None]


class NoSuchMoment(Exception):
    """History has not come so far, or had not begun."""


async def position_at(db: Connection, until: int | datetime | None) -> int:
    """The position that is meant: of the last event by that time, or of the last one at all.

    Raises: NoSuchMoment.
    """
    head: int = await db.fetchval("SELECT coalesce(max(position), 0) FROM event")
    if until is None:
        return head
    if isinstance(until, int):
        if until > head:
            raise NoSuchMoment(
                f"Position {until} is in the future: the log ends at position {head}."
            )
        return until
    now, first = await db.fetchrow(  # type: ignore[misc]
        "SELECT clock_timestamp(), (SELECT recorded_at FROM event ORDER BY position LIMIT 1)"
    )
    if until > now:
        raise NoSuchMoment(f"{_written(until)} is in the future: it is {_written(now)}.")
    if first is None:
        raise NoSuchMoment("The log is empty, so there is no moment to go back to.")
    if until < first:
        raise NoSuchMoment(
            f"{_written(until)} is before the first event, which was recorded at {_written(first)}."
        )
    found: int = await db.fetchval("SELECT event_by($1)", until)
    return found


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(sep=" ").replace("+00:00", " UTC")


class Replay:
    """Read models on their way through history; opened by `replaying`."""

    def __init__(
        self, db: Connection, reader: Connection, projections: Sequence[Projection], page: int
    ) -> None:
        self.db = db
        self._reader = reader
        self._page = page
        self.projections = projections
        self.reached = {projection.name: 0 for projection in projections}
        self._done = 0
        self._tidied = 0

    async def advance(
        self, until: Mapping[str, int], on_progress: Progress = lambda *_: None
    ) -> None:
        """Takes each read model on to its position; one that is there already stays.

        Raises: UnknownTopic, Undecodable, asyncpg.DiskFullError, and whatever a projection raises.
        """
        last = max(until.values(), default=0)
        while behind := [p for p in self.projections if self.reached[p.name] < until[p.name]]:
            after = min(self.reached[p.name] for p in behind)
            # All that are here, up to where the next one joins them or one of them is done.
            together = [p for p in behind if self.reached[p.name] == after]
            border = min(
                *(until[p.name] for p in together),
                *(self.reached[p.name] for p in behind if self.reached[p.name] > after),
                2**63 - 1,
            )
            async with aclosing(pages(self._reader, after, self._page, border)) as history:
                async for page in history:
                    async with self.db.transaction():
                        for projection in together:
                            await projection.take(self.db, page)
                            self.reached[projection.name] = page.last
                    self._done = max(self._done, page.last)
                    on_progress(self._done, last)
                    # Ever less often, so that it does not cost more than it gives.
                    if self._done - self._tidied >= max(TIDY, self._tidied // 4):
                        await self._tidy()
            if any(self.reached[p.name] < border for p in together):
                raise NoSuchMoment(f"The log ends before position {border}.")
        await self._tidy()

    async def _tidy(self) -> None:
        names = ", ".join(
            f'{tables.TEMPORARY}."{table}"' for one in self.projections for table in one.tables
        )
        await self.db.execute(f"VACUUM (ANALYZE) {names}")
        self._tidied = self._done

    async def digests(self) -> AsyncIterator[ModelDigest]:
        """The digest of each read model as it is now."""
        for projection in self.projections:
            yield await canonical.of_model(self.db, projection, self.reached[projection.name])


@asynccontextmanager
async def replaying(
    url: str, projections: Sequence[Projection], *, page: int = PAGE
) -> AsyncIterator[Replay]:
    """Empty read models of its own, for as long as the block runs."""
    db = await connect(url, "replay", temp_buffers=BUFFERS, **canonical.SETTINGS)
    reader = await connect(url, "replay reader")
    try:
        names = [table for projection in projections for table in projection.tables]
        found = await tables.definitions(db, names)
        await tables.create(db, found, tables.TEMPORARY)
        # Temporary tables are what may still be written to.
        await db.execute("SET default_transaction_read_only = on")
        yield Replay(db, reader, projections, page)
    except UnknownTopic as reason:
        raise await releases.named(reader, reason) from None
    finally:
        db.terminate()
        reader.terminate()


@dataclass(frozen=True)
class Verified:
    """A read model in use against the same one computed anew, up to the same event."""

    held: ModelDigest
    right: ModelDigest
    differences: Sequence[Difference]

    @property
    def agrees(self) -> bool:
        """Whether not a byte differs."""
        return self.held.digest == self.right.digest


async def verify(
    url: str,
    projections: Sequence[Projection],
    on_progress: Progress = lambda *_: None,
    *,
    most: int = 20,
    page: int = PAGE,
) -> AsyncGenerator[Verified, None]:
    """Compares each read model in use with the log, while both go on; names at most so many
    differences of each.

    What is in use is looked at by one snapshot, at the position that each read model has there.
    Raises: as `Replay.advance`.
    """
    live = await connect(url, "verify", **canonical.SETTINGS)
    try:
        async with replaying(url, projections, page=page) as replay:
            # Most of the way without a snapshot, which would keep vacuums from their work.
            await replay.advance(await _positions(live, projections), on_progress)
            async with live.transaction(isolation="repeatable_read", readonly=True):
                await live.execute(READING)
                await replay.advance(await _positions(live, projections), on_progress)
                for projection in projections:
                    at = replay.reached[projection.name]
                    held = await canonical.of_model(live, projection, at)
                    right = await canonical.of_model(replay.db, projection, at)
                    found: list[Difference] = []
                    for one, other in zip(held.tables, right.tables, strict=True):
                        if one != other and len(found) < most:
                            async with replay.db.transaction():
                                found += await canonical.differences(
                                    live, replay.db, one.table, most - len(found)
                                )
                    yield Verified(held, right, found)
    finally:
        live.terminate()


async def _positions(db: Connection, projections: Sequence[Projection]) -> dict[str, int]:
    rows = await db.fetch(
        "SELECT name, position FROM projection_checkpoint WHERE name = ANY ($1)",
        [projection.name for projection in projections],
    )
    return {row["name"]: row["position"] for row in rows}
