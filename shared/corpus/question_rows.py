"""Questions as people see them."""

from typing import Any

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFound
from shared.ids import QuestionId

COLUMNS = """
    question.id, question.text AS question, question.domain, question.difficulty, question.state, question.tags,
    question.prompt_tokens, question.tokenizer, COALESCE(question.job_id::text, 'baseline') AS source, question.model,
    question.batch_id, question.call_id, question.created_at, CAST(question.metadata AS text) AS metadata,
    COALESCE(job.rehearsal, false) AS rehearsal, question.validated, question.answered, question.reason,
    question.completion_tokens, question.prompt_version
"""
READ = text(f"SELECT {COLUMNS} FROM question LEFT JOIN job ON job.id = question.job_id WHERE question.id = :id")  # noqa: S608 - as above


async def find_question(conn: AsyncConnection, question_id: QuestionId) -> dict[str, Any]:
    """One question. Raises NotFound."""
    row = (await conn.execute(READ, {"id": question_id})).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no question {question_id}")
    return shown(row)


def shown(row: RowMapping) -> dict[str, Any]:
    """As it is answered. Metadata is read here, since Postgres may have written a number that only a float can hold."""
    metadata = row["metadata"]
    return {**row, "metadata": None if metadata is None else orjson.loads(metadata)}
