"""The base class of the aggregates, over that of the `eventsourcing` library.

It derives from `BaseAggregate` and not from `Aggregate`: every event here names its topic on disk,
and the library wants a topic on the ready-made events that `Aggregate` brings along, too.
"""

from datetime import datetime
from uuid import UUID

from eventsourcing.domain import AggregateCreated, AggregateEvent, BaseAggregate, event

__all__ = ["Aggregate", "AggregateCreated", "AggregateEvent", "event"]


class Aggregate(BaseAggregate[UUID]):
    """Something with a history of its own, whose rules are decided on that history."""

    class Event(AggregateEvent):
        """The library asks for a base event; it is never triggered."""

    @property
    def now(self) -> datetime:
        """The moment that the next event would be stamped with."""
        return AggregateEvent.create_timestamp()
