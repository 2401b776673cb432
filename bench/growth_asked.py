"""What is asked of catalogs of any size: every sort of question that clients ask, of artifacts
drawn at random, of first pages and of pages in the middle. Read by growth.py and by the tests of
query plans.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import asyncpg

from bench.answers_asked import BOARD_OURS, COMPARE_OURS, FACTS
from matchgraph.projections.rank_cache import inverted
from matchgraph.queries.page import encode

# So many artifacts are asked about, of which every one has its whole history in the log.
DRAWN = 400
SELECTED = "slug name kind vendor pricing startingPrice { amount } rank { score place }"
PAGE = "pageInfo { hasNextPage endCursor }"
LIST = f"""query ($filter: ArtifactFilter, $order: ArtifactOrder! = SLUG, $after: String) {{
  artifacts(filter: $filter, orderBy: $order, first: 20, after: $after) {{
  nodes {{ {SELECTED} }} {PAGE} }} }}"""
EVENTS = f"""query ($filter: EventFilter, $after: String) {{
  events(filter: $filter, first: 20, after: $after) {{
  nodes {{ position topic summary changes {{ __typename }} artifact {{ slug }} }} {PAGE} }} }}"""
SEARCH = f"""query ($need: Need!) {{ search(need: $need, first: 10) {{ searchId
  nodes {{ place score reasons {{ kind sentence }} lacks outcomeToken capability {{ key name }}
  artifact {{ {SELECTED} }} }} nothingFits {{ __typename }} }} }}"""
ONE = "query ($slug: String!, $then: AsOf) {{ artifact(slug: $slug, asOf: $then) {{ {} }} }}"


class Subjects:
    """What is asked about, in one database."""

    def __init__(
        self,
        slugs: Sequence[str],
        cursors: dict[str, str],
        head: int,
        facts: dict[str, list[str]],
    ) -> None:
        self.slugs = slugs
        self.cursors = cursors
        self.head = head
        self.facts = facts


Variables = Callable[[Subjects, Random], dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """One sort of question. `why` says why it may take longer the larger the catalog is, if it may;
    it `searches` if what needs are found by has to be there."""

    name: str
    document: str
    variables: Variables
    why: str | None = None
    searches: bool = False


async def subjects(db: "asyncpg.Connection[asyncpg.Record]") -> Subjects:
    """What to ask about in the database, the same each time."""
    rows = await db.fetch(
        "SELECT slug FROM artifact_listing WHERE status = 'active' AND EXISTS ("
        " SELECT FROM event WHERE originator_id = id) ORDER BY md5(slug) LIMIT $1",
        DRAWN,
    )
    head = await db.fetchval("SELECT max(position) FROM event")

    async def middle(order: str, *keys: str, of: str = "status = 'active'") -> str:
        row = await db.fetchrow(
            f"SELECT {', '.join(keys)} FROM artifact_listing l JOIN rank_board b ON b.artifact_id ="
            f" l.id WHERE {of} AND place > 0 ORDER BY {order} OFFSET (SELECT count(*) / 2 FROM"
            f" artifact_listing l WHERE {of}) LIMIT 1"
        )
        assert row is not None, "there are more than that"
        return encode(_ORDERS[order], list(row))

    cursors = {
        "slug": await middle("slug", "slug"),
        "release": await middle("released DESC NULLS LAST, slug", "released", "slug"),
        "registration": await middle("registered_position DESC", "registered_position"),
    }
    for kind in (None, "model"):
        row = await db.fetchrow(
            "SELECT standing, artifact_id FROM rank_board WHERE place > 0"
            " AND ($1::text IS NULL OR kind = $1) ORDER BY standing DESC, artifact_id"
            " OFFSET (SELECT count(*) / 2 FROM rank_board WHERE place > 0"
            " AND ($1::text IS NULL OR kind = $1)) LIMIT 1",
            kind,
        )
        assert row is not None, "there are more than that"
        cursors[f"board {kind}"] = encode(
            f"rank_board/{kind or 'all'}", [inverted(row["standing"]), row["artifact_id"]]
        )
    facts = {}
    for fact in ("vendor", "licence", "family"):
        found = await db.fetch(
            f"SELECT {fact} FROM artifact_listing WHERE {fact} IS NOT NULL AND status = 'active'"
            f" GROUP BY 1 ORDER BY count(*) DESC, 1"
        )
        facts[fact] = [row[0] for row in found]
    return Subjects([row["slug"] for row in rows], cursors, int(head), facts)


_ORDERS = {
    "slug": "slug",
    "released DESC NULLS LAST, slug": "newest_release",
    "registered_position DESC": "newest_registration",
}


def _one(about: Subjects, chance: Random) -> dict[str, Any]:
    return {"slug": chance.choice(about.slugs)}


def _then(about: Subjects, chance: Random) -> dict[str, Any]:
    return {**_one(about, chance), "then": {"position": str(_moment(about, chance))}}


def _moment(about: Subjects, chance: Random) -> int:
    return chance.randrange(about.head // 2, about.head)


def _fixed(**variables: Any) -> Variables:
    return lambda about, chance: variables


def _listed(order: str = "SLUG", after: str | None = None, **filter: Any) -> Variables:
    return lambda about, chance: {
        "filter": filter or None,
        "order": order,
        "after": None if after is None else about.cursors[after],
    }


def _of(fact: str, name: str, place: int) -> Variables:
    """Artifacts of the vendor, licence … of that place among the most frequent ones."""
    return lambda about, chance: {"filter": {name: [about.facts[fact][place]]}}


def _board(kind: str | None, after: str | None = None) -> Variables:
    return lambda about, chance: {
        "kind": kind,
        "after": None if after is None else about.cursors[after],
    }


def _events(**filter: Any) -> Variables:
    return lambda about, chance: {"filter": filter or None}


NEEDS = (
    "reasoning model with tool calls",
    "transcribe recorded meetings",
    "search the web and cite sources",
    "turn a picture into a video",
    "review code and find bugs",
)


def _need(**more: Any) -> Variables:
    return lambda about, chance: {"need": {"text": chance.choice(NEEDS), **more}}


WHOLE = f"""{FACTS} aliases capabilityCount timesMatched
  priceHistory {{ nodes {{ provider observedAt price {{ amount }} }} }}
  rankHistory {{ nodes {{ position score place parts {{ name points }} }} }}
  matchEdges {{ nodes {{ intent shown chosen capability {{ key }} }} }}"""
# Its place is asked for by itself.
THEN = FACTS.replace("coverage position place band", "coverage position")
QUESTIONS: tuple[Question, ...] = (
    Question("artifact with all of it", ONE.format(WHOLE), _one),
    Question(
        "artifact: history",
        ONE.format("history { nodes { position topic summary changes { __typename } } }"),
        _one,
    ),
    Question(
        "artifact: price and rank series",
        ONE.replace("$slug: String!", "$slug: String!, $provider: String!").format(
            "priceSeries(provider: $provider, per: INPUT_TOKEN) { provider points { at value } }"
            " rankSeries { points { at value place } }"
        ),
        lambda about, chance: {**_one(about, chance), "provider": "openrouter"},
    ),
    Question(
        "artifact: alternatives",
        ONE.format("alternatives { artifact { slug } }"),
        _one,
        searches=True,
    ),
    Question(
        "compare two",
        COMPARE_OURS,
        lambda about, chance: {"slugs": chance.sample(about.slugs, 2)},
    ),
    Question("list, first page", LIST, _listed()),
    Question("list, from the middle", LIST, _listed(after="slug")),
    Question("list by release, first page", LIST, _listed("NEWEST_RELEASE")),
    Question("list by release, from the middle", LIST, _listed("NEWEST_RELEASE", "release")),
    Question("list by registration, first page", LIST, _listed("NEWEST_REGISTRATION")),
    Question(
        "list by registration, from the middle",
        LIST,
        _listed("NEWEST_REGISTRATION", "registration"),
    ),
    Question("list of a kind, by release", LIST, _listed("NEWEST_RELEASE", kinds=["MODEL"])),
    Question("list of a rare kind", LIST, _listed(kinds=["SKILL"])),
    Question("list of a frequent vendor", LIST, _of("vendor", "vendors", 0)),
    Question("list of a rare vendor", LIST, _of("vendor", "vendors", -1)),
    Question("list of a rare licence", LIST, _of("licence", "licences", -1)),
    Question("list of a rare family", LIST, _of("family", "families", -1)),
    Question("list of what is free", LIST, _listed(pricing=["FREE"])),
    Question("list of a capability", LIST, _listed(capabilities=["structured-output"])),
    Question("board of a kind, first page", BOARD_OURS, _board("MODEL")),
    Question("board of a kind, from the middle", BOARD_OURS, _board("MODEL", "board model")),
    Question("board over all, first page", BOARD_OURS, _board(None)),
    Question("board over all, from the middle", BOARD_OURS, _board(None, "board None")),
    Question("events, newest", EVENTS, _events()),
    Question(
        "events of an artifact",
        EVENTS,
        lambda about, chance: {"filter": {"artifact": chance.choice(about.slugs)}},
    ),
    Question("events of a topic", EVENTS, _events(topics=["artifact.described"])),
    Question("events of an actor", EVENTS, _events(actor="bench")),
    Question(
        "what changed",
        """query ($slug: String!, $from: AsOf!) { whatChanged(slug: $slug, from: $from) {
          changes { __typename } rank { __typename } } }""",
        lambda about, chance: {
            **_one(about, chance),
            "from": {"position": str(_moment(about, chance))},
        },
    ),
    Question(
        "why a rank moved",
        """query ($slug: String!, $from: Position!) { explainRankChange(slug: $slug, from: $from) {
          moved parts { __typename } changes { nodes { position } } } }""",
        lambda about, chance: {**_one(about, chance), "from": str(_moment(about, chance))},
    ),
    Question("artifact as of then", ONE.format(f"{THEN} aliases"), _then),
    Question("search by words and meaning", SEARCH, _need(), searches=True),
    Question(
        "search under a condition",
        SEARCH,
        _need(where={"kinds": ["MODEL"]}),
        searches=True,
    ),
    Question(
        "search like an artifact",
        SEARCH,
        lambda about, chance: {"need": {"like": [chance.choice(about.slugs)]}},
        searches=True,
    ),
    Question(
        "search that nothing fits",
        SEARCH,
        _fixed(need={"text": "qxzvkwj"}),
        searches=True,
    ),
    Question(
        "where the log stands",
        "{ position { head reached } rankPolicies { kind } rankCalibration { day } }",
        _fixed(),
    ),
    Question(
        "list as of then",
        LIST.replace("name kind", "kind")
        .replace("rank { score place }", "")
        .replace("$after: String", "$after: String, $then: AsOf")
        .replace("after: $after", "after: $after, asOf: $then"),
        lambda about, chance: {
            "then": {"position": str(_moment(about, chance))},
            "after": about.cursors["slug"],
        },
    ),
    Question(
        "place as of then",
        ONE.format("rank { score place band }"),
        _then,
        why="a board of then is put together whole",
    ),
    Question(
        "board as of then",
        BOARD_OURS.replace("$after: String", "$after: String, $then: AsOf").replace(
            "after: $after", "after: $after, asOf: $then"
        ),
        lambda about, chance: {
            "kind": "MODEL",
            "then": {"position": str(_moment(about, chance))},
        },
        why="a board of then is put together whole",
    ),
    Question(
        "how many are of a vendor",
        "query ($filter: ArtifactFilter) { artifacts(filter: $filter, first: 1) { totalCount } }",
        _of("vendor", "vendors", 0),
        why="what is counted is read, by index",
    ),
)
