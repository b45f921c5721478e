"""How similar texts are: exact, for many pairs at once, since most of those asked about turn out not to be near."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.corpus.minhash import shingles_of

Index = NDArray[np.intp]

# A key is the number of a text or pair above so many bits of a shingle's hash: two of a hundred shingles have the same
# 40 bits once in 200 million pairs.
_HASH_BITS = np.uint64(40)
_HASH = np.uint64((1 << 40) - 1)
# Shingles sorted together: 4 MB of keys.
_AT_ONCE = 1 << 19


def similarities(texts: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[float]:
    """The Jaccard similarity of the character 4-grams of each pair of places in `texts`, which should be normalised."""
    if not pairs:
        return []
    hashes, starts = shingles_of(texts)
    lengths = np.diff(starts, append=len(hashes))
    keys = np.sort(_key(np.repeat(np.arange(len(texts)), lengths), hashes >> (np.uint64(64) - _HASH_BITS)))
    keys = keys[np.append(True, keys[1:] != keys[:-1])]  # np.unique would hash them, at five times the cost
    sizes = np.bincount((keys >> _HASH_BITS).astype(np.intp), minlength=len(texts))
    firsts = np.cumsum(sizes) - sizes
    one, other = np.array(pairs, dtype=np.intp).T
    both = sizes[one] + sizes[other]
    common = np.concatenate(
        [
            _count_common(keys & _HASH, firsts, sizes, one[some], other[some])
            for some in _blocks(np.cumsum(both), len(pairs))
        ]
    )
    return [float(value) for value in common / (both - common)]


def _count_common(hashes: NDArray[np.uint64], firsts: Index, sizes: Index, one: Index, other: Index) -> Index:
    """How many distinct shingles both texts of each pair have: the equal neighbours, once a pair's are in order."""
    texts = np.concatenate((one, other))
    pairs = np.tile(np.arange(len(one)), 2)
    taken = sizes[texts]
    ends = np.cumsum(taken)
    places = np.arange(ends[-1]) + np.repeat(firsts[texts] - (ends - taken), taken)
    keys = np.sort(_key(np.repeat(pairs, taken), hashes[places]))
    equal = keys[1:][keys[1:] == keys[:-1]]
    return np.bincount((equal >> _HASH_BITS).astype(np.intp), minlength=len(one))


def _key(numbers: Index, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (numbers.astype(np.uint64) << _HASH_BITS) | hashes


def _blocks(ends: Index, count: int) -> Iterator[slice]:
    """Runs of pairs whose shingles are not too many together, each of one pair at least."""
    first = 0
    while first < count:
        taken = 0 if first == 0 else ends[first - 1]
        last = max(first + 1, int(np.searchsorted(ends, taken + _AT_ONCE, side="right")))
        yield slice(first, last)
        first = last
