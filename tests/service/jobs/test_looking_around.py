"""A tick's look at all jobs together: who needs what, and hints that many jobs need."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.control import cancel_job
from shared.jobs.observe import observe, observe_all
from shared.jobs.reconcile import look_around, send_hints
from shared.settings import Settings
from tests.service.jobs.world import LIMITS, Broker, batches_of, execute, expire, held_batch, make_spec, submit, tick


@pytest.fixture(autouse=True)
async def nobody_else(engine: AsyncEngine) -> None:
    await execute(engine, "TRUNCATE dataset CASCADE")


async def forget_hints(engine: AsyncEngine, job_id: JobId) -> None:
    """As if they had been sent a while ago and a wiped broker had lost them."""
    past = timedelta(seconds=31)
    await execute(engine, "UPDATE batch SET hinted_at = hinted_at - :past WHERE job_id = :id", past=past, id=job_id)


async def submit_and_hint(engine: AsyncEngine, settings: Settings, name: str) -> JobId:
    job_id = await submit(engine, settings, make_spec(name))
    await tick(engine, job_id, Broker())
    return job_id


async def test_a_job_that_needs_nothing_is_left_alone_and_one_that_needs_work_is_named(
    engine: AsyncEngine, settings: Settings
) -> None:
    quiet = await submit_and_hint(engine, settings, "quiet")
    short = await submit_and_hint(engine, settings, "short")
    ended = await submit_and_hint(engine, settings, "ended")
    await execute(engine, "UPDATE job_cell SET target = 9999 WHERE job_id = :id", id=short)
    await cancel_job(engine, ended)
    needs = await look_around(engine, LIMITS)
    assert (needs.jobs, needs.hints) == ([short], [])
    assert quiet not in needs.jobs


async def test_hints_of_many_jobs_are_sent_together_once(
    engine: AsyncEngine, settings: Settings, broker: Broker
) -> None:
    jobs = [await submit_and_hint(engine, settings, f"set-{n}") for n in range(5)]
    for job_id in jobs:
        await forget_hints(engine, job_id)
    mine, others = await look_around(engine, LIMITS), await look_around(engine, LIMITS)
    assert mine.jobs == []
    assert await send_hints(engine, mine.hints, broker.publish) == 10
    assert sorted(broker.take()) == sorted([row.id for job_id in jobs for row in await batches_of(engine, job_id)])
    # Another reconciler that had seen the same sends none of them again.
    assert await send_hints(engine, others.hints, broker.publish) == 0
    assert broker.take() == []
    assert (await look_around(engine, LIMITS)).hints == []


async def test_what_a_broker_did_not_take_is_hinted_again_at_once(
    engine: AsyncEngine, settings: Settings, broker: Broker
) -> None:
    await forget_hints(engine, await submit_and_hint(engine, settings, "lonely"))
    broker.away = True
    assert await send_hints(engine, (await look_around(engine, LIMITS)).hints, broker.publish) == 2
    broker.away = False
    assert await send_hints(engine, (await look_around(engine, LIMITS)).hints, broker.publish) == 2
    assert len(broker.take()) == 2


async def test_a_batch_that_has_ended_since_the_look_is_not_hinted(
    engine: AsyncEngine, settings: Settings, broker: Broker
) -> None:
    job_id = await submit_and_hint(engine, settings, "late")
    await forget_hints(engine, job_id)
    needs = await look_around(engine, LIMITS)
    await cancel_job(engine, job_id)
    assert await send_hints(engine, needs.hints, broker.publish) == 0


async def test_one_job_that_cannot_be_judged_leaves_the_others_to_be_judged_alone(
    engine: AsyncEngine, settings: Settings
) -> None:
    sound = await submit_and_hint(engine, settings, "sound")
    broken = await submit_and_hint(engine, settings, "broken")
    await execute(
        engine,
        """UPDATE job SET spec = jsonb_set(spec, '{questions_per_call,easy}', '"many"') WHERE id = :id""",
        id=broken,
    )
    assert sorted((await look_around(engine, LIMITS)).jobs) == sorted([sound, broken])


async def test_a_look_at_many_jobs_sees_of_each_what_a_look_at_it_alone_sees(
    engine: AsyncEngine, settings: Settings
) -> None:
    jobs = [await submit_and_hint(engine, settings, f"set-{n}") for n in range(3)]
    held = await held_batch(engine, jobs[1])
    await expire(engine, held.hold.batch_id)
    async with engine.connect() as conn:
        together = await observe_all(conn, jobs)
        alone = [await observe(conn, job_id) for job_id in sorted(jobs)]
    # What the next batches are steered by is read only where they may be made.
    assert all(status.ground is None for each in together for status in each.cells)
    assert [(each.job_id, each.cells, set(each.open_batches)) for each in together] == [
        (each.job_id, tuple(replace(status, ground=None) for status in each.cells), set(each.open_batches))
        for each in alone
    ]
    assert [batch.expired for batch in together[1].open_batches].count(True) == 1


async def test_a_doubt_about_a_cell_is_settled_by_older_batches(engine: AsyncEngine, settings: Settings) -> None:
    """Many small batches: the newest six hold too few candidates to judge their cell by."""
    job_id = await submit_and_hint(engine, settings, "small-batches")
    await execute(
        engine,
        """INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call,
               first_ordinal, calls, state, generated, admitted, finished_at)
           SELECT gen_random_uuid(), :id, 'generate', 'math', 'easy', 100 + n, 20, 20, 0, 3, 'done', 10, 0, now()
           FROM generate_series(1, 30) AS n""",
        id=job_id,
    )
    async with engine.connect() as conn:
        [cell] = (await observe(conn, job_id)).cells
    assert (len(cell.ended), cell.generated, cell.batches) == (30, 300, 130)
