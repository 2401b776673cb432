"""A need is spelled right, understood, resolved, and refused where it makes no sense."""

from collections.abc import Collection, Iterator
from datetime import date
from decimal import Decimal

import pytest

from matchgraph.domain.artifact import Kind, id_of
from matchgraph.domain.need import Ceiling, Need, Where
from matchgraph.domain.price import Unit
from matchgraph.embedding import Embedder, load
from matchgraph.eventstore.connection import Pool, open_pool
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.queries.need import Contradiction, EmptyNeed, Ready, UnknownExample, field_of
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import viewing
from matchgraph.queries.spelling import Correction
from matchgraph.servers import Servers
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import artifact
from tests.queries.catalogs import catalog, shared, take_in

TODAY = date(2026, 11, 23)


@pytest.fixture(scope="module")
def filled(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, catalog())


@pytest.fixture
def url(filled: str) -> str:
    return filled


SECRET = b"what ids of intents are made with"


async def made_ready(
    pool: Pool,
    need: Need,
    *,
    ignored: Collection[str] = (),
    embedder: Embedder | None = None,
) -> Ready:
    async with viewing(pool) as snapshot:
        searching = Searching(embedder, secret=SECRET)
        found = await searching.search(snapshot, need, today=TODAY, ignored=ignored)
    return found.ready


NOTHING = [
    Need(),
    Need(text=""),
    Need(text=" \t\n "),
    Need(text="???"),
    Need(text="🔥 ... 🔥"),
    Need(text="what is it for?"),
    Need(where=Where(kinds=())),
]


async def test_who_asks_for_nothing_is_told_what_to_say(pool: Pool) -> None:
    for need in NOTHING:
        telling = need.text is not None and any(map(str.isalnum, need.text))
        for embedder in (None,) if telling else (None, load("wordllama"), load("minilm")):
            with pytest.raises(EmptyNeed, match="`need` is empty"):
                await made_ready(pool, need, embedder=embedder)


UNKNOWN = [
    (Need(like=("nothing",)), "`need.like`"),
    (Need(unlike=("scribe", "nothing")), "`need.unlike`"),
    (Need(where=Where(cheaper_than="nothing")), "`need.where.cheaperThan`"),
    (Need(text="tables", like=("scribe", "nothing")), "`need.like`"),
    (Need(like=("",)), "`need.like`"),
    (Need(like=("x" * 500,)), "`need.like`"),
]


async def test_an_artifact_that_is_not_there_is_named(pool: Pool) -> None:
    for need, field in UNKNOWN:
        with pytest.raises(UnknownExample) as refused:
            await made_ready(pool, need)
        assert field in str(refused.value)
        assert refused.value.slug not in ("scribe",)
        assert len(str(refused.value)) < 300


CONTRADICTORY = [
    (Need(where=Where(vendors=("Acme",), not_vendors=("ACME",))), ("vendors", "not_vendors")),
    (Need(where=Where(kinds=(Kind.MODEL,), not_kinds=(Kind.MODEL,))), ("kinds", "not_kinds")),
    (Need(text="tables, not Bolt", where=Where(vendors=("Bolt",))), ("vendors", "not_vendors")),
    (Need(like=("scribe",), unlike=("scribe",)), ("like", "unlike")),
    (
        Need(where=Where(released_since=date(2026, 1, 1), released_before=date(2025, 1, 1))),
        ("released_since", "released_before"),
    ),
    (
        Need(where=Where(reasoning=True, must_not_have=("reasoning",))),
        ("reasoning", "must_not_have"),
    ),
    (
        Need(
            where=Where(
                free=False,
                price_ceilings=(Ceiling(amount=Decimal(0), per=Unit.INPUT_TOKEN),),
            )
        ),
        ("free", "price_ceilings"),
    ),
    (
        Need(where=Where(min_context_tokens=2**62)),
        ("min_context_tokens", "min_context_tokens"),
    ),
]


async def test_what_nothing_can_meet_together_says_which_two(pool: Pool) -> None:
    for need, names in CONTRADICTORY:
        with pytest.raises(Contradiction) as refused:
            await made_ready(pool, need)
        assert refused.value.conditions == names
        assert all(field_of(name) in str(refused.value) for name in names)


async def test_what_is_given_holds_where_the_words_say_the_opposite(pool: Pool) -> None:
    made = (await made_ready(pool, Need(text="free tables", where=Where(free=False)))).understanding
    assert (made.where, made.readings, made.rest) == (Where(free=False), (), "free tables")


async def test_like_something_but_cheaper_is_cheaper_than_that(pool: Pool) -> None:
    need = Need(text="like scribe but cheaper")
    made = (await made_ready(pool, need)).understanding
    assert made.where == Where(cheaper_than="scribe")
    assert (made.like, made.rest) == (("scribe",), "")
    again = (await made_ready(pool, need, ignored=["cheaper_than:scribe"])).understanding
    assert again.where == Where()
    assert "cheaper" in again.rest


async def test_what_was_read_can_be_switched_off(pool: Pool) -> None:
    need = Need(text="extract tables for free, not Bolt")
    made = (await made_ready(pool, need)).understanding
    assert made.where == Where(not_vendors=("Bolt",), free=True)
    assert "bolt" not in made.rest.lower()
    wrong = next(reading for reading in made.readings if reading.where.not_vendors)
    again = (await made_ready(pool, need, ignored=[wrong.id])).understanding
    assert again.where == Where(free=True)
    assert "Bolt" in again.rest
    assert wrong.id not in [reading.id for reading in again.readings]
    all_off = [reading.id for reading in made.readings]
    plain = (await made_ready(pool, need, ignored=[*all_off, "no such reading"])).understanding
    assert (plain.where, plain.readings) == (Where(), ())
    assert plain.rest == need.text


async def test_given_conditions_and_examples_unite_with_those_that_were_read(pool: Pool) -> None:
    need = Need(
        text="transcription like Whisperer, not Bolt",
        like=("scribe",),
        where=Where(not_vendors=("OpenAI",)),
    )
    made = (await made_ready(pool, need)).understanding
    assert made.like == ("scribe", "whisperer")
    assert set(made.where.not_vendors) == {"OpenAI", "Bolt"}


async def test_misspelt_words_are_read_right_and_said_so(pool: Pool) -> None:
    made = await made_ready(pool, Need(text="  exract tabels  "))
    assert made.understanding.text == "extract tables"
    assert made.understanding.corrections == (
        Correction("exract", "extract"),
        Correction("tabels", "tables"),
    )
    assert set(made.asked.terms) == {"extract", "tabl"}
    known = await made_ready(pool, Need(text="an alternative to whisperer"))
    assert known.understanding.corrections == ()


async def test_a_text_that_is_a_name_names_it(pool: Pool) -> None:
    for text in ("GPT-4o", "gpt 4o", "gpt4o", "Gpt-4O"):
        assert (await made_ready(pool, Need(text=text))).asked.named == (id_of("gpt-4o"),), text
    assert (await made_ready(pool, Need(text="tab reader"))).asked.named == (id_of("tab-reader"),)
    assert (await made_ready(pool, Need(text="extract tables"))).asked.named == ()
    assert (await made_ready(pool, Need(text="old-reader"))).asked.named == ()


async def test_an_alias_leads_to_whom_it_means(pool: Pool) -> None:
    made = await made_ready(pool, Need(like=("twin-reader",), unlike=("scribe",)))
    assert (made.asked.like, made.asked.unlike) == ((id_of("tab-reader"),), (id_of("scribe"),))
    assert made.asked.kinds == ("model",)


async def test_cheaper_than_what_is_free_or_unknown_is_nothing(pool: Pool) -> None:
    async with viewing(pool) as snapshot:
        for slug, count in (("whisperer", 0), ("bug-hound", 0), ("tab-reader", 2)):
            need = Need(where=Where(cheaper_than=slug))
            found = await Searching().search(snapshot, need, today=TODAY)
            assert len(found.answer.results) == count, slug


# What is meant


async def test_the_same_need_is_the_same_intent_however_it_is_put(pool: Pool) -> None:
    first = (await made_ready(pool, Need(text="extract tables"))).intent
    assert first.label == "extract tables"
    for text in ("Extract TABLES!", "tables: extract", "exract tabels", "extracting a table"):
        assert (await made_ready(pool, Need(text=text))).intent.cluster == first.cluster, text
    assert (await made_ready(pool, Need(text="compose music"))).intent.cluster != first.cluster
    liking = [(await made_ready(pool, Need(like=like))).intent for like in LIKES]
    assert len({intent.cluster for intent in liking}) == 2
    conditions = await made_ready(pool, Need(where=Where(free=True)))
    assert conditions.intent.label == "free of charge"


LIKES = (("scribe", "whisperer"), ("whisperer", "scribe"), ("scribe",))


async def test_an_intent_of_before_that_means_the_same_is_the_same(pool: Pool) -> None:
    embedder = load("minilm")
    searching = Searching(embedder)
    first = await made_ready(pool, Need(text="extract tables from a pdf"), embedder=embedder)
    assert first.news is not None
    key = (await SearcherKeys(pool, ["a master key that tests wrap with"]).of("ann")).id
    await searching.keep(pool, first.intent.cluster, first.news, key)
    same = await made_ready(pool, Need(text="extract all tables from pdf files"), embedder=embedder)
    assert same.intent.cluster == first.intent.cluster
    other = await made_ready(pool, Need(text="paint an illustration"), embedder=embedder)
    assert other.intent.cluster != first.intent.cluster
    assert same.news is None, "it is known already"
    await searching.keep(pool, first.intent.cluster, first.news, key)
    assert await pool.fetchval("SELECT count(*) FROM intent_vector") == 1


async def test_a_long_need_has_a_short_label(pool: Pool) -> None:
    made = await made_ready(pool, Need(text="extract tables " * 130))
    assert len(made.intent.label) <= 200


async def understood(searching: Searching, pool: Pool, need: Need) -> Where:
    async with viewing(pool) as snapshot:
        return (await searching.search(snapshot, need, today=TODAY)).ready.understanding.where


async def test_a_name_that_was_just_added_is_understood(clones: Clones) -> None:
    searching = Searching()
    need = Need(text="tables, not Zetacorp")
    async with clones() as url:
        await take_in(url, catalog())
        pool = await open_pool(url, "test", size=2)
        try:
            assert (await understood(searching, pool, need)).not_vendors == ()
            await take_in(url, [artifact("zeta-one", vendor="Zetacorp")])
            assert (await understood(searching, pool, need)).not_vendors == ("Zetacorp",)
        finally:
            await pool.close()
