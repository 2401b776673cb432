"""Ranks are calibrated once a day, by whoever of many comes first."""

import asyncio
from datetime import UTC, datetime

from matchgraph.domain.calibration import Calibration
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.http.upkeep import calibrate_if_due, calibrate_now, calibrating, projecting
from tests.eventstore.histories import artifact, signal, until
from tests.projections.tables import BY


async def calibrations(store: Store) -> list[Calibration.Calibrated]:
    return [
        recorded.event
        for recorded in await store.read(0)
        if isinstance(recorded.event, Calibration.Calibrated)
    ]


async def test_of_many_processes_one_calibrates_and_once_a_day(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.observe_signal(signal("7"))
    end = await store.append([made], BY)
    async with open_store(url) as other, projecting(url, store):
        async with calibrating(store, pool), calibrating(other, pool):

            async def there() -> bool:
                return bool(await calibrations(store))

            await until(there)
            both = calibrate_if_due(store, pool), calibrate_if_due(other, pool)
            assert all(await asyncio.gather(*both))
        (event,) = await calibrations(store)
    assert event.scales.day == datetime.now(UTC).date()
    # Not before the read models had all of it.
    assert event.scales.up_to == end
    assert [one.observed for one in event.scales.scales] == [1, 1]


async def test_an_empty_catalog_is_not_calibrated(store: Store, pool: Pool) -> None:
    assert not await calibrate_if_due(store, pool)
    assert await store.head() == 0


async def test_who_asks_for_it_gets_another_one_on_the_same_day(
    url: str, store: Store, pool: Pool
) -> None:
    await store.append([artifact()], BY)
    async with projecting(url, store):
        assert await calibrate_if_due(store, pool)
        by = Request(actor="tester", request_id="test")
        assert await calibrate_now(store, pool, by) == 3
        assert len(await calibrations(store)) == 2
