"""An answer that stands in its question: whoever trains on it learns to copy."""

import re

from shared.questions.gates.parsed_question import ParsedQuestion

LONGEST_ANSWER = 1500
"""Characters at the end of a text in which an answer is looked for; what begins earlier is material to work on."""

_BEFORE = re.compile(
    r"(?:\A|\n|[.?!:)\]]\s|[(\[])[*_#(\[ \t]{0,4}(?:the )?(?:correct |right |final |expected |sample |model )?\Z"
)
_LABEL = re.compile(r"(?:answer|solution|ans)(?: key)?(?::|[*_]{1,2}:| is:| is(?= )) ?[*_]{0,2}\s{0,3}(?=[^\s*_)\]])")
_MOST_LABELS = 6
# What follows is no answer: an answer's form, a place for it, or something to be done with it.
_NO_ANSWER = re.compile(
    r"\?|_{2,}|\.{3}|\u2026|[\[<(](?:your|insert|answer)"
    r"|\b(?:yes or no|true or false|a(?:, [b-h])+,? or [b-h]|in one|in (?:no )?(?:more|less|fewer) than|find|identify"
    r"|explain|check|correct|verify|judge|assess|critique|spot|mend|fix|describe|decide|justify|state|write|give|round"
    r"|rewrite|compare|say|wrong|mistake|error)\b",
)
# "What is 7 x 8? A: 56", but not the first of several choices; "What is 15 % of 80? -> 12".
_BRIEF = re.compile(r"[?.]\s+(?:a: (?!let)|->|=>|\u2192|\u21d2)[^\n:?]{1,80}\Z")
_MARKED_CHOICE = re.compile(
    r"^\W{0,3}(?:[a-h1-8][.):]|[-*\u2022]) [^\n?]{1,200}"
    r"(?:\((?:correct|right)(?: answer| choice)?\)|[\u2713\u2714\u2705])\W{0,3}$",
    re.MULTILINE,
)
_CHECK_MARKS = "\u2713\u2714\u2705"


def includes_answer(question: ParsedQuestion) -> bool:
    """Refuses a label with what is to be found behind it, at the end ("... Answer: 42"), and a choice marked correct.

    Not refused: a place for the answer ("Answer:", "Answer: ____"), its form ("Answer: yes or no"), worked examples
    that are followed by a question, and solutions that the question asks to check.
    """
    end = question.text[-LONGEST_ANSWER:].lower()
    behind = _behind_last_label(end)
    if behind is not None and not _NO_ANSWER.search(end, behind) and len(question.text.split(None, 5)) > 4:
        return True
    if _BRIEF.search(end, max(0, len(end) - 100)):
        return True
    marked = "(correct" in end or "(right" in end or (not end.isascii() and any(mark in end for mark in _CHECK_MARKS))
    return marked and _MARKED_CHOICE.search(end) is not None


def _behind_last_label(text: str) -> int | None:
    """Where the text behind its last "answer:" begins; None without one. `text` is in lower case."""
    end = len(text)
    for _ in range(_MOST_LABELS):
        place = max(text.rfind("answer", 0, end), text.rfind("solution", 0, end), text.rfind("ans:", 0, end))
        if place < 0:
            break
        label = _LABEL.match(text, place)
        if label is not None and _BEFORE.search(text[max(0, place - 30) : place]):
            return label.end()
        end = place
    return None
