import ast
import json
import re
from functools import cache
from random import Random

import pytest

from local.rehearsal.answerer import Answerers
from local.rehearsal.ask import read_ask
from local.rehearsal.faults import Fault
from local.rehearsal.pools import Pools
from local.rehearsal.replies import Players, expected_output_tokens, make_reply
from local.rehearsal.wire import Asked, Ending, Made
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for, load_atlas
from shared.questions.prompts import draw_tuple, write_prompt
from shared.questions.tokens import count_tokens

DOMAINS = sorted(load_atlas())
SCHEMA = {"type": "object", "properties": {"answers": {"type": "array"}}}
BLOCK = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


@cache
def questions_of(domain: str, mean_tokens: int, count: int) -> list[str]:
    atlas = atlas_for(domain)
    difficulty = "easy" if mean_tokens < 45 else "hard"
    drawn = []
    for ordinal in range(count // 10):
        tuple_ = draw_tuple(atlas, 2025, Cell(domain, difficulty), ordinal)
        ask = read_ask(write_prompt(atlas, tuple_, questions=10, mean_tokens=mean_tokens).user)
        assert ask is not None
        drawn += Pools().draw(ask, Random(ordinal))
    return drawn


def answers(answerers: Answerers, domain: str, mean_tokens: int, count: int) -> list[str]:
    return [
        answerers.answer(question, domain=domain, model="m", random=Random(place))
        for place, question in enumerate(questions_of(domain, mean_tokens, count))
    ]


def reply(
    questions: list[str],
    fault: Fault | None = None,
    *,
    domain: str = "math",
    players: Players | None = None,
    limit: int | None = None,
) -> Made:
    head = f"Domain: {domain}\nDifficulty: easy\nQuestions: {len(questions)}\n\nAnswer them.\n"
    user = head + "".join(f'\n<question number="{n}">\n{each}\n</question>\n' for n, each in enumerate(questions, 1))
    asked = Asked("m", user, 30, SCHEMA, limit)
    return make_reply(asked, read_ask(user), players or Players(), fault, Random(1))


@pytest.mark.parametrize(("asked_tokens", "count"), [(15, 300), (750, 100)])
@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_answers_are_as_long_on_average_as_is_set(asked_tokens: int, count: int, factor: float) -> None:
    short, long = 60 * factor, 900 * factor
    set_mean = short if asked_tokens < 45 else long
    lengths = [
        count_tokens(text)
        for domain in DOMAINS
        for text in answers(Answerers(short, long), domain, asked_tokens, count)
    ]
    assert sum(lengths) / len(lengths) == pytest.approx(set_mean, rel=0.02)
    spread = (sum((each / set_mean - 1) ** 2 for each in lengths) / len(lengths)) ** 0.5
    assert 0.1 < spread < 0.4


def test_two_samples_and_two_models_differ_and_one_draw_is_always_the_same() -> None:
    def answer(model: str, seed: int) -> str:
        return Answerers().answer("Why is the sky blue?", domain="reading", model=model, random=Random(seed))

    assert answer("a", 1) == answer("a", 1)
    assert len({answer("a", 1), answer("a", 2), answer("b", 1)}) == 3


def test_code_parses() -> None:
    texts = answers(Answerers(), "coding", 15, 300) + answers(Answerers(), "coding", 750, 100)
    blocks = [block for text in texts for block in BLOCK.findall(text)]
    assert len(blocks) > len(texts) / 2
    for block in blocks:
        ast.parse(block)


def test_math_holds_latex() -> None:
    assert any("\\frac" in text for text in answers(Answerers(), "math", 15, 300))


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is 5 + 12?", "5 + 12 = 17."),
        ("By mental arithmetic, find the value of 7 x 12 + 11 when packing boxes.", "7 x 12 + 11 = 95."),
        ("A question on discounts: what is 3 percent of 60 apples?", "3 percent of 60 = 1.8."),
        ("By subtraction, what is 12 minus 3 apples?", "12 minus 3 = 9."),
        ("Compute $12 \\times 4$.", "$12 \\times 4 = 48$."),
        ("What is (3 + 4) * 5?", "(3 + 4) * 5 = 35."),
        ("What is 9 \u2212 4 \u2212 1?", "9 \u2212 4 \u2212 1 = 4."),
        ("Calculate 144/12.", "144/12 = 12."),
        ("What is 7 divided by 3?", "7 divided by 3 = 2.3333."),
    ],
)
def test_plain_arithmetic_is_answered_correctly(question: str, result: str) -> None:
    for seed in range(3):
        text = Answerers().answer(question, domain="math", model="m", random=Random(seed))
        assert text.endswith(f"So {result}")


@pytest.mark.parametrize(
    "question",
    [
        "What is $3 \\times \\sqrt{11}$?",
        "What is 2 + 3 \\times \\sqrt{4}?",
        "What is x if 3x + 5 = 40?",
        "What is 2020-2021?",
        "What is 3 + 4x?",
        "What is 5 / 0?",
        "What is ((((1 + 2?",
    ],
)
def test_what_is_no_plain_arithmetic_gets_no_result(question: str) -> None:
    assert " = " not in Answerers().answer(question, domain="reading", model="m", random=Random(1))


def test_each_question_gets_an_answer_under_its_number() -> None:
    questions = questions_of("math", 15, 100)[:20]
    made = reply(questions)
    found = json.loads(made.text)["answers"]
    assert [set(each) for each in found] == [{"number", "answer"}] * 20
    assert [each["number"] for each in found] == list(range(1, 21))
    asked = Asked("m", "", 30, SCHEMA, None)
    user = "Domain: math\n" + "".join(f'<question number="{n}">\n{q}\n</question>\n' for n, q in enumerate(questions))
    expected = expected_output_tokens(asked, read_ask(user), Answerers())
    assert expected == pytest.approx(made.output_tokens, rel=0.15)


def test_faults_reach_answers_too() -> None:
    questions = questions_of("coding", 15, 100)[:14]
    whole = reply(questions, domain="coding").text
    cut = reply(questions, Fault.CUT, domain="coding")
    assert cut.ending is Ending.CUT
    assert whole.startswith(cut.text)
    assert "\\\\" not in reply(questions, Fault.LATEX).text
    with pytest.raises(ValueError, match=r"."):
        json.loads(reply(questions, Fault.BROKEN).text)
    poor = [each["answer"] for each in json.loads(reply(questions, Fault.POOR).text)["answers"]]
    assert "" in poor
    assert "The result is 2 + 2 = 5." in poor


def test_reasoning_uses_up_the_limit_until_there_is_room() -> None:
    players = Players(answerers=Answerers(reasoning_share=1.0, reasoning_room=3000))
    assert reply(["Why?"], players=players, limit=2999) == Made("", Ending.CUT, 2999, 2999)
    made = reply(["Why?"], players=players, limit=3000)
    assert made.ending is Ending.COMPLETE
    assert made.reasoning_tokens == 1500
    assert made.output_tokens == 1500 + count_tokens(made.text)


def test_a_share_of_the_questions_needs_the_room_whoever_else_is_in_the_call() -> None:
    answerers = Answerers(reasoning_share=0.1)
    hard = [question for number in range(2000) if answerers.reasons_long([question := f"Why {number}?"], "m")]
    assert len(hard) == pytest.approx(200, abs=40)
    assert answerers.reasons_long(["Why not?", hard[0]], "m")
    assert not all(answerers.reasons_long([question], "n") for question in hard)
