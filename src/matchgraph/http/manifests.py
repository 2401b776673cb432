"""Manifests of trusted documents, as the tools of clients write them.

Two forms are read: `{"id": "document", …}`, which graphql-codegen (persisted-documents.json) and
relay-compiler (persistConfig) write, and that of Apollo's generate-persisted-query-manifest.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    validate,
)

from matchgraph.graphql.limits import MOST_POINTS, MOST_TOKENS, check_ever
from matchgraph.http.request import LONGEST_ID, SHA256

APOLLO = "apollo-persisted-query-manifest"
# So many mistakes are told at most.
MOST_TOLD = 5


class BadManifest(Exception):
    """A manifest cannot be used; says which one, and where it is wrong."""


def read(files: Iterable[Path], schema: GraphQLSchema, most: int = MOST_POINTS) -> dict[str, str]:
    """The documents of all these manifests, by id. Units: `most` in points, that an operation may
    cost. Raises: BadManifest."""
    texts: dict[str, str] = {}
    for file in files:
        problems = list(_take_in(texts, file, schema, most))
        if problems:
            more = f"\n  and {len(problems) - MOST_TOLD} more" if len(problems) > MOST_TOLD else ""
            raise BadManifest(
                f"{file} cannot be used:" + "".join(f"\n  {p}" for p in problems[:MOST_TOLD]) + more
            )
    return texts


def _take_in(texts: dict[str, str], file: Path, schema: GraphQLSchema, most: int) -> Iterator[str]:
    """Takes the documents in, and tells what is wrong."""
    try:
        entries = _entries(json.loads(file.read_bytes()))
    except OSError as reason:
        raise BadManifest(f"{file} cannot be read: {reason.strerror}.") from None
    except (ValueError, RecursionError) as reason:
        raise BadManifest(f"{file} cannot be used: {reason}") from None
    if not entries:
        yield "it has no operations, so nothing could be asked"
    for said, text in entries:
        if not isinstance(said, str) or not isinstance(text, str):
            yield f"{str(said)[:60]!r}: the id and the document must be texts"
            continue
        id = said.removeprefix(SHA256)
        if not 0 < len(id) <= LONGEST_ID:
            yield f"{said[:60]!r}: an id has 1 to {LONGEST_ID} characters"
        elif texts.setdefault(id, text) != text:
            yield f"{said!r}: it is the id of two documents"
        else:
            yield from (f"{said!r}: {problem}" for problem in _problems(text, schema, most))


def _entries(said: Any) -> Sequence[tuple[Any, Any]]:
    """The ids and documents. Raises: ValueError for none of the forms."""
    if isinstance(said, dict) and "format" not in said:
        return list(said.items())
    if isinstance(said, dict) and said["format"] == APOLLO and said.get("version") == 1:
        operations = said.get("operations")
        if isinstance(operations, list) and all(isinstance(one, dict) for one in operations):
            return [(one.get("id"), one.get("body")) for one in operations]
    raise ValueError(
        'it must be {"id": "document", …}, as graphql-codegen and relay-compiler write it, or a'
        f" manifest of the format {APOLLO}, version 1."
    )


def _problems(text: str, schema: GraphQLSchema, most: int) -> list[str]:
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
    except (GraphQLError, RecursionError) as reason:
        return [str(reason).partition("\n")[0]]
    try:
        check_ever(schema, text, document, most)
    except GraphQLError as reason:
        return [
            f"{_named(document) or 'the operation'} could never run. {reason.message} Have it ask"
            " for less (docs/limits.md), or leave it out."
        ]
    return [error.message for error in validate(schema, document, max_errors=1)]


def _named(document: DocumentNode) -> str:
    """The names of its operations."""
    operations = (one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    return ", ".join(one.name.value for one in operations if one.name is not None)
