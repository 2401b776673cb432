"""GraphQL over HTTP to the letter of its specification, where Strawberry's view is laxer.

A request that is none gets 4xx. One in order whose operation cannot be carried out gets an answer
without `data`: 4xx or 5xx as application/graphql-response+json, and 200 as application/json.
"""

from typing import Any

from cross_web import AsyncHTTPRequestAdapter, StarletteRequestAdapter
from graphql import GraphQLError, OperationType
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, process_result
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType as Allowed

from matchgraph.graphql.context import Context
from matchgraph.http.answer import encoded, refused, status_of
from matchgraph.http.documents import Documents
from matchgraph.http.request import (
    EVENTS,
    LARGEST_BODY,
    BadRequest,
    NotRun,
    answer_type,
    check_headers,
    decoded,
    operation_of,
    preferred,
    read_body,
    read_parameters,
    too_large,
    wants_stream,
)


def _not_by_get() -> BadRequest:
    return BadRequest(
        "A mutation is sent with POST.",
        status=405,
        code="METHOD_NOT_ALLOWED",
        headers={"allow": "POST"},
    )


def is_request_error(result: ExecutionResult) -> bool:
    """Whether nothing was executed, so that an answer has no `data` at all. (Whatever a field ends
    with has a path.)"""
    return isinstance(result, PreExecutionError) or (
        result.data is None and bool(result.errors) and not any(e.path for e in result.errors or ())
    )


class RequestAdapter(StarletteRequestAdapter):
    """A request as Strawberry's views know it, and where its document may be found."""

    @property
    def documents(self) -> Documents:
        """The documents that can be named instead of being sent."""
        documents: Documents = self._request.app.state.documents
        return documents

    async def get_body(self) -> bytes:
        """All of the body, whatever was said of its length. Raises: BadRequest."""
        body = bytearray()
        async for piece in self._request.stream():
            body += piece
            if len(body) > LARGEST_BODY:
                raise too_large()
        return bytes(body)


class HttpView(GraphQL[Context, None]):
    """Strawberry's view of GraphQL, with requests and answers as the specification has them."""

    request_adapter_class = RequestAdapter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or a WebSocket."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, receive))
        except BadRequest as reason:
            response = refused(scope, reason.errors, reason.status, reason.headers)
        except NotRun as reason:
            response = self.not_run(scope, reason)
        await response(scope, receive, send)

    def not_run(self, scope: Scope, reason: NotRun) -> Response:
        """The answer to a request whose operation is not carried out."""
        return refused(scope, reason.errors)

    # Requests.

    def is_request_allowed(self, request: Any) -> bool:
        """Raises: BadRequest for any method but GET and POST."""
        if request.method not in ("GET", "POST"):
            raise BadRequest(
                "GraphQL is asked with GET or POST.",
                status=405,
                code="METHOD_NOT_ALLOWED",
                headers={"allow": "GET, POST"},
            )
        return True

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Whether a browser asks for a page, where there is one."""
        return (
            self.graphql_ide is not None
            and request.method == "GET"
            and not {"query", "documentId", "extensions"} & set(request.query_params)
            and "text/html" in preferred(request.headers.get("accept", ""))
        )

    def decode_json(self, data: str | bytes) -> object:
        """Raises: JSONDecodeError."""
        return decoded(data)

    def encode_json(self, data: object) -> str:
        """The answer as JSON. (A text, as what goes over a WebSocket would else be binary.)"""
        return encoded(data).decode()

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """What is asked for. Raises: BadRequest, NotRun."""
        assert isinstance(request, RequestAdapter), "it is the one that is named above"
        headers = request.headers
        assert isinstance(headers, Headers), "as Starlette has them"
        if request.method == "GET":
            sent = read_parameters(dict(request.query_params))  # type: ignore[arg-type]
        else:
            check_headers(headers)
            sent = read_body(await request.get_body())
        query = await request.documents.find(sent)
        accept = headers.get("accept", "")
        operation = operation_of(query, sent.operation_name) if EVENTS in accept.lower() else None
        if operation is OperationType.MUTATION and request.method == "GET":
            raise _not_by_get()
        return GraphQLRequestData(
            query=query,
            variables=sent.variables,
            operation_name=sent.operation_name,
            extensions=sent.extensions,
            protocol="sse" if wants_stream(accept, operation) else "http",
        )

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """The result. Raises: BadRequest for a change by GET."""
        try:
            return await self.schema.execute(
                request_data.query,
                root_value=root_value,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types=Allowed.from_http(request_adapter.method),
                operation_extensions=request_data.extensions,
            )
        except InvalidOperationTypeError:
            raise _not_by_get() from None
        except CannotGetOperationTypeError as reason:
            error = GraphQLError(
                reason.as_http_error_reason(), extensions={"code": "GRAPHQL_VALIDATION_FAILED"}
            )
            return PreExecutionError(data=None, errors=[error])

    # Answers.

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """What the answer is made with; it knows by then what it is to be."""
        response = await super().get_sub_response(request)
        response.media_type = answer_type(request.headers.get("accept", ""))
        return response

    async def process_result(self, request: Request, result: Any) -> GraphQLHTTPResponse:
        """The answer as an object."""
        said = process_result(result)
        if is_request_error(result):
            del said["data"]
        return said

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """The answer."""
        response = super().create_response(response_data, sub_response)
        kind = sub_response.media_type
        assert kind is not None, "it was said above"
        response.headers["content-type"] = kind
        if "data" not in response_data and not sub_response.status_code:
            response.status_code = status_of(response_data["errors"], kind)
        return response
