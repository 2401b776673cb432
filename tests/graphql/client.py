"""A client of the whole application, over HTTP and in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette

from matchgraph.eventstore.connection import Pool
from matchgraph.eventstore.store import Store
from matchgraph.graphql.context import Context
from matchgraph.http.app import app

JSON = {"content-type": "application/json"}
SECRETS = ("what the tests sign with",)
SEARCH_KEYS = ("a master key that tests wrap with",)


class Api:
    """Asks the application and reads its answers."""

    def __init__(self, served: Starlette, http: httpx.AsyncClient) -> None:
        self.http = http
        self.app = served

    @property
    def store(self) -> Store:
        store: Store = self.app.state.store
        return store

    @property
    def pool(self) -> Pool:
        pool: Pool = self.app.state.pool
        return pool

    async def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer, errors included."""
        # Not httpx's own JSON: it cannot send what a hostile client can, such as lone surrogates.
        said = json.dumps({"query": query, "variables": variables})
        response = await self.http.post("/graphql", content=said, headers=JSON)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The only error of an answer: its message, path and extensions."""
        answer = await self.answer(query, **variables)
        assert len(answer.get("errors", [])) == 1, answer
        error: dict[str, Any] = answer["errors"][0]
        return error

    async def code(self, query: str, **variables: Any) -> str:
        """The code of the only error of an answer."""
        code: str = (await self.error(query, **variables))["extensions"]["code"]
        return code


def context_of(served: Starlette, **more: Any) -> Context:
    """What an operation carries that is executed beside the application."""
    state = served.state
    return Context(
        store=state.store,
        pool=state.pool,
        past=state.past,
        boards=state.boards,
        feeds=state.feeds,
        keys=state.keys,
        searching=state.searching,
        **more,
    )


@asynccontextmanager
async def serving(database_url: str, redis_url: str, **options: Any) -> AsyncIterator[Api]:
    """The application, started and stopped as a server would. It makes each answer anew, unless
    told how much of them to keep: what a test changes shows at once."""
    usual = {"secrets": SECRETS, "search_keys": SEARCH_KEYS, "kept_answers": 0}
    served = app(database_url, redis_url, **{**usual, **options})
    transport = httpx.ASGITransport(served, raise_app_exceptions=False)
    async with (
        served.router.lifespan_context(served),
        httpx.AsyncClient(transport=transport, base_url="http://matchgraph", timeout=30) as http,
    ):
        yield Api(served, http)
