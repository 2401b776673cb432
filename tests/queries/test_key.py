"""Keys, the newest first, with who issued and revoked them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from matchgraph.domain.key import Key, digest_of
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Request, Store
from matchgraph.projections.api_key import API_KEY
from matchgraph.queries.key import KeyStatus, listed, revoked_after
from matchgraph.queries.page import BadCursor, BadPageSize
from matchgraph.queries.snapshot import viewing
from tests.conftest import project


def key(id: str, expires: datetime | None = None) -> Key:
    return Key.issue(id, f"owner of {id}", Role.CURATOR, digest_of("secret"), expires)


async def test_keys_are_listed_with_their_story(url: str, store: Store, pool: Pool) -> None:
    ann, bob = (Request(actor=name, request_id="test") for name in ("ann", "bob"))
    short = datetime.now(UTC) + timedelta(milliseconds=200)
    one, other, brief = key("one"), key("other"), key("brief", short)
    await store.append([one, other, brief], ann)
    other.revoke()
    await store.append([other], bob)
    await project(url, store, (API_KEY,))
    await asyncio.sleep(0.3)  # until the brief one has expired
    async with viewing(pool) as snapshot:
        page = await listed(snapshot, 10)
        assert not page.more
        found = [value for _, value in page.items]
        assert [(f.id, f.status, f.issued_by, f.revoked_by, f.position) for f in found] == [
            ("brief", KeyStatus.EXPIRED, "ann", None, 3),
            ("other", KeyStatus.REVOKED, "ann", "bob", 2),
            ("one", KeyStatus.ACTIVE, "ann", None, 1),
        ]
        assert found[1].revoked_at is not None
        assert found[1].issued_at < found[1].revoked_at
        assert (found[2].role, found[2].name) == (Role.CURATOR, "owner of one")
        assert list(await revoked_after(snapshot, 0)) == [("other", 4)]
        assert list(await revoked_after(snapshot, 4)) == []


async def test_keys_are_paged_by_cursor(url: str, store: Store, pool: Pool) -> None:
    by = Request(actor="ann", request_id="test")
    await store.append([key(f"k{number}") for number in range(7)], by)
    await project(url, store, (API_KEY,))
    async with viewing(pool) as snapshot:
        found: list[str] = []
        after = None
        while True:
            page = await listed(snapshot, 3, after)
            found += [value.id for _, value in page.items]
            if not page.more:
                break
            after = page.items[-1][0]
        assert found == [f"k{number}" for number in reversed(range(7))]
        for cursor in ("", "x", "WyJrZXlzIiwieCJd"):
            with pytest.raises(BadCursor):
                await listed(snapshot, 3, cursor)
        for first in (0, 101):
            with pytest.raises(BadPageSize):
                await listed(snapshot, first)
