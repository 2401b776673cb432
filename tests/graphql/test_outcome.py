"""Whoever was served can say what became of it, once and no more than that."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from matchgraph.commands.outcome_token import LONGEST, pseudonym, sign
from matchgraph.commands.search import MESSAGES, MOST_REPORTS, answered
from matchgraph.domain.artifact import id_of
from matchgraph.domain.search import Discard, DiscardedReport, Search
from matchgraph.graphql.schema import build
from matchgraph.servers import Servers
from tests.eventstore.histories import INTENTS, sealed, served
from tests.graphql.client import SECRETS, Api, serving
from tests.graphql.mutations import SEARCH, SERVED, TOKEN, call, furnish
from tests.projections.tables import BY

REPORT = """mutation ($token: String!, $outcome: OutcomeKind!) {
  reportOutcome(token: $token, outcome: $outcome) {
    __typename
    ... on OutcomeReported { position outcome }
    ... on OutcomeDiscarded { position reason message }
  }
}"""
EDGES = """query ($slug: String!, $first: Int!, $after: String, $at: Position!)
@atLeast(position: $at) {
  artifact(slug: $slug) {
    timesMatched
    matchEdges(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes {
        intent capabilityKey capability { name timesMatched } day position
        shown clicked chosen succeeded failed dismissed searchers exposure utility
      }
    }
  }
}"""


async def report(api: Api, token: str = TOKEN, outcome: str = "CLICKED") -> Any:
    return (await api.ask(REPORT, token=token, outcome=outcome))["reportOutcome"]


async def said_by(api: Api, **headers: str) -> str:
    """Who the record says reported a forged token, sent with these headers."""
    for name, value in headers.items():
        api.http.headers[name.replace("_", "-")] = value
    found = await report(api, str(uuid4()))
    for name in headers:
        del api.http.headers[name.replace("_", "-")]
    (recorded,) = await api.store.read(int(found["position"]) - 1, 1)
    assert isinstance(recorded.event, DiscardedReport.Recorded)
    return recorded.event.searcher


async def test_a_report_counts_and_the_next_one_goes_on_from_it(still: Api) -> None:
    end = await furnish(still)
    assert await report(still) == {
        "__typename": "OutcomeReported",
        "position": str(end + 1),
        "outcome": "CLICKED",
    }
    assert (await report(still, outcome="SUCCEEDED"))["position"] == str(end + 2)
    found = await still.store.load(SEARCH)
    assert isinstance(found, Search)
    assert [str(one) for one in found.outcomes.values()] == ["succeeded"]


async def test_what_is_discarded_says_why(still: Api) -> None:
    end = await furnish(still)
    await report(still)
    for number, (token, reason) in enumerate(
        (
            (TOKEN, "DUPLICATE"),
            (TOKEN[:-1], "FORGED"),
            ("", "FORGED"),
            (sign(SECRETS, uuid4(), SERVED[0]), "UNKNOWN_SEARCH"),
        ),
        start=2,
    ):
        assert await report(still, token) == {
            "__typename": "OutcomeDiscarded",
            "position": str(end + number),
            "reason": reason,
            "message": MESSAGES[Discard[reason]],
        }
    # A forged one again, which is in the record already.
    assert (await report(still, TOKEN[:-1]))["position"] == str(end + 3)
    assert await still.store.head() == end + 5


async def test_more_reports_than_count_in_a_day_are_discarded(api: Api) -> None:
    position = 0
    for number in range(MOST_REPORTS // 2 + 1):
        page = served(["a", "b"])
        id = UUID(int=number + 1)
        await answered(api.store, BY, id, sealed(), INTENTS[0].cluster, "ann", page)
        for one in page:
            found = await report(api, sign(SECRETS, id, one))
            position = int(found["position"])
            if number < MOST_REPORTS // 2:
                assert found["__typename"] == "OutcomeReported", number
        await api.ask(f'query @atLeast(position: "{position}") {{ position {{ head }} }}')
    assert found["reason"] == "OVER_CAP"


async def test_while_the_match_graph_is_behind_no_report_is_one_too_many(still: Api) -> None:
    counted = []
    for number in range(MOST_REPORTS // 2 + 1):
        page = served(["a", "b"])
        id = UUID(int=number + 1)
        await answered(still.store, BY, id, sealed(), INTENTS[0].cluster, "ann", page)
        counted += [(await report(still, sign(SECRETS, id, one)))["__typename"] for one in page]
    assert counted == ["OutcomeReported"] * (MOST_REPORTS + 2)


@pytest.mark.parametrize(
    ("token", "message"), [("x" * (LONGEST + 1), str(LONGEST)), ("a\0b", "stored")]
)
async def test_what_can_be_no_token_at_all_is_no_report(
    still: Api, token: str, message: str
) -> None:
    error = await still.error(REPORT, token=token, outcome="CLICKED")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert message in error["message"]
    assert await still.store.head() == 0


async def test_a_searcher_is_a_pseudonym_for_a_name_or_an_address(still: Api) -> None:
    ann = await said_by(still, X_Searcher="ann")
    assert ann == await said_by(still, X_Searcher="ann") == pseudonym(SECRETS, "named:ann")
    address = await said_by(still)
    assert address == await said_by(still) == pseudonym(SECRETS, "at:127.0.0.1")
    assert len({ann, address, await said_by(still, X_Searcher="at:127.0.0.1")}) == 3
    long = await said_by(still, X_Searcher="a" * 5_000)
    assert long == await said_by(still, X_Searcher="a" * 200)


async def test_a_token_outlives_the_process_that_signed_it(url: str, servers: Servers) -> None:
    async with serving(url, servers.redis_url, project=False) as first:
        await furnish(first)
    async with serving(
        url, servers.redis_url, project=False, secrets=("a newer one to sign with", *SECRETS)
    ) as second:
        assert (await report(second))["__typename"] == "OutcomeReported"
    async with serving(url, servers.redis_url, project=False, secrets=()) as stranger:
        assert (await report(stranger, outcome="CHOSEN"))["reason"] == "FORGED"


async def test_an_artifact_shows_what_it_was_served_for(api: Api) -> None:
    end = await furnish(api)
    await report(api, outcome="CHOSEN")
    await answered(api.store, BY, uuid4(), sealed(), INTENTS[1].cluster, "bob", SERVED)
    whole = await api.ask(EDGES, slug="parser", first=10, at=str(end + 2))
    artifact = whole["artifact"]
    assert artifact["timesMatched"] == 2
    first, second = artifact["matchEdges"]["nodes"]
    assert first == {
        **first,
        "intent": None,
        "capabilityKey": "parse-tables",
        "capability": {"name": "Tables", "timesMatched": 2},
        "position": str(end + 1),
        "shown": 1,
        "clicked": 0,
        "chosen": 1,
        "succeeded": 0,
        "failed": 0,
        "dismissed": 0,
        "searchers": 1,
        "exposure": 1.0,
        "utility": 0.6,
    }
    assert (second["intent"], second["searchers"]) == (None, 0)
    page = await api.ask(EDGES, slug="parser", first=1, at="0")
    info = page["artifact"]["matchEdges"]["pageInfo"]
    assert info["hasNextPage"]
    rest = await api.ask(EDGES, slug="parser", first=1, after=info["endCursor"], at="0")
    assert rest["artifact"]["matchEdges"]["nodes"] == [second]
    other = (await api.ask(EDGES, slug="other", first=1, at="0"))["artifact"]
    assert other["matchEdges"]["nodes"][0]["capability"] is None
    assert other["timesMatched"] == 2
    never = (await api.ask(EDGES, slug="gone", first=1, at="0"))["artifact"]
    assert (never["timesMatched"], never["matchEdges"]["nodes"]) == (0, [])
    assert (await api.code(EDGES, slug="parser", first=1, after="x", at="0")) == "BAD_USER_INPUT"


async def test_a_page_of_artifacts_asks_once_for_how_often_each_matched(api: Api) -> None:
    end = await furnish(api)
    found = await api.ask(
        f'query @atLeast(position: "{end}") {{ artifacts {{ nodes {{ slug timesMatched }} }} }}'
    )
    assert {one["slug"]: one["timesMatched"] for one in found["artifacts"]["nodes"]} == {
        "parser": 1,
        "other": 1,
    }


async def test_a_report_is_repeated_with_its_key(still: Api) -> None:
    await furnish(still)
    said = {"token": TOKEN, "outcome": "CHOSEN", "idempotencyKey": "once"}
    first = await call(still, "reportOutcome", **said)
    assert await call(still, "reportOutcome", **said) == first
    reused = await call(still, "reportOutcome", **{**said, "outcome": "FAILED"})
    assert reused["__typename"] == "IdempotencyKeyReused"


def test_the_names_that_clients_rely_on_are_there() -> None:
    schema = build()._schema
    assert schema.mutation_type
    field = schema.mutation_type.fields["reportOutcome"]
    assert str(field.args["token"].type) == "String!"
    assert str(field.args["outcome"].type) == "OutcomeKind!"
    assert str(field.type) == "ReportOutcomeResult!"
    assert id_of("parser") == SERVED[0].artifact_id
