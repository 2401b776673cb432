"""Boards, ranks that explain themselves, and what they are measured by, over HTTP."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from matchgraph.commands import artifact as commands
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.calibration import Calibration, Scales
from matchgraph.domain.signal import SignalName
from matchgraph.eventstore.store import Request
from tests.eventstore.histories import provenance, signal
from tests.graphql.client import Api
from tests.graphql.mutations import POLICY

BY = Request(actor="tester", request_id="test")
RANK = """
score low high coverage band place position
parts { name value weight points evidence
  inputs { name value normalised weight source method observedAt position } }
"""
CALIBRATE = """
mutation { calibrateRanks { __typename ... on RanksCalibrated { position } } }
"""
ADOPT = """
mutation ($kinds: [RankPolicyInput!]!) {
  adoptPolicy(kinds: $kinds) {
    __typename
    ... on PolicyAdopted { position }
    ... on WeightsDoNotAddUp { kind total message }
    ... on KindTwice { kind message }
    ... on BadNumber { field message }
  }
}
"""


async def stocked(api: Api, models: int = 5) -> int:
    """A catalog of some models, the more stars the higher their number; a retired one, a tool."""
    for number in range(models):
        slug = f"model-{number}"
        await commands.register(api.store, BY, slug, Kind.MODEL, Facts(name=slug), provenance(on=0))
        await commands.observe_signal(api.store, BY, slug, signal(str(10**number), source="github"))
    await commands.register(api.store, BY, "gone", Kind.MODEL, Facts(name="gone"), provenance())
    await commands.retire(api.store, BY, "gone", "superseded")
    await commands.register(api.store, BY, "tool", Kind.CLI, Facts(name="tool"), provenance())
    # What has not been projected yet would be missing from the distributions.
    await api.ask(
        "query ($p: Position!) @atLeast(position: $p) { position { head } }",
        p=str(await api.store.head()),
    )
    return int((await api.ask(CALIBRATE))["calibrateRanks"]["position"])


async def test_a_rank_is_made_of_five_parts_that_add_up_exactly(api: Api) -> None:
    position = await stocked(api)
    answer = await api.ask(
        'query ($p: Position!) @atLeast(position: $p) { artifact(slug: "model-4") { rank {'
        + RANK
        + "} } }",
        p=str(position),
    )
    rank = answer["artifact"]["rank"]
    assert [part["name"] for part in rank["parts"]] == [
        "ADOPTION",
        "QUALITY",
        "ECOSYSTEM",
        "MATCH_GRAPH",
        "FRESHNESS",
    ]
    assert sum(Decimal(part["points"]) for part in rank["parts"]) == Decimal(rank["score"])
    assert sum(Decimal(str(part["weight"])) for part in rank["parts"]) == 1
    adoption, quality = rank["parts"][:2]
    (stars,) = adoption["inputs"]
    assert stars["name"] == "stars"
    assert stars["value"] == "10000"
    assert stars["normalised"] == 1.0
    assert stars["source"] == "github"
    assert stars["method"] == "OBSERVED"
    assert int(stars["position"]) == 10
    assert quality["inputs"] == []
    assert quality["evidence"] == 0
    assert 0 < rank["coverage"] < 1
    assert Decimal(rank["low"]) < Decimal(rank["score"]) < Decimal(rank["high"])
    assert (rank["place"], rank["band"]) == (1, 1)
    assert int(rank["position"]) == position


async def test_what_is_not_on_offer_has_a_rank_and_no_place(api: Api) -> None:
    position = await stocked(api)
    answer = await api.ask(
        "query ($p: Position!) @atLeast(position: $p) {"
        ' artifact(slug: "gone") { rank { score place band } } }',
        p=str(position),
    )
    rank = answer["artifact"]["rank"]
    assert (rank["place"], rank["band"]) == (None, None)
    assert Decimal(rank["score"]) > 0


@pytest.mark.parametrize("parts", ["", "parts { points }", "...P"])
async def test_a_board_lists_a_kind_best_first_page_by_page(api: Api, parts: str) -> None:
    position = await stocked(api)
    fragment = "fragment P on Rank { parts { points } }" if parts == "...P" else ""
    query = (
        "query ($p: Position!, $after: String) @atLeast(position: $p) {"
        " rankBoard(kind: MODEL, first: 2, after: $after) {"
        " edges { cursor node { slug rank { score place band " + parts + " } } }"
        " pageInfo { hasNextPage endCursor } position } } " + fragment
    )
    found: list[Any] = []
    after = None
    for _ in range(3):
        board = (await api.ask(query, p=str(position), after=after))["rankBoard"]
        assert int(board["position"]) >= position
        found += [edge["node"] for edge in board["edges"]]
        after = board["pageInfo"]["endCursor"]
    assert not board["pageInfo"]["hasNextPage"]
    assert [node["slug"] for node in found] == [f"model-{n}" for n in (4, 3, 2, 1, 0)]
    assert [node["rank"]["place"] for node in found] == [1, 2, 3, 4, 5]
    if parts:
        for node in found:
            total = sum(Decimal(part["points"]) for part in node["rank"]["parts"])
            assert total == Decimal(node["rank"]["score"])


async def test_the_board_over_all_holds_every_kind(api: Api) -> None:
    position = await stocked(api)
    board = (
        await api.ask(
            "query ($p: Position!) @atLeast(position: $p) {"
            " rankBoard { nodes { slug kind rank { place } } } }",
            p=str(position),
        )
    )["rankBoard"]["nodes"]
    assert {node["slug"] for node in board} == {*(f"model-{n}" for n in range(5)), "tool"}
    # A place is among the artifact's kind, here as everywhere.
    assert next(n for n in board if n["slug"] == "tool")["rank"]["place"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("kind: ROBOT", "ROBOT"),
        ("first: 0", "1 to 100"),
        ("first: 101", "1 to 100"),
        ('after: "nonsense"', "not a cursor"),
        ('after: ""', "not a cursor"),
    ],
)
async def test_a_board_that_makes_no_sense_is_refused_clearly(
    api: Api, arguments: str, says: str
) -> None:
    error = await api.error("{ rankBoard(" + arguments + ") { nodes { slug } } }")
    assert error["extensions"]["code"] in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")
    assert says in error["message"]


async def test_a_cursor_of_another_board_is_refused(api: Api) -> None:
    position = await stocked(api)
    page = await api.ask(
        "query ($p: Position!) @atLeast(position: $p) {"
        " rankBoard(kind: MODEL, first: 1) { pageInfo { endCursor } } }",
        p=str(position),
    )
    cursor = page["rankBoard"]["pageInfo"]["endCursor"]
    assert (
        await api.code(
            "query ($after: String) { rankBoard(kind: CLI, after: $after) { nodes { slug } } }",
            after=cursor,
        )
        == "BAD_USER_INPUT"
    )


EXPLAIN = """
query ($slug: String!, $from: Position!, $to: Position) {
  explainRankChange(slug: $slug, from: $from, to: $to) {
    artifact { slug } moved
    before { position score policy calibration } after { position score policy calibration }
    parts { name moved before { points } after { points }
      inputs { name before { value normalised } after { value normalised position } } }
  }
}
"""


async def test_a_change_is_explained_by_part_and_input_and_adds_up(api: Api) -> None:
    before = await stocked(api)
    seen = await commands.observe_signal(
        api.store, BY, "model-1", signal("1000", source="github", on=1)
    )
    after = await commands.observe_signal(
        api.store, BY, "model-1", signal("1", name=SignalName.LICENCE, on=1)
    )
    said = (await api.ask(EXPLAIN, slug="model-1", **{"from": str(before), "to": str(after)}))[
        "explainRankChange"
    ]
    moved = Decimal(said["after"]["score"]) - Decimal(said["before"]["score"])
    assert Decimal(said["moved"]) == moved > 0
    assert sum(Decimal(part["moved"]) for part in said["parts"]) == moved
    assert said["before"]["calibration"] == said["after"]["calibration"] == str(before)
    assert said["after"]["policy"] is None
    parts = {part["name"]: part for part in said["parts"]}
    (stars,) = parts["ADOPTION"]["inputs"]
    assert (stars["before"]["value"], stars["after"]["value"]) == ("10", "1000")
    assert stars["after"]["position"] == str(seen)
    (licence,) = parts["QUALITY"]["inputs"]
    assert licence["before"] is None
    assert licence["after"] == {"value": "1", "normalised": 1.0, "position": str(after)}
    assert parts["FRESHNESS"] == {
        "name": "FRESHNESS",
        "moved": "0.000000",
        "before": parts["FRESHNESS"]["after"],
        "after": parts["FRESHNESS"]["before"],
        "inputs": [],
    }


HISTORY = """
position cursor slug listed score place before { score place } cause { topic position recordedAt }
parts { name points before }
"""


async def test_the_history_of_a_rank_names_each_cause_and_adds_up(api: Api) -> None:
    position = await stocked(api)
    query = (
        'query ($p: Position!, $after: String) @atLeast(position: $p) { artifact(slug: "gone") {'
        " rankHistory(first: 1, after: $after) { edges { cursor node {" + HISTORY + "} }"
        " pageInfo { hasNextPage endCursor } } } }"
    )
    found: list[Any] = []
    after = None
    while True:
        page = (await api.ask(query, p=str(position), after=after))["artifact"]["rankHistory"]
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert [one["cause"]["topic"] for one in found] == ["artifact.registered", "artifact.retired"]
    assert [one["listed"] for one in found] == [True, False]
    assert found[0]["before"] is None
    assert found[1]["before"] == {"score": found[0]["score"], "place": found[0]["place"]}
    assert await api.code(query, p=str(position), after="x") == "BAD_USER_INPUT"


async def test_the_changes_on_the_way_add_up_to_the_whole_move(api: Api) -> None:
    start = await stocked(api)
    for number in range(1, 4):
        end = await commands.observe_signal(
            api.store, BY, "model-1", signal(str(10**number), source="github", on=number)
        )
    said = (
        await api.ask(
            "query ($from: Position!, $to: Position!) {"
            ' explainRankChange(slug: "model-1", from: $from, to: $to) { moved'
            " changes(first: 100) { nodes { position score before { score } } } } }",
            **{"from": str(start), "to": str(end - 1)},
        )
    )["explainRankChange"]
    steps = said["changes"]["nodes"]
    # The first of them confirmed what was known, and the last one lies behind the end.
    assert [int(step["position"]) for step in steps] == [end - 1]
    moved = sum(Decimal(s["score"]) - Decimal(s["before"]["score"]) for s in steps)
    assert moved == Decimal(said["moved"]) > 0


async def test_an_explanation_leaves_the_fields_beside_it_alone(api: Api) -> None:
    position = await stocked(api)
    beside = (
        'artifact(slug: "model-4") { rank { score parts { points } } prices { provider } }'
        " rankBoard(kind: MODEL) { nodes { slug rank { score } } }"
    )
    why = 'explainRankChange(slug: "model-1", from: "0") { moved changes { nodes { position } } }'
    query = "query ($p: Position!) @atLeast(position: $p) {"
    alone = await api.ask(query + beside + "}", p=str(position))
    for fields in (f"{why} {beside}", f"{beside} {why}"):
        answer = await api.ask(query + fields + "}", p=str(position))
        assert answer.pop("explainRankChange")["moved"]
        assert answer == alone


async def test_a_retirement_is_told_as_one(api: Api) -> None:
    registered = await commands.register(
        api.store, BY, "gone", Kind.MODEL, Facts(name="gone"), provenance()
    )
    retired = await commands.retire(api.store, BY, "gone", "superseded")
    said = await api.ask(
        "query ($from: Position!, $to: Position!) {"
        ' explainRankChange(slug: "gone", from: $from, to: $to) {'
        " before { listed } after { listed } moved } }",
        **{"from": str(registered), "to": str(retired)},
    )
    assert said["explainRankChange"] == {
        "before": {"listed": True},
        "after": {"listed": False},
        "moved": "0.000000",
    }


async def test_before_it_was_registered_an_artifact_had_no_rank(api: Api) -> None:
    await stocked(api)
    said = (await api.ask(EXPLAIN, slug="model-0", **{"from": "0"}))["explainRankChange"]
    assert said["before"] is None
    assert said["moved"] == said["after"]["score"]


@pytest.mark.parametrize(
    ("from_", "to", "code"),
    [
        ("3", "2", "BAD_USER_INPUT"),
        ("0", "999999", "POSITION_IN_FUTURE"),
        ("999999", None, "POSITION_IN_FUTURE"),
        ("-1", None, "BAD_USER_INPUT"),
        ("one", None, "BAD_USER_INPUT"),
    ],
)
async def test_an_explanation_needs_two_positions_in_order(
    api: Api, from_: str, to: str | None, code: str
) -> None:
    await stocked(api, models=1)
    assert await api.code(EXPLAIN, slug="model-0", **{"from": from_, "to": to}) == code


async def test_there_is_nothing_to_explain_of_an_unknown_artifact(api: Api) -> None:
    assert await api.ask(EXPLAIN, slug="nothing", **{"from": "0"}) == {"explainRankChange": None}


async def test_a_policy_moves_all_of_a_kind_and_the_explanation_names_it(api: Api) -> None:
    before = await stocked(api)
    policy = {**POLICY, "adoption": "0.35", "quality": "0.15"}
    adopted = (await api.ask(ADOPT, kinds=[policy]))["adoptPolicy"]
    assert adopted["__typename"] == "PolicyAdopted"
    said = (
        await api.ask(EXPLAIN, slug="model-4", **{"from": str(before), "to": adopted["position"]})
    )["explainRankChange"]
    assert said["after"]["policy"] == adopted["position"]
    assert Decimal(said["moved"]) > 0
    policies = (
        await api.ask(
            "query ($p: Position!) @atLeast(position: $p) {"
            " rankPolicies { kind adoption quality halfLife } }",
            p=adopted["position"],
        )
    )["rankPolicies"]
    assert len(policies) == len(Kind)
    assert {"kind": "MODEL", "adoption": "0.35", "quality": "0.15", "halfLife": 90} in policies


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"adoption": "0.26"}, "WeightsDoNotAddUp"),
        ({"adoption": "-0.25", "quality": "0.75"}, "BadNumber"),
        ({"adoption": "NaN"}, "BadNumber"),
        ({"adoption": "0.2500001", "quality": "0.2499999"}, "BadNumber"),
        ({"halfLife": 0}, "BadNumber"),
        ({"halfLife": 2_000_000_000}, "BadNumber"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(
    api: Api, changed: dict[str, Any], refusal: str
) -> None:
    answer = await api.ask(ADOPT, kinds=[{**POLICY, **changed}])
    assert answer["adoptPolicy"]["__typename"] == refusal
    assert await api.store.head() == 0


async def test_a_policy_names_each_kind_once_and_at_least_one(api: Api) -> None:
    answer = await api.ask(ADOPT, kinds=[POLICY, POLICY])
    assert answer["adoptPolicy"]["__typename"] == "KindTwice"
    assert await api.code(ADOPT, kinds=[]) == "BAD_USER_INPUT"


async def test_the_calibration_in_force_can_be_read(api: Api) -> None:
    assert await api.ask("{ rankCalibration { day } }") == {"rankCalibration": None}
    position = await stocked(api)
    found = (
        await api.ask(
            "query ($p: Position!) @atLeast(position: $p) {"
            " rankCalibration { position day upTo scales { kind signal p99 observed } } }",
            p=str(position),
        )
    )["rankCalibration"]
    assert found["position"] == str(position)
    assert found["upTo"] == str(position - 1)
    assert {"kind": None, "signal": "STARS", "p99": "10000", "observed": 5} in found["scales"]


async def test_a_calibration_that_would_go_back_is_refused(api: Api) -> None:
    ahead = Scales(day=date(2026, 1, 1), up_to=1_000)
    await api.store.append([Calibration.calibrate(None, ahead)], BY)
    answer = await api.ask(
        "mutation { calibrateRanks { __typename"
        " ... on StaleCalibration { day upTo knownDay knownUpTo message } } }"
    )
    refused = answer["calibrateRanks"]
    assert refused["__typename"] == "StaleCalibration"
    assert (refused["knownDay"], refused["knownUpTo"]) == ("2026-01-01", "1000")
    assert int(refused["upTo"]) <= 1
    assert await api.store.head() == 1


async def test_repeating_a_calibration_with_its_key_changes_nothing(api: Api) -> None:
    keyed = (
        'mutation { calibrateRanks(idempotencyKey: "one") { ... on RanksCalibrated { position } } }'
    )
    assert await api.ask(keyed) == await api.ask(keyed)
    assert await api.store.head() == 1
