"""Calls of the ledger that brought nothing, and of which nobody has drawn a conclusion."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import Hold
from shared.ids import CallId
from shared.llm.provider import Outcome

# Those since the last one of their prompt that was dealt with. What was withdrawn before a model saw it was no attempt.
IN_VAIN = text("""
    SELECT id, ordinal, outcome, prompt FROM call
    WHERE batch_id = :batch_id AND state IN ('failed', 'unknown') AND attempt > (
        SELECT COALESCE(MAX(attempt), 0) FROM call AS dealt_with
        WHERE dealt_with.batch_id = call.batch_id AND dealt_with.ordinal = call.ordinal
          AND dealt_with.parsed_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM bulk_submission WHERE id = call.submission_id AND state = 'withdrawn')
    ORDER BY ordinal, attempt
""")


@dataclass(frozen=True, slots=True)
class InVain:
    """A call that brought nothing usable, and of which nobody has drawn a conclusion."""

    call_id: CallId
    prompt: Mapping[str, object]
    outcome: Outcome


async def calls_in_vain(conn: AsyncConnection, hold: Hold) -> dict[int, list[InVain]]:
    """By prompt, its attempts that failed since the last that was dealt with, in their order."""
    found: dict[int, list[InVain]] = {}
    for row in await conn.execute(IN_VAIN, {"batch_id": hold.batch_id}):
        found.setdefault(row.ordinal, []).append(InVain(CallId(row.id), row.prompt, Outcome(row.outcome)))
    return found
