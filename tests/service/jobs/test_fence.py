import asyncio
from contextlib import suppress
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.fence import Hold, confirm_hold
from shared.errors import FencedOff, JobNotRunning
from shared.ids import JobId, new_call_id
from shared.jobs.claim import finish, renew
from shared.jobs.control import cancel_job, pause_job
from shared.llm.ledger import NewCall, Settlement, open_call, settle_calls
from shared.llm.provider import LLMReply, Outcome, Usage
from tests.service.factories import admit_reply
from tests.service.jobs.world import (
    MATH,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    held_batch,
    pid_of,
    until_blocked_by,
)

MODEL = "openai/gpt-6-luna"


async def admit_one(conn: AsyncConnection, hold: Hold, question: str) -> None:
    await confirm_hold(conn, hold)
    await admit_reply(conn, hold, question, cell=MATH)


async def questions_of(engine: AsyncEngine, job_id: JobId) -> list[str]:
    return [row[0] for row in await fetch(engine, "SELECT text FROM question WHERE job_id = :id", id=job_id)]


async def stale_and_fresh(engine: AsyncEngine, job_id: JobId) -> tuple[Hold, Hold]:
    """The hold of a worker that stalled past its lease, and of the one that took over."""
    stale = (await held_batch(engine, job_id)).hold
    await expire(engine, stale.batch_id)
    fresh = await claim_as(engine, stale.batch_id, "another")
    assert fresh is not None
    return stale, fresh.hold


async def test_a_stale_holder_writes_nothing(engine: AsyncEngine, job_id: JobId) -> None:
    stale, _ = await stale_and_fresh(engine, job_id)
    before = await batches_of(engine, job_id)
    with pytest.raises(FencedOff):
        async with engine.begin() as conn:
            await admit_one(conn, stale, "Who woke up too late?")
    with pytest.raises(FencedOff):
        async with engine.begin() as conn:
            await finish(conn, stale)
    assert await questions_of(engine, job_id) == []
    assert await batches_of(engine, job_id) == before


async def test_what_a_stale_holder_paid_is_recorded(engine: AsyncEngine, job_id: JobId) -> None:
    stale = (await held_batch(engine, job_id)).hold
    call_id = new_call_id()
    async with engine.begin() as conn:
        new = NewCall(stale, call_id=call_id, ordinal=0, model=MODEL, prompt={}, worst_usd=Decimal("0.01"))
        await open_call(conn, new)
    await expire(engine, stale.batch_id)
    assert await claim_as(engine, stale.batch_id, "another") is not None
    usage = Usage(input_tokens=10, cached_tokens=0, output_tokens=20, reasoning_tokens=0)
    reply = LLMReply(Outcome.OK, text="{}", raw="{}", usage=usage, finish_reason="stop", http_status=200)
    async with engine.begin() as conn:
        assert await settle_calls(conn, [Settlement(call_id, reply, Decimal("0.004"))])
    assert await fetch(engine, "SELECT state, raw, cost_usd FROM call WHERE id = :id", id=call_id) == [
        ("ok", "{}", Decimal("0.004"))
    ]
    budget = "SELECT spent_usd, held_usd FROM job_budget WHERE job_id = :id"
    assert await fetch(engine, budget, id=job_id) == [(Decimal("0.004"), Decimal(0))]


async def test_a_paused_job_still_takes_paid_replies(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await pause_job(engine, job_id)
    async with engine.begin() as conn:
        await admit_one(conn, hold, "Which reply was under way?")
    assert await questions_of(engine, job_id) == ["Which reply was under way?"]


async def test_no_write_after_a_cancel(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await cancel_job(engine, job_id)
    with pytest.raises(JobNotRunning) as refused:
        async with engine.begin() as conn:
            await confirm_hold(conn, hold)
    assert refused.value.state == "cancelled"


async def test_cancel_waits_for_a_write_in_progress_and_later_ones_see_it(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    async with engine.connect() as writer:
        await admit_one(writer, hold, "What was written before the cancel?")
        pid = await pid_of(writer)
        cancelling = asyncio.create_task(cancel_job(engine, job_id))
        await until_blocked_by(engine, pid)

        async def write_late() -> None:
            async with engine.begin() as conn:
                await admit_one(conn, hold, "What was written after the cancel?")

        # It comes after the cancel that waits, although it could share the lock with the first writer.
        late = asyncio.create_task(write_late())
        done, _ = await asyncio.wait([late, cancelling], timeout=0.1)
        assert not done
        await writer.commit()
    await cancelling
    with pytest.raises(JobNotRunning):
        await late
    assert await questions_of(engine, job_id) == ["What was written before the cancel?"]
    assert {batch.state for batch in await batches_of(engine, job_id)} == {"dropped"}


async def test_a_stream_of_overlapping_writes_does_not_keep_a_cancel_out(engine: AsyncEngine, job_id: JobId) -> None:
    first, second = (await batches_of(engine, job_id))[:2]
    claims = [await claim_as(engine, first.id), await claim_as(engine, second.id)]
    holds = [batch.hold for batch in claims if batch is not None]
    begun = [0, 0]
    changed = asyncio.Condition()
    is_streaming = asyncio.Event()

    async def write_on(mine: int) -> None:
        """Commits only once the other has begun again, so that the job is never without a writer by itself."""
        other = 1 - mine
        while True:
            async with engine.begin() as conn:
                await confirm_hold(conn, holds[mine])
                seen = begun[other]
                async with changed:
                    begun[mine] += 1
                    changed.notify_all()
                    if sum(begun) >= 20:
                        is_streaming.set()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await changed.wait_for(lambda: begun[other] > seen)  # noqa: B023 - asked for at once

    writers = [asyncio.create_task(write_on(0)), asyncio.create_task(write_on(1))]
    try:
        async with asyncio.timeout(5):
            await is_streaming.wait()
            await cancel_job(engine, job_id)
            ended = await asyncio.gather(*writers, return_exceptions=True)
    finally:
        for writer in writers:
            writer.cancel()
    assert [type(error) for error in ended] == [JobNotRunning] * 2


async def test_cancel_and_renewal_of_the_same_leases_do_not_block_each_other(
    engine: AsyncEngine, job_id: JobId
) -> None:
    first, second = await batches_of(engine, job_id)
    claims = [await claim_as(engine, second.id), await claim_as(engine, first.id)]
    holds = [batch.hold for batch in claims if batch is not None]
    async with engine.connect() as other:
        # Whoever comes first waits here with nothing else in hand; both then go the same way.
        await other.execute(text("SELECT FROM batch WHERE id = :id FOR UPDATE"), {"id": first.id})
        pid = await pid_of(other)

        async def renew_all() -> int:
            async with engine.begin() as conn:
                return len(await renew(conn, holds, lease_seconds=60))

        renewing = asyncio.create_task(renew_all())
        await until_blocked_by(engine, pid)
        free = "SELECT id FROM batch WHERE id = :id FOR UPDATE NOWAIT"
        await execute(engine, free, id=second.id)
        cancelling = asyncio.create_task(cancel_job(engine, job_id))
        await other.commit()
    await cancelling
    assert await renewing in (0, 2)
    assert {batch.state for batch in await batches_of(engine, job_id)} == {"dropped"}
