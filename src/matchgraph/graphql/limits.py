"""What is refused before it is executed, and how long an execution may take.

docs/limits.md has every figure, and says why it is what it is.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    ListValueNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    TypeNode,
    Undefined,
    Visitor,
    print_ast,
    visit,
)
from graphql.language.visitor import VisitorAction
from strawberry.extensions import SchemaExtension

from matchgraph.domain.text import UNPRINTABLE
from matchgraph.graphql import cost
from matchgraph.graphql.cost import MOST_IN_A_LIST, Count, Tally, TooDeep
from matchgraph.graphql.scalars import BadInput
from matchgraph.observe import observed_cost

if TYPE_CHECKING:
    from matchgraph.graphql.context import Context
    from matchgraph.graphql.documents import Documents

MOST_TOKENS = 2_000
# Units: characters. Tokens can be long.
LONGEST_DOCUMENT = 100_000
LONGEST_TEXT = 10_000
MOST_OPERATIONS = 10
DEEPEST = 15
MOST_ALIASES = 30
MOST_DIRECTIVES = 50
MOST_NODES = 10_000
MOST_POINTS = 5_000
MOST_ERRORS = 100
# Units: seconds.
LONGEST_EXECUTION = 10.0
# What a document costs that is not looked into, because it breaks a limit or is no GraphQL.
UNREAD = 10
# What the library says of a document that the parser gave up on, and what we call it.
GIVEN_UP = {
    "Document contains more than": "TOO_MANY_TOKENS",
    "Document is nested too deeply": "TOO_DEEP",
}


# What operations of one document cost, by their name and the sizes of what they are given.
Prices = dict[tuple[object, ...], int]
MOST_PRICES = 50


class Limited(GraphQLError):
    """A document asks for more than is answered; says what of, and how much would be."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message, extensions={"code": code, **facts})
        self.code = code


# Those that are found before anything is executed, so that the whole request is refused.
CODES = (
    "TOO_MANY_TOKENS",
    "TOO_MANY_OPERATIONS",
    "TOO_DEEP",
    "TOO_MANY_ALIASES",
    "TOO_MANY_DIRECTIVES",
    "TOO_MANY_NODES",
    "TOO_COSTLY",
)
RATE_LIMITED, TIMEOUT = "RATE_LIMITED", "TIMEOUT"


@dataclass(frozen=True)
class Left:
    """What is left of a budget. Units: `reset` in seconds, after which all of it is there again,
    and `wait` in seconds, after which as much is there as was asked for; 0: it was."""

    budget: int
    remaining: int
    reset: float
    wait: float = 0.0


class Purse(Protocol):
    """The budget of whoever asks."""

    @property
    def budget(self) -> int:
        """Points a minute."""

    async def charge(self, points: int) -> Left:
        """Takes so many points, or none if there are not so many. Raises: RateLimited."""


class RateLimited(Limited):
    """The budget does not suffice now; says when it will."""

    def __init__(self, points: int, left: Left) -> None:
        super().__init__(
            RATE_LIMITED,
            f"This costs {points} points and {left.remaining} of {left.budget} a minute are left; "
            f"send it again in {left.wait:.0f} s.",
            retryAfter=round(left.wait),
        )
        self.left = left


@dataclass
class Bill:
    """What an operation costs, and what is left of the budget after it; None: nobody counts."""

    points: int
    limit: int
    left: Left | None = None

    def said(self) -> dict[str, object]:
        """As clients see it in `extensions.cost`."""
        said: dict[str, object] = {"requested": self.points, "limit": self.limit}
        if self.left is not None:
            said |= {
                "budget": self.left.budget,
                "remaining": self.left.remaining,
                "resetAt": (datetime.now(UTC) + timedelta(seconds=self.left.reset)).isoformat(
                    timespec="seconds"
                ),
            }
        return said


async def pay(purse: Purse | None, bill: Bill) -> None:
    """Has whoever asks pay for the operation, if they have a budget. Raises: Limited."""
    if bill.points > bill.limit:
        less = (
            "Ask for less at once" if bill.limit == MOST_POINTS else "Come with a key, or ask less"
        )
        raise Limited(
            "TOO_COSTLY",
            f"This costs {bill.points} points; an operation may cost {bill.limit}. {less}: smaller "
            "pages, fewer lists within lists.",
            requested=bill.points,
            limit=bill.limit,
        )

    if purse is not None:
        try:
            bill.left = await purse.charge(bill.points)
        except RateLimited as reason:
            bill.left = reason.left
            raise


def bill_for(purse: Purse | None, points: int) -> Bill:
    """What is to be paid. Nobody could ever pay for more than a whole budget."""
    return Bill(points, MOST_POINTS if purse is None else min(MOST_POINTS, purse.budget))


def check(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any],
    prices: Prices | None = None,
) -> int:
    """What the operation of that name costs, if all of the document is within bounds. `prices`
    has what was found of the document before.

    Raises: Limited, BadInput.
    """
    operations = _operations(document)
    if len(operations) > MOST_OPERATIONS:
        raise Limited(
            "TOO_MANY_OPERATIONS",
            f"The document has {len(operations)} operations; at most {MOST_OPERATIONS} are read.",
        )
    prices = {} if prices is None else prices
    asked = operation_name, *_sizes(operations, variables)
    try:
        for one in operations:
            _check_inputs(one, variables)
        if asked in prices:
            return prices[asked]
        counts = {id(one): Count(schema, document, variables) for one in operations}
        tallies = {id(one): counts[id(one)].of(one) for one in operations}
        visit(document, _Literals(any(_takes_texts(one) for one in operations)))
    except TooDeep:
        raise Limited("TOO_DEEP", _given_up("TOO_DEEP")) from None
    for tally in tallies.values():
        _check_tally(tally)
    words = sum(count.words for count in counts.values())
    if len(prices) >= MOST_PRICES:
        prices.clear()
    found = cost.points(tallies[id(_meant(document, operation_name))], words)
    return prices.setdefault(asked, found)


def known_price(
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any],
    prices: Prices,
) -> int | None:
    """What `check` found that the operation costs, with variables of these sizes."""
    return prices.get((operation_name, *_sizes(_operations(document), variables)))


def _sizes(
    operations: Sequence[OperationDefinitionNode], variables: Mapping[str, Any]
) -> Iterator[object]:
    """All of the variables that a price depends on: numbers, how long lists are, and what there
    is."""
    for one in operations:
        for definition in one.variable_definitions or ():
            name = definition.variable.name.value
            match variables.get(name, Undefined):
                case int() as value:
                    yield "number", value
                case list() as value:
                    yield "list", len(value)
                case None:
                    yield "nothing"
                case value:
                    yield "left out" if value is Undefined else "something"


def check_ever(schema: GraphQLSchema, text: str, document: DocumentNode, most: int) -> None:
    """Returns if each operation of the document can be carried out: there are variables with which
    it is within bounds. Units: `most` in points.

    Raises: Limited, BadInput.
    """
    if len(text) > LONGEST_DOCUMENT:
        raise Limited("TOO_MANY_TOKENS", _given_up("TOO_MANY_TOKENS"))
    for one in _operations(document):
        name = None if one.name is None else one.name.value
        points = check(schema, document, name, _least(one))
        if points > most:
            raise Limited(
                "TOO_COSTLY", f"It costs {points} points at least; an operation may cost {most}."
            )


def _least(operation: OperationDefinitionNode) -> dict[str, Any]:
    """The variables with which it asks for least: pages of one, lists without entries, and nothing
    that can be left out."""
    least: dict[str, Any] = {}
    for one in operation.variable_definitions or ():
        kind = print_ast(one.type)
        least[one.variable.name.value] = (
            1 if kind in ("Int", "Int!") else [] if kind.startswith("[") else None
        )
    return least


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]


def _meant(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation of that name, else the first one; there is one, else nothing is executed."""
    operations = _operations(document)
    named = (one for one in operations if one.name is not None and one.name.value == name)
    return next(named, operations[0])


def _check_tally(tally: Tally) -> None:
    for code, what, found, most in (
        ("TOO_DEEP", "levels of fields", tally.depth, DEEPEST),
        ("TOO_MANY_ALIASES", "aliases and fields named twice", tally.aliases, MOST_ALIASES),
        ("TOO_MANY_DIRECTIVES", "directives", tally.directives, MOST_DIRECTIVES),
        ("TOO_MANY_NODES", "fields with its fragments written out", tally.selections, MOST_NODES),
        ("TOO_MANY_NODES", "objects in its answer", tally.objects, MOST_NODES),
    ):
        if found > most:
            # Fragments within fragments can come to numbers of many digits.
            shown = f"{found:.0f}" if found < 10**9 else "more than a billion"
            raise Limited(code, f"The operation has {shown} {what}; at most {most} are answered.")


def _takes_texts(operation: OperationDefinitionNode) -> bool:
    """Whether its texts are checked here; those of a mutation are refused by the domain, with a
    type of its own."""
    return operation.operation is not OperationType.MUTATION


def _check_inputs(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> None:
    """Whatever is given, for whichever argument. Raises: BadInput, TooDeep."""
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        _check_type(definition.type, 0)
        _check_value(f"${name}", variables.get(name), _takes_texts(operation), 0)


def _check_type(kind: TypeNode, level: int) -> None:
    if level > DEEPEST:
        raise TooDeep
    if not hasattr(kind, "type"):
        return
    _check_type(kind.type, level + (not isinstance(kind, NonNullTypeNode)))


def _check_value(field: str, value: object, texts: bool, level: int) -> None:
    if level > DEEPEST:
        raise TooDeep
    match value:
        case str() if texts:
            _check_text(field, value)
        case list():
            _check_length(field, len(value))
            for one in value:
                _check_value(field, one, texts, level + 1)
        case dict():
            for name, one in value.items():
                _check_value(f"{field}.{name}", one, texts, level + 1)


def _check_text(field: str, value: str) -> None:
    if len(value) > LONGEST_TEXT:
        raise BadInput(f"{field} has {len(value)} characters; at most {LONGEST_TEXT} are taken.")
    if UNPRINTABLE.search(value):
        raise BadInput(f"{field} holds characters that cannot be stored, such as NUL.")


def _check_length(field: str, length: int) -> None:
    if length > MOST_IN_A_LIST:
        raise BadInput(f"{field} has {length} entries; at most {MOST_IN_A_LIST} are taken.")


class _Literals(Visitor):
    """Checks the values that are written in a document."""

    def __init__(self, texts: bool) -> None:
        super().__init__()
        self._texts = texts

    def enter_string_value(self, node: StringValueNode, *_: object) -> VisitorAction:
        if self._texts:
            _check_text("A text in the document", node.value)
        return None

    def enter_list_value(self, node: ListValueNode, *_: object) -> VisitorAction:
        _check_length("A list in the document", len(node.values))
        return None


class Bounded(SchemaExtension):
    """Keeps every operation within the limits, charges for it, and ends it when its time is up.

    The last of the extensions: one that failed after it had begun to execute would leave its clock
    ticking.
    """

    def on_operation(self) -> Iterator[None]:
        """Has the parser give up in time."""
        execution = self.execution_context
        long = execution.query is not None and len(execution.query) > LONGEST_DOCUMENT
        execution.parse_options["max_tokens"] = 0 if long else MOST_TOKENS
        yield

    async def on_parse(self) -> AsyncIterator[None]:
        """Says what the parser gave up on, and charges for what is not read further."""
        yield
        execution = self.execution_context
        for error in execution.pre_execution_errors or ():
            for said, code in GIVEN_UP.items():
                if said in error.message:
                    error.message = _given_up(code)
                    error.extensions = {"code": code}
            try:
                await self._charge(UNREAD)
            except Limited as reason:
                # What was raised here would not be told to clients of every protocol.
                error.message, error.extensions = reason.message, reason.extensions

    async def on_validate(self) -> AsyncIterator[None]:
        """Refuses before validation, which takes longer than all of this."""
        execution = self.execution_context
        refused = await self._refused()
        if refused is not None:
            execution.pre_execution_errors = [refused]
        yield

    async def _refused(self) -> GraphQLError | None:
        execution = self.execution_context
        document = execution.graphql_document
        assert document is not None, "it was parsed"
        known = execution.schema.documents.of(document)  # type: ignore[attr-defined]
        price, refused = UNREAD, None
        try:
            price = check(
                execution.schema._schema,
                document,
                execution.operation_name,
                execution.variables or {},
                None if known is None else known.prices,
            )
        except GraphQLError as reason:
            refused = reason
        try:
            await self._charge(price)
        except Limited as reason:
            return reason
        return refused

    async def _charge(self, points: int) -> None:
        context: Context = self.execution_context.context
        observed_cost(points)
        if context.paid is not None:
            context.bill = context.paid
            return
        context.bill = bill_for(context.purse, points)
        await pay(context.purse, context.bill)

    async def on_execute(self) -> AsyncIterator[None]:
        """Ends the execution, and what it has PostgreSQL do, when its time is up."""
        context: Context = self.execution_context.context
        try:
            async with asyncio.timeout(context.patience) as deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            context.abandon()
            raise Limited(
                TIMEOUT,
                f"This took more than {context.patience:g} s and was ended; ask for less at once. "
                "A change may or may not have been made: send it again with the same "
                "idempotency key.",
            ) from None

    def get_results(self) -> dict[str, Any]:
        """What it costs, but for subscriptions, whose results go to many."""
        execution = self.execution_context
        bill: Bill | None = execution.context.bill
        if bill is None or _is_subscription(execution.graphql_document, execution.operation_name):
            return {}
        return {"cost": bill.said()}


def _given_up(code: str) -> str:
    if code == "TOO_DEEP":
        return f"The document is nested too deeply; fields may lie {DEEPEST} deep."
    return (
        f"The document is too long: at most {MOST_TOKENS} tokens and {LONGEST_DOCUMENT} characters"
        " are read. Give texts and lists as variables."
    )


def _is_subscription(document: DocumentNode | None, name: str | None) -> bool:
    return document is not None and _meant(document, name).operation is OperationType.SUBSCRIPTION


# For subscriptions that share their execution, of which each is paid for.


async def pay_alone(
    purse: Purse,
    schema: GraphQLSchema,
    documents: "Documents",
    query: str,
    operation_name: str | None,
    variables: Mapping[str, Any],
) -> None:
    """Has whoever subscribes pay; what breaks a limit is found when it is executed.

    Raises: Limited.
    """
    try:
        points = check(schema, documents.parsed(query), operation_name, variables)
    except GraphQLError:
        points = UNREAD
    observed_cost(points)
    await pay(purse, bill_for(purse, points))
