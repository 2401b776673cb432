"""Misspelt words of a need, corrected by the words that the catalog uses, or else by those that the
embedding model knows."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from rapidfuzz.distance import OSA

from matchgraph.projections.words import ASKING, STOP, plain, stem
from matchgraph.queries.snapshot import Snapshot

# What has digits or signs in it is a name, and short words are too near to others.
WORD = re.compile(r"[^\W\d_]{4,}")
# Words from this length on may be two mistakes away.
LONG = 7
# Shorter words are too near to others.
SHORT = 5
MOST_SUGGESTIONS = 20
MOST_CORRECTED = 12
# Beyond that it is no word that somebody misspelt.
LONGEST = 30


@dataclass(frozen=True)
class Correction:
    """A word as it was written, and as it was read."""

    written: str
    read: str


Knows = Callable[[str], bool]
Uses = dict[str, int]


async def corrected(
    snapshot: Snapshot, text: str, knows: Knows
) -> tuple[str, tuple[Correction, ...]]:
    """The text with its misspelt words replaced. `knows` tells words that are right although the
    catalog does not use them. Raises: Unavailable."""
    doubtful = await _doubtful(snapshot, text, knows)
    if not doubtful:
        return text, ()
    read = await _one_away(snapshot, doubtful, knows)
    read |= await _two_away(snapshot, [w for w in doubtful if w not in read and len(w) >= LONG])
    corrections: dict[str, Correction] = {}

    def replace(match: "re.Match[str]") -> str:
        word = match[0]
        best = read.get(plain(word))
        if best is None or not _may_be(word, best):
            return word
        corrections[word] = Correction(word, best)
        return best

    return WORD.sub(replace, text), tuple(corrections.values())


async def _doubtful(snapshot: Snapshot, text: str, knows: Knows) -> list[str]:
    """The words that neither the catalog uses, in whatever form, nor `knows` tells."""
    words = [
        word
        for word in dict.fromkeys(plain(match[0]) for match in WORD.finditer(text))
        if word.isascii()
        and len(word) <= LONGEST
        and word not in STOP
        and word not in ASKING
        and not (knows(word) or knows(stem(word)))
    ][:MOST_CORRECTED]
    if not words:
        return []
    rows = await snapshot.fetch(
        "SELECT asked.word FROM unnest($1::text[], $2::text[]) AS asked (word, stem)"
        " WHERE NOT EXISTS (SELECT FROM search_word w WHERE w.word = asked.word)"
        " AND NOT EXISTS (SELECT FROM search_term t WHERE t.stem = asked.stem)",
        words,
        [stem(word) for word in words],
    )
    return [row["word"] for row in rows]


async def _one_away(snapshot: Snapshot, words: Sequence[str], knows: Knows) -> dict[str, str]:
    """For each word the best one that is one mistake away."""
    near = {word: set(_edits(word)) for word in words}
    rows = await snapshot.fetch(
        "SELECT word, uses FROM search_word WHERE word = ANY ($1)",
        list(set().union(*near.values())),
    )
    uses: Uses = {row["word"]: row["uses"] for row in rows}
    best = {
        word: _best(word, [edit for edit in edits if edit in uses or knows(edit)], uses)
        for word, edits in near.items()
    }
    return {word: read for word, read in best.items() if read is not None}


async def _two_away(snapshot: Snapshot, words: Sequence[str]) -> dict[str, str]:
    """For each word the best one of the catalog that is two mistakes away."""
    if not words:
        return {}
    rows = await snapshot.fetch(
        "SELECT asked.word, near.word AS suggestion, near.uses FROM unnest($1::text[])"
        " AS asked (word) CROSS JOIN LATERAL ("
        "SELECT w.word, w.uses FROM search_word w WHERE w.word % asked.word"
        f" ORDER BY similarity(w.word, asked.word) DESC, w.word LIMIT {MOST_SUGGESTIONS}) AS near",
        list(words),
    )
    suggestions: dict[str, Uses] = defaultdict(dict)
    for row in rows:
        if OSA.distance(row["word"], row["suggestion"], score_cutoff=2) <= 2:
            suggestions[row["word"]][row["suggestion"]] = row["uses"]
    best = {word: _best(word, uses, uses) for word, uses in suggestions.items()}
    return {word: read for word, read in best.items() if read is not None}


def _may_be(word: str, read: str) -> bool:
    """Whether the one may be a misspelling of the other: of a short word, or of one that is written
    like a name, only letters can have been swapped, for it may be one that nobody knows; and two
    mistakes hardly ever change how a word begins."""
    if sorted(read) == sorted(plain(word)):
        return True
    named = not (word.islower() or word.istitle())
    if len(word) < (LONG if named else SHORT):
        return False
    return read[0] == plain(word[0]) or abs(len(read) - len(word)) < 2


def _edits(word: str) -> Iterator[str]:
    """Every way to undo one mistake: letters swapped, one missing, one too many, another one."""
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        if after:
            yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in ascii_lowercase:
            yield before + letter + after
            if after:
                yield before + letter + after[1:]


def _best(word: str, suggestions: Iterable[str], uses: Uses) -> str | None:
    """The likeliest one: the same letters in another order, then a letter more or less, then
    another letter; one that the catalog uses, with the same first letter, that is used most."""

    def unlikeliness(suggestion: str) -> tuple[int, bool, bool, int, str]:
        swapped = sorted(suggestion) == sorted(word)
        return (
            0 if swapped else 1 if len(suggestion) != len(word) else 2,
            suggestion not in uses,
            suggestion[0] != word[0],
            -uses.get(suggestion, 0),
            suggestion,
        )

    return min(
        (one for one in suggestions if one.isalpha() and len(one) > 2),
        key=unlikeliness,
        default=None,
    )
