"""The calls of a job whose replies are stored and are not a worker's to parse, page by page."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import Hold
from shared.database.parameters import json_rows
from shared.database.states import Stage
from shared.ids import BatchId, CallId, DatasetId, JobId
from shared.llm.models import split_model
from shared.llm.reading import Reading, read_reply
from shared.planning.mix import Cell

CALLS_PER_PAGE = 200  # replies of the longest kind: about 25 MB

# What nobody has parsed is left to the workers while there are any for it: until the job has ended.
PAGE = text("""
    SELECT call.id, call.batch_id, call.fence, call.stage, call.model, call.prompt, call.raw, batch.domain,
        batch.difficulty, COALESCE(job_cell.mean_tokens, 0) AS mean_tokens
    FROM call JOIN batch ON batch.id = call.batch_id JOIN job ON job.id = call.job_id
    LEFT JOIN job_cell ON job_cell.job_id = call.job_id AND job_cell.domain = batch.domain
        AND job_cell.difficulty = batch.difficulty
    WHERE call.job_id = :job_id AND call.id > :after AND call.raw IS NOT NULL
        AND (call.parsed_at IS NOT NULL OR call.state = 'ok' AND job.finished_at IS NOT NULL)
    ORDER BY call.id LIMIT :limit
""")
COUNT_PRUNED = text("""
    SELECT COUNT(*) FROM call WHERE job_id = :job_id AND parsed_at IS NOT NULL AND raw_pruned_at IS NOT NULL
""")
# The batches before the dataset, in the order of their ids, as workers lock them. What was archived meanwhile is gone.
LOCK_BATCHES = text("""
    SELECT id FROM batch WHERE id = ANY (CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")
STILL_THERE = text("SELECT id FROM call WHERE id = ANY (CAST(:ids AS uuid[]))")
# Added to what the first parsing counted, whoever holds the batch now: a call and its batch keep saying the same.
COUNT_CALLS = text("""
    UPDATE call SET generated = COALESCE(call.generated, 0) + told.generated,
        admitted = COALESCE(call.admitted, 0) + told.admitted
    FROM json_to_recordset(CAST(:rows AS json)) AS told (call_id uuid, generated int, admitted int)
    WHERE call.id = told.call_id
""")
MARK_PARSED = text("""
    UPDATE call SET parsed_at = clock_timestamp() WHERE id = ANY (CAST(:ids AS uuid[])) AND parsed_at IS NULL
    RETURNING batch_id
""")
COUNT_BATCHES = text("""
    UPDATE batch SET calls_parsed = batch.calls_parsed + told.parsed, generated = batch.generated + told.generated,
        admitted = batch.admitted + told.admitted,
        rejected = (SELECT COALESCE(jsonb_object_agg(key, n), '{}') FROM (
            SELECT key, SUM(value::int) AS n FROM (
                SELECT * FROM jsonb_each_text(batch.rejected) UNION ALL
                SELECT * FROM jsonb_each_text(told.rejected)) AS both_sides GROUP BY key) AS summed)
    FROM json_to_recordset(CAST(:rows AS json)) AS told (
        batch_id uuid, parsed int, generated int, admitted int, rejected jsonb)
    WHERE batch.id = told.batch_id
""")


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call, its prompt's record and its raw reply; the hold is the one that sent it."""

    id: CallId
    hold: Hold
    stage: Stage
    cell: Cell
    mean_tokens: int
    model: str
    prompt: Mapping[str, Any]
    raw: str

    def read(self) -> Reading:
        """Its reply as today's reader sees it."""
        return read_reply(split_model(self.model)[0], self.raw)

    @property
    def version(self) -> str | None:
        """The version of its prompt."""
        version = self.prompt.get("version")
        return version if isinstance(version, str) else None


@dataclass(frozen=True, slots=True)
class CallGain:
    """What reading a call's reply again adds to its counts."""

    call: StoredCall
    generated: int
    admitted: int
    rejected: Mapping[str, int]


async def read_page(
    conn: AsyncConnection, job_id: JobId, dataset_id: DatasetId, after: UUID, *, limit: int = CALLS_PER_PAGE
) -> list[StoredCall]:
    """The next calls behind `after`, in the order of their ids."""
    rows = await conn.execute(PAGE, {"job_id": job_id, "after": after, "limit": limit})
    return [
        StoredCall(
            CallId(row.id),
            Hold(job_id, dataset_id, BatchId(row.batch_id), row.fence),
            Stage(row.stage),
            Cell(row.domain, row.difficulty),
            row.mean_tokens,
            row.model,
            row.prompt,
            row.raw,
        )
        for row in rows
    ]


async def lock_calls(conn: AsyncConnection, calls: Collection[StoredCall]) -> set[CallId]:
    """Keep workers and other readers from these calls until the transaction ends; returns those that are there."""
    await conn.execute(LOCK_BATCHES, {"ids": sorted({call.hold.batch_id for call in calls})})
    return {CallId(each) for each in (await conn.execute(STILL_THERE, {"ids": [call.id for call in calls]})).scalars()}


async def add_gains(conn: AsyncConnection, gains: Sequence[CallGain]) -> None:
    """Add them to the rows of the calls and of their batches."""
    rows = [{"call_id": each.call.id, "generated": each.generated, "admitted": each.admitted} for each in gains]
    await conn.execute(COUNT_CALLS, {"rows": json_rows(rows)})
    parsed = Counter((await conn.execute(MARK_PARSED, {"ids": [each.call.id for each in gains]})).scalars())
    by_batch: dict[BatchId, list[CallGain]] = {}
    for each in gains:
        by_batch.setdefault(each.call.hold.batch_id, []).append(each)
    sums = [
        {
            "batch_id": batch_id,
            "parsed": parsed[batch_id],
            "generated": sum(each.generated for each in its),
            "admitted": sum(each.admitted for each in its),
            "rejected": {
                reason: sum(each.rejected.get(reason, 0) for each in its)
                for reason in {reason for each in its for reason in each.rejected}
            },
        }
        for batch_id, its in by_batch.items()
    ]
    await conn.execute(COUNT_BATCHES, {"rows": json_rows(sums)})
