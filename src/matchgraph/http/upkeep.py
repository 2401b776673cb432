"""What runs beside the answering, in `serve` and in `project`: the projector with the two that tell
Redis what it did, the one that embeds texts, the watch over the log, and the calibration once a
day. Any number of processes may run it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from matchgraph import embedding
from matchgraph.commands.ranking import calibrate
from matchgraph.domain.errors import StaleCalibration
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import Conflict, OutcomeUnknown, Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import Request, Store
from matchgraph.eventstore.tasks import stop
from matchgraph.ledger.head import Signer
from matchgraph.ledger.watch import Watch
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.changes import Publisher
from matchgraph.projections.rank_cache import RankCache
from matchgraph.projections.redis_client import open_client
from matchgraph.projections.runner import Runner
from matchgraph.projections.text_vectors import TextVectors
from matchgraph.queries.position import Behind, InFuture, reach
from matchgraph.queries.rank import distributions
from matchgraph.queries.snapshot import viewing

log = logging.getLogger(__name__)

# Units: seconds. Clocks jump and machines sleep, so nothing relies on a long wait being exact.
LONGEST_WAIT = 3600.0
AGAIN = 5.0
# Read models that are further behind than this give distributions of a part of the catalog.
PATIENCE = 600.0


@asynccontextmanager
async def projecting(
    database_url: str,
    store: Store,
    redis_url: str | None = None,
    *,
    model: str | None = None,
    signers: Sequence[Signer] = (),
) -> AsyncIterator[Runner]:
    """Keeps the read models up to date while the block runs; with a Redis also the boards there,
    and tells it what changes; with the name of an embedding model also what texts mean; with keys,
    the newest first, it watches the log and signs what it has verified."""
    runner = Runner(database_url, store.listener, PROJECTIONS)
    tasks = [asyncio.create_task(runner.run(), name="projector")]
    client = None
    if redis_url is not None:
        publisher = Publisher(database_url, store.listener, redis_url)
        tasks.append(asyncio.create_task(publisher.run(), name="publisher"))
        # Building the boards may take a busy server longer than a request would wait.
        client = open_client(redis_url, patience=2)
        boards = RankCache(database_url, store.listener, client)
        tasks.append(asyncio.create_task(boards.run(), name="boards"))
    if model is not None:
        vectors = embed_texts(database_url, store.listener, model)
        tasks.append(asyncio.create_task(vectors, name="vectors"))
    if signers:
        watch = Watch(database_url, store.listener, signers)
        tasks.append(asyncio.create_task(watch.run(), name="watch"))
    try:
        yield runner
    finally:
        for task in tasks:
            await stop(task)
        if client is not None:
            await client.aclose()


async def embed_texts(database_url: str, listener: Listener, model: str) -> None:
    """Keeps what the texts mean by that model, without end; ends at once if it cannot be used."""
    try:
        # Takes a moment, which nobody's start should wait for.
        embedder = await asyncio.to_thread(embedding.load, model)
    except embedding.ModelUnusable as reason:
        log.error("search goes by words alone: %s", reason)
        return
    await TextVectors(database_url, listener, embedder).run()


@asynccontextmanager
async def calibrating(store: Store, pool: Pool) -> AsyncIterator[None]:
    """Calibrates once a day while the block runs."""
    task = asyncio.create_task(calibrate_daily(store, pool), name="calibration")
    try:
        yield
    finally:
        await stop(task)


async def calibrate_daily(store: Store, pool: Pool) -> None:
    """Calibrates as soon as there is something to rank and today's calibration is not there."""
    while True:
        try:
            done = await calibrate_if_due(store, pool)
        except (
            Unavailable,
            OutcomeUnknown,
            Conflict,
            Behind,
            InFuture,
            StaleCalibration,
        ) as reason:
            log.warning("no calibration yet, trying again: %s", reason)
            done = False
        await asyncio.sleep(_until_tomorrow() if done else AGAIN)


async def calibrate_if_due(store: Store, pool: Pool) -> bool:
    """Calibrates unless today's calibration is there, once the read models are up to date; False
    while the catalog is empty. Raises: as `calibrate_now`, Behind."""
    head = await store.head()
    if head == 0:
        return False
    await reach(pool, store.listener, head, patience=PATIENCE)
    request = Request(actor="calibration", request_id=uuid4().hex)
    await calibrate_now(store, pool, request, only_if_due=True)
    return True


async def calibrate_now(
    store: Store, pool: Pool, request: Request, *, only_if_due: bool = False
) -> int:
    """Calibrates by what the read models hold; with `only_if_due`, once a day (in UTC). Returns
    the position reached. Raises: as `commands.ranking.calibrate`."""
    async with viewing(pool) as snapshot:
        return await calibrate(
            store,
            request,
            lambda: distributions(snapshot),
            due_since=datetime.now(UTC).date() if only_if_due else None,
        )


def _until_tomorrow() -> float:
    """Seconds to midnight in UTC and a moment more, at most LONGEST_WAIT."""
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return min(LONGEST_WAIT, (midnight - now).total_seconds() + 1)
