"""The task that fills `text_vector`: what each text of `search_text` means, by one model.

Read by queries/search.py. No projection: embedding takes too long for the transaction that moves
the checkpoints, and a text that has no vector yet is found by its words.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from uuid import UUID

from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import Connection, advisory_lock, connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.projections.runner import AWAY

log = logging.getLogger(__name__)

# The first half of the two-part advisory locks, one for each model.
EMBEDDING = 723314783
# So many texts are embedded together, and so many are read at once when everything is looked at.
MOST_AT_ONCE = 32
MOST_IN_PAGE = 1_000
# Units: events. Their artifacts are looked through together for texts without a vector.
SPAN = 2_000
# Units: seconds from one look at everything to the next. Texts come with events, which are
# followed; this finds those of a read model that was rebuilt.
REST = 600.0

_LOWEST = UUID(int=0)
_REACHED = "SELECT position FROM projection_checkpoint WHERE name = 'search_index'"
_ABSENT = "NOT EXISTS (SELECT FROM text_vector v WHERE v.hash = t.hash AND v.model = $1)"
# The next texts in the order of their hashes: how far those go, and which have no vector. So all
# pages together are once through two indexes, however few are missing, and a text is read only to
# be embedded.
_PAGE = f"""
WITH page AS MATERIALIZED (
  SELECT DISTINCT hash FROM search_text WHERE hash > $2 ORDER BY hash LIMIT $3
)
SELECT upto.hash AS upto, m.hash, m.text
FROM (SELECT hash FROM page ORDER BY hash DESC LIMIT 1) AS upto
LEFT JOIN LATERAL (
  SELECT t.hash, (SELECT s.text FROM search_text s WHERE s.hash = t.hash LIMIT 1) AS text
  FROM page t WHERE {_ABSENT}
) AS m ON true
"""
_COUNT = f"SELECT count(DISTINCT t.hash) FROM search_text t WHERE {_ABSENT}"
_NEW = f"""
SELECT DISTINCT ON (t.hash) t.hash, t.text
FROM (SELECT DISTINCT originator_id FROM event WHERE position > $2 AND position <= $3) AS e
JOIN search_artifact a ON a.artifact_id = e.originator_id
JOIN search_document d ON d.artifact = a.artifact
JOIN search_text t ON t.artifact = d.artifact AND t.document = d.document
WHERE {_ABSENT}
"""
_INSERT = (
    "INSERT INTO text_vector (model, hash, vector) VALUES ($1, $2, $3::real[]::halfvec)"
    " ON CONFLICT DO NOTHING"
)


class TextVectors:
    """Gives every text a vector of the embedder's model. Any number of processes may run one; for
    each model, one of them works."""

    def __init__(
        self, url: str, listener: Listener, embedder: Embedder, *, rest: float = REST
    ) -> None:
        """Units: seconds from one look at everything to the next."""
        self._url = url
        self._listener = listener
        self._embedder = embedder
        self._rest = rest
        self._refused: set[UUID] = set()
        self.leads = False

    async def run(self) -> None:
        """Works as soon as nobody else does, without end; waits for a database that is away."""
        # A thread of its own, which lets those go first that somebody waits for.
        thread = ThreadPoolExecutor(1, "vectors", _step_back)
        try:
            while True:
                pause = 0.2
                try:
                    await self._lead(thread)
                except AWAY as reason:
                    log.warning("text vectors: lost the database, trying again: %s", reason)
                except Exception:
                    # Without this task search gets worse for good, and nobody would see why.
                    log.exception("text vectors: failed, trying again")
                    pause = 5.0
                finally:
                    self.leads = False
                await asyncio.sleep(pause)
        finally:
            # What it embeds at present nobody waits for.
            thread.shutdown(wait=False, cancel_futures=True)

    async def _lead(self, thread: Executor) -> None:
        # What a crash takes is embedded again, so nothing is gained by waiting for the disk.
        db = await connect(self._url, "text vectors", synchronous_commit="off")
        try:
            # Waits in line; goes with the connection, without which there is nothing to write.
            await advisory_lock(db, EMBEDDING, self._embedder.model)
            self.leads = True
            await self._follow(db, thread)
        finally:
            db.terminate()

    async def _follow(self, db: Connection, thread: Executor) -> None:
        model = self._embedder.model
        next_look = time.monotonic()
        after: UUID | None = None
        # What looking at everything has found.
        found: dict[UUID, str] = {}
        async with self._listener.wakes(PROJECTED) as wakes:
            # All up to there is found by looking at everything, which comes next.
            position: int = await db.fetchval(_REACHED)
            while True:
                reached: int = await db.fetchval(_REACHED)
                if position < reached:
                    # What is new comes first: somebody may be looking for it already.
                    upto = min(reached, position + SPAN)
                    rows = await db.fetch(_NEW, model, position, upto)
                    new = {row["hash"]: row["text"] for row in rows}
                    while new:
                        found = {hash: found[hash] for hash in found.keys() - new.keys()}
                        await _add(db, self._embedder, _taken(new), thread, self._refused)
                    position = upto
                elif found:
                    await _add(db, self._embedder, _taken(found), thread, self._refused)
                elif after is not None:
                    after, found = await _page(db, model, after)
                    if after is None:
                        next_look = time.monotonic() + self._rest
                elif time.monotonic() >= next_look:
                    after = _LOWEST
                else:
                    await wakes.wait()


async def fill(
    db: Connection, embedder: Embedder, progress: Callable[[int, int], None] = lambda *_: None
) -> int:
    """Embeds every text that has no vector of the model, once; returns how many those were.

    `progress` hears how many of how many are done. A text that the model fails at is left out, and
    the log has its hash. Raises: one of LOST.
    """
    total = await db.fetchval(_COUNT, embedder.model)
    done = 0
    refused: set[UUID] = set()
    after: UUID | None = _LOWEST
    while after is not None:
        after, found = await _page(db, embedder.model, after)
        while found:
            some = _taken(found)
            await _add(db, embedder, some, None, refused)
            done += len(some)
            progress(done, max(total, done))
    return done - len(refused)


async def _page(db: Connection, model: str, after: UUID) -> tuple[UUID | None, dict[UUID, str]]:
    """The texts without a vector among the next ones, and up to where those go; None at the end."""
    rows = await db.fetch(_PAGE, model, after, MOST_IN_PAGE)
    upto = rows[0]["upto"] if rows else None
    return upto, {row["hash"]: row["text"] for row in rows if row["hash"] is not None}


def _taken(texts: dict[UUID, str]) -> dict[UUID, str]:
    """Some of the texts, which are then no longer among them."""
    return {hash: texts.pop(hash) for hash in list(islice(texts, MOST_AT_ONCE))}


async def _add(
    db: Connection,
    embedder: Embedder,
    texts: Mapping[UUID, str],
    thread: Executor | None,
    refused: set[UUID],
) -> None:
    """Embeds the texts and keeps their vectors; those that the model fails at are `refused` from
    then on, and left out."""
    texts = {hash: text for hash, text in texts.items() if hash not in refused}
    try:
        found = await _embedded(embedder, texts, thread)
    except Exception:
        # One text must not keep the others, nor all that come after it, from their vectors.
        found = {}
        for hash, text in texts.items():
            try:
                found |= await _embedded(embedder, {hash: text}, thread)
            except Exception as reason:
                refused.add(hash)
                # What the exception says may quote the text, which is nothing for a log.
                log.error(
                    "text vectors: %s fails at the text with the hash %s (%s); left out until the"
                    " process starts again",
                    embedder.model,
                    hash,
                    type(reason).__name__,
                )
    # In the order of their hashes, so that two who add the same texts wait for each other in turn.
    rows = sorted((embedder.model, hash, vector) for hash, vector in found.items())
    await db.executemany(_INSERT, rows)


async def _embedded(
    embedder: Embedder, texts: Mapping[UUID, str], thread: Executor | None
) -> dict[UUID, list[float]]:
    """What the texts mean. Raises: whatever the model does."""
    if not texts:
        return {}
    loop = asyncio.get_running_loop()
    vectors = await loop.run_in_executor(thread, embedder.embed, list(texts.values()))
    return {hash: vector.tolist() for hash, vector in zip(texts, vectors, strict=True)}


def _step_back() -> None:
    """Gives the calling thread the lowest priority, where a thread has one of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
