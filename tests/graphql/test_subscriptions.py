"""Each change once and in order, from any point on, whatever happens meanwhile."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from decimal import Decimal
from typing import Any, ClassVar

import asyncpg
import pytest
from redis.exceptions import RedisError
from starlette.routing import Route
from strawberry.extensions import SchemaExtension

from faults.servers import Valkey
from matchgraph.commands.ranking import adopt_policy
from matchgraph.domain.artifact import Alias, Artifact, Kind
from matchgraph.domain.policy import DEFAULTS
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.store import Store
from matchgraph.eventstore.tasks import stop
from matchgraph.http.live import LiveView
from matchgraph.http.upkeep import projecting
from matchgraph.projections.changes import RANKS as RANK_FEED
from matchgraph.projections.changes import CatalogTopic, Publisher, stream_of
from matchgraph.projections.redis_client import history as history_of
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.eventstore.histories import (
    artifact,
    capability,
    day,
    price,
    provenance,
    rich,
    signal,
    until,
)
from tests.graphql.moving import CATALOG, RANKS, Movers, history, move_all, projected
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.subscribers import Served, Socket, served, small_buffers
from tests.projections.tables import BY, append


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    """A server with its projector."""
    async with served(url, servers.redis_url) as live:
        yield live


def seen(changes: list[Any]) -> list[tuple[str, str]]:
    return [(change["position"], change["slug"]) for change in changes]


async def begun(socket: Socket, query: str = RANKS, *, id: str = "1", **variables: Any) -> None:
    """Returns when the subscription is sure to be there: operations of one socket are begun in the
    order they are asked for, and this one is answered after it."""
    await socket.subscribe(query, id=id, **variables)
    await socket.subscribe("{ __typename }", id="begun")
    assert (await socket.next("begun"))["type"] == "next"
    assert (await socket.next("begun"))["type"] == "complete"


# What a change says


async def test_a_rank_that_moves_is_told_with_what_moved_it(live: Served) -> None:
    query = """subscription { rankChanged { position cursor slug kind artifactId listed
      score low high coverage place band before { score place band } parts { name points before }
      cause { position topic recordedAt } artifact { id slug rank { score } } } }"""
    movers = Movers(live.store, 2)
    async with live.socket() as socket:
        await begun(socket, query)
        await movers.register()
        first, _ = await socket.changes(2)
        assert (first["before"], first["listed"], first["place"], first["band"]) == (
            None,
            True,
            1,
            1,
        )
        position = str(await movers.move(0))
        moved = await socket.change()
        assert (moved["position"], moved["slug"], moved["kind"]) == (position, "thing-0", "MODEL")
        assert moved["cause"]["position"] == position
        assert moved["cause"]["topic"] == "signal.observed"
        assert moved["before"]["score"] == first["score"] != moved["score"]
        assert moved["before"]["place"] in (1, 2)
        assert moved["artifactId"] == moved["artifact"]["id"]
        assert moved["artifact"]["rank"]["score"] == moved["score"]
        assert sum(Decimal(part["points"]) for part in moved["parts"]) == Decimal(moved["score"])
        assert [part["name"] for part in moved["parts"] if part["points"] != part["before"]] == [
            "QUALITY"
        ]
        assert Decimal(moved["low"]) < Decimal(moved["score"]) < Decimal(moved["high"])

        movers.made[0].retire("superseded")
        await live.store.append([movers.made[0]], BY)
        gone = await socket.change()
        assert gone["listed"] is False
        assert gone["before"]["score"] == moved["score"]
        assert gone["parts"] == []
        for name in ("score", "low", "high", "coverage", "place", "band"):
            assert gone[name] is None


async def test_the_catalog_is_told_event_by_event_with_what_a_mirror_needs(live: Served) -> None:
    query = """subscription { catalogChanged { position topic slug tombstone alias into capability
      recordedAt price { provider per price { amount } } artifact { slug status } } }"""
    one, other = artifact("one"), artifact("other")
    alias = Alias.of("uno", one.id)
    async with live.socket() as socket:
        await begun(socket, query)
        await live.store.append([one, other, alias], BY)
        one.add_capability(capability())
        one.revise_capability(capability(name="Tables"))
        one.retire_capability("parse-tables")
        one.observe_price(price("10.50"))
        one.observe_signal(signal())  # which is the ranks' concern
        one.withdraw_price(price().line, day(1))
        await live.store.append([one], BY)
        alias.remove()
        await live.store.append([alias], BY)
        alias.lead_to(other.id)
        one.merge(other)
        one.unmerge(other)
        one.retire("superseded")
        one.reinstate()
        await live.store.append([alias, one], BY)
        said: dict[str, Any] = {}
        order: list[int] = []
        for change in await socket.changes(14):
            order.append(int(change["position"]))
            said.setdefault(change["topic"], change)
        assert order == sorted(order)
        assert set(said) == set(CatalogTopic.__members__) - {"ARTIFACT_DESCRIBED"}
        assert {topic for topic, change in said.items() if change["tombstone"]} == {
            *("ARTIFACT_RETIRED", "ARTIFACT_MERGED", "ARTIFACT_UNALIASED"),
            *("CAPABILITY_RETIRED", "PRICE_WITHDRAWN"),
        }
        aliases = {t: (c["alias"], c["slug"]) for t, c in said.items() if c["alias"]}
        assert aliases == {
            "ARTIFACT_ALIASED": ("uno", "one"),
            "ARTIFACT_UNALIASED": ("uno", "one"),
            "ARTIFACT_REALIASED": ("uno", "other"),
        }
        assert said["ARTIFACT_MERGED"]["into"] == "other"
        assert said["CAPABILITY_RETIRED"]["capability"] == "parse-tables"
        assert said["PRICE_OBSERVED"]["price"]["price"] == {"amount": "10.5"}
        assert said["PRICE_WITHDRAWN"]["price"] == {
            **{"provider": "acme", "per": "INPUT_TOKEN"},
            "price": None,
        }
        # As it is when it is sent.
        assert said["ARTIFACT_RETIRED"]["artifact"]["slug"] == "one"


# From any point on


async def test_from_any_position_or_cursor_on_exactly_the_rest_comes(live: Served) -> None:
    end = await append(live.store, rich(2))
    await projected(live.pool, end)
    for query in (CATALOG, RANKS):
        async with live.socket() as socket:
            await socket.subscribe(query, after="0")
            everything = [await socket.change()]
            last = await live.pool.fetchval(
                "SELECT max(position) FROM event WHERE topic = ANY ($1)", list(CatalogTopic)
            )
            if query == RANKS:
                last = await live.pool.fetchval("SELECT max(position) FROM rank_history")
            while everything[-1]["position"] != str(last):
                everything.append(await socket.change())
            if query == RANKS:
                assert seen(everything) == await history(live.pool)
            rests = {}
            for number, change in enumerate(everything):
                position = int(change["position"])
                later = [one for one in everything if int(one["position"]) > position]
                for name, value, rest in (
                    ("after", change["position"], later),
                    ("cursor", change["cursor"], everything[number + 1 :]),
                ):
                    rests[f"{name} {number}"] = rest
                    await socket.subscribe(query, id=f"{name} {number}", **{name: value})
            for id, rest in rests.items():
                assert await socket.changes(len(rest), id) == rest
            # Each of them is live now, with nothing left of the past.
            await live.store.append([artifact(f"new-{len(query)}")], BY)
            for id in rests:
                assert (await socket.change(id))["slug"] == f"new-{len(query)}"


@pytest.mark.parametrize("many", [400, 1_700])
async def test_within_a_position_that_moves_many_a_cursor_goes_on_at_the_very_change(
    live: Served, many: int
) -> None:
    movers = Movers(live.store, many)
    registered = await movers.register()
    await projected(live.pool, registered)
    async with live.socket() as socket:
        await begun(socket)
        position = await move_all(live.store)
        changes = await socket.changes(many)
        assert {change["position"] for change in changes} == {str(position)}
        assert seen(changes) == (await history(live.pool))[registered:]
        for number in (0, 3, many // 2, many - 2):
            await socket.subscribe(RANKS, id=f"{number}", cursor=changes[number]["cursor"])
        await socket.subscribe(RANKS, id="before", after=str(registered))
        await socket.subscribe(RANKS, id="behind", after=str(position))
        for number in (0, 3, many // 2, many - 2):
            rest = changes[number + 1 :]
            assert await socket.changes(len(rest), f"{number}") == rest
        assert await socket.changes(many, "before") == changes
        later = str(await movers.move(0))
        for id in ("behind", "before", "1"):
            assert (await socket.change(id))["position"] == later
    said = await history_of(live.pool)
    assert said is not None
    entries = await live.app.state.redis.xrange(stream_of(RANK_FEED, said))
    alone = [entry for _, entry in entries if entry[b"entry"].endswith(b",null]")]
    # The stream says of many changes that they are there, and of few what they are.
    assert bool(alone) == (many > 500)


async def test_reconnecting_again_and_again_under_load_misses_and_doubles_nothing(
    live: Served,
) -> None:
    movers = Movers(live.store, 7)
    await projected(live.pool, await movers.register())
    choices = random.Random(5)
    done = asyncio.Event()

    async def load() -> None:
        for number in range(400):
            await movers.move(number)
        done.set()

    loading = asyncio.create_task(load())
    found: list[Any] = []
    resume: dict[str, str] = {"after": "0"}
    for number in range(50):
        async with live.socket() as socket:
            await socket.subscribe(RANKS, **resume)
            found += await socket.changes(choices.randint(1, 12))
        # By cursor or by position: here that is the same, as each event moves one.
        last = found[-1]
        resume = {"cursor": last["cursor"]} if number % 2 else {"after": last["position"]}
    await loading
    assert done.is_set()
    everything = await history_when(live, await live.store.head())
    async with live.socket() as socket:
        await socket.subscribe(RANKS, **resume)
        found += await socket.changes(len(everything) - len(found))
    assert seen(found) == everything


async def history_when(live: Served, position: int) -> list[tuple[str, str]]:
    await projected(live.pool, position)
    return await history(live.pool)


async def test_a_server_that_starts_again_goes_on_where_the_client_was(
    url: str, servers: Servers
) -> None:
    found: list[Any] = []
    resume: dict[str, str] = {"after": "0"}
    registered = False
    for number in range(4):
        async with served(url, servers.redis_url) as live:
            movers = Movers(live.store, 3, prefix=f"thing-{number}")
            await movers.register()
            async with live.socket() as socket:
                await socket.subscribe(RANKS, **resume)
                for one in range(10):
                    await movers.move(one)
                # Not all of it.
                found += await socket.changes(11 if registered else 7)
            resume = {"cursor": found[-1]["cursor"]}
            registered = True
    async with served(url, servers.redis_url) as live:
        everything = await history_when(live, await live.store.head())
        async with live.socket() as socket:
            await socket.subscribe(RANKS, **resume)
            found += await socket.changes(len(everything) - len(found))
    assert seen(found) == everything


# Which changes


async def test_filters_let_through_what_they_say(live: Served) -> None:
    store = live.store
    one = artifact("one")
    two = Artifact.register("two", Kind.CLI, one.facts, provenance())
    three = artifact("three")
    alias = Alias.of("uno", one.id)
    await projected(live.pool, await store.append([one, two, three, alias], BY))
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "slug": (RANKS, {"slugs": ["one"]}),
        "alias": (RANKS, {"slugs": ["uno", "two"]}),
        "kind": (RANKS, {"kinds": ["CLI", "AGENT"]}),
        "both": (RANKS, {"slugs": ["one"], "kinds": ["CLI"]}),
        "top": (RANKS, {"top": 1}),
        "topic": (CATALOG, {"topics": ["PRICE_OBSERVED", "ARTIFACT_MERGED"]}),
        "mirror": (CATALOG, {"slugs": ["three"]}),
        "clis": (CATALOG, {"kinds": ["CLI"], "topics": ["PRICE_OBSERVED"]}),
    }
    start = await store.head()
    async with live.socket() as socket:
        for id, (query, filter) in wanted.items():
            await socket.subscribe(query, id=f"{id} live", filter=filter)
        await begun(socket, id="all")
        for made in (one, two):
            made.observe_signal(signal("1", name=SignalName.LICENCE))
            made.observe_price(price())
            await store.append([made], BY)
        one.merge(three)
        last = await store.append([one], BY)
        await projected(live.pool, last)
        for id, (query, filter) in wanted.items():
            await socket.subscribe(query, id=f"{id} later", filter=filter, after=str(start))
        slugs = {
            "slug": ["one", "one"],
            "alias": ["one", "two", "one"],
            "kind": ["two"],
            "both": [],
            # Of two artifacts of its kind, the first place is won, and lost again.
            "top": ["one", "two", "one"],
            "topic": ["one", "two", "one"],
            "mirror": ["one"],
            "clis": ["two"],
        }
        fresh = artifact("fresh")
        await store.append([fresh], BY)
        for id, expected in slugs.items():
            for when in ("live", "later"):
                found = [(await socket.change(f"{id} {when}"))["slug"] for _ in expected]
                assert found == expected, (id, when)


async def test_small_changes_are_left_out_when_asked(live: Served) -> None:
    movers = Movers(live.store, 1)
    await movers.register()
    for number in range(30):
        await movers.move(number)
    last = await history_when(live, await live.store.head())
    rows = await live.pool.fetch("SELECT position, announce FROM rank_history ORDER BY position")
    async with live.socket() as socket:
        for bit, delta in enumerate((0, 0.1, 0.5, 1, 2, 5, 10)):
            expected = [str(row["position"]) for row in rows if row["announce"] & 1 << bit]
            for asked in {delta, max(delta - 0.05, 0.01) if bit else 0}:
                id = f"{asked}"
                await socket.subscribe(RANKS, id=id, after="0", minDelta=asked)
                found = await socket.changes(len(expected), id)
                assert [change["position"] for change in found] == expected
        assert len(expected) < len(last)


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (RANKS, {"after": "1", "cursor": "x"}, "BAD_USER_INPUT", "give one of them"),
    (RANKS, {"after": "99"}, "POSITION_IN_FUTURE", "no position 99"),
    (RANKS, {"after": "-1"}, "BAD_USER_INPUT", "not a Position"),
    (RANKS, {"after": 1}, "BAD_USER_INPUT", "not a Position"),
    (RANKS, {"cursor": "x"}, "BAD_USER_INPUT", "`cursor`"),
    (RANKS, {"cursor": "é" * 300}, "BAD_USER_INPUT", "cursor"),
    (RANKS, {"filter": {"slugs": ["nothing"]}}, "BAD_USER_INPUT", "'nothing'"),
    (RANKS, {"filter": {"slugs": ["a\u0000"]}}, "BAD_USER_INPUT", "filter.slugs"),
    (RANKS, {"filter": {"slugs": []}}, "BAD_USER_INPUT", "leave it out"),
    (RANKS, {"filter": {"slugs": ["a"] * 251}}, "BAD_USER_INPUT", "250"),
    (RANKS, {"filter": {"kinds": []}}, "BAD_USER_INPUT", "leave it out"),
    (RANKS, {"filter": {"kinds": ["THING"]}}, "BAD_USER_INPUT", "THING"),
    (RANKS, {"filter": {"top": 0}}, "BAD_USER_INPUT", "1 to 1000"),
    (RANKS, {"filter": {"top": 1001}}, "BAD_USER_INPUT", "1 to 1000"),
    (RANKS, {"minDelta": -0.1}, "BAD_USER_INPUT", "0 to 10"),
    (RANKS, {"minDelta": 10.1}, "BAD_USER_INPUT", "0 to 10"),
    (CATALOG, {"filter": {"topics": []}}, "BAD_USER_INPUT", "leave it out"),
    (CATALOG, {"filter": {"topics": ["SIGNAL_OBSERVED"]}}, "BAD_USER_INPUT", "SIGNAL_OBSERVED"),
    ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED", "nothing"),
    ("subscription {", {}, "GRAPHQL_VALIDATION_FAILED", "Syntax"),
    ("subscription { rankChanged }", {}, "GRAPHQL_VALIDATION_FAILED", "selection"),
    ("subscription A { __typename }", {}, "GRAPHQL_VALIDATION_FAILED", "introspection"),
    (
        'subscription @atLeast(position: "9") { rankChanged { slug } }',
        {},
        "POSITION_IN_FUTURE",
        "position 9",
    ),
    (
        "subscription ($p: Position!) { rankChanged(after: $p) { slug } }",
        {},
        "BAD_USER_INPUT",
        "to be provided",
    ),
]


async def test_what_makes_no_sense_is_refused_and_the_socket_stays(live: Served) -> None:
    await call(live, "registerArtifact", **ARTIFACT)
    cursor = await rank_cursor(live)
    bad = [*BAD, (CATALOG, {"cursor": cursor}, "BAD_USER_INPUT", "`cursor`")]
    async with live.socket() as socket:
        for number, (query, variables, code, words) in enumerate(bad):
            id = str(number)
            await socket.subscribe(query, id=id, **variables)
            message = await socket.next(id)
            if message["type"] == "next":
                (error,) = message["payload"]["errors"]
                assert (await socket.next(id))["type"] == "complete"
            else:
                assert message["type"] == "error"
                (error,) = message["payload"]
            assert (error["extensions"]["code"], words in error["message"]) == (code, True), error
        await socket.subscribe(RANKS, id="good", after="0")
        assert (await socket.change("good"))["slug"] == "parser"


async def rank_cursor(live: Served) -> str:
    async with live.socket() as socket:
        await socket.subscribe(RANKS, after="0")
        cursor: str = (await socket.change())["cursor"]
        return cursor


# Shared by many


class Counting(SchemaExtension):
    """Counts executions, and the results that they bring forth."""

    executions: ClassVar[list[str]] = []
    results: ClassVar[Counter[str]] = Counter()

    def on_operation(self) -> Any:
        Counting.executions.append(str(self.execution_context.variables))
        yield

    def on_stream_result(self, result: Any) -> Any:
        Counting.results[str(self.execution_context.variables)] += 1
        yield


async def test_equal_subscriptions_are_executed_once_for_all_of_them(live: Served) -> None:
    count(live)
    Counting.results.clear()
    movers = Movers(live.store, 2)
    await projected(live.pool, await movers.register())
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(live.socket()) for _ in range(20)]
        for number, socket in enumerate(sockets):
            await begun(socket, id="same")
            await begun(socket, id="other", filter={"slugs": ["thing-1"]})
            # Where it begins makes no difference to what it gets from there on.
            await socket.subscribe(RANKS, id="late", after=str(number % 2))
            await socket.changes(2 - number % 2, "late")
        await until_live(live, 60)
        Counting.results.clear()
        for number in range(10):
            await movers.move(number)
        for socket in sockets:
            assert len(seen(await socket.changes(10, "same"))) == 10
            assert len(seen(await socket.changes(5, "other"))) == 5
            assert len(seen(await socket.changes(10, "late"))) == 10
        assert sorted(Counting.results.values()) == [5, 10]


def count(live: Served) -> None:
    """Has the executions of this server counted from now on."""
    (view, *_) = (
        route.endpoint
        for route in live.app.routes
        if isinstance(route, Route) and isinstance(route.endpoint, LiveView)
    )
    view.schema.extensions = [*view.schema.extensions, Counting]  # type: ignore[attr-defined]
    Counting.executions.clear()
    Counting.results.clear()


async def test_many_who_come_back_at_once_need_no_execution_each(
    url: str, servers: Servers
) -> None:
    async with served(url, servers.redis_url) as live:
        movers = Movers(live.store, 3)
        registered = await movers.register()
        for number in range(30):
            await movers.move(number)
        everything = await history_when(live, await live.store.head())
    # Another server, of which nobody has asked anything yet.
    async with served(url, servers.redis_url) as live, AsyncExitStack() as stack:
        count(live)
        movers.store = live.store
        sockets = [await stack.enter_async_context(live.socket()) for _ in range(30)]
        for number, socket in enumerate(sockets):
            # They were told of most, some of more than others.
            await socket.subscribe(RANKS, after=str(registered + number % 10))
            if number == 0:
                await socket.changes(30)
        for number, socket in enumerate(sockets):
            if number > 0:
                found = seen(await socket.changes(30 - number % 10))
                assert found == everything[registered + number % 10 :]
        # One to catch up, and one for all from then on.
        assert len(Counting.executions) == 2
        position = str(await movers.move(1))
        for socket in sockets:
            assert (await socket.change())["position"] == position
        # Whoever asks for more than is kept gets it all the same.
        await sockets[0].subscribe(RANKS, id="more", after="0")
        assert len(seen(await sockets[0].changes(len(everything) + 1, "more"))) == 34


async def until_live(live: Served, members: int) -> None:
    """Waits until so many subscriptions share their executions."""
    sharing = live.app.state.sharing

    async def there() -> bool:
        return sum(len(one._everybody()) for one in sharing._broadcasts.values()) == members

    await until(there)


async def test_operations_of_one_socket_do_not_see_each_others_past(live: Served) -> None:
    """Each is answered from the read models as they are then."""
    await call(live, "registerArtifact", **ARTIFACT)
    query = 'query { artifact(slug: "parser") { vendor } }'
    async with live.socket() as socket:
        for number in range(5):
            said = await call(
                live,
                "describeArtifact",
                slug="parser",
                facts={"vendor": f"v{number}"},
                provenance=ARTIFACT["provenance"],
            )
            await projected(live.pool, int(said["position"]))
            await socket.subscribe(query)
            answer = (await socket.next())["payload"]["data"]
            assert answer["artifact"]["vendor"] == f"v{number}"
            assert (await socket.next())["type"] == "complete"


async def test_a_subscription_holds_no_connection_while_it_waits(live: Served) -> None:
    movers = Movers(live.store, 2)
    await projected(live.pool, await movers.register())
    fresh = RANKS.replace("position cursor slug", "slug artifact { name rank { score } }")
    async with AsyncExitStack() as stack:
        for number in range(30):
            socket = await stack.enter_async_context(live.socket())
            # Filters that differ, so that none is shared.
            filter = {"slugs": ["thing-0"], "top": number + 1}
            await socket.subscribe(fresh, filter=filter, after="0")
            assert (await socket.change())["artifact"]["name"] == "thing-0"
        assert (await live.ask('{ artifact(slug: "thing-0") { name } }'))["artifact"]

        async def all_free() -> bool:
            return bool(live.pool.get_idle_size() == live.pool.get_size())

        await until(all_free)


async def test_a_subscription_keeps_nothing_of_the_changes_it_has_told(live: Served) -> None:
    movers = Movers(live.store, 1)
    await movers.register()

    def held() -> int:
        """What executions look up about the fields of a query."""
        gc.collect()
        return sum(type(one).__name__ == "FieldDetails" for one in gc.get_objects())

    async with live.socket() as socket:
        await begun(socket, RANKS.replace("slug", "slug before { score } parts { name points }"))
        await movers.move(0)
        await socket.changes(1)
        before = held()
        for number in range(50):
            await movers.move(number)
        await socket.changes(50)
        assert held() <= before + 10


# Faults


async def follow_all(live: Served, into: list[Any]) -> None:
    async with live.socket() as socket:
        await socket.subscribe(RANKS, after="0")
        while True:
            into.append(await socket.change())


@pytest.mark.parametrize(
    "fault", ["flushed", "killed", "paused", "trimmed", "garbled", "not there"]
)
async def test_whatever_happens_to_redis_no_change_is_missed_or_late(
    url: str, valkey: Valkey, fault: str
) -> None:
    if fault == "not there":
        valkey.kill()
    async with served(url, valkey.url) as live:
        movers = Movers(live.store, 5)
        await movers.register()
        found: list[Any] = []
        following = asyncio.create_task(follow_all(live, found))
        for number in range(90):
            if number % 30 == 10:
                await break_redis(live, valkey, fault)
            await movers.move(number)
            await asyncio.sleep(0.01)
        everything = await history_when(live, await live.store.head())
        assert len(everything) == 95

        async def all_there() -> bool:
            assert not following.done(), following.exception()
            return len(found) >= len(everything)

        await until(all_there, patience=5)
        await stop(following)
        assert seen(found) == everything


async def break_redis(live: Served, valkey: Valkey, fault: str) -> None:
    redis = live.app.state.redis
    if fault == "flushed":
        await redis.flushall()
    elif fault == "killed":
        valkey.kill()
        valkey.start()
    elif fault == "paused":
        with suppress(RedisError):  # it is still paused
            await redis.execute_command("CLIENT", "PAUSE", "3000", "ALL")
    else:
        said = await history_of(live.pool)
        assert said is not None
        if fault == "trimmed":
            await redis.xtrim(stream_of(RANK_FEED, said), maxlen=0, approximate=False)
        elif fault == "garbled":
            for number, fields in enumerate(({"x": "y"}, {"entry": "x"}, {"entry": "[1, 2, 3]"})):
                id = f"{await live.store.head() + 1}-{number + 1}"
                await redis.xadd(stream_of(RANK_FEED, said), fields, id=id)


async def test_without_anybody_who_publishes_changes_come_from_the_database(
    url: str, servers: Servers
) -> None:
    async with (
        served(url, servers.redis_url, project=False) as live,
        projecting(url, live.store),
        live.socket() as socket,
    ):
        movers = Movers(live.store, 2)
        await begun(socket)
        await movers.register()
        for number in range(20):
            await movers.move(number)
            if number == 0:
                await socket.changes(3)
            else:
                async with asyncio.timeout(2):
                    await socket.change()


async def test_a_stream_of_another_release_is_begun_anew(
    url: str, servers: Servers, store: Store
) -> None:
    movers = Movers(store, 1)
    await movers.register()
    admin = await asyncpg.connect(url)
    said = await history_of(admin)
    assert said is not None
    await admin.close()
    stream = stream_of(RANK_FEED, said)
    redis = open_client(servers.redis_url, patience=2)
    await redis.xadd(stream, {"what": "is this"}, id="1000000-0")
    async with served(url, servers.redis_url) as live, live.socket() as socket:
        await socket.subscribe(RANKS, after="0")
        await socket.changes(1)

        async def published() -> bool:
            entries: Any = await redis.xrange(stream)
            return any(b"entry" in fields for _, fields in entries)

        for number in range(100):
            await movers.move(number)
            await socket.changes(1)
            if await published():
                break
        assert await published()
    await redis.aclose()


async def test_two_who_publish_do_no_harm(url: str, servers: Servers, live: Served) -> None:
    class Stubborn(Publisher):
        """Works whether or not somebody else does."""

    movers = Movers(live.store, 3)
    async with live.socket() as socket:
        await begun(socket)
        await movers.register()
        # Its lock is that of another database, so nobody keeps it from working.
        others = [
            asyncio.create_task(Stubborn(url, live.store.listener, servers.redis_url).run())
            for _ in range(2)
        ]
        for number in range(100):
            await movers.move(number)
        found = await socket.changes(103)
        for other in others:
            await stop(other)
        assert seen(found) == await history(live.pool)


async def test_who_does_not_read_is_cut_off_with_where_to_go_on_and_nobody_else_waits(
    url: str, servers: Servers
) -> None:
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(served(url, servers.redis_url, small=True))
        registered = await Movers(live.store, 300).register()
        await projected(live.pool, registered)
        reader = await stack.enter_async_context(live.socket())
        sleeper = await stack.enter_async_context(live.socket())
        await begun(reader)
        await begun(sleeper)
        small_buffers(sleeper.connection.transport.get_extra_info("socket"))
        sleeper.stop_reading()
        moved = 0
        while not await is_alone(live):
            assert moved < 12_000, "it is cut off"
            await move_all(live.store)
            await move_back(live)
            moved += 600
            async with asyncio.timeout(20):
                await reader.changes(600)
        sleeper.read_again()
        found = []
        while (message := await sleeper.next())["type"] == "next":
            found.append(message["payload"]["data"]["rankChanged"])
        assert message["type"] == "error"
        (error,) = message["payload"]
        assert error["extensions"] == {
            "code": "SLOW_SUBSCRIBER",
            "cursor": found[-1]["cursor"],
            "position": found[-1]["position"],
        }
        assert len(found) < moved
        await sleeper.subscribe(RANKS, id="again", cursor=error["extensions"]["cursor"])
        found += await sleeper.changes(moved - len(found), "again")
        assert seen(found) == (await history(live.pool))[registered:]


async def is_alone(live: Served) -> bool:
    sharing = live.app.state.sharing
    return sum(len(one._everybody()) for one in sharing._broadcasts.values()) == 1


async def move_back(live: Served) -> int:
    return await adopt_policy(live.store, BY, [DEFAULTS[Kind.MODEL]])
