"""How near the capabilities of artifacts are to each other: by meaning where every text has its
vector, and by words alone until then, so that artifacts can be compared from their first moment.

Read by graphql/comparison.py; measured by `python -m eval alignment`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.alignment import Basis
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


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """How near the capabilities of some artifacts are.

    Shape: `pairs` of two artifacts, by their places, to a matrix with a row for each capability of
        the first and a column for each of the second.
    Units: 0 to 1. `model` is the embedding model's name, None where words decided.
    """

    basis: Basis
    model: str | None
    pairs: dict[tuple[int, int], Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Described:
    """An artifact, what it is called, and what it can do."""

    artifact_id: UUID
    name: str
    capabilities: tuple[Capability, ...]


async def nearness(snapshot: Fetches, artifacts: Sequence[Described]) -> Nearness:
    """How near the capabilities of these artifacts are, two artifacts at a time. One basis holds
    for the whole answer, so that its numbers compare. Raises: Unavailable."""
    found = await _vectors(snapshot, artifacts)
    # Reading the words of hundreds of texts takes long enough for others to notice.
    return await asyncio.to_thread(_measured, artifacts, found)


def _measured(artifacts: Sequence[Described], found: tuple[str, Vectors] | None) -> Nearness:
    model, vectors = found or (None, None)
    texts = [
        Texts.of(one, artifact.name) for artifact in artifacts for one in artifact.capabilities
    ]
    whole = near(texts, vectors)
    ends = np.cumsum([0, *(len(artifact.capabilities) for artifact in artifacts)])
    return Nearness(
        basis=Basis.WORDS if vectors is None else Basis.MEANING,
        model=model,
        pairs={
            (one, other): whole[ends[one] : ends[one + 1], ends[other] : ends[other + 1]].tolist()
            for one, other in combinations(range(len(artifacts)), 2)
        },
    )


def near(texts: Sequence[Texts], vectors: Vectors | None = None) -> Matrix:
    """How near each is to each, by words, and by meaning where that is known.

    Shape: square. Units: 0 to 1. Where either serves no intent that is known, descriptions decide.
    """
    described = _alike(_counts([one.description for one in texts]))
    intended = _alike(_counts([" ".join(one.intents) for one in texts]))
    if vectors is not None:
        described = WORDS * described + (1 - WORDS) * _alike(vectors.description)
        intended = WORDS * intended + (1 - WORDS) * _alike(vectors.intents)
    said = np.array([bool(one.intents) for one in texts], dtype=bool)
    both = np.outer(said, said)
    return np.where(both, (1 - INTENTS) * described + INTENTS * intended, described)


def _counts(texts: Sequence[str]) -> Matrix:
    """A row for each text: how often each term is in it."""
    counted = [Counter(terms(text)) for text in texts]
    places = {term: place for place, term in enumerate(sorted(set().union(*counted)))}
    rows = np.zeros((len(texts), len(places)))
    for row, counts in zip(rows, counted, strict=True):
        for term, count in counts.items():
            row[places[term]] = count
    return rows


def _alike(rows: Matrix) -> Matrix:
    """The cosine of each row with each; a row of zeros is like nothing."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths == 0, 1, lengths)
    return np.clip(unit @ unit.T, 0.0, 1.0)


async def _vectors(snapshot: Fetches, artifacts: Sequence[Described]) -> tuple[str, Vectors] | None:
    """The vectors of one model that has embedded every text of these artifacts, and its name; None
    where there is no such model yet."""
    rows = await snapshot.fetch(
        "WITH said AS ("
        " SELECT a.artifact_id, d.key, t.part, t.hash FROM search_artifact a"
        " JOIN search_document d USING (artifact) JOIN search_text t USING (artifact, document)"
        " WHERE a.artifact_id = ANY ($1) AND d.key <> ''),"
        " model AS (SELECT v.model FROM said JOIN text_vector v USING (hash)"
        " GROUP BY v.model HAVING count(*) = (SELECT count(*) FROM said)"
        ' ORDER BY v.model COLLATE "C" LIMIT 1)'
        " SELECT m.model, s.artifact_id, s.key,"
        " avg(v.vector) FILTER (WHERE s.part = 0)::real[] AS description,"
        " avg(v.vector) FILTER (WHERE s.part > 0)::real[] AS intents"
        " FROM model m CROSS JOIN said s"
        " JOIN text_vector v ON v.hash = s.hash AND v.model = m.model"
        " GROUP BY m.model, s.artifact_id, s.key",
        [artifact.artifact_id for artifact in artifacts],
    )
    found = {(row["artifact_id"], row["key"]): row for row in rows}
    asked = list(_keys(artifacts))
    if not asked or any(key not in found for key in asked):
        return None
    nothing = [0.0] * len(rows[0]["description"])
    described = np.array([found[key]["description"] for key in asked], dtype=float)
    intended = np.array([found[key]["intents"] or nothing for key in asked], dtype=float)
    return rows[0]["model"], Vectors(described, intended)


def _keys(artifacts: Sequence[Described]) -> Iterator[tuple[UUID, str]]:
    for artifact in artifacts:
        for capability in artifact.capabilities:
            yield artifact.artifact_id, capability.key
