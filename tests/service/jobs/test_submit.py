import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.baseline import LOCK_DATASET
from shared.errors import Conflict, InfeasibleMix, UnusableModel
from shared.ids import JobId
from shared.jobs.plan import BUDGET_FACTOR, plan_job
from shared.jobs.submit import submit_job
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for
from shared.questions.gates.table import switch_gates
from shared.questions.prompts import draw_tuple
from shared.settings import Settings
from tests.service.jobs.world import Broker, add_questions, batches_of, execute, fetch, make_spec, submit, tick

TABLES = ("dataset", "job", "job_plan", "job_budget", "job_cell", "batch", "prompt_cursor")


def numbered(count: int) -> list[str]:
    return [f"What is {n} plus {n}?" for n in range(count)]


async def counts_of(engine: AsyncEngine, name: str) -> dict[tuple[str, str], int]:
    counted = """SELECT domain, question.state, COUNT(*) FROM question JOIN dataset ON dataset.id = dataset_id
                 WHERE name = :name GROUP BY 1, 2"""
    return {(domain, state): count for domain, state, count in await fetch(engine, counted, name=name)}


async def rows_of(engine: AsyncEngine) -> dict[str, int]:
    return {table: (await fetch(engine, f"SELECT COUNT(*) FROM {table}"))[0][0] for table in TABLES}


async def test_only_what_the_baseline_lacks_is_asked_for(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    await add_questions(engine, dataset, numbered(770))
    job_id = await submit(engine, settings, make_spec(dataset))
    assert [(batch.questions, batch.calls) for batch in await batches_of(engine, job_id)] == [(40, 2)]
    plan = (await plan_job(engine, settings, make_spec(dataset))).plan
    assert [(each.target, each.have, each.generate, each.surplus) for each in plan.cells] == [(800, 770, 30, 0)]


async def test_a_jobs_spec_says_of_every_gate_whether_it_is_on(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, gates={"language": False, "No_Tool": True}))
    stored = await fetch(engine, "SELECT spec -> 'gates' FROM job WHERE id = :id", id=job_id)
    assert stored == [(switch_gates({"language": False, "no tool": True}),)]


async def test_a_surplus_is_unselected_and_never_deleted(
    engine: AsyncEngine, settings: Settings, dataset: str, broker: Broker
) -> None:
    await add_questions(engine, dataset, numbered(900))
    async with engine.connect() as person:
        # What may take long is left to the reconciler: nobody who posts waits for it.
        await person.execute(
            text(
                "SELECT FROM question JOIN dataset ON dataset.id = dataset_id WHERE name = :name FOR UPDATE OF question"
            ),
            {"name": dataset},
        )
        async with asyncio.timeout(10):
            job_id = await submit(engine, settings, make_spec(dataset))
    await tick(engine, job_id, broker)
    assert await counts_of(engine, dataset) == {("math", "selected"): 800, ("math", "reserve"): 100}
    assert await batches_of(engine, job_id) == []


async def test_a_surplus_that_is_kept_takes_the_places_of_other_cells(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    difficulties = {
        "easy": {"token_share": 0.5, "mean_tokens": 15},
        "hard": {"token_share": 0.5, "mean_tokens": 15},
    }
    await add_questions(engine, dataset, numbered(60))
    spec = make_spec(dataset, surplus="keep", mix={"domains": {"math": 100}, "difficulties": difficulties})
    job_id = await submit(engine, settings, spec)
    targets = "SELECT difficulty, target FROM job_cell WHERE job_id = :id ORDER BY 1"
    assert await fetch(engine, targets, id=job_id) == [("easy", 60), ("hard", 40)]
    assert await counts_of(engine, dataset) == {("math", "selected"): 60}


async def test_a_kept_surplus_beyond_its_domain_is_infeasible_and_writes_nothing(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await add_questions(engine, dataset, numbered(801))
    before = await rows_of(engine)
    with pytest.raises(InfeasibleMix, match="math"):
        await submit(engine, settings, make_spec(dataset, surplus="keep"))
    assert await rows_of(engine) == before


async def test_questions_outside_the_mix_are_kept_but_not_selected(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await add_questions(engine, dataset, ["Why is the sky blue?"], cell=Cell("physics", "easy"))
    planned = await plan_job(engine, settings, make_spec(dataset))
    assert any("1 existing questions lie outside the mix" in warning for warning in planned.warnings)
    await submit(engine, settings, make_spec(dataset))
    assert await counts_of(engine, dataset) == {("physics", "reserve"): 1}


async def test_a_mix_that_was_read_off_a_dataset_is_read_off_it_again(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await add_questions(engine, dataset, numbered(7))
    planned = await plan_job(engine, settings, make_spec(dataset, mix={"existing": True}, stages=["validate"]))
    assert planned.spec.settled_mix.domains == {"math": 7}
    assert planned.plan.generate == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"judging": {"votes": 3}}, "judging"),
        ({"answering": {"tries": 2}, "models": {"answer": {"easy": "openai/gpt-6-luna"}}}, "answering, models.answer"),
        ({"mode": {"answer": "bulk"}}, "mode.answer"),
        ({"mode": "bulk"}, None),
        ({"judging": {"votes": 3}, "stages": ["generate", "validate"]}, None),
    ],
)
async def test_settings_of_stages_that_a_job_lacks_are_told(
    engine: AsyncEngine, settings: Settings, dataset: str, changes: dict[str, Any], told: str | None
) -> None:
    planned = await plan_job(engine, settings, make_spec(dataset, **changes))
    warnings = [each.partition("not used, for it is of others: ")[2] for each in planned.warnings]
    assert list(filter(None, warnings)) == ([told] if told else [])


async def test_a_second_unfinished_job_is_a_conflict(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    first = await submit(engine, settings, make_spec(dataset))
    with pytest.raises(Conflict, match=str(first)):
        await submit(engine, settings, make_spec(dataset, seed=1))
    await execute(engine, "UPDATE job SET state = 'cancelled', finished_at = now() WHERE id = :id", id=first)
    assert await submit(engine, settings, make_spec(dataset, seed=1)) != first


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"mix": {"minimum": {"easy": 801}}}, InfeasibleMix),
        ({"models": {"generate": {"easy": "openai/no-such-model"}}}, UnusableModel),
    ],
)
async def test_a_refused_job_leaves_nothing_half_made(
    engine: AsyncEngine, settings: Settings, dataset: str, changes: dict[str, Any], error: type[Exception]
) -> None:
    before = await rows_of(engine)
    with pytest.raises(error):
        await submit(engine, settings, make_spec(dataset, **changes))
    assert await rows_of(engine) == before


async def test_a_model_that_no_worker_has_a_key_for_is_refused_with_the_variables_name(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await execute(engine, "UPDATE provider SET seen_at = seen_at - interval '1 h' WHERE name = 'anthropic'")
    try:
        with pytest.raises(UnusableModel, match="ANTHROPIC_API_KEY") as refused:
            await submit(
                engine, settings, make_spec(dataset, models={"generate": {"easy": "anthropic/claude-haiku-5-5"}})
            )
    finally:
        await execute(engine, "UPDATE provider SET seen_at = clock_timestamp()")
    assert [each.loc for each in refused.value.errors] == ["models.generate.easy"]


async def test_until_a_worker_has_reported_a_job_is_refused_in_one_sentence_that_asks_for_no_key(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await execute(engine, "UPDATE provider SET seen_at = seen_at - interval '1 h'")
    try:
        with pytest.raises(UnusableModel, match="no worker is ready: wait") as refused:
            await submit(engine, settings, make_spec(dataset, stages=["generate", "validate", "answer"]))
    finally:
        await execute(engine, "UPDATE provider SET seen_at = clock_timestamp()")
    assert "KEY" not in refused.value.detail
    assert refused.value.errors == ()


async def test_one_key_for_two_datasets_at_once_makes_one_job(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    async def post(name: str) -> tuple[JobId, bool]:
        spec = make_spec(name)
        return await submit_job(engine, settings, spec, idempotency_key=dataset, request_hash=name.encode())

    ended = await asyncio.gather(*(post(f"{dataset}-{n}") for n in range(4)), return_exceptions=True)
    assert Counter(type(each) for each in ended) == {tuple: 1, Conflict: 3}
    assert len(await fetch(engine, "SELECT FROM job WHERE idempotency_key = :key", key=dataset)) == 1
    assert len(await fetch(engine, "SELECT FROM dataset WHERE name LIKE :name", name=f"{dataset}-%")) == 1


@pytest.mark.parametrize(("questions", "factor_decides"), [(20, False), (2_000_000, True)])
async def test_an_omitted_budget_is_half_as_much_again_as_the_forecast_or_the_last_calls_worst_case(
    engine: AsyncEngine, settings: Settings, dataset: str, questions: int, factor_decides: bool
) -> None:
    planned = await plan_job(engine, settings, make_spec(dataset, mix={"domains": {"math": questions}}))
    budget, cost = planned.spec.budget_usd, planned.forecast.cost_usd
    assert budget is not None
    half_more = (cost * BUDGET_FACTOR).quantize(Decimal("0.0001"))
    assert (budget == half_more) is factor_decides
    assert budget >= half_more


async def test_the_forecast_of_a_stage_in_bulk_mode_is_half_of_what_it_costs_live(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    stages = ["generate", "validate"]
    live, bulk, mixed = [
        (await plan_job(engine, settings, make_spec(dataset, stages=stages, mode=mode))).forecast
        for mode in ("live", "bulk", {"validate": "bulk"})
    ]
    assert bulk.cost_usd * 2 == pytest.approx(live.cost_usd)
    costs = [{each.stage: each.cost_usd for each in forecast.stages} for forecast in (live, mixed)]
    assert costs[1]["generate"] == costs[0]["generate"]
    assert costs[1]["validate"] * 2 == pytest.approx(costs[0]["validate"])


async def test_the_same_spec_seed_and_baseline_lead_to_the_same_work(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    made = []
    for name in (f"{dataset}-a", f"{dataset}-b"):
        await add_questions(engine, name, numbered(50))
        job_id = await submit(engine, settings, make_spec(name, mix={"domains": {"reading": 900, "math": 500}}))
        batches = [
            (batch.domain, batch.difficulty, batch.number, batch.questions, batch.first_ordinal, batch.calls)
            for batch in await batches_of(engine, job_id)
        ]
        plan = await fetch(engine, "SELECT plan FROM job_plan WHERE job_id = :id", id=job_id)
        ((seed,),) = await fetch(engine, "SELECT seed FROM job WHERE id = :id", id=job_id)
        tuples = [
            draw_tuple(atlas_for(domain), seed, Cell(domain, difficulty), ordinal)
            for domain, difficulty, _, _, first, calls in batches
            for ordinal in range(first, first + calls)
        ]
        assert len(set(tuples)) == len(tuples)
        made.append((plan, batches, tuples))
    assert made[0] == made[1]


async def test_a_second_job_of_a_dataset_draws_other_prompts(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    first = await submit(engine, settings, make_spec(dataset))
    await execute(engine, "UPDATE job SET state = 'cancelled', finished_at = now() WHERE id = :id", id=first)
    second = await submit(engine, settings, make_spec(dataset))
    assert [batch.first_ordinal for batch in await batches_of(engine, first)] == [0, 20]
    assert [(batch.first_ordinal, batch.number) for batch in await batches_of(engine, second)] == [(40, 1), (60, 2)]


async def test_a_dataset_that_is_being_imported_into_is_a_conflict_soon(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    before = await rows_of(engine)
    async with asyncio.timeout(10), engine.connect() as importing:
        await importing.execute(LOCK_DATASET, {"name": dataset})  # as an import does first
        with pytest.raises(Conflict, match=f"dataset {dataset} is being imported into"):
            await submit(engine, settings, make_spec(dataset))
    assert await rows_of(engine) == before
    await submit(engine, settings, make_spec(dataset))
