"""The commands `replay` and `verify`: the log, and what is computed from it."""

import errno
import shutil
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import asyncpg
import msgspec
import typer

from matchgraph.cli.ledger import KEPT_HEAD, kept_head
from matchgraph.cli.tools import Tools
from matchgraph.eventstore.codec import Undecodable, UnknownTopic
from matchgraph.ledger.head import BadHead
from matchgraph.ledger.verify import verify_chain
from matchgraph.projections import canonical
from matchgraph.projections.canonical import ModelDigest
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.replay import (
    NoSuchMoment,
    Progress,
    Replay,
    Verified,
    position_at,
    replaying,
)
from matchgraph.projections.replay import verify as verify_models

# A disk, a quota, or a limit on the size of files that is reached.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a history may hold that read models cannot be computed from, or where no room is left for
# them.
UNREADABLE = (UnknownTopic, Undecodable, asyncpg.DiskFullError)


class BadFolder(Exception):
    """The folder cannot take the rows."""


async def _replayed(
    url: str, until: int | datetime | None, out: Path | None, on_progress: Progress
) -> list[ModelDigest]:
    """Computes every read model as of then; with `out` writes their rows there, each table as its
    canonical form, whose SHA-256 is its digest.

    Raises: NoSuchMoment, BadFolder, and as `Replay.advance`.
    """
    made = None if out is None else _empty(out)
    try:
        async with replaying(url, PROJECTIONS) as replay:
            position = await position_at(replay.db, until)
            await replay.advance(dict.fromkeys(replay.reached, position), on_progress)
            if out is None:
                return [one async for one in replay.digests()]
            return await _written(replay, out)
    except BaseException as reason:
        # Half of it would look like all of it.
        if out is not None and made is not None:
            _clear(out, remove=made)
        if isinstance(reason, OSError) and reason.errno in NO_SPACE:
            raise BadFolder(
                f"{out} has no space left for the rows; nothing is kept there."
            ) from None
        raise


def _empty(out: Path) -> bool:
    """Has the folder there; says whether it had to be made. Raises: BadFolder."""
    try:
        if not out.exists():
            out.mkdir(parents=True)
            return True
        if not out.is_dir():
            raise BadFolder(f"{out} is a file; name a folder that is empty or not there yet.")
        if any(out.iterdir()):
            raise BadFolder(f"{out} is not empty; name a folder that is, or that is not there yet.")
    except OSError as reason:
        raise BadFolder(f"{out} cannot be written to: {reason.strerror}.") from None
    return False


def _clear(out: Path, *, remove: bool) -> None:
    for file in out.iterdir():
        file.unlink()
    if remove:
        shutil.rmtree(out)


async def _written(replay: Replay, out: Path) -> list[ModelDigest]:
    found = []
    for projection in replay.projections:
        digests = []
        for table in projection.tables:
            with (out / f"{table}.tsv").open("wb") as file:
                digests.append(await canonical.read(replay.db, table, file.write))
        found.append(ModelDigest(projection.name, replay.reached[projection.name], digests))
    told = {
        one.name: {
            "position": one.position,
            "digest": one.digest,
            "tables": {table.table: msgspec.to_builtins(table) for table in one.tables},
        }
        for one in found
    }
    (out / "digests.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    return found


async def _verified(url: str, most: int, on_progress: Progress) -> list[Verified]:
    """Compares every read model in use with the log. Raises: as `Replay.advance`."""
    async with aclosing(verify_models(url, PROJECTIONS, on_progress, most=most)) as found:
        return [one async for one in found]


def register(program: typer.Typer, tools: Tools) -> None:
    """Adds the commands to the program."""

    @program.command()
    def replay(
        until: Annotated[
            str | None,
            typer.Option(
                help="A position, or a time as in 2026-11-23T13:00Z; else all of history."
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(help="An empty folder for digests.json and the rows of each table."),
        ] = None,
    ) -> None:
        """Compute every read model from the log alone, as of then, and print their digests. Nothing
        that is in use is written."""
        moment = _moment(tools, until)
        with tools.servers(tools.settings()) as servers, tools.bar("Replaying") as bar:
            try:
                found = tools.run(_replayed(servers.database_url, moment, out, bar))
            except (NoSuchMoment, BadFolder, *UNREADABLE) as reason:
                tools.fail(str(reason))
        for model in found:
            for table in model.tables:
                typer.echo(f"{table.digest}  {model.name}/{table.table}  {table.rows:,} rows")
        for model in found:
            typer.echo(f"{model.digest}  {model.name} at position {model.position}")

    @program.command()
    def verify(
        file: Annotated[Path | None, KEPT_HEAD] = None,
        chain_alone: Annotated[
            bool, typer.Option("--chain-only", help="Leave out the read models.")
        ] = False,
        most: Annotated[
            int, typer.Option("--differences", min=1, help="So many at most of each read model.")
        ] = 20,
    ) -> None:
        """Go over the whole log: is every event what was recorded there, and does every read model
        say what the log does? Both go on meanwhile; ends with 1 when something differs."""
        kept = kept_head(tools, file)
        with tools.servers(tools.settings()) as servers:
            url = servers.database_url
            with tools.bar("Verifying") as bar:
                try:
                    chain = tools.run(verify_chain(url, head=kept, on_progress=bar))
                except BadHead as reason:
                    tools.fail(str(reason))
            for said in chain.acknowledged:
                typer.echo(f"Number {said.number}: {said}")
            if chain.problem is not None:
                tools.fail(f"Broken at position {chain.problem.position}: {chain.problem.what}.")
            since = f"behind {chain.acknowledged[-1].upto} " if chain.acknowledged else ""
            typer.echo(
                f"{chain.events} events {since}are what was recorded, up to position"
                f" {chain.position} with the digest {chain.digest.hex()};"
                f" {chain.heads} signed heads agree."
            )
            if chain_alone:
                return
            with tools.bar("Replaying") as bar:
                try:
                    found = tools.run(_verified(url, most, bar))
                except (NoSuchMoment, *UNREADABLE) as reason:
                    tools.fail(str(reason))
        for one in found:
            _tell(one, most)
        if not all(one.agrees for one in found):
            tools.fail(
                "Whoever wrote what differs, `matchgraph rebuild` computes it anew from the log."
            )


def _tell(one: Verified, most: int) -> None:
    if one.agrees:
        typer.echo(f"{one.held.name} agrees with the log up to position {one.held.position}.")
        return
    typer.echo(f"{one.held.name} differs from the log at position {one.held.position}:")
    for difference in one.differences:
        typer.echo(f"  {difference}")
    if len(one.differences) == most:
        typer.echo("  and maybe more")


def _moment(tools: Tools, said: str | None) -> int | datetime | None:
    """A position or a time, in UTC unless it says otherwise."""
    try:
        if said is None or said.isdecimal():
            return said if said is None else int(said)
        moment = datetime.fromisoformat(said)
    except ValueError:
        tools.fail(
            f"--until {said} is neither a position, such as 4711, nor a time, such as "
            "2026-11-23T13:00Z.",
            code=2,
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
