"""What must not be: makers, families, providers, licences, kinds and things by their names.

An exclusion is a cue ("without", "doesn't", "anything but"), what may stand between ("need to use
any"), and a list of what is excluded. A name of the catalog is excluded after every cue, a thing
that a program can do without after most of them, any other word only where it is clear.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.hosting import open_where
from matchgraph.domain.understanding.kind import KIND_NAMES, NOT_KINDS, VERBS
from matchgraph.domain.understanding.line import (
    AFTER,
    BEFORE,
    BRIDGE,
    DETERMINERS,
    ENDS,
    NOT_WORDS,
    Line,
    words_of,
)
from matchgraph.domain.understanding.name import FIELDS, NOUN, named
from matchgraph.domain.understanding.part import Group, Part, everywhere, where_of
from matchgraph.domain.vocabulary import squashed

# Cues, by how much they say.
SAYS_NOT = (
    r"(?:not|never|cannot|(?:is|are|was|were|do|does|did|ca|wo|would|should|must|could|need|has|have)"
    r"n'?t)(?! (?:only|just|merely|necessarily|limited|so)(?![^\W_]))"
)
SAYS_NO = (
    r"(?:(?:needs?|requires?|requiring|needing|has|have|having|with|of|from|by|uses|using) )?"
    r"(?:no|zero|without|w / o|sans|neither)(?: more)?"
)
SAYS_NOTHING = r"(?:nothing|none)(?! but| to do)"
SAYS_BUT = (
    r"(?:(?:from |by )?(?:(?:any|every|some)(?:thing|one|body)(?: else)?|all(?: others)?|any"
    r"|(?:an? |any )?(?:vendor|provider|maker|company|family)s?) )?"
    r"(?:other than|apart from|aside from|besides|except(?: for| from)?|excluding"
    r"|with the exception of|save for|barring)"
    r"|(?:(?:any|every)(?:thing|one|body)|all|any) but"
    r"|(?:some|any)(?:thing|one|body) else (?:than|but)"
    r"|(?:an? |some )?(?:different|other) (?:vendor|provider|maker|company|model)s? (?:than|from)"
)
AWAY = r"(?:stay|keep|get|mov|steer|go)(?:e|ing|ting)?(?: me| us)? (?:away|clear|far) (?:from|of)"
SAYS_AWAY = (
    r"(?:avoid(?:s|ing)?|skip(?:ping)?|exclude|ignor(?:e|ing)|forget(?: about)?|rul(?:e|ing) out"
    rf"|leav(?:e|ing) out|hate|dislike|distrust|boycott(?:ing)?|ban(?:ned)?|drop|ditch|{AWAY}"
    r"|filter(?:ing)? out|omit(?:ting)?|hid(?:e|ing)|done with|devoid of|lack(?:s|ing)"
    r"|(?:get(?:ting)? )?rid of|(?:had enough|tired|sick|fed up) (?:of|with)"
    r"|(?:switch|migrat)(?:e|ing) (?:away )?from|minus|independent(?:ly)? (?:of|from)"
    r"|free (?:of|from)|unrelated to|instead of|rather than|nothing to do with)(?: :)?"
)
SUBJECT = r"(?:(?:that|which|who|it|they|i|we|you|one|there)(?:'(?:s|re|m|d|ve|ll))? )"
AUXILIARY = (
    r"(?:(?:but|and|should|must|is|are|was|were|am|be|been|would|can|could|will|shall|may|might|do"
    r"|does|did|have|has|had|want|wants|trying|prefer|to|please|really|definitely|absolutely|simply|also|rather|preferably"
    r"|ideally) )"
)
CUE = re.compile(
    rf"{AUXILIARY}?{SUBJECT}?{AUXILIARY}{{0,4}}(?:(?P<but>{SAYS_BUT})|(?P<away>{SAYS_AWAY})"
    rf"|(?P<nothing>{SAYS_NOTHING})|(?P<no>{SAYS_NO})|(?P<not>{SAYS_NOT})|(?P<non>non(?=-| )))"
    r"(?![^\W_])"
)
CUES = NOT_WORDS | words_of(
    """
    other apart aside but except exception save barring away clear far rid skip skipping ignore
    ignoring forget rule ruling leave leaving hate dislike distrust boycott boycotting ban banned
    zero else filter filtering omit omitting hide hiding done devoid lacks lacking different
    drop ditch enough tired sick fed switch switching migrate migrating independent independently
    free unrelated instead rather w
    """
)
# A question, not a wish: "why not use X", "whether or not".
ASKED = words_of("why whether if or when")
# "not a model or a dataset" goes on, and "not a model, a dataset" says what is meant instead.
NEXT = re.compile(
    r"(?:(?:(?:,|/|&) )?(?:and|or|nor)(?: (?:also|not|no|without|neither))?"
    r"|(?:,|/|&)(?: (?:not|no|without))?)(?= )"
)
NEGATING = frozenset(("or", "nor", "not", "no", "without", "/"))
# "not OpenAI, Google is fine"
WELCOME = re.compile(
    r"(?:(?:is|are|would be) )?(?:fine|ok|okay|good|great|welcome|preferred|possible|only)"
    r"(?![^\W_])"
)
# A price list calls itself so; who says it means no company.
SELF_HOSTED = re.compile(r"self[ -]?host")
BY_PROVIDER = words_of("via through on hosted served sold offered")
LEANING = words_of(
    "based depend depends depending dependent rely relies relying reliant built trained"
)
# The words between after which a kind is meant by its name: "not an agent", "don't want agents".
OF_A_KIND = words_of(
    """
    a an the any be another want wants to use using like see show me us anything something
    suggest recommend give get
    """
)
# And those after which any noun is: "doesn't need a parser". What one has or is for is not the
# program's: "I don't have a budget", "not for production".
OF_A_THING = words_of(
    """
    a an the any be need needs needing to require requires requiring depend depends depending rely
    relies relying on involve involves involving use uses using contain contains include includes
    with want about
    """
)
NEEDING = words_of("need needs needed needing require requires required requiring")


@everywhere
def _exclusions(line: Line) -> Iterator[Group]:
    if CUES.isdisjoint(line.words) and not any(word.endswith("n't") for word in line.words):
        return
    read_until = 0
    for i in range(len(line)):
        # A list is read from its beginning; reading it again from each entry would take too long.
        if i >= read_until and not line.glued(i) and (group := _exclusion(line, i)):
            read_until = group[-1].end
            yield group


def _exclusion(line: Line, i: int) -> Group:
    """What is excluded by the cue there."""
    found = CUE.match(line.line, line.at[i])
    if not found or line.word(i - 1) in ASKED:
        return []
    j = bisect_left(line.at, found.end())
    if found["non"] is None and line.glued(j):
        return []
    if line.word(j) == ":":
        j += 1
    cue = found.lastgroup or ""
    group: Group = []
    start, sure = i, True
    while len(group) < 12:
        part = _unwanted(line, start, j, cue, group, sure)
        if part is None:
            break
        group.append(part)
        more = line.match(NEXT, part.end)
        if not more:
            break
        start, j = part.end, more[1]
        # After a mere comma or "and" something else may begin: "not Bolt, free".
        sure = not NEGATING.isdisjoint(more[0].group().split())
    return group


@dataclass(frozen=True)
class Place:
    """Where something is excluded. `start` is where the exclusion begins and `at` what is excluded,
    `between` the words that lead there from the cue, and `before` what the list excluded already.
    It is not `sure` where after a mere comma or "and" something else may begin."""

    line: Line
    cue: str
    start: int
    at: int
    between: frozenset[str]
    before: Group
    sure: bool

    def goes_on(self, condition: str) -> bool:
        """Whether the list has such a condition last, so that another one is no surprise."""
        return bool(self.before) and self.before[-1].id.startswith(condition)


def _unwanted(line: Line, start: int, j: int, cue: str, before: Group, sure: bool) -> Part | None:
    """The next that is excluded, as far behind the cue as there are words that only lead to it."""
    last = j
    while last < len(line) and line.words[last] in BRIDGE and last - j < 9:
        last += 1
    for k in range(min(last, len(line) - 1), j - 1, -1):
        if line.glued(k) and cue != "non":
            continue
        place = Place(line, cue, start, k, frozenset(line.words[j:k]), before, sure)
        for reads in (_name, _closed, _licence, _remote, _kind, _sense, _need, _other):
            if part := reads(place):
                return part
    return None


def _name(place: Place) -> Part | None:
    """A company, family or artifact by its name. After a hyphen ("non-OpenAI embedding") that says
    how far the name goes, otherwise the phrase has to end there."""
    line, between = place.line, place.between
    if line.match(SELF_HOSTED, place.at):
        return None
    leaning = BY_PROVIDER.isdisjoint(between) or between & LEANING
    return _named_at(
        line,
        place.start,
        place.at,
        FIELDS if leaning else FIELDS[::-1],
        glued=place.cue == "non" and not place.before,
        # "from" and "by" ask for a name, also where it is an ordinary word.
        anyhow=not between.isdisjoint(("from", "by")),
        welcome=place.cue != "but",
    )


def _named_at(
    line: Line,
    start: int,
    j: int,
    order: Sequence[str],
    *,
    glued: bool,
    anyhow: bool,
    welcome: bool,
) -> Part | None:
    slugs = line.vocabulary.artifacts
    if found := named(line, j, order, anyhow=anyhow):
        field_, stored, last = found
        noun = line.match(NOUN, last)
        end = noun[1] if noun and line.ends(noun[1]) else last
        if (glued or line.ends(end)) and not (welcome and line.match(WELCOME, end)):
            return _not_named(line, start, end, field_, stored, j, last)
    if (artifact := line.name(slugs, j)) and line.ends(artifact[1]):
        (slug, *_), end = artifact
        return Part(start, end, f"must_not_have:{slug}", Where(must_not_have=(slug,)))
    return None


def _not_named(
    line: Line, start: int, end: int, field_: str, stored: tuple[str, ...], j: int, last: int
) -> Part:
    """Not of that maker, family or provider, whose name stands from `j` to `last`."""
    name = line.written(j, last)
    # What is called like its maker is meant as well. The family is often not known of what bears
    # its name, and what is made from a model of it says so in its own.
    called = line.vocabulary.artifacts.get(name, ())
    if field_ == "families" and len(name) > 2 and name not in line.vocabulary.plain:
        called = tuple(dict.fromkeys((*called, line.said(j, last))))
    where = Where(**{f"not_{field_}": stored, "must_not_have": called})  # type: ignore[arg-type]
    return Part(start, end, f"not_{field_}:{name}", where)


def _closed(place: Place) -> Part | None:
    closed = place.line.match(CLOSED, place.at) if place.sure else None
    if not closed or (place.cue == "away" and " " not in closed[0].group()):
        return None
    return Part(place.start, closed[1], "open", open_where(place.line, False))


def _licence(place: Place) -> Part | None:
    line, j = place.line, place.at
    licence = line.name(line.vocabulary.licences, j)
    if not licence or not (place.sure or place.goes_on("not_licences")):
        return None
    stored, last = licence
    noun = line.match(LICENSED, last)
    end = noun[1] if noun else last
    if not line.ends(end):
        return None
    id_ = f"not_licences:{line.written(j, last)}"
    return Part(place.start, end, id_, where_of("not_licences", stored))


def _remote(place: Place) -> Part | None:
    """What is not to be in the cloud is to run on one's own machine."""
    remote = place.line.match(REMOTE, place.at)
    if not remote or place.cue == "but" or not (place.sure or place.goes_on("must_not_have")):
        return None
    end = _past(place.line, remote[1])
    if end == remote[1] and not place.line.ends(end):
        return None
    word = "internet" if "internet" in remote[0].group() else "cloud"
    where = Where(self_hostable=True, must_not_have=(word,))
    return Part(place.start, end, f"must_not_have:{word}", where)


def _kind(place: Place) -> Part | None:
    known = place.line.match(KIND_NAMES, place.at)
    if not known or not place.line.ends(known[1]) or not place.between <= OF_A_KIND:
        return None
    determined = not place.between.isdisjoint(DETERMINERS)
    if not place.sure and (determined or not place.goes_on("not_kinds")):
        return None
    if place.cue == "not" and not (place.before or determined or "want" in place.between):
        return None
    kinds = NOT_KINDS[known[0].group().rstrip("s")]
    return Part(place.start, known[1], f"not_kinds:{kinds[0]}", where_of("not_kinds", kinds))


def _sense(place: Place) -> Part | None:
    """What goes in besides text."""
    sense = place.line.match(SENSES, place.at)
    firm = place.cue in ("no", "but") or place.before or place.between
    if not sense or not place.sure or not firm or not place.line.ends(sense[1]):
        return None
    if not place.between <= OF_A_THING:
        return None
    key = f"{SENSE_KEYS[sense[0]['what'].rstrip('s')]}-understanding"
    return Part(place.start, sense[1], f"must_not_have:{key}", Where(must_not_have=(key,)))


def _need(place: Place) -> Part | None:
    """What a program can do without."""
    if place.cue == "non" or (place.cue == "not" and not (place.before or place.between)):
        return None
    if not (place.sure or place.goes_on("must_not_have")):
        return None
    needed = not place.between.isdisjoint(NEEDING)
    return _without(place, _thing(place.line, place.at, needed=needed, sure=place.sure))


def _other(place: Place) -> Part | None:
    """A noun that nothing is known of, where the cue says clearly that it is excluded."""
    line, j, between = place.line, place.at, place.between
    clear = between <= OF_A_THING
    if place.cue == "not" and not between and not place.before:
        # "not multilingual", while "does not run" says something else.
        clear = line.word(j - 1) == "not" and line.word(j - 2) not in VERBAL
    elif place.cue == "nothing":
        clear = bool(between - DETERMINERS) and between <= OF_A_THING | {"that", "which"}
    elif place.cue == "but":
        firm = line.word(place.start) in ("excluding", "except") or line.proper(j, j + 1)
        clear = between <= DETERMINERS and firm
    elif place.cue in ("away", "non"):
        clear = False
    # "not LangChain and CrewAI": what is written like a name goes on with a list of names.
    goes_on = not between and line.word(j - 1) == "and" and line.named_so(j)
    sure = place.sure or (goes_on and not line.name(line.vocabulary.licences, j))
    return _without(place, _anything(line, j)) if clear and sure else None


def _without(place: Place, found: tuple[str, int] | None) -> Part | None:
    if found is None:
        return None
    words, end = found
    where = Where(must_not_have=(words,))
    return Part(place.start, end, f"must_not_have:{words.replace(' ', '-')}", where)


VERBAL = words_of("do does did can could should would must will may")
CLOSED = re.compile(
    r"(?:closed|proprietary)(?: (?:source|weights?|models?|ones?|llms?|software|tools?))*"
    r"(?![^\W_])"
)
# What is not to be in the cloud is to run on one's own machine.
REMOTE = re.compile(
    r"(?:(?:hosted |run |running |data )?(?:in |to )?(?:an? |the )?"
    r"(?:internet(?:[ -](?:connection|access|connectivity))?|cloud(?:[ -](?:based|hosted|only"
    r"|services?|connection|dependency|apis?|tools?|models?))?|saas|network access)"
    r"(?: (?:product|software|tool|platform|service)s?)?)(?![^\W_])"
)
SENSES = re.compile(
    r"(?P<what>vision|images?|videos?|audio|pdfs?)(?: (?:inputs?|understanding|support))?(?![^\W_])"
)
SENSE_KEYS = {
    "vision": "image", "image": "image", "video": "video", "audio": "audio", "pdf": "document"
}  # fmt: skip
LICENSED = re.compile(r"licen[cs](?:ed?|es|ing)(?![^\W_])")


# The exclusion comes after what is excluded

EXCLUDED = re.compile(
    r"(?:(?:is|are|models?|was|were) ){0,2}(?:excluded|aside|out(?: of the question)?|banned"
    r"|forbidden|blocked|prohibited|(?:not|n't) (?:allowed|wanted|an option|acceptable|possible"
    r"|permitted|okay|ok|available to us|for (?:me|us))|off (?:limits|the table)|a no[ -]go"
    r"|free)(?: here)?"
    r"(?![^\W_])"
)
NOT_NEEDED = re.compile(
    r"(?:(?:is |are )?(?:not|n't) (?:needed|required|necessary|allowed|an option|available)"
    r"|(?:is |are )?(?:unnecessary|excluded|banned|forbidden|prohibited|blocked)|free)(?: here)?"
    r"(?![^\W_])"
)
EXCLUDING = words_of(
    """
    excluded aside out banned forbidden blocked prohibited allowed wanted option acceptable possible
    permitted okay ok limits table go free needed required necessary unnecessary available us
    """
)


@everywhere
def _excluded_after(line: Line) -> Iterator[Group]:
    """ "OpenAI excluded", "docker-free", "GPU not required", "leave OpenAI out"."""
    if EXCLUDING.isdisjoint(line.words):
        return
    for i in range(len(line)):
        if line.glued(i):
            continue
        if found := named(line, i, FIELDS):
            field_, stored, end = found
            after = line.match(EXCLUDED, end)
            if after and (after[0].group() != "free" or line.glued(end)):
                start = i - (line.word(i - 1) in ("leave", "keep", "leaving", "keeping"))
                yield [_not_named(line, start, after[1], field_, stored, i, end)]
        for end in range(min(i + 2, len(line)), i, -1):
            key = "".join(line.squashed[i:end])
            after = line.match(NOT_NEEDED, end) if _is_need(key) else None
            if after and (after[0].group() != "free" or line.glued(end)):
                text = WRITTEN_OUT.get(line.said(i, end), line.said(i, end))
                id_ = f"must_not_have:{text.replace(' ', '-')}"
                yield [Part(i, after[1], id_, Where(must_not_have=(text,)))]
                break


@everywhere
def _operators(line: Line) -> Iterator[Group]:
    """As search engines know it: "llm -google -docker"."""
    for i, word in enumerate(line.words[:-1]):
        here, then = line.tokens[i], line.tokens[i + 1]
        after_blank = i == 0 or line.tokens[i - 1].end < here.start
        if word == "-" and after_blank and here.end == then.start:
            part = _named_at(line, i, i + 1, FIELDS, glued=True, anyhow=True, welcome=False)
            key = line.squashed[i + 1]
            if part is None and _is_need(key) and not line.glued(i + 2):
                where = Where(must_not_have=(then.word,))
                part = Part(i, i + 2, f"must_not_have:{then.word}", where)
            if part:
                yield [part]


# Things

# What a thing can do without. Only such nouns are excluded by name: "without losing quality" and
# "no errors" tell how something should work, and what mentions them is often just right.
NEEDS = words_of(
    """
    docker container containers gpu gpus cuda kubernetes k8s helm python node nodejs node.js java
    javascript typescript rust golang ruby php internet cloud account accounts login logins signup
    sign-up registration subscription subscriptions apikey apikeys api-key api-keys api-token
    openai-key openai-api-key telemetry analytics tracking tracker trackers ad ads advertising
    advertisements watermark watermarks browser database databases credit-card creditcard
    creditcards credit-cards payment-card email root sudo admin-rights electron npm pip conda
    pytorch tensorflow langchain vpn phone phone-number app-store aws gcp azure terraform redis
    postgres postgresql mysql mongodb sqlite wsl windows linux macos vendor-lock-in lock-in lockin
    vendor-lock blockchain crypto chromium chrome selenium playwright censorship nsfw
    internet-connection internet-access key keys dependency dependencies plugins nvidia-gpu
    vector-database vector-store webhooks webhook cookies
    """
)
NEED_KEYS = frozenset(map(squashed, NEEDS))
# How what is written together, or short, is written out: so it is found in either way.
WRITTEN_OUT = {
    "apikey": "api key", "apikeys": "api keys", "creditcard": "credit card", "k8s": "kubernetes",
    "creditcards": "credit cards", "signup": "sign up", "node": "node.js", "nodejs": "node.js",
    "lockin": "lock in", "ad": "ads",
}  # fmt: skip


def _is_need(key: str) -> bool:
    return key in NEED_KEYS


PAST = re.compile(
    r"(?:(?:is|are) )?(?:needed|required|installed|necessary|involved|whatsoever|at all|anywhere)"
    r"(?![^\W_])"
)


def _past(line: Line, j: int) -> int:
    """The token after what only stresses the exclusion."""
    found = line.match(PAST, j)
    return found[1] if found else j


def _thing(line: Line, i: int, *, needed: bool, sure: bool) -> tuple[str, int] | None:
    """The words of something that a program can do without, and the token after them. What can do
    something is not left out where that is only not needed."""
    while line.word(i) in DETERMINERS:
        i += 1
    for j in range(min(i + 3, len(line)), i, -1):
        if not line.squashed[j - 1]:
            continue
        key = "".join(line.squashed[i:j])
        end = _past(line, j)
        if not (line.ends(j) or end > j):
            continue
        # "a Google account" is an account.
        one_noun = line.words[i] not in VERBS and (ENDS | DETERMINERS).isdisjoint(
            line.words[i : j - 1]
        )
        need = _is_need(key) or (one_noun and _is_need(line.squashed[j - 1]))
        if need or (key in line.vocabulary.artifacts and line.proper(i, j)):
            return WRITTEN_OUT.get(line.said(i, j), line.said(i, j)), end
        stored = line.vocabulary.capabilities.get(key)
        if stored and sure and not needed and end == j:
            return stored[0], end
    return None


# How something should work, and not what it should be without; and what says nothing about it.
QUALITIES = words_of(
    """
    accent accents accuracy actually adult always american answers arabic artifacts bad bias big
    boilerplate boring breaking british budget bugs bullshit charge cheap chinese clue code coding
    company complicated compromise compromises confusion context cost costs country crash crashes
    data dealbreaker delay delays deprecated difference downtime drama dutch effort end english
    enough error errors european even expensive experience expert experts extra fail failure
    failures fancy fast fear fee fees free french friction frills fuss german good hallucination
    hallucinations hard hassle heavy help hindi human humans idea indian interaction interruption
    israeli issue issues italian japanese jargon just knowledge korean labels lag large latency
    leak leaks learning legal limit limitation limitations limits long longer loss many matter mess
    mistake mistakes money more much necessary need needed needs new noise nonsense old one only
    open option outdated overhead pain people permission point possible previous problem problems
    prompt prompting quality question questions quite real really reason required restriction
    restrictions retraining review risk russian sacrifice same sense setup simple skills slow small
    so someone spam spanish special stress strict such supervision sure surprise surprises swiss
    technical that this time too tools toy training trouble trust typos understanding user users
    very waiting warning wonder words work worry yet
    """
)


def _anything(line: Line, i: int) -> tuple[str, int] | None:
    """One or two words up to the end of the phrase that name a thing. Only what has it in its name
    or needs it is left out for that, so nothing is lost where nothing is called so."""
    while line.word(i) in DETERMINERS:
        i += 1
    for j in (i + 3, i + 2, i + 1):
        direction = j == i + 3 and line.word(i + 1) == "to"
        if j > len(line) or not line.ends(j) or line.word(j) in ("to", "of", "than", "as"):
            continue
        if line.match(WELCOME, j):
            return None
        if j == i + 3 and not (direction or line.glued(i + 1)):
            continue
        end = j
        while end - 1 > i and NOUN.fullmatch(line.words[end - 1]):
            end -= 1
        words = line.words[i : i + 1] if direction else line.words[i:end]
        # "Claude Code", "DALL-E"
        name = len(words) == 2 and line.proper(i, i + 1) and line.proper(i + 1, end)
        if name and ENDS.isdisjoint(words):
            return line.said(i, end), j
        if all(word.isalnum() for word in words) and not (
            QUALITIES.intersection(words)
            or ENDS.intersection(words)
            or words[0] in AFTER
            or words[0] in VERBS
            or words[0] in BRIDGE
            or words[-1] in BEFORE
            or len(words[-1]) < 3
            or (end == j and words[0].endswith(("ing", "ed", "ly", "en")))
        ):
            return line.said(i, j if direction else end), j
    return None
