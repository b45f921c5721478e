"""Plain arithmetic, worked out exactly: numbers, + - * / and powers, brackets, and "15% of"."""

import re
from fractions import Fraction

MOST_CHARACTERS = 200
MOST_TOKENS = 100
MOST_DEPTH = 20
MOST_DIGITS = 30
MOST_EXPONENT = 64
MOST_BITS = 2_048
"""Of a numerator or denominator on the way."""

_TOKEN = re.compile(r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)|(\*\*|[-+*/^()])|(%\s*of\b))", re.ASCII)
_AS_ASCII = {
    **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}", "-"),
    **dict.fromkeys("\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}\N{ASTERISK OPERATOR}", "*"),
    **dict.fromkeys("\N{DIVISION SIGN}\N{DIVISION SLASH}\N{FRACTION SLASH}", "/"),
}
_SIGNS = str.maketrans(_AS_ASCII)
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])|\\(?:times|cdot)(?![A-Za-z])", re.ASCII)
_FRACTION = re.compile(r"\\[dt]?frac\{(-?\d{1,30})\}\{(\d{1,30})\}", re.ASCII)


class NotPlainError(Exception):
    """The text is no arithmetic, can be read in two ways, or is too large to be worked out here."""


def to_plain_signs(text: str) -> str:
    r"""The text with the signs of typography and LaTeX (`\times`, `\frac{1}{2}`, dollars) as those of a keyboard."""
    if "\\" in text:
        text = _FRACTION.sub(r"(\1/\2)", text)
        text = re.sub(r"\\div(?![A-Za-z])", "/", text)
        text = re.sub(r"\\(?:left|right)(?=[()])|\\[,;:! ]", "", text)
        text = re.sub(r"\\[()\[\]]", " ", text).replace("\\%", "%")
    return _TIMES.sub(" * ", text.translate(_SIGNS).replace("$", " "))


def evaluate(expression: str) -> tuple[Fraction, int]:
    """The exact value of an expression in plain signs, and how many operators it has.

    Raises NotPlainError on anything else, on a division by zero, and where people disagree: `2^3^2`, `-2^2`, `6/2(3)`.
    """
    if len(expression) > MOST_CHARACTERS:
        raise NotPlainError
    tokens: list[str] = []
    at = 0
    end = len(expression.rstrip())
    while at < end:
        token = _TOKEN.match(expression, at)
        if token is None or len(tokens) == MOST_TOKENS:
            raise NotPlainError
        tokens.append("%" if token[3] else token[1] or token[2])
        at = token.end()
    reader = _Reader(tokens)
    value = reader.read_sum(0)
    if reader.next:
        raise NotPlainError
    return value, reader.operators


class _Reader:
    """One pass over the tokens, by recursive descent."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self.operators = 0

    @property
    def next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self.next
        self._at += 1
        return token

    def _take_operator(self) -> str:
        self.operators += 1
        return self._take()

    def read_sum(self, depth: int) -> Fraction:
        """Terms with + and - between them."""
        value = self._read_product(depth)
        while self.next in {"+", "-"}:
            sign = 1 if self._take_operator() == "+" else -1
            value = _bounded(value + sign * self._read_product(depth))
        return value

    def _read_product(self, depth: int) -> Fraction:
        value = self._read_signed(depth)
        while self.next in {"*", "/"}:
            if self._take_operator() == "*":
                value *= self._read_signed(depth)
            elif divisor := self._read_signed(depth):
                value /= divisor
            else:
                raise NotPlainError
            value = _bounded(value)
        return value

    def _read_signed(self, depth: int) -> Fraction:
        if self.next in {"+", "-"}:
            sign = 1 if self._take() == "+" else -1
            return sign * self._read_power(depth, signed=True)
        return self._read_power(depth, signed=False)

    def _read_power(self, depth: int, *, signed: bool) -> Fraction:
        base = self._read_atom(depth)
        if self.next not in {"^", "**"}:
            return base
        self._take_operator()
        negative = self.next == "-"
        if negative:
            self._take()
        exponent = self._read_atom(depth) * (-1 if negative else 1)
        if signed or self.next in {"^", "**"} or exponent.denominator != 1 or abs(exponent) > MOST_EXPONENT:
            raise NotPlainError
        if exponent <= 0 and base == 0:
            raise NotPlainError
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent) > MOST_BITS:
            raise NotPlainError
        return Fraction(base ** int(exponent))

    def _read_atom(self, depth: int) -> Fraction:
        first = self._take()
        if first == "(" and depth < MOST_DEPTH:
            value = self.read_sum(depth + 1)
            if self._take() != ")":
                raise NotPlainError
        elif first[:1].isdigit() and len(first) <= MOST_DIGITS:
            value = Fraction(first.replace(",", ""))
        else:
            raise NotPlainError
        if self.next == "%":
            # "10% of 20 * 3" and "5 + 10% of 20" are read in two ways: only one percentage of one number is plain.
            if first == "(" or self._at != 1:
                raise NotPlainError
            self._take_operator()
            value = value / 100 * self._read_atom(depth)
            if self.next:
                raise NotPlainError
        return value


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise NotPlainError
    return value
