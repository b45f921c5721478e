"""Keepers of bulk submissions that lack a provider's key or a price, and what a rehearsal leaves to real ones."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.jobs.control import cancel_job, resume_job
from shared.jobs.progress import read_job
from shared.llm.stop import Stop
from shared.settings import Price
from tests.service.jobs.world import EASY, execute, fetch
from tests.service.workers.bulk_world import LOCK, BulkWorld
from tests.service.workers.other_workers import others_have
from workers.bulk_keeper import BulkKeeper

LUNA, HAIKU = "openai/gpt-6-luna", "anthropic/claude-haiku-5-5"


@pytest.fixture
async def world(engine: AsyncEngine, world: BulkWorld) -> BulkWorld:
    """All keys are there to begin with."""
    await others_have(engine, "openai", "anthropic")
    return world


def keeper_with(world: BulkWorld, *names: str, **changes: object) -> BulkKeeper:
    """The keeper of a process that has keys for these providers, and perhaps other settings."""
    shop = replace(world.shop, settings=world.settings.model_copy(update=changes))
    return BulkKeeper(shop, {name: world.providers[name] for name in names})


@pytest.mark.parametrize(("others", "state"), [(("openai",), "running"), ((), "paused")])
async def test_a_process_without_a_key_keeps_only_where_nobody_has_one(
    world: BulkWorld, dataset: str, others: tuple[str, ...], state: str
) -> None:
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await others_have(world.engine, *others)
    stop, rounds = Stop(), 0
    keeper = keeper_with(world)
    sleep = stop.sleep

    async def count(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        await sleep(seconds)

    stop.sleep = count  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await keeper.run(stop)
    job = await read_job(world.engine, job_id)
    assert job["state"] == state
    assert (job["reason"] or "") == ("" if others else f"this worker has no key for openai, which {LUNA} needs")


async def test_keepers_with_different_keys_keep_in_turns(world: BulkWorld, dataset: str) -> None:
    both = {"easy": [LUNA, HAIKU], "hard": [HAIKU, LUNA]}
    models = {"generate": {"easy": LUNA, "hard": HAIKU}, "validate": {"easy": HAIKU, "hard": LUNA}, "answer": both}
    job_id = await world.submit(dataset, models=models)
    stop = Stop()
    keeping = [asyncio.create_task(keeper_with(world, name).run(stop)) for name in ("openai", "anthropic")]
    try:
        async with asyncio.timeout(60):
            while (await read_job(world.engine, job_id))["state"] == "running":
                await world.work(job_id)
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await asyncio.gather(*keeping)
    job = await read_job(world.engine, job_id)
    assert (job["state"], job["reason"]) == ("succeeded", None)
    await world.check(job_id)


@pytest.mark.parametrize("state", ["submitted", "withdrawn"])
async def test_the_lock_is_left_to_the_key_of_a_submission_that_is_out_or_may_turn_up(
    world: BulkWorld, dataset: str, state: str
) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    await cancel_job(world.engine, job_id)
    if state == "withdrawn":
        given_up = "state = 'withdrawn', ended_at = clock_timestamp(), provider_id = NULL, submitted_at = NULL"
        await execute(world.engine, f"UPDATE bulk_submission SET {given_up} WHERE job_id = :id", id=job_id)
    stop = Stop()
    first = keeper_with(world, "anthropic", bulk_settle_seconds=60.0)
    keeping = [asyncio.create_task(first.run(stop))]
    await until(world, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 734605 AND granted")
    keeping.append(asyncio.create_task(keeper_with(world, "openai", bulk_settle_seconds=60.0).run(stop)))
    try:
        asked = "SELECT FROM bulk_submission WHERE job_id = :id AND cancel_asked_at IS NOT NULL"
        await until(world, asked, id=job_id)
    finally:
        stop.set()
        await asyncio.gather(*keeping)
    await world.server.post("/rehearsal/bulk", {"hold": False})
    await world.run_until_over(job_id)


async def until(world: BulkWorld, statement: str, **values: object) -> None:
    """Return once the statement finds a row."""
    async with asyncio.timeout(10):
        while True:
            if await fetch(world.engine, statement, **values):
                return
            await asyncio.sleep(0.005)


async def test_a_job_is_not_paused_for_a_key_that_another_worker_has_but_for_one_that_nobody_has(
    world: BulkWorld, engine: AsyncEngine, dataset: str
) -> None:
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    world.keeper = keeper_with(world, "anthropic")
    await world.work(job_id)
    await world.keep()
    assert (await read_job(engine, job_id))["state"] == "running"
    assert await world.submissions(job_id) == []
    await others_have(engine, "anthropic")
    await world.keep()
    job = await read_job(engine, job_id)
    assert (job["state"], job["reason"]) == ("paused", f"this worker has no key for openai, which {LUNA} needs")
    await resume_job(engine, job_id)
    world.keeper = world.new_keeper()
    assert (await world.run_to_end(job_id))["state"] == "succeeded"


async def test_results_without_a_price_wait_for_it_and_the_job_says_so(world: BulkWorld, dataset: str) -> None:
    prices = {"openai/mine": Price.model_validate({"input": 1, "output": 1})}
    world.settings = world.settings.model_copy(update={"prices": prices})
    models = {"generate": {"easy": "openai/mine"}}
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY}, models=models)
    await world.work(job_id)
    await keeper_with(world, "openai").run_once(LOCK)
    unpriced = keeper_with(world, "openai", prices={})
    async with asyncio.timeout(30):
        while (job := await read_job(world.engine, job_id))["state"] == "running":
            await unpriced.run_once(LOCK)
    assert job["state"] == "paused"
    assert "QUESTMILL_PRICES" in job["reason"]
    await resume_job(world.engine, job_id)
    world.keeper = keeper_with(world, "openai")
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


@pytest.mark.parametrize("state", ["intended", "submitted"])
async def test_what_a_cancelled_rehearsal_has_left_is_ended_by_workers_with_real_models(
    world: BulkWorld, engine: AsyncEngine, dataset: str, state: str
) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True} if state == "submitted" else {"lose_next": 1})
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    assert [each["state"] for each in await world.submissions(job_id)] == [state]
    real = keeper_with(world, "openai", "anthropic", rehearsal=False)
    await real.run_once(LOCK)
    job = await read_job(engine, job_id)
    assert job["state"] == "paused"
    assert "cancel it" in job["reason"]
    assert [each["state"] for each in await world.submissions(job_id)] == [state], "it may be resumed"
    await cancel_job(engine, job_id)
    await real.run_once(LOCK)
    assert [each["state"] for each in await world.submissions(job_id)] == ["withdrawn"]
    assert {(call["state"], call["cost_usd"]) for call in await world.calls(job_id)} == {("failed", 0)}
    assert float((await world.money(job_id))["held_usd"]) == 0
