"""Commands about proof: export, check, and ledger head, keys, new-key and acknowledge."""

import os
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, TypeVar

import msgspec
import rich
import typer

from matchgraph.cli.tools import Tools
from matchgraph.eventstore.connection import connect
from matchgraph.ledger import bundle, head, proof, store
from matchgraph.ledger.acknowledge import NeverMendable, NoSuchBreak, acknowledge
from matchgraph.settings import BadSetting, ledger_signing

T = TypeVar("T")

# So many positions are named at most.
MOST_NAMED = 20

KEPT_HEAD = typer.Option(
    "--head",
    help="A signed head that was kept, as GraphQL answers it: finds a tail that was cut off.",
    dir_okay=False,
    exists=True,
)


class _Unwritable(Exception):
    """A file that cannot be written; an OSError would be taken for that of a lost connection."""


class _File:
    """A new file, whose content is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self._opened = path.open("xb")

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        with self._opened:
            self._opened.flush()
            os.fsync(self._opened.fileno())

    def write(self, data: bytes, /) -> None:
        """Raises: _Unwritable."""
        try:
            self._opened.write(data)
        except OSError as reason:
            raise _Unwritable(str(reason)) from reason


def kept_head(tools: Tools, file: Path | None) -> head.Head | None:
    """The head in the file, if there is one; ends the program where it is none."""
    try:
        return None if file is None else head.read(file)
    except head.BadHead as reason:
        tools.fail(str(reason), code=2)


def register(program: typer.Typer, tools: Tools) -> None:
    """Adds the commands to the program."""
    ledger = typer.Typer(no_args_is_help=True, help="The heads of the log, and their keys.")
    program.add_typer(ledger, name="ledger")

    @program.command()
    def export(
        out: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
        first: Annotated[int, typer.Option("--from", help="The first position.")] = 1,
        last: Annotated[
            int | None, typer.Option("--to", help="The last one; the last that is signed.")
        ] = None,
        file: Annotated[Path | None, KEPT_HEAD] = None,
    ) -> None:
        """Write events into a bundle that proves itself; `check` checks it without a database."""
        kept = kept_head(tools, file)
        part = out.with_name(f"{out.name}.{token_urlsafe(6)}.part")

        async def write(url: str, to: _File, bar: Callable[[int, int], None]) -> int:
            db = await connect(url, "export")
            try:
                return await bundle.export(db, to, first, last, head=kept, on_progress=bar)
            finally:
                await db.close()

        try:
            with tools.servers(tools.settings()) as servers, tools.bar("Exporting") as bar:
                with _File(part) as to:
                    upto = tools.run(write(servers.database_url, to, bar))
                part.replace(out)
        except (
            bundle.BadRange,
            bundle.Broken,
            head.BadHead,
            proof.NotSigned,
            store.NoProof,
        ) as reason:
            tools.fail(str(reason))
        except (_Unwritable, OSError) as reason:
            tools.fail(f"{out} cannot be written: {reason}.")
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        rich.print(f"The events {first} to {upto} are in {out}.")

    @program.command()
    def check(
        file: Annotated[Path, typer.Argument(help="The bundle.", exists=True, dir_okay=False)],
        key: Annotated[
            Path | None,
            typer.Option(
                help="The public keys that you trust: base64, PEM, or what GraphQL answers.",
                exists=True,
                dir_okay=False,
            ),
        ] = None,
        kept_file: Annotated[Path | None, KEPT_HEAD] = None,
    ) -> None:
        """Check a bundle, without any database."""
        kept = kept_head(tools, kept_file)
        try:
            keys = None if key is None else head.public_keys(key)
        except head.BadKey as reason:
            tools.fail(str(reason), code=2)
        try:
            with file.open("rb") as opened, tools.bar("Checking") as bar:
                found = bundle.check(opened, keys=keys, head=kept, on_progress=bar)
        except (bundle.BadBundle, head.BadHead) as reason:
            tools.fail(f"{file}: {reason}")
        except OSError as reason:
            tools.fail(f"{file} cannot be read: {reason.strerror or reason}.", code=2)
        rich.print(
            f"The events {found.first} to {found.last} are what was signed at"
            f" {found.head.time.isoformat()} with the key {found.head.key_id}, in the head of"
            f" position {found.head.position}"
            + (", and of the log that the kept head is of." if found.kept else ".")
        )
        for one in found.acknowledged:
            typer.echo(f"Number {one.number}: {one}")
        if found.broken:
            typer.echo(
                "Not what was recorded there, or gone, and acknowledged so: "
                + ", ".join(map(str, found.broken[:MOST_NAMED]))
                + (f" and {more} more" if (more := len(found.broken) - MOST_NAMED) > 0 else "")
            )
        if not found.trusted:
            rich.print(
                "The key came with the bundle: compare its id with one that you have from"
                " elsewhere, or give that key with --key."
            )

    @ledger.command("head")
    def show_head() -> None:
        """The newest signed head, as `--head` takes it; keep it where nobody of ours can write."""

        async def newest(url: str) -> head.Head | None:
            db = await connect(url, "ledger head")
            try:
                return await store.newest(db)
            finally:
                await db.close()

        with tools.servers(tools.settings()) as servers:
            found = tools.run(newest(servers.database_url))
        if found is None:
            tools.fail("Nothing is signed yet; `serve` and `project` sign what they have verified.")
        sys.stdout.write(msgspec.json.encode(head.as_data(found)).decode() + "\n")

    @ledger.command("keys")
    def show_keys() -> None:
        """The public keys that heads were signed with, the newest first, as `--key` takes them."""

        async def keys(url: str) -> dict[str, bytes]:
            db = await connect(url, "ledger keys")
            try:
                return await store.keys(db)
            finally:
                await db.close()

        with tools.servers(tools.settings()) as servers:
            found = tools.run(keys(servers.database_url))
        for id, public in found.items():
            sys.stdout.write(f"{id} {b64encode(public).decode()}\n")

    @ledger.command("acknowledge")
    def acknowledge_break(
        position: Annotated[int, typer.Argument(help="Where `verify` or /readyz says it is.")],
        actor: Annotated[str, typer.Option("--by", help="Who says so; stays on record.")],
        reason: Annotated[str, typer.Option("--because", help="What happened; stays on record.")],
    ) -> None:
        """Go on from a break of history: who knows of it, and why, stays in all that is signed from
        now on. Takes the key that heads are signed with."""
        if not actor.strip() or not reason.strip():
            tools.fail("Say by whom and because of what: both stay on record.", code=2)
        settings = tools.settings()
        try:
            signer, *_ = ledger_signing(settings)
        except BadSetting as refused:
            tools.fail(str(refused), code=2)
        try:
            with tools.servers(settings) as servers, tools.bar("Acknowledging") as bar:
                said = tools.run(
                    acknowledge(
                        servers.database_url,
                        signer,
                        position,
                        actor=actor.strip(),
                        reason=reason.strip(),
                        on_progress=bar,
                    )
                )
        except (NoSuchBreak, NeverMendable) as refused:
            tools.fail(str(refused))
        typer.echo(f"Number {said.number}: {said}")

    @ledger.command("new-key")
    def new_key() -> None:
        """A new private key for MATCHGRAPH_LEDGER_KEY; nobody else may see it."""
        sys.stdout.write(head.new_key() + "\n")
