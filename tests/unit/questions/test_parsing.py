import json
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.questions.latex import looks_damaged
from shared.questions.parsing import ParsedReply, parse_questions
from shared.questions.repairs import Repair
from tests.processor import takes_at_most

QUESTIONS = st.lists(
    st.text(max_size=30) | st.sampled_from(['He said "hi"', "C:\\new", r"$\frac{1}{2}$", "[1, 2]", '", "', "a,"])
)


def read(text: str) -> list[str]:
    return list(parse_questions(text).questions)


def undamaged(reply: str) -> bool:
    return not looks_damaged(reply)


@given(QUESTIONS, st.booleans(), st.sampled_from([None, 0, 2]))
def test_valid_replies_come_back_as_they_are(questions: list[str], ascii_only: bool, indent: int | None) -> None:
    reply = json.dumps({"questions": questions}, ensure_ascii=ascii_only, indent=indent)
    if undamaged(reply):
        problem = None if questions else "the list of questions is empty"
        assert parse_questions(reply) == ParsedReply(tuple(questions), (), problem)


@given(QUESTIONS.filter(bool), st.booleans(), st.sampled_from([None, 0, 2]))
def test_the_lenient_reader_agrees_with_json(questions: list[str], ascii_only: bool, indent: int | None) -> None:
    reply = json.dumps({"n": 1, "questions": questions}, ensure_ascii=ascii_only, indent=indent)
    if undamaged(reply):
        assert parse_questions(reply) == ParsedReply(tuple(questions), (), None)


@given(QUESTIONS, st.sampled_from([None, 1]))
@example(['a"]}', "b"], None)
def test_every_cut_gives_a_prefix_of_whole_items(questions: list[str], indent: int | None) -> None:
    reply = json.dumps({"questions": questions}, indent=indent)
    if not undamaged(reply):
        return
    given_so_far = 0
    for end in range(len(reply)):
        parsed = parse_questions(reply[:end], cut=True)
        assert parsed.questions == tuple(questions[: len(parsed.questions)])
        assert len(parsed.questions) >= given_so_far
        assert Repair.CUT in parsed.repairs or end == 0
        given_so_far = len(parsed.questions)
    assert given_so_far == len(questions)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_every_cut_of_question_objects_gives_whole_ones(questions: list[str]) -> None:
    reply = json.dumps([{"question": question, "level": 1} for question in questions])
    for end in range(len(reply) if undamaged(reply) else 0):
        found = read(reply[:end])
        assert found == questions[: len(found)]


@given(st.text(st.characters()) | st.text(st.sampled_from("[]{},:\"'\\`nuq \n“”questions")), st.booleans())
def test_any_text_is_answered(text: str, cut: bool) -> None:
    parsed = parse_questions(text, cut=cut)
    assert (parsed.problem is None) == bool(parsed.questions)
    for question in parsed.questions:
        question.encode()


CASES: list[tuple[str, list[str], set[Repair]]] = [
    ('```json\n{"questions": ["a?", "b?"]}\n```', ["a?", "b?"], {Repair.CODE_FENCE}),
    ('Sure!\n{"questions": ["a?"]}\nEnjoy.', ["a?"], {Repair.PROSE_AROUND}),
    ('Here [as you asked]: {"questions": ["a?"]} {ok}', ["a?"], {Repair.PROSE_AROUND}),
    ('["quoted" is nice] {"questions": ["a?"]}', ["a?"], {Repair.PROSE_AROUND}),
    ('<think>Maybe ["x"] or {"questions": ["y"]}</think>{"questions": ["a?"]}', ["a?"], {Repair.PROSE_AROUND}),
    ('{"questions": ["a?", "b?",],}', ["a?", "b?"], {Repair.TRAILING_COMMA}),
    ('\ufeff{"questions": ["a?"]}', ["a?"], {Repair.BYTE_ORDER_MARK}),
    ("{'questions': ['What's the cat's name?', 'Bo']}", ["What's the cat's name?", "Bo"], {Repair.SINGLE_QUOTES}),
    (
        "['The dogs' owner, and 'Rex' too', \"It's\"]",
        ["The dogs' owner, and 'Rex' too", "It's"],
        {Repair.SINGLE_QUOTES},
    ),
    ("['What\\'s up?', None, True]", ["What's up?"], {Repair.PYTHON_LITERAL, Repair.ITEM_WITHOUT_TEXT}),
    ('{"questions": ["line\none", "tab\there"]}', ["line\none", "tab\there"], {Repair.RAW_CONTROL}),
    (
        "{“questions”: [“What\u2019s this?”, “Say “hi” now”]}",
        ["What\u2019s this?", "Say “hi” now"],
        {Repair.SMART_QUOTES},
    ),
    ('{"questions": ["He said "hi" to me", "c"]}', ['He said "hi" to me', "c"], {Repair.INNER_QUOTES}),
    ('{"questions": ["Translate "hi"", "c"]}', ['Translate "hi"', "c"], {Repair.INNER_QUOTES}),
    ('["Is "a", "b" or "c" first?", "d"]', ['Is "a", "b" or "c" first?', "d"], {Repair.INNER_QUOTES}),
    ('["What does f("", ["x"]) print?", "d"]', ['What does f("", ["x"]) print?', "d"], {Repair.INNER_QUOTES}),
    ('["A 12" ruler and a 5" nail?", "d"]', ['A 12" ruler and a 5" nail?', "d"], {Repair.INNER_QUOTES}),
    ('["Define "it",\n "d?"\n]', ["d?"], {Repair.UNCLEAR_QUOTES}),
    ('{"questions": ["a?"\n "b?"]}', ["a?", "b?"], {Repair.MISSING_COMMA}),
    ('{"questions": ["a?", "b?"}', ["a?", "b?"], {Repair.MISMATCHED_BRACKET}),
    ('{questions: ["a?"]}', ["a?"], {Repair.UNQUOTED_KEY}),
    ('["a?", "b?"]', ["a?", "b?"], {Repair.BARE_LIST}),
    ('{"questions": [{"question": "a?", "options": ["x"]}]}', ["a?"], {Repair.QUESTION_OBJECTS}),
    ('[{"Text": "a?"}, {"prompt": "b?"}]', ["a?", "b?"], {Repair.QUESTION_OBJECTS}),
    ('{"question": "a?"}\n{"question": "b?"}', ["a?", "b?"], {Repair.QUESTION_OBJECTS}),
    ('{"question": "a?", "question": "b?"}', ["a?", "b?"], {Repair.QUESTION_OBJECTS}),
    ('{"questions": {"questions": ["a?"]}}', ["a?"], {Repair.WRAPPER}),
    ('{"data": [{"questions": ["a?"]}, {"questions": ["b?"]}]}', ["a?", "b?"], {Repair.WRAPPER}),
    ('{"questions": {"1": "a?", "2": "b?"}}', ["a?", "b?"], {Repair.WRAPPER}),
    ('{"questions": ["a?"]}\n{"questions": ["a?"]}', ["a?"], {Repair.REPEATED_LIST}),
    ('{"questions": ["a?"], "questions": ["b?"]}', ["a?", "b?"], set()),
    ('{"questions": ["a?", 3, null, {"id": 3}]}', ["a?"], {Repair.ITEM_WITHOUT_TEXT}),
    (
        r'{"questions": ["$\frac{1}{2} \times 3$", "\\frac"]}',
        [r"$\frac{1}{2} \times 3$", r"\frac"],
        {Repair.LATEX_ESCAPE},
    ),
    (r'{"questions": ["$\sqrt 2$"]}', [r"$\sqrt 2$"], {Repair.INVALID_ESCAPE}),
    ('{"questions": ["a\ud800b"]}', ["a\ufffdb"], {Repair.LONE_SURROGATE}),
]


@pytest.mark.parametrize(("reply", "questions", "repairs"), CASES)
def test_repairs_and_names_the_damage(reply: str, questions: list[str], repairs: set[Repair]) -> None:
    parsed = parse_questions(reply)
    assert list(parsed.questions) == questions
    assert repairs <= set(parsed.repairs)
    assert Repair.CUT not in parsed.repairs
    assert parsed.problem is None


@pytest.mark.parametrize(
    ("reply", "questions"),
    [
        ('{"questions": ["a?", "b', ["a?"]),
        ('{"questions": ["a?", "b?"', ["a?"]),  # the quote may be one inside the question
        ('{"questions": ["a?", "b?" \n', ["a?"]),
        ('{"questions": ["a?", "b?",', ["a?", "b?"]),
        ('{"questions": ["a?", "He said "hi",', ["a?"]),
        ('{"questions": ["a?", "b\\', ["a?"]),
        ('[{"question": "a?"}, {"question": "b?"', ["a?"]),
        ('[{"question": "a?"}, {"question": "b?", "le', ["a?"]),
        ('[{"question": "a?"}, {"question": "b?"}', ["a?", "b?"]),
        ("['a?', 'b?', 'What's", ["a?", "b?"]),
        ('```json\n["a?", "b?\n```', ["a?"]),
        ('{"questions": ["half', []),
    ],
)
def test_a_cut_list_gives_no_half_question(reply: str, questions: list[str]) -> None:
    parsed = parse_questions(reply)
    assert list(parsed.questions) == questions
    assert Repair.CUT in parsed.repairs


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "empty reply"),
        (" \n", "empty reply"),
        ("\ufeff", "empty reply"),
        ("I cannot help with that.", "no list of questions in the reply"),
        ("null", "no list of questions in the reply"),
        ('{"error": "no"}', "no list of questions in the reply"),
        ('{"questions": []}', "the list of questions is empty"),
        ('{"questions": [null]}', "the list of questions is empty"),
        ('{"questions": ["Wh', "the reply ends before its first whole question"),
    ],
)
def test_says_why_nothing_could_be_read(reply: str, problem: str) -> None:
    parsed = parse_questions(reply)
    assert parsed.questions == ()
    assert parsed.problem == problem


def test_a_complete_reply_can_still_be_marked_as_cut() -> None:
    assert parse_questions('{"questions": ["a?"]}', cut=True) == ParsedReply(("a?",), (Repair.CUT,), None)


FIVE_MB = 5_000_000
# ^ stands for a space, / for a line break.
PIECES = r"""
[ [] { {"a": " "" "a", "^, ",/ "/" "' "x"^ ["a"^"b",^ ["a"]b [("," “ ^ / \ \\ \n \ne^ $\ne^ $\ne^x$ \(\ne^ \begin{
\nabla^ \b \ud800 \"^ x, {x: ``` {"questions": {"questions":^["a",^
"""


@pytest.mark.parametrize("piece", [name.replace("^", " ").replace("/", "\n") for name in PIECES.split()])
def test_hostile_replies_take_linear_time(piece: str) -> None:
    noise = piece * (FIVE_MB // len(piece))
    for reply in (noise if piece[0] in "[{" else '{"questions": ["a", "' + noise, '["a", "' + noise + '", "b",]'):
        with takes_at_most(2):
            parse_questions(reply)


def one_each(form: Callable[[int], str]) -> str:
    return "".join(map(form, range(FIVE_MB // len(form(10_000)))))


@pytest.mark.parametrize(
    "form",
    [
        lambda i: f'["a{i}"]',
        lambda i: f'{{"question": "a{i}"}}\n',
        lambda i: rf'"a{i} $\ne ", ',
        lambda i: f'"\n{i}", ',
    ],
)
def test_many_different_parts_take_linear_time(form: Callable[[int], str]) -> None:
    parts = one_each(form)
    with takes_at_most(2):
        parse_questions("[" + parts + "]" if form(0).endswith(", ") else parts)


def test_a_long_list_is_read_whole() -> None:
    questions = [f"What is {number} plus {number}, and why does it matter to anyone?" for number in range(60_000)]
    parsed = parse_questions(json.dumps({"questions": questions})[:-2] + ",]}")
    assert list(parsed.questions) == questions


def test_more_parts_than_any_reply_has_are_not_read_silently() -> None:
    assert Repair.OVERLONG in parse_questions("[" * 100).repairs
    assert Repair.OVERLONG in parse_questions("[" + '"a",' * 200_000).repairs
    escaped = parse_questions('["a", "' + "\\ne " * 500_000 + '", "b", ]')
    assert escaped.questions == ("a", "b")
    assert Repair.OVERLONG in escaped.repairs
