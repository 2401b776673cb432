"""What people write differently counts as the same, whoever writes it and in whatever script."""

import unicodedata
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.projections.words import ASKING, STOP, plain, stem, terms, words

TERMS: list[tuple[str, list[str]]] = [
    # names and versions
    ("GPT-4o", ["gpt", "4o", "gpt4o"]),
    ("gpt 4o", ["gpt", "4o"]),
    ("gpt4o", ["gpt4o", "gpt", "4o"]),
    ("GPT\N{NON-BREAKING HYPHEN}4", ["gpt", "4", "gpt4"]),
    ("Claude 3.5 Sonnet", ["claud", "3.5", "sonnet"]),
    ("v1.2.3-beta", ["v1.2.3", "beta", "v1.2.3beta"]),
    ("llama.cpp, node.js.", ["llama.cpp", "node.js"]),
    ("h264 3D", ["h264", "3d"]),
    # hyphens and what else joins
    ("text-to-image", ["text2imag", "text", "imag"]),
    ("speech to text", ["speech2text", "speech", "text"]),
    ("from here to there", ["here"]),
    ("low-latency", ["low", "latenc", "lowlat"]),
    ("e-mail", ["e", "mail", "email"]),
    ("snake_case/path", ["snake", "case", "path"]),
    ("a-", []),
    ("--flag", ["flag"]),
    # accents, ligatures, case
    ("Café", ["cafe"]),
    ("naïve NAÏVE naive", ["naiv"] * 3),
    ("ﬁne", ["fine"]),
    ("straße", ["strass"]),
    ("İstanbul", ["istanbul"]),
    # apostrophes
    ("the user's files", ["user", "file"]),
    ("the user’s files", ["user", "file"]),
    ("l'été", ["l'ete"]),
    ("don’t", ["don't"]),
    # languages that are written with signs
    ("C++", ["c++"]),
    ("a C++17 parser", ["c++", "17", "parser"]),
    ("(C#)", ["c#"]),
    ("1+1", ["1", "1"]),
    # scripts without blanks, and signs that are no words
    ("文字認識 API", ["文字認識", "api"]),
    ("日本語、한국어", ["日本語", "한국어"]),
    ("🔥 fire 🔥", ["fire"]),
    ("$10,000", ["10", "000"]),
    # nothing
    ("", []),
    (" \t\n", []),
    ("... !? 🔥", []),
    ("what is it for?", []),
]


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_a_text_counts_as_its_stems(text: str, expected: list[str]) -> None:
    found = [unicodedata.normalize("NFC", term) for term in terms(text)]
    assert found == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GPT-4o", "gpt 4o"),
        ("GPT-4o", "gpt4o"),
        ("low-latency", "low latency"),
        ("low-latency", "lowlatency"),
        ("tables", "table"),
        ("parsing", "parses"),
        ("Parsing tables", "parse table"),
        ("Übersetzung", "ubersetzung"),
        ("summarise's", "summarises"),
        ("it’s transcribed", "it's transcribed"),
    ],
)
def test_ways_of_writing_meet_in_a_term(one: str, other: str) -> None:
    assert set(terms(one)) & set(terms(other))


@pytest.mark.parametrize(
    ("one", "other"), [("gpt-4", "gpt-5"), ("C", "C++"), ("C#", "C++"), ("sonnet 3.5", "opus 35")]
)
def test_what_is_different_does_not_meet_in_everything(one: str, other: str) -> None:
    assert set(terms(one)) != set(terms(other))


def test_words_are_as_written_in_order_and_again() -> None:
    assert list(words("Read the user’s PDF-tables, read v2.5!")) == [
        *("read", "the", "user", "pdf", "tables", "read", "v2.5")
    ]


def test_what_says_nothing_is_no_term_and_what_asks_is_one() -> None:
    assert list(terms(" ".join(sorted(STOP)))) == []
    assert list(terms(" ".join(sorted(ASKING)))) == [stem(word) for word in sorted(ASKING)]
    assert not STOP & ASKING


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "a-" * 5_000,
        "b." * 5_000,
        "+" * 10_000,
        "c" + "+" * 9_999,
        "'" * 10_000,
        "é" * 10_000,
        "1.1" * 3_333,
        "文字 " * 3_333,
        "parses tables " * 714,
    ],
)
def test_ten_thousand_characters_are_read_in_no_time(text: str) -> None:
    started = perf_counter()
    found = list(terms(text))
    assert perf_counter() - started < 1
    assert len(found) <= len(text)


@given(st.text())
def test_whatever_is_written_can_be_read(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert list(words(plain(text))) == list(words(text))
    assert list(terms(plain(text))) == list(terms(text))
    for word in [*words(text), *terms(text)]:
        assert word
        assert not any(c.isspace() for c in word)


@given(st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), max_size=8))
def test_terms_come_word_by_word(said: list[str]) -> None:
    assert list(terms(" ".join(said))) == [stem(word) for word in said if word not in STOP]


THINGS = (
    "agent api benchmark dataset file image invoice model parser prompt query reply table token"
)


@pytest.mark.parametrize("word", THINGS.split())
def test_one_and_several_of_a_thing_count_as_the_same(word: str) -> None:
    several = f"{word[:-1]}ies" if word.endswith(("ry", "ly")) else f"{word}s"
    assert stem(word) == stem(several)
    assert list(terms(several.upper())) == [stem(word)]


@given(st.from_regex(r"[a-z]{2,8}", fullmatch=True), st.integers(0, 99))
def test_a_name_with_a_number_is_the_same_apart_together_and_with_a_hyphen(
    name: str, number: int
) -> None:
    ways = [set(terms(f"{name}{between}{number}")) for between in ("", "-", " ")]
    for way in ways:
        assert str(number) in way
        assert stem(name) in way or name in STOP
    assert f"{name}{number}" in ways[0] & ways[1]
