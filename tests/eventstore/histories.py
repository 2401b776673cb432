"""Histories to test with: by example and, for promises about every history, by property."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from eventsourcing.persistence import StoredEvent
from hypothesis import strategies as st

from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Alias, Artifact, Facts, Kind, id_of
from matchgraph.domain.calibration import Calibration, MatchMean, Scale, Scales
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.errors import Refusal
from matchgraph.domain.key import Key, digest_of
from matchgraph.domain.policy import DEFAULTS, KindPolicy, Policy
from matchgraph.domain.price import Price, PriceLine, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.role import Role
from matchgraph.domain.search import (
    Discard,
    Discarded,
    DiscardedReport,
    Intent,
    Outcome,
    Sealed,
    Search,
    Served,
)
from matchgraph.domain.searcher import Searcher
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore import codec
from matchgraph.eventstore.store import stored

SEEN = datetime(2026, 1, 1, tzinfo=UTC)


async def until(holds: Callable[[], Awaitable[object]], *, patience: float = 10) -> None:
    """Waits for something that nobody announces."""
    deadline = time.monotonic() + patience
    while not await holds():
        assert time.monotonic() < deadline, "waited for in vain"
        await asyncio.sleep(0.01)


def day(number: int) -> datetime:
    return SEEN + timedelta(days=number)


def provenance(method: Method = Method.DECLARED, *, on: int = 0) -> Provenance:
    return Provenance(method=method, source="https://example.org", observed_at=day(on))


def artifact(slug: str = "parser", **facts: Any) -> Artifact:
    return Artifact.register(slug, Kind.MODEL, Facts(**{"name": slug, **facts}), provenance())


def capability(key: str = "parse-tables", **said: Any) -> Capability:
    return Capability(
        key=key, **{"name": key, "description": "Reads tables.", "provenance": provenance(), **said}
    )


def price(amount: str | None = "10", *, on: int = 0, **said: Any) -> Price:
    return Price(
        **{
            "provider": "acme",
            "pricing": Pricing.PAID,
            "source": "https://acme.example/prices",
            "observed_at": day(on),
            "amount": None if amount is None else Decimal(amount),
            "currency": None if amount is None else "USD",
            "per": None if amount is None else Unit.INPUT_TOKEN,
            **said,
        }
    )


def signal(value: str = "7", *, on: int = 0, **said: Any) -> Signal:
    return Signal(
        **{
            "name": SignalName.STARS,
            "value": Decimal(value),
            "source": "github",
            "observed_at": day(on),
            **said,
        }
    )


def stored_events(*aggregates: Aggregate) -> list[StoredEvent]:
    """The pending events of the aggregates as they go into the log."""
    return [stored(e) for aggregate in aggregates for e in aggregate.collect_events()]  # type: ignore[arg-type]


def plain(originator_id: UUID | None = None, version: int = 1) -> StoredEvent:
    """An event that decodes and that the store takes for any version; no two are alike."""
    event = Artifact.Retired(
        originator_id=originator_id or uuid4(),
        originator_version=version,
        timestamp=SEEN,
        reason=str(uuid4()),  # type: ignore[call-arg]
    )
    return StoredEvent(
        event.originator_id, version, codec.topic_of(Artifact.Retired), codec.encode(event)
    )


# By property. Few names and few values, so that histories meet themselves.

SLUGS = ("a", "b", "c")
ALIASES = ("a", "x", "y")
Step = tuple[str, tuple[Any, ...]]


@dataclass
class World:
    """The aggregates of one history as it is being made, and its commands in order."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    policy: Policy | None = None
    calibration: Calibration | None = None
    searches: list[Search] = field(default_factory=list)
    discarded: list[DiscardedReport] = field(default_factory=list)
    forgotten: dict[str, Searcher] = field(default_factory=dict)
    commands: list[list[StoredEvent]] = field(default_factory=list)

    def take(self, steps: Iterable[Step]) -> "World":
        """Does what the steps say, as far as the domain lets them."""
        for name, arguments in steps:
            touched: Sequence[Aggregate] = ()
            try:
                touched = STEPS[name](self, *arguments)
            except (Refusal, Discarded, LookupError):
                # A refusal is no event; a LookupError here is an artifact nobody registered yet, or
                # a search nobody made.
                continue
            if events := stored_events(*touched):
                self.commands.append(events)
        return self

    @property
    def events(self) -> list[StoredEvent]:
        return [event for command in self.commands for event in command]


def _register(world: World, slug: str, kind: Kind, facts: Facts, method: Method) -> list[Artifact]:
    if slug in world.artifacts or slug in world.aliases:
        return []
    made = Artifact.register(slug, kind, facts, provenance(method))
    world.artifacts[slug] = made
    return [made]


def _alias(world: World, slug: str, to: str) -> list[Alias]:
    if slug in world.artifacts:
        return []
    to_id = world.artifacts[to].id
    if slug in world.aliases:
        world.aliases[slug].lead_to(to_id)
    else:
        world.aliases[slug] = Alias.of(slug, to_id)
    return [world.aliases[slug]]


def _unalias(world: World, slug: str) -> list[Alias]:
    world.aliases[slug].remove()
    return [world.aliases[slug]]


def _merge(world: World, slug: str, into: str) -> list[Artifact]:
    world.artifacts[slug].merge(world.artifacts[into])
    return [world.artifacts[slug], world.artifacts[into]]


def _unmerge(world: World, slug: str) -> list[Artifact]:
    merged = world.artifacts[slug]
    target = next((one for one in world.artifacts.values() if one.id == merged.into), merged)
    merged.unmerge(target)
    return [merged, target]


def _tell_apart(world: World, slug: str, other: str) -> list[Artifact]:
    world.artifacts[slug].tell_apart(world.artifacts[other])
    return [world.artifacts[slug]]


def _adopt(world: World, *kinds: KindPolicy) -> list[Aggregate]:
    world.policy = Policy.adopt(world.policy, kinds)
    return [] if world.policy is None else [world.policy]


def _calibrate(world: World, scales: Scales) -> list[Aggregate]:
    world.calibration = Calibration.calibrate(world.calibration, scales)
    return [world.calibration]


def _search(world: World, intent: Intent, searcher: str, served: Sequence[Served]) -> list[Search]:
    id = UUID(int=len(world.searches) + 1)
    known = world.forgotten.get(searcher)
    words = sealed(intent, searcher, times=0 if known is None else len(known.forgotten))
    made = Search.answer(id, words, intent.cluster, searcher, served)
    world.searches.append(made)
    return [made]


def _continue(world: World, number: int, served: Sequence[Served]) -> list[Search]:
    world.searches[-number].continue_(served)
    return [world.searches[-number]]


def _report(world: World, number: int, slug: str, outcome: Outcome) -> list[Search]:
    world.searches[-number].report(id_of(slug), outcome)
    return [world.searches[-number]]


def _discard(
    world: World, reason: Discard, searcher: str, outcome: Outcome, search_id: UUID | None
) -> list[DiscardedReport]:
    id = uuid5(NAMESPACE_URL, str(len(world.commands)))
    made = DiscardedReport.of(id, reason, searcher, outcome, "0123", search_id, None)
    world.discarded.append(made)
    return [made]


def _forget(world: World, searcher: str) -> list[Searcher]:
    known = world.forgotten.get(searcher)
    times = 0 if known is None else len(known.forgotten)
    world.forgotten[searcher] = Searcher.forget(known, searcher, key_of(searcher, times))
    return [world.forgotten[searcher]]


def _on_artifact(method: str) -> Callable[..., list[Artifact]]:
    def step(world: World, slug: str, *arguments: Any) -> list[Artifact]:
        getattr(world.artifacts[slug], method)(*arguments)
        return [world.artifacts[slug]]

    return step


ON_ARTIFACT = (
    "describe",
    "retire",
    "reinstate",
    "add_capability",
    "revise_capability",
    "claim_capability",
    "retire_capability",
    "observe_price",
    "withdraw_price",
    "observe_signal",
)
STEPS: dict[str, Callable[..., Sequence[Aggregate]]] = {
    "register": _register,
    "alias": _alias,
    "unalias": _unalias,
    "merge": _merge,
    "unmerge": _unmerge,
    "tell_apart": _tell_apart,
    "adopt": _adopt,
    "calibrate": _calibrate,
    "search": _search,
    "continue": _continue,
    "report": _report,
    "discard": _discard,
    "forget": _forget,
    **{method: _on_artifact(method) for method in ON_ARTIFACT},
}

_slug = st.sampled_from(SLUGS)
_on = st.integers(0, 3).map(day)
_method = st.sampled_from(Method)
_types = st.none() | st.lists(st.sampled_from(DataType), max_size=2).map(tuple)
_text = st.none() | st.sampled_from(["one", "two", "Ünï\tcödé 文 '\"\\{}"])
_facts = st.builds(
    Facts,
    name=st.sampled_from(["A", "B"]),
    description=_text,
    vendor=_text,
    open_weights=st.none() | st.booleans(),
    released=st.none() | st.sampled_from([date(2026, 2, 28), date(2025, 7, 1)]),
    last_release=st.none() | st.just(date(2026, 3, 31)),
    context_tokens=st.none() | st.sampled_from([1, 10**11]),
    input_types=_types,
)
_provenance = st.builds(
    Provenance, method=_method, source=st.sampled_from(["s", "t"]), observed_at=_on
)
_key = st.sampled_from(["k", "l"])
_words = st.lists(st.sampled_from(["p", "q"]), max_size=2).map(tuple)
_capability = st.builds(
    Capability,
    key=_key,
    name=st.sampled_from(["K", "L"]),
    description=st.just("d"),
    provenance=_provenance,
    unique=_text,
    intents=_words,
    tags=_words,
    output_types=st.lists(st.sampled_from(DataType), max_size=2).map(tuple),
)
_provider = st.sampled_from(["acme", "bolt"])
_tier = st.sampled_from([None, "batch"])
_source = st.sampled_from(["s", "t"])
_amount = st.sampled_from(["0", "0.000000150", "10.50", "999999999", "1E+3"]).map(Decimal)
_price = st.builds(
    Price,
    provider=_provider,
    pricing=st.just(Pricing.PAID),
    source=_source,
    observed_at=_on,
    amount=_amount,
    currency=st.sampled_from(["USD", "EUR"]),
    per=st.sampled_from([Unit.INPUT_TOKEN, Unit.MONTH]),
    tier=_tier,
) | st.builds(
    Price,
    provider=_provider,
    pricing=st.sampled_from([Pricing.FREE, Pricing.UNKNOWN, Pricing.OPEN_SOURCE]),
    source=_source,
    observed_at=_on,
    tier=_tier,
)
_line = st.builds(
    PriceLine, _provider, st.sampled_from([None, Unit.INPUT_TOKEN, Unit.MONTH]), _tier, _source
)
_signal = st.builds(
    Signal,
    name=st.sampled_from([SignalName.STARS, SignalName.DEPENDENTS, SignalName.HOSTS]),
    value=st.sampled_from(["0", "7", "1200", "0.5"]).map(Decimal),
    source=_source,
    observed_at=_on,
    method=_method,
) | st.builds(
    Signal,
    name=st.sampled_from([SignalName.LICENCE, SignalName.TESTS]),
    value=st.sampled_from(["0", "1"]).map(Decimal),
    source=_source,
    observed_at=_on,
    method=_method,
)
_policy = st.builds(
    lambda kind, more, half_life: replace(
        DEFAULTS[kind],
        adoption=DEFAULTS[kind].adoption + more,
        quality=DEFAULTS[kind].quality - more,
        half_life=half_life,
    ),
    kind=st.sampled_from([Kind.MODEL, Kind.CLI]),
    more=st.sampled_from(["0", "0.1", "-0.05"]).map(Decimal),
    half_life=st.sampled_from([90, 270]),
)
_scales = st.builds(
    Scales,
    day=_on.map(datetime.date) | st.just(date(2026, 3, 1)),
    up_to=st.just(1),
    scales=st.lists(
        st.builds(
            Scale,
            signal=st.sampled_from([SignalName.STARS, SignalName.DEPENDENTS, SignalName.HOSTS]),
            p99=st.sampled_from(["0", "20", "1000.5"]).map(Decimal),
            observed=st.sampled_from([1, 40]),
            kind=st.sampled_from([None, Kind.MODEL]),
        ),
        max_size=4,
        unique_by=lambda one: (one.signal, one.kind),
    ).map(tuple),
    match_means=st.sampled_from([(), (MatchMean(kind=Kind.CLI, mean=Decimal("0.4")),)]),
)
INTENTS = tuple(
    Intent(cluster=UUID(int=number), label=label)
    for number, label in enumerate(["read tables", "Ünï\tcödé 文 '\"\\{}"], start=7)
)


def sealed(intent: Intent = INTENTS[0], searcher: str = "ann", *, times: int = 0) -> Sealed:
    """Words as the log holds them, of a searcher who was forgotten so many times before; what they
    are nobody can tell."""
    return Sealed(
        key=key_of(searcher, times),
        need=b"need:" + intent.label.encode(),
        label=b"label:" + intent.label.encode(),
    )


def key_of(searcher: str, times: int = 0) -> UUID:
    """The id of the key that a searcher has who was forgotten so many times."""
    return uuid5(NAMESPACE_URL, f"{searcher} {times}")


_intent = st.sampled_from(INTENTS)
_searcher = st.sampled_from(["ann", "bob", "cleo"])
_outcome = st.sampled_from(Outcome)


def served(
    slugs: Sequence[str], capabilities: Sequence[str | None] = (None,), *, first: int = 1
) -> tuple[Served, ...]:
    """The artifacts as results, from that position on; capabilities go round."""
    return tuple(
        Served(
            artifact_id=id_of(slug),
            capability=capabilities[number % len(capabilities)],
            position=first + number,
            score=1_000_000 - number,
        )
        for number, slug in enumerate(slugs)
    )


def _results(first: int) -> st.SearchStrategy[tuple[Served, ...]]:
    return st.builds(
        served,
        st.lists(st.sampled_from([*SLUGS, "d", "e"]), max_size=4, unique=True),
        st.sampled_from([(None,), ("k",), ("k", "l"), ("l", None)]),
        first=st.just(first),
    )


def _step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.tuples(*arguments))


_steps: st.SearchStrategy[Step] = st.one_of(
    _step("register", _slug, st.sampled_from([Kind.MODEL, Kind.CLI]), _facts, _method),
    _step("describe", _slug, _facts, _provenance),
    _step("retire", _slug, st.just("gone")),
    _step("reinstate", _slug),
    _step("merge", _slug, _slug),
    _step("unmerge", _slug),
    _step("tell_apart", _slug, _slug),
    _step("alias", st.sampled_from(ALIASES), _slug),
    _step("unalias", st.sampled_from(ALIASES)),
    _step("add_capability", _slug, _capability),
    _step("revise_capability", _slug, _capability),
    _step("claim_capability", _slug, _capability),
    _step("retire_capability", _slug, _key),
    _step("observe_price", _slug, _price),
    _step("withdraw_price", _slug, _line, _on),
    _step("observe_signal", _slug, _signal),
    _step("observe_signal", _slug, _signal),
    _step("adopt", _policy),
    _step("calibrate", _scales),
    _step("search", _intent, _searcher, _results(1)),
    _step("search", _intent, _searcher, _results(1)),
    _step("continue", st.sampled_from([1, 2]), _results(5)),
    _step("report", st.sampled_from([1, 1, 2, 3]), st.sampled_from([*SLUGS, "d"]), _outcome),
    _step("report", st.sampled_from([1, 1, 2, 3]), st.sampled_from([*SLUGS, "d"]), _outcome),
    _step(
        "discard",
        st.sampled_from(Discard),
        _searcher,
        _outcome,
        st.none() | st.just(UUID(int=1)),
    ),
    _step("forget", _searcher),
)
_all_there: list[Step] = [
    ("register", (slug, Kind.MODEL, Facts(name=slug), Method.OBSERVED)) for slug in SLUGS[:2]
]


def worlds(*, most: int = 40) -> st.SearchStrategy[World]:
    """Random histories that the domain allows: two artifacts there from the start, and then
    anything."""
    return st.lists(_steps, min_size=1, max_size=most).map(
        lambda steps: World().take([*_all_there, *steps])
    )


def rich(
    artifacts: int = 3, *, prefix: str = "thing", measured: bool = True
) -> list[list[StoredEvent]]:
    """Commands in which every event there is happens, again and again; with `measured` also those
    of the policy and the calibration, of which there is one in a history."""
    commands: list[list[StoredEvent]] = []
    for number in range(artifacts):
        one = artifact(f"{prefix}-{number}", vendor="acme")
        other = artifact(f"{prefix}-{number}-twin")
        commands.append(stored_events(one, other))
        alias = Alias.of(f"{prefix}-{number}-alias", one.id)
        one.describe(Facts(description="better"), provenance(on=1))
        one.add_capability(capability())
        one.add_capability(capability("parse-forms"))
        one.observe_price(price("10.50"))
        one.observe_price(price("5", per=Unit.OUTPUT_TOKEN))
        one.observe_signal(signal())
        commands.append(stored_events(one, alias))
        one.revise_capability(capability(name="Tables"))
        one.retire_capability("parse-forms")
        one.observe_price(price("9", on=1))
        one.withdraw_price(price(per=Unit.OUTPUT_TOKEN).line, day(1))
        one.observe_signal(signal("8", on=1))
        alias.remove()
        commands.append(stored_events(one, alias))
        alias.lead_to(other.id)
        one.tell_apart(other)
        one.merge(other)
        one.unmerge(other)
        one.retire("superseded")
        one.reinstate()
        commands.append(stored_events(one, other, alias))
        search = Search.answer(
            uuid5(one.id, "search"),
            sealed(INTENTS[0], "ann"),
            INTENTS[0].cluster,
            "ann",
            served([one.slug], ["parse-tables"]),
        )
        search.continue_(served([other.slug], first=2))
        search.report(one.id, Outcome.CLICKED)
        search.report(one.id, Outcome.SUCCEEDED)
        discarded = DiscardedReport.of(
            uuid5(one.id, "discarded"), Discard.FORGED, "bob", Outcome.CHOSEN, "0123"
        )
        key = Key.issue(uuid5(one.id, "key").hex[:12], "Ann", Role.CURATOR, digest_of("secret"))
        key.revoke()
        forgotten = Searcher.forget(None, f"{prefix}-{number}", uuid5(one.id, "key"))
        commands.append(stored_events(search, discarded, key, forgotten))
    if not measured:
        return commands
    calibration = Calibration.calibrate(
        None,
        Scales(
            day=date(2026, 3, 1),
            up_to=1,
            scales=(Scale(signal=SignalName.STARS, p99=Decimal(1000), observed=25),),
        ),
    )
    policy = Policy.adopt(None, [replace(DEFAULTS[Kind.MODEL], half_life=90)])
    assert policy is not None, "ninety days are news"
    commands.append(stored_events(policy, calibration))
    return commands


__all__ = [
    "SEEN",
    "World",
    "artifact",
    "capability",
    "day",
    "id_of",
    "plain",
    "price",
    "provenance",
    "rich",
    "served",
    "signal",
    "stored_events",
    "until",
    "worlds",
]
