"""Texts as words and as terms, the same way for what is searched and for what is asked.

A word is what people write; a term is what it counts as: its stem. Written together, apart or with
a hyphen is the same ("gpt-4o", "gpt 4o", "gpt4o"), and so are accents and case.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import Stemmer

# A run of letters and digits, with what holds together inside: versions, and the plus or hash of
# a language at the end.
RUN = re.compile(r"[^\W_]+(?:[.'’][^\W_]+)*(?:\+\+|[+#]++(?![^\W_]))?")
# What joins two runs into one thing.
JOINT = re.compile(r"[-_/‐‑–]")
# From what to what: "speech to text" is not "text to speech".
DIRECTION = re.compile(r"(?<![^\W_])([^\W\d_]+)(?:[ -]to[ -]|[ -]?2[ -]?)([^\W\d_]+)(?![^\W_])")
NUMBERED = re.compile(r"([a-z]{2,})-?(\d+(?:\.\d+)*[a-z]?)")
# Words that tell nothing of what is looked for.
STOP = frozenset(
    """
    a an and any are as at be been but by can could do does for from has have how i if in into is it
    its me my no not of on or our so some such than that the their them then there these they this
    to us was we were what when where which while who will with would you your
    """.split()  # noqa: SIM905
)
# Words that only ask.
ASKING = frozenset(
    """
    alternative alternatives anybody anyone awesome best biggest cheapest dont fastest favorite
    favourite find get give good great greatest help latest like looking most need needs newest
    nice nicest please popular really recommend recommended search should simplest somebody
    someone something strongest suggest thing things tool tools top use using want wanted wants
    way
    """.split()  # noqa: SIM905
)
_stemmer = Stemmer.Stemmer("english")


def plain(text: str) -> str:
    """The text in lower case without accents, as it is split."""
    if text.isascii():
        return text.lower()
    # Taking letters apart brings capitals to light (a bold one is one), and folding those new
    # accents.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in folded if not unicodedata.combining(c))


def words(text: str) -> Iterator[str]:
    """The words of the text, in order: letters and digits, with dots only inside of them."""
    for run in RUN.findall(plain(text)):
        yield run.replace("’", "'").removesuffix("'s")


def terms(text: str) -> Iterator[str]:
    """The terms of the text, in order, words that say nothing left out."""
    lowered = plain(text)
    for source, target in DIRECTION.findall(lowered):
        if source not in STOP and target not in STOP:
            yield f"{stem(source)}2{stem(target)}"
    for piece in lowered.split():
        parts = [part for part in JOINT.split(piece) if part]
        found = [term for part in parts for term in _of_part(part)]
        yield from found
        if len(parts) == 2:
            together = "".join(RUN.findall("".join(parts)))
            if together and together not in found:
                yield stem(together)


def _of_part(part: str) -> Iterator[str]:
    for word in words(part):
        if word in STOP:
            continue
        yield stem(word)
        if numbered := NUMBERED.fullmatch(word):
            yield stem(numbered[1])
            yield numbered[2]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """What the word counts as."""
    return _stemmer.stemWord(word) if word.isalpha() else word
