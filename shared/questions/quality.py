"""What makes a question unusable whatever it says: rules on its form, each with its bound."""

import re
from enum import StrEnum

# C0 without tab and line feed (a CR may stand before a LF), DEL, C1, lone surrogates, U+FFFD and its neighbours.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]|\r(?!\n)")


class Flaw(StrEnum):
    """Why a question is refused; the values are the reasons that users see counted."""

    EMPTY = "empty"
    """Nothing but white space."""
    CONTROL_CHARACTER = "control character"
    """Holds a character that no text means: most often the remains of a mangled escape."""
    NO_WORDS = "no words"
    """Holds no letter of any script: digits, punctuation or an echoed bullet."""
    TOO_SHORT = "too short"
    """Below `shortest(mean_tokens)`."""
    TOO_LONG = "too long"
    """Above `longest(mean_tokens)`."""


def shortest(mean_tokens: int) -> int:
    """The fewest tokens a question may have: a fifth of the mean, and at least 3 ("Define entropy." has 4).

    For means of 15 and 750 that is 3 and 150: a hard question of 100 tokens is an easy one under a wrong name.
    """
    return max(3, mean_tokens // 5)


def longest(mean_tokens: int) -> int:
    """The most tokens a question may have: three times the mean and 15 more, since short texts spread wider.

    For means of 15 and 750 that is 60 and 2265: beyond it lies a list in one string or a runaway answer.
    """
    return 3 * mean_tokens + 15


def find_flaw(text: str, tokens: int, mean_tokens: int) -> Flaw | None:
    """The first flaw of a question of `tokens` tokens, in a cell whose mean is `mean_tokens`; None if it has none."""
    if not text.strip():
        return Flaw.EMPTY
    if _CONTROL.search(text):
        return Flaw.CONTROL_CHARACTER
    if not any(letter.isalpha() for letter in text):
        return Flaw.NO_WORDS
    if tokens < shortest(mean_tokens):
        return Flaw.TOO_SHORT
    if tokens > longest(mean_tokens):
        return Flaw.TOO_LONG
    return None
