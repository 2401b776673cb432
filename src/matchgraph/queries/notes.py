"""What an answer rests on, noted while it is made.

Whatever reads says before what it is about to read. What nobody said anything of makes the notes
incomplete, so that no answer is kept by mistake because a field was forgotten here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

# Whether what is being read now is noted. Each task has its own.
_noted: ContextVar[bool] = ContextVar("noted", default=False)


class Notes:
    """The marks of everything that one answer was made of (see queries/touched.py), and whether
    that is all of it. `position` is where all that was read stood; None where that is not known.
    `era` says by which read models of which history.

    They are `complete` from the start only where somebody wants to have them.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self.marks: set[str] = set()
        self.complete = complete
        self.lasting = True
        self.position: int | None = None
        self.era = ""
        self._oldest = inf

    @contextmanager
    def of(self, *marks: str) -> Iterator[None]:
        """What is read in the block is of these marks."""
        self.marks.update(marks)
        token = _noted.set(True)
        try:
            yield
        finally:
            _noted.reset(token)

    def add(self, marks: Iterable[str]) -> None:
        """Notes what was found to belong to what was read."""
        self.marks.update(marks)

    def read_at(self, position: int) -> None:
        """Something that was read stood there, and not where the read models do."""
        self._oldest = min(self._oldest, position)

    def stood(self, position: int, era: str) -> None:
        """The read models stood there in all that was read of them."""
        self.position = int(min(position, self._oldest))
        self.era = era

    def read(self) -> None:
        """Something is read."""
        if not _noted.get():
            self.complete = False

    def pass_by(self) -> None:
        """The answer is right now, and nothing will say when it is not any more."""
        self.lasting = False

    @property
    def keepable(self) -> bool:
        """Whether the answer may be given again as long as nothing touches its marks."""
        return self.complete and self.lasting

    def give_up(self) -> None:
        """The answer is made of something that cannot be noted."""
        self.complete = False
