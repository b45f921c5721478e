"""Whether two similar texts ask different things about the same long context.

A passage of hundreds of words with another question at its end is above every useful similarity of whole texts. So the
sentences that only one of the texts has are compared alone: where both have one that the other hardly has anything of,
a part was replaced, and not reworded.
"""

from collections import Counter
from collections.abc import Collection

from shared.corpus.minhash import SHINGLE
from shared.corpus.number_words import NUMBER_WORDS

Sentence = tuple[str, ...]

# Of a sentence's character 4-grams, the share that must stand in what only the other text has. Measured on real pairs
# with a Jaccard similarity of 0.75 that pass all other guards: 2 of 982 labelled duplicates are below, and all 69 pairs
# of questions about one Wikipedia passage.
LEAST_COVERED = 0.7
# Shorter sentences ("Think!", "Options:") say too little to be another question.
FEWEST_WORDS = 3
# From so many words on, a sentence is rather a context without full stops: code, a table, a list.
LONG_SENTENCE = 16


def is_part_replaced(a: Collection[Sentence], b: Collection[Sentence]) -> bool:
    """Whether each text has a sentence instead of one of the other's. Reordered sentences and reworded ones are not.

    What only one text adds is not either: a hint or a greeting makes no other question.
    """
    only_a = [_without_numbers(each) for each in (Counter(a) - Counter(b)).elements()]
    only_b = [_without_numbers(each) for each in (Counter(b) - Counter(a)).elements()]
    if not only_a or not only_b:
        return False
    if len(a) == len(b) == 1 and len(only_a[0]) < LONG_SENTENCE:
        return False  # the similarity of the whole texts has said it already
    if len(only_a) == len(only_b) == 1:
        only_a[0], only_b[0] = _trim(only_a[0], only_b[0])
    return _has_uncovered(only_a, only_b) and _has_uncovered(only_b, only_a)


def _without_numbers(sentence: Sentence) -> Sentence:
    """Numbers have a guard of their own, which knows that "twenty-five" is 25."""
    return tuple(word for word in sentence if word not in NUMBER_WORDS and not word.lstrip("#")[:1].isdigit())


def _has_uncovered(sentences: list[Sentence], others: list[Sentence]) -> bool:
    there: set[str] = set().union(*map(_shingles, others))
    return any(_covered(_shingles(each), there) < LEAST_COVERED for each in sentences if len(each) >= FEWEST_WORDS)


def _covered(shingles: set[str], there: set[str]) -> float:
    return len(shingles & there) / len(shingles)


def _shingles(sentence: Sentence) -> set[str]:
    text = " ".join(sentence)
    return {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}


def _trim(one: Sentence, other: Sentence) -> tuple[Sentence, Sentence]:
    """Two long sentences without what both begin with and what both end with."""
    shorter = min(len(one), len(other))
    if shorter < LONG_SENTENCE:
        return one, other
    first = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    last = next((at for at in range(shorter - first) if one[-1 - at] != other[-1 - at]), shorter - first)
    return one[first : len(one) - last], other[first : len(other) - last]
