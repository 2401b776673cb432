"""When it was released."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import THING_ENDS, Line
from matchgraph.domain.understanding.number import number_of
from matchgraph.domain.understanding.part import Group, Part, starts

MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
YEAR = r"(?:19|20)\d\d"
DAY = (
    rf"(?:(?P<y1>{YEAR})-(?P<m1>\d\d?)(?:-(?P<d1>\d\d?))?|(?P<m2>{'|'.join(MONTHS)}),?"
    rf" (?P<y2>{YEAR})|(?P<y3>{YEAR}))(?!\d)"
)
RELEASED = (
    r"(?:(?:that (?:was|were) |which (?:was|were) )?(?:first )?"
    r"(?:released|published|launched|announced|came out|built|made|created|updated"
    r"|dating)(?: in| on)?)"
)
SINCE = re.compile(
    rf"(?:(?:{RELEASED} )?(?P<w>since|after|later than|newer than|from|in)|{RELEASED})"
    rf" {DAY}(?P<on> onwards?| on| or (?:later|newer))?"
)
UNTIL = re.compile(rf"(?:{RELEASED} )?(?:before|earlier than|older than|until|prior to) {DAY}")
LATELY = re.compile(
    rf"(?:{RELEASED} |from |new )?(?:within |in |during )?(?:(?P<this>this) (?P<u1>year|month|week)"
    r"|(?:the )?(?P<last>last|past) (?:(?P<n>\d{1,3}|two|three|four|five|six|twelve)"
    r" )?(?P<u2>years?|months?|weeks?|days?))"
)


@starts(
    "that which first released published launched announced came built made created updated"
    " dating since after later newer from in before earlier older until prior within this"
)
def _released(line: Line, i: int) -> Iterator[Group]:
    said = re.match(RELEASED, line.line[line.at[i] : line.at[i] + 60]) is not None
    thing = line.word(i - 1) in THING_ENDS or i == 0 or line.word(i - 1) in (",", "but")
    if found := line.match(SINCE, i):
        match, end = found
        day = _day(match)
        word = match["w"] or "in"
        clear = said or word == "newer than" or (thing and word in ("since", "from", "after"))
        if day and clear and line.ends(end):
            since, after = day
            if word in ("after", "later than", "newer than"):
                since = after
            if word == "in" and not match["on"]:
                where = Where(released_since=since, released_before=after)
            else:
                where = Where(released_since=since)
            yield [Part(i, end, "released_since", where)]
    if (found := line.match(UNTIL, i)) and (said or thing or line.word(i) == "older"):
        day = _day(found[0])
        if day and line.ends(found[1]):
            yield [Part(i, found[1], "released_before", Where(released_before=day[0]))]
    if (
        line.today
        and (said or (thing and line.word(i) == "from"))
        and (found := line.match(LATELY, i))
    ):
        since_day = _lately(line.today, found[0])
        if since_day:
            yield [Part(i, found[1], "released_since", Where(released_since=since_day))]


def _day(match: re.Match[str]) -> tuple[date, date] | None:
    """The first day of what is named, and the first after it."""
    year = int(match["y1"] or match["y2"] or match["y3"])
    month = int(match["m1"] or 0) or MONTHS.get(match["m2"] or "", 0)
    try:
        if match["d1"]:
            day = date(year, month, int(match["d1"]))
            return day, day + timedelta(days=1)
        if month:
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        return date(year, 1, 1), date(year + 1, 1, 1)
    except ValueError:
        return None


def _lately(today: date, match: re.Match[str]) -> date | None:
    unit = (match["u1"] or match["u2"]).rstrip("s")
    if match["this"]:
        if unit == "week":
            return today - timedelta(days=today.weekday())
        return today.replace(day=1) if unit == "month" else today.replace(month=1, day=1)
    count = int(number_of(match["n"]) or 1)
    if unit == "year" and not match["n"]:
        return date(today.year - 1, 1, 1)
    days = {"year": 365, "month": 30, "week": 7, "day": 1}[unit] * count
    return today - timedelta(days=days) if days < 36_500 else None
