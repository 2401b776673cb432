"""Traces by OpenTelemetry, where the extra `traces` is installed and the standard variables say
where they go (OTEL_EXPORTER_OTLP_ENDPOINT and the like).

A span has names and SQL of ours, counts and codes; never what a client sent, nor what an exception
says. Operations alone are traced: what this process does by itself would drown them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from time import time_ns
from typing import TYPE_CHECKING, Any

from matchgraph.observe.operation import APPEND, POOL, POSTGRESQL, REDIS, Done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# Units: milliseconds that the last spans have to go out when the process ends.
LAST_PATIENCE = 1_500
# What each system is called in OpenTelemetry's semantic conventions.
SYSTEMS = {POSTGRESQL: "postgresql", REDIS: "redis"}


class Traces:
    """Makes spans of operations. Opened by `tracing`."""

    def __init__(self, provider: TracerProvider, version: str) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("matchgraph", version)
        self._propagator = TraceContextTextMapPropagator()

    def request(self, method: str, carrier: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span of a request over HTTP, which goes on the trace that its headers name."""
        return self._spanned(
            f"{method} /graphql",
            {"http.request.method": method, "url.path": "/graphql"},
            self._trace.SpanKind.SERVER,
            self._propagator.extract(carrier),
        )

    def within(self, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[Span]:
        """A span around what happens in the block."""
        return self._spanned(name, attributes, self._trace.SpanKind.INTERNAL, None)

    @contextmanager
    def _spanned(
        self, name: str, attributes: Mapping[str, Any], kind: Any, context: Any
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            # What it says may be what a client sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as reason:
                self.fail(span, type(reason).__name__)
                raise

    def fail(self, span: Span, kind: str) -> None:
        """The span ends in a failure of ours, of that kind."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)

    def leaf(self, done: Done, failed: str | None) -> None:
        """A span of something that has just ended."""
        end = time_ns()
        attributes: dict[str, Any] = {}
        name = done.text
        if done.system == POSTGRESQL:
            name = done.text.split(None, 1)[0] if done.text else "SQL"
            attributes["db.query.text"] = done.text
        if done.system in SYSTEMS:
            attributes["db.system.name"] = SYSTEMS[done.system]
        span = self._tracer.start_span(
            name,
            kind=self._trace.SpanKind.CLIENT
            if done.system not in (POOL, APPEND)
            else self._trace.SpanKind.INTERNAL,
            attributes=attributes,
            start_time=end - int(done.seconds * 1e9),
        )
        if failed is not None:
            self.fail(span, failed)
        span.end(end)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.force_flush(LAST_PATIENCE)
        self._provider.shutdown()


def tracing(version: str, environment: Mapping[str, str] = os.environ) -> Traces | None:
    """What makes spans, or None where nobody asked for any. All the rest is the SDK's: sampling,
    batches, headers, certificates and the name of the service."""
    wanted = (
        any(environment.get(name) for name in ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )
    if not wanted:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("there are no traces: they need `pip install matchgraph[traces]`")
        return None
    named = {"service.version": version}
    resource = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in resource:
        named["service.name"] = "matchgraph"
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider, version)


def carried(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Those headers that carry a trace on."""
    return {
        name.decode(): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
