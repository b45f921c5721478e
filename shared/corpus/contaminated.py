"""The questions of a dataset that are like a benchmark's: flag them, show them, clear a false alarm."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.benchmarks import find_matches
from shared.corpus.contamination import Match
from shared.corpus.find_dataset import find_dataset
from shared.corpus.grams import Trace, trace
from shared.database.parameters import json_rows
from shared.errors import Conflict, NotFound
from shared.ids import DatasetId, QuestionId

# What is compared together: two statements for so many, and a bounded piece of the dataset in memory.
QUESTIONS_AT_ONCE = 500
CHARACTERS_AT_ONCE = 2_000_000

# One text at least, and no more after so many characters.
NEXT_QUESTIONS = text("""
    SELECT id, text FROM (
        SELECT id, text, sum(char_length(text)) OVER (ORDER BY id) - char_length(text) AS characters_before FROM (
            SELECT id, text FROM question WHERE dataset_id = :dataset_id AND id > :after ORDER BY id LIMIT :limit
        ) AS page
    ) AS measured
    WHERE characters_before < :most_characters ORDER BY id
""")
# A person's word stands, and the first flag of a set; a set that is loaded anew takes back its own before.
INSERT_FLAGS = text("""
    INSERT INTO contamination (question_id, benchmark, dataset_id, reference, kind, score)
    SELECT question_id, benchmark, :dataset_id, reference, kind, score
    FROM json_to_recordset(CAST(:rows AS json)) AS fresh (
        question_id bigint, benchmark text, reference text, kind text, score numeric)
    ON CONFLICT (question_id, benchmark) DO NOTHING
""")
BROWSE = text("""
    SELECT question.id, question.text AS question, question.domain, question.difficulty, question.state,
        COALESCE(question.job_id::text, 'baseline') AS source, flags.matches
    FROM (
        SELECT question_id, json_agg(json_build_object('benchmark', benchmark, 'item', reference, 'kind', kind,
            'score', score, 'cleared_at', cleared_at) ORDER BY benchmark) AS matches
        FROM contamination
        WHERE dataset_id = :dataset_id AND question_id > :after
            AND (cleared_at IS NOT NULL) = :cleared
            AND (CAST(:benchmark AS text) IS NULL OR benchmark = :benchmark)
        GROUP BY question_id ORDER BY question_id LIMIT :limit
    ) AS flags
    JOIN question ON question.id = flags.question_id
    ORDER BY question.id
""")
IS_QUESTION = text("SELECT EXISTS (SELECT FROM question WHERE id = :id)")
CLEAR = text("UPDATE contamination SET cleared_at = now() WHERE question_id = :id AND cleared_at IS NULL")
FLAG_AGAIN = text("UPDATE contamination SET cleared_at = NULL WHERE question_id = :id AND cleared_at IS NOT NULL")
READ = text("""
    SELECT question.id, question.text AS question, question.domain, question.difficulty, question.state,
        (SELECT json_agg(json_build_object('benchmark', benchmark, 'item', reference, 'kind', kind,
            'score', score, 'cleared_at', cleared_at) ORDER BY benchmark)
        FROM contamination WHERE question_id = question.id) AS matches
    FROM question WHERE question.id = :id
""")
BENCHMARKS = text("SELECT name, source, items, loaded_at FROM benchmark WHERE dataset_id = :dataset_id ORDER BY name")
BY_KIND = text("""
    SELECT benchmark, kind, count(*) FILTER (WHERE cleared_at IS NULL) AS flagged,
        count(*) FILTER (WHERE cleared_at IS NOT NULL) AS cleared
    FROM contamination WHERE dataset_id = :dataset_id GROUP BY benchmark, kind ORDER BY benchmark, kind
""")
# Reads the flagged questions only. Of a question that several sets flag, one counts.
BY_CELL = text("""
    SELECT question.domain, question.difficulty,
        count(*) FILTER (WHERE question.state = 'selected') AS selected,
        count(*) FILTER (WHERE question.state = 'reserve') AS reserve,
        count(*) FILTER (WHERE question.state = 'discarded') AS discarded,
        count(*) FILTER (WHERE question.state = 'rejected') AS rejected
    FROM (
        SELECT DISTINCT question_id FROM contamination WHERE dataset_id = :dataset_id AND cleared_at IS NULL
    ) AS flagged
    JOIN question ON question.id = flagged.question_id
    GROUP BY question.domain, question.difficulty ORDER BY question.domain, question.difficulty
""")


@dataclass(frozen=True, slots=True)
class Compared:
    """How many questions were compared with the benchmarks, how many of them are like an item, and the last id."""

    compared: int
    flagged: int
    last_id: int


async def flag_questions(conn: AsyncConnection, dataset_id: DatasetId, *, after: int) -> Compared:
    """Compare the questions behind this id with all benchmarks of the dataset, and flag those that are like one.

    In memory is a piece of the dataset at a time.
    """
    compared = flagged = 0
    while True:
        limits = {"limit": QUESTIONS_AT_ONCE, "most_characters": CHARACTERS_AT_ONCE}
        rows = (await conn.execute(NEXT_QUESTIONS, {"dataset_id": dataset_id, "after": after, **limits})).all()
        if not rows:
            return Compared(compared, flagged, after)
        traces = await asyncio.to_thread(_trace_all, [row.text for row in rows])
        matches = await find_matches(conn, dataset_id, traces)
        flags = [_flag(row.id, each) for row, its in zip(rows, matches, strict=True) for each in its]
        if flags:
            await conn.execute(INSERT_FLAGS, {"dataset_id": dataset_id, "rows": json_rows(flags)})
        compared += len(rows)
        flagged += sum(map(bool, matches))
        after = rows[-1].id


async def browse_contaminated(
    engine: AsyncEngine, name: str, *, benchmark: str | None, cleared: bool, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """Flagged questions with what they match, or the cleared ones, in the order of their ids. Raises NotFound."""
    async with engine.connect() as conn:
        dataset_id = await find_dataset(conn, name)
        wanted = {"benchmark": benchmark, "cleared": cleared, "after": after or 0, "limit": limit}
        rows = await conn.execute(BROWSE, {"dataset_id": dataset_id, **wanted})
        return [dict(row) for row in rows.mappings()]


async def clear_question(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Say that what a question was flagged for is a false alarm: it is exported again, and no set of these names flags
    it again. Raises NotFound, or Conflict when nothing flags it.
    """
    async with engine.begin() as conn:
        if (await conn.execute(CLEAR, {"id": question_id})).rowcount == 0:
            await _refuse(conn, question_id, "is not flagged")
        return dict((await conn.execute(READ, {"id": question_id})).mappings().one())


async def flag_again(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """Take a clearance back. Raises NotFound, or Conflict when there is none."""
    async with engine.begin() as conn:
        if (await conn.execute(FLAG_AGAIN, {"id": question_id})).rowcount == 0:
            await _refuse(conn, question_id, "was not cleared")
        return dict((await conn.execute(READ, {"id": question_id})).mappings().one())


async def count_contaminated(conn: AsyncConnection, dataset_id: DatasetId) -> dict[str, Any]:
    """The benchmarks of a dataset with what each flags by kind, and the flagged questions by cell and state.

    `left_out` is how many selected questions an export leaves out.
    """
    loaded = (await conn.execute(BENCHMARKS, {"dataset_id": dataset_id})).mappings().all()
    if not loaded:
        return {"left_out": 0, "benchmarks": [], "cells": []}
    flagged: dict[str, dict[str, int]] = defaultdict(dict)
    cleared: dict[str, int] = defaultdict(int)
    for row in await conn.execute(BY_KIND, {"dataset_id": dataset_id}):
        if row.flagged:
            flagged[row.benchmark][row.kind] = row.flagged
        cleared[row.benchmark] += row.cleared
    cells = [dict(row) for row in (await conn.execute(BY_CELL, {"dataset_id": dataset_id})).mappings()]
    return {
        "left_out": sum(cell["selected"] for cell in cells),
        "benchmarks": [{**each, "flagged": flagged[each["name"]], "cleared": cleared[each["name"]]} for each in loaded],
        "cells": cells,
    }


async def _refuse(conn: AsyncConnection, question_id: QuestionId, why: str) -> None:
    if not (await conn.execute(IS_QUESTION, {"id": question_id})).scalar_one():
        raise NotFound(f"there is no question {question_id}")
    raise Conflict(f"question {question_id} {why}")


def _trace_all(texts: Sequence[str]) -> list[Trace]:
    return [trace(each) for each in texts]


def _flag(question_id: int, its: Match) -> dict[str, Any]:
    return {
        "question_id": question_id,
        "benchmark": its.benchmark,
        "reference": its.reference,
        "kind": its.kind,
        "score": str(round(its.score, 3)),
    }
