"""Changes to follow: artifacts whose ranks move, and what the tables say of that."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from matchgraph.commands.ranking import adopt_policy
from matchgraph.domain.artifact import Artifact, Kind
from matchgraph.domain.policy import DEFAULTS
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from tests.eventstore.histories import SEEN, artifact, signal, stored_events, until
from tests.projections.tables import BY

RANKS = """subscription Ranks($filter: RankChangeFilter, $minDelta: Float! = 0, $after: Position,
  $cursor: String) {
  rankChanged(filter: $filter, minDelta: $minDelta, after: $after, cursor: $cursor) {
    position cursor slug } }"""
CATALOG = """subscription Catalog($filter: CatalogChangeFilter, $after: Position, $cursor: String) {
  catalogChanged(filter: $filter, after: $after, cursor: $cursor) {
    position cursor slug topic } }"""


class Movers:
    """Artifacts of one kind; each move of one of them changes its rank."""

    def __init__(self, store: Store, count: int, *, prefix: str = "thing") -> None:
        self.store = store
        self.made: list[Artifact] = [artifact(f"{prefix}-{number}") for number in range(count)]
        self._moves: Counter[UUID] = Counter()

    async def register(self) -> int:
        """Has them all in the catalog; returns the position."""
        return await self.store.append_batch(stored_events(*self.made), BY)

    async def move(self, number: int) -> int:
        """Changes the rank of one of them; returns the position."""
        one = self.made[number % len(self.made)]
        self._moves[one.id] += 1
        one.observe_signal(
            signal(
                str(self._moves[one.id] % 2),
                name=SignalName.LICENCE,
                observed_at=SEEN + timedelta(seconds=self._moves[one.id]),
            )
        )
        return await self.store.append([one], BY)


async def move_all(store: Store, kind: Kind = Kind.MODEL) -> int:
    """Changes the rank of every artifact of a kind at one position, which it returns."""
    weights = DEFAULTS[kind]
    tenth = Decimal("0.1")
    other = replace(weights, adoption=weights.adoption + tenth, quality=weights.quality - tenth)
    return await adopt_policy(store, BY, [other])


async def history(pool: Pool) -> list[tuple[str, str]]:
    """Every change of a rank, in order: position and slug."""
    rows = await pool.fetch(
        "SELECT h.position, e.slug FROM rank_history h JOIN rank_evidence e USING (artifact_id)"
        " ORDER BY h.position, h.artifact_id"
    )
    return [(str(row["position"]), row["slug"]) for row in rows]


async def projected(pool: Pool, position: int, *, patience: float = 30) -> None:
    """Waits until every read model has come that far."""

    async def there() -> bool:
        found = await pool.fetchval("SELECT min(position) FROM projection_checkpoint")
        return bool(found >= position)

    await until(there, patience=patience)
