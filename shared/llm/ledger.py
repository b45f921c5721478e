"""The ledger: a row and a hold on the budget before each call, its raw reply and true cost after.

Each writing function is one statement, so it is whole or not at all, also on a connection in autocommit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import Hold
from shared.database.states import CallState, JobState
from shared.errors import BudgetExhausted, FencedOff, JobNotRunning, LeaseLapsed
from shared.ids import BatchId, CallId
from shared.llm.budget import read_budget
from shared.llm.models import split_model
from shared.llm.provider import LLMReply, Outcome
from shared.llm.reading import read_reply

# Promise 5: the budget row is re-read by its own UPDATE, so racing openers queue on it and none gets past the wall.
# The call's own id keeps a repeat after an unknown commit from a second effect. FAULTS 18.
OPEN_CALL = text("""
    WITH holder AS (
        SELECT FROM batch JOIN job ON job.id = batch.job_id
        WHERE batch.id = :batch_id AND batch.fence = :fence AND batch.state = 'leased'
          AND batch.lease_until > clock_timestamp() AND job.state = 'running'
    ), wall AS (
        UPDATE job_budget SET held_usd = held_usd + :worst_usd
        WHERE job_id = :job_id AND spent_usd + held_usd + :worst_usd <= budget_usd
          AND EXISTS (SELECT FROM holder) AND NOT EXISTS (SELECT FROM call WHERE id = :call_id)
        RETURNING job_id
    )
    INSERT INTO call (id, job_id, batch_id, ordinal, attempt, fence, model, prompt, worst_usd)
    SELECT :call_id, job_id, :batch_id, :ordinal,
           (SELECT COALESCE(MAX(attempt), 0) + 1 FROM call WHERE batch_id = :batch_id AND ordinal = :ordinal),
           :fence, :model, CAST(:prompt AS jsonb), :worst_usd
    FROM wall
    RETURNING attempt
""")

WHY_NOT_OPENED = text("""
    SELECT job.state AS job_state, call.attempt,
           batch.fence = :fence AND batch.state = 'leased' AS is_held,
           batch.lease_until <= clock_timestamp() AS has_lapsed
    FROM job
    LEFT JOIN batch ON batch.id = :batch_id
    LEFT JOIN call ON call.id = :call_id
    WHERE job.id = :job_id
""")

# Only `sent` rows hold money; an `unknown` row was booked at its worst case, which the truth replaces.
SETTLE_CALL = text("""
    WITH before AS (
        SELECT id, state, worst_usd, cost_usd FROM call
        WHERE id = :call_id AND (state = 'sent' OR (state = 'unknown' AND :state <> 'unknown'))
        FOR UPDATE
    ), settled AS (
        UPDATE call
        SET state = :state, outcome = :outcome, detail = :detail, http_status = :http_status,
            request_id = :request_id, raw = :raw, finish_reason = :finish_reason, input_tokens = :input_tokens,
            cached_tokens = :cached_tokens, output_tokens = :output_tokens, reasoning_tokens = :reasoning_tokens,
            cost_usd = :cost_usd, settled_at = clock_timestamp()
        FROM before WHERE call.id = before.id
        RETURNING call.job_id, before.state AS was, before.worst_usd, before.cost_usd AS booked_usd, call.cost_usd
    )
    UPDATE job_budget
    SET held_usd = held_usd - CASE WHEN settled.was = 'sent' THEN settled.worst_usd ELSE 0 END,
        spent_usd = spent_usd + settled.cost_usd - COALESCE(settled.booked_usd, 0)
    FROM settled WHERE job_budget.job_id = settled.job_id
    RETURNING 1
""")

# A row is given up when its hold is: another fence, no lease, or a lease that ran out. Its late reply still counts.
BOOK_UNKNOWN = text("""
    WITH lost AS (
        SELECT call.id FROM call JOIN batch ON batch.id = call.batch_id
        WHERE call.state = 'sent' AND call.sent_at < clock_timestamp() - make_interval(secs => :older_than_seconds)
          AND (CAST(:batch_id AS uuid) IS NULL OR call.batch_id = :batch_id)
          AND (batch.fence <> call.fence OR batch.state <> 'leased' OR batch.lease_until < clock_timestamp())
        ORDER BY call.id FOR UPDATE OF call SKIP LOCKED
    ), booked AS (
        UPDATE call SET state = 'unknown', outcome = :outcome, detail = 'its worker is gone', cost_usd = worst_usd,
                        settled_at = clock_timestamp()
        FROM lost WHERE call.id = lost.id
        RETURNING call.job_id, call.worst_usd
    ), sums AS (
        SELECT job_id, SUM(worst_usd) AS usd, COUNT(*) AS calls FROM booked GROUP BY job_id ORDER BY job_id
    )
    UPDATE job_budget SET held_usd = held_usd - sums.usd, spent_usd = spent_usd + sums.usd
    FROM sums WHERE job_budget.job_id = sums.job_id
    RETURNING sums.calls
""")

UNPARSED_REPLIES = text("""
    SELECT id, ordinal, attempt, model, prompt, outcome, raw FROM call
    WHERE batch_id = :batch_id AND state = 'ok' AND parsed_at IS NULL AND raw IS NOT NULL
    ORDER BY ordinal, attempt
""")

MARK_PARSED = text("""
    UPDATE call SET parsed_at = clock_timestamp() WHERE id = :call_id AND parsed_at IS NULL RETURNING 1
""")

PARSED_ORDINALS = text("SELECT DISTINCT ordinal FROM call WHERE batch_id = :batch_id AND parsed_at IS NOT NULL")


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A paid reply that waits to be parsed."""

    call_id: CallId
    ordinal: int
    attempt: int
    model: str
    prompt: Mapping[str, object]
    text: str
    cut: bool


async def open_call(
    conn: AsyncConnection,
    hold: Hold,
    *,
    call_id: CallId,
    ordinal: int,
    model: str,
    prompt: Mapping[str, object],
    worst_usd: Decimal,
) -> int:
    """Write the row of a call that is about to be sent and hold its worst case; returns its attempt number.

    Raises JobNotRunning, FencedOff, LeaseLapsed or BudgetExhausted; then nothing was written. Repeating it with one id
    is harmless.
    """
    names = {"call_id": call_id, "job_id": hold.job_id, "batch_id": hold.batch_id, "fence": hold.fence}
    row = {"ordinal": ordinal, "model": model, "prompt": orjson.dumps(prompt).decode(), "worst_usd": worst_usd}
    attempt = (await conn.execute(OPEN_CALL, names | row)).scalar_one_or_none()
    if attempt is not None:
        return int(attempt)
    why = (await conn.execute(WHY_NOT_OPENED, names)).one_or_none()
    if why is not None and why.attempt is not None:
        return int(why.attempt)  # an earlier try had committed after all
    if why is None or why.job_state != JobState.RUNNING:
        state = why.job_state if why else None
        raise JobNotRunning(f"job {hold.job_id} is {state or 'gone'}", state)
    if not why.is_held:
        raise FencedOff(f"batch {hold.batch_id} is no longer held with fence {hold.fence}")
    if why.has_lapsed:
        raise LeaseLapsed(f"the lease of batch {hold.batch_id} has run out and is not renewed yet")
    budget = await read_budget(conn, hold.job_id)
    raise BudgetExhausted(
        f"the next call may cost ${worst_usd:.6f}, but of ${budget.budget_usd:.6f} ${budget.spent_usd:.6f} is spent "
        f"and ${budget.held_usd:.6f} held for calls under way; resume with a higher budget_usd to go on",
        fits_later=budget.spent_usd + worst_usd <= budget.budget_usd,
    )


async def settle_call(conn: AsyncConnection, call_id: CallId, reply: LLMReply, cost_usd: Decimal) -> bool:
    """Store how a call ended and turn what it held into what it cost, once; False when that was done before.

    Not fenced: what was paid is recorded, whoever holds the batch now. It also replaces an `unknown` by the truth.
    """
    usage = reply.usage
    settled = await conn.execute(
        SETTLE_CALL,
        {
            "call_id": call_id,
            "state": state_of(reply),
            "outcome": reply.outcome,
            "detail": reply.detail,
            "http_status": reply.http_status,
            "request_id": reply.request_id,
            "raw": reply.raw,
            "finish_reason": reply.finish_reason,
            "input_tokens": usage and usage.input_tokens,
            "cached_tokens": usage and usage.cached_tokens,
            "output_tokens": usage and usage.output_tokens,
            "reasoning_tokens": usage and usage.reasoning_tokens,
            "cost_usd": cost_usd,
        },
    )
    return settled.scalar_one_or_none() is not None


def state_of(reply: LLMReply) -> CallState:
    """The ledger state of a reply: whatever may have been paid without a usage that says so is unknown."""
    if reply.outcome.usable:
        return CallState.OK
    if reply.outcome.maybe_paid and reply.usage is None:
        return CallState.UNKNOWN
    return CallState.FAILED


async def book_unknown(
    conn: AsyncConnection, *, batch_id: BatchId | None = None, older_than_seconds: float = 0.0
) -> int:
    """Book the calls of dead holders, of one batch or of all, as spent at their worst case; returns how many."""
    booked = await conn.execute(
        BOOK_UNKNOWN, {"batch_id": batch_id, "older_than_seconds": older_than_seconds, "outcome": Outcome.LOST}
    )
    return sum(booked.scalars())


async def unparsed_replies(conn: AsyncConnection, hold: Hold) -> list[StoredReply]:
    """Paid replies of the batch that no holder has parsed yet, in the order of their prompts."""
    rows = await conn.execute(UNPARSED_REPLIES, {"batch_id": hold.batch_id})
    return [
        StoredReply(
            call_id=row.id,
            ordinal=row.ordinal,
            attempt=row.attempt,
            model=row.model,
            prompt=row.prompt,
            text=read_reply(split_model(row.model)[0], row.raw).text,
            cut=row.outcome == Outcome.CUT,
        )
        for row in rows
    ]


async def mark_parsed(conn: AsyncConnection, call_id: CallId) -> bool:
    """Note that a call is dealt with: its reply parsed, or its prompt given up. Part of the transaction that admits.

    False when that was committed before: then nothing of it may be written again. FAULTS 18.
    """
    return (await conn.execute(MARK_PARSED, {"call_id": call_id})).scalar_one_or_none() is not None


async def parsed_ordinals(conn: AsyncConnection, hold: Hold) -> set[int]:
    """The batch's prompts that are dealt with, by this holder or one before."""
    return set((await conn.execute(PARSED_ORDINALS, {"batch_id": hold.batch_id})).scalars())
