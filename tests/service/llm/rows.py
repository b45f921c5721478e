"""Rows that a call needs around it."""

from decimal import Decimal
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.ids import BatchId, DatasetId, new_batch_id, new_job_id


async def add_job(engine: AsyncEngine, budget_usd: Decimal | str = "1000", *, lease_seconds: float = 3600) -> Hold:
    """A running job with one held batch; the hold is returned."""
    job_id, batch_id = new_job_id(), new_batch_id()
    async with engine.begin() as conn:
        dataset_id = DatasetId(
            (
                await conn.execute(
                    text("INSERT INTO dataset (name) VALUES (:name) RETURNING id"), {"name": f"set {uuid4()}"}
                )
            ).scalar_one()
        )
        await conn.execute(
            text("INSERT INTO job (id, dataset_id, spec, seed, request_hash) VALUES (:id, :dataset_id, '{}', 1, '')"),
            {"id": job_id, "dataset_id": dataset_id},
        )
        await conn.execute(
            text("INSERT INTO job_budget (job_id, budget_usd) VALUES (:id, :usd)"),
            {"id": job_id, "usd": Decimal(budget_usd)},
        )
        await conn.execute(
            text(
                "INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call,"
                " first_ordinal, calls, state, fence, lease_until)"
                " VALUES (:id, :job_id, 'generate', 'math', 'easy', 1, 400, 20, 0, 20, 'leased', 1,"
                " clock_timestamp() + make_interval(secs => :lease))"
            ),
            {"id": batch_id, "job_id": job_id, "lease": lease_seconds},
        )
    return Hold(job_id, dataset_id, BatchId(batch_id), 1)


async def execute(engine: AsyncEngine, statement: str, **values: object) -> None:
    async with engine.begin() as conn:
        await conn.execute(text(statement), values)


async def fetch(engine: AsyncEngine, statement: str, **values: object) -> list[tuple[object, ...]]:
    async with engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(statement), values)]


async def budget_of(engine: AsyncEngine, hold: Hold) -> tuple[Decimal, Decimal]:
    """Spent and held, checked against the sum over the ledger."""
    ((spent, held),) = await fetch(
        engine, "SELECT spent_usd, held_usd FROM job_budget WHERE job_id = :id", id=hold.job_id
    )
    ((ledger_spent, ledger_held),) = await fetch(
        engine,
        "SELECT COALESCE(SUM(cost_usd), 0), COALESCE(SUM(worst_usd) FILTER (WHERE state = 'sent'), 0)"
        " FROM call WHERE job_id = :id",
        id=hold.job_id,
    )
    assert (spent, held) == (ledger_spent, ledger_held)
    assert isinstance(spent, Decimal)
    assert isinstance(held, Decimal)
    return spent, held
