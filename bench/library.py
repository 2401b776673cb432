"""The peer: the same catalog as one would build it with the eventsourcing library alone."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, Tracking, Transcoding
from eventsourcing.postgres import PostgresFactory, PostgresTrackingRecorder
from eventsourcing.projection import ApplicationSubscription
from psycopg.sql import SQL

from bench.frame import Round
from matchgraph.domain.aggregate import AggregateEvent
from matchgraph.domain.artifact import Artifact, Facts
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName


def _said(value: Any) -> dict[str, Any]:
    return {
        field.name: item
        for field in fields(value)
        if (item := getattr(value, field.name)) is not None
    }


class PriceAsDict(Transcoding):
    type = Price
    name = "price"

    def encode(self, obj: Price) -> dict[str, Any]:
        return _said(obj)

    def decode(self, data: dict[str, Any]) -> Price:
        data["pricing"] = Pricing(data["pricing"])
        if "per" in data:
            data["per"] = Unit(data["per"])
        return Price(**data)


class SignalAsDict(Transcoding):
    type = Signal
    name = "signal"

    def encode(self, obj: Signal) -> dict[str, Any]:
        return _said(obj)

    def decode(self, data: dict[str, Any]) -> Signal:
        data["name"], data["method"] = SignalName(data["name"]), Method(data["method"])
        return Signal(**data)


class FactsAsDict(Transcoding):
    type = Facts
    name = "facts"

    def encode(self, obj: Facts) -> dict[str, Any]:
        return _said(obj)

    def decode(self, data: dict[str, Any]) -> Facts:
        return Facts(**data)


class ProvenanceAsDict(Transcoding):
    type = Provenance
    name = "provenance"

    def encode(self, obj: Provenance) -> dict[str, Any]:
        return _said(obj)

    def decode(self, data: dict[str, Any]) -> Provenance:
        data["method"] = Method(data["method"])
        return Provenance(**data)


class Catalog(Application[UUID]):
    """The library's application: its recorder, its transcoder, its rows."""

    name = "library"

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        super().register_transcodings(transcoder)
        for transcoding in (PriceAsDict, SignalAsDict, FactsAsDict, ProvenanceAsDict):
            transcoder.register(transcoding())


def environment(url: str, connections: int) -> dict[str, str]:
    """As the library's documentation configures it; a connection for each caller, none over."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": parts.hostname or query["host"][0],
        "POSTGRES_PORT": str(parts.port or query.get("port", ["5432"])[0]),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "",
        "POSTGRES_POOL_SIZE": str(connections),
        "POSTGRES_MAX_OVERFLOW": "0",
    }


@contextmanager
def catalog(url: str, connections: int = 2) -> Iterator[Catalog]:
    """The application on that database."""
    application = Catalog(environment(url, connections))
    try:
        yield application
    finally:
        application.close()


def fill(application: Catalog, events: Sequence[AggregateEvent]) -> int:
    """Records the events through the library's own mapper; returns their bytes of state."""
    rows = [application.mapper.to_stored_event(event) for event in events]
    # Few at a time: over a unix socket, a call of several hundred kilobytes waits for ever.
    for start in range(0, len(rows), 250):
        application.recorder.insert_events(rows[start : start + 250])
    return sum(len(row.state) for row in rows)


class View(PostgresTrackingRecorder):
    """Our read models, written the library's way: one transaction per event and its tracking."""

    def record(self, event: object, tracking: Tracking) -> None:
        """Writes what the event says, and how far we have come."""
        position = tracking.notification_id
        with self.datastore.transaction(commit=True) as cursor:
            match event:
                case Artifact.PriceObserved(originator_id=id, price=price):
                    line = (id, price.provider, price.per, price.tier, price.source)
                    row = (
                        *(position, *line, price.observed_at),
                        *(price.pricing, price.amount, price.currency),
                    )
                    cursor.execute(HISTORY, row, prepare=True)
                    cursor.execute(CURRENT, row, prepare=True)
                case Artifact.SignalObserved(originator_id=id, signal=signal):
                    key = (id, signal.name, signal.source)
                    values = (*key, signal.value, signal.method, signal.observed_at, position)
                    cursor.execute(BOARD, values, prepare=True)
            self._insert_tracking(cursor, tracking)


HISTORY = SQL("INSERT INTO price_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)")
CURRENT = SQL(
    "INSERT INTO price_current VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (artifact_id, provider, per, tier, source) DO UPDATE SET"
    " position = excluded.position, observed_at = excluded.observed_at,"
    " pricing = excluded.pricing, amount = excluded.amount, currency = excluded.currency"
)
BOARD = SQL(
    "INSERT INTO signal_board VALUES (%s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (artifact_id, name, source) DO UPDATE SET value = excluded.value,"
    " method = excluded.method, observed_at = excluded.observed_at, position = excluded.position"
)


@contextmanager
def view(url: str) -> Iterator[View]:
    """The read models on that database."""
    with PostgresFactory(environment(url, 1)) as factory:
        yield factory.tracking_recorder(View)


def follow(application: Catalog, view: View, count: int) -> Round:
    """How long the library's own loop takes to bring the view to that event, one by one."""
    start = time.perf_counter()
    with ApplicationSubscription(application, gt=0) as subscription:
        for event, tracking in subscription:
            view.record(event, tracking)
            if tracking.notification_id == count:
                break
    return Round(count, time.perf_counter() - start)
