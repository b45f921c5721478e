"""The refused candidates of a job, each with what it repeats."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId

EXISTS = text("SELECT EXISTS (SELECT FROM job WHERE id = :job_id)")
LIST = text("""
SELECT rejection.id, rejection.reason, rejection.text, rejection.question_id, question.text AS question,
    rejection.similarity::float AS similarity, rejection.matched, rejection.call_id, rejection.created_at
FROM rejection LEFT JOIN question ON question.id = rejection.question_id
WHERE rejection.job_id = :job_id AND (CAST(:before AS bigint) IS NULL OR rejection.id < :before)
  AND (CAST(:reason AS text) IS NULL OR rejection.reason = :reason)
ORDER BY rejection.id DESC LIMIT :limit
""")


async def list_rejections(
    engine: AsyncEngine, job_id: JobId, *, reason: str | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first, from the one behind `before`; none of an archived job. Raises NotFound."""
    async with engine.connect() as conn:
        if not (await conn.execute(EXISTS, {"job_id": job_id})).scalar_one():
            raise NotFound(f"there is no job {job_id}")
        values = {"job_id": job_id, "reason": reason, "before": before, "limit": limit}
        return [dict(row) for row in (await conn.execute(LIST, values)).mappings()]
