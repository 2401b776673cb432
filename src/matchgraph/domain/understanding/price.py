"""What it may cost: ceilings for a unit, and free of charge."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from decimal import ROUND_DOWN, Context, Decimal

from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import MOST_PLACES, Unit
from matchgraph.domain.understanding.line import Line, negated, phrase, words_of
from matchgraph.domain.understanding.number import NUMBER, SCALE, SCALES, SMALL_WORDS, number_of
from matchgraph.domain.understanding.part import NUMBER_KEY, Group, Part, starts

CANNOT = (
    r"(?:that )?(?:doesn't|does not|don't|won't|will not|must not|mustn't|should not|shouldn't"
    r"|can't|cannot|may not|not)"
)
DOWN = (
    r"(?:under|below|less than|cheaper than|lower than|at most|no more than|not more than|not over"
    rf"|not above|{CANNOT} (?:cost|pay|be) (?:more than|over|above)|{CANNOT} exceed(?:ing)?"
    r"|not to exceed|(?:max(?:imum)?|top)(?: \.)?(?: price)?(?: of)?"
    r"|(?:price )?(?:limit|cap|ceiling|capped|limited)(?: of| at| to| :)?|up to|within|for under"
    r"|for less than|<(?: =)?)"
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
    rf"|{PER}(?P<scale2>{NUMBER}|{SCALE}) (?P<tok2>input|output|out|in(?=$| [.,;)]| and\b))"
    rf"|{PER}(?:(?P<scale3>{NUMBER}|{SCALE}) )?(?P<thing>{THING_WORDS})s?"
    r"(?P<seat>(?: per |/| / | a )(?:month|mo|user|seat))?"
    rf"|{PER}(?P<million>1 ?m|1 million|million|1000000|1,000,000|mio|m|1 mio))(?![a-z\d])"
)
# "between $1 and $2": what is asked at least is no condition that there is.
LOWER = (
    rf"(?:(?:between|from) (?:{SYMBOL} ?)?{NUMBER}(?: ?{COIN})? (?:and|to|-) "
    rf"|{SYMBOL} ?{NUMBER} (?:to|-) )"
)
PRICE = re.compile(
    rf"(?:(?P<pre>input|output)(?: tokens?)? )?"
    rf"(?:(?:that |which )?(?:costs?|costing|priced|price|budget)(?: is| of| at)? |for )?"
    rf"(?:(?:a )?(?P<down>{DOWN}) )?{LOWER}?"
    rf"(?:(?P<cur1>{SYMBOL}) ?(?P<n1>{NUMBER})|(?P<n2>{NUMBER}) ?(?P<cur2>{COIN})|(?P<n3>{NUMBER}))"
    rf"(?: ?{SYMBOL})?{UNIT}(?: (?:or less|or cheaper|or under|max|maximum|at most|tops))?"
)
# "under $1 in and $5 out per million": one unit, said once.
PAIR = phrase(
    rf"(?:input(?: tokens?)? )?(?:{DOWN} )?{SYMBOL} ?(?P<n1>{NUMBER})"
    r"(?: (?:for |per )?(?:in|input))?"
    rf"(?P<sep> ,| and| , and| /) (?:output(?: tokens?)? )?(?:{DOWN} )?{SYMBOL} ?(?P<n2>{NUMBER})"
    rf"(?: (?:for |per )?(?:out|output))?{PER}(?:1 ?)?(?:million|mio|m)(?:(?: |-)?tok(?:en)?s?)?"
)
EXACT = Context(prec=60, rounding=ROUND_DOWN)


MONEY = words_of(
    "$ \u20ac \u00a3 \u00a2 us usd usd/ eur euro euros gbp dollar dollars bucks buck pound"
    " pounds cent cents ct per / million"
)


@starts(
    "under below less cheaper lower at no not max maximum up within for < $ us usd \u20ac"
    " \u00a3 eur"
    f" gbp that which costs cost costing priced price budget input output"
    f" between from won't will mustn't shouldn't should can't may doesn't does don't top limit cap"
    f" ceiling capped limited a {NUMBER_KEY}"
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
    currency = CURRENCY.get(coin, "USD")
    yield [_ceiling(i, end, unit, amount, count, currency)]


@starts("input under below less at no not max maximum up within < $ us usd \u20ac \u00a3 eur gbp")
def _pair(line: Line, i: int) -> Iterator[Group]:
    """A price for what goes in and one for what comes out, per million both."""
    found = line.match(PAIR, i) if line.near(MONEY, i) else None
    if not found or line.word(i - 1) in FLOORS:
        return
    match, end = found
    one, other = number_of(match["n1"]), number_of(match["n2"])
    said = set(match.group().split())
    if one is None or other is None or not (said & {"in", "input"} and said & {"out", "output"}):
        return
    middle = bisect_left(line.at, match.start("sep") + 1)
    coin = match.group().replace("us ", "")
    currency = "EUR" if "\u20ac" in coin or "eur" in coin else "USD"
    million = Decimal(1_000_000)
    yield [
        _ceiling(i, middle, Unit.INPUT_TOKEN, one, million, currency),
        _ceiling(middle, end, Unit.OUTPUT_TOKEN, other, million, currency),
    ]


def _ceiling(
    start: int, end: int, unit: Unit, amount: Decimal, count: Decimal, currency: str
) -> Part:
    """That much for so many of the unit."""
    each = EXACT.divide(amount, count).quantize(Decimal(1).scaleb(-MOST_PLACES), context=EXACT)
    each = EXACT.normalize(each)
    if each.as_tuple().exponent > 0:  # type: ignore[operator]  # finite by its making
        each = each.quantize(Decimal(1), context=EXACT)
    where = Where(price_ceilings=(Ceiling(amount=each, per=unit, currency=currency),))
    return Part(start, end, f"price_ceilings:{unit}:{currency}", where)


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
FREE = phrase(
    r"(?:(?:that(?: is|'s)|which is|is|are|must be|should be) )?"
    r"(?:(?:completely|totally|fully|entirely|truly|absolutely|100 %|always) )?"
    r"(?:free(?: of (?:charge|cost))|for free|gratis"
    r"|(?:(?:with|has|having|offers) an? )?free (?:to use|tier|plan|version)|free"
    r"|(?:that |which )?costs? nothing|(?:at )?(?:no|zero) cost|without (?:cost|costs|charge)"
    r"|(?:that |which )?(?:doesn't|does not|don't|do not) cost (?:anything|money|a thing)"
    r"|no paid(?: (?:plans?|tools?|apps?|models?|services?|software|ones?|options?))?"
    r"|(?:not|nothing) paid|no (?:payments?|(?:subscription |monthly |licen[cs]e )?fees?|charge)"
    r"|(?:that |which )?(?:(?:i|we) )?(?:don't|do not|can't|cannot|won't|will not|need not|without)"
    r" (?:(?:want|have|having|need) to )?pay(?:ing)?(?: for)?(?: (?:anything|a cent|money))?"
    r"|nothing to pay|freeware)"
)


@starts(
    "free gratis for that which cost costs at no zero without doesn't does don't do not nothing"
    " is are must should completely totally fully entirely truly absolutely 100 always that's i"
    " we can't cannot won't will need freeware with has having offers"
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


PAID = phrase(
    r"(?:only )?paid(?: only)?(?= (?:models?|llms?|apis?|tools?|services?|products?|plans?)\b)"
    r"|paid only|only paid|(?:(?:that |which )?(?:is |are )?not|isn't|aren't) (?:for )?free"
    r"(?: of charge)?|(?:not an?|no|nothing) free (?:tiers?|plans?|models?|llms?|tools?|ones?)"
)
ALONE = phrase(r"paid(?=$| [.,;)])")


@starts("only paid that which is are isn't aren't not no nothing")
def _paid(line: Line, i: int) -> Iterator[Group]:
    found = line.match(PAID, i)
    if not found and (i == 0 or line.word(i - 1) in (",", ";", "(", "but")):
        found = line.match(ALONE, i)
    if found and not negated(line, i) and line.word(found[1]) not in FREE_NOT_AFTER:
        yield [Part(i, found[1], "not_free", Where(free=False))]
