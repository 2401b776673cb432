"""Where in the log each thing was said, and where each topic occurs."""

import pytest
from hypothesis import given, settings

from matchgraph.domain.artifact import Alias
from matchgraph.domain.history import said
from matchgraph.eventstore import codec
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.trail import STRETCH, TRAIL, subject
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, worlds
from tests.projections.tables import BY, projected


@settings(max_examples=25, deadline=None)
@given(worlds())
async def test_each_thing_is_found_where_an_event_says_something_of_it(
    clones: Clones, world: World
) -> None:
    expected = set()
    for position, one in enumerate(world.events, start=1):
        id = one.originator_id
        event = codec.decode(one.topic, id, one.originator_version, one.state)  # type: ignore[arg-type]
        if not isinstance(event, Alias.Aliased | Alias.Realiased | Alias.Unaliased):
            for thing in said(event, id):  # type: ignore[arg-type]
                expected.add((id, subject((thing.about, *thing.key)), position))
    async with projected(clones, world) as db:
        rows = await db.fetch("SELECT artifact_id, subject, position FROM trail")
        assert {tuple(row) for row in rows} == expected
        topics = await db.fetch("SELECT topic, stretch FROM trail_topic")
        assert {tuple(row) for row in topics} == {
            (one.topic, position // STRETCH) for position, one in enumerate(world.events, start=1)
        }


@pytest.mark.parametrize("page", [1, 2_000])
async def test_an_alias_that_goes_from_one_to_the_other_is_told_of_both(
    url: str, store: Store, pool: Pool, page: int
) -> None:
    one, other = artifact("one"), artifact("other")
    alias = Alias.of("latest", one.id)
    alias.lead_to(other.id)
    alias.remove()
    alias.lead_to(one.id)
    await store.append([one, other, alias], BY)
    await project(url, store, (TRAIL,), page=page)
    rows = await pool.fetch("SELECT position, artifact_id, leads FROM trail_alias ORDER BY 1, 3")
    assert [tuple(row) for row in rows] == [
        (3, one.id, True),
        (4, one.id, False),
        (4, other.id, True),
        (5, other.id, False),
        (6, one.id, True),
    ]
