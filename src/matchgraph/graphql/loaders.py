"""Related objects: of one view of the read models, one statement per relation and request; or of
dossiers (queries/dossier.py), one statement for all of an artifact and everybody who asks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cached_property
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from matchgraph.domain.price import Price
from matchgraph.domain.ranking import Rank
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.eager import each
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.observe import span
from matchgraph.projections.changes import RankChange
from matchgraph.projections.ranked import Ranked
from matchgraph.queries import artifact, capability, match_graph, price, rank, signal
from matchgraph.queries.artifact import Listing
from matchgraph.queries.board import Boards, Standing
from matchgraph.queries.capability import Offered
from matchgraph.queries.dossier import Dossier, Moved, Reading
from matchgraph.queries.match_graph import Match
from matchgraph.queries.notes import Notes
from matchgraph.queries.page import Page
from matchgraph.queries.price import Observation
from matchgraph.queries.snapshot import Snapshot
from matchgraph.queries.touched import CATALOG, INTENTS, NAMES, board, matches

K = TypeVar("K")
V = TypeVar("V")
Asks = TypeVar("Asks", contravariant=True)
# What is looked up of one artifact, which it names.
Own = TypeVar("Own", bound=UUID | tuple[UUID, *tuple[object, ...]] | rank.Asked)


class Loads(Protocol[Asks, V]):
    """Looks one relation up."""

    def load(self, key: Asks) -> Awaitable[V]:
        """What there is of it."""

    def load_many(self, keys: Iterable[Asks]) -> Awaitable[list[V]]:
        """What there is of each, in their order."""


class Loader(DataLoader[K, V]):
    """What is loaded is for all who ask for it: that one of them is cancelled, as fields are beside
    one that failed, takes it from nobody else."""

    def load(self, key: K) -> Awaitable[V]:
        """As the library's."""
        return asyncio.shield(super().load(key))


class Loaders:
    """The relations of an artifact, all read from one view."""

    def __init__(self, snapshot: Snapshot, boards: Boards, keys: SearcherKeys) -> None:
        self._snapshot = snapshot
        self._boards = boards
        self._keys = keys

    def _loader(
        self,
        load: Callable[[Snapshot, Sequence[Own]], Awaitable[Sequence[V]]],
        *besides: str,
        matched: bool = False,
    ) -> Loader[Own, V]:
        """What is loaded is of the artifacts that the keys name, with `matched` also of what
        searchers have made of them, and of the marks `besides`."""
        snapshot = self._snapshot

        async def batch(keys: list[Own]) -> Sequence[V | BaseException]:
            named = span(f"load {load.__module__}.{load.__name__}", keys=len(keys))
            ids = list(map(_artifact, keys))
            with (
                named,
                snapshot.notes.of(*ids, *map(matches, ids if matched else ()), *besides),
            ):
                return list(await load(snapshot, keys))

        return Loader(batch)

    async def _by_slugs(self, slugs: list[str]) -> Sequence[Listing | BaseException | None]:
        notes = self._snapshot.notes
        with span(f"load {artifact.__name__}.by_slugs", keys=len(slugs)), notes.of():
            found = await artifact.by_slugs(self._snapshot, slugs)
        for slug, listing in zip(slugs, found, strict=True):
            notes.add(_led(slug, listing))
        return list(found)

    @cached_property
    def by_slug(self) -> Loads[str, Listing | None]:
        """The artifact that a slug leads to."""
        return Loader(self._by_slugs)

    @cached_property
    def by_id(self) -> Loads[UUID, Listing | None]:
        """The artifact with an id."""
        return self._loader(artifact.by_ids)

    @cached_property
    def aliases(self) -> Loads[UUID, list[str]]:
        """The other slugs that lead to it."""
        return self._loader(artifact.aliases, NAMES)

    @cached_property
    def capabilities(self) -> Loads[tuple[UUID, int, str | None], Page[Offered]]:
        """A page of what it can do."""
        return self._loader(capability.of_artifacts)

    @cached_property
    def capability(self) -> Loads[tuple[UUID, str], Offered | None]:
        """A capability by its key."""
        return self._loader(capability.by_keys)

    @cached_property
    def capability_count(self) -> Loads[UUID, int]:
        """How many capabilities it has."""
        return self._loader(capability.counts)

    @cached_property
    def prices(self) -> Loads[UUID, tuple[Price, ...]]:
        """What is asked for it."""
        return self._loader(price.current)

    @cached_property
    def price_history(self) -> Loads[tuple[UUID, int, str | None], Page[Observation]]:
        """A page of what was asked for it."""
        return self._loader(price.history)

    @cached_property
    def signals(self) -> Loads[UUID, tuple[Signal, ...]]:
        """The numbers known of it."""
        return self._loader(signal.of_artifacts)

    @cached_property
    def ranked(self) -> Loads[UUID, Ranked | None]:
        """How it ranks."""
        return self._loader(rank.ranked)

    @cached_property
    def explained(self) -> Loads[UUID, Rank | None]:
        """Why."""
        return self._loader(rank.explained, matched=True)

    @cached_property
    def rank_history(self) -> Loads[rank.Asked, Page[RankChange]]:
        """A page of how its rank changed."""
        return self._loader(rank.history)

    @cached_property
    def standing(self) -> Loads[UUID, Standing]:
        """Where it stands on boards."""
        return self._loader(self._boards.standings, board(None))

    @cached_property
    def times_matched_by(self) -> Loads[tuple[UUID, str], tuple[int, int]]:
        """How often it was served by a capability, and chosen."""
        return self._loader(match_graph.times_matched_by, matched=True)

    @cached_property
    def times_matched(self) -> Loads[UUID, int]:
        """How often it was served."""
        return self._loader(match_graph.times_matched, matched=True)

    @cached_property
    def match_edges(self) -> Loads[tuple[UUID, int, str | None], Page[Match]]:
        """A page of what it was served for."""
        return self._loader(self._edges, INTENTS, matched=True)

    async def _edges(
        self, view: Snapshot, asked: Sequence[tuple[UUID, int, str | None]]
    ) -> list[Page[Match]]:
        return await match_graph.edges_of(view, self._keys, asked)


class _Of(Generic[K, V]):
    """One relation, out of dossiers."""

    def __init__(
        self,
        reading: Reading,
        notes: Notes,
        pick: Callable[[Dossier, K], V],
        *,
        matched: bool = False,
    ) -> None:
        """What is picked is of the artifact, with `matched` also of what searchers made of it."""
        self._reading = reading
        self._notes = notes
        self._pick = pick
        self._marks = 2 if matched else 1

    async def load(self, key: K) -> V:
        """As Loads has it. Raises: Moved, Unavailable."""
        artifact_id: UUID = key[0] if isinstance(key, tuple) else key  # type: ignore[assignment]
        dossier = await self._reading.find(artifact_id)
        if dossier is None:
            raise Moved
        self._notes.add(dossier.marks[: self._marks])
        return self._pick(dossier, key)

    async def load_many(self, keys: Iterable[K]) -> list[V]:
        """As Loads has it. Raises: Moved, Unavailable."""
        return await each(map(self.load, keys))


class _Led:
    """Where slugs lead, out of dossiers."""

    def __init__(self, reading: Reading, notes: Notes) -> None:
        self._reading = reading
        self._notes = notes

    async def load(self, slug: str) -> Listing | None:
        """As Loads has it. Raises: Moved, Unavailable."""
        dossier = await self._reading.find(slug)
        listing = None if dossier is None else dossier.listing
        self._notes.add(_led(slug, listing))
        return listing

    async def load_many(self, slugs: Iterable[str]) -> list[Listing | None]:
        """As Loads has it. Raises: Moved, Unavailable."""
        return await each(map(self.load, slugs))


class _Each(Generic[V]):
    """What has to be worked out of an artifact's dossier."""

    def __init__(
        self, reading: Reading, notes: Notes, work: Callable[[Dossier], Awaitable[V]], *besides: str
    ) -> None:
        """It is of the artifact, of what searchers made of it, and of the marks `besides`."""
        self._reading = reading
        self._notes = notes
        self._work = work
        self._besides = besides

    async def load(self, artifact_id: UUID) -> V:
        """As Loads has it. Raises: Moved, Unavailable."""
        dossier = await self._reading.find(artifact_id)
        if dossier is None:
            raise Moved
        self._notes.add((*dossier.marks, *self._besides))
        return await self._work(dossier)

    async def load_many(self, ids: Iterable[UUID]) -> list[V]:
        """As Loads has it. Raises: Moved, Unavailable."""
        return await each(map(self.load, ids))


class KeptLoaders(Loaders):
    """The relations of an artifact out of its dossier, as far as it has them."""

    def __init__(
        self,
        reading: Reading,
        notes: Notes,
        boards: Boards,
        rest: Loaders,
        *,
        is_part: bool = False,
    ) -> None:
        """With the `rest` from elsewhere. What is only a part of an answer cannot say what it has
        from there."""
        self._reading = reading
        self._notes = notes
        self._boards = boards
        self._rest = rest
        self._is_part = is_part

    def part(self, notes: Notes) -> "KeptLoaders":
        """The same for a part of an answer, which notes what that one rests on."""
        own = KeptLoaders(self._reading, notes, self._boards, self._rest, is_part=True)
        vars(own)["_standings"] = self._standings
        return own

    def _of(self, pick: Callable[[Dossier, K], V], *, matched: bool = False) -> _Of[K, V]:
        return _Of(self._reading, self._notes, pick, matched=matched)

    def _elsewhere(self) -> Loaders:
        if self._is_part:
            self._notes.give_up()
        return self._rest

    @cached_property
    def by_slug(self) -> Loads[str, Listing | None]:
        """As above."""
        return _Led(self._reading, self._notes)

    @cached_property
    def by_id(self) -> Loads[UUID, Listing | None]:
        """As above."""
        return self._of(lambda dossier, _: dossier.listing)

    @cached_property
    def capabilities(self) -> Loads[tuple[UUID, int, str | None], Page[Offered]]:
        """As above."""
        return self._of(lambda dossier, asked: dossier.page(asked[1], asked[2]))

    @cached_property
    def capability(self) -> Loads[tuple[UUID, str], Offered | None]:
        """As above."""
        return self._of(lambda dossier, asked: dossier.capability(asked[1]))

    @cached_property
    def capability_count(self) -> Loads[UUID, int]:
        """As above."""
        return self._of(lambda dossier, _: dossier.capability_count)

    @cached_property
    def prices(self) -> Loads[UUID, tuple[Price, ...]]:
        """As above."""
        return self._of(lambda dossier, _: dossier.prices)

    @cached_property
    def signals(self) -> Loads[UUID, tuple[Signal, ...]]:
        """As above."""
        return self._of(lambda dossier, _: dossier.signals)

    @cached_property
    def ranked(self) -> Loads[UUID, Ranked | None]:
        """As above."""
        return self._of(lambda dossier, _: dossier.ranked)

    @cached_property
    def explained(self) -> Loads[UUID, Rank | None]:
        """As above."""
        return _Each(self._reading, self._notes, self._explain)

    async def _explain(self, dossier: Dossier) -> Rank | None:
        return dossier.explained(await self._reading.in_force())

    @cached_property
    def standing(self) -> Loads[UUID, Standing]:
        """As above."""
        return _Each(self._reading, self._notes, self._stand, board(None))

    async def _stand(self, dossier: Dossier) -> Standing:
        known = self._reading.standing(dossier)
        return known or await self._standings.load(dossier)

    @cached_property
    def _standings(self) -> Loader[Dossier, Standing]:
        async def batch(dossiers: list[Dossier]) -> Sequence[Standing | BaseException]:
            return await self._reading.standings(dossiers, self._boards)

        return Loader(batch)

    @cached_property
    def times_matched(self) -> Loads[UUID, int]:
        """As above."""
        return self._of(lambda dossier, _: dossier.times_matched, matched=True)

    @cached_property
    def aliases(self) -> Loads[UUID, list[str]]:
        """As above."""
        return self._elsewhere().aliases

    @cached_property
    def price_history(self) -> Loads[tuple[UUID, int, str | None], Page[Observation]]:
        """As above."""
        return self._elsewhere().price_history

    @cached_property
    def rank_history(self) -> Loads[rank.Asked, Page[RankChange]]:
        """As above."""
        return self._elsewhere().rank_history

    @cached_property
    def times_matched_by(self) -> Loads[tuple[UUID, str], tuple[int, int]]:
        """As above."""
        return self._elsewhere().times_matched_by

    @cached_property
    def match_edges(self) -> Loads[tuple[UUID, int, str | None], Page[Match]]:
        """As above."""
        return self._elsewhere().match_edges


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
