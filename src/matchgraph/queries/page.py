"""Pages by cursor: a cursor holds the sort key of one row, so any depth costs the same."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from matchgraph.domain.text import UNPRINTABLE

MOST = 100
T = TypeVar("T")


class BadCursor(Exception):
    """The cursor is not one that this list gave out."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{cursor[:40]!r} is not a cursor of this list in this order; use the `endCursor` of "
            "a page as it is, with the same `orderBy`."
        )


class BadPageSize(Exception):
    """A page is of 1 to 100."""

    def __init__(self, first: int) -> None:
        super().__init__(f"`first` is {first}; a page holds 1 to {MOST}.")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list, each with its cursor, and whether there is more behind."""

    items: tuple[tuple[str, T], ...]
    more: bool


def size(first: int) -> int:
    """Returns the page size if it is one. Raises: BadPageSize."""
    if not 1 <= first <= MOST:
        raise BadPageSize(first)
    return first


def encode(order: str, key: Sequence[object]) -> str:
    """The cursor of the row with that sort key."""
    return base64.urlsafe_b64encode(msgspec.json.encode([order, *key])).rstrip(b"=").decode()


def decode(order: str, cursor: str, *types: type) -> tuple[Any, ...]:
    """The sort key that the cursor holds. Raises: BadCursor."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        said = msgspec.json.decode(raw, type=list)
        if len(said) != len(types) + 1 or said[0] != order:
            raise BadCursor(cursor)
        key: tuple[Any, ...] = tuple(
            msgspec.convert(value, wanted) for value, wanted in zip(said[1:], types, strict=True)
        )
        if not all(map(_can_be_asked_for, key)):
            raise BadCursor(cursor)
        return key
    except (UnicodeError, binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        raise BadCursor(cursor) from None


def _can_be_asked_for(value: object) -> bool:
    """Whether the database can compare with it; whatever a list gave out can be."""
    match value:
        case int():
            return 0 <= value < 2**63
        case str():
            return not UNPRINTABLE.search(value)
        case datetime():
            return value.utcoffset() == timedelta(0)
    return True


def page(rows: Sequence[T], first: int, cursor_of: Any) -> Page[T]:
    """A page of rows that were asked for one more than `first`."""
    return Page(tuple((cursor_of(row), row) for row in rows[:first]), len(rows) > first)
