"""A need made ready for the search: spelled right, understood, its names resolved, and embedded."""

import asyncio
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import msgspec

from matchgraph.domain.conditions import contradictions, merge, sentences_of
from matchgraph.domain.need import Need, Where
from matchgraph.domain.price import Price
from matchgraph.domain.search import Intent, Search
from matchgraph.domain.understanding import Reading, understand
from matchgraph.domain.vocabulary import Vocabulary, squashed
from matchgraph.embedding import Embedder
from matchgraph.eventstore.searcher_keys import SealedText, SearcherKeys
from matchgraph.eventstore.searcher_keys import need_of as bound_to_need
from matchgraph.projections.words import ASKING, STOP, words
from matchgraph.queries import artifact, match_graph, price
from matchgraph.queries.artifact import Listing
from matchgraph.queries.conditions import conditions
from matchgraph.queries.search import Asked, Vector, terms_of, written
from matchgraph.queries.snapshot import Snapshot
from matchgraph.queries.spelling import Correction, corrected

# Needs this much alike in meaning are one intent.
SAME_INTENT = 0.85
LONGEST_LABEL = 200


class EmptyNeed(Exception):
    """Nothing is asked for."""

    def __init__(self) -> None:
        super().__init__(
            "`need` is empty: say in `text` what you need, name an artifact in `like`, or give"
            " conditions in `where`."
        )


class UnknownExample(Exception):
    """A need names an artifact that is not there."""

    def __init__(self, field: str, slug: str) -> None:
        super().__init__(f"`need.{field}`: there is no artifact {slug[:200]!r}.")
        self.slug = slug


class Contradiction(Exception):
    """Two conditions that no artifact can meet together."""

    def __init__(self, one: str, other: str, sentence: str) -> None:
        said = f"`{field_of(one)}`"
        if other != one:
            said += f" and `{field_of(other)}` contradict each other"
        super().__init__(f"{said}: {sentence}.")
        self.conditions = (one, other)


def field_of(condition: str) -> str:
    """What whoever asks calls the condition."""
    first, *rest = condition.split("_")
    return first + "".join(map(str.capitalize, rest))


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """How a need was understood. `text` is as it was read, with corrected spelling; `rest` is what
    of it is matched by words and meaning; `where` unites what was given with what was read."""

    text: str | None
    rest: str
    corrections: tuple[Correction, ...]
    readings: tuple[Reading, ...]
    where: Where
    like: tuple[str, ...]
    unlike: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A need that can be searched for, and its intent. `news` is what a new intent means;
    None for one that is known."""

    asked: Asked
    understanding: Understanding
    intent: Intent
    news: Vector | None


async def ready(
    snapshot: Snapshot,
    need: Need,
    vocabulary: Vocabulary,
    embedder: Embedder | None,
    *,
    today: date,
    secret: bytes,
    ignored: Collection[str] = (),
) -> Ready:
    """The need as it is searched for. `ignored` names readings that are switched off; `secret` is
    what ids of intents are made with, so that nobody else can tell words by them.

    Raises: EmptyNeed, UnknownExample, Contradiction, Unavailable.
    """
    understanding = await _understood(snapshot, need, vocabulary, embedder, today, ignored)
    where = understanding.where
    found = contradictions(where, understanding.like, understanding.unlike)
    if found:
        raise Contradiction(*found[0])
    like = await _examples(snapshot, "like", understanding.like)
    unlike = await _examples(snapshot, "unlike", understanding.unlike)
    names = [n for n in (understanding.text, understanding.rest) if n]
    named = await artifact.by_slugs(
        snapshot, [slug for name in names for slug in vocabulary.artifacts.get(squashed(name), ())]
    )
    cheaper_than: tuple[Price, ...] = ()
    if where.cheaper_than is not None:
        (cheap,) = await _examples(snapshot, "where.cheaperThan", (where.cheaper_than,))
        (cheaper_than,) = await price.current(snapshot, [cheap.id])
    vector = None
    if embedder is not None and _means_something(understanding.rest, embedder):
        (vector,) = await asyncio.to_thread(embedder.embed, [understanding.rest])
    asked = Asked(
        terms=terms_of(understanding.rest),
        vector=vector,
        like=tuple(one.id for one in like),
        unlike=tuple(one.id for one in unlike),
        named=tuple({one.id for one in named if one is not None}),
        kinds=tuple({one.kind for one in like}),
        conditions=conditions(where, cheaper_than),
    )
    if not (asked.has_aim or asked.unlike or asked.conditions):
        raise EmptyNeed
    if asked.conditions and not asked.like and not _tells(understanding.rest):
        # "The most popular MCP server": beside the conditions, the words only ask for the best.
        asked = replace(asked, terms={}, vector=None)
    near = await _intents(snapshot, vector, embedder)
    return Ready(
        asked=replace(asked, learned=await match_graph.learned(snapshot, near, today)),
        understanding=understanding,
        intent=_intent(understanding, near, secret),
        news=None if near and near[0][1] >= SAME_INTENT else vector,
    )


async def _understood(
    snapshot: Snapshot,
    need: Need,
    vocabulary: Vocabulary,
    embedder: Embedder | None,
    today: date,
    ignored: Collection[str],
) -> Understanding:
    text: str | None = None
    corrections: tuple[Correction, ...] = ()
    if need.text is not None and need.text.strip():
        text, corrections = await corrected(
            snapshot, need.text.strip(), lambda word: _is_known(word, vocabulary, embedder)
        )
    read = understand(text or "", vocabulary, ignored, today=today)
    if wrong := [reading.id for reading in read.readings if _overruled(need.where, reading)]:
        # Whoever gives conditions knows better than we what the words mean.
        read = understand(text or "", vocabulary, [*ignored, *wrong], today=today)
    return Understanding(
        text=text,
        rest=read.rest.strip(),
        corrections=corrections,
        readings=read.readings,
        where=merge(need.where, [reading.where for reading in read.readings]),
        like=tuple(dict.fromkeys((*need.like, *(s for r in read.readings for s in r.like)))),
        unlike=tuple(dict.fromkeys((*need.unlike, *(s for r in read.readings for s in r.unlike)))),
    )


def _overruled(given: Where, reading: Reading) -> bool:
    """Whether a condition that is given says the opposite of what was read."""
    return any(
        isinstance(value, bool) and getattr(given, name) is (not value)
        for name, value in reading.where.said().items()
    )


def _tells(text: str) -> bool:
    return any(word not in ASKING and word not in STOP for word in words(text))


def _means_something(text: str, embedder: Embedder) -> bool:
    """Whether the text is words for the greater part; of mere letters any model makes something."""
    said = list(words(text))
    return 2 * sum(map(embedder.knows, said)) >= max(1, len(said))


def _is_known(word: str, vocabulary: Vocabulary, embedder: Embedder | None) -> bool:
    return (embedder is not None and embedder.knows(word)) or any(
        word in names
        for names in (
            vocabulary.vendors,
            vocabulary.families,
            vocabulary.providers,
            vocabulary.licences,
            vocabulary.artifacts,
        )
    )


async def _examples(snapshot: Snapshot, field: str, slugs: Sequence[str]) -> list[Listing]:
    if not slugs:
        return []
    found = await artifact.by_slugs(snapshot, slugs)
    for slug, listing in zip(slugs, found, strict=True):
        if listing is None:
            raise UnknownExample(field, slug)
    return [listing for listing in found if listing is not None]


async def _intents(
    snapshot: Snapshot, vector: Vector | None, embedder: Embedder | None
) -> list[tuple[UUID, float]]:
    """The intents of past searches that are nearest in meaning, with their cosines."""
    if vector is None or embedder is None:
        return []
    return await match_graph.nearest_clusters(snapshot, embedder.model, written(vector))


def _intent(
    understanding: Understanding, near: Sequence[tuple[UUID, float]], secret: bytes
) -> Intent:
    """What is meant: the intent of past searches that means the same, or a new one."""
    if understanding.rest:
        said = " ".join(sorted(terms_of(understanding.rest))) or understanding.rest
        label = understanding.rest
    elif understanding.like:
        said = label = f"like {', '.join(sorted(understanding.like))}"
    else:
        said = label = "; ".join(sentences_of(understanding.where).values()) or "anything else"
    alike = [cluster for cluster, cosine in near if cosine >= SAME_INTENT]
    cluster = alike[0] if alike else _id(said, secret)
    return Intent(cluster=cluster, label=label[:LONGEST_LABEL])


def _id(said: str, secret: bytes) -> UUID:
    # A plain hash would tell everybody who guesses what was searched for.
    digest = hmac.digest(secret, said.encode("utf-8", "replace"), "sha256")
    return UUID(bytes=digest[:16], version=4)


async def need_of(keys: SearcherKeys, search: Search) -> Need | None:
    """What the search was for; None once the searcher is forgotten. Raises: Unavailable."""
    if search.in_plain is not None:
        return search.in_plain.need
    if search.words is None:
        return None
    sealed = SealedText(search.words.key, search.words.need, bound_to_need(search.id))
    (said,) = await keys.opened([sealed])
    return None if said is None else _need.decode(said)


_need = msgspec.json.Decoder(Need)
