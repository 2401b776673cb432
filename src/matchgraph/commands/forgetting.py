"""Forgetting a searcher: the key that opens what the searcher wrote is destroyed.

First the log says that it is, then it is: whatever interrupts this, doing it again carries it
through. Statistics stand, as they need no words. docs/forgetting.md says what this means for
backups.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from matchgraph.commands.change import change
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.searcher import Searcher, id_of
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import Connection, Pool
from matchgraph.eventstore.searcher_keys import Held, SealedText, SearcherKeys, label_of
from matchgraph.eventstore.store import Request, Store

# Read up to there only, as later ones are sealed. In what somebody wrote, quotes are escaped.
IN_PLAIN = (
    "SELECT count(*) FROM event WHERE position <= (SELECT max(position) FROM search_in_plain)"
    " AND topic = 'search.answered' AND EXISTS (SELECT FROM unnest($1::text[]) AS s (searcher)"
    """ WHERE position(convert_to('"searcher":"' || searcher || '"', 'UTF8') IN state) > 0)"""
)
# What a vector was made of may be read from it, so it goes with the key, in one transaction: who
# writes one at the same time holds the key.
DESTROY = ("searcher_key WHERE id", "intent_vector WHERE key")
REPLACE = (
    "INSERT INTO intent_vector (model, cluster, vector, key)"
    " SELECT $1, $2, $3::real[]::halfvec, id FROM searcher_key WHERE id = $4 FOR SHARE"
    " ON CONFLICT DO NOTHING"
)


class UnknownSearcher(Exception):
    """Nobody who searched is known by any of these pseudonyms."""


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """What was destroyed. `before`: there was nothing left to destroy, as these searchers were
    forgotten already. `in_plain` counts their searches of before words were sealed, which nothing
    can take out of the log. `position` is what the log has reached."""

    destroyed: tuple[Held, ...]
    before: bool
    in_plain: int
    position: int


async def forget(
    store: Store,
    request: Request,
    db: Connection,
    keys: SearcherKeys,
    searchers: Sequence[str],
    embedder: Embedder | None = None,
) -> Forgetting:
    """Forgets whoever has one of these pseudonyms. `db` is a connection that is in no transaction.

    With an embedder, the intents that they began are found by the words of others from then on,
    where there are others. Raises: UnknownSearcher, Conflict, Unavailable, OutcomeUnknown.
    """
    in_plain: int = await db.fetchval(IN_PLAIN, list(searchers))
    known = await store.load_many([id_of(searcher) for searcher in searchers])
    held = await keys.held(searchers)
    if not (held or known or in_plain):
        raise UnknownSearcher
    return Forgetting(
        destroyed=tuple(held),
        before=bool(known) and not held,
        in_plain=in_plain,
        position=await destroy(store, request, db, keys, held, embedder),
    )


async def destroy(
    store: Store,
    request: Request,
    db: Connection,
    keys: SearcherKeys,
    held: Sequence[Held],
    embedder: Embedder | None = None,
) -> int:
    """Destroys these keys, after recording that; returns what the log has reached. Raises:
    Conflict, Unavailable, OutcomeUnknown."""

    async def decide() -> Sequence[Aggregate]:
        known = await store.load_many([id_of(one.searcher) for one in held])
        found = []
        for one in held:
            searcher = known.get(id_of(one.searcher))
            assert searcher is None or isinstance(searcher, Searcher), "nothing else has such an id"
            found.append(Searcher.forget(searcher, one.searcher, one.id))
        return found

    ids = [one.id for one in held]
    position = await change(store, request, "forget", ids, decide)
    await _destroy(db, ids, keys, embedder)
    return position


async def destroy_again(db: Connection, keys: SearcherKeys) -> int:
    """Destroys the keys that are there although the log says they were destroyed, as after a
    forgetting that was interrupted, or when a backup has brought them back. Returns how many.

    Goes by the read model `forgotten_key`, as far as that has come.
    """
    rows = await db.fetch("SELECT k.id FROM searcher_key k JOIN forgotten_key f ON f.key = k.id")
    await _destroy(db, [row["id"] for row in rows], keys, None)
    return len(rows)


async def forgotten(pool: Pool | Connection) -> list[tuple[UUID, int]]:
    """Every key that was destroyed, with the position of the event that says so, oldest first, as
    far as the read model `forgotten_key` has come."""
    rows = await pool.fetch("SELECT key, position FROM forgotten_key ORDER BY position")
    return [(row["key"], row["position"]) for row in rows]


async def _destroy(
    db: Connection, ids: Sequence[UUID], keys: SearcherKeys, embedder: Embedder | None
) -> None:
    if not ids:
        return
    begun = await db.fetch("SELECT model, cluster FROM intent_vector WHERE key = ANY ($1)", ids)
    async with db.transaction():
        await db.execute("SET LOCAL synchronous_commit = on")
        for rows in DESTROY:
            await db.execute(f"DELETE FROM {rows} = ANY ($1)", ids)
    if embedder is not None:
        of_model = [row["cluster"] for row in begun if row["model"] == embedder.model]
        await _tell_by_others(db, of_model, ids, keys, embedder)
    for table in ("searcher_key", "intent_vector"):
        # Takes what was deleted out of the table's own pages, as far as nobody still sees it.
        await db.execute(f"VACUUM {table}")


async def _tell_by_others(
    db: Connection,
    clusters: Sequence[UUID],
    gone: Sequence[UUID],
    keys: SearcherKeys,
    embedder: Embedder,
) -> None:
    """Gives these intents the meaning of another searcher's words. Interrupted, they have none, and
    needs that mean the same begin anew."""
    rows = await db.fetch(
        "SELECT cluster, key, search_id, label FROM match_words"
        " WHERE cluster = ANY ($1) AND key <> ALL ($2) ORDER BY cluster, position",
        clusters,
        gone,
    )
    opened = await keys.opened(
        [SealedText(row["key"], row["label"], label_of(row["search_id"])) for row in rows]
    )
    words: dict[UUID, list[tuple[str, UUID]]] = defaultdict(list)
    for row, label in zip(rows, opened, strict=True):
        if label is not None:
            words[row["cluster"]].append((label.decode(), row["key"]))
    if not words:
        return
    first = {cluster: said[0] for cluster, said in words.items()}
    vectors = await asyncio.to_thread(embedder.embed, [label for label, _ in first.values()])
    for (cluster, (_, key)), vector in zip(first.items(), vectors, strict=True):
        await db.execute(REPLACE, embedder.model, cluster, vector.tolist(), key)
