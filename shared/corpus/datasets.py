"""Look at datasets and their questions, take a question out or back, delete a dataset."""

import asyncio
from typing import Any

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.admission import lock_dataset
from shared.corpus.contaminated import count_contaminated
from shared.corpus.duplicates import judge
from shared.corpus.find_dataset import find_dataset
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.lookup import find_known
from shared.errors import Conflict, NotFound
from shared.ids import DatasetId, QuestionId
from shared.planning.mix import fold_name

FIND = text("SELECT id, name, created_at FROM dataset WHERE name = :name")
# Promise 8: sums that triggers keep; neither of the two reads a question.
LIST = text("""
    SELECT dataset.name, dataset.created_at, COALESCE(counted.questions, 0) AS questions,
        COALESCE(counted.selected, 0) AS selected, unfinished.id AS unfinished_job
    FROM dataset
    LEFT JOIN (
        SELECT dataset_id, SUM(questions)::bigint AS questions,
            SUM(questions) FILTER (WHERE state = 'selected')::bigint AS selected
        FROM question_count GROUP BY dataset_id) AS counted ON counted.dataset_id = dataset.id
    LEFT JOIN job AS unfinished
        ON unfinished.dataset_id = dataset.id AND unfinished.state IN ('running', 'paused')
    ORDER BY dataset.name
""")
CELLS = text("""
    SELECT domain, difficulty, COALESCE(SUM(questions) FILTER (WHERE state = 'selected'), 0)::bigint AS selected,
        COALESCE(SUM(questions) FILTER (WHERE state = 'reserve'), 0)::bigint AS reserve,
        COALESCE(SUM(questions) FILTER (WHERE state = 'discarded'), 0)::bigint AS discarded,
        COALESCE(SUM(prompt_tokens) FILTER (WHERE state = 'selected'), 0)::bigint AS prompt_tokens
    FROM question_count WHERE dataset_id = :dataset_id
    GROUP BY domain, difficulty ORDER BY domain, difficulty
""")
JOBS = text("SELECT id, state, created_at FROM job WHERE dataset_id = :dataset_id ORDER BY id DESC")
COLUMNS = """
    question.id, question.text AS question, question.domain, question.difficulty, question.state, question.tags,
    question.prompt_tokens, question.tokenizer, COALESCE(question.job_id::text, 'baseline') AS source, question.model,
    question.batch_id, question.call_id, question.created_at, CAST(question.metadata AS text) AS metadata,
    COALESCE(job.rehearsal, false) AS rehearsal
"""
# The filter on text reads the dataset's rows; the page ends it early.
BROWSE = text(f"""
    SELECT {COLUMNS} FROM question LEFT JOIN job ON job.id = question.job_id
    WHERE question.dataset_id = :dataset_id AND question.id > :after
      AND (CAST(:domain AS text) IS NULL OR question.domain = :domain)
      AND (CAST(:difficulty AS text) IS NULL OR question.difficulty = :difficulty)
      AND (CAST(:selected AS boolean) IS NULL OR (question.state = 'selected') = :selected)
      AND (CAST(:text AS text) IS NULL OR strpos(lower(question.text), lower(:text)) > 0)
    ORDER BY question.id LIMIT :limit
""")  # noqa: S608 - COLUMNS is a constant above
READ = text(f"SELECT {COLUMNS} FROM question LEFT JOIN job ON job.id = question.job_id WHERE question.id = :id")  # noqa: S608 - as above
OWNER = text("SELECT dataset_id FROM question WHERE id = :id")
# The job's row lock lets a discard come before or after the count that ends a job, never between.
LOCK_JOB = text("""
    SELECT id FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused') FOR SHARE
""")
DISCARD = text("UPDATE question SET state = 'discarded' WHERE id = :id AND state <> 'discarded'")
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
    ), 2147483647) THEN 'selected' ELSE 'reserve' END
    WHERE back.id = :id AND back.state = 'discarded'
""")
# The place of a question that was taken out goes to the first of its cell's reserve, as selection orders it.
PROMOTE = text("""
    UPDATE question SET state = 'selected' WHERE id = (
        SELECT other.id FROM question AS gone
        JOIN dataset ON dataset.id = gone.dataset_id
        JOIN question AS other ON other.dataset_id = gone.dataset_id AND other.domain = gone.domain
            AND other.difficulty = gone.difficulty AND other.state = 'reserve'
        WHERE gone.id = :id
        ORDER BY sha256(int8send(dataset.order_seed) || other.text_hash) LIMIT 1)
""")
LOCK_FOR_DELETE = text("SELECT id FROM dataset WHERE name = :name FOR UPDATE")
UNFINISHED = text("SELECT id, state FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")
DELETE = (
    text("DELETE FROM question_band WHERE dataset_id = :dataset_id"),
    text("DELETE FROM benchmark_key WHERE dataset_id = :dataset_id"),
    text("DELETE FROM question WHERE dataset_id = :dataset_id"),
    text("DELETE FROM dataset WHERE id = :dataset_id"),
)


async def list_datasets(engine: AsyncEngine) -> list[dict[str, Any]]:
    """All datasets with their counts."""
    async with engine.connect() as conn:
        return [dict(row) for row in (await conn.execute(LIST)).mappings()]


async def describe_dataset(engine: AsyncEngine, name: str) -> dict[str, Any]:
    """Counts per cell and state, token totals and jobs. Raises NotFound."""
    async with engine.connect() as conn:
        found = await _find(conn, name)
        cells = [dict(row) for row in (await conn.execute(CELLS, {"dataset_id": found["id"]})).mappings()]
        jobs = [dict(row) for row in (await conn.execute(JOBS, {"dataset_id": found["id"]})).mappings()]
        contamination = await count_contaminated(conn, found["id"])
    states = ("selected", "reserve", "discarded")
    return {
        "name": found["name"],
        "created_at": found["created_at"],
        "cells": cells,
        "questions": {state: sum(cell[state] for cell in cells) for state in states},
        "tokens": {"prompt": int(sum(cell["prompt_tokens"] for cell in cells)), "completion": 0},
        "jobs": jobs,
        "contamination": contamination,
    }


async def browse_questions(
    engine: AsyncEngine,
    name: str,
    *,
    domain: str | None,
    difficulty: str | None,
    selected: bool | None,
    text: str | None,
    after: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Questions in the order of their ids, from the one behind `after`. Raises NotFound."""
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        names = {"domain": domain and fold_name(domain), "difficulty": difficulty and fold_name(difficulty)}
        values = {**names, "selected": selected, "text": text, "limit": limit}
        rows = await conn.execute(BROWSE, {"dataset_id": dataset_id, "after": after or 0, **values})
        return [_shown(row) for row in rows.mappings()]


async def discard_question(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Take a question out; its place goes to the reserve, or to a running job. Raises NotFound or Conflict."""
    async with engine.begin() as conn:
        await _lock(conn, question_id)
        before = await _read(conn, question_id)
        if (await conn.execute(DISCARD, {"id": question_id})).rowcount == 0:
            raise Conflict(f"question {question_id} is discarded already")
        if before["state"] == "selected":
            await conn.execute(PROMOTE, {"id": question_id})
        return await _read(conn, question_id)


async def restore_question(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Take a discarded question back: into its place if that is free, else the reserve. Raises NotFound or Conflict."""
    async with engine.begin() as conn:
        await _lock(conn, question_id)
        if (await conn.execute(RESTORE, {"id": question_id})).rowcount == 0:
            raise Conflict(f"question {question_id} is not discarded")
        return await _read(conn, question_id)


async def delete_dataset(engine: AsyncEngine, name: str) -> None:
    """Delete a dataset with its questions, jobs and ledger. Raises NotFound, or Conflict while a job is unfinished."""
    async with engine.begin() as conn:
        dataset_id = (await conn.execute(LOCK_FOR_DELETE, {"name": name})).scalar_one_or_none()
        if dataset_id is None:
            raise NotFound(f"there is no dataset {name}")
        job = (await conn.execute(UNFINISHED, {"dataset_id": dataset_id})).one_or_none()
        if job is not None:
            raise Conflict(f"dataset {name} has an unfinished job, {job.id} ({job.state}); cancel it first")
        for statement in DELETE:
            await conn.execute(statement, {"dataset_id": dataset_id})


async def find_duplicates(engine: AsyncEngine, name: str, texts: list[str]) -> list[dict[str, Any]]:
    """Would these be admitted? One verdict per text. Raises NotFound."""
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        prints = await asyncio.to_thread(fingerprint_many, texts)
        known = await find_known(conn, dataset_id, prints)
    verdicts = await asyncio.to_thread(judge, texts, prints, known)
    return [
        {"verdict": each.verdict, "question_id": each.question_id, "similarity": each.similarity, "guard": each.guard}
        for each in verdicts
    ]


async def _find(conn: AsyncConnection, name: str) -> Any:
    row = (await conn.execute(FIND, {"name": name})).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no dataset {name}")
    return row


async def _lock(conn: AsyncConnection, question_id: QuestionId) -> None:
    """Let no job end and nothing else be admitted, discarded or restored meanwhile; the locks' order is admission's."""
    dataset_id = (await conn.execute(OWNER, {"id": question_id})).scalar_one_or_none()
    if dataset_id is None:
        raise NotFound(f"there is no question {question_id}")
    await conn.execute(LOCK_JOB, {"dataset_id": dataset_id})
    await lock_dataset(conn, DatasetId(dataset_id))


async def _read(conn: AsyncConnection, question_id: QuestionId) -> dict[str, Any]:
    return _shown((await conn.execute(READ, {"id": question_id})).mappings().one())


def _shown(row: RowMapping) -> dict[str, Any]:
    """Metadata is read here, since Postgres may have written a number that only a float can hold."""
    metadata = row["metadata"]
    return {**row, "metadata": None if metadata is None else orjson.loads(metadata)}
