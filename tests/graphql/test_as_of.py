"""Then is then: an answer as of a position is the answer that was given there, byte for byte."""

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.eventstore.connection import connect
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.runner import Runner
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import Clones, clones
from tests.eventstore.histories import World, rich, worlds
from tests.graphql.client import Api, serving
from tests.projections.tables import BY, append, start_over

__all__ = ["clones"]

PRICE = """
fragment price on Price {
  provider pricing amount currency per tier source observedAt perMillion display
}
"""
RANK = """
fragment rank on Rank {
  score low high coverage position place band
  parts { name value weight points evidence inputs {
    name value normalised weight source method observedAt position } }
}
"""
REST = """
fragment capability on Capability {
  id key name description unique versusAlternatives intents bestFor limitations requires
  inputTypes outputTypes tags provenance { method source observedAt } timesMatched
}
fragment artifact on Artifact {
  id slug kind status name description vendor family licence openWeights selfHostable homepage
  released lastRelease knowledgeCutoff contextTokens outputTokens inputTypes outputTypes
  provenance { method source observedAt } registeredAt changedAt position aliases
  capabilities(first: 1) { edges { cursor node { ...capability } }
    pageInfo { hasNextPage endCursor } }
  all: capabilities { nodes { ...capability } } capabilityCount
  prices { ...price } pricing startingPrice { ...price }
  priceHistory(first: 3) { edges { cursor node {
    provider per tier source observedAt position price { ...price } } }
    pageInfo { hasNextPage endCursor } }
  signals { name value source method observedAt }
  rank { ...rank }
  rankHistory(first: 50) { edges { cursor node {
    position slug listed score low high coverage place band artifact { slug status position } } } }
  timesMatched
  matchEdges(first: 2) { edges { cursor node {
    intent capabilityKey shown clicked chosen succeeded failed dismissed searchers exposure utility
    day position capability { ...capability } } } pageInfo { hasNextPage endCursor } }
}
"""
WIDE = PRICE + RANK + REST
CATALOG = (
    WIDE
    + """
query ($then: AsOf) {
  a: artifact(slug: "a", asOf: $then) { ...artifact }
  b: artifact(slug: "b", asOf: $then) { ...artifact }
  x: artifact(slug: "x", asOf: $then) { ...artifact }
  artifacts(asOf: $then, filter: {statuses: [ACTIVE, RETIRED, MERGED]}) {
    totalCount edges { cursor node { slug name status timesMatched } } }
  newest: artifacts(asOf: $then, orderBy: NEWEST_RELEASE) { nodes { slug released } }
  latest: artifacts(asOf: $then, orderBy: NEWEST_REGISTRATION, first: 1) {
    edges { cursor node { slug } } pageInfo { hasNextPage } }
  free: artifacts(asOf: $then, filter: {pricing: [FREE, OPEN_SOURCE], kinds: [MODEL]}) {
    totalCount nodes { slug prices { ...price } } }
  able: artifacts(asOf: $then, filter: {capabilities: ["k"]}) { nodes { slug } }
}
"""
)
BOARDS = (
    RANK
    + """
query ($then: AsOf) {
  models: rankBoard(kind: MODEL, asOf: $then) {
    position edges { cursor node { slug rank { ...rank } } } }
  all: rankBoard(asOf: $then, first: 2) {
    edges { cursor node { slug rank { place band score } } } pageInfo { hasNextPage } }
  rankPolicies(asOf: $then) { kind adoption quality halfLife }
  rankCalibration(asOf: $then) { position day upTo calibratedAt scales { kind signal p99 } }
}
"""
)
COMPARE = (
    WIDE
    + """
query ($then: AsOf) {
  compare(slugs: ["a", "b"], asOf: $then) {
    artifacts { ...artifact } asked { slug leadsTo redirected }
    rows { name values favours { outcome slug } } position
    aligned { left { ...capability } right { ...capability } similarity }
    similar { left { key } right { key } similarity } alignedBy
    shared { name members { artifact { slug } capability { key } } }
    onlyIn { artifact { slug } capabilities { key } }
    headToHead { left { slug } right { slug } together leftBetter rightBetter neither low high }
    verdict { outcome winner margin confidence sentence facts { name favours values sentence } }
  }
}
"""
)
QUERIES = (CATALOG, BOARDS, COMPARE)
Answers = dict[tuple[int, str], bytes]


async def answered(api: Api, query: str, position: int | None) -> bytes:
    """The whole answer as it is sent, of now or as of a position."""
    then = None if position is None else {"position": str(position)}
    said = json.dumps({"query": query, "variables": {"then": then}})
    headers = {"content-type": "application/json"}
    response = await api.http.post("/graphql", content=said, headers=headers)
    assert response.status_code == 200, response.text
    for error in response.json().get("errors", ()):
        # Whom one cannot compare is an answer, too.
        assert error.get("path") == ["compare"], error
        assert error["extensions"]["code"] in ("UNKNOWN_ARTIFACT", "BAD_USER_INPUT"), error
    return response.content


async def live(api: Api, url: str, pages: Sequence[int]) -> Answers:
    """What was answered whenever the read models had come so many events further, over and over
    the pages, up to the end of the log."""
    found: Answers = {}
    db = await connect(url, "test projector")
    number = 0
    while True:
        runner = Runner(url, api.store.listener, PROJECTIONS, page=pages[number % len(pages)])
        number += 1
        if not await runner.advance(db):
            break
        position = await db.fetchval("SELECT min(position) FROM projection_checkpoint")
        for query in QUERIES:
            found[position, query] = await answered(api, query, None)
    assert await db.fetch("SELECT FROM projection_checkpoint WHERE stuck_at IS NOT NULL") == []
    await db.close()
    return found


async def check(api: Api, then: Answers) -> None:
    for (position, query), was in then.items():
        found = await answered(api, query, position)
        assert json.loads(found) == json.loads(was), f"as of {position}"
        assert found == was


@settings(max_examples=8, deadline=None)
@given(world=worlds(most=60), pages=st.lists(st.integers(1, 7), min_size=1, max_size=4))
async def test_an_answer_as_of_a_position_is_the_one_given_there(
    clones: Clones, servers: Servers, world: World, pages: list[int]
) -> None:
    async with clones() as url, serving(url, servers.redis_url, project=False) as api:
        await api.store.append_batch(world.events, BY)
        then = await live(api, url, pages)
        await check(api, then)
        # Whatever the pages that the past came in.
        await start_over(url)
        await project(url, api.store)
        await check(api, then)


async def test_a_history_in_which_everything_happens_is_answered_as_of_any_position(
    url: str, servers: Servers
) -> None:
    commands = rich(2)
    async with serving(url, servers.redis_url, project=False) as api:
        await append(api.store, commands)
        ours = [
            query.replace('"a"', '"thing-0"')
            .replace('"b"', '"thing-0-twin"')
            .replace('"x"', '"thing-0-alias"')
            .replace('"k"', '"parse-tables"')
            for query in QUERIES
        ]
        then: Answers = {}
        db = await connect(url, "test projector")
        runner = Runner(url, api.store.listener, PROJECTIONS, page=1)
        while await runner.advance(db):
            position = await db.fetchval("SELECT min(position) FROM projection_checkpoint")
            for query in ours:
                then[position, query] = await answered(api, query, None)
        await db.close()
        assert len(set(then.values())) > len(then) / 2, "answers changed on the way"
        await check(api, then)
