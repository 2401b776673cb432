"""How each artifact ranks now, by which evidence, and what moved it before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import asyncpg
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Artifact, Facts, Kind, Status
from matchgraph.domain.calibration import Calibration, Scale, Scales
from matchgraph.domain.matching import NEVER_SERVED, Count
from matchgraph.domain.policy import DEFAULTS, Policy
from matchgraph.domain.provenance import Method
from matchgraph.domain.ranking import (
    CHECKLIST,
    PARTS,
    THRESHOLDS,
    Evidence,
    Numbers,
    Observed,
    measure,
    rank,
)
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.announcement import QUIET, announce, begin, read, written
from matchgraph.projections.rank_board import RANK_BOARD, evidence_of
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import (
    World,
    artifact,
    day,
    provenance,
    signal,
    stored_events,
    worlds,
)
from tests.projections.matches import counted
from tests.projections.ranking import crowd, ranking
from tests.projections.tables import BY, projected

ONLY = (RANK_BOARD,)
CALIBRATION = Scales(
    day=date(2026, 3, 1),
    up_to=1,
    scales=(Scale(signal=SignalName.STARS, p99=Decimal(1000), observed=25),),
)


def numbers(row: asyncpg.Record) -> Numbers:
    return Numbers(
        points=tuple(row[part] for part in PARTS),
        score=row["score"],
        low=row["low"],
        high=row["high"],
        coverage=row["coverage"],
        standing=row["standing"],
    )


def evidence(made: Artifact, matched: Count = NEVER_SERVED) -> Evidence:
    """What the artifact itself says is known of it. Positions don't matter to a rank."""
    days = [day for day in (made.facts.released, made.facts.last_release) if day]
    return Evidence(
        kind=made.kind,
        signals=[Observed(one, 0) for one in made.signals.values()],
        released=max(days, default=None),
        exposure=matched.exposure,
        utility=matched.utility,
        searchers=matched.searchers,
        discounted=matched.discounted,
    )


async def board(db: Connection | Pool) -> dict[UUID, asyncpg.Record]:
    return {row["artifact_id"]: row for row in await db.fetch("SELECT * FROM rank_board")}


@settings(max_examples=25, deadline=None)
@given(worlds())
async def test_every_rank_is_what_the_formula_gives_for_the_evidence_at_that_moment(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await board(db)
        policies = DEFAULTS if world.policy is None else world.policy.kinds
        scales = None if world.calibration is None else world.calibration.scales
        assert rows.keys() == {made.id for made in world.artifacts.values()}
        matched = counted(world.events).in_force
        for made in world.artifacts.values():
            by = measure(made.kind, policies, scales)
            known = evidence(made, matched.get(made.id, NEVER_SERVED))
            assert numbers(rows[made.id]) == rank(known, by).numbers


@settings(max_examples=25, deadline=None)
@given(worlds())
async def test_history_leads_from_nothing_to_the_board_without_a_seam(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await board(db)
        last: dict[UUID, asyncpg.Record] = {}
        for row in await db.fetch("SELECT * FROM rank_history ORDER BY position, artifact_id"):
            before = last.get(row["artifact_id"])
            for name in ("score", *PARTS):
                assert row[f"was_{name}"] == (0 if before is None else before[name])
            assert row["score"] == sum(row[part] for part in PARTS)
            last[row["artifact_id"]] = row
        assert last.keys() == rows.keys()
        for id, row in rows.items():
            for name in ("position", "score", "low", "high", "coverage", "place", "band", *PARTS):
                assert row[name] == last[id][name]


async def test_a_place_counts_those_ahead_and_a_band_those_that_are_clearly_better(
    url: str, store: Store, pool: Pool
) -> None:
    made = [artifact(f"a{number}") for number in range(12)]
    calibration = Calibration.calibrate(None, CALIBRATION)
    await store.append([*made, calibration], BY)
    for number, one in enumerate(made):
        if number % 3:
            one.describe(Facts(released=date(2026, 2, 28 - number)), provenance(on=1))
        for name in list(SignalName)[8 : 8 + number]:
            one.observe_signal(signal("1", name=name))
    made[4].retire("gone")
    await store.append(made, BY)
    # Other weights move every score, so that every place is written anew.
    model = DEFAULTS[Kind.MODEL]
    policy = replace(model, adoption=Decimal("0.20"), quality=Decimal("0.30"))
    await store.append([Policy.adopt(None, [policy])], BY)  # type: ignore[list-item]
    await project(url, store, ONLY, page=5)
    rows = await board(pool)
    listed = {id: row for id, row in rows.items() if id != made[4].id}
    order = sorted(listed, key=lambda id: (-listed[id]["standing"], id))
    assert [listed[id]["place"] for id in order] == list(range(1, 12))
    assert {id: row["band"] for id, row in listed.items()} == {
        id: 1 + sum(other["low"] > row["high"] for other in listed.values())
        for id, row in listed.items()
    }
    assert max(row["band"] for row in listed.values()) > 1
    assert (rows[made[4].id]["place"], rows[made[4].id]["band"]) == (0, 0)


@settings(max_examples=15, deadline=None)
@given(worlds())
async def test_a_place_is_told_as_it_was_before_and_after_the_event(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        kinds: Mapping[UUID, str] = {
            row["artifact_id"]: row["kind"] for row in await db.fetch("SELECT * FROM rank_evidence")
        }
        history = defaultdict(list)
        for row in await db.fetch("SELECT * FROM rank_history ORDER BY position, artifact_id"):
            history[row["position"]].append(row)
        now: dict[UUID, asyncpg.Record] = {}
        for rows in history.values():
            for row in rows:
                known = now.get(row["artifact_id"])
                was = [
                    other
                    for id, other in now.items()
                    if other["place"] and kinds[id] == kinds[row["artifact_id"]]
                ]
                if known is not None and known["place"]:
                    assert 1 <= row["was_place"] <= len(was)
                    better = sum(other["low"] > known["high"] for other in was)
                    assert row["was_band"] == 1 + better
                else:
                    assert (row["was_place"], row["was_band"]) == (0, 0)
            now.update((row["artifact_id"], row) for row in rows)
            for row in rows:
                rivals = [
                    other
                    for id, other in now.items()
                    if other["place"] and kinds[id] == kinds[row["artifact_id"]]
                ]
                if row["place"]:
                    assert 1 <= row["place"] <= len(rivals)
                    assert row["band"] == 1 + sum(other["low"] > row["high"] for other in rivals)
                else:
                    assert row["band"] == 0


async def as_event_by_event(url: str, events: Sequence[StoredEvent], page: int) -> None:
    """Projects that history and compares each row with what it has to be."""
    async with open_store(url) as store:
        await store.append_batch(events, BY)
        await project(url, store, ONLY, page=page)
    right = ranking(events)
    db = await connect(url, "test")
    assert await db.fetch("SELECT FROM projection_checkpoint WHERE stuck_at IS NOT NULL") == []
    rows = await db.fetch("SELECT * FROM rank_history ORDER BY position, artifact_id")
    assert [tuple(row) for row in rows] == sorted(right.history)
    rows = await db.fetch("SELECT * FROM rank_board ORDER BY artifact_id")
    assert [tuple(row) for row in rows] == right.board()
    rows = await db.fetch(
        "SELECT artifact_id, listed, released, last_release, evidence FROM rank_evidence"
        " ORDER BY artifact_id"
    )
    assert [tuple(row) for row in rows] == right.evidence()
    await db.close()


@settings(max_examples=25, deadline=None)
@given(worlds(most=60), st.sampled_from([3, 20, 2_000]))
async def test_a_page_is_ranked_as_event_after_event_would_be(
    clones: Clones, world: World, page: int
) -> None:
    async with clones() as url:
        await as_event_by_event(url, world.events, page)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([60, 2_000]))
async def test_a_crowd_is_ranked_as_event_after_event_would_be(
    clones: Clones, seed: int, page: int
) -> None:
    async with clones() as url:
        await as_event_by_event(url, crowd(Random(seed), artifacts=80, steps=1_500), page)


async def test_a_place_that_others_took_is_where_it_stood_before_its_next_change(
    url: str, store: Store, pool: Pool
) -> None:
    first, second, third = made = [artifact(name) for name in ("a", "b", "c")]
    await store.append(made, BY)
    for one, checks in ((first, 1), (second, 2), (third, 3)):
        for name in list(CHECKLIST)[:checks]:
            one.observe_signal(signal("1", name=name))
        await store.append([one], BY)
    # By now the other two have gone by.
    first.observe_signal(signal("1", name=SignalName.EXAMPLES, method=Method.DECLARED))
    last = await store.append([first], BY)
    await project(url, store, ONLY)
    row = await pool.fetchrow("SELECT * FROM rank_history WHERE position = $1", last)
    assert row is not None
    assert (row["was_place"], row["place"]) == (3, 3)
    assert row["score"] > row["was_score"]


def moves(scores: list[int], days: list[int]) -> list[int]:
    """The masks of a score's moves."""
    state, found = begin(scores[0]), []
    for was, now, on in zip(scores, scores[1:], days, strict=False):
        mask, state = announce(state, was, now, on)
        found.append(mask)
    return found


ONE_POINT = THRESHOLDS.index(1_000_000)


def told(masks: list[int], number: int = ONE_POINT) -> list[bool]:
    return [bool(mask >> number & 1) for mask in masks]


def test_a_score_that_goes_back_and_forth_raises_few_alarms_and_history_keeps_all() -> None:
    flips = [50_000_000, 55_000_000] * 5
    masks = moves(flips, list(range(100, 110)))
    assert told(masks) == [True, True, True] + [False] * 6
    assert told(masks, 0) == [True] * 9


def test_where_it_settles_is_announced_once_it_has_been_quiet_for_a_week() -> None:
    flips = [50_000_000, 55_000_000] * 2 + [50_000_000]
    later = [50_000_001, 50_000_002]
    masks = moves(flips + later, [100, 100, 101, 101, 101 + QUIET - 1, 101 + QUIET])
    assert told(masks) == [True, True, True, False, False, True]


def test_a_score_that_drifts_is_announced_when_it_has_drifted_far_enough() -> None:
    drift = [50_000_000 + 100_000 * step for step in range(31)]
    masks = moves(drift, [100] * 31)
    assert [step for step, yes in enumerate(told(masks), start=1) if yes] == [10, 20, 30]
    assert all(told(masks, 1))


def test_the_state_of_announcements_is_read_as_it_was_written() -> None:
    state = ([1] * 7, [-2] * 7, [3, 4, 5, 6, 7, 8, 9], [0] * 7)
    assert read(written(state)) == tuple(map(tuple, state))


def test_what_comes_or_goes_altogether_is_announced_at_every_threshold() -> None:
    mask, _ = announce(begin(5), 5, 5, 100, whole=True)
    assert all(told([mask], number)[0] for number in range(len(THRESHOLDS)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 9)), min_size=1, max_size=12))
async def test_a_calibration_announces_as_single_events_would(
    clones: Clones, steps: list[tuple[int, int]]
) -> None:
    """The vectorised decision is the scalar one: half-lives move one artifact's score about."""
    made = artifact(released=date(2026, 1, 1))
    world = World(artifacts={"parser": made})
    world.commands.append(stored_events(made))
    world.take([("calibrate", (replace(CALIBRATION, day=date(2026, 9, 1)),))])
    moment = day(0)
    half_life = 270
    for step, days in steps:
        half_life = max(1, half_life + 60 * step)
        moment += timedelta(days=days)
        world.commands.append(_adopted(world, half_life, moment))
    async with projected(clones, world) as db:
        first = await db.fetchrow("SELECT * FROM rank_history ORDER BY position LIMIT 1")
        assert first is not None
        state = begin(first["score"])
        for row in await db.fetch("SELECT * FROM rank_history ORDER BY position OFFSET 1"):
            on = (await _moment(db, row["position"])).toordinal() - date(1970, 1, 1).toordinal()
            mask, state = announce(state, row["was_score"], row["score"], on)
            assert row["announce"] == mask
        assert await db.fetchval("SELECT announced FROM rank_board") == written(state)


async def _moment(db: Connection, position: int) -> datetime:
    moment: datetime = await db.fetchval(
        "SELECT (convert_from(state, 'UTF8')::json ->> 'timestamp')::timestamptz"
        " FROM event WHERE position = $1",
        position,
    )
    return moment


def _adopted(world: World, half_life: int, moment: datetime) -> list[StoredEvent]:
    world.policy = Policy.adopt(world.policy, [replace(DEFAULTS[Kind.MODEL], half_life=half_life)])
    if world.policy is None:
        return []
    for pending in world.policy.pending_events:
        object.__setattr__(pending, "timestamp", moment)
    return stored_events(world.policy)


def test_a_corrected_release_day_is_the_one_that_counts() -> None:
    made = artifact(released=date(2026, 2, 28))
    made.describe(Facts(released=date(2025, 2, 28)), provenance(Method.VERIFIED, on=1))
    states = b",".join(one.state for one in stored_events(made))
    events = RANK_BOARD.decoded(b"[" + states + b"]")
    found, listed = evidence_of(enumerate(events, start=1))
    assert (found.released, listed) == (date(2025, 2, 28), True)


async def test_a_policy_for_command_lines_moves_no_model(
    url: str, store: Store, pool: Pool
) -> None:
    made = [artifact("a"), artifact("b")]
    await store.append(made, BY)
    last = max(made, key=lambda one: one.id)
    last.observe_signal(signal("1", name=SignalName.LICENCE))
    await store.append([last], BY)
    policy = Policy.adopt(None, [replace(DEFAULTS[Kind.CLI], half_life=9)])
    assert policy is not None
    await store.append([policy], BY)
    await project(url, store, ONLY)
    assert await pool.fetch("SELECT FROM rank_history WHERE position = 4") == []


async def test_a_retired_artifact_leaves_the_board_and_comes_back(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.retire("gone")
    made.reinstate()
    await store.append([made], BY)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT place, was_place, announce FROM rank_history ORDER BY position")
    everybody = (1 << len(THRESHOLDS)) - 1
    assert [tuple(row) for row in rows] == [
        (1, 0, everybody),
        (0, 1, everybody),
        (1, 0, everybody),
    ]
    assert made.status is Status.ACTIVE
