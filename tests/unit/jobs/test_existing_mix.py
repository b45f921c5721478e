from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.jobs.existing_mix import mix_of_dataset
from shared.jobs.mix_spec import MixSpec
from shared.jobs.spec_fields import MAX_MEAN_TOKENS
from shared.planning.balance import make_plan
from shared.planning.mix import Cell, Surplus


@dataclass(frozen=True)
class Rows:
    have: int
    prompt_tokens: int


def test_every_cell_asks_for_what_is_there_at_its_own_mean() -> None:
    mix = mix_of_dataset(
        "seed",
        {Cell("math", "easy"): Rows(90, 1_350), Cell("math", "hard"): Rows(3, 900), Cell("law", "easy"): Rows(10, 250)},
    )
    assert mix.existing
    assert mix.domains == {"math": 93, "law": 10}
    assert {name: each.token_share for name, each in mix.difficulties.items()} == {
        "easy": Decimal("0.64"),
        "hard": Decimal("0.36"),
    }
    assert [mix.question_tokens(Cell(*names)) for names in (("math", "hard"), ("law", "easy"))] == [300, 25]
    assert mix.difficulties["easy"].mean_tokens == 16


def test_a_dataset_without_questions_has_no_mix() -> None:
    with pytest.raises(InvalidInput, match="holds no questions yet") as refused:
        mix_of_dataset("empty", {})
    assert [each.loc for each in refused.value.errors] == ["mix"]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([Cell("math", f"level {n}") for n in range(13)], "13 difficulties, a job at most 12"),
        ([Cell(f"domain {n}", "easy") for n in range(201)], "201 domains, a job at most 200"),
    ],
)
def test_a_dataset_of_more_cells_than_a_job_may_have_asks_for_a_mix(cells: list[Cell], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        mix_of_dataset("wide", {cell: Rows(1, 10) for cell in cells})


def test_means_stay_within_what_a_mix_may_say() -> None:
    mix = mix_of_dataset("odd", {Cell("a", "easy"): Rows(10, 1), Cell("a", "hard"): Rows(1, 10**9)})
    assert mix.mean_tokens["a"] == {"easy": 1, "hard": MAX_MEAN_TOKENS}


@given(
    rows=st.dictionaries(
        st.builds(Cell, st.sampled_from(["math", "law", "tool use"]), st.sampled_from(["easy", "fair", "hard"])),
        st.builds(Rows, st.integers(1, 5_000), st.integers(0, 10**7)),
        min_size=1,
    )
)
def test_any_dataset_has_a_mix_that_is_a_mix_and_whose_plan_generates_nothing(rows: dict[Cell, Rows]) -> None:
    mix = mix_of_dataset("any", rows)
    assert MixSpec.model_validate(mix.model_dump(mode="json")) == mix
    assert sum(each.token_share for each in mix.difficulties.values()) == 1
    plan = make_plan(mix.to_mix(), {cell: each.have for cell, each in rows.items()}, Surplus.KEEP)
    assert {each.cell: each.target for each in plan.cells if each.target} == {c: each.have for c, each in rows.items()}
    assert plan.generate == 0
