"""One operation as it is carried out: what it was, what it waited for, how it ended.

The operation at work is known by a context variable, so whoever asks a server on its behalf says so
with `step`, however deep it is called. Where nothing is observed, nothing is noted.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Protocol

# So many steps are kept of one operation; beyond, they are only counted.
MOST_STEPS = 100
POSTGRESQL, REDIS, POOL, APPEND = "postgresql", "redis", "pool", "append"
# What an operation is that never became one: a page of the editor, a body that is none.
NONE, UNKNOWN, SUBSCRIPTION = "none", "unknown", "subscription"


class Done(NamedTuple):
    """Something an operation waited for: which server, what it was told (never with parameters),
    and over connections for what. Units: seconds."""

    system: str
    text: str
    seconds: float
    purpose: str


class Spans(Protocol):
    """Where spans of an operation go, if it is traced; see traces.py."""

    def within(self, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[object]:
        """A span around what happens in the block."""

    def leaf(self, done: Done, failed: str | None) -> None:
        """A span of something that has just ended."""


class Operation:
    """One operation, from its beginning to its end.

    Units: `began` by `perf_counter`; `waited` in seconds, by system.
    """

    __slots__ = (
        "actor",
        "began",
        "codes",
        "cost",
        "count",
        "document",
        "error_ids",
        "is_open",
        "kind",
        "name",
        "outcome",
        "request_id",
        "spans",
        "steps",
        "trace_id",
        "transport",
        "waited",
    )

    def __init__(self, transport: str, request_id: str) -> None:
        self.transport = transport
        self.request_id = request_id
        self.began = perf_counter()
        self.is_open = True
        self.actor: str | None = None
        self.trace_id: str | None = None
        self.kind = NONE
        self.name: str | None = None
        self.document: str | None = None
        self.outcome: str | None = None
        self.cost: float | None = None
        self.codes: list[str] = []
        self.error_ids: list[str] = []
        self.steps: list[Done] = []
        self.count: dict[str, int] = {}
        self.waited: dict[str, float] = {}
        self.spans: Spans | None = None

    def did(self, done: Done, failed: str | None) -> None:
        """Notes a step that has just ended; `failed` names what it failed with."""
        system = done.system
        self.count[system] = self.count.get(system, 0) + 1
        self.waited[system] = self.waited.get(system, 0.0) + done.seconds
        if len(self.steps) < MOST_STEPS:
            self.steps.append(done)
        if self.spans is not None:
            self.spans.leaf(done, failed)


CURRENT: ContextVar[Operation | None] = ContextVar("operation", default=None)
NOTHING: AbstractContextManager[None] = nullcontext()


class _Step:
    """A step on its way."""

    __slots__ = ("_began", "_operation", "_purpose", "_system", "_text")

    def __init__(self, operation: Operation, system: str, text: str, purpose: str) -> None:
        self._operation = operation
        self._system = system
        self._text = text
        self._purpose = purpose

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        reason: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._began
        self._operation.did(
            Done(self._system, self._text, seconds, self._purpose),
            None if kind is None else kind.__name__,
        )


def step(system: str, text: str, purpose: str = "") -> AbstractContextManager[None]:
    """Around what the operation at work waits for. `text` is ours, never a client's."""
    operation = CURRENT.get()
    if operation is None or not operation.is_open:
        return NOTHING
    return _Step(operation, system, text, purpose)


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """A span around a part of the operation at work, where it is traced."""
    operation = CURRENT.get()
    if operation is None or operation.spans is None or not operation.is_open:
        return NOTHING
    return operation.spans.within(name, attributes)


def observed_cost(points: float) -> None:
    """The operation at work costs that many points."""
    operation = CURRENT.get()
    if operation is not None:
        operation.cost = points


def observed_document(name: str) -> None:
    """The operation at work is of a trusted document of that name: one of a list that we made, so
    there may be a metric for each."""
    operation = CURRENT.get()
    if operation is not None:
        operation.document = name


def observed_error(error_id: str) -> None:
    """The operation at work failed with what the log has under that id."""
    operation = CURRENT.get()
    if operation is not None:
        operation.error_ids.append(error_id)
