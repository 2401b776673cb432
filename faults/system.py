"""The catalog as it runs in production, in processes to be killed: an API, a projector, their
PostgreSQL and Valkey."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import redis.asyncio as redis

import matchgraph
from bench.frame import new_template, url_of
from bench.history import calibration, registered_and_observed, rows
from faults import checks
from faults.frame import FEW_ARTIFACTS, PATIENCE, Broken, Fault, Seen, until
from faults.load import CATALOG, RANKS, Account, Api, Follower, Load
from faults.proxy import Cut, Proxy
from faults.servers import Postgres, Valkey
from matchgraph.commands.key import issue
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.role import Role
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.eventstore.store import Request, open_store
from matchgraph.ledger.head import new_key

SEEN = Provenance(
    method=Method.OBSERVED, source="example", observed_at=datetime(2026, 1, 1, tzinfo=UTC)
)
BY = Request(actor="faults", request_id="faults")
SOURCES = os.pathsep.join(
    str(one) for one in (Path(matchgraph.__file__).parents[1], Path(__file__).parents[1])
)
# Units: events that are appended together.
AT_ONCE = 20_000
METRICS_TOKEN = "what the fault suite looks at metrics with"


class Program:
    """One process of the program `matchgraph`; what it says goes into a file."""

    def __init__(
        self, folder: Path, name: str, words: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.log = folder / f"{name}.log"
        self._words = words
        self._environment = {**os.environ, "PYTHONPATH": SOURCES, **environment}
        self._output: Path | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None, "started"
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, None while it runs."""
        return None if self._process is None else self._process.returncode

    async def start(self, *, output: Path | None = None, **environment: str) -> None:
        """Starts it, once it has ended; what it says goes to `output` or behind what it said."""
        with (self.log if output is None else output).open("ab") as file:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "matchgraph", *self._words),
                env={**self._environment, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    async def kill(self) -> None:
        """`kill -9`."""
        await self.end(signal.SIGKILL)

    async def end(self, number: int = signal.SIGTERM, *, patience: float = 30) -> float:
        """Sends a signal; returns the seconds that it took to end. Raises: Broken."""
        if self._process is None or self._process.returncode is not None:
            return 0.0
        begun = time.monotonic()
        self._process.send_signal(number)
        try:
            await asyncio.wait_for(self._process.wait(), patience)
        except TimeoutError:
            self._process.kill()
            raise Broken(f"a process did not end within {patience:.0f} s of a signal") from None
        return time.monotonic() - begun

    async def over(self) -> None:
        """Returns when it has ended by itself. Raises: Broken."""
        assert self._process is not None, "started"
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        except TimeoutError:
            await self.kill()
            raise Broken(f"`matchgraph {' '.join(self._words)}` does not end") from None

    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class System:
    """The servers of a whole run; each fault gets a database of its own."""

    def __init__(self, folder: Path, postgres: Postgres, valkey: Valkey, template: str) -> None:
        self.folder = folder
        self.postgres = postgres
        self.valkey = valkey
        self.template = template

    @staticmethod
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator["System"]:
        """Servers of its own in that folder, for as long as the block runs."""
        postgres = Postgres(folder / "servers")
        await postgres.start()
        (folder / "valkey").mkdir()
        valkey = Valkey(folder / "valkey")
        try:
            yield await System.over(folder, postgres, valkey)
        finally:
            valkey.kill()
            await postgres.stop()

    @staticmethod
    async def over(folder: Path, postgres: Postgres, valkey: Valkey) -> "System":
        """Over servers that somebody else keeps."""
        return System(folder, postgres, valkey, await new_template(postgres.url))

    @asynccontextmanager
    async def database(
        self, clauses: str = "", *, template: str | None = None
    ) -> AsyncIterator[str]:
        """The connection string of a new database, migrated unless it is of another template."""
        name = f"fault_{uuid4().hex[:12]}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template or self.template} {clauses}")
        try:
            yield url_of(self.postgres.url, name)
        finally:
            await self.run(f"DROP DATABASE {name} WITH (FORCE)")

    async def restore(self) -> None:
        """Has its servers there again, whatever was left of them."""
        if not self.postgres.runs:
            await self.postgres.stop()
            await self.postgres.start()
        if not self.valkey.runs:
            self.valkey.start()

    async def run(self, statement: str) -> None:
        """Runs a statement as whoever may do everything."""
        admin = await asyncpg.connect(self.postgres.url)
        try:
            await admin.execute(statement)
        finally:
            await admin.close()


@dataclass
class Run:
    """One fault on its way. `times` is how often to inject it, `small` says that little is at hand
    and a sample will do; `artifacts` is how many there are, 0: as many as the fault has."""

    system: System
    fault: Fault
    folder: Path
    times: int
    seed: int
    small: bool
    seen: Seen = field(default_factory=Seen)
    artifacts: int = 0

    def __post_init__(self) -> None:
        most = FEW_ARTIFACTS if self.small else self.fault.artifacts
        self.artifacts = self.artifacts or min(most, self.fault.artifacts)
        self.choices = random.Random(f"{self.seed} {self.fault.name}")

    def injections(self) -> Iterator[int]:
        """The numbers of the injections, each of which is counted once it is over."""
        for number in range(self.times):
            yield number
            self.seen.injected += 1

    def note(self, what: str) -> None:
        """Something for the table."""
        self.seen.notes.append(what)

    @asynccontextmanager
    async def catalog(
        self,
        *,
        cuts: "Cuts | None" = None,
        artifacts: int | None = None,
        clauses: str = "",
        callers: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator["Catalog"]:
        """An API and a projector over a new database, with callers at work and two who follow what
        changes. When the block ends without a failure, what must hold is checked."""
        artifacts = artifacts or self.artifacts
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(self.system.database(clauses))
            keys, start = await _prepared(url, artifacts, callers or (4 if self.small else 8))
            seen_by_api = url
            if cuts is not None:
                proxy = Proxy(url, self.folder, cuts.decide, tcp=True)
                cuts.proxy = await stack.enter_async_context(proxy)
                seen_by_api = proxy.url
            catalog = Catalog(self, url, seen_by_api, keys, start, artifacts, environment or {})
            await stack.enter_async_context(catalog.running())
            yield catalog
            await catalog.settle()


@dataclass
class Cuts:
    """When lines to PostgreSQL are cut: one append for each entry of `plan`, now and then."""

    choices: random.Random
    plan: list[Cut] = field(default_factory=list)
    share: float = 0.5
    proxy: Proxy | None = None

    def decide(self) -> Cut | None:
        """For the proxy, at each append."""
        return self.plan.pop() if self.plan and self.choices.random() < self.share else None


async def _prepared(url: str, artifacts: int, callers: int) -> tuple[list[str], int]:
    """Fills the log with a small catalog; returns keys for so many callers, and its end."""
    registered, observed = registered_and_observed(artifacts, 2)
    events = rows([*registered, *calibration(), *observed])
    async with open_store(url) as store:
        for first in range(0, len(events), AT_ONCE):
            await store.append_batch(events[first : first + AT_ONCE], BY)
        issued = [
            await issue(store, BY, f"caller {number}", Role.OPERATOR) for number in range(callers)
        ]
        return [one.key for one in issued if one.key is not None], await store.head()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


class Catalog:
    """The catalog, its callers, and what they were told."""

    def __init__(
        self,
        run: Run,
        url: str,
        seen_by_api: str,
        keys: list[str],
        start: int,
        artifacts: int,
        environment: Mapping[str, str],
    ) -> None:
        self._run = run
        self.url = url
        self.keys = keys
        self.start = start
        self._artifacts = artifacts
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        common = {
            "REDIS_URL": run.system.valkey.url,
            "MATCHGRAPH_MODE": "production",
            "MATCHGRAPH_PORT": str(self.port),
            "MATCHGRAPH_DATA": str(run.folder / "data"),
            "MATCHGRAPH_EMBEDDING": "off",
            "MATCHGRAPH_SECRET": "what the fault suite signs with",
            "MATCHGRAPH_SEARCH_KEYS": "what the fault suite wraps keys of searchers with",
            "MATCHGRAPH_LEDGER_KEY": new_key(),
            "MATCHGRAPH_METRICS_TOKEN": METRICS_TOKEN,
            **environment,
        }
        self.api = Program(
            *(run.folder, "api", ["serve", "--no-catalogs", "--no-projector"]),
            {**common, "DATABASE_URL": seen_by_api},
        )
        self.projector = Program(
            run.folder, "projector", ["project"], {**common, "DATABASE_URL": url}
        )
        self.common = {**common, "DATABASE_URL": url}
        self.load = Load(self.address, keys, seed=run.seed)
        self.followers = [
            Follower(self.address, query, keys[0], after=start) for query in (CATALOG, RANKS)
        ]
        self._callers = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything is at work while the block runs."""
        await asyncio.gather(self.api.start(), self.projector.start())
        try:
            await self.serving()
            await self._callers.enter_async_context(self.load.running())
            for follower in self.followers:
                await self._callers.enter_async_context(follower.following())
            yield
        finally:
            # What is wrong already has been told; callers who are ended now are nobody's concern.
            await asyncio.shield(self._ended())

    async def _ended(self) -> None:
        for one in (self.api, self.projector):
            await one.end(signal.SIGKILL)
        await self._callers.aclose()

    async def serving(self, api: Program | None = None, port: int | None = None) -> None:
        """Returns when the API, or another one, answers."""
        api = api or self.api
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port or self.port}") as http:

            async def answers() -> bool:
                if api.ended is not None:
                    raise Broken(f"the API ended by itself: {api.said()[-600:]}")
                try:
                    return (await http.get("/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, "the API to start")

    @asynccontextmanager
    async def another(self) -> AsyncIterator[str]:
        """One more API; gives its address."""
        port = free_port()
        environment = {**self.common, "MATCHGRAPH_PORT": str(port)}
        words = ["serve", "--no-catalogs", "--no-projector"]
        other = Program(self._run.folder, f"api-{port}", words, environment)
        await other.start()
        try:
            await self.serving(other, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            await other.end()

    async def lets_in(self, key: str | None) -> bool:
        """Whether the API lets somebody in with that key."""
        async with self._other(key) as api:
            data, code = await api.ask("{ ledger { head { position } } }")
        if data is None and code != "UNAUTHENTICATED":
            raise Broken(f"a key is neither taken nor refused, but {code}")
        return code is None

    async def fails(self, query: str, *, times: int = 1, **variables: str) -> bool:
        """Whether the API answers that with an error of its own, as often as it is asked."""
        async with self._other(self.keys[0]) as api:
            codes = {(await api.ask(query, **variables))[1] for _ in range(times)}
        return codes == {"INTERNAL"}

    @asynccontextmanager
    async def _other(self, key: str | None) -> AsyncIterator[Api]:
        """A caller whose account nobody settles."""
        async with httpx.AsyncClient(base_url=self.address, timeout=40) as http:
            yield Api(http, key, Account())

    async def take_in(self, artifacts: int) -> int:
        """Appends so many artifacts at once, none of which is there yet; returns the position."""
        registered, _ = registered_and_observed(self._artifacts + artifacts, 0)
        async with open_store(self.url) as store:
            end = await store.append_batch(rows(registered[self._artifacts :]), BY)
        self._artifacts += artifacts
        return end

    async def observe(self, value: str) -> None:
        """Appends one observed number of an artifact of its own."""
        artifact = Artifact.register(
            f"observed-{uuid4().hex[:12]}", Kind.MODEL, Facts(name="Observed"), SEEN
        )
        artifact.observe_signal(
            Signal(
                name=SignalName.STARS,
                value=Decimal(value),
                source="example",
                observed_at=SEEN.observed_at,
            )
        )
        async with open_store(self.url) as store:
            await store.append([artifact], BY)

    async def metrics(self) -> dict[str, float]:
        """What /metrics says."""
        async with httpx.AsyncClient(timeout=10) as http:
            said = await http.get(
                f"{self.address}/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"}
            )
        lines = [line for line in said.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines)}

    async def ready(self) -> dict[str, object]:
        """What /readyz says."""
        async with httpx.AsyncClient(timeout=10) as http:
            said = await http.get(
                f"{self.address}/readyz", headers={"authorization": f"Bearer {METRICS_TOKEN}"}
            )
        found: dict[str, object] = said.json()
        return found

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A connection that may do everything."""
        db = await asyncpg.connect(self.url)
        try:
            yield db
        finally:
            await db.close()

    @asynccontextmanager
    async def valkey(self) -> AsyncIterator["redis.Redis"]:
        """A connection to Valkey that waits."""
        client = redis.Redis.from_url(self._run.system.valkey.url, socket_timeout=30)
        try:
            yield client
        finally:
            await client.aclose()

    async def head(self) -> int:
        """How long the log is."""
        async with self.database() as db:
            head: int = await db.fetchval("SELECT coalesce(max(position), 0) FROM event")
            return head

    async def reached(self) -> int:
        """How far the read model furthest behind has come."""
        async with self.database() as db:
            return int(await db.fetchval("SELECT min(position) FROM projection_checkpoint"))

    async def caught_up(self) -> None:
        """Returns when the read models have come as far as the log has now."""
        head = await self.head()

        async def there() -> bool:
            return await self.reached() >= head

        # A small catalog takes no time, a large one a millisecond for each event.
        await until(there, "the read models to catch up", patience=PATIENCE + head / 200)

    async def all_heard(self, follower: Follower) -> int:
        """Returns when that follower of the catalog has heard of everything there is, in order; of
        how many changes. Raises: Broken."""
        await self.load.settle()
        await self.caught_up()
        return await checks.heard(self.url, follower, checks.CATALOG)

    async def boards_are_back(self) -> None:
        """Returns when the boards in Valkey are those in PostgreSQL."""
        await checks.boards(self.url, self._run.system.valkey.url)

    async def settle(self) -> None:
        """Ends the callers and makes the three checks. Raises: Broken."""
        if not self.load.settled:
            # Everything works again.
            await self.load.more(1)
        for one in (self.api, self.projector):
            if one.ended is not None:
                raise Broken(f"a process ended by itself with {one.ended}: {one.said()[-600:]}")
        await self.load.settle()
        account, seen = self.load.account, self._run.seen
        await self.caught_up()
        for follower, query in zip(self.followers, (checks.CATALOG, checks.RANKS), strict=True):
            seen.changes += await checks.heard(self.url, follower, query)
        await checks.acknowledged(self.url, account)
        await checks.whole(self.url)
        await checks.replayed(self.url)
        await checks.boards(self.url, self._run.system.valkey.url)
        seen.checked = ["log", "chain", "read models"]
        seen.acknowledged += len(account.acknowledged)
        seen.resolved += account.resolved
        seen.refused += len(account.refused)
        seen.answered += account.answered
        seen.slowest = max(seen.slowest, account.slowest)
        seen.codes += account.codes


async def injected(run: Run) -> None:
    """Injects the fault. Raises: Broken, NotHere."""
    # Three events of each artifact are recorded, taken in, and taken in again to compare.
    async with asyncio.timeout(4 * PATIENCE + 30 * run.times + run.artifacts / 25):
        await run.fault.inject(run)
