"""Plain arithmetic inside a short question: the one kind that a rehearsal model really answers."""

import ast
import re
from collections.abc import Callable
from fractions import Fraction

_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_OPERATORS = {
    "+": "+",
    "plus": "+",
    "-": "-",
    "\u2212": "-",  # the typographic minus
    "minus": "-",
    "*": "*",
    "\u00d7": "*",  # the multiplication sign
    "x": "*",
    "times": "*",
    "multiplied by": "*",
    r"\times": "*",
    r"\cdot": "*",
    "/": "/",
    "÷": "/",
    "divided by": "/",
    r"\div": "/",
    "percent of": "/100*",
    "% of": "/100*",
}
_WORDED = "|".join(re.escape(operator) for operator in sorted(_OPERATORS, key=len, reverse=True))
# Between two numbers, and apart from them where it could be a part of a range or of a term with x.
_OPERATOR = rf"(?:\s*[+*\u00d7÷/]\s*|\s*% of\s+|\s+(?:{_WORDED})\s+)"
_OPERAND = rf"\({{0,3}}{_NUMBER}\){{0,3}}"
_ASKED = re.compile(
    rf"\b(?:what is|what's|calculate|compute|evaluate|work out|find the value of)\s+"
    rf"\$?(?P<expression>{_OPERAND}(?:{_OPERATOR}{_OPERAND})+)(?!\d|\.\d|\s*(?:[+*\u00d7÷/^\\=]|[-\u2212]\s*\d)|[A-Za-z_(])",
    re.IGNORECASE,
)
_PIECE = re.compile(rf"{_NUMBER}|[()]|{_WORDED}", re.IGNORECASE)
_COMPUTED: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}


def solve(question: str) -> str | None:
    """The equation that answers a question such as "What is 5 + 12?": "5 + 12 = 17"; None for any other."""
    asked = _ASKED.search(question)
    if asked is None:
        return None
    pieces = _PIECE.findall(asked["expression"])
    translated = "".join(_OPERATORS.get(piece.lower(), piece) for piece in pieces)
    try:
        value = _compute(ast.parse(translated, mode="eval").body)
    except (SyntaxError, ZeroDivisionError):
        return None
    equation = f"{asked['expression']} = {_format(value)}"
    return f"${equation}$" if "\\" in equation else equation


def _compute(node: ast.expr) -> Fraction:
    match node:
        case ast.BinOp(left, operator, right):
            return _COMPUTED[type(operator)](_compute(left), _compute(right))
        case ast.Constant(value):
            return Fraction(str(value))
    raise SyntaxError("not plain arithmetic")


def _format(value: Fraction) -> str:
    """Exact where a few decimals are enough, else rounded to four."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.4f}".rstrip("0")
