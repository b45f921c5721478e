"""Which pairs of a whole dataset are worth comparing: they share a band, and their sketches are not far apart.

Memory is bounded whatever the dataset is: per question 25 bytes for its id and sketch and at most `PAIRS_PER_QUESTION`
pairs of 8 bytes, the likeliest ones. A pair is one whole number, so that numpy sorts millions of them at once:
the place of the newer question, the distance of the sketches, the place of the older one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.corpus.minhash import SKETCH_DISTANCE

# In a fuller band each question is paired with so many before it, newest first, as `duplicates` bounds it for a list:
# a dataset of one template costs what its size says, not its square.
EARLIER_PER_BAND = 20
PAIRS_PER_QUESTION = 20
# New pairs that are collected before the repeats among them, which share several bands, are dropped.
_AT_ONCE = 1 << 21

Numbers = NDArray[np.uint64]
_PLACE_BITS, _DISTANCE_BITS = np.uint64(28), np.uint64(5)
_PLACE = np.uint64((1 << 28) - 1)
_NEWER_BITS = _PLACE_BITS + _DISTANCE_BITS


class CandidatePairs:
    """Takes in the bands of a dataset one after the other.

    `ids` are of its questions, in any order, `sketches` two words each, `sketched` False where an older release left
    none: such a question is paired with whatever shares a band. At most 2**28 questions.
    """

    def __init__(self, ids: NDArray[np.int64], sketches: Numbers, sketched: NDArray[np.bool_]) -> None:
        order = np.argsort(ids)
        self._ids, self._sketches, self._sketched = ids[order], sketches[order], sketched[order]
        self._pairs = np.empty(0, dtype=np.uint64)
        self._fresh: list[Numbers] = []
        self._fresh_count = 0

    def add(self, bands: Sequence[Sequence[int]]) -> None:
        """Bands, each as the ascending ids of the questions that share it; ids that are not known are left out."""
        newer, older = self._places_of(bands)
        unlike = np.bitwise_count(self._sketches[newer] ^ self._sketches[older]).sum(axis=1, dtype=np.uint64)
        unlike[~(self._sketched[newer] & self._sketched[older])] = SKETCH_DISTANCE
        near = unlike <= SKETCH_DISTANCE
        packed = (newer[near].astype(np.uint64) << _NEWER_BITS) | (unlike[near] << _PLACE_BITS)
        self._fresh.append(packed | older[near].astype(np.uint64))
        self._fresh_count += len(packed)
        if self._fresh_count >= _AT_ONCE:
            self._settle()

    def pairs(self) -> NDArray[np.int64]:
        """The ids of each pair, the newer first; shape (pairs, 2), in the order of the newer."""
        self._settle()
        newer = (self._pairs >> _NEWER_BITS).astype(np.intp)
        older = (self._pairs & _PLACE).astype(np.intp)
        return np.stack((self._ids[newer], self._ids[older]), axis=1)

    def _places_of(self, bands: Sequence[Sequence[int]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        sizes = np.array([len(band) for band in bands], dtype=np.intp)
        ids = np.fromiter((each for band in bands for each in band), dtype=np.int64, count=int(sizes.sum()))
        places = np.searchsorted(self._ids, ids)
        known = self._ids[np.minimum(places, len(self._ids) - 1)] == ids
        within = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        newer, older = [], []
        for back in range(1, min(int(sizes.max(initial=1)) - 1, EARLIER_PER_BAND) + 1):
            at = np.flatnonzero(within >= back)
            at = at[known[at] & known[at - back]]
            newer.append(places[at])
            older.append(places[at - back])
        empty = np.empty(0, dtype=np.intp)
        return np.concatenate([empty, *newer]), np.concatenate([empty, *older])

    def _settle(self) -> None:
        """Drop the repeats, then of each newer question all but its likeliest pairs, which are in order already."""
        pairs = np.unique(np.concatenate((self._pairs, *self._fresh)))
        self._fresh, self._fresh_count = [], 0
        firsts = np.flatnonzero(np.diff(pairs >> _NEWER_BITS, prepend=np.uint64(_PLACE + np.uint64(1))))
        rank = np.arange(len(pairs)) - np.repeat(firsts, np.diff(firsts, append=len(pairs)))
        self._pairs = pairs[rank < PAIRS_PER_QUESTION]
