"""A or B: the header table over two to five artifacts, and the artifacts themselves."""

import asyncio
from typing import Annotated

import strawberry

from matchgraph.domain import comparison
from matchgraph.domain.comparison import Contender
from matchgraph.graphql.artifact import Artifact
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import Favour, RowName
from matchgraph.graphql.scalars import BadInput, Position, several


@strawberry.type(description="Whom a row of a comparison speaks for.")
class RowFavour:
    outcome: Favour = strawberry.field(description="Whether it favours anybody.")
    slug: str | None = strawberry.field(description="The slug of the artifact it favours, if any.")


@strawberry.type(description="One line of the header table.")
class ComparisonRow:
    name: RowName = strawberry.field(description="What it is about.")
    values: list[str | None] = strawberry.field(
        description="A value for each artifact, in their order; null: nobody said."
    )
    favours: RowFavour = strawberry.field(description="Whom it speaks for.")


@strawberry.type(description="Artifacts side by side.")
class Comparison:
    artifacts: list[Artifact] = strawberry.field(description="The artifacts, in the order asked.")
    rows: list[ComparisonRow] = strawberry.field(description="The header table.")
    position: Position = strawberry.field(
        description="The position that everything in this answer is up to."
    )


@strawberry.type
class ComparisonQuery:
    """What can be asked of several artifacts at once."""

    @strawberry.field(
        description=(
            "Two to five artifacts side by side. An unknown slug, and one artifact named twice, "
            "is an error that says so."
        )
    )
    async def compare(
        self,
        info: Info,
        slugs: Annotated[
            list[str], strawberry.argument(description="Two to five slugs or aliases.")
        ],
    ) -> Comparison:
        if not comparison.FEWEST <= len(slugs) <= comparison.MOST:
            raise BadInput(
                f"`slugs` names {len(slugs)} artifacts; compare {comparison.FEWEST} to"
                f" {comparison.MOST}."
            )
        loaders = info.context.loaders
        found = await asyncio.gather(*map(loaders.by_slug.load, several("slugs", slugs)))
        listings = [listing for listing in found if listing is not None]
        if len(listings) < len(found):
            unknown = [slug for slug, listing in zip(slugs, found, strict=True) if listing is None]
            raise BadInput(
                f"`slugs`: there is no artifact {', '.join(map(repr, unknown))}.",
                "UNKNOWN_ARTIFACT",
                slugs=unknown,
            )
        if len({listing.id for listing in listings}) < len(listings):
            raise BadInput("`slugs` names one artifact twice; compare different ones.")
        ids = [listing.id for listing in listings]
        prices, counts, position = await asyncio.gather(
            loaders.prices.load_many(ids),
            loaders.capability_count.load_many(ids),
            info.context.snapshot.position(),
        )
        rows = comparison.rows(
            [
                Contender(kind=a.kind, facts=a.facts, prices=p, capability_count=c)
                for a, p, c in zip(listings, prices, counts, strict=True)
            ]
        )
        return Comparison(
            artifacts=[Artifact.of(listing) for listing in listings],
            rows=[
                ComparisonRow(
                    name=row.name,
                    values=list(row.values),
                    favours=RowFavour(
                        outcome=row.favour,
                        slug=None if row.winner is None else listings[row.winner].slug,
                    ),
                )
                for row in rows
            ],
            position=Position(position),
        )
