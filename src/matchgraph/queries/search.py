"""Something different: which artifacts serve a need, best first.

Words by BM25 over postings, meaning by vectors, conditions as predicates: PostgreSQL finds the
candidates and says how well each matches; `domain/relevance.py` makes an order of that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from matchgraph.domain.ranking import POINTS
from matchgraph.domain.relevance import Candidate, Document, Scored, by_rank, scored
from matchgraph.projections.words import ASKING, stem, terms
from matchgraph.queries.conditions import Arguments, Condition
from matchgraph.queries.snapshot import Snapshot

# So many candidates each side puts forward; no search has more results than both together.
BY_WORDS = 30
BY_MEANING = 80
BY_WORDS_ALONE = 120
# Of a large catalog there are enough that fit well, and each costs reading its texts.
BY_MEANING_OF_MANY = 40
# So many postings are read to find candidates, those of the rarest terms first, and of a term those
# where it weighs most. What the others weigh is looked up for the candidates alone, so a search
# costs the same however common its words are. Examples bring more terms than a need has.
MOST_POSTINGS = 500
MOST_POSTINGS_LIKE = 3_000
# So many of the best by words are looked at for whether they meet the conditions.
MOST_LOOKED_AT = 1_000
# So few artifacts that meet the conditions are compared one by one, and none is missed: of a small
# catalog, and of a large one. In a large one, so few are with all their texts, and more with those
# that describe them.
FEW = 400
FEW_OF_MANY = 1_000
VERY_FEW = 200
# Up to so many vectors each is compared with the need; of more, an index finds the nearest.
MOST_COMPARED = 5_000
# The artifacts that the nearest texts are of are enough, so many uses of these texts; of a text
# that very many share fewer, or nothing else would be found.
NEAREST_USES = 400
USES_OF_ONE = 40
# How many texts the index finds: fewer where it has to look further than these, because conditions
# turn texts down, and not without end. Where too little comes of that, so many artifacts that meet
# the conditions are compared besides, so that no page is short.
BREADTH = 80
BREADTH_WITHIN = 50
FURTHEST = 2_000
ENOUGH = 30
MOST_BESIDES = 5_000
# In a large catalog so many of an artifact's texts that describe are compared, the first ones: one
# with hundreds of capabilities must not take as long as hundreds with one.
MOST_DESCRIBED = 8
# A text that very many share is looked at for so many of them.
MOST_SHARING = 6
# "Like X, but …": how much X says of what is meant, and how much the rest of the need does.
LIKE_SHARE = 0.6
# Terms that tell X from others; further ones would only make the search slow.
MOST_LIKE_TERMS = 24
LIKE_WORDS = 0.5
# Of a need without words or example: so many of the best ranked that meet its conditions.
MOST_LISTED = 200

Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A need as it is searched for: `terms` weigh 1 or less, `like` and `unlike` are the artifacts
    that the need's slugs lead to, `named` those that its text is a name of."""

    terms: Mapping[str, float] = field(default_factory=dict)
    vector: Vector | None = None
    like: tuple[UUID, ...] = ()
    unlike: tuple[UUID, ...] = ()
    named: tuple[UUID, ...] = ()
    kinds: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    learned: Mapping[UUID, float] = field(default_factory=dict)

    @property
    def has_aim(self) -> bool:
        """Whether anything but conditions is asked for."""
        return bool(self.terms or self.vector is not None or self.like)

    @property
    def is_narrow(self) -> bool:
        """Whether whoever meets the conditions serves the need, as far as the asker can tell. A
        kind alone, or what is only excluded, is met by too many for that."""
        return any(
            condition.name != "kinds" and not condition.name.startswith(("not_", "must_not_"))
            for condition in self.conditions
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found, best first; `unknown` holds the terms that are nowhere in the catalog."""

    results: tuple[Scored, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What each term counts by its rarity, the rarest first, and how many postings of it are read.

    `mass` is what the need's own terms count together, those that are nowhere in the catalog
    (`unknown`) as the rarest. `vectors` is about how many of those there are in all.
    """

    terms: list[int] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    postings: int = 0
    mass: float = 0.0
    unknown: tuple[str, ...] = ()
    vectors: float = 0.0


def terms_of(text: str) -> dict[str, float]:
    """The terms of a need's text, each once; words that only ask count when there are no others."""
    found = dict.fromkeys(terms(text), 1.0)
    telling = {term: weight for term, weight in found.items() if term not in _ASKING}
    return telling or found


_ASKING = frozenset(map(stem, ASKING))


async def find(
    snapshot: Snapshot, asked: Asked, model: str | None, *, whoever_is_nearest: bool = False
) -> Answer:
    """The artifacts that serve the need, or `whoever_is_nearest` to it. `model` names the vectors
    that its own is compared with.

    Raises: Unavailable.
    """
    if not asked.has_aim:
        return Answer(results=await _best_ranked(snapshot, asked))
    vector = asked.vector
    likeness: dict[str, float] = {}
    if asked.like:
        vector, likeness = await _like(snapshot, asked, model)
    # How many meet conditions shows by their values alone; a plan without any fits every need.
    plans = "force_custom_plan" if asked.conditions else "force_generic_plan"
    weights = await _weights(snapshot, asked.terms, likeness, plans)
    against = await _meaning_of(snapshot, asked.unlike, model)
    made = partial(_Statement, asked, weights, vector, against, model)
    rows, complete = await _candidates(snapshot, asked, weights, made)
    rate = partial(scored, mass=weights.mass, all_fit=asked.is_narrow)
    results = rate(_of_rows(rows, asked))
    if len(results) < ENOUGH and not complete:
        # The conditions leave little of what is near, so whoever meets them is looked at.
        few = await _few(snapshot, asked, MOST_BESIDES)
        again = await snapshot.fetch(*made().among(few, thorough=True))
        rows = list({row["artifact_id"]: row for row in (*rows, *again)}.values())
        results = rate(_of_rows(rows, asked))
    return Answer(results=tuple(results), unknown=weights.unknown)


async def _best_ranked(snapshot: Snapshot, asked: Asked) -> tuple[Scored, ...]:
    """The best ranked that meet the conditions: all that do where those are few, else those that
    are met first on the board, which then does not take long."""
    few = await _few(snapshot, asked, FEW_OF_MANY)
    arguments = Arguments()
    if len(few) <= FEW_OF_MANY:
        which = f"s.artifact = ANY ({arguments.add(few)})"
    else:
        which = (
            f"b.place > 0 AND {arguments.all_of(asked.conditions)}"
            f" AND s.artifact_id <> ALL ({arguments.add(list(asked.unlike))})"
        )
    rows = await snapshot.fetch(
        "SELECT b.artifact_id, b.score FROM rank_board b"
        " JOIN search_artifact s USING (artifact_id)"
        " JOIN artifact_listing l ON l.id = s.artifact_id"
        f" WHERE {which} ORDER BY b.standing DESC, b.artifact_id LIMIT {MOST_LISTED}",
        *arguments,
    )
    return tuple(by_rank(row["artifact_id"], row["score"] / POINTS) for row in rows)


_VECTORS = "SELECT reltuples FROM pg_class WHERE oid = 'text_vector'::regclass"
# For the transaction: how the index of vectors is searched, and which plans are made.
_SETTINGS = "SELECT set_config('plan_cache_mode', $2, true) || " + " || ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "hnsw.ef_search": BREADTH,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": FURTHEST,
        "max_parallel_workers_per_gather": 0,
    }.items()
)


async def _weights(
    snapshot: Snapshot, own: Mapping[str, float], likeness: Mapping[str, float], plans: str
) -> Weights:
    """What the need's own terms count, and those of its examples."""
    wanted = {**likeness, **own}
    rows = await snapshot.fetch(
        f"SELECT term, stem, documents, ({_VECTORS}) AS vectors, ({_SETTINGS}) AS settings"
        " FROM search_term WHERE stem = ANY ($1) AND documents > 0 ORDER BY documents, term",
        ["", *wanted],
        plans,
    )
    if not rows:
        return Weights(unknown=tuple(own))
    documents = rows[-1]["documents"]
    found = [row for row in rows if row["stem"]]
    counts = {
        row["stem"]: wanted[row["stem"]] * _rarity(row["documents"], documents) for row in found
    }
    left, read = MOST_POSTINGS_LIKE if likeness else MOST_POSTINGS, []
    for row in found:
        read.append(min(row["documents"], left))
        left -= read[-1]
    unknown = tuple(stem for stem in own if stem not in counts)
    return Weights(
        terms=[row["term"] for row in found],
        counts=list(counts.values()),
        read=read,
        postings=sum(row["documents"] for row in found),
        mass=sum(counts.get(stem, 0.0) for stem in own or wanted)
        + len(unknown) * _rarity(0, documents),
        unknown=unknown,
        vectors=rows[0]["vectors"],
    )


def _rarity(count: int, documents: int) -> float:
    """BM25's idf."""
    return log(1 + (documents - count + 0.5) / (count + 0.5))


async def _like(
    snapshot: Snapshot, asked: Asked, model: str | None
) -> tuple[Vector | None, dict[str, float]]:
    """What the examples mean, with the need's own words leaning it, and the terms that tell them
    from others."""
    rows = await snapshot.fetch(
        "SELECT v.vector::text FROM search_artifact s JOIN search_text t USING (artifact)"
        " JOIN text_vector v ON v.hash = t.hash AND v.model = $2"
        " WHERE s.artifact_id = ANY ($1) AND t.part = 0",
        list(asked.like),
        model,
    )
    vector = asked.vector
    if rows:
        vectors = np.stack([parsed(row["vector"]) for row in rows])
        weights = np.ones(len(rows))
        if vector is not None:
            # Of what X can do, most counts what the rest of the need speaks of.
            weights = 0.2 + np.maximum(0.0, vectors @ vector)
        example = _unit(weights @ vectors)
        vector = (
            example if vector is None else _unit(LIKE_SHARE * example + (1 - LIKE_SHARE) * vector)
        )
    rows = await snapshot.fetch(
        "SELECT t.stem, max(p.weight) AS weight,"
        " max(p.weight) / sqrt(t.documents) AS telling FROM search_artifact s"
        " JOIN search_document d USING (artifact) CROSS JOIN LATERAL unnest(d.terms) AS own (term)"
        # No index of postings begins with the artifact.
        " JOIN search_posting p ON p.term = own.term AND p.artifact = d.artifact"
        " AND p.document = d.document JOIN search_term t ON t.term = p.term"
        " WHERE s.artifact_id = ANY ($1) AND t.documents > 1 AND t.stem NOT LIKE '!%'"
        " GROUP BY t.stem, t.documents"
        " ORDER BY telling DESC, t.stem LIMIT $2",
        list(asked.like),
        MOST_LIKE_TERMS,
    )
    most = max((row["weight"] for row in rows), default=1.0)
    share = LIKE_WORDS if asked.terms else 1.0
    return vector, {row["stem"]: share * row["weight"] / most for row in rows}


async def _meaning_of(snapshot: Snapshot, ids: Sequence[UUID], model: str | None) -> Vector | None:
    """What the artifacts mean as a whole, as one vector."""
    if not ids or model is None:
        return None
    rows = await snapshot.fetch(
        "SELECT v.vector::text FROM search_artifact s JOIN search_text t USING (artifact)"
        " JOIN text_vector v ON v.hash = t.hash AND v.model = $2"
        " WHERE s.artifact_id = ANY ($1) AND t.part = 0",
        list(ids),
        model,
    )
    return _unit(np.mean([parsed(row["vector"]) for row in rows], axis=0)) if rows else None


def parsed(text: str) -> Vector:
    """The vector that PostgreSQL wrote."""
    return np.fromstring(text[1:-1], dtype=np.float32, sep=",")


def _written(vector: Vector | None) -> str | None:
    return None if vector is None else written(vector)


def written(vector: Vector) -> str:
    """The vector as PostgreSQL reads it."""
    return "[" + ",".join(f"{x:.6g}" for x in vector.tolist()) + "]"


def _unit(vector: NDArray[np.floating]) -> Vector:
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm else vector).astype(np.float32)


async def _candidates(
    snapshot: Snapshot, asked: Asked, weights: Weights, made: "Callable[[], _Statement]"
) -> tuple[Sequence[asyncpg.Record], bool]:
    """One row for each candidate, with an array entry for each of its documents, and whether no
    other artifact could have been one."""
    large = weights.vectors > MOST_COMPARED
    if asked.conditions:
        most = FEW_OF_MANY if large else FEW
        few = await _few(snapshot, asked, most)
        if len(few) <= most:
            complete = not large or len(few) <= VERY_FEW
            return await snapshot.fetch(*made().among(few, thorough=complete)), complete
    statement = made()
    index = large and statement.has_vector
    rows = await snapshot.fetch(*statement.among_all(index=index))
    return rows, not index or not asked.conditions


async def _few(snapshot: Snapshot, asked: Asked, most: int) -> list[int]:
    """The artifacts that meet the conditions; of more than so many, one more than that."""
    arguments = Arguments()
    rows = await snapshot.fetch(
        "SELECT s.artifact FROM search_artifact s JOIN artifact_listing l ON l.id = s.artifact_id"
        f" WHERE {arguments.all_of(asked.conditions)}"
        f" AND s.artifact_id <> ALL ({arguments.add([*asked.like, *asked.unlike])})"
        f" LIMIT {most + 1}",
        *arguments,
    )
    return [row["artifact"] for row in rows]


class _Statement:
    """Makes the statement that finds the candidates and says how well each matches.

    What takes long is bounded by a LIMIT or by a list of artifacts, and what is in question is
    looked up row by row (`OFFSET 0` keeps a subquery from becoming a join), so that the time does
    not depend on what the planner believes of the sizes.
    """

    def __init__(
        self,
        asked: Asked,
        weights: Weights,
        vector: Vector | None,
        against: Vector | None,
        model: str | None,
    ) -> None:
        self._arguments = Arguments()
        add = self._arguments.add
        self._model = add(model) + "::text"
        self._weights = (
            f"{add(weights.terms)}::int[], {add(weights.counts)}::float8[],"
            f" {add(weights.read)}::int[]"
        )
        self._left_out = add([*asked.like, *asked.unlike]) + "::uuid[]"
        self._named = add(list(asked.named)) + "::uuid[]"
        # Read once, and not for each row that it is compared with.
        self._aim = f"aim AS MATERIALIZED (SELECT {add(_written(vector))}::text::halfvec AS query"
        # Of a vector `v`.
        self._products = "-(v.vector <#> (SELECT query FROM aim)) AS alike, "
        if against is None:
            self._products += "NULL::float8 AS against"
        else:
            self._aim += f", {add(_written(against))}::text::halfvec AS opposite"
            self._products += "-(v.vector <#> (SELECT opposite FROM aim)) AS against"
        self._aim += ")"
        self.has_vector = vector is not None
        self._reads_all = sum(weights.read) == weights.postings
        self._conditions = asked.conditions

    def among(self, artifacts: Sequence[int], *, thorough: bool) -> tuple[Any, ...]:
        """The statement over these artifacts and no others, and its arguments; unless it is
        `thorough`, only the texts that describe are compared."""
        own = f"{self._arguments.add(list(artifacts))}::int[]"
        # All of them meet the conditions, so more of them may serve the need.
        by_words, by_meaning = (
            (2 * BY_WORDS, 2 * BY_MEANING) if thorough else (BY_WORDS, BY_MEANING)
        )
        return self._whole(
            self._hits(f"SELECT unnest({own})"),
            _covered("covered", "hit"),
            f"""meant AS MATERIALIZED (
              SELECT artifact, document, max(alike) AS alike, max(against) AS against
              FROM ({self._compared(f"SELECT unnest({own})", thorough=thorough)}) AS said
              GROUP BY artifact, document
            )""",
            f"""candidate AS MATERIALIZED (
              (SELECT artifact FROM covered ORDER BY covered DESC, artifact LIMIT {by_words})
              UNION (SELECT artifact FROM meant GROUP BY artifact
                ORDER BY max(alike) DESC, artifact LIMIT {by_meaning})
              UNION (SELECT artifact FROM search_artifact
                WHERE artifact_id = ANY ({self._named}) AND artifact = ANY ({own})
                  AND artifact_id <> ALL ({self._left_out}))
            )""",
            meant="SELECT * FROM meant JOIN candidate USING (artifact)",
        )

    def among_all(self, *, index: bool) -> tuple[Any, ...]:
        """The statement over the whole catalog, and its arguments. With `index`, that finds the
        texts that are nearest in meaning."""
        allowed = self._allowed("found.artifact")
        by_words = BY_WORDS if self.has_vector else BY_WORDS_ALONE
        by_meaning = BY_MEANING_OF_MANY if index else BY_MEANING
        parts = [
            f"""read AS MATERIALIZED (
              SELECT p.artifact, p.document, a.term, p.weight * a.count AS weight
              FROM unnest({self._weights}) AS a (term, count, read) CROSS JOIN LATERAL (
                SELECT artifact, document, weight FROM search_posting
                WHERE term = a.term ORDER BY weight DESC LIMIT a.read
              ) AS p
            )""",
            _covered("worded", "read"),
        ]
        nearest = ""
        if self.has_vector:
            parts.append(self._near(index))
            nearest = f"""UNION (SELECT artifact FROM (
                SELECT t.artifact, near.alike
                FROM (SELECT * FROM near ORDER BY alike DESC) AS near
                CROSS JOIN LATERAL (
                  SELECT found.artifact FROM search_text found
                  WHERE found.hash = near.hash AND {allowed}
                  ORDER BY found.artifact LIMIT {USES_OF_ONE}
                ) AS t LIMIT {NEAREST_USES}
              ) AS meant GROUP BY artifact ORDER BY max(alike) DESC, artifact LIMIT {by_meaning})"""
        parts.append(
            f"""candidate AS MATERIALIZED (
              (SELECT found.artifact FROM (
                SELECT * FROM worded ORDER BY covered DESC, artifact LIMIT {MOST_LOOKED_AT}
              ) AS found WHERE {allowed} LIMIT {by_words})
              {nearest}
              UNION (SELECT found.artifact FROM search_artifact found
                WHERE found.artifact_id = ANY ({self._named}) AND {allowed})
            )"""
        )
        if self._reads_all:
            parts.append("hit AS MATERIALIZED (SELECT * FROM read JOIN candidate USING (artifact))")
        else:
            parts.append(self._hits("SELECT artifact FROM candidate"))
        parts.append(_covered("covered", "hit"))
        own = "array(SELECT artifact FROM candidate)"
        compared = f"""
            SELECT artifact, document, alike, against FROM search_text JOIN near USING (hash)
            WHERE artifact = ANY ({own})"""
        if not self.has_vector:
            compared = self._compared("SELECT artifact FROM candidate", thorough=True)
        elif index:
            # Most of the time goes into fetching vectors, so those alone that describe are; of the
            # intents those that are nearest are known.
            described = self._compared("SELECT artifact FROM candidate", thorough=False)
            compared = f"{compared} UNION ALL ({described})"
        return self._whole(*parts, meant=compared)

    def _allowed(self, artifact: str) -> str:
        """Whether the artifact is on offer and meets the conditions."""
        listing = "JOIN artifact_listing l ON l.id = s.artifact_id" if self._conditions else ""
        return f"""EXISTS (
                SELECT FROM search_artifact s {listing}
                WHERE s.artifact = {artifact} AND s.artifact_id <> ALL ({self._left_out})
                  AND {self._arguments.all_of(self._conditions)} OFFSET 0
              )"""

    def _near(self, index: bool) -> str:
        """How near the texts are: all of them, or those nearest that are of an artifact which
        meets the conditions."""
        found = ""
        if index:
            found = f""" AND EXISTS (
                SELECT FROM (
                  SELECT artifact FROM search_text WHERE hash = v.hash LIMIT {MOST_SHARING}
                ) AS t WHERE {self._allowed("t.artifact")} OFFSET 0
              ) ORDER BY v.vector <#> (SELECT query FROM aim)
              LIMIT {BREADTH_WITHIN if self._conditions else BREADTH}"""
        return f"""near AS MATERIALIZED (
              SELECT v.hash, {self._products}
              FROM text_vector v WHERE v.model = {self._model}{found}
            )"""

    def _hits(self, artifacts: str) -> str:
        """What the terms weigh in the documents of these artifacts."""
        return f"""hit AS MATERIALIZED (
              SELECT own.artifact, p.document, a.term, p.weight * a.count AS weight
              FROM unnest({self._weights}) AS a (term, count, read)
              CROSS JOIN LATERAL (SELECT * FROM ({artifacts}) AS o (artifact) OFFSET 0) AS own
              CROSS JOIN LATERAL (
                SELECT document, weight FROM search_posting
                WHERE term = a.term AND artifact = own.artifact OFFSET 0
              ) AS p
            )"""

    def _compared(self, artifacts: str, *, thorough: bool) -> str:
        """How near the texts of these artifacts are, each looked up once; unless it is `thorough`,
        those alone that describe, and of each artifact the first."""
        some = "" if thorough else f"AND part = 0 ORDER BY document LIMIT {MOST_DESCRIBED}"
        return f"""
              WITH said AS MATERIALIZED (
                SELECT own.artifact, t.document, t.hash
                FROM (SELECT * FROM ({artifacts}) AS o (artifact) OFFSET 0) AS own
                CROSS JOIN LATERAL (
                  SELECT document, hash FROM search_text
                  WHERE artifact = own.artifact {some} OFFSET 0
                ) AS t
              ), compared AS MATERIALIZED (
                SELECT said.hash, v.alike, v.against FROM (SELECT DISTINCT hash FROM said) AS said
                CROSS JOIN LATERAL (
                  SELECT {self._products} FROM text_vector v
                  WHERE v.hash = said.hash AND v.model = {self._model} OFFSET 0
                ) AS v
              )
              SELECT artifact, document, alike, against FROM said JOIN compared USING (hash)"""

    def _whole(self, *parts: str, meant: str) -> tuple[Any, ...]:
        # Put together by grouping and not by joins, whose order would be a guess.
        statement = f"""
            WITH {", ".join([self._aim, *parts])}
            SELECT s.artifact_id, s.kind, f.covered, s.score, s.exposure, f.keys, f.words, f.alike,
              f.against
            FROM (
              SELECT artifact, sum(covered) AS covered, max(against) AS against,
                array_agg(key) FILTER (WHERE key IS NOT NULL) AS keys,
                array_agg(words) FILTER (WHERE key IS NOT NULL) AS words,
                array_agg(alike) FILTER (WHERE key IS NOT NULL) AS alike
              FROM (
                SELECT artifact, max(key) AS key, sum(words) AS words, max(alike) AS alike,
                  max(against) AS against, sum(covered) AS covered
                FROM (
                  SELECT artifact, document, key, NULL::float8 AS words, NULL::float8 AS alike,
                    NULL::float8 AS against, NULL::float8 AS covered
                  FROM search_document
                  WHERE artifact = ANY (array(SELECT artifact FROM candidate))
                    AND cardinality(terms) > 0
                  UNION ALL
                  SELECT artifact, document, NULL, weight, NULL, NULL, NULL
                  FROM hit JOIN candidate USING (artifact)
                  UNION ALL
                  SELECT artifact, document, NULL, NULL, alike, against, NULL
                  FROM ({meant}) AS meant
                  UNION ALL
                  SELECT artifact, -1, NULL, NULL, NULL, NULL, covered
                  FROM covered JOIN candidate USING (artifact)
                ) AS said GROUP BY artifact, document
              ) AS documented GROUP BY artifact
            ) AS f
            CROSS JOIN LATERAL (
              SELECT s.artifact_id, s.kind, b.score, e.exposure FROM search_artifact s
              LEFT JOIN rank_board b ON b.artifact_id = s.artifact_id
              LEFT JOIN rank_evidence e ON e.artifact_id = s.artifact_id
              WHERE s.artifact = f.artifact AND s.listed OFFSET 0
            ) AS s
            WHERE f.keys IS NOT NULL
        """
        return statement, *self._arguments


def _covered(name: str, hits: str) -> str:
    """How well each artifact covers the terms, each where it weighs most."""
    return f"""{name} AS MATERIALIZED (
              SELECT artifact, sum(weight) AS covered FROM (
                SELECT artifact, term, max(weight) AS weight FROM {hits} GROUP BY artifact, term
              ) AS best GROUP BY artifact
            )"""


def _of_rows(rows: Sequence[asyncpg.Record], asked: Asked) -> list[Candidate]:
    found = []
    for row in rows:
        id, against = row["artifact_id"], row["against"] or 0.0
        documents = zip(row["keys"], row["words"], row["alike"], strict=True)
        found.append(
            Candidate(
                id,
                tuple(
                    Document(key, words or 0.0, alike, against) for key, words, alike in documents
                ),
                covered=row["covered"] or 0.0,
                rank=(row["score"] or 0) / POINTS,
                learned=asked.learned.get(id, 0.0),
                exposure=row["exposure"] or 0.0,
                named=id in asked.named,
                same_kind=row["kind"] in asked.kinds,
            )
        )
    return found
