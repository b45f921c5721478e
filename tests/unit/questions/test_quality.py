import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.gates.length import longest, shortest
from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import gates_on
from shared.questions.quality import CONTROL_CHARACTER, EMPTY, NO_WORDS, find_flaw
from tests.unit.questions.gates.asked import asked

BY_DEFAULT = gates_on({})


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0"])
def test_refuses_the_empty(text: str) -> None:
    assert find_flaw(asked(text), []) == EMPTY


@pytest.mark.parametrize("code", [0, 7, 8, 11, 12, 13, 27, 31, 127, 128, 133, 159, 0xD800, 0xDFFF, 0xFFFD, 0xFFFF])
def test_refuses_control_characters(code: int) -> None:
    assert find_flaw(asked(f"What is{chr(code)}this?"), []) == CONTROL_CHARACTER


@pytest.mark.parametrize("text", ["def f():\n\treturn 1", "one\r\ntwo", "naïve 😀 व्यायाम 什么", "a\u200db"])
def test_accepts_line_breaks_tabs_and_every_script(text: str) -> None:
    assert find_flaw(asked(text), []) is None


@pytest.mark.parametrize("text", ["12 + 5 = ?", "...", "----------", "😀😀😀"])
def test_refuses_what_has_no_letters(text: str) -> None:
    assert find_flaw(asked(text), []) == NO_WORDS


@pytest.mark.parametrize(
    ("tokens", "mean", "flaw"),
    [
        (2, 15, "too short"),
        (4, 15, None),
        (60, 15, None),
        (61, 15, "too long"),
        (149, 750, "too short"),
        (150, 750, None),
        (2265, 750, None),
        (2266, 750, "too long"),
        (3, 1, None),
    ],
)
def test_length_is_bound_by_the_mean(tokens: int, mean: int, flaw: str | None) -> None:
    assert find_flaw(asked("What is it?", tokens=tokens, mean_tokens=mean), BY_DEFAULT) == flaw


@given(st.integers(1, 20_000))
def test_the_mean_itself_is_never_too_long(mean: int) -> None:
    assert max(3, mean) in range(shortest(mean), longest(mean) + 1)


@given(st.text(st.characters()), st.integers(0, 10**6), st.integers(0, 10**5))
def test_any_text_gets_an_answer(text: str, tokens: int, mean: int) -> None:
    flaw = find_flaw(ParsedQuestion(text, "math", tokens, mean), BY_DEFAULT)
    assert flaw is None or flaw
