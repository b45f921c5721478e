"""Read what the reconciler judges by: one job's rows, counted, never remembered."""

from collections import defaultdict
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import BatchState, JobState
from shared.ids import BatchId, JobId
from shared.jobs.decide import EVIDENCE_BATCHES_READ
from shared.jobs.observed import CellStatus, EndedBatch, Observed, OpenBatch
from shared.planning.mix import Cell

JOB = text("SELECT state, clock_timestamp() AS now FROM job WHERE id = :job_id")

CELLS = text("""
SELECT job_cell.domain, job_cell.difficulty, job_cell.target, job_cell.mean_tokens, job_cell.stopped,
    (job.spec -> 'questions_per_call' ->> job_cell.difficulty)::int AS questions_per_call,
    COALESCE(prompt_cursor.next_ordinal, 0) AS next_ordinal
FROM job JOIN job_cell ON job_cell.job_id = job.id
LEFT JOIN prompt_cursor ON prompt_cursor.dataset_id = job.dataset_id
    AND prompt_cursor.domain = job_cell.domain AND prompt_cursor.difficulty = job_cell.difficulty
WHERE job.id = :job_id
ORDER BY job_cell.domain, job_cell.difficulty
""")

QUESTIONS = text("""
SELECT domain, difficulty, COUNT(*) FILTER (WHERE question.state = 'selected') AS selected,
    COUNT(*) FILTER (WHERE question.state = 'reserve') AS reserve
FROM question JOIN job ON job.dataset_id = question.dataset_id
WHERE job.id = :job_id AND question.state IN ('selected', 'reserve')
GROUP BY domain, difficulty
""")

BATCHES = text("""
SELECT domain, difficulty, MAX(number) AS batches, SUM(generated) AS generated, SUM(admitted) AS admitted,
    COUNT(*) FILTER (WHERE state IN ('pending', 'leased')) AS open_batches,
    COALESCE(SUM(GREATEST(0, calls - calls_parsed - calls_given_up) * questions_per_call)
        FILTER (WHERE state IN ('pending', 'leased')), 0) AS coming
FROM batch WHERE job_id = :job_id AND stage = 'generate'
GROUP BY domain, difficulty
""")

ENDED = text("""
SELECT newest.* FROM job_cell CROSS JOIN LATERAL (
    SELECT domain, difficulty, state, calls, generated, admitted
    FROM batch
    WHERE batch.job_id = job_cell.job_id AND stage = 'generate'
      AND batch.domain = job_cell.domain AND batch.difficulty = job_cell.difficulty AND state IN ('done', 'parked')
    ORDER BY number DESC LIMIT :evidence) AS newest
WHERE job_cell.job_id = :job_id
""")

OPEN = text("""
SELECT id, domain, difficulty, number, state, attempts, hinted_at,
    COALESCE(lease_until < clock_timestamp(), false) AS expired
FROM batch WHERE job_id = :job_id AND state IN ('pending', 'leased')
""")


async def observe(conn: AsyncConnection, job_id: JobId) -> Observed:
    """One look at a job. The counts are of one moment only if the transaction reads repeatably; judgement
    does not need that: what one tick misses the next one sees.
    """
    values = {"job_id": job_id}
    job = (await conn.execute(JOB, values)).one()
    cells = {
        Cell(row.domain, row.difficulty): CellStatus(
            cell=Cell(row.domain, row.difficulty),
            target=row.target,
            mean_tokens=row.mean_tokens,
            questions_per_call=row.questions_per_call,
            stopped=row.stopped,
            next_ordinal=row.next_ordinal,
        )
        for row in await conn.execute(CELLS, values)
    }
    for row in await conn.execute(BATCHES, values):
        cell = Cell(row.domain, row.difficulty)
        cells[cell] = replace(
            cells[cell],
            batches=row.batches,
            generated=row.generated,
            admitted=row.admitted,
            open_batches=row.open_batches,
            coming=row.coming,
        )
    ended: dict[Cell, list[EndedBatch]] = defaultdict(list)
    for row in await conn.execute(ENDED, values | {"evidence": EVIDENCE_BATCHES_READ}):
        result = EndedBatch(BatchState(row.state), row.calls, row.generated, row.admitted)
        ended[Cell(row.domain, row.difficulty)].append(result)
    open_batches = tuple(
        OpenBatch(
            id=BatchId(row.id),
            cell=Cell(row.domain, row.difficulty),
            number=row.number,
            state=BatchState(row.state),
            attempts=row.attempts,
            hinted_at=row.hinted_at,
            expired=row.expired,
        )
        for row in await conn.execute(OPEN, values)
    )
    # Questions last: a batch seen as ended above has all its questions in this count.
    for row in await conn.execute(QUESTIONS, values):
        cell = Cell(row.domain, row.difficulty)
        if cell in cells:
            cells[cell] = replace(cells[cell], selected=row.selected, reserve=row.reserve)
    statuses = tuple(replace(status, ended=tuple(ended[cell])) for cell, status in cells.items())
    return Observed(JobId(job_id), JobState(job.state), job.now, statuses, open_batches)
