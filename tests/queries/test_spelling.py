"""Misspelt words are read as the catalog writes them, and what is right is left alone."""

from collections.abc import Iterator

import pytest

from matchgraph.eventstore.connection import Pool
from matchgraph.queries.snapshot import viewing
from matchgraph.queries.spelling import MOST_CORRECTED, Correction, corrected
from matchgraph.servers import Servers
from tests.eventstore.histories import artifact
from tests.queries.catalogs import catalog, shared

# Words that come once and twice, one letter from others.
NEAR = [
    artifact("one", description="house"),
    artifact("two", description="mouse"),
    artifact("three", description="mouse"),
]


@pytest.fixture(scope="module")
def filled(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, [*catalog(), *NEAR])


@pytest.fixture
def url(filled: str) -> str:
    return filled


def nothing(word: str) -> bool:
    return False


async def read(pool: Pool, text: str, *known: str) -> str:
    """The text as it is read by whoever knows these words besides."""
    async with viewing(pool) as snapshot:
        said, corrections = await corrected(snapshot, text, lambda word: word in known)
    assert (said != text) is bool(corrections)
    return said


READ: list[tuple[str, str]] = [
    # a letter wrong, missing, too many, or two that changed places
    ("tebles", "tables"),
    ("tabels", "tables"),
    ("talbes", "tables"),
    ("tabless", "tables"),
    ("msuic", "music"),
    ("exract TABELS from a pdf", "extract tables from a pdf"),
    # two in a longer word
    ("transkripton", "transcription"),
    ("recgonises", "recognises"),
    # as often as it comes, and with what stands around it
    ("(tabels), tabels!", "(tables), tables!"),
    ("tàbels", "tables"),
    # right, by itself or in another form
    ("tables table tabling", "tables table tabling"),
    ("Tàbles", "Tàbles"),
    # too far from everything
    ("zyxwvu qqqqqq", "zyxwvu qqqqqq"),
    ("tobelz", "tobelz"),
    # too short, no words, other scripts
    ("tbl adn", "tbl adn"),
    ("tab1es t4bles", "tab1es t4bles"),
    ("文字認識 таблица", "文字認識 таблица"),
    ("", ""),
    ("🔥 ??? 42", "🔥 ??? 42"),
    # words that only ask
    ("please recommend something", "please recommend something"),
]


async def test_words_are_read_as_the_catalog_writes_them(pool: Pool) -> None:
    for written, expected in READ:
        assert await read(pool, written) == expected, written


async def test_who_knows_a_word_leaves_it_alone(pool: Pool) -> None:
    assert await read(pool, "tabels") == "tables"
    assert await read(pool, "tabels", "tabels") == "tabels"


async def test_each_correction_says_what_was_written(pool: Pool) -> None:
    async with viewing(pool) as snapshot:
        _, corrections = await corrected(snapshot, "Tabels and tabels of musci", nothing)
    assert set(corrections) == {
        Correction("Tabels", "tables"),
        Correction("tabels", "tables"),
        Correction("musci", "music"),
    }


async def test_of_equally_near_words_the_same_first_letter_counts_and_then_the_use(
    pool: Pool,
) -> None:
    assert await read(pool, "hoose") == "house"
    assert await read(pool, "moose") == "mouse"
    assert await read(pool, "fouse") == "mouse", "it comes more often"


async def test_a_text_full_of_mistakes_is_read_as_far_as_it_pays(pool: Pool) -> None:
    text = " ".join(f"tabels{'x' * number}" for number in range(MOST_CORRECTED + 1))
    assert (await read(pool, f"{text} tebles")).endswith("tebles")
    assert len(await read(pool, "tabels " * 1_400)) == 9_800


async def test_signs_of_the_pattern_language_are_letters_like_others(pool: Pool) -> None:
    for before, after in (("", "'; --"), ("\\", ""), ("$1 ", ""), ("%", "%"), ("{}", "{0}")):
        assert await read(pool, f"{before}tabels{after}") == f"{before}tables{after}"
