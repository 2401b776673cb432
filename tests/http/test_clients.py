"""The clients that frontends use, unchanged, over all that they speak."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from matchgraph.servers import Servers
from tests.graphql.client import serving
from tests.graphql.moving import Movers, projected
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import Served, served
from tests.http.node import CLIENTS, DOCS, examples, program, run

# Spelled as those spell it who keep a cache.
ASKED = """query Asked($slug: String!) {
  artifact(slug: $slug) {
    slug
    __typename
  }
  position {
    head
    __typename
  }
}"""
ASKS: dict[str, Any] = {"query": ASKED, "variables": {"slug": "thing-1"}}
PARTLY: dict[str, Any] = {"query": 'query Partly { node(id: "nonsense") { id } position { head } }'}
WRONG: dict[str, Any] = {"query": "query Wrong { nothing }"}
REGISTERS: dict[str, Any] = {"query": document("registerArtifact"), "variables": ARTIFACT}
RANKS = "subscription Ranks($after: Position) { rankChanged(after: $after) { position slug } }"
FOLLOWS: dict[str, Any] = {"query": RANKS, "variables": {"after": "0"}, "count": 3}
FOLLOWS_FROM_NOWHERE: dict[str, Any] = {"query": RANKS, "variables": {"after": "99"}}

HTTP = ["apollo", "apollo-persisted", "apollo-persisted-get", "urql", "urql-get", "urql-persisted"]
STREAMS = ["graphql-ws", "graphql-sse", "apollo-ws", "urql-ws", "urql-sse", "urql-fetch"]
MANIFEST = "node_modules/@apollo/generate-persisted-query-manifest/cli.js"
# What each question brought, and what was sent over HTTP for it.
Answers = list[tuple[list[dict[str, Any]], list[str]]]


async def asked(
    live: Served, client: str, *questions: dict[str, Any], manifest: Path | None = None
) -> Answers:
    """What the client hands on."""
    address = f"http://127.0.0.1:{live.port}/graphql"
    said = [client, address, json.dumps(questions), *([str(manifest)] if manifest else [])]
    code, out, err = await run("ask.mjs", *said)
    assert code == 0, err or out
    return [(one["results"], one["sent"]) for one in map(json.loads, out.splitlines())]


def bare(found: Any) -> Any:
    """Without the names of types that some clients add."""
    if isinstance(found, dict):
        return {name: bare(value) for name, value in found.items() if name != "__typename"}
    return found


def error_of(result: dict[str, Any]) -> Any:
    (error,) = result["errors"]
    return error


@pytest.mark.parametrize("client", [*HTTP, *STREAMS])
async def test_a_client_gets_what_it_asks_for(url: str, servers: Servers, client: str) -> None:
    async with served(url, servers.redis_url) as live:
        await projected(live.pool, await Movers(live.store, 2).register())
        follows = [FOLLOWS, FOLLOWS_FROM_NOWHERE] if client in STREAMS else []
        found = await asked(live, client, ASKS, PARTLY, WRONG, REGISTERS, *follows)
        (query,), (partly,), (wrong,), (registers,), *followed = (results for results, _ in found)

        assert not query.get("errors")
        slug_and_head = {"artifact": {"slug": "thing-1"}, "position": {"head": "2"}}
        assert bare(query["data"]) == slug_and_head
        # What went well comes beside what went wrong.
        assert bare(partly["data"]) == {"node": None, "position": {"head": "2"}}
        assert error_of(partly)["extensions"]["code"] == "BAD_USER_INPUT"
        assert error_of(partly)["path"] == ["node"]
        assert not wrong.get("data")
        assert error_of(wrong)["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert not registers.get("errors")
        registered = registers["data"]["registerArtifact"]
        assert (registered["__typename"], registered["position"]) == ("ArtifactRegistered", "3")
        assert await live.store.head() == 3, "it was carried out once"
        if client in STREAMS:
            changes, refused = followed
            slugs = [one["data"]["rankChanged"]["slug"] for one in changes]
            assert slugs == ["thing-0", "thing-1", "parser"]
            assert error_of(refused[0])["extensions"]["code"] == "POSITION_IN_FUTURE"
        if client.endswith("-get"):
            assert found[0][1][-1].startswith("http"), "the question was an address"


@pytest.mark.parametrize("client", ["apollo-persisted", "apollo-persisted-get", "urql-persisted"])
async def test_a_document_is_sent_the_first_time_alone(
    url: str, servers: Servers, client: str
) -> None:
    async with served(url, servers.redis_url, project=False) as live:
        # One that is in Redis from no earlier run.
        asks = {**ASKS, "query": ASKED.replace("Asked", f"Asked{live.port}")}
        first, second = await asked(live, client, asks, asks)
        # And by another client, which knows nothing of the first.
        (third,) = await asked(live, client, asks)
        for results, sent in (first, second, third):
            assert bare(results[0]["data"])["position"] == {"head": "0"}
            assert len(sent) == (2 if results is first[0] else 1)
            assert "slug: $slug" not in sent[0]
        assert "slug: $slug" in first[1][1]


async def test_apollo_runs_what_its_manifest_has_and_nobody_anything_else(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    source = f'import {{ gql }} from "@apollo/client"; export const asked = gql`{ASKED}`;'
    (tmp_path / "app.js").write_text(source)
    config = {"documents": "app.js", "output": "manifest.json"}
    (tmp_path / "persisted-query-manifest.config.json").write_text(json.dumps(config))
    code, out, err = await run(MANIFEST, cwd=tmp_path)
    assert code == 0, out + err
    manifest = tmp_path / "manifest.json"
    async with served(url, servers.redis_url, project=False, trusted=[manifest]) as live:
        (((result,), sent),) = await asked(live, "apollo-manifest", ASKS, manifest=manifest)
        assert bare(result["data"]) == {"artifact": None, "position": {"head": "0"}}
        assert "slug: $slug" not in sent[0]
        mine = {"query": "query Mine { position { reached } }"}
        for client in ("apollo-persisted", "urql", "graphql-ws", "graphql-sse"):
            ((results, _),) = await asked(live, client, mine)
            assert error_of(results[0])["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED", client


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("BadRequest", 4400),
        ("Unauthorized", 4401),
        ("Forbidden", 4403),
        ("ConnectionInitialisationTimeout", 4408),
        ("SubscriberAlreadyExists", 4409),
        ("TooManyInitialisationRequests", 4429),
    ],
)
async def test_a_client_is_told_by_close_code_what_it_did_wrong(
    url: str, servers: Servers, what: str, code: int
) -> None:
    async with served(url, servers.redis_url, project=False) as live:
        ended, out, err = await run("closed.mjs", what, f"http://127.0.0.1:{live.port}/graphql")
    assert ended == 0, err or out
    said = json.loads(out)
    assert said["code"] == said["expected"] == code
    assert said["reason"]


@pytest.mark.parametrize(
    "example", examples("clients.md"), ids=["Apollo Client", "urql over SSE", "urql over WebSocket"]
)
async def test_what_the_documentation_shows_works(url: str, servers: Servers, example: str) -> None:
    async with served(url, servers.redis_url) as live:
        await projected(live.pool, await Movers(live.store, 1).register())
        async with program(example, live.port) as lines:
            assert [await anext(lines) for _ in range(2)] == ["thing-0", "thing-0"]


async def test_the_documented_hash_is_that_of_the_documented_document(
    url: str, servers: Servers
) -> None:
    shown = (DOCS / "trusted-documents.md").read_text()
    said = re.search(r"-d '(.*)'", shown)
    document = re.search(r'`"query": "(.*?)"`', shown)
    assert said
    assert document
    asked = json.loads(said[1])
    assert (
        asked["extensions"]["persistedQuery"]["sha256Hash"]
        == sha256(document[1].encode()).hexdigest()
    )
    async with serving(url, servers.redis_url, project=False) as api:
        both = {**asked, "query": document[1]}
        for body in (both, asked):
            response = await api.http.post("/graphql", json=body)
            assert response.json()["data"] == {"__typename": "Query"}
