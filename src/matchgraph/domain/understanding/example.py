"""Examples: like this, unlike that, cheaper than those."""

import re
from collections.abc import Iterator

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import SOFTWARE, THING_ENDS, Line, words_of
from matchgraph.domain.understanding.name import named
from matchgraph.domain.understanding.part import Group, Part, starts
from matchgraph.domain.vocabulary import squashed

NOT_LIKE = words_of(
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
    r"|(?P<cheaper>(?:something |anything )?(?:that is |which is )?(?:(?:cheaper|less expensive"
    r"|more affordable|lower[ -]priced) than|not as expensive as)|(?:that |which )?costs? less than"
    r"|(?:at|for) (?:a )?(?:lower|smaller|better) (?:price|cost) than)"
    r"|(?P<unlike>unlike|not like|nothing like|(?:something |anything )?(?:completely "
    r"|totally |very )?different (?:from|than|to)))(?: the)?(?= )"
)


COMPARES = words_of(
    "like such similar expensive costs cost lower smaller better comparable akin alternative"
    " alternatives replacement replacements substitute substitutes equivalent equivalents"
    " replace replacing instead place cheaper less affordable unlike different drop"
)


@starts(
    "that which costs cost at for lower something anything tool tools model models app apps one"
    " more like such is very most similar comparable akin a an the best any good some"
    " alternative alternatives replacement replacements substitute substitutes equivalent"
    " equivalents drop to replacing instead in cheaper less unlike not nothing completely"
    " totally different"
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
        vendor = named(line, j, ("vendors",))
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


STRONG = words_of(
    "alternative alternatives replacement replacements substitute substitutes cheaper"
)
ADJECTIVES = words_of(
    """
    good best better great cheap cheaper free source hosted friendly local lightweight simple
    fast modern private secure weights weight the a an any some paid popular based focused
    native viable
    """
)


@starts("alternative alternatives replacement competitor competitors clone")
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
