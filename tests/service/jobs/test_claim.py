import asyncio
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.ids import BatchId, JobId
from shared.jobs.claim import ClaimedBatch, Judged, claim, finish, record_judged, release, renew
from shared.jobs.control import pause_job
from tests.service.jobs.world import (
    MATH,
    add_call,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    first_batch,
    held_batch,
)


async def test_one_of_five_claims_of_the_same_hint_wins(engine: AsyncEngine, job_id: JobId) -> None:
    batch_id = await first_batch(engine, job_id)
    claims = await asyncio.gather(*(claim_as(engine, batch_id, f"worker {n}") for n in range(5)))
    assert len([batch for batch in claims if batch is not None]) == 1
    row = (await batches_of(engine, job_id))[0]
    assert (row.fence, row.attempts) == (1, 1)


async def test_a_claim_brings_all_that_the_work_needs(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    assert (batch.cell, batch.number, batch.questions, batch.questions_per_call) == (MATH, 1, 400, 20)
    assert (list(batch.ordinals), batch.seed, batch.mean_tokens, batch.attempts) == ([*range(20)], 2025, 15, 1)
    assert batch.model == "openai/gpt-6-luna"
    assert batch.hold.job_id == job_id
    assert batch.gates["language"]
    assert not batch.gates["no tool"]


async def test_a_job_older_than_the_gates_is_claimed_with_none_switched(engine: AsyncEngine, job_id: JobId) -> None:
    await execute(engine, "UPDATE job SET spec = spec - 'gates' WHERE id = :id", id=job_id)
    assert (await held_batch(engine, job_id)).gates == {}


async def test_an_unknown_batch_is_not_free(engine: AsyncEngine) -> None:
    assert await claim_as(engine, BatchId(uuid4())) is None


@pytest.mark.parametrize(
    "change",
    [
        "state = 'done', finished_at = now()",
        "state = 'dropped', reason = 'a test', finished_at = now()",
        "state = 'parked', reason = 'a test', finished_at = now()",
        "state = 'leased', fence = 1, lease_until = now() + interval '1 minute'",
        "attempts = 3",
    ],
)
async def test_an_ended_or_held_or_worn_out_batch_is_not_free(engine: AsyncEngine, job_id: JobId, change: str) -> None:
    batch_id = await first_batch(engine, job_id)
    await execute(engine, f"UPDATE batch SET {change} WHERE id = :id", id=batch_id)
    before = await batches_of(engine, job_id)
    assert await claim_as(engine, batch_id) is None
    assert await batches_of(engine, job_id) == before


async def test_a_paused_job_hands_out_nothing(engine: AsyncEngine, job_id: JobId) -> None:
    await pause_job(engine, job_id)
    assert await claim_as(engine, await first_batch(engine, job_id)) is None


async def test_an_expired_lease_is_claimed_with_a_higher_fence(engine: AsyncEngine, job_id: JobId) -> None:
    first = await held_batch(engine, job_id)
    await expire(engine, first.hold.batch_id)
    second = await claim_as(engine, first.hold.batch_id, "another")
    assert second is not None
    assert second.hold.fence == first.hold.fence + 1
    assert second.attempts == 2


async def claim_again(engine: AsyncEngine, earlier: ClaimedBatch) -> ClaimedBatch | None:
    async with engine.begin() as conn:
        return await claim(conn, earlier.hold.batch_id, worker="w", lease_seconds=60, max_attempts=3, earlier=earlier)


async def test_a_claim_whose_commit_got_through_unheard_is_recognised(engine: AsyncEngine, job_id: JobId) -> None:
    # FAULTS 18: and its lease is renewed, since nobody did so meanwhile.
    first = await claim_as(engine, await first_batch(engine, job_id), lease_seconds=30)
    assert first is not None
    claimed = (await batches_of(engine, job_id))[0].lease_until
    again = await claim_again(engine, first)
    assert again is not None
    assert again.hold == first.hold
    row = (await batches_of(engine, job_id))[0]
    assert (row.fence, row.attempts, row.lease_until > claimed) == (1, 1, True)


async def test_a_claim_is_recognised_whether_or_not_its_repetition_got_through(
    engine: AsyncEngine, job_id: JobId
) -> None:
    first = await claim_as(engine, await first_batch(engine, job_id))
    assert first is not None
    heard = await claim_again(engine, first)
    assert heard is not None
    async with engine.connect() as conn:
        lost = await claim(conn, first.hold.batch_id, worker="w", lease_seconds=60, max_attempts=3, earlier=heard)
        await conn.rollback()
    assert lost is not None
    again = await claim_again(engine, lost)
    assert again is not None
    assert again.hold == first.hold
    assert await claim_again(engine, first) is None


async def test_a_claim_whose_commit_did_not_get_through_is_made_anew(engine: AsyncEngine, job_id: JobId) -> None:
    batch_id = await first_batch(engine, job_id)
    async with engine.connect() as conn:
        lost = await claim(conn, batch_id, worker="w", lease_seconds=60, max_attempts=3)
        await conn.rollback()
    assert lost is not None
    again = await claim_again(engine, lost)
    assert again is not None
    assert again.written != lost.written
    assert (await batches_of(engine, job_id))[0].attempts == 1


async def test_a_twin_with_the_same_fence_is_not_taken_for_ones_own(engine: AsyncEngine, job_id: JobId) -> None:
    # Two messages of one batch in one process: the first claim was rolled back, the second got the same fence.
    batch_id = await first_batch(engine, job_id)
    async with engine.connect() as conn:
        lost = await claim(conn, batch_id, worker="w", lease_seconds=60, max_attempts=3)
        await conn.rollback()
    twin = await claim_as(engine, batch_id)
    assert lost is not None
    assert twin is not None
    assert twin.hold == lost.hold
    assert await claim_again(engine, lost) is None


async def test_an_unheard_claim_that_was_lost_meanwhile_stays_lost(engine: AsyncEngine, job_id: JobId) -> None:
    first = await held_batch(engine, job_id)
    await expire(engine, first.hold.batch_id)
    assert await claim_as(engine, first.hold.batch_id, "another") is not None
    assert await claim_again(engine, first) is None
    assert (await batches_of(engine, job_id))[0].worker == "another"


async def test_attempts_that_get_nowhere_run_out(engine: AsyncEngine, job_id: JobId) -> None:
    batch_id = await first_batch(engine, job_id)
    for _ in range(3):
        assert await claim_as(engine, batch_id) is not None
        await expire(engine, batch_id)
    assert await claim_as(engine, batch_id) is None


async def test_a_committed_call_resets_the_attempts(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    call_id = await add_call(engine, batch.hold)
    async with engine.begin() as conn:
        await record_judged(conn, [Judged(batch.hold, call_id, generated=20, admitted=18, parsed=1)])
    assert (await batches_of(engine, job_id))[0].attempts == 0


async def test_a_release_frees_at_once_and_is_no_failed_attempt(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    async with engine.begin() as conn:
        assert await release(conn, batch.hold)
        assert not await release(conn, batch.hold)
    row = (await batches_of(engine, job_id))[0]
    assert (row.state, row.attempts, row.lease_until, row.worker, row.hinted_at) == ("pending", 0, None, None, None)
    again = await claim_as(engine, batch.hold.batch_id)
    assert again is not None
    assert again.hold.fence == 2


async def test_renewal_keeps_ones_own_leases_only(engine: AsyncEngine, job_id: JobId) -> None:
    mine, other = [batch.id for batch in await batches_of(engine, job_id)]
    held, lost = await claim_as(engine, mine), await claim_as(engine, other)
    assert held is not None
    assert lost is not None
    await expire(engine, other)
    assert await claim_as(engine, other, "another") is not None
    before = [batch.lease_until for batch in await batches_of(engine, job_id)]
    async with engine.begin() as conn:
        assert await renew(conn, [lost.hold, held.hold], lease_seconds=600) == {mine}
    after = [batch.lease_until for batch in await batches_of(engine, job_id)]
    assert after[0] > before[0]
    assert after[1] == before[1]


async def test_a_stale_holder_cannot_release_what_another_holds(engine: AsyncEngine, job_id: JobId) -> None:
    stale = await held_batch(engine, job_id)
    await expire(engine, stale.hold.batch_id)
    assert await claim_as(engine, stale.hold.batch_id, "another") is not None
    async with engine.begin() as conn:
        assert not await release(conn, stale.hold)
    assert (await batches_of(engine, job_id))[0].worker == "another"


async def test_a_lease_lasts_by_the_databases_clock(engine: AsyncEngine, job_id: JobId) -> None:
    # FAULTS 12: no time of the worker's goes in; what comes out is the database's now and the length asked for.
    batch = await claim_as(engine, await first_batch(engine, job_id), lease_seconds=30)
    assert batch is not None
    ((left,),) = await fetch(
        engine,
        "SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM batch WHERE id = :id",
        id=batch.hold.batch_id,
    )
    assert 25 < left <= 30


async def test_counts_of_several_calls_add_up_by_reason(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    hold = batch.hold
    calls = [await add_call(engine, hold, ordinal=ordinal) for ordinal in range(3)]
    first = Judged(hold, calls[0], generated=20, admitted=17, parsed=1, rejected={"exact": 2}, repaired={"fence": 1})
    second = Judged(hold, calls[1], generated=20, admitted=19, parsed=1, rejected={"exact": 1, "near": 1})
    for judged in ([first, second], [Judged(hold, calls[2], given_up=1)]):
        async with engine.begin() as conn:
            await record_judged(conn, judged)
    row = (await batches_of(engine, job_id))[0]
    assert (row.generated, row.admitted, row.calls_parsed, row.calls_given_up) == (40, 36, 2, 1)
    assert (row.rejected, row.repaired) == ({"exact": 3, "near": 1}, {"fence": 1})


async def test_a_finished_batch_is_free_of_its_lease(engine: AsyncEngine, job_id: JobId) -> None:
    hold: Hold = (await held_batch(engine, job_id)).hold
    async with engine.begin() as conn:
        await finish(conn, hold)
    row = (await batches_of(engine, job_id))[0]
    assert (row.state, row.lease_until, row.worker) == ("done", None, None)
    assert row.finished_at is not None
    # FAULTS 18: told again, since COMMIT's answer was lost, it is still no stale holder.
    async with engine.begin() as conn:
        await finish(conn, hold)
    assert (await batches_of(engine, job_id))[0].finished_at == row.finished_at
