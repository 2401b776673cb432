"""The metrics of one application, for Prometheus; docs/operations.md tells what each one means.

Labels have few values, and none of them comes from a client. With PROMETHEUS_MULTIPROC_DIR set,
processes that share a port also share their figures in that folder, and any of them gives the sum.
"""

import os
from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from matchgraph.observe.operation import NONE, SUBSCRIPTION, UNKNOWN, Operation

# When each of them was first counted is nothing that anybody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

SHARED = "PROMETHEUS_MULTIPROC_DIR"
OK, CLIENT_ERROR, SERVER_ERROR, CANCELLED = "ok", "client_error", "server_error", "cancelled"
APPEND_FAILURES = ("conflict", "unavailable", "outcome_unknown")
# Why a subscriber is cut off: it reads too slowly, or nothing at all. (Or it is let in no more.)
SLOW, SILENT = "slow", "silent"
# Codes of what no client can mend.
OURS = frozenset(
    {"INTERNAL", "UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT", "BEHIND", "READ_MODEL_STUCK"}
    | {"LEDGER_BROKEN"}
)
# There are some forty codes. Should one ever come from elsewhere, it makes no metrics of its own.
MOST_CODES = 100
# Units: seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
POINTS = (1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)
COMMANDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


def outcome_of(codes: Iterable[str], status: int) -> str:
    """How an operation ended, from the codes of its errors and the HTTP status, 0 if none."""
    found = OK
    for code in codes:
        if code in OURS:
            return SERVER_ERROR
        found = CLIENT_ERROR
    if status >= 500:
        return SERVER_ERROR
    return CLIENT_ERROR if status >= 400 else found


class Metrics:
    """The figures of one application. What is counted as it happens is told to the methods and
    counters here; what stands at some level is set by whoever is about to show it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        self._counters: dict[str, Counter] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            found = Counter(f"matchgraph_{name}", text, labels, registry=self.registry)
            self._counters[name] = found
            return found

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(
                f"matchgraph_{name}",
                text,
                labels,
                registry=self.registry,
                multiprocess_mode="livesum",
            )

        def histogram(
            name: str, text: str, *labels: str, buckets: Iterable[float] = SECONDS
        ) -> Histogram:
            return Histogram(
                f"matchgraph_{name}", text, labels, registry=self.registry, buckets=tuple(buckets)
            )

        counter("operations", "Operations that ended", "transport", "operation", "outcome")
        self._seconds = histogram(
            "operation_seconds", "From a request to its answer", "transport", "operation"
        )
        self._documents = histogram(
            "document_seconds", "The same, by trusted document", "document", buckets=SECONDS
        )
        self._costs = histogram(
            "operation_cost_points", "What operations cost", buckets=map(float, POINTS)
        )
        counter("errors", "Errors in answers", "code")
        counter("http_responses", "Answers of /graphql over HTTP", "status")
        counter("steps", "What operations waited for", "system")
        counter("step_seconds", "How long they waited for it", "system")
        counter("cache_lookups", "Whether a cache had it", "cache", "found")
        self.append_seconds = histogram("append_seconds", "From a command to its commit")
        self.append_group = histogram(
            "append_group_commands",
            "Commands that shared a commit",
            buckets=map(float, COMMANDS),
        )
        self.appended = counter("events_appended", "Events that were appended")
        self.append_failures = counter(
            "append_failures", "Commands that were not appended", "reason"
        )
        self.append_waiting = gauge("append_waiting", "Commands that wait to be appended")
        self.dropped = counter(
            "subscribers_dropped", "Subscribers that were cut off", "transport", "reason"
        )
        self.subscribers = gauge("subscribers", "Subscribers that follow changes", "feed")
        self.connections = gauge("connections", "Connections that stay open", "transport")
        self.circuit_open = gauge("circuit_open", "1 while a server is left alone", "circuit")
        self.pool = gauge("pool_connections", "Connections to PostgreSQL", "pool", "state")
        self.pool_most = gauge("pool_connections_max", "Connections that it may open", "pool")
        self.lag = histogram("event_loop_lag_seconds", "How late the event loop is")
        self.suppressed = counter("log_records_suppressed", "Records that repeat others")
        # What has not happened yet is there as 0, so that the first time makes a difference.
        for reason in APPEND_FAILURES:
            self.append_failures.labels(reason)
        for transport in ("websocket", "sse"):
            for reason in (SLOW, SILENT):
                self.dropped.labels(transport, reason)
        for cache in ("answer", "board", "card"):
            for found in ("hit", "miss"):
                self._counters["cache_lookups"].labels(cache, found)
        # What is counted for each operation is counted here first, for a fraction of the price.
        self._counted: dict[tuple[str, ...], float] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}
        self._codes: set[str] = set()
        if SHARED not in os.environ:
            ProcessCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    def _count(self, *key: str, amount: float = 1) -> None:
        self._counted[key] = self._counted.get(key, 0) + amount

    def settle(self) -> None:
        """Puts what was counted where those who look find it."""
        counted, self._counted = self._counted, {}
        for (name, *labels), amount in counted.items():
            self._counters[name].labels(*labels).inc(amount)

    def finished(self, operation: Operation, seconds: float, status: int) -> None:
        """Counts an operation that has ended."""
        transport, kind = operation.transport, operation.kind
        assert operation.outcome is not None, "it has ended"
        self._count("operations", transport, kind, operation.outcome)
        if kind not in (SUBSCRIPTION, NONE, UNKNOWN):
            timer = self._timers.get((transport, kind))
            if timer is None:
                timer = self._seconds.labels(transport, kind)
                self._timers[transport, kind] = timer
            timer.observe(seconds)
            if operation.document is not None:
                self._documents.labels(operation.document).observe(seconds)
        if operation.cost is not None:
            self._costs.observe(operation.cost)
        if status:
            self._count("http_responses", str(status))
        for system, count in operation.count.items():
            self._count("steps", system, amount=count)
            self._count("step_seconds", system, amount=operation.waited[system])
        for code in operation.codes:
            self.error(code)

    def error(self, code: str) -> None:
        """Counts an error in an answer."""
        if code not in self._codes and len(self._codes) >= MOST_CODES:
            code = "OTHER"
        self._codes.add(code)
        self._count("errors", code)

    def found(self, cache: str, *, hit: bool) -> None:
        """Counts a look into a cache."""
        self._count("cache_lookups", cache, "hit" if hit else "miss")

    def drop(self, transport: str, reason: str) -> None:
        """Counts a subscriber that is cut off."""
        self.dropped.labels(transport, reason).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        self.settle()
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)

    def end(self) -> None:
        """What stood at some level here stands there no more."""
        self.settle()
        if SHARED in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
