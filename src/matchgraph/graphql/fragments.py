"""What operations answer of single artifacts, as finished JSON, kept until the artifact is touched.

Artifacts are few and answers about several of them are many: of ten thousand artifacts fifty
million pairs can be compared. A fragment is what one selection of a document says of one artifact;
answers are put together of them (graphql/compiled.py). As a dossier, it is of the position at which
it was made, and right at any other up to which nothing has touched its marks.
"""

from collections import OrderedDict
from collections.abc import Hashable
from functools import cached_property
from typing import NamedTuple

from matchgraph.graphql.context import Context, View
from matchgraph.graphql.loaders import KeptLoaders, Loaders
from matchgraph.queries.dossier import Reading
from matchgraph.queries.notes import Notes
from matchgraph.queries.snapshot import Snapshot

# Units: bytes; what an entry takes beside its JSON, about.
OVERHEAD = 600


class Fragment(NamedTuple):
    """The JSON, and what it rests on."""

    said: bytes
    position: int
    era: str
    marks: frozenset[str]


class Fragments:
    """The fragments that a process keeps, those asked for least recently given up first."""

    def __init__(self, *, most: int) -> None:
        """Units: `most` in bytes."""
        self._most = most
        self._kept: OrderedDict[Hashable, Fragment] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, reading: Reading) -> Fragment | None:
        """The fragment, if it is right where that is read."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not reading.holds(kept.position, kept.era, kept.marks):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: Hashable, fragment: Fragment) -> None:
        """Keeps the fragment."""
        self._drop(key)
        self._kept[key] = fragment
        self._size += OVERHEAD + len(fragment.said)
        while self._size > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= OVERHEAD + len(gone.said)


def within(context: Context, notes: Notes) -> Context:
    """The context in which a fragment is made, which notes what that one rests on. It shares what
    is read. Whatever comes from elsewhere than dossiers is read for all artifacts of the answer at
    once, and nobody knows what of it is in the fragment, which is not kept then."""
    return context.seeing(_Part(context.now, notes), notes)


class _Part(View):
    """What a fragment is answered from: what all of the answer is."""

    def __init__(self, whole: View, notes: Notes) -> None:
        self._whole = whole
        self._notes = notes
        self.boards = whole.boards
        self.reading = whole.reading

    @property
    def snapshot(self) -> Snapshot:  # type: ignore[override]
        """That of the whole."""
        self._notes.give_up()
        return self._whole.snapshot

    @cached_property
    def loaders(self) -> Loaders:
        """Those of the whole."""
        loaders = self._whole.loaders
        return loaders.part(self._notes) if isinstance(loaders, KeptLoaders) else loaders
