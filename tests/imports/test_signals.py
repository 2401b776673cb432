"""What a table of signals may say, and where each mistake is reported."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.artifact import Facts
from matchgraph.domain.provenance import Method
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.imports import signals
from matchgraph.imports.record import Problem
from matchgraph.imports.signals import Read

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEADER = "slug,name,value,source,observed_at"
SOUND = "parser,stars,1234,https://example.org,2026-11-01"
SAID: dict[str, Any] = {
    "slug": "parser",
    "name": "stars",
    "value": 1234,
    "source": "https://example.org",
    "observed_at": "2026-11-01",
}
STARS = Signal(
    name=SignalName.STARS,
    value=Decimal(1234),
    source="https://example.org",
    observed_at=datetime(2026, 11, 1, tzinfo=UTC),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test stands, so that files have short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(content: str | bytes, name: str = "seen.csv") -> Path:
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def csv(*lines: str, header: str = HEADER) -> Read:
    return signals.read([written("\n".join((header, *lines)) + "\n")], NOW)


def jsonl(*lines: object) -> Read:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return signals.read([written(text, "seen.jsonl")], NOW)


def said(read: Read) -> list[tuple[str, Signal]]:
    return [(entry.draft.slug, signal) for entry in read.entries for signal in entry.draft.signals]


def only(read: Read) -> Problem:
    """The one problem of a table whose sound lines are all taken in."""
    assert len(read.problems) == 1, "\n".join(map(str, read.problems))
    assert {slug for slug, _ in said(read)} <= {"parser"}
    return read.problems[0]


DOCUMENT = (Path(__file__).parents[2] / "docs" / "signals.md").read_text("utf-8")


def test_the_document_names_every_signal_and_every_key() -> None:
    first = re.findall(r"^\| `([^`]+)` \|", DOCUMENT, re.MULTILINE)
    assert first == [*(name.value for name in SignalName), *signals.LINE]


def test_the_examples_of_the_document_are_read_whole(folder: Path) -> None:
    examples = dict(re.findall(r"```(csv|json)\n(.*?)```", DOCUMENT, re.DOTALL))
    table = signals.read([written(examples["csv"])], NOW)
    objects = signals.read([written(examples["json"], "seen.jsonl")], NOW)
    assert table.problems == objects.problems == ()
    assert said(objects) == said(table)[:1]
    assert len(said(table)) == 2


# What is accepted


def test_a_line_of_either_format_is_a_signal(folder: Path) -> None:
    for read in (csv(SOUND), jsonl(SAID)):
        assert read.problems == ()
        assert said(read) == [("parser", STARS)]


def test_it_says_nothing_else_of_an_artifact_that_must_be_there(folder: Path) -> None:
    (entry,) = csv(SOUND).entries
    assert entry.draft.facts == Facts()
    assert entry.draft.only_known
    assert entry.draft.signals_apart
    assert (entry.draft.aliases, entry.draft.capabilities, entry.draft.prices) == ((), (), ())


def test_the_columns_come_in_any_order_and_with_blanks(folder: Path) -> None:
    header = "observed_at, method ,source,value,name,slug"
    read = csv(" 2026-11-01 , verified,https://example.org,1234, stars ,parser", header=header)
    ((_, signal),) = said(read)
    assert signal.method is Method.VERIFIED
    assert signal.value == 1234


def test_how_it_came_to_be_may_be_left_empty(folder: Path) -> None:
    read = csv(f"{SOUND},", f"{SOUND[:-2]}02,inferred", header=f"{HEADER},method")
    assert [signal.method for _, signal in said(read)] == [Method.OBSERVED, Method.INFERRED]


@pytest.mark.parametrize(
    ("value", "kept"),
    [("0", "0"), ("1.50", "1.5"), ("1e3", "1000"), (".5", "0.5"), ("1e-18", "1e-18")],
)
def test_a_number_is_kept_exactly(folder: Path, value: str, kept: str) -> None:
    ((_, signal),) = said(csv(SOUND.replace("1234", value)))
    assert signal.value == Decimal(kept)
    if not value.startswith("."):
        text = json.dumps(SAID).replace("1234", value)
        assert said(jsonl(text)) == [("parser", signal)]
    assert said(jsonl({**SAID, "value": value})) == [("parser", signal)]


def test_a_float_of_json_is_taken_as_it_is_written(folder: Path) -> None:
    ((_, signal),) = said(jsonl(json.dumps(SAID).replace("1234", "0.100000000000000005")))
    assert signal.value == Decimal("0.100000000000000005")


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\n{SOUND}\n",
        f"{HEADER}\r\n{SOUND}\r\n",
        f"\n{HEADER}\n\n  \n{SOUND}\n\n",
        f"{HEADER}\n{SOUND}",
        "\n".join(f'"{line}"'.replace(",", '","') for line in (HEADER, SOUND)),
    ],
)
def test_marks_blank_lines_and_ends_of_lines_do_not_matter(folder: Path, content: str) -> None:
    read = signals.read([written(content, "SEEN.CSV")], NOW)
    assert read.problems == ()
    assert said(read) == [("parser", STARS)]


def test_a_mark_before_json_does_not_matter(folder: Path) -> None:
    read = signals.read([written(f"\ufeff{json.dumps(SAID)}\r\n", "seen.ndjson")], NOW)
    assert said(read) == [("parser", STARS)]


def test_a_quoted_comma_is_part_of_the_source(folder: Path) -> None:
    ((_, signal),) = said(csv('parser,stars,1234,"Smith, Jones ""& Co""",2026-11-01'))
    assert signal.source == 'Smith, Jones "& Co"'


def test_a_table_without_lines_is_no_mistake(folder: Path) -> None:
    assert csv() == jsonl("") == Read((), ())


def test_signals_of_an_artifact_are_one_draft_in_the_order_of_time(folder: Path) -> None:
    one = written(f"{HEADER}\n{SOUND}\nother,stars,5,s,2026-11-01\n", "one.csv")
    two = written(json.dumps({**SAID, "value": 9, "observed_at": "2026-10-01"}), "two.jsonl")
    read = signals.read([one, two, one], NOW)
    assert read.problems == ()
    assert [entry.draft.slug for entry in read.entries] == ["parser", "other"]
    first = read.entries[0]
    assert [signal.value for signal in first.draft.signals] == [9, 1234]
    assert first.places == (("two.jsonl", 1), ("one.csv", 2))


def test_very_many_signals_of_an_artifact_are_several_drafts(folder: Path) -> None:
    lines = [f"parser,stars,{n},s{n},2026-11-01" for n in range(signals.MOST_AT_ONCE + 1)]
    read = csv(*lines)
    assert [len(entry.draft.signals) for entry in read.entries] == [signals.MOST_AT_ONCE, 1]
    assert len({signal.source for _, signal in said(read)}) == len(lines)


# What is wrong with one line


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("Pars er,stars,1,s,2026-11-01", "slug", "is not a slug"),
        ("par\0ser,stars,1,s,2026-11-01", "slug", "is not a slug"),
        (",stars,1,s,2026-11-01", "slug", "missing"),
        ("parser,star,1,s,2026-11-01", "name", "did you mean 'stars'?"),
        ("parser,,1,s,2026-11-01", "name", "missing"),
        ("parser,stars,,s,2026-11-01", "value", "missing"),
        ("parser,stars,many,s,2026-11-01", "value", "Write a number such as 1234 or 0.5"),
        ('parser,stars,"1,234",s,2026-11-01', "value", "not '1,234'"),
        ("parser,stars,1\0,s,2026-11-01", "value", "Write a number"),
        ("parser,stars,NaN,s,2026-11-01", "value", "from 0 to below 10^15"),
        ("parser,stars,-Infinity,s,2026-11-01", "value", "from 0 to below 10^15"),
        ("parser,stars,-1,s,2026-11-01", "value", "from 0 to below 10^15"),
        ("parser,stars,1e15,s,2026-11-01", "value", "from 0 to below 10^15"),
        ("parser,stars,1e999999999,s,2026-11-01", "value", "from 0 to below 10^15"),
        ("parser,stars,1e-999999999,s,2026-11-01", "value", "18 decimal places"),
        ("parser,stars,1e99999999999999999999,s,2026-11-01", "value", ""),
        ("parser,docs,2,s,2026-11-01", "value", "a checklist item is 0 or 1"),
        ("parser,stars,1,,2026-11-01", "source", "missing"),
        ("parser,stars,1,a\0b,2026-11-01", "source", "cannot be stored"),
        (f"parser,stars,1,{'s' * 501},2026-11-01", "source", "501 characters"),
        ("parser,stars,1,s,", "observed_at", "missing"),
        ("parser,stars,1,s,1.11.2026", "observed_at", "a date such as"),
        ("parser,stars,1,s,2026-02-30", "observed_at", "a date such as"),
        ("parser,stars,1,s,2026-11-01T09:30:00", "observed_at", "09:30:00Z"),
        ("parser,stars,1,s,2027-11-01", "observed_at", "lies in the future"),
        ("parser,stars,1,s,1800-01-01", "observed_at", "before the year 1900"),
        ("parser,stars,1,s", "", "Write 5 columns as the first line does, not 4."),
        ("parser,stars,1,s,2026-11-01,observed", "", "not 6"),
        ("parser;stars;1;s;2026-11-01", "", "not 1"),
        ('parser,stars,1,"s,2026-11-01', "", "close quotes in the same line"),
        ('parser,stars,1,"s"s,2026-11-01', "", "This is not CSV"),
        ("parser,stars,1,s\r,2026-11-01", "", "This is not CSV"),
        ("parser,stars,1," + "s" * 20_000 + ",2026-11-01", "", "at most 10000 bytes"),
    ],
)
def test_a_mistake_costs_its_line_alone(folder: Path, line: str, field: str, reason: str) -> None:
    read = csv(SOUND, line, SOUND.replace("1234", "1235").replace("-11-", "-10-"))
    problem = only(read)
    assert (problem.file, problem.line, problem.field) == ("seen.csv", 3, field), str(problem)
    assert reason in problem.reason
    assert [signal.value for _, signal in said(read)] == [1235, 1234]
    str(problem).encode()


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("{", "", "This is not JSON"),
        ("[" * 9_000, "", "This is not JSON"),
        (json.dumps(SAID) + ",", "", "This is not JSON"),
        ("[1]", "", "Write keys with values, not a list."),
        ("5", "", "Write keys with values, not 5."),
        ("null", "", "not nothing"),
        ({**SAID, "value": None}, "value", "Give it a value"),
        ({**SAID, "value": True}, "value", "not true"),
        ({**SAID, "value": [1]}, "value", "not a list"),
        ({**SAID, "value": {"a": 1}}, "value", "not keys with values"),
        ({**SAID, "value": float("nan")}, "value", "from 0 to below 10^15"),
        ({**SAID, "value": float("inf")}, "value", "from 0 to below 10^15"),
        (json.dumps(SAID).replace("1234", "9" * 5000), "value", "from 0 to below 10^15"),
        (json.dumps(SAID).replace("1234", "1e99999999999999999999"), "", "not JSON"),
        ({**SAID, "slug": 5}, "slug", "Write a text"),
        ({**SAID, "slug": "a\ud800"}, "slug", "is not a slug"),
        ({**SAID, "source": "a\ud800"}, "source", "cannot be stored"),
        ({**SAID, "name": 5}, "name", "Write one of"),
        ({**SAID, "observed_at": 1_700_000_000}, "observed_at", "a date such as"),
        ({**SAID, "method": "guessed"}, "method", "Write one of inferred"),
        ({**SAID, "vlaue": 5}, "vlaue", "did you mean 'value'?"),
        ({**SAID, "\ud800": 5}, "\ufffd", "no such key"),
        ('{"value": 5, ' + json.dumps(SAID)[1:], "value", "line 2 has this key too"),
    ],
)
def test_a_mistake_in_json_costs_its_line_alone(
    folder: Path, line: object, field: str, reason: str
) -> None:
    read = jsonl(SAID, line, {**SAID, "value": 1235, "observed_at": "2026-10-01"})
    problem = only(read)
    assert (problem.file, problem.line, problem.field) == ("seen.jsonl", 2, field), str(problem)
    assert reason in problem.reason
    assert [signal.value for _, signal in said(read)] == [1235, 1234]
    str(problem).encode()


def test_every_mistake_of_a_line_is_named(folder: Path) -> None:
    read = csv("Pars er,stras,-1,,2027-11-01")
    assert [problem.field for problem in read.problems] == [
        "source",
        "name",
        "value",
        "observed_at",
        "slug",
    ]


def test_a_line_that_is_not_utf_8_costs_nothing_else(folder: Path) -> None:
    latin = "parser,stars,1,Café,2026-11-01\n".encode("latin-1")
    path = written(f"{HEADER}\n".encode() + latin + f"{SOUND}\n".encode())
    read = signals.read([path], NOW)
    assert str(only(read)) == "seen.csv:2: This is not UTF-8; save the file as UTF-8."
    assert said(read) == [("parser", STARS)]


def test_a_line_said_twice_is_kept_once(folder: Path) -> None:
    read = csv(SOUND, SOUND, SOUND.replace("1234", "5"))
    assert [str(problem) for problem in read.problems] == [
        "seen.csv:3: Keep one; seen.csv:2 says the same.",
        "seen.csv:4: Keep one; seen.csv:2 says 1234 of that moment.",
    ]
    assert said(read) == [("parser", STARS)]


def test_problems_come_in_the_order_of_files_and_lines(folder: Path) -> None:
    two = written(f"{HEADER}\n{SOUND}\nparser,stars,x,s,2026-11-01\n{SOUND}\n", "two.csv")
    one = written(f"{HEADER}\n{SOUND}\n", "one.csv")
    read = signals.read([two, one], NOW)
    assert [(problem.file, problem.line) for problem in read.problems] == [
        ("two.csv", 3),
        ("two.csv", 4),
        ("one.csv", 2),
    ]


# What is wrong with a file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SOUND.encode(), "there is no column 'parser'"),
        (b"slug,name,value,source", "observed_at is missing"),
        (f"{HEADER},slug".encode(), "slug is there twice"),
        (HEADER.replace("value", "vlaue").encode(), "'vlaue'; did you mean 'value'?"),
        (HEADER.replace(",", ";").encode(), "there is no column 'slug;name"),
        (f"{HEADER},".encode(), "there is no column ''"),
        (HEADER.replace("slug", "sl\0ug").encode(), "'sl\\x00ug'"),
        (f'"{HEADER}'.encode(), "This is not CSV"),
        (f"{HEADER}\n{SOUND}".encode("utf-16"), "This is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100, "This is not UTF-8"),
        (b"x" * 30_000, "at most 10000 bytes"),
    ],
)
def test_without_a_header_nothing_is_read(folder: Path, content: bytes, reason: str) -> None:
    read = signals.read([written(content + b"\n" + SOUND.encode() + b"\n")], NOW)
    assert read.entries == ()
    assert read.problems[0].line == 1
    assert reason in read.problems[0].reason
    if "CSV" not in reason and "UTF-8" not in reason and "bytes" not in reason:
        assert read.problems[0].reason.startswith(f"Begin with the line {HEADER} ")


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_table_lacks_its_header(folder: Path, content: str) -> None:
    read = signals.read([written(content)], NOW)
    assert str(only(read)) == (
        f"seen.csv:1: Begin with the line {HEADER} and, if need be, ,method; slug is missing."
    )


@pytest.mark.parametrize("name", ["seen.txt", "seen", "seen.csv.gz", "seen.json", ".csv"])
def test_other_extensions_cannot_be_read(name: str) -> None:
    assert not signals.is_readable(Path(name))


@given(st.binary(max_size=300), st.sampled_from(["seen.csv", "seen.jsonl"]))
def test_no_bytes_whatever_end_the_reading(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(f"{HEADER}\n{SOUND}\n".encode() + content)
    for problem in signals.read([path], NOW).problems:
        str(problem).encode()


# What the catalog says to it


def test_lines_of_an_unknown_artifact_are_told_together(folder: Path) -> None:
    (entry,) = csv(SOUND, SOUND.replace("-11-", "-10-")).entries
    assert str(entry.unknown("No.")) == "seen.csv:2: slug: No. It stands in 2 lines."
    (single,) = csv(SOUND).entries
    assert str(single.unknown("No.")) == "seen.csv:2: slug: No."


def test_what_was_overtaken_is_told_by_its_own_line(folder: Path) -> None:
    read = csv(SOUND, SOUND.replace("-11-", "-10-"), SOUND.replace("stars", "hosts"))
    (entry,) = read.entries
    older, *newer = sorted(entry.draft.signals, key=lambda signal: signal.observed_at)
    whole = dict.fromkeys(entry.draft.signals, "Too old.")

    preceding, problems = signals.overtaken(read.entries, [whole])
    assert preceding == 0
    assert sorted(map(str, problems)) == [
        f"seen.csv:{line}: observed_at: Too old." for line in (2, 3, 4)
    ]
    # Of a series that goes on with something newer, the beginning was taken in before.
    assert signals.overtaken(read.entries, [{older: "Too old."}]) == (1, [])
    assert signals.overtaken(read.entries, [{}]) == (0, [])
    assert len(newer) == 2


def test_a_series_goes_on_from_draft_to_draft(folder: Path) -> None:
    lines = [
        f"parser,stars,{n},s,2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}+0{n // 3600}:00"
        for n in range(signals.MOST_AT_ONCE + 1)
    ]
    read = csv(*lines)
    first, last = read.entries
    stale = dict.fromkeys(first.draft.signals, "Too old.")
    assert signals.overtaken(read.entries, [stale, {}]) == (signals.MOST_AT_ONCE, [])
    everything = [stale, dict.fromkeys(last.draft.signals, "Too old.")]
    assert len(signals.overtaken(read.entries, everything)[1]) == len(lines)
