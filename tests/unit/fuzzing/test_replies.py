"""What models may write: nothing crashes a reader of it, nothing makes one slower than linear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.answer_checks import check_answer
from shared.questions.answering import parse_answers
from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import GATES
from shared.questions.judging import CRITERIA, parse_verdicts
from shared.questions.parsing import parse_questions
from shared.questions.tokens import count_tokens
from tests.processor import takes_at_most
from tests.unit.fuzzing.shapes import SOME, Reader, Shape, fuzzed, fuzzed_at_length, nasty_texts, shapes

# A reply of 128,000 tokens has half a megabyte; ten times as long is what no model writes.
LONG = 5_000_000 if SOME else 250_000
# Measured at up to 0.8 s a megabyte, on one core of 2020; a quadratic reader takes minutes.
SECONDS_PER_MEGABYTE = 6.0
QUESTION_CHARACTERS = 60_000  # three times the most tokens that a spec may ask for

READERS: dict[str, Reader] = {
    "questions": parse_questions,
    "answers": lambda text: parse_answers(text, count=20),
    "answer": lambda text: parse_answers(text, count=1),
    "verdicts": lambda text: parse_verdicts(text, count=20),
}


def within_its_time(read: Reader, text: str) -> None:
    with takes_at_most(0.5 + SECONDS_PER_MEGABYTE * len(text) / 1e6):
        read(text)


@fuzzed(150)
@given(nasty_texts, st.booleans(), st.integers(1, 5))
def test_a_reply_is_read_or_says_why_not(text: str, cut: bool, count: int) -> None:
    questions = parse_questions(text, cut=cut)
    assert bool(questions.questions) or questions.problem is not None
    answers = parse_answers(text, count=count, cut=cut)
    assert bool(answers.answers) or answers.problem is not None
    assert all(1 <= number <= count and answer.strip() for number, answer in answers.answers.items())
    verdicts = parse_verdicts(text, count=count, cut=cut)
    assert bool(verdicts.verdicts) or verdicts.problem is not None
    for verdict in verdicts.verdicts.values():
        assert set(verdict.scores) == set(CRITERIA)
        assert all(1 <= score <= 5 for score in verdict.scores.values())
        assert verdict.reason.isprintable()


@pytest.mark.parametrize("name", READERS)
@fuzzed_at_length(6)
@given(shape=shapes)
def test_a_long_reply_takes_linear_time(name: str, shape: Shape) -> None:
    within_its_time(READERS[name], shape.text(LONG))


@fuzzed(60)
@given(nasty_texts, nasty_texts, st.sampled_from(["math", "coding", "tool use", "reading"]))
def test_every_gate_and_check_takes_any_text(question: str, answer: str, domain: str) -> None:
    parsed = ParsedQuestion(question, domain, count_tokens(question), 50)
    assert all(gate.refuses(parsed) in {True, False} for gate in GATES.values())
    check_answer(question, answer, domain=domain)


@fuzzed_at_length(8)
@given(shape=shapes)
def test_gates_and_checks_take_linear_time(shape: Shape) -> None:
    text = shape.text(QUESTION_CHARACTERS)
    parsed = ParsedQuestion(text, "tool use", len(text) // 4, len(text) // 4)
    for gate in GATES.values():
        within_its_time(lambda _, gate=gate: gate.refuses(parsed), text)  # type: ignore[misc]
    within_its_time(count_tokens, text)
    for domain in ("math", "coding"):
        within_its_time(lambda text, domain=domain: check_answer(text[:200], text, domain=domain), text)  # type: ignore[misc]
