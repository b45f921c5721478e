"""A batch as a worker runs it, with a caller that answers from a list."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold, confirm_holds
from shared.errors import BudgetExhausted
from shared.ids import JobId
from shared.jobs.claim import finish, record_judged
from shared.jobs.control import cancel_job, pause_job
from shared.llm.caller import FinishedCall
from shared.llm.provider import LLMReply
from shared.llm.retry import GiveUp, StopJob
from shared.llm.stop import Draining, Stop
from tests.service.jobs.world import (
    LIMITS,
    Broker,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    first_batch,
    tick,
)
from tests.service.workers.scripted import ScriptedCaller, new_question, reply_of
from workers.batch import BUDGET_WAIT_SECONDS, BatchRun, Ending, Workshop, run_batch
from workers.stage_work import Reply


async def questions_of(engine: AsyncEngine, job_id: JobId) -> list[str]:
    return [row[0] for row in await fetch(engine, "SELECT text FROM question WHERE job_id = :id", id=job_id)]


async def row_of(engine: AsyncEngine, job_id: JobId) -> Any:
    return (await batches_of(engine, job_id))[0]


async def test_a_batch_is_claimed_called_for_admitted_and_finished(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    row = await row_of(engine, job_id)
    assert (row.state, row.generated, row.admitted, row.calls_parsed) == ("done", 20, 20, 20)
    assert sorted(caller.ordinals) == list(range(20))
    assert len(await questions_of(engine, job_id)) == 20


@pytest.mark.parametrize(("rehearsal", "why"), [(True, "have real models"), (False, "have no provider key")])
async def test_no_job_goes_on_with_models_of_the_other_kind(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller, rehearsal: bool, why: str
) -> None:
    # What rehearses would be paid for, and what is real would be filled with simulated questions.
    await execute(engine, "UPDATE job SET rehearsal = :rehearsal WHERE id = :id", id=job_id, rehearsal=rehearsal)
    shop.settings = shop.settings.model_copy(update={"rehearsal": not rehearsal})
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.RELEASED
    assert caller.ordinals == []
    row = await row_of(engine, job_id)
    assert (row.state, row.attempts) == ("pending", 0)
    [(state, reason)] = await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id)
    assert state == "paused"
    assert why in reason


async def test_the_same_hint_again_is_a_no_op(engine: AsyncEngine, job_id: JobId, shop: Workshop) -> None:
    batch_id = await first_batch(engine, job_id)
    endings = await asyncio.gather(*(run_batch(shop, batch_id, Stop()) for _ in range(5)))
    assert sorted(endings) == sorted([Ending.DONE, *[Ending.NOT_FREE] * 4])
    assert await run_batch(shop, batch_id, Stop()) is Ending.NOT_FREE
    assert (await row_of(engine, job_id)).generated == 20


async def test_a_reply_judged_twice_has_its_effect_once(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    # FAULTS 18: the connection broke at COMMIT, the commit had got through, and the worker writes again.
    batch = await claim_as(engine, await first_batch(engine, job_id))
    assert batch is not None
    run = BatchRun(shop, batch, Stop())
    questions = [new_question(), new_question()]
    caller.answer = lambda _: reply_of(*questions)
    finished = await call_once(caller, batch.hold)
    for _ in range(2):
        await run._work.judge(Reply(finished.call_id, 0, finished.reply.text, cut=False, record={}))
    row = await row_of(engine, job_id)
    assert (row.generated, row.admitted, row.calls_parsed, row.rejected) == (2, 2, 1, {})
    assert sorted(await questions_of(engine, job_id)) == sorted(questions)
    assert await fetch(engine, "SELECT FROM rejection WHERE job_id = :id", id=job_id) == []


async def call_once(caller: ScriptedCaller, hold: Hold, ordinal: int = 0) -> FinishedCall:
    model = "openai/gpt-6-luna"
    return await caller.call(hold, ordinal=ordinal, prompt=None, prompt_record={}, model=model, stop=Stop())


async def test_a_commit_whose_outcome_is_unknown_is_repeated_without_a_second_effect(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 0
    once = record_judged

    async def record_then_break(conn: Any, judged: Any) -> None:
        nonlocal broken
        await once(conn, judged)
        broken += 1
        await conn.commit()  # it got through ...
        raise OperationalError("COMMIT", {}, ConnectionError("the connection broke"))  # ... but nobody was told

    monkeypatch.setattr("workers.admitter.record_judged", record_then_break)
    monkeypatch.setattr("shared.database.reconnect.FIRST_PAUSE_SECONDS", 0.001)
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    assert broken >= 1
    row = await row_of(engine, job_id)
    assert (row.generated, row.admitted, row.calls_parsed) == (20, 20, 20)


@contextmanager
def unheard_commits(engine: AsyncEngine, times: int) -> Iterator[list[str]]:
    """The next so many COMMITs get through, but the connection breaks before anybody is told."""
    broken: list[str] = []

    def commit_then_break(conn: Connection) -> None:
        if len(broken) < times:
            broken.append("COMMIT")
            conn.connection.commit()
            raise OperationalError("COMMIT", {}, ConnectionError("the connection broke"))

    event.listen(engine.sync_engine, "commit", commit_then_break)
    try:
        yield broken
    finally:
        event.remove(engine.sync_engine, "commit", commit_then_break)


async def test_a_claim_whose_commit_got_through_unheard_is_worked_on_at_once(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAULTS 18: not only when its lease has run out.
    monkeypatch.setattr("shared.database.reconnect.FIRST_PAUSE_SECONDS", 0.001)
    batch_id = await first_batch(engine, job_id)
    with unheard_commits(engine, 2) as broken:
        assert await run_batch(shop, batch_id, Stop()) is Ending.DONE
    assert len(broken) == 2
    row = await row_of(engine, job_id)
    assert (row.state, row.fence, row.admitted) == ("done", 1, 20)


async def test_an_end_whose_commit_got_through_unheard_is_no_fenced_off_write(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = 0

    async def finish_then_break(conn: Any, hold: Hold) -> None:
        nonlocal finished
        await finish(conn, hold)
        finished += 1
        if finished == 1:
            await conn.commit()
            raise OperationalError("COMMIT", {}, ConnectionError("the connection broke"))

    monkeypatch.setattr("workers.batch.finish", finish_then_break)
    monkeypatch.setattr("shared.database.reconnect.FIRST_PAUSE_SECONDS", 0.001)
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    assert finished == 2
    assert (await row_of(engine, job_id)).state == "done"
    assert await fetch(engine, "SELECT FROM incident WHERE job_id = :id", id=job_id) == []


async def test_a_new_holder_parses_what_is_paid_for_before_it_calls(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    dead = await claim_as(engine, await first_batch(engine, job_id))
    assert dead is not None
    paid = [new_question(), new_question()]
    caller.answer = lambda ordinal: reply_of(paid[ordinal])
    for ordinal in range(2):
        await call_once(caller, dead.hold, ordinal)
    await expire(engine, dead.hold.batch_id)
    caller.ordinals.clear()
    caller.answer = lambda _: reply_of(new_question())
    assert await run_batch(shop, dead.hold.batch_id, Stop()) is Ending.DONE
    assert sorted(caller.ordinals) == list(range(2, 20))
    assert set(paid) <= set(await questions_of(engine, job_id))
    assert len(await questions_of(engine, job_id)) == 20


async def test_a_paused_jobs_batch_is_given_back_at_once_and_goes_on_where_it_stopped(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    async def pause_at_five(ordinal: int) -> None:
        if ordinal == 5:
            await pause_job(engine, job_id)

    caller.before = pause_at_five
    batch_id = await first_batch(engine, job_id)
    await run_batch(shop, batch_id, Stop())
    row = await row_of(engine, job_id)
    assert (row.state, row.lease_until, row.attempts) == ("pending", None, 0)
    await execute(engine, "UPDATE job SET state = 'running', reason = NULL WHERE id = :id", id=job_id)
    caller.before = None
    assert await run_batch(shop, batch_id, Stop()) is Ending.DONE
    assert (await row_of(engine, job_id)).calls_parsed == 20


async def test_a_cancelled_jobs_batch_stops_calling(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    async def cancel_at_first(ordinal: int) -> None:
        if ordinal == 0:
            await cancel_job(engine, job_id)
        else:
            await asyncio.Event().wait()

    caller.before = cancel_at_first
    running = asyncio.create_task(run_batch(shop, await first_batch(engine, job_id), Stop()))
    done, _ = await asyncio.wait([running], timeout=0.5)
    assert not done  # the others are still out: a call in flight is never cut off
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await row_of(engine, job_id)).state == "dropped"
    assert await questions_of(engine, job_id) == []


async def test_a_draining_process_claims_nothing(engine: AsyncEngine, job_id: JobId, shop: Workshop) -> None:
    stop = Stop()
    stop.set()
    assert await run_batch(shop, await first_batch(engine, job_id), stop) is Ending.DRAINED
    assert (await row_of(engine, job_id)).fence == 0


async def test_a_drained_batch_keeps_what_was_in_flight_and_is_free_for_others(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.batch.is_draining", lambda: True)
    stop = Stop()

    async def drain_at_three(ordinal: int) -> None:
        if ordinal == 3:
            stop.set()
        elif ordinal > 3:
            raise Draining

    caller.before = drain_at_three
    assert await run_batch(shop, await first_batch(engine, job_id), stop) is Ending.DRAINED
    row = await row_of(engine, job_id)
    assert (row.state, row.attempts, row.calls_parsed) == ("pending", 0, 4)
    assert len(await questions_of(engine, job_id)) == 4


async def test_a_batch_whose_lease_is_lost_starts_no_new_call_and_leaves_the_new_holder_alone(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    batch_id = await first_batch(engine, job_id)

    async def lose_at_first(ordinal: int) -> None:
        if ordinal == 0:
            await expire(engine, batch_id)
            assert await claim_as(engine, batch_id, "another") is not None
            await shop.leases.renew_once()
        else:
            raise Draining

    caller.before = lose_at_first
    assert await run_batch(shop, batch_id, Stop()) is Ending.LOST
    row = await row_of(engine, job_id)
    assert (row.state, row.worker, row.fence) == ("leased", "another", 2)


async def test_a_prompt_given_up_is_counted_and_the_batch_goes_on(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    caller.verdict = GiveUp("refused")
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    row = await row_of(engine, job_id)
    assert (row.state, row.calls_parsed, row.calls_given_up) == ("done", 0, 20)


async def test_a_refused_key_pauses_the_job_with_its_reason(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    caller.verdict = StopJob("the key was refused")
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.RELEASED
    job = "SELECT state, reason FROM job WHERE id = :id"
    assert await fetch(engine, job, id=job_id) == [("paused", "the key was refused")]
    assert (await row_of(engine, job_id)).state == "pending"


@pytest.fixture
def clock(caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each try of a call takes a second of the clock by which money is waited for."""
    now = [0.0]

    async def pass_on(_: int) -> None:
        now[0] += 1

    caller.before = pass_on
    monkeypatch.setattr("workers.batch.monotonic", lambda: now[0])
    monkeypatch.setattr("workers.batch.BUDGET_LOOK_SECONDS", 0.001)
    return now


HOLD_ALL = "UPDATE job_budget SET held_usd = budget_usd WHERE job_id = :id"


async def test_while_what_is_in_bulk_holds_the_money_a_batch_keeps_no_place_and_is_not_parked(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, broker: Broker, clock: list[float]
) -> None:
    batch_id = await first_batch(engine, job_id)
    await execute(engine, HOLD_ALL, id=job_id)
    for _ in range(shop.settings.max_attempts + 1):
        began = clock[0]
        assert await run_batch(shop, batch_id, Stop()) is Ending.FOR_MONEY
        assert BUDGET_WAIT_SECONDS <= clock[0] - began < 3 * BUDGET_WAIT_SECONDS
    row = await row_of(engine, job_id)
    assert (row.state, row.attempts) == ("pending", 0)
    assert await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id) == [("running", None)]
    # It rests until an unclaimed hint would be repeated.
    await tick(engine, job_id, broker)
    assert batch_id not in broker.take()
    await tick(engine, job_id, broker, replace(LIMITS, hint_repeat=timedelta(0)))
    assert batch_id in broker.take()
    await execute(engine, "UPDATE job_budget SET held_usd = 0 WHERE job_id = :id", id=job_id)
    assert await run_batch(shop, batch_id, Stop()) is Ending.DONE


@pytest.mark.usefixtures("clock")
async def test_a_job_whose_bulk_calls_used_the_money_up_pauses_once_they_have_ended(
    engine: AsyncEngine, job_id: JobId, shop: Workshop
) -> None:
    batch_id = await first_batch(engine, job_id)
    await execute(engine, HOLD_ALL, id=job_id)
    assert await run_batch(shop, batch_id, Stop()) is Ending.FOR_MONEY
    spend = "UPDATE job_budget SET held_usd = 0, spent_usd = budget_usd WHERE job_id = :id"
    await execute(engine, spend, id=job_id)
    assert await run_batch(shop, batch_id, Stop()) is Ending.RELEASED
    [(state, reason)] = await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id)
    assert state == "paused"
    assert reason.startswith("the next call may cost $")


async def test_near_the_budgets_wall_a_batch_waits_as_long_as_its_calls_go_one_after_the_other(
    engine: AsyncEngine,
    job_id: JobId,
    shop: Workshop,
    caller: ScriptedCaller,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, turn = caller.call, asyncio.Lock()

    async def call_alone(*args: Any, **named: Any) -> FinishedCall:
        if turn.locked():
            raise BudgetExhausted("held for calls under way", fits_later=True)
        async with turn:
            clock[0] += 5
            return await call(*args, **named)

    caller.before = None
    monkeypatch.setattr(caller, "call", call_alone)
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    assert clock[0] > 2 * BUDGET_WAIT_SECONDS


async def test_a_batch_that_fails_by_a_defect_keeps_its_attempt(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    def fail(ordinal: int) -> LLMReply:
        raise ZeroDivisionError(ordinal)

    caller.answer = fail
    with pytest.raises(ZeroDivisionError):
        await run_batch(shop, await first_batch(engine, job_id), Stop())
    row = await row_of(engine, job_id)
    assert (row.state, row.attempts) == ("leased", 1)


async def test_flawed_questions_are_refused_and_counted_by_reason(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, caller: ScriptedCaller
) -> None:
    same = new_question()
    caller.answer = lambda _: reply_of(same, "Why\x01 does a bell ring at noon in the old town?")
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    row = await row_of(engine, job_id)
    assert (row.generated, row.admitted) == (40, 1)
    assert sum(row.rejected.values()) == 39
    assert row.rejected["exact"] == 19
    refused = "SELECT reason, COUNT(*) FROM rejection WHERE job_id = :id GROUP BY 1"
    assert dict(await fetch(engine, refused, id=job_id)) == row.rejected


async def test_a_database_that_is_read_only_for_now_is_waited_for(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # FAULTS 16: what a worker holds in memory is kept until it can be written.
    refusals = 0
    once = confirm_holds

    async def read_only_at_first(conn: Any, job_id: JobId, holds: Sequence[Hold]) -> set[Hold]:
        nonlocal refusals
        if refusals < 2:
            refusals += 1
            await conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        return await once(conn, job_id, holds)

    monkeypatch.setattr("workers.admitter.confirm_holds", read_only_at_first)
    monkeypatch.setattr("shared.database.reconnect.FIRST_PAUSE_SECONDS", 0.001)
    assert await run_batch(shop, await first_batch(engine, job_id), Stop()) is Ending.DONE
    assert refusals == 2
    assert len(await questions_of(engine, job_id)) == 20
