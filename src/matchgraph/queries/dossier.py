"""All that the read models say of an artifact: one statement for many artifacts and for everybody
who asks at the same time, kept in the process until something touches the artifact.

A dossier is of the position at which it was read, and right at any other up to which nothing has
touched its marks (queries/touched.py). So answers are put together of dossiers that were read at
different moments, and are still as of one position: that of their `Reading`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from uuid import UUID

import asyncpg

from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import Scales
from matchgraph.domain.comparison import PriceList
from matchgraph.domain.policy import KindPolicy
from matchgraph.domain.ranking import Rank
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.connection import Pool, fetch, open_pool
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.rank_recompute import in_force
from matchgraph.projections.ranked import Ranked, ranked_in_board
from matchgraph.queries import page as pages
from matchgraph.queries.artifact import LED_TO, Listing, listing_of
from matchgraph.queries.board import Boards, Standing
from matchgraph.queries.capability import ORDER, Offered, offered, page_of
from matchgraph.queries.first_time import read_by
from matchgraph.queries.match_graph import HeadToHead, fared
from matchgraph.queries.meaning import Described, Profile, vectors_of
from matchgraph.queries.page import MOST, Page
from matchgraph.queries.price import price_of
from matchgraph.queries.rank import explained_of
from matchgraph.queries.signal import signal_of
from matchgraph.queries.snapshot import viewing
from matchgraph.queries.touched import CATALOG, NAMES, STANDS, Touched, board, matches

# So many pairs of one artifact are read with it.
MOST_PAIRS = 100
# One more capability than a page holds says that there is another page.
DOSSIERS = f"""
{LED_TO}, meant AS (
  SELECT asked, led.id FROM led JOIN artifact_listing USING (id) WHERE leads_to IS NULL
  UNION ALL SELECT NULL, unnest($2::uuid[])
), stands (low, high, era) AS MATERIALIZED ({STANDS})
SELECT asked, stands.*, l AS listing, b AS board, e AS evidence,
  ARRAY(SELECT name FROM projection_checkpoint WHERE first_time) AS young,
  ARRAY(
    SELECT c FROM capability_listing c WHERE c.artifact_id = meant.id AND NOT c.retired
    ORDER BY c.added_position LIMIT {MOST + 1}
  ) AS capabilities,
  (SELECT count(*) FROM capability_listing c WHERE c.artifact_id = meant.id AND NOT c.retired)
    AS capability_count,
  ARRAY(
    SELECT p FROM price_current p WHERE p.artifact_id = meant.id
    ORDER BY provider, per NULLS FIRST, tier NULLS FIRST, source
  ) AS prices,
  ARRAY(
    SELECT s FROM signal_board s WHERE s.artifact_id = meant.id ORDER BY name, source
  ) AS signals,
  ARRAY(
    SELECT p FROM match_pair p WHERE p.left_id = meant.id ORDER BY p.right_id
    LIMIT {MOST_PAIRS + 1}
  ) AS pairs,
  (SELECT sum(served)::bigint FROM match_count m WHERE m.artifact_id = meant.id) AS matched
FROM stands LEFT JOIN meant ON true
LEFT JOIN artifact_listing l ON l.id = meant.id
LEFT JOIN rank_board b ON b.artifact_id = meant.id
LEFT JOIN rank_evidence e ON e.artifact_id = meant.id
"""
# So many statements run at a time; who asks meanwhile is in the next one.
AT_ONCE = 2
MOST_IN_ONE = 200
# Units: bytes, about; a dossier has two.
BYTES_OF_A_KEY = 16_000
# Units: seconds that the log may take to say what was touched up to where something was read.
PATIENCE = 0.5


class Moved(Exception):
    """What was read may not be of the same moment as the rest."""


class Dossier:
    """An artifact as the read models have it at `position`.

    `capabilities` are as many as a page holds, and one more if there are more.
    """

    def __init__(self, row: asyncpg.Record) -> None:
        """Of a row of DOSSIERS, of which each part is looked into when it is asked for first."""
        self._row = row
        self.position: int = row["low"]
        # Some of it may have been read up to there already.
        self.newest: int = row["high"]
        self.era: str = row["era"] or ""
        self.listing: Listing = listing_of(row["listing"])
        self.marks = (str(self.listing.id), matches(str(self.listing.id)))
        self.capability_count: int = row["capability_count"]
        self.times_matched: int = row["matched"] or 0
        self._pages: dict[tuple[int, str | None], Page[Offered]] = {}
        # What its capabilities say, without vectors until all of it is embedded.
        self.profile: Profile | None = None
        # Where it stood at which position.
        self.stood: tuple[Standing, int] | None = None
        self._explained: tuple[InForce, Rank | None] | None = None

    @cached_property
    def capabilities(self) -> tuple[Offered, ...]:
        """What it can do, in the order of their coming."""
        return tuple(map(offered, self._row["capabilities"]))

    def page(self, first: int, after: str | None) -> Page[Offered]:
        """A page of what it can do. Raises: BadPageSize, BadCursor, Moved where it would go on
        behind what is known here."""
        known = self._pages.get((first, after))
        if known is None:
            behind = 0 if after is None else pages.decode(ORDER, after, int)[0]
            rows = [one for one in self.capabilities if one.added_position > behind]
            if pages.size(first) >= len(rows) and len(self.capabilities) > MOST:
                raise Moved
            known = self._pages[first, after] = page_of(rows, first)
        return known

    def capability(self, key: str) -> Offered | None:
        """The capability with that key. Raises: Moved where it may be among those not known."""
        if len(self.capabilities) > MOST:
            raise Moved
        return next((one for one in self.capabilities if one.capability.key == key), None)

    @cached_property
    def prices(self) -> PriceList:
        """Every price asked for it, by provider, unit, tier and source."""
        return PriceList(map(price_of, self._row["prices"]))

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """Every number known of it, by name and source."""
        return tuple(map(signal_of, self._row["signals"]))

    @cached_property
    def pairs(self) -> dict[UUID, asyncpg.Record] | None:
        """How it fared beside artifacts with a greater id; None: beside more than are read."""
        pairs = self._row["pairs"]
        return None if len(pairs) > MOST_PAIRS else {pair["right_id"]: pair for pair in pairs}

    @cached_property
    def ranked(self) -> Ranked | None:
        """How it ranks; None: not yet."""
        board = self._row["board"]
        return None if board is None else ranked_in_board(board, self._row["evidence"]["slug"])

    @property
    def is_placed(self) -> bool:
        """Whether it has a place on boards."""
        board = self._row["board"]
        return board is not None and board["place"] > 0

    def explained(self, by: "InForce") -> Rank | None:
        """How it ranks with the parts and their inputs."""
        known = self._explained
        if known is None or known[0] is not by:
            row = self._row["evidence"]
            rank = None if row is None else explained_of(row, by.policies, by.scales)
            known = self._explained = by, rank
        return known[1]


@dataclass(frozen=True, slots=True)
class InForce:
    """What ranks are measured by, read at that position of that era."""

    policies: Mapping[Kind, KindPolicy]
    scales: Scales | None
    position: int
    era: str


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a key led, and how the read models stood."""

    dossier: Dossier | None
    position: int
    newest: int
    era: str


# Which read models it is made of.
READS = read_by(DOSSIERS)


class Dossiers:
    """The dossiers that a process reads, those asked for least recently given up first."""

    def __init__(self, pool: Pool, touched: Touched, *, most: int) -> None:
        """Units: `most` in keys, of which a dossier has two. With 0, each answer reads its own."""
        self.touched = touched
        self.pool = pool
        self._most = most
        self._kept: OrderedDict[str | UUID, _Found] = OrderedDict()
        self._in_force: InForce | None = None
        self._waiting: dict[str | UUID, asyncio.Future[_Found]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        # Of them, those that will still look for who waits.
        self._at_work = 0

    def at_hand(self, key: str | UUID, at: int) -> Dossier | None:
        """What `find` would say, if that is known already and there is such an artifact."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.era != self.touched.era or self.touched.since(
            min(at, kept.position), _marks(key, kept.dossier)
        ):
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept.dossier

    async def find(self, key: str | UUID, at: int, *, anew: bool = False) -> Dossier | None:
        """What the artifact with that id is like as of that position, or the one that the slug
        leads to; None where there is none. With `anew`, as it is read now. Raises: Moved,
        Unavailable."""
        kept = None if anew else self.at_hand(key, at)
        if kept is not None:
            return kept
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._at_work < AT_ONCE:
                self._at_work += 1
                task = asyncio.create_task(self._read(), name="read dossiers")
                self._reading.add(task)
                task.add_done_callback(self._reading.discard)
        # Others may wait for the same.
        found = await asyncio.shield(waiting)
        await self.check(at, found.position, found.newest, found.era, _marks(key, found.dossier))
        if self._most and not anew and found.dossier is not None:
            # Under the id as well, as that is what lists lead to.
            self._kept[key] = self._kept[found.dossier.listing.id] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found.dossier

    async def check(
        self, at: int, position: int, newest: int, era: str | None, marks: Iterable[str]
    ) -> None:
        """Returns if what was read while the read models stood between `position` and `newest`, and
        is of these marks, was the same `at` that position. Raises: Moved."""
        touched = self.touched
        if (
            not await touched.reaches(newest, PATIENCE)
            or touched.era != era
            or touched.since(min(at, position), marks)
        ):
            raise Moved

    async def in_force(self, at: int) -> InForce:
        """What ranks are measured by as of that position. Raises: Moved, Unavailable."""
        known = self._in_force
        touched = self.touched
        if known is None or known.era != touched.era or touched.since(min(at, known.position), ()):
            async with viewing(self.pool) as snapshot:
                policies, scales = await in_force(snapshot)
                (stands,) = await snapshot.fetch(STANDS)
            low, high, era = stands
            # Whatever changes it touches everything.
            await self.check(at, low, high, era, ())
            known = self._in_force = InForce(policies, scales, low, era or "")
        return known

    async def read_profiles(self, dossiers: Sequence[Dossier], at: int) -> None:
        """Has the dossiers have profiles, by words alone where not everything is embedded yet.
        Raises: Moved, Unavailable."""
        described = [
            Described(
                one.listing.id,
                one.listing.facts.name or "",
                tuple(offered.capability for offered in one.capabilities[:MOST]),
            )
            for one in dossiers
        ]
        async with viewing(self.pool) as snapshot:
            found = await vectors_of(snapshot, described)
            ((low, high, era),) = await snapshot.fetch(STANDS)
        await self.check(at, low, high, era, [one.marks[0] for one in dossiers])
        if found is not None:
            model, vectors = found
            for dossier, own, rows in zip(dossiers, described, vectors, strict=True):
                dossier.profile = own.profile(model, rows)
            return
        for dossier, own in zip(dossiers, described, strict=True):
            dossier.profile = dossier.profile or own.profile()

    async def _read(self) -> None:
        """Reads what is waited for, until nobody waits any more."""
        try:
            await self._read_all()
        finally:
            # Nobody can begin to wait between the last look and this.
            self._at_work -= 1

    async def _read_all(self) -> None:
        while self._waiting:
            asked = dict(list(self._waiting.items())[:MOST_IN_ONE])
            for key in asked:
                del self._waiting[key]
            try:
                rows = await fetch(
                    self.pool,
                    DOSSIERS,
                    [key for key in asked if isinstance(key, str)],
                    [key for key in asked if isinstance(key, UUID)],
                )
                if not READS.isdisjoint(rows[0]["young"]):
                    # Snapshots tell what can be answered meanwhile.
                    raise Moved
                found = _by_key(rows)
                for key, waiting in asked.items():
                    waiting.set_result(found[key] if key in found else found[None])
            except BaseException as reason:
                for waiting in asked.values():
                    if isinstance(reason, asyncio.CancelledError):
                        waiting.cancel()
                    else:
                        waiting.set_exception(reason)
                        # Whoever waited may be gone.
                        waiting.exception()
                if not isinstance(reason, Exception):
                    raise

    async def close(self) -> None:
        """Reads nothing more."""
        for task in list(self._reading):
            await stop(task)


def _by_key(rows: Sequence[asyncpg.Record]) -> dict[str | UUID | None, _Found]:
    """Where slugs and ids led; of None, how the read models stood for all that led nowhere."""
    low, high, era = rows[0]["low"], rows[0]["high"], rows[0]["era"] or ""
    found: dict[str | UUID | None, _Found] = {None: _Found(None, low, high, era)}
    for row in rows:
        if row["listing"] is not None:
            dossier = Dossier(row)
            key = dossier.listing.id if row["asked"] is None else row["asked"]
            found[key] = _Found(dossier, low, high, era)
    return found


def _marks(key: str | UUID, dossier: Dossier | None) -> tuple[str, ...]:
    """What may change where the key leads, and what is there."""
    if dossier is None:
        # Whoever is registered or renamed next may be meant by it.
        return (CATALOG, NAMES)
    if isinstance(key, str) and key != dossier.listing.slug:
        return (*dossier.marks, NAMES)
    return dossier.marks


class Reading:
    """What one answer reads: everything as of one position."""

    def __init__(self, dossiers: Dossiers, at: int, *, anew: bool = False) -> None:
        """With `anew`, nothing is taken that was read of artifacts before."""
        self._dossiers = dossiers
        self._anew = anew
        self.at = at
        self._read: dict[str | UUID, Dossier | None] = {}

    def holds(self, position: int, era: str, marks: Iterable[str]) -> bool:
        """Whether what is of that position and era, and rests on these marks, is right here."""
        touched = self._dossiers.touched
        return touched.era == era and not touched.since(min(self.at, position), marks)

    async def joins(self, position: int, mark: str) -> None:
        """Returns if what is as of that position and rests on that mark is the same here. Raises:
        Moved."""
        dossiers = self._dossiers
        await dossiers.check(self.at, position, position, dossiers.touched.era, (mark,))

    def standing(self, dossier: Dossier) -> Standing | None:
        """Where the artifact stands, if that is known."""
        if not dossier.is_placed:
            return Standing()
        known = dossier.stood
        if known is None or self._dossiers.touched.since(min(self.at, known[1]), (board(None),)):
            return None
        return known[0]

    async def standings(self, dossiers: Sequence[Dossier], boards: Boards) -> list[Standing]:
        """Where artifacts stand that have a place. Raises: Moved, Unavailable."""
        ranks = [one.ranked for one in dossiers if one.ranked is not None]
        found = await boards.kept_standings(ranks, self.at)
        if found is None:
            async with viewing(self._dossiers.pool) as snapshot:
                found = await boards.standings(snapshot, [one.listing.id for one in dossiers])
                ((low, high, era),) = await snapshot.fetch(STANDS)
            marks = [board(None), *(one.marks[0] for one in dossiers)]
            await self._dossiers.check(self.at, low, high, era, marks)
        for dossier, standing in zip(dossiers, found, strict=True):
            dossier.stood = standing, self.at
        return found

    async def find(self, key: str | UUID) -> Dossier | None:
        """The artifact with that id, or that the slug leads to; None where there is none. Raises:
        Moved, Unavailable."""
        if key in self._read:
            return self._read[key]
        found = await self._dossiers.find(key, self.at, anew=self._anew)
        self._read[key] = found
        if found is not None:
            self._read[found.listing.id] = found
        return found

    async def profiles(self, ids: Sequence[UUID]) -> list[Profile]:
        """What the capabilities of these artifacts say, as they are compared. Raises: Moved also
        where they have vectors of different models; Unavailable."""
        dossiers = await self._all(ids)
        unknown = [one for one in dossiers if one.profile is None or one.profile.model is None]
        if unknown:
            await self._dossiers.read_profiles(unknown, self.at)
        found = [one.profile for one in dossiers if one.profile is not None]
        if len({one.model for one in found} - {None}) > 1:
            raise Moved
        return found

    async def head_to_head(self, ids: Sequence[UUID]) -> list[HeadToHead] | None:
        """How each two of the artifacts fared where both were examined, in the order given; None
        where there is more than dossiers tell. Raises: Moved, Unavailable."""
        dossiers = {one.listing.id: one for one in await self._all(ids)}
        found = []
        for left, right in combinations(ids, 2):
            pairs = dossiers[min(left, right)].pairs
            if pairs is None:
                return None
            found.append(fared(left, right, pairs.get(max(left, right))))
        return found

    async def _all(self, ids: Sequence[UUID]) -> list[Dossier]:
        found = [await self.find(id) for id in ids]
        if any(one is None for one in found):
            raise Moved
        return [one for one in found if one is not None]

    async def in_force(self) -> InForce:
        """What ranks are measured by. Raises: Moved, Unavailable."""
        return await self._dossiers.in_force(self.at)


@asynccontextmanager
async def open_dossiers(url: str, touched: Touched, *, most: int) -> AsyncIterator[Dossiers]:
    """Dossiers that are read over connections of their own. Units: as Dossiers has them.

    Rows of one artifact are found by key, one table after the other. The planner thinks more of
    them than there are, and might rather read the whole catalog for a few.
    """
    pool = await open_pool(
        url,
        "dossiers",
        size=AT_ONCE,
        enable_hashjoin="off",
        enable_mergejoin="off",
        enable_seqscan="off",
    )
    dossiers = Dossiers(pool, touched, most=most)
    try:
        yield dossiers
    finally:
        await dossiers.close()
        await pool.close()
