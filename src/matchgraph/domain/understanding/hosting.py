"""How open it is, and on whose machine it runs."""

import re
from collections.abc import Iterator

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import MODELS, SOFTWARE, Line, negated, words_of
from matchgraph.domain.understanding.part import Group, Part, starts

OPEN_PHRASE = re.compile(
    r"(?:(?P<weights>open[ -]?weights?(?: (?:models?|llms?))?|weights? (?:are |is )?available"
    r"|downloadable weights|open (?:models?|llms?))"
    r"|(?P<source>open[ -]?sourced?|opensource|foss|oss|floss))"
)


@starts("open opensource foss oss floss weight weights downloadable openweights openweight")
def _open(line: Line, i: int) -> Iterator[Group]:
    found = line.match(OPEN_PHRASE, i)
    if not found or negated(line, i):
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
            open_where(line, bool(match["source"])),
        )
    ]


def open_where(line: Line, source: bool) -> Where:
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


@starts(
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
        and not negated(line, i)
        and not (line.word(i) == "on" and line.word(i - 1) in WRONG_ON)
    ):
        yield [Part(i, found[1], "self_hostable", Where(self_hostable=True))]


WRONG_ON = words_of(
    """
    based files file folder folders photos data train fine-tune tune notes
    """
)
