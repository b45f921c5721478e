"""A worker's hold on a batch, and the lock that every fenced write takes first."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FencedOff, JobNotRunning
from shared.ids import BatchId, DatasetId, JobId


@dataclass(frozen=True, slots=True)
class Hold:
    """What a worker got by claiming a batch: the right to write for it while its fence is the newest."""

    job_id: JobId
    dataset_id: DatasetId
    batch_id: BatchId
    fence: int


# The class of the advisory locks that are the gates of jobs; the second key is made of the job's id.
GATE_CLASS = 734_603
# The job row first, so that a cancel (which updates it) either waits for this write or is seen by it. Sharers of a row
# never queue behind one who wants it alone, so a steady stream of admissions would keep a cancel out for ever:
# all pass the gate first, where turns are kept.
LOCK_JOB = text("""
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(:gate_class, hashtext(CAST(:job_id AS text))))
SELECT job.state FROM gate CROSS JOIN job WHERE job.id = CAST(:job_id AS uuid) FOR SHARE OF job
""")
CLOSE_GATE = text("SELECT pg_advisory_xact_lock(:gate_class, hashtext(CAST(:job_id AS text)))")

# A batch without a row was claimed again, finished or dropped, so its holder is stale. FAULTS 5. In the order of their
# ids, like renewals and cancels: two that lock the same rows never wait for each other.
LOCK_BATCHES = text("""
SELECT held.id, held.fence FROM batch
JOIN unnest(CAST(:batch_ids AS uuid[]), CAST(:fences AS int[])) AS held (id, fence)
    ON batch.id = held.id AND batch.fence = held.fence
WHERE batch.state = 'leased' ORDER BY batch.id FOR NO KEY UPDATE OF batch
""")


async def lock_job(conn: AsyncConnection, job_id: JobId) -> str | None:
    """The job's state, which stays what it is until this transaction ends; None when there is no such job."""
    return (await conn.execute(LOCK_JOB, _gate(job_id))).scalar_one_or_none()


async def close_gate(conn: AsyncConnection, job_id: JobId) -> None:
    """Wait for those who have locked the job and let nobody else do so until this transaction ends."""
    await conn.execute(CLOSE_GATE, _gate(job_id))


async def confirm_hold(conn: AsyncConnection, hold: Hold) -> None:
    """Open a fenced transaction: lock the job against a cancel and the batch against another holder.

    A paused job still takes paid replies. Raises JobNotRunning or FencedOff; then the caller must roll back.
    """
    if hold not in await confirm_holds(conn, hold.job_id, [hold]):
        raise fenced_off(hold)


async def confirm_holds(conn: AsyncConnection, job_id: JobId, holds: Sequence[Hold]) -> set[Hold]:
    """The same for several holds on batches of one job: returns those that stand; nothing may be written for the rest.

    Raises JobNotRunning.
    """
    state = await lock_job(conn, job_id)
    if state not in ("running", "paused"):
        raise JobNotRunning(f"job {job_id} is {state or 'gone'}", state)
    different = list(set(holds))
    names = {"batch_ids": [hold.batch_id for hold in different], "fences": [hold.fence for hold in different]}
    standing = {(row.id, row.fence) for row in await conn.execute(LOCK_BATCHES, names)}
    return {hold for hold in different if (hold.batch_id, hold.fence) in standing}


def fenced_off(hold: Hold) -> FencedOff:
    """What a stale holder is told."""
    return FencedOff(f"batch {hold.batch_id} is no longer held with fence {hold.fence}")


def _gate(job_id: JobId) -> dict[str, object]:
    return {"gate_class": GATE_CLASS, "job_id": str(job_id)}
