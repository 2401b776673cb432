"""Who is found for a need, by words, by meaning, by example and under conditions."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from matchgraph.domain.artifact import Kind, id_of
from matchgraph.domain.need import Need, Where
from matchgraph.domain.relevance import ReasonKind, Scored
from matchgraph.embedding import Embedder, load
from matchgraph.eventstore.connection import Pool, connect, open_pool
from matchgraph.queries import explanation, search
from matchgraph.queries.explanation import explained, shortfall
from matchgraph.queries.need import EmptyNeed
from matchgraph.queries.searching import Found, Searching
from matchgraph.queries.snapshot import viewing
from matchgraph.servers import Servers
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import artifact, capability
from tests.queries.catalogs import catalog, shared, take_in

TODAY = date(2026, 11, 23)
SLUGS = {id_of(one.slug): one.slug for one in catalog()}
GONE = {"old-reader", "twin-reader"}
MINILM = "minilm"


@pytest.fixture(scope="module")
def filled(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, catalog(), load(MINILM))


@pytest.fixture
def url(filled: str) -> str:
    return filled


@asynccontextmanager
async def pooled(url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(url, "test", size=2)
    yield pool
    await pool.close()


async def answer(pool: Pool, need: Need, embedder: Embedder | None = None) -> Found:
    async with viewing(pool) as snapshot:
        return await Searching(embedder).search(snapshot, need, today=TODAY)


def slugs(results: Sequence[Scored]) -> list[str]:
    return [SLUGS[one.candidate.artifact_id] for one in results]


async def found(pool: Pool, text: str | None = None, **said: Any) -> list[str]:
    """Whom words find, best first."""
    return slugs((await answer(pool, Need(text=text, **said))).answer.results)


async def meant(pool: Pool, text: str | None = None, **said: Any) -> list[str]:
    """Whom words and meaning find, best first."""
    made = await answer(pool, Need(text=text, **said), load(MINILM))
    return slugs(made.answer.results)


# By words alone


async def test_without_vectors_words_find(pool: Pool) -> None:
    for text, first in (
        ("extract tables from scanned documents", "tab-reader"),
        ("exract tabels from scaned documents", "tab-reader"),
        ("rows and columns in photos", "sheet-lens"),
        ("melodies", "songsmith"),
        ("stack traces", "bug-hound"),
        ("Acme speech", "scribe"),
    ):
        assert (await found(pool, text))[0] == first, text


async def test_a_name_finds_whom_it_names_first(pool: Pool) -> None:
    for text, first in (
        ("gpt-4o", "gpt-4o"),
        ("GPT 4o", "gpt-4o"),
        ("gpt4o mini", "gpt-4o-mini"),
        ("Tab Reader", "tab-reader"),
        ("whisperer", "whisperer"),
    ):
        assert (await found(pool, text))[0] == first, text
        assert (await meant(pool, text))[0] == first, text


async def test_what_somebody_cannot_do_finds_nobody(pool: Pool) -> None:
    assert await found(pool, "handwriting") == []


# By words and by meaning


async def test_meaning_finds_whom_no_word_finds(pool: Pool) -> None:
    for text, expected in (
        ("put what was said in a voice memo on paper", {"scribe", "whisperer"}),
        ("make an artwork", {"pixel-forge"}),
        ("why does my program crash", {"bug-hound"}),
    ):
        assert (await meant(pool, text))[0] in expected, text


async def test_the_capability_that_matches_is_named_with_the_reasons(pool: Pool) -> None:
    embedder = load(MINILM)
    async with viewing(pool) as snapshot:
        made = await Searching(embedder).search(
            snapshot, Need(text="transcribe recorded speech into text about guitar"), today=TODAY
        )
        results = await explained(snapshot, made.ready, made.answer.results)
    first = results[0]
    assert SLUGS[first.scored.candidate.artifact_id] == "scribe"
    assert first.scored.capability == "transcription"
    kinds = {reason.kind for reason in first.reasons}
    assert {ReasonKind.WORDS, ReasonKind.MEANING} <= kinds
    (words,) = (reason for reason in first.reasons if reason.kind == ReasonKind.WORDS)
    assert '"speech"' in words.sentence
    assert any('"guitar"' in lack for lack in first.lacks)
    assert made.answer.unknown == ("about", "guitar")
    for result in results:
        assert sum(reason.share or 0 for reason in result.reasons) == result.scored.score


async def test_a_text_without_a_vector_yet_is_found_by_its_words(clones: Clones) -> None:
    async with clones() as url:
        await take_in(url, catalog())
        async with pooled(url) as pool:
            assert (await meant(pool, "extract tables"))[0] == "tab-reader"


async def test_the_same_need_has_the_same_answer(pool: Pool) -> None:
    first = await answer(pool, Need(text="extract tables"), load(MINILM))
    again = await answer(pool, Need(text="extract tables"), load(MINILM))
    assert again.answer == first.answer
    scores = [one.score for one in first.answer.results]
    assert scores == sorted(scores, reverse=True)


# By example


async def test_who_serves_the_same_intents_is_like_it(pool: Pool) -> None:
    assert (await found(pool, like=("scribe",)))[0] == "whisperer"
    assert (await meant(pool, like=("scribe",)))[0] == "whisperer"
    assert (await meant(pool, like=("tab-reader",)))[0] == "sheet-lens"


async def test_neither_the_example_nor_the_counterexample_is_a_result(pool: Pool) -> None:
    for like in ("tab-reader", "twin-reader"):
        assert not {"tab-reader", *GONE} & set(await meant(pool, "tables", like=(like,)))
    for unlike in ("tab-reader", "twin-reader"):
        assert not {"tab-reader", *GONE} & set(await meant(pool, "tables", unlike=(unlike,)))
        assert "tab-reader" not in await found(pool, "tables", unlike=(unlike,))
    alone = await found(pool, unlike=("tab-reader",))
    assert set(alone) == set(SLUGS.values()) - GONE - {"tab-reader"}


async def test_like_it_but_otherwise_leans_to_what_is_said_besides(pool: Pool) -> None:
    but_music = await meant(pool, "but composes music", like=("scribe",))
    assert but_music.index("songsmith") < len(but_music)
    plain = await meant(pool, like=("scribe",))
    assert "songsmith" not in plain or plain.index("songsmith") >= but_music.index("songsmith")
    free = await meant(pool, like=("tab-reader",), where=Where(free=True))
    assert free[0] == "sheet-lens"
    assert set(free) <= {"sheet-lens", "whisperer"}


async def test_an_example_in_the_words_is_an_example(pool: Pool) -> None:
    assert (await meant(pool, "something like Scribe"))[0] == "whisperer"
    made = await meant(pool, "an alternative to Scribe, free of charge")
    assert made[0] == "whisperer"
    assert "scribe" not in made


# Under conditions


async def test_whoever_fails_a_condition_is_no_result(pool: Pool) -> None:
    assert await found(pool, "tables", where=Where(free=True)) == ["sheet-lens"]
    assert set(await meant(pool, "tables", where=Where(kinds=(Kind.API,)))) == {"sheet-lens"}
    assert "sheet-lens" not in await meant(pool, "tables, not Bolt")
    assert await found(pool, "tables", where=Where(free=True, open_weights=True)) in (
        [],
        ["whisperer"],
    )


async def test_conditions_alone_list_whom_they_let_through_by_rank(pool: Pool) -> None:
    by_rank = [
        SLUGS[row["artifact_id"]]
        for row in await pool.fetch(
            "SELECT artifact_id FROM rank_board ORDER BY standing DESC, artifact_id"
        )
    ]
    models = {"tab-reader", "scribe", "whisperer", "pixel-forge", "gpt-4o", "gpt-4o-mini"}
    listed = await found(pool, where=Where(kinds=(Kind.MODEL,)))
    assert listed == [slug for slug in by_rank if slug in models]
    assert await meant(pool, where=Where(kinds=(Kind.MODEL,))) == listed
    for one in (await answer(pool, Need(where=Where(free=True)))).answer.results:
        assert one.shares.keys() == {ReasonKind.RANK}


async def test_whoever_is_not_on_offer_is_never_found(pool: Pool) -> None:
    needs: list[Need] = [
        Need(text="old-reader"),
        Need(text="Old"),
        Need(text="Twin extracts tables from documents"),
        Need(like=("tab-reader",)),
        Need(like=("old-reader",)),
        Need(where=Where(kinds=(Kind.MODEL,))),
        Need(text="tables", where=Where(must_have=("table-extraction",))),
    ]
    for need in needs:
        for embedder in (None, load(MINILM)):
            assert not GONE & set(slugs((await answer(pool, need, embedder)).answer.results)), need


async def test_what_is_nowhere_is_nothing(pool: Pool) -> None:
    for text in ("qwxzy blorft", "zzzzzzzz", "xyzzy qwqwqw", "1234567890"):
        for embedder in (None, load(MINILM)):
            made = await answer(pool, Need(text=text), embedder)
            assert made.answer.results == (), text
            assert set(made.answer.unknown) == set(made.ready.asked.terms)
    for text in ("the", "what is it for?"):
        with pytest.raises(EmptyNeed):
            await found(pool, text)


async def test_where_nothing_fits_each_condition_says_what_it_leaves_out(pool: Pool) -> None:
    where = Where(free=True, vendors=("Acme",), kinds=(Kind.MODEL, Kind.API))
    async with viewing(pool) as snapshot:
        made = await Searching().search(snapshot, Need(text="tables", where=where), today=TODAY)
        assert made.answer.results == ()
        why = await shortfall(snapshot, made.ready, None)
    assert why.considered == len(SLUGS) - len(GONE)
    for exclusion in why.exclusions:
        alone = {exclusion.condition: getattr(where, exclusion.condition)}
        met = await found(pool, where=Where(**alone))
        assert exclusion.excludes == why.considered - len(met), exclusion
    nearest = [SLUGS[one.scored.candidate.artifact_id] for one in why.nearest]
    assert set(nearest[:2]) == {"tab-reader", "sheet-lens"}, "each fails one condition"
    for one in why.nearest[:2]:
        assert len([lack for lack in one.lacks if lack.startswith("Not met")]) == 1


# Of many


def crowd(rare: int) -> list[Any]:
    """A thousand that are much alike; the last ones differ in words, and have open weights."""
    made = []
    for number in range(1_000):
        is_rare = number >= 1_000 - rare
        one = artifact(
            f"reader-{number:04}",
            description=None,
            open_weights=True if is_rare else None,
        )
        said = (
            f"Pulls spreadsheets out of paperwork, batch {number}."
            if is_rare
            else f"Extracts tables from reports, edition {number}."
        )
        one.add_capability(capability("extraction", name="Extraction", description=said))
        made.append(one)
    return made


@pytest.fixture(scope="module")
def crowded(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, crowd(1), load("wordllama"))


async def test_the_one_in_a_thousand_that_passes_is_found(
    crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = Need(text="extract tables from reports", where=Where(open_weights=True))
    db = await connect(crowded, "test")
    await db.execute("ANALYZE")
    await db.close()
    async with pooled(crowded) as pool:
        for embedder in (None, load("wordllama")):
            for most, few in ((20_000, 1_000), (100, 1_000), (100, 0)):
                # With fewer, the index of vectors looks for the nearest.
                monkeypatch.setattr(search, "MOST_COMPARED", most)
                monkeypatch.setattr(search, "FEW", few)
                made = await answer(pool, need, embedder)
                if embedder is not None:
                    assert [one.candidate.artifact_id for one in made.answer.results] == [
                        id_of("reader-0999")
                    ]
                free = await answer(pool, Need(text="extract tables"), embedder)
                assert len(free.answer.results) >= search.BY_WORDS


async def test_in_a_large_catalog_the_first_texts_of_each_are_compared_and_the_nearest_of_all(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.execute("ANALYZE text_vector")
    monkeypatch.setattr(search, "MOST_COMPARED", 0)
    monkeypatch.setattr(search, "BREADTH", 1)
    need = Need(text="transcribe a meeting with tables")
    compared: dict[int, set[tuple[str, str]]] = {}
    for most in (1, 100):
        monkeypatch.setattr(search, "MOST_DESCRIBED", most)
        made = await answer(pool, need, load(MINILM))
        assert set(slugs(made.answer.results)[:2]) == {"scribe", "whisperer"}
        compared[most] = {
            (SLUGS[one.candidate.artifact_id], document.key)
            for one in made.answer.results
            for document in one.candidate.documents
            if document.alike is not None
        }
    themselves = {(slug, key) for slug, key in compared[100] if not key}
    share = {("scribe", "transcription"), ("whisperer", "transcription")}
    assert compared[1] == themselves | share
    assert ("tab-reader", "table-extraction") in compared[100]


async def test_of_very_many_artifacts_an_even_sample_says_why_nothing_fits(
    crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = Need(text="extract", where=Where(open_weights=True, kinds=(Kind.DATASET,)))
    async with pooled(crowded) as pool:
        made = await answer(pool, need)
        async with viewing(pool) as snapshot:
            every = await shortfall(snapshot, made.ready, None)
            monkeypatch.setattr(explanation, "MOST_CONSIDERED", 100)
            some = await shortfall(snapshot, made.ready, None)
    assert every.considered == 1_000
    assert 50 <= some.considered <= 100
    excluded = [{one.condition: one.excludes for one in why.exclusions} for why in (every, some)]
    assert excluded[0] == {"open_weights": 999, "kinds": 1_000}
    assert excluded[1]["kinds"] == some.considered


async def test_some_in_a_thousand_that_pass_are_found_behind_hundreds_that_do_not(
    clones: Clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = Need(text="extract tables from reports", where=Where(open_weights=True))
    embedder = load("wordllama")
    async with clones() as url:
        await take_in(url, crowd(40), embedder)
        db = await connect(url, "test")
        await db.execute("ANALYZE")
        await db.close()
        async with pooled(url) as pool:
            for most, few in ((20_000, 0), (100, 1_000), (100, 0)):
                # Without the last, whoever meets the conditions is compared one by one.
                monkeypatch.setattr(search, "MOST_COMPARED", most)
                monkeypatch.setattr(search, "FEW", few)
                made = await answer(pool, need, embedder)
                assert len(made.answer.results) == 40, (most, few)
