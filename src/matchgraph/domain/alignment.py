"""Which capabilities of two artifacts mean the same, one to one. Pure functions.

How near two texts are is measured elsewhere (queries/meaning.py); what follows from it is decided
here. The numbers were chosen on eval/alignment/pairs.yaml; docs/comparison.md tells how.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from matchgraph.domain.capability import Capability, DataType


class Basis(StrEnum):
    """What nearness was measured by."""

    MEANING = "meaning"
    WORDS = "words"


class Likeness(StrEnum):
    """How near two capabilities are: the same thing done, or something near it."""

    SHARED = "shared"
    SIMILAR = "similar"


class Threshold(NamedTuple):
    """From which similarity on two capabilities are shared, and similar."""

    shared: float
    similar: float


THRESHOLDS: Mapping[Basis, Threshold] = MappingProxyType(
    {Basis.MEANING: Threshold(0.52, 0.42), Basis.WORDS: Threshold(0.41, 0.32)}
)
# The same key or the same name closes this share of the distance.
SAME_NAME = 0.3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two like capabilities, by their places among the artifact's own."""

    left: int
    right: int
    similarity: float
    likeness: Likeness


Matrix = Sequence[Sequence[float]]
# The like capabilities of each two artifacts, by the artifacts' places.
Pairs = Mapping[tuple[int, int], Sequence[Pair]]


def align(
    left: Sequence[Capability],
    right: Sequence[Capability],
    nearness: Matrix,
    limits: Threshold = THRESHOLDS[Basis.MEANING],
) -> tuple[Pair, ...]:
    """Pairs of like capabilities: each is the other's nearest, and their types fit.

    Shape: `nearness` has a row for each of `left` and a column for each of `right`. No capability
        is in two pairs; shared pairs come first, each sort in the order of `left`.
    Units: nearness and similarity from 0 to 1.
    """
    return align_each((left, right), {(0, 1): nearness}, limits)[0, 1]


def align_each(
    sides: Sequence[Sequence[Capability]],
    nearness: Mapping[tuple[int, int], Matrix],
    limits: Threshold = THRESHOLDS[Basis.MEANING],
) -> dict[tuple[int, int], tuple[Pair, ...]]:
    """`align` for each two artifacts, by their places, whose nearness is given."""
    return align_read(list(map(read, sides)), nearness, limits)


def read(side: Sequence[Capability]) -> "Read":
    """What alignment looks at in the capabilities of an artifact, which takes longer to see than to
    compare."""
    return tuple(map(_Said.of, side))


def align_read(
    told: "Sequence[Read]",
    nearness: Mapping[tuple[int, int], Matrix],
    limits: Threshold = THRESHOLDS[Basis.MEANING],
) -> dict[tuple[int, int], tuple[Pair, ...]]:
    """`align_each` of artifacts whose capabilities were read."""
    return {
        (one, other): _aligned(told[one], told[other], matrix, limits)
        for (one, other), matrix in nearness.items()
    }


def _aligned(
    left: "Sequence[_Said]", right: "Sequence[_Said]", nearness: Matrix, limits: Threshold
) -> tuple[Pair, ...]:
    # Types are few and pairs are many.
    apart = {
        (one, other)
        for one in {one.facets for one in left}
        for other in {other.facets for other in right}
        if _contradict(one, other)
    }
    near = [
        (similarity, row, column)
        for row, one in enumerate(left)
        for column, (other, value) in enumerate(zip(right, nearness[row], strict=True))
        if (similarity := _likened(one, other, value)) >= limits.similar
        and (one.facets, other.facets) not in apart
    ]
    shared = _mutual([entry for entry in near if entry[0] >= limits.shared])
    taken = {row for _, row, _ in shared}, {column for _, _, column in shared}
    similar = _mutual([e for e in near if e[1] not in taken[0] and e[2] not in taken[1]])
    return tuple(
        Pair(row, column, similarity, likeness)
        for likeness, found in ((Likeness.SHARED, shared), (Likeness.SIMILAR, similar))
        for similarity, row, column in sorted(found, key=lambda entry: entry[1])
    )


def likened(one: Capability, other: Capability, nearness: float) -> float:
    """The nearness of what two capabilities say, raised where they are called the same."""
    return _likened(_Said.of(one), _Said.of(other), nearness)


def _likened(one: "_Said", other: "_Said", nearness: float) -> float:
    nearness = min(1.0, max(0.0, nearness))
    if one.key == other.key or one.name == other.name:
        nearness += SAME_NAME * (1.0 - nearness)
    return nearness


_Entry = tuple[float, int, int]


def _mutual(near: Sequence[_Entry]) -> list[_Entry]:
    """The entries that are the best both of their row and of their column; where two are equally
    near, neither side decides and the first does."""
    rows: dict[int, _Entry] = {}
    columns: dict[int, _Entry] = {}
    for entry in near:
        similarity, row, column = entry
        if row not in rows or similarity > rows[row][0]:
            rows[row] = entry
        if column not in columns or similarity > columns[column][0]:
            columns[column] = entry
    return [entry for row, entry in rows.items() if columns[entry[2]] == entry]


def groups(pairs: Pairs) -> tuple[tuple[tuple[int, int], ...], ...]:
    """What several artifacts share: groups with at most one capability of each artifact.

    The most alike pair is joined first; two groups become one unless an artifact were in it twice.
    Shape: `pairs` of artifacts (by place) to their pairs; a group is (artifact, capability) by
        place, in order, groups by their first member.
    """
    joined: dict[tuple[int, int], dict[int, int]] = {}
    found = sorted(
        (-pair.similarity, (one, pair.left), (other, pair.right))
        for (one, other), said in pairs.items()
        for pair in said
        if pair.likeness is Likeness.SHARED
    )
    for _, *ends in found:
        first, second = (joined.setdefault(end, {end[0]: end[1]}) for end in ends)
        if first is not second and first.keys().isdisjoint(second):
            first.update(second)
            for member in second.items():
                joined[member] = first
    whole = {tuple(sorted(group.items())) for group in joined.values() if len(group) > 1}
    return tuple(sorted(whole))


def shared_places(pairs: Pairs) -> frozenset[tuple[int, int]]:
    """Every (artifact, capability), by place, that is shared with another artifact."""
    return frozenset(
        end
        for (one, other), found in pairs.items()
        for pair in found
        if pair.likeness is Likeness.SHARED
        for end in ((one, pair.left), (other, pair.right))
    )


class Facets(NamedTuple):
    """What goes in and what comes out; empty where nothing is known."""

    inputs: frozenset[DataType]
    outputs: frozenset[DataType]


class _Said(NamedTuple):
    """What alignment looks at in a capability; names are the same in any case."""

    key: str
    name: str
    facets: Facets

    @classmethod
    def of(cls, capability: Capability) -> "_Said":
        return cls(capability.key, capability.name.casefold(), facets(capability))


Read = tuple[_Said, ...]


def contradict(one: Capability, other: Capability) -> bool:
    """Whether two capabilities cannot be the same, because other things go in or come out.

    Nothing known contradicts nothing. Text goes with nearly everything, so where both sides name
    something beside text, that must have something in common, too.
    """
    return _contradict(facets(one), facets(other))


def _contradict(one: Facets, other: Facets) -> bool:
    return any(map(_apart, one, other))


def _apart(one: frozenset[DataType], other: frozenset[DataType]) -> bool:
    if not one or not other:
        return False
    if one.isdisjoint(other):
        return True
    one, other = one - {DataType.TEXT}, other - {DataType.TEXT}
    return bool(one and other) and one.isdisjoint(other)


def facets(capability: Capability) -> Facets:
    """What goes in and what comes out: as it is said, or else as the words tell."""
    inputs, outputs = _told(capability)
    return Facets(
        _widened(capability.input_types) or inputs, _widened(capability.output_types) or outputs
    )


def _widened(types: Sequence[DataType]) -> frozenset[DataType]:
    # A PDF is a file, and some name the one and some the other.
    return frozenset(DataType.FILE if one is DataType.PDF else one for one in types)


# Only words that name a medium together with what is done to it are taken at their word.
MEDIA: Mapping[str, DataType] = MappingProxyType(
    {
        "text": DataType.TEXT,
        "image": DataType.IMAGE,
        "picture": DataType.IMAGE,
        "photo": DataType.IMAGE,
        "video": DataType.VIDEO,
        "audio": DataType.AUDIO,
        "speech": DataType.AUDIO,
        "voice": DataType.AUDIO,
        "music": DataType.AUDIO,
        "code": DataType.CODE,
        "3d": DataType.THREE_D,
    }
)
_MEDIUM = rf"({'|'.join(MEDIA)})s?"
_TURNED = re.compile(rf"\b{_MEDIUM} to {_MEDIUM}\b")
_MADE = re.compile(rf"\b{_MEDIUM} (?:generation|synthesis|creation)\b")
_INSIDE = re.compile(rf"\b(?:inside|within) (?:an? |the |generated )*{_MEDIUM}\b")
_READ = re.compile(
    rf"\b{_MEDIUM} (?:understanding|recognition|captioning|transcription|question answering)\b"
)
_SEEN = re.compile(r"\bvisual(?:ly)?[ -](?:grounded|question|reasoning|understanding)")


def _told(capability: Capability) -> Facets:
    """What the words tell of types: those of the name and the key, and of the description only
    what is said to be inside of what is made."""
    called = f"{capability.name} {capability.key}".casefold().replace("-", " ").replace("_", " ")
    inputs: set[DataType] = set()
    outputs: set[DataType] = set()
    for source, target in _TURNED.findall(called):
        inputs.add(MEDIA[source])
        outputs.add(MEDIA[target])
    for read in _READ.findall(called):
        inputs.add(MEDIA[read])
        outputs.add(DataType.TEXT)
    if _SEEN.search(called):
        inputs.add(DataType.IMAGE)
    outputs.update(MEDIA[made] for made in _MADE.findall(called))
    outputs.update(MEDIA[one] for one in _INSIDE.findall(f"{called} {capability.description}"))
    return Facets(frozenset(inputs), frozenset(outputs))
