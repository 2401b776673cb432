"""Read model `trail`: where in the log each thing was said, so that what was said before is found
without reading an artifact's whole history; and where each topic occurs.

Read by queries/history.py.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from matchgraph.eventstore.codec import CURRENT_TAGS
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert, insert_all

# So many positions are one stretch: few enough to be looked through for a single event.
STRETCH = 128
STATUS = ("status",)


def subject(parts: Iterable[str | None]) -> UUID:
    """What stands for a thing, however long its name is."""
    # No text that the catalog keeps holds NUL.
    said = "\0".join(part or "" for part in parts)
    return UUID(bytes=blake2b(said.encode(), digest_size=16).digest())


class Key(Said, frozen=True):
    key: str


class Price(Said, frozen=True):
    provider: str
    source: str
    per: str | None = None
    tier: str | None = None


class Line(NamedTuple):
    """As the domain's PriceLine."""

    provider: str
    per: str | None
    tier: str | None
    source: str


class Signal(Said, frozen=True):
    name: str
    source: str


class Registered(Heard, tag="artifact.registered", frozen=True):
    facts: dict[str, msgspec.Raw]


class Described(Heard, tag="artifact.described", frozen=True):
    facts: dict[str, msgspec.Raw]


class Retired(Heard, tag="artifact.retired", frozen=True):
    pass


class Reinstated(Heard, tag="artifact.reinstated", frozen=True):
    pass


class Merged(Heard, tag="artifact.merged", frozen=True):
    pass


class Unmerged(Heard, tag="artifact.unmerged", frozen=True):
    pass


class Absorbed(Heard, tag="artifact.absorbed", frozen=True):
    other: str


class Parted(Heard, tag="artifact.parted", frozen=True):
    other: str


class ToldApart(Heard, tag="artifact.told_apart", frozen=True):
    other: str


class CapabilityAdded(Heard, tag="capability.added", frozen=True):
    capability: Key


class CapabilityRevised(Heard, tag="capability.revised", frozen=True):
    capability: Key


class CapabilityRetired(Heard, tag="capability.retired", frozen=True):
    key: str


class PriceObserved(Heard, tag="price.observed", frozen=True):
    price: Price


class PriceWithdrawn(Heard, tag="price.withdrawn", frozen=True):
    line: Line


class SignalObserved(Heard, tag="signal.observed", frozen=True):
    signal: Signal


class Aliased(Heard, tag="artifact.aliased", frozen=True):
    artifact_id: str


class Realiased(Heard, tag="artifact.realiased", frozen=True):
    artifact_id: str


class Unaliased(Heard, tag="artifact.unaliased", frozen=True):
    pass


SAYS: tuple[type[Heard], ...] = (
    Registered,
    Described,
    Retired,
    Reinstated,
    Merged,
    Unmerged,
    Absorbed,
    Parted,
    ToldApart,
    CapabilityAdded,
    CapabilityRevised,
    CapabilityRetired,
    PriceObserved,
    PriceWithdrawn,
    SignalObserved,
    Aliased,
    Realiased,
    Unaliased,
)


def _tag(heard: type[Heard]) -> str:
    return str(heard.__struct_config__.tag)


# Of these only the topic matters.
OTHERS: tuple[type[Heard], ...] = tuple(
    msgspec.defstruct("Other", [], bases=(Heard,), tag=tag, frozen=True)  # type: ignore[misc]
    for tag in sorted(CURRENT_TAGS - {_tag(heard) for heard in SAYS})
)
TOPICS = {heard: _tag(heard).partition("@")[0] for heard in (*SAYS, *OTHERS)}


def _things(event: Any) -> Iterator[Iterable[str | None]]:
    """What the event says something of, within its artifact. (domain/history.py has the same
    names.)"""
    match event:
        case Registered():
            yield STATUS
            yield from (("fact", name) for name in event.facts)
        case Described():
            yield from (("fact", name) for name in event.facts)
        case Retired() | Reinstated() | Merged() | Unmerged():
            yield STATUS
        case Absorbed() | Parted():
            yield ("absorbed", event.other)
        case ToldApart():
            yield ("told_apart", event.other)
        case CapabilityAdded() | CapabilityRevised():
            yield ("capability", event.capability.key)
        case CapabilityRetired():
            yield ("capability", event.key)
        case PriceObserved(price=p):
            yield ("price", p.provider, p.per, p.tier, p.source)
        case PriceWithdrawn():
            yield ("price", *event.line)
        case SignalObserved():
            yield ("signal", event.signal.name, event.signal.source)


async def apply(db: Connection, batch: Batch) -> None:
    """A row for each thing that is said, and one for each topic and stretch."""
    rows = [
        (UUID(event.id), subject(thing), position)
        for position, event in batch
        for thing in _things(event)
    ]
    stretches = {(TOPICS[type(event)], position // STRETCH) for position, event in batch}
    await insert_all(
        db, ("trail", rows, ""), ("trail_topic", sorted(stretches), "ON CONFLICT DO NOTHING")
    )
    await _lead(db, [one for one in batch if isinstance(one[1], Aliased | Realiased | Unaliased)])


async def _lead(db: Connection, events: list[tuple[int, Any]]) -> None:
    """Each artifact that an alias leads to since then, and each that it no longer does."""
    if not events:
        return
    led_to: dict[str, UUID] = {
        str(row["alias_id"]): row["artifact_id"]
        for row in await db.fetch(
            "SELECT DISTINCT ON (alias_id) alias_id, artifact_id, leads FROM trail_alias"
            " WHERE alias_id = ANY ($1) ORDER BY alias_id, position DESC, leads DESC",
            [event.id for _, event in events],
        )
        if row["leads"]
    }
    rows = []
    for position, event in events:
        if (was := led_to.pop(event.id, None)) is not None:
            rows.append((was, position, event.id, False))
        if not isinstance(event, Unaliased):
            led_to[event.id] = now = UUID(event.artifact_id)
            rows.append((now, position, event.id, True))
    await insert(db, "trail_alias", rows)


TRAIL = Projection(
    name="trail",
    tables=("trail", "trail_alias", "trail_topic"),
    hears=(*SAYS, *OTHERS),
    apply=apply,
)
