"""Why results are results, what they lack, and why there are none."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from matchgraph.domain.conditions import sentences_of
from matchgraph.domain.relevance import ReasonKind, Scored
from matchgraph.projections.words import terms, words
from matchgraph.queries.conditions import Arguments, Condition
from matchgraph.queries.need import Ready
from matchgraph.queries.search import Answer, Asked, find
from matchgraph.queries.snapshot import Snapshot

# So many are named where nothing fits.
MOST_NEAREST = 5
# So many words of a need are named that nothing says.
MOST_UNSAID = 8
# Cosines from which on two texts mean the same, as people read them, or nearly.
ALIKE, CLOSE = 0.6, 0.4


@dataclass(frozen=True)
class Reason:
    """One reason, for a program and as a sentence. `share` is its part of the score, in
    millionths; None for what lets an artifact in and does not place it."""

    kind: ReasonKind
    sentence: str
    share: int | None = None


@dataclass(frozen=True)
class Result:
    """One result with its reasons, and in sentences what it lacks against the need. `fails` says
    whether that includes conditions."""

    scored: Scored
    reasons: tuple[Reason, ...]
    lacks: tuple[str, ...]
    fails: bool = False


@dataclass(frozen=True)
class Exclusion:
    """A condition, and how many artifacts of the catalog it alone leaves out."""

    condition: str
    sentence: str
    excludes: int


# Of more artifacts, every second, third, … in the order of their coming is counted.
MOST_CONSIDERED = 20_000


@dataclass(frozen=True)
class Shortfall:
    """Why nothing fits: what each condition leaves out of `considered` artifacts, which are all on
    offer or an even sample of very many, and who comes nearest without meeting all of them."""

    considered: int
    exclusions: tuple[Exclusion, ...]
    nearest: tuple[Result, ...]


async def explained(
    snapshot: Snapshot, ready: Ready, page: Sequence[Scored], *, nearest: bool = False
) -> list[Result]:
    """The results with their reasons. Of the `nearest` where nothing fits, also the conditions
    that they do not meet. Raises: Unavailable."""
    ids = [one.candidate.artifact_id for one in page]
    asked = written(ready)
    heard = await _heard(snapshot, ids, list(ready.asked.terms))
    failed = await _failed(snapshot, ids, ready.asked.conditions) if nearest else {}
    found = []
    for one in page:
        id = one.candidate.artifact_id
        said = [word for term, word in asked.items() if term in heard[id]]
        unsaid = [word for word in asked.values() if word not in said][:MOST_UNSAID]
        met = [c for c in ready.asked.conditions if c not in failed.get(id, ())]
        lacks = [f"Not met: {_sentence(condition)}." for condition in failed.get(id, ())]
        if unsaid:
            lacks.append(f"Nothing in its description says {_listed(unsaid)}.")
        fails = bool(failed.get(id))
        found.append(Result(one, tuple(_reasons(one, said, met)), tuple(lacks), fails))
    return found


def written(ready: Ready) -> dict[str, str]:
    """The terms of the need that are words, each with the word as it was written."""
    found: dict[str, str] = {}
    for word in words(ready.understanding.rest):
        for term in terms(word):
            if term in ready.asked.terms:
                found.setdefault(term, word)
    return found


def _reasons(one: Scored, said: Sequence[str], met: Sequence[Condition]) -> list[Reason]:
    found = []
    by = one.capability or "the artifact as a whole"
    for kind, share in one.shares.items():
        match kind:
            case ReasonKind.NAME:
                sentence = "It has the name that you wrote."
            case ReasonKind.WORDS:
                sentence = (
                    f"It is described with {_listed(said)}."
                    if said
                    else "It is described in the words of the example."
                )
            case ReasonKind.MEANING:
                sentence = f"What it says of {by} {_nearness(one.candidate.alike)}."
            case ReasonKind.LIKENESS:
                sentence = "It is of the same kind as the example."
            case ReasonKind.EVIDENCE:
                sentence = "Searchers with a need like this were better served by it than expected."
            case _:
                sentence = f"It ranks at {100 * one.candidate.rank:.1f} of 100 points."
        found.append(Reason(kind, sentence, share))
    if one.explored:
        sentence = "It was hardly ever shown, so it stands here to be seen."
        found.append(Reason(ReasonKind.EXPLORATION, sentence))
    found += [Reason(ReasonKind.CONDITION, _met(condition)) for condition in met]
    return found


def _nearness(alike: float) -> str:
    if alike >= ALIKE:
        said = "means much the same"
    else:
        said = "is close in meaning" if alike >= CLOSE else "comes nearest in meaning"
    return f"{said} (cosine {alike:.2f})"


def _met(condition: Condition) -> str:
    if condition.name == "must_not_have":
        # What nobody wrote down nobody can rule out.
        return f"Nothing says that it has or needs {_listed(condition.where.must_not_have)}."
    return f"It is met: {_sentence(condition)}."


def _sentence(condition: Condition) -> str:
    (sentence,) = sentences_of(condition.where).values()
    return sentence


def _listed(said: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in dict.fromkeys(said))


async def _heard(
    snapshot: Snapshot, ids: Sequence[UUID], stems: Sequence[str]
) -> dict[UUID, set[str]]:
    """Which of the terms are in anything that is said of each artifact."""
    found: dict[UUID, set[str]] = defaultdict(set)
    if ids and stems:
        rows = await snapshot.fetch(
            "SELECT s.artifact_id, t.stem FROM search_artifact s CROSS JOIN search_term t"
            " WHERE s.artifact_id = ANY ($1) AND t.stem = ANY ($2) AND EXISTS (SELECT"
            " FROM search_posting p WHERE p.term = t.term AND p.artifact = s.artifact"
            # Looked up for each pair: as a join, all postings of a term would be read.
            " OFFSET 0)",
            list(ids),
            list(stems),
        )
        for row in rows:
            found[row["artifact_id"]].add(row["stem"])
    return found


async def _failed(
    snapshot: Snapshot, ids: Sequence[UUID], conditions: Sequence[Condition]
) -> dict[UUID, list[Condition]]:
    """The conditions that each artifact does not meet."""
    if not ids or not conditions:
        return {}
    arguments = Arguments()
    checks = ", ".join(
        f"coalesce({arguments.of(condition)}, false) AS met_{number}"
        for number, condition in enumerate(conditions)
    )
    rows = await snapshot.fetch(
        f"SELECT l.id, {checks} FROM search_artifact s"
        " JOIN artifact_listing l ON l.id = s.artifact_id"
        f" WHERE l.id = ANY ({arguments.add(list(ids))})",
        *arguments,
    )
    return {
        row["id"]: [one for number, one in enumerate(conditions) if not row[f"met_{number}"]]
        for row in rows
    }


async def shortfall(snapshot: Snapshot, ready: Ready, model: str | None) -> Shortfall:
    """Why nothing fits the need. Raises: Unavailable."""
    conditions = ready.asked.conditions
    arguments = Arguments()
    met = [
        f", coalesce({arguments.of(condition)}, false) AS met_{number}"
        for number, condition in enumerate(conditions)
    ]
    counts = [f", count(*) FILTER (WHERE NOT met_{number})" for number in range(len(met))]
    (row,) = await snapshot.fetch(
        f"SELECT count(*){''.join(counts)}"
        " FROM (SELECT max(artifact) AS last FROM search_artifact) AS coming"
        f" CROSS JOIN generate_series(1, last, 1 + last / {MOST_CONSIDERED}) AS number"
        # Each looked up by itself, so that a large catalog is never read whole.
        f" CROSS JOIN LATERAL (SELECT s.artifact{''.join(met)} FROM search_artifact s"
        " JOIN artifact_listing l ON l.id = s.artifact_id"
        " WHERE s.artifact = number AND s.listed OFFSET 0) AS looked_at",
        *arguments,
    )
    nearest = await _nearest(snapshot, ready, model)
    return Shortfall(
        considered=row[0],
        exclusions=tuple(
            Exclusion(condition.name, _sentence(condition), row[number])
            for number, condition in enumerate(conditions, start=1)
        ),
        nearest=tuple(await explained(snapshot, ready, nearest, nearest=True)),
    )


async def _nearest(snapshot: Snapshot, ready: Ready, model: str | None) -> Sequence[Scored]:
    """Who comes nearest: of those that meet the conditions who matches best, or ranks best where
    the words mean nothing. If there are none, conditions may fail: the fewest of them."""
    conditions = ready.asked.conditions
    found = Answer(results=())
    if conditions:
        found = await find(snapshot, ready.asked, model, whoever_is_nearest=True)
        if not found.results:
            found = await find(snapshot, Asked(conditions=conditions), model)
    if not found.results:
        relaxed = replace(ready.asked, conditions=())
        found = await find(snapshot, relaxed, model, whoever_is_nearest=True)
    failed = await _failed(
        snapshot, [one.candidate.artifact_id for one in found.results], conditions
    )
    order = sorted(
        found.results,
        key=lambda one: (len(failed.get(one.candidate.artifact_id, ())), -one.score),
    )
    return order[:MOST_NEAREST]
