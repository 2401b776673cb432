"""Ending the tasks that run for as long as something is open."""

import asyncio


async def stop(task: asyncio.Task[None]) -> None:
    """Returns when the task has ended, which it was told to; its outcome is nobody's concern."""
    # A cancellation that arrives together with a reply or a lost connection can get lost in the
    # libraries that it passes through, so once may not be enough.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
    if not task.cancelled():
        task.exception()
