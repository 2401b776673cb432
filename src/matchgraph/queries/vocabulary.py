"""The names that the catalog knows, by which plain words are understood."""

import asyncio
import logging
import time
from collections import defaultdict

from matchgraph.domain.vocabulary import Vocabulary
from matchgraph.eventstore.errors import Unavailable
from matchgraph.queries.snapshot import Snapshot

log = logging.getLogger(__name__)

# Units: seconds. A name that is newer than that is understood; until then it is matched as a word.
FRESH = 60.0
SHORT = 0.1
NAMES = """
SELECT 'vendor' AS what, vendor AS name, NULL AS way FROM artifact_listing
  WHERE vendor IS NOT NULL AND status = 'active' GROUP BY vendor
UNION ALL SELECT 'family', family, NULL FROM artifact_listing
  WHERE family IS NOT NULL AND status = 'active' GROUP BY family
UNION ALL SELECT 'licence', licence, NULL FROM artifact_listing
  WHERE licence IS NOT NULL AND status = 'active' GROUP BY licence
UNION ALL SELECT 'provider', provider, NULL FROM price_current GROUP BY provider
UNION ALL SELECT 'capability', key, name FROM capability_listing
  WHERE NOT retired GROUP BY key, name
"""
ARTIFACTS = """
SELECT l.slug, l.name, array(SELECT a.slug FROM artifact_alias a WHERE a.artifact_id = l.id) AS ways
FROM artifact_listing l LEFT JOIN rank_board b ON b.artifact_id = l.id
WHERE l.status = 'active' ORDER BY b.standing DESC NULLS LAST, l.slug
"""


class Vocabularies:
    """The vocabulary of the catalog, read again when the catalog has changed, not more often than
    it pays. One for each process."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._made_of: tuple[object, ...] = ()
        self._made_at = 0.0
        self._took = 0.0
        self._turn = asyncio.Lock()

    async def of(self, snapshot: Snapshot) -> Vocabulary:
        """The names as of the view, or of up to a minute before where reading them takes long.
        Raises: Unavailable."""
        made_of = await _state(snapshot)
        if made_of == self._made_of or not self._due() or (self._turn.locked() and self._made_of):
            return self._vocabulary
        async with self._turn:
            if made_of != self._made_of and self._due():
                await self._read(snapshot, made_of)
        return self._vocabulary

    async def _read(self, snapshot: Snapshot, made_of: tuple[object, ...]) -> None:
        """Reads it again, within the view of whoever asks while that takes no time. Where a catalog
        is too large to be read, searches go on without its names."""
        started = time.monotonic()
        view = snapshot if self._took < SHORT else snapshot.another()
        try:
            self._vocabulary = await _read(view)
            self._made_of = made_of
        except Unavailable:
            if view is snapshot:
                raise
            log.exception("the names of the catalog cannot be read")
        finally:
            self._made_at = time.monotonic()
            self._took = self._made_at - started
            if view is not snapshot:
                await view.close()

    def _due(self) -> bool:
        # A small catalog is read in no time, so whoever adds to it is understood at once.
        return self._took < SHORT or time.monotonic() - self._made_at > FRESH


async def _state(snapshot: Snapshot) -> tuple[object, ...]:
    rows = await snapshot.fetch(
        "SELECT (SELECT max(position) FROM artifact_listing) AS artifacts,"
        " (SELECT max(position) FROM capability_listing) AS capabilities,"
        " (SELECT max(position) FROM price_history) AS prices,"
        " (SELECT max(position) FROM rank_calibration) AS ranks"
    )
    return tuple(rows[0])


async def _read(snapshot: Snapshot) -> Vocabulary:
    names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in await snapshot.fetch(NAMES):
        ways = names[row["what"]][row["name"]]
        if row["way"] is not None:
            ways.append(row["way"])
    artifacts = {
        row["slug"]: (row["name"], *row["ways"]) for row in await snapshot.fetch(ARTIFACTS)
    }
    return await asyncio.to_thread(
        Vocabulary.of,
        vendors=names["vendor"],
        families=names["family"],
        providers=names["provider"],
        licences=names["licence"],
        artifacts=artifacts,
        capabilities=names["capability"],
    )
