"""The reconciler's judgement: what a job needs next, from what was observed of it. Pure.

First start, top-up after refusals, a dead worker, a wiped broker and a resumed job all come out of the same rules:
whatever is missing and not yet on its way is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from math import ceil

from shared.corpus.topic_yields import estimate_pools
from shared.database.states import BatchState, JobState, Stage
from shared.ids import BatchId
from shared.jobs.decide_later import CALLS_PER_BATCH, TakeUp, due_of, is_done, pass_rate, take_up
from shared.jobs.observed import CellStatus, EndedBatch, Observed, OpenBatch, StageStatus
from shared.jobs.steer import TopicState, expected_yield, next_ordinals, topic_states
from shared.planning.measured import Measured, replan
from shared.planning.mix import Cell

# A cell's yield starts at 1 and weighs this many imagined candidates, so that one bad reply does not swing it.
YIELD_PRIOR = 20
# Below this yield the next batches would mostly buy repeats; also the most that a top-up over-asks (20-fold).
LEAST_YIELD = 0.05
# A cell is stopped on the evidence of its newest batches: so many parked in a row, or so many calls without gain.
EVIDENCE_BATCHES = 3
EVIDENCE_CALLS = 40
# So many of its newest batches are read; if they bring less than the evidence asked for, that is evidence too.
EVIDENCE_BATCHES_READ = 120
EVIDENCE_CANDIDATES = 200
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


@dataclass(frozen=True, slots=True)
class CreateBatch:
    """Ask for `questions` more of a cell, with one call for each of the prompt tuples `ordinals`, which ascend."""

    cell: Cell
    number: int
    questions: int
    questions_per_call: int
    ordinals: Sequence[int]


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


Action = CreateBatch | TakeUp | Hint | Park | DropFree | Select | StopCell | Retarget | Succeed | Fail


def decide(observed: Observed, limits: Limits) -> list[Action]:
    """What to do now. An ended job needs nothing; a paused one is only kept in order."""
    if observed.state not in (JobState.RUNNING, JobState.PAUSED):
        return []
    if limits.spare_expired:
        observed = replace(observed, open_batches=tuple(replace(each, expired=False) for each in observed.open_batches))
    actions: list[Action] = [*_select(observed), *_park(observed, limits)]
    if observed.state is JobState.PAUSED:
        return actions
    if retarget := _retarget(observed):
        return [*actions, retarget]
    free = {(batch.cell, batch.stage) for batch in observed.open_batches if _free(batch)}
    ahead = _batches_ahead(observed, limits)
    for status in observed.cells:
        if status.generates:
            actions += _work_on(status, ahead, has_free=(status.cell, Stage.GENERATE) in free)
        for its in status.later:
            actions += _work_on_later(status, its, ahead, has_free=(status.cell, its.stage) in free)
        if not status.generates and not observed.follows:
            actions += _stop_unfillable(status)
    actions += _hint(observed, limits)
    return actions or _end(observed)


def smoothed_yield(status: CellStatus) -> float:
    """Admitted / generated of a cell, pulled towards 1 while there is little evidence."""
    return max(LEAST_YIELD, (status.admitted + YIELD_PRIOR) / (status.generated + YIELD_PRIOR))


def yield_of(status: CellStatus) -> float:
    """What the next prompts of a cell are expected to yield; a top-up asks for 1 / so much."""
    smoothed = smoothed_yield(status)
    return smoothed if status.ground is None else max(LEAST_YIELD, expected_yield(status.ground, smoothed))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a cell's newest ended batches did; conclusive once that is enough to judge by."""

    calls: int
    generated: int
    admitted: int
    is_conclusive: bool


def _read_back(ended: Sequence[EndedBatch]) -> _Evidence:
    """Add up batches, newest first, until they are evidence."""
    calls = generated = admitted = 0
    for batch in ended:
        calls += 0 if batch.state is BatchState.PARKED else batch.calls
        generated += batch.generated
        admitted += batch.admitted
        if calls >= EVIDENCE_CALLS and (generated == 0 or generated >= EVIDENCE_CANDIDATES):
            return _Evidence(calls, generated, admitted, is_conclusive=True)
    return _Evidence(calls, generated, admitted, is_conclusive=False)


def is_conclusive(ended: Sequence[EndedBatch]) -> bool:
    """Whether older batches than these, which are the newest, could not change the judgement of their cell."""
    return _read_back(ended).is_conclusive


def why_dry(status: CellStatus | StageStatus) -> str | None:
    """The reason to stop a cell or a later stage of it, from its newest ended batches; None while there is hope."""
    newest = status.ended[:EVIDENCE_BATCHES]
    if len(newest) == EVIDENCE_BATCHES and all(batch.state is BatchState.PARKED for batch in newest):
        return f"{EVIDENCE_BATCHES} batches in a row never got anywhere and were parked"
    read = _read_back(status.ended)
    if not read.is_conclusive and (isinstance(status, StageStatus) or len(status.ended) < EVIDENCE_BATCHES_READ):
        return None
    calls, generated, admitted = read.calls, read.generated, read.admitted
    if generated == 0:
        return f"the last {calls} calls brought no usable reply"
    if admitted < LEAST_YIELD * generated and isinstance(status, StageStatus):
        return f"of the last {generated} questions {admitted} passed the stage {status.stage}"
    if admitted < LEAST_YIELD * generated:
        return f"the model yields nothing new: {admitted} of the last {generated} candidates were admitted"
    return None


def missing_of(status: CellStatus) -> int:
    """How many more admitted questions the cell needs, its reserve counted in.

    Where judges come after, of those that they have not seen some will be rejected: as many as so far.
    """
    validation = status.of_stage(Stage.VALIDATE)
    if validation is None:
        return max(0, status.target - status.selected - status.reserve)
    passed = status.validated + status.reserve_validated
    unseen = status.selected + status.reserve - passed
    return max(0, ceil((status.target - passed) / pass_rate(validation)) - unseen)


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
    active = sum(not status.is_stopped(Stage.GENERATE) and missing_of(status) > 0 for status in observed.cells)
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


def _work_on_later(status: CellStatus, its: StageStatus, ahead: int, *, has_free: bool) -> Iterator[Action]:
    if status.is_stopped(its.stage):
        if has_free:
            yield DropFree(status.cell, f"the cell is stopped: {status.stopped}", its.stage)
        return
    if due_of(status, its.stage) == 0:
        return
    if reason := why_dry(its):
        yield StopCell(status.cell, reason, its.stage)
        return
    yield from take_up(status, its, ahead, more_comes=_more_comes(status, its.stage))


def _more_comes(status: CellStatus, stage: Stage) -> bool:
    """Whether the stages before may still bring questions of this cell."""
    generation_goes_on = status.generates and not status.is_stopped(Stage.GENERATE) and missing_of(status) > 0
    if status.open_batches > 0 or generation_goes_on:
        return True
    before = [its for its in status.later if its.stage.position < stage.position]
    return any(
        its.open_batches > 0 or (due_of(status, its.stage) and not status.is_stopped(its.stage)) for its in before
    )


def _stop_unfillable(status: CellStatus) -> Iterator[Action]:
    """A job that does not generate cannot make up for what is rejected."""
    busy = any(its.open_batches > 0 or due_of(status, its.stage) for its in status.later)
    if status.selected + status.reserve < status.target and status.stopped is None and not busy:
        yield StopCell(status.cell, "nothing is left to choose from, and this job does not generate")


def _retarget(observed: Observed) -> Retarget | None:
    if observed.follows:
        return _follow(observed)
    balance = observed.balance
    if balance is None:
        return None
    measured = {
        status.cell: Measured(
            status.target, status.selected, status.prompt_tokens, status.answered, status.completion_tokens
        )
        for status in observed.cells
    }
    better = replan(balance.mix, measured, balance.have, balance.surplus, plans=balance.plans)
    if better is None:
        return None
    means = {each.cell: each.mean_tokens for each in better.plan.cells}
    reason = (
        f"by measured means the tokens would be split {_shares(better.shares_before)}, now {_shares(better.shares)}"
    )
    return Retarget({each.cell: each.target for each in better.plan.cells}, means, reason)


def _shares(shares: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{name} {share:.3%}" for name, share in shares.items())


def _follow(observed: Observed) -> Retarget | None:
    """A job on what is there, with no mix of its own, asks for as many as have passed."""
    targets = {status.cell: status.selected + status.reserve for status in observed.cells}
    lost = sum(max(0, status.target - targets[status.cell]) for status in observed.cells)
    if not lost:
        return None
    lower = {status.cell: min(status.target, targets[status.cell]) for status in observed.cells}
    return Retarget(lower, {}, f"{lost:,} questions were rejected or taken out, and this job does not generate")


def _create_batches(status: CellStatus, missing: int, ahead: int) -> Iterator[Action]:
    """Batches for what is missing and not on its way; a small shortfall waits until most open batches are in."""
    rate = yield_of(status)
    shortfall = ceil(missing / rate) - status.coming
    full = CALLS_PER_BATCH * status.questions_per_call
    worth_it = full if status.open_batches > TAIL_BATCHES else status.questions_per_call
    if shortfall <= 0 or (status.open_batches > 0 and shortfall < worth_it):
        return
    room = ahead - status.open_batches
    number, ordinal = status.batches, status.next_ordinal
    while shortfall > 0 and room > 0:
        calls = min(CALLS_PER_BATCH, ceil(shortfall / status.questions_per_call))
        # Whole calls: what the last one brings beyond the target becomes the reserve.
        questions = calls * status.questions_per_call
        number += 1
        ordinals = _next_ordinals(status, ordinal, calls)
        yield CreateBatch(status.cell, number, questions, status.questions_per_call, ordinals)
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
    return batch.state is BatchState.PENDING or batch.expired


def _hint(observed: Observed, limits: Limits) -> Iterator[Action]:
    """Hints for free batches, a window of them, in the order of their numbers so that all cells move together."""
    wanted = {(status.cell, its.stage) for status in observed.cells for its in status.later} | {
        (status.cell, Stage.GENERATE) for status in observed.cells if missing_of(status) > 0
    }
    wanted -= {(status.cell, stage) for status in observed.cells for stage in Stage if status.is_stopped(stage)}
    # What is nearer to its end comes first, so that questions do not pile up between the stages.
    in_order = sorted(observed.open_batches, key=lambda batch: (-batch.stage.position, batch.number, batch.cell))
    held = sum(not _free(batch) for batch in in_order)
    for batch in in_order:
        if not _free(batch) or (batch.cell, batch.stage) not in wanted or batch.attempts >= limits.max_attempts:
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
