import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.questions.answering import (
    MOST_OUTPUT_TOKENS,
    ParsedAnswers,
    answer_room,
    parse_answers,
    write_answering_prompt,
)
from shared.questions.latex import looks_damaged
from shared.questions.quality import has_control_character
from shared.questions.repairs import Repair
from tests.processor import takes_at_most

SPECIAL = ['He said "hi"', "C:\\new", r"$\frac{1}{2}$", "[1, 2]", '", "', "a,", "x\ny", '{"number": 2, "answer": "no"}']
TEXTS = (st.text(max_size=30) | st.sampled_from(SPECIAL)).filter(
    lambda text: bool(text.strip()) and not has_control_character(text)
)


def reply_of(answers: list[str], **more: object) -> str:
    items = [{"number": number, "answer": answer} for number, answer in enumerate(answers, start=1)]
    return json.dumps({**more, "answers": items})


def read(reply: str, count: int = 2) -> dict[int, str]:
    return dict(parse_answers(reply, count=count).answers)


@given(st.lists(TEXTS, min_size=1, max_size=4))
@example(["answers", "answer", "number"])
def test_valid_replies_come_back_as_they_are(answers: list[str]) -> None:
    expected = dict(enumerate(answers, start=1))
    for reply in (reply_of(answers), reply_of(answers, model="m")):  # the second one is read leniently
        if not looks_damaged(reply):
            assert parse_answers(reply, count=len(answers)) == ParsedAnswers(expected, (), None)


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_every_cut_gives_whole_answers_of_the_first_questions(answers: list[str]) -> None:
    reply = reply_of(answers)
    for end in range(len(reply) if not looks_damaged(reply) else 0):
        parsed = parse_answers(reply[:end], count=len(answers), cut=True)
        assert parsed.answers == dict(enumerate(answers[: len(parsed.answers)], start=1))
        if end < len(reply) - 3:  # without the brackets at the end
            assert len(parsed.answers) < len(answers)


@given(st.text(st.characters()) | st.text(st.sampled_from("[]{},:\"'\\`123 \n“”answers")), st.integers(0, 3))
def test_any_text_is_answered(text: str, count: int) -> None:
    parsed = parse_answers(text, count=count)
    assert (parsed.problem is None) == bool(parsed.answers)
    for number, answer in parsed.answers.items():
        assert 1 <= number <= count
        assert answer.strip()
        answer.encode()


CASES: list[tuple[str, dict[int, str], set[Repair]]] = [
    ('```json\n{"answers": [{"number": 1, "answer": "a"}]}\n```', {1: "a"}, {Repair.CODE_FENCE}),
    ('Sure! {"answers": [{"number": 1, "answer": "a"}]} Done.', {1: "a"}, {Repair.PROSE_AROUND}),
    ('{"answers": [{"number": 1, "answer": "a",},]}', {1: "a"}, {Repair.TRAILING_COMMA}),
    ("{'answers': [{'number': '2', 'answer': 'It's 4.'}]}", {2: "It's 4."}, {Repair.SINGLE_QUOTES}),
    ('{"answers": [{"number": 1, "answer": "say "hi" now"}]}', {1: 'say "hi" now'}, {Repair.INNER_QUOTES}),
    (
        r'{"answers": [{"number": 1, "answer": "$\frac12 \times 3$"}]}',
        {1: r"$\frac12 \times 3$"},
        {Repair.LATEX_ESCAPE},
    ),
    (r'{"answers": [{"number": 1, "answer": "\(\alpha\)"}]}', {1: r"\(\alpha\)"}, {Repair.INVALID_ESCAPE}),
    (
        '{"answers": [{"number": 1, "answer": 17}, {"number": 2, "answer": 1.50}]}',
        {1: "17", 2: "1.50"},
        {Repair.BARE_VALUE},
    ),
    ('{"answers": ["a", "b"]}', {1: "a", 2: "b"}, {Repair.UNNUMBERED}),
    ('["a", "b"]', {1: "a", 2: "b"}, {Repair.BARE_LIST, Repair.UNNUMBERED}),
    ('{"answers": {"1": "a", "2": {"answer": "b"}}}', {1: "a", 2: "b"}, {Repair.WRAPPER}),
    ('{"number": 1, "answer": "a"}\n{"number": 2, "answer": "b"}', {1: "a", 2: "b"}, set()),
    ('{"answers": [{"number": 1, "answer": "a"}, {"number": 1, "answer": "b"}]}', {1: "a"}, {Repair.REPEATED_NUMBER}),
    ('{"answers": [{"number": 3, "answer": "a"}, {"number": 2, "answer": "b"}]}', {2: "b"}, {Repair.UNKNOWN_NUMBER}),
    ('{"answers": [{"number": 1, "answer": " "}, {"number": 2, "answer": "b"}]}', {2: "b"}, {Repair.UNUSABLE_ITEM}),
    (
        '{"answers": [{"number": 1, "answer": "\\u0000"}, {"number": 2, "answer": "b"}]}',
        {2: "b"},
        {Repair.UNUSABLE_ITEM},
    ),
    ('{"answers": [{"number": 1, "answer": null}, {"number": 2, "answer": "b"}]}', {2: "b"}, {Repair.UNUSABLE_ITEM}),
    (
        '{"answers": [{"number": 1, "answer": "a"}, {"number": 2, "answer": "b"]}',
        {1: "a", 2: "b"},
        {Repair.MISMATCHED_BRACKET},
    ),
    # Text behind a string may be the rest of it.
    (
        '{"answers": [{"number": 1, "answer": "a", "more" }, {"number": 2, "answer": "b"}]}',
        {2: "b"},
        {Repair.STRAY_TEXT},
    ),
    ('{"answers": [{"number": 1, "answer": "a"] is half}]', {}, {Repair.STRAY_TEXT}),
    # Only a named list may stand in prose without numbers.
    ('Use ["a", "b"] here.', {}, {Repair.PROSE_AROUND}),
    ('An object like {"text": "a"}, say.', {}, {Repair.PROSE_AROUND}),
]


@pytest.mark.parametrize(("reply", "answers", "repairs"), CASES)
def test_repairs_and_names_the_damage(reply: str, answers: dict[int, str], repairs: set[Repair]) -> None:
    parsed = parse_answers(reply, count=2)
    assert parsed.answers == answers
    assert repairs <= set(parsed.repairs)


@pytest.mark.parametrize(
    "reply",
    [
        '{"answers": [{"number": 1, "answer": "a',
        '{"answers": [{"number": 1, "answer": "a"',
        '{"answers": [{"number": 1, "answer": "a", ',
        '{"answers": [{"number": 1, "answer": "a", "steps": [{"text": "half"}], "m',
        '{"number": 1, "answer": "a", "parts": {"answer": "half"}, ',
        '["a',
        '"a',
        "```json\n[",
    ],
)
def test_a_cut_answer_is_not_there(reply: str) -> None:
    for cut in (False, True):
        assert read(reply, count=1) == dict(parse_answers(reply, count=1, cut=cut).answers) == {}


def test_plain_text_answers_one_question_alone() -> None:
    plain = "Twelve [12], since $3 \\cdot 4 = 12$.\n"
    assert parse_answers(plain, count=1) == ParsedAnswers({1: plain.strip()}, (Repair.PLAIN_TEXT,), None)
    assert read("<think>[3 * 4]</think>\n12", count=1) == {1: "12"}
    assert read(plain, count=2) == {}
    assert dict(parse_answers(plain, count=1, cut=True).answers) == {}
    assert read("It is {12}.", count=1) == {}
    assert read("a\x07b", count=1) == {}


def test_unnumbered_answers_keep_their_places() -> None:
    assert read('{"answers": [null, "b"]}') == {2: "b"}
    assert read('{"answers": [{"answer": "a" rest}, {"answer": "b"}, {"answer": "c"}]}', count=2) == {}
    assert read('{"answers": ["Define "it",\n "d?"\n]}', count=1) == {}
    assert read('{"answers": ["a", "b', count=1) == {}


def test_of_a_repeated_key_the_first_value_counts() -> None:
    assert read('{"answers": [{"number": 1, "answer": "a", "answer": "b"}]}') == {1: "a"}


@given(st.integers(1, 20), st.integers(1, 4_000), st.integers(0, 100))
def test_room_doubles_up_to_the_most(questions: int, answer_tokens: int, tries: int) -> None:
    room = answer_room(questions, answer_tokens, tries)
    assert min(2 * questions * answer_tokens + 1_024, MOST_OUTPUT_TOKENS) <= room <= MOST_OUTPUT_TOKENS
    assert answer_room(questions, answer_tokens, tries + 1) == min(2 * room, MOST_OUTPUT_TOKENS)


def test_prompt_asks_for_short_answers_or_for_worked_ones() -> None:
    short = write_answering_prompt(["a?", "b?"], domain="math", difficulty="easy", answer_tokens=20)
    worked = write_answering_prompt(["a?"], domain="math", difficulty="hard", answer_tokens=750, tries=2)
    assert "each answer is short, about 20 tokens and at most 36" in short.user
    assert "step at a time" in worked.user
    assert short.version == worked.version
    assert short.max_output_tokens == answer_room(2, 20, 0)
    assert worked.max_output_tokens == answer_room(1, 750, 2)
    assert list(json.loads(json.dumps(short.schema))["properties"]) == ["answers"]


@pytest.mark.parametrize(
    "piece", ["[", "{", '{"number": 1, ', '"a", ', '{"answer": "a"},', '{"1": {"2": ', '\\"', "'a' "]
)
def test_hostile_replies_take_linear_time(piece: str) -> None:
    with takes_at_most(2):
        parse_answers('{"answers": [' + piece * (2_000_000 // len(piece)), count=20)
