"""What an artifact must be like, as predicates in SQL: one for each condition, so that an answer
can tell which of them an artifact fails and how many each leaves out.

A predicate speaks of `l` (artifact_listing) and `s` (search_artifact). What nobody said does not
hold, also not when the condition is a negation of what is written down as a fact; for what is only
excluded, nothing said is nothing against it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matchgraph.domain.capability import DataType
from matchgraph.domain.conditions import FLAG_KEYS
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.pricing import starting_price
from matchgraph.projections.search_index import mark
from matchgraph.projections.words import stem, terms, words

# Whoever asks nothing at first; a freemium offer can be used without paying.
GRATIS = (Pricing.FREE, Pricing.OPEN_SOURCE, Pricing.FREEMIUM)
HAS_KEY = (
    "EXISTS (SELECT FROM capability_listing c WHERE c.artifact_id = l.id AND c.key = {}"
    " AND NOT c.retired)"
)


@dataclass(frozen=True)
class Condition:
    """One condition: the `where` with it alone, and its predicate, whose arguments are numbered
    from 1 on by {} each."""

    name: str
    where: Where
    sql: str
    arguments: tuple[object, ...]


class Arguments(list[object]):
    """The arguments of a statement, numbered as they come."""

    def add(self, value: object) -> str:
        """The place of the argument in the statement."""
        self.append(value)
        return f"${len(self)}"

    def all_of(self, conditions: Sequence[Condition]) -> str:
        """The predicate that all of them hold."""
        return " AND ".join([*(self.of(condition) for condition in conditions), "s.listed"])

    def of(self, condition: Condition) -> str:
        """The predicate with its arguments in place."""
        return f"({condition.sql.format(*map(self.add, condition.arguments))})"


def conditions(where: Where, cheaper_than: Sequence[Price] = ()) -> tuple[Condition, ...]:
    """The conditions given, in the order of their names in `Where`; `cheaper_than` are the prices
    of the artifact that it names."""
    found = []
    for name, value in where.said().items():
        one: dict[str, Any] = {name: value}
        if name == "cheaper_than":
            sql, arguments = _below(cheaper_than)
            found.append(Condition(name, Where(**one), sql, arguments))
        elif isinstance(value, tuple) and name in EACH:
            for entry in value:
                one = {name: (entry,)}
                found.append(Condition(name, Where(**one), *EACH[name](entry)))
        else:
            found.append(Condition(name, Where(**one), *ONE[name](value)))
    return tuple(found)


Predicate = tuple[str, tuple[object, ...]]


def _any_of(column: str) -> Callable[[Sequence[Any]], Predicate]:
    return lambda values: (f"lower({column}) = ANY ({{}})", ([str(v).lower() for v in values],))


def _none_of(column: str) -> Callable[[Any], Predicate]:
    return lambda value: (f"lower({column}) IS DISTINCT FROM {{}}", (str(value).lower(),))


def _is(column: str) -> Callable[[Any], Predicate]:
    return lambda value: (f"{column} IS NOT DISTINCT FROM {{}}::boolean", (value,))


def _can(ability: str) -> Callable[[Any], Predicate]:
    return lambda value: (HAS_KEY if value else f"NOT {HAS_KEY}", (ability,))


def _takes(column: str) -> Callable[[Any], Predicate]:
    return lambda value: (
        f"l.{column} @> ARRAY[{{}}::text] OR EXISTS (SELECT FROM capability_listing c"
        f" WHERE c.artifact_id = l.id AND NOT c.retired AND c.{column} @> ARRAY[{{}}::text])",
        (value.value, value.value),
    )


def _free(value: Any) -> Predicate:
    gratis = "SELECT FROM price_current p WHERE p.artifact_id = l.id AND p.pricing = ANY ({})"
    if value:
        return f"EXISTS ({gratis})", (list(GRATIS),)
    return (
        f"NOT EXISTS ({gratis}) AND EXISTS (SELECT FROM price_current p"
        " WHERE p.artifact_id = l.id AND p.pricing = {})",
        (list(GRATIS), Pricing.PAID.value),
    )


# What is made where that unit is asked for: a free model of words is no cheap picture.
MADE = {Unit.IMAGE: DataType.IMAGE, Unit.VIDEO_SECOND: DataType.VIDEO}


def _asks_at_most(ceiling: Any) -> Predicate:
    return _asks(ceiling, "<=")


def _asks(ceiling: Ceiling, than: str) -> Predicate:
    """Asks that much; or nothing, for something that makes what is asked for."""
    made = MADE.get(ceiling.per)
    gratis = "p.pricing = ANY ({}) AND p.amount IS NULL"
    arguments: tuple[object, ...] = ()
    if made is not None:
        makes, arguments = _takes("output_types")(made)
        gratis = f"{gratis} AND ({makes})"
    return (
        f"EXISTS (SELECT FROM price_current p WHERE p.artifact_id = l.id AND ({gratis}"
        f" OR p.per = {{}} AND p.currency = {{}} AND p.amount {than} {{}}))",
        (
            [Pricing.FREE.value, Pricing.OPEN_SOURCE.value],
            *arguments,
            ceiling.per.value,
            ceiling.currency,
            ceiling.amount,
        ),
    )


def _below(prices: Sequence[Price]) -> Predicate:
    """Cheaper than the lowest that somebody asks, like for like; beside what is only free nothing
    is, and than what nobody knows nothing can be said to be."""
    start = starting_price([price for price in prices if price.amount])
    if start is None or start.amount is None or start.per is None or start.currency is None:
        return "false", ()
    return _asks(Ceiling(amount=start.amount, per=start.per, currency=start.currency), "<")


def _offered_by(values: Sequence[str]) -> Predicate:
    return (
        "EXISTS (SELECT FROM price_current p WHERE p.artifact_id = l.id AND p.provider = ANY ({}))",
        ([value.lower() for value in values],),
    )


def _not_offered_by(value: Any) -> Predicate:
    return (
        "NOT EXISTS (SELECT FROM price_current p WHERE p.artifact_id = l.id AND p.provider = {})",
        (value.lower(),),
    )


HAS_WORDS = (
    "s.artifact IN (SELECT p.artifact FROM search_posting p JOIN search_term t USING (term)"
    " WHERE t.stem = ANY ({}) GROUP BY p.artifact, p.document HAVING count(*) = {}::int)"
)
HAS_WORD = (
    "s.artifact IN (SELECT p.artifact FROM search_posting p JOIN search_term t USING (term)"
    " WHERE t.stem = ANY ({}))"
)


def _has(value: Any) -> Predicate:
    said, arguments = _worded(value, str)
    return f"{HAS_KEY} OR {said}", (_key(value), *arguments)


def _has_not(value: Any) -> Predicate:
    """What only mentions it may well do without it: whoever has it, is about it or needs it may
    not."""
    said, arguments = _worded(value, mark)
    key = _key(value)
    return (f"NOT ({HAS_KEY} OR {said}) AND l.slug <> {{}}", (key, *arguments, key))


def _worded(value: str, as_term: Callable[[str], str]) -> Predicate:
    """All of the words in one document, one of them in the other number, or two written together:
    "API key", "api-keys" and "apikey" are one."""
    apart = re.sub(r"[-_/]", " ", value)
    stems = list(dict.fromkeys(terms(apart)))
    one = "".join(words(apart)) if len(stems) in (1, 2) else ""
    # The stem of "GPUs" is not that of "GPU".
    alone = [stem(way) for way in (one, f"{one}s", one.removesuffix("s")) if one]
    return (
        f"{HAS_WORDS} OR {HAS_WORD}",
        ([as_term(term) for term in stems], len(stems) or -1, [as_term(way) for way in alone]),
    )


def _key(text: str) -> str:
    return "-".join(text.lower().split())


# Conditions of which one entry must hold, or that have one value.
ONE: dict[str, Callable[[Any], Predicate]] = {
    "kinds": _any_of("l.kind"),
    "free": _free,
    "open_weights": _is("l.open_weights"),
    "self_hostable": _is("l.self_hostable"),
    "min_context_tokens": lambda value: ("l.context_tokens >= {}", (value,)),
    "min_output_tokens": lambda value: ("l.output_tokens >= {}", (value,)),
    **{name: _can(key) for name, key in FLAG_KEYS.items()},
    "vendors": _any_of("l.vendor"),
    "families": _any_of("l.family"),
    "providers": _offered_by,
    "licences": _any_of("l.licence"),
    "released_since": lambda value: ("l.released >= {}", (value,)),
    "released_before": lambda value: ("l.released < {}", (value,)),
}
# Conditions each entry of which must hold, or must not.
EACH: dict[str, Callable[[Any], Predicate]] = {
    "not_kinds": _none_of("l.kind"),
    "price_ceilings": _asks_at_most,
    "input_types": _takes("input_types"),
    "output_types": _takes("output_types"),
    "not_vendors": _none_of("l.vendor"),
    "not_families": _none_of("l.family"),
    "not_providers": _not_offered_by,
    "not_licences": _none_of("l.licence"),
    "must_have": _has,
    "must_not_have": _has_not,
}
