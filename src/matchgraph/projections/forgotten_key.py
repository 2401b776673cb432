"""Read model `forgotten_key`: which keys of searchers were destroyed, and where the log says so.

Read by commands/forgetting.py, to destroy again what a backup has brought back.
"""

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, insert


class Forgotten(Heard, tag="searcher.forgotten", frozen=True):
    searcher: str
    key: str


async def apply(db: Connection, batch: Batch) -> None:
    """One row for each key."""
    await insert(
        db, "forgotten_key", [(event.key, event.searcher, position) for position, event in batch]
    )


FORGOTTEN_KEY = Projection(
    name="forgotten_key", tables=("forgotten_key",), hears=(Forgotten,), apply=apply
)
