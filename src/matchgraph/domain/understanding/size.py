"""How much goes in and comes out."""

import re
from collections.abc import Iterator

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import Line, words_of
from matchgraph.domain.understanding.number import NUMBER, SMALL_WORDS, number_of
from matchgraph.domain.understanding.part import NUMBER_KEY, Group, Part, starts

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
LIMITED = words_of("context output tokens completion")


@starts(
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
    tokens = number_of(match["n1"] or match["n2"])
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
