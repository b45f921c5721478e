"""Length against difficulty: a hard question of 100 tokens is an easy one under a wrong name."""

from shared.questions.gates.parsed_question import ParsedQuestion


def shortest(mean_tokens: int) -> int:
    """The fewest tokens a question may have: a fifth of the mean, and at least 3 ("Define entropy." has 4).

    For means of 15 and 750 that is 3 and 150.
    """
    return max(3, mean_tokens // 5)


def longest(mean_tokens: int) -> int:
    """The most tokens a question may have: three times the mean and 15 more, since short texts spread wider.

    For means of 15 and 750 that is 60 and 2265: beyond it lies a list in one string or a runaway answer.
    """
    return 3 * mean_tokens + 15


def is_too_short(question: ParsedQuestion) -> bool:
    """Refuses fewer tokens than `shortest` of the cell's mean."""
    return question.tokens < shortest(question.mean_tokens)


def is_too_long(question: ParsedQuestion) -> bool:
    """Refuses more tokens than `longest` of the cell's mean."""
    return question.tokens > longest(question.mean_tokens)
