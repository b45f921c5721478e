from decimal import Decimal

import pytest

from shared.planning.balance import make_plan
from shared.planning.mix import Cell, Difficulty, Mix, Surplus
from shared.planning.warnings import mean_warnings, rounding_warnings

DIFFICULTIES = {"easy": Difficulty(Decimal("0.6"), Decimal(15)), "hard": Difficulty(Decimal("0.4"), Decimal(750))}
MIX = Mix({"math": 60_000}, DIFFICULTIES, mean_tokens={"math": {"hard": Decimal(500)}})
EASY, HARD = Cell("math", "easy"), Cell("math", "hard")


def test_a_measured_mean_far_from_the_mixs_is_warned_about_with_both_numbers() -> None:
    (warning,) = mean_warnings(MIX, {EASY: 22.5, HARD: 510.0}, {EASY: 1_200, HARD: 3})
    assert warning.startswith("math/easy: the 1,200 existing questions have 22.5 tokens on average, the mix says 15;")


@pytest.mark.parametrize(("mean", "warned"), [(12.0, 0), (18.0, 0), (11.99, 1), (18.01, 1)])
def test_twenty_per_cent_is_the_border(mean: float, warned: int) -> None:
    assert len(mean_warnings(MIX, {EASY: mean}, {EASY: 1})) == warned


def test_the_cells_own_mean_is_what_counts() -> None:
    assert mean_warnings(MIX, {HARD: 750.0}, {HARD: 1})
    assert not mean_warnings(MIX, {HARD: 500.0}, {HARD: 1})


def test_cells_without_questions_or_outside_the_mix_are_not_warned_about() -> None:
    assert not mean_warnings(MIX, {EASY: 99.0}, {EASY: 0})
    assert not mean_warnings(MIX, {Cell("law", "easy"): 99.0}, {Cell("law", "easy"): 5})


def test_the_seeds_size_rounds_without_a_warning_and_a_tiny_mix_does_not() -> None:
    fine = Mix({"math": 60_000}, DIFFICULTIES)
    assert not rounding_warnings(fine, make_plan(fine, {}, Surplus.SUBSAMPLE))
    tiny = Mix({"math": 100}, DIFFICULTIES)
    warnings = rounding_warnings(tiny, make_plan(tiny, {}, Surplus.SUBSAMPLE))
    assert [warning.split(" of the tokens")[0] for warning in warnings] == ["easy: gets 66.44%", "hard: gets 33.56%"]
    assert "asks for 60.00%" in warnings[0]


def test_a_minimum_that_bends_the_split_is_warned_about() -> None:
    bent = Mix({"math": 60_000}, DIFFICULTIES, minimum={"hard": 900})
    assert len(rounding_warnings(bent, make_plan(bent, {}, Surplus.SUBSAMPLE))) == 2
