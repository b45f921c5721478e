"""What people see of a job: added up each time from what is kept with the rows, so that it is true whatever crashed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.stages import stages_of
from shared.database.states import BatchState, CallState, Stage, SubmissionState
from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.incidents import count_incidents
from shared.jobs.stage_progress import read_stages
from shared.planning.left import seconds_left

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
# Promise 8: sums that triggers keep; none of these queries grows with the work that is finished.
CELLS = text("""
SELECT job_cell.domain, job_cell.difficulty, job_cell.target, job_cell.stopped,
    COALESCE(counted.selected, 0) AS selected, COALESCE(counted.reserve, 0) AS reserve,
    COALESCE(counted.validated, 0) AS validated, COALESCE(counted.answered, 0) AS answered,
    COALESCE(counted.reserve_validated, 0) AS reserve_validated, COALESCE(counted.tokens, 0) AS tokens,
    COALESCE(counted.completion_tokens, 0) AS completion_tokens
FROM job_cell LEFT JOIN (
    SELECT domain, difficulty, SUM(questions) FILTER (WHERE state = 'selected')::bigint AS selected,
        SUM(questions) FILTER (WHERE state = 'reserve')::bigint AS reserve,
        SUM(validated) FILTER (WHERE state = 'selected')::bigint AS validated,
        SUM(validated) FILTER (WHERE state = 'reserve')::bigint AS reserve_validated,
        SUM(answered) FILTER (WHERE state = 'selected')::bigint AS answered,
        SUM(prompt_tokens) FILTER (WHERE state = 'selected')::bigint AS tokens,
        SUM(completion_tokens) FILTER (WHERE state = 'selected')::bigint AS completion_tokens
    FROM question_count
    WHERE dataset_id = (SELECT dataset_id FROM job WHERE id = :job_id) AND state IN ('selected', 'reserve')
    GROUP BY domain, difficulty) AS counted USING (domain, difficulty)
WHERE job_cell.job_id = :job_id
""")
BATCHES = text("""
SELECT stage, domain, difficulty, what, name, n FROM batch_count WHERE job_id = :job_id
""")
CALLS = text("""
SELECT state, outcome, again, SUM(calls)::bigint AS calls, SUM(input_tokens)::bigint AS input_tokens,
    SUM(output_tokens)::bigint AS output_tokens
FROM call_count WHERE job_id = :job_id GROUP BY 1, 2, 3
""")
# What was parsed within the window belongs to batches that have been claimed and are open or ended within it.
RECENT = text("""
SELECT lately.stage, COALESCE(SUM(parsed.admitted), 0) AS results
FROM (
    SELECT id, stage FROM batch WHERE job_id = :job_id AND state IN ('pending', 'leased') AND fence > 0
    UNION ALL SELECT id, stage FROM batch WHERE job_id = :job_id AND finished_at >= :since) AS lately
CROSS JOIN LATERAL (
    SELECT SUM(admitted) AS admitted FROM call WHERE batch_id = lately.id AND parsed_at >= :since) AS parsed
GROUP BY 1
""")
LIST_JOBS = text("""
SELECT job.id, dataset.name AS dataset, job.state, job.reason, job.rehearsal, job.created_at, job.finished_at
FROM job JOIN dataset ON dataset.id = job.dataset_id
WHERE CAST(:before AS uuid) IS NULL OR job.id < :before
ORDER BY job.id DESC LIMIT :limit
""")
BATCH_COLUMNS = """
    id, stage, domain, difficulty, number, questions, calls, state, reason, attempts, fence, lease_until, worker,
    generated, admitted, rejected, repaired, calls_parsed, calls_given_up, created_at, finished_at
"""
CALL_COLUMNS = """
    id, batch_id, ordinal, attempt, model, state, outcome, detail, http_status, request_id, finish_reason,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, worst_usd, cost_usd, prompt, generated, admitted,
    sent_at, settled_at, parsed_at
"""
SUBMISSION_COLUMNS = """
    id, batch_id, provider, model, state, requests, provider_id, attempts, created_at, attempted_at, submitted_at,
    ended_at, cancel_asked_at, detail
"""


def _page_of(table: str, columns: str, state: str | None) -> TextClause:
    """The state is written out: a plan for any state could not use the indexes that hold only some."""
    of_state = f"AND state = '{state}'" if state else ""
    return text(f"""
        SELECT {columns} FROM {table}
        WHERE job_id = :job_id {of_state} AND id > COALESCE(:after, '00000000-0000-0000-0000-000000000000'::uuid)
        ORDER BY id LIMIT :limit
    """)  # noqa: S608 - all parts are constants of this module and the states' names


LIST_BATCHES = {state: _page_of("batch", BATCH_COLUMNS, state) for state in (None, *BatchState)}
LIST_CALLS = {state: _page_of("call", CALL_COLUMNS, state) for state in (None, *CallState)}
LIST_SUBMISSIONS = {state: _page_of("bulk_submission", SUBMISSION_COLUMNS, state) for state in (None, *SubmissionState)}
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
        rates: dict[str, float] = {}
        if row["state"] == "running":
            rates = await _per_minute(conn, job_id, row["now"], row["created_at"])
        progress = {
            **await _progress(conn, job_id, row["plan"], row["spec"], rates),
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
    return await _list(engine, LIST_BATCHES[state and BatchState(state)], job_id, after=after, limit=limit)


async def list_calls(
    engine: AsyncEngine, job_id: JobId, *, state: str | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A job's ledger rows in the order of their creation, without the raw replies; none of an archived job.

    Raises NotFound.
    """
    return await _list(engine, LIST_CALLS[state and CallState(state)], job_id, after=after, limit=limit)


async def list_submissions(
    engine: AsyncEngine, job_id: JobId, *, state: str | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A job's bulk submissions in the order of their intents; none of an archived job. Raises NotFound."""
    return await _list(engine, LIST_SUBMISSIONS[state and SubmissionState(state)], job_id, after=after, limit=limit)


async def _list(
    engine: AsyncEngine, statement: TextClause, job_id: JobId, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    async with engine.connect() as conn:
        archived = (await conn.execute(IS_ARCHIVED, {"job_id": job_id})).scalar_one_or_none()
        if archived is None:
            raise NotFound(f"there is no job {job_id}")
        if archived:
            return []  # also while its rows are being deleted: none rather than some
        values = {"job_id": job_id, "after": after, "limit": limit}
        return [dict(row) for row in (await conn.execute(statement, values)).mappings()]


async def _progress(
    conn: AsyncConnection, job_id: JobId, plan: Mapping[str, Any], spec: Mapping[str, Any], rates: Mapping[str, float]
) -> dict[str, Any]:
    """`rates` are the results of each stage a minute."""
    values, stages = {"job_id": job_id}, stages_of(spec)
    judged: dict[tuple[str, str, str], dict[str, int]] = defaultdict(lambda: {"generated": 0, "admitted": 0})
    named: dict[str, dict[str, int]] = {"batches": {}, "rejected": {}, "repaired": {}}
    rejected: dict[tuple[str, str], int] = defaultdict(int)
    for row in await conn.execute(BATCHES, values):
        if row.what in named:
            named[row.what][row.name] = named[row.what].get(row.name, 0) + row.n
            rejected[row.domain, row.difficulty] += row.n if row.what == "rejected" else 0
        else:
            judged[row.stage, row.domain, row.difficulty][row.what] = row.n
    cells = [
        {
            **cell,
            **judged[Stage.GENERATE, cell["domain"], cell["difficulty"]],
            "rejected": rejected[cell["domain"], cell["difficulty"]],
        }
        for cell in (await conn.execute(CELLS, values)).mappings()
    ]
    forecast = plan.get("forecast")
    by_stage = await read_stages(conn, job_id, stages, forecast=forecast, cells=cells, judged=judged)
    sums = {
        name: sum(cell[name] for cell in cells)
        for name in ("target", "selected", "validated", "answered", "generated", "admitted")
    }
    left = {each["stage"]: each["left"]["questions"] for each in by_stage}
    return {
        **sums,
        "rejected": named["rejected"],
        "repaired": named["repaired"],
        "cells": sorted(cells, key=lambda cell: (cell["domain"], cell["difficulty"])),
        "stages": by_stage,
        "batches": named["batches"],
        "calls": await _calls(conn, job_id),
        "incidents": await count_incidents(conn, job_id),
        "tokens": {
            "prompt": sum(cell["tokens"] for cell in cells),
            "completion": sum(cell["completion_tokens"] for cell in cells),
        },
        "token_shares": _shares(plan, spec, cells),
        # Of what comes out at the end; with several stages the time left goes by what all of them do.
        "per_minute": rates.get(stages[-1], 0.0),
        "eta_seconds": seconds_left(left, rates, (forecast or {}).get("stages", ())),
        "yield": round(sums["admitted"] / sums["generated"], 4) if sums["generated"] else None,
    }


def _shares(
    plan: Mapping[str, Any], spec: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """The token shares that are planned, those measured in the same way, and of questions and answers apart."""
    columns = {"prompt": ("tokens",), "completion": ("completion_tokens",), "total": ("tokens", "completion_tokens")}
    measured = {measure: _share_out(cells, names) for measure, names in columns.items()}
    measure = spec.get("mix", {}).get("measure", "prompt")
    return {
        "planned": plan["totals"]["token_shares"],
        "measured": measured[measure],
        "prompt": measured["prompt"],
        "completion": measured["completion"],
    }


def _share_out(cells: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, float]:
    """The share of each difficulty in the tokens of these columns together."""
    by_difficulty: dict[str, int] = defaultdict(int)
    for cell in cells:
        by_difficulty[cell["difficulty"]] += sum(cell[name] for name in columns)
    whole = sum(by_difficulty.values())
    return {name: round(count / whole, 6) if whole else 0.0 for name, count in by_difficulty.items()}


async def _calls(conn: AsyncConnection, job_id: JobId) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "sent": 0, "ok": 0, "failed": 0, "retried": 0, "in_flight": 0, "input_tokens": 0, "output_tokens": 0,
        "outcomes": defaultdict(int),
    }  # fmt: skip
    column = {"sent": "in_flight", "ok": "ok", "failed": "failed", "unknown": "failed"}
    for row in await conn.execute(CALLS, {"job_id": job_id}):
        counts["sent"] += row.calls
        counts[column[row.state]] += row.calls
        counts["retried"] += row.calls if row.again else 0
        counts["outcomes"][row.outcome] += row.calls
        counts["input_tokens"] += row.input_tokens
        counts["output_tokens"] += row.output_tokens
    counts["outcomes"] = dict(counts["outcomes"])
    return counts


async def _per_minute(conn: AsyncConnection, job_id: JobId, now: datetime, began: datetime) -> dict[str, float]:
    """Results of each stage per minute, over the last minute or, of a younger job, over its life so far."""
    since = max(now - RATE_WINDOW, began)
    minutes = max(1.0, (now - since).total_seconds()) / 60
    return {
        row.stage: round(float(row.results) / minutes, 1)
        for row in await conn.execute(RECENT, {"job_id": job_id, "since": since})
    }
