import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.latex import decode_string, looks_damaged

COMMANDS = r"""
\alpha \beta \gamma \delta \epsilon \theta \lambda \mu \nu \rho \tau \phi \omega \nabla \partial \infty \frac \tfrac
\binom \tbinom \bar \hat \tilde \vec \sqrt \text \textbf \textit \mathbb \begin \end \left \right \bigl \big \times
\cdot \neq \leq \geq \neg \not \notin \ni \in \forall \exists \nexists \to \rightarrow \leftarrow \Rightarrow \mapsto
\triangle \top \bot \bullet \boxed \binom \nmid \nparallel \ne \tan \tanh \sin \rangle \langle \rfloor \rceil \rvert
\underline \underbrace \union \cup \uplus \upsilon \therefore \because \backslash \quad \limits \nolimits \mathrm \rm
\num \norm \nleq \ngeq \nsim \nsubseteq \boldsymbol \frown \flat \fbox \footnotesize \to \int \sum \prod
""".split()  # noqa: SIM905  (a table to be read)

STAYS_A_BREAK = [
    r"def f():\n    return 1",
    r"Line one.\nNew sentence",
    r"one\n and then",
    r"Go\nto it",
    r"a\nnot b",
    r"\ttab",
    r"\table",
    r"if x:\n\treturn 1\n\telse:\n\t\ttry_it()",
    r"x = 1\ni = 2",
    r"a = 3\nu = 5",
    r"from sympy import *\neq = Eq(x, 1)",
    r"A\nB\nC",
    r"1\ni\nj",
    r"name\tage\tan",
    r"x\to\tx",
    r"for (;;) {\ni++;\n}",
    r"It costs $5.\nu pays $6.",
    r"Given $\\alpha$:\nI think",
    r"This list\nless is more",
    r"first\r\nsecond",
    r"$$\nu = \\alpha$$",
]


def as_json_reads_it(body: str) -> str:
    return str(json.loads(f'"{body}"'))


FRAMES = [r"$x {}$", r"${}{{a}}$", r"\({} 1\)", r"\alpha {} 2", r"$$ {}_{{1}} $$", r"\begin{{cases}} {} \end{{cases}}"]


@pytest.mark.parametrize("frame", FRAMES)
def test_single_backslashes_come_back(frame: str) -> None:
    for text in map(frame.format, COMMANDS):
        assert decode_string(text)[0] == text


@pytest.mark.parametrize("frame", FRAMES)
def test_doubled_backslashes_become_one(frame: str) -> None:
    for text in map(frame.format, COMMANDS):
        assert decode_string(json.dumps(text)[1:-1]) == (text, ())


@pytest.mark.parametrize("command", COMMANDS)
def test_single_and_doubled_ones_may_mix(command: str) -> None:
    assert decode_string(rf"$\\sum {command} \\pi$")[0] == rf"$\sum {command} \pi$"


@pytest.mark.parametrize("body", STAYS_A_BREAK)
def test_line_breaks_and_tabs_stay(body: str) -> None:
    assert decode_string(body) == (as_json_reads_it(body), ())


@pytest.mark.parametrize(
    "text",
    [
        r"Is 5 \ne 3 true?",
        r"the limit x \to 0",
        r"E = h\nu with \alpha",
        r"x_{\top} and A^\top",
        r"\tan(x)",
        r"\to 5",
        r"3 \nmid 5 and \beta",
        r"a \times b",
        r"p \neq q",
        r"the regex \bcat\b or \d+\.\w",
        r"\{1, 2\} and 50\% of \$3",
    ],
)
def test_commands_outside_of_marked_mathematics_come_back(text: str) -> None:
    assert decode_string(text)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{cases} x \\[2pt] y \\\hline \nu \end{cases}",
        r"\begin{aligned}\begin{matrix} 1 \\ 2 \end{matrix} \\ 3 \end{aligned}",
    ],
)
def test_rows_of_an_environment_keep_their_ends(text: str) -> None:
    assert decode_string(text)[0] == text


def test_rows_are_doubled_where_all_is() -> None:
    text = r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}"
    assert decode_string(json.dumps(text)[1:-1]) == (text, ())


def test_an_apostrophe_loses_its_backslash() -> None:
    assert decode_string(r"What\'s up?")[0] == "What's up?"


@pytest.mark.parametrize(
    ("body", "text"), [(r"\u00e9", "é"), (r"\ud83d\ude00", "😀"), (r"\u12", r"\u12"), (r"\ud83d", "\ufffd")]
)
def test_code_points_need_four_digits_and_both_halves(body: str, text: str) -> None:
    assert decode_string(body)[0] == text


def test_pairs_survive_beside_damage() -> None:
    assert decode_string(r"\ud83d\ude00 $\frac12$")[0] == r"😀 $\frac12$"


@given(st.text(), st.booleans())
def test_valid_json_reads_as_json_does(text: str, ascii_only: bool) -> None:
    body = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    if not looks_damaged(body):
        assert decode_string(body) == (text, ())


@given(st.text(st.sampled_from("\\nrtbfu\"'aeox0 ${}()[]\n_^&=.")))
def test_any_body_is_read(body: str) -> None:
    text, _ = decode_string(body)
    assert "\b" not in text
    assert "\f" not in text
