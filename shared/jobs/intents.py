"""The intent to submit calls in bulk: rows of submissions and of the ledger, and what these hold of the budget."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import lock_job
from shared.database.parameters import json_rows
from shared.database.states import JobState
from shared.ids import CallId, SubmissionId
from shared.jobs.submissions import LOCK_BATCH
from shared.llm.budget import Budget
from shared.llm.ledger import NewCall, budget_exhausted
from shared.llm.models import split_model

IS_WAITING = text("""
SELECT state = 'pending' AND in_bulk AND fence = :fence AND NOT EXISTS (
    SELECT FROM bulk_submission WHERE batch_id = batch.id AND state IN ('intended', 'submitted'))
FROM batch WHERE id = :batch_id
""")
LOCK_BUDGET = text("""
SELECT budget_usd, spent_usd, held_usd FROM job_budget WHERE job_id = :job_id FOR NO KEY UPDATE
""")
HOLD = text("UPDATE job_budget SET held_usd = held_usd + :usd WHERE job_id = :job_id")
INTEND = text("""
INSERT INTO bulk_submission (id, job_id, batch_id, provider, model, requests)
VALUES (:id, :job_id, :batch_id, :provider, :model, :requests)
""")
OPEN_CALLS = text("""
INSERT INTO call (id, job_id, batch_id, stage, difficulty, ordinal, attempt, fence, submission_id, model, prompt,
    worst_usd)
SELECT call_id, batch.job_id, batch.id, batch.stage, batch.difficulty, ordinal,
    (SELECT COALESCE(MAX(attempt), 0) + 1 FROM call WHERE batch_id = batch.id AND call.ordinal = asked.ordinal),
    batch.fence, submission_id, model, prompt, worst_usd
FROM json_to_recordset(CAST(:calls AS json)) AS asked (
    call_id uuid, submission_id uuid, ordinal bigint, model text, prompt jsonb, worst_usd numeric)
JOIN batch ON batch.id = :batch_id
""")
OPENED = text("SELECT id, submission_id FROM call WHERE submission_id = ANY (CAST(:ids AS uuid[]))")


async def intend(
    conn: AsyncConnection, calls: Sequence[NewCall], submission_ids: Mapping[str, SubmissionId]
) -> dict[CallId, SubmissionId]:
    """Write the intent to submit calls of one batch, by model: submissions, ledger rows and what they hold at most.

    As many as fit into the budget, from the first; returns them, and none when the batch does not wait any more. A
    repeat with the same ids has no second effect. Raises BudgetExhausted when not one fits.
    """
    hold = calls[0].hold
    names = {"job_id": hold.job_id, "batch_id": hold.batch_id, "fence": hold.fence}
    if await lock_job(conn, hold.job_id) != JobState.RUNNING:
        return {}
    await conn.execute(LOCK_BATCH, names)
    before = (await conn.execute(OPENED, {"ids": list(submission_ids.values())})).all()
    if before or not (await conn.execute(IS_WAITING, names)).scalar_one_or_none():
        return {CallId(row.id): SubmissionId(row.submission_id) for row in before}
    budget = Budget(*(await conn.execute(LOCK_BUDGET, names)).one())
    room, fitting = budget.budget_usd - budget.spent_usd - budget.held_usd, list[NewCall]()
    for call in calls:
        if call.worst_usd > room:
            break
        room -= call.worst_usd
        fitting.append(call)
    if not fitting:
        raise budget_exhausted(calls[0].worst_usd, budget)
    for model, submission_id in submission_ids.items():
        if requests := sum(call.model == model for call in fitting):
            about = {"id": submission_id, "provider": split_model(model)[0], "model": model, "requests": requests}
            await conn.execute(INTEND, {**names, **about})
    rows = [
        {
            "call_id": call.call_id,
            "submission_id": submission_ids[call.model],
            "ordinal": call.ordinal,
            "model": call.model,
            "prompt": call.prompt,
            "worst_usd": str(call.worst_usd),
        }
        for call in fitting
    ]
    await conn.execute(OPEN_CALLS, {**names, "calls": json_rows(rows)})
    await conn.execute(HOLD, {**names, "usd": sum(call.worst_usd for call in fitting)})
    return {call.call_id: submission_ids[call.model] for call in fitting}
