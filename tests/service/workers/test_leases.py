import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.llm.stop import Stop
from tests.service.jobs.world import batches_of, claim_as, execute, expire, first_batch, held_batch
from workers.leases import LeaseKeeper


@pytest.fixture
def keeper(engine: AsyncEngine) -> LeaseKeeper:
    return LeaseKeeper(engine, lease_seconds=60)


async def test_a_kept_lease_is_renewed_until_the_block_ends(
    engine: AsyncEngine, job_id: JobId, keeper: LeaseKeeper
) -> None:
    batch = await claim_as(engine, await first_batch(engine, job_id), lease_seconds=5)
    assert batch is not None
    stop = Stop()
    claimed = (await batches_of(engine, job_id))[0].lease_until
    with keeper.keep(batch.hold, stop):
        await keeper.renew_once()
    renewed = (await batches_of(engine, job_id))[0].lease_until
    assert renewed > claimed
    assert not stop.is_set
    await keeper.renew_once()
    assert (await batches_of(engine, job_id))[0].lease_until == renewed


async def test_a_lost_lease_stops_its_own_batch_only(engine: AsyncEngine, job_id: JobId, keeper: LeaseKeeper) -> None:
    lost, kept = [await claim_as(engine, batch.id) for batch in await batches_of(engine, job_id)]
    assert lost is not None
    assert kept is not None
    await expire(engine, lost.hold.batch_id)
    assert await claim_as(engine, lost.hold.batch_id, "another") is not None
    stop_lost, stop_kept = Stop(), Stop()
    with keeper.keep(lost.hold, stop_lost), keeper.keep(kept.hold, stop_kept):
        await keeper.renew_once()
    assert (stop_lost.is_set, stop_kept.is_set) == (True, False)


async def test_a_cancelled_jobs_leases_are_lost(engine: AsyncEngine, job_id: JobId, keeper: LeaseKeeper) -> None:
    batch = await held_batch(engine, job_id)
    await execute(
        engine,
        "UPDATE batch SET state = 'dropped', reason = 'a test', lease_until = NULL, finished_at = now()"
        " WHERE job_id = :id",
        id=job_id,
    )
    stop = Stop()
    with keeper.keep(batch.hold, stop):
        await keeper.renew_once()
    assert stop.is_set


async def test_a_newer_hold_of_the_same_process_is_renewed_while_an_old_one_is_lost(
    engine: AsyncEngine, job_id: JobId, keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await held_batch(engine, job_id)
    await expire(engine, old.hold.batch_id)
    stop_old, stop_new = Stop(), Stop()
    with keeper.keep(old.hold, stop_old):
        new = await claim_as(engine, old.hold.batch_id, lease_seconds=5)
        assert new is not None
        real = stop_old.set

        def claimed_again_meanwhile() -> None:
            real()
            keeping.__enter__()

        keeping = keeper.keep(new.hold, stop_new)
        monkeypatch.setattr(stop_old, "set", claimed_again_meanwhile)
        await keeper.renew_once()
        before = (await batches_of(engine, job_id))[0].lease_until
        await keeper.renew_once()
        assert (await batches_of(engine, job_id))[0].lease_until > before
        keeping.__exit__(None, None, None)
    assert (stop_old.is_set, stop_new.is_set) == (True, False)


async def test_after_a_failure_leases_are_renewed_again_at_once(
    engine: AsyncEngine, job_id: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.leases.RETRY_SECONDS", 0.01)
    keeper = LeaseKeeper(engine, lease_seconds=1.5)
    tried: list[float] = []
    done = asyncio.Event()

    async def renew() -> None:
        tried.append(asyncio.get_running_loop().time())
        if len(tried) == 1:
            raise OSError("the database is away")
        done.set()

    monkeypatch.setattr(keeper, "renew_once", renew)
    running = asyncio.create_task(keeper.run())
    await asyncio.wait_for(done.wait(), 5)
    running.cancel()
    assert tried[1] - tried[0] < 0.4, "it waited a third of a lease"
