"""What makes two similar texts different questions: "what is 12 + 5" is not "what is 12 + 7"."""

from collections import Counter
from enum import StrEnum
from itertools import chain

from shared.corpus.contrasts import are_opposed, count_denials
from shared.corpus.marks import Marks, read_marks

Sentences = tuple[tuple[str, ...], ...]


class Guard(StrEnum):
    """What told two similar texts apart."""

    NUMBERS = "numbers"  # digits or number words, or their order within a sentence
    OPERATORS = "operators"  # +, (, =, %, \\leq ...
    POLARITY = "polarity"  # a negation, or a word's opposite: more for less, before for after
    NAMES = "names"  # words capitalised within a sentence
    ORDER = "order"  # two words changed places: from miles to kilometres


def guard_between(a: str, b: str) -> Guard | None:
    """The first guard that tells two texts apart, or None: then a high similarity means the same question."""
    return guard_between_marks(read_marks(a), read_marks(b))


def guard_between_marks(a: Marks, b: Marks) -> Guard | None:
    """`guard_between` of two texts that are read already."""
    if _differ(a.numbers, b.numbers):
        return Guard.NUMBERS
    if _differ(a.operators, b.operators):
        return Guard.OPERATORS
    if _polarity_differs(a, b):
        return Guard.POLARITY
    names = _names_of_pair(a, b)
    if names and _differ(_only(a.words, names), _only(b.words, names)):
        return Guard.NAMES
    if _two_words_swapped(a, b):
        return Guard.ORDER
    return None


def _differ(a: Sentences, b: Sentences) -> bool:
    """Whether the tokens differ, or their order within a sentence does (5 - 3, 3 - 5); sentences may be reordered."""
    return a != b and [*chain(*a)] != [*chain(*b)] and sorted(a) != sorted(b)


def _only(sentences: Sentences, kept: frozenset[str]) -> Sentences:
    picked = (tuple(word for word in sentence if word in kept) for sentence in sentences)
    return tuple(sentence for sentence in picked if sentence)


def _polarity_differs(a: Marks, b: Marks) -> bool:
    words_a, words_b = Counter(chain(*a.words)), Counter(chain(*b.words))
    only_a, only_b = words_a - words_b, words_b - words_a
    return count_denials(only_a) != count_denials(only_b) or are_opposed(only_a, only_b)


def _names_of_pair(a: Marks, b: Marks) -> frozenset[str]:
    """A text in capitals or without any cannot say which of its words are names: the other one then says it."""
    if a.capitals_tell == b.capitals_tell:
        return a.names | b.names
    return a.names if a.capitals_tell else b.names


def _two_words_swapped(a: Marks, b: Marks) -> bool:
    words_a, words_b = [*chain(*a.words)], [*chain(*b.words)]
    if len(words_a) != len(words_b):
        return False
    moved = [(one, other) for one, other in zip(words_a, words_b, strict=True) if one != other]
    return len(moved) == 2 and moved[0] == moved[1][::-1]
