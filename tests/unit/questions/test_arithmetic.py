from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.arithmetic import NotPlainError, evaluate, to_plain_signs
from tests.processor import takes_at_most

NUMBERS = st.integers(0, 9_999).map(lambda value: (str(value), Fraction(value))) | st.decimals(
    0, 999, places=2, allow_nan=False
).map(lambda value: (str(value), Fraction(value)))


def _join(parts: tuple[tuple[str, Fraction], str, tuple[str, Fraction]]) -> tuple[str, Fraction]:
    (left, a), sign, (right, b) = parts
    if sign == "/" and b == 0:
        sign = "+"
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else a}[sign]
    return f"({left} {sign} {right})", value


SUMS = st.recursive(NUMBERS, lambda part: st.tuples(part, st.sampled_from("+-*/"), part).map(_join), max_leaves=8)


@given(SUMS)
def test_bracketed_sums_are_worked_out_exactly(written: tuple[str, Fraction]) -> None:
    expression, value = written
    assert evaluate(expression)[0] == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", Fraction(14)),
        ("20 - 5 - 3", Fraction(12)),
        ("48 / 8 / 2", Fraction(3)),
        ("8 / 2 * 4", Fraction(16)),
        ("-3 + 5", Fraction(2)),
        ("4 * -2", Fraction(-8)),
        ("2 ^ 10 - 24", Fraction(1_000)),
        ("2 ** -2", Fraction(1, 4)),
        ("(1,250.5 + 0.5) / 3", Fraction(417)),
        ("15% of 80", Fraction(12)),
        (to_plain_signs("\\frac{1}{2} \\times 3 \\div 6 \N{MINUS SIGN} 1"), Fraction(-3, 4)),
        (to_plain_signs("3 x 4 · 2 ÷ 6"), Fraction(4)),
    ],
)
def test_the_usual_order_of_operations(expression: str, value: Fraction) -> None:
    assert evaluate(expression)[0] == value


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "1 +",
            "(1",
            "1)",
            "1 2",
            "1 / 0",
            "0 ^ 0",
            "2 ^ 3 ^ 2",
            "-2 ^ 2",
            "6 / 2(3)",
            "2 ^ 0.5",
            "1,23",
            "1 + a",
        ),
        *("10% of 20 * 3", "5 + 10% of 20", "9 ^ 65", "(9 ^ 64) ^ 64", "\u0663 + 1", "9" * 31, "1+" * 101),
        "(" * 21 + "1" + ")" * 21,
    ],
)
def test_what_is_unclear_or_too_large_is_refused(expression: str) -> None:
    with pytest.raises(NotPlainError):
        evaluate(expression)


@given(st.text(st.sampled_from("0123456789.,+-*/^()% of"), max_size=250) | st.text(max_size=250))
def test_any_text_ends_soon(text: str) -> None:
    with takes_at_most(0.5):
        try:
            value, operators = evaluate(to_plain_signs(text))
        except NotPlainError:
            return
    assert operators >= 0
    assert max(value.numerator.bit_length(), value.denominator.bit_length()) <= 4_096
