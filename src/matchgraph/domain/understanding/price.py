"""What it may cost: ceilings for a unit, and free of charge."""

import re
from collections.abc import Iterator
from decimal import ROUND_DOWN, Context, Decimal

from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import MOST_PLACES, Unit
from matchgraph.domain.understanding.line import Line, negated, words_of
from matchgraph.domain.understanding.number import NUMBER, SCALE, SCALES, SMALL_WORDS, number_of
from matchgraph.domain.understanding.part import NUMBER_KEY, Group, Part, starts

DOWN = (
    r"(?:under|below|less than|cheaper than|lower than|at most|no more than|not more than|not over"
    r"|not above|max(?:imum)?(?: of)?|up to|within|for under|for less than|<(?: =)?)"
)
SYMBOL = r"(?:us ?\$|\$|\u20ac|\u00a3|usd|eur|gbp)"
COIN = (
    r"(?:usd?|us dollars?|dollars?|bucks?|eur|euros?|gbp|pounds?|cents?|ct|\u00a2|\$|\u20ac|\u00a3)"
)
CURRENCY = {
    "\u20ac": "EUR",
    "eur": "EUR",
    "euro": "EUR",
    "\u00a3": "GBP",
    "gbp": "GBP",
    "pound": "GBP",
}
CENTS = frozenset({"cent", "ct", "\u00a2"})
TOKENS = {
    "input": Unit.INPUT_TOKEN,
    "prompt": Unit.INPUT_TOKEN,
    "in": Unit.INPUT_TOKEN,
    "output": Unit.OUTPUT_TOKEN,
    "completion": Unit.OUTPUT_TOKEN,
    "out": Unit.OUTPUT_TOKEN,
    "generated": Unit.OUTPUT_TOKEN,
    "cached": Unit.CACHED_INPUT_TOKEN,
    "cached input": Unit.CACHED_INPUT_TOKEN,
    "reasoning": Unit.REASONING_TOKEN,
    "thinking": Unit.REASONING_TOKEN,
}
# What is asked for as so many of another: 60 minutes an hour, twelve months a year.
THINGS = {
    "image": (Unit.IMAGE, 1), "picture": (Unit.IMAGE, 1), "photo": (Unit.IMAGE, 1),
    "minute": (Unit.AUDIO_MINUTE, 1), "min": (Unit.AUDIO_MINUTE, 1),
    "second": (Unit.VIDEO_SECOND, 1), "sec": (Unit.VIDEO_SECOND, 1),
    "character": (Unit.CHARACTER, 1), "char": (Unit.CHARACTER, 1),
    "request": (Unit.REQUEST, 1), "call": (Unit.REQUEST, 1), "api call": (Unit.REQUEST, 1),
    "query": (Unit.REQUEST, 1), "search": (Unit.SEARCH, 1), "credit": (Unit.CREDIT, 1),
    "hour": (Unit.HOUR, 1), "hr": (Unit.HOUR, 1), "month": (Unit.MONTH, 1), "mo": (Unit.MONTH, 1),
    "monthly": (Unit.MONTH, 1), "year": (Unit.MONTH, 12), "yr": (Unit.MONTH, 12),
    "yearly": (Unit.MONTH, 12), "hour of audio": (Unit.AUDIO_MINUTE, 60),
    "audio hour": (Unit.AUDIO_MINUTE, 60), "minute of audio": (Unit.AUDIO_MINUTE, 1),
    "audio minute": (Unit.AUDIO_MINUTE, 1), "second of video": (Unit.VIDEO_SECOND, 1),
    "minute of video": (Unit.VIDEO_SECOND, 60),
    "seat": (Unit.SEAT_MONTH, 1), "user": (Unit.SEAT_MONTH, 1), "gb": (Unit.GB_MONTH, 1),
}  # fmt: skip
THING_WORDS = "|".join(sorted(THINGS, key=len, reverse=True)).replace("query", "quer(?:y|ie)")
PER = r"(?: ?/ ?| per | an? | each | every | for (?:an? |each |every )?)"
UNIT = (
    rf"(?:(?P<monthly> monthly| yearly)"
    rf"|{PER}(?P<scale>{NUMBER}|{SCALE})?[ -]?(?P<tok>cached input|{'|'.join(TOKENS)})?[ -]?"
    r"(?P<tokens>tokens?|toks?|mtoks?|ktoks?)(?P<which> input| output)?"
    rf"|{PER}(?P<scale2>{NUMBER}|{SCALE}) (?P<tok2>input|output)"
    rf"|{PER}(?:(?P<scale3>{NUMBER}) )?(?P<thing>{THING_WORDS})s?"
    r"(?P<seat>(?: per |/| / | a )(?:month|mo|user|seat))?"
    rf"|{PER}(?P<million>1 ?m|1 million|million|1000000|1,000,000|mio|m|1 mio))(?![a-z\d])"
)
PRICE = re.compile(
    rf"(?:(?P<pre>input|output)(?: tokens?)? )?"
    rf"(?:(?:that |which )?(?:costs?|costing|priced|price|budget)(?: is| of| at)? |for )?"
    rf"(?:(?P<down>{DOWN}) )?"
    rf"(?:(?P<cur1>{SYMBOL}) ?(?P<n1>{NUMBER})|(?P<n2>{NUMBER}) ?(?P<cur2>{COIN})|(?P<n3>{NUMBER}))"
    rf"(?: ?{SYMBOL})?{UNIT}(?: (?:or less|or cheaper|or under|max|maximum|at most|tops))?"
)
EXACT = Context(prec=60, rounding=ROUND_DOWN)


MONEY = words_of(
    "$ \u20ac \u00a3 \u00a2 us usd usd/ eur euro euros gbp dollar dollars bucks buck pound"
    " pounds cent"
    " cents ct per / million"
)


@starts(
    "under below less cheaper lower at no not max maximum up within for < $ us usd \u20ac"
    " \u00a3 eur"
    f" gbp that which costs cost costing priced price budget input output {NUMBER_KEY}"
    f" {' '.join(SMALL_WORDS.replace('|', ' ').split())}"
)
def _price(line: Line, i: int) -> Iterator[Group]:
    found = line.match(PRICE, i) if line.near(MONEY, i) else None
    if not found or line.word(i - 1) in FLOORS:
        return
    match, end = found
    said = match.groupdict()
    if said["n3"] and not (said["down"] and (said["million"] or said["tokens"] or said["tok2"])):
        return
    amount = number_of(said["n1"] or said["n2"] or said["n3"])
    coin = re.sub(r"^us ", "", (said["cur1"] or said["cur2"] or "$").rstrip("s"))
    unit, count = _unit(said)
    if amount is None or unit is None or not count:
        return
    if coin in CENTS:
        amount = amount.scaleb(-2)
    each = EXACT.divide(amount, count).quantize(Decimal(1).scaleb(-MOST_PLACES), context=EXACT)
    each = EXACT.normalize(each)
    if each.as_tuple().exponent > 0:  # type: ignore[operator]  # finite by its making
        each = each.quantize(Decimal(1), context=EXACT)
    currency = CURRENCY.get(coin, "USD")
    where = Where(price_ceilings=(Ceiling(amount=each, per=unit, currency=currency),))
    yield [Part(i, end, f"price_ceilings:{unit}:{currency}", where)]


def _unit(said: dict[str, str | None]) -> tuple[Unit | None, Decimal | None]:
    """What the price is for, and how many of it."""
    if said["monthly"]:
        return Unit.MONTH, Decimal(12 if "year" in said["monthly"] else 1)
    if said["thing"]:
        unit, factor = THINGS[said["thing"].replace("querie", "query")]
        count = number_of(said["scale3"]) if said["scale3"] else Decimal(1)
        if said["seat"]:
            month = unit is Unit.MONTH and re.search("user|seat", said["seat"])
            unit = Unit.SEAT_MONTH if month else unit
        return unit, None if count is None else count * factor
    kind = said["tok"] or said["tok2"] or (said["which"] or "").strip() or said["pre"] or "input"
    if said["million"]:
        return TOKENS[kind], Decimal(1_000_000)
    written = (said["tokens"] or "")[:1]
    scale = said["scale"] or said["scale2"]
    count = number_of(scale) if scale else Decimal(1)
    if written in ("m", "k") and count is not None:
        count = count.scaleb(SCALES[written])
    return TOKENS[kind], count


FLOORS = words_of(
    """
    over above than least from at around about roughly ~ > starting costs-over
    """
)

FREE_NOT_BEFORE = words_of(
    """
    gluten sugar tax hassle error noise code bug toll duty drug cruelty ad ads copyright
    conflict feel hands royalty risk distraction stress spam debt lock license licence carbon
    set break for free find finds finding download downloads detect track list get any-and worry
    hallucination
    """
)
FREE_NOT_AFTER = words_of(
    """
    text form speech flow flowing range time space spaces will energy market trade memory disk
    variable variables fall ride from of up style hand kick word association response recall
    parking slot slots trial trials floating shipping rein standing roam roaming software
    radical body agent lunch throw running run
    """
)
FREE = re.compile(
    r"(?:(?:that(?: is|'s)|which is|is|are|must be|should be) )?"
    r"(?:(?:completely|totally|fully|entirely|truly|absolutely|100 %|always) )?"
    r"(?:free(?: of (?:charge|cost))|for free|free (?:to use|tier|plan|version)|free|gratis"
    r"|(?:that |which )?costs? nothing|(?:at )?(?:no|zero) cost|without (?:paying|cost"
    r"|costs|charge)"
    r"|(?:that |which )?(?:doesn't|does not|don't|do not) cost (?:anything|money|a thing)"
    r"|no paid(?: (?:plans?|tools?|apps?|models?|services?|software|ones?|options?))?"
    r"|(?:not|nothing) paid|no (?:payment|fees?|charge))"
)


@starts(
    "free gratis for that which cost costs at no zero without doesn't does don't do not nothing is"
    " are must should completely totally fully entirely truly absolutely 100 always that's"
)
def _free(line: Line, i: int) -> Iterator[Group]:
    found = line.match(FREE, i)
    if not found or negated(line, i):
        return
    match, end = found
    bare = match.group().endswith("free") and not match.group().endswith("for free")
    if bare:
        before = line.word(i - 1) if match.group() == "free" else ""
        if before in FREE_NOT_BEFORE or line.word(end) in FREE_NOT_AFTER:
            return
    yield [Part(i, end, "free", Where(free=True))]
