"""A break that somebody acknowledged stays on record, and signing goes on; another one stops it."""

import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from matchgraph.eventstore.connection import Connection, Pool, connect
from matchgraph.eventstore.store import Store
from matchgraph.ledger import acknowledgement, proof
from matchgraph.ledger import store as tables
from matchgraph.ledger.acknowledge import NeverMendable, NoSuchBreak, acknowledge
from matchgraph.ledger.acknowledgement import Acknowledgement, BadAcknowledgement
from matchgraph.ledger.bundle import BadBundle, check, export
from matchgraph.ledger.head import BadHead, Head, Signer, as_data, new_key, of_data, signers
from matchgraph.ledger.verify import Verified, verify_chain
from matchgraph.ledger.watch import watched
from matchgraph.servers import Servers
from tests.eventstore.histories import artifact, until
from tests.ledger.logs import KEY, filled, rechained, tampering
from tests.ledger.test_watch import broken, signed, watching
from tests.projections.tables import BY
from tests.test_cli import run

(SIGNER,) = signers([KEY])
KEYS = {SIGNER.id: SIGNER.public_key}
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
WHO: dict[str, Any] = {"actor": "ann", "reason": "a restore went wrong"}


@pytest.fixture
async def db(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, "test")
    yield connection
    await connection.close()


@pytest.fixture
async def end(url: str, store: Store, pool: Pool) -> int:
    """The last position of a log of more than 256 events that is signed, in several heads."""
    last = 0
    async with watching(url, store, SIGNER):
        for number in range(3):
            made = [artifact(f"{number}-{n}") for n in range(100)]
            last = await store.append(made, BY)
            await signed(pool, last)
    return last


async def tampered(url: str, *statements: str, anew: int | None = None) -> None:
    async with tampering(url) as admin:
        for statement in statements:
            await admin.execute(statement)
        if anew is not None:
            await rechained(admin, anew)


async def found(url: str) -> Verified:
    return await verify_chain(url, processes=1)


async def at(url: str) -> int:
    """Where history is broken."""
    problem = (await found(url)).problem
    assert problem is not None
    return problem.position


async def written(db: Connection, *range: int, head: Head | None = None) -> bytes:
    out = io.BytesIO()
    await export(db, out, *range, head=head)
    return out.getvalue()


# What somebody did: the statements, from where the chain is computed anew, and the events of which
# a bundle says that they are not what was recorded.
BREAKS: dict[str, tuple[list[str], int | None, list[int]]] = {
    "edited": (["UPDATE event SET actor = 'x' WHERE position = 7"], None, [7]),
    "two edited": (["UPDATE event SET actor = 'x' WHERE position IN (7, 260)"], None, [7, 260]),
    # The one behind it does not follow from what was before it, either.
    "deleted": (["DELETE FROM event WHERE position = 9"], None, [9, 10]),
    "several deleted": (["DELETE FROM event WHERE position BETWEEN 9 AND 270"], None, []),
    "the first deleted": (["DELETE FROM event WHERE position = 1"], None, [1, 2]),
    "written anew": (["UPDATE event SET actor = 'x' WHERE position = 7"], 7, []),
    "cut off": (["DELETE FROM event WHERE position > 200"], None, []),
    "a head made up": (["UPDATE ledger_head SET root = sha256('')"], None, []),
    "a hole": (["UPDATE event SET originator_version = 3 WHERE position = 7"], 7, []),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_signing_goes_on_and_the_break_is_told_ever_after(
    url: str, store: Store, pool: Pool, db: Connection, end: int, how: str
) -> None:
    statements, anew, named = BREAKS[how]
    kept = await tables.newest(db)
    await tampered(url, *statements, anew=anew)
    position = await at(url)
    async with watching(url, store, SIGNER) as watch:
        await broken(pool)
        said = await acknowledge(url, SIGNER, position, **WHO)
        assert (said.position, said.actor, said.reason) == (position, "ann", WHO["reason"])
        last = await store.append([artifact("later")], BY)
        await signed(pool, last)
        assert watch.leads
        rounds = (await watched(pool)).rounds

        async def again() -> bool:
            return (await watched(pool)).rounds > rounds + 1

        await until(again)
    seen = await watched(pool)
    assert (seen.broken_at, seen.acknowledged, seen.signed) == (None, 1, last)

    whole = await found(url)
    assert whole.problem is None
    assert whole.acknowledged == (said,)
    assert whole.events == last - said.upto
    head = await tables.newest(db)
    assert head is not None
    assert head.acknowledged == said.digest
    assert head.position == last
    head.check(KEYS)

    for first in (1, last) if how != "the first deleted" else (1, 5, last):
        bundle = check(io.BytesIO(await written(db, first)), keys=KEYS)
        assert bundle.acknowledged == (said,)
        if first < 7 and named:
            assert list(bundle.broken) == [one for one in named if one >= first]
    assert (await proof.inclusion(db, last)).head == head
    # Whoever kept a head of before sees it, unless the tree was never touched.
    assert kept is not None
    of_before = await verify_chain(url, head=kept)
    assert of_before.acknowledged == (said,)
    if how != "a head made up":
        with pytest.raises((BadBundle, tables.NoProof, proof.NotSigned)):
            check(io.BytesIO(await written(db, 1, last, head=kept)), keys=KEYS, head=kept)


async def test_history_is_the_same_to_many_processes(
    url: str, store: Store, pool: Pool, end: int
) -> None:
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    said = await acknowledge(url, SIGNER, 7, **WHO)
    await filled(store, 3)
    one, many = await found(url), await verify_chain(url, processes=2)
    assert one == many
    assert one.acknowledged == (said,)


SECOND: dict[str, tuple[str, int]] = {
    "edited behind it": ("UPDATE event SET actor = 'y' WHERE position = 302", 302),
    "deleted behind it": ("DELETE FROM event WHERE position = 301", 301),
    "cut off behind it": ("DELETE FROM event WHERE position > 301", 302),
    # Of what is acknowledged it is known in which 256 events.
    "edited before it": ("UPDATE event SET actor = 'y' WHERE position = 3", 1),
    "edited again": ("UPDATE event SET actor = 'y' WHERE position = 7", 1),
    "put back": ("UPDATE event SET actor = 'tester' WHERE position = 7", 1),
    "deleted before it": ("DELETE FROM event WHERE position = 290", 257),
    "cut off before it": ("DELETE FROM event WHERE position > 290", 257),
    "another digest": ("UPDATE event SET digest = sha256('') WHERE position = 300", 257),
}


@pytest.mark.parametrize("how", SECOND)
async def test_a_second_break_stops_it_again_and_can_be_acknowledged_too(
    url: str, store: Store, pool: Pool, db: Connection, end: int, how: str
) -> None:
    assert end == 300
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    first = await acknowledge(url, SIGNER, 7, **WHO)
    async with watching(url, store, SIGNER):
        for number in range(3):
            last = await store.append([artifact(f"later-{number}")], BY)
        await signed(pool, last)
    statement, position = SECOND[how]
    await tampered(url, statement)
    assert await at(url) == position
    async with watching(url, store, SIGNER):
        await broken(pool)
        before = (await watched(pool)).signed
        await store.append([artifact("much-later")], BY)
        assert (await watched(pool)).signed == before
        second = await acknowledge(url, SIGNER, position, actor="bob", reason="again")
        assert (second.number, second.before) == (2, first.digest)
        last = await store.append([artifact("even-later")], BY)
        await signed(pool, last)
    whole = await found(url)
    assert whole.problem is None
    assert whole.acknowledged == (first, second)
    assert check(io.BytesIO(await written(db, last)), keys=KEYS).acknowledged == (first, second)


async def test_what_is_not_broken_cannot_be_acknowledged(url: str, store: Store, end: int) -> None:
    with pytest.raises(NoSuchBreak, match="history is what was recorded"):
        await acknowledge(url, SIGNER, 7, **WHO)
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    with pytest.raises(NoSuchBreak, match="it is broken at position 7"):
        await acknowledge(url, SIGNER, 8, **WHO)
    await acknowledge(url, SIGNER, 7, **WHO)
    with pytest.raises(NoSuchBreak, match="acknowledged already"):
        await acknowledge(url, SIGNER, 7, **WHO)


async def test_an_event_before_the_first_one_is_never_acknowledged(
    url: str, store: Store, end: int
) -> None:
    await tampered(url, "UPDATE event SET position = -3 WHERE position = 300")
    assert await at(url) == -3
    with pytest.raises(NeverMendable, match="begins with event 1"):
        await acknowledge(url, SIGNER, -3, **WHO)
    assert await at(url) == -3


# What is done to the acknowledgement of the break at event 7.
FORGED = {
    "its reason": "UPDATE ledger_acknowledgement SET reason = 'nothing'",
    "who said so": "UPDATE ledger_acknowledgement SET actor = 'nobody'",
    "its end": "UPDATE ledger_acknowledgement SET upto = 301",
    "its signature": "UPDATE ledger_acknowledgement SET signature = sha512('')",
    "a key that nobody has": "UPDATE ledger_acknowledgement SET key_id = 'none'",
    "gone": "DELETE FROM ledger_acknowledgement",
    "an old head": "DELETE FROM ledger_head WHERE position = 100",
    "a new head": "UPDATE ledger_head_since SET acknowledged = sha256('')",
}


@pytest.mark.parametrize("how", FORGED)
async def test_nobody_changes_what_is_on_record(
    url: str, store: Store, pool: Pool, end: int, how: str
) -> None:
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    await acknowledge(url, SIGNER, 7, **WHO)
    async with watching(url, store, SIGNER):
        await signed(pool, await store.append([artifact("later")], BY))
    assert (await found(url)).problem is None
    await tampered(url, FORGED[how])
    assert (await found(url)).problem is not None
    if how in ("gone", "its reason"):
        async with watching(url, store, SIGNER):
            await broken(pool)


async def test_an_acknowledgement_with_another_key_is_none(
    url: str, store: Store, pool: Pool, end: int
) -> None:
    """Whoever can write the tables and lacks the key can at most add a key of their own, and that
    shows: what was signed with it is told by its id."""
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    (other,) = signers([new_key()])
    said = await acknowledge(url, other, 7, **WHO)
    with pytest.raises(BadAcknowledgement, match="none of those that are trusted"):
        acknowledgement.check([said], KEYS)
    async with watching(url, store, other):
        await signed(pool, await store.append([artifact("later")], BY))
    db = await connect(url, "test")
    data = await written(db)
    await db.close()
    with pytest.raises(BadBundle, match="none of those that are trusted"):
        check(io.BytesIO(data), keys=KEYS)


async def test_rows_of_it_are_never_changed(url: str, store: Store, pool: Pool, end: int) -> None:
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    await acknowledge(url, SIGNER, 7, **WHO)
    admin = await asyncpg.connect(url)
    for table in ("ledger_acknowledgement", "ledger_head_since"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
                await admin.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
    await admin.close()


async def test_a_bundle_cannot_leave_it_out(
    url: str, store: Store, pool: Pool, db: Connection, end: int
) -> None:
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    await acknowledge(url, SIGNER, 7, **WHO)
    async with watching(url, store, SIGNER):
        await signed(pool, await store.append([artifact("later")], BY))
    lines = (await written(db)).splitlines(keepends=True)

    def altered(**said: Any) -> bytes:
        return b"".join([json.dumps({**json.loads(lines[0]), **said}).encode() + b"\n", *lines[1:]])

    assert check(io.BytesIO(altered())).broken == (7,)
    opened = json.loads(lines[0])
    other = {**opened["acknowledgements"][0], "reason": "nothing to see"}
    head = {k: v for k, v in opened["heads"][0].items() if k != "acknowledged"}
    changes: list[dict[str, Any]] = [
        {"acknowledgements": []},
        {"acknowledgements": [other]},
        {"acknowledgements": [{**other, "upto": "x"}]},
        {"acknowledgements": [], "heads": [head]},
        {"format": 3},
        {"format": 1},
    ]
    for said in changes:
        with pytest.raises(BadBundle):
            check(io.BytesIO(altered(**said)))
    # Nor change another event with it.
    for number in (5, 7):
        line = json.loads(lines[number]) | {"actor": "z"}
        data = [*lines[:number], json.dumps(line).encode() + b"\n", *lines[number + 1 :]]
        with pytest.raises(BadBundle, match="not what was signed"):
            check(io.BytesIO(b"".join(data)))
    without = [*lines[:5], *lines[6:]]
    with pytest.raises(BadBundle):
        check(io.BytesIO(b"".join(without)))


def test_what_is_shown_is_read_again() -> None:
    said = acknowledgement.signed(
        Acknowledgement(
            number=1,
            position=7,
            what="edited",
            actor="Änn",
            reason="größer",
            time=MOMENT,
            upto=9,
            root=bytes(32),
            link=b"1" * 32,
            heads=b"2" * 32,
        ),
        SIGNER,
    )
    assert acknowledgement.of_data(acknowledgement.as_data(said)) == said
    acknowledgement.check([said], KEYS)
    with pytest.raises(BadAcknowledgement, match="does not follow"):
        acknowledgement.check([said, said], KEYS)
    for wrong in ({}, None, {**acknowledgement.as_data(said), "upto": "x"}):
        with pytest.raises(BadAcknowledgement):
            acknowledgement.of_data(wrong)


def test_a_head_that_names_one_says_so_in_what_is_signed(signer: Signer) -> None:
    plain = signer.sign(3, bytes(32), b"1" * 32, MOMENT)
    since = signer.sign(3, bytes(32), b"1" * 32, MOMENT, b"2" * 32)
    assert of_data(as_data(since)) == since
    assert "acknowledged" not in as_data(plain)
    assert since.said() == b"matchgraph.head.2\n" + plain.said()[18:] + b"2" * 32
    stripped = of_data({k: v for k, v in as_data(since).items() if k != "acknowledged"})
    with pytest.raises(BadHead):
        stripped.check(KEYS)


async def test_an_operator_acknowledges_by_command_line(
    url: str, servers: Servers, store: Store, pool: Pool, end: int, tmp_path: Path
) -> None:
    urls = {
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "MATCHGRAPH_LEDGER_KEY": KEY,
    }
    words = ("--by", "ann", "--because", "a restore went wrong")
    none = run(tmp_path, "ledger", "acknowledge", "7", *words, **urls)
    assert none.returncode == 1
    assert "There is no break at position 7" in " ".join(none.stderr.split())
    await tampered(url, "UPDATE event SET actor = 'x' WHERE position = 7")
    blank = run(tmp_path, "ledger", "acknowledge", "7", "--by", " ", "--because", "x", **urls)
    assert blank.returncode == 2
    assert run(tmp_path, "ledger", "acknowledge", "7", **urls).returncode == 2
    done = run(tmp_path, "ledger", "acknowledge", "7", *words, **urls)
    assert (done.returncode, done.stderr) == (0, ""), done
    verified = run(tmp_path, "verify", "--chain-only", **urls)
    for said in (done.stdout, verified.stdout):
        assert "history is broken at position 7" in said
        assert "Acknowledged by ann" in said
        assert "a restore went wrong" in said
    assert verified.returncode == 0
    async with watching(url, store, SIGNER):
        await signed(pool, end)
    assert run(tmp_path, "export", "--out", "all.jsonl", **urls).returncode == 0
    checked = run(tmp_path, "check", "all.jsonl")
    assert checked.returncode == 0
    assert "Acknowledged by ann" in checked.stdout
    assert "acknowledged so: 7" in checked.stdout
