"""How well an artifact serves a need: words, meaning, and a little of what is known besides.

Pure functions over candidates that the search found. docs/search.md explains the formula and
docs/relevance.md measures it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from uuid import UUID

# How much words count where one candidate has all of them; meaning counts what is left of one.
# Words are trusted less, the less of the need the best candidate is described with.
WORDS = 0.45
WHOLE = 0.8
# How much counts beside the text that is nearest: the next ones, and the artifact as a whole.
FURTHER = 0.25
FURTHER_TEXTS = 3
ITSELF = 0.2
# An artifact of the same kind as the example is a little more like it.
SAME_KIND = 0.15
# How much likeness to what is not meant counts against it.
AGAINST = 0.5
# Bounds of what is known besides: neither can put a candidate above one that is that much better.
MOST_LEARNED = 0.15
MOST_RANK = 0.03
# The BM25 weight that a term has where it is said once, in the right place.
USUAL_WEIGHT = 1.5
# Below both (a share of the need's terms, a cosine) a candidate has nothing to do with the need.
LEAST_COVERED = 0.2
LEAST_ALIKE = 0.2
MILLION = 1_000_000

# One search in four shows somebody who was hardly seen, in the middle of the first page.
EXPLORED_SHARE = 0.25
EXPLORED_PLACES = range(4, 9)
# It must be about as good as what stands there.
LEAST_EXPLORED = 0.6


class ReasonKind(StrEnum):
    """Why an artifact is among the results."""

    NAME = "name"
    WORDS = "words"
    MEANING = "meaning"
    LIKENESS = "likeness"
    CONDITION = "condition"
    EVIDENCE = "evidence"
    RANK = "rank"
    EXPLORATION = "exploration"


@dataclass(frozen=True)
class Document:
    """A capability of a candidate (with key '', the artifact as a whole). `words` is its BM25
    score, `alike` the cosine of its meaning to that of the need, None while it has no vector."""

    key: str
    words: float = 0.0
    alike: float | None = None
    against: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """An artifact that may serve the need. `covered` is the BM25 score of the need's terms over all
    its documents, each term counted where it weighs most; `rank` is in [0, 1]; `learned` is how
    much better than others it served needs like this one, in [0, 1]."""

    artifact_id: UUID
    documents: tuple[Document, ...]
    covered: float = 0.0
    rank: float = 0.0
    learned: float = 0.0
    exposure: float = 0.0
    named: bool = False
    same_kind: bool = False

    @property
    def alike(self) -> float:
        """The cosine of what it says that is nearest to the need."""
        return max((document.alike or 0.0 for document in self.documents), default=0.0)

    @cached_property
    def meaning(self) -> float:
        """How much what it says means what is needed, all of it together: not bounded by 1."""
        said = sorted(
            (d.alike - AGAINST * d.against for d in self.documents if d.alike), reverse=True
        )
        if not said:
            return 0.0
        further = sum(said[1 : 1 + FURTHER_TEXTS]) / FURTHER_TEXTS
        itself = next((d.alike or 0.0 for d in self.documents if not d.key), 0.0)
        return said[0] + FURTHER * further + ITSELF * itself


@dataclass(frozen=True)
class Scored:
    """A candidate with its score. Units: millionths; the shares add up to the score."""

    candidate: Candidate
    score: int
    capability: str | None
    shares: dict[ReasonKind, int] = field(hash=False)
    explored: bool = False


def scored(candidates: Sequence[Candidate], mass: float, *, all_fit: bool = False) -> list[Scored]:
    """The candidates that have to do with the need, best first, ties by id.

    `mass` is the sum of the rarities of the need's terms, those that are nowhere included. With
    `all_fit`, whoever is a candidate is one by its conditions alone.
    """
    best = Best.of(candidates, mass)
    found = [
        _score(candidate, best)
        for candidate in candidates
        if all_fit
        or candidate.named
        or candidate.alike >= LEAST_ALIKE
        or (mass and candidate.covered >= LEAST_COVERED * USUAL_WEIGHT * mass)
    ]
    return sorted(found, key=lambda one: (-one.score, one.candidate.artifact_id))


@dataclass(frozen=True)
class Best:
    """What the best candidates have, which the others are measured by. `words` is the weight of
    words against meaning."""

    covered: float
    document: float
    meaning: float
    words: float

    @classmethod
    def of(cls, candidates: Sequence[Candidate], mass: float) -> "Best":
        """The best on each side."""
        covered = max((c.covered for c in candidates), default=0.0)
        meaning = max((c.meaning for c in candidates), default=0.0)
        if meaning <= 0:
            words = 1.0
        elif covered <= 0:
            words = 0.0
        else:
            share = covered / (USUAL_WEIGHT * mass) if mass else 1.0
            words = WORDS * min(1.0, share / WHOLE)
        document = max((d.words for c in candidates for d in c.documents), default=0.0)
        return cls(covered, document, meaning, words)


def by_rank(artifact_id: UUID, rank: float) -> Scored:
    """A result of a need that is conditions alone: its rank is all that places it."""
    score = round(rank * MILLION)
    return Scored(Candidate(artifact_id, (), rank=rank), score, None, {ReasonKind.RANK: score})


def _score(candidate: Candidate, best: Best) -> Scored:
    shares = {
        ReasonKind.NAME: 1.0 if candidate.named else 0.0,
        ReasonKind.WORDS: best.words * candidate.covered / (best.covered or 1.0),
        ReasonKind.MEANING: (1 - best.words) * max(0.0, candidate.meaning) / (best.meaning or 1.0),
        ReasonKind.LIKENESS: SAME_KIND if candidate.same_kind else 0.0,
        ReasonKind.EVIDENCE: MOST_LEARNED * candidate.learned,
        ReasonKind.RANK: MOST_RANK * candidate.rank,
    }
    counted = {kind: round(share * MILLION) for kind, share in shares.items() if share > 0}
    return Scored(candidate, sum(counted.values()), _capability(candidate, best), counted)


def _capability(candidate: Candidate, best: Best) -> str | None:
    """The key of the capability that matches best; None for an artifact without any."""

    def merit(document: Document) -> float:
        words = document.words / (best.document or 1.0)
        return WORDS * words + (1 - WORDS) * (document.alike or 0.0) / (best.meaning or 1.0)

    offered = [document for document in candidate.documents if document.key]
    return max(offered, key=lambda d: (merit(d), d.key), default=Document("")).key or None


def explored(ranked: Sequence[Scored], search_id: UUID, page: int) -> list[Scored]:
    """The same order, where in one search of four one that was hardly seen stands a little higher,
    so that it can be seen at all, on pages that are long enough for it not to stand out. The same
    search id gives the same order."""
    drawn = sha256(b"exploration" + search_id.bytes).digest()
    if drawn[0] >= 256 * EXPLORED_SHARE or not EXPLORED_PLACES.start <= page < len(ranked):
        return list(ranked)
    least = LEAST_EXPLORED * ranked[page - 1].score
    unseen = [one for one in ranked[page:] if one.score >= least]
    if not unseen:
        return list(ranked)
    place = min(EXPLORED_PLACES[drawn[1] % len(EXPLORED_PLACES)], page)
    chosen = min(
        unseen,
        key=lambda one: (
            one.candidate.exposure,
            sha256(search_id.bytes + one.candidate.artifact_id.bytes).digest(),
        ),
    )
    order = [one for one in ranked if one is not chosen]
    moved = Scored(chosen.candidate, chosen.score, chosen.capability, chosen.shares, explored=True)
    order.insert(place - 1, moved)
    return order
