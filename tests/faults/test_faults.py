"""Every fault once, over a small catalog: nothing acknowledged is lost or doubled, the log
verifies, the read models are what a replay gives. `make faults` injects them more often."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.__main__ import SUITES, merged
from faults.frame import FAULTS, Fault, NotHere, Seen
from faults.servers import Postgres, Valkey
from faults.system import Run, System, injected

assert SUITES, "importing them puts their faults on the list"


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Servers that all faults here break in turn."""
    with tempfile.TemporaryDirectory(prefix="mg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        postgres = Postgres(folder / "servers")
        # Each test has a loop of its own, and these outlive them.
        asyncio.run(postgres.start())
        (folder / "valkey").mkdir()
        valkey = Valkey(folder / "valkey")
        yield asyncio.run(System.over(folder, postgres, valkey))
        valkey.kill()
        asyncio.run(postgres.stop())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_nothing_is_lost_or_doubled_by(fault: Fault, system: System) -> None:
    folder = system.folder / fault.name
    folder.mkdir()
    await system.restore()
    run = Run(system, fault, folder, fault.few, seed=1, small=True)
    try:
        await injected(run)
    except NotHere as reason:
        pytest.skip(str(reason))
    assert run.seen.injected == fault.few
    assert run.seen.checked or run.seen.notes, "something was looked at"


def test_what_was_seen_of_other_faults_stays_in_the_table() -> None:
    async def nothing(_: Run) -> None: ...

    one, other = (Fault(name, f"{name} breaks", nothing, 1, 1) for name in ("one", "other"))
    page = "Words.\n\n<!-- faults:table -->\n<!-- /faults:table -->\n"
    page = merged(page, [(one, Seen(injected=1)), (other, Seen(injected=2))], [one, other])
    page = merged(page, [(one, Seen(injected=3, broken="it broke"))], [one, other])
    lines = [line for line in page.splitlines() if "breaks" in line]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| one breaks", "3"],
        ["| other breaks", "2"],
    ]
    assert "**it broke**" in lines[0]
