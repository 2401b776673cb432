"""What a need says in plain words: conditions and examples are read, the rest is left for search.

docs/understanding.md lists what is read and what is not. The rules prefer to leave words alone: a
condition that nobody meant hides good answers, words that were left still find them.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any

from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.conditions import KIND_WORDS, sentences_of
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import MOST_PLACES, Unit
from matchgraph.domain.vocabulary import LONGEST, Names, Vocabulary, squashed

ANYTHING = Where()


@dataclass(frozen=True)
class Reading:
    """One thing understood. `id` is stable within a text, so that a client can switch it off;
    `span` and `words` say where it stands in the text as it was given."""

    id: str
    span: tuple[int, int]
    words: str
    sentence: str
    where: Where = ANYTHING
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()


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
    for group in sorted(_groups(line), key=lambda group: (-_length(group), group[0].start)):
        if not any(any(taken[part.start : part.end]) for part in group):
            parts += group
            for part in group:
                taken[part.start : part.end] = [True] * (part.end - part.start)
    parts.sort(key=lambda part: part.start)
    readings: list[Reading] = []
    read = [False] * len(line)
    counted: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        counted[part.id] += 1
        id_ = part.id if counted[part.id] == 1 else f"{part.id}#{counted[part.id]}"
        if id_ in ignored:
            continue
        start, end = line.tokens[part.start].start, line.tokens[part.end - 1].end
        readings.append(part.reading(id_, (start, end), text[start:end]))
        if not part.keeps:
            read[part.start : part.end] = [True] * (part.end - part.start)
    return _cheaper(Understood(line.left(read), tuple(readings)), text, ignored)


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


# The text as tokens


@dataclass(frozen=True)
class Token:
    """A word, number or sign. `glued` tells that only a hyphen stands before it."""

    word: str
    start: int
    end: int
    glued: bool


@dataclass(frozen=True)
class Part:
    """A reading while it is still a stretch of tokens. One that keeps its words leaves them in the
    rest, for they say what is wanted as well ("text to image")."""

    start: int
    end: int
    id: str
    where: Where = ANYTHING
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    keeps: bool = False

    def reading(self, id_: str, span: tuple[int, int], words: str) -> Reading:
        """The reading as it is handed out."""
        sentence = "; ".join(sentences_of(self.where).values())
        if self.like or self.unlike:
            sentence = f"like {self.like[0]}" if self.like else f"unlike {self.unlike[0]}"
        return Reading(id_, span, words, sentence, self.where, self.like, self.unlike)


Group = list[Part]
# Signs that differ only in print; one character each, so that places in the text stay.
PRINT = str.maketrans(
    "\u2018\u2019\u02bc`\u2010\u2011\u2012\u2013\u2014\u2212\u2264\u2265\u201c\u201d\u201e",
    "''''------<>\"\"\"",
)
TOKEN = re.compile(r"\.?\d+(?:[.,]\d+)*[^\W\d_]*|[^\W_]+(?:[.'&][^\W_]+)*|\S")
HYPHENS = frozenset("-_")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


ENDS = _words(
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
CONNECTORS = _words(
    """
    , ; : - / & and or but that which is are it be being was were with has have having also plus
    must should can only yet though who's that's it's "
    """
)
AFTER = CONNECTORS | _words(
    """
    for to of . ! ? ) "
    """
)
BEFORE = CONNECTORS | _words(
    """
    a an the any some something anything one for from by in on of as ( at than , i'd i want need
    does do costs cost priced "
    """
)
DETERMINERS = _words(
    """
    a an the any some my our your their its this these
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
        self.negated_until = 0
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
            if key in names and not self.glued(j + 1) and self._meant(key, i, j + 1, anyhow):
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

    def near(self, words: frozenset[str], i: int, far: int = 12) -> bool:
        """Whether one of the words comes soon; cheap, for rules whose first words are common."""
        return not words.isdisjoint(self.words[i : i + far])

    def left(self, read: Sequence[bool]) -> str:
        """The words that nothing has read, without what connected them to what was read."""
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
            while start and start < end and self.words[start] in AFTER:
                start += 1
            while j < size and start < end and self.words[end - 1] in BEFORE:
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


def _length(group: Group) -> int:
    return sum(part.end - part.start for part in group)


Rule = Callable[[Line, int], Iterator[Group]]
RULES: defaultdict[str, list[Rule]] = defaultdict(list)
NUMBER_KEY = "0"


def _starts(words: str) -> Callable[[Rule], Rule]:
    """A rule that is tried wherever one of the words begins; 0 stands for any number."""

    def register(rule: Rule) -> Rule:
        for word in words.split():
            RULES[word].append(rule)
        return rule

    return register


def _groups(line: Line) -> Iterator[Group]:
    for i, word in enumerate(line.words):
        if line.tokens[i].glued:
            continue
        for rule in RULES.get(word, ()):
            yield from rule(line, i)
        if word.lstrip(".")[:1].isdigit():
            for rule in RULES[NUMBER_KEY]:
                yield from rule(line, i)
    if not EXCLUDING.isdisjoint(line.words):
        for i in range(len(line)):
            yield from _excluded_after(line, i)
    yield from _noun_phrases(line)
    yield from _names_at(line)


# Numbers

DIGITS = r"(?:\.?\d[\d.,]*)"
SMALL = {
    word: Decimal(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
} | {
    "a": Decimal(1),
    "an": Decimal(1),
    "half a": Decimal("0.5"),
    "fifteen": Decimal(15),
    "twenty": Decimal(20),
    "thirty": Decimal(30),
    "forty": Decimal(40),
    "fifty": Decimal(50),
    "sixty": Decimal(60),
    "hundred": Decimal(100),
    "a hundred": Decimal(100),
    "one hundred": Decimal(100),
    "two hundred": Decimal(200),
    "five hundred": Decimal(500),
}
SMALL_WORDS = "|".join(sorted(SMALL, key=len, reverse=True))
SCALES = {
    "k": 3,
    "thousand": 3,
    "m": 6,
    "mio": 6,
    "mn": 6,
    "million": 6,
    "millions": 6,
    "b": 9,
    "bn": 9,
    "billion": 9,
    "mtok": 6,
    "ktok": 3,
    "": 0,
}
SCALE = r"(?:k|thousand|mio|mn|millions?|m|bn|billion)"
NUMBER = rf"(?:(?:{DIGITS}|{SMALL_WORDS})(?:[ -]?{SCALE})?)(?![a-z\d])"
NUMBER_PARTS = re.compile(rf"({DIGITS}|{SMALL_WORDS})?[ -]?({SCALE})?")


def _number(written: str | None) -> Decimal | None:
    """The number, or None for what is none or longer than anything that is counted here."""
    found = NUMBER_PARTS.fullmatch((written or "").strip())
    if not found or not found.group():
        return None
    digits, scale = found.group(1) or "one", found.group(2) or ""
    amount = SMALL.get(digits)
    if amount is None:
        digits = digits.rstrip(".,")
        if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
            digits = digits.replace(",", "")
        elif re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", digits):
            digits = digits.replace(".", "")
        elif re.fullmatch(r"\d+,\d{1,2}", digits):
            digits = digits.replace(",", ".")
        if not re.fullmatch(r"\d{0,15}(?:\.\d{1,12})?", digits) or not digits.strip("."):
            return None
        amount = Decimal(digits)
    return amount.scaleb(SCALES[scale])


# Prices

DOWN = (
    r"(?:under|below|less than|cheaper than|lower than|at most|no more than|not more than|not over"
    r"|not above|max(?:imum)?(?: of)?|up to|within|for under|for less than|<(?: =)?)"
)
SYMBOL = r"(?:us ?\$|\$|\u20ac|\u00a3|usd|eur|gbp)"
COIN = (
    r"(?:usd?|us dollars?|dollars?|bucks?|eur|euros?|gbp|pounds?|cents?|ct|\u00a2|\$|\u20ac|\u00a3)"
)
CURRENCY = {
    "\u20ac": "EUR",
    "eur": "EUR",
    "euro": "EUR",
    "\u00a3": "GBP",
    "gbp": "GBP",
    "pound": "GBP",
}
CENTS = frozenset({"cent", "ct", "\u00a2"})
TOKENS = {
    "input": Unit.INPUT_TOKEN,
    "prompt": Unit.INPUT_TOKEN,
    "in": Unit.INPUT_TOKEN,
    "output": Unit.OUTPUT_TOKEN,
    "completion": Unit.OUTPUT_TOKEN,
    "out": Unit.OUTPUT_TOKEN,
    "generated": Unit.OUTPUT_TOKEN,
    "cached": Unit.CACHED_INPUT_TOKEN,
    "cached input": Unit.CACHED_INPUT_TOKEN,
    "reasoning": Unit.REASONING_TOKEN,
    "thinking": Unit.REASONING_TOKEN,
}
# What is asked for as so many of another: 60 minutes an hour, twelve months a year.
THINGS = {
    "image": (Unit.IMAGE, 1), "picture": (Unit.IMAGE, 1), "photo": (Unit.IMAGE, 1),
    "minute": (Unit.AUDIO_MINUTE, 1), "min": (Unit.AUDIO_MINUTE, 1),
    "second": (Unit.VIDEO_SECOND, 1), "sec": (Unit.VIDEO_SECOND, 1),
    "character": (Unit.CHARACTER, 1), "char": (Unit.CHARACTER, 1),
    "request": (Unit.REQUEST, 1), "call": (Unit.REQUEST, 1), "api call": (Unit.REQUEST, 1),
    "query": (Unit.REQUEST, 1), "search": (Unit.SEARCH, 1), "credit": (Unit.CREDIT, 1),
    "hour": (Unit.HOUR, 1), "hr": (Unit.HOUR, 1), "month": (Unit.MONTH, 1), "mo": (Unit.MONTH, 1),
    "monthly": (Unit.MONTH, 1), "year": (Unit.MONTH, 12), "yr": (Unit.MONTH, 12),
    "yearly": (Unit.MONTH, 12), "hour of audio": (Unit.AUDIO_MINUTE, 60),
    "audio hour": (Unit.AUDIO_MINUTE, 60), "minute of audio": (Unit.AUDIO_MINUTE, 1),
    "audio minute": (Unit.AUDIO_MINUTE, 1), "second of video": (Unit.VIDEO_SECOND, 1),
    "minute of video": (Unit.VIDEO_SECOND, 60),
    "seat": (Unit.SEAT_MONTH, 1), "user": (Unit.SEAT_MONTH, 1), "gb": (Unit.GB_MONTH, 1),
}  # fmt: skip
THING_WORDS = "|".join(sorted(THINGS, key=len, reverse=True)).replace("query", "quer(?:y|ie)")
PER = r"(?: ?/ ?| per | an? | each | every | for (?:an? |each |every )?)"
UNIT = (
    rf"(?:(?P<monthly> monthly| yearly)"
    rf"|{PER}(?P<scale>{NUMBER}|{SCALE})?[ -]?(?P<tok>cached input|{'|'.join(TOKENS)})?[ -]?"
    r"(?P<tokens>tokens?|toks?|mtoks?|ktoks?)(?P<which> input| output)?"
    rf"|{PER}(?P<scale2>{NUMBER}|{SCALE}) (?P<tok2>input|output)"
    rf"|{PER}(?:(?P<scale3>{NUMBER}) )?(?P<thing>{THING_WORDS})s?"
    r"(?P<seat>(?: per |/| / | a )(?:month|mo|user|seat))?"
    rf"|{PER}(?P<million>1 ?m|1 million|million|1000000|1,000,000|mio|m|1 mio))(?![a-z\d])"
)
PRICE = re.compile(
    rf"(?:(?P<pre>input|output)(?: tokens?)? )?"
    rf"(?:(?:that |which )?(?:costs?|costing|priced|price|budget)(?: is| of| at)? |for )?"
    rf"(?:(?P<down>{DOWN}) )?"
    rf"(?:(?P<cur1>{SYMBOL}) ?(?P<n1>{NUMBER})|(?P<n2>{NUMBER}) ?(?P<cur2>{COIN})|(?P<n3>{NUMBER}))"
    rf"(?: ?{SYMBOL})?{UNIT}(?: (?:or less|or cheaper|or under|max|maximum|at most|tops))?"
)
EXACT = Context(prec=60, rounding=ROUND_DOWN)


MONEY = _words(
    "$ \u20ac \u00a3 \u00a2 us usd usd/ eur euro euros gbp dollar dollars bucks buck pound"
    " pounds cent"
    " cents ct per / million"
)


@_starts(
    "under below less cheaper lower at no not max maximum up within for < $ us usd \u20ac"
    " \u00a3 eur"
    f" gbp that which costs cost costing priced price budget input output {NUMBER_KEY}"
    f" {' '.join(SMALL_WORDS.replace('|', ' ').split())}"
)
def _price(line: Line, i: int) -> Iterator[Group]:
    found = line.match(PRICE, i) if line.near(MONEY, i) else None
    if not found or line.word(i - 1) in FLOORS:
        return
    match, end = found
    said = match.groupdict()
    if said["n3"] and not (said["down"] and (said["million"] or said["tokens"] or said["tok2"])):
        return
    amount = _number(said["n1"] or said["n2"] or said["n3"])
    coin = re.sub(r"^us ", "", (said["cur1"] or said["cur2"] or "$").rstrip("s"))
    unit, count = _unit(said)
    if amount is None or unit is None or not count:
        return
    if coin in CENTS:
        amount = amount.scaleb(-2)
    each = EXACT.divide(amount, count).quantize(Decimal(1).scaleb(-MOST_PLACES), context=EXACT)
    each = EXACT.normalize(each)
    if each.as_tuple().exponent > 0:  # type: ignore[operator]  # finite by its making
        each = each.quantize(Decimal(1), context=EXACT)
    currency = CURRENCY.get(coin, "USD")
    where = Where(price_ceilings=(Ceiling(amount=each, per=unit, currency=currency),))
    yield [Part(i, end, f"price_ceilings:{unit}:{currency}", where)]


def _unit(said: dict[str, str | None]) -> tuple[Unit | None, Decimal | None]:
    """What the price is for, and how many of it."""
    if said["monthly"]:
        return Unit.MONTH, Decimal(12 if "year" in said["monthly"] else 1)
    if said["thing"]:
        unit, factor = THINGS[said["thing"].replace("querie", "query")]
        count = _number(said["scale3"]) if said["scale3"] else Decimal(1)
        if said["seat"]:
            month = unit is Unit.MONTH and re.search("user|seat", said["seat"])
            unit = Unit.SEAT_MONTH if month else unit
        return unit, None if count is None else count * factor
    kind = said["tok"] or said["tok2"] or (said["which"] or "").strip() or said["pre"] or "input"
    if said["million"]:
        return TOKENS[kind], Decimal(1_000_000)
    written = (said["tokens"] or "")[:1]
    scale = said["scale"] or said["scale2"]
    count = _number(scale) if scale else Decimal(1)
    if written in ("m", "k") and count is not None:
        count = count.scaleb(SCALES[written])
    return TOKENS[kind], count


FLOORS = _words(
    """
    over above than least from at around about roughly ~ > starting costs-over
    """
)

FREE_NOT_BEFORE = _words(
    """
    gluten sugar tax hassle error noise code bug toll duty drug cruelty ad ads copyright
    conflict feel hands royalty risk distraction stress spam debt lock license licence carbon
    set break for free find finds finding download downloads detect track list get any-and worry
    hallucination
    """
)
FREE_NOT_AFTER = _words(
    """
    text form speech flow flowing range time space spaces will energy market trade memory disk
    variable variables fall ride from of up style hand kick word association response recall
    parking slot slots trial trials floating shipping rein standing roam roaming software
    radical body agent lunch throw running run
    """
)
FREE = re.compile(
    r"(?:(?:that(?: is|'s)|which is|is|are|must be|should be) )?"
    r"(?:(?:completely|totally|fully|entirely|truly|absolutely|100 %|always) )?"
    r"(?:free(?: of (?:charge|cost))|for free|free (?:to use|tier|plan|version)|free|gratis"
    r"|(?:that |which )?costs? nothing|(?:at )?(?:no|zero) cost|without (?:paying|cost"
    r"|costs|charge)"
    r"|(?:that |which )?(?:doesn't|does not|don't|do not) cost (?:anything|money|a thing)"
    r"|no paid(?: (?:plans?|tools?|apps?|models?|services?|software|ones?|options?))?"
    r"|(?:not|nothing) paid|no (?:payment|fees?|charge))"
)


@_starts(
    "free gratis for that which cost costs at no zero without doesn't does don't do not nothing is"
    " are must should completely totally fully entirely truly absolutely 100 always that's"
)
def _free(line: Line, i: int) -> Iterator[Group]:
    found = line.match(FREE, i)
    if not found or _negated(line, i):
        return
    match, end = found
    bare = match.group().endswith("free") and not match.group().endswith("for free")
    if bare:
        before = line.word(i - 1) if match.group() == "free" else ""
        if before in FREE_NOT_BEFORE or line.word(end) in FREE_NOT_AFTER:
            return
    yield [Part(i, end, "free", Where(free=True))]


def _negated(line: Line, i: int) -> bool:
    """Whether the word before turns it into its opposite, which no rule reads."""
    before = line.word(i - 1)
    return before in NOT_WORDS or before.endswith("n't")


NOT_WORDS = _words(
    """
    not no non never without isnt neither nor hardly cannot avoid
    """
)


# Openness and hosting

OPEN_PHRASE = re.compile(
    r"(?:(?P<weights>open[ -]?weights?(?: (?:models?|llms?))?|weights? (?:are |is )?available"
    r"|downloadable weights|open (?:models?|llms?))"
    r"|(?P<source>open[ -]?sourced?|opensource|foss|oss|floss))"
)
MODELS = _words(
    """
    model models llm llms vlm vlms slm checkpoint checkpoints weights
    """
)
SOFTWARE = _words(
    """
    framework frameworks library libraries tool tools app apps application cli server servers
    platform platforms extension extensions plugin plugins sdk editor ide software package
    packages engine agent agents client clients workflow ui interface wrapper gateway database
    orchestrator dataset datasets benchmark benchmarks repo repository mcp terminal program
    utility
    """
)


@_starts("open opensource foss oss floss weight weights downloadable openweights openweight")
def _open(line: Line, i: int) -> Iterator[Group]:
    found = line.match(OPEN_PHRASE, i)
    if not found or _negated(line, i):
        return
    match, end = found
    if line.word(end) in (
        "intelligence",
        "code",
        "projects",
        "maintainers",
        "contributors",
        "repositories",
        "issues",
    ):
        return
    yield [
        Part(
            i,
            end,
            "open_source" if match["source"] else "open_weights",
            _open_where(line, bool(match["source"])),
        )
    ]


def _open_where(line: Line, source: bool) -> Where:
    """What "open source" asks for depends on what it is said of.

    Of a model people mean the weights. Software and data have a licence, which is known for nearly
    all of it. Where neither is named, what both have in common is that anybody can host it.
    """
    words = set(line.words)
    if not source or words & MODELS:
        return Where(open_weights=True)
    if words & SOFTWARE and line.vocabulary.open_licences:
        return Where(licences=line.vocabulary.open_licences)
    return Where(self_hostable=True)


OWN = r"(?:my|our|your|their|its)(?: own)?"
MACHINE = (
    r"(?:server|servers|machine|machines|hardware|gpu|gpus|computer|computers|laptop|device|devices"
    r"|pc|mac|macbook|desktop|infrastructure|cluster|data ?cent(?:er|re)|network|premises|box|vps)"
)
SELF = re.compile(
    r"(?:(?:that |which |and |it )?(?:can |could |must |should )?(?:be |is |are )?"
    rf"(?:self[ -]?host(?:ed|able|ing)?(?: on {OWN} {MACHINE})?|hosted (?:by myself|locally)"
    rf"|(?:runs?|running|hosted|works?|working|deployed|installed|usable|deployable)"
    rf"(?: (?:it|them|everything|completely|fully|entirely|100 %))?"
    rf" (?:locally|offline|on[ -]prem(?:ises?)?|(?:on|in) {OWN} {MACHINE}|on-device)"
    rf"|on[ -]prem(?:ises?)?|on-device|(?:on|in) {OWN} (?:own )?{MACHINE}"
    r"|(?:fully|completely|entirely) (?:offline|local)|without (?:an )?internet(?:"
    r" (?:connection|access))?"
    r"|(?:for )?local(?:ly)? (?:use|hosted|running)|locally))"
)
OFFLINE = re.compile(r"offline")
LOCAL = re.compile(r"local (?=(?:[a-z]+ )?(?:models?|llms?|inference)\b)")


@_starts(
    "that which and it can could must should be is are self selfhosted hosted run runs running work"
    " works working deployed installed usable deployable on in fully completely entirely without"
    " local locally offline for"
)
def _self_hosted(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SELF, i)
    if not found and line.word(i) == "offline" and line.ends(i + 1):
        found = line.match(OFFLINE, i)
    if not found and LOCAL.match(line.line, line.at[i]):
        found = LOCAL.match(line.line, line.at[i]), i + 1  # type: ignore[assignment]
    if (
        found
        and not _negated(line, i)
        and not (line.word(i) == "on" and line.word(i - 1) in WRONG_ON)
    ):
        yield [Part(i, found[1], "self_hostable", Where(self_hostable=True))]


WRONG_ON = _words(
    """
    based files file folder folders photos data train fine-tune tune notes
    """
)


# Sizes

UP = (
    r"(?:at least|a minimum of|minimum(?: of)?|min|no less than|not less than|over|more"
    r" than|larger than"
    r"|greater than|bigger than|longer than|above|> ?=?|from)"
)
MORE = r"(?: ?\+| or more| or (?:larger|longer|bigger|greater)| and up| minimum| upwards)"
CONTEXT = r"(?:context(?:[ -](?:window|length|size))?|token context|input context)"
OUTPUT = r"(?:output tokens|output length|output limit|tokens of output|output|completion tokens)"
OF_TOKENS = r"(?:[ -]tokens?)?"
SIZE = re.compile(
    rf"(?:with |and )?(?:an? )?(?:"
    rf"(?:{UP} )?(?:an? )?(?P<n1>{NUMBER})(?:{MORE})?{OF_TOKENS}(?:{MORE})?(?: of| in the| in)?[ -]"
    rf"(?P<w1>(?:{CONTEXT}|{OUTPUT}))(?:{MORE})?"
    rf"|(?P<w2>{CONTEXT}|max output|maximum output|output length|output limit|output)"
    rf"(?: (?:of|is|:|with|that is)){{0,6}}(?: {UP})? (?P<n2>{NUMBER}){OF_TOKENS}(?:{MORE})?)"
)
LEAST_TOKENS = 256
LIMITED = _words("context output tokens completion")


@_starts(
    f"at a an minimum min no not over more larger greater bigger longer above > from with"
    f" and context"
    f" max maximum output input token {NUMBER_KEY}"
    f" {' '.join(SMALL_WORDS.replace('|', ' ').split())}"
)
def _size(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SIZE, i) if line.near(LIMITED, i) else None
    if not found or line.word(i - 1) in (
        "under",
        "below",
        "than",
        "most",
        "to",
        "$",
        "\u20ac",
        "<",
        "/",
    ):
        return
    match, end = found
    tokens = _number(match["n1"] or match["n2"])
    what = match["w1"] or match["w2"]
    if tokens is None or not LEAST_TOKENS <= tokens < 10**12 or _is_price(line, end):
        return
    name = "min_output_tokens" if "output" in what or "completion" in what else "min_context_tokens"
    where = (
        Where(min_output_tokens=int(tokens))
        if "output" in name
        else Where(min_context_tokens=int(tokens))
    )
    yield [Part(i, end, name, where)]


def _is_price(line: Line, end: int) -> bool:
    return line.word(end) in ("$", "usd", "dollars", "cents")


# Abilities

FLAGS: tuple[tuple[str, str, str], ...] = (
    ("tool_calling", "tool-calling",
     r"(?:tool|function)[ -](?:calling|calls?|use)|(?:call|use|calling|using) (?:tools|functions)"),
    ("reasoning", "reasoning", r"(?:step[ -]by[ -]step )?reasoning|thinking mode|reasoning mode"),
    ("structured_output", "structured-output",
     r"structured outputs?|json mode|json schema(?: output)?|json output|structured"
     r" json(?: output)?"),
)  # fmt: skip
WITHS = (
    r"(?:(?:that |which |and |it )?(?:must |should |needs to |has to |can |also )?(?:with|supports?"
    r"|supporting|has|have|having|offers?|offering|does|do|and|capable of|able to)"
    r" (?:native |built[ -]in"
    r" |good |reliable |strong |an? )?)"
)
ABLE = [
    (
        name,
        re.compile(
            rf"(?:{WITHS}|that can |which can |must |can )(?:{what})(?: support|"
            rf" capability| capabilities)?"
        ),
    )
    for name, _, what in FLAGS
]
BARE = [
    (
        name,
        re.compile(
            rf"(?:an? )?(?:{what})(?= (?:models?|llms?)\b)|json mode"
            if name == "structured_output"
            else rf"(?:{what})(?= (?:models?|llms?)\b)"
        ),
    )
    for name, _, what in FLAGS
]
UNABLE = [
    (
        name,
        re.compile(
            rf"(?:without (?:any )?|no |non[ -]|(?:that |which )?(?:doesn't|does not|don't) "
            rf"(?:do |need |support |have )?)(?:{what})"
        ),
    )
    for name, _, what in FLAGS
]


@_starts(
    "that which and it must should needs has have can also with support supports supporting having"
    " offers offer offering capable able without no non doesn't does don't do json tool function"
    " reasoning structured"
)
def _abilities(line: Line, i: int) -> Iterator[Group]:
    for patterns, yes in ((ABLE, True), (BARE, True), (UNABLE, False)):
        for name, pattern in patterns:
            found = line.match(pattern, i)
            if found and not _negated(line, i) and line.word(found[1]) not in NOT_FLAG:
                yield [Part(i, found[1], name if yes else f"not_{name}", _where(name, yes))]


NOT_FLAG = _words(
    """
    about over traces datasets data benchmark tasks errors problems
    """
)


def _where(name: str, value: Any) -> Where:
    return Where(**{name: value})


TYPES = {
    "image": DataType.IMAGE, "images": DataType.IMAGE, "picture": DataType.IMAGE,
    "pictures": DataType.IMAGE, "photos": DataType.IMAGE, "screenshots": DataType.IMAGE,
    "audio": DataType.AUDIO, "speech": DataType.AUDIO, "voice": DataType.AUDIO,
    "video": DataType.VIDEO, "videos": DataType.VIDEO, "pdf": DataType.PDF, "pdfs": DataType.PDF,
    "text": DataType.TEXT, "3d": DataType.THREE_D, "music": DataType.AUDIO,
}  # fmt: skip
A_TYPE = "|".join(sorted(TYPES, key=len, reverse=True))
TYPE_LIST = rf"(?P<t>(?:{A_TYPE})(?:(?: ,| and| or| &)+ (?:{A_TYPE})){{0,6}})"
TAKES = re.compile(
    rf"(?:takes?|taking|accepts?|accepting|ingests?|(?:can |could )?reads?|understands?) "
    rf"{TYPE_LIST}(?: files?| inputs?)?(?: as (?:an )?input)?"
    r"(?= [.,;)]|$| (?:and|or|but|as|with|for|natively|directly|in|at|under|from)\b)"
)
INPUTS = re.compile(
    rf"(?:with |has |supports |and )?{TYPE_LIST} inputs?(?= [.,;)]|$| (?:and|or|but|with"
    rf"|for|under|at)\b)"
)
GIVES = re.compile(
    rf"(?:outputs|outputting|emits|returns|produces) {TYPE_LIST}(?: files?)?"
    r"(?= [.,;)]|$| (?:and|or|but|with|for|from|under|at)\b)"
)
OUTPUTS = re.compile(
    rf"(?:with |has |supports |and )?{TYPE_LIST} outputs?(?= [.,;)]|$| (?:and|or|but|with"
    rf"|for|under|at)\b)"
)
INTO = re.compile(
    r"(?:text|image|audio|speech|video)[ -](?:to|2)[ -](?P<t>image|video|speech|3d|music|audio)s?"
)


@_starts(
    "takes take taking accepts accept accepting ingests ingest reads understands can with has"
    " supports and outputs outputting emits returns produces text speech voice "
    + A_TYPE.replace("|", " ")
)
def _types(line: Line, i: int) -> Iterator[Group]:
    for pattern, name in (
        (TAKES, "input_types"),
        (INPUTS, "input_types"),
        (GIVES, "output_types"),
        (OUTPUTS, "output_types"),
        (INTO, "output_types"),
    ):
        found = line.match(pattern, i)
        if not found or _negated(line, i):
            continue
        types = tuple(dict.fromkeys(TYPES[w] for w in found[0]["t"].split() if w in TYPES))
        if types == (DataType.TEXT,):
            continue  # nearly everything has text on one side: no condition, and often unsaid
        yield [Part(i, found[1], f"{name}:{'+'.join(types)}", _where(name, types), keeps=True)]


# Days

MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
YEAR = r"(?:19|20)\d\d"
DAY = (
    rf"(?:(?P<y1>{YEAR})-(?P<m1>\d\d?)(?:-(?P<d1>\d\d?))?|(?P<m2>{'|'.join(MONTHS)}),?"
    rf" (?P<y2>{YEAR})|(?P<y3>{YEAR}))(?!\d)"
)
RELEASED = (
    r"(?:(?:that (?:was|were) |which (?:was|were) )?(?:first )?"
    r"(?:released|published|launched|announced|came out|built|made|created|updated"
    r"|dating)(?: in| on)?)"
)
SINCE = re.compile(
    rf"(?:(?:{RELEASED} )?(?P<w>since|after|later than|newer than|from|in)|{RELEASED})"
    rf" {DAY}(?P<on> onwards?| on| or (?:later|newer))?"
)
UNTIL = re.compile(rf"(?:{RELEASED} )?(?:before|earlier than|older than|until|prior to) {DAY}")
LATELY = re.compile(
    rf"(?:{RELEASED} |from |new )?(?:within |in |during )?(?:(?P<this>this) (?P<u1>year|month|week)"
    r"|(?:the )?(?P<last>last|past) (?:(?P<n>\d{1,3}|two|three|four|five|six|twelve)"
    r" )?(?P<u2>years?|months?|weeks?|days?))"
)


@_starts(
    "that which first released published launched announced came built made created updated"
    " dating since after later newer from in before earlier older until prior within this"
)
def _released(line: Line, i: int) -> Iterator[Group]:
    said = re.match(RELEASED, line.line[line.at[i] : line.at[i] + 60]) is not None
    thing = line.word(i - 1) in THING_ENDS or i == 0 or line.word(i - 1) in (",", "but")
    if found := line.match(SINCE, i):
        match, end = found
        day = _day(match)
        word = match["w"] or "in"
        clear = said or word == "newer than" or (thing and word in ("since", "from", "after"))
        if day and clear and line.ends(end):
            since, after = day
            if word in ("after", "later than", "newer than"):
                since = after
            if word == "in" and not match["on"]:
                where = Where(released_since=since, released_before=after)
            else:
                where = Where(released_since=since)
            yield [Part(i, end, "released_since", where)]
    if (found := line.match(UNTIL, i)) and (said or thing or line.word(i) == "older"):
        day = _day(found[0])
        if day and line.ends(found[1]):
            yield [Part(i, found[1], "released_before", Where(released_before=day[0]))]
    if (
        line.today
        and (said or (thing and line.word(i) == "from"))
        and (found := line.match(LATELY, i))
    ):
        since_day = _lately(line.today, found[0])
        if since_day:
            yield [Part(i, found[1], "released_since", Where(released_since=since_day))]


THING_ENDS = _words(
    """
    model models llm llms ones one something anything tool tools dataset datasets benchmark
    benchmarks
    """
)


def _day(match: re.Match[str]) -> tuple[date, date] | None:
    """The first day of what is named, and the first after it."""
    year = int(match["y1"] or match["y2"] or match["y3"])
    month = int(match["m1"] or 0) or MONTHS.get(match["m2"] or "", 0)
    try:
        if match["d1"]:
            day = date(year, month, int(match["d1"]))
            return day, day + timedelta(days=1)
        if month:
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        return date(year, 1, 1), date(year + 1, 1, 1)
    except ValueError:
        return None


def _lately(today: date, match: re.Match[str]) -> date | None:
    unit = (match["u1"] or match["u2"]).rstrip("s")
    if match["this"]:
        if unit == "week":
            return today - timedelta(days=today.weekday())
        return today.replace(day=1) if unit == "month" else today.replace(month=1, day=1)
    count = int(_number(match["n"]) or 1)
    if unit == "year" and not match["n"]:
        return date(today.year - 1, 1, 1)
    days = {"year": 365, "month": 30, "week": 7, "day": 1}[unit] * count
    return today - timedelta(days=days) if days < 36_500 else None


# Names: who made it, what family it is of, who sells it, under which licence

MODEL_NOUN = (
    r"(?:models?|llms?|ai|apis?|products?|tools?|stuff|offerings?|ones?|services?"
    r"|family|licen[cs]ed?)"
)
NEGATION = re.compile(
    r"(?:(?:but )?(?:that's |it's |(?:that |which |and |it |they )?(?:is |are |was |were )?)(?:"
    r"(?:not|isn't|aren't|wasn't|weren't|doesn't|don't|do not|does not|must not|cannot|can't)"
    r"(?: (?:be|come|use|using|want|based on|rely on|depend on|from|made by|built by|by"
    r"|owned by|developed by|created by"
    r"|trained by|hosted by|via|on|under|licensed under|a|an|any|the|part of|about|for|need"
    r"|require|with)){0,6}"
    r"|no|non|without|except(?: for| from)?|excluding|exclude|other than|apart from|aside"
    r" from|besides"
    r"|(?:any|every)(?:thing|one|body) (?:but|except)|all but|any but|neither|avoid|avoiding"
    r"|(?:has |have |having )?nothing (?:from|by|to do with)|never|independent of|minus|skip"
    r"|skipping|rule out|ruling out|leave out|leaving out|ignore|ignoring|forget|rather than"
    r"|instead of|with the exception of|(?:i |i've |i'm )?(?:have |am )?(?:had enough|tired"
    r"|sick|fed up) (?:of|with)|(?:i )?(?:hate|dislike)|save for|barring"
    r"|without (?:using|any))(?: (?:from|by|made by|using|any|the|a|an)){0,6})(?=[ -])"
)
# "not a model or a dataset" goes on, and "not a model, a dataset" says what is meant instead.
NEXT = re.compile(
    r"(?:(?:(?:,|/|&) )?(?:and|or|nor)(?: (?:not|no|from|by|made by|any|the|a|an|anything from"
    r"|without)){0,6}|(?:,|/|&)(?: (?:not|no|from|by|made by|any|anything from|without)"
    r"(?: (?:a|an|the))?){0,3})(?= )(?! an? )"
)
FIELDS = ("vendors", "families", "providers")


@_starts(
    "but that that's it's which and it they is are was were not isn't aren't wasn't weren't doesn't"
    " don't do does must cannot can't no non without except excluding exclude other apart aside"
    " besides anything everything anyone everyone anybody everybody minus skip skipping rule ruling"
    " leave leaving ignore ignoring forget rather instead with i i've i'm had tired sick fed hate"
    " dislike save barring has have having"
    " all any neither avoid avoiding nothing never independent"
)
def _negation(line: Line, i: int) -> Iterator[Group]:
    found = NEGATION.match(line.line, line.at[i]) if i >= line.negated_until else None
    if not found:
        return
    j = bisect_left(line.at, found.end())
    if j < len(line) and line.glued(j) and line.words[j - 1] != "non":
        return
    cue, start = found.group(), i
    group: Group = []
    loose = False
    if cue.endswith(("not", "n't")) and line.word(j) in ("only", "just", "necessarily", "limited"):
        return
    while len(group) < 12:
        part = _unwanted(line, start, j, cue, bool(group), loose)
        if part is None:
            break
        group.append(part)
        more = line.match(NEXT, part.end)
        if not more:
            break
        start, j = part.end, more[1]
        # After a mere comma something else may begin: "not Bolt, free".
        loose = NEGATING.isdisjoint(more[0].group().split())
    if group:
        # A list is read from its beginning; reading it again from each entry would take too long.
        line.negated_until = group[-1].end
        yield group


def _unwanted_name(line: Line, start: int, j: int, *, glued: bool) -> Part | None:
    """A company, family or artifact by its name; a hyphen before it (`glued`: "non-OpenAI
    embedding") says how far the name goes, otherwise the phrase has to end there."""
    slugs = line.vocabulary.artifacts
    if found := _named(line, j, FIELDS):
        field_, stored, last = found
        noun = line.match(NOUN, last)
        end = noun[1] if noun and line.ends(noun[1]) else last
        if glued or line.ends(end):
            name = line.written(j, last)
            # What is called like its maker is meant as well.
            news = {f"not_{field_}": stored, "must_not_have": slugs.get(name, ())}
            return Part(start, end, f"not_{field_}:{name}", Where(**news))  # type: ignore[arg-type]
    if (artifact := line.name(slugs, j)) and line.ends(artifact[1]):
        (slug, *_), end = artifact
        return Part(start, end, f"must_not_have:{slug}", Where(must_not_have=(slug,)))
    return None


NEGATING = frozenset(("and", "or", "nor", "not", "no", "without"))


def _unwanted(line: Line, start: int, j: int, cue: str, more: bool, loose: bool) -> Part | None:
    names = line.vocabulary
    if named := _unwanted_name(line, start, j, glued=cue == "non" and not more):
        return named
    if closed := line.match(CLOSED, j):
        return Part(start, closed[1], "open", _open_where(line, False))
    licence = line.name(names.licences, j)
    if licence and (noun := line.match(LICENSED, licence[1])) is not None:
        licence = licence[0], noun[1]
    if licence and line.ends(licence[1]):
        stored, end = licence
        return Part(
            start, end, f"not_licences:{line.written(j, end)}", _where("not_licences", stored)
        )
    known = line.match(KIND_NAMES, j)
    if known and line.ends(known[1]) and not loose:
        plain_cue = cue in ("no", "without", "except", "excluding", "other than")
        if more or plain_cue or cue.endswith((" a", " an")):
            kinds = NOT_KINDS[known[0].group().rstrip("s")]
            return Part(start, known[1], f"not_kinds:{kinds[0]}", _where("not_kinds", kinds))
    firm = not FIRM.isdisjoint(cue.split()) or cue.endswith(SAYING)
    if (sense := line.match(SENSES, j)) and line.ends(sense[1]):
        key = f"{SENSE_KEYS[sense[0]['what'].rstrip('s')]}-understanding"
        return Part(start, sense[1], f"must_not_have:{key}", Where(must_not_have=(key,)))
    words = _thing(line, j) if more or firm else None
    if not words and not loose:
        words = _anything(line, j) if more or firm else None
        if cue == "not" and not more:
            words = words or _bare(line, start, j)
    if words:
        text, end = words
        return Part(
            start, end, f"must_not_have:{text.replace(' ', '-')}", Where(must_not_have=(text,))
        )
    return None


EXCLUDING = frozenset(("excluded", "aside", "out", "allowed", "wanted", "free"))
EXCLUDED = re.compile(r"(?:is |are |models? )?(?:excluded|aside|out|not (?:allowed|wanted)|free)")


def _excluded_after(line: Line, i: int) -> Iterator[Group]:
    """ "OpenAI excluded", "OpenAI-free": the exclusion comes after the name."""
    found = _named(line, i, FIELDS)
    if not found:
        return
    field_, stored, end = found
    after = line.match(EXCLUDED, end)
    if after and (after[0].group() != "free" or line.glued(end)):
        id_ = f"not_{field_}:{line.written(i, end)}"
        yield [Part(i, after[1], id_, _where(f"not_{field_}", stored))]


# After these a thing is excluded by its name alone; a bare "not" says too little.
FIRM = _words(
    """
    without no nor neither avoid avoiding excluding exclude except use using but other apart aside
    minus skip skipping rule ruling leave leaving ignore ignoring forget exception
    enough tired sick fed hate dislike save barring
    """
)
# After these a bare "not" is firm, too: "not a chatbot", "not about code".
SAYING = (" a", " an", " about", " for", " need", " require", " with")
NOUN = re.compile(MODEL_NOUN)
CLOSED = re.compile(r"(?:closed|proprietary)(?: (?:source|weights?|models?|ones?|llms?))*")
SENSES = re.compile(
    r"(?P<what>vision|images?|videos?|audio|pdfs?)(?: (?:inputs?|understanding|support))?"
)
SENSE_KEYS = {
    "vision": "image", "image": "image", "video": "video", "audio": "audio", "pdf": "document"
}  # fmt: skip
LICENSED = re.compile(r"(?:licen[cs](?:ed?|es|ing))")


def _named(line: Line, i: int, order: Sequence[str]) -> tuple[str, tuple[str, ...], int] | None:
    """The longest name there, of the first of the fields that know it."""
    best: tuple[str, tuple[str, ...], int] | None = None
    for field_ in order:
        found = line.name(getattr(line.vocabulary, field_), i)
        if found and (best is None or found[1] > best[2]):
            best = field_, *found
    return best


# What a thing can do without. Only such nouns are excluded by name: "without losing quality" and
# "no errors" tell how something should work, and what mentions them is often just right.
NEEDS = _words(
    """
    docker gpu gpus cuda kubernetes k8s python node nodejs node.js java javascript typescript
    rust internet cloud account accounts login logins signup sign-up registration subscription
    subscriptions apikey apikeys api-key telemetry tracking ads advertising watermark watermarks
    browser database credit-card creditcard creditcards email root sudo electron npm pip conda
    pytorch tensorflow langchain vpn phone app-store aws gcp azure terraform redis postgres
    postgresql mongodb sqlite wsl windows linux macos vendor-lock-in lock-in lockin blockchain
    crypto chromium selenium playwright censorship nsfw internet-connection internet-access
    dependencies plugins
    """
)
NEED_KEYS = frozenset(map(squashed, NEEDS)) | {"apikey", "apikeys", "vendorlockin", "creditcard"}


def _thing(line: Line, i: int) -> tuple[str, int] | None:
    """The words of something that a program can do without, and the token after them."""
    while line.word(i) in DETERMINERS:
        i += 1
    for j in range(min(i + 3, len(line)), i, -1):
        if not line.squashed[j - 1]:
            continue
        key = "".join(line.squashed[i:j])
        known = key in NEED_KEYS or key in line.vocabulary.capabilities
        known = known or (key in line.vocabulary.artifacts and line.proper(i, j))
        ends = line.ends(j) or line.word(j) in ("needed", "required", "installed", "necessary")
        if known and ends:
            stored = line.vocabulary.capabilities.get(key)
            end = j + (line.word(j) in ("needed", "required", "installed", "necessary"))
            return (
                stored[0]
                if stored
                else line.line[line.at[i] : line.at[j - 1] + len(line.words[j - 1])]
            ), end
    return None


def _bare(line: Line, start: int, i: int) -> tuple[str, int] | None:
    """What a bare "not" excludes: "not multilingual", while "does not run" says something else."""
    verbs = ("do", "does", "did", "can", "could", "should", "would", "must", "will", "may")
    return None if line.word(start - 1) in verbs and start else _anything(line, i)


# How something should work, and not what it should be without.
QUALITIES = _words(
    """
    accuracy actually always artifacts bad bias boilerplate bugs charge cheap code coding
    compromise compromises confusion context cost costs crash crashes data delay delays downtime
    drama effort enough error errors even expensive experience extra fail failure failures fast
    fee fees free friction frills fuss good hallucination hallucinations hassle help human humans
    interaction interruption issue issues jargon just knowledge labels lag latency leak leaks
    limit limitation limitations limits loss many mess mistake mistakes more much necessary need
    needs noise nonsense one only open overhead pain people permission problem problems prompt
    prompting quality question questions quite really reason restriction restrictions retraining
    review risk sacrifice setup skills slow so someone stress supervision sure surprises that this
    time too training trouble typos understanding user users very waiting warning words work yet
    """
)


def _anything(line: Line, i: int) -> tuple[str, int] | None:
    """One or two words up to the end of the phrase that name a thing. Only what has it in its name
    or needs it is left out for that, so nothing is lost where nothing is called so."""
    while line.word(i) in DETERMINERS:
        i += 1
    for j in (i + 3, i + 2, i + 1):
        direction = j == i + 3 and line.word(i + 1) == "to"
        if j > len(line) or not line.ends(j) or line.word(j) in ("to", "of"):
            continue
        if j == i + 3 and not (direction or line.glued(i + 1)):
            continue
        end = j
        while end - 1 > i and NOUN.fullmatch(line.words[end - 1]):
            end -= 1
        words = line.words[i : i + 1] if direction else line.words[i:end]
        if all(word.isalnum() for word in words) and not (
            QUALITIES.intersection(words)
            or ENDS.intersection(words)
            or words[0] in AFTER
            or words[-1] in BEFORE
            or len(words[-1]) < 3
            or (end == j and words[0].endswith(("ing", "ed", "ly")))
        ):
            last = j if direction else end
            return line.line[line.at[i] : line.at[last - 1] + len(line.words[last - 1])], j
    return None


NEEDLESS = re.compile(
    r"(?:(?:that |which |it |and )?(?:doesn't|does not|don't|do not|not|needn't|never|without)"
    r" (?:need|needs|require|requires|requiring|needing|depend on|rely on|involve|have|having)"
    r"(?: (?:to have|to use|an?|any|the)){0,6}|(?:needs|requires|requiring|has|with) no)(?= )"
)


@_starts(
    "that which it and doesn't does don't do not needn't never needs requires requiring"
    " has with without"
)
def _needless(line: Line, i: int) -> Iterator[Group]:
    found = line.match(NEEDLESS, i)
    if not found:
        return
    group: Group = []
    start, j = i, found[1]
    while words := _thing(line, j) or (_anything(line, j) if not group else None):
        text, end = words
        group.append(
            Part(
                start, end, f"must_not_have:{text.replace(' ', '-')}", Where(must_not_have=(text,))
            )
        )
        more = line.match(NEXT, end)
        if not more or len(group) > 8:
            break
        start, j = end, more[1]
    if group:
        yield group


MUST = re.compile(
    r"(?:(?:that |which |it |and )?(?:must|has to|needs to|need to|have to)(?: also)? "
    r"(?:have|support|include|offer|provide)(?: (?:an?|the|good))?)(?= )"
)
STOP = _words(
    """
    to that which be able been
    """
)


@_starts("that which it and must has needs need have")
def _must(line: Line, i: int) -> Iterator[Group]:
    found = line.match(MUST, i)
    if not found:
        return
    group: Group = []
    start, j = i, found[1]
    while j < len(line) and len(group) < 8:
        end = j
        while end < len(line) and (end == j or not line.ends(end)) and end - j < 5:
            end += 1
        words = line.line[line.at[j] : line.at[end - 1] + len(line.words[end - 1])]
        if not line.ends(end) or line.word(j) in STOP | ENDS or not any(line.squashed[j:end]):
            break
        flag = next((name for name, _, what in FLAGS if re.fullmatch(what, words)), None)
        key = "".join(line.squashed[j:end])
        known = line.vocabulary.capabilities.get(key, (words,))[:1]
        where = _where(flag, True) if flag else Where(must_have=known)
        group.append(Part(start, end, flag or f"must_have:{known[0].replace(' ', '-')}", where))
        if line.word(end) not in (",", "and"):
            break
        start, j = end, end + 1 + (line.word(end + 1) == "and")
    if group:
        yield group


MADE = re.compile(
    r"(?:(?:that |which |and )?(?:is |are |was |were |comes? |coming )?"
    r"(?:(?:made|built|developed|created|trained|published|released|provided) by|from|by))(?= )"
)
SOLD = re.compile(
    r"(?:(?:that |which |and )?(?:is |are |can be )?"
    r"(?:(?:hosted|served|sold|offered|run|available|accessible|deployed|callable|usable|runs|works)"
    r" (?:by|on|via|through|from|at)|via|on|through))(?= )"
)
ORIGINS = THING_ENDS | _words(
    """
    something anything everything only just comes coming is are product products system systems
    embeddings
    """
)


@_starts(
    "that which and is are was were comes come coming made built developed created trained"
    " published released"
    " provided from by"
)
def _made_by(line: Line, i: int) -> Iterator[Group]:
    found = line.match(MADE, i)
    if not found or _negated(line, i):
        return
    if found[0].group() in ("from", "by") and not _apart(line, i):
        return
    yield from _wanted(line, i, found[1], ("vendors",))


@_starts(
    "that which and is are can hosted served sold offered run available accessible"
    " deployed callable usable runs"
    " works via on through"
)
def _sold_by(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SOLD, i)
    if not found or _negated(line, i):
        return
    bare = found[0].group() in ("via", "on", "through")
    if bare and not (_apart(line, i) or _ends_name(line, i)):
        return
    yield from _wanted(line, i, found[1], ("providers",))


def _apart(line: Line, i: int) -> bool:
    """Whether what comes says where the whole thing is from, and is no part of a task."""
    return i == 0 or line.word(i - 1) in ORIGINS or line.word(i - 1) in (",", "but")


def _ends_name(line: Line, i: int) -> bool:
    names = line.vocabulary
    for k in range(max(0, i - 4), i):
        key = "".join(line.squashed[k:i])
        if key and (key in names.families or (key in names.artifacts and line.proper(k, i))):
            return True
    return False


def _wanted(line: Line, start: int, j: int, order: Sequence[str]) -> Iterator[Group]:
    group: Group = []
    while len(group) < 8 and (found := _named(line, j, order)):
        field_, stored, end = found
        noun = line.match(NOUN, end)
        if not line.ends(end) and not (noun and line.ends(noun[1])):
            break
        group.append(
            Part(start, end, f"{field_}:{line.written(j, found[2])}", _where(field_, stored))
        )
        more = line.match(NEXT, end)
        if not more:
            break
        start, j = end, more[1]
    if group:
        yield group


LICENCE_AFTER = re.compile(r"(?:[ -])?(?:licen[cs](?:ed?|es|ing)|[ -]licen[cs]ed)")
UNDER = re.compile(
    r"(?:(?:with |released |available |licensed |published |is ){0,6}(?:under|with|has|as)?(?:"
    r" an?| the)?)(?= )"
)
PERMISSIVE = re.compile(
    r"(?:with |under |has )?(?:an? )?(?:permissive(?:ly)?|liberal)(?:"
    r" open[ -]source)?[ -](?:licen[cs](?:ed?|es|ing))"
)


@_starts(
    "with under has a an permissive permissively liberal released available licensed published"
)
def _licence(line: Line, i: int) -> Iterator[Group]:
    if (found := line.match(PERMISSIVE, i)) and line.vocabulary.permissive_licences:
        where = Where(licences=line.vocabulary.permissive_licences)
        yield [Part(i, found[1], "licences:permissive", where)]
    if line.word(i) in ("with", "under", "has", "released", "available", "licensed", "published"):
        under = UNDER.match(line.line, line.at[i])
        if under and under.end() > under.start():
            j = bisect_left(line.at, under.end())
            yield from _licensed(
                line, i, j, "under" in under.group() or "licensed" in under.group()
            )


def _licensed(line: Line, start: int, j: int, clear: bool) -> Iterator[Group]:
    found = line.name(line.vocabulary.licences, j) if j < len(line) else None
    if not found and j < len(line):
        # "MIT-licensed" is one word to its writer; the name ends at the hyphen.
        key = line.squashed[j]
        if line.word(j + 1).startswith(("licens", "licenc")) and key in line.vocabulary.licences:
            found = line.vocabulary.licences[key], j + 1
    if not found:
        return
    stored, end = found
    said = clear or any(
        c.isdigit() for c in line.line[line.at[j] : line.at[end - 1] + len(line.words[end - 1])]
    )
    if line.word(end).startswith(("licens", "licenc")):
        said, end = True, end + 1
    if said and not _negated(line, start):
        yield [Part(start, end, f"licences:{squashed(stored[0])}", _where("licences", stored))]


def _names_at(line: Line) -> Iterator[Group]:
    """Licences that stand for themselves: Apache 2.0, MIT-licensed."""
    for i in range(len(line)):
        if not line.glued(i) and line.squashed[i] and line.squashed[i][0] in LICENCE_LETTERS:
            yield from _licensed(line, i, i, False)


LICENCE_LETTERS = frozenset("abcglmopuiwz0")


# Examples: like this, unlike that, cheaper than those

NOT_LIKE = _words(
    """
    works work working feels feel looks look looking sounds sound acts act behaves behave would
    i'd we'd talk talks speak speaks write writes thinks think draw draws sings seems just much
    don't didn't doesn't dislike reads read smells taste id you'd things people users
    """
)
ALIKE = re.compile(
    r"(?:(?:something |anything |tools? |models? |apps? |one |more )?(?P<weak>like|such as)"
    r"|(?:something |anything |tools? |models? |apps? )?(?:that is |which is |is"
    r" )?(?:(?:very |most )?similar to|comparable to|akin to)"
    r"|(?:an? |the |best |any |good |some ){0,6}(?:alternatives?|replacements?|substitutes?"
    r"|equivalents?) (?:to|for|of)"
    r"|(?:an? )?drop-in replacement for|to replace|replacing|instead of|in place of"
    r"|(?P<cheaper>(?:something |anything )?(?:that is |which is )?(?:cheaper|less"
    r" expensive|more affordable) than)"
    r"|(?P<unlike>unlike|not like|nothing like|(?:something |anything )?(?:completely "
    r"|totally |very )?different (?:from|than|to)))(?: the)?(?= )"
)


COMPARES = _words(
    "like such similar comparable akin alternative alternatives replacement replacements substitute"
    " substitutes equivalent equivalents replace replacing instead place cheaper less affordable"
    " unlike different drop"
)


@_starts(
    "something anything tool tools model models app apps one more like such that which is"
    " very most similar"
    " comparable akin a an the best any good some alternative alternatives replacement"
    " replacements substitute substitutes equivalent equivalents drop to replacing instead in"
    " cheaper less unlike not nothing completely totally different"
)
def _alike(line: Line, i: int) -> Iterator[Group]:
    found = line.match(ALIKE, i) if line.near(COMPARES, i, 6) else None
    if not found:
        return
    match, j = found
    weak = bool(match["weak"])
    if weak and (line.word(i - 1) in NOT_LIKE or line.word(i - 1) in ("not", "nothing")):
        return
    strong = any(word in STRONG for word in match.group().split())
    target = line.name(line.vocabulary.artifacts, j, anyhow=strong)
    if target is None:
        vendor = _named(line, j, ("vendors",))
        replaced = not (
            weak
            or match["cheaper"]
            or match["unlike"]
            or "similar" in match.group()
            or "comparable" in match.group()
        )
        if vendor and replaced and line.ends(vendor[2]):
            yield [
                Part(
                    i,
                    vendor[2],
                    f"not_vendors:{squashed(vendor[1][0])}",
                    Where(not_vendors=vendor[1]),
                )
            ]
        return
    stored, end = target
    slug = stored[0]
    if not line.ends(end) and not (line.proper(j, end) and line.name(line.vocabulary.artifacts, j)):
        return
    if weak and not (
        line.proper(j, end)
        or i == 0
        or line.words[i] != "like"
        or line.word(i - 1) in THING_ENDS | SOFTWARE | {",", "something"}
    ):
        return
    if match["cheaper"]:
        yield [Part(i, end, f"cheaper_than:{slug}", Where(cheaper_than=slug))]
    elif match["unlike"]:
        yield [Part(i, end, f"unlike:{slug}", unlike=(slug,))]
    else:
        yield [Part(i, end, f"like:{slug}", like=(slug,))]


STRONG = _words("alternative alternatives replacement replacements substitute substitutes cheaper")
ADJECTIVES = _words(
    """
    good best better great cheap cheaper free source hosted friendly local lightweight simple
    fast modern private secure weights weight the a an any some paid popular based focused
    native viable
    """
)


@_starts("alternative alternatives replacement competitor competitors clone")
def _alternative(line: Line, i: int) -> Iterator[Group]:
    """The name before the word: Cursor alternative."""
    if (
        line.word(i - 1) in ADJECTIVES
        or line.word(i + 1) in ("to", "for", "of")
        or not line.ends(i + 1)
    ):
        return
    for k in range(max(0, i - 5), i):
        if line.glued(k):
            continue
        found = line.name(line.vocabulary.artifacts, k, anyhow=True)
        if found and found[1] == i:
            yield [Part(k, i + 1, f"like:{found[0][0]}", like=found[0][:1])]
            return


# Kinds: only where the text begins with what is wanted

KIND_PHRASES: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    (r"mcp(?: servers?)?|model context protocol servers?", (Kind.MCP,)),
    (r"data ?sets?", (Kind.DATASET,)),
    (r"benchmarks?(?: suites?)?", (Kind.BENCHMARK,)),
    (
        r"cli(?: tools?| apps?| programs?)?|command[ -]line (?:tools?|programs?|utility"
        r"|utilities|apps?|interface)",
        (Kind.CLI,),
    ),
    (r"(?:agent |agentic )?frameworks?", (Kind.FRAMEWORK,)),
    (r"(?:agent |claude )skills?", (Kind.SKILL,)),
    (r"(?:language |large language |foundation )?models?|llms?", (Kind.MODEL, Kind.FINETUNE)),
    (r"(?:vs ?code|vscode|browser|chrome|editor|ide) extensions?", (Kind.EXTENSION,)),
)
KINDS = [(re.compile(pattern), kinds) for pattern, kinds in KIND_PHRASES]
NOT_KINDS = {
    **{kind.value: (kind,) for kind in Kind},
    **{words.split(" ", 1)[1].lower(): (kind,) for kind, words in KIND_WORDS.items()},
    "model": (Kind.MODEL, Kind.FINETUNE), "llm": (Kind.MODEL, Kind.FINETUNE),
    "mcp server": (Kind.MCP,), "cli tool": (Kind.CLI,), "data set": (Kind.DATASET,),
}  # fmt: skip
KIND_NAMES = re.compile(
    rf"(?:{'|'.join(sorted(map(re.escape, NOT_KINDS), key=len, reverse=True))})s?"
)
INTRO = re.compile(
    r"(?:(?:hi|hello|hey|please)[ ,]*)?"
    r"(?:(?:i|we)(?: am|'m| are|'re|'d| would)? (?:also )?(?:need|want|like|looking for"
    r"|look for|search for|searching for|require)"
    r"|i am looking for|(?:is|are) there|looking for|(?:can you )?(?:recommend|suggest"
    r"|find)(?: me)?|show me|give me|search for"
    r"|what(?:'s| is| are)(?: the)?|which(?: is)?(?: the)?|need|want|do you know)(?: of)?(?= )"
)
# What begins a task rather than a description of the thing itself.
VERBS = _words(
    """
    add align analyse analyze annotate answer ask automate automatically automating bench
    benchmark browse build building call chat check classify clean clone code collect compare
    comparing compress connect control convert converting count create creating debug deploy
    deploying design detect distill download draw edit embed evaluate evaluating evaluation
    explain export extract fetch finetune finetuning filter fine fix generate generating get
    give help host hosting how implement import improve index inspect label let load log make
    making manage manipulate measure merge mine monitor navigate open optimise optimize
    orchestrate parse plan play predict process prompt prune publish pull push quantise quantize
    quantizing query rank read recognise recognize record reduce remove rename replace reproduce
    review rewrite route run running save scan scrape search send serve serving share shrink
    solve speed split store summarise summarize switch talk teach test testing tool trace track
    train training transcribe transform translate tune turn understand update upload use using
    validate verify view visualise visualize watch where which why work write writing
    """
)
NOUNS_TOO = _words("code chat vision speech image")
NOT_MODEL = _words(
    """
    data domain business 3d cad object threat mental role pricing climate weather fashion car
    scale statistical mathematical financial solid finance excel dbt database relational uml
    topic physics simulation user view permission cost probabilistic train railway mesh blender
    """
)
WITHIN = _words(
    """
    in of to for that which with from on by via without about into and or , ; : . ? ! (
    """
)
COMPATIBLE = _words(
    """
    compatible api apis style like format sdk key keys cloud drive docs sheets search maps
    account
    """
)


def _noun_phrases(line: Line) -> Iterator[Group]:
    """The kind that the first noun phrase ends with, and the names that stand in it."""
    begin = 0
    if found := INTRO.match(line.line):
        begin = bisect_left(line.at, found.end())
    while line.word(begin) in DETERMINERS | {"best", "good", "other"}:
        begin += 1
    verb = line.word(begin) in VERBS and not line.glued(begin + 1)
    if line.word(begin) == "benchmark" and line.ends(begin + 1):
        verb = False
    if line.word(begin) == "open" and line.word(begin + 1).startswith(("source", "weight")):
        verb = False
    if verb and not (line.word(begin) in NOUNS_TOO and line.word(begin + 1) in MODELS):
        return
    for i in range(begin, min(begin + 8, len(line))):
        if line.glued(i):
            continue
        if line.word(i) in WITHIN or (i > begin and line.word(i) in DETERMINERS):
            # A comma between adjectives does not end the phrase: "small, fast model".
            if line.word(i) == "," and i == begin + 1:
                continue
            return
        for pattern, kinds in KINDS:
            known = line.match(pattern, i)
            if not known or not line.ends(known[1]) or line.word(known[1]) == "-":
                continue
            if kinds[0] is Kind.MODEL and line.word(i - 1) in NOT_MODEL:
                continue
            yield [Part(i, known[1], f"kinds:{kinds[0]}", Where(kinds=kinds))]
            if kinds[0] is Kind.MODEL:
                yield from _adjectives(line, begin, i)
            return


def _adjectives(line: Line, begin: int, end: int) -> Iterator[Group]:
    """Who made the model or what family it is of, said in front of it: an OpenAI model."""
    k = begin
    while k < end:
        found = None if line.glued(k) else _named(line, k, ("vendors", "families"))
        if not found or found[2] > end or line.word(found[2]) in COMPATIBLE or _negated(line, k):
            k += 1
            continue
        field_, stored, after = found
        yield [Part(k, after, f"{field_}:{line.written(k, after)}", _where(field_, stored))]
        k = after
