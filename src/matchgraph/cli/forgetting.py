"""The commands `forget` and `rotate-search-keys`, and what `serve` sees to before it starts."""

import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID, uuid4

import rich
import typer
from rich.markup import escape

from matchgraph import embedding
from matchgraph import settings as environment
from matchgraph.cli.tools import COMMAND_LINE, Tools
from matchgraph.commands import forgetting
from matchgraph.commands.forgetting import Forgetting, UnknownSearcher
from matchgraph.commands.searcher import pseudonyms
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import Connection, connect, open_pool
from matchgraph.eventstore.searcher_keys import LIFE, DamagedKey, Held, SearcherKeys
from matchgraph.eventstore.store import Request, Store, open_store
from matchgraph.settings import BadSetting, Settings

log = logging.getLogger("matchgraph")
T = TypeVar("T")
WRONG = 2


@dataclass(frozen=True)
class Open:
    """What forgetting works with."""

    store: Store
    db: Connection
    keys: SearcherKeys
    request: Request


@asynccontextmanager
async def opened(database_url: str, masters: Iterable[str]) -> AsyncIterator[Open]:
    """The store, the keys, and a connection that may take its time."""
    pool = await open_pool(database_url, "keys", size=2, statement_timeout=60)
    db = await connect(database_url, "forgetting")
    try:
        async with open_store(database_url) as store:
            request = Request(actor=COMMAND_LINE, request_id=uuid4().hex)
            yield Open(store, db, SearcherKeys(pool, tuple(masters)), request)
    finally:
        await db.close()
        await pool.close()


async def before_serving(database_url: str, masters: tuple[str, ...]) -> None:
    """Destroys what a backup has brought back, and makes sure that the keys there are can be used.

    Raises: UnknownMaster.
    """
    async with opened(database_url, masters) as all:
        if count := await forgetting.destroy_again(all.db, all.keys):
            log.warning("%d keys of forgotten searchers were back and are destroyed again", count)
        await all.keys.check()


def register(program: typer.Typer, tools: Tools) -> None:
    """Adds the commands to the program."""

    @program.command()
    def forget(
        searcher: Annotated[
            str | None,
            typer.Argument(
                help="The name that the frontend sends in X-Searcher, an address, or a pseudonym."
            ),
        ] = None,
        again: Annotated[
            bool,
            typer.Option(help="Destroy every key again that the log says was destroyed."),
        ] = False,
        keys: Annotated[
            Path | None,
            typer.Option(
                help="Destroy the keys that a file names, one a line, as --list prints them.",
                exists=True,
                dir_okay=False,
            ),
        ] = None,
        list_: Annotated[
            bool, typer.Option("--list", help="Print the keys that were destroyed, and where.")
        ] = False,
    ) -> None:
        """Destroy the key that opens what a searcher wrote; see docs/forgetting.md."""
        if sum((searcher is not None, again, keys is not None, list_)) != 1:
            tools.fail("Give one of SEARCHER, --again, --keys FILE and --list.", code=WRONG)
        settings = tools.settings()
        try:
            secrets = environment.signing(settings)
            masters = environment.sealing(settings)
            ids = [] if keys is None else _ids(keys)
        except BadSetting as reason:
            tools.fail(str(reason), code=WRONG)
        with tools.servers(settings) as servers:
            url = servers.database_url
            if searcher is not None:
                try:
                    found = tools.run(_forget(url, settings, masters, secrets, searcher))
                except UnknownSearcher:
                    tools.fail(_unknown(searcher, len(secrets)))
                _tell(tools, searcher, found)
            elif list_:
                for key, position in tools.run(_list(url, masters)):
                    sys.stdout.write(f"{key} {position}\n")
            else:
                count = tools.run(_again(url, masters, ids))
                rich.print(f"{count} keys were there and are destroyed.")

    @program.command("rotate-search-keys")
    def rotate_search_keys(
        give_up: Annotated[
            bool,
            typer.Option(
                help="Forget the searchers whose keys no master key given unwraps: what they wrote "
                "cannot be read without it."
            ),
        ] = False,
    ) -> None:
        """Wrap the keys of searchers with the newest of MATCHGRAPH_SEARCH_KEYS."""
        settings = tools.settings()
        try:
            masters = environment.sealing(settings)
        except BadSetting as reason:
            tools.fail(str(reason), code=WRONG)
        with tools.servers(settings) as servers, tools.bar("Wrapping keys") as bar:
            try:
                done, lost = tools.run(_rotate(servers.database_url, masters, give_up, bar))
            except DamagedKey as reason:
                tools.fail(str(reason))
        rich.print(f"{done} keys are wrapped anew.")
        if lost and give_up:
            rich.print(f"{lost} searchers whose keys could not be unwrapped are forgotten.")
        elif lost:
            tools.fail(
                f"{lost} keys are wrapped with a master key that MATCHGRAPH_SEARCH_KEYS does not"
                " hold: put it back, behind the others, or forget those searchers with --give-up."
            )


def _ids(file: Path) -> list[UUID]:
    """The keys that the file names. Raises: BadSetting."""
    found = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if said := line.split():
            try:
                found.append(UUID(said[0]))
            except ValueError:
                raise BadSetting(
                    f"{file}, line {number}: {said[0][:50]!r} is not the id of a key; the file"
                    " holds what `matchgraph forget --list` prints."
                ) from None
    return found


async def _forget(
    url: str, settings: Settings, masters: Iterable[str], secrets: Iterable[str], searcher: str
) -> Forgetting:
    embedder = _embedder(settings)
    async with opened(url, masters) as all:
        return await forgetting.forget(
            all.store, all.request, all.db, all.keys, pseudonyms(list(secrets), searcher), embedder
        )


def _embedder(settings: Settings) -> Embedder | None:
    if settings.embedding is None:
        return None
    try:
        return embedding.load(settings.embedding)
    except embedding.ModelUnusable as reason:
        log.warning(
            "intents that the searcher began are not found by the words of others: %s", reason
        )
        return None


def _unknown(searcher: str, secrets: int) -> str:
    return (
        f"Nobody who searched is known as {searcher[:200]!r}: not by that name in X-Searcher, not"
        f" by that address, not by that pseudonym, under any of the {secrets} secrets of"
        f" {environment.SECRET}. Where a secret was taken away since, give the pseudonym."
    )


def _tell(tools: Tools, searcher: str, found: Forgetting) -> None:
    for held in found.destroyed:
        rich.print(f"{held.searcher} is forgotten; the key {held.id} is destroyed.")
    if found.before:
        rich.print(
            f"{escape(searcher[:200])} is forgotten already; there was nothing left to destroy."
        )
    if found.destroyed:
        rich.print(
            f"The log says so up to position {found.position}. Processes that run go on using a key"
            f" for {LIFE:g} seconds at most. Keep the list of destroyed keys outside of backups:"
            " docs/forgetting.md says why."
        )
    if found.in_plain:
        tools.fail(
            f"{found.in_plain} searches of before words were sealed hold them in plain, in a log"
            " that nobody can change; docs/forgetting.md says what can be done."
        )


async def _list(url: str, masters: Iterable[str]) -> list[tuple[UUID, int]]:
    async with opened(url, masters) as all:
        return await forgetting.forgotten(all.db)


async def _again(url: str, masters: Iterable[str], ids: list[UUID]) -> int:
    async with opened(url, masters) as all:
        count = await forgetting.destroy_again(all.db, all.keys)
        held = await all.keys.held_by_id(ids)
        await forgetting.destroy(all.store, all.request, all.db, all.keys, held)
        return count + len(held)


async def _rotate(
    url: str, masters: Iterable[str], give_up: bool, bar: Callable[[int, int], None]
) -> tuple[int, int]:
    async with opened(url, masters) as all:
        done = await all.keys.rotate(bar)
        lost: list[Held] = await all.keys.lost()
        if give_up:
            await forgetting.destroy(all.store, all.request, all.db, all.keys, lost)
        return done, len(lost)
