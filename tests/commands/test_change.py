"""Commands are decided on fresh state, appended whole, and safe to repeat."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from matchgraph.commands import artifact as commands
from matchgraph.commands.change import ATTEMPTS, change
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Alias, Artifact, Facts, Kind, Status, id_of
from matchgraph.domain.errors import (
    BadMergeTarget,
    BadText,
    MergedArtifact,
    RetiredArtifact,
    SlugTaken,
    UnknownArtifact,
)
from matchgraph.domain.provenance import Method
from matchgraph.eventstore.errors import Conflict, KeyReused
from matchgraph.eventstore.store import Request, Store, open_store
from tests.eventstore.histories import capability, price, provenance, signal


def keyed(key: str) -> Request:
    return Request(actor="tester", request_id="test", idempotency_key=key)


async def register(store: Store, request: Request, slug: str = "parser", **facts: Any) -> int:
    said = Facts(**{"name": slug, **facts})
    return await commands.register(store, request, slug, Kind.MODEL, said, provenance())


async def artifact(store: Store, slug: str = "parser") -> Artifact:
    found = await store.load(id_of(slug))
    assert isinstance(found, Artifact)
    return found


async def outcomes(*work: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


async def recorded(store: Store) -> list[str]:
    return [type(one.event).__name__ for one in await store.read(0)]


# One winner


async def test_of_twenty_who_register_a_slug_one_wins(store: Store, request_by: Request) -> None:
    found = await outcomes(*(register(store, request_by, vendor=f"v{n}") for n in range(20)))
    assert sorted(type(one).__name__ for one in found) == ["SlugTaken"] * 19 + ["int"]
    assert await recorded(store) == ["Registered"]


async def test_of_an_artifact_and_an_alias_by_one_slug_one_wins(
    store: Store, request_by: Request
) -> None:
    await register(store, request_by, "parser")
    for slug in ("x", "y", "z"):
        found = await outcomes(
            register(store, request_by, slug),
            commands.add_alias(store, request_by, "parser", slug),
            register(store, request_by, slug),
        )
        assert [isinstance(one, SlugTaken) for one in found].count(True) == 2


async def test_two_who_change_the_same_artifact_both_land(
    store: Store, request_by: Request, url: str
) -> None:
    await register(store, request_by)
    async with open_store(url) as elsewhere:
        for n in range(5):
            await asyncio.gather(
                commands.observe_signal(store, request_by, "parser", signal(source=f"a{n}")),
                commands.observe_signal(elsewhere, request_by, "parser", signal(source=f"b{n}")),
            )
    assert len((await artifact(store)).signals) == 10


async def test_a_crowd_that_changes_one_artifact_lands_or_hears_of_it(
    store: Store, request_by: Request
) -> None:
    await register(store, request_by)
    found = await outcomes(
        *(
            commands.observe_signal(store, request_by, "parser", signal(source=f"s{n}"))
            for n in range(30)
        )
    )
    landed = [one for one in found if isinstance(one, int)]
    assert {type(one) for one in found} <= {int, Conflict}
    assert len((await artifact(store)).signals) == len(landed) == len(set(landed))
    assert len(landed) >= ATTEMPTS


async def test_a_conflict_is_decided_on_fresh_state(store: Store, request_by: Request) -> None:
    await register(store, request_by)
    found = await outcomes(
        *(commands.add_capability(store, request_by, "parser", capability()) for _ in range(5))
    )
    assert sorted(type(one).__name__ for one in found) == ["CapabilityExists"] * 4 + ["int"]
    found = await outcomes(
        commands.retire(store, request_by, "parser", "gone"),
        commands.retire(store, request_by, "parser", "gone as well"),
    )
    assert sorted(type(one).__name__ for one in found) == ["RetiredArtifact", "int"]


async def test_a_rule_is_decided_anew_on_every_attempt(store: Store, request_by: Request) -> None:
    await register(store, request_by)
    decided = 0

    async def decide() -> Sequence[Aggregate]:
        nonlocal decided
        decided += 1
        one = await artifact(store)
        one.observe_signal(signal(source="slow"))
        if decided <= 2:  # somebody else is quicker, twice
            await commands.observe_signal(store, request_by, "parser", signal(source=f"{decided}"))
        return [one]

    await change(store, request_by, "slow", (), decide)
    assert decided == 3
    assert [source for _, source in (await artifact(store)).signals] == ["1", "2", "slow"]


async def test_somebody_who_is_always_late_is_told_in_the_end(
    store: Store, request_by: Request
) -> None:
    await register(store, request_by)

    async def decide() -> Sequence[Aggregate]:
        one = await artifact(store)
        count = len(one.signals)
        one.observe_signal(signal(source="slow"))
        await commands.observe_signal(store, request_by, "parser", signal(source=f"{count}"))
        return [one]

    with pytest.raises(Conflict, match="in a row"):
        await change(store, request_by, "slow", (), decide)
    assert len((await artifact(store)).signals) == ATTEMPTS


# Retry is safe


async def test_a_repeated_command_changes_nothing_and_returns_the_first_position(
    store: Store,
) -> None:
    first = await register(store, keyed("k"))
    await register(store, keyed("other"), "other")
    assert await register(store, keyed("k")) == first
    assert await recorded(store) == ["Registered", "Registered"]


async def test_a_key_is_good_for_one_command_only(store: Store, request_by: Request) -> None:
    await register(store, keyed("k"))
    with pytest.raises(KeyReused):
        await register(store, keyed("k"), vendor="other")
    with pytest.raises(KeyReused):
        await commands.retire(store, keyed("k"), "parser", "gone")
    with pytest.raises(KeyReused):
        # Even where the command would be refused for what it says.
        await register(store, keyed("k"), vendor="\ud800")
    assert await recorded(store) == ["Registered"]


async def test_somebody_else_may_use_the_same_key(store: Store) -> None:
    await register(store, keyed("k"))
    await register(store, replace(keyed("k"), actor="other"), "other")
    assert await recorded(store) == ["Registered", "Registered"]


async def test_a_refusal_is_not_remembered(store: Store) -> None:
    with pytest.raises(UnknownArtifact):
        await commands.retire(store, keyed("k"), "parser", "gone")
    await register(store, keyed("r"))
    await commands.retire(store, keyed("k"), "parser", "gone")
    assert (await artifact(store)).status is Status.RETIRED


async def test_a_command_that_changed_nothing_is_remembered_too(store: Store) -> None:
    await register(store, keyed("r"))
    first = await commands.describe(store, keyed("k"), "parser", Facts(), provenance())
    await commands.retire(store, keyed("gone"), "parser", "gone")
    assert await commands.describe(store, keyed("k"), "parser", Facts(), provenance()) == first
    with pytest.raises(RetiredArtifact):
        await commands.describe(store, keyed("new"), "parser", Facts(), provenance())


async def test_a_command_repeated_after_a_crash_between_commit_and_reply_is_done_once(
    url: str,
) -> None:
    async with open_store(url) as store:
        await register(store, keyed("r"))
        crashing = asyncio.ensure_future(
            commands.retire(store, keyed("k"), "parser", "gone"),
        )
        async for page in store.follow(1):
            assert isinstance(page[0].event, Artifact.Retired)
            break
        crashing.cancel()  # it is committed, and nobody hears of it
        await asyncio.gather(crashing, return_exceptions=True)
    async with open_store(url) as store:
        assert await commands.retire(store, keyed("k"), "parser", "gone") == 2
        assert await recorded(store) == ["Registered", "Retired"]


@pytest.mark.parametrize("round", range(5))
async def test_a_command_sent_many_times_at_once_has_one_effect_and_one_answer(
    store: Store, url: str, round: int
) -> None:
    async with open_store(url) as elsewhere:
        found = await outcomes(
            *(register(one, keyed("k")) for _ in range(10) for one in (store, elsewhere))
        )
    assert found == [1] * 20
    assert await recorded(store) == ["Registered"]


async def test_a_text_that_cannot_be_encoded_is_refused_like_any_other(store: Store) -> None:
    for request in (keyed("k"), replace(keyed("k"), idempotency_key=None)):
        with pytest.raises(BadText):
            await register(store, request, vendor="\ud800")
    assert await recorded(store) == []


# Each command


async def test_every_command_leaves_its_event(store: Store, request_by: Request) -> None:
    by = (store, request_by)
    assert await register(*by) == 1
    assert await register(*by, "twin") == 2
    facts = Facts(vendor="acme")
    assert await commands.describe(*by, "parser", facts, provenance()) == 3
    assert await commands.add_alias(*by, "parser", "tables") == 4
    assert await commands.add_capability(*by, "tables", capability()) == 5
    assert await commands.revise_capability(*by, "parser", capability(name="New")) == 6
    assert await commands.retire_capability(*by, "parser", "parse-tables") == 7
    assert await commands.observe_price(*by, "parser", price()) == 8
    line, later = price().line, price(on=1).observed_at
    assert await commands.withdraw_price(*by, "parser", line, later) == 9
    assert await commands.observe_signal(*by, "parser", signal()) == 10
    assert await commands.merge(*by, "twin", "tables") == 12
    assert await commands.unmerge(*by, "twin") == 14
    assert await commands.tell_apart(*by, "twin", "tables") == 15
    assert await commands.retire(*by, "parser", "gone") == 16
    assert await commands.reinstate(*by, "parser") == 17
    assert await commands.remove_alias(*by, "tables") == 18
    assert await commands.add_alias(*by, "twin", "tables") == 19
    assert await recorded(store) == [
        *("Registered", "Registered", "Described", "Aliased", "CapabilityAdded"),
        *("CapabilityRevised", "CapabilityRetired", "PriceObserved", "PriceWithdrawn"),
        *("SignalObserved", "Merged", "Absorbed", "Unmerged", "Parted", "ToldApart"),
        *("Retired", "Reinstated", "Unaliased", "Realiased"),
    ]
    parser = await artifact(store)
    assert (parser.status, parser.facts.vendor) == (Status.ACTIVE, "acme")
    led = await store.load(id_of("tables"))
    assert isinstance(led, Alias)
    assert led.artifact_id == id_of("twin")


async def test_of_two_merges_at_once_in_opposite_directions_exactly_one_wins(
    store: Store, url: str
) -> None:
    by = Request(actor="tester", request_id="test")
    async with open_store(url) as elsewhere:  # as another process would
        for n in range(50):
            a, b = f"a-{n}", f"b-{n}"
            await register(store, by, a)
            await register(store, by, b)
            outcomes = await asyncio.gather(
                commands.merge(store, by, a, b),
                commands.merge(elsewhere, by, b, a),
                return_exceptions=True,
            )
            (refused,) = (outcome for outcome in outcomes if not isinstance(outcome, int))
            # The one that is decided again finds itself merged, or its target.
            assert isinstance(refused, (BadMergeTarget, MergedArtifact)), refused
            found = [await artifact(store, slug) for slug in (a, b)]
            assert sorted(one.status for one in found) == [Status.ACTIVE, Status.MERGED]
            (merged,) = (one for one in found if one.status is Status.MERGED)
            (target,) = (one for one in found if one.status is Status.ACTIVE)
            assert (merged.into, target.absorbed) == (target.id, {merged.id})


async def test_three_merges_at_once_in_a_circle_leave_one_that_all_lead_to(
    store: Store, request_by: Request
) -> None:
    for n in range(20):
        slugs = [f"{name}-{n}" for name in "abc"]
        for slug in slugs:
            await register(store, request_by, slug)
        await asyncio.gather(
            *(
                commands.merge(store, request_by, slug, into)
                for slug, into in zip(slugs, [*slugs[1:], slugs[0]], strict=True)
            ),
            return_exceptions=True,
        )
        found = {id_of(slug): await artifact(store, slug) for slug in slugs}
        for one in found.values():
            steps = 0
            while one.into is not None:
                one, steps = found[one.into], steps + 1
                assert steps < 3, "they lead in a circle"
            assert one.status is Status.ACTIVE


async def test_an_artifact_is_not_merged_into_one_that_is_retired_at_the_same_moment(
    store: Store, request_by: Request
) -> None:
    for n in range(20):
        a, b = f"a-{n}", f"b-{n}"
        await register(store, request_by, a)
        await register(store, request_by, b)
        await asyncio.gather(
            commands.merge(store, request_by, a, b),
            commands.retire(store, request_by, b, "gone"),
            return_exceptions=True,
        )
        events = [
            type(read.event).__name__
            for read in await store.read(0)
            if read.event.originator_id == id_of(b)
        ]
        assert events in (["Registered", "Retired"], ["Registered", "Absorbed", "Retired"])
        assert ((await artifact(store, a)).status is Status.MERGED) == ("Absorbed" in events)


async def test_what_asked_for_an_event_is_recorded_with_it(store: Store) -> None:
    await register(store, Request(actor="curator", request_id="r-1", idempotency_key="k"))
    (one,) = await store.read(0)
    assert (one.actor, one.request_id, one.idempotency_key) == ("curator", "r-1", "k")


async def test_a_command_without_news_returns_where_the_log_stands(
    store: Store, request_by: Request
) -> None:
    await register(store, request_by)
    await register(store, request_by, "other")
    assert await commands.describe(store, request_by, "parser", Facts(), provenance()) == 2


@pytest.mark.parametrize("slug", ["nothing", "Not A Slug", "", "removed"])
async def test_nothing_can_be_done_to_what_is_not_there(
    store: Store, request_by: Request, slug: str
) -> None:
    await register(store, request_by)
    await commands.add_alias(store, request_by, "parser", "removed")
    await commands.remove_alias(store, request_by, "removed")
    for work in (
        commands.describe(store, request_by, slug, Facts(), provenance()),
        commands.retire(store, request_by, slug, "gone"),
        commands.reinstate(store, request_by, slug),
        commands.merge(store, request_by, slug, "parser"),
        commands.merge(store, request_by, "parser", slug),
        commands.unmerge(store, request_by, slug),
        commands.tell_apart(store, request_by, slug, "parser"),
        commands.tell_apart(store, request_by, "parser", slug),
        commands.add_alias(store, request_by, slug, "alias"),
        commands.add_capability(store, request_by, slug, capability()),
        commands.retire_capability(store, request_by, slug, "k"),
        commands.observe_price(store, request_by, slug, price()),
        commands.observe_signal(store, request_by, slug, signal()),
    ):
        with pytest.raises(UnknownArtifact):
            await work


@pytest.mark.parametrize("taken", ["parser", "other", "tables"])
async def test_an_alias_takes_no_slug_that_belongs_to_something_else(
    store: Store, request_by: Request, taken: str
) -> None:
    await register(store, request_by)
    await register(store, request_by, "other")
    await commands.add_alias(store, request_by, "other", "tables")
    with pytest.raises(SlugTaken):
        await commands.add_alias(store, request_by, "parser", taken)


async def test_a_weaker_claim_by_command_is_no_event(store: Store, request_by: Request) -> None:
    await register(store, request_by)
    guess = provenance(Method.INFERRED)
    await commands.describe(store, request_by, "parser", Facts(name="guess"), guess)
    assert await recorded(store) == ["Registered"]
