"""Equal subscriptions share one execution: each change is executed and written once for them all.

Those who ask for history first get it by an execution of their own, and are then with the others;
http/live.py has how a client's connection takes what is sent here.
"""

import asyncio
import contextvars
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    parse,
    value_from_ast_untyped,
    visit,
)
from strawberry.schema import BaseSchema
from strawberry.types.graphql import OperationType as Allowed

from matchgraph.domain.role import Role
from matchgraph.eventstore.errors import Unavailable
from matchgraph.eventstore.tasks import stop
from matchgraph.graphql.context import Context, Course
from matchgraph.graphql.scalars import BadInput, _read_position
from matchgraph.graphql.subscription import read_cursor
from matchgraph.projections.changes import CATALOG, RANKS, Mark
from matchgraph.queries.feed import Feeds, Hub

log = logging.getLogger(__name__)

MOST_TOKENS = 2_000
# Longer documents are not looked at, so they are not shared.
LONGEST_QUERY = 10_000
# So many messages of each execution, and so many bytes of them, are kept for who comes back soon.
MOST_KEPT, MOST_BYTES_KEPT = 200, 65_536
# After so many messages others get a turn.
TURN = 500
FEEDS = {"rankChanged": RANKS.name, "catalogChanged": CATALOG.name}


@dataclass(frozen=True)
class Asked:
    """A subscription as it was asked for. What it shows depends on the role of who asks, and on
    nothing else of theirs."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any]
    role: Role


@dataclass(frozen=True)
class Plan:
    """What can be said of a subscription without executing it. `name` is what its client calls it.

    `resume` has the arguments that say where to begin. Of the variables, those in `own` say just
    that, and those in `required` of them have to be given.
    """

    feed: str
    name: str | None
    resume: Mapping[str, ValueNode]
    own: frozenset[str]
    required: frozenset[str]
    defaults: Mapping[str, Any]

    def resumes(self, asked: Asked) -> bool:
        """Whether history is asked for."""
        return bool(self._resume(asked))

    def begin(self, asked: Asked) -> Mark | None:
        """Where it begins; None for what only its execution can judge."""
        try:
            match self._resume(asked):
                case {"after": after, **rest} if not rest:
                    return Mark.behind(_read_position(after))
                case {"cursor": str(cursor), **rest} if not rest:
                    return read_cursor(self.feed, cursor)
        except BadInput:
            pass
        return None

    def _resume(self, asked: Asked) -> dict[str, Any]:
        """The arguments that say where to begin, with what they say."""
        variables = {**self.defaults, **asked.variables}
        said = {name: value_from_ast_untyped(node, variables) for name, node in self.resume.items()}
        return {name: value for name, value in said.items() if value not in (None, Undefined)}

    def is_complete(self, asked: Asked) -> bool:
        """Whether all that is left out when it is compared with others is in order."""
        return all(asked.variables.get(name) is not None for name in self.required)

    def key(self, asked: Asked) -> tuple[object, ...]:
        """What is equal for those that get the same. Raises: RecursionError."""
        rest = {name: said for name, said in asked.variables.items() if name not in self.own}
        # Not msgspec: there NaN is written as null, and half of a character not at all.
        return asked.query, asked.operation_name, json.dumps(rest, sort_keys=True), asked.role


def plan(asked: Asked) -> Plan | None:
    """None for what is no subscription, is not in order, or is too unusual to be shared; its
    execution says what it is."""
    if len(asked.query) > LONGEST_QUERY or not isinstance(asked.operation_name, str | None):
        return None
    found = _planned(asked.query, asked.operation_name)
    if found is None or not found.is_complete(asked):
        return None
    try:
        found.key(asked)
    except RecursionError:
        return None
    return found


@lru_cache(maxsize=500)
def _planned(query: str, operation_name: str | None) -> Plan | None:
    try:
        document = parse(query, max_tokens=MOST_TOKENS)
    except (GraphQLError, RecursionError):
        return None
    operation = _subscription(document, operation_name)
    if operation is None or len(operation.selection_set.selections) != 1:
        return None
    (field,) = operation.selection_set.selections
    if not isinstance(field, FieldNode) or field.directives or field.name.value not in FEEDS:
        return None
    resume = {
        one.name.value: one.value
        for one in field.arguments or ()
        if one.name.value in ("after", "cursor")
    }
    mentioned = _mentioned(document)
    # Once in its definition and once here.
    own = {
        node.name.value
        for node in resume.values()
        if isinstance(node, VariableNode) and mentioned[node.name.value] == 2
    }
    return Plan(
        feed=FEEDS[field.name.value],
        name=operation.name.value if operation.name else None,
        resume=resume,
        own=frozenset(own),
        required=frozenset(
            one.variable.name.value
            for one in operation.variable_definitions or ()
            if isinstance(one.type, NonNullTypeNode) and one.variable.name.value in own
        ),
        defaults={
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        },
    )


def _subscription(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    meant = [one for one in operations if one.name is not None and one.name.value == name]
    if name is None:
        meant = operations
    if len(meant) != 1 or meant[0].operation is not OperationType.SUBSCRIPTION:
        return None
    return meant[0]


def _mentioned(document: DocumentNode) -> Mapping[str, int]:
    """How often each variable is named."""
    found: dict[str, int] = defaultdict(int)

    class Variables(Visitor):
        def enter_variable(self, node: VariableNode, *_: object) -> None:
            found[node.name.value] += 1

    visit(document, Variables())
    return found


class Form(NamedTuple):
    """How the payload of a result becomes a message; members with equal forms get equal bytes."""

    write: Callable[[bytes, bytes], bytes]
    id: bytes

    def message(self, payload: bytes) -> bytes:
        """The message with that payload."""
        return self.write(self.id, payload)


class Outlet(Protocol):
    """A client's connection, as those who send to it know it. Nothing here waits."""

    def send(self, member: "Member", mark: Mark, message: bytes) -> None:
        """Sends a change, now or later, or ends the member."""

    def fail(self, member: "Member", errors: Sequence[Mapping[str, Any]]) -> None:
        """Ends the member with these errors, behind all that was sent before."""

    def complete(self, member: "Member") -> None:
        """Ends the member, behind all that was sent before."""


class Member:
    """One subscriber. `at` is the change that its connection took last."""

    __slots__ = ("at", "broadcast", "feed", "form", "outlet")

    def __init__(self, outlet: Outlet, form: Form, feed: str) -> None:
        self.outlet = outlet
        self.form = form
        self.feed = feed
        self.at = Mark.behind(0)
        self.broadcast: Broadcast | None = None

    def leave(self) -> None:
        """Gets nothing more."""
        if self.broadcast is not None:
            self.broadcast.remove(self)


class Failed(NamedTuple):
    """A subscription could not be carried out, or not any longer."""

    errors: Sequence[Mapping[str, Any]]


WENT_WRONG = GraphQLError("Something went wrong here.", extensions={"code": "INTERNAL"})
INTERNAL = Failed([WENT_WRONG.formatted])


class Result(NamedTuple):
    """What a change is answered with, as JSON."""

    mark: Mark
    payload: bytes


class Recent:
    """The last results of an execution: all that came behind `since`."""

    def __init__(self, since: Mark | None) -> None:
        self.since = since
        self._results: deque[Result] = deque()
        self._bytes = 0

    def add(self, result: "Result") -> None:
        """Keeps it, in place of the oldest if need be."""
        if self.since is None:
            # What came before is not known.
            self.since = result.mark
            return
        self._results.append(result)
        self._bytes += len(result.payload)
        while len(self._results) > MOST_KEPT or self._bytes > MOST_BYTES_KEPT:
            oldest = self._results.popleft()
            self._bytes -= len(oldest.payload)
            self.since = oldest.mark

    def extend(self, since: Mark, results: Iterable["Result"]) -> None:
        """Keeps also what came between that mark and its own, if there is room for all of it."""
        if self.since is None or since >= self.since:
            return
        earlier = [result for result in results if result.mark <= self.since]
        size = sum(len(result.payload) for result in earlier)
        if len(self._results) + len(earlier) <= MOST_KEPT and self._bytes + size <= MOST_BYTES_KEPT:
            self._results.extendleft(reversed(earlier))
            self._bytes += size
            self.since = since

    def behind(self, mark: Mark) -> "list[Result] | None":
        """What came behind that mark; None: not all of it is kept."""
        if self.since is None or mark < self.since:
            return None
        return [result for result in self._results if result.mark > mark]


class Broadcast:
    """One execution and those who get its results."""

    def __init__(
        self, sharing: "Sharing", key: tuple[object, ...], start: Mark | None, feed: str
    ) -> None:
        self.feed = feed
        self._sharing = sharing
        self._key = key
        self._start = start
        self.recent = Recent(start)
        self._members: dict[Form, dict[Member, None]] = {}
        # Those who have had what comes up to that mark.
        self._joining: dict[Member, Mark] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, member: Member, at: Mark) -> None:
        """The member gets what comes behind that mark."""
        member.broadcast = self
        member.at = at
        self._joining[member] = at

    def remove(self, member: Member) -> None:
        """The member gets nothing more; without any, the execution ends."""
        member.broadcast = None
        self._joining.pop(member, None)
        members = self._members.get(member.form)
        if members is not None:
            members.pop(member, None)
            if not members:
                del self._members[member.form]
        if not self._members and not self._joining:
            self._sharing.forget(self._key, self)
            if self._task is not None:
                self._task.cancel()

    def run(self, asked: Asked) -> asyncio.Task[None]:
        """Executes it, from `start` on or from what is new."""
        course = Course(start=self._start)
        # It works for everybody who shares it, not for the operation that happens to come first.
        self._task = contextvars.Context().run(
            asyncio.create_task, self._run(asked, course), name="broadcast"
        )
        return self._task

    async def _run(self, asked: Asked, course: Course) -> None:
        failure: Failed | None = None
        try:
            async with aclosing(self._sharing.execute(asked, course)) as results:
                async for outcome in results:
                    if isinstance(outcome, Failed):
                        failure = outcome
                        break
                    self.recent.add(outcome)
                    await self._send(*outcome)
        except Exception:
            log.exception("a subscription failed")
            failure = INTERNAL
        # From here on nobody's leaving ends this task.
        self._task = None
        for member in self._everybody():
            member.leave()
            if failure is None:
                member.outlet.complete(member)
            else:
                member.outlet.fail(member, failure.errors)

    @property
    def size(self) -> int:
        """How many get its results."""
        return len(self._joining) + sum(map(len, self._members.values()))

    def _everybody(self) -> list[Member]:
        return [*self._joining, *(one for members in self._members.values() for one in members)]

    async def _send(self, mark: Mark, payload: bytes) -> None:
        for member, at in tuple(self._joining.items()):
            if at < mark:
                del self._joining[member]
                self._members.setdefault(member.form, {})[member] = None
        for form, members in tuple(self._members.items()):
            message = form.message(payload)
            everybody = tuple(members)
            for start in range(0, len(everybody), TURN):
                for member in everybody[start : start + TURN]:
                    if member.broadcast is self:
                        member.outlet.send(member, mark, message)
                # Others get a turn; who leaves meanwhile is not sent it.
                await asyncio.sleep(0)


class Sharing:
    """The subscriptions of a process."""

    def __init__(
        self, schema: BaseSchema, feeds: Feeds, new_context: Callable[[Asked], Context]
    ) -> None:
        self._schema = schema
        self._hubs: dict[str, Hub[Any]] = {
            RANKS.name: feeds.ranks,
            CATALOG.name: feeds.catalog,
        }
        self._new_context = new_context
        self._broadcasts: dict[tuple[object, ...], Broadcast] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Knows from here on how far the feeds have come, if the database answers: what is new
        begins there for those who join."""
        with suppress(Unavailable):
            for hub in self._hubs.values():
                await hub.start()

    def join(self, asked: Asked, plan: Plan, member: Member, at: Mark | None = None) -> None:
        """The member gets every change behind that mark, which is not before the last one handed
        out; without it, every one that is handed out from now on."""
        key = plan.key(asked)
        start = self._hubs[plan.feed].at if at is None else at
        broadcast = self._broadcasts.get(key)
        if broadcast is None:
            broadcast = self._broadcasts[key] = Broadcast(self, key, start, plan.feed)
            task = broadcast.run(asked)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        broadcast.add(member, start or Mark.behind(0))

    def rejoin(self, asked: Asked, plan: Plan, member: Member) -> bool:
        """The member gets what it missed since it was here, and then what comes, without any
        execution of its own; False where there is more to it."""
        begin, reached = plan.begin(asked), self._hubs[plan.feed].at
        broadcast = self._broadcasts.get(plan.key(asked))
        if begin is None or reached is None or begin > reached or broadcast is None:
            return False
        missed = broadcast.recent.behind(begin)
        if missed is None:
            return False
        broadcast.add(member, missed[-1].mark if missed else begin)
        member.at = begin
        for mark, payload in missed:
            if member.broadcast is broadcast:
                member.outlet.send(member, mark, member.form.message(payload))
        return True

    def forget(self, key: tuple[object, ...], broadcast: Broadcast) -> None:
        """Nobody joins that one any longer."""
        if self._broadcasts.get(key) is broadcast:
            del self._broadcasts[key]

    async def follow(
        self, asked: Asked, plan: Plan, member: Member
    ) -> AsyncGenerator[Result | Failed, None]:
        """The changes that come before those that the member shares with others, which it gets
        by itself from then on."""

        begin = plan.begin(asked)
        sent: list[Result] = []

        def join(at: Mark) -> bool:
            self.join(asked, plan, member, at)
            assert member.broadcast is not None, "it has joined"
            if begin is not None and len(sent) <= MOST_KEPT:
                member.broadcast.recent.extend(begin, sent)
            return True

        async with aclosing(self.execute(asked, Course(on_live=join))) as results:
            async for outcome in results:
                if isinstance(outcome, Result) and len(sent) <= MOST_KEPT:
                    sent.append(outcome)
                yield outcome

    async def execute(self, asked: Asked, course: Course) -> AsyncGenerator[Result | Failed, None]:
        """The results of one execution; it ends after a failure."""
        context = self._new_context(asked)
        context.course = course
        stream: Any = await self._schema.stream(
            asked.query,
            variable_values=dict(asked.variables),
            context_value=context,
            operation_name=asked.operation_name,
            allowed_operation_types=(Allowed.SUBSCRIPTION,),
        )
        async with aclosing(stream) as results:
            async for result in results:
                if result.data is None and result.errors and course.at is None:
                    yield Failed([error.formatted for error in result.errors])
                    return
                assert course.at is not None, "a result is that of a change"
                yield Result(course.at, _payload(result))

    def members(self) -> dict[str, int]:
        """How many follow each feed."""
        found = dict.fromkeys(self._hubs, 0)
        for broadcast in self._broadcasts.values():
            found[broadcast.feed] += broadcast.size
        return found

    async def close(self) -> None:
        """Sends nothing more."""
        for task in tuple(self._tasks):
            await stop(task)


def _payload(result: Any) -> bytes:
    said: dict[str, Any] = {"data": result.data}
    if result.extensions:
        said["extensions"] = result.extensions
    if not result.errors:
        return msgspec.json.encode(said)
    said["errors"] = [error.formatted for error in result.errors]
    return written(said)


def written(said: object) -> bytes:
    """JSON of something that may have what a client said in it, half characters included."""
    return json.dumps(said, separators=(",", ":")).encode()
