"""What the reconciler can do for a job. Decided in decide.py, written in apply.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.database.states import Stage
from shared.ids import BatchId
from shared.jobs.observed import OpenBatch
from shared.planning.mix import Cell


@dataclass(frozen=True, slots=True)
class CreateBatch:
    """Ask for `questions` more of a cell, with one call for each of the prompt tuples `ordinals`, which ascend.

    `bulk`: these calls go in bulk submissions.
    """

    cell: Cell
    number: int
    questions: int
    questions_per_call: int
    ordinals: Sequence[int]
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Hint:
    """Publish the batch's id to the workers."""

    batch: OpenBatch


@dataclass(frozen=True, slots=True)
class Park:
    """Give a batch up that was claimed `attempts` times and never got anywhere (FAULTS 7)."""

    batch_id: BatchId
    reason: str


@dataclass(frozen=True, slots=True)
class DropFree:
    """The cell needs no more of a stage: drop its batches that nobody holds."""

    cell: Cell
    reason: str
    stage: Stage = Stage.GENERATE


@dataclass(frozen=True, slots=True)
class Select:
    """Make exactly `target` questions of the cell selected, as far as there are that many."""

    cell: Cell
    target: int


@dataclass(frozen=True, slots=True)
class StopCell:
    """No more batches of this stage, nor of those before it, for this cell."""

    cell: Cell
    reason: str
    stage: Stage = Stage.GENERATE


@dataclass(frozen=True, slots=True)
class Retarget:
    """Follow another plan: the cells' targets and the means that lead to them, with the reason that people read."""

    targets: Mapping[Cell, int]
    means: Mapping[Cell, Decimal]
    reason: str


@dataclass(frozen=True, slots=True)
class Succeed:
    """Every cell has exactly its target."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing is left to try."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Make batches of a later stage, from `number` on, with so many questions each; which ones, the database picks."""

    cell: Cell
    stage: Stage
    number: int
    sizes: tuple[int, ...]
    questions_per_call: int
    calls: tuple[int, ...]
    bulk: bool = False


Action = CreateBatch | TakeUp | Hint | Park | DropFree | Select | StopCell | Retarget | Succeed | Fail
