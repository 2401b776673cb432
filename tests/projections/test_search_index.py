"""Which words are used of which artifact and capability, and which texts say what they mean."""

from collections import Counter
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.capability import DataType
from matchgraph.eventstore.connection import Connection, Pool
from matchgraph.eventstore.store import Store, open_store
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.search_index import (
    LONGEST,
    SEARCH_INDEX,
    Content,
    hash_of,
    mark,
    of_artifact,
    of_capability,
)
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, capability, provenance, worlds
from tests.projections.tables import BY, contents, projected, start_over

ONLY = (SEARCH_INDEX,)
# Which stems stand in which document of whom.
POSTINGS = """
SELECT s.slug, d.key, t.stem, p.weight FROM search_posting p
JOIN search_term t USING (term) JOIN search_document d USING (artifact, document)
JOIN search_artifact s USING (artifact)
"""
TEXTS = """
SELECT s.slug, d.key, t.part, t.text FROM search_text t
JOIN search_document d USING (artifact, document) JOIN search_artifact s USING (artifact)
ORDER BY s.slug, d.key, t.part
"""


async def index(url: str, store: Store, *made: Artifact) -> None:
    """Takes in what is new of the artifacts."""
    await store.append(list(made), BY)
    await project(url, store, ONLY)


async def stems(pool: Pool | Connection, slug: str, key: str = "") -> dict[str, float]:
    """What a document is found by, and how much each term weighs."""
    return {
        stem: weight
        for stem, weight in (await postings(pool, slug, key)).items()
        if not stem.startswith(mark(""))
    }


async def postings(pool: Pool | Connection, slug: str, key: str = "") -> dict[str, float]:
    """All terms of a document, with those that it is about beside those that it mentions."""
    rows = await pool.fetch(f"{POSTINGS} WHERE s.slug = $1 AND d.key = $2", slug, key)
    assert len({row["stem"] for row in rows}) == len(rows)
    return {row["stem"]: row["weight"] for row in rows}


async def documents(pool: Pool | Connection, *asked: str) -> dict[str, int]:
    """In how many documents each stem is; '' counts the documents themselves."""
    rows = await pool.fetch("SELECT stem, documents FROM search_term")
    found = {row["stem"]: row["documents"] for row in rows}
    return {stem: found.get(stem, 0) for stem in asked}


async def test_an_artifact_is_found_by_what_it_is_and_what_is_said_of_it(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact(
        "tab-reader",
        name="Tabula",
        description="Parses tables.",
        vendor="Acme",
        family="tab",
        licence="MIT",
        open_weights=True,
    )
    await index(url, store, made)
    found = await stems(pool, "tab-reader")
    assert found.keys() == {
        *("tabula", "pars", "tabl", "acm", "tab", "reader", "tabread", "mit"),
        *("open", "weight", "model"),
    }
    assert found["tabula"] > found["acm"] > found["pars"] > found["mit"]
    marked = (await postings(pool, "tab-reader")).keys() - found.keys()
    assert marked == {mark(stem) for stem in ("tabula", "tab", "reader", "tabread")}
    assert [tuple(row) for row in await pool.fetch(TEXTS)] == [
        ("tab-reader", "", 0, "Tabula. Parses tables.")
    ]
    assert await documents(pool, "", "tabl", "nowhere") == {"": 1, "tabl": 1, "nowhere": 0}


async def test_a_capability_is_found_by_what_it_does_and_not_by_what_it_is_not(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.add_capability(
        capability(
            "read",
            name="Reading",
            description="Reads invoices.",
            unique="Keeps parser layout",
            versus_alternatives="Better than Textract",
            intents=("digitise paper", "read a receipt"),
            best_for=("scans",),
            limitations=("no handwriting",),
            requires=("a key",),
            input_types=(DataType.PDF,),
            output_types=(DataType.TABLE,),
            tags=("ocr",),
        )
    )
    await index(url, store, made)
    found = await stems(pool, "parser", "read")
    assert found.keys() == {
        *("read", "invoic", "keep", "parser", "layout", "digitis", "paper", "receipt", "scan"),
        *("key", "pdf", "tabl", "ocr"),
    }
    assert not {"textract", "better", "handwrit"} & found.keys()
    assert found["read"] > found["ocr"] > found["invoic"] > found["pdf"]
    # What only mentions a thing is not about it, and what needs it is.
    marked = (await postings(pool, "parser", "read")).keys() - found.keys()
    assert marked == {mark(stem) for stem in ("read", "ocr", "key")}
    # The artifact's own name says nothing of what it can do.
    texts = [(row["part"], row["text"]) for row in await pool.fetch(TEXTS) if row["key"]]
    assert texts[:3] == [
        (0, "Reading. Reads invoices. Keeps It layout"),
        (1, "digitise paper"),
        (2, "read a receipt"),
    ]
    assert not any("Textract" in text or "handwriting" in text for _, text in texts)


def test_a_word_that_holds_the_name_is_not_the_name() -> None:
    said = capability(name="Go", description="Good at Go, even in Golang.", unique="Go's own")
    (text,) = of_capability(said, "Go").texts
    assert text == "It. Good at It, even in Golang. It's own"
    assert of_capability(said, "").texts == ("Go. Good at Go, even in Golang. Go's own",)


def test_a_long_document_counts_less_for_a_word_and_repeating_it_counts_ever_less() -> None:
    def weight(description: str) -> float:
        return of_capability(capability(name="n", description=description), "").weights["tabl"]

    once, twice, often = (weight("tables " * n + "word " * (20 - n)) for n in (1, 2, 20))
    assert once < twice < often < 2 * twice
    assert weight("tables" + " word" * 200) < once < weight("tables")


def test_noise_is_no_index_entry() -> None:
    said = capability(description=f"{'x' * (LONGEST + 1)} {'z' * LONGEST} 🔥 C++ ab")
    found = of_capability(said, "")
    assert {"z" * LONGEST, "c++", "ab"} <= found.weights.keys()
    assert "z" * LONGEST in found.words
    assert not {"x" * (LONGEST + 1), "c++", "ab"} & set(found.words), "nothing to spell by"
    assert Content() == Content({}, (), ())


async def test_what_is_described_anew_is_found_by_the_new_words_alone(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact(description="Parses tables.")
    other = artifact("other", description="Parses text.")
    await index(url, store, made, other)
    assert await documents(pool, "", "pars", "tabl", "map") == {
        "": 2,
        "pars": 2,
        "tabl": 1,
        "map": 0,
    }
    made.describe(Facts(description="Draws maps."), provenance(on=1))
    await index(url, store, made)
    assert {"draw", "map"} <= (await stems(pool, "parser")).keys()
    assert not {"pars", "tabl"} & (await stems(pool, "parser")).keys()
    assert await documents(pool, "", "pars", "tabl", "map") == {
        "": 2,
        "pars": 1,
        "tabl": 0,
        "map": 1,
    }
    texts = [row["text"] for row in await pool.fetch(TEXTS)]
    assert texts == ["other. Parses text.", "parser. Draws maps."]
    made.describe(Facts(context_tokens=8), provenance(on=2))
    before = await contents(url, ONLY)
    await index(url, store, made)
    assert await contents(url, ONLY) == before, "nothing of that is searched by words"


async def test_a_retired_capability_has_neither_words_nor_texts_and_comes_back_where_it_was(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.add_capability(capability("first", description="Reads tables."))
    made.add_capability(capability("second", description="Draws maps."))
    await index(url, store, made)
    assert await documents(pool, "", "tabl", "map") == {"": 3, "tabl": 1, "map": 1}
    made.retire_capability("first")
    await index(url, store, made)
    assert await stems(pool, "parser", "first") == {}
    assert {row["key"] for row in await pool.fetch(TEXTS)} == {"", "second"}
    assert await documents(pool, "", "tabl", "map") == {"": 2, "tabl": 0, "map": 1}
    made.revise_capability(capability("first", description="Reads invoices."))
    await index(url, store, made)
    assert {"read", "invoic"} <= (await stems(pool, "parser", "first")).keys()
    assert await documents(pool, "", "tabl", "invoic") == {"": 3, "tabl": 0, "invoic": 1}
    rows = await pool.fetch("SELECT document, key FROM search_document ORDER BY document")
    assert [tuple(row) for row in rows] == [(0, ""), (1, "first"), (2, "second")]


async def test_whoever_is_not_on_offer_is_not_listed(url: str, store: Store, pool: Pool) -> None:
    made, twin, other = artifact(), artifact("twin"), artifact("other")

    async def listed() -> set[str]:
        await index(url, store, made, twin, other)
        rows = await pool.fetch("SELECT slug FROM search_artifact WHERE listed")
        return {row["slug"] for row in rows}

    assert await listed() == {"parser", "twin", "other"}
    made.retire("gone")
    twin.merge(other)
    assert await listed() == {"other"}
    made.reinstate()
    twin.unmerge(other)
    assert await listed() == {"parser", "twin", "other"}


async def test_words_are_counted_for_spelling(url: str, store: Store, pool: Pool) -> None:
    made = artifact(description="Parses PDF-tables, the tables of v2.5 in C++.")
    made.add_capability(capability(description="Reads tables."))
    await index(url, store, made)
    rows = await pool.fetch("SELECT word, uses FROM search_word")
    uses = {row["word"]: row["uses"] for row in rows}
    assert uses["tables"] == 2, "once a document"
    assert {"parses", "pdf"} <= uses.keys()
    assert not {"the", "of", "in", "v2.5", "c++"} & uses.keys()


async def test_equal_texts_are_known_by_one_hash(url: str, store: Store, pool: Pool) -> None:
    for slug in ("one", "other"):
        made = artifact(slug)
        made.add_capability(capability(intents=("read a receipt",)))
        await index(url, store, made)
    rows = await pool.fetch(
        "SELECT hash, count(*) FROM search_text GROUP BY hash ORDER BY count(*) DESC"
    )
    assert [row["count"] for row in rows] == [2, 2, 1, 1]
    assert hash_of("read a receipt") in [row["hash"] for row in rows[:2]]


# Whatever happened


async def expected(db: Connection, world: World) -> dict[tuple[UUID, str], Content]:
    """What each document must say, by the artifacts themselves."""
    rows = await db.fetch("SELECT * FROM search_artifact")
    numbers = {row["artifact_id"]: dict(row) for row in rows}
    found: dict[tuple[UUID, str], Content] = {}
    for made in world.artifacts.values():
        facts, row = made.facts, numbers[made.id]
        said = {name: getattr(facts, name) for name in ("name", "description", "vendor", "family")}
        assert row["listed"] == (made.status == "active")
        assert {name: row[name] for name in said} == said
        found[made.id, ""] = of_artifact(row)
        for key, offered in made.capabilities.items():
            # The name is in the texts alone, and may be one of before.
            found[made.id, key] = of_capability(offered, "")
        for one in made.retired_capabilities:
            found[made.id, one] = Content()
    return found


@settings(max_examples=12, deadline=None)
@given(worlds())
async def test_the_index_says_what_the_artifacts_themselves_say(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        posted = await db.fetch(
            "SELECT s.artifact_id, d.key, t.stem, p.weight, t.term, d.terms"
            " FROM search_posting p JOIN search_term t USING (term)"
            " JOIN search_document d USING (artifact, document)"
            " JOIN search_artifact s USING (artifact)"
        )
        said: dict[tuple[UUID, str], set[str]] = {}
        for row in posted:
            said.setdefault((row["artifact_id"], row["key"]), set()).add(row["stem"])
        for place, content in (await expected(db, world)).items():
            assert said.get(place, set()) == set(content.weights)
        # Each count is what the postings come to.
        counted = Counter(row["stem"] for row in posted)
        counted[""] = len(said)
        rows = await db.fetch("SELECT stem, documents FROM search_term")
        assert {row["stem"]: row["documents"] for row in rows} == {
            row["stem"]: counted[row["stem"]] for row in rows
        }
        # Each document knows its terms, so that they can be taken away again.
        rows = await db.fetch("SELECT artifact, document, terms FROM search_document")
        assert sorted((r["artifact"], r["document"], t) for r in rows for t in r["terms"]) == [
            tuple(row)
            for row in await db.fetch(
                "SELECT artifact, document, term FROM search_posting ORDER BY 1, 2, 3"
            )
        ]
        texts = await db.fetch("SELECT hash, text FROM search_text")
        assert all(row["hash"] == hash_of(row["text"]) for row in texts)


@settings(max_examples=10, deadline=None)
@given(world=worlds(), page=st.sampled_from([1, 2, 3, 7]), cut=st.integers(0, 60))
async def test_however_the_history_is_cut_the_index_is_the_same_byte_for_byte(
    clones: Clones, world: World, page: int, cut: int
) -> None:
    async with clones() as url, open_store(url) as store:
        if early := world.events[:cut]:
            await store.append_batch(early, BY)
            await project(url, store, ONLY, page=page)
        if late := world.events[cut:]:
            await store.append_batch(late, BY)
            await project(url, store, ONLY, page=page)
        live = await contents(url, ONLY)
        assert live["search_artifact"]
        await start_over(url, ONLY)
        await project(url, store, ONLY)
        assert await contents(url, ONLY) == live
        await rebuild(url, SEARCH_INDEX)
        assert await contents(url, ONLY) == live


async def test_kinds_are_found_by_what_they_are_called(url: str, store: Store, pool: Pool) -> None:
    made = [Artifact.register(f"the-{kind}", kind, Facts(name="It"), provenance()) for kind in Kind]
    await index(url, store, *made)
    assert {"server", "protocol", "context"} <= (await stems(pool, "the-mcp")).keys()
    for kind in Kind:
        assert any(str(kind).startswith(one) for one in await stems(pool, f"the-{kind}")), kind
