"""Everything that one can do to one artifact.

Each command returns the position it reached, which a query can ask to see; each can be repeated
with its idempotency key. Beside the refusals named, each raises KeyReused, Unavailable and
OutcomeUnknown (see `change`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from matchgraph.commands.change import alias as the_alias
from matchgraph.commands.change import artifact as the_artifact
from matchgraph.commands.change import change, free
from matchgraph.domain import text
from matchgraph.domain.aggregate import Aggregate
from matchgraph.domain.artifact import Alias, Artifact, Facts, Kind, id_of
from matchgraph.domain.capability import Capability
from matchgraph.domain.errors import MergedArtifact, NotMerged, RetiredArtifact, SlugTaken
from matchgraph.domain.price import Price, PriceLine
from matchgraph.domain.provenance import Provenance
from matchgraph.domain.signal import Signal
from matchgraph.eventstore.store import Request, Store


async def register(
    store: Store, request: Request, slug: str, kind: Kind, facts: Facts, provenance: Provenance
) -> int:
    """Raises: SlugTaken, BadSlug, BadText, BadNumber, FutureObservation."""

    async def decide() -> Sequence[Aggregate]:
        artifact = Artifact.register(slug, kind, facts, provenance)
        await free(store, slug)
        return [artifact]

    return await change(store, request, "register", (slug, kind, facts, provenance), decide)


async def describe(
    store: Store, request: Request, slug: str, facts: Facts, provenance: Provenance
) -> int:
    """Raises: UnknownArtifact, and what Artifact.describe refuses."""
    return await _ask(
        store,
        request,
        "describe",
        slug,
        (facts, provenance),
        lambda artifact: artifact.describe(facts, provenance),
    )


async def retire(store: Store, request: Request, slug: str, reason: str) -> int:
    """Raises: UnknownArtifact, and what Artifact.retire refuses."""
    return await _ask(
        store, request, "retire", slug, (reason,), lambda artifact: artifact.retire(reason)
    )


async def reinstate(store: Store, request: Request, slug: str) -> int:
    """Raises: UnknownArtifact, NotRetired."""
    return await _ask(store, request, "reinstate", slug, (), Artifact.reinstate)


async def merge(store: Store, request: Request, slug: str, into: str) -> int:
    """Raises: UnknownArtifact, RetiredArtifact, MergedArtifact, BadMergeTarget."""

    async def decide() -> Sequence[Aggregate]:
        artifact, target = await the_artifact(store, slug), await the_artifact(store, into)
        artifact.merge(target)
        return [artifact, target]

    return await change(store, request, "merge", (slug, into), decide)


async def unmerge(store: Store, request: Request, slug: str) -> int:
    """Raises: UnknownArtifact, NotMerged."""

    async def decide() -> Sequence[Aggregate]:
        artifact = await the_artifact(store, slug)
        if artifact.into is None:
            raise NotMerged(artifact.slug)
        target = await store.load(artifact.into)
        assert isinstance(target, Artifact), "a merge leads to an artifact"
        artifact.unmerge(target)
        return [artifact, target]

    return await change(store, request, "unmerge", (slug,), decide)


async def tell_apart(store: Store, request: Request, slug: str, other: str) -> int:
    """Raises: UnknownArtifact, RetiredArtifact, MergedArtifact, SameArtifact."""

    async def decide() -> Sequence[Aggregate]:
        one, another = await the_artifact(store, slug), await the_artifact(store, other)
        one.tell_apart(another)
        return [one]

    return await change(store, request, "tell_apart", (slug, other), decide)


async def add_alias(store: Store, request: Request, slug: str, alias: str) -> int:
    """Raises: UnknownArtifact, RetiredArtifact, MergedArtifact, SlugTaken, BadSlug."""

    async def decide() -> Sequence[Aggregate]:
        text.slug(alias)
        return [await alias_for(store, await the_artifact(store, slug), alias)]

    return await change(store, request, "add_alias", (slug, alias), decide)


async def alias_for(store: Store, artifact: Artifact, slug: str) -> Alias:
    """The alias, new or led back to the artifact. Raises: RetiredArtifact, MergedArtifact,
    SlugTaken, BadSlug."""
    if artifact.status is artifact.status.RETIRED:
        raise RetiredArtifact(artifact.slug)
    if artifact.status is artifact.status.MERGED:
        raise MergedArtifact(artifact.slug)
    found = await store.load(id_of(slug))
    if found is None:
        return Alias.of(slug, artifact.id)
    if not isinstance(found, Alias) or found.artifact_id not in (None, artifact.id):
        raise SlugTaken(slug)
    found.lead_to(artifact.id)
    return found


async def remove_alias(store: Store, request: Request, alias: str) -> int:
    """Raises: UnknownAlias."""

    async def decide() -> Sequence[Aggregate]:
        found = await the_alias(store, alias)
        found.remove()
        return [found]

    return await change(store, request, "remove_alias", (alias,), decide)


async def add_capability(store: Store, request: Request, slug: str, capability: Capability) -> int:
    """Raises: UnknownArtifact, and what Artifact.add_capability refuses."""
    return await _ask(
        store,
        request,
        "add_capability",
        slug,
        (capability,),
        lambda artifact: artifact.add_capability(capability),
    )


async def revise_capability(
    store: Store, request: Request, slug: str, capability: Capability
) -> int:
    """Raises: UnknownArtifact, and what Artifact.revise_capability refuses."""
    return await _ask(
        store,
        request,
        "revise_capability",
        slug,
        (capability,),
        lambda artifact: artifact.revise_capability(capability),
    )


async def retire_capability(store: Store, request: Request, slug: str, key: str) -> int:
    """Raises: UnknownArtifact, UnknownCapability, RetiredArtifact, MergedArtifact."""
    return await _ask(
        store,
        request,
        "retire_capability",
        slug,
        (key,),
        lambda artifact: artifact.retire_capability(key),
    )


async def observe_price(store: Store, request: Request, slug: str, price: Price) -> int:
    """Raises: UnknownArtifact, and what Artifact.observe_price refuses."""
    return await _ask(
        store,
        request,
        "observe_price",
        slug,
        (price,),
        lambda artifact: artifact.observe_price(price),
    )


async def withdraw_price(
    store: Store, request: Request, slug: str, line: PriceLine, observed_at: datetime
) -> int:
    """Raises: UnknownArtifact, and what Artifact.withdraw_price refuses."""
    return await _ask(
        store,
        request,
        "withdraw_price",
        slug,
        (line, observed_at),
        lambda artifact: artifact.withdraw_price(line, observed_at),
    )


async def observe_signal(store: Store, request: Request, slug: str, signal: Signal) -> int:
    """Raises: UnknownArtifact, and what Artifact.observe_signal refuses."""
    return await _ask(
        store,
        request,
        "observe_signal",
        slug,
        (signal,),
        lambda artifact: artifact.observe_signal(signal),
    )


async def _ask(
    store: Store,
    request: Request,
    command: str,
    slug: str,
    arguments: Sequence[object],
    ask: Callable[[Artifact], None],
) -> int:
    async def decide() -> Sequence[Aggregate]:
        artifact = await the_artifact(store, slug)
        ask(artifact)
        return [artifact]

    return await change(store, request, command, (slug, *arguments), decide)
