"""The tokens of a text, and the words that a phrase can end with."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from matchgraph.domain.vocabulary import LONGEST, Names, Vocabulary, squashed


@dataclass(frozen=True)
class Token:
    """A word, number or sign. `glued` tells that only a hyphen stands before it."""

    word: str
    start: int
    end: int
    glued: bool


# Signs that differ only in print; one character each, so that places in the text stay.
PRINT = str.maketrans(
    "\u2018\u2019\u02bc`\u2010\u2011\u2012\u2013\u2014\u2212\u2264\u2265\u201c\u201d\u201e",
    "''''------<>\"\"\"",
)
TOKEN = re.compile(r"\.?\d+(?:[.,]\d+)*[^\W\d_]*|[^\W_]+(?:[.'&][^\W_]+)*|\S")
HYPHENS = frozenset("-_")


def words_of(listed: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(listed.split())


def phrase(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled to end where a word ends."""
    return re.compile(rf"(?:{pattern})(?![^\W_]|-)")


ENDS = words_of(
    """
    . , ; : ! ? ( ) [ ] / - & and or nor but for to that which who with without in on from of at
    by via as if when where while because since so please though although than like unlike
    except using instead only is are was has have can could should must under below above over
    less more also plus not no i we it my our yet rather through " < > $ = excluding costing
    costs released hosted newer other apart made published licensed trained priced older able
    capable needing requiring neither running available runs cheaper supporting supports accepts
    takes
    """
)
CONNECTORS = words_of(
    """
    , ; : - / & and or but that which is are it be being was were with has have having also plus
    must should can only yet though who's that's it's "
    """
)
AFTER = CONNECTORS | words_of(
    """
    for to of . ! ? ) "
    """
)
BEFORE = CONNECTORS | words_of(
    """
    a an the any some something anything one for from by in on of as ( at than , i'd i want need
    does do costs cost priced "
    """
)
DETERMINERS = words_of(
    """
    a an the any some my our your their its this these
    """
)
MODELS = words_of(
    """
    model models llm llms vlm vlms slm checkpoint checkpoints weights
    """
)
SOFTWARE = words_of(
    """
    framework frameworks library libraries tool tools app apps application cli server servers
    platform platforms extension extensions plugin plugins sdk editor ide software package
    packages engine agent agents client clients workflow ui interface wrapper gateway database
    orchestrator dataset datasets benchmark benchmarks repo repository mcp terminal program
    utility
    """
)
# What a hyphen joins to a name without making another one of it: "OpenAI-free".
SUFFIXES = words_of("free based made hosted only derived licensed licenced")
THING_ENDS = words_of(
    """
    model models llm llms ones one something anything tool tools dataset datasets benchmark
    benchmarks
    """
)


class Line:
    """The tokens of a text, and the same as one string for patterns to match against."""

    def __init__(self, text: str, vocabulary: Vocabulary, today: date | None) -> None:
        self.text, self.vocabulary, self.today = text, vocabulary, today
        self.tokens = _tokens(text)
        self.words = [token.word for token in self.tokens]
        self.squashed = [squashed(word.removesuffix("'s")) for word in self.words]
        self.at: list[int] = []
        pieces: list[str] = []
        length = 0
        for token in self.tokens:
            if pieces:
                pieces.append("-" if token.glued else " ")
                length += 1
            self.at.append(length)
            pieces.append(token.word)
            length += len(token.word)
        self.line = "".join(pieces)
        self.looked_up: dict[tuple[int, int, bool], tuple[tuple[str, ...], int] | None] = {}
        shouted = [text[t.start : t.end] for t in self.tokens if t.word.isalpha()]
        capitals = sum(word[:1].isupper() for word in shouted)
        self.shouts = len(shouted) > 2 and capitals > 0.7 * len(shouted)

    def __len__(self) -> int:
        return len(self.tokens)

    def word(self, i: int) -> str:
        """The i-th word, or nothing outside the text."""
        return self.words[i] if 0 <= i < len(self.words) else ""

    def glued(self, i: int) -> bool:
        """Whether a hyphen joins the i-th token to the one before it."""
        return i < len(self.tokens) and self.tokens[i].glued

    def ends(self, i: int) -> bool:
        """Whether a phrase can end before the i-th token."""
        if i >= len(self.tokens):
            return True
        return not self.glued(i) and (self.words[i] in ENDS or self.words[i].endswith("n't"))

    def match(self, pattern: re.Pattern[str], i: int) -> tuple[re.Match[str], int] | None:
        """The match that begins with the i-th token, and the token after it."""
        if i >= len(self.tokens):
            return None
        found = pattern.match(self.line, self.at[i])
        if not found or found.end() == found.start():
            return None
        j = bisect_left(self.at, found.end())
        if self.at[j - 1] + len(self.words[j - 1]) != found.end() or self.glued(j):
            return None
        return found, j

    def proper(self, i: int, j: int) -> bool:
        """Whether the tokens look like a name: with a capital that no sentence asks for, with a
        digit or with a dot."""
        for k in range(i, j):
            written = self.text[self.tokens[k].start : self.tokens[k].end]
            if any(c.isdigit() for c in written) or "." in written or self.glued(k):
                return True
            first = k == 0 or self.words[k - 1] in (".", "!", "?")
            capital = written != written.lower()
            if capital and not self.shouts and (not first or not written.istitle()):
                return True
        return False

    def named_so(self, i: int) -> bool:
        """Whether the token has small letters and a capital, as names do and abbreviations do
        not."""
        written = self.text[self.tokens[i].start : self.tokens[i].end]
        return written not in (written.lower(), written.upper()) and self.proper(i, i + 1)

    def name(
        self, names: Names, i: int, *, anyhow: bool = False
    ) -> tuple[tuple[str, ...], int] | None:
        """The longest name that begins with the i-th token, and the token after it; of plain words
        only what is written like a name, or `anyhow`."""
        at = (id(names), i, anyhow)
        if at not in self.looked_up:
            self.looked_up[at] = self._name(names, i, anyhow)
        return self.looked_up[at]

    def _name(self, names: Names, i: int, anyhow: bool) -> tuple[tuple[str, ...], int] | None:
        key, found = "", None
        for j in range(i, min(i + LONGEST, len(self.tokens))):
            if not self.squashed[j]:
                if j == i or self.words[j] not in "[]()":
                    break
                continue
            key += self.squashed[j]
            whole = not self.glued(j + 1) or self.words[j + 1] in SUFFIXES
            if key in names and whole and self._meant(key, i, j + 1, anyhow):
                found = names[key], j + 1
        return found

    def _meant(self, key: str, i: int, j: int, anyhow: bool) -> bool:
        if key in self.vocabulary.plain or len(key) < 2:
            return anyhow or self.proper(i, j)
        # "no va" is not Nova, while "open ai" is OpenAI.
        return j - i == 1 or len(self.squashed[i]) > 2 or self.proper(i, j)

    def written(self, i: int, j: int) -> str:
        """The tokens as one squashed word, for ids."""
        return "".join(self.squashed[i:j])

    def said(self, i: int, j: int) -> str:
        """The tokens as one text."""
        return self.line[self.at[i] : self.at[j - 1] + len(self.words[j - 1])]

    def near(self, words: frozenset[str], i: int, far: int = 12) -> bool:
        """Whether one of the words comes soon; cheap, for rules whose first words are common."""
        return not words.isdisjoint(self.words[i : i + far])

    def left(self, read: Sequence[bool], given_back: Sequence[bool]) -> str:
        """The words that nothing has read, without what connected them to what was read, unless
        they are `given_back`."""
        if not any(read):
            return " ".join(self.text.split())
        runs: list[str] = []
        i, size = 0, len(self.tokens)
        while i < size:
            if read[i]:
                i += 1
                continue
            j = i
            while j < size and not read[j]:
                j += 1
            start, end = i, j
            while start and start < end and self.words[start] in AFTER and not given_back[start]:
                start += 1
            while j < size and start < end and self.words[end - 1] in BEFORE:
                if given_back[end - 1]:
                    break
                end -= 1
            while start < end and self.words[start] in ",;:.-/":
                start += 1
            if any(self.squashed[start:end]):
                runs.append(self.text[self.tokens[start].start : self.tokens[end - 1].end])
            i = j
        return " ".join(" ".join(runs).split())


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    hyphen = -1
    for found in TOKEN.finditer(text.translate(PRINT)):
        start, end, word = found.start(), found.end(), found.group().casefold()
        follows = bool(tokens) and tokens[-1].end == start and tokens[-1].word[-1:].isalnum()
        if word in HYPHENS and follows and hyphen < 0:
            hyphen = end
            continue
        glued = hyphen == start and word[:1].isalnum()
        if hyphen >= 0 and not glued:
            tokens.append(Token("-", hyphen - 1, hyphen, False))
        hyphen = -1
        tokens.append(Token(word, start, end, glued))
    if hyphen >= 0:
        tokens.append(Token("-", hyphen - 1, hyphen, False))
    return tokens


NOT_WORDS = words_of(
    """
    not no non never without isnt arent dont doesnt didnt cant wont shouldnt neither nor hardly
    cannot avoid avoiding except excluding exclude besides nothing nobody none minus sans
    """
)
# What stands between a negation and what it denies: "don't want to use anything made by".
BRIDGE = words_of(
    """
    a an the any another be been being to from by of via on in into with through under for about
    upon around want wants wanted wanting use uses used using have has having had need needs needed
    needing require requires required requiring come comes coming based built made developed created
    trained hosted owned published released sold offered served provided backed run runs running
    deployed delivered available licensed tied locked bound linked connected affiliated associated
    derived related dependent reliant depend depends depending rely relies relying involve involves
    involving contain contains containing include includes including go going install installing
    installed set setting ask asks asking call calls calling allowed permitted able willing supposed
    written implemented coded finetuned tuned like see show suggest recommend give propose list
    return get pick choose consider touch trust pay paying me us anything something everything
    stuff things those ones one model models llm llms tool tools product products service services
    interested interest ties necessarily explicitly exclusively other else help work works that
    which send sends sending sent share shares sharing upload uploads uploading data audio files
    documents them it my our
    """
)


def denied(word: str) -> bool:
    """Whether the word says no."""
    return word in NOT_WORDS or word.endswith("n't")


def negated(line: Line, i: int) -> bool:
    """Whether what stands before turns it into its opposite, or says that it need not be: what is
    asked for after such words is not what they say."""
    if denied(line.word(i - 1)):
        return True
    for k in range(i - 1, max(-1, i - 9), -1):
        word = line.words[k]
        if denied(word):
            return True
        if word not in BRIDGE:
            return False
    return False
