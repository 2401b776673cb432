"""Keys with values, as a file holds them, read into the domain's values.

For manifest.py and signals.py: which keys there are follows from the domain's values and the
domain's checks decide what is accepted; every mistake is noted with its line and key.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from types import NoneType
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from matchgraph.domain import text as texts
from matchgraph.domain.artifact import Facts
from matchgraph.domain.capability import Capability
from matchgraph.domain.errors import PriceContradiction, Refusal
from matchgraph.domain.price import Price
from matchgraph.domain.provenance import Provenance
from matchgraph.domain.signal import Signal

Value = TypeVar("Value", Facts, Capability, Price, Signal, Provenance)
Keys = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong at one place of a file, and what to write there instead."""

    file: str
    line: int  # from 1; of something missing, where the thing that lacks it begins
    field: (
        str  # such as "artifacts[3].prices[0].amount"; empty if it is the file or line as a whole
    )
    reason: str
    slug: str | None = None  # the artifact it concerns, where that is known

    def __str__(self) -> str:
        return ": ".join(filter(None, (f"{self.file}:{self.line}", self.field, self.reason)))


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file: a scalar, a list, or the pairs of a mapping with repeated keys and all.

    `size` counts its characters and what is in it, where the format lets a value stand for another.
    """

    line: int
    value: "str | int | float | bool | Decimal | list[Node] | tuple[tuple[Node, Node], ...] | None"
    size: int = 1


# Which keys there are and what they hold


def keys(of: type, *left_out: str) -> Keys:
    """The attributes of a value as the keys of a file, each with what it holds."""
    return {key: _held(hint) for key, hint in get_type_hints(of).items() if key not in left_out}


def _held(hint: Any) -> Any:
    """`str` of `str | None`: what is None in the domain has no key in a file."""
    parts = get_args(hint)
    return next(part for part in parts if part is not NoneType) if NoneType in parts else hint


# Where the domain's word is not the file's.
ATTRIBUTES = {"id": "key", "observed": "observed_at", "provenance": "method"}
WANTED: Mapping[Any, str] = {
    str: "a text, in quotes if it looks like something else",
    int: "a whole number",
    bool: "true or false",
    Decimal: "a whole number, or a decimal one in quotes",
    date: "a date such as 2026-11-01",
    datetime: "a date such as 2026-11-01, or a moment such as 2026-11-01T09:30:00Z",
}


def _converted(value: object, kind: Any) -> Any:
    """Raises: msgspec.ValidationError, OverflowError."""
    if isinstance(value, float):
        raise msgspec.ValidationError("no key holds one, but msgspec makes a Decimal of it")
    if kind is not datetime:
        return msgspec.convert(value, kind)
    if isinstance(value, str) and len(value) == len("2026-11-01"):
        value += "T00:00:00Z"
    return msgspec.convert(value, Annotated[datetime, msgspec.Meta(tz=True)]).astimezone(UTC)


def _instead(value: object, kind: Any, wanted: Mapping[Any, str]) -> str:
    if isinstance(value, float) and kind is Decimal:
        return "Write it in quotes, a float is not exact."
    if not issubclass(kind, Enum):
        return f"Write {wanted[kind]}, not {shown(value)}."
    words = [str(member.value) for member in kind]
    return f"Write one of {', '.join(words)}, not {shown(value)}{meant(value, words)}."


def shown(value: object) -> str:
    """The value as a problem shows it."""
    if isinstance(value, str):
        return repr(value[:40])
    names = {NoneType: "nothing", list: "a list", tuple: "keys with values"}
    return names.get(type(value)) or str(value).lower()[:40]


def meant(word: object, words: Iterable[str]) -> str:
    """`; did you mean …?` where one of the words is close."""
    close = get_close_matches(word[:40], words, n=1) if isinstance(word, str) else ()
    return f"; did you mean {close[0]!r}?" if close else ""


# Reading


@dataclass(frozen=True)
class Record:
    """A mapping of the file: what could be read of it, and where it stands."""

    line: int
    path: str
    nodes: dict[str, Node]  # what it holds by the keys that belong there
    values: dict[str, Any]  # those of it that are what they should be
    sound: bool  # whether nothing is missing, unknown or of the wrong type

    def field(self, key: str) -> str:
        """The key as a problem names it."""
        return f"{self.path}.{key}" if self.path else key

    def items(self, key: str) -> Iterator[tuple[Node, str]]:
        """What is in the list by that key, each with its path."""
        for index, node in enumerate(self.values.get(key, ())):
            yield node, f"{self.field(key)}[{index}]"


class Reader:
    """Reads one file; notes what is wrong and goes on."""

    wanted: ClassVar[Mapping[Any, str]] = WANTED

    def __init__(self, name: str, now: datetime) -> None:
        self.name = name
        self.now = now
        self.problems: list[Problem] = []
        self.slug: str | None = None  # of the artifact that is being read

    def refuse(self, line: int, field: str, reason: str) -> None:
        """Notes a problem."""
        slug = texts.printable((self.slug or "")[:120]) or None
        self.problems.append(Problem(self.name, line, field, reason, slug))

    def record(self, node: Node, path: str, keys: Keys, required: Set[str]) -> Record:
        """What could be read of a mapping that has these keys."""
        before = len(self.problems)
        lines: dict[str, int] = {}
        record = Record(node.line, path, {}, {}, sound=False)
        if not isinstance(node.value, tuple):
            self.refuse(node.line, path, f"Write keys with values, not {shown(node.value)}.")
            return record
        for name, value in node.value:
            key = name.value if isinstance(name.value, str) else shown(name.value)
            field = record.field(texts.printable(key[:40]))
            if key not in keys:
                self.refuse(name.line, field, f"There is no such key{meant(key, keys)}.")
            elif key in lines:
                self.refuse(name.line, field, f"Keep one; line {lines[key]} has this key too.")
            elif value.value is None:
                self.refuse(name.line, field, "Give it a value, or leave the key out.")
            else:
                record.nodes[key] = value
            lines.setdefault(key, name.line)
        for key in sorted(required - lines.keys()):
            self.refuse(node.line, record.field(key), "It is missing; add this key.")
        for key, value in record.nodes.items():
            if (read := self.value(value, keys[key], record.field(key))) is not None:
                record.values[key] = read
        return replace(record, sound=len(self.problems) == before)

    def value(self, node: Node, kind: Any, field: str) -> Any:
        """What stands there, as what belongs there; None if it is something else."""
        if kind is list or get_origin(kind) is tuple:
            if not isinstance(node.value, list):
                self.refuse(node.line, field, f"Write a list, not {shown(node.value)}.")
                return None
            if kind is list:
                return node.value
            items = [
                self.value(item, get_args(kind)[0], f"{field}[{index}]")
                for index, item in enumerate(node.value)
            ]
            return tuple(item for item in items if item is not None)
        try:
            return _converted(node.value, kind)
        except (msgspec.ValidationError, OverflowError):
            self.refuse(node.line, field, _instead(node.value, kind, self.wanted))
            return None

    def checked(self, record: Record, blank: Value, sample: Value | None = None) -> Value | None:
        """What the record says, laid over `blank`, as the domain takes it; None if it does not.

        What the domain refuses is tried key by key on a `sample` that it takes, to find every key
        to blame; if there is none, the record contradicts itself.
        """
        keys = {ATTRIBUTES.get(key, key): key for key in record.values}
        said = {name: record.values[key] for name, key in keys.items() if hasattr(blank, name)}
        try:
            value = self.check(replace(blank, **said))
            return value if record.sound else None
        except Refusal as refusal:
            whole = refusal
        before = len(self.problems)
        for name, part in said.items():
            try:
                self.check(replace(sample or blank, **{name: part}))
            except PriceContradiction:
                pass  # between `pricing` and the sample
            except Refusal as refusal:
                key = keys[name]
                what = getattr(refusal, "what", key)  # the message begins with it, like the field
                reason = refusal.message.removeprefix(f"{what}: ")
                self.refuse(record.nodes[key].line, record.field(key), reason)
        if record.sound and len(self.problems) == before:
            self.refuse(record.line, record.path, whole.message)
        return None

    def check(self, value: Value) -> Value:
        """Raises: Refusal."""
        return value.checked() if isinstance(value, Facts) else value.checked(self.now)
