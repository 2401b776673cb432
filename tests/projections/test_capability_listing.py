"""What each artifact can do, who says so, and what it can do no longer."""

from hypothesis import given, settings

from matchgraph.domain.capability import DataType
from matchgraph.domain.provenance import Method
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.projections.capability_listing import CAPABILITY_LISTING
from tests.conftest import project
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import World, artifact, capability, day, provenance, worlds
from tests.projections.tables import BY, projected, values

ONLY = (CAPABILITY_LISTING,)


async def test_an_added_capability_is_listed_with_everything_said_of_it(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.add_capability(
        capability(
            unique="Merged cells",
            versus_alternatives="Slower",
            intents=("read an invoice", "read a receipt"),
            best_for=("scans",),
            limitations=("handwriting",),
            requires=("a key",),
            input_types=(DataType.PDF, DataType.IMAGE),
            output_types=(DataType.TABLE,),
            tags=("ocr",),
            provenance=provenance(Method.OBSERVED, on=2),
        )
    )
    await store.append([made], BY)
    await project(url, store, ONLY)
    (row,) = await pool.fetch("SELECT * FROM capability_listing")
    assert dict(row) == {
        "artifact_id": made.id,
        "key": "parse-tables",
        "name": "parse-tables",
        "description": "Reads tables.",
        "unique_claim": "Merged cells",
        "versus_alternatives": "Slower",
        "intents": ["read an invoice", "read a receipt"],
        "best_for": ["scans"],
        "limitations": ["handwriting"],
        "requires": ["a key"],
        "input_types": ["pdf", "image"],
        "output_types": ["table"],
        "tags": ["ocr"],
        "method": "observed",
        "source": "https://example.org",
        "observed_at": day(2),
        "retired": False,
        "added_position": 2,
        "position": 2,
    }


async def test_a_capability_keeps_its_place_when_revised_and_when_it_comes_back(
    url: str, store: Store, pool: Pool
) -> None:
    made = artifact()
    made.add_capability(capability("first", unique="at first"))
    made.add_capability(capability("second"))
    shown = ("key", "name", "unique_claim", "retired", "added_position", "position")

    async def listed() -> list[tuple[object, ...]]:
        await store.append([made], BY)
        await project(url, store, ONLY)
        rows = await pool.fetch("SELECT * FROM capability_listing ORDER BY added_position")
        return [values(row, *shown) for row in rows]

    second = ("second", "second", None, False, 3, 3)
    assert await listed() == [("first", "first", "at first", False, 2, 2), second]
    made.revise_capability(capability("first", name="First"))
    assert await listed() == [("first", "First", None, False, 2, 4), second]
    made.retire_capability("first")
    assert await listed() == [("first", "First", None, True, 2, 5), second]
    made.revise_capability(capability("first", name="Again"))
    assert await listed() == [("first", "Again", None, False, 2, 6), second]


async def test_all_of_that_at_once_ends_the_same(url: str, store: Store, pool: Pool) -> None:
    made = artifact()
    made.add_capability(capability("first"))
    made.retire_capability("first")
    made.revise_capability(capability("first", name="Again"))
    made.add_capability(capability("second"))
    made.revise_capability(capability("second", name="Gone"))
    made.retire_capability("second")
    await store.append([made], BY)
    await project(url, store, ONLY)
    rows = await pool.fetch("SELECT * FROM capability_listing ORDER BY added_position")
    assert [
        values(row, "key", "name", "retired", "added_position", "position") for row in rows
    ] == [
        ("first", "Again", False, 2, 4),
        ("second", "Gone", True, 5, 7),
    ]


@settings(max_examples=12, deadline=None)
@given(worlds())
async def test_the_listing_says_what_the_artifacts_themselves_say(
    clones: Clones, world: World
) -> None:
    async with projected(clones, world) as db:
        rows = await db.fetch(
            "SELECT artifact_id, key, name, unique_claim, intents, tags, output_types, method,"
            " source, observed_at, retired FROM capability_listing"
        )
        assert sorted(map(tuple, rows), key=repr) == sorted(
            (
                (
                    made.id,
                    c.key,
                    c.name,
                    c.unique,
                    list(c.intents),
                    list(c.tags),
                    [str(one) for one in c.output_types],
                    str(c.provenance.method),
                    c.provenance.source,
                    c.provenance.observed_at,
                    retired,
                )
                for made in world.artifacts.values()
                for retired, some in (
                    (False, made.capabilities),
                    (True, made.retired_capabilities),
                )
                for c in some.values()
            ),
            key=repr,
        )
