"""Names: who made it, what family it is of, who sells it, under which licence."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import (
    MODELS,
    SOFTWARE,
    THING_ENDS,
    Line,
    negated,
    phrase,
    words_of,
)
from matchgraph.domain.understanding.part import Group, Part, everywhere, starts, where_of
from matchgraph.domain.vocabulary import squashed

# What may follow a name without making another thing of it: "OpenAI models".
NOUN = re.compile(
    r"(?:(?:base|language|chat|open|newer|older|small|large) )?(?:models?|llms?|ai|apis?|products?"
    r"|tools?|stuff|things?|offerings?|ones?|services?|family|families|derivatives?|variants?"
    r"|versions?|fine[ -]?tunes?|based(?: (?:models?|llms?|tools?|ones?|stuff))?|licen[cs]ed?)"
    r"(?![^\W_])"
)
# What goes on with a list of names.
NEXT = re.compile(
    r"(?:(?:,|/|&) )?(?:and|or)(?: (?:also|from|by|made by|on|via))?(?= )(?! an? )"
    r"|(?:,|/|&)(?: (?:from|by|made by))?(?= )"
)
FIELDS = ("vendors", "families", "providers")


def named(
    line: Line, i: int, order: Sequence[str], *, anyhow: bool = False
) -> tuple[str, tuple[str, ...], int] | None:
    """The longest name there, of the first of the fields that know it; a maker's that is an
    ordinary word too `anyhow`, or where it is written like a name."""
    best: tuple[str, tuple[str, ...], int] | None = None
    for field_ in order:
        names = getattr(line.vocabulary, field_)
        found = line.name(names, i, anyhow=anyhow and field_ == "vendors")
        if found and (best is None or found[1] > best[2]):
            best = field_, *found
    return best


MADE = re.compile(
    r"(?:(?:that |which |and )?(?:is |are |was |were |comes? |coming )?"
    r"(?:(?:made|built|developed|created|trained|published|released|provided) by|from|by|of))(?= )"
)
SOLD = re.compile(
    r"(?:(?:that |which |and )?(?:is |are |can be )?"
    r"(?:(?:hosted|served|sold|offered|run|available|accessible|deployed|callable|usable|runs|works)"
    r" (?:by|on|via|through|from|at)|via|on|through))(?= )"
)
ORIGINS = THING_ENDS | words_of(
    """
    something anything everything only just comes coming is are product products system systems
    embeddings
    """
)


@starts(
    "that which and is are was were comes come coming made built developed created trained"
    " published released provided from by of"
)
def _made_by(line: Line, i: int) -> Iterator[Group]:
    found = line.match(MADE, i)
    if not found or negated(line, i):
        return
    word = found[0].group()
    if word in ("from", "by") and not _apart(line, i):
        return
    if word == "of" and line.word(i - 1) not in MODELS:
        return
    yield from _wanted(line, i, found[1], ("vendors",))


@starts(
    "that which and is are can hosted served sold offered run available accessible deployed"
    " callable usable runs works via on through"
)
def _sold_by(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SOLD, i)
    if not found or negated(line, i):
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
    while len(group) < 8 and (found := named(line, j, order)):
        field_, stored, end = found
        noun = line.match(NOUN, end)
        if not line.ends(end) and not (noun and line.ends(noun[1])):
            break
        group.append(
            Part(start, end, f"{field_}:{line.written(j, found[2])}", where_of(field_, stored))
        )
        more = line.match(NEXT, end)
        if not more:
            break
        start, j = end, more[1]
    if group:
        yield group


ONLY = phrase(r"(?:only|just|exclusively|nothing but)(?: (?:use|show|models?|from|by|me)){0,3}")
EITHER = phrase(r"(?:from )?either(?: from| by)?")


@starts("only just exclusively nothing either from")
def _only(line: Line, i: int) -> Iterator[Group]:
    """ "Only Mistral", "either OpenAI or Google"."""
    found = line.match(ONLY, i) or line.match(EITHER, i)
    if found and not negated(line, i):
        yield from _wanted(line, i, found[1], ("vendors", "families"))


@everywhere
def _nothing_else(line: Line) -> Iterator[Group]:
    """ "Mistral only"."""
    for i, word in enumerate(line.words):
        if word != "only" or not line.ends(i + 1):
            continue
        for k in range(max(0, i - 4), i):
            found = None if line.glued(k) else named(line, k, ("vendors", "families"))
            if found and found[2] == i and _apart(line, k) and not negated(line, k):
                id_ = f"{found[0]}:{line.written(k, i)}"
                yield [Part(k, i + 1, id_, where_of(found[0], found[1]))]
                break


FAMILY_OF = phrase(
    r"(?:(?:that|which) )?(?:(?:is|are) )?(?:(?:based|built) on(?: top of)?|derived from"
    r"|fine[ -]?tuned from|(?:from|of|in) the)"
)


@starts("that which is are based built derived fine finetuned from of in")
def _of_family(line: Line, i: int) -> Iterator[Group]:
    """ "Based on Llama", "from the Llama family"."""
    found = line.match(FAMILY_OF, i)
    if not found or negated(line, i):
        return
    family = line.name(line.vocabulary.families, found[1])
    if not family:
        return
    stored, end = family
    if found[0].group().endswith(" the"):
        if line.word(end) not in ("family", "families", "series"):
            return
        end += 1
    elif not SOFTWARE.isdisjoint(line.words):
        return
    if line.ends(end):
        id_ = f"families:{line.written(found[1], family[1])}"
        yield [Part(i, end, id_, where_of("families", stored))]


UNDER = re.compile(
    r"(?:(?:with |released |available |licensed |published |is ){0,6}(?:under|with|has|as)?(?:"
    r" an?| the)?)(?= )"
)
PERMISSIVE = re.compile(
    r"(?:with |under |has )?(?:an? )?(?:permissive(?:ly)?|liberal)(?:"
    r" open[ -]source)?[ -](?:licen[cs](?:ed?|es|ing))"
)


@starts("with under has a an permissive permissively liberal released available licensed published")
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
    group: Group = []
    said = clear
    while found and len(group) < 12:
        stored, end = found
        named_so = line.word(end).startswith(LICENSED) or line.word(end - 1).startswith(LICENSED)
        said = said or named_so or any(c.isdigit() for c in line.said(j, end))
        end += line.word(end).startswith(LICENSED)
        where = where_of("licences", stored)
        group.append(Part(start, end, f"licences:{squashed(stored[0])}", where))
        more = line.match(OR, end)
        if not more:
            break
        start, j = end, more[1]
        found = line.name(line.vocabulary.licences, j) if j < len(line) else None
    if (said or len(group) > 1) and not negated(line, group[0].start):
        yield group


LICENSED = ("licens", "licenc")
OR = re.compile(r"(?:or|/|and)(?= )")
COMMERCIAL = phrase(
    r"(?:(?:free |licen[cs]ed |available |usable )?for commercial (?:use|usage|purposes|projects)"
    r"|commercial use (?:is )?(?:allowed|permitted|possible|ok|okay|fine)|allows commercial use"
    r"|(?:can|may) be used commercially|(?:with a |under a )?commercially usable(?: licen[cs]e)?"
    r"|(?:no|not|without) non[ -]commercial(?: (?:licen[cs]es?|restrictions?|use|only))?)"
)
NO_COPYLEFT = phrase(r"(?:no|not|without|non[ -])[ -]?copyleft(?: licen[cs]es?)?")


@starts(
    "for free licensed licenced available usable commercial allows can may with under"
    " commercially no not without non"
)
def _for_business(line: Line, i: int) -> Iterator[Group]:
    for pattern, id_, names in (
        (COMMERCIAL, "commercial", line.vocabulary.non_commercial_licences),
        (NO_COPYLEFT, "no_copyleft", line.vocabulary.copyleft_licences),
    ):
        if names and (found := line.match(pattern, i)):
            yield [Part(i, found[1], f"not_licences:{id_}", where_of("not_licences", names))]


@everywhere
def _names_at(line: Line) -> Iterator[Group]:
    """Licences that stand for themselves: Apache 2.0, MIT-licensed."""
    read_until = 0
    for i in range(len(line)):
        letter = line.squashed[i][:1]
        if i >= read_until and not line.glued(i) and letter and letter in LICENCE_LETTERS:
            for group in _licensed(line, i, i, False):
                # A list is read from its beginning.
                read_until = group[-1].end
                yield group


LICENCE_LETTERS = frozenset("abcglmopuiwz0")
