"""Logs: one JSON object a line in production, readable in development.

Neither has a key, a token or a text of a searcher in it. Keys and tokens are masked wherever they
turn up. What an exception says may quote what a client sent or what a row holds, so in production
only its type and the lines of code that it passed are written.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import walk_tb
from types import TracebackType
from typing import Any

import msgspec

from matchgraph.observe.operation import CURRENT, Operation

# A key of this catalog keeps its id, which is no secret; so does what a URL has before a password.
SECRETS = (
    (re.compile(r"\b(mg_[0-9A-Za-z]+)_[\w-]+"), r"\1_…"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), "…"),
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',]+", re.IGNORECASE), r"\1 …"),
    (re.compile(r"(\b\w+://[^\s:/@]*):[^\s@/]+@"), r"\1:…@"),
)
# What PostgreSQL adds to its message, which may quote rows and parameters.
QUOTED = re.compile(r"\s*\n(DETAIL|CONTEXT|HINT|QUERY):.*", re.DOTALL)
# Units: records of one sort, and the seconds in which there are so many at most.
MOST_ALIKE, WINDOW = 10, 10.0
MOST_SORTS = 1_000
MOST_FRAMES = 12
# Units: characters.
LONGEST_NAME = 100


def masked(text: str) -> str:
    """The text without keys, tokens and passwords."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _said(record: logging.LogRecord) -> str:
    return masked(QUOTED.sub("", record.getMessage()))


def _frames(trace: TracebackType | None) -> list[str]:
    """The lines of code that an exception passed, the innermost last."""
    passed = [
        f"{frame.f_code.co_filename.rpartition('/src/')[2]}:{line} {frame.f_code.co_qualname}"
        for frame, line in walk_tb(trace)
    ]
    return passed[-MOST_FRAMES:]


def _failures(reason: BaseException | None) -> list[dict[str, Any]]:
    """An exception and those that led to it, without what they say."""
    found: list[dict[str, Any]] = []
    while reason is not None and len(found) < 5:
        one: dict[str, Any] = {
            "type": f"{type(reason).__module__}.{type(reason).__qualname__}",
            "at": _frames(reason.__traceback__),
        }
        state = getattr(reason, "sqlstate", None)
        if isinstance(state, str):
            one["sqlstate"] = state
        found.append(one)
        reason = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)
    return found


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class Json(logging.Formatter):
    """A record as one line of JSON, with the operation that it belongs to."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _said(record),
            **_belonging(CURRENT.get()),
            **getattr(record, "fields", {}),
        }
        repeated = getattr(record, "repeated", 0)
        if repeated:
            line["repeated"] = repeated
        if record.exc_info and record.exc_info[1] is not None:
            line["errors"] = _failures(record.exc_info[1])
        return masked(msgspec.json.encode(line).decode())


def _belonging(operation: Operation | None) -> dict[str, Any]:
    if operation is None:
        return {}
    found = {"request_id": operation.request_id}
    if operation.name is not None:
        found["operation"] = operation.name
    if operation.actor is not None:
        found["actor"] = operation.actor
    if operation.trace_id is not None:
        found["trace_id"] = operation.trace_id
    return found


class Readable(logging.Formatter):
    """A record for a person who develops, traceback included."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and what follows it."""
        fields = getattr(record, "fields", None)
        more = "".join(f"\n  {name}: {value}" for name, value in (fields or {}).items())
        return masked(super().format(record) + more)


class Repeats(logging.Filter):
    """Lets so many records of one sort through in a while, and then says how many more there
    were. Records are of one sort when the same line of code writes them about the same failure."""

    def __init__(
        self,
        most: int = MOST_ALIKE,
        window: float = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Units: `window` in seconds."""
        super().__init__()
        self._most = most
        self._window = window
        self._clock = clock
        # By sort: when its window began, how many came since, and the last that was held back.
        self._sorts: dict[object, tuple[float, int, logging.LogRecord | None]] = {}
        self.suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if getattr(record, "repeated", 0):
            return True
        now, sort = self._clock(), _sort(record)
        began, count, held = self._sorts.get(sort, (now, 0, None))
        if now - began >= self._window:
            self._tell(held, count)
            began, count, held = now, 0, None
        count += 1
        is_written = count <= self._most
        if not is_written:
            self.suppressed += 1
            held = record
        self._sorts[sort] = (began, count, held)
        if len(self._sorts) > MOST_SORTS:
            del self._sorts[next(iter(self._sorts))]
        return is_written

    def tell(self) -> None:
        """Says of every sort whose window is over how many records were held back."""
        now = self._clock()
        for sort, (began, count, held) in tuple(self._sorts.items()):
            if now - began >= self._window:
                self._sorts.pop(sort, None)
                self._tell(held, count)

    def _tell(self, held: logging.LogRecord | None, count: int) -> None:
        if held is None:
            return
        record = logging.makeLogRecord(
            {
                "name": held.name,
                "levelno": held.levelno,
                "levelname": held.levelname,
                "msg": "%d more like this in %g s: %s",
                "args": (count - self._most, self._window, held.msg),
                "repeated": count - self._most,
            }
        )
        logging.getLogger(held.name).handle(record)


def _sort(record: logging.LogRecord) -> object:
    reason = record.exc_info[1] if record.exc_info else None
    where: object = None
    if reason is not None:
        passed = [(frame.f_code, line) for frame, line in walk_tb(reason.__traceback__)]
        where = type(reason), *passed[-1:]
    return record.name, record.levelno, record.msg, record.lineno, where


class Lines:
    """Where finished lines go. What cannot be written is lost, and counted: a full disk must keep
    nobody from being answered."""

    def __init__(self, file: int | None = None) -> None:
        """`file` is a descriptor; standard error if left out."""
        self._file = file
        self.lost = 0

    def write(self, line: bytes) -> None:
        """Writes it now."""
        try:
            os.write(sys.stderr.fileno() if self._file is None else self._file, line)
        except (OSError, ValueError):
            self.lost += 1


class Handler(logging.Handler):
    """Writes records as finished lines."""

    def __init__(self, lines: Lines, formatter: logging.Formatter) -> None:
        super().__init__()
        self.lines = lines
        self.repeats = Repeats()
        self.setFormatter(formatter)
        self.addFilter(self.repeats)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record, or what is wrong with it."""
        try:
            line = self.format(record)
        except Exception as reason:
            line = f"a record of {record.name} cannot be written: {type(reason).__name__}"
        self.lines.write(line.encode(errors="replace") + b"\n")


class AccessLog:
    """One line for each operation, written without the way through `logging`, which takes longer
    than all the rest that is done to observe an operation."""

    def __init__(self, lines: Lines, *, json: bool) -> None:
        self._lines = lines
        self._json = json
        self._second, self._written = 0, ""

    def _now(self) -> str:
        """As `_moment`; what stays the same for a second is written once."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._written = second, _moment(second)[:20]
        return f"{self._written}{int((now - second) * 1000):03d}+00:00"

    def tell(self, operation: Operation, seconds: float, status: int) -> None:
        """Writes the line of an operation that has ended."""
        line = self._in_json if self._json else _in_words
        self._lines.write(line(operation, seconds, status))

    def _in_json(self, operation: Operation, seconds: float, status: int) -> bytes:
        found: dict[str, Any] = {
            "time": self._now(),
            "level": "info",
            "logger": "matchgraph.access",
            "request_id": operation.request_id,
            "transport": operation.transport,
            "type": operation.kind,
            "operation": None if operation.name is None else operation.name[:LONGEST_NAME],
            "actor": operation.actor,
            "outcome": operation.outcome,
            "code": operation.codes[0] if operation.codes else None,
            "ms": round(seconds * 1000, 3),
            "statements": operation.count.get("postgresql", 0),
        }
        if status:
            found["status"] = status
        if operation.cost is not None:
            found["cost"] = operation.cost
        if operation.trace_id is not None:
            found["trace_id"] = operation.trace_id
        if operation.error_ids:
            found["errors"] = operation.error_ids
        return _without_keys(msgspec.json.encode(found)) + b"\n"


def _in_words(operation: Operation, seconds: float, status: int) -> bytes:
    words = [
        f"{seconds * 1000:.1f} ms",
        operation.transport,
        operation.kind,
        operation.name or "-",
        *operation.codes[:1],
        *([str(status)] if status else []),
        *operation.error_ids,
    ]
    return _without_keys(" ".join(words).encode()) + b"\n"


def _without_keys(line: bytes) -> bytes:
    # All else in such a line is a name of GraphQL, which cannot hold any other secret of ours.
    return masked(line.decode()).encode() if b"mg_" in line else line


def set_up(*, json: bool) -> Handler:
    """Has all that this process logs written to standard error, in place of what was set up."""
    handler = Handler(Lines(), Json() if json else Readable())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # What cannot be written is nobody's concern but ours.
    logging.raiseExceptions = False
    return handler
