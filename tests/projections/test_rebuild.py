"""Rebuilding while the system serves: readers see the old or the new, whole, and nobody fails."""

import asyncio
import os
import random
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import asyncpg
import pytest

import matchgraph
from matchgraph import migrate
from matchgraph.domain import calibration, policy, ranking
from matchgraph.domain.artifact import Kind
from matchgraph.domain.calibration import Calibration
from matchgraph.domain.policy import Policy
from matchgraph.eventstore.connection import Pool, connect
from matchgraph.eventstore.store import APPENDED, Store
from matchgraph.projections import rank_formula, tables
from matchgraph.projections.artifact_listing import ARTIFACT_LISTING
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.projection import Projection
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rebuild import REPLACED, SHADOW, RebuildRuns, TablesChanged, rebuild
from matchgraph.projections.signal_board import SIGNAL_BOARD
from matchgraph.queries.snapshot import Snapshot
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import artifact, rich, signal, stored_events, until
from tests.graphql.client import serving
from tests.graphql.moving import Movers
from tests.projections.tables import BY, append, checkpoints, contents

ROOT = Path(__file__).parents[2]
TABLES = [table for projection in PROJECTIONS for table in projection.tables]


async def left_over(url: str) -> list[str]:
    """The tables in the schemas that a rebuild uses."""
    db = await connect(url, "test")
    rows = await db.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
        " ANY ($1::text[]::regnamespace[]) ORDER BY 1",
        [SHADOW, REPLACED],
    )
    await db.close()
    return [row[0] for row in rows]


async def rebuilder(url: str, page: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.projections.rebuilder",
        url,
        str(page),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(matchgraph.__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
    )


async def under_way(pool: Pool) -> dict[str, int]:
    rows = await pool.fetch("SELECT name, position FROM projection_rebuild")
    return {row["name"]: row["position"] for row in rows}


# The same bytes


async def test_two_rebuilds_of_everything_in_other_pages_and_killed_on_the_way_give_the_same_bytes(
    url: str, store: Store, pool: Pool
) -> None:
    choices = random.Random(5)
    await store.append_batch([event for events in rich(60) for event in events], BY)
    await project(url, store)
    right = await contents(url)
    end = await store.head()
    for page, kills in ((7, 3), (150, 1)):
        # Whatever was there before has no part in it.
        await pool.execute("UPDATE artifact_listing SET name = 'wrong'")
        await pool.execute("DELETE FROM rank_history WHERE position % 2 = 0")
        killed_at: dict[str, int] = {}
        for _ in range(kills):
            process = await rebuilder(url, page)

            async def gone_on(since: dict[str, int] = killed_at) -> bool:
                return any(at > since.get(name, 0) for name, at in (await under_way(pool)).items())

            await until(gone_on, patience=60)
            await asyncio.sleep(choices.random() / 10)
            process.kill()
            await process.wait()
            killed_at = await under_way(pool)
        process = await rebuilder(url, page)
        said, _ = await process.communicate()
        assert process.returncode == 0, said
        assert said.decode().splitlines() == [f"{one.name} {end}" for one in PROJECTIONS]
        assert await contents(url) == right
        assert await left_over(url) == []
    assert set((await checkpoints(url)).values()) == {end}


async def test_a_rebuild_wakes_the_projector_that_went_without_it(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(3))
    await project(url, store)
    woken: list[object] = []

    def hear(*said: object) -> None:
        woken.append(said)

    async with pool.acquire() as db:
        await db.add_listener(APPENDED, hear)
        await rebuild(url, ARTIFACT_LISTING)

        async def is_woken() -> bool:
            return woken != []

        await until(is_woken)
        await db.remove_listener(APPENDED, hear)


async def test_a_rebuild_goes_on_where_it_was_ended(url: str, store: Store, pool: Pool) -> None:
    end = await append(store, rich(10))
    await project(url, store)
    right = await contents(url)

    def stop(done: int, _: int) -> None:
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(url, RANK_BOARD, stop, page=10)
    assert await under_way(pool) == {"rank_board": 50}
    assert await contents(url) == right
    told: list[int] = []
    assert await rebuild(url, RANK_BOARD, lambda done, _: told.append(done), page=10) == end
    assert (told[0], told[-1]) == (60, end)
    assert await contents(url) == right
    assert await under_way(pool) == {}


async def test_a_rebuild_of_tables_that_were_altered_since_begins_anew(
    url: str, store: Store, pool: Pool
) -> None:
    end = await append(store, rich(4))
    await project(url, store)
    admin = await asyncpg.connect(url)

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(url, SIGNAL_BOARD, stop, page=10)
    await admin.execute("CREATE INDEX signal_board_by_value ON signal_board (value)")
    told: list[int] = []
    await rebuild(url, SIGNAL_BOARD, lambda done, _: told.append(done), page=10)
    assert (told[0], told[-1]) == (10, end)

    def alter(done: int, _: int) -> None:
        if done == 10:
            asyncio.get_running_loop().create_task(
                admin.execute("DROP INDEX signal_board_by_value")
            )

    with pytest.raises(TablesChanged, match="signal_board"):
        await rebuild(url, SIGNAL_BOARD, alter, page=10)
    await rebuild(url, SIGNAL_BOARD)
    await admin.close()


# In place


async def test_after_the_switch_tables_are_what_the_next_migration_expects(
    url: str, store: Store
) -> None:
    await append(store, rich(1))
    await project(url, store)
    admin = await asyncpg.connect(url)
    await admin.execute("GRANT SELECT ON rank_board TO PUBLIC")
    before = await tables.definitions(admin, TABLES)
    owned = "SELECT relname, relowner, relacl::text, reloptions FROM pg_class WHERE relname = $1"
    owners = [str(await admin.fetchrow(owned, table)) for table in TABLES]
    for _ in range(2):
        for projection in PROJECTIONS:
            await rebuild(url, projection)
    assert await tables.definitions(admin, TABLES) == before
    assert [str(await admin.fetchrow(owned, table)) for table in TABLES] == owners
    await migrate.apply(url)
    await admin.execute("ALTER TABLE rank_match SET (fillfactor = 60)")
    await rebuild(url, RANK_BOARD)
    assert await admin.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'rank_match'") == [
        "fillfactor=60"
    ]
    # An index that the definition names, and statistics for whoever plans.
    assert await admin.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = 'rank_board'")
    await admin.close()


async def test_views_as_of_then_show_the_new_tables(url: str, store: Store) -> None:
    await append(store, rich(1))
    await project(url, store)
    await rebuild(url, SIGNAL_BOARD)
    admin = await asyncpg.connect(url)
    await admin.execute("UPDATE signal_board SET value = 99; SET matchgraph.position = 1000000")
    assert await admin.fetchval("SELECT min(value) FROM as_of.signal_board") == 99
    await admin.close()


async def test_a_function_of_the_ledger_takes_no_table_that_is_not_the_applications(
    url: str, pool: Pool
) -> None:
    for table in ("event", "nothing", "pg_class"):
        with pytest.raises(asyncpg.UndefinedTableError):
            await pool.execute("SELECT projection_switch($1)", [table])


# While it serves


QUERIES = (
    "{ artifacts(first: 5) { edges { node { slug name prices { amount } rank { score place }"
    " capabilities(first: 2) { edges { node { key } } } } } } }",
    "{ rankBoard(kind: MODEL, first: 5) { edges { node { slug rank { place } } } } }",
    '{ compare(slugs: ["thing-0", "thing-1"]) { verdict { outcome sentence } } }',
    '{ artifact(slug: "thing-0") { slug rankHistory(first: 3) { edges { node { score } } } } }',
)


async def test_nobody_fails_and_nobody_sees_half_while_everything_is_rebuilt_again_and_again(
    url: str, servers: Servers, store: Store, pool: Pool
) -> None:
    await store.append_batch([event for events in rich(100) for event in events], BY)
    async with serving(url, servers.redis_url) as api:
        await until(lambda: _all_at(url, 1), patience=30)
        movers = Movers(api.store, 4, prefix="mover")
        await movers.register()
        ended = asyncio.Event()
        answers = looks = moves = 0

        async def ask(query: str) -> None:
            nonlocal answers
            while not ended.is_set():
                await api.ask(query)
                answers += 1

        async def look() -> None:
            """Several tables by one snapshot, which agree with the log up to their checkpoints."""
            nonlocal looks
            while not ended.is_set():
                snapshot = Snapshot(pool)
                position = await snapshot.position()
                for table, topics in (
                    ("artifact_listing", "registered"),
                    ("rank_evidence", "registered"),
                    ("price_history", "price"),
                ):
                    (row,) = await snapshot.fetch(
                        f"SELECT (SELECT count(*) FROM {table}) AS held,"
                        " (SELECT count(*) FROM event WHERE position <= $1 AND topic ~ $2) AS said",
                        position,
                        topics,
                    )
                    assert row["held"] == row["said"], table
                await snapshot.close()
                looks += 1

        async def move() -> None:
            nonlocal moves
            while not ended.is_set():
                await movers.move(moves)
                moves += 1
                await asyncio.sleep(0.01)

        working = [asyncio.create_task(one) for one in (look(), move(), *map(ask, QUERIES))]
        for _ in range(2):
            for projection in PROJECTIONS:
                await rebuild(url, projection, page=200)
        assert not any(one.done() for one in working), [o.exception() for o in working if o.done()]
        ended.set()
        await asyncio.gather(*working)
        end = await api.store.head()
        await until(lambda: _all_at(url, end), patience=30)
        assert await pool.fetch("SELECT name FROM projection_checkpoint WHERE stuck_at > 0") == []
    assert min(answers, looks, moves) > 20
    right = await contents(url)
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    assert await contents(url) == right


async def _all_at(url: str, position: int) -> bool:
    return min((await checkpoints(url)).values()) >= position


async def test_who_reads_the_old_tables_reads_them_to_the_end_and_holds_up_nobody_for_long(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(2))
    await project(url, store)
    await pool.execute("DELETE FROM artifact_listing")
    reader = Snapshot(pool)
    # It has not read the table yet that is going to be replaced.
    await reader.position()
    waits: list[str] = []
    rebuilding = asyncio.create_task(rebuild(url, ARTIFACT_LISTING, on_waiting=waits.append))
    await until(lambda: _said(waits))
    assert "matchgraph test" in waits[0]
    # Others come and go, and the projector goes on between the tries.
    for _ in range(5):
        other = Snapshot(pool)
        assert (await other.fetch("SELECT count(*) FROM artifact_listing"))[0][0] == 0
        await other.close()
    made = artifact("later")
    made.observe_signal(signal("9"))
    end = await store.append([made], BY)
    await until(lambda: _projected(url, store, end))
    assert not rebuilding.done()
    (row,) = await reader.fetch("SELECT count(*) FROM artifact_listing")
    assert row[0] == 0, "as it was when this reader began"
    await reader.close()
    assert await rebuilding == end
    assert await pool.fetchval("SELECT count(*) FROM artifact_listing") == 5


async def _said(waits: list[str]) -> bool:
    return bool(waits)


async def _projected(url: str, store: Store, end: int) -> bool:
    await project(url, store)
    return set((await checkpoints(url)).values()) == {end}


async def test_a_second_rebuild_of_the_same_says_who_is_at_it(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(3))
    refused: list[str] = []

    async def second() -> None:
        try:
            await rebuild(url, PRICE_HISTORY)
        except RebuildRuns as reason:
            refused.append(str(reason))

    tasks: list[asyncio.Task[None]] = []

    def meanwhile(*_: int) -> None:
        if not tasks:
            tasks.append(asyncio.create_task(second()))

    await rebuild(url, PRICE_HISTORY, meanwhile, page=5)
    await asyncio.gather(*tasks)
    assert len(refused) == 1
    assert f"price_history is being rebuilt already by process {os.getpid()} on " in refused[0]
    # The lock went with the first one.
    await rebuild(url, PRICE_HISTORY)


async def test_a_projector_at_work_notices_that_its_tables_were_replaced(
    url: str, store: Store, pool: Pool
) -> None:
    """What it has in memory of them, and statements that name their types, are of no use then."""
    from matchgraph.projections.runner import Runner

    await append(store, rich(3))
    runner = Runner(url, store.listener, PROJECTIONS)
    db = await connect(url, "test projector")
    while await runner.advance(db):
        pass
    right = await contents(url)
    for table in ("rank_evidence", "rank_board"):
        await pool.execute(f"UPDATE {table} SET position = 1")
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    assert await contents(url) == right
    await append(store, rich(2, prefix="later", measured=False))
    while await runner.advance(db):
        pass
    await db.close()
    assert await pool.fetch("SELECT name FROM projection_checkpoint WHERE stuck_at > 0") == []
    held = await contents(url)
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    assert await contents(url) == held


# Far behind


async def test_a_new_read_model_catches_up_beside_the_others(url: str, store: Store) -> None:
    from matchgraph.projections.runner import Runner

    old: tuple[Projection, ...] = tuple(p for p in PROJECTIONS if p is not PRICE_HISTORY)
    await store.append_batch([event for events in rich(20) for event in events], BY)
    await project(url, store, old)
    db = await connect(url, "test projector")
    runner = Runner(url, store.listener, PROJECTIONS, page=5)
    began = (await checkpoints(url))["artifact_listing"]
    for number in range(10):
        end = await store.append([artifact(f"new-{number}")], BY)
        # Two turns: one of those that are up to date, one of the new one.
        await runner.advance(db)
        await runner.advance(db)
        found = await checkpoints(url)
        assert {found[one.name] for one in old} == {end}
        assert found["price_history"] == 5 * (number + 1)
    assert end == began + 10
    while await runner.advance(db):
        pass
    await db.close()
    assert set((await checkpoints(url)).values()) == {end}
    held = await contents(url)
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    assert await contents(url) == held


# Past ranks


async def test_neither_a_policy_nor_a_calibration_nor_a_formula_rewrites_a_past_rank(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(4))
    await project(url, store)
    end = await store.head()
    then = "SELECT t::text FROM rank_history t WHERE position <= $1 ORDER BY position, artifact_id"
    before = [row[0] for row in await pool.fetch(then, end)]
    assert len(before) > 10
    known = await store.load(policy.ID)
    assert isinstance(known, Policy)
    moved = replace(known.kinds[Kind.MODEL], half_life=7)
    adopted = Policy.adopt(known, [moved])
    measured = await store.load(calibration.ID)
    assert isinstance(measured, Calibration)
    scales = replace(measured.scales, day=date(2026, 9, 1), scales=())
    assert adopted is not None
    await store.append([adopted, Calibration.calibrate(measured, scales)], BY)
    await project(url, store)
    assert await pool.fetchval("SELECT count(*) FROM rank_history WHERE position > $1", end) > 0
    for page in (3, 2_000):
        await rebuild(url, RANK_BOARD, page=page)
        assert [row[0] for row in await pool.fetch(then, end)] == before


async def test_a_formula_that_this_release_does_not_have_stops_ranks_alone_and_names_itself(
    url: str, store: Store, pool: Pool
) -> None:
    await append(store, rich(1))
    await project(url, store)
    known = await store.load(policy.ID)
    assert isinstance(known, Policy)
    (event,) = stored_events(
        Policy.adopt(known, [replace(known.kinds[Kind.MODEL], half_life=9)])  # type: ignore[arg-type]
    )
    newer = replace(event, state=event.state.replace(b'"formula":1', b'"formula":2'))
    end = await store.append_stored([newer], BY)
    await project(url, store)
    rows = await pool.fetch("SELECT * FROM projection_checkpoint WHERE stuck_at IS NOT NULL")
    assert [(row["name"], row["stuck_at"]) for row in rows] == [("rank_board", end)]
    assert "no version 2 of the formula" in rows[0]["stuck_because"]


def test_every_version_of_the_formula_is_there_for_one_artifact_and_for_all() -> None:
    assert tuple(ranking.FORMULAS) == tuple(rank_formula.FORMULAS) == policy.FORMULAS
