"""What an event says, thing by thing; what differs from what was said before; and both in words.

A thing is whatever can be said anew by itself: one fact, one capability, one price of one source,
one signal of one source, the status. So what was said of it before is in one earlier event, and no
more of the history has to be read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from matchgraph.domain.aggregate import AggregateEvent
from matchgraph.domain.artifact import Alias, Artifact, Status
from matchgraph.domain.calibration import Calibration
from matchgraph.domain.capability import Capability
from matchgraph.domain.comparison import shown_amount, tenths
from matchgraph.domain.decimals import plain
from matchgraph.domain.key import Key
from matchgraph.domain.policy import KindPolicy, Policy
from matchgraph.domain.price import Price, PriceLine
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.search import Discard, DiscardedReport, Outcome, Search
from matchgraph.domain.searcher import Searcher
from matchgraph.domain.signal import Signal

# So much of a text is shown in a sentence, and so many changes of one event.
SHOWN = 80
MOST_SAID = 3


class About(StrEnum):
    """What sort of thing something is said of."""

    STATUS = "status"
    FACT = "fact"
    CAPABILITY = "capability"
    PRICE = "price"
    SIGNAL = "signal"
    ALIAS = "alias"
    ABSORBED = "absorbed"
    TOLD_APART = "told_apart"


class Thing(NamedTuple):
    """One thing that is said of an artifact. `key` is the name of a fact, the key of a capability,
    the fields of a price line, name and source of a signal, or an id as text."""

    about: About
    key: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Whether an artifact is on offer; why not, or what it leads to."""

    status: Status
    reason: str | None = None
    into: UUID | None = None


@dataclass(frozen=True)
class Difference:
    """What is said of a thing since an event, and was before. None: nothing, or not any more.

    `field` is the field of a capability that was and is there; otherwise the whole of it differs.
    """

    thing: Thing
    field: str | None
    before: object
    after: object


STATUS = Thing(About.STATUS)


def fact(name: str) -> Thing:
    """The fact by that name."""
    return Thing(About.FACT, (name,))


def price(line: PriceLine) -> Thing:
    """The price of that line."""
    return Thing(About.PRICE, tuple(line))


def said(event: AggregateEvent, artifact_id: UUID) -> dict[Thing, object]:
    """What is so of each thing of that artifact from the event on; None: not any more."""
    match event:
        case Artifact.Registered():
            return {STATUS: Standing(Status.ACTIVE)} | _facts(event.facts.said())
        case Artifact.Described():
            return _facts(event.facts.said())
        case Artifact.Retired():
            return {STATUS: Standing(Status.RETIRED, reason=event.reason)}
        case Artifact.Merged():
            return {STATUS: Standing(Status.MERGED, into=event.into)}
        case Artifact.Reinstated() | Artifact.Unmerged():
            return {STATUS: Standing(Status.ACTIVE)}
        case Artifact.Absorbed():
            return {Thing(About.ABSORBED, (str(event.other),)): event.other}
        case Artifact.Parted():
            return {Thing(About.ABSORBED, (str(event.other),)): None}
        case Artifact.ToldApart():
            return {Thing(About.TOLD_APART, (str(event.other),)): event.other}
        case Artifact.CapabilityAdded() | Artifact.CapabilityRevised():
            return {Thing(About.CAPABILITY, (event.capability.key,)): event.capability}
        case Artifact.CapabilityRetired():
            return {Thing(About.CAPABILITY, (event.key,)): None}
        case Artifact.PriceObserved():
            return {price(event.price.line): event.price}
        case Artifact.PriceWithdrawn():
            return {price(event.line): None}
        case Artifact.SignalObserved(signal=seen):
            return {Thing(About.SIGNAL, (seen.name, seen.source)): seen}
        case Alias.Aliased() | Alias.Realiased() | Alias.Unaliased():
            # One that leads to another artifact from now on has left this one.
            id, led_to = event.originator_id, getattr(event, "artifact_id", None)
            return {Thing(About.ALIAS, (str(id),)): id if led_to == artifact_id else None}
    return {}


def _facts(said: Mapping[str, object]) -> dict[Thing, object]:
    return {fact(name): value for name, value in said.items()}


def differences(
    before: Mapping[Thing, object], after: Mapping[Thing, object]
) -> tuple[Difference, ...]:
    """What differs, for each of the things in `after`. What was only seen or said again, at another
    moment or by somebody else, does not differ, unless it is a capability's provenance."""
    return tuple(
        one for thing, now in after.items() for one in _difference(thing, before.get(thing), now)
    )


def _difference(thing: Thing, was: object, now: object) -> Iterable[Difference]:
    if isinstance(was, Capability) and isinstance(now, Capability):
        for field in fields(Capability):
            one, other = getattr(was, field.name), getattr(now, field.name)
            if one != other:
                yield Difference(thing, field.name, one, other)
    elif not _says_the_same(was, now):
        yield Difference(thing, None, was, now)


def _says_the_same(was: object, now: object) -> bool:
    if isinstance(was, Price) and isinstance(now, Price):
        return was.asks_the_same_as(now)
    if isinstance(was, Signal) and isinstance(now, Signal):
        return (was.value, was.method) == (now.value, now.method)
    return was == now


class Source(NamedTuple):
    """Who says so, how they know, and when it was so."""

    source: str
    method: Method | None
    observed_at: datetime


def source_of(event: AggregateEvent) -> Source | None:
    """Where what the event says comes from; None: it is a decision made here."""
    match event:
        case Artifact.Registered() | Artifact.Described():
            return _claimed(event.provenance)
        case Artifact.CapabilityAdded() | Artifact.CapabilityRevised():
            return _claimed(event.capability.provenance)
        case Artifact.PriceObserved():
            return Source(event.price.source, None, event.price.observed_at)
        case Artifact.PriceWithdrawn():
            return Source(event.line.source, None, event.observed_at)
        case Artifact.SignalObserved(signal=seen):
            return Source(seen.source, seen.method, seen.observed_at)
    return None


def _claimed(provenance: Provenance) -> Source:
    return Source(provenance.source, provenance.method, provenance.observed_at)


def mentioned(event: AggregateEvent) -> tuple[UUID, ...]:
    """The artifacts and aliases that its sentence names, beside that which it is about."""
    match event:
        case Artifact.Merged():
            return (event.into,)
        case Artifact.Absorbed() | Artifact.Parted() | Artifact.ToldApart():
            return (event.other,)
        case Alias.Aliased() | Alias.Realiased() | Alias.Unaliased():
            return (event.originator_id,)
        case Search.Answered() | Search.Continued():
            return tuple(one.artifact_id for one in event.served[:MOST_SAID])
    return ()


def ids_in(one: Difference) -> tuple[UUID, ...]:
    """The artifacts and aliases that the sentence of a difference names."""
    values = (one.before, one.after)
    into = (value.into for value in values if isinstance(value, Standing))
    return tuple(value for value in (*values, *into) if isinstance(value, UUID))


# In words.


class Names:
    """The slugs of artifacts and aliases by id."""

    def __init__(self, slugs: Mapping[UUID, str]) -> None:
        self._slugs = slugs

    def __getitem__(self, id: UUID) -> str:
        return self._slugs.get(id, "an artifact that is not listed")


def sentence(slug: str, one: Difference, names: Names) -> str:
    """The difference in words, computed from nothing but the difference."""
    about, key = one.thing
    match about:
        case About.STATUS:
            return _status(slug, one, names)
        case About.FACT:
            return f"{_spoken(str(key[0]))} of {slug}: {show(one.before)} → {show(one.after)}"
        case About.CAPABILITY:
            if one.field is not None:
                return (
                    f"{_spoken(one.field)} of the capability {key[0]} of {slug}:"
                    f" {show(one.before)} → {show(one.after)}"
                )
            return f"{slug} {'has' if one.after else 'no longer has'} the capability {key[0]}"
        case About.PRICE:
            return f"{_price_of(slug, key)}: {_prices(one.before, one.after)}"
        case About.SIGNAL:
            return (
                f"{_spoken(str(key[0]))} of {slug} by {shorten(str(key[1]))}:"
                f" {_signal(one.before)} → {_signal(one.after)}"
            )
        case About.ALIAS:
            leads = "leads" if one.after else "no longer leads"
            return f"the alias {names[UUID(key[0])]} {leads} to {slug}"
        case About.ABSORBED:
            now = "was merged into" if one.after else "was parted from"
            return f"{names[UUID(key[0])]} {now} {slug}"
        case About.TOLD_APART:
            return f"{slug} was told apart from {names[UUID(key[0])]}"


def summary(
    event: AggregateEvent, slug: str | None, changes: Sequence[Difference], names: Names
) -> str:
    """What happened, in one sentence. It holds none of a searcher's words.

    `slug` is that of the artifact that the event is about, if it is about one.
    """
    about = slug or "an artifact that is not listed"
    match event:
        case Artifact.Registered():
            facts = sum(one.thing.about is About.FACT for one in changes)
            return (
                f"{about} was registered as {event.kind}, with {_counted(facts, 'fact')}"
                f" by {shorten(event.provenance.source)}"
            )
        case Policy.Adopted():
            return "ranks are weighed anew: " + "; ".join(map(_weights, event.kinds))
        case Calibration.Calibrated(scales=scales):
            return (
                f"ranks are measured by {_counted(len(scales.scales), 'scale')}"
                f" as of {scales.day} and position {scales.up_to}"
            )
        case Search.Answered():
            return f"a search was answered with {_served(event.served, names)}"
        case Search.Continued():
            return f"a search went on with {_served(event.served, names)}"
        case Search.OutcomeReported():
            return (
                f"{about} {_OUTCOMES[event.outcome]} at place {event.served.position} of a search"
            )
        case Key.Issued():
            return f"a key of the role {event.role.value} was issued"
        case Key.Revoked():
            return "a key was revoked"
        case Searcher.Forgotten():
            return "a searcher was forgotten"
        case DiscardedReport.Recorded():
            what = about if event.artifact_id else "a result"
            return f"a report that {what} {_OUTCOMES[event.outcome]} counts nowhere:" + (
                f" {_DISCARDS[event.reason]}"
            )
    if changes:
        said = [sentence(about, one, names) for one in changes[:MOST_SAID]]
        more = len(changes) - len(said)
        return "; ".join(said) + (f"; and {_counted(more, 'more change')}" if more else "")
    return _confirmation(event, about)


def _confirmation(event: AggregateEvent, slug: str) -> str:
    """What an event is that changes no value."""
    match event:
        case Artifact.Described():
            facts = ", ".join(map(_spoken, event.facts.said()))
            return f"{facts} of {slug}: confirmed by {shorten(event.provenance.source)}"
        case Artifact.PriceObserved(price=seen):
            return f"{_price_of(slug, seen.line)}: {_asked(seen)}, seen again"
        case Artifact.SignalObserved(signal=seen):
            return (
                f"{_spoken(seen.name)} of {slug} by {shorten(seen.source)}:"
                f" {_signal(seen)}, seen again"
            )
    # Of a release that has no sentence for it yet.
    topic: str = type(event).TOPIC  # type: ignore[attr-defined]
    return f"{topic.replace('.', ' was ').replace('_', ' ')}"


def _status(slug: str, one: Difference, names: Names) -> str:
    match one.after:
        case Standing(status=Status.RETIRED, reason=reason):
            return f"{slug} was retired: {shorten(reason or '')}"
        case Standing(status=Status.MERGED, into=UUID() as into):
            return f"{slug} was merged into {names[into]}"
    return f"{slug} is on offer{' again' if one.before else ''}"


def _price_of(slug: str, key: Sequence[str | None]) -> str:
    provider, _, tier, _ = key
    return f"price of {slug} at provider {provider}" + (f" ({tier})" if tier else "")


def _prices(was: object, now: object) -> str:
    if isinstance(was, Price) and isinstance(now, Price):
        if was.amount is None or now.amount is None or was.pricing != now.pricing:
            return f"{_asked(was)} → {_asked(now)}"
        if was.currency != now.currency:
            return f"{_amount(was)} {was.currency} → {_asked(now, model=False)}"
        return f"{_amount(was)} → {_asked(now, model=False)}"
    if isinstance(now, Price):
        return f"{_asked(now)}, not known before"
    return f"{_asked(was)}, asked no longer" if isinstance(was, Price) else "asked no longer"


def _asked(price: Price, *, model: bool = True) -> str:
    """`0.08 USD per 1M input tokens`, or how the provider charges where there is no amount."""
    charges = price.pricing.replace("_", " ")
    if price.amount is None or price.per is None:
        return charges
    asked = f"{_amount(price)} {price.currency} per {price.per.spoken}"
    return f"{asked} ({charges})" if model and price.pricing != "paid" else asked


def _amount(price: Price) -> str:
    return plain(shown_amount(price))


def _signal(value: object) -> str:
    if not isinstance(value, Signal):
        return show(None)
    if value.name.is_checklist_item:
        return "yes" if value.value else "no"
    return plain(value.value)


def _weights(one: KindPolicy) -> str:
    names = ("adoption", "quality", "ecosystem", "match graph", "freshness")
    weights = ", ".join(
        f"{name} {plain(weight)}" for name, weight in zip(names, one.weights, strict=True)
    )
    return f"{one.kind} by {weights}, half-life {one.half_life} days"


def _served(served: Sequence[object], names: Names) -> str:
    first = [names[one.artifact_id] for one in served[:MOST_SAID]]  # type: ignore[attr-defined]
    if not first:
        return "nothing"
    if len(served) <= MOST_SAID:
        return f"{_counted(len(served), 'artifact')}: {', '.join(first)}"
    return f"{_counted(len(served), 'artifact')}, first {', '.join(first)}"


_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.CLICKED: "was clicked",
    Outcome.CHOSEN: "was chosen",
    Outcome.SUCCEEDED: "did what was needed",
    Outcome.FAILED: "did not do what was needed",
    Outcome.DISMISSED: "was dismissed",
}
_DISCARDS: Mapping[Discard, str] = {
    Discard.FORGED: "its token is forged",
    Discard.EXPIRED: "its token has expired",
    Discard.DUPLICATE: "no more than was known",
    Discard.OVER_CAP: "the searcher had chosen enough",
    Discard.UNKNOWN_SEARCH: "the search is not known",
}


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def show(value: object) -> str:
    """A value as a sentence has it."""
    match value:
        case None:
            return "not known"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case Decimal():
            return plain(value)
        case Provenance():
            day = value.observed_at.date().isoformat()
            return f"{value.method} by {shorten(value.source)}, {day}"
        case tuple():
            return shorten(", ".join(map(str, value))) if value else "none"
    return shorten(str(value))


def shorten(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1].rstrip()}…"


class Placed(NamedTuple):
    """A score in millionths of a point, and the place on the board of its kind."""

    score: int
    place: int


def rank_sentence(slug: str, was: Placed | None, now: Placed | None) -> str:
    """How a rank moved; None: not on the board."""
    if was == now:
        return f"rank of {slug}: {_placed(now)}, as before"
    return f"rank of {slug}: {_placed(was)} → {_placed(now)}"


def _placed(placed: Placed | None) -> str:
    if placed is None:
        return "not on the board"
    return f"{tenths(placed.score)} at place {placed.place}"
