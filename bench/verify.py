"""Whether the whole log is what was recorded, against hashing the same bytes and nothing else."""

import asyncio
from hashlib import sha256
from pathlib import Path

import asyncpg

from bench import history
from bench.frame import Bench, Round, Table, timed
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.ledger import bundle, chain
from matchgraph.ledger import store as tables
from matchgraph.ledger.head import new_key, signers
from matchgraph.ledger.verify import verify_chain
from matchgraph.ledger.watch import NEW, Watch, course

SUM = "sha256sum of the same bytes, one file"
EACH = "hashlib, leaf and link of each event, in memory"
ONE = "verify, one process"
ALL = "verify, a process for each processor"
POSTGRES = "the chain in PostgreSQL, event_leaf and parallel workers"
WATCH = "the watch: chain, tree and checkpoint"
EXPORT = "export, into a file"
CHECK = "check, that file"
MEGA = 10**6

_IN_POSTGRES = """
SELECT count(*) FROM event e LEFT JOIN event b ON b.position = e.position - 1
WHERE e.digest <> sha256(coalesce(b.digest, sha256('matchgraph')) || event_leaf(
  e.position, (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.originator_id,
  e.originator_version, e.topic, e.actor, e.request_id, e.idempotency_key, e.state))
"""


async def run(bench: Bench) -> None:
    """Measures the table."""
    artifacts = 5_000 if bench.quick else 100_000
    async with bench.database() as url, open_store(url) as store:
        count = await _fill(store, artifacts)
        bytes_file, bundle_file = bench.folder / "said", bench.folder / "bundle"
        admin = await asyncpg.connect(url)
        await admin.execute("VACUUM ANALYZE event")
        await admin.execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0")
        await _write(admin, bytes_file, count)
        size = bytes_file.stat().st_size
        table = Table(
            "verify",
            f"Verify {count:,} events",
            "MB/s of what is hashed",
            base=SUM,
            notes=[
                f"An event has {size // count} bytes that are hashed: most of the time goes into"
                f" 2 x {count:,} hashes of short texts and into fetching, not into hashing long"
                " ones."
            ],
        )
        table.add(SUM, "log", lambda: _sum(bytes_file, size))
        table.add(EACH, "log", lambda: _each(bytes_file, count))
        table.add(ONE, "log", lambda: _verify(url, count, size, 1))
        table.add(ALL, "log", lambda: _verify(url, count, size, None))
        table.add(POSTGRES, "log", lambda: _in_postgres(admin, size))
        table.add(WATCH, "log", lambda: _watch(url, store, count, size))
        await _watch(url, store, count, size, sign=True)
        await _export(url, bundle_file, count, size)
        table.add(EXPORT, "log", lambda: _export(url, bundle_file, count, size))
        table.add(CHECK, "log", lambda: _check(bundle_file, count, size))
        await bench.measure(table)
        await admin.close()


async def _fill(store: Store, artifacts: int) -> int:
    registrations, observed = history.registered_and_observed(artifacts, observations=9)
    rows = history.rows([*registrations, *observed])
    for start in range(0, len(rows), 20_000):
        await store.append_batch(
            rows[start : start + 20_000], Request(actor="bench", request_id="bench")
        )
    return len(rows)


async def _write(db: asyncpg.Connection, file: Path, count: int) -> None:
    """The bytes of every leaf, one after the other."""
    with file.open("wb") as out:
        for start in range(0, count, 10_000):
            rows = await db.fetch(
                f"SELECT {chain.COLUMNS} FROM event WHERE position > $1 AND position <= $2"
                " ORDER BY position",
                start,
                start + 10_000,
            )
            for position, recorded_at, *content, _ in rows:
                out.write(chain.said(position, chain.microseconds(recorded_at), *content))


async def _sum(file: Path, size: int) -> Round:
    async with timed(size // MEGA) as rounds:
        process = await asyncio.create_subprocess_exec(
            "sha256sum", str(file), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
    return rounds[0]


async def _each(file: Path, count: int) -> Round:
    """No more than the two hashes for each event, of texts as long as the events are."""
    with file.open("rb") as opened:
        data = opened.read()
    step = len(data) // count
    digest = chain.LINK_0
    async with timed(len(data) // MEGA) as rounds:
        for at in range(0, count * step, step):
            digest = sha256(digest + sha256(data[at : at + step]).digest()).digest()
    return rounds[0]


async def _verify(url: str, count: int, size: int, processes: int | None) -> Round:
    async with timed(size // MEGA) as rounds:
        found = await verify_chain(url, processes=processes)
    assert (found.events, found.size, found.problem) == (count, size, None), found
    return rounds[0]


async def _in_postgres(db: asyncpg.Connection, size: int) -> Round:
    async with timed(size // MEGA) as rounds:
        assert await db.fetchval(_IN_POSTGRES) == 0
    return rounds[0]


async def _watch(url: str, store: Store, count: int, size: int, sign: bool = False) -> Round:
    db = await connect(url, "bench", synchronous_commit="off")
    await db.execute("TRUNCATE ledger_node")
    await db.execute(
        "UPDATE ledger_watch SET position = DEFAULT, digest = DEFAULT, recorded_at = DEFAULT,"
        " peaks = DEFAULT"
    )
    (signer,) = signers([new_key()])
    watch = Watch(url, store.listener, [signer])
    new = await course(db, NEW)
    async with timed(size // MEGA) as rounds:
        while await watch.follow(db, new):
            pass
    assert new.place.position == count
    if sign:
        await tables.keep_keys(db, [(signer.id, signer.public_key)])
        await watch.sign(db, new)
    await db.close()
    return rounds[0]


async def _export(url: str, file: Path, count: int, size: int) -> Round:
    db = await connect(url, "bench")
    async with timed(size // MEGA) as rounds:
        with file.open("wb") as out:
            assert await bundle.export(db, out) == count
    await db.close()
    return rounds[0]


async def _check(file: Path, count: int, size: int) -> Round:
    async with timed(size // MEGA) as rounds:
        with file.open("rb") as opened:
            assert bundle.check(opened).last == count
    return rounds[0]
