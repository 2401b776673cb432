"""What is logged again and again is logged some times, and counted."""

import logging

from matchgraph.log_limit import Limit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept(logging.Handler):
    """A log that is a list."""

    def __init__(self, limit: Limit) -> None:
        super().__init__()
        self.addFilter(limit)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def logger(handler: logging.Handler) -> logging.Logger:
    made = logging.Logger("test")
    made.addHandler(handler)
    return made


def test_of_many_records_of_one_place_the_first_go_out_and_the_last_of_them_says_so() -> None:
    kept = Kept(Limit(most=3, seconds=10, clock=Clock()))
    log = logger(kept)
    for number in range(100):
        log.error("error %s", number)
    assert kept.lines == [
        "error 0",
        "error 1",
        "error 2 (more like this within 10 s are left out)",
    ]


def test_after_a_while_it_goes_on_and_says_how_many_were_left_out() -> None:
    clock = Clock()
    kept = Kept(Limit(most=2, seconds=10, clock=clock))
    log = logger(kept)
    for now in (0, 1, 2, 3, 9.9, 10, 11):
        clock.now = now
        log.error("at %s", now)
    assert kept.lines == [
        "at 0",
        "at 1 (more like this within 10 s are left out)",
        "at 10 (3 more like this were left out before)",
        "at 11 (more like this within 10 s are left out)",
    ]


def test_one_place_does_not_silence_another() -> None:
    kept = Kept(Limit(most=1, seconds=10, clock=Clock()))
    log = logger(kept)
    for _ in range(5):
        log.error("here")
    log.error("there")
    assert [line.partition(" ")[0] for line in kept.lines] == ["here", "there"]
