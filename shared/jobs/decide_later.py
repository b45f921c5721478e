"""What a cell needs of the stages that look at questions which are there: validate and answer. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.database.states import Stage
from shared.jobs.observed import CellStatus, StageStatus
from shared.planning.mix import Cell

# DESIGN: a batch is about 20 calls.
CALLS_PER_BATCH = 20
# A judge is taken to accept everything until it has judged more than these imagined questions.
PASS_PRIOR = 20
LEAST_PASS_RATE = 0.05


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Make batches of a later stage, from `number` on, with so many questions each; which ones, the database picks."""

    cell: Cell
    stage: Stage
    number: int
    sizes: tuple[int, ...]
    questions_per_call: int
    calls: tuple[int, ...]


def pass_rate(validation: StageStatus) -> float:
    """The share of the questions judged that were accepted, pulled towards 1 while there are few."""
    return max(LEAST_PASS_RATE, (validation.passed + PASS_PRIOR) / (validation.judged + PASS_PRIOR))


def due_of(status: CellStatus, stage: Stage) -> int:
    """How many selected questions the stage is not done with and the stage before is."""
    if stage is Stage.VALIDATE:
        return max(0, status.selected - status.validated)
    fit = status.selected if status.of_stage(Stage.VALIDATE) is None else status.validated
    return max(0, fit - status.answered)


def take_up(status: CellStatus, its: StageStatus, ahead: int, *, more_comes: bool) -> Iterator[TakeUp]:
    """Batches for what is due and in nobody's hand; part of one only when nothing more comes to fill it."""
    ready = due_of(status, its.stage) - its.in_hand
    full = max(1, CALLS_PER_BATCH // len(its.terms.slots)) * its.terms.questions_per_call
    sizes: list[int] = []
    while ready > 0 and len(sizes) < ahead - its.open_batches and (ready >= full or not more_comes):
        sizes.append(min(full, ready))
        ready -= full
    if sizes:
        calls = tuple(its.terms.calls_for(size) for size in sizes)
        yield TakeUp(status.cell, its.stage, its.batches + 1, tuple(sizes), its.terms.questions_per_call, calls)


def is_done(status: CellStatus) -> bool:
    """Whether the cell has exactly its target, and every later stage is done with all of it."""
    return status.selected == status.target and not any(due_of(status, its.stage) for its in status.later)
