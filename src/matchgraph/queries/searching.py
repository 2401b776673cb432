"""What all searches of one process share, and a search from the need to its results."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from matchgraph import embedding
from matchgraph.domain.need import Need
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import FULL, LOST, Pool
from matchgraph.queries.need import Ready, ready
from matchgraph.queries.search import Answer, Vector, find, written
from matchgraph.queries.snapshot import Snapshot
from matchgraph.queries.vocabulary import Vocabularies

log = logging.getLogger(__name__)


# More intents than that at once would take connections from those who ask.
MOST_AT_ONCE = 4


@dataclass(frozen=True)
class Found:
    """A need as it was understood, and who serves it, best first."""

    ready: Ready
    answer: Answer


class Searching:
    """Keeps the vocabulary, and the embedding model once it is loaded; until then, and without
    one, searches go by words alone."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder
        self._vocabularies = Vocabularies()
        self._remembering: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> str | None:
        """The model whose vectors are compared."""
        return None if self.embedder is None else self.embedder.model

    async def load(self, name: str) -> None:
        """Loads the embedding model of that name."""
        try:
            self.embedder = await asyncio.to_thread(embedding.load, name)
        except embedding.ModelUnusable as reason:
            log.error("search goes by words alone: %s", reason)

    async def search(
        self, snapshot: Snapshot, need: Need, *, today: date, ignored: Collection[str] = ()
    ) -> Found:
        """Who serves the need. `ignored` names readings of its text that are switched off.

        Raises: EmptyNeed, UnknownExample, Contradiction, Unavailable.
        """
        vocabulary = await self._vocabularies.of(snapshot)
        made = await ready(snapshot, need, vocabulary, self.embedder, today=today, ignored=ignored)
        return Found(made, await find(snapshot, made.asked, self.model))

    def remember(self, pool: Pool, cluster: UUID, vector: Vector | None) -> None:
        """Keeps what an intent means, so that later needs that mean the same are known for it;
        nobody waits for that."""
        if vector is not None and len(self._remembering) < MOST_AT_ONCE:
            task = asyncio.create_task(self.keep(pool, cluster, vector), name="intent")
            self._remembering.add(task)
            task.add_done_callback(self._remembering.discard)

    async def keep(self, pool: Pool, cluster: UUID, vector: Vector) -> None:
        """Writes down what an intent means, if it can."""
        try:
            await pool.execute(
                "INSERT INTO intent_vector VALUES ($1, $2, $3::text::halfvec)"
                " ON CONFLICT DO NOTHING",
                self.model,
                cluster,
                written(vector),
            )
        except (*LOST, *FULL) as reason:
            # A later search of the same intent makes up for it.
            log.warning("an intent is not remembered: %s", reason)
