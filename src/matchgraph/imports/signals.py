"""The reader of signals: tables of observed numbers about many artifacts, as drafts and problems.

`matchgraph import signals` reads with it; docs/signals.md describes the two formats. A file is read
line by line and each line is judged alone, so that a mistake costs that line and nothing else.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from matchgraph.domain import text as texts
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.draft import Draft
from matchgraph.domain.errors import BadSlug
from matchgraph.domain.provenance import Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.imports.record import WANTED, Keys, Node, Problem, Reader, keys, meant, shown

LINE: Keys = {"slug": str, **keys(Signal)}
REQUIRED = LINE.keys() - {"method"}
HEADER = "slug,name,value,source,observed_at"
LONGEST = 10_000  # bytes of a line; the longest source takes a third of that in JSON
MOST_AT_ONCE = 5_000  # signals of one draft, which is appended whole
BOM = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Seen(NamedTuple):
    """What one line says."""

    slug: str
    signal: Signal
    place: Place


@dataclass(frozen=True)
class Entry:
    """Signals of one artifact, oldest first, each with its place."""

    draft: Draft
    places: tuple[Place, ...]

    def unknown(self, reason: str) -> Problem:
        """That there is no such artifact, told once for all its lines here."""
        file, line = min(self.places)
        more = f" It stands in {len(self.places)} lines." if len(self.places) > 1 else ""
        return Problem(file, line, "slug", reason + more, self.draft.slug)


@dataclass(frozen=True)
class Read:
    """What the files say: the lines without problems by artifact, all problems by file and line."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def is_readable(path: Path) -> bool:
    """Whether the extension says how to read the file."""
    return path.suffix.lower() in FORMATS


def read(paths: Iterable[Path], now: datetime | None = None) -> Read:
    """The signals in these files, which must be readable. Raises: OSError.

    Shape: by slug in the order of the lines; the signals of an artifact from all files together.
    """
    now = now or datetime.now(UTC)
    found: defaultdict[str, list[Seen]] = defaultdict(list)
    problems: list[Problem] = []
    order: dict[str, int] = {}
    for path in dict.fromkeys(paths):
        reader = _Reader(str(path), now)
        order[reader.name] = len(order)
        with path.open("rb") as file:
            for seen in FORMATS[path.suffix.lower()](reader, _lines(reader, file)):
                found[seen.slug].append(seen)
        problems += reader.problems
    entries = [entry for lines in found.values() for entry in _entries(_once(lines, problems))]
    problems.sort(key=lambda problem: (order[problem.file], problem.line))
    return Read(tuple(entries), tuple(problems))


def overtaken(
    entries: Sequence[Entry], stale: Sequence[Mapping[Signal, str]]
) -> tuple[int, list[Problem]]:
    """Of the signals that were left out as older than what is known, with the reasons by entry:
    how many precede a newer one here, and the problems of the others.

    A table that grows at its end and is imported again begins with what was taken in before.
    """
    preceding = 0
    problems: list[Problem] = []
    newer: set[tuple[str, SignalName, str]] = set()
    for entry, reasons in zip(reversed(entries), reversed(stale), strict=True):
        for signal, (file, line) in zip(
            reversed(entry.draft.signals), reversed(entry.places), strict=True
        ):
            series = (entry.draft.slug, signal.name, signal.source)
            if signal not in reasons:
                newer.add(series)
            elif series in newer:
                preceding += 1
            else:
                slug = entry.draft.slug
                problems.append(Problem(file, line, "observed_at", reasons[signal], slug))
    return preceding, problems[::-1]


def _once(lines: Sequence[Seen], problems: list[Problem]) -> list[Seen]:
    """The lines about one artifact by time, without those that say a thing a second time."""
    first: dict[tuple[SignalName, str, datetime], Seen] = {}
    for seen in lines:
        signal = seen.signal
        known = first.setdefault((signal.name, signal.source, signal.observed_at), seen)
        if known is not seen:
            said = "the same" if signal == known.signal else f"{known.signal.value} of that moment"
            reason = f"Keep one; {known.place} says {said}."
            problems.append(Problem(*seen.place, "", reason, seen.slug))
    return sorted(first.values(), key=lambda seen: seen.signal.observed_at)


def _entries(lines: Sequence[Seen]) -> Iterator[Entry]:
    for start in range(0, len(lines), MOST_AT_ONCE):
        part = lines[start : start + MOST_AT_ONCE]
        newest = part[-1].signal
        draft = Draft(
            slug=part[0].slug,
            kind=Kind.MODEL,  # of no consequence for an artifact that is there already
            facts=Facts(),
            provenance=Provenance(
                method=newest.method, source=newest.source, observed_at=newest.observed_at
            ),
            signals=tuple(seen.signal for seen in part),
            only_known=True,
            signals_apart=True,
        )
        yield Entry(draft, tuple(seen.place for seen in part))


class _Reader(Reader):
    """Reads one file of signals."""

    wanted: ClassVar[Mapping[Any, str]] = {**WANTED, Decimal: "a number such as 1234 or 0.5"}

    def seen(self, line: int, said: Any) -> Seen | None:
        """What a line says, given as pairs of key and value, if all of it is as it should be."""
        before = len(self.problems)
        if isinstance(said, tuple):
            slug = dict(said).get("slug")
            self.slug = slug if isinstance(slug, str) else None
            said = tuple((Node(line, key), Node(line, value)) for key, value in said)
        record = self.record(Node(line, said), "", LINE, REQUIRED)
        sample = Signal(
            name=record.values.get("name", SignalName.STARS),
            value=Decimal(0),
            source="sample",
            observed_at=self.now,
        )
        signal = self.checked(record, sample)
        address = self.address(line, record.values.get("slug"))
        if address is None or signal is None or len(self.problems) > before:
            return None
        return Seen(address, signal, Place(self.name, line))

    def address(self, line: int, slug: str | None) -> str | None:
        """The slug, if it is one."""
        try:
            return None if slug is None else texts.slug(slug)
        except BadSlug as refusal:
            self.refuse(line, "slug", refusal.message)
            return None


# The two formats

Lines = Iterator[tuple[int, str]]


def _lines(reader: _Reader, file: BinaryIO) -> Lines:
    """The lines that are text and not blank, with their numbers from 1."""
    number = 0
    while raw := file.readline(LONGEST + 1):
        number += 1
        if len(raw) > LONGEST and not raw.endswith(b"\n"):
            while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            reader.refuse(number, "", f"A line has at most {LONGEST} bytes.")
            continue
        try:
            text = (raw.removeprefix(BOM) if number == 1 else raw).decode().strip()
        except UnicodeDecodeError:
            reader.refuse(number, "", "This is not UTF-8; save the file as UTF-8.")
            continue
        if text:
            yield number, text


def _from_csv(reader: _Reader, lines: Lines) -> Iterator[Seen]:
    columns = _columns(reader, lines)
    for number, text in lines if columns else ():
        reader.slug = None
        cells = _cells(reader, number, text)
        if cells is None:
            continue
        if len(cells) != len(columns):
            reason = f"Write {len(columns)} columns as the first line does, not {len(cells)}."
            reader.refuse(number, "", reason)
            continue
        pairs = tuple((column, cell) for column, cell in zip(columns, cells, strict=True) if cell)
        if seen := reader.seen(number, pairs):
            yield seen


def _columns(reader: _Reader, lines: Lines) -> list[str]:
    """What the first line says the columns are; none if it is not a header."""
    number, text = next(lines, (1, ""))
    columns = _cells(reader, number, text) if text and not reader.problems else []
    if reader.problems:
        return []
    columns = columns or []
    wrong = (
        [f"there is no column {shown(one)}{meant(one, LINE)}" for one in columns if one not in LINE]
        or [f"{one} is there twice" for one in columns if columns.count(one) > 1]
        or [f"{one} is missing" for one in LINE if one in REQUIRED.difference(columns)]
    )
    if wrong:
        reason = f"Begin with the line {HEADER} and, if need be, ,method; {wrong[0]}."
        reader.refuse(number, "", reason)
    return [] if wrong else columns


def _cells(reader: _Reader, number: int, text: str) -> list[str] | None:
    try:
        # Each line alone: with quotes left open, the parser would take the next ones for a cell.
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error as error:
        reader.refuse(number, "", f"This is not CSV ({error}); close quotes in the same line.")
        return None


def _from_json(reader: _Reader, lines: Lines) -> Iterator[Seen]:
    for number, text in lines:
        reader.slug = None
        try:
            # Numbers as they are written: a float would not be exact.
            said = json.loads(
                text,
                parse_int=Decimal,
                parse_float=Decimal,
                parse_constant=Decimal,
                object_pairs_hook=tuple,
            )
        except (ValueError, ArithmeticError, RecursionError) as error:
            reader.refuse(number, "", f"This is not JSON ({error}); write one object a line.")
            continue
        if seen := reader.seen(number, said):
            yield seen


FORMATS: dict[str, Callable[[_Reader, Lines], Iterator[Seen]]] = {
    ".csv": _from_csv,
    ".jsonl": _from_json,
    ".ndjson": _from_json,
}
