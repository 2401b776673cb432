"""The manifest reader: a YAML file that anybody can write, turned into drafts and problems.

`matchgraph import manifest` reads with it; docs/manifest.md describes the format. record.py decides
what the keys of one mapping may hold: here is only what concerns YAML and how a manifest is built.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import yaml

from matchgraph.domain import text as texts
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import Capability
from matchgraph.domain.draft import Draft
from matchgraph.domain.errors import Refusal
from matchgraph.domain.price import Price, Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.imports.record import Keys, Node, Problem, Reader, Record, keys

VERSION = 1
LARGEST = 20_000_000  # bytes of a file, and again of what its aliases unfold to
DEEPEST = 20  # a manifest needs 7

Item = TypeVar("Item", Capability, Price, Signal)


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: the artifacts without problems in file order, all problems by line."""

    drafts: tuple[Draft, ...]
    problems: tuple[Problem, ...]


def read(path: Path, now: datetime | None = None) -> Manifest:
    """The manifest in that file. Raises: OSError."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        return _refused(path.name, 1, TOO_LARGE)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _refused(path.name, line, "This is not UTF-8; save the file as UTF-8.")
    return parse(text, path.name, now)


def parse(text: str, name: str, now: datetime | None = None) -> Manifest:
    """The manifest in that text; `name` is what its problems call the file."""
    try:
        top = _compose(text)
    except _NotYaml as error:
        return _refused(name, error.line, error.reason)
    version = _peek(top, "matchgraph")
    if version and (type(version.value) is not int or version.value != VERSION):
        # What the rest means in another version, nobody knows here.
        reason = f"Write {VERSION}, the version of the format that is read here."
        return _refused(name, version.line, reason, "matchgraph")
    return _Reader(name, now or datetime.now(UTC)).manifest(top)


def _refused(name: str, line: int, reason: str, field: str = "") -> Manifest:
    return Manifest((), (Problem(name, line, field, reason),))


# YAML: from text to nodes that know their line


class _NotYaml(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


TOO_LARGE = f"A manifest has at most {LARGEST // 10**6} MB; split it into several files."
# What YAML refuses, and what it but no editor counts as the end of a line.
UNREADABLE = re.compile(f"{yaml.reader.Reader.NON_PRINTABLE.pattern}|[\x85\u2028\u2029]")
# Words without quotes mean what YAML 1.2 says. By the rules of 1.1, which PyYAML keeps to, `no` is
# false, 010 is 8, 1:30 is 90, and 1e-6 is a text, so that a float would pass for an exact amount.
PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], int | float | bool | None]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda word: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda word: word.lower() == "true"),
    (re.compile(r"[-+]?[0-9]{1,100}"), int),  # Python refuses to read thousands of digits
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda word: float("nan")),
)


def _compose(text: str) -> Node:
    """The one document in the text. Raises: _NotYaml."""
    if len(text) > LARGEST:
        raise _NotYaml(1, TOO_LARGE)
    if unreadable := UNREADABLE.search(text):
        line = text.count("\n", 0, unreadable.start()) + 1
        raise _NotYaml(line, f"Take out the character U+{ord(unreadable[0]):04X}.")
    # The events and not yaml.compose: that recurses without a limit, in C, and hides the tags.
    events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        next(events)  # the stream begins
        if isinstance(next(events), yaml.StreamEndEvent):
            raise _NotYaml(1, f"The file is empty; begin it with `matchgraph: {VERSION}`.")
        top = _Composer(events).node(next(events))
        next(events)  # the document ends
        if not isinstance(after := next(events), yaml.StreamEndEvent):
            raise _NotYaml(after.start_mark.line + 1, "Write one document, without another `---`.")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise _NotYaml(
            mark.line + 1 if mark else 1,
            f"This is not YAML ({what}); indent with spaces, never with tabs, and put texts in "
            "quotes that hold ': ' or ' #' or begin with a sign.",
        ) from None
    return top


class _Composer:
    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.anchors: dict[str, Node] = {}

    def node(self, event: Any, depth: int = 1) -> Node:
        line, anchor = event.start_mark.line + 1, event.anchor
        if isinstance(event, yaml.AliasEvent):
            # An anchor is known once its value is complete, so nothing can contain itself.
            if anchor not in self.anchors:
                raise _NotYaml(line, f"No value marked &{anchor[:40]} ends above this.")
            return self.anchors[anchor]
        if event.tag is not None:
            raise _NotYaml(line, f"Leave out the tag {event.tag[:40]!r}; write the plain value.")
        if depth > DEEPEST:
            raise _NotYaml(line, f"This is nested more than {DEEPEST} deep; a manifest needs 7.")
        node = self._complete(event, line, depth)
        if node.size > LARGEST:
            raise _NotYaml(line, f"Use fewer aliases; these unfold to over {LARGEST} characters.")
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def _complete(self, event: Any, line: int, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            value = _plain(event.value) if event.implicit[0] else event.value
            return Node(line, value, 1 + len(event.value))
        inside = []
        while not isinstance(next_one := next(self.events), yaml.CollectionEndEvent):
            inside.append(self.node(next_one, depth + 1))
        size = 1 + sum(node.size for node in inside)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(line, inside, size)
        return Node(line, tuple(zip(inside[::2], inside[1::2], strict=True)), size)


def _plain(word: str) -> str | int | float | bool | None:
    return next((mean(word) for pattern, mean in PLAIN if pattern.fullmatch(word)), word)


def _peek(node: Node, key: str) -> Node | None:
    """What a mapping holds by that key, before anything is checked."""
    pairs = node.value if isinstance(node.value, tuple) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _slug(artifact: Node) -> str | None:
    slug = _peek(artifact, "slug")
    return slug.value if slug and isinstance(slug.value, str) else None


# The format: which keys there are and what they hold


SEEN: Keys = {"source": str, "observed": datetime}
LISTS: Keys = {"aliases": list, "capabilities": list, "prices": list, "signals": list}
MANIFEST: Keys = {"matchgraph": int, "observed": datetime, "artifacts": list}
ARTIFACT: Keys = {"slug": str, "kind": Kind, **keys(Facts), **SEEN, **LISTS}
CAPABILITY: Keys = {"id": str, **keys(Capability, "key"), **SEEN, "provenance": Method}
PRICE: Keys = {**keys(Price, "observed_at"), **SEEN}
SIGNAL: Keys = {**keys(Signal, "observed_at", "method"), **SEEN, "provenance": Method}

# Reading: from nodes to drafts


class _Reader(Reader):
    """Reads one manifest."""

    def __init__(self, name: str, now: datetime) -> None:
        super().__init__(name, now)
        self.owners: dict[str, str] = {}  # of slugs and aliases: the paths of their artifacts

    # From the file inward

    def manifest(self, top: Node) -> Manifest:
        record = self.record(top, "", MANIFEST, {"matchgraph", "artifacts"})
        nobody = Provenance(method=Method.DECLARED, source="nobody yet", observed_at=self.now)
        seen = self.checked(record, nobody)
        required = {"slug", "kind", "name", "source"} | ({"observed"} - record.nodes.keys())
        artifacts = list(record.items("artifacts"))
        for node, path in artifacts:
            if slug := _slug(node):
                self.owners.setdefault(slug, f"{path}.slug")
        drafts = [self.artifact(node, path, required, seen or nobody) for node, path in artifacts]
        return Manifest(
            tuple(draft for draft in drafts if draft) if seen else (),
            tuple(sorted(self.problems, key=lambda problem: problem.line)),
        )

    def artifact(
        self, node: Node, path: str, required: Set[str], default: Provenance
    ) -> Draft | None:
        before = len(self.problems)
        self.slug = _slug(node)
        record = self.record(node, path, ARTIFACT, required)
        seen = self.checked(record, default) or default
        facts = self.checked(record, Facts())
        if "slug" in record.values:
            self.address(record.nodes["slug"], f"{path}.slug")
        aliases = [self.address(*item) for item in record.items("aliases")]
        capabilities = self.each(record, "capabilities", self.capability, seen, lambda it: it.key)
        prices = self.each(record, "prices", self.price, seen, lambda it: it.line)
        signals = self.each(record, "signals", self.signal, seen, lambda it: (it.name, it.source))
        if facts is None or len(self.problems) > before:
            return None
        return Draft(
            slug=record.values["slug"],
            kind=record.values["kind"],
            facts=facts,
            provenance=seen,
            aliases=tuple(alias for alias in aliases if alias),
            capabilities=capabilities,
            prices=prices,
            signals=signals,
        )

    def address(self, node: Node, field: str) -> str | None:
        """The slug or alias that stands there, for one artifact only."""
        slug: str | None = self.value(node, str, field)
        if slug is None:
            return None
        try:
            texts.slug(slug)
        except Refusal as refusal:
            self.refuse(node.line, field, refusal.message)
            return None
        owner = self.owners.setdefault(slug, field)
        if owner != field:
            self.refuse(node.line, field, f"Write another one; {owner} is {slug!r} already.")
        return slug

    def each(
        self,
        record: Record,
        key: str,
        read: Callable[[Node, str, Provenance], Item | None],
        default: Provenance,
        identity: Callable[[Item], Hashable],
    ) -> tuple[Item, ...]:
        """What is in the list by that key and could be read; the same thing twice is refused."""
        items: dict[Hashable, tuple[str, Item]] = {}
        for node, path in record.items(key):
            if (item := read(node, path, default)) is None:
                continue
            first, _ = items.setdefault(identity(item), (path, item))
            if first != path:
                self.refuse(node.line, path, f"Keep one; {first} is about the same.")
        return tuple(item for _, item in items.values())

    def capability(self, node: Node, path: str, default: Provenance) -> Capability | None:
        record = self.record(node, path, CAPABILITY, {"id", "name", "description"})
        seen = self.checked(record, default) or default
        sample = Capability(key="sample", name="sample", description="sample", provenance=seen)
        return self.checked(record, sample)

    def price(self, node: Node, path: str, default: Provenance) -> Price | None:
        record = self.record(node, path, PRICE, {"provider", "pricing"})
        blank = Price(
            provider="sample",
            pricing=Pricing.UNKNOWN,
            source=default.source,
            observed_at=default.observed_at,
        )
        sample = replace(
            blank, pricing=Pricing.PAID, amount=Decimal(1), currency="USD", per=Unit.REQUEST
        )
        return self.checked(record, blank, sample)

    def signal(self, node: Node, path: str, default: Provenance) -> Signal | None:
        record = self.record(node, path, SIGNAL, {"name", "value"})
        sample = Signal(
            name=record.values.get("name", SignalName.STARS),
            value=Decimal(0),
            source=default.source,
            observed_at=default.observed_at,
            method=default.method,
        )
        return self.checked(record, sample)
