"""Read models that are computed for the first time: what they hold is not whole yet, so only
operations that read them have to wait.

Which of them a statement reads is seen from the names of their tables in it. Asked by snapshot.py.
"""

import re
from functools import lru_cache

from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.errors import Unavailable
from matchgraph.projections.catalog import PROJECTIONS

# How far each of them has come, by its name.
Positions = dict[str, int]

_OWNERS = {table: projection.name for projection in PROJECTIONS for table in projection.tables}
_TABLES = re.compile(rf"\b(?:{'|'.join(map(re.escape, _OWNERS))})\b")


class FirstTime(Unavailable):
    """The answer needs a read model that a new release brought and that is not there yet."""

    def __init__(self, name: str, reached: int) -> None:
        super().__init__(
            f"the read model {name} is computed for the first time and has come to position "
            f"{reached}; ask again later, what does not need it is answered meanwhile"
        )
        self.name = name
        self.reached = reached


class Young:
    """Those that are computed for the first time, as one connection knows them."""

    def __init__(self) -> None:
        # None: it has not looked. Only a migration adds one, so without any it need not look again.
        self._known: Positions | None = None

    async def look(self, db: Connection, *, migrated: bool) -> Positions:
        """How far each has come, in the view that this connection has."""
        if migrated or self._known is None or self._known:
            rows = await db.fetch(
                "SELECT name, position FROM public.projection_checkpoint WHERE first_time"
            )
            self._known = {row["name"]: row["position"] for row in rows}
        return self._known


def check(young: Positions, query: str, as_of: int | None) -> None:
    """Raises: FirstTime where the statement reads one of them, unless that has come as far as it is
    asked about."""
    for name in read_by(query) & young.keys():
        if as_of is None or young[name] < as_of:
            raise FirstTime(name, young[name])


@lru_cache(maxsize=4_096)
def read_by(query: str) -> frozenset[str]:
    """The names of the read models whose tables the statement names."""
    return frozenset(_OWNERS[table] for table in _TABLES.findall(query))
