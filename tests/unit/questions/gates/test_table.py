"""What holds for all gates: switched by name, never failing, and never slower than the text is long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.planning.mix import fold_name
from shared.questions.gates.table import GATES, gates_on, switch_gates
from shared.questions.quality import find_flaw
from tests.processor import takes_at_most
from tests.unit.questions.gates.asked import asked

# One flawed question for each gate, which no other gate refuses: (text, domain, tokens).
FLAWED = {
    "too short": ("What is it?", "reasoning", 2),
    "too long": ("What is it?", "reasoning", 500),
    "refusal": ("I'm sorry, but I can't help with that.", "reasoning", 15),
    "prompt leak": ("Here are 20 questions about fractions.", "reasoning", 15),
    "placeholder": ("Who is late in this story? [insert story here] Read the text. [insert text here]", "coding", 15),
    "answer included": ("What is 6 times 7? Answer: 42", "math", 15),
    "unfinished": ("If a train leaves at nine and the", "math", 15),
    "open code fence": ("What does this print?\n```\nprint(1)", "coding", 15),
    "broken latex": (r"Simplify $\frac{3}{4 + \frac{1}{8}$.", "math", 15),
    "no passage": ("According to the passage, who was late?", "reading", 15),
    "no tool": ("What is the weather in Oslo?", "tool use", 15),
    "language": ("Was ist die Hauptstadt von Frankreich?", "reasoning", 15),
}
ALL_ON = dict.fromkeys(GATES, True)
switches = st.dictionaries(st.sampled_from(sorted(GATES)), st.booleans())
# What the rules look for, in any order, between any text.
pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*(text for text, _, _ in FLAWED.values()), "$", "\\(", "```", "`", "{", "\\frac{", "Answer: ", "Topic: ",
         "[insert ", "I can't help ", "the passage ", "(correct)", "A) ", "...", "$5 ", "\\begin{a}", ": ", ",", "的"]
    ),
)  # fmt: skip
texts = st.lists(pieces, max_size=12).map("".join)


def test_every_gate_has_a_flawed_question_here() -> None:
    assert FLAWED.keys() == GATES.keys()


@pytest.mark.parametrize("name", GATES)
def test_a_gate_refuses_under_its_own_name_and_only_when_it_is_on(name: str) -> None:
    text, domain, tokens = FLAWED[name]
    question = asked(text, domain, tokens=tokens)
    assert find_flaw(question, gates_on(ALL_ON)) == name
    assert find_flaw(question, gates_on(ALL_ON | {name: False})) is None


def test_all_gates_are_on_by_default_but_the_one_that_real_questions_fail() -> None:
    assert [name for name, on in switch_gates({}).items() if not on] == ["no tool"]


@pytest.mark.parametrize("name", GATES)
def test_names_are_folded_as_a_spec_folds_them(name: str) -> None:
    assert fold_name(name) == name


def test_switches_of_another_version_are_passed_over() -> None:
    assert gates_on({"gate of the future": True, "language": False}) == gates_on({"language": False})
    assert "gate of the future" not in switch_gates({"gate of the future": True})


@given(texts, st.sampled_from(["math", "tool use", "reading"]), st.integers(0, 3000), switches)
def test_any_text_gets_an_answer_and_a_gate_that_is_off_is_no_reason(
    text: str, domain: str, tokens: int, switched: dict[str, bool]
) -> None:
    flaw = find_flaw(asked(text, domain, tokens=tokens), gates_on(switched))
    if flaw is not None and flaw in GATES:
        assert switch_gates(switched)[flaw]


@given(texts, st.sampled_from(["math", "tool use", "reading"]), st.integers(0, 3000))
def test_whatever_one_gate_refuses_all_of_them_refuse(text: str, domain: str, tokens: int) -> None:
    question = asked(text, domain, tokens=tokens)
    alone = {find_flaw(question, [gate]) for gate in GATES.values()}
    assert find_flaw(question, gates_on(ALL_ON)) in alone
    assert (find_flaw(question, gates_on(ALL_ON)) is None) == (alone == {None})


@pytest.mark.parametrize(
    "piece",
    [
        "a", " ", "\n", "-", "$5 ", "\\", "\\frac{", "[insert ", "[insert a-", "`", "Topic: ", "answer: ", "I can't ",
        "a.  A", "the passage ", "A) x (correct)\n", "的", "Here are ", "x_",
    ],
)  # fmt: skip
def test_no_text_of_a_megabyte_takes_long(piece: str) -> None:
    text = "What is \\frac{1}{2} in the passage " + piece * (1_000_000 // len(piece))
    with takes_at_most(10):  # half a second; what is not linear takes hours
        for gate in GATES.values():
            gate.refuses(asked(text, "tool use" if gate.name == "no tool" else "reading"))
