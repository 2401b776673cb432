"""Reports of outcomes: each counts once or is discarded for a reason, and either is recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from matchgraph.commands import search as commands
from matchgraph.commands.outcome_token import LIFE, Expired, Forged, Token, digest, pseudonym, sign
from matchgraph.commands.outcome_token import read as read_token
from matchgraph.commands.search import (
    MOST_REPORTS,
    SOON,
    OutcomeDiscarded,
    OutcomeReported,
    Recent,
    Report,
)
from matchgraph.domain.artifact import id_of
from matchgraph.domain.search import Discard, DiscardedReport, Outcome, Search, Served
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import Conflict, KeyReused
from matchgraph.eventstore.store import Request, Store
from matchgraph.queries import match_graph
from tests.conftest import project
from tests.eventstore.histories import INTENTS, artifact, sealed, served

SECRETS = ("the newest of all secrets", "the one before that")
SEARCH = UUID(int=0x5EA4C4)
PAGE = served(["parser", "other", "third", "fourth", "fifth"], ["k"])
BY = Request(actor="tester", request_id="test")
CLICKED, CHOSEN = Outcome.CLICKED, Outcome.CHOSEN


async def search(store: Store, id: UUID = SEARCH, searcher: str = "ann") -> int:
    return await commands.answered(
        store, BY, id, sealed(searcher=searcher), INTENTS[0].cluster, searcher, PAGE
    )


def token(result: Served = PAGE[0], search_id: UUID = SEARCH) -> str:
    return sign(SECRETS, search_id, result)


async def report(
    store: Store,
    said: str,
    outcome: Outcome = CLICKED,
    *,
    searcher: str = "bob",
    request: Request = BY,
    counted: int = 0,
    recent: Recent | None = None,
    now: datetime | None = None,
) -> OutcomeReported | OutcomeDiscarded:
    async def reports_on(who: str, day: date) -> int:
        return counted

    return await commands.report_outcome(
        store,
        request,
        Report(said, outcome, searcher),
        secrets=SECRETS,
        reports_on=reports_on,
        recent=Recent() if recent is None else recent,
        now=now,
    )


async def discards(store: Store) -> list[DiscardedReport.Recorded]:
    events = [one.event for one in await store.read(0)]
    return [event for event in events if isinstance(event, DiscardedReport.Recorded)]


# Tokens


def flipped(token: str) -> list[str]:
    """The token with one bit turned over, for each of its bits."""
    raw = token.encode()
    return [
        (raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]).decode("latin-1")
        for at in range(len(raw))
        for bit in range(8)
    ]


def test_a_token_says_which_result_it_is_of() -> None:
    now = datetime.now(UTC)
    assert read_token(SECRETS, token(PAGE[2]), now) == Token(SEARCH, PAGE[2].artifact_id, 3)
    assert len(token()) < 200


def test_no_bit_of_a_token_can_be_turned_over() -> None:
    now = datetime.now(UTC)
    for forged in flipped(token()):
        with pytest.raises(Forged):
            read_token(SECRETS, forged, now)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ".",
        "..",
        "x",
        "\ud800",
        "a" * 1_000,
        token() + "=",
        token() + "\n",
        " " + token(),
        token()[:-1],
        token() + "A",
        "." + token(),
        sign(["some other secret"], SEARCH, PAGE[0]),
    ],
)
def test_what_no_secret_signed_is_forged(forged: str) -> None:
    with pytest.raises(Forged):
        read_token(SECRETS, forged, datetime.now(UTC))


def test_a_token_holds_for_thirty_days() -> None:
    now = datetime.now(UTC)
    assert read_token(SECRETS, token(), now + LIFE - timedelta(seconds=2)).search_id == SEARCH
    with pytest.raises(Expired) as expired:
        read_token(SECRETS, token(), now + LIFE + timedelta(seconds=2))
    assert expired.value.token.search_id == SEARCH


def test_a_token_of_the_secret_before_holds_until_that_is_taken_away() -> None:
    now = datetime.now(UTC)
    old = sign(SECRETS[1:], SEARCH, PAGE[0])
    assert read_token(SECRETS, old, now).search_id == SEARCH
    assert read_token(SECRETS[:1], token(), now).search_id == SEARCH, "the newest one signs"
    with pytest.raises(Forged):
        read_token(SECRETS[:1], old, now)


def test_a_pseudonym_is_the_same_for_the_same_and_tells_nobody() -> None:
    known = pseudonym(SECRETS, "192.0.2.7")
    assert known == pseudonym(SECRETS, "192.0.2.7")
    assert len(known) == 32
    others = {
        pseudonym(SECRETS, "192.0.2.8"),
        pseudonym(SECRETS[1:], "192.0.2.7"),
        pseudonym(SECRETS, ""),
    }
    assert known not in others
    assert len(others) == 3


# Searches


async def test_a_search_is_recorded_once_with_its_first_page(store: Store) -> None:
    assert await search(store) == 1
    with pytest.raises(Conflict):
        await search(store)
    (first,) = await store.read(0)
    assert isinstance(first.event, Search.Answered)
    assert first.event.served == PAGE


async def test_pages_that_come_at_once_are_all_recorded(store: Store) -> None:
    await search(store)
    pages = [served([f"p{n}"], first=6 + n) for n in range(5)]
    await asyncio.gather(*(commands.continued(store, BY, SEARCH, page) for page in pages))
    found = await store.load(SEARCH)
    assert isinstance(found, Search)
    assert sorted(one.position for one in found.served.values()) == list(range(1, 11))


async def test_a_page_of_a_search_that_was_not_recorded_is_none(store: Store) -> None:
    assert await commands.continued(store, BY, SEARCH, PAGE) == 0


# Reports


async def test_a_report_counts_for_whoever_searched(store: Store) -> None:
    await search(store)
    found = await report(store, token(), searcher="bob")
    assert found == OutcomeReported(2, SEARCH, id_of("parser"), CLICKED)
    event = (await store.read(1))[0].event
    assert isinstance(event, Search.OutcomeReported)
    assert (event.searcher, event.served, event.before) == ("ann", PAGE[0], None)


async def test_each_discard_is_recorded_with_its_reason(store: Store) -> None:
    await search(store)
    now = datetime.now(UTC)
    await report(store, token())
    stranger = Served(artifact_id=id_of("stranger"), position=9, score=1)
    for said, reason, options in (
        ("no token", Discard.FORGED, {}),
        (token(), Discard.EXPIRED, {"now": now + timedelta(days=31)}),
        (token(), Discard.DUPLICATE, {}),
        (token(search_id=uuid4()), Discard.UNKNOWN_SEARCH, {}),
        (token(search_id=artifact().id), Discard.UNKNOWN_SEARCH, {}),
        (token(stranger), Discard.UNKNOWN_SEARCH, {}),
        (token(PAGE[1]), Discard.OVER_CAP, {"counted": MOST_REPORTS}),
    ):
        head = await store.head()
        found = await report(store, said, **options)
        assert found == OutcomeDiscarded(head + 1, reason)
        assert isinstance(found, OutcomeDiscarded)
        assert found.message.endswith(".")
        event = (await discards(store))[-1]
        assert (event.reason, event.searcher, event.outcome) == (reason, "bob", CLICKED)
        assert event.report == digest(said)
        assert (event.search_id is None) == (reason is Discard.FORGED)
    known = await store.load(SEARCH)
    assert isinstance(known, Search)
    assert known.outcomes == {id_of("parser"): CLICKED}


async def test_nothing_of_a_token_is_recorded(store: Store, pool: Pool) -> None:
    await search(store)
    forged = flipped(token())[7]
    await report(store, forged)
    rows = await pool.fetch("SELECT convert_from(state, 'utf8') AS state FROM event")
    assert len(rows) == 2
    assert all(forged[:20] not in row["state"] for row in rows)


async def test_a_token_of_another_search_counts_for_that_one(store: Store) -> None:
    other = uuid4()
    await search(store)
    await search(store, other, "cleo")
    found = await report(store, token(PAGE[0], other))
    assert isinstance(found, OutcomeReported)
    assert found.search_id == other
    known = await store.load(SEARCH)
    assert isinstance(known, Search)
    assert known.outcomes == {}


async def test_one_more_report_than_count_in_a_day_is_discarded(store: Store) -> None:
    await search(store)
    assert isinstance(await report(store, token(), counted=MOST_REPORTS - 1), OutcomeReported)
    found = await report(store, token(PAGE[1]), counted=MOST_REPORTS)
    assert isinstance(found, OutcomeDiscarded)
    assert found.reason is Discard.OVER_CAP


async def test_the_day_is_counted_by_the_read_model(url: str, store: Store, pool: Pool) -> None:
    await search(store)
    await report(store, token())
    await report(store, token(PAGE[1]), CHOSEN)
    await project(url, store)
    today = datetime.now(UTC).date()
    assert await match_graph.reports_on(pool, "ann", today) == 2
    assert await match_graph.reports_on(pool, "bob", today) == 0
    assert await match_graph.reports_on(pool, "ann", today - timedelta(days=1)) == 0


async def test_of_the_same_report_sent_twenty_times_at_once_one_counts(store: Store) -> None:
    await search(store)
    found = await asyncio.gather(*(report(store, token(), searcher=f"s{n}") for n in range(20)))
    assert [isinstance(one, OutcomeReported) for one in found].count(True) == 1
    assert {one.reason for one in found if isinstance(one, OutcomeDiscarded)} == {Discard.DUPLICATE}
    assert len(await discards(store)) == 19


async def test_choices_that_come_at_once_stay_within_the_cap_of_a_search(store: Store) -> None:
    await search(store)
    found = await asyncio.gather(*(report(store, token(one), CHOSEN) for one in PAGE))
    assert [isinstance(one, OutcomeReported) for one in found].count(True) == 3


# What is sent again


async def test_a_report_is_repeated_with_its_key(store: Store) -> None:
    await search(store)
    keyed = Request(actor="tester", request_id="test", idempotency_key="once")
    first = await report(store, token(), request=keyed)
    assert isinstance(first, OutcomeReported)
    assert await report(store, token(), request=keyed) == first
    assert await store.head() == 2
    with pytest.raises(KeyReused):
        await report(store, token(), CHOSEN, request=keyed)


async def test_a_discarded_report_is_repeated_with_its_key(store: Store) -> None:
    keyed = Request(actor="tester", request_id="test", idempotency_key="once")
    recent = Recent()
    assert isinstance(await report(store, "no token", recent=recent), OutcomeDiscarded)
    first = await report(store, "no token", request=keyed, recent=recent)
    assert first == OutcomeDiscarded(2, Discard.FORGED)
    assert await report(store, "no token", request=keyed, recent=recent) == first
    assert len(await discards(store)) == 2


async def test_the_same_forged_token_again_and_again_is_recorded_once(store: Store) -> None:
    time = 1_000.0
    recent = Recent(clock=lambda: time)
    first = await report(store, "no token", recent=recent)
    for _ in range(10):
        assert await report(store, "no token", recent=recent) == first
    assert len(await discards(store)) == 1
    await report(store, "no token", recent=recent, searcher="cleo")
    await report(store, "no token", CHOSEN, recent=recent)
    await report(store, "another", recent=recent)
    assert len(await discards(store)) == 4
    time += SOON
    again = await report(store, "no token", recent=recent)
    assert again == OutcomeDiscarded(5, Discard.FORGED)


async def test_what_was_discarded_may_count_later(store: Store) -> None:
    recent = Recent()
    first = await report(store, token(), recent=recent)
    assert first == OutcomeDiscarded(1, Discard.UNKNOWN_SEARCH)
    await search(store)
    assert isinstance(await report(store, token(), recent=recent), OutcomeReported)


def test_only_so_many_reports_are_remembered() -> None:
    recent = Recent(most=3)
    reports = [Report(f"t{number}", CLICKED, "bob") for number in range(5)]
    for position, one in enumerate(reports, start=1):
        recent.add(one, Discard.FORGED, position)
        recent.add(one, Discard.FORGED, position)
    assert len(recent) == 3
    known = [recent.position(one, Discard.FORGED) for one in reports]
    assert known == [None, None, 3, 4, 5]


async def test_a_read_model_that_is_away_is_no_discard(store: Store) -> None:
    await search(store)

    async def away(who: str, day: date) -> int:
        raise ConnectionError(who)

    asked: Callable[[str, date], Awaitable[int]] = away
    with pytest.raises(ConnectionError, match="ann"):
        await commands.report_outcome(
            store,
            BY,
            Report(token(), CLICKED, "bob"),
            secrets=SECRETS,
            reports_on=asked,
            recent=Recent(),
        )
    assert await store.head() == 1
