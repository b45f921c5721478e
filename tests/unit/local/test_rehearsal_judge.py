import json
from random import Random
from typing import Any

import pytest

from local.rehearsal.ask import read_ask
from local.rehearsal.faults import Fault
from local.rehearsal.judge import CRITERIA, Judges
from local.rehearsal.replies import Players, expected_output_tokens, make_reply
from local.rehearsal.wire import Asked, Ending

QUESTIONS = [f"What is the perimeter of a square with a side of {side} cm?" for side in range(3, 23)]
SCHEMA = {"type": "object", "properties": {"verdicts": {"type": "array"}}}


def prompt(questions: list[str]) -> str:
    head = f"Domain: math\nDifficulty: easy\nQuestions: {len(questions)}\nLength: about 15 tokens each\n\nJudge them.\n"
    return head + "".join(f'\n<question number="{n}">\n{each}\n</question>\n' for n, each in enumerate(questions, 1))


def ask(questions: list[str], players: Players, fault: Fault | None = None, seed: int = 1) -> str:
    user = prompt(questions)
    return make_reply(Asked("m", user, 30, SCHEMA, None), read_ask(user), players, fault, Random(seed)).text


def is_low(score: object) -> bool:
    return not isinstance(score, int) or score < 4


def is_bad(verdict: dict[str, Any]) -> bool:
    return any(is_low(verdict[criterion]) for criterion in CRITERIA)


def test_each_question_gets_a_verdict_under_its_number() -> None:
    verdicts = json.loads(ask(QUESTIONS, Players()))["verdicts"]
    assert [each["number"] for each in verdicts] == list(range(1, 21))
    for verdict in verdicts:
        assert set(verdict) == {"number", "reason", *CRITERIA}
        assert all(1 <= verdict[criterion] <= 5 for criterion in CRITERIA)
        assert bool(verdict["reason"]) == is_bad(verdict)


def test_the_set_share_is_bad_in_the_eyes_of_every_judge() -> None:
    questions = {number: f"How many legs have {number} spiders?" for number in range(5000)}
    opinions = [Judges(0.1, noise=0).verdicts(questions, Random(seed)) for seed in (1, 2)]
    assert opinions[0] == opinions[1]
    assert sum(map(is_bad, opinions[0])) / 5000 == pytest.approx(0.1, abs=0.01)
    failed = {next(name for name in CRITERIA if is_low(verdict[name])) for verdict in filter(is_bad, opinions[0])}
    assert failed == set(CRITERIA)


def test_noise_is_the_share_of_verdicts_that_differ() -> None:
    questions = {number: f"How many legs have {number} spiders?" for number in range(5000)}
    agreed, noisy = (Judges(0.1, noise).verdicts(questions, Random(1)) for noise in (0, 0.05))
    differing = sum(is_bad(one) != is_bad(other) for one, other in zip(agreed, noisy, strict=True))
    assert differing / 5000 == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    "rubbish", ["", "   ", "?!", "[Insert text about tides here] Why?", "Why is [Topic] so?", "TODO"]
)
def test_rubbish_is_rejected_whoever_judges(rubbish: str) -> None:
    judges = Judges(reject_share=0, noise=1)
    assert all(is_bad(judges.judge(1, rubbish, Random(seed))) for seed in range(20))
    text = ask(["What is 2 + 3?", rubbish], Players(judges=Judges(0, 0)))
    assert [is_bad(verdict) for verdict in json.loads(text)["verdicts"]] == [False, True]


def test_a_question_may_have_any_lines() -> None:
    question = "Domain: cooking\n\n<question>\nQuestions: 3\n\nWhy?"
    found = read_ask(prompt([question, "And then?"]))
    assert found is not None
    assert found.given == {1: question, 2: "And then?"}
    assert found.domain == "math"


@pytest.mark.parametrize("seed", range(8))
def test_broken_and_latex_replies_hold_all_verdicts(seed: int) -> None:
    broken = ask(QUESTIONS, Players(), Fault.BROKEN, seed)
    with pytest.raises(ValueError, match=r"."):
        json.loads(broken)
    assert broken.count("self_contained") == 20
    latex = ask(QUESTIONS, Players(), Fault.LATEX, seed)
    assert "$" in latex
    assert "\\\\" not in latex


def test_cut_and_poor_replies() -> None:
    whole = ask(QUESTIONS, Players())
    user = prompt(QUESTIONS)
    made = make_reply(Asked("m", user, 30, SCHEMA, None), read_ask(user), Players(), Fault.CUT, Random(1))
    assert made.ending is Ending.CUT
    assert whole.startswith(made.text)
    poor = json.loads(ask(QUESTIONS, Players(), Fault.POOR))["verdicts"]
    assert poor[::2] == json.loads(whole)["verdicts"][::2]
    assert {each["number"] for each in poor[1::2]} & {999}
    assert any("answerable" not in each for each in poor)
    assert any(each.get("clear") not in range(1, 6) for each in poor)


def test_what_the_quotas_take_beforehand_is_about_right() -> None:
    user = prompt(QUESTIONS)
    asked = Asked("m", user, 30, SCHEMA, None)
    made = make_reply(asked, read_ask(user), Players(), None, Random(1))
    assert expected_output_tokens(asked, read_ask(user), Players().answerers) == pytest.approx(
        made.output_tokens, rel=0.1
    )
