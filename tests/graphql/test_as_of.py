"""Then is then: an answer as of a position is the answer that was given there, byte for byte."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.commands.catalog import take_in
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.draft import Draft
from matchgraph.domain.ranking import COUNTS
from matchgraph.eventstore.connection import Pool, connect
from matchgraph.projections.catalog import PROJECTIONS
from matchgraph.projections.rebuild import rebuild
from matchgraph.projections.runner import Runner
from matchgraph.queries.snapshot import Snapshot
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import Clones, clones
from tests.eventstore.histories import World, provenance, rich, signal, until, worlds
from tests.graphql.client import Api, serving
from tests.graphql.mutations import ARTIFACT, call
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
  history(first: 50) { position edges { cursor node {
    position recordedAt topic summary source method observedAt payload artifact { slug status }
    changes { about name field kind before after sentence } } } pageInfo { hasNextPage } }
  priceSeries { provider unit points { at value low high observations } }
  rankSeries { points { at value position } }
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
    """The answer as it is sent, of now or as of a position, but for what it cost."""
    then = None if position is None else {"position": str(position)}
    said = json.dumps({"query": query, "variables": {"then": then}})
    headers = {"content-type": "application/json"}
    response = await api.http.post("/graphql", content=said, headers=headers)
    assert response.status_code == 200, response.text
    for error in response.json().get("errors", ()):
        # Whom one cannot compare is an answer, too.
        assert error.get("path") == ["compare"], error
        assert error["extensions"]["code"] in ("UNKNOWN_ARTIFACT", "BAD_USER_INPUT"), error
    return response.content.rpartition(b',"extensions":{"cost"')[0] + b"}"


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


@settings(max_examples=6, deadline=None)
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


NAMED = 'query ($then: AsOf) { artifact(slug: "parser", asOf: $then) { name vendor position } }'


async def described(api: Api, *vendors: str) -> list[str]:
    """The positions at which the vendor of the only artifact was said, one after the other."""
    found = [(await call(api, "registerArtifact", **ARTIFACT))["position"]]
    for vendor in vendors:
        said = {"facts": {"vendor": vendor}, "provenance": ARTIFACT["provenance"]}
        found.append((await call(api, "describeArtifact", slug="parser", **said))["position"])
    return found


async def test_one_operation_asks_of_several_moments(api: Api) -> None:
    positions = await described(api, "one", "two", "three")
    fields = " ".join(
        f'at{position}: artifact(slug: "parser", asOf: {{position: "{position}"}})'
        " { vendor position rank { position place } }"
        for position in positions
    )
    data = await api.ask(
        f'query @atLeast(position: "{positions[-1]}")'
        f' {{ {fields} now: artifact(slug: "parser") {{ vendor position rank {{ position place }}'
        " } }"
    )
    vendors = [data[f"at{position}"]["vendor"] for position in positions]
    assert vendors[1:] == ["one", "two", "three"]
    assert [data[f"at{position}"]["position"] for position in positions] == positions
    assert data["now"] == data[f"at{positions[-1]}"]


async def test_a_time_means_the_last_event_recorded_by_then(api: Api) -> None:
    positions = await described(api, "one", "two")
    rows = await api.pool.fetch("SELECT position, recorded_at FROM event ORDER BY position")
    for row in rows:
        at, by = ({"position": str(row["position"])}, {"time": row["recorded_at"].isoformat()})
        assert await api.ask(NAMED, then=at) == await api.ask(NAMED, then=by)
    last = rows[-1]["recorded_at"] + timedelta(microseconds=1)
    data = await api.ask(NAMED, then={"time": last.isoformat()})
    assert data["artifact"]["position"] == positions[-1]


async def test_whatever_makes_no_moment_is_refused(api: Api) -> None:
    await described(api)
    begun = await api.pool.fetchval("SELECT min(recorded_at) FROM event")
    before = (begun - timedelta(microseconds=1)).isoformat()
    codes = {
        "BEFORE_HISTORY": [{"position": "0"}, {"time": before}],
        "POSITION_IN_FUTURE": [{"position": "2"}, {"position": str(2**63 - 1)}],
        "TIME_IN_FUTURE": [{"time": "2999-01-01T00:00:00Z"}],
        "GRAPHQL_VALIDATION_FAILED": [
            {},
            {"position": None},
            {"position": "1", "time": before},
        ],
        "BAD_USER_INPUT": [
            {"position": "x"},
            {"time": "2026-01-01T00:00:00"},
            {"time": "then"},
            {"since": "1"},
        ],
    }
    for code, moments in codes.items():
        for moment in moments:
            assert await api.code(NAMED, then=moment) == code, moment
    for literal in ("{}", '{position: "1", time: "2026-01-01T00:00:00Z"}', "{position: null}"):
        query = f'{{ artifact(slug: "parser", asOf: {literal}) {{ name }} }}'
        assert await api.code(query) == "GRAPHQL_VALIDATION_FAILED"


async def test_what_is_answered_of_now_alone_says_so(api: Api) -> None:
    await described(api)
    query = '{ artifact(slug: "parser", asOf: {position: "1"}) { alternatives { score } } }'
    error = await api.error(query)
    assert error["extensions"]["code"] == "NOT_AS_OF"
    assert "`alternatives` is answered as of now alone" in error["message"]


async def test_pages_as_of_then_go_on_where_they_ended(api: Api) -> None:
    def draft(number: int, name: str) -> Draft:
        return Draft(
            slug=f"thing-{number}",
            kind=Kind.MODEL,
            facts=Facts(name=name),
            provenance=provenance(),
            signals=(signal(str(number + 1)),),
        )

    await take_in(api.store, BY, [draft(number, "then") for number in range(7)])
    then = await api.store.head()
    await take_in(api.store, BY, [draft(number, "now") for number in range(9)])
    for field in ("artifacts(", "rankBoard(kind: MODEL, ", "rankBoard("):
        whole = await _paged(api, field, then, 100)
        assert [name for _, name in whole] == ["then"] * 7
        assert await _paged(api, field, then, 2) == whole
        assert await _paged(api, field, then, 3) == whole


async def _paged(api: Api, field: str, then: int, first: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    after: str | None = None
    while True:
        data = await api.ask(
            f"query ($after: String) {{ page: {field}first: {first}, after: $after,"
            f' asOf: {{position: "{then}"}}) {{ nodes {{ slug name }}'
            " pageInfo { hasNextPage endCursor } } }",
            after=after,
        )
        found += [(node["slug"], node["name"]) for node in data["page"]["nodes"]]
        if not data["page"]["pageInfo"]["hasNextPage"]:
            return found
        after = data["page"]["pageInfo"]["endCursor"]


async def test_a_board_out_of_redis_is_the_one_as_of_then(api: Api) -> None:
    await append(api.store, rich(3))
    head = await api.store.head()
    await api.ask(f'query @atLeast(position: "{head}") {{ position {{ head }} }}')

    async def kept() -> bool:
        found = await api.app.state.boards.page(Snapshot(api.pool), None, 1)
        return bool(found.from_cache and found.position == head)

    await until(kept)
    for _ in range(3):
        assert await answered(api, BOARDS, None) == await answered(api, BOARDS, head)


async def test_a_moment_that_is_not_reached_is_waited_for_and_then_reported(
    still: Api, url: str
) -> None:
    await call(still, "registerArtifact", **ARTIFACT)
    waiting = asyncio.ensure_future(still.ask(NAMED, then={"position": "1"}))
    await asyncio.sleep(0.1)
    await project(url, still.store)
    assert (await waiting)["artifact"]["position"] == "1"
    await call(still, "retireArtifact", slug="parser", reason="gone")
    assert await still.code(NAMED, then={"position": "2"}) == "BEHIND"
    assert (await still.ask(NAMED, then={"position": "1"}))["artifact"] is not None


async def test_moments_of_one_operation_are_waited_for_each_by_itself(still: Api, url: str) -> None:
    await described(still, "one")
    db = await connect(url, "test projector")
    assert await Runner(url, still.store.listener, PROJECTIONS, page=1).advance(db)
    asked = asyncio.ensure_future(
        still.ask(
            '{ one: artifact(slug: "parser", asOf: {position: "1"}) { position }'
            ' two: artifact(slug: "parser", asOf: {position: "2"}) { vendor rank { position } }'
            ' three: artifact(slug: "parser", asOf: {position: "1"}) { rank { position } } }'
        )
    )
    await asyncio.sleep(0.3)
    assert not asked.done()
    assert await Runner(url, still.store.listener, PROJECTIONS, page=1).advance(db)
    await db.close()
    data = await asked
    assert data["one"]["position"] == data["three"]["rank"]["position"] == "1"
    assert data["two"]["vendor"] == "one"


async def test_a_read_model_that_is_stuck_answers_up_to_there(still: Api, url: str) -> None:
    await described(still, "one", "two")
    await project(url, still.store)
    db = await connect(url, "test")
    await db.execute(
        "UPDATE projection_checkpoint SET position = 1, stuck_at = 2, stuck_because = 'test'"
        " WHERE name = 'signal_board'"
    )
    await db.close()
    assert (await still.ask(NAMED, then={"position": "1"}))["artifact"]["position"] == "1"
    error = await still.error(NAMED, then={"position": "2"})
    assert error["extensions"]["code"] == "READ_MODEL_STUCK"
    assert "signal_board is stuck at event 2" in error["message"]


async def test_a_past_that_was_not_kept_is_not_made_up(still: Api, url: str) -> None:
    await described(still, "one", "two")
    await project(url, still.store)
    db = await connect(url, "test")
    await db.execute("DELETE FROM artifact_listing_past")
    # As a migration leaves behind what was there before it.
    await db.execute("UPDATE projection_checkpoint SET kept_since = 3")
    await db.close()
    error = await still.error(NAMED, then={"position": "2"})
    assert error["extensions"]["code"] == "PAST_NOT_KEPT"
    assert (await still.ask(NAMED, then={"position": "3"}))["artifact"]["vendor"] == "two"
    for projection in PROJECTIONS:
        await rebuild(url, projection)
    assert (await still.ask(NAMED, then={"position": "2"}))["artifact"]["vendor"] == "one"


# Tables of read models that no answer as of then reads, and why.
NOW_ONLY = {
    "told_apart": "likelyDuplicates is of now",
    "search_posting": "search is of now",
    "search_term": "search is of now",
    "search_word": "search is of now",
    "match_cell": "learning is of now",
    "match_search": "reports are of now",
    "match_searcher": "reports are of now",
    "rank_match": "calibrations are of now",
    "rank_match_total": "calibrations are of now",
    "api_key": "keys are of now",
    "forgotten_key": "who is forgotten now is not told of then either",
}
# Tables whose rows never change, or hold positions that queries ask by.
SAME_THEN = {
    *("search_artifact", "search_document", "rank_matched", "price_withdrawn"),
    *("trail", "trail_alias", "trail_topic"),
}


async def test_every_table_is_seen_as_of_then_or_has_a_reason_not_to_be(pool: Pool) -> None:
    rows = await pool.fetch(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('public', 'as_of') ORDER BY ordinal_position"
    )
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in rows:
        columns.setdefault((schema, table), []).append(column)
    tables = {table for projection in PROJECTIONS for table in projection.tables}
    kept = {table for table in tables if table.endswith(("_past", "_history"))}
    views = {table for schema, table in columns if schema == "as_of"}
    views -= {"projection_checkpoint", "common_position"}
    assert views == tables - (kept - views) - NOW_ONLY.keys() - SAME_THEN
    # What the views leave out is asked for by projections alone.
    left_out = {
        "rank_board": {"announced"},
        "search_text": {"text"},
        "rank_evidence": {*COUNTS, "checked", "held", "position"},
    }
    for view in views:
        there, then = columns["public", view], columns["as_of", view]
        assert set(there) - left_out.get(view, set()) == set(then), view
        assert there == then or view in left_out
    # A replaced row has the columns of the table, and until when it held.
    for table in kept:
        if table.endswith("_past"):
            live = columns["public", table.removesuffix("_past")]
            assert columns["public", table] == [*live, "until"]
