"""What a job is at just now: the batches that are worked on, and the questions that came last."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import BatchId, JobId
from shared.jobs.hint_names import label_of, task_id_of

MOST_BATCHES = 200
LAST_QUESTIONS = 20

# Of a job in its window few batches are open, whatever it has done.
BATCHES = text("""
SELECT batch.id, dataset.name AS dataset, batch.stage, batch.domain, batch.difficulty, batch.number, batch.questions,
    batch.state, batch.in_bulk, batch.worker, batch.attempts, batch.calls, batch.calls_parsed, batch.calls_given_up,
    batch.lease_until
FROM batch JOIN job ON job.id = batch.job_id JOIN dataset ON dataset.id = job.dataset_id
WHERE batch.job_id = :job_id AND batch.state IN ('pending', 'leased') AND (batch.state = 'leased' OR batch.in_bulk)
ORDER BY batch.id LIMIT :most
""")
QUESTIONS = text("""
SELECT id, text AS question, domain, difficulty, state, model, created_at FROM question
WHERE job_id = :job_id ORDER BY id DESC LIMIT :most
""")
EXISTS = text("SELECT EXISTS (SELECT FROM job WHERE id = :job_id)")


async def read_live(engine: AsyncEngine, job_id: JobId, *, flower_address: str) -> dict[str, Any]:
    """Batches that are held or in bulk, oldest first, and the last questions, newest first. Raises NotFound."""
    async with engine.connect() as conn:
        if not (await conn.execute(EXISTS, {"job_id": job_id})).scalar_one():
            raise NotFound(f"there is no job {job_id}")
        batches = (await conn.execute(BATCHES, {"job_id": job_id, "most": MOST_BATCHES})).mappings()
        shown = [_shown(row, flower_address) for row in batches]
        questions = (await conn.execute(QUESTIONS, {"job_id": job_id, "most": LAST_QUESTIONS})).mappings()
        return {"batches": shown, "questions": [dict(row) for row in questions]}


def _shown(row: RowMapping, flower_address: str) -> dict[str, Any]:
    batch = dict(row)
    label = label_of(batch.pop("dataset"), row["domain"], row["difficulty"], batch.pop("number"), row["questions"])
    task_id = task_id_of(BatchId(row["id"]), label)
    cell = f"{row['domain']}/{row['difficulty']}"
    return {**batch, "label": label, "cell": cell, "flower_url": f"{flower_address}/task/{quote(task_id, safe='')}"}
