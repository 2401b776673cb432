"""Which numbers are known of each artifact, from which source, as of when."""

from decimal import Decimal

from hypothesis import given, settings

from matchgraph.domain.provenance import Method
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.signal_board import SIGNAL_BOARD
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, day, signal, worlds
from tests.projections.tables import BY, projected, values

ONLY = (SIGNAL_BOARD,)


async def test_the_newest_number_of_each_signal_from_each_source_is_on_the_board(
    url: str, store: Store, pool: Pool
) -> None:
    made, other = artifact(), artifact("other")
    made.observe_signal(signal("7"))
    made.observe_signal(signal("1200", source="gitlab", method=Method.DECLARED))
    made.observe_signal(signal("0.5", name=SignalName.DEPENDENTS))
    made.observe_signal(signal("8", on=1))
    other.observe_signal(signal("0"))
    await store.append([made, other], BY)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT * FROM signal_board ORDER BY position")
    assert [
        values(row, "artifact_id", "name", "source", "value", "method", "observed_at", "position")
        for row in rows
    ] == [
        (made.id, "stars", "gitlab", Decimal(1200), "declared", day(0), 3),
        (made.id, "dependents", "github", Decimal("0.5"), "observed", day(0), 4),
        (made.id, "stars", "github", Decimal(8), "observed", day(1), 5),
        (other.id, "stars", "github", Decimal(0), "observed", day(0), 7),
    ]


@settings(max_examples=12, deadline=None)
@given(worlds())
async def test_the_board_says_what_the_artifacts_themselves_say(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await db.fetch(
            "SELECT artifact_id, name, source, value, method, observed_at FROM signal_board"
        )
        assert {tuple(row) for row in rows} == {
            (made.id, s.name, s.source, s.value, s.method, s.observed_at)
            for made in world.artifacts.values()
            for s in made.signals.values()
        }
