"""An aggregate is what its history says, whatever that history is."""

from typing import Any
from uuid import UUID

from hypothesis import given as for_all

from matchgraph.eventstore import codec
from tests.eventstore.histories import World, worlds


@for_all(worlds())
def test_any_history_replayed_gives_the_same_aggregates(world: World) -> None:
    replayed: dict[object, Any] = {}
    for stored in world.events:
        assert isinstance(stored.originator_id, UUID)
        event = codec.decode(
            stored.topic, stored.originator_id, stored.originator_version, stored.state
        )
        replayed[stored.originator_id] = event.mutate(replayed.get(stored.originator_id))
    lived = {one.id: one for one in (*world.artifacts.values(), *world.aliases.values())}
    lived |= {one.id: one for one in (world.policy, world.calibration) if one is not None}
    lived |= {one.id: one for one in (*world.searches, *world.discarded)}
    lived |= {one.id: one for one in world.forgotten.values()}
    assert replayed.keys() == lived.keys()
    for id, one in lived.items():
        assert vars(replayed[id]) == vars(one)
        assert type(replayed[id]) is type(one)
