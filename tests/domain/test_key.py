"""A key: issued once, revoked for good, and known by a digest."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from matchgraph.domain.errors import BadExpiry, BadText
from matchgraph.domain.key import LONGEST, Key, digest_of, id_of
from matchgraph.domain.role import Role
from tests.domain.given import fact, given, happened

SECRET = "the secret of a key"
SOON = datetime.now(UTC) + timedelta(days=30)


def issued(name: str = "Ann", expires: datetime | None = None) -> Key:
    return Key.issue("aaaabbbbcccc", name, Role.CURATOR, digest_of(SECRET), expires)


def test_a_key_is_issued_with_what_it_is_known_by_and_not_with_its_secret() -> None:
    key = issued(" Ann ", SOON)
    assert key.id == id_of("aaaabbbbcccc")
    ((event, said),) = happened(key)
    assert event is Key.Issued
    assert (said["key"], said["name"], said["role"], said["expires"]) == (
        *("aaaabbbbcccc", "Ann"),
        *(Role.CURATOR, SOON),
    )
    assert said["digest"] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert SECRET not in str(said)


def test_a_key_admits_its_secret_alone() -> None:
    key = issued()
    assert key.admits(SECRET)
    for wrong in ("", SECRET[:-1], f"{SECRET} ", digest_of(SECRET), "ſ" * 43):
        assert not key.admits(wrong)


def test_a_key_is_revoked_once() -> None:
    key = given(issued())
    key.revoke()
    key.revoke()
    assert key.revoked
    assert happened(key) == [fact(Key.Revoked)]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b", "\ud800"])
def test_a_key_needs_a_name_that_a_person_can_read(name: str) -> None:
    with pytest.raises(BadText):
        issued(name)


@pytest.mark.parametrize(
    ("expires", "reason"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "passed"),
        (datetime.now(UTC), "passed"),
        (datetime(2030, 1, 1), "time zone"),
        (datetime.now(UTC) + LONGEST + timedelta(days=1), "ten years"),
        (datetime.max.replace(tzinfo=UTC), "ten years"),
    ],
)
def test_a_key_expires_neither_in_the_past_nor_in_a_far_future(
    expires: datetime, reason: str
) -> None:
    with pytest.raises(BadExpiry, match=reason):
        issued(expires=expires)
