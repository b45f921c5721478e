import ast
import json
from random import Random
from typing import Any

import pytest

from local.rehearsal.ask import read_ask
from local.rehearsal.faults import Fault
from local.rehearsal.plausible import UnknownSchema, fill_schema
from local.rehearsal.replies import Players, make_reply
from local.rehearsal.wire import Asked, Ending, Made
from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import gates_on
from shared.questions.parsing import parse_questions
from shared.questions.quality import find_flaw
from shared.questions.tokens import count_tokens

USER = "Domain: math\nTopic: fractions\nSubtopic: adding unlike denominators\nForm: word problem\nQuestions: 20\n"


def reply(fault: Fault | None = None, seed: int = 1, limit: int | None = None, reasoning: float = 0.0) -> Made:
    asked = Asked("m", USER, 30, None, limit, reasoning)
    return make_reply(asked, read_ask(USER), Players(), fault, Random(seed))


def test_good_reply_parses_without_repair() -> None:
    made = reply()
    parsed = parse_questions(made.text)
    assert len(parsed.questions) == 20
    assert parsed.repairs == ()
    assert made.ending is Ending.COMPLETE
    assert made.output_tokens == count_tokens(made.text)


@pytest.mark.parametrize("seed", range(8))
def test_broken_reply_is_no_json_yet_holds_all_questions(seed: int) -> None:
    made = reply(Fault.BROKEN, seed)
    with pytest.raises(ValueError, match=r"."):
        json.loads(made.text)
    parsed = parse_questions(made.text)
    assert len(parsed.questions) == 20
    assert parsed.repairs


def test_every_kind_of_broken_json_occurs() -> None:
    texts = [reply(Fault.BROKEN, seed).text for seed in range(20)]
    assert any(text.startswith("```") for text in texts)
    assert any(text.startswith("Here") for text in texts)
    assert any(text.endswith(",]}") for text in texts)
    single = next(text for text in texts if text.startswith("{'"))
    assert len(ast.literal_eval(single)["questions"]) == 20


def test_latex_reply_has_single_backslashes() -> None:
    for seed in range(5):
        text = reply(Fault.LATEX, seed).text
        assert "$" in text
        assert "\\\\" not in text
        parsed = parse_questions(text)
        assert len(parsed.questions) == 20
        meant = json.loads(text.replace("\\", "\\\\"))["questions"]
        assert list(parsed.questions) == meant
        assert not any(char < " " for char in "".join(parsed.questions))


@pytest.mark.parametrize("seed", range(5))
def test_every_second_question_of_a_poor_reply_is_one_for_the_gates(seed: int) -> None:
    questions = parse_questions(reply(Fault.POOR, seed).text).questions
    flaws = [find_flaw(ParsedQuestion(text, "math", count_tokens(text), 15), gates_on({})) for text in questions]
    assert flaws[::2] == [None] * 10
    assert set(flaws[1::2]) == {
        *("refusal", "prompt leak", "placeholder", "answer included"),
        *("unfinished", "open code fence", "broken latex", "language"),
    }


def test_cut_reply_stops_inside_the_json() -> None:
    made = reply(Fault.CUT)
    assert made.ending is Ending.CUT
    whole = reply().text
    assert whole.startswith(made.text)
    assert len(made.text) < len(whole)
    assert made.output_tokens == count_tokens(made.text)


def test_output_limit_cuts_like_the_real_thing() -> None:
    made = reply(limit=100)
    assert made.ending is Ending.CUT
    assert made.output_tokens == 100
    assert 0 < count_tokens(made.text) <= 130


def test_reasoning_counts_as_output_and_can_use_up_the_limit() -> None:
    made = reply(reasoning=0.5)
    assert made.output_tokens == count_tokens(made.text) + made.reasoning_tokens
    assert reply(reasoning=1.5, limit=50) == Made("", Ending.CUT, 50, 50)


@pytest.mark.parametrize(("fault", "ending"), [(Fault.REFUSAL, Ending.REFUSED), (Fault.FILTER, Ending.FILTERED)])
def test_refusals(fault: Fault, ending: Ending) -> None:
    assert reply(fault).ending is ending


def test_simple_schemas_are_filled() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["yes", "no"]},
            "answer": {"type": ["string", "null"]},
            "steps": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "score": {"type": "integer", "minimum": 3},
            "sure": {"type": "boolean"},
            "kind": {"const": "answer"},
            "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
    }
    made = make_reply(Asked("m", "Hello", 3, schema, None), None, Players(), None, Random(1))
    filled = json.loads(made.text)
    assert filled["verdict"] in {"yes", "no"}
    assert isinstance(filled["answer"], str)
    assert len(filled["steps"]) >= 2
    assert filled["score"] == 3
    assert filled["sure"] is True
    assert filled["kind"] == "answer"
    assert filled["note"] is None


def test_schema_beyond_us_gets_an_empty_list() -> None:
    with pytest.raises(UnknownSchema):
        fill_schema({"$ref": "#/definitions/x"}, Random(1))
    made = make_reply(Asked("m", "Hello", 3, {"$ref": "#"}, None), None, Players(), None, Random(1))
    assert json.loads(made.text) == {"questions": []}
