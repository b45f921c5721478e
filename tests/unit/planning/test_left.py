from decimal import Decimal
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.planning.left import (
    LEAST_PASS_RATE,
    LEAST_RESULTS,
    Spending,
    Stand,
    cost_of,
    left_of,
    pass_rate,
    seconds_left,
)

ALL = ("generate", "validate", "answer")
COUNTS = st.integers(0, 1_000)


@pytest.mark.parametrize(
    ("judged", "passed", "rate"),
    [(0, 0, 1.0), (20, 0, 0.5), (1, 0, 20 / 21), (980, 892, 0.912), (1_000_000, 0, LEAST_PASS_RATE)],
)
def test_judges_are_trusted_to_accept_until_there_is_evidence(judged: int, passed: int, rate: float) -> None:
    assert pass_rate(judged, passed) == pytest.approx(rate)


def test_at_the_start_everything_is_left_and_rejections_are_made_up_for_in_advance() -> None:
    stand = Stand("easy", target=100)
    assert left_of(stand, ALL, 0.8) == {"generate": 125, "validate": 125, "answer": 100}
    assert left_of(stand, ("generate",), 0.8) == {"generate": 100}
    assert left_of(stand, ("generate", "answer"), 0.8) == {"generate": 100, "answer": 100}


def test_what_was_made_and_not_yet_judged_counts_for_what_will_pass() -> None:
    stand = Stand("easy", target=100, selected=90, validated=50, reserve=5, reserve_validated=5, answered=30)
    # 45 have to pass yet: 57 at this rate, of which 40 are there.
    assert left_of(stand, ALL, 0.8) == {"generate": 17, "validate": 57, "answer": 70}


def test_stages_that_the_job_does_not_have_have_nothing_left() -> None:
    stand = Stand("hard", target=10, selected=10)
    assert left_of(stand, ("validate", "answer"), 1.0) == {"validate": 10, "answer": 10}
    assert left_of(stand, ("answer",), 1.0) == {"answer": 10}


@given(target=COUNTS, reserve=COUNTS, rate=st.floats(LEAST_PASS_RATE, 1))
def test_a_full_cell_has_nothing_left(target: int, reserve: int, rate: float) -> None:
    done = Stand("easy", target, target, reserve, validated=target, reserve_validated=0, answered=target)
    assert left_of(done, ALL, rate) == {"generate": 0, "validate": 0, "answer": 0}


@given(data=st.data(), rate=st.floats(LEAST_PASS_RATE, 1))
def test_what_is_left_is_never_negative_and_enough_to_reach_the_target(data: st.DataObject, rate: float) -> None:
    target, reserve = data.draw(COUNTS), data.draw(COUNTS)
    selected = data.draw(st.integers(0, target))
    validated = data.draw(st.integers(0, selected))
    spare = data.draw(st.integers(0, reserve))
    stand = Stand("easy", target, selected, reserve, validated, spare, data.draw(st.integers(0, validated)))
    left = left_of(stand, ALL, rate)
    assert min(left.values()) >= 0
    to_pass = max(0, target - validated - spare)
    assert left["validate"] == ceil(to_pass / rate)
    assert left["generate"] + (selected + reserve - validated - spare) >= left["validate"]
    assert stand.answered + left["answer"] >= target


def test_what_is_left_costs_what_it_has_cost_once_there_was_enough_of_it() -> None:
    spending = {
        ("generate", "easy"): Spending(LEAST_RESULTS, Decimal("0.40"), 1_000, Decimal(99)),
        ("generate", "hard"): Spending(LEAST_RESULTS - 1, Decimal("39.00"), 100, Decimal(2)),
    }
    left = {"generate": {"easy": 10, "hard": 5}, "answer": {"easy": 7}}
    assert cost_of(left, spending) == {"generate": Decimal("0.1") + Decimal("0.1"), "answer": 0}


def test_without_a_forecast_the_little_that_is_known_counts() -> None:
    assert Spending(2, Decimal("0.50")).usd_per_result == Decimal("0.25")
    assert Spending(0, Decimal("0.50")).usd_per_result == 0


FORECAST = [
    {"stage": "generate", "questions": 6000, "input_tokens": 200_000, "output_tokens": 190_000},
    {"stage": "validate", "questions": 6000, "input_tokens": 600_000, "output_tokens": 300_000},
    {"stage": "answer", "questions": 6000, "input_tokens": 900_000, "output_tokens": 1_350_000},
]


def test_cheap_results_do_not_promise_dear_ones() -> None:
    # As measured: in the first ten seconds nearly all questions, hardly a verdict, no answer; the end came after 100 s.
    left, pace = {"generate": 975, "validate": 5671, "answer": 6000}, {"generate": 30_700.0, "validate": 2_520.0}
    assert 70 < (seconds_left(left, pace, FORECAST) or 0) < 110


def test_at_the_end_the_last_stage_is_waited_for_at_its_own_pace() -> None:
    # The verdicts of the last minute are many, and none of them is left.
    left, pace = {"generate": 0, "validate": 0, "answer": 60}, {"validate": 6_000.0, "answer": 120.0}
    assert 28 <= (seconds_left(left, pace, FORECAST) or 0) <= 30


def test_time_left_is_that_of_one_stage_by_itself() -> None:
    assert seconds_left({"generate": 600}, {"generate": 300.0}, FORECAST) == 120
    assert seconds_left({"generate": 600}, {"generate": 300.0}, []) == 120
    assert seconds_left({"generate": 600, "answer": 300}, {"generate": 300.0}, FORECAST[:1]) == 180
    assert seconds_left({"generate": 600, "answer": 300}, {}, FORECAST) is None
    assert seconds_left({"generate": 0, "answer": 0}, {}, FORECAST) == 0
