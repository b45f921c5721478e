"""What tells a person on call that something is wrong, beside the sums. It reads few rows, whatever has been done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import PAUSED_BY_REQUEST

# The reconciler uses its connections each tick, also when there is nothing to do. Seen by its own user, and by others
# with pg_read_all_stats.
CLOCKS = text("""
SELECT clock_timestamp() AS now, (
    SELECT max(state_change) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'questmill-reconciler%') AS reconciler_seen_at
""")
JOBS = text("""
SELECT COUNT(*) FILTER (WHERE state = 'paused' AND reason = :by_request) AS by_person,
    COUNT(*) FILTER (WHERE state = 'paused' AND reason <> :by_request) AS by_questmill,
    COALESCE(MAX(spent_usd / NULLIF(budget_usd, 0)) FILTER (WHERE state = 'running'), 0) AS budget_used
FROM job JOIN job_budget ON job_budget.job_id = job.id WHERE state IN ('running', 'paused')
""")
STOPPED_CELLS = text("""
SELECT COUNT(*) FROM job_cell JOIN job ON job.id = job_cell.job_id
WHERE stopped IS NOT NULL AND state IN ('running', 'paused')
""")
# Since when a running job has neither sent a call nor ended a batch. What a provider works on in bulk may take a day.
# The newest call is found by an order that only the index by job has: by the id alone, a planner may walk back over all
# calls that other jobs have sent since.
STANDSTILL = text("""
SELECT COALESCE(MAX(seconds), 0) AS longest, COALESCE(MIN(seconds), 0) AS shortest FROM (
    SELECT extract(epoch FROM clock_timestamp() - GREATEST(
        created_at,
        (SELECT MAX(finished_at) FROM batch WHERE job_id = job.id AND finished_at IS NOT NULL),
        (SELECT CASE WHEN job_id = job.id THEN sent_at END FROM call
         WHERE (job_id, id) <= (job.id, CAST('ffffffff-ffff-ffff-ffff-ffffffffffff' AS uuid))
         ORDER BY job_id DESC, id DESC LIMIT 1))) AS seconds
    FROM job
    WHERE state = 'running'
      AND NOT EXISTS (SELECT FROM batch WHERE job_id = job.id AND state = 'pending' AND in_bulk)) AS still
""")
SUBMISSIONS = text("""
SELECT state, extract(epoch FROM clock_timestamp() - MIN(created_at)) AS seconds FROM bulk_submission
WHERE state IN ('intended', 'submitted') GROUP BY 1
""")


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """One moment, all of it by the database's clock."""

    database_now: datetime
    reconciler_seen_at: datetime | None  # None: none is connected, or its sessions are hidden from us
    paused: Mapping[str, int]  # jobs by who paused them: person, questmill
    standstill_seconds: Mapping[str, float]  # longest and shortest of the running jobs; 0 where none runs
    budget_used: float  # the largest share of its budget that a running job has spent
    stopped_cells: int  # of unfinished jobs
    oldest_submission_seconds: Mapping[str, float]  # by state, of unfinished ones


async def read_system_health(conn: AsyncConnection) -> SystemHealth:
    """Within the transaction of `conn`."""
    clocks = (await conn.execute(CLOCKS)).one()
    jobs = (await conn.execute(JOBS, {"by_request": PAUSED_BY_REQUEST})).one()
    still = (await conn.execute(STANDSTILL)).one()
    submissions = {row.state: float(row.seconds) for row in await conn.execute(SUBMISSIONS)}
    return SystemHealth(
        database_now=clocks.now,
        reconciler_seen_at=clocks.reconciler_seen_at,
        paused={"person": jobs.by_person, "questmill": jobs.by_questmill},
        standstill_seconds={"longest": float(still.longest), "shortest": float(still.shortest)},
        budget_used=float(jobs.budget_used),
        stopped_cells=(await conn.execute(STOPPED_CELLS)).scalar_one(),
        oldest_submission_seconds={"intended": 0.0, "submitted": 0.0} | submissions,
    )
