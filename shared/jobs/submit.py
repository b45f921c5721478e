"""Plan a job without writing anything, or submit it: job, plan, budget and first batches in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

import orjson
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.states import JobState, Stage
from shared.errors import Conflict, FieldError, UnusableModel
from shared.ids import DatasetId, JobId, new_job_id
from shared.jobs.apply import apply
from shared.jobs.decide import decide
from shared.jobs.models import choose_models, configured_providers
from shared.jobs.observe import observe
from shared.jobs.reconcile import limits_of, wake_reconciler
from shared.jobs.spec import JobSpec
from shared.llm.models import model_warnings
from shared.llm.prices import price_of, worst_case
from shared.llm.provider import Usage
from shared.planning.balance import Plan, make_plan
from shared.planning.forecast import PROMPT_OVERHEAD_TOKENS, Forecast, make_forecast
from shared.planning.mix import Cell
from shared.planning.warnings import mean_warnings, rounding_warnings
from shared.questions.atlas import atlas_for
from shared.questions.prompts import most_output_tokens
from shared.settings import Settings

# DESIGN: an omitted budget is 1.5 times the forecast.
BUDGET_FACTOR = Decimal("1.5")
# Each call holds its worst case, several times its likely price: a tiny job must still be able to send its last ones.
BUDGET_LEAST_CALLS = 20
# A reply of about this size keeps the share of the prompt small and a lost reply cheap (20 x 15 or 2 x 750 tokens).
TOKENS_PER_REPLY = 1_500
MOST_QUESTIONS_PER_CALL = 20
# The forecast's guess of how long a model takes for a reply; a real run replaces it by what it measures.
SECONDS_PER_CALL = 6.0
# The forecast assumes the two worker processes of a default start.
WORKERS_ASSUMED = 2

FIND_DATASET = text("SELECT id FROM dataset WHERE name = :name")
# The row lock lets submissions and imports for one dataset come one after the other.
LOCK_DATASET = text("""
INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
""")
CELLS = text("""
SELECT domain, difficulty, COUNT(*) AS have, AVG(prompt_tokens)::float AS mean_tokens
FROM question WHERE dataset_id = :dataset_id AND state IN ('selected', 'reserve')
GROUP BY domain, difficulty
""")
BY_KEY = text("SELECT id, request_hash FROM job WHERE idempotency_key = :key")
UNFINISHED = text("SELECT id, state FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")
HAS_REAL_OR_REHEARSED = text("""
SELECT EXISTS (SELECT FROM job WHERE dataset_id = :dataset_id AND rehearsal <> :rehearsal) AS mixed
""")
INSERT_JOB = text("""
INSERT INTO job (id, dataset_id, spec, seed, rehearsal, idempotency_key, request_hash)
VALUES (:id, :dataset_id, CAST(:spec AS jsonb), :seed, :rehearsal, :key, :request_hash)
""")
INSERT_PLAN = text("""
INSERT INTO job_plan (job_id, version, plan, reason) VALUES (:job_id, 1, CAST(:plan AS jsonb), 'submitted')
""")
INSERT_BUDGET = text("INSERT INTO job_budget (job_id, budget_usd) VALUES (:job_id, :budget_usd)")
INSERT_CELLS = text("""
INSERT INTO job_cell (job_id, domain, difficulty, target, mean_tokens)
SELECT :job_id, * FROM unnest(CAST(:domains AS text[]), CAST(:difficulties AS text[]), CAST(:targets AS int[]),
    CAST(:means AS int[]))
""")
# What lies outside the mix is kept, but counts for nothing: the export holds the plan's cells only.
UNSELECT_OUTSIDE = text("""
UPDATE question SET state = 'reserve'
WHERE dataset_id = :dataset_id AND state = 'selected' AND NOT EXISTS (
    SELECT FROM job_cell WHERE job_cell.job_id = :job_id
      AND job_cell.domain = question.domain AND job_cell.difficulty = question.difficulty)
""")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A spec with nothing left open, and what it leads to."""

    spec: JobSpec
    plan: Plan
    forecast: Forecast
    warnings: tuple[str, ...]
    rehearsal: bool

    def to_json(self) -> dict[str, object]:
        """The answer of POST /v1/plans."""
        return {
            **self.plan.to_json(),
            "forecast": self.forecast.to_json(),
            "warnings": list(self.warnings),
            "spec": self.spec.model_dump(mode="json"),
            "rehearsal": self.rehearsal,
        }


async def plan_job(engine: AsyncEngine, settings: Settings, spec: JobSpec) -> PlannedJob:
    """What the job would do and cost, given what the dataset holds now.

    Raises InfeasibleMix, or UnusableModel for a model without a configured provider or a price.
    """
    async with engine.connect() as conn:
        dataset_id = (await conn.execute(FIND_DATASET, {"name": spec.dataset})).scalar_one_or_none()
        return await _plan(conn, settings, spec, dataset_id)


async def submit_job(
    engine: AsyncEngine,
    settings: Settings,
    spec: JobSpec,
    *,
    idempotency_key: str | None,
    request_hash: bytes,
) -> tuple[JobId, bool]:
    """Create the job, or find the one that this idempotency key created before: (id, created now).

    Raises Conflict when the key was used for another request or the dataset has an unfinished job, and whatever
    plan_job raises. Nothing is written then.
    """
    try:
        async with engine.begin() as conn:
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
            dataset_id = (await conn.execute(LOCK_DATASET, {"name": spec.dataset})).scalar_one()
            # A twin request may have committed while this one waited for the lock (FAULTS 11).
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
            await _refuse_second_job(conn, spec.dataset, dataset_id)
            planned = await _plan(conn, settings, spec, dataset_id)
            job_id = await _insert(conn, settings, planned, dataset_id, idempotency_key, request_hash)
            await wake_reconciler(conn)
            return job_id, True
    except IntegrityError:
        # The same key for two datasets at once: the other request was first.
        async with engine.connect() as conn:
            if found := await _job_of_key(conn, idempotency_key, request_hash):
                return found, False
        raise


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


async def _plan(conn: AsyncConnection, settings: Settings, spec: JobSpec, dataset_id: DatasetId | None) -> PlannedJob:
    rows = (await conn.execute(CELLS, {"dataset_id": dataset_id})).all()
    have = {Cell(row.domain, row.difficulty): int(row.have) for row in rows}
    means = {Cell(row.domain, row.difficulty): float(row.mean_tokens) for row in rows}
    providers = await configured_providers(conn)
    mixed = (
        await conn.execute(HAS_REAL_OR_REHEARSED, {"dataset_id": dataset_id, "rehearsal": providers.rehearsal})
    ).scalar_one()
    mix = spec.mix.to_mix()
    plan = make_plan(mix, have, spec.surplus)
    models = choose_models(spec, providers, settings)
    per_call = {
        name: spec.questions_per_call.get(name) or _questions_per_call(each.mean_tokens)
        for name, each in spec.mix.difficulties.items()
    }
    dearest = max(_worst_calls(settings, models, per_call, spec).values())

    def cost_per_call(stage: Stage | str, difficulty: str, input_tokens: int, output_tokens: int) -> Decimal:
        usage = Usage(input_tokens=input_tokens, cached_tokens=0, output_tokens=output_tokens, reasoning_tokens=0)
        return price_of(models[Stage(stage)][difficulty], usage, settings.prices)

    forecast = make_forecast(
        plan,
        stages=spec.stages,
        questions_per_call=per_call,
        cost_per_call=cost_per_call,
        calls_in_flight=settings.calls_in_flight * WORKERS_ASSUMED,
        seconds_per_call=SECONDS_PER_CALL,
    )
    budget = spec.budget_usd
    if budget is None:
        budget = max(forecast.cost_usd * BUDGET_FACTOR, forecast.cost_usd + dearest * BUDGET_LEAST_CALLS)
        budget = budget.quantize(Decimal("0.0001"))
    planned_cells = {cell.cell for cell in plan.cells}
    outside = sum(count for cell, count in have.items() if cell not in planned_cells)
    used = [model for by_difficulty in models.values() for model in by_difficulty.values()]
    warnings = [
        *model_warnings(sorted(set(used))),
        *mean_warnings(mix, means, have),
        *rounding_warnings(mix, plan),
        *_other_warnings(spec, outside=outside, mixed=mixed, budget=budget, forecast=forecast),
    ]
    filled = spec.model_copy(update={"models": models, "questions_per_call": per_call, "budget_usd": budget})
    return PlannedJob(filled, plan, forecast, tuple(warnings), providers.rehearsal)


def _questions_per_call(mean_tokens: Decimal) -> int:
    return max(1, min(MOST_QUESTIONS_PER_CALL, int(TOKENS_PER_REPLY / mean_tokens)))


def _worst_calls(
    settings: Settings, models: Mapping[Stage, Mapping[str, str]], per_call: Mapping[str, int], spec: JobSpec
) -> dict[str, Decimal]:
    """The worst case of one call per model and difficulty; asking also finds the models that have no price."""
    worst: dict[str, Decimal] = {}
    problems: list[FieldError] = []
    for stage, by_difficulty in models.items():
        for difficulty, model in by_difficulty.items():
            mean = ceil(spec.mix.difficulties[difficulty].mean_tokens)
            room = most_output_tokens(questions=per_call[difficulty], mean_tokens=mean)
            try:
                worst[f"{stage}.{difficulty}"] = worst_case(model, PROMPT_OVERHEAD_TOKENS, room, settings.prices)
            except UnusableModel as error:
                problems.append(FieldError(f"models.{stage}.{difficulty}", error.detail))
    if problems:
        raise UnusableModel(problems[0].msg, problems)
    return worst


def _other_warnings(spec: JobSpec, *, outside: int, mixed: bool, budget: Decimal, forecast: Forecast) -> list[str]:
    warnings = [
        f"{domain}: no atlas for this domain; prompts vary less, so expect more repeats"
        for domain in spec.mix.domains
        if not atlas_for(domain).known
    ]
    if outside:
        warnings.append(f"{outside:,} existing questions lie outside the mix; they are kept but not selected")
    if mixed:
        warnings.append(f"dataset {spec.dataset} would hold both rehearsed and real questions")
    if budget < forecast.cost_usd:
        warnings.append(f"the budget of ${budget:f} is below the forecast of ${forecast.cost_usd:.4f}")
    return warnings


async def _insert(
    conn: AsyncConnection,
    settings: Settings,
    planned: PlannedJob,
    dataset_id: DatasetId,
    idempotency_key: str | None,
    request_hash: bytes,
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
    }
    await conn.execute(INSERT_JOB, values)
    await conn.execute(INSERT_PLAN, {"job_id": job_id, "plan": orjson.dumps(planned.plan.to_json()).decode()})
    await conn.execute(INSERT_BUDGET, {"job_id": job_id, "budget_usd": spec.budget_usd})
    cells = planned.plan.cells
    await conn.execute(
        INSERT_CELLS,
        {
            "job_id": job_id,
            "domains": [each.cell.domain for each in cells],
            "difficulties": [each.cell.difficulty for each in cells],
            "targets": [each.target for each in cells],
            "means": [ceil(each.mean_tokens) for each in cells],
        },
    )
    await conn.execute(UNSELECT_OUTSIDE, {"dataset_id": dataset_id, "job_id": job_id})
    # The first batches come from the same judgement as every later one.
    observed = await observe(conn, job_id)
    assert observed.state is JobState.RUNNING
    await apply(conn, job_id, decide(observed, limits_of(settings)))
    return job_id
