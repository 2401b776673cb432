"""Likely duplicates, and what a curator says of them: query and mutation."""

from typing import Annotated

import strawberry

from matchgraph.commands import artifact as commands
from matchgraph.domain import duplicate
from matchgraph.domain.duplicate import Sign
from matchgraph.domain.role import Role
from matchgraph.graphql import refusals as r
from matchgraph.graphql.access import Needs
from matchgraph.graphql.artifact import After, Artifact, Connection, First, edges, page_info
from matchgraph.graphql.changes import Change, Key, Slug, by
from matchgraph.graphql.context import Info
from matchgraph.graphql.scalars import BadInput, Position, text
from matchgraph.queries import duplicates as queries

strawberry.enum(
    Sign,
    name="DuplicateSign",
    description="What speaks for two artifacts being one, or against it.",
)


@strawberry.type(description="One thing that speaks for or against two artifacts being one.")
class DuplicateReason:
    sign: Sign = strawberry.field(description="What it is.")
    points: float = strawberry.field(
        description="What it adds to the logarithm of the odds; below 0: it speaks against."
    )
    left: str = strawberry.field(description="What was seen at the left one.")
    right: str = strawberry.field(description="What was seen at the right one.")

    @classmethod
    def of(cls, value: duplicate.Reason) -> "DuplicateReason":
        """The value as the schema has it."""
        return cls(sign=value.sign, points=value.points, left=value.left, right=value.right)


@strawberry.type(
    description="Two artifacts that may be one. A curator merges them, or tells them apart."
)
class LikelyDuplicate:
    left: Artifact = strawberry.field(description="The one that was registered first.")
    right: Artifact = strawberry.field(
        description="The other one, which would be merged into the left one."
    )
    confidence: float = strawberry.field(description="How likely they are one, 0 to 1.")
    reasons: list[DuplicateReason] = strawberry.field(
        description="What speaks for it and against it, the weightiest first."
    )

    @classmethod
    def of(cls, value: queries.LikelyDuplicate) -> "LikelyDuplicate":
        """The pair as the schema has it."""
        return cls(
            left=Artifact.of(value.left),
            right=Artifact.of(value.right),
            confidence=value.likeness.confidence,
            reasons=[DuplicateReason.of(reason) for reason in value.likeness.reasons],
        )


@strawberry.type
class IdentityQuery:
    """What can be asked about which artifacts are one."""

    @strawberry.field(
        description=(
            "Pairs of active artifacts that may be one, the likeliest first. What is merged or "
            "was told apart is not listed."
        ),
        extensions=[Needs(Role.CURATOR)],
    )
    async def likely_duplicates(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        min_confidence: Annotated[
            float, strawberry.argument(description="Only pairs at least this likely, 0 to 1.")
        ] = queries.LIKELY,
    ) -> Connection[LikelyDuplicate]:
        if not 0 <= min_confidence <= 1:
            raise BadInput(f"`minConfidence` is {min_confidence}; it runs from 0 to 1.")
        page = await queries.likely(info.context.view(info).snapshot, first, after, min_confidence)
        return Connection(edges=edges(page, LikelyDuplicate.of), page_info=page_info(page, after))


@strawberry.type(description="The two are told apart and no likely duplicates any more.")
class ArtifactToldApart(Change):
    pass


TellApartResult = Annotated[
    ArtifactToldApart
    | r.UnknownArtifact
    | r.RetiredArtifact
    | r.MergedArtifact
    | r.SameArtifact
    | r.IdempotencyKeyReused,
    strawberry.union("TellApartResult", description="What came of it."),
]


@strawberry.type
class IdentityMutation:
    """What can be said about which artifacts are one."""

    @strawberry.mutation(
        description=(
            "Say that two artifacts are not the same, however alike they look. Whoever knows "
            "better later can merge them all the same."
        ),
        extensions=[Needs(Role.CURATOR)],
    )
    async def tell_apart(
        self,
        info: Info,
        slug: Slug,
        from_: Annotated[
            str, strawberry.argument(name="from", description="The slug of the other one.")
        ],
        idempotency_key: Key = None,
    ) -> TellApartResult:
        position = await commands.tell_apart(
            *by(info, idempotency_key),
            text("slug", slug, limit=500),
            text("from", from_, limit=500),
        )
        return ArtifactToldApart(position=Position(position), slug=slug)
