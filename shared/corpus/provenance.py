"""Where a question comes from: the call that brought it, what judges said of it, and its answers."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.question_rows import find_question
from shared.ids import QuestionId

# NULL once a job's ledger is archived; the raw reply may go before.
CALL = text("""
    SELECT id, job_id, batch_id, stage, model, prompt, state, outcome, detail, finish_reason, request_id, raw,
        raw_pruned_at, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd, sent_at, settled_at,
        parsed_at, generated, admitted
    FROM call WHERE id = (SELECT call_id FROM question WHERE id = :id)
""")
_OF_CALL = "call.cost_usd, jsonb_array_length(call.prompt -> 'question_ids') AS call_questions"
VERDICTS = text(f"""
    SELECT verdict.model, vote, scores, accepted, reason, prompt_version, call_id, verdict.job_id, created_at,
        {_OF_CALL}
    FROM verdict LEFT JOIN call ON call.id = verdict.call_id
    WHERE question_id = :id ORDER BY vote, created_at, verdict.model, prompt_version
""")  # noqa: S608 - a constant
ANSWERS = text(f"""
    SELECT answer.model, sample, text, tokens, checked, prompt_version, call_id, answer.job_id, created_at, {_OF_CALL}
    FROM answer LEFT JOIN call ON call.id = answer.call_id
    WHERE question_id = :id ORDER BY sample, created_at, answer.model, prompt_version
""")  # noqa: S608 - a constant


async def read_provenance(engine: AsyncEngine, question_id: QuestionId) -> dict[str, Any]:
    """A question with all that is kept of how it came about. Raises NotFound.

    `cost_usd` is that of a whole call, which was about `call_questions` questions.
    """
    async with engine.connect() as conn:
        question = await find_question(conn, question_id)
        call = (await conn.execute(CALL, {"id": question_id})).mappings().one_or_none()
        verdicts = (await conn.execute(VERDICTS, {"id": question_id})).mappings()
        answers = (await conn.execute(ANSWERS, {"id": question_id})).mappings()
        return {
            **question,
            "call": call and dict(call),
            "verdicts": [dict(each) for each in verdicts],
            "answers": [dict(each) for each in answers],
        }
