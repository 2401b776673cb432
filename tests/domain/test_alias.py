"""Another slug that leads to an artifact, and what becomes of it."""

import pytest

from matchgraph.domain.artifact import Alias, id_of
from matchgraph.domain.errors import BadSlug, UnknownAlias
from tests.domain.given import fact, given, happened
from tests.eventstore.histories import artifact


def test_an_alias_has_the_id_that_an_artifact_by_its_slug_would_have() -> None:
    alias = Alias.of("tables", id_of("parser"))
    assert alias.id == artifact("tables").id
    assert happened(alias) == [fact(Alias.Aliased, slug="tables", artifact_id=id_of("parser"))]


@pytest.mark.parametrize("slug", ["", "Tables", "-", "a" * 121, "a\0b", "\ud800"])
def test_an_alias_is_a_slug(slug: str) -> None:
    with pytest.raises(BadSlug):
        Alias.of(slug, id_of("parser"))


def test_a_removed_alias_can_lead_somewhere_again() -> None:
    alias = given(Alias.of("tables", id_of("parser")))
    alias.lead_to(id_of("parser"))
    assert happened(alias) == []
    alias.remove()
    assert happened(alias) == [fact(Alias.Unaliased)]
    assert given(alias).artifact_id is None
    alias.lead_to(id_of("other"))
    assert happened(alias) == [fact(Alias.Realiased, artifact_id=id_of("other"))]
    assert alias.artifact_id == id_of("other")


def test_an_alias_that_leads_nowhere_is_not_removed_again() -> None:
    alias = Alias.of("tables", id_of("parser"))
    alias.remove()
    given(alias)
    with pytest.raises(UnknownAlias):
        alias.remove()
    assert happened(alias) == []
