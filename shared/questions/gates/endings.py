"""Whether a text stops before its end."""

import re

from shared.questions.gates.parsed_question import ParsedQuestion

LONG_FROM_CHARACTERS = 240
"""From here on a missing full stop means something; many real short questions have none."""

# No English question ends with one of these; "a", "to", "of", "in" and "into" do end real ones.
_DANGLING = frozenset("an the and or but because whose every its their our unless although whereas than".split())  # noqa: SIM905
_BEFORE_ARTICLE = frozenset("about as at by for from in into of on with write".split())  # noqa: SIM905
_LAST_WORD = re.compile(r"(?<![\w'\u2019$\\\\`-])[a-z]+\Z")
_ANNOUNCES = re.compile(r"\b(?:following|below|here (?:is|are)|like this|as follows)\b[^.?!:\n]*:\Z", re.IGNORECASE)
# Eight words or more of a sentence, up to a letter; what has a label or a separator in it is data.
_LOOSE_END = re.compile(r"[.?!][\"')\u201d]? +[A-Z](?:[^\s.?!:;|]* ){7,}([a-z]+)\Z")
_LOOSE_END_CHARACTERS = 200
_LINKING = frozenset({"is", "are", "was", "were", "be"})  # what a fill-in ends with
_LIST_ITEM = re.compile(r"\W{0,3}\w{1,2}[.):] |\s*[-*\u2022] ")
_SENTENCE_END = re.compile(r"[a-z)][.?!] +[A-Z\"(]")


def is_unfinished(question: ParsedQuestion) -> bool:
    """Refuses what breaks off: at a comma, an opening bracket, a dangling word ("and the"), a colon that announces.

    In a text of several sentences, also a last sentence of eight words or more that just stops. Not refused: short
    questions without a question mark, fill-ins ("The capital of Peru is:"), and last lines that are list items, code,
    data, or a label for the answer ("Output:").
    """
    text = question.text.rstrip()
    last = text[-1:]
    if last.isalpha():
        word = _LAST_WORD.search(text, max(0, len(text) - 20))
        if word is not None and (word[0] in _DANGLING or (word[0] == "a" and _is_article(text))):
            return True
        return len(text) >= LONG_FROM_CHARACTERS and _stops_in_prose(text)
    if last == ":":
        return _ANNOUNCES.search(text, max(0, len(text) - _LOOSE_END_CHARACTERS)) is not None
    return last in {",", "(", "[", "{"} or text.endswith((" -", " \u2013", " \u2014"))


def _is_article(text: str) -> bool:
    """Whether the last word, an "a", stands for something to come: not "vitamin a", but "write a poem about a"."""
    before = text[-20:-2].split()
    return bool(before) and before[-1] in _BEFORE_ARTICLE


def _stops_in_prose(text: str) -> bool:
    start = max(0, len(text) - _LOOSE_END_CHARACTERS)
    end = _LOOSE_END.search(text, start)
    if end is None or end[1] in _LINKING or _LIST_ITEM.match(text, text.rfind("\n") + 1):
        return False
    return _SENTENCE_END.search(text, 0, end.start() + 1) is not None
