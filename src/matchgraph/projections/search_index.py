"""Read model `search_index`: which words are used of which artifact and capability, and which texts
say what they mean.

Read by queries/search.py and by the worker that embeds texts. A document is a capability, or an
artifact as a whole; terms weigh by the field they stand in, and saturate as in BM25. What says what
something is *not* (limitations, comparisons with others) is no reason to find it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from uuid import UUID

from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import Capability
from matchgraph.eventstore.connection import Connection
from matchgraph.projections.projection import Batch, Heard, Projection, Said, insert
from matchgraph.projections.words import STOP, terms, words

# BM25: how soon a repeated term says no more, how much a long document is held against it, and
# the length that neither helps nor harms. Not the mean of the catalog, for otherwise each new
# document would move the weights of all others.
SATURATION = 1.2
LENGTH_SHARE = 0.6
USUAL_LENGTH = 40
# What kinds are called beside their names.
CALLED: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.AGENT: "agent autonomous assistant",
        Kind.API: "api service endpoint",
        Kind.APP: "app application desktop",
        Kind.BENCHMARK: "benchmark evaluation leaderboard test",
        Kind.CLI: "cli command line terminal tool",
        Kind.DATASET: "dataset data corpus",
        Kind.EXTENSION: "extension plugin add-on",
        Kind.FINETUNE: "finetune fine-tuned model",
        Kind.FRAMEWORK: "framework library sdk package",
        Kind.MCP: "mcp server model context protocol",
        Kind.MODEL: "model",
        Kind.PLATFORM: "platform service hosted",
        Kind.PRODUCT: "product",
        Kind.PROMPT: "prompt",
        Kind.REPO: "repo repository source code",
        Kind.SKILL: "skill",
        Kind.TEMPLATE: "template starter boilerplate",
        Kind.WEBAPP: "webapp web application",
        Kind.WORKFLOW: "workflow automation pipeline",
    }
)
# A word longer than this is noise, and no index entry.
LONGEST = 60


class Facts(Said, frozen=True):
    name: str | None = None
    description: str | None = None
    vendor: str | None = None
    family: str | None = None
    licence: str | None = None
    open_weights: bool | None = None
    self_hostable: bool | None = None


class Registered(Heard, tag="artifact.registered", frozen=True):
    slug: str
    kind: Kind
    facts: Facts


class Described(Heard, tag="artifact.described", frozen=True):
    facts: Facts


class Retired(Heard, tag="artifact.retired", frozen=True):
    pass


class Reinstated(Heard, tag="artifact.reinstated", frozen=True):
    pass


class Merged(Heard, tag="artifact.merged", frozen=True):
    pass


class Unmerged(Heard, tag="artifact.unmerged", frozen=True):
    pass


class CapabilityAdded(Heard, tag="capability.added", frozen=True):
    capability: Capability


class CapabilityRevised(Heard, tag="capability.revised", frozen=True):
    capability: Capability


class CapabilityRetired(Heard, tag="capability.retired", frozen=True):
    key: str


FACTS = Facts.__struct_fields__
ARTIFACT = ""
# The term that is in every document.
ALL = 0


@dataclass(frozen=True)
class Content:
    """What a document says. `texts` begins with the one that describes it; intents follow."""

    weights: Mapping[str, float] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


def of_capability(capability: Capability, name: str) -> Content:
    """The document of a capability of the artifact with that name."""
    return _content(
        (
            (2.5, capability.name),
            (1.5, " ".join(capability.tags)),
            (1.5, ". ".join(capability.intents)),
            (1.0, capability.key),
            (1.0, capability.description),
            (0.7, ". ".join(capability.best_for)),
            (0.7, capability.unique or ""),
            (0.3, ". ".join(capability.requires)),
            (0.3, " ".join((*capability.input_types, *capability.output_types))),
        ),
        (meaning_of(capability, name), *capability.intents),
        about=" ".join((capability.name, capability.key, *capability.tags, *capability.requires)),
    )


def meaning_of(capability: Capability, name: str) -> str:
    """The text that describes the capability, whosever it is: the artifact's own name says nothing
    of what it can do, and without it the same words of many artifacts are embedded once."""
    said = f"{capability.name}. {capability.description} {capability.unique or ''}".strip()
    if not name or name not in said:
        return said
    # A word that only holds the name, as "Good" does "Go", stays.
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "It", said)


def of_artifact(row: Mapping[str, Any]) -> Content:
    """The document of an artifact as a whole."""
    name, description = row["name"], row["description"] or ""
    return _content(
        (
            (3.0, name),
            (2.0, row["vendor"] or ""),
            (2.0, row["family"] or ""),
            (1.5, CALLED[Kind(row["kind"])]),
            (1.0, row["slug"]),
            (1.0, description),
            (0.5, row["licence"] or ""),
            (0.5, "open weights" if row["open_weights"] else ""),
            (0.5, "self-hosted" if row["self_hostable"] else ""),
        ),
        (f"{name}. {description}".strip(),),
        about=f"{name} {row['slug']}",
    )


def mark(term: str) -> str:
    """What the term is in a document that is about it, or needs it, and not only mentions it."""
    return f"!{term}"


def _content(fields: Iterable[tuple[float, str]], texts: Sequence[str], *, about: str) -> Content:
    frequencies: Counter[str] = Counter()
    written: dict[str, None] = {}
    length = 0
    for weight, text in fields:
        for term in _terms(text):
            frequencies[term] += weight  # type: ignore[assignment]  # a Counter of fractions
            length += 1
        written.update(dict.fromkeys(_words(text)))
    for term in _terms(about):
        frequencies[mark(term)] += 1
    shortness = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / USUAL_LENGTH)
    return Content(
        {term: tf * (SATURATION + 1) / (tf + shortness) for term, tf in frequencies.items()},
        tuple(written),
        tuple(dict.fromkeys(texts)),
    )


@lru_cache(maxsize=8_192)
def _terms(text: str) -> tuple[str, ...]:
    return tuple(term for term in terms(text) if len(term) <= LONGEST)


@lru_cache(maxsize=8_192)
def _words(text: str) -> tuple[str, ...]:
    return tuple(
        word
        for word in words(text)
        if 2 < len(word) <= LONGEST and word.isalnum() and word not in STOP
    )


def hash_of(text: str) -> UUID:
    """What a text is known by: the first half of its SHA-256."""
    return UUID(bytes=sha256(text.encode()).digest()[:16])


class _Documents:
    """The documents that a batch touches. Numbers are given event by event, so that the same
    history gives the same numbers wherever a batch ends."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str, str, Content]] = []

    def say(self, position: int, id: str, key: str, content: Content) -> None:
        """The document says this from that event on."""
        self.said.append((position, id, key, content))

    async def write(self, db: Connection, artifacts: Mapping[str, dict[str, Any]]) -> None:
        """Replaces what each document said by what it says last."""
        if not self.said:
            return
        touched = list(dict.fromkeys((id, key) for _, id, key, _ in self.said))
        number = {id: artifacts[id]["artifact"] for id, _ in touched}
        known = {
            (row["artifact"], row["key"]): (row["document"], row["terms"])
            for row in await db.fetch(
                "SELECT artifact, document, key, terms FROM search_document"
                " JOIN unnest($1::int[], $2::text[]) AS asked (artifact, key)"
                " USING (artifact, key)",
                [number[id] for id, _ in touched],
                [key for _, key in touched],
            )
        }
        documents = await self._numbered(db, known, number)
        terms = await self._terms(db)
        await self._count_words(db)
        last = {(id, key): content for _, id, key, content in self.said}
        gone: list[tuple[int, int, int]] = []
        rows: list[tuple[int, int, str, list[int]]] = []
        postings: list[tuple[int, int, int, float]] = []
        texts: list[tuple[int, int, int, UUID, str]] = []
        uses: Counter[int] = Counter()
        for (id, key), content in last.items():
            artifact = number[id]
            document = documents[artifact, key]
            said = known.get((artifact, key), (document, ()))[1]
            says = {terms[term]: weight for term, weight in content.weights.items()}
            gone += [(term, artifact, document) for term in said]
            uses.subtract([*said, ALL] if said else said)
            uses.update([*says, ALL] if says else says)
            rows.append((artifact, document, key, list(says)))
            postings += [(term, artifact, document, weight) for term, weight in says.items()]
            texts += [
                (artifact, document, part, hash_of(text), text)
                for part, text in enumerate(content.texts)
            ]
        if gone:
            await db.execute(
                "DELETE FROM search_posting p USING unnest($1::int[], $2::int[], $3::int[])"
                " AS gone (term, artifact, document) WHERE p.term = gone.term"
                " AND p.artifact = gone.artifact AND p.document = gone.document",
                *map(list, zip(*gone, strict=True)),
            )
        if known:
            # Also of a document all of whose words say nothing.
            await db.execute(
                "DELETE FROM search_text t USING unnest($1::int[], $2::int[])"
                " AS gone (artifact, document) WHERE t.artifact = gone.artifact"
                " AND t.document = gone.document",
                [artifact for artifact, *_ in rows],
                [document for _, document, *_ in rows],
            )
        await insert(
            db,
            "search_document",
            rows,
            then="ON CONFLICT (artifact, document) DO UPDATE SET terms = excluded.terms",
        )
        await insert(db, "search_posting", postings)
        await insert(db, "search_text", texts)
        await insert(
            db,
            "search_text_history",
            [
                (number[id], documents[number[id], key], position, [*map(hash_of, content.texts)])
                for position, id, key, content in self.said
                if key != ARTIFACT
            ],
        )
        counted = [(term, count) for term, count in uses.items() if count]
        await db.execute(
            "UPDATE search_term t SET documents = t.documents + u.count"
            " FROM unnest($1::int[], $2::int[]) AS u (term, count) WHERE t.term = u.term",
            [term for term, _ in counted],
            [count for _, count in counted],
        )

    async def _numbered(
        self,
        db: Connection,
        known: Mapping[tuple[int, str], tuple[int, Any]],
        number: Mapping[str, int],
    ) -> dict[tuple[int, str], int]:
        """The number of each document within its artifact, new ones counted on."""
        found = {place: document for place, (document, _) in known.items()}
        rows = await db.fetch(
            "SELECT artifact, max(document) FROM search_document WHERE artifact = ANY ($1)"
            " GROUP BY artifact",
            list(set(number.values())),
        )
        newest: dict[int, int] = {row[0]: row[1] for row in rows}
        for _, id, key, _ in self.said:
            artifact = number[id]
            if (artifact, key) not in found:
                # The artifact's own document comes with its registration, so it is number 0.
                newest[artifact] = newest.get(artifact, -1) + 1
                found[artifact, key] = newest[artifact]
        return found

    async def _terms(self, db: Connection) -> dict[str, int]:
        """The number of each term, new ones counted on in the order of their first coming."""
        stems = list(dict.fromkeys(stem for *_, content in self.said for stem in content.weights))
        await db.execute("INSERT INTO search_term VALUES ($1, '', 0) ON CONFLICT DO NOTHING", ALL)
        found: dict[str, int] = {
            row["stem"]: row["term"]
            for row in await db.fetch(
                "SELECT term, stem FROM search_term WHERE stem = ANY ($1)", stems
            )
        }
        newest: int = await db.fetchval("SELECT coalesce(max(term), 0) FROM search_term")
        new = [stem for stem in stems if stem not in found]
        found.update((stem, newest + place) for place, stem in enumerate(new, start=1))
        await insert(db, "search_term", [(found[stem], stem, 0) for stem in new])
        return found

    async def _count_words(self, db: Connection) -> None:
        uses = Counter(word for *_, content in self.said for word in content.words)
        await insert(
            db,
            "search_word",
            sorted(uses.items()),
            then="ON CONFLICT (word) DO UPDATE SET uses = search_word.uses + excluded.uses",
        )


async def apply(db: Connection, batch: Batch) -> None:
    """Reads each artifact and capability as it is after each event, and writes it once."""
    artifacts = {
        str(row["artifact_id"]): dict(row)
        for row in await db.fetch(
            "SELECT * FROM search_artifact WHERE artifact_id = ANY ($1)",
            list({event.id for _, event in batch}),
        )
    }
    newest: int = await db.fetchval("SELECT coalesce(max(artifact), 0) FROM search_artifact")
    documents = _Documents()
    changed: dict[str, None] = {}
    for position, event in batch:
        id = event.id
        match event:
            case Registered():
                newest += 1
                artifacts[id] = {
                    "artifact": newest,
                    "artifact_id": id,
                    "listed": True,
                    "slug": event.slug,
                    "kind": event.kind,
                    **{name: getattr(event.facts, name) for name in FACTS},
                }
                documents.say(position, id, ARTIFACT, of_artifact(artifacts[id]))
            case Described(facts=facts):
                news = {n: said for n in FACTS if (said := getattr(facts, n)) is not None}
                if not news:
                    continue
                artifacts[id].update(news)
                documents.say(position, id, ARTIFACT, of_artifact(artifacts[id]))
            case CapabilityAdded(capability=capability) | CapabilityRevised(capability=capability):
                content = of_capability(capability, artifacts[id]["name"])
                documents.say(position, id, capability.key, content)
                continue
            case CapabilityRetired(key=key):
                documents.say(position, id, key, Content())
                continue
            case _:
                artifacts[id]["listed"] = isinstance(event, Reinstated | Unmerged)
        changed[id] = None
    await insert(
        db,
        "search_artifact",
        [tuple(artifacts[id][column] for column in COLUMNS) for id in changed],
        then="ON CONFLICT (artifact) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[2:]),
    )
    await documents.write(db, artifacts)


COLUMNS = ("artifact", "artifact_id", "listed", "slug", "kind", *FACTS)

SEARCH_INDEX = Projection(
    name="search_index",
    tables=(
        "search_artifact",
        "search_document",
        "search_term",
        "search_posting",
        "search_word",
        "search_text",
        "search_text_history",
    ),
    hears=(
        Registered,
        Described,
        Retired,
        Reinstated,
        Merged,
        Unmerged,
        CapabilityAdded,
        CapabilityRevised,
        CapabilityRetired,
    ),
    apply=apply,
)
