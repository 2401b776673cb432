"""Events to rows and back, for everything that writes or reads the history.

On disk an event is compact JSON that carries its own tag (topic and version) and the id of its
aggregate, then the event's fields by name; what is None is left out. So a page of history can be
decoded in one call, by programs in any language, and each reader names only the fields it needs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

from matchgraph import __version__
from matchgraph.domain.aggregate import Aggregate, AggregateEvent
from matchgraph.domain.artifact import Alias, Artifact
from matchgraph.domain.calibration import Calibration
from matchgraph.domain.key import Key
from matchgraph.domain.policy import Policy
from matchgraph.domain.search import DiscardedReport, Search
from matchgraph.domain.searcher import Searcher

AGGREGATES: tuple[type[Aggregate], ...] = (
    Artifact,
    Alias,
    Policy,
    Calibration,
    Search,
    DiscardedReport,
    Key,
    Searcher,
)
HEADER = frozenset({"originator_id", "originator_version"})
# What every state on disk begins with.
ENVELOPE = frozenset({"type", "id", "timestamp", "originator_topic"})


class UnknownTopic(Exception):
    """History holds an event that this release does not know; a newer one wrote it."""

    def __init__(self, tag: str, release: str | None = None) -> None:
        """`release` is one that knows the event, if that was found out."""
        to = "" if release is None else f" to {release} or later"
        super().__init__(
            f"This release, {__version__}, does not know the event {tag!r}. A newer release wrote "
            f"it: upgrade{to}, or nothing may be computed from this history."
        )
        self.tag = tag


class Undecodable(Exception):
    """An event's state is not what its topic promises."""


def tag_of(topic: str, version: int) -> str:
    """The tag on disk: the topic, with the version once the shape has moved on."""
    return topic if version == 1 else f"{topic}@{version}"


def topic_of(event: type[AggregateEvent]) -> str:
    """The event's name on disk, which outlives that of its class."""
    topic: str = event.TOPIC  # type: ignore[attr-defined]
    return topic


def _events(aggregates: Iterable[type[Aggregate]]) -> dict[str, type[AggregateEvent]]:
    """Every event of the domain by its topic. (The library keeps its own list of topics, but that
    one also holds the aggregates.)"""
    return {
        topic_of(event): event
        for aggregate in aggregates
        for event in vars(aggregate).values()
        if isinstance(event, type)
        and issubclass(event, AggregateEvent)
        and event.__name__ != "Event"
    }


EVENTS: Mapping[str, type[AggregateEvent]] = _events(AGGREGATES)


def version_of(event: type[AggregateEvent]) -> int:
    """The version of the event's shape that this release writes."""
    version: int = getattr(event, "class_version", 1)
    return version


CURRENT_TAGS = frozenset(tag_of(topic, version_of(event)) for topic, event in EVENTS.items())


@cache
def _shape(event: type[AggregateEvent]) -> type[msgspec.Struct]:
    """The event's fields as a type that msgspec reads and writes."""
    hints = get_type_hints(event)
    names = [f.name for f in fields(event) if f.name not in HEADER]
    return msgspec.defstruct(
        event.__name__,
        [
            ("id", UUID),
            # What may be None is left out when it is.
            *(
                (n, hints[n], None) if NoneType in get_args(hints[n]) else (n, hints[n])
                for n in names
            ),
        ],
        kw_only=True,
        tag_field="type",
        tag=tag_of(topic_of(event), version_of(event)),
    )


@cache
def _decoder(event: type[AggregateEvent]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_shape(event))


_encoder = msgspec.json.Encoder()
_generic_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def encode(event: AggregateEvent) -> bytes:
    """The event's state on disk."""
    shape = _shape(EVENTS[topic_of(type(event))])
    values = vars(event)
    struct = shape(
        id=event.originator_id, **{name: values[name] for name in shape.__struct_fields__[1:]}
    )
    return _written(struct)


def decode(
    topic: str,
    originator_id: UUID,
    version: int,
    state: bytes,
    events: Mapping[str, type[AggregateEvent]] = EVENTS,
) -> AggregateEvent:
    """The event that was stored, as this release knows it.

    Raises: UnknownTopic, Undecodable.
    """
    try:
        cls = events[topic]
    except KeyError:
        raise UnknownTopic(topic) from None
    try:
        struct = _decoder(cls).decode(state)
    except (msgspec.DecodeError, RecursionError):
        struct = _upcast(cls, state)
    values = {name: getattr(struct, name) for name in struct.__struct_fields__[1:]}
    # As the library's own mapper does it: the event was checked when it was decided.
    event = object.__new__(cls)
    object.__setattr__(
        event,
        "__dict__",
        {"originator_id": originator_id, "originator_version": version, **values},
    )
    return event


def current(
    states: Iterable[bytes], events: Mapping[str, type[AggregateEvent]] = EVENTS
) -> list[bytes]:
    """The states as the newest version of each event would have been written.

    Raises: UnknownTopic, Undecodable.
    """
    found = []
    for state in states:
        values, topic, _ = _parsed(state)
        tag = values["type"]
        if tag in CURRENT_TAGS:
            found.append(state)
            continue
        if topic not in events:
            raise UnknownTopic(tag)
        found.append(_written(_upcast(events[topic], state)))
    return found


def recorded_version(state: bytes) -> int:
    """The version of its shape that the event was recorded in. Raises: Undecodable."""
    _, _, version = _parsed(state)
    return version


def payload(state: bytes) -> dict[str, Any]:
    """What the event says, as JSON in its newest shape, without what every event has. Raises:
    UnknownTopic, Undecodable."""
    (newest,) = current([state])
    values = _generic_decoder.decode(newest)
    return {name: value for name, value in values.items() if name not in ENVELOPE}


def json_of(value: object) -> Any:
    """A value of the domain as the payload of an event holds it."""
    return _plain(msgspec.to_builtins(value, builtin_types=(Decimal,)))


def _upcast(cls: type[AggregateEvent], state: bytes) -> Any:
    """The state of an older version, moved on one version at a time by the event's own
    `upcast_v1_v2`, `upcast_v2_v3` and so on, which change the decoded JSON in place."""
    values, topic, version = _parsed(state)
    tag = values["type"]
    newest = version_of(cls)
    if topic != topic_of(cls):
        raise Undecodable(f"{tag}: recorded as {topic_of(cls)}")
    if version > newest:
        raise UnknownTopic(tag)
    try:
        for known in range(version, newest):
            getattr(cls, f"upcast_v{known}_v{known + 1}")(values)
        values["type"] = tag_of(topic, newest)
        return msgspec.convert(values, _shape(cls), strict=False)
    except (LookupError, TypeError, ValueError, ArithmeticError) as reason:
        # msgspec's own complaint is a ValueError; the others are an upcast's.
        raise Undecodable(f"{tag}: {reason}") from reason


def _parsed(state: bytes) -> tuple[dict[str, Any], str, int]:
    """The state as JSON, with the topic and the version that it names. Raises: Undecodable."""
    try:
        values = _generic_decoder.decode(state)
        topic, _, version = values["type"].partition("@")
        return values, topic, int(version or 1)
    except (ValueError, KeyError, AttributeError, RecursionError) as reason:
        raise Undecodable(f"not an event: {reason!r}") from reason


def _written(struct: msgspec.Struct) -> bytes:
    """The JSON on disk: what is None is left out, and decimals have no exponent."""
    return _encoder.encode(json_of(struct))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return format(value, "f") if isinstance(value, Decimal) else value


class CatalogMapper(Mapper[UUID]):
    """Lets the eventsourcing library's own tools read and write this history."""

    def __init__(self) -> None:
        super().__init__(transcoder=JSONTranscoder())

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The event as the library stores it, in our encoding."""
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=topic_of(type(domain_event)),
            state=encode(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The event that was stored. Raises: UnknownTopic, Undecodable."""
        originator_id = stored_event.originator_id
        assert isinstance(originator_id, UUID), "this history's aggregates have UUIDs"
        return decode(
            stored_event.topic, originator_id, stored_event.originator_version, stored_event.state
        )
