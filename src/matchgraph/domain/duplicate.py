"""Whether two artifacts are likely the same one: what speaks for it and what against.

A pair is weighed, never merged, by this: a curator decides. Read by queries/duplicates.py; the rule
and what it finds in the catalog are in docs/identity.md.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from urllib.parse import urlsplit

from matchgraph.domain.artifact import Facts, Kind


class Sign(StrEnum):
    """What speaks for two artifacts being one, or against it."""

    SAME_NAME = "same_name"
    SAME_WORDS = "same_words"
    SIMILAR_NAME = "similar_name"
    SLUG_OF_THE_OTHER = "slug_of_the_other"
    SAME_HOMEPAGE = "same_homepage"
    SAME_DESCRIPTION = "same_description"
    SAME_RELEASE = "same_release"
    SAME_CAPABILITIES = "same_capabilities"
    DIFFERENT_NUMBERS = "different_numbers"
    NUMBERS_OF_ONE = "numbers_of_one"
    DIFFERENT_VARIANTS = "different_variants"
    DIFFERENT_WORDS = "different_words"
    DIFFERENT_VENDORS = "different_vendors"
    DIFFERENT_KINDS = "different_kinds"
    DIFFERENT_HOMEPAGES = "different_homepages"
    DIFFERENT_RELEASES = "different_releases"
    DIFFERENT_WEIGHTS = "different_weights"
    DIFFERENT_TYPES = "different_types"
    DIFFERENT_CONTEXTS = "different_contexts"


# Units: what each sign adds to the logarithm of the odds. Set by reading the pairs that the rule
# finds in the bundled catalog, with the pairs judged by hand beside them.
POINTS: dict[Sign, float] = {
    Sign.SAME_NAME: 5.0,
    Sign.SAME_WORDS: 4.5,
    Sign.SIMILAR_NAME: 2.0,
    Sign.SLUG_OF_THE_OTHER: 4.0,
    Sign.SAME_HOMEPAGE: 3.0,
    Sign.SAME_DESCRIPTION: 3.0,
    Sign.SAME_RELEASE: 1.5,
    Sign.SAME_CAPABILITIES: 0.5,
    Sign.DIFFERENT_NUMBERS: -8.0,
    Sign.NUMBERS_OF_ONE: -3.0,
    Sign.DIFFERENT_VARIANTS: -6.0,
    Sign.DIFFERENT_WORDS: -2.5,
    Sign.DIFFERENT_VENDORS: -3.0,
    Sign.DIFFERENT_KINDS: -2.0,
    Sign.DIFFERENT_HOMEPAGES: -1.5,
    Sign.DIFFERENT_RELEASES: -2.0,
    Sign.DIFFERENT_WEIGHTS: -1.5,
    Sign.DIFFERENT_TYPES: -2.0,
    Sign.DIFFERENT_CONTEXTS: -1.0,
}
# The odds of two artifacts of which nothing is known but that something made them worth a look.
START = -3.0
ALIKE = 0.6
# Units: days. Sources date one release differently, but rarely by more.
FAR_APART = 60
FAR_LARGER = 4

# Words that tell members of one series apart, whatever else they share.
_VARIANTS = """
air audio base beta chat code coder codex deep distill embed embedding exp experimental fast
flash guard haiku heavy high highspeed image instant instruct it large latest light lite live
maverick max medium micro mini multimodal nano nitro non ocr omni opus plus preview prime pro
quality quick realtime reasoner reasoning rerank research safeguard scout search small sonnet
speech standard super swift think thinking tiny transcribe translate tts turbo ultra unified
video vision vl xl xs xxl
"""
VARIANTS = frozenset(_VARIANTS.split())
# Words that say what a thing is and not which one.
NOISE = frozenset(("a", "ai", "api", "app", "by", "for", "model", "of", "org", "the"))
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
# "v3" and "3.0" are other ways to write 3.
_VERSION = re.compile(r"(?<![^\W_])v\.?(?=\d)|(?<=\d)\.0(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What an artifact is compared by."""

    slug: str
    kind: Kind
    facts: Facts
    aliases: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reason:
    """One sign, what it adds to the logarithm of the odds, and what was seen on either side."""

    sign: Sign
    points: float
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Likeness:
    """How likely two artifacts are the same one, and why.

    Units: `confidence` from 0 to 1; it is the logistic of START and the points of all reasons.
    """

    confidence: float
    reasons: tuple[Reason, ...]


def likeness(left: Profile, right: Profile) -> Likeness:
    """Weighs what the two share and what they contradict each other in.

    Shape: reasons with the weightiest first; the same for both orders, but for their sides.
        What is unknown of either is no reason.
    """
    reasons = [
        Reason(sign, points, said, other)
        for sign, points, said, other in (*_names(left, right), *_facts(left, right))
        if points
    ]
    reasons.sort(key=lambda reason: (-abs(reason.points), reason.sign))
    odds = START + math.fsum(reason.points for reason in reasons)
    return Likeness(round(1 / (1 + math.exp(-odds)), 6), tuple(reasons))


def squashed(text: str) -> str:
    """The letters and digits of the text alone, in lower case."""
    return "".join(_TOKEN.findall(text.lower()))


def trigram_similarity(one: str, other: str) -> float:
    """The share of trigrams that two texts have in common, 0 to 1, as PostgreSQL's pg_trgm counts
    them: of each word, with two blanks before it and one behind."""
    mine, theirs = _trigrams(one), _trigrams(other)
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


Found = tuple[Sign, float, str, str]


def _names(left: Profile, right: Profile) -> Iterable[Found]:
    mine, theirs = left.facts.name or "", right.facts.name or ""
    vendors = {left.facts.vendor or "", right.facts.vendor or ""}
    free = NOISE.union(*map(_words, vendors), map(squashed, vendors))
    if squashed(mine) == squashed(theirs):
        yield _found(Sign.SAME_NAME, mine, theirs)
    elif (_core(mine, free), _numbers(mine)) == (_core(theirs, free), _numbers(theirs)):
        yield _found(Sign.SAME_WORDS, mine, theirs)
    elif (alike := trigram_similarity(mine, theirs)) >= ALIKE:
        yield Sign.SIMILAR_NAME, round(POINTS[Sign.SIMILAR_NAME] * alike, 3), mine, theirs
    if shared := _slugs(left) & _slugs(right):
        slug = min(shared)
        yield _found(Sign.SLUG_OF_THE_OTHER, slug, slug)
    yield from _contradicting(left, right, free)


def _contradicting(left: Profile, right: Profile, free: frozenset[str]) -> Iterable[Found]:
    """What the names say differently, or else the slugs: those tell versions that a name omits."""
    pairs = ((left.facts.name or "", right.facts.name or ""), (left.slug, right.slug))
    numbers = [(one, other, _numbers(one), _numbers(other)) for one, other in pairs]
    for one, other, mine, theirs in numbers:
        if not (_within(mine, theirs) or _within(theirs, mine)):
            yield _found(Sign.DIFFERENT_NUMBERS, one, other)
            break
    else:
        for one, other, mine, theirs in numbers:
            if mine != theirs:
                # A slug often bears the day of the only version, which the name leaves out.
                share = 1 if numbers[0][2] != numbers[0][3] else 0.5
                yield Sign.NUMBERS_OF_ONE, share * POINTS[Sign.NUMBERS_OF_ONE], one, other
                break
    variants: set[str] = set()
    words: set[str] = set()
    for one, other in pairs:
        said, against = _core(one, free), _core(other, free)
        if squashed(one) == squashed(other):
            continue
        variants |= (said ^ against) & VARIANTS
        # A word that is spelled nearly like one on the other side is no other word.
        words |= {
            token
            for token in (said ^ against) - VARIANTS
            if not _spelled_alike(token, against if token in said else said)
        }
    if variants:
        yield (
            Sign.DIFFERENT_VARIANTS,
            POINTS[Sign.DIFFERENT_VARIANTS],
            *_sided(variants, left, right),
        )
    if words:
        points = POINTS[Sign.DIFFERENT_WORDS] * min(len(words), 3)
        yield Sign.DIFFERENT_WORDS, points, *_sided(words, left, right)


def _facts(left: Profile, right: Profile) -> Iterable[Found]:
    mine, theirs = left.facts, right.facts
    if mine.description and squashed(mine.description) == squashed(theirs.description or ""):
        yield _found(Sign.SAME_DESCRIPTION, mine.description, mine.description)
    if mine.homepage and theirs.homepage and homepage(mine.homepage) == homepage(theirs.homepage):
        yield _found(Sign.SAME_HOMEPAGE, mine.homepage, theirs.homepage)
    yield from _differs(
        Sign.DIFFERENT_HOMEPAGES, homepage(mine.homepage), homepage(theirs.homepage)
    )
    if (
        mine.released
        and mine.released == theirs.released
        and mine.vendor
        and _same_maker(mine, theirs)
    ):
        yield _found(Sign.SAME_RELEASE, str(mine.released), str(theirs.released))
    if left.capabilities and left.capabilities == right.capabilities:
        keys = ", ".join(sorted(left.capabilities))
        yield _found(Sign.SAME_CAPABILITIES, keys, keys)
    yield from _differs(Sign.DIFFERENT_KINDS, left.kind.value, right.kind.value)
    yield from _differs(
        Sign.DIFFERENT_VENDORS,
        mine.vendor,
        theirs.vendor,
        lambda a, b: not _same_maker(mine, theirs),
    )
    yield from _differs(
        Sign.DIFFERENT_RELEASES,
        mine.released,
        theirs.released,
        lambda a, b: abs((a - b).days) > FAR_APART,
    )
    yield from _differs(Sign.DIFFERENT_WEIGHTS, mine.open_weights, theirs.open_weights)
    yield from _differs(
        Sign.DIFFERENT_CONTEXTS,
        mine.context_tokens,
        theirs.context_tokens,
        lambda a, b: max(a, b) >= FAR_LARGER * min(a, b),
    )
    for types, others in (
        (mine.output_types, theirs.output_types),
        (mine.input_types, theirs.input_types),
    ):
        if types and others and set(types) != set(others):
            yield _found(Sign.DIFFERENT_TYPES, ", ".join(types), ", ".join(others))
            break


def homepage(link: str | None) -> str | None:
    """The address without what does not matter to where it leads; None without a link."""
    if not link:
        return None
    parts = urlsplit(link.lower())
    return (
        parts.netloc.removeprefix("www.")
        + parts.path.rstrip("/")
        + (f"?{parts.query}" if parts.query else "")
    )


def _same_maker(mine: Facts, theirs: Facts) -> bool:
    one, other = set(_words(mine.vendor or "")) - NOISE, set(_words(theirs.vendor or "")) - NOISE
    return squashed(mine.vendor or "") == squashed(theirs.vendor or "") or (
        bool(one and other) and (one <= other or other <= one)
    )


def _differs(
    sign: Sign, mine: object, theirs: object, by: Callable[..., bool] = lambda a, b: a != b
) -> Iterable[Found]:
    if mine is not None and theirs is not None and by(mine, theirs):
        yield _found(sign, _written(mine), _written(theirs))


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value).lower()


def _found(sign: Sign, mine: str, theirs: str) -> Found:
    return sign, POINTS[sign], mine, theirs


def _sided(words: Iterable[str], left: Profile, right: Profile) -> tuple[str, str]:
    """Of the words, those that either side says."""
    sides = (_words(f"{side.facts.name} {side.slug}") for side in (left, right))
    mine, theirs = (" ".join(sorted(set(words) & set(side))) for side in sides)
    return mine, theirs


def _slugs(profile: Profile) -> set[str]:
    return {squashed(slug) for slug in (profile.slug, *profile.aliases)}


def _words(text: str) -> list[str]:
    return [token for token in _TOKEN.findall(text.lower()) if not token.isdigit()]


def _numbers(text: str) -> tuple[str, ...]:
    """The numbers of a text in order, leading zeros dropped."""
    return tuple(token.lstrip("0") or "0" for token in _tokens(text) if token.isdigit())


def _within(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether the others begin, end or are interrupted by more, and are the same beside."""
    rest = iter(others)
    return all(one in rest for one in some)


def _core(text: str, free: frozenset[str]) -> frozenset[str]:
    """The words of a text that say which thing it is."""
    return frozenset(token for token in _tokens(text) if not token.isdigit()) - free


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_VERSION.sub("", text.lower()))


def _spelled_alike(token: str, others: Iterable[str]) -> bool:
    return any(
        token in other or other in token or trigram_similarity(token, other) >= 0.5
        for other in others
        if min(len(token), len(other)) > 3
    )


def _trigrams(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {f"  {word} "[start : start + 3] for word in words for start in range(len(word) + 1)}
