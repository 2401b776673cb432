"""Dossiers: read together, kept until something touches the artifact, and of one moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import Store
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.queries.dossier import Dossiers, Moved, Reading, open_dossiers
from matchgraph.queries.touched import Touched
from tests.eventstore.histories import artifact, capability, price
from tests.projections.tables import BY


class Told:
    """Dossiers, the read models that they are of, and what is touched, each moved on by hand."""

    def __init__(self, url: str, store: Store, touched: Touched, dossiers: Dossiers) -> None:
        self._url = url
        self._store = store
        self.touched = touched
        self.dossiers = dossiers

    async def project(self) -> None:
        """Takes the read models to the head of the log."""
        db = await connect(self._url, "test projector")
        while await Runner(self._url, self._store.listener, PROJECTIONS).advance(db):
            pass
        await db.close()

    async def hear(self) -> None:
        """Has it known what was touched up to where the read models stand."""
        db = await connect(self._url, "test")
        await self.touched.look(db)
        await db.close()

    def reading(self) -> Reading:
        """What is read as of what is known now."""
        assert self.touched.at is not None
        return Reading(self.dossiers, self.touched.at)


@asynccontextmanager
async def telling(url: str, store: Store, *, most: int = 100) -> AsyncIterator[Told]:
    touched = Touched(url, store.listener, certain=600)
    async with open_dossiers(url, touched, most=most) as dossiers:
        told = Told(url, store, touched, dossiers)
        await told.project()
        await told.hear()
        yield told


async def test_who_asks_at_the_same_time_shares_statements(url: str, store: Store) -> None:
    await store.append([artifact(f"thing-{number}") for number in range(30)], BY)
    async with telling(url, store, most=0) as told:
        asked: list[str] = []
        connections = [await told.dossiers.pool.acquire() for _ in range(2)]
        for connection in connections:
            connection.add_query_logger(lambda record: asked.append(record.query))
        found = asyncio.gather(
            *(told.reading().find(f"thing-{number % 30}") for number in range(90))
        )
        for connection in connections:
            await told.dossiers.pool.release(connection)
        slugs = [one.listing.slug for one in await found if one is not None]
        assert slugs == [f"thing-{number % 30}" for number in range(90)]
        assert sum("led" in query for query in asked) <= 2


async def test_whoever_asks_as_the_last_statement_ends_is_answered(url: str, store: Store) -> None:
    await store.append([artifact(f"thing-{number}") for number in range(3)], BY)
    async with telling(url, store, most=0) as told:

        async def ask(number: int) -> None:
            for _ in range(50):
                # Each begins to wait in the very turn in which another one stops to.
                assert await told.reading().find(f"thing-{number % 3}") is not None

        async with asyncio.timeout(30):
            await asyncio.gather(*map(ask, range(5)))


async def test_an_event_has_the_artifact_read_again_and_no_other(url: str, store: Store) -> None:
    one, two = artifact("one"), artifact("two")
    await store.append([one, two], BY)
    async with telling(url, store) as told:
        before = [await told.reading().find(slug) for slug in ("one", "two")]
        one.observe_price(price("3"))
        await store.append([one], BY)
        await told.project()
        await told.hear()
        after = [await told.reading().find(slug) for slug in ("one", "two")]
        assert after[0] is not before[0]
        assert after[1] is before[1]
        assert after[0] is not None
        assert [str(one.amount) for one in after[0].prices] == ["3"]


async def test_what_was_touched_after_it_began_is_no_part_of_an_answer(
    url: str, store: Store
) -> None:
    one, two = artifact("one"), artifact("two")
    await store.append([one, two], BY)
    async with telling(url, store) as told:
        reading, late = told.reading(), told.reading()
        one.observe_price(price("3"))
        await store.append([one], BY)
        await told.project()
        # The read models are ahead of what is known to be touched, for as long as it takes.
        heard = asyncio.create_task(told.hear())
        with pytest.raises(Moved):
            await reading.find("one")
        await heard
        assert (await late.find("two")) is not None, "which is now as it was then"
        found = await told.reading().find("one")
        assert found is not None
        assert len(found.prices) == 1


async def test_read_models_that_nobody_hears_of_are_waited_for_in_vain(
    url: str, store: Store
) -> None:
    one = artifact("one")
    await store.append([one], BY)
    async with telling(url, store) as told:
        one.observe_price(price("3"))
        await store.append([one], BY)
        await told.project()
        with pytest.raises(Moved):
            await told.reading().find("one")


async def test_only_so_many_are_kept(url: str, store: Store) -> None:
    await store.append([artifact(f"thing-{number}") for number in range(5)], BY)
    async with telling(url, store, most=4) as told:
        first = await told.reading().find("thing-0")
        assert await told.reading().find("thing-0") is first
        for number in range(1, 5):
            await told.reading().find(f"thing-{number}")
        again = await told.reading().find("thing-0")
        assert again is not None
        assert again is not first


async def test_pages_say_what_statements_say(url: str, store: Store) -> None:
    one = artifact("one")
    for number in range(103):
        one.add_capability(capability(f"do-{number:03}", description=f"Does {number}."))
    await store.append([one], BY)
    async with telling(url, store) as told:
        found = await told.reading().find("one")
        assert found is not None
        assert found.capability_count == 103
        page = found.page(100, None)
        assert [offered.capability.key for _, offered in page.items] == [
            f"do-{number:03}" for number in range(100)
        ]
        assert page.more
        cursor, _ = page.items[97]
        assert [one.capability.key for _, one in found.page(2, cursor).items] == [
            "do-098",
            "do-099",
        ]
        # What lies behind is not known here.
        with pytest.raises(Moved):
            found.page(3, cursor)
        with pytest.raises(Moved):
            found.capability("do-101")
