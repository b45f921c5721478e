"""What leases and fences were needed for, kept as rows that nothing decides by. Promise 7."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import Hold
from shared.database.states import IncidentKind
from shared.ids import JobId

# The job may have been deleted with its dataset meanwhile; then there is nobody to tell.
NOTE = text("""
INSERT INTO incident (job_id, batch_id, kind, fence, worker)
SELECT id, :batch_id, :kind, :fence, :worker FROM job WHERE id = :job_id
""")
COUNT = text("SELECT kind, COUNT(*) AS n FROM incident WHERE job_id = :job_id GROUP BY kind")


async def note_fenced_off(conn: AsyncConnection, hold: Hold, *, worker: str) -> None:
    """Record that a stale holder tried to write and was refused."""
    values = {"job_id": hold.job_id, "batch_id": hold.batch_id, "fence": hold.fence}
    await conn.execute(NOTE, {**values, "kind": IncidentKind.FENCED_OFF, "worker": worker})


async def count_incidents(conn: AsyncConnection, job_id: JobId) -> dict[str, int]:
    """How often each kind happened to a job."""
    counts = {str(kind): 0 for kind in IncidentKind}
    return counts | {row.kind: int(row.n) for row in await conn.execute(COUNT, {"job_id": job_id})}
