"""Something different: the search over free text, examples and conditions, and alternatives."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated
from uuid import UUID, uuid4

import strawberry
from strawberry import relay

from matchgraph.commands import search as commands
from matchgraph.commands.outcome_token import sign
from matchgraph.domain.conditions import sentences_of
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.need import Need as NeedValue
from matchgraph.domain.relevance import MILLION, Scored, explored
from matchgraph.domain.search import Search as SearchAggregate
from matchgraph.domain.search import Served
from matchgraph.eventstore.errors import Conflict, OutcomeUnknown, Unavailable
from matchgraph.eventstore.searcher_keys import UnusableKey
from matchgraph.graphql.artifact import After, Artifact, Capability, Connection, Edge, First
from matchgraph.graphql.as_of import check_now
from matchgraph.graphql.comparison import Comparison, side_by_side
from matchgraph.graphql.context import Info
from matchgraph.graphql.enums import DataType, Kind, ReasonKind, Unit
from matchgraph.graphql.scalars import Amount, BadInput, Count, Position, several, text
from matchgraph.queries import page as pages
from matchgraph.queries.explanation import Result, Shortfall, explained, shortfall, written
from matchgraph.queries.need import Ready, field_of, need_of
from matchgraph.queries.page import BadCursor
from matchgraph.queries.searching import Found

log = logging.getLogger(__name__)

ORDER = "search"
# What a need may hold; longer ones are no need but a document.
LONGEST_TEXT = 10_000
MOST_EXAMPLES = 10
MOST_ENTRIES = 50
# So many more are looked up, to see whether there is another page.
SPARE = 10
# Units: seconds that an answer waits for being recorded; a group commit takes a few milliseconds.
PATIENCE = 1.0
# No search shows so many; a cursor that says so is none.
FURTHEST = 100_000


@strawberry.input(description="The most that may be asked, for one unit.")
class PriceCeiling:
    amount: Amount = strawberry.field(
        description='For ONE unit: "0.000001" per INPUT_TOKEN is 1 for a million.'
    )
    per: Unit = strawberry.field(description="The unit.")
    currency: str = strawberry.field(default="USD", description="ISO 4217 code.")


@strawberry.input(
    description=(
        "What an artifact must be like. Everything given must hold; of several entries of a list "
        "one must, except for types and `mustHave`, of which all must, and for the lists of what "
        "must not be. What nobody said of an artifact does not hold."
    )
)
class NeedConditions:
    kinds: list[Kind] | None = strawberry.field(default=None, description="Of any of these.")
    not_kinds: list[Kind] | None = strawberry.field(default=None, description="Of none of these.")
    free: bool | None = strawberry.field(
        default=None, description="Somebody offers it without asking money, at least at first."
    )
    open_weights: bool | None = strawberry.field(
        default=None, description="Its weights can be downloaded."
    )
    self_hostable: bool | None = strawberry.field(
        default=None, description="It runs on machines of one's own."
    )
    price_ceilings: list[PriceCeiling] | None = strawberry.field(
        default=None, description="Some provider asks no more than that, or nothing at all."
    )
    cheaper_than: str | None = strawberry.field(
        default=None, description="A slug: its starting price is above that of what is meant."
    )
    min_context_tokens: Count | None = strawberry.field(
        default=None, description="It takes in at least so many tokens at once."
    )
    min_output_tokens: Count | None = strawberry.field(
        default=None, description="It puts out at least so many tokens at once."
    )
    input_types: list[DataType] | None = strawberry.field(
        default=None, description="It takes in all of these."
    )
    output_types: list[DataType] | None = strawberry.field(
        default=None, description="It puts out all of these."
    )
    tool_calling: bool | None = strawberry.field(
        default=None, description="It has the capability `tool-calling`."
    )
    reasoning: bool | None = strawberry.field(
        default=None, description="It has the capability `reasoning`."
    )
    structured_output: bool | None = strawberry.field(
        default=None, description="It has the capability `structured-output`."
    )
    vendors: list[str] | None = strawberry.field(default=None, description="By any of these.")
    not_vendors: list[str] | None = strawberry.field(default=None, description="By none of these.")
    families: list[str] | None = strawberry.field(default=None, description="Of any of these.")
    not_families: list[str] | None = strawberry.field(default=None, description="Of none of these.")
    providers: list[str] | None = strawberry.field(
        default=None, description="Any of these asks a price for it, or offers it for free."
    )
    not_providers: list[str] | None = strawberry.field(
        default=None, description="None of these does."
    )
    licences: list[str] | None = strawberry.field(
        default=None, description="Under any of these, by SPDX identifier."
    )
    not_licences: list[str] | None = strawberry.field(
        default=None, description="Under none of these."
    )
    must_have: list[str] | None = strawberry.field(
        default=None,
        description="It has all of these: keys of capabilities, or words of its description.",
    )
    must_not_have: list[str] | None = strawberry.field(
        default=None, description="It has none of these."
    )
    released_since: date | None = strawberry.field(
        default=None, description="First released on that day or later."
    )
    released_before: date | None = strawberry.field(
        default=None, description="First released before that day."
    )

    def to_domain(self) -> Where:
        """Raises: BadInput."""
        said: dict[str, object] = {}
        for one in fields(Where):
            value = getattr(self, one.name)
            if value is None:
                continue
            if isinstance(value, list):
                if len(value) > MOST_ENTRIES:
                    raise BadInput(
                        f"`need.where` has {len(value)} entries of {field_of(one.name)}; at most"
                        f" {MOST_ENTRIES} are taken."
                    )
                value = tuple(_entry(field_of(one.name), entry) for entry in value)
            elif isinstance(value, str):
                value = text(f"need.where.{field_of(one.name)}", value, limit=200)
            elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise BadInput(
                    f"`need.where`: {field_of(one.name)} is {value}; it must be 1 or more."
                )
            said[one.name] = value
        return Where(**said)  # type: ignore[arg-type]


def _entry(field: str, entry: object) -> object:
    if isinstance(entry, PriceCeiling):
        amount = Decimal(entry.amount)
        if not amount.is_finite() or amount < 0:
            raise BadInput(f"`need.where`: a price ceiling of {amount} makes no sense.")
        return Ceiling(
            amount=amount, per=entry.per, currency=text("currency", entry.currency, limit=3).upper()
        )
    if type(entry) is str:
        if not (said := text(f"need.where.{field}", entry, limit=200).strip()):
            raise BadInput(f"`need.where`: an entry of {field} is blank.")
        return said
    return entry


@strawberry.input(
    description=(
        "What somebody looks for: in words, by example, by conditions, or by all of them. "
        "Conditions in the words are understood, too; the answer says how."
    )
)
class Need:
    text: str | None = strawberry.field(
        default=None,
        description=f"In plain words, {LONGEST_TEXT} characters at most.",
    )
    like: list[str] | None = strawberry.field(
        default=None, description="Slugs of artifacts that serve the same intents."
    )
    unlike: list[str] | None = strawberry.field(
        default=None, description="Slugs of artifacts that are not what is meant."
    )
    where: NeedConditions | None = strawberry.field(default=None, description="Conditions.")
    ignore: list[str] | None = strawberry.field(
        default=None,
        description="Ids of readings of the text that are wrong, from an earlier answer.",
    )

    def to_domain(self) -> NeedValue:
        """Raises: BadInput."""
        said = None if self.text is None else text("need.text", self.text, limit=LONGEST_TEXT)
        return NeedValue(
            text=said,
            like=tuple(several("need.like", self.like or [], most=MOST_EXAMPLES)),
            unlike=tuple(several("need.unlike", self.unlike or [], most=MOST_EXAMPLES)),
            where=Where() if self.where is None else self.where.to_domain(),
        )


@strawberry.type(description="A misspelt word, and what it was read as.")
class SpellingCorrection:
    written: str = strawberry.field(description="As it was written.")
    read: str = strawberry.field(description="As it was read.")


@strawberry.type(description="A condition that was read in the words.")
class NeedReading:
    id: str = strawberry.field(description="Put it into `ignore` to switch the reading off.")
    words: str = strawberry.field(description="The words it was read in.")
    start: int = strawberry.field(description="Where they begin in the text as it was read.")
    end: int = strawberry.field(description="Where they end.")
    sentence: str = strawberry.field(description="What they were read as.")


@strawberry.type(description="A condition that the results meet.")
class NeedCondition:
    name: str = strawberry.field(description="Its name in `NeedConditions`.")
    sentence: str = strawberry.field(description="What it asks.")


@strawberry.type(description="How a need was understood.")
class Understanding:
    text: str | None = strawberry.field(description="The words as they were read.")
    rest: str = strawberry.field(
        description="Those that are matched by words and by meaning, after what was understood."
    )
    corrections: list[SpellingCorrection] = strawberry.field(description="Corrected spelling.")
    readings: list[NeedReading] = strawberry.field(description="Conditions read in the words.")
    conditions: list[NeedCondition] = strawberry.field(
        description="All conditions that hold, those that were given and those that were read."
    )
    like: list[str] = strawberry.field(description="The examples.")
    unlike: list[str] = strawberry.field(description="What is not meant.")
    unknown_words: list[str] = strawberry.field(
        description="Words that are nowhere in the catalog."
    )


@strawberry.type(description="One reason why an artifact is among the results.")
class SearchReason:
    kind: ReasonKind = strawberry.field(description="What sort of reason it is.")
    sentence: str = strawberry.field(description="The reason in words.")
    share: Amount | None = strawberry.field(
        description="Its part of the score; null: it lets in and does not place."
    )


@strawberry.type(description="An artifact that serves the need.")
class SearchResult:
    artifact: Artifact = strawberry.field(description="The artifact; `rank` has its interval.")
    score: Amount = strawberry.field(
        description="How well it serves the need, best first; comparable within one answer only."
    )
    place: int = strawberry.field(description="Its place in the answer, from 1 on.")
    reasons: list[SearchReason] = strawberry.field(
        description="Why it is here; their shares add up to the score."
    )
    lacks: list[str] = strawberry.field(description="What it lacks against the need.")
    explored: bool = strawberry.field(
        description="Whether it stands here to be seen at all, and not by its score."
    )
    outcome_token: str | None = strawberry.field(
        description=(
            "For `reportOutcome`; null where the answer could not be recorded, or where nothing "
            "was served."
        )
    )
    key: strawberry.Private[str | None]
    artifact_id: strawberry.Private[UUID]

    @strawberry.field(
        description="The capability that matches best; null for an artifact without any."
    )
    async def capability(self, info: Info) -> Capability | None:
        return await _capability(info, self.artifact_id, self.key)


async def _capability(info: Info, artifact_id: UUID, key: str | None) -> Capability | None:
    if key is None:
        return None
    offered = await info.context.view(info).loaders.capability.load((artifact_id, key))
    return None if offered is None else Capability.of(offered)


@strawberry.type(description="How many artifacts a condition alone leaves out.")
class SearchExclusion:
    condition: str = strawberry.field(description="Its name in `NeedConditions`.")
    sentence: str = strawberry.field(description="What it asks.")
    excludes: int = strawberry.field(description="How many of those considered it leaves out.")


@strawberry.type(description="Why nothing fits, and what comes nearest.")
class NothingFits:
    sentence: str = strawberry.field(description="Why, in words.")
    considered: int = strawberry.field(
        description=(
            "How many artifacts were looked at: all that are on offer, or of many thousands an "
            "even sample."
        )
    )
    exclusions: list[SearchExclusion] = strawberry.field(
        description="What each condition leaves out, most first."
    )
    nearest: list[SearchResult] = strawberry.field(
        description="Those that fail the fewest conditions; they are no results."
    )


@strawberry.type(description="Artifacts that serve a need, best first.")
class SearchConnection(Connection[SearchResult]):
    search_id: strawberry.ID = strawberry.field(description="This search; its pages share it.")
    recorded: bool = strawberry.field(
        description="Whether the answer is in the history; without, outcomes cannot be reported."
    )
    understood: Understanding = strawberry.field(description="How the need was understood.")
    found: int = strawberry.field(
        description="How many artifacts were found; a search looks no further than a few hundred."
    )
    nothing_fits: NothingFits | None = strawberry.field(
        description="Why there is no result; null: there are some."
    )
    position: Position = strawberry.field(description="The position that the answer is as of.")


@strawberry.type(description="An artifact that serves the same intents as another.")
class Alternative:
    artifact: Artifact = strawberry.field(description="The alternative.")
    score: Amount = strawberry.field(
        description="How well it stands in, best first; comparable within one list only."
    )
    reasons: list[SearchReason] = strawberry.field(
        description="Why it is here; their shares add up to the score."
    )
    rank_difference: Amount | None = strawberry.field(
        description="How many points it ranks above the other one; null: one of them has no rank."
    )
    key: strawberry.Private[str | None]
    ids: strawberry.Private[tuple[UUID, UUID]]

    @strawberry.field(
        description="The capability that matches best; null for an artifact without any."
    )
    async def capability(self, info: Info) -> Capability | None:
        return await _capability(info, self.ids[1], self.key)

    @strawberry.field(
        description=(
            "Both side by side, the other one first: capabilities, prices, evidence, verdict."
        )
    )
    async def comparison(self, info: Info) -> Comparison:
        listings = [
            listing
            for listing in await info.context.view(info).loaders.by_id.load_many(self.ids)
            if listing is not None
        ]
        view = info.context.view(info)
        return await side_by_side(view, [one.slug for one in listings], listings)


async def alternatives_to(
    info: Info, slug: str, id: UUID, first: int, different: NeedConditions | None
) -> list[Alternative]:
    """The artifacts that stand in best. Raises: BadPageSize, BadInput, Contradiction,
    Unavailable."""
    check_now(info, "alternatives")
    context, view = info.context, info.context.view(info)
    need = NeedValue(like=(slug,), where=Where() if different is None else different.to_domain())
    pages.size(first)
    found = await context.searching.search(view.snapshot, need, today=datetime.now(UTC).date())
    page = found.answer.results[:first]
    shown = await explained(view.snapshot, found.ready, page)
    artifacts = await _artifacts(info, shown)
    ids = [one.candidate.artifact_id for one in page]
    own, *ranks = await view.loaders.ranked.load_many([id, *ids])
    return [
        Alternative(
            artifact=artifacts[other],
            score=_amount(one.score),
            reasons=_reasons(result),
            rank_difference=(
                None if own is None or rank is None else _amount(rank.score - own.score)
            ),
            key=one.capability,
            ids=(id, other),
        )
        for one, other, result, rank in zip(page, ids, shown, ranks, strict=True)
    ]


@strawberry.type
class SearchQuery:
    """What can be asked for by need."""

    @strawberry.field(
        description=(
            "Artifacts that serve a need, best first. Every answer is recorded, so that what "
            "becomes of it can be reported with `reportOutcome`; a search does not fail because "
            "that fails. One answer in four shows an artifact that was hardly seen."
        )
    )
    async def search(
        self,
        info: Info,
        need: Annotated[Need, strawberry.argument(description="What is needed.")],
        first: First = 10,
        after: After = None,
    ) -> SearchConnection:
        context, view = info.context, info.context.view(info)
        value, ignored = need.to_domain(), several("need.ignore", need.ignore or [], most=100)
        pages.size(first)
        order = _order(ignored)
        before = None if after is None else _cursor(order, after)
        found = await context.searching.search(
            view.snapshot, value, today=datetime.now(UTC).date(), ignored=ignored
        )
        search_id, count = (uuid4(), 0) if before is None else before
        search = None if after is None else await _recorded(info, search_id, value, after)
        results = _left(found, search, search_id, count, first)
        known = await view.loaders.by_id.load_many(
            [one.candidate.artifact_id for one in results[: first + SPARE]]
        )
        # A read model that is stuck alone may lack what the others know.
        listed = {listing.id for listing in known if listing is not None}
        results = [one for one in results if one.candidate.artifact_id in listed]
        page = results[:first]
        served = [
            Served(
                artifact_id=one.candidate.artifact_id,
                capability=one.capability,
                position=count + number,
                score=one.score,
                explored=one.explored,
            )
            for number, one in enumerate(page, start=1)
        ]
        shown = await explained(view.snapshot, found.ready, page)
        recorded = await _record(
            info, search_id, value, found.ready, served, search, first_page=before is None
        )
        nothing = None
        if not found.answer.results:
            nothing = await shortfall(view.snapshot, found.ready, context.searching.model)
        listings = await _artifacts(info, [*shown, *(nothing.nearest if nothing else ())])
        edges = [
            Edge(
                cursor=pages.encode(order, [search_id.hex, one.position]),
                node=_result(
                    result,
                    listings[one.artifact_id],
                    one.position,
                    sign(context.secrets, search_id, one) if recorded else None,
                ),
            )
            for one, result in zip(served, shown, strict=True)
        ]
        return SearchConnection(
            edges=edges,
            page_info=relay.PageInfo(
                has_next_page=len(results) > first,
                has_previous_page=count > 0,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            search_id=strawberry.ID(str(search_id)),
            recorded=recorded,
            understood=_understood(found),
            found=len(found.answer.results),
            nothing_fits=None if nothing is None else _nothing(found, nothing, listings),
            position=Position(await view.snapshot.position()),
        )


def _order(ignored: Collection[str]) -> str:
    """Names the list in its cursors: with other readings switched off, it is another one."""
    if not ignored:
        return ORDER
    return f"{ORDER} without {sha256(' '.join(sorted(set(ignored))).encode()).hexdigest()[:16]}"


def _cursor(order: str, after: str) -> tuple[UUID, int]:
    try:
        search, count = pages.decode(order, after, str, int)
        if not 1 <= count <= FURTHEST:
            raise BadCursor(after)
        return UUID(hex=search), count
    except ValueError:
        raise BadCursor(after) from None


async def _recorded(
    info: Info, search_id: UUID, need: NeedValue, after: str
) -> SearchAggregate | None:
    """The search as it was recorded; None where it was not, or where nobody can tell, as when
    whoever searched is forgotten meanwhile. Raises: BadCursor where it was for another need."""
    try:
        search = await info.context.store.load(search_id)
        if not isinstance(search, SearchAggregate):
            return None
        searched = await need_of(info.context.keys, search)
    except Unavailable:
        return None
    if searched is None:
        return None
    if searched != need:
        raise BadCursor(after)
    return search


def _left(
    found: Found, search: SearchAggregate | None, search_id: UUID, count: int, first: int
) -> list[Scored]:
    """What is left to serve after the first so many of that search."""
    results = found.answer.results
    if count == 0:
        return explored(results, search_id, first)
    if search is None:
        # Nobody knows what it showed, so the order of now has to do.
        return list(results[count:])
    shown = {id for id, one in search.served.items() if one.position <= count}
    return [one for one in results if one.candidate.artifact_id not in shown]


async def _record(
    info: Info,
    search_id: UUID,
    need: NeedValue,
    ready: Ready,
    served: list[Served],
    search: SearchAggregate | None,
    *,
    first_page: bool,
) -> bool:
    """Records what is served; whether that succeeded. The answer does not depend on it."""
    context = info.context
    if search is None and not first_page:
        return False
    try:
        async with asyncio.timeout(PATIENCE):
            if first_page:
                intent, searcher = ready.intent, context.searcher
                words = await commands.sealed(context.keys, search_id, need, intent, searcher)
                await commands.answered(
                    context.store,
                    context.by(None),
                    search_id,
                    words,
                    intent.cluster,
                    searcher,
                    served,
                )
                context.searching.remember(context.pool, intent.cluster, ready.news, words.key)
            else:
                await commands.continued(context.store, context.by(None), search_id, served)
    except (Unavailable, OutcomeUnknown, Conflict, UnusableKey, TimeoutError) as reason:
        log.warning("a search is answered and not recorded: %r", reason)
        return False
    except Exception:
        # Whatever is wrong with the history, whoever searches has an answer.
        log.exception("a search is answered and not recorded")
        return False
    return True


async def _artifacts(info: Info, results: list[Result]) -> dict[UUID, Artifact]:
    ids = [result.scored.candidate.artifact_id for result in results]
    listings = await info.context.view(info).loaders.by_id.load_many(ids)
    return {listing.id: Artifact.of(listing) for listing in listings if listing is not None}


def _result(result: Result, artifact: Artifact, place: int, token: str | None) -> SearchResult:
    one = result.scored
    return SearchResult(
        artifact=artifact,
        score=_amount(one.score),
        place=place,
        reasons=_reasons(result),
        lacks=list(result.lacks),
        explored=one.explored,
        outcome_token=token,
        key=one.capability,
        artifact_id=one.candidate.artifact_id,
    )


def _reasons(result: Result) -> list[SearchReason]:
    return [
        SearchReason(
            kind=reason.kind,
            sentence=reason.sentence,
            share=None if reason.share is None else _amount(reason.share),
        )
        for reason in result.reasons
    ]


def _amount(millionths: int) -> Amount:
    return Amount(Decimal(millionths) / MILLION)


def _understood(found: Found) -> Understanding:
    understanding = found.ready.understanding
    return Understanding(
        text=understanding.text,
        rest=understanding.rest,
        corrections=[
            SpellingCorrection(written=one.written, read=one.read)
            for one in understanding.corrections
        ],
        readings=[
            NeedReading(
                id=one.id,
                words=one.words,
                start=one.span[0],
                end=one.span[1],
                sentence=one.sentence,
            )
            for one in understanding.readings
        ],
        conditions=[
            NeedCondition(name=field_of(name), sentence=sentence)
            for name, sentence in sentences_of(understanding.where).items()
        ],
        like=list(understanding.like),
        unlike=list(understanding.unlike),
        unknown_words=list(
            dict.fromkeys(
                word for term, word in written(found.ready).items() if term in found.answer.unknown
            )
        ),
    )


def _nothing(found: Found, nothing: Shortfall, listings: dict[UUID, Artifact]) -> NothingFits:
    # As above: the listing may lack what the search index knows, also while one of them is rebuilt.
    known = [
        (result, listing)
        for result in nothing.nearest
        if (listing := listings.get(result.scored.candidate.artifact_id)) is not None
    ]
    return NothingFits(
        sentence=_why(found, nothing),
        considered=nothing.considered,
        exclusions=[
            SearchExclusion(
                condition=field_of(one.condition),
                sentence=one.sentence,
                excludes=one.excludes,
            )
            for one in sorted(nothing.exclusions, key=lambda one: -one.excludes)
        ],
        nearest=[
            _result(result, listing, number, None)
            for number, (result, listing) in enumerate(known, start=1)
        ],
    )


def _why(found: Found, nothing: Shortfall) -> str:
    # Where somebody meets all conditions, or nobody is near, it is for the words.
    failing = [result for result in nothing.nearest if result.fails]
    if nothing.exclusions and failing:
        hardest = max(nothing.exclusions, key=lambda one: one.excludes)
        return (
            f"No artifact meets everything asked; of {nothing.considered}, most are left out by"
            f" this alone ({hardest.excludes}): {hardest.sentence}."
        )
    return "No artifact has to do with these words; try others, or name an artifact in `like`."
