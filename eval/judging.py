"""Judged needs: what somebody asks for, and how well each artifact answers it.

A need is judged by reading (`relevant`: slug to grade) and by rules (`rule`: grade to conditions on
facts, prices and capabilities, for the hundreds of entries that differ in nothing else). Rules are
decided here on the catalog's entries, by other code than the search has. Grades: 3 is what was
asked for, 2 does it with something missing or much besides, 1 helps at the margin, 0 does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from eval.catalog import Entry, entries
from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.need import Ceiling, Need, Where
from matchgraph.domain.price import Pricing, Unit

NEEDS = Path(__file__).parent / "needs"
# The files, each with the name that its needs have in the tables.
GROUPS = {
    "plain": "plain words",
    "paraphrases": "paraphrases",
    "typos": "typos",
    "negation": "negations",
    "constraints": "constraints",
    "like": "like, but different",
    "attributes": "attributes",
}
IN_WORDS = "-in-words"
GIFTS = (Pricing.FREE, Pricing.OPEN_SOURCE)


@dataclass(frozen=True)
class Judged:
    """One need with its judgement.

    `of` is the need that it is another wording of, whose half it shares. `form` tells attributes
    given as filters from the same in words. `forbidden` are slugs that an answer may not show.
    """

    id: str
    group: str
    need: Need
    grades: Mapping[str, int]
    forbidden: frozenset[str]
    of: str | None = None
    form: str = ""

    @property
    def split(self) -> str:
        """Which half: `tune` may be looked at while tuning, `held` never. Drawn by the hash of the
        id, so that nobody picks."""
        return "held" if sha256((self.of or self.id).encode()).digest()[4] % 2 else "tune"

    @property
    def row(self) -> str:
        """The line of the tables that it counts in."""
        return f"{GROUPS[self.group]}, {self.form}" if self.form else GROUPS[self.group]


class MalformedNeed(ValueError):
    """A file of needs says something that has no meaning."""


@cache
def needs() -> tuple[Judged, ...]:
    """All judged needs, in the order of the files."""
    found: dict[str, Judged] = {}
    for group in GROUPS:
        for written in yaml.safe_load((NEEDS / f"{group}.yaml").read_text()):
            for judged in _judged(group, written, found):
                if judged.id in found:
                    raise MalformedNeed(f"{judged.id} is there twice")
                found[judged.id] = judged
    return tuple(found.values())


KEYS = {"id", "of", "need", "words", "rule", "relevant", "forbidden"}


def _judged(group: str, written: dict[str, Any], known: Mapping[str, Judged]) -> Iterable[Judged]:
    id_ = written["id"]
    if unknown := written.keys() - KEYS:
        raise MalformedNeed(f"{id_}: {', '.join(unknown)}")
    need = need_of(written["need"])
    if "of" in written:
        meant = known[written["of"]]
        return [Judged(id_, group, need, meant.grades, meant.forbidden, of=meant.id)]
    if "words" in written:
        # Whatever meets the conditions is as good as any.
        grades = {slug: 3 for slug, entry in entries().items() if holds(need.where, entry)}
        in_words = Need(text=written["words"])
        return [
            Judged(id_, group, need, grades, frozenset(), form="given as filters"),
            Judged(id_ + IN_WORDS, group, in_words, grades, frozenset(), of=id_, form="in words"),
        ]
    grades = {}
    for grade, rule in sorted(written.get("rule", {}).items()):
        grades |= dict.fromkeys(selected(rule), grade)
    grades |= written.get("relevant", {})
    if missing := written.get("relevant", {}).keys() - entries().keys():
        raise MalformedNeed(f"{id_}: the catalog has no {', '.join(missing)}")
    # What was asked to be like is no answer to it.
    for slug in need.like + need.unlike:
        grades.pop(slug, None)
    forbidden = selected(written["forbidden"]) if "forbidden" in written else []
    return [
        Judged(
            id_,
            group,
            need,
            {slug: grade for slug, grade in grades.items() if grade},
            frozenset(forbidden),
        )
    ]


def need_of(written: Mapping[str, Any]) -> Need:
    """The need that a file's mapping says."""
    if unknown := written.keys() - {"text", "like", "unlike", "where"}:
        raise MalformedNeed(f"a need has no {', '.join(unknown)}")
    return Need(
        text=written.get("text"),
        like=tuple(written.get("like", ())),
        unlike=tuple(written.get("unlike", ())),
        where=where_of(written.get("where", {})),
    )


MADE_OF = {
    "kinds": Kind,
    "not_kinds": Kind,
    "input_types": DataType,
    "output_types": DataType,
}


def where_of(written: Mapping[str, Any]) -> Where:
    """The conditions that a file's mapping says."""
    if unknown := written.keys() - {field.name for field in fields(Where)}:
        raise MalformedNeed(f"there is no condition {', '.join(unknown)}")
    said: dict[str, Any] = {}
    for name, value in written.items():
        if name == "price_ceilings":
            said[name] = tuple(
                Ceiling(amount=Decimal(each["amount"]), per=Unit(each["per"])) for each in value
            )
        elif isinstance(value, list):
            said[name] = tuple(MADE_OF.get(name, str)(each) for each in value)
        else:
            said[name] = value
    return Where(**said)


# Rules


def selected(rule: Mapping[str, Any]) -> list[str]:
    """The slugs of the artifacts that the rule holds for."""
    return [slug for slug, entry in entries().items() if meets(rule, entry)]


def meets(rule: Mapping[str, Any], entry: Entry) -> bool:
    """Whether the rule holds: the conditions of `Where`, and besides `can` (one of these
    capabilities), `can_all`, `slugs` (one of these patterns), `any` (one of these rules) and `none`
    (a rule that must not hold)."""
    own = dict(rule)
    can, can_all = own.pop("can", None), own.pop("can_all", ())
    slugs = own.pop("slugs", None)
    alternatives, none = own.pop("any", None), own.pop("none", None)
    return (
        holds(where_of(own), entry)
        and (can is None or not entry.capabilities.keys().isdisjoint(can))
        and entry.capabilities.keys() >= set(can_all)
        and (slugs is None or any(fnmatchcase(entry.slug, pattern) for pattern in slugs))
        and (alternatives is None or any(meets(each, entry) for each in alternatives))
        and (none is None or not meets(none, entry))
    )


def holds(where: Where, entry: Entry) -> bool:
    """Whether the artifact meets the conditions, as a person reads them: what nobody said does not
    hold, and who asks nothing asks less than any ceiling."""
    facts, can = entry.facts, entry.capabilities
    if where.cheaper_than or where.must_have or where.must_not_have:
        raise MalformedNeed("cheaper_than, must_have and must_not_have are not judged by rules")
    released = facts.released
    return (
        _among(where.kinds, entry.kind)
        and entry.kind not in where.not_kinds
        and (where.free is None or where.free == _is_free(entry))
        and where.open_weights in (None, facts.open_weights)
        and where.self_hostable in (None, facts.self_hostable)
        and all(_within(ceiling, entry) for ceiling in where.price_ceilings)
        and _at_least(where.min_context_tokens, facts.context_tokens)
        and _at_least(where.min_output_tokens, facts.output_tokens)
        and entry.input_types >= set(where.input_types)
        and entry.output_types >= set(where.output_types)
        and where.tool_calling in (None, "tool-calling" in can)
        and where.reasoning in (None, "reasoning" in can)
        and where.structured_output in (None, "structured-output" in can)
        and _among(where.vendors, facts.vendor)
        and facts.vendor not in where.not_vendors
        and _among(where.families, facts.family)
        and facts.family not in where.not_families
        and (
            not where.providers or any(price.provider in where.providers for price in entry.prices)
        )
        and not any(price.provider in where.not_providers for price in entry.prices)
        and _among(where.licences, facts.licence)
        and facts.licence not in where.not_licences
        and _is_since(where.released_since, released)
        and (
            where.released_before is None
            or (released is not None and released < where.released_before)
        )
    )


def _among(wanted: tuple[object, ...], said: object) -> bool:
    return not wanted or said in wanted


def _at_least(wanted: int | None, said: int | None) -> bool:
    return wanted is None or (said is not None and said >= wanted)


def _is_since(wanted: date | None, said: date | None) -> bool:
    return wanted is None or (said is not None and said >= wanted)


def _is_free(entry: Entry) -> bool:
    return any(price.pricing in GIFTS for price in entry.prices)


def _within(ceiling: Ceiling, entry: Entry) -> bool:
    return any(
        price.pricing in GIFTS
        or (
            price.amount is not None
            and (price.per, price.currency) == (ceiling.per, ceiling.currency)
            and price.amount <= ceiling.amount
        )
        for price in entry.prices
    )
