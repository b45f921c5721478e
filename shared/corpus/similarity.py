"""How similar texts are: exact, for many pairs at once, since most of those asked about turn out not to be near."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.corpus.minhash import shingles_of

Pairs = Sequence[tuple[int, int]]
Index = NDArray[np.intp]

# A key is the number of a text or pair above so many bits of a shingle's hash: two of a hundred shingles have the same
# 40 bits once in 200 million pairs.
_HASH_BITS = np.uint64(40)
_HASH = np.uint64((1 << 40) - 1)
# Characters of the pairs that are measured together, which bounds the memory: some ten arrays of 1 MB.
_AT_ONCE = 1 << 17


def similarities(texts: Sequence[str], pairs: Pairs) -> list[float]:
    """The Jaccard similarity of the character 4-grams of each pair of places in `texts`, which should be normalised."""
    return [similarity for some in _runs(texts, pairs) for similarity in _measure(texts, some)]


def _runs(texts: Sequence[str], pairs: Pairs) -> Iterator[Pairs]:
    """Runs of pairs whose texts are not too long together, each of one pair at least."""
    first = characters = 0
    for place, (one, other) in enumerate(pairs):
        characters += len(texts[one]) + len(texts[other])
        if characters > _AT_ONCE and place > first:
            yield pairs[first:place]
            first, characters = place, len(texts[one]) + len(texts[other])
    if pairs:
        yield pairs[first:]


def _measure(texts: Sequence[str], pairs: Pairs) -> list[float]:
    asked, places = np.unique(np.array(pairs, dtype=np.intp), return_inverse=True)
    one, other = places.reshape(-1, 2).T
    hashes, sizes = _distinct_shingles([texts[place] for place in asked])
    common = _count_common(hashes, sizes, one, other)
    return [float(similarity) for similarity in common / (sizes[one] + sizes[other] - common)]


def _distinct_shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], Index]:
    """The hashes of each text's shingles, text after text and in order, each once; and how many each text has."""
    hashes, starts = shingles_of(texts)
    lengths = np.diff(starts, append=len(hashes))
    keys = np.sort(_key(np.repeat(np.arange(len(texts)), lengths), hashes >> (np.uint64(64) - _HASH_BITS)))
    keys = keys[np.append(True, keys[1:] != keys[:-1])]  # np.unique would hash them, at five times the cost
    return keys & _HASH, np.bincount((keys >> _HASH_BITS).astype(np.intp), minlength=len(texts))


def _count_common(hashes: NDArray[np.uint64], sizes: Index, one: Index, other: Index) -> Index:
    """How many shingles both texts of each pair have: those that stand twice, once a pair's are in order."""
    texts = np.concatenate((one, other))
    pairs = np.tile(np.arange(len(one)), 2)
    taken = sizes[texts]
    ends = np.cumsum(taken)
    firsts = np.cumsum(sizes) - sizes
    places = np.arange(ends[-1]) + np.repeat(firsts[texts] - (ends - taken), taken)
    keys = np.sort(_key(np.repeat(pairs, taken), hashes[places]))
    twice = keys[1:][keys[1:] == keys[:-1]]
    return np.bincount((twice >> _HASH_BITS).astype(np.intp), minlength=len(one))


def _key(numbers: Index, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (numbers.astype(np.uint64) << _HASH_BITS) | hashes
