"""Searches of other days: what halves in a month is tested with months."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from matchgraph.commands import search as commands
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import id_of
from matchgraph.domain.need import Need
from matchgraph.domain.search import Intent, Outcome, Search, Served
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.eventstore.store import Store, stored
from tests.eventstore.histories import INTENTS, sealed
from tests.projections.tables import BY

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def on(day: int, *aggregates: Aggregate) -> list[StoredEvent]:
    """The pending events of the aggregates as if they had happened on that day."""
    at = BEGIN + timedelta(days=day)
    return [
        stored(type(event)(**{**vars(event), "timestamp": at}))  # type: ignore[arg-type]
        for aggregate in aggregates
        for event in aggregate.collect_events()
    ]


class Log:
    """Appends searches and reports of given days; with keys, words are really sealed."""

    def __init__(self, store: Store, keys: SearcherKeys | None = None) -> None:
        self._store = store
        self._keys = keys

    async def search(
        self,
        served: tuple[Served, ...],
        *,
        day: int = 0,
        searcher: str = "ann",
        intent: Intent = INTENTS[0],
        id: UUID | None = None,
        **outcomes: Outcome,
    ) -> Search:
        """A search, with what became of its results by slug on the same day."""
        id = id or uuid4()
        words = sealed(intent, searcher)
        if self._keys is not None:
            need = Need(text=intent.label)
            words = await commands.sealed(self._keys, id, need, intent, searcher)
        made = Search.answer(id, words, intent.cluster, searcher, served)
        for slug, outcome in outcomes.items():
            made.report(id_of(slug), outcome)
        await self.append(day, made)
        return made

    async def report(self, search: Search, slug: str, outcome: Outcome, *, day: int = 0) -> None:
        """What became of a result on a later day."""
        search.report(id_of(slug), outcome)
        await self.append(day, search)

    async def append(self, day: int, *aggregates: Any) -> None:
        """What is pending, as if it had happened on that day."""
        await self._store.append_stored(on(day, *aggregates), BY)
