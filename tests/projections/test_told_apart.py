"""Which artifacts are told apart: each two once."""

from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.told_apart import TOLD_APART
from tests.conftest import project
from tests.eventstore.histories import artifact
from tests.projections.tables import BY


async def test_two_are_told_apart_once_whoever_says_so_and_as_of_the_first_time(
    url: str, store: Store, pool: Pool
) -> None:
    one, other, third = artifact("one"), artifact("other"), artifact("third")
    one.tell_apart(third)
    # Two curators at once: neither event knows of the other.
    one.tell_apart(other)
    other.tell_apart(artifact("one"))
    await store.append([one, other, third], BY)
    await project(url, store, (TOLD_APART,))
    rows = await pool.fetch("SELECT * FROM told_apart ORDER BY position")
    assert [(row["one"], row["other"], row["position"]) for row in rows] == [
        (*sorted((one.id, third.id)), 2),
        (*sorted((one.id, other.id)), 3),
    ]
