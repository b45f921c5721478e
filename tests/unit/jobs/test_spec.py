"""The job spec: each wrong field is named, and nothing but InvalidInput ever comes of bad input."""

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.jobs.spec import JobSpec, parse_spec
from shared.jobs.spec_fields import MAX_QUESTIONS, check_dataset_name

GOOD: dict[str, Any] = {
    "dataset": "phase1",
    "mix": {
        "domains": {"Math": 100, "Tool_Use": 50},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 750},
        },
        "mean_tokens": {"math": {"hard": 500}},
        "minimum": {"hard": 5},
    },
    "surplus": "keep",
    "models": {"generate": {"easy": "openai/gpt-6-luna"}},
    "questions_per_call": {"easy": 20},
    "stages": ["generate"],
    "budget_usd": "25.00",
    "seed": 7,
}
HUGE = MAX_QUESTIONS + 1


def change(path: str, value: object) -> dict[str, Any]:
    """The good spec with one place changed, or taken out when the value is `...`."""
    changed = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = changed
    for key in parents:
        place = place.setdefault(key, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


def test_a_good_spec_is_taken_as_it_is_with_names_folded() -> None:
    spec = parse_spec(GOOD)
    assert dict(spec.settled_mix.domains) == {"math": 100, "tool use": 50}
    assert (spec.budget_usd, spec.seed) == (Decimal("25.00"), 7)
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_only_the_dataset_and_the_mix_are_required() -> None:
    mix = {key: GOOD["mix"][key] for key in ("domains", "difficulties")}
    spec = parse_spec({"dataset": "phase1", "mix": mix})
    assert (spec.surplus, spec.stages, spec.budget_usd, spec.seed) == ("subsample", ("generate",), None, 2025)
    assert (spec.settled_mix.measure, spec.settled_mix.means, spec.settled_mix.scope) == ("prompt", "fixed", "global")


def test_gates_are_named_as_they_are_counted_in_any_case() -> None:
    assert parse_spec(GOOD).gates == {}
    assert parse_spec(change("gates", {"Too_Short": False, "no tool": True})).gates == {
        "too short": False,
        "no tool": True,
    }


def test_shares_written_with_six_decimals_are_a_whole() -> None:
    thirds = {name: {"token_share": 0.333333, "mean_tokens": 15} for name in ("easy", "fair", "hard")}
    mix = parse_spec({"dataset": "a", "mix": {"domains": {"math": 10}, "difficulties": thirds}}).settled_mix.to_mix()
    assert sum(each.token_share for each in mix.difficulties.values()) == pytest.approx(
        Decimal(1), abs=Decimal("1e-20")
    )


@pytest.mark.parametrize(
    ("path", "value", "loc", "message"),
    [
        ("colour", "red", "colour", "unknown key"),
        ("mix.colour", "red", "mix.colour", "unknown key"),
        ("mix.difficulties.easy.colour", 1, "mix.difficulties.easy.colour", "unknown key"),
        ("dataset", ..., "dataset", "required"),
        ("mix", ..., "mix", "required"),
        ("mix.domains", ..., "mix.domains", "required"),
        ("mix.difficulties", ..., "mix.difficulties", "required"),
        ("mix.difficulties.easy.mean_tokens", ..., "mix.difficulties.easy.mean_tokens", "required"),
        ("dataset", "../../etc", "dataset", "use 1 to 64 of a-z"),
        ("dataset", "Phase 1", "dataset", "use 1 to 64 of a-z"),
        ("dataset", "phase1\n", "dataset", "use 1 to 64 of a-z"),
        ("dataset", "", "dataset", "use 1 to 64 of a-z"),
        ("dataset", "a" * 65, "dataset", "use 1 to 64 of a-z"),
        ("dataset", "a\0b", "dataset", "use 1 to 64 of a-z"),
        ("dataset", 7, "dataset", "write a text; a number, a date, yes or no is one with quotes around it"),
        ("dataset", None, "dataset", "write a text"),
        ("mix.domains", {"math": -1}, "mix.domains.math", "greater than or equal to 1"),
        ("mix.domains", {"math": 0}, "mix.domains.math", "greater than or equal to 1"),
        ("mix.domains", {"math": HUGE}, "mix.domains.math", "less than or equal to"),
        ("mix.domains", {"math": 10**30}, "mix.domains.math", "less than or equal to"),
        ("mix.domains", {"math": MAX_QUESTIONS, "a": 1}, "mix.domains", "add up to more than"),
        ("mix.domains", {"math": 1.5}, "mix.domains.math", "write a whole number"),
        ("mix.domains", {"math": True}, "mix.domains.math", "not true or false"),
        ("mix.domains", {"math": None}, "mix.domains.math", "integer"),
        ("mix.domains", {}, "mix.domains", "at least 1"),
        ("mix.domains", {f"d{n}": 1 for n in range(201)}, "mix.domains", "at most 200"),
        ("mix.domains", {"Math": 1, "MATH": 2}, "mix.domains", "both fold to 'math'"),
        ("mix.domains", {"tool use": 1, "Tool-Use": 2}, "mix.domains", "both fold to 'tool use'"),
        ("mix.domains", {"a/b": 1}, "mix.domains", "no slash"),
        ("mix.domains", {"a\0b": 1}, "mix.domains", "no control characters"),
        ("mix.domains", {" ": 1}, "mix.domains", "1 to 64 characters"),
        ("mix.domains", {"a" * 65: 1}, "mix.domains", "1 to 64 characters"),
        ("mix.domains", [1], "mix.domains", "a mapping is needed"),
        ("mix.difficulties.easy.token_share", 0.7, "mix.difficulties", "add up to 1.1"),
        ("mix.difficulties.easy.token_share", -0.6, "mix.difficulties.easy.token_share", "greater than or equal to 0"),
        ("mix.difficulties.easy.token_share", 60, "mix.difficulties.easy.token_share", "less than or equal to 1"),
        ("mix.difficulties.easy.token_share", "nan", "mix.difficulties.easy.token_share", "plain number"),
        ("mix.difficulties.easy.token_share", float("inf"), "mix.difficulties.easy.token_share", "finite"),
        ("mix.difficulties.easy.mean_tokens", 0, "mix.difficulties.easy.mean_tokens", "greater than or equal to 1"),
        ("mix.difficulties.easy.mean_tokens", 1e9, "mix.difficulties.easy.mean_tokens", "less than or equal to"),
        ("mix.difficulties.easy.mean_tokens", "1e-99999999", "mix.difficulties.easy.mean_tokens", "plain number"),
        ("mix.difficulties.EASY", {"token_share": 0, "mean_tokens": 1}, "mix.difficulties", "both fold to 'easy'"),
        ("mix.mean_tokens.history", {"hard": 5}, "mix", "mean_tokens: 'history' is not a domain"),
        ("mix.mean_tokens.math.extreme", 5, "mix", "mean_tokens.math: 'extreme' is not a difficulty"),
        ("mix.minimum.extreme", 5, "mix", "minimum: 'extreme' is not a difficulty"),
        ("mix.minimum.hard", -5, "mix.minimum.hard", "greater than or equal to 0"),
        ("mix.measure", "words", "mix.measure", "'prompt', 'completion' or 'total'"),
        ("surplus", "burn", "surplus", "'subsample' or 'keep'"),
        ("models.generate.easy", "gpt-6-luna", "models.generate.easy", '"openai/MODEL"'),
        ("models.generate.easy", "evil/../../x", "models.generate.easy", '"openai/MODEL"'),
        ("models.generate.extreme", "openai/x", "models.generate", "'extreme' is not a difficulty"),
        ("models.dream", {"easy": "openai/x"}, "models.dream", "'generate', 'validate' or 'answer'"),
        ("questions_per_call.easy", 0, "questions_per_call.easy", "greater than or equal to 1"),
        ("questions_per_call.easy", 51, "questions_per_call.easy", "less than or equal to 50"),
        ("questions_per_call.extreme", 5, "questions_per_call", "'extreme' is not a difficulty"),
        ("models.generate.easy", ["openai/a", "openai/b"], "models", "generate.easy: one model only"),
        ("models.answer", {"easy": ["openai/a", "openai/a"]}, "models", "named twice"),
        ("models.answer", {"easy": []}, "models.answer.easy", "at least 1"),
        ("models.answer", {"easy": [f"openai/{n}" for n in range(9)]}, "models.answer.easy", "give at most 8"),
        ("stages", ["answer", "generate"], "stages", "in this order: generate, validate, answer"),
        ("stages", ["generate", "generate"], "stages", "once"),
        ("stages", [], "stages", "at least 1"),
        ("stages", "generate", "stages", "a list is needed"),
        ("mode", {"generate": "slow"}, "mode.generate", "'live' or 'bulk'"),
        ("judging", {"votes": 0}, "judging.votes", "greater than or equal to 1"),
        ("judging", {"least": 6}, "judging.least", "less than or equal to 5"),
        ("judging", {"criteria": ["fun"]}, "judging.criteria", "unknown key"),
        ("judging", {"questions_per_call": {"extreme": 5}}, "judging.questions_per_call", "'extreme' is not a"),
        ("judging", [], "judging", "a mapping is needed"),
        ("answering", {"samples": 99}, "answering.samples", "less than or equal to 16"),
        (
            "answering",
            {"questions_per_call": {"easy": 0}},
            "answering.questions_per_call.easy",
            "greater than or equal",
        ),
        ("budget_usd", "-1", "budget_usd", "greater than or equal to 0"),
        ("budget_usd", "1e9", "budget_usd", "plain number"),
        ("budget_usd", "much", "budget_usd", "plain number"),
        ("budget_usd", True, "budget_usd", "not true or false"),
        ("seed", -1, "seed", "greater than or equal to 0"),
        ("seed", "seven", "seed", "write a whole number"),
        ("mix.domains", {"math": "1e99"}, "mix.domains.math", "write a whole number"),
        ("mix.domains", {"math": 10**11}, "mix.domains.math", "write a number less than or equal to 100000000"),
        ("seed", 2**63, "seed", "less than or equal to 9223372036854775807"),
        ("seed", 10**20 - 1, "seed", "less than or equal to 9223372036854775807"),
        ("mix.difficulties.easy.answer_tokens", 0, "mix.difficulties.easy.answer_tokens", "greater than or equal to 1"),
        ("mix.existing", "yes", "mix.existing", "valid boolean"),
        ("gates", {"langauge": False}, "gates", "no gate is called 'langauge'; there are too short, too long, refusal"),
        ("gates", {"too short": False, "Too_Short": True}, "gates", "both fold to 'too short'"),
        ("gates", {"language": "off"}, "gates.language", "valid boolean"),
        ("gates", ["language"], "gates", "a mapping is needed"),
    ],
)
def test_bad_input_is_refused_with_the_name_of_its_field(path: str, value: object, loc: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_spec(change(path, value))
    assert [(each.loc, message in each.msg) for each in refused.value.errors] == [(loc, True)], refused.value.detail
    assert message in refused.value.detail
    assert len(refused.value.detail) < 1000


MEASURED = {**GOOD["mix"], "means": "measured"}


@pytest.mark.parametrize(
    ("changes", "loc", "message"),
    [
        ({"mix": None}, "mix", "required, unless the stages are only validate and answer"),
        ({"mix": None, "stages": ["generate", "answer"]}, "mix", "required, unless"),
        (
            {"mix": None, "stages": ["answer"], "atlas": {"math": {"topics": {"a": ["b"]}}}},
            "atlas",
            "generates nothing",
        ),
        ({"mix": MEASURED | {"measure": "completion"}}, "mix.measure", '"completion" is measured on answers'),
        (
            {"mix": MEASURED | {"measure": "total"}, "stages": ["generate", "validate"]},
            "mix.measure",
            "add the stage answer",
        ),
        ({"mix": MEASURED, "stages": ["validate", "answer"]}, "mix.means", "needs the stage generate"),
        ({"mix": GOOD["mix"] | {"existing": True}}, "mix.existing", "jobs that generate nothing"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changes: dict[str, Any], loc: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_spec({**GOOD, **changes})
    assert [(each.loc, message in each.msg) for each in refused.value.errors] == [(loc, True)], refused.value.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"mix": MEASURED},
        {"mix": MEASURED | {"measure": "completion"}, "stages": ["generate", "answer"]},
        {"mix": MEASURED | {"measure": "total"}, "stages": ["generate", "validate", "answer"]},
        {"mix": GOOD["mix"] | {"measure": "completion"}},
        {"mix": GOOD["mix"], "stages": ["validate"]},
    ],
)
def test_fields_that_go_together_are_taken(changes: dict[str, Any]) -> None:
    spec = parse_spec({**GOOD, **changes})
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_job_that_generates_nothing_needs_no_mix_and_its_difficulties_are_checked_when_they_are_known() -> None:
    spec = parse_spec(
        {"dataset": "a", "stages": ["validate", "answer"], "answering": {"questions_per_call": {"odd": 3}}}
    )
    assert spec.mix is None
    with pytest.raises(ValueError, match="no mix yet"):
        _ = spec.settled_mix
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec
    with pytest.raises(InvalidInput, match="'odd' is not a difficulty"):
        parse_spec({**spec.model_dump(mode="json"), "mix": {**GOOD["mix"], "existing": True}})


def test_answers_are_taken_to_be_half_as_long_again_as_their_questions_and_a_paragraph_at_least() -> None:
    mix = parse_spec(GOOD).settled_mix
    assert [each.tokens_of_answer for each in mix.difficulties.values()] == [100, 1125]
    told = parse_spec(change("mix.difficulties.easy.answer_tokens", 40)).settled_mix
    assert told.difficulties["easy"].tokens_of_answer == 40


@pytest.mark.parametrize(
    ("measure", "easy", "hard_math"), [("prompt", 15, 500), ("completion", 100, 1125), ("total", 115, 1625)]
)
def test_a_mix_balances_the_tokens_that_it_measures(measure: str, easy: int, hard_math: int) -> None:
    mix = parse_spec(change("mix.measure", measure)).settled_mix.to_mix()
    assert [mix.mean_of(cell) for cell in mix.cells()[:2]] == [easy, hard_math]
    assert mix.answer_tokens == {"easy": 100, "hard": 1125}


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput, match="and 2 more") as refused:
        parse_spec({**GOOD, "seed": -1, "colour": "red", "budget_usd": -3})
    assert sorted(each.loc for each in refused.value.errors) == ["budget_usd", "colour", "seed"]


@pytest.mark.parametrize("data", [None, [], "spec", 7, True])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(InvalidInput):
        parse_spec(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1e-99999999", "9" * 5000, "nan", "-inf", "0x10", "\ud800", 10**4000, 1e-300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PATHS = [
    "dataset", "mix", "mix.domains", "mix.domains.math", "mix.difficulties", "mix.difficulties.easy",
    "mix.difficulties.easy.token_share", "mix.difficulties.easy.mean_tokens", "mix.mean_tokens", "mix.mean_tokens.math",
    "mix.mean_tokens.math.hard", "mix.minimum", "mix.minimum.hard", "mix.measure", "mix.means", "mix.scope", "surplus",
    "mode", "mode.answer", "judging", "judging.votes", "answering", "answering.samples", "models.answer.easy",
    "models", "models.generate", "models.generate.easy", "questions_per_call", "questions_per_call.easy", "stages",
    "budget_usd", "seed", "gates", "gates.language", "colour",
]  # fmt: skip


@settings(max_examples=400)
@given(path=st.sampled_from(PATHS), value=JSON)
@example(path="mix.difficulties.easy.token_share", value="1e-99999999")
@example(path="mix.domains.math", value=10**4000)
@example(path="budget_usd", value=4.1341134193499314e-181)
@example(path="budget_usd", value=1e-12)
def test_any_value_in_any_place_is_taken_or_refused_as_invalid(path: str, value: object) -> None:
    try:
        spec = parse_spec(change(path, value))
    except InvalidInput:
        return
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec
    spec.settled_mix.to_mix()


@settings(max_examples=100)
@given(data=JSON)
def test_any_json_is_taken_or_refused_as_invalid(data: object) -> None:
    with pytest.raises(InvalidInput):
        parse_spec(data)


@given(name=st.text(max_size=70))
def test_a_dataset_name_is_fit_for_a_path(name: str) -> None:
    try:
        checked = check_dataset_name(name)
    except ValueError:
        return
    assert checked == name
    assert not set(name) & set("/\\ \n\0%?#")
    assert not name.startswith(".")
