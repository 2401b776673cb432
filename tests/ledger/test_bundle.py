"""A bundle proves itself; whatever is done to it is found, and said where."""

import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from matchgraph.eventstore.connection import Connection, connect
from matchgraph.eventstore.store import Store, open_store
from matchgraph.ledger import bundle
from matchgraph.ledger import store as tables
from matchgraph.ledger.bundle import BadBundle, Broken, check, export
from matchgraph.ledger.head import BadHead, Head, Signer, new_key, signers
from matchgraph.ledger.proof import NotSigned
from matchgraph.ledger.store import NoProof
from matchgraph.ledger.watch import NEW, Watch, course
from tests.eventstore.conftest import Clones
from tests.eventstore.histories import artifact
from tests.ledger.logs import KEY, filled, rechained, tampering
from tests.projections.tables import BY

(SIGNER,) = signers([KEY])
KEYS = {SIGNER.id: SIGNER.public_key}


async def sign(store: Store, db: Connection, signer: Signer = SIGNER) -> Head:
    """Signs the log as it is."""
    watch = Watch("", store.listener, [signer])
    await tables.keep_keys(db, [(signer.id, signer.public_key)])
    new = await course(db, NEW)
    while await watch.follow(db, new):
        pass
    assert await watch.sign(db, new)
    head = await tables.newest(db)
    assert head is not None
    return head


async def written(db: Connection, *range: int, head: Head | None = None) -> bytes:
    out = io.BytesIO()
    await export(db, out, *range, head=head)
    return out.getvalue()


def checked(data: bytes, **said: Any) -> bundle.Checked:
    return check(io.BytesIO(data), **said)


def refused(data: bytes, **said: Any) -> BadBundle:
    with pytest.raises(BadBundle) as reason:
        checked(data, **said)
    return reason.value


@pytest.fixture
async def db(url: str) -> Any:
    connection = await connect(url, "test")
    yield connection
    await connection.close()


@pytest.fixture
async def made(store: Store, db: Connection) -> tuple[bytes, list[Head]]:
    """A bundle of events 10 to 60 of a log of some hundred, and the heads of that log."""
    heads = []
    for number in range(3):
        await store.append([artifact(f"{number}-{n}") for n in range(20)], BY)
        heads.append(await sign(store, db))
    await filled(store, 2)
    heads.append(await sign(store, db))
    return await written(db, 10, 50), heads


async def test_any_part_of_any_log_is_proved(clones: Clones) -> None:
    async with clones() as url, open_store(url) as store:
        connection = await connect(url, "test")
        try:
            ends = [await filled(store, 1)]
            heads = [await sign(store, connection)]
            chance = Random(3)
            for number in range(4):
                made = [artifact(f"{number}-{n}") for n in range(chance.choice((1, 40, 300)))]
                ends.append(await store.append(made, BY))
                heads.append(await sign(store, connection))
            for _ in range(60):
                first, last = sorted(chance.choices([*ends, *range(1, ends[-1] + 1)], k=2))
                kept = chance.choice([None, *heads])
                data = await written(connection, first, last, head=kept)
                found = checked(data, keys=KEYS, head=kept)
                assert (found.first, found.last, found.trusted) == (first, last, True)
                assert found.kept == (kept is not None)
                digest = await connection.fetchval(
                    "SELECT digest FROM event WHERE position = $1", last
                )
                assert found.digest == digest
                assert data.count(b"\n") == last - first + 3
                assert max(map(len, data.split(b"\n"))) < 5_000
        finally:
            await connection.close()


async def test_without_a_key_it_says_that_the_key_came_with_it(
    made: tuple[bytes, list[Head]],
) -> None:
    found = checked(made[0])
    assert not found.trusted
    assert not found.kept
    assert found.head == made[1][-1]


async def test_every_event_can_be_read_from_it(db: Connection, store: Store) -> None:
    await filled(store, 2)
    await sign(store, db)
    lines = (await written(db)).splitlines()
    rows = await db.fetch("SELECT * FROM event ORDER BY position")
    assert len(lines) == len(rows) + 2
    for line, row in zip(lines[1:-1], rows, strict=True):
        event = json.loads(line)
        assert event["state"].encode() == row["state"]
        assert event["originatorId"] == str(row["originator_id"])
        for name, column in (("topic", "topic"), ("actor", "actor"), ("requestId", "request_id")):
            assert event[name] == row[column]
        assert event.get("idempotencyKey") == row["idempotency_key"]
        assert event["digest"] == row["digest"].hex()


async def test_a_state_that_is_no_text_is_written_all_the_same(
    url: str, store: Store, db: Connection
) -> None:
    await store.append([artifact("a"), artifact("b")], BY)
    async with tampering(url) as admin:
        await admin.execute("UPDATE event SET state = '\\xff00' WHERE position = 1")
        await rechained(admin, 1)
        (digest, time) = (await admin.fetch("SELECT digest, recorded_at FROM event"))[1]
        (root,) = await tables.roots(db, [(0, 2)])
        await tables.keep_keys(db, KEYS.items())
        await tables.keep_head(db, SIGNER.sign(2, digest, root, time))
    data = await written(db)
    assert b'"stateBase64":"/wA="' in data
    assert checked(data, keys=KEYS).last == 2


# What can be wrong


Damage = Callable[[list[bytes]], object]


def edited(name: str, value: object) -> Damage:
    def edit(lines: list[bytes]) -> None:
        event = json.loads(lines[7])
        assert event.get(name) != value
        lines[7] = json.dumps({**event, name: value}).encode() + b"\n"

    return edit


DAMAGES: dict[str, tuple[Damage, int, int | None, str]] = {
    "another topic": (edited("topic", "x"), 8, 16, "not what was recorded"),
    "another actor": (edited("actor", "x"), 8, 16, "not what was recorded"),
    "another request": (edited("requestId", "x"), 8, 16, "not what was recorded"),
    "a key": (edited("idempotencyKey", ""), 8, 16, "not what was recorded"),
    "another state": (edited("state", "{}"), 8, 16, "not what was recorded"),
    "another version": (edited("originatorVersion", 2), 8, 16, "not what was recorded"),
    "another time": (edited("recordedAt", 1), 8, 16, "not what was recorded"),
    "another digest": (edited("digest", "00"), 8, 16, "not what was recorded"),
    "another position": (edited("position", 17), 8, 16, "event 17 stands where it belongs"),
    "no number": (edited("position", "16"), 8, 16, "no event"),
    "a number too large": (edited("originatorVersion", 2**63), 8, 16, "no event"),
    "a field more": (edited("more", 1), 8, 16, "no event"),
    "no JSON": (lambda lines: lines.__setitem__(7, b"{\n"), 8, 16, "no event"),
    "no state": (lambda lines: edited("state", None)(lines), 8, 16, "not what was recorded"),
    "an event gone": (lambda lines: lines.pop(7), 8, 16, "event 17 stands"),
    "one twice": (lambda lines: lines.insert(7, lines[6]), 8, 16, "event 15 stands"),
    "two swapped": (
        lambda lines: lines.__setitem__(slice(7, 9), [lines[8], lines[7]]),
        8,
        16,
        "event 17 stands",
    ),
    "the end too early": (lambda lines: lines.__delitem__(slice(7, -1)), 8, 16, "the end comes"),
    "no end": (lambda lines: lines.pop(), 42, 50, "not written or copied to its end"),
    "half an event": (
        lambda lines: lines.__setitem__(slice(7, None), [lines[7][:40]]),
        8,
        15,
        "not written or copied to its end",
    ),
    "half an end": (
        lambda lines: lines.__setitem__(-1, lines[-1][:-1]),
        43,
        50,
        "not written or copied to its end",
    ),
    "a line more": (lambda lines: lines.append(b"\n"), 44, None, "something behind the end"),
    "an event more": (lambda lines: lines.insert(-1, lines[-2]), 43, None, "the end belongs here"),
    "an end of others": (
        lambda lines: lines.__setitem__(-1, lines[-1].replace(b"41", b"42")),
        43,
        None,
        "does not go with",
    ),
    "nothing": (lambda lines: lines.clear(), 1, None, "empty"),
    "another file": (lambda lines: lines.insert(0, b"<html>\n"), 1, None, "no bundle"),
    "a list": (lambda lines: lines.__setitem__(0, b"[]\n"), 1, None, "no bundle"),
}


@pytest.mark.parametrize("how", DAMAGES)
async def test_whatever_is_wrong_is_named_with_its_line(
    made: tuple[bytes, list[Head]], how: str
) -> None:
    damage, line, position, words = DAMAGES[how]
    lines = made[0].splitlines(keepends=True)
    damage(lines)
    reason = refused(b"".join(lines))
    assert (reason.line, reason.position) == (line, position), reason
    assert words in str(reason)


OPENINGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a later format": (lambda m: m.update(format=3), "has the format 3, and this release knows 1"),
    "the other format": (lambda m: m.update(format=2), "the format of another"),
    "no format": (lambda m: m.pop("format"), "has the format None"),
    "no heads": (lambda m: m.update(heads=[]), "no signed head"),
    "half a head": (lambda m: m["heads"][0].pop("root"), "damaged"),
    "a head without a zone": (lambda m: m["heads"][0].update(time="2026-01-01T00:00:00"), "zone"),
    "no events": (lambda m: m.update({"to": 9}), "no signed head covers"),
    "beyond the head": (lambda m: m.update({"to": 10**6}), "no signed head covers"),
    "from zero": (lambda m: m.update({"from": 0}), "no signed head covers"),
    "too few hashes": (lambda m: m["left"].pop(), "`left` has 1 hashes, and 2 are needed"),
    "no hash": (lambda m: m["right"].__setitem__(0, "xy"), "no hash"),
    "another root": (lambda m: m["heads"][-1].update(root="00" * 32), "signature"),
    "another time": (lambda m: m["heads"][0].update(time="2026-01-01T00:00:00Z"), "signature"),
    "another key": (lambda m: m["keys"][0].update(publicKey="A" * 43 + "="), "have that id"),
    "no key": (lambda m: m.update(keys=[]), "none of those that are trusted"),
    "another left": (lambda m: m["left"].__setitem__(0, "00" * 32), "has another"),
    "another right": (lambda m: m["right"].__setitem__(0, "00" * 32), "has another root"),
}


@pytest.mark.parametrize("how", OPENINGS)
async def test_a_first_line_that_was_changed_is_refused(
    made: tuple[bytes, list[Head]], how: str
) -> None:
    change, words = OPENINGS[how]
    opening, rest = made[0].split(b"\n", 1)
    manifest = json.loads(opening)
    change(manifest)
    reason = refused(json.dumps(manifest).encode() + b"\n" + rest)
    assert words in str(reason)


async def test_who_computes_all_digests_anew_is_found_by_the_tree(
    url: str, store: Store, db: Connection
) -> None:
    await store.append([artifact(f"a-{n}") for n in range(30)], BY)
    head = await sign(store, db)
    async with tampering(url) as admin:
        await admin.execute("UPDATE event SET actor = 'x' WHERE position = 15")
        with pytest.raises(Broken) as reason:
            await written(db, 11, 20)
        assert reason.value.problem.position == 15
        await rechained(admin, 15)
    for last, line in ((20, 1), (30, 21)):
        reason_ = refused(await written(db, 11, last), keys=KEYS)
        assert reason_.line == line
        assert "signed" in str(reason_)
    # A head that was kept finds it, too, wherever it is.
    with pytest.raises(NoProof, match="not of this log"):
        await written(db, 11, 20, head=head)


async def test_a_wrong_key_is_refused(made: tuple[bytes, list[Head]]) -> None:
    (other,) = signers([new_key()])
    with pytest.raises(BadBundle, match=f"{SIGNER.id}, which is none of those .*{other.id}"):
        checked(made[0], keys={other.id: other.public_key})
    # Nor does another key under the id of ours help.
    with pytest.raises(BadBundle, match="is not that of the key"):
        checked(made[0], keys={SIGNER.id: other.public_key})


async def test_a_kept_head_is_compared_or_the_bundle_says_that_it_cannot_be(
    made: tuple[bytes, list[Head]], db: Connection
) -> None:
    data, heads = made
    assert [head.position for head in heads[:3]] == [20, 40, 60]
    # Among the events, before them and behind them, and the newest.
    for head in (heads[0], heads[1], heads[3]):
        assert checked(data, head=head).kept
    assert refused(data, head=heads[2]).line == 1
    assert "export it again with --head" in str(refused(data, head=heads[2]))
    assert checked(await written(db, 10, 50, head=heads[2]), head=heads[2]).kept
    late = await written(db, 30, 50, head=heads[0])
    assert checked(late, head=heads[0]).kept
    one = heads[0]
    for head in heads:
        for forged in (
            SIGNER.sign(head.position, head.digest, one.digest, head.time),
            SIGNER.sign(head.position, one.root, head.root, head.time),
        ):
            # As far as a tree alone is compared, it says nothing about the digest.
            if forged.digest == head.digest or head.position <= 50:
                assert "head" in str(refused(data, head=forged))
    forged = SIGNER.sign(20, one.digest, one.digest, one.time)
    assert "not of the same log" in str(refused(late, head=forged))
    altered = Head(one.position, one.digest, one.root, one.time, one.key_id, bytes(64))
    with pytest.raises(BadHead, match="signature"):
        checked(data, head=altered)


async def test_what_is_not_there_or_not_signed_is_not_exported(
    store: Store, db: Connection
) -> None:
    with pytest.raises(NotSigned, match="none was signed"):
        await written(db)
    await store.append([artifact("a"), artifact("b")], BY)
    head = await sign(store, db)
    await store.append([artifact("c")], BY)
    with pytest.raises(NotSigned, match="covers 1 to 2"):
        await written(db, 1, 3)
    for range in ((0, 1), (2, 1), (-3, 2), (3,)):
        with pytest.raises((bundle.BadRange, NotSigned)):
            await written(db, *range)
    future = SIGNER.sign(9, head.digest, head.root, head.time)
    with pytest.raises(NotSigned):
        await written(db, 1, 2, head=future)
    assert checked(await written(db)).last == 2


async def test_no_byte_of_a_bundle_can_be_changed_unnoticed(
    made: tuple[bytes, list[Head]],
) -> None:
    whole = checked(made[0], keys=KEYS)
    chance = Random(17)
    unnoticed = 0
    for _ in range(2_000):
        data = bytearray(made[0])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            # Only in how something is written: a name that nobody reads, a digit in capitals.
            assert checked(bytes(data), keys=KEYS) == whole
            unnoticed += 1
        except (BadBundle, BadHead):
            pass
    assert unnoticed < 100
