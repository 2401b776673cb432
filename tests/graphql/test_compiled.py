"""What a plan answers is what graphql-core answers, to the byte; where it has none, it says so."""

import json
from typing import Any

from graphql import execute, parse, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.utils.await_maybe import await_maybe

from matchgraph.eventstore.connection import connect
from matchgraph.graphql.compiled import REPEATABLE, Plans
from matchgraph.graphql.context import Context
from matchgraph.graphql.schema import build
from matchgraph.http.answer import encoded
from matchgraph.queries.touched import Touched
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import Clones, clones
from tests.eventstore.histories import rich
from tests.graphql.client import Api, context_of, serving
from tests.graphql.operations import Operation, operations
from tests.graphql.shortest import Shortest
from tests.projections.tables import append

__all__ = ["clones"]

WHOLE = build()
SCHEMA = WHOLE._schema
SLUGS = ('"thing-0"', '"thing-1"', '"thing-1-alias"', '"nobody"')
ARGUMENTS = {
    "Query.artifact.slug": SLUGS,
    "Query.compare.slugs": ('["thing-0", "thing-1"]', '["thing-0", "thing-1-twin", "thing-2"]'),
    "first": ("1", "2", "50", "0"),
    "kind": ("MODEL",),
    "orderBy": ("NEWEST_REGISTRATION", "SLUG"),
    "every": ("DAY", "WEEK"),
    "currency": ('"USD"',),
    "Artifact.capability.key": ('"parse-tables"', '"nothing"'),
}


class Both:
    """Asks in either way, from the same view of the read models."""

    def __init__(self, api: Api) -> None:
        self._served = api.app

    async def ask(self, operation: Operation) -> list[tuple[Any, Any]]:
        """What graphql-core answers, and the data of the plan (None where it has none), for the
        variables as they are and for their contraries."""
        document = parse(operation.text)
        assert validate(SCHEMA, document) == []
        answers = []
        contrary = {name: not value for name, value in operation.variables.items()}
        plans = Plans(document)
        # What is asked once is not compiled.
        await self._planned(plans, operation.variables)
        for variables in (operation.variables, contrary):
            planned = await self._planned(plans, variables)
            context = self._context()
            core = execute(SCHEMA, document, variable_values=variables, context_value=context)
            answers.append((await await_maybe(core), planned))
            await context.close()
        return answers

    async def _planned(self, plans: Plans, variables: dict[str, bool]) -> Any:
        context = self._context()
        found = await plans.execute(SCHEMA, variables, None, context)
        await context.close()
        return None if found is None else found.data

    def _context(self) -> Context:
        return context_of(self._served)


def check(core: Any, planned: Any, operation: Operation) -> None:
    if core.errors:
        assert planned is None, operation.text
    else:
        assert planned is not None, operation.text
        assert json.dumps(planned) == json.dumps(core.data), operation.text


ROOTS = sorted(REPEATABLE - {"__typename"})


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=st.lists(operations(SCHEMA, ROOTS, ARGUMENTS), min_size=10, max_size=25))
async def test_a_plan_answers_what_graphql_core_answers(
    clones: Clones, servers: Servers, asked: list[Operation]
) -> None:
    async with clones() as url, serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(3))
        await project(url, api.store)
        both = Both(api)
        for operation in asked:
            for core, planned in await both.ask(operation):
                check(core, planned, operation)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=st.lists(operations(SCHEMA, ROOTS, ARGUMENTS), min_size=10, max_size=25))
async def test_the_shortest_way_leads_to_what_graphql_core_answers(
    clones: Clones, servers: Servers, asked: list[Operation]
) -> None:
    async with clones() as url, serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(3))
        await project(url, api.store)
        touched = Touched(url, api.store.listener, certain=600)
        db = await connect(url, "test")
        await touched.look(db)
        await db.close()
        both, shortest = Both(api), Shortest(api.app, WHOLE, touched)
        ways = 0
        for operation in asked:
            # A document goes this way once it is known to be in order.
            for _ in range(2):
                await WHOLE.execute(
                    operation.text,
                    variable_values=operation.variables,
                    context_value=context_of(api.app),
                )
            (core, _), *_ = await both.ask(operation)
            # Once made, and once put together of what was kept.
            for _ in range(2):
                found = await shortest.answer(operation.text, operation.variables)
                if core.errors:
                    assert found is None, operation.text
                elif found is not None:
                    ways += 1
                    assert found == encoded({"data": core.data}), operation.text
            spliced = shortest.at_once(operation.text, operation.variables)
            assert spliced in (None, encoded({"data": core.data})), operation.text
        assert ways or all(map(_is_elsewhere, asked)), [one.text for one in asked]


def _is_elsewhere(operation: Operation) -> bool:
    """Whether something is asked for whose marks nobody notes."""
    return any(name in operation.text for name in ("history", "History", "Series", "alternatives"))


async def test_what_goes_wrong_is_left_to_graphql_core(url: str, servers: Servers) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(1))
        await project(url, api.store)
        both = Both(api)
        for text in (
            '{ compare(slugs: ["thing-0"]) { position } }',
            '{ compare(slugs: ["thing-0", "nobody"]) { position } }',
            '{ artifact(slug: "thing-0") { slug capabilities(first: 1000) { nodes { key } } } }',
            '{ artifact(slug: "thing-0") { slug } other: compare(slugs: []) { position } }',
        ):
            core, planned = (await both.ask(Operation(text)))[0]
            assert core.errors
            assert planned is None
        for text in (
            '{ position { head } artifact(slug: "thing-0") { slug } }',
            '{ node(id: "x") { id } }',
            "{ __schema { queryType { name } } }",
        ):
            _, planned = (await both.ask(Operation(text)))[0]
            assert planned is None
