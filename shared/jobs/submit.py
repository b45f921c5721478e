"""Submit a job: the job, its plan, its budget and its first batches, in one transaction."""

from math import ceil

import orjson
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.access.keys import reserve
from shared.access.quotas import Usage
from shared.corpus.busy_dataset import refuse_when_busy
from shared.corpus.stages import later_stages, terms_of
from shared.database.states import Stage
from shared.errors import Conflict
from shared.ids import DatasetId, JobId, KeyId, new_job_id
from shared.jobs.actions import Select
from shared.jobs.apply import apply
from shared.jobs.atlases import store_atlases
from shared.jobs.decide import decide
from shared.jobs.observe import observe
from shared.jobs.plan import PlannedJob, make_planned_job
from shared.jobs.prompt_versions import store_versions
from shared.jobs.receivers import check_receiver
from shared.jobs.reconcile import limits_of, wake_reconciler
from shared.jobs.spec import JobSpec
from shared.settings import Settings
from shared.tracing import current_traceparent

# An import holds the dataset's row for as long as the upload takes: whoever submits meanwhile is told so soon.
WAIT_BRIEFLY = text("SET LOCAL lock_timeout = '3s'")
WAIT_AS_USUAL = text("SET LOCAL lock_timeout TO DEFAULT")
# The row lock lets submissions and imports for one dataset come one after the other.
LOCK_DATASET = text("""
INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
""")
BY_KEY = text("SELECT id, request_hash FROM job WHERE idempotency_key = :key")
UNFINISHED = text("SELECT id, state FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")
INSERT_JOB = text("""
INSERT INTO job (id, dataset_id, spec, seed, rehearsal, idempotency_key, request_hash, traceparent, api_key_id)
VALUES (:id, :dataset_id, CAST(:spec AS jsonb), :seed, :rehearsal, :key, :request_hash, :traceparent, :key_id)
""")
INSERT_PLAN = text("""
INSERT INTO job_plan (job_id, version, plan, reason) VALUES (:job_id, 1, CAST(:plan AS jsonb), 'submitted')
""")
INSERT_BUDGET = text("INSERT INTO job_budget (job_id, budget_usd) VALUES (:job_id, :budget_usd)")
INSERT_CELLS = text("""
INSERT INTO job_cell (job_id, domain, difficulty, target, mean_tokens, answer_tokens)
SELECT :job_id, * FROM unnest(CAST(:domains AS text[]), CAST(:difficulties AS text[]), CAST(:targets AS int[]),
    CAST(:means AS int[]), CAST(:answers AS int[]))
""")
# What lies outside the mix is kept, but counts for nothing: the export holds the plan's cells only.
UNSELECT_OUTSIDE = text("""
UPDATE question SET state = 'reserve'
FROM (
    SELECT domain, difficulty FROM question_count WHERE dataset_id = :dataset_id AND state = 'selected'
    EXCEPT SELECT domain, difficulty FROM job_cell WHERE job_id = :job_id) AS outside
WHERE question.dataset_id = :dataset_id AND question.domain = outside.domain
  AND question.difficulty = outside.difficulty AND question.state = 'selected'
""")


# Calls of a job before that were no use do not count for this one.
TRY_AFRESH = text("""
UPDATE question SET tries = 0
WHERE dataset_id = :dataset_id AND state = 'selected' AND NOT (validated AND answered) AND tries > 0
""")
# What an earlier job answered with other models, less often, or before any judge saw it, is not done for this one. Nor
# are its tokens measured: they would be counted on more rows than are answered.
ASK_AGAIN = text("""
UPDATE question SET answered = false, completion_tokens = NULL
WHERE dataset_id = :dataset_id AND answered AND (
    (:validates AND NOT validated)
    OR (SELECT COUNT(*) FROM unnest(CAST(:difficulties AS text[]), CAST(:models AS text[]), CAST(:samples AS int[]))
            AS wanted (difficulty, model, sample)
        WHERE wanted.difficulty = question.difficulty AND NOT EXISTS (
            SELECT FROM answer WHERE answer.question_id = question.id AND answer.model = wanted.model
              AND answer.sample = wanted.sample)) > 0)
""")


class _DatasetBusy(Conflict):
    """An import or another submission holds the dataset."""


async def submit_job(
    engine: AsyncEngine,
    settings: Settings,
    spec: JobSpec,
    *,
    idempotency_key: str | None,
    request_hash: bytes,
    key_id: KeyId | None = None,
) -> tuple[JobId, bool]:
    """Create the job, or find the one that this idempotency key created before: (id, created now).

    Raises Conflict when the key was used for another request or the dataset has an unfinished job or is being imported
    into, UnusableReceiver for a URL that is not notified, QuotaExceeded when it is too much for the API key `key_id`
    that posts it, and whatever plan_job raises. Nothing is written then.
    """
    if spec.notify is not None:
        # Names are resolved where nothing is locked, and not again for a request that was taken before.
        async with engine.connect() as conn:
            found = await _job_of_key(conn, idempotency_key, request_hash)
        if not found:
            await check_receiver(spec.notify.url, settings)
    try:
        async with engine.begin() as conn:
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
            dataset_id = await _lock_dataset(conn, spec.dataset)
            # A twin request may have committed while this one waited for the lock (FAULTS 11).
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
            await _refuse_second_job(conn, spec.dataset, dataset_id)
            planned = await make_planned_job(conn, settings, spec, dataset_id)
            if key_id is not None:
                await reserve(conn, key_id, _wanted(planned))
            await store_atlases(conn, spec.atlas)
            await store_versions(conn, spec.stages)
            job_id = await _insert(
                conn,
                settings,
                planned,
                dataset_id,
                idempotency_key=idempotency_key,
                request_hash=request_hash,
                key_id=key_id,
            )
            await wake_reconciler(conn)
            return job_id, True
    except (IntegrityError, _DatasetBusy):
        # A twin of this request was first: with the same key for another dataset, or still at work on this one.
        async with engine.connect() as conn:
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
        raise


async def _lock_dataset(conn: AsyncConnection, dataset: str) -> DatasetId:
    await conn.execute(WAIT_BRIEFLY)
    told = (
        f"dataset {dataset} is being imported into, or another job for it is being submitted; "
        "try again when that is done"
    )
    with refuse_when_busy(_DatasetBusy(told)):
        dataset_id = DatasetId((await conn.execute(LOCK_DATASET, {"name": dataset})).scalar_one())
    await conn.execute(WAIT_AS_USUAL)
    return dataset_id


async def _job_of_key(conn: AsyncConnection, key: str | None, request_hash: bytes) -> JobId | None:
    if key is None:
        return None
    row = (await conn.execute(BY_KEY, {"key": key})).one_or_none()
    if row is None:
        return None
    if bytes(row.request_hash) != request_hash:
        raise Conflict(f"this Idempotency-Key was used for another request, which created job {row.id}")
    return JobId(row.id)


async def _refuse_second_job(conn: AsyncConnection, dataset: str, dataset_id: DatasetId) -> None:
    row = (await conn.execute(UNFINISHED, {"dataset_id": dataset_id})).one_or_none()
    if row is not None:
        raise Conflict(f"dataset {dataset} has an unfinished job: {row.id} ({row.state}); wait for it or cancel it")


async def _insert(
    conn: AsyncConnection,
    settings: Settings,
    planned: PlannedJob,
    dataset_id: DatasetId,
    *,
    idempotency_key: str | None,
    request_hash: bytes,
    key_id: KeyId | None,
) -> JobId:
    job_id = new_job_id()
    spec = planned.spec
    values = {
        "id": job_id,
        "dataset_id": dataset_id,
        "spec": orjson.dumps(spec.model_dump(mode="json")).decode(),
        "seed": spec.seed,
        "rehearsal": planned.rehearsal,
        "key": idempotency_key,
        "request_hash": request_hash,
        "traceparent": current_traceparent(),
        "key_id": key_id,
    }
    await conn.execute(INSERT_JOB, values)
    plan = {**planned.plan.to_json(), "forecast": planned.forecast.to_json()}
    await conn.execute(INSERT_PLAN, {"job_id": job_id, "plan": orjson.dumps(plan).decode()})
    await conn.execute(INSERT_BUDGET, {"job_id": job_id, "budget_usd": spec.budget_usd})
    cells = planned.plan.cells
    await conn.execute(
        INSERT_CELLS,
        {
            "job_id": job_id,
            "domains": [each.cell.domain for each in cells],
            "difficulties": [each.cell.difficulty for each in cells],
            "targets": [each.target for each in cells],
            "means": [ceil(spec.settled_mix.question_tokens(each.cell)) for each in cells],
            "answers": [ceil(spec.settled_mix.difficulties[each.cell.difficulty].tokens_of_answer) for each in cells],
        },
    )
    await conn.execute(UNSELECT_OUTSIDE, {"dataset_id": dataset_id, "job_id": job_id})
    if later_stages(spec.model_dump(mode="json")):
        await conn.execute(TRY_AFRESH, {"dataset_id": dataset_id})
    if Stage.ANSWER in spec.stages:
        await conn.execute(ASK_AGAIN, {"dataset_id": dataset_id, **_answers_wanted(spec)})
    # The first batches come from the same judgement as every later one; where there is something to choose from first,
    # which may take long, from the reconciler.
    actions = decide(await observe(conn, job_id), limits_of(settings))
    if not any(isinstance(action, Select) for action in actions):
        await apply(conn, job_id, actions)
    return job_id


def _wanted(planned: PlannedJob) -> Usage:
    """What the job takes of the quotas of the key that posts it."""
    generates = Stage.GENERATE in planned.spec.stages
    assert planned.spec.budget_usd is not None  # a planned one has it
    return Usage(1, planned.plan.generate if generates else 0, planned.spec.budget_usd)


def _answers_wanted(spec: JobSpec) -> dict[str, object]:
    stored = spec.model_dump(mode="json")
    slots = [
        (difficulty, slot)
        for difficulty in spec.settled_mix.difficulties
        for slot in terms_of(stored, Stage.ANSWER, difficulty).slots
    ]
    return {
        "validates": Stage.VALIDATE in spec.stages,
        "difficulties": [difficulty for difficulty, _ in slots],
        "models": [slot.model for _, slot in slots],
        "samples": [slot.number for _, slot in slots],
    }
