"""What the reconciler sees of a job: plain counts, read by observe.py and judged by decide.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.corpus.stages import StageTerms
from shared.database.states import BatchState, JobState, Stage
from shared.ids import BatchId, JobId
from shared.jobs.steer import Ground
from shared.planning.mix import Cell, Mix, Surplus


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """How one batch of a cell ended: its calls, the candidates judged and admitted.

    Of a later stage the calls are those that were made, the candidates its questions. `reason` says why it was parked.
    """

    state: BatchState
    calls: int
    generated: int
    admitted: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A later stage of one cell: its batches, and what they did.

    `in_hand` is how many questions its open batches have not dealt with yet; `judged` and `passed` count what all its
    batches dealt with; `ended` and `batches` are as in CellStatus.
    """

    terms: StageTerms
    in_hand: int = 0
    judged: int = 0
    passed: int = 0
    open_batches: int = 0
    ended: tuple[EndedBatch, ...] = ()
    batches: int = 0

    @property
    def stage(self) -> Stage:
        """Which one."""
        return self.terms.stage


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One cell: its target, its rows, its batches.

    `coming` is how many questions its open batches may still bring; `ended` are its newest ended batches, newest
    first, dropped ones left out; `batches` and `next_ordinal` say where the next batch begins. `ground` is what new
    batches are steered by; None when they are not, or when none is about to be made. `generates` says whether the job
    does so, and `bulk` whether in bulk submissions; `later` is what it does after that. `stopped` holds for the stages
    up to `stopped_stage`.
    """

    cell: Cell
    target: int
    mean_tokens: int
    questions_per_call: int
    stopped: str | None = None
    stopped_stage: Stage | None = None
    generates: bool = True
    bulk: bool = False
    selected: int = 0
    reserve: int = 0
    generated: int = 0
    admitted: int = 0
    coming: int = 0
    open_batches: int = 0
    ended: tuple[EndedBatch, ...] = ()
    batches: int = 0
    next_ordinal: int = 0
    ground: Ground | None = None
    later: tuple[StageStatus, ...] = ()
    # Of those selected, how many each later stage is done with, and their tokens; of the reserve, how many have passed.
    validated: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reserve_validated: int = 0

    def of_stage(self, stage: Stage) -> StageStatus | None:
        """The status of a later stage; None when the job does not have it."""
        return next((each for each in self.later if each.stage is stage), None)

    def is_stopped(self, stage: Stage) -> bool:
        """Whether no more batches of this stage are made."""
        return self.stopped is not None and stage.position <= (self.stopped_stage or Stage.GENERATE).position


class BulkPlace(StrEnum):
    """Where a batch is whose calls go in bulk submissions."""

    WAITING = "waiting"  # for the keeper, who submits what it still needs
    OUT = "out"  # with a provider
    BACK = "back"  # with replies that were paid for and wait to be read


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A pending or leased batch. `expired`: its lease is over, by the database's clock."""

    id: BatchId
    cell: Cell
    stage: Stage
    number: int
    state: BatchState
    attempts: int
    hinted_at: datetime | None = None
    expired: bool = False
    bulk: BulkPlace | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What a job with measured means is planned by: its mix, and what was there when it began."""

    mix: Mix
    surplus: Surplus
    have: Mapping[Cell, int]
    plans: int


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a job. `now` is the database's clock; `balance` is there when its means are measured."""

    job_id: JobId
    state: JobState
    now: datetime
    cells: tuple[CellStatus, ...]
    open_batches: tuple[OpenBatch, ...] = ()
    balance: Balance | None = None
    follows: bool = False

    def by_cell(self) -> Mapping[Cell, CellStatus]:
        """The cells by name."""
        return {status.cell: status for status in self.cells}
