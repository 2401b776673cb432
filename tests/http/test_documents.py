"""Documents that are named instead of being sent: kept automatically, or trusted and no others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest

from faults.servers import Valkey
from matchgraph.graphql.schema import build
from matchgraph.http.budget import PRODUCTION, Allowance
from matchgraph.http.documents import TEXTS, USED, KeptDocuments
from matchgraph.http.manifests import BadManifest, read
from matchgraph.http.request import JSON, RESPONSE, NotRun, Sent
from matchgraph.projections.redis_client import open_client
from matchgraph.servers import Servers
from tests.eventstore.histories import until
from tests.graphql.client import Api, serving
from tests.graphql.moving import CATALOG, RANKS, Movers, projected
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import Served, served
from tests.graphql.test_limits import REFUSED
from tests.projections.ranks import answers

HEAD = "query Head { position { head } }"
SLUG = "query Slug($slug: String!) { artifact(slug: $slug) { slug } }"
REGISTER = document("registerArtifact")
SCHEMA = build()._schema


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    """As Apollo's clients name a document."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}


def by_id(text: str) -> dict[str, Any]:
    """As the proposal of GraphQL over HTTP names one."""
    return {"documentId": f"sha256:{hash_of(text)}"}


async def answer(api: Api, accept: str = RESPONSE, **said: Any) -> dict[str, Any]:
    response = await api.http.post("/graphql", json=said, headers={"accept": accept})
    found: dict[str, Any] = response.json()
    return {**found, "status": response.status_code}


async def code(api: Api, **said: Any) -> str:
    """The code of a refusal."""
    found = await answer(api, **said)
    assert set(found) - {"extensions"} == {"errors", "status"}, found
    assert found["status"] == 400
    (error,) = found["errors"]
    assert isinstance(error["extensions"]["code"], str)
    return str(error["extensions"]["code"])


# Kept automatically


@pytest.mark.parametrize("named", [persisted, by_id])
async def test_a_document_is_sent_once_and_named_from_then_on(
    url: str, servers: Servers, named: Any
) -> None:
    text = f"query Once{named.__name__} {{ position {{ head }} }}"
    async with serving(url, servers.redis_url, project=False) as api:
        first = await answer(api, **named(text))
        assert first["status"] == 400
        assert first["errors"] == [
            {
                "message": "PersistedQueryNotFound",
                "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
            }
        ]
        assert (await answer(api, JSON, **named(text)))["status"] == 200
        found = await answer(api, query=text, **named(text))
        assert (found["status"], found["data"]) == (200, {"position": {"head": "0"}})
        assert await answer(api, **named(text)) == found
        # By GET alike, whatever the way in which it was named before.
        for one in (persisted, by_id):
            said = {name: json.dumps(v) if v is not str(v) else v for name, v in one(text).items()}
            response = await api.http.get("/graphql", params=said)
            assert response.json()["data"] == found["data"]
    # And by another process, or the same one later.
    async with serving(url, servers.redis_url, project=False) as other:
        assert await answer(other, **named(text)) == found


async def test_a_hash_of_something_else_is_refused_and_nothing_kept(still: Api) -> None:
    wrong = persisted("query Other { __typename }")
    for said in (
        {"query": HEAD, **wrong},
        {"query": HEAD, "documentId": "mine"},
        {"query": HEAD, "documentId": hash_of(HEAD).upper()},
        {"query": 'query A { a(b: "\ud800") }', **wrong},
    ):
        body = json.dumps(said)
        response = await still.http.post("/graphql", content=body, headers={"content-type": JSON})
        (error,) = response.json()["errors"]
        assert error["extensions"] == {"code": "PERSISTED_QUERY_HASH_MISMATCH"}
    assert await code(still, **wrong) == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_mutation_by_name_is_none_by_get(still: Api) -> None:
    assert "errors" not in await answer(
        still, query=REGISTER, variables=ARTIFACT, **persisted(REGISTER)
    )
    before = await still.store.head()
    said = {"documentId": hash_of(REGISTER), "variables": json.dumps(ARTIFACT)}
    assert (await still.http.get("/graphql", params=said)).status_code == 405
    assert await still.store.head() == before


async def test_what_makes_no_sense_is_told_by_name_as_it_is_in_full(still: Api) -> None:
    for text, expected in (("{ nothing }", "GRAPHQL_VALIDATION_FAILED"), (RANKS, "NEEDS_STREAM")):
        assert await code(still, query=text, **persisted(text)) == expected
        assert await code(still, **persisted(text)) == expected


@pytest.fixture
async def kept(valkey: Valkey) -> AsyncIterator[KeptDocuments]:
    """Two documents in this process and three in Redis, for an hour."""
    async with open_client(valkey.url, patience=2) as client:
        await until(lambda: answers(client))
        yield KeptDocuments(client, most_here=2, most=3, kept_for=3_600)


def numbered(number: int) -> str:
    return f"query Q{number} {{ __typename }}"


async def keep(kept: KeptDocuments, text: str) -> None:
    assert await kept.find(Sent(query=text, id=hash_of(text))) == text


async def is_kept(kept: KeptDocuments, text: str) -> bool:
    try:
        return await kept.find(Sent(id=hash_of(text))) == text
    except NotRun:
        return False


async def test_so_many_documents_are_kept_and_those_that_are_asked_for(
    kept: KeptDocuments, valkey: Valkey
) -> None:
    async with open_client(valkey.url, patience=2) as client:
        for number in range(10):
            await keep(kept, numbered(number))
            assert len(kept._here) <= 2
            assert await client.hlen(TEXTS) == await client.zcard(USED) <= 3
        assert 0 < await client.ttl(TEXTS) <= 3_600
        assert 0 < await client.ttl(USED) <= 3_600
        left = [number for number in range(10) if await is_kept(kept, numbered(number))]
        assert left == [7, 8, 9]
        # What was not used for an hour goes with the next that comes, used ones stay.
        await client.zadd(USED, {hash_of(numbered(7)): 1})
        await keep(kept, numbered(10))
        assert not await client.hexists(TEXTS, hash_of(numbered(7)))
        assert await client.hexists(TEXTS, hash_of(numbered(10)))


async def test_a_long_document_runs_and_is_not_kept(kept: KeptDocuments, valkey: Valkey) -> None:
    long = numbered(0) + "#" * 20_000
    await keep(kept, long)
    assert not await is_kept(kept, long)
    async with open_client(valkey.url, patience=2) as client:
        assert await client.exists(TEXTS) == 0


async def test_what_redis_lost_or_mixed_up_is_asked_for_again(
    kept: KeptDocuments, valkey: Valkey
) -> None:
    async with open_client(valkey.url, patience=2) as client:
        for number in range(3):
            await keep(kept, numbered(number))
        # The first one is in Redis alone.
        await client.hset(TEXTS, hash_of(numbered(0)), "mutation { somethingElse }")
        assert not await is_kept(kept, numbered(0))
        await client.hset(TEXTS, hash_of(numbered(0)), b"\xff")
        assert not await is_kept(kept, numbered(0))
        # Without one of the two keys the bound would not hold.
        await client.delete(USED)
        await keep(kept, numbered(7))
        assert await client.hlen(TEXTS) == await client.zcard(USED) == 1
        # Keys of a type that nobody here gave them do no harm.
        await client.set(TEXTS, "x")
        await keep(kept, numbered(8))
        assert await is_kept(kept, numbered(8))
        assert not await is_kept(kept, numbered(0))


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_without_redis_documents_are_kept_in_the_process(
    url: str, valkey: Valkey, fault: str
) -> None:
    async with open_client(valkey.url, patience=2) as client:
        await until(lambda: answers(client))
        if fault == "killed":
            valkey.kill()
        else:
            await client.client_pause(60_000)
        async with serving(url, valkey.url, project=False) as api, asyncio.timeout(20):
            assert await code(api, **persisted(HEAD)) == "PERSISTED_QUERY_NOT_FOUND"
            for said in ({"query": HEAD, **persisted(HEAD)}, persisted(HEAD), by_id(HEAD)):
                assert (await answer(api, **said))["data"] == {"position": {"head": "0"}}


# WebSocket and event streams


@pytest.fixture
async def live(url: str, servers: Servers) -> AsyncIterator[Served]:
    async with served(url, servers.redis_url) as live:
        movers = Movers(live.store, 1)
        await projected(live.pool, await movers.register())
        yield live


async def streamed(live: Served, **said: Any) -> Any:
    """What the first event of a stream says."""
    accept = {"accept": "text/event-stream"}
    async with live.http.stream("POST", "/graphql", json=said, headers=accept) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))


async def test_a_subscription_can_be_named_too(live: Served) -> None:
    text, variables = RANKS + f" # {live.port}", {"after": "0"}
    missing = {"code": "PERSISTED_QUERY_NOT_FOUND"}
    async with live.socket() as socket:
        await socket.say(type="subscribe", id="1", payload={**persisted(text)})
        assert (await socket.error())["extensions"] == missing
        assert (await streamed(live, **by_id(text)))["errors"][0]["extensions"] == missing
        full = {"query": text, "variables": variables, **persisted(text)}
        await socket.say(type="subscribe", id="1", payload=full)
        assert (await socket.change())["slug"] == "thing-0"
        for id, said in (("2", persisted(text)), ("3", by_id(text))):
            await socket.say(type="subscribe", id=id, payload={"variables": variables, **said})
            assert (await socket.change(id))["slug"] == "thing-0"
            found = await streamed(live, variables=variables, **said)
            assert found["data"]["rankChanged"]["slug"] == "thing-0"
        await socket.say(type="subscribe", id="4", payload={"query": HEAD, **persisted(text)})
        error = await socket.error("4")
        assert error["extensions"] == {"code": "PERSISTED_QUERY_HASH_MISMATCH"}
        # The id is free again.
        await socket.say(type="subscribe", id="4", payload={"query": HEAD, **persisted(HEAD)})
        assert (await socket.next("4"))["payload"]["data"]["position"]["head"] == "1"


# Trusted documents


CODEGEN = {hash_of(SLUG): SLUG, md5(REGISTER.encode()).hexdigest(): REGISTER}
APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": hash_of(HEAD), "name": "Head", "type": "query", "body": HEAD},
        {"id": "ranks-1", "name": "Ranks", "type": "subscription", "body": RANKS},
    ],
}


def written(folder: Path, said: object, name: str = "documents.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(said))
    return file


@asynccontextmanager
async def trusting(url: str, servers: Servers, folder: Path) -> AsyncIterator[Served]:
    files = [written(folder, CODEGEN), written(folder, APOLLO, "apollo.json")]
    async with served(url, servers.redis_url, trusted=files) as live:
        yield live


async def test_registered_operations_run_however_they_are_named(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    async with trusting(url, servers, tmp_path) as live:
        said: dict[str, Any]
        for said in (
            {"query": SLUG},
            by_id(SLUG),
            {"documentId": hash_of(SLUG)},
            persisted(SLUG),
            {"query": SLUG, **persisted(SLUG)},
        ):
            found = await answer(live, variables={"slug": "a"}, **said)
            assert (found["status"], found["data"]) == (200, {"artifact": None}), said
        # One of another algorithm by its own id, and by its SHA-256.
        for id in (md5(REGISTER.encode()).hexdigest(), f"sha256:{hash_of(REGISTER)}"):
            found = await answer(live, documentId=id, variables=ARTIFACT)
            assert found["data"]["registerArtifact"]["__typename"]
        # There is a metric for each, and one of what operations cost.
        metrics = (await live.http.get("/metrics")).text
        assert 'matchgraph_document_seconds_count{document="Slug"} 5.0' in metrics
        assert "matchgraph_operation_cost_points_sum" in metrics
        await projected(live.pool, await live.store.head())
        async with live.socket() as socket:
            payload = {"documentId": "ranks-1", "variables": {"after": "0"}}
            await socket.say(type="subscribe", id="1", payload=payload)
            assert (await socket.change())["slug"] == "parser"
        changed = (await streamed(live, **payload))["data"]["rankChanged"]
        assert changed["slug"] == "parser"


async def test_no_other_operation_runs_however_it_is_sent(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    async with trusting(url, servers, tmp_path) as live:
        other = HEAD + " "
        unregistered: list[dict[str, Any]] = [
            {"query": other},
            {"query": CATALOG},
            {"query": "{ __schema { types { name } } }"},
            {"query": "{"},
            by_id(other),
            persisted(other),
            {"query": other, **persisted(other)},
            {"query": other, **persisted(HEAD)},
            {"query": HEAD, **by_id(SLUG)},
            {"documentId": "ranks-2"},
        ]
        for said in unregistered:
            found = await answer(live, **said)
            (error,) = found["errors"]
            assert error["extensions"] == {"code": "DOCUMENT_NOT_TRUSTED"}, said
            assert "MATCHGRAPH_TRUSTED_DOCUMENTS" in error["message"]
            assert (found["status"], "data" in found) == (400, False)
            events = await streamed(live, **said)
            assert events == {"errors": [error]}
            async with live.socket() as socket:
                await socket.say(type="subscribe", id="1", payload=said)
                assert await socket.error() == error
        # Not even once it was sent in full, with its hash.
        assert await code(live, **persisted(other)) == "DOCUMENT_NOT_TRUSTED"
        response = await live.http.get("/graphql", params={"query": other})
        assert response.json()["errors"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
        assert await live.store.head() == 0


BROKEN: list[tuple[str, bytes, str]] = [
    ("not JSON", b"{", "cannot be used"),
    ("not UTF-8", b'{"a": "\xff"}', "cannot be used"),
    ("a list", b"[]", "graphql-codegen"),
    ("a text", b'"x"', "graphql-codegen"),
    ("empty", b"{}", "no operations"),
    ("a format of somebody else", b'{"format": "x", "operations": []}', "version 1"),
    (
        "a later version",
        json.dumps({**APOLLO, "version": 2}).encode(),
        "version 1",
    ),
    ("no operations", json.dumps({**APOLLO, "operations": None}).encode(), "version 1"),
    ("no bodies", json.dumps({**APOLLO, "operations": [{"id": "a"}]}).encode(), "must be texts"),
    ("numbers", b'{"a": 5}', "must be texts"),
    ("an id without end", json.dumps({"x" * 201: HEAD}).encode(), "1 to 200"),
    ("not GraphQL", b'{"a": "query {"}', "Syntax Error"),
    ("an empty document", b'{"a": ""}', "Syntax Error"),
    ("of another schema", b'{"a": "{ nothing }"}', "Cannot query field 'nothing'"),
    ("too large", json.dumps({"a": "{" + "x " * 2_000 + "}"}).encode(), "2000 tokens"),
    (
        "an id twice",
        json.dumps({"a": HEAD, "sha256:a": SLUG}).encode(),
        "the id of two documents",
    ),
    ("ten mistakes", json.dumps({f"{n}": "{" for n in range(10)}).encode(), "and 5 more"),
]


@pytest.mark.parametrize(("said", "told"), [one[1:] for one in BROKEN], ids=[o[0] for o in BROKEN])
def test_a_broken_manifest_is_refused_and_says_where(
    tmp_path: Path, said: bytes, told: str
) -> None:
    file = tmp_path / "documents.json"
    file.write_bytes(said)
    with pytest.raises(BadManifest, match=str(file)) as refused:
        read([file], SCHEMA)
    assert told in str(refused.value)


BY_VARIABLES = "pages within pages, by variables"


@pytest.mark.parametrize("what", [one[0] for one in REFUSED if one[0] != BY_VARIABLES])
def test_an_operation_that_could_never_run_refuses_the_start(tmp_path: Path, what: str) -> None:
    (text,) = (text for name, text, _ in REFUSED if name == what)
    with pytest.raises(BadManifest, match="'mine': "):
        read([written(tmp_path, {"mine": text})], SCHEMA)


def test_what_could_never_run_is_told_by_its_name_and_the_limit(tmp_path: Path) -> None:
    texts = {name: text for name, text, _ in REFUSED}
    for text, told in (
        ("query Far " + texts["deep"], "Far could never run.*16 levels of fields; at most 15"),
        ("query Dear " + texts["searches within a page"], "Dear could .* may cost 5000"),
        (f'query Long {{ artifact(slug: "{"x" * 10_001}") {{ slug }} }}', "Long .* at most 10000"),
        (HEAD + "query Far " + texts["deep"], "Head, Far could never run"),
        ("{ __typename }" + " " * 100_000, "the operation could never run.* 100000 characters"),
    ):
        with pytest.raises(BadManifest, match=told) as refused:
            read([written(tmp_path, {"mine": text})], SCHEMA)
        assert "leave it out" in str(refused.value)
    assert read([written(tmp_path, {"mine": SLUG})], SCHEMA, most=10)
    with pytest.raises(BadManifest, match=r"Slug could never run.* may cost 1"):
        read([written(tmp_path, {"mine": SLUG})], SCHEMA, most=1)


MANY = (
    "artifacts(first: $n) { nodes { capabilities(first: $n) { nodes { provenance { source } } } } }"
)


@pytest.mark.parametrize(
    "text",
    [
        f"query ($n: Int!) {{ {MANY} }}",
        f"query ($n: Int) {{ {MANY} }}",
        f"query ($n: Int! = 100) {{ {MANY} }}",
        f"query ($n: Int, $as: AsOf) {{ {MANY.replace('first', 'asOf: $as, first', 1)} }}",
        "query ($slugs: [String!]!) { compare(slugs: $slugs) { position } }",
    ],
)
def test_what_could_run_with_other_variables_is_trusted(tmp_path: Path, text: str) -> None:
    assert read([written(tmp_path, {"mine": text})], SCHEMA) == {"mine": text}


def test_nobody_pays_for_more_than_the_largest_budget() -> None:
    assert Allowance().most_points == PRODUCTION.most_points == 5_000
    assert Allowance(points_per_key=300, points_per_address=20).most_points == 300
    assert Allowance(points_per_key=300).most_points == 5_000
    assert Allowance(points_per_key=9_000, points_per_address=9_000).most_points == 5_000


def test_manifests_must_be_there_and_agree(tmp_path: Path) -> None:
    first = written(tmp_path, {"a": HEAD})
    with pytest.raises(BadManifest, match="cannot be read"):
        read([first, tmp_path / "nothing.json"], SCHEMA)
    with pytest.raises(BadManifest, match="cannot be read"):
        read([tmp_path], SCHEMA)
    with pytest.raises(BadManifest, match=r"other\.json.*\n.*two documents"):
        read([first, written(tmp_path, {"a": SLUG}, "other.json")], SCHEMA)
    assert read([first, written(tmp_path, {"a": HEAD}, "same.json")], SCHEMA) == {"a": HEAD}
