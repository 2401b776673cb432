"""`python -m eval alignment`: which capabilities of two artifacts are alike, on judged pairs.

Judged in alignment/pairs.yaml. Thresholds are chosen on one half of the pairs (`tune`) and hold for
the other (`held`); what the code uses is marked.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from eval.catalog import CATALOG, Entry, entries
from matchgraph import embedding
from matchgraph.domain.alignment import THRESHOLDS, Basis, Likeness, Pair, Threshold, align
from matchgraph.domain.capability import Capability
from matchgraph.imports import manifest
from matchgraph.queries.meaning import Matrix, Texts, Vectors, near

JUDGED = Path(__file__).with_name("alignment") / "pairs.yaml"
HALVES = ("tune", "held")
GRADES = ("same", "related", "different")
SHOWN = tuple(round(0.30 + step * 0.02, 2) for step in range(19))
HAND_WRITTEN = frozenset(draft.slug for draft in manifest.read(CATALOG).drafts)


@dataclass(frozen=True)
class Judged:
    """Two artifacts, and how like their capabilities are; what is not named is different. `same`
    counts those that mean the same, of several that one artifact says twice only one."""

    left: Entry
    right: Entry
    split: str
    grades: dict[tuple[str, str], str]
    same: int

    # What is done to the capabilities on the right before they are aligned.
    changed: Callable[[Capability], Capability] = lambda one: one

    @property
    def sides(self) -> tuple[list[Capability], list[Capability]]:
        """The capabilities of both."""
        right = [self.changed(one) for one in self.right.capabilities.values()]
        return list(self.left.capabilities.values()), right

    def keys(self, pair: Pair) -> tuple[str, str]:
        """The keys of two capabilities, by their places."""
        return [*self.left.capabilities][pair.left], [*self.right.capabilities][pair.right]


class Found(NamedTuple):
    """A pair that was aligned: how near and how like, with which judgement, and what."""

    similarity: float
    likeness: Likeness
    grade: str
    pair: str


class Score(NamedTuple):
    """Of what was called shared, how much is the same; and of what is the same, how much."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Both in one number."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def __str__(self) -> str:
        return f"    {self.precision:8.3f} {self.recall:6.3f} {self.f1:6.3f}"


def run(arguments: Sequence[str] = ()) -> None:
    """Prints precision and recall at each threshold, and what the one in use gets wrong."""
    parser = argparse.ArgumentParser(prog="eval alignment")
    parser.add_argument("--embedding", default=embedding.DEFAULT, choices=embedding.available())
    options = parser.parse_args(arguments)
    judged = read()
    model = embedding.load(options.embedding)
    for half in HALVES:
        print(f"{half}: {_counted([one for one in judged if one.split == half])}")
    for basis in Basis:
        nearness = measured(judged, model if basis is Basis.MEANING else None)
        print(f"\nby {basis.value}{f' ({model.model})' if basis is Basis.MEANING else ' alone'}")
        _print_table(basis, judged, nearness)
        _print_parts(basis, judged, nearness)
        _print_similar(basis, judged, nearness)
        _print_mistakes(basis, judged, nearness)


def read() -> list[Judged]:
    """The judged pairs. Raises: ValueError for a capability that there is not, or one twice."""
    catalog = entries()
    found = []
    for one in yaml.safe_load(JUDGED.read_text())["pairs"]:
        left, right = catalog[one["left"]], catalog[one["right"]]
        grades: dict[tuple[str, str], str] = {}
        for grade in GRADES:
            for line in one.get(grade, ()):
                first, _, second = line.partition(" = ")
                for keys in product(first.split(" | "), (second or first).split(" | ")):
                    if keys[0] not in left.capabilities or keys[1] not in right.capabilities:
                        raise ValueError(f"{left.slug}, {right.slug}: there is no {line!r}")
                    if keys in grades:
                        raise ValueError(f"{left.slug}, {right.slug}: {line!r} is judged twice")
                    grades[keys] = grade
        found.append(Judged(left, right, one["split"], grades, len(one.get("same", ()))))
    return found


def measured(judged: Sequence[Judged], model: embedding.Embedder | None) -> list[Matrix]:
    """How near the capabilities of each pair are, in the order of the pairs."""
    texts = [
        [
            Texts.of(capability, entry.facts.name or "")
            for entry in (one.left, one.right)
            for capability in entry.capabilities.values()
        ]
        for one in judged
    ]
    vectors: dict[str, NDArray[np.float64]] = {}
    if model is not None:
        said = sorted(
            {text for own in texts for one in own for text in (one.description, *one.intents)}
        )
        vectors = dict(zip(said, model.embed(said).astype(float), strict=True))
    found = []
    for one, own in zip(judged, texts, strict=True):
        whole = near(own, _vectors(own, vectors) if vectors else None)
        border = len(one.left.capabilities)
        found.append(whole[:border, border:])
    return found


def _vectors(texts: Sequence[Texts], vectors: Mapping[str, NDArray[np.float64]]) -> Vectors:
    described = np.array([vectors[one.description] for one in texts])
    intended = np.zeros_like(described)
    for row, one in enumerate(texts):
        if one.intents:
            intended[row] = np.mean([vectors[intent] for intent in one.intents], axis=0)
    return Vectors(described, intended)


def aligned(
    judged: Sequence[Judged], nearness: Sequence[Matrix], limits: Threshold
) -> Iterator[Found]:
    """What is aligned, with what was judged of it."""
    for one, matrix in zip(judged, nearness, strict=True):
        left, right = one.sides
        for pair in align(left, right, matrix.tolist(), limits):
            keys = one.keys(pair)
            said = f"{one.left.slug} {keys[0]} = {one.right.slug} {keys[1]}"
            yield Found(pair.similarity, pair.likeness, one.grades.get(keys, "different"), said)


def score(judged: Sequence[Judged], found: Sequence[Found]) -> Score:
    """Precision and recall of what was found to be shared."""
    same = sum(one.same for one in judged)
    shared = [one for one in found if one.likeness is Likeness.SHARED]
    right = sum(one.grade == "same" for one in shared)
    return Score(right / len(shared) if shared else 1.0, right / same if same else 1.0)


def _half(
    half: str, judged: Sequence[Judged], nearness: Sequence[Matrix]
) -> tuple[list[Judged], list[Matrix]]:
    of_half = [(o, m) for o, m in zip(judged, nearness, strict=True) if o.split == half]
    return [one for one, _ in of_half], [matrix for _, matrix in of_half]


def _counted(judged: Sequence[Judged]) -> str:
    grades = [grade for one in judged for grade in one.grades.values()]
    counts = ", ".join(f"{grades.count(grade)} {grade}" for grade in GRADES)
    return f"{len(judged)} pairs of artifacts; of capabilities {counts}"


HEAD = f"{'':28}|{'|'.join(f' {half}: P      R     F1 ' for half in HALVES)}|"


def _row(name: str, judged: Sequence[Judged], nearness: Sequence[Matrix], limits: Threshold) -> str:
    scores = []
    for half in HALVES:
        of_half, near_half = _half(half, judged, nearness)
        scores.append(f"{score(of_half, list(aligned(of_half, near_half, limits)))} ")
    return f"{name:28}|{'|'.join(scores)}|"


def _print_table(basis: Basis, judged: Sequence[Judged], nearness: Sequence[Matrix]) -> None:
    used = THRESHOLDS[basis].shared
    print(HEAD)
    for threshold in sorted({*SHOWN, used}):
        row = _row(
            f"shared from {threshold:.2f}", judged, nearness, Threshold(threshold, threshold)
        )
        print(row + (" <- used" if threshold == used else ""))


def _print_parts(basis: Basis, judged: Sequence[Judged], nearness: Sequence[Matrix]) -> None:
    """What the rules add, each left out in turn."""
    limits = THRESHOLDS[basis]
    kinds: tuple[tuple[str, Callable[[Capability], Capability]], ...] = (
        ("called differently", lambda one: replace(one, key=f"{one.key}.", name=f"{one.name}.")),
        ("types not said", lambda one: replace(one, input_types=(), output_types=())),
    )
    for name, changed in kinds:
        other = [replace(one, changed=changed) for one in judged]
        print(_row(name, other, nearness, limits))
    written = [one.left.slug in HAND_WRITTEN and one.right.slug in HAND_WRITTEN for one in judged]
    for name, wanted in (("both written by hand", True), ("one or both imported", False)):
        chosen = [place for place, by_hand in enumerate(written) if by_hand is wanted]
        some = [judged[place] for place in chosen], [nearness[place] for place in chosen]
        print(_row(name, *some, limits))


def _print_similar(basis: Basis, judged: Sequence[Judged], nearness: Sequence[Matrix]) -> None:
    """What is called similar, by what was judged of it."""
    for half in HALVES:
        found = list(aligned(*_half(half, judged, nearness), THRESHOLDS[basis]))
        grades = [one.grade for one in found if one.likeness is Likeness.SIMILAR]
        counts = ", ".join(f"{grades.count(grade)} {grade}" for grade in GRADES)
        print(f"similar from {THRESHOLDS[basis].similar:.2f}, {half}: {counts}")


def _print_mistakes(basis: Basis, judged: Sequence[Judged], nearness: Sequence[Matrix]) -> None:
    found = list(aligned(judged, nearness, THRESHOLDS[basis]))
    shared = [one for one in found if one.likeness is Likeness.SHARED]
    for pair in shared:
        if pair.grade != "same":
            print(f"shared, judged {pair.grade} ({pair.similarity:.2f}): {pair.pair}")
    known = {pair.pair for pair in shared}
    for one in judged:
        pairs = [
            f"{one.left.slug} {left} = {one.right.slug} {right}"
            for (left, right), grade in one.grades.items()
            if grade == "same"
        ]
        if len(known.intersection(pairs)) < one.same:
            missing = [pair for pair in pairs if pair not in known]
            print(f"not shared, judged same: {', or '.join(missing)}")
