"""Every text gets one vector of each model in use, whoever is at work and whoever is killed."""

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import numpy as np
import pytest

from matchgraph.embedding import Embedder, load
from matchgraph.embedding.embedder import Vectors
from matchgraph.eventstore.connection import Connection
from matchgraph.eventstore.store import Store, open_store
from matchgraph.eventstore.tasks import stop
from matchgraph.http.upkeep import projecting
from matchgraph.projections.search_index import SEARCH_INDEX, hash_of
from matchgraph.projections.text_vectors import TextVectors, fill
from tests.conftest import project
from tests.eventstore.histories import artifact, capability, until
from tests.projections.tables import BY, start_over

FEW = [f"reads {thing}" for thing in ("tables", "invoices", "speech", "maps", "source code")]


class Noting:
    """The model of that name, and how often it was asked for each text."""

    def __init__(self, name: str = "wordllama") -> None:
        self._embedder = load(name)
        self.asked = Counter[str]()

    @property
    def model(self) -> str:
        return self._embedder.model

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked.update(texts)
        return self._embedder.embed(texts)

    def knows(self, word: str) -> bool:
        return self._embedder.knows(word)


class Refusing(Noting):
    """The model, which fails at one text, and says at which."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self._refused = refused

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self._refused in texts:
            self.asked[self._refused] += 1
            raise ValueError(f"cannot read {self._refused!r}")
        return super().embed(texts)


async def say(db: Connection, texts: Iterable[str], *, first: int = 1) -> None:
    """Texts as the search index has them, each of a document of its own."""
    await db.executemany(
        "INSERT INTO search_text (document, part, artifact, hash, text) VALUES ($1, 0, $1, $2, $3)",
        [(number, hash_of(text), text) for number, text in enumerate(texts, start=first)],
    )


async def vectors(db: Connection, model: str) -> dict[UUID, list[float]]:
    rows = await db.fetch(
        "SELECT hash, vector::vector::real[] AS vector FROM text_vector WHERE model = $1", model
    )
    return {row["hash"]: row["vector"] for row in rows}


async def missing(db: Connection, model: str) -> int:
    """How many texts have no vector."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM search_text t WHERE NOT EXISTS"
        " (SELECT FROM text_vector v WHERE v.hash = t.hash AND v.model = $1)",
        model,
    )
    return count


@asynccontextmanager
async def at_work(
    url: str, store: Store, embedder: Embedder, *, rest: float = 600
) -> AsyncIterator[TextVectors]:
    """The task."""
    work = TextVectors(url, store.listener, embedder, rest=rest)
    task = asyncio.create_task(work.run())
    try:
        yield work
    finally:
        assert not task.done(), "this task never ends"
        await stop(task)


async def all_there(db: Connection, embedder: Embedder) -> None:
    async def there() -> bool:
        return await missing(db, embedder.model) == 0

    await until(there, patience=60)


async def publish(store: Store, slug: str, *described: str) -> None:
    """An artifact with capabilities that are so described."""
    made = artifact(slug, description=None)
    for number, text in enumerate(described):
        made.add_capability(capability(f"{slug}-{number}", description=text))
    await store.append([made], BY)


async def test_every_text_gets_what_it_means(db: Connection) -> None:
    await say(db, FEW)
    heard: list[tuple[int, int]] = []
    embedder = load()
    assert await fill(db, embedder, lambda done, total: heard.append((done, total))) == len(FEW)
    assert heard[-1] == (len(FEW), len(FEW))
    found = await vectors(db, embedder.model)
    for text, expected in zip(FEW, embedder.embed(FEW), strict=True):
        # In half precision, and still of length 1 for all that matters.
        assert np.array(found[hash_of(text)]) @ expected > 0.9999
    assert await fill(db, embedder) == 0


async def test_equal_texts_are_embedded_once(db: Connection) -> None:
    await say(db, FEW * 40)
    embedder = Noting()
    assert await fill(db, embedder) == len(FEW)
    assert embedder.asked == Counter(FEW)
    assert await missing(db, embedder.model) == 0


async def test_more_than_a_page_of_texts_is_filled(db: Connection) -> None:
    texts = [f"text {number}" for number in range(2_500)]
    await say(db, texts)
    embedder = Noting()
    assert await fill(db, embedder) == 2_500
    assert embedder.asked == Counter(texts)


async def test_a_second_model_has_its_vectors_beside_the_first(db: Connection) -> None:
    await say(db, FEW)
    first, second = load("minilm"), load("wordllama")
    assert await fill(db, first) == len(FEW)
    before = await vectors(db, first.model)
    assert await fill(db, second) == len(FEW)
    assert await vectors(db, first.model) == before
    beside = await vectors(db, second.model)
    assert beside.keys() == before.keys()
    assert all(beside[hash] != before[hash] for hash in before)


async def test_texts_that_come_while_it_runs_are_embedded(
    url: str, store: Store, db: Connection
) -> None:
    embedder = Noting()
    await publish(store, "before", "Draws maps.")
    await project(url, store, [SEARCH_INDEX])
    async with at_work(url, store, embedder):
        await all_there(db, embedder)
        await publish(store, "parser", "Reads tables.", "Reads invoices.")
        await project(url, store, [SEARCH_INDEX])
        await all_there(db, embedder)
        await publish(store, "speaker", "Speaks aloud.")
        await project(url, store, [SEARCH_INDEX])
        await all_there(db, embedder)
    assert await db.fetchval("SELECT count(*) FROM text_vector") >= 4
    assert max(embedder.asked.values()) == 1


async def test_a_text_that_is_revised_is_embedded_anew(
    url: str, store: Store, db: Connection
) -> None:
    embedder = Noting()
    made = artifact("parser")
    made.add_capability(capability("parse"))
    await store.append([made], BY)
    await project(url, store, [SEARCH_INDEX])
    async with at_work(url, store, embedder):
        await all_there(db, embedder)
        made.revise_capability(capability("parse", description="Reads maps now."))
        await store.append([made], BY)
        await project(url, store, [SEARCH_INDEX])
        await all_there(db, embedder)
    assert any("Reads maps now." in text for text in embedder.asked)


async def test_texts_that_come_without_an_event_are_found_by_looking_at_everything(
    url: str, store: Store, db: Connection
) -> None:
    embedder = Noting()
    store.listener._poll = 0.05
    async with at_work(url, store, embedder, rest=0.2):
        await say(db, FEW)
        await all_there(db, embedder)
        await say(db, ["draws", "sings"], first=100)
        await all_there(db, embedder)
    assert max(embedder.asked.values()) == 1


async def all_but_one(db: Connection, embedder: Embedder) -> None:
    async def there() -> bool:
        return await missing(db, embedder.model) == 1

    await until(there, patience=4)


def told(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """In how many records the hash of the text is; the text itself is in none."""
    formatter = logging.Formatter()
    lines = [formatter.format(record) for record in caplog.records]
    assert not [line for line in lines if text in line]
    return sum(str(hash_of(text)) in line for line in lines)


async def test_a_text_that_the_model_fails_at_keeps_no_other_from_its_vector(
    url: str, store: Store, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [f"text {number}" for number in range(100)]
    refused = min(texts, key=hash_of)
    embedder = Refusing(refused)
    await say(db, texts)
    store.listener._poll = 0.05
    async with at_work(url, store, embedder, rest=0.1):
        await all_but_one(db, embedder)
        assert told(caplog, refused) == 1
        asked = embedder.asked[refused]
        # It is not tried again when everything is looked at once more.
        await say(db, ["draws"], first=1_000)
        await all_but_one(db, embedder)
        await say(db, ["sings"], first=1_001)
        await all_but_one(db, embedder)
    assert hash_of(refused) not in await vectors(db, embedder.model)
    assert embedder.asked[refused] == asked <= 2
    assert told(caplog, refused) == 1


async def test_a_new_text_that_the_model_fails_at_holds_nothing_up(
    url: str, store: Store, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(store, "parser", "Reads tables.", "Reads invoices.")
    await project(url, store, [SEARCH_INDEX])
    refused = await db.fetchval("SELECT text FROM search_text WHERE text LIKE '%invoices%'")
    await start_over(url, [SEARCH_INDEX])
    embedder = Refusing(refused)
    async with at_work(url, store, embedder) as work:

        async def leads() -> bool:
            return work.leads

        await until(leads)
        await project(url, store, [SEARCH_INDEX])
        await store.append([artifact("speaker", description="Speaks aloud.")], BY)
        await project(url, store, [SEARCH_INDEX])
        await all_but_one(db, embedder)
    assert told(caplog, refused) == 1


async def test_what_the_model_fails_at_is_not_counted_as_filled(
    db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await say(db, FEW)
    embedder = Refusing(FEW[2])
    heard: list[tuple[int, int]] = []
    assert await fill(db, embedder, lambda done, total: heard.append((done, total))) == 4
    assert heard[-1] == (5, 5)
    assert told(caplog, FEW[2]) == 1
    assert await missing(db, embedder.model) == 1


async def test_a_read_model_computed_anew_needs_no_new_vectors(
    url: str, store: Store, db: Connection
) -> None:
    await publish(store, "parser", "Reads tables.", "Reads invoices.")
    await project(url, store, [SEARCH_INDEX])
    embedder = Noting()
    assert await fill(db, embedder) >= 2
    await start_over(url, [SEARCH_INDEX])
    await project(url, store, [SEARCH_INDEX])
    assert await fill(db, embedder) == 0


async def test_two_at_work_embed_nothing_twice(url: str, store: Store, db: Connection) -> None:
    texts = [f"text {number}" for number in range(300)]
    await say(db, texts)
    one, other = Noting(), Noting()
    async with (
        open_store(url) as second,
        at_work(url, store, one) as first,
        at_work(url, second, other) as last,
    ):
        await all_there(db, one)
        assert first.leads != last.leads
    assert one.asked + other.asked == Counter(texts)


async def test_two_models_are_at_work_side_by_side(url: str, store: Store, db: Connection) -> None:
    await say(db, FEW)
    one, other = Noting("minilm"), Noting("wordllama")
    async with at_work(url, store, one), at_work(url, store, other):
        await all_there(db, one)
        await all_there(db, other)


async def test_who_waits_in_line_goes_on_when_the_other_ends(
    url: str, store: Store, db: Connection
) -> None:
    one, other = Noting(), Noting()
    async with at_work(url, store, one) as first:

        async def leads() -> bool:
            return first.leads

        await until(leads)
        async with open_store(url) as second, at_work(url, second, other):
            await say(db, FEW)
            # As an operator would end it.
            admin = await asyncpg.connect(url)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'matchgraph text vectors'"
                " AND datname = current_database()"
            )
            await admin.close()
            await all_there(db, one)
    # Those that it had in hand are done again.
    assert (one.asked | other.asked).keys() == set(FEW)


async def test_killed_in_the_middle_it_goes_on_where_it_was(url: str, db: Connection) -> None:
    texts = [f"reads {number} tables from scanned invoices " * 6 for number in range(400)]
    await say(db, texts)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.projections.embedding", url
    )
    embedder = Noting("minilm")
    try:

        async def some_there() -> bool:
            return await missing(db, embedder.model) < len(texts)

        await until(some_there, patience=60)
    finally:
        process.kill()
        await process.wait()
    left = await missing(db, embedder.model)
    assert 0 < left < len(texts)
    async with open_store(url) as store, at_work(url, store, embedder):
        await all_there(db, embedder)
    # What came of the batch that the killed one had in hand is not lost either.
    assert sum(embedder.asked.values()) <= left
    assert max(embedder.asked.values()) == 1


async def test_it_runs_beside_the_projector(url: str, store: Store, db: Connection) -> None:
    await publish(store, "parser", "Reads tables.")
    async with projecting(url, store, model="minilm"):

        async def there() -> bool:
            return bool(await db.fetchval("SELECT EXISTS (SELECT FROM text_vector)"))

        await until(there, patience=60)
        await all_there(db, load("minilm"))


async def test_without_a_model_nothing_is_embedded(url: str, store: Store, db: Connection) -> None:
    await publish(store, "parser", "Reads tables.")
    async with projecting(url, store):

        async def indexed() -> bool:
            return bool(await db.fetchval("SELECT EXISTS (SELECT FROM search_text)"))

        await until(indexed)
    assert await db.fetchval("SELECT count(*) FROM text_vector") == 0
