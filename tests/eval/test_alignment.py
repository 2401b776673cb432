"""What is called the same is the same, on pairs of real artifacts that were judged beforehand."""

import pytest

from eval import alignment
from eval.alignment import HALVES, Judged
from matchgraph import embedding
from matchgraph.domain.alignment import THRESHOLDS, Basis, Likeness


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return alignment.read()


def test_there_is_enough_to_judge_by(judged: list[Judged]) -> None:
    assert len(judged) >= 25
    assert sum(one.same for one in judged) >= 90
    told_apart = [grade for one in judged for grade in one.grades.values() if grade != "same"]
    assert len(told_apart) >= 90
    halves = [sum(one.split == half for one in judged) for half in HALVES]
    assert sum(halves) == len(judged)
    assert min(halves) > 0.45 * len(judged)
    pairs = {frozenset((one.left.slug, one.right.slug)) for one in judged}
    assert len(pairs) == len(judged), "each pair once, so that no half knows the other"


@pytest.mark.parametrize("basis", Basis)
def test_alignment_keeps_its_precision_and_recall_on_both_halves(
    judged: list[Judged], basis: Basis
) -> None:
    nearness = alignment.measured(judged, embedding.load() if basis is Basis.MEANING else None)
    for half in HALVES:
        some = alignment._half(half, judged, nearness)
        found = list(alignment.aligned(*some, THRESHOLDS[basis]))
        score = alignment.score(some[0], found)
        assert score.precision >= 0.92, (half, score)
        assert score.recall >= 0.85, (half, score)
    apart = [one for one in judged if one.left.slug == "stable-diffusion-3.5-large"]
    (place,) = (judged.index(one) for one in apart if one.right.slug == "qwen3.5-35b-a3b")
    shared = alignment.aligned([judged[place]], [nearness[place]], THRESHOLDS[basis])
    assert not [one for one in shared if one.likeness is Likeness.SHARED]
