"""The base class of the aggregates, over that of the `eventsourcing` library.

It derives from `BaseAggregate` and not from `Aggregate`: every event here names its topic on disk,
and the library wants a topic on the ready-made events that `Aggregate` brings along, too.
"""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.domain import AggregateCreated, AggregateEvent, BaseAggregate, event
from eventsourcing.utils import get_topic

__all__ = ["Aggregate", "AggregateCreated", "AggregateEvent", "Recurring", "event"]


class Aggregate(BaseAggregate[UUID]):
    """Something with a history of its own, whose rules are decided on that history."""

    class Event(AggregateEvent):
        """The library asks for a base event; it is never triggered."""

    @property
    def now(self) -> datetime:
        """The moment that the next event would be stamped with."""
        return AggregateEvent.create_timestamp()


A = TypeVar("A", bound=Aggregate)


class Recurring(AggregateCreated):
    """The only event of an aggregate: its first occurrence begins it, every later one goes on.

    (The library has events that begin an aggregate and events that go on with one; a fact that
    simply is stated again would need two topics.)
    """

    def mutate(self, aggregate: Any) -> Any:
        """Begins the aggregate or moves it on by a version."""
        if aggregate is None:
            return super().mutate(None)
        return AggregateEvent.mutate(self, aggregate)

    @classmethod
    def happens(
        cls, aggregate_class: type[A], known: A | None, *, id: UUID | None = None, **said: Any
    ) -> A:
        """The aggregate with the event pending; by that id where there are several of its class."""
        pending = cls(
            originator_topic=get_topic(aggregate_class),
            originator_id=id or aggregate_class.create_id(),
            originator_version=1 if known is None else known.version + 1,
            timestamp=cls.create_timestamp(),
            **said,
        )
        aggregate: A = pending.mutate(known)
        aggregate.pending_events.append(pending)
        return aggregate
