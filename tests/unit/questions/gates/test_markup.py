import pytest

from shared.questions.gates.markup import has_broken_latex, has_open_fence
from tests.unit.questions.gates.asked import asked


@pytest.mark.parametrize(
    "text",
    [
        r"Simplify $\frac{3}{4} + \frac{1}{8}.",
        r"Simplify $\frac{3}{4 + \frac{1}{8}$.",
        r"Simplify \(\frac{3}{4}.",
        r"Simplify \frac{3}{4}\).",
        r"Find x: \[ x^2 = 9",
        r"Solve \begin{cases} x + y = 2 \\ x - y = 0",
        "Solve $x^2 - 5x + 6 = 0 for x.",
        r"Solve \begin{cases} x + y = 2 \end{aligned}",
        r"Expand $\left( x + 1 )^2$.",
        r"Pens cost $3 or $4. Compute $\frac{1}{2} \times 3$ and then $\sqrt{9}.",
        r"Simplify \(x + 2.",
        r"If $\alpha = 3$ and $\beta = 4, what is $\alpha\beta$?",
    ],
)
def test_refuses_latex_that_does_not_close(text: str) -> None:
    assert has_broken_latex(asked(text))


@pytest.mark.parametrize(
    "text",
    [
        r"Simplify $\frac{3}{4} + \frac{1}{8}$.",
        r"A pen costs $3. What is $\frac{1}{2}$ of that?",
        r"Pens cost $3, $4.50 and $5 each; compute $\frac{1}{3}$ of the sum.",
        r"Compute $5 \times 3$ and $2 \times 7$.",
        r"Solve \[\begin{cases} x + y = 2 \\[2pt] x - y = 0 \end{cases}\]",
        r"Is $\{1, 2\} \subset \{1, 2, 3\}$?",
        r"A set is written with a brace: what does $\{ x : x > 0 $ lack, and why does \} come last?",
        r"Use $\left( \frac{1}{2} \right)^3$.",
        r"Which way does $\leftarrow$ point?",
        "A shirt costs $20 and a hat $5. How much are both?",
        r"Why does grep '\(ab' fail?",
        r"What does `\frac{` mean in TeX, and `$x` in a shell?",
        "What is wrong here?\n```tex\n$\\frac{1}{2\n```",
        r"Where is C:\temp\new{1}.txt?",
        r"What does re.findall(r'\d{2,', text) raise?",
        r"A ticket costs $12. Consider $2 \alpha$ and $3 y + \pi$.",
        r"Ann saves $5 a week. What is $\frac{1}{2}$ of that?",
        r"It costs \$5, and $\pi$ is no price.",
    ],
)
def test_lets_whole_latex_money_and_code_pass(text: str) -> None:
    assert not has_broken_latex(asked(text))


def test_dollars_and_carets_of_code_are_no_latex() -> None:
    assert not has_broken_latex(asked("What does $x = 5 ^ 3; print in PHP?", "coding"))
    assert has_broken_latex(asked("What is $x if x = 5 ^ 3?", "math"))


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("What does this print?\n```python\nprint(1)\n```", False),
        ("What does this print?\n```python\nprint(1)", True),
        ("print(1)\n```\nWhat does it print?", True),
        ("```\na\n```\nand\n```\nb\n```", False),
        ("What does `print(1)` print?", False),
    ],
)
def test_code_fences_come_in_pairs(text: str, open_: bool) -> None:
    assert has_open_fence(asked(text)) is open_
