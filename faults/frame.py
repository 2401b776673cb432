"""What a fault is, how one is run, and how what was seen is shown."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.system import Run

# Units: seconds that anything may take here, on a machine that is busy with something else.
PATIENCE = 90.0
FEW_ARTIFACTS = 1_000


class Broken(AssertionError):
    """Something that must hold through a fault did not."""


class NotHere(Exception):
    """This machine does not let the fault be injected; the message says why."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what it does to a run of the catalog.

    `times` is how often it is injected when all of it is wanted, `few` how often in a short run;
    `artifacts` is how many are in its catalog, in a short run `FEW_ARTIFACTS` at most.
    """

    name: str
    what: str
    inject: Callable[["Run"], Awaitable[None]]
    times: int
    few: int
    artifacts: int = 60


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, *, times: int = 20, few: int = 1, artifacts: int = 60
) -> Callable[[Callable[["Run"], Awaitable[None]]], Callable[["Run"], Awaitable[None]]]:
    """Puts a fault on the list; its docstring says what goes wrong."""

    def listed(
        inject: Callable[["Run"], Awaitable[None]],
    ) -> Callable[["Run"], Awaitable[None]]:
        assert inject.__doc__, "what goes wrong is said there"
        what = " ".join(inject.__doc__.split()).rstrip(".")
        FAULTS[name] = Fault(name, what, inject, times, few, artifacts)
        return inject

    return listed


@dataclass
class Seen:
    """What came of a fault.

    Units: `recoveries` and `slowest` in seconds: each time until everything worked again, and the
        longest that any caller waited for an answer. `goal` is what a recovery may take.
    """

    injected: int = 0
    acknowledged: int = 0
    resolved: int = 0
    refused: int = 0
    answered: int = 0
    changes: int = 0
    slowest: float = 0.0
    recoveries: list[float] = field(default_factory=list)
    goal: float | None = None
    codes: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    broken: str | None = None
    not_here: str | None = None

    @contextmanager
    def recovery(self, goal: float | None = None) -> Iterator[None]:
        """Measures how long the block takes, in which everything comes to work again."""
        self.goal = goal
        start = time.monotonic()
        yield
        self.recoveries.append(time.monotonic() - start)

    @property
    def missed(self) -> bool:
        """Whether a recovery took longer than it may."""
        return self.goal is not None and max(self.recoveries, default=0) > self.goal


async def until(
    holds: Callable[[], Awaitable[object]], what: str, *, patience: float = PATIENCE
) -> None:
    """Waits for something that nobody announces. Raises: Broken."""
    deadline = time.monotonic() + patience
    while not await holds():
        if time.monotonic() > deadline:
            raise Broken(f"{what}: waited {patience:.0f} s for it in vain")
        await asyncio.sleep(0.02)


HEADER = (
    "fault",
    "injected",
    "acknowledged",
    "in doubt, then known",
    "refused",
    "recovery p50 / max",
    "slowest answer",
    "checks",
    "seen",
)


def row(fault: Fault, seen: Seen) -> list[str]:
    """A fault's line in the table."""
    if seen.not_here is not None:
        return [fault.what, "not here", *["-"] * 6, seen.not_here]
    recovery = "-"
    if seen.recoveries:
        recovery = f"{median(seen.recoveries):.1f} / {max(seen.recoveries):.1f} s"
        if seen.goal is not None:
            recovery += f" (goal {seen.goal:g} s{': **missed**' if seen.missed else ''})"
    checks = "**broken**" if seen.broken else ", ".join(dict.fromkeys(seen.checked)) or "-"
    said = [*seen.notes, *([f"**{seen.broken}**"] if seen.broken else [])]
    return [
        fault.what,
        f"{seen.injected:,}",
        f"{seen.acknowledged:,}",
        f"{seen.resolved:,}",
        f"{seen.refused:,}",
        recovery,
        f"{seen.slowest:.1f} s" if seen.slowest else "-",
        checks,
        "; ".join(said) or "-",
    ]


def line(cells: Sequence[str]) -> str:
    """A line of a table in markdown."""
    return f"| {' | '.join(cells)} |"


HEADING = (line(HEADER), f"|{' --- |' * len(HEADER)}")


def table(found: Sequence[tuple[Fault, Seen]]) -> str:
    """The faults as markdown, a line each."""
    return "\n".join([*HEADING, *(line(row(fault, seen)) for fault, seen in found)])
