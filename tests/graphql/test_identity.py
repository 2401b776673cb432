"""Likely duplicates as a curator sees them, and what becomes of them."""

import pytest

from tests.graphql.client import Api
from tests.graphql.mutations import ARTIFACT, call
from tests.graphql.test_artifact import fresh

PAIRS = """
likelyDuplicates(first: 2) {
  nodes { left { slug } right { slug } confidence reasons { sign points left right } }
  pageInfo { hasNextPage endCursor }
}
"""


async def register(api: Api, *slugs: str) -> None:
    for slug in slugs:
        said = {**ARTIFACT, "slug": slug, "facts": {**ARTIFACT["facts"], "name": "Parser"}}
        await call(api, "registerArtifact", **said)


async def pairs(api: Api) -> list[tuple[str, str]]:
    nodes = (await fresh(api, f"{{ {PAIRS} }}"))["likelyDuplicates"]["nodes"]
    return [(node["left"]["slug"], node["right"]["slug"]) for node in nodes]


async def test_likely_duplicates_come_with_their_reasons_page_by_page(api: Api) -> None:
    await register(api, "parser", "pars-er", "parse-r")
    page = (await fresh(api, f"{{ {PAIRS} }}"))["likelyDuplicates"]
    assert page["pageInfo"]["hasNextPage"]
    for node in page["nodes"]:
        assert 0.8 <= node["confidence"] <= 1
        assert {"sign": "SAME_NAME", "points": 5.0, "left": "Parser", "right": "Parser"} in node[
            "reasons"
        ]
    rest = await api.ask(
        "query ($after: String) { likelyDuplicates(after: $after) { nodes { left { slug } } } }",
        after=page["pageInfo"]["endCursor"],
    )
    assert len(rest["likelyDuplicates"]["nodes"]) == 1


async def test_what_is_merged_or_told_apart_is_listed_no_longer(api: Api) -> None:
    await register(api, "parser", "pars-er")
    assert await pairs(api) == [("parser", "pars-er")]
    await call(api, "mergeArtifact", slug="pars-er", into="parser")
    assert await pairs(api) == []
    await call(api, "unmergeArtifact", slug="pars-er")
    assert await pairs(api) == [("parser", "pars-er")]
    answer = await call(api, "tellApart", slug="pars-er", **{"from": "parser"})
    assert answer["__typename"] == "ArtifactToldApart"
    assert await pairs(api) == []


@pytest.mark.parametrize("confidence", [-0.1, 1.1])
async def test_a_confidence_runs_from_0_to_1(api: Api, confidence: float) -> None:
    error = await api.error(
        f"{{ likelyDuplicates(minConfidence: {confidence}) {{ nodes {{ confidence }} }} }}"
    )
    assert "minConfidence" in error["message"]
