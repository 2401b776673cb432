"""What it can do, what it must have, and of which types what goes in and comes out is."""

import re
from collections.abc import Iterator

from matchgraph.domain.capability import DataType
from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import ENDS, MODELS, Line, negated, phrase, words_of
from matchgraph.domain.understanding.part import Group, Part, starts, where_of

FLAGS: tuple[tuple[str, str, str], ...] = (
    ("tool_calling", "tool-calling",
     r"(?:tool|function)[ -](?:calling|calls?|use|usage)|(?:call|use|calling|using)"
     r" (?:external )?(?:tools|functions)"),
    ("reasoning", "reasoning",
     r"(?:(?:step[ -]by[ -]step|deep|extended) )?(?:reasoning|thinking)(?: mode)?"
     r"|chain[ -]of[ -]thought(?: reasoning)?"),
    ("structured_output", "structured-output",
     r"structured outputs?|json mode|json schema(?: output)?|json output"
     r"|(?:(?:valid|structured|strict) )+json(?: outputs?)?"),
)  # fmt: skip
# The same said with verbs.
DOES = {
    "tool_calling": r"(?:calls|uses|supports) (?:external )?(?:tools|functions)",
    "reasoning": (
        r"(?:thinks|reasons|think|reason)(?: (?:before (?:answering|it answers|responding|replying"
        r"|it replies|it responds)|step[ -]by[ -]step|things through|first))"
        r"|(?:can|able to) (?:think|reason)(?=$| [.,;)]| (?:and|with|before)\b)"
    ),
    "structured_output": (
        r"(?:(?:can|must|should|always) )?(?:(?:returns|outputs|emits|gives|produces)(?: (?:me|us"
        r"|back))?|(?:responds|answers|replies) (?:with|in)|(?<=can )(?:return|output|emit|produce)"
        r"|(?<=must )(?:return|output|emit|produce)) (?:only )?"
        r"(?:(?:valid|structured|strict) )*json(?: output)?"
    ),
}
WITHS = (
    r"(?:(?:that |which |and |it )?(?:must |should |needs to |has to |can |also )?(?:with|supports?"
    r"|supporting|has|have|having|offers?|offering|does|do|and|capable of|able to|good at)"
    r" (?:native |built[ -]in |good |reliable |strong |an? )?)"
)
SUPPORT = r"(?: (?:support(?:ed)?|capability|capabilities))?"
A_MODEL = r"(?= (?:models?|llms?)\b)"
# Where nothing stands around it but other conditions: "chat, function calling, 128k context".
ALONE_BEFORE = words_of(", ; ( + & plus / :")
ALONE_AFTER = r"(?=$| [.,;)+&/]| (?:plus|with|required|but)\b| and (?:vision|\d|open|free|{flags}))"
A_FLAG = "|".join(what for _, _, what in FLAGS)
ABLE = [
    (name, phrase(rf"(?:{WITHS}|(?:that |which )?(?:can|must) )(?:{what}){SUPPORT}"))
    for name, _, what in FLAGS
] + [(name, phrase(rf"(?:(?:that|which|and|it) )?(?:{does})")) for name, does in DOES.items()]
BARE = [
    (
        name,
        phrase(rf"(?:an? )?(?:{what})(?:[ -]capable)?{A_MODEL}|(?:{what})(?:[ -]| is )supported"),
    )
    for name, _, what in FLAGS
] + [("structured_output", phrase("json mode"))]
ALONE = [
    (name, phrase(rf"(?:{what})(?: support|[ -]capable)?{ALONE_AFTER.format(flags=A_FLAG)}"))
    for name, _, what in FLAGS
]
CANNOT = r"(?:that |which |it )?(?:doesn't|does not|don't|do not|can't|cannot|won't|must not)"
NOT_ABLE = (
    rf"(?:without (?:any )?|no |non[ -]|{CANNOT} (?:do |support |have |use |offer )?)(?:{{what}})"
    r"(?: support)?|not an? (?:{what})(?: models?)?"
)
UNABLE = [
    *((name, phrase(NOT_ABLE.format(what=what))) for name, _, what in FLAGS),
    ("tool_calling", phrase(rf"{CANNOT} (?:support|call|use|do) (?:tools|functions)")),
    ("reasoning", phrase(rf"{CANNOT} (?:think|reason)(?= [.,;)]|$| (?:first|before|for)\b)")),
]
# Of these reasoning and the like are the subject, and no ability.
SUBJECTS = words_of(
    "dataset datasets benchmark benchmarks evaluation evaluate papers research learn teach course"
)


@starts(
    "that which and it must should needs has needs have can also with support supports supporting"
    " having offers offer offering capable able good without no non not doesn't does don't do can't"
    " cannot won't json tool function reasoning structured thinking deep extended chain step valid"
    " strict a an think thinks reason reasons calls uses call use calling using returns outputs"
    " emits gives produces responds answers replies always"
)
def _abilities(line: Line, i: int) -> Iterator[Group]:
    for patterns, yes in ((ABLE, True), (BARE, True), (UNABLE, False)):
        for name, pattern in patterns:
            found = line.match(pattern, i)
            if found and not negated(line, i) and line.word(found[1]) not in NOT_FLAG:
                yield [Part(i, found[1], name if yes else f"not_{name}", where_of(name, yes))]
    if (i == 0 or line.word(i - 1) in ALONE_BEFORE) and SUBJECTS.isdisjoint(line.words):
        for name, pattern in ALONE:
            if found := line.match(pattern, i):
                yield [Part(i, found[1], name, where_of(name, True))]


NOT_FLAG = words_of(
    """
    about over traces datasets data benchmark tasks errors problems needed required necessary
    optional
    """
)


TYPES = {
    "image": DataType.IMAGE, "images": DataType.IMAGE, "picture": DataType.IMAGE,
    "pictures": DataType.IMAGE, "photo": DataType.IMAGE, "photos": DataType.IMAGE,
    "screenshot": DataType.IMAGE, "screenshots": DataType.IMAGE, "png": DataType.IMAGE,
    "jpeg": DataType.IMAGE, "jpg": DataType.IMAGE, "audio": DataType.AUDIO,
    "speech": DataType.AUDIO, "voice": DataType.AUDIO, "mp3": DataType.AUDIO, "wav": DataType.AUDIO,
    "video": DataType.VIDEO, "videos": DataType.VIDEO, "pdf": DataType.PDF, "pdfs": DataType.PDF,
    "text": DataType.TEXT, "3d": DataType.THREE_D, "music": DataType.AUDIO,
}  # fmt: skip
A_TYPE = (
    r"(?:(?:an?|any|the|some|several|multiple|both) )?"
    rf"(?:{'|'.join(sorted(TYPES, key=len, reverse=True))})"
    r"(?: (?:files?|clips?|recordings?|documents?))?"
)
TYPE_LIST = rf"(?P<t>{A_TYPE}(?:(?: ,| and| or| &| /| as well as)+ {A_TYPE}){{0,6}})"
TYPE_ENDS = r"(?= [.,;)]|$| (?:and|or|but|as|with|for|natively|directly|in|at|under|from)\b)"
SAID_BEFORE = r"(?:with |has |supports |and )?"
TYPED = [
    (name, phrase(pattern))
    for name, pattern in (
        ("input_types",
         r"(?:takes?|taking|accepts?|accepting|ingests?|(?:can |could )?(?:reads?|understands?)"
         r"|(?:can |could |must |able to )(?:see|process|handle|view|watch|hear|interpret|look at"
         r"|listen to|work with)|sees|processes|handles|supports|works with)"
         rf" {TYPE_LIST}(?: inputs?)?(?: as (?:an )?input)?{TYPE_ENDS}"),
        ("input_types", rf"{SAID_BEFORE}{TYPE_LIST} inputs?{TYPE_ENDS}"),
        ("input_types", rf"inputs?(?: types?)? (?::|=|is|are) {TYPE_LIST}{TYPE_ENDS}"),
        ("input_types", rf"{TYPE_LIST} in(?= (?:[,;/-]|and)(?: and)? {A_TYPE} out\b)"),
        ("input_types", r"(?P<t>speech|voice|audio|video)[ -](?:to|2)[ -]text"),
        ("output_types",
         r"(?:outputs|outputting|emits|returns|produces|generates|creates|(?:can |could |must"
         r" |able to )(?:output|emit|return|produce|generate|create|make|draw))"
         rf" {TYPE_LIST}{TYPE_ENDS}"),
        ("output_types", rf"{SAID_BEFORE}{TYPE_LIST} outputs?{TYPE_ENDS}"),
        ("output_types", rf"outputs?(?: types?)? (?::|=|is|are) {TYPE_LIST}{TYPE_ENDS}"),
        ("output_types",
         r"(?:text|image|audio|speech|video)[ -](?:to|2)[ -]"
         r"(?P<t>images?|videos?|speech|3d|music|audio)"),
    )
]  # fmt: skip


@starts(
    "takes take taking accepts accept accepting ingests ingest read reads understand understands"
    " can could must able sees processes handles supports works with has and input inputs output"
    " outputs outputting emits returns produces generates creates a an any the some several"
    " multiple both " + " ".join(TYPES)
)
def _types(line: Line, i: int) -> Iterator[Group]:
    for name, pattern in TYPED:
        found = line.match(pattern, i)
        if not found or negated(line, i):
            continue
        types = tuple(dict.fromkeys(TYPES[w] for w in found[0]["t"].split() if w in TYPES))
        if types == (DataType.TEXT,):
            continue  # nearly everything has text on one side: no condition, and often unsaid
        yield [Part(i, found[1], f"{name}:{'+'.join(types)}", where_of(name, types), keeps=True)]


# Who wants a model with vision means pictures at its input; so does "multimodal", at the least. A
# "vision model" may do anything with pictures.
SEEING = phrase(
    r"(?:(?:vision-language|vision(?= language)|multi[ -]?modal)(?:[ -](?:capable|enabled))?"
    r"(?= (?:(?:chat|language|reasoning|embedding) )?(?:models?|llms?)\b))"
    r"|(?:with|has|have|having|supports?|offers?|and|plus) (?:native |strong |good )?vision"
    r"(?: (?:support|capabilities|understanding))?(?=$| [.,;)])"
    r"|vision (?:support|capable|capabilities)"
)
TEXT_ONLY = phrase(
    r"text[ -]only(?=$| [.,;)]| (?:(?:chat|language|reasoning) )?(?:models?|llms?)\b)"
    r"|(?:that is |is )?not multi[ -]?modal|non[ -]multi[ -]?modal"
)
BESIDE_TEXT = tuple(f"{what}-understanding" for what in ("image", "audio", "video", "document"))


@starts(
    "vision multimodal multi with has have having support supports offer offers and plus text that"
    " is not non"
)
def _senses(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SEEING, i)
    if found and not negated(line, i) and not MODELS.isdisjoint(line.words):
        where = Where(input_types=(DataType.IMAGE,))
        yield [Part(i, found[1], "input_types:image", where, keeps=True)]
    if found := line.match(TEXT_ONLY, i):
        yield [Part(i, found[1], "text_only", Where(must_not_have=BESIDE_TEXT))]


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
