"""Take a question out by hand, or back."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.admission import lock_dataset
from shared.corpus.question_rows import find_question
from shared.errors import Conflict, NotFound
from shared.ids import DatasetId, QuestionId

OWNER = text("SELECT dataset_id FROM question WHERE id = :id")
# The job's row lock lets a discard come before or after the count that ends a job, never between.
LOCK_JOB = text("""
    SELECT id FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused') FOR SHARE
""")
DISCARD = text("UPDATE question SET state = 'discarded' WHERE id = :id AND state <> 'discarded'")
# A person overrules the judges: what they rejected comes back as if they had accepted it.
# It is selected again while its cell is short of the last plan's target (without a plan there is none); else its place
# has been filled.
RESTORE = text("""
    UPDATE question AS back SET state = CASE WHEN (
        SELECT COALESCE(SUM(questions), 0) FROM question_count AS others
        WHERE others.dataset_id = back.dataset_id AND others.domain = back.domain
            AND others.difficulty = back.difficulty AND others.state = 'selected'
    ) < COALESCE((
        SELECT COALESCE(MAX(job_cell.target), 0) FROM job LEFT JOIN job_cell ON job_cell.job_id = job.id
            AND job_cell.domain = back.domain AND job_cell.difficulty = back.difficulty
        WHERE job.dataset_id = back.dataset_id GROUP BY job.id ORDER BY job.id DESC LIMIT 1
    ), 2147483647) THEN 'selected' ELSE 'reserve' END,
        validated = back.validated OR back.reason IS NOT NULL, tries = 0, reason = NULL
    WHERE back.id = :id AND back.state IN ('discarded', 'rejected')
""")
# The place of a question that was taken out goes to the first of its cell's reserve, as selection orders it. Where no
# job is left to judge and answer it, only to one that is as far as the other was; else the place stays free.
PROMOTE = text("""
    UPDATE question SET state = 'selected' WHERE id = (
        SELECT other.id FROM question AS gone
        JOIN dataset ON dataset.id = gone.dataset_id
        JOIN question AS other ON other.dataset_id = gone.dataset_id AND other.domain = gone.domain
            AND other.difficulty = gone.difficulty AND other.state = 'reserve'
        WHERE gone.id = :id AND (
            (other.answered >= gone.answered AND other.validated >= gone.validated)
            OR EXISTS (SELECT FROM job WHERE job.dataset_id = gone.dataset_id AND job.state IN ('running', 'paused')))
        ORDER BY other.answered DESC, other.validated DESC,
            sha256(int8send(dataset.order_seed) || other.text_hash) LIMIT 1)
""")


async def discard_question(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Take a question out; its place goes to the reserve, or to a running job. Raises NotFound or Conflict."""
    async with engine.begin() as conn:
        await _lock(conn, question_id)
        before = await find_question(conn, question_id)
        if (await conn.execute(DISCARD, {"id": question_id})).rowcount == 0:
            raise Conflict(f"question {question_id} is discarded already")
        if before["state"] == "selected":
            await conn.execute(PROMOTE, {"id": question_id})
        return await find_question(conn, question_id)


async def restore_question(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Take a question back that was discarded, or rejected by judges: into its place if that is free, else the reserve.

    Raises NotFound or Conflict.
    """
    async with engine.begin() as conn:
        await _lock(conn, question_id)
        if (await conn.execute(RESTORE, {"id": question_id})).rowcount == 0:
            raise Conflict(f"question {question_id} is neither discarded nor rejected")
        return await find_question(conn, question_id)


async def _lock(conn: AsyncConnection, question_id: QuestionId) -> None:
    """Let no job end and nothing else be admitted, discarded or restored meanwhile; the locks' order is admission's."""
    dataset_id = (await conn.execute(OWNER, {"id": question_id})).scalar_one_or_none()
    if dataset_id is None:
        raise NotFound(f"there is no question {question_id}")
    await conn.execute(LOCK_JOB, {"dataset_id": dataset_id})
    await lock_dataset(conn, DatasetId(dataset_id))
