"""Bulk submissions that OpenAI takes and then refuses, since too many tokens of their model are enqueued."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.control import cancel_job
from shared.llm.retry import THROTTLED_FACTOR
from tests.service.jobs.world import EASY, batches_of
from tests.service.workers.bulk_world import BulkWorld, Crash

# Room for one of the submissions below, of 540 tokens or so, and not for two.
ROOM_FOR_ONE = 1_000
SAID = "token_limit_exceeded: Enqueued token limit reached for gpt-6-luna in organization org-rehearsal. Limit: "


async def submit_three(world: BulkWorld, dataset: str) -> JobId:
    """A job of three batches of one call each, all to one model."""
    domains = {"math": 20, "coding": 20, "reading": 20}
    return await world.submit(dataset, stages=["generate"], mix={"domains": domains, "difficulties": EASY})


async def stages_at(world: BulkWorld, job_id: JobId) -> list[str]:
    """Where the provider is with each submission, in the order in which they came."""
    return [each["stage"] for each in await world.at_provider(job_id)]


async def keep_until(world: BulkWorld, job_id: JobId, *stages: str) -> None:
    """Rounds of the keeper alone until the provider's submissions are there."""
    async with asyncio.timeout(20):
        while await stages_at(world, job_id) != list(stages):
            await world.keep()
            await asyncio.sleep(0.01)


async def test_a_job_with_room_for_one_submission_at_a_time_ends_exact(world: BulkWorld, dataset: str) -> None:
    await world.server.post("/rehearsal/bulk", {"seconds": 0.3, "enqueued_tokens": ROOM_FOR_ONE})
    job_id = await submit_three(world, dataset)
    job = await world.run_to_end(job_id, rounds=1000)
    assert job["state"] == "succeeded", job["reason"]
    assert [cell for cell in job["progress"]["cells"] if cell["selected"] != cell["target"]] == []
    await world.check(job_id)
    ends = Counter(each["state"] for each in await world.submissions(job_id))
    assert ends.keys() == {"ended", "withdrawn"}
    refused = [each for each in await world.submissions(job_id) if each["state"] == "withdrawn"]
    assert all(each["detail"].startswith(SAID) for each in refused)
    ids = {each["id"] for each in refused}
    calls = [call for call in await world.calls(job_id) if call["submission_id"] in ids]
    assert {(call["state"], call["outcome"], call["cost_usd"]) for call in calls} == {("failed", "cancelled", 0)}


async def test_nothing_more_is_submitted_until_one_of_ours_has_ended_and_then_one_at_a_time(
    world: BulkWorld, dataset: str
) -> None:
    world.shop.settings = world.settings.model_copy(update={"bulk_poll_seconds": 3600.0})
    world.keeper = world.new_keeper()
    await world.server.post("/rehearsal/bulk", {"seconds": 3600, "enqueued_tokens": ROOM_FOR_ONE})
    job_id = await submit_three(world, dataset)
    await world.work(job_id)
    await keep_until(world, job_id, "in_progress", "failed", "failed")
    for _ in range(5):
        await world.keep()
    before = await world.submissions(job_id)
    assert Counter(each["state"] for each in before) == {"submitted": 1, "withdrawn": 2}
    [running] = [each for each in before if each["state"] == "submitted"]
    await world.server.openai.batches.cancel(running["provider_id"])
    await keep_until(world, job_id, "ended", "failed", "failed", "in_progress", "failed")
    for _ in range(5):
        await world.keep()
    after = Counter(each["state"] for each in await world.submissions(job_id))
    assert after == {"ended": 1, "submitted": 1, "withdrawn": 3}
    await cancel_job(world.engine, job_id)
    await world.run_until_over(job_id)


async def test_a_submission_that_is_too_large_by_itself_is_given_up_and_the_job_says_why(
    world: BulkWorld, engine: AsyncEngine, dataset: str
) -> None:
    world.shop.settings = world.settings.model_copy(update={"bulk_poll_seconds": 0.0001})
    world.keeper = world.new_keeper()
    await world.server.post("/rehearsal/bulk", {"enqueued_tokens": 1})
    job_id = await world.submit(dataset, stages=["generate"], mix={"domains": {"math": 20}, "difficulties": EASY})
    job = await world.run_to_end(job_id, rounds=1000)
    assert job["state"] == "failed"
    why = f"openai/gpt-6-luna: its bulk submission was refused 3 times: {SAID}1 enqueued tokens."
    assert why in job["reason"]
    batches = await batches_of(engine, job_id)
    assert [batch.state for batch in batches] == ["parked"] * 3
    assert all(batch.reason.startswith(why) for batch in batches)
    assert {each["state"] for each in await world.submissions(job_id)} == {"failed"}
    await world.check(job_id)
    assert float((await world.money(job_id))["spent_usd"]) == 0


async def test_what_has_just_ended_may_still_take_the_room(world: BulkWorld, dataset: str) -> None:
    job_id = await submit_three(world, dataset)
    await world.work(job_id)
    await world.run_until_over(job_id)
    await world.server.post("/rehearsal/bulk", {"enqueued_tokens": 1})
    world.shop.settings = world.settings.model_copy(update={"bulk_settle_seconds": 3600.0, "bulk_poll_seconds": 3600.0})
    world.keeper = world.new_keeper()
    more = await world.submit(f"{dataset}-more", stages=["generate"], mix={"difficulties": EASY})
    await world.work(more)
    await world.keep()
    await world.run_until_over(more)
    assert [each["state"] for each in await world.submissions(more)] == ["withdrawn"]
    for each in (job_id, more):
        await cancel_job(world.engine, each)


async def test_prompts_whose_submissions_were_withdrawn_often_are_not_given_up(
    world: BulkWorld, engine: AsyncEngine, dataset: str
) -> None:
    world.shop.settings = world.settings.model_copy(update={"call_attempts": 1})
    meddling = world.meddle("openai")
    job_id = await world.submit(dataset, stages=["generate"], mix={"domains": {"math": 20}, "difficulties": EASY})
    await world.work(job_id)
    for _ in range(THROTTLED_FACTOR):
        meddling.crash_before_submit()
        world.keeper = world.new_keeper()
        with pytest.raises(Crash):
            await world.keep()
    await world.server.post("/rehearsal/bulk", {"expire_share": 1})
    world.keeper = world.new_keeper()
    await world.run_until_over(job_id)
    await world.server.post("/rehearsal/bulk", {"expire_share": 0})
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    outcomes = Counter(call["outcome"] for call in await world.calls(job_id))
    assert outcomes["cancelled"] == THROTTLED_FACTOR
    assert outcomes["expired"] == 1
    assert sum(batch.calls_given_up for batch in await batches_of(engine, job_id)) == 0
    await world.check(job_id)
