"""How much goes in and comes out."""

from collections.abc import Iterator

from matchgraph.domain.understanding.line import Line, phrase, words_of
from matchgraph.domain.understanding.number import NUMBER, SMALL_WORDS, number_of
from matchgraph.domain.understanding.part import NUMBER_KEY, Group, Part, starts, where_of

UP = (
    r"(?:at least|a minimum of|minimum(?: of)?|min|no less than|not less than|over|more than"
    r"|larger than|greater than|bigger than|longer than|above|up to|> ?=?|from)"
)
MORE = r"(?: ?\+| or more| or (?:larger|longer|bigger|greater)| and up| minimum| upwards)"
MANY = rf"(?:{NUMBER}|million(?![a-z]))"
CONTEXT = r"(?:(?:context|ctx)(?:[ -](?:window|length|size))?|token context|input context|window)"
OUTPUT = r"(?:output tokens|output length|output limit|tokens of output|output|completion tokens)"
OF_TOKENS = r"(?:[ -]tokens?)?"
ENDING = r"(?=$| [.,;:)?!]| (?:and|or|but|with|for|of|at|under|from|in|as|plus|to)\b)"
AT_ONCE = (
    r"(?: (?:of (?:input|context|text)))?"
    r"(?: (?:at once|in one go|at a time|in (?:a single|one) (?:prompt|request|call|pass|answer"
    r"|response)))?"
)
# Each says a number of tokens; of context, where it does not name the output.
SIZES = [
    (None, phrase(
        rf"(?:with |and )?(?:an? )?(?:"
        rf"(?:{UP} )?(?:an? )?(?P<n1>{MANY})(?:{MORE})?{OF_TOKENS}(?:{MORE})?(?: of| in the| in)?"
        rf"[ -](?P<w1>(?:{CONTEXT}|{OUTPUT}))(?:{MORE})?"
        rf"|(?P<w2>{CONTEXT}|max output|maximum output|output length|output limit|output|input)"
        rf"(?: (?:of|is|:|with|that is)){{0,6}}(?: {UP})? (?P<n2>{MANY}){OF_TOKENS}(?:{MORE})?)"
    )),
    ("min_context_tokens", phrase(
        r"(?:(?:that|which|can|could|must|should) ){0,2}(?:holds?|takes?|handles?|process(?:es)?"
        r"|fits?|reads?|ingests?|accepts?|supports?|remembers?|digests?)"
        rf" (?:{UP} )?(?:an? )?(?P<n1>{MANY})(?:{MORE})?[ -]tokens?(?:{MORE})?{AT_ONCE}{ENDING}"
    )),
    ("min_output_tokens", phrase(
        r"(?:(?:that|which|can|could|must|should) ){0,2}(?:outputs?|writes?|generates?|produces?"
        r"|returns?|emits?)"
        rf" (?:{UP} )?(?:an? )?(?P<n1>{MANY})(?:{MORE})?[ -]tokens?(?:{MORE})?{AT_ONCE}{ENDING}"
    )),
    ("min_context_tokens", phrase(
        rf"(?:with )?(?:at least|a minimum of|over|more than|> ?=?) (?P<n1>{MANY})[ -]tokens?"
        r"(?=$| [.,;)])"
    )),
]  # fmt: skip
LEAST_TOKENS = 256
LIMITED = words_of("context ctx window output tokens token completion input")
NOT_AFTER = words_of("under below than most to $ \u20ac < /")


@starts(
    f"at a an minimum min no not over more larger greater bigger longer above up > from with and"
    f" context ctx window max maximum output input token million that which can could must should"
    f" hold holds take takes handle handles process processes fit fits read reads ingest ingests"
    f" accept accepts support supports remember remembers digest digests outputs write writes"
    f" generate generates produce produces return returns emit emits {NUMBER_KEY}"
    f" {' '.join(SMALL_WORDS.replace('|', ' ').split())}"
)
def _size(line: Line, i: int) -> Iterator[Group]:
    if not line.near(LIMITED, i) or line.word(i - 1) in NOT_AFTER:
        return
    for name, pattern in SIZES:
        found = line.match(pattern, i)
        if not found:
            continue
        match, end = found
        said = match.groupdict()
        tokens = number_of(said["n1"] or said.get("n2"))
        if tokens is None or not LEAST_TOKENS <= tokens < 10**12 or _is_price(line, end):
            continue
        what = said.get("w1") or said.get("w2") or ""
        of_output = "output" in what or "completion" in what
        name = name or ("min_output_tokens" if of_output else "min_context_tokens")
        yield [Part(i, end, name, where_of(name, int(tokens)))]


def _is_price(line: Line, end: int) -> bool:
    return line.word(end) in ("$", "usd", "dollars", "cents")
