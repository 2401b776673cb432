"""Coroutines that begin at once behave as those that begin later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import Any

import pytest

from matchgraph.eventstore.eager import Ended, begin, each, owned, shared, shortly

NOTED: ContextVar[str] = ContextVar("noted", default="nothing")


async def told(value: Any, *waits: "asyncio.Future[None]") -> Any:
    for wait in waits:
        await wait
    return value


def later() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


async def test_what_waits_for_nothing_has_ended_at_once() -> None:
    begun = begin(told(3))
    assert isinstance(begun, Ended)
    assert begun.value == await begun == 3
    assert await each([told(1), told(2)]) == [1, 2]


async def test_what_waits_is_carried_on_by_a_task() -> None:
    first, second = later(), later()
    begun = begin(told(3, first, second))
    assert isinstance(begun, asyncio.Task)
    for wait in (first, second):
        assert not begun.done()
        wait.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await begun == 3


async def test_many_wait_for_the_same() -> None:
    wait = later()
    work = shared(told(3, wait))
    begun = [begin(told(number, wait)) for number in range(3)]
    wait.set_result(None)
    assert [await one for one in begun] == [0, 1, 2]
    assert [await work, await work] == [3, 3]


async def test_what_was_waited_for_may_have_come_before_the_task_begins() -> None:
    wait = later()
    begun = begin(told(3, wait))
    wait.set_result(None)
    assert await begun == 3


async def test_failures_and_cancellations_arrive() -> None:
    async def fail(*waits: "asyncio.Future[None]") -> None:
        await told(None, *waits)
        raise LookupError

    with pytest.raises(LookupError):
        begin(fail())
    wait = later()
    begun = begin(fail(wait))
    wait.set_result(None)
    with pytest.raises(LookupError):
        await begun
    wait = later()
    begun = begin(told(3, wait))
    assert isinstance(begun, asyncio.Task)
    await asyncio.sleep(0)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    assert wait.cancelled()


async def test_what_one_notes_of_its_own_others_do_not_see() -> None:
    @asynccontextmanager
    async def noting(what: str) -> AsyncIterator[None]:
        token = NOTED.set(what)
        try:
            yield
        finally:
            NOTED.reset(token)

    async def note(wait: "asyncio.Future[None]") -> tuple[str, str]:
        async with noting("something"):
            await wait
            within = NOTED.get()
        return within, NOTED.get()

    wait = later()
    begun = begin(note(wait))
    assert NOTED.get() == "nothing"
    wait.set_result(None)
    assert await begun == ("something", "nothing")


async def test_a_timeout_ends_what_is_owned_and_not_whoever_began_it() -> None:
    async def patient() -> str:
        async with asyncio.timeout(0.01):
            await later()
        return "never"

    async def asks() -> str:
        try:
            return await owned(patient())
        except TimeoutError:
            return "in time"

    begun = begin(asks())
    await asyncio.sleep(0.05)
    assert await begun == "in time"
    assert await asks() == "in time", "where a task of its own asks"


async def test_much_work_leaves_the_loop_to_others() -> None:
    assert await shortly(1, get_ident) == get_ident()
    assert await shortly(10**6, get_ident) != get_ident()
