"""Rows in the binary format of PostgreSQL's COPY, put together column by column."""

from collections.abc import AsyncIterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import columns

Bytes = NDArray[np.uint8]
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
# What stands for the length of a value that is none.
NULL = 0xFF
# Units: bytes that are sent in one go.
CHUNK = 1 << 20


class Rows:
    """Rows of one table, to which its columns are added in their order."""

    def __init__(self, size: int, width: int) -> None:
        """Units: `width` in columns."""
        self.size = size
        self._width = width
        # What has been added since the last text, and where there is nothing to be sent.
        self._fields: list[Bytes] = []
        self._nulls: list[NDArray[np.bool_] | None] = []
        # For each row what has been put together before.
        self._parts: list[Sequence[bytes]] = []
        self._put(np.broadcast_to(np.frombuffer(width.to_bytes(2, "big"), np.uint8), (size, 2)))

    def add(
        self,
        values: NDArray[Any],
        dtype: str | None = None,
        *,
        null: NDArray[np.bool_] | None = None,
    ) -> None:
        """A column of values that are all as long: as `dtype`, or as they are, where that is
        PostgreSQL's own form. `null` says which are none."""
        values = np.ascontiguousarray(values if dtype is None else values.astype(dtype))
        width = values.dtype.itemsize
        field = np.empty((self.size, 4 + width), np.uint8)
        field[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
        field[:, 4:] = values.view(np.uint8).reshape(self.size, width)
        if null is not None:
            field[null, :4] = NULL
        self._put(field, null)

    def add_texts(self, texts: Sequence[bytes]) -> None:
        """A column of values that have lengths of their own."""
        lengths = np.fromiter(map(len, texts), np.int32, self.size)
        self._put(lengths.astype(">i4").view(np.uint8).reshape(self.size, 4))
        self._parts += [self._taken(), texts]

    async def copy(self, db: Connection, table: str) -> None:
        """Appends the rows to the table."""
        if not self.size:
            return
        if self._parts:
            body = b"".join(chain.from_iterable(zip(*self._parts, self._taken(), strict=True)))
        else:
            body = np.concatenate(self._fields, axis=1).tobytes()
        known, _ = await columns(db, table, self._width)
        await db.copy_to_table(
            table, source=_chunks(SIGNATURE + body + END), columns=known, format="binary"
        )

    def _put(self, field: Bytes, null: NDArray[np.bool_] | None = None) -> None:
        self._fields.append(field)
        self._nulls.append(null)

    def _taken(self) -> list[bytes]:
        """What has been added since the last text, of each row."""
        table = np.concatenate(self._fields, axis=1)
        sent = np.ones(table.shape, np.bool_)
        start = 0
        for field, null in zip(self._fields, self._nulls, strict=True):
            end = start + field.shape[1]
            if null is not None:
                sent[null, start + 4 : end] = False
            start = end
        body = table[sent].tobytes()
        ends = sent.sum(axis=1).cumsum().tolist()
        self._fields, self._nulls = [], []
        return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]
