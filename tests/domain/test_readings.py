"""Many ways of saying the same: readings.txt has what is read, left_alone.txt what is not.

In readings.txt a line that begins with "=" says what the needs below it are read as; what of a need
is left for search stands behind an arrow.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from matchgraph.domain.understanding import understand
from tests.domain.test_understanding import TODAY, WORDS

HERE = Path(__file__).parent


def read() -> Iterator[tuple[str, str, str]]:
    """Each need with what is left of it and what it is read as."""
    sentences = ""
    for line in (HERE / "readings.txt").read_text().splitlines():
        if line.startswith("= "):
            sentences = line.removeprefix("= ")
        else:
            need, _, rest = line.partition(" -> ")
            yield need, rest, sentences


READ = list(read())
LEFT = (HERE / "left_alone.txt").read_text().splitlines()


@pytest.mark.parametrize(("need", "rest", "sentences"), READ, ids=[said[0] for said in READ])
def test_however_it_is_said_it_is_read_alike(need: str, rest: str, sentences: str) -> None:
    understood = understand(need, WORDS, today=TODAY)
    assert "; ".join(reading.sentence for reading in understood.readings) == sentences
    assert understood.rest == rest


@pytest.mark.parametrize("need", LEFT)
def test_what_only_looks_like_a_condition_is_left_alone(need: str) -> None:
    understood = understand(need, WORDS, today=TODAY)
    assert understood.readings == ()
    assert understood.rest == need
