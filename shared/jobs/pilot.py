"""What a job makes before it knows how long answers are, when its plan depends on that. Pure.

Questions are measured as they come; answers only stages later. Without a pilot most of a small job would be made by
then, as many of each kind as the mix assumed.
"""

from dataclasses import replace
from math import ceil

from shared.database.states import Stage
from shared.jobs.observed import CellStatus, Observed
from shared.planning.mix import Measure

# The part of a cell's target that is made, judged and answered first.
PILOT_PART = 10
# So many answers of a difficulty say enough.
MEASURED_ANSWERS = 40


def hold_back(observed: Observed) -> tuple[CellStatus, ...]:
    """The cells as they are worked on now: with smaller targets until some answers of each difficulty are measured."""
    if observed.balance is None or observed.balance.mix.measure is Measure.PROMPT:
        return observed.cells
    pilots = {status.cell: _pilot(status) for status in observed.cells}
    answered: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for status in observed.cells:
        difficulty = status.cell.difficulty
        answered[difficulty] = answered.get(difficulty, 0) + status.answered
        if not any(status.is_stopped(stage) for stage in Stage):
            wanted[difficulty] = wanted.get(difficulty, 0) + pilots[status.cell]
    if all(answered[name] >= min(MEASURED_ANSWERS, count) for name, count in wanted.items()):
        return observed.cells
    return tuple(replace(status, target=pilots[status.cell]) for status in observed.cells)


def _pilot(status: CellStatus) -> int:
    return min(status.target, max(status.questions_per_call, ceil(status.target / PILOT_PART)))
