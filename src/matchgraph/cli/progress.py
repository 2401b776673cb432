"""How long work shows itself: on a terminal as a bar, elsewhere as lines."""

import time
from collections.abc import Callable

from rich.progress import ProgressColumn, Task
from rich.text import Text

# Units: seconds between lines.
EVERY = 10.0


class RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """What stands in the column."""
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


class Lines:
    """A line from time to time: how far, how fast, how long yet."""

    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self._title = title
        self._say = say
        self._began: tuple[float, int] | None = None
        self._next = time.monotonic() + EVERY

    def tell(self, done: int, total: int) -> None:
        """Says it, if it is time to."""
        now = time.monotonic()
        if self._began is None:
            # What was done before, by a try that was interrupted, does not count.
            self._began = now, done
        since, before = self._began
        if now < self._next or done == before:
            return
        self._next = now + EVERY
        rate = (done - before) / (now - since)
        self._say(
            f"{self._title}: {done:,} of {total:,}, {rate:,.0f}/s,"
            f" {(total - done) / rate:,.0f} s left"
        )
