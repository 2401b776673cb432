"""How near the capabilities of artifacts are to each other: by meaning where every text has its
vector, and by words alone until then, so that artifacts can be compared from their first moment.

Read by graphql/comparison.py; measured by `python -m eval alignment`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.alignment import THRESHOLDS, Basis, Pair, Read, align_read, read
from matchgraph.domain.capability import Capability
from matchgraph.eventstore.connection import Fetches
from matchgraph.projections.search_index import meaning_of
from matchgraph.projections.words import terms

# How much the intents that it serves say of a capability, beside its description.
INTENTS = 0.4
# How much words say beside meaning: names of things are not what embeddings are best at.
WORDS = 0.3

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Texts:
    """What a capability says: the text that describes it, and the intents that it serves."""

    description: str
    intents: tuple[str, ...]

    @classmethod
    def of(cls, capability: Capability, artifact: str) -> "Texts":
        """Its texts as they are embedded, for the capability of the artifact with that name."""
        return cls(meaning_of(capability, artifact), capability.intents)


@dataclass(frozen=True, slots=True)
class Vectors:
    """What the texts of capabilities mean: a row of each for every capability, of zeros where there
    are no intents."""

    description: Matrix
    intents: Matrix


@dataclass(frozen=True, slots=True)
class _Words:
    """How often each term is in texts: a row for each text, of length 1, and the terms in the order
    of the columns."""

    rows: Matrix
    columns: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Words":
        counted = [Counter(terms(text)) for text in texts]
        columns = {term: place for place, term in enumerate(sorted(set().union(*counted)))}
        rows = np.zeros((len(texts), len(columns)))
        for row, counts in zip(rows, counted, strict=True):
            for term, count in counts.items():
                row[columns[term]] = count
        return cls(_unit(rows), columns)

    def alike(self, others: "_Words") -> Matrix:
        """The cosine of each with each of the others."""
        common = sorted(self.columns.keys() & others.columns.keys())
        here = self.rows[:, [self.columns[term] for term in common]]
        there = others.rows[:, [others.columns[term] for term in common]]
        return np.clip(here @ there.T, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the capabilities of one artifact say, as far as they are compared with others'; also by
    the vectors of a `model` where all of them are known."""

    read: Read
    described: _Words
    intended: _Words
    has_intents: NDArray[np.bool_]
    model: str | None = None
    vectors: Vectors | None = None

    @classmethod
    def of(
        cls,
        texts: Sequence[Texts],
        read: Read = (),
        model: str | None = None,
        vectors: Vectors | None = None,
    ) -> "Profile":
        """Of the texts of each capability, and the vectors of all of them."""
        return cls(
            read,
            _Words.of([one.description for one in texts]),
            _Words.of([" ".join(one.intents) for one in texts]),
            np.array([bool(one.intents) for one in texts], dtype=bool),
            model,
            None
            if vectors is None
            else Vectors(_unit(vectors.description), _unit(vectors.intents)),
        )


@dataclass(frozen=True)
class Described:
    """An artifact, what it is called, and what it can do."""

    artifact_id: UUID
    name: str
    capabilities: tuple[Capability, ...]

    def profile(self, model: str | None = None, vectors: Vectors | None = None) -> Profile:
        """What they say."""
        texts = [Texts.of(one, self.name) for one in self.capabilities]
        return Profile.of(texts, read(self.capabilities), model, vectors)


async def profiles(snapshot: Fetches, artifacts: Sequence[Described]) -> list[Profile]:
    """What the capabilities of these artifacts say. All have vectors of one model, or none has any,
    so that the numbers of an answer compare. Raises: Unavailable."""
    found = await vectors_of(snapshot, artifacts)
    model: str | None = None
    vectors: Sequence[Vectors | None] = [None] * len(artifacts)
    if found is not None:
        model, vectors = found
    # Reading the words of hundreds of texts takes long enough for others to notice.
    return await asyncio.to_thread(
        lambda: [one.profile(model, own) for one, own in zip(artifacts, vectors, strict=True)]
    )


def aligned(
    artifacts: Sequence[Profile],
) -> tuple[Basis, dict[tuple[int, int], tuple[Pair, ...]]]:
    """The like capabilities of each two artifacts, by their places, and what they were compared
    by: meaning if all have vectors of the same model."""
    (model, *others) = {artifact.model for artifact in artifacts}
    basis = Basis.WORDS if model is None or others else Basis.MEANING
    nearness = {
        (one, other): between(artifacts[one], artifacts[other], basis).tolist()
        for one, other in combinations(range(len(artifacts)), 2)
    }
    return basis, align_read([one.read for one in artifacts], nearness, THRESHOLDS[basis])


def near(texts: Sequence[Texts], vectors: Vectors | None = None) -> Matrix:
    """How near each is to each, as `between`. Shape: square."""
    whole = Profile.of(texts, vectors=vectors)
    return between(whole, whole, Basis.WORDS if vectors is None else Basis.MEANING)


def between(left: Profile, right: Profile, basis: Basis) -> Matrix:
    """How near the capabilities of two artifacts are, by words, and by meaning where that is known.

    Shape: a row for each capability of the first and a column for each of the second.
    Units: 0 to 1. Where either serves no intent that is known, descriptions decide.
    """
    described = left.described.alike(right.described)
    intended = left.intended.alike(right.intended)
    if basis is Basis.MEANING:
        assert left.vectors is not None, "or words decide"
        assert right.vectors is not None, "or words decide"
        meant = _alike(left.vectors.description, right.vectors.description)
        described = WORDS * described + (1 - WORDS) * meant
        meant = _alike(left.vectors.intents, right.vectors.intents)
        intended = WORDS * intended + (1 - WORDS) * meant
    both = np.outer(left.has_intents, right.has_intents)
    return np.where(both, (1 - INTENTS) * described + INTENTS * intended, described)


def _alike(left: Matrix, right: Matrix) -> Matrix:
    """The cosine of each with each; a row of zeros is like nothing."""
    return np.clip(left @ right.T, 0.0, 1.0)


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Matrix = rows / np.where(lengths == 0, 1, lengths)
    return unit


async def vectors_of(
    snapshot: Fetches, artifacts: Sequence[Described]
) -> tuple[str, list[Vectors]] | None:
    """The vectors of one model that has embedded every text of these artifacts, and its name; None
    where there is no such model yet. Raises: Unavailable."""
    rows = await snapshot.fetch(
        "WITH said AS ("
        " SELECT a.artifact_id, d.key, t.part, t.hash FROM search_artifact a"
        " JOIN search_document d USING (artifact) JOIN search_text t USING (artifact, document)"
        " WHERE a.artifact_id = ANY ($1) AND d.key <> ''),"
        " model AS (SELECT v.model FROM said JOIN text_vector v USING (hash)"
        " GROUP BY v.model HAVING count(*) = (SELECT count(*) FROM said)"
        ' ORDER BY v.model COLLATE "C" LIMIT 1)'
        " SELECT m.model, s.artifact_id, s.key,"
        " array_send(avg(v.vector) FILTER (WHERE s.part = 0)::real[]) AS description,"
        " array_send(avg(v.vector) FILTER (WHERE s.part > 0)::real[]) AS intents"
        " FROM model m CROSS JOIN said s"
        " JOIN text_vector v ON v.hash = s.hash AND v.model = m.model"
        " GROUP BY m.model, s.artifact_id, s.key",
        [artifact.artifact_id for artifact in artifacts],
    )
    found = {
        (row["artifact_id"], row["key"]): (_numbers(row["description"]), _numbers(row["intents"]))
        for row in rows
    }
    asked = [
        [(artifact.artifact_id, one.key) for one in artifact.capabilities] for artifact in artifacts
    ]
    if not any(asked) or any(key not in found for keys in asked for key in keys):
        return None
    # By this many numbers, whatever is known of nothing has as many.
    (some, _), *_ = found.values()
    nothing = np.zeros(len(some) if some is not None else 0)
    return rows[0]["model"], [
        Vectors(*(_rows([found[key][part] for key in keys], nothing) for part in (0, 1)))
        for keys in asked
    ]


# An array as PostgreSQL sends it: its dimensions, then the length of each number, and the number.
_HEADER = 20
_NUMBER = np.dtype([("length", ">i4"), ("number", ">f4")])


def _numbers(sent: bytes | None) -> Matrix | None:
    return None if sent is None else np.frombuffer(sent, _NUMBER, offset=_HEADER)["number"]


def _rows(found: Sequence[Matrix | None], nothing: Matrix) -> Matrix:
    """A row for each, of nothing where there is none."""
    rows = [nothing if one is None else one for one in found]
    return np.array(rows, dtype=float).reshape(len(rows), len(nothing))
