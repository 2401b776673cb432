"""What is in the catalog: by slug, by id, and listed by filter and order."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from matchgraph.domain.artifact import Facts, Kind, Status
from matchgraph.domain.capability import DataType
from matchgraph.domain.price import Pricing
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.queries import page as pages
from matchgraph.queries.page import Page
from matchgraph.queries.snapshot import Snapshot

FACTS = tuple(field.name for field in fields(Facts))
COLUMNS = ", ".join(
    f"l.{column}"
    for column in (
        *("id", "slug", "kind", "status", *FACTS, "method", "source", "observed_at"),
        *("registered_at", "changed_at", "registered_position", "position"),
    )
)
# An alias or a merged artifact leads on to the one it stands for, over any number of steps.
LED_TO = """
WITH RECURSIVE led (asked, id) AS (
  SELECT asked, coalesce(l.id, a.artifact_id)
  FROM unnest($1::text[]) AS asked
  LEFT JOIN artifact_listing l ON l.slug = asked
  LEFT JOIN artifact_alias a ON a.slug = asked
  UNION
  SELECT led.asked, l.leads_to FROM led JOIN artifact_listing l ON l.id = led.id
  WHERE l.leads_to IS NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """One artifact as the catalog lists it."""

    id: UUID
    slug: str
    kind: Kind
    status: Status
    facts: Facts
    provenance: Provenance
    registered_at: datetime
    changed_at: datetime
    registered_position: int
    position: int


class Order(StrEnum):
    """How a list of artifacts is ordered; ties go by slug."""

    SLUG = "slug"
    NEWEST_RELEASE = "newest_release"
    NEWEST_REGISTRATION = "newest_registration"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which artifacts are meant; what is None does not matter."""

    kinds: Sequence[Kind] | None = None
    statuses: Sequence[Status] = (Status.ACTIVE,)
    vendors: Sequence[str] | None = None
    families: Sequence[str] | None = None
    licences: Sequence[str] | None = None
    open_weights: bool | None = None
    self_hostable: bool | None = None
    pricing: Sequence[Pricing] | None = None
    providers: Sequence[str] | None = None
    capabilities: Sequence[str] | None = None
    input_types: Sequence[DataType] | None = None
    output_types: Sequence[DataType] | None = None
    min_context_tokens: int | None = None
    released_since: date | None = None
    name_contains: str | None = None


async def by_slugs(snapshot: Snapshot, slugs: Sequence[str]) -> list[Listing | None]:
    """The artifacts that the slugs lead to, in the order asked; None where there is none."""
    rows = await snapshot.fetch(
        f"{LED_TO} SELECT led.asked, {COLUMNS} FROM led JOIN artifact_listing l USING (id)"
        " WHERE l.leads_to IS NULL",
        list(slugs),
    )
    found = {row["asked"]: listing_of(row) for row in rows}
    return [found.get(slug) for slug in slugs]


async def by_ids(snapshot: Snapshot, ids: Sequence[UUID]) -> list[Listing | None]:
    """The artifacts with these ids, in the order asked; None where there is none."""
    rows = await snapshot.fetch(
        f"SELECT {COLUMNS} FROM artifact_listing l WHERE l.id = ANY ($1)", list(ids)
    )
    found = {row["id"]: listing_of(row) for row in rows}
    return [found.get(id) for id in ids]


async def aliases(snapshot: Snapshot, ids: Sequence[UUID]) -> list[list[str]]:
    """The other slugs that lead to each artifact, by alphabet."""
    rows = await snapshot.fetch(
        "SELECT artifact_id, array_agg(slug ORDER BY slug) AS slugs FROM artifact_alias"
        " WHERE artifact_id = ANY ($1) GROUP BY artifact_id",
        list(ids),
    )
    found = {row["artifact_id"]: row["slugs"] for row in rows}
    return [found.get(id, []) for id in ids]


async def listed(
    snapshot: Snapshot, filter: Filter, order: Order, first: int, after: str | None
) -> Page[Listing]:
    """One page of the artifacts meant. Raises: BadPageSize, BadCursor, Unavailable."""
    first = pages.size(first)
    led = _led_by(filter) if order is Order.SLUG else None
    rest: dict[str, Any] = {} if led is None else {led: None}
    conditions, arguments = _conditions(replace(filter, **rest))
    stretches = ["true"]
    if after is not None:
        key = _key(order, after)
        arguments.extend(key)
        stretches = _behind(order, key, len(arguments))
    some = f"ORDER BY {ORDERS[order]} LIMIT {first + 1}"
    if led is None:
        source = " UNION ALL ".join(
            f"(SELECT * FROM artifact_listing l WHERE {_all(*conditions, stretch)} {some})"
            for stretch in stretches
        )
    else:
        arguments.append(list(dict.fromkeys(getattr(filter, led))))
        own = f"l.{LEADING[led]} = led.value"
        source = (
            f"SELECT l.* FROM unnest(${len(arguments)}::text[]) AS led (value) CROSS JOIN LATERAL"
            f" (SELECT * FROM artifact_listing l WHERE {_all(own, *conditions, *stretches)} {some})"
            " AS l"
        )
    rows = await snapshot.fetch(f"SELECT {COLUMNS} FROM ({source}) AS l {some}", *arguments)
    found = [listing_of(row) for row in rows]
    return pages.page(found, first, lambda listing: _cursor(order, listing))


async def count(snapshot: Snapshot, filter: Filter) -> int:
    """How many artifacts are meant. Raises: Unavailable."""
    conditions, arguments = _conditions(filter)
    rows = await snapshot.fetch(
        f"SELECT count(*) FROM artifact_listing l WHERE {_all(*conditions)}", *arguments
    )
    return int(rows[0][0])


# By alphabet, each value of one of these has an index with its artifacts in order, so a page of it
# is the first rows of few stretches, however many artifacts there are. The first that is given, as
# the one that says most, is taken.
LEADING = {"families": "family", "vendors": "vendor", "licences": "licence", "kinds": "kind"}
ORDERS = {
    Order.SLUG: "l.slug",
    Order.NEWEST_RELEASE: "l.released DESC NULLS LAST, l.slug",
    Order.NEWEST_REGISTRATION: "l.registered_position DESC",
}


def _cursor(order: Order, listing: Listing) -> str:
    match order:
        case Order.SLUG:
            return pages.encode(order, [listing.slug])
        case Order.NEWEST_RELEASE:
            return pages.encode(order, [listing.facts.released, listing.slug])
        case Order.NEWEST_REGISTRATION:
            return pages.encode(order, [listing.registered_position])


def _key(order: Order, cursor: str) -> tuple[object, ...]:
    match order:
        case Order.SLUG:
            return pages.decode(order, cursor, str)
        case Order.NEWEST_RELEASE:
            return pages.decode(order, cursor, date | None, str)  # type: ignore[arg-type]
        case Order.NEWEST_REGISTRATION:
            return pages.decode(order, cursor, int)


def _behind(order: Order, key: Sequence[object], last: int) -> list[str]:
    """What comes after the sort key, which is in the arguments up to number `last`: in stretches
    that an index has in one piece each, in their order."""
    match order:
        case Order.SLUG:
            return [f"l.slug > ${last}"]
        case Order.NEWEST_RELEASE:
            day, slug = f"${last - 1}::date", f"${last}"
            if key[0] is None:
                return [f"{day} IS NULL AND l.released IS NULL AND l.slug > {slug}"]
            return [
                f"l.released = {day} AND l.slug > {slug}",
                f"l.released < {day}",
                "l.released IS NULL",
            ]
        case Order.NEWEST_REGISTRATION:
            return [f"l.registered_position < ${last}"]


def _led_by(filter: Filter) -> str | None:
    return next((name for name in LEADING if getattr(filter, name)), None)


def _all(*conditions: str) -> str:
    return " AND ".join(conditions)


def _conditions(filter: Filter) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    arguments: list[object] = []

    def add(condition: str, value: object) -> None:
        if value is not None:
            arguments.append(list(value) if isinstance(value, (list, tuple)) else value)
            conditions.append(condition.format(f"${len(arguments)}"))

    if tuple(filter.statuses) == (Status.ACTIVE,):
        # Spelled out, so that the partial indexes are seen to fit.
        conditions.append("l.status = 'active'")
    else:
        add("l.status = ANY ({})", filter.statuses)
    add("l.kind = ANY ({})", filter.kinds)
    add("l.vendor = ANY ({})", filter.vendors)
    add("l.family = ANY ({})", filter.families)
    add("l.licence = ANY ({})", filter.licences)
    add("l.open_weights = {}", filter.open_weights)
    add("l.self_hostable = {}", filter.self_hostable)
    add(
        "EXISTS (SELECT FROM price_current p WHERE p.artifact_id = l.id AND p.pricing = ANY ({}))",
        filter.pricing,
    )
    add(
        "EXISTS (SELECT FROM price_current p WHERE p.artifact_id = l.id AND p.provider = ANY ({}))",
        filter.providers,
    )
    for key in filter.capabilities or ():
        add(
            "EXISTS (SELECT FROM capability_listing c WHERE c.artifact_id = l.id"
            " AND c.key = {} AND NOT c.retired)",
            key,
        )
    add("l.input_types @> {}", filter.input_types)
    add("l.output_types @> {}", filter.output_types)
    add("l.context_tokens >= {}", filter.min_context_tokens)
    add("l.released >= {}", filter.released_since)
    add("strpos(lower(l.name), lower({})) > 0", filter.name_contains)
    return conditions, arguments


def listing_of(row: asyncpg.Record) -> Listing:
    """The artifact in a row of artifact_listing."""
    return Listing(
        id=row["id"],
        slug=row["slug"],
        kind=Kind(row["kind"]),
        status=Status(row["status"]),
        facts=Facts(
            **{
                **{name: row[name] for name in FACTS},
                "input_types": _types(row["input_types"]),
                "output_types": _types(row["output_types"]),
            }
        ),
        provenance=Provenance(
            method=Method(row["method"]), source=row["source"], observed_at=row["observed_at"]
        ),
        registered_at=row["registered_at"],
        changed_at=row["changed_at"],
        registered_position=row["registered_position"],
        position=row["position"],
    )


def _types(names: list[str] | None) -> tuple[DataType, ...] | None:
    return None if names is None else tuple(DataType(name) for name in names)
