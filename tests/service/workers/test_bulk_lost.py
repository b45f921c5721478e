"""Bulk submissions that the provider does not know: it is another one, or only for a moment, or in earnest."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import pytest

from shared.ids import CallId, JobId
from shared.jobs.control import pause_job, resume_job
from shared.jobs.progress import read_job
from shared.llm.bulk_openai import OpenAIBulkProvider
from shared.llm.provider import LLMReply
from tests.service.jobs.world import EASY
from tests.service.local.rehearsal_client import serving
from tests.service.workers.bulk_world import LOCK, BulkWorld
from workers.bulk_keeper import LOST_FACTOR, BulkKeeper


@pytest.fixture
async def elsewhere(world: BulkWorld) -> AsyncIterator[OpenAIBulkProvider]:
    """What a process has whose OPENAI_BASE_URL is that of another server."""
    async with serving() as other:
        provider = OpenAIBulkProvider("sk", f"{other.url}/v1")
        yield provider
        await provider.close()


def keeper_that_waits(world: BulkWorld, seconds: float, **providers: OpenAIBulkProvider) -> BulkKeeper:
    """One that takes what is not known for lost after `seconds`."""
    settings = world.settings.model_copy(update={"bulk_settle_seconds": seconds / LOST_FACTOR})
    return BulkKeeper(replace(world.shop, settings=settings), {**world.providers, **providers})


async def submit_one(world: BulkWorld, dataset: str) -> JobId:
    """A job whose only submission is with OpenAI."""
    job_id = await world.submit(dataset, stages=["generate"], mix={"difficulties": EASY})
    await world.work(job_id)
    await world.keep()
    [only] = await world.submissions(job_id)
    assert (only["state"], only["provider"]) == ("submitted", "openai")
    return job_id


async def test_a_submission_is_not_given_up_while_keepers_ask_at_another_address(
    world: BulkWorld, dataset: str, elsewhere: OpenAIBulkProvider
) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await submit_one(world, dataset)
    held = await world.money(job_id)
    mistaken = keeper_that_waits(world, 3600, openai=elsewhere)
    for _ in range(3):
        await mistaken.run_once(LOCK)
    assert [each["state"] for each in await world.submissions(job_id)] == ["submitted"]
    assert (await read_job(world.engine, job_id))["state"] == "running"
    assert await world.money(job_id) == held
    await world.server.post("/rehearsal/bulk", {"hold": False})
    await world.run_until_over(job_id)
    assert [each["state"] for each in await world.submissions(job_id)] == ["ended"]
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_a_submission_that_was_given_up_and_is_known_after_all_is_cancelled(
    world: BulkWorld, dataset: str, elsewhere: OpenAIBulkProvider
) -> None:
    await world.server.post("/rehearsal/bulk", {"hold": True})
    job_id = await submit_one(world, dataset)
    await pause_job(world.engine, job_id)  # nothing is made anew at the other address
    mistaken = keeper_that_waits(world, 0.2, openai=elsewhere)
    await mistaken.run_once(LOCK)
    assert [each["state"] for each in await world.submissions(job_id)] == ["submitted"]
    async with asyncio.timeout(10):
        while [each["state"] for each in await world.submissions(job_id)] != ["failed"]:
            await mistaken.run_once(LOCK)
            await asyncio.sleep(0.02)
    await mistaken.run_once(LOCK)
    calls = await world.calls(job_id)
    assert {(call["state"], call["outcome"]) for call in calls} == {("unknown", "lost")}
    assert [each["cancel_asked"] for each in await world.at_provider(job_id)] == [False]
    await world.keep()
    assert [each["cancel_asked"] for each in await world.at_provider(job_id)] == [True]
    [given_up] = await world.submissions(job_id)
    assert given_up["cancel_asked_at"]
    assert given_up["detail"].startswith("the provider does not know it any more: No batch found with id")
    await world.server.post("/rehearsal/bulk", {"hold": False})
    await resume_job(world.engine, job_id)
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)


async def test_results_that_are_not_there_for_a_moment_are_fetched_later(world: BulkWorld, dataset: str) -> None:
    meddling = world.meddle("openai")
    missing = asyncio.Event()

    def results(provider_id: str) -> AsyncGenerator[tuple[CallId, LLMReply], None]:
        meddling.results = real
        missing.set()
        return real(f"{provider_id}x")

    meddling.results, real = results, meddling.results
    world.keeper = keeper_that_waits(world, 3600)
    job_id = await submit_one(world, dataset)
    async with asyncio.timeout(10):
        while not missing.is_set():
            await world.keep()
            await asyncio.sleep(0.01)
    assert [each["state"] for each in await world.submissions(job_id)] == ["submitted"]
    assert (await read_job(world.engine, job_id))["state"] == "running"
    await world.run_until_over(job_id)
    assert [each["state"] for each in await world.submissions(job_id)] == ["ended"]
    assert (await world.run_to_end(job_id))["state"] == "succeeded"
    await world.check(job_id)
