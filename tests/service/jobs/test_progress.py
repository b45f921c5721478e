from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId, new_call_id, new_job_id
from shared.jobs.claim import Judged, record_judged
from shared.jobs.control import cancel_job
from shared.jobs.progress import list_batches, list_calls, read_job
from shared.llm.ledger import NewCall, mark_parsed, open_call
from shared.settings import Settings
from tests.service.jobs.world import add_call, add_questions, execute, fetch, held_batch, make_spec, submit


async def work(engine: AsyncEngine, job_id: JobId) -> None:
    """Two calls that were parsed, one that failed at its second attempt, one in flight."""
    hold = (await held_batch(engine, job_id)).hold
    for ordinal, (admitted, rejected, repaired) in enumerate(
        [(17, {"exact": 2, "near": 1}, {}), (19, {"near": 1}, {"code fence": 1})]
    ):
        call_id = await add_call(engine, hold, ordinal=ordinal)
        async with engine.begin() as conn:
            await mark_parsed(conn, [call_id])
            judged = Judged(hold, call_id, 20, admitted, parsed=1, rejected=rejected, repaired=repaired)
            await record_judged(conn, [judged])
    await execute(engine, "UPDATE call SET input_tokens = 100, output_tokens = 300 WHERE job_id = :id", id=job_id)
    failed = await add_call(engine, hold, ordinal=2)
    await execute(
        engine, "UPDATE call SET state = 'failed', outcome = 'overloaded', attempt = 2 WHERE id = :id", id=failed
    )
    async with engine.begin() as conn:
        new = NewCall(
            hold, call_id=new_call_id(), ordinal=3, model="openai/gpt-6-luna", prompt={}, worst_usd=Decimal("0.001")
        )
        await open_call(conn, new)
    await execute(engine, "UPDATE job_budget SET spent_usd = 0.004 WHERE job_id = :id", id=job_id)


async def test_what_is_shown_is_what_the_rows_say(engine: AsyncEngine, job_id: JobId, dataset: str) -> None:
    await work(engine, job_id)
    await add_questions(engine, dataset, [f"What is {n} plus {n}?" for n in range(36)])
    progress = (await read_job(engine, job_id))["progress"]
    assert progress["calls"] == {
        "sent": 4,
        "ok": 2,
        "failed": 1,
        "retried": 1,
        "in_flight": 1,
        "input_tokens": 200,
        "output_tokens": 600,
        "outcomes": {"ok": 2, "overloaded": 1, "in flight": 1},
    }
    assert progress["cells"] == [
        {
            "domain": "math",
            "difficulty": "easy",
            "target": 800,
            "stopped": None,
            "selected": 36,
            "reserve": 0,
            "validated": 0,
            "answered": 0,
            "reserve_validated": 0,
            "tokens": 36 * 15,
            "completion_tokens": 0,
            "generated": 40,
            "admitted": 36,
            "rejected": 4,
        }
    ]
    assert (progress["target"], progress["selected"], progress["admitted"], progress["generated"]) == (800, 36, 36, 40)
    assert (progress["rejected"], progress["repaired"]) == ({"exact": 2, "near": 2}, {"code fence": 1})
    assert (progress["cost_usd"], progress["held_usd"], progress["yield"]) == (0.004, 0.001, 0.9)
    assert progress["tokens"] == {"prompt": 36 * 15, "completion": 0}
    shares = {"planned": {"easy": 1.0}, "measured": {"easy": 1.0}, "prompt": {"easy": 1.0}, "completion": {"easy": 0.0}}
    assert progress["token_shares"] == shares
    assert progress["batches"] == {"leased": 1, "pending": 1}


async def age_of(engine: AsyncEngine, job_id: JobId) -> float:
    age = "SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM job WHERE id = :id"
    [(seconds,)] = await fetch(engine, age, id=job_id)
    return float(seconds)


@pytest.mark.parametrize("age_seconds", [6, 30, 60, 3600])
async def test_a_young_jobs_rate_is_measured_over_its_own_age(
    engine: AsyncEngine, job_id: JobId, age_seconds: int
) -> None:
    await work(engine, job_id)
    born = "UPDATE job SET created_at = clock_timestamp() - make_interval(secs => :age) WHERE id = :id"
    await execute(engine, born, age=age_seconds, id=job_id)
    younger = await age_of(engine, job_id)
    progress = (await read_job(engine, job_id))["progress"]
    older = await age_of(engine, job_id)
    most, least = (36 / min(seconds, 60) * 60 for seconds in (younger, older))
    assert least - 0.1 <= progress["per_minute"] <= most + 0.1
    assert progress["eta_seconds"] == pytest.approx(800 / progress["per_minute"] * 60, abs=1)


async def test_calls_parsed_longer_ago_than_a_minute_are_no_rate(engine: AsyncEngine, job_id: JobId) -> None:
    await work(engine, job_id)
    await execute(engine, "UPDATE job SET created_at = created_at - interval '1 h' WHERE id = :id", id=job_id)
    earlier = "UPDATE call SET parsed_at = parsed_at - interval '61 s' WHERE job_id = :id"
    await execute(engine, earlier, id=job_id)
    progress = (await read_job(engine, job_id))["progress"]
    assert (progress["per_minute"], progress["eta_seconds"]) == (0.0, None)


async def test_an_ended_job_has_no_rate_and_keeps_its_numbers(engine: AsyncEngine, job_id: JobId) -> None:
    await work(engine, job_id)
    await cancel_job(engine, job_id)
    job = await read_job(engine, job_id)
    assert (job["state"], job["progress"]["per_minute"], job["progress"]["admitted"]) == ("cancelled", 0.0, 36)


async def test_a_job_that_needs_nothing_more_has_nothing_to_wait_for(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"What is {n} plus {n}?" for n in range(20)])
    job_id = await submit(engine, settings, make_spec(dataset, mix={"domains": {"math": 20}}))
    progress = (await read_job(engine, job_id))["progress"]
    assert (progress["selected"], progress["eta_seconds"], progress["yield"]) == (20, 0, None)


async def test_pages_follow_one_another_and_can_ask_for_a_state(engine: AsyncEngine, job_id: JobId) -> None:
    await work(engine, job_id)
    seen = []
    after = None
    while page := await list_calls(engine, job_id, state=None, after=after, limit=3):
        seen += page
        after = page[-1]["id"]
    assert len({call["id"] for call in seen}) == 4
    assert [call["state"] for call in await list_calls(engine, job_id, state="failed", after=None, limit=9)] == [
        "failed"
    ]
    assert len(await list_batches(engine, job_id, state="leased", after=None, limit=9)) == 1


async def test_a_job_that_is_not_there_is_not_found(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        await read_job(engine, new_job_id())
    with pytest.raises(NotFound):
        await list_batches(engine, new_job_id(), state=None, after=None, limit=1)
