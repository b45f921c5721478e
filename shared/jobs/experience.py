"""What calls like those of a job have taken, from the ledger: the forecast learns from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import Stage
from shared.ids import JobId
from shared.planning.forecast import CallEstimate

# With fewer calls than this chance would speak.
LEAST_CALLS = 10
# So many jobs that are alike, of so many looked at: each look reads a whole spec, 25 us.
MOST_JOBS = 20
NEWEST_JOBS = 1_000

# Jobs are alike in a stage and difficulty when the same models are asked as often, about as many questions at once, of
# the same length. What `results` counts: questions admitted, judged or answered.
SPENT = text("""
SELECT stage, difficulty, SUM(calls)::bigint AS calls, SUM(input_tokens)::bigint AS input_tokens,
    SUM(output_tokens)::bigint AS output_tokens, SUM(pico_usd)::bigint AS pico_usd
FROM call_count WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND state <> 'sent' GROUP BY 1, 2
""")
RESULTS = text("""
SELECT stage, difficulty, SUM(n)::bigint AS n FROM batch_count
WHERE job_id = ANY (CAST(:job_ids AS uuid[]))
  AND what = CASE stage WHEN 'validate' THEN 'generated' ELSE 'admitted' END
GROUP BY 1, 2
""")
ALIKE = text("""
SELECT array_agg(id) FROM (
    SELECT id FROM (
        SELECT id, spec FROM job WHERE rehearsal = :rehearsal ORDER BY id DESC LIMIT :newest) AS job
    WHERE spec -> 'models' -> CAST(:stage AS text) -> CAST(:difficulty AS text)
            = CAST(:models AS jsonb)
      AND spec -> 'mix' -> 'difficulties' -> CAST(:difficulty AS text) = CAST(:described AS jsonb)
      AND CASE CAST(:stage AS text) WHEN 'generate' THEN spec -> 'questions_per_call'
          WHEN 'validate' THEN spec -> 'judging' -> 'questions_per_call'
          ELSE spec -> 'answering' -> 'questions_per_call' END -> CAST(:difficulty AS text) = CAST(:per_call AS jsonb)
      AND CASE CAST(:stage AS text) WHEN 'generate' THEN '1'
          WHEN 'validate' THEN spec -> 'judging' ->> 'votes'
          ELSE spec -> 'answering' ->> 'samples' END = :times
    ORDER BY id DESC LIMIT :most) AS latest
""")


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls of a stage and difficulty took and brought."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    results: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            self.results + other.results,
        )

    def estimate(self, models: int) -> CallEstimate | None:
        """What one more call will take, of a stage that asks so many models about each question; None if unknown."""
        if self.calls < LEAST_CALLS or not self.results:
            return None
        return CallEstimate(
            results=Decimal(self.results * models) / self.calls,
            input_tokens=ceil(self.input_tokens / self.calls),
            output_tokens=ceil(self.output_tokens / self.calls),
        )


async def spent_by_stage(conn: AsyncConnection, job_ids: Sequence[JobId]) -> dict[tuple[Stage, str], Spent]:
    """What these jobs have spent, by stage and difficulty."""
    values = {"job_ids": list(job_ids)}
    results = {(row.stage, row.difficulty): row.n for row in await conn.execute(RESULTS, values)}
    return {
        (Stage(row.stage), row.difficulty): Spent(
            row.calls,
            row.input_tokens,
            row.output_tokens,
            Decimal(row.pico_usd).scaleb(-12),
            results.get((row.stage, row.difficulty), 0),
        )
        for row in await conn.execute(SPENT, values)
    }


async def experience_of(
    conn: AsyncConnection, spec: Mapping[str, Any], *, rehearsal: bool
) -> dict[tuple[Stage, str], Spent]:
    """What jobs like this one have spent before, where there were any; `spec` as it is stored, nothing left open."""
    known: dict[tuple[Stage, str], Spent] = {}
    times = {
        Stage.GENERATE: 1,
        Stage.VALIDATE: spec["judging"]["votes"],
        Stage.ANSWER: spec["answering"]["samples"],
    }
    per_call = {
        Stage.GENERATE: spec["questions_per_call"],
        Stage.VALIDATE: spec["judging"]["questions_per_call"],
        Stage.ANSWER: spec["answering"]["questions_per_call"],
    }
    for stage in map(Stage, spec["stages"]):
        for difficulty, described in spec["mix"]["difficulties"].items():
            values = {
                "rehearsal": rehearsal,
                "stage": stage,
                "difficulty": difficulty,
                "models": orjson.dumps(spec["models"][stage][difficulty]).decode(),
                "described": orjson.dumps(described).decode(),
                "times": str(times[stage]),
                "per_call": orjson.dumps(per_call[stage][difficulty]).decode(),
                "most": MOST_JOBS,
                "newest": NEWEST_JOBS,
            }
            if job_ids := (await conn.execute(ALIKE, values)).scalar_one():
                spent = await spent_by_stage(conn, [JobId(each) for each in job_ids])
                if (stage, difficulty) in spent:
                    known[stage, difficulty] = spent[stage, difficulty]
    return known
