import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.judging import (
    CRITERIA,
    ParsedVerdicts,
    Verdict,
    failed_criteria,
    parse_verdicts,
    write_judging_prompt,
)
from shared.questions.repairs import Repair
from tests.processor import takes_at_most

SCORES = dict.fromkeys(CRITERIA, 5)
REASONS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=40)
VERDICTS = st.builds(
    lambda scores, reason: {**dict(zip(CRITERIA, scores, strict=True)), "reason": reason},
    st.lists(st.integers(1, 5), min_size=6, max_size=6),
    REASONS,
)


def item(number: object, **changed: object) -> dict[str, object]:
    return {"number": number, **SCORES, "reason": "", **changed}


def read(*items: object, count: int = 3) -> dict[int, dict[str, int]]:
    parsed = parse_verdicts(json.dumps({"verdicts": items}), count=count)
    return {number: dict(verdict.scores) for number, verdict in parsed.verdicts.items()}


@given(st.lists(VERDICTS, min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_valid_replies_come_back_as_they_are(verdicts: list[dict[str, Any]], indent: int | None) -> None:
    items = [{"number": number, **verdict} for number, verdict in enumerate(verdicts, start=1)]
    for key in ({}, {"model": "m"}):  # the second reply is read leniently
        parsed = parse_verdicts(json.dumps({**key, "verdicts": items}, indent=indent), count=len(items))
        assert (parsed.repairs, parsed.problem) == ((), None)
        for number, verdict in enumerate(verdicts, start=1):
            assert parsed.verdicts[number].scores == {name: verdict[name] for name in CRITERIA}
            assert parsed.verdicts[number].reason == " ".join(verdict["reason"].split())


@given(st.lists(VERDICTS, min_size=1, max_size=3))
def test_every_cut_gives_whole_verdicts_of_the_first_questions(verdicts: list[dict[str, Any]]) -> None:
    items = [{"number": number, **verdict} for number, verdict in enumerate(verdicts, start=1)]
    reply = json.dumps({"verdicts": items})
    for end in range(len(reply)):
        parsed = parse_verdicts(reply[:end], count=len(items), cut=True)
        assert list(parsed.verdicts) == list(range(1, len(parsed.verdicts) + 1))
        for number, verdict in parsed.verdicts.items():
            assert verdict.scores == {name: verdicts[number - 1][name] for name in CRITERIA}


@given(st.text(st.characters()) | st.text(st.sampled_from("[]{},:\"'0123 \nverdictsnumber")), st.integers(0, 3))
def test_any_text_is_answered(text: str, count: int) -> None:
    parsed = parse_verdicts(text, count=count)
    assert (parsed.problem is None) == bool(parsed.verdicts)


@pytest.mark.parametrize("score", ["4", 4, 4.0, " 4 ", "4/5"])
def test_a_score_may_be_written_as_text(score: object) -> None:
    assert read(item(1, clear=score)) == {1: {**SCORES, "clear": 4}}


@pytest.mark.parametrize("score", [0, 6, -1, 4.5, "four", None, True, "", 50, [4], "4, or 5", "\u0664"])
def test_a_score_out_of_range_leaves_no_verdict(score: object) -> None:
    assert read(item(1, safe=score), item(2)) == {2: SCORES}


def test_a_missing_score_leaves_no_verdict_and_is_counted() -> None:
    missing = {key: value for key, value in item(1).items() if key != "safe"}
    parsed = parse_verdicts(json.dumps({"verdicts": [missing]}), count=1)
    assert parsed == ParsedVerdicts({}, (Repair.UNUSABLE_ITEM,), "no verdict in the reply has all its scores")


def test_of_two_verdicts_the_first_counts_and_strange_numbers_are_ignored() -> None:
    reply = json.dumps({"verdicts": [item(2, clear=1), item("2"), item(4), item(0), item("Question 3"), item(None)]})
    parsed = parse_verdicts(reply, count=3)
    assert {number: verdict.scores["clear"] for number, verdict in parsed.verdicts.items()} == {2: 1, 3: 5}
    assert {Repair.REPEATED_NUMBER, Repair.UNKNOWN_NUMBER} <= set(parsed.repairs)


def test_numbers_from_zero_are_shifted_only_if_all_are() -> None:
    assert read(item(0, clear=1), item(1, clear=2), item(2, clear=3)).keys() == {1, 2, 3}
    assert read(item(0, clear=1), item(1, clear=2), item(3)).keys() == {1, 3}
    assert read(item(0, clear=1), item(1, clear=2))[1]["clear"] == 1


def test_unnumbered_verdicts_count_only_if_there_is_one_for_each() -> None:
    bare = {**SCORES, "reason": ""}
    assert read(bare, bare, count=2) == {1: SCORES, 2: SCORES}
    assert read(bare, bare, count=3) == {}
    assert read(bare, item(2), count=2) == {2: SCORES}


def test_damaged_replies_are_mended() -> None:
    reply = (
        "Here you are:\n```json\n{'verdicts': [{number: 1, clear: 5, 'Self-Contained': '4', answerable: 5, "
        "right domain: 5, 'right_domain': 5, right_difficulty: 3, safe: 5, reason: 'The table isn't there.',},]}\n```"
    )
    parsed = parse_verdicts(reply, count=1)
    scores = {**SCORES, "self_contained": 4, "right_difficulty": 3}
    assert parsed.verdicts == {1: Verdict(scores, "The table isn't there.")}
    assert {Repair.CODE_FENCE, Repair.PROSE_AROUND, Repair.SINGLE_QUOTES, Repair.UNQUOTED_KEY} <= set(parsed.repairs)


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps([item(1)]),
        json.dumps(item(1)),
        json.dumps({"verdicts": {"1": SCORES}}),
        json.dumps({"verdicts": [{"number": 1, "scores": SCORES}]}),
        json.dumps({"result": {"verdicts": [item(1)]}}),
        "<think>" + json.dumps({"verdicts": [item(1, clear=1)]}) + "</think>" + json.dumps({"verdicts": [item(1)]}),
        "[Note] " + json.dumps({"verdicts": [item(1)]}),
    ],
)
def test_lists_may_be_nested_otherwise(reply: str) -> None:
    assert {number: verdict.scores for number, verdict in parse_verdicts(reply, count=1).verdicts.items()} == {
        1: SCORES
    }


def test_a_reason_is_one_line_that_a_database_takes() -> None:
    parsed = parse_verdicts(json.dumps({"verdicts": [item(1, reason="no\x00\nway " + "x" * 9_000)]}), count=1)
    reason = parsed.verdicts[1].reason
    assert reason.startswith("no way xxx")
    assert len(reason) == 500
    assert reason.isprintable()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (" ", "empty reply"),
        ("All fine!", "no list of verdicts in the reply"),
        ('{"verdicts": []}', "the list of verdicts is empty"),
        ('{"verdicts": [{"number": 1, "clear": 5', "the reply ends before its first whole verdict"),
        (json.dumps({"verdicts": [item(7)]}), "no verdict in the reply has the number of a question"),
    ],
)
def test_says_why_there_is_no_verdict(reply: str, problem: str) -> None:
    assert parse_verdicts(reply, count=2).problem == problem


def test_criteria_below_the_least_score_fail() -> None:
    verdict = Verdict({**SCORES, "safe": 2, "clear": 3}, "")
    assert failed_criteria(verdict, 1) == ()
    assert failed_criteria(verdict, 3) == ("safe",)
    assert failed_criteria(verdict, 4) == ("clear", "safe")


def test_prompt_names_every_criterion_and_its_schema_asks_for_each() -> None:
    prompt = write_judging_prompt(["a?", "b?"], domain="math", difficulty="hard", mean_tokens=750)
    assert all(f"- {name}: " in prompt.system for name in CRITERIA)
    schema = json.loads(json.dumps(prompt.schema))
    assert list(schema["properties"]) == ["verdicts"]
    verdict = schema["properties"]["verdicts"]["items"]
    assert verdict["required"] == list(verdict["properties"]) == ["number", *CRITERIA, "reason"]
    assert schema["additionalProperties"] is verdict["additionalProperties"] is False
    assert prompt.max_output_tokens == 2 * 120 + 1_024
    assert "about 750 tokens" in prompt.user
    assert '<question number="2">\nb?\n</question>' in prompt.user


@pytest.mark.parametrize(
    "piece", ["[", "{", '{"number": 1, ', '{"clear": 5},', '"a": [', "[1, ", '{"1": {"2": ', "'a' "]
)
def test_hostile_replies_take_linear_time(piece: str) -> None:
    with takes_at_most(2):
        parse_verdicts('{"verdicts": [' + piece * (2_000_000 // len(piece)), count=20)
