from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.planning.mix import Cell, Difficulty, Mix, fold_name

EASY = Difficulty(Decimal("0.6"), Decimal(15))
HARD = Difficulty(Decimal("0.4"), Decimal(750))


@pytest.mark.parametrize("typed", ["Tool_Use", " TOOL  USE", "tool-use", "tool _-\tuse\n", "__tool use"])
def test_names_that_people_mix_up_fold_to_one(typed: str) -> None:
    assert fold_name(typed) == "tool use"


@given(st.text())
def test_folding_twice_changes_nothing(name: str) -> None:
    assert fold_name(fold_name(name)) == fold_name(name)


def test_a_cell_reads_as_domain_and_difficulty() -> None:
    assert str(Cell("math", "hard")) == "math/hard"


def test_an_own_mean_goes_before_that_of_the_difficulty() -> None:
    mix = Mix({"math": 1, "coding": 1}, {"easy": EASY, "hard": HARD}, mean_tokens={"math": {"hard": Decimal(500)}})
    assert mix.mean_of(Cell("math", "hard")) == 500
    assert mix.mean_of(Cell("math", "easy")) == 15
    assert mix.mean_of(Cell("coding", "hard")) == 750
    assert [str(cell) for cell in mix.cells()] == ["math/easy", "math/hard", "coding/easy", "coding/hard"]


@pytest.mark.parametrize(
    "changed",
    [
        {"domains": {}},
        {"difficulties": {}},
        {"domains": {"Math": 1}},
        {"domains": {"": 1}},
        {"domains": {"math": -1}},
        {"difficulties": {"easy": EASY}},
        {"minimum": {"hard": -1}},
        {"minimum": {"medium": 1}},
        {"mean_tokens": {"law": {"easy": Decimal(1)}}},
        {"mean_tokens": {"math": {"medium": Decimal(1)}}},
        {"mean_tokens": {"math": {"easy": Decimal(0)}}},
    ],
)
def test_a_nonsensical_mix_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Mix(**{"domains": {"math": 1}, "difficulties": {"easy": EASY, "hard": HARD}, **changed})


@pytest.mark.parametrize(("share", "mean"), [("-0.1", "1"), ("1.1", "1"), ("0.5", "0"), ("0.5", "-1"), ("0.5", "NaN")])
def test_a_nonsensical_difficulty_cannot_be_made(share: str, mean: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Difficulty(Decimal(share), Decimal(mean))
