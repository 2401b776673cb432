"""Servers for answers.py, each in a process of its own: floor, or plain|sql DATABASE_URL REDIS_URL.

Says on which port it is. The floor is told before, as a line of JSON, what to answer on which path.
"""

import asyncio
import json
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import strawberry
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

from bench.fanout import many_files
from matchgraph.graphql.artifact import Artifact, Capability
from matchgraph.graphql.context import Context
from matchgraph.graphql.extensions import OneView
from matchgraph.graphql.refusals import HANDLERS
from matchgraph.graphql.scalars import SCALARS
from matchgraph.graphql.schema import Mutation, Query
from matchgraph.graphql.subscription import Subscription
from matchgraph.http.app import Api, app

JSON = "application/json"

# The floor


def floor(answers: Mapping[str, str]) -> Starlette:
    """Says the same whatever it is asked, and does not even read that."""

    def answering(answer: bytes) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            return Response(answer, media_type=JSON)

        return answered

    return Starlette(
        routes=[
            Route(path, answering(answer.encode()), methods=["POST"])
            for path, answer in answers.items()
        ]
    )


# Plain Strawberry


class Plain(GraphQL[Context, None]):
    """Strawberry's own view, whose context is what our resolvers need."""

    get_context = Api.get_context


def plain(url: str, redis_url: str) -> Starlette:
    """Our types as Strawberry serves them by itself, over the same connections."""
    ours = app(url, redis_url, project=False)

    @asynccontextmanager
    async def lifespan(served: Starlette) -> AsyncIterator[None]:
        async with ours.router.lifespan_context(ours):
            yield

    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Artifact, Capability],
        # Which gives the connection back; all else is left out.
        extensions=[OneView],
        exception_handlers=HANDLERS,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    served = Starlette(routes=[Route("/graphql", Plain(schema))], lifespan=lifespan)
    served.state = ours.state
    return served


# Hand-written SQL

LISTED = """
SELECT id, slug, upper(kind) AS kind, upper(status) AS status, name, description, vendor, family,
  licence, open_weights AS "openWeights", self_hostable AS "selfHostable", homepage, released,
  knowledge_cutoff AS "knowledgeCutoff", context_tokens AS "contextTokens",
  output_tokens AS "outputTokens", input_types AS "inputTypes", output_types AS "outputTypes"
FROM artifact_listing WHERE slug = ANY ($1)
"""
CAPABILITIES = """
SELECT artifact_id, key, name, description, unique_claim AS "unique",
  versus_alternatives AS "versusAlternatives", intents, best_for AS "bestFor", limitations,
  requires, input_types AS "inputTypes", output_types AS "outputTypes", tags,
  upper(method) AS method, source, observed_at AS "observedAt"
FROM capability_listing WHERE artifact_id = ANY ($1) AND NOT retired ORDER BY added_position
"""
PRICES = """
SELECT artifact_id, provider, upper(pricing) AS pricing, amount, currency, upper(per) AS per, tier,
  source, observed_at AS "observedAt"
FROM price_current WHERE artifact_id = ANY ($1)
ORDER BY provider, per NULLS FIRST, tier NULLS FIRST, source
"""
SIGNALS = """
SELECT artifact_id, upper(name) AS name, value, source, upper(method) AS method,
  observed_at AS "observedAt"
FROM signal_board WHERE artifact_id = ANY ($1) ORDER BY name, source
"""
RANKS = "SELECT * FROM rank_board WHERE artifact_id = ANY ($1)"
BOARD = """
SELECT slug, name, vendor, b.* FROM rank_board b JOIN artifact_listing l ON l.id = b.artifact_id
WHERE b.kind = lower($1) AND place > 0
  AND ($2::int IS NULL OR (-standing, artifact_id) > (-$2::int, $3::uuid))
ORDER BY standing DESC, artifact_id LIMIT 20
"""
PARTS = ("adoption", "quality", "ecosystem", "match_graph", "freshness")


def sql(url: str) -> Starlette:
    """The facts of the same answers as somebody writes them down who needs just these."""

    @asynccontextmanager
    async def lifespan(served: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url) as pool:
            served.state.pool = pool
            yield

    return Starlette(
        routes=[
            Route("/compare", _compare, methods=["POST"]),
            Route("/board", _board, methods=["POST"]),
            Route("/artifact", _artifact, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


async def _compare(request: Request) -> Response:
    slugs = (await _variables(request))["slugs"]
    async with request.app.state.pool.acquire() as db:
        ids, found = await _listed(db, slugs)
        await _add_prices(db, ids, found)
        await _add_ranks(db, ids, found)
        for row in await db.fetch(CAPABILITIES, ids):
            capability = dict(row)
            claimed = ("method", "source", "observedAt")
            capability["provenance"] = {name: capability.pop(name) for name in claimed}
            own = found[capability.pop("artifact_id")]
            own.setdefault("capabilities", {"nodes": []})["nodes"].append(capability)
        for id, rows in (await _by_artifact(db, SIGNALS, ids)).items():
            found[id]["signals"] = rows
    by_slug = {artifact["slug"]: artifact for artifact in found.values()}
    return _answer({"compare": {"artifacts": [by_slug[slug] for slug in slugs]}})


async def _artifact(request: Request) -> Response:
    slug = (await _variables(request))["slug"]
    async with request.app.state.pool.acquire() as db:
        ids, found = await _listed(db, [slug])
        await _add_prices(db, ids, found)
        await _add_ranks(db, ids, found)
    return _answer({"artifact": found[ids[0]]})


async def _board(request: Request) -> Response:
    asked = await _variables(request)
    rows = await request.app.state.pool.fetch(BOARD, asked["kind"], asked["standing"], asked["id"])
    nodes = [
        {"slug": row["slug"], "name": row["name"], "vendor": row["vendor"], "rank": _rank(row)}
        for row in rows
    ]
    return _answer({"rankBoard": {"nodes": nodes}})


async def _variables(request: Request) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(await request.body())["variables"]
    return said


def _answer(data: object) -> Response:
    return Response(msgspec.json.encode({"data": data}), media_type=JSON)


async def _listed(db: Any, slugs: Sequence[str]) -> tuple[list[UUID], dict[UUID, dict[str, Any]]]:
    found = {row["id"]: dict(row) for row in await db.fetch(LISTED, slugs)}
    for artifact in found.values():
        artifact["inputTypes"] = _upper(artifact["inputTypes"])
        artifact["outputTypes"] = _upper(artifact["outputTypes"])
    return list(found), found


def _upper(names: list[str] | None) -> list[str] | None:
    return None if names is None else [name.upper() for name in names]


async def _add_prices(db: Any, ids: list[UUID], found: dict[UUID, dict[str, Any]]) -> None:
    prices = await _by_artifact(db, PRICES, ids)
    for id in ids:
        found[id]["prices"] = prices[id]


async def _add_ranks(db: Any, ids: list[UUID], found: dict[UUID, dict[str, Any]]) -> None:
    for row in await db.fetch(RANKS, ids):
        found[row["artifact_id"]]["rank"] = _rank(row)


async def _by_artifact(
    db: Any, query: str, ids: list[UUID]
) -> defaultdict[UUID, list[dict[str, Any]]]:
    found: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in await db.fetch(query, ids):
        one = dict(row)
        found[one.pop("artifact_id")].append(one)
    return found


def _rank(row: Any) -> dict[str, Any]:
    return {
        "score": _points(row["score"]),
        "low": _points(row["low"]),
        "high": _points(row["high"]),
        "coverage": row["coverage"] / 1_000_000,
        "position": str(row["position"]),
        "place": row["place"],
        "band": row["band"],
        "parts": [{"name": part.upper(), "points": _points(row[part])} for part in PARTS],
    }


def _points(millionths: int) -> Decimal:
    return Decimal(millionths).scaleb(-6)


async def serve(served: Starlette) -> None:
    """As uvicorn's documentation has it for speed: uvloop, httptools, no log of accesses."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    server = uvicorn.Server(uvicorn.Config(served, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    print(listening.getsockname()[1], flush=True)
    await serving


def main() -> None:
    """Serves what the command line says."""
    many_files()
    match sys.argv[1:]:
        case ["floor"]:
            served = floor(json.loads(sys.stdin.readline()))
        case ["plain", url, redis_url]:
            served = plain(url, redis_url)
        case ["sql", url, _]:
            served = sql(url)
        case said:
            raise SystemExit(f"no such server: {said}")
    uvloop.run(serve(served))


if __name__ == "__main__":
    main()
