"""Look at datasets, compare texts with one, delete one."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.busy_dataset import refuse_when_busy
from shared.corpus.contaminated import count_contaminated
from shared.corpus.duplicates import judge
from shared.corpus.find_dataset import find_dataset
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.lookup import find_known
from shared.database.states import QuestionState
from shared.errors import Conflict, NotFound

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
        COALESCE(SUM(questions) FILTER (WHERE state = 'rejected'), 0)::bigint AS rejected,
        COALESCE(SUM(validated) FILTER (WHERE state = 'selected'), 0)::bigint AS validated,
        COALESCE(SUM(answered) FILTER (WHERE state = 'selected'), 0)::bigint AS answered,
        COALESCE(SUM(prompt_tokens) FILTER (WHERE state = 'selected'), 0)::bigint AS prompt_tokens,
        COALESCE(SUM(completion_tokens) FILTER (WHERE state = 'selected'), 0)::bigint AS completion_tokens
    FROM question_count WHERE dataset_id = :dataset_id
    GROUP BY domain, difficulty ORDER BY domain, difficulty
""")
JOBS = text("SELECT id, state, created_at FROM job WHERE dataset_id = :dataset_id ORDER BY id DESC")
LOCK_FOR_DELETE = text("SELECT id FROM dataset WHERE name = :name FOR UPDATE")
UNFINISHED = text("SELECT id, state FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")
# They would run on at the provider, paid for, with nobody left who knows of them.
OUT_IN_BULK = text("""
    SELECT COUNT(*) FROM bulk_submission JOIN job ON job.id = bulk_submission.job_id
    WHERE job.dataset_id = :dataset_id AND bulk_submission.state IN ('intended', 'submitted')
""")
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
    """Counts per cell and state, token totals and jobs; what is validated or answered is so of the selected.

    Raises NotFound.
    """
    async with engine.connect() as conn:
        found = await _find(conn, name)
        cells = [dict(row) for row in (await conn.execute(CELLS, {"dataset_id": found["id"]})).mappings()]
        jobs = [dict(row) for row in (await conn.execute(JOBS, {"dataset_id": found["id"]})).mappings()]
        contamination = await count_contaminated(conn, found["id"])
    return {
        "name": found["name"],
        "created_at": found["created_at"],
        "cells": cells,
        "questions": {state: sum(cell[state] for cell in cells) for state in map(str, QuestionState)},
        "tokens": {name: sum(cell[f"{name}_tokens"] for cell in cells) for name in ("prompt", "completion")},
        "jobs": jobs,
        "contamination": contamination,
    }


async def delete_dataset(engine: AsyncEngine, name: str) -> None:
    """Delete a dataset with its questions, jobs and ledger.

    Raises NotFound, or Conflict while a job is unfinished, a provider has a bulk submission of one, or an import or a
    comparison with a benchmark is under way.
    """
    told = f"dataset {name} is being imported into or compared with a benchmark; try again when that is done"
    async with engine.begin() as conn:
        with refuse_when_busy(Conflict(told)):
            dataset_id = (await conn.execute(LOCK_FOR_DELETE, {"name": name})).scalar_one_or_none()
        if dataset_id is None:
            raise NotFound(f"there is no dataset {name}")
        job = (await conn.execute(UNFINISHED, {"dataset_id": dataset_id})).one_or_none()
        if job is not None:
            raise Conflict(f"dataset {name} has an unfinished job, {job.id} ({job.state}); cancel it first")
        if out := (await conn.execute(OUT_IN_BULK, {"dataset_id": dataset_id})).scalar_one():
            raise Conflict(
                f"dataset {name} has {out} bulk submissions that a provider is still being asked to cancel; "
                "try again when they are over"
            )
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
