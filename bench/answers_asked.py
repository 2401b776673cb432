"""What is asked of each server of answers.py, and how its answer is read.

All are asked for the same facts, in the words of each; matchgraph and the same schema in plain
Strawberry also for what they make of two artifacts: rows, aligned capabilities, a verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

OURS = "matchgraph"
FRESH = "matchgraph, nothing cached"
FACTS_ALONE = "matchgraph, facts alone"
FRESH_FACTS = "matchgraph, facts alone, nothing cached"
FLOOR = "Starlette, the same bytes"
PLAIN = "the same schema in plain Strawberry"
SQL = "Starlette, asyncpg, hand-written SQL"
POSTGRAPHILE = "PostGraphile"
MERCURIUS = "mercurius, one statement, JIT"

LISTED = """slug kind status name description vendor family licence openWeights selfHostable
  homepage released knowledgeCutoff contextTokens outputTokens inputTypes outputTypes"""
PRICES = "prices { provider pricing amount currency per tier source observedAt }"
RANK = "rank { score low high coverage position place band parts { name points } }"
FACTS = f"""{LISTED} {PRICES} {RANK} signals {{ name value source method observedAt }}
  capabilities(first: 100) {{ nodes {{ key name description unique versusAlternatives
  intents bestFor limitations requires inputTypes outputTypes tags
  provenance {{ method source observedAt }} }} }}"""
COMPARE = f"query ($slugs: [String!]!) {{ compare(slugs: $slugs) {{ artifacts {{ {FACTS} }} }} }}"
COMPARE_OURS = f"""query ($slugs: [String!]!) {{ compare(slugs: $slugs) {{
  position artifacts {{ {FACTS} }} rows {{ name values favours {{ outcome slug }} }}
  aligned {{ left {{ key name }} right {{ key name }} similarity }}
  onlyIn {{ artifact {{ slug }} capabilities {{ key name }} }}
  headToHead {{ together leftBetter rightBetter low high }}
  verdict {{ outcome winner margin confidence facts {{ name favours sentence }} sentence }} }} }}"""
ARTIFACT = f"query ($slug: String!) {{ artifact(slug: $slug) {{ {LISTED} {PRICES} {RANK} }} }}"
LINE = f"nodes {{ slug name vendor {RANK} }}"
BOARD_OURS = f"""query ($kind: ArtifactKind, $after: String) {{
  rankBoard(kind: $kind, first: 20, after: $after) {{ position {LINE}
  pageInfo {{ hasNextPage endCursor }} }} }}"""
BOARD = f"""query ($kind: String!, $standing: Int, $id: ID) {{
  rankBoard(kind: $kind, standing: $standing, id: $id) {{ {LINE} }} }}"""

ROWS_RANK = """rank { score low high coverage position place band adoption quality ecosystem
  matchGraph freshness }"""
ROWS_PRICES = "prices { nodes { provider pricing amount currency per tier source observedAt } }"
ROWS_COMPARE = f"""query ($left: String!, $right: String!) {{
  left: artifactListingBySlug(slug: $left) {{ ...Facts }}
  right: artifactListingBySlug(slug: $right) {{ ...Facts }} }}
  fragment Facts on ArtifactListing {{ {LISTED} {ROWS_PRICES} {ROWS_RANK}
  signals {{ nodes {{ name value source method observedAt }} }}
  capabilities {{ nodes {{ key name description uniqueClaim versusAlternatives intents bestFor
  limitations requires inputTypes outputTypes tags method source observedAt }} }} }}"""
ROWS_ARTIFACT = f"""query ($slug: String!) {{
  artifactListingBySlug(slug: $slug) {{ {LISTED} {ROWS_PRICES} {ROWS_RANK} }} }}"""
ROWS_BOARD = """query ($kind: String!, $offset: Int!) {
  allRankBoards(condition: {kind: $kind}, first: 20, offset: $offset,
    orderBy: [STANDING_DESC, ARTIFACT_ID_ASC]) { nodes {
  score low high coverage position place band adoption quality ecosystem matchGraph freshness
  artifactListingByArtifactId { slug name vendor } } } }"""


@dataclass(frozen=True)
class Page:
    """A page of a board: the `number`th of its kind, behind that cursor, which is of the artifact
    with that standing and id."""

    kind: str
    number: int
    after: str | None
    standing: int | None
    id: str | None


@dataclass(frozen=True)
class Question:
    """A document, the variables for a subject (two slugs, one, or a Page), the artifacts in the
    answer's data, and where and with what headers it is sent."""

    document: str
    variables: Callable[[Any], Mapping[str, Any]]
    artifacts: Callable[[Any], list[Any]]
    path: str = "/graphql"
    headers: Mapping[str, str] = field(default_factory=dict)


def _behind(page: Page) -> Mapping[str, Any]:
    return {"kind": page.kind, "standing": page.standing, "id": page.id}


def _listed(data: Any) -> list[Any]:
    return [{**row, **row["artifactListingByArtifactId"]} for row in data["allRankBoards"]["nodes"]]


def _asked(ours: Question, facts: Question, rows: Question, path: str) -> dict[str, Question]:
    """By server; the hand-written one is asked by path and variables alone. Where the others give
    less than matchgraph, it is asked for no more as well."""
    by_hand = Question("", facts.variables, facts.artifacts, path)
    alone = {FACTS_ALONE: facts, FRESH_FACTS: _anew(facts)} if ours.document == COMPARE_OURS else {}
    return {
        OURS: ours,
        FRESH: _anew(ours),
        **alone,
        FLOOR: replace(ours, path=path),
        PLAIN: ours,
        SQL: by_hand,
        POSTGRAPHILE: rows,
        MERCURIUS: facts,
    }


def _anew(question: Question) -> Question:
    return replace(question, headers={"Cache-Control": "no-cache"})


def _slugs(two: Any) -> Mapping[str, Any]:
    return {"slugs": two}


def _slug(one: Any) -> Mapping[str, Any]:
    return {"slug": one}


QUESTIONS: dict[str, dict[str, Question]] = {
    "compare": _asked(
        Question(COMPARE_OURS, _slugs, lambda data: list(data["compare"]["artifacts"])),
        Question(COMPARE, _slugs, lambda data: list(data["compare"]["artifacts"])),
        Question(
            ROWS_COMPARE,
            lambda two: dict(zip(("left", "right"), two, strict=True)),
            lambda data: [data["left"], data["right"]],
        ),
        "/compare",
    ),
    "board": _asked(
        Question(
            BOARD_OURS,
            lambda page: {"kind": page.kind, "after": page.after},
            lambda data: list(data["rankBoard"]["nodes"]),
        ),
        Question(BOARD, _behind, lambda data: list(data["rankBoard"]["nodes"])),
        Question(
            ROWS_BOARD,
            lambda page: {"kind": page.kind.lower(), "offset": 20 * page.number},
            _listed,
        ),
        "/board",
    ),
    "artifact": _asked(
        Question(ARTIFACT, _slug, lambda data: [data["artifact"]]),
        Question(ARTIFACT, _slug, lambda data: [data["artifact"]]),
        Question(ROWS_ARTIFACT, _slug, lambda data: [data["artifactListingBySlug"]]),
        "/artifact",
    ),
}


def facts(artifact: Any) -> tuple[object, ...]:
    """What every server says of an artifact, in one form."""
    # What PostGraphile gives is a row, and of a board, its line.
    rank = artifact.get("rank", artifact)
    return (
        artifact["slug"],
        artifact["name"],
        artifact["vendor"],
        artifact.get("description"),
        [_points(rank[name]) for name in ("score", "low", "high")],
        [_points(points) for points in _parts(rank)],
        sorted(
            (one["provider"], str(one["per"]).lower(), str(one["tier"]), _amount(one["amount"]))
            for one in _nodes(artifact.get("prices", []))
        ),
        sorted(
            (one["key"], one["description"], *one["intents"])
            for one in _nodes(artifact.get("capabilities", []))
        ),
        sorted(
            (one["name"].lower(), one["source"], Decimal(one["value"]))
            for one in _nodes(artifact.get("signals", []))
        ),
    )


def _nodes(said: Any) -> list[Any]:
    return list(said["nodes"] if isinstance(said, dict) else said)


def _parts(rank: Any) -> list[Any]:
    if "parts" in rank:
        return [part["points"] for part in rank["parts"]]
    return [rank[name] for name in ("adoption", "quality", "ecosystem", "matchGraph", "freshness")]


def _points(said: Any) -> Decimal:
    return Decimal(said).scaleb(-6) if isinstance(said, int) else Decimal(said)


def _amount(said: Any) -> Decimal:
    return Decimal(-1 if said is None else said)
