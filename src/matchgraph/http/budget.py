"""What each may ask for in a minute: counted in Redis for all processes, without it in each.

Whoever has a key or a token has a budget of their own; all others share that of their address. What
somebody calls themselves beside that (`X-Searcher`) makes no difference. docs/limits.md has the
figures and the headers.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from math import ceil

import redis.asyncio as redis
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import Scope
from strawberry.types import ExecutionResult

from matchgraph.graphql.context import ANONYMOUS
from matchgraph.graphql.limits import (
    CODES,
    MOST_POINTS,
    RATE_LIMITED,
    TIMEOUT,
    Bill,
    Left,
    Limited,
    Purse,
    RateLimited,
)
from matchgraph.http.access import Caller
from matchgraph.projections.rank_cache import Circuit, Script

# Units: seconds.
MINUTE = 60.0
# So many budgets are counted in this process while Redis is away; those beyond share them.
MOST_COUNTED = 16_384
# Units: bits of an address of IPv6 that whoever has one of them chooses freely.
OWN_BITS = 64

# A window in milliseconds, the budget, the price -> 1 or 0, the points of the last window and of
# this one, and milliseconds since this one began. By the clock of Redis, as processes have others.
CHARGE = Script("""
local window, budget, price = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number, since = math.floor(now / window), now % window
local said = redis.pcall('HMGET', KEYS[1], 'number', 'before', 'here')
local known, before, here = tonumber(said[1]), tonumber(said[2]), tonumber(said[3])
if not (known and before and here) then
  if said.err then redis.call('UNLINK', KEYS[1]) end
  before, here = 0, 0
elseif known < number - 1 then before, here = 0, 0
elseif known < number then before, here = here, 0
end
local paid = before * (window - since) / window + here + price <= budget
if paid then
  here = here + price
  redis.call('HSET', KEYS[1], 'number', number, 'before', before, 'here', here)
  redis.call('PEXPIRE', KEYS[1], 2 * window)
end
return {paid and 1 or 0, before, here, since}
""")


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What each may have, with a key or token, and from an address without one: points a minute,
    and connections that stay open; None: nobody counts."""

    points_per_key: int | None = None
    points_per_address: int | None = None
    sockets_per_key: int | None = None
    sockets_per_address: int | None = None

    @property
    def most_points(self) -> int:
        """What an operation may cost, whoever asks: nobody could pay for more than a budget."""
        budgets = (self.points_per_key, self.points_per_address)
        return min(MOST_POINTS, max(MOST_POINTS if one is None else one for one in budgets))


PRODUCTION = Allowance(
    points_per_key=5_000, points_per_address=500, sockets_per_key=20, sockets_per_address=100
)


@dataclass(frozen=True)
class Window:
    """What was used in the last minute of the clock and in this one, `since` seconds old.

    Of the last one counts what would lie less than a minute back, had it been used evenly.
    """

    before: float
    here: float
    since: float

    def used(self) -> float:
        """What counts now."""
        return self.before * (MINUTE - self.since) / MINUTE + self.here

    def wait(self, room: float) -> float:
        """Seconds until no more than `room` is used. Units: `room` in points, 0 or more."""
        if self.used() <= room:
            return 0.0
        if self.here <= room:
            return MINUTE * (1 - (room - self.here) / self.before) - self.since
        return MINUTE - self.since + MINUTE * (1 - room / self.here)

    def left(self, budget: int, price: int, *, paid: bool) -> Left:
        """What is left of the budget."""
        reset = 2 * MINUTE - self.since if self.here else MINUTE - self.since if self.before else 0
        return Left(
            budget=budget,
            remaining=max(0, int(budget - self.used())),
            reset=ceil(reset),
            wait=0.0 if paid else max(1.0, ceil(self.wait(budget - price))),
        )


class Budgets:
    """The budgets of all who ask."""

    def __init__(
        self, client: "redis.Redis", allowance: Allowance, *, patience: float = 0.2
    ) -> None:
        """Units: `patience` in seconds, for which a request waits for Redis."""
        self._circuit = Circuit(
            client, patience=patience, otherwise="budgets are counted in each process"
        )
        self._allowance = allowance
        # By a hash, so that there are never more of them, whoever makes up addresses.
        self._counted: dict[int, tuple[int, Window]] = {}

    def of(self, caller: Caller) -> int | None:
        """Points a minute for whoever asks; None: nobody counts."""
        known = caller.actor != ANONYMOUS
        return self._allowance.points_per_key if known else self._allowance.points_per_address

    def purse(self, scope: Scope, caller: Caller) -> Purse | None:
        """The budget of whoever asks; None: nobody counts."""
        budget = self.of(caller)
        if budget is None:
            return None
        known = caller.actor != ANONYMOUS
        return _Purse(self, caller.actor if known else f"address:{address(scope)}", budget)

    async def charge(self, who: str, budget: int, price: int) -> Left:
        """Takes so many points from that budget. Raises: RateLimited."""
        key = f"matchgraph:{{budget:{sha256(who.encode()).hexdigest()[:32]}}}"
        replies = await self._circuit.send([CHARGE.call([key], int(MINUTE * 1000), budget, price)])
        match replies:
            case [[int() as said, int() as before, int() as here, int() as since]]:
                paid, window = said == 1, Window(before, here, since / 1000)
            case _:
                paid, window = self._charge_here(who, budget, price)
        left = window.left(budget, price, paid=paid)
        if not paid:
            raise RateLimited(price, left)
        return left

    def _charge_here(self, who: str, budget: int, price: int) -> tuple[bool, Window]:
        """The same in this process alone."""
        number, since = divmod(time.monotonic(), MINUTE)
        slot = hash((who, budget)) % MOST_COUNTED
        known, window = self._counted.get(slot, (-2, Window(0, 0, 0)))
        if known < number:
            window = Window(window.here if known == number - 1 else 0, 0, since)
        window = Window(window.before, window.here, since)
        paid = window.used() + price <= budget
        if paid:
            window = Window(window.before, window.here + price, since)
            self._counted[slot] = int(number), window
        return paid, window


@dataclass(frozen=True)
class _Purse:
    budgets: Budgets
    who: str
    budget: int

    async def charge(self, points: int) -> Left:
        return await self.budgets.charge(self.who, self.budget, points)


def address(scope: Scope) -> str:
    """Where a request comes from, as far as whoever sends it cannot choose; behind proxies that are
    trusted the server has found that out (see http/server.py)."""
    client = scope.get("client")
    try:
        found = ip_address(client[0] if client else "")
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{ip_address(int(found) >> OWN_BITS << OWN_BITS)}/{128 - OWN_BITS}"


# What the headers of an answer say of it.


def headers(left: Left) -> Mapping[str, str]:
    """By the draft of the IETF (draft-ietf-httpapi-ratelimit-headers-10), and as many know them."""
    said = {
        "ratelimit-policy": f'"points";q={left.budget};w={MINUTE:.0f}',
        "ratelimit": f'"points";r={left.remaining};t={left.reset:.0f}',
        "x-ratelimit-limit": str(left.budget),
        "x-ratelimit-remaining": str(left.remaining),
        "x-ratelimit-reset": str(ceil(time.time() + left.reset)),
    }
    return {**said, "retry-after": f"{left.wait:.0f}"} if left.wait else said


def refused(reason: Limited) -> Response:
    """The answer where a stream was asked for and none is begun."""
    left = reason.left if isinstance(reason, RateLimited) else None
    return JSONResponse(
        {"errors": [reason.formatted]},
        status_code=429 if reason.code == RATE_LIMITED else 400,
        headers=None if left is None else headers(left),
    )


def tell(answer: Response, bill: Bill | None, result: ExecutionResult) -> None:
    """Has the answer say what is left, and by its status what was refused."""
    if bill is not None and bill.left is not None:
        MutableHeaders(raw=answer.raw_headers).update(headers(bill.left))
    codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
    if result.data is not None:
        return
    if RATE_LIMITED in codes:
        answer.status_code = 429
    elif TIMEOUT in codes:
        answer.status_code = 503
    elif codes & set(CODES):
        answer.status_code = 400
