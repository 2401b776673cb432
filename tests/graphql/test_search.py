"""Something different, asked the way a frontend does: what comes back, what is recorded of it, and
what it says where it cannot answer."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from matchgraph.commands.outcome_token import pseudonym, sign
from matchgraph.domain.artifact import id_of
from matchgraph.domain.need import Need
from matchgraph.domain.relevance import MOST_LEARNED
from matchgraph.domain.search import Search
from matchgraph.embedding import load
from matchgraph.eventstore.searcher_keys import SealedText, label_of
from matchgraph.graphql import search as resolver
from matchgraph.graphql.schema import build
from matchgraph.queries import page as pages
from matchgraph.queries.need import need_of
from matchgraph.servers import Servers
from tests.conftest import project
from tests.eventstore.conftest import clones
from tests.eventstore.histories import artifact, until
from tests.graphql.client import SECRETS, Api, serving
from tests.graphql.mutations import call
from tests.graphql.test_outcome import report
from tests.projections.tables import BY
from tests.queries.catalogs import catalog, take_in

__all__ = ["clones"]

RESULT = """artifact { slug rank { score } } capability { key name } score place explored lacks
  reasons { kind sentence share } outcomeToken"""
SEARCH = f"""query ($need: Need!, $first: Int = 10, $after: String) {{
  search(need: $need, first: $first, after: $after) {{
    searchId recorded found position
    pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
    understood {{ text rest corrections {{ written read }} like unlike unknownWords
      readings {{ id words start end sentence }} conditions {{ name sentence }} }}
    edges {{ cursor node {{ {RESULT} }} }}
    nothingFits {{ sentence considered exclusions {{ condition sentence excludes }}
      nearest {{ {RESULT} }} }}
  }}
}}"""


@pytest.fixture
async def searchable(url: str, servers: Servers) -> AsyncIterator[Api]:
    """The application over a small catalog, with an embedding model; no projector runs."""
    await take_in(url, catalog(), load())
    async with serving(url, servers.redis_url, project=False, model="minilm") as api:

        async def loaded() -> bool:
            return api.app.state.searching.model is not None

        await until(loaded)
        yield api


async def search(api: Api, text: str | None = None, **said: Any) -> Any:
    """The answer to a need."""
    paging = {name: said.pop(name) for name in ("first", "after") if name in said}
    need = {**({} if text is None else {"text": text}), **said}
    return (await api.ask(SEARCH, need=need, **paging))["search"]


def slugs(found: Any) -> list[str]:
    return [edge["node"]["artifact"]["slug"] for edge in found["edges"]]


async def recorded(api: Api, search_id: str) -> Search:
    """The search as the history has it."""
    made = await api.store.load(UUID(search_id))
    assert isinstance(made, Search)
    return made


async def test_a_search_answers_with_everything_that_a_frontend_shows(searchable: Api) -> None:
    found = await search(searchable, "exract tables from scanned documents, not Bolt")
    assert found["recorded"]
    assert int(found["position"]) == await searchable.store.head() - 1
    understood = found["understood"]
    assert understood["text"] == "extract tables from scanned documents, not Bolt"
    assert understood["corrections"] == [{"written": "exract", "read": "extract"}]
    (reading,) = understood["readings"]
    assert understood["text"][reading["start"] : reading["end"]] == reading["words"]
    assert understood["conditions"] == [{"name": "notVendors", "sentence": "not made by Bolt"}]
    assert "Bolt" not in understood["rest"]
    first = found["edges"][0]["node"]
    assert first["artifact"]["slug"] == "tab-reader"
    assert first["artifact"]["rank"]["score"]
    assert first["capability"] == {"key": "table-extraction", "name": "Table extraction"}
    assert "sheet-lens" not in slugs(found)
    kinds = [reason["kind"] for reason in first["reasons"]]
    assert {"WORDS", "MEANING", "RANK", "CONDITION"} <= set(kinds)
    for place, edge in enumerate(found["edges"], start=1):
        one = edge["node"]
        assert one["place"] == place
        assert one["outcomeToken"]
        shares = [Decimal(reason["share"]) for reason in one["reasons"] if reason["share"]]
        assert sum(shares) == Decimal(one["score"])
    assert len({edge["node"]["outcomeToken"] for edge in found["edges"]}) == len(found["edges"])
    assert found["nothingFits"] is None
    assert found["found"] == len(found["edges"])


async def test_what_was_served_is_in_the_history(searchable: Api) -> None:
    searchable.http.headers["x-searcher"] = "ann"
    found = await search(searchable, "  transcribe a meeting", like=["tab-reader"])
    made = await recorded(searchable, found["searchId"])
    need = await need_of(searchable.app.state.keys, made)
    assert need == Need(text="  transcribe a meeting", like=("tab-reader",))
    assert made.searcher == pseudonym(SECRETS, "named:ann")
    assert made.words is not None
    label = SealedText(made.words.key, made.words.label, label_of(made.id))
    assert await searchable.app.state.keys.opened([label]) == [b"transcribe a meeting"]
    served = sorted(made.served.values(), key=lambda one: one.position)
    assert [one.artifact_id for one in served] == [id_of(slug) for slug in slugs(found)]
    for one, edge in zip(served, found["edges"], strict=True):
        node = edge["node"]
        assert one.position == node["place"]
        assert Decimal(one.score) / 1_000_000 == Decimal(node["score"])
        assert one.capability == (node["capability"] and node["capability"]["key"])
        assert one.explored == node["explored"]
    again = await search(searchable, "transcribe a meeting", like=["tab-reader"])
    assert again["searchId"] != found["searchId"]
    assert (await recorded(searchable, again["searchId"])).cluster == made.cluster
    await search(searchable, "a meeting to be transcribed")
    assert await searchable.store.head() == int(found["position"]) + 3


async def test_whoever_gives_no_name_is_known_by_the_address(searchable: Api) -> None:
    found = await search(searchable, "tables")
    made = await recorded(searchable, found["searchId"])
    assert made.searcher == pseudonym(SECRETS, "at:127.0.0.1")


async def test_what_became_of_a_result_counts_for_the_artifact(searchable: Api, url: str) -> None:
    found = await search(searchable, "extract tables")
    first, second = (edge["node"] for edge in found["edges"][:2])
    done = await report(searchable, first["outcomeToken"], "CHOSEN")
    assert done["__typename"] == "OutcomeReported"
    twice = await report(searchable, first["outcomeToken"], "CHOSEN")
    assert twice["reason"] == "DUPLICATE"
    # The token of one result is no good in another search.
    stranger = (await recorded(searchable, found["searchId"])).served[
        id_of(second["artifact"]["slug"])
    ]
    forged = await report(searchable, sign(SECRETS, UUID(int=7), stranger))
    assert forged["reason"] == "UNKNOWN_SEARCH"
    await project(url, searchable.store)
    matched = await searchable.ask(
        "query ($one: String!, $other: String!) {"
        " one: artifact(slug: $one) { timesMatched matchEdges(first: 5) { nodes { intent shown"
        " chosen } } } other: artifact(slug: $other) { timesMatched }"
        ' never: artifact(slug: "old-reader") { timesMatched } }',
        one=first["artifact"]["slug"],
        other=second["artifact"]["slug"],
    )
    assert matched["one"] == {
        "timesMatched": 1,
        "matchEdges": {"nodes": [{"intent": None, "shown": 1, "chosen": 1}]},
    }
    assert matched["other"] == {"timesMatched": 1}
    assert matched["never"] == {"timesMatched": 0}


async def test_what_served_others_well_is_lifted_and_says_so(searchable: Api, url: str) -> None:
    before = await search(searchable, "transcribe a meeting")
    second = before["edges"][1]["node"]
    for number in range(5):
        searchable.http.headers["x-searcher"] = f"searcher {number}"
        found = await search(searchable, "transcribe a meeting")
        (token,) = (
            edge["node"]["outcomeToken"]
            for edge in found["edges"]
            if edge["node"]["artifact"] == second["artifact"]
        )
        assert (await report(searchable, token, "SUCCEEDED"))["__typename"] == "OutcomeReported"
    await project(url, searchable.store)
    after = await search(searchable, "transcribe a meeting")
    shares = {
        edge["node"]["artifact"]["slug"]: {
            reason["kind"]: Decimal(reason["share"] or 0) for reason in edge["node"]["reasons"]
        }
        for edge in after["edges"]
    }
    lifted = shares.pop(second["artifact"]["slug"])
    assert 0 < lifted["EVIDENCE"] <= Decimal(str(MOST_LEARNED))
    assert not any("EVIDENCE" in others for others in shares.values())


# Pages


async def pages_of(api: Api, size: int, **need: Any) -> list[Any]:
    """All pages of a search."""
    found = [await search(api, first=size, **need)]
    while found[-1]["pageInfo"]["hasNextPage"]:
        after = found[-1]["pageInfo"]["endCursor"]
        found.append(await search(api, first=size, after=after, **need))
        assert len(found) < 30
    return found


async def test_pages_share_their_search_and_repeat_nobody(searchable: Api) -> None:
    need: dict[str, Any] = {"where": {"notKinds": ["AGENT"]}}
    whole = await search(searchable, first=100, **need)
    for size in (1, 3, 7):
        found = await pages_of(searchable, size, **need)
        shown = [slug for page in found for slug in slugs(page)]
        assert sorted(shown) == sorted(slugs(whole))
        (search_id,) = {page["searchId"] for page in found}
        places = [edge["node"]["place"] for page in found for edge in page["edges"]]
        assert places == list(range(1, len(shown) + 1))
        assert [page["pageInfo"]["hasPreviousPage"] for page in found] == [
            number > 0 for number in range(len(found))
        ]
        served = (await recorded(searchable, search_id)).served
        assert {one.position: id for id, one in served.items()} == {
            place: id_of(slug) for place, slug in zip(places, shown, strict=True)
        }
        for page in found:
            for edge in page["edges"]:
                done = await report(searchable, edge["node"]["outcomeToken"])
                assert done["__typename"] == "OutcomeReported"


async def test_pages_repeat_nobody_although_the_catalog_changes_between_them(
    searchable: Api, url: str
) -> None:
    first = await search(searchable, "extract tables", first=1)
    (shown,) = slugs(first)
    # Now others come first, and one that was shown is gone.
    new = [
        artifact(f"newcomer-{number}", description="Extracts tables. Extract tables: tables!")
        for number in range(3)
    ]
    await searchable.store.append(new, BY)
    await call(searchable, "retireArtifact", slug=shown, reason="gone")
    await project(url, searchable.store)
    after = first["pageInfo"]["endCursor"]
    second = await search(searchable, "extract tables", first=2, after=after)
    third = await search(
        searchable, "extract tables", first=50, after=second["pageInfo"]["endCursor"]
    )
    everybody = [shown, *slugs(second), *slugs(third)]
    assert len(set(everybody)) == len(everybody)
    assert {"newcomer-0", "newcomer-1", "newcomer-2", "sheet-lens"} <= set(everybody)
    assert {first["searchId"]} == {second["searchId"], third["searchId"]}
    # The same page again is the same, and is recorded once.
    head = await searchable.store.head()
    again = await search(searchable, "extract tables", first=2, after=after)
    assert slugs(again) == slugs(second)
    assert await searchable.store.head() == head


async def test_a_cursor_of_something_else_is_no_cursor(searchable: Api) -> None:
    tables = await search(searchable, "tables", first=1)
    cursor = tables["pageInfo"]["endCursor"]
    listing = await searchable.ask("{ artifacts(first: 1) { pageInfo { endCursor } } }")
    raw = UUID(tables["searchId"]).hex
    for after in (
        "x",
        "",
        "\0",
        "\ud800",
        cursor[:-2],
        listing["artifacts"]["pageInfo"]["endCursor"],
        pages.encode("search", [raw, 0]),
        pages.encode("search", [raw, 2**40]),
        pages.encode("search", ["no id", 1]),
    ):
        assert (
            await searchable.code(SEARCH, need={"text": "tables"}, after=after) == "BAD_USER_INPUT"
        ), after
    # That of another search goes on with that one and no other need.
    others: list[dict[str, Any]] = [
        {"text": "music"},
        {"text": "tables", "where": {"free": True}},
    ]
    for other in others:
        assert await searchable.code(SEARCH, need=other, after=cursor) == "BAD_USER_INPUT"
    assert len((await recorded(searchable, tables["searchId"])).served) == 1


async def test_a_page_of_a_search_that_nobody_recorded_has_no_tokens(searchable: Api) -> None:
    need: dict[str, Any] = {"where": {"notKinds": ["AGENT"]}}
    after = pages.encode("search", [UUID(int=5).hex, 2])
    found = await search(searchable, first=3, after=after, **need)
    assert not found["recorded"]
    assert [edge["node"]["outcomeToken"] for edge in found["edges"]] == [None] * 3
    assert slugs(found) == slugs(await search(searchable, first=100, **need))[2:5]


# Where nothing fits


async def test_where_nothing_fits_it_says_why_and_names_who_is_nearest(searchable: Api) -> None:
    where = {"free": True, "vendors": ["Acme"]}
    found = await search(searchable, "extract tables", where=where)
    assert (found["edges"], found["found"], found["recorded"]) == ([], 0, True)
    assert not found["pageInfo"]["hasNextPage"]
    why = found["nothingFits"]
    listed = await searchable.ask("{ artifacts(first: 100) { nodes { slug } } }")
    assert why["considered"] == len(listed["artifacts"]["nodes"])
    counts = {one["condition"]: one["excludes"] for one in why["exclusions"]}
    assert counts.keys() == {"free", "vendors"}
    for name, value in where.items():
        met = (await search(searchable, first=100, where={name: value}))["found"]
        assert counts[name] == why["considered"] - met, name
    assert [one["excludes"] for one in why["exclusions"]] == sorted(counts.values(), reverse=True)
    assert why["exclusions"][0]["sentence"] in why["sentence"]
    nearest = {one["artifact"]["slug"]: one for one in why["nearest"]}
    assert {"tab-reader", "sheet-lens"} <= nearest.keys()
    assert any("free of charge" in lack for lack in nearest["tab-reader"]["lacks"])
    assert all(one["outcomeToken"] is None for one in why["nearest"]), "they were not served"
    made = await recorded(searchable, found["searchId"])
    assert made.served == {}


async def test_where_nothing_fits_nobody_is_named_whom_the_listing_does_not_know(
    searchable: Api,
) -> None:
    """As while one of the read models is rebuilt, or stuck, and the search index is further on."""
    where = {"free": True, "vendors": ["Acme"]}
    nothing = (await search(searchable, "extract tables", where=where))["nothingFits"]
    first, *others = [one["artifact"]["slug"] for one in nothing["nearest"]]
    await searchable.pool.execute("DELETE FROM artifact_listing WHERE slug = $1", first)
    nothing = (await search(searchable, "extract tables", where=where))["nothingFits"]
    named = [one["artifact"]["slug"] for one in nothing["nearest"]]
    assert first not in named
    assert set(named) & set(others)


async def test_what_nobody_has_ever_heard_of_gets_an_honest_answer(still: Api, url: str) -> None:
    made = artifact("parser")
    await still.store.append([made], BY)
    await project(url, still.store)
    kind = made.kind.name
    for where, nearest in (({}, []), ({"kinds": [kind]}, ["parser"])):
        found = await search(still, "qwxzy blorft", where=where)
        assert found["edges"] == []
        assert found["understood"]["unknownWords"] == ["qwxzy", "blorft"]
        why = found["nothingFits"]
        assert why["considered"] == 1
        assert [one["artifact"]["slug"] for one in why["nearest"]] == nearest
        assert "to do with these words" in why["sentence"]


async def test_a_catalog_without_anything_answers_too(still: Api) -> None:
    found = await search(still, "tables")
    assert (found["edges"], found["nothingFits"]["considered"]) == ([], 0)
    assert (await search(still, where={"free": True}))["edges"] == []


async def test_a_wrong_reading_can_be_switched_off(searchable: Api) -> None:
    text = "tables, not Bolt"
    found = await search(searchable, text)
    assert "sheet-lens" not in slugs(found)
    (reading,) = found["understood"]["readings"]
    again = await search(searchable, text, ignore=[reading["id"]])
    assert "sheet-lens" in slugs(again)
    understood = again["understood"]
    assert (understood["readings"], understood["conditions"]) == ([], [])
    assert "Bolt" in understood["rest"]


async def test_a_later_page_is_of_the_same_readings(searchable: Api) -> None:
    text = "tables, not Bolt"
    found = await search(searchable, text, first=1)
    (reading,) = found["understood"]["readings"]
    again = await search(searchable, text, ignore=[reading["id"]], first=1)
    for made, ignore in ((found, []), (again, [reading["id"]])):
        after = made["pageInfo"]["endCursor"]
        asked = {"need": {"text": text, "ignore": ignore}, "first": 1, "after": after}
        assert len((await searchable.ask(SEARCH, **asked))["search"]["edges"]) == 1
        other = {"text": text, "ignore": [] if ignore else [reading["id"]]}
        refused = await searchable.error(SEARCH, **{**asked, "need": other})
        assert refused["extensions"]["code"] == "BAD_USER_INPUT"
        assert "not a cursor of this list" in refused["message"]


# What makes no sense

TOO_MANY = [str(number) for number in range(51)]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "EMPTY_NEED", "`need` is empty"),
    ({"text": ""}, "EMPTY_NEED", "`need` is empty"),
    ({"text": " \n\t "}, "EMPTY_NEED", "`need` is empty"),
    ({"text": "?!"}, "EMPTY_NEED", "`need` is empty"),
    ({"where": {}}, "EMPTY_NEED", "`need` is empty"),
    ({"where": {"kinds": []}, "like": []}, "EMPTY_NEED", "`need` is empty"),
    ({"text": "x" * 10_001}, "BAD_USER_INPUT", "need.text has 10001 characters"),
    ({"text": "a\0b"}, "BAD_USER_INPUT", "cannot be stored"),
    ({"text": "a\ud800b"}, "BAD_USER_INPUT", "cannot be stored"),
    ({"text": "tables", "like": ["\0"]}, "BAD_USER_INPUT", "need.like"),
    ({"text": "tables", "like": ["\udfff"]}, "BAD_USER_INPUT", "need.like"),
    ({"text": "tables", "like": ["no-such-thing"]}, "UNKNOWN_ARTIFACT", "'no-such-thing'"),
    ({"text": "tables", "like": [""]}, "UNKNOWN_ARTIFACT", "need.like"),
    ({"text": "tables", "like": ["x" * 5_000]}, "UNKNOWN_ARTIFACT", "need.like"),
    ({"text": "tables", "unlike": ["no-such-thing"]}, "UNKNOWN_ARTIFACT", "need.unlike"),
    ({"text": "tables", "like": ["scribe"] * 11}, "BAD_USER_INPUT", "need.like has 11"),
    ({"text": "tables", "ignore": ["\0"]}, "BAD_USER_INPUT", "need.ignore"),
    ({"text": "tables", "ignore": ["x"] * 101}, "BAD_USER_INPUT", "need.ignore has 101"),
    ({"where": {"cheaperThan": "nothing"}}, "UNKNOWN_ARTIFACT", "need.where.cheaperThan"),
    ({"where": {"cheaperThan": "\0"}}, "BAD_USER_INPUT", "need.where.cheaperThan"),
    ({"where": {"vendors": ["\0"]}}, "BAD_USER_INPUT", "need.where.vendors"),
    ({"where": {"mustHave": ["\ud800"]}}, "BAD_USER_INPUT", "need.where.mustHave"),
    ({"where": {"mustHave": [" "]}}, "BAD_USER_INPUT", "mustHave is blank"),
    ({"where": {"notVendors": TOO_MANY}}, "BAD_USER_INPUT", "51 entries of notVendors"),
    ({"where": {"minContextTokens": 0}}, "BAD_USER_INPUT", "minContextTokens is 0"),
    ({"where": {"minContextTokens": -(2**63)}}, "BAD_USER_INPUT", "whole number|1 or more"),
    ({"where": {"minContextTokens": 2**64}}, "BAD_USER_INPUT", "whole number"),
    ({"where": {"minContextTokens": 2**62}}, "CONTRADICTORY_NEED", "minContextTokens"),
    ({"where": {"releasedSince": "2026-02-30"}}, "BAD_USER_INPUT", "2026-02-30"),
    ({"where": {"kinds": ["NOTHING"]}}, "BAD_USER_INPUT", "NOTHING"),
    (
        {"where": {"priceCeilings": [{"amount": "-1", "per": "IMAGE"}]}},
        "BAD_USER_INPUT",
        "price ceiling",
    ),
    (
        {"where": {"priceCeilings": [{"amount": "NaN", "per": "IMAGE"}]}},
        "BAD_USER_INPUT",
        "price ceiling",
    ),
    (
        {"where": {"priceCeilings": [{"amount": "1", "per": "IMAGE", "currency": "\0"}]}},
        "BAD_USER_INPUT",
        "currency",
    ),
    (
        {"where": {"vendors": ["Acme"], "notVendors": ["acme"]}},
        "CONTRADICTORY_NEED",
        "`vendors` and `notVendors`",
    ),
    (
        {"text": "tables, not Acme", "where": {"vendors": ["Acme"]}},
        "CONTRADICTORY_NEED",
        "`vendors` and `notVendors`",
    ),
    ({"like": ["scribe"], "unlike": ["scribe"]}, "CONTRADICTORY_NEED", "`like` and `unlike`"),
    (
        {"where": {"releasedSince": "2026-01-01", "releasedBefore": "2026-01-01"}},
        "CONTRADICTORY_NEED",
        "`releasedSince` and `releasedBefore`",
    ),
    (
        {"where": {"toolCalling": True, "mustNotHave": ["tool-calling"]}},
        "CONTRADICTORY_NEED",
        "`toolCalling` and `mustNotHave`",
    ),
]


async def test_a_need_that_makes_no_sense_says_which_part_of_it(searchable: Api) -> None:
    head = await searchable.store.head()
    for need, code, words in BAD:
        error = await searchable.error(SEARCH, need=need)
        assert error["extensions"]["code"] == code, (need, error)
        assert any(word in error["message"] for word in words.split("|")), (need, error)
        assert len(error["message"]) < 1_000
    for first in (0, -1, 101):
        assert await searchable.code(SEARCH, need={"text": "x"}, first=first) == "BAD_USER_INPUT"
    assert await searchable.store.head() == head, "none of them was answered"


ODD: list[dict[str, Any]] = [
    {"text": "x" * 2_000},
    {"text": "tables " * 285},
    {"text": "'; DROP TABLE event; -- tables"},
    {"text": '{"$ne": null} ${jndi:ldap://x} <script> %s %00'},
    {"text": "文字認識 日本語 🔥"},
    {"text": "e\u0301" * 900},
    {"text": "\u202etables\u202c"},
    {"text": "tables", "ignore": ["no such reading"]},
    {"text": "not not not without without under $ at least"},
    {"where": {"priceCeilings": [{"amount": "1e-300", "per": "IMAGE", "currency": "zzz"}]}},
    {"where": {"priceCeilings": [{"amount": "9e300", "per": "INPUT_TOKEN"}]}},
    {"where": {"releasedSince": "0001-01-01", "releasedBefore": "9999-12-31"}},
    {"where": {"mustHave": ["...", "🔥"], "mustNotHave": ["%", "\\"]}},
    {"like": ["gpt-4o-mini"], "unlike": ["gpt-4o"], "where": {"free": False}},
]


async def test_whatever_else_is_asked_is_answered_and_recorded(searchable: Api) -> None:
    for need in ODD:
        found = await search(searchable, **need)
        assert found["recorded"], need
        assert bool(found["edges"]) is (found["nothingFits"] is None), need
        made = await recorded(searchable, found["searchId"])
        searched = await need_of(searchable.app.state.keys, made)
        assert searched is not None
        assert searched.text == need.get("text")


# When learning fails


async def test_a_search_is_answered_although_nothing_can_be_recorded(
    searchable: Api, url: str
) -> None:
    before = await search(searchable, "extract tables", first=1)
    head = await searchable.store.head()
    admin = await asyncpg.connect(url)
    signature = await admin.fetchval(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'event_append'"
    )
    grantees = [
        row["grantee"]
        for row in await admin.fetch(
            "SELECT DISTINCT grantee FROM information_schema.routine_privileges"
            " WHERE routine_name = 'event_append'"
        )
    ]
    for grantee in grantees:
        await admin.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM {grantee}")
    for paging in ({}, {"after": before["pageInfo"]["endCursor"]}):
        found = await search(searchable, "extract tables", first=1, **paging)
        assert not found["recorded"]
        assert [edge["node"]["outcomeToken"] for edge in found["edges"]] == [None]
    assert await searchable.store.head() == head
    for grantee in grantees:
        await admin.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {grantee}")
    await admin.close()
    assert (await search(searchable, "extract tables"))["recorded"]


async def test_a_search_does_not_wait_for_a_log_that_is_locked(
    searchable: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "PATIENCE", 0.2)
    admin = await asyncpg.connect(url)
    async with admin.transaction():
        await admin.execute("LOCK TABLE event IN SHARE MODE")
        found = await asyncio.wait_for(search(searchable, "extract tables"), 5)
        assert not found["recorded"]
        assert {edge["node"]["outcomeToken"] for edge in found["edges"]} == {None}
        assert slugs(found)[0] == "tab-reader"
    await admin.close()

    async def recovered() -> bool:
        return bool((await search(searchable, "extract tables"))["recorded"])

    await until(recovered)


# Without a model, and what clients rely on


async def test_without_a_model_words_find(url: str, servers: Servers) -> None:
    await take_in(url, catalog())
    async with serving(url, servers.redis_url, project=False) as api:
        found = await search(api, "extract tables")
        assert slugs(found)[0] == "tab-reader"
        assert {
            reason["kind"] for edge in found["edges"] for reason in edge["node"]["reasons"]
        } <= {"WORDS", "RANK", "NAME", "EXPLORATION"}
        assert (await search(api, "extract tables", like=["scribe"]))["recorded"]


def test_the_names_that_clients_rely_on_are_there() -> None:
    schema = build()._schema
    assert schema.query_type
    field = schema.query_type.fields["search"]
    assert str(field.args["need"].type) == "Need!"
    assert str(field.type) == "SearchConnection!"
    node: Any = schema.type_map["SearchResult"]
    assert {"artifact", "capability", "score", "reasons", "lacks", "outcomeToken"} <= set(
        node.fields
    )
    connection: Any = schema.type_map["SearchConnection"]
    assert {"searchId", "understood", "edges"} <= set(connection.fields)
