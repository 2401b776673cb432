"""How every command runs: decided on fresh state, appended whole, safe to repeat."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Alias, Artifact, id_of
from matchgraph.domain.errors import Refusal, SlugTaken, UnknownAlias, UnknownArtifact
from matchgraph.eventstore.errors import AlreadyDone, Conflict, OutcomeUnknown, Unavailable
from matchgraph.eventstore.store import Request, Store, fingerprint

# Each time somebody else was first, the rules are decided again; more often than this in a row
# means that something is wrong.
ATTEMPTS = 20
# Units: seconds.
LONGEST_PAUSE = 0.02


async def change(
    store: Store,
    request: Request,
    command: str,
    arguments: Sequence[object],
    decide: Callable[[], Awaitable[Sequence[Aggregate]]],
) -> int:
    """Runs a command: `decide` loads, asks the aggregates and returns those that changed.

    Returns the position that the command reached, also when it is repeated with its idempotency
    key. Raises: a Refusal, KeyReused, Conflict after too many attempts, Unavailable,
        OutcomeUnknown.
    """
    payload = fingerprint_of(command, *arguments)
    for _ in range(ATTEMPTS):
        if (position := await store.recall(request, payload)) is not None:
            return position
        try:
            changed = await decide()
        except Refusal:
            # Sent twice at once, the command may by now stand in its own way.
            if (position := await store.recall(request, payload)) is not None:
                return position
            raise
        with suppress(AlreadyDone, Conflict):
            return await store.append(changed, request, payload)
        # Many at once would otherwise meet again and again.
        await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311
    raise Conflict(f"others were first {ATTEMPTS} times in a row; try again in a moment")


@contextmanager
def done_at(position: int) -> Iterator[None]:
    """For what is read to tell a caller what a command came to that is in the log already: while
    it cannot be read, nobody may say that nothing was done. Raises: OutcomeUnknown."""
    try:
        yield
    except Unavailable as reason:
        raise OutcomeUnknown(
            f"the command is recorded at position {position}, and what it came to cannot be read"
            f" now: {reason}"
        ) from reason


def fingerprint_of(command: str, *arguments: object) -> bytes:
    """What makes two commands with one idempotency key the same command."""
    try:
        return fingerprint(command, *arguments)
    except UnicodeEncodeError:
        # A lone surrogate in a text: the domain refuses it, and a refusal is not remembered.
        return b""


async def artifact(store: Store, slug: str) -> Artifact:
    """The artifact that the slug leads to, over aliases; a merged one is returned as it is.

    Raises: UnknownArtifact, Unavailable.
    """
    found = await store.load(id_of(slug))
    if isinstance(found, Alias):
        found = await store.load(found.artifact_id) if found.artifact_id else None
    if not isinstance(found, Artifact):
        raise UnknownArtifact(slug[:200])
    return found


async def alias(store: Store, slug: str) -> Alias:
    """The alias by that slug. Raises: UnknownAlias, Unavailable."""
    found = await store.load(id_of(slug))
    if not isinstance(found, Alias):
        raise UnknownAlias(slug[:200])
    return found


async def free(store: Store, slug: str) -> UUID:
    """The id for a new slug. Raises: SlugTaken, Unavailable."""
    id = id_of(slug)
    if await store.load(id) is not None:
        raise SlugTaken(slug)
    return id
