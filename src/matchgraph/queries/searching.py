"""What all searches of one process share, and a search from the need to its results."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from secrets import token_bytes
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


# Whoever destroys the key waits for this, or this finds it destroyed.
KEEP = (
    "INSERT INTO intent_vector (model, cluster, vector, key)"
    " SELECT $1, $2, $3::text::halfvec, id FROM searcher_key WHERE id = $4 FOR SHARE"
    " ON CONFLICT DO NOTHING"
)
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

    def __init__(self, embedder: Embedder | None = None, *, secret: bytes | None = None) -> None:
        """Processes that are given one `secret` know the same words for the same intent."""
        self.embedder = embedder
        self._secret = secret or token_bytes(32)
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
        made = await ready(
            snapshot,
            need,
            vocabulary,
            self.embedder,
            today=today,
            secret=self._secret,
            ignored=ignored,
        )
        return Found(made, await find(snapshot, made.asked, self.model))

    def remember(self, pool: Pool, cluster: UUID, vector: Vector | None, key: UUID) -> None:
        """Keeps what an intent means, so that later needs that mean the same are known for it;
        nobody waits for that. `key` is that of the searcher in whose words it is."""
        if vector is not None and len(self._remembering) < MOST_AT_ONCE:
            task = asyncio.create_task(self.keep(pool, cluster, vector, key), name="intent")
            self._remembering.add(task)
            task.add_done_callback(self._remembering.discard)

    async def keep(self, pool: Pool, cluster: UUID, vector: Vector, key: UUID) -> None:
        """Writes down what an intent means, if it can, and unless whose words it is is forgotten:
        a vector may tell the words that it was made of."""
        try:
            await pool.execute(
                KEEP,
                self.model,
                cluster,
                written(vector),
                key,
            )
        except (*LOST, *FULL) as reason:
            # A later search of the same intent makes up for it.
            log.warning("an intent is not remembered: %s", reason)
