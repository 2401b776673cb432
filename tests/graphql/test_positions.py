"""Read your own writes, and never half of somebody else's."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from matchgraph.commands.catalog import take_in
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.draft import Draft
from matchgraph.eventstore.store import Request
from matchgraph.projections.catalog import PROJECTIONS
from tests.conftest import project
from tests.eventstore.histories import capability, price, provenance, signal
from tests.graphql.client import Api
from tests.graphql.mutations import ARTIFACT, call

HEAD = "{ position { head reached } }"
SEE = 'query ($p: Position!) @atLeast(position: $p) { artifact(slug: "parser") { slug vendor } }'


async def test_a_query_that_asks_for_it_sees_the_change(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    for n in range(20):
        answer = await call(
            api,
            "describeArtifact",
            slug="parser",
            facts={"vendor": f"v{n}"},
            provenance=ARTIFACT["provenance"],
        )
        literal = SEE.replace("($p: Position!) ", "").replace("$p", f'"{answer["position"]}"')
        for data in (await api.ask(SEE, p=answer["position"]), await api.ask(literal)):
            assert data["artifact"]["vendor"] == f"v{n}"


async def test_a_position_can_be_a_variables_default(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    query = SEE.replace("Position!", 'Position! = "1"')
    assert (await api.ask(query))["artifact"]["slug"] == "parser"
    assert await api.code(query, p="2") == "POSITION_IN_FUTURE"
    assert await api.code(query, p=None) == "BAD_USER_INPUT"


async def test_the_position_of_the_operation_that_runs_counts(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    document = f'query a @atLeast(position: "9") {HEAD} query b @atLeast(position: "1") {HEAD}'
    found = {}
    for name in ("a", "b"):
        response = await api.http.post("/graphql", json={"query": document, "operationName": name})
        found[name] = response.json()
    assert found["a"]["errors"][0]["extensions"]["code"] == "POSITION_IN_FUTURE"
    assert found["b"]["data"]["position"]["head"] == "1"


async def test_a_position_nobody_has_reached_is_refused_at_once(api: Api) -> None:
    for position in ("1", str(2**63 - 1)):
        began = time.monotonic()
        error = await api.error(SEE, p=position)
        assert error["extensions"]["code"] == "POSITION_IN_FUTURE"
        assert "the newest event has 0" in error["message"]
        assert time.monotonic() - began < 1


NO_POSITIONS: list[Any] = ["", "x", "-1", "1.5", "٣", " 1", str(2**63), "9" * 99, 5, True, None]


async def test_garbage_is_no_position(still: Api) -> None:
    for garbage in NO_POSITIONS:
        assert await still.code(SEE, p=garbage) == "BAD_USER_INPUT"


async def test_a_change_asks_for_no_position(still: Api) -> None:
    query = 'mutation @atLeast(position: "1") { reinstateArtifact(slug: "x") { __typename } }'
    assert await still.code(query) == "GRAPHQL_VALIDATION_FAILED"


async def test_a_projector_that_stands_still_is_waited_for_and_then_reported(
    still: Api, url: str
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    assert await still.ask(HEAD) == {"position": {"head": "1", "reached": "0"}}
    assert (await still.ask(SEE, p="0"))["artifact"] is None
    began = time.monotonic()
    error = await still.error(SEE, p="1")
    assert error["extensions"] == {"code": "BEHIND"}
    assert "at position 0 and have not reached 1" in error["message"]
    assert 4 < time.monotonic() - began < 8

    waiting = asyncio.ensure_future(still.ask(SEE, p="1"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await project(url, still.store, PROJECTIONS)
    assert (await waiting)["artifact"]["slug"] == "parser"
    assert time.monotonic() - began < 2
    assert await still.ask(HEAD) == {"position": {"head": "1", "reached": "1"}}


async def test_no_answer_mixes_two_states_of_the_catalog(api: Api) -> None:
    def version(n: int) -> Draft:
        return Draft(
            slug="parser",
            kind=Kind.MODEL,
            facts=Facts(name=f"{n}"),
            provenance=provenance(),
            capabilities=(capability(name=f"{n}"),),
            prices=(price(f"{n}", on=n),),
            signals=(signal(f"{n}", on=n),),
        )

    request = Request(actor="tester", request_id="test")
    await take_in(api.store, request, [version(1), version(1)])
    query = """{ parser: artifact(slug: "parser") { name position
        capabilities { nodes { name } } prices { amount } signals { value } }
      again: artifacts { nodes { name } } compare: position { reached } }"""
    seen: list[int] = []

    async def read() -> None:
        while True:
            data = await api.ask(query)
            if data["parser"] is None:
                continue
            said = {
                data["parser"]["name"],
                data["again"]["nodes"][0]["name"],
                *(node["name"] for node in data["parser"]["capabilities"]["nodes"]),
                *(one["amount"] for one in data["parser"]["prices"]),
                *(one["value"] for one in data["parser"]["signals"]),
            }
            assert len(said) == 1, said
            seen.append(int(said.pop()))

    readers = [asyncio.ensure_future(read()) for _ in range(4)]
    for n in range(2, 120):
        await take_in(api.store, request, [version(n)])
    await api.ask(SEE, p=str(await api.store.head()))
    for reader in readers:
        assert not reader.done() or reader.exception() is None, reader.exception()
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
    assert len(set(seen)) >= 10, "it was read while it changed"
