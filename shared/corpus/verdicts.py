"""Take in what judges say: every verdict is kept, and a question is accepted when more than half of them accept it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.at_hand import Origin, Outcome, reject, wanted_slots
from shared.corpus.stages import StageTerms
from shared.database.parameters import json_rows
from shared.ids import QuestionId
from shared.questions.judging import CRITERIA, Verdict, failed_criteria

INSERT = text("""
INSERT INTO verdict (question_id, model, prompt_version, vote, accepted, scores, reason, job_id, batch_id, call_id,
    fence)
SELECT question_id, model, prompt_version, number, accepted, scores, reason, job_id, batch_id, call_id, fence
FROM json_to_recordset(CAST(:verdicts AS json)) AS told (
    question_id bigint, model text, prompt_version text, number int, accepted boolean, scores jsonb, reason text,
    job_id uuid, batch_id uuid, call_id uuid, fence int)
ON CONFLICT DO NOTHING
""")
# Of each vote the newest verdict counts: prompts may have changed since. Once a question is accepted, perhaps by a
# person who overruled its judges, nothing that comes late is counted. Scores count by the measure of this job, whatever
# the one had that asked for them.
VOTES = text("""
SELECT question_id, COUNT(*) AS votes, COUNT(*) FILTER (WHERE accepted) AS accepting,
    (array_agg(scores) FILTER (WHERE NOT accepted)) [1] AS scores,
    (array_agg(reason) FILTER (WHERE NOT accepted)) [1] AS reason
FROM (
    SELECT DISTINCT ON (question_id, verdict.vote) question_id, scores, reason,
        (SELECT bool_and(score.value::int >= :least) FROM jsonb_each_text(scores) AS score) AS accepted
    FROM verdict
    JOIN unnest(CAST(:models AS text[]), CAST(:numbers AS int[])) AS wanted (model, vote)
        ON verdict.model = wanted.model AND verdict.vote = wanted.vote
    WHERE question_id IN (SELECT id FROM question WHERE id = ANY (CAST(:ids AS bigint[])) AND NOT validated)
    ORDER BY question_id, verdict.vote, created_at DESC) AS newest
GROUP BY question_id HAVING COUNT(*) = cardinality(CAST(:numbers AS int[]))
""")
ACCEPT = text("""
UPDATE question SET validated = true, tries = 0
WHERE id = ANY (CAST(:ids AS bigint[])) AND state IN ('selected', 'reserve') AND NOT validated
RETURNING id
""")
# As a person reads them, and as rejections are counted.
FAILINGS = dict(
    zip(
        CRITERIA,
        ("not clear", "not self-contained", "not answerable", "wrong domain", "wrong difficulty", "not safe"),
        strict=True,
    )
)


async def store_verdicts(
    conn: AsyncConnection, told: Sequence[tuple[Origin, Mapping[QuestionId, Verdict], int]]
) -> None:
    """Keep the verdicts of several replies, each with the least score that accepts; what is there already stays."""
    rows = [
        {
            **origin.values(),
            "question_id": question_id,
            "accepted": not failed_criteria(verdict, least),
            "scores": dict(verdict.scores),
            "reason": verdict.reason,
        }
        for origin, verdicts, least in told
        for question_id, verdict in verdicts.items()
    ]
    await conn.execute(INSERT, {"verdicts": json_rows(rows)})


async def count_votes(conn: AsyncConnection, question_ids: list[QuestionId], terms: StageTerms) -> Outcome:
    """Accept or reject the questions that have all their votes."""
    values = {"ids": question_ids, "least": terms.least, **wanted_slots(terms.slots)}
    accepted: list[QuestionId] = []
    reasons: dict[QuestionId, str] = {}
    counted: dict[QuestionId, str] = {}
    for row in await conn.execute(VOTES, values):
        if 2 * row.accepting > row.votes:
            accepted.append(QuestionId(row.question_id))
            continue
        failed = failed_criteria(Verdict(row.scores, row.reason), terms.least)
        votes = f" ({row.votes - row.accepting} of {row.votes} judges)" if row.votes > 1 else ""
        told = f": {row.reason}" if row.reason else ""
        counted[QuestionId(row.question_id)] = FAILINGS[failed[0]]
        reasons[QuestionId(row.question_id)] = f"{', '.join(FAILINGS[each] for each in failed)}{votes}{told}"
    passed = (await conn.execute(ACCEPT, {"ids": accepted})).scalars() if accepted else ()
    rejected = await reject(conn, reasons) if reasons else set()
    return Outcome(passed=set(passed), rejected={each: counted[each] for each in rejected})
