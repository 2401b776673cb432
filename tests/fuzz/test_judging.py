"""The judge of the fuzzing lets nothing pass that nobody may get."""

import json

import pytest
from graphql import build_schema

from tests.fuzz.judging import Judge, Wrong

SCHEMA = build_schema(
    "type Query { one: One all: [Named!]! size: Int! } interface Named { name: String! }"
    " type One implements Named { name: String! at: DateTime kind: Kind } type Two implements Named"
    " { name: String! } enum Kind { A B } scalar DateTime"
)
ASKED = "{ one { name at kind } all { __typename name } size }"
ONE = {"name": "x", "at": "2026-01-01T00:00:00+00:00", "kind": "A"}
FINE = {"one": ONE, "all": [{"__typename": "Two", "name": "y"}], "size": 1}


def test_what_is_as_it_should_be_passes_and_is_counted() -> None:
    judge = Judge(SCHEMA)
    judge.response(200, json.dumps({"data": FINE}).encode(), ASKED)
    judge.response(200, json.dumps({"data": {**FINE, "one": None}}).encode(), ASKED)
    assert judge.resolved["Two.name"] == judge.resolved["Query.one"] == 2
    assert judge.resolved["One.at"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"size": None},
        {"size": "1"},
        {"size": 2**31},
        {"all": [None]},
        {"all": {}},
        {"all": [{"__typename": "Query", "name": "y"}]},
        {"one": {**ONE, "kind": "C"}},
        {"one": {**ONE, "at": "yesterday"}},
        {"one": {**ONE, "more": 1}},
        {"one": {"name": "x"}},
    ],
)
def test_an_answer_that_the_schema_does_not_know_is_wrong(changed: dict[str, object]) -> None:
    with pytest.raises(Wrong):
        Judge(SCHEMA).response(200, json.dumps({"data": {**FINE, **changed}}).encode(), ASKED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (503, b'{"errors": [{"message": "away", "extensions": {"code": "UNAVAILABLE"}}]}'),
        (200, b"fine"),
        (200, b"[]"),
        (400, b'{"errors": [{"message": "no"}]}'),
        (200, b'{"errors": [{"message": "no", "extensions": {"code": "INTERNAL"}}]}'),
        (400, b'{"errors": [{"message": "relation \\"x\\"", "extensions": {"code": "BAD"}}]}'),
        (400, b"Traceback (most recent call last)"),
        (400, b"ValueError: 7"),
    ],
)
def test_bugs_and_what_is_behind_the_door_are_wrong(status: int, body: bytes) -> None:
    with pytest.raises(Wrong):
        Judge(SCHEMA).response(status, body, None)
