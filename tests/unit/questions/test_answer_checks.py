import json
import warnings
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.questions.answer_checks import ARITHMETIC, SYNTAX, check_answer
from shared.questions.answering import parse_answers
from tests.processor import takes_at_most

FENCE = "```"
SMALL = st.integers(2, 999)


def check(question: str, answer: str, domain: str = "math") -> bool | None:
    found = check_answer(question, answer, domain=domain)
    return found.passed if found else None


def python(code: str, question: str = "Write it.", domain: str = "coding") -> bool | None:
    return check(question, f"Here:\n{FENCE}python\n{code}\n{FENCE}\nDone.", domain)


@given(SMALL, SMALL, st.sampled_from("+-*"), st.integers(-30, 30).filter(bool))
@example(12, 5, "+", 1)
def test_sums_are_worked_out_again(left: int, right: int, sign: str, off: int) -> None:
    question = f"What is {left} {sign} {right}?"
    truth = {"+": left + right, "-": left - right, "*": left * right}[sign]
    work = f"{left} {sign} {right} = {{}}"
    for form in ("{}", "{}.", "It is {}.", work, "Add up.\n\n**The answer is {}.**", "$\\boxed{{{}}}$"):
        assert check(question, form.format(truth)) is True
        assert check(question, form.format(f"{truth:,}")) is True
        # The wrong number is told, or nothing is said: "-5" for 5, or 1,300 for 1,297.
        assert check(question, form.format(truth + off)) is not True


@given(SMALL, SMALL)
def test_fractions_and_rounded_decimals_are_right(above: int, below: int) -> None:
    question = f"Compute {above} / {below}."
    value = Fraction(above, below)
    percent = f"{above / below * 100:.6f}%"
    for answer in (f"{above}/{below}", f"\\frac{{{above}}}{{{below}}}", f"{above / below:.3f}", percent):
        assert check(question, f"The result is {answer}.") is not False
    assert check(question, f"The result is {value}.") is True
    assert check(question, f"The result is {above / below:.2f}.") is True


RIGHT = [
    ("Compute 3 * (4 + 2) / 9", "3 * 6 = 18, and 18 / 9 = 2."),
    ("Quick mental math: what is 15% of 80?", "12"),
    ("Evaluate $\\frac{1}{2} + \\frac{1}{4}$. Give your answer as a fraction.", "$\\boxed{\\frac{3}{4}}$"),
    ("What is 1,234 + 5?", "1239"),
    ("What is 7 \N{MINUS SIGN} 12?", "\N{MINUS SIGN}5"),
    ("What is 7/2 + 1?", "4 1/2"),
    ("What is 1/4 + 1/4?", "50%"),
    ("12 + 5 = ?", "**17**"),
    ("What is 2 ^ 10?", "2 ^ 10 = 1,024"),
]
WRONG = [
    ("What is 12 + 5?", "18"),
    ("What is 12 + 5?", "12 + 5 = **19**"),
    ("What is 25 * 4? Show your work.", "20 * 4 = 80, 5 * 4 = 20, 80 + 20 = 90."),
    ("What is 15% of 80?", "The answer is 1.3."),
    ("Evaluate $\\frac{1}{2} + \\frac{1}{4}$.", "$\\frac{1}{2} + \\frac{1}{4} = \\frac{2}{6}$"),
    ("What is 12,345 + 1?", "12,347"),
    ("What is 4 + 4?", "1"),
]
UNCLEAR = [
    ("What is 12 + 5?", "Seventeen."),
    ("What is 12 + 5?", "seventeen (7)"),
    ("What is 12 + 5?", "9" * 5_000),
    ("What is 12 + 5?", "Add 5 to 12."),
    ("What is 12 + 5?", "Dix-sept, soit 5 de plus que douze."),
    ("What is 12 + 5?", "12 + 5 = 17, as 17 - 5 = 12"),
    ("What is 12 + 5?", "12 + 5 = 10 + 7"),
    ("What is 10 / 4?", "2 remainder 2"),
    ("What is 10 / 3?", "About 3"),
    ("What is 2 / 3 + 1?", "1.6..."),
    ("What is 2.5 + 2.25?", "4,75"),
    ("What is 1,000 * 1,234?", "1 234 000"),
    ("What is 5 - 8?", "minus 3"),
    ("What is 2 ^ 50?", "= 1.1 * 10^15"),
    ("What is 1,297 + 2?", "about 1,300"),
    ("What is 9/11?", "A date: 2001."),
    ("What is 24/7?", "7"),
    ("In base 8, what is 7 + 5?", "14"),
    ("Let + mean times. What is 3 + 4?", "12"),
    ("On a clock: what is 9 + 5?", "2"),
    ("What is 7 + 5 modulo 12?", "0"),
    ("What is 12 + 5 rounded to the nearest ten?", "20"),
    ("What is 5 + 3!", "11"),
    ("What is 5² + 3 * 2?", "31"),
    ("What is 3 + 4a?", "3 + 4a"),
    ("What is 5 + 10%?", "5.5"),
    ("What is 12 + 5 apples?", "18"),
    ("What is 6 / 2(1 + 2)?", "1"),
    ("What is -2 ^ 2?", "4"),
    ("What is 4 / 0?", "0"),
    ("What is 12?", "13"),
    ("If 2 + 2 = 5, what is 2 + 3?", "6"),
    ("What is 12 + 5?", ""),
]


@pytest.mark.parametrize(("question", "answer"), RIGHT)
def test_right_answers_pass(question: str, answer: str) -> None:
    assert check(question, answer) is True


@pytest.mark.parametrize(("question", "answer"), WRONG)
def test_wrong_answers_fail_and_say_what_is_right(question: str, answer: str) -> None:
    found = check_answer(question, answer, domain="math")
    assert found is not None
    assert (found.name, found.passed) == (ARITHMETIC, False)
    assert ", and the answer says " in found.detail


@pytest.mark.parametrize(("question", "answer"), UNCLEAR)
def test_what_is_unclear_is_left_open(question: str, answer: str) -> None:
    assert check(question, answer) is None


def test_sums_of_programs_are_left_open() -> None:
    assert check("What is 2 ^ 3?", "1", domain="Coding") is None


PARSES = [
    "print('hi')",
    "    x = 1\n    y = 2",
    "async def f():\n    return [await g(i) async for i in h()]",
    "match x:\n    case 1: pass",
    "return 1",
]
BROKEN = ["print('hi'", "def f(:\n    pass", "x = = 2", "if x\n    y()", "for i in range(3):\nprint(i)", "x = 'a"]
LEFT_OPEN = [
    "def f(:\n    ...",
    ">>> 1 +\n",
    "print 'hi'",
    "try:\n    x()\nexcept E, e:\n    pass",
    "x = <your value>",
    "else:\n    y()",
    "%timeit f()",
    "print(f'{d['a']}')",
    "def f[T](x: T): pass",
    "type X = int",
    "",
    "\0",
    "(" * 250 + ")" * 250,
    "-" * 19_000 + "1",
    "not " * 4_000 + "1",
    "lambda:" * 2_500 + "1",
    "1" + "+1" * 9_000,
    "x = " + "9" * 5_000,
    "a" * 20_001 + "(",
]


@pytest.mark.parametrize("code", PARSES)
def test_python_that_parses_passes(code: str) -> None:
    assert python(code) is True


@pytest.mark.parametrize("code", BROKEN)
def test_python_that_cannot_parse_fails(code: str) -> None:
    assert python(code) is False
    assert python(code, domain="math") is None
    assert python(code, question="Find the bug and fix it.") is None
    assert check("Write it.", f"Wrong:\n{FENCE}py\n{code}\n{FENCE}", "coding") is None


@pytest.mark.parametrize("code", LEFT_OPEN)
def test_python_that_may_be_meant_so_is_left_open(code: str) -> None:
    if python(code) is not None:  # a newer Python reads more
        assert python(code) is True


def test_an_unknown_escape_is_no_mistake_where_warnings_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert python("x = '\\d'") is True


@pytest.mark.parametrize(
    ("block", "passed"),
    [
        ('{"a": [1, 2]}', True),
        ('{"a": 1}\n{"b": 2}', True),
        ('{"a": 1,}', False),
        ("{'a': 1}", False),
        ('{"a": 1', False),
        ('{"a": ...}', None),
        ('{"a": 1} // one', None),
        ('{"a": <number>}', None),
        ('"a": 1', None),
        ('{"a": NaN}', None),
        ('"a", "b"', None),
        ("[" * 2_000 + "]" * 2_000, None),
        ("", None),
    ],
)
def test_json_blocks_are_read(block: str, passed: bool | None) -> None:
    assert check("Give it as JSON.", f"{FENCE}json\n{block}\n{FENCE}", "tool use") is passed


def test_every_block_counts_and_only_closed_ones() -> None:
    good, bad = f"{FENCE}python\nx = 1\n{FENCE}\n", f"{FENCE}python\nx = (\n{FENCE}\n"
    found = check_answer("Write it.", good + "then\n" + bad, domain="coding")
    assert found is not None
    assert (found.name, found.passed, found.detail) == (SYNTAX, False, "Python, line 1: '(' was never closed")
    assert check("Write it.", good + f"{FENCE}python\nx = (", "coding") is True
    assert check("Write it.", f"{FENCE}text\nx = (\n{FENCE}", "coding") is None
    assert check("Write it.", f"- item\n\n  {FENCE}python\n  x = 1\n  {FENCE}", "coding") is True


PIECES = [
    *(
        "```",
        "python",
        "json",
        "\n",
        "(",
        "[",
        "{",
        "1",
        "+",
        "12 ",
        "/",
        "=",
        " ",
        "%",
        "x",
        "What is ",
        "?",
        "\\frac{",
    ),
    *("}", ",", "'", "\0"),
]
HOSTILE = st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@given(HOSTILE, HOSTILE, st.sampled_from(["math", "coding", "", "x" * 999]))
def test_no_text_makes_it_raise(question: str, answer: str, domain: str) -> None:
    check_answer(question, answer, domain=domain)
    check_answer(f"What is {question}?", f"{FENCE}python\n{answer}\n{FENCE}", domain=domain)


@pytest.mark.parametrize(
    "piece", [*PIECES, "\n\n", "- ", "```py\n", "answer is ", "= 1 ", "9", "1 1/", "<a", "print  "]
)
def test_long_texts_take_bounded_time(piece: str) -> None:
    noise = piece * (1_000_000 // len(piece))
    blocks = [f"{FENCE}{language}\n{noise[:19_900]}\n{FENCE}" for language in ("python", "json")]
    with takes_at_most(2):
        for domain in ("math", "coding"):
            for text in (noise, noise[:7_900], *blocks):
                check_answer("What is 12 + 5?", text, domain=domain)
                check_answer(text, "17", domain=domain)


def test_what_a_reply_holds_can_be_checked() -> None:
    reply = json.dumps({"answers": [{"number": 1, "answer": "$12 + 5 = 17$"}]})
    assert check("What is 12 + 5?", parse_answers(reply, count=1).answers[1]) is True
