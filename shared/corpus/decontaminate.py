"""Load a benchmark for a dataset, compare every question with it, and keep it as a guard: whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.admission import lock_dataset
from shared.corpus.benchmark_file import BenchmarkFile
from shared.corpus.benchmarks import delete_benchmark, store_benchmark
from shared.corpus.busy_dataset import refuse_when_busy
from shared.corpus.by_hand import DISCARD, LOCK_JOB, PROMOTE
from shared.corpus.contaminated import count_contaminated, flag_questions
from shared.corpus.upload import read_lines
from shared.errors import BadUpload, Conflict, NotFound
from shared.ids import DatasetId

MATCHES_SHOWN = 100

CREATE_DATASET = text("INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO NOTHING")
# No import, submission or other load meanwhile; admissions go on, since they only refer to the row.
HOLD_DATASET = text("SELECT id FROM dataset WHERE name = :name FOR NO KEY UPDATE")
TAKE_BACK = text("""
    DELETE FROM contamination WHERE dataset_id = :dataset_id AND benchmark = :benchmark AND cleared_at IS NULL
""")
FORGET = text("DELETE FROM contamination WHERE dataset_id = :dataset_id AND benchmark = :benchmark")
FLAGGED = text("""
    SELECT question.id, question.state FROM contamination JOIN question ON question.id = contamination.question_id
    WHERE contamination.dataset_id = :dataset_id AND benchmark = :benchmark AND cleared_at IS NULL
        AND question.state <> 'discarded'
    ORDER BY question.id
""")
FIRST_MATCHES = text("""
    SELECT question.id, question.text AS question, question.domain, question.difficulty, question.state,
        reference AS item, kind, CAST(score AS float8) AS score
    FROM contamination JOIN question ON question.id = contamination.question_id
    WHERE contamination.dataset_id = :dataset_id AND benchmark = :benchmark AND cleared_at IS NULL
    ORDER BY question.id LIMIT :limit
""")
LEFT_OUT_BY = text("""
    SELECT benchmark, count(*) AS selected FROM contamination JOIN question ON question.id = contamination.question_id
    WHERE contamination.dataset_id = :dataset_id AND cleared_at IS NULL AND question.state = 'selected'
    GROUP BY benchmark ORDER BY benchmark
""")


async def decontaminate(
    engine: AsyncEngine,
    dataset: str,
    benchmark: str,
    chunks: AsyncIterator[bytes],
    *,
    source: str | None = None,
    discard: bool = False,
) -> dict[str, Any]:
    """Flag the questions of a dataset that are like an item of this file, and refuse such candidates from now on.

    The file is JSONL or lines of text, plain or gzip, and takes the place of what was loaded under the same name. With
    `discard`, what it flags is also taken out, as by hand. Makes the dataset if it is not there.

    Raises BadUpload when the data breaks off, is a bomb or holds no question, TooLarge when it is too much, Conflict
    while an import of the dataset is under way, and whatever `chunks` raises; then nothing has changed.
    """
    file = BenchmarkFile()
    async for lines in read_lines(chunks):
        await asyncio.to_thread(file.read_lines, lines)
    if not file.items:
        first = f"; line {file.problems[0][0]}: {file.problems[0][1]}" if file.problems else ""
        raise BadUpload(f"the file holds no question{first}; nothing was loaded")
    async with engine.begin() as conn:
        await conn.execute(CREATE_DATASET, {"name": dataset})
        dataset_id = await _hold_dataset(conn, dataset)
        of_set = {"dataset_id": dataset_id, "benchmark": benchmark}
        changed = await store_benchmark(conn, dataset_id, benchmark, file.items, source=source)
        await conn.execute(TAKE_BACK, of_set)
        before = await flag_questions(conn, dataset_id, after=0)
        # What was admitted during that is compared under the lock of admission, which sees the set from then on.
        await conn.execute(LOCK_JOB, {"dataset_id": dataset_id})
        await lock_dataset(conn, dataset_id)
        late = await flag_questions(conn, dataset_id, after=before.last_id)
        discarded = await _discard_flagged(conn, of_set) if discard else 0
        counted = await count_contaminated(conn, dataset_id)
        left_out_by = {row.benchmark: row.selected for row in await conn.execute(LEFT_OUT_BY, of_set)}
        matches = (await conn.execute(FIRST_MATCHES, {**of_set, "limit": MATCHES_SHOWN})).mappings().all()
    return {
        "dataset": dataset,
        "benchmark": benchmark,
        "source": source,
        "read": file.read,
        "items": len(file.items),
        "repeats": file.repeats,
        "invalid": file.invalid,
        "problems": [{"line": line, "error": error} for line, error in file.problems],
        "fields": dict(file.fields),
        "changed": changed,
        "compared": before.compared + late.compared,
        **next(
            {"flagged": each["flagged"], "cleared": each["cleared"]}
            for each in counted["benchmarks"]
            if each["name"] == benchmark
        ),
        "discarded": discarded,
        "left_out": counted["left_out"],
        "left_out_by": left_out_by,
        "cells": counted["cells"],
        "matches": [dict(row) for row in matches],
    }


async def remove_benchmark(engine: AsyncEngine, dataset: str, benchmark: str) -> None:
    """Take a benchmark off a dataset, with its flags and what was cleared of them. Raises NotFound.

    What was refused or discarded because of it stays so.
    """
    async with engine.begin() as conn:
        dataset_id = await _hold_dataset(conn, dataset)
        if not await delete_benchmark(conn, dataset_id, benchmark):
            raise NotFound(f"dataset {dataset} has no benchmark {benchmark}")
        await conn.execute(FORGET, {"dataset_id": dataset_id, "benchmark": benchmark})


async def _hold_dataset(conn: AsyncConnection, dataset: str) -> DatasetId:
    """Raises NotFound, and Conflict after the server's limit for locks."""
    told = f"dataset {dataset} is being imported into, or another benchmark is being loaded; try again after it"
    with refuse_when_busy(Conflict(told)):
        dataset_id = (await conn.execute(HOLD_DATASET, {"name": dataset})).scalar_one_or_none()
    if dataset_id is None:
        raise NotFound(f"there is no dataset {dataset}")
    return DatasetId(dataset_id)


async def _discard_flagged(conn: AsyncConnection, of_set: dict[str, Any]) -> int:
    flagged = (await conn.execute(FLAGGED, of_set)).all()
    for row in flagged:
        await conn.execute(DISCARD, {"id": row.id})
    for row in flagged:
        if row.state == "selected":
            await conn.execute(PROMOTE, {"id": row.id})
    return len(flagged)
