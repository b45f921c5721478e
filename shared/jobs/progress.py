"""What people see of a job: counted from rows each time, so that it is true whatever crashed."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.incidents import count_incidents

# Questions a minute are measured over this long.
RATE_WINDOW = timedelta(seconds=60)

JOB = text("""
SELECT job.id, dataset.name AS dataset, job.state, job.reason, job.spec, job.rehearsal, job.created_at,
    job.finished_at, job_plan.plan, job_plan.version AS plan_version, job_budget.budget_usd, job_budget.spent_usd,
    job_budget.held_usd, job_archive.progress AS archived_progress, job_archive.archived_at, clock_timestamp() AS now
FROM job JOIN dataset ON dataset.id = job.dataset_id JOIN job_budget ON job_budget.job_id = job.id
LEFT JOIN job_archive ON job_archive.job_id = job.id
JOIN LATERAL (
    SELECT plan, version FROM job_plan WHERE job_plan.job_id = job.id ORDER BY version DESC LIMIT 1) AS job_plan ON true
WHERE job.id = :job_id
""")
CELLS = text("""
SELECT job_cell.domain, job_cell.difficulty, job_cell.target, job_cell.stopped,
    COALESCE(counted.selected, 0) AS selected, COALESCE(counted.reserve, 0) AS reserve,
    COALESCE(counted.tokens, 0) AS tokens
FROM job_cell LEFT JOIN (
    SELECT domain, difficulty, COUNT(*) FILTER (WHERE question.state = 'selected') AS selected,
        COUNT(*) FILTER (WHERE question.state = 'reserve') AS reserve,
        SUM(prompt_tokens) FILTER (WHERE question.state = 'selected') AS tokens
    FROM question JOIN job ON job.dataset_id = question.dataset_id
    WHERE job.id = :job_id AND question.state IN ('selected', 'reserve')
    GROUP BY domain, difficulty) AS counted USING (domain, difficulty)
WHERE job_cell.job_id = :job_id
""")
BATCHES = text("""
SELECT domain, difficulty, state, COUNT(*) AS batches, SUM(generated) AS generated, SUM(admitted) AS admitted,
    SUM(calls_parsed) AS parsed
FROM batch WHERE job_id = :job_id GROUP BY domain, difficulty, state
""")
REASONS = text("""
SELECT 'rejected' AS what, key AS reason, SUM(value::int) AS n
FROM batch CROSS JOIN jsonb_each_text(rejected) WHERE job_id = :job_id GROUP BY key
UNION ALL
SELECT 'repaired', key, SUM(value::int)
FROM batch CROSS JOIN jsonb_each_text(repaired) WHERE job_id = :job_id GROUP BY key
""")
CALLS = text("""
SELECT state, COALESCE(outcome, 'in flight') AS outcome, attempt > 1 AS again, COUNT(*) AS n,
    SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens
FROM call WHERE job_id = :job_id GROUP BY 1, 2, 3
""")
# Call ids begin with their time in milliseconds (UUIDv7), so the newest are found by the index on (job_id, id).
RECENT = text("""
SELECT COALESCE(SUM(admitted), 0) FROM call
WHERE job_id = :job_id AND id >= :oldest AND parsed_at >= :since
""")
LIST_JOBS = text("""
SELECT job.id, dataset.name AS dataset, job.state, job.reason, job.rehearsal, job.created_at, job.finished_at
FROM job JOIN dataset ON dataset.id = job.dataset_id
WHERE CAST(:before AS uuid) IS NULL OR job.id < :before
ORDER BY job.id DESC LIMIT :limit
""")
LIST_BATCHES = text("""
SELECT id, stage, domain, difficulty, number, questions, calls, state, reason, attempts, fence, lease_until, worker,
    generated, admitted, rejected, repaired, calls_parsed, calls_given_up, created_at, finished_at
FROM batch
WHERE job_id = :job_id AND (CAST(:state AS text) IS NULL OR state = :state)
  AND (CAST(:after AS uuid) IS NULL OR id > :after)
ORDER BY id LIMIT :limit
""")
LIST_CALLS = text("""
SELECT id, batch_id, ordinal, attempt, model, state, outcome, detail, http_status, request_id, finish_reason,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, worst_usd, cost_usd, prompt, generated, admitted,
    sent_at, settled_at, parsed_at
FROM call
WHERE job_id = :job_id AND (CAST(:state AS text) IS NULL OR state = :state)
  AND (CAST(:after AS uuid) IS NULL OR id > :after)
ORDER BY id LIMIT :limit
""")
IS_ARCHIVED = text("""
SELECT job_archive.job_id IS NOT NULL FROM job LEFT JOIN job_archive ON job_archive.job_id = job.id
WHERE job.id = :job_id
""")


async def read_job(engine: AsyncEngine, job_id: JobId) -> dict[str, Any]:
    """The whole job, as GET /v1/jobs/{id} shows it. Raises NotFound."""
    async with engine.connect() as conn:
        # All counts are of one moment: a job that is archived meanwhile is seen before or after, never in between.
        await conn.execution_options(isolation_level="REPEATABLE READ")
        return await read_job_within(conn, job_id)


async def read_job_within(conn: AsyncConnection, job_id: JobId) -> dict[str, Any]:
    """The same inside the caller's transaction. Of an archived job, the progress is the last that was counted."""
    row = (await conn.execute(JOB, {"job_id": job_id})).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    progress = row["archived_progress"]
    if progress is None:
        shares = row["plan"]["totals"]["token_shares"]
        rate = await _per_minute(conn, job_id, row["now"], row["created_at"]) if row["state"] == "running" else 0.0
        progress = {
            **await _progress(conn, job_id, shares, per_minute=rate),
            "cost_usd": float(row["spent_usd"]),
            "held_usd": float(row["held_usd"]),
        }
    return {
        "id": str(row["id"]),
        "dataset": row["dataset"],
        "state": row["state"],
        "reason": row["reason"],
        "rehearsal": row["rehearsal"],
        "spec": row["spec"],
        "plan": row["plan"],
        "plan_version": row["plan_version"],
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
        "archived_at": row["archived_at"],
        "budget_usd": float(row["budget_usd"]),
        "progress": progress,
    }


async def list_jobs(engine: AsyncEngine, *, before: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Jobs, newest first, in short; `before` is the last id of the page before."""
    async with engine.connect() as conn:
        rows = await conn.execute(LIST_JOBS, {"before": before, "limit": limit})
        return [dict(row) for row in rows.mappings()]


async def list_batches(
    engine: AsyncEngine, job_id: JobId, *, state: str | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A job's batches in the order of their creation; none of an archived job. Raises NotFound."""
    return await _list(engine, LIST_BATCHES, job_id, state=state, after=after, limit=limit)


async def list_calls(
    engine: AsyncEngine, job_id: JobId, *, state: str | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A job's ledger rows in the order of their creation, without the raw replies; none of an archived job.

    Raises NotFound.
    """
    return await _list(engine, LIST_CALLS, job_id, state=state, after=after, limit=limit)


async def _list(
    engine: AsyncEngine, statement: Any, job_id: JobId, *, state: str | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    async with engine.connect() as conn:
        archived = (await conn.execute(IS_ARCHIVED, {"job_id": job_id})).scalar_one_or_none()
        if archived is None:
            raise NotFound(f"there is no job {job_id}")
        if archived:
            return []  # also while its rows are being deleted: none rather than some
        values = {"job_id": job_id, "state": state, "after": after, "limit": limit}
        return [dict(row) for row in (await conn.execute(statement, values)).mappings()]


async def _progress(
    conn: AsyncConnection, job_id: JobId, planned_shares: dict[str, float], *, per_minute: float
) -> dict[str, Any]:
    values = {"job_id": job_id}
    batches = (await conn.execute(BATCHES, values)).all()
    by_cell: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {"generated": 0, "admitted": 0})
    for row in batches:
        counts = by_cell[row.domain, row.difficulty]
        counts["generated"] += row.generated
        counts["admitted"] += row.admitted
    tokens_by_difficulty: dict[str, int] = defaultdict(int)
    cells = []
    for cell in (await conn.execute(CELLS, values)).mappings():
        tokens_by_difficulty[cell["difficulty"]] += int(cell["tokens"])
        cells.append({**cell, "tokens": int(cell["tokens"]), **by_cell[cell["domain"], cell["difficulty"]]})
    target = sum(cell["target"] for cell in cells)
    selected = sum(cell["selected"] for cell in cells)
    missing = sum(max(0, cell["target"] - cell["selected"] - cell["reserve"]) for cell in cells)
    generated = sum(counts["generated"] for counts in by_cell.values())
    admitted = sum(counts["admitted"] for counts in by_cell.values())
    reasons: dict[str, dict[str, int]] = {"rejected": {}, "repaired": {}}
    for row in await conn.execute(REASONS, values):
        reasons[row.what][row.reason] = int(row.n)
    tokens = sum(tokens_by_difficulty.values())
    batch_states: dict[str, int] = defaultdict(int)
    for row in batches:
        batch_states[row.state] += row.batches
    return {
        "target": target,
        "admitted": admitted,
        "selected": selected,
        "generated": generated,
        **reasons,
        "cells": sorted(cells, key=lambda cell: (cell["domain"], cell["difficulty"])),
        "batches": dict(batch_states),
        "calls": await _calls(conn, job_id),
        "incidents": await count_incidents(conn, job_id),
        "tokens": {"prompt": tokens, "completion": 0},
        "token_shares": {
            "planned": planned_shares,
            "measured": {
                name: round(count / tokens, 6) if tokens else 0.0 for name, count in tokens_by_difficulty.items()
            },
        },
        "per_minute": per_minute,
        "eta_seconds": round(missing / per_minute * 60) if missing and per_minute else (0 if not missing else None),
        "yield": round(admitted / generated, 4) if generated else None,
    }


async def _calls(conn: AsyncConnection, job_id: JobId) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "sent": 0, "ok": 0, "failed": 0, "retried": 0, "in_flight": 0, "input_tokens": 0, "output_tokens": 0,
        "outcomes": defaultdict(int),
    }  # fmt: skip
    column = {"sent": "in_flight", "ok": "ok", "failed": "failed", "unknown": "failed"}
    for row in await conn.execute(CALLS, {"job_id": job_id}):
        counts["sent"] += row.n
        counts[column[row.state]] += row.n
        counts["retried"] += row.n if row.again else 0
        counts["outcomes"][row.outcome] += row.n
        counts["input_tokens"] += int(row.input_tokens or 0)
        counts["output_tokens"] += int(row.output_tokens or 0)
    counts["outcomes"] = dict(counts["outcomes"])
    return counts


async def _per_minute(conn: AsyncConnection, job_id: JobId, now: datetime, began: datetime) -> float:
    """Questions admitted per minute, over the last minute or, of a younger job, over its life so far."""
    since = max(now - RATE_WINDOW, began)
    # A reply may be parsed long after its call began: ten minutes is longer than a call's time-out.
    oldest_ms = int((since - timedelta(minutes=10)).timestamp() * 1000)
    values = {"job_id": job_id, "since": since, "oldest": UUID(int=oldest_ms << 80)}
    admitted = (await conn.execute(RECENT, values)).scalar_one()
    return round(float(admitted) / max(1.0, (now - since).total_seconds()) * 60, 1)
