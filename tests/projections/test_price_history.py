"""What each provider asks now, and what it asked before."""

from decimal import Decimal

import pytest
from hypothesis import given, settings

from matchgraph.domain.artifact import Artifact
from matchgraph.domain.price import Pricing, Unit
from matchgraph.eventstore import codec
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.price_history import PRICE_HISTORY
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, day, price, worlds
from tests.projections.tables import BY, projected, values

ONLY = (PRICE_HISTORY,)
CHARGE = ("pricing", "amount", "currency")


async def test_a_price_is_kept_and_the_newest_of_each_line_is_current(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.observe_price(price("10.50"))
    made.observe_price(price("0.00000015", per=Unit.OUTPUT_TOKEN, tier="batch"))
    made.observe_price(price("9", on=1, currency="EUR"))
    await store.append([made], BY)
    await project(url, store, ONLY)
    history = await pool.fetch("SELECT * FROM price_history ORDER BY position")
    assert [dict(row) for row in history] == [
        {
            "position": position,
            "artifact_id": made.id,
            "provider": "acme",
            "per": per,
            "tier": tier,
            "source": "https://acme.example/prices",
            "observed_at": day(on),
            "pricing": "paid",
            "amount": Decimal(amount),
            "currency": currency,
        }
        for position, per, tier, on, amount, currency in [
            (2, "input_token", None, 0, "10.5", "USD"),
            (3, "output_token", "batch", 0, "0.00000015", "USD"),
            (4, "input_token", None, 1, "9", "EUR"),
        ]
    ]
    current = await pool.fetch("SELECT * FROM price_current ORDER BY position")
    assert [dict(row) for row in current] == [dict(row) for row in history[1:]]


async def test_absent_unknown_free_and_zero_are_four_different_things(
    url: str, store: Store, pool: Pool
) -> None:
    free, unknown, zero, absent = (artifact(slug) for slug in ("free", "unknown", "zero", "absent"))
    free.observe_price(price(None, pricing=Pricing.FREE))
    unknown.observe_price(price(None, pricing=Pricing.UNKNOWN))
    zero.observe_price(price("0"))
    await store.append([free, unknown, zero, absent], BY)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT * FROM price_current")
    assert {row["artifact_id"]: values(row, *CHARGE) for row in rows} == {
        free.id: ("free", None, None),
        unknown.id: ("unknown", None, None),
        zero.id: ("paid", Decimal(0), "USD"),
    }


@pytest.mark.parametrize("page", [1, 2_000])
async def test_a_withdrawn_price_leaves_the_current_ones_and_stays_in_history(
    url: str, store: Store, pool: Pool, page: int
) -> None:
    made, other = artifact(), artifact("other")
    for one in (made, other):
        one.observe_price(price("10"))
        one.observe_price(price("20", tier="batch"))
    made.withdraw_price(price().line, day(1))
    made.observe_price(price("30", on=2, provider="bolt"))
    made.withdraw_price(price(provider="bolt").line, day(3))
    made.observe_price(price("40", on=4, provider="bolt"))
    await store.append([made, other], BY)
    await project(url, store, ONLY, page)
    rows = await pool.fetch("SELECT * FROM price_current ORDER BY position")
    assert [values(row, "artifact_id", "provider", "tier", "amount") for row in rows] == [
        (made.id, "acme", "batch", Decimal(20)),
        (made.id, "bolt", None, Decimal(40)),
        (other.id, "acme", None, Decimal(10)),
        (other.id, "acme", "batch", Decimal(20)),
    ]
    withdrawn = await pool.fetch("SELECT * FROM price_history WHERE pricing IS NULL")
    assert [values(row, "position", "provider", "observed_at", *CHARGE) for row in withdrawn] == [
        (4, "acme", day(1), None, None, None),
        (6, "bolt", day(3), None, None, None),
    ]


@settings(max_examples=12, deadline=None)
@given(worlds())
async def test_current_prices_are_those_of_the_artifacts_and_history_is_every_event(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await db.fetch(
            "SELECT artifact_id, provider, per, tier, source, observed_at, pricing, amount,"
            " currency FROM price_current"
        )
        assert {tuple(row) for row in rows} == {
            (made.id, *p.line, p.observed_at, p.pricing, p.amount, p.currency)
            for made in world.artifacts.values()
            for p in made.prices.values()
        }
        history = await db.fetch("SELECT position FROM price_history ORDER BY position")
        spoken = {codec.topic_of(one) for one in (Artifact.PriceObserved, Artifact.PriceWithdrawn)}
        assert [row[0] for row in history] == [
            position
            for position, event in enumerate(world.events, start=1)
            if event.topic in spoken
        ]
