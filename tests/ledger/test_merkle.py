"""The tree against the vectors of Certificate Transparency and against RFC 6962's own definitions,
written down as they stand there."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.ledger import merkle

# The inputs of the reference implementation of Certificate Transparency, and the roots of the trees
# over the first of them, 0 to 8 (google/certificate-transparency, merkle_tree_test).
INPUTS = [
    bytes.fromhex(said)
    for said in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# Audit paths of those trees: (leaf, size, path), and consistency: (old, new, path).
PATHS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
CONSISTENT = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]

LEAVES = [sha256(b"\x00" + said).digest() for said in INPUTS]


# RFC 6962, 2.1 to 2.1.2, word for word.


def _split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = _split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def leaves_of(size: int) -> list[bytes]:
    return [sha256(number.to_bytes(4, "big")).digest() for number in range(size)]


def proved(spans: Sequence[merkle.Span], leaves: Sequence[bytes]) -> list[bytes]:
    """The roots of the spans, from complete subtrees that the definition computes."""
    return merkle.roots(spans, lambda node: mth(leaves[slice(*span_of(node))]))


def span_of(node: merkle.Node) -> merkle.Span:
    level, index = node
    return index << level, (index + 1) << level


def test_the_roots_are_those_of_certificate_transparency() -> None:
    for size, root in enumerate(ROOTS):
        tree = merkle.Frontier()
        tree.add(LEAVES[:size])
        assert tree.root().hex() == root
        assert mth(LEAVES[:size]).hex() == root


def test_the_paths_are_those_of_certificate_transparency() -> None:
    for index, size, expected in PATHS:
        found = proved(merkle.inclusion(index, size), LEAVES)
        assert [step.hex() for step in found] == expected
        root = bytes.fromhex(ROOTS[size])
        assert merkle.includes(index, size, LEAVES[index], found, root)


def test_the_consistency_proofs_are_those_of_certificate_transparency() -> None:
    for old, new, expected in CONSISTENT:
        found = proved(merkle.consistency(old, new), LEAVES)
        assert [step.hex() for step in found] == expected
        roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
        assert merkle.extends(old, new, *roots, found)


@given(st.integers(1, 300), st.data())
def test_every_leaf_is_proved_as_the_standard_defines_it(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    found = proved(merkle.inclusion(index, size), leaves)
    assert found == path(index, leaves)
    assert len(found) <= (size - 1).bit_length()
    root = mth(leaves)
    assert merkle.includes(index, size, leaves[index], found, root)
    # Nothing else is proved by it.
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index) | st.just(size))
    assert not merkle.includes(other, size, leaves[index], found, root)
    assert not merkle.includes(index, size, leaves_of(size + 1)[-1], found, root)
    assert not merkle.includes(index, size, leaves[index], [*found, root], root)
    for number in range(len(found)):
        assert not merkle.includes(
            index, size, leaves[index], found[:number] + found[number + 1 :], root
        )


@given(st.integers(1, 300), st.data())
def test_every_beginning_is_proved_as_the_standard_defines_it(
    new: int, data: st.DataObject
) -> None:
    leaves = leaves_of(new)
    old = data.draw(st.integers(1, new))
    found = proved(merkle.consistency(old, new), leaves)
    assert found == subproof(old, leaves, True)
    was, now = mth(leaves[:old]), mth(leaves)
    assert merkle.extends(old, new, was, now, found)
    altered = [sha256(b"another").digest(), *leaves[1:]]
    assert not merkle.extends(old, new, mth(altered[:old]), now, found)
    assert not merkle.extends(old, new, was, mth(altered), found)
    assert not merkle.extends(old, new, was, now, [*found, now])
    if old < new:
        assert not merkle.extends(old - 1, new, was, now, found)


@given(st.integers(0, 300), st.data())
def test_a_tree_grows_to_the_same_root_from_any_point(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    cut = data.draw(st.integers(0, size))
    first = merkle.Frontier()
    completed = first.add(leaves[:cut])
    second = merkle.Frontier(first.size, first.peaks)
    completed += second.add(leaves[cut:])
    assert second.root() == mth(leaves)
    for (level, index), found in completed:
        assert found == mth(leaves[index << level : (index + 1) << level])
    assert len(completed) == sum(size >> level for level in range(1, 10))


@given(st.integers(0, 300), st.data())
def test_a_part_of_the_leaves_and_the_subtrees_around_it_give_the_root(
    size: int, data: st.DataObject
) -> None:
    leaves = leaves_of(size)
    first = data.draw(st.integers(0, size))
    end = data.draw(st.integers(first, size))
    tree = merkle.Frontier()
    for node in merkle.complete((0, first)):
        tree.add([mth(leaves[slice(*span_of(node))])], node[0])
    tree.add(leaves[first:end])
    for node in merkle.complete((end, size)):
        tree.add([mth(leaves[slice(*span_of(node))])], node[0])
    assert tree.size == size
    assert tree.root() == mth(leaves)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no leaf 3"):
        merkle.inclusion(3, 3)
    with pytest.raises(ValueError, match="no beginning of 0"):
        merkle.consistency(0, 3)
    with pytest.raises(ValueError, match="2 peaks"):
        merkle.Frontier(3, [b""])
    with pytest.raises(ValueError, match="begins at leaf 1"):
        merkle.Frontier(1, [b""]).add([b""], level=1)
    assert not merkle.includes(0, 0, b"", [], merkle.EMPTY)
    assert not merkle.extends(2, 1, b"", b"", [])
    assert not merkle.extends(0, 1, b"", b"", [])
    assert not merkle.extends(3, 4, b"", b"", [])
