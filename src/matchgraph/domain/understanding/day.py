"""When it was released."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import THING_ENDS, Line, negated, phrase
from matchgraph.domain.understanding.number import number_of
from matchgraph.domain.understanding.part import NUMBER_KEY, Group, Part, starts

MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
YEAR = r"(?:19|20)\d\d"
A_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))


def _day_pattern(tag: str = "") -> str:
    """A year, a quarter, a month or a day, in groups whose names end with the tag."""
    return (
        rf"(?:(?P<y1{tag}>{YEAR})-(?P<m1{tag}>\d\d?)(?:-(?P<d1{tag}>\d\d?))?"
        rf"|(?:the )?(?P<d2{tag}>\d\d?|first)(?:st|nd|rd|th)?(?: of)? (?P<m2{tag}>{A_MONTH})(?: ,)?"
        rf" (?P<y2{tag}>{YEAR})"
        rf"|(?P<m3{tag}>{A_MONTH})(?: (?P<d3{tag}>\d\d?)(?:st|nd|rd|th)?)?(?: ,)?"
        rf" (?P<y3{tag}>{YEAR})"
        rf"|q(?P<q4{tag}>[1-4]) (?P<y4{tag}>{YEAR})|(?P<y5{tag}>{YEAR}))(?!\d)"
    )


DAY = _day_pattern()
RELEASED = (
    r"(?:(?:(?:that|which) )?(?:(?:was|were|is|are) )?(?:first )?(?:released|published|launched"
    r"|announced|came out|coming out|built|made|created|updated|trained|dating)(?: in| on)?)"
)
IS = r"(?:(?:that|which) )?(?:(?:is|are|was|were) )?"
NOT = rf"{IS}(?:not|no|nothing|none|never|(?:is|are|was|were)n't)"
SINCE = phrase(
    rf"(?:(?:{RELEASED} )?(?P<w>since|after|later than|newer than|on or after|from|in)"
    rf"|{RELEASED}) {DAY}(?P<on> onwards?| on| (?:or|and) (?:later|newer|after))?"
)
NOT_BEFORE = phrase(
    rf"{NOT} (?:{RELEASED} )?(?:(?:from )?before|earlier than|older than|prior to) {DAY}"
)
NOT_AFTER = phrase(rf"{NOT} (?:{RELEASED} )?(?:after|later than|newer than|more recent than) {DAY}")
UNTIL = phrase(rf"(?:{RELEASED} )?(?:before|earlier than|older than|until|prior to) {DAY}")
BETWEEN = phrase(
    rf"(?:{RELEASED} )?(?:between|from) {_day_pattern('a')} (?:and|to|until|-|through)"
    rf" {_day_pattern('b')}"
)
OR_LATER = phrase(rf"{DAY} (?:(?:or|and) (?:later|newer|after)|onwards?)")
SPAN = (
    r"(?:(?P<n>\d{1,3}|an?|one|two|three|four|five|six|nine|ten|twelve) )?"
    r"(?P<unit>years?|months?|weeks?|days?)"
)
THIS = phrase(rf"(?:{RELEASED} |from |new )?this (?P<unit>year|quarter|month|week)")
LAST = phrase(rf"(?:{RELEASED} |from )last (?P<unit>year|month)")
LATELY = phrase(
    rf"(?:{RELEASED} |from |new )?(?:within |in |during |over )?(?:the )?(?:last|past) {SPAN}"
)
# "not older than six months", "less than a year old"
YOUNG = [
    phrase(rf"{NOT} (?:older|more) than {SPAN}(?: old)?"),
    phrase(rf"{IS}(?:less than|under|at most|no more than|up to) {SPAN} old"),
    phrase(rf"{IS}(?:younger|newer|more recent) than {SPAN}"),
]
OF_THE_YEAR = phrase(
    rf"(?:(?P<y5>{YEAR})|(?P<which>this|last) year's)(?= (?:models?|llms?)(?: |$))"
)


@starts(
    "that which was were is are first released published launched announced came coming built made"
    " created updated trained dating since after later newer from in on before earlier older until"
    " prior within during over this last the past between new not no nothing none never isn't"
    f" aren't wasn't weren't less under at up younger more q1 q2 q3 q4 {NUMBER_KEY} "
    + A_MONTH.replace("|", " ")
)
def _released(line: Line, i: int) -> Iterator[Group]:
    if negated(line, i):
        return
    for end, since, before in _spans(line, i):
        if line.ends(end) or line.word(end) in THING_ENDS:
            id_ = "released_since" if since else "released_before"
            yield [Part(i, end, id_, Where(released_since=since, released_before=before))]


Span = tuple[int, date | None, date | None]


def _spans(line: Line, i: int) -> Iterator[Span]:
    """What is said of days there: the token after it, the day from which and the day before
    which."""
    said = re.match(RELEASED, line.line[line.at[i] : line.at[i] + 60]) is not None
    thing = i == 0 or line.word(i - 1) in THING_ENDS or line.word(i - 1) in (",", "but", "(", ";")
    if (found := line.match(SINCE, i)) and (day := _day(found[0])):
        match, end = found
        word = match["w"] or "in"
        if said or word == "newer than" or (thing and word != "in"):
            late = word in ("after", "later than", "newer than")
            only = word == "in" and not match["on"]
            yield end, day[1] if late else day[0], day[1] if only else None
    if (found := line.match(NOT_BEFORE, i)) and (day := _day(found[0])):
        yield found[1], day[0], None
    if (found := line.match(NOT_AFTER, i)) and (day := _day(found[0])):
        yield found[1], None, day[1]
    older = said or thing or line.word(i) == "older"
    if older and (found := line.match(UNTIL, i)) and (day := _day(found[0])):
        yield found[1], None, day[0]
    if (said or thing) and (found := line.match(BETWEEN, i)):
        first, last = _day(found[0], "a"), _day(found[0], "b")
        if first and last and first[0] < last[1]:
            yield found[1], first[0], last[1]
    if thing and (found := line.match(OR_LATER, i)) and (day := _day(found[0])):
        yield found[1], day[0], None
    if line.today:
        yield from _counted(line, i, line.today, said, thing)


def _counted(line: Line, i: int, today: date, said: bool, thing: bool) -> Iterator[Span]:
    """As `_spans`, of days that are counted from today."""
    if found := line.match(OF_THE_YEAR, i):
        year = int(found[0]["y5"] or today.year - (found[0]["which"] == "last"))
        yield found[1], date(year, 1, 1), date(year + 1, 1, 1)
    wanted = said or (thing and line.word(i) in ("from", "in", "within", "during", "over", "new"))
    if wanted and (found := line.match(THIS, i)):
        yield found[1], _begin(today, found[0]["unit"]), None
    if wanted and (found := line.match(LAST, i)):
        this = _begin(today, found[0]["unit"])
        yield found[1], _begin(this - timedelta(days=1), found[0]["unit"]), this
    if wanted and (found := line.match(LATELY, i)) and (since := _ago(today, found[0])):
        yield found[1], since, None
    for pattern in YOUNG:
        if (found := line.match(pattern, i)) and (since := _ago(today, found[0])):
            yield found[1], since, None


def _day(match: re.Match[str], tag: str = "") -> tuple[date, date] | None:
    """The first day of what is named, and the first after it."""
    said = match.groupdict()

    def any_of(letter: str) -> str | None:
        names = (f"{letter}{n}{tag}" for n in range(1, 6))
        return next((value for name in names if (value := said.get(name))), None)

    year, month, day, quarter = int(any_of("y") or 0), any_of("m"), any_of("d"), any_of("q")
    try:
        if quarter:
            first = date(year, 3 * int(quarter) - 2, 1)
            return first, _after(date(year, 3 * int(quarter), 1))
        if month is None:
            return date(year, 1, 1), date(year + 1, 1, 1)
        first = date(year, MONTHS[month] if month in MONTHS else int(month), 1)
        if day is None:
            return first, _after(first)
        first = first.replace(day=1 if day == "first" else int(day))
        return first, first + timedelta(days=1)
    except ValueError:
        return None


def _after(month: date) -> date:
    """The first day after the month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _begin(today: date, unit: str) -> date:
    """The first day of this year, quarter, month or week."""
    if unit == "week":
        return today - timedelta(days=today.weekday())
    months = {"year": 1, "quarter": today.month - (today.month - 1) % 3, "month": today.month}
    return date(today.year, months[unit], 1)


def _ago(today: date, match: re.Match[str]) -> date | None:
    """As many days, weeks, months or years before."""
    count = int(number_of(match["n"]) or 1)
    unit = match["unit"].rstrip("s")
    if unit in ("day", "week"):
        return today - timedelta(days=count * (7 if unit == "week" else 1))
    months = 12 * today.year + today.month - 1 - count * (12 if unit == "year" else 1)
    if months < 12:
        return None
    first = date(months // 12, months % 12 + 1, 1)
    return min(first + timedelta(days=today.day - 1), _after(first) - timedelta(days=1))
