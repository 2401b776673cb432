"""What it costs to observe an operation over HTTP, in processor time, beside an answer that does
nothing but be sent; one statement is noted."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any

from bench.frame import Bench, Round, Table
from matchgraph import __version__
from matchgraph.http.observe import observed
from matchgraph.observe.logs import AccessLog, Lines
from matchgraph.observe.observer import Observer
from matchgraph.observe.operation import CURRENT, step
from matchgraph.observe.traces import Traces

ALONE = "an answer alone"
HEADERS = [
    (b"host", b"localhost"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"bench"),
    (b"content-length", b"38"),
]


async def run(bench: Bench) -> None:
    """Measures the table."""
    count = 2_000 if bench.quick else 10_000
    table = Table("observe", "Observing an operation", "operations/s of processor time", base=ALONE)
    took: dict[str, list[float]] = {}

    async def measured(row: str, observer: Observer | None) -> Round:
        scope: dict[str, Any] = {"method": "POST", "headers": HEADERS}
        begun = time.process_time()
        for _ in range(count):
            if observer is None:
                await _answer(scope, _receive, _send)
            else:
                await observed(observer, _answer, scope, _receive, _send)
        seconds = time.process_time() - begun
        took.setdefault(row, []).append(seconds / count * 1e6)
        alone = median(took.get(ALONE, [0.0]))
        table.notes[:] = [
            "Microseconds beyond an answer alone: "
            + "; ".join(
                f"{name} {median(found) - alone:.1f}"
                for name, found in sorted(took.items())
                if name != ALONE
            )
            + "."
        ]
        return Round(count, seconds)

    for row, make in _variants().items():
        table.add(row, "POST /graphql", partial(measured, row, make()))
    await bench.measure(table)


def _variants() -> dict[str, Callable[[], Observer | None]]:
    line = partial(AccessLog, Lines(os.open(os.devnull, os.O_WRONLY)), json=True)
    found: dict[str, Callable[[], Observer | None]] = {
        ALONE: lambda: None,
        "metrics": Observer,
        "metrics and a line": lambda: Observer(access=line()),
    }
    with suppress(ImportError):
        from opentelemetry.sdk.trace import TracerProvider

        # Spans are made, and go nowhere.
        found["metrics, a line and a trace"] = lambda: Observer(
            access=line(), traces=Traces(TracerProvider(), __version__)
        )
    return found


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    operation = CURRENT.get()
    if operation is not None:
        operation.kind, operation.name, operation.actor = "query", "Board", "anonymous"
    with step("postgresql", "SELECT 1", "queries"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def _receive() -> Any:
    raise AssertionError("nothing is read")


async def _send(message: Any) -> None:
    pass
