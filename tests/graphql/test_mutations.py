"""Every mutation answers with what happened, or with a typed refusal; never with a riddle."""

import re
from typing import Any

import pytest

from matchgraph.commands import artifact as commands
from matchgraph.domain import errors
from matchgraph.domain.artifact import Artifact
from tests.graphql.client import Api
from tests.graphql.mutations import (
    ARTIFACT,
    CALLS,
    CAPABILITY,
    MUTATIONS,
    POLICY,
    PRICE,
    PROVENANCE,
    SIGNAL,
    call,
    changed,
    document,
    furnish,
    leaves,
    members,
    success,
)

FUTURE = "9999-12-31T23:59:59Z"
OLDER = {**PROVENANCE, "observedAt": "2000-01-01T00:00:00Z"}
UNBORN = {**PROVENANCE, "observedAt": FUTURE}
ON_ARTIFACTS = [
    name for name, said in CALLS.items() if name != "registerArtifact" and "slug" in said
]
Said = dict[str, Any]


def but(mutation: str, **said: Any) -> Said:
    """The call of the mutation with something else said."""
    return {**CALLS[mutation], **said}


def inside(mutation: str, argument: str, **said: Any) -> Said:
    """The call of the mutation with something else said within an argument."""
    return but(mutation, **{argument: {**CALLS[mutation][argument], **said}})


REFUSED: list[tuple[str, str, Said]] = [
    *((name, "UnknownArtifact", but(name, slug="nothing")) for name in ON_ARTIFACTS),
    *((name, "UnknownArtifact", but(name, slug="removed")) for name in ON_ARTIFACTS),
    *((name, "UnknownArtifact", but(name, slug="No Slug")) for name in ON_ARTIFACTS),
    *(
        (name, refusal, but(name, slug=slug))
        for name in ON_ARTIFACTS
        if name not in ("reinstateArtifact", "unmergeArtifact")
        for slug, refusal in (("gone", "RetiredArtifact"), ("twin", "MergedArtifact"))
    ),
    *(
        (name, "SlugTaken", but(name, **{field: slug}))
        for name, field in (("registerArtifact", "slug"), ("addAlias", "alias"))
        for slug in ("other", "gone", "twin")
    ),
    ("registerArtifact", "SlugTaken", but("registerArtifact", slug="tables")),
    ("registerArtifact", "SlugTaken", but("registerArtifact", slug="removed")),
    ("addAlias", "SlugTaken", {"slug": "other", "alias": "tables"}),
    ("registerArtifact", "BadSlug", but("registerArtifact", slug="No Slug")),
    ("registerArtifact", "BadSlug", but("registerArtifact", slug="")),
    ("registerArtifact", "BadText", but("registerArtifact", facts={})),
    ("registerArtifact", "BadText", but("registerArtifact", facts={"name": "a\0"})),
    ("registerArtifact", "BadNumber", inside("registerArtifact", "facts", contextTokens=0)),
    ("registerArtifact", "FutureObservation", but("registerArtifact", provenance=UNBORN)),
    ("describeArtifact", "BadText", but("describeArtifact", facts={"vendor": " "})),
    ("describeArtifact", "BadNumber", but("describeArtifact", facts={"outputTokens": 10**12})),
    ("describeArtifact", "FutureObservation", but("describeArtifact", provenance=UNBORN)),
    (
        "describeArtifact",
        "StaleObservation",
        but("describeArtifact", facts={"name": "Older"}, provenance=OLDER),
    ),
    (
        "reviseCapability",
        "StaleObservation",
        inside("reviseCapability", "capability", name="Older", provenance=OLDER),
    ),
    ("retireArtifact", "BadText", but("retireArtifact", reason="")),
    ("reinstateArtifact", "NotRetired", {"slug": "parser"}),
    ("reinstateArtifact", "NotRetired", {"slug": "twin"}),
    ("unmergeArtifact", "NotMerged", {"slug": "parser"}),
    ("unmergeArtifact", "NotMerged", {"slug": "gone"}),
    ("mergeArtifact", "UnknownArtifact", but("mergeArtifact", into="nothing")),
    ("mergeArtifact", "BadMergeTarget", but("mergeArtifact", into="other")),
    ("mergeArtifact", "BadMergeTarget", but("mergeArtifact", into="gone")),
    ("mergeArtifact", "BadMergeTarget", but("mergeArtifact", into="twin")),
    ("mergeArtifact", "BadMergeTarget", {"slug": "parser", "into": "tables"}),
    ("tellApart", "SameArtifact", but("tellApart", **{"from": "tables"})),
    ("tellApart", "UnknownArtifact", but("tellApart", **{"from": "nothing"})),
    ("tellApart", "RetiredArtifact", but("tellApart", **{"from": "gone"})),
    ("tellApart", "MergedArtifact", but("tellApart", **{"from": "twin"})),
    ("addAlias", "BadSlug", but("addAlias", alias="No Slug")),
    ("removeAlias", "UnknownAlias", {"alias": "nothing"}),
    ("removeAlias", "UnknownAlias", {"alias": "parser"}),
    ("removeAlias", "UnknownAlias", {"alias": "removed"}),
    ("addCapability", "CapabilityExists", but("addCapability", capability=CAPABILITY)),
    ("reviseCapability", "UnknownCapability", inside("reviseCapability", "capability", key="x")),
    ("retireCapability", "UnknownCapability", but("retireCapability", key="nothing")),
    *(
        (name, refusal, inside(name, "capability", **said))
        for name in ("addCapability", "reviseCapability")
        for refusal, said in (
            ("BadSlug", {"key": "No Slug"}),
            ("BadText", {"description": ""}),
            ("BadText", {"tags": [str(n) for n in range(51)]}),
            ("FutureObservation", {"provenance": UNBORN}),
        )
    ),
    *(
        ("observePrice", "PriceSentinel", inside("observePrice", "price", amount=amount))
        for amount in (
            "-1",
            "NaN",
            "Infinity",
            "1e9",
            "1e-19",
            10**9,
            "1.00000000000000000000000000001",
        )
    ),
    ("observePrice", "PriceContradiction", inside("observePrice", "price", pricing="FREE")),
    ("observePrice", "PriceContradiction", inside("observePrice", "price", per=None)),
    ("observePrice", "UnknownCurrency", inside("observePrice", "price", currency="usd")),
    ("observePrice", "StaleObservation", but("observePrice", price=PRICE)),
    ("observePrice", "FutureObservation", inside("observePrice", "price", observedAt=FUTURE)),
    ("observePrice", "BadSlug", inside("observePrice", "price", provider="Acme Inc")),
    ("observePrice", "BadText", inside("observePrice", "price", source="")),
    ("withdrawPrice", "UnknownPrice", inside("withdrawPrice", "price", tier="batch")),
    ("withdrawPrice", "StaleObservation", but("withdrawPrice", observedAt=PRICE["observedAt"])),
    ("withdrawPrice", "FutureObservation", but("withdrawPrice", observedAt=FUTURE)),
    ("withdrawPrice", "BadText", but("withdrawPrice", observedAt="1800-01-01T00:00:00Z")),
    ("observeSignal", "BadNumber", inside("observeSignal", "signal", value="-1")),
    ("observeSignal", "BadNumber", inside("observeSignal", "signal", name="DOCS", value="2")),
    ("observeSignal", "BadText", inside("observeSignal", "signal", source="\ud800")),
    ("observeSignal", "StaleObservation", but("observeSignal", signal=SIGNAL)),
    ("observeSignal", "FutureObservation", inside("observeSignal", "signal", observedAt=FUTURE)),
    ("adoptPolicy", "WeightsDoNotAddUp", {"kinds": [{**POLICY, "quality": "0.26"}]}),
    ("adoptPolicy", "BadNumber", {"kinds": [{**POLICY, "halfLife": 0}]}),
    ("adoptPolicy", "UnknownFormula", {"kinds": [{**POLICY, "formula": 2}]}),
    ("adoptPolicy", "KindTwice", {"kinds": [POLICY, POLICY]}),
    ("issueKey", "BadText", but("issueKey", name=" ")),
    ("issueKey", "BadExpiry", but("issueKey", expires="2000-01-01T00:00:00Z")),
    ("issueKey", "BadExpiry", but("issueKey", expires=FUTURE)),
    ("revokeKey", "UnknownKey", {"id": "nothing"}),
    *(
        (name, "IdempotencyKeyReused", but(name, idempotencyKey="used"))
        for name in CALLS
        if name != "importArtifacts"
    ),
]


async def test_every_mutation_does_what_it_says_and_shows_it(api: Api) -> None:
    assert set(CALLS) == set(MUTATIONS)
    await furnish(api)
    seen: dict[str, Any] = {}
    # In an order in which each has something to do.
    for name in sorted(CALLS, key=["retireArtifact", "removeAlias"].count):
        shows = "... on Change { artifact { slug status } }"
        answer = await call(api, name, fields=shows, **CALLS[name])
        assert answer["__typename"] == success(name), answer
        assert answer["position"].isdecimal()
        seen[name] = answer.get("artifact")
    assert seen["registerArtifact"] == {"slug": "new", "status": "ACTIVE"}
    assert seen["reinstateArtifact"] == {"slug": "gone", "status": "ACTIVE"}
    assert seen["retireArtifact"] == {"slug": "parser", "status": "RETIRED"}
    assert seen["mergeArtifact"] == {"slug": "parser", "status": "ACTIVE"}
    assert seen["unmergeArtifact"] == {"slug": "twin", "status": "ACTIVE"}
    assert seen["addAlias"] == {"slug": "parser", "status": "ACTIVE"}
    assert seen["removeAlias"] is None


async def test_every_refusal_comes_back_as_its_type_and_changes_nothing(api: Api) -> None:
    await furnish(api)
    used = inside("observeSignal", "signal", source="elsewhere")
    position = int((await call(api, "observeSignal", idempotencyKey="used", **used))["position"])
    for mutation, refusal, said in REFUSED:
        answer = await call(api, mutation, **said)
        assert answer["__typename"] == refusal, (mutation, said, answer)
        assert answer["message"].endswith(".")
        assert await api.store.head() == position, (mutation, said)


@pytest.mark.parametrize("mutation", [name for name in CALLS if name != "importArtifacts"])
def test_each_refusal_of_a_mutation_can_be_provoked_and_is_in_its_union(mutation: str) -> None:
    provoked = {refusal for name, refusal, _ in REFUSED if name == mutation}
    if mutation == "calibrateRanks":
        provoked.add("StaleCalibration")  # in test_rank.py
    if mutation == "reportOutcome":
        provoked.add("OutcomeDiscarded")  # in test_outcome.py: that it was sent is recorded
    assert members(mutation) == provoked | {success(mutation)}


COMMANDS = {
    "registerArtifact": commands.register,
    "describeArtifact": commands.describe,
    "retireArtifact": commands.retire,
    "reinstateArtifact": commands.reinstate,
    "mergeArtifact": commands.merge,
    "unmergeArtifact": commands.unmerge,
    "tellApart": commands.tell_apart,
    "addAlias": commands.add_alias,
    "removeAlias": commands.remove_alias,
    "addCapability": commands.add_capability,
    "reviseCapability": commands.revise_capability,
    "retireCapability": commands.retire_capability,
    "observePrice": commands.observe_price,
    "withdrawPrice": commands.withdraw_price,
    "observeSignal": commands.observe_signal,
}


@pytest.mark.parametrize("mutation", COMMANDS)
def test_what_a_command_says_it_refuses_is_in_the_union_of_its_mutation(mutation: str) -> None:
    said = COMMANDS[mutation].__doc__ or ""
    if delegated := re.search(r"Artifact\.(\w+) refuses", said):
        said += getattr(Artifact, delegated[1]).__doc__ or ""
    refusals = {word for word in re.findall(r"\w+", said) if hasattr(errors, word)}
    # Every artifact can be retired or merged, and every call can have a key.
    assert members(mutation) == refusals | {success(mutation), "IdempotencyKeyReused"}


async def test_an_answer_is_repeated_with_the_key_of_its_call(api: Api) -> None:
    await furnish(api)
    for name in sorted(CALLS, key=["retireArtifact", "removeAlias"].count):
        first = await call(api, name, idempotencyKey=f"once {name}", **CALLS[name])
        head = await api.store.head()
        again = await call(api, name, idempotencyKey=f"once {name}", **CALLS[name])
        assert again["__typename"] == success(name)
        assert again["position"] == first["position"]
        assert await api.store.head() == head


async def test_a_change_shows_its_artifact_as_often_as_asked(api: Api) -> None:
    shows = "... on Change { a: artifact { slug capabilityCount } b: artifact { slug prices { amount } } c: artifact { aliases signals { value } } }"  # noqa: E501
    for n in range(30):  # more than there are connections, should one be lost each time
        answer = await call(
            api, "registerArtifact", fields=shows, **{**ARTIFACT, "slug": f"parser-{n}"}
        )
        assert answer["a"] == {"slug": f"parser-{n}", "capabilityCount": 0}
        assert answer["b"] == {"slug": f"parser-{n}", "prices": []}
    assert api.pool.get_idle_size() == api.pool.get_size()


async def test_several_changes_in_one_document_each_show_their_own(api: Api) -> None:
    await furnish(api)
    data = await api.ask(
        """mutation {
          a: describeArtifact(slug: "parser", facts: {vendor: "a"},
            provenance: {source: "s", observedAt: "2026-01-01T00:00:00Z"}) {
            ... on Change { artifact { vendor } } }
          b: describeArtifact(slug: "parser", facts: {vendor: "b"},
            provenance: {source: "s", observedAt: "2026-01-01T00:00:00Z"}) {
            ... on Change { artifact { vendor } } }
        }"""
    )
    assert data == {"a": {"artifact": {"vendor": "a"}}, "b": {"artifact": {"vendor": "b"}}}


async def test_a_change_keeps_its_position_while_the_read_models_are_behind(still: Api) -> None:
    shows = "... on Change { artifact { slug } }"
    answer = await still.answer(
        document("registerArtifact", fields=shows), **CALLS["registerArtifact"]
    )
    assert answer["data"]["registerArtifact"]["position"] == "1"
    assert answer["data"]["registerArtifact"]["artifact"] is None
    assert answer["errors"][0]["path"] == ["registerArtifact", "artifact"]
    assert answer["errors"][0]["extensions"] == {"code": "BEHIND"}


# Whatever is sent

HOSTILE: dict[str, list[Any]] = {
    "String": [
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "x" * 20_000,
        "'; DROP TABLE event; --",
        "🦜",
        7,
        {},
    ],
    "DateTime": [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-01-01T00:00:00",
        "",
        "x",
        5,
        "2026-13-01T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "-0001-01-01T00:00:00Z",
        None,
    ],
    "Date": ["0001-01-01", "9999-12-31", "2026-02-30", "x", 5],
    "Decimal": [
        "NaN",
        "sNaN",
        "-Infinity",
        "1e999999",
        "1e-999999",
        "1" * 61,
        "1e-9999999999999999999",
        "",
        "x",
        0.1,
        True,
        -1,
        10**50,
        "0x10",
        "1_000",
        "٣",
    ],
    "Long": [0, -1, 2**63, 10**30, "5", 1.5, True, 10**12],
    "Int": [0, -1, 2**31, 10**30, "5", 1.5, True],
    "Boolean": ["true", 1],
}


@pytest.mark.parametrize("mutation", CALLS)
async def test_whatever_is_sent_is_taken_or_refused_in_plain_words(api: Api, mutation: str) -> None:
    await furnish(api)
    tried = 0
    for name, argument in MUTATIONS[mutation].args.items():
        for path, kind in leaves(argument.type):
            for leaf in HOSTILE[kind]:
                said = {**CALLS[mutation], name: changed(CALLS[mutation].get(name), path, leaf)}
                answer = await api.answer(document(mutation), **said)
                what = (name, path, str(leaf)[:40], answer)
                for error in answer.get("errors", ()):
                    code = error["extensions"]["code"]
                    assert code in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"), what
                    assert not re.search(r"Traceback|asyncpg|SELECT|Decimal\(", error["message"]), (
                        what
                    )
                    assert len(error["message"]) < 25_000, what
                tried += 1
    assert tried >= 10
    # And whatever was taken in, the read models can hold.
    head = await api.store.head()
    await api.ask(f'query @atLeast(position: "{head}") {{ position {{ head }} }}')


async def test_a_moment_needs_a_time_zone(api: Api) -> None:
    await furnish(api)
    for mutation, said in (
        ("observePrice", inside("observePrice", "price", observedAt="2026-01-01T00:00:00")),
        ("observeSignal", inside("observeSignal", "signal", observedAt="2026-01-01T00:00:00")),
        ("withdrawPrice", but("withdrawPrice", observedAt="2026-01-01T00:00:00")),
    ):
        answer = await api.answer(document(mutation), **said)
        if "errors" in answer:
            assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
            assert "time zone" in answer["errors"][0]["message"]
        else:
            assert answer["data"][mutation]["__typename"] == "BadText"
            assert "time zone" in answer["data"][mutation]["message"]


async def test_a_key_is_a_name_that_can_be_stored(api: Api) -> None:
    await furnish(api)
    for key in ("", "  ", "\0", "\ud800", "x" * 201):
        said = but("describeArtifact", idempotencyKey=key)
        assert await api.code(document("describeArtifact"), **said) == "BAD_USER_INPUT", key
    assert (
        await call(api, "describeArtifact", **but("describeArtifact", idempotencyKey="x" * 200))
    )["position"]


async def test_a_float_is_not_exact_and_a_whole_number_is(api: Api) -> None:
    await furnish(api)
    error = await api.error(
        document("observePrice"), **inside("observePrice", "price", amount=0.25)
    )
    assert "write the Decimal as a string" in error["message"]
    answer = await call(api, "observePrice", **inside("observePrice", "price", amount=3))
    assert answer["__typename"] == "PriceObserved"


# Imports


async def test_an_import_answers_for_each_of_its_artifacts(api: Api) -> None:
    await furnish(api)
    good = {**ARTIFACT, "slug": "good", "capabilities": [{**CAPABILITY, "provenance": None}]}
    bad = {**ARTIFACT, "slug": "bad", "prices": [{**PRICE, "amount": "-1"}]}
    clash = {**ARTIFACT, "slug": "clash", "aliases": ["tables"]}
    answer = await call(
        api,
        "importArtifacts",
        artifacts=[good, bad, clash, {**ARTIFACT, "slug": "gone"}, ARTIFACT],
    )
    assert answer["__typename"] == "ArtifactsImported"
    found = [
        (one["slug"], one["outcome"], one["events"], (one["refusal"] or {}).get("__typename"))
        for one in answer["artifacts"]
    ]
    assert found == [
        ("good", "REGISTERED", 2, None),
        ("bad", "REFUSED", 0, "PriceSentinel"),
        ("clash", "REFUSED", 0, "SlugTaken"),
        ("gone", "REFUSED", 0, "RetiredArtifact"),
        ("parser", "UNCHANGED", 0, None),
    ]
    assert int(answer["position"]) == await api.store.head()
    again = await call(api, "importArtifacts", artifacts=[good])
    assert [(one["outcome"], one["events"]) for one in again["artifacts"]] == [("UNCHANGED", 0)]


async def test_an_import_has_its_limit(api: Api) -> None:
    many = [{**ARTIFACT, "slug": f"parser-{n}"} for n in range(251)]
    error = await api.error(document("importArtifacts"), artifacts=many)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "at most 250" in error["message"]
    assert await api.store.head() == 0
    answer = await call(api, "importArtifacts", artifacts=many[:250])
    assert {one["outcome"] for one in answer["artifacts"]} == {"REGISTERED"}
    assert answer["position"] == "250"


async def test_nothing_is_imported_from_a_malformed_call(api: Api) -> None:
    artifacts = [ARTIFACT, {**ARTIFACT, "slug": "other", "kind": "NO_SUCH_KIND"}]
    assert (await api.answer(document("importArtifacts"), artifacts=artifacts))["errors"]
    assert await api.store.head() == 0


async def test_an_import_with_the_key_of_another_call_is_refused(api: Api) -> None:
    first: Said = {"artifacts": [ARTIFACT], "idempotencyKey": "k"}
    await call(api, "importArtifacts", **first)
    answer = await call(
        api, "importArtifacts", **{**first, "artifacts": [{**ARTIFACT, "slug": "other"}]}
    )
    assert answer["__typename"] == "IdempotencyKeyReused"
    assert members("importArtifacts") == {"ArtifactsImported", "IdempotencyKeyReused"}
