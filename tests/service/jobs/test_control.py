from collections.abc import Awaitable, Callable
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import BudgetExhausted, Conflict, InvalidInput, NotFound
from shared.ids import JobId, new_call_id
from shared.jobs.control import cancel_job, change_budget, pause_if_running, pause_job, resume_job
from shared.llm.budget import Budget
from shared.llm.ledger import NewCall, budget_exhausted, open_call
from tests.service.jobs.world import Broker, add_questions, batches_of, execute, fetch, held_batch, tick

Move = Callable[..., Awaitable[None]]
ALLOWED: dict[tuple[str, Move], str] = {
    ("running", pause_job): "paused",
    ("running", cancel_job): "cancelled",
    ("paused", resume_job): "running",
    ("paused", cancel_job): "cancelled",
}
STATES = {
    "running": "state = 'running'",
    "paused": "state = 'paused', reason = 'a test'",
    "succeeded": "state = 'succeeded', finished_at = now()",
    "cancelled": "state = 'cancelled', finished_at = now()",
    "failed": "state = 'failed', reason = 'a test', finished_at = now()",
}


async def state_of(engine: AsyncEngine, job_id: JobId) -> tuple[str, str | None]:
    ((state, reason),) = await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id)
    return state, reason


@pytest.mark.parametrize("move", [pause_job, resume_job, cancel_job])
@pytest.mark.parametrize("state", STATES)
async def test_only_the_moves_that_are_drawn_exist(engine: AsyncEngine, job_id: JobId, state: str, move: Move) -> None:
    await execute(engine, f"UPDATE job SET {STATES[state]} WHERE id = :id", id=job_id)
    if (state, move) in ALLOWED:
        await move(engine, job_id)
        assert (await state_of(engine, job_id))[0] == ALLOWED[state, move]
        return
    with pytest.raises(Conflict, match=f"is {state}"):
        await move(engine, job_id)
    assert (await state_of(engine, job_id))[0] == state


@pytest.mark.parametrize("move", [pause_job, resume_job, cancel_job])
async def test_a_job_that_is_not_there_is_not_found(engine: AsyncEngine, move: Move) -> None:
    with pytest.raises(NotFound):
        await move(engine, JobId(uuid4()))


async def test_cancel_drops_every_open_batch_and_frees_its_lease(engine: AsyncEngine, job_id: JobId) -> None:
    await held_batch(engine, job_id)
    await cancel_job(engine, job_id)
    assert {(row.state, row.lease_until, row.reason) for row in await batches_of(engine, job_id)} == {
        ("dropped", None, "the job was cancelled")
    }


async def test_cancel_keeps_what_lies_beyond_the_target_as_reserve(
    engine: AsyncEngine, job_id: JobId, dataset: str
) -> None:
    await add_questions(engine, dataset, [f"What is the root of the prime number {number}?" for number in range(830)])
    await cancel_job(engine, job_id)
    counts = """
        SELECT question.state, COUNT(*) FROM question JOIN dataset ON dataset.id = question.dataset_id
        WHERE name = :name GROUP BY 1"""
    assert dict(await fetch(engine, counts, name=dataset)) == {"selected": 800, "reserve": 30}


async def test_a_job_whose_questions_are_busy_is_cancelled_all_the_same(
    engine: AsyncEngine, job_id: JobId, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.control.SURPLUS_SECONDS", 0.1)
    await add_questions(engine, dataset, [f"What is the root of the prime number {number}?" for number in range(830)])
    await held_batch(engine, job_id)
    async with engine.connect() as person:
        await person.execute(
            text("SELECT FROM question JOIN job USING (dataset_id) WHERE job.id = :id FOR UPDATE OF question"),
            {"id": job_id},
        )
        await cancel_job(engine, job_id)
    assert (await state_of(engine, job_id))[0] == "cancelled"
    assert {row.state for row in await batches_of(engine, job_id)} == {"dropped"}
    selected = (
        "SELECT COUNT(*) FROM question JOIN job USING (dataset_id) WHERE job.id = :id AND question.state = 'selected'"
    )
    assert await fetch(engine, selected, id=job_id) == [(830,)]


async def test_resume_hints_again_what_was_hinted_before_the_pause(
    engine: AsyncEngine, job_id: JobId, broker: Broker
) -> None:
    await tick(engine, job_id, broker)
    hinted = set(broker.take())
    await pause_job(engine, job_id)
    await tick(engine, job_id, broker)
    assert broker.take() == []
    await resume_job(engine, job_id)
    await tick(engine, job_id, broker)
    assert set(broker.take()) == hinted


async def test_at_the_budgets_wall_the_job_pauses_and_says_so(engine: AsyncEngine, job_id: JobId) -> None:
    hold = (await held_batch(engine, job_id)).hold
    await execute(engine, "UPDATE job_budget SET budget_usd = 1, spent_usd = 0.6 WHERE job_id = :id", id=job_id)
    new = NewCall(hold, call_id=new_call_id(), ordinal=0, model="openai/x", prompt={}, worst_usd=Decimal("0.5"))
    with pytest.raises(BudgetExhausted) as wall:
        async with engine.begin() as conn:
            await open_call(conn, new)
    assert await pause_if_running(engine, job_id, wall.value.detail)
    assert not await pause_if_running(engine, job_id, "a later reason")
    state, reason = await state_of(engine, job_id)
    assert state == "paused"
    assert "resume with a higher budget" in (reason or "")
    assert await fetch(engine, "SELECT 1 FROM call WHERE job_id = :id", id=job_id) == []


async def test_a_job_at_its_budgets_wall_resumes_once_the_next_call_fits(engine: AsyncEngine, job_id: JobId) -> None:
    budget = Budget(budget_usd=Decimal(1), spent_usd=Decimal("0.6"), held_usd=Decimal("0.1"))
    await execute(engine, "UPDATE job_budget SET budget_usd = 1, spent_usd = 0.6 WHERE job_id = :id", id=job_id)
    wall = budget_exhausted(Decimal("0.5"), budget).detail
    assert await pause_if_running(engine, job_id, wall, by_budget=True)
    for too_little in (None, Decimal("1.05")):
        with pytest.raises(
            Conflict, match=r"again at once: of \$1\.0.*, \$0\.600000 is spent, .* cost \$0\.500000"
        ) as no:
            await resume_job(engine, job_id, too_little)
        assert "resume it with a higher budget" in str(no.value)
    assert (await state_of(engine, job_id))[0] == "paused"
    assert await fetch(engine, "SELECT budget_usd FROM job_budget WHERE job_id = :id", id=job_id) == [(Decimal(1),)]
    await change_budget(engine, job_id, Decimal("1.1"))
    await resume_job(engine, job_id)
    assert (await state_of(engine, job_id))[0] == "running"


async def test_a_budget_below_what_is_spent_and_held_is_refused(engine: AsyncEngine, job_id: JobId) -> None:
    await pause_job(engine, job_id)
    budget = "UPDATE job_budget SET budget_usd = 5, spent_usd = 2, held_usd = 1 WHERE job_id = :id"
    await execute(engine, budget, id=job_id)
    with pytest.raises(InvalidInput) as refused:
        await resume_job(engine, job_id, Decimal("2.99"))
    assert [each.loc for each in refused.value.errors] == ["budget_usd"]
    assert "more than $2.99: $2.000000 is spent and $1.000000 held" in str(refused.value)
    assert (await state_of(engine, job_id))[0] == "paused"
    await resume_job(engine, job_id, Decimal(3))
    assert await state_of(engine, job_id) == ("running", None)
    budget = "SELECT budget_usd FROM job_budget WHERE job_id = :id"
    assert await fetch(engine, budget, id=job_id) == [(Decimal(3),)]


@pytest.mark.parametrize("state", STATES)
async def test_only_an_unfinished_jobs_budget_changes_and_it_stays_as_it_was(
    engine: AsyncEngine, job_id: JobId, state: str
) -> None:
    await execute(engine, f"UPDATE job SET {STATES[state]} WHERE id = :id", id=job_id)
    before = await state_of(engine, job_id)
    if state in {"running", "paused"}:
        await change_budget(engine, job_id, Decimal("77.5"))
    else:
        with pytest.raises(Conflict, match=f"is {state}"):
            await change_budget(engine, job_id, Decimal("77.5"))
    assert await state_of(engine, job_id) == before
    ((budget,),) = await fetch(engine, "SELECT budget_usd FROM job_budget WHERE job_id = :id", id=job_id)
    assert (budget == Decimal("77.5")) == (state in {"running", "paused"})


async def test_a_budget_is_never_below_what_is_spent_and_held(engine: AsyncEngine, job_id: JobId) -> None:
    await execute(engine, "UPDATE job_budget SET spent_usd = 2, held_usd = 0.5 WHERE job_id = :id", id=job_id)
    with pytest.raises(InvalidInput, match="already spent or reserved"):
        await change_budget(engine, job_id, Decimal("2.49"))
    await change_budget(engine, job_id, Decimal("2.5"))
    ((budget,),) = await fetch(engine, "SELECT budget_usd FROM job_budget WHERE job_id = :id", id=job_id)
    assert budget == Decimal("2.5")


async def test_a_budget_of_no_job_is_not_found(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        await change_budget(engine, JobId(uuid4()), Decimal(1))
