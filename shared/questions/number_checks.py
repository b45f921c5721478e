"""Whether the answer to a question of plain arithmetic is right. Whatever is unclear is left open, never failed."""

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from shared.questions.arithmetic import NotPlainError, evaluate, to_plain_signs

MOST_QUESTION_CHARACTERS = 400
MOST_ANSWER_CHARACTERS = 8_000
MOST_NUMBERS = 400
MOST_DIGITS = 100
ROUNDED_FROM = 1_000
"""From here on, zeros at the end of a whole number may be those of a rounded one."""

_ASKING = re.compile(
    r"(?:^|[.:,!?]\s+|\b(?:you|please|me)\s+)"
    r"(?:what\s+(?:is|are|does)|what's|compute|calculate|evaluate|work\s+out|find|simplify|determine|solve|how\s+much\s+is)"
    r"(?:\s+the\s+(?:exact\s+)?(?:value|result)(?:\s+of)?)?(?:\s+(?:the|this)\s+(?:following\s+)?expression)?"
    r"\s*:?\s+(?=[-(\d])",
    re.IGNORECASE,
)
_EXPRESSION = re.compile(r"(?:[-+*/^().,\d\s]|%\s*of\b)+", re.IGNORECASE | re.ASCII)
_NO_SUM = re.compile(r"[\d./,-]+", re.ASCII)  # 9/11, 24/7, 555-1234, 2020-01-31: written closely, it may be no sum
# What may stand around the sum and changes nothing in it. Any other word might: "in base", "modulo", "nearest".
_HARMLESS_PHRASE = re.compile(r"\b(?:as|using|use)\s+an?\b", re.IGNORECASE)
_HARMLESS_WORDS = """
    quick mental math maths arithmetic question problem exercise warm up warmup please can could you tell me without
    calculator using the standard usual correct order of operations pemdas bodmas show explain give your work working
    steps step by answer reasoning briefly exact in simplest lowest form terms fraction decimal and equal equals
"""
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
_SPECIAL = set("<>[]{}|&~^*/\\;+%@#\"'")
_WORD = re.compile(r"[^\W\d_]+")

_NUMBER = re.compile(
    r"(?<![\w.,/])(?P<minus>-\s?)?(?:(?P<whole>\d{1,40})\s+(?=\d+\s?/))?"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:\s?/\s?(?P<below>\d+))?\)?(?P<percent>\s?%)?(?!\w)",
    re.ASCII,
)
_BOXED = re.compile(r"\\boxed\{([^{}]{1,60})\}")
_SAID = re.compile(r"\b(?:answer|result|value|total)\s+(?:is|=|:)\s*:?\s*\(?(?=[-.\d])", re.IGNORECASE | re.ASCII)
_EQUALS = re.compile(r"=\s*\(?")
_GOES_ON = re.compile(
    r"\s*[-+*/^=(]\s*[\d(]|\s*\^|[.,]?\s?\d|\s*(?:x|times|divided|multiplied|plus|minus|over|of)\b", re.IGNORECASE
)
_BOLD = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])|__|`")
# Numbers that are written in ways not read here.
_OTHER_NUMBERS = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{1,9}teen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|trillion|half|halves|thirds?|quarters?|fifths?"
    r"|sixths?|eighths?|tenths?|dozen|minus|negative|remainder|undefined|infinity|mod|modulo|base|binary|hex"
    r"|repeating|recurring|r\s?\d)\b|10\s?\^|10\*\*|\d[eE][-+]?\d|\\(?:over|bar|dot|sqrt|frac)|\d\s?\(\d|\.\.\."
    r"|\d,\d{1,2}(?!\d)|\d[\s'_]\d{3}(?!\d)|\d\.\d{3}[.,]\d|[^\x00-\x7f\u2010-\u2025\u2248]",
    re.IGNORECASE,
)
MOST_WORDS_AROUND = 3
"""Around an answer's only number, if that is to be what the answer says."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A number in an answer, its place there, what it stands for, and how large a step of its last digit is."""

    start: int
    end: int
    value: Fraction
    step: Fraction

    def shows(self, truth: Fraction) -> bool:
        """Whether it is that value exactly, or rounded to the decimals shown."""
        return self.value == truth or (0 < self.step < 1 and abs(self.value - truth) * 2 <= self.step)

    def may_mean(self, truth: Fraction) -> bool:
        """Whether it is that value in any reading: cut off or rounded, a percentage, another decimal sign or sign."""
        readings = [(self.value, self.step), (self.value / 100, self.step / 100)]
        if self.step < 1:
            readings.append((self.value * 100, self.step * 100))
        if self.step == Fraction(1, 1_000):
            readings.append((self.value * 1_000, Fraction(1)))
        return any(abs(abs(value) - abs(truth)) < max(step, Fraction(1, 10**9)) for value, step in readings)


def check_number(question: str, answer: str) -> tuple[bool, str] | None:
    """Whether the answer's final number is the value that the question asks for, and what was compared.

    None for a question that is not plain arithmetic, and for an answer whose final number is not clear.
    """
    if len(question) > MOST_QUESTION_CHARACTERS or len(answer) > MOST_ANSWER_CHARACTERS:
        return None
    asked = _find_sum(to_plain_signs(question))
    text = _BOLD.sub(" ", to_plain_signs(answer))
    numbers = [_read(number) for number in islice(_NUMBER.finditer(text), MOST_NUMBERS) if len(number[0]) < MOST_DIGITS]
    final = _find_final(text, numbers) if asked else None
    if asked is None or final is None:
        return None
    expression, truth = asked
    compared = f"{expression} = {_show(truth)}"
    if final.shows(truth):
        return True, compared
    if any(number.may_mean(truth) for number in numbers) or _OTHER_NUMBERS.search(text):
        return None
    return False, f"{compared}, and the answer says {_show(final.value)}"


def _find_sum(question: str) -> tuple[str, Fraction] | None:
    """The sum that a question asks for, and its value."""
    if (expression := _find_expression(question)) is None:
        return None
    try:
        value, operators = evaluate(expression)
    except NotPlainError:
        return None
    return (" ".join(expression.split()), value) if operators else None


def _find_expression(question: str) -> str | None:
    """The sum that a question asks for, if nothing else in it could change the sum."""
    asking = list(_ASKING.finditer(question))
    before, start = (question[: asking[-1].start()], asking[-1].end()) if asking else ("", 0)
    found = _EXPRESSION.match(question, start)
    if found is None:
        return None
    rest = question[found.end() :]
    around = before + " " + rest
    unclear = rest.startswith("!") or (found[0][-1:].isalnum() and rest[:1].isalnum()) or _SPECIAL & set(around)
    if unclear or not around.isascii() or any(map(str.isdigit, around)):
        return None
    words = {word.casefold() for word in _WORD.findall(_HARMLESS_PHRASE.sub(" ", around))}
    expression = found[0].strip().rstrip(".,").strip()
    return expression if words <= _HARMLESS and not _NO_SUM.fullmatch(expression) else None


def _find_final(text: str, numbers: list[_Written]) -> _Written | None:
    """The number that an answer gives: in a box, said to be the answer, behind the last equals sign, or alone."""
    if boxed := list(_BOXED.finditer(text)):
        inside = [each for each in numbers if boxed[-1].start(1) <= each.start < boxed[-1].end(1)]
        return inside[0] if len(inside) == 1 and _alone(boxed[-1][1], inside[0], boxed[-1].start(1)) else None
    by_start = {number.start: number for number in numbers}
    for sign in (_SAID, _EQUALS):
        if signs := list(sign.finditer(text)):
            claimed = by_start.get(signs[-1].end())
            return claimed if claimed and not _GOES_ON.match(text, claimed.end) else None
    return numbers[0] if len(numbers) == 1 and _alone(text, numbers[0], 0) else None


def _alone(text: str, number: _Written, start: int) -> bool:
    """Whether a text that starts at `start` says little beside its number."""
    around = text[: number.start - start] + " " + text[number.end - start :]
    return len(_WORD.findall(around)) <= MOST_WORDS_AROUND and not set(around) & set("+*/^=<>-~")


def _read(number: re.Match[str]) -> _Written:
    digits = number["number"].replace(",", "")
    value, step = Fraction(digits), Fraction(1, 10 ** len(digits.partition(".")[2]))
    if step == 1 and value >= ROUNDED_FROM:
        step = Fraction(10 ** (len(digits) - len(digits.rstrip("0"))))
    if number["below"] and (below := int(number["below"])):
        value, step = value / below, Fraction(0)
    if number["whole"]:
        value += int(number["whole"])
    if number["percent"]:
        value, step = value / 100, step / 100
    return _Written(number.start(), number.end(), -value if number["minus"] else value, step)


def _show(value: Fraction) -> str:
    shown = str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
