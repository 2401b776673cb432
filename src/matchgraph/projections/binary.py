"""Rows in the binary format of PostgreSQL's COPY, put together column by column."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import columns

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
# What stands for the length of a value that is none.
NULL = -1
# Units: bytes that are sent in one go.
CHUNK = 1 << 20


class Columns:
    """Some columns next to each other whose values are as long in every row, by their names and
    types, big-endian. The first ones of a row also say of how many fields `of` it consists."""

    def __init__(self, columns: Mapping[str, str], of: int | None = None) -> None:
        self.names = tuple(columns)
        fields: list[tuple[str, str]] = [] if of is None else [("", ">i2")]
        for name, dtype in columns.items():
            fields += [(f"length of {name}", ">i4"), (name, dtype)]
        self.dtype = np.dtype([(name or "fields", dtype) for name, dtype in fields])
        # One row with all that does not depend on values.
        self._blank = np.zeros(1, self.dtype)
        for name in self.names:
            self._blank[f"length of {name}"] = self.dtype[name].itemsize
        if of is not None:
            self._blank["fields"] = of

    def filled(self, size: int, values: Any) -> NDArray[Any]:
        """So many rows of these values, by their names."""
        rows = np.repeat(self._blank, size)
        for name in self.names:
            rows[name] = values[name]
        return rows

    def split(self, rows: NDArray[Any], nulls: Mapping[str, NDArray[np.bool_]]) -> list[bytes]:
        """The bytes of each row, without the values that are none."""
        sent = np.ones((len(rows), self.dtype.itemsize), np.bool_)
        for name, null in nulls.items():
            rows[f"length of {name}"][null] = NULL
            start = int(self.dtype.fields[name][1])  # type: ignore[index]
            sent[null, start : start + self.dtype[name].itemsize] = False
        body = rows.view(np.uint8).reshape(sent.shape)[sent].tobytes()
        ends = sent.sum(axis=1).cumsum().tolist()
        return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def texts(values: Sequence[bytes]) -> list[bytes]:
    """A column of values that have lengths of their own."""
    return [len(value).to_bytes(4, "big") + value for value in values]


def joined(*parts: Sequence[bytes]) -> bytes:
    """Rows of these parts."""
    return b"".join(chain.from_iterable(zip(*parts, strict=True)))


async def copy(db: Connection, table: str, rows: bytes) -> None:
    """Appends the rows to the table, whose first columns they are."""
    if rows:
        known, _ = await columns(db, table, int.from_bytes(rows[:2], "big"))
        body = SIGNATURE + rows + END
        await db.copy_to_table(table, source=_chunks(body), columns=known, format="binary")


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]
