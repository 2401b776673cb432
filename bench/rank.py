"""Ranks: signals into the board one event at a time, and everything anew after a calibration."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from io import BytesIO
from random import Random
from urllib.parse import urlsplit

import asyncpg
from eventsourcing.persistence import StoredEvent

from bench.frame import Bench, Goal, Round, Table, tasks, timed
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.calibration import Calibration, Scale, Scales
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.ranking import ADOPTION, CHECKLIST, COUNTS
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.connection import Pool, connect, open_pool
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import (
    MOST_IN_PAGE,
    PROJECTED,
    Request,
    Store,
    open_store,
    stored,
)
from matchgraph.eventstore.tasks import stop
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rank_cache import RankCache, inverted
from matchgraph.projections.redis_client import open_client
from matchgraph.projections.runner import Runner
from matchgraph.queries import page as pages
from matchgraph.queries.board import Boards
from matchgraph.queries.snapshot import Snapshot

SEEN = datetime(2026, 1, 1, tzinfo=UTC)
BY = Request(actor="bench", request_id="bench")
ONE_BY_ONE = 1_000

PAGES = f"pages of {MOST_IN_PAGE:,}"
ONE = "one event a transaction"
RECOMPUTE = "calibration: rank all, write board and history"
COPY = "bare COPY of the same rows into the same tables"
COPY_PLAIN = "the same without indexes"
REDIS = "from Redis"
SQL = "by SQL"


async def run(bench: Bench) -> None:
    """Measures the tables."""
    await _project(bench)
    await _recompute(bench)


async def _project(bench: Bench) -> None:
    artifacts = 2_000 if bench.quick else 10_000
    chance = Random(7)
    made = [_registered(number, chance) for number in range(artifacts)]
    registrations = [row for one in made for row in _stored(one)]
    observed = []
    for number in range(artifacts * 5):
        one = chance.choice(made)
        one.observe_signal(_signal(chance, SEEN + timedelta(minutes=number)))
        observed += _stored(one)
    calibration = _stored(_calibration())
    async with bench.database() as url:
        async with open_store(url) as store:
            await _append(store, [*registrations, *calibration, *observed])
        before = len(registrations) + 1
        await _advance(url, before, page=before)
        await _analysed(url)
        filled = urlsplit(url).path[1:]
        table = Table(
            "rank",
            f"Rank {len(observed):,} signals of {artifacts:,} artifacts",
            "events/s",
            base=ONE,
            goals=(Goal(PAGES, "events", ONE, 150),),
            flushes=True,
            notes=[
                "Each event that moves a rank has a row of history with its place, so each is"
                " computed for itself in both rows; the evidence, the board, the history and the"
                " checkpoint are one transaction. One event a transaction commits durably, as the"
                f" peers of the other tables do; the first {ONE_BY_ONE:,} events only."
            ],
        )

        async def ours(most: int, page: int, commit: str) -> Round:
            async with bench.database(filled) as copy:
                return await _advance(copy, most, page=page, commit=commit)

        whole = len(observed) // MOST_IN_PAGE * MOST_IN_PAGE
        table.add(PAGES, "events", partial(ours, whole, MOST_IN_PAGE, "off"))
        table.add(ONE, "events", partial(ours, ONE_BY_ONE, 1, "on"))
        await bench.measure(table)


async def _recompute(bench: Bench) -> None:
    artifacts = 10_000 if bench.quick else 100_000
    chance = Random(7)
    rows = []
    for number in range(artifacts):
        one = _registered(number, chance)
        for _ in range(3):
            one.observe_signal(_signal(chance, SEEN + timedelta(minutes=number)))
        rows += _stored(one)
    calibration = _calibration()
    rows += _stored(calibration)
    again = Calibration.calibrate(calibration, _scales(days=1))
    rows += _stored(again)
    async with bench.database() as url:
        async with open_store(url) as store:
            await _append(store, rows)
        await _advance(url, len(rows) - 1, page=len(rows) - 1)
        await _analysed(url)
        filled = urlsplit(url).path[1:]
        table = Table(
            "recompute",
            f"Rank {artifacts:,} artifacts anew",
            "artifacts/s",
            base=COPY,
            goals=(Goal(RECOMPUTE, "artifacts", COPY, 0.25),),
        )

        async def recompute() -> Round:
            async with bench.database(filled) as copy:
                found = await _advance(copy, 1, page=1)
                return Round(artifacts, found.seconds)

        async def copy(indexes: bool) -> Round:
            async with bench.database(filled) as database:
                await _advance(database, 1, page=1)
                return await _copied(database, artifacts, indexes)

        table.add(RECOMPUTE, "artifacts", recompute)
        table.add(COPY, "artifacts", partial(copy, True))
        table.add(COPY_PLAIN, "artifacts", partial(copy, False))
        await bench.measure(table)
        await _boards(bench, url, artifacts)


async def _copied(url: str, artifacts: int, indexes: bool) -> Round:
    """Puts the rows of the last calibration into empty tables like the real ones."""
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    bodies: dict[str, bytes] = {}
    for table, which in (
        ("rank_board", "true"),
        ("rank_history", "position = (SELECT max(position) FROM rank_history)"),
    ):
        body = BytesIO()
        await connection.copy_from_query(
            f"SELECT * FROM {table} WHERE {which}", output=body, format="binary"
        )
        bodies[table] = body.getvalue()
        including = "INCLUDING ALL" if indexes else ""
        await connection.execute(f"CREATE TABLE {table}_bare (LIKE {table} {including})")
    async with timed(artifacts) as rounds, connection.transaction():
        for table, raw in bodies.items():
            await connection.copy_to_table(f"{table}_bare", source=BytesIO(raw), format="binary")
    await connection.close()
    return rounds[0]


async def _boards(bench: Bench, url: str, artifacts: int) -> None:
    """A page of 20 from the top and from the middle of the board."""
    await _advance(url, 1, page=1)
    table = Table(
        "board",
        f"A page of 20 of a board of {artifacts:,}, 16 readers",
        "pages/s",
        base=SQL,
        notes=[
            "Both give the same rows with places and bands; each reader has a view of the read"
            " models of its own, as a request has."
        ],
    )
    pool = await open_pool(url, "boards", size=16)
    client = open_client(bench.servers.redis_url)
    # A Redis that is not there: the circuit stays open, and the database counts.
    nobody = open_client(f"unix://{bench.folder}/nobody")
    cached, counted = Boards(client), Boards(nobody)
    async with Listener(url, (PROJECTED,)) as listener:
        cache = asyncio.create_task(RankCache(url, listener, client).run())
        try:
            middle = await _middle(pool, counted, artifacts // 2)
            while not await _page(pool, cached, None):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            seconds = 1 if bench.quick else 3
            for row, boards in ((REDIS, cached), (SQL, counted)):
                for column, cursor in (("first page", None), ("from the middle", middle)):
                    read = partial(_page, pool, boards, cursor)
                    table.add(
                        row,
                        column,
                        partial(tasks, 16, seconds, read),
                    )
            await bench.measure(table)
        finally:
            await stop(cache)
    await client.aclose()
    await nobody.aclose()
    await pool.close()


async def _page(pool: Pool, boards: Boards, cursor: str | None) -> bool:
    """Reads a page as a request does; says whether it came from Redis."""
    snapshot = Snapshot(pool)
    try:
        return (await boards.page(snapshot, Kind.MODEL, 20, cursor)).from_cache
    finally:
        await snapshot.close()


async def _middle(pool: Pool, boards: Boards, place: int) -> str:
    """The cursor of the row at that place."""
    snapshot = Snapshot(pool)
    row = (
        await snapshot.fetch(
            "SELECT standing, artifact_id FROM rank_board WHERE kind = 'model' AND place = $1",
            place,
        )
    )[0]
    await snapshot.close()
    return pages.encode("rank_board/model", [inverted(row["standing"]), row["artifact_id"]])


def _registered(number: int, chance: Random) -> Artifact:
    return Artifact.register(
        f"artifact-{number}",
        Kind.MODEL,
        Facts(
            name=f"Artifact {number}",
            released=date(2025, 1, 1) + timedelta(days=chance.randrange(400)),
        ),
        Provenance(method=Method.OBSERVED, source="bench", observed_at=SEEN),
    )


def _signal(chance: Random, observed_at: datetime) -> Signal:
    name = chance.choice((*ADOPTION, *CHECKLIST))
    value = chance.randrange(1, 5_000_000) if name in COUNTS else chance.randrange(2)
    return Signal(name=name, value=Decimal(value), source="bench", observed_at=observed_at)


def _scales(days: int = 0) -> Scales:
    return Scales(
        day=date(2026, 3, 1) + timedelta(days=days),
        up_to=0,
        scales=tuple(Scale(signal=name, p99=Decimal(4_000_000), observed=100) for name in COUNTS),
    )


def _calibration() -> Calibration:
    return Calibration.calibrate(None, _scales())


def _stored(aggregate: Aggregate) -> list[StoredEvent]:
    return [stored(event) for event in aggregate.collect_events()]  # type: ignore[arg-type]


async def _append(store: Store, events: Sequence[StoredEvent]) -> None:
    for start in range(0, len(events), 20_000):
        await store.append_batch(events[start : start + 20_000], BY)


async def _advance(url: str, most: int, *, page: int, commit: str = "off") -> Round:
    """Takes the ranks on by so many events."""
    runner = Runner(url, Listener(url, ()), (RANK_BOARD,), page=page)
    connection = await connect(url, "projector", synchronous_commit=commit)
    async with timed(most) as rounds:
        for _ in range(most // page):
            assert await runner.advance(connection), "there is more to rank"
    stuck = await connection.fetchval(
        "SELECT count(*) FROM projection_checkpoint WHERE stuck_at IS NOT NULL"
    )
    assert stuck == 0, "no projection is stuck"
    await connection.close()
    return rounds[0]


async def _analysed(url: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute("VACUUM ANALYZE")
    await admin.close()
