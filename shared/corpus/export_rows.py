"""The rows of an export: a dataset's selected questions in the order that the same questions always have."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.results import ALL_ANSWERS, FIRST_ANSWER, FIRST_MODELS, SCORES
from shared.errors import NotFound

ROWS_PER_CHUNK = 2_000
ROWS_PER_LONG_CHUNK = 200  # each may bring answers of many models

# Only jobs of the dataset itself write verdicts and answers: without such a stage nothing needs to be looked for.
FIND = text("""
    SELECT id, order_seed, EXISTS (
        SELECT FROM job WHERE dataset_id = dataset.id AND spec -> 'stages' ?| ARRAY['validate', 'answer']
    ) AS has_results
    FROM dataset WHERE name = :name
""")
# A reader may pause for a quarter of an hour; the server's own limit is a minute.
ALLOW_SLOW_READERS = text("SET LOCAL idle_in_transaction_session_timeout = '15min'")
# In the order in which they are exported, and by those names.
_BEFORE = """
    question.id, question.text AS question, question.domain, question.difficulty, question.tags,
    question.prompt_tokens, question.tokenizer, COALESCE(question.job_id::text, 'baseline') AS source, question.model,
    question.call_id::text AS call_id, COALESCE(job.rehearsal, false) AS rehearsal, question.created_at,
    CAST(question.metadata AS text) AS metadata
"""
_BEHIND = """
    CASE WHEN question.validated THEN 'accepted' END AS verdict
"""
_CLEAN = """
    AND question.id NOT IN (
        SELECT question_id FROM contamination WHERE dataset_id = :dataset_id AND cleared_at IS NULL)
"""
_FLAGS = """
    LEFT JOIN (
        SELECT question_id, json_agg(json_build_object('benchmark', benchmark, 'item', reference, 'kind', kind,
            'score', score) ORDER BY benchmark) AS matches
        FROM contamination WHERE dataset_id = :dataset_id AND cleared_at IS NULL GROUP BY question_id
    ) AS flags ON flags.question_id = question.id
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """What an export holds besides: questions that benchmarks flag, and every answer of a question, not the first."""

    contaminated: bool = False
    all_answers: bool = False


def _statement(extent: Extent, *, has_results: bool) -> TextClause:
    """DESIGN "Order": by the keyed hash of the normalised text, so that adding rows moves none.

    The questions are put in their order before their answers are looked up, so that no sort carries those.
    """
    results = {
        "answer": "NULL",
        "answer_model": "NULL",
        "completion_tokens": "question.completion_tokens",
        "scores": "NULL",
        "answers": "CAST('[]' AS json)",
    }
    named = joins = ""
    if has_results:
        results = {
            "answer": "first.text",
            "answer_model": "first.model",
            "completion_tokens": "first.tokens",
            "scores": "judged.scores",
            "answers": "COALESCE(every.answers, '[]')",
        }
        named = f"WITH {FIRST_MODELS}"
        joins = f"{FIRST_ANSWER} {SCORES} {ALL_ANSWERS if extent.all_answers else ''}"
    more = f", {results['answers']} AS answers" if extent.all_answers else ""
    return text(f"""
        {named}
        SELECT {_BEFORE}, {results["answer"]} AS answer, {results["answer_model"]} AS answer_model,
            {results["completion_tokens"]} AS completion_tokens, {_BEHIND},
            {results["scores"]} AS scores, question.prompt_version {more}
            {", question.contaminated" if extent.contaminated else ""}
        FROM (
            SELECT question.*, sha256(int8send(:seed) || question.text_hash) AS place
                {", flags.matches AS contaminated" if extent.contaminated else ""}
            FROM question {_FLAGS if extent.contaminated else ""}
            WHERE question.dataset_id = :dataset_id AND question.state = 'selected'
                {"" if extent.contaminated else _CLEAN}
            ORDER BY place
        ) AS question
        LEFT JOIN job ON job.id = question.job_id {joins}
        ORDER BY question.place
    """)  # noqa: S608 - all parts are constants


@asynccontextmanager
async def selected_rows(
    engine: AsyncEngine, dataset: str, seed: int | None, extent: Extent
) -> AsyncIterator[AsyncIterator[Any]]:
    """Chunks of rows as they are exported. `seed` gives another order than the dataset's own. Raises NotFound."""
    async with engine.connect() as conn:
        row = (await conn.execute(FIND, {"name": dataset})).one_or_none()
        if row is None:
            raise NotFound(f"there is no dataset {dataset}")
        await conn.execute(ALLOW_SLOW_READERS)
        values = {"dataset_id": row.id, "seed": row.order_seed if seed is None else seed}
        # A server-side cursor: memory stays flat however many rows there are. Used as a context manager, `stream` would
        # leave it open when a reader stops early, and swallow the GeneratorExit.
        result = await conn.stream(_statement(extent, has_results=row.has_results), values)
        try:
            yield result.partitions(ROWS_PER_LONG_CHUNK if extent.all_answers else ROWS_PER_CHUNK)
        finally:
            await result.close()


def exported_rows(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Questions as they are exported; `metadata` is JSON text."""
    names = rows[0]._fields
    exported = [dict(zip(names, row, strict=True)) for row in rows]
    for each in exported:
        each["created_at"] = each["created_at"].astimezone(UTC)
    return exported
