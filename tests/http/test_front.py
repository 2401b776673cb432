"""Answers that are known are given where requests come in, to whom they would be given anew."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from matchgraph.commands.key import issue
from matchgraph.domain.role import Role
from matchgraph.eventstore.connection import connect
from matchgraph.http.answers import Answers
from matchgraph.http.budget import Allowance
from matchgraph.projections.price_history import PRICE_HISTORY
from matchgraph.projections.rebuild import rebuild
from matchgraph.servers import Servers
from tests.eventstore.histories import artifact, price, rich, until
from tests.graphql.client import JSON, Api, serving
from tests.graphql.test_as_of import PRICE
from tests.projections.tables import BY, append

KEPT = 1_000_000
HEADER = (
    """query Header($slug: String!) { artifact(slug: $slug) { slug vendor aliases
  prices { ...price } } }"""
    + PRICE
)
BOARD = "{ rankBoard(first: 3) { position nodes { slug rank { score place } } } }"
COUNT = "{ artifacts(first: 1) { totalCount } }"
THING = {"slug": "thing-0"}


@asynccontextmanager
async def keeping(url: str, servers: Servers, **options: Any) -> AsyncIterator[Api]:
    """An application that keeps answers, and knows what is touched."""
    async with serving(url, servers.redis_url, kept_answers=KEPT, **options) as api:
        await caught_up(api)
        yield api


async def caught_up(api: Api) -> None:
    """Waits until the read models stand where the log does, and the application knows it."""

    async def is_certain() -> bool:
        head = await api.pool.fetchval("SELECT coalesce(max(position), 0) FROM event")
        return bool(api.app.state.answers._touched.at == head)

    await until(is_certain)


async def post(
    api: Api, query: str = HEADER, variables: Any = THING, **headers: str
) -> httpx.Response:
    content = json.dumps({"query": query, "variables": variables})
    said = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await api.http.post("/graphql", content=content, headers=said)


async def get(api: Api, query: str = HEADER, **headers: str) -> httpx.Response:
    parameters = {"query": query, "variables": json.dumps(THING)}
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.get("/graphql", params=parameters, headers=said)


def hits(api: Api) -> tuple[float, float]:
    """How many answers were given again, and how many were made that may be."""
    metrics = api.app.state.observer.metrics
    metrics.settle()
    found = [
        metrics.registry.get_sample_value(
            "matchgraph_cache_lookups_total", {"cache": "answer", "found": found}
        )
        for found in ("hit", "miss")
    ]
    return found[0] or 0, found[1] or 0


def statements(api: Api) -> float:
    metrics = api.app.state.observer.metrics
    metrics.settle()
    count = metrics.registry.get_sample_value("matchgraph_steps_total", {"system": "postgresql"})
    return count or 0


async def test_what_is_asked_again_is_given_without_asking_anybody(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(3))
        await caught_up(api)
        for query in (HEADER, BOARD, COUNT):
            first = await post(api, query)
            assert "errors" not in first.json()
            asked, before = statements(api), hits(api)
            again = await post(api, query)
            assert (again.content, again.status_code) == (first.content, 200)
            different = {"x-request-id"}
            assert {k: v for k, v in again.headers.items() if k not in different} == {
                k: v for k, v in first.headers.items() if k not in different
            }
            assert statements(api) == asked
            assert hits(api) == (before[0] + 1, before[1])


async def test_an_event_makes_the_answers_that_it_touches_anew_and_no_others(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as api:
        one, two = artifact("one"), artifact("two")
        await api.store.append([one, two], BY)
        await caught_up(api)
        asked = [(HEADER, {"slug": "one"}), (HEADER, {"slug": "two"})]
        before = [(await post(api, *each)).json()["data"] for each in asked]
        one.observe_price(price("3"))
        await api.store.append([one], BY)
        await caught_up(api)
        hit, made = hits(api)
        after = [(await post(api, *each)).json()["data"] for each in asked]
        assert hits(api) == (hit + 1, made + 1)
        assert after[1] == before[1]
        assert after[0] != before[0]
        assert after[0]["artifact"]["prices"]


async def test_a_search_and_a_change_are_never_taken_for_known(url: str, servers: Servers) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        search = '{ search(need: {text: "thing"}) { searchId } }'
        ids = {(await post(api, search)).json()["data"]["search"]["searchId"] for _ in range(3)}
        assert len(ids) == 3
        mixed = '{ artifact(slug: "thing-0") { slug } position { head } }'
        for query in (mixed, '{ artifact(slug: "no such") { slug nothing } }'):
            for _ in range(3):
                await post(api, query)
        assert hits(api) == (0, 0)


async def test_who_wants_it_anew_gets_it_anew(url: str, servers: Servers) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        await post(api)
        for said in ("no-cache", "max-age=0, no-store"):
            before = hits(api)
            assert (await post(api, cache_control=said)).status_code == 200
            assert hits(api) == before
        at_least = 'query @atLeast(position: "1") { artifacts(first: 1) { totalCount } }'
        before = hits(api)
        for _ in range(3):
            assert "errors" not in (await post(api, at_least)).json()
        assert hits(api) == before


async def test_get_says_by_what_an_answer_is_known_and_sends_none_that_is(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(2))
        await caught_up(api)
        made, kept = await get(api), await get(api)
        assert made.content == kept.content
        tag = made.headers["etag"]
        assert kept.headers["etag"] == tag
        assert made.headers["cache-control"] == kept.headers["cache-control"] == "no-cache"
        assert "authorization" in made.headers["vary"].lower()
        for said in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
            not_sent = await get(api, if_none_match=said)
            assert (not_sent.status_code, not_sent.content) == (304, b"")
            assert not_sent.headers["etag"] == tag
        assert (await get(api, if_none_match='"other"')).content == made.content
        changed = artifact("thing-9")
        await api.store.append([changed], BY)
        await caught_up(api)
        # The same as before, made anew: whoever has it still need not get it again.
        assert (await get(api, if_none_match=tag)).status_code == 304
        assert "etag" not in (await get(api, "{ position { head } }")).headers


async def test_other_roles_and_other_forms_are_other_answers(url: str, servers: Servers) -> None:
    async with keeping(url, servers, development=False) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        key = await issue(api.store, BY, "auditor", Role.AUDITOR)
        await caught_up(api)
        known = {"authorization": f"Bearer {key.key}"}
        for headers in ({}, known, {"accept": "application/json"}):
            before = hits(api)
            assert (await post(api, **headers)).status_code == 200
            assert hits(api) == (before[0], before[1] + 1)
            await post(api, **headers)
            assert hits(api) == (before[0] + 1, before[1] + 1)
        assert (await get(api, **known)).headers["cache-control"] == "private, no-cache"
        wrong = {"authorization": "Bearer mg_aaaabbbbcccc_" + "x" * 43}
        assert (await post(api, **wrong)).status_code == 401


async def test_a_known_answer_is_paid_for_like_any_other(url: str, servers: Servers) -> None:
    allowance = Allowance(points_per_key=30)
    async with keeping(url, servers, development=False, allowance=allowance) as api:
        await append(api.store, rich(1))
        key = await issue(api.store, BY, "contributor", Role.CONTRIBUTOR)
        await caught_up(api)
        known = {"authorization": f"Bearer {key.key}"}
        left, before = [], hits(api)
        while (answer := await post(api, COUNT, **known)).status_code == 200:
            left.append(answer.json()["extensions"]["cost"]["remaining"])
            assert answer.headers["x-ratelimit-remaining"] == str(left[-1])
            assert answer.json()["data"] == {"artifacts": {"totalCount": 2}}
        assert left == list(range(left[0], -1, left[1] - left[0]))
        assert len(left) >= 3
        assert hits(api) == (before[0] + len(left) - 1, before[1] + 1)
        assert answer.status_code == 429
        assert answer.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        assert int(answer.headers["retry-after"]) > 0


async def test_one_makes_what_many_ask_for_at_once(url: str, servers: Servers) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        # Whether a document may be answered again is known once it was carried out.
        await post(api, variables={"slug": "another"})
        before = hits(api)
        answers = await asyncio.gather(*(post(api) for _ in range(20)))
        assert len({answer.content for answer in answers}) == 1
        assert hits(api) == (before[0] + 19, before[1] + 1)


async def test_whoever_waits_for_one_that_goes_away_makes_it_themselves(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        await post(api, variables={"slug": "another"})
        lock = await connect(url, "test lock")
        async with lock.transaction():
            await lock.execute("LOCK TABLE price_current")
            first = asyncio.create_task(post(api))
            answers: Answers = api.app.state.answers

            async def is_made() -> bool:
                return bool(answers._making)

            await until(is_made)
            others = [asyncio.create_task(post(api)) for _ in range(3)]
            await asyncio.sleep(0.05)
            first.cancel()
        for answer in await asyncio.gather(*others):
            assert answer.json()["data"]["artifact"]["slug"] == "thing-0"
        assert not answers._making
        await lock.close()


async def test_processes_share_what_they_make(url: str, servers: Servers) -> None:
    async with keeping(url, servers) as one, keeping(url, servers, project=False) as two:
        await append(one.store, rich(1))
        await caught_up(one)
        await caught_up(two)
        await post(two, variables={"slug": "another"})
        made = await get(one)
        redis = one.app.state.redis

        async def is_shared() -> bool:
            return bool([key async for key in redis.scan_iter("matchgraph:answer:*")])

        await until(is_shared)
        before = statements(two)
        assert (await get(two)).content == made.content
        assert statements(two) == before
        changed = artifact("thing-8")
        await one.store.append([changed], BY)
        await caught_up(one)
        await caught_up(two)
        assert (await get(two)).content == made.content


async def test_what_redis_holds_is_not_trusted(url: str, servers: Servers) -> None:
    async with keeping(url, servers) as one, keeping(url, servers, project=False) as two:
        await append(one.store, rich(1))
        await caught_up(one)
        await caught_up(two)
        await post(two, variables={"slug": "another"})
        made, redis = await get(one), one.app.state.redis

        async def keys() -> list[bytes]:
            return [key async for key in redis.scan_iter("matchgraph:answer:*")]

        await until(keys)
        for wrong in (b"no answer", b"\x9a\xc4\x02ok", b""):
            for key in await keys():
                whole = await redis.get(key)
                await redis.set(key, wrong or whole.replace(b"thing-0", b"thing-1"))
            before = statements(two)
            answer = await get(two)
            assert answer.content == made.content
            assert statements(two) > before
            two.app.state.answers._kept.clear()


async def test_without_redis_each_process_keeps_its_own(url: str, servers: Servers) -> None:
    async with serving(url, "redis://127.0.0.1:1", kept_answers=KEPT) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        made = await post(api)
        assert (await post(api)).content == made.content
        assert hits(api) == (1, 1)


async def test_read_models_that_were_computed_anew_make_all_answers_anew(
    url: str, servers: Servers
) -> None:
    async with keeping(url, servers) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        await post(api)
        await post(api)
        assert hits(api) == (1, 1)
        era = api.app.state.answers._touched.era
        await rebuild(url, PRICE_HISTORY)

        async def is_another() -> bool:
            return bool(api.app.state.answers._touched.era != era)

        await until(is_another)
        await caught_up(api)
        await post(api)
        assert hits(api) == (1, 2)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_what_is_no_request_is_refused_as_ever(
    url: str, servers: Servers, body: bytes
) -> None:
    async with keeping(url, servers) as api:
        answers = [await api.http.post("/graphql", content=body, headers=JSON) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {400}
        assert hits(api) == (0, 0)


async def test_a_page_of_another_origin_may_read_a_known_answer(url: str, servers: Servers) -> None:
    async with keeping(url, servers, origins=["https://pages.example"]) as api:
        await append(api.store, rich(1))
        await caught_up(api)
        for origin, allowed in (("https://pages.example", True), ("https://other.example", False)):
            made, kept = [await post(api, origin=origin) for _ in range(2)]
            assert ("access-control-allow-origin" in kept.headers) is allowed
            for name in ("access-control-allow-origin", "access-control-expose-headers", "vary"):
                assert kept.headers.get(name) == made.headers.get(name), name
        assert hits(api) == (3, 1)


MATCHED = [
    "query ($slug: String!) { artifact(slug: $slug) { timesMatched } }",
    "query ($slug: String!) { artifact(slug: $slug) { capabilities { nodes { timesMatched } } } }",
    "query ($slug: String!) { artifact(slug: $slug) { rank { parts { name points } } } }",
    "query ($slug: String!) { artifact(slug: $slug) { matchEdges { nodes { intent } } } }",
    """query ($slug: String!) { compare(slugs: [$slug, "thing-1"]) {
      headToHead { together } } }""",
]


async def test_a_search_touches_what_searchers_made_of_artifacts_and_nothing_else_of_them(
    url: str, servers: Servers
) -> None:
    search = '{ search(need: {text: "thing-0"}) { edges { node { artifact { slug } } } } }'
    async with keeping(url, servers) as api:
        await append(api.store, rich(2))
        await caught_up(api)
        for query in (HEADER, *MATCHED):
            assert "errors" not in (await post(api, query)).json()
        served = (await post(api, search)).json()["data"]["search"]["edges"]
        assert THING["slug"] in {one["node"]["artifact"]["slug"] for one in served}
        await caught_up(api)
        hit, made = hits(api)
        await post(api)
        assert hits(api) == (hit + 1, made)
        for number, query in enumerate(MATCHED, start=1):
            await post(api, query)
            assert hits(api) == (hit + 1, made + number), query
