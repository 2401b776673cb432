"""Clients that use the catalog as others do, and keep account of what they were told.

Each sends commands with names of their own (idempotency keys), reads what it wrote, looks at the
board and searches; others follow what changes. Nobody is told in advance when something fails.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from faults.frame import PATIENCE, Broken, until

# What a server may say while something is broken, and what a caller does then: asks again.
UNDONE = frozenset({"UNAVAILABLE", "RATE_LIMITED", "TOO_MANY_REQUESTS"})
PASSING = UNDONE | {"OUTCOME_UNKNOWN", "CONFLICT", "BEHIND", "TIMEOUT"}

PROVENANCE = 'provenance: {source: "https://example.org", observedAt: "2026-11-01T00:00:00Z"}'
REGISTER = f"""mutation Register($slug: String!, $kind: ArtifactKind!, $key: String!) {{
  done: registerArtifact(slug: $slug, kind: $kind, idempotencyKey: $key,
    facts: {{name: $slug, description: "Reads tables out of scanned pages."}}, {PROVENANCE}) {{
    __typename ... on ArtifactRegistered {{ position }} ... on Refusal {{ message }} }} }}"""
OBSERVE = """mutation Observe($slug: String!, $value: Decimal!, $at: DateTime!, $key: String!) {
  done: observeSignal(slug: $slug, idempotencyKey: $key,
    signal: {name: STARS, value: $value, source: "example", observedAt: $at}) {
    __typename ... on SignalObserved { position } ... on Refusal { message } } }"""
REPORT = """mutation Report($token: String!, $key: String!) {
  done: reportOutcome(token: $token, outcome: CHOSEN, idempotencyKey: $key) {
    __typename ... on OutcomeReported { position } ... on OutcomeDiscarded { reason message } } }"""
OWN = """query Own($slug: String!, $position: Position!) @atLeast(position: $position) {
  artifact(slug: $slug) { slug } }"""
BOARD = """query Board($kind: ArtifactKind) {
  rankBoard(kind: $kind, first: 50) { position nodes { slug rank { score } } } }"""
SEARCH = """query Search($text: String!) {
  search(need: {text: $text}, first: 3) { searchId recorded nodes { outcomeToken } } }"""
CATALOG = """subscription Catalog($after: Position, $cursor: String) {
  change: catalogChanged(after: $after, cursor: $cursor) { position cursor slug } }"""
RANKS = """subscription Ranks($after: Position, $cursor: String) {
  change: rankChanged(minDelta: 0, after: $after, cursor: $cursor) { position cursor slug } }"""

KINDS = ("MODEL", "CLI", "SKILL")
NEEDS = ("read tables out of scanned pages", "tables from pages", "scanned tables without cloud")


@dataclass
class Account:
    """What callers were told, by the names of their commands.

    `refused` are commands of which a server said that they were not done, and how, and that nobody
    sent again. `wrong` is what should never have been said. Units: `slowest` and
    `slowest_read`, of commands and questions and of questions alone, in seconds.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    resolved: int = 0
    searches: set[str] = field(default_factory=set)
    answered: int = 0
    slowest: float = 0.0
    slowest_read: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Api:
    """One caller's view of the server, by HTTP."""

    def __init__(
        self, http: httpx.AsyncClient, key: str | None, account: Account, address: str = ""
    ) -> None:
        self._http = http
        self._account = account
        self._address = f"{address}/graphql"
        self.headers = {"x-searcher": "nobody"}
        # Of the last error.
        self.said = ""
        if key is not None:
            self.headers["authorization"] = f"Bearer {key}"

    async def ask(self, query: str, **variables: Any) -> tuple[Any, str | None]:
        """The data of an answer, or a code instead; that of a lost connection is `LOST`."""
        begun = time.monotonic()
        try:
            response = await self._http.post(
                self._address, json={"query": query, "variables": variables}, headers=self.headers
            )
            answer = response.json()
        except (httpx.TransportError, json.JSONDecodeError):
            self._account.codes["LOST"] += 1
            return None, "LOST"
        took = time.monotonic() - begun
        self._account.slowest = max(self._account.slowest, took)
        if query.startswith("query"):
            self._account.slowest_read = max(self._account.slowest_read, took)
        if errors := answer.get("errors"):
            code = str(errors[0].get("extensions", {}).get("code"))
            self._account.codes[code] += 1
            self.said = f"{response.status_code} {errors[0].get('message')}"
            if code not in PASSING:
                self._account.wrong.append(f"{response.status_code} {errors[0]}")
            return None, code
        self._account.answered += 1
        return answer["data"], None


class Load:
    """So many callers at once, until they are told to stop."""

    def __init__(
        self, address: str, keys: Sequence[str], *, seed: int, pause: float = 0.01
    ) -> None:
        """Units: `pause` in seconds, which each caller leaves between two requests."""
        self.account = Account()
        self.address = address
        self._keys = keys
        self._seed = seed
        self._pause = pause
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._slugs: list[tuple[str, int]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """The callers are at work while the block runs."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        # Longer than a server may take: who gives up sooner would not see that it hangs.
        async with httpx.AsyncClient(base_url=self.address, timeout=40, limits=limits) as http:
            self._tasks = [
                asyncio.create_task(self._call(http, number, key))
                for number, key in enumerate(self._keys)
            ]
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def settled(self) -> bool:
        """Whether the callers were told to stop."""
        return self._stopping

    async def settle(self) -> None:
        """Has the callers stop; returns when each knows what became of its last command. Raises:
        Broken."""
        self._stopping = True
        try:
            await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)
        except TimeoutError:
            raise Broken("a command is still in doubt long after everything is back") from None
        self.check()

    async def more(self, commands: int, reads: int = 0) -> None:
        """Returns when so many more commands are acknowledged and so many more questions are
        answered than are now. Raises: Broken."""
        done = len(self.account.acknowledged) + commands
        read = self.account.answered + commands + reads

        async def enough() -> bool:
            self.check()
            return len(self.account.acknowledged) >= done and self.account.answered >= read

        await until(
            enough,
            f"{commands} more commands and {reads} more answers",
            patience=PATIENCE + commands,
        )

    def check(self) -> None:
        """Raises: Broken if anything was said that should not have been."""
        if self.account.wrong:
            raise Broken(f"an answer that should not be: {self.account.wrong[0]}")

    async def _call(self, http: httpx.AsyncClient, number: int, key: str) -> None:
        choices = random.Random(f"{self._seed} {number}")
        api = Api(http, key, self.account)
        turn = 0
        # Each tells of artifacts of its own, so that nobody is told of an older number last.
        own: list[str] = []
        while not self._stopping:
            turn += 1
            name = f"{number}-{turn}"
            api.headers["x-searcher"] = f"caller-{number}-{turn // 50}"
            what = choices.random()
            if what < 0.4 or not self._slugs:
                slug = f"thing-{self._seed}-{name}"
                kind = choices.choice(KINDS)
                position = await self._command(api, choices, name, REGISTER, slug=slug, kind=kind)
                if position is not None:
                    self._slugs.append((slug, position))
                    own.append(slug)
            elif what < 0.6 and own:
                at = f"2026-11-{1 + turn // 86_400 % 20:02}T{turn // 3600 % 24:02}"
                at += f":{turn // 60 % 60:02}:{turn % 60:02}.{number:03}Z"
                value = str(choices.randrange(1_000_000))
                await self._command(api, choices, name, OBSERVE, slug=own[-1], value=value, at=at)
            elif what < 0.75:
                await self._search(api, choices, name)
            elif what < 0.9:
                await self._look(api, choices.choice((*KINDS, None)))
            else:
                slug, position = choices.choice(self._slugs)
                found, _ = await api.ask(OWN, slug=slug, position=str(position))
                if found is not None and found["artifact"] is None:
                    self.account.wrong.append(f"{slug} is gone, which was acknowledged")
            await asyncio.sleep(self._pause)

    async def _command(
        self, api: Api, choices: random.Random, name: str, query: str, **variables: Any
    ) -> int | None:
        """Sends a command until it is known what became of it; its position if it was done."""
        in_doubt = False
        while True:
            data, code = await api.ask(query, key=name, **variables)
            if data is not None:
                done = data["done"]
                if "position" not in done:
                    if done.get("reason") != "OVER_CAP":
                        self.account.wrong.append(f"{name}: {done}")
                    return None
                self.account.acknowledged[name] = position = int(done["position"])
                self.account.resolved += in_doubt
                return position
            if code in UNDONE:
                # Half of them are never sent again: the log may not have them.
                if not in_doubt and choices.random() < 0.5:
                    self.account.refused[name] = api.said
                    await asyncio.sleep(0.05)
                    return None
            elif code in PASSING or code == "LOST":
                in_doubt = True
            else:
                return None
            await asyncio.sleep(0.05 + choices.random() / 10)

    async def _search(self, api: Api, choices: random.Random, name: str) -> None:
        data, _ = await api.ask(SEARCH, text=choices.choice(NEEDS))
        if data is None or not data["search"]["recorded"]:
            return
        self.account.searches.add(data["search"]["searchId"])
        tokens = [one["outcomeToken"] for one in data["search"]["nodes"] if one["outcomeToken"]]
        if tokens:
            await self._command(api, choices, name, REPORT, token=tokens[0])

    async def _look(self, api: Api, kind: str | None) -> None:
        data, _ = await api.ask(BOARD, kind=kind)
        if data is None:
            return
        nodes = data["rankBoard"]["nodes"]
        slugs = [node["slug"] for node in nodes]
        if kind is None and not nodes and len(self._slugs) > 1:
            oldest = min(position for _, position in self._slugs)
            if int(data["rankBoard"]["position"]) >= oldest:
                self.account.wrong.append("an empty board where artifacts were acknowledged")
        if len(set(slugs)) < len(slugs):
            self.account.wrong.append(f"an artifact twice on a board: {slugs}")


class Follower:
    """Somebody who follows what changes, and comes back behind the last change after a loss."""

    def __init__(self, address: str, query: str, key: str | None, *, after: int) -> None:
        self.after = after
        self._address = address.replace("http", "ws", 1) + "/graphql"
        self._query = query
        self._init = None if key is None else {"authorization": f"Bearer {key}"}
        self._cursor: str | None = None
        self.heard: list[tuple[int, str]] = []
        self.closed: Counter[int] = Counter()
        self.wrong: list[str] = []

    @asynccontextmanager
    async def following(self) -> AsyncIterator["Follower"]:
        """Follows while the block runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                await self._listen()
            await asyncio.sleep(0.1)

    async def _listen(self) -> None:
        async with connect(
            self._address,
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            close_timeout=1,
        ) as socket:
            try:
                await socket.send(json.dumps({"type": "connection_init", "payload": self._init}))
                await socket.recv()
                behind = (
                    {"after": str(self.after)} if self._cursor is None else {"cursor": self._cursor}
                )
                payload = {"query": self._query, "variables": behind}
                await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
                while True:
                    message = json.loads(await socket.recv())
                    if message["type"] == "next":
                        self._hear(message["payload"])
                    elif message["type"] == "ping":
                        await socket.send(json.dumps({"type": "pong"}))
                    elif message["type"] in ("error", "complete"):
                        self._end(message)
                        return
            finally:
                if socket.close_code is not None:
                    self.closed[socket.close_code] += 1

    def _hear(self, payload: Any) -> None:
        if payload.get("errors"):
            self._end({"payload": payload["errors"]})
            return
        change = payload["data"]["change"]
        self._cursor = change["cursor"]
        self.heard.append((int(change["position"]), change["slug"]))

    def _end(self, message: Any) -> None:
        for error in message.get("payload", ()):
            extensions = error.get("extensions", {})
            self._cursor = extensions.get("cursor") or self._cursor
            if extensions.get("code") not in (*PASSING, "SLOW_SUBSCRIBER"):
                self.wrong.append(f"a subscription ended with {error}")
