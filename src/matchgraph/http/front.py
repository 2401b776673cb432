"""Where requests to /graphql come in: who asks is found out, and answers that are known are given.

Everything else goes on to the application behind, and whatever comes of it that will be asked for
again is kept (http/answers.py). A hit has passed the doors, is paid for and is observed as any
other request; what it is spared is being read, validated and carried out.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matchgraph.eventstore.errors import Unavailable
from matchgraph.graphql.context import ANONYMOUS
from matchgraph.graphql.limits import Bill, Limited, bill_for, pay
from matchgraph.http.access import CALLER, Caller, Unauthenticated, given, refusal
from matchgraph.http.answers import LARGEST, Answers, Kept, Pending, tag_of
from matchgraph.http.budget import headers
from matchgraph.http.request import EVENTS
from matchgraph.observe.operation import CURRENT

PENDING = "matchgraph.pending"
# What else than the body decides about the bytes of an answer, or whether there is one.
DECIDING = frozenset({b"accept", b"content-type", b"content-encoding"})
# Whoever says so wants it made anew.
ANEW = (b"no-cache", b"no-store")
STREAM = EVENTS.encode()


class Found(Exception):
    """Another request has found the same answer meanwhile."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept


class Front:
    """Lets in who may ask, and gives the answers that are known. (On a WebSocket it is known later
    who asks.)"""

    def __init__(self, app: ASGIApp, path: str) -> None:
        """Over HTTP for this path; all else goes by."""
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        state = scope["app"].state
        try:
            caller: Caller = await state.doors.admit(given(scope))
        except (Unauthenticated, Unavailable) as reason:
            # The connection of whoever is answered in the middle of a body is closed, and with it
            # goes what they send next.
            await _read(receive)
            await refusal(scope, reason)(scope, receive, send)
            return
        scope[CALLER] = caller
        answers: Answers | None = state.answers
        said = None if answers is None else _said(scope, caller)
        if answers is None or said is None:
            await self._app(scope, receive, send)
            return
        messages, body = await _read(receive)
        if body is None:
            await self._app(scope, _again(messages, receive), send)
            return
        key = blake2b(b"\0".join((*said, body)), digest_size=20).digest()
        kept = answers.get(key)
        if kept is not None and await _give(kept, scope, caller, send):
            answers.hit()
            return
        pending = scope[PENDING] = Pending(key)
        try:
            keeping = _Keeping(pending, answers, scope, send)
            await self._app(scope, _again(messages, receive), keeping.send)
        except Found as found:
            if await _give(found.kept, scope, caller, send):
                answers.hit()
                return
            # There is no budget for it any more, which the application says as it has to be said.
            del scope[PENDING]
            await self._app(scope, _again(messages, receive), send)
        finally:
            answers.release(pending)


def _said(scope: Scope, caller: Caller) -> list[bytes] | None:
    """What decides about the answer beside the body; None: no kept answer would do."""
    said = [scope["method"].encode(), caller.role.name.encode(), scope["query_string"]]
    for name, value in scope["headers"]:
        if name in DECIDING:
            if STREAM in value.lower():
                return None
            said += (name, value)
        elif name == b"cache-control" and any(one in value.lower() for one in ANEW):
            return None
    return said


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """All that comes in, and the body; None: its client went away before it was whole."""
    messages: list[Message] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
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


async def _give(kept: Kept, scope: Scope, caller: Caller, send: Send) -> bool:
    """Gives the answer, if whoever asks can pay for it."""
    purse = scope["app"].state.budgets.purse(scope, caller)
    bill = bill_for(purse, kept.points)
    try:
        await pay(purse, bill)
    except Limited:
        return False
    operation = CURRENT.get()
    if operation is not None:
        operation.actor = caller.actor
        operation.cost = kept.points
        operation.kind, operation.name, operation.document = kept.kind, kept.name, kept.document
    status, body = 200, kept.said + _cost(bill)
    found = [(b"content-type", kept.media_type.encode())]
    if scope["method"] == "GET":
        found += _validators(kept.tag, caller)
        if _is_known(scope, kept.tag):
            status, body = 304, b""
    if status == 200:
        found.append((b"content-length", str(len(body)).encode()))
    if bill.left is not None:
        found += [(name.encode(), value.encode()) for name, value in headers(bill.left).items()]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
    return True


def _cost(bill: Bill) -> bytes:
    """How an answer ends, after what was asked for."""
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
            if message["status"] == 200 and notes.complete and notes.position is not None:
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
