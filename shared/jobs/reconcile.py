"""One pass over a job: observe, decide, apply, publish. Safe to run twice, anywhere, at any moment."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.fence import lock_job
from shared.database.patience import time_limit
from shared.database.states import Stage
from shared.database.trouble import concerns_all
from shared.ids import BatchId, JobId
from shared.jobs.actions import Hint, Select
from shared.jobs.apply import apply, mark_hinted, unmark_hinted
from shared.jobs.decide import Limits, decide
from shared.jobs.hint_names import label_of
from shared.jobs.observe import observe, observe_all
from shared.settings import Settings

log = structlog.get_logger()

# The channel on which a change of a job is told to the reconciler; the payload is empty, the rows say the rest.
WAKE_CHANNEL = "questmill_wake"

# FAULTS 17: one reconciler acts on a job at a time; another one just skips it. The first number names the purpose.
TRY_JOB_LOCK = text("SELECT pg_try_advisory_xact_lock(734601, hashtext(CAST(:job_id AS text)))")
# Create, then hint; select, then end. More is left to the next tick.
MOST_PASSES = 3
# To choose in a cell takes longer the more questions it has, and a spec may ask for 100 million. Measured on two busy
# cores: 10 to 26 s for a million of which few change, 180 s where half of them do.
SELECT_SECONDS = 6 * 3600
IS_UNFINISHED = text("SELECT id FROM job WHERE id = :job_id AND state IN ('running', 'paused') FOR SHARE SKIP LOCKED")
# Jobs that are looked at together: few enough that their rows are a small part of memory.
JOBS_AT_ONCE = 200
# While one group of them is judged, another is read.
LOOKS_AT_ONCE = 2
UNFINISHED = text("SELECT id FROM job WHERE state IN ('running', 'paused') ORDER BY id")
DESCRIBE = text("""
SELECT batch.id, batch.stage, batch.domain, batch.difficulty, batch.number, batch.questions, dataset.name AS dataset
FROM batch JOIN job ON job.id = batch.job_id JOIN dataset ON dataset.id = job.dataset_id
WHERE batch.id = ANY (CAST(:ids AS uuid[]))
""")


@dataclass(frozen=True, slots=True)
class HintMessage:
    """What is published: the batch's id, and how a person reads it in Flower."""

    batch_id: BatchId
    stage: Stage
    label: str


# Publishes hints in order and returns those that reached the broker.
Publish = Callable[[Sequence[HintMessage]], Awaitable[Sequence[BatchId]]]


def limits_of(settings: Settings, *, spare_expired: bool = False) -> Limits:
    """The judgement's limits from the settings."""
    return Limits(
        window_batches=settings.window_batches,
        hint_repeat=timedelta(seconds=settings.hint_repeat_seconds),
        max_attempts=settings.max_attempts,
        spare_expired=spare_expired,
    )


async def reconcile_job(engine: AsyncEngine, job_id: JobId, limits: Limits, publish: Publish) -> int:
    """Bring one job as far as it goes now; returns how many actions were taken."""
    taken = 0
    hints: list[Hint] = []
    # What one pass writes, the next one judges: a new batch is hinted in the tick that made it. Each commits, so that
    # the one that ends the job holds no batch that a worker, whose write it has to wait for, waits for.
    for _ in range(MOST_PASSES):
        async with engine.begin() as conn:
            if not (await conn.execute(TRY_JOB_LOCK, {"job_id": str(job_id)})).scalar_one():
                break
            # A cancel comes before or after the pass: no batch is made for a job that has ended meanwhile.
            if await lock_job(conn, job_id) is None:
                break
            # Beside the loop: a new plan of a large mix takes a while.
            actions = await asyncio.to_thread(decide, await observe(conn, job_id), limits)
            selects = [action for action in actions if isinstance(action, Select)]
            if not selects:
                hints += await apply(conn, job_id, actions)
        for each in selects:
            await _select(engine, job_id, each)
        # What else there is to do is judged by what is selected then.
        taken += len(selects or actions)
        if all(isinstance(action, Hint) for action in actions):
            break
    await _publish(engine, hints, publish)
    return taken


async def _select(engine: AsyncEngine, job_id: JobId, wanted: Select) -> None:
    """Choose in one cell, in a transaction of its own that keeps nobody from cancelling the job meanwhile."""
    async with engine.connect() as conn, time_limit(conn, SELECT_SECONDS):
        if not (await conn.execute(TRY_JOB_LOCK, {"job_id": str(job_id)})).scalar_one():
            return
        await apply(conn, job_id, [wanted])
        # Once the job has ended the next one of the dataset may end too, and its choice stays. Not waited for: whoever
        # has locked the row may himself wait for a question.
        if (await conn.execute(IS_UNFINISHED, {"job_id": job_id})).one_or_none() is not None:
            await conn.commit()


@dataclass(frozen=True, slots=True)
class Needs:
    """What is to be done now: jobs to be reconciled, and hints for those that need nothing else."""

    jobs: list[JobId] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)


async def look_around(engine: AsyncEngine, limits: Limits) -> Needs:
    """Look at all unfinished jobs together, without a lock: most need nothing at most times.

    What is done for a job is decided again from a look at it under its lock.
    """
    async with engine.connect() as conn:
        unfinished = [JobId(row.id) for row in await conn.execute(UNFINISHED)]
    needs = Needs()
    groups = iter([unfinished[first : first + JOBS_AT_ONCE] for first in range(0, len(unfinished), JOBS_AT_ONCE)])

    async def look() -> None:
        for together in groups:
            await _look_at(engine, together, limits, needs)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LOOKS_AT_ONCE):
                tasks.create_task(look())
    except ExceptionGroup as failed:
        # They fail for one reason, a database that is away, and whoever asked looks at that.
        raise failed.exceptions[0] from None
    needs.jobs.sort()
    return needs


async def _look_at(engine: AsyncEngine, job_ids: Sequence[JobId], limits: Limits, needs: Needs) -> None:
    try:
        async with engine.connect() as conn:
            looks = await observe_all(conn, job_ids)
        judged = await asyncio.to_thread(lambda: [(look.job_id, decide(look, limits)) for look in looks])
    except Exception as error:
        if concerns_all(error):
            raise
        # One of them cannot be judged; alone, each of the others can.
        log.exception("jobs not judged together", jobs=len(job_ids))
        needs.jobs.extend(job_ids)
        return
    for job_id, actions in judged:
        hints = [action for action in actions if isinstance(action, Hint)]
        if len(hints) == len(actions):
            needs.hints.extend(hints)
        else:
            needs.jobs.append(job_id)


async def send_hints(engine: AsyncEngine, hints: Sequence[Hint], publish: Publish) -> int:
    """Send hints of many jobs together; returns how many batches still stood as they were seen.

    No job is locked for it: a hint that comes too late is ignored by whoever gets it.
    """
    if not hints:
        return 0
    async with engine.begin() as conn:
        marked = await mark_hinted(conn, hints)
    await _publish(engine, marked, publish)
    return len(marked)


async def _publish(engine: AsyncEngine, hints: Sequence[Hint], publish: Publish) -> None:
    """Publish after the commit, so that no worker meets a hint whose batch is not there yet."""
    if not hints:
        return
    async with engine.connect() as conn:
        messages = await _describe(conn, hints)
    published = set(await publish(messages))
    if lost := [hint.batch.id for hint in hints if hint.batch.id not in published]:
        async with engine.begin() as conn:
            await unmark_hinted(conn, lost)


async def wake_reconciler(conn: AsyncConnection) -> None:
    """Have the reconciler look at once, when this transaction commits."""
    await conn.execute(text(f"NOTIFY {WAKE_CHANNEL}"))


async def _describe(conn: AsyncConnection, hints: Sequence[Hint]) -> list[HintMessage]:
    order = {hint.batch.id: position for position, hint in enumerate(hints)}
    rows = await conn.execute(DESCRIBE, {"ids": list(order)})
    messages = [
        HintMessage(
            batch_id=BatchId(row.id),
            stage=Stage(row.stage),
            label=label_of(row.dataset, row.domain, row.difficulty, row.number, row.questions),
        )
        for row in rows
    ]
    return sorted(messages, key=lambda message: order[message.batch_id])
