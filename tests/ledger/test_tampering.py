"""A thousand ways to change history, each made in SQL by a superuser with the triggers off: all of
them are found, and at the right position."""

from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID

import asyncpg
import pytest

from matchgraph.eventstore.store import Store
from matchgraph.ledger.head import Head, Signer, signers
from matchgraph.ledger.store import keep_keys, roots
from matchgraph.ledger.verify import verify_log
from tests.ledger.logs import KEY, filled, rechained, tampering

TEXTS = ("topic", "actor", "request_id")
TIMES = 100

# Makes one change to a log that ends there; returns the position that must be named.
Change = Callable[[asyncpg.Connection, Random, int], Awaitable[int]]


async def edit(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """One column of one event gets another value."""
    at = chance.randint(1, end)
    (row,) = await db.fetch("SELECT * FROM event WHERE position = $1", at)
    name = chance.choice(
        (*TEXTS, "idempotency_key", "state", "recorded_at", "digest", "originator_version", "id")
    )
    match name:
        case "id":
            await db.execute(
                "UPDATE event SET originator_id = $2 WHERE position = $1",
                at,
                UUID(int=chance.getrandbits(128)),
            )
        case "originator_version":
            await db.execute(
                "UPDATE event SET originator_version = $2 WHERE position = $1",
                at,
                row["originator_version"] + chance.choice((-1, 1)) * chance.randint(1000, 10**6),
            )
        case "recorded_at":
            await db.execute(
                "UPDATE event SET recorded_at = recorded_at + make_interval(secs => $2)"
                " WHERE position = $1",
                at,
                chance.choice((-1, 1)) * chance.choice((0.000001, 1, 10**7)),
            )
        case "idempotency_key":
            values = {None, "", "key-1", "another"} - {row[name]}
            await db.execute(
                "UPDATE event SET idempotency_key = $2 WHERE position = $1",
                at,
                chance.choice(sorted(values, key=repr)),
            )
        case "state" | "digest":
            changed = bytearray(row[name])
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            await db.execute(
                f"UPDATE event SET {name} = $2 WHERE position = $1", at, bytes(changed)
            )
        case _:
            await db.execute(
                f"UPDATE event SET {name} = $2 WHERE position = $1",
                at,
                chance.choice(
                    ("", row[name] + "x", row[name][:-1], "ö", row[name].swapcase() + " ")
                ),
            )
    return at


async def move_text(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """A letter goes over from one column to the next: the bytes are the same, their ends not."""
    at = chance.randint(1, end)
    await db.execute(
        "UPDATE event SET topic = left(topic, -1), actor = right(topic, 1) || actor"
        " WHERE position = $1"
        if chance.random() < 0.5
        else "UPDATE event SET actor = left(actor, -1), request_id = right(actor, 1) || request_id"
        " WHERE position = $1",
        at,
    )
    return at


async def delete(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """Some events in a row go, and others remain behind them."""
    at = chance.randint(1, end - 1)
    count = chance.randint(1, min(5, end - at))
    await db.execute("DELETE FROM event WHERE position BETWEEN $1 AND $2", at, at + count - 1)
    return at


async def delete_and_close_up(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """One event goes, and those behind it move up."""
    at = chance.randint(1, end - 1)
    await db.execute("DELETE FROM event WHERE position = $1", at)
    await _shift(db, at, -1)
    return at


async def insert(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """An event gets in between; half of the time with the digest that belongs there, so that only
    the one after it gives it away."""
    at = chance.randint(1, end - 1)
    await _shift(db, at - 1, 1)
    await db.execute(
        "INSERT INTO event SELECT $1, $2, 1, topic, state, e.recorded_at, actor, request_id, NULL,"
        " digest FROM event e WHERE position = $3",
        at,
        UUID(int=chance.getrandbits(128)),
        at + 1,
    )
    if chance.random() < 0.5:
        return at
    # Its state has to name it, too, or that would give it away.
    await db.execute(
        "UPDATE event e SET state = convert_to(replace(convert_from(e.state, 'UTF8'),"
        " o.originator_id::text, e.originator_id::text), 'UTF8') FROM event o"
        " WHERE e.position = $1 AND o.position = $1 + 1",
        at,
    )
    await _digest_alone(db, at)
    return at + 1


async def swap(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """Two events change places, with or without their digests."""
    one, other = sorted(chance.sample(range(1, end + 1), 2))
    await db.execute(
        "UPDATE event SET position = CASE position WHEN $1 THEN -$2 ELSE -$1 END"
        " WHERE position IN ($1, $2)",
        one,
        other,
    )
    await db.execute("UPDATE event SET position = -position WHERE position < 0")
    if chance.random() < 0.5:
        await db.execute(
            "UPDATE event e SET digest = o.digest, recorded_at = o.recorded_at FROM event o"
            " WHERE e.position IN ($1, $2) AND o.position = $1::bigint + $2 - e.position",
            one,
            other,
        )
    return one


async def reorder(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """One event moves further back, and those between close up."""
    at, to = sorted(chance.sample(range(1, end + 1), 2))
    await db.execute("UPDATE event SET position = -1 WHERE position = $1", at)
    await db.execute(
        "UPDATE event SET position = -position WHERE position > $1 AND position <= $2", at, to
    )
    await db.execute("UPDATE event SET position = -position - 1 WHERE position < -1")
    await db.execute("UPDATE event SET position = $1 WHERE position = -1", to)
    return at


async def truncate(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """The newest events go: only who kept a head can know."""
    keep = chance.randint(0, end - 1)
    await db.execute("DELETE FROM event WHERE position > $1", keep)
    return keep + 1


async def write_anew(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """An actor is changed and every digest from there on computed anew, as it should be: only who
    kept a head can know, and that it was before the head is all that can be said."""
    at = chance.randint(1, end)
    await db.execute("UPDATE event SET actor = actor || 'x' WHERE position = $1", at)
    await rechained(db, at)
    return 1


async def turn_back_time(db: asyncpg.Connection, chance: Random, end: int) -> int:
    """An event was recorded before the one before it, and every digest says so, too."""
    at = chance.randint(2, end)
    await db.execute(
        "UPDATE event SET recorded_at = recorded_at - interval '1 day' WHERE position = $1", at
    )
    await rechained(db, at)
    return at


CHANGES: tuple[Change, ...] = (
    *(edit, move_text, delete, delete_and_close_up, insert, swap, reorder, truncate, write_anew),
    turn_back_time,
)


async def _shift(db: asyncpg.Connection, after: int, by: int) -> None:
    """Moves every event after a position, past the unique index."""
    await db.execute("UPDATE event SET position = -position WHERE position > $1", after)
    await db.execute("UPDATE event SET position = -position + $1 WHERE position < 0", by)


async def _digest_alone(db: asyncpg.Connection, at: int) -> None:
    """Gives one event the digest that its place and its content ask for."""
    await db.execute(
        "UPDATE event e SET digest = sha256(coalesce((SELECT b.digest FROM event b"
        " WHERE b.position = e.position - 1), sha256('matchgraph')) || event_leaf(e.position,"
        " (extract(epoch FROM e.recorded_at) * 1000000)::bigint, e.originator_id,"
        " e.originator_version, e.topic, e.actor, e.request_id, e.idempotency_key, e.state))"
        " WHERE position = $1",
        at,
    )


async def kept(db: asyncpg.Connection, signer: Signer) -> Head:
    """The head that somebody outside keeps."""
    ((end, digest, time),) = await db.fetch(
        "SELECT position, digest, recorded_at FROM event ORDER BY position DESC LIMIT 1"
    )
    await keep_keys(db, [(signer.id, signer.public_key)])
    (root,) = await roots(db, [(0, end)])
    return signer.sign(end, digest, root, time)


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
async def test_every_change_made_behind_the_logs_back_is_found_where_it_was_made(
    url: str, store: Store, change: Change
) -> None:
    end = await filled(store)
    assert end > 150
    chance = Random(f"{change.__name__} 5")
    (signer,) = signers([KEY])
    async with tampering(url) as db:
        head = await kept(db, signer)
        assert (await verify_log(db, head=head)).problem is None
        for _ in range(TIMES):
            change_of = db.transaction()
            await change_of.start()
            expected = await change(db, chance, end)
            found = await verify_log(db, head=head)
            await change_of.rollback()
            assert found.problem is not None
            assert found.problem.position == expected, found
            assert str(expected) in found.problem.what
        assert (await verify_log(db, head=head)).problem is None
