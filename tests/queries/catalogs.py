"""Catalogs that many tests look at and none changes: made once for a module."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg

from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Artifact, Facts, Kind
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.signal import Signal
from matchgraph.embedding import Embedder
from matchgraph.eventstore.connection import connect
from matchgraph.eventstore.store import open_store
from matchgraph.projections.text_vectors import fill
from matchgraph.servers import Servers
from tests.conftest import project, url_of
from tests.eventstore.histories import capability, price, provenance, signal, stored_events
from tests.projections.tables import BY


def shared(
    servers: Servers,
    template: str,
    aggregates: Sequence[Aggregate],
    embedder: Embedder | None = None,
) -> Iterator[str]:
    """The connection string of a database in which that has happened."""
    name = f"shared_{uuid4().hex[:12]}"
    asyncio.run(_execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    url = url_of(servers.database_url, name)
    asyncio.run(take_in(url, aggregates, embedder))
    yield url
    asyncio.run(_execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def take_in(
    url: str, aggregates: Sequence[Aggregate], embedder: Embedder | None = None
) -> None:
    """Appends what is new of the aggregates, brings the read models there, and embeds the texts."""
    async with open_store(url) as store:
        await store.append_batch(stored_events(*aggregates), BY)
        await project(url, store)
    if embedder is not None:
        db = await connect(url, "test")
        await fill(db, embedder)
        await db.close()


async def _execute(url: str, statement: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute(statement)
    await admin.close()


def catalog() -> list[Artifact]:
    """A small catalog in which different things can be told apart by words and by meaning."""
    tables = capability(
        "table-extraction",
        name="Table extraction",
        description="Finds tables in scanned pages and gives them as CSV.",
        intents=("extract tables from a PDF", "turn a scanned table into a spreadsheet"),
        limitations=("No handwriting",),
        input_types=(DataType.PDF,),
        output_types=(DataType.TABLE,),
    )
    transcription = capability(
        "transcription",
        name="Transcription",
        description="Turns recorded speech into written text with timestamps.",
        intents=("transcribe a meeting",),
        input_types=(DataType.AUDIO,),
        output_types=(DataType.TEXT,),
    )
    made = [
        _made(
            "tab-reader",
            Kind.MODEL,
            "Extracts tables from documents.",
            tables,
            price("0.000002"),
            signal("900"),
            name="Tab Reader",
            vendor="Acme",
            licence="MIT",
            open_weights=True,
        ),
        _made(
            "sheet-lens",
            Kind.API,
            "Recognises tables and forms in photos.",
            replace(
                tables,
                description="Recognises rows and columns of a table in an image.",
                intents=("read a table in a photo",),
                input_types=(DataType.IMAGE,),
            ),
            price(None, provider="bolt", pricing=Pricing.FREE),
            name="Sheet Lens",
            vendor="Bolt",
        ),
        _made(
            "scribe",
            Kind.MODEL,
            "Speech to text for meetings.",
            transcription,
            price("0.006", per=Unit.AUDIO_MINUTE),
            signal("50"),
            name="Scribe",
            vendor="Acme",
        ),
        _made(
            "whisperer",
            Kind.MODEL,
            "Speech recognition in ninety languages.",
            replace(transcription, description="Writes down what is spoken in a recording."),
            price(None, provider="whisperer", pricing=Pricing.OPEN_SOURCE),
            name="Whisperer",
            licence="Apache-2.0",
            open_weights=True,
        ),
        _made(
            "songsmith",
            Kind.APP,
            "Composes music for a mood.",
            capability("music", name="Composing", description="Writes melodies and chords."),
            price("10", per=Unit.MONTH),
            name="Songsmith",
        ),
        _made(
            "pixel-forge",
            Kind.MODEL,
            "Draws pictures from a description.",
            capability("drawing", name="Drawing", description="Paints illustrations in any style."),
            price("0.04", provider="bolt", per=Unit.IMAGE),
            name="Pixel Forge",
            vendor="Bolt",
        ),
        _made(
            "bug-hound",
            Kind.AGENT,
            "Finds bugs in source code and proposes fixes.",
            capability("debugging", name="Debugging", description="Reads stack traces."),
            name="Bug Hound",
        ),
        _made(
            "gpt-4o", Kind.MODEL, "A general model.", signal("99"), name="GPT-4o", vendor="OpenAI"
        ),
        _made("gpt-4o-mini", Kind.MODEL, "A small general model.", name="GPT-4o mini"),
        _made("old-reader", Kind.MODEL, "Extracts tables from documents.", tables, name="Old"),
        _made("twin-reader", Kind.MODEL, "Extracts tables from documents.", tables, name="Twin"),
    ]
    by_slug = {one.slug: one for one in made}
    by_slug["old-reader"].retire("superseded")
    by_slug["twin-reader"].merge(by_slug["tab-reader"])
    return made


def _made(
    slug: str,
    kind: Kind,
    description: str,
    *said: Price | Capability | Signal,
    **facts: Any,
) -> Artifact:
    one = Artifact.register(slug, kind, Facts(description=description, **facts), provenance())
    for value in said:
        match value:
            case Price():
                one.observe_price(value)
            case Capability():
                one.add_capability(value)
            case Signal():
                one.observe_signal(value)
    return one
