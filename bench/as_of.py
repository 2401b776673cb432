"""Answers as of then against answers of now, after a short history and after a long one; and what
it takes to keep the past."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from eventsourcing.persistence import StoredEvent

from bench.frame import Bench, Goal, Table, tasks
from bench.history import BEGINNING, COUNTS, PROVIDERS, UNITS
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.capability import Capability
from matchgraph.domain.price import Price, Pricing
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.search import Outcome, Sealed, Search, Served
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import Request, open_store, stored
from matchgraph.http.app import app
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner

NOW = "as of now"
THEN = "as of half of the history"
ARTIFACTS = 500
AT_ONCE = 20_000
COMPARE = """query ($slugs: [String!]!, $asOf: AsOf) { compare(slugs: $slugs, asOf: $asOf) {
  rows { name values favours { outcome slug } } position
  aligned { left { key name } right { key name } similarity } onlyIn { capabilities { key name } }
  headToHead { together leftBetter rightBetter } verdict { outcome winner sentence }
} }"""
ARTIFACT = """query ($slugs: [String!]!, $asOf: AsOf) { artifact(slug: $slugs, asOf: $asOf) {
  name description vendor aliases capabilities { nodes { key name description } }
  prices { provider display } startingPrice { display } signals { name value observedAt }
  rank { score parts { name points } } timesMatched matchEdges { nodes { shown chosen } }
} }""".replace("[String!]!", "String!")
BOARD = """query ($slugs: ArtifactKind, $asOf: AsOf) { rankBoard(kind: $slugs, asOf: $asOf) {
  nodes { slug name rank { score place band } } } }"""
# The tables that answers of now need not have, and what they hold.
KEPT = (
    "artifact_listing_past",
    "artifact_alias_past",
    "capability_listing_past",
    "signal_history",
    "match_edge_past",
    "match_count_history",
    "match_pair_history",
    "match_cluster_history",
    "search_text_history",
    "price_withdrawn",
)


async def run(bench: Bench) -> None:
    """Measures the tables."""
    async with AsyncExitStack() as stack:
        clients: dict[str, tuple[httpx.AsyncClient, int]] = {}
        notes = []
        for events in (10_000, 100_000 if bench.quick else 1_000_000):
            url = await stack.enter_async_context(_filled(bench, events))
            notes.append(f"After {events:,} events: {await _kept(url, events)}")
            served = await stack.enter_async_context(_serving(bench, url))
            clients[f"{events:,} events"] = served, events // 2
        seconds = 2 if bench.quick else 5
        for name, what, query in (
            ("as-of-compare", "comparisons of two artifacts", COMPARE),
            ("as-of-artifact", "artifacts with all that is known of them", ARTIFACT),
            ("as-of-board", f"first pages of a board of {ARTIFACTS}", BOARD),
        ):
            table = Table(
                name,
                f"Answer {what}, one reader",
                "answers/s",
                base=NOW,
                goals=[Goal(THEN, column, NOW, 1 / 3) for column in clients]
                if query is COMPARE
                else [],
                notes=[
                    "The application in this process over HTTP, nothing of it cached; the same"
                    f" {ARTIFACTS} artifacts in each column, and the more events of each.",
                    *(notes if query is COMPARE else []),
                ],
            )
            for column, (client, half) in clients.items():
                for row, position in ((NOW, None), (THEN, half)):
                    ask = partial(_ask, client, query, Random(7), position)
                    table.add(row, column, partial(tasks, 1, seconds, ask))
            await bench.measure(table)


async def _ask(client: httpx.AsyncClient, query: str, chance: Random, position: int | None) -> None:
    two = [f"artifact-{number}" for number in chance.sample(range(ARTIFACTS), 2)]
    asked: Any = two if query is COMPARE else two[0] if query is ARTIFACT else "MODEL"
    then = None if position is None else {"position": str(position)}
    said = {"query": query, "variables": {"slugs": asked, "asOf": then}}
    response = await client.post("/graphql", json=said)
    assert "errors" not in response.json(), response.text


@asynccontextmanager
async def _serving(bench: Bench, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application without anything in Redis."""
    served = app(url, f"unix://{bench.folder}/nobody", project=False)
    transport = httpx.ASGITransport(served)
    async with (
        served.router.lifespan_context(served),
        httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=60) as client,
    ):
        yield client


@asynccontextmanager
async def _filled(bench: Bench, events: int) -> AsyncIterator[str]:
    """A database with so many events in every read model."""
    async with bench.database() as url:
        rows = islice(_history(), events)
        async with open_store(url) as store:
            while some := list(islice(rows, AT_ONCE)):
                await store.append_batch(some, Request(actor="bench", request_id="bench"))
        runner = Runner(url, Listener(url, ()), PROJECTIONS)
        db = await connect(url, "projector", synchronous_commit="off")
        while await runner.advance(db):
            pass
        stuck = await db.fetch("SELECT FROM projection_checkpoint WHERE stuck_at IS NOT NULL")
        assert not stuck, "no projection is stuck"
        await db.close()
        bench.say(f"as-of: {events:,} events are in every read model")
        admin = await asyncpg.connect(url)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        yield url


def _history() -> Iterator[StoredEvent]:
    """Artifacts, and then without end what happens to each of them in turn."""
    chance = Random(11)
    artifacts = [_artifact(number, chance) for number in range(ARTIFACTS)]
    for artifact in artifacts:
        yield from _stored(artifact)
    number = 0
    while True:
        number += 1
        for artifact in artifacts:
            _happens(artifact, number, chance)
            yield from _stored(artifact)
        # As many searches as artifacts were heard of.
        for _ in range(ARTIFACTS // 5):
            yield from _stored(_searched(artifacts, chance))


def _artifact(number: int, chance: Random) -> Artifact:
    made = Artifact.register(
        f"artifact-{number}",
        Kind.MODEL,
        Facts(name=f"Artifact {number}", vendor=chance.choice(PROVIDERS)),
        _seen(0),
    )
    for topic in chance.sample(TOPICS, 4):
        made.add_capability(_capability(topic, 0))
    return made


TOPICS = ("tables", "forms", "invoices", "speech", "images", "code", "maps", "proofs")


def _seen(number: int) -> Provenance:
    return Provenance(
        method=Method.DECLARED, source="bench", observed_at=BEGINNING + timedelta(minutes=number)
    )


def _capability(topic: str, number: int) -> Capability:
    return Capability(
        key=f"read-{topic}",
        name=f"Read {topic}",
        description=f"Reads {topic} and says what is in them, in its edition {number}.",
        intents=(f"read {topic}", f"understand {topic}"),
        provenance=_seen(number),
    )


def _happens(artifact: Artifact, number: int, chance: Random) -> None:
    """Mostly numbers and prices; every tenth time somebody describes it anew."""
    if number % 10 == 0:
        artifact.describe(Facts(description=f"Its edition {number}."), _seen(number))
    elif number % 10 == 5:
        known = chance.choice([*artifact.capabilities.values()])
        revised = _capability(known.key.removeprefix("read-"), number)
        artifact.revise_capability(replace(known, **_differing(revised)))
    elif number % 2:
        artifact.observe_signal(
            Signal(
                name=chance.choice(COUNTS),
                value=Decimal(chance.randrange(1, 5_000_000)),
                source="pypi",
                observed_at=BEGINNING + timedelta(minutes=number),
            )
        )
    else:
        artifact.observe_price(
            Price(
                provider=chance.choice(PROVIDERS[:3]),
                pricing=Pricing.PAID,
                amount=Decimal(chance.randrange(1, 2000)) / 10**8,
                currency="USD",
                per=chance.choice(UNITS),
                source="bench",
                observed_at=BEGINNING + timedelta(minutes=number),
            )
        )


def _differing(revised: Capability) -> dict[str, Any]:
    return {"description": revised.description, "provenance": revised.provenance}


def _searched(artifacts: list[Artifact], chance: Random) -> Search:
    """A page of ten results, one of which is reported on."""
    shown = chance.sample(artifacts, 10)
    topic = chance.choice(TOPICS)
    search = Search.answer(
        UUID(int=chance.getrandbits(128)),
        # What is sealed passes through as bytes, whatever it says.
        Sealed(key=UUID(int=1), need=chance.randbytes(60), label=chance.randbytes(40)),
        UUID(int=TOPICS.index(topic) + 1),
        f"searcher-{chance.randrange(1000)}",
        [
            Served(artifact_id=one.id, capability=None, position=place, score=1_000_000 - place)
            for place, one in enumerate(shown, start=1)
        ],
    )
    search.report(shown[chance.randrange(4)].id, chance.choice((Outcome.CLICKED, Outcome.CHOSEN)))
    return search


def _stored(aggregate: Aggregate) -> list[StoredEvent]:
    return [stored(event) for event in aggregate.collect_events()]  # type: ignore[arg-type]


async def _kept(url: str, events: int) -> str:
    """How many rows of the past there are, and how much room they take beside all else."""
    db = await asyncpg.connect(url)
    found = [
        (
            table,
            await db.fetchval(f"SELECT count(*) FROM {table}"),
            await db.fetchval("SELECT pg_total_relation_size($1::text::regclass)", table),
        )
        for table in KEPT
    ]
    everything = await db.fetchval(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    log = await db.fetchval("SELECT pg_total_relation_size('event')")
    await db.close()
    rows, size = sum(rows for _, rows, _ in found), sum(size for *_, size in found)
    each = ", ".join(f"{table} {count:,}" for table, count, _ in found if count)
    return (
        f"{rows / events:.2f} rows of the past for an event, of {size / rows:.0f} bytes with"
        f" their indexes; {size / 2**20:,.0f} MB of {everything / 2**20:,.0f} MB, of which the"
        f" log is {log / 2**20:,.0f} MB. Rows: {each}."
    )
