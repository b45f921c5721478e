"""The reconciler's judgement: what a job needs next, from what was observed of it. Pure.

First start, top-up after refusals, a dead worker, a wiped broker and a resumed job all come out of the same rules:
whatever is missing and not yet on its way is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil

from shared.corpus.topic_yields import estimate_pools
from shared.database.states import BatchState, JobState, Stage
from shared.jobs.actions import Action, CreateBatch, DropFree, Fail, Hint, Park, Select, StopCell, Succeed
from shared.jobs.decide_later import calls_per_batch, due_of, is_done, missing_of, stop_unfillable, work_on_later
from shared.jobs.evidence import LEAST_YIELD, smoothed_yield, why_dry
from shared.jobs.observed import BulkPlace, CellStatus, Observed, OpenBatch
from shared.jobs.pilot import hold_back
from shared.jobs.retarget import find_retarget
from shared.jobs.steer import TopicState, expected_yield, next_ordinals, topic_states

# With so few batches left open, one slow call must not hold the top-up of a whole cell back.
TAIL_BATCHES = 2
# Batches that exist ahead of the work, per cell: enough to keep every worker busy, few enough to re-plan and to steer.
# All cells together have a quarter more than the window.
MOST_BATCHES_AHEAD = 50
LEAST_BATCHES_AHEAD = 4
AHEAD_OF_WINDOW = 1.25


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that judgement depends on."""

    window_batches: int
    hint_repeat: timedelta
    max_attempts: int
    # The database has just come back: holders could not renew their leases, and get a moment to do so (FAULTS 2).
    spare_expired: bool = False


def decide(observed: Observed, limits: Limits) -> list[Action]:
    """What to do now. An ended job needs nothing; a paused one is only kept in order."""
    if observed.state not in (JobState.RUNNING, JobState.PAUSED):
        return []
    if limits.spare_expired:
        observed = replace(observed, open_batches=tuple(replace(each, expired=False) for each in observed.open_batches))
    actions: list[Action] = [*_select(observed), *_park(observed, limits)]
    if observed.state is JobState.PAUSED:
        return actions
    if retarget := find_retarget(observed):
        return [*actions, retarget]
    free = {(batch.cell, batch.stage) for batch in observed.open_batches if _may_be_dropped(batch)}
    ahead = _batches_ahead(observed, limits)
    for status in hold_back(observed):
        if status.generates:
            actions += _work_on(status, ahead, has_free=(status.cell, Stage.GENERATE) in free)
        for its in status.later:
            actions += work_on_later(status, its, ahead, has_free=(status.cell, its.stage) in free)
        if not status.generates and not observed.follows:
            actions += stop_unfillable(status)
    # What is stopped only now is not hinted any more either: a worker would pay for it.
    stopping = [action for action in actions if isinstance(action, StopCell)]
    actions += _hint(observed, limits, stopping)
    return actions or _end(observed)


def yield_of(status: CellStatus) -> float:
    """What the next prompts of a cell are expected to yield; a top-up asks for 1 / so much."""
    smoothed = smoothed_yield(status)
    return smoothed if status.ground is None else max(LEAST_YIELD, expected_yield(status.ground, smoothed))


def _select(observed: Observed) -> Iterator[Action]:
    for status in observed.cells:
        surplus, gap = status.selected > status.target, status.selected < status.target
        if surplus or (gap and status.reserve > 0):
            yield Select(status.cell, status.target)


def _park(observed: Observed, limits: Limits) -> Iterator[Action]:
    for batch in observed.open_batches:
        if _free(batch) and batch.attempts >= limits.max_attempts:
            yield Park(batch.id, f"claimed {batch.attempts} times without one finished call")


def _batches_ahead(observed: Observed, limits: Limits) -> int:
    """How many open batches each cell that is worked on may have."""
    active = sum(
        (status.generates and not status.is_stopped(Stage.GENERATE) and missing_of(status) > 0)
        or any(due_of(status, its.stage) and not status.is_stopped(its.stage) for its in status.later)
        for status in observed.cells
    )
    share = ceil(limits.window_batches * AHEAD_OF_WINDOW / max(1, active))
    return min(MOST_BATCHES_AHEAD, max(LEAST_BATCHES_AHEAD, share))


def _work_on(status: CellStatus, ahead: int, *, has_free: bool) -> Iterator[Action]:
    missing = missing_of(status)
    if missing == 0 or status.is_stopped(Stage.GENERATE):
        if has_free:
            why = "the cell is full" if missing == 0 else f"the cell is stopped: {status.stopped}"
            yield DropFree(status.cell, why)
        return
    if reason := why_dry(status):
        yield StopCell(status.cell, f"{reason}{_what_is_left(status)}")
        return
    yield from _create_batches(status, missing, ahead)


def _create_batches(status: CellStatus, missing: int, ahead: int) -> Iterator[Action]:
    """Batches for what is missing and not on its way; a small shortfall waits until most open batches are in."""
    rate = yield_of(status)
    shortfall = ceil(missing / rate) - status.coming
    most_calls = calls_per_batch(bulk=status.bulk)
    full = most_calls * status.questions_per_call
    # Of what goes in bulk the open ones are waited for: they come back together, and a submission may take a day.
    worth_it = full if status.open_batches > TAIL_BATCHES or status.bulk else status.questions_per_call
    if shortfall <= 0 or (status.open_batches > 0 and shortfall < worth_it):
        return
    room = ahead - status.open_batches
    number, ordinal = status.batches, status.next_ordinal
    while shortfall > 0 and room > 0:
        calls = min(most_calls, ceil(shortfall / status.questions_per_call))
        # Whole calls: what the last one brings beyond the target becomes the reserve.
        questions = calls * status.questions_per_call
        number += 1
        ordinals = _next_ordinals(status, ordinal, calls)
        yield CreateBatch(status.cell, number, questions, status.questions_per_call, ordinals, status.bulk)
        ordinal = ordinals[-1] + 1
        shortfall -= questions
        room -= 1


def _next_ordinals(status: CellStatus, first: int, count: int) -> Sequence[int]:
    if status.ground is None:
        return range(first, first + count)
    return next_ordinals(status.ground, status.cell, first, count)


def _what_is_left(status: CellStatus) -> str:
    """What a dry cell's topics say, for the person who reads why it was stopped."""
    if status.ground is None:
        return ""
    topics = list(status.ground.atlas.topics)
    dry = sum(state is TopicState.DRY for state in topic_states(status.ground).values())
    told = f"; {dry} of {len(topics)} topics are dry"
    pools = estimate_pools(topics, status.ground.yields)
    if pools is not None:
        known = sum(each.admitted for each in status.ground.yields.values())
        told += f", and of an estimated {sum(pools.values()):,.0f} questions {known:,} are known"
    return told


def _free(batch: OpenBatch) -> bool:
    """Whether somebody may claim it."""
    if batch.bulk in {BulkPlace.WAITING, BulkPlace.OUT}:
        return False
    return batch.state is BatchState.PENDING or batch.expired


def _may_be_dropped(batch: OpenBatch) -> bool:
    """Whether nobody has it, nor anything that was paid for it waits to be read."""
    return batch.bulk is BulkPlace.WAITING or (batch.bulk is None and _free(batch))


def _hint(observed: Observed, limits: Limits, stopping: Sequence[StopCell]) -> Iterator[Action]:
    """Hints for free batches, a window of them, in the order of their numbers so that all cells move together."""
    wanted = {(status.cell, its.stage) for status in observed.cells for its in status.later} | {
        (status.cell, Stage.GENERATE) for status in observed.cells if missing_of(status) > 0
    }
    wanted -= {(status.cell, stage) for status in observed.cells for stage in Stage if status.is_stopped(stage)}
    wanted -= {(stop.cell, stage) for stop in stopping for stage in Stage if stage.position <= stop.stage.position}
    # What is nearer to its end comes first, so that questions do not pile up between the stages.
    in_order = sorted(observed.open_batches, key=lambda batch: (-batch.stage.position, batch.number, batch.cell))
    held = sum(not _free(batch) and batch.state is BatchState.LEASED for batch in in_order)
    for batch in in_order:
        # What a bulk submission brought is read whether the cell needs it or not: it is paid for.
        is_wanted = (batch.cell, batch.stage) in wanted or batch.bulk is BulkPlace.BACK
        if not _free(batch) or not is_wanted or batch.attempts >= limits.max_attempts:
            continue
        if held >= limits.window_batches:
            return
        held += 1
        if batch.hinted_at is None or observed.now - batch.hinted_at >= limits.hint_repeat:
            yield Hint(batch)


def finished(status: CellStatus) -> int:
    """How many questions of the cell are through all stages of the job."""
    if status.of_stage(Stage.ANSWER) is not None:
        return status.answered
    return status.selected if status.of_stage(Stage.VALIDATE) is None else status.validated


def _end(observed: Observed) -> list[Action]:
    """Only once nothing else is to be done and nobody works: the job succeeded or failed."""
    if observed.open_batches:
        return []
    short = [status for status in observed.cells if not is_done(status)]
    if not short:
        return [Succeed()]
    if any(status.stopped is None for status in short):
        return []
    named = "; ".join(f"{status.cell}: {finished(status)} of {status.target} ({status.stopped})" for status in short)
    return [Fail(f"{len(short)} cell(s) could not be filled: {named}")]
