"""Texts the catalog keeps: slugs, names and descriptions, checked once on the way in."""

import re
from collections.abc import Iterable

from matchgraph.domain.errors import BadSlug, BadText

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,118}[a-z0-9])?")
LINK = re.compile(r"https?://[^\s/]+\S*")
SHORT = 200
LONG = 10_000
# PostgreSQL cannot store NUL and UTF-8 has no lone surrogates; other control characters are
# noise in a name, while tab and newline structure a description.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def slug(text: str) -> str:
    """Returns the text if it is a slug. Raises: BadSlug."""
    if not SLUG.fullmatch(text):
        raise BadSlug(printable(text)[:SHORT])
    return text


def words(field: str, text: str, *, limit: int = SHORT) -> str:
    """Returns the text without blanks around it. Raises: BadText if blank, long, unprintable."""
    text = text.strip()
    if not text:
        raise BadText(field, "it is blank")
    return _checked(field, text, limit)


def optional(field: str, text: str | None, *, limit: int = SHORT) -> str | None:
    """Like `words`, where saying nothing is fine."""
    return None if text is None else words(field, text, limit=limit)


def link(field: str, text: str | None) -> str | None:
    """Like `optional`, for an address on the web. Raises: BadText."""
    text = optional(field, text, limit=500)
    if text is not None and not LINK.fullmatch(text):
        raise BadText(field, "it is not an address that begins with https:// or http://")
    return text


def several(field: str, texts: Iterable[str], *, most: int = 50) -> tuple[str, ...]:
    """Returns the texts in their order, repeated ones once. Raises: BadText."""
    found = tuple(dict.fromkeys(words(field, text, limit=SHORT) for text in texts))
    if len(found) > most:
        raise BadText(field, f"{len(found)} entries; at most {most} are kept")
    return found


def printable(text: str) -> str:
    """The text with everything that cannot be stored or shown replaced, for error messages."""
    return UNPRINTABLE.sub("\ufffd", text)


def _checked(field: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise BadText(field, f"{len(text)} characters; at most {limit} are kept")
    if UNPRINTABLE.search(text):
        raise BadText(field, "it holds characters that cannot be stored or shown")
    return text
