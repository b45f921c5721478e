from collections.abc import Iterable
from decimal import Decimal
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.planning.balance import make_plan
from shared.planning.forecast import (
    EXPECTED_YIELD,
    JSON_TOKENS_PER_ANSWER,
    JSON_TOKENS_PER_QUESTION,
    TAG_TOKENS_PER_QUESTION,
    VERDICT_TOKENS,
    CallEstimate,
    Forecast,
    Load,
    assume_answering,
    assume_generation,
    assume_validation,
    make_forecast,
)
from shared.planning.mix import Difficulty, Mix, Surplus

STAGES = ("generate", "validate", "answer")
TWENTY = CallEstimate(Decimal(20), input_tokens=300, output_tokens=400)
Asked = tuple[str, str, int, int]


def a_load(
    results: int | Decimal, *, stage: str = "generate", models: tuple[str, ...] = ("small",), **changes: object
) -> Load:
    estimate, whole_calls = changes.get("estimate", TWENTY), bool(changes.get("whole_calls", False))
    assert isinstance(estimate, CallEstimate)
    return Load(stage, str(changes.get("difficulty", "easy")), Decimal(results), models, estimate, whole_calls)


def forecast_of(loads: Iterable[Load], *, stages: Iterable[str] = STAGES) -> tuple[Forecast, list[Asked]]:
    """What it comes to at a tenth of a cent a call and ten dollars a million tokens written, and what was asked."""
    asked: list[Asked] = []

    def cost_per_call(stage: str, model: str, input_tokens: int, output_tokens: int) -> Decimal:
        asked.append((stage, model, input_tokens, output_tokens))
        return Decimal("0.001") + output_tokens * Decimal("0.00001")

    made = make_forecast(loads, stages=stages, cost_per_call=cost_per_call, calls_in_flight=10, seconds_per_call=3.0)
    return made, asked


def test_calls_are_whole_and_their_price_is_in_proportion() -> None:
    made, asked = forecast_of([a_load(45, stage="validate")])
    (generate, validate, answer) = made.stages
    assert (validate.calls, validate.input_tokens, validate.output_tokens) == (3, 3 * 300, 900)
    assert validate.cost_usd == Decimal("2.25") * Decimal("0.005")
    assert asked == [("validate", "small", 300, 400)]
    assert (generate.calls, answer.calls, made.cost_usd) == (0, 0, validate.cost_usd)


def test_the_last_generating_call_writes_and_costs_as_much_as_any() -> None:
    made, _ = forecast_of([a_load(45, whole_calls=True), a_load(1, whole_calls=True)])
    (generate, *_) = made.stages
    assert (generate.calls, generate.input_tokens, generate.output_tokens) == (4, 4 * 300, 4 * 400)
    assert generate.cost_usd == 4 * Decimal("0.005")
    assert generate.results == 46


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [("0", 0), ("0.05", 0), ("0.5", 0), ("1.05", 1), ("2", 1), ("2.4", 1), ("2.6", 2), ("192", 100), ("193", 101)],
)
def test_no_generating_call_is_made_for_less_than_half_a_question(wanted: str, calls: int) -> None:
    two = assume_generation(2, Decimal(750), 400)
    made, _ = forecast_of([a_load(Decimal(wanted), estimate=two, whole_calls=True)])
    assert made.calls == calls
    assert bool(made.cost_usd) is bool(calls)


def test_the_price_is_asked_per_call_and_never_for_a_sum() -> None:
    made, asked = forecast_of([a_load(4_000_000)])
    assert made.calls == 200_000
    assert {output for *_, output in asked} == {400}


def test_nothing_to_do_costs_nothing_and_takes_no_time() -> None:
    made, asked = forecast_of([])
    assert (made.calls, made.cost_usd, made.seconds, asked) == (0, Decimal(0), 0.0, [])
    assert [each.stage for each in made.stages] == list(STAGES)


def test_each_of_several_models_does_the_whole_work_but_the_questions_count_once() -> None:
    one, _ = forecast_of([a_load(100, stage="answer")])
    three, asked = forecast_of([a_load(100, stage="answer", models=("small", "small", "large"))])
    assert [model for _, model, *_ in asked] == ["small", "small", "large"]
    assert (three.calls, three.cost_usd) == (3 * one.calls, 3 * one.cost_usd)
    assert three.stages[2].results == one.stages[2].results == 100


def test_what_is_told_by_difficulty_adds_up_to_the_stage() -> None:
    loads = [a_load(30), a_load(50), a_load(7, difficulty="hard", estimate=CallEstimate(Decimal(2), 300, 1500))]
    generate = forecast_of(loads)[0].stages[0]
    assert {name: results for name, (results, _) in generate.by_difficulty.items()} == {"easy": 80, "hard": 7}
    assert sum(usd for _, usd in generate.by_difficulty.values()) == generate.cost_usd
    assert generate.results == 87


@given(counts=st.lists(st.integers(0, 5_000), min_size=3, max_size=3))
def test_stages_add_up(counts: list[int]) -> None:
    loads = [a_load(count, stage=stage) for count, stage in zip(counts, STAGES, strict=True)]
    whole, _ = forecast_of(loads)
    parts = [forecast_of([load])[0] for load in loads]
    assert whole.calls == sum(part.calls for part in parts)
    assert whole.cost_usd == sum(part.cost_usd for part in parts)
    assert whole.seconds == ceil(whole.calls / 10) * 3.0


def test_time_is_the_number_of_rounds_of_calls() -> None:
    made, _ = forecast_of([a_load(20 * 21)])
    assert (made.calls, made.seconds) == (21, 3 * 3.0)


def test_a_generating_call_is_taken_to_bring_somewhat_fewer_questions_than_it_asks_for() -> None:
    call = assume_generation(20, Decimal(15), 300)
    assert call == CallEstimate(20 * EXPECTED_YIELD, 300, 20 * (15 + JSON_TOKENS_PER_QUESTION))


def test_a_judge_reads_the_questions_and_writes_a_verdict_on_each() -> None:
    call = assume_validation(10, Decimal(750), 400)
    shown = 10 * (750 + TAG_TOKENS_PER_QUESTION)
    assert call == CallEstimate(Decimal(10), 400 + shown, 10 * VERDICT_TOKENS)


def test_an_answer_costs_the_question_again_and_its_own_length() -> None:
    call = assume_answering(1, Decimal("750.5"), Decimal(1125), 200)
    assert call == CallEstimate(Decimal(1), 200 + 765, 1125 + JSON_TOKENS_PER_ANSWER)


def test_the_seeds_789_hard_questions_cost_about_ten_dollars_not_414() -> None:
    shares = {"easy": Difficulty(Decimal("0.6"), Decimal(15)), "hard": Difficulty(Decimal("0.4"), Decimal(750))}
    plan = make_plan(Mix({"math": 60_000}, shares), {}, Surplus.SUBSAMPLE)
    hard = plan.by_difficulty["hard"]

    def three_and_fifteen_dollars_a_million(_stage: str, _model: str, input_tokens: int, output_tokens: int) -> Decimal:
        return (input_tokens * Decimal(3) + output_tokens * Decimal(15)) / 1_000_000

    made = make_forecast(
        [a_load(hard, difficulty="hard", estimate=assume_generation(2, Decimal(750), 400))],
        stages=["generate"],
        cost_per_call=three_and_fifteen_dollars_a_million,
        calls_in_flight=100,
        seconds_per_call=5.0,
    )
    assert 8 < made.cost_usd < 12


def test_json_keeps_money_out_of_floats() -> None:
    made, _ = forecast_of([a_load(45), a_load(0, stage="answer")], stages=("generate", "answer"))
    assert made.to_json() == {
        "calls": 3,
        "input_tokens": 900,
        "output_tokens": 900,
        "cost_usd": "0.0112",
        "seconds": 3.0,
        "stages": [
            {
                "stage": "generate",
                "questions": 45,
                "calls": 3,
                "input_tokens": 900,
                "output_tokens": 900,
                "cost_usd": "0.0112",
                "by_difficulty": {"easy": {"questions": 45, "cost_usd": "0.011250"}},
            },
            {
                "stage": "answer",
                "questions": 0,
                "calls": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost_usd": "0.0000",
                "by_difficulty": {"easy": {"questions": 0, "cost_usd": "0.000000"}},
            },
        ],
    }
