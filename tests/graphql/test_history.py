"""What happened, who may know, what changed in between, and series for charts, over HTTP."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Alias, Artifact, id_of
from matchgraph.domain.price import Price
from matchgraph.domain.role import Role
from matchgraph.domain.signal import Signal
from matchgraph.eventstore import codec
from matchgraph.eventstore.connection import Pool, open_pool
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.eventstore.store import Store, open_store
from matchgraph.graphql.context import Context
from matchgraph.graphql.schema import build
from matchgraph.projections.redis_client import open_client
from matchgraph.queries import history as queries
from matchgraph.queries.board import Boards
from matchgraph.queries.feed import Feeds, open_feeds
from matchgraph.queries.history import Asked, Entry
from matchgraph.queries.snapshot import open_past, viewing
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import Clones, clones
from tests.eventstore.histories import (
    World,
    artifact,
    rich,
    stored_events,
    worlds,
)
from tests.eventstore.test_read import RECORDED
from tests.graphql.client import SEARCH_KEYS, Api
from tests.graphql.moving import projected
from tests.projections.tables import BY, append

__all__ = ["clones"]

SCHEMA = build()
DIFFERENCE = "about name field per tier source kind before after position sentence"
EVENT = f"""
position recordedAt topic version summary source method observedAt payload actor requestId
artifact {{ slug }} changes {{ {DIFFERENCE} }}
"""
EVENTS = f"""
query ($filter: EventFilter, $oldestFirst: Boolean! = false, $first: Int! = 100, $after: String) {{
  events(filter: $filter, oldestFirst: $oldestFirst, first: $first, after: $after) {{
    position pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
    edges {{ cursor node {{ {EVENT} }} }}
  }}
}}
"""
CHANGED = f"""
query ($slug: String!, $from: AsOf!, $to: AsOf) {{
  whatChanged(slug: $slug, from: $from, to: $to) {{
    artifact {{ slug }} from to changes {{ {DIFFERENCE} }}
    rank {{ before {{ position score place }} after {{ position score place }} moved sentence
      parts {{ name points before }} }}
  }}
}}
"""


def _as(role: Role, api: Api, actor: str = "key:1") -> Context:
    state = api.app.state
    return Context(
        state.store,
        state.pool,
        state.past,
        state.boards,
        state.feeds,
        state.keys,
        role=role,
        actor=actor,
    )


async def ask_as(role: Role, api: Api, query: str, **variables: Any) -> Any:
    """The data of an answer to somebody in that role."""
    return await _asked(_as(role, api), query, variables)


async def _asked(context: Context, query: str, variables: dict[str, Any]) -> Any:
    result = await SCHEMA.execute(query, variables, context_value=context)
    assert not result.errors, result.errors
    return result.data


@dataclass
class Past:
    """A history that was projected into a database of its own, and nothing more happens."""

    store: Store
    pool: Pool
    then: Pool
    boards: Boards
    feeds: Feeds

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer to an auditor. (An application for each would take a second.)"""
        keys = SearcherKeys(self.pool, SEARCH_KEYS)
        context = Context(
            self.store, self.pool, self.then, self.boards, self.feeds, keys, role=Role.AUDITOR
        )
        return await _asked(context, query, variables)


@asynccontextmanager
async def past(
    clones: Clones, servers: Servers, events: Sequence[StoredEvent]
) -> AsyncIterator[Past]:
    async with (
        clones() as url,
        open_store(url) as store,
        open_client(servers.redis_url) as client,
    ):
        await store.append_batch(events, BY)
        await project(url, store)
        pool, then = await open_pool(url, "test", size=4), await open_past(url, size=2)
        try:
            async with open_feeds(pool, store.listener, servers.redis_url) as feeds:
                yield Past(store, pool, then, Boards(client), feeds)
        finally:
            await then.close()
            await pool.close()


# The log in words.

WEIGHED = (
    "ranks are weighed anew: mcp by adoption 0.2, quality 0.25, ecosystem 0.1, match graph 0.3,"
    " freshness 0.15, half-life 180 days"
)
SENTENCES = {
    "artifact.absorbed.v1": "parser-two was merged into parser",
    "artifact.aliased.v1": "the alias parser-latest leads to parser",
    "artifact.described.v1": (
        "description of parser: Reads documents. All of them. → Reads documents.; open weights of"
        " parser: yes → no"
    ),
    "artifact.merged.v1": "parser was merged into parser-two",
    "artifact.parted.v1": "parser-two was parted from parser",
    "artifact.realiased.v1": "the alias parser-latest leads to parser-two",
    "artifact.registered.v1": (
        "parser was registered as model, with 14 facts by https://example.org"
    ),
    "artifact.reinstated.v1": "parser is on offer again",
    "artifact.retired.v1": "parser was retired: superseded",
    "artifact.told_apart.v1": "parser was told apart from parser-two",
    "artifact.unaliased.v1": "the alias parser-latest no longer leads to parser-two",
    "artifact.unmerged.v1": "parser is on offer again",
    "capability.added.v1": "parser has the capability parse-tables",
    "capability.retired.v1": "parser no longer has the capability parse-tables",
    "capability.revised.v1": "parser has the capability parse-tables",
    "outcome.discarded.v1": (
        "a report that parser was clicked counts nowhere: no more than was known"
    ),
    "key.issued.v1": "a key of the role curator was issued",
    "key.revoked.v1": "a key was revoked",
    "outcome.reported.v1": "parser was chosen at place 1 of a search",
    "outcome.reported.v2": "parser was chosen at place 1 of a search",
    "policy.adopted.v1": WEIGHED,
    "policy.adopted.v2": WEIGHED,
    "price.observed.v1": (
        "price of parser at provider acme (batch): 0.15 USD per 1M input tokens, not known before"
    ),
    "price.withdrawn.v1": (
        "price of parser at provider acme (batch): 0.15 USD per 1M input tokens, asked no longer"
    ),
    "ranks.calibrated.v1": "ranks are measured by 2 scales as of 2026-11-23 and position 4711",
    "search.answered.v1": "a search was answered with 2 artifacts: parser, parser-two",
    "search.answered.v2": "a search was answered with 2 artifacts: parser, parser-two",
    "search.continued.v1": "a search went on with 1 artifact: parser-latest",
    "search.continued.v2": "a search went on with 1 artifact: parser-latest",
    "searcher.forgotten.v1": "a searcher was forgotten",
    "signal.observed.v1": "stars of parser by github: not known → 1200",
}
SAMPLES = sorted(SENTENCES, key=lambda name: (not name.startswith("artifact.registered"), name))
# Who looks for what is nobody's business.
PERSONAL = ("search.", "outcome.", "searcher.", "key.")


def _recorded() -> Iterator[StoredEvent]:
    """Every recorded sample as an event of the log, in an order in which projections take them."""
    versions: dict[UUID, int] = {}
    for name in SAMPLES:
        state = (RECORDED / f"{name}.json").read_bytes()
        id = UUID(json.loads(state)["id"])
        versions[id] = versions.get(id, 0) + 1
        yield StoredEvent(id, versions[id], name.rpartition(".v")[0], state)


def test_every_version_of_every_event_has_a_sentence() -> None:
    assert set(SENTENCES) == {path.stem for path in RECORDED.iterdir()}


async def test_every_version_of_every_event_is_readable(api: Api) -> None:
    two = stored_events(artifact("parser-two"))
    await projected(api.pool, await append(api.store, [two, list(_recorded())]))
    for role in (Role.AUDITOR, Role.CURATOR):
        found = (await ask_as(role, api, EVENTS, oldestFirst=True))["events"]
        nodes = [edge["node"] for edge in found["edges"]][len(two) :]
        assert {name: n["summary"] for name, n in zip(SAMPLES, nodes, strict=True)} == SENTENCES
        for place, (name, node) in enumerate(zip(SAMPLES, nodes, strict=True), start=2):
            sample = json.loads((RECORDED / f"{name}.json").read_bytes())
            topic, _, version = name.rpartition(".v")
            assert (node["position"], node["topic"]) == (str(place), topic)
            assert node["version"] == int(version)
            hidden = role < Role.AUDITOR
            assert node["actor"] == (None if hidden else BY.actor)
            assert node["requestId"] == (None if hidden else BY.request_id)
            if hidden and name.startswith(PERSONAL):
                assert node["payload"] is None
            elif int(version) == codec.version_of(codec.EVENTS[topic]):
                said = node["payload"].items()
                assert {k: v for k, v in sample.items() if k not in ENVELOPE}.items() == said
            else:
                assert node["payload"]


ENVELOPE = ("type", "id", "timestamp", "originator_topic")


async def test_no_searcher_is_told_to_anybody_but_auditors(api: Api) -> None:
    await projected(api.pool, await append(api.store, rich(1)))
    for role in Role:
        told = json.dumps(await ask_as(role, api, EVENTS), ensure_ascii=False)
        assert ("ann" in told.split('"')) == (role >= Role.AUDITOR)
        # Sealed, and opened for nobody here.
        assert "read tables" not in told


async def test_only_an_auditor_asks_by_actor(api: Api) -> None:
    await projected(api.pool, await append(api.store, rich(1)))
    asked = {"filter": {"actor": BY.actor}, "first": 100}
    for context, code in (
        (_as(Role.CURATOR, api), "FORBIDDEN"),
        (_as(Role.ANONYMOUS, api, "anonymous"), "UNAUTHENTICATED"),
    ):
        refused = await SCHEMA.execute(EVENTS, asked, context_value=context)
        assert refused.errors is not None
        extensions = refused.errors[0].extensions
        assert extensions is not None
        assert (extensions["code"], extensions["needs"]) == (code, "AUDITOR")
    everything = (await ask_as(Role.AUDITOR, api, EVENTS))["events"]
    assert (await ask_as(Role.AUDITOR, api, EVENTS, **asked))["events"] == everything
    for nobody in ("anonymous", "somebody else", ""):
        asked["filter"] = {"actor": nobody}
        assert (await ask_as(Role.AUDITOR, api, EVENTS, **asked))["events"]["edges"] == []


# Pages.


async def _pages(api: Api | Past, **asked: Any) -> list[dict[str, Any]]:
    """Every event that is meant, by as many pages as it takes."""
    ask = api.ask if isinstance(api, Past) else partial(ask_as, Role.AUDITOR, api)
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = (await ask(EVENTS, **asked, after=after))["events"]
        found += [edge["node"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert len(page["edges"]) <= asked.get("first", 100)
        if not page["pageInfo"]["hasNextPage"]:
            return found
        assert page["pageInfo"]["endCursor"] != after
        after = page["pageInfo"]["endCursor"]


def _led_to(events: Sequence[StoredEvent]) -> dict[int, set[UUID]]:
    """By position, the artifacts that an event of an alias is about: that which it leads to, and
    that which it led to before."""
    led: dict[UUID, UUID] = {}
    found: dict[int, set[UUID]] = {}
    for position, one in enumerate(events, start=1):
        if one.topic.endswith("aliased"):
            to = json.loads(one.state).get("artifact_id")
            was = led.pop(one.originator_id, None)  # type: ignore[arg-type]
            found[position] = {UUID(to)} if to else set()
            found[position] |= {was} if was else set()
            if to:
                led[one.originator_id] = UUID(to)  # type: ignore[index]
    return found


@settings(max_examples=25, deadline=None)
@given(worlds(), st.data())
async def test_pages_hold_each_event_that_is_meant_once_in_order(
    clones: Clones, servers: Servers, world: World, data: st.DataObject
) -> None:
    events = world.events
    last = len(events)
    async with past(clones, servers, events) as api:
        for _ in range(4):
            slug = data.draw(st.sampled_from([None, *world.artifacts]))
            topics = data.draw(
                st.none() | st.sets(st.sampled_from(sorted(codec.EVENTS)), min_size=1)
            )
            low = data.draw(st.none() | st.integers(0, last + 1))
            high = data.draw(st.none() | st.integers(low or 0, last + 2))
            actor = data.draw(st.sampled_from([None, BY.actor, "anonymous"]))
            oldest = data.draw(st.booleans())
            meant: dict[str, Any] = {"artifact": slug, "actor": actor}
            meant["topics"] = None if topics is None else sorted(topics)
            meant["from"] = None if low is None else {"position": str(low)}
            meant["to"] = None if high is None else {"position": str(high)}
            found = await _pages(
                api,
                filter=meant,
                oldestFirst=oldest,
                first=data.draw(st.sampled_from([1, 2, 7, 100])),
            )
            aliases = _led_to(events)
            expected = [
                position
                for position, one in enumerate(events, start=1)
                if (
                    slug is None
                    or one.originator_id == id_of(slug)
                    or id_of(slug) in aliases.get(position, ())
                )
                and (topics is None or one.topic in topics)
                and (low is None or position >= low)
                and (high is None or position <= high)
                and actor != "anonymous"
            ]
            positions = [int(node["position"]) for node in found]
            assert positions == (expected if oldest else expected[::-1])


@pytest.mark.parametrize(
    "meant",
    [
        {},
        {"topics": ["signal.observed", "artifact.retired"]},
        {"artifact": "thing-1"},
        {"actor": BY.actor},
        {"actor": BY.actor, "topics": ["price.observed"]},
    ],
)
async def test_pages_go_on_where_they_ended_while_writing_goes_on(
    api: Api, meant: dict[str, Any]
) -> None:
    commands = rich(30, measured=False)
    await projected(api.pool, await append(api.store, commands[:20]))
    found: list[int] = []
    after = None
    left = commands[20:]
    while True:
        asked = {"filter": meant, "oldestFirst": True, "first": 7, "after": after}
        page = (await ask_as(Role.AUDITOR, api, EVENTS, **asked))["events"]
        found += [int(edge["node"]["position"]) for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"] or after
        if left:
            await projected(api.pool, await append(api.store, [left.pop(0)]))
        elif not page["pageInfo"]["hasNextPage"]:
            break
    everything = await _pages(api, filter=meant)
    assert found == sorted(found)
    assert found == [int(node["position"]) for node in reversed(everything)]
    assert len(found) > 10


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (
            Asked(artifact_id=id_of("thing-2"), topics=("artifact.registered", "artifact.aliased")),
            lambda one: (
                one.slug == "thing-2" and one.topic in ("artifact.registered", "artifact.aliased")
            ),
        ),
        (
            Asked(actor=BY.actor, topics=("policy.adopted", "search.answered")),
            lambda one: one.topic in ("policy.adopted", "search.answered"),
        ),
        (Asked(actor="anonymous"), lambda one: False),
        (Asked(actor="nobody", topics=("price.observed",)), lambda one: False),
    ],
)
async def test_a_page_looks_through_so_many_events_and_then_says_where_to_go_on(
    api: Api, asked: Asked, meant: Callable[[Entry], bool], newest_first: bool
) -> None:
    await projected(api.pool, await append(api.store, rich(3)))
    asked = replace(asked, newest_first=newest_first, look_through=5, first=10)

    async def all_of(asked: Asked) -> tuple[list[int], list[int]]:
        found: list[Entry] = []
        sizes = []
        async with viewing(api.pool) as snapshot:
            while True:
                one = await queries.events(snapshot, asked)
                found += [entry for _, entry in one.page.items]
                sizes.append(len(one.page.items))
                if not one.page.more:
                    return [entry.position for entry in found], sizes
                asked = replace(asked, after=one.end)

    found, sizes = await all_of(asked)
    everything = Asked(newest_first=newest_first, first=100)
    async with viewing(api.pool) as snapshot:
        log = await queries.events(snapshot, everything)
    assert found == [entry.position for _, entry in log.page.items if meant(entry)]
    assert max(sizes) <= 5
    assert len(sizes) > 1 or asked.actor == "nobody"


async def test_events_can_be_asked_for_by_time(api: Api) -> None:
    for number in range(4):
        await api.store.append([artifact(f"thing-{number}")], BY)
    await projected(api.pool, 4)
    everything = await _pages(api, oldestFirst=True)
    times = [node["recordedAt"] for node in everything]
    assert len(set(times)) == 4
    for low in range(4):
        for high in range(low, 4):
            meant = {"from": {"time": times[low]}, "to": {"time": times[high]}}
            assert await _pages(api, filter=meant, oldestFirst=True) == everything[low : high + 1]
    assert await _pages(api, filter={"from": {"time": "2100-01-01T00:00:00Z"}}) == []
    assert await _pages(api, filter={"to": {"time": "2000-01-01T00:00:00Z"}}) == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"topics": []}, "empty"),
        ({"topics": ["price.observed", "price.guessed"]}, "price.guessed"),
        ({"artifact": "nobody"}, "nobody"),
        ({"artifact": "\0"}, "NUL"),
        ({"from": {"position": "3"}, "to": {"position": "2"}}, "swap them"),
        (
            {"from": {"time": "2026-01-02T00:00:00Z"}, "to": {"time": "2026-01-01T00:00:00Z"}},
            "swap",
        ),
        ({"from": {"time": "2026-01-02T00:00:00"}}, "time zone"),
        ({"from": {"time": "0001-01-01T00:00:00+14:00"}}, "calendar"),
        ({"from": {}}, "AsOf"),
        ({"from": {"position": "1", "time": "2026-01-02T00:00:00Z"}}, "AsOf"),
        ({"from": {"position": None}}, "non-null"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_clearly(
    still: Api, asked: dict[str, Any], says: str
) -> None:
    error = await still.error(EVENTS, filter=asked)
    wrong = "GRAPHQL_VALIDATION_FAILED" if says in ("AsOf", "non-null") else "BAD_USER_INPUT"
    assert error["extensions"]["code"] == ("UNKNOWN_ARTIFACT" if says == "nobody" else wrong)
    assert says in error["message"]


async def test_pages_that_make_no_sense_are_refused(api: Api) -> None:
    await projected(api.pool, await append(api.store, rich(1)))
    cursor = (await api.ask(EVENTS, first=1))["events"]["pageInfo"]["endCursor"]
    assert await api.code(EVENTS, after=cursor, oldestFirst=True) == "BAD_USER_INPUT"
    assert await api.code(EVENTS, after="nonsense") == "BAD_USER_INPUT"
    assert await api.code(EVENTS, first=0) == "BAD_USER_INPUT"
    assert await api.code(EVENTS, first=101) == "BAD_USER_INPUT"


# What differs, held against whole aggregates before and after.

Flat = dict[tuple[str, ...], Any]
WHOLE = ("PRICE", "SIGNAL")


def _flat(made: Artifact | None, aliases: set[str], slugs: dict[UUID, str]) -> Flat:
    """All that is said of an artifact, each thing by what it is about and which one it is."""
    if made is None:
        return {}
    status: dict[str, Any] = {"status": made.status.value}
    if made.into:
        status["into"] = slugs[made.into]
    found: Flat = {("STATUS", "status"): status}
    for name, value in made.facts.said().items():
        found["FACT", name] = codec.json_of(value)
    for key, can in made.capabilities.items():
        found["CAPABILITY", key] = can
    for line, asked in made.prices.items():
        per = "" if line.per is None else line.per.name
        found["PRICE", line.provider, per, line.tier or "", line.source] = asked
    for (name, source), seen in made.signals.items():
        found["SIGNAL", name.value, "", "", source] = seen
    for other in made.absorbed:
        found["ABSORBED", slugs[other]] = slugs[other]
    for other in made.told_apart:
        found["TOLD_APART", slugs[other]] = slugs[other]
    for alias in aliases:
        found["ALIAS", alias] = alias
    return found


def _seen_again(was: Any, now: Any) -> bool:
    if isinstance(was, Price) and isinstance(now, Price):
        return was.asks_the_same_as(now)
    if isinstance(was, Signal) and isinstance(now, Signal):
        return (was.value, was.method) == (now.value, now.method)
    return bool(was == now)


def _naive(before: Flat, after: Flat) -> list[tuple[Any, ...]]:
    """What differs, by comparing all with all."""
    found: list[tuple[Any, ...]] = []
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        if key[0] == "CAPABILITY" and was and now:
            found += [
                (key, name, codec.json_of(getattr(was, name)), codec.json_of(getattr(now, name)))
                for name in vars(now)
                if getattr(was, name) != getattr(now, name)
            ]
        elif not _seen_again(was, now):
            found.append((key, None, codec.json_of(was), codec.json_of(now)))
    return found


def _told(changes: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The same from an answer; a reason is no part of an aggregate's state."""

    def plain(value: Any) -> Any:
        return {k: v for k, v in value.items() if k != "reason"} if type(value) is dict else value

    found = []
    for one in changes:
        key: tuple[Any, ...] = (one["about"], one["name"])
        if one["about"] in WHOLE:
            key += (one["per"] or "", one["tier"] or "", one["source"])
        before, after = one["before"], one["after"]
        if one["about"] == "STATUS":
            before, after = plain(before), plain(after)
        assert one["kind"] == (
            "ADDED" if before is None else "REMOVED" if after is None else "CHANGED"
        )
        assert one["sentence"]
        found.append((key, one["field"], before, after))
    return found


def _sorted(changes: Sequence[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, changes))


class _States:
    """Every artifact of a world after each of its events, folded one after the other."""

    def __init__(self, world: World) -> None:
        self.slugs = {id_of(slug): slug for slug in (*world.artifacts, *world.aliases)}
        self.after: list[dict[UUID, Flat]] = [{}]
        made: dict[UUID, Any] = {}
        for one in world.events:
            id: Any = one.originator_id
            event = codec.decode(one.topic, id, one.originator_version, one.state)
            made[id] = event.mutate(made.get(id))
            aliases = {
                alias: led.artifact_id for alias, led in made.items() if isinstance(led, Alias)
            }
            self.after.append(
                {
                    id: _flat(
                        one,
                        {self.slugs[alias] for alias, to in aliases.items() if to == id},
                        self.slugs,
                    )
                    for id, one in made.items()
                    if isinstance(one, Artifact)
                }
            )


@settings(max_examples=30, deadline=None)
@given(worlds())
async def test_every_change_is_told_as_the_whole_artifact_before_and_after_says(
    clones: Clones, servers: Servers, world: World
) -> None:
    states = _States(world)
    query = f"""query ($slug: String!, $after: String) {{ artifacts(filter: {{
        statuses: [ACTIVE, RETIRED, MERGED]}}) {{ nodes {{ slug history(first: 100) {{
        nodes {{ {EVENT} }} pageInfo {{ hasNextPage }} }} }} }} }}"""
    query = query.replace("($slug: String!, $after: String) ", "")
    async with past(clones, servers, world.events) as api:
        answer = await api.ask(query)
    assert {node["slug"] for node in answer["artifacts"]["nodes"]} == set(world.artifacts)
    for node in answer["artifacts"]["nodes"]:
        id = id_of(node["slug"])
        assert not node["history"]["pageInfo"]["hasNextPage"]
        told = {int(entry["position"]): entry for entry in node["history"]["nodes"]}
        assert list(told) == sorted(told, reverse=True)
        for position in range(1, len(states.after)):
            before = states.after[position - 1].get(id, {})
            naive = _naive(before, states.after[position].get(id, {}))
            assert _sorted(_told(told[position]["changes"] if position in told else [])) == _sorted(
                naive
            )
            if position in told:
                assert told[position]["summary"]


@settings(max_examples=30, deadline=None)
@given(worlds(), st.data())
async def test_what_changed_is_what_differs_between_the_two_states(
    clones: Clones, servers: Servers, world: World, data: st.DataObject
) -> None:
    states = _States(world)
    last = len(world.events)
    async with past(clones, servers, world.events) as api:
        for _ in range(5):
            slug = data.draw(st.sampled_from(sorted(world.artifacts)))
            low = data.draw(st.integers(1, last))
            high = data.draw(st.integers(low, last))
            asked = {"from": {"position": str(low)}, "to": {"position": str(high)}}
            found = (await api.ask(CHANGED, slug=slug, **asked))["whatChanged"]
            assert (found["from"], found["to"]) == (str(low), str(high))
            assert found["artifact"]["slug"] == slug
            before, after = (states.after[at].get(id_of(slug), {}) for at in (low, high))
            assert _sorted(_told(found["changes"])) == _sorted(_naive(before, after))
            assert all(low < int(one["position"]) <= high for one in found["changes"])
            for at, rank in ((low, found["rank"]["before"]), (high, found["rank"]["after"])):
                row = await api.pool.fetchrow(
                    "SELECT position, score, place FROM rank_history WHERE artifact_id = $1"
                    " AND position <= $2 ORDER BY position DESC LIMIT 1",
                    id_of(slug),
                    at,
                )
                if rank is None:
                    assert row is None or row["place"] == 0
                else:
                    score = int(Decimal(rank["score"]).scaleb(6))
                    assert row is not None
                    assert (row["position"], row["score"], row["place"]) == (
                        int(rank["position"]),
                        score,
                        rank["place"],
                    )
