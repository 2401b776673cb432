"""Answers that are kept: given again as long as they are the answer, and not a moment longer."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Facts
from matchgraph.domain.role import Role
from matchgraph.domain.search import Outcome, Search
from matchgraph.embedding import load
from matchgraph.eventstore.connection import Connection, connect
from matchgraph.graphql.schema import build
from matchgraph.http.answer import encoded
from matchgraph.http.answers import Answers, Kept
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.projections.text_vectors import fill
from matchgraph.queries.notes import Notes
from matchgraph.queries.touched import Touched
from matchgraph.servers import Servers
from tests.eventstore.conftest import Clones, clones
from tests.eventstore.histories import (
    INTENTS,
    World,
    artifact,
    capability,
    id_of,
    price,
    provenance,
    rich,
    sealed,
    served,
    signal,
    worlds,
)
from tests.graphql.client import Api, context_of, serving
from tests.graphql.shortest import Shortest
from tests.graphql.test_as_of import PRICE, RANK
from tests.projections.tables import BY, append, start_over

__all__ = ["clones"]

SCHEMA = build()
Asked = tuple[str, dict[str, Any]]
HEADER = "query ($slug: String!) { artifact(slug: $slug) { slug name vendor status position } }"
ARTIFACT = (
    PRICE
    + RANK
    + """
query ($slug: String!) { artifact(slug: $slug) {
  id slug kind status name description vendor registeredAt changedAt position aliases
  capabilities(first: 2) { nodes { key name description timesMatched } pageInfo { hasNextPage } }
  capabilityCount prices { ...price } pricing startingPrice { ...price }
  priceHistory(first: 3) { nodes { provider price { ...price } } }
  signals { name value observedAt } rank { ...rank }
  rankHistory(first: 5) { nodes { position score place } }
  timesMatched matchEdges(first: 3) { nodes { intent shown clicked searchers exposure } }
} }"""
)
# Nothing of it is looked up but the artifact itself.
ITSELF = """query ($slug: String!) { artifact(slug: $slug) {
  name vendor status changedAt position provenance { method source observedAt } } }"""
COMPARE = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  artifacts { slug rank { score } } rows { name values favours { outcome slug } }
  aligned { left { key } right { key } similarity } onlyIn { capabilities { key } }
  headToHead { together leftBetter neither } verdict { outcome winner sentence }
} }"""
DUEL = """query ($slugs: [String!]!) {
  compare(slugs: $slugs) { headToHead { together leftBetter } } }"""
FACTS = """query ($slugs: [String!]!) { __typename both: compare(slugs: $slugs) {
  __typename of: artifacts { slug prices { amount } rank { score place } __typename } } }"""
BOARD = """query ($kind: ArtifactKind) { rankBoard(kind: $kind, first: 3) {
  nodes { slug rank { score place band } } } }"""
LISTED = """{ artifacts(first: 2, orderBy: NEWEST_REGISTRATION) {
  totalCount nodes { slug } pageInfo { hasNextPage } }
  free: artifacts(filter: {pricing: [FREE], capabilities: ["k"]}) { nodes { slug } } }"""
POLICIES = "{ rankPolicies { kind quality } rankCalibration { day } }"


def asked(slugs: tuple[str, ...]) -> list[Asked]:
    """What is asked of these artifacts, all of it again and again."""
    return [
        *((query, {"slug": slug}) for slug in slugs for query in (HEADER, ARTIFACT, ITSELF)),
        (COMPARE, {"slugs": list(slugs[:2])}),
        (FACTS, {"slugs": list(slugs[1::-1])}),
        (BOARD, {"kind": "MODEL"}),
        (BOARD, {}),
        (LISTED, {}),
        (POLICIES, {}),
    ]


class Reader:
    """Asks in this process, beside an application that keeps nothing."""

    def __init__(self, api: Api, touched: Touched) -> None:
        self._served = api.app
        self.touched = touched
        self.answers = Answers(touched)
        self.shortest = Shortest(api.app, SCHEMA, touched)

    async def made(self, query: str, variables: Mapping[str, Any]) -> tuple[bytes, Notes]:
        """The answer made anew, and what it rests on."""
        notes = Notes()
        result = await SCHEMA.execute(
            query,
            variable_values=dict(variables),
            context_value=context_of(self._served, role=Role.ANONYMOUS, notes=notes),
        )
        errors = [error.message for error in result.errors or ()]
        return json.dumps({"data": result.data, "errors": errors}).encode(), notes

    def kept(self, query: str, variables: Mapping[str, Any]) -> bytes | None:
        """The answer that was kept, if any."""
        kept = self.answers.get(_key(query, variables))
        return None if kept is None else kept.said

    async def ask(self, query: str, variables: Mapping[str, Any]) -> bool:
        """Whether an answer was kept, which then is the one that is made anew."""
        kept = self.kept(query, variables)
        made, notes = await self.made(query, variables)
        if kept is not None:
            assert json.loads(kept) == json.loads(made), (query, variables)
            assert kept == made
        for _ in range(2):
            direct = await self.shortest.answer(query, variables)
            if direct is not None:
                assert json.loads(direct)["data"] == json.loads(made)["data"], (query, variables)
                assert direct == encoded({"data": json.loads(made)["data"]})
        spliced = self.shortest.at_once(query, variables)
        assert spliced in (None, encoded({"data": json.loads(made)["data"]}))
        keep(self.answers, _key(query, variables), made, notes)
        return kept is not None


def keep(answers: Answers, key: bytes, said: bytes, notes: Notes) -> None:
    """Keeps the answer, if it is known what it rests on and the position that it is as of."""
    if notes.complete and notes.position is not None:
        marks = tuple(notes.marks)
        answers.put(key, Kept(said, "", 1, notes.position, notes.era, marks, "", None, None, ""))


def _key(query: str, variables: Mapping[str, Any]) -> bytes:
    return json.dumps([query, variables]).encode()


async def advance(reader: Reader, db: Connection, url: str, api: Api, page: int = 2_000) -> bool:
    """Takes the read models a page on, and has the reader hear of it."""
    moved = await Runner(url, api.store.listener, PROJECTIONS, page=page).advance(db)
    await reader.touched.look(db)
    return moved


@settings(max_examples=15, deadline=None)
@given(world=worlds(most=60), pages=st.lists(st.integers(1, 4), min_size=1, max_size=4))
async def test_a_kept_answer_is_the_one_that_would_be_made_now(
    clones: Clones, servers: Servers, world: World, pages: list[int]
) -> None:
    async with clones() as url, serving(url, servers.redis_url, project=False) as api:
        await api.store.append_batch(world.events, BY)
        db = await connect(url, "test projector")
        reader = Reader(api, Touched(url, api.store.listener, certain=600))
        number = 0
        while await advance(reader, db, url, api, pages[number % len(pages)]):
            number += 1
            for query, variables in asked(("a", "b", "x")):
                await reader.ask(query, variables)
                # Nobody embeds the texts of comparisons here, and artifacts may be unknown.
                if query not in (COMPARE, FACTS):
                    assert await reader.ask(query, variables), "nothing happened in between"
        for query, variables in asked(("a", "b")) if world.events else ():
            made, _ = await reader.made(query, variables)
            direct = await reader.shortest.answer(query, variables)
            assert (direct is None) == bool(json.loads(made)["errors"]), query
            if query in (FACTS, HEADER, ITSELF):
                is_spliced = reader.shortest.at_once(query, variables) is not None
                assert is_spliced == all((json.loads(made)["data"] or {"": None}).values()), query
        await db.close()


async def test_whatever_happens_to_one_artifact_leaves_answers_about_others_alone(
    url: str, servers: Servers
) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        names = ("one", "two", "three")
        one, two, three = (artifact(name, vendor="acme") for name in names)
        for number, each in enumerate((one, two, three)):
            each.add_capability(capability(f"read-{number}", description=f"Reads {names[number]}."))
        await api.store.append([one, two, three], BY)
        db = await connect(url, "test projector")
        reader = Reader(api, Touched(url, api.store.listener, certain=600))
        assert reader.touched.at is None
        await advance(reader, db, url, api)
        await fill(db, load())
        assert reader.touched.at == 6
        others: list[Asked] = [
            (HEADER, {"slug": "two"}),
            (HEADER, {"slug": "three"}),
            (COMPARE, {"slugs": ["two", "three"]}),
            (POLICIES, {}),
        ]
        its_own: list[Asked] = [
            (HEADER, {"slug": "one"}),
            (COMPARE, {"slugs": ["one", "three"]}),
            (BOARD, {"kind": "MODEL"}),
        ]
        changes: list[Callable[[], object]] = [
            lambda: one.describe(Facts(vendor="other"), provenance(on=1)),
            lambda: one.observe_price(price("3")),
            lambda: one.observe_signal(signal("100")),
            lambda: one.revise_capability(capability("read-0", description="Writes.")),
            lambda: one.retire("superseded"),
        ]
        for change in changes:
            for query, variables in others + its_own:
                await reader.ask(query, variables)
                assert reader.kept(query, variables) is not None
            change()
            await api.store.append([one], BY)
            await advance(reader, db, url, api)
            await fill(db, load())
            assert [reader.kept(*each) is not None for each in others] == [True] * len(others)
            kept = [query for query, variables in its_own if reader.kept(query, variables)]
            # A description and a price move no rank.
            assert kept in ([], [BOARD]), change
            for query, variables in others + its_own:
                await reader.ask(query, variables)
        await db.close()


async def test_what_is_made_of_one_result_is_of_those_that_were_served_beside_it(
    url: str, servers: Servers
) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await api.store.append([artifact(name) for name in ("one", "two", "three", "four")], BY)
        search = Search.answer(
            uuid4(), sealed(), INTENTS[0].cluster, "ann", served(("one", "two", "three"))
        )
        await api.store.append([search], BY)
        db = await connect(url, "test projector")
        reader = Reader(api, Touched(url, api.store.listener, certain=600))
        await advance(reader, db, url, api)
        pair: Asked = (DUEL, {"slugs": ["one", "two"]})
        other: Asked = (DUEL, {"slugs": ["one", "four"]})
        assert not await reader.ask(*pair)
        # Whoever got as far as the third has examined the first two.
        search.report(id_of("three"), Outcome.CLICKED)
        await api.store.append([search], BY)
        await advance(reader, db, url, api)
        assert not await reader.ask(*pair)
        made, _ = await reader.made(*pair)
        (duel,) = json.loads(made)["data"]["compare"]["headToHead"]
        assert duel == {"together": 1, "leftBetter": 0}
        for _ in range(2):
            await reader.ask(*other)
        # Nothing is known any more of what a search served that is long over.
        await db.execute("DELETE FROM match_search")
        search.report(id_of("three"), Outcome.CHOSEN)
        await api.store.append([search], BY)
        await advance(reader, db, url, api)
        assert not await reader.ask(*other)
        await db.close()


async def test_nothing_is_given_again_while_read_models_stand_at_different_positions(
    url: str, servers: Servers
) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(1))
        db = await connect(url, "test projector")
        reader = Reader(api, Touched(url, api.store.listener, certain=600))
        await advance(reader, db, url, api)
        header = (HEADER, {"slug": "thing-0"})
        await reader.ask(*header)
        assert reader.kept(*header) is not None
        await start_over(url, [PROJECTIONS[0]])
        await reader.touched.look(db)
        assert reader.touched.at is None
        assert reader.kept(*header) is None
        await reader.ask(*header)
        while await advance(reader, db, url, api):
            pass
        # What was read in between was of no position.
        assert reader.kept(*header) is not None
        assert await reader.ask(*header)
        await db.close()


async def test_who_has_not_looked_for_a_while_gives_nothing(url: str, servers: Servers) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(1))
        db = await connect(url, "test projector")
        reader = Reader(api, Touched(url, api.store.listener, certain=0.05))
        await advance(reader, db, url, api)
        await reader.ask(POLICIES, {})
        await asyncio.sleep(0.1)
        assert reader.kept(POLICIES, {}) is None
        await reader.touched.look(db)
        assert reader.kept(POLICIES, {}) is not None
        await db.close()


async def test_answers_asked_for_least_recently_are_given_up_first(
    url: str, servers: Servers
) -> None:
    async with serving(url, servers.redis_url, project=False) as api:
        await append(api.store, rich(1))
        db = await connect(url, "test projector")
        touched = Touched(url, api.store.listener, certain=600)
        answers = Answers(touched, most=10_000)
        await Runner(url, api.store.listener, PROJECTIONS).advance(db)
        await touched.look(db)
        notes = Notes()
        notes.stood(touched.at or 0, touched.era)
        for number in range(10):
            keep(answers, bytes([number]), bytes(2_000), notes)
            assert answers.get(b"\0") is not None
        assert [number for number in range(10) if answers.get(bytes([number]))] == [0, 8, 9]
        keep(answers, b"large", bytes(2_000_000), notes)
        assert answers.get(b"large") is None
        await db.close()


def test_an_answer_is_as_of_the_oldest_thing_that_it_was_made_of() -> None:
    for read, stood, position in (([], 9, 9), ([5, 7], 9, 5), ([12], 9, 9)):
        notes = Notes()
        for one in read:
            notes.read_at(one)
        notes.stood(stood, "era")
        assert notes.position == position
