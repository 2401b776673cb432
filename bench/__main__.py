"""`python -m bench`: starts servers of its own, measures, prints tables.

python -m bench                          everything but search-million and growth-million
python -m bench append read --quick      two suites, short
python -m bench --flush-ms 1             on a RAM disk whose flushes take 1 ms each
python -m bench --write docs/benchmarks.md
"""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench import (
    answers,
    append,
    as_of,
    bulk,
    fanout,
    growth,
    latency,
    machine,
    observe,
    project,
    rank,
    read,
    rebuild,
    search,
    verify,
)
from bench.frame import Bench, new_template
from matchgraph.servers import Servers, running

SUITES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "append": append.run,
    "bulk": bulk.run,
    "read": read.run,
    "project": project.run,
    "fanout": fanout.run,
    "latency": latency.run,
    "observe": observe.run,
    "rank": rank.run,
    "as-of": as_of.run,
    "verify": verify.run,
    "rebuild": rebuild.run,
    "answers": answers.run,
    "search": search.run,
    "search-million": search.run_million,
    "growth": growth.run,
    "growth-million": growth.run_million,
}
# These take a quarter of an hour and 10 GB, or twice as much.
ON_DEMAND = {"search-million", "growth-million"}


def main(words: Sequence[str] | None = None) -> None:
    """Runs the suites that the command line names."""
    parser = argparse.ArgumentParser(prog="bench", description="Measures matchgraph.")
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--quick", action="store_true", help="less of everything, one round")
    parser.add_argument("--rounds", type=int, help="per table; 3 unless told")
    parser.add_argument("--flush-ms", type=float, help="use a RAM disk with flushes this slow")
    parser.add_argument("--folder", type=Path, help="where the servers put their data")
    parser.add_argument("--write", type=Path, help="the page whose tables to replace")
    options = parser.parse_args(words)
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no suite named {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")

    sections: dict[str, str] = {}

    def show(name: str, table: str) -> None:
        sections[name] = table
        print(f"\n{table}\n", flush=True)

    preload: dict[str, str] = {}
    disk = "The disk of the machine."
    with ExitStack() as stack:
        parent: Path | None = options.folder
        if options.flush_ms is not None:
            tools = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mg-bench-")))
            try:
                preload = machine.slow_flush(options.flush_ms, tools)
            except machine.NoSlowFlush as reason:
                sys.exit(f"--flush-ms cannot be had here: {reason}")
            parent = parent or machine.RAM_DISK
            disk = f"A RAM disk on which each flush takes {options.flush_ms:g} ms longer."
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="mg-bench-", dir=parent, ignore_cleanup_errors=True
                )
            )
        )
        described = [
            *machine.described(),
            disk,
            f"{datetime.now(UTC):%Y-%m-%d}, {'1 short round' if options.quick else 'full rounds'}",
        ]
        sections["machine"] = "\n".join(f"- {line}" for line in described)
        print(sections["machine"], flush=True)
        with machine.inherited(preload):
            servers = stack.enter_context(running(folder / "servers"))
        bench_rounds = options.rounds or (1 if options.quick else 3)
        uvloop.run(
            _run(
                options.suites or [name for name in SUITES if name not in ON_DEMAND],
                servers,
                folder,
                preload,
                options.quick,
                bench_rounds,
                show,
            )
        )
    if options.write is not None:
        options.write.write_text(replaced(options.write.read_text(), sections))


async def _run(
    suites: Sequence[str],
    servers: Servers,
    folder: Path,
    preload: dict[str, str],
    quick: bool,
    rounds: int,
    show: Callable[[str, str], None],
) -> None:
    bench = Bench(
        servers=servers,
        folder=folder,
        template=await new_template(servers.database_url),
        preload=preload,
        quick=quick,
        rounds=rounds,
        show=show,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    for suite in suites:
        await SUITES[suite](bench)


def replaced(page: str, sections: dict[str, str], of: str = "bench") -> str:
    """The page with each section between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` new, or
    between the same `of` something else."""
    for name, text in sections.items():
        begin, end = f"<!-- {of}:{name} -->", f"<!-- /{of}:{name} -->"
        section = f"{begin}\n{text}\n{end}"
        before, marked, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = before + section + after if marked else f"{page.rstrip()}\n\n{section}\n"
    return page


if __name__ == "__main__":
    main()
