"""Answers made on the shortest way (http/direct.py), beside an application."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette

from matchgraph.graphql.fragments import Fragments
from matchgraph.graphql.schema import CatalogSchema
from matchgraph.http.access import NOBODY
from matchgraph.http.direct import Direct
from matchgraph.http.documents import KeptDocuments
from matchgraph.observe.operation import CURRENT, Operation
from matchgraph.queries.dossier import Dossiers
from matchgraph.queries.touched import Touched
from tests.graphql.client import context_of

POSTED = {"method": "POST", "headers": [(b"content-type", b"application/json")]}


class Shortest:
    """Makes answers from few dossiers and fragments, so that some have to be given up."""

    def __init__(self, served: Starlette, schema: CatalogSchema, touched: Touched) -> None:
        self._direct = Direct(
            schema,
            KeptDocuments(served.state.redis),
            Dossiers(served.state.pool, touched, most=8),
            lambda scope, caller, notes, reading: context_of(
                served, role=caller.role, notes=notes, reading=reading
            ),
            Fragments(most=20_000),
        )

    async def answer(self, query: str, variables: Mapping[str, Any]) -> bytes | None:
        """The answer without what it cost; None where only the application can say what it is."""
        token = CURRENT.set(Operation("http", "test"))
        try:
            body = _body(query, variables)
            made = await self._direct.answer(dict(POSTED), NOBODY, body, None)
        finally:
            CURRENT.reset(token)
        return None if made is None else made.answer.said + b"}"

    def at_once(self, query: str, variables: Mapping[str, Any]) -> bytes | None:
        """Likewise, put together of what is kept of artifacts; None where that is not enough."""
        spliced = self._direct.at_once(NOBODY, _body(query, variables))
        return None if spliced is None else spliced.said + b"}"


def _body(query: str, variables: Mapping[str, Any]) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()
