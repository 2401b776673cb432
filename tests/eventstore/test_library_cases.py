"""The `eventsourcing` library's own test cases against our store, and its tools on our history."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from eventsourcing.application import Repository
from eventsourcing.persistence import EventStore
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.tests import persistence as library

from matchgraph.domain.artifact import Alias, Artifact, id_of
from matchgraph.eventstore.codec import CatalogMapper
from matchgraph.eventstore.store import Request, Store
from tests.eventstore.histories import artifact, capability, price, rich, stored_events
from tests.eventstore.recorder import OurAggregateRecorder, OurApplicationRecorder


class TestTheStoreRecordsAggregates(library.AggregateRecorderTestCase):
    @pytest.fixture(autouse=True)
    def recorder(self, url: str) -> Iterator[None]:
        self._recorder = OurAggregateRecorder(url)
        yield
        self._recorder.close()

    def create_recorder(self) -> OurAggregateRecorder:
        return self._recorder


class TestTheStoreRecordsApplications(library.ApplicationRecorderTestCase[OurApplicationRecorder]):
    @pytest.fixture(autouse=True)
    def recorder(self, url: str) -> Iterator[None]:
        self._recorder = OurApplicationRecorder(url)
        yield
        self._recorder.close()

    def create_recorder(self) -> OurApplicationRecorder:
        return self._recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTheStoreNeverInterleavesCommands(library.NonInterleavingNotificationIDsBaseCase):
    @pytest.fixture(autouse=True)
    def recorder(self, url: str) -> Iterator[None]:
        self._recorder = OurApplicationRecorder(url)
        yield
        self._recorder.close()

    def create_recorder(self) -> OurApplicationRecorder:
        return self._recorder


@pytest.fixture
def library_recorder(url: str) -> Iterator[PostgresApplicationRecorder]:
    """The library's own recorder, over psycopg, on a database of ours."""
    parts = urlsplit(url)
    datastore = PostgresDatastore(
        dbname=parts.path.lstrip("/"),
        host=parse_qs(parts.query)["host"][0] if parts.query else parts.hostname or "",
        port=parts.port or "5432",
        user=parts.username or "postgres",
        password=parts.password or "",
    )
    yield PostgresApplicationRecorder(datastore, events_table_name="stored_events")
    datastore.close()


async def test_the_library_reads_an_artifact_that_we_recorded(
    store: Store, request_by: Request, library_recorder: PostgresApplicationRecorder
) -> None:
    made = artifact(vendor="acme")
    made.add_capability(capability())
    made.observe_price(price("10.50"))
    alias = Alias.of("another", made.id)
    await store.append([made, alias], request_by)

    repository = Repository(EventStore(CatalogMapper(), library_recorder))
    read: Artifact = repository.get(made.id)
    assert read == made
    assert read.prices == made.prices
    read_too: Alias = repository.get(alias.id)
    assert read_too == alias
    first: Artifact = repository.get(made.id, version=1)
    assert (first.version, first.capabilities) == (1, {})


async def test_the_library_follows_every_event_in_our_order(
    store: Store, request_by: Request, library_recorder: PostgresApplicationRecorder
) -> None:
    commands = rich(1)
    for events in commands:
        await store.append_stored(events, request_by)

    mapper = CatalogMapper()
    notifications = library_recorder.select_notifications(start=None, limit=1000)
    assert [n.id for n in notifications] == list(range(1, len(notifications) + 1))
    ours = [recorded.event for recorded in await store.read(0)]
    assert [mapper.to_domain_event(n) for n in notifications] == ours
    assert library_recorder.max_notification_id() == await store.head()


async def test_what_the_librarys_mapper_writes_is_what_we_write(
    store: Store, request_by: Request
) -> None:
    made = artifact()
    made.observe_price(price())
    pending = list(made.pending_events)
    mapped = [CatalogMapper().to_stored_event(event) for event in pending]
    assert mapped == stored_events(made)
    await store.append_stored(mapped, request_by)
    assert await store.load(id_of("parser")) == made


async def test_the_library_cannot_write_our_history_past_our_door(
    library_recorder: PostgresApplicationRecorder, url: str
) -> None:
    with psycopg.connect(url) as db, pytest.raises(psycopg.Error, match="event_append"):
        db.execute(
            "INSERT INTO stored_events SELECT gen_random_uuid(), 1, 'artifact.retired', '{}', 1"
        )
    assert library_recorder.max_notification_id() is None
