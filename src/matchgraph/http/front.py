"""Where requests to /graphql come in, and answers that are known are given.

Everything else goes on to the application, and whatever comes of it that may be given again is kept
(http/answers.py). A hit has passed the doors, is paid for and is observed as any other request;
what it is spared is being read, validated and carried out.
"""

import json
from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from time import perf_counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matchgraph.eventstore.errors import Unavailable
from matchgraph.graphql.context import ANONYMOUS
from matchgraph.graphql.limits import MOST_POINTS, Bill, Limited, bill_for, pay
from matchgraph.http.access import CALLER, Caller, Unauthenticated, given
from matchgraph.http.answers import LARGEST, Answers, Found, Kept, Pending, tag_of
from matchgraph.http.budget import headers
from matchgraph.http.direct import TRIED, Tried, posted
from matchgraph.http.observe import request_id_of
from matchgraph.http.origins import Cors, Origins
from matchgraph.http.request import EVENTS
from matchgraph.observe.observer import Observer
from matchgraph.observe.operation import CURRENT

PENDING = "matchgraph.pending"
FOUND = "matchgraph.found"
# No browser guesses at what an answer is.
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
# As the application says where no page asks.
NO_PAGE = (b"vary", b"Origin")
# Units: bytes. A document and its variables take a few thousand.
LONGEST_BODY = 100_000
# What else than the body decides about the bytes of an answer, or whether there is one.
DECIDING = frozenset({b"accept", b"content-type", b"content-encoding"})
# Whoever says so wants it made anew.
ANEW = (b"no-cache", b"no-store")
STREAM = EVENTS.encode()


class Front:
    """Gives the answers that are known; all other requests go on to the application."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._to_pages = Cors(_give_to_pages, origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request over HTTP."""
        state = scope["app"].state
        answers: Answers | None = state.answers
        said = _said(scope)
        if said is None:
            await self._app(scope, receive, send)
            return
        try:
            caller: Caller = await state.doors.admit(given(scope))
        except (Unauthenticated, Unavailable):
            # Which the application says as it has to be said.
            await self._app(scope, receive, send)
            return
        scope[CALLER] = caller
        messages, body = await _read(receive)
        if body is None:
            await self._app(scope, _again(messages, receive), send)
            return
        anew = _wants_anew(scope)
        if answers is None or anew:
            made = await state.direct.answer(scope, caller, body, anew=anew)
            if made is not None:
                await self._send(made.answer, made.bill, scope, receive, send)
            else:
                await self._app(scope, _again(messages, receive), send)
            return
        said += (caller.role.name.encode(), body)
        key = blake2b(b"\0".join(said), digest_size=20).digest()
        kept = answers.get(key)
        if kept is not None and await self._give(kept, scope, receive, send):
            return
        pending = Pending(key)
        try:
            claim = partial(answers.claim, pending, elsewhere=False)
            made = await state.direct.answer(scope, caller, body, claim)
            if made is not None:
                if made.lasting:
                    # Making it takes about as long as asking Redis for it.
                    answers.put(key, made.answer, shared=False)
                answers.release(pending)
                await self._send(made.answer, made.bill, scope, receive, send)
                return
            scope[PENDING] = pending
            keeping = _Keeping(pending, answers, scope, send)
            await self._app(scope, _again(messages, receive), keeping.send)
        except Found:
            pass
        finally:
            answers.release(pending)
        if pending.found is not None:
            scope.pop(PENDING, None)
            if not await self._give(pending.found, scope, receive, send):
                await self._app(scope, _again(messages, receive), send)

    async def _give(self, kept: Kept, scope: Scope, receive: Receive, send: Send) -> bool:
        """Gives the answer, if whoever asks can pay for it. (If not, there is an application to say
        so.)"""
        state, caller = scope["app"].state, scope[CALLER]
        tried: Tried | None = scope.get(TRIED)
        if tried is not None:
            bill = tried.bill
        else:
            purse = state.budgets.purse(scope, caller)
            bill = bill_for(purse, kept.points)
            try:
                await pay(purse, bill)
            except Limited:
                return False
        state.answers.hit()
        await self._send(kept, bill, scope, receive, send)
        return True

    async def _send(
        self, kept: Kept, bill: Bill, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Sends the answer, which is paid for."""
        operation = CURRENT.get()
        if operation is not None:
            operation.actor, operation.cost = scope[CALLER].actor, kept.points
            operation.kind, operation.name, operation.document = kept.kind, kept.name, kept.document
        scope[FOUND] = kept, bill
        if any(name == b"origin" for name, _ in scope["headers"]):
            await self._to_pages(scope, receive, send)
        else:
            # What is said to all others takes no look at who they are.
            await _give_found(scope, send, NO_PAGE)


def _said(scope: Scope) -> list[bytes] | None:
    """What decides about the answer beside the body and the role of who asks; None: no kept answer
    would do."""
    said = [scope["method"].encode(), scope["query_string"]]
    for name, value in scope["headers"]:
        if name in DECIDING:
            if STREAM in value.lower():
                return None
            said += (name, value)
    return said


def _wants_anew(scope: Scope) -> bool:
    """Whether whoever asks wants no answer that was made before."""
    return any(
        name == b"cache-control" and any(one in value.lower() for one in ANEW)
        for name, value in scope["headers"]
    )


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """What comes in, and the body; None: it is longer than any whose answer is kept, or its client
    went away before it was whole."""
    messages: list[Message] = []
    length = 0
    while True:
        message = await receive()
        messages.append(message)
        length += len(message.get("body", b""))
        if message["type"] != "http.request" or length > LONGEST_BODY:
            return messages, None
        if not message.get("more_body"):
            return messages, b"".join(one.get("body", b"") for one in messages)


def _again(messages: Sequence[Message], receive: Receive) -> Receive:
    """Gives what was read already, and then what comes."""
    waiting = iter(messages)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again


async def _give_to_pages(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer that was found, to which is added whether a page of another origin may read it."""
    await _give_found(scope, send)


async def _give_found(scope: Scope, send: Send, *more: tuple[bytes, bytes]) -> None:
    kept, bill = scope[FOUND]
    status, body = 200, kept.said + _cost(bill)
    found = [(b"content-type", kept.media_type.encode()), *more]
    if scope["method"] == "GET":
        tag = kept.tag or tag_of(kept.said)
        found += _validators(tag, scope[CALLER])
        if _is_known(scope, tag):
            status, body = 304, b""
    if status == 200:
        found.append((b"content-length", b"%d" % len(body)))
    if bill.left is not None:
        found += [(name.encode(), value.encode()) for name, value in headers(bill.left).items()]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})


def _cost(bill: Bill) -> bytes:
    """How an answer ends, after what was asked for."""
    return _uncounted(bill.points, bill.limit) if bill.left is None else _ending(bill)


@lru_cache
def _uncounted(points: int, limit: int) -> bytes:
    return _ending(Bill(points, limit))


def _ending(bill: Bill) -> bytes:
    cost = json.dumps(bill.said(), separators=(",", ":"))
    return f',"extensions":{{"cost":{cost}}}}}'.encode()


# What may be kept by a browser, or by others on the way, which have to ask whether it still holds.


def _validators(tag: str, caller: Caller) -> list[tuple[bytes, bytes]]:
    # Weak, as what is left of a budget stands in the answer as well.
    kept_by = b"no-cache" if caller.actor == ANONYMOUS else b"private, no-cache"
    return [
        (b"etag", f'W/"{tag}"'.encode()),
        (b"cache-control", kept_by),
        (b"vary", b"Accept, Authorization"),
    ]


def _is_known(scope: Scope, tag: str) -> bool:
    """Whether whoever asks has that very answer."""
    said = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    known = {one.strip().removeprefix(b"W/") for one in said.split(b",")}
    return b"*" in known or f'"{tag}"'.encode() in known


# Answers for which nothing has to be waited.

Headers = Sequence[tuple[bytes, bytes]]
# Who says one of these is answered in the order of things.
ASIDE = frozenset({b"origin", b"cache-control", b"traceparent"})
ALWAYS = b"".join(b"%b: %b\r\n" % header for header in (NO_PAGE, NO_SNIFFING))


def at_once(state: Any, headers: Headers, body: bytes) -> tuple[bytes, bytes] | None:
    """The head, from its second line on, and the body of the answer to a POST that was read
    already, if it is known or can be put together without asking anybody, and is 200; None: it
    has to be made in the order of things. It is observed as any other."""
    answers: Answers | None = state.answers
    media_type: str | None
    observer: Observer = state.observer
    began = perf_counter()
    if answers is None or observer.traces is not None:
        return None
    said, request_id, authorization = [b"POST", b""], b"", None
    for name, value in headers:
        if name in DECIDING:
            if STREAM in value.lower():
                return None
            said += (name, value)
        elif name in ASIDE or (name == b"authorization" and authorization is not None):
            return None
        elif name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"x-request-id":
            request_id = value
    caller = state.doors.at_hand(authorization)
    if caller is None or state.budgets.of(caller) is not None:
        return None
    operation = observer.begin("http", request_id_of(request_id))
    operation.began = began
    said += (caller.role.name.encode(), body)
    kept = answers.get(blake2b(b"\0".join(said), digest_size=20).digest())
    if kept is not None:
        answers.hit()
        media_type, whole = kept.media_type, kept.said + _uncounted(kept.points, MOST_POINTS)
        operation.kind, operation.name, operation.document = kept.kind, kept.name, kept.document
        operation.cost = kept.points
    else:
        media_type = posted(headers)
        token = CURRENT.set(operation)
        try:
            spliced = None if media_type is None else state.direct.at_once(caller, body)
        finally:
            CURRENT.reset(token)
        if media_type is None or spliced is None:
            return None
        answers.miss()
        whole = spliced.said + _uncounted(spliced.points, MOST_POINTS)
        operation.kind, operation.name, operation.cost = "query", spliced.name, spliced.points
    operation.actor = caller.actor
    observer.end(operation, 200)
    return (
        b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b"
        % (media_type.encode(), len(whole), operation.request_id.encode(), ALWAYS),
        whole,
    )


class _Keeping:
    """Sends an answer on, and keeps it if it may be given again."""

    def __init__(self, pending: Pending, answers: Answers, scope: Scope, send: Send) -> None:
        self._pending = pending
        self._answers = answers
        self._scope = scope
        self._send = send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Sends a part of the answer."""
        notes = self._pending.notes
        if message["type"] == "http.response.start":
            if message["status"] == 200 and notes.keepable and notes.position is not None:
                # What comes next decides about its headers.
                self._start = message
                return
        elif self._start is not None:
            start, self._start = self._start, None
            kept = self._kept(start, message)
            if kept is not None:
                self._answers.put(self._pending.key, kept)
                if self._scope["method"] == "GET":
                    start["headers"] += _validators(kept.tag, self._scope[CALLER])
                    if _is_known(self._scope, kept.tag):
                        start["status"] = 304
                        del MutableHeaders(raw=start["headers"])["content-length"]
                        message["body"] = b""
            await self._send(start)
        await self._send(message)

    def _kept(self, start: Message, message: Message) -> Kept | None:
        """The answer as it is kept; None: it is not."""
        notes, bill, operation = self._pending.notes, self._pending.bill, CURRENT.get()
        body: bytes = message.get("body", b"")
        if bill is None or operation is None or message.get("more_body") or len(body) > LARGEST:
            return None
        cost = _cost(bill)
        if not body.endswith(cost) or notes.position is None:
            return None
        said = body.removesuffix(cost)
        kind = MutableHeaders(raw=start["headers"])["content-type"]
        return Kept(
            said,
            kind,
            bill.points,
            notes.position,
            notes.era,
            tuple(notes.marks),
            operation.kind,
            operation.name,
            operation.document,
            tag_of(said),
        )
