"""What is seen of requests over HTTP, and of the process as a whole."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from random import getrandbits
from re import compile
from time import perf_counter
from typing import Any, Generic, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matchgraph import migrate
from matchgraph.eventstore.connection import LOST
from matchgraph.eventstore.tasks import stop
from matchgraph.http.slow import SlowOperations
from matchgraph.observe.logs import Handler
from matchgraph.observe.metrics import SERVER_ERROR, outcome_of
from matchgraph.observe.observer import Observer
from matchgraph.observe.operation import CURRENT
from matchgraph.observe.traces import carried

REQUEST_ID = "matchgraph.request_id"
GOOD_ID = compile(rb"[\w.:/+=-]{1,100}")
GOOD_TRACE = compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Units: seconds between two looks at how late the event loop is, and how full everything is.
LOOK_EVERY = 0.5


def request_id_of(said: bytes) -> str:
    """What a request is known by: what its client calls it, else a name of our own."""
    if said and GOOD_ID.fullmatch(said):
        return said.decode()
    # It is no secret, and the operating system's generator takes longer than all else here.
    return f"{getrandbits(128):032x}"


async def observed(
    observer: Observer, answer: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answers a request to /graphql, as one operation. The answer carries its id."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    request_id = scope[REQUEST_ID] = request_id_of(headers.get(b"x-request-id", b""))
    operation = observer.begin("http", request_id)
    trace = GOOD_TRACE.fullmatch(headers.get(b"traceparent", b""))
    if trace is not None:
        operation.trace_id = trace[1].decode()
    said = (b"x-request-id", request_id.encode())
    status = 0

    async def send_observed(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [*message.get("headers", ()), said]
        await send(message)

    traces = observer.traces
    spanned = (
        nullcontext()
        if traces is None
        else traces.request(scope["method"], carried(headers.items()))
    )
    token = CURRENT.set(operation)
    try:
        with spanned as traced:
            if traces is not None and traced is not None:
                operation.trace_id = f"{traced.get_span_context().trace_id:032x}"
                if traced.is_recording():
                    operation.spans = traces
            await answer(scope, receive, send_observed)
            if traces is not None and traced is not None:
                traced.set_attribute("http.response.status_code", status)
                if outcome_of(operation.codes, status) == SERVER_ERROR:
                    traces.fail(traced, operation.codes[0] if operation.codes else str(status))
    except asyncio.CancelledError:
        operation.outcome = "cancelled"
        raise
    finally:
        CURRENT.reset(token)
        observer.end(operation, status or 499)


@asynccontextmanager
async def observing(state: Any) -> AsyncIterator[None]:
    """Observes the process while the block runs."""
    observer: Observer = state.observer
    asyncio.get_running_loop().set_exception_handler(fail_quietly)
    state.pools = {"queries": state.pool, "queries as of": state.past, "store": state.store.pool}
    state.pools["dossiers"] = state.dossiers.pool
    slow = SlowOperations(state.pools)
    observer.slow = slow.tell
    task = asyncio.create_task(looking(state), name="looking")
    try:
        yield
    finally:
        await stop(task)
        await slow.close()
        observer.metrics.end()


def look(state: Any) -> None:
    """Notes at which level stands what does not go up alone."""
    metrics = state.observer.metrics
    metrics.settle()
    for name, pool in state.pools.items():
        idle = pool.get_idle_size()
        metrics.pool.labels(name, "idle").set(idle)
        metrics.pool.labels(name, "used").set(pool.get_size() - idle)
        metrics.pool_most.labels(name).set(pool.get_max_size())
    metrics.circuit_open.labels("boards").set(state.boards.circuit.is_open)
    metrics.append_waiting.set(state.store.waiting)
    for feed, count in state.sharing.members().items():
        metrics.subscribers.labels(feed).set(count)
    for transport, count in state.clients.by_transport().items():
        metrics.connections.labels(transport).set(count)


async def looking(state: Any) -> None:
    """Looks at all that, and at how late the event loop is, without end."""
    loop_lag = state.observer.metrics.lag
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, Handler)]
    counted = 0
    while True:
        began = perf_counter()
        await asyncio.sleep(LOOK_EVERY)
        loop_lag.observe(max(0.0, perf_counter() - began - LOOK_EVERY))
        look(state)
        for handler in handlers:
            handler.repeats.tell()
        suppressed = sum(handler.repeats.suppressed for handler in handlers)
        state.observer.metrics.suppressed.inc(suppressed - counted)
        counted = suppressed


def fail_quietly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what no task waited for, as other failures are: asyncio's own words quote it."""
    logging.getLogger("asyncio").error(
        "%s", context.get("message", "a task failed"), exc_info=context.get("exception")
    )


T = TypeVar("T")


class Shared(Generic[T]):
    """Finds something out once for all who ask at the same time."""

    def __init__(self, find: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._find = find
        self._finding: asyncio.Task[T] | None = None

    async def once(self) -> T:
        """What was found. Raises: as `find` does."""
        if self._finding is None:
            self._finding = asyncio.create_task(self._find(), name="shared look")
            self._finding.add_done_callback(self._over)
        # Whoever goes away does not end it for the others.
        return await asyncio.shield(self._finding)

    def _over(self, _: object) -> None:
        self._finding = None


class Release:
    """Whether the database has all that this release needs. Migrations only go forward, so once it
    has, it is not asked again."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._is_there = False

    async def missing(self) -> list[str]:
        """The migrations that are not there, the first ones first; none also while nobody can
        tell."""
        if self._is_there:
            return []
        try:
            missing = await migrate.missing(self._url)
        except LOST:
            return []
        self._is_there = not missing
        return missing
