"""Pause, resume and cancel a job, and change its budget."""

from decimal import Decimal

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.access.keys import reserve_budget
from shared.database.fence import close_gate, lock_job
from shared.database.patience import time_limit
from shared.database.states import PAUSED_BY_REQUEST, JobState
from shared.database.trouble import Trouble, find_trouble, first_line
from shared.errors import Conflict, FieldError, InvalidInput, NotFound
from shared.ids import JobId, KeyId
from shared.jobs.actions import Select
from shared.jobs.apply import apply
from shared.jobs.progress import read_job_within
from shared.jobs.reconcile import wake_reconciler
from shared.jobs.stage_progress import tell_what_is_left
from shared.llm.budget import read_budget
from shared.llm.ledger import worst_usd_of
from shared.planning.mix import Cell

log = structlog.get_logger()

# No stronger than the updates below need: calls of the job may still be written to the ledger meanwhile.
LOCK = text("SELECT state, reason FROM job WHERE id = :job_id FOR NO KEY UPDATE")
PAUSE = text("UPDATE job SET state = 'paused', reason = :reason WHERE id = :job_id AND state = 'running'")
RESUME = text("UPDATE job SET state = 'running', reason = NULL WHERE id = :job_id AND state = 'paused'")
CANCEL = text("""
UPDATE job SET state = 'cancelled', reason = :reason, finished_at = clock_timestamp() WHERE id = :job_id
""")
SET_BUDGET = text("""
UPDATE job_budget SET budget_usd = :budget_usd WHERE job_id = :job_id AND spent_usd + held_usd <= :budget_usd
""")
# Forget what was hinted before the pause: those messages may have been consumed.
UNHINT = text("UPDATE batch SET hinted_at = NULL WHERE job_id = :job_id AND state = 'pending'")
# In the order of their ids, like the renewals of leases: two that lock the same rows never wait for each other.
DROP_OPEN = text("""
UPDATE batch SET state = 'dropped', reason = 'the job was cancelled', lease_until = NULL, worker = NULL,
    in_bulk = false, finished_at = clock_timestamp()
WHERE id IN (
    SELECT id FROM batch WHERE job_id = :job_id AND state IN ('pending', 'leased') ORDER BY id FOR NO KEY UPDATE)
""")

# A person waits for the cancel, and the job's workers for its gate.
SURPLUS_SECONDS = 5.0
# What was admitted since the reconciler's last look; nobody looks at an ended job again.
SURPLUS = text("""
SELECT domain, difficulty, target FROM job_cell JOIN question_count USING (domain, difficulty)
WHERE job_cell.job_id = :job_id AND question_count.state = 'selected' AND questions > target
  AND question_count.dataset_id = (SELECT dataset_id FROM job WHERE id = :job_id)
""")


def why_foreign(*, rehearsal: bool) -> str:
    """Why a job that rehearses, or one that does not, cannot go on with the workers that there are now."""
    if rehearsal:
        return (
            "this job rehearses, and the workers now have real models: cancel it and post it again, or start them "
            "without provider keys and resume it"
        )
    return (
        "the workers have no provider key and rehearse, and this job is real: start them with one, and resume it. "
        "If you cancel it, what a provider has in bulk is cancelled there only once workers have its key again"
    )


async def pause_job(engine: AsyncEngine, job_id: JobId, reason: str = PAUSED_BY_REQUEST) -> None:
    """Start nothing new; calls in flight are finished and kept. Raises NotFound or Conflict."""
    async with engine.begin() as conn:
        await _lock(conn, job_id, JobState.RUNNING, verb="paused")
        await conn.execute(PAUSE, {"job_id": job_id, "reason": reason})


async def pause_if_running(engine: AsyncEngine, job_id: JobId, reason: str, *, by_budget: bool = False) -> bool:
    """The worker's pause: by a refused key, or `by_budget`, and then with what is left to do. The first one stays."""
    async with engine.begin() as conn:
        await close_gate(conn, job_id)
        if by_budget:
            reason = f"{reason}. {await _what_is_left(conn, job_id)}"
        paused = (await conn.execute(PAUSE, {"job_id": job_id, "reason": reason})).rowcount == 1
        await wake_reconciler(conn)
        return paused


async def _what_is_left(conn: AsyncConnection, job_id: JobId) -> str:
    budget = await read_budget(conn, job_id)
    return tell_what_is_left((await read_job_within(conn, job_id))["progress"], budget.spent_usd)


async def resume_job(
    engine: AsyncEngine, job_id: JobId, budget_usd: Decimal | None = None, *, key_id: KeyId | None = None
) -> None:
    """Go on where the job stopped, perhaps with a higher budget, asked for by `key_id`.

    Raises NotFound, Conflict, also where the call for which the budget was too small still does not fit, or
    InvalidInput; QuotaExceeded or NotYours when the key may not give that budget.
    """
    async with engine.begin() as conn:
        reason = await _lock(conn, job_id, JobState.PAUSED, verb="resumed")
        if budget_usd is not None:
            await _set_budget(conn, job_id, budget_usd, key_id)
        if (worst_usd := worst_usd_of(reason)) is not None:
            await _check_room(conn, job_id, worst_usd)
        await conn.execute(RESUME, {"job_id": job_id})
        await conn.execute(UNHINT, {"job_id": job_id})
        await wake_reconciler(conn)


async def change_budget(
    engine: AsyncEngine, job_id: JobId, budget_usd: Decimal, *, key_id: KeyId | None = None
) -> None:
    """Give a running or paused job another budget; it goes on, or stays paused, as it was.

    Raises NotFound, Conflict, or InvalidInput for less than is spent and held; QuotaExceeded or NotYours when the API
    key `key_id` may not give that budget.
    """
    async with engine.begin() as conn:
        # Shared with the admissions under way: none of them need wait.
        state = await lock_job(conn, job_id)
        _check_state(state, job_id, JobState.RUNNING, JobState.PAUSED, verb="given another budget")
        await _set_budget(conn, job_id, budget_usd, key_id)


async def cancel_job(engine: AsyncEngine, job_id: JobId) -> None:
    """End the job; what was admitted stays, beyond the target as reserve where that is chosen soon.

    No question is admitted after this commits (FAULTS 8).
    """
    async with engine.begin() as conn:
        await _lock(conn, job_id, JobState.RUNNING, JobState.PAUSED, verb="cancelled")
        await conn.execute(CANCEL, {"job_id": job_id, "reason": "cancelled by request"})
        await conn.execute(DROP_OPEN, {"job_id": job_id})
        await wake_reconciler(conn)
        await _put_surplus_aside(conn, job_id)


async def _put_surplus_aside(conn: AsyncConnection, job_id: JobId) -> None:
    """In a very large cell, or where somebody has locked questions, too many stay selected: a job ends all the same."""
    surplus = (await conn.execute(SURPLUS, {"job_id": job_id})).all()
    try:
        async with conn.begin_nested(), time_limit(conn, SURPLUS_SECONDS):
            await apply(conn, job_id, [Select(Cell(row.domain, row.difficulty), row.target) for row in surplus])
    except DBAPIError as error:
        if find_trouble(error) is not Trouble.BUSY:
            raise
        log.warning("surplus of a cancelled job stays selected", job=str(job_id), error=first_line(error))


async def _lock(conn: AsyncConnection, job_id: JobId, *allowed: JobState, verb: str) -> str | None:
    """The reason of the job's state."""
    await close_gate(conn, job_id)
    row = (await conn.execute(LOCK, {"job_id": job_id})).one_or_none()
    state, reason = row or (None, None)
    _check_state(state, job_id, *allowed, verb=verb)
    return reason


async def _set_budget(conn: AsyncConnection, job_id: JobId, budget_usd: Decimal, key_id: KeyId | None) -> None:
    if key_id is not None:
        await reserve_budget(conn, key_id, job_id, budget_usd)
    changed = await conn.execute(SET_BUDGET, {"job_id": job_id, "budget_usd": budget_usd})
    if changed.rowcount == 0:
        now = await read_budget(conn, job_id)
        why = (
            f"the job has already spent or reserved more than ${budget_usd:f}: ${now.spent_usd:.6f} is spent and "
            f"${now.held_usd:.6f} held for calls under way"
        )
        raise InvalidInput(f"budget_usd: {why}", [FieldError("budget_usd", why)])


async def _check_room(conn: AsyncConnection, job_id: JobId, worst_usd: Decimal) -> None:
    # What is held will be given back for the most part; what is spent will not.
    now = await read_budget(conn, job_id)
    if now.spent_usd + worst_usd > now.budget_usd:
        raise Conflict(
            f"job {job_id} would pause again at once: of ${now.budget_usd:.6f}, ${now.spent_usd:.6f} is spent, and the "
            f"next call may cost ${worst_usd:.6f}; resume it with a higher budget"
        )


def _check_state(state: str | None, job_id: JobId, *allowed: JobState, verb: str) -> None:
    if state is None:
        raise NotFound(f"there is no job {job_id}")
    if state not in allowed:
        raise Conflict(f"job {job_id} is {state}; it cannot be {verb}")
