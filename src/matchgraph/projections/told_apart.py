"""Read model `told_apart`: which artifacts a curator said are not the same.

Read by queries/duplicates.py.
"""

from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection


class ToldApart(Heard, tag="artifact.told_apart", frozen=True):
    other: str


async def apply(db: Connection, batch: Batch) -> None:
    """One row for each two, whichever of them was told apart from the other."""
    await db.executemany(
        "INSERT INTO told_apart VALUES (least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid),"
        " $3) ON CONFLICT DO NOTHING",
        [(event.id, event.other, position) for position, event in batch],
    )


TOLD_APART = Projection(name="told_apart", tables=("told_apart",), hears=(ToldApart,), apply=apply)
