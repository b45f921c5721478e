"""A forecast learns from the ledger, and a job shows by stage what it has cost, and what the rest will."""

from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId, new_batch_id
from shared.jobs import experience
from shared.jobs.control import cancel_job, pause_if_running
from shared.jobs.experience import LEAST_CALLS
from shared.jobs.models import publish_providers
from shared.jobs.plan import plan_job
from shared.jobs.progress import read_job, read_job_within
from shared.jobs.spec import JobSpec
from shared.money import format_usd
from shared.planning.forecast import Forecast, StageForecast
from shared.settings import Settings
from tests.service.jobs.world import batches_of, execute, make_spec, submit

SMALL, OTHER = "openai/gpt-6-luna", "anthropic/claude-haiku-5-5"
ALL = ["generate", "validate", "answer"]
MODELS = {stage: {"easy": SMALL} for stage in ALL}
# What no assumption comes to: 16 admitted questions a call of 20, of odd lengths.
CALLS, RESULTS, INPUT, OUTPUT = 20, 320, 777, 1_250

ADD_BATCH = """
INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls,
    state, fence, generated, admitted, calls_parsed, finished_at)
VALUES (:id, :job_id, :stage, 'math', 'easy', 1000 + :calls, 400, 20, 0, :calls, 'done', 1, :generated, :results,
    :calls, now() - interval '1 hour')
"""
ADD_CALLS = """
INSERT INTO call (id, job_id, batch_id, stage, difficulty, ordinal, attempt, fence, model, prompt, state, outcome, raw,
    worst_usd, input_tokens, output_tokens, cost_usd, settled_at, parsed_at)
SELECT gen_random_uuid(), :job_id, :batch_id, :stage, 'easy', n, 1, 1, 'openai/gpt-6-luna', '{}', 'ok', 'ok', '{}', 1,
    :input, :output, :cost, now(), now()
FROM generate_series(1, :calls) AS n
"""


async def spend(
    engine: AsyncEngine, job_id: JobId, stage: str = "generate", *, calls: int = CALLS, generated: int = CALLS * 20,
    results: int = RESULTS, cost: str = "0.002",
) -> None:  # fmt: skip
    """So many calls of a stage, at 777 tokens in, 1,250 out and `cost` dollars each."""
    batch_id = new_batch_id()
    about = {"job_id": job_id, "stage": stage, "calls": calls}
    await execute(engine, ADD_BATCH, id=batch_id, generated=generated, results=results, **about)
    await execute(engine, ADD_CALLS, batch_id=batch_id, input=INPUT, output=OUTPUT, cost=Decimal(cost), **about)
    spent = "UPDATE job_budget SET spent_usd = spent_usd + :usd WHERE job_id = :id"
    await execute(engine, spent, usd=Decimal(cost) * calls, id=job_id)


async def finished(engine: AsyncEngine, settings: Settings, spec: JobSpec, **calls: Any) -> None:
    """A job like this that has spent something and is over."""
    job_id = await submit(engine, settings, spec)
    await spend(engine, job_id, **calls)
    await cancel_job(engine, job_id)


async def forecast_of(engine: AsyncEngine, settings: Settings, spec: JobSpec) -> Forecast:
    return (await plan_job(engine, settings, spec)).forecast


def per_call(forecast: StageForecast) -> tuple[float, float]:
    """Input and output tokens of one call; the last one, which is not full, writes less."""
    return forecast.input_tokens / forecast.calls, ceil(forecast.output_tokens / forecast.calls / 50) * 50


def a_spec(dataset: str, **changes: Any) -> JobSpec:
    return make_spec(dataset, **{"models": MODELS, **changes})


async def test_a_second_plan_uses_what_the_first_job_took(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    spec = a_spec(dataset)
    before = await forecast_of(engine, settings, spec)
    await finished(engine, settings, spec)
    [generate] = (await forecast_of(engine, settings, a_spec(f"{dataset}-again"))).stages
    assert generate.calls == 800 * CALLS // RESULTS
    assert per_call(generate) == (INPUT, OUTPUT)
    assert generate.cost_usd > before.cost_usd
    # Prices are those of today, not what was paid.
    assert generate.cost_usd != generate.calls * Decimal("0.002")


async def test_a_small_jobs_forecast_counts_the_calls_that_its_batches_make(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    # No other test has questions of 19 tokens.
    own = {"easy": {"token_share": 1, "mean_tokens": 19}}
    mix = {"domains": {"math": 3, "coding": 13, "reading": 33}, "difficulties": own}
    spec = a_spec(dataset, mix=mix, stages=ALL)
    [generate, *_] = (await forecast_of(engine, settings, spec)).stages
    batches = await batches_of(engine, await submit(engine, settings, spec))
    assert generate.calls == sum(batch.calls for batch in batches) == 4
    [one] = (await forecast_of(engine, settings, a_spec(dataset, mix=mix | {"domains": {"math": 3}}))).stages
    assert generate.output_tokens == 4 * one.output_tokens


@pytest.mark.parametrize(
    "changes",
    [
        {"models": {"generate": {"easy": OTHER}}},
        {"mix": {"difficulties": {"easy": {"token_share": 1, "mean_tokens": 16}}}},
        {"questions_per_call": {"easy": 19}},
    ],
)
async def test_calls_of_another_kind_teach_nothing(
    engine: AsyncEngine, settings: Settings, dataset: str, changes: dict[str, Any]
) -> None:
    # No other test has calls of twelve questions of 17 tokens.
    own = {"mix": {"difficulties": {"easy": {"token_share": 1, "mean_tokens": 17}}}, "questions_per_call": {"easy": 12}}
    await finished(engine, settings, a_spec(dataset, **own))
    same = await forecast_of(engine, settings, a_spec(f"{dataset}-same", **own))
    assert per_call(same.stages[0]) == (INPUT, OUTPUT)
    other = await forecast_of(engine, settings, a_spec(f"{dataset}-other", **{**own, **changes}))
    assert per_call(other.stages[0])[0] != INPUT


async def test_only_the_newest_jobs_are_looked_at(
    engine: AsyncEngine, settings: Settings, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"questions_per_call": {"easy": 7}}
    await finished(engine, settings, a_spec(dataset, **own))
    await submit(engine, settings, a_spec(f"{dataset}-another"))
    monkeypatch.setattr(experience, "NEWEST_JOBS", 2)
    assert per_call((await forecast_of(engine, settings, a_spec(f"{dataset}-next", **own))).stages[0])[0] == INPUT
    monkeypatch.setattr(experience, "NEWEST_JOBS", 1)
    assert per_call((await forecast_of(engine, settings, a_spec(f"{dataset}-next", **own))).stages[0])[0] != INPUT


async def test_a_few_calls_and_calls_without_result_teach_nothing(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    own = {"questions_per_call": {"easy": 11}}
    before = await forecast_of(engine, settings, a_spec(dataset, **own))
    await finished(engine, settings, a_spec(dataset, **own), calls=LEAST_CALLS - 1)
    assert await forecast_of(engine, settings, a_spec(dataset, **own)) == before
    await finished(engine, settings, a_spec(dataset, **own), calls=1, results=0, generated=0)
    after = await forecast_of(engine, settings, a_spec(dataset, **own))
    assert per_call(after.stages[0]) == (INPUT, OUTPUT)


async def test_rehearsed_calls_teach_nothing_about_real_ones(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    own = {"questions_per_call": {"easy": 13}}
    await finished(engine, settings, a_spec(dataset, **own))
    async with engine.begin() as conn:
        await publish_providers(conn, ["openai", "anthropic"], rehearsal=False)
    try:
        real = await forecast_of(engine, settings, a_spec(f"{dataset}-real", **own))
    finally:
        async with engine.begin() as conn:
            await publish_providers(conn, ["openai", "anthropic"], rehearsal=True)
    assert per_call(real.stages[0])[0] != INPUT
    rehearsed = await forecast_of(engine, settings, a_spec(f"{dataset}-rehearsed", **own))
    assert per_call(rehearsed.stages[0]) == (INPUT, OUTPUT)


async def test_each_stage_learns_from_its_own_calls(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    own = {"stages": ALL, "judging": {"questions_per_call": {"easy": 18}, "votes": 3}}
    before = {each.stage: each for each in (await forecast_of(engine, settings, a_spec(dataset, **own))).stages}
    # 18 questions a call, each judged three times: six a call are done with.
    await finished(engine, settings, a_spec(dataset, **own), stage="validate", calls=30, generated=180, results=90)
    after = {each.stage: each for each in (await forecast_of(engine, settings, a_spec(dataset, **own))).stages}
    assert after["answer"] == before["answer"]
    assert per_call(after["validate"]) == (INPUT, OUTPUT)
    # As many calls as there are verdicts to give, whatever passes.
    assert after["validate"].calls == pytest.approx(before["validate"].calls, abs=3)
    # What three votes took says nothing about one.
    once = {"stages": ALL, "judging": {"questions_per_call": {"easy": 18}, "votes": 1}}
    other = {each.stage: each for each in (await forecast_of(engine, settings, a_spec(dataset, **once))).stages}
    assert per_call(other["validate"])[0] != INPUT


async def test_forecast_and_actual_stand_side_by_side_with_what_is_left(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    own = {"stages": ALL, "questions_per_call": {"easy": 14}}
    job_id = await submit(engine, settings, a_spec(dataset, **own))
    planned = (await forecast_of(engine, settings, a_spec(f"{dataset}-twin", **own))).to_json()
    await spend(engine, job_id, "generate", calls=50, generated=700, results=600, cost="0.003")
    await spend(engine, job_id, "validate", calls=20, generated=400, results=380, cost="0.001")
    generate, validate, answer = (await read_job(engine, job_id))["progress"]["stages"]
    for shown, expected in zip((generate, validate, answer), planned["stages"], strict=True):
        same = {name: expected[name] for name in shown["forecast"]}
        assert shown["forecast"] == same | {"cost_usd": float(expected["cost_usd"])}
    assert generate["actual"] == {
        "questions": 600, "calls": 50, "input_tokens": 50 * INPUT, "output_tokens": 50 * OUTPUT, "cost_usd": 0.15,
    }  # fmt: skip
    assert (validate["judged"], validate["passed"], validate["actual"]["questions"]) == (400, 380, 400)
    # Nothing is selected in this toy: at 400 of 420 all of 800 have to be made, judged and answered yet.
    assert (generate["left"]["questions"], answer["left"]["questions"]) == (840, 800)
    assert generate["left"]["cost_usd"] == pytest.approx(840 * 0.15 / 600)
    assert validate["left"]["cost_usd"] == pytest.approx(840 * 0.02 / 400)
    # Of what was not tried yet the forecast tells.
    assert answer["left"]["cost_usd"] == pytest.approx(float(answer["forecast"]["cost_usd"]), rel=0.001)


async def test_a_pause_by_the_budget_says_what_is_done_what_is_missing_and_what_it_would_cost(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, a_spec(dataset, stages=ALL, questions_per_call={"easy": 15}))
    await spend(engine, job_id, "generate", calls=50, generated=700, results=600, cost="0.003")
    assert await pause_if_running(engine, job_id, "the next call may cost $1", by_budget=True)
    job = await read_job(engine, job_id)
    left = {each["stage"]: each["left"] for each in job["progress"]["stages"]}
    costs = {name: format_usd(its["cost_usd"]) for name, its in left.items()}
    missing = ", ".join(f"{its['questions']:,} to {name} (about {costs[name]})" for name, its in left.items())
    whole = 0.15 + sum(its["cost_usd"] for its in left.values())
    assert job["reason"] == (
        "the next call may cost $1. Done: 0 generated, 0 validated, 0 answered, of 800 questions. "
        f"Missing: {missing}; with that the job would cost about {format_usd(round(whole, 4))}"
    )
    assert not await pause_if_running(engine, job_id, "a later reason", by_budget=True)


async def test_a_pause_for_another_reason_says_only_that(engine: AsyncEngine, job_id: JobId) -> None:
    assert await pause_if_running(engine, job_id, "the key is refused")
    assert (await read_job(engine, job_id))["reason"] == "the key is refused"


async def test_a_plan_changed_on_the_way_keeps_the_first_forecast(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, a_spec(dataset))
    first = (await read_job(engine, job_id))["progress"]["stages"][0]["forecast"]
    again = "INSERT INTO job_plan (job_id, version, plan, reason) SELECT job_id, 2, plan, 'again' FROM job_plan"
    await execute(engine, f"{again} WHERE job_id = :id", id=job_id)
    job = await read_job(engine, job_id)
    assert (job["plan_version"], job["progress"]["stages"][0]["forecast"]) == (2, first)


async def test_reading_a_job_reads_no_finished_row(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    job_id = await submit(engine, settings, a_spec(dataset, stages=ALL))
    await spend(engine, job_id, calls=20_000, generated=20, results=20, cost="0.00001")
    for table in ("call", "batch"):
        await execute(engine, f"ANALYZE {table}")
    async with engine.connect() as conn:
        shown = await read_job_within(conn, job_id)
        # What this transaction has read, by Postgres's own count.
        read = await conn.execute(
            text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'call'")
        )
        assert shown["progress"]["calls"]["sent"] == 20_000
        assert read.scalar_one() < 2_000
