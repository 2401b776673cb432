"""Catalogs of any size with their log: the catalogs that come with matchgraph, observed for a
while, and all that happened to them over and over again, to other artifacts each time.

A copy of an artifact has the facts, texts, prices and history of its own, and a rank of its own.
Nothing is projected or embedded again: every row of the log and of the read models is repeated by
SQL, with other ids, slugs and positions. The chain of digests does not hold for such a log. Read by
growth.py and by the tests of query plans.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import httpx
from eventsourcing.persistence import StoredEvent

from bench.copies import COUNTED
from bench.history import COUNTS
from eval import catalog
from eval.judging import needs
from matchgraph.commands.catalog import take_in
from matchgraph.domain.artifact import Artifact, Status
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.connection import Connection, connect, open_pool
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import Request, open_store, stored
from matchgraph.http.app import app
from matchgraph.http.upkeep import calibrate_now
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.projections.trail import STRETCH

BY = Request(actor="bench", request_id="bench")
SECRETS = ("what the benchmark signs with",)
SEARCH_KEYS = ("what the benchmark wraps with",)
# How often something of an artifact is observed again.
OBSERVED_EACH = 2
SEARCHES = 150
# What a need is found by, which is most of a large catalog's rows.
SEARCHED = frozenset(
    {"search_artifact", "search_document", "search_text", "search_text_history", "search_posting"}
)
# What the log says, and what is looked up of it.
HISTORY = frozenset(
    {"event", "trail", "trail_alias", "price_history", "signal_history", "rank_history"}
)
# What is the same however often the catalog is there, belongs to searchers, or is counted anew.
ONCE = frozenset(
    {
        *("command", "event_inbox", "event_release", "ledger_head", "ledger_key", "ledger_node"),
        *("ledger_watch", "projection_checkpoint", "projection_rebuild", "rank_calibration"),
        *("rank_policy", "reading", "release_floor", "searcher_key", "forgotten_key", "api_key"),
        *("search_in_plain", "search_term", "search_word", "match_search", "match_searcher"),
        *("text_vector", "intent_vector", "trail_topic", "_pogo_migration", "_pogo_version"),
    }
)
# Ids that are no artifact's and nothing that is made for one.
KEPT = frozenset({"subject", "key"})
POSITIONS = frozenset({"position", "until", "registered_position", "added_position"})
OTHER = "md5({}::text || k)::uuid"
# From half of what the artifact has to all of it; of the same artifact always as much.
SHARE = "(0.5 + (hashtextextended(artifact_id::text, k) & 65535) / 131072.0)"
RANKED = frozenset({"score", "low", "high", "standing"})
AT_ONCE = 20

SEARCH = """query ($text: String!) { search(need: {text: $text}) {
  edges { node { outcomeToken } } } }"""
REPORT = """mutation ($token: String!, $outcome: OutcomeKind!) {
  reportOutcome(token: $token, outcome: $outcome) { __typename
  ... on OutcomeDiscarded { reason } } }"""


async def furnish(url: str, redis_url: str) -> None:
    """Fills the empty database with the catalogs that come with matchgraph, with prices and signals
    observed again and again, ranks that moved, searches and what became of them."""
    async with open_store(url) as store:
        for drafts in catalog.drafts():
            await take_in(store, BY, drafts)
        await _project(url)
        pool = await open_pool(url, "bench", size=2)
        await calibrate_now(store, pool, BY)
        await _project(url)
        ids = [row[0] for row in await pool.fetch("SELECT id FROM artifact_listing ORDER BY slug")]
        made = await store.load_many(ids)
        chance = Random(7)
        events: list[StoredEvent] = []
        for one in chance.choices([made[id] for id in ids], k=OBSERVED_EACH * len(ids)):
            assert isinstance(one, Artifact)
            _observe(one, chance)
            events += [stored(event) for event in one.collect_events()]  # type: ignore[arg-type]
        await store.append_batch(events, BY)
        await _project(url)
        await pool.close()
    await _search(url, redis_url)
    await _project(url)


async def _project(url: str) -> None:
    runner = Runner(url, Listener(url, ()), PROJECTIONS)
    connection = await connect(url, "projector", synchronous_commit="off")
    while await runner.advance(connection):
        pass
    await connection.close()


def _observe(one: Artifact, chance: Random) -> None:
    """Another price where it has one, or a signal."""
    if one.status is not Status.ACTIVE:
        return
    prices = [price for price in one.prices.values() if price.amount]
    now = datetime.now(UTC)
    if prices and chance.random() < 0.5:
        price = chance.choice(prices)
        amount = Decimal(chance.randrange(1, 5_000)) / 10**8
        one.observe_price(replace(price, amount=amount, observed_at=now))
        return
    value = Decimal(int(chance.paretovariate(0.3)) % 5_000_000)
    one.observe_signal(
        Signal(name=chance.choice(COUNTS), value=value, source="bench", observed_at=now)
    )


async def _search(url: str, redis_url: str) -> None:
    """Searches, of which every second has an outcome."""
    served = app(url, redis_url, secrets=SECRETS, search_keys=SEARCH_KEYS, kept_answers=0)
    transport = httpx.ASGITransport(served)
    texts = [one.need.text for one in needs() if one.need.text]
    async with (
        served.router.lifespan_context(served),
        httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=60) as http,
    ):

        async def ask(document: str, searcher: str, **variables: str) -> Any:
            said = {"query": document, "variables": variables}
            answer = await http.post("/graphql", json=said, headers={"x-searcher": searcher})
            found = answer.json()
            assert "errors" not in found, found["errors"]
            return found["data"]

        for number in range(SEARCHES):
            searcher = f"searcher-{number % 20}"
            found = await ask(SEARCH, searcher, text=texts[number % len(texts)])
            edges = found["search"]["edges"]
            if number % 2 and edges:
                token = edges[number % len(edges)]["node"]["outcomeToken"]
                await ask(
                    REPORT, searcher, token=token, outcome=("CHOSEN", "FAILED")[number % 3 > 0]
                )


# Over and over


async def repeat(
    db: Connection,
    times: int,
    say: Callable[[str], None] = lambda _: None,
    left_out: Collection[str] = (),
    most_events: int = 2**31,
) -> None:
    """Makes it happen so many times in all. The connection may change tables and go round guards.

    Of the tables that are `left_out`, there is only what the first time left; of the history, only
    as many events as are said, so that the last artifacts have none.
    """
    await db.execute("SET session_replication_role = replica")
    await db.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'")
    tables = [
        row[0]
        for row in await db.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        if row[0] not in ONCE and row[0] not in left_out
    ]
    # The log ends now, as it did.
    await db.execute(
        "UPDATE event SET recorded_at = recorded_at - $1::float8 * (SELECT max(recorded_at)"
        " - min(recorded_at) FROM event)",
        times - 1,
    )
    await db.execute(
        "CREATE TEMP TABLE stride AS SELECT (SELECT max(position) FROM event) AS positions,"
        " (SELECT max(artifact) + 1 FROM search_artifact) AS artifacts,"
        " (SELECT max(recorded_at) - min(recorded_at) FROM event) AS period"
    )
    positions = await db.fetchval("SELECT positions FROM stride")
    again = await _without_indexes(db, tables)
    for table in tables:
        columns = await db.fetch(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
            table,
        )
        changed = ", ".join(_other(table, *column) for column in columns)
        await db.execute(f"CREATE TEMP TABLE own AS SELECT * FROM {table}")
        until = min(times, most_events // positions) if table in HISTORY else times
        for first in range(1, until, AT_ONCE):
            last = min(first + AT_ONCE, until) - 1
            await db.execute(
                f"INSERT INTO {table} SELECT {changed} FROM generate_series($1::int, $2::int) AS k,"
                f" own, stride {'ORDER BY k, position' if table == 'event' else ''}",
                first,
                last,
            )
        await db.execute("DROP TABLE own")
        say(f"{times} times {table}")
    for statement in again:
        await db.execute(statement)
        say(statement)
    await db.execute(
        "INSERT INTO trail_topic SELECT DISTINCT topic, position / $1 FROM event"
        " ON CONFLICT DO NOTHING",
        STRETCH,
    )
    if not SEARCHED.intersection(left_out):
        await db.execute(COUNTED)
    await db.execute(
        "UPDATE projection_checkpoint SET position = newest.position,"
        " recorded_at = newest.recorded_at"
        " FROM (SELECT * FROM event ORDER BY position DESC LIMIT 1) AS newest"
    )
    await db.execute("DROP TABLE stride; SET session_replication_role = origin")
    await db.execute("VACUUM ANALYZE")


def _other(table: str, column: str, type: str) -> str:
    """What a copy has in that column."""
    match column:
        case "slug":
            return "slug || '~' || k"
        case "artifact" if type == "integer":
            return "artifact + k * stride.artifacts"
        case "recorded_at" if table == "event":
            return "recorded_at + k * stride.period"
        case "state":
            other = OTHER.format("originator_id")
            return (
                "convert_to(replace(convert_from(state, 'UTF8'), originator_id::text,"
                f" ({other})::text), 'UTF8')"
            )
    if column in POSITIONS:
        return f"{column} + k * stride.positions"
    if column in RANKED and table == "rank_board":
        return f"({column} * {SHARE})::int"
    if type == "uuid" and column not in KEPT:
        return OTHER.format(column)
    return column


async def _without_indexes(db: Connection, tables: Collection[str]) -> list[str]:
    """Takes the indexes away, also those of keys; returns how they are made again."""
    keys = await db.fetch(
        "SELECT conrelid::regclass AS table, conname, pg_get_constraintdef(oid) AS definition"
        " FROM pg_constraint WHERE conrelid::regclass::text = ANY ($1) AND contype IN ('p', 'u')",
        list(tables),
    )
    indexes = await db.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename = ANY ($1) AND indexname <> ALL ($2)",
        list(tables),
        [row["conname"] for row in keys],
    )
    for row in keys:
        await db.execute(f"ALTER TABLE {row['table']} DROP CONSTRAINT {row['conname']}")
    for row in indexes:
        await db.execute(f"DROP INDEX {row['indexname']}")
    return [
        *(
            f"ALTER TABLE {row['table']} ADD CONSTRAINT {row['conname']} {row['definition']}"
            for row in keys
        ),
        *(row["indexdef"] for row in indexes),
    ]
