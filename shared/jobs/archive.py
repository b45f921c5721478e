"""Archive an ended job: keep what people see of it, delete its ledger, batches, rejections and incidents.

In bounded transactions, the record first: after a crash between two of them the next run deletes the rest.
"""

from dataclasses import dataclass
from decimal import Decimal

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.ids import JobId
from shared.jobs.progress import read_job_within

ROWS_PER_TRANSACTION = 5_000

# What was begun is finished whatever its age: batches go last, and a stale holder may still have noted an incident.
DUE = text("""
SELECT job.id FROM job LEFT JOIN job_archive ON job_archive.job_id = job.id
WHERE job.finished_at IS NOT NULL AND CASE
    WHEN job_archive.job_id IS NULL THEN job.finished_at < clock_timestamp() - make_interval(days => :days)
    ELSE EXISTS (SELECT FROM batch WHERE batch.job_id = job.id)
        OR EXISTS (SELECT FROM incident WHERE incident.job_id = job.id)
    END
ORDER BY job.id
""")
# `finished_at` is set exactly in jobs that have ended (a CHECK), which is for ever: no other job passes here. Whoever
# else prunes this job waits.
LOCK_ENDED = text("SELECT 1 FROM job WHERE id = :job_id AND finished_at IS NOT NULL FOR NO KEY UPDATE")
IS_ARCHIVED = text("SELECT EXISTS (SELECT FROM job_archive WHERE job_id = :job_id)")
# The only ledger rows of an ended job that somebody may still settle, and then its budget: the order in which settling
# locks them, so that the two never wait for each other in a circle.
LOCK_OPEN_CALLS = text("""
SELECT id FROM call WHERE job_id = :job_id AND state IN ('sent', 'unknown') ORDER BY id FOR UPDATE
""")
LOCK_BUDGET = text("SELECT 1 FROM job_budget WHERE job_id = :job_id FOR NO KEY UPDATE")
LEDGER = text("""
SELECT job_budget.spent_usd, job_budget.held_usd, COALESCE(SUM(call.cost_usd), 0) AS ledger_usd,
    COUNT(call.id) AS calls, COUNT(*) FILTER (WHERE call.state = 'sent') AS under_way
FROM job_budget LEFT JOIN call ON call.job_id = job_budget.job_id
WHERE job_budget.job_id = :job_id GROUP BY job_budget.job_id
""")
KEEP = text("""
INSERT INTO job_archive (job_id, progress, calls, spent_usd)
VALUES (:job_id, CAST(:progress AS jsonb), :calls, :ledger_usd)
""")
# All in the record's own transaction: one left behind could still be settled, and the sums would part.
DELETE_UNKNOWN = text("DELETE FROM call WHERE job_id = :job_id AND state = 'unknown'")
COUNT = text("""
SELECT (SELECT COUNT(*) FROM call WHERE job_id = :job_id) AS calls,
    (SELECT COUNT(*) FROM batch WHERE job_id = :job_id) AS batches
""")


def _delete_from(table: str) -> TextClause:
    # The names are the constants below.
    return text(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE job_id = :job_id ORDER BY id LIMIT :n)")  # noqa: S608


# Calls before batches: a batch's deletion would take its calls along, however many they are.
DELETE = {table: _delete_from(table) for table in ("call", "rejection", "incident", "batch")}


@dataclass(frozen=True, slots=True)
class Ledger:
    """A job's ledger, summed, beside its budget."""

    spent_usd: Decimal
    held_usd: Decimal
    ledger_usd: Decimal
    calls: int
    under_way: int


@dataclass(frozen=True, slots=True)
class Archived:
    """Rows of one job that were deleted, or would be; `kept_because` says why none were."""

    calls: int = 0
    batches: int = 0
    kept_because: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One transaction's share; `more` says that rows may be left."""

    archived: Archived
    more: bool


def why_kept(ledger: Ledger) -> str | None:
    """Why the job cannot be archived now: money is under way, or its ledger and its budget do not agree."""
    if ledger.under_way:
        return f"{ledger.under_way} of its calls are not settled yet; prune again in some minutes"
    if ledger.spent_usd != ledger.ledger_usd:
        return (
            f"its ledger adds up to ${ledger.ledger_usd:f}, but ${ledger.spent_usd:f} are booked as spent; "
            "both stay as they are for a person to look at"
        )
    if ledger.held_usd != 0:
        return f"${ledger.held_usd:f} are still held, but none of its calls is under way; a person should look at it"
    return None


async def jobs_to_archive(engine: AsyncEngine, days: int) -> list[JobId]:
    """Jobs that ended more than `days` days ago, by the database's clock, and such that were archived in part."""
    async with engine.connect() as conn:
        return [JobId(row.id) for row in await conn.execute(DUE, {"days": days})]


async def archive_job(engine: AsyncEngine, job_id: JobId) -> Archived:
    """Archive one ended job, or finish that. A job that has not ended, or is gone, stays as it is."""
    calls = batches = 0
    while True:
        chunk = await archive_chunk(engine, job_id)
        calls += chunk.archived.calls
        batches += chunk.archived.batches
        if not chunk.more:
            return Archived(calls, batches, chunk.archived.kept_because)


async def count_archivable(engine: AsyncEngine, job_id: JobId) -> Archived:
    """What `archive_job` would do; changes nothing."""
    async with engine.connect() as conn:
        values = {"job_id": job_id}
        if not (await conn.execute(IS_ARCHIVED, values)).scalar_one():
            ledger = await _read_ledger(conn, job_id)
            if ledger is None:
                return Archived()
            if reason := why_kept(ledger):
                return Archived(kept_because=reason)
        counted = (await conn.execute(COUNT, values)).one()
    return Archived(counted.calls, counted.batches)


async def archive_chunk(engine: AsyncEngine, job_id: JobId, *, rows: int = ROWS_PER_TRANSACTION) -> Chunk:
    """One transaction of it: the record if there is none yet, then about `rows` rows less."""
    values = {"job_id": job_id}
    gone = dict.fromkeys(DELETE, 0)
    async with engine.begin() as conn:
        if (await conn.execute(LOCK_ENDED, values)).scalar_one_or_none() is None:
            return Chunk(Archived(), more=False)
        if not (await conn.execute(IS_ARCHIVED, values)).scalar_one():
            if reason := await _keep_record(conn, job_id):
                return Chunk(Archived(kept_because=reason), more=False)
            gone["call"] = (await conn.execute(DELETE_UNKNOWN, values)).rowcount
        left = rows
        for table, delete in DELETE.items():
            deleted = (await conn.execute(delete, {**values, "n": left})).rowcount
            gone[table] += deleted
            left -= deleted
    return Chunk(Archived(gone["call"], gone["batch"]), more=left == 0)


async def _keep_record(conn: AsyncConnection, job_id: JobId) -> str | None:
    """Write what stays of the job, from rows that nobody can change any more; or say why it is kept whole."""
    values = {"job_id": job_id}
    await conn.execute(LOCK_OPEN_CALLS, values)
    await conn.execute(LOCK_BUDGET, values)
    ledger = await _read_ledger(conn, job_id)
    if ledger is None:
        return "it has no budget"
    if reason := why_kept(ledger):
        return reason
    shown = await read_job_within(conn, job_id)
    progress = orjson.dumps(shown["progress"]).decode()
    kept = {"progress": progress, "calls": ledger.calls, "ledger_usd": ledger.ledger_usd}
    await conn.execute(KEEP, {**values, **kept})
    return None


async def _read_ledger(conn: AsyncConnection, job_id: JobId) -> Ledger | None:
    row = (await conn.execute(LEDGER, {"job_id": job_id})).mappings().one_or_none()
    return None if row is None else Ledger(**row)
