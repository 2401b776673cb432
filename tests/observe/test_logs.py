"""What is in the logs, what never is, and what happens to them in a storm."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect

from matchgraph.observe.logs import (
    AccessLog,
    Handler,
    Json,
    Lines,
    Readable,
    Repeats,
    masked,
)
from matchgraph.observe.observer import Observer
from matchgraph.observe.operation import Operation
from matchgraph.servers import Servers
from tests.graphql.client import JSON, serving
from tests.graphql.mutations import ARTIFACT, document
from tests.graphql.subscribers import PROTOCOL
from tests.test_cli import environment, free_port, run

HEAD = "{ position { head } }"
SECRET_WORDS = "a private thought about kittens"


class File:
    """A file that lines are written to, and what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.lines = Lines(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def text(self) -> str:
        return self._path.read_text()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "log")
    yield file
    file.close()


@pytest.fixture
def logger(file: File) -> Iterator[logging.Logger]:
    """A logger that writes JSON to that file and nowhere else."""
    logger = logging.getLogger("matchgraph.tested")
    handler = Handler(file.lines, Json())
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


# One line for each operation


async def test_each_operation_over_http_is_one_line(url: str, servers: Servers, file: File) -> None:
    observer = Observer(access=AccessLog(file.lines, json=True))
    async with serving(url, servers.redis_url, project=False, observer=observer) as api:
        said = {**JSON, "x-request-id": "mine-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        body = json.dumps({"query": f"query Where {HEAD}"})
        answer = await api.http.post("/graphql", content=body, headers=said)
        assert answer.headers["x-request-id"] == "mine-1"
        named = await api.http.post(
            "/graphql", json={"query": HEAD}, headers={"x-request-id": "a b"}
        )
        assert len(named.headers["x-request-id"]) == 32
        await api.http.post("/graphql", json={"query": "{ compare(slugs: []) { position } }"})
        refused = await api.http.post(
            "/graphql", json={"query": HEAD}, headers={"authorization": "Bearer nobody"}
        )
        assert refused.status_code == 401
        assert refused.headers["x-request-id"]
        await api.http.get("/healthz")
    first, second, wrong, stranger = file.records
    assert first["request_id"] == "mine-1"
    assert (first["transport"], first["type"], first["operation"]) == ("http", "query", "Where")
    assert (first["actor"], first["outcome"], first["code"]) == ("anonymous", "ok", None)
    assert (first["status"], first["trace_id"], first["level"]) == (200, "a" * 32, "info")
    assert 0 < first["ms"] < 10_000
    assert first["statements"] == 1
    assert (second["request_id"], second["operation"]) == (named.headers["x-request-id"], None)
    assert (wrong["outcome"], wrong["code"]) == ("client_error", "BAD_USER_INPUT")
    assert (stranger["status"], stranger["type"], stranger["outcome"]) == (
        401,
        "none",
        "client_error",
    )


async def test_the_actor_of_a_key_is_named_and_never_the_key(
    url: str, servers: Servers, file: File
) -> None:
    observer = Observer(access=AccessLog(file.lines, json=True))
    async with serving(url, servers.redis_url, project=False, observer=observer) as api:
        issued = await api.ask(
            'mutation { issueKey(name: "Ann", role: CURATOR) { ... on KeyIssued { key id } } }'
        )
        key, id = issued["issueKey"]["key"], issued["issueKey"]["id"]
        as_name = f"query {key.replace('-', '_')} {HEAD}"
        for query in (HEAD, as_name):
            body = json.dumps({"query": query})
            said = {**JSON, "authorization": f"Bearer {key}"}
            assert (await api.http.post("/graphql", content=body, headers=said)).status_code == 200
    assert [one["actor"] for one in file.records] == ["anonymous", f"key:{id}", f"key:{id}"]
    assert key.split("_", 2)[2] not in file.text
    assert key.split("_")[2][:20].replace("-", "_") not in file.text


def test_for_people_a_line_has_few_words(file: File) -> None:
    operation = Operation("http", "some-id")
    operation.kind, operation.name, operation.codes = "query", "Board", ["BEHIND"]
    AccessLog(file.lines, json=False).tell(operation, 0.0123, 200)
    assert file.text == "12.3 ms http query Board BEHIND 200\n"


def test_what_cannot_be_written_is_lost_and_nothing_else_happens() -> None:
    with Path("/dev/full").open("wb") as full:
        lines = Lines(full.fileno())
        lines.write(b"one\n")
        lines.write(b"two\n")
        assert lines.lost == 2


# Secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"the key mg_aaaabbbbcccc_{'x' * 43} is", "the key mg_aaaabbbbcccc_… is"),
        ("Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2ln", "Authorization: Bearer …"),
        ("eyJhbGciOi.eyJzdWIi.c2ln came", "… came"),
        ("postgresql://me:hunter2@host/db", "postgresql://me:…@host/db"),
        ("redis://:hunter2@host", "redis://:…@host"),
        ("nothing of that sort: mg_ eyJ bearer", "nothing of that sort: mg_ eyJ bearer"),
    ],
)
def test_keys_tokens_and_passwords_are_masked_wherever_they_are(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_what_an_exception_says_stays_out_of_production(logger: logging.Logger, file: File) -> None:
    try:
        try:
            raise ValueError(SECRET_WORDS)
        except ValueError as reason:
            raise asyncpg.UniqueViolationError(SECRET_WORDS) from reason
    except asyncpg.UniqueViolationError as reason:
        logger.error("error %s", "7", exc_info=reason)
    (record,) = file.records
    assert record["message"] == "error 7"
    assert [one["type"] for one in record["errors"]] == [
        "asyncpg.exceptions.UniqueViolationError",
        "builtins.ValueError",
    ]
    assert record["errors"][0]["sqlstate"] == "23505"
    assert "test_logs.py" in record["errors"][0]["at"][-1]
    assert SECRET_WORDS not in file.text


def test_what_postgresql_quotes_stays_out(logger: logging.Logger, file: File) -> None:
    logger.warning("lost: %s", f"duplicate key\nDETAIL:  Key (words)=({SECRET_WORDS}) exists.")
    (record,) = file.records
    assert record["message"] == "lost: duplicate key"


def test_a_person_who_develops_sees_the_traceback() -> None:
    try:
        raise ValueError("what is wrong")
    except ValueError:
        record = logging.LogRecord("x", 40, __file__, 1, "it failed", (), sys.exc_info())
    text = Readable().format(record)
    assert text.startswith("ERROR x: it failed\nTraceback")
    assert "ValueError: what is wrong" in text


class Served:
    """`matchgraph serve` in production over given servers, and all that it says."""

    def __init__(self, folder: Path, **said: str) -> None:
        self.port = free_port()
        said = {
            "MATCHGRAPH_PORT": str(self.port),
            "MATCHGRAPH_MODE": "production",
            "MATCHGRAPH_SECRET": "a secret of sixteen",
            "MATCHGRAPH_SEARCH_KEYS": "a master key that is long enough for it",
            "MATCHGRAPH_EMBEDDING": "off",
            **said,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "matchgraph", "serve", "--no-catalogs", "--no-projector"],
            env=environment(folder, **said),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        deadline = time.monotonic() + 40
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self.port}/healthz").status_code == 200:
                    return
            assert time.monotonic() < deadline, self.errors
            assert self.process.poll() is None, self.errors
            time.sleep(0.1)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._reading.join(timeout=10)
        return code


async def test_no_key_token_or_text_is_in_the_logs_of_production(
    url: str, servers: Servers, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ours = {"DATABASE_URL": url, "REDIS_URL": servers.redis_url}
    issued = run(tmp_path, "keys", "issue", "--role", "curator", "--name", "Ann", **ours)
    key = issued.stdout.strip()
    assert key.startswith("mg_")
    served = Served(tmp_path, **ours)
    # It must not outlive a test that fails.
    request.addfinalizer(served.process.kill)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJraXR0ZW4ifQ.c2lnbmF0dXJlLXNlY3JldA"
    words = json.dumps(SECRET_WORDS)
    address = f"http://127.0.0.1:{served.port}/graphql"
    searching = f"query Find {{ search(need: {{text: {words}}}) {{ searchId }} }}"
    async with httpx.AsyncClient(timeout=30) as http:
        for query in (
            searching,
            f"{{ artifact(slug: {words}) {{ slug }} }}",
            f"{{ search(need: {{like: [{words}]}}) {{ searchId }} }}",
            f"{{ reportOutcome(token: {words}) }}",
            f"mutation {{ reportOutcome(token: {words}, outcome: CHOSEN) {{ __typename }} }}",
            f"{{ nothing(a: {words}) }}",
            f"{{ compare(slugs: [{words}, {words}]) {{ position }} }}",
        ):
            for said in ({}, {"authorization": f"Bearer {key}"}, {"authorization": token}):
                headers = {**JSON, "x-searcher": "kitten-person", **said}
                await http.post(address, content=json.dumps({"query": query}), headers=headers)
        await http.post(address, content=words, headers=JSON)
        await http.get(address, params={"query": searching, "key": key})
        async with connect(address.replace("http", "ws"), subprotocols=[PROTOCOL]) as socket:
            await socket.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": token}})
            )
            with suppress(Exception):
                await socket.recv()
        body = json.dumps({"query": document("registerArtifact"), "variables": ARTIFACT})
        await http.post(address, content=body, headers={**JSON, "authorization": f"Bearer {key}"})
        # From here on everything fails for reasons of ours.
        db = await asyncpg.connect(url)
        await db.execute("DROP TABLE search_posting, artifact_listing, rank_board CASCADE")
        await db.close()
        for _ in range(30):
            for query in (searching, f"{{ artifact(slug: {words}) {{ slug }} }}"):
                anew = {**JSON, "cache-control": "no-cache"}
                answer = await http.post(
                    address, content=json.dumps({"query": query}), headers=anew
                )
        failed = answer.json()["errors"][0]["extensions"]
        assert failed["code"] == "INTERNAL"
        assert "kitten" not in answer.text
    assert served.end() == 0
    text = "".join(served.errors)
    for secret in (
        *("kitten", "private thought", key.split("_", 2)[2], token.split(".")[2], "Y3JldA"),
        *("a secret of sixteen", "a master key"),
    ):
        assert secret not in text, secret
    records = [json.loads(line) for line in served.errors]
    operations = [one for one in records if one["logger"] == "matchgraph.access"]
    assert len(operations) >= 80
    assert {"Find", None} <= {one["operation"] for one in operations}
    assert any(one["actor"].startswith("key:") for one in operations if one["actor"])
    # What a client was told is in the log, with all that a person needs to find out why.
    (told,) = [one for one in operations if failed["id"] in one.get("errors", ())]
    assert told["code"] == "INTERNAL"
    traced = [one for one in records if one["level"] == "error" and one.get("errors")]
    assert any(
        "UndefinedTableError" in one["errors"][0]["type"] and one["request_id"] for one in traced
    )
    assert len(traced) < 50, "of sixty failures of two sorts some are told"


# Storms


def test_repeats_are_counted_and_told_once(logger: logging.Logger, file: File) -> None:
    now = [0.0]
    handler = logger.handlers[0]
    assert isinstance(handler, Handler)
    handler.removeFilter(handler.repeats)
    handler.repeats = Repeats(most=3, window=10, clock=lambda: now[0])
    handler.addFilter(handler.repeats)
    for number in range(1_000):
        logger.error("it failed: %s", number)
        logger.warning("something else")
        now[0] += 0.001
    assert len(file.records) == 6
    assert handler.repeats.suppressed == 2 * 997
    now[0] += 10
    handler.repeats.tell()
    *_, failed, other = file.records
    assert (failed["repeated"], failed["level"]) == (997, "error")
    assert failed["message"] == "997 more like this in 10 s: it failed: %s"
    assert other["repeated"] == 997
    handler.repeats.tell()
    assert len(file.records) == 8
    logger.error("it failed: %s", "again")
    assert file.records[-1]["message"] == "it failed: again"


def test_failures_of_different_sorts_are_told_apart(logger: logging.Logger, file: File) -> None:
    def fail(kind: type[Exception]) -> None:
        try:
            raise kind("words")
        except Exception as reason:
            logger.error("error %s", "id", exc_info=reason)

    for _ in range(50):
        fail(ValueError)
    fail(KeyError)
    found = [record["errors"][0]["type"] for record in file.records]
    assert found == ["builtins.ValueError"] * 10 + ["builtins.KeyError"]


async def test_what_no_task_waited_for_is_logged_without_its_words(
    url: str, servers: Servers, file: File
) -> None:
    handler = Handler(file.lines, Json())
    logging.getLogger("asyncio").addHandler(handler)
    try:
        async with serving(url, servers.redis_url, project=False):

            async def fail() -> None:
                raise ValueError(SECRET_WORDS)

            task = asyncio.create_task(fail())
            await asyncio.wait([task])
            del task
            await asyncio.sleep(0)
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    (record,) = file.records
    assert record["errors"][0]["type"] == "builtins.ValueError"
    assert SECRET_WORDS not in file.text
