"""Checks of an answer that need no model: a sum worked out again, code that parses."""

import re
from dataclasses import dataclass

from shared.planning.mix import fold_name
from shared.questions.code_checks import check_blocks
from shared.questions.number_checks import check_number

ARITHMETIC = "arithmetic"
"""The check that works the question's sum out again."""
SYNTAX = "syntax"
"""The check that fenced Python and JSON can be read."""

_CODE = re.compile(r"\b(?:cod(?:e|ing)|program\w*|software|python|algorithms?|computer science|debugging)\b")


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """What a check found; `detail` says what was compared, or what is wrong."""

    name: str
    passed: bool
    detail: str


def check_answer(question: str, answer: str, *, domain: str) -> AnswerCheck | None:
    """Checks an answer where that is safe and cheap; None where nothing can be checked, or nothing for certain.

    Nothing is run, no text makes it raise, and time and memory are bounded.
    """
    about_code = _CODE.search(fold_name(domain[:200])) is not None
    # In code, 2 ^ 3 is 1 and 7 / 2 may be 3.
    if not about_code and (number := check_number(question, answer)) is not None:
        return AnswerCheck(ARITHMETIC, *number)
    if (blocks := check_blocks(question, answer, python=about_code)) is not None:
        return AnswerCheck(SYNTAX, *blocks)
    return None
