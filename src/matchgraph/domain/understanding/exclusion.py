"""What must not be: makers, families, providers, licences, kinds and things by their names."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.hosting import open_where
from matchgraph.domain.understanding.kind import KIND_NAMES, NOT_KINDS
from matchgraph.domain.understanding.line import AFTER, BEFORE, DETERMINERS, ENDS, Line, words_of
from matchgraph.domain.understanding.name import FIELDS, NEXT, NOUN, named
from matchgraph.domain.understanding.part import Group, Part, everywhere, starts, where_of
from matchgraph.domain.vocabulary import squashed

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


@starts(
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
    if found := named(line, j, FIELDS):
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
        return Part(start, closed[1], "open", open_where(line, False))
    licence = line.name(names.licences, j)
    if licence and (noun := line.match(LICENSED, licence[1])) is not None:
        licence = licence[0], noun[1]
    if licence and line.ends(licence[1]):
        stored, end = licence
        return Part(
            start, end, f"not_licences:{line.written(j, end)}", where_of("not_licences", stored)
        )
    known = line.match(KIND_NAMES, j)
    if known and line.ends(known[1]) and not loose:
        plain_cue = cue in ("no", "without", "except", "excluding", "other than")
        if more or plain_cue or cue.endswith((" a", " an")):
            kinds = NOT_KINDS[known[0].group().rstrip("s")]
            return Part(start, known[1], f"not_kinds:{kinds[0]}", where_of("not_kinds", kinds))
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


@everywhere
def _excluded_after(line: Line) -> Iterator[Group]:
    if not EXCLUDING.isdisjoint(line.words):
        for i in range(len(line)):
            yield from _excluded_at(line, i)


def _excluded_at(line: Line, i: int) -> Iterator[Group]:
    """ "OpenAI excluded", "OpenAI-free": the exclusion comes after the name."""
    found = named(line, i, FIELDS)
    if not found:
        return
    field_, stored, end = found
    after = line.match(EXCLUDED, end)
    if after and (after[0].group() != "free" or line.glued(end)):
        id_ = f"not_{field_}:{line.written(i, end)}"
        yield [Part(i, after[1], id_, where_of(f"not_{field_}", stored))]


# After these a thing is excluded by its name alone; a bare "not" says too little.
FIRM = words_of(
    """
    without no nor neither avoid avoiding excluding exclude except use using but other apart aside
    minus skip skipping rule ruling leave leaving ignore ignoring forget exception
    enough tired sick fed hate dislike save barring
    """
)
# After these a bare "not" is firm, too: "not a chatbot", "not about code".
SAYING = (" a", " an", " about", " for", " need", " require", " with")


CLOSED = re.compile(r"(?:closed|proprietary)(?: (?:source|weights?|models?|ones?|llms?))*")
SENSES = re.compile(
    r"(?P<what>vision|images?|videos?|audio|pdfs?)(?: (?:inputs?|understanding|support))?"
)
SENSE_KEYS = {
    "vision": "image", "image": "image", "video": "video", "audio": "audio", "pdf": "document"
}  # fmt: skip
LICENSED = re.compile(r"(?:licen[cs](?:ed?|es|ing))")


# What a thing can do without. Only such nouns are excluded by name: "without losing quality" and
# "no errors" tell how something should work, and what mentions them is often just right.
NEEDS = words_of(
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
QUALITIES = words_of(
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


@starts(
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
