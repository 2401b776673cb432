"""Keeps what fails again and again from filling the disk with words about it."""

import logging
import threading
import time
from collections.abc import Callable

# So many records of one place in the code go out in so many seconds.
MOST, SECONDS = 20, 10.0


class Limit(logging.Filter):
    """Lets the first records of each place in the code through, and says how many it did not.

    A thousand requests that fail alike are one fact, which twenty traces tell as well; how often
    it happens is for the metrics. To be put on a handler, so that it hears of every logger.
    """

    def __init__(
        self,
        *,
        most: int = MOST,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        # By file and line: since when it is counted, and how often it was said since.
        self._said: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record goes out; what it says of others is added to it."""
        place, now = (record.pathname, record.lineno), self._clock()
        with self._lock:
            since, count = self._said.get(place, (now, 0))
            left_out = 0
            if now - since >= self._seconds:
                left_out = max(0, count - self._most)
                since, count = now, 0
            self._said[place] = (since, count + 1)
        if count >= self._most:
            return False
        if left_out:
            _add(record, f"{left_out} more like this were left out before")
        if count == self._most - 1:
            _add(record, f"more like this within {self._seconds:g} s are left out")
        return True


def _add(record: logging.LogRecord, words: str) -> None:
    record.msg, record.args = f"{record.getMessage()} ({words})", None
