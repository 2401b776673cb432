"""What one request carries: who asks, the store, views of the read models with their loaders."""

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from strawberry.types.info import Info as StrawberryInfo

from matchgraph.commands.search import Recent
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.eventstore.store import Request, Store
from matchgraph.graphql.limits import LONGEST_EXECUTION, Bill, Purse
from matchgraph.graphql.loaders import KeptLoaders, Loaders
from matchgraph.observe.observer import Observer
from matchgraph.projections.changes import Mark
from matchgraph.queries.as_of import answerable
from matchgraph.queries.board import Boards
from matchgraph.queries.dossier import Reading
from matchgraph.queries.feed import Feeds
from matchgraph.queries.notes import Notes
from matchgraph.queries.position import reach
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import Past, Snapshot

if TYPE_CHECKING:
    from matchgraph.graphql.as_of import AsOf
    from matchgraph.graphql.fragments import Fragments

# The actor of whoever gave nothing that says who they are.
ANONYMOUS = "anonymous"


@dataclass
class Course:
    """How a subscription is carried out. `start` is where it begins, whatever its arguments say;
    `on_live` is asked as `Hub.follow` says; `at` is the change that was executed last."""

    start: Mark | None = None
    on_live: Callable[[Mark], bool] = field(default=lambda _: False)
    at: Mark | None = None


class View:
    """What a field is answered from: the read models of now or as of a position, with one batch per
    relation."""

    def __init__(
        self,
        snapshot: Snapshot,
        boards: Boards,
        keys: SearcherKeys,
        reading: Reading | None = None,
    ) -> None:
        """With a `reading`, from dossiers as far as these have it."""
        self.snapshot = snapshot
        self.boards = boards
        self.reading = reading
        self._keys = keys

    @cached_property
    def loaders(self) -> Loaders:
        """One batch per relation."""
        loaders = Loaders(self.snapshot, self.boards, self._keys)
        if self.reading is None:
            return loaders
        return KeptLoaders(self.reading, self.snapshot.notes, self.boards, loaders)

    async def position(self) -> int:
        """The position that everything here is up to. Raises: Unavailable."""
        return await self.snapshot.position() if self.reading is None else self.reading.at


@dataclass
class Context:
    """Made anew for every operation. `notes` are of what its answer rests on; `past` is where the
    read models are as of then; `course` is None where only one answer can be given. `role` is what
    the one who asks may do, and `shows_schema` says whether they may look around in the schema.

    `searcher` is who searches, as a pseudonym; `keys` seal what searchers write; `secrets`, newest
    first, sign outcome tokens, and `recent` are the reports of outcomes that were discarded lately,
    and `searching` what searches share, of all operations.

    What is answered in a `reading` is answered from dossiers as far as these have it, and put
    together of `fragments` where these are kept.

    `purse` pays for it, where anybody counts and it is not `paid` already, `bill` says what it came
    to, and after `patience`
    seconds its execution is ended. `observer` is told of the operation, and of the `transport` that
    it came over.
    """

    store: Store
    pool: Pool
    past: Pool
    boards: Boards
    feeds: Feeds
    keys: SearcherKeys
    course: Course | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)
    actor: str = ANONYMOUS
    role: Role = Role.ANONYMOUS
    shows_schema: bool = True
    searcher: str = "anonymous"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    recent: Recent = field(default_factory=Recent)
    searching: Searching = field(default_factory=Searching)
    purse: Purse | None = None
    patience: float = LONGEST_EXECUTION
    paid: Bill | None = None
    bill: Bill | None = None
    observer: Observer | None = None
    transport: str = "http"
    notes: Notes = field(default_factory=lambda: Notes(complete=False), repr=False)
    reading: Reading | None = None
    fragments: "Fragments | None" = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _seen: int = -1
    # By position, and by the top-level field that is answered from it.
    _as_of: dict[int, View] = field(default_factory=dict, repr=False)
    _then: dict[str | int, View] = field(default_factory=dict, repr=False)

    def view(self, info: "Info") -> View:
        """What the field is answered from, which is what the top-level field above it is."""
        return self._then.get(_top(info)) or self._now

    async def look(self, info: "Info", as_of: "AsOf | None") -> View:
        """What the top-level field and all below it are answered from. Raises: BadInput,
        BeforeHistory, TimeInFuture, InFuture, Stuck, Behind, Unavailable."""
        if as_of is None:
            return self._now
        # The past does not change, but how it is read may; and nobody asks for it twice in a row.
        self.notes.give_up()
        position = await as_of.found(self.pool)
        await answerable(self.pool, self.store.listener, position)
        view = self._as_of.get(position)
        if view is None:
            view = self._as_of[position] = View(self._past.at(position), self.boards, self.keys)
        self._then[_top(info)] = view
        return view

    @property
    def now(self) -> View:
        """What is answered from that is not asked for as of then."""
        return self._now

    def seeing(self, view: View, notes: Notes) -> "Context":
        """The same with another view of now, and other notes."""
        own = copy(self)
        own.notes = notes
        vars(own)["_now"] = view
        return own

    @cached_property
    def _now(self) -> View:
        return View(Snapshot(self.pool, self.notes), self.boards, self.keys, self.reading)

    @cached_property
    def _past(self) -> Past:
        return Past(self.past, self.notes)

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

    async def stands(self) -> tuple[int, int, str | None] | None:
        """Between which positions what was read beside dossiers stands, and of which era; None:
        nothing was. Raises: Unavailable."""
        return await self._now.snapshot.stands() if "_now" in vars(self) else None

    async def note_position(self) -> None:
        """Notes what the answer is as of, if it is known. Raises: Unavailable."""
        if "_now" in vars(self):
            await self._now.snapshot.note_position()

    async def look_again(self) -> None:
        """Makes what is read from now on be as it is then."""
        await self.close()
        vars(self).pop("_now", None)

    def abandon(self) -> None:
        """Ends what is being read, as nobody waits for it any more."""
        if "_now" in vars(self):
            self._now.snapshot.abandon()
        if "_past" in vars(self):
            self._past.abandon()

    async def close(self) -> None:
        """Ends the views, if anything was read."""
        if "_now" in vars(self):
            await self._now.snapshot.close()
        if "_past" in vars(self):
            await self._past.close()


Info = StrawberryInfo[Context, None]


def _top(info: Info) -> str | int:
    """The top-level field that this one is, or is below of, as the answer calls it."""
    path = info.path
    while path.prev is not None:
        path = path.prev
    return path.key
