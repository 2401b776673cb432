"""Who is told of every operation: metrics, the access log, slow operations, traces."""

from collections.abc import Callable
from time import perf_counter

from matchgraph.observe.logs import AccessLog
from matchgraph.observe.metrics import Metrics, outcome_of
from matchgraph.observe.operation import NONE, SUBSCRIPTION, Operation
from matchgraph.observe.traces import Traces

Slow = Callable[[Operation, float], None]


class Observer:
    """Sees operations begin and end. Units: `threshold` in seconds, from which on an operation is
    told to `slow`."""

    def __init__(
        self,
        metrics: Metrics | None = None,
        *,
        access: AccessLog | None = None,
        traces: Traces | None = None,
        threshold: float | None = None,
    ) -> None:
        self.metrics = Metrics() if metrics is None else metrics
        self.traces = traces
        self.slow: Slow | None = None
        self._access = access
        self._threshold = threshold

    def begin(self, transport: str, request_id: str) -> Operation:
        """An operation that begins now; it is at work as soon as somebody sets `CURRENT`."""
        return Operation(transport, request_id)

    def end(self, operation: Operation, status: int = 0) -> None:
        """The operation has ended, over HTTP with that status."""
        if not operation.is_open:
            return
        operation.is_open = False
        seconds = perf_counter() - operation.began
        if operation.outcome is None:
            operation.outcome = outcome_of(operation.codes, status)
        self.metrics.finished(operation, seconds, status)
        if self._access is not None:
            self._access.tell(operation, seconds, status)
        if (
            self._threshold is not None
            and seconds >= self._threshold
            and operation.kind not in (SUBSCRIPTION, NONE)
            and self.slow is not None
        ):
            self.slow(operation, seconds)
