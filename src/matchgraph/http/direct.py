"""Answers that are made on the shortest way: of a document that is known and valid, by its plan
(graphql/compiled.py), from dossiers (queries/dossier.py).

What the application says of a request is what counts. Here is made what it would say where nothing
is out of the ordinary; all else is left to it, as if nobody had tried: an error, a document that is
new, a budget that does not suffice, something that changed in the middle.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import msgspec
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.types import Scope

from matchgraph.domain.comparison import FEWEST, MOST
from matchgraph.eventstore.errors import Unavailable
from matchgraph.graphql.context import Context
from matchgraph.graphql.documents import Prepared
from matchgraph.graphql.fragments import Fragment, Fragments
from matchgraph.graphql.limits import MOST_POINTS, Bill, bill_for, check, known_price, pay
from matchgraph.graphql.schema import CatalogSchema
from matchgraph.http.access import Caller
from matchgraph.http.answers import Kept
from matchgraph.http.documents import Documents
from matchgraph.http.request import (
    BadRequest,
    NotRun,
    Sent,
    answer_type,
    check_headers,
    read_body,
    read_payload,
)
from matchgraph.observe.operation import CURRENT
from matchgraph.queries.dossier import Dossiers, Moved, Reading
from matchgraph.queries.notes import Notes

TRIED = "matchgraph.tried"
# Makes the context of an operation that answers such a request.
Contexts = Callable[[Scope, Caller, Notes, Reading], Context]
# Waits for whoever makes the same answer. Raises: Found.
Claim = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """An answer, what was paid for it, and whether it may be given again."""

    answer: Kept
    bill: Bill
    lasting: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """What was paid for an answer that could not be made here, and the seconds that were spent."""

    bill: Bill
    spent: float


class Spliced(NamedTuple):
    """An answer that was put together, as Kept has it."""

    said: bytes
    points: int
    name: str | None


class Direct:
    """Makes answers, if it can."""

    def __init__(
        self,
        schema: CatalogSchema,
        documents: Documents,
        dossiers: Dossiers,
        contexts: Contexts,
        fragments: Fragments | None = None,
    ) -> None:
        self._schema = schema
        self._documents = documents
        self._dossiers = dossiers
        self._contexts = contexts
        self._fragments = fragments

    def at_once(self, caller: Caller, body: bytes) -> Spliced | None:
        """The answer, if it is put together of nothing but what is kept of artifacts. For those for
        whom nobody counts."""
        touched, fragments = self._dossiers.touched, self._fragments
        at = touched.at
        if at is None or fragments is None:
            return None
        try:
            sent = read_payload(msgspec.json.decode(body))
        except (BadRequest, ValueError, RecursionError):
            return None
        name, variables = sent.operation_name, sent.variables or {}
        text = self._documents.at_hand(sent)
        prepared = None if text is None else self._schema.documents.find(text)
        if prepared is None or not prepared.is_direct(name):
            return None
        splice = prepared.plans.splice(name)
        if splice is None or variables.keys() != {splice.variable}:
            return None
        points = known_price(prepared.document, name, variables, prepared.prices)
        given = variables[splice.variable]
        slugs = given if splice.several else [given]
        if points is None or points > MOST_POINTS or not isinstance(slugs, list):
            return None
        reading = Reading(self._dossiers, at)
        parts: dict[UUID, bytes] = {}
        for slug in slugs:
            dossier = self._dossiers.at_hand(slug, at) if isinstance(slug, str) else None
            if dossier is None:
                return None
            id = dossier.listing.id
            fragment = fragments.get(splice.key(id, caller.role), reading)
            if fragment is None:
                return None
            parts[id] = fragment.said
        if len(parts) < len(slugs) or (splice.several and not FEWEST <= len(slugs) <= MOST):
            return None
        return Spliced(splice.said(list(parts.values())), points, prepared.name(name))

    async def answer(
        self,
        scope: Scope,
        caller: Caller,
        body: bytes,
        claim: Claim | None = None,
        *,
        anew: bool = False,
    ) -> "Made | None":
        """The answer; None where the application has to say what it is, to whom `scope` says what
        was paid already. With `anew`, it is made of nothing that was read of artifacts before.
        Raises: Found, if somebody else has made it meanwhile."""
        touched, operation = self._dossiers.touched, CURRENT.get()
        at, era = touched.at, touched.era
        if at is None or operation is None or operation.spans is not None:
            # (Where somebody wants to see each step: what is made here has none.)
            return None
        media_type = _media_type(scope)
        prepared = sent = None
        if media_type is not None:
            with suppress(BadRequest, NotRun):
                sent = read_body(body)
                prepared = self._schema.documents.find(await self._documents.find(sent))
        if (
            media_type is None
            or sent is None
            or prepared is None
            or not prepared.is_direct(sent.operation_name)
        ):
            return None
        if claim is not None:
            await claim()
        notes = Notes()
        context = self._contexts(scope, caller, notes, Reading(self._dossiers, at, anew=anew))
        context.fragments = None if anew else self._fragments
        bill = await self._paid(prepared, sent, context)
        if bill is None:
            return None
        began = perf_counter()
        try:
            async with asyncio.timeout(context.patience):
                answered = await prepared.plans.execute(
                    self._schema._schema, sent.variables, sent.operation_name, context
                )
                if answered is not None and await self._holds(context, at):
                    said = b'{"data":' + msgspec.json.encode(answered.data)
                else:
                    answered = None
        except TimeoutError:
            context.abandon()
            answered = None
        except (Moved, Unavailable, TypeError, ValueError):
            # Among others of a text that is none, or a number that is too large.
            answered = None
        finally:
            await context.close()
        if not notes.complete:
            prepared.indirect.add(sent.operation_name)
            answered = None
        if answered is None:
            scope[TRIED] = Tried(bill, perf_counter() - began)
            return None
        notes.stood(at, era)
        assert notes.position is not None, "it is known since just now"
        if context.fragments is not None:
            for key, part, marks in answered.made:
                context.fragments.put(key, Fragment(bytes(part), at, era, marks))
        kept = Kept(
            said,
            media_type,
            bill.points,
            notes.position,
            era,
            tuple(notes.marks),
            "query",
            prepared.name(sent.operation_name),
            operation.document,
            "",
        )
        return Made(kept, bill, notes.lasting)

    async def _paid(self, prepared: Prepared, sent: Sent, context: Context) -> Bill | None:
        """What was paid for it; None if it is not within bounds, or cannot be paid for."""
        try:
            points = check(
                self._schema._schema,
                prepared.document,
                sent.operation_name,
                sent.variables or {},
                prepared.prices,
            )
            bill = bill_for(context.purse, points)
            await pay(context.purse, bill)
        except GraphQLError:
            return None
        return bill

    async def _holds(self, context: Context, at: int) -> bool:
        """Whether what was read beside dossiers was the same as of their position. Raises: Moved,
        Unavailable."""
        stands = await context.stands()
        if stands is None:
            return True
        if not context.notes.complete:
            return False
        await self._dossiers.check(at, *stands, context.notes.marks)
        return True


def _media_type(scope: Scope) -> str | None:
    """Of the answer; None for a request that has to be looked at more closely."""
    return posted(scope["headers"]) if scope["method"] == "POST" else None


def posted(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The media type of the answer to a POST; None if it has to be looked at more closely."""
    said = {}
    for name, value in headers:
        if name in (b"content-type", b"accept") and name not in said:
            said[name] = value
        elif name in (b"content-type", b"accept", b"content-encoding"):
            return None
    return _answered(said.get(b"content-type", b""), said.get(b"accept", b""))


@lru_cache
def _answered(content_type: bytes, accept: bytes) -> str | None:
    try:
        check_headers(Headers(raw=[(b"content-type", content_type)]))
    except BadRequest:
        return None
    return answer_type(accept.decode("latin-1"))
