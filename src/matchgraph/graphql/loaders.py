"""Related objects, one statement per relation and request."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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

K = TypeVar("K")
V = TypeVar("V")


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
            load: Callable[[Snapshot, Sequence[K]], Awaitable[Sequence[V]]],
        ) -> Loader[K, V]:
            async def batch(keys: list[K]) -> Sequence[V | BaseException]:
                with span(f"load {load.__module__}.{load.__name__}", keys=len(keys)):
                    return list(await load(snapshot, keys))

            return Loader(batch)

        self.by_slug: Loader[str, Listing | None] = loader(artifact.by_slugs)
        self.by_id: Loader[UUID, Listing | None] = loader(artifact.by_ids)
        self.aliases: Loader[UUID, list[str]] = loader(artifact.aliases)
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
        self.explained: Loader[UUID, Rank | None] = loader(rank.explained)
        self.rank_history: Loader[rank.Asked, Page[RankChange]] = loader(rank.history)
        self.standing: Loader[UUID, Standing] = loader(boards.standings)
        self.times_matched_by: Loader[tuple[UUID, str], tuple[int, int]] = loader(
            match_graph.times_matched_by
        )
        self.times_matched: Loader[UUID, int] = loader(match_graph.times_matched)
        self.match_edges: Loader[tuple[UUID, int, str | None], Page[Match]] = loader(
            lambda view, asked: match_graph.edges_of(view, keys, asked)
        )
