"""A or B: two to five artifacts side by side, in a few statements however much they can do, and
which is the better one."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from matchgraph import embedding
from matchgraph.commands.catalog import take_in
from matchgraph.domain.alignment import align
from matchgraph.domain.artifact import id_of
from matchgraph.domain.ranking import ADOPTION, CHECKLIST, ECOSYSTEM
from matchgraph.domain.search import Outcome, Served
from matchgraph.eventstore.store import Request, Store
from matchgraph.eventstore.tasks import stop
from matchgraph.imports import manifest, models_dev
from matchgraph.queries.meaning import Texts, near
from matchgraph.servers import Servers
from tests.conftest import project
from tests.domain.test_alignment import can
from tests.graphql.client import Api, serving
from tests.graphql.mutations import (
    ARTIFACT,
    AT,
    CAPABILITY,
    LATER,
    LATEST,
    PRICE,
    SIGNAL,
    call,
    furnish,
)
from tests.projections.searches import Log

COMPARE = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  position artifacts { slug } rows { name values favours { outcome slug } } } }"""
VERDICT = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  asked { slug leadsTo redirected }
  rows { name values favours { outcome slug } }
  alignedBy aligned { left { key } right { key } leftArtifact { slug } rightArtifact { slug }
    similarity }
  similar { left { key } right { key } similarity }
  shared { name members { artifact { slug } capability { key } } }
  onlyIn { artifact { slug } capabilities { key } }
  headToHead { left { slug } right { slug } together leftBetter rightBetter neither
    leftShare low high }
  verdict { outcome winner margin confidence sentence facts { name favours values sentence } } } }
"""
SHORT = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  alignedBy verdict { outcome } } }"""
# Everything that can be asked of the artifacts beside the table.
ALL = """query ($slugs: [String!]!) { compare(slugs: $slugs) {
  position rows { name values favours { outcome slug } }
  aligned { left { key } } similar { left { key } } shared { name } onlyIn { artifact { slug } }
  headToHead { together } verdict { outcome }
  artifacts { slug aliases capabilityCount pricing startingPrice { amount } prices { amount }
    signals { value } capabilities(first: 100) { nodes { key tags provenance { source } } }
    priceHistory { nodes { price { amount } } } } } }"""


@pytest.fixture
async def furnished(url: str, servers: Servers) -> AsyncIterator[Api]:
    async with serving(url, servers.redis_url) as api:
        await furnish(api)
        extra = [
            {
                **ARTIFACT,
                "slug": f"big-{n}",
                "facts": {"name": f"Big {n}", "contextTokens": 1_000 * (n + 1)},
                "aliases": [f"alias-{n}"],
                "signals": [SIGNAL],
                "prices": [{**PRICE, "amount": f"0.{n + 1:02}"}],
                "capabilities": [
                    {**CAPABILITY, "key": f"can-{number}", "tags": ["t"]}
                    for number in range(50 if n < 5 else 3)
                ],
            }
            for n in range(10)
        ]
        answer = await call(api, "importArtifacts", artifacts=extra)
        await api.ask(f'query @atLeast(position: "{answer["position"]}") {{ position {{ head }} }}')
        yield api


async def test_two_artifacts_are_compared_row_by_row(furnished: Api) -> None:
    found = (await furnished.ask(COMPARE, slugs=["big-0", "big-9"]))["compare"]
    assert [one["slug"] for one in found["artifacts"]] == ["big-0", "big-9"]
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["KIND"] == {
        "name": "KIND",
        "values": ["model", "model"],
        "favours": {"outcome": "NEITHER", "slug": None},
    }
    assert rows["CONTEXT_TOKENS"]["values"] == ["1,000", "10,000"]
    assert rows["CONTEXT_TOKENS"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-9"}
    assert rows["CAPABILITY_COUNT"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-0"}
    assert rows["STARTING_PRICE"]["favours"] == {"outcome": "ARTIFACT", "slug": "big-0"}
    assert rows["STARTING_PRICE"]["values"][0] == (
        "USD 10000 per 1M input tokens from acme, seen 2026-01-01"
    )
    assert rows["RELEASED"]["favours"] == {"outcome": "UNKNOWN", "slug": None}
    assert int(found["position"]) == await furnished.store.head()


async def test_as_many_as_five_are_compared_under_any_of_their_slugs(furnished: Api) -> None:
    slugs = ["tables", "big-1", "alias-2", "gone", "other"]
    found = (await furnished.ask(COMPARE, slugs=slugs))["compare"]
    assert [one["slug"] for one in found["artifacts"]] == [
        *("parser", "big-1", "big-2", "gone", "other"),
    ]
    assert all(len(row["values"]) == 5 for row in found["rows"])


NOT_COMPARED: list[tuple[list[str], str]] = [
    ([], "names 0 artifacts"),
    (["parser"], "names 1 artifacts"),
    (["big-0", "big-1", "big-2", "big-3", "big-4", "big-5"], "compare 2 to 5"),
    (["parser", "parser"], "twice"),
    (["parser", "tables"], "twice"),
    (["twin", "parser"], "twice"),
    (["parser", "\0"], "cannot be stored"),
    (["parser", "x" * 10_001], "at most"),
]


async def test_what_cannot_be_compared_says_why(furnished: Api) -> None:
    for slugs, words in NOT_COMPARED:
        error = await furnished.error(COMPARE, slugs=slugs)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert words in error["message"]


async def test_an_artifact_with_itself_is_refused_with_both_its_slugs(furnished: Api) -> None:
    error = await furnished.error(VERDICT, slugs=["tables", "big-1", "twin"])
    assert error["message"] == (
        "`slugs` names one artifact twice: 'tables' and 'twin' both lead to 'parser'; compare"
        " different ones."
    )
    assert error["extensions"] == {
        "code": "BAD_USER_INPUT",
        "slugs": ["tables", "twin"],
        "leadsTo": "parser",
    }


async def test_an_unknown_slug_is_named(furnished: Api) -> None:
    error = await furnished.error(COMPARE, slugs=["parser", "nothing", "removed"])
    assert error["extensions"] == {"code": "UNKNOWN_ARTIFACT", "slugs": ["nothing", "removed"]}
    assert "'nothing'" in error["message"]


async def statements(api: Api, query: str, **variables: Any) -> list[str]:
    """What the application asked the database for one answer."""
    asked: list[str] = []

    def log(record: Any) -> None:
        asked.append(record.query)

    for pool in (api.pool, api.app.state.dossiers.pool):
        await pool.expire_connections()
        connections = [await pool.acquire() for _ in range(pool.get_max_size())]
        for connection in connections:
            connection.add_query_logger(log)
            await pool.release(connection)
    await api.ask(query, **variables)
    # Beside these there are BEGIN and ROLLBACK, and what asyncpg wants to know once a connection.
    return [
        query
        for query in asked
        if re.search(r"FROM \w*(_listing|_board|price_|_alias|common_|match_|search_)", query)
        or "led" in query
    ]


@pytest.mark.parametrize("query", [COMPARE, VERDICT, ALL])
async def test_a_comparison_takes_as_many_statements_whatever_is_compared(
    furnished: Api, query: str
) -> None:
    few = await statements(furnished, query, slugs=["big-5", "big-6"])
    assert 4 <= len(few) <= 12, few
    assert len(set(few)) == len(few), "each relation once"
    for number, slugs in enumerate(SOME):
        # As another document, since one that is known is answered on a shorter way.
        again = f"{query} # {number}"
        assert len(await statements(furnished, again, slugs=slugs)) == len(few)


SOME = (
    ["big-0", "big-1"],
    ["big-0", "big-1", "big-2", "big-3", "big-4"],
    ["big-5", "big-6", "big-7", "big-8", "big-9"],
)


@pytest.mark.parametrize(("query", "most"), [(COMPARE, 1), (VERDICT, 4)])
async def test_a_comparison_by_a_known_document_takes_dossiers_and_vectors(
    furnished: Api, query: str, most: int
) -> None:
    for _ in range(2):
        await furnished.ask(query, slugs=["big-5", "big-6"])
    for slugs in SOME:
        taken = await statements(furnished, query, slugs=slugs)
        assert 1 <= len(taken) <= most, taken
        assert sum("led" in statement for statement in taken) == 1, taken


async def test_others_are_answered_while_hundreds_of_capabilities_are_compared(
    url: str, api: Api
) -> None:
    drawn = random.Random(1)
    words = [
        "reads",
        "writes",
        "tables",
        "invoices",
        "speech",
        "maps",
        "images",
        "translates",
        "generates",
        "answers",
    ]

    def some(many: int) -> str:
        return " ".join(drawn.choices(words, k=many))

    several = [
        {
            **ARTIFACT,
            "slug": f"able-{n}",
            "capabilities": [
                {
                    **CAPABILITY,
                    "key": f"can-{n}-{number}",
                    "name": some(4),
                    "description": some(30),
                    "intents": [some(6), some(5)],
                }
                for number in range(100)
            ],
        }
        for n in range(5)
    ]
    slugs = [one["slug"] for one in several]
    await seen(api, (await call(api, "importArtifacts", artifacts=several))["position"])
    admin = await asyncpg.connect(url)
    await admin.execute("ANALYZE")
    await admin.close()
    sides = [
        [
            can(one["key"], one["name"], one["description"], intents=tuple(one["intents"]))
            for one in artifact["capabilities"]
        ]
        for artifact in several
    ]
    alone, silences = [], []
    for _ in range(3):
        begun = time.perf_counter()
        whole = near([Texts.of(one, "x") for side in sides for one in side]).tolist()
        for left, right in combinations(range(5), 2):
            rows = whole[left * 100 : left * 100 + 100]
            align(sides[left], sides[right], [row[right * 100 :][:100] for row in rows])
        alone.append(time.perf_counter() - begun)
        async with listening() as silence:
            await api.ask(SHORT, slugs=slugs)
        silences.append(max(silence))
    assert min(silences) < min(alone) / 2, (silences, alone)


@asynccontextmanager
async def listening() -> AsyncIterator[list[float]]:
    """For how long at a time nobody else had a turn on the event loop."""
    silences = [0.0]

    async def listen() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            silences.append(time.perf_counter() - begun)

    task = asyncio.create_task(listen())
    try:
        yield silences
    finally:
        await stop(task)


async def test_a_list_takes_as_many_statements_however_long_it_is(furnished: Api) -> None:
    query = """query ($first: Int!) { artifacts(first: $first) { totalCount nodes { slug aliases
      capabilityCount startingPrice { amount } signals { value }
      capabilities(first: 2) { nodes { key } } } } }"""
    few = await statements(furnished, query, first=1)
    assert len(await statements(furnished, f"{query} # again", first=14)) == len(few) <= 7
    taken = await statements(furnished, query, first=14)
    assert len(taken) == 5, "the list, its length, dossiers, aliases, where they stand"


ROOT = Path(__file__).parents[2]


def model(slug: str, level: float | None = None, **said: Any) -> dict[str, Any]:
    """A model, with every signal at that share of what is possible."""
    signals = (
        []
        if level is None
        else [
            {
                "name": name.upper(),
                "value": value,
                "source": "x",
                "observedAt": AT,
                "method": "VERIFIED",
            }
            for name, value in (
                *((name, str(round(10_000_000**level))) for name in (*ADOPTION, *ECOSYSTEM)),
                *((name, str(int(place < level * 10))) for place, name in enumerate(CHECKLIST)),
            )
        ]
    )
    return {
        **ARTIFACT,
        "slug": slug,
        "facts": {"name": slug.title(), "released": "2025-06-01", **said.pop("facts", {})},
        "signals": signals,
        "capabilities": [CAPABILITY],
        **said,
    }


SEES = {
    **CAPABILITY,
    "key": "grounding",
    "name": "Visually grounded text generation",
    "description": "Writes text about what pictures show.",
}
PAINTS = {
    **CAPABILITY,
    "key": "lettering",
    "name": "Readable text rendering inside images",
    "description": "Writes text into what pictures show.",
}


def asks(amount: str, provider: str = "acme", per: str = "INPUT_TOKEN", on: str = AT) -> Any:
    return {**PRICE, "provider": provider, "amount": amount, "per": per, "observedAt": on}


@pytest.fixture
async def ranked(api: Api) -> Api:
    """Models of which much is known, or nothing, ranked by a calibration."""
    await call(
        api,
        "importArtifacts",
        artifacts=[
            model("strong", 0.95, prices=[asks("0.000003"), asks("0.000002", "b", on=LATER)]),
            model("weak", 0.05, prices=[asks("0.000005"), asks("0.000004", "c", on=LATEST)]),
            model("middling", 0.46, aliases=["medium"]),
            model("close", 0.50, prices=[{**PRICE, **UNPRICED}]),
            model("old", 0.95),
            model("twin", 0.30),
            model("blank", facts={"released": None}, capabilities=[]),
            model("empty", facts={"released": None}, capabilities=[]),
            model("sees", 0.9, capabilities=[SEES]),
            model("paints", 0.1, capabilities=[PAINTS]),
        ],
    )
    await call(api, "retireArtifact", slug="old", reason="superseded")
    merged = await call(api, "mergeArtifact", slug="twin", into="weak")
    # What a calibration measures is what the read models hold.
    await seen(api, merged["position"])
    await seen(api, (await call(api, "calibrateRanks"))["position"])
    return api


async def seen(api: Api, position: object) -> None:
    """Waits until what is read includes that position."""
    await api.ask(f'query @atLeast(position: "{position}") {{ position {{ head }} }}')


UNPRICED = {"pricing": "UNKNOWN", "amount": None, "currency": None, "per": None}


async def compared(api: Api, *slugs: str) -> Any:
    return (await api.ask(VERDICT, slugs=list(slugs)))["compare"]


def fact(found: Any, name: str) -> Any:
    (one,) = (fact for fact in found["verdict"]["facts"] if fact["name"] == name)
    return one


def row(found: Any, name: str) -> Any:
    (one,) = (row for row in found["rows"] if row["name"] == name)
    return one


async def test_a_large_gap_within_one_kind_has_a_clear_winner(ranked: Api) -> None:
    found = await compared(ranked, "weak", "strong")
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["winner"]) == ("CLEAR_WINNER", "strong")
    assert float(verdict["margin"]) > 20
    assert verdict["confidence"] > 0.95
    assert [one["name"] for one in verdict["facts"][:2]] == ["RANK", "BAND"]
    assert [one["favours"] for one in verdict["facts"][:2]] == ["strong", "strong"]
    assert verdict["sentence"].startswith("Strong is the clear winner: of 100 points Strong ")
    assert row(found, "RANK")["favours"] == {"outcome": "ARTIFACT", "slug": "strong"}
    assert [one["left"]["key"] for one in found["aligned"]] == ["parse-tables"]
    assert found["headToHead"] == [
        {
            "left": {"slug": "weak"},
            "right": {"slug": "strong"},
            **dict.fromkeys(("together", "leftBetter", "rightBetter", "neither"), 0),
            **dict.fromkeys(("leftShare", "low", "high")),
        }
    ]


async def test_a_small_gap_with_overlapping_intervals_has_no_winner(ranked: Api) -> None:
    found = await compared(ranked, "middling", "close")
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["winner"]) == ("NO_CLEAR_WINNER", None)
    assert 0 < float(verdict["margin"]) < 2
    assert 0.5 < verdict["confidence"] < 0.9
    assert fact(found, "BAND")["sentence"] == "their 80 % intervals overlap"
    assert row(found, "RANK")["favours"] == {"outcome": "NEITHER", "slug": None}


async def test_what_writes_and_what_paints_do_not_compare(ranked: Api) -> None:
    found = await compared(ranked, "sees", "paints")
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["winner"], verdict["margin"]) == (
        *("NOT_COMPARABLE", None, None),
    )
    assert verdict["sentence"] == (
        "Sees and Paints do not compare: Sees is a model for visually grounded text generation;"
        " Paints is a model for readable text rendering inside images."
    )
    assert found["aligned"] == found["similar"] == []
    assert [one["capabilities"] for one in found["onlyIn"]] == [
        [{"key": "grounding"}],
        [{"key": "lettering"}],
    ]


async def test_an_unknown_price_is_never_shown_as_paid_or_free(ranked: Api) -> None:
    for slugs in (["strong", "close"], ["strong", "middling"]):
        found = await compared(ranked, *slugs)
        assert row(found, "PRICE_PER_UNIT")["values"][1] is None
        assert row(found, "PRICE_PER_UNIT")["favours"]["outcome"] == "UNKNOWN"
        assert row(found, "STARTING_PRICE")["values"][1] is None
        assert row(found, "PRICING")["favours"]["outcome"] == "UNKNOWN"
        assert row(found, "PRICING")["values"][1] in ("unknown", None)
        said = fact(found, "FREE_TIER")
        assert said["favours"] is None
        assert said["sentence"] == f"no price of {slugs[1].title()} is known"
        assert said["values"][1] in ("unknown", None)
        assert "PRICE" not in [one["name"] for one in found["verdict"]["facts"]]


async def test_prices_of_several_providers_compare_like_for_like(ranked: Api) -> None:
    found = await compared(ranked, "strong", "weak")
    shown = [
        "USD 2 per 1M input tokens from b, seen 2026-02-01",
        "USD 4 per 1M input tokens from c, seen 2026-03-01",
    ]
    assert row(found, "PRICE_PER_UNIT") == {
        "name": "PRICE_PER_UNIT",
        "values": shown,
        "favours": {"outcome": "ARTIFACT", "slug": "strong"},
    }
    assert fact(found, "PRICE") == {
        "name": "PRICE",
        "favours": "strong",
        "values": shown,
        "sentence": "input tokens cost 2 times as much with Weak as with Strong",
    }


async def test_where_nothing_is_known_the_verdict_says_so(ranked: Api) -> None:
    found = await compared(ranked, "blank", "empty")
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["winner"]) == ("INSUFFICIENT_EVIDENCE", None)
    assert (verdict["margin"], verdict["confidence"]) == (None, None)
    assert {one["favours"] for one in verdict["facts"]} == {None}
    assert verdict["sentence"] == (
        "There is not enough evidence to choose: less than 10 % of what makes a rank is known of"
        " Blank and Empty; no price of Blank and Empty is known."
    )
    parts = await ranked.ask("""{ compare(slugs: ["blank", "empty"]) { artifacts {
      rank { score coverage parts { points evidence } } } } }""")
    for artifact in parts["compare"]["artifacts"]:
        assert artifact["rank"]["coverage"] == 0
        points = [float(part["points"]) for part in artifact["rank"]["parts"]]
        assert sum(points) == pytest.approx(float(artifact["rank"]["score"]), abs=1e-9)
        assert {part["evidence"] for part in artifact["rank"]["parts"]} == {0}
    for name in ("RANK", "STARTING_PRICE", "CAPABILITY_COUNT", "FRESHNESS"):
        assert row(found, name)["favours"]["outcome"] == "UNKNOWN"


async def test_an_alias_and_a_merged_artifact_lead_to_the_right_ones_and_say_so(
    ranked: Api,
) -> None:
    found = await compared(ranked, "medium", "twin", "strong")
    assert found["asked"] == [
        {"slug": "medium", "leadsTo": "middling", "redirected": True},
        {"slug": "twin", "leadsTo": "weak", "redirected": True},
        {"slug": "strong", "leadsTo": "strong", "redirected": False},
    ]
    assert [one["artifact"]["slug"] for one in found["onlyIn"]] == ["middling", "weak", "strong"]
    assert found["verdict"]["winner"] == "strong"
    # One group of all three, made of the pairs.
    (group,) = found["shared"]
    assert [one["artifact"]["slug"] for one in group["members"]] == ["middling", "weak", "strong"]
    assert len(found["aligned"]) == 3


async def test_a_retired_artifact_is_compared_and_never_wins(ranked: Api) -> None:
    found = await compared(ranked, "old", "weak")
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["winner"]) == ("NO_CLEAR_WINNER", None)
    assert verdict["facts"][0] == {
        "name": "STATUS",
        "favours": "weak",
        "values": ["retired", "active"],
        "sentence": "Old is retired",
    }
    assert "Old is retired" in verdict["sentence"]


async def test_searches_in_which_both_were_examined_count_head_to_head(ranked: Api) -> None:
    log = Log(ranked.store)
    shown = tuple(
        Served(artifact_id=id_of(slug), capability=None, position=place, score=1)
        for place, slug in enumerate(("middling", "close"), start=1)
    )
    for number in range(12):
        better = "close" if number < 9 else "middling"
        became: dict[str, Any] = {better: Outcome.CHOSEN}
        await log.search(shown, searcher=f"s{number}", **became)
    await seen(ranked, await ranked.store.head())
    found = await compared(ranked, "middling", "close")
    (duel,) = found["headToHead"]
    decided = duel["leftBetter"] + duel["rightBetter"]
    assert duel["rightBetter"] == 9
    assert duel["together"] == decided + duel["neither"]
    assert duel["leftShare"] == pytest.approx(duel["leftBetter"] / decided)
    assert 0 <= duel["low"] < duel["leftShare"] < duel["high"] <= 1
    told = fact(found, "HEAD_TO_HEAD")
    assert told["favours"] == "close"
    assert f"{duel['leftBetter']} of {decided} searches" in told["sentence"]
    assert row(found, "TIMES_MATCHED")["values"] == ["12", "12"]


async def test_meaning_decides_once_every_text_is_embedded(
    url: str, servers: Servers, store: Store, request_by: Request
) -> None:
    wanted = ("qwen3.5-35b-a3b", "stable-diffusion-3.5-large", "flux.1-dev", "whisper-large-v3")
    drafts = [
        draft
        for draft in (
            *manifest.read(ROOT / "catalog" / "catalog.yaml").drafts,
            *models_dev.drafts(),
        )
        if draft.slug in wanted
    ]
    await take_in(store, request_by, drafts)
    await project(url, store)
    async with serving(url, servers.redis_url, project=False) as api:
        for basis in ("WORDS", "MEANING"):
            painters = await compared(api, "stable-diffusion-3.5-large", "flux.1-dev")
            apart = await compared(api, "qwen3.5-35b-a3b", "stable-diffusion-3.5-large")
            assert painters["alignedBy"] == apart["alignedBy"] == basis
            assert {(one["left"]["key"], one["right"]["key"]) for one in painters["aligned"]} == {
                (key, key)
                for key in ("image-generation", "long-prompts", "text-rendering", "fine-tuning")
            }
            assert apart["aligned"] == apart["similar"] == apart["shared"] == []
            assert apart["verdict"]["outcome"] == "NOT_COMPARABLE"
            assert apart["verdict"]["sentence"].endswith(
                "Qwen3.5 35B A3B is a model for text generation;"
                " Stable Diffusion 3.5 Large is a model for text-to-image generation."
            )
            assert [len(one["capabilities"]) for one in apart["onlyIn"]] == [6, 14]
            if basis == "WORDS":
                await embed(api.store, url)


async def embed(store: Store, url: str) -> None:
    """Gives every text its vector."""
    from matchgraph.eventstore.connection import connect

    embedder = await asyncio.to_thread(embedding.load)
    db = await connect(url, "test vectors")
    texts = await db.fetch("SELECT DISTINCT hash, text FROM search_text")
    vectors = await asyncio.to_thread(embedder.embed, [text["text"] for text in texts])
    await db.executemany(
        "INSERT INTO text_vector VALUES ($1, $2, $3::real[]::halfvec)",
        [
            (embedder.model, text["hash"], vector.tolist())
            for text, vector in zip(texts, vectors, strict=True)
        ],
    )
    await db.close()
