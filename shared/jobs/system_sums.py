"""What the whole system holds and has done, for who watches it: sums only, never a row of finished work. Promise 8."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.states import BatchState, IncidentKind, JobState, NotificationState, QuestionState, Stage
from shared.jobs.system_health import SystemHealth, read_system_health
from shared.jobs.worker_reports import SeenWorker, read_reports

OPEN_STATES = ("pending", "in_bulk", "leased", "expired")
ENDED_STATES = (BatchState.DONE, BatchState.PARKED, BatchState.DROPPED)

JOBS = text("SELECT state, COUNT(*) AS n FROM job GROUP BY 1")
# An expired lease is told apart: its batch waits for another worker, and nobody works on it.
OPEN_BATCHES = text("""
SELECT stage, CASE WHEN in_bulk THEN 'in_bulk' WHEN lease_until < clock_timestamp() THEN 'expired' ELSE state END
    AS state, COUNT(*) AS n
FROM batch WHERE state IN ('pending', 'leased') GROUP BY 1, 2
""")
# What open batches have found so far is in their rows, of which few were ever claimed.
BATCHES = text(
    "SELECT stage, what, name, SUM(n)::bigint AS n FROM batch_count WHERE what <> 'repaired' GROUP BY 1, 2, 3"
)
CALLS = text("""
SELECT model, stage, state, outcome, SUM(calls)::bigint AS calls, SUM(input_tokens)::bigint AS input_tokens,
    SUM(output_tokens)::bigint AS output_tokens, SUM(pico_usd) AS pico_usd
FROM call_count GROUP BY 1, 2, 3, 4
""")
QUESTIONS = text("""
SELECT state, SUM(questions)::bigint AS questions, SUM(validated)::bigint AS validated,
    SUM(answered)::bigint AS answered
FROM question_count GROUP BY 1
""")
INCIDENTS = text("SELECT kind, COUNT(*) AS n FROM incident GROUP BY 1")
MONEY = text("""
SELECT COALESCE(SUM(budget_usd), 0) AS budget, COALESCE(SUM(spent_usd), 0) AS spent, COALESCE(SUM(held_usd), 0) AS held
FROM job_budget JOIN job ON job.id = job_budget.job_id WHERE job.state IN ('running', 'paused')
""")
SUBMISSIONS = text("""
SELECT state, COUNT(*) AS n FROM bulk_submission WHERE state IN ('intended', 'submitted') GROUP BY 1
""")
NOTIFICATIONS = text("SELECT state, COUNT(*) AS n FROM notification GROUP BY 1")


@dataclass(frozen=True, slots=True)
class CallSum:
    """The settled calls of one model and stage that ended alike, or those in flight."""

    model: str
    stage: str
    outcome: str
    in_flight: bool
    calls: int
    input_tokens: int
    output_tokens: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class SystemSums:
    """One moment of the whole system. Keys are named by the fields' comments."""

    jobs: Mapping[str, int]  # by state
    open_batches: Mapping[tuple[str, str], int]  # by stage and state: pending, in_bulk, leased, expired
    ended_batches: Mapping[tuple[str, str], int]  # by stage and state
    generated: Mapping[str, int]  # by stage
    admitted: Mapping[str, int]  # by stage
    rejected: Mapping[tuple[str, str], int]  # by stage and reason
    calls: Sequence[CallSum]
    questions: Mapping[str, int]  # by state
    validated: int
    answered: int
    incidents: Mapping[str, int]  # by kind
    money: Mapping[str, Decimal]  # budget, spent and held of unfinished jobs
    submissions: Mapping[str, int]  # by state, unfinished ones
    notifications: Mapping[str, int]  # by state
    health: SystemHealth
    workers: Sequence[SeenWorker] = field(default=())


async def read_system_sums(engine: AsyncEngine) -> SystemSums:
    """Everything at one moment, in time that does not grow with the work that is finished."""
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        jobs = await _by(conn, JOBS, JobState)
        open_batches = _by_stage(OPEN_STATES)
        open_batches |= {(row.stage, row.state): int(row.n) for row in await conn.execute(OPEN_BATCHES)}
        ended, generated, admitted, rejected = await _batches(conn)
        calls = [_call_sum(row) for row in await conn.execute(CALLS)]
        questions = (await conn.execute(QUESTIONS)).all()
        money = (await conn.execute(MONEY)).mappings().one()
        return SystemSums(
            jobs=jobs,
            open_batches=open_batches,
            ended_batches=ended,
            generated=generated,
            admitted=admitted,
            rejected=rejected,
            calls=calls,
            questions=dict.fromkeys(map(str, QuestionState), 0) | {row.state: row.questions for row in questions},
            validated=sum(row.validated for row in questions),
            answered=sum(row.answered for row in questions),
            incidents=await _by(conn, INCIDENTS, IncidentKind),
            money=dict(money),
            submissions={"intended": 0, "submitted": 0} | await _by(conn, SUBMISSIONS, ()),
            notifications=await _by(conn, NOTIFICATIONS, NotificationState),
            health=await read_system_health(conn),
            workers=await read_reports(conn),
        )


async def _by(conn: AsyncConnection, statement: Any, known: Any) -> dict[str, int]:
    """Counts by name; what there is none of is 0, so that a series is there before the first."""
    counts = {str(each): 0 for each in known}
    return counts | {row[0]: int(row.n) for row in await conn.execute(statement)}


def _by_stage(states: Iterable[str]) -> dict[tuple[str, str], int]:
    return {(str(stage), str(state)): 0 for stage in Stage for state in states}


async def _batches(
    conn: AsyncConnection,
) -> tuple[dict[tuple[str, str], int], dict[str, int], dict[str, int], dict[tuple[str, str], int]]:
    ended = _by_stage(ENDED_STATES)
    rejected: dict[tuple[str, str], int] = {}
    judged = {what: dict.fromkeys(map(str, Stage), 0) for what in ("generated", "admitted")}
    for row in await conn.execute(BATCHES):
        if row.what == "batches":
            if row.name in ENDED_STATES:
                ended[row.stage, row.name] = row.n
        elif row.what == "rejected":
            rejected[row.stage, row.name] = row.n
        else:
            judged[row.what][row.stage] = row.n
    return ended, judged["generated"], judged["admitted"], rejected


def _call_sum(row: Any) -> CallSum:
    return CallSum(
        row.model,
        row.stage,
        row.outcome,
        row.state == "sent",
        row.calls,
        row.input_tokens,
        row.output_tokens,
        Decimal(row.pico_usd).scaleb(-12),
    )
