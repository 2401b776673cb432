"""`python -m faults`: breaks a catalog under load, and says what was seen.

python -m faults                            every fault, as often as it is worth
python -m faults kill-api cut-commit --times 5
python -m faults rebuild-valkey --artifacts 10000
python -m faults --seed 7 --write docs/faults.md
"""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.__main__ import replaced
from bench.machine import described
from faults import cache, clock, disk, ending, kills, lines, projecting, subscribers, writers
from faults.frame import FAULTS, HEADING, Fault, NotHere, Seen, line, row, table
from faults.system import Run, System, injected

SUITES = (kills, lines, cache, disk, clock, writers, projecting, subscribers, ending)


def main(words: Sequence[str] | None = None) -> None:
    """Injects the faults that the command line names; ends with 1 when one of them broke
    something."""
    parser = argparse.ArgumentParser(prog="faults", description="Breaks a catalog under load.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--times", type=int, help="so often each, in place of what each is worth")
    parser.add_argument("--artifacts", type=int, help="so many in each catalog, likewise")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--folder", type=Path, help="where the servers put their data")
    parser.add_argument("--write", type=Path, help="the page whose table to replace")
    options = parser.parse_args(words)
    if unknown := set(options.names) - set(FAULTS):
        parser.error(f"no fault named {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    order = [
        fault
        for suite in SUITES
        for fault in FAULTS.values()
        if fault.inject.__module__ == suite.__name__
    ]
    chosen = [FAULTS[name] for name in options.names] or order
    machine = [f"- {line}" for line in (*described()[:2], described()[3])]
    machine.append(f"- {datetime.now(UTC):%Y-%m-%d}, seed {options.seed}")
    logging.getLogger("matchgraph.migrate").setLevel(logging.ERROR)
    found = asyncio.run(
        _run(chosen, options.times, options.artifacts, options.seed, options.folder)
    )
    print("\n".join(machine), table(found), sep="\n\n")
    if options.write is not None:
        page = merged(options.write.read_text(), found, order)
        machine_section = {"machine": "\n".join(machine)}
        options.write.write_text(replaced(page, machine_section, "faults"))
    sys.exit(any(seen.broken is not None for _, seen in found))


def merged(page: str, found: Sequence[tuple[Fault, Seen]], order: Sequence[Fault]) -> str:
    """The page with these lines in its table, and of other faults those that it had."""
    lines = {fault.what: line(row(fault, seen)) for fault, seen in found}
    for said in page.splitlines():
        what = said.removeprefix("| ").partition(" | ")[0]
        if said.startswith("| ") and what not in lines:
            lines[what] = said
    rows = [lines[fault.what] for fault in order if fault.what in lines]
    return replaced(page, {"table": "\n".join([*HEADING, *rows])}, "faults")


async def _run(
    chosen: Sequence[Fault],
    times: int | None,
    artifacts: int | None,
    seed: int,
    parent: Path | None,
) -> list[tuple[Fault, Seen]]:
    # Whoever ends this ends what it started.
    task = asyncio.current_task()
    assert task is not None, "run as one"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found = []
    for fault in chosen:
        # Each has servers of its own, so that what one leaves behind is not another's.
        with tempfile.TemporaryDirectory(
            prefix="mg-faults-", dir=parent, ignore_cleanup_errors=True
        ) as folder:
            seen = await _one(fault, Path(folder), times or fault.times, artifacts or 0, seed)
        found.append((fault, seen))
        print(
            f"{fault.name}: {seen.broken or seen.not_here or 'held'}", file=sys.stderr, flush=True
        )
    return found


async def _one(fault: Fault, folder: Path, times: int, artifacts: int, seed: int) -> Seen:
    async with System.opened(folder) as system:
        run = Run(system, fault, folder, times, seed, small=False, artifacts=artifacts)
        try:
            await injected(run)
        except NotHere as reason:
            run.seen.not_here = str(reason)
        except Exception as reason:
            _show_logs(folder)
            run.seen.broken = " ".join(f"{type(reason).__name__}: {reason}".split())[:400]
        return run.seen


def _show_logs(folder: Path) -> None:
    """Says what the processes said last, before it is gone with the folder."""
    for log in sorted(folder.glob("*.log")):
        said = log.read_text(errors="replace")[-4_000:]
        print(f"{log.name} ends with:\n{said}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
