"""A searcher who is forgotten: what was written is gone from everywhere, and what it counted for
stands."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import redis.asyncio as redis
from cryptography.exceptions import InvalidTag

from matchgraph.cli.forgetting import before_serving
from matchgraph.commands.forgetting import Forgetting, UnknownSearcher, forget
from matchgraph.commands.searcher import pseudonyms
from matchgraph.domain.search import Search
from matchgraph.domain.searcher import Searcher
from matchgraph.embedding import load
from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.searcher_keys import (
    Key,
    SealedText,
    SearcherKeys,
    label_of,
    need_of,
)
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.chain import verified
from tests.eventstore.histories import until
from tests.graphql.client import SEARCH_KEYS, SECRETS, Api, serving
from tests.graphql.test_outcome import report
from tests.graphql.test_search import recorded, search
from tests.projections.tables import BY, contents, rebuilt
from tests.queries.catalogs import catalog, take_in

# What somebody might not want to be known for; the catalog has none of these words.
SECRET = ("zebulon", "quixote", "harbourmaster")
NEED = "transcribe a meeting of Zebulon Quixote"
# Who looks up what is served for this finds in whose words it was asked for.
EDGES = """query ($slug: String!) {
  artifact(slug: $slug) {
    timesMatched rank { score parts { name points } }
    matchEdges(first: 20) { nodes { intent shown chosen searchers exposure utility } }
  }
}"""


@pytest.fixture
async def searchable(url: str, servers: Servers) -> AsyncIterator[Api]:
    """The application over a small catalog, with an embedding model; no projector runs."""
    await take_in(url, catalog(), load())
    async with serving(url, servers.redis_url, project=False, model="minilm") as api:

        async def loaded() -> bool:
            return api.app.state.searching.model is not None

        await until(loaded)
        yield api


async def ask(api: Api, searcher: str, text: str, **said: Any) -> Any:
    api.http.headers["x-searcher"] = searcher
    return await search(api, text, **said)


@asynccontextmanager
async def program(api: Api, url: str) -> AsyncIterator[tuple[Connection, SearcherKeys]]:
    """What another process forgets with."""
    db = await connect(url, "test")
    yield db, SearcherKeys(api.pool, SEARCH_KEYS)
    await db.close()


async def forgotten(api: Api, url: str, searcher: str, **said: Any) -> Forgetting:
    async with program(api, url) as (db, keys):
        return await forget(api.store, BY, db, keys, pseudonyms(SECRETS, searcher), **said)


async def everything(url: str, redis_url: str) -> str:
    """All that the database and Redis hold, in small letters: bytes as Latin-1, and once more with
    whatever in it is base64 read."""
    db = await asyncpg.connect(url)
    found: list[str] = []
    for row in await db.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'p')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    ):
        for one in await db.fetch(f"SELECT * FROM {row['name']}"):
            found += [
                value.decode("latin-1") if isinstance(value, bytes) else repr(value)
                for value in one.values()
            ]
    rows = await db.fetch("SELECT query FROM pg_stat_activity WHERE query IS NOT NULL")
    found += [row["query"] for row in rows]
    await db.close()
    async with open_client(redis_url, patience=2) as client:
        async for key in client.scan_iter():
            found += [repr(key), repr(await _value(client, key))]
    found += [_unfolded(one) for one in found if '"words"' in one]
    return "\n".join(found).lower()


async def _value(client: "redis.Redis", key: Any) -> Any:
    match await client.type(key):
        case b"string" | "string":
            return await client.get(key)
        case b"hash" | "hash":
            return await client.hgetall(key)
        case b"list" | "list":
            return await client.lrange(key, 0, -1)
        case b"set" | "set":
            return await client.smembers(key)
        case b"zset" | "zset":
            return await client.zrange(key, 0, -1)
        case b"stream" | "stream":
            return await client.xrange(key)
        case other:
            raise AssertionError(f"{key!r} is a {other!r}")


def _unfolded(state: str) -> str:
    parts = state.split('"')
    found = []
    for one in parts:
        try:
            found.append(base64.b64decode(one, validate=True).decode("latin-1"))
        except ValueError:
            continue
    return "\n".join(found)


def words_of(search: Search) -> list[SealedText]:
    assert search.words is not None
    key = search.words.key
    return [
        SealedText(key, search.words.need, need_of(search.id)),
        SealedText(key, search.words.label, label_of(search.id)),
    ]


STATISTICS = ("match_words", "forgotten_key", "trail_topic")


async def statistics(url: str) -> dict[str, list[str]]:
    """Every read model but those that tell in whose words an intent is, and who is forgotten."""
    return {name: rows for name, rows in (await contents(url)).items() if name not in STATISTICS}


async def test_what_was_written_is_gone_from_everywhere_and_all_that_it_counted_for_stands(
    searchable: Api, url: str, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store, keys = searchable.store, searchable.app.state.keys
    for _ in range(3):
        found = await ask(searchable, "ann", NEED, first=2, where={"mustNotHave": [SECRET[2]]})
    after = found["pageInfo"]["endCursor"]
    where = {"mustNotHave": [SECRET[2]]}
    assert (await ask(searchable, "ann", NEED, first=2, after=after, where=where))["recorded"]
    first = found["edges"][0]["node"]
    await report(searchable, first["outcomeToken"], "CHOSEN")
    slug = first["artifact"]["slug"]
    await project(url, store)

    async def remembered() -> bool:
        return bool(await searchable.pool.fetchval("SELECT count(*) FROM intent_vector"))

    await until(remembered)
    shown = (await searchable.ask(EDGES, slug=slug))["artifact"]
    assert [edge["intent"] for edge in shown["matchEdges"]["nodes"]] == [NEED]
    made = await recorded(searchable, found["searchId"])
    opened = await keys.opened(words_of(made))
    assert all(word in str(opened).lower() for word in SECRET)
    before = await statistics(url)
    held = await everything(url, servers.redis_url)
    assert "tab-reader" in held, "it is looked for as it would be found"
    assert [word for word in SECRET if word in held] == [], "it never was there in plain"

    done = await forgotten(searchable, url, "ann")
    assert [one.searcher for one in done.destroyed] == [made.searcher]
    assert (done.before, done.in_plain) == (False, 0)
    await project(url, store)
    assert await everything(url, servers.redis_url)
    assert await fresh(searchable.pool).opened(words_of(made)) == [None, None]
    assert await searchable.pool.fetchval("SELECT count(*) FROM intent_vector") == 0
    assert await searchable.pool.fetchval("SELECT count(*) FROM match_words") == 0
    assert await verified(searchable.pool) == await store.head()
    assert await statistics(url) == before
    live = await contents(url)
    assert await rebuilt(url) == live
    assert [word for word in SECRET if word in caplog.text.lower()] == []
    async with serving(url, servers.redis_url, project=False) as other_process:
        told = (await other_process.ask(EDGES, slug=slug))["artifact"]
        for edge in shown["matchEdges"]["nodes"]:
            edge["intent"] = None
        assert told == shown
        # The search goes on, as well as can be without knowing what it was for.
        more = await ask(other_process, "ann", NEED, first=2, after=after, where=where)
        assert more["understood"]["text"] == NEED
        assert not more["recorded"]


def fresh(pool: Pool) -> SearcherKeys:
    """The keys as another process has them, which has nothing in memory."""
    return SearcherKeys(pool, SEARCH_KEYS)


async def test_no_key_that_is_left_opens_it(searchable: Api, url: str) -> None:
    found = await ask(searchable, "ann", NEED)
    await ask(searchable, "bob", NEED)
    made = await recorded(searchable, found["searchId"])
    await forgotten(searchable, url, "ann")
    bob: Key = await searchable.app.state.keys.of(pseudonyms(SECRETS, "bob")[0])
    for one in words_of(made):
        with pytest.raises(InvalidTag):
            bob.open(one.text, one.bound_to)


async def test_an_intent_is_told_and_found_by_the_words_of_others_from_then_on(
    searchable: Api, url: str
) -> None:
    first = await ask(searchable, "ann", "transcribe a long meeting")
    await until(lambda: searchable.pool.fetchval("SELECT count(*) FROM intent_vector"))
    for searcher in ("bob", "cleo"):
        found = await ask(searchable, searcher, "transcribe meetings")
    cluster = (await recorded(searchable, first["searchId"])).cluster
    assert (await recorded(searchable, found["searchId"])).cluster == cluster
    await project(url, searchable.store)
    slug = first["edges"][0]["node"]["artifact"]["slug"]

    async def intents() -> list[str]:
        shown = (await searchable.ask(EDGES, slug=slug))["artifact"]["matchEdges"]["nodes"]
        return [edge["intent"] for edge in shown]

    assert await intents() == ["transcribe a long meeting"]
    before = await searchable.pool.fetchrow("SELECT * FROM intent_vector")
    await forgotten(searchable, url, "ann", embedder=load())
    await project(url, searchable.store)
    assert await intents() == ["transcribe meetings"]
    after = await searchable.pool.fetchrow("SELECT * FROM intent_vector")
    assert before is not None
    assert after is not None
    assert after["cluster"] == cluster
    assert after["vector"] != before["vector"]
    assert after["key"] == (await searchable.app.state.keys.of(pseudonyms(SECRETS, "bob")[0])).id
    again = await ask(searchable, "dan", "transcribing a meeting")
    assert (await recorded(searchable, again["searchId"])).cluster == cluster


async def test_who_comes_back_after_being_forgotten_has_another_key(
    searchable: Api, url: str, servers: Servers
) -> None:
    first = await ask(searchable, "ann", NEED)
    await forgotten(searchable, url, "ann")
    async with serving(url, servers.redis_url, project=False) as other:
        second = await ask(other, "ann", "extract tables")
        one, two = [await recorded(other, found["searchId"]) for found in (first, second)]
        assert one.words
        assert two.words
        assert one.searcher == two.searcher
        assert one.words.key != two.words.key
        opened = await other.app.state.keys.opened([*words_of(one), *words_of(two)])
        assert opened[:2] == [None, None]
        assert opened[3] == b"extract tables"
    done = await forgotten(searchable, url, "ann")
    assert [held.id for held in done.destroyed] == [two.words.key]
    assert await fresh(searchable.pool).opened(words_of(two)) == [None, None]


async def test_forgetting_twice_is_fine_and_whoever_never_searched_is_unknown(
    searchable: Api, url: str
) -> None:
    await ask(searchable, "ann", NEED)
    once = await forgotten(searchable, url, "ann")
    twice = await forgotten(searchable, url, "ann")
    assert twice == Forgetting(destroyed=(), before=True, in_plain=0, position=once.position)
    for stranger in ("bob", "", "0" * 32, "192.0.2.7", "\udcff", "x" * 10_000):
        with pytest.raises(UnknownSearcher):
            await forgotten(searchable, url, stranger)
    assert await searchable.store.head() == once.position


@pytest.mark.parametrize(
    ("header", "said"), [("ann", "ann"), ("Änne", "Änne"), ("a" * 300, "a" * 300)]
)
async def test_a_searcher_is_who_the_header_named(
    searchable: Api, url: str, header: str, said: str
) -> None:
    searchable.http.headers["x-searcher"] = header
    await search(searchable, NEED)
    assert len((await forgotten(searchable, url, said)).destroyed) == 1


async def test_a_searcher_is_an_address_too_or_a_pseudonym_or_under_an_older_secret(
    searchable: Api, url: str, servers: Servers
) -> None:
    await search(searchable, NEED)
    assert len((await forgotten(searchable, url, "127.0.0.1")).destroyed) == 1
    secrets = ("a newer one to sign with", *SECRETS)
    await ask(searchable, "ann", NEED)
    async with serving(url, servers.redis_url, project=False, secrets=secrets) as newer:
        found = await ask(newer, "ann", NEED)
        async with program(newer, url) as (db, keys):
            done = await forget(newer.store, BY, db, keys, pseudonyms(secrets, "ann"))
            assert len(done.destroyed) == 2
            again = await ask(newer, "bob", NEED)
            made = await recorded(newer, again["searchId"])
            said = pseudonyms(secrets, made.searcher)
            assert len((await forget(newer.store, BY, db, keys, said)).destroyed) == 1
        assert found["recorded"]


async def test_all_who_forget_at_once_say_it_once_whatever_is_searched_meanwhile(
    searchable: Api, url: str, servers: Servers
) -> None:
    await ask(searchable, "ann", NEED)
    pseudonym = pseudonyms(SECRETS, "ann")[0]
    (known,) = await fresh(searchable.pool).held([pseudonym])
    ended = asyncio.Event()

    async def searching(api: Api) -> int:
        count = 0
        while not ended.is_set() or count < 3:
            assert (await ask(api, "ann", NEED))["recorded"]
            count += 1
        return count

    async with serving(url, servers.redis_url, project=False) as other:
        searches = [asyncio.create_task(searching(api)) for api in (searchable, other)]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(forgotten(searchable, url, "ann") for _ in range(3)))
        ended.set()
        await asyncio.gather(*searches)
    events = [one.event for one in await searchable.store.read(0)]
    said = [event.key for event in events if isinstance(event, Searcher.Forgotten)]
    assert said.count(known.id) == 1
    for event in events:
        if isinstance(event, Search.Answered) and event.words and event.words.key in said:
            sealed = SealedText(event.words.key, event.words.label, label_of(event.originator_id))
            assert await fresh(searchable.pool).opened([sealed]) == [None]
    assert await searchable.pool.fetch("SELECT FROM intent_vector WHERE key = ANY ($1)", said) == []
    assert await verified(searchable.pool) == len(events)
    await project(url, searchable.store)
    live = await contents(url)
    assert await rebuilt(url) == live


async def test_a_vector_of_somebody_who_is_forgotten_meanwhile_is_not_kept(
    searchable: Api, url: str
) -> None:
    key = await searchable.app.state.keys.of("ann")
    async with program(searchable, url) as (db, keys):
        await forget(searchable.store, BY, db, keys, ["ann"])
    (vector,) = load().embed([NEED])
    await searchable.app.state.searching.keep(searchable.pool, UUID(int=7), vector, key.id)
    assert await searchable.pool.fetchval("SELECT count(*) FROM intent_vector") == 0


async def test_what_a_backup_brings_back_is_destroyed_before_anything_is_served(
    searchable: Api, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = await ask(searchable, "ann", NEED)
    await ask(searchable, "bob", NEED)
    backup = await searchable.pool.fetch("SELECT * FROM searcher_key")
    await forgotten(searchable, url, "ann")
    await project(url, searchable.store)
    await searchable.pool.executemany(
        "INSERT INTO searcher_key VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        [tuple(row) for row in backup],
    )
    made = words_of(await recorded(searchable, found["searchId"]))
    assert await fresh(searchable.pool).opened(made) != [None, None]
    await before_serving(url, SEARCH_KEYS)
    assert "1 keys of forgotten searchers were back" in caplog.text
    assert await fresh(searchable.pool).opened(made) == [None, None]
    assert await searchable.pool.fetchval("SELECT count(*) FROM searcher_key") == 1


async def test_a_log_of_every_statement_has_nothing_of_what_was_searched_for(
    searchable: Api, url: str, servers: Servers
) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET log_min_duration_statement = 0")
    async with serving(url, servers.redis_url, project=False) as logged:
        assert (await ask(logged, "ann", NEED))["recorded"]
    folder = await admin.fetchval("SHOW data_directory")
    said = (await admin.fetchval("SELECT pg_read_file($1)", f"{folder}/../postgres.log")).lower()
    await admin.close()
    assert "searcher_key_for" in said
    assert [word for word in SECRET if word in said] == []


async def test_searches_of_before_words_were_sealed_are_counted_as_what_stays(
    searchable: Api, url: str
) -> None:
    admin = await asyncpg.connect(url)
    state = (
        b'{"type":"search.answered","id":"00000000-0000-0000-0000-000000000007",'
        b'"timestamp":"2026-01-01T00:00:00Z","originator_topic":"search","need":{"text":"a\\u0000b",'
        b'"like":[],"unlike":[],"where":{}},"intent":{"cluster":'
        b'"00000000-0000-0000-0000-000000000009","label":"tables"},"searcher":"ann","served":[]}'
    )
    end = await admin.fetchval(
        "SELECT base + 1 FROM event_append(ARRAY [$1::uuid], '{1}', '{search.answered}',"
        " ARRAY [$2::bytea], '{tester}', '{test}', '{}', '{}', '{}', '{}', '{}', '{}')",
        UUID(int=7),
        state,
    )
    await admin.execute("UPDATE search_in_plain SET position = $1", end)
    await admin.close()
    async with program(searchable, url) as (db, keys):
        done = await forget(searchable.store, BY, db, keys, ["ann"])
        assert done == Forgetting(destroyed=(), before=False, in_plain=1, position=end)
        with pytest.raises(UnknownSearcher):
            await forget(searchable.store, BY, db, keys, ["bob"])
    await project(url, searchable.store)
    assert await searchable.pool.fetchval("SELECT count(*) FROM match_words") == 0
    assert await searchable.pool.fetchval("SELECT searches FROM match_cluster") == 1
    made = await searchable.store.load(UUID(int=7))
    assert isinstance(made, Search)
    assert made.in_plain is not None
