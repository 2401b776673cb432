"""What it can do, what it must have, and of which types what goes in and comes out is."""

import re
from collections.abc import Iterator

from matchgraph.domain.capability import DataType
from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import ENDS, Line, negated, words_of
from matchgraph.domain.understanding.part import Group, Part, starts, where_of

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


@starts(
    "that which and it must should needs has have can also with support supports supporting having"
    " offers offer offering capable able without no non doesn't does don't do json tool function"
    " reasoning structured"
)
def _abilities(line: Line, i: int) -> Iterator[Group]:
    for patterns, yes in ((ABLE, True), (BARE, True), (UNABLE, False)):
        for name, pattern in patterns:
            found = line.match(pattern, i)
            if found and not negated(line, i) and line.word(found[1]) not in NOT_FLAG:
                yield [Part(i, found[1], name if yes else f"not_{name}", where_of(name, yes))]


NOT_FLAG = words_of(
    """
    about over traces datasets data benchmark tasks errors problems
    """
)


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


@starts(
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
        if not found or negated(line, i):
            continue
        types = tuple(dict.fromkeys(TYPES[w] for w in found[0]["t"].split() if w in TYPES))
        if types == (DataType.TEXT,):
            continue  # nearly everything has text on one side: no condition, and often unsaid
        yield [Part(i, found[1], f"{name}:{'+'.join(types)}", where_of(name, types), keeps=True)]


MUST = re.compile(
    r"(?:(?:that |which |it |and )?(?:must|has to|needs to|need to|have to)(?: also)? "
    r"(?:have|support|include|offer|provide)(?: (?:an?|the|good))?)(?= )"
)
STOP = words_of(
    """
    to that which be able been
    """
)


@starts("that which it and must has needs need have")
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
        words = line.said(j, end)
        if not line.ends(end) or line.word(j) in STOP | ENDS or not any(line.squashed[j:end]):
            break
        flag = next((name for name, _, what in FLAGS if re.fullmatch(what, words)), None)
        key = "".join(line.squashed[j:end])
        known = line.vocabulary.capabilities.get(key, (words,))[:1]
        where = where_of(flag, True) if flag else Where(must_have=known)
        group.append(Part(start, end, flag or f"must_have:{known[0].replace(' ', '-')}", where))
        if line.word(end) not in (",", "and"):
            break
        start, j = end, end + 1 + (line.word(end + 1) == "and")
    if group:
        yield group
