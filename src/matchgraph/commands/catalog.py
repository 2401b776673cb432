"""Takes drafts into the catalog: many at a time, each artifact whole or not at all.

Only what is new is appended, so taking in the same drafts twice changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from matchgraph.commands.change import ATTEMPTS, fingerprint_of
from matchgraph.domain import text
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Alias, Artifact, Status, id_of
from matchgraph.domain.draft import Draft
from matchgraph.domain.errors import Refusal, SlugTaken, StaleObservation
from matchgraph.domain.price import Price, PriceLine
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.errors import AlreadyDone, Conflict, OutcomeUnknown, Unavailable
from matchgraph.eventstore.store import Request, Store, stored

# A source that still shows the same price is worth an event once in this while, as a sign that
# the price is alive; each import of an unchanged catalog is not.
CONFIRM_AFTER = timedelta(days=30)
MOST_IN_BATCH = 200


class Taken(StrEnum):
    """What became of a draft."""

    REGISTERED = "registered"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    LEFT_OUT = "left_out"
    REFUSED = "refused"


Stale = tuple[Signal, StaleObservation]


@dataclass(frozen=True)
class Outcome:
    """What became of one draft. `position` is where the log stood afterwards at least; `stale`
    are the signals that were left out alone, with the reasons."""

    slug: str
    taken: Taken
    position: int
    events: int = 0
    refusal: Refusal | None = None
    stale: tuple[Stale, ...] = ()


class Decided(NamedTuple):
    """The aggregates with what a draft adds to them pending, or why nothing of it is taken."""

    refusal: Refusal | None
    aggregates: list[Aggregate]
    stale: tuple[Stale, ...] = ()


async def take_in(store: Store, request: Request, drafts: Sequence[Draft]) -> list[Outcome]:
    """Takes each draft in, all of it or nothing; the outcomes are in the order of the drafts.

    Drafts of one artifact are taken in one after the other. With an idempotency key, each draft
    is remembered under that key and its number, so a repeated call goes on where it was cut off.
    Raises: KeyReused, Unavailable when nothing was done, OutcomeUnknown: what is done by then stays
        done.
    """
    # The whole call is remembered under its key as well, so that no other command can use it.
    whole = fingerprint_of("import", *drafts)
    await store.recall(request, whole)
    outcomes: dict[int, Outcome] = {}
    rest = list(enumerate(drafts))
    try:
        while rest:
            batch, later = _distinct(rest)
            await _take_in_batch(store, request, batch, outcomes)
            rest = later
        if request.idempotency_key is not None:
            with suppress(AlreadyDone):
                await store.append([], request, whole)
    except Unavailable as reason:
        if not outcomes:
            raise
        raise OutcomeUnknown(f"{len(outcomes)} artifacts were taken in, then {reason}") from reason
    return [outcomes[number] for number in range(len(drafts))]


def _distinct(
    drafts: Iterable[tuple[int, Draft]],
) -> tuple[list[tuple[int, Draft]], list[tuple[int, Draft]]]:
    """The next drafts that touch no aggregate twice, and those that come after them."""
    batch: list[tuple[int, Draft]] = []
    later: list[tuple[int, Draft]] = []
    seen: set[str] = set()
    for number, draft in drafts:
        slugs = {draft.slug, *draft.aliases}
        if len(batch) < MOST_IN_BATCH and seen.isdisjoint(slugs):
            batch.append((number, draft))
        else:
            later.append((number, draft))
        seen |= slugs
    return batch, later


async def _take_in_batch(
    store: Store,
    request: Request,
    batch: list[tuple[int, Draft]],
    outcomes: dict[int, Outcome],
) -> None:
    """Decides the batch on one load and appends it in one COPY; whenever something stands in the
    way of that, each draft for itself. What is done is in `outcomes`, whatever fails then."""
    if request.idempotency_key is None:
        known = await _load(store, [draft for _, draft in batch])
        led_to = [found.id for _, draft in batch if (found := _led_to(draft.slug, known))]
        # Two slugs of one artifact: what one draft is refused for must not be in the other's way.
        if len(set(led_to)) == len(led_to):
            decided = {number: _decide(draft, known) for number, draft in batch}
            events = [
                stored(event)  # type: ignore[arg-type]
                for made in decided.values()
                for aggregate in made.aggregates
                for event in aggregate.pending_events
            ]
            try:
                position = (
                    await store.append_batch(events, request) if events else await store.head()
                )
            except Conflict:
                pass
            else:
                for number, draft in batch:
                    outcomes[number] = _outcome(draft, decided[number], position)
                return
    for number, draft in batch:
        outcomes[number] = await _take_in_one(store, request, number, draft)


async def _take_in_one(store: Store, request: Request, number: int, draft: Draft) -> Outcome:
    if request.idempotency_key is not None:
        request = Request(
            actor=request.actor,
            request_id=request.request_id,
            idempotency_key=f"{request.idempotency_key}/{number}",
        )
    payload = fingerprint_of("take_in", draft)
    for _ in range(ATTEMPTS):
        position = await store.recall(request, payload)
        if position is not None:
            return Outcome(draft.slug, Taken.UNCHANGED, position)
        decided = _decide(draft, await _load(store, [draft]))
        outcome = _outcome(draft, decided, 0)
        if decided.refusal is not None:
            return outcome
        with suppress(AlreadyDone, Conflict):
            position = await store.append(decided.aggregates, request, payload)
            return replace(outcome, position=position)
    raise Conflict(f"others were first {ATTEMPTS} times in a row; try again in a moment")


async def _load(store: Store, drafts: Sequence[Draft]) -> dict[UUID, Aggregate]:
    """Every aggregate that the drafts may touch: by slug, then where aliases lead."""
    wanted = {
        id_of(slug)
        for draft in drafts
        for slug in (draft.slug, *draft.aliases)
        if text.SLUG.fullmatch(slug)
    }
    known: dict[UUID, Aggregate] = {}
    while missing := wanted - known.keys():
        found = await store.load_many(list(missing))
        known.update(found)
        wanted = {
            id
            for aggregate in found.values()
            if (id := getattr(aggregate, "artifact_id", None)) is not None
        }
    return known


def _decide(draft: Draft, known: dict[UUID, Aggregate]) -> Decided:
    try:
        text.slug(draft.slug)
        artifact = _led_to(draft.slug, known)
        if artifact is None:
            if draft.only_known:
                return Decided(None, [])
            artifact = Artifact.register(draft.slug, draft.kind, draft.facts, draft.provenance)
            if artifact.id in known:
                raise SlugTaken(draft.slug)
        elif artifact.status is Status.MERGED:
            # What a source says of a duplicate is not said of the artifact that it leads to.
            return Decided(None, [])
        else:
            artifact.describe(draft.facts, draft.provenance)
        for capability in draft.capabilities:
            artifact.claim_capability(capability)
        _take_in_prices(artifact, draft)
        stale = _take_in_signals(artifact, draft)
        return Decided(None, [artifact, *_aliases(artifact, draft, known)], stale)
    except Refusal as refusal:
        return Decided(refusal, [])


def _led_to(slug: str, known: dict[UUID, Aggregate]) -> Artifact | None:
    found = known.get(id_of(slug)) if text.SLUG.fullmatch(slug) else None
    if isinstance(found, Alias):
        found = known.get(found.artifact_id) if found.artifact_id else None
    return found if isinstance(found, Artifact) else None


def _aliases(artifact: Artifact, draft: Draft, known: dict[UUID, Aggregate]) -> list[Aggregate]:
    aliases: list[Aggregate] = []
    for slug in draft.aliases:
        if slug == artifact.slug:
            continue
        found = known.get(id_of(text.slug(slug)))
        if found is None:
            aliases.append(Alias.of(slug, artifact.id))
        elif isinstance(found, Alias) and found.artifact_id in (None, artifact.id):
            # Somebody may have removed it on purpose: importers do not bring it back.
            continue
        else:
            raise SlugTaken(slug)
    return aliases


def _take_in_prices(artifact: Artifact, draft: Draft) -> None:
    series: dict[PriceLine, list[Price]] = defaultdict(list)
    for price in draft.prices:
        price = price.checked(artifact.now)
        series[price.line].append(price)
    for line, prices in series.items():
        known = artifact.prices.get(line)
        prices.sort(key=lambda price: price.observed_at)
        for price in prices:
            since = known.observed_at if known else artifact.withdrawn.get(line)
            if draft.whole_price_list and since and price.observed_at <= since:
                continue
            if (
                known
                and price.asks_the_same_as(known)
                and price.observed_at < known.observed_at + CONFIRM_AFTER
            ):
                continue
            artifact.observe_price(price)
            known = artifact.prices[line]
    if draft.whole_price_list:
        at, source = draft.provenance.observed_at, draft.provenance.checked(artifact.now).source
        for line, price in tuple(artifact.prices.items()):
            gone = line.source == source and line not in series
            if gone and price.observed_at <= at:
                artifact.withdraw_price(line, at)


def _take_in_signals(artifact: Artifact, draft: Draft) -> tuple[Stale, ...]:
    stale: list[Stale] = []
    for signal in draft.signals:
        try:
            artifact.observe_signal(signal)
        except StaleObservation as refusal:
            if not draft.signals_apart:
                raise
            stale.append((signal, refusal))
    return tuple(stale)


def _outcome(draft: Draft, decided: Decided, position: int) -> Outcome:
    refusal, aggregates, stale = decided
    events = sum(len(aggregate.pending_events) for aggregate in aggregates)
    if refusal is not None:
        taken = Taken.REFUSED
    elif not aggregates:
        taken = Taken.LEFT_OUT
    elif any(isinstance(a, Artifact) and a.version == len(a.pending_events) for a in aggregates):
        taken = Taken.REGISTERED
    else:
        taken = Taken.CHANGED if events else Taken.UNCHANGED
    return Outcome(draft.slug, taken, position, events, refusal, stale)
