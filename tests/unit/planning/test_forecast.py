from decimal import Decimal

from shared.planning.balance import CellPlan, Plan, make_plan
from shared.planning.forecast import JSON_TOKENS_PER_QUESTION, PROMPT_OVERHEAD_TOKENS, Forecast, make_forecast
from shared.planning.mix import Cell, Difficulty, Mix, Surplus

PER_CALL = {"easy": 20, "hard": 2}
EASY_TOKENS, HARD_TOKENS = 15 + JSON_TOKENS_PER_QUESTION, 750 + JSON_TOKENS_PER_QUESTION


def a_cell(difficulty: str, generate: int, mean_tokens: int) -> CellPlan:
    return CellPlan(Cell("math", difficulty), generate + 5, 5, 5, generate, 0, Decimal(mean_tokens))


def forecast_of(
    plan: Plan, *stages: str, per_call: dict[str, int] = PER_CALL
) -> tuple[Forecast, list[tuple[str, str, int, int]]]:
    asked: list[tuple[str, str, int, int]] = []

    def cost_per_call(stage: str, difficulty: str, input_tokens: int, output_tokens: int) -> Decimal:
        asked.append((stage, difficulty, input_tokens, output_tokens))
        return Decimal("0.001") + output_tokens * Decimal("0.00001")

    made = make_forecast(
        plan,
        stages=stages,
        questions_per_call=per_call,
        cost_per_call=cost_per_call,
        calls_in_flight=10,
        seconds_per_call=3.0,
    )
    return made, asked


def test_calls_are_full_ones_and_one_for_the_rest() -> None:
    made, asked = forecast_of(Plan((a_cell("easy", 45, 15),)), "generate")
    assert made.calls == 3
    assert made.input_tokens == 3 * PROMPT_OVERHEAD_TOKENS
    assert made.output_tokens == 45 * EASY_TOKENS
    assert asked == [
        ("generate", "easy", PROMPT_OVERHEAD_TOKENS, 20 * EASY_TOKENS),
        ("generate", "easy", PROMPT_OVERHEAD_TOKENS, 5 * EASY_TOKENS),
    ]


def test_the_price_is_asked_per_call_and_never_for_a_sum() -> None:
    made, asked = forecast_of(Plan((a_cell("hard", 4_000, 750),)), "generate")
    assert made.calls == 2_000
    assert max(output for *_, output in asked) == 2 * HARD_TOKENS
    assert made.cost_usd == 2_000 * (Decimal("0.001") + 2 * HARD_TOKENS * Decimal("0.00001"))


def test_only_the_deficit_is_paid_for() -> None:
    made, asked = forecast_of(Plan((a_cell("easy", 0, 15),)), "generate", "validate", "answer")
    assert made == Forecast(0, 0, 0, Decimal(0), 0.0)
    assert asked == []


def test_validation_takes_groups_of_twenty_whatever_a_generating_call_takes() -> None:
    made, _ = forecast_of(Plan((a_cell("hard", 41, 750),)), "validate")
    assert made.calls == 3
    assert made.input_tokens > 41 * 750


def test_an_answer_costs_more_output_than_its_question() -> None:
    plan = Plan((a_cell("hard", 10, 750),))
    generating, _ = forecast_of(plan, "generate")
    answering, _ = forecast_of(plan, "answer")
    assert answering.output_tokens > generating.output_tokens
    assert answering.input_tokens > generating.input_tokens + 10 * 750


def test_stages_add_up() -> None:
    plan = Plan((a_cell("easy", 45, 15), a_cell("hard", 3, 750)))
    parts = [forecast_of(plan, stage)[0] for stage in ("generate", "validate", "answer")]
    whole, _ = forecast_of(plan, "generate", "validate", "answer")
    assert whole.calls == sum(part.calls for part in parts)
    assert whole.cost_usd == sum(part.cost_usd for part in parts)


def test_time_is_the_number_of_rounds_of_calls() -> None:
    made, _ = forecast_of(Plan((a_cell("hard", 42, 750),)), "generate")
    assert made.calls == 21
    assert made.seconds == 3 * 3.0


def test_the_seeds_789_hard_questions_cost_about_ten_dollars_not_414() -> None:
    shares = {"easy": Difficulty(Decimal("0.6"), Decimal(15)), "hard": Difficulty(Decimal("0.4"), Decimal(750))}
    plan = make_plan(Mix({"math": 60_000}, shares), {}, Surplus.SUBSAMPLE)

    def fifteen_dollars_a_million(_stage: str, difficulty: str, input_tokens: int, output_tokens: int) -> Decimal:
        dear = difficulty == "hard"
        return (input_tokens * Decimal(3) + output_tokens * Decimal(15)) / 1_000_000 if dear else Decimal(0)

    made = make_forecast(
        plan,
        stages=["generate"],
        questions_per_call=PER_CALL,
        cost_per_call=fifteen_dollars_a_million,
        calls_in_flight=100,
        seconds_per_call=5.0,
    )
    assert 8 < made.cost_usd < 12


def test_json_keeps_money_out_of_floats() -> None:
    document = Forecast(3, 1_050, 945, Decimal("0.1234567"), 12.345).to_json()
    assert document == {"calls": 3, "input_tokens": 1_050, "output_tokens": 945, "cost_usd": "0.1235", "seconds": 12.3}
