"""Places and bands, counted for a page of moves at once."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matchgraph.projections.rank_order import APART, Order, Stood, tally

# Standing, low and high, or None for who is not on offer.
Stands = tuple[int, int, int] | None


class Plain:
    """The same order, moved one by one."""

    def __init__(self, kinds: list[int], ids: list[bytes]) -> None:
        self.kinds, self.ids = kinds, ids
        self.there: dict[int, tuple[int, int, int]] = {}

    def told(self, slot: int, stands: Stands) -> tuple[int, int]:
        """The place and the band of that one among those who are there."""
        if stands is None:
            return 0, 0
        others = [
            (-other[0], self.ids[number], other[1])
            for number, other in self.there.items()
            if self.kinds[number] == self.kinds[slot]
        ]
        own = -stands[0], self.ids[slot]
        return (
            1 + sum((standing, id) < own for standing, id, _ in others),
            1 + sum(low > stands[2] for _, _, low in others),
        )

    def move(self, slot: int, to: Stands) -> tuple[int, int, int, int]:
        """Where it was by then, and where it came to."""
        before = self.told(slot, self.there.get(slot))
        self.there.pop(slot, None)
        if to is not None:
            self.there[slot] = to
        return *before, *self.told(slot, to)


def columns(stands: list[Stands]) -> Stood:
    numbers = np.array([one or (0, 0, 0) for one in stands], np.int32).reshape(-1, 3)
    there = np.array([one is not None for one in stands], np.bool_)
    return Stood(there, *numbers.T)


def stand(random: Random, levels: int) -> Stands:
    if random.random() < 0.2:
        return None
    standing = random.randrange(levels)
    return standing, max(0, standing - random.randrange(levels)), standing + random.randrange(9)


def compare(seed: int, artifacts: int, levels: int, pages: list[int]) -> None:
    """Moves artifacts of three kinds about, a page of moves at a time."""
    random = Random(seed)
    kinds = [random.randrange(3) for _ in range(artifacts)]
    # Ids end and begin with zeros, too.
    ids = [random.choice([random.randbytes(16), bytes(8) + random.randbytes(8)]) for _ in kinds]
    ids = [id if n % 3 else n.to_bytes(2, "big") + bytes(14) for n, id in enumerate(ids)]
    plain = Plain(kinds, ids)
    for slot in range(artifacts):
        plain.move(slot, stand(random, levels))
    known = list(plain.there)
    order = Order(
        np.array([kinds[slot] for slot in known], np.int16),
        np.array([ids[slot] for slot in known], "V16"),
        np.array([plain.there[slot][0] for slot in known], np.int32),
        np.array([plain.there[slot][1] for slot in known], np.int32),
    )
    for page in pages:
        slots = [random.randrange(artifacts) for _ in range(page)]
        was, now, right = list[Stands](), list[Stands](), list[tuple[int, int, int, int]]()
        for slot in slots:
            was.append(plain.there.get(slot))
            # Some move nowhere: to the very same place.
            now.append(was[-1] if random.random() < 0.1 else stand(random, levels))
            right.append(plain.move(slot, now[-1]))
        found = order.move(
            np.array([kinds[slot] for slot in slots], np.int16),
            np.array([ids[slot] for slot in slots], "V16"),
            np.array(slots, np.int64),
            columns(was),
            columns(now),
        )
        assert list(zip(*(one.tolist() for one in found), strict=True)) == right


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.sampled_from([1, 5, 1_000]),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_places_and_bands_are_those_of_one_move_after_the_other(
    seed: int, artifacts: int, levels: int, pages: list[int]
) -> None:
    compare(seed, artifacts, levels, pages)


def test_so_they_are_when_many_have_moved() -> None:
    # More than are kept apart, so that they are put in order in between.
    compare(1, 300, 10_000, [200, 1, 2 * APART, 1, 50, 700])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([-1, 0, 1])), max_size=200))
def test_a_tally_counts_what_came_earlier_and_is_smaller(given: list[tuple[int, int]]) -> None:
    values, weights = np.array(given, np.int32).reshape(-1, 2).T
    assert tally(values, weights).tolist() == [
        sum(weight for other, weight in given[:number] if other < value)
        for number, (value, _) in enumerate(given)
    ]
