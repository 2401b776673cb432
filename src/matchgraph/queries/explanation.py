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


@dataclass(frozen=True)
class Shortfall:
    """Why nothing fits: what each condition leaves out of `considered` artifacts, and who comes
    nearest without meeting all of them."""

    considered: int
    exclusions: tuple[Exclusion, ...]
    nearest: tuple[Result, ...]


async def explained(
    snapshot: Snapshot, ready: Ready, page: Sequence[Scored], *, nearest: bool = False
) -> list[Result]:
    """The results with their reasons. Of the `nearest` where nothing fits, also the conditions
    that they do not meet. Raises: Unavailable."""
    ids = [one.candidate.artifact_id for one in page]
    asked: dict[str, str] = {}
    for word in words(ready.understanding.rest):
        for term in terms(word):
            asked.setdefault(term, word)
    heard = await _heard(snapshot, ids, list(ready.asked.terms))
    failed = await _failed(snapshot, ids, ready.asked.conditions) if nearest else {}
    found = []
    for one in page:
        id = one.candidate.artifact_id
        said = [asked.get(term, term) for term in ready.asked.terms if term in heard[id]]
        unsaid = [asked.get(term, term) for term in ready.asked.terms if term not in heard[id]]
        met = [c for c in ready.asked.conditions if c not in failed.get(id, ())]
        lacks = [f"Not met: {_sentence(condition)}." for condition in failed.get(id, ())]
        if unsaid:
            lacks.append(f"Nothing in its description says {_listed(unsaid)}.")
        fails = bool(failed.get(id))
        found.append(Result(one, tuple(_reasons(one, said, met)), tuple(lacks), fails))
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
                    else "It is described in the same words as what it shall be like."
                )
            case ReasonKind.MEANING:
                sentence = (
                    f"What it says of {by} means much the same (cosine {one.candidate.alike:.2f})."
                )
            case ReasonKind.LIKENESS:
                sentence = "It is of the same kind as what it shall be like."
            case ReasonKind.EVIDENCE:
                sentence = "Searchers with a need like this were better served by it than expected."
            case _:
                sentence = f"It ranks at {100 * one.candidate.rank:.1f} of 100 points."
        found.append(Reason(kind, sentence, share))
    if one.explored:
        sentence = "It was hardly shown before and stands here to be seen at all."
        found.append(Reason(ReasonKind.EXPLORATION, sentence))
    found += [Reason(ReasonKind.CONDITION, f"It is met: {_sentence(c)}.") for c in met]
    return found


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
            " FROM search_posting p WHERE p.term = t.term AND p.artifact = s.artifact)",
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
    counts = "".join(
        f", count(*) FILTER (WHERE NOT coalesce({arguments.of(condition)}, false))"
        for condition in conditions
    )
    (row,) = await snapshot.fetch(
        f"SELECT count(*){counts} FROM search_artifact s"
        " JOIN artifact_listing l ON l.id = s.artifact_id WHERE s.listed",
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
    """Who comes nearest when conditions may fail: the fewest of them, then the best match. To words
    that mean nothing nobody does: then it is who ranks best of those that meet the conditions."""
    conditions = ready.asked.conditions
    found: Answer = await find(
        snapshot, replace(ready.asked, conditions=()), model, whoever_is_nearest=True
    )
    if conditions and not found.results:
        found = await find(snapshot, Asked(conditions=conditions), model)
    failed = await _failed(
        snapshot, [one.candidate.artifact_id for one in found.results], conditions
    )
    order = sorted(
        found.results,
        key=lambda one: (len(failed.get(one.candidate.artifact_id, ())), -one.score),
    )
    return order[:MOST_NEAREST]
