"""Each role may do all that those before it may."""

from matchgraph.domain.role import Role


def test_roles_are_in_the_order_in_which_they_may_more() -> None:
    assert sorted(Role, reverse=True) == [
        *(Role.OPERATOR, Role.AUDITOR, Role.CURATOR, Role.CONTRIBUTOR, Role.ANONYMOUS)
    ]
    for number, lower in enumerate(Role):
        for higher in list(Role)[number + 1 :]:
            assert lower < higher
            assert higher >= lower
            assert not higher <= lower
        assert lower <= Role(lower.value)
