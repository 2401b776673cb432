"""What a projection is: the events it hears, the tables it owns, and one function.

A projection uses the events and its own tables only: no clock, no randomness, no other read model,
no Redis. It may not depend on where one batch ends and the next begins. So the same history always
gives the same bytes.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from matchgraph.eventstore import codec
from matchgraph.eventstore.codec import CURRENT_TAGS, Undecodable
from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.store import Packed


class Heard(msgspec.Struct, tag_field="type", frozen=True, gc=False):
    """An event as a projection reads it: its tag names the topic, its fields are those that the
    projection uses. The newest version of the event is meant; older ones are upcast before.

    What only passes through is a plain string here, ids and enums too: PostgreSQL reads them, and
    a page is decoded in less than half the time.
    """

    id: str


class Said(msgspec.Struct, frozen=True, gc=False):
    """A value inside an event as a projection reads it."""


class _Unheard(msgspec.Struct, tag_field="type", gc=False):
    """An event that a projection knows of and does not use."""


class Batch(list[tuple[int, Any]]):
    """The events of a page that a projection hears, each with its position. The page is everything
    behind `after` up to `last`."""

    def __init__(self, events: Iterable[tuple[int, Any]], after: int, last: int) -> None:
        super().__init__(events)
        self.after = after
        self.last = last

    @classmethod
    def joined(cls, batches: "Sequence[Batch]") -> "Batch":
        """Pages that follow each other as one."""
        return cls(chain.from_iterable(batches), batches[0].after, batches[-1].last)


@dataclass(frozen=True)
class Projection:
    """One read model. `apply` gets the position and the event of each that it hears, in order,
    within the transaction that moves its checkpoint.

    One that keeps a copy of its tables in memory hears of every page, also of one without any
    event for it, to know how far its copy has come; and it can `forget` the copy that belongs to
    a connection, for when other tables have taken their place.

    One that finds rows by their keys alone can be filled without other indexes, which are then
    made at the end.
    """

    name: str
    tables: tuple[str, ...]
    hears: tuple[type[Heard], ...]
    apply: Callable[[Connection, Batch], Awaitable[None]]
    hears_of_every_page: bool = False
    finds_by_key: bool = False
    forget: Callable[[Connection], None] = lambda _: None

    async def take(self, db: Connection, page: Packed) -> None:
        """Takes the page in. Raises: UnknownTopic, Undecodable, and whatever `apply` raises."""
        await self.take_in(db, self.batch(page))

    async def take_in(self, db: Connection, batch: Batch) -> None:
        """Takes in what it hears of a page, or of several. Raises: whatever `apply` raises."""
        if batch or self.hears_of_every_page:
            await self.apply(db, batch)

    def batch(self, page: Packed) -> Batch:
        """The events of the page that this projection hears. Raises: UnknownTopic, Undecodable."""
        events = self.decoded(page.json)
        if len(events) != page.last - page.first + 1:
            # All that follows would be taken for what is recorded at another position.
            raise Undecodable(f"{self.name}: a state holds more than one event")
        heard = self.heard
        return Batch(
            (
                (position, event)
                for position, event in enumerate(events, start=page.first)
                if type(event) in heard
            ),
            page.first - 1,
            page.last,
        )

    def decoded(self, states: bytes) -> list[Any]:
        """The events of a JSON array of states as this projection reads them, also those that it
        does not hear. Raises: UnknownTopic, Undecodable."""
        try:
            try:
                return self._decoder.decode(states)
            except msgspec.ValidationError:
                # Something older than the newest version, or newer than this release.
                upcast = codec.current(bytes(raw) for raw in _raw.decode(states))
                return self._decoder.decode(b"[" + b",".join(upcast) + b"]")
        except (msgspec.DecodeError, RecursionError) as reason:
            raise Undecodable(f"{self.name}: {reason}") from reason

    @cached_property
    def heard(self) -> frozenset[type[Heard]]:
        """The events it hears, to look one up in."""
        return frozenset(self.hears)

    @cached_property
    def _decoder(self) -> "msgspec.json.Decoder[list[Any]]":
        tags = {str(heard.__struct_config__.tag) for heard in self.hears}
        assert tags <= CURRENT_TAGS, f"{self.name} hears what nobody says: {tags - CURRENT_TAGS}"
        rest = [
            msgspec.defstruct("Unheard", [], bases=(_Unheard,), tag=tag)
            for tag in sorted(CURRENT_TAGS - tags)
        ]
        union: Any = self.hears[0]
        for member in (*self.hears[1:], *rest):
            union = union | member
        return msgspec.json.Decoder(list[union])


# The first statement of a transaction that reads several read models by one snapshot, taken after
# it. A rebuild then puts no other tables in place until that transaction ends: in those the
# snapshot might not see every row.
READING = "LOCK TABLE reading IN ACCESS SHARE MODE"

# A COPY takes a round trip more than an INSERT, and far less for each row.
WORTH_A_COPY = 100

_raw = msgspec.json.Decoder(list[msgspec.Raw])


# What goes into a table: its rows, their values in the order of the columns, and what to do then.
Into = tuple[str, Iterable[tuple[Any, ...]], str]


async def insert(
    db: Connection, table: str, rows: Iterable[tuple[Any, ...]], *, then: str = ""
) -> None:
    """Inserts whole rows, their values in the order of the table's columns."""
    await insert_all(db, (table, rows, then))


async def insert_all(db: Connection, *into: Into) -> None:
    """The same for several tables, as far as there are rows: in one statement for all of those
    that few go into, which is most of what an event that comes alone costs."""
    inserts: list[str] = []
    arguments: list[list[tuple[Any, ...]]] = []
    for table, given, then in into:
        rows = list(given)
        if not rows:
            continue
        known, more = await columns(db, table, len(rows[0]))
        if len(rows) >= WORTH_A_COPY and not then:
            await db.copy_records_to_table(table, records=rows, columns=known)
            continue
        arguments.append([(*row, *more) for row in rows] if more else rows)
        named = ", ".join(f'"{name}"' for name in known)
        inserts.append(
            f"INSERT INTO {table} ({named}) SELECT {named}"
            f" FROM unnest(${len(arguments)}::{table}[]) {then}"
        )
    if inserts:
        *others, last = inserts
        apart = ", ".join(f"into_{number} AS ({one})" for number, one in enumerate(others))
        await db.execute(f"WITH {apart} {last}" if others else last, *arguments)


async def columns(db: Connection, table: str, count: int) -> tuple[list[str], list[None]]:
    """The first so many columns of the table, which are those that this release knows, and a blank
    for each that a later one has added: they get what is said there when nothing is given."""
    tables = _columns.setdefault(db, {})
    if (found := tables.get(table)) is None:
        rows = await db.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum",
            table,
        )
        found = tables[table] = [row["attname"] for row in rows]
    return found[:count], [None] * (len(found) - count)


def forget_columns(db: Connection) -> None:
    """Forgets what columns tables have, as they may have changed."""
    _columns.pop(db, None)


_columns: WeakKeyDictionary[Connection, dict[str, list[str]]] = WeakKeyDictionary()
