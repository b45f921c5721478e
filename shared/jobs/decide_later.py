"""What a cell needs of the stages that look at questions which are there: validate and answer. Pure."""

from collections.abc import Iterator
from math import ceil

from shared.database.states import Stage
from shared.jobs.actions import Action, DropFree, StopCell, TakeUp
from shared.jobs.evidence import why_stuck
from shared.jobs.observed import CellStatus, StageStatus
from shared.planning.left import pass_rate

# DESIGN: a batch is about 20 calls.
CALLS_PER_BATCH = 20
# In bulk, where what counts is how often somebody waits for a provider. A submission holds those of one batch.
CALLS_PER_BULK_BATCH = 500


def calls_per_batch(*, bulk: bool) -> int:
    """The most calls of a batch."""
    return CALLS_PER_BULK_BATCH if bulk else CALLS_PER_BATCH


def due_of(status: CellStatus, stage: Stage) -> int:
    """How many selected questions the stage is not done with and the stage before is; surplus is not waited for."""
    selected = min(status.selected, status.target)
    if stage is Stage.VALIDATE:
        return max(0, selected - status.validated)
    fit = selected if status.of_stage(Stage.VALIDATE) is None else min(selected, status.validated)
    return max(0, fit - status.answered)


def missing_of(status: CellStatus) -> int:
    """How many more admitted questions the cell needs, its reserve counted in.

    Where judges come after, of those that they have not seen some will be rejected: as many as so far.
    """
    validation = status.of_stage(Stage.VALIDATE)
    if validation is None:
        return max(0, status.target - status.selected - status.reserve)
    passed = status.validated + status.reserve_validated
    unseen = status.selected + status.reserve - passed
    return max(0, ceil((status.target - passed) / pass_rate(validation.judged, validation.passed)) - unseen)


def work_on_later(status: CellStatus, its: StageStatus, ahead: int, *, has_free: bool) -> Iterator[Action]:
    """What the cell needs of this stage now."""
    if status.is_stopped(its.stage):
        if has_free:
            yield DropFree(status.cell, f"the cell is stopped: {status.stopped}", its.stage)
        return
    if due_of(status, its.stage) == 0:
        return
    if reason := why_stuck(its):
        yield StopCell(status.cell, reason, its.stage)
        return
    yield from _take_up(status, its, ahead, more_comes=_more_comes(status, its.stage))


def _more_comes(status: CellStatus, stage: Stage) -> bool:
    """Whether the stages before may still bring questions of this cell."""
    generation_goes_on = status.generates and not status.is_stopped(Stage.GENERATE) and missing_of(status) > 0
    if status.open_batches > 0 or generation_goes_on:
        return True
    before = [its for its in status.later if its.stage.position < stage.position]
    return any(
        its.open_batches > 0 or (due_of(status, its.stage) and not status.is_stopped(its.stage)) for its in before
    )


def stop_unfillable(status: CellStatus) -> Iterator[Action]:
    """A job that does not generate cannot make up for what is rejected."""
    busy = any(its.open_batches > 0 or due_of(status, its.stage) for its in status.later)
    if status.selected + status.reserve < status.target and status.stopped is None and not busy:
        yield StopCell(status.cell, "nothing is left to choose from, and this job does not generate")


def _take_up(status: CellStatus, its: StageStatus, ahead: int, *, more_comes: bool) -> Iterator[TakeUp]:
    """Batches for what is due and in nobody's hand; part of one only when nothing more comes to fill it."""
    ready = due_of(status, its.stage) - its.in_hand
    most = calls_per_batch(bulk=its.terms.bulk)
    full = max(1, most // len(its.terms.slots)) * its.terms.questions_per_call
    sizes: list[int] = []
    while ready > 0 and len(sizes) < ahead - its.open_batches and (ready >= full or not more_comes):
        sizes.append(min(full, ready))
        ready -= full
    if sizes:
        calls = tuple(its.terms.calls_for(size) for size in sizes)
        per_call = its.terms.questions_per_call
        yield TakeUp(status.cell, its.stage, its.batches + 1, tuple(sizes), per_call, calls, its.terms.bulk)


def is_done(status: CellStatus) -> bool:
    """Whether the cell has exactly its target, and every later stage is done with all of it."""
    return status.selected == status.target and not any(due_of(status, its.stage) for its in status.later)
