"""Documents that are parsed, validated and compiled once."""

from typing import Any

from graphql import parse

from matchgraph.graphql import documents
from matchgraph.graphql.documents import Documents
from matchgraph.graphql.schema import CatalogSchema
from tests.graphql.client import Api, context_of
from tests.graphql.mutations import ARTIFACT, call

HEADER = "query Header($slug: String!) { artifact(slug: $slug) { slug name } }"


def schema(api: Api) -> CatalogSchema:
    found: CatalogSchema = api.app.state.sharing._schema
    return found


async def test_a_document_is_read_once_and_answers_the_same_each_time(api: Api) -> None:
    await call(api, "registerArtifact", **ARTIFACT)
    position = await api.store.head()
    said = HEADER.replace("($slug", '($position: Position = "0", $slug').replace(
        ") {", ") @atLeast(position: $position) {", 1
    )
    answers = [await api.answer(said, slug="parser", position=str(position)) for _ in range(4)]
    assert answers[0]["data"]["artifact"]["slug"] == "parser"
    assert all(answer == answers[0] for answer in answers)
    known = schema(api).documents.find(said)
    assert known is not None
    assert len(known.valid) == 1
    assert len(known.plans._plans) == 1


async def test_what_is_not_valid_is_told_each_time(still: Api) -> None:
    said = "{ artifact(slug: 3) { nothing } }"
    answers = [await still.answer(said) for _ in range(3)]
    assert len(answers[0]["errors"]) == 2
    assert answers[1] == answers[2] == answers[0]
    known = schema(still).documents.find(said)
    assert known is not None
    assert known.valid == set()
    broken = [await still.answer("{ artifact(") for _ in range(2)]
    assert broken[0] == broken[1]
    assert schema(still).documents.find("{ artifact(") is None


async def test_what_one_may_ask_another_may_still_not(still: Api) -> None:
    """The schema is closed to whoever has no key, also when somebody with one has just asked."""
    closed = schema(still)
    said = "{ __schema { queryType { name } } }"
    for shows_schema in (True, True, False, False, True):
        context = context_of(still.app, shows_schema=shows_schema)
        result = await closed.execute(said, context_value=context)
        codes = [(error.extensions or {})["code"] for error in result.errors or ()]
        assert codes == ([] if shows_schema else ["GRAPHQL_VALIDATION_FAILED"] * len(codes))
        assert bool(codes) is not shows_schema


def test_no_more_documents_are_kept_than_there_is_room_for() -> None:
    kept = Documents()

    def keep(text: str) -> Any:
        document = parse(text)
        kept.keep(text, document)
        return document

    first = keep("{ a }")
    assert kept.of(first) is kept.find("{ a }")
    for number in range(documents.MOST_DOCUMENTS - 1):
        keep(f"{{ b{number} }}")
    assert kept.find("{ a }") is not None
    keep("{ c }")
    # The one used least recently is gone.
    assert kept.find("{ b0 }") is None
    assert kept.find("{ a }") is not None
    keep("{ d } #" + "x" * (documents.MOST_CHARACTERS - 100))
    assert kept.find("{ b9 }") is None
    assert kept.find("{ d } #" + "x" * (documents.MOST_CHARACTERS - 100)) is not None
