"""Searches that were answered, and what became of what they served.

A report of an outcome counts, or it is discarded for a reason; either is recorded and answered.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import msgspec

from matchgraph.commands.change import change, done_at
from matchgraph.commands.outcome_token import Expired, Forged, Token, digest, read
from matchgraph.domain import text
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.need import Need
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
from matchgraph.eventstore.searcher_keys import SearcherKeys, label_of, need_of
from matchgraph.eventstore.store import Request, Store

# What one searcher has a say in on one day; a person does not come near.
MOST_REPORTS = 100
MESSAGES = {
    Discard.FORGED: "This token is not one that a search gave out; send it unchanged.",
    Discard.EXPIRED: "This token is older than 30 days; search again and report on that.",
    Discard.DUPLICATE: "An outcome that is as final is known of this result already.",
    Discard.OVER_CAP: "More was reported than counts: of this search, or by this searcher today.",
    Discard.UNKNOWN_SEARCH: "The search that this token is of was answered but never recorded.",
}
# Units: seconds.
SOON = 600.0


@dataclass(frozen=True)
class Report:
    """What somebody says became of a served result. `searcher` is who says so, as a pseudonym."""

    token: str
    outcome: Outcome
    searcher: str


@dataclass(frozen=True)
class OutcomeReported:
    """The report counts."""

    position: int
    search_id: UUID
    artifact_id: UUID
    outcome: Outcome


@dataclass(frozen=True)
class OutcomeDiscarded:
    """The report counts nowhere; `position` is where that is recorded."""

    position: int
    reason: Discard

    @property
    def message(self) -> str:
        """One sentence for a person."""
        return MESSAGES[self.reason]


class Recent:
    """Reports that were discarded a short while ago in this process, and where that is recorded.

    The same report sent again and again then fills neither the history nor this memory.
    """

    def __init__(self, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._known: OrderedDict[tuple[str, str, Outcome, Discard], tuple[float, int]] = (
            OrderedDict()
        )

    def position(self, report: Report, reason: Discard) -> int | None:
        """Where that was recorded, if it was a short while ago."""
        since, position = self._known.get(self._key(report, reason), (-SOON, 0))
        return position if self._clock() - since < SOON else None

    def add(self, report: Report, reason: Discard, position: int) -> None:
        """Remembers it; the one that was remembered longest goes when there are too many."""
        key = self._key(report, reason)
        self._known.pop(key, None)
        self._known[key] = (self._clock(), position)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)

    @staticmethod
    def _key(report: Report, reason: Discard) -> tuple[str, str, Outcome, Discard]:
        return report.searcher, digest(report.token), report.outcome, reason


async def sealed(keys: SearcherKeys, id: UUID, need: Need, intent: Intent, searcher: str) -> Sealed:
    """What is written in a search, sealed with the searcher's key. Raises: UnusableKey,
    Unavailable."""
    key = await keys.of(searcher)
    label = text.printable(intent.label)[: text.LONG]
    # What is not given is left out: most needs have none of two dozen conditions.
    said = {**vars(need), "where": need.where.said()}
    return Sealed(
        key=key.id,
        need=key.seal(msgspec.json.encode(said), need_of(id)),
        label=key.seal(label.encode(), label_of(id)),
    )


async def answered(
    store: Store,
    request: Request,
    id: UUID,
    words: Sealed,
    cluster: UUID,
    searcher: str,
    served: Sequence[Served],
) -> int:
    """Records a search with its first page, in one append.

    Whoever answers goes on without it: a search does not fail because it is not recorded, and
    outcomes of it are discarded. Raises: Conflict when there is a search by that id, Unavailable,
    OutcomeUnknown.
    """
    return await store.append([Search.answer(id, words, cluster, searcher, served)], request)


async def continued(store: Store, request: Request, id: UUID, served: Sequence[Served]) -> int:
    """Records a later page of a search; what was shown before is not shown again.

    A search that was never recorded stays so. Raises: Conflict, Unavailable, OutcomeUnknown.
    """

    async def decide() -> Sequence[Aggregate]:
        search = await _search(store, id)
        if search is None:
            return []
        search.continue_(served)
        return [search]

    return await change(store, request, "continued", (id, served), decide)


async def report_outcome(
    store: Store,
    request: Request,
    report: Report,
    *,
    secrets: Sequence[str],
    reports_on: Callable[[str, date], Awaitable[int]],
    recent: Recent,
    now: datetime | None = None,
) -> OutcomeReported | OutcomeDiscarded:
    """Records what became of a served result, or why the report counts nowhere.

    `reports_on` says how many reports of a searcher counted on a day, as far as the read model
    `match_graph` has come. MOST_REPORTS bounds no more than that: while the read model keeps up,
    what is on its way to it counts in addition, and while it is behind, stands still or is computed
    anew, whatever is reported meanwhile. MOST_CHOSEN of a search holds always.
    Raises: KeyReused, Conflict, Unavailable, OutcomeUnknown.
    """
    now = now or datetime.now(UTC)
    discarded: list[Discard] = []

    async def decide() -> Sequence[Aggregate]:
        discarded.clear()
        token: Token | None = None
        try:
            try:
                token = read(secrets, report.token, now)
            except Forged:
                raise Discarded(Discard.FORGED) from None
            except Expired as expired:
                token = expired.token
                raise Discarded(Discard.EXPIRED) from None
            search = await _search(store, token.search_id)
            if search is None:
                raise Discarded(Discard.UNKNOWN_SEARCH)
            search.report(token.artifact_id, report.outcome)
            if await reports_on(search.searcher, now.date()) >= MOST_REPORTS:
                raise Discarded(Discard.OVER_CAP)
            return [search]
        except Discarded as found:
            discarded.append(found.reason)
            position = recent.position(report, found.reason)
            if position is not None and request.idempotency_key is None:
                raise _RecordedBefore(position) from None
            return [_record(report, found.reason, token)]

    try:
        said = (digest(report.token), report.outcome)
        position = await change(store, request, "report_outcome", said, decide)
    except _RecordedBefore as before:
        return OutcomeDiscarded(before.position, discarded[0])
    with done_at(position):
        result = await _result(store, position)
    if isinstance(result, OutcomeDiscarded):
        recent.add(report, result.reason, result.position)
    return result


@dataclass
class _RecordedBefore(Exception):
    """The same report was discarded a short while ago, and that is recorded there."""

    position: int


def _record(report: Report, reason: Discard, token: Token | None) -> DiscardedReport:
    return DiscardedReport.of(
        uuid4(),
        reason,
        report.searcher,
        report.outcome,
        digest(report.token),
        None if token is None else token.search_id,
        None if token is None else token.artifact_id,
    )


async def _result(store: Store, position: int) -> OutcomeReported | OutcomeDiscarded:
    """What the event at that position says: of a call that is repeated with its idempotency key,
    nothing else knows."""
    (recorded,) = await store.read(position - 1, 1)
    match recorded.event:
        case Search.OutcomeReported(originator_id=id, served=served, outcome=outcome):
            return OutcomeReported(position, id, served.artifact_id, outcome)
        case DiscardedReport.Recorded(reason=reason):
            return OutcomeDiscarded(position, reason)
    raise AssertionError("the command appends nothing else")


async def _search(store: Store, id: UUID) -> Search | None:
    found = await store.load(id)
    return found if isinstance(found, Search) else None
