"""Related objects, one statement per relation and request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from matchgraph.domain.price import Price
from matchgraph.domain.ranking import Rank
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.observe import span
from matchgraph.projections.changes import RankChange
from matchgraph.projections.ranked import Ranked
from matchgraph.queries import artifact, capability, match_graph, price, rank, signal
from matchgraph.queries.artifact import Listing
from matchgraph.queries.board import Boards, Standing
from matchgraph.queries.capability import Offered
from matchgraph.queries.match_graph import Match
from matchgraph.queries.page import Page
from matchgraph.queries.price import Observation
from matchgraph.queries.snapshot import Snapshot
from matchgraph.queries.touched import CATALOG, INTENTS, NAMES, board, matches

K = TypeVar("K")
V = TypeVar("V")
# What is looked up of one artifact, which it names.
Own = TypeVar("Own", bound=UUID | tuple[UUID, *tuple[object, ...]] | rank.Asked)


class Loader(DataLoader[K, V]):
    """What is loaded is for all who ask for it: that one of them is cancelled, as fields are beside
    one that failed, takes it from nobody else."""

    def load(self, key: K) -> Awaitable[V]:
        """As the library's."""
        return asyncio.shield(super().load(key))


class Loaders:
    """The relations of an artifact, all read from one view."""

    def __init__(self, snapshot: Snapshot, boards: Boards, keys: SearcherKeys) -> None:
        def loader(
            load: Callable[[Snapshot, Sequence[Own]], Awaitable[Sequence[V]]],
            *besides: str,
            matched: bool = False,
        ) -> Loader[Own, V]:
            """What is loaded is of the artifacts that the keys name, with `matched` also of what
            searchers have made of them, and of the marks `besides`."""

            async def batch(keys: list[Own]) -> Sequence[V | BaseException]:
                named = span(f"load {load.__module__}.{load.__name__}", keys=len(keys))
                ids = list(map(_artifact, keys))
                with (
                    named,
                    snapshot.notes.of(*ids, *map(matches, ids if matched else ()), *besides),
                ):
                    return list(await load(snapshot, keys))

            return Loader(batch)

        async def by_slugs(slugs: list[str]) -> Sequence[Listing | BaseException | None]:
            with span(f"load {artifact.__name__}.by_slugs", keys=len(slugs)), snapshot.notes.of():
                found = await artifact.by_slugs(snapshot, slugs)
            for slug, listing in zip(slugs, found, strict=True):
                snapshot.notes.add(_led(slug, listing))
            return list(found)

        self.by_slug: Loader[str, Listing | None] = Loader(by_slugs)
        self.by_id: Loader[UUID, Listing | None] = loader(artifact.by_ids)
        self.aliases: Loader[UUID, list[str]] = loader(artifact.aliases, NAMES)
        self.capabilities: Loader[tuple[UUID, int, str | None], Page[Offered]] = loader(
            capability.of_artifacts
        )
        self.capability: Loader[tuple[UUID, str], Offered | None] = loader(capability.by_keys)
        self.capability_count: Loader[UUID, int] = loader(capability.counts)
        self.prices: Loader[UUID, tuple[Price, ...]] = loader(price.current)
        self.price_history: Loader[tuple[UUID, int, str | None], Page[Observation]] = loader(
            price.history
        )
        self.signals: Loader[UUID, tuple[Signal, ...]] = loader(signal.of_artifacts)
        self.ranked: Loader[UUID, Ranked | None] = loader(rank.ranked)
        self.explained: Loader[UUID, Rank | None] = loader(rank.explained, matched=True)
        self.rank_history: Loader[rank.Asked, Page[RankChange]] = loader(rank.history)
        self.standing: Loader[UUID, Standing] = loader(boards.standings, board(None))
        self.times_matched_by: Loader[tuple[UUID, str], tuple[int, int]] = loader(
            match_graph.times_matched_by, matched=True
        )
        self.times_matched: Loader[UUID, int] = loader(match_graph.times_matched, matched=True)
        self.match_edges: Loader[tuple[UUID, int, str | None], Page[Match]] = loader(
            lambda view, asked: match_graph.edges_of(view, keys, asked), INTENTS, matched=True
        )


def _artifact(key: UUID | tuple[UUID, *tuple[object, ...]] | rank.Asked) -> str:
    """The mark of the artifact that a key names."""
    if isinstance(key, rank.Asked):
        return str(key.artifact_id)
    return str(key[0] if isinstance(key, tuple) else key)


def _led(slug: str, listing: Listing | None) -> Iterable[str]:
    """The marks of where a slug led."""
    if listing is None:
        # Whoever is registered or renamed next may be meant by it.
        return (CATALOG, NAMES)
    return (str(listing.id),) if slug == listing.slug else (str(listing.id), NAMES)
