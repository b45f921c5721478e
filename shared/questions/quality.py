"""What makes a question unusable: flaws that no job may let pass, then the gates that it left on."""

import re
from collections.abc import Sequence

from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import Gate

EMPTY = "empty"
"""The reason for nothing but white space."""
CONTROL_CHARACTER = "control character"
"""The reason for a character that no text means: most often the remains of a mangled escape."""
NO_WORDS = "no words"
"""The reason for a text without a letter of any script: digits, punctuation or an echoed bullet."""

# C0 without tab and line feed (a CR may stand before a LF), DEL, C1, lone surrogates, U+FFFD and its neighbours.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]|\r(?!\n)")


def has_control_character(text: str) -> bool:
    """Whether a character is in it that no text means."""
    # U+FFFD is printable; nearly every text is, and this is found ten times as fast.
    printable = text.replace("\n", "").isprintable() and "\ufffd" not in text
    return not printable and _CONTROL.search(text) is not None


def find_flaw(question: ParsedQuestion, gates: Sequence[Gate]) -> str | None:
    """The reason to refuse a question, which users see counted; None if it is fit.

    It is the first flaw of the text, or else the name of the first gate that refuses it.
    """
    text = question.text
    if not text.strip():
        return EMPTY
    if has_control_character(text):
        return CONTROL_CHARACTER
    if not any(map(str.isalpha, text)):
        return NO_WORDS
    for gate in gates:
        if gate.refuses(question):
            return gate.name
    return None
