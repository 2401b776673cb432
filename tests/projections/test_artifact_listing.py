"""What is in the catalog, and under which slugs."""

from datetime import date

from hypothesis import given, settings

from matchgraph.domain.artifact import Alias, Facts, Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.provenance import Method
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.artifact_listing import ARTIFACT_LISTING, FACTS
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, capability, day, provenance, worlds
from tests.projections.tables import BY, projected, values

ONLY = (ARTIFACT_LISTING,)


async def test_a_registered_artifact_is_listed_with_everything_said_of_it(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact(
        description="Reads documents.",
        open_weights=False,
        released=date(2026, 2, 28),
        last_release=date(2026, 3, 31),
        context_tokens=10**11,
        input_types=(DataType.TEXT, DataType.PDF),
        output_types=(),
    )
    await store.append([artifact("another"), made], BY)
    await project(url, store, ONLY)
    row = await pool.fetchrow("SELECT * FROM artifact_listing WHERE slug = 'parser'")
    assert row is not None
    assert dict(row) == {
        **dict.fromkeys(FACTS),
        "id": made.id,
        "slug": "parser",
        "kind": Kind.MODEL,
        "name": "parser",
        "description": "Reads documents.",
        "open_weights": False,
        "released": date(2026, 2, 28),
        "last_release": date(2026, 3, 31),
        "context_tokens": 10**11,
        "input_types": ["text", "pdf"],
        "output_types": [],
        "status": "active",
        "leads_to": None,
        "method": "declared",
        "source": "https://example.org",
        "observed_at": day(0),
        "registered_at": made.created_on,
        "changed_at": made.created_on,
        "registered_position": 2,
        "position": 2,
    }


async def test_a_description_changes_what_it_says_and_nothing_else(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact(vendor="acme", family="parsers")
    await store.append([made], BY)
    made.describe(Facts(vendor="Acme Inc."), provenance(Method.DECLARED, on=1))
    made.add_capability(capability())
    await store.append([made], BY)
    await project(url, store, ONLY)
    (row,) = await pool.fetch("SELECT * FROM artifact_listing")
    assert values(row, "vendor", "family", "name") == ("Acme Inc.", "parsers", "parser")
    assert values(row, "registered_position", "position", "observed_at") == (1, 2, day(1))
    assert row["changed_at"] > row["registered_at"]


async def test_status_follows_retiring_merging_and_their_undoing(
    url: str, store: Store, pool: Pool
) -> None:
    one, two = artifact("one"), artifact("two")
    await store.append([one, two], BY)

    async def listed() -> tuple[object, ...]:
        await store.append([one], BY)
        await project(url, store, ONLY)
        row = await pool.fetchrow("SELECT * FROM artifact_listing WHERE slug = 'one'")
        assert row is not None
        return values(row, "status", "leads_to", "position")

    assert await listed() == ("active", None, 1)
    one.retire("superseded")
    assert await listed() == ("retired", None, 3)
    one.reinstate()
    assert await listed() == ("active", None, 4)
    one.merge(two)
    assert await listed() == ("merged", two.id, 5)
    one.unmerge(two)
    assert await listed() == ("active", None, 6)


async def test_an_alias_leads_somewhere_then_nowhere_then_elsewhere(
    url: str, store: Store, pool: Pool
) -> None:
    one, two = artifact("one"), artifact("two")
    alias = Alias.of("uno", one.id)
    await store.append([one, two], BY)

    async def listed() -> list[tuple[object, ...]]:
        await store.append([alias], BY)
        await project(url, store, ONLY)
        return [
            values(row, "slug", "id", "artifact_id", "position")
            for row in await pool.fetch("SELECT * FROM artifact_alias")
        ]

    assert await listed() == [("uno", alias.id, one.id, 3)]
    alias.remove()
    assert await listed() == [("uno", alias.id, None, 4)]
    alias.lead_to(two.id)
    assert await listed() == [("uno", alias.id, two.id, 5)]
    assert await pool.fetchval("SELECT count(*) FROM artifact_listing") == 2


@settings(max_examples=12, deadline=None)
@given(worlds())
async def test_the_listing_says_what_the_artifacts_themselves_say(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await db.fetch("SELECT * FROM artifact_listing")
        listed = {row["slug"]: row for row in rows}
        assert listed.keys() == world.artifacts.keys()
        for slug, made in world.artifacts.items():
            row = listed[slug]
            assert values(row, "id", "kind", "status", "leads_to", "registered_at") == (
                made.id,
                made.kind,
                made.status,
                made.into,
                made.created_on,
            )
            for name in FACTS:
                said = getattr(made.facts, name)
                assert row[name] == (list(said) if isinstance(said, tuple) else said)
        aliases = await db.fetch("SELECT slug, id, artifact_id FROM artifact_alias")
        assert {tuple(row) for row in aliases} == {
            (slug, alias.id, alias.artifact_id) for slug, alias in world.aliases.items()
        }
