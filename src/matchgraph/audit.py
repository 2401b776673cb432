"""What an auditor starts from the command line: a replay, and the verification of read models."""

import errno
import shutil
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import msgspec

from matchgraph import migrate
from matchgraph.projections import canonical
from matchgraph.projections.canonical import ModelDigest
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.replay import Progress, Replay, Verified, position_at, replaying
from matchgraph.projections.replay import verify as verify_models

# A disk, a quota, or a limit on the size of files that is reached.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BadFolder(Exception):
    """The folder cannot take the rows."""


async def replay(
    url: str, until: int | datetime | None, out: Path | None, on_progress: Progress
) -> list[ModelDigest]:
    """Computes every read model as of then; with `out` writes their rows there, each table as its
    canonical form, whose SHA-256 is its digest.

    Raises: NoSuchMoment, BadFolder, and as `Replay.advance`.
    """
    await migrate.apply(url)
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


async def verify(url: str, most: int, on_progress: Progress) -> list[Verified]:
    """Compares every read model in use with the log. Raises: as `Replay.advance`."""
    await migrate.apply(url)
    async with aclosing(verify_models(url, PROJECTIONS, on_progress, most=most)) as found:
        return [one async for one in found]
