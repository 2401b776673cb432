"""What changed since when, so that what was answered once is known to be the answer still.

An answer carries marks: the artifacts it speaks of, the boards it looked at, and so on. Each
process follows the log, a moment behind the read models, and remembers of each mark the newest
position that touched it. An answer as of a position is still right as long as none of its marks was
touched since. Nothing has to be found and thrown away for that, and an answer that was being made
while an event arrived is no special case: it is as of the position before.

Asked by http/answers.py.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import aclosing
from math import inf

import msgspec

from matchgraph.eventstore.connection import FULL, LOST, Connection, connect
from matchgraph.eventstore.eager import owned
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.projections.redis_client import HISTORY
from matchgraph.projections.runner import pages

log = logging.getLogger(__name__)

# Whatever lists or counts artifacts.
CATALOG = "catalog"
# Which slug leads where, beyond an artifact's own.
NAMES = "names"
# What searchers call what they search for; it shows on the artifacts of others, too.
INTENTS = "intents"

# Where the read models stand. Another history has another era, as have read models that were
# computed anew and may say something else of the same position: their tables are others.
STANDS = f"""
SELECT position, furthest, ({HISTORY}) || '.' || (
  SELECT md5(string_agg(oid::text, ' ' ORDER BY oid)) FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
) FROM common_position
"""
MOVED = """
SELECT b.kind, max(h.position) FROM rank_history h JOIN rank_board b USING (artifact_id)
WHERE h.position > $1 AND h.position <= $2 GROUP BY b.kind
"""

# What says how all that a search served compares, beside what the event itself is about.
COMPARING = {"search.continued", "outcome.reported"}
SERVED = "SELECT search_id::text AS id, artifacts FROM match_search WHERE search_id = ANY ($1)"

# So many marks are remembered; then what was touched long ago is forgotten, and answers with it.
MOST_REMEMBERED = 100_000
# Units: seconds. Who has not looked for so long may have missed to be woken.
CERTAIN = 3.0
# Units: events. Who is further behind begins anew instead of reading them.
FAR = 20_000
# Units: seconds between two attempts while the database is away.
PAUSE = 0.5


def board(kind: str | None) -> str:
    """The mark of the board of that kind, or of the one over all."""
    return f"board:{kind or 'all'}"


def matches(artifact_id: str) -> str:
    """The mark of what searchers have made of that artifact, beside the artifact's own: each search
    touches it for all that it served."""
    return f"{artifact_id} matches"


class _Served(msgspec.Struct, frozen=True, gc=False):
    artifact_id: str


class _Event(msgspec.Struct, frozen=True, gc=False):
    """An event, of whatever topic and version, with all that names an artifact."""

    type: str
    id: str
    into: str | None = None
    other: str | None = None
    artifact_id: str | None = None
    served: _Served | tuple[_Served, ...] = ()


_decode = msgspec.json.Decoder(list[_Event]).decode


def marks(event: _Event) -> Iterable[str] | None:
    """What the event touches, but for boards; None: everything, as does what nobody thought of
    here."""
    match event.type.partition("@")[0]:
        case "signal.observed":
            return (event.id,)
        case (
            "artifact.registered"
            | "artifact.described"
            | "artifact.retired"
            | "artifact.reinstated"
            | "capability.added"
            | "capability.revised"
            | "capability.retired"
            | "price.observed"
            | "price.withdrawn"
        ):
            return (event.id, CATALOG)
        case "artifact.merged" | "artifact.unmerged" | "artifact.absorbed" | "artifact.parted":
            return (event.id, event.other or event.into or event.id, CATALOG, NAMES)
        case "artifact.told_apart":
            return (event.id, event.other or event.id)
        case "artifact.aliased" | "artifact.realiased" | "artifact.unaliased":
            return (event.artifact_id or event.id, NAMES)
        case "search.answered" | "search.continued" | "outcome.reported":
            served = event.served if isinstance(event.served, tuple) else (event.served,)
            ids = [one.artifact_id for one in served]
            # What an outcome says moves ranks; what was served only adds to what they rest on.
            moved = ids if event.type.startswith("outcome.reported") else ()
            return (INTENTS, *map(matches, ids), *moved)
        case "key.issued" | "key.revoked" | "outcome.discarded":
            return ()
    return None


class Touched:
    """What was touched last at which position, as far as this process knows."""

    def __init__(self, url: str, listener: Listener, *, certain: float = CERTAIN) -> None:
        """Units: `certain`, the seconds for which it is certain after a look that nothing has
        happened since but what it will be woken for."""
        self._certain = certain
        self._url = url
        self._listener = listener
        # Nothing is known of what was touched up to there, and everything of what was since.
        self._since = 0
        self._at = 0
        self._era = ""
        self._last: dict[str, int] = {}
        self._looked = -inf
        self._steady = False
        # Set by the next look.
        self._look = asyncio.Event()

    @property
    def at(self) -> int | None:
        """The position up to which all is known, which is where every read model stands; None while
        that is not certain."""
        if not self._steady or time.monotonic() - self._looked > self._certain:
            return None
        return self._at

    @property
    def era(self) -> str:
        """By which read models of which history an answer was made has to be the same."""
        return self._era

    def since(self, position: int, marks: Iterable[str]) -> bool:
        """Whether one of the marks was touched after that position, or may have been."""
        if position < self._since:
            return True
        last = self._last
        # (A generator would take twice as long, and this is asked of every answer.)
        for mark in marks:  # noqa: SIM110
            if last.get(mark, 0) > position:
                return True
        return False

    async def reaches(self, position: int, patience: float) -> bool:
        """Whether everything is known up to that position before so many seconds are over."""
        if self._at >= position and self.at is not None:
            return True
        return await owned(self._reaches(position, patience))

    async def _reaches(self, position: int, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                while self.at is None or self._at < position:
                    await self._look.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follows the read models without end."""
        while True:
            try:
                await self._follow()
            except (*LOST, *FULL) as reason:
                log.warning("what changes is not known, trying again: %s", reason)
                await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        db = await connect(self._url, "touched")
        try:
            async with self._listener.wakes(PROJECTED) as wakes:
                while True:
                    await self.look(db)
                    await wakes.wait(self._certain / 3)
        finally:
            db.terminate()

    async def look(self, db: Connection) -> None:
        """Takes in whatever the read models have since. Raises: one of LOST."""
        looked = time.monotonic()
        row = await db.fetchrow(STANDS)
        assert row is not None, "an aggregate without GROUP BY has one row"
        low, high, era = row
        # While one of them is behind, or is being computed anew from an earlier event on, an answer
        # is of no position at all, and what that one will say of ranks is not there yet.
        self._steady = low == high
        if era != self._era or low - self._at > FAR or high < self._at:
            self._forget(high)
            self._era = era or ""
        elif low > self._at:
            self._take(await self._marks(db, low), low)
        self._looked = looked
        self._look.set()
        self._look = asyncio.Event()

    async def _marks(self, db: Connection, upto: int) -> list[tuple[str | None, int]]:
        found: list[tuple[str | None, int]] = []
        compared: list[tuple[str, int]] = []
        async with aclosing(pages(db, self._at, until=upto)) as history:
            async for page in history:
                for position, event in enumerate(_decode(page.json), start=page.first):
                    touched = marks(event)
                    if event.type.partition("@")[0] in COMPARING:
                        compared.append((event.id, position))
                    if touched is None:
                        found.append((None, position))
                    else:
                        found += [(mark, position) for mark in touched]
        if compared:
            rows = await db.fetch(SERVED, sorted({search for search, _ in compared}))
            served = {row["id"]: row["artifacts"] for row in rows}
            for search, position in compared:
                # Of one that is over nobody knows any more what it served.
                found += [(id and matches(str(id)), position) for id in served.get(search, [None])]
        moved = await db.fetch(MOVED, self._at, upto)
        found += [(board(kind), last) for kind, last in moved]
        if moved:
            found.append((board(None), max(last for _, last in moved)))
        return found

    def _take(self, found: Iterable[tuple[str | None, int]], upto: int) -> None:
        for mark, position in found:
            if mark is None:
                self._forget(position)
            elif position > self._last.get(mark, 0):
                self._last[mark] = position
        self._at = upto
        if len(self._last) > MOST_REMEMBERED:
            self._forget(upto)

    def _forget(self, position: int) -> None:
        """Holds everything up to that position for touched."""
        self._last.clear()
        self._since = self._at = position
