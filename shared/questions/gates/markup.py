"""LaTeX and code fences that do not close."""

import re
from collections import Counter

from shared.questions.gates.parsed_question import ParsedQuestion

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_CODE_DOMAINS = frozenset({"coding", "tool use"})  # where $ and ^ are something else
_LATEX = re.compile(
    r"(?:\A|\s)\\[(\[]|\\(?:[dt]?frac|sqrt|sum|prod|int|lim|times|cdot|div|pm|leq?|geq?|neq?|approx|equiv|infty|partial|nabla"
    r"|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|pi|rho|sigma|phi|omega|text|math[a-z]+|left|right|begin|end|sin"
    r"|cos|tan|log|ln|vec|hat|bar|overline|binom|to|in|cup|cap|subset|forall|exists|quad|ldots|cdots|angle|circ)"
    r"(?![a-zA-Z])"
)
# Escaped signs and other commands are read too, so that their parts are not taken for marks.
_MARK = re.compile(r"\\(begin|end)\{([^{}\n]{1,30})\}|\\[a-zA-Z]+|\\.|[${}]")
_PAIRS = ((r"\(", r"\)"), (r"\[", r"\]"), (r"\left", r"\right"), ("{", "}"))
# Not "$2 \alpha$" or "$3 x + 1$", which are products; "$5 a week" is money.
_MONEY = re.compile(
    r"(?<!\\)\$ ?\d[\d,.]*(?: ?(?:k|K|[mb]illion|M))?(?=[\s.,;:?!)/\"'\u2019-]|\Z)(?! ?[\\+*=^]| [b-z]\b)"
)


def has_open_fence(question: ParsedQuestion) -> bool:
    """Refuses an odd number of ``` marks: a block of code that never ends, or never began."""
    return "```" in question.text and question.text.count("```") % 2 == 1


def has_broken_latex(question: ParsedQuestion) -> bool:
    r"""Refuses LaTeX whose $, \( \[, \begin, \left or braces do not close.

    Not refused: amounts of money ("$5 and $7.50"), and code, in which these signs mean something else. A text without
    a command such as \frac or a pair such as \( is not taken for LaTeX at all.
    """
    text = question.text
    powers = "$" in text and "^" in text and question.domain not in _CODE_DOMAINS
    if "\\" not in text and not powers:
        return False
    if "`" in text:
        text = _CODE.sub(" ", text)
    if not _LATEX.search(text) and not powers:
        return False
    marks: Counter[str] = Counter()
    environments: Counter[str] = Counter()
    for mark in _MARK.finditer(text):
        marks[mark[0]] += 1
        if mark[1]:
            environments[mark[2]] += 1 if mark[1] == "begin" else -1
    if any(marks[opening] != marks[closing] for opening, closing in _PAIRS) or any(environments.values()):
        return True
    # An amount of money takes one dollar sign, so an odd number of amounts explains an odd number of signs.
    return marks["$"] % 2 == 1 and len(_MONEY.findall(text)) % 2 == 0
