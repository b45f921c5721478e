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


# The job row first, so that a cancel (which updates it) either waits for this write or is seen by it.
LOCK_JOB = text("SELECT state FROM job WHERE id = :job_id FOR SHARE")

# No row: the batch was claimed again, finished or dropped, so this holder is stale. FAULTS 5.
LOCK_BATCH = text("SELECT 1 FROM batch WHERE id = :batch_id AND fence = :fence AND state = 'leased' FOR NO KEY UPDATE")


async def confirm_hold(conn: AsyncConnection, hold: Hold) -> None:
    """Open a fenced transaction: lock the job against a cancel and the batch against another holder.

    A paused job still takes paid replies. Raises JobNotRunning or FencedOff; then the caller must roll back.
    """
    state = (await conn.execute(LOCK_JOB, {"job_id": hold.job_id})).scalar_one_or_none()
    if state not in ("running", "paused"):
        raise JobNotRunning(f"job {hold.job_id} is {state or 'gone'}", state)
    held = await conn.execute(LOCK_BATCH, {"batch_id": hold.batch_id, "fence": hold.fence})
    if held.scalar_one_or_none() is None:
        raise FencedOff(f"batch {hold.batch_id} is no longer held with fence {hold.fence}")
