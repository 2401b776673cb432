"""Puts together what the rules find: every word is read once, the longest reading first."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from matchgraph.domain.conditions import sentences_of
from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import Line
from matchgraph.domain.understanding.part import Group, Part, Reading, groups
from matchgraph.domain.vocabulary import Vocabulary


@dataclass(frozen=True)
class Understood:
    """What was read, in the order of the text, and the words that are left to match by."""

    rest: str
    readings: tuple[Reading, ...] = ()


def understand(
    text: str, vocabulary: Vocabulary, ignored: Collection[str] = (), *, today: date | None = None
) -> Understood:
    """Reads the conditions in a text.

    Shape: every word is read once, the longest reading first. What is ignored stays in the rest.
    Source: "this year" and the like are counted from `today`, and left alone without it.
    """
    line = Line(text, vocabulary, today)
    taken = [False] * len(line)
    parts: list[Part] = []
    for group in sorted(groups(line), key=_turn):
        if not any(any(taken[part.start : part.end]) for part in group):
            parts += group
            for part in group:
                taken[part.start : part.end] = [True] * (part.end - part.start)
    parts.sort(key=lambda part: part.start)
    readings: list[Reading] = []
    read = [False] * len(line)
    given_back = [False] * len(line)
    counted: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        counted[part.id] += 1
        id_ = part.id if counted[part.id] == 1 else f"{part.id}#{counted[part.id]}"
        if id_ in ignored:
            given_back[part.start : part.end] = [True] * (part.end - part.start)
            continue
        start, end = line.tokens[part.start].start, line.tokens[part.end - 1].end
        readings.append(part.reading(id_, (start, end), text[start:end]))
        if not part.keeps:
            read[part.start : part.end] = [True] * (part.end - part.start)
    return _cheaper(Understood(line.left(read, given_back), tuple(readings)), text, ignored)


def _cheaper(read: Understood, text: str, ignored: Collection[str]) -> Understood:
    """Reads "like X but cheaper", once it is known what X is."""
    like = [slug for reading in read.readings for slug in reading.like]
    found = CHEAPER.search(read.rest)
    if len(like) != 1 or not found or f"cheaper_than:{like[0]}" in ignored:
        return read
    where = Where(cheaper_than=like[0])
    start = max(0, text.find(found[0]))
    reading = Reading(
        id=f"cheaper_than:{like[0]}",
        span=(start, start + len(found[0])),
        words=found[0],
        sentence=sentences_of(where)["cheaper_than"],
        where=where,
    )
    rest = " ".join((read.rest[: found.start()] + read.rest[found.end() :]).split())
    return Understood(rest, (*read.readings, reading))


CHEAPER = re.compile(
    r"(?:\b(?:but|and|only|just|much) )*\bcheaper\b(?=\s*(?:$|[,.;!?]))", re.IGNORECASE
)


def _turn(group: Group) -> tuple[int, int, bool]:
    """Longer ones first; of the same words, what is a condition of its own before mere words."""
    length = sum(part.end - part.start for part in group)
    return -length, group[0].start, bool(group[0].where.must_not_have)
