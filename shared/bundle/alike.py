"""Which older rows a row repeats, by the judgement of admission: near-equal, or the same but for numbers.

Only rows that are kept are looked at, and only older ones, so that what is added later changes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from shared.bundle.row_index import RowIndex
from shared.corpus.candidate_pairs import EARLIER_PER_BAND, PAIRS_PER_QUESTION
from shared.corpus.clusters import cluster
from shared.corpus.duplicates import NEAR_SIMILARITY
from shared.corpus.guards import guard_between_marks
from shared.corpus.marks import read_marks
from shared.corpus.minhash import SKETCH_DISTANCE
from shared.corpus.normalise import normalise
from shared.corpus.similarity import similarities

# Texts that are compared are read again from the file; the same ones come up several times.
REMEMBERED_QUESTIONS = 8_192
# What guards read from them is larger, and comes up again soon if at all: in a crowd, of which the newest are compared.
REMEMBERED_MARKS = 512


class Judge:
    """Compares rows of an index; `question(place)` gives the text of one. What was compared once is not again."""

    def __init__(self, index: RowIndex, question: Callable[[int], str]) -> None:
        self.index = index
        _, numbers, counts = np.unique(index.bands, return_inverse=True, return_counts=True)
        numbers = numbers.reshape(index.bands.shape)
        self._bands = np.where(counts[numbers] > 1, numbers, -1).astype(np.int32)  # most are shared with nobody
        self._question = lru_cache(REMEMBERED_QUESTIONS)(question)
        self._marks = lru_cache(REMEMBERED_MARKS)(lambda place: read_marks(self._question(place)))
        self._known: dict[int, tuple[list[int], list[int]]] = {}

    def shared_bands(self, place: int) -> list[int]:
        """The bands that a row shares with any other, kept or not."""
        return [band for band in self._bands[place].tolist() if band >= 0]

    def near(self, place: int, others: list[int]) -> list[int]:
        """Those of the others that the row is near-equal to."""
        if not others:
            return []
        asked, found = self._known.get(place, ([], []))
        if asked != others:
            found = self._compare(place, others)
            self._known[place] = others, found
        return found

    def _compare(self, place: int, others: list[int]) -> list[int]:
        texts = [self._question(each) for each in (place, *others)]
        measured = similarities(list(map(normalise, texts)), [(0, at) for at in range(1, len(texts))])
        return [
            other
            for other, similarity in zip(others, measured, strict=True)
            if similarity >= NEAR_SIMILARITY and guard_between_marks(self._marks(place), self._marks(other)) is None
        ]


class Kept:
    """The rows kept so far, found by band and by template."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._by_band: dict[int, deque[int]] = {}
        self._by_template: dict[int, int] = {}

    def keep(self, place: int) -> None:
        """A row that later ones are compared with."""
        for band in self._judge.shared_bands(place):
            self._by_band.setdefault(band, deque(maxlen=EARLIER_PER_BAND)).append(place)
        self._by_template.setdefault(self._judge.index.templates[place], place)

    def older(self, place: int) -> list[int]:
        """Kept rows that this one repeats, ascending; of those that differ in numbers only, one stands for all."""
        found = {*self._judge.near(place, self._likeliest(place))}
        if (same := self._by_template.get(self._judge.index.templates[place])) is not None:
            found.add(same)
        return sorted(found)

    def _likeliest(self, place: int) -> list[int]:
        sketches = self._judge.index.sketches
        sharing = {other for band in self._judge.shared_bands(place) for other in self._by_band.get(band, ())}
        distances = {other: (sketches[place] ^ sketches[other]).bit_count() for other in sharing}
        close = [other for other, distance in distances.items() if distance <= SKETCH_DISTANCE]
        return sorted(close, key=lambda other: (distances[other], other))[:PAIRS_PER_QUESTION]


def find_clusters(judge: Judge, places: Iterable[int]) -> list[list[int]]:
    """Those of the places, which ascend, whose rows repeat one another directly or through others."""
    kept = Kept(judge)
    pairs = []
    for place in places:
        pairs += [(other, place) for other in kept.older(place)]
        kept.keep(place)
    return cluster(pairs)
