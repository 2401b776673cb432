"""Kinds: only where the text begins with what is wanted."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from matchgraph.domain.artifact import Kind
from matchgraph.domain.conditions import KIND_WORDS
from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import DETERMINERS, MODELS, Line, negated, words_of
from matchgraph.domain.understanding.name import named
from matchgraph.domain.understanding.part import Group, Part, everywhere, where_of

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
    "command line": (Kind.CLI,), "command line tool": (Kind.CLI,),
    "fine tune": (Kind.FINETUNE,), "browser extension": (Kind.EXTENSION,),
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
VERBS = words_of(
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
NOUNS_TOO = words_of("code chat vision speech image")
NOT_MODEL = words_of(
    """
    data domain business 3d cad object threat mental role pricing climate weather fashion car
    scale statistical mathematical financial solid finance excel dbt database relational uml
    topic physics simulation user view permission cost probabilistic train railway mesh blender
    """
)
WITHIN = words_of(
    """
    in of to for that which with from on by via without about into and or , ; : . ? ! (
    """
)
COMPATIBLE = words_of(
    """
    compatible api apis style like format sdk key keys cloud drive docs sheets search maps
    account
    """
)


@everywhere
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
        found = None if line.glued(k) else named(line, k, ("vendors", "families"))
        if not found or found[2] > end or line.word(found[2]) in COMPATIBLE or negated(line, k):
            k += 1
            continue
        field_, stored, after = found
        yield [Part(k, after, f"{field_}:{line.written(k, after)}", where_of(field_, stored))]
        k = after
