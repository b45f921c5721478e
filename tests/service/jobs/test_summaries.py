from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.archive import archive_job
from shared.jobs.progress import list_jobs, read_job
from shared.jobs.summaries import list_summaries
from shared.settings import Settings
from tests.service.jobs.past import end, live
from tests.service.jobs.test_progress import work
from tests.service.jobs.world import add_questions, execute, make_spec, submit


async def summary_of(engine: AsyncEngine, job_id: JobId) -> dict[str, Any]:
    [progress] = [
        each["progress"] for each in await list_summaries(engine, before=None, limit=500) if each["id"] == job_id
    ]
    assert isinstance(progress, dict)
    return progress


async def test_a_list_says_what_the_jobs_themselves_say(engine: AsyncEngine, job_id: JobId, dataset: str) -> None:
    await work(engine, job_id)
    await add_questions(engine, dataset, [f"What is {n} plus {n}?" for n in range(36)])
    await execute(engine, "UPDATE job SET created_at = created_at - interval '1 h' WHERE id = :id", id=job_id)
    summary, whole = await summary_of(engine, job_id), (await read_job(engine, job_id))["progress"]
    assert (summary["target"], summary["done"], summary["share"]) == (800, 36, 0.045)
    for name in ("per_minute", "eta_seconds", "cost_usd"):
        assert summary[name] == whole[name], name
    assert (summary["per_minute"], summary["budget_usd"]) == (36, (await read_job(engine, job_id))["budget_usd"])


async def test_a_young_jobs_rate_counts_all_its_batches(engine: AsyncEngine, job_id: JobId) -> None:
    await work(engine, job_id)
    await execute(engine, "UPDATE batch SET fence = 1 WHERE job_id = :id AND state = 'pending'", id=job_id)
    other = "(SELECT id FROM batch WHERE job_id = :id AND state = 'pending' LIMIT 1)"
    await execute(engine, f"UPDATE call SET batch_id = {other} WHERE job_id = :id AND ordinal = 1", id=job_id)
    await execute(engine, "UPDATE job SET created_at = clock_timestamp() - interval '30 s' WHERE id = :id", id=job_id)
    summary, whole = await summary_of(engine, job_id), (await read_job(engine, job_id))["progress"]
    assert whole["per_minute"] == pytest.approx(72, rel=0.05)
    for name in ("per_minute", "eta_seconds"):
        assert summary[name] == pytest.approx(whole[name], rel=0.05), name


async def test_done_is_through_the_last_stage_and_no_more_than_wanted(engine: AsyncEngine, settings: Settings) -> None:
    stages = ["generate", "validate", "answer"]
    mix = {"domains": {"math": 30, "reading": 10}}
    job_id = await submit(engine, settings, make_spec("staged", mix=mix, stages=stages))
    await add_questions(engine, "staged", [f"What is {n} plus {n}?" for n in range(35)])
    assert (await summary_of(engine, job_id))["done"] == 0, "generated is not answered"
    of_dataset = "dataset_id = (SELECT dataset_id FROM job WHERE id = :id)"
    mark = f"UPDATE question SET validated = true, answered = {{}} WHERE {of_dataset}"
    await execute(engine, mark.format("id % 5 = 0"), id=job_id)
    assert (await summary_of(engine, job_id))["done"] == 7
    await execute(engine, mark.format("true"), id=job_id)
    summary = await summary_of(engine, job_id)
    assert (summary["done"], summary["share"]) == (30, 0.75), "a full cell does not make up for an empty one"
    assert summary["eta_seconds"] == (await read_job(engine, job_id))["progress"]["eta_seconds"] is None


async def test_an_archived_job_shows_its_record(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=400)
    before = await summary_of(engine, job_id)
    await archive_job(engine, job_id)
    assert await summary_of(engine, job_id) == before
    assert before["done"] == 4


async def test_the_list_is_the_list(engine: AsyncEngine, job_id: JobId) -> None:
    plain = await list_jobs(engine, before=None, limit=3)
    assert [
        {k: v for k, v in each.items() if k != "progress"}
        for each in await list_summaries(engine, before=None, limit=3)
    ] == plain
    assert await list_summaries(engine, before=plain[-1]["id"], limit=1) != await list_summaries(
        engine, before=None, limit=1
    )


async def test_an_empty_list_has_no_summaries(engine: AsyncEngine, job_id: JobId) -> None:
    first = (await list_jobs(engine, before=None, limit=500))[-1]["id"]
    assert await list_summaries(engine, before=first, limit=5) == []


@pytest.mark.parametrize("state", ["paused", "cancelled"])
async def test_a_job_at_rest_has_no_rate(engine: AsyncEngine, job_id: JobId, state: str) -> None:
    await work(engine, job_id)
    ended = ", finished_at = now()" if state == "cancelled" else ""
    await execute(engine, f"UPDATE job SET state = '{state}', reason = 'a test'{ended} WHERE id = :id", id=job_id)
    summary = await summary_of(engine, job_id)
    assert (summary["per_minute"], summary["eta_seconds"]) == (0.0, None)
