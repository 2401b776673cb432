"""Reading: pages, followers, aggregates, and events of every age."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings

from matchgraph.domain import calibration, policy
from matchgraph.domain.aggregate import Aggregate, AggregateCreated, AggregateEvent, event
from matchgraph.domain.artifact import Alias, Artifact, Facts, Kind, id_of
from matchgraph.domain.calibration import Calibration, MatchMean, Scale, Scales
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.key import Key
from matchgraph.domain.key import id_of as key_id_of
from matchgraph.domain.need import Ceiling, Need, Where
from matchgraph.domain.policy import KindPolicy, Policy
from matchgraph.domain.price import Price, PriceLine, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.role import Role
from matchgraph.domain.search import (
    Discard,
    DiscardedReport,
    InPlain,
    Outcome,
    Sealed,
    Search,
    Served,
)
from matchgraph.domain.searcher import Searcher
from matchgraph.domain.searcher import id_of as searcher_id
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore import codec
from matchgraph.eventstore.appender import Appender
from matchgraph.eventstore.codec import Undecodable, UnknownTopic
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import APPENDED, PROJECTED, Recorded, Request, Store, stored
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.histories import (
    World,
    artifact,
    capability,
    day,
    plain,
    price,
    rich,
    stored_events,
    until,
    worlds,
)

RECORDED = Path(__file__).parent / "recorded"


# Pages


async def test_an_empty_log_reads_as_nothing(store: Store) -> None:
    assert await store.read(0) == []


async def test_a_page_begins_after_a_position_and_holds_as_many_as_asked(
    store: Store, request_by: Request
) -> None:
    events = [plain() for _ in range(10)]
    await store.append_stored(events, request_by)
    for after, limit, expected in [
        (0, 4, events[:4]),
        (4, 4, events[4:8]),
        (8, 4, events[8:]),
        (10, 4, []),
        (99, 4, []),
        (0, 2_000, events),
    ]:
        page = await store.read(after, limit)
        assert [stored(recorded.event) for recorded in page] == expected
        assert [recorded.position for recorded in page] == list(
            range(after + 1, after + 1 + len(expected))
        )


async def test_an_event_comes_back_with_who_asked_for_it_and_when(store: Store, pool: Pool) -> None:
    before = await pool.fetchval("SELECT clock_timestamp()")
    by = Request(actor="curator", request_id="r-1", idempotency_key="k-1")
    made = artifact()
    pending = made.pending_events[0]
    assert isinstance(pending, Artifact.Registered)
    await store.append([made], by)
    (read,) = await store.read(0)
    after = await pool.fetchval("SELECT clock_timestamp()")
    assert before <= read.recorded_at <= after
    assert read == Recorded(
        position=1,
        event=pending,
        recorded_at=read.recorded_at,
        actor="curator",
        request_id="r-1",
        idempotency_key="k-1",
    )


# Aggregates


async def test_what_is_not_there_loads_as_none(store: Store) -> None:
    assert await store.load(uuid4()) is None
    assert await store.load_many([uuid4(), uuid4()]) == {}
    assert await store.load_many([]) == {}


async def test_several_aggregates_load_at_once_as_they_stand(
    store: Store, request_by: Request
) -> None:
    one, two = artifact("one"), artifact("two")
    alias = Alias.of("uno", one.id)
    await store.append([one, two, alias], request_by)
    one.add_capability(capability())
    one.observe_price(price())
    alias.remove()
    await store.append([one, alias], request_by)
    found = await store.load_many([one.id, two.id, alias.id, uuid4()])
    assert found == {one.id: one, two.id: two, alias.id: alias}
    assert found[one.id].version == 3
    assert found[one.id].pending_events == []


# Followers


@asynccontextmanager
async def patient_store(url: str, pool: Pool) -> AsyncIterator[Store]:
    """A store whose followers look by themselves only every ten minutes."""
    async with (
        Appender(url) as appender,
        Listener(url, (APPENDED, PROJECTED), poll=600) as listener,
    ):
        yield Store(pool, appender, listener)


async def next_page(follower: AsyncIterator[list[Recorded]]) -> list[int]:
    page = await asyncio.wait_for(anext(follower), 10)
    return [recorded.position for recorded in page]


async def test_a_follower_gets_the_backlog_in_pages_and_then_what_comes(
    url: str, pool: Pool, request_by: Request
) -> None:
    async with patient_store(url, pool) as store:
        await store.append_stored([plain() for _ in range(5)], request_by)
        follower = store.follow(1, limit=3)
        assert await next_page(follower) == [2, 3, 4]
        assert await next_page(follower) == [5]
        for position in (6, 7, 8):
            waiting = asyncio.create_task(next_page(follower))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await store.append_stored([plain()], request_by)
            assert await waiting == [position]
        waiting = asyncio.create_task(next_page(follower))
        await asyncio.sleep(0.05)
        await store.append_batch([plain() for _ in range(4)], request_by)
        assert await waiting == [9, 10, 11]
        assert await next_page(follower) == [12]


async def test_every_follower_is_woken(url: str, pool: Pool, request_by: Request) -> None:
    async with patient_store(url, pool) as store:
        followers = [store.follow(0) for _ in range(20)]
        waiting = [asyncio.create_task(next_page(follower)) for follower in followers]
        await asyncio.sleep(0.1)
        await store.append_stored([plain()], request_by)
        assert await asyncio.gather(*waiting) == [[1]] * 20


async def test_a_follower_outlives_the_connection_that_listens(
    servers: Servers, url: str, pool: Pool, request_by: Request
) -> None:
    admin = await asyncpg.connect(servers.database_url)
    database = await pool.fetchval("SELECT current_database()")
    async with patient_store(url, pool) as store:
        await store.append_stored([plain()], request_by)
        follower = store.follow(0)
        assert await next_page(follower) == [1]
        for position in (2, 4, 6):
            waiting = asyncio.create_task(next_page(follower))
            await asyncio.sleep(0.05)
            await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
            assert await admin.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = $1 AND application_name = 'matchgraph listener'",
                database,
            )
            # Nobody listens now: what is appended meanwhile is found on listening again.
            await store.append_stored([plain()], request_by)
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
            assert await waiting == [position]
            await store.append_stored([plain()], request_by)
            assert await next_page(follower) == [position + 1]
    await admin.close()


async def test_a_follower_outlives_a_database_that_gives_its_question_up(
    store: Store, url: str, pool: Pool, request_by: Request
) -> None:
    await store.append_stored([plain()], request_by)
    admin, watching = await asyncpg.connect(url), await asyncpg.connect(url)
    cancel = (
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND application_name = 'matchgraph store'"
    )
    async with admin.transaction():
        await admin.execute("LOCK TABLE event")
        waiting = asyncio.create_task(next_page(store.follow(0)))
        asking = [asyncio.create_task(store.head()), asyncio.create_task(store.read(0))]
        for _ in range(3):
            await until(lambda: watching.fetchval(cancel))
            await asyncio.sleep(0.05)
        for given_up in asking:
            with pytest.raises(Unavailable):
                await asyncio.wait_for(given_up, 3)
        assert not waiting.done()
    await admin.close()
    await watching.close()
    assert await waiting == [1]


async def test_a_follower_looks_by_itself_when_nobody_wakes_it(
    url: str, pool: Pool, request_by: Request
) -> None:
    # On a channel that is never notified.
    async with Appender(url) as appender, Listener(url, ("nothing",), poll=0.1) as listener:
        store = Store(pool, appender, listener)
        follower = store.follow(0)
        waiting = asyncio.create_task(next_page(follower))
        await asyncio.sleep(0.05)
        await store.append_stored([plain()], request_by)
        assert await waiting == [1]


async def test_followers_see_each_event_once_in_order_while_many_write(
    store: Store, request_by: Request
) -> None:
    total = 400

    async def tail(limit: int) -> list[tuple[int, StoredEvent]]:
        seen: list[tuple[int, StoredEvent]] = []
        async for page in store.follow(0, limit):
            assert len(page) <= limit
            seen += [(recorded.position, stored(recorded.event)) for recorded in page]
            if len(seen) >= total:
                break
        return seen

    readers = [asyncio.create_task(tail(limit)) for limit in (1, 7, 2_000)]
    written: dict[int, StoredEvent] = {}

    async def write() -> None:
        for _ in range(total // 40):
            some = [plain(), plain()]
            position = await store.append_stored(some, request_by)
            written.update(zip((position - 1, position), some, strict=True))

    await asyncio.gather(*(write() for _ in range(20)))
    for reader in readers:
        assert await asyncio.wait_for(reader, 20) == sorted(written.items())


# Events to rows and back


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_every_event_the_domain_decides_decodes_to_itself(world: World) -> None:
    for kept in world.events:
        assert isinstance(kept.originator_id, UUID)
        read = codec.decode(kept.topic, kept.originator_id, kept.originator_version, kept.state)
        assert stored(read) == kept
        assert type(read) is codec.EVENTS[kept.topic]
    for one in (*world.artifacts.values(), *world.aliases.values()):
        again: Any = None
        for kept in world.events:
            if kept.originator_id == one.id:
                read = codec.decode(kept.topic, one.id, kept.originator_version, kept.state)
                again = read.mutate(again)
        assert again == one
    assert codec.current(kept.state for kept in world.events) == [
        kept.state for kept in world.events
    ]


PARSER = UUID("cdc49e7f-6210-5aef-acb8-b2ac2e96f5a7")
TWO = UUID("7a0752e7-3988-5d45-bbe9-054bae5a2abe")
LATEST = UUID("5eb82a0a-a86e-5694-aa22-e7923ecea3ff")
SEARCH = UUID("0197f3a0-52ce-7cc1-9d7b-0c6f3c1a8e55")
DISCARDED = UUID("4f1c1c8e-7b1f-4f5e-9a55-1f2f7d9c0b11")
SOURCE = "https://example.org"
CLUSTER = UUID("9b2f2a76-5d0e-4b43-8f5e-0f4a6c1d2e3f")
SEARCHER = "9f86d081884c7d659a2feaa0c55ad015"
SEARCHER_KEY = UUID("f3b1c2d4-0a5e-4c6b-9d7f-8e1a2b3c4d5e")
SERVED = Served(artifact_id=PARSER, capability="parse-tables", position=1, score=812_345)
TOO = Served(artifact_id=TWO, position=2, score=0, explored=True)


def at(microsecond: int) -> datetime:
    return datetime(2026, 11, 23, 5, 5, 9, microsecond, tzinfo=UTC)


def said(method: Method, on: int) -> Provenance:
    return Provenance(method=method, source=SOURCE, observed_at=day(on))


# What the files in recorded/ mean. A file is what the store held under that topic and version
# when it was current; neither the files nor these lines ever change, except for the class names.
KEY = key_id_of("aaaabbbbcccc")
SAMPLES: dict[str, tuple[UUID, type[AggregateEvent], dict[str, Any]]] = {
    "artifact.registered.v1": (
        PARSER,
        Artifact.Registered,
        {
            "timestamp": at(521664),
            "originator_topic": "artifact",
            "slug": "parser",
            "kind": Kind.MODEL,
            "facts": Facts(
                name="Parser 文",
                description="Reads documents.\nAll of them.",
                vendor="Acme",
                family="parser",
                licence="Apache-2.0",
                open_weights=True,
                self_hostable=False,
                homepage="https://acme.example/parser",
                released=date(2026, 2, 28),
                knowledge_cutoff=date(2025, 12, 31),
                context_tokens=1_000_000,
                output_tokens=64_000,
                input_types=(DataType.TEXT, DataType.PDF),
                output_types=(DataType.TABLE,),
            ),
            "provenance": said(Method.DECLARED, 0),
        },
    ),
    "artifact.described.v1": (
        PARSER,
        Artifact.Described,
        {
            "timestamp": at(552427),
            "facts": Facts(description="Reads documents.", open_weights=False),
            "provenance": said(Method.DECLARED, 1),
        },
    ),
    "capability.added.v1": (
        PARSER,
        Artifact.CapabilityAdded,
        {
            "timestamp": at(552603),
            "capability": Capability(
                key="parse-tables",
                name="Parse tables",
                description="Reads tables out of documents.",
                provenance=said(Method.OBSERVED, 0),
                unique="Merged cells",
                versus_alternatives="Slower, and right more often",
                intents=("read an invoice",),
                best_for=("scans",),
                limitations=("handwriting",),
                requires=("an API key",),
                input_types=(DataType.PDF, DataType.IMAGE),
                output_types=(DataType.TABLE,),
                tags=("ocr", "tables"),
            ),
        },
    ),
    "capability.revised.v1": (
        PARSER,
        Artifact.CapabilityRevised,
        {
            "timestamp": at(556604),
            "capability": Capability(
                key="parse-tables",
                name="Parse tables",
                description="Reads tables.",
                provenance=said(Method.DECLARED, 1),
            ),
        },
    ),
    "capability.retired.v1": (
        PARSER,
        Artifact.CapabilityRetired,
        {"timestamp": at(556709), "key": "parse-tables"},
    ),
    "price.observed.v1": (
        PARSER,
        Artifact.PriceObserved,
        {
            "timestamp": at(556871),
            "price": Price(
                provider="acme",
                pricing=Pricing.PAID,
                source="https://acme.example/prices",
                observed_at=day(0),
                amount=Decimal("0.00000015"),
                currency="USD",
                per=Unit.INPUT_TOKEN,
                tier="batch",
            ),
        },
    ),
    "price.withdrawn.v1": (
        PARSER,
        Artifact.PriceWithdrawn,
        {
            "timestamp": at(556959),
            "line": PriceLine("acme", Unit.INPUT_TOKEN, "batch", "https://acme.example/prices"),
            "observed_at": day(1),
        },
    ),
    "signal.observed.v1": (
        PARSER,
        Artifact.SignalObserved,
        {
            "timestamp": at(557070),
            "signal": Signal(
                name=SignalName.STARS,
                value=Decimal("1.2E+3"),
                source="github",
                observed_at=day(0),
                method=Method.OBSERVED,
            ),
        },
    ),
    "artifact.merged.v1": (PARSER, Artifact.Merged, {"timestamp": at(557148), "into": TWO}),
    "artifact.unmerged.v1": (PARSER, Artifact.Unmerged, {"timestamp": at(557213)}),
    "artifact.absorbed.v1": (PARSER, Artifact.Absorbed, {"timestamp": at(557148), "other": TWO}),
    "artifact.parted.v1": (PARSER, Artifact.Parted, {"timestamp": at(557213), "other": TWO}),
    "artifact.told_apart.v1": (PARSER, Artifact.ToldApart, {"timestamp": at(557250), "other": TWO}),
    "artifact.retired.v1": (
        PARSER,
        Artifact.Retired,
        {"timestamp": at(557277), "reason": "superseded"},
    ),
    "artifact.reinstated.v1": (PARSER, Artifact.Reinstated, {"timestamp": at(557337)}),
    "artifact.aliased.v1": (
        LATEST,
        Alias.Aliased,
        {
            "timestamp": at(557481),
            "originator_topic": "alias",
            "slug": "parser-latest",
            "artifact_id": PARSER,
        },
    ),
    "artifact.unaliased.v1": (LATEST, Alias.Unaliased, {"timestamp": at(557578)}),
    "artifact.realiased.v1": (
        LATEST,
        Alias.Realiased,
        {"timestamp": at(557650), "artifact_id": TWO},
    ),
    "policy.adopted.v1": (
        policy.ID,
        Policy.Adopted,
        {
            "timestamp": at(557650),
            "originator_topic": "policy",
            "kinds": (
                KindPolicy(
                    kind=Kind.MCP,
                    adoption=Decimal("0.20"),
                    quality=Decimal("0.25"),
                    ecosystem=Decimal("0.10"),
                    match_graph=Decimal("0.30"),
                    freshness=Decimal("0.15"),
                    half_life=180,
                ),
            ),
        },
    ),
    "policy.adopted.v2": (
        policy.ID,
        Policy.Adopted,
        {
            "timestamp": at(557650),
            "originator_topic": "policy",
            "kinds": (
                KindPolicy(
                    kind=Kind.MCP,
                    adoption=Decimal("0.20"),
                    quality=Decimal("0.25"),
                    ecosystem=Decimal("0.10"),
                    match_graph=Decimal("0.30"),
                    freshness=Decimal("0.15"),
                    half_life=180,
                ),
            ),
        },
    ),
    "ranks.calibrated.v1": (
        calibration.ID,
        Calibration.Calibrated,
        {
            "timestamp": at(557650),
            "originator_topic": "calibration",
            "scales": Scales(
                day=date(2026, 11, 23),
                up_to=4711,
                scales=(
                    Scale(signal=SignalName.STARS, p99=Decimal("120000"), observed=321),
                    Scale(
                        signal=SignalName.HOSTS,
                        p99=Decimal("22.5"),
                        observed=25,
                        kind=Kind.MODEL,
                    ),
                ),
                match_means=(MatchMean(kind=Kind.MODEL, mean=Decimal("0.22")),),
            ),
        },
    ),
    "search.answered.v1": (
        SEARCH,
        Search.Answered,
        {
            "timestamp": at(557650),
            "originator_topic": "search",
            "words": None,
            "cluster": CLUSTER,
            "searcher": SEARCHER,
            "served": (SERVED, TOO),
            "in_plain": InPlain(
                need=Need(
                    text="read tables 文, not by Acme",
                    like=("parser",),
                    where=Where(
                        kinds=(Kind.CLI,),
                        free=True,
                        price_ceilings=(Ceiling(amount=Decimal("0.000001"), per=Unit.INPUT_TOKEN),),
                        output_types=(DataType.TABLE,),
                        not_vendors=("Acme",),
                        released_since=date(2026, 1, 1),
                    ),
                ),
                label="read tables 文",
            ),
        },
    ),
    "search.answered.v2": (
        SEARCH,
        Search.Answered,
        {
            "timestamp": at(557650),
            "originator_topic": "search",
            "words": Sealed(key=SEARCHER_KEY, need=b"\x00need\xff", label=b"\xfflabel"),
            "cluster": CLUSTER,
            "searcher": SEARCHER,
            "served": (SERVED, TOO),
            "in_plain": None,
        },
    ),
    "search.continued.v1": (
        SEARCH,
        Search.Continued,
        {
            "timestamp": at(557650),
            "searcher": SEARCHER,
            "cluster": CLUSTER,
            "served": (Served(artifact_id=LATEST, capability="k", position=21, score=1_000),),
        },
    ),
    "search.continued.v2": (
        SEARCH,
        Search.Continued,
        {
            "timestamp": at(557650),
            "searcher": SEARCHER,
            "cluster": CLUSTER,
            "served": (Served(artifact_id=LATEST, capability="k", position=21, score=1_000),),
        },
    ),
    "outcome.reported.v1": (
        SEARCH,
        Search.OutcomeReported,
        {
            "timestamp": at(557650),
            "cluster": CLUSTER,
            "searcher": SEARCHER,
            "served": SERVED,
            "outcome": Outcome.CHOSEN,
            "before": Outcome.CLICKED,
        },
    ),
    "outcome.reported.v2": (
        SEARCH,
        Search.OutcomeReported,
        {
            "timestamp": at(557650),
            "cluster": CLUSTER,
            "searcher": SEARCHER,
            "served": SERVED,
            "outcome": Outcome.CHOSEN,
            "before": Outcome.CLICKED,
        },
    ),
    "outcome.discarded.v1": (
        DISCARDED,
        DiscardedReport.Recorded,
        {
            "timestamp": at(557650),
            "originator_topic": "discarded_report",
            "reason": Discard.DUPLICATE,
            "searcher": "60303ae22b998861bce3b28f33eec1be",
            "outcome": Outcome.CLICKED,
            "report": "2c26b46b68ffc68ff99b453c1d304134",
            "search_id": SEARCH,
            "artifact_id": PARSER,
        },
    ),
    "key.issued.v1": (
        KEY,
        Key.Issued,
        {
            "timestamp": at(521664),
            "originator_topic": "key",
            "key": "aaaabbbbcccc",
            "name": "Ann",
            "role": Role.CURATOR,
            "digest": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            "expires": day(400),
        },
    ),
    "key.revoked.v1": (KEY, Key.Revoked, {"timestamp": at(552427)}),
    "searcher.forgotten.v1": (
        searcher_id(SEARCHER),
        Searcher.Forgotten,
        {
            "timestamp": at(557650),
            "originator_topic": "searcher",
            "searcher": SEARCHER,
            "key": SEARCHER_KEY,
        },
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_recorded_sample_means_what_it_always_meant(name: str) -> None:
    id, cls, values = SAMPLES[name]
    state = (RECORDED / f"{name}.json").read_bytes()
    topic, _, version = name.rpartition(".v")
    expected = cls(originator_id=id, originator_version=3, **values)
    read = codec.decode(topic, id, 3, state)
    assert type(read) is cls
    assert vars(read) == vars(expected)
    if int(version) == codec.version_of(cls):
        assert codec.encode(expected) == state, "what is written changed without a new version"


def test_every_version_of_every_event_has_a_recorded_sample() -> None:
    wanted = {
        f"{topic}.v{version}"
        for topic, cls in codec.EVENTS.items()
        for version in range(1, codec.version_of(cls) + 1)
    }
    kept = {path.name.removesuffix(".json") for path in RECORDED.iterdir()}
    assert wanted - kept == set(), "record a sample of the new version"
    assert kept - wanted == set(), "history still holds these; their events may not go"
    assert kept == set(SAMPLES)


def test_ids_of_slugs_never_change() -> None:
    assert id_of("parser") == PARSER
    assert id_of("parser-two") == TWO
    assert id_of("parser-latest") == LATEST


# Shapes that move on


class Parcel(Aggregate):
    """Something whose events have changed their shapes since: weighed is at version 3."""

    TOPIC = "parcel"

    class Posted(AggregateCreated):
        TOPIC = "parcel.posted"

    class Weighed(AggregateEvent):
        TOPIC = "parcel.weighed"
        class_version = 3
        grams: int
        scale: str | None

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """v1 held pounds."""
            state["grams"] = round(Decimal(state.pop("pounds")) * Decimal("453.59237"))

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            """v2 called the scale a device, and said so always."""
            device = state.pop("device", None)
            state["scale"] = None if device == "unknown" else device

    @event(Posted)
    def __init__(self) -> None:
        self.grams = 0

    @event(Weighed)
    def weigh(self, grams: int, scale: str | None) -> None:
        self.grams = grams


PARCELS: dict[str, type[AggregateEvent]] = {
    "parcel.posted": Parcel.Posted,
    "parcel.weighed": Parcel.Weighed,
}
ID = UUID(int=7)
HEAD = '"id":"00000000-0000-0000-0000-000000000007","timestamp":"2026-01-01T00:00:00Z"'


def weighed(version: str, rest: str) -> bytes:
    return f'{{"type":"parcel.weighed{version}",{HEAD},{rest}}}'.encode()


@pytest.mark.parametrize(
    ("state", "grams", "scale"),
    [
        (weighed("", '"pounds":"2"'), 907, None),
        (weighed("@2", '"grams":907,"device":"unknown"'), 907, None),
        (weighed("@2", '"grams":907,"device":"left"'), 907, "left"),
        (weighed("@3", '"grams":907,"scale":"left"'), 907, "left"),
        (weighed("@3", '"grams":907'), 907, None),
    ],
)
def test_an_older_shape_is_read_as_the_newest(state: bytes, grams: int, scale: str | None) -> None:
    read = codec.decode("parcel.weighed", ID, 2, state, PARCELS)
    values: dict[str, Any] = {"timestamp": day(0), "grams": grams, "scale": scale}
    expected = Parcel.Weighed(originator_id=ID, originator_version=2, **values)
    assert (type(read), vars(read)) == (Parcel.Weighed, vars(expected))
    (newest,) = codec.current([state], PARCELS)
    assert codec.decode("parcel.weighed", ID, 2, newest, PARCELS) == read
    assert newest == weighed("@3", f'"grams":{grams}' + (f',"scale":"{scale}"' if scale else ""))


@pytest.mark.parametrize("version", ["@4", "@40"])
def test_a_shape_newer_than_this_release_is_refused_by_name(version: str) -> None:
    state = weighed(version, '"grams":907,"scale":"left"')
    with pytest.raises(UnknownTopic, match=f"parcel.weighed{version}"):
        codec.decode("parcel.weighed", ID, 2, state, PARCELS)
    with pytest.raises(UnknownTopic, match=f"parcel.weighed{version}"):
        codec.current([state], PARCELS)


@pytest.mark.parametrize(
    "state",
    [
        weighed("", '"pounds":"heavy"'),
        weighed("", '"grams":1'),
        weighed("@2", '"device":"left"'),
        weighed("@x", '"grams":1'),
        weighed("@3", '"grams":"no number"'),
    ],
)
def test_an_older_shape_that_is_broken_is_undecodable(state: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.decode("parcel.weighed", ID, 2, state, PARCELS)


async def test_a_policy_from_before_there_were_versions_of_the_formula_ranks_by_the_first(
    url: str, store: Store, pool: Pool, request_by: Request
) -> None:
    """In a page of history as it was recorded, read by projections and by commands."""
    events = [
        StoredEvent(policy.ID, version, "policy.adopted", (RECORDED / f"{name}.json").read_bytes())
        for version, name in enumerate(("policy.adopted.v1", "policy.adopted.v2"), start=1)
    ]
    await store.append_stored(events, request_by)
    await project(url, store)
    rows = await pool.fetch("SELECT position, kind, half_life, formula FROM rank_policy ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, "mcp", 180, 1), (2, "mcp", 180, 1)]
    known = await store.load(policy.ID)
    assert isinstance(known, Policy)
    assert known.kinds[Kind.MCP].formula == 1


# What cannot be read


GARBAGE = [
    b"",
    b"garbage",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"{}",
    b'{"type":5}',
    b'{"type":"artifact.retired"}',
    b'{"type":"artifact.retired","id":"no id","timestamp":"2026-01-01T00:00:00Z","reason":"r"}',
    b'{"type":"artifact.retired","id":"cdc49e7f-6210-5aef-acb8-b2ac2e96f5a7","reason":"r"}',
    b'{"type":"artifact.reinstated","id":"cdc49e7f-6210-5aef-acb8-b2ac2e96f5a7",'
    b'"timestamp":"2026-01-01T00:00:00Z"}',
    b'{"type":"artifact.retired","id":"cdc49e7f-6210-5aef-acb8-b2ac2e96f5a7",'
    b'"timestamp":"2026-01-01T00:00:00Z","reason":7}',
    b'{"type":"artifact.retired","x":' + b"[" * 100_000,
]


@pytest.mark.parametrize("state", GARBAGE, ids=lambda state: state[:40].decode("latin-1"))
def test_garbage_is_undecodable_and_not_another_fault(state: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.decode("artifact.retired", PARSER, 1, state)


@pytest.mark.parametrize("state", GARBAGE[:7], ids=lambda state: state[:40].decode("latin-1"))
def test_garbage_has_no_current_form(state: bytes) -> None:
    with pytest.raises(Undecodable):
        codec.current([state])


def every_way_to_read(store: Store, id: UUID) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: store.load(id),
        lambda: store.load_many([id]),
        lambda: store.read(0),
        lambda: anext(store.follow(0)),
    ]


async def test_an_event_of_a_newer_release_is_refused_by_name_however_it_is_read(
    store: Store, request_by: Request
) -> None:
    made = artifact()
    state = b'{"type":"artifact.levitated","id":"%s"}' % str(made.id).encode()
    levitated = StoredEvent(made.id, 2, "artifact.levitated", state)
    await store.append_stored([*stored_events(made), levitated], request_by)
    for read in every_way_to_read(store, made.id):
        with pytest.raises(UnknownTopic, match=r"artifact\.levitated") as refused:
            await read()
        assert refused.value.tag == "artifact.levitated"
    assert len(await store.read(0, limit=1)) == 1


async def test_a_broken_event_is_undecodable_however_it_is_read(
    store: Store, request_by: Request
) -> None:
    id = uuid4()
    await store.append_stored([replace(plain(id), state=b"garbage")], request_by)
    for read in every_way_to_read(store, id):
        with pytest.raises(Undecodable):
            await read()


async def test_a_rich_history_is_read_in_pages_of_any_size_alike(
    store: Store, request_by: Request
) -> None:
    for events in rich(2):
        await store.append_stored(events, request_by)
    whole = await store.read(0)
    assert len({type(recorded.event) for recorded in whole}) == len(codec.EVENTS)
    for limit in (1, 2, 7):
        found: list[Recorded] = []
        while page := await store.read(len(found), limit):
            found += page
        assert found == whole


async def test_the_store_keeps_a_page_of_history_as_one_array(
    store: Store, pool: Pool, request_by: Request
) -> None:
    """As the projections read it, and as docs promise it to programs in other languages."""
    from matchgraph.projections.runner import read_page

    events = stored_events(artifact())
    await store.append_stored(events, request_by)
    async with pool.acquire() as db:
        page = await read_page(db, 0, 10)  # type: ignore[arg-type]
        assert page is not None
        assert (page.first, page.last) == (1, 1)
        assert page.json == b"[" + events[0].state + b"]"
        assert await read_page(db, 1, 10) is None  # type: ignore[arg-type]


def test_small_amounts_are_written_without_an_exponent() -> None:
    known = Artifact.register(
        "parser",
        Kind.CLI,
        Facts(name="Parser"),
        Provenance(
            method=Method.DECLARED, source="s", observed_at=datetime(2026, 1, 1, tzinfo=UTC)
        ),
    )
    known.observe_price(
        Price(
            provider="p",
            pricing=Pricing.PAID,
            source="s",
            observed_at=datetime(2026, 1, 1, tzinfo=UTC),
            amount=Decimal("0.00000015"),
            currency="USD",
            per=Unit.INPUT_TOKEN,
        )
    )
    observed = known.pending_events[-1]
    assert isinstance(observed, Artifact.PriceObserved)
    assert b'"amount":"0.00000015"' in codec.encode(observed)
