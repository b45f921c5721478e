"""Jobs in a list, each with how far it is: the sums of progress.py, read for all of them at once. Promise 8."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.stages import stages_of
from shared.database.states import JobState, Stage
from shared.jobs.progress import LIST_JOBS, RATE_WINDOW
from shared.planning.left import Stand, left_of, pass_rate, seconds_left

ABOUT = text("""
SELECT job.id, job.dataset_id, job.state, jsonb_build_object('stages', job.spec -> 'stages') AS stages,
    CASE WHEN job.state = 'running' THEN (
        SELECT plan -> 'forecast' -> 'stages' FROM job_plan WHERE job_plan.job_id = job.id ORDER BY version DESC LIMIT 1
    ) END AS forecast,
    job_budget.budget_usd, job_budget.spent_usd, job_archive.progress AS archived_progress
FROM job JOIN job_budget ON job_budget.job_id = job.id LEFT JOIN job_archive ON job_archive.job_id = job.id
WHERE job.id = ANY (CAST(:ids AS uuid[]))
""")
# The datasets are named: only their sums are added up.
CELLS = text("""
SELECT job.id, job_cell.difficulty, job_cell.domain, job_cell.target, COALESCE(counted.selected, 0) AS selected,
    COALESCE(counted.reserve, 0) AS reserve, COALESCE(counted.validated, 0) AS validated,
    COALESCE(counted.reserve_validated, 0) AS reserve_validated, COALESCE(counted.answered, 0) AS answered
FROM job JOIN job_cell ON job_cell.job_id = job.id LEFT JOIN (
    SELECT dataset_id, domain, difficulty, SUM(questions) FILTER (WHERE state = 'selected')::bigint AS selected,
        SUM(questions) FILTER (WHERE state = 'reserve')::bigint AS reserve,
        SUM(validated) FILTER (WHERE state = 'selected')::bigint AS validated,
        SUM(validated) FILTER (WHERE state = 'reserve')::bigint AS reserve_validated,
        SUM(answered) FILTER (WHERE state = 'selected')::bigint AS answered
    FROM question_count
    WHERE dataset_id = ANY (CAST(:dataset_ids AS int[])) AND state IN ('selected', 'reserve')
    GROUP BY 1, 2, 3) AS counted USING (dataset_id, domain, difficulty)
WHERE job.id = ANY (CAST(:ids AS uuid[]))
""")
JUDGED = text("""
SELECT job_id, domain, difficulty, what, n FROM batch_count
WHERE job_id = ANY (CAST(:ids AS uuid[])) AND stage = 'validate' AND what IN ('generated', 'admitted')
""")
# One age for all its batches: the transaction has one now().
RECENT = text("""
SELECT lately.job_id, lately.stage, SUM(parsed.admitted) / GREATEST(extract(epoch FROM lately.age), 1) * 60 AS rate
FROM (
    SELECT batch.id, batch.job_id, batch.stage, LEAST(now() - job.created_at, :window) AS age
    FROM batch JOIN job ON job.id = batch.job_id
    WHERE batch.job_id = ANY (CAST(:ids AS uuid[])) AND batch.state IN ('pending', 'leased') AND batch.fence > 0
    UNION ALL
    SELECT batch.id, batch.job_id, batch.stage, LEAST(now() - job.created_at, :window)
    FROM batch JOIN job ON job.id = batch.job_id
    WHERE batch.job_id = ANY (CAST(:ids AS uuid[])) AND batch.finished_at >= now() - :window) AS lately
CROSS JOIN LATERAL (
    SELECT SUM(admitted) AS admitted FROM call WHERE batch_id = lately.id AND parsed_at >= now() - :window) AS parsed
GROUP BY lately.job_id, lately.stage, lately.age HAVING SUM(parsed.admitted) > 0
""")
# What a question has behind it once it is through the stage.
DONE = {Stage.GENERATE: "selected", Stage.VALIDATE: "validated", Stage.ANSWER: "answered"}


async def list_summaries(engine: AsyncEngine, *, before: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Jobs as list_jobs has them, newest first, with `progress`: target, done, share, rate, time left and money.

    `done` are the questions that are through the job's last stage, of each cell its target at most.
    """
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        jobs = [dict(row) for row in (await conn.execute(LIST_JOBS, {"before": before, "limit": limit})).mappings()]
        return [
            {**job, "progress": progress} for job, progress in zip(jobs, await _progress_of(conn, jobs), strict=True)
        ]


async def _progress_of(conn: AsyncConnection, jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ids = [job["id"] for job in jobs]
    about = {row["id"]: row for row in (await conn.execute(ABOUT, {"ids": ids})).mappings()}
    running = [each for each in ids if about[each]["state"] == JobState.RUNNING]
    cells: dict[UUID, list[RowMapping]] = defaultdict(list)
    datasets = sorted({row["dataset_id"] for row in about.values()})
    for row in (await conn.execute(CELLS, {"ids": ids, "dataset_ids": datasets})).mappings():
        cells[row["id"]].append(row)
    judged: dict[tuple[UUID, str, str], dict[str, int]] = defaultdict(dict)
    for each in await conn.execute(JUDGED, {"ids": ids}):
        judged[each.job_id, each.domain, each.difficulty][each.what] = each.n
    rates: dict[UUID, dict[str, float]] = defaultdict(dict)
    for each in await conn.execute(RECENT, {"ids": running, "window": RATE_WINDOW}):
        rates[each.job_id][each.stage] = round(float(each.rate), 1)
    return [_progress(about[each], cells[each], judged, rates[each]) for each in ids]


def _progress(
    job: RowMapping,
    cells: Sequence[RowMapping],
    judged: Mapping[tuple[UUID, str, str], Mapping[str, int]],
    rates: Mapping[str, float],
) -> dict[str, Any]:
    stages = stages_of(job["stages"] if job["stages"]["stages"] else {})
    through = DONE[stages[-1]]
    target = sum(cell["target"] for cell in cells)
    if (archived := job["archived_progress"]) is not None:
        done, eta = min(archived.get(through, archived["selected"]), target), archived["eta_seconds"]
    else:
        done = sum(min(cell[through], cell["target"]) for cell in cells)
        left = dict.fromkeys(map(str, stages), 0)
        for cell in cells:
            of_cell = _left(cell, stages, judged.get((job["id"], cell["domain"], cell["difficulty"]), {}))
            left = {stage: count + of_cell[stage] for stage, count in left.items()}
        eta = seconds_left(left, rates, job["forecast"] or ())
    return {
        "target": target,
        "done": done,
        "share": round(done / target, 4) if target else 1.0,
        "per_minute": rates.get(stages[-1], 0.0),
        "eta_seconds": eta,
        "cost_usd": float(job["spent_usd"]),
        "budget_usd": float(job["budget_usd"]),
    }


def _left(cell: RowMapping, stages: Sequence[Stage], judged: Mapping[str, int]) -> dict[str, int]:
    names = ("difficulty", "target", "selected", "reserve", "validated", "reserve_validated", "answered")
    rate = pass_rate(judged.get("generated", 0), judged.get("admitted", 0))
    return left_of(Stand(**{name: cell[name] for name in names}), stages, rate)
