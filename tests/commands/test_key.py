"""Keys are shown once, and history has nothing that lets anybody in."""

import hashlib
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from faults.proxy import Cut, Proxy
from matchgraph.commands import key as commands
from matchgraph.domain.errors import BadText, UnknownKey
from matchgraph.domain.key import Key, id_of
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.errors import KeyReused, OutcomeUnknown
from matchgraph.eventstore.store import Request, Store, open_store


async def loaded(store: Store, id: str) -> Key:
    key = await store.load(id_of(id))
    assert isinstance(key, Key)
    return key


async def test_a_key_is_shown_whole_and_known_by_its_digest(
    store: Store, pool: Pool, request_by: Request
) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    issued = await commands.issue(store, request_by, "Ann", Role.AUDITOR, soon)
    assert issued.key is not None
    found = commands.read(issued.key)
    assert found is not None
    id, secret = found
    assert id == issued.id
    key = await loaded(store, id)
    assert (key.name, key.role, key.expires) == ("Ann", Role.AUDITOR, soon)
    assert key.admits(secret)
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    (recorded,) = await store.read(0)
    assert (recorded.position, recorded.actor) == (issued.position, "tester")
    for table in ("event", "command"):
        for row in await pool.fetch(f"SELECT t::text FROM {table} t"):
            assert secret not in row[0]
    assert secret not in repr(issued)


async def test_no_two_keys_are_alike(store: Store, request_by: Request) -> None:
    found = [await commands.issue(store, request_by, "Ann", Role.CURATOR) for _ in range(20)]
    assert len({one.id for one in found}) == len({one.key for one in found}) == 20


async def test_a_call_that_is_repeated_issues_one_key_and_shows_it_once(
    store: Store, request_by: Request
) -> None:
    keyed = replace(request_by, idempotency_key="once")
    first = await commands.issue(store, keyed, "Ann", Role.CURATOR)
    again = await commands.issue(store, keyed, "Ann", Role.CURATOR)
    assert first.key is not None
    assert (again.id, again.position, again.key) == (first.id, first.position, None)
    assert await store.head() == 1
    with pytest.raises(KeyReused):
        await commands.issue(store, keyed, "Ann", Role.OPERATOR)


async def test_a_revoked_key_stays_revoked(store: Store, request_by: Request) -> None:
    issued = await commands.issue(store, request_by, "Ann", Role.CURATOR)
    position = await commands.revoke(store, request_by, issued.id)
    assert position == issued.position + 1
    assert (await loaded(store, issued.id)).revoked
    assert await commands.revoke(store, request_by, issued.id) == position
    assert await store.head() == position


async def test_what_is_no_key_cannot_be_revoked_and_a_whole_key_is_not_repeated(
    store: Store, request_by: Request
) -> None:
    issued = await commands.issue(store, request_by, "Ann", Role.CURATOR)
    assert issued.key is not None
    for id in ("", "nothing", "\ud800", issued.key):
        with pytest.raises(UnknownKey) as refused:
            await commands.revoke(store, request_by, id)
        assert issued.key[len("mg_aaaabbbbcccc_") :] not in str(refused.value)
    with pytest.raises(BadText):
        await commands.issue(store, request_by, "", Role.CURATOR)
    assert await store.head() == 1


@pytest.mark.parametrize(
    "written",
    [
        *("", "mg_", "mg_aaaabbbbcccc", "mg_aaaabbbbcccc_short", " mg_aaaabbbbcccc_" + "x" * 43),
        *("MG_aaaabbbbcccc_" + "x" * 43, "mg_aaaabbbbccc1_" + "x" * 43, "mg_" + "a" * 56),
        *("mg_aaaabbbbcccc_" + "x" * 44, "mg_aaaabbbbcccc_" + "x" * 42 + "."),
    ],
)
def test_what_is_written_otherwise_is_no_key(written: str) -> None:
    assert commands.read(written) is None
    assert commands.read(f"mg_aaaabbbbcccc_{'x_-' * 14}x") == ("aaaabbbbcccc", f"{'x_-' * 14}x")


async def test_a_key_that_is_in_the_log_and_cannot_be_read_back_is_not_said_to_have_failed(
    url: str,
) -> None:
    plan = [Cut.BEFORE]
    reading_back = (b"WHERE position > $1 AND position <= $2 ORDER BY position",)
    request = Request(actor="tester", request_id="test", idempotency_key="once")
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        async with (
            Proxy(url, Path(folder), lambda: plan.pop() if plan else None, reading_back) as proxy,
            open_store(proxy.url) as store,
        ):
            with pytest.raises(OutcomeUnknown, match="recorded at position 1"):
                await commands.issue(store, request, "somebody", Role.AUDITOR)
            issued = await commands.issue(store, request, "somebody", Role.AUDITOR)
            assert (issued.position, issued.key) == (1, None)
            assert await store.head() == 1
