"""Searchers who were forgotten: each key once."""

from uuid import UUID

from matchgraph.domain.searcher import Searcher, id_of
from tests.domain.given import fact, given, happened

ONE, TWO = UUID(int=1), UUID(int=2)


def test_forgetting_names_the_key_that_is_destroyed() -> None:
    made = Searcher.forget(None, "ann", ONE)
    assert made.id == id_of("ann") != id_of("bob")
    assert happened(made) == [fact(Searcher.Forgotten, searcher="ann", key=ONE)]


def test_a_key_is_forgotten_once_and_another_one_after_it() -> None:
    made = given(Searcher.forget(None, "ann", ONE))
    assert happened(Searcher.forget(made, "ann", ONE)) == []
    assert happened(Searcher.forget(made, "ann", TWO)) == [
        fact(Searcher.Forgotten, searcher="ann", key=TWO)
    ]
    assert made.forgotten == (ONE, TWO)
    assert made.version == 2
