"""What each condition lets through: what holds, what does not, and what nobody said."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.conditions import FLAG_KEYS, sentences_of
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.eventstore.connection import Pool
from matchgraph.projections.search_index import Content, mark, of_artifact, of_capability
from matchgraph.projections.words import stem, terms, words
from matchgraph.queries.conditions import EACH, GRATIS, ONE, Arguments, conditions
from matchgraph.servers import Servers
from tests.eventstore.histories import capability, price, provenance
from tests.queries.catalogs import shared

TEXT, IMAGE, PDF, AUDIO = DataType.TEXT, DataType.IMAGE, DataType.PDF, DataType.AUDIO


def made(slug: str, kind: Kind, *said: Any, **facts: Any) -> Artifact:
    """An artifact with these prices and capabilities."""
    one = Artifact.register(slug, kind, Facts(**{"name": slug, **facts}), provenance())
    for value in said:
        (one.observe_price if isinstance(value, Price) else one.add_capability)(value)
    return one


FULL = made(
    "full",
    Kind.MODEL,
    price("0.000001", provider="acme"),
    price("2", provider="acme", per=Unit.MONTH, currency="EUR"),
    capability("tool-calling", description="Calls tools."),
    capability("reasoning", description="Thinks.", requires=("Docker",)),
    capability("structured-output", description="Speaks a schema.", output_types=(PDF,)),
    vendor="Ünï Labs",
    family="Tab",
    licence="MIT",
    open_weights=True,
    self_hostable=True,
    context_tokens=128_000,
    output_tokens=8_000,
    input_types=(TEXT, IMAGE),
    output_types=(TEXT,),
    released=date(2026, 2, 1),
)
LESS = made(
    "less",
    Kind.CLI,
    price(None, provider="bolt", pricing=Pricing.FREE),
    capability("web-search", description="Searches the web.", input_types=(PDF,)),
    vendor="Bolt",
    family="bit",
    licence="GPL-3.0-only",
    open_weights=False,
    self_hostable=False,
    context_tokens=1_000,
    output_tokens=100,
    input_types=(AUDIO,),
    output_types=(AUDIO,),
    released=date(2025, 1, 1),
)
PAID = made("paid", Kind.API, price("0.00001", provider="corp"), description="Runs in docker.")
BARE = made("bare", Kind.API)
UNSAID = made("unsaid", Kind.API, price(None, provider="dark", pricing=Pricing.UNKNOWN))
MIXED = made(
    "mixed",
    Kind.APP,
    price("0", provider="acme", per=Unit.REQUEST),
    price(None, provider="acme", pricing=Pricing.FREEMIUM, tier="trial"),
    price("0.000001", provider="corp", currency="EUR"),
    vendor="bolt",
    licence="mit",
)
RETIRED = made("retired", Kind.MODEL, vendor="Bolt", open_weights=True)
RETIRED.retire("gone")
FORGETFUL = made("forgetful", Kind.MCP, capability("reasoning", input_types=(TEXT,)))
FORGETFUL.retire_capability("reasoning")
CATALOG = (FULL, LESS, PAID, BARE, UNSAID, MIXED, RETIRED, FORGETFUL)
ALL = {one.slug for one in CATALOG} - {"retired"}


@pytest.fixture(scope="module")
def catalog(servers: Servers, template: str) -> Iterator[str]:
    yield from shared(servers, template, CATALOG)


@pytest.fixture
def url(catalog: str) -> str:
    return catalog


async def meeting(pool: Pool, where: Where, cheaper_than: tuple[Price, ...] = ()) -> set[str]:
    """Who meets the conditions."""
    arguments = Arguments()
    rows = await pool.fetch(
        "SELECT l.slug FROM search_artifact s JOIN artifact_listing l ON l.id = s.artifact_id"
        f" WHERE {arguments.all_of(conditions(where, cheaper_than))}",
        *arguments,
    )
    return {row["slug"] for row in rows}


def ceiling(amount: str, per: Unit = Unit.INPUT_TOKEN, currency: str = "USD") -> Ceiling:
    return Ceiling(amount=Decimal(amount), per=per, currency=currency)


MET: list[tuple[Where, set[str]]] = [
    (Where(), ALL),
    (Where(kinds=(Kind.MODEL,)), {"full"}),
    (Where(kinds=(Kind.MODEL, Kind.CLI)), {"full", "less"}),
    (Where(not_kinds=(Kind.MODEL, Kind.API)), {"less", "mixed", "forgetful"}),
    (Where(free=True), {"less", "mixed"}),
    (Where(free=False), {"full", "paid"}),
    (Where(open_weights=True), {"full"}),
    (Where(open_weights=False), {"less"}),
    (Where(self_hostable=True), {"full"}),
    (Where(self_hostable=False), {"less"}),
    (Where(price_ceilings=(ceiling("0.000001"),)), {"full", "less"}),
    (Where(price_ceilings=(ceiling("0.0000009"),)), {"less"}),
    (Where(price_ceilings=(ceiling("1"),)), {"full", "less", "paid"}),
    (Where(price_ceilings=(ceiling("1", currency="EUR"),)), {"less", "mixed"}),
    (Where(price_ceilings=(ceiling("0", Unit.REQUEST),)), {"less", "mixed"}),
    (Where(price_ceilings=(ceiling("1"), ceiling("9", Unit.MONTH, "EUR"))), {"full", "less"}),
    (Where(price_ceilings=(ceiling("1E-900"),)), {"less"}),
    (Where(min_context_tokens=128_000), {"full"}),
    (Where(min_context_tokens=128_001), set()),
    (Where(min_context_tokens=1), {"full", "less"}),
    (Where(min_output_tokens=101), {"full"}),
    (Where(input_types=(TEXT,)), {"full"}),
    (Where(input_types=(TEXT, IMAGE)), {"full"}),
    (Where(input_types=(PDF,)), {"less"}),
    (Where(input_types=(PDF, AUDIO)), {"less"}),
    (Where(input_types=(TEXT, AUDIO)), set()),
    (Where(output_types=(PDF,)), {"full"}),
    (Where(output_types=(AUDIO,)), {"less"}),
    (Where(tool_calling=True), {"full"}),
    (Where(tool_calling=False), ALL - {"full"}),
    (Where(reasoning=True), {"full"}),
    (Where(structured_output=True), {"full"}),
    (Where(structured_output=False), ALL - {"full"}),
    (Where(vendors=("bolt",)), {"less", "mixed"}),
    (Where(vendors=("BOLT", "ünï labs")), {"less", "mixed", "full"}),
    (Where(vendors=("nobody",)), set()),
    (Where(not_vendors=("BOLT",)), ALL - {"less", "mixed"}),
    (Where(not_vendors=("bolt", "ÜNÏ LABS")), ALL - {"less", "mixed", "full"}),
    (Where(families=("TAB", "none")), {"full"}),
    (Where(not_families=("bit",)), ALL - {"less"}),
    (Where(providers=("ACME",)), {"full", "mixed"}),
    (Where(providers=("acme", "corp")), {"full", "mixed", "paid"}),
    (Where(not_providers=("acme", "corp")), {"less", "bare", "unsaid", "forgetful"}),
    (Where(licences=("mit",)), {"full", "mixed"}),
    (Where(not_licences=("MIT",)), ALL - {"full", "mixed"}),
    (Where(must_have=("docker",)), {"full", "paid"}),
    (Where(must_have=("Docker runs",)), {"paid"}),
    (Where(must_have=("docker", "tool-calling")), {"full"}),
    (Where(must_have=("web-search",)), {"less"}),
    (Where(must_have=("Web Search",)), {"less"}),
    (Where(must_have=("reasoning",)), {"full"}),
    (Where(must_have=("...",)), set()),
    (Where(must_have=("the",)), set()),
    # What only mentions a thing may well do without it.
    (Where(must_not_have=("docker",)), ALL - {"full"}),
    (Where(must_not_have=("docker", "web search")), ALL - {"full", "less"}),
    (Where(must_not_have=("Paid",)), ALL - {"paid"}),
    (Where(must_not_have=("...",)), ALL),
    (Where(released_since=date(2026, 2, 1)), {"full"}),
    (Where(released_since=date(2025, 1, 1)), {"full", "less"}),
    (Where(released_before=date(2026, 2, 1)), {"less"}),
    (Where(released_before=date(9999, 12, 31)), {"full", "less"}),
    # together
    (Where(free=True, vendors=("bolt",), not_licences=("mit",)), {"less"}),
    (Where(kinds=(Kind.CLI,), open_weights=True), set()),
]


async def test_each_condition_lets_through_what_holds_and_nothing_that_nobody_said(
    pool: Pool,
) -> None:
    tried: set[str] = set()
    for where, slugs in MET:
        assert await meeting(pool, where) == slugs, where
        tried |= where.said().keys()
    assert tried == (ONE.keys() | EACH.keys()), "every condition is tried"


async def test_cheaper_than_compares_like_with_like(pool: Pool) -> None:
    def prices(one: Artifact) -> tuple[Price, ...]:
        return tuple(one.prices.values())

    for than, slugs in (
        (PAID, {"full", "less"}),
        (FULL, {"less"}),
        (LESS, set()),
        (BARE, set()),
        (UNSAID, set()),
    ):
        where = Where(cheaper_than=than.slug)
        assert await meeting(pool, where, prices(than)) == slugs, than.slug


async def test_texts_from_outside_are_arguments_and_never_statements(pool: Pool) -> None:
    for text in ("'; DROP TABLE event; --", "{}", "%s $1 {0}", "\\", "🔥", "x" * 200):
        for name in ("vendors", "families", "licences", "providers", "must_have"):
            where: dict[str, Any] = {name: (text,)}
            assert await meeting(pool, Where(**where)) == set()
        assert await meeting(pool, Where(must_not_have=(text,))) == ALL


# Any conditions, against what the artifacts themselves say

Holds = Callable[[Artifact, Any], bool]


def _free(one: Artifact, value: bool) -> bool:
    asked = {price.pricing for price in one.prices.values()}
    return bool(asked & set(GRATIS)) is value and (value or Pricing.PAID in asked)


def _asks_at_most(one: Artifact, value: Ceiling) -> bool:
    return any(
        (price.pricing in (Pricing.FREE, Pricing.OPEN_SOURCE) and price.amount is None)
        or (
            (price.per, price.currency) == (value.per, value.currency)
            and price.amount is not None
            and price.amount <= value.amount
        )
        for price in one.prices.values()
    )


def _types(side: str) -> Holds:
    return lambda one, value: any(
        value in (getattr(said, side) or ()) for said in (one.facts, *one.capabilities.values())
    )


def _contents(one: Artifact) -> list[Content]:
    facts = {name: getattr(one.facts, name) for name in Facts.__dataclass_fields__}
    contents = [of_artifact({"slug": one.slug, "kind": one.kind, **facts})]
    contents += [of_capability(said, one.facts.name or "") for said in one.capabilities.values()]
    return contents


def _says(one: Artifact, key: str, wanted: set[str]) -> bool:
    return key in one.capabilities or bool(
        wanted and any(wanted <= content.weights.keys() for content in _contents(one))
    )


def _ways(value: str) -> list[set[str]]:
    """The terms, and two of them as one, in either number."""
    apart = value.replace("-", " ")
    stems = set(terms(apart))
    one = "".join(words(apart))
    alone = (one, f"{one}s", one.removesuffix("s")) if len(stems) in (1, 2) else ()
    return [stems, *({stem(way)} for way in alone)]


def _has(one: Artifact, value: str) -> bool:
    key = "-".join(value.lower().split())
    return any(_says(one, key, way) for way in _ways(value))


def _has_not(one: Artifact, value: str) -> bool:
    key = "-".join(value.lower().split())
    ways = [set(map(mark, way)) for way in _ways(value)]
    return one.slug != key and not any(_says(one, key, way) for way in ways)


def _is_any(name: str) -> Holds:
    def holds(one: Artifact, values: tuple[str, ...]) -> bool:
        said = one.kind if name == "kind" else getattr(one.facts, name)
        return said is not None and said.lower() in {value.lower() for value in values}

    return holds


def _sold_by(one: Artifact, values: tuple[str, ...]) -> bool:
    return bool({price.provider for price in one.prices.values()} & {v.lower() for v in values})


def _not(holds: Holds) -> Holds:
    return lambda one, value: not holds(one, (value,))


def _said(name: str, compare: Callable[[Any, Any], bool]) -> Holds:
    def holds(one: Artifact, value: Any) -> bool:
        said = getattr(one.facts, name)
        return said is not None and compare(said, value)

    return holds


def _can(key: str) -> Holds:
    return lambda one, value: (key in one.capabilities) is value


HOLDS: dict[str, Holds] = {
    "free": _free,
    "price_ceilings": _asks_at_most,
    "open_weights": _said("open_weights", lambda said, value: said is value),
    "self_hostable": _said("self_hostable", lambda said, value: said is value),
    "min_context_tokens": _said("context_tokens", lambda said, value: said >= value),
    "min_output_tokens": _said("output_tokens", lambda said, value: said >= value),
    "released_since": _said("released", lambda said, value: said >= value),
    "released_before": _said("released", lambda said, value: said < value),
    "input_types": _types("input_types"),
    "output_types": _types("output_types"),
    "must_have": _has,
    "must_not_have": _has_not,
    "providers": _sold_by,
    "not_providers": _not(_sold_by),
    **{name: _can(key) for name, key in FLAG_KEYS.items()},
}
for plural, fact in (
    ("kinds", "kind"),
    ("vendors", "vendor"),
    ("families", "family"),
    ("licences", "licence"),
):
    HOLDS[plural] = _is_any(fact)
    HOLDS[f"not_{plural}"] = _not(_is_any(fact))


def holds(one: Artifact, where: Where) -> bool:
    """Whether the artifact meets all conditions, by what it says of itself."""
    return all(
        all(HOLDS[name](one, entry) for entry in value)  # type: ignore[attr-defined]
        if name in EACH
        else HOLDS[name](one, value)
        for name, value in where.said().items()
    )


_flag = st.none() | st.booleans()
_name = st.sampled_from(
    ["bolt", "Bolt", "ÜNÏ labs", "tab", "MIT", "GPL-3.0-only", "acme", "corp", "x", "{}"]
)
_names = st.lists(_name, max_size=2).map(tuple)
_kinds = st.lists(st.sampled_from(Kind), max_size=3).map(tuple)
_types_ = st.lists(st.sampled_from([TEXT, IMAGE, PDF, AUDIO]), max_size=2).map(tuple)
_tokens = st.none() | st.sampled_from([1, 1_000, 8_000, 128_000, 2**40])
_days = st.none() | st.sampled_from([date(2025, 1, 1), date(2026, 2, 1), date(2026, 2, 2)])
_phrases = st.lists(
    st.sampled_from(
        ["docker", "web-search", "web search", "runs docker", "tools", "reasoning", "paid", "?"]
    ),
    max_size=2,
).map(tuple)
_ceiling = st.builds(
    Ceiling,
    amount=st.sampled_from(["0", "0.000001", "2", "1E+30"]).map(Decimal),
    per=st.sampled_from([Unit.INPUT_TOKEN, Unit.MONTH, Unit.REQUEST]),
    currency=st.sampled_from(["USD", "EUR"]),
)
SAID: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("kinds", "not_kinds"), _kinds),
    **dict.fromkeys(("free", "open_weights", "self_hostable", *FLAG_KEYS), _flag),
    **dict.fromkeys(("min_context_tokens", "min_output_tokens"), _tokens),
    **dict.fromkeys(("input_types", "output_types"), _types_),
    **dict.fromkeys(("must_have", "must_not_have"), _phrases),
    **dict.fromkeys(("released_since", "released_before"), _days),
    **{
        name: _names
        for plural in ("vendors", "families", "providers", "licences")
        for name in (plural, f"not_{plural}")
    },
    "price_ceilings": st.lists(_ceiling, max_size=2).map(tuple),
}
# One to three conditions at a time: with more, nothing would be left to tell apart.
_wheres = st.lists(st.sampled_from(sorted(SAID)), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: SAID[name] for name in names}).map(
        lambda said: Where(**said)
    )
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_wheres)
async def test_whatever_is_asked_lets_through_whom_the_facts_let_through(
    pool: Pool, where: Where
) -> None:
    offered = [one for one in CATALOG if one.slug in ALL]
    assert await meeting(pool, where) == {one.slug for one in offered if holds(one, where)}
    one_each = conditions(where)
    assert {condition.name for condition in one_each} == where.said().keys()
    for condition in one_each:
        # Each says of itself what it asks, and nothing of the others.
        assert sentences_of(condition.where).keys() == {condition.name}
