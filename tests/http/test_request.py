"""What is a request of GraphQL over HTTP, what is none, and what is answered as what."""

import json
from typing import Any

import pytest

from matchgraph.http.request import JSON, RESPONSE, BadRequest, Sent, answer_type, read_payload
from tests.graphql.client import Api
from tests.graphql.moving import CATALOG, RANKS
from tests.graphql.mutations import ARTIFACT, document

HEAD = "{ position { head } }"
REGISTER = document("registerArtifact")
MODERN = {"content-type": JSON, "accept": RESPONSE}
STREAM = {"content-type": JSON, "accept": "text/event-stream"}
BODY = json.dumps({"query": HEAD}).encode()


def told(response: Any) -> dict[str, Any]:
    """The only error of an answer without data."""
    said = response.json()
    assert set(said) - {"extensions"} == {"errors"}
    (error,) = said["errors"]
    assert error["message"]
    assert isinstance(error["extensions"]["code"], str)
    found: dict[str, Any] = error
    return found


async def asked(api: Api, query: str, accept: str = RESPONSE, **said: Any) -> Any:
    body = json.dumps({"query": query, **said})
    return await api.http.post(
        "/graphql", content=body, headers={"content-type": JSON, "accept": accept}
    )


# What is no request


NOT_READ: dict[str, bytes] = {
    "nothing": b"",
    "a text": b'"x"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "a list": b"[]",
    "requests in a list": b"[" + BODY + b"]",
    "not JSON": b"nonsense",
    "half": b'{"query": "{',
    "not UTF-8": b'{"query": "{ position { head } }\xff"}',
    "UTF-16": json.dumps({"query": HEAD}).encode("utf-16"),
    "a mark of the byte order": b"\xef\xbb\xbf" + BODY,
    "nested too deeply": b"[" * 100_000,
    "objects nested too deeply": b'{"a":' * 100_000,
    "a number of 5,000 digits": b'{"query": "{ x }", "variables": {"a": ' + b"9" * 5_000 + b"}}",
    "NaN": b'{"query": "{ position { head } }", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{ position { head } }", "extensions": {"a": -Infinity}}',
    "no query": b"{}",
    "an empty query": b'{"query": ""}',
    "null as query": b'{"query": null}',
    "a list as query": b'{"query": ["{ x }"]}',
    "a text as variables": b'{"query": "{ x }", "variables": "{}"}',
    "a list as variables": b'{"query": "{ x }", "variables": []}',
    "a number as operation name": b'{"query": "{ x }", "operationName": 0}',
    "false as operation name": b'{"query": "{ x }", "operationName": false}',
    "a text as extensions": b'{"query": "{ x }", "extensions": "x"}',
    "a number as id": b'{"documentId": 5}',
    "an empty id": b'{"documentId": ""}',
    "an id without end": b'{"documentId": "' + b"x" * 201 + b'"}',
    "no hash": b'{"extensions": {"persistedQuery": {"version": 1}}}',
    "a number as hash": b'{"extensions": {"persistedQuery": {"sha256Hash": 5}}}',
    "a list as persisted query": b'{"query": "{ x }", "extensions": {"persistedQuery": []}}',
    "another version": b'{"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "a"}}}',
    "two ids": b'{"documentId": "a", "extensions": {"persistedQuery": {"sha256Hash": "b"}}}',
}


@pytest.mark.parametrize("accept", [JSON, RESPONSE, "text/event-stream"])
async def test_what_is_no_request_is_the_clients_mistake(still: Api, accept: str) -> None:
    headers = {"content-type": JSON, "accept": accept}
    for what, body in NOT_READ.items():
        response = await still.http.post("/graphql", content=body, headers=headers)
        assert response.status_code == 400, what
        assert response.headers["content-type"] == (RESPONSE if accept == RESPONSE else JSON)
        assert told(response)["extensions"] == {"code": "BAD_REQUEST"}, what


OTHER_KINDS = [
    None,
    "",
    "text/plain",
    "application/jsonp",
    "application/json-patch+json",
    "application/xjson",
    "x-application/json",
    "application/graphql",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain; application/json",
    "application/json, text/plain",
    "application/json; charset=utf-16",
    "application/json; charset=latin-1",
    RESPONSE,
]


async def test_a_body_that_does_not_say_that_it_is_json_is_not_read(still: Api) -> None:
    for kind in OTHER_KINDS:
        headers = {} if kind is None else {"content-type": kind}
        response = await still.http.post("/graphql", content=BODY, headers=headers)
        assert response.status_code == 415, kind
        assert response.headers["accept"] == JSON
        assert told(response)["extensions"] == {"code": "UNSUPPORTED_MEDIA_TYPE"}


async def test_json_may_say_more_of_itself(still: Api) -> None:
    for kind in (JSON, "Application/JSON", f"{JSON};charset=UTF-8", f'{JSON}; charset="utf-8"'):
        response = await still.http.post("/graphql", content=BODY, headers={"content-type": kind})
        assert response.json()["data"] == {"position": {"head": "0"}}, kind


async def test_an_encoded_body_is_not_decoded(still: Api) -> None:
    for encoding in ("gzip", "deflate", "br", "identity", "nonsense"):
        headers = {"content-type": JSON, "content-encoding": encoding}
        response = await still.http.post("/graphql", content=BODY, headers=headers)
        assert response.status_code == 415, encoding
        assert response.headers["accept-encoding"] == "identity"
        told(response)


async def test_two_content_types_are_none(still: Api) -> None:
    both = [("content-type", JSON), ("content-type", "text/plain")]
    response = await still.http.post("/graphql", content=BODY, headers=both)
    assert response.status_code == 415


async def test_another_method_is_told_which_there_are(still: Api) -> None:
    for method in ("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        response = await still.http.request(method, "/graphql")
        assert response.status_code == 405, method
        assert response.headers["allow"] == "GET, POST"
        if method != "HEAD":
            assert told(response)["extensions"] == {"code": "METHOD_NOT_ALLOWED"}


async def test_a_change_is_not_made_by_looking(still: Api) -> None:
    asked: dict[str, str] = {"query": REGISTER, "variables": json.dumps(ARTIFACT)}
    for accept in (JSON, RESPONSE, "text/event-stream", "*/*"):
        response = await still.http.get("/graphql", params=asked, headers={"accept": accept})
        assert response.status_code == 405, accept
        assert response.headers["allow"] == "POST"
        told(response)
    assert await still.store.head() == 0


async def test_a_query_may_be_an_address(still: Api) -> None:
    query = "query Q($s: String!) { artifact(slug: $s) { slug } } query Other { __typename }"
    said = {"query": query, "variables": '{"s": "a"}', "operationName": "Q", "extensions": "{}"}
    response = await still.http.get("/graphql", params=said)
    assert response.json()["data"] == {"artifact": None}
    for name in ("variables", "extensions"):
        response = await still.http.get("/graphql", params={**said, name: "{"})
        assert response.status_code == 400
        assert f"`{name}`" in told(response)["message"]
    left_out = {"query": HEAD, "operationName": "", "variables": "", "extensions": ""}
    response = await still.http.get("/graphql", params=left_out)
    assert response.json()["data"] == {"position": {"head": "0"}}
    response = await still.http.get("/graphql", headers={"accept": "*/*"})
    assert response.status_code == 400
    assert "documentId" in told(response)["message"]


async def test_no_browser_guesses_what_an_answer_is(still: Api) -> None:
    for method, address in (
        *(("GET", one) for one in ("/", "/healthz", "/readyz", "/metrics", "/nothing")),
        *((one, "/graphql") for one in ("GET", "PUT")),
    ):
        response = await still.http.request(method, address)
        assert response.headers["x-content-type-options"] == "nosniff", address
    for headers in (MODERN, STREAM):
        response = await still.http.post("/graphql", content=BODY, headers=headers)
        assert response.headers["x-content-type-options"] == "nosniff"


# What is one, and cannot be carried out


SENSELESS: list[tuple[str, dict[str, Any], str]] = [
    ("{", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("fragment F on Query { position { head } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("query A { __typename } query B { __typename }", {}, "GRAPHQL_VALIDATION_FAILED"),
    (HEAD, {"operationName": "Nobody"}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ position { head } } " + "#" * 10 + "\n" + "{", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("query ($n: Int!) { artifacts(first: $n) { totalCount } }", {}, "BAD_USER_INPUT"),
    (RANKS, {}, "NEEDS_STREAM"),
    (CATALOG, {"variables": {"after": "0"}}, "NEEDS_STREAM"),
    ('query @atLeast(position: "9") { position { head } }', {}, "POSITION_IN_FUTURE"),
    ('query @atLeast(position: "x") { position { head } }', {}, "BAD_USER_INPUT"),
]


async def test_an_operation_that_is_not_carried_out_has_no_data(still: Api) -> None:
    for query, said, code in SENSELESS:
        modern = await asked(still, query, RESPONSE, **said)
        assert modern.status_code == 400, query
        assert modern.headers["content-type"] == RESPONSE
        assert told(modern)["extensions"]["code"] == code
        # For clients from before that media type, errors of GraphQL are none of HTTP.
        older = await asked(still, query, JSON, **said)
        assert older.status_code == 200
        assert older.headers["content-type"] == JSON
        assert older.json() == modern.json()


async def test_an_operation_that_was_carried_out_has_data_even_if_all_went_wrong(
    still: Api,
) -> None:
    query = "{ artifacts(first: 0) { totalCount } }"
    for accept in (JSON, RESPONSE):
        response = await asked(still, query, accept)
        assert response.status_code == 200
        assert response.headers["content-type"] == accept
        assert response.json()["data"] is None
        assert response.json()["errors"][0]["path"] == ["artifacts"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}; charset=utf-8, {JSON}; charset=utf-8", RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{JSON}, {RESPONSE}", JSON),
        (f"{JSON};q=0.5, {RESPONSE}", RESPONSE),
        (f"{RESPONSE};q=0, {JSON}", JSON),
        (f"{RESPONSE};q=0", JSON),
        (f"{RESPONSE};q=x", JSON),
        (RESPONSE.upper(), RESPONSE),
        (f"text/event-stream, {RESPONSE}", RESPONSE),
        ("image/png", JSON),
        (", ;;,", JSON),
    ],
)
def test_the_newer_media_type_is_for_who_asks_for_it(accept: str, kind: str) -> None:
    assert answer_type(accept) == kind


# Subscriptions


@pytest.mark.parametrize(
    "query",
    [
        "subscription { ...Both } fragment Both on Subscription { rankChanged { slug } }",
        "subscription { rankChanged { slug } } " + "#" * 10_000,
        "query Q { __typename } subscription S { rankChanged { slug } }",
    ],
)
async def test_any_subscription_is_answered_with_events_wherever_these_stand(
    still: Api, query: str
) -> None:
    accept = f"{RESPONSE}, {JSON}, text/event-stream"
    named = {"operationName": "S"} if query.startswith("query") else {}
    # The position is one that is not there, so that it ends.
    query = query.replace("rankChanged", 'rankChanged(after: "9")')
    response = await asked(still, query, accept, **named)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *_ = response.text.split("\n\n")
    (error,) = json.loads(first.removeprefix("event: next\ndata: "))["errors"]
    assert error["extensions"]["code"] == "POSITION_IN_FUTURE"


async def test_what_is_no_operation_is_told_in_one_answer_where_events_come_second(
    still: Api,
) -> None:
    accept = f"{JSON}, text/event-stream"
    for query in ("subscription {", "query A { __typename } subscription B { nothing }"):
        response = await asked(still, query, accept)
        assert response.headers["content-type"] == JSON
        told(response)


# One way to read requests


def test_both_forms_of_an_id_mean_the_same() -> None:
    hash = "0" * 64
    for said in (
        {"documentId": f"sha256:{hash}"},
        {"documentId": hash},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash}}},
        {
            "query": None,
            "documentId": f"sha256:{hash}",
            "extensions": {"persistedQuery": {"sha256Hash": hash}},
        },
    ):
        assert read_payload(said).id == hash
    assert read_payload({"query": HEAD}) == Sent(query=HEAD)


@pytest.mark.parametrize("said", [None, [], 5, "x"])
def test_a_request_is_an_object(said: object) -> None:
    with pytest.raises(BadRequest, match="object"):
        read_payload(said)
