"""What the reconciler sees of a job: plain counts, read by observe.py and judged by decide.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.database.states import BatchState, JobState
from shared.ids import BatchId, JobId
from shared.jobs.steer import Ground
from shared.planning.mix import Cell


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """How one batch of a cell ended: its calls, the candidates judged and admitted."""

    state: BatchState
    calls: int
    generated: int
    admitted: int


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One cell: its target, its rows, its batches.

    `coming` is how many questions its open batches may still bring; `ended` are its newest ended batches, newest
    first, dropped ones left out; `batches` and `next_ordinal` say where the next batch begins. `ground` is what new
    batches are steered by; None when they are not, or when none is about to be made.
    """

    cell: Cell
    target: int
    mean_tokens: int
    questions_per_call: int
    stopped: str | None = None
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


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A pending or leased batch. `expired`: its lease is over, by the database's clock."""

    id: BatchId
    cell: Cell
    number: int
    state: BatchState
    attempts: int
    hinted_at: datetime | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a job. `now` is the database's clock."""

    job_id: JobId
    state: JobState
    now: datetime
    cells: tuple[CellStatus, ...]
    open_batches: tuple[OpenBatch, ...] = ()

    def by_cell(self) -> Mapping[Cell, CellStatus]:
        """The cells by name."""
        return {status.cell: status for status in self.cells}
