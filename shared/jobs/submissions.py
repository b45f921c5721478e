"""The rows of bulk submissions: what is intended, what the provider has, what is over. Only the keeper writes them.

Each statement re-checks the state that it relies on, so that of two keepers one does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import CallState, JobState, SubmissionState
from shared.ids import BatchId, CallId, JobId, SubmissionId
from shared.jobs.reconcile import wake_reconciler
from shared.llm.ledger import Settlement, settle_calls
from shared.llm.provider import LLMReply, Outcome

UNFINISHED = text("""
SELECT bulk_submission.*, job.state AS job_state, batch.state = 'pending' AND batch.in_bulk AS is_wanted,
    clock_timestamp() - attempted_at AS since_attempt
FROM bulk_submission JOIN job ON job.id = bulk_submission.job_id JOIN batch ON batch.id = bulk_submission.batch_id
WHERE bulk_submission.state IN ('intended', 'submitted') AND job.rehearsal = :rehearsal
ORDER BY bulk_submission.id
""")
# Of jobs that are over, where nobody rehearses: a cancelled job is resumed by nobody.
LEFT_BY_REHEARSALS = text("""
SELECT bulk_submission.*, job.state AS job_state, false AS is_wanted, clock_timestamp() - attempted_at AS since_attempt
FROM bulk_submission JOIN job ON job.id = bulk_submission.job_id
WHERE bulk_submission.state IN ('intended', 'submitted') AND job.rehearsal AND job.state NOT IN ('running', 'paused')
ORDER BY bulk_submission.id
""")
WAITING = text("""
SELECT batch.id FROM batch JOIN job ON job.id = batch.job_id
WHERE batch.in_bulk AND batch.state = 'pending' AND job.state = 'running' AND job.rehearsal = :rehearsal
  AND NOT EXISTS (
    SELECT FROM bulk_submission WHERE batch_id = batch.id AND state IN ('intended', 'submitted'))
ORDER BY batch.id
""")
# Jobs that wait for other models than this process has.
FOREIGN = text("""
SELECT id FROM job WHERE state = 'running' AND rehearsal <> :rehearsal AND (
    EXISTS (SELECT FROM batch WHERE job_id = job.id AND in_bulk AND state = 'pending')
    OR EXISTS (SELECT FROM bulk_submission WHERE job_id = job.id AND state IN ('intended', 'submitted')))
ORDER BY id
""")
JOB_OF = text("SELECT job_id FROM batch WHERE id = :batch_id")
# What is looked for was intended within days: providers drop what is older, and nothing here grows with it.
KNOWN = text("""
SELECT provider_id FROM bulk_submission
WHERE provider = :provider AND provider_id IS NOT NULL AND created_at > clock_timestamp() - interval '30 days'
""")
# Given up since nobody knew them, they may have been on their way all the same; or the provider, who was asked by
# another key or at another address, has them all the same, for as long as it works on anything.
ORPHANS = text("""
SELECT id, job_id, batch_id, provider, model, state, provider_id, attempts, created_at, cancel_asked_at, detail,
    'running' AS job_state, false AS is_wanted, clock_timestamp() - attempted_at AS since_attempt
FROM bulk_submission
WHERE (state = 'withdrawn' AND provider_id IS NULL
        AND attempted_at > clock_timestamp() - make_interval(secs => :seconds)
    OR state = 'failed' AND submitted_at > clock_timestamp() - interval '1 day'
        AND EXISTS (SELECT FROM call WHERE submission_id = bulk_submission.id AND outcome = 'lost'))
  AND cancel_asked_at IS NULL AND job_id IN (SELECT id FROM job WHERE rehearsal = :rehearsal)
ORDER BY id
""")
# Whatever of ours may have been enqueued for the same model since it was handed in, or just before.
ENQUEUED_BESIDE = text("""
SELECT EXISTS (
    SELECT FROM bulk_submission AS other JOIN job ON job.id = other.job_id
    WHERE other.id <> one.id AND other.model = one.model AND job.rehearsal = :rehearsal
      AND other.attempted_at IS NOT NULL AND other.state IN ('intended', 'submitted', 'ended')
      AND COALESCE(other.ended_at > one.attempted_at - make_interval(secs => :lag_seconds), true))
FROM bulk_submission AS one WHERE id = :id
""")
CALLS = text("SELECT id, model, worst_usd, state FROM call WHERE submission_id = :id ORDER BY id")

LOCK_BATCH = text("SELECT 1 FROM batch WHERE id = :batch_id FOR NO KEY UPDATE")
ATTEMPT = text("""
UPDATE bulk_submission SET attempts = attempts + 1, attempted_at = clock_timestamp()
WHERE id = :id AND state = 'intended' AND attempted_at IS NULL
  AND EXISTS (SELECT FROM job WHERE id = bulk_submission.job_id AND state = 'running')
""")
NOT_TAKEN = text("UPDATE bulk_submission SET attempted_at = NULL WHERE id = :id AND state = 'intended'")
SUBMITTED = text("""
UPDATE bulk_submission SET state = 'submitted', provider_id = :provider_id, submitted_at = clock_timestamp(),
    detail = :detail
WHERE id = :id AND state = 'intended'
""")
IS_KEPT = text("SELECT provider_id = :provider_id FROM bulk_submission WHERE id = :id")
CANCEL_ASKED = text("""
UPDATE bulk_submission SET cancel_asked_at = clock_timestamp() WHERE id = :id AND cancel_asked_at IS NULL
""")
# As whoever ends it has seen it. Another keeper may have submitted or found it meanwhile: then its calls are with the
# provider, and hold their money until there are results.
LOCK_AS_SEEN = text("""
SELECT 1 FROM bulk_submission WHERE id = :id AND state = :was AND (attempted_at IS NULL) = :unattempted
FOR NO KEY UPDATE
""")
END = text("""
UPDATE bulk_submission SET state = :state, ended_at = clock_timestamp(), detail = :detail WHERE id = :id
""")
# To a worker, who reads the replies. Without any there is nothing to read: the keeper intends anew.
GIVE_BACK = text("""
UPDATE batch SET in_bulk = false, hinted_at = NULL
WHERE id = :batch_id AND state = 'pending' AND in_bulk
  AND NOT EXISTS (SELECT FROM bulk_submission WHERE batch_id = batch.id AND state IN ('intended', 'submitted'))
  AND (:anyway OR EXISTS (
      SELECT FROM call WHERE batch_id = batch.id AND call.state = 'ok' AND parsed_at IS NULL AND raw IS NOT NULL))
""")
# Since the last submission to the same model that was run.
REFUSED = text("""
SELECT model, COUNT(*) AS times, MAX(detail) AS detail FROM bulk_submission AS refused
WHERE batch_id = :batch_id AND state = 'failed' AND NOT EXISTS (
    SELECT FROM bulk_submission AS later WHERE later.batch_id = refused.batch_id AND later.model = refused.model
      AND later.state = 'ended' AND later.created_at > refused.created_at)
GROUP BY model
""")
PARK = text("""
UPDATE batch SET state = 'parked', reason = :reason, in_bulk = false, finished_at = clock_timestamp()
WHERE id = :batch_id AND state = 'pending' AND in_bulk
  AND NOT EXISTS (SELECT FROM bulk_submission WHERE batch_id = batch.id AND state IN ('intended', 'submitted'))
""")


@dataclass(frozen=True, slots=True)
class Submission:
    """One that is not over. `is_wanted`: its batch still waits for it."""

    id: SubmissionId
    job_id: JobId
    batch_id: BatchId
    provider: str
    model: str
    state: SubmissionState
    provider_id: str | None
    attempts: int
    created_at: datetime
    since_attempt: timedelta | None
    cancel_asked_at: datetime | None
    detail: str | None
    job_state: JobState
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A ledger row of a submission."""

    call_id: CallId
    model: str
    worst_usd: Decimal
    is_settled: bool


async def read_unfinished(conn: AsyncConnection, *, rehearsal: bool) -> list[Submission]:
    """All submissions that are not over, in the order of their intents: of jobs that rehearse, or of the others."""
    return _submissions((await conn.execute(UNFINISHED, {"rehearsal": rehearsal})).all())


async def read_left_by_rehearsals(conn: AsyncConnection) -> list[Submission]:
    """Those that are not over although their jobs, which rehearsed, are."""
    return _submissions((await conn.execute(LEFT_BY_REHEARSALS)).all())


async def read_orphans(conn: AsyncConnection, *, seconds: float, rehearsal: bool) -> list[Submission]:
    """Those that a provider may have after all: withdrawn within the last `seconds`, or lost within its day."""
    return _submissions((await conn.execute(ORPHANS, {"seconds": seconds, "rehearsal": rehearsal})).all())


def _submissions(rows: Sequence[Any]) -> list[Submission]:
    return [
        Submission(
            SubmissionId(row.id),
            JobId(row.job_id),
            BatchId(row.batch_id),
            row.provider,
            row.model,
            SubmissionState(row.state),
            row.provider_id,
            row.attempts,
            row.created_at,
            row.since_attempt,
            row.cancel_asked_at,
            row.detail,
            JobState(row.job_state),
            row.is_wanted,
        )
        for row in rows
    ]


async def read_waiting_batches(conn: AsyncConnection, *, rehearsal: bool) -> list[BatchId]:
    """Batches of running jobs whose calls are to be submitted."""
    return [BatchId(batch_id) for batch_id in (await conn.execute(WAITING, {"rehearsal": rehearsal})).scalars()]


async def read_foreign_jobs(conn: AsyncConnection, *, rehearsal: bool) -> list[JobId]:
    """Running jobs in bulk mode that rehearse where the caller does not, or the other way round."""
    return [JobId(job_id) for job_id in (await conn.execute(FOREIGN, {"rehearsal": rehearsal})).scalars()]


async def read_job_of(conn: AsyncConnection, batch_id: BatchId) -> JobId:
    """The job of a batch that is there."""
    return JobId((await conn.execute(JOB_OF, {"batch_id": batch_id})).scalar_one())


async def read_known(conn: AsyncConnection, provider: str) -> set[str]:
    """The provider's ids of all submissions of ours."""
    return set((await conn.execute(KNOWN, {"provider": provider})).scalars())


async def read_enqueued_beside(
    conn: AsyncConnection, submission_id: SubmissionId, *, lag_seconds: float, rehearsal: bool
) -> bool:
    """Whether others of ours may have taken the room for its model; what has ended counts for `lag_seconds` more."""
    values = {"id": submission_id, "lag_seconds": lag_seconds, "rehearsal": rehearsal}
    return bool((await conn.execute(ENQUEUED_BESIDE, values)).scalar_one())


async def read_calls(conn: AsyncConnection, submission_id: SubmissionId) -> dict[CallId, OpenCall]:
    """The calls of a submission."""
    rows = await conn.execute(CALLS, {"id": submission_id})
    return {
        CallId(row.id): OpenCall(CallId(row.id), row.model, row.worst_usd, row.state != CallState.SENT) for row in rows
    }


async def read_refusals(conn: AsyncConnection, batch_id: BatchId) -> dict[str, tuple[int, str]]:
    """By model, how often in a row submissions of the batch were refused as a whole, and what was said."""
    return {row.model: (row.times, row.detail) for row in await conn.execute(REFUSED, {"batch_id": batch_id})}


async def note_attempt(conn: AsyncConnection, submission_id: SubmissionId) -> bool:
    """Note that the provider may have it from now on. False when it is not to be submitted (any more)."""
    return (await conn.execute(ATTEMPT, {"id": submission_id})).rowcount == 1


async def note_not_taken(conn: AsyncConnection, submission_id: SubmissionId) -> None:
    """Note that the provider said no, so that it surely does not have it."""
    await conn.execute(NOT_TAKEN, {"id": submission_id})


async def note_submitted(
    conn: AsyncConnection, submission_id: SubmissionId, provider_id: str, detail: str | None
) -> bool:
    """Keep the provider's id. False when the submission is not ours to keep: it was given up or has another one."""
    values = {"id": submission_id, "provider_id": provider_id, "detail": detail}
    await conn.execute(SUBMITTED, values)
    return bool((await conn.execute(IS_KEPT, values)).scalar_one_or_none())


async def note_cancel(conn: AsyncConnection, submission_id: SubmissionId) -> None:
    """Note that the provider was asked to run no more of it."""
    await conn.execute(CANCEL_ASKED, {"id": submission_id})


async def _settle_rest(conn: AsyncConnection, submission_id: SubmissionId, outcome: Outcome, detail: str) -> None:
    rest = [each for each in (await read_calls(conn, submission_id)).values() if not each.is_settled]
    free = Decimal(0)
    settlements = [
        Settlement(each.call_id, LLMReply(outcome, detail=detail), each.worst_usd if outcome.maybe_paid else free)
        for each in rest
    ]
    await settle_calls(conn, settlements)


async def end_submission(
    conn: AsyncConnection,
    submission: Submission,
    state: SubmissionState,
    detail: str | None,
    *,
    rest: Outcome,
    why: str,
) -> bool:
    """Be done with it; its batch goes to a worker when nothing of it is out and there is something to read.

    Calls without a result end with `rest` and `why`: they cost nothing, unless that may have been paid. False, and
    nothing is written, when the submission is not what it was when it was read.
    """
    names = {"id": submission.id, "batch_id": submission.batch_id}
    await conn.execute(LOCK_BATCH, names)
    seen = {"was": submission.state, "unattempted": submission.since_attempt is None}
    if (await conn.execute(LOCK_AS_SEEN, {**names, **seen})).one_or_none() is None:
        return False
    await _settle_rest(conn, submission.id, rest, why)
    await conn.execute(END, {**names, "state": state, "detail": detail})
    await conn.execute(GIVE_BACK, {**names, "anyway": state is SubmissionState.ENDED})
    await wake_reconciler(conn)
    return True


async def give_back(conn: AsyncConnection, batch_id: BatchId) -> None:
    """Leave a batch of which nothing is out to a worker."""
    await conn.execute(GIVE_BACK, {"batch_id": batch_id, "anyway": True})
    await wake_reconciler(conn)


async def park_in_bulk(conn: AsyncConnection, batch_id: BatchId, reason: str) -> None:
    """Give a batch up whose submissions are refused."""
    await conn.execute(PARK, {"batch_id": batch_id, "reason": reason})
    await wake_reconciler(conn)
