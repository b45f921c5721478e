"""What makes two similar texts different questions: "what is 12 + 5" is not "what is 12 + 7"."""

from collections.abc import Callable
from enum import StrEnum
from itertools import chain

from shared.corpus.contrasts import are_opposed, count_denials
from shared.corpus.marks import Marks, read_marks
from shared.corpus.replaced_parts import is_part_replaced

Sentences = tuple[tuple[str, ...], ...]


class Guard(StrEnum):
    """What told two similar texts apart."""

    NUMBERS = "numbers"  # digits or number words, or their order within a sentence
    OPERATORS = "operators"  # +, (, =, %, \\leq ...
    POLARITY = "polarity"  # a negation, or a word's opposite: more for less, before for after
    NAMES = "names"  # words capitalised within a sentence
    ORDER = "order"  # the same words in other roles: from miles to kilometres
    QUESTION = "question"  # a sentence in the place of another: the same passage, but something else is asked of it


def guard_between(a: str, b: str) -> Guard | None:
    """The first guard that tells two texts apart, or None: then a high similarity means the same question."""
    return guard_between_marks(read_marks(a), read_marks(b))


def guard_between_marks(a: Marks, b: Marks) -> Guard | None:
    """`guard_between` of two texts that are read already."""
    for guard, tells_apart in _CHECKS:
        if tells_apart(a, b):
            return guard
    return None


def _differ(a: Sentences, b: Sentences) -> bool:
    """Whether the tokens differ, or their order within a sentence does (5 - 3, 3 - 5); sentences may be reordered."""
    return a != b and [*chain(*a)] != [*chain(*b)] and sorted(a) != sorted(b)


def _polarity_differs(a: Marks, b: Marks) -> bool:
    changed = {word for word, _ in a.counts.items() ^ b.counts.items()}
    only_a = {word for word in changed if a.counts.get(word, 0) > b.counts.get(word, 0)}
    return count_denials(only_a) != count_denials(changed - only_a) or are_opposed(only_a, changed - only_a)


def _names_differ(a: Marks, b: Marks) -> bool:
    names = _names_of_pair(a, b)
    if any(a.counts.get(name) != b.counts.get(name) for name in names):
        return True
    return bool(names) and a.words != b.words and _differ(_only(a.words, names), _only(b.words, names))


def _only(sentences: Sentences, kept: frozenset[str]) -> Sentences:
    picked = (tuple(word for word in sentence if word in kept) for sentence in sentences)
    return tuple(sentence for sentence in picked if sentence)


def _names_of_pair(a: Marks, b: Marks) -> frozenset[str]:
    """A text in capitals or without any cannot say which of its words are names: the other one then says it."""
    if a.capitals_tell == b.capitals_tell:
        return a.names | b.names
    return a.names if a.capitals_tell else b.names


def _roles_changed(a: Marks, b: Marks) -> bool:
    """Whether the same words stand in another order than moving whole sentences, or one clause, could have made."""
    if a.counts != b.counts or not _differ(a.words, b.words):
        return False
    words_a, words_b = [*chain(*a.words)], [*chain(*b.words)]
    changed = [place for place, (one, other) in enumerate(zip(words_a, words_b, strict=True)) if one != other]
    moved = slice(changed[0], changed[-1] + 1)
    return not (_is_rotation(words_a[moved], words_b[moved]) or _is_rotation(words_a, words_b))


def _is_rotation(one: list[str], other: list[str]) -> bool:
    """Whether `other` is `one`, begun elsewhere: in time that their length bounds."""
    twice, sought = ("\0" + "\0".join(words) + "\0" for words in (one + one, other))
    return len(one) == len(other) and one != other and sought in twice


# The first that tells two texts apart is named; the dearest comes last.
_CHECKS: tuple[tuple[Guard, Callable[[Marks, Marks], bool]], ...] = (
    (Guard.NUMBERS, lambda a, b: _differ(a.numbers, b.numbers)),
    (Guard.OPERATORS, lambda a, b: _differ(a.operators, b.operators)),
    (Guard.POLARITY, _polarity_differs),
    (Guard.NAMES, _names_differ),
    (Guard.ORDER, _roles_changed),
    (Guard.QUESTION, lambda a, b: is_part_replaced(a.words, b.words)),
)
