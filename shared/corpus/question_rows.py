"""The questions of a dataset as people browse them."""

from typing import Any

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.find_dataset import find_dataset
from shared.database.states import QuestionState
from shared.errors import NotFound
from shared.ids import QuestionId
from shared.planning.mix import fold_name

COLUMNS = """
    question.id, question.text AS question, question.domain, question.difficulty, question.state, question.tags,
    question.prompt_tokens, question.tokenizer, COALESCE(question.job_id::text, 'baseline') AS source, question.model,
    question.batch_id, question.call_id, question.created_at, CAST(question.metadata AS text) AS metadata,
    COALESCE(job.rehearsal, false) AS rehearsal, question.validated, question.answered, question.reason,
    question.completion_tokens, question.prompt_version
"""
# The filter on text reads the dataset's rows; the page ends it early.
BROWSE = text(f"""
    SELECT {COLUMNS} FROM question LEFT JOIN job ON job.id = question.job_id
    WHERE question.dataset_id = :dataset_id AND question.id > :after
      AND (CAST(:domain AS text) IS NULL OR question.domain = :domain)
      AND (CAST(:difficulty AS text) IS NULL OR question.difficulty = :difficulty)
      AND (CAST(:state AS text) IS NULL OR question.state = :state)
      AND (CAST(:selected AS boolean) IS NULL OR (question.state = 'selected') = :selected)
      AND (CAST(:text AS text) IS NULL OR strpos(lower(question.text), lower(:text)) > 0)
    ORDER BY question.id LIMIT :limit
""")  # noqa: S608 - COLUMNS is a constant above
READ = text(f"SELECT {COLUMNS} FROM question LEFT JOIN job ON job.id = question.job_id WHERE question.id = :id")  # noqa: S608 - as above


async def browse_questions(
    engine: AsyncEngine,
    name: str,
    *,
    domain: str | None,
    difficulty: str | None,
    state: QuestionState | None,
    selected: bool | None,
    text: str | None,
    after: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Questions in the order of their ids, from the one behind `after`. Raises NotFound."""
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        names = {"domain": domain and fold_name(domain), "difficulty": difficulty and fold_name(difficulty)}
        values = {**names, "state": state and state.value, "selected": selected, "text": text, "limit": limit}
        rows = await conn.execute(BROWSE, {"dataset_id": dataset_id, "after": after or 0, **values})
        return [shown(row) for row in rows.mappings()]


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
