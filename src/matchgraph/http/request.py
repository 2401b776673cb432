"""How a request becomes a document, the name of one operation in it, and variables.

The same for HTTP, event streams and WebSocket: what a client sent is read strictly here, and what
is no request is told what it should be. http/documents.py finds the document of a request that
names it instead of sending it; http/view.py and http/live.py carry both out.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from functools import lru_cache
from json import JSONDecodeError
from typing import Any

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers

from matchgraph.graphql.sharing import LONGEST_QUERY, MOST_TOKENS

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
EVENTS = "text/event-stream"
# How the proposal for persisted documents writes that an id is the SHA-256 of the document.
SHA256 = "sha256:"
LONGEST_ID = 200
# Units: bytes.
LARGEST_BODY = 1_000_000


class BadRequest(Exception):
    """That is no request of GraphQL over HTTP, and nothing was looked up for it; says what to send
    instead."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "BAD_REQUEST",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.errors = [{"message": message, "extensions": {"code": code}}]


class NotRun(Exception):
    """The request is in order, and its operation is not carried out."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.errors = [{"message": message, "extensions": {"code": code}}]


@dataclass(frozen=True)
class Sent:
    """What a client sent: a document, or the `id` of one that the server is to know, or both. An
    id that is a SHA-256 is its 64 hexadecimal digits alone."""

    query: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


# JSON.


def decoded(said: str | bytes) -> object:
    """What the JSON says. Raises: JSONDecodeError for whatever is none, in UTF-8."""
    try:
        text = said if isinstance(said, str) else said.decode()
        return json.loads(text, parse_constant=_refuse)
    except JSONDecodeError:
        raise
    except UnicodeDecodeError as reason:
        raise JSONDecodeError(f"byte {reason.start + 1} is none of UTF-8", "", 0) from None
    except (ValueError, RecursionError) as reason:
        # Of numbers of thousands of digits, and depth.
        raise JSONDecodeError(str(reason)[:100], "", 0) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# What was sent.


def read_body(body: bytes) -> Sent:
    """The request in the body of a POST. Raises: BadRequest."""
    try:
        said = decoded(body)
    except JSONDecodeError as reason:
        raise BadRequest(f"The body is not JSON in UTF-8: {reason.msg}.") from None
    if isinstance(said, list):
        raise BadRequest("The body is a list; send each request by itself.")
    return read_payload(said)


def too_large() -> BadRequest:
    """What is told of a body of more than is read."""
    return BadRequest(
        f"The body is too large: at most {LARGEST_BODY} bytes are read. Send less at once.",
        status=413,
        code="CONTENT_TOO_LARGE",
    )


def check_headers(headers: Headers) -> None:
    """Returns if the body can be one that is read here. Raises: BadRequest."""
    with suppress(ValueError):
        if int(headers.get("content-length", 0)) > LARGEST_BODY:
            raise too_large()
    if "content-encoding" in headers:
        raise BadRequest(
            "The body is encoded; send it as it is, without Content-Encoding.",
            status=415,
            code="UNSUPPORTED_MEDIA_TYPE",
            headers={"accept-encoding": "identity"},
        )
    said = headers.getlist("content-type")
    kind = Message()
    kind["content-type"] = said[0] if said else ""
    charset = kind.get_content_charset("utf-8")
    # (`get_content_type` takes what it cannot read for text/plain.)
    if len(said) != 1 or kind.get_content_type() != JSON or charset not in ("utf-8", "utf8"):
        raise BadRequest(
            f"The body must be {JSON}, in UTF-8, and Content-Type must say so.",
            status=415,
            code="UNSUPPORTED_MEDIA_TYPE",
            headers={"accept": JSON},
        )


def read_parameters(parameters: Mapping[str, str]) -> Sent:
    """The request in the address of a GET. Raises: BadRequest."""
    said: dict[str, object] = dict(parameters)
    for name in ("variables", "extensions"):
        if text := parameters.get(name):
            try:
                said[name] = decoded(text)
            except JSONDecodeError:
                raise BadRequest(f"The parameter `{name}` is not JSON.") from None
        else:
            said[name] = None
    return read_payload(said)


def read_payload(said: object) -> Sent:
    """The request that was sent as an object. Raises: BadRequest."""
    if not isinstance(said, dict):
        raise BadRequest("A request is a JSON object.")
    for name, kind in _KINDS.items():
        if not isinstance(said.get(name), kind | None):
            raise BadRequest(
                f"`{name}` must be {'a text' if kind is str else 'an object'} or null."
            )
    extensions = said.get("extensions") or {}
    id = _id(said.get("documentId"), extensions.get("persistedQuery"))
    query = said.get("query") or None
    if query is None and id is None:
        raise BadRequest(
            "A request needs a document: as a text in `query`, or by its id in `documentId`."
        )
    return Sent(
        query=query,
        operation_name=said.get("operationName") or None,
        variables=said.get("variables"),
        extensions=extensions,
        id=id,
    )


_KINDS: dict[str, type] = {
    "query": str,
    "documentId": str,
    "operationName": str,
    "variables": dict,
    "extensions": dict,
}


def _id(document_id: str | None, persisted: object) -> str | None:
    """The id of the document in either of the two forms. Raises: BadRequest."""
    named = None if document_id is None else document_id.removeprefix(SHA256)
    if persisted is not None:
        if not isinstance(persisted, dict) or not isinstance(persisted.get("sha256Hash"), str):
            raise BadRequest("`extensions.persistedQuery` must have a text as `sha256Hash`.")
        if persisted.get("version", 1) != 1:
            raise BadRequest("`extensions.persistedQuery` must have `version` 1.")
        if named is not None and named != persisted["sha256Hash"]:
            raise BadRequest("`documentId` and `extensions.persistedQuery` name two documents.")
        named = persisted["sha256Hash"]
    if named is not None and not 0 < len(named) <= LONGEST_ID:
        raise BadRequest(f"The id of a document has 1 to {LONGEST_ID} characters.")
    return named


# What is wanted.


def preferred(accept: str) -> list[str]:
    """The media types that are accepted, best first."""
    choices = []
    for place, part in enumerate(accept.split(",")):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        with suppress(ValueError):
            if float(quality) > 0:
                choices.append((-float(quality), place, kind))
    return [kind for _, _, kind in sorted(choices)]


def answer_type(accept: str) -> str:
    """The media type of an answer: the older one, unless the newer one is asked for."""
    for kind in preferred(accept):
        if kind == RESPONSE:
            return RESPONSE
        if kind in (JSON, "*/*", "application/*"):
            break
    return JSON


def wants_stream(accept: str, operation: OperationType | None) -> bool:
    """Whether events are answered: who accepts them gets them for a subscription, and for anything
    else if they are what he would rather have."""
    kinds = preferred(accept)
    return kinds[:1] == [EVENTS] or (EVENTS in kinds and operation is OperationType.SUBSCRIPTION)


def operation_of(query: str, name: str | None) -> OperationType | None:
    """What sort of operation is meant; None where only carrying it out can tell."""
    # Those who send long ones may send another each time, and each would be remembered.
    find = _operation_of if len(query) <= LONGEST_QUERY else _operation_of.__wrapped__
    return find(query, name)


@lru_cache(maxsize=500)
def _operation_of(query: str, name: str | None) -> OperationType | None:
    try:
        document = parse(query, max_tokens=MOST_TOKENS, no_location=True)
    except (GraphQLError, RecursionError):
        return None
    meant = [
        one
        for one in document.definitions
        if isinstance(one, OperationDefinitionNode)
        and (name is None or (one.name is not None and one.name.value == name))
    ]
    return meant[0].operation if len(meant) == 1 else None
