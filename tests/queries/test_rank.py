"""How artifacts rank, why, and what moved them."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from uuid import uuid5

import pytest
from hypothesis import given, settings

from matchgraph.commands.ranking import adopt_policy, calibrate
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.calibration import Scales
from matchgraph.domain.errors import StaleCalibration
from matchgraph.domain.policy import DEFAULTS
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import PARTS
from matchgraph.domain.search import Outcome, Search
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Request, Store
from matchgraph.queries import rank
from matchgraph.queries.snapshot import Snapshot
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import (
    INTENTS,
    World,
    artifact,
    day,
    provenance,
    sealed,
    served,
    signal,
    stored_events,
    worlds,
)
from tests.projections.tables import BY, projected


@asynccontextmanager
async def viewed(pool: Pool) -> AsyncIterator[Snapshot]:
    snapshot = Snapshot(pool)
    try:
        yield snapshot
    finally:
        await snapshot.close()


@settings(max_examples=15, deadline=None)
@given(worlds())
async def test_a_rank_as_of_any_position_is_computed_from_the_history_alone(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        for id in (made.id for made in world.artifacts.values()):
            known = {
                row["position"]: row
                for row in await db.fetch(
                    "SELECT * FROM rank_history WHERE artifact_id = $1 ORDER BY position", id
                )
            }
            last = None
            for position in range(len(world.events) + 1):
                found = await rank.at(db, id, position)
                last = known.get(position, last)
                if last is None:
                    assert found.rank is None
                    continue
                assert found.rank is not None
                numbers = found.rank.numbers
                assert numbers.points == tuple(last[part] for part in PARTS)
                assert (numbers.score, numbers.low, numbers.high, numbers.coverage) == tuple(
                    last[name] for name in ("score", "low", "high", "coverage")
                )


@settings(max_examples=15, deadline=None)
@given(worlds())
async def test_the_explanation_is_of_the_rank_that_is_shown(clones: Clones, world: World) -> None:
    async with projected(clones, world) as db:
        ids = [made.id for made in world.artifacts.values()]
        shown, explained = await rank.ranked(db, ids), await rank.explained(db, ids)
        for one, why in zip(shown, explained, strict=True):
            assert one is not None
            assert why is not None
            assert [part.points for part in why.parts] == [getattr(one, part) for part in PARTS]
            assert one.score == sum(part.points for part in why.parts)
            for part in why.parts:
                for given in part.inputs:
                    if given.observed is not None:
                        event = await db.fetchval(
                            "SELECT state FROM event WHERE position = $1", given.observed.position
                        )
                        assert f'"source":"{given.observed.signal.source}"'.encode() in event


async def test_a_distribution_counts_each_artifact_on_offer_once_by_its_best_observation(
    url: str, store: Store, pool: Pool
) -> None:
    made = [artifact(f"a{number}") for number in range(30)]
    stars: dict[str, int] = {}
    for number, one in enumerate(made):
        stars[one.slug] = number * 10
        one.observe_signal(signal(str(number * 10), source="github", on=1))
        # Newer, and not trusted as much.
        one.observe_signal(signal("999999", source="maker", on=2, method=Method.DECLARED))
        one.observe_signal(signal("999", source="older", on=0))
    made[29].retire("gone")
    del stars["a29"]
    await store.append(made, BY)
    await project(url, store)
    async with viewed(pool) as snapshot:
        found = await rank.distributions(snapshot)
    assert found.up_to == await store.head()
    assert found.day == datetime.now(UTC).date()
    nearest = sorted(stars.values())[ceil(0.99 * len(stars)) - 1]
    assert [(one.kind, one.signal, one.p99, one.observed) for one in found.scales] == [
        (None, SignalName.STARS, Decimal(nearest), 29),
        (Kind.MODEL, SignalName.STARS, Decimal(nearest), 29),
    ]


async def looked_at(
    url: str, store: Store, artifacts: list[Artifact], searchers: int, chosen: int
) -> None:
    """Each is shown first to so many searchers, of whom so many choose it."""
    await store.append(artifacts, BY)
    for made in artifacts:
        for number in range(searchers):
            one = Search.answer(
                uuid5(made.id, str(number)),
                sealed(),
                INTENTS[0].cluster,
                f"somebody-{number}",
                served([made.slug]),
            )
            one.report(made.id, Outcome.CHOSEN if number < chosen else Outcome.DISMISSED)
            await store.append_batch(stored_events(one), BY)
    await project(url, store)


async def test_the_mean_rate_of_a_kind_is_what_came_of_a_view_once_enough_were_looked_at(
    url: str, store: Store, pool: Pool
) -> None:
    await looked_at(url, store, [artifact(f"a{number}") for number in range(19)], 8, 2)
    async with viewed(pool) as snapshot:
        assert (await rank.distributions(snapshot)).match_means == ()
    tools = [
        Artifact.register(f"cli-{number}", Kind.CLI, Facts(name="C"), provenance())
        for number in range(21)
    ]
    # Those with seven views say nothing.
    await looked_at(url, store, tools[:1], 7, 7)
    await looked_at(url, store, tools[1:], 10, 5)
    async with viewed(pool) as snapshot:
        found = await rank.distributions(snapshot)
    means = {one.kind: one.mean for one in found.match_means}
    # Twenty command lines are enough, nineteen models are not: they go by all kinds together.
    views, together = 19 * 8 + 20 * 10, (19 * 2 + 20 * 5) * Decimal("0.6")
    assert means.keys() == set(Kind)
    assert means.pop(Kind.CLI) == Decimal("0.3")
    assert set(means.values()) == {round(together / views, 6)}


async def test_a_calibration_is_taken_once_a_day_by_whoever_comes_first(store: Store) -> None:
    now = Scales(day=day(5).date(), up_to=0)

    async def distributions() -> Scales:
        return now

    first = await calibrate(store, BY, distributions, due_since=now.day)
    again = await calibrate(store, BY, distributions, due_since=now.day)
    assert (first, again, await store.head()) == (1, 1, 1)
    tomorrow = day(6).date()
    now = replace(now, day=tomorrow)
    assert await calibrate(store, BY, distributions, due_since=tomorrow) == 2


async def test_a_clock_that_jumps_back_does_not_make_the_catalog_younger(store: Store) -> None:
    days = iter([day(5).date(), day(1).date()])

    async def distributions() -> Scales:
        return Scales(day=next(days), up_to=0)

    await calibrate(store, BY, distributions)
    await calibrate(store, BY, distributions)
    calibrated = [recorded.event for recorded in await store.read(0)]
    assert [event.scales.day for event in calibrated] == [day(5).date()] * 2  # type: ignore[attr-defined]


async def test_a_calibration_of_read_models_that_are_behind_is_refused(store: Store) -> None:
    up_to = iter([7, 3])

    async def distributions() -> Scales:
        return Scales(day=day(5).date(), up_to=next(up_to))

    await calibrate(store, BY, distributions)
    with pytest.raises(StaleCalibration, match="up to position 7 is in force"):
        await calibrate(store, BY, distributions)
    assert await store.head() == 1


async def test_a_repeated_calibration_and_policy_change_nothing_more(store: Store) -> None:
    async def distributions() -> Scales:
        return Scales(day=datetime.now(UTC).date(), up_to=await store.head())

    for _ in range(2):
        keyed = Request(actor="tester", request_id="test", idempotency_key="calibrate-1")
        assert await calibrate(store, keyed, distributions) == 1
    policy = [replace(DEFAULTS[Kind.MODEL], half_life=90)]
    for _ in range(2):
        keyed = Request(actor="tester", request_id="test", idempotency_key="adopt-1")
        assert await adopt_policy(store, keyed, policy) == 2
    assert await adopt_policy(store, BY, policy) == 2
    history: dict[str, int] = defaultdict(int)
    for recorded in await store.read(0):
        history[type(recorded.event).__qualname__] += 1
    assert history == {"Calibration.Calibrated": 1, "Policy.Adopted": 1}
