"""Take in answers: one for each question, model, prompt version and sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.at_hand import Origin, Outcome, wanted_slots
from shared.corpus.stages import StageTerms
from shared.database.parameters import json_rows
from shared.ids import QuestionId
from shared.questions.answer_checks import AnswerCheck

INSERT = text("""
INSERT INTO answer (question_id, model, prompt_version, sample, text, tokens, checked, job_id, batch_id, call_id, fence)
SELECT question_id, model, prompt_version, number, text, tokens, checked, job_id, batch_id, call_id, fence
FROM json_to_recordset(CAST(:answers AS json)) AS told (
    question_id bigint, model text, prompt_version text, number int, text text, tokens int, checked jsonb,
    job_id uuid, batch_id uuid, call_id uuid, fence int)
ON CONFLICT DO NOTHING
""")
# What a trainer sees of a question is its first answer: the first model's first sample, the newest of several.
COMPLETE = text("""
UPDATE question SET answered = true, completion_tokens = first.tokens, tries = 0
FROM (
    SELECT question_id FROM answer
    JOIN unnest(CAST(:models AS text[]), CAST(:numbers AS int[])) AS wanted (model, sample)
        ON answer.model = wanted.model AND answer.sample = wanted.sample
    WHERE question_id = ANY (CAST(:ids AS bigint[]))
    GROUP BY question_id HAVING COUNT(DISTINCT (wanted.model, wanted.sample)) = cardinality(CAST(:numbers AS int[]))
) AS whole
CROSS JOIN LATERAL (
    SELECT tokens FROM answer WHERE answer.question_id = whole.question_id AND model = :first_model
      AND sample = :first_sample ORDER BY created_at DESC LIMIT 1) AS first
WHERE question.id = whole.question_id AND question.state IN ('selected', 'reserve') AND NOT question.answered
RETURNING question.id
""")


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer with its tokens, and what a check of it found, where it can be checked."""

    text: str
    tokens: int
    check: AnswerCheck | None = None


async def store_answers(conn: AsyncConnection, told: Sequence[tuple[Origin, Mapping[QuestionId, NewAnswer]]]) -> None:
    """Keep the answers of several replies; what is there already stays."""
    rows = [
        {
            **origin.values(),
            "question_id": question_id,
            "text": answer.text,
            "tokens": answer.tokens,
            "checked": answer.check and {"name": answer.check.name, "detail": answer.check.detail},
        }
        for origin, answers in told
        for question_id, answer in answers.items()
    ]
    await conn.execute(INSERT, {"answers": json_rows(rows)})


async def complete_questions(conn: AsyncConnection, question_ids: list[QuestionId], terms: StageTerms) -> Outcome:
    """Mark those as answered that have every answer which is wanted."""
    first = terms.slots[0]
    values = {"ids": question_ids, "first_model": first.model, "first_sample": first.number}
    done = await conn.execute(COMPLETE, {**values, **wanted_slots(terms.slots)})
    return Outcome(passed=set(done.scalars()))
