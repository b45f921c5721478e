import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.engine import SERVER_LIMITS, engine_for
from shared.database.fence import confirm_hold
from shared.database.states import Stage
from shared.errors import FencedOff
from shared.ids import JobId
from shared.jobs.actions import StopCell
from shared.jobs.apply import apply
from shared.jobs.control import cancel_job
from shared.jobs.progress import list_batches
from shared.settings import Settings
from tests.service.jobs.world import (
    MATH,
    Broker,
    add_questions,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    first_batch,
    held_batch,
    make_spec,
    pid_of,
    submit,
    tick,
    until_blocked_by,
)


async def state_of(engine: AsyncEngine, job_id: JobId) -> tuple[str, str | None]:
    ((state, reason),) = await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id)
    return state, reason


async def fill(engine: AsyncEngine, name: str, count: int, *, start: int = 0) -> None:
    await add_questions(engine, name, [f"What is {n} plus {n}?" for n in range(start, start + count)])


async def end_batches(engine: AsyncEngine, job_id: JobId, counts: str) -> None:
    """Let every open batch be done, with these counts."""
    await execute(
        engine,
        f"UPDATE batch SET state = 'done', finished_at = now(), {counts} WHERE job_id = :id AND state = 'pending'",
        id=job_id,
    )


async def test_a_submitted_job_is_hinted_once(engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str) -> None:
    await tick(engine, job_id, broker)
    assert [hint.label for hint in broker.hints] == [
        f"{dataset} math/easy #0001, 400 questions",
        f"{dataset} math/easy #0002, 400 questions",
    ]
    broker.take()
    before = await batches_of(engine, job_id)
    assert await tick(engine, job_id, broker) == 0
    assert broker.take() == []
    assert await batches_of(engine, job_id) == before


async def test_of_two_reconcilers_at_once_one_acts(engine: AsyncEngine, job_id: JobId, broker: Broker) -> None:
    await execute(engine, "DELETE FROM batch WHERE job_id = :id", id=job_id)
    other = Broker()
    await asyncio.gather(tick(engine, job_id, broker), tick(engine, job_id, other))
    batches = await batches_of(engine, job_id)
    assert [batch.number for batch in batches] == [1, 2]
    assert sorted(broker.take() + other.take()) == sorted(batch.id for batch in batches)


async def test_a_reconciler_leaves_a_job_alone_that_another_is_at(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    async with engine.begin() as conn:
        await conn.execute(
            text("SELECT pg_advisory_xact_lock(734601, hashtext(CAST(:id AS text)))"), {"id": str(job_id)}
        )
        assert await tick(engine, job_id, broker) == 0
    assert await tick(engine, job_id, broker) == 2


async def test_what_a_broker_did_not_take_is_hinted_in_the_next_tick(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    broker.away = True
    await tick(engine, job_id, broker)
    assert broker.take() == []
    broker.away = False
    await tick(engine, job_id, broker)
    assert broker.take() == [batch.id for batch in await batches_of(engine, job_id)]


async def test_a_hint_that_a_wiped_broker_forgot_is_repeated(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    await tick(engine, job_id, broker)
    broker.take()
    half_of_it_earlier = "UPDATE batch SET hinted_at = hinted_at - interval '15 s' WHERE job_id = :id"
    await execute(engine, half_of_it_earlier, id=job_id)
    await tick(engine, job_id, broker)
    assert broker.take() == []
    await execute(engine, half_of_it_earlier, id=job_id)
    await tick(engine, job_id, broker)
    assert broker.take() == [batch.id for batch in await batches_of(engine, job_id)]


async def test_a_dead_workers_batch_is_hinted_once_its_lease_is_over(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    await tick(engine, job_id, broker)
    broker.take()
    batch = await held_batch(engine, job_id)
    await execute(engine, "UPDATE batch SET hinted_at = now() - interval '1 h' WHERE job_id = :id", id=job_id)
    await tick(engine, job_id, broker)
    assert batch.hold.batch_id not in broker.take()
    await expire(engine, batch.hold.batch_id)
    await tick(engine, job_id, broker)
    assert broker.take() == [batch.hold.batch_id]


async def test_a_batch_that_never_gets_anywhere_is_parked_with_its_reason(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    batch_id = await first_batch(engine, job_id)
    for _ in range(3):
        assert await claim_as(engine, batch_id) is not None
        await expire(engine, batch_id)
    await tick(engine, job_id, broker)
    (parked,) = await list_batches(engine, job_id, state="parked", after=None, limit=10)
    assert parked["id"] == batch_id
    assert "3 times" in parked["reason"]
    # Its deficit gets a new batch with other prompts.
    batches = await batches_of(engine, job_id)
    assert [(batch.number, batch.first_ordinal) for batch in batches] == [(1, 0), (2, 20), (3, 40)]


async def test_a_full_job_succeeds_and_drops_what_nobody_holds(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await fill(engine, dataset, 800)
    await tick(engine, job_id, broker)
    assert await state_of(engine, job_id) == ("succeeded", None)
    assert {batch.state for batch in await batches_of(engine, job_id)} == {"dropped"}


async def test_a_full_job_waits_for_a_batch_that_is_held(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await held_batch(engine, job_id)
    await fill(engine, dataset, 800)
    await tick(engine, job_id, broker)
    assert (await state_of(engine, job_id))[0] == "running"
    assert [batch.state for batch in await batches_of(engine, job_id)] == ["leased", "dropped"]


async def test_overshoot_goes_to_the_reserve(engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str) -> None:
    await fill(engine, dataset, 830)
    await tick(engine, job_id, broker)
    counted = (
        "SELECT state, COUNT(*) FROM question JOIN dataset ON dataset.id = dataset_id WHERE name = :name GROUP BY 1"
    )
    assert dict(await fetch(engine, counted, name=dataset)) == {"selected": 800, "reserve": 30}
    assert (await state_of(engine, job_id))[0] == "succeeded"


async def test_the_same_questions_lead_to_the_same_choice_in_any_order_of_arrival(
    engine: AsyncEngine, settings: Settings, broker: Broker, dataset: str
) -> None:
    texts = [f"What is {n} plus {n}?" for n in range(60)]
    chosen = []
    for name, arrival in ((f"{dataset}-a", texts), (f"{dataset}-b", texts[::-1])):
        job_id = await submit(engine, settings, make_spec(name, mix={"domains": {"math": 40}}))
        for at in range(0, 60, 20):  # in three portions, with a tick after each
            await add_questions(engine, name, arrival[at : at + 20])
            await tick(engine, job_id, broker)
            await execute(engine, "UPDATE job SET state = 'running', finished_at = NULL WHERE id = :id", id=job_id)
        await tick(engine, job_id, broker)
        chosen.append(
            await fetch(
                engine,
                "SELECT text FROM question JOIN dataset ON dataset.id = dataset_id"
                " WHERE name = :name AND state = 'selected' ORDER BY text",
                name=name,
            )
        )
    assert len(chosen[0]) == 40
    assert chosen[0] == chosen[1]


async def test_existing_questions_that_are_kept_give_way_to_none_of_the_jobs_own(
    engine: AsyncEngine, settings: Settings, broker: Broker, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"What is {n} plus {n}?" for n in range(40)])
    job_id = await submit(engine, settings, make_spec(dataset, surplus="keep", mix={"domains": {"math": 50}}))
    await add_questions(engine, dataset, [f"What is {n} times {n}?" for n in range(20)])
    # What was paid for more than once comes before what was not, but not before what was there.
    await execute(
        engine,
        """UPDATE question SET job_id = batch.job_id, batch_id = batch.id, call_id = gen_random_uuid(), fence = 1,
               model = 'm', validated = true, answered = true
           FROM batch JOIN job ON job.id = batch.job_id
           WHERE batch.job_id = :id AND question.dataset_id = job.dataset_id AND text LIKE '%times%'""",
        id=job_id,
    )
    await tick(engine, job_id, broker)
    counted = """SELECT question.job_id IS NULL AS existing, question.state, COUNT(*)
                 FROM question JOIN job USING (dataset_id) WHERE job.id = :id GROUP BY 1, 2"""
    found = {tuple(row) for row in await fetch(engine, counted, id=job_id)}
    assert found == {(True, "selected", 40), (False, "selected", 10), (False, "reserve", 10)}
    assert (await state_of(engine, job_id))[0] == "succeeded"


async def test_a_discarded_questions_place_is_taken_from_the_reserve(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await held_batch(engine, job_id)  # keeps the job running
    await fill(engine, dataset, 801)
    await tick(engine, job_id, broker)
    await discard(engine, job_id, 1)
    await tick(engine, job_id, broker)
    assert await counts_of(engine, job_id) == {"selected": 800, "discarded": 1}


async def test_without_a_reserve_a_discarded_questions_place_is_generated(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await end_batches(engine, job_id, "generated = 400, admitted = 400, calls_parsed = 20")
    await fill(engine, dataset, 800)
    await discard(engine, job_id, 3)
    await tick(engine, job_id, broker)
    newest = (await batches_of(engine, job_id))[-1]
    assert (newest.number, newest.questions, newest.state) == (3, 20, "pending")
    assert broker.take() == [newest.id]


async def discard(engine: AsyncEngine, job_id: JobId, count: int) -> None:
    await execute(
        engine,
        """UPDATE question SET state = 'discarded' WHERE id IN (
               SELECT question.id FROM question JOIN job USING (dataset_id)
               WHERE job.id = :id AND question.state = 'selected' LIMIT :count)""",
        id=job_id,
        count=count,
    )


async def counts_of(engine: AsyncEngine, job_id: JobId) -> dict[str, int]:
    counted = """SELECT question.state, COUNT(*) FROM question JOIN job USING (dataset_id)
                 WHERE job.id = :id GROUP BY 1"""
    return {row[0]: row[1] for row in await fetch(engine, counted, id=job_id)}


async def reserve_all(engine: AsyncEngine, job_id: JobId, dataset: str, count: int) -> None:
    """So many questions, all of which are to be selected, of a job that goes on."""
    await held_batch(engine, job_id)
    await fill(engine, dataset, count)
    await execute(
        engine,
        "UPDATE question SET state = 'reserve' FROM job WHERE job.id = :id AND question.dataset_id = job.dataset_id",
        id=job_id,
    )


async def test_what_is_discarded_while_the_selection_runs_stays_discarded(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await reserve_all(engine, job_id, dataset, 790)
    async with engine.connect() as person:
        await person.execute(
            text("""UPDATE question SET state = 'discarded' WHERE id = (
                        SELECT MIN(question.id) FROM question JOIN job USING (dataset_id) WHERE job.id = :id)"""),
            {"id": job_id},
        )
        selecting = asyncio.create_task(tick(engine, job_id, broker))
        await until_blocked_by(engine, await pid_of(person))
        await person.commit()
    await selecting
    assert await counts_of(engine, job_id) == {"selected": 789, "discarded": 1}


@pytest.fixture
async def selecting(
    engine: AsyncEngine, job_id: JobId, dataset: str, broker: Broker, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[asyncio.Task[int], AsyncConnection]]:
    """A selection that takes until the connection beside it commits, longer than the server's limit for a statement."""
    await reserve_all(engine, job_id, dataset, 790)
    monkeypatch.setitem(SERVER_LIMITS, "statement_timeout", "300ms")
    async with engine_for(database_url, application="reconciler") as reconciling, engine.connect() as person:
        await person.execute(
            text("SELECT FROM question JOIN job USING (dataset_id) WHERE job.id = :id FOR UPDATE OF question"),
            {"id": job_id},
        )
        task = asyncio.create_task(tick(reconciling, job_id, broker))
        await until_blocked_by(engine, await pid_of(person))
        yield task, person


async def test_to_choose_in_a_large_cell_may_take_longer_than_other_statements(
    engine: AsyncEngine, job_id: JobId, selecting: tuple[asyncio.Task[int], AsyncConnection]
) -> None:
    task, person = selecting
    done, _ = await asyncio.wait([task], timeout=0.5)
    assert not done
    await person.commit()
    await task
    assert await counts_of(engine, job_id) == {"selected": 790}


async def test_a_job_is_cancelled_while_the_selection_runs_and_nothing_is_chosen_after_that(
    engine: AsyncEngine, job_id: JobId, selecting: tuple[asyncio.Task[int], AsyncConnection]
) -> None:
    task, person = selecting
    async with asyncio.timeout(5):
        await cancel_job(engine, job_id)
    assert not task.done()
    await person.commit()
    await task
    assert (await state_of(engine, job_id))[0] == "cancelled"
    assert await counts_of(engine, job_id) == {"reserve": 790}


async def test_success_is_withdrawn_when_the_counts_moved_meanwhile(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    batch = await held_batch(engine, job_id)
    await fill(engine, dataset, 800)
    await tick(engine, job_id, broker)
    await end_all(engine, job_id)
    async with engine.connect() as late:
        # A writer that has locked the job; the reconciler has counted, judged and waits for it.
        await late.execute(text("SELECT FROM job WHERE id = :id FOR SHARE"), {"id": job_id})
        await late.execute(
            text("""UPDATE question SET state = 'discarded' WHERE id = (
                        SELECT MIN(question.id) FROM question JOIN job USING (dataset_id) WHERE job.id = :id)"""),
            {"id": job_id},
        )
        ending = asyncio.create_task(tick(engine, job_id, broker))
        await until_blocked_by(engine, await pid_of(late))
        await late.commit()
    await ending
    assert (await state_of(engine, job_id))[0] == "running"
    assert (await batches_of(engine, job_id))[-1].state == "pending"
    assert batch.hold.batch_id not in broker.take()


async def end_all(engine: AsyncEngine, job_id: JobId) -> None:
    await execute(
        engine,
        "UPDATE batch SET state = 'done', lease_until = NULL, finished_at = now(), generated = 400, admitted = 400"
        " WHERE job_id = :id AND state IN ('pending', 'leased')",
        id=job_id,
    )


async def test_a_dry_job_fails_and_names_its_cells(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    await fill(engine, dataset, 300)
    await end_batches(engine, job_id, "generated = 400, admitted = 3, calls_parsed = 20")
    await tick(engine, job_id, broker)
    state, reason = await state_of(engine, job_id)
    assert state == "failed"
    assert reason is not None
    assert "math/easy: 300 of 800" in reason
    assert "yields nothing new: 6 of the last 800 candidates" in reason
    assert await counts_of(engine, job_id) == {"selected": 300}


async def test_no_batch_is_made_for_a_job_that_is_being_cancelled(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    await execute(engine, "DELETE FROM batch WHERE job_id = :id", id=job_id)
    async with engine.connect() as other:
        await other.execute(text("SELECT FROM job WHERE id = :id FOR SHARE"), {"id": job_id})
        cancelling = asyncio.create_task(cancel_job(engine, job_id))
        await until_blocked_by(engine, await pid_of(other))
        ticking = asyncio.create_task(tick(engine, job_id, broker))
        done, _ = await asyncio.wait([ticking], timeout=0.1)
        assert not done  # it lets the cancel, which was first, go first
        await other.commit()
    await asyncio.gather(cancelling, ticking)
    assert await batches_of(engine, job_id) == []
    assert broker.take() == []


async def test_a_stalled_worker_and_the_end_of_its_job_do_not_wait_in_a_circle(
    engine: AsyncEngine, job_id: JobId, broker: Broker, dataset: str
) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await fill(engine, dataset, 800)
    await expire(engine, hold.batch_id)
    async with engine.connect() as worker:
        await confirm_hold(worker, hold)  # woken: the lease is over, but nobody has claimed the batch yet
        await tick(engine, job_id, broker)
        assert (await state_of(engine, job_id))[0] == "running"
        await worker.commit()
    await tick(engine, job_id, broker)
    assert (await state_of(engine, job_id))[0] == "succeeded"
    with pytest.raises(Exception, match="succeeded") as refused:
        async with engine.begin() as conn:
            await confirm_hold(conn, hold)
    assert not isinstance(refused.value, FencedOff)


async def test_a_job_that_is_gone_is_no_error(engine: AsyncEngine, job_id: JobId, broker: Broker) -> None:
    await execute(engine, "DELETE FROM job WHERE id = :id", id=job_id)
    assert await tick(engine, job_id, broker) == 0


async def test_a_small_job_beside_a_large_one_starts_at_once(
    engine: AsyncEngine, settings: Settings, broker: Broker, dataset: str
) -> None:
    large: Any = await submit(engine, settings, make_spec(f"{dataset}-l", mix={"domains": {"math": 20_000}}))
    small = await submit(engine, settings, make_spec(f"{dataset}-s", mix={"domains": {"math": 20}}))
    await tick(engine, large, broker)
    assert len(broker.take()) == 24
    await tick(engine, small, broker)
    assert len(broker.take()) == 1


async def test_a_later_stage_of_a_cell_that_an_older_release_stopped_can_be_stopped(
    engine: AsyncEngine, job_id: JobId
) -> None:
    await execute(engine, "UPDATE job_cell SET stopped = 'dry' WHERE job_id = :id", id=job_id)
    for reason in ("nothing passed", "nothing passed once more"):
        async with engine.begin() as conn:
            await apply(conn, job_id, [StopCell(MATH, reason, Stage.VALIDATE)])
    stopped = await fetch(engine, "SELECT stopped, stopped_stage FROM job_cell WHERE job_id = :id", id=job_id)
    assert stopped == [("dry; nothing passed", "validate")]
