"""Given a history, when asked, then these events: words for the tests of aggregates."""

from typing import Any, TypeVar

from matchgraph.domain.aggregate import Aggregate, AggregateEvent

A = TypeVar("A", bound=Aggregate)
HEADER = {"originator_id", "originator_version", "originator_topic", "timestamp"}
Fact = tuple[type[Any], dict[str, Any]]


def given(aggregate: A) -> A:
    """The aggregate with what happened so far in the past."""
    aggregate.collect_events()
    return aggregate


def happened(aggregate: Aggregate) -> list[Fact]:
    """What is new, without ids and timestamps."""
    return [
        (type(event), {name: said for name, said in vars(event).items() if name not in HEADER})
        for event in aggregate.pending_events
    ]


def fact(event: type[AggregateEvent], **said: Any) -> Fact:
    """One entry of what `happened` lists."""
    return event, said
