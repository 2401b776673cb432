"""Errors as they are answered over HTTP, before and without any execution."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from matchgraph.http.request import RESPONSE, answer_type

# The status of an answer without `data`, by the code of its first error; 400 for all others.
STATUS = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "INTERNAL": 500,
    "BEHIND": 503,
    "OUTCOME_UNKNOWN": 503,
    "UNAVAILABLE": 503,
}

Errors = Sequence[Mapping[str, Any]]


def encoded(said: object) -> bytes:
    """The object as JSON."""
    try:
        return msgspec.json.encode(said)
    except (TypeError, ValueError, OverflowError):  # half a character, or a very large number
        return json.dumps(said, separators=(",", ":")).encode()


def status_of(errors: Errors, kind: str) -> int:
    """The status of an answer that has these errors and no `data`. As application/json it is 200:
    there, errors of GraphQL are none of HTTP."""
    if kind != RESPONSE:
        return 200
    return STATUS.get((errors[0].get("extensions") or {}).get("code", ""), 400)


def refused(
    scope: Scope,
    errors: Errors,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a request that is not carried out; without a status, to one in order."""
    kind = answer_type(Headers(scope=scope).get("accept", ""))
    return JSONResponse(
        {"errors": errors},
        status_code=status_of(errors, kind) if status is None else status,
        headers=headers,
        media_type=kind,
    )
