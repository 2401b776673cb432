"""Somewhere that spans are sent to: a real server of OTLP over HTTP."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    whole: str
    failed: bool


class Receiver:
    """Takes spans in and keeps them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[Span] = []
        self.resources: set[str] = set()

    def take(self, body: bytes) -> None:
        """Reads what one request brings."""
        said = ExportTraceServiceRequest()
        said.ParseFromString(body)
        for resource in said.resource_spans:
            self.resources |= {
                f"{one.key}={one.value.string_value}" for one in resource.resource.attributes
            }
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        name=span.name,
                        trace=span.trace_id.hex(),
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        attributes={one.key: _text(one.value) for one in span.attributes},
                        whole=str(span),
                        failed=span.status.code == 2,
                    )
                    for span in scope.spans
                ]

    def of(self, trace: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace == trace]

    def below(self, parent: Span) -> list[Span]:
        """The spans right below that one."""
        return [span for span in self.spans if span.parent == parent.id]


def _text(value: object) -> str:
    return str(value).partition(": ")[2].strip().strip('"')


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
