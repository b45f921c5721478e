"""Read what the reconciler judges by, of many jobs at once: counts, never remembered.

No query here grows with the work that is finished: ended batches and questions are read as sums (Promise 8), open
batches, which are few, from their rows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.topic_yields import read_topic_yields
from shared.database.states import BatchState, JobState, QuestionState, Stage
from shared.ids import DatasetId, JobId
from shared.jobs.atlases import find_atlas
from shared.jobs.decide_later import missing_of
from shared.jobs.evidence import EVIDENCE_BATCHES_READ, is_conclusive
from shared.jobs.mix_spec import MixSpec
from shared.jobs.observe_later import observe_later
from shared.jobs.observed import Balance, BulkPlace, CellStatus, EndedBatch, Observed, OpenBatch
from shared.jobs.spec import Novelty
from shared.jobs.steer import Ground
from shared.planning.mix import Cell, Means, Surplus

OF_SELECTED = ("validated", "answered", "prompt_tokens", "completion_tokens")
# Nearly always enough to judge a cell by; where they leave a doubt, as many are read as count.
ENDED_AT_FIRST = 6
STATES = {str(state): state for state in BatchState}
PLACES = {str(place): place for place in BulkPlace}

BALANCE = text("""
SELECT job.spec -> 'mix' AS mix, job.spec ->> 'surplus' AS surplus, first.plan -> 'cells' AS cells,
    (SELECT MAX(version) FROM job_plan WHERE job_id = job.id) AS plans
FROM job JOIN job_plan AS first ON first.job_id = job.id AND first.version = 1 WHERE job.id = :job_id
""")

JOBS = text("""
SELECT id, dataset_id, state, clock_timestamp() AS now, spec -> 'mix' ->> 'means' AS means,
    COALESCE((spec -> 'mix' ->> 'existing')::boolean, false) AS follows,
    CASE WHEN spec -> 'stages' <> '["generate"]' THEN spec END AS spec
FROM job WHERE id = ANY (CAST(:job_ids AS uuid[])) ORDER BY id
""")

GROUND = text("""
SELECT dataset_id, seed, spec -> 'atlas' AS atlas, spec -> 'novelty' AS novelty FROM job WHERE id = :job_id
""")

CELLS = text("""
SELECT job_cell.job_id, job_cell.domain, job_cell.difficulty, job_cell.target, job_cell.mean_tokens, job_cell.stopped,
    job_cell.stopped_stage, job.spec -> 'stages' ? 'generate' AS generates,
    job.spec -> 'mode' ->> 'generate' = 'bulk' AS bulk,
    (job.spec -> 'questions_per_call' ->> job_cell.difficulty)::int AS questions_per_call,
    COALESCE(prompt_cursor.next_ordinal, 0) AS next_ordinal, COALESCE(newest.number, 0) AS batches
FROM job JOIN job_cell ON job_cell.job_id = job.id
LEFT JOIN prompt_cursor ON prompt_cursor.dataset_id = job.dataset_id
    AND prompt_cursor.domain = job_cell.domain AND prompt_cursor.difficulty = job_cell.difficulty
LEFT JOIN LATERAL (
    SELECT number FROM batch
    WHERE batch.job_id = job.id AND stage = 'generate'
      AND batch.domain = job_cell.domain AND batch.difficulty = job_cell.difficulty
    ORDER BY number DESC LIMIT 1) AS newest ON true
WHERE job.id = ANY (CAST(:job_ids AS uuid[]))
ORDER BY job.id, job_cell.domain, job_cell.difficulty
""")

CANDIDATES = text("""
SELECT job_id, domain, difficulty, what, n FROM batch_count
WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND stage = 'generate' AND what IN ('generated', 'admitted')
""")

# Of both, one row for each cell, with its batches in arrays: a tick reads tens of thousands of batches, and a row for
# each of them would take longer to unpack than to find.
ENDED = text("""
SELECT job_id, domain, difficulty, newest.* FROM job_cell CROSS JOIN LATERAL (
    SELECT array_agg(state ORDER BY number DESC) AS states, array_agg(calls ORDER BY number DESC) AS calls,
        array_agg(generated ORDER BY number DESC) AS generated, array_agg(admitted ORDER BY number DESC) AS admitted,
        array_agg(reason ORDER BY number DESC) AS reasons
    FROM (
        SELECT number, state, calls, generated, admitted, reason FROM batch
        WHERE batch.job_id = job_cell.job_id AND stage = 'generate' AND batch.domain = job_cell.domain
          AND batch.difficulty = job_cell.difficulty AND state IN ('done', 'parked')
        ORDER BY number DESC LIMIT :evidence) AS ended) AS newest
WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND states IS NOT NULL
""")

OPEN = text("""
SELECT job_id, stage, domain, difficulty,
    SUM(GREATEST(0, calls - calls_parsed - calls_given_up) * questions_per_call)::bigint AS coming,
    array_agg(id) AS ids, array_agg(number) AS numbers, array_agg(state) AS states, array_agg(attempts) AS attempts,
    array_agg(hinted_at) AS hinted_at, array_agg(COALESCE(lease_until < clock_timestamp(), false)) AS expired,
    array_agg(CASE WHEN submitted.is_out THEN 'out' WHEN in_bulk THEN 'waiting'
        WHEN submitted.batch_id IS NOT NULL THEN 'back' END) AS places
FROM batch LEFT JOIN (
    SELECT batch_id, bool_or(state IN ('intended', 'submitted')) AS is_out FROM bulk_submission
    WHERE job_id = ANY (CAST(:job_ids AS uuid[])) GROUP BY batch_id) AS submitted ON submitted.batch_id = batch.id
WHERE job_id = ANY (CAST(:job_ids AS uuid[])) AND state IN ('pending', 'leased')
GROUP BY job_id, stage, domain, difficulty
""")

QUESTIONS = text("""
SELECT dataset_id, domain, difficulty, state, questions, validated, answered, prompt_tokens, completion_tokens
FROM question_count
WHERE dataset_id = ANY (CAST(:dataset_ids AS int[])) AND state IN ('selected', 'reserve')
""")


async def observe(conn: AsyncConnection, job_id: JobId) -> Observed:
    """One look at a job, with what its next batches are steered by if any may be made."""
    [observed] = await observe_all(conn, [job_id])
    if not any(status.generates and status.stopped is None and missing_of(status) > 0 for status in observed.cells):
        return observed
    return await survey(conn, observed)


async def survey(conn: AsyncConnection, observed: Observed) -> Observed:
    """The same look with the ground of each cell; as it was for a job that is not steered."""
    job = (await conn.execute(GROUND, {"job_id": observed.job_id})).one()
    if not Novelty.model_validate(job.novelty or {}).steer:
        return observed
    yields = await read_topic_yields(conn, DatasetId(job.dataset_id))
    atlases = {
        domain: await find_atlas(conn, domain, (job.atlas or {}).get(domain))
        for domain in {status.cell.domain for status in observed.cells}
    }
    return replace(
        observed,
        cells=tuple(
            replace(status, ground=Ground(job.seed, atlases[status.cell.domain], yields.get(status.cell, {})))
            for status in observed.cells
        ),
    )


async def observe_all(conn: AsyncConnection, job_ids: Sequence[JobId]) -> list[Observed]:
    """One look at each of these jobs that is still there, in the order of their ids.

    The counts are of one moment only if the transaction reads repeatably; judgement does not need that: what one tick
    misses the next one sees.
    """
    values = {"job_ids": list(job_ids)}
    jobs = (await conn.execute(JOBS, values)).all()
    cells: dict[UUID, dict[Cell, CellStatus]] = defaultdict(dict)
    for row in await conn.execute(CELLS, values):
        cell = Cell(row.domain, row.difficulty)
        cells[row.job_id][cell] = CellStatus(
            cell=cell,
            target=row.target,
            mean_tokens=row.mean_tokens,
            questions_per_call=row.questions_per_call,
            stopped=row.stopped,
            stopped_stage=row.stopped_stage and Stage(row.stopped_stage),
            generates=row.generates is not False,
            bulk=row.bulk is True,
            batches=row.batches,
            next_ordinal=row.next_ordinal,
        )
    counts: dict[tuple[UUID, Cell], dict[str, Any]] = defaultdict(dict)
    for job_id, domain, difficulty, what, n in await conn.execute(CANDIDATES, values):
        counts[job_id, Cell(domain, difficulty)][what] = n
    for key, ended in (await _read_ended(conn, job_ids)).items():
        counts[key]["ended"] = tuple(ended)
    open_batches = await _read_open(conn, values, counts)
    specs = {job.id: job.spec for job in jobs if job.spec is not None}
    of_later = [(job_id, cell) for job_id in specs for cell in cells[job_id]]
    for key, later in (await observe_later(conn, specs, of_later)).items():
        counts[key]["later"] = later
    balances = {job.id: await read_balance(conn, job.id) for job in jobs if job.means == Means.MEASURED}
    # Questions last: a batch seen as ended above has all its questions in this count.
    of_dataset = {job.dataset_id: job.id for job in jobs}
    for row in await conn.execute(QUESTIONS, {"dataset_ids": list(of_dataset)}):
        of_cell = counts[of_dataset[row.dataset_id], Cell(row.domain, row.difficulty)]
        if row.state == QuestionState.RESERVE:
            of_cell |= {"reserve": row.questions, "reserve_validated": row.validated}
        else:
            of_cell |= {name: getattr(row, name) for name in OF_SELECTED} | {"selected": row.questions}
    return [
        Observed(
            JobId(job.id),
            JobState(job.state),
            job.now,
            tuple(replace(status, **counts[job.id, cell]) for cell, status in cells[job.id].items()),
            tuple(open_batches[job.id]),
            balances.get(job.id),
            job.follows,
        )
        for job in jobs
    ]


async def read_balance(conn: AsyncConnection, job_id: JobId) -> Balance:
    """What the job was first planned by."""
    row = (await conn.execute(BALANCE, {"job_id": job_id})).one()
    have = {Cell(each["domain"], each["difficulty"]): each["have"] for each in row.cells}
    return Balance(MixSpec.model_validate(row.mix).to_mix(), Surplus(row.surplus), have, row.plans)


async def _read_ended(conn: AsyncConnection, job_ids: Sequence[JobId]) -> dict[tuple[UUID, Cell], list[EndedBatch]]:
    """The newest ended batches by job and cell, newest first: as many as a judgement takes."""
    ended = await _read_newest(conn, job_ids, ENDED_AT_FIRST)
    in_doubt = {
        job_id for (job_id, _), read in ended.items() if len(read) == ENDED_AT_FIRST and not is_conclusive(read)
    }
    return ended | (await _read_newest(conn, list(in_doubt), EVIDENCE_BATCHES_READ) if in_doubt else {})


async def _read_newest(
    conn: AsyncConnection, job_ids: Sequence[UUID], evidence: int
) -> dict[tuple[UUID, Cell], list[EndedBatch]]:
    rows = await conn.execute(ENDED, {"job_ids": list(job_ids), "evidence": evidence})
    return {
        (row.job_id, Cell(row.domain, row.difficulty)): [
            EndedBatch(*each)
            for each in zip(
                map(STATES.__getitem__, row.states), row.calls, row.generated, row.admitted, row.reasons, strict=True
            )
        ]
        for row in rows
    }


async def _read_open(
    conn: AsyncConnection, values: Mapping[str, Any], counts: dict[tuple[UUID, Cell], dict[str, Any]]
) -> dict[UUID, list[OpenBatch]]:
    """The open batches by job; how many they are and what they may bring is added to the counts of their cells."""
    found: dict[UUID, list[OpenBatch]] = defaultdict(list)
    for row in await conn.execute(OPEN, values):
        cell, stage = Cell(row.domain, row.difficulty), Stage(row.stage)
        if stage is Stage.GENERATE:
            counts[row.job_id, cell] |= {"open_batches": len(row.ids), "coming": row.coming}
        found[row.job_id] += [
            OpenBatch(batch_id, cell, stage, number, STATES[state], attempts, hinted_at, expired, PLACES.get(place))
            for batch_id, number, state, attempts, hinted_at, expired, place in zip(
                row.ids, row.numbers, row.states, row.attempts, row.hinted_at, row.expired, row.places, strict=True
            )
        ]
    return found
