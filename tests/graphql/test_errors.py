"""An error says what a client can do, or an id that the log has, and nothing of the database."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from matchgraph.eventstore.connection import connect
from matchgraph.graphql.extensions import CODES
from matchgraph.servers import Servers
from tests.graphql.client import Api, serving
from tests.graphql.line import Line
from tests.graphql.mutations import ARTIFACT, call

TABLE = Path(__file__).parents[2] / "docs" / "errors.md"
SOURCES = Path(__file__).parents[2] / "src" / "matchgraph" / "graphql"
BROKEN = '{ artifact(slug: "parser") { slug signals { value } } }'


async def test_an_internal_error_shows_an_id_that_the_log_has(
    still: Api, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    db = await connect(url, "test")
    await db.execute("DROP TABLE artifact_listing CASCADE")
    await db.close()
    with caplog.at_level(logging.ERROR):
        answer = await still.answer(BROKEN)
    (error,) = answer["errors"]
    assert answer["data"] in (None, {"artifact": None})
    assert error["extensions"]["code"] == "INTERNAL"
    id = error["extensions"]["id"]
    assert id in error["message"]
    assert error["path"] == ["artifact"]
    assert not re.search("artifact_listing|relation|asyncpg|SELECT", str(answer))
    (record,) = (record for record in caplog.records if id in record.getMessage())
    assert record.exc_info
    assert "artifact_listing" in str(record.exc_info[1]), "the log has what happened"
    assert (await still.answer("{ position { head } }"))["data"]["position"]["head"] == "1"


async def test_a_mistake_of_the_client_is_none_of_the_logs_business(
    still: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for query in (
        "{",
        "{ nothing }",
        "{ compare(slugs: []) { position } }",
        "{ artifacts(first: 0) { totalCount } }",
    ):
        await still.error(query)
    await call(still, "retireArtifact", slug="nothing", reason="r")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


SENSELESS: list[tuple[str, dict[str, object], str]] = [
    ("{", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ artifact { slug } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ('{ artifact(slug: "a") }', {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ artifacts(first: 99999999999) { totalCount } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ artifacts(orderBy: NONE) { totalCount } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("query ($n: Int!) { artifacts(first: $n) { totalCount } }", {}, "BAD_USER_INPUT"),
    ("query ($n: Int!) { artifacts(first: $n) { totalCount } }", {"n": "5"}, "BAD_USER_INPUT"),
    (
        "query ($n: Int!) { artifacts(first: $n) { totalCount } }",
        {"n": 2**31},
        "BAD_USER_INPUT",
    ),
    ("query ($s: String!) { artifact(slug: $s) { slug } }", {"s": 5}, "BAD_USER_INPUT"),
    ("query ($s: String!) { artifact(slug: $s) { slug } }", {"s": "\0"}, "BAD_USER_INPUT"),
    ("query ($s: String!) { artifact(slug: $s) { slug } }", {"s": "\ud800"}, "BAD_USER_INPUT"),
    ("query ($s: String!) { artifact(slug: $s) { slug } }", {"s": "x" * 501}, "BAD_USER_INPUT"),
    ("{ artifacts(first: 0) { totalCount } }", {}, "BAD_USER_INPUT"),
]


async def test_a_request_that_makes_no_sense_has_a_code(still: Api) -> None:
    for query, variables, code in SENSELESS:
        error = (await still.answer(query, **variables))["errors"][0]
        assert error["extensions"]["code"] == code, (query, error)
        assert error["message"]


async def test_without_the_database_every_answer_says_unavailable(
    url: str, servers: Servers, tmp_path: Path
) -> None:
    line = Line(url, tmp_path)
    await line.mend()
    async with serving(line.url, servers.redis_url) as api:
        answer = await call(api, "registerArtifact", **ARTIFACT)
        position = f'@atLeast(position: "{answer["position"]}")'
        see = f'query {position} {{ artifact(slug: "parser") {{ slug }} }}'
        await api.ask(see)
        await line.cut()
        for query in (
            '{ artifact(slug: "parser") { slug } }',
            "{ artifacts { totalCount } }",
            '{ compare(slugs: ["a", "b"]) { position } }',
            "{ position { head } }",
            see,
        ):
            error = await asyncio.wait_for(api.error(query), 8)
            assert error.get("extensions") == {"code": "UNAVAILABLE"}, (query, error)
            assert not re.search(r"SELECT|postgres|\.s\.PGSQL", error["message"]), error
        await line.mend()
        assert (await api.ask(see))["artifact"]["slug"] == "parser", "it comes back by itself"
        answer = await call(api, "registerArtifact", **{**ARTIFACT, "slug": "other"})
        assert answer["position"] == "2"
    await line.cut()


@pytest.mark.parametrize("code", sorted({*CODES.values(), "INTERNAL", "GRAPHQL_VALIDATION_FAILED"}))
def test_the_table_of_errors_has_every_code(code: str) -> None:
    assert re.search(rf"^\|.*`{code}`", TABLE.read_text(), re.MULTILINE), f"{code}: add it"


def test_the_table_of_errors_has_the_codes_of_single_inputs_too() -> None:
    said = {
        code
        for file in SOURCES.glob("*.py")
        for code in re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', file.read_text())
    }
    assert {"UNKNOWN_ARTIFACT", "BAD_USER_INPUT"} <= said
    for code in said:
        assert re.search(rf"^\|.*`{code}`", TABLE.read_text(), re.MULTILINE), f"{code}: add it"
