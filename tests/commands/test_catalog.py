"""Drafts are taken in many at a time, each whole or not at all, and twice changes nothing."""

import asyncio
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from faults.proxy import Cut, Proxy
from matchgraph.commands import artifact as commands
from matchgraph.commands.catalog import CONFIRM_AFTER, MOST_IN_BATCH, Outcome, Taken, take_in
from matchgraph.domain.artifact import Alias, Artifact, Facts, Kind, id_of
from matchgraph.domain.draft import Draft
from matchgraph.domain.errors import (
    BadSlug,
    BadText,
    PriceSentinel,
    RetiredArtifact,
    SlugTaken,
    StaleObservation,
)
from matchgraph.domain.price import Unit
from matchgraph.domain.provenance import Method
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import KeyReused, OutcomeUnknown
from matchgraph.eventstore.store import Request, Store, open_store
from tests.eventstore.histories import capability, day, price, provenance, signal

BAD = price("-1")


def draft(slug: str = "parser", **said: Any) -> Draft:
    return Draft(
        **{
            "slug": slug,
            "kind": Kind.MODEL,
            "facts": Facts(name=slug),
            "provenance": provenance(),
            **said,
        }
    )


def full(slug: str, **said: Any) -> Draft:
    return draft(
        slug,
        **{
            "aliases": (f"{slug}-alias",),
            "capabilities": (capability(), capability("parse-forms")),
            "prices": (price(), price(per=Unit.OUTPUT_TOKEN)),
            "signals": (signal(),),
            **said,
        },
    )


async def events(store: Store) -> list[str]:
    return [type(one.event).__name__ for one in await store.read(0)]


async def artifact(store: Store, slug: str = "parser") -> Artifact:
    found = await store.load(id_of(slug))
    assert isinstance(found, Artifact)
    return found


def taken(outcomes: list[Outcome]) -> list[Taken]:
    return [outcome.taken for outcome in outcomes]


async def test_the_outcomes_are_in_the_order_of_the_drafts(
    store: Store, request_by: Request
) -> None:
    drafts = [full("a"), draft("B"), full("c"), draft("d", only_known=True)]
    found = await take_in(store, request_by, drafts)
    assert [outcome.slug for outcome in found] == ["a", "B", "c", "d"]
    assert taken(found) == [Taken.REGISTERED, Taken.REFUSED, Taken.REGISTERED, Taken.LEFT_OUT]
    assert [outcome.events for outcome in found] == [7, 0, 7, 0]
    assert max(outcome.position for outcome in found) == await store.head() == 14
    assert isinstance(found[1].refusal, BadSlug)


async def test_taking_in_the_same_twice_changes_nothing(store: Store, request_by: Request) -> None:
    drafts = [full(f"parser-{n}") for n in range(MOST_IN_BATCH + 5)]
    first = await take_in(store, request_by, drafts)
    assert taken(first) == [Taken.REGISTERED] * len(drafts)
    length = await store.head()
    again = await take_in(store, request_by, drafts)
    assert taken(again) == [Taken.UNCHANGED] * len(drafts)
    assert await store.head() == length


async def test_only_what_is_new_of_a_draft_is_taken_in(store: Store, request_by: Request) -> None:
    await take_in(store, request_by, [full("parser")])
    before = await store.head()
    (outcome,) = await take_in(
        store,
        request_by,
        [full("parser", facts=Facts(name="parser", vendor="acme"), signals=(signal("8", on=1),))],
    )
    assert (outcome.taken, outcome.events) == (Taken.CHANGED, 2)
    assert (await events(store))[before:] == ["Described", "SignalObserved"]


@pytest.mark.parametrize("known", [False, True])
async def test_a_draft_that_is_refused_leaves_nothing_of_itself(
    store: Store, request_by: Request, known: bool
) -> None:
    if known:
        await take_in(store, request_by, [draft()])
    before = await events(store)
    worse = full("parser", facts=Facts(name="new", vendor="new"), prices=(price(), BAD))
    found = await take_in(store, request_by, [worse, draft("other")])
    assert taken(found) == [Taken.REFUSED, Taken.REGISTERED]
    assert isinstance(found[0].refusal, PriceSentinel)
    assert await events(store) == [*before, "Registered"]


async def test_a_refused_draft_leaves_nothing_in_that_of_a_neighbour(
    store: Store, request_by: Request
) -> None:
    # Two slugs of one artifact in one call, of which the first is refused half-way.
    await take_in(store, request_by, [draft(aliases=("tables",))])
    found = await take_in(
        store,
        request_by,
        [
            draft("tables", facts=Facts(name="half", vendor="half"), prices=(BAD,)),
            draft("parser", facts=Facts(licence="MIT")),
        ],
    )
    assert taken(found) == [Taken.REFUSED, Taken.CHANGED]
    assert (await artifact(store)).facts == Facts(name="parser", licence="MIT")


async def test_a_stale_signal_is_refused_with_its_draft_or_left_out_apart(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft(signals=(signal("8", on=2),))])
    older, newer = signal("7", on=1), signal("5", source="gitlab", on=1)

    (whole,) = await take_in(store, request_by, [draft(signals=(older, newer))])
    assert (whole.taken, whole.stale) == (Taken.REFUSED, ())
    assert isinstance(whole.refusal, StaleObservation)

    apart = draft(signals=(older, newer), signals_apart=True)
    (outcome,) = await take_in(store, request_by, [apart])
    assert (outcome.taken, outcome.events, outcome.refusal) == (Taken.CHANGED, 1, None)
    ((left, reason),) = outcome.stale
    assert left == older
    assert (reason.observed, reason.known) == (older.observed_at, day(2))

    (again,) = await take_in(store, request_by, [apart])
    assert (again.taken, again.events, len(again.stale)) == (Taken.UNCHANGED, 0, 1)
    keyed = replace(request_by, idempotency_key="again")
    (remembered,) = await take_in(store, keyed, [apart])
    assert (remembered.taken, len(remembered.stale)) == (Taken.UNCHANGED, 1)
    assert [s.value for s in (await artifact(store)).signals.values()] == [8, 5]


async def test_drafts_of_one_artifact_in_one_call_are_taken_in_one_after_the_other(
    store: Store, request_by: Request
) -> None:
    found = await take_in(
        store,
        request_by,
        [
            draft(facts=Facts(name="first", vendor="acme")),
            draft(facts=Facts(name="second"), aliases=("tables",)),
            draft("tables", facts=Facts(name="third")),
            draft("tables", facts=Facts(name="third")),
        ],
    )
    assert taken(found) == [Taken.REGISTERED, Taken.CHANGED, Taken.CHANGED, Taken.UNCHANGED]
    assert (await artifact(store)).facts == Facts(name="third", vendor="acme")


async def test_an_alias_that_belongs_to_something_else_refuses_the_draft(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft("other", aliases=("tables",)), draft("third")])
    before = await store.head()
    for clash in ("tables", "third", "other"):
        (outcome,) = await take_in(store, request_by, [draft(aliases=("free", clash))])
        assert outcome.taken is Taken.REFUSED
        assert isinstance(outcome.refusal, SlugTaken)
        assert outcome.refusal.slug == clash
    assert await store.head() == before
    assert await store.load(id_of("free")) is None


async def test_two_drafts_that_want_one_alias_get_it_once(
    store: Store, request_by: Request
) -> None:
    found = await take_in(
        store, request_by, [draft("a", aliases=("both",)), draft("b", aliases=("both",))]
    )
    assert taken(found) == [Taken.REGISTERED, Taken.REFUSED]
    assert await store.load(id_of("b")) is None


async def test_an_artifact_is_its_own_alias_without_more(store: Store, request_by: Request) -> None:
    await take_in(store, request_by, [draft(aliases=("parser",))])
    assert await events(store) == ["Registered"]


async def test_a_removed_alias_is_not_brought_back_and_its_slug_not_taken(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft(aliases=("tables",))])
    await commands.remove_alias(store, request_by, "tables")
    assert taken(await take_in(store, request_by, [draft(aliases=("tables",))])) == [
        Taken.UNCHANGED
    ]
    (outcome,) = await take_in(store, request_by, [draft("tables")])
    assert isinstance(outcome.refusal, SlugTaken)
    alias = await store.load(id_of("tables"))
    assert isinstance(alias, Alias)
    assert alias.artifact_id is None


@pytest.mark.parametrize(
    "bad", [{"slug": "\ud800"}, {"aliases": ("\ud800",)}, {"aliases": ("A b",)}]
)
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_slug_that_cannot_be_one_refuses_its_draft_alone(
    store: Store, request_by: Request, bad: dict[str, Any], key: str | None
) -> None:
    request = replace(request_by, idempotency_key=key)
    found = await take_in(store, request, [draft(**bad), draft("other")])
    assert taken(found) == [Taken.REFUSED, Taken.REGISTERED]
    assert isinstance(found[0].refusal, BadSlug)


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_text_that_cannot_be_stored_refuses_its_draft_alone(
    store: Store, request_by: Request, key: str | None
) -> None:
    request = replace(request_by, idempotency_key=key)
    bad = draft(facts=Facts(name="n", vendor="\ud800"))
    found = await take_in(store, request, [bad, draft("other")])
    assert taken(found) == [Taken.REFUSED, Taken.REGISTERED]
    assert isinstance(found[0].refusal, BadText)


async def test_a_weaker_claim_changes_nothing(store: Store, request_by: Request) -> None:
    await take_in(store, request_by, [full("parser")])
    before = await store.head()
    guess = provenance(Method.OBSERVED, on=1)
    (outcome,) = await take_in(
        store,
        request_by,
        [
            draft(
                facts=Facts(name="guess", vendor="seen"),
                provenance=guess,
                capabilities=(
                    capability(name="guess", provenance=guess),
                    capability("new", provenance=guess),
                ),
            )
        ],
    )
    assert (outcome.taken, outcome.events) == (Taken.CHANGED, 2)
    assert (await events(store))[before:] == ["Described", "CapabilityAdded"]
    assert (await artifact(store)).facts == Facts(name="parser", vendor="seen")
    assert (await artifact(store)).capabilities["parse-tables"].name == "parse-tables"


async def test_what_is_taken_in_under_an_alias_goes_where_it_leads(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft(aliases=("tables",))])
    (outcome,) = await take_in(store, request_by, [draft("tables", facts=Facts(vendor="a"))])
    assert outcome.taken is Taken.CHANGED
    assert (await artifact(store)).facts == Facts(name="parser", vendor="a")


async def test_what_a_source_says_of_a_merged_artifact_is_left_out_until_it_stands_alone_again(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft(), draft("twin")])
    await commands.merge(store, request_by, "twin", "parser")
    before = await store.head()
    again = draft("twin", facts=Facts(name="twin", licence="b"))
    (outcome,) = await take_in(store, request_by, [again])
    assert (outcome.taken, outcome.refusal, await store.head()) == (Taken.LEFT_OUT, None, before)
    await commands.unmerge(store, request_by, "twin")
    (outcome,) = await take_in(store, request_by, [again])
    assert outcome.taken is Taken.CHANGED
    assert (await artifact(store, "twin")).facts.licence == "b"
    assert (await artifact(store)).facts.licence is None


async def test_a_retired_artifact_takes_nothing_in_from_importers(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [draft()])
    await commands.retire(store, request_by, "parser", "gone")
    (outcome,) = await take_in(store, request_by, [draft()])
    assert isinstance(outcome.refusal, RetiredArtifact)


# Prices


async def test_an_unchanged_price_is_confirmed_once_in_a_while(
    store: Store, request_by: Request
) -> None:
    for on in (0, 1, CONFIRM_AFTER.days - 1, CONFIRM_AFTER.days, CONFIRM_AFTER.days + 1):
        await take_in(store, request_by, [draft(prices=(price("10.0", on=on),))])
    seen = [one.event for one in await store.read(0)][1:]
    assert [event.price.observed_at for event in seen] == [  # type: ignore[attr-defined]
        price(on=0).observed_at,
        price(on=CONFIRM_AFTER.days).observed_at,
    ]


async def test_blanks_around_the_words_of_a_price_make_no_difference(
    store: Store, request_by: Request
) -> None:
    said = draft(prices=(price(source=" s ", tier=" batch "),))
    assert taken(await take_in(store, request_by, [said])) == [Taken.REGISTERED]
    assert taken(await take_in(store, request_by, [said])) == [Taken.UNCHANGED]
    assert [line.tier for line in (await artifact(store)).prices] == ["batch"]


async def test_a_series_of_prices_is_taken_in_from_the_oldest_on(
    store: Store, request_by: Request
) -> None:
    series = (price("3", on=20), price("1", on=0), price("2", on=10))
    (outcome,) = await take_in(store, request_by, [draft(prices=series, whole_price_list=True)])
    assert outcome.events == 4
    longer = (*series, price("4", on=30), price("0.5", on=5))
    (outcome,) = await take_in(store, request_by, [draft(prices=longer, whole_price_list=True)])
    assert outcome.events == 1, "only what is newer than what is known"
    assert [p.amount for p in (await artifact(store)).prices.values()] == [4]


def listed(*prices: Any, on: int) -> Draft:
    """The whole price list of https://acme.example/prices on a day."""
    seen = replace(provenance(on=on), source="https://acme.example/prices ")
    return draft(provenance=seen, prices=prices, whole_price_list=True)


async def test_a_price_that_its_source_shows_no_more_is_withdrawn(
    store: Store, request_by: Request
) -> None:
    other = price(source="elsewhere")
    await take_in(store, request_by, [draft(prices=(other,))])
    image = price("5", per=Unit.IMAGE)
    await take_in(store, request_by, [listed(price(), image, on=0)])
    (outcome,) = await take_in(store, request_by, [listed(price(), on=1)])
    assert outcome.events == 1
    assert set((await artifact(store)).prices) == {price().line, other.line}
    again = await take_in(store, request_by, [listed(price(), on=1)])
    assert taken(again) == [Taken.UNCHANGED]


async def test_an_older_list_withdraws_nothing(store: Store, request_by: Request) -> None:
    await take_in(store, request_by, [listed(price(on=2), on=2)])
    (outcome,) = await take_in(store, request_by, [listed(on=1)])
    assert outcome.taken is Taken.UNCHANGED


async def test_a_price_that_comes_back_with_its_series_is_taken_in_again(
    store: Store, request_by: Request
) -> None:
    await take_in(store, request_by, [listed(price("1", on=0), price("2", on=1), on=1)])
    await take_in(store, request_by, [listed(on=5)])
    assert (await artifact(store)).prices == {}
    (outcome,) = await take_in(
        store,
        request_by,
        [listed(price("1", on=0), price("2", on=1), price("2", on=9), on=9)],
    )
    assert (outcome.taken, outcome.events) == (Taken.CHANGED, 1)


async def test_an_older_price_of_a_draft_refuses_it(store: Store, request_by: Request) -> None:
    await take_in(store, request_by, [draft(prices=(price("2", on=5),))])
    (outcome,) = await take_in(store, request_by, [draft(prices=(price("1", on=1),))])
    assert isinstance(outcome.refusal, StaleObservation)
    assert [p.amount for p in (await artifact(store)).prices.values()] == [Decimal(2)]


async def test_an_artifact_that_only_its_source_knows_is_left_out(
    store: Store, request_by: Request
) -> None:
    found = await take_in(store, request_by, [full("parser", only_known=True)])
    assert taken(found) == [Taken.LEFT_OUT]
    assert await store.head() == 0
    await take_in(store, request_by, [draft()])
    found = await take_in(store, request_by, [full("parser", only_known=True)])
    assert taken(found) == [Taken.CHANGED]


# Cut off


@pytest.mark.parametrize("cut", Cut)
async def test_an_import_that_loses_the_database_as_it_commits_says_that_nobody_knows(
    url: str, request_by: Request, cut: Cut
) -> None:
    plan = [cut]
    drafts = [full("parser"), full("other")]
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        async with (
            Proxy(url, Path(folder), lambda: plan.pop() if plan else None, (b"COMMIT",)) as proxy,
            open_store(proxy.url) as store,
        ):
            with pytest.raises(OutcomeUnknown):
                await take_in(store, request_by, drafts)
            assert not plan
            # What is known of it afterwards is what is there, and it is there once.
            again = taken(await take_in(store, request_by, drafts))
            assert again in ([Taken.REGISTERED] * 2, [Taken.UNCHANGED] * 2)
            if cut in (Cut.BEFORE, Cut.WITHIN):
                assert Taken.UNCHANGED not in again, "it never arrived"
            if cut is Cut.ANSWER:
                assert Taken.REGISTERED not in again, "it was there"
            assert await store.head() == 14


async def test_an_import_that_was_taken_in_by_half_says_how_much_of_it_and_goes_on(
    url: str, request_by: Request
) -> None:
    plan = [Cut.BEFORE, None]
    drafts = [draft(f"parser-{n}") for n in range(MOST_IN_BATCH + 1)]
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        async with (
            Proxy(url, Path(folder), lambda: plan.pop() if plan else None, (b"COMMIT",)) as proxy,
            open_store(proxy.url) as store,
        ):
            with pytest.raises(OutcomeUnknown, match=f"{MOST_IN_BATCH} artifacts were taken in"):
                await take_in(store, request_by, drafts)
            again = await take_in(store, request_by, drafts)
            assert taken(again) == [Taken.UNCHANGED] * MOST_IN_BATCH + [Taken.REGISTERED]
            assert await store.head() == MOST_IN_BATCH + 1


# Repeated with a key


async def test_an_import_cut_off_in_the_middle_goes_on_where_it_was(url: str) -> None:
    request = Request(actor="tester", request_id="test", idempotency_key="import")
    drafts = [full(f"parser-{n}") for n in range(40)]
    async with open_store(url) as store:
        cut = asyncio.ensure_future(take_in(store, request, drafts))
        async for page in store.follow(0):
            if page[-1].position >= 70:
                break
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        halfway = await store.head()
        assert 70 <= halfway < 280
    async with open_store(url) as store:
        done = await store.head() // 7
        found = await take_in(store, request, drafts)
        assert taken(found) == [Taken.UNCHANGED] * done + [Taken.REGISTERED] * (40 - done)
        assert await store.head() == 280
        positions = [outcome.position for outcome in found]
        again = await take_in(store, request, drafts)
        assert [outcome.position for outcome in again] == positions
        assert taken(again) == [Taken.UNCHANGED] * 40
        assert await store.head() == 280


async def test_the_key_of_an_import_is_good_for_that_import_only(store: Store) -> None:
    request = Request(actor="tester", request_id="test", idempotency_key="import")
    await take_in(store, request, [draft("a"), draft("b")])
    with pytest.raises(KeyReused):
        await take_in(store, request, [draft("a"), draft("c")])
    assert await store.load(id_of("c")) is None


async def test_imports_of_the_same_at_once_take_everything_in_once(
    store: Store, url: str, request_by: Request, pool: Pool
) -> None:
    drafts = [full(f"parser-{n}") for n in range(20)]
    async with open_store(url) as elsewhere:
        found = await asyncio.gather(
            *(take_in(one, request_by, drafts) for one in (store, elsewhere, store))
        )
    assert await store.head() == 140
    for outcomes in zip(*found, strict=True):
        assert sorted(taken(list(outcomes))) == [Taken.REGISTERED, *[Taken.UNCHANGED] * 2]
    assert await pool.fetchval("SELECT count(DISTINCT originator_id) FROM event") == 40


async def test_nothing_is_an_import_as_well(store: Store, request_by: Request) -> None:
    assert await take_in(store, request_by, []) == []
