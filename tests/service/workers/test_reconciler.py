"""The reconciler's ticks: a job whose rows are busy, or whose step takes long, keeps no other job waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from shared.database.engine import SERVER_LIMITS, engine_for
from shared.database.trouble import DatabaseSilent
from shared.ids import JobId
from shared.settings import Settings
from tests.service.jobs.world import (
    Broker,
    batches_of,
    execute,
    expire,
    first_batch,
    held_batch,
    make_spec,
    pid_of,
    submit,
    until_blocked_by,
)
from workers.reconciler import MOST_SLOW_JOBS, Reconciler


@pytest.fixture(autouse=True)
async def nobody_else(engine: AsyncEngine) -> None:
    await execute(engine, "TRUNCATE dataset CASCADE")


@pytest.fixture
async def jobs(engine: AsyncEngine, settings: Settings, nobody_else: None) -> list[JobId]:
    """Jobs that need batches, in the order in which they are reconciled."""
    found = [await submit(engine, settings, make_spec(f"set-{n}")) for n in range(MOST_SLOW_JOBS + 2)]
    await execute(engine, "DELETE FROM batch")
    return sorted(found)


@pytest.fixture
async def reconciler(database_url: str, settings: Settings, broker: Broker) -> AsyncIterator[Reconciler]:
    """With as many connections as its process has."""
    async with engine_for(database_url, application="reconciler", pool_size=3) as engine:
        opened = Reconciler(settings.model_copy(update={"tick_seconds": 0.05}), engine, broker.publish)
        yield opened
        await opened.stop()


@asynccontextmanager
async def locked(engine: AsyncEngine, job_id: JobId) -> AsyncIterator[AsyncConnection]:
    """Somebody's open transaction."""
    async with engine.connect() as conn:
        await conn.execute(text("SELECT FROM job WHERE id = :id FOR UPDATE"), {"id": job_id})
        yield conn


@pytest.fixture
def short_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server soon says that a row is locked."""
    monkeypatch.setitem(SERVER_LIMITS, "lock_timeout", "100ms")


async def others_done(reconciler: Reconciler, *but: JobId) -> None:
    """On a machine that others use too, steps that nobody holds up may take long as well."""
    if steps := [step for job_id, step in reconciler._steps.items() if job_id not in but]:
        await asyncio.wait(steps)


async def are_reconciled(engine: AsyncEngine, jobs: list[JobId]) -> list[bool]:
    return [bool(await batches_of(engine, job_id)) for job_id in jobs]


@pytest.mark.usefixtures("short_of_patience")
async def test_a_job_whose_rows_are_busy_is_left_to_the_next_tick_and_the_others_go_on(
    engine: AsyncEngine, jobs: list[JobId], reconciler: Reconciler
) -> None:
    async with locked(engine, jobs[0]):
        with capture_logs() as logs:
            await reconciler.run_once()
            await others_done(reconciler)
    assert await are_reconciled(engine, jobs) == [False, True, True, True]
    [failed] = [each for each in logs if each["event"] == "job not reconciled"]
    assert (failed["log_level"], failed["error"]) == ("warning", "canceling statement due to lock timeout")
    await reconciler.run_once()
    await others_done(reconciler)
    assert await are_reconciled(engine, jobs) == [True, True, True, True]


@pytest.mark.usefixtures("short_of_patience")
async def test_a_dead_workers_batch_is_hinted_while_another_jobs_rows_are_busy(
    engine: AsyncEngine, jobs: list[JobId], reconciler: Reconciler, broker: Broker
) -> None:
    async def until(happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not happened():  # noqa: ASYNC110 - neither logs nor the broker tell
                await asyncio.sleep(0.01)

    await execute(engine, "DELETE FROM job WHERE NOT id = ANY (:ids)", ids=jobs[:2])
    await reconciler.run_once()
    await execute(engine, "DELETE FROM batch WHERE job_id = :id", id=jobs[0])
    first = await first_batch(engine, jobs[1])
    async with locked(engine, jobs[0]):
        running = asyncio.create_task(reconciler.run())
        await held_batch(engine, jobs[1])
        with capture_logs() as logs:
            await until(lambda: any("lock timeout" in str(each.get("error")) for each in logs))
        broker.take()
        await execute(engine, "UPDATE batch SET hinted_at = NULL WHERE id = :id", id=first)
        await expire(engine, first)
        await until(lambda: first in {hint.batch_id for hint in broker.hints})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_slow_job_goes_on_beside_the_others_and_is_not_begun_again(
    engine: AsyncEngine, jobs: list[JobId], reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reconciler.STEP_SECONDS", 0.5)
    async with locked(engine, jobs[0]) as other:
        async with asyncio.timeout(30):
            await reconciler.run_once()
            await others_done(reconciler, jobs[0])
            step = reconciler._steps[jobs[0]]
            await reconciler.run_once()
        assert reconciler._steps == {jobs[0]: step}
        assert await are_reconciled(engine, jobs) == [False, True, True, True]
        await other.commit()
        await step
    assert await are_reconciled(engine, jobs) == [True, True, True, True]


async def test_when_many_jobs_are_slow_one_of_them_is_waited_for(
    engine: AsyncEngine, jobs: list[JobId], reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reconciler.STEP_SECONDS", 0.05)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(locked(engine, job_id)) for job_id in jobs[: MOST_SLOW_JOBS + 1]]
        ticking = asyncio.create_task(reconciler.run_once())
        await until_blocked_by(engine, await pid_of(slow[-1]))
        done, _ = await asyncio.wait([ticking], timeout=0.3)
        assert not done
        await slow[1].commit()
        async with asyncio.timeout(5):
            await ticking
        assert await are_reconciled(engine, jobs) == [False, True, False, True]


async def test_what_a_slow_job_met_and_concerns_all_is_raised_in_the_next_tick(
    engine: AsyncEngine, jobs: list[JobId], reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = asyncio.Event()

    async def wait_in_vain(*_: object) -> int:
        await silent.wait()
        raise DatabaseSilent("no answer")

    await execute(engine, "DELETE FROM job WHERE id <> :id", id=jobs[0])
    monkeypatch.setattr("workers.reconciler.STEP_SECONDS", 0.0)
    monkeypatch.setattr("workers.reconciler.reconcile_job", wait_in_vain)
    await reconciler.run_once()
    silent.set()
    await asyncio.wait(reconciler._steps.values())
    with pytest.raises(DatabaseSilent):
        await reconciler.run_once()
