"""Related objects, one statement per relation and request."""

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


class Loaders:
    """The relations of an artifact, all read from one view."""

    def __init__(self, snapshot: Snapshot, boards: Boards, keys: SearcherKeys) -> None:
        def loader(
            load: Callable[[Snapshot, Sequence[K]], Awaitable[Sequence[V]]],
        ) -> DataLoader[K, V]:
            async def batch(keys: list[K]) -> Sequence[V | BaseException]:
                with span(f"load {load.__module__}.{load.__name__}", keys=len(keys)):
                    return list(await load(snapshot, keys))

            return DataLoader(batch)

        self.by_slug: DataLoader[str, Listing | None] = loader(artifact.by_slugs)
        self.by_id: DataLoader[UUID, Listing | None] = loader(artifact.by_ids)
        self.aliases: DataLoader[UUID, list[str]] = loader(artifact.aliases)
        self.capabilities: DataLoader[tuple[UUID, int, str | None], Page[Offered]] = loader(
            capability.of_artifacts
        )
        self.capability: DataLoader[tuple[UUID, str], Offered | None] = loader(capability.by_keys)
        self.capability_count: DataLoader[UUID, int] = loader(capability.counts)
        self.prices: DataLoader[UUID, tuple[Price, ...]] = loader(price.current)
        self.price_history: DataLoader[tuple[UUID, int, str | None], Page[Observation]] = loader(
            price.history
        )
        self.signals: DataLoader[UUID, tuple[Signal, ...]] = loader(signal.of_artifacts)
        self.ranked: DataLoader[UUID, Ranked | None] = loader(rank.ranked)
        self.explained: DataLoader[UUID, Rank | None] = loader(rank.explained)
        self.rank_history: DataLoader[rank.Asked, Page[RankChange]] = loader(rank.history)
        self.standing: DataLoader[UUID, Standing] = loader(boards.standings)
        self.times_matched_by: DataLoader[tuple[UUID, str], tuple[int, int]] = loader(
            match_graph.times_matched_by
        )
        self.times_matched: DataLoader[UUID, int] = loader(match_graph.times_matched)
        self.match_edges: DataLoader[tuple[UUID, int, str | None], Page[Match]] = loader(
            lambda view, asked: match_graph.edges_of(view, keys, asked)
        )
