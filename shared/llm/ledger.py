"""The ledger: a row and a hold on the budget before each call, its raw reply and true cost after.

Each writing function is one statement, so it is whole or not at all, also on a connection in autocommit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import Hold, fenced_off
from shared.database.parameters import json_rows
from shared.database.states import CallState, JobState
from shared.errors import BudgetExhausted, JobNotRunning, LeaseLapsed
from shared.ids import BatchId, CallId, JobId
from shared.llm.budget import Budget, read_budget
from shared.llm.models import split_model
from shared.llm.provider import LLMReply, Outcome
from shared.llm.reading import read_reply

DID_NOT_FIT = re.compile(r"the next call may cost \$([0-9]+\.[0-9]+), but of ")

# Promise 5: the budget row is re-read by its own UPDATE, so racing openers queue on it and none gets past the wall. The
# calls that may be opened are opened if all of them fit, else none. A call's own id keeps a repeat after an unknown
# commit from a second effect. FAULTS 18.
OPEN_CALLS = text("""
    WITH allowed AS (
        SELECT asked.*, batch.stage, batch.difficulty FROM json_to_recordset(CAST(:calls AS json)) AS asked (
            call_id uuid, batch_id uuid, fence int, ordinal bigint, model text, prompt jsonb, worst_usd numeric)
        JOIN batch ON batch.id = asked.batch_id AND batch.fence = asked.fence
        JOIN job ON job.id = batch.job_id
        WHERE job.id = :job_id AND job.state = 'running' AND batch.state = 'leased'
          AND batch.lease_until > clock_timestamp() AND NOT EXISTS (SELECT FROM call WHERE call.id = asked.call_id)
    ), wall AS (
        UPDATE job_budget SET held_usd = held_usd + total.worst_usd
        FROM (SELECT SUM(worst_usd) AS worst_usd FROM allowed) AS total
        WHERE job_id = :job_id AND spent_usd + held_usd + total.worst_usd <= budget_usd
        RETURNING job_id
    )
    INSERT INTO call (id, job_id, batch_id, stage, difficulty, ordinal, attempt, fence, model, prompt, worst_usd)
    SELECT call_id, wall.job_id, batch_id, stage, difficulty, ordinal,
           (SELECT COALESCE(MAX(attempt), 0) + 1 FROM call
            WHERE call.batch_id = allowed.batch_id AND call.ordinal = allowed.ordinal),
           fence, model, prompt, worst_usd
    FROM wall CROSS JOIN allowed
    RETURNING id, attempt
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
SETTLE_CALLS = text("""
    WITH told AS (
        SELECT * FROM json_to_recordset(CAST(:settlements AS json)) AS told (
            call_id uuid, state text, outcome text, detail text, http_status int, request_id text, raw text,
            finish_reason text, input_tokens int, cached_tokens int, output_tokens int, reasoning_tokens int,
            cost_usd numeric)
    ), before AS (
        SELECT call.id, call.state, call.worst_usd, call.cost_usd FROM call JOIN told ON told.call_id = call.id
        WHERE call.state = 'sent' OR (call.state = 'unknown' AND told.state <> 'unknown')
        ORDER BY call.id FOR UPDATE OF call
    ), settled AS (
        UPDATE call
        SET state = told.state, outcome = told.outcome, detail = told.detail, http_status = told.http_status,
            request_id = told.request_id, raw = told.raw, finish_reason = told.finish_reason,
            input_tokens = told.input_tokens, cached_tokens = told.cached_tokens, output_tokens = told.output_tokens,
            reasoning_tokens = told.reasoning_tokens, cost_usd = told.cost_usd, settled_at = clock_timestamp()
        FROM before JOIN told ON told.call_id = before.id WHERE call.id = before.id
        RETURNING call.id, call.job_id, before.state AS was, before.worst_usd, before.cost_usd AS booked_usd,
            call.cost_usd
    ), sums AS (
        SELECT job_id, SUM(CASE WHEN was = 'sent' THEN worst_usd ELSE 0 END) AS freed_usd,
            SUM(cost_usd - COALESCE(booked_usd, 0)) AS more_usd
        FROM settled GROUP BY job_id ORDER BY job_id
    ), booked AS (
        UPDATE job_budget SET held_usd = held_usd - sums.freed_usd, spent_usd = spent_usd + sums.more_usd
        FROM sums WHERE job_budget.job_id = sums.job_id
    )
    SELECT id FROM settled
""")

# A row is given up when its hold is: another fence, no lease, or a lease that ran out. Its late reply still counts.
# What is part of a bulk submission needs no holder.
BOOK_UNKNOWN = text("""
    WITH lost AS (
        SELECT call.id FROM call JOIN batch ON batch.id = call.batch_id
        WHERE call.state = 'sent' AND call.submission_id IS NULL
          AND call.sent_at < clock_timestamp() - make_interval(secs => :older_than_seconds)
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
    UPDATE call SET parsed_at = clock_timestamp()
    WHERE id = ANY(CAST(:call_ids AS uuid[])) AND parsed_at IS NULL RETURNING id
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


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that is about to be sent, and the hold under which that is done."""

    hold: Hold
    call_id: CallId
    ordinal: int
    model: str
    prompt: Mapping[str, object]
    worst_usd: Decimal


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended, and what it cost."""

    call_id: CallId
    reply: LLMReply
    cost_usd: Decimal


async def open_calls(conn: AsyncConnection, job_id: JobId, calls: Sequence[NewCall]) -> dict[CallId, int]:
    """Write the rows of calls of one job that are about to be sent and hold their worst cases.

    Returns the attempt numbers of those that were opened: all that may be, or none when they do not fit into the budget
    together. Why another one was not opened, `open_call` says. Repeating it with the same ids is harmless.
    """
    rows = [
        {
            "call_id": each.call_id,
            "batch_id": each.hold.batch_id,
            "fence": each.hold.fence,
            "ordinal": each.ordinal,
            "model": each.model,
            "prompt": each.prompt,
            "worst_usd": str(each.worst_usd),
        }
        for each in calls
    ]
    values = {"job_id": job_id, "calls": json_rows(rows)}
    return {CallId(row.id): int(row.attempt) for row in await conn.execute(OPEN_CALLS, values)}


async def open_call(conn: AsyncConnection, call: NewCall) -> int:
    """The same for one call; returns its attempt number.

    Raises JobNotRunning, FencedOff, LeaseLapsed or BudgetExhausted; then nothing was written.
    """
    hold = call.hold
    opened = await open_calls(conn, hold.job_id, [call])
    if call.call_id in opened:
        return opened[call.call_id]
    names = {"call_id": call.call_id, "job_id": hold.job_id, "batch_id": hold.batch_id, "fence": hold.fence}
    why = (await conn.execute(WHY_NOT_OPENED, names)).one_or_none()
    if why is not None and why.attempt is not None:
        return int(why.attempt)  # an earlier try had committed after all
    if why is None or why.job_state != JobState.RUNNING:
        state = why.job_state if why else None
        raise JobNotRunning(f"job {hold.job_id} is {state or 'gone'}", state)
    if not why.is_held:
        raise fenced_off(hold)
    if why.has_lapsed:
        raise LeaseLapsed(f"the lease of batch {hold.batch_id} has run out and is not renewed yet")
    raise budget_exhausted(call.worst_usd, await read_budget(conn, hold.job_id))


def budget_exhausted(worst_usd: Decimal, budget: Budget) -> BudgetExhausted:
    """What is said when a call that may cost so much does not fit; `worst_usd_of` reads it again."""
    return BudgetExhausted(
        f"the next call may cost ${worst_usd:.6f}, but of ${budget.budget_usd:.6f}, ${budget.spent_usd:.6f} is spent "
        f"and ${budget.held_usd:.6f} held for calls under way; resume with a higher budget to go on",
        fits_later=budget.spent_usd + worst_usd <= budget.budget_usd,
    )


def worst_usd_of(reason: str | None) -> Decimal | None:
    """What the call may cost that did not fit, by the reason of a pause; None for another reason."""
    found = DID_NOT_FIT.match(reason or "")
    return Decimal(found[1]) if found else None


async def settle_calls(conn: AsyncConnection, settlements: Sequence[Settlement]) -> set[CallId]:
    """Store how calls ended and turn what they held into what they cost, once each; returns those not settled before.

    Not fenced: what was paid is recorded, whoever holds the batch now. It also replaces an `unknown` by the truth.
    """
    values = {"settlements": json_rows([_settlement_row(each) for each in settlements])}
    return {CallId(call_id) for call_id in (await conn.execute(SETTLE_CALLS, values)).scalars()}


def _settlement_row(settlement: Settlement) -> dict[str, object]:
    reply, usage = settlement.reply, settlement.reply.usage
    return {
        "call_id": settlement.call_id,
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
        "cost_usd": str(settlement.cost_usd),
    }


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


async def mark_parsed(conn: AsyncConnection, call_ids: Sequence[CallId]) -> set[CallId]:
    """Note that calls are dealt with: their replies parsed, or their prompts given up. Part of the transaction that
    admits.

    Returns those for which that was not committed before: of the others nothing may be written again. FAULTS 18.
    """
    marked = await conn.execute(MARK_PARSED, {"call_ids": list(call_ids)})
    return {CallId(call_id) for call_id in marked.scalars()}


async def parsed_ordinals(conn: AsyncConnection, hold: Hold) -> set[int]:
    """The batch's prompts that are dealt with, by this holder or one before."""
    return set((await conn.execute(PARSED_ORDINALS, {"batch_id": hold.batch_id})).scalars())
