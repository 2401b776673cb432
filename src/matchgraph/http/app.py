"""The application: GraphQL, health and metrics on Starlette."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import redis.asyncio as redis
from cross_web import AsyncHTTPRequestAdapter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from matchgraph import __version__
from matchgraph.commands.outcome_token import pseudonym
from matchgraph.commands.search import Recent
from matchgraph.commands.searcher import at, intent_secret, named
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import FULL, LOST, Pool, open_pool
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.searcher_keys import SearcherKeys
from matchgraph.eventstore.store import open_store
from matchgraph.eventstore.tasks import stop
from matchgraph.graphql.context import Context, Course
from matchgraph.graphql.documents import Documents
from matchgraph.graphql.fragments import Fragments
from matchgraph.graphql.limits import LONGEST_EXECUTION
from matchgraph.graphql.observe import HTTP, SHARED, WEBSOCKET, trace_fields
from matchgraph.graphql.schema import build
from matchgraph.graphql.sharing import Asked, Sharing
from matchgraph.http.access import (
    CALLER,
    LATELY,
    NOBODY,
    Caller,
    Doors,
    Unauthenticated,
    given,
    refusal,
)
from matchgraph.http.answers import MOST_KEPT, Answers, Found, Pending
from matchgraph.http.budget import Allowance, Budgets, tell
from matchgraph.http.clients import Clients
from matchgraph.http.direct import TRIED, Direct, Tried
from matchgraph.http.documents import KeptDocuments, TrustedDocuments
from matchgraph.http.front import NO_SNIFFING, PENDING, Front, at_once
from matchgraph.http.front import Headers as Said
from matchgraph.http.live import SEND, LiveView
from matchgraph.http.manifests import read
from matchgraph.http.observe import (
    REQUEST_ID,
    Release,
    Shared,
    look,
    observed,
    observing,
    request_id_of,
)
from matchgraph.http.origins import Cors, Origins
from matchgraph.http.request import BadRequest
from matchgraph.http.sockets import Seats
from matchgraph.http.tokens import Tokens, TokenSettings
from matchgraph.http.upkeep import calibrating, projecting
from matchgraph.http.view import RequestAdapter
from matchgraph.ledger.head import Signer
from matchgraph.ledger.watch import Watched, watched
from matchgraph.observe.observer import Observer
from matchgraph.projections.redis_client import REDIS_AWAY, open_client
from matchgraph.projections.runner import Progress, progress
from matchgraph.queries.board import Boards
from matchgraph.queries.dossier import BYTES_OF_A_KEY, Reading, open_dossiers
from matchgraph.queries.feed import open_feeds
from matchgraph.queries.notes import Notes
from matchgraph.queries.searching import Searching
from matchgraph.queries.snapshot import open_past
from matchgraph.queries.touched import Touched

log = logging.getLogger(__name__)

PATH = "/graphql"
# Units: seconds that a command waits for a database that is away: a caller is to know within five.
PATIENCE = 4.0
# A read model that is this far behind is worth waking somebody for.
LATE = 60.0


class Application(Starlette):
    """Starlette behind a front that gives known answers, which leaves the server's own `send` where
    http/live.py finds it."""

    def __init__(self, origins: Origins, **options: Any) -> None:
        super().__init__(middleware=[Middleware(Cors, origins=origins)], **options)
        self._front = Front(super().__call__, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        scope[SEND] = send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), NO_SNIFFING]
            await send(message)

        if scope["type"] == "http" and scope["path"] == PATH:
            scope["app"] = self
            await observed(self.state.observer, self._front, scope, receive, sending)
        else:
            await super().__call__(scope, receive, sending)

    def at_once(self, headers: Said, body: bytes) -> tuple[bytes, bytes] | None:
        """Head and body of the answer to such a POST to /graphql, if nothing has to be waited for
        (see http/front.py)."""
        return at_once(self.state, headers, body)


class Api(LiveView):
    """GraphQL over HTTP, graphql-transport-ws and graphql-sse."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, once it is known who asks. (On a WebSocket that is known later.)"""
        if scope["type"] == "http" and CALLER not in scope:
            try:
                scope[CALLER] = await scope["app"].state.doors.admit(given(scope))
            except (Unauthenticated, Unavailable) as reason:
                # The connection of whoever is answered in the middle of a body is closed, and with
                # it goes what they send next.
                with suppress(BadRequest, ClientDisconnect):
                    await RequestAdapter(Request(scope, receive)).get_body()
                await refusal(scope, reason)(scope, receive, send)
                return
        # Who goes away before the request is whole has made no mistake for the log, and what was
        # found meanwhile is given by the front.
        with suppress(ClientDisconnect, Found):
            await super().__call__(scope, receive, send)

    def is_websocket_origin_allowed(self, request: Any, origin: str) -> bool:
        """Whether a page of another origin may open a WebSocket."""
        origins: Origins = request.app.state.origins
        return origins.allow(origin)

    async def get_context(self, request: Any, response: Any) -> Context:
        """One context for each operation."""
        scope = request.scope
        pending: Pending | None = scope.get(PENDING)
        context = _own_context(
            request.app.state,
            scope,
            scope.get(CALLER, NOBODY),
            Notes(complete=False) if pending is None else pending.notes,
        )
        if scope["type"] == "websocket":
            context.course, context.transport = Course(), WEBSOCKET
        tried: Tried | None = scope.get(TRIED)
        if tried is not None:
            context.paid = tried.bill
            context.patience -= tried.spent
        return context

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """The result, of which the answer's head says what it cost and whether it was refused.
        Raises: Found, BadRequest."""

        pending: Pending | None = request.scope.get(PENDING)
        documents: Documents = self.schema.documents  # type: ignore[attr-defined]
        if pending is not None and documents.may_repeat(
            request_data.query, request_data.operation_name
        ):
            await request.app.state.answers.claim(pending)
        result = await super().execute_single(
            request, request_adapter, sub_response, context, root_value, request_data
        )
        tell(sub_response, context.bill, result)
        if pending is not None:
            pending.bill = context.bill
        return result


def _shows_schema(state: Any, role: Role) -> bool:
    return state.development or role > Role.ANONYMOUS


def _searcher(scope: Scope) -> str:
    """Who searches: what the frontend calls them, else the address that asks."""
    said = Headers(scope=scope).get("x-searcher", "")
    client = scope.get("client")
    return named(said) if said else at(client[0] if client else "")


def _own_context(
    state: Any, scope: Scope, caller: Caller, notes: Notes, reading: Reading | None = None
) -> Context:
    """What an operation carries that one client asks for."""
    request_id = scope.get(REQUEST_ID) or request_id_of(
        Headers(scope=scope).get("x-request-id", "").encode("latin-1")
    )
    return Context(
        store=state.store,
        pool=state.pool,
        past=state.past,
        boards=state.boards,
        feeds=state.feeds,
        keys=state.keys,
        request_id=request_id,
        actor=caller.actor,
        role=caller.role,
        shows_schema=_shows_schema(state, caller.role),
        searcher="" if reading else pseudonym(state.secrets, _searcher(scope)),
        secrets=state.secrets,
        recent=state.recent,
        searching=state.searching,
        purse=state.budgets.purse(scope, caller),
        patience=state.patience,
        observer=state.observer,
        transport=HTTP,
        notes=notes,
        reading=reading,
    )


def app(
    database_url: str,
    redis_url: str,
    *,
    project: bool = True,
    calibrate: bool = False,
    development: bool = True,
    secrets: Sequence[str] = (),
    search_keys: Sequence[str] = (),
    model: str | None = None,
    signers: Sequence[Signer] = (),
    origins: Sequence[str] = (),
    tokens: TokenSettings | None = None,
    metrics_token: str | None = None,
    lately: float = LATELY,
    trusted: Sequence[Path] = (),
    allowance: Allowance = Allowance(),  # noqa: B008 (it cannot be changed)
    patience: float = LONGEST_EXECUTION,
    federation: bool = False,
    kept_answers: int = MOST_KEPT,
    observer: Observer | None = None,
) -> Application:
    """The application over these servers; with `project`, it also keeps the read models, with
    `calibrate` it calibrates ranks once a day. Without `secrets`, newest first, what it signs holds
    for as long as it runs; without `search_keys`, likewise, words of searchers can be read for as
    long as it runs; without the name of an embedding `model`, search goes by words alone. What
    keeps the read models also watches the log and signs its heads, if there are `signers`.

    Pages of these `origins` may ask, and `tokens` says whose are taken beside keys; what is known
    of a key holds for `lately` seconds. In production, `metrics_token` shows how it is doing.
    `allowance` is what each may have, and an execution is ended after `patience` seconds. With
    `trusted` manifests, the operations in them run and no others; with `federation`, a gateway can
    take the schema for a subgraph. So many bytes of answers are kept for who asks the same again;
    with 0, none. The `observer` is told of every operation.

    Raises: BadManifest.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            metrics = app.state.observer.metrics
            app.state.store = store = await stack.enter_async_context(
                open_store(database_url, patience=PATIENCE, metrics=metrics)
            )
            app.state.pool = await open_pool(database_url, "queries", size=20)
            stack.push_async_callback(_close, app.state.pool)
            app.state.past = await open_past(database_url, size=10)
            stack.push_async_callback(_close, app.state.past)
            app.state.redis = open_client(redis_url)
            stack.push_async_callback(app.state.redis.aclose)
            app.state.boards = Boards(app.state.redis, metrics=metrics)
            app.state.documents = trusted_documents or KeptDocuments(app.state.redis)
            app.state.secrets = tuple(secrets) or (token_urlsafe(32),)
            app.state.keys = SearcherKeys(
                app.state.pool, tuple(search_keys) or (token_urlsafe(32),)
            )
            app.state.recent = Recent()
            app.state.searching = Searching(secret=intent_secret(app.state.secrets))
            if model is not None:
                # Takes a moment, in which searches go by words alone.
                loading = asyncio.create_task(app.state.searching.load(model), name="model")
                stack.push_async_callback(stop, loading)
            app.state.feeds = await stack.enter_async_context(
                open_feeds(app.state.pool, store.listener, redis_url)
            )
            app.state.development = development
            app.state.origins = allowed
            app.state.metrics_token = metrics_token
            reader = None if tokens is None else Tokens(tokens)
            app.state.doors = Doors(
                store, app.state.pool, development=development, tokens=reader, lately=lately
            )
            app.state.clients = Clients()
            app.state.budgets = Budgets(app.state.redis, allowance)
            app.state.seats = Seats(allowance)
            touched = Touched(database_url, store.listener)
            following = asyncio.create_task(touched.run(), name="what is touched")
            stack.push_async_callback(stop, following)
            dossiers = await stack.enter_async_context(
                open_dossiers(database_url, touched, most=kept_answers // 4 // BYTES_OF_A_KEY)
            )
            app.state.direct = Direct(
                schema,
                app.state.documents,
                dossiers,
                partial(_own_context, app.state),
                Fragments(most=kept_answers // 4) if kept_answers else None,
            )
            app.state.dossiers = dossiers
            app.state.answers = None
            if kept_answers:
                app.state.answers = Answers(
                    touched, app.state.redis, metrics=metrics, most=kept_answers // 2
                )
            app.state.patience = patience
            guard = app.state.clients.guard(app.state.doors, store.listener)
            stack.push_async_callback(stop, asyncio.create_task(guard, name="guard"))
            if reader is not None:
                keys = asyncio.create_task(reader.run(), name="keys of tokens")
                stack.push_async_callback(stop, keys)
            app.state.sharing = Sharing(api.schema, app.state.feeds, partial(_context, app))
            stack.push_async_callback(app.state.sharing.close)
            if project:
                await stack.enter_async_context(
                    projecting(database_url, store, redis_url, model=model, signers=signers)
                )
            if calibrate:
                await stack.enter_async_context(calibrating(store, app.state.pool))
            # Whoever asks while somebody else does gets the same answer, so that no number of those
            # who look keeps more than one connection from those who ask.
            app.state.standing = Shared(partial(_standing, app.state))
            app.state.readiness = Shared(partial(_readiness, app.state, Release(database_url)))
            await stack.enter_async_context(observing(app.state))
            yield

    allowed = Origins(tuple(origins))
    schema = build(federation=federation)
    texts = read(trusted, schema._schema, allowance.most_points)
    trusted_documents = TrustedDocuments(texts) if trusted else None
    api = Api(
        schema,
        graphql_ide="graphiql" if development else None,
        subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
        connection_init_wait_timeout=timedelta(seconds=10),
    )
    observer = Observer() if observer is None else observer
    if observer.traces is not None:
        trace_fields(api.schema)
    served = Application(
        allowed,
        routes=[
            Route("/", lambda _: RedirectResponse(PATH)),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/metrics", metrics),
            Route(PATH, api),
            WebSocketRoute(PATH, api),
        ],
        lifespan=lifespan,
    )
    served.state.observer = observer
    return served


def _context(app: Starlette, asked: Asked) -> Context:
    """What an execution carries that many share."""
    state = app.state
    return Context(
        store=state.store,
        pool=state.pool,
        past=state.past,
        boards=state.boards,
        feeds=state.feeds,
        keys=state.keys,
        searching=state.searching,
        patience=state.patience,
        role=asked.role,
        shows_schema=_shows_schema(state, asked.role),
        observer=state.observer,
        transport=SHARED,
    )


def _is_shown(request: Request) -> bool:
    """Whether whoever asks may see how it is doing. Not by a key: when the database is away, that
    is when somebody has to look."""
    state = request.app.state
    if state.development:
        return True
    said = request.headers.get("authorization", "").encode()
    return state.metrics_token is not None and compare_digest(
        said, f"Bearer {state.metrics_token}".encode()
    )


async def alive(request: Request) -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "alive"})


async def ready(request: Request) -> Response:
    """200 when queries can be answered, 503 with what is missing otherwise; in production, what is
    missing is for those alone who may see the metrics."""
    readiness, problems = await request.app.state.readiness.once()
    if not _is_shown(request):
        readiness = {"status": readiness["status"]}
    return JSONResponse(readiness, status_code=503 if problems else 200)


async def _readiness(state: Any, release: Release) -> tuple[dict[str, Any], list[str]]:
    """What is told of it, and what is missing to answer queries."""
    problems: list[str] = []
    read_models = await _progress(state.pool)
    if read_models is None:
        problems.append("the database is away")
    elif missing := await release.missing():
        problems.append(
            f"the database lacks {', '.join(missing)}; run `matchgraph migrate` of this release"
        )
    # What nobody could read before keeps nobody from what they read.
    for model in (model for model in read_models or () if not model.first_time):
        if model.stuck_at is not None:
            problems.append(
                f"{model.name} is stuck at event {model.stuck_at}: {model.stuck_because}"
            )
        elif model.delay > LATE:
            problems.append(f"{model.name} is {model.behind} events ({model.delay:.0f} s) behind")
    ledger = await _watched(state.pool)
    return (
        {
            "status": "ready" if not problems else "not ready",
            "problems": problems,
            # Redis is a cache: without it answers are slower, never wrong.
            "redis": "reachable" if await _answers(state.redis) else "away",
            # Whoever reads this must know; that nobody is answered would help only who broke it.
            "ledger": None
            if ledger is None
            else {
                "status": "whole" if ledger.broken_at is None else "broken",
                "verified": str(ledger.verified),
                "signed": str(ledger.signed),
                "brokenAt": None if ledger.broken_at is None else str(ledger.broken_at),
                "problem": ledger.broken_because,
                "acknowledgedBreaks": ledger.acknowledged,
            },
            "readModels": [
                {
                    "name": model.name,
                    "position": str(model.position),
                    "behindEvents": model.behind,
                    "behindSeconds": round(model.delay, 3),
                    "stuckAt": None if model.stuck_at is None else str(model.stuck_at),
                    "firstTime": model.first_time,
                }
                for model in read_models or ()
            ],
        },
        problems,
    )


async def metrics(request: Request) -> Response:
    """The numbers for Prometheus; in production, for who has the token for them."""
    if not _is_shown(request):
        reason = "The metrics are for who has the token in MATCHGRAPH_METRICS_TOKEN."
        return refusal(request.scope, Unauthenticated(reason))
    state = request.app.state
    look(state)
    return Response(
        state.observer.metrics.text() + generate_latest(await state.standing.once()),
        media_type=CONTENT_TYPE_LATEST,
    )


async def _standing(state: Any) -> CollectorRegistry:
    """What the database and Redis say of themselves and of the read models."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str) -> Gauge:
        return Gauge(f"matchgraph_{name}", text, ["read_model"], registry=registry)

    position = gauge("projection_position", "The newest event that the read model includes")
    behind = gauge("projection_behind_events", "How many events the read model is behind")
    delay = gauge("projection_behind_seconds", "How long ago the oldest missing event was recorded")
    stuck = gauge("projection_stuck", "1 when an event cannot be taken in")
    first = gauge("projection_first_time", "1 while the read model is computed for the first time")
    read_models = await _progress(state.pool)
    for model in read_models or ():
        position.labels(model.name).set(model.position)
        behind.labels(model.name).set(model.behind)
        delay.labels(model.name).set(model.delay)
        stuck.labels(model.name).set(model.stuck_at is not None)
        first.labels(model.name).set(model.first_time)
    ledger = await _watched(state.pool)
    if ledger is not None:
        for name, text, value in (
            ("broken", "1 when history is not what was recorded", ledger.broken_at is not None),
            ("verified_position", "The newest event that was verified", ledger.verified),
            ("signed_position", "The newest event that a signed head covers", ledger.signed),
            ("again_position", "How far history is being gone over again", ledger.again),
            ("acknowledged_breaks", "How many breaks somebody acknowledged", ledger.acknowledged),
            ("rounds", "How often all of history was gone over again", ledger.rounds),
        ):
            Gauge(f"matchgraph_ledger_{name}", text, registry=registry).set(value)
    up = Gauge("matchgraph_database_up", "1 when the database answers", registry=registry)
    up.set(read_models is not None)
    up = Gauge("matchgraph_redis_up", "1 when Redis answers", registry=registry)
    up.set(await _answers(state.redis))
    built = Gauge("matchgraph_build_info", "The release", ["version"], registry=registry)
    built.labels(__version__).set(1)
    return registry


async def _close(pool: Pool) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(pool.close(), 5)


async def _progress(pool: Pool) -> list[Progress] | None:
    try:
        return await progress(pool)
    except (*LOST, *FULL):
        return None


async def _watched(pool: Pool) -> Watched | None:
    try:
        return await watched(pool)
    except (*LOST, *FULL):
        return None


async def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(await client.ping())
    except REDIS_AWAY:
        return False
