"""Whether a question is a benchmark's: what is asked of the stored hashes, and what their answers mean. Pure.

The thresholds were measured on 41,000 real questions; docs/decontamination.md has the numbers.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from shared.corpus.grams import Trace
from shared.database.states import MatchKind

# Of the shorter text's 8-grams, the share that both texts have, and how many these are at least.
GRAM_SHARE = 0.5
LEAST_GRAMS = 3
# An 8-gram that more items of one set have is its form ("the following paragraphs each describe a set of"), and tells
# nothing about any of them.
MOST_ITEMS_PER_GRAM = 5
# Of two short texts' words and pairs of words, the share that both have.
SHORT_SIMILARITY = 0.65


_RANK = {kind: place for place, kind in enumerate(MatchKind)}


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of a benchmark's item. `grams` counts those that are not the form of its set."""

    benchmark: str
    reference: str
    grams: int
    shingles: frozenset[int]


@dataclass(frozen=True, slots=True)
class Match:
    """The item that a question is like. `score` is 1, the share of the 8-grams, or the Jaccard similarity."""

    benchmark: str
    reference: str
    kind: MatchKind
    score: float

    def __str__(self) -> str:
        return f"{self.benchmark} {self.reference} ({self.kind})"

    def order(self) -> tuple[int, float, str, str]:
        """What the best match is the least of."""
        return _RANK[self.kind], -self.score, self.benchmark, self.reference


@dataclass(frozen=True, slots=True)
class IndexedItem:
    """An item as it is stored: its keys, by which questions find it, and what `Item` holds."""

    reference: str
    keys: tuple[int, ...]
    grams: int
    shingles: tuple[int, ...]


def asked_keys(its: Trace) -> Iterator[tuple[MatchKind, int]]:
    """What to look up for a question, and what each hit would say."""
    yield MatchKind.EXACT, its.text
    if its.masked is not None:
        yield MatchKind.NUMBERS, its.masked
    for kind, keys in (
        (MatchKind.SENTENCE, its.sentences),
        (MatchKind.GRAMS, its.grams),
        (MatchKind.SHORT, its.shingles),
    ):
        for key in keys:
            yield kind, key


def index_items(items: Sequence[tuple[str, Trace]]) -> list[IndexedItem]:
    """The items of one set, each given as its reference and trace, with the keys by which to find them.

    Of a short item's shingles the rarest of the set are keys, as many as a similar question cannot lack: a question
    that has none of them shares too few of all.
    """
    with_gram = Counter(gram for _, its in items for gram in its.grams)
    with_shingle = Counter(shingle for _, its in items for shingle in its.shingles)
    indexed = []
    for reference, its in items:
        grams = [gram for gram in its.grams if with_gram[gram] <= MOST_ITEMS_PER_GRAM]
        rarest = sorted(its.shingles, key=lambda shingle: (with_shingle[shingle], shingle))
        needed = len(rarest) - ceil(SHORT_SIMILARITY * len(rarest)) + 1 if rarest else 0
        whole = [its.text] if its.masked is None else [its.text, its.masked]
        indexed.append(IndexedItem(reference, (*whole, *grams, *rarest[:needed]), len(grams), its.shingles))
    return indexed


def match(its: Trace, hits: Mapping[Item, Mapping[MatchKind, int]]) -> Match | None:
    """The item that the question is most like, if it is like any; `hits` counts the keys found, by kind."""
    found = [each for item, counts in hits.items() if (each := _compare(its, item, counts)) is not None]
    return min(found, key=Match.order, default=None)


def _compare(its: Trace, item: Item, counts: Mapping[MatchKind, int]) -> Match | None:
    for kind in (MatchKind.EXACT, MatchKind.NUMBERS, MatchKind.SENTENCE):
        if counts.get(kind):
            return Match(item.benchmark, item.reference, kind, 1.0)
    shared = counts.get(MatchKind.GRAMS, 0)
    if shared >= LEAST_GRAMS:
        share = shared / min(len(its.grams), item.grams)
        if share >= GRAM_SHARE:
            return Match(item.benchmark, item.reference, MatchKind.GRAMS, min(share, 1.0))
    if counts.get(MatchKind.SHORT) and its.shingles:
        both = len(item.shingles.intersection(its.shingles))
        similarity = both / (len(item.shingles) + len(its.shingles) - both)
        if similarity >= SHORT_SIMILARITY:
            return Match(item.benchmark, item.reference, MatchKind.SHORT, similarity)
    return None
