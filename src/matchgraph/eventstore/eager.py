"""Coroutines that begin at once, and take no turn of the event loop where nothing has to be waited
for, as tasks can from Python 3.12 on (asyncio.eager_task_factory)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# Whether what runs is carried out by the task of somebody else.
_is_guest: ContextVar[bool] = ContextVar("is_guest", default=False)
# Units: pairs of capabilities, of which a thousand are compared in about a millisecond.
MOST_AT_ONCE = 1_000


class Ended(Generic[T]):
    """A coroutine that has come to its end, with what it returned."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, T]:
        return self.value
        yield  # which makes it what `await` takes


def begin(coroutine: Coroutine[Any, Any, T]) -> "Ended[T] | asyncio.Task[T]":
    """Carries the coroutine out up to where it has to wait; a task of its own does the rest. Until
    then it is part of the task that is running, so that whatever has to be ended in time is
    `owned`. Raises: what it raises up to there."""
    context = copy_context()
    context.run(_is_guest.set, True)
    try:
        waiting = context.run(coroutine.send, None)
    except StopIteration as end:
        return Ended(end.value)
    if asyncio.isfuture(waiting):
        # Said to whoever carries it on, who is another one now, as may be those who wait for the
        # same.
        waiting._asyncio_future_blocking = False
    return asyncio.get_running_loop().create_task(_go_on(coroutine, waiting), context=context)


async def each(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What they return. Raises: what one of them raises."""
    begun: list[Ended[T] | asyncio.Task[T]] = []
    waiting: list[asyncio.Task[T]] = []
    try:
        for one in coroutines:
            begun.append(begin(one))
            if isinstance(begun[-1], asyncio.Task):
                waiting.append(begun[-1])
    except Exception:
        # Somebody has to hear how the others end.
        await asyncio.gather(*waiting, return_exceptions=True)
        raise
    if waiting:
        await asyncio.gather(*waiting)
    return [one.value if isinstance(one, Ended) else one.result() for one in begun]


def shared(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """What it returns, for as many as await it."""
    return begin(coroutine)


async def shortly(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """What the work comes to, done in a thread if that takes so long that others would notice:
    longer, the larger its size. Handing it over takes some hundred microseconds itself."""
    if size > MOST_AT_ONCE:
        return await asyncio.to_thread(work, *arguments)
    return work(*arguments)


async def owned(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns, carried out by a task that is its own or of nobody else: a timeout ends the
    task that it begins in."""
    if _is_guest.get():
        return await asyncio.create_task(_own(coroutine))
    return await coroutine


async def _own(coroutine: Coroutine[Any, Any, T]) -> T:
    _is_guest.set(False)
    return await coroutine


async def _go_on(coroutine: Coroutine[Any, Any, T], waiting: Any) -> T:
    _is_guest.set(False)
    return await _Rest(coroutine, waiting)


class _Rest(Generic[T]):
    """What is left of a coroutine that waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, waiting = self._coroutine, self._waiting
        if asyncio.isfuture(waiting):
            waiting._asyncio_future_blocking = True
        try:
            while True:
                try:
                    sent = yield waiting
                except BaseException as reason:
                    waiting = coroutine.throw(reason)
                else:
                    waiting = coroutine.send(sent)
        except StopIteration as end:
            returned: T = end.value
            return returned
