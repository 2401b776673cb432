"""Documents that were asked for lately: parsed and validated once, and compiled if asked for again.

Clients send the same few documents over and over; reading one takes longer than answering it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from graphql import DocumentNode, parse
from strawberry.extensions import SchemaExtension

from matchgraph.graphql.compiled import Plans
from matchgraph.graphql.limits import MOST_TOKENS, Prices

# So many documents are kept, and so many characters of them; one takes a thousand bytes of memory
# for each of its tokens, so no client can fill the memory with those that it makes up.
MOST_DOCUMENTS = 500
MOST_CHARACTERS = 300_000


class Prepared:
    """A document, by which rules it is known to be valid, what it costs, and its plans."""

    def __init__(self, text: str, document: DocumentNode) -> None:
        self.text = text
        self.document = document
        self.valid: set[tuple[Any, ...]] = set()
        self.prices: Prices = {}
        self.plans = Plans(document)
        # The operations that cannot be answered on the shortest way (http/direct.py).
        self.indirect: set[str | None] = set()

    def is_direct(self, name: str | None) -> bool:
        """Whether the operation of that name is known to be in order, only reads, and waits for
        nothing."""
        return bool(self.valid) and name not in self.indirect and self.plans.is_plain(name)

    def name(self, operation_name: str | None) -> str | None:
        """What the operation that is meant is called."""
        return self.plans.name(operation_name)


class Documents:
    """The documents that a process keeps, those used least recently forgotten first."""

    def __init__(self) -> None:
        self._by_text: OrderedDict[str, Prepared] = OrderedDict()
        self._by_id: dict[int, Prepared] = {}
        self._characters = 0

    def find(self, text: str) -> Prepared | None:
        """The document with that text, if it is kept."""
        found = self._by_text.get(text)
        if found is not None:
            self._by_text.move_to_end(text)
        return found

    def may_repeat(self, text: str | None, operation_name: str | None) -> bool:
        """Whether that operation only reads, as far as it is known: what was never asked before is
        not."""
        found = None if text is None else self.find(text)
        return found is not None and found.plans.may_repeat(operation_name)

    def of(self, document: DocumentNode) -> Prepared | None:
        """What is known of that very document, if it is kept."""
        return self._by_id.get(id(document))

    def parsed(self, text: str) -> DocumentNode:
        """The document with that text, which is kept from now on. Raises: GraphQLError."""
        known = self.find(text)
        if known is not None:
            return known.document
        document = parse(text, max_tokens=MOST_TOKENS)
        self.keep(text, document)
        return document

    def keep(self, text: str, document: DocumentNode) -> None:
        """Keeps the document, which must not change any more."""
        if text in self._by_text:
            return
        prepared = self._by_text[text] = Prepared(text, document)
        self._by_id[id(document)] = prepared
        self._characters += len(text)
        while len(self._by_text) > MOST_DOCUMENTS or self._characters > MOST_CHARACTERS:
            _, oldest = self._by_text.popitem(last=False)
            del self._by_id[id(oldest.document)]
            self._characters -= len(oldest.text)


class Remembered(SchemaExtension):
    """Saves parsing and validating what was found to be in order before."""

    def on_parse(self) -> Iterator[None]:
        """Takes the document that is kept, or keeps the new one."""
        execution = self.execution_context
        documents: Documents = execution.schema.documents  # type: ignore[attr-defined]
        text = execution.query
        known = None if text is None else documents.find(text)
        if known is not None:
            execution.graphql_document = known.document
        yield
        if known is None and text is not None and execution.graphql_document is not None:
            documents.keep(text, execution.graphql_document)

    def on_validate(self) -> Iterator[None]:
        """Leaves out rules that it is known to obey."""
        execution = self.execution_context
        documents: Documents = execution.schema.documents  # type: ignore[attr-defined]
        assert execution.graphql_document is not None, "it was parsed"
        known = documents.of(execution.graphql_document)
        rules = execution.validation_rules
        if known is not None and rules in known.valid:
            execution.pre_execution_errors = []
        yield
        if known is not None and not execution.pre_execution_errors:
            known.valid.add(rules)
