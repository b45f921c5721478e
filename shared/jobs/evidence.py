"""What a cell's newest batches say of what the next ones will bring. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.database.states import BatchState
from shared.jobs.observed import CellStatus, EndedBatch, StageStatus

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
# The same for a later stage, whose batches deal with hundreds of questions unless the cell is small.
LATER_BATCHES_READ = 12


def smoothed_yield(status: CellStatus) -> float:
    """Admitted / generated of a cell, pulled towards 1 while there is little evidence."""
    return max(LEAST_YIELD, (status.admitted + YIELD_PRIOR) / (status.generated + YIELD_PRIOR))


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


def why_dry(status: CellStatus) -> str | None:
    """The reason to stop a cell, from its newest ended batches; None while there is hope."""
    if reason := _why_parked(status.ended):
        return reason
    read = _read_back(status.ended)
    if not read.is_conclusive and len(status.ended) < EVIDENCE_BATCHES_READ:
        return None
    if read.generated == 0:
        return f"the last {read.calls} calls brought no usable reply"
    if read.admitted < LEAST_YIELD * read.generated:
        return f"the model yields nothing new: {read.admitted} of the last {read.generated} candidates were admitted"
    return None


def why_stuck(its: StageStatus) -> str | None:
    """The reason to stop a later stage of a cell; None while there is hope."""
    if reason := _why_parked(its.ended):
        return reason
    calls = judged = passed = 0
    for batch in its.ended:
        calls += 0 if batch.state is BatchState.PARKED else batch.calls
        judged += batch.generated
        passed += batch.admitted
        if judged >= EVIDENCE_CANDIDATES or (judged == 0 and calls >= EVIDENCE_CALLS):
            break
    else:
        if len(its.ended) < LATER_BATCHES_READ:
            return None
    if judged == 0:
        return f"{its.stage}: the last {calls} calls brought no usable reply" if calls else None
    if passed < LEAST_YIELD * judged:
        return f"{its.stage}: {passed} of the last {judged} questions passed"
    return None


def _why_parked(ended: Sequence[EndedBatch]) -> str | None:
    newest = ended[:EVIDENCE_BATCHES]
    if len(newest) == EVIDENCE_BATCHES and all(batch.state is BatchState.PARKED for batch in newest):
        why = f", the last one: {newest[0].reason}" if newest[0].reason else ""
        return f"{EVIDENCE_BATCHES} batches in a row never got anywhere and were parked{why}"
    return None
