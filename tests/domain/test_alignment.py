"""Which capabilities of two artifacts mean the same: worked cases, and what holds for any."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.alignment import (
    SAME_NAME,
    THRESHOLDS,
    Basis,
    Likeness,
    Pair,
    Threshold,
    align,
    align_each,
    contradict,
    facets,
    groups,
    likened,
    shared_places,
)
from matchgraph.domain.capability import Capability, DataType
from tests.eventstore.histories import provenance

LIMITS = Threshold(0.6, 0.4)
TEXT, IMAGE, VIDEO, AUDIO, CODE = (
    DataType.TEXT,
    DataType.IMAGE,
    DataType.VIDEO,
    DataType.AUDIO,
    DataType.CODE,
)


def can(key: str, name: str = "", description: str = "It does.", **said: Any) -> Capability:
    return Capability(
        key=key, name=name or key, description=description, provenance=provenance(), **said
    )


def test_each_capability_is_aligned_with_the_one_nearest_to_it() -> None:
    left, right = [can("a"), can("b")], [can("x"), can("y")]
    pairs = align(left, right, [[0.7, 0.9], [0.8, 0.95]], LIMITS)
    # b and y choose each other. a and x are each other's second choice, so no more than similar.
    assert pairs == (
        Pair(1, 1, 0.95, Likeness.SHARED),
        Pair(0, 0, 0.7, Likeness.SIMILAR),
    )


def test_what_is_near_and_not_the_same_is_similar() -> None:
    left, right = [can("a"), can("b")], [can("x"), can("y"), can("z")]
    pairs = align(left, right, [[0.9, 0.5, 0.0], [0.1, 0.5, 0.3]], LIMITS)
    assert pairs == (
        Pair(0, 0, 0.9, Likeness.SHARED),
        Pair(1, 1, 0.5, Likeness.SIMILAR),
    )


def test_the_same_key_or_name_closes_a_part_of_the_distance() -> None:
    assert likened(can("a", "Chat"), can("b", "CHAT"), 0.5) == pytest.approx(0.5 + SAME_NAME * 0.5)
    assert likened(can("a", "One"), can("a", "Two"), 0.0) == pytest.approx(SAME_NAME)
    assert likened(can("a", "One"), can("b", "Two"), 0.5) == 0.5
    assert likened(can("a", "One"), can("a", "Two"), 1.0) == 1.0


def test_the_same_name_alone_shares_nothing() -> None:
    for basis in Basis:
        assert THRESHOLDS[basis].similar > SAME_NAME
        assert not align([can("a")], [can("a")], [[0.0]], THRESHOLDS[basis])


CONTRADICTIONS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"output_types": (TEXT,)}, {"output_types": (IMAGE,)}, True),
    ({"input_types": (TEXT,)}, {"input_types": (AUDIO,)}, True),
    ({"output_types": (TEXT,)}, {}, False),
    ({"input_types": (TEXT, IMAGE)}, {"input_types": (TEXT,)}, False),
    # Both take text, but the one is for pictures and the other for films.
    ({"input_types": (TEXT, IMAGE)}, {"input_types": (TEXT, VIDEO)}, True),
    ({"input_types": (TEXT, IMAGE, VIDEO)}, {"input_types": (TEXT, VIDEO)}, False),
    ({"input_types": (DataType.PDF,)}, {"input_types": (DataType.FILE,)}, False),
    ({"output_types": (TEXT, CODE)}, {"output_types": (CODE,)}, False),
]


@pytest.mark.parametrize(("one", "other", "apart"), CONTRADICTIONS)
def test_types_contradict_where_nothing_is_common(
    one: dict[str, Any], other: dict[str, Any], apart: bool
) -> None:
    assert contradict(can("a", **one), can("b", **other)) is apart
    assert contradict(can("b", **other), can("a", **one)) is apart


def test_what_contradicts_is_never_aligned_however_near() -> None:
    left = [can("text-rendering", "Lettering", output_types=(IMAGE,))]
    right = [can("text-rendering", "Lettering", output_types=(VIDEO,))]
    assert align(left, right, [[1.0]], LIMITS) == ()


WORDS: list[tuple[str, str, set[DataType], set[DataType]]] = [
    ("Text-to-image generation", "", {TEXT}, {IMAGE}),
    ("Image understanding", "", {IMAGE}, {TEXT}),
    ("Visually grounded text generation", "", {IMAGE}, {TEXT}),
    ("Readable text rendering inside images", "", set(), {IMAGE}),
    ("Lettering", "Draws words inside the picture.", set(), {IMAGE}),
    ("Speech recognition", "", {AUDIO}, {TEXT}),
    ("Agents", "Reads images and writes text.", set(), set()),
    ("Video", "Looks at videos.", set(), set()),
]


@pytest.mark.parametrize(("name", "description", "inputs", "outputs"), WORDS)
def test_words_tell_types_where_nobody_said_them(
    name: str, description: str, inputs: set[DataType], outputs: set[DataType]
) -> None:
    told = facets(can("a", name, description or "It does."))
    assert (set(told.inputs), set(told.outputs)) == (inputs, outputs)


def test_types_that_are_said_go_before_words() -> None:
    said = can("text-to-image", input_types=(IMAGE,), output_types=(DataType.ACTION,))
    told = facets(said)
    assert (set(told.inputs), set(told.outputs)) == ({IMAGE}, {DataType.ACTION})


def test_text_about_pictures_is_not_text_inside_pictures() -> None:
    reads = can("grounding", "Visually grounded text generation")
    draws = can("lettering", "Readable text rendering inside images")
    assert contradict(reads, draws)
    assert align([reads], [draws], [[0.99]], LIMITS) == ()


def test_what_several_share_is_put_together_with_each_artifact_once() -> None:
    shared = Likeness.SHARED
    pairs = {
        (0, 1): (Pair(0, 0, 0.9, shared), Pair(1, 1, 0.7, shared)),
        (1, 2): (Pair(0, 0, 0.8, shared), Pair(1, 0, 0.65, shared)),
        (0, 2): (Pair(0, 1, 0.7, shared), Pair(2, 2, 0.5, Likeness.SIMILAR)),
    }
    # The first of all three; its second one of artifact 2 came too late.
    assert groups(pairs) == (((0, 0), (1, 0), (2, 0)), ((0, 1), (1, 1)))
    assert (2, 1) in shared_places(pairs)
    assert (2, 2) not in shared_places(pairs)


keys = st.sampled_from(["a", "b", "c"])
kinds = st.lists(st.sampled_from([TEXT, IMAGE, VIDEO]), max_size=2, unique=True).map(tuple)
capabilities = st.lists(
    st.builds(
        lambda key, name, i, o: can(key, name, input_types=i, output_types=o),
        keys,
        keys,
        kinds,
        kinds,
    ),
    max_size=5,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Capability], list[Capability], list[list[float]]]:
    left, right = draw(capabilities), draw(capabilities)
    near = st.lists(st.floats(0, 1), min_size=len(right), max_size=len(right))
    return left, right, [draw(near) for _ in left]


@given(cases())
def test_alignment_is_one_to_one_and_the_same_from_either_side(
    case: tuple[list[Capability], list[Capability], list[list[float]]],
) -> None:
    left, right, near = case
    pairs = align(left, right, near, LIMITS)
    assert len({pair.left for pair in pairs}) == len({pair.right for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert not contradict(left[pair.left], right[pair.right])
        least = LIMITS.shared if pair.likeness is Likeness.SHARED else LIMITS.similar
        assert least <= pair.similarity <= 1
    turned = align(
        right,
        left,
        [list(column) for column in zip(*near, strict=True)] or [[] for _ in right],
        LIMITS,
    )
    assert {(pair.right, pair.left, pair.likeness) for pair in turned} == {
        (pair.left, pair.right, pair.likeness) for pair in pairs
    }


@given(cases())
def test_several_are_aligned_two_at_a_time(
    case: tuple[list[Capability], list[Capability], list[list[float]]],
) -> None:
    left, right, near = case
    same = [[float(one is other) for other in left] for one in left]
    found = align_each([left, right, left], {(0, 1): near, (0, 2): same}, LIMITS)
    assert found == {
        (0, 1): align(left, right, near, LIMITS),
        (0, 2): align(left, left, same, LIMITS),
    }


@given(
    st.dictionaries(
        st.sampled_from([(0, 1), (0, 2), (1, 2)]),
        st.lists(
            st.tuples(st.integers(0, 3), st.floats(0.6, 1)), max_size=4, unique_by=lambda x: x[0]
        ),
    )
)
def test_a_group_has_no_artifact_twice_and_no_capability_is_in_two(
    said: dict[tuple[int, int], list[tuple[int, float]]],
) -> None:
    pairs = {
        ends: [Pair(place, 3 - place, near, Likeness.SHARED) for place, near in own]
        for ends, own in said.items()
    }
    found = groups(pairs)
    members = [member for group in found for member in group]
    assert len(set(members)) == len(members)
    assert set(members) <= shared_places(pairs)
    for group in found:
        assert len({artifact for artifact, _ in group}) == len(group) > 1
