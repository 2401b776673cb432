"""What a request may hold: values that make sense on the catalog that is asked, and rubbish."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    Undefined,
)
from hypothesis import strategies as st

# Units: how often, of ten, what can be left out is left out.
LEFT_OUT = 5
HOSTILE = (
    *("", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "\ufeff", "e\u0301" * 50),
    *("' OR 1=1 --", "'; DROP TABLE event; --", "\\", "%", "_", "%s", "$1", "{{7*7}}", "${jndi:x}"),
    *("../../etc/passwd", "<script>", "null", "NaN", "-1", "0", "1e400", "9" * 400, "x" * 10_001),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "2147483648"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01T00:00:00", "2026-13-01"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "infinity", "-infinity", "now"),
)
SANE: dict[str, list[Any]] = {
    "DateTime": ["2026-01-01T00:00:00Z", "2026-03-01T12:00:00+02:00", "2026-06-01T00:00:00Z"],
    "Date": ["2025-06-01", "2026-01-01"],
    "Decimal": ["0.25", "1", "12.5", "0.0000003", "100"],
    "Long": [0, 1, 4096, 128_000, 2**40],
    "JSON": [{}],
}
WORDS = [
    *("reads tables", "coding agent for the terminal, not docker, open source", "parser", "models"),
    *("under $1 per million", "image to text under 7B", "something different"),
]


@dataclass
class Known:
    """What is there to be asked for; cursors and tokens come with the answers."""

    slugs: list[str]
    ids: list[str] = field(default_factory=list)
    head: int = 0
    cursors: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=lambda: [*WORDS])

    def learn(self, answer: object, name: str = "") -> None:
        """Takes up what an answer hands out."""
        if isinstance(answer, dict):
            for key, value in answer.items():
                self.learn(value, key)
        elif isinstance(answer, list):
            for value in answer:
                self.learn(value, name)
        elif isinstance(answer, str):
            for wanted, kept in (
                ("ursor", self.cursors),
                ("utcomeToken", self.tokens),
                ("id", self.ids),
            ):
                if name.endswith(wanted) and answer not in kept:
                    kept.insert(0, answer)
                    del kept[40:]

    def texts(self, name: str) -> list[str]:
        """Texts that make sense in a field of that name."""
        if name in (
            "slug",
            "slugs",
            "alias",
            "aliases",
            "like",
            "unlike",
            "into",
            "from",
            "artifact",
        ):
            return self.slugs
        if name in ("after", "cursor"):
            return self.cursors or ["x"]
        if name == "token":
            return self.tokens or ["x"]
        if name == "topics":
            return ["artifact.registered", "price.observed", "signal.observed", "ranks.calibrated"]
        if name == "currency":
            return ["USD", "EUR"]
        if name in ("key", "mustHave", "mustNotHave", "capabilities"):
            return ["parse-tables", "tables", "write-code"]
        return self.words


def values(
    known: Known, kind: Any, name: str, *, sane: bool, depth: int = 0
) -> st.SearchStrategy[Any]:
    """A value for an input of that type; rubbish may be of another type."""
    if not sane and depth < 3:
        return st.one_of(
            _fitting(known, kind, name, sane=False, depth=depth),
            _fitting(known, kind, name, sane=True, depth=depth),
            _fitting(known, kind, name, sane=False, depth=depth),
            st.sampled_from(HOSTILE),
            st.none() | st.booleans() | st.integers() | st.floats() | st.just({}) | st.just([]),
        )
    return _fitting(known, kind, name, sane=sane, depth=depth)


def _fitting(
    known: Known, kind: Any, name: str, *, sane: bool, depth: int
) -> st.SearchStrategy[Any]:
    if isinstance(kind, GraphQLNonNull):
        return _fitting(known, kind.of_type, name, sane=sane, depth=depth)
    if isinstance(kind, GraphQLList):
        one = values(known, kind.of_type, name, sane=sane, depth=depth + 1)
        least = 2 if name == "slugs" else 1
        return st.lists(one, min_size=least if sane else 0, max_size=3, unique_by=repr)
    if isinstance(kind, GraphQLEnumType):
        return st.sampled_from(sorted(kind.values)).map(Enum)
    if isinstance(kind, GraphQLInputObjectType):
        return inputs(known, kind.fields, sane=sane, depth=depth + 1, one=kind.is_one_of)
    assert isinstance(kind, GraphQLScalarType)
    return _scalar(known, kind.name, name, sane=sane)


def _scalar(known: Known, kind: str, name: str, *, sane: bool) -> st.SearchStrategy[Any]:
    good: st.SearchStrategy[Any]
    rubbish: st.SearchStrategy[Any]
    match kind:
        case "Int":
            good = st.integers(1, 5)
            rubbish = st.integers(-(2**31), 2**31 - 1) | st.integers()
        case "Float":
            good, rubbish = st.floats(0, 1), st.floats()
        case "Boolean":
            return st.booleans()
        case "Position":
            good = st.integers(1, max(1, known.head)).map(str)
            rubbish = st.integers(-5, 2**64).map(str) | st.integers()
        case "ID":
            good, rubbish = st.sampled_from(known.ids or ["x"]), st.text(max_size=40)
        case "String":
            good, rubbish = st.sampled_from(known.texts(name)), st.text(max_size=40)
        case _:
            good, rubbish = st.sampled_from(SANE[kind]), st.text(max_size=20) | st.floats()
    return good if sane else st.one_of(good, rubbish, st.sampled_from(HOSTILE))


@st.composite
def inputs(
    draw: st.DrawFn,
    known: Known,
    fields: "dict[str, GraphQLArgument] | dict[str, GraphQLInputField]",
    *,
    sane: bool,
    depth: int = 0,
    one: bool = False,
) -> dict[str, Any]:
    """Arguments, or the fields of an input object: those that must be given, and some others."""
    if one and (sane or draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(fields)))
        return {name: draw(values(known, fields[name].type, name, sane=sane, depth=depth))}
    said = {}
    for name, taken in fields.items():
        needed = isinstance(taken.type, GraphQLNonNull) and taken.default_value is Undefined
        if not sane and draw(st.integers(0, 19)) == 0:
            needed = False
        elif not needed:
            needed = draw(st.integers(0, 9)) >= LEFT_OUT + depth
        if needed:
            said[name] = draw(values(known, taken.type, name, sane=sane, depth=depth))
    return said


class Enum(str):
    """A name that is written without quotes in a document."""


def literal(value: Any) -> str:
    """A value as it is written in a document."""
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, float) and not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", repr(value)):
        return "1e400"
    return json.dumps(value)
