"""Which keys were issued, and which were revoked."""

from datetime import UTC, datetime, timedelta

from matchgraph.domain.key import Key, digest_of
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool, connect
from matchgraph.eventstore.store import REVOKED, Store
from matchgraph.projections.api_key import API_KEY
from tests.conftest import project
from tests.eventstore.histories import until
from tests.projections.tables import BY, contents, rebuilt

ONLY = (API_KEY,)


def key(id: str, role: Role = Role.CURATOR, expires: datetime | None = None) -> Key:
    return Key.issue(id, f"owner of {id}", role, digest_of("secret"), expires)


async def test_every_key_is_listed_without_its_digest(url: str, store: Store, pool: Pool) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    one, other, late = key("one"), key("other", Role.OPERATOR, soon), key("late")
    one.revoke()
    await store.append([one, other, late], BY)
    await project(url, store, ONLY)
    late.revoke()
    await store.append([late], BY)
    await project(url, store, ONLY)
    rows = await pool.fetch(
        "SELECT id, name, role, expires, issued, revoked FROM api_key ORDER BY issued"
    )
    assert [tuple(row) for row in rows] == [
        ("one", "owner of one", "curator", None, 1, 2),
        ("other", "owner of other", "operator", soon, 3, None),
        ("late", "owner of late", "curator", None, 4, 5),
    ]
    assert digest_of("secret") not in str(await pool.fetch("SELECT * FROM api_key"))


async def test_a_page_of_any_size_and_a_rebuild_give_the_same_rows(url: str, store: Store) -> None:
    keys = [key(f"k{number}") for number in range(120)]
    await store.append(keys, BY)
    for one in keys[::2]:
        one.revoke()
    await store.append(keys[::2], BY)
    await project(url, store, page=7)
    held = (await contents(url))["api_key"]
    assert len(held) == 120
    assert (await rebuilt(url))["api_key"] == held


async def test_a_revocation_is_announced_and_an_issue_is_not(url: str, store: Store) -> None:
    one = key("one")
    db = await connect(url, "test")
    heard: list[str] = []
    await db.add_listener(REVOKED, lambda *said: heard.append(str(said[2])))

    async def announced() -> bool:
        await db.execute("SELECT")
        return bool(heard)

    await store.append([one], BY)
    await project(url, store, ONLY)
    assert not await announced()
    one.revoke()
    await store.append([one], BY)
    await project(url, store, ONLY)
    await until(announced)
    assert heard == [REVOKED]
    await db.close()
