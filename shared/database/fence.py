"""A worker's hold on a batch, and the lock that every fenced write takes first."""

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

# No row: the batch was claimed again, finished or dropped, so this holder is stale. FAULTS 5.
LOCK_BATCH = text("SELECT 1 FROM batch WHERE id = :batch_id AND fence = :fence AND state = 'leased' FOR NO KEY UPDATE")


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
    state = await lock_job(conn, hold.job_id)
    if state not in ("running", "paused"):
        raise JobNotRunning(f"job {hold.job_id} is {state or 'gone'}", state)
    held = await conn.execute(LOCK_BATCH, {"batch_id": hold.batch_id, "fence": hold.fence})
    if held.scalar_one_or_none() is None:
        raise FencedOff(f"batch {hold.batch_id} is no longer held with fence {hold.fence}")


def _gate(job_id: JobId) -> dict[str, object]:
    return {"gate_class": GATE_CLASS, "job_id": str(job_id)}
