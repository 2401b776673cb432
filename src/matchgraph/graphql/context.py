"""What one request carries: who asks, the store, one view of the read models, the loaders."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from uuid import uuid4

from strawberry.types.info import Info as StrawberryInfo

from matchgraph.commands.search import Recent
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Request, Store
from matchgraph.graphql.loaders import Loaders
from matchgraph.projections.changes import Mark
from matchgraph.queries.board import Boards
from matchgraph.queries.feed import Feeds
from matchgraph.queries.position import reach
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import Snapshot


@dataclass
class Course:
    """How a subscription is carried out. `start` is where it begins, whatever its arguments say;
    `on_live` is asked as `Hub.follow` says; `at` is the change that was executed last."""

    start: Mark | None = None
    on_live: Callable[[Mark], bool] = field(default=lambda _: False)
    at: Mark | None = None


@dataclass
class Context:
    """Made anew for every operation. `course` is None where only one answer can be given, and
    `role` is what the one who asks may do.

    `searcher` is who searches, as a pseudonym; `secrets`, newest first, sign outcome tokens, and
    `recent` are the reports of outcomes that were discarded lately, and `searching` what searches
    share, of all operations.
    """

    store: Store
    pool: Pool
    boards: Boards
    feeds: Feeds
    course: Course | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)
    actor: str = "anonymous"
    role: Role = Role.ANONYMOUS
    searcher: str = "anonymous"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    recent: Recent = field(default_factory=Recent)
    searching: Searching = field(default_factory=Searching)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _seen: int = -1

    @cached_property
    def snapshot(self) -> Snapshot:
        """The view that this operation answers from."""
        return Snapshot(self.pool)

    @cached_property
    def loaders(self) -> Loaders:
        """One batch per relation."""
        return Loaders(self.snapshot, self.boards)

    @property
    def seen(self) -> int:
        """The position that what is read includes at least, because somebody asked for that."""
        return max(self._seen, 0)

    def by(self, idempotency_key: str | None) -> Request:
        """The request as it is recorded with each event."""
        return Request(
            actor=self.actor, request_id=self.request_id, idempotency_key=idempotency_key
        )

    async def see(self, position: int) -> None:
        """Makes what is read from now on include that position. Raises: Behind, InFuture,
        Unavailable."""
        async with self._turn:
            # Fields of one answer that ask for the same position share one view.
            if position <= self._seen:
                return
            await reach(self.pool, self.store.listener, position)
            await self.look_again()
            self._seen = position

    async def look_again(self) -> None:
        """Makes what is read from now on be as it is then."""
        await self.close()
        vars(self).pop("snapshot", None)
        vars(self).pop("loaders", None)

    async def close(self) -> None:
        """Ends the view, if anything was read."""
        if "snapshot" in vars(self):
            await self.snapshot.close()


Info = StrawberryInfo[Context, None]
