"""A job whose plan depends on answers makes a part of each cell first."""

from dataclasses import replace
from decimal import Decimal

import pytest

from shared.corpus.stages import Slot, StageTerms
from shared.database.states import JobState, Stage
from shared.ids import new_job_id
from shared.jobs.observed import Balance, CellStatus, Observed, StageStatus
from shared.jobs.pilot import MEASURED_ANSWERS, hold_back
from shared.planning.mix import Cell, Difficulty, Means, Measure, Mix, Surplus
from tests.unit.jobs.test_decide import NOW

EASY, HARD = Cell("math", "easy"), Cell("math", "hard")
ANSWER = StageStatus(StageTerms(Stage.ANSWER, 10, (Slot("openai/x", 0),), tries=3))


def observed(*cells: CellStatus, measure: Measure = Measure.COMPLETION) -> Observed:
    shares = {"easy": Difficulty(Decimal("0.6"), Decimal(60)), "hard": Difficulty(Decimal("0.4"), Decimal(900))}
    mix = Mix({"math": 1000}, shares, measure=measure, means=Means.MEASURED)
    return Observed(new_job_id(), JobState.RUNNING, NOW, cells, (), Balance(mix, Surplus.SUBSAMPLE, {}, 1))


def a_cell(cell: Cell, target: int, **counts: int) -> CellStatus:
    status = CellStatus(cell, target, mean_tokens=15, questions_per_call=20, later=(ANSWER,))
    return replace(status, **counts)  # type: ignore[arg-type]


def targets(seen: Observed) -> list[int]:
    return [status.target for status in hold_back(seen)]


def test_a_tenth_is_made_until_answers_of_each_difficulty_are_measured() -> None:
    easy, hard = a_cell(EASY, 900, selected=90), a_cell(HARD, 600, selected=60)
    assert targets(observed(easy, hard)) == [90, 60]
    measured = replace(easy, answered=MEASURED_ANSWERS)
    assert targets(observed(measured, hard)) == [90, 60]
    assert targets(observed(measured, replace(hard, answered=MEASURED_ANSWERS))) == [900, 600]


def test_a_small_cell_is_made_by_the_call_and_no_larger_than_it_is() -> None:
    assert targets(observed(a_cell(EASY, 100), a_cell(HARD, 7))) == [20, 7]
    assert targets(observed(a_cell(EASY, 100, answered=20), a_cell(HARD, 7, answered=7))) == [100, 7]


def test_a_stopped_cell_is_not_waited_for() -> None:
    stopped = replace(a_cell(HARD, 600), stopped="dry")
    assert targets(observed(a_cell(EASY, 900, answered=MEASURED_ANSWERS), stopped)) == [900, 600]


@pytest.mark.parametrize("measure", [Measure.PROMPT])
def test_questions_are_measured_as_they_come(measure: Measure) -> None:
    assert targets(observed(a_cell(EASY, 900), a_cell(HARD, 600), measure=measure)) == [900, 600]
