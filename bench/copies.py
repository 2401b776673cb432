"""A large catalog for search.py: the real one and noisy copies of it, put into the read models.

Every copy of an artifact keeps its facts, prices and kind. Of its terms, some are left out and some
are others, drawn as often as they are used; what its texts mean is turned by the difference of two
other meanings of the catalog, so that what was alike stays alike, and nothing is the same twice.
Texts that artifacts share within the real catalog they share within a copy.
"""

from collections.abc import AsyncIterator, Callable

import numpy as np
from numpy.typing import NDArray

from matchgraph.embedding import DIMENSIONS
from matchgraph.eventstore.connection import Connection

# Shares of the terms of a copy.
LEFT_OUT, REPLACED = 0.15, 0.15
# How far meanings are turned: by the difference of two others, and in no direction at all.
TURNED, BLURRED = 0.35, 0.1
# So many copies are written together.
AT_ONCE = 50

# Tables and, for each column that differs, what a copy has there; `k` is the number of the copy.
ID = "md5({}::text || k)::uuid"
COPIED = {
    "search_artifact": {
        "artifact": "artifact + k * stride.artifacts",
        "artifact_id": ID.format("artifact_id"),
        "slug": "slug || '~' || k",
    },
    "search_document": {"artifact": "artifact + k * stride.artifacts"},
    "search_text": {
        "artifact": "artifact + k * stride.artifacts",
        "hash": ID.format("hash"),
        "text": "''",
    },
    "artifact_listing": {
        "id": ID.format("id"),
        "slug": "slug || '~' || k",
        "description": "NULL",
        "leads_to": "NULL",
    },
    "capability_listing": {
        "artifact_id": ID.format("artifact_id"),
        "description": "''",
        "intents": "'{}'",
        "best_for": "'{}'",
    },
    "price_current": {"artifact_id": ID.format("artifact_id")},
    "rank_board": {
        "artifact_id": ID.format("artifact_id"),
        "score": "(score * (0.5 + random() / 2))::int",
        "announced": "''",
    },
    "rank_evidence": {
        "artifact_id": ID.format("artifact_id"),
        "slug": "slug || '~' || k",
        "evidence": "''",
        "exposure": "random()",
    },
}
POSTINGS = """
INSERT INTO search_posting
SELECT DISTINCT ON (1, 2, 3) CASE WHEN drawn.chance < $3
    THEN pool.terms[1 + floor(drawn.other * cardinality(pool.terms))::int] ELSE term END,
  artifact + k * stride.artifacts, document, weight
FROM search_posting, generate_series($1::int, $2::int) AS k,
  (SELECT max(artifact) + 1 AS artifacts FROM search_artifact WHERE artifact <= $5) AS stride,
  (SELECT array_agg(term) AS terms FROM search_posting WHERE artifact <= $5) AS pool,
  LATERAL (SELECT random() + 0 * (k + artifact) AS chance, random() + 0 * k AS other) AS drawn
WHERE artifact <= $5 AND drawn.chance < 1 - $4::float8
"""
COUNTED = """
UPDATE search_term t SET documents = found.documents FROM (
  SELECT term, count(*) AS documents FROM search_posting GROUP BY term
  UNION ALL SELECT 0, count(*) FROM search_document WHERE cardinality(terms) > 0
) AS found WHERE t.term = found.term
"""


async def multiply(
    db: Connection, capabilities: int, model: str, say: Callable[[str], None]
) -> None:
    """Fills the catalog of the connection with copies until it has so many capabilities. The
    connection may change tables."""
    own = await db.fetchval("SELECT count(*) FROM capability_listing WHERE NOT retired")
    copies = -(-capabilities // own) - 1
    real = await db.fetchval("SELECT max(artifact) FROM search_artifact")
    ids = await db.fetch("SELECT artifact_id FROM search_artifact")
    await db.execute("SELECT setseed(0.7)")
    await db.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '2GB'")
    indexes = await _without_indexes(db)
    before = {table: await _count(db, table) for table in COPIED}
    for first in range(1, copies + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, copies)
        for table, changed in COPIED.items():
            await _copy(db, table, changed, first, last, real, [row[0] for row in ids])
        await db.execute(POSTINGS, first, last, REPLACED, LEFT_OUT, real)
        say(f"{last} of {copies} copies of the catalog")
    assert await _count(db, "search_artifact") == before["search_artifact"] * (copies + 1)
    await _copy_vectors(db, model, copies)
    await db.execute(COUNTED)
    for index in indexes:
        say(index.partition(" USING ")[0])
        await db.execute(index)
    await db.execute("VACUUM ANALYZE")


async def _count(db: Connection, table: str) -> int:
    found: int = await db.fetchval(f"SELECT count(*) FROM {table}")
    return found


async def _without_indexes(db: Connection) -> list[str]:
    """Takes the indexes away that no constraint needs; returns how they are made again."""
    rows = await db.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename = ANY ($1) AND indexname NOT IN (SELECT conname FROM pg_constraint)",
        [*COPIED, "search_posting", "text_vector"],
    )
    for row in rows:
        await db.execute(f"DROP INDEX {row['indexname']}")
    return [row["indexdef"] for row in rows]


async def _copy(
    db: Connection,
    table: str,
    changed: dict[str, str],
    first: int,
    last: int,
    real: int,
    ids: list[object],
) -> None:
    columns = [
        row[0]
        for row in await db.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
            table,
        )
    ]
    if "artifact" in columns:
        which, most = "artifact <= $3", real
    else:
        which, most = f"{'id' if 'id' in columns else 'artifact_id'} = ANY ($4)", real
    await db.execute(
        f"INSERT INTO {table} SELECT {', '.join(changed.get(c, c) for c in columns)}"
        f" FROM {table}, generate_series($1::int, $2::int) AS k,"
        " (SELECT $3::int + 1 AS artifacts, $4::uuid[] AS ids) AS stride"
        f" WHERE {which}",
        *(first, last, most, ids),
    )


async def _copy_vectors(db: Connection, model: str, copies: int) -> None:
    rows = await db.fetch(
        "SELECT hash, vector::real[] AS vector FROM text_vector WHERE model = $1 ORDER BY hash",
        model,
    )
    real = np.array([row["vector"] for row in rows], np.float32)
    hashes = [row["hash"] for row in rows]
    chance = np.random.default_rng(7)
    for first in range(1, copies + 1, AT_ONCE):
        numbers = list(range(first, min(first + AT_ONCE, copies + 1)))
        names = await db.fetch(
            f"SELECT {ID.format('hash')} AS hash FROM unnest($1::int[]) AS k,"
            " unnest($2::uuid[]) WITH ORDINALITY AS h (hash, place) ORDER BY k, place",
            numbers,
            hashes,
        )
        vectors = np.concatenate([_turned(real, chance) for _ in numbers])
        await db.copy_to_table(
            "text_vector",
            source=_binary(model, [row["hash"].bytes for row in names], vectors),
            columns=["model", "hash", "vector"],
            format="binary",
        )


def _turned(real: NDArray[np.float32], chance: np.random.Generator) -> NDArray[np.float32]:
    one, other = chance.integers(len(real), size=(2, len(real)))
    blur = chance.normal(scale=DIMENSIONS**-0.5, size=real.shape)
    made = real + TURNED * (real[one] - real[other]) + BLURRED * blur
    turned: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return turned


async def _binary(
    model: str, hashes: list[bytes], vectors: NDArray[np.float32]
) -> AsyncIterator[bytes]:
    """The rows as COPY reads them: each value with its length before it."""
    name = model.encode()
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("model_length", ">i4"),
            ("model", f"S{len(name)}"),
            ("hash_length", ">i4"),
            ("hash", "V16"),
            ("vector_length", ">i4"),
            ("dimensions", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f2", DIMENSIONS),
        ]
    )
    rows = np.zeros(len(hashes), row)
    rows["fields"], rows["model_length"], rows["model"] = 3, len(name), name
    rows["hash_length"], rows["hash"] = 16, np.array(hashes, "V16")
    rows["vector_length"], rows["dimensions"] = 4 + 2 * DIMENSIONS, DIMENSIONS
    rows["vector"] = vectors
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"
