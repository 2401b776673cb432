"""The canonical form of a read model's rows: the same rows, the same bytes, the same digest.

A table is written as `COPY (SELECT * FROM table ORDER BY key) TO STDOUT` writes it, in UTF-8, with
the key's texts ordered by their bytes. docs/rebuild.md spells it out.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Projection

# What the form of a value depends on; a connection of ours has UTC and UTF-8 in any case.
SETTINGS: Mapping[str, Any] = {
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
# Units: characters of a value that are shown.
LONGEST = 200
# The primary key, else a key without NULLs, else any.
_KEY = """
SELECT a.attname, a.attcollation <> 0 FROM (
  SELECT indrelid, indkey, indnkeyatts FROM pg_index
  WHERE indrelid = $1::text::regclass AND indisunique AND indpred IS NULL AND indexprs IS NULL
  ORDER BY indisprimary DESC, indnullsnotdistinct, indexrelid::regclass::text LIMIT 1
) AS i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE a.attrelid = i.indrelid AND k.place <= i.indnkeyatts ORDER BY k.place
"""


@dataclass(frozen=True)
class TableDigest:
    """The SHA-256, in hexadecimal, of a table's canonical form, and how many rows that has."""

    table: str
    rows: int
    digest: str


@dataclass(frozen=True)
class ModelDigest:
    """A read model up to an event. Its digest is the SHA-256 of a line "digest table" for each of
    its tables, in the order of their names."""

    name: str
    position: int
    tables: Sequence[TableDigest]

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        lines = (
            f"{one.digest} {one.table}\n" for one in sorted(self.tables, key=lambda t: t.table)
        )
        return sha256("".join(lines).encode()).hexdigest()


async def key_of(db: Connection, table: str) -> list[tuple[str, bool]]:
    """The columns that tell the table's rows apart, and which of them are texts."""
    return [(row[0], row[1]) for row in await db.fetch(_KEY, table)]


async def read(
    db: Connection, table: str, write: Callable[[bytes], object] = lambda _: None
) -> TableDigest:
    """The digest of a table that the connection finds by that name; `write` gets the bytes of its
    canonical form, piece by piece. Raises: whatever `write` does."""
    ordered = ", ".join(
        f'"{column}" COLLATE "C"' if is_text else f'"{column}"'
        for column, is_text in await key_of(db, table)
    )
    digest = sha256()

    async def take(piece: bytes) -> None:
        digest.update(piece)
        write(piece)

    said: str = await db.copy_from_query(
        f'SELECT * FROM "{table}" ORDER BY {ordered}', output=take, format="text"
    )
    return TableDigest(table, int(said.split()[-1]), digest.hexdigest())


async def of_model(db: Connection, projection: Projection, position: int) -> ModelDigest:
    """The digests of a read model's tables, which are as they are at that position."""
    return ModelDigest(
        projection.name, position, [await read(db, table) for table in projection.tables]
    )


@dataclass(frozen=True)
class Difference:
    """What a table holds and what it should hold: in a column of a row, or, without a column, the
    row as a whole. Values are as PostgreSQL writes them, None is NULL, or no row."""

    table: str
    key: Mapping[str, str | None]
    column: str | None
    held: str | None
    right: str | None

    def __str__(self) -> str:
        row = ", ".join(f"{column} {_short(value)}" for column, value in self.key.items())
        where = f"{self.table} ({row})"
        if self.column is None:
            said = "is missing" if self.held is None else "should not be there"
            return f"{where}: the row {said}"
        return f"{where}: {self.column} is {_short(self.held)}, should be {_short(self.right)}"


def _short(value: str | None) -> str:
    if value is None:
        return "NULL"
    return repr(value if len(value) <= LONGEST else f"{value[:LONGEST]}…")


async def differences(
    held: Connection, right: Connection, table: str, most: int
) -> list[Difference]:
    """In what the table that one connection finds by that name differs from that of the other,
    at most so much of it. Both are in transactions."""
    columns: list[str] = [
        row[0]
        for row in await held.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum",
            table,
        )
    ]
    names = [column for column, _ in await key_of(held, table)]
    key = ", ".join(f'"{column}"::text COLLATE "C"' for column in names)
    query = (
        f"SELECT ARRAY[{key}] AS key, ARRAY["
        + ", ".join(f'"{column}"::text' for column in columns)
        + f'] AS row FROM "{table}" ORDER BY {key}'
    )
    found: list[Difference] = []
    ours, theirs = held.cursor(query, prefetch=1_000), right.cursor(query, prefetch=1_000)
    async for one, other in _side_by_side(aiter(ours), aiter(theirs)):
        by = dict(zip(names, (one or other)["key"], strict=True))
        if one is None or other is None:
            # Its values are in the row that is there.
            whole = str((one or other)["row"])
            found.append(
                Difference(table, by, None, whole if one else None, whole if other else None)
            )
        else:
            found += [
                Difference(table, by, column, value, should)
                for column, value, should in zip(columns, one["row"], other["row"], strict=True)
                if value != should
            ]
        if len(found) >= most:
            break
    return found[:most]


async def _side_by_side(
    one: AsyncIterator[Any], other: AsyncIterator[Any]
) -> AsyncIterator[tuple[Any, Any]]:
    """The rows of both that are not the same, those with one key together."""
    left: Any = await anext(one, None)
    right: Any = await anext(other, None)
    while left is not None or right is not None:
        first = _order(left) <= _order(right)
        second = _order(right) <= _order(left)
        if not (first and second and left["row"] == right["row"]):
            yield left if first else None, right if second else None
        if first:
            left = await anext(one, None)
        if second:
            right = await anext(other, None)


def _order(row: Any) -> tuple[Any, ...]:
    """As PostgreSQL orders them: by the bytes of their texts, NULL last, and what is no row after
    all others."""
    if row is None:
        return (1,)
    return (0, *((value is None, (value or "").encode()) for value in row["key"]))
