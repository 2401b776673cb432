"""The boards of `rank_board` in Redis: how they lie there, and the task that keeps them so.

Read by queries/board.py. docs/cache.md says what each key carries and what a reader may conclude.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import redis.asyncio as redis
from redis.exceptions import NoScriptError, ResponseError

from matchgraph.domain.artifact import Kind
from matchgraph.eventstore.connection import Connection, advisory_lock, connect
from matchgraph.eventstore.eager import owned
from matchgraph.eventstore.listener import Listener
from matchgraph.eventstore.store import PROJECTED
from matchgraph.observe.operation import REDIS, step
from matchgraph.projections.projection import READING
from matchgraph.projections.ranked import COLUMNS, TABLES, Ranked
from matchgraph.projections.redis_client import HISTORY, REDIS_AWAY
from matchgraph.projections.runner import AWAY

log = logging.getLogger(__name__)

CACHING = 7233147820519
# So many rows go into one script, which then holds Redis for a few milliseconds.
MOST_AT_ONCE = 250
# How many cards of each group an audit compares with PostgreSQL.
SAMPLE = 4
# Units: milliseconds after which a refill that nobody goes on with is gone from Redis.
UNFINISHED = 60_000
# Units: seconds between attempts while Redis is away, at first and at last.
PAUSES = (0.05, 1.0)
# Units: seconds at most that are left between two refills; otherwise as long as the last one took.
LONGEST_REST = 20.0

# What is sent to Redis: a command's words.
Word = str | bytes | int
Command = tuple[Word, ...]


class CacheAway(Exception):
    """Redis cannot be reached, answers late, or refuses."""


# The layout.

# The group of all artifacts, beside one for each kind.
ALL = "all"
GROUPS: tuple[str, ...] = (ALL, *Kind)
_HIGHEST = 2**31 - 1  # of the numbers that PostgreSQL's type integer holds
_HEAD_LENGTH = 24
_facts = msgspec.json.Decoder(
    tuple[Kind, str, int, int, int, int, int, int, int, int, int, int, int]
)


def keys(history: str, group: str) -> tuple[str, str, str, str]:
    """A group's board, lows, cards and meta. The braces put them in one slot of a cluster."""
    prefix = f"matchgraph:{history}:{{rank:{group}}}"
    return f"{prefix}:board", f"{prefix}:lows", f"{prefix}:cards", f"{prefix}:meta"


def position_key(history: str) -> str:
    """Where it is written how far all groups have come together."""
    return f"matchgraph:{history}:position"


def inverted(number: int) -> int:
    """0 for the highest integer of PostgreSQL's, 2^32 - 1 for the lowest: sorts the other way
    round, and in eight hexadecimal digits also as text."""
    return _HIGHEST - number


def member(number: int, artifact_id: UUID) -> str:
    """How an artifact is written into a sorted set: highest number first, then by id."""
    return f"{inverted(number):08x}{artifact_id.hex}"


def card(facts: Sequence[Any]) -> bytes:
    """What is kept of an artifact's rank, from its COLUMNS without the id: standing, low and high
    as scripts read them, and then everything as JSON."""
    low, high, standing = facts[3], facts[4], facts[6]
    return _head(standing, low, high) + msgspec.json.encode(facts)


def _head(standing: int, low: int, high: int) -> bytes:
    return f"{inverted(standing):08x}{inverted(low):08x}{inverted(high):08x}".encode()


def ranked_in(line: bytes) -> Ranked:
    """The rank in an artifact's member of a board followed by its card.

    Raises: ValueError when they are none, or speak of different ranks.
    """
    standing, artifact_id, said = line[:8], line[8:40], line[40:]
    try:
        ranked = Ranked(UUID(artifact_id.decode()), *_facts.decode(said[_HEAD_LENGTH:]))
        right = _head(ranked.standing, ranked.low, ranked.high)
    except msgspec.MsgspecError as reason:
        raise ValueError(str(reason)) from None
    if said[:_HEAD_LENGTH] != right or standing != right[:8]:
        raise ValueError("a card's head and its facts differ")
    return ranked


# The scripts. Their keys are those of one group, in the order that `keys` has.

_texts: dict[str, str] = {}


class Script:
    """Lua that Redis runs undisturbed by anybody else."""

    def __init__(self, text: str) -> None:
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
        _texts[self._digest] = text

    def call(self, keys: Sequence[str], *arguments: Word) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self._digest, len(keys), *keys, *arguments)


# The position and digest of a group all of whose keys are there and count alike, or nil. What has
# become of a key nobody knows, so its type is not taken for granted.
_WHOLE = """
local function whole()
  local said = redis.pcall('HMGET', KEYS[4], 'position', 'digest', 'count')
  local count = tonumber(said[3])
  if said[1] and said[2] and redis.pcall('ZCARD', KEYS[1]) == count
    and redis.pcall('ZCARD', KEYS[2]) == count and redis.pcall('HLEN', KEYS[3]) == count
  then return tonumber(said[1]), said[2] end
end
"""

# From where, how many -> position, how many are before, a line for each: how many clearly beat it,
# member and card. One text, because a reply of many parts takes its reader long.
PAGE = Script(
    _WHOLE
    + """
local position = whole()
if not position then return false end
local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
if #members == 0 then return {position, 0, ''} end
local ids, lines = {}, {}
for i, member in ipairs(members) do ids[i] = string.sub(member, 9) end
for i, card in ipairs(redis.call('HMGET', KEYS[3], unpack(ids))) do
  if not card then return false end
  local better = redis.call('ZLEXCOUNT', KEYS[2], '-', '(' .. string.sub(card, 17, 24))
  lines[i] = better .. ' ' .. members[i] .. card
end
local before = redis.call('ZLEXCOUNT', KEYS[1], '-', '(' .. members[1])
return {position, before, table.concat(lines, '\\n')}
"""
)

# For each a member and an inverted high -> position, and how many are before and clearly beat it.
PLACES = Script(
    _WHOLE
    + """
local position, said = whole(), {}
if not position then return false end
for i = 1, #ARGV, 2 do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then return false end
  said[i] = redis.call('ZLEXCOUNT', KEYS[1], '-', '(' .. ARGV[i])
  said[i + 1] = redis.call('ZLEXCOUNT', KEYS[2], '-', '(' .. ARGV[i + 1])
end
return {position, table.concat(said, ' ')}
"""
)

# How many -> position, digest, and so many cards at random. What is found damaged ends here.
LOOK = Script(
    _WHOLE
    + """
local position, digest = whole()
if not position then return false end
local cards = redis.call('HRANDFIELD', KEYS[3], ARGV[1], 'WITHVALUES')
for i = 1, #cards, 2 do
  local id, card = cards[i], cards[i + 1]
  if not redis.call('ZSCORE', KEYS[1], string.sub(card, 1, 8) .. id)
    or not redis.call('ZSCORE', KEYS[2], string.sub(card, 9, 16) .. id)
  then redis.call('UNLINK', KEYS[4]) return false end
end
return {position, digest, cards}
"""
)

# From, to, digest, and for each an id and a card, empty for what leaves -> the position reached, or
# -1. Without its meta a group is none, so one that this ends half-way in is never read.
APPLY = Script(
    _WHOLE
    + """
local position = whole()
if not position then return -1 end
if position < tonumber(ARGV[1]) or position >= tonumber(ARGV[2]) then return position end
redis.call('DEL', KEYS[4])
for i = 4, #ARGV, 2 do
  local id, card = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[3], id)
  if old then
    redis.call('ZREM', KEYS[1], string.sub(old, 1, 8) .. id)
    redis.call('ZREM', KEYS[2], string.sub(old, 9, 16) .. id)
    redis.call('HDEL', KEYS[3], id)
  end
  if card ~= '' then
    redis.call('ZADD', KEYS[1], 0, string.sub(card, 1, 8) .. id)
    redis.call('ZADD', KEYS[2], 0, string.sub(card, 9, 16) .. id)
    redis.call('HSET', KEYS[3], id, card)
  end
end
redis.call('HSET', KEYS[4], 'position', ARGV[2], 'digest', ARGV[3],
  'count', redis.call('ZCARD', KEYS[1]))
return whole() or -1
"""
)

# Under temporary keys: milliseconds to live, and for each an id and a card.
FILL = Script("""
for i = 2, #ARGV, 2 do
  local id, card = ARGV[i], ARGV[i + 1]
  redis.call('ZADD', KEYS[1], 0, string.sub(card, 1, 8) .. id)
  redis.call('ZADD', KEYS[2], 0, string.sub(card, 9, 16) .. id)
  redis.call('HSET', KEYS[3], id, card)
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
""")

# Keys and temporary keys; position, digest, count -> the position reached, or -1. A board that is
# whole and newer stays.
SWAP = Script(
    _WHOLE
    + """
local count, position = tonumber(ARGV[3]), whole()
if redis.pcall('ZCARD', KEYS[5]) ~= count or redis.pcall('ZCARD', KEYS[6]) ~= count
  or redis.pcall('HLEN', KEYS[7]) ~= count then position = -1
elseif not position or position <= tonumber(ARGV[1]) then
  redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  for i = 1, count > 0 and 3 or 0 do
    redis.call('RENAME', KEYS[i + 4], KEYS[i])
    redis.call('PERSIST', KEYS[i])
  end
  redis.call('HSET', KEYS[4], 'position', ARGV[1], 'digest', ARGV[2], 'count', count)
  position = tonumber(ARGV[1])
end
redis.call('UNLINK', KEYS[5], KEYS[6], KEYS[7])
return position
"""
)

# A digest: removes the group if it still is at that event.
DROP = Script("""
if redis.pcall('HGET', KEYS[4], 'digest') == ARGV[1] then
  redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
end
""")

# Position, milliseconds to live, and the fields -> the position that was there, or -1.
CONFIRM = Script("""
local known = redis.pcall('HGET', KEYS[1], 'position')
known = type(known) == 'string' and tonumber(known) or -1
if known <= tonumber(ARGV[1]) then
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return known
""")


# Talking to Redis.


async def send(client: "redis.Redis", commands: Sequence[Command]) -> list[Any]:
    """The replies to all commands, sent at once; an error in answer to one is its reply.

    Raises: CacheAway.
    """
    replies = await _send(client, commands)
    forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        whole = [("EVAL", _texts[str(commands[i][1])], *commands[i][2:]) for i in forgotten]
        for i, reply in zip(forgotten, await _send(client, whole), strict=True):
            replies[i] = reply
    return replies


async def _send(client: "redis.Redis", commands: Sequence[Command]) -> list[Any]:
    try:
        async with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))
    except REDIS_AWAY as reason:
        raise CacheAway(f"{type(reason).__name__}: {reason}") from reason


class Circuit:
    """Redis as a request may use it: once it did not answer in time, it is left alone for a while,
    and then one request tries again."""

    def __init__(
        self,
        client: "redis.Redis",
        *,
        patience: float = 0.2,
        rest: float = 1.0,
        otherwise: str = "boards come from PostgreSQL",
    ) -> None:
        """Units: seconds that a request waits for Redis, and that Redis is left alone. `otherwise`
        is what happens then, for the log."""
        self._client = client
        self._otherwise = otherwise
        self._patience = patience
        self._rest = rest
        self._next_try: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether Redis is being left alone."""
        return self._next_try is not None

    async def _sent(self, commands: Sequence[Command]) -> list[Any]:
        async with asyncio.timeout(self._patience):
            return await send(self._client, commands)

    async def send(self, commands: Sequence[Command]) -> list[Any] | None:
        """The replies, as `send` has them, or None without delay while Redis is left alone."""
        if self._next_try is not None:
            if time.monotonic() < self._next_try:
                return None
            # Whoever comes while this one tries does without.
            self._leave_alone()
        try:
            names = " ".join(str(command[0]) for command in commands)
            with step(REDIS, names):
                replies = await owned(self._sent(commands))
        except (CacheAway, TimeoutError) as reason:
            if not self.is_open:
                log.warning("%s, Redis is away: %s", self._otherwise, reason)
            self._leave_alone()
            return None
        self._next_try = None
        return replies

    def _leave_alone(self) -> None:
        self._next_try = time.monotonic() + self._rest


# Keeping the boards.

_REACHED = (
    f"SELECT c.position, encode(at.digest, 'hex') AS digest, ({HISTORY}) AS history"
    " FROM projection_checkpoint c JOIN event at ON at.position = c.position"
    " WHERE c.name = 'rank_board'"
)
_CHANGED = (
    f"SELECT {COLUMNS}, b.place > 0 AS listed FROM {TABLES}"
    " WHERE b.position > $1 AND b.kind <> ALL ($2) LIMIT $3"
)
_LARGE = "SELECT kind FROM rank_board WHERE position > $1 GROUP BY kind HAVING count(*) > $2"
_LISTED = f"SELECT {COLUMNS} FROM {TABLES} WHERE b.place > 0 AND b.kind = ANY ($1)"
_SAMPLED = f"SELECT {COLUMNS}, b.place > 0 AS listed FROM {TABLES} WHERE b.artifact_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class _Head:
    """How far `rank_board` has come, and in which history."""

    position: int
    digest: str
    history: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A group in Redis: as it was at `position`, and nothing has changed it up to `complete`."""

    position: int
    complete: int


class RankCache:
    """Keeps the boards in Redis as they are in PostgreSQL. Any number of processes may run one;
    one of them works."""

    def __init__(
        self,
        url: str,
        listener: Listener,
        client: "redis.Redis",
        *,
        audit: float = 2.0,
        lease: float = 10.0,
    ) -> None:
        """Units: seconds between audits, and for which readers may rely on a confirmation."""
        self._url = url
        self._listener = listener
        self._client = client
        self._audit = audit
        self._lease = lease
        self._kept: dict[str, _Kept] = {}
        self._history = ""
        self._next_audit = 0.0
        self._next_refill = 0.0
        self._confirmed = False
        self.leads = False

    async def run(self) -> None:
        """Works as soon as nobody else does, without end; waits for whatever is away."""
        while True:
            try:
                await self._lead()
            except AWAY as reason:
                log.warning("boards in Redis: lost the database, trying again: %s", reason)
            except Exception:
                # Without this task answers would get slower for good, and nobody would see why.
                log.exception("boards in Redis: failed, trying again")
            finally:
                self.leads = False
            await asyncio.sleep(0.2)

    async def _lead(self) -> None:
        db = await connect(self._url, "rank cache")
        try:
            # Waits in line; goes with the connection, without which there is nothing to write.
            await advisory_lock(db, CACHING)
            self.leads = True
            await self._follow(db)
        finally:
            db.terminate()

    async def _follow(self, db: Connection) -> None:
        self._forget()
        pause = PAUSES[0]
        async with self._listener.wakes(PROJECTED) as wakes:
            while True:
                try:
                    settled = await self.advance(db)
                except CacheAway as reason:
                    # Whatever comes back may be empty or old.
                    self._forget()
                    settled = False
                    log.log(
                        logging.WARNING if pause == PAUSES[0] else logging.DEBUG,
                        "boards in Redis: it is away, trying again: %s",
                        reason,
                    )
                if settled:
                    pause = PAUSES[0]
                    await wakes.wait(self._audit)
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, PAUSES[-1])

    def _forget(self) -> None:
        self._kept = {}
        self._next_audit = 0.0
        self._confirmed = False

    async def advance(self, db: Connection) -> bool:
        """Brings what has changed to Redis; says whether it then agrees with PostgreSQL.

        Raises: CacheAway, one of AWAY.
        """
        async with db.transaction(isolation="repeatable_read", readonly=True):
            await db.execute(READING)
            row = await db.fetchrow(_REACHED)
            if row is None:  # no event, no board
                return True
            head = _Head(**row)
            if head.history != self._history or time.monotonic() >= self._next_audit:
                await self._look(db, head)
            large = await self._apply_changes(db, head)
            missing = large | (set(GROUPS) - set(self._kept))
            if missing and time.monotonic() >= self._next_refill:
                await self._refill(db, head, missing)
        return await self._confirm(head)

    async def _look(self, db: Connection, head: _Head) -> None:
        """Finds out which groups are whole and of this history, and removes what only seems so."""
        if head.history != self._history:
            self._forget()
            self._history = head.history
        said, *looks = await send(
            self._client,
            [
                ("HMGET", position_key(head.history), "position", "digest", *GROUPS),
                *(LOOK.call(keys(head.history, group), SAMPLE) for group in GROUPS),
            ],
        )
        confirmed = _confirmation(said)
        found = {g: one for g, look in zip(GROUPS, looks, strict=True) if (one := _found(look))}
        digests = await _digests(db, [confirmed.position, *(f.position for f in found.values())])
        rows = await _sampled(db, found.values())
        wrong = {
            group: one.digest
            for group, one in found.items()
            if digests.get(one.position) != one.digest
            or (one.position <= head.position and not _agree(one, rows))
        }
        drops = [DROP.call(keys(head.history, g), digest) for g, digest in wrong.items()]
        if digests.get(confirmed.position) != confirmed.digest:
            drops.append(("UNLINK", position_key(head.history)))
            confirmed = _UNCONFIRMED
        await self._tell(drops)
        self._kept = {
            group: self._seen(group, one.position, confirmed)
            for group, one in found.items()
            if group not in wrong
        }
        self._next_audit = time.monotonic() + self._audit

    def _seen(self, group: str, position: int, confirmed: "_Confirmation") -> _Kept:
        """What is known of a group that is as it was at `position`."""
        known = self._kept.get(group)
        if known is not None and known.position == position:
            return known
        seen = confirmed.seen.get(group)
        return _Kept(position, complete_up_to(position, confirmed.position, seen))

    async def _apply_changes(self, db: Connection, head: _Head) -> set[str]:
        """Brings the groups in which little has changed up to date; returns the others."""
        after = min((kept.complete for kept in self._kept.values()), default=head.position)
        if after >= head.position:
            return set()
        changed, large = await _changes(db, after)
        large &= set(self._kept)  # what is missing is built anew in any case
        touched = [group for group in changed if group in self._kept and group not in large]
        calls = [
            APPLY.call(
                keys(head.history, group),
                # Nothing has changed it between the two.
                min(after, self._kept[group].position),
                *(head.position, head.digest, *changed[group]),
            )
            for group in touched
        ]
        for group in set(self._kept) - set(touched) - large:
            kept = self._kept[group]
            self._kept[group] = _Kept(kept.position, max(kept.complete, head.position))
        self._reached(touched, await self._tell(calls))
        return large

    def _reached(self, groups: Sequence[str], positions: Sequence[int]) -> None:
        for group, position in zip(groups, positions, strict=True):
            if position < 0:
                self._kept.pop(group, None)
            else:
                self._kept[group] = _Kept(position, position)

    async def _refill(self, db: Connection, head: _Head, missing: set[str]) -> None:
        """Builds groups from all their rows beside what is there, and then puts each in place."""
        started = time.monotonic()
        groups, token = sorted(missing), uuid4().hex
        unfinished = {
            group: [f"{key}:{token}" for key in keys(head.history, group)[:3]] for group in groups
        }
        counts = dict.fromkeys(groups, 0)
        try:
            cursor = await db.cursor(_LISTED, list(Kind) if ALL in missing else groups)
            while rows := await cursor.fetch(4 * MOST_AT_ONCE):
                await self._tell(list(_filling(rows, unfinished, counts)))
            swaps = [
                SWAP.call(
                    (*keys(head.history, group), *unfinished[group]),
                    head.position,
                    head.digest,
                    counts[group],
                )
                for group in groups
            ]
            self._reached(groups, await self._tell(swaps))
        finally:
            # Where Redis is too small for the boards, or all of them change all the time, this
            # would go on without end and leave nothing for anybody else.
            took = time.monotonic() - started
            self._next_refill = time.monotonic() + min(took, LONGEST_REST)
        log.info(
            "boards in Redis: built %s rows of %s boards in %.1f s",
            sum(counts.values()),
            len(groups),
            took,
        )

    async def _confirm(self, head: _Head) -> bool:
        """Writes down which groups are complete up to there; says whether all are."""
        complete = {g: kept for g, kept in self._kept.items() if kept.complete >= head.position}
        fields = [word for group, kept in complete.items() for word in (group, kept.position)]
        (known,) = await self._tell(
            [
                CONFIRM.call(
                    [position_key(head.history)],
                    head.position,
                    int(self._lease * 1000),
                    *("position", head.position, "digest", head.digest, *fields),
                )
            ]
        )
        # What was there a moment ago is gone, and maybe not alone.
        lost = self._confirmed and known < 0
        self._confirmed = not lost
        if lost:
            self._next_audit = 0.0
        return not lost and len(complete) == len(GROUPS)

    async def _tell(self, commands: Sequence[Command]) -> list[Any]:
        """The replies, of which none is an error. Raises: CacheAway."""
        replies = await send(self._client, commands) if commands else []
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise CacheAway(str(reply)) from reply
        return replies


async def forget(db: Connection, client: "redis.Redis") -> None:
    """Removes the boards of this history, so that they are built anew: for when the rows they were
    made from have been computed anew. Raises: CacheAway, one of AWAY."""
    row = await db.fetchrow(_REACHED)
    if row is not None:
        history = row["history"]
        names = [key for group in GROUPS for key in keys(history, group)]
        await send(client, [("UNLINK", key) for key in (position_key(history), *names)])


def complete_up_to(position: int, confirmed: int, seen: int | None) -> int:
    """Up to where a group is complete that is as it was at `position`, when it is written down
    that what it was at `seen` it still was at `confirmed`."""
    return max(position, confirmed) if position == seen else position


@dataclass(frozen=True, slots=True)
class _Confirmation:
    """How far all groups have come, as it is written down; a position of 0 when it is not."""

    position: int
    digest: str
    seen: Mapping[str, int]


_UNCONFIRMED = _Confirmation(0, "", {})


def _confirmation(said: Any) -> _Confirmation:
    try:
        position, digest, *seen = said
        groups = {g: int(at) for g, at in zip(GROUPS, seen, strict=True) if at is not None}
        return _Confirmation(int(position), digest.decode(), groups)
    except (TypeError, ValueError, AttributeError):  # an error, nothing there, or no numbers
        return _UNCONFIRMED


@dataclass(frozen=True, slots=True)
class _Found:
    """A group that is whole, and some of its cards by artifact."""

    position: int
    digest: str
    cards: Mapping[bytes, bytes]


def _found(said: Any) -> _Found | None:
    if not isinstance(said, list):
        return None
    position, digest, cards = said
    return _Found(
        position, digest.decode(errors="replace"), dict(zip(cards[::2], cards[1::2], strict=True))
    )


async def _digests(db: Connection, positions: Collection[int]) -> dict[int, str]:
    """The digest of each event that there is."""
    rows = await db.fetch(
        "SELECT position, encode(digest, 'hex') FROM event WHERE position = ANY ($1)",
        [position for position in positions if 0 < position < 2**63],
    )
    return {row[0]: row[1] for row in rows}


async def _sampled(db: Connection, found: Iterable[_Found]) -> dict[bytes, asyncpg.Record]:
    """The rows of the artifacts whose cards were found."""
    ids: set[UUID] = set()
    for id in {id for one in found for id in one.cards}:
        with suppress(ValueError):  # which then has no row
            ids.add(UUID(id.decode()))
    return {row[0].hex.encode(): row for row in await db.fetch(_SAMPLED, list(ids))}


def _agree(found: _Found, rows: Mapping[bytes, asyncpg.Record]) -> bool:
    """Whether the cards say what the rows do, as far as those have not changed since."""
    for id, said in found.cards.items():
        row = rows.get(id)
        if row is None:
            return False
        if row["position"] <= found.position and not (row["listed"] and card(row[1:14]) == said):
            return False
    return True


async def _changes(db: Connection, after: int) -> tuple[dict[str, list[Word]], set[str]]:
    """What has changed since, for each group an id and a card for each artifact; and the groups in
    which that is too much, whose changes are not among these."""
    large: set[str] = set()
    rows = await db.fetch(_CHANGED, after, [], MOST_AT_ONCE + 1)
    if len(rows) > MOST_AT_ONCE:
        large = {ALL, *(row[0] for row in await db.fetch(_LARGE, after, MOST_AT_ONCE))}
        rows = await db.fetch(_CHANGED, after, list(large), None)
    changed: dict[str, list[Word]] = defaultdict(list)
    for row in rows:
        words = (row[0].hex, card(row[1:14]) if row["listed"] else b"")
        for group in (ALL, row["kind"]):
            changed[group] += words
    return changed, large


def _filling(
    rows: Iterable[asyncpg.Record],
    unfinished: Mapping[str, Sequence[str]],
    counts: dict[str, int],
) -> Iterable[Command]:
    """The commands that add rows to the groups being built; counts them too."""
    chunks: dict[str, list[Word]] = defaultdict(list)
    for row in rows:
        words: tuple[Word, ...] = (row[0].hex, card(row[1:14]))
        for group in (ALL, row["kind"]):
            if group in unfinished:
                chunks[group] += words
                counts[group] += 1
    for group, chunk in chunks.items():
        for start in range(0, len(chunk), 2 * MOST_AT_ONCE):
            some = chunk[start : start + 2 * MOST_AT_ONCE]
            yield FILL.call(unfinished[group], UNFINISHED, *some)
