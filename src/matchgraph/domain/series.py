"""A value over time as a step function: from each point on it holds until the next one.

So that a chart has a bounded number of points, all that was seen within a day, a week or a month is
one point.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

N = TypeVar("N", int, Decimal)


class Every(StrEnum):
    """How long the stretches are that are one point each, by the calendar of UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Seen(Generic[N]):
    """What was seen in one stretch, which begins at `start`.

    `value` is the last one, seen at `at` by the event at `position`; None where it was seen to be
    gone. `low` and `high` are among all of those in between, of which the first was seen at
    `first`.
    """

    start: datetime
    first: datetime
    at: datetime
    position: int
    value: N | None
    low: N | None
    high: N | None
    observations: int


@dataclass(frozen=True, slots=True)
class Point(Generic[N]):
    """The value from `at` on, until the next point; None: unknown, or there is none. `low` and
    `high` are those that held at any moment from `start` to the end of the stretch."""

    start: datetime
    at: datetime
    position: int
    value: N | None
    low: N | None
    high: N | None
    observations: int


def points(seen: Iterable[Seen[N]], since: datetime | None = None) -> Iterator[Point[N]]:
    """The points of a series, oldest first.

    What was seen before `since` is one stretch at most, the first: what held then is the first
    point. A gap has one point, at its beginning; before anything was seen there is none.
    """
    held: N | None = None
    for one in seen:
        if since is not None and one.at < since:
            if one.value is not None:
                yield Point(since, one.at, one.position, one.value, one.value, one.value, 0)
            held = one.value
            continue
        start = one.start if since is None else max(one.start, since)
        values = [value for value in (one.low, one.high) if value is not None]
        if held is not None and one.first > start:
            values.append(held)
        if values or held is not None:
            yield Point(
                start,
                one.at,
                one.position,
                one.value,
                min(values, default=None),
                max(values, default=None),
                one.observations,
            )
        held = one.value
