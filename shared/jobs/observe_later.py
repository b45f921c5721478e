"""What the reconciler sees of a job's later stages: their batches and what they did, by cell. As in observe.py, ended
batches are read as sums, open ones from their rows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.stages import later_stages, terms_of
from shared.database.states import BatchState, Stage
from shared.jobs.evidence import LATER_BATCHES_READ
from shared.jobs.observed import EndedBatch, StageStatus
from shared.planning.mix import Cell

STATES = {str(state): state for state in BatchState}

JUDGED = text("""
SELECT job_id, stage, domain, difficulty, what, n FROM batch_count
WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND stage <> 'generate' AND what IN ('generated', 'admitted')
""")

# The calls that were dealt with, not those that were planned: for questions that have left their batch, or have their
# results from a job before, none was made, which is no evidence against the stage.
NEWEST = text("""
SELECT job_id, stage, domain, difficulty, newest.number, ended.* FROM job_cell
CROSS JOIN unnest(CAST(:stages AS text[])) AS wanted (stage)
CROSS JOIN LATERAL (
    SELECT number FROM batch
    WHERE batch.job_id = job_cell.job_id AND batch.stage = wanted.stage AND batch.domain = job_cell.domain
      AND batch.difficulty = job_cell.difficulty
    ORDER BY number DESC LIMIT 1) AS newest
CROSS JOIN LATERAL (
    SELECT array_agg(state ORDER BY number DESC) AS states, array_agg(calls ORDER BY number DESC) AS calls,
        array_agg(generated ORDER BY number DESC) AS generated, array_agg(admitted ORDER BY number DESC) AS admitted,
        array_agg(reason ORDER BY number DESC) AS reasons
    FROM (
        SELECT number, state, calls_parsed + calls_given_up AS calls, generated, admitted, reason FROM batch
        WHERE batch.job_id = job_cell.job_id AND batch.stage = wanted.stage AND batch.domain = job_cell.domain
          AND batch.difficulty = job_cell.difficulty AND state IN ('done', 'parked')
        ORDER BY number DESC LIMIT :evidence) AS latest) AS ended
WHERE job_id = ANY (CAST(:job_ids AS uuid[]))
""")

OPEN = text("""
SELECT job_id, stage, domain, difficulty, COUNT(*) AS open_batches,
    SUM(GREATEST(0, questions - generated))::bigint AS in_hand
FROM batch
WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND state IN ('pending', 'leased') AND stage <> 'generate'
GROUP BY 1, 2, 3, 4
""")

Key = tuple[UUID, Stage, Cell]


async def observe_later(
    conn: AsyncConnection, specs: Mapping[UUID, Mapping[str, Any]], cells: Sequence[tuple[UUID, Cell]]
) -> dict[tuple[UUID, Cell], tuple[StageStatus, ...]]:
    """The later stages of these cells, in their order, of the jobs that have any; `specs` are the stored ones."""
    stages = {job_id: later for job_id, spec in specs.items() if (later := later_stages(spec))}
    if not stages:
        return {}
    values = {"job_ids": list(stages)}
    found: dict[Key, dict[str, Any]] = defaultdict(dict)
    for row in await conn.execute(JUDGED, values):
        counted = {"generated": "judged", "admitted": "passed"}[row.what]
        found[row.job_id, Stage(row.stage), Cell(row.domain, row.difficulty)][counted] = row.n
    wanted = {
        **values,
        "stages": sorted({stage for later in stages.values() for stage in later}),
        "evidence": LATER_BATCHES_READ,
    }
    for row in await conn.execute(NEWEST, wanted):
        ended = [
            EndedBatch(STATES[state], *rest)
            for state, *rest in zip(
                *(each or () for each in (row.states, row.calls, row.generated, row.admitted, row.reasons)), strict=True
            )
        ]
        key = (row.job_id, Stage(row.stage), Cell(row.domain, row.difficulty))
        found[key] |= {"batches": row.number, "ended": tuple(ended)}
    for row in await conn.execute(OPEN, values):
        key = (row.job_id, Stage(row.stage), Cell(row.domain, row.difficulty))
        found[key] |= {"open_batches": row.open_batches, "in_hand": row.in_hand}
    return {
        (job_id, cell): tuple(
            replace(StageStatus(terms_of(specs[job_id], stage, cell.difficulty)), **found[job_id, stage, cell])
            for stage in stages[job_id]
        )
        for job_id, cell in cells
        if job_id in stages
    }
